//! Meeting ids: the tenant's `meetingID`, the id on the BBB server, and BBB's internal id.
//!
//! Towards BBB an id is `t.<tenant>.<meetingID>`. BBB tries an id as a prefix of its internal ids first, which are hex:
//! `t.` is never valid hex, and a tenant's name has no dot, so that an id reaches no other tenant's meeting.

// Numbers come from outside.
#![cfg_attr(not(test), warn(clippy::arithmetic_side_effects))]

use aws_lc_rs::digest::{SHA1_FOR_LEGACY_USE_ONLY, SHA256, digest};
use data_encoding::HEXLOWER;

use crate::domain::ids::TenantId;

/// BBB's own bounds of a `meetingID`, in UTF-16 units as Java counts them: `sizeError`
/// (docs/reference/bbb-protocol.md, "Error keys").
pub const MEETING_ID_UNITS: std::ops::RangeInclusive<usize> = 2..=256;

/// The start of every id that a tenant's meetings have on the servers.
#[must_use]
pub fn prefix(tenant: &TenantId) -> String {
    format!("t.{tenant}.")
}

/// The id under which a server knows a tenant's meeting.
///
/// Where prefix and id together exceed BBB's bound, the id is replaced by `#` and its SHA-256: the record of the
/// meeting knows the way back.
#[must_use]
pub fn to_server(tenant: &TenantId, meeting_id: &str) -> String {
    let mut id = prefix(tenant);
    if units(&id).saturating_add(units(meeting_id)) <= *MEETING_ID_UNITS.end() {
        id.push_str(meeting_id);
    } else {
        id.push('#');
        id.push_str(&HEXLOWER.encode(digest(&SHA256, meeting_id.as_bytes()).as_ref()));
    }
    id
}

/// The ids of a breakout room that a tenant makes by `create`. BBB makes the external one of the parent, a time and a number
/// (docs/reference/bbb-protocol.md, "Identifiers"), and takes the internal one from the call.
#[derive(Debug, PartialEq, Eq)]
pub struct RoomIds {
    /// The server's external id.
    pub external: String,
    /// The internal id.
    pub internal: String,
}

impl RoomIds {
    /// The ids of a room of a meeting. `time` is [`time_of_room`].
    #[must_use]
    pub fn new(parent: &str, time: &str, sequence: u32) -> Self {
        let external = internal_start(&format!("{parent}-{time}-{sequence}")) + time;
        let internal = internal_start(&external) + time;
        Self { external, internal }
    }
}

/// What stands for the time in the ids of a room that a tenant makes: 13 digits that follow from the tenant's own id of it. The room
/// is known by them wherever its server lists it. As a time they are long ago, so that no room of a server's own has them.
#[must_use]
pub fn time_of_room(tenant: &TenantId, meeting_id: &str) -> String {
    const FIRST: u64 = 1_000_000_000_000;
    const COUNT: u64 = 600_000_000_000;
    let digest = digest(&SHA256, to_server(tenant, meeting_id).as_bytes());
    let number = digest.as_ref().iter().take(8).fold(0_u64, |number, byte| (number << 8) | u64::from(*byte));
    FIRST.saturating_add(number.checked_rem(COUNT).unwrap_or(0)).to_string()
}

/// What a server's id is for this tenant: its own part, or `None` where the meeting is none of this tenant's.
///
/// The part of an id that was too long is returned as it is on the server, `#` and digest.
#[must_use]
pub fn from_server<'a>(tenant: &TenantId, server_id: &'a str) -> Option<&'a str> {
    server_id.strip_prefix("t.")?.strip_prefix(tenant.as_str())?.strip_prefix('.')
}

/// The tenant's name and the tenant's own part of a server's id, for whichever tenant that is.
#[must_use]
pub fn split(server_id: &str) -> Option<(&str, &str)> {
    server_id.strip_prefix("t.")?.split_once('.')
}

/// What the internal ids of a meeting begin with: the SHA-1 of the server's id and a hyphen
/// (docs/reference/bbb-protocol.md, "Identifiers").
#[must_use]
pub fn internal_start(server_id: &str) -> String {
    let mut start = HEXLOWER.encode(digest(&SHA1_FOR_LEGACY_USE_ONLY, server_id.as_bytes()).as_ref());
    start.push('-');
    start
}

/// Whether a text has the form of an internal id: 40 hex digits, a hyphen, 13 digits
/// (docs/reference/bbb-protocol.md, "Identifiers").
#[must_use]
pub fn is_internal(text: &str) -> bool {
    let Some((hash, time)) = text.split_once('-') else { return false };
    hash.len() == 40
        && hash.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
        && time.len() == 13
        && time.bytes().all(|b| b.is_ascii_digit())
}

/// The length of a text as Java counts it.
#[must_use]
pub fn units(text: &str) -> usize {
    if text.is_ascii() { text.len() } else { text.encode_utf16().count() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tenant(id: &str) -> TenantId {
        id.parse().expect("an id")
    }

    #[test]
    fn an_id_goes_to_the_server_and_back() {
        let wagtail = tenant("wagtail");
        for id in ["ab", "room 1", "Größe[719]", "t.other.room", "a.b", "😀😀", &"x".repeat(246)] {
            let on_server = to_server(&wagtail, id);
            assert!(units(&on_server) <= 256);
            assert_eq!(from_server(&wagtail, &on_server), Some(id));
        }
    }

    #[test]
    fn an_id_that_would_be_too_long_is_hashed() {
        let wagtail = tenant("wagtail");
        let (one, two) = (to_server(&wagtail, &"x".repeat(256)), to_server(&wagtail, &"x".repeat(255)));
        assert!(units(&one) <= 256 && one.starts_with("t.wagtail.#"));
        assert_ne!(one, two);
    }

    #[test]
    fn a_breakout_room_has_the_ids_that_bbb_makes_and_is_known_by_the_tenants_own() {
        let (wagtail, heron) = (tenant("wagtail"), tenant("heron"));
        let time = time_of_room(&wagtail, "room");
        assert_eq!(time, time_of_room(&wagtail, "room"));
        for other in [time_of_room(&wagtail, "room 2"), time_of_room(&heron, "room")] {
            assert_ne!(time, other);
        }
        let parent = format!("{}1700000000000", internal_start("t.wagtail.parent"));
        let ids = RoomIds::new(&parent, &time, 1);
        assert!(is_internal(&ids.external) && is_internal(&ids.internal));
        assert!(ids.internal.starts_with(&internal_start(&ids.external)), "as of a room of the server's own");
        assert!(ids.internal.ends_with(&format!("-{time}")) && *time < *"1600000000000");
        assert_ne!(ids, RoomIds::new(&parent, &time, 2));
    }

    #[test]
    fn another_tenants_id_is_none_of_ours() {
        let id = to_server(&tenant("wagtail"), "room");
        for other in ["wag", "wagtail2", "heron", "w"] {
            assert_eq!(from_server(&tenant(other), &id), None, "{other}");
        }
        assert_eq!(from_server(&tenant("wagtail"), "room"), None);
    }

    #[test]
    fn an_internal_id_has_its_form() {
        let hash = "a".repeat(40);
        for (text, is) in [
            (format!("{hash}-1700000000000"), true),
            (format!("{hash}-170000000000"), false),
            (format!("{}-1700000000000", &hash[1..]), false),
            (format!("{}-1700000000000", "A".repeat(40)), false),
            (hash.clone(), false),
            ("t.wagtail.room".to_owned(), false),
        ] {
            assert_eq!(is_internal(&text), is, "{text}");
        }
    }
}
