//! What the server tells of its meetings.

use anteroom_bench::sign::{Jwt, jwt};
use anteroom_bench::sim::Config;
use serde_json::{Value, json};

use super::helpers::{SECRET, call, create, receiver, start, until};

#[tokio::test]
async fn an_end_is_told_until_it_is_heard() {
    let sim = start(Config { speed: 1000.0, ..Config::default() }).await;
    let (address, seen) = receiver(1).await;
    create(&sim, "room", &[("meetingEndedURL", &format!("{address}/x?y=1"))]).await;
    call(&sim, "end", &[("meetingID", "room")]).await;
    until("two calls", || seen.lock().unwrap().len() == 2).await;
    for request in seen.lock().unwrap().iter() {
        assert!(request.starts_with("GET /x?y=1&recordingmarks=false&meetingID=room HTTP/1.1\r\n"), "{request}");
    }
    until("and heard", || sim.callbacks()[0].answers == [Some(500), Some(200)]).await;
}

#[tokio::test]
async fn a_recording_and_analytics_are_told_once_with_a_signature() {
    let sim = start(Config { speed: 1000.0, ..Config::default() }).await;
    let (address, seen) = receiver(1).await;
    let (ready, analytics) = (format!("{address}/ready"), format!("{address}/analytics"));
    let more = [("record", "true"), ("autoStartRecording", "true"), ("meetingKeepEvents", "true")];
    let urls = [("meta_bn-recording-ready-url", &*ready), ("meta_analytics-callback-url", &*analytics)];
    create(&sim, "room", &[&more[..], &urls[..]].concat()).await;
    call(&sim, "end", &[("meetingID", "room")]).await;
    until("both calls", || seen.lock().unwrap().len() == 2).await;
    let seen = seen.lock().unwrap().clone();
    let (_, json) = seen[0].split_once("\r\n\r\n").unwrap();
    let json: Value = serde_json::from_str(json).unwrap();
    assert!(seen[0].starts_with("POST /analytics HTTP/1.1\r\n") && seen[0].contains("\r\nauthorization: Bearer "));
    assert_eq!((&json["meeting_id"], &json["version"]), (&json!("room"), &json!("1.0")));
    let id = sim.recordings()[0].record_id.clone();
    let token = jwt(Jwt::Hs256, &json!({ "meeting_id": "room", "record_id": id }), SECRET);
    assert!(seen[1].starts_with("POST /ready ") && seen[1].ends_with(&format!("\r\n\r\nsigned_parameters={token}")));
    assert_eq!(sim.callbacks()[0].answers, [Some(500)], "refused, and not told again");
}
