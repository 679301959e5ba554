//! The API calls of integrations: read, verified, and handed to the call's own module.
//!
//! The order is BBB's: content type and checksum first, then the parameters, then what the call is about.

mod ask;
mod create;
mod join;
mod message;

use std::{sync::Arc, time::Duration};

use bytes::{Bytes, BytesMut};
use http::{Method, header::CONTENT_TYPE, request::Parts};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use tokio::time::timeout;

use super::{
    Gateway,
    answer::Answer,
    asked::{Asked, linger},
    pages::wants_page,
};
use crate::{
    bbb::{
        answer::Failure,
        checksum::{self, ChecksumError},
        meeting_id::{MEETING_ID_UNITS, units},
        query::Params,
        xml,
    },
    domain::{denial::Denial, tenant::Credential},
    metrics::Call,
};

/// The body of a call: what BBB's nginx takes is 1 MB, its documentation speaks of 2.
const BODY_BYTES_MAX: usize = 2 * 1024 * 1024;
/// Who takes longer than that for a body of this size holds a place for nothing.
const BODY_TIMEOUT: Duration = Duration::from_secs(30);

/// A call whose checksum fits.
#[derive(Debug)]
pub(crate) struct Verified {
    pub(crate) asked: Asked,
    /// The name of the credential that signed it.
    pub(crate) credential: Arc<str>,
    /// Query and form together.
    pub(crate) params: Params,
    /// The XML body of a `create`.
    pub(crate) modules: Option<String>,
}

/// Why a call is not acted on.
enum Unfit {
    Failure(Failure),
    Denial(Denial),
}

impl From<Failure> for Unfit {
    fn from(failure: Failure) -> Self {
        Self::Failure(failure)
    }
}

impl From<Denial> for Unfit {
    fn from(denial: Denial) -> Self {
        Self::Denial(denial)
    }
}

impl Gateway {
    /// Answers an API call by its name.
    pub(crate) async fn api(self: &Arc<Self>, asked: Asked, name: &str, body: Incoming) -> Answer {
        let Some((call, name)) = named(name) else {
            linger(body);
            return Answer::failure(Call::Unsupported, Failure::UNSUPPORTED);
        };
        if call == Call::InsertDocument {
            return self.insert_document(&asked, body).await;
        }
        let html = wants_page(&asked.head.headers);
        let verified = match verify(&asked, call, name, body).await {
            Ok((credential, params, modules)) => {
                Verified { credential: Arc::clone(&credential.name), params, modules, asked }
            }
            Err(unfit) => {
                if matches!(&unfit, Unfit::Failure(failure) if failure.key == Failure::CHECKSUM.key) {
                    explain(&asked, name);
                }
                return self.unfit(call, html, asked, unfit);
            }
        };
        match call {
            Call::Create => self.create(verified).await,
            Call::Join => self.join(verified).await,
            Call::GetMeetings => self.list(&verified).await,
            Call::End | Call::IsMeetingRunning | Call::GetMeetingInfo => self.ask(call, &verified).await,
            Call::SendChatMessage => self.send_chat_message(&verified).await,
            _ => Answer::failure(Call::Unsupported, Failure::UNSUPPORTED),
        }
    }

    /// A call that is not acted on. A person who follows a join link gets a page; no address of the query is gone to,
    /// since nobody vouches for it.
    fn unfit(&self, call: Call, html: bool, asked: Asked, unfit: Unfit) -> Answer {
        match unfit {
            Unfit::Failure(failure) if call == Call::Join && html => {
                self.join_page(&asked, failure.key, failure.message)
            }
            Unfit::Failure(failure) => Answer::failure(call, failure),
            Unfit::Denial(denial) => Answer::denied_xml(call, denial),
        }
    }
}

/// Tells the operator what is wrong with a checksum. What was hashed may hold names and passwords of a meeting: it is
/// told only to who asks for it (`ANTEROOM_LOG=checksum=debug`).
fn explain(asked: &Asked, name: &str) {
    let found = checksum::diagnose(name, asked.query(), &asked.tenant.credentials);
    let (tenant, algorithm, would_fit) = (&asked.tenant.id, found.algorithm, found.would_fit);
    tracing::warn!(target: "checksum", %tenant, call = name, algorithm, would_fit, "a checksum does not fit");
    tracing::debug!(target: "checksum", %tenant, call = name, hashed = found.hashed, "what was hashed");
}

