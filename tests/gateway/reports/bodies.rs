//! Bodies of requests: an answer that comes before they have ended, a length that is not told, and faults that are the
//! caller's.

use std::time::Duration;

use anteroom_bench::{sign, sim};
use bytes::Bytes;
use futures_util::{StreamExt, future::join_all, stream};
use http::Request;
use http_body::Frame;
use http_body_util::{BodyExt, StreamBody};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    time::timeout,
};

use crate::support::{
    DEADLINE, Joined, Plan, Stage,
    evil::{
        client::{AnyBody, Raw, http2},
        server::EvilServer,
    },
    host, secret,
};

const PIECE: &[u8] = &[b'x'; 64 * 1024];
const MB: usize = 1_000_000;
/// How long one trial may take: 100 MB through a program without optimisation are slow.
const LONG: Duration = Duration::from_secs(120);

/// A request with a body, and what is answered to it, whatever the length of that body is.
struct Place {
    what: &'static str,
    method: &'static str,
    path: String,
    content_type: &'static str,
    cookies: String,
    status: u16,
    says: &'static str,
}

impl Place {
    fn new(what: &'static str, method: &'static str, path: impl Into<String>, status: u16, says: &'static str) -> Self {
        let content_type = "application/octet-stream";
        Self { what, method, path: path.into(), content_type, cookies: String::new(), status, says }
    }

    fn of(self, joined: &Joined) -> Self {
        Self { cookies: joined.cookies.clone(), ..self }
    }

    fn typed(self, content_type: &'static str) -> Self {
        Self { content_type, ..self }
    }

    fn head(&self, length: &str) -> String {
        let Self { method, path, content_type, cookies, .. } = self;
        format!(
            "{method} {path} HTTP/1.1\r\nhost: {}\r\ncontent-type: {content_type}\r\ncookie: {cookies}\r\n{length}\r\n\r\n",
            host("wagtail")
        )
    }

    fn request(&self) -> http::request::Builder {
        Request::builder()
            .method(self.method)
            .uri(format!("https://{}{}", host("wagtail"), self.path))
            .header("content-type", self.content_type)
            .header("cookie", &self.cookies)
    }

    /// What is wrong with what came of a request; empty where it is the answer.
    fn fault(&self, how: &str, length: usize, came: Result<(u16, String), String>) -> String {
        let Self { what, status, says, .. } = self;
        match came {
            // Without a body it may be another answer.
            Ok((came, body)) if length == 0 || (came == *status && body.contains(says)) => String::new(),
            came => format!("{what}, {length} bytes over {how}: {came:?}\n"),
        }
    }

    /// Sends a body of this length over HTTP/1.1, all of it, and reads the answer only then, as many programs do.
    async fn http1(&self, stage: &Stage, length: usize) -> String {
        self.http1_with(stage, &pieces(length)).await
    }

    /// The same with a body of these pieces.
    async fn http1_with(&self, stage: &Stage, body: &[Bytes]) -> String {
        let (mut raw, length) = (Raw::open(stage, &host("wagtail")).await.0, length_of(body));
        let head = self.head(&format!("content-length: {length}"));
        let came = sent_and_answered(&mut raw, &head, body).await;
        self.fault("HTTP/1.1", length, came)
    }

    /// Sends a body of this length over HTTP/2.
    async fn http2(&self, stage: &Stage, length: usize) -> String {
        self.http2_with(stage, &pieces(length)).await
    }

    /// The same with a body of these pieces.
    async fn http2_with(&self, stage: &Stage, body: &[Bytes]) -> String {
        let (mut sender, length) = (http2(stage, &host("wagtail")).await, length_of(body));
        let request = self.request().header("content-length", length).body(body_of(body)).unwrap();
        let answered = async {
            let (head, body) = sender.send_request(request).await?.into_parts();
            let body = body.collect().await?.to_bytes();
            Ok((head.status.as_u16(), String::from_utf8_lossy(&body).into_owned()))
        };
        let came = timeout(LONG, answered).await.unwrap();
        self.fault("HTTP/2", length, came.map_err(|error: hyper::Error| format!("{error:?}")))
    }
}

/// Sends a head and a body, and reads the answer when all is sent.
async fn sent_and_answered<S>(stream: &mut S, head: &str, body: &[Bytes]) -> Result<(u16, String), String>
where
    S: AsyncReadExt + AsyncWriteExt + Unpin,
{
    let mut left = length_of(body);
    let sent = async {
        stream.write_all(head.as_bytes()).await?;
        for piece in body {
            stream.write_all(piece).await?;
            left -= piece.len();
        }
        stream.flush().await
    };
    let sent: std::io::Result<()> = timeout(LONG, sent).await.unwrap();
    sent.map_err(|error| format!("with {left} bytes to go: {error}"))?;
    answer(stream).await
}

