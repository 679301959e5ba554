//! What it costs to carry a meeting's bytes: files, uploads, frames, through a gateway and through nginx, in one run.
//!
//! One after the other on one connection, so that what is counted is the processor time of what carries, and the rate is
//! what it reaches with nothing beside it.

use std::{
    io,
    time::{Duration, Instant},
};

use serde::Serialize;

use super::{
    process::cpu_time,
    script::{Joined, Scenario, Script, Sizes},
    stage::{Setup, Stage},
    target::Target,
    wire::Wire,
};

/// What is asked for with one subscription.
const FRAMES: usize = 100;
const UPLOAD_BYTES: usize = 100_000_000;

/// What is carried.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Load {
    /// A file of the client, 64 KB, which a gateway may hold in memory.
    File,
    /// The same from the server each time.
    FileFromServer,
    /// A document of 100 MB.
    Upload,
    /// GraphQL frames of 200 B.
    SmallFrames,
    /// And of 20 KB.
    LargeFrames,
}

impl Load {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::File, Self::FileFromServer, Self::Upload, Self::SmallFrames, Self::LargeFrames];
}

/// What one load has cost one carrier.
#[derive(Debug, Clone, Serialize)]
pub struct Cost {
    /// What was carried.
    pub load: Load,
    /// By whom.
    pub by: &'static str,
    /// Bytes that came or went.
    pub bytes: u64,
    /// Files, uploads or frames.
    pub pieces: u64,
    /// Processor time of the carrier.
    pub cpu_ms: f64,
    /// How long it took.
    pub took_ms: f64,
}

impl Cost {
    /// Processor time for a megabyte, in microseconds.
    #[must_use]
    pub fn cpu_us_per_mb(&self) -> f64 {
        self.cpu_ms * 1e3 / (self.bytes as f64 / 1e6)
    }

    /// Megabytes in a second.
    #[must_use]
    pub fn mb_per_second(&self) -> f64 {
        self.bytes as f64 / 1e3 / self.took_ms
    }
}

/// Carries all loads through a gateway and, where there is one, through nginx; `seconds` for each.
///
/// # Errors
/// When something does not start, or does not answer as it should.
pub async fn compare(setup: &Setup, seconds: Duration) -> io::Result<Vec<Cost>> {
    let mut costs = Vec::new();
    for load in Load::ALL {
        for by in ["anteroom", "nginx"] {
            eprintln!("{load:?} {by}");
            let mut stage = Stage::through(setup).await?;
            let carrier = match by {
                "anteroom" => stage.watched().gateway.map(|pid| (pid, stage.target())),
                _ => stage.nginx(setup).await?,
            };
            let Some((pid, target)) = carrier else { continue };
            costs.push(carry(load, by, pid, &target, seconds).await?);
        }
    }
    Ok(costs)
}

async fn carry(load: Load, by: &'static str, pid: u32, target: &Target, seconds: Duration) -> io::Result<Cost> {
    let script = Script::prepare(Scenario::Version, target, &Sizes::default()).await?;
    let dialer = target.dialer(true)?;
    let mut wire = dialer.dial().await?;
    let joined = script.joined_as(&mut wire, "MODERATOR").await?;
    let mut graphql = dialer.dial().await?;
    greet(&script, &mut graphql, &joined).await?;
    let mut step = Step { load, script, joined, wire, graphql };
    // What is done once (a file that is read and packed) is not charged to what is measured.
    step.take().await?;
    tokio::time::sleep(Duration::from_millis(500)).await;
    let (begun, cpu) = (Instant::now(), cpu_time(pid)?);
    let (mut bytes, mut pieces) = (0, 0);
    while begun.elapsed() < seconds {
        let (more_bytes, more_pieces) = step.take().await?;
        (bytes, pieces) = (bytes + more_bytes, pieces + more_pieces);
    }
    let millis = |time: Duration| time.as_secs_f64() * 1e3;
    Ok(Cost { load, by, bytes, pieces, cpu_ms: millis(cpu_time(pid)? - cpu), took_ms: millis(begun.elapsed()) })
}

/// A load that goes on step by step.
struct Step {
    load: Load,
    script: Script,
    joined: Joined,
    wire: Wire,
    graphql: Wire,
}

