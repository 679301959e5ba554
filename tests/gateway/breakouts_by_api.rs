//! Breakout rooms that a tenant makes by `create`: rooms of its own meetings, on their servers, within their limits.

use std::time::Duration;

use anteroom_bench::{
    sign,
    sim::{Breakage, MeetingView},
};
use futures_util::future::join_all;

use crate::support::{Joined, Plan, Reply, Stage, eventually, host, secret};

/// Two tenants that have breakout rooms, on a level with one room and two participants.
async fn stage() -> Stage {
    let limits = "---[limits]\nbreakouts = true\nparticipants = 2";
    let plan = Plan::new().server("members").tenant_with("wagtail", "free", limits);
    let stage = plan.tenant_with("heron", "free", limits).tenant("plover", "free").start().await;
    for tenant in ["wagtail", "heron", "plover"] {
        assert_eq!(stage.create(tenant, "parent").await.xml("returncode"), "SUCCESS");
    }
    stage
}

async fn room(stage: &Stage, tenant: &str, id: &str, more: &[(&str, &str)]) -> Reply {
    let mut params =
        vec![("name", id), ("meetingID", id), ("isBreakout", "true"), ("parentMeetingID", "parent"), ("sequence", "1")];
    for (name, value) in more {
        params.retain(|(have, _)| have != name);
        params.push((name, value));
    }
    stage.api(tenant, "create", &params).await
}

/// What the server has under an internal id.
fn on_server(stage: &Stage, id: &str) -> Option<MeetingView> {
    stage.sims[0].meetings().into_iter().find(|meeting| meeting.int_id == id)
}

