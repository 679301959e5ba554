//! Metrics: atomic counters, updated without a lock. `admin` exposes them.
//!
//! Labels come from closed sets (tenant, call, outcome, denial, server), never from a path, a token or an address.

// Numbers come from outside.
#![cfg_attr(not(test), warn(clippy::arithmetic_side_effects))]

mod certificates;
mod counters;

use std::{
    sync::{
        Arc,
        atomic::{AtomicI64, AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

pub use certificates::{AuthorityRole, CertificateMetrics, OrderOutcome};
pub use counters::{Closed, Counters};
use dashmap::DashMap;

use crate::{
    domain::{
        denial::Denial,
        ids::TenantId,
        time::{AtomicTimestamp, Timestamp},
    },
    net::{activity::End, connections::Full, rates::Bucket},
};

/// Between two explanations of a checksum that does not fit.
const EXPLAIN_EVERY: Duration = Duration::from_secs(1);

macro_rules! closed_set {
    ($(#[$doc:meta])* $name:ident { $($(#[$vdoc:meta])* $variant:ident = $text:literal,)* }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum $name { $($(#[$vdoc])* $variant,)* }

        impl $name {
            /// All of them, in order.
            pub const ALL: &[Self] = &[$(Self::$variant,)*];

            /// The label.
            #[must_use]
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $text,)* }
            }
        }

        impl Closed for $name {
            const MEMBERS: &'static [Self] = Self::ALL;

            fn place(self) -> usize {
                self as usize
            }
        }
    };
}

pub(crate) use closed_set;

closed_set! {
    /// Kind of a request: an API call, or a kind of traffic.
    Call {
        /// `create`.
        Create = "create",
        /// `join`.
        Join = "join",
        /// `end`.
        End = "end",
        /// `isMeetingRunning`.
        IsMeetingRunning = "isMeetingRunning",
        /// `getMeetingInfo`.
        GetMeetingInfo = "getMeetingInfo",
        /// `getMeetings`.
        GetMeetings = "getMeetings",
        /// `sendChatMessage`.
        SendChatMessage = "sendChatMessage",
        /// `insertDocument`.
        InsertDocument = "insertDocument",
        /// `getSessions`.
        GetSessions = "getSessions",
        /// `getRecordings`.
        GetRecordings = "getRecordings",
        /// `publishRecordings`.
        PublishRecordings = "publishRecordings",
        /// `deleteRecordings`.
        DeleteRecordings = "deleteRecordings",
        /// `updateRecordings`.
        UpdateRecordings = "updateRecordings",
        /// `getRecordingTextTracks`.
        GetRecordingTextTracks = "getRecordingTextTracks",
        /// `putRecordingTextTrack`.
        PutRecordingTextTrack = "putRecordingTextTrack",
        /// `hooks/create`.
        CreateHook = "hooks/create",
        /// `hooks/destroy`.
        DestroyHook = "hooks/destroy",
        /// `hooks/list`.
        ListHooks = "hooks/list",
        /// `hooks/ping`.
        PingHooks = "hooks/ping",
        /// `getUser`.
        GetUser = "getUser",
        /// A call of the client, with a session: `stuns`, `getJoinUrl`, ...
        Session = "session",
        /// The version call.
        Version = "version",
        /// An API call that is not supported.
        Unsupported = "unsupported",
        /// A callback of a server.
        Callback = "callback",
        /// Events of a server for webhooks.
        Webhook = "webhook",
        /// Playback of a recording.
        Playback = "playback",
        /// Traffic of a meeting.
        Meeting = "meeting",
        /// A request for a WebSocket.
        Socket = "socket",
        /// The tenant's frontend.
        Frontend = "frontend",
        /// A page of the gateway.
        Page = "page",
    }
}

closed_set! {
    /// Outcome of a request.
    Outcome {
        /// Success.
        Ok = "ok",
        /// Refused by a rule of BBB or of the gateway.
        Refused = "refused",
        /// A server, frontend or the store failed.
        Failed = "failed",
    }
}

closed_set! {
    /// Why a GraphQL socket has ended.
    SocketEnd {
        /// The client closed it, or vanished.
        Client = "client",
        /// The server closed it, or its connection broke.
        Server = "server",
        /// The seat of its session went to another one.
        SeatLost = "seat_lost",
        /// It was refused for good (close code 4403).
        Refused = "refused",
        /// It was not opened for now: the client tries again (close code 1013).
        TryAgain = "try_again",
        /// The client broke the protocol, or sent too large a message.
        Invalid = "invalid",
    }
}

closed_set! {
    /// What happens to callbacks.
    CallbackEvent {
        /// A server has sent one, and it is in the store.
        Received = "received",
        /// One was refused: not signed by its server, or the store failed.
        Refused = "refused",
        /// Its receiver has taken it.
        Delivered = "delivered",
        /// A try has failed, and another one follows.
        Failed = "failed",
        /// No other one follows.
        GivenUp = "given_up",
    }
}

closed_set! {
    /// What happens to events of webhooks, and to webhooks.
    WebhookEvent {
        /// A server has sent one, and it waits for a webhook in the store.
        Received = "received",
        /// There is no room for it, or it is too large.
        Dropped = "dropped",
        /// Its receiver has taken it.
        Delivered = "delivered",
        /// A try has failed, and another one follows.
        Failed = "failed",
        /// A webhook was removed: its receiver is gone, or it has had no use for long.
        Removed = "removed",
    }
}

/// Metrics of a tenant.
#[derive(Debug, Default)]
pub struct TenantMetrics {
    number: u64,
    requests: [[AtomicU64; Outcome::ALL.len()]; Call::ALL.len()],
    denials: [AtomicU64; Denial::ALL.len()],
    checksum_errors: AtomicU64,
    sockets: AtomicI64,
    /// GraphQL sockets that have ended.
    pub socket_ends: Counters<SocketEnd>,
    /// What has happened to callbacks.
    pub callbacks: Counters<CallbackEvent>,
    /// What has happened to events of webhooks, and to webhooks.
    pub webhooks: Counters<WebhookEvent>,
    bytes_up: AtomicU64,
    bytes_down: AtomicU64,
    /// Bodies of requests and of answers.
    bodies_up: AtomicU64,
    bodies_down: AtomicU64,
    /// The part of these bytes that is already in the store.
    noted_up: AtomicU64,
    noted_down: AtomicU64,
    /// When each secret was last used, by its label.
    secrets: DashMap<Arc<str>, AtomicTimestamp>,
    /// When a checksum that does not fit was last explained.
    explained: AtomicTimestamp,
    /// Rate limit of requests.
    pub rate_of_requests: Bucket,
    /// Rate limit of joins.
    pub rate_of_joins: Bucket,
}

impl TenantMetrics {
    /// Which tenant it is, in the order in which they were used first since the start.
    pub fn number(&self) -> u64 {
        self.number
    }

    /// Counts a request that has been answered.
    pub fn count_request(&self, call: Call, outcome: Outcome) {
        self.requests[call as usize][outcome as usize].fetch_add(1, Relaxed);
    }

    /// Counts a refusal by the gateway.
    pub fn count_denial(&self, denial: Denial) {
        self.denials[denial as usize].fetch_add(1, Relaxed);
    }

    /// Counts a checksum mismatch.
    pub fn count_checksum_error(&self) {
        self.checksum_errors.fetch_add(1, Relaxed);
    }

    /// Whether a checksum mismatch may be explained in the log: once a second.
    pub fn may_explain(&self, now: Timestamp) -> bool {
        self.explained.advance(now, EXPLAIN_EVERY)
    }

    /// Notes that a secret has signed a call.
    pub fn use_secret(&self, label: &Arc<str>, now: Timestamp) {
        if let Some(used) = self.secrets.get(label) {
            used.store(now);
        } else {
            self.secrets.entry(Arc::clone(label)).or_insert_with(|| AtomicTimestamp::new(now)).store(now);
        }
    }

    /// When each secret was last used, by its label; only those that were.
    pub fn secrets(&self) -> Vec<(Arc<str>, Timestamp)> {
        let mut all: Vec<_> =
            self.secrets.iter().map(|entry| (Arc::clone(entry.key()), entry.value().load())).collect();
        all.sort_unstable();
        all
    }

    /// Counts a socket while the guard lives.
    pub fn open_socket(self: &Arc<Self>) -> OpenSocket {
        self.sockets.fetch_add(1, Relaxed);
        OpenSocket(Arc::clone(self))
    }

    /// Bytes since the last call of this function, up and down.
    pub fn take_carried(&self) -> (i64, i64) {
        let (sockets, bodies) = (self.bytes(), self.body_bytes());
        let (up, down) = (sockets.0.saturating_add(bodies.0), sockets.1.saturating_add(bodies.1));
        let since = |all: u64, noted: &AtomicU64| {
            i64::try_from(all.saturating_sub(noted.swap(all, Relaxed))).unwrap_or(i64::MAX)
        };
        (since(up, &self.noted_up), since(down, &self.noted_down))
    }

    /// Counts bytes of the body of a request.
    pub fn count_body_up(&self, bytes: u64) {
        add(&self.bodies_up, bytes);
    }

    /// Counts bytes of the body of an answer.
    pub fn count_body_down(&self, bytes: u64) {
        add(&self.bodies_down, bytes);
    }

    /// Counts bytes of a WebSocket.
    pub fn count_bytes(&self, up: u64, down: u64) {
        add(&self.bytes_up, up);
        add(&self.bytes_down, down);
    }
}

/// Adds to a counter; saturates instead of wrapping.
fn add(counter: &AtomicU64, n: u64) {
    if counter.fetch_add(n, Relaxed).checked_add(n).is_none() {
        counter.store(u64::MAX, Relaxed);
    }
}

/// Guard of an open socket.
#[derive(Debug)]
pub struct OpenSocket(Arc<TenantMetrics>);

impl Drop for OpenSocket {
    fn drop(&mut self) {
        self.0.sockets.fetch_sub(1, Relaxed);
    }
}

/// All counters.
#[derive(Debug, Default)]
pub struct Metrics {
    tenants: DashMap<TenantId, Arc<TenantMetrics>>,
    tenants_used: AtomicU64,
    /// Requests for an unknown host, or one that differs from the SNI.
    pub unknown_hosts: AtomicU64,
    /// Failed and refused TLS handshakes.
    pub handshakes_failed: AtomicU64,
    connections: Arc<AtomicI64>,
    /// Connections with a malformed HTTP request or too large headers.
    pub malformed: AtomicU64,
    ended: [AtomicU64; End::ALL.len()],
    full_of_address: AtomicU64,
    full: AtomicU64,
    /// Connections without the required PROXY header.
    pub unannounced: AtomicU64,
    /// Failed accepts, such as for lack of a file handle.
    pub accept_errors: AtomicU64,
    /// Reloads that changed the configuration.
    pub reloads: AtomicU64,
    /// Faults of the configuration files as of the last reload.
    pub config_faults: AtomicI64,
    /// Certificates that are ordered.
    pub certificates: Arc<CertificateMetrics>,
}

/// Guard of an open connection.
#[derive(Debug)]
pub struct OpenConnection(Arc<AtomicI64>);

impl Drop for OpenConnection {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Relaxed);
    }
}

