//! The calls with bodies that no checksum covers: `insertDocument`, whose documents go on to the server as they come and are
//! looked at as they pass, and `putRecordingTextTrack`.

use std::sync::{
    Arc, OnceLock,
    atomic::{AtomicU32, Ordering::Relaxed},
};

use bytes::Bytes;
use http::{
    HeaderValue, Method, Request,
    header::{CONTENT_LENGTH, CONTENT_TYPE},
};
use http_body::Body as _;
use http_body_util::{BodyExt, Limited};
use hyper::body::Incoming;
use quick_xml::escape::escape;
use tokio::time::timeout;

use super::{
    Unfit,
    read::{BODY_BYTES_MAX, mime_of},
    spec::Spec,
};
use crate::{
    bbb::{
        answer::{Failure, failed_plainly},
        checksum::{self, ChecksumError},
        client::{CALL_TIMEOUT, signed_address},
        documents::{Refused, Watch as Documents},
        params::may_fetch,
        query::Params,
        validate::about_a_meeting,
        xml,
    },
    domain::{
        denial::Denial,
        limits::Limit,
        tenant::{Server, Tenant},
    },
    live::Meeting,
    metrics::{Call, Outcome},
    proxy::{
        Gateway,
        answer::Answer,
        asked::{Asked, linger},
    },
    upstream::{Body, Watch},
};

/// An answer has some hundred bytes.
const ANSWER_BYTES_MAX: usize = 64 * 1024;

impl Gateway {
    /// Answers a call whose body nobody has signed.
    pub(super) async fn with_body(&self, asked: &Asked, spec: &Spec, body: Incoming) -> Answer {
        let mut body = Some(body);
        let answered = async {
            let query = self.signed_query(asked, spec)?;
            if spec.call == Call::InsertDocument {
                self.insert_document(asked, &query, &mut body).await
            } else {
                self.put_text_track(asked, &query, &mut body).await
            }
        };
        let answer = answered.await.unwrap_or_else(|unfit| self.unfit(spec, asked, unfit));
        if let Some(body) = body {
            linger(body);
        }
        answer
    }

    /// The query of a call that has been signed.
    fn signed_query(&self, asked: &Asked, spec: &Spec) -> Result<Params, Unfit> {
        let signer = checksum::verify(spec.name(), asked.query(), &asked.tenant.credentials, asked.now);
        let signer = signer.map_err(|error| match error {
            _ if spec.of_recordings => Failure::RECORDINGS_CHECKSUM,
            ChecksumError::Missing => Failure::CHECKSUM_MISSING,
            ChecksumError::Malformed | ChecksumError::Mismatch => Failure::CHECKSUM,
        })?;
        self.metrics.tenant(&asked.tenant.id).use_secret(&signer.secret.label, asked.now);
        Ok(Params::parse(asked.query().as_bytes()).map_err(|_| Failure::QUERY)?)
    }

    async fn insert_document(
        &self,
        asked: &Asked,
        query: &Params,
        body: &mut Option<Incoming>,
    ) -> Result<Answer, Unfit> {
        let call = Call::InsertDocument;
        let (mime, _) = mime_of(asked);
        let empty = body.as_ref().is_none_or(|body| body.is_end_stream());
        if !empty && !matches!(&*mime, "application/xml" | "text/xml") {
            return Err(Failure::CONTENT_TYPE.into());
        }
        let ext_id = about_a_meeting(query, Failure::NOT_FOUND)?;
        if empty {
            // BBB renders nothing (bbb.md 3.9).
            return Ok(Answer::xml(call, Outcome::Ok, String::new()));
        }
        let Some(meeting) = self.live.meeting(&asked.tenant.id, ext_id) else {
            let message = format!("Meeting with id [{ext_id}] not found.");
            return Ok(Answer::xml(call, Outcome::Refused, failed_plainly(&message)));
        };
        let server = asked.directory.server(meeting.server.as_str()).ok_or(Denial::ServerUnavailable)?;
        let (body, length) = sized(body)?;
        let mut params = Params::default();
        params.set("meetingID", &*meeting.server_id);
        let given = Arc::new(Given::new(&meeting));
        let watched = Body::Watched(body, watch(&asked.tenant, &given));
        let answer = self.send_body(server, "insertDocument", &params, watched, length).await;
        if let Some(refused) = given.refused.get() {
            return Err(Unfit::from(*refused));
        }
        let answer = answer.and_then(|body| xml::answer(&body, &asked.tenant.id, Some(ext_id)).ok());
        let outcome = match &answer {
            Some(answer) if answer.success => {
                given.keep();
                Outcome::Ok
            }
            _ => Outcome::Refused,
        };
        let answer = match answer {
            // The one answer that has an id in a sentence (bbb.md 3.9).
            Some(answer) => Answer::xml(call, outcome, answer.body.replace(&*meeting.server_id, &escape(ext_id))),
            None => Answer::denied(call, Denial::ServerUnavailable),
        };
        Ok(answer.by(&server.id))
    }

