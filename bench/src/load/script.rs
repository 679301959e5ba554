//! What is called: each scenario's requests, and what an answer must be to count.

use std::{collections::BTreeMap, fmt, io, io::Write, str::FromStr, time::Duration};

use serde::Serialize;

use super::{
    tally::Fault,
    target::Target,
    wire::{Reply, Wire},
};
use crate::{clock, sign};

/// Meetings that `join` spreads its people over, unless it is told otherwise.
const JOIN_MEETINGS: u64 = 20;
/// Of how many calls the mix consists.
const MIX: u64 = 10;
/// A server that has just started is not chosen before the gateway has asked it once.
const SETUP_TRIES: u32 = 50;

/// What a load does, again and again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Scenario {
    /// The version call, which the gateway answers itself.
    Version,
    /// A file of a meeting's client.
    Static,
    /// `getMeetingInfo` of one meeting.
    GetMeetingInfo,
    /// `isMeetingRunning` of one meeting.
    IsMeetingRunning,
    /// `create`, each of another meeting.
    Create,
    /// `join`, each of another person.
    Join,
    /// `getMeetings` with many meetings running.
    GetMeetings,
    /// What a site does all day, of ten calls seven `getMeetingInfo`, and one each of `getMeetings`, `create` and `join`; the
    /// `create` is of a meeting that runs, as frontends make it before each `join`.
    Mix,
    /// A new TLS connection for each file, without resumption.
    HandshakeFull,
    /// The same, resumed.
    HandshakeResumed,
    /// A new TLS connection to another host name each time, without resumption, and `isMeetingRunning` on it with the secret of
    /// that host.
    Domains,
    /// `create` at one gateway, and at the next one a `join` into that meeting.
    Replicas,
    /// `create` of a meeting that was not there, and its `end`.
    End,
}

impl Scenario {
    /// All of them, in the order in which they are told.
    pub const ALL: [Self; 13] = [
        Self::Version,
        Self::Static,
        Self::GetMeetingInfo,
        Self::IsMeetingRunning,
        Self::Create,
        Self::Join,
        Self::GetMeetings,
        Self::Mix,
        Self::HandshakeFull,
        Self::HandshakeResumed,
        Self::Domains,
        Self::Replicas,
        Self::End,
    ];

    /// Its name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Version => "version",
            Self::Static => "static",
            Self::GetMeetingInfo => "getMeetingInfo",
            Self::IsMeetingRunning => "isMeetingRunning",
            Self::Create => "create",
            Self::Join => "join",
            Self::GetMeetings => "getMeetings",
            Self::Mix => "mix",
            Self::HandshakeFull => "handshake-full",
            Self::HandshakeResumed => "handshake-resumed",
            Self::Domains => "domains",
            Self::Replicas => "replicas",
            Self::End => "end",
        }
    }

    /// Requests per second when none are asked for: some tenths of what one core carries, so that latency is that of a
    /// machine that keeps up.
    #[must_use]
    pub fn rate(self) -> f64 {
        match self {
            Self::Version | Self::Static => 2000.0,
            Self::GetMeetingInfo | Self::IsMeetingRunning => 1000.0,
            Self::Create | Self::Join | Self::Mix => 200.0,
            Self::GetMeetings => 50.0,
            Self::HandshakeFull | Self::HandshakeResumed | Self::Domains => 200.0,
            Self::Replicas | Self::End => 100.0,
        }
    }

    /// How many requests a closed loop makes at most: what stays behind after each of them must not become the load.
    #[must_use]
    pub fn requests_max(self) -> u64 {
        match self {
            Self::Create | Self::Replicas | Self::End => 3_000,
            Self::Join => 10_000,
            Self::Mix => 40_000,
            _ => 1_000_000,
        }
    }

    /// Whether each request has a connection of its own.
    #[must_use]
    pub fn is_handshake(self) -> bool {
        matches!(self, Self::HandshakeFull | Self::HandshakeResumed | Self::Domains)
    }

    /// Whether connections resume sessions.
    #[must_use]
    pub fn resumes(self) -> bool {
        !matches!(self, Self::HandshakeFull | Self::Domains)
    }

    /// How many requests follow each other in one piece of it.
    #[must_use]
    pub fn requests(self) -> u64 {
        if matches!(self, Self::Replicas | Self::End) { 2 } else { 1 }
    }
}

