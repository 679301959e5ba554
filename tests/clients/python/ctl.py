"""One call through bbbctl: see tests/clients/libraries.rs for the steps."""

import json
import sys

from bbbctl import ApiError, BBBApiClient, format_json


def main():
    step, plan = sys.argv[1], json.loads(sys.argv[2])
    bbb, meeting = BBBApiClient(plan["url"], plan["secret"]), plan["meeting"]
    if step == "create":
        answer = bbb.createMeeting(meeting, plan["name"])
    elif step == "isMeetingRunning":
        answer = bbb.call("isMeetingRunning", meetingID=meeting)
    elif step == "getMeetings":
        # The library raises for all but a success.
        return {"returncode": "SUCCESS", "meetings": [json.loads(format_json(found)) for found in bbb.getMeetings()]}
    elif step == "getMeetingInfo":
        answer = bbb.getMeetingInfo(meeting)
    elif step == "join":
        return {"url": bbb.getJoinLink(meeting, plan["user"], role="MODERATOR")}
    elif step == "sendChatMessage":
        answer = bbb.sendChatMessage(meeting, plan["message"], plan["user"])
    elif step == "getRecordings":
        return {"recordings": [json.loads(format_json(found)) for found in bbb.getRecordings(meetingID=meeting)]}
    elif step == "publishRecordings":
        answer = bbb.publishRecordings(plan["record"], "false")
    elif step == "deleteRecordings":
        answer = bbb.deleteRecordings(plan["record"])
    else:
        answer = bbb.end(meeting)
    return json.loads(format_json(answer))


try:
    print(json.dumps(main()))
except ApiError as refusal:
    print(format_json(refusal.tree))
