//! A column: where a row's request goes, what has to be there before it, and what comes back.

use std::collections::BTreeMap;

use anteroom_bench::{
    sign::{self, Algorithm},
    sim::{self, Profile, RecordingSeed, RecordingState, Sim, TextTrack},
};
use bytes::Bytes;
use http::Request;
use serde_json::Value;
use tokio::net::TcpStream;
use tokio_tungstenite::{client_async, tungstenite::client::IntoClientRequest};

use super::row::{self, Checksum, Expected, Form, Row, Values, fill};
use crate::support::{Joined, Plan, Reply, Stage, eventually, exchange, greet, host, secret};

const TENANT: &str = "wagtail";
const OTHER_TENANT: &str = "heron";
/// The passwords of `{room}`.
const PASSWORDS: &str = "attendeePW=ap&moderatorPW=mp";

/// The two ways to a server.
pub(crate) enum Column {
    /// To the server, with its own secret.
    Direct(Sim),
    /// To the tenant's host, with the tenant's secret.
    Gateway(Stage),
}

/// What came back, as far as it is compared between the columns.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Seen {
    status: u16,
    form: Option<Form>,
    returncode: String,
    message_key: String,
    message: String,
}

/// Whoever joined before a row's request: their sockets are open as long as this lives.
#[derive(Default)]
struct Present {
    first: Option<Joined>,
    sockets: Vec<Box<dyn std::any::Any + Send>>,
}

impl Column {
    pub(crate) async fn direct(profile: Profile) -> Self {
        let config = sim::Config {
            secret: "bbb-01-secret".into(),
            server_url: "https://bbb-01.internal.test".into(),
            presentation_base_url: Some("/bigbluebutton/presentation".into()),
            profile,
            ..Default::default()
        };
        Self::Direct(Sim::start(config).await.unwrap())
    }

    pub(crate) async fn gateway(profile: Profile) -> Self {
        let config = sim::Config { profile, reveals_version: true, ..Default::default() };
        let plan = Plan::new().server_with("members", config).tenant(TENANT, "multi-account");
        Self::Gateway(plan.tenant(OTHER_TENANT, "multi-account").start().await)
    }

    /// Runs a row, and tells what came back, and what of it is not as it should be.
    pub(crate) async fn run(&self, number: usize, row: &Row, expect: &Expected) -> (Seen, Result<(), String>) {
        let (values, present) = match self.prepare(number, row).await {
            Ok(prepared) => prepared,
            Err(fault) => return (Seen::nothing(), Err(fault)),
        };
        let reply = self.send(&request(row, &values, self.secret(), &present)).await;
        let mut seen = Seen::new(&reply);
        let told = check(&reply, &seen, expect, &values).map_err(|fault| format!("{fault}\n    {}", brief(&reply)));
        drop(present.sockets);
        // Ids differ between the columns.
        for (name, value) in values.iter().filter(|(_, value)| value.len() >= 12) {
            seen.message = seen.message.replace(value, &format!("{{{name}}}"));
        }
        (seen, told)
    }

    fn secret(&self) -> String {
        match self {
            Self::Direct(_) => "bbb-01-secret".into(),
            Self::Gateway(_) => secret(TENANT),
        }
    }

    fn sim(&self) -> &Sim {
        match self {
            Self::Direct(sim) => sim,
            Self::Gateway(stage) => &stage.sims[0],
        }
    }

    fn base(&self) -> String {
        match self {
            Self::Direct(_) => "https://bbb-01.internal.test".into(),
            Self::Gateway(_) => format!("https://{}", host(TENANT)),
        }
    }

