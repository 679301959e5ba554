//! The life of a meeting through client libraries as integrations use them, unmodified: they must not notice that this is
//! not a BBB server. One script (or program) per library makes one call and prints the library's answer as JSON.
//!
//! | library | language | signs with | besides |
//! |---|---|---|---|
//! | bigbluebutton-js | JavaScript | SHA-1 | recordings, webhooks, callbacks, breakout rooms |
//! | bbb-promise | JavaScript | SHA-1 | recordings |
//! | bigbluebutton-api-python | Python | SHA-1 | recordings |
//! | bbbctl | Python | SHA-1 | recordings, messages |
//! | bbb-client | Python | SHA-1 | features that are switched off |
//! | python-sage-bbb | Python | what its caller chooses: all four | forms, documents |
//! | bigbluebutton | Python | SHA-1 | slides with the `create` |
//! | bigbluebutton | Rust | SHA-256 | |
//!
//! Needs node with the packages of `tests/clients`, the Python of `var/venv` and the program of `var/client-rust`:
//! `make test-deps`.

use anteroom_bench::sim::{RecordingSeed, RecordingState};
use serde_json::{Value, json};

use crate::{
    library::{CRATE, Library, MEETING, NAME, SHA1, TENANT, USER, authority, follow, of},
    support::{Plan, eventually, host},
};

const BIGBLUEBUTTON_JS: Library = Library { escaped: true, ..Library::new("bigbluebutton-js.cjs", "/bigbluebutton/") };
const BBB_PROMISE: Library = Library::new("bbb-promise.cjs", "/bigbluebutton");
const API_PYTHON: Library = Library::new("python/api_python.py", "/bigbluebutton/");
const BBBCTL: Library = Library::new("python/ctl.py", "/bigbluebutton/api");
const SAGE: Library = Library::new("python/sage.py", "/bigbluebutton/api/");

