//! SSRF protection: addresses of documents that a server fetches must be public, since servers are in private networks
//! (docs/reference/bbb-protocol.md, "Documents that a server fetches").

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use http::Uri;

use super::query::trimmed;

/// Names that are never public (RFC 6761, 6762, 8375, 9476).
const PRIVATE_ZONES: [&str; 8] =
    ["localhost", "local", "internal", "intranet", "lan", "home.arpa", "localdomain", "alt"];

/// Whether an address is one of the public network, as far as its text tells: `http` or `https`, no user, and a host that is
/// no private address, no private name and no name without a domain.
///
/// What a public name resolves to is looked at in `proxy::names`.
#[must_use]
pub fn is_public(address: &str) -> bool {
    let Ok(uri) = trimmed(address).parse::<Uri>() else { return false };
    if !matches!(uri.scheme_str(), Some("http" | "https")) {
        return false;
    }
    let Some(authority) = uri.authority().filter(|authority| !authority.as_str().contains('@')) else { return false };
    let host = authority.host().trim_end_matches('.').to_ascii_lowercase();
    if let Some(literal) = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')) {
        return literal.parse().is_ok_and(|address| is_public_address(IpAddr::V6(address)));
    }
    if let Ok(address) = host.parse::<Ipv4Addr>() {
        return is_public_address(IpAddr::V4(address));
    }
    let Some((_, last)) = host.rsplit_once('.') else { return false };
    // Some resolvers take `127.1` or `0x7f.0.0.1` for an address: no public name ends in a number.
    let is_number = last.bytes().all(|b| b.is_ascii_digit()) || last.starts_with("0x");
    let is_private = PRIVATE_ZONES
        .iter()
        .any(|zone| host.strip_suffix(zone).is_some_and(|rest| rest.is_empty() || rest.ends_with('.')));
    !is_number && !is_private
}

/// The name of an address's host, in lower case and without the dot that may end it; `None` where it has none, but a literal.
#[must_use]
pub fn name_of(address: &str) -> Option<String> {
    let uri = address.trim().parse::<Uri>().ok()?;
    uri.scheme()?;
    let host = uri.authority()?.host().trim_end_matches('.').to_ascii_lowercase();
    (!host.starts_with('[') && host.parse::<Ipv4Addr>().is_err()).then_some(host)
}

/// Whether an address is one of the public network: none that is private, local, shared (RFC 6598), reserved, multicast, for
/// documentation or benchmarks (RFC 6890), and none of the newer kind that has such a one in it.
#[must_use]
pub fn is_public_address(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => {
            let [a, b, c, _] = v4.octets();
            !(v4.is_private()
                || v4.is_loopback()
                || v4.is_link_local()
                || v4.is_broadcast()
                || v4.is_documentation()
                || v4.is_multicast()
                || a == 0
                || a >= 240
                || (a == 100 && (64..128).contains(&b))
                || (a == 198 && (18..20).contains(&b))
                || (a == 192 && b == 0 && c == 0)
                || (a == 192 && b == 88 && c == 99))
        }
        IpAddr::V6(v6) => is_public_v6(v6),
    }
}

