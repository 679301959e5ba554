//! Bodies whose length is told and bodies whose length is not: what takes one takes the other.

use anteroom_bench::{
    sign,
    sim::{Received, RecordingSeed, Sim},
};
use axum::Router;
use bytes::Bytes;
use futures_util::stream;
use http::Request;
use http_body::Frame;
use http_body_util::{BodyExt, StreamBody};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
    time::timeout,
};

use crate::support::{
    DEADLINE, Joined, Plan, Stage, eventually,
    evil::client::{AnyBody, Raw, http2},
    host, secret,
};

/// How a body is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    Http1Length,
    Http1Chunks,
    Http2Length,
    Http2Stream,
}

impl Way {
    const ALL: [Self; 4] = [Self::Http1Length, Self::Http1Chunks, Self::Http2Length, Self::Http2Stream];

    fn is_http2(self) -> bool {
        matches!(self, Self::Http2Length | Self::Http2Stream)
    }

    fn has_length(self) -> bool {
        matches!(self, Self::Http1Length | Self::Http2Length)
    }
}

/// A body in pieces, the last of them empty.
fn streamed(body: &Bytes) -> AnyBody {
    let pieces: Vec<_> = body.chunks(7000).map(Bytes::copy_from_slice).chain([Bytes::new()]).collect();
    StreamBody::new(stream::iter(pieces.into_iter().map(|piece| Ok(Frame::data(piece))))).boxed_unsync()
}

/// Sends a body, and returns the status and the body of the answer.
async fn sent(stage: &Stage, way: Way, path: &str, headers: &[(&str, &str)], body: &Bytes) -> (u16, String) {
    let host = host("wagtail");
    if way.is_http2() {
        let mut request = Request::post(format!("https://{host}{path}"));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        if way.has_length() {
            request = request.header("content-length", body.len());
        }
        let mut sender = http2(stage, &host).await;
        let answered = sender.send_request(request.body(streamed(body)).unwrap());
        let (head, body) = timeout(DEADLINE, answered).await.unwrap().unwrap().into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        return (head.status.as_u16(), String::from_utf8_lossy(&body).into_owned());
    }
    let mut bytes = format!("POST {path} HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n").into_bytes();
    headers.iter().for_each(|(name, value)| bytes.extend(format!("{name}: {value}\r\n").bytes()));
    if way.has_length() {
        bytes.extend(format!("content-length: {}\r\n\r\n", body.len()).bytes());
        bytes.extend(body);
    } else {
        bytes.extend(b"transfer-encoding: chunked\r\n\r\n");
        for chunk in body.chunks(7000) {
            bytes.extend(format!("{:x}\r\n", chunk.len()).bytes().chain(chunk.iter().copied()).chain(*b"\r\n"));
        }
        bytes.extend(b"0\r\n\r\n");
    }
    let mut raw = Raw::open(stage, &host).await.0;
    raw.write_all(&bytes).await.unwrap();
    let mut answer = Vec::new();
    timeout(DEADLINE, raw.read_to_end(&mut answer)).await.unwrap().unwrap();
    let answer = String::from_utf8_lossy(&answer).into_owned();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (head.split(' ').nth(1).unwrap().parse().unwrap(), body.to_owned())
}

fn signed(call: &str, params: &[(&str, &str)]) -> String {
    sign::path(call, params, &secret("wagtail"))
}

/// What the one server has received last under a path with this end.
fn last(stage: &Stage, end: &str) -> Option<Received> {
    stage.sims.iter().flat_map(Sim::log).rfind(|seen| seen.path.ends_with(end))
}

/// What a server has of a body, its length as it was told included.
fn of_body(seen: &Received) -> (Vec<u8>, u64, Option<String>, Option<String>) {
    (seen.body.clone(), seen.body_bytes, seen.body_sha256.clone(), seen.header("content-length").map(str::to_owned))
}

