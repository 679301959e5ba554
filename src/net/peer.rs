//! [`Peer`]: client key for limits.

use std::net::IpAddr;

/// Client key for limits: an IPv4 address, or the /64 of an IPv6 address, the smallest prefix that a line gets (RFC 6177).
///
/// An IPv4 address that is written as IPv6 (`::ffff:192.0.2.1`) is an IPv4 address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Peer {
    /// An address.
    V4(u32),
    /// The upper half of an address.
    V6(u64),
}

impl From<IpAddr> for Peer {
    fn from(address: IpAddr) -> Self {
        match address.to_canonical() {
            IpAddr::V4(address) => Self::V4(address.to_bits()),
            IpAddr::V6(address) => Self::V6((address.to_bits() >> 64) as u64),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peer(text: &str) -> Peer {
        text.parse::<IpAddr>().expect("an address").into()
    }

    #[test]
    fn a_line_is_one_address_of_version_4_or_one_64_of_version_6() {
        for (a, b, same) in [
            ("192.0.2.1", "192.0.2.1", true),
            ("192.0.2.1", "192.0.2.2", false),
            ("192.0.2.1", "::ffff:192.0.2.1", true),
            ("::ffff:192.0.2.1", "::ffff:192.0.2.2", false),
            ("2001:db8:1:2::1", "2001:db8:1:2:ffff::9", true),
            ("2001:db8:1:2::1", "2001:db8:1:3::1", false),
            ("::1", "0.0.0.0", false),
        ] {
            assert_eq!(peer(a) == peer(b), same, "{a} {b}");
        }
    }
}
