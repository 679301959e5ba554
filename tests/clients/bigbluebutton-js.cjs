// One call through bigbluebutton-js: see tests/clients/libraries.rs for the steps.
'use strict';

const bbb = require('bigbluebutton-js');

const [step, { url, secret, name, meeting, user, password, record }] = [process.argv[2], JSON.parse(process.argv[3])];
const { administration, monitoring, recording } = bbb.api(url, secret);

const steps = {
  create: () => bbb.http(administration.create(name, meeting)),
  isMeetingRunning: () => bbb.http(monitoring.isMeetingRunning(meeting)),
  getMeetings: () => bbb.http(monitoring.getMeetings()),
  getMeetingInfo: () => bbb.http(monitoring.getMeetingInfo(meeting)),
  join: () => ({ url: administration.join(user, meeting, password) }),
  end: () => bbb.http(administration.end(meeting, password)),
  getRecordings: () => bbb.http(recording.getRecordings({ meetingID: meeting })),
  publishRecordings: () => bbb.http(recording.publishRecordings(record, false)),
  deleteRecordings: () => bbb.http(recording.deleteRecordings(record)),
};

Promise.resolve(steps[step]()).then((answer) => console.log(JSON.stringify(answer)));
