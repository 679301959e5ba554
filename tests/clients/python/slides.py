"""One call through the package bigbluebutton, which uploads slides with its create: see tests/clients/libraries.rs for the steps."""

import json
import sys

from bigbluebutton import Meeting, MeetingSetup


def main():
    step, plan = sys.argv[1], json.loads(sys.argv[2])
    url, secret, meeting = plan["url"], plan["secret"], plan["meeting"]
    bbb = Meeting(url, secret)
    if step == "create":
        setup = MeetingSetup(
            url, secret, plan["name"], meeting, "ap", "mp", duration=30, pre_upload_slide=plan["slides"]
        )
        answer = {"made": setup.create_meeting()}
    elif step == "isMeetingRunning":
        answer = {"running": bbb.is_running(meeting)}
    elif step == "join":
        answer = {"url": bbb.join_url(meeting, plan["user"], plan["password"])}
    else:
        answer = {"ended": bbb.end_meeting(meeting, plan["password"])}
    return answer


print(json.dumps(main()))
