// One flow of a meeting in a browser, as people have them. Which one, and where, is in the plan.
//
// Called with a plan in JSON on standard input; see tests/browser/flows.rs for what is in it.
// Exits with 1 at the first thing that is not as it should be.

import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { launch, open, screenshot, untilReady } from './browser.mjs';
import { Watch } from './watch.mjs';

const plan = JSON.parse(readFileSync(0, 'utf8'));
const FLOWS = { privateWindow, embedded, reconnects, breakout, guest, documents, dashboard, notes, recording, older, liveKit, strangers, connections };

const rules = `MAP *.localhost:443 127.0.0.1:${plan.port}, MAP * ~NOTFOUND`;
// A private window gives frames of other sites no storage at all, which BBB's client does not bear.
const browser = await (plan.flow === 'embedded' ? launch : open)(plan, rules);
try {
  await FLOWS[plan.flow]();
} finally {
  await browser.close();
}

// A window of its own, with nothing that another one has left.
async function window_() {
  const context = await browser.newContext({ viewport: { width: 1280, height: 860 } });
  return { context, watch: new Watch(context) };
}

async function enter(context, link, label) {
  const page = await context.newPage();
  await page.goto(link);
  await untilReady({ label, page }, plan.screenshots);
  return page;
}

async function done(label, watch, hosts = [plan.host]) {
  await watch.check(label, hosts, plan.forbidden);
}

// Asks the stage to do something.
async function stage(what) {
  const response = await fetch(`${plan.stage}/${what}`);
  assert.equal(response.status, 200, what);
  return response.text();
}

// Two windows that know nothing of each other, in one meeting; one is closed and forgets.
async function privateWindow() {
  const [first, second] = [await window_(), await window_()];
  const page = await enter(first.context, plan.links[0], 'private-one');
  await enter(second.context, plan.links[1], 'private-two');
  await screenshot(page, plan.screenshots, 'private-window');
  await done('one', first.watch);
  await done('two', second.watch);
  await second.context.close();
  const third = await window_();
  const stranger = await third.context.newPage();
  // Whoever has nothing but the address is nobody.
  const address = page.url();
  await stranger.goto(address);
  await stranger.waitForFunction(() => document.querySelector('#state')?.dataset.state === 'failed');
  assert.equal(await page.locator('#state').getAttribute('data-state'), 'ready');
}

// A page of another site shows the meeting in a frame, in a browser that gives frames of other sites no cookies that do not
// ask for it.
async function embedded() {
  const [context, watch] = [browser, new Watch(browser)];
  const page = await context.newPage();
  await page.goto(`https://${plan.site}/course`);
  await page.frameLocator('iframe').locator('#state[data-state="ready"]').waitFor({ timeout: 30_000 });
  await screenshot(page, plan.screenshots, 'embedded');
  const frame = page.frames().find((frame) => new URL(frame.url()).host === plan.host);
  const allowed = await frame.evaluate(() => document.featurePolicy.allowedFeatures());
  assert.ok(['camera', 'microphone'].every((feature) => allowed.includes(feature)), String(allowed));
  // A page that is isolated shows only what is for other origins.
  await page.goto(`https://${plan.site}/isolated`);
  await page.frameLocator('iframe').locator('#state[data-state="ready"]').waitFor({ timeout: 30_000 });
  const cookies = (await context.cookies()).filter(({ domain }) => domain === plan.host);
  assert.ok(cookies.length > 0, 'there is a session');
  for (const { name, sameSite, secure, partitionKey } of cookies) {
    assert.ok(secure && sameSite === 'None' && partitionKey.includes(plan.site), `${name}: ${sameSite}, ${partitionKey}`);
  }
  // Whoever is not named does not get to show it.
  const refused = page.waitForEvent('console', { predicate: (message) => message.text().includes('frame-ancestors') });
  await page.goto(`https://${plan.otherSite}/course`);
  await refused;
  assert.equal(await page.frameLocator('iframe').locator('#state').count(), 0, 'nothing of the meeting is shown');
  await done('embedded', watch, [plan.host, plan.site, plan.otherSite]);
}

// All sockets are cut, and come back by themselves.
async function reconnects() {
  const { context, watch } = await window_();
  const page = await enter(context, plan.links[0], 'reconnects');
  assert.ok(watch.open('/graphql') === 1 && watch.open('/bbb-webrtc-sfu') === 1);
  await stage('cut');
  await page.waitForFunction(() => window.__bbb.reconnects >= 2, null, { timeout: 60_000 });
  await untilReady({ label: 'reconnects', page }, plan.screenshots);
  assert.ok(watch.open('/graphql') === 1 && watch.open('/bbb-webrtc-sfu') === 1);
  await done('reconnects', watch);
}