    /// Makes what a row needs to be there.
    async fn prepare(&self, number: usize, row: &Row) -> Result<(Values, Present), String> {
        let base = self.base();
        let mut values = Values::from([
            ("room", format!("room-{number}")),
            ("new", format!("new-{number}")),
            ("other", format!("other-{number}")),
            ("theirs", format!("theirs-{number}")),
            ("host", base.trim_start_matches("https://").to_owned()),
            ("base", base),
        ]);
        let written = format!("{row:?}");
        let uses = |names: &[&str]| names.iter().any(|name| written.contains(&format!("{{{name}}}")));
        if uses(&["room", "createTime", "internal", "internalStart"]) || !row.joined.is_empty() {
            let joint = if row.room.is_empty() { "" } else { "&" };
            let query = format!("name=Room&meetingID=room-{number}&{PASSWORDS}{joint}{}", row.room);
            let created = self.call(&format!("create?{}", fill(&query, &values)), &self.secret()).await?;
            values.insert("createTime", created.xml("createTime").to_owned());
            let internal = created.xml("internalMeetingID");
            values.insert("internalStart", internal.chars().take(12).collect());
            values.insert("internal", internal.to_owned());
        }
        if uses(&["theirs"]) {
            let theirs = match self {
                Self::Direct(_) => self.secret(),
                Self::Gateway(_) => secret(OTHER_TENANT),
            };
            self.call_at(OTHER_TENANT, &format!("create?name=Theirs&meetingID=theirs-{number}"), &theirs).await?;
        }
        self.seed(number, row, uses(&["theirRecording", "theirRecordingStart"]), &mut values).await?;
        for call in &row.before {
            self.call(&fill(call, &values), &self.secret()).await?;
        }
        let mut present = Present::default();
        for who in &row.joined {
            let joined = self.join(number, who, &mut present).await?;
            values.entry("token").or_insert_with(|| joined.token.clone());
            present.first.get_or_insert(joined);
        }
        if !row.joined.is_empty() {
            let id = format!("room-{number}");
            eventually("all are in the room", async || {
                let meetings = self.sim().meetings();
                meetings.iter().any(|meeting| meeting.ext_id.ends_with(&id) && meeting.users_online == row.joined.len())
            })
            .await;
        }
        Ok((values, present))
    }

    /// Puts the recordings on the server that a row is about: each of a meeting that was made and ended before.
    async fn seed(&self, number: usize, row: &Row, has_theirs: bool, values: &mut Values) -> Result<(), String> {
        let captions = TextTrack {
            kind: "captions".into(),
            lang: "en".into(),
            label: "English".into(),
            source: "upload".into(),
            content: b"WEBVTT".into(),
        };
        let recorded = format!("recorded-{number}");
        for ((name, start), state) in [("recording", "startTime"), ("recording2", "")].into_iter().zip(&row.recordings)
        {
            let text_tracks = if row.captions { vec![captions.clone()] } else { Vec::new() };
            let seed = RecordingSeed { state: state_of(state), text_tracks, ..RecordingSeed::default() };
            let (id, start_time) = self.recording(TENANT, &recorded, seed).await?;
            if name == "recording" {
                values.insert("recordingStart", id.chars().take(20).collect());
            }
            values.insert(name, id);
            values.insert(start, start_time);
        }
        if has_theirs {
            let theirs = format!("their-recorded-{number}");
            let (id, _) = self.recording(OTHER_TENANT, &theirs, RecordingSeed::default()).await?;
            values.insert("theirRecordingStart", id.chars().take(20).collect());
            values.insert("theirRecording", id);
        }
        values.insert("recorded", recorded);
        values.insert("unrecorded", format!("{number:040x}-1700000000000"));
        Ok(())
    }

    /// Makes a meeting, ends it, and has it recorded. The recording's id, which is the meeting's, and when it began.
    async fn recording(&self, tenant: &str, meeting: &str, seed: RecordingSeed) -> Result<(String, String), String> {
        let (secret, ext_id) = match self {
            Self::Direct(_) => (self.secret(), meeting.to_owned()),
            Self::Gateway(_) => (secret(tenant), format!("t.{tenant}.{meeting}")),
        };
        let known = |id: &str| self.sim().recordings().iter().any(|recording| recording.record_id == id);
        // Two runs in one millisecond would be one recording.
        loop {
            let query = format!("name=A+room&meetingID={meeting}&record=true");
            let created = self.call_at(tenant, &format!("create?{query}"), &secret).await?;
            self.call_at(tenant, &format!("join?meetingID={meeting}&fullName=Ada&role=VIEWER"), &secret).await?;
            self.call_at(tenant, &format!("end?meetingID={meeting}"), &secret).await?;
            let start_time = created.xml("createTime").to_owned();
            if known(created.xml("internalMeetingID")) {
                continue;
            }
            let metadata = BTreeMap::from([("course".to_owned(), "Bio & more".to_owned())]);
            let start_time_ms = Some(start_time.parse().unwrap());
            let seed = RecordingSeed { ext_id, start_time_ms, metadata, ..seed };
            let id = self.sim().add_recording(seed);
            assert_eq!(id, created.xml("internalMeetingID"), "a recording bears the id of its meeting");
            return Ok((id, start_time));
        }
    }

