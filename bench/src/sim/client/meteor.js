// Takes the steps of the BigBlueButton 2.7 client: settings from the page, `enter`, data over sockjs, media signalling.
'use strict';

(async () => {
  const state = (word) => {
    const shown = document.getElementById('state');
    Object.assign(shown, { textContent: word });
    shown.dataset.state = word;
  };
  const settings = window.__meteor_runtime_config__.PUBLIC_SETTINGS;
  const token = new URLSearchParams(location.search).get('sessionToken');
  const { response: user } = await (await fetch(`/bigbluebutton/api/enter?sessionToken=${token}`)).json();
  if (user.returncode !== 'SUCCESS') {
    state('failed');
    return;
  }
  document.getElementById('meeting').textContent = user.confname;
  const id = Math.random().toString(36).slice(2, 10);
  const data = new WebSocket(`wss://${location.hostname}/html5client/sockjs/${100 + Math.floor(Math.random() * 900)}/${id}/websocket`);
  const say = (message) => data.send(JSON.stringify([JSON.stringify(message)]));
  const sfu = new WebSocket(`${settings.kurento.wsUrl}?sessionToken=${token}`);
  let signalling = false;
  let isIn = false;
  const check = () => { if (signalling && isIn) state('ready'); };
  sfu.onopen = () => { signalling = true; check(); };
  data.onmessage = ({ data: frame }) => {
    if (frame === 'o') {
      say({ msg: 'connect', version: '1', support: ['1'] });
      say({ msg: 'method', id: '1', method: 'validateAuthToken', params: [user.meetingID, user.internalUserID, user.authToken] });
    } else if (frame.startsWith('a')) {
      for (const message of JSON.parse(frame.slice(1)).map((text) => JSON.parse(text))) {
        if (message.msg === 'result' && message.result.invalid === false) isIn = true;
        if (message.msg === 'ping') say({ msg: 'pong', id: message.id });
      }
      check();
    }
  };
  for (const socket of [data, sfu]) socket.onclose = () => state('closed');
})();