// Page and sockets of two tabs are on one connection, or else each socket has its own. A browser asks without cookies, as the
// client does for the version, on another connection. Those of the calls that made the meeting close by themselves. On a
// shared connection each socket but one has a place of its own; without that, each has.
async function connections() {
  const { context, watch } = await window_();
  const page = await enter(context, plan.links[0], 'connections');
  await page.reload();
  await untilReady({ label: 'connections', page }, plan.screenshots);
  await enter(context, plan.links[1], 'connections-second-tab');
  assert.ok(watch.open('/graphql') === 2 && watch.open('/bbb-webrtc-sfu') === 2);
  const until = Date.now() + 30_000;
  let open, places, sockets;
  do {
    [open, places, sockets] = JSON.parse(await stage('connections'));
  } while (open > 2 && Date.now() < until);
  assert.equal(open, 2, 'connections in HTTP');
  assert.ok(sockets >= 4, `${sockets} sockets`);
  assert.equal(places - open, plan.shared ? sockets - 1 : sockets, 'places of sockets alone');
  await done('connections', watch);
}

function state(page, name) {
  return page.locator(`#state[data-state="${name}"]`).waitFor({ timeout: 30_000 });
}

// A moderator opens two rooms, a participant goes to one in a new tab and comes back; the rooms are ended.
async function breakout() {
  const [first, second] = [await window_(), await window_()];
  const moderator = await enter(first.context, plan.links[0], 'breakout-moderator');
  const page = await enter(second.context, plan.links[1], 'breakout-participant');
  await moderator.locator('#open-breakouts').click();
  const link = page.locator('#breakout-rooms a').first();
  await link.waitFor();
  assert.equal(new URL(await link.getAttribute('href')).host, plan.host);
  const [room] = await Promise.all([second.context.waitForEvent('page'), link.click()]);
  await untilReady({ label: 'breakout-room', page: room }, plan.screenshots);
  assert.equal(await room.locator('html').getAttribute('data-breakout'), 'true');
  assert.equal(new URL(room.url()).host, plan.host);
  await room.reload();
  await untilReady({ label: 'breakout-room', page: room }, plan.screenshots);
  await screenshot(room, plan.screenshots, 'breakout-room');
  // The meeting goes on beside it.
  assert.equal(await page.locator('#state').getAttribute('data-state'), 'ready');
  await moderator.locator('#end-breakouts').click();
  await state(room, 'ended');
  await page.locator('#breakouts[data-state="ended"]').waitFor();
  await room.close();
  await page.reload();
  await untilReady({ label: 'breakout-back', page }, plan.screenshots);
  await done('moderator', first.watch);
  await done('participant', second.watch);
}

// A guest waits, is let in, and is in the meeting; another one is turned away.
async function guest() {
  const [first, second, third] = [await window_(), await window_(), await window_()];
  const moderator = await enter(first.context, plan.links[0], 'guest-moderator');
  const [welcome, unwelcome] = [await second.context.newPage(), await third.context.newPage()];
  await welcome.goto(plan.guests[0]);
  await state(welcome, 'waiting');
  await screenshot(welcome, plan.screenshots, 'guest-waits');
  assert.ok(!second.watch.open('/bbb-webrtc-sfu'), 'who waits has no sound');
  await moderator.locator('#waiting li').getByText('Let in').click();
  await untilReady({ label: 'guest', page: welcome }, plan.screenshots);
  await unwelcome.goto(plan.guests[1]);
  await state(unwelcome, 'waiting');
  await moderator.locator('#waiting li').getByText('Turn away').click();
  await state(unwelcome, 'ended');
  await done('moderator', first.watch);
  await done('guest', second.watch);
  await done('turned away', third.watch);
}

// A document of 30 MB goes up and is shown; one that is larger is refused in words.
async function documents() {
  const { context, watch } = await window_();
  const page = await enter(context, plan.links[0], 'documents');
  const before = await page.evaluate(() => window.__bbb.slideUrl);
  const give = (name, size) => {
    const path = join(plan.home, name);
    writeFileSync(path, Buffer.alloc(size, 7));
    return page.locator('#upload').setInputFiles(path);
  };
  // With its form it is a little more than the file.
  await give('lecture.pdf', 29_990_000);
  await page.locator('#upload-state[data-state="done"]').waitFor({ timeout: 60_000 });
  await page.waitForFunction((old) => window.__bbb.slideUrl !== old, before);
  await untilReady({ label: 'documents', page }, plan.screenshots);
  await give('too-large.pdf', 31_000_000);
  await page.waitForFunction(() => ['refused', 'failed'].includes(document.querySelector('#upload-state').dataset.state));
  assert.match(await page.locator('#upload-state').innerText(), /too large/);
  await screenshot(page, plan.screenshots, 'documents');
  await done('documents', watch);
}

