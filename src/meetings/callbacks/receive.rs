//! A server calls back: what it says is verified and written down. It is answered only then, since most of its calls are made
//! once.

use std::time::Duration;

use aws_lc_rs::digest::{SHA256, digest};
use bytes::Bytes;
use serde_json::Value;
use tokio::time::Instant;

use super::Code;
use crate::{
    bbb::{
        callback::{Claims, Signed, is_about, replace, verify},
        meeting_id,
    },
    domain::{
        callback::{ENDED, Form, PATH, TRIED_FOR, is_ended},
        denial::Denial,
        directory::Directory,
        ids::TenantId,
        tenant::{Server, Tenant},
    },
    meetings::Meetings,
    metrics::CallbackEvent,
    net::peer::Peer,
    store::{CallbackAddress, Kept, MeetingRow, NewCallback},
};

/// How long a call waits for a store that does not answer: most are made once. Servers wait for a minute.
const STORE_TIMEOUT: Duration = Duration::from_secs(30);
/// Between two tries.
const STORE_INTERVAL: Duration = Duration::from_secs(1);

/// What a server has sent.
#[derive(Debug)]
pub(crate) enum Said {
    /// A meeting has ended, with marks for a recording or without.
    Ended {
        /// Its id on the server, as it says.
        meeting_id: String,
        /// Whether somebody has pressed the record button.
        marks: bool,
    },
    /// A form with this JWT.
    Parameters(String),
    /// JSON, and the JWT that was its bearer.
    Json {
        /// The JWT.
        bearer: String,
        /// The JSON.
        body: Bytes,
    },
}

/// What goes on, and how.
struct Verified {
    form: Form,
    algorithm: String,
    content: Vec<u8>,
    body: Value,
}

/// Whether a server has signed this JWT, whichever it is: asked before anything is looked up or held for it.
pub(crate) fn is_of_a_server(directory: &Directory, token: &str) -> bool {
    directory.servers().any(|server| verify(token, &server.secret).is_some())
}

/// Takes in a call for a code of this tenant and kind, from an address. Returns whether it is one that can be read and that the
/// server of the meeting has signed; if not, nothing is written down.
///
/// # Errors
/// [`Denial::NotFound`] where no meeting has this code, or it is not about that meeting; [`Denial::Overloaded`] where the tenant has
/// too many that wait; [`Denial::StoreUnavailable`] where the store fails, or too many ask it.
pub(crate) async fn receive(
    meetings: &Meetings,
    (directory, tenant, peer): (&Directory, &Tenant, Peer),
    (kind, code): (&str, Code),
    said: &Said,
) -> Result<bool, Denial> {
    let begun = Instant::now();
    loop {
        let received = try_receive(meetings, (directory, tenant, peer), (kind, code), said).await;
        match received {
            Err(Denial::StoreUnavailable) if begun.elapsed() < STORE_TIMEOUT => {
                tokio::time::sleep(STORE_INTERVAL).await;
            }
            Ok(true) => {
                meetings.metrics.tenant(&tenant.id).callbacks.count(CallbackEvent::Received);
                meetings.callbacks.wake.notify_one();
                return Ok(true);
            }
            refused => return refused,
        }
    }
}

