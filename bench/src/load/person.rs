//! What one person costs: the click on a link, the client's page and its files, version and settings, three sockets with their
//! first frames, a quiet time, and a message now and then. The same through several programs, as browsers of several kinds come.
//!
//! People come a few at a time and all stay, so that processor time and memory of the program can be divided by their number.

pub mod report;

use std::{fmt, io, str::FromStr, time::Duration};

use futures_util::{
    StreamExt,
    future::{join_all, try_join_all},
    stream,
};
use http::{HeaderMap, Request};
use http_body_util::{BodyExt, Empty};
use serde::Serialize;
use tokio::time::{sleep, timeout};

use super::{
    carry::{greet, introduce, text_frame},
    h2::{self, Sender},
    people,
    process::{cpu_time, resident_bytes},
    script::{self, Joined, Scenario, Script, Sizes},
    stage::{Setup, Stage, peers::Carrier},
    stop::Stop,
    target::{Dialer, Target},
    wire::{Stream, Wire},
};
use crate::sim::CHUNKS;

/// Meetings that people are in.
const MEETINGS: u64 = 10;
/// People who come at the same time.
const AT_ONCE: usize = 8;
/// People who are there before the first look, so that what a program has once is not charged to the others.
const BEFORE: u32 = 8;
/// A person who is not in by then, or whose message is not answered by then, has failed.
const PATIENCE: Duration = Duration::from_secs(60);
/// Connections of a browser to a host over HTTP/1.1.
const OF_BROWSER: usize = 6;
/// What a client asks for to know its meeting.
const SETTINGS: [&str; 3] = ["bigbluebutton/api", "api/rest/userMetadata", "api/rest/meetingStaticData"];

/// As what kind of browser people come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Shape {
    /// All on one connection of HTTP/2, the sockets too (RFC 8441).
    Rfc8441,
    /// Page and files over HTTP/2, each socket on a connection of its own.
    H2,
    /// Six connections of HTTP/1.1, and one for each socket.
    H1,
}

impl Shape {
    /// All of them, in the order in which they are reported.
    pub const ALL: [Self; 3] = [Self::Rfc8441, Self::H2, Self::H1];

    /// Its name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Rfc8441 => "rfc8441",
            Self::H2 => "h2",
            Self::H1 => "h1",
        }
    }
}

impl fmt::Display for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for Shape {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        super::by_name(&Self::ALL, Self::name, text, "shape")
    }
}

/// How much is measured.
#[derive(Debug, Clone)]
pub struct Scope {
    /// As what people come, in this order.
    pub shapes: Vec<Shape>,
    /// Through what, in this order.
    pub carriers: Vec<Carrier>,
    /// How many people.
    pub people: u32,
    /// How long nobody says anything.
    pub quiet: Duration,
    /// How much each says after that, one message after the other.
    pub messages: u32,
    /// Ends it early.
    pub stop: Stop,
}

/// What people came to, of one shape through one program.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Cost {
    /// People who got in.
    pub people: u32,
    /// People who did not, and messages that were not answered.
    pub failed: u32,
    /// The reason of the first of them.
    pub why: Option<String>,
    /// TLS handshakes of a person.
    pub handshakes: f64,
    /// And those of them that resumed a session.
    pub resumed: f64,
    /// Processor time of the program from the click to open sockets, in ms for a person.
    pub open_ms: f64,
    /// Growth of its resident memory after the quiet time, in KB for a person.
    pub kb: f64,
    /// What it took of a core in the quiet time, in us for a person and second.
    pub quiet_us: f64,
    /// Messages that were answered.
    pub messages: u64,
    /// Processor time of the program for a message and its answer, in us; none without messages.
    pub message_us: Option<f64>,
}

/// A cost, and whose it is.
#[derive(Debug, Clone, Serialize)]
pub struct Cell {
    /// As what people came.
    pub shape: Shape,
    /// Through what.
    pub by: Carrier,
    /// What was measured; `None` where the program does not offer what the shape needs.
    pub cost: Option<Cost>,
}

