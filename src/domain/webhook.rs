//! Webhooks: addresses and bounds.

use std::time::Duration;

/// The start of the gateway's own addresses that servers call with events; the slug of the server and a code follow.
pub const PATH: &str = "/.anteroom/hooks/";
/// The longest list of names of events that a webhook may ask for.
pub const EVENTS_BYTES_MAX: usize = 2048;
/// Events of one tenant that may wait at a time.
pub const WAITING_MAX: u32 = 10_000;
/// A webhook whose receiver takes nothing for this long is removed.
pub const FAILS_FOR: Duration = Duration::from_secs(24 * 3600);
/// How long it is known that an event was delivered. A server says one again for five minutes.
pub const KNOWN_FOR: Duration = Duration::from_secs(3600);
