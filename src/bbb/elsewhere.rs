//! Detects a server that redirects a join to another host: it may be a load balancer in front of BBB servers.

use std::fmt;

use http::{HeaderMap, Uri, header::LOCATION};

use super::xml;
use crate::domain::tenant::Server;

/// Kind of unexpected redirect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Strange {
    /// To another host, but not to a BBB client.
    Balancer,
    /// To a BBB client on a host that is not one of the server's names.
    OtherName,
}

impl fmt::Display for Strange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Balancer => "redirects joins to another host: is this a balancer?",
            Self::OtherName => "has its client on another host: is that its public_url?",
        })
    }
}

/// The kind of unexpected redirect in the answer to a join, and its host; `None` without a redirect, or for one to the server
/// itself.
#[must_use]
pub fn strange(server: &Server, headers: &HeaderMap, body: &[u8]) -> Option<(Strange, String)> {
    let address = match headers.get(LOCATION) {
        Some(location) => location.to_str().ok()?.to_owned(),
        None => xml::text_of(body, "url")?,
    };
    let uri: Uri = address.parse().ok()?;
    let host = uri.host()?;
    if server.names.iter().any(|name| name.host().eq_ignore_ascii_case(host)) {
        return None;
    }
    let is_client = uri.path().split('/').any(|segment| segment == "html5client");
    Some((if is_client { Strange::OtherName } else { Strange::Balancer }, host.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_balancer_is_told_from_a_server_with_another_name() {
        let server = crate::domain::fixtures::server("a", "members");
        let strange = |location: Option<&str>, body: &str| {
            let mut headers = HeaderMap::new();
            if let Some(location) = location {
                headers.insert(LOCATION, location.parse().expect("legal"));
            }
            strange(&server, &headers, body.as_bytes()).map(|(strange, _)| strange)
        };
        for (location, expected) in [
            ("https://node-07.example/bigbluebutton/api/join?meetingID=x&checksum=y", Some(Strange::Balancer)),
            ("https://node-07.example/", Some(Strange::Balancer)),
            ("https://node-07.example/html5client?sessionToken=t", Some(Strange::OtherName)),
            ("https://node-07.example/b1/html5client/join?sessionToken=t", Some(Strange::OtherName)),
            ("https://a.internal.test/html5client/?sessionToken=t", None),
            ("https://A.internal.test:8443/elsewhere", None),
            ("/html5client/?sessionToken=t", None),
            ("%%", None),
        ] {
            assert_eq!(strange(Some(location), ""), expected, "{location}");
        }
        let told = "<response><returncode>SUCCESS</returncode><url>https://node-07.example/x</url></response>";
        assert_eq!(strange(None, told), Some(Strange::Balancer));
        assert_eq!(strange(None, "<html/>"), None);
    }
}