impl Metrics {
    /// Counts a client connection while the guard lives.
    pub fn open_connection(&self) -> OpenConnection {
        self.connections.fetch_add(1, Relaxed);
        OpenConnection(Arc::clone(&self.connections))
    }

    /// Counts a connection that the gateway closes.
    pub fn count_end(&self, end: End) {
        self.ended[(end as usize).saturating_sub(1)].fetch_add(1, Relaxed);
    }

    /// Counts a connection that got no slot.
    pub fn count_full(&self, full: Full) {
        let counter = match full {
            Full::Address => &self.full_of_address,
            Full::Gateway => &self.full,
        };
        counter.fetch_add(1, Relaxed);
    }

    /// Connections that were closed by a limit, by reason.
    pub fn closed(&self) -> impl Iterator<Item = (&'static str, u64)> {
        let ended = End::ALL.into_iter().zip(&self.ended).map(|(end, n)| (end.as_str(), n));
        let refused = [
            ("address_full", &self.full_of_address),
            ("gateway_full", &self.full),
            ("proxy_header", &self.unannounced),
        ];
        ended.chain(refused).map(|(reason, n)| (reason, n.load(Relaxed)))
    }

    /// Connections that are open.
    pub fn connections(&self) -> i64 {
        self.connections.load(Relaxed)
    }

