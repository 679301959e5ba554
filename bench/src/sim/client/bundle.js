// Takes the same steps as the BigBlueButton 3.0.30 client on its way into a meeting, and shows each of them.
'use strict';

(() => {
  const STEPS = [
    ['version', 'Server found'],
    ['settings', 'Settings loaded'],
    ['graphql', 'Meeting data connected'],
    ['stuns', 'Relay servers listed'],
    ['sfu', 'Media signalling connected'],
    ['livekit', 'LiveKit connected'],
    ['slide', 'Slide loaded'],
    ['rtt', 'Round trip measured'],
  ];
  const TOKEN_KEY = 'BBB_sessionToken';
  const RETRIES_MAX = 20;
  const HEARTBEAT_MS = 10_000;
  const SILENCE_MS_MAX = 15_000;
  const FORBIDDEN = 4403;

  const root = document.documentElement;
  const retryMs = Number(root.dataset.retryMs) || 10_000;
  const element = (id) => document.getElementById(id);

  const prefix = location.pathname.slice(0, Math.max(0, location.pathname.lastIndexOf('/html5client/')));
  // The real client leaves the port out and always takes https.
  const base = (root.dataset.host === 'host' ? location.origin : `https://${location.hostname}`) + prefix;
  const isOld = root.dataset.version === '3.0.0';
  const token = takeToken();
  const clientSession = crypto.randomUUID ? crypto.randomUUID() : String(Math.random()).slice(2);

  const bbb = { apiUrl: null, graphqlUrl: null, sfuUrl: null, slideUrl: null, reconnects: 0 };
  window.__bbb = bbb;

  const done = new Map();
  let logoutUrl = null;
  let guestStatus = 'ALLOW';
  let leaving = false;
  let over = null;
  let rttTimer = null;
  const links = [];

  function takeToken() {
    const query = new URLSearchParams(location.search);
    const given = query.get('sessionToken');
    if (given) {
      sessionStorage.setItem(TOKEN_KEY, given);
      // It stays in the address before 3.0.30.
      if (isOld) return given;
      query.delete('sessionToken');
      const rest = query.toString();
      history.replaceState(null, '', location.pathname + (rest ? `?${rest}` : ''));
    }
    return given || sessionStorage.getItem(TOKEN_KEY) || '';
  }

  function drawSteps() {
    for (const [name, title] of STEPS) {
      const item = document.createElement('li');
      item.dataset.step = name;
      for (const [kind, text] of [['mark', '·'], ['name', title], ['detail', 'waiting']]) {
        const span = document.createElement('span');
        span.className = kind;
        span.textContent = text;
        item.append(span);
      }
      element('steps').append(item);
    }
  }

  function step(name, ok, detail) {
    const item = document.querySelector(`[data-step="${name}"]`);
    item.dataset.ok = String(ok);
    item.querySelector('.mark').textContent = ok ? '✓' : '✕';
    item.querySelector('.detail').textContent = detail;
    item.querySelector('.detail').title = detail;
    done.set(name, ok);
    refreshState();
  }

  function refreshState() {
    let state = 'connecting';
    if (over) state = over;
    else if (guestStatus === 'WAIT') state = 'waiting';
    else if (STEPS.every(([name]) => done.get(name))) state = 'ready';
    else if (links.some((link) => link.isRetrying && link.wasUp)) state = 'reconnecting';
    else if ([...done.values()].includes(false)) state = 'failed';
    element('state').textContent = state;
    element('state').dataset.state = state;
  }

  function banner(text) {
    element('banner').textContent = text;
    element('banner').hidden = !text;
  }

  // Logo, colour, title and style sheet, as whoever made the meeting wants them.
  function showBranding(meeting, metadata) {
    const given = Object.fromEntries(metadata.map(({ parameter, value }) => [parameter, value]));
    document.title = given.bbb_client_title ? `${meeting.name} - ${given.bbb_client_title}` : meeting.name;
    if (meeting.bannerColor) Object.assign(element('banner').style, { background: meeting.bannerColor, color: '#fff' });
    if (meeting.customLogoUrl && given.bbb_display_branding_area === 'true') element('logo').src = meeting.customLogoUrl;
    if (given.bbb_custom_style_url) {
      const sheet = Object.assign(document.createElement('link'), { rel: 'stylesheet', href: given.bbb_custom_style_url });
      document.head.append(sheet);
    }
  }

  function showEcho(id, seen) {
    const rows = [
      ['server', (seen.server || '').replace(/^https?:\/\//, '')], ['path', seen.path], ['host', seen.host], ['origin', seen.origin],
      ['forwarded for', seen.xForwardedFor], ['cookies', (seen.cookies || []).join(', ')],
      ['meeting', seen.meetingID], ['user', seen.user],
    ];
    element(id).replaceChildren(...rows.flatMap(([name, value]) => {
      const [term, text] = [document.createElement('dt'), document.createElement('dd')];
      term.textContent = name;
      text.textContent = value || '–';
      return [term, text];
    }));
  }

  async function getJson(url, options) {
    const response = await fetch(url, options);
    if (!response.ok) throw new Error(`${url} answered ${response.status}`);
    return response.json();
  }

  const withToken = (url) => `${url}${url.includes('?') ? '&' : '?'}sessionToken=${encodeURIComponent(token)}`;

  async function attempt(name, action) {
    try {
      step(name, true, await action());
      return true;
    } catch (error) {
      step(name, false, error.message);
      return false;
    }
  }

  function loadVersion() {
    return attempt('version', async () => {
      const url = `${base}/bigbluebutton/api`;
      const answer = await getJson(url, { headers: { 'Content-Type': 'application/json' }, credentials: 'omit' });
      bbb.apiUrl = answer.response.graphqlApiUrl;
      bbb.graphqlUrl = answer.response.graphqlWebsocketUrl;
      if (!bbb.apiUrl || !bbb.graphqlUrl) throw new Error(`${url} names no GraphQL addresses`);
      return url;
    });
  }

  let settings = null;
  let isBreakout = false;
  let mayOpenBreakouts = false;
  let isModerator = false;
  let meetingId = null;

  // 3.0.30 has all it needs to know at once; 3.0.0 has the settings, and the rest over GraphQL.
  function loadSettings() {
    return attempt('settings', async () => {
      const options = { headers: { 'x-session-token': token }, credentials: 'include' };
      const metadata = await getJson(`${bbb.apiUrl}/userMetadata`, options);
      const url = `${bbb.apiUrl}/${isOld ? 'clientSettings' : 'meetingStaticData'}`;
      const data = await getJson(url, options);
      if (isOld) {
        settings = data.meeting_clientSettings[0].clientSettingsJson.public;
      } else {
        const meeting = data.meeting[0];
        settings = meeting.clientSettings.clientSettingsJson.public;
        logoutUrl = meeting.logoutUrl;
        isBreakout = meeting.isBreakout;
        introduce(meeting, data.user_current[0]);
        mayOpenBreakouts = meeting.breakoutsAllowed && isModerator;
        root.dataset.breakout = String(isBreakout);
        element('breakout-badge').hidden = !isBreakout;
        showBranding(meeting, metadata.user_metadata);
        if (meeting.bannerText) banner(meeting.bannerText);
      }
      bbb.sfuUrl = settings.kurento.wsUrl;
      return url;
    });
  }

  let liveKitToken = null;

  function introduce(meeting, user) {
    if (meeting) {
      element('meeting').textContent = meeting.name;
      meetingId = meeting.meetingId;
    }
    if (user) {
      element('user').textContent = `${user.name} · ${user.role.toLowerCase()}`;
      isModerator = user.role === 'MODERATOR';
      guestStatus = user.guestStatus;
      if (user.livekit) liveKitToken = user.livekit.livekitToken;
    }
  }

  // A socket that comes back by itself. `handlers.open` sends the first message, `handlers.message` gets each text and calls
  // `link.up` once all is well; `handlers.refused` is called where a socket does not open.
  function connect(name, url, protocols, handlers) {
    const link = { url, socket: null, tries: 0, isRetrying: false, wasUp: false, heard: 0, beat: null };
    links.push(link);
    link.up = (detail) => {
      if (link.wasUp && link.isRetrying) {
        bbb.reconnects += 1;
        element('reconnects').textContent = String(bbb.reconnects);
      }
      Object.assign(link, { tries: 0, isRetrying: false, wasUp: true });
      step(name, true, detail);
    };
    link.send = (message) => link.socket.send(JSON.stringify(message));
    const open = () => {
      if (leaving || over) return;
      let socket;
      try {
        socket = new WebSocket(link.url, protocols);
      } catch (error) {
        step(name, false, error.message);
        return;
      }
      link.socket = socket;
      link.heard = Date.now();
      let isOpen = false;
      socket.onopen = () => {
        isOpen = true;
        handlers.open(link);
      };
      socket.onmessage = (event) => {
        link.heard = Date.now();
        handlers.message(link, JSON.parse(event.data));
      };
      socket.onclose = async (event) => {
        if (!isOpen && handlers.refused) await handlers.refused(link);
        lost(event);
      };
      link.beat = setInterval(() => {
        if (socket.readyState !== WebSocket.OPEN) return;
        if (SILENCE_MS_MAX < Date.now() - link.heard) {
          socket.onclose = null;
          socket.close();
          lost({ code: 0, reason: 'nothing heard' });
        } else {
          handlers.beat(link);
        }
      }, Math.min(HEARTBEAT_MS, Math.max(retryMs, 1000)));
    };
    const lost = (event) => {
      clearInterval(link.beat);
      if (leaving || over) return;
      link.tries += 1;
      const fatal = event.code === FORBIDDEN || RETRIES_MAX < link.tries;
      link.isRetrying = !fatal;
      step(name, false, `${url} closed, ${event.code}${event.reason ? ` ${event.reason}` : ''}`);
      if (!fatal) setTimeout(open, retryMs);
    };
    open();
    return link;
  }

  const SUBSCRIPTIONS = {
    echo: 'subscription Echo { sim_echo { seen received } }',
    meeting: 'subscription Meeting { meeting { name ended logoutUrl learningDashboardAccessToken } }',
    user: 'subscription User { user_current { name role guestStatus } }',
    guests: 'subscription Guests { user_guest { userId name } }',
    tokens: 'subscription UploadTokens { pres_presentation_uploadToken { uploadToken } }',
    breakouts: 'subscription Breakouts { breakoutRoom { breakoutRoomId sequence shortName joinURL } }',
    slide: 'subscription CurrentPage { pres_page_curr { num urlsJson } }',
  };

  let graphql = null;

  function connectGraphql() {
    graphql = connect('graphql', bbb.graphqlUrl, 'graphql-transport-ws', {
      open: (link) => link.send({
        type: 'connection_init',
        payload: { headers: {
          'X-Session-Token': token,
          'X-ClientSessionUUID': clientSession,
          'X-ClientType': 'HTML5',
          'X-ClientIsMobile': String(/Mobi/.test(navigator.userAgent)),
        } },
      }),
      beat: (link) => link.send({ type: 'ping' }),
      message: (link, message) => {
        if (message.type === 'connection_ack') {
          for (const [id, query] of Object.entries(SUBSCRIPTIONS)) {
            link.send({ type: 'subscribe', id, payload: { query, variables: {} } });
          }
        } else if (message.type === 'ping') {
          link.send({ type: 'pong' });
        } else if (message.type === 'next') {
          receive(link, message.id, message.payload.data);
        }
      },
    });
  }

  function receive(link, id, data) {
    if (id === 'echo') {
      showEcho('echo-graphql', data.sim_echo.seen);
      link.up(bbb.graphqlUrl);
    } else if (id === 'slide') {
      loadSlide(data.pres_page_curr[0].urlsJson.svg);
    } else if (id === 'user') {
      introduce(null, data.user_current[0]);
      judged(data.user_current[0].guestStatus);
    } else if (id === 'guests') {
      showGuests(data.user_guest);
    } else if (id === 'tokens') {
      data.pres_presentation_uploadToken.forEach(({ uploadToken }) => upload(uploadToken));
    } else if (id === 'breakouts') {
      showBreakouts(data.breakoutRoom);
    } else if (id === 'meeting' && data.meeting[0].ended) {
      end(isBreakout ? 'This breakout room has ended. Go back to the main meeting.' : 'The meeting has ended.');
    } else if (id === 'meeting') {
      logoutUrl = data.meeting[0].logoutUrl || logoutUrl;
      introduce(data.meeting[0], null);
      showDashboard(data.meeting[0].learningDashboardAccessToken);
    }
  }

  // A guest who waits has GraphQL only, until a moderator has decided.
  let isIn = false;

  function judged(status) {
    guestStatus = status;
    element('lobby').hidden = status !== 'WAIT';
    if (status === 'DENY') {
      end('You were not let in.');
    } else if (status === 'ALLOW' && !isIn) {
      isIn = true;
      mutate('come-in', `mutation UserJoin($clientType: String!, $clientIsMobile: Boolean!) {
        userJoinMeeting(clientType: $clientType, clientIsMobile: $clientIsMobile)
      }`, { clientType: 'HTML5', clientIsMobile: /Mobi/.test(navigator.userAgent) });
      enter();
    }
    refreshState();
  }

  function enter() {
    connectSfu();
    connectLiveKit();
    loadStuns();
    measure();
    element('documents').hidden = !isModerator;
    element('open-notes').hidden = !settings.pads;
  }

  function showGuests(guests) {
    element('guests').hidden = guests.length === 0;
    element('waiting').replaceChildren(...guests.map(({ userId, name }) => {
      const item = document.createElement('li');
      item.append(`${name} `, ...['ALLOW', 'DENY'].map((status) => {
        const button = Object.assign(document.createElement('button'), {
          type: 'button', className: 'plain', textContent: status === 'ALLOW' ? 'Let in' : 'Turn away',
        });
        button.dataset.status = status;
        button.addEventListener('click', () => mutate(`judge-${userId}`,
          'mutation Judge($guests: [GuestUserApprovalStatus]!) { guestUsersSubmitApprovalStatus(guests: $guests) }',
          { guests: [{ guest: userId, status }] }));
        return button;
      }));
      return item;
    }));
  }

  // A document goes up with a token that GraphQL gives for it, once.
  let document_ = null;
  const used = new Set();

  function chosen() {
    [document_] = element('upload').files;
    if (!document_) return;
    uploadState('waiting', 'Asking for a place…');
    mutate(`upload-${Date.now()}`, 'mutation Upload { presentationRequestUploadToken(podId: "DEFAULT_PRESENTATION_POD") }', {});
  }

  function uploadState(state, text) {
    Object.assign(element('upload-state'), { textContent: text });
    element('upload-state').dataset.state = state;
  }

  async function upload(uploadToken) {
    if (!document_ || used.has(uploadToken)) return;
    used.add(uploadToken);
    const form = new FormData();
    for (const [name, value] of [
      ['conference', meetingId], ['room', meetingId], ['temporaryPresentationId', uploadToken], ['pod_id', 'DEFAULT_PRESENTATION_POD'],
      ['is_downloadable', 'false'], ['current', 'true'], ['fileUpload', document_],
    ]) form.append(name, value);
    const { name, size } = document_;
    document_ = null;
    uploadState('uploading', `${name}, ${size} bytes`);
    const url = settings.presentation.uploadEndpoint.replace(/\/upload$/, `/${uploadToken}/upload`);
    try {
      const response = await fetch(url, { method: 'POST', body: form, credentials: 'include' });
      const text = await response.text();
      if (response.status === 413) uploadState('refused', `${name} is too large.`);
      else if (response.ok && text === 'upload-success') uploadState('done', `${name} is here.`);
      else uploadState('failed', `${name} did not arrive: ${response.status}`);
    } catch (error) {
      uploadState('failed', `${name} did not arrive: ${error.message}`);
    }
  }

  function openNotes() {
    document.cookie = `sessionID=s.${token}; Path=/; SameSite=None; Secure`;
    element('notes').src = withToken(`${settings.pads.url}/p/notes`);
    element('notes').hidden = false;
    element('open-notes').hidden = true;
  }

  function showDashboard(access) {
    if (!isModerator || !access) return;
    document.cookie = `ld-${meetingId}=${access}; Path=/; SameSite=None; Secure`;
    const link = element('dashboard');
    link.href = withToken(`${settings.app.learningDashboardBase}/?meeting=${meetingId}`);
    link.hidden = false;
  }

  // The rooms that this user may go to, each with a link of the user's own. `null` stands for "not told yet".
  let breakouts = null;

  function showBreakouts(rooms) {
    const hadRooms = breakouts !== null && breakouts.length > 0;
    breakouts = rooms;
    const state = rooms.length > 0 ? 'open' : hadRooms ? 'ended' : 'none';
    const links = rooms.map((room) => {
      const link = Object.assign(document.createElement('a'), {
        href: room.joinURL, target: '_blank', rel: 'noopener', textContent: `Join ${room.shortName}`,
      });
      link.dataset.sequence = room.sequence;
      const item = document.createElement('li');
      item.append(link);
      return item;
    });
    element('breakout-rooms').replaceChildren(...links);
    element('breakouts').dataset.state = state;
    element('breakouts').hidden = isBreakout || (state === 'none' && !mayOpenBreakouts);
    element('breakouts-note').textContent = {
      open: 'Each room opens in a new tab.', ended: 'The breakout rooms have ended.', none: 'No breakout rooms are open.',
    }[state];
    element('open-breakouts').hidden = !mayOpenBreakouts || state === 'open';
    element('end-breakouts').hidden = !mayOpenBreakouts || state !== 'open';
  }

  function mutate(id, query, variables) {
    graphql.send({ type: 'subscribe', id, payload: { query, variables } });
  }

  function openBreakouts() {
    const rooms = [1, 2].map((sequence) => ({ name: `Room ${sequence}`, sequence, freeJoin: true }));
    const query = 'mutation CreateBreakouts($record: Boolean!, $durationInMinutes: Int!, $rooms: [BreakoutRoom]!) '
      + '{ breakoutRoomCreate(record: $record, durationInMinutes: $durationInMinutes, rooms: $rooms) }';
    mutate('open-breakouts', query, { record: false, durationInMinutes: 15, rooms });
  }

  function endBreakouts() {
    mutate('end-breakouts', 'mutation EndBreakouts { breakoutRoomEndAll }', {});
  }

  function loadSlide(url) {
    bbb.slideUrl = url;
    const slide = element('slide');
    slide.onload = () => {
      slide.hidden = false;
      element('stage-note').hidden = true;
      step('slide', true, url);
    };
    slide.onerror = () => step('slide', false, `${url} did not load`);
    slide.src = url;
  }

  function connectSfu() {
    connect('sfu', withToken(bbb.sfuUrl), [], {
      open: (link) => link.send({ id: 'start', type: 'audio', role: 'recv' }),
      beat: (link) => link.send({ id: 'ping' }),
      message: (link, message) => {
        if (message.id !== 'echo') return;
        showEcho('echo-sfu', message.seen);
        link.up(bbb.sfuUrl);
      },
    });
  }

  // As livekit-client does it: a look at the address, then the socket of v1. Where that does not open, the check of the token
  // tells why: an older LiveKit does not know v1.
  async function connectLiveKit() {
    const given = (settings.media.livekit || {}).url;
    const ownHost = `wss://${location.hostname}/livekit`;
    const url = root.dataset.empty === 'taken' ? given ?? ownHost : given || ownHost;
    bbb.liveKitUrl = url;
    if (!url) {
      step('livekit', false, 'no address');
      return;
    }
    const address = (path) => `${url}${path}?access_token=${encodeURIComponent(liveKitToken)}`;
    await fetch(url.replace(/^ws/, 'http'), { method: 'HEAD' }).catch(() => {});
    connect('livekit', address('/rtc/v1'), [], {
      open: (link) => link.send({ id: 'join' }),
      beat: (link) => link.send({ id: 'ping' }),
      message: (link, message) => {
        if (message.id !== 'echo') return;
        bbb.liveKitServer = message.seen.server;
        link.up(url);
      },
      refused: async (link) => {
        const check = await fetch(address('/rtc/v1/validate').replace(/^ws/, 'http')).catch(() => null);
        if (check && check.status === 404) link.url = address('/rtc');
      },
    });
  }

  function loadStuns() {
    return attempt('stuns', async () => {
      const answer = await getJson(withToken(`${webBase()}/api/stuns`));
      if (answer.returncode === 'FAILED') throw new Error(answer.message);
      return [...answer.stunServers, ...answer.turnServers].map((server) => server.url).join(', ');
    });
  }

  const webBase = () => {
    const path = settings.app.bbbWebBase;
    return path.startsWith('/') ? location.origin + path : path;
  };

  async function measure() {
    await attempt('rtt', async () => {
      const start = performance.now();
      const response = await fetch(`${webBase()}/rtt-check`, { cache: 'no-store' });
      if (!response.ok) throw new Error(`rtt-check answered ${response.status}`);
      return `${(performance.now() - start).toFixed(1)} ms`;
    });
    if (!leaving && !over) rttTimer = setTimeout(measure, HEARTBEAT_MS);
  }

  function closeAll() {
    clearTimeout(rttTimer);
    for (const link of links) {
      clearInterval(link.beat);
      if (link.socket) link.socket.close(1000);
    }
  }

  function end(text) {
    over = 'ended';
    banner(text);
    closeAll();
    refreshState();
  }

  async function leave() {
    leaving = true;
    closeAll();
    sessionStorage.removeItem(TOKEN_KEY);
    if (settings) await fetch(withToken(`${webBase()}/api/signOut`)).catch(() => {});
    if (logoutUrl) location.assign(logoutUrl);
    else banner('You have left the meeting.');
  }

  // The languages that there are, and the one that is spoken here.
  async function speak() {
    bbb.locales = (await getJson('locales/')).map(({ name }) => name);
    const own = `${navigator.language.split('-')[0]}.json`;
    await fetch(`locales/${bbb.locales.includes(own) ? own : 'en.json'}`);
  }

  async function start() {
    drawSteps();
    speak().catch(() => {});
    element('leave').addEventListener('click', leave);
    element('upload').addEventListener('change', chosen);
    element('open-notes').addEventListener('click', openNotes);
    element('open-breakouts').addEventListener('click', openBreakouts);
    element('end-breakouts').addEventListener('click', endBreakouts);
    if (!token) banner('This page was opened without a session. Please join again.');
    if (!await loadVersion() || !await loadSettings()) return;
    connectGraphql();
  }

  start();
})();
