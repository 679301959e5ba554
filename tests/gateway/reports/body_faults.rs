//! Bodies that do not come whole: their caller's fault, and nothing about the server.

use std::time::Duration;

use anteroom_bench::{
    h2::{self, Asked},
    sign,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    time::timeout,
};
use tokio_rustls::client::TlsStream;

use super::bodies::answer;
use crate::support::{
    DEADLINE, Joined, Plan, Stage, eventually,
    evil::{
        client::{Raw, connect, connect_at},
        server::EvilServer,
    },
    host,
    program::Served,
    secret,
};

/// A connection in HTTP/2 whose frames are one's own.
struct Frames(TlsStream<TcpStream>);

impl Frames {
    /// The one request of a connection.
    const STREAM: u32 = 1;

    async fn open(stage: &Stage) -> Self {
        Self::on(connect(stage, &host("wagtail"), "127.0.0.1", &["h2"]).await).await
    }

    async fn on(stream: TlsStream<TcpStream>) -> Self {
        let mut frames = Self(stream);
        frames.send(&[h2::PREFACE, &h2::settings()].concat()).await;
        frames
    }

    async fn send(&mut self, bytes: &[u8]) {
        self.0.write_all(bytes).await.unwrap();
        self.0.flush().await.unwrap();
    }

    /// Begins a request with the first bytes of its body.
    async fn post(&mut self, path: &str, fields: &[(&str, &str)]) {
        let asked = Asked { method: "POST", authority: &host("wagtail"), path, fields, has_body: true };
        self.send(&[h2::headers(Self::STREAM, &asked), h2::data(Self::STREAM, b"first")].concat()).await;
    }
}

/// What is wrong with a body, after its first five bytes.
#[derive(Debug, Clone, Copy)]
enum Fault {
    Http2Longer,
    Http2Shorter,
    Http2Cancelled,
    Http2CancelledWithoutError,
    Http2Closed,
    Http1BadChunk,
    Http1ChunkWithoutEnd,
    Http1BrokenOff,
    Http1Closed,
}

impl Fault {
    const ALL: [Self; 9] = [
        Self::Http2Longer,
        Self::Http2Shorter,
        Self::Http2Cancelled,
        Self::Http2CancelledWithoutError,
        Self::Http2Closed,
        Self::Http1BadChunk,
        Self::Http1ChunkWithoutEnd,
        Self::Http1BrokenOff,
        Self::Http1Closed,
    ];

    /// Sends a request with such a body; `has_begun` waits until its first bytes are on their way. Where the caller can still be
    /// told, returns what that is.
    async fn send(
        self,
        stage: &Stage,
        path: &str,
        headers: &[(&str, &str)],
        has_begun: impl AsyncFnOnce(),
    ) -> Option<String> {
        if matches!(self, Self::Http1BadChunk | Self::Http1ChunkWithoutEnd | Self::Http1BrokenOff | Self::Http1Closed) {
            return self.send_http1(stage, path, headers, has_begun).await;
        }
        let mut frames = Frames::open(stage).await;
        let length = match self {
            Self::Http2Longer => "10",
            _ => "1000",
        };
        let headers = [headers, &[("content-length", length)]].concat();
        let without = headers.len() - usize::from(matches!(self, Self::Http2CancelledWithoutError));
        frames.post(path, &headers[..without]).await;
        has_begun().await;
        let end = match self {
            Self::Http2Longer => h2::last_data(Frames::STREAM, b"and much more"),
            Self::Http2Shorter => h2::last_data(Frames::STREAM, b"and no more"),
            Self::Http2Cancelled => h2::reset(Frames::STREAM, h2::CANCEL),
            Self::Http2CancelledWithoutError => h2::reset(Frames::STREAM, h2::NO_ERROR),
            _ => h2::goaway(h2::NO_ERROR),
        };
        frames.send(&end).await;
        // Until it has been seen.
        if !matches!(self, Self::Http2Closed) {
            let mut rest = [0; 1024];
            let _ = timeout(Duration::from_millis(200), async {
                while frames.0.read(&mut rest).await.is_ok_and(|n| n > 0) {}
            })
            .await;
        }
        None
    }