// The learning dashboard in a tab of its own, by the cookie of the client and by the session; and its link in a browser that has
// neither.
async function dashboard() {
  const { context, watch } = await window_();
  const page = await enter(context, plan.links[0], 'dashboard');
  const [tab] = await Promise.all([context.waitForEvent('page'), page.locator('#dashboard').click()]);
  await tab.waitForFunction(() => document.querySelector('#state')?.textContent === 'file session', null, { timeout: 30_000 });
  assert.match(await tab.locator('#users').innerText(), /Ada Lovelace/);
  assert.equal(new URL(tab.url()).host, plan.host);
  await screenshot(tab, plan.screenshots, 'dashboard');
  await done('dashboard', watch);
  const { name, value: report } = (await context.cookies()).find(({ name }) => name.startsWith('ld-'));
  const other = await window_();
  const link = await other.context.newPage();
  await link.goto(`https://${plan.host}/learning-analytics-dashboard/?meeting=${name.slice(3)}&report=${report}`);
  await link.waitForFunction(() => document.querySelector('#state')?.textContent === 'file', null, { timeout: 30_000 });
  assert.match(await link.locator('#users').innerText(), /Ada Lovelace/);
  assert.equal(await link.locator('html').getAttribute('data-words'), 'Meeting');
  await done('dashboard elsewhere', other.watch);
}

// What one writes into the shared notes the other reads.
async function notes() {
  const [first, second] = [await window_(), await window_()];
  const pads = [];
  for (const [at, { context }] of [first, second].entries()) {
    const page = await enter(context, plan.links[at], `notes-${at}`);
    await page.locator('#open-notes').click();
    const pad = page.frameLocator('#notes');
    await pad.locator('#state').getByText('ready').waitFor({ timeout: 30_000 });
    pads.push({ page, pad });
  }
  await pads[0].pad.locator('#text').fill('Minutes of the assembly');
  await pads[1].pad.locator('#text').waitFor();
  const deadline = Date.now() + 30_000;
  while (await pads[1].pad.locator('#text').inputValue() !== 'Minutes of the assembly') {
    assert.ok(Date.now() < deadline, 'the other one does not read it');
    await pads[1].page.waitForTimeout(50);
  }
  await screenshot(pads[1].page, plan.screenshots, 'notes');
  await done('writer', first.watch);
  await done('reader', second.watch);
}

// A recording is watched, from its middle too.
async function recording() {
  const { context, watch } = await window_();
  const page = await context.newPage();
  await page.goto(plan.recording);
  const said = page.locator('#state');
  await said.getByText('ready').waitFor({ timeout: 30_000 });
  assert.equal(await page.locator('#name').innerText(), "Members' assembly");
  await page.evaluate(() => { document.querySelector('#sound').currentTime = 42; });
  await said.getByText('at 42 s').waitFor({ timeout: 30_000 });
  assert.equal(new URL(page.url()).host, plan.host);
  await screenshot(page, plan.screenshots, 'recording');
  await done('recording', watch);
  const stranger = await page.goto(plan.recording.replace(plan.host, plan.otherHost));
  assert.equal(stranger.status(), 404, 'it is not another tenant\'s');
}

// A meeting on a server of an older release, to the end and after a reload.
async function older() {
  const { context, watch } = await window_();
  const page = await context.newPage();
  await page.goto(plan.links[0]);
  await state(page, 'ready');
  assert.equal(new URL(page.url()).pathname.replace(/^\/s\/[a-z2-7]+/, ''), plan.path);
  await page.reload();
  await state(page, 'ready');
  await screenshot(page, plan.screenshots, `older-${plan.label}`);
  await done('older', watch);
}

// Two meetings in two tabs of one window, on servers whose clients and settings differ: each has its own server's LiveKit, notes
// and images.
async function liveKit() {
  const { context, watch } = await window_();
  const pages = [];
  for (const [at, link] of plan.links.entries()) pages.push(await enter(context, link, `livekit-${at}`));
  const seen = [];
  for (const page of pages) {
    const { prefix, url, server } = await page.evaluate(() => ({
      prefix: location.pathname.replace(/\/html5client\/.*/, ''), url: window.__bbb.liveKitUrl, server: window.__bbb.liveKitServer,
    }));
    const [start, end] = [`wss://${plan.host}${prefix}/of/`, '/livekit'];
    assert.ok(url.startsWith(start) && url.endsWith(end), url);
    assert.match(url.slice(start.length, -end.length), /^[\w-]{43}$/);
    assert.equal(await page.evaluate(notesServer), server, 'the notes are on the same server');
    assert.equal(await page.evaluate(image), 'seen');
    seen.push(server);
  }
  assert.notEqual(seen[0], seen[1]);
  await screenshot(pages[1], plan.screenshots, 'livekit');
  await done('livekit', watch);
}

