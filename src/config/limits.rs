//! `[limits]` of a policy, a tenant or an event.

use std::{sync::Arc, time::Duration};

use super::{
    convert::Convert,
    keypath::KeyPath,
    raw,
    values::{count, length, span},
};
use crate::domain::limits::{BODY_MAX, Limit, Limits, Recording, WebhookData};

/// Records of ended meetings are kept for this time.
const RETENTION_MAX: Duration = Duration::from_secs(7 * 86_400);

/// Minimum of `body`.
const BODY_LEAST: u32 = 64 << 10;

/// Limits, any of which may be left as they are.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Exceptions {
    pub accounts: Option<Limit<u32>>,
    pub rooms: Option<Limit<u32>>,
    pub participants: Option<Limit<u32>>,
    pub duration: Option<Limit<Duration>>,
    pub recording: Option<Recording>,
    pub own_domains: Option<Limit<u32>>,
    pub branding: Option<bool>,
    pub breakouts: Option<bool>,
    pub room_retention: Option<Duration>,
    pub duration_window: Option<Duration>,
    pub documents: Option<Limit<u32>>,
    pub body: Option<u32>,
    pub webhooks: Option<Limit<u32>>,
    pub webhook_addresses: Option<bool>,
    pub webhook_content: Option<bool>,
}

impl Exceptions {
    /// The limits of a level, or of a tenant, with these exceptions; the very same where there is none.
    pub(super) fn over(&self, limits: &Arc<Limits>) -> Arc<Limits> {
        if *self == Self::default() {
            return Arc::clone(limits);
        }
        Arc::new(Limits {
            accounts: self.accounts.unwrap_or(limits.accounts),
            rooms: self.rooms.unwrap_or(limits.rooms),
            participants: self.participants.unwrap_or(limits.participants),
            duration: self.duration.unwrap_or(limits.duration),
            recording: self.recording.unwrap_or(limits.recording),
            own_domains: self.own_domains.unwrap_or(limits.own_domains),
            branding: self.branding.unwrap_or(limits.branding),
            breakouts: self.breakouts.unwrap_or(limits.breakouts),
            room_retention: self.room_retention.unwrap_or(limits.room_retention),
            duration_window: self.duration_window.unwrap_or(limits.duration_window),
            documents: self.documents.unwrap_or(limits.documents),
            body: self.body.unwrap_or(limits.body),
            webhooks: self.webhooks.unwrap_or(limits.webhooks),
            webhook_data: self.webhook_data(limits.webhook_data),
        })
    }

    /// What goes out in events, with these exceptions.
    pub(super) fn webhook_data(&self, data: WebhookData) -> WebhookData {
        WebhookData {
            addresses: self.webhook_addresses.unwrap_or(data.addresses),
            content: self.webhook_content.unwrap_or(data.content),
        }
    }
}

/// The limits that a table of a file names.
pub(super) fn read(table: &KeyPath, limits: &raw::Limits, cx: &mut Convert<'_>) -> Exceptions {
    let path = |key: &str| table.key(key);
    Exceptions {
        accounts: limits.accounts.and_then(|n| count(&path("accounts"), n, 1, cx)),
        rooms: limits.rooms.and_then(|n| count(&path("rooms"), n, 1, cx)),
        participants: limits.participants.and_then(|n| count(&path("participants"), n, 1, cx)),
        duration: limits.duration.as_deref().and_then(|t| span(&path("duration"), t, cx)),
        recording: limits.recording.map(|recording| match recording {
            raw::Recording::Never => Recording::Never,
            raw::Recording::PerRoom => Recording::PerRoom,
            raw::Recording::AlwaysAllowed => Recording::AlwaysAllowed,
        }),
        own_domains: limits.own_domains.and_then(|n| count(&path("own_domains"), n, 0, cx)),
        branding: limits.branding,
        breakouts: limits.breakouts,
        room_retention: limits.room_retention.as_deref().and_then(|t| retention(&path("room_retention"), t, cx)),
        duration_window: limits.duration_window.as_deref().and_then(|t| retention(&path("duration_window"), t, cx)),
        documents: limits.documents.and_then(|n| count(&path("documents"), n, 0, cx)),
        body: limits.body.as_deref().and_then(|t| body(&path("body"), t, cx)),
        webhooks: limits.webhooks.and_then(|n| count(&path("webhooks"), n, 0, cx)),
        webhook_addresses: limits.webhook_addresses,
        webhook_content: limits.webhook_content,
    }
}

/// How long something of a room counts: no longer than the store keeps its record.
fn retention(path: &KeyPath, text: &str, cx: &mut Convert<'_>) -> Option<Duration> {
    let length = length(path, text, cx)?;
    let kept = if length > RETENTION_MAX { Err("must be at most \"7d\"") } else { Ok(length) };
    cx.keep(path, kept)
}

/// The size of a body.
fn body(path: &KeyPath, text: &str, cx: &mut Convert<'_>) -> Option<u32> {
    let bytes = bytes(text).filter(|bytes| (BODY_LEAST..=BODY_MAX).contains(bytes));
    cx.keep(path, bytes.ok_or("must be a size from \"64KB\" to \"64MB\""))
}

/// Bytes of a text such as `64KB` or `45MB`.
fn bytes(text: &str) -> Option<u32> {
    let (digits, shift) = match text.strip_suffix("KB") {
        Some(digits) => (digits, 10),
        None => (text.strip_suffix("MB")?, 20),
    };
    let is_number = !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit());
    let number: u32 = is_number.then(|| digits.parse().ok())??;
    number.checked_mul(1 << shift)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_size_is_a_whole_number_of_kilobytes_or_megabytes() {
        for (text, expected) in [
            ("64KB", Some(65_536)),
            ("45MB", Some(47_185_920)),
            ("0MB", Some(0)),
            ("4095MB", Some(4_293_918_720)),
            ("4096MB", None),
            ("45", None),
            ("45 MB", None),
            ("45mb", None),
            ("1.5MB", None),
            ("+1MB", None),
            ("-1MB", None),
            ("MB", None),
            ("", None),
        ] {
            assert_eq!(bytes(text), expected, "{text}");
        }
    }
}
