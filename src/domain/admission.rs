//! Admission: may this account have one more room, may this meeting have one more participant?
//!
//! Plain computation over counts that the store reads in the transaction that also writes the answer down, so that two
//! calls cannot both get the last place.

use std::time::Duration;

use super::{
    denial::Denial,
    limits::{Limit, Limits},
    tenant::Tenant,
};

/// What a tenant has in use at the moment of a `create`, the asking room not among it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct RoomUsage {
    /// Other accounts of the tenant that have rooms.
    pub other_accounts: u32,
    /// Rooms of the asking account.
    pub rooms: u32,
    /// How long runs of the asking room have lasted that still count towards its duration.
    pub used: Duration,
}

/// The shortest meeting: BBB counts whole minutes.
const RUN_MIN: Duration = Duration::from_secs(60);

/// Decides whether an account of a tenant that is served may have one more room.
///
/// The account comes before its rooms: whoever may have no room at all is told so.
///
/// # Errors
/// [`Denial::AccountLimitReached`], [`Denial::RoomLimitReached`] or [`Denial::DurationUsedUp`].
pub fn admit_room(tenant: &Tenant, usage: RoomUsage) -> Result<(), Denial> {
    if !tenant.limits.accounts.has_room(usage.other_accounts) {
        return Err(Denial::AccountLimitReached);
    }
    if !tenant.limits.rooms.has_room(usage.rooms) {
        return Err(Denial::RoomLimitReached);
    }
    if duration_left(&tenant.limits, usage.used).is_none() {
        return Err(Denial::DurationUsedUp);
    }
    Ok(())
}

/// How long a room may run that has run for `used` already; `None` for not at all.
#[must_use]
pub fn duration_left(limits: &Limits, used: Duration) -> Option<Limit<Duration>> {
    match limits.duration {
        Limit::AtMost(most) => most.checked_sub(used).filter(|left| *left >= RUN_MIN.min(most)).map(Limit::AtMost),
        Limit::Unlimited => Some(Limit::Unlimited),
    }
}

/// Whether a tenant's rooms have to be counted at all.
#[must_use]
pub fn counts_rooms(limits: &Limits) -> bool {
    limits.rooms != Limit::Unlimited || limits.accounts != Limit::Unlimited || !limits.duration_window.is_zero()
}

/// How many seats a meeting gets when it is promised: the minimum of what its level allows and what its creator asks for.
/// One more is given out while fewer than that are taken ([`Limit::has_room`]), else it is
/// [`Denial::MaxParticipantsReached`].
#[must_use]
pub fn seats(limits: &Limits, asked: Option<u32>) -> Limit<u32> {
    limits.participants.clamp(asked)
}

/// Decides whether a tenant is served at all: its file may say that it is not, and so may the operator of a running
/// gateway (`by_operator`).
///
/// # Errors
/// [`Denial::TenantSuspended`].
pub fn admit_tenant(tenant: &Tenant, by_operator: bool) -> Result<(), Denial> {
    if tenant.suspended || by_operator { Err(Denial::TenantSuspended) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::fixtures::tenant;

    #[test]
    fn the_first_reason_is_the_one_that_is_told() {
        let tenant = tenant("wagtail"); // 2 accounts, 3 rooms
        let full = RoomUsage { other_accounts: 2, rooms: 3, used: Duration::ZERO };
        assert_eq!(admit_room(&tenant, full), Err(Denial::AccountLimitReached));
        assert_eq!(admit_room(&tenant, RoomUsage { other_accounts: 1, ..full }), Err(Denial::RoomLimitReached));
        assert_eq!(admit_room(&tenant, RoomUsage { other_accounts: 1, rooms: 2, ..full }), Ok(()));
        let used = |minutes: u64| RoomUsage { used: Duration::from_secs(60 * minutes), ..RoomUsage::default() };
        assert_eq!(admit_room(&tenant, used(59)), Ok(()), "a minute of the hour is left");
        assert_eq!(admit_room(&tenant, used(60)), Err(Denial::DurationUsedUp));
    }

    #[test]
    fn a_tenant_is_suspended_by_its_file_or_by_the_operator() {
        for (by_file, by_operator, served) in
            [(false, false, true), (true, false, false), (false, true, false), (true, true, false)]
        {
            let mut tenant = tenant("wagtail");
            tenant.suspended = by_file;
            assert_eq!(admit_tenant(&tenant, by_operator).is_ok(), served, "{by_file}, {by_operator}");
        }
    }

    #[test]
    fn a_meeting_holds_as_many_as_its_creator_and_its_level_both_allow() {
        let limits = tenant("wagtail").limits; // 4 participants
        for (asked, seats, admitted) in [
            (None, 3, true),
            (None, 4, false),
            (Some(2), 1, true),
            (Some(2), 2, false),
            (Some(9), 3, true),
            (Some(9), 4, false),
        ] {
            assert_eq!(super::seats(&limits, asked).has_room(seats), admitted, "{asked:?}, {seats}");
        }
    }
}