impl fmt::Display for Scenario {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for Scenario {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        super::by_name(&Self::ALL, Self::name, text, "scenario")
    }
}

/// Sizes of what scenarios call.
#[derive(Debug, Clone, Serialize)]
pub struct Sizes {
    /// Meetings that run when `getMeetings` is called.
    pub meetings: u64,
    /// People in each of them, as far as the server is one that was started for it.
    pub attendees: u32,
    /// Meetings that `join` spreads its people over.
    pub join_meetings: u64,
    /// The file that `static` and the handshakes ask for, below the meeting's address.
    pub asset: String,
}

impl Default for Sizes {
    fn default() -> Self {
        Self { meetings: 200, attendees: 20, join_meetings: JOIN_MEETINGS, asset: "html5client/styles.css".into() }
    }
}

/// A scenario at a target, with all that it needs there.
pub struct Script {
    scenario: Scenario,
    host: String,
    secret: String,
    /// Distinct for each run, so that two runs against one target do not meet.
    run: String,
    join_meetings: u64,
    /// The requests that are the same each time.
    fixed: BTreeMap<Scenario, Vec<u8>>,
}

/// Where somebody who has joined finds the meeting.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Joined {
    /// What stands before the client's paths: `/s/<slug>` at a gateway, nothing at a server.
    pub prefix: String,
    /// The session's token.
    pub token: String,
    /// Its cookies.
    pub cookies: String,
}

impl Script {
    /// Makes what the scenario needs at the target: the meetings that are asked about or joined.
    ///
    /// # Errors
    /// When the target does not answer as it should.
    pub async fn prepare(scenario: Scenario, target: &Target, sizes: &Sizes) -> io::Result<Self> {
        let run = format!("bench-{:x}", clock::since_epoch().as_millis());
        let (host, secret) = (target.host.clone(), target.secret.clone());
        let join_meetings = sizes.join_meetings.max(1);
        let mut script = Self { scenario, host, secret, run, join_meetings, fixed: BTreeMap::new() };
        let mut wire = target.dialer(true)?.dial().await?;
        let meetings = match scenario {
            Scenario::GetMeetings => sizes.meetings,
            Scenario::Mix => sizes.meetings.max(sizes.join_meetings),
            Scenario::Join => sizes.join_meetings,
            Scenario::GetMeetingInfo | Scenario::IsMeetingRunning => 1,
            _ => 0,
        };
        for n in 0..meetings {
            script.create(&mut wire, n).await?;
        }
        let asset = match scenario {
            Scenario::Static | Scenario::HandshakeFull | Scenario::HandshakeResumed => {
                let Joined { prefix, .. } = script.joined(&mut wire).await?;
                format!("{prefix}/{}", sizes.asset)
            }
            _ => String::new(),
        };
        let first_meeting = script.meeting(0);
        let parts: Vec<Scenario> = (0..MIX).map(|number| script.part(number)).collect();
        for one in parts {
            let path = match one {
                Scenario::Version => "/bigbluebutton/api".to_owned(),
                Scenario::Static | Scenario::HandshakeFull | Scenario::HandshakeResumed => asset.clone(),
                Scenario::GetMeetingInfo => script.call("getMeetingInfo", &[("meetingID", &first_meeting)]),
                Scenario::IsMeetingRunning => script.call("isMeetingRunning", &[("meetingID", &first_meeting)]),
                Scenario::GetMeetings => script.call("getMeetings", &[]),
                Scenario::Domains => script.call("isMeetingRunning", &[("meetingID", &first_meeting)]),
                Scenario::Create | Scenario::Join | Scenario::Mix | Scenario::Replicas | Scenario::End => continue,
            };
            let request = script.get(&path, "");
            script.fixed.insert(one, request);
        }
        let mut request = Vec::new();
        // All that it consists of, once.
        for number in if scenario == Scenario::Mix { 0..MIX } else { 0..scenario.requests() } {
            script.write(number, &mut request);
            let reply = wire.exchange(&request).await?;
            let checked = script.check(number, &reply);
            checked.map_err(|fault| unexpected(scenario.name(), &reply, &format!("{fault:?}")))?;
            if scenario == Scenario::GetMeetings && 0 < sizes.attendees && !find(reply.body, b"<attendee>") {
                return Err(unexpected(scenario.name(), &reply, "nobody is in the meetings"));
            }
        }
        Ok(script)
    }