// As the client opens its notes; the server says who it is.
async function notesServer() {
  const options = { headers: { 'x-session-token': sessionStorage.getItem('BBB_sessionToken') } };
  const data = await (await fetch(`${window.__bbb.apiUrl}/meetingStaticData`, options)).json();
  const { sharedNotes } = data.meeting[0].clientSettings.clientSettingsJson.public;
  const token = sessionStorage.getItem('BBB_sessionToken');
  const socket = new WebSocket(`wss://${sharedNotes.serverHostname || location.hostname}/hocuspocus/collaboration?sessionToken=${token}`);
  return new Promise((resolve) => {
    socket.onopen = () => socket.send('notes');
    socket.onmessage = ({ data: told }) => resolve(JSON.parse(told).seen.server);
    socket.onclose = ({ code }) => resolve(`closed with ${code}`);
  });
}

// As the client puts an image into the chat and shows it: at the root of the host.
async function image() {
  const token = sessionStorage.getItem('BBB_sessionToken');
  const canvas = Object.assign(document.createElement('canvas'), { width: 8, height: 8 });
  canvas.getContext('2d').fillRect(0, 0, 4, 4);
  const form = new FormData();
  form.append('file', await new Promise((resolve) => { canvas.toBlob(resolve, 'image/png'); }), 'a.png');
  const answer = await fetch(`/bigbluebutton/fileUpload/upload?sessionToken=${token}`, { method: 'POST', body: form });
  if (answer.status !== 201) return `refused with ${answer.status}`;
  const { url } = await answer.json();
  const shown = new Image();
  return new Promise((resolve) => {
    shown.onload = () => resolve(shown.naturalWidth === 8 ? 'seen' : 'another image');
    shown.onerror = () => resolve('not seen');
    shown.src = `${url}?sessionToken=${token}`;
  });
}

// Somebody of another tenant, who has a meeting on the same server, tries every address of a meeting on their own host.
async function strangers() {
  const first = await window_();
  const page = await enter(first.context, plan.links[0], 'strangers-first');
  await page.locator('#open-notes').click();
  await page.frameLocator('#notes').locator('#state').getByText('ready').waitFor({ timeout: 30_000 });
  const [tab] = await Promise.all([first.context.waitForEvent('page'), page.locator('#dashboard').click()]);
  await tab.waitForFunction(() => document.querySelector('#state')?.textContent === 'file session');
  await done('first', first.watch);
  const second = await window_();
  const other = await enter(second.context, plan.otherLink, 'strangers-second');

  const addresses = [...new Map(first.watch.addresses.map((address) => [address.href, address])).values()];
  const tokens = new Set(addresses.map(({ searchParams }) => searchParams.get('sessionToken')).filter((token) => token));
  assert.equal(tokens.size, 1);
  const [token] = tokens;
  const asked = { pages: 0, sockets: 0 };
  for (const { protocol, pathname, search } of addresses) {
    const path = pathname + search;
    if (protocol === 'wss:') {
      const closed = await other.evaluate(socketOf, { path, token });
      assert.ok(closed === 'never open' || closed === 4403, `${path}: ${closed}`);
      asked.sockets += 1;
      continue;
    }
    const answer = await other.evaluate(answerOf, { path, token: /\/api\/rest\//.test(path) ? token : null });
    // The client and its server's name in the path are the same for all who have a meeting there.
    const isShared = !search && /\/(html5client\/.*|rtt-check|bigbluebutton\/api|livekit|pad\/static\/.*|static\/js\/.*|)$/.test(pathname);
    assert.ok(isShared || answer.status >= 400 || /FAILED|checksumError/.test(answer.text), `${path}: ${JSON.stringify(answer)}`);
    assert.ok(!/Ada|assembly/.test(answer.text), `${path}: ${answer.text}`);
    asked.pages += 1;
  }
  assert.ok(asked.pages > 12 && asked.sockets >= 3, JSON.stringify(asked));
}

async function answerOf({ path, token }) {
  const answer = await fetch(path, { redirect: 'manual', headers: token ? { 'x-session-token': token } : {} });
  return { status: answer.status, text: await answer.text() };
}

function socketOf({ path, token }) {
  return new Promise((resolve) => {
    const isGraphql = path.endsWith('/graphql');
    const socket = new WebSocket(`wss://${location.host}${path}`, isGraphql ? 'graphql-transport-ws' : []);
    let wasOpen = false;
    socket.onopen = () => {
      wasOpen = true;
      if (isGraphql) socket.send(JSON.stringify({ type: 'connection_init', payload: { headers: { 'X-Session-Token': token } } }));
      else resolve('open');
    };
    socket.onmessage = ({ data }) => resolve(data);
    socket.onclose = ({ code }) => resolve(wasOpen ? code : 'never open');
  });
}