    async fn send_http1(
        self,
        stage: &Stage,
        path: &str,
        headers: &[(&str, &str)],
        has_begun: impl AsyncFnOnce(),
    ) -> Option<String> {
        let mut raw = Raw::open(stage, &host("wagtail")).await.0;
        let is_chunked = matches!(self, Self::Http1BadChunk | Self::Http1ChunkWithoutEnd);
        let (length, first) = if is_chunked {
            ("transfer-encoding: chunked", "5\r\nfirst\r\n")
        } else {
            ("content-length: 1000", "first")
        };
        let mut head = format!("POST {path} HTTP/1.1\r\nhost: {}\r\n{length}\r\n", host("wagtail"));
        headers.iter().for_each(|(name, value)| head.push_str(&format!("{name}: {value}\r\n")));
        raw.write_all(format!("{head}\r\n{first}").as_bytes()).await.unwrap();
        has_begun().await;
        match self {
            Self::Http1BadChunk => raw.write_all(b"no chunk\r\n").await.unwrap(),
            Self::Http1ChunkWithoutEnd => raw.write_all(b"3\r\nabcd\r\n0\r\n\r\n").await.unwrap(),
            Self::Http1BrokenOff => raw.shutdown().await.unwrap(),
            _ => return None,
        }
        let (status, body) = answer(&mut raw).await.unwrap_or_else(|error| panic!("{self:?}: {error}"));
        Some(format!("{status} {body}"))
    }
}

/// What the metrics say of servers and frontends that have failed.
async fn failures(stage: &Stage) -> u64 {
    stage.metric("anteroom_requests_total", &["outcome=\"failed\""]).await
        + stage.metric("anteroom_refusals_total", &["serverUnavailable"]).await
}

