//! The calls that give a running meeting something: `sendChatMessage` and `insertDocument`.

use http::{
    HeaderValue, Method, Request,
    header::{CONTENT_LENGTH, CONTENT_TYPE},
};
use http_body::Body as _;
use http_body_util::{BodyExt, Limited};
use hyper::body::Incoming;
use tokio::time::timeout;

use super::{BODY_BYTES_MAX, Unfit, Verified, explain, meeting_id};
use crate::{
    bbb::{
        answer::{Failure, failed_plainly},
        checksum::{self, ChecksumError},
        client::{CALL_TIMEOUT, Call as ServerCall, signed_address},
        query::Params,
        xml,
    },
    domain::denial::Denial,
    metrics::{Call, Outcome},
    proxy::{
        Gateway,
        answer::Answer,
        asked::{Asked, linger},
    },
    upstream::Body,
};

/// An answer has some hundred bytes.
const ANSWER_BYTES_MAX: usize = 64 * 1024;

impl Gateway {
    /// Answers `sendChatMessage`.
    pub(super) async fn send_chat_message(&self, call: &Verified) -> Answer {
        let name = Call::SendChatMessage;
        let (tenant, directory) = (&call.asked.tenant, &call.asked.directory);
        let ext_id = match meeting_id(&call.params, Failure::MEETING_NOT_FOUND) {
            Ok(id) => id,
            Err(failure) => return Answer::failure(name, failure),
        };
        let units = call.params.get("message").map(crate::bbb::meeting_id::units);
        match units {
            None => return Answer::failure(name, Failure::MESSAGE_MISSING),
            Some(1..=500) => {}
            Some(_) => return Answer::failure(name, Failure::MESSAGE_SIZE),
        }
        let Some(meeting) = self.live.meeting(&tenant.id, ext_id) else {
            return Answer::failure(name, Failure::MEETING_NOT_FOUND);
        };
        let Some(server) = directory.server(meeting.server.as_str()) else {
            return Answer::denied_xml(name, Denial::ServerUnavailable);
        };
        let mut params = Params::default();
        params.set("meetingID", &*meeting.server_id);
        for known in ["message", "userName"] {
            if let Some(value) = call.params.get(known) {
                params.set(known, value);
            }
        }
        let reply = ServerCall::new("sendChatMessage", &params).send(&self.pool, server).await;
        let answer = reply.ok().and_then(|reply| xml::answer(&reply.body, &tenant.id, Some(ext_id)).ok());
        said(name, answer).by(&server.id)
    }

    /// Answers `insertDocument`: its body is streamed to the server, as it comes.
    pub(super) async fn insert_document(&self, asked: &Asked, body: Incoming) -> Answer {
        let name = Call::InsertDocument;
        match self.pass_document(asked, body).await {
            Ok(answer) => answer,
            Err(Unfit::Failure(failure)) => {
                if failure.key == Failure::CHECKSUM.key {
                    explain(asked, name.as_str());
                }
                Answer::failure(name, failure)
            }
            Err(Unfit::Denial(denial)) => Answer::denied_xml(name, denial),
        }
    }

    async fn pass_document(&self, asked: &Asked, body: Incoming) -> Result<Answer, Unfit> {
        let (length, ext_id) = match check_document(asked, &body) {
            Ok(checked) => checked,
            Err(unfit) => {
                linger(body);
                return Err(unfit);
            }
        };
        let Some(meeting) = self.live.meeting(&asked.tenant.id, &ext_id) else {
            linger(body);
            let message = format!("Meeting with id [{ext_id}] not found.");
            return Ok(Answer::xml(Call::InsertDocument, Outcome::Refused, failed_plainly(&message)));
        };
        let server = asked.directory.server(meeting.server.as_str()).ok_or(Denial::ServerUnavailable)?;
        let mut params = Params::default();
        params.set("meetingID", &*meeting.server_id);
        let address = signed_address(server, "insertDocument", &params.encode()).ok_or(Denial::ServerUnavailable)?;
        let mut request = Request::new(Body::Streamed(body));
        *request.method_mut() = Method::POST;
        *request.uri_mut() = address;
        request.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/xml"));
        request.headers_mut().insert(CONTENT_LENGTH, HeaderValue::from(length));
        let answered = async {
            let response = self.pool.send(request).await.ok()?;
            let body = Limited::new(response.into_body(), ANSWER_BYTES_MAX).collect().await.ok()?.to_bytes();
            xml::answer(&body, &asked.tenant.id, Some(&ext_id)).ok()
        };
        let answer = timeout(CALL_TIMEOUT, answered).await.ok().flatten();
        Ok(said(Call::InsertDocument, answer).by(&server.id))
    }
}

/// What can be said of an `insertDocument` before its meeting is looked for: the length of its body, and the meeting's id.
fn check_document(asked: &Asked, body: &Incoming) -> Result<(u64, String), Unfit> {
    checksum::verify("insertDocument", asked.query(), &asked.tenant.credentials).map_err(|error| match error {
        ChecksumError::Missing => Failure::CHECKSUM_MISSING,
        ChecksumError::Malformed | ChecksumError::Mismatch => Failure::CHECKSUM,
    })?;
    let content_type = asked.head.headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or("");
    let mime = content_type.split(';').next().unwrap_or("").trim();
    let is_xml = ["application/xml", "text/xml"].iter().any(|xml| mime.eq_ignore_ascii_case(xml));
    if asked.head.method != Method::POST || !is_xml {
        return Err(Failure::CONTENT_TYPE.into());
    }
    let length = body.size_hint().exact().ok_or(Failure::BODY)?;
    if length > BODY_BYTES_MAX as u64 {
        return Err(Denial::TooLarge.into());
    }
    let query = Params::parse(asked.query().as_bytes()).map_err(|_| Failure::QUERY)?;
    Ok((length, meeting_id(&query, Failure::NOT_FOUND)?.to_owned()))
}

/// What the server said, or that it did not.
fn said(call: Call, answer: Option<xml::Answer>) -> Answer {
    match answer {
        Some(answer) if answer.success => Answer::xml(call, Outcome::Ok, answer.body),
        Some(answer) => Answer::xml(call, Outcome::Refused, answer.body),
        None => Answer::denied_xml(call, Denial::ServerUnavailable),
    }
}
