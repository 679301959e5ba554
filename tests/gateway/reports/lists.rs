//! Lists that must not be shorter than the truth, and what is left of a meeting after its end.

use std::{fs, time::Duration};

use anteroom_bench::sim::{self, RecordingSeed, RecordingState};
use futures_util::{SinkExt, StreamExt};
use sqlx::Connection;
use tokio_tungstenite::tungstenite::Message;

use crate::support::{
    DEADLINE, Joined, Plan, Reply, Stage, eventually,
    evil::server::EvilServer,
    host,
    program::{self, Served},
};

const ROOMS: [&str; 4] = ["room 0", "room 1", "room 2", "room 3"];
/// Longer than anything waits.
const FOR_EVER: Duration = Duration::from_secs(120);

async fn stage() -> Stage {
    Plan::new().server("members").server("members").tenant("wagtail", "multi-account").start().await
}

/// Meetings on both servers, each with a recording, of which the ids are returned.
async fn recorded(stage: &Stage) -> Vec<String> {
    let mut ids = Vec::new();
    for room in ROOMS {
        let params = [("name", room), ("meetingID", room), ("record", "true")];
        let created = stage.api("wagtail", "create", &params).await;
        let on_server = format!("t.wagtail.{room}");
        let sim = stage.sims.iter().find(|sim| sim.meeting(&on_server).is_some()).unwrap();
        let start_time_ms = Some(created.xml("createTime").parse().unwrap());
        let state = if room == ROOMS[0] { RecordingState::Unpublished } else { RecordingState::Published };
        let seed = RecordingSeed { ext_id: on_server, start_time_ms, state, ..RecordingSeed::default() };
        ids.push(sim.add_recording(seed));
        stage.joined("wagtail", room, "Ada").await;
    }
    assert!(stage.sims.iter().all(|sim| sim.recordings().len() == 2), "both have some");
    ids
}

fn all<'a>(reply: &'a Reply, name: &str) -> Vec<&'a str> {
    let mut found: Vec<_> =
        reply.body.split(&format!("<{name}>")).skip(1).map(|rest| rest.split('<').next().unwrap()).collect();
    found.sort_unstable();
    found
}

fn marked(reply: &Reply) -> usize {
    reply.body.matches("<lastKnown>true</lastKnown>").count()
}

async fn list(stage: &Stage, call: &str, params: &[(&str, &str)]) -> Reply {
    stage.api("wagtail", call, params).await
}

async fn restarted(stage: &mut Stage) {
    assert!(stage.app.take().unwrap().stop(DEADLINE).await);
    stage.start_again().await;
}

// 5. "Part of a list is given as the whole: `getRecordings` for two ids with one server away answers SUCCESS with one; Moodle
// then marks the other one as deleted by its owner."

#[tokio::test(flavor = "multi_thread")]
async fn a_list_of_recordings_with_one_server_away_is_whole_or_fails() {
    let stage = stage().await;
    let mut ids = recorded(&stage).await;
    ids.sort_unstable();
    let named = ids.join(",");
    // Moodle asks by id, and marks what is missing as deleted by its owner.
    stage.sims[1].faults().set_down(true);
    for params in [&[("recordID", &*named)][..], &[], &[("meetingID", "room 0,room 1,room 2,room 3")]] {
        let reply = list(&stage, "getRecordings", params).await;
        assert_eq!(
            (reply.xml("returncode"), reply.xml("messageKey")),
            ("FAILED", "serverUnavailable"),
            "{}",
            reply.body
        );
    }
    stage.sims[1].faults().set_down(false);
    eventually("the server is asked again", async || all(&list(&stage, "getRecordings", &[]).await, "recordID") == ids)
        .await;

    stage.sims[1].faults().set_down(true);
    let reply = list(&stage, "getRecordings", &[("recordID", &named)]).await;
    assert_eq!((all(&reply, "recordID"), marked(&reply)), (ids.iter().map(|id| &**id).collect(), 2), "{}", reply.body);
    assert!(!reply.body.contains("internal.test") && !reply.body.contains("t.wagtail"), "{}", reply.body);
    for (state, count) in
        [("published", 3), ("unpublished", 1), ("any", 4), ("deleted", 0), ("published,unpublished", 4)]
    {
        let reply = list(&stage, "getRecordings", &[("state", state)]).await;
        assert_eq!(all(&reply, "recordID").len(), count, "{state}: {}", reply.body);
    }
    let filtered = list(&stage, "getRecordings", &[("meta_course", "math")]).await;
    assert_eq!(
        filtered.xml("messageKey"),
        "serverUnavailable",
        "what a server finds is not guessed: {}",
        filtered.body
    );
    // What was changed, or may have been, is not told from before.
    let change = [("recordID", &*named), ("publish", "false")];
    assert_eq!(list(&stage, "publishRecordings", &change).await.xml("returncode"), "FAILED");
    assert_eq!(list(&stage, "getRecordings", &[]).await.xml("messageKey"), "serverUnavailable");
}