/// All that was found.
#[derive(Debug)]
pub struct Found {
    /// What each program says of its version.
    pub carriers: Vec<(Carrier, String)>,
    /// What was measured.
    pub cells: Vec<Cell>,
}

/// Lets people come through each program, or returns what has been measured until it was to stop.
///
/// # Errors
/// When something does not start, or a meeting cannot be made.
pub async fn compare(setup: &Setup, scope: &Scope) -> io::Result<Found> {
    let version = |by: &Carrier| (*by, by.version(setup).unwrap_or_default());
    let mut found = Found { carriers: scope.carriers.iter().map(version).collect(), cells: Vec::new() };
    for shape in &scope.shapes {
        for by in &scope.carriers {
            if scope.stop.is_told() {
                return Ok(found);
            }
            eprintln!("{shape}, {by}");
            // Each has servers of its own, which no people of another program have been on.
            let mut stage = Stage::through(setup).await?;
            let (pid, target) = stage.carrier(*by, setup).await?;
            let cost = match measure(*shape, pid, &target, scope).await {
                Err(error) if error.kind() == io::ErrorKind::Unsupported => None,
                measured => Some(measured?),
            };
            if !scope.stop.is_told() {
                found.cells.push(Cell { shape: *shape, by: *by, cost });
            }
        }
    }
    Ok(found)
}

/// Lets people of one shape come through the program that is this process.
///
/// # Errors
/// `Unsupported` where it does not offer what the shape needs; when the first people do not get in, or the process has gone.
pub async fn measure(shape: Shape, pid: u32, target: &Target, scope: &Scope) -> io::Result<Cost> {
    let sizes = Sizes { join_meetings: MEETINGS, ..Sizes::default() };
    let script = &Script::prepare(Scenario::Join, target, &sizes).await?;
    let come = async |n: u32| -> io::Result<Person> {
        match timeout(PATIENCE, enter(shape, script, target, n.into())).await {
            Ok(entered) => entered,
            Err(_) => Err(io::ErrorKind::TimedOut.into()),
        }
    };
    let mut before = Vec::new();
    for n in 0..BEFORE {
        before.push(come(n).await?);
    }
    let (resident, cpu) = (resident_bytes(pid)?, cpu_time(pid)?);
    let mut inside = Vec::new();
    let (mut failed, mut why) = (0, None);
    let coming = stream::iter(BEFORE..BEFORE.saturating_add(scope.people)).map(come).buffer_unordered(AT_ONCE);
    let mut coming = std::pin::pin!(coming.take_until(scope.stop.told()));
    while let Some(entered) = coming.next().await {
        match entered {
            Ok(person) => inside.push(person),
            Err(error) => {
                failed += 1;
                why.get_or_insert_with(|| error.to_string());
            }
        }
    }
    let opened = cpu_time(pid)?;
    tokio::select! {
        () = sleep(scope.quiet) => {}
        () = scope.stop.told() => {}
    }
    let (after, rested) = (resident_bytes(pid)?, cpu_time(pid)?);
    let mut messages = 0;
    let said = cpu_time(pid)?;
    for _ in 0..scope.messages {
        if scope.stop.is_told() {
            break;
        }
        for answered in join_all(inside.iter_mut().map(Person::say)).await {
            match answered {
                Ok(()) => messages += 1,
                Err(error) => {
                    failed += 1;
                    why.get_or_insert_with(|| error.to_string());
                }
            }
        }
    }
    let said = cpu_time(pid)? - said;
    let people = inside.len();
    let each = |total: f64| total / people.max(1) as f64;
    let sum = |count: fn(&Person) -> u32| each(f64::from(inside.iter().map(count).sum::<u32>()));
    Ok(Cost {
        people: people as u32,
        failed,
        why,
        handshakes: sum(|person| person.handshakes),
        resumed: sum(|person| person.resumed),
        open_ms: each((opened - cpu).as_secs_f64() * 1e3),
        kb: each(after.saturating_sub(resident) as f64 / 1024.0),
        quiet_us: each((rested - opened).as_secs_f64() * 1e6 / scope.quiet.as_secs_f64().max(f64::EPSILON)),
        messages,
        message_us: (0 < messages).then(|| said.as_secs_f64() * 1e6 / messages as f64),
    })
}