impl Step {
    /// One step: bytes and pieces.
    async fn take(&mut self) -> io::Result<(u64, u64)> {
        let Self { load, script, joined, wire, graphql } = self;
        let prefix = &joined.prefix;
        match load {
            Load::File | Load::FileFromServer => {
                let path = match load {
                    Load::File => format!("{prefix}/html5client/resources/images/photo.jpg"),
                    _ => format!("{prefix}/images/photo.jpg"),
                };
                let request = script.get(&path, &format!("cookie: {}\r\n", joined.cookies));
                let mut bytes = 0;
                for _ in 0..FRAMES {
                    let reply = wire.exchange(&request).await?;
                    if reply.status != 200 {
                        return Err(io::Error::other(format!("{path} was answered with status {}", reply.status)));
                    }
                    bytes += reply.body.len() as u64;
                }
                Ok((bytes, FRAMES as u64))
            }
            Load::Upload => {
                let token = upload_token(graphql).await?;
                let path = format!("{prefix}/bigbluebutton/presentation/{token}/upload");
                let mut request = script.get(&path, &format!("content-length: {UPLOAD_BYTES}\r\n"));
                request.splice(..3, *b"POST");
                request.resize(request.len() + UPLOAD_BYTES, b'x');
                let reply = wire.exchange(&request).await?;
                match reply.status {
                    200 => Ok((UPLOAD_BYTES as u64, 1)),
                    status => Err(io::Error::other(format!("an upload was answered with status {status}"))),
                }
            }
            Load::SmallFrames => frames(graphql, 200).await,
            Load::LargeFrames => frames(graphql, 20_000).await,
        }
    }
}

async fn greet(script: &Script, wire: &mut Wire, joined: &Joined) -> io::Result<()> {
    let Joined { prefix, token, cookies } = joined;
    let fields = format!(
        "connection: Upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\n\
         sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\nsec-websocket-protocol: graphql-transport-ws\r\ncookie: {cookies}\r\n"
    );
    let reply = wire.exchange(&script.get(&format!("{prefix}/graphql"), &fields)).await?;
    if reply.status != 101 {
        return Err(io::Error::other(format!("a GraphQL socket was answered with status {}", reply.status)));
    }
    let init = serde_json::json!({ "type": "connection_init", "payload": { "headers": { "X-Session-Token": token } } });
    let said = wire.messages(&text_frame(&init.to_string()), 1).await?;
    if said.windows(14).any(|part| part == b"connection_ack") { Ok(()) } else { Err(io::ErrorKind::InvalidData.into()) }
}

fn subscribe(id: &str, query: &str) -> Vec<u8> {
    text_frame(&serde_json::json!({ "type": "subscribe", "id": id, "payload": { "query": query } }).to_string())
}

async fn frames(wire: &mut Wire, bytes: usize) -> io::Result<(u64, u64)> {
    let query = subscribe("load", &format!("subscription {{ sim_patches(bytes: {bytes}, count: {FRAMES}) }}"));
    let came = wire.messages(&query, FRAMES).await?.len();
    Ok((came as u64, FRAMES as u64))
}

async fn upload_token(wire: &mut Wire) -> io::Result<String> {
    let query = subscribe("ask", "mutation { presentationRequestUploadToken(podId: \"x\") }");
    wire.messages(&query, 2).await?;
    let said = wire.messages(&subscribe("token", "query { pres_presentation_uploadToken { uploadToken } }"), 2).await?;
    let said = String::from_utf8_lossy(said).into_owned();
    let token = said.split("\"uploadToken\":\"").nth(1).and_then(|rest| rest.split('"').next());
    token.map(str::to_owned).ok_or_else(|| io::Error::other(format!("there is no upload token in {said}")))
}

/// A text frame (RFC 6455, 5.2) of up to 64 KB. The mask of a client is zero, which changes nothing.
fn text_frame(text: &str) -> Vec<u8> {
    let length = u16::try_from(text.len()).expect("what is said here is short");
    let mut frame = vec![0x81];
    match length {
        0..126 => frame.push(0x80 | length as u8),
        _ => {
            frame.push(0x80 | 126);
            frame.extend(length.to_be_bytes());
        }
    }
    frame.extend([0; 4]);
    frame.extend(text.as_bytes());
    frame
}

/// The costs as a table, with the ratios of the gateway's to nginx's.
#[must_use]
pub fn table(costs: &[Cost]) -> String {
    let mut out =
        format!("{:<18}{:<10}{:>9}{:>12}{:>12}{:>14}\n", "load", "by", "MB/s", "CPU us/MB", "us/piece", "CPU : nginx");
    for cost in costs {
        let nginx = costs.iter().find(|other| other.load == cost.load && other.by == "nginx");
        let ratio =
            nginx.map_or_else(String::new, |nginx| format!("{:.2}", cost.cpu_us_per_mb() / nginx.cpu_us_per_mb()));
        out.push_str(&format!(
            "{:<18}{:<10}{:>9.0}{:>12.0}{:>12.1}{:>14}\n",
            serde_json::to_string(&cost.load).unwrap_or_default().trim_matches('"'),
            cost.by,
            cost.mb_per_second(),
            cost.cpu_us_per_mb(),
            cost.cpu_ms * 1e3 / cost.pieces.max(1) as f64,
            ratio,
        ));
    }
    out
}
