//! What can be made to go wrong.

use std::time::{Duration, Instant};

use anteroom_bench::sign;
use anteroom_bench::sim::{Breakage, CannedAnswer, Config, Sim};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::helpers::*;

#[tokio::test]
async fn faults_can_be_switched_on_and_off() {
    let sim = start(Config::default()).await;
    create(&sim, "room", &[]).await;
    let seat = join(&sim, "room", &[]).await;
    let html = CannedAnswer { status: 500, content_type: "text/html".into(), body: "<html>oops".into() };
    sim.faults().set_call_answer("create", Some(html.clone()));
    assert_eq!(create(&sim, "other", &[]).await.status, 500);
    assert_eq!(call(&sim, "getMeetings", &[]).await.status, 200);
    sim.faults().set_call_answer("create", None);
    sim.faults().set_api_answer(Some(html));
    assert_eq!(call(&sim, "getMeetings", &[]).await.body, "<html>oops");
    assert_eq!(get(&sim, "/bigbluebutton/api").await.status, 500);
    sim.faults().set_api_answer(None);

    let mut socket = enter(&sim, &seat).await.unwrap();
    sim.faults().cut_sockets();
    assert_eq!(hear(&mut socket).await, Err(1006));
    let mut socket = enter(&sim, &seat).await.unwrap();
    sim.faults().set_down(true);
    assert_eq!(hear(&mut socket).await, Err(1006));
    let mut stream = TcpStream::connect(sim.addr()).await.unwrap();
    assert!(matches!(stream.read(&mut [0; 8]).await, Ok(0) | Err(_)), "closed at once");
    sim.faults().set_down(false);
    let mut socket = enter(&sim, &seat).await.expect("meetings outlive the outage");

    sim.faults().restart();
    assert_eq!(hear(&mut socket).await, Err(1006));
    assert_eq!(call(&sim, "getMeetings", &[]).await.tag("messageKey"), Some("noMeetings"));
    assert_eq!(enter(&sim, &seat).await.err(), Some(4403));
    sim.stop().await;
}

#[tokio::test]
async fn a_server_that_was_stopped_is_back_with_its_meetings_or_without() {
    let sim = start(Config::default()).await;
    create(&sim, "room", &[]).await;
    let seat = join(&sim, "room", &[]).await;
    let mut socket = enter(&sim, &seat).await.unwrap();
    let address = sim.addr();
    let stopped = sim.stop().await;
    assert_eq!(hear(&mut socket).await, Err(1006));
    assert!(TcpStream::connect(address).await.is_err(), "nobody listens");

    let sim = stopped.start().await.unwrap();
    assert_eq!(sim.addr(), address);
    enter(&sim, &seat).await.expect("the session is known");

    let sim = sim.stop().await.start_anew().await.unwrap();
    assert_eq!(call(&sim, "getMeetings", &[]).await.tag("messageKey"), Some("noMeetings"));
    assert_eq!(enter(&sim, &seat).await.err(), Some(4403));
}

#[tokio::test]
async fn answers_can_be_late() {
    const DELAY: Duration = Duration::from_millis(50);
    let sim = start(Config::default()).await;
    let time = async |name: &str| {
        let start = Instant::now();
        call(&sim, name, &[]).await;
        start.elapsed()
    };
    sim.faults().set_call_delay("getMeetings", DELAY);
    assert!(DELAY <= time("getMeetings").await);
    sim.faults().set_api_delay(DELAY);
    assert!(2 * DELAY <= time("getMeetings").await, "one besides the other");
    assert!(DELAY <= time("getSessions").await);
    sim.stop().await;
}