    async fn join(&self, number: usize, who: &str, present: &mut Present) -> Result<Joined, String> {
        let joined = self.call(&format!("join?meetingID=room-{number}&{who}"), &self.secret()).await?;
        let location = joined.header("location").to_owned();
        let (start, _) = location.split_once("/html5client/").ok_or_else(|| format!("{who}: {}", brief(&joined)))?;
        let prefix = start.strip_prefix(&self.base()).ok_or_else(|| format!("{who}: {}", brief(&joined)))?.to_owned();
        let joined = Joined { prefix, token: joined.location_param("sessionToken"), cookies: joined.cookies() };
        match self {
            Self::Direct(sim) => {
                let mut request = format!("ws://{}/graphql", sim.addr()).into_client_request().unwrap();
                request.headers_mut().insert("cookie", joined.cookies.parse().unwrap());
                request.headers_mut().insert("sec-websocket-protocol", "graphql-transport-ws".parse().unwrap());
                let stream = TcpStream::connect(sim.addr()).await.unwrap();
                let (mut socket, _) = client_async(request, stream).await.unwrap();
                greet(&mut socket, &joined.token).await.unwrap();
                present.sockets.push(Box::new(socket));
            }
            Self::Gateway(stage) => present.sockets.push(Box::new(stage.graphql(TENANT, &joined).await?)),
        }
        Ok(joined)
    }

    /// A call that has to succeed.
    async fn call(&self, call: &str, secret: &str) -> Result<Reply, String> {
        self.call_at(TENANT, call, secret).await
    }

    async fn call_at(&self, tenant: &str, call: &str, secret: &str) -> Result<Reply, String> {
        let (name, query) = call.split_once('?').unwrap_or((call, ""));
        let checksum = sign::checksum(name, query, secret, Algorithm::Sha256);
        let joint = if query.is_empty() { "" } else { "&" };
        let path = format!("/bigbluebutton/api/{name}?{query}{joint}checksum={checksum}");
        let request = Sent { method: "GET".into(), path, headers: BTreeMap::new(), body: String::new() };
        let reply = self.send_to(tenant, &request).await;
        let is_done = reply.xml("returncode") == "SUCCESS" || reply.status == 302;
        if is_done { Ok(reply) } else { Err(format!("before it, {call}: {}", brief(&reply))) }
    }

    async fn send(&self, request: &Sent) -> Reply {
        self.send_to(TENANT, request).await
    }

    async fn send_to(&self, tenant: &str, sent: &Sent) -> Reply {
        let mut request = Request::builder().method(&*sent.method).uri(&sent.path);
        for (name, value) in &sent.headers {
            request = request.header(name, value);
        }
        let body = Bytes::from(sent.body.clone());
        match self {
            Self::Direct(sim) => {
                let request = request.header("host", "bbb-01.internal.test").body(body.into()).unwrap();
                exchange(TcpStream::connect(sim.addr()).await.unwrap(), request).await
            }
            Self::Gateway(stage) => stage.client().send_body(&host(tenant), request, body).await,
        }
    }
}

/// A request as it goes out.
struct Sent {
    method: String,
    path: String,
    headers: BTreeMap<String, String>,
    body: String,
}

