//! Webhooks: the calls of the service, and what it tells.

use anteroom_bench::sign::{self, Algorithm};
use anteroom_bench::sim::{Config, Profile, Received, RecordingSeed, Sim};
use serde_json::{Value, json};

use super::helpers::*;

/// A call that is signed with SHA-1, which all releases know.
async fn ask(sim: &Sim, name: &str, params: Params<'_>) -> Answer {
    let query = sign::signed_query(name, params, SECRET, Algorithm::Sha1);
    get(sim, &format!("/bigbluebutton/api/{name}?{query}")).await
}

/// Adds a hook and returns its id.
async fn hook(sim: &Sim, url: &str, more: Params<'_>) -> String {
    let answer = ask(sim, "hooks/create", &[&[("callbackURL", url)], more].concat()).await;
    assert_eq!(answer.tag("returncode"), Some("SUCCESS"), "{}", answer.body);
    answer.tag("hookID").unwrap().to_owned()
}

async fn start_fast(profile: Profile) -> Sim {
    start(Config { profile, speed: 1000.0, ..Config::default() }).await
}

/// The types of the events that hooks were called for, in order.
fn told(sim: &Sim) -> Vec<String> {
    sim.hook_calls().into_iter().map(|call| call.event).collect()
}

/// One field of the form of a call.
fn field(call: &str, name: &str) -> String {
    let (_, body) = call.split_once("\r\n\r\n").unwrap();
    Received { query: Some(body.to_owned()), ..Received::default() }.param(name).unwrap()
}

/// The event of a call.
fn event(call: &str) -> Value {
    let events: Vec<Value> = serde_json::from_str(&field(call, "event")).unwrap();
    assert_eq!(events.len(), 1);
    events[0]["data"].clone()
}

#[tokio::test]
async fn hooks_are_created_listed_and_destroyed_as_the_service_does_it() {
    for (profile, raw_id) in [(Profile::V2_7, 1), (Profile::V3_0_18, 36)] {
        let sim = start_fast(profile).await;
        let (all, room) = ("http://127.0.0.1:1/all?a=1&b=2", "http://127.0.0.1:1/room");
        let id = hook(&sim, all, &[("eventID", "User-Left,meeting-ended"), ("getRaw", "FALSE")]).await;
        assert_eq!(id.len(), raw_id);
        let again = ask(&sim, "hooks/create", &[("callbackURL", all), ("meetingID", "room")]).await;
        let warning = "There is already a hook for this callback URL.";
        let (key, message) = ("<messageKey>duplicateWarning</messageKey>", format!("<message>{warning}</message>"));
        let expected =
            format!("<response><returncode>SUCCESS</returncode><hookID>{id}</hookID>{key}{message}</response>");
        assert_eq!((again.status, &*again.body), (200, &*expected));
        assert_eq!(again.header("content-type"), Some("text/xml; charset=utf-8"));
        let of_room = hook(&sim, room, &[("meetingID", "room"), ("getRaw", "true")]).await;
        let flags = |raw| format!("<permanentHook>false</permanentHook><rawData>{raw}</rawData></hook>");
        let first = format!(
            "<hook><hookID>{id}</hookID><callbackURL><![CDATA[{all}]]></callbackURL>\
             <eventID>user-left,meeting-ended</eventID>{}",
            flags(false)
        );
        let second = format!(
            "<hook><hookID>{of_room}</hookID><callbackURL><![CDATA[{room}]]></callbackURL>\
             <meetingID><![CDATA[room]]></meetingID>{}",
            flags(true)
        );
        let list = |hooks: &str| format!("<response><returncode>SUCCESS</returncode><hooks>{hooks}</hooks></response>");
        assert_eq!(ask(&sim, "hooks/list", &[]).await.body, list(&format!("{first}{second}")));
        let of_meeting = ask(&sim, "hooks/list", &[("meetingID", "room")]).await.body;
        assert!(of_meeting.contains(&first) && of_meeting.contains(&second), "{of_meeting}");
        let other = ask(&sim, "hooks/list", &[("meetingID", "other")]).await;
        if profile == Profile::V2_7 {
            assert_eq!(other.body, list(&first));
        } else {
            assert_eq!(other.tag("messageKey"), Some("listHookError"));
        }
        let gone = ask(&sim, "hooks/destroy", &[("hookID", &id)]).await;
        assert_eq!(gone.body, "<response><returncode>SUCCESS</returncode><removed>true</removed></response>");
        let key = |answer: Answer| answer.tag("messageKey").map(str::to_owned);
        let again = ask(&sim, "hooks/destroy", &[("hookID", &id)]).await;
        assert_eq!(key(again).as_deref(), Some("destroyMissingHook"));
        assert_eq!(key(ask(&sim, "hooks/destroy", &[]).await).as_deref(), Some("missingParamHookID"));
        assert_eq!(key(ask(&sim, "hooks/create", &[]).await).as_deref(), Some("missingParamCallbackURL"));
        let unsigned = get(&sim, "/bigbluebutton/api/hooks/list").await;
        assert_eq!(unsigned.tag("message"), Some("You did not pass the checksum security check."));
        assert_eq!(key(unsigned).as_deref(), Some("checksumError"));
        assert!(get(&sim, "/bigbluebutton/api/hooks/ping").await.body.ends_with("up!"));
        let posted = http(&sim, "POST /bigbluebutton/api/hooks/list", &[], b"a=1").await;
        assert_eq!(posted.status, 404);
        sim.faults().set_hooks_missing(true);
        assert_eq!(ask(&sim, "hooks/list", &[]).await.status, 404);
        sim.faults().set_hooks_missing(false);
        sim.faults().restart();
        assert!(ask(&sim, "hooks/list", &[]).await.body.contains(&of_room), "a restart keeps them");
        sim.faults().lose_hooks();
        assert_eq!(ask(&sim, "hooks/list", &[]).await.body, list(""));
    }
}

