//! What gateways on one store tell each other. Only numbers: whoever hears it reads the rows.

use crate::domain::ids::MeetingNumber;

/// Something has changed in the store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// Meetings that have been made or have ended, by their numbers.
    Meetings(Vec<MeetingNumber>),
    /// What the operator wants of servers and tenants.
    Operations,
    /// The webhooks of tenants.
    Webhooks,
    /// Certificates of hosts.
    Certificates,
    /// Challenges that are open on port 443.
    Challenges,
    /// Something may have been missed.
    Everything,
}

/// PostgreSQL takes 8,000 bytes at the most.
const MEETINGS_MAX: usize = 300;

impl Change {
    /// The payload of a notice about meetings.
    pub(super) fn meetings(ids: &[MeetingNumber]) -> String {
        if ids.len() > MEETINGS_MAX {
            return "everything".into();
        }
        let ids: Vec<_> = ids.iter().map(MeetingNumber::to_string).collect();
        format!("meetings {}", ids.join(","))
    }

    /// The payload of a notice about a change of the operator.
    pub(super) const OPERATIONS: &str = "operations";
    /// The payload of a notice about webhooks.
    pub(super) const WEBHOOKS: &str = "webhooks";
    /// The payload of a notice about certificates.
    pub(super) const CERTIFICATES: &str = "certificates";
    /// The payload of a notice about challenges.
    pub(super) const CHALLENGES: &str = "challenges";

    /// Reads what was told; what a later release says and this one does not know may be anything.
    pub(super) fn read(text: &str) -> Self {
        match text {
            Self::OPERATIONS => return Self::Operations,
            Self::WEBHOOKS => return Self::Webhooks,
            Self::CERTIFICATES => return Self::Certificates,
            Self::CHALLENGES => return Self::Challenges,
            _ => {}
        }
        let ids = text
            .strip_prefix("meetings ")
            .map(|ids| ids.split(',').map(|id| id.parse().map(MeetingNumber::new)).collect::<Result<_, _>>());
        match ids {
            Some(Ok(ids)) => Self::Meetings(ids),
            _ => Self::Everything,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_told_is_understood() {
        assert_eq!(
            Change::read(&Change::meetings(&[1, 22].map(MeetingNumber::new))),
            Change::Meetings([1, 22].map(MeetingNumber::new).into())
        );
        assert_eq!(Change::read(Change::OPERATIONS), Change::Operations);
        assert_eq!(Change::read(Change::WEBHOOKS), Change::Webhooks);
        assert_eq!(Change::read(Change::CERTIFICATES), Change::Certificates);
        assert_eq!(Change::read(Change::CHALLENGES), Change::Challenges);
        let many: Vec<_> = (0..=300).map(|n| MeetingNumber::new(i64::MAX - n)).collect();
        assert_eq!(Change::read(&Change::meetings(&many)), Change::Everything);
        assert!(Change::meetings(&many[1..]).len() < 8_000);
        for text in ["", "everything", "meetings", "meetings x", "something new"] {
            assert_eq!(Change::read(text), Change::Everything, "{text}");
        }
    }
}