/// Somebody who is in a meeting.
struct Person {
    handshakes: u32,
    resumed: u32,
    graphql: Wire,
    /// The connections and sockets that stay open without a word.
    _rest: Vec<Wire>,
    _sender: Option<Sender>,
}

impl Person {
    /// Says something, and waits for the answer.
    async fn say(&mut self) -> io::Result<()> {
        let word = text_frame("{\"type\":\"ping\"}");
        match timeout(PATIENCE, self.graphql.answered(&word, b"pong")).await {
            Ok(answered) => answered,
            Err(_) => Err(io::ErrorKind::TimedOut.into()),
        }
    }
}

async fn enter(shape: Shape, script: &Script, target: &Target, n: u64) -> io::Result<Person> {
    let dialer = target.dialer(true)?;
    let (joined, mut wires, mut sender) = match shape {
        Shape::H1 => {
            let (joined, wires) = loaded_by_h1(script, &dialer, n).await?;
            (joined, wires, None)
        }
        Shape::Rfc8441 | Shape::H2 => {
            let (joined, sender) = loaded_by_h2(script, target, n).await?;
            (joined, Vec::new(), Some(sender))
        }
    };
    let [mut graphql, sfu, sip] = match &mut sender {
        Some(sender) if shape == Shape::Rfc8441 => shared_sockets(sender, target, &joined).await?,
        _ => {
            let mut graphql = dialer.dial().await?;
            greet(script, &mut graphql, &joined).await?;
            let sfu = people::socket(script, &dialer, &joined, "bbb-webrtc-sfu").await?;
            [graphql, sfu, people::socket(script, &dialer, &joined, "ws").await?]
        }
    };
    graphql.rest();
    let hello = text_frame("{\"id\":\"ping\"}");
    let mut media = [sfu, sip];
    for wire in &mut media {
        wire.answered(&hello, b"pong").await?;
        wire.rest();
    }
    wires.extend(media);
    let of_wires = wires.iter().chain([&graphql]).filter_map(Wire::is_resumed);
    let resumed = of_wires.clone().filter(|is_resumed| *is_resumed).count() as u32;
    let handshakes = of_wires.count() as u32 + u32::from(sender.is_some());
    Ok(Person { handshakes, resumed, graphql, _rest: wires, _sender: sender })
}

/// What is asked for beside the page: the files that it names, a language, and the other parts of the client.
fn files(page: &str, joined: &Joined) -> Vec<String> {
    let chunks = (1..=CHUNKS).map(|n| format!("chunks/{n}.js"));
    let files = people::files(page).into_iter().chain(["locales/en.json".to_owned()]).chain(chunks);
    files.map(|file| format!("{}/html5client/{file}", joined.prefix)).collect()
}

fn page(joined: &Joined) -> String {
    format!("{}/html5client/?sessionToken={}", joined.prefix, joined.token)
}

fn unexpected(path: &str, status: u16) -> io::Error {
    let file = path.split('?').next().unwrap_or_default();
    io::Error::other(format!("{file} was answered with status {status}"))
}

/// Joins and loads all files on six connections.
async fn loaded_by_h1(script: &Script, dialer: &Dialer, n: u64) -> io::Result<(Joined, Vec<Wire>)> {
    let mut first = dialer.dial().await?;
    let joined = script.join(&mut first, n).await?;
    let page = by_h1(script, &mut first, &joined, &page(&joined)).await?;
    let files = files(&page, &joined);
    let mut wires = try_join_all((1..OF_BROWSER).map(|_| dialer.dial())).await?;
    wires.insert(0, first);
    let loading = wires.iter_mut().enumerate().map(async |(at, wire)| {
        for file in files.iter().skip(at).step_by(OF_BROWSER) {
            by_h1(script, wire, &joined, file).await?;
        }
        wire.rest();
        io::Result::Ok(())
    });
    try_join_all(loading).await?;
    for call in SETTINGS {
        by_h1(script, &mut wires[0], &joined, &format!("{}/{call}", joined.prefix)).await?;
    }
    Ok((joined, wires))
}