#[tokio::test]
async fn a_call_is_signed_and_made_until_it_is_taken() {
    for profile in [Profile::V2_7, Profile::V3_0_18] {
        let sim = start_fast(profile).await;
        let (address, seen) = receiver(2).await;
        let url = format!("{address}/x?y=1");
        hook(&sim, &url, &[("eventID", "meeting-ended")]).await;
        create(&sim, "room é", &[]).await;
        call(&sim, "end", &[("meetingID", "room é")]).await;
        until("taken", || sim.hook_calls().first().is_some_and(|call| call.answers.len() == 3)).await;
        assert_eq!(sim.hook_calls()[0].answers, [Some(500), Some(500), Some(200)]);
        assert_eq!(told(&sim), ["meeting-ended"]);
        let seen = seen.lock().unwrap().clone();
        assert!(seen[0] == seen[1] && seen[1] == seen[2], "the same each time");
        let (head, body) = seen[0].split_once("\r\n\r\n").unwrap();
        let path = head.split(' ').nth(1).unwrap();
        let (hook, checksum) = path.split_once("&checksum=").unwrap();
        assert_eq!(format!("{address}{hook}"), url);
        let signed = match profile == Profile::V2_7 {
            true => {
                let event = Value::from(field(&seen[0], "event")).to_string();
                let (time, domain) = (field(&seen[0], "timestamp"), field(&seen[0], "domain"));
                format!("{{\"event\":{event},\"timestamp\":{time},\"domain\":\"{domain}\"}}")
            }
            false => body.to_owned(),
        };
        assert_eq!(checksum, Algorithm::Sha1.hex(format!("{url}{signed}{SECRET}").as_bytes()));
        assert_eq!(body.starts_with("domain=bbb-07.internal.test&event=%5B%7B"), profile != Profile::V2_7);
        assert_eq!(event(&seen[0])["attributes"]["meeting"]["external-meeting-id"], "room é");
    }
}

