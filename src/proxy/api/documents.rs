//! `insertDocument`, whose body no checksum covers: it is held whole until all of its documents have been looked at.

use std::{cell::RefCell, sync::Arc};

use http::HeaderValue;
use quick_xml::escape::escape;
use tracing::Instrument as _;

use super::{addressed::Addressed, read::mime_of};
use crate::{
    bbb::{
        answer::{Failure, failed_plainly},
        documents::Watch as Documents,
        params::{is_checked, may_fetch},
        query::Params,
        validate::about_a_meeting,
    },
    domain::{denial::Denial, tenant::Tenant},
    meetings::documents::Given,
    metrics::{Call, Outcome},
    proxy::{
        answer::Answer,
        asked::Asked,
        gateway::Gateway,
        held::{FIRST_BYTES_TIMEOUT, Whole},
    },
    upstream::{ApiCall, Incoming},
};

/// Answers `insertDocument`.
pub(super) async fn insert_document(
    gateway: &Gateway,
    asked: &Asked,
    query: &Params,
    mut body: Incoming,
) -> Result<Answer, Failure> {
    let call = Call::InsertDocument;
    let (mime, _) = mime_of(asked);
    let has_body = body.has_any(FIRST_BYTES_TIMEOUT).await?;
    if has_body && !matches!(&*mime, "application/xml" | "text/xml") {
        return Err(Failure::CONTENT_TYPE);
    }
    let ext_id = about_a_meeting(query, Failure::NOT_FOUND)?;
    if !has_body {
        // BBB renders nothing (docs/reference/bbb-protocol.md, "Answer of insertDocument").
        return Ok(Answer::xml(call, Outcome::Ok, String::new()));
    }
    let Some(to) = Addressed::find(gateway, asked, ext_id).await? else {
        let message = format!("Meeting with id [{ext_id}] not found.");
        return Ok(Answer::xml(call, Outcome::Refused, failed_plainly(&message)));
    };
    let meeting = &to.meeting;
    let server = asked.directory.server(meeting.server.as_str()).ok_or(Denial::ServerUnavailable)?;
    let most = asked.tenant.limits.body;
    let Whole { bytes: body, charge } = gateway.bodies.read(asked, body, most as usize, true).await?;
    let found = Found::read(&body, &asked.tenant)?;
    gateway.names.check(&found.addresses, &asked.tenant.hosts).await?;
    let given = Given::take(meeting, found.documents, meeting.limits(&asked.tenant).documents)?;
    let mut params = Params::default();
    params.set("meetingID", to.server_id());
    let (meetings, caller, at) = (Arc::clone(&gateway.meetings), asked.caller(), Arc::clone(server));
    let (tenant, id) = (asked.tenant.id.clone(), ext_id.to_owned());
    // On its own, so that the documents are counted though the caller goes away. The body is charged for until then.
    let sent = async move {
        let mut to_server = ApiCall::new(call.as_str(), &params);
        to_server.caller = caller;
        to_server.body = Some((HeaderValue::from_static("application/xml"), body.into()));
        let answer = meetings.backends.call_xml(to_server, &at, &tenant, Some(&id)).await;
        if answer.as_ref().is_ok_and(|answer| answer.success) {
            given.keep();
        }
        drop(charge);
        answer
    };
    let sent = tokio::spawn(asked.context().scope(Box::pin(sent.in_current_span())));
    let answer = match sent.await.map_err(|_| Denial::ServerUnavailable)? {
        Ok(answer) => {
            let outcome = if answer.success { Outcome::Ok } else { Outcome::Refused };
            // The one answer that has an id in a sentence
            // (docs/reference/bbb-protocol.md, "Answer of insertDocument").
            Answer::xml(call, outcome, answer.body.replace(to.server_id(), &escape(ext_id)))
        }
        Err(error) => Answer::denied(call, error.denial()),
    };
    Ok(answer.by(&server.id))
}

/// What a body brings.
pub(super) struct Found {
    pub(super) documents: u32,
    /// The addresses that the server is to fetch and that are to be public.
    pub(super) addresses: Vec<String>,
}

impl Found {
    /// Looks through a body.
    pub(super) fn read(body: &[u8], tenant: &Tenant) -> Result<Self, Failure> {
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