async fn try_receive(
    meetings: &Meetings,
    (directory, tenant, peer): (&Directory, &Tenant, Peer),
    (kind, code): (&str, Code),
    said: &Said,
) -> Result<bool, Denial> {
    let (meeting, addresses) = find(meetings, (&tenant.id, peer), code).await?;
    let Some(server) = directory.server(meeting.server.as_str()) else { return Ok(false) };
    let server_id = meeting_id::to_server(&tenant.id, meeting.ext_id.as_str());
    let Some(said) = verified(said, server, &server_id)? else { return Ok(false) };
    let own = format!("{PATH}{kind}/{}", meetings.callbacks.codes.write(&tenant.id, kind, &code));
    let to = addresses.iter().filter(|address| is_of_kind(address, kind));
    let to: Vec<_> =
        to.map(|address| (address, for_tenant(&said.body, &meeting, (&server_id, &own), address))).collect();
    let to: Vec<_> = to.iter().map(|(address, body)| (*address, body.as_str())).collect();
    let now = meetings.clock.now();
    let new = NewCallback {
        form: said.form,
        algorithm: &said.algorithm,
        content: &said.content,
        now,
        try_until: now.saturating_add(TRIED_FOR),
    };
    match meetings.store.callbacks().add(&meeting, &new, &to).await {
        Ok(Kept::Yes) => Ok(true),
        Ok(Kept::Full) => {
            tracing::warn!(tenant = %tenant.id, "callback refused: too many of its tenant wait for their receivers");
            Err(Denial::Overloaded)
        }
        Err(error) => Err(error.into()),
    }
}

/// The meeting of a code, and its addresses.
async fn find(
    meetings: &Meetings,
    account: (&TenantId, Peer),
    code: Code,
) -> Result<(MeetingRow, Vec<CallbackAddress>), Denial> {
    // Without a turn it is tried again, like without a store.
    let _turn = meetings.finding.turn(account).await.map_err(|_| Denial::StoreUnavailable)?;
    let found = meetings.store.callbacks().addresses(code.as_bytes()).await?;
    found.filter(|(meeting, _)| meeting.tenant == *account.0).ok_or(Denial::NotFound)
}

/// What a server says of this meeting of its. `None` where it has not signed it, or it is nothing that can be read.
fn verified(said: &Said, server: &Server, server_id: &str) -> Result<Option<Verified>, Denial> {
    match said {
        // Known by its code alone: BBB signs it not.
        Said::Ended { meeting_id, marks } if meeting_id == server_id => {
            let body = Value::Bool(*marks);
            Ok(Some(Verified { form: Form::Ended, algorithm: String::new(), content: Vec::new(), body }))
        }
        Said::Ended { .. } => Err(Denial::NotFound),
        Said::Parameters(token) => {
            let Some(Signed { algorithm, claims }) = verify(token, &server.secret) else { return Ok(None) };
            about(&claims, server_id)?;
            let content = digest(&SHA256, Value::Object(claims.clone()).to_string().as_bytes()).as_ref().to_vec();
            Ok(Some(Verified { form: Form::Parameters, algorithm, content, body: Value::Object(claims) }))
        }
        Said::Json { bearer, body } => {
            let Some(Signed { algorithm, .. }) = verify(bearer, &server.secret) else { return Ok(None) };
            let Ok(json) = serde_json::from_slice::<Value>(body) else { return Ok(None) };
            json.as_object().map_or(Ok(()), |claims| about(claims, server_id))?;
            let content = digest(&SHA256, body).as_ref().to_vec();
            Ok(Some(Verified { form: Form::Json, algorithm, content, body: json }))
        }
    }
}

fn about(said: &Claims, server_id: &str) -> Result<(), Denial> {
    if is_about(said, server_id) { Ok(()) } else { Err(Denial::NotFound) }
}

fn is_of_kind(address: &CallbackAddress, kind: &str) -> bool {
    if is_ended(kind) {
        return ENDED.contains(&&*address.parameter);
    }
    address.parameter.strip_prefix("meta_") == Some(kind)
}

/// What the tenant gets of it: with its own id of the meeting, and its own address in the place of the gateway's.
fn for_tenant(said: &Value, meeting: &MeetingRow, (server_id, own): (&str, &str), address: &CallbackAddress) -> String {
    let mut body = said.clone();
    replace(&mut body, &|text| match text {
        _ if text == server_id => Some(meeting.ext_id.as_str().to_owned()),
        _ if text.ends_with(own) => Some(address.url.clone()),
        _ => None,
    });
    body.to_string()
}
