// One call through bbb-promise: see tests/clients/libraries.rs for the steps.
'use strict';

const bbb = require('bbb-promise');

const [step, { url, secret, name, meeting, user, password, record }] = [process.argv[2], JSON.parse(process.argv[3])];
const { administration, monitoring, recording } = bbb.server(url, secret);

const steps = {
  create: () => administration.create(name, meeting),
  isMeetingRunning: () => monitoring.isMeetingRunning(meeting),
  getMeetings: () => monitoring.getMeetings(),
  getMeetingInfo: () => monitoring.getMeetingInfo(meeting),
  join: () => ({ url: administration.join(user, meeting, password) }),
  end: () => administration.end(meeting, password),
  getRecordings: () => recording.getRecordings({ meetingID: meeting }),
  publishRecordings: () => recording.publishRecordings(record, false),
  deleteRecordings: () => recording.deleteRecordings(record),
};

Promise.resolve(steps[step]()).then((answer) => console.log(JSON.stringify(answer)));