#[tokio::test]
async fn other_ways_to_sign_are_a_setting() {
    let config = || Config { speed: 1000.0, ..Config::default() };
    let sha512 = Config { hook_algorithm: Algorithm::Sha512, ..config() };
    for (config, is_bearer) in [(sha512, false), (Config { hook_bearer: true, ..config() }, true)] {
        let sim = start(config).await;
        let (address, seen) = receiver(0).await;
        hook(&sim, &address, &[]).await;
        create(&sim, "room", &[]).await;
        until("told", || !seen.lock().unwrap().is_empty()).await;
        let call = seen.lock().unwrap()[0].clone();
        assert_eq!(call.contains(&format!("\r\nauthorization: Bearer {SECRET}\r\n")), is_bearer);
        let digits = call.split_once("?checksum=").map(|(_, rest)| rest.find(' ').unwrap());
        assert_eq!(digits, (!is_bearer).then_some(128));
    }
}

#[tokio::test]
async fn a_hook_that_nothing_takes_is_removed() {
    for profile in [Profile::V2_7, Profile::V3_0_18] {
        let sim = start(Config { profile, speed: 100_000.0, ..Config::default() }).await;
        let (address, seen) = receiver(usize::MAX).await;
        // Meetings end soon at this speed.
        let id = hook(&sim, &address, &[("eventID", "meeting-created")]).await;
        create(&sim, "room", &[]).await;
        until("the last try", || sim.hook_calls().first().is_some_and(|call| call.answers.len() == 13)).await;
        for _ in 0..1000 {
            if !ask(&sim, "hooks/list", &[]).await.body.contains(&format!("<hookID>{id}<")) {
                break;
            }
        }
        assert_eq!(ask(&sim, "hooks/list", &[]).await.tag("hooks"), Some(""));
        let tries = seen.lock().unwrap().len();
        create(&sim, "room 2", &[]).await;
        assert_eq!((tries, told(&sim).len()), (13, 1));
    }
}