fn is_public_v6(v6: Ipv6Addr) -> bool {
    let segments = v6.segments();
    let v4_at = |at: usize| Ipv4Addr::from((u32::from(segments[at]) << 16) | u32::from(segments[at + 1]));
    match segments {
        // NAT64 (RFC 6052) and 6to4 (RFC 3056) lead to the address in them.
        [0x64, 0xff9b, 0, 0, 0, 0, ..] => is_public_address(IpAddr::V4(v4_at(6))),
        [0x2002, ..] => is_public_address(IpAddr::V4(v4_at(1))),
        // Teredo, benchmarks, ORCHID and others of IANA's special block, and documentation.
        [0x2001, 0..0x200, ..] | [0x2001, 0xdb8, ..] | [0x3fff, 0..0x1000, ..] => false,
        // Only what is handed out to the public.
        [first, ..] => (first & 0xe000) == 0x2000,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_public_is_fetched() {
        for (address, public) in [
            ("https://school.example/slides.pdf", true),
            ("http://school.example:8080/slides.pdf?x=1", true),
            ("https://93.184.216.34/a.pdf", true),
            ("https://[2606:2800:220:1::1]/a.pdf", true),
            ("ftp://school.example/a.pdf", false),
            ("file:///etc/passwd", false),
            ("//school.example/a.pdf", false),
            ("a.pdf", false),
            ("", false),
            ("https://user:word@school.example/a.pdf", false),
            ("https://localhost/a.pdf", false),
            ("https://LOCALHOST./a.pdf", false),
            ("https://x.localhost/a.pdf", false),
            ("https://redis/a.pdf", false),
            ("https://printer.local/a.pdf", false),
            ("https://vault.internal/a.pdf", false),
            ("https://127.0.0.1/a.pdf", false),
            ("https://127.1/a.pdf", false),
            ("https://2130706433/a.pdf", false),
            ("https://0x7f.0.0.0x1/a.pdf", false),
            ("https://0177.0.0.1/a.pdf", false),
            ("https://10.0.0.1/a.pdf", false),
            ("https://172.16.0.1/a.pdf", false),
            ("https://192.168.1.1/a.pdf", false),
            ("https://169.254.169.254/latest/meta-data", false),
            ("https://100.64.0.1/a.pdf", false),
            ("https://0.0.0.0/a.pdf", false),
            ("https://[::1]/a.pdf", false),
            ("https://[fe80::1]/a.pdf", false),
            ("https://[fd00::1]/a.pdf", false),
            ("https://[::ffff:127.0.0.1]/a.pdf", false),
            ("https://[2002:7f00:1::]/a.pdf", false),
            ("https://[64:ff9b::7f00:1]/a.pdf", false),
        ] {
            assert_eq!(is_public(address), public, "{address}");
        }
    }

    #[test]
    fn only_addresses_of_the_public_network_are_public() {
        for (address, public) in [
            ("93.184.216.34", true),
            ("192.0.78.9", true),
            ("198.17.255.255", true),
            ("100.63.0.1", true),
            ("2606:2800:220:1::1", true),
            ("2001:4860:4860::8888", true),
            ("64:ff9b::5db8:d822", true),
            ("2002:5db8:d822::1", true),
            ("0.0.0.0", false),
            ("10.1.2.3", false),
            ("100.64.0.1", false),
            ("127.0.0.53", false),
            ("169.254.169.254", false),
            ("172.31.0.1", false),
            ("192.0.0.8", false),
            ("192.0.2.1", false),
            ("192.88.99.1", false),
            ("192.168.0.1", false),
            ("198.18.0.1", false),
            ("198.51.100.1", false),
            ("203.0.113.1", false),
            ("224.0.0.1", false),
            ("240.0.0.1", false),
            ("255.255.255.255", false),
            ("::", false),
            ("::1", false),
            ("::ffff:127.0.0.1", false),
            ("::ffff:93.184.216.34", false),
            ("::10.0.0.1", false),
            ("64:ff9b::a00:1", false),
            ("64:ff9b:1::5db8:d822", false),
            ("100::1", false),
            ("2001::1", false),
            ("2001:2::1", false),
            ("2001:10::1", false),
            ("2001:20::1", false),
            ("2001:db8::1", false),
            ("2002:a00:1::1", false),
            ("2002:7f00:1::1", false),
            ("3fff::1", false),
            ("5f00::1", false),
            ("fc00::1", false),
            ("fd12:3456::1", false),
            ("fe80::1", false),
            ("fec0::1", false),
            ("ff02::1", false),
        ] {
            assert_eq!(is_public_address(address.parse().expect("an address")), public, "{address}");
        }
    }

    #[test]
    fn a_name_is_told_from_a_literal() {
        for (address, name) in [
            ("https://School.Example.:8443/a.pdf?x", Some("school.example")),
            (" http://school.example", Some("school.example")),
            ("https://93.184.216.34/a.pdf", None),
            ("https://[2606:2800:220:1::1]/a.pdf", None),
            ("a.pdf", None),
        ] {
            assert_eq!(name_of(address).as_deref(), name, "{address}");
        }
    }
}
