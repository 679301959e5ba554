//! `/bigbluebutton/api/*`: reads a call, lets faults have their way, and hands it to the module that answers it.

use axum::body::{self, Body};
use axum::http::header::{ALLOW, CONTENT_TYPE, REFERER, USER_AGENT};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use axum::response::Response;
use bytes::Bytes;

use super::errors::{self, Violation};
use super::faults::CannedAnswer;
use super::hooks::calls;
use super::log::BODY_KEPT_BYTES_MAX;
use super::params::{self, Params};
use super::profile::Profile;
use super::user::Origin;
use super::{Shared, answer, broken, checksum, session};

mod create;
mod info;
mod join;
mod lobby;
mod recordings;
mod root;
pub(crate) mod session_calls;
mod small;
mod text_tracks;

/// The longest request line that nginx takes, by default.
const LINE_BYTES_MAX: usize = 8 * 1024;

/// The longest head that Tomcat takes, by default.
const HEAD_BYTES_MAX: usize = 8 * 1024;

const FORMS: &[&str] = &["application/x-www-form-urlencoded", "multipart/form-data"];
const XML: &[&str] = &["application/xml", "text/xml"];

/// One call, read as a whole.
struct Call {
    name: String,
    /// The raw query of the URL, without `?`.
    query: String,
    params: Params,
    is_post: bool,
    /// The `Content-Type` as it was sent, or nothing.
    content_type: String,
    /// The mime type of the body, in lower case; empty when none was sent.
    mime: String,
    body: Bytes,
    /// The `JSESSIONID`s that came along.
    http_sessions: Vec<String>,
    origin: Origin,
}

/// Answers a call; the empty name is the version call.
pub(crate) async fn call(name: &str, parts: Parts, body: Body, entry: u64, shared: &Shared) -> Response {
    if let Err(refusal) = head_fits(&parts) {
        return refusal;
    }
    let Ok(body) = body::to_bytes(body, shared.config.api_body_bytes_max).await else {
        return answer::page(StatusCode::PAYLOAD_TOO_LARGE);
    };
    shared.log.complete(entry, |received| {
        received.body_bytes = body.len() as u64;
        received.body = body[..body.len().min(BODY_KEPT_BYTES_MAX)].to_vec();
    });
    let delay = shared.faults.api_delay(name);
    if !delay.is_zero() {
        tokio::time::sleep(delay).await;
    }
    let response = match name.starts_with("hooks/") {
        true => hooks(name, &parts, shared),
        false => answer(name, &parts, body, shared),
    };
    match shared.faults.api_breakage(name) {
        Some(breakage) => broken::broken(breakage, response).await,
        None => response,
    }
}

/// Whether the head is short enough for the servers on the way to bbb-web.
fn head_fits(parts: &Parts) -> Result<(), Response> {
    let target = parts.uri.path_and_query().map_or(0, |target| target.as_str().len());
    let line = parts.method.as_str().len() + target + " HTTP/1.1\r\n".len() + 1;
    if LINE_BYTES_MAX < line {
        return Err(answer::page(StatusCode::URI_TOO_LONG));
    }
    let fields = parts.headers.iter().map(|(name, value)| name.as_str().len() + value.len() + ": \r\n".len());
    if HEAD_BYTES_MAX < line + fields.sum::<usize>() { Err(answer::page(StatusCode::BAD_REQUEST)) } else { Ok(()) }
}

fn answer(name: &str, parts: &Parts, body: Bytes, shared: &Shared) -> Response {
    if let Some(canned) = shared.faults.api_answer(name) {
        return canned_answer(canned);
    }
    let profile = &shared.config.profile;
    let allowed = methods(name, profile);
    if profile.knows(name) && !allowed.contains(&parts.method) {
        return wrong_method(allowed);
    }
    let call = Call::new(name, parts, body);
    match call.checksum_count(profile) {
        // A join is refused in its own way.
        Err(violation) if profile.knows(name) && !["", "join"].contains(&name) => answer::failed(&violation),
        _ => dispatch(&call, shared),
    }
}

/// Calls of another service.
fn hooks(name: &str, parts: &Parts, shared: &Shared) -> Response {
    match shared.faults.api_answer(name) {
        Some(canned) => canned_answer(canned),
        None => calls::answer(&parts.method, parts.uri.path(), parts.uri.query().unwrap_or_default(), shared),
    }
}

fn dispatch(call: &Call, shared: &Shared) -> Response {
    match call.name.as_str() {
        "" => root::version(call, shared),
        name if !shared.config.profile.knows(name) => answer::failed(&errors::UNKNOWN_CALL),
        "create" => create::create(call, shared),
        "join" => join::join(call, shared),
        "isMeetingRunning" => info::is_meeting_running(call, shared),
        "getMeetingInfo" => info::meeting_info(call, shared),
        "getMeetings" => info::meetings(call, shared),
        "getSessions" => info::sessions(call, shared),
        "end" => small::end(call, shared),
        "insertDocument" => small::insert_document(call, shared),
        "sendChatMessage" => small::send_chat_message(call, shared),
        "getRecordings" => recordings::list(call, shared),
        "publishRecordings" => recordings::publish(call, shared),
        "deleteRecordings" => recordings::delete(call, shared),
        "updateRecordings" => recordings::update(call, shared),
        "getRecordingTextTracks" => text_tracks::list(call, shared),
        "putRecordingTextTrack" => text_tracks::put(call, shared),
        "stuns" => session_calls::stuns(call, shared),
        "signOut" => session_calls::sign_out(call, shared),
        "getJoinUrl" => session_calls::join_url(call, shared),
        "learningDashboard" => session_calls::learning_dashboard(call, shared),
        "feedback" => session_calls::feedback(call, shared),
        "guestWait" => lobby::guest_wait(call, shared),
        "enter" => lobby::enter(call, shared),
        _ => answer::failed(&errors::UNKNOWN_CALL),
    }
}

