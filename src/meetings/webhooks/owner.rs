//! Whose meeting an event is about. What a server says counts for meetings that the tenant has, or may have, on this server.

use crate::{
    bbb::{
        meeting_id::{internal_start, is_internal, split},
        webhook::About,
    },
    domain::{
        directory::Directory,
        ids::TenantId,
        tenant::{Server, Tenant},
        time::Timestamp,
    },
    meetings::Meetings,
};

/// A meeting of a tenant.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Owner {
    pub(super) tenant: TenantId,
    /// The tenant's own id.
    pub(super) ext_id: String,
    pub(super) internal_id: String,
}

/// The meeting of an event that a server has sent: one that is known, or one that its ids tell. `with_webhooks` are the tenants
/// whose recordings are looked for.
pub(super) fn owner<'a>(
    meetings: &Meetings,
    (directory, server): (&Directory, &Server),
    about: About<'_>,
    with_webhooks: impl Iterator<Item = &'a TenantId>,
) -> Option<Owner> {
    let internal = about.internal.filter(|id| is_internal(id))?;
    let of = |tenant: &TenantId, ext_id: &str| Owner {
        tenant: tenant.clone(),
        ext_id: ext_id.to_owned(),
        internal_id: internal.to_owned(),
    };
    if let Some(meeting) = meetings.live.meetings.of_internal(internal) {
        return (meeting.server == server.id).then(|| of(&meeting.tenant, meeting.ext_id.as_str()));
    }
    // Its `create` has no answer yet, or another gateway has made it a moment ago.
    let external = about.external.filter(|external| internal.starts_with(&internal_start(external)));
    if let Some(meeting) = external.and_then(|external| meetings.live.meetings.on_server(external)) {
        return (meeting.server == server.id).then(|| of(&meeting.tenant, meeting.ext_id.as_str()));
    }
    // Long after its end there are events of its recording.
    for tenant in with_webhooks {
        if let Some(recording) = meetings.live.recordings.get(tenant, internal) {
            return (recording.server == server.id).then(|| of(tenant, recording.ext_id.as_str()));
        }
    }
    let (tenant, ext_id) = external.and_then(split)?;
    let now = meetings.clock.now();
    let tenant = directory.tenant_at(tenant, now)?;
    // Of an id that was too long a server knows the digest alone.
    let is_whole = !ext_id.starts_with('#');
    (is_whole && may_use(meetings, directory, tenant, server, now)).then(|| of(&tenant.id, ext_id))
}

/// Whether meetings of a tenant may be on a server.
pub(super) fn may_use(
    meetings: &Meetings,
    directory: &Directory,
    tenant: &Tenant,
    server: &Server,
    now: Timestamp,
) -> bool {
    directory.servers_of(tenant).any(|own| own.id == server.id)
        || meetings.live.presence.reaches(&tenant.id, &server.id, now)
}
