//! What the browser may let a meeting's page use: a server's header does not switch off what BBB's client needs.
//!
//! A header that was written for the server's own site, or for a site without meetings, may leave out the page's own origin:
//! then there is no camera, in a frame or not. What the client does not need stays as the server says.

use std::fmt::Write;

use http::{HeaderMap, HeaderValue};

/// Of the newest client: sound and video, what is shared and copied, its full screen, and a screen that stays on.
const NEEDED: [&str; 10] = [
    "autoplay",
    "camera",
    "clipboard-read",
    "clipboard-write",
    "display-capture",
    "fullscreen",
    "microphone",
    "picture-in-picture",
    "screen-wake-lock",
    "speaker-selection",
];

/// The header of today (Permissions Policy, 5.2), and the one before it, which some browsers still read.
const PERMISSIONS: &str = "permissions-policy";
const FEATURES: &str = "feature-policy";

/// Adds the page's own origin wherever a server's header withholds from it what a meeting needs.
pub(crate) fn keep_needed(headers: &mut HeaderMap) {
    if !headers.keys().any(|name| matches!(name.as_str(), PERMISSIONS | FEATURES)) {
        return;
    }
    for (name, mended) in [(PERMISSIONS, permissions as fn(&str) -> Option<String>), (FEATURES, features)] {
        let http::header::Entry::Occupied(mut entry) = headers.entry(name) else { continue };
        for value in entry.iter_mut() {
            let new = value.to_str().ok().and_then(mended).and_then(|new| HeaderValue::try_from(new).ok());
            if let Some(new) = new {
                *value = new;
            }
        }
    }
}

/// A dictionary of RFC 9651 that withholds nothing that is needed; `None` for one that does not already, or that browsers cannot
/// read and pass over.
fn permissions(value: &str) -> Option<String> {
    let mut is_changed = false;
    let mut new = String::with_capacity(value.len().saturating_add(8));
    for (n, member) in divided(value, ',')?.into_iter().enumerate() {
        let member = member.trim();
        new.push_str(if n == 0 { "" } else { ", " });
        let (key, rest) = member.split_at(member.find(['=', ';']).unwrap_or(member.len()));
        let parts = divided(rest.strip_prefix('=').unwrap_or(rest), ';')?;
        let list = parts[0].trim();
        if !NEEDED.contains(&key) || is_open(list) {
            new.push_str(member);
            continue;
        }
        is_changed = true;
        // What is neither a list nor an origin admits nobody.
        let others = match list.strip_prefix('(') {
            Some(inner) => inner.strip_suffix(')')?.trim(),
            None if list.starts_with('"') => list,
            None => "",
        };
        let joint = if others.is_empty() { "" } else { " " };
        let _ = write!(new, "{key}=(self{joint}{others})");
        parts[1..].iter().for_each(|parameter| {
            let _ = write!(new, ";{parameter}");
        });
    }
    is_changed.then_some(new)
}

/// Whether a list admits the page's own origin by name.
fn is_open(list: &str) -> bool {
    let inner = list.strip_prefix('(').and_then(|list| list.strip_suffix(')')).unwrap_or(list);
    // No origin has a blank in it.
    inner.split_ascii_whitespace().any(|member| matches!(member.split(';').next(), Some("self" | "*")))
}

/// A text divided at a character that stands outside of quotes and parentheses: one part at least. `None` where those do not
/// end.
fn divided(text: &str, at: char) -> Option<Vec<&str>> {
    let (mut parts, mut begin) = (Vec::new(), 0);
    let (mut is_quoted, mut is_escaped, mut is_inner) = (false, false, false);
    for (n, c) in text.char_indices() {
        match c {
            _ if is_escaped => is_escaped = false,
            '\\' if is_quoted => is_escaped = true,
            '"' => is_quoted = !is_quoted,
            _ if is_quoted => {}
            '(' => is_inner = true,
            ')' => is_inner = false,
            c if c == at && !is_inner => {
                parts.push(&text[begin..n]);
                begin = n.saturating_add(c.len_utf8());
            }
            _ => {}
        }
    }
    parts.push(&text[begin..]);
    (!is_quoted && !is_inner).then_some(parts)
}

