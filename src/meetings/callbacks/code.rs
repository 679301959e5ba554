//! Codes in the gateway's own addresses: one for each `create`, which no one can guess, and which is good for one kind of
//! callback of one tenant. A wrong one costs no look-up in the store.

use aws_lc_rs::rand;
use data_encoding::HEXLOWER;

use crate::{
    domain::ids::TenantId,
    meetings::tag::{TAG, TagKey},
};

/// What tells one `create` from all others; all of its addresses have it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Code([u8; 16]);

impl Code {
    /// A new one; `None` where the system has no randomness.
    pub(super) fn make() -> Option<Self> {
        let mut code = Self::default();
        rand::fill(&mut code.0).ok()?;
        Some(code)
    }

    pub(super) fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

/// Makes and reads codes as they stand in an address.
#[derive(Debug)]
pub(super) struct Codes(TagKey);

impl Codes {
    pub(super) fn new(key: [u8; 32]) -> Self {
        Self(TagKey::new(key))
    }

    /// A code for a kind of callback.
    pub(super) fn write(&self, tenant: &TenantId, kind: &str, code: &Code) -> String {
        let mut text = HEXLOWER.encode(&code.0);
        HEXLOWER.encode_append(&self.0.tag(&message(tenant, kind, code)), &mut text);
        text
    }

    /// The code of a text; compared in constant time.
    pub(super) fn read(&self, tenant: &TenantId, kind: &str, text: &str) -> Option<Code> {
        let bytes: [u8; 16 + TAG] = HEXLOWER.decode(text.as_bytes()).ok()?.try_into().ok()?;
        let (code, tag) = bytes.split_first_chunk()?;
        let code = Code(*code);
        self.0.verify(&message(tenant, kind, &code), tag).then_some(code)
    }
}

/// A name and a kind have no line breaks.
fn message(tenant: &TenantId, kind: &str, code: &Code) -> Vec<u8> {
    [tenant.as_str().as_bytes(), b"\n", kind.as_bytes(), b"\n", &code.0].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_is_good_for_what_it_was_made_for() {
        let codes = Codes::new([7; 32]);
        let (wagtail, heron) = ("wagtail".parse().expect("an id"), "heron".parse().expect("an id"));
        let code = Code::make().expect("randomness");
        let text = codes.write(&wagtail, "ended", &code);
        assert_eq!(codes.read(&wagtail, "ended", &text), Some(code));
        assert_eq!(codes.read(&heron, "ended", &text), None, "another tenant");
        assert_eq!(codes.read(&wagtail, "analytics-callback-url", &text), None, "another kind");
        assert_eq!(Codes::new([8; 32]).read(&wagtail, "ended", &text), None, "another key");
        assert_ne!(Code::make(), Some(code));
        for at in 0..text.len() {
            let mut wrong = text.clone().into_bytes();
            wrong[at] = if wrong[at] == b'0' { b'1' } else { b'0' };
            assert_eq!(codes.read(&wagtail, "ended", &String::from_utf8_lossy(&wrong)), None, "{at}");
        }
        for text in ["", "zz", &text[..62], &format!("{text}00"), &text.to_uppercase()] {
            assert_eq!(codes.read(&wagtail, "ended", text), None, "{text}");
        }
    }
}