/// The status and the body of an answer that has a length.
pub async fn answer(raw: &mut (impl AsyncReadExt + Unpin)) -> Result<(u16, String), String> {
    let mut bytes = Vec::new();
    loop {
        let text = String::from_utf8_lossy(&bytes);
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length =
                head.lines().find_map(|line| line.to_ascii_lowercase().strip_prefix("content-length: ")?.parse().ok());
            if length.unwrap_or(0) <= body.len() {
                return Ok((head.split(' ').nth(1).unwrap().parse().unwrap(), body.to_owned()));
            }
        }
        match timeout(DEADLINE, raw.read_buf(&mut bytes)).await {
            Ok(Ok(n)) if n > 0 => {}
            read => return Err(format!("the answer is cut off, {read:?}: {}", String::from_utf8_lossy(&bytes))),
        }
    }
}

fn pieces(length: usize) -> Vec<Bytes> {
    let at = (0..length).step_by(PIECE.len());
    at.map(|at| Bytes::from_static(&PIECE[..PIECE.len().min(length - at)])).collect()
}

fn length_of(body: &[Bytes]) -> usize {
    body.iter().map(Bytes::len).sum()
}

fn body_of(body: &[Bytes]) -> AnyBody {
    StreamBody::new(stream::iter(body.to_vec()).map(|piece| Ok(Frame::data(piece)))).boxed_unsync()
}

fn signed(call: &str, params: &[(&str, &str)]) -> String {
    sign::path(call, params, &secret("wagtail"))
}

/// A tenant whose frontend answers as soon as it is asked, and reads nothing before; one meeting, in which somebody is.
async fn stage() -> (Stage, EvilServer, Joined) {
    let frontend = EvilServer::start(|_| {
        EvilServer::answer("413 Payload Too Large", "connection: close\r\n", "too much for the frontend")
    })
    .await;
    let keys = format!("frontend = \"http://{}\"", frontend.address);
    let large = sim::Config { upload_bytes_max: 1_000_000_000, ..sim::Config::default() };
    let stage = Plan::new().server_with("members", large).tenant_with("wagtail", "multi-account", &keys).start().await;
    stage.create("wagtail", "room").await;
    let joined = stage.joined("wagtail", "room", "Ada").await;
    (stage, frontend, joined)
}

/// One of each place at which a request with a body may be answered before the body has ended.
fn places(joined: &Joined) -> Vec<Place> {
    let Joined { prefix, token, .. } = joined;
    let api = |call: &str| format!("/bigbluebutton/api/{call}");
    vec![
        Place::new("an unknown call", "POST", api("nothing"), 200, "Request not recognized"),
        Place::new("a wrong method", "DELETE", api("create"), 405, ""),
        Place::new("a wrong checksum", "POST", format!("{}?name=a&checksum=00", api("create")), 200, "checksumError"),
        Place::new("no checksum", "POST", format!("{}?name=a", api("create")), 200, "FAILED"),
        Place::new("documents of no type", "POST", signed("insertDocument", &[("meetingID", "room")]), 200, "FAILED"),
        Place::new(
            "documents for no meeting",
            "POST",
            signed("insertDocument", &[("meetingID", "other")]),
            200,
            "FAILED",
        )
        .typed("application/xml"),
        Place::new(
            "a text track without its parameters",
            "POST",
            signed("putRecordingTextTrack", &[]),
            200,
            "paramError",
        ),
        Place::new("a join", "POST", signed("join", &[("meetingID", "room"), ("fullName", "Bob")]), 405, ""),
        Place::new("the version call", "POST", "/bigbluebutton/api", 200, "SUCCESS"),
        Place::new("the version call of a server", "DELETE", format!("{prefix}/bigbluebutton/api"), 405, ""),
        Place::new("an upload of a stranger", "POST", format!("{prefix}/bigbluebutton/presentation/x/upload"), 401, ""),
        Place::new(
            "a call of a session in a wrong method",
            "PUT",
            format!("{prefix}/bigbluebutton/api/feedback"),
            405,
            "",
        ),
        Place::new("a call of no session", "POST", format!("{prefix}/bigbluebutton/api/feedback"), 200, "FAILED"),
        Place::new(
            "a call that takes no body",
            "POST",
            format!("{prefix}/bigbluebutton/api/getJoinUrl?sessionToken={token}"),
            400,
            "takes no body",
        ),
        Place::new("GraphQL without a session", "POST", format!("{prefix}/api/rest/clientSettings"), 401, ""),
        Place::new("a slide with a body", "POST", format!("{prefix}/bigbluebutton/presentation/a/a/b/svg/1"), 401, ""),
        Place::new("a recording", "POST", "/playback/presentation/2.3/x", 404, ""),
        Place::new("a breakout room", "POST", format!("{prefix}/bigbluebutton/api/join?meetingID=x"), 404, ""),
        Place::new("a client's address", "POST", format!("{prefix}/html5client"), 302, ""),
        Place::new("an unknown server", "POST", "/s/none/bigbluebutton/presentation/x/upload", 404, ""),
        Place::new("a path that is not served", "POST", "/bigbluebutton/connection/checkGraphqlAuthorization", 404, ""),
        Place::new("a callback of no meeting", "POST", "/.anteroom/callback/ended/x", 404, ""),
        Place::new("events of no server", "POST", "/.anteroom/hooks/none/x", 404, ""),
        Place::new("a hook by POST", "POST", signed("hooks/create", &[]), 405, ""),
        Place::new("getUser where there is none", "POST", api("getUser"), 200, "Request not recognized"),
        Place::new("a GET with a body", "GET", "/bigbluebutton/api", 200, "SUCCESS"),
        Place::new("a frontend that answers early", "POST", "/import", 413, "too much for the frontend"),
        Place::new(
            "a BBB server that answers early",
            "POST",
            format!("{prefix}/bigbluebutton/presentation/wrong/upload"),
            403,
            "",
        )
        .of(joined)
        .typed("multipart/form-data; boundary=b"),
    ]
}

