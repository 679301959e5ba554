//! Grants: join addresses that the gateway itself has made, for somebody who is in a meeting already (`getJoinUrl`). No
//! tenant's secret signs them, and no server's may be shown; one is good for one run of one meeting.

use std::fmt;

use aws_lc_rs::hmac;
use data_encoding::HEXLOWER;

use crate::domain::ids::TenantId;

/// The parameter that a grant stands in: the last of its query.
pub(crate) const GRANT: &str = "grant";

/// Makes and verifies grants; the same on every gateway of an installation.
pub struct Grants(hmac::Key);

impl Grants {
    /// Grants by this key.
    #[must_use]
    pub fn new(key: [u8; 32]) -> Self {
        Self(hmac::Key::new(hmac::HMAC_SHA256, &key))
    }

    /// The grant of a query for a run of a meeting.
    pub(crate) fn sign(&self, tenant: &TenantId, internal_id: &str, query: &str) -> String {
        HEXLOWER.encode(hmac::sign(&self.0, &message(tenant, internal_id, query)).as_ref())
    }

    /// Whether that is its grant, in constant time.
    pub(crate) fn verify(&self, tenant: &TenantId, internal_id: &str, query: &str, grant: &str) -> bool {
        let Ok(tag) = HEXLOWER.decode(grant.as_bytes()) else { return false };
        hmac::verify(&self.0, &message(tenant, internal_id, query), &tag).is_ok()
    }
}

/// A name and an id have no line breaks.
fn message(tenant: &TenantId, internal_id: &str, query: &str) -> Vec<u8> {
    format!("{tenant}\n{internal_id}\n{query}").into_bytes()
}

impl fmt::Debug for Grants {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[redacted]")
    }
}

/// A query without the grant that it ends in, and the grant.
pub(crate) fn split(query: &str) -> Option<(&str, &str)> {
    let (rest, grant) = query.rsplit_once('&')?;
    Some((rest, grant.strip_prefix(GRANT)?.strip_prefix('=')?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_grant_is_good_for_what_it_was_made_for() {
        let grants = Grants::new([7; 32]);
        let (wagtail, heron) = ("wagtail".parse().expect("an id"), "heron".parse().expect("an id"));
        let grant = grants.sign(&wagtail, "int-1", "meetingID=room&x=1");
        let with = format!("meetingID=room&x=1&grant={grant}");
        assert_eq!(split(&with), Some(("meetingID=room&x=1", &*grant)));
        for (what, tenant, id, query, good) in [
            ("itself", &wagtail, "int-1", "meetingID=room&x=1", true),
            ("another tenant", &heron, "int-1", "meetingID=room&x=1", false),
            ("another run", &wagtail, "int-2", "meetingID=room&x=1", false),
            ("another query", &wagtail, "int-1", "meetingID=room&x=2", false),
        ] {
            assert_eq!(grants.verify(tenant, id, query, &grant), good, "{what}");
        }
        assert!(!grants.verify(&wagtail, "int-1", "meetingID=room&x=1", "zz"));
        assert!(!Grants::new([8; 32]).verify(&wagtail, "int-1", "meetingID=room&x=1", &grant), "another key");
        assert_eq!(split("grant=x"), None);
    }
}