fn methods(name: &str, profile: &Profile) -> &'static [Method] {
    match name {
        "join" if profile.joins_by_post => &[Method::GET, Method::HEAD, Method::POST],
        "join" | "sendChatMessage" | "publishRecordings" | "deleteRecordings" | "guestWait" | "enter" => {
            &[Method::GET, Method::HEAD]
        }
        "insertDocument" | "putRecordingTextTrack" | "feedback" => &[Method::POST],
        _ => &[Method::GET, Method::HEAD, Method::POST],
    }
}

fn wrong_method(allowed: &[Method]) -> Response {
    let mut response = answer::page(StatusCode::METHOD_NOT_ALLOWED);
    let names: Vec<&str> = allowed.iter().map(Method::as_str).collect();
    if let Ok(value) = HeaderValue::from_str(&names.join(", ")) {
        response.headers_mut().insert(ALLOW, value);
    }
    response
}

fn canned_answer(canned: CannedAnswer) -> Response {
    let mut response = Response::new(Body::from(canned.body));
    *response.status_mut() = StatusCode::from_u16(canned.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    if let Ok(value) = HeaderValue::from_str(&canned.content_type) {
        response.headers_mut().insert(CONTENT_TYPE, value);
    }
    response
}

impl Call {
    fn new(name: &str, parts: &Parts, body: Bytes) -> Self {
        let query = parts.uri.query().unwrap_or_default();
        let content_type = parts.headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
        let mime = content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
        let mut params = Params::parse(query);
        if parts.method == Method::POST {
            match mime.as_str() {
                "application/x-www-form-urlencoded" => params.extend(Params::parse(&String::from_utf8_lossy(&body))),
                "multipart/form-data" => params.extend(Params::parse_multipart(&body, content_type)),
                _ => {}
            }
        }
        Self {
            name: name.to_owned(),
            query: query.to_owned(),
            params,
            is_post: parts.method == Method::POST,
            content_type: content_type.to_owned(),
            mime,
            body,
            http_sessions: session::http_sessions(&parts.headers),
            origin: origin(&parts.headers),
        }
    }

    /// Validates the call: the checksum alone first, then all other rules at once, of which one breach is told.
    fn validate(
        &self,
        shared: &Shared,
        mimes: &[&[&str]],
        rules: impl FnOnce(&Params) -> Vec<Violation>,
    ) -> Result<(), Violation> {
        let profile = &shared.config.profile;
        self.checksum_count(profile)?;
        let is_rebuilt = profile.is_meteor() && self.query.is_empty();
        let signed = if is_rebuilt { checksum::rebuilt(&self.params) } else { self.query.clone() };
        checksum::check(&self.name, &signed, self.params.first("checksum"), &shared.config.secret)?;
        let mut violations = rules(&self.params);
        violations.extend(self.content_type(mimes, profile).err());
        errors::first(violations)
    }

    /// Whether it has no more checksums than the release takes, whether it reads them or not. The key is that of all faults of
    /// a checksum; the message of this one is not known.
    fn checksum_count(&self, profile: &Profile) -> Result<(), Violation> {
        let count = self.params.iter().filter(|(name, _)| *name == "checksum").count();
        if profile.checksums_max < count { Err(errors::CHECKSUM_WRONG) } else { Ok(()) }
    }

    /// Whether the body, if there is one, is of a kind that is read.
    fn content_type(&self, mimes: &[&[&str]], profile: &Profile) -> Result<(), Violation> {
        let is_whole = !profile.minds_charset || !self.content_type.contains("charset");
        let fits = is_whole && mimes.iter().any(|mimes| mimes.contains(&self.mime.as_str()));
        if self.is_post && !self.body.is_empty() && !fits { Err(errors::CONTENT_TYPE) } else { Ok(()) }
    }

    fn meeting_id(&self) -> &str {
        self.params.first("meetingID").unwrap_or_default()
    }
}

/// Where a call comes from, as nginx tells it.
fn origin(headers: &HeaderMap) -> Origin {
    let text = |name: HeaderName| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let forwarded = text(HeaderName::from_static("x-forwarded-for")).split(',').next().unwrap_or_default().trim();
    Origin {
        ip_address: if forwarded.is_empty() { "127.0.0.1" } else { forwarded }.to_owned(),
        user_agent: text(USER_AGENT).to_owned(),
        referer: text(REFERER).to_owned(),
    }
}

/// What is asked of a meeting id that was given; an absent one passes here.
fn id_rules(params: &Params) -> Vec<Violation> {
    let Some(id) = params.first("meetingID") else {
        return Vec::new();
    };
    let mut violations = Vec::new();
    if !(2..=256).contains(&params::length(id)) {
        violations.push(errors::ID_SIZE);
    }
    if id.contains(',') {
        violations.push(errors::ID_COMMA);
    }
    violations
}
