//! Addresses inside BBB's answers: what names a server is led to the tenant's host.

use http::uri::Authority;

/// A text with all absolute addresses of a server (`https://bbb-01/pad`, `wss://bbb-01/ws`) on the tenant's host, below
/// `prefix`; `None` where there is no address in it. Plain schemes become secure ones.
///
/// `names` are the server's, `authority` is the tenant's host as the caller wrote it.
#[must_use]
pub fn rewritten(text: &str, names: &[Authority], authority: &str, prefix: &str) -> Option<String> {
    let mut out = String::new();
    let mut rest = text;
    while let Some(at) = rest.find("://") {
        let scheme = rest[..at].rsplit(|c: char| !c.is_ascii_alphabetic()).next().unwrap_or("");
        let scheme_at = at - scheme.len();
        let after = &rest[at + 3..];
        // An address of the newer kind stands in brackets.
        let from = if after.starts_with('[') { after.find(']').map_or(0, |at| at + 1) } else { 0 };
        let end =
            after[from..].find(|c: char| "/?#\"'<>()[]{},;|\\ \t\r\n".contains(c)).map_or(after.len(), |at| from + at);
        let secure = match scheme {
            "ws" | "wss" => "wss",
            "http" | "https" => "https",
            _ => "",
        };
        if is_one_of(&after[..end], names) && !secure.is_empty() {
            out.push_str(&rest[..scheme_at]);
            out.push_str(secure);
            out.push_str("://");
            out.push_str(authority);
            out.push_str(prefix);
        } else {
            out.push_str(&rest[..at + 3 + end]);
        }
        rest = &after[end..];
    }
    if out.is_empty() {
        return None;
    }
    out.push_str(rest);
    Some(out)
}

/// Whether `host[:port]` is a server: its port does not matter, its case neither.
#[must_use]
pub fn is_one_of(authority: &str, names: &[Authority]) -> bool {
    authority.parse::<Authority>().is_ok_and(|at| names.iter().any(|name| name.host().eq_ignore_ascii_case(at.host())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_servers_own_addresses_are_rewritten_and_no_others() {
        let names = ["bbb-01.internal.test".parse().expect("legal")];
        for (text, expected) in [
            ("https://bbb-01.internal.test/playback/x", Some("https://meet.w/p/playback/x")),
            ("http://BBB-01.internal.test:8080", Some("https://meet.w/p")),
            ("ftp://bbb-01.internal.test/x", Some("ftp://bbb-01.internal.test/x")),
            (
                "https://elsewhere.example/?u=https://bbb-01.internal.test",
                Some("https://elsewhere.example/?u=https://meet.w/p"),
            ),
            ("https://bbb-01.internal.test, and so on", Some("https://meet.w/p, and so on")),
            ("[https://bbb-01.internal.test:80]", Some("[https://meet.w/p]")),
            ("no address", None),
        ] {
            assert_eq!(rewritten(text, &names, "meet.w", "/p").as_deref(), expected, "{text}");
        }
    }
}
