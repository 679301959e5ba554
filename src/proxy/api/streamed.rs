//! The calls whose bodies go on to the server as they come: `insertDocument` and `putRecordingTextTrack`. What no checksum
//! covers is looked at as it passes.

use std::sync::{Arc, OnceLock, atomic::Ordering::Relaxed};

use bytes::Bytes;
use http::{
    HeaderValue, Method, Request,
    header::{CONTENT_LENGTH, CONTENT_TYPE},
};
use http_body::Body as _;
use http_body_util::{BodyExt, Limited};
use hyper::body::Incoming;
use serde_json::{Value, json};
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
        tenant::{Server, Tenant},
    },
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
    /// Answers a call whose body is streamed.
    pub(super) async fn streamed(&self, asked: &Asked, spec: &Spec, body: Incoming) -> Answer {
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
        if !asked.tenant.limits.documents.has_room(meeting.documents.fetch_add(1, Relaxed)) {
            linger(body);
            return Err(Denial::DocumentLimitReached.into());
        }
        let mut params = Params::default();
        params.set("meetingID", &*meeting.server_id);
        let refused = Arc::new(OnceLock::new());
        let watched = Body::Watched(body, watch(&asked.tenant, Arc::clone(&refused)));
        let content_type = HeaderValue::from_static("application/xml");
        let answer = self.send_body(server, "insertDocument", &params, watched, length, content_type).await;
        if let Some(refused) = refused.get() {
            return Err(Unfit::from(*refused));
        }
        let answer = answer.and_then(|body| xml::answer(&body, &asked.tenant.id, Some(ext_id)).ok());
        let answer = match answer {
            Some(answer) if answer.success => Answer::xml(call, Outcome::Ok, answer.body),
            Some(answer) => Answer::xml(call, Outcome::Refused, answer.body),
            None => Answer::denied(call, Denial::ServerUnavailable),
        };
        Ok(answer.by(&server.id))
    }

    /// Answers `putRecordingTextTrack`, whose parameters stand in the query (bbb.md 3.11).
    async fn put_text_track(
        &self,
        asked: &Asked,
        query: &Params,
        body: &mut Option<Incoming>,
    ) -> Result<Answer, Unfit> {
        let call = Call::PutRecordingTextTrack;
        let refuse = |key: &str, message: String| Ok(Answer::failed(call, Outcome::Refused, key, &message));
        for name in ["recordID", "kind", "lang", "label"] {
            if query.get(name).is_none_or(str::is_empty) {
                return refuse("paramError", format!("Missing param {name}."));
            }
        }
        let record_id = query.get("recordID").unwrap_or_default();
        let Some(recording) = self.live.recordings.get(&asked.tenant.id, record_id) else {
            return refuse("noRecordings", format!("No recording was found for {record_id}"));
        };
        let (mime, header) = mime_of(asked);
        if mime != "multipart/form-data" {
            return Err(Failure::CONTENT_TYPE.into());
        }
        let content_type = HeaderValue::from_str(header).map_err(|_| Failure::CONTENT_TYPE)?;
        let server = asked.directory.server(recording.server.as_str()).ok_or(Denial::ServerUnavailable)?;
        let (body, length) = sized(body)?;
        let mut params = Params::default();
        for name in ["recordID", "kind", "lang", "label"] {
            params.set(name, query.get(name).unwrap_or_default());
        }
        let body = Body::Streamed(body);
        let answer = self.send_body(server, "putRecordingTextTrack", &params, body, length, content_type).await;
        let json = answer.and_then(|body| serde_json::from_slice::<Value>(&body).ok());
        let answer = match json {
            Some(json) if json["response"]["returncode"] == json!("SUCCESS") => Answer::json(call, Outcome::Ok, &json),
            Some(json) if json["response"]["returncode"].is_string() => Answer::json(call, Outcome::Refused, &json),
            _ => Answer::denied(call, Denial::ServerUnavailable),
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
        content_type: HeaderValue,
    ) -> Option<Bytes> {
        let mut request = Request::new(body);
        *request.method_mut() = Method::POST;
        *request.uri_mut() = signed_address(server, name, &params.encode())?;
        request.headers_mut().insert(CONTENT_TYPE, content_type);
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

/// Looks at the documents of a body, and leaves in `refused` what is wrong with them.
fn watch(tenant: &Arc<Tenant>, refused: Arc<OnceLock<Refused>>) -> Watch {
    let mut documents = Documents::default();
    let tenant = Arc::clone(tenant);
    Watch(Box::new(move |bytes| {
        documents.pass(bytes, &|url| may_fetch(&tenant.rules, url)).map_err(|why| {
            let _ = refused.set(why);
            why.into()
        })
    }))
}
