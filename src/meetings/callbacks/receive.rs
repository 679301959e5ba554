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

/// Why it is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refused {
    /// No meeting has this code, or it is not about that meeting.
    Unknown,
    /// Its server has not signed it, or it is nothing that can be read.
    Unsigned,
    /// The tenant has too many that wait.
    Full,
    /// The store fails, or too many ask it.
    Store,
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

/// Takes in a call for a code of this tenant and kind, from an address.
pub(crate) async fn receive(
    meetings: &Meetings,
    (directory, tenant, peer): (&Directory, &Tenant, Peer),
    (kind, code): (&str, Code),
    said: &Said,
) -> Result<(), Refused> {
    let begun = Instant::now();
    loop {
        let received = try_receive(meetings, (directory, tenant, peer), (kind, code), said).await;
        match received {
            Err(Refused::Store) if begun.elapsed() < STORE_TIMEOUT => tokio::time::sleep(STORE_INTERVAL).await,
            Err(refused) => return Err(refused),
            Ok(()) => {
                meetings.metrics.tenant(&tenant.id).count_callback(CallbackEvent::Received);
                meetings.callbacks.wake.notify_one();
                return Ok(());
            }
        }
    }
}

async fn try_receive(
    meetings: &Meetings,
    (directory, tenant, peer): (&Directory, &Tenant, Peer),
    (kind, code): (&str, Code),
    said: &Said,
) -> Result<(), Refused> {
    let (meeting, addresses) = find(meetings, (&tenant.id, peer), code).await?;
    let server = directory.server(meeting.server.as_str()).ok_or(Refused::Unsigned)?;
    let server_id = meeting_id::to_server(&tenant.id, meeting.ext_id.as_str());
    let said = verified(said, server, &server_id)?;
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
        Ok(Kept::Yes) => Ok(()),
        Ok(Kept::Full) => {
            tracing::warn!(tenant = %tenant.id, "callback refused: too many of its tenant wait for their receivers");
            Err(Refused::Full)
        }
        Err(_) => Err(Refused::Store),
    }
}

/// The meeting of a code, and its addresses.
async fn find(
    meetings: &Meetings,
    account: (&TenantId, Peer),
    code: Code,
) -> Result<(MeetingRow, Vec<CallbackAddress>), Refused> {
    let _turn = meetings.finding.turn(account).await.map_err(|_| Refused::Store)?;
    let found = meetings.store.callbacks().addresses(code.as_bytes()).await.map_err(|_| Refused::Store)?;
    found.filter(|(meeting, _)| meeting.tenant == *account.0).ok_or(Refused::Unknown)
}

/// What a server says of this meeting of its.
fn verified(said: &Said, server: &Server, server_id: &str) -> Result<Verified, Refused> {
    match said {
        // Known by its code alone: BBB signs it not.
        Said::Ended { meeting_id, marks } if meeting_id == server_id => {
            Ok(Verified { form: Form::Ended, algorithm: String::new(), content: Vec::new(), body: Value::Bool(*marks) })
        }
        Said::Ended { .. } => Err(Refused::Unknown),
        Said::Parameters(token) => {
            let Signed { algorithm, claims } = verify(token, &server.secret).ok_or(Refused::Unsigned)?;
            about(&claims, server_id)?;
            let content = digest(&SHA256, Value::Object(claims.clone()).to_string().as_bytes()).as_ref().to_vec();
            Ok(Verified { form: Form::Parameters, algorithm, content, body: Value::Object(claims) })
        }
        Said::Json { bearer, body } => {
            let Signed { algorithm, .. } = verify(bearer, &server.secret).ok_or(Refused::Unsigned)?;
            let json: Value = serde_json::from_slice(body).map_err(|_| Refused::Unsigned)?;
            json.as_object().map_or(Ok(()), |claims| about(claims, server_id))?;
            let content = digest(&SHA256, body).as_ref().to_vec();
            Ok(Verified { form: Form::Json, algorithm, content, body: json })
        }
    }
}

fn about(said: &Claims, server_id: &str) -> Result<(), Refused> {
    if is_about(said, server_id) { Ok(()) } else { Err(Refused::Unknown) }
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
