#!/bin/sh
# bigbluebutton-js 0.2.0 (npm): what `bbb.http` gives is not what the server wrote. Text that looks like a number becomes one,
# in ids, names, passwords and metadata too.
#
# Seen, with an answer of `getMeetings` as BBB writes it: the meeting `007` is 7, its name `0042` is 42, its password `1e3` is
# 1000, the metadata `0x1F` is 31, and ` padded ` loses its blanks. A join or an `end` that is made from such an answer names
# another meeting or another password. Numbers of 16 digits and more stay text, so that two ids of one installation can be of
# two types. (fast-xml-parser 3 does so unless it is told not to.)
#
# Who gives ids to such a client (a meetingID, a hookID) is safe with text that is no number, and with whole numbers below 10^15
# without a zero in front.
#
# Needs Node.js and the npm registry. Fails if that changes.
set -eu
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"
npm install --silent --no-audit --no-fund --ignore-scripts bigbluebutton-js@0.2.0 >/dev/null
cat >probe.cjs <<'JS'
const http = require('http');
const bbb = require('bigbluebutton-js');

const answer = `<response><returncode>SUCCESS</returncode><meetings><meeting>
  <meetingName>0042</meetingName><meetingID>007</meetingID><attendeePW>1e3</attendeePW>
  <metadata><course>9007199254740993</course><hex>0x1F</hex><note> padded </note></metadata>
</meeting></meetings></response>`;
const server = http.createServer((_, response) => {
  response.setHeader('content-type', 'text/xml');
  response.end(answer);
});
server.listen(0, '127.0.0.1', async () => {
  const api = bbb.api(`http://127.0.0.1:${server.address().port}/bigbluebutton/`, 'secret');
  const { meetings } = await bbb.http(api.monitoring.getMeetings());
  console.log(JSON.stringify(meetings[0]));
  server.close();
});
JS
seen=$(node probe.cjs)
echo "$seen"
test "$seen" = '{"meetingName":42,"meetingID":7,"attendeePW":1000,"metadata":{"course":"9007199254740993","hex":31,"note":"padded"}}'
