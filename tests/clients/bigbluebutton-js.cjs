// One call through bigbluebutton-js: see tests/clients.rs for the steps.
'use strict';

const bbb = require('bigbluebutton-js');

const [step, { url, secret, name, meeting, user, password }] = [process.argv[2], JSON.parse(process.argv[3])];
const { administration, monitoring } = bbb.api(url, secret);

const steps = {
  create: () => bbb.http(administration.create(name, meeting)),
  isMeetingRunning: () => bbb.http(monitoring.isMeetingRunning(meeting)),
  getMeetings: () => bbb.http(monitoring.getMeetings()),
  getMeetingInfo: () => bbb.http(monitoring.getMeetingInfo(meeting)),
  join: () => ({ url: administration.join(user, meeting, password) }),
  end: () => bbb.http(administration.end(meeting, password)),
};

Promise.resolve(steps[step]()).then((answer) => console.log(JSON.stringify(answer)));