    /// The scenario.
    #[must_use]
    pub fn scenario(&self) -> Scenario {
        self.scenario
    }

    /// Writes the request of this number, which no other request has.
    pub fn write(&self, number: u64, into: &mut Vec<u8>) {
        into.clear();
        let part = self.part(number);
        if let Some(fixed) = self.fixed.get(&part) {
            into.extend_from_slice(fixed);
            return;
        }
        let path = match (self.scenario, part) {
            (Scenario::Replicas, Scenario::Join) => self.join_path(&self.created(number / 2), number),
            (Scenario::End, Scenario::End) => self.call("end", &[("meetingID", &self.created(number / 2))]),
            (Scenario::Replicas | Scenario::End, _) => self.create_path(&self.created(number / 2)),
            (_, Scenario::Join) => self.join_path(&self.meeting(number % self.join_meetings), number),
            (Scenario::Mix, _) => self.create_path(&self.meeting(number / MIX % self.join_meetings)),
            _ => self.create_path(&self.created(number)),
        };
        into.extend_from_slice(&self.get(&path, ""));
    }

    /// What the request of this number is, where a scenario consists of several.
    fn part(&self, number: u64) -> Scenario {
        match (self.scenario, number % MIX) {
            (Scenario::Mix, 7) => Scenario::GetMeetings,
            (Scenario::Mix, 8) => Scenario::Create,
            (Scenario::Mix, 9) => Scenario::Join,
            (Scenario::Mix, _) => Scenario::GetMeetingInfo,
            (Scenario::Replicas | Scenario::End, number) if number % 2 == 0 => Scenario::Create,
            (Scenario::Replicas, _) => Scenario::Join,
            (one, _) => one,
        }
    }