// 21. "A caller's fault is booked on the server: a body over HTTP/2 that is longer than its declared length is logged as
// `a broken answer` of the server, outcome `failed`, reason `serverUnavailable`."

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_does_not_come_whole_is_its_callers_fault() {
    let silent = EvilServer::silent().await;
    let keys = format!("frontend = \"http://{}\"", silent.address);
    let stage = Plan::new().server("members").tenant_with("wagtail", "multi-account", &keys).start().await;
    stage.create("wagtail", "room").await;
    let ada = stage.joined("wagtail", "room", "Ada").await;
    let upload = async |fault: Fault| {
        let token = stage.sims[0].upload_token(&ada.token).unwrap();
        let path = format!("{}/bigbluebutton/presentation/{token}/upload", ada.prefix);
        let headers = [("content-type", "multipart/form-data; boundary=b"), ("cookie", &*ada.cookies)];
        let is_held =
            matches!(fault, Fault::Http1BadChunk | Fault::Http1ChunkWithoutEnd | Fault::Http2CancelledWithoutError);
        let has_begun = async || {
            // What has no length is held before a server hears of it.
            if !is_held {
                let seen = || stage.sims[0].log().iter().any(|seen| seen.path.contains(&token));
                eventually("the server is asked", async || seen()).await;
            }
        };
        fault.send(&stage, &path, &headers, has_begun).await
    };
    let import = async |fault: Fault| {
        let before = silent.open();
        let has_begun = async || eventually("the frontend is asked", async || silent.open() > before).await;
        fault.send(&stage, "/import", &[("content-type", "text/plain")], has_begun).await
    };
    for fault in Fault::ALL {
        for (what, call) in [("an upload", "meeting"), ("the frontend's", "frontend")] {
            let refused =
                async || stage.metric("anteroom_requests_total", &[&format!("call=\"{call}\""), "refused"]).await;
            let before = refused().await;
            let told = if call == "meeting" { upload(fault).await } else { import(fault).await };
            if let Some(told) = told {
                assert!(
                    told.starts_with("400 The body of the request did not come whole"),
                    "{what}, {fault:?}: {told}"
                );
            }
            // A connection that is closed takes its requests with it.
            if !matches!(fault, Fault::Http1Closed | Fault::Http2Closed) {
                eventually(&format!("{what}, {fault:?} is counted as refused"), async || refused().await > before)
                    .await;
            }
            assert_eq!(failures(&stage).await, 0, "{what}, {fault:?}");
            eventually("the frontend is left", async || silent.open() == 0).await;
        }
    }
    assert!(stage.sims[0].log().iter().all(|seen| seen.body_sha256.is_none()), "no upload was taken as whole");
    assert_eq!(stage.api("wagtail", "getMeetingInfo", &[("meetingID", "room")]).await.xml("returncode"), "SUCCESS");
    // What is read whole before anything is done is the caller's as well.
    for fault in [Fault::Http1BadChunk, Fault::Http1BrokenOff] {
        let path = sign::path("insertDocument", &[("meetingID", "room")], &secret("wagtail"));
        let told = fault.send(&stage, &path, &[("content-type", "application/xml")], async || {}).await.unwrap();
        assert!(told.contains("The body of the request could not be read"), "{told}");
    }
    assert_eq!(failures(&stage).await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_is_longer_than_its_length_is_its_callers_fault_in_the_log_too() {
    let gateway = Served::start(Plan::new().server("members").tenant("wagtail", "multi-account")).await;
    gateway.api("wagtail", "create", &[("name", "room"), ("meetingID", "room")]).await;
    let join = [("meetingID", "room"), ("fullName", "Ada"), ("role", "VIEWER")];
    let ada = Joined::by("wagtail", &gateway.api("wagtail", "join", &join).await);
    let token = gateway.sims[0].upload_token(&ada.token).unwrap();
    let ca = gateway.dir.path().join("dev-ca/ca.pem");
    let stream = connect_at(gateway.program.https, &ca, &host("wagtail"), "127.0.0.1", &["h2"]).await;
    let mut frames = Frames::on(stream).await;
    let fields =
        [("content-type", "multipart/form-data; boundary=b"), ("cookie", &*ada.cookies), ("content-length", "10")];
    frames.post(&format!("{}/bigbluebutton/presentation/{token}/upload", ada.prefix), &fields).await;
    let seen = || gateway.sims[0].log().iter().any(|seen| seen.path.contains(&token));
    eventually("the server is asked", async || seen()).await;
    frames.send(&h2::last_data(Frames::STREAM, b"and much more")).await;
    eventually("the line of the request", async || !gateway.logged("bodyBroken").is_empty()).await;
    let line = gateway.logged("bodyBroken").concat();
    for part in [r#""call":"meeting""#, r#""outcome":"refused""#, r#""reason":"bodyBroken""#] {
        assert!(line.contains(part), "{part} in {line}");
    }
    for blame in ["broken answer", "serverUnavailable", r#""outcome":"failed""#, "call to server failed", "unreachable"]
    {
        assert_eq!(gateway.logged(blame), [""; 0], "nothing about the server");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_closes_while_a_body_passes_is_at_fault_itself() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let keys = format!("frontend = \"http://{}\"", listener.local_addr().unwrap());
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let _ = stream.read(&mut [0; 4096]).await;
        }
    });
    let stage = Plan::new().server("members").tenant_with("wagtail", "multi-account", &keys).start().await;
    let mut raw = Raw::open(&stage, &host("wagtail")).await.0;
    let head = format!("POST /import HTTP/1.1\r\nhost: {}\r\ncontent-length: 3000000\r\n\r\n", host("wagtail"));
    raw.write_all(head.as_bytes()).await.unwrap();
    let sent = timeout(DEADLINE, raw.write_all(&vec![b'x'; 3_000_000])).await.unwrap();
    sent.expect("the caller can send all of it");
    let (status, body) = answer(&mut raw).await.unwrap();
    assert!(status == 502 && body.contains("serverUnavailable"), "{status} {body}");
    assert_eq!(failures(&stage).await, 2, "one request, and its reason");
}
