//! Pages, uploads, faults, and the server itself.

use anteroom_bench::sign::Algorithm;
use anteroom_bench::sim::Config;
use serde_json::json;
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;

use crate::helpers::*;

#[tokio::test]
async fn settings_hold_the_addresses_of_a_stock_server() {
    let sim = start(Config::default()).await;
    create(&sim, "room", &[("logoutURL", "https://x.test/bye")]).await;
    let seat = join(&sim, "room", &[("userdata-bbb_x", "y")]).await;
    let headers = [("x-session-token", seat.token.as_str()), ("cookie", &seat.cookie)];
    let data = http(&sim, "GET /api/rest/meetingStaticData", &headers, b"").await.json();
    let meeting = &data["meeting"][0];
    let public = &meeting["clientSettings"]["clientSettingsJson"]["public"];
    assert_eq!((&meeting["name"], &meeting["logoutUrl"]), (&json!("A room"), &json!("https://x.test/bye")));
    assert_eq!(public["kurento"]["wsUrl"], "wss://bbb-07.internal.test/bbb-webrtc-sfu");
    assert_eq!(public["pads"]["url"], format!("{SERVER}/pad"));
    assert_eq!(public["app"]["bbbWebBase"], "/bigbluebutton");
    let old = http(&sim, "GET /api/rest/clientSettings", &headers, b"").await.json();
    assert_eq!(&old["meeting_clientSettings"][0]["clientSettingsJson"]["public"], public);
    let metadata = http(&sim, "GET /api/rest/userMetadata", &headers, b"").await.json();
    assert_eq!(metadata["user_metadata"], json!([{ "parameter": "bbb_x", "value": "y" }]));
    sim.stop().await;
}

#[tokio::test]
async fn an_upload_is_streamed_and_judged_by_its_length() {
    let sim = start(Config::default()).await;
    let document = vec![7_u8; 3_000_000];
    call(&sim, "create", &[("name", "Room"), ("meetingID", "room")]).await;
    let seat = join(&sim, "room", &[("role", "MODERATOR")]).await;
    let token = sim.upload_token(&seat.token).unwrap();
    let head = &*format!("POST /bigbluebutton/presentation/{token}/upload");
    let form = [("Content-Type", "multipart/form-data; boundary=x")];
    assert_eq!(http(&sim, head, &form, b"x").await.body.as_str(), "upload-success");
    assert_eq!(http(&sim, head, &form, b"x").await.status, 403, "the token is good once");
    let token = sim.upload_token(&seat.token).unwrap();
    let head = &*format!("POST /bigbluebutton/presentation/{token}/upload");
    let answer = http(&sim, head, &form, &document).await;
    assert_eq!((answer.status, answer.body.as_str()), (200, "upload-success"));
    let received = sim.log().pop().unwrap();
    assert_eq!(received.body_bytes, 3_000_000);
    assert_eq!(received.body_sha256, Some(Algorithm::Sha256.hex(&document)));
    for (name, headers, body) in [
        ("too large", [("Content-Length", "30000001"), ("X-Pad", "")], &b""[..]),
        ("chunked", [("Transfer-Encoding", "chunked"), ("X-Pad", "")], b"3\r\nabc\r\n0\r\n\r\n"),
        ("no length", [("X-Pad", ""), ("X-Pad", "")], b""),
    ] {
        let answer = http(&sim, head, &headers, body).await;
        assert_eq!((answer.status, answer.header("x-file-too-large")), (413, Some("1")), "{name}");
    }
    sim.stop().await;
}

#[tokio::test]
async fn the_page_addresses_its_files_relative_to_itself() {
    let sim = start(Config::default()).await;
    let page = get(&sim, "/html5client/?sessionToken=x").await;
    assert_eq!(page.status, 200);
    let links: Vec<&str> =
        page.body.split(['"']).filter(|text| [".js", ".css", ".svg"].iter().any(|end| text.ends_with(end))).collect();
    assert!(3 <= links.len(), "{links:?}");
    for link in links {
        assert!(!link.starts_with('/') && !link.contains("://"), "{link}");
        assert_eq!(get(&sim, &format!("/html5client/{link}")).await.status, 200, "{link}");
    }
    assert_eq!(get(&sim, "/html5client/none.js").await.status, 404);
    assert_eq!(get(&sim, "/bigbluebutton/rtt-check").await.status, 200);
    assert!(get(&sim, "/default.pdf").await.body.starts_with("%PDF-"));
    sim.stop().await;
}

#[tokio::test]
async fn stopping_frees_the_port_and_closes_what_is_open() {
    let sim = start(Config::default()).await;
    create(&sim, "room", &[]).await;
    let seat = join(&sim, "room", &[]).await;
    let mut socket = enter(&sim, &seat).await.unwrap();
    let mut idle = TcpStream::connect(sim.addr()).await.unwrap();
    let addr = sim.addr();
    sim.stop().await;
    assert_eq!(hear(&mut socket).await, Err(1006));
    assert!(matches!(idle.read(&mut [0; 8]).await, Ok(0) | Err(_)));
    let again = start(Config { listen: addr, ..Config::default() }).await;
    assert!(again.meetings().is_empty());
    again.stop().await;
}

#[tokio::test]
async fn meetings_can_be_filled_without_sockets() {
    let sim = start(Config { attendees: 20, ..Config::default() }).await;
    for id in ["room-1", "room-2"] {
        create(&sim, id, &[("maxParticipants", "20")]).await;
        let meeting = sim.meeting(id).unwrap();
        assert_eq!((meeting.users_joined, meeting.users_online), (20, 20));
    }
    let list = call(&sim, "getMeetings", &[]).await;
    assert_eq!(list.body.matches("<attendee>").count(), 40);
    assert_eq!(
        (list.tag("participantCount"), list.tag("moderatorCount"), list.tag("running")),
        (Some("20"), Some("1"), Some("true"))
    );
    let late = [("fullName", "Late"), ("meetingID", "room-1"), ("role", "VIEWER"), ("redirect", "false")];
    assert_eq!(call(&sim, "join", &late).await.tag("messageKey"), Some("maxParticipantsReached"));
    sim.stop().await;
}