async fn about(stage: &Stage, tenant: &str, call: &str, id: &str) -> Reply {
    stage.api(tenant, call, &[("meetingID", id)]).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_room_is_made_joined_listed_and_ended_by_the_tenants_own_id() {
    let stage = stage().await;
    let parent = about(&stage, "wagtail", "getMeetingInfo", "parent").await.xml("internalMeetingID").to_owned();
    let more = [("freeJoin", "true"), ("record", "true"), ("duration", "600"), ("meta_course", "Bio")];
    let made = room(&stage, "wagtail", "group 1", &more).await;
    assert_eq!((made.xml("returncode"), made.xml("meetingID")), ("SUCCESS", "group 1"), "{}", made.body);
    assert_eq!(made.xml("parentMeetingID"), parent);
    let id = made.xml("internalMeetingID");
    let room_there = on_server(&stage, id).unwrap();
    for (name, value) in [
        ("isBreakout", "true"),
        ("parentMeetingID", &*parent),
        ("sequence", "1"),
        ("freeJoin", "true"),
        ("record", "false"),
        ("maxParticipants", "2"),
        ("meta_course", "Bio"),
    ] {
        assert_eq!(room_there.params.get(name).map(String::as_str), Some(value), "{name}");
    }
    assert!(
        room_there.params["duration"].parse::<u32>().is_ok_and(|minutes| (1..=60).contains(&minutes)),
        "{room_there:?}"
    );
    // Its meeting lists it, and no list of meetings.
    let info = about(&stage, "wagtail", "getMeetingInfo", "parent").await;
    assert!(info.body.contains(&format!("<breakout>{id}</breakout>")), "{}", info.body);
    let list = stage.api("wagtail", "getMeetings", &[]).await;
    assert_eq!(list.body.matches("<meeting>").count(), 1, "{}", list.body);
    // Asked for again it is there, under either id of its meeting, and takes no room of the level.
    for parent in ["parent", &*parent] {
        let again = room(&stage, "wagtail", "group 1", &[("parentMeetingID", parent)]).await;
        assert_eq!(
            (again.xml("messageKey"), again.xml("internalMeetingID")),
            ("duplicateWarning", id),
            "{}",
            again.body
        );
    }
    let info = about(&stage, "wagtail", "getMeetingInfo", "group 1").await;
    assert_eq!((info.xml("meetingID"), info.xml("isBreakout")), ("group 1", "true"), "{}", info.body);
    assert_eq!(about(&stage, "wagtail", "isMeetingRunning", "group 1").await.xml("running"), "false");
    let ada = stage.join("wagtail", "group 1", "Ada").await;
    assert_eq!(ada.status, 302, "{ada:?}");
    let _socket = stage.graphql("wagtail", &Joined::by("wagtail", &ada)).await.expect("its GraphQL socket");
    eventually("somebody is in it", async || {
        about(&stage, "wagtail", "isMeetingRunning", "group 1").await.xml("running") == "true"
    })
    .await;
    assert_eq!(about(&stage, "wagtail", "end", "group 1").await.xml("returncode"), "SUCCESS");
    assert!(on_server(&stage, id).is_none());
    assert_eq!(about(&stage, "wagtail", "getMeetingInfo", "group 1").await.xml("messageKey"), "notFound");
    assert_eq!(about(&stage, "wagtail", "getMeetingInfo", "parent").await.xml("returncode"), "SUCCESS");
    // The next one of that id ends with its meeting.
    assert_eq!(room(&stage, "wagtail", "group 1", &[]).await.xml("returncode"), "SUCCESS");
    stage.api("wagtail", "end", &[("meetingID", "parent")]).await;
    assert_eq!(about(&stage, "wagtail", "getMeetingInfo", "group 1").await.xml("messageKey"), "notFound");
    assert_eq!(stage.join("wagtail", "group 1", "Ada").await.xml("messageKey"), "meetingForciblyEnded");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_room_needs_a_running_meeting_of_the_tenant_whose_level_has_rooms() {
    let stage = stage().await;
    let theirs = about(&stage, "heron", "getMeetingInfo", "parent").await.xml("internalMeetingID").to_owned();
    let first = room(&stage, "wagtail", "first", &[]).await;
    let first = first.xml("internalMeetingID").to_owned();
    stage.api("heron", "end", &[("meetingID", "parent")]).await;
    stage.create("heron", "only-theirs").await;
    for (what, tenant, more, key) in [
        ("no parent", "wagtail", ("parentMeetingID", ""), "parentMeetingIDMissing"),
        ("no such parent", "wagtail", ("parentMeetingID", "unknown"), "parentMeetingDoesNotExist"),
        ("another tenant's", "wagtail", ("parentMeetingID", "only-theirs"), "parentMeetingDoesNotExist"),
        ("another tenant's, by its internal id", "wagtail", ("parentMeetingID", &*theirs), "parentMeetingDoesNotExist"),
        ("a meeting that is over", "heron", ("parentMeetingID", "parent"), "parentMeetingDoesNotExist"),
        ("over, by its internal id", "heron", ("parentMeetingID", &*theirs), "parentMeetingDoesNotExist"),
        ("a room", "wagtail", ("parentMeetingID", "first"), "parentMeetingDoesNotExist"),
        ("a room, by its internal id", "wagtail", ("parentMeetingID", &*first), "parentMeetingDoesNotExist"),
        ("a level without rooms", "plover", ("sequence", "2"), "validationError"),
        ("no number", "wagtail", ("sequence", ""), "validationError"),
        ("another number than BBB has", "wagtail", ("sequence", "17"), "validationError"),
        ("no name", "wagtail", ("name", ""), "emptyError"),
        ("the id of a meeting", "wagtail", ("meetingID", "parent"), "idNotUnique"),
    ] {
        let refused = room(&stage, tenant, "group 1", &[more]).await;
        assert_eq!(refused.xml("messageKey"), key, "{what}: {}", refused.body);
    }
    let named_like_a_room = stage.create("wagtail", "first").await;
    assert_eq!(named_like_a_room.xml("messageKey"), "idNotUnique", "{}", named_like_a_room.body);
    let rooms = stage.sims[0].meetings().into_iter().filter(|meeting| meeting.params.contains_key("isBreakout"));
    assert_eq!(rooms.count(), 1);
    // Of 20 at once 16 are made, the first one included.
    let ids: Vec<String> = (1..=20).map(|n| format!("group {n}")).collect();
    let made = join_all(ids.iter().map(|id| room(&stage, "wagtail", id, &[]))).await;
    let made = made.iter().filter(|reply| reply.xml("returncode") == "SUCCESS").count();
    assert_eq!(made, 15);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_room_is_its_own_tenants_only() {
    let stage = stage().await;
    let ours = room(&stage, "wagtail", "group", &[]).await.xml("internalMeetingID").to_owned();
    assert_eq!(about(&stage, "heron", "getMeetingInfo", "group").await.xml("messageKey"), "notFound");
    assert_eq!(about(&stage, "heron", "end", "group").await.xml("messageKey"), "notFound");
    assert_eq!(stage.join("heron", "group", "Mallory").await.xml("messageKey"), "meetingForciblyEnded");
    for id in [&ours, &on_server(&stage, &ours).unwrap().ext_id] {
        assert_eq!(about(&stage, "heron", "getMeetingInfo", id).await.xml("messageKey"), "notFound");
        assert_eq!(stage.join("heron", id, "Mallory").await.xml("messageKey"), "meetingForciblyEnded");
    }
    let theirs = room(&stage, "heron", "group", &[]).await.xml("internalMeetingID").to_owned();
    assert_ne!(ours, theirs);
    assert_eq!(about(&stage, "heron", "end", "group").await.xml("returncode"), "SUCCESS");
    assert!(on_server(&stage, &ours).is_some() && on_server(&stage, &theirs).is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_room_is_told_something_and_given_documents_by_its_own_tenant() {
    let limits = "---[limits]\nbreakouts = true\ndocuments = 2";
    let plan = Plan::new().server("members").tenant_with("wagtail", "free", limits);
    let stage = plan.tenant_with("heron", "free", limits).start().await;
    for tenant in ["wagtail", "heron"] {
        stage.create(tenant, "parent").await;
    }
    let id = room(&stage, "wagtail", "group", &[]).await.xml("internalMeetingID").to_owned();
    let asked = async |tenant: &str, call: &str, id: &str| {
        stage.sims[0].clear_log();
        let reply = match call {
            "insertDocument" => insert(&stage, tenant, id).await,
            _ => stage.api(tenant, call, &[("meetingID", id), ("message", "Time is up"), ("userName", "Ada")]).await,
        };
        let heard = stage.sims[0].log().into_iter().find(|seen| seen.path.ends_with(call));
        (reply, heard.and_then(|seen| seen.query).unwrap_or_default())
    };
    for call in ["sendChatMessage", "insertDocument"] {
        let (reply, heard) = asked("wagtail", call, "group").await;
        assert_eq!(reply.xml("returncode"), "SUCCESS", "{call}: {}", reply.body);
        assert!(heard.contains(&format!("meetingID={id}")), "{call}: {heard}");
        let in_answer = [&*id, "t.wagtail"].iter().any(|inner| reply.body.contains(inner));
        assert!(!in_answer, "{call}: {}", reply.body);
        // Neither another tenant, by whichever id, nor this one by an id that it was not told.
        let on_server = on_server(&stage, &id).unwrap().ext_id;
        for (tenant, id) in [("heron", "group"), ("heron", &id), ("heron", &on_server), ("wagtail", &on_server)] {
            let (reply, heard) = asked(tenant, call, id).await;
            assert_eq!((reply.xml("returncode"), &*heard), ("FAILED", ""), "{call} by {tenant} for {id}");
        }
    }
    // They are among the documents of the meeting.
    let given = on_server(&stage, &id).unwrap().documents.len();
    assert_eq!(insert(&stage, "wagtail", "parent").await.xml("returncode"), "SUCCESS");
    assert_eq!((given, insert(&stage, "wagtail", "group").await.xml("messageKey")), (1, "documentLimitReached"));
    assert_eq!(about(&stage, "wagtail", "end", "group").await.xml("returncode"), "SUCCESS");
    let (reply, heard) = asked("wagtail", "sendChatMessage", "group").await;
    assert_eq!((reply.xml("returncode"), &*heard), ("FAILED", ""));
}

/// Gives what has this id one document.
async fn insert(stage: &Stage, tenant: &str, id: &str) -> Reply {
    let body = "<modules><module name=\"presentation\"><document name=\"a.txt\">YQ==</document></module></modules>";
    let path = sign::path("insertDocument", &[("meetingID", id)], &secret(tenant));
    stage.client().post(&host(tenant), &path, "application/xml", body).await
}

#[tokio::test(flavor = "multi_thread")]
async fn all_rooms_of_a_meeting_have_as_many_seats_as_the_meeting() {
    let stage = stage().await;
    for (id, sequence) in [("a", "1"), ("b", "2")] {
        let id = format!("group {id}");
        assert_eq!(room(&stage, "wagtail", &id, &[("sequence", sequence)]).await.xml("returncode"), "SUCCESS");
    }
    let joins: Vec<(String, String)> =
        (0..20).map(|n| (format!("group {}", if n % 2 == 0 { "a" } else { "b" }), format!("person {n}"))).collect();
    let replies = join_all(joins.iter().map(|(id, name)| stage.join("wagtail", id, name))).await;
    let let_in = replies.iter().filter(|reply| reply.status == 302).count();
    let full = replies.iter().filter(|reply| reply.xml("messageKey") == "maxParticipantsReached").count();
    assert_eq!((let_in, full), (2, 18));
    for n in 0..2 {
        assert_eq!(stage.join("wagtail", "parent", &format!("in the meeting {n}")).await.status, 302, "its own seats");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_room_is_known_after_a_restart() {
    let mut stage = stage().await;
    let id = room(&stage, "wagtail", "group", &[]).await.xml("internalMeetingID").to_owned();
    stage.app.take().unwrap().stop(Duration::from_secs(1)).await;
    stage.start_again().await;
    eventually("its server has been asked", async || {
        about(&stage, "wagtail", "getMeetingInfo", "group").await.xml("internalMeetingID") == id
    })
    .await;
    assert_eq!(stage.join("wagtail", "group", "Ada").await.status, 302);
    assert_eq!(about(&stage, "heron", "getMeetingInfo", "group").await.xml("messageKey"), "notFound");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broken_answer_ends_no_room() {
    let stage = stage().await;
    assert_eq!(room(&stage, "wagtail", "group", &[]).await.xml("returncode"), "SUCCESS");
    let ada = stage.join("wagtail", "group", "Ada").await;
    let _socket = stage.graphql("wagtail", &Joined::by("wagtail", &ada)).await.expect("its GraphQL socket");
    let runs = async || about(&stage, "wagtail", "isMeetingRunning", "group").await.xml("running") == "true";
    eventually("somebody is in it", runs).await;
    let faults = stage.sims[0].faults();
    for breakage in [Breakage::NoAnswer, Breakage::CutBody, Breakage::ShortBody] {
        faults.set_call_breakage("create", Some(breakage));
        let refused = room(&stage, "wagtail", "group", &[]).await;
        assert_eq!(refused.xml("messageKey"), "serverUnavailable", "{breakage:?}: {}", refused.body);
        faults.set_call_breakage("create", None);
        assert!(runs().await, "{breakage:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_room_is_made_though_its_caller_goes_away() {
    let stage = stage().await;
    stage.sims[0].faults().set_call_delay("create", Duration::from_secs(1));
    stage.sims[0].clear_log();
    let is_asked = async || stage.sims[0].log().iter().any(|seen| seen.call() == Some("create"));
    tokio::select! {
        reply = room(&stage, "wagtail", "group", &[]) => panic!("answered: {reply:?}"),
        () = eventually("its server is asked", is_asked) => {}
    }
    eventually("it is known", async || {
        about(&stage, "wagtail", "getMeetingInfo", "group").await.xml("returncode") == "SUCCESS"
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_room_that_its_server_has_ended_is_forgotten() {
    let stage = stage().await;
    let first = room(&stage, "wagtail", "group", &[]).await.xml("internalMeetingID").to_owned();
    assert!(stage.sims[0].end_meeting(&on_server(&stage, &first).unwrap().ext_id));
    assert_eq!(about(&stage, "wagtail", "getMeetingInfo", "group").await.xml("messageKey"), "notFound");
    let again = room(&stage, "wagtail", "group", &[("sequence", "2")]).await;
    assert_eq!(again.xml("returncode"), "SUCCESS", "{}", again.body);
    assert_ne!(again.xml("internalMeetingID"), first, "the number asked for now");
}