    /// Sends a call with a body that is streamed, and reads the answer whole. `None` where there is none.
    async fn send_body(
        &self,
        server: &Server,
        name: &'static str,
        params: &Params,
        body: Body,
        length: u64,
    ) -> Option<Bytes> {
        let mut request = Request::new(body);
        *request.method_mut() = Method::POST;
        *request.uri_mut() = signed_address(server, name, &params.encode())?;
        request.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/xml"));
        request.headers_mut().insert(CONTENT_LENGTH, HeaderValue::from(length));
        let answered = async {
            let response = self.pool.send(request).await.ok()?;
            Some(Limited::new(response.into_body(), ANSWER_BYTES_MAX).collect().await.ok()?.to_bytes())
        };
        timeout(CALL_TIMEOUT, answered).await.ok().flatten()
    }
}

/// A body with its length, which a server must be told.
fn sized(body: &mut Option<Incoming>) -> Result<(Incoming, u64), Unfit> {
    let length = body.as_ref().and_then(|body| body.size_hint().exact()).ok_or(Failure::BODY)?;
    if length > BODY_BYTES_MAX as u64 {
        return Err(Denial::TooLarge.into());
    }
    Ok((body.take().ok_or(Failure::BODY)?, length))
}

/// The documents that a body brings. They are counted as they pass, so that two bodies at a time share one limit, and given
/// back unless the server has taken them.
struct Given {
    meeting: Arc<Meeting>,
    documents: AtomicU32,
    refused: OnceLock<Refused>,
}

impl Given {
    fn new(meeting: &Arc<Meeting>) -> Self {
        Self { meeting: Arc::clone(meeting), documents: AtomicU32::new(0), refused: OnceLock::new() }
    }

    /// Counts one more, if the limit has room for it.
    fn add(&self, limit: Limit<u32>) -> Result<(), Refused> {
        let add = |have: u32| limit.has_room(have).then_some(have.saturating_add(1));
        self.meeting.documents.fetch_update(Relaxed, Relaxed, add).map_err(|_| Refused::TooMany)?;
        self.documents.fetch_add(1, Relaxed);
        Ok(())
    }

    fn keep(&self) {
        self.documents.store(0, Relaxed);
    }
}

impl Drop for Given {
    fn drop(&mut self) {
        self.meeting.documents.fetch_sub(self.documents.load(Relaxed), Relaxed);
    }
}

/// Looks at the documents of a body as they pass.
fn watch(tenant: &Arc<Tenant>, given: &Arc<Given>) -> Watch {
    let (tenant, given) = (Arc::clone(tenant), Arc::clone(given));
    let mut documents = Documents::default();
    Watch(Box::new(move |bytes| {
        let before = documents.documents();
        let passed = documents.pass(bytes, &|url| may_fetch(&tenant.rules, url));
        let counted = || (before..documents.documents()).try_for_each(|_| given.add(tenant.limits.documents));
        passed.and_then(|()| counted()).map_err(|why| {
            let _ = given.refused.set(why);
            why.into()
        })
    }))
}