fn request(row: &Row, values: &Values, secret: String, present: &Present) -> Sent {
    let (query, mut body) = (fill(&row.query, values), fill(&row.body, values));
    let filled = row.headers.iter().map(|(name, value)| (name.clone(), fill(value, values)));
    let mut headers: BTreeMap<_, _> = filled.collect();
    if let Some(content_type) = &row.content_type {
        headers.insert("content-type".into(), content_type.clone());
    }
    if let (true, Some(first)) = (row.cookies, &present.first) {
        headers.insert("cookie".into(), first.cookies.clone());
    }
    if row.call.is_empty() {
        return Sent { method: row.method.clone(), path: fill(&row.path, values), headers, body };
    }
    let hashed = row.signs.as_ref().map_or_else(|| query.clone(), |signs| fill(signs, values));
    let sum = |call: &str, secret: &str| sign::checksum(call, &hashed, secret, algorithm(row.algorithm));
    let good = sum(&row.call, &secret);
    let wrong = flip(&good);
    body = body.replace("{sum}", &good);
    let with = |pair: &str| if query.is_empty() { pair.to_owned() } else { format!("{query}&{pair}") };
    let query = match row.checksum {
        Checksum::Last => with(&format!("checksum={good}")),
        Checksum::First => format!("checksum={good}&{query}"),
        Checksum::Middle => query.replacen('&', &format!("&checksum={good}&"), 1),
        Checksum::Body => {
            body = if body.is_empty() { format!("checksum={good}") } else { format!("{body}&checksum={good}") };
            query
        }
        Checksum::UpperCase => with(&format!("checksum={}", good.to_uppercase())),
        Checksum::None => query,
        Checksum::Empty => with("checksum="),
        Checksum::Wrong => with(&format!("checksum={wrong}")),
        Checksum::Short => with(&format!("checksum={}", &good[1..])),
        Checksum::NoHex => with(&format!("checksum={}", "z".repeat(good.len()))),
        Checksum::Twice => with(&format!("checksum={good}&checksum={good}")),
        Checksum::ThenAnother => with(&format!("checksum={good}&checksum={wrong}")),
        Checksum::AfterAnother => with(&format!("checksum={wrong}&checksum={good}")),
        Checksum::EncodedValue => with(&format!("checksum=%{:02x}{}", good.as_bytes()[0], &good[1..])),
        Checksum::EncodedName => with(&format!("%63hecksum={good}")),
        Checksum::SpacedName => with(&format!("%20checksum={good}")),
        Checksum::CapitalName => with(&format!("Checksum={good}")),
        Checksum::OfAnotherCall => with(&format!("checksum={}", sum("end", &secret))),
        Checksum::OfAnotherSecret => with(&format!("checksum={}", sum(&row.call, "another-secret"))),
        Checksum::OfNoSecret => with(&format!("checksum={}", sum(&row.call, ""))),
        Checksum::ThenAParameter => with(&format!("checksum={good}&added=1")),
    };
    let joint = if query.is_empty() { "" } else { "?" };
    let path = format!("/bigbluebutton/api/{}{joint}{query}", row.call);
    Sent { method: row.method.clone(), path, headers, body }
}

fn algorithm(algorithm: row::Algorithm) -> Algorithm {
    match algorithm {
        row::Algorithm::Sha1 => Algorithm::Sha1,
        row::Algorithm::Sha256 => Algorithm::Sha256,
        row::Algorithm::Sha384 => Algorithm::Sha384,
        row::Algorithm::Sha512 => Algorithm::Sha512,
    }
}

fn state_of(name: &str) -> RecordingState {
    match name {
        "processing" => RecordingState::Processing,
        "processed" => RecordingState::Processed,
        "published" => RecordingState::Published,
        "unpublished" => RecordingState::Unpublished,
        "deleted" => RecordingState::Deleted,
        other => panic!("no state of a recording: {other}"),
    }
}

/// The same digest with another first digit.
fn flip(sum: &str) -> String {
    let first = if sum.starts_with('0') { "1" } else { "0" };
    format!("{first}{}", &sum[1..])
}

impl Seen {
    /// A row that did not come as far as its request.
    fn nothing() -> Self {
        let nothing = String::new;
        Self { status: 0, form: None, returncode: nothing(), message_key: nothing(), message: nothing() }
    }

    fn new(reply: &Reply) -> Self {
        let errors = errors_of(reply);
        let form = form_of(reply, errors.is_some());
        let said = |name: &str| match form {
            Some(Form::Xml) => xml_text(&reply.body, name),
            Some(Form::Json) => json_text(&reply.body, name),
            _ => String::new(),
        };
        let (message_key, message) = errors.unwrap_or_else(|| (said("messageKey"), said("message")));
        Self { status: reply.status.as_u16(), form, returncode: said("returncode"), message_key, message }
    }
}

impl std::fmt::Display for Seen {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.status)?;
        let Some(form) = self.form else { return Ok(()) };
        write!(f, " {}", format!("{form:?}").to_lowercase())?;
        for said in [&self.returncode, &self.message_key].into_iter().filter(|said| !said.is_empty()) {
            write!(f, " {said}")?;
        }
        if self.message_key.is_empty() || ["checksumError", "validationError"].contains(&&*self.message_key) {
            let start: String = self.message.chars().take(32).collect();
            write!(f, " {start}")?;
        }
        Ok(())
    }
}

/// An answer for the report of a fault.
fn brief(reply: &Reply) -> String {
    let location = reply.header("location");
    let body: String = reply.body.chars().take(600).collect();
    format!("{} {} {location} {body}", reply.status, reply.header("content-type"))
}