// 13. "A refusal while a large body is still being sent breaks the connection instead of arriving: `insertDocument` with a
// document at a private address and a body of 70 KB or more gives `stream error in the HTTP/2 framing layer` over HTTP/2 and
// `broken pipe` over HTTP/1.1 (below 20 KB the answer arrives)."

#[tokio::test(flavor = "multi_thread")]
async fn a_document_at_a_private_address_is_refused_however_large_the_body() {
    let (stage, _frontend, _) = stage().await;
    let path = signed("insertDocument", &[("meetingID", "room")]);
    let place = Place::new("a document at a private address", "POST", path, 200, "must not be fetched")
        .typed("application/xml");
    let mut faults = String::new();
    for length in [1, 20_000, 70_000, 500_000, 2 * MB] {
        let body = [
            "<modules><module name=\"presentation\"><document url=\"http://10.0.0.7/a.pdf\" filename=\"a.pdf\"/>",
            &" ".repeat(length),
            "</module></modules>",
        ];
        let body = Bytes::from(body.concat());
        faults += &place.http1_with(&stage, std::slice::from_ref(&body)).await;
        faults += &place.http2_with(&stage, std::slice::from_ref(&body)).await;
    }
    assert_eq!(faults, "");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_before_the_body_has_ended_reaches_its_caller() {
    let (stage, _frontend, joined) = stage().await;
    let mut faults = String::new();
    for place in places(&joined) {
        for length in [0, 1, 20_000, 70_000, 500_000, 3 * MB] {
            faults += &place.http1(&stage, length).await;
            faults += &place.http2(&stage, length).await;
        }
    }
    assert_eq!(faults, "");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_before_a_very_large_body_has_ended_reaches_its_caller() {
    let (stage, _frontend, joined) = stage().await;
    let large = [
        "a wrong checksum",
        "an upload of a stranger",
        "a frontend that answers early",
        "a BBB server that answers early",
    ];
    let mut faults = String::new();
    for place in places(&joined).into_iter().filter(|place| large.contains(&place.what)) {
        faults += &place.http1(&stage, 100 * MB).await;
        faults += &place.http2(&stage, 100 * MB).await;
    }
    assert_eq!(faults, "");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_for_a_host_or_a_rate_reaches_its_caller_too() {
    let stage = Plan::new().server("members").tenant("wagtail", "multi-account").start().await;
    let mut faults = String::new();
    // A host without a frontend, and one page.
    for (path, status) in [("/", 200), ("/elsewhere", 404)] {
        let place = Place::new("no frontend", "POST", path, status, "");
        faults += &place.http1(&stage, 3 * MB).await;
        faults += &place.http2(&stage, 3 * MB).await;
    }
    let head = |host: &str| format!("POST / HTTP/1.1\r\nhost: {host}\r\ncontent-length: 3000000\r\n\r\n");
    let mut raw = Raw::open(&stage, &host("wagtail")).await.0;
    let came = sent_and_answered(&mut raw, &head("elsewhere.example"), &pieces(3 * MB)).await;
    faults += &Place::new("an unknown host", "POST", "/", 421, "unknownHost").fault("HTTP/1.1", 3 * MB, came);
    // Plain HTTP leads to HTTPS.
    let mut plain = tokio::net::TcpStream::connect(stage.app.as_ref().unwrap().http[0]).await.unwrap();
    let came = sent_and_answered(&mut plain, &head(&host("wagtail")), &pieces(3 * MB)).await;
    faults += &Place::new("plain HTTP", "POST", "/", 308, "").fault("HTTP/1.1", 3 * MB, came);
    assert_eq!(faults, "");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_of_a_tenant_that_asks_too_fast_reaches_its_caller_too() {
    let config = "base_domains = [\"localhost\"]\n[listen]\nhttps = [\"127.0.0.1:0\"]\nhttp = [\"127.0.0.1:0\"]\n\
                  admin = \"127.0.0.1:0\"\n[store]\nurl = \"sqlite:var/anteroom.db\"\n[rates]\ntenant_requests = 1\n\
                  [servers.bbb-01]\nurl = \"http://127.0.0.1:9\"\nsecret = \"bbb-01-secret\"\npool = \"members\"\n";
    let stage = Plan::new().tenant("wagtail", "multi-account").file("anteroom.toml", config).start().await;
    for _ in 0..20 {
        stage.client().get(&host("wagtail"), "/").await;
    }
    let place = Place::new("one too many", "POST", "/", 429, "rateLimited");
    for length in [70_000, 3 * MB] {
        let http1 = (0..4).map(|_| place.http1(&stage, length));
        let http2 = (0..4).map(|_| place.http2(&stage, length));
        let (http1, http2) = tokio::join!(join_all(http1), join_all(http2));
        assert_eq!(http1.concat() + &http2.concat(), "");
    }
}

// curl waits for leave to send whatever is longer than 1 MB.
#[tokio::test(flavor = "multi_thread")]
async fn who_waits_for_leave_to_send_is_refused_without_it() {
    let (stage, _frontend, joined) = stage().await;
    // A server is asked when the body has begun.
    let mut faults = String::new();
    for place in places(&joined).into_iter().filter(|place| !place.what.contains("answers early")) {
        let mut raw = Raw::open(&stage, &host("wagtail")).await.0;
        let head = place.head("content-length: 3000000\r\nexpect: 100-continue");
        raw.write_all(head.as_bytes()).await.unwrap();
        let came = answer(&mut raw).await;
        faults += &place.fault("HTTP/1.1, waiting for leave", 3 * MB, came);
        // It may have begun to send by itself.
        let came = sent_and_answered(&mut Raw::open(&stage, &host("wagtail")).await.0, &head, &pieces(3 * MB)).await;
        faults += &place.fault("HTTP/1.1, tired of waiting", 3 * MB, came);
    }
    assert_eq!(faults, "");
    let wanted =
        Place::new("a create", "POST", signed("create", &[("meetingID", "room"), ("name", "room")]), 200, "SUCCESS");
    let head = wanted.typed("application/xml").head("content-length: 10\r\nexpect: 100-continue");
    let mut raw = Raw::open(&stage, &host("wagtail")).await;
    assert_eq!(raw.send(head).await.head().await, "HTTP/1.1 100 Continue\r\n\r\n");
    raw.send("<modules/>").await;
    assert_eq!(answer(&mut raw.0).await.map(|(status, _)| status), Ok(200));
}

#[tokio::test(flavor = "multi_thread")]
async fn who_never_stops_sending_is_cut_and_has_been_answered() {
    let (stage, _frontend, _) = stage().await;
    let path = "/bigbluebutton/api/create?name=a&checksum=00";
    let head = format!("POST {path} HTTP/1.1\r\nhost: {}\r\ntransfer-encoding: chunked\r\n\r\n", host("wagtail"));
    let (mut read, mut write) = tokio::io::split(Raw::open(&stage, &host("wagtail")).await.0);
    write.write_all(head.as_bytes()).await.unwrap();
    let sending = tokio::spawn(async move {
        let chunk = [format!("{:x}\r\n", PIECE.len()).as_bytes(), PIECE, b"\r\n"].concat();
        while write.write_all(&chunk).await.is_ok() {}
    });
    assert!(answer(&mut read).await.unwrap().1.contains("checksumError"));
    timeout(LONG, sending).await.expect("the connection is closed").unwrap();

    let mut sender = http2(&stage, &host("wagtail")).await;
    let (alive, mut cut) = tokio::sync::mpsc::channel::<()>(1);
    let endless = stream::repeat(Bytes::from_static(PIECE)).map(move |piece| {
        let _ = alive.is_closed();
        Ok(Frame::data(piece))
    });
    let request = Request::post(format!("https://{}{path}", host("wagtail")));
    let response = sender.send_request(request.body(StreamBody::new(endless).boxed_unsync()).unwrap()).await.unwrap();
    assert!(
        String::from_utf8_lossy(&response.into_body().collect().await.unwrap().to_bytes()).contains("checksumError")
    );
    assert!(timeout(LONG, cut.recv()).await.expect("the stream is reset").is_none());
    let again = Request::get(format!("https://{}/bigbluebutton/api", host("wagtail"))).body(body_of(&[])).unwrap();
    assert_eq!(sender.send_request(again).await.expect("the connection goes on").status(), 200);
}