#[tokio::test]
async fn a_release_before_3_makes_one_call_of_a_hook_at_a_time() {
    let sim = start_fast(Profile::V2_7).await;
    let (address, seen) = receiver(3).await;
    hook(&sim, &address, &[]).await;
    for id in ["room 1", "room 2", "room 3"] {
        create(&sim, id, &[]).await;
    }
    until("all", || sim.hook_calls().iter().filter(|call| call.answers.last() == Some(&Some(200))).count() == 3).await;
    let ids: Vec<String> = seen
        .lock()
        .unwrap()
        .iter()
        .map(|call| event(call)["attributes"]["meeting"]["external-meeting-id"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(ids, ["room 1", "room 1", "room 1", "room 1", "room 2", "room 3"]);
}

#[tokio::test]
async fn a_meeting_is_told_from_its_beginning_to_its_recording() {
    let sim = start(Config { speed: 100.0, ..Config::default() }).await;
    let (address, seen) = receiver(0).await;
    hook(&sim, &address, &[]).await;
    create(&sim, "room", &[("record", "true"), ("meta_course", "42"), ("moderatorPW", "mp")]).await;
    let person = [("fullName", "Ana"), ("role", "MODERATOR"), ("userID", "u1"), ("userdata-bbb_x", "y")];
    let seat = seat(&call(&sim, "join", &[&[("meetingID", "room")], &person[..]].concat()).await);
    let socket = enter(&sim, &seat).await.unwrap();
    sim.press_record("room");
    call(&sim, "sendChatMessage", &[("meetingID", "room"), ("message", "Hello")]).await;
    assert!(sim.tell_hooks("room", "poll-started", json!({ "poll": { "id": "p" } })));
    let rooms = sim.open_breakouts("room", Default::default());
    call(&sim, "end", &[("meetingID", "room")]).await;
    drop(socket);
    let steps = |kinds: &[&str]| {
        kinds.iter().flat_map(|kind| [format!("rap-{kind}-started"), format!("rap-{kind}-ended")]).collect::<Vec<_>>()
    };
    let mut expected: Vec<String> = [
        "meeting-created",
        "user-joined",
        "user-presenter-assigned",
        "meeting-recording-started",
        "chat-group-message-sent",
        "poll-started",
        "meeting-created",
        "meeting-created",
        "user-left",
        "meeting-ended",
        "meeting-ended",
        "meeting-ended",
    ]
    .map(str::to_owned)
    .to_vec();
    expected.extend(steps(&["archive", "sanity", "process", "publish", "post-publish"]));
    expected.sort();
    // The service makes the calls of a hook at the same time.
    let all = || {
        let mut told = told(&sim);
        told.sort();
        told
    };
    until("all events", || all().len() == expected.len()).await;
    assert_eq!(all(), expected);
    until("all calls", || seen.lock().unwrap().len() == expected.len()).await;
    let events: Vec<Value> = seen.lock().unwrap().iter().map(|call| event(call)).collect();
    let of = |id: &str| events.iter().find(|event| event["id"] == id).unwrap()["attributes"].clone();
    let created = events.iter().find(|event| {
        event["attributes"]["meeting"]["external-meeting-id"] == "room" && event["id"] == "meeting-created"
    });
    let created = &created.unwrap()["attributes"]["meeting"];
    assert_eq!((&created["moderator-pass"], &created["metadata"]), (&json!("mp"), &json!({ "course": "42" })));
    let breakout = events.iter().find(|event| event["attributes"]["meeting"]["is-breakout"] == true).unwrap();
    assert_eq!(breakout["attributes"]["meeting"]["parent-id"], rooms[0].parent_int_id);
    for id in ["user-joined", "user-left"] {
        let user = &of(id)["user"];
        assert_eq!(
            (&user["external-user-id"], &user["role"], &user["guest"]),
            (&json!("u1"), &json!("MODERATOR"), &json!(false))
        );
        assert_eq!((&user["session-token"], &user["ip-address"]), (&json!(seat.token), &json!("127.0.0.1")), "{id}");
        assert_eq!(user["userdata"], json!({ "bbb_x": "y" }));
    }
    let published = of("rap-publish-ended");
    let record_id = published["record-id"].as_str().unwrap();
    let link = published["recording"]["playback"]["link"].as_str().unwrap();
    assert_eq!(link, format!("{SERVER}/playback/presentation/2.3/{record_id}"));
    assert_eq!(published["recording"]["metadata"]["meetingId"], "room");
}

#[tokio::test]
async fn people_and_recordings_that_go_are_told_by_their_ids() {
    let sim = start_fast(Profile::V3_0_0).await;
    let (address, _) = receiver(0).await;
    hook(&sim, &address, &[("eventID", "user-joined,user-left,rap-published,rap-unpublished,rap-deleted")]).await;
    create(&sim, "room", &[("meetingExpireWhenLastUserLeftInMinutes", "0")]).await;
    let seat = join(&sim, "room", &[]).await;
    drop(enter(&sim, &seat).await.unwrap());
    until("left", || told(&sim).len() == 2).await;
    let id = sim.add_recording(RecordingSeed::default());
    call(&sim, "publishRecordings", &[("recordID", &id), ("publish", "false")]).await;
    call(&sim, "publishRecordings", &[("recordID", &id), ("publish", "true")]).await;
    call(&sim, "deleteRecordings", &[("recordID", &id)]).await;
    call(&sim, "deleteRecordings", &[("recordID", "unknown")]).await;
    let mut all = told(&sim);
    until("five", || {
        all = told(&sim);
        all.len() == 5
    })
    .await;
    all.sort();
    assert_eq!(all, ["rap-deleted", "rap-published", "rap-unpublished", "user-joined", "user-left"]);
}
