//! The calls with bodies that no checksum covers: `insertDocument`, whose documents go on to the server as they come and are
//! looked at as they pass, and `putRecordingTextTrack`.

use std::sync::{
    Arc, OnceLock,
    atomic::{AtomicU32, Ordering::Relaxed},
};

use http::HeaderValue;
use http_body::Body as _;
use quick_xml::escape::escape;

use super::{
    Unfit,
    read::{BODY_BYTES_MAX, mime_of},
    spec::Spec,
};
use crate::{
    bbb::{
        answer::{Failure, failed_plainly},
        checksum::{self, ChecksumError},
        client::{Call as ServerCall, CallError},
        documents::{Refused, Watch as Documents},
        params::may_fetch,
        query::Params,
        validate::about_a_meeting,
        xml,
    },
    domain::{denial::Denial, limits::Limit, tenant::Tenant},
    live::Meeting,
    metrics::{Call, Outcome},
    proxy::{Gateway, answer::Answer, asked::Asked},
    upstream::{Body, Incoming, Watch},
};

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
            Body::Streamed(body).linger();
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
        let Some(meeting) = self.meeting(&asked.tenant.id, ext_id).await? else {
            let message = format!("Meeting with id [{ext_id}] not found.");
            return Ok(Answer::xml(call, Outcome::Refused, failed_plainly(&message)));
        };
        let server = asked.directory.server(meeting.server.as_str()).ok_or(Denial::ServerUnavailable)?;
        let body = sized(body)?;
        let mut params = Params::default();
        params.set("meetingID", &*meeting.server_id);
        let given = Arc::new(Given::new(&meeting));
        let watched = Body::Watched(body, watch(&asked.tenant, &given));
        let mut to_server = ServerCall::new(call.as_str(), &params);
        to_server.body = Some((HeaderValue::from_static("application/xml"), watched));
        let reply = to_server.send(&self.pool, server).await;
        // A body that the gateway has broken off says nothing of the server.
        if let Some(refused) = given.refused.get() {
            return Err(Unfit::from(*refused));
        }
        let answer = reply
            .and_then(|reply| xml::answer(&reply.body, &asked.tenant.id, Some(ext_id)).map_err(|_| CallError::Broken));
        let answer = match answer {
            Ok(answer) => {
                if answer.success {
                    given.keep();
                }
                let outcome = if answer.success { Outcome::Ok } else { Outcome::Refused };
                // The one answer that has an id in a sentence (bbb.md 3.9).
                Answer::xml(call, outcome, answer.body.replace(&*meeting.server_id, &escape(ext_id)))
            }
            Err(error) => {
                self.came_to_nothing(call.as_str(), server, error);
                Answer::denied(call, error.denial())
            }
        };
        Ok(answer.by(&server.id))
    }
}

/// A body of a known length, which a server must be told.
fn sized(body: &mut Option<Incoming>) -> Result<Incoming, Unfit> {
    let length = body.as_ref().and_then(|body| body.size_hint().exact()).ok_or(Failure::BODY)?;
    if length > BODY_BYTES_MAX as u64 {
        return Err(Denial::TooLarge.into());
    }
    Ok(body.take().ok_or(Failure::BODY)?)
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
        let counted =
            || (before..documents.documents()).try_for_each(|_| given.add(given.meeting.limits(&tenant).documents));
        passed.and_then(|()| counted()).map_err(|why| {
            let _ = given.refused.set(why);
            why.into()
        })
    }))
}