/// The same in the older form: `camera 'none'; microphone https://a.example`. What names no origin at all is for the page's own.
fn features(value: &str) -> Option<String> {
    let mut is_changed = false;
    let mended = |directive: &str| {
        let mut words = directive.split_ascii_whitespace();
        let name = words.next().unwrap_or_default();
        let origins: Vec<&str> = words.collect();
        let is = |word: &str, keyword: &str| word.eq_ignore_ascii_case(keyword);
        let is_needed = NEEDED.iter().any(|needed| is(name, needed));
        let is_withheld = !origins.is_empty() && !origins.iter().any(|word| is(word, "'self'") || *word == "*");
        (is_needed && is_withheld).then(|| {
            let others = origins.iter().filter(|word| !is(word, "'none'")).map(|word| format!(" {word}"));
            format!("{name} 'self'{}", others.collect::<String>())
        })
    };
    let policies = value.split(',').map(|policy| {
        let directives = policy.split(';').map(|directive| match mended(directive) {
            Some(new) => {
                is_changed = true;
                new
            }
            None => directive.trim().to_owned(),
        });
        directives.collect::<Vec<_>>().join("; ")
    });
    let new = policies.collect::<Vec<_>>().join(", ");
    is_changed.then_some(new)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_meeting_needs_is_for_its_own_origin_and_all_else_stays() {
        for (value, new) in [
            ("camera=()", Some("camera=(self)")),
            ("camera=( )", Some("camera=(self)")),
            ("camera=(\"https://a.example\")", Some("camera=(self \"https://a.example\")")),
            ("camera=\"https://a.example\"", Some("camera=(self \"https://a.example\")")),
            (
                "camera=(\"https://a.example/x,y;z\" \"https://self\"), usb=()",
                Some("camera=(self \"https://a.example/x,y;z\" \"https://self\"), usb=()"),
            ),
            (
                "geolocation=(), camera=();report-to=x, microphone=()",
                Some("geolocation=(), camera=(self);report-to=x, microphone=(self)"),
            ),
            (
                "camera, fullscreen=none, autoplay=?0, display-capture;a=1",
                Some("camera=(self), fullscreen=(self), autoplay=(self), display-capture=(self);a=1"),
            ),
            // As OWASP's secure headers have it.
            (
                "accelerometer=(), autoplay=(), camera=(), display-capture=(), fullscreen=(), geolocation=(), microphone=(), usb=()",
                Some(
                    "accelerometer=(), autoplay=(self), camera=(self), display-capture=(self), fullscreen=(self), geolocation=(), \
                     microphone=(self), usb=()",
                ),
            ),
            ("camera=(self)", None),
            ("camera=(self \"https://a.example\"), microphone=*, fullscreen=self", None),
            ("camera=(\"https://a.example\" *)", None),
            ("camera=(self;x=1)", None),
            ("geolocation=(), payment=(), interest-cohort=()", None),
            ("cameras=()", None),
            // Browsers pass over the whole of what cannot be read.
            ("camera=(, microphone=\"", None),
            ("camera=(\"https://a.example\"", None),
            ("", None),
        ] {
            assert_eq!(permissions(value).as_deref(), new, "{value}");
            let again = permissions(value).and_then(|new| permissions(&new));
            assert_eq!(again, None, "{value}");
        }
    }

    #[test]
    fn the_older_form_likewise() {
        for (value, new) in [
            ("camera 'none'", Some("camera 'self'")),
            ("Camera 'NONE';vr 'none'", Some("Camera 'self'; vr 'none'")),
            (
                "microphone https://a.example https://b.example; geolocation 'none'",
                Some("microphone 'self' https://a.example https://b.example; geolocation 'none'"),
            ),
            // As it was advised for a pool of servers (RocketChat/Rocket.Chat#16993).
            (
                "microphone https://bbb-1.example https://bbb-2.example; camera  https://bbb-1.example https://bbb-2.example;",
                Some(
                    "microphone 'self' https://bbb-1.example https://bbb-2.example; camera 'self' https://bbb-1.example https://bbb-2.example; ",
                ),
            ),
            ("vr 'none', camera 'none'", Some("vr 'none', camera 'self'")),
            ("camera 'self' https://a.example; microphone *; fullscreen", None),
            ("vr 'none'", None),
            ("", None),
        ] {
            assert_eq!(features(value).as_deref(), new, "{value}");
        }
    }

    #[test]
    fn several_headers_of_a_name_are_mended_each() {
        let mut headers = HeaderMap::new();
        for value in ["camera=()", "usb=()", "microphone=()"] {
            headers.append("permissions-policy", HeaderValue::from_static(value));
        }
        keep_needed(&mut headers);
        let values: Vec<_> = headers.get_all("permissions-policy").iter().collect();
        assert_eq!(values, ["camera=(self)", "usb=()", "microphone=(self)"]);
    }
}