#[tokio::test(flavor = "multi_thread")]
async fn recordings_of_a_server_that_is_taken_out_of_the_configuration_are_not_left_out() {
    let plan = Plan::new().server("members").server("members").tenant("wagtail", "multi-account");
    let mut gateway = Served::start(plan).await;
    for room in ROOMS {
        let params = [("name", room), ("meetingID", room), ("record", "true")];
        let made = gateway.api("wagtail", "create", &params).await;
        assert_eq!(made.xml("returncode"), "SUCCESS", "{}", made.body);
        // Of a meeting to which nobody has come there is no recording.
        let join = [("meetingID", room), ("fullName", "Ada"), ("role", "VIEWER")];
        Joined::by("wagtail", &gateway.api("wagtail", "join", &join).await);
    }
    let recorded = gateway.sims.iter().map(|sim| {
        let seeds = sim.meetings().into_iter().map(|meeting| RecordingSeed {
            ext_id: meeting.ext_id,
            start_time_ms: Some(meeting.create_time_ms),
            ..RecordingSeed::default()
        });
        seeds.map(|seed| sim.add_recording(seed)).collect::<Vec<_>>()
    });
    let recorded: Vec<_> = recorded.collect();
    let (kept, gone) = (recorded[0].join(","), recorded[1].join(","));
    let listed = async |gateway: &Served, params: &[(&str, &str)]| {
        let reply = gateway.api("wagtail", "getRecordings", params).await;
        (reply.xml("messageKey").to_owned(), all(&reply, "recordID").len())
    };
    let whole = (String::new(), ROOMS.len());
    assert_eq!(listed(&gateway, &[]).await, whole);
    let file = gateway.dir.path().join("anteroom.toml");
    let text = fs::read_to_string(&file).unwrap();
    let (before, rest) = text.split_once("[servers.bbb-02]").unwrap();
    let after = rest.split_once("\n[").map_or(String::new(), |(_, after)| format!("\n[{after}"));
    fs::write(&file, format!("{before}{after}")).unwrap();
    let warning = "server with recordings not in the configuration: getRecordings fails";
    eventually("a warning in the log", async || gateway.logged(warning).iter().any(|line| line.contains("\"bbb-02\"")))
        .await;
    for when in ["after a reload", "after a restart"] {
        for params in [&[][..], &[("recordID", &*gone)], &[("meetingID", "room 0,room 1,room 2,room 3")]] {
            assert_eq!(listed(&gateway, params).await, ("serverUnavailable".into(), 0), "{when}: {params:?}");
        }
        assert_eq!(listed(&gateway, &[("recordID", &kept)]).await, (String::new(), recorded[0].len()), "{when}");
        let change = [("recordID", &*gone), ("publish", "false")];
        let changed = gateway.api("wagtail", "publishRecordings", &change).await;
        assert_eq!(changed.xml("messageKey"), "serverUnavailable", "{when}: {}", changed.body);
        gateway.kill().await;
        gateway.start_again().await;
    }
    // The operator says that they are gone.
    fs::write(&file, format!("retired_servers = [\"bbb-02\"]\n{before}{after}")).unwrap();
    let rest = (String::new(), recorded[0].len());
    eventually("they are left out", async || listed(&gateway, &[]).await == rest).await;
    fs::write(&file, &text).unwrap();
    eventually("all are there again", async || listed(&gateway, &[]).await == whole).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_answers_nonsense_leaves_the_list_of_recordings_whole() {
    let stage = stage().await;
    recorded(&stage).await;
    assert_eq!(all(&list(&stage, "getRecordings", &[]).await, "recordID").len(), 4);
    let page = sim::CannedAnswer::page(502);
    stage.sims[0].faults().set_call_answer("getRecordings", Some(page));
    let reply = list(&stage, "getRecordings", &[]).await;
    assert_eq!((all(&reply, "recordID").len(), marked(&reply)), (4, 2), "{}", reply.body);
}

#[tokio::test(flavor = "multi_thread")]
async fn meetings_on_a_server_that_is_away_are_listed_from_what_was_last_known() {
    let mut stage = stage().await;
    for room in ROOMS {
        stage.create("wagtail", room).await;
    }
    let listed = list(&stage, "getMeetings", &[]).await;
    assert_eq!((all(&listed, "meetingID"), marked(&listed)), (ROOMS.to_vec(), 0));
    // One more on each, which the list of before does not have.
    stage.create("wagtail", "room 4").await;
    stage.create("wagtail", "room 5").await;
    stage.sims[0].faults().set_down(true);
    let away = stage.sims[0].meetings().len();
    let reply = list(&stage, "getMeetings", &[]).await;
    let rooms = [&ROOMS[..], &["room 4", "room 5"]].concat();
    assert_eq!((all(&reply, "meetingID"), marked(&reply)), (rooms.clone(), away), "{}", reply.body);
    assert_eq!(all(&reply, "internalMeetingID").len(), rooms.len());
    assert!(!reply.body.contains("t.wagtail") && reply.xml("returncode") == "SUCCESS", "{}", reply.body);
    assert!(!reply.header("age").is_empty());
    let sessions = list(&stage, "getSessions", &[]).await;
    assert_eq!(sessions.xml("messageKey"), "serverUnavailable", "nothing is known: {}", sessions.body);
    // What has ended meanwhile is not listed from before.
    let running = stage.sims[1].meetings()[0].ext_id.replace("t.wagtail.", "");
    stage.api("wagtail", "end", &[("meetingID", &running)]).await;
    let rooms: Vec<_> = rooms.into_iter().filter(|room| *room != running).collect();
    assert_eq!(all(&list(&stage, "getMeetings", &[]).await, "meetingID"), rooms);
    restarted(&mut stage).await;
    let reply = list(&stage, "getMeetings", &[]).await;
    assert_eq!((all(&reply, "meetingID"), marked(&reply)), (rooms, away), "after a restart: {}", reply.body);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_server_is_waited_for_once() {
    let stage = stage().await;
    for room in ROOMS {
        stage.create("wagtail", room).await;
    }
    stage.sims[0].faults().set_call_delay("getMeetings", FOR_EVER);
    let first = list(&stage, "getMeetings", &[]).await;
    assert_eq!((all(&first, "meetingID"), marked(&first)), (ROOMS.to_vec(), 2), "{}", first.body);
    // How long it waits, and that the next does not, is held in `src/meetings/listing.rs`, in virtual time.
    for _ in 0..3 {
        assert_eq!(all(&list(&stage, "getMeetings", &[]).await, "meetingID"), ROOMS);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_list_of_recordings_is_waited_for_once() {
    let stage = stage().await;
    recorded(&stage).await;
    assert_eq!(all(&list(&stage, "getRecordings", &[]).await, "recordID").len(), 4);
    stage.sims[0].faults().set_call_delay("getRecordings", FOR_EVER);
    let reply = list(&stage, "getRecordings", &[]).await;
    assert_eq!((all(&reply, "recordID").len(), marked(&reply)), (4, 2), "{}", reply.body);
    let asked = || stage.sims[0].log().iter().filter(|seen| seen.path.ends_with("/getRecordings")).count();
    let before = asked();
    assert_eq!(marked(&list(&stage, "getRecordings", &[]).await), 2);
    assert_eq!(asked(), before, "it is not waited for again");
}

// 18. "A balancer entered as a server (bbblb, Scalelite) polls as healthy, `create` succeeds and every `join` fails with
// `serverUnavailable`, in the log as `a broken answer`."

#[tokio::test(flavor = "multi_thread")]
async fn a_balancer_entered_as_a_server_is_called_one_in_the_log_and_in_the_list_of_servers() {
    let gateway = Served::start(Plan::new().server("members").tenant("wagtail", "multi-account")).await;
    gateway.api("wagtail", "create", &[("name", "room"), ("meetingID", "room")]).await;
    gateway.sims[0].faults().set_joins_elsewhere(Some("https://node-07.example"));
    let join = [("meetingID", "room"), ("fullName", "Ada"), ("role", "VIEWER")];
    let refused = gateway.api("wagtail", "join", &join).await;
    assert_eq!(refused.xml("messageKey"), "serverUnavailable", "{}", refused.body);
    let note = "redirects joins to another host: is this a balancer?";
    eventually("it is in the log", async || {
        let lines = gateway.logged(note);
        lines
            .iter()
            .any(|line| line.contains("ERROR") && line.contains("\"bbb-01\"") && line.contains("node-07.example"))
    })
    .await;
    for other in ["broken answer", "invalid answer"] {
        assert_eq!(gateway.logged(other), [""; 0], "it is called what it is, and nothing else");
    }
    let list = || {
        let list = program::anteroom(&["server", "list"], gateway.dir.path());
        String::from_utf8(list.stdout).unwrap()
    };
    assert!(list().contains("NOTE") && list().contains(note), "{}", list());
    gateway.sims[0].faults().set_joins_elsewhere(None);
    Joined::by("wagtail", &gateway.api("wagtail", "join", &join).await);
    assert!(!list().contains("balancer"), "it is one no longer: {}", list());
}

// Some balancers redirect each call, not only joins (tinyscale: greenlight issue 2688), and so does an nginx that wants https.

#[tokio::test(flavor = "multi_thread")]
async fn check_online_says_so_of_a_server_that_redirects_each_call() {
    let stage = Plan::new().server("members").tenant("wagtail", "level-1").start().await;
    let elsewhere = EvilServer::start(|asked| {
        let to = format!("location: https://node-07.example{}\r\n", asked.target());
        EvilServer::answer("302 Found", &to, "")
    })
    .await;
    let file = stage.path("anteroom.toml");
    let mut text = fs::read_to_string(&file).unwrap();
    text += &format!(
        "[servers.balancer]\nurl = \"http://{}\"\nsecret = \"balancer-secret\"\npool = \"members\"\n",
        elsewhere.address
    );
    fs::write(&file, text).unwrap();
    let told = program::anteroom(&["check", "--online"], stage.dir.path());
    let told = String::from_utf8(told.stdout).unwrap();
    let fault =
        "server balancer: fault: redirects calls (https node-07.example): is this a balancer, or is that its url?";
    assert!(told.contains(fault) && !told.contains("checksum"), "{told}");
}

#[tokio::test(flavor = "multi_thread")]
async fn check_online_finds_what_no_server_can_do_before_people_do() {
    let mut stage = Plan::new().server("members").server("members").tenant("wagtail", "level-1").start().await;
    let dir = stage.dir.path().to_owned();
    let check = || {
        let told = program::anteroom(&["check", "--online"], &dir);
        (told.status.success(), String::from_utf8(told.stdout).unwrap())
    };
    let (sound, told) = check();
    assert!(sound, "{told}");
    assert!(told.contains("server bbb-01: BBB, answers, has this secret"), "{told}");
    assert!(stage.sims.iter().all(|sim| sim.meetings().is_empty()), "nothing is left of it");
    let faults = |n: usize| stage.sims[n].faults();
    faults(0).set_joins_elsewhere(Some("https://node-07.example"));
    faults(1).set_api_answer(Some(sim::CannedAnswer::page(200)));
    let (sound, told) = check();
    assert!(!sound && told.contains("2 faults with the servers"), "{told}");
    let balancer = "server bbb-01: fault: redirects joins to another host: is this a balancer? (node-07.example)";
    assert!(told.contains(balancer), "{told}");
    assert!(told.contains("server bbb-02: fault: is not a BBB server"), "{told}");
    faults(0).set_joins_elsewhere(None);
    let other = sim::CannedAnswer {
        status: 200,
        content_type: "text/xml".into(),
        body: b"<response><returncode>FAILED</returncode><messageKey>checksumError</messageKey></response>".to_vec(),
    };
    faults(0).set_call_answer("getMeetings", Some(other));
    stage.sims.pop().unwrap().stop().await;
    let (_, told) = check();
    assert!(told.contains("server bbb-01: fault: wrong secret"), "{told}");
    assert!(told.contains("server bbb-02: fault: cannot be reached"), "{told}");
    let meteor = sim::Config { profile: sim::Profile::V2_7, ..sim::Config::default() };
    let stage = Plan::new().server_with("members", meteor).tenant("wagtail", "level-1").start().await;
    let told = program::anteroom(&["check", "--online"], stage.dir.path());
    let told = String::from_utf8(told.stdout).unwrap();
    assert!(told.contains("is older than 3.0, and servers.bbb-01.version says 3.0"), "{told}");
}

// 7. "What follows the end lives in memory for 15 minutes, though 60 is allowed to be asked for
// (`learningDashboardCleanupDelayInMinutes`), and is gone after a restart."

#[tokio::test(flavor = "multi_thread")]
async fn the_dashboard_is_there_after_the_end_for_as_long_as_was_asked_for_and_after_a_restart() {
    let mut stage = Plan::new().server("members").tenant("wagtail", "level-1").tenant("heron", "level-1").start().await;
    let mut data = Vec::new();
    // 0 is for ever (bigbluebutton issues 13175 and 14605): the server is told an hour, as the level has it.
    for (room, minutes) in [("long", "60"), ("short", "2"), ("ever", "0"), ("nonsense", "-1")] {
        let params = [("name", room), ("meetingID", room), ("learningDashboardCleanupDelayInMinutes", minutes)];
        let created = stage.api("wagtail", "create", &params).await;
        let joined = stage.joined("wagtail", room, "Ada").await;
        let mut socket = stage.graphql("wagtail", &joined).await.unwrap();
        let query = r#"{"type":"subscribe","id":"m","payload":{"query":"subscription M { meeting { name } }"}}"#;
        socket.send(Message::text(query)).await.unwrap();
        let told = socket.next().await.unwrap().unwrap().into_text().unwrap();
        let (_, token) = told.split_once(r#""learningDashboardAccessToken":""#).unwrap();
        let token = token.split('"').next().unwrap();
        let id = created.xml("internalMeetingID");
        let path = format!("/learning-analytics-dashboard/{id}/{token}/learning_dashboard_data.json");
        data.push((path, joined));
    }
    for room in ["long", "short", "ever", "nonsense"] {
        stage.api("wagtail", "end", &[("meetingID", room)]).await;
    }
    let status = async |stage: &Stage, n: usize| {
        let (path, joined): &(String, Joined) = &data[n];
        let with_token = format!("{}{path}?sessionToken={}", joined.prefix, joined.token);
        let client = stage.client();
        let plain = client.get(&host("wagtail"), path).await.status.as_u16();
        (plain, client.get(&host("wagtail"), &with_token).await.status.as_u16())
    };
    assert_eq!((status(&stage, 0).await, status(&stage, 1).await), ((200, 200), (200, 200)));
    // Half an hour later, and after a restart.
    assert!(stage.app.take().unwrap().stop(DEADLINE).await);
    let url = format!("sqlite:{}", stage.path("var/anteroom.db").display());
    let mut store = sqlx::SqliteConnection::connect(&url).await.unwrap();
    sqlx::query("UPDATE meetings SET ended_at = ended_at - 1800000").execute(&mut store).await.unwrap();
    store.close().await.unwrap();
    stage.start_again().await;
    assert_eq!(status(&stage, 0).await, (200, 200), "the server was told to keep it for an hour");
    assert_eq!(status(&stage, 1).await, (404, 404), "and of this one for two minutes");
    for n in [2, 3] {
        assert_eq!(status(&stage, n).await, (200, 200), "{}", data[n].0);
    }
    let nobody = stage.client().get(&host("heron"), &data[0].0).await;
    assert_ne!(nobody.status, 200, "of another host");
}