/// What comes back as it stands, until the connection is closed or there is this much.
async fn raw(sim: &Sim, path: &str, bytes_max: usize) -> String {
    let mut stream = TcpStream::connect(sim.addr()).await.unwrap();
    stream.write_all(format!("GET {path} HTTP/1.1\r\nHost: x\r\n\r\n").as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    while answer.len() < bytes_max {
        let mut buffer = [0; 4096];
        match stream.read(&mut buffer).await {
            Ok(0) | Err(_) => break,
            Ok(read) => answer.extend_from_slice(&buffer[..read]),
        }
    }
    String::from_utf8(answer).unwrap()
}

fn is_broken(answer: &str, breakage: Breakage) -> bool {
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or_default();
    let (is_chunked, is_whole) = (head.contains("transfer-encoding: chunked"), body.ends_with("</response>"));
    match breakage {
        Breakage::NoAnswer => answer.is_empty(),
        Breakage::CutBody => is_chunked && body.contains("SUCCESS") && !body.contains("</response>"),
        Breakage::ShortBody => is_whole && head.contains(&format!("content-length: {}", body.len() + 64)),
        Breakage::Drip => is_chunked && body.starts_with("1\r\n<\r\n1\r\nr\r\n"),
    }
}

#[tokio::test]
async fn answers_can_break_after_the_call_was_done() {
    let sim = start(Config::default()).await;
    let whole = create(&sim, "room", &[]).await;
    for breakage in [Breakage::NoAnswer, Breakage::CutBody, Breakage::ShortBody, Breakage::Drip] {
        let id = format!("room-{breakage:?}");
        sim.faults().set_call_breakage("create", Some(breakage));
        let path = sign::path("create", &[("name", "A room"), ("meetingID", &id)], SECRET);
        // A dripping answer never ends: its first bytes have to do.
        let answer = raw(&sim, &path, if breakage == Breakage::Drip { 200 } else { usize::MAX }).await;
        assert!(is_broken(&answer, breakage), "{breakage:?}: {answer}");
        assert!(sim.meeting(&id).is_some(), "{breakage:?}: it has been made");
    }
    sim.faults().set_call_breakage("create", None);
    let again = create(&sim, "room", &[]).await;
    assert_eq!(again.tag("createTime"), whole.tag("createTime"));
    sim.stop().await;
}

#[tokio::test]
async fn pages_can_stand_in_for_answers() {
    let sim = start(Config::default()).await;
    for status in [404, 500, 502] {
        sim.faults().set_call_answer("getMeetings", Some(CannedAnswer::page(status)));
        let answer = call(&sim, "getMeetings", &[]).await;
        assert_eq!((answer.status, answer.header("content-type")), (status, Some("text/html;charset=utf-8")));
    }
    sim.stop().await;
}

#[tokio::test]
async fn ids_of_ended_meetings_can_stick_until_end_is_called() {
    let sim = start(Config::default()).await;
    sim.faults().set_ids_stick(true);
    create(&sim, "room", &[]).await;
    call(&sim, "end", &[("meetingID", "room")]).await;
    let again = create(&sim, "room", &[]).await;
    assert_eq!(again.tag("messageKey"), Some(""), "ended by call, it is free");
    assert!(sim.end_meeting("room") && !sim.end_meeting("room"));
    for _ in 0..2 {
        assert_eq!(create(&sim, "room", &[]).await.tag("messageKey"), Some("idNotUnique"));
        assert_eq!(call(&sim, "getMeetingInfo", &[("meetingID", "room")]).await.tag("messageKey"), Some("notFound"));
    }
    let ended = call(&sim, "end", &[("meetingID", "room")]).await;
    assert_eq!(ended.tag("messageKey"), Some("sentEndMeetingRequest"));
    assert_eq!(create(&sim, "room", &[]).await.tag("messageKey"), Some(""));
    sim.faults().set_ids_stick(false);
    sim.end_meeting("room");
    assert_eq!(create(&sim, "room", &[]).await.tag("messageKey"), Some(""));
    sim.stop().await;
}

#[tokio::test]
async fn a_burst_of_joins_passes_the_first_check_and_meets_the_second() {
    for (second_check, one_less, places) in [(true, false, 3), (true, true, 2), (false, false, 8)] {
        let config =
            Config { checks_limit_on_socket: second_check, socket_limit_is_one_less: one_less, ..Config::default() };
        let sim = start(config).await;
        create(&sim, "room", &[("maxParticipants", "3")]).await;
        let burst = futures_util::future::join_all((0..8).map(|_| join(&sim, "room", &[]))).await;
        assert_eq!(only(&sim).joins.len(), 8, "nobody has joined yet, so all may");
        let mut sockets = Vec::new();
        for seat in &burst {
            match enter(&sim, seat).await {
                Ok(socket) => sockets.push(socket),
                Err(code) => assert_eq!(code, 4403),
            }
        }
        assert_eq!((sockets.len(), only(&sim).users_joined), (places, places), "{second_check} {one_less}");
        let late = [("fullName", "Late"), ("meetingID", "room"), ("role", "VIEWER"), ("redirect", "false")];
        let late = call(&sim, "join", &late).await;
        assert_eq!(late.tag("messageKey") == Some("maxParticipantsReached"), 3 <= places);
        sim.stop().await;
    }
}
