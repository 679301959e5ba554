//! What a server is told to fetch: documents, by their addresses. Those are to be of the public network, for a server sits in
//! a private one (bbb.md 7, 12).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use http::Uri;

use super::query::trimmed;

/// Names that are never public (RFC 6761, 6762, 8375, 9476).
const PRIVATE_ZONES: [&str; 8] =
    ["localhost", "local", "internal", "intranet", "lan", "home.arpa", "localdomain", "alt"];

/// Whether an address is one of the public network, as far as its text tells: `http` or `https`, no user, and a host that is
/// no private address, no private name and no name without a domain.
///
/// What a public name resolves to is not looked at: servers have their own lists for that
/// (`insertDocumentBlockedHosts`).
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

fn is_public_address(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => {
            let [a, b, ..] = v4.octets();
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
                || (a == 192 && b == 0))
        }
        IpAddr::V6(v6) => is_public_v6(v6),
    }
}

fn is_public_v6(v6: Ipv6Addr) -> bool {
    // Only what is handed out to the public (2000::/3), and no address that has a private one of the old kind in it.
    let [first, second, third, ..] = v6.segments();
    let embedded = match first {
        0x2002 => Some(Ipv4Addr::from((u32::from(second) << 16) | u32::from(third))),
        _ => v6.to_ipv4(),
    };
    (first & 0xe000) == 0x2000
        && !(first == 0x2001 && (second == 0xdb8 || second == 0))
        && embedded.is_none_or(|v4| is_public_address(IpAddr::V4(v4)))
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
}