    /// Whether an answer is the one to be expected for the request of this number.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn check(&self, number: u64, reply: &Reply<'_>) -> Result<(), Fault> {
        let part = self.part(number);
        let status = if part == Scenario::Join { 302 } else { 200 };
        if reply.status != status {
            return Err(Fault::Status);
        }
        let fits = match part {
            Scenario::Static | Scenario::HandshakeFull | Scenario::HandshakeResumed => !reply.body.is_empty(),
            Scenario::Join => reply.header("location").is_some_and(|location| location.contains("sessionToken=")),
            // The outcome stands at the start, in XML as in JSON.
            _ => find(&reply.body[..reply.body.len().min(200)], b"SUCCESS"),
        };
        if fits { Ok(()) } else { Err(Fault::Refused) }
    }

    /// Creates a meeting and joins it.
    ///
    /// # Errors
    /// When the target does not answer as it should.
    pub async fn joined(&self, wire: &mut Wire) -> io::Result<Joined> {
        self.joined_as(wire, "VIEWER").await
    }

    /// The same in a role.
    ///
    /// # Errors
    /// When the target does not answer as it should.
    pub async fn joined_as(&self, wire: &mut Wire, role: &str) -> io::Result<Joined> {
        self.create(wire, 0).await?;
        let meeting = self.meeting(0);
        let params = [("meetingID", &*meeting), ("fullName", "Person 0"), ("userID", "p0"), ("role", role)];
        let reply = wire.exchange(&self.get(&self.call("join", &params), "")).await?;
        let found = reply.header("location").and_then(|location| joined(location, reply.cookies()));
        found.ok_or_else(|| unexpected("join", &reply, "no session"))
    }

    /// Joins one of the meetings that were made beforehand, as the person of this number.
    ///
    /// # Errors
    /// When the target does not answer as it should.
    pub async fn join(&self, wire: &mut Wire, person: u64) -> io::Result<Joined> {
        let path = self.join_path(&self.meeting(person % self.join_meetings), person);
        let reply = wire.exchange(&self.get(&path, "")).await?;
        let found = reply.header("location").and_then(|location| joined(location, reply.cookies()));
        found.ok_or_else(|| unexpected("join", &reply, "no session"))
    }

    /// A request for a path, with more header fields, each with its line end.
    #[must_use]
    pub fn get(&self, path: &str, fields: &str) -> Vec<u8> {
        let mut request = Vec::with_capacity(512);
        let host = &self.host;
        write!(request, "GET {path} HTTP/1.1\r\nhost: {host}\r\nuser-agent: anteroom-bench\r\n{fields}\r\n")
            .expect("memory takes all bytes");
        request
    }

    async fn create(&self, wire: &mut Wire, n: u64) -> io::Result<()> {
        // Nobody may be in it for as long as a load runs.
        let path = self.call(
            "create",
            &[
                ("name", "A load test"),
                ("meetingID", &self.meeting(n)),
                ("record", "false"),
                ("meetingExpireIfNoUserJoinedInMinutes", "60"),
                ("meetingExpireWhenLastUserLeftInMinutes", "30"),
            ],
        );
        let request = self.get(&path, "");
        for tries_left in (0..SETUP_TRIES).rev() {
            let reply = wire.exchange(&request).await?;
            if reply.status == 200 && find(reply.body, b"SUCCESS") {
                return Ok(());
            }
            if tries_left == 0 {
                return Err(unexpected("create", &reply, "refused"));
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        unreachable!("the last try returns")
    }

    fn create_path(&self, meeting: &str) -> String {
        self.call("create", &[("name", "A load test"), ("meetingID", meeting), ("record", "false")])
    }

    /// The address of a join into a meeting that was made beforehand: whoever has it may use it again.
    #[must_use]
    pub fn link(&self, person: u64) -> String {
        self.join_path(&self.meeting(person % self.join_meetings), person)
    }

    fn join_path(&self, meeting: &str, person: u64) -> String {
        let (name, id) = (format!("Person {person}"), format!("p{person}"));
        self.call("join", &[("meetingID", meeting), ("fullName", &name), ("userID", &id), ("role", "VIEWER")])
    }

    fn call(&self, name: &str, params: &[(&str, &str)]) -> String {
        sign::path(name, params, &self.secret)
    }

    /// The id of a meeting that the load makes.
    fn created(&self, n: u64) -> String {
        format!("{}-{n}", self.run)
    }

    /// The id of a meeting that was made beforehand.
    fn meeting(&self, n: u64) -> String {
        format!("{}-made-{n}", self.run)
    }
}

/// Reads where a join leads to.
pub(super) fn joined(location: &str, cookies: String) -> Option<Joined> {
    let (before, query) = location.split_once("/html5client/")?;
    let path = before.split_once("://").map_or(before, |(_, rest)| rest.find('/').map_or("", |at| &rest[at..]));
    let (_, token) = query.split_once("sessionToken=")?;
    let token = token.split('&').next().filter(|token| !token.is_empty())?;
    Some(Joined { prefix: path.to_owned(), token: token.to_owned(), cookies })
}

fn find(bytes: &[u8], what: &[u8]) -> bool {
    bytes.windows(what.len()).any(|window| window == what)
}

fn unexpected(what: &str, reply: &Reply<'_>, why: &str) -> io::Error {
    let body = String::from_utf8_lossy(&reply.body[..reply.body.len().min(300)]);
    let location = reply.header("location").map(|location| format!(", location {location}")).unwrap_or_default();
    io::Error::other(format!("{what}: {why}: status {}{location}: {body}", reply.status))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn script(scenario: Scenario) -> Script {
        Script {
            scenario,
            host: "a.localhost".into(),
            secret: "s".into(),
            run: "r".into(),
            join_meetings: 20,
            fixed: BTreeMap::new(),
        }
    }

    #[test]
    fn each_scenario_is_found_by_its_name() {
        for scenario in Scenario::ALL {
            assert_eq!(scenario.name().parse(), Ok(scenario));
        }
        assert!("creat".parse::<Scenario>().is_err());
    }

    #[test]
    fn an_answer_counts_only_if_it_is_the_one_expected() {
        let ok = "<response><returncode>SUCCESS</returncode></response>";
        let failed = "<response><returncode>FAILED</returncode></response>";
        let to = |location: &str| format!("HTTP/1.1 302 Found\r\nlocation: {location}\r\n\r\n");
        for (name, scenario, status, head, body, expected) in [
            ("created", Scenario::Create, 200, String::new(), ok, Ok(())),
            ("refused with 200", Scenario::Create, 200, String::new(), failed, Err(Fault::Refused)),
            ("too many", Scenario::Create, 429, String::new(), ok, Err(Fault::Status)),
            ("joined", Scenario::Join, 302, to("/html5client/?sessionToken=x"), "", Ok(())),
            ("sent away", Scenario::Join, 302, to("/?errors=x"), "", Err(Fault::Refused)),
            ("a page of refusal", Scenario::Join, 200, String::new(), ok, Err(Fault::Status)),
            ("an empty file", Scenario::Static, 200, String::new(), "", Err(Fault::Refused)),
        ] {
            let reply = Reply { status, head: head.as_bytes(), body: body.as_bytes() };
            assert_eq!(script(scenario).check(0, &reply), expected, "{name}");
        }
    }

    #[test]
    fn no_two_creates_have_the_same_meeting() {
        let script = script(Scenario::Create);
        let (mut one, mut two) = (Vec::new(), Vec::new());
        script.write(1, &mut one);
        script.write(2, &mut two);
        assert!(find(&one, b"meetingID=r-1&") && find(&two, b"meetingID=r-2&"));
        assert!(one.starts_with(b"GET /bigbluebutton/api/create?") && one.ends_with(b"\r\n\r\n"));
    }

    #[test]
    fn somebody_joins_the_meeting_that_was_created_just_before() {
        let script = script(Scenario::Replicas);
        let (mut create, mut join) = (Vec::new(), Vec::new());
        script.write(14, &mut create);
        script.write(15, &mut join);
        assert!(create.starts_with(b"GET /bigbluebutton/api/create?") && find(&create, b"meetingID=r-7&"));
        assert!(join.starts_with(b"GET /bigbluebutton/api/join?") && find(&join, b"meetingID=r-7&"));
    }

    #[test]
    fn a_meeting_is_ended_that_was_created_just_before() {
        let script = script(Scenario::End);
        let (mut create, mut end) = (Vec::new(), Vec::new());
        script.write(14, &mut create);
        script.write(15, &mut end);
        assert!(create.starts_with(b"GET /bigbluebutton/api/create?") && find(&create, b"meetingID=r-7&"));
        assert!(end.starts_with(b"GET /bigbluebutton/api/end?") && find(&end, b"meetingID=r-7&"));
    }

    #[test]
    fn a_join_tells_prefix_and_token() {
        let of = |location: &str| joined(location, String::new()).map(|joined| (joined.prefix, joined.token));
        let some = |prefix: &str, token: &str| Some((prefix.to_owned(), token.to_owned()));
        for (location, expected) in [
            ("https://a.localhost:8443/s/x1/html5client/?sessionToken=abc", some("/s/x1", "abc")),
            ("https://bbb-01.internal.test/html5client/?sessionToken=abc&x=1", some("", "abc")),
            ("/s/x1/html5client/?sessionToken=abc", some("/s/x1", "abc")),
            ("https://a.localhost/html5client/?sessionToken=", None),
            ("https://a.localhost/?errors=x", None),
        ] {
            assert_eq!(of(location), expected, "{location}");
        }
    }
}
