//! The address of BBB's client in a server's answer to a join, and on the tenant's host.

use form_urlencoded::parse;
use http::uri::Authority;

use crate::{
    domain::tenant::Server,
    proxy::{answered::Home, asked::Asked, forward::prefix, path::split},
};

/// Where the client lives on a server, in all versions; many releases leave the final slash out.
const CLIENT: &str = "/html5client";

/// The path and query of the client's address, with one slash where a server has none or two, if it is one of the server's
/// client: anything else may be an address that a caller made up.
pub(super) fn client_path(server: &Server, location: &str) -> Option<String> {
    let address = match location.split_once("://") {
        Some((_, rest)) => {
            let (at, address) = rest.split_at(rest.find('/')?);
            let at: Authority = at.parse().ok()?;
            server.names.iter().any(|name| name.host().eq_ignore_ascii_case(at.host())).then_some(address)?
        }
        // `//host/...` names a host of its own.
        None => Some(location).filter(|location| !location.starts_with("//"))?,
    };
    let (path, rest) = split(address);
    match path.strip_prefix(CLIENT)? {
        "" => Some(format!("{path}/{rest}")),
        below if below.starts_with('/') => Some(format!("{path}{rest}")),
        _ => None,
    }
}

/// The client's address on the tenant's host; `None` where the server would be named in it.
pub(super) fn client_address(server: &Server, asked: &Asked, path: &str) -> Option<String> {
    let home = Home { names: &server.names, authority: &asked.authority, prefix: &prefix(server) };
    Some(format!("https://{}{}{}", asked.authority, home.prefix, home.rewritten(path)?))
}

pub(super) fn token_of(query: &str) -> Option<String> {
    parse(query.as_bytes())
        .find(|(name, token)| name == "sessionToken" && !token.is_empty())
        .map(|(_, token)| token.into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_servers_own_client_is_gone_to() {
        let server = crate::domain::fixtures::server("a", "members");
        for (location, path) in [
            ("https://a.internal.test/html5client/?sessionToken=t", Some("/html5client/?sessionToken=t")),
            ("https://a.internal.test/html5client/join?sessionToken=t", Some("/html5client/join?sessionToken=t")),
            ("/html5client/?sessionToken=t", Some("/html5client/?sessionToken=t")),
            ("https://evil.example/html5client/?sessionToken=t", None),
            ("https://a.internal.test/elsewhere?sessionToken=t", None),
            ("https://a.internal.test?sessionToken=t", None),
            // 3.0 as it shipped for many releases, and a `serverURL` that ends in a slash.
            ("https://a.internal.test/html5client?sessionToken=t", Some("/html5client/?sessionToken=t")),
            ("https://a.internal.test//html5client/?sessionToken=t", Some("/html5client/?sessionToken=t")),
            ("https://a.internal.test//html5client//join?sessionToken=t", Some("/html5client/join?sessionToken=t")),
            ("/html5client?sessionToken=a//b", Some("/html5client/?sessionToken=a//b")),
            ("https://a.internal.test/html5clients?sessionToken=t", None),
            ("//evil.example/html5client/?sessionToken=t", None),
            ("//html5client/?sessionToken=t", None),
        ] {
            assert_eq!(client_path(&server, location).as_deref(), path, "{location}");
        }
    }
}
