//! TLS session tickets shared by several gateways: a session of one gateway is resumed on another.
//!
//! The keys come from the store, one for each period of six hours, and are deleted there when they expire. After that, recorded
//! traffic cannot be decrypted even with the store.

use std::fmt;

use arc_swap::ArcSwap;
use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use rustls::server::ProducesTickets;

use crate::domain::time::Timestamp;

/// Period in which a key encrypts tickets.
pub const STRETCH_SECONDS: u64 = 6 * 3600;
/// Length of the number of the period, with which a ticket begins.
const NUMBER_LEN: usize = 8;

/// Encrypts and decrypts tickets.
pub struct Tickets(ArcSwap<Keys>);

/// The current keys by the number of their period. The first one encrypts; all of them decrypt.
#[derive(Default)]
struct Keys(Vec<(u64, LessSafeKey)>);

/// The number of the stretch of a moment.
#[must_use]
pub fn stretch_of(now: Timestamp) -> u64 {
    now.as_secs().unsigned_abs() / STRETCH_SECONDS
}

impl Default for Tickets {
    /// Without keys there are no tickets.
    fn default() -> Self {
        Self(ArcSwap::from_pointee(Keys::default()))
    }
}

impl Tickets {
    /// Replaces the keys; the first one encrypts.
    pub fn set(&self, keys: &[(u64, [u8; 32])]) {
        let key = |key: &[u8; 32]| Some(LessSafeKey::new(UnboundKey::new(&AES_256_GCM, key).ok()?));
        let keys = keys.iter().filter_map(|(number, bytes)| Some((*number, key(bytes)?)));
        self.0.store(Keys(keys.collect()).into());
    }
}

impl ProducesTickets for Tickets {
    fn enabled(&self) -> bool {
        true
    }

    fn lifetime(&self) -> u32 {
        // The key of the stretch before this one still opens.
        u32::try_from(STRETCH_SECONDS).unwrap_or(u32::MAX)
    }

    fn encrypt(&self, plain: &[u8]) -> Option<Vec<u8>> {
        let keys = self.0.load();
        let (number, key) = keys.0.first()?;
        let mut nonce = [0; NONCE_LEN];
        aws_lc_rs::rand::fill(&mut nonce).ok()?;
        let number = number.to_be_bytes();
        let mut sealed = plain.to_vec();
        key.seal_in_place_append_tag(Nonce::assume_unique_for_key(nonce), Aad::from(number), &mut sealed).ok()?;
        Some([&number[..], &nonce[..], &sealed].concat())
    }

    fn decrypt(&self, ticket: &[u8]) -> Option<Vec<u8>> {
        let (number, rest) = ticket.split_first_chunk::<NUMBER_LEN>()?;
        let (nonce, sealed) = rest.split_first_chunk::<NONCE_LEN>()?;
        let keys = self.0.load();
        let (_, key) = keys.0.iter().find(|(have, _)| *have == u64::from_be_bytes(*number))?;
        let mut sealed = sealed.to_vec();
        let plain = key.open_in_place(Nonce::assume_unique_for_key(*nonce), Aad::from(*number), &mut sealed).ok()?;
        Some(plain.to_vec())
    }
}

impl fmt::Debug for Tickets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[redacted]")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ticket_is_read_by_whoever_has_its_key_and_by_nobody_else() {
        let (one, two, other) = (Tickets::default(), Tickets::default(), Tickets::default());
        assert_eq!(one.encrypt(b"x"), None, "without a key there is none");
        one.set(&[(7, [1; 32]), (6, [2; 32])]);
        two.set(&[(8, [3; 32]), (7, [1; 32])]);
        other.set(&[(7, [9; 32])]);
        let ticket = one.encrypt(b"secret").expect("a ticket");
        assert!(!ticket.windows(6).any(|window| window == b"secret"));
        assert_eq!(one.decrypt(&ticket).as_deref(), Some(&b"secret"[..]));
        assert_eq!(two.decrypt(&ticket).as_deref(), Some(&b"secret"[..]), "of the stretch before");
        assert_eq!(other.decrypt(&ticket), None, "another key");
        assert_ne!(one.encrypt(b"secret"), Some(ticket.clone()), "none is like another");
        for at in 0..ticket.len() {
            let mut bent = ticket.clone();
            bent[at] ^= 1;
            assert_eq!(one.decrypt(&bent), None, "{at}");
            assert_eq!(one.decrypt(&ticket[..at]), None, "{at}");
        }
        two.set(&[(9, [4; 32]), (8, [3; 32])]);
        assert_eq!(two.decrypt(&ticket), None, "its time is over");
    }
}
