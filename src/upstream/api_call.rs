//! [`ApiCall`]: one call to the API of a BBB server, signed with its secret, bounded in time and size.

use std::{net::IpAddr, time::Duration};

use bytes::Bytes;
use http::{
    HeaderMap, HeaderValue, Method, Request, StatusCode, Uri,
    header::{ACCEPT_LANGUAGE, CONTENT_LENGTH, CONTENT_TYPE, COOKIE, REFERER, USER_AGENT},
};
use http_body::Body as _;
use tokio::time::timeout;

use super::{
    body::{Body, whole},
    pool::{Once, Pool},
};
use crate::{
    bbb::{
        checksum::sign,
        query::{Params, append_pair},
    },
    domain::{backend_error::BackendError, tenant::Server},
    net::{request_context::RequestContext, request_id::REQUEST_ID},
};

/// BBB's nginx gives bbb-web 60 s; a person or a program that has waited half of that has gone.
const CALL_TIMEOUT: Duration = Duration::from_secs(30);
/// `getMeetings` of a full server: some hundred meetings with their attendees, 400 bytes each.
const ANSWER_BYTES_MAX: usize = 16 * 1024 * 1024;
/// Servers take 8 KB of request line by default (nginx, Tomcat); what is longer goes into a form body.
const QUERY_BYTES_MAX: usize = 6 * 1024;
/// The calls that only ask: a server may get one twice where its connection closes under it. All others do something there, be
/// they sent as a GET or not: a `join` makes a session, each time.
const ONLY_ASKS: [&str; 7] = [
    "getMeetings",
    "getMeetingInfo",
    "getSessions",
    "isMeetingRunning",
    "getRecordings",
    "getRecordingTextTracks",
    "hooks/list",
];

/// What a server answered.
#[derive(Debug)]
pub struct Reply {
    /// 200 for all but a join that redirects.
    pub status: StatusCode,
    /// Its headers.
    pub headers: HeaderMap,
    /// Its body, whole.
    pub body: Bytes,
}

/// Whether a server says that it takes no request of this length.
fn is_too_long(status: StatusCode) -> bool {
    let lengths =
        [StatusCode::URI_TOO_LONG, StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE, StatusCode::PAYLOAD_TOO_LARGE];
    lengths.contains(&status)
}

/// A query with its checksum.
fn signed(server: &Server, name: &str, mut query: String) -> String {
    let checksum = sign(name, &query, &server.secret);
    if !query.is_empty() {
        query.push('&');
    }
    query.push_str("checksum=");
    query.push_str(&checksum);
    query
}

/// The address of a call on a server. `None` for a query that makes no address.
fn address(server: &Server, name: &str, query: &str) -> Option<Uri> {
    Uri::builder()
        .scheme(server.upstream.scheme.clone())
        .authority(server.upstream.authority.clone())
        .path_and_query(format!("/bigbluebutton/api/{name}?{query}"))
        .build()
        .ok()
}

/// What a server learns of the person or program that a call is made for. Nothing for a call that the gateway makes for itself,
/// or whose answer many get.
#[derive(Debug, Clone, Default)]
pub struct Caller {
    /// Their address.
    pub address: Option<IpAddr>,
    /// Their browser (`User-Agent`).
    pub user_agent: Option<HeaderValue>,
    /// Their languages (`Accept-Language`).
    pub languages: Option<HeaderValue>,
    /// The origin that they came from (`Referer`).
    pub referrer: Option<Referrer>,
}

/// The origin that somebody came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Referrer {
    /// Another site.
    Origin(HeaderValue),
    /// The tenant's own host, which a server does not learn: for it, they come from the server itself.
    OwnHost,
}

impl Referrer {
    fn value(self, server: &Server) -> Option<HeaderValue> {
        match self {
            Self::Origin(value) => Some(value),
            Self::OwnHost => {
                HeaderValue::try_from(format!("{}://{}/", server.upstream.scheme, server.upstream.authority)).ok()
            }
        }
    }
}

