//! What the tests say: requests with what comes back, seats, sockets, and waiting.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use anteroom_bench::sign;
use anteroom_bench::sim::{Config, MeetingView, Sim};
use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream};

pub(crate) const SECRET: &str = "639259d4-9dd8-4b25-bf01-95f9567eaf4b";
pub(crate) const SERVER: &str = "https://bbb-07.internal.test";

pub(crate) type Params<'a> = &'a [(&'a str, &'a str)];
pub(crate) type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: String,
}

impl Answer {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// The text of the first XML element of that name.
    pub(crate) fn tag(&self, name: &str) -> Option<&str> {
        let (_, rest) = self.body.split_once(&format!("<{name}>"))?;
        rest.split_once(&format!("</{name}>")).map(|(text, _)| text)
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap()
    }
}

pub(crate) async fn start(config: Config) -> Sim {
    Sim::start(Config { secret: SECRET.into(), server_url: SERVER.into(), ..config }).await.unwrap()
}

pub(crate) async fn http(sim: &Sim, head: &str, headers: Params<'_>, body: &[u8]) -> Answer {
    let mut stream = TcpStream::connect(sim.addr()).await.unwrap();
    let mut request = format!("{head} HTTP/1.1\r\nHost: bbb-07.internal.test\r\nConnection: close\r\n");
    for (name, value) in headers {
        request.push_str(&format!("{name}: {value}\r\n"));
    }
    if !body.is_empty() && !headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("transfer-encoding")) {
        request.push_str(&format!("Content-Length: {}\r\n", body.len()));
    }
    stream.write_all(format!("{request}\r\n").as_bytes()).await.unwrap();
    // A server may answer before it has read all.
    let _ = stream.write_all(body).await;
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer).await;
    let answer = String::from_utf8_lossy(&answer).into_owned();
    let (head, body) = answer.split_once("\r\n\r\n").expect("an answer");
    let mut lines = head.lines();
    let status = lines.next().unwrap().split(' ').nth(1).unwrap().parse().unwrap();
    let headers = lines.filter_map(|line| line.split_once(": ")).map(|(name, value)| (name.into(), value.into()));
    Answer { status, headers: headers.collect(), body: body.to_owned() }
}

pub(crate) async fn get(sim: &Sim, path: &str) -> Answer {
    http(sim, &format!("GET {path}"), &[], b"").await
}

pub(crate) async fn call(sim: &Sim, name: &str, params: Params<'_>) -> Answer {
    get(sim, &sign::path(name, params, SECRET)).await
}

pub(crate) async fn create(sim: &Sim, id: &str, more: Params<'_>) -> Answer {
    call(sim, "create", &[&[("name", "A room"), ("meetingID", id)], more].concat()).await
}

/// Somebody who has joined: the session token and the cookie.
#[derive(Clone, Debug)]
pub(crate) struct Seat {
    pub(crate) token: String,
    pub(crate) cookie: String,
}

pub(crate) async fn join(sim: &Sim, id: &str, more: Params<'_>) -> Seat {
    let params = [&[("fullName", "Ana"), ("meetingID", id), ("role", "VIEWER")], more].concat();
    seat(&call(sim, "join", &params).await)
}

/// The seat that the answer to a `join` gives.
pub(crate) fn seat(answer: &Answer) -> Seat {
    let location = answer.header("location").unwrap();
    let (page, token) = location.split_once("?sessionToken=").expect(location);
    assert!(page.starts_with(&format!("{SERVER}/html5client/")), "{page}");
    let token = token.split('&').next().unwrap().to_owned();
    let cookie = answer.header("set-cookie").unwrap().split(';').next().unwrap().to_owned();
    Seat { token, cookie }
}

/// A call of the client, by `GET`.
pub(crate) async fn session_call(sim: &Sim, seat: &Seat, name: &str, more: Params<'_>) -> Answer {
    let query = sign::encode(&[&[("sessionToken", seat.token.as_str())], more].concat());
    http(sim, &format!("GET /bigbluebutton/api/{name}?{query}"), &[("Cookie", &seat.cookie)], b"").await
}

pub(crate) async fn open(sim: &Sim, path: &str, headers: &[(&'static str, &str)]) -> Result<Socket, u16> {
    let mut request = format!("ws://{}{path}", sim.addr()).into_client_request().unwrap();
    for (name, value) in headers {
        request.headers_mut().insert(*name, value.parse().unwrap());
    }
    match tokio_tungstenite::connect_async(request).await {
        Ok((socket, _)) => Ok(socket),
        Err(Error::Http(response)) => Err(response.status().as_u16()),
        Err(error) => panic!("{error}"),
    }
}

pub(crate) async fn say(socket: &mut Socket, message: Value) {
    socket.send(Message::text(message.to_string())).await.unwrap();
}

/// The next text as JSON, or the code of the close.
pub(crate) async fn hear(socket: &mut Socket) -> Result<Value, u16> {
    let message = tokio::time::timeout(Duration::from_secs(10), async {
        loop {
            match socket.next().await {
                Some(Ok(Message::Text(text))) => return Ok(serde_json::from_str(&text).unwrap()),
                Some(Ok(Message::Close(frame))) => {
                    return Err(frame.map_or(1005, |frame| frame.code.into()));
                }
                Some(Ok(_)) => {}
                Some(Err(_)) | None => return Err(1006),
            }
        }
    });
    message.await.expect("a message in time")
}

pub(crate) fn init(token: &str) -> Value {
    json!({ "type": "connection_init", "payload": { "headers": { "X-Session-Token": token, "X-ClientType": "HTML5" } } })
}

/// A GraphQL socket after the acknowledgement.
pub(crate) async fn enter(sim: &Sim, seat: &Seat) -> Result<Socket, u16> {
    let headers = [("cookie", seat.cookie.as_str()), ("sec-websocket-protocol", "graphql-transport-ws")];
    let mut socket = open(sim, "/graphql", &headers).await?;
    say(&mut socket, init(&seat.token)).await;
    assert_eq!(hear(&mut socket).await?, json!({ "type": "connection_ack" }));
    Ok(socket)
}

/// A receiver that refuses the first calls, and what it was sent. Returns its address.
pub(crate) async fn receiver(refusals: usize) -> (String, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (address, seen) = (listener.local_addr().unwrap(), Arc::<Mutex<Vec<String>>>::default());
    let noted = Arc::clone(&seen);
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut request = Vec::new();
            while !is_whole(&request) && stream.read_buf(&mut request).await.unwrap() > 0 {}
            let count = {
                let mut seen = noted.lock().unwrap();
                seen.push(String::from_utf8_lossy(&request).into_owned());
                seen.len()
            };
            let status = if count <= refusals { "500 Internal Server Error" } else { "200 OK" };
            let _ = stream.write_all(format!("HTTP/1.1 {status}\r\ncontent-length: 0\r\n\r\n").as_bytes()).await;
        }
    });
    (format!("http://{address}"), seen)
}

/// Whether a request is there with all of its body.
fn is_whole(request: &[u8]) -> bool {
    let text = String::from_utf8_lossy(request);
    let Some((head, body)) = text.split_once("\r\n\r\n") else { return false };
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).map_or(0, |n| n.parse().unwrap());
    body.len() >= length
}

pub(crate) async fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let start = Instant::now();
    while !condition() {
        assert!(start.elapsed() < Duration::from_secs(10), "never: {what}");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

pub(crate) fn only(sim: &Sim) -> MeetingView {
    let mut meetings = sim.meetings();
    assert_eq!(meetings.len(), 1);
    meetings.remove(0)
}
