//! Servers that are down, slow or talk nonsense, and callers that do: a clear answer, and nothing that runs is lost.

use std::time::Duration;

use anteroom_bench::{
    sign,
    sim::{Breakage, CannedAnswer, RecordingSeed},
};
use sqlx::Connection;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::support::{Plan, Stage, eventually, host, secret, write};

async fn stage() -> Stage {
    Plan::new().server("members").server("members").tenant("wagtail", "multi-account").start().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_burst_of_new_meetings_is_spread_over_the_servers() {
    let stage = stage().await;
    stage.create("wagtail", "first").await;
    // While the store is held, all of them look for a place and none is promised yet.
    let url = format!("sqlite:{}", stage.path("var/anteroom.db").display());
    let mut store = sqlx::SqliteConnection::connect(&url).await.unwrap();
    sqlx::query("BEGIN IMMEDIATE").execute(&mut store).await.unwrap();
    let names: Vec<_> = (0..39).map(|n| format!("room {n}")).collect();
    let creates = futures_util::future::join_all(names.iter().map(|name| stage.create("wagtail", name)));
    let release = async {
        eventually("all have come", async || stage.metric("anteroom_open_connections", &[]).await >= 39).await;
        // Nothing shows that all of them have chosen a server: they have done so soon after they have come.
        tokio::time::sleep(Duration::from_millis(500)).await;
        sqlx::query("ROLLBACK").execute(&mut store).await.unwrap();
    };
    tokio::join!(creates, release);
    let on_each: Vec<_> = stage.sims.iter().map(|sim| sim.meetings().len()).collect();
    assert_eq!(on_each.iter().sum::<usize>(), 40);
    assert!(on_each.iter().all(|n| (14..=26).contains(n)), "{on_each:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_does_not_answer_is_not_chosen() {
    let mut stage = stage().await;
    let gone = stage.sims.remove(0);
    gone.stop().await;
    for n in 0..6 {
        let created = stage.create("wagtail", &format!("room {n}")).await;
        assert_eq!(created.xml("returncode"), "SUCCESS", "{}", created.body);
    }
    assert_eq!(stage.sims[0].meetings().len(), 6);
    assert!(stage.metrics().await.contains("anteroom_server_up{server=\"bbb-01\"} 0"));
}

#[tokio::test(flavor = "multi_thread")]
async fn any_call_notices_that_its_server_is_gone() {
    let path = |call, params: &[_]| sign::path(call, params, &secret("wagtail"));
    for (name, path, document) in [
        ("getMeetingInfo", path("getMeetingInfo", &[("meetingID", "room")]), ""),
        ("create", path("create", &[("meetingID", "room"), ("name", "room")]), ""),
        ("join", path("join", &[("meetingID", "room"), ("fullName", "Ada"), ("role", "VIEWER")]), ""),
        ("sendChatMessage", path("sendChatMessage", &[("meetingID", "room"), ("message", "Hello")]), ""),
        (
            "insertDocument",
            path("insertDocument", &[("meetingID", "room")]),
            r#"<modules><module name="presentation"><document name="a.txt">QQ==</document></module></modules>"#,
        ),
    ] {
        let mut stage = Plan::new().server("members").tenant("wagtail", "multi-account").start().await;
        stage.create("wagtail", "room").await;
        stage.sims.remove(0).stop().await;
        let refused = match document {
            "" => stage.client().get(&host("wagtail"), &path).await,
            _ => stage.client().post(&host("wagtail"), &path, "application/xml", document).await,
        };
        assert_eq!(refused.xml("messageKey"), "serverUnavailable", "{name}: {}", refused.body);
        assert!(stage.metrics().await.contains("anteroom_server_up{server=\"bbb-01\"} 0"), "{name}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_server_a_program_and_a_person_are_told() {
    let mut stage = stage().await;
    stage.create("wagtail", "room").await;
    let joined = stage.joined("wagtail", "room", "Ada").await;
    for sim in stage.sims.drain(..) {
        sim.stop().await;
    }
    let refused = stage.create("wagtail", "new room").await;
    assert_eq!(refused.xml("messageKey"), "noServerAvailable", "{}", refused.body);
    for call in ["getMeetingInfo", "isMeetingRunning", "end", "create"] {
        let refused = stage.api("wagtail", call, &[("meetingID", "room"), ("name", "room")]).await;
        assert_eq!(refused.xml("messageKey"), "serverUnavailable", "{call}: {}", refused.body);
    }
    assert_eq!(stage.join("wagtail", "room", "Bo").await.xml("messageKey"), "serverUnavailable");
    let list = stage.api("wagtail", "getMeetings", &[]).await;
    let known = (list.xml("returncode"), list.xml("meetingID"), list.xml("lastKnown"));
    assert_eq!(known, ("SUCCESS", "room", "true"), "what was last known: {}", list.body);
    let path = format!("{}/html5client/?sessionToken={}", joined.prefix, joined.token);
    let page = stage.client().get_with(&host("wagtail"), &path, &[("accept", "text/html")]).await;
    assert_eq!(page.status, 502);
    assert!(page.body.contains("serverUnavailable") && !page.body.contains("127.0.0.1"), "{}", page.body);
    assert!(stage.metrics().await.contains("reason=\"serverUnavailable\""));
}

#[tokio::test(flavor = "multi_thread")]
async fn asking_about_a_meeting_that_is_being_made_does_not_end_it() {
    let stage = Plan::new().server("members").tenant("small", "free").start().await;
    let body = b"<response><returncode>FAILED</returncode><messageKey>notFound</messageKey></response>".to_vec();
    let not_found = CannedAnswer { status: 200, content_type: "text/xml".into(), body };
    stage.sims[0].faults().set_call_answer("getMeetingInfo", Some(not_found));
    stage.sims[0].faults().set_api_delay(Duration::from_millis(400));
    let asked = async {
        let asked = || stage.sims[0].log().iter().any(|seen| seen.call() == Some("create"));
        eventually("the server is asked for the meeting", async || asked()).await;
        stage.api("small", "getMeetingInfo", &[("meetingID", "room")]).await
    };
    let (created, early) = tokio::join!(stage.create("small", "room"), asked);
    assert_eq!(created.xml("returncode"), "SUCCESS", "{}", created.body);
    assert_eq!(early.xml("messageKey"), "notFound", "{}", early.body);
    stage.sims[0].faults().set_call_answer("getMeetingInfo", None);
    assert!(stage.metrics().await.contains("anteroom_meetings 1"));
    let info = stage.api("small", "getMeetingInfo", &[("meetingID", "room")]).await;
    assert_eq!(info.xml("returncode"), "SUCCESS", "{}", info.body);
}

#[tokio::test(flavor = "multi_thread")]
async fn one_slow_server_makes_no_other_call_wait() {
    let stage = stage().await;
    for room in ["one", "two"] {
        stage.create("wagtail", room).await;
    }
    let (slow, quick) = if stage.on_server("wagtail", "one").unwrap().int_id == stage.sims[0].meetings()[0].int_id {
        ("one", "two")
    } else {
        ("two", "one")
    };
    stage.sims[0].faults().set_api_delay(Duration::from_secs(8));
    let slow = [("meetingID", slow)];
    let waiting = stage.api("wagtail", "getMeetingInfo", &slow);
    let answered = async {
        for _ in 0..20 {
            let info = stage.api("wagtail", "getMeetingInfo", &[("meetingID", quick)]).await;
            assert_eq!(info.xml("returncode"), "SUCCESS");
        }
    };
    tokio::select! {
        biased;
        reply = waiting => panic!("the slow call was first: {reply:?}"),
        () = answered => {}
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_meeting_that_ended_by_itself_frees_its_room() {
    let stage = Plan::new().server("members").tenant("small", "free").start().await;
    stage.create("small", "room one").await;
    stage.sims[0].faults().restart();
    // Two polls without it, which are five seconds apart.
    eventually("the room is free", async || stage.create("small", "room two").await.xml("returncode") == "SUCCESS")
        .await;
    let info = stage.api("small", "getMeetingInfo", &[("meetingID", "room one")]).await;
    assert_eq!(info.xml("messageKey"), "notFound");
}

#[tokio::test(flavor = "multi_thread")]
async fn one_list_without_a_meeting_does_not_end_it() {
    let stage = Plan::new().server("members").tenant("small", "free").start().await;
    stage.create("small", "room").await;
    // Until it is old enough to be missed, which is a matter of time alone: 5 s.
    tokio::time::sleep(Duration::from_secs(6)).await;
    let empty = b"<response><returncode>SUCCESS</returncode><meetings/><messageKey>noMeetings</messageKey></response>";
    let empty = CannedAnswer { status: 200, content_type: "text/xml".into(), body: empty.to_vec() };
    let polls = || stage.sims[0].log().iter().filter(|seen| seen.call() == Some("getMeetings")).count();
    let before = polls();
    stage.sims[0].faults().set_call_answer("getMeetings", Some(empty));
    eventually("the server is asked once", async || polls() > before).await;
    stage.sims[0].faults().set_call_answer("getMeetings", None);
    eventually("and once more", async || polls() > before + 1).await;
    assert!(stage.metrics().await.contains("anteroom_meetings 1"));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_meetings_of_a_removed_server_free_their_rooms() {
    let stage = Plan::new().server("members").server("members").tenant("small", "free").start().await;
    stage.create("small", "room one").await;
    let name = if stage.sims[0].meetings().is_empty() { "bbb-02" } else { "bbb-01" };
    let file = std::fs::read_to_string(stage.path("anteroom.toml")).unwrap();
    let (kept, rest) = file.split_once(&format!("[servers.{name}]")).unwrap();
    let others = rest.find("[servers.").map_or("", |at| &rest[at..]);
    write(stage.dir.path(), "anteroom.toml", &format!("{kept}{others}"));
    eventually("the room is free", async || stage.create("small", "room two").await.xml("returncode") == "SUCCESS")
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_socket_that_fails_marks_no_server_down() {
    let stage = stage().await;
    stage.create("wagtail", "room").await;
    let joined = stage.joined("wagtail", "room", "Ada").await;
    let path = format!("{}/bbb-webrtc-sfu?sessionToken={}", joined.prefix, joined.token);
    for headers in
        [vec![("content-length", "10")], vec![("cookie", "JSESSIONID.x=1")], vec![("sec-websocket-version", "1")]]
    {
        let _ = stage.client().socket(&host("wagtail"), &path, &headers).await;
    }
    let metrics = stage.metrics().await;
    assert!(metrics.contains("anteroom_server_up{server=\"bbb-01\"} 1"), "{metrics}");
    assert!(metrics.contains("anteroom_server_up{server=\"bbb-02\"} 1"), "{metrics}");
}

#[tokio::test(flavor = "multi_thread")]
async fn one_bad_poll_ends_nothing() {
    let stage = Plan::new().server("members").tenant("small", "free").start().await;
    stage.create("small", "room").await;
    let garbage = CannedAnswer { status: 500, content_type: "text/html".into(), body: b"<html/>".to_vec() };
    stage.sims[0].faults().set_call_answer("getMeetings", Some(garbage));
    let up = async |value: u8| {
        let line = format!("anteroom_server_up{{server=\"bbb-01\"}} {value}");
        eventually("the server's state is noticed", async || stage.metrics().await.contains(&line)).await;
    };
    up(0).await;
    stage.sims[0].faults().set_call_answer("getMeetings", None);
    up(1).await;
    let info = stage.api("small", "getMeetingInfo", &[("meetingID", "room")]).await;
    assert_eq!(info.xml("returncode"), "SUCCESS", "{}", info.body);
    assert!(stage.metrics().await.contains("anteroom_meetings 1"));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_http_ends_its_own_connection_only() {
    let stage = stage().await;
    stage.create("wagtail", "room").await;
    let joined = stage.joined("wagtail", "room", "Ada").await;
    let mut socket = stage.graphql("wagtail", &joined).await.unwrap();
    let long = format!("GET /{} HTTP/1.1\r\nhost: wagtail.localhost\r\n\r\n", "x".repeat(100_000));
    let many = format!("GET / HTTP/1.1\r\nhost: wagtail.localhost\r\n{}\r\n", "a: b\r\n".repeat(2000));
    for bytes in [
        &b"\x00\x01\x02\x03\r\n\r\n"[..],
        b"GET / HTTP/9.9\r\n\r\n",
        b"CONNECT wagtail.localhost:443 HTTP/1.1\r\nhost: wagtail.localhost:443\r\n\r\n",
        b"OPTIONS * HTTP/1.1\r\nhost: wagtail.localhost\r\n\r\n",
        b"GET /bigbluebutton/api HTTP/1.1\r\n\r\n",
        b"GET /\x00 HTTP/1.1\r\nhost: wagtail.localhost\r\n\r\n",
        b"POST / HTTP/1.1\r\nhost: wagtail.localhost\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\n",
        b"POST / HTTP/1.1\r\nhost: wagtail.localhost\r\ntransfer-encoding: x\r\n\r\n",
        long.as_bytes(),
        many.as_bytes(),
    ] {
        let mut stream = stage.client().connect(&host("wagtail")).await.unwrap();
        let _ = stream.write_all(bytes).await;
        let mut answer = [0; 9];
        if stream.read_exact(&mut answer).await.is_ok() {
            assert_eq!(&answer, b"HTTP/1.1 ", "{:?}", &bytes[..bytes.len().min(60)]);
            let mut status = [0; 3];
            stream.read_exact(&mut status).await.unwrap();
            assert_eq!(status[0], b'4', "{:?}", &bytes[..bytes.len().min(60)]);
        }
    }
    eventually("they are counted", async || {
        let metrics = stage.metrics().await;
        metrics.contains("anteroom_malformed_requests_total")
            && !metrics.contains("anteroom_malformed_requests_total 0")
    })
    .await;
    for bytes in [&b"GET / HTTP/1.1\r\n\r\n"[..], b"\x16\x03\x01\xff\xff", b"", &[0x80; 200]] {
        let mut stream = tokio::net::TcpStream::connect(stage.address).await.unwrap();
        stream.write_all(bytes).await.unwrap();
        stream.shutdown().await.unwrap();
        let mut rest = Vec::new();
        let _ = stream.read_to_end(&mut rest).await;
    }
    use futures_util::{SinkExt, StreamExt};
    use tokio_tungstenite::tungstenite::Message;
    socket.send(Message::text(r#"{"type":"ping"}"#)).await.unwrap();
    assert!(socket.next().await.unwrap().unwrap().to_text().unwrap().contains("pong"));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_breaks_off_gives_the_room_and_the_seat_back() {
    let stage =
        Plan::new().server("members").tenant_with("small", "free", "---[limits]\nparticipants = 1").start().await;
    let faults = stage.sims[0].faults();
    for breakage in [Breakage::NoAnswer, Breakage::CutBody, Breakage::ShortBody] {
        faults.set_call_breakage("create", Some(breakage));
        let refused = stage.create("small", "room one").await;
        assert_eq!(refused.xml("messageKey"), "serverUnavailable", "{breakage:?}: {}", refused.body);
        faults.set_call_breakage("create", None);
        assert!(stage.sims[0].meetings().is_empty(), "{breakage:?}: what was made all the same is ended");
        let created = stage.create("small", "room two").await;
        assert_eq!(created.xml("returncode"), "SUCCESS", "after {breakage:?}: {}", created.body);

        faults.set_call_breakage("join", Some(breakage));
        let params = [("meetingID", "room two"), ("fullName", "A"), ("role", "VIEWER"), ("redirect", "false")];
        let refused = stage.api("small", "join", &params).await;
        assert_eq!(refused.xml("messageKey"), "serverUnavailable", "{breakage:?}: {}", refused.body);
        faults.set_call_breakage("join", None);
        eventually("the seat is free", async || stage.join("small", "room two", "Bo").await.status == 302).await;

        for call in ["getMeetingInfo", "end"] {
            faults.set_call_breakage(call, Some(breakage));
            let refused = stage.api("small", call, &[("meetingID", "room two")]).await;
            assert_eq!(refused.xml("messageKey"), "serverUnavailable", "{call} {breakage:?}: {}", refused.body);
            faults.set_call_breakage(call, None);
        }
        stage.api("small", "end", &[("meetingID", "room two")]).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_does_not_wait_for_a_server_that_drips() {
    let stage = stage().await;
    for room in ["one", "two"] {
        stage.create("wagtail", room).await;
    }
    for call in ["getMeetings", "getSessions"] {
        stage.sims[0].faults().set_call_breakage(call, Some(Breakage::Drip));
    }
    let list = stage.api("wagtail", "getMeetings", &[]).await;
    assert_eq!((list.xml("returncode"), list.body.matches("<meeting>").count()), ("SUCCESS", 2), "{}", list.body);
    let sessions = stage.api("wagtail", "getSessions", &[]).await;
    assert_eq!(sessions.xml("messageKey"), "serverUnavailable", "a part is not given as all: {}", sessions.body);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_takes_too_long_has_its_room_called_off() {
    let stage = Plan::new().server("members").tenant("small", "free").start().await;
    stage.sims[0].faults().set_call_delay("create", Duration::from_secs(31));
    let refused = stage.create("small", "room one").await;
    assert_eq!(refused.xml("messageKey"), "serverUnavailable", "{}", refused.body);
    stage.sims[0].faults().set_call_delay("create", Duration::ZERO);
    assert_eq!(stage.create("small", "room two").await.xml("returncode"), "SUCCESS", "the room is free again");
}

#[tokio::test(flavor = "multi_thread")]
async fn recordings_in_a_strange_form_are_garbage_and_not_a_panic() {
    let stage = Plan::new().server("members").tenant("wagtail", "multi-account").start().await;
    let params = [("name", "room"), ("meetingID", "room"), ("record", "true")];
    let created = stage.api("wagtail", "create", &params).await;
    let start_time_ms = Some(created.xml("createTime").parse().unwrap());
    stage.joined("wagtail", "room", "Ada").await;
    stage.sims[0].add_recording(RecordingSeed {
        ext_id: "t.wagtail.room".into(),
        start_time_ms,
        ..RecordingSeed::default()
    });
    for (what, body, returncode) in [
        ("no recordings", "<response><returncode>SUCCESS</returncode></response>", "SUCCESS"),
        ("no success", "<response><returncode>FAILED</returncode></response>", "FAILED"),
        ("a page", "<html>500</html>", "FAILED"),
        ("nothing", "", "FAILED"),
        ("half of one", "<response><returncode>SUCCESS</returncode><recordings><recording><recordID>", "FAILED"),
    ] {
        let answer = CannedAnswer { status: 200, content_type: "text/xml".into(), body: body.as_bytes().to_vec() };
        stage.sims[0].faults().set_call_answer("getRecordings", Some(answer));
        let list = stage.api("wagtail", "getRecordings", &[]).await;
        assert_eq!(list.xml("returncode"), returncode, "{what}: {}", list.body);
    }
    stage.sims[0].faults().set_call_answer("getRecordings", None);
    let list = stage.api("wagtail", "getRecordings", &[]).await;
    assert_eq!(list.xml("recordID"), created.xml("internalMeetingID"), "{}", list.body);
}
