//! Addresses of HTTP servers.

use http::{
    Uri,
    uri::{Authority, Scheme},
};

use super::{convert::Convert, keypath::KeyPath};
use crate::domain::{host::Host, tenant::Upstream};

/// The address of an HTTP server.
pub(super) fn read(path: &KeyPath, text: &str, cx: &mut Convert<'_>) -> Option<Upstream> {
    cx.keep(path, parse(text))
}

/// Reads the address of an HTTP server: scheme, host and perhaps a port, nothing else.
fn parse(text: &str) -> Result<Upstream, &'static str> {
    const SHAPE: &str = "must be http:// or https://, a host and perhaps a port";
    let uri: Uri = text.parse().map_err(|_| SHAPE)?;
    let scheme = uri.scheme().ok_or(SHAPE)?;
    let default_port = if *scheme == Scheme::HTTPS {
        443
    } else if *scheme == Scheme::HTTP {
        80
    } else {
        return Err(SHAPE);
    };
    let authority = uri.authority().ok_or(SHAPE)?;
    if authority.as_str().contains('@') {
        return Err("must not have a user or password in it");
    }
    if !matches!(uri.path(), "" | "/") || uri.query().is_some() || text.contains('#') {
        return Err("must be without a path: http:// or https://, a host and perhaps a port");
    }
    let host = authority.host();
    let literal = host.strip_prefix('[').and_then(|h| h.strip_suffix(']'));
    let host = match literal {
        Some(address) => {
            address.parse::<std::net::Ipv6Addr>().map_err(|_| SHAPE)?;
            host.to_ascii_lowercase()
        }
        None => host.parse::<Host>().map_err(|_| SHAPE)?.to_string(),
    };
    let port = match authority.as_str().rsplit_once(':') {
        Some((_, digits)) if !digits.ends_with(']') => Some(digits.parse::<u16>().map_err(|_| SHAPE)?),
        _ => None,
    };
    let authority: Authority = match port {
        Some(0) => return Err(SHAPE),
        Some(port) if port != default_port => format!("{host}:{port}").parse(),
        _ => host.parse(),
    }
    .map_err(|_| SHAPE)?;
    Ok(Upstream { scheme: scheme.clone(), authority })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_address_of_a_server_is_scheme_host_and_port() {
        for (text, expected) in [
            ("https://bbb-01.meet.example", Some("https://bbb-01.meet.example")),
            ("https://BBB-01.Meet.Example./", Some("https://bbb-01.meet.example")),
            ("https://bbb:443", Some("https://bbb")),
            ("http://bbb:80", Some("http://bbb")),
            ("http://bbb:443", Some("http://bbb:443")),
            ("http://127.0.0.1:8080", Some("http://127.0.0.1:8080")),
            ("https://[::1]:8443", Some("https://[::1]:8443")),
            ("https://[::1]", Some("https://[::1]")),
            ("https://bbb/bigbluebutton/", None),
            ("https://bbb?x=1", None),
            ("https://user:word@bbb", None),
            ("ftp://bbb", None),
            ("bbb-01.meet.example", None),
            ("https://", None),
            ("https://bbb:0", None),
            ("https://bbb:70000", None),
            ("https://b_ü", None),
            ("", None),
        ] {
            let read = parse(text).ok().map(|u| format!("{}://{}", u.scheme, u.authority));
            assert_eq!(read.as_deref(), expected, "{text}");
        }
    }
}
