//! The service levels, as programs and people meet them: the last place is given, the one after it is refused.

use anteroom::store::Store;
use anteroom_bench::{sign, sim};
use futures_util::future::join_all;
use sqlx::Connection;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;

use crate::support::{Plan, Reply, Stage, eventually, greet, host, plain_get, secret};

/// A shipped level: name, rooms per account, participants per meeting, minutes, recording allowed.
type Level = (&'static str, Option<usize>, Option<usize>, &'static str, bool);

const LEVELS: [Level; 6] = [
    ("free", Some(1), Some(5), "60", false),
    ("level-1", Some(5), Some(10), "180", true),
    ("level-2", Some(5), Some(20), "180", true),
    ("level-3", Some(5), Some(50), "180", true),
    ("multi-account", None, Some(100), "1440", true),
    ("custom", None, None, "1440", true),
];

async fn stage() -> Stage {
    LEVELS
        .iter()
        .fold(Plan::new().server("members").server("members"), |plan, (level, ..)| plan.tenant(level, level))
        .start()
        .await
}

fn key(reply: &Reply) -> &str {
    reply.xml("messageKey")
}

#[tokio::test(flavor = "multi_thread")]
async fn the_room_after_the_last_is_refused() {
    let stage = stage().await;
    for (level, rooms, ..) in LEVELS {
        for n in 0..rooms.unwrap_or(12) {
            let created = stage.create(level, &format!("room {n}")).await;
            assert_eq!(created.xml("returncode"), "SUCCESS", "{level}, room {n}: {}", created.body);
        }
        if rooms.is_some() {
            assert_eq!(key(&stage.create(level, "one more").await), "roomLimitReached", "{level}");
            let again = stage.create(level, "room 0").await;
            assert_eq!(key(&again), "duplicateWarning", "{level}: a room that is open is no new one");
            stage.api(level, "end", &[("meetingID", "room 0")]).await;
            let created = stage.create(level, "one more").await;
            assert_eq!(
                created.xml("returncode"),
                "SUCCESS",
                "{level}: an ended room's place is free: {}",
                created.body
            );
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_participant_after_the_last_is_refused() {
    let stage = stage().await;
    for (level, _, participants, ..) in LEVELS {
        stage.create(level, "room").await;
        for n in 0..participants.unwrap_or(110) {
            let joined = stage.join(level, "room", &format!("person {n}")).await;
            assert_eq!(joined.status, 302, "{level}, person {n}: {}", joined.body);
        }
        if participants.is_some() {
            let refused = stage.join(level, "room", "one more").await;
            assert_eq!(key(&refused), "maxParticipantsReached", "{level}: {refused:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_asked_for_reaches_the_server_clamped() {
    let stage = stage().await;
    for (level, _, participants, minutes, recording) in LEVELS {
        let asked = [
            ("name", "room"),
            ("meetingID", "room"),
            ("duration", "100000"),
            ("maxParticipants", "100000"),
            ("record", "true"),
            ("autoStartRecording", "true"),
            ("allowStartStopRecording", "true"),
        ];
        stage.api(level, "create", &asked).await;
        let meeting = stage.on_server(level, "room").unwrap();
        let most = participants.map_or("100000".to_owned(), |n| n.to_string());
        assert_eq!(meeting.params["duration"], minutes, "{level}");
        assert_eq!(meeting.params["maxParticipants"], most, "{level}");
        assert_eq!(meeting.recording, recording, "{level}");
        for flag in ["record", "autoStartRecording", "allowStartStopRecording"] {
            assert_eq!(meeting.params[flag], recording.to_string(), "{level}: {flag}");
        }

        stage.api(level, "end", &[("meetingID", "room")]).await;
        stage.create(level, "room").await;
        let meeting = stage.on_server(level, "room").unwrap();
        assert_eq!(meeting.params["duration"], minutes, "{level}: nothing asked is as much as allowed");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn of_50_creates_at_once_5_succeed() {
    let stage = stage().await;
    let names: Vec<_> = (0..50).map(|n| format!("room {n}")).collect();
    let replies = join_all(names.iter().map(|name| stage.create("level-1", name))).await;
    let made = replies.iter().filter(|reply| reply.xml("returncode") == "SUCCESS").count();
    let refused = replies.iter().filter(|reply| key(reply) == "roomLimitReached").count();
    assert_eq!((made, refused), (5, 45));
    let on_servers: usize = stage.sims.iter().map(|sim| sim.meetings().len()).sum();
    assert_eq!(on_servers, 5, "the servers were asked for no more");
}

#[tokio::test(flavor = "multi_thread")]
async fn of_100_joins_at_once_10_get_in() {
    let stage = stage().await;
    stage.create("level-1", "room").await;
    let names: Vec<_> = (0..100).map(|n| format!("person {n}")).collect();
    let replies = join_all(names.iter().map(|name| stage.join("level-1", "room", name))).await;
    let joined = replies.iter().filter(|reply| reply.status == 302).count();
    let refused = replies.iter().filter(|reply| key(reply) == "maxParticipantsReached").count();
    assert_eq!((joined, refused), (10, 90));
}

#[tokio::test(flavor = "multi_thread")]
async fn concurrent_creates_of_one_id_make_one_meeting() {
    let stage = stage().await;
    let replies = join_all((0..20).map(|_| stage.create("custom", "room"))).await;
    let ids: std::collections::BTreeSet<_> = replies.iter().map(|reply| reply.xml("internalMeetingID")).collect();
    assert_eq!(ids.len(), 1, "{ids:?}");
    assert!(!ids.contains(""), "{:?}", replies[0]);
    let warned = replies.iter().filter(|reply| key(reply) == "duplicateWarning").count();
    assert_eq!(warned, 19, "one winner, and the others are told that it was there");
    let on_servers: usize = stage.sims.iter().map(|sim| sim.meetings().len()).sum();
    assert_eq!(on_servers, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_seat_is_held_while_a_socket_is_open_and_given_back_after() {
    // BBB itself counts somebody who has left for a minute longer: two seconds at this speed.
    let fast = sim::Config { speed: 30.0, ..sim::Config::default() };
    let plan = Plan::new().server_with("members", fast);
    let stage = plan.tenant_with("tiny", "free", "---[limits]\nparticipants = 1").start().await;
    let patient = [("name", "room"), ("meetingID", "room"), ("meetingExpireWhenLastUserLeftInMinutes", "30")];
    stage.api("tiny", "create", &patient).await;
    let first = stage.joined("tiny", "room", "Ada").await;
    let socket = stage.graphql("tiny", &first).await.unwrap();
    assert_eq!(key(&stage.join("tiny", "room", "Bo").await), "maxParticipantsReached");
    drop(socket);
    // The grace is 15 s: BBB's client comes back within ten.
    eventually("the seat is free again", async || stage.join("tiny", "room", "Bo").await.status == 302).await;
    let late = stage.graphql("tiny", &first).await;
    assert!(late.as_ref().is_err_and(|error| error.contains("maxParticipantsReached")), "{:?}", late.err());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_join_that_comes_to_nothing_gives_its_seat_back() {
    let stage =
        Plan::new().server("members").tenant_with("tiny", "free", "---[limits]\nparticipants = 1").start().await;
    stage.create("tiny", "room").await;
    let wrong = [("meetingID", "room"), ("fullName", "Ada"), ("password", "wrong"), ("redirect", "false")];
    let refused = stage.api("tiny", "join", &wrong).await;
    assert_eq!(refused.xml("returncode"), "FAILED", "{}", refused.body);
    eventually("the seat is free again", async || stage.join("tiny", "room", "Bo").await.status == 302).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn accounts_are_counted_by_credential_or_by_parameter() {
    let stage = Plan::new()
        .server("members")
        .tenant_with("keys", "level-1", "---second = \"keys-second-secret\"")
        .tenant_with("owners", "level-1", "account_param = \"meta_owner\"---[limits]\naccounts = 2\nrooms = 1")
        .start()
        .await;
    assert_eq!(stage.create("keys", "one").await.xml("returncode"), "SUCCESS");
    let path = anteroom_bench::sign::path("create", &[("name", "two"), ("meetingID", "two")], "keys-second-secret");
    let other = stage.client().get(&host("keys"), &path).await;
    assert_eq!(key(&other), "accountLimitReached", "{}", secret("keys"));

    let create = async |owner: &str, id: &str| {
        let params = [("name", id), ("meetingID", id), ("meta_owner", owner)];
        let reply = stage.api("owners", "create", &params).await;
        (reply.xml("returncode").to_owned(), key(&reply).to_owned())
    };
    assert_eq!(create("ada", "a1").await.0, "SUCCESS");
    assert_eq!(create("ada", "a2").await.1, "roomLimitReached");
    assert_eq!(create("bo", "b1").await.0, "SUCCESS");
    assert_eq!(create("cy", "c1").await.1, "accountLimitReached");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_room_that_is_begun_anew_elsewhere_stays_with_its_account() {
    let mut stage = Plan::new()
        .server("members")
        .server("members")
        .tenant_with("owners", "level-1", "account_param = \"meta_owner\"---[limits]\naccounts = 2\nrooms = 1")
        .start()
        .await;
    let create = async |stage: &Stage, owner: &str, id: &str| {
        let params = [("name", id), ("meetingID", id), ("meta_owner", owner)];
        let reply = stage.api("owners", "create", &params).await;
        (reply.xml("returncode").to_owned(), key(&reply).to_owned())
    };
    assert_eq!(create(&stage, "ada", "a1").await.0, "SUCCESS");
    let gone = usize::from(stage.sims[0].meetings().is_empty());
    stage.sims.remove(gone).stop().await;
    assert_eq!(create(&stage, "bo", "b1").await.0, "SUCCESS");
    // Three polls without an answer, and the server is given up.
    eventually("it is begun anew", async || create(&stage, "bo", "a1").await.0 == "SUCCESS").await;
    assert_eq!(create(&stage, "ada", "a2").await.1, "roomLimitReached", "it is still Ada's");
    stage.api("owners", "end", &[("meetingID", "a1")]).await;
    assert_eq!(create(&stage, "bo", "b2").await.1, "roomLimitReached", "and not Bo's");
    assert_eq!(create(&stage, "ada", "a2").await.0, "SUCCESS");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_person_is_refused_with_a_page_and_a_program_in_the_form_it_asked_for() {
    let stage =
        Plan::new().server("members").tenant_with("tiny", "free", "---[limits]\nparticipants = 1").start().await;
    stage.create("tiny", "room").await;
    stage.joined("tiny", "room", "Ada").await;
    let join = |more: &'static [(&'static str, &'static str)]| {
        let params = [&[("meetingID", "room"), ("fullName", "Bo"), ("role", "VIEWER")], more].concat();
        anteroom_bench::sign::path("join", &params, &secret("tiny"))
    };
    let client = stage.client();
    let page = client.get_with(&host("tiny"), &join(&[]), &[("accept", "text/html,*/*")]).await;
    assert_eq!(page.status, 403);
    assert!(page.body.contains("This meeting is full.") && page.body.contains("tiny co-op"), "{}", page.body);
    assert!(page.header("content-security-policy").contains("default-src 'none'"));

    let program = client.get_with(&host("tiny"), &join(&[("redirect", "false")]), &[("accept", "text/html")]).await;
    assert_eq!((program.status.as_u16(), key(&program)), (200, "maxParticipantsReached"));

    for name in ["errorRedirectUrl", "logoutURL"] {
        let to: &'static [_] = match name {
            "logoutURL" => &[("logoutURL", "https://school.example/bye?x=1")],
            _ => &[("errorRedirectUrl", "https://school.example/bye?x=1")],
        };
        let gone = client.get(&host("tiny"), &join(to)).await;
        assert_eq!(gone.status, 302);
        assert!(gone.header("location").starts_with("https://school.example/bye?x=1&errors="), "{gone:?}");
        assert!(gone.location_param("errors").contains("maxParticipantsReached"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_suspended_tenant_gets_no_meeting_and_no_seat() {
    let stage = Plan::new().server("members").tenant_with("late", "level-1", "suspended = true").start().await;
    assert_eq!(key(&stage.create("late", "room").await), "tenantSuspended");
    assert_eq!(key(&stage.join("late", "room", "Ada").await), "tenantSuspended");
    let stage = Plan::new().server("members").tenant_with("late", "custom", "suspended = true").start().await;
    assert_eq!(key(&stage.create("late", "room").await), "tenantSuspended", "where nothing is counted either");
}

#[tokio::test(flavor = "multi_thread")]
async fn people_whom_a_server_counts_and_who_came_another_way_take_seats() {
    let plan = Plan::new().server("members").tenant_with("tiny", "free", "---[limits]\nparticipants = 2");
    let mut stage = plan.start().await;
    stage.create("tiny", "room").await;
    // Dial-in, say: a join at the server itself, which the gateway has not seen.
    let sim = &stage.sims[0];
    let params = [("meetingID", "t.tiny.room"), ("fullName", "Somebody"), ("role", "VIEWER"), ("redirect", "false")];
    let joined = plain_get(sim.addr(), "sim", &sign::path("join", &params, "bbb-01-secret")).await;
    let token = joined.xml("session_token").to_owned();
    let mut request = format!("ws://{}/graphql", sim.addr()).into_client_request().unwrap();
    let headers = request.headers_mut();
    headers.insert("cookie", joined.cookies().parse().unwrap());
    headers.insert("sec-websocket-protocol", "graphql-transport-ws".parse().unwrap());
    let (mut socket, _) = tokio_tungstenite::connect_async(request).await.unwrap();
    greet(&mut socket, &token).await.unwrap();
    let url = format!("sqlite:{}", stage.path("var/anteroom.db").display());
    let store = Store::open_beside(&url).await.unwrap();
    let meeting = store.meetings().find(&"tiny".parse().unwrap(), "room").await.unwrap().unwrap().id.get();
    eventually("two polls have found somebody", async || strangers(&url, meeting).await == 1).await;
    assert_eq!(stage.join("tiny", "room", "Ada").await.status, 302, "seat 2 of 2");
    assert_eq!(key(&stage.join("tiny", "room", "Bob").await), "maxParticipantsReached");
    // Whoever polls next counts anew: what was written down before does not stay for good.
    stage.app.take().unwrap().stop(std::time::Duration::from_secs(1)).await;
    drop(socket);
    assert!(stage.sims[0].end_meeting("t.tiny.room"));
    let again = [("meetingID", "t.tiny.room"), ("name", "room"), ("attendeePW", "ap"), ("moderatorPW", "mp")];
    let again = plain_get(stage.sims[0].addr(), "sim", &sign::path("create", &again, "bbb-01-secret")).await;
    // As if it were the same run, with nobody in it.
    let mut rows = sqlx::SqliteConnection::connect(&url).await.unwrap();
    let renamed = sqlx::query("UPDATE meetings SET internal_id = $1").bind(again.xml("internalMeetingID"));
    renamed.execute(&mut rows).await.unwrap();
    stage.start_again().await;
    eventually("nobody else is there any more", async || strangers(&url, meeting).await == 0).await;
}

async fn strangers(url: &str, meeting: i64) -> i64 {
    let mut store = sqlx::SqliteConnection::connect(url).await.unwrap();
    sqlx::query_scalar("SELECT strangers FROM meetings WHERE id = $1")
        .bind(meeting)
        .fetch_one(&mut store)
        .await
        .unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_meeting_that_outlives_its_time_is_ended_also_after_a_start() {
    let mut stage = Plan::new().server("members").tenant("tiny", "free").start().await;
    stage.create("tiny", "room").await;
    stage.app.take().unwrap().stop(std::time::Duration::from_secs(1)).await;
    // As if its time had been over for more than a minute, and its server had not ended it.
    let url = format!("sqlite:{}", stage.path("var/anteroom.db").display());
    let mut store = sqlx::SqliteConnection::connect(&url).await.unwrap();
    let times: (i64, i64) =
        sqlx::query_as("SELECT created_at, ends_at FROM meetings").fetch_one(&mut store).await.unwrap();
    assert_eq!(times.1 - times.0, 60 * 60_000, "the hour of its level");
    sqlx::query("UPDATE meetings SET ends_at = $1").bind(times.0 - 61_000).execute(&mut store).await.unwrap();
    assert!(stage.on_server("tiny", "room").is_some());
    stage.start_again().await;
    eventually("it is ended on its server", async || stage.on_server("tiny", "room").is_none()).await;
    eventually("and its room is free", async || stage.create("tiny", "another").await.xml("returncode") == "SUCCESS")
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_may_last_for_ever_has_no_end_written_down_that_a_level_could_change() {
    let plan = Plan::new().server("members").tenant_with("long", "free", "---[limits]\nduration = \"unlimited\"");
    let stage = plan.start().await;
    stage.create("long", "room").await;
    let url = format!("sqlite:{}", stage.path("var/anteroom.db").display());
    let mut store = sqlx::SqliteConnection::connect(&url).await.unwrap();
    let ends_at: Option<i64> = sqlx::query_scalar("SELECT ends_at FROM meetings").fetch_one(&mut store).await.unwrap();
    assert_eq!(ends_at, Some(i64::MAX), "not nothing, which is read as the usual limit of its tenant");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_room_that_begins_anew_elsewhere_gets_no_more_time_than_it_has_left() {
    let limits = "---[limits]\nduration_window = \"1d\"";
    let plan = Plan::new().server("members").server("members").tenant_with("tiny", "free", limits);
    let mut stage = plan.start().await;
    stage.create("tiny", "room").await;
    stage.app.take().unwrap().stop(std::time::Duration::from_secs(1)).await;
    // Its hour is over, and its server is gone.
    let url = format!("sqlite:{}", stage.path("var/anteroom.db").display());
    let mut store = sqlx::SqliteConnection::connect(&url).await.unwrap();
    sqlx::query("UPDATE meetings SET created_at = created_at - 3600000").execute(&mut store).await.unwrap();
    let at = stage.sims.iter().position(|sim| sim.meeting("t.tiny.room").is_some()).unwrap();
    stage.sims.remove(at).stop().await;
    stage.start_again().await;
    eventually("its server is known to be offline", async || {
        stage
            .metrics()
            .await
            .contains(&format!("anteroom_server_state{{server=\"bbb-0{}\",state=\"offline\"}} 1", at + 1))
    })
    .await;
    assert_eq!(key(&stage.create("tiny", "room").await), "durationUsedUp");
    assert!(stage.sims[0].meetings().is_empty(), "nothing has begun");
}

#[tokio::test(flavor = "multi_thread")]
async fn documents_count_though_their_caller_goes_away() {
    let limits = "---[limits]\ndocuments = 1";
    let stage = Plan::new().server("members").tenant_with("wagtail", "free", limits).start().await;
    stage.create("wagtail", "room").await;
    let insert = async || {
        let path = sign::path("insertDocument", &[("meetingID", "room")], &secret("wagtail"));
        let body = "<modules><module name=\"presentation\"><document url=\"https://school.example/b.pdf\"/></module></modules>";
        stage.client().post(&host("wagtail"), &path, "application/xml", body).await
    };
    let server = &stage.sims[0];
    server.faults().set_call_delay("insertDocument", std::time::Duration::from_secs(1));
    let is_asked = async || server.log().iter().any(|seen| seen.call() == Some("insertDocument"));
    tokio::select! {
        reply = insert() => panic!("answered: {reply:?}"),
        () = eventually("its server is asked", is_asked) => {}
    }
    eventually("the server has it", async || stage.on_server("wagtail", "room").unwrap().documents.len() == 1).await;
    assert_eq!(insert().await.xml("messageKey"), "documentLimitReached");
}
