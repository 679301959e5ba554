"""One call through bbb-client: see tests/clients/libraries.rs for the steps."""

import json
import sys
from dataclasses import asdict

from bbb_client.domain.meeting_management.model import Bbb, Features, MeetingDoesNotExist


def main():
    step, plan = sys.argv[1], json.loads(sys.argv[2])
    bbb, meeting = Bbb(plan["url"], plan["secret"]), plan["meeting"]
    if step == "create":
        made = bbb.create_meeting(meeting, plan["name"], "mp", "ap", max_participants=30, features=[Features.CHAT])
        answer = {"made": made}
    elif step == "getMeetings":
        answer = {"meetings": [asdict(found) for found in bbb.get_meetings()]}
    elif step == "getMeetingInfo":
        answer = asdict(bbb.get_meeting_info(meeting))
    elif step == "join":
        answer = {"url": bbb.generate_join_url(meeting, plan["user"], moderator=True)}
    else:
        answer = {"ended": bbb.end_meeting(meeting)}
    return answer


try:
    print(json.dumps(main()))
except MeetingDoesNotExist:
    print(json.dumps({"messageKey": "notFound"}))
