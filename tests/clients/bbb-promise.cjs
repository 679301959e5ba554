// One call through bbb-promise: see tests/clients.rs for the steps.
'use strict';

const bbb = require('bbb-promise');

const [step, { url, secret, name, meeting, user, password }] = [process.argv[2], JSON.parse(process.argv[3])];
const { administration, monitoring } = bbb.server(url, secret);

const steps = {
  create: () => administration.create(name, meeting),
  isMeetingRunning: () => monitoring.isMeetingRunning(meeting),
  getMeetings: () => monitoring.getMeetings(),
  getMeetingInfo: () => monitoring.getMeetingInfo(meeting),
  join: () => ({ url: administration.join(user, meeting, password) }),
  end: () => administration.end(meeting, password),
};

Promise.resolve(steps[step]()).then((answer) => console.log(JSON.stringify(answer)));