    /// The counters of a tenant.
    pub fn tenant(&self, id: &TenantId) -> Arc<TenantMetrics> {
        if let Some(found) = self.tenants.get(id) {
            return Arc::clone(&found);
        }
        let new = || {
            let number = self.tenants_used.fetch_add(1, Relaxed);
            Arc::new(TenantMetrics { number, ..TenantMetrics::default() })
        };
        Arc::clone(&self.tenants.entry(id.clone()).or_insert_with(new))
    }
}

impl TenantMetrics {
    /// Requests by call and outcome, without zeros.
    pub fn requests(&self) -> impl Iterator<Item = (Call, Outcome, u64)> {
        Call::ALL.iter().flat_map(move |call| {
            Outcome::ALL.iter().filter_map(move |outcome| {
                let n = self.requests[*call as usize][*outcome as usize].load(Relaxed);
                (n > 0).then_some((*call, *outcome, n))
            })
        })
    }

    /// Refusals by reason, without zeros; includes `checksumError`.
    pub fn denials(&self) -> impl Iterator<Item = (&'static str, u64)> {
        Denial::ALL
            .iter()
            .map(|denial| (denial.key(), self.denials[*denial as usize].load(Relaxed)))
            .chain([("checksumError", self.checksum_errors.load(Relaxed))])
            .filter(|(_, n)| *n > 0)
    }

