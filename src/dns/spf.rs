//! SPF records (RFC 7208), as far as they can be judged without a message: terms, their questions to DNS, and how they end.
//! Pure; `mail` follows the names.

/// Questions to DNS that an evaluation may take (RFC 7208, 4.6.4).
pub(super) const QUERIES_MAX: usize = 10;

/// What a record says about senders that nothing before has matched.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Rest {
    /// `+all`: everybody may send.
    Anybody,
    /// `-all`, `~all` or `?all`.
    Others,
    /// Another record says it.
    Elsewhere,
    /// Nothing does.
    Unsaid,
}

/// A record.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Spf {
    /// The names of `include:`, in order.
    pub includes: Vec<String>,
    /// The name of `redirect=`, where it counts.
    pub redirect: Option<String>,
    /// Its own questions to DNS, those of other records not counted.
    pub queries: usize,
    /// How it ends.
    pub rest: Rest,
}

/// Whether a TXT record is one of SPF.
pub(super) fn is_spf(text: &str) -> bool {
    let Some(version) = text.get(..6) else { return false };
    version.eq_ignore_ascii_case("v=spf1") && (text.len() == 6 || text.as_bytes()[6] == b' ')
}

/// Reads a record; the term that is wrong where one is.
pub(super) fn read(text: &str) -> Result<Spf, String> {
    let mut spf = Spf { includes: Vec::new(), redirect: None, queries: 0, rest: Rest::Unsaid };
    for term in text.split(' ').skip(1).filter(|term| !term.is_empty()) {
        let wrong = || term.to_owned();
        let (qualifier, bare) = match term.split_at_checked(1) {
            Some((sign @ ("+" | "-" | "~" | "?"), bare)) => (sign, bare),
            _ => ("+", term),
        };
        let end = bare.find([':', '/', '=']).unwrap_or(bare.len());
        let (name, value) = (bare[..end].to_ascii_lowercase(), &bare[end..]);
        if let Some(value) = value.strip_prefix('=') {
            if term != bare || name.is_empty() {
                return Err(wrong());
            }
            if name == "redirect" {
                spf.redirect = Some(value.to_ascii_lowercase());
            }
            continue;
        }
        let target = value.strip_prefix(':').unwrap_or_default();
        // What follows `all` never counts (RFC 7208, 5.1).
        let counts = matches!(spf.rest, Rest::Unsaid);
        match &*name {
            "all" if value.is_empty() => {
                if counts {
                    spf.rest = if qualifier == "+" { Rest::Anybody } else { Rest::Others };
                }
            }
            "include" if !target.is_empty() => {
                if counts {
                    spf.queries = spf.queries.saturating_add(1);
                    spf.includes.push(target.trim_end_matches('.').to_ascii_lowercase());
                }
            }
            "exists" if !target.is_empty() => spf.queries = spf.queries.saturating_add(usize::from(counts)),
            "a" | "mx" | "ptr" if value.is_empty() || !target.is_empty() || value.starts_with('/') => {
                spf.queries = spf.queries.saturating_add(usize::from(counts));
            }
            "ip4" if is_network(target, 32, |address| address.parse::<std::net::Ipv4Addr>().is_ok()) => {}
            "ip6" if is_network(target, 128, |address| address.parse::<std::net::Ipv6Addr>().is_ok()) => {}
            _ => return Err(wrong()),
        }
    }
    match spf.rest {
        Rest::Unsaid if spf.redirect.is_some() => {
            spf.queries = spf.queries.saturating_add(1);
            spf.rest = Rest::Elsewhere;
        }
        // RFC 7208, 6.1: beside `all` it has no meaning.
        _ => spf.redirect = None,
    }
    Ok(spf)
}

fn is_network(text: &str, bits_max: u8, is_address: impl Fn(&str) -> bool) -> bool {
    match text.split_once('/') {
        Some((address, bits)) => is_address(address) && bits.parse::<u8>().is_ok_and(|bits| bits <= bits_max),
        None => is_address(text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_is_read_or_its_wrong_term_is_named() {
        for (text, queries, rest) in [
            ("v=spf1", 0, Rest::Unsaid),
            ("v=spf1 -all", 0, Rest::Others),
            ("v=spf1 all", 0, Rest::Anybody),
            ("v=spf1 +all", 0, Rest::Anybody),
            ("V=SPF1 a MX ptr a:b.example/24 exists:x.example include:c.example ~all", 6, Rest::Others),
            ("v=spf1 ip4:192.0.2.0/24 ip6:2001:db8::/32 ?all", 0, Rest::Others),
            ("v=spf1 mx redirect=c.example", 2, Rest::Elsewhere),
            ("v=spf1 -all redirect=c.example include:d.example", 0, Rest::Others),
            ("v=spf1 exp=why.example x-new=1 -all", 0, Rest::Others),
        ] {
            let spf = read(text).expect(text);
            assert_eq!((spf.queries, spf.rest), (queries, rest), "{text}");
        }
        for (text, wrong) in [
            ("v=spf1 ip4:192.0.2.0/33 -all", "ip4:192.0.2.0/33"),
            ("v=spf1 ip6:192.0.2.1 -all", "ip6:192.0.2.1"),
            ("v=spf1 include: -all", "include:"),
            ("v=spf1 inculde:a.example -all", "inculde:a.example"),
            ("v=spf1 -redirect=a.example", "-redirect=a.example"),
            ("v=spf1 all:a.example", "all:a.example"),
            ("v=spf1 a, -all", "a,"),
        ] {
            assert_eq!(read(text), Err(wrong.to_owned()), "{text}");
        }
        let includes = read("v=spf1 include:A.example. -all include:b.example").map(|spf| spf.includes);
        assert_eq!(includes, Ok(vec!["a.example".to_owned()]), "what follows all does not count");
    }

    #[test]
    fn only_the_whole_version_makes_a_record() {
        for (text, is_one) in
            [("v=spf1", true), ("v=spf1 -all", true), ("v=spf10 -all", false), ("v=spf", false), ("vé=spf1", false)]
        {
            assert_eq!(is_spf(text), is_one, "{text}");
        }
    }
}