impl Caller {
    fn set(self, headers: &mut HeaderMap, server: &Server) -> Option<()> {
        if let Some(address) = self.address {
            headers.insert("x-forwarded-for", HeaderValue::from_str(&address.to_string()).ok()?);
        }
        let referrer = self.referrer.and_then(|referrer| referrer.value(server));
        for (name, value) in [(USER_AGENT, self.user_agent), (ACCEPT_LANGUAGE, self.languages), (REFERER, referrer)] {
            if let Some(value) = value {
                headers.insert(name, value);
            }
        }
        Some(())
    }
}

/// One call, ready to be sent.
#[derive(Debug)]
pub struct ApiCall<'a> {
    /// Its name, as in the path.
    pub name: &'static str,
    /// Its parameters.
    pub params: &'a Params,
    /// Its query as the server itself has made and signed it: it goes on byte for byte, in place of the parameters.
    pub signed: Option<&'a str>,
    /// GET, unless it has a body.
    pub method: Method,
    /// A body that no checksum covers, with its type: the modules of a `create`, documents, a text track. Its length must
    /// be known.
    pub body: Option<(HeaderValue, Body)>,
    /// Who it is made for, for the server's log and records.
    pub caller: Caller,
    /// The caller's cookies at this server: a browser that joins a second meeting keeps its first one.
    pub cookie: Option<HeaderValue>,
    /// How long it may take.
    pub timeout: Duration,
}

impl<'a> ApiCall<'a> {
    /// A call with the usual time-out and no body.
    #[must_use]
    pub fn new(name: &'static str, params: &'a Params) -> Self {
        Self {
            name,
            params,
            signed: None,
            method: Method::GET,
            body: None,
            caller: Caller::default(),
            cookie: None,
            timeout: CALL_TIMEOUT,
        }
    }

    /// Signs and sends the call, and reads its answer whole.
    ///
    /// # Errors
    /// See [`BackendError`].
    pub async fn send(self, pool: &Pool, server: &Server) -> Result<Reply, BackendError> {
        let limit = self.timeout;
        let request = self.request(server).ok_or(BackendError::Broken)?;
        let answered = async {
            let (head, body) = pool.send(request).await?.into_parts();
            if is_too_long(head.status) {
                return Err(BackendError::TooLong);
            }
            let body = whole(body, ANSWER_BYTES_MAX).await.ok_or(BackendError::Broken)?;
            Ok(Reply { status: head.status, headers: head.headers, body })
        };
        timeout(limit, answered).await.unwrap_or(Err(BackendError::Timeout))
    }

    fn request(self, server: &Server) -> Option<Request<Body>> {
        let (uri, form) = match self.signed {
            Some(query) => (address(server, self.name, query)?, None),
            None => {
                let (query, form) = self.split();
                (address(server, self.name, &signed(server, self.name, query))?, form)
            }
        };
        let form = form.map(|form| (HeaderValue::from_static("application/x-www-form-urlencoded"), Body::from(form)));
        let mut request = Request::new(Body::empty());
        *request.method_mut() = self.method;
        *request.uri_mut() = uri;
        if let Some((content_type, body)) = self.body.or(form) {
            *request.method_mut() = Method::POST;
            let headers = request.headers_mut();
            headers.insert(CONTENT_TYPE, content_type);
            headers.insert(CONTENT_LENGTH, HeaderValue::from(body.size_hint().exact()?));
            *request.body_mut() = body;
        }
        self.caller.set(request.headers_mut(), server)?;
        if let Some(cookie) = self.cookie {
            request.headers_mut().insert(COOKIE, cookie);
        }
        if let Some(id) = RequestContext::read(|context| context.request_id.to_value()) {
            request.headers_mut().insert(REQUEST_ID, id);
        }
        request.headers_mut().insert("x-forwarded-proto", HeaderValue::from_static("https"));
        if !ONLY_ASKS.contains(&self.name) {
            request.extensions_mut().insert(Once);
        }
        Some(request)
    }