/// The calls that are built, with their names as a static text.
fn named(name: &str) -> Option<(Call, &'static str)> {
    [
        Call::Create,
        Call::Join,
        Call::End,
        Call::IsMeetingRunning,
        Call::GetMeetingInfo,
        Call::GetMeetings,
        Call::SendChatMessage,
        Call::InsertDocument,
    ]
    .into_iter()
    .find(|call| call.as_str() == name)
    .map(|call| (call, call.as_str()))
}

/// A body as far as a call has one.
enum Sent {
    Nothing,
    Form(Bytes),
    Modules(Bytes),
}

async fn read_body(head: &Parts, call: Call, body: Incoming) -> Result<Sent, Unfit> {
    if head.method != Method::POST || http_body::Body::is_end_stream(&body) {
        return Ok(Sent::Nothing);
    }
    let body = match timeout(BODY_TIMEOUT, collect(body)).await {
        Ok(body) => body?,
        Err(_) => return Err(Failure::BODY.into()),
    };
    if body.is_empty() {
        return Ok(Sent::Nothing);
    }
    let content_type = head.headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or("");
    let mime = content_type.split(';').next().unwrap_or("").trim();
    if mime.eq_ignore_ascii_case("application/x-www-form-urlencoded") {
        Ok(Sent::Form(body))
    } else if call == Call::Create && ["application/xml", "text/xml"].iter().any(|xml| mime.eq_ignore_ascii_case(xml)) {
        Ok(Sent::Modules(body))
    } else {
        Err(Failure::CONTENT_TYPE.into())
    }
}

/// Reads a body whole; what is too large is not kept.
async fn collect(mut body: Incoming) -> Result<Bytes, Unfit> {
    let mut whole = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|_| Failure::BODY)?;
        let Some(data) = frame.data_ref() else { continue };
        if whole.len() + data.len() > BODY_BYTES_MAX {
            linger(body);
            return Err(Denial::TooLarge.into());
        }
        whole.extend_from_slice(data);
    }
    Ok(whole.freeze())
}

/// Verifies a call and reads all of it. A body is read for a caller who has shown the secret, or whose checksum can only
/// be there: some clients put all parameters into the form (bbb.md 2.3).
async fn verify<'a>(
    asked: &'a Asked,
    call: Call,
    name: &str,
    body: Incoming,
) -> Result<(&'a Credential, Params, Option<String>), Unfit> {
    let credentials = &asked.tenant.credentials;
    let in_query = checksum::verify(name, asked.query(), credentials);
    if let Err(ChecksumError::Malformed | ChecksumError::Mismatch) = in_query {
        linger(body);
        return Err(Failure::CHECKSUM.into());
    }
    let sent = read_body(&asked.head, call, body).await?;
    let mut params = Params::parse(asked.query().as_bytes()).map_err(|_| Failure::QUERY)?;
    params.remove("checksum");
    let mut modules = None;
    match sent {
        Sent::Nothing => {}
        Sent::Form(form) => params.extend(&form).map_err(|_| Failure::QUERY)?,
        Sent::Modules(body) => modules = Some(xml::clean_modules(&body).map_err(|_| Failure::MODULES)?),
    }
    let in_form = params.remove("checksum");
    let credential = match (in_query, in_form) {
        (Ok(credential), _) => credential,
        (Err(_), Some(sum)) => {
            checksum::verify_digest(name, asked.query(), &sum, credentials).map_err(|_| Failure::CHECKSUM)?
        }
        (Err(_), None) => return Err(Failure::CHECKSUM_MISSING.into()),
    };
    Ok((credential, params, modules))
}

/// The tenant's id of the meeting that a call is about, checked as BBB checks it; `missing` is what BBB says where there
/// is none.
fn meeting_id(params: &Params, missing: Failure) -> Result<&str, Failure> {
    let id = params.get("meetingID").ok_or(missing)?;
    if !MEETING_ID_UNITS.contains(&units(id)) {
        Err(Failure::MEETING_ID_SIZE)
    } else if id.contains(',') {
        Err(Failure::MEETING_ID_COMMA)
    } else {
        Ok(id)
    }
}