/// The form of an answer; what HTTP itself refuses has none that anybody reads.
fn form_of(reply: &Reply, has_errors: bool) -> Option<Form> {
    let content_type = reply.header("content-type");
    if reply.status.is_client_error() || reply.status.is_server_error() {
        None
    } else if has_errors {
        Some(Form::Errors)
    } else if reply.status.is_redirection() {
        Some(Form::Redirect)
    } else if reply.body.is_empty() {
        Some(Form::Empty)
    } else if content_type.starts_with("text/xml") {
        Some(Form::Xml)
    } else if content_type.starts_with("application/json") {
        Some(Form::Json)
    } else if content_type.starts_with("text/html") {
        Some(Form::Page)
    } else {
        Some(Form::Text)
    }
}

/// Key and message of the `errors` that a refused join hangs on its redirect.
fn errors_of(reply: &Reply) -> Option<(String, String)> {
    let errors: Value = serde_json::from_str(&reply.location_param("errors")).ok()?;
    let of = |name: &str| errors[0][name].as_str().unwrap_or_default().to_owned();
    Some((of("key"), of("message")))
}

/// The text of the first element of a name, which may be empty.
fn xml_text(body: &str, name: &str) -> String {
    let text = crate::support::element(body, name);
    let text = text.replace("&lt;", "<").replace("&gt;", ">").replace("&quot;", "\"").replace("&apos;", "'");
    text.replace("&#39;", "'").replace("&amp;", "&")
}

/// The text of the first value of a name, at whatever depth.
fn json_text(body: &str, name: &str) -> String {
    fn first<'a>(value: &'a Value, name: &str) -> Option<&'a Value> {
        match value {
            Value::Object(fields) => fields.get(name).or_else(|| fields.values().find_map(|field| first(field, name))),
            Value::Array(items) => items.iter().find_map(|item| first(item, name)),
            _ => None,
        }
    }
    let body: Value = serde_json::from_str(body).unwrap_or_default();
    match first(&body, name) {
        None => String::new(),
        Some(Value::String(text)) => text.clone(),
        Some(other) => other.to_string(),
    }
}

/// What of an answer is not as it should be.
fn check(reply: &Reply, seen: &Seen, expect: &Expected, values: &Values) -> Result<(), String> {
    let same = |what: &str, have: &str, want: &str| {
        if have == want { Ok(()) } else { Err(format!("{what} is `{have}`, not `{want}`")) }
    };
    let want_form = match (expect.form, expect.status) {
        (Some(form), _) => Some(form),
        (None, Some(status)) if status >= 400 => None,
        (None, _) if expect.location.is_some() => Some(Form::Redirect),
        (None, _) => Some(Form::Xml),
    };
    let redirects = matches!(want_form, Some(Form::Redirect | Form::Errors));
    let want_status = expect.status.unwrap_or(if redirects { 302 } else { 200 });
    same("the status", &seen.status.to_string(), &want_status.to_string())?;
    same("the form", &format!("{:?}", seen.form), &format!("{want_form:?}"))?;
    if matches!(want_form, Some(Form::Xml | Form::Json)) {
        let failed = expect.message_key.as_ref().is_some_and(|key| !key.is_empty());
        let want = expect.returncode.as_deref().unwrap_or(if failed { "FAILED" } else { "SUCCESS" });
        same("the returncode", &seen.returncode, want)?;
    }
    for (what, have, want) in
        [("the messageKey", &seen.message_key, &expect.message_key), ("the message", &seen.message, &expect.message)]
    {
        if let Some(want) = want {
            same(what, have, &fill(want, values))?;
        }
    }
    for (name, want) in &expect.headers {
        let (have, want) = (reply.header(name), fill(want, values));
        if !have.contains(&want) {
            return Err(format!("the header {name} is `{have}`, without `{want}`"));
        }
    }
    for (name, want) in &expect.texts {
        let have =
            if want_form == Some(Form::Json) { json_text(&reply.body, name) } else { xml_text(&reply.body, name) };
        same(name, &have, &fill(want, values))?;
    }
    for want in expect.has.iter().map(|want| fill(want, values)) {
        if !reply.body.contains(&want) {
            return Err(format!("the body has no `{want}`"));
        }
    }
    for unwanted in expect.lacks.iter().map(|unwanted| fill(unwanted, values)) {
        if reply.body.contains(&unwanted) {
            return Err(format!("the body has `{unwanted}`"));
        }
    }
    if let Some(want) = &expect.location {
        let (have, want) = (reply.header("location"), fill(want, values));
        if !have.starts_with(&want) {
            return Err(format!("the location is `{have}`, it does not start with `{want}`"));
        }
    }
    Ok(())
}