    /// The signed query, and what is too long for it as a form.
    ///
    /// A body is not covered by the checksum, but a query that is not empty is all that is hashed, in 2.7 as in 3.0
    /// (docs/reference/bbb-protocol.md, "POST bodies"). With another body everything stays in the query, and so it does for the calls that are GET only.
    fn split(&self) -> (String, Option<String>) {
        let whole = self.params.encode();
        let takes_form = matches!(self.name, "create" | "getRecordings" | "updateRecordings");
        if whole.len() <= QUERY_BYTES_MAX || self.body.is_some() || !takes_form {
            return (whole, None);
        }
        let mut by_size: Vec<_> = self.params.iter().collect();
        by_size.sort_by_key(|(name, value)| name.len().saturating_add(value.len()));
        let (mut query, mut form) = (String::new(), String::new());
        for (name, value) in by_size {
            let longest = query.len().saturating_add(name.len()).saturating_add(value.len().saturating_mul(3));
            let fits = longest < QUERY_BYTES_MAX / 2;
            append_pair(if fits { &mut query } else { &mut form }, name, value);
        }
        (query, Some(form))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::fixtures::server;

    fn params(welcome: &str) -> Params {
        let mut params = Params::default();
        params.set("welcome", welcome);
        params.set("meetingID", "t.wagtail.room");
        params
    }

    #[test]
    fn a_short_call_is_a_get() {
        let params = params("hello");
        let request = ApiCall::new("create", &params).request(&server("a", "members")).expect("legal");
        assert_eq!(request.method(), Method::GET);
        assert!(request.uri().to_string().starts_with(
            "https://a.internal.test/bigbluebutton/api/create?welcome=hello&meetingID=t.wagtail.room&checksum="
        ));
    }

    #[test]
    fn only_a_question_may_reach_a_server_twice() {
        let params = params("hello");
        for (name, once) in [("getMeetings", false), ("create", true), ("join", true), ("sendChatMessage", true)] {
            let request = ApiCall::new(name, &params).request(&server("a", "members")).expect("legal");
            assert_eq!(request.extensions().get::<Once>().is_some(), once, "{name}");
        }
    }

    #[test]
    fn a_server_does_not_learn_the_tenants_host() {
        let (params, server) = (params("hello"), server("a", "members"));
        let elsewhere = HeaderValue::from_static("https://moodle.example/");
        for (referrer, told) in [
            (Some(Referrer::OwnHost), Some("https://a.internal.test/")),
            (Some(Referrer::Origin(elsewhere)), Some("https://moodle.example/")),
            (None, None),
        ] {
            let caller = Caller { referrer, ..Caller::default() };
            let request = ApiCall { caller, ..ApiCall::new("join", &params) }.request(&server).expect("legal");
            assert_eq!(request.headers().get(REFERER).and_then(|value| value.to_str().ok()), told);
        }
    }

    #[test]
    fn what_the_server_has_signed_goes_on_byte_for_byte() {
        let (params, query) = (params("hello"), "fullName=A%20b+c&x=%7e&checksum=F00");
        let call = ApiCall { signed: Some(query), ..ApiCall::new("join", &params) };
        let request = call.request(&server("a", "members")).expect("legal");
        assert_eq!(request.uri().to_string(), format!("https://a.internal.test/bigbluebutton/api/join?{query}"));
    }

    #[test]
    fn a_long_value_goes_into_the_body() {
        let params = params(&"ü".repeat(8000));
        let request = ApiCall::new("create", &params).request(&server("a", "members")).expect("legal");
        assert_eq!(request.method(), Method::POST);
        assert!(request.uri().query().is_some_and(|q| q.starts_with("meetingID=t.wagtail.room&checksum=")));
        assert_eq!(request.headers()[CONTENT_TYPE], "application/x-www-form-urlencoded");
    }
}