#[tokio::test(flavor = "multi_thread")]
async fn a_meeting_lives_through_bigbluebutton_js() {
    live(BIGBLUEBUTTON_JS).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_meeting_lives_through_bbb_promise() {
    live(BBB_PROMISE).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_meeting_lives_through_bigbluebutton_api_python() {
    live(API_PYTHON).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_meeting_lives_through_bbbctl() {
    live(BBBCTL).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_meeting_lives_through_the_crate_bigbluebutton() {
    live(Library { algorithm: ("sha256", 64), ..Library::new(CRATE, "/bigbluebutton/") }).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_meeting_lives_through_python_sage_bbb_with_each_algorithm() {
    for (algorithm, post) in [(SHA1, false), (("sha256", 64), true), (("sha384", 96), false), (("sha512", 128), true)] {
        live(Library { algorithm, post, ..SAGE }).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_meeting_with_one_feature_lives_through_bbb_client() {
    let library = Library::new("python/client.py", "/bigbluebutton/api");
    let stage = Plan::new().server("members").tenant(TENANT, "multi-account").start().await;
    let plan = library.plan(&stage);
    assert_eq!(of(&library.call(&stage, "create", &plan).await, "made"), "true");
    let on_server = stage.on_server(TENANT, MEETING).unwrap();
    assert_eq!((&*on_server.params["name"], &*on_server.params["maxParticipants"]), (NAME, "30"));
    let disabled: Vec<&str> = on_server.params["disabledFeatures"].split(',').collect();
    assert!(disabled.contains(&"polls") && !disabled.contains(&"chat"), "{disabled:?}");

    let joined = follow(&stage, &of(&library.call(&stage, "join", &plan).await, "url")).await;
    let _socket = stage.client().graphql(&host(TENANT), &joined).await.unwrap();
    eventually("the person is in the meeting", async || {
        of(&library.call(&stage, "getMeetingInfo", &plan).await, "participantCount") == "1"
    })
    .await;
    for step in ["getMeetingInfo", "getMeetings"] {
        let found = library.call(&stage, step, &plan).await;
        assert_eq!((of(&found, "meetingID"), of(&found, "meetingName")), (MEETING.into(), NAME.into()), "{found}");
        assert_eq!((of(&found, "participants"), of(&found, "moderatorPW")), (USER.into(), "mp".into()), "{found}");
    }
    assert_eq!(of(&library.call(&stage, "end", &plan).await, "ended"), "true");
    assert_eq!(of(&library.call(&stage, "getMeetingInfo", &plan).await, "messageKey"), "notFound");
}

#[tokio::test(flavor = "multi_thread")]
async fn slides_come_with_a_meeting_of_the_package_bigbluebutton() {
    let library = Library::new("python/slides.py", "/bigbluebutton/api/");
    let stage = Plan::new().server("members").tenant(TENANT, "multi-account").start().await;
    let mut plan = library.plan(&stage);
    plan["slides"] = "https://school.example/folien%20eins.pdf".into();
    plan["password"] = "mp".into();
    assert_eq!(of(&library.call(&stage, "create", &plan).await, "made"), "true");
    let on_server = stage.on_server(TENANT, MEETING).unwrap();
    assert_eq!(on_server.documents, ["folien%20eins.pdf"]);
    assert_eq!((&*on_server.params["name"], &*on_server.params["duration"]), (NAME, "30"));

    let link = library.call(&stage, "join", &plan).await;
    let joined = follow(&stage, &of(&link, "url")).await;
    let socket = stage.client().graphql(&host(TENANT), &joined).await.unwrap();
    eventually("the meeting runs", async || {
        of(&library.call(&stage, "isMeetingRunning", &plan).await, "running") == "true"
    })
    .await;
    assert_eq!(of(&library.call(&stage, "end", &plan).await, "ended"), "true");
    drop(socket);
    assert_eq!(of(&library.call(&stage, "isMeetingRunning", &plan).await, "running"), "false");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_running_meeting_is_given_a_document_and_a_message_by_libraries() {
    let stage = Plan::new().server("members").tenant(TENANT, "multi-account").start().await;
    let mut plan = SAGE.plan(&stage);
    plan["message"] = "Grüße + <Küsse> & mehr 😀".into();
    plan["modules"] = "<modules><module name=\"presentation\">\
                       <document url=\"https://school.example/b.pdf\" filename=\"Folien &amp; mehr ä.pdf\"/></module></modules>"
        .into();
    let created = SAGE.call(&stage, "create", &plan).await;
    plan["password"] = of(&created, "moderatorPW").into();
    let joined = follow(&stage, &of(&SAGE.call(&stage, "join", &plan).await, "url")).await;
    let _socket = stage.client().graphql(&host(TENANT), &joined).await.unwrap();
    let inserted = SAGE.call(&stage, "insertDocument", &plan).await;
    assert_eq!(of(&inserted, "message"), "Presentation is being uploaded", "{inserted}");
    assert_eq!(stage.on_server(TENANT, MEETING).unwrap().documents, ["Folien & mehr ä.pdf"]);

    plan["url"] = BBBCTL.plan(&stage)["url"].clone();
    let sent = BBBCTL.call(&stage, "sendChatMessage", &plan).await;
    assert_eq!(of(&sent, "returncode"), "SUCCESS", "{sent}");
    let log = stage.sims[0].log();
    let seen = log.iter().rfind(|seen| seen.call() == Some("sendChatMessage")).unwrap();
    assert_eq!(seen.param("message").as_deref(), plan["message"].as_str());
    assert_eq!(seen.param("userName").as_deref(), Some(USER));
}

#[tokio::test(flavor = "multi_thread")]
async fn recordings_are_listed_taken_back_and_deleted_by_libraries() {
    for library in [BIGBLUEBUTTON_JS, BBB_PROMISE, API_PYTHON, BBBCTL] {
        let of = |answer: &Value, name| library.of(answer, name);
        let stage = Plan::new().server("members").tenant(TENANT, "multi-account").start().await;
        let mut plan = library.plan(&stage);
        let made = stage.api(TENANT, "create", &[("name", NAME), ("meetingID", MEETING), ("record", "true")]).await;
        stage.joined(TENANT, MEETING, "Ada").await;
        stage.api(TENANT, "end", &[("meetingID", MEETING)]).await;
        let record = stage.sims[0].add_recording(RecordingSeed {
            ext_id: format!("t.{TENANT}.{MEETING}"),
            name: NAME.into(),
            start_time_ms: made.xml("createTime").parse().ok(),
            ..RecordingSeed::default()
        });
        let state = || stage.sims[0].recordings()[0].state;
        assert_eq!((&*record, state()), (made.xml("internalMeetingID"), RecordingState::Published));
        plan["record"] = record.as_str().into();

        let listed = library.call(&stage, "getRecordings", &plan).await;
        assert_eq!(of(&listed, "recordID"), record, "{listed}");
        assert_eq!((of(&listed, "meetingID"), of(&listed, "name")), (MEETING.to_owned(), NAME.to_owned()), "{listed}");
        let player = format!("https://{}/playback/presentation/2.3/{record}", authority(&stage));
        assert!(listed.to_string().contains(&format!("\"{player}\"")), "{listed}");
        let taken_back = library.call(&stage, "publishRecordings", &plan).await;
        assert_eq!((of(&taken_back, "published"), state()), ("false".into(), RecordingState::Unpublished));
        let deleted = library.call(&stage, "deleteRecordings", &plan).await;
        assert_eq!((of(&deleted, "deleted"), state()), ("true".into(), RecordingState::Deleted), "{deleted}");
        let none = library.call(&stage, "getRecordings", &plan).await;
        assert_eq!(of(&none, "recordID"), "", "{none}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn webhooks_are_created_listed_and_removed_by_bigbluebutton_js() {
    let library = BIGBLUEBUTTON_JS;
    let of = |answer: &Value, name| library.of(answer, name);
    let stage = Plan::new().server("members").tenant(TENANT, "multi-account").start().await;
    let mut plan = library.plan(&stage);
    let callback = "https://school.example/hook?course=1&group=%C3%A4%20b";
    plan["callback"] = callback.into();

    let created = library.call(&stage, "createHook", &plan).await;
    let id = of(&created, "hookID");
    assert_eq!((of(&created, "returncode"), of(&created, "permanentHook")), ("SUCCESS".into(), "false".into()));
    assert_ne!(id, "", "{created}");
    let again = library.call(&stage, "createHook", &plan).await;
    assert_eq!((of(&again, "messageKey"), of(&again, "hookID")), ("duplicateWarning".into(), id.clone()), "{again}");
    let listed = library.call(&stage, "listHooks", &plan).await;
    assert_eq!((of(&listed, "hookID"), of(&listed, "callbackURL")), (id.clone(), callback.into()), "{listed}");
    assert_eq!((of(&listed, "meetingID"), of(&listed, "eventID")), (MEETING.into(), "meeting-ended,user-left".into()));

    // As a program has it from the answer: a number may have become one.
    plan["hook"] = created["hookID"].clone();
    assert_eq!(of(&library.call(&stage, "destroyHook", &plan).await, "removed"), "true");
    let none = library.call(&stage, "listHooks", &plan).await;
    assert_eq!((of(&none, "returncode"), of(&none, "hookID")), ("SUCCESS".into(), String::new()), "{none}");
    let gone = library.call(&stage, "destroyHook", &plan).await;
    assert_eq!(of(&gone, "messageKey"), "destroyMissingHook", "{gone}");
}

#[tokio::test(flavor = "multi_thread")]
async fn callbacks_and_a_breakout_room_are_asked_for_by_bigbluebutton_js() {
    let library = BIGBLUEBUTTON_JS;
    let of = |answer: &Value, name| library.of(answer, name);
    let stage = Plan::new().server("members").tenant(TENANT, "multi-account").start().await;
    let mut plan = library.plan(&stage);
    let callback = "https://school.example/done?course=1&group=%C3%A4%20b";
    plan["options"] = json!({
        "meetingEndedURL": callback,
        "meta_bbb-recording-ready-url": callback,
        "meta_analytics-callback-url": callback,
    });
    let created = library.call(&stage, "create", &plan).await;
    assert_eq!(of(&created, "returncode"), "SUCCESS", "{created}");
    let on_server = stage.on_server(TENANT, MEETING).unwrap();
    for name in ["meetingEndedURL", "meta_bbb-recording-ready-url", "meta_analytics-callback-url"] {
        let address = &on_server.params[name];
        let own = format!("https://{}/.anteroom/callback/", authority(&stage));
        assert!(address.starts_with(&own), "{name}: {address}");
    }

    stage.joined(TENANT, MEETING, "Ada").await;
    let room = "gruppe 1 & mehr";
    plan["options"] = json!({ "isBreakout": true, "parentMeetingID": MEETING, "sequence": 1, "freeJoin": true });
    plan["meeting"] = room.into();
    let created = library.call(&stage, "create", &plan).await;
    assert_eq!((of(&created, "returncode"), of(&created, "meetingID")), ("SUCCESS".into(), room.into()), "{created}");
    let info = library.call(&stage, "getMeetingInfo", &plan).await;
    assert_eq!((of(&info, "meetingID"), of(&info, "isBreakout")), (room.into(), "true".into()), "{info}");
    assert_eq!(of(&library.call(&stage, "getMeetings", &plan).await, "meetingID"), MEETING);
    plan["options"]["parentMeetingID"] = "nowhere".into();
    plan["meeting"] = "gruppe 2".into();
    let refused = library.call(&stage, "create", &plan).await;
    assert_eq!(of(&refused, "messageKey"), "parentMeetingDoesNotExist", "{refused}");
}

async fn live(library: Library) {
    let of = |answer: &Value, name| library.of(answer, name);
    let stage = Plan::new().server("members").server("members").tenant(TENANT, "multi-account").start().await;
    let mut plan = library.plan(&stage);

    let created = library.call(&stage, "create", &plan).await;
    assert_eq!(of(&created, "returncode"), "SUCCESS", "{created}");
    assert_eq!(of(&created, "meetingID"), MEETING, "{created}");
    let on_server = stage.on_server(TENANT, MEETING).unwrap();
    assert_eq!(on_server.params["name"], NAME);
    plan["password"] = of(&created, "moderatorPW").into();
    assert_ne!(plan["password"], "", "{created}");
    let idle = library.call(&stage, "isMeetingRunning", &plan).await;
    assert_eq!(of(&idle, "running"), "false", "{idle}");

    let link = library.call(&stage, "join", &plan).await;
    let link = of(&link, "url");
    let sum = link.rsplit_once("checksum=").map_or("", |(_, sum)| sum);
    assert_eq!(sum.split('&').next().map(str::len), Some(library.algorithm.1), "{link}");
    let joined = follow(&stage, &link).await;
    let socket = stage.client().graphql(&host(TENANT), &joined).await.unwrap();
    eventually("somebody is in the meeting", async || {
        stage.on_server(TENANT, MEETING).is_some_and(|meeting| meeting.users_online == 1)
    })
    .await;

    let running = library.call(&stage, "isMeetingRunning", &plan).await;
    assert_eq!(of(&running, "running"), "true", "{running}");
    let info = library.call(&stage, "getMeetingInfo", &plan).await;
    let list = library.call(&stage, "getMeetings", &plan).await;
    for answer in [&info, &list] {
        assert_eq!(of(answer, "returncode"), "SUCCESS", "{answer}");
        assert_eq!(of(answer, "meetingName"), NAME, "{answer}");
        assert_eq!(of(answer, "meetingID"), MEETING, "{answer}");
        assert_eq!(of(answer, "participantCount"), "1", "{answer}");
        assert_eq!(of(answer, "fullName"), USER, "{answer}");
        assert_eq!(of(answer, "role"), "MODERATOR", "{answer}");
    }

    let ended = library.call(&stage, "end", &plan).await;
    assert_eq!(of(&ended, "messageKey"), "sentEndMeetingRequest", "{ended}");
    drop(socket);
    let gone = library.call(&stage, "getMeetingInfo", &plan).await;
    assert_eq!(of(&gone, "returncode"), "FAILED", "{gone}");
    assert_eq!(of(&gone, "messageKey"), "notFound", "{gone}");
}
