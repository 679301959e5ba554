// One call through bigbluebutton-js: see tests/clients/libraries.rs for the steps.
'use strict';

const bbb = require('bigbluebutton-js');

const [step, plan] = [process.argv[2], JSON.parse(process.argv[3])];
const { url, secret, name, meeting, user, password, record, callback, hook, options } = plan;
const { administration, monitoring, recording, hooks } = bbb.api(url, secret);

const steps = {
  create: () => bbb.http(administration.create(name, meeting, options)),
  isMeetingRunning: () => bbb.http(monitoring.isMeetingRunning(meeting)),
  getMeetings: () => bbb.http(monitoring.getMeetings()),
  getMeetingInfo: () => bbb.http(monitoring.getMeetingInfo(meeting)),
  join: () => ({ url: administration.join(user, meeting, password) }),
  end: () => bbb.http(administration.end(meeting, password)),
  getRecordings: () => bbb.http(recording.getRecordings({ meetingID: meeting })),
  publishRecordings: () => bbb.http(recording.publishRecordings(record, false)),
  deleteRecordings: () => bbb.http(recording.deleteRecordings(record)),
  createHook: () => bbb.http(hooks.create(callback, { meetingID: meeting, eventID: 'meeting-ended,user-left' })),
  listHooks: () => bbb.http(hooks.list({ meetingID: meeting })),
  destroyHook: () => bbb.http(hooks.destroy(hook)),
};

Promise.resolve(steps[step]()).then((answer) => console.log(JSON.stringify(answer)));
