//! What the server tells of its meetings.

use std::sync::{Arc, Mutex};

use anteroom_bench::sign::{Jwt, jwt};
use anteroom_bench::sim::Config;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use super::helpers::{SECRET, call, create, start, until};

/// A receiver that refuses the first call, and what it was sent. Returns its address.
async fn receiver() -> (String, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (address, seen) = (listener.local_addr().unwrap(), Arc::<Mutex<Vec<String>>>::default());
    let noted = Arc::clone(&seen);
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut request = vec![0; 64 * 1024];
            let mut n = stream.read(&mut request).await.unwrap();
            // Head and body may come apart.
            while n > 4 && request[..n].starts_with(b"POST") && request[..n].ends_with(b"\r\n\r\n") {
                n += stream.read(&mut request[n..]).await.unwrap();
            }
            let count = {
                let mut seen = noted.lock().unwrap();
                seen.push(String::from_utf8_lossy(&request[..n]).into_owned());
                seen.len()
            };
            let status = if count == 1 { "500 Internal Server Error" } else { "200 OK" };
            let _ = stream.write_all(format!("HTTP/1.1 {status}\r\ncontent-length: 0\r\n\r\n").as_bytes()).await;
        }
    });
    (format!("http://{address}"), seen)
}

#[tokio::test]
async fn an_end_is_told_until_it_is_heard() {
    let sim = start(Config { speed: 1000.0, ..Config::default() }).await;
    let (address, seen) = receiver().await;
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
    let (address, seen) = receiver().await;
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
