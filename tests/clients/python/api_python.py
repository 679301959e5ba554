"""One call through bigbluebutton-api-python: see tests/clients/libraries.rs for the steps."""

import json
import sys

from bigbluebutton_api_python import BigBlueButton
from bigbluebutton_api_python.exception import BBBException


def main():
    step, plan = sys.argv[1], json.loads(sys.argv[2])
    bbb, meeting = BigBlueButton(plan["url"], plan["secret"]), plan["meeting"]
    if step == "create":
        answer = bbb.create_meeting(meeting, params={"name": plan["name"]}).rawXml
    elif step == "isMeetingRunning":
        answer = bbb.is_meeting_running(meeting).rawXml
    elif step == "getMeetings":
        answer = bbb.get_meetings().rawXml
    elif step == "getMeetingInfo":
        answer = bbb.get_meeting_info(meeting).rawXml
    elif step == "join":
        answer = {"url": bbb.get_join_meeting_url(plan["user"], meeting, plan["password"])}
    elif step == "getRecordings":
        answer = bbb.get_recordings(meeting).rawXml
    elif step == "publishRecordings":
        answer = bbb.publish_recordings(plan["record"], False).rawXml
    elif step == "deleteRecordings":
        answer = bbb.delete_recordings(plan["record"]).rawXml
    else:
        answer = bbb.end_meeting(meeting, plan["password"]).rawXml
    return answer


try:
    print(json.dumps(main()))
except BBBException as refusal:
    print(json.dumps({"returncode": "FAILED", "messageKey": refusal.key}))
