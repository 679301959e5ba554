//! [`Network`]: a network in CIDR notation.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    str::FromStr,
};

/// A network such as `10.0.0.0/8`; a single address is a network of one.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Network {
    first: IpAddr,
    /// Prefix length in bits; at most 32 or 128.
    bits: u8,
}

impl Network {
    /// Whether an address belongs to it.
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        beginning(address.to_canonical(), self.bits) == Some(self.first)
    }
}

/// An address with all but its first bits cleared; `None` if it has not as many.
fn beginning(address: IpAddr, bits: u8) -> Option<IpAddr> {
    let bits = u32::from(bits);
    match address {
        IpAddr::V4(address) => {
            let mask = u32::MAX.checked_shl(32_u32.checked_sub(bits)?).unwrap_or(0);
            Some(Ipv4Addr::from_bits(address.to_bits() & mask).into())
        }
        IpAddr::V6(address) => {
            let mask = u128::MAX.checked_shl(128_u32.checked_sub(bits)?).unwrap_or(0);
            Some(Ipv6Addr::from_bits(address.to_bits() & mask).into())
        }
    }
}

impl FromStr for Network {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        const SHAPE: &str = "must be an address or a network, such as \"10.0.0.7\" or \"10.0.0.0/8\"";
        let (address, bits) = match text.split_once('/') {
            Some((address, bits)) => (address, Some(bits.parse::<u8>().map_err(|_| SHAPE)?)),
            None => (text, None),
        };
        let first: IpAddr = address.parse().map_err(|_| SHAPE)?;
        let bits = bits.unwrap_or(if first.is_ipv4() { 32 } else { 128 });
        if beginning(first, bits).ok_or(SHAPE)? != first {
            return Err("has bits set beyond the prefix length");
        }
        match first.to_canonical() {
            same if same == first => Ok(Self { first, bits }),
            // `::ffff:10.0.0.0/104`
            canonical => Ok(Self { first: canonical, bits: bits.checked_sub(96).ok_or(SHAPE)? }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_network_has_the_addresses_with_its_beginning() {
        for (network, address, is_in) in [
            ("10.0.0.0/8", "10.255.0.1", true),
            ("10.0.0.0/8", "11.0.0.1", false),
            ("10.0.0.0/8", "::ffff:10.1.2.3", true),
            ("::ffff:10.0.0.0/104", "10.1.2.3", true),
            ("192.0.2.7", "192.0.2.7", true),
            ("192.0.2.7", "192.0.2.8", false),
            ("0.0.0.0/0", "203.0.113.9", true),
            ("0.0.0.0/0", "2001:db8::1", false),
            ("::/0", "2001:db8::1", true),
            ("2001:db8::/32", "2001:db8:ffff::1", true),
            ("2001:db8::/32", "2001:db9::1", false),
            ("::1", "::1", true),
        ] {
            let parsed: Network = network.parse().expect("a network");
            assert_eq!(parsed.contains(address.parse().expect("an address")), is_in, "{network} {address}");
        }
    }

    #[test]
    fn what_is_no_network_is_refused() {
        for text in ["", "10.0.0.0/33", "10.0.0.1/8", "::/129", "10.0.0/8", "host/8", "10.0.0.0/", "10.0.0.0/-1"] {
            assert!(text.parse::<Network>().is_err(), "{text}");
        }
    }
}