async fn by_h1(script: &Script, wire: &mut Wire, joined: &Joined, path: &str) -> io::Result<String> {
    let Joined { token, cookies, .. } = joined;
    let fields = format!("cookie: {cookies}\r\nx-session-token: {token}\r\naccept-encoding: identity\r\n");
    let reply = wire.exchange(&script.get(path, &fields)).await?;
    if reply.status != 200 {
        return Err(unexpected(path, reply.status));
    }
    Ok(String::from_utf8_lossy(reply.body).into_owned())
}

/// Joins and loads all files on one connection of HTTP/2, all at once.
async fn loaded_by_h2(script: &Script, target: &Target, n: u64) -> io::Result<(Joined, Sender)> {
    let mut sender = h2::dial(target).await?;
    let link = script.link(n);
    let (status, headers, _) = by_h2(&mut sender, target, None, &link).await?;
    let text = |value: &http::HeaderValue| value.to_str().unwrap_or_default().to_owned();
    let set = headers.get_all("set-cookie").iter().map(text);
    let cookies = set.map(|cookie| cookie.split(';').next().unwrap_or_default().to_owned()).collect::<Vec<_>>();
    let location = headers.get("location").map(text).unwrap_or_default();
    let joined = script::joined(&location, cookies.join("; ")).ok_or_else(|| unexpected(&link, status))?;
    let whole = async |path: String| {
        let (status, _, body) = by_h2(&mut sender.clone(), target, Some(&joined), &path).await?;
        if status == 200 { Ok(body) } else { Err(unexpected(&path, status)) }
    };
    let page = whole(page(&joined)).await?;
    let files = files(&String::from_utf8_lossy(&page), &joined);
    try_join_all(files.into_iter().map(whole)).await?;
    for call in SETTINGS {
        whole(format!("{}/{call}", joined.prefix)).await?;
    }
    Ok((joined, sender))
}

async fn by_h2(
    sender: &mut Sender,
    target: &Target,
    joined: Option<&Joined>,
    path: &str,
) -> io::Result<(u16, HeaderMap, bytes::Bytes)> {
    let mut request = Request::get(format!("https://{}{path}", target.host)).header("accept-encoding", "identity");
    if let Some(Joined { token, cookies, .. }) = joined {
        request = request.header("cookie", cookies).header("x-session-token", token);
    }
    let request = request.body(Empty::new()).map_err(io::Error::other)?;
    sender.ready().await.map_err(io::Error::other)?;
    let (head, body) = sender.send_request(request).await.map_err(io::Error::other)?.into_parts();
    let body = body.collect().await.map_err(io::Error::other)?.to_bytes();
    Ok((head.status.as_u16(), head.headers, body))
}

/// The three sockets on the connection of the page.
async fn shared_sockets(sender: &mut Sender, target: &Target, joined: &Joined) -> io::Result<[Wire; 3]> {
    let token = &joined.token;
    let mut open = async |path: &str, protocol: &str| {
        let stream = h2::upgrade(sender, target, joined, path, protocol).await?;
        io::Result::Ok(Wire::new(Stream::Shared(Box::new(stream))))
    };
    let mut graphql = open("graphql", "graphql-transport-ws").await?;
    let sfu = open(&format!("bbb-webrtc-sfu?sessionToken={token}"), "").await?;
    let sip = open(&format!("ws?sessionToken={token}"), "").await?;
    introduce(&mut graphql, token).await?;
    Ok([graphql, sfu, sip])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_has_thirty_files() {
        let page = include_str!("../sim/client/index.html");
        let joined = Joined { prefix: "/s/x".into(), token: "t".into(), cookies: String::new() };
        let files = files(page, &joined);
        assert_eq!(files.len(), 30, "{files:?}");
        assert!(files.contains(&"/s/x/html5client/chunks/25.js".to_owned()), "{files:?}");
    }

    #[test]
    fn each_shape_is_found_by_its_name() {
        for shape in Shape::ALL {
            assert_eq!(shape.name().parse(), Ok(shape));
            assert_eq!(serde_json::to_value(shape).expect("a text"), shape.name());
        }
    }
}
