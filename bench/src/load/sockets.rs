//! What an open WebSocket costs the gateway while it is idle: many are opened, each carries one echo, and then the
//! growth of resident memory is divided by their number.

use std::{io, time::Duration};

use serde::Serialize;

use super::{
    process,
    script::{Joined, Scenario, Script, Sizes},
    target::{Dialer, Target},
    wire::Wire,
};

/// Opened before the first look, so that what the gateway has once is not charged to the sockets.
pub(super) const BEFORE: usize = 16;
/// Sockets of one session: fewer than the gateway lets it have.
const OF_ONE: usize = 16;
/// What each socket carries once: about a first GraphQL frame.
pub(super) const ECHO_BYTES: usize = 2048;
/// Let go by, so that what is given back after the last echo has been.
pub(super) const SETTLE: Duration = Duration::from_millis(1500);
/// This process, the gateway's two ends and whatever else is open.
const FILES_SPARE: u64 = 200;

/// Memory of a gateway with many sockets.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Sockets {
    /// How many were opened between the two looks.
    pub sockets: usize,
    /// Resident memory before.
    pub resident_before_bytes: u64,
    /// And after.
    pub resident_after_bytes: u64,
    /// Growth divided by sockets.
    pub bytes_per_socket: f64,
    /// Processor time of the gateway for one socket: handshake, opening, echo.
    pub open_cpu_us: f64,
    /// The same time, for sockets that are idle, over `SETTLE`: share of one core.
    pub idle_cpu_share: f64,
}

/// Whether so many sockets fit into the limit of open files.
///
/// # Errors
/// A sentence for the report when they do not.
pub fn fit(sockets: usize) -> Result<(), String> {
    let wanted = (2 * sockets as u64).saturating_add(FILES_SPARE);
    match process::open_files_max() {
        Some(most) if most < wanted => {
            Err(format!("{sockets} sockets need {wanted} open files in the gateway, the limit is {most} (ulimit -n)"))
        }
        _ => Ok(()),
    }
}

/// Opens sockets through a carrier, which is this process, and looks at its memory.
///
/// # Errors
/// When a socket does not open or does not echo.
pub async fn measure(pid: u32, target: &Target, sockets: usize) -> io::Result<Sockets> {
    let script = Script::prepare(Scenario::Join, target, &Sizes::default()).await?;
    let dialer = target.dialer(true)?;
    // All have joined before the first look: sessions are not what is measured.
    let mut people = Vec::new();
    let mut wire = dialer.dial().await?;
    for person in 0..(BEFORE + sockets).div_ceil(OF_ONE) as u64 {
        people.push(script.join(&mut wire, person).await?);
    }
    let mut owners = people.iter().cycle();
    let mut owner = move || owners.next().expect("there are people");
    let mut open = Vec::with_capacity(BEFORE + sockets);
    for _ in 0..BEFORE {
        open.push(socket(&script, &dialer, owner()).await?);
    }
    tokio::time::sleep(SETTLE).await;
    let (before, cpu_before) = (process::resident_bytes(pid)?, process::cpu_time(pid)?);
    for _ in 0..sockets {
        open.push(socket(&script, &dialer, owner()).await?);
    }
    let cpu_open = process::cpu_time(pid)?;
    tokio::time::sleep(SETTLE).await;
    let (after, cpu_idle) = (process::resident_bytes(pid)?, process::cpu_time(pid)?);
    Ok(Sockets {
        sockets,
        resident_before_bytes: before,
        resident_after_bytes: after,
        bytes_per_socket: (after as f64 - before as f64) / sockets.max(1) as f64,
        open_cpu_us: (cpu_open - cpu_before).as_secs_f64() * 1e6 / sockets.max(1) as f64,
        idle_cpu_share: (cpu_idle - cpu_open).as_secs_f64() / SETTLE.as_secs_f64(),
    })
}

/// Opens the socket of SIP, which has no pings and echoes what is binary.
async fn socket(script: &Script, dialer: &Dialer, joined: &Joined) -> io::Result<Wire> {
    let mut wire = dialer.dial().await?;
    let Joined { prefix, token, cookies } = joined;
    let fields = format!(
        "connection: Upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\n\
         sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\nsec-websocket-protocol: sip\r\ncookie: {cookies}\r\n"
    );
    let reply = wire.exchange(&script.get(&format!("{prefix}/ws?sessionToken={token}"), &fields)).await?;
    if reply.status != 101 {
        return Err(io::Error::other(format!("a WebSocket was answered with status {}", reply.status)));
    }
    let payload = [b'x'; ECHO_BYTES];
    let echo = frame(&payload, false);
    if wire.raw(&frame(&payload, true), echo.len()).await? != echo {
        return Err(io::Error::other("a WebSocket did not echo"));
    }
    wire.rest();
    Ok(wire)
}

/// A binary frame (RFC 6455, 5.2) of up to 64 KB. The mask of a client is zero, which changes nothing.
pub(super) fn frame(payload: &[u8], masked: bool) -> Vec<u8> {
    let length = u16::try_from(payload.len()).expect("payloads here are short");
    let mask = if masked { 0x80 } else { 0 };
    let mut frame = vec![0x82];
    if length < 126 {
        frame.push(mask | length as u8);
    } else {
        frame.push(mask | 126);
        frame.extend_from_slice(&length.to_be_bytes());
    }
    frame.extend_from_slice(if masked { &[0; 4] } else { &[] });
    frame.extend_from_slice(payload);
    frame
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_has_the_length_form_of_its_size() {
        assert_eq!(frame(b"hi", false), b"\x82\x02hi");
        assert_eq!(frame(b"hi", true), b"\x82\x82\0\0\0\0hi");
        assert_eq!(frame(&[0; 125], false)[..2], [0x82, 125]);
        assert_eq!(frame(&[0; 126], false)[..4], [0x82, 126, 0, 126]);
        assert_eq!(frame(&[0; 2048], true)[..4], [0x82, 0xfe, 8, 0]);
    }

    #[test]
    fn more_sockets_than_files_do_not_fit() {
        let most = process::open_files_max();
        assert_eq!(fit(0).is_ok(), most.is_none_or(|most| FILES_SPARE <= most));
        if most.is_some() {
            assert!(fit(usize::MAX / 4).is_err());
        }
    }
}
