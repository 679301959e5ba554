//! `policies/<id>.toml`: a service level.

use std::{path::Path, sync::Arc, time::Duration};

use super::{
    convert::{self, Convert, Outcome},
    files::Source,
    limits, params, raw,
    shape::POLICY,
    values,
};
use crate::domain::{
    ids::PolicyId,
    limits::{BODY, DOCUMENTS, Limits, Recording, WEBHOOKS, WebhookData},
    rules::Rules,
    tenant::Policy,
};

/// Reads a policy; `None` inside when it has faults.
pub(super) fn read(from: Source<'_>, file: &Path, id: &PolicyId) -> Outcome<Option<Policy>> {
    convert::read(from, file, &POLICY, |raw, cx| convert(raw, id, cx))
}

fn convert(raw: raw::Policy, id: &PolicyId, cx: &mut Convert<'_>) -> Option<Policy> {
    let title = values::title(&"title".into(), raw.title, cx);
    let pools = values::pools(&"pool".into(), &raw.pool?, cx);
    let limits = limits::read(&"limits".into(), &raw.limits.unwrap_or_default(), cx);
    let (changes, places) = params::changes(raw.create, raw.join, cx);
    let records = limits.recording.is_none_or(|recording| recording != Recording::Never);
    for (place, reason) in params::without_effect(&places, &changes, &Rules::shipped(), records) {
        cx.warn_at(place, reason);
    }
    // What is missing here has been reported by the shape.
    Some(Policy {
        id: id.clone(),
        title,
        pools: pools.into_iter().map(|pool| pool.value).collect(),
        rules: Rules::shipped().with(&changes),
        limits: Arc::new(Limits {
            accounts: limits.accounts?,
            rooms: limits.rooms?,
            participants: limits.participants?,
            duration: limits.duration?,
            recording: limits.recording?,
            own_domains: limits.own_domains?,
            branding: limits.branding?,
            breakouts: limits.breakouts.unwrap_or(false),
            room_retention: limits.room_retention.unwrap_or(Duration::ZERO),
            duration_window: limits.duration_window.unwrap_or(Duration::ZERO),
            documents: limits.documents.unwrap_or(DOCUMENTS),
            body: limits.body.unwrap_or(BODY),
            webhooks: limits.webhooks.unwrap_or(WEBHOOKS),
            webhook_data: limits.webhook_data(WebhookData::default()),
        }),
    })
}