async fn recording(stage: &Stage) -> String {
    stage.api("wagtail", "create", &[("name", "rec"), ("meetingID", "rec"), ("record", "true")]).await;
    let id = stage.sims[0].add_recording(RecordingSeed {
        ext_id: "t.wagtail.rec".into(),
        name: "rec".into(),
        start_time_ms: stage.on_server("wagtail", "rec").map(|meeting| meeting.create_time_ms),
        ..RecordingSeed::default()
    });
    stage.joined("wagtail", "rec", "Ada").await;
    stage.api("wagtail", "end", &[("meetingID", "rec")]).await;
    eventually("the recording is known", async || stage.api("wagtail", "getRecordings", &[]).await.body.contains(&id))
        .await;
    id
}

const XML: &str = "application/xml";
const FORM: &str = "application/x-www-form-urlencoded";
const MULTIPART: &str = "multipart/form-data; boundary=x";

/// Documents in a body of some 100 KB.
fn documents() -> Bytes {
    let content = "QkJC".repeat(25_000);
    format!("<modules><module name=\"presentation\"><document name=\"a.pdf\">{content}</document></module></modules>")
        .into()
}

// 15. "`insertDocument` with a body of unknown length is refused, `create` and text tracks are not."
#[tokio::test(flavor = "multi_thread")]
async fn a_call_takes_its_body_with_and_without_a_length() {
    let stage = Plan::new().server("members").tenant("wagtail", "multi-account").start().await;
    let id = recording(&stage).await;
    for _ in 0..2 {
        stage.create("wagtail", "room").await;
    }
    let ada = stage.joined("wagtail", "room", "Ada").await;
    let room = [("meetingID", "room"), ("name", "room")];
    let track = [("recordID", &*id), ("kind", "subtitles"), ("lang", "de"), ("label", "Deutsch")];
    let file = "--x\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a.srt\"\r\n\r\n1\r\n--x--\r\n";
    let field = "--x\r\nContent-Disposition: form-data; name=\"welcome\"\r\n\r\nhello\r\n--x--\r\n";
    let feedback = format!("{}/bigbluebutton/api/feedback?sessionToken={}", ada.prefix, ada.token);
    // All parameters in the form, and the checksum over none of them.
    let form = |call: &str, params: &str| {
        let path = signed(call, &[]);
        let (path, sum) = path.split_once('?').unwrap();
        (path.to_owned(), Bytes::from(format!("{params}&{sum}")))
    };
    let (create_form, create_sum) = form("create", "meetingID=room&name=room");
    let (list_form, list_sum) = form("getMeetings", "state=any");
    for (what, path, content_type, body, says) in [
        ("documents of a create", signed("create", &room), XML, documents(), "SUCCESS"),
        ("a form of a create", signed("create", &room), FORM, "welcome=hello".into(), "SUCCESS"),
        ("a form with the checksum", create_form, FORM, create_sum, "SUCCESS"),
        ("a multipart form of a create", signed("create", &room), MULTIPART, field.into(), "SUCCESS"),
        ("a form of a question", list_form, FORM, list_sum, "SUCCESS"),
        ("documents", signed("insertDocument", &room[..1]), XML, documents(), "SUCCESS"),
        ("no documents", signed("insertDocument", &room[..1]), XML, Bytes::new(), ""),
        ("nothing, of no type", signed("insertDocument", &room[..1]), "text/plain", Bytes::new(), ""),
        ("documents of no type", signed("insertDocument", &room[..1]), "text/plain", "x".into(), "FAILED"),
        ("a text track", signed("putRecordingTextTrack", &track), MULTIPART, file.into(), "upload_text_track_success"),
        ("feedback", feedback.clone(), "application/json", r#"{"rating":5}"#.into(), ""),
        ("a form without its documents", signed("create", &room), FORM, Bytes::new(), "SUCCESS"),
    ] {
        let headers = [("content-type", content_type), ("cookie", &*ada.cookies)];
        let mut first = None;
        for way in Way::ALL {
            let answer = sent(&stage, way, &path, &headers, &body).await;
            assert!(answer.1.contains(says), "{what}, {way:?}: {answer:?}");
            let end = path.split('?').next().unwrap().rsplit('/').next().unwrap();
            let came = (answer, last(&stage, end).as_ref().map(of_body));
            assert_eq!(*first.get_or_insert_with(|| came.clone()), came, "{what}, {way:?}");
        }
    }
    let inserted = stage.sims[0].log().iter().filter(|seen| seen.path.ends_with("/insertDocument")).count();
    assert_eq!(inserted, Way::ALL.len(), "what has nothing in it is not sent on");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_carried_in_a_meeting_has_its_length_when_it_reaches_the_server() {
    let stage = Plan::new().server("members").tenant("wagtail", "multi-account").start().await;
    stage.create("wagtail", "room").await;
    let ada = stage.joined("wagtail", "room", "Ada").await;
    let form = |size: usize| {
        let head = "--b\r\nContent-Disposition: form-data; name=\"fileUpload\"; filename=\"a.pdf\"\r\n\r\n";
        Bytes::from(format!("{head}{}\r\n--b--\r\n", "x".repeat(size)))
    };
    let headers = [("content-type", "multipart/form-data; boundary=b"), ("cookie", &*ada.cookies)];
    let upload = async |way, body: &Bytes| {
        let token = stage.sims[0].upload_token(&ada.token).unwrap();
        let path = format!("{}/bigbluebutton/presentation/{token}/upload", ada.prefix);
        sent(&stage, way, &path, &headers, body).await
    };
    let mut first = None;
    for way in Way::ALL {
        assert_eq!(upload(way, &form(900_000)).await, (200, "upload-success".to_owned()), "{way:?}");
        let seen = last(&stage, "/upload").as_ref().map(of_body).unwrap();
        assert_eq!(seen.3.as_deref(), Some(&*form(900_000).len().to_string()), "{way:?}");
        assert_eq!(*first.get_or_insert_with(|| seen.clone()), seen, "{way:?}");
    }
    // Whoever sends more knows how much it is.
    for way in Way::ALL {
        let (status, _) = upload(way, &form(1_100_000)).await;
        assert_eq!(status, if way.has_length() { 200 } else { 411 }, "{way:?}");
    }
    // A request that has no body after all is one without a body, whoever asks.
    let Joined { prefix, token, .. } = &ada;
    for (path, status) in [
        (format!("{prefix}/bigbluebutton/api/getJoinUrl?sessionToken={token}"), 200),
        (format!("{prefix}/html5client/"), 200),
        ("/playback/presentation/2.3/x".to_owned(), 404),
    ] {
        let told = sent(&stage, Way::Http1Length, &path, &[], &Bytes::new()).await;
        for way in Way::ALL {
            let came = sent(&stage, way, &path, &[], &Bytes::new()).await;
            assert_eq!((came.0, came.0), (told.0, status), "{path}, {way:?}");
        }
    }
    // Of a stranger nothing is held.
    let path = format!("{}/bigbluebutton/presentation/x/upload", ada.prefix);
    for way in Way::ALL {
        assert_eq!(sent(&stage, way, &path, &headers[..1], &form(10)).await.0, 401, "{way:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_frontend_takes_bodies_with_and_without_a_length() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let keys = format!("frontend = \"http://{}\"", listener.local_addr().unwrap());
    let app = Router::new().fallback(|body: Bytes| async move { format!("{} bytes", body.len()) });
    tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
    let stage = Plan::new().server("members").tenant_with("wagtail", "multi-account", &keys).start().await;
    for length in [0, 1, 20_000, 1_500_000] {
        let body = Bytes::from(vec![b'x'; length]);
        for way in Way::ALL {
            let (status, told) = sent(&stage, way, "/import", &[], &body).await;
            assert!(status == 200 && told.contains(&format!("{length} bytes")), "{way:?}: {told}");
        }
    }
}