    /// Sockets that are open.
    pub fn sockets(&self) -> i64 {
        self.sockets.load(Relaxed)
    }

    /// Bytes of the bodies of requests and of answers.
    pub fn body_bytes(&self) -> (u64, u64) {
        (self.bodies_up.load(Relaxed), self.bodies_down.load(Relaxed))
    }

    /// Bytes of closed WebSockets, up and down.
    pub fn bytes(&self) -> (u64, u64) {
        (self.bytes_up.load(Relaxed), self.bytes_down.load(Relaxed))
    }
}

impl Metrics {
    /// All tenants with metrics.
    #[must_use]
    pub fn tenants(&self) -> Vec<(TenantId, Arc<TenantMetrics>)> {
        let mut all: Vec<_> =
            self.tenants.iter().map(|entry| (entry.key().clone(), Arc::clone(entry.value()))).collect();
        all.sort_by(|a, b| a.0.cmp(&b.0));
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_stay_at_their_greatest_value() {
        let metrics = TenantMetrics::default();
        metrics.count_body_up(5);
        metrics.count_bytes(u64::MAX, 7);
        assert_eq!(metrics.take_carried(), (i64::MAX, 7));
        metrics.count_body_up(u64::MAX);
        metrics.count_body_up(u64::MAX);
        assert_eq!(metrics.body_bytes(), (u64::MAX, 0));
        assert_eq!(metrics.take_carried(), (0, 0), "what was noted is not noted again");
    }
}
