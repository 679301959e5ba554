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
    // Long after its end there are events of its recording. Meanwhile its room may be in use again, on another server.
    for tenant in with_webhooks {
        if let Some(recording) = meetings.live.recordings.get(tenant, internal) {
            return (recording.server == server.id).then(|| of(tenant, recording.ext_id.as_str()));
        }
    }
    // Its `create` has no answer yet, or another gateway has made it a moment ago.
    let external = about.external.filter(|external| internal.starts_with(&internal_start(external)));
    let running = external.and_then(|external| meetings.live.meetings.on_server(external));
    if let Some(meeting) = running.filter(|meeting| meeting.server == server.id) {
        return Some(of(&meeting.tenant, meeting.ext_id.as_str()));
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

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::{
        domain::{
            calendar::Calendar,
            fixtures,
            ids::{ExternalId, InternalId, MeetingNumber},
            meeting::Life,
            time::Clock,
        },
        live::{Facts, Meeting, recordings::Recording},
        meetings::fixtures::{LOOPBACK, gateway},
        store::Store,
    };

    const ON_SERVER: &str = "t.wagtail.room";

    #[tokio::test]
    async fn a_recording_keeps_its_events_when_its_room_is_in_use_again_elsewhere() {
        let dir = tempfile::tempdir().expect("a directory");
        let store = Store::open(&format!("sqlite:{}", dir.path().join("store.db").display())).await.expect("a store");
        let meetings = gateway(store, Clock::manual(Timestamp::from_secs(1_800_000_000)), LOOPBACK).await;
        let tenant: TenantId = "wagtail".parse().expect("an id");
        let calendar = Arc::new(Calendar::new(Arc::new(fixtures::tenant("wagtail")), Vec::new()));
        let servers = ["bbb-01", "bbb-02"].map(|id| Arc::new(fixtures::server(id, "members")));
        let directory = Directory::new(vec![calendar], servers.to_vec());
        let [old, new] = ["1700000000000", "1800000000000"].map(|time| format!("{}{time}", internal_start(ON_SERVER)));
        meetings.live.add_meeting(Meeting::new(Facts {
            id: MeetingNumber::new(1),
            tenant: tenant.clone(),
            account: "main".into(),
            ext_id: ExternalId::new("room"),
            server: servers[1].id.clone(),
            participants: None,
            expected: None,
            life: Life::Running { internal_id: new.clone().into() },
            created_at: Timestamp::EPOCH,
            ends_at: None,
            afterglow: None,
            records: true,
        }));
        let of = |server: &Server, internal: &str| {
            let about = About { internal: Some(internal), external: Some(ON_SERVER), record: None };
            owner(&meetings, (&directory, server), about, [tenant.clone()].iter()).map(|owner| owner.internal_id)
        };
        assert_eq!(of(&servers[1], &new), Some(new.clone()));
        assert_eq!(of(&servers[0], &new), None, "another server says so");
        assert_eq!(of(&servers[0], &old), Some(old.clone()), "the tenant may use it");
        let (id, ext_id, server) = (InternalId::new(&old), ExternalId::new("room"), servers[0].id.clone());
        meetings.live.recordings.add(&tenant, Recording { id, ext_id, server });
        assert_eq!(of(&servers[0], &old), Some(old.clone()), "its recording is there");
        assert_eq!(of(&servers[1], &old), None, "its recording is elsewhere");
    }
}
