//! The calls with bodies that no checksum covers: `insertDocument`, which is held whole until all of its documents have been looked
//! at, and `putRecordingTextTrack`.

use std::{cell::RefCell, sync::atomic::Ordering::Relaxed};

use http::HeaderValue;
use quick_xml::escape::escape;

use super::{Unfit, read::mime_of, spec::Spec};
use crate::{
    bbb::{
        answer::{Failure, failed_plainly},
        checksum::{self, ChecksumError},
        client::{Call as ServerCall, CallError},
        documents::{Refused, Watch as Documents},
        params::{is_checked, may_fetch},
        query::Params,
        validate::about_a_meeting,
        xml,
    },
    domain::{denial::Denial, limits::Limit, tenant::Tenant},
    live::Meeting,
    metrics::{Call, Outcome},
    proxy::{
        Gateway,
        answer::Answer,
        asked::Asked,
        held::{FIRST_BYTES_TIMEOUT, Unread, Whole},
    },
    upstream::Incoming,
};

impl Gateway {
    /// Answers a call whose body nobody has signed.
    pub(super) async fn with_body(&self, asked: &Asked, spec: &Spec, body: Incoming) -> Answer {
        let answered = async {
            let query = self.signed_query(asked, spec)?;
            if spec.call == Call::InsertDocument {
                self.insert_document(asked, &query, body).await
            } else {
                self.put_text_track(asked, &query, body).await
            }
        };
        answered.await.unwrap_or_else(|unfit| self.unfit(spec, asked, unfit))
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

    async fn insert_document(&self, asked: &Asked, query: &Params, mut body: Incoming) -> Result<Answer, Unfit> {
        let call = Call::InsertDocument;
        let (mime, _) = mime_of(asked);
        let has_body = body.has_any(FIRST_BYTES_TIMEOUT).await.map_err(Unread::from)?;
        if has_body && !matches!(&*mime, "application/xml" | "text/xml") {
            return Err(Failure::CONTENT_TYPE.into());
        }
        let ext_id = about_a_meeting(query, Failure::NOT_FOUND)?;
        if !has_body {
            // BBB renders nothing (docs/reference/bbb-protocol.md, "Answer of insertDocument").
            return Ok(Answer::xml(call, Outcome::Ok, String::new()));
        }
        let Some(meeting) = self.meeting(asked.account(), ext_id).await? else {
            let message = format!("Meeting with id [{ext_id}] not found.");
            return Ok(Answer::xml(call, Outcome::Refused, failed_plainly(&message)));
        };
        let server = asked.directory.server(meeting.server.as_str()).ok_or(Denial::ServerUnavailable)?;
        let most = asked.tenant.limits.body;
        // Charged until it is answered.
        let Whole { bytes: body, charge: _charge } = self.bodies.read(asked, body, most as usize, true).await?;
        let found = Found::read(&body, &asked.tenant)?;
        self.names.check(&found.addresses, &asked.tenant.hosts).await?;
        let given = Given::take(&meeting, found.documents, meeting.limits(&asked.tenant).documents)?;
        let mut params = Params::default();
        params.set("meetingID", &*meeting.server_id);
        let mut to_server = ServerCall::new(call.as_str(), &params);
        to_server.caller = asked.caller(server);
        to_server.body = Some((HeaderValue::from_static("application/xml"), body.into()));
        let reply = to_server.send(&self.pool, server).await;
        let answer = reply
            .and_then(|reply| xml::answer(&reply.body, &asked.tenant.id, Some(ext_id)).map_err(|_| CallError::Broken));
        let answer = match answer {
            Ok(answer) => {
                if answer.success {
                    given.keep();
                }
                let outcome = if answer.success { Outcome::Ok } else { Outcome::Refused };
                // The one answer that has an id in a sentence
                // (docs/reference/bbb-protocol.md, "Answer of insertDocument").
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

/// What a body brings.
pub(super) struct Found {
    pub(super) documents: u32,
    /// The addresses that the server is to fetch and that are to be public.
    pub(super) addresses: Vec<String>,
}

impl Found {
    /// Looks through a body.
    pub(super) fn read(body: &[u8], tenant: &Tenant) -> Result<Self, Refused> {
        let addresses = RefCell::new(Vec::new());
        let mut documents = Documents::default();
        documents.pass(body, &|url| {
            addresses.borrow_mut().push(url.to_owned());
            may_fetch(&tenant.rules, url)
        })?;
        let mut addresses = addresses.into_inner();
        if !is_checked(&tenant.rules) {
            addresses.clear();
        }
        Ok(Self { documents: documents.documents(), addresses })
    }
}

/// Documents that a meeting is given: counted at once, so that two bodies at a time share one limit, and given back unless the
/// server has taken them.
struct Given<'a> {
    meeting: &'a Meeting,
    documents: u32,
}

impl<'a> Given<'a> {
    fn take(meeting: &'a Meeting, documents: u32, limit: Limit<u32>) -> Result<Self, Refused> {
        let last = documents.saturating_sub(1);
        let add = |have: u32| {
            let fits = documents == 0 || limit.has_room(have.saturating_add(last));
            fits.then_some(have.saturating_add(documents))
        };
        meeting.documents.fetch_update(Relaxed, Relaxed, add).map_err(|_| Refused::TooMany)?;
        Ok(Self { meeting, documents })
    }

    fn keep(mut self) {
        self.documents = 0;
    }
}

impl Drop for Given<'_> {
    fn drop(&mut self) {
        self.meeting.documents.fetch_sub(self.documents, Relaxed);
    }
}
