//! The gateway's own addresses that servers call with events: one for each server, which no one can guess. A wrong one costs no
//! look-up.

use data_encoding::HEXLOWER;

use crate::{domain::webhook::PATH, meetings::tag::TagKey};

/// Makes and reads the codes of servers.
#[derive(Debug)]
pub(super) struct Codes(TagKey);

impl Codes {
    pub(super) fn new(key: [u8; 32]) -> Self {
        Self(TagKey::new(key))
    }

    /// The address of the server with this slug, on a host of a tenant.
    pub(super) fn address(&self, host: &str, slug: &str) -> String {
        format!("https://{host}{PATH}{slug}/{}", HEXLOWER.encode(&self.0.tag(slug.as_bytes())))
    }

    /// Whether an address is one for the server with this slug, on whichever host.
    pub(super) fn is_address(&self, slug: &str, address: &str) -> bool {
        let of_slug = address.split_once(PATH).and_then(|(_, rest)| rest.split_once('/'));
        of_slug.is_some_and(|(other, code)| other == slug && self.is_of(slug, code))
    }

    /// Whether a code is that of the server with this slug. Takes constant time.
    pub(super) fn is_of(&self, slug: &str, code: &str) -> bool {
        let code = HEXLOWER.decode(code.as_bytes());
        code.is_ok_and(|code| self.0.verify(slug.as_bytes(), &code))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_good_for_its_server() {
        let codes = Codes::new([7; 32]);
        let address = codes.address("wagtail.example", "s1");
        let code = address.strip_prefix("https://wagtail.example/.anteroom/hooks/s1/").expect("its start");
        assert!(codes.is_of("s1", code) && codes.is_address("s1", &address));
        assert!(codes.is_address("s1", &codes.address("heron.example:8443", "s1")), "another host");
        assert!(!codes.is_of("s2", code), "another server");
        assert!(!codes.is_address("s2", &address));
        assert!(!Codes::new([8; 32]).is_of("s1", code), "another key");
        for wrong in ["", "zz", &code[..30], &format!("{code}00"), &code.to_uppercase(), &format!("x{}", &code[1..])] {
            assert!(!codes.is_of("s1", wrong), "{wrong}");
            assert!(!codes.is_address("s1", &format!("https://x.example/.anteroom/hooks/s1/{wrong}")), "{wrong}");
        }
        for other in ["https://x.example/hooks", "https://x.example/.anteroom/hooks/s1", ""] {
            assert!(!codes.is_address("s1", other), "{other}");
        }
    }
}
