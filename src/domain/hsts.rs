//! [`Hsts`]: what browsers are told about TLS (RFC 6797).

use std::str::FromStr;

use http::HeaderValue;

/// `Strict-Transport-Security` of a host, or none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hsts(Option<HeaderValue>);

impl Hsts {
    /// The header, unless it is turned off.
    #[must_use]
    pub fn header(&self) -> Option<&HeaderValue> {
        self.0.as_ref()
    }
}

/// A year, for the host alone: what is below it may be somebody else's.
impl Default for Hsts {
    fn default() -> Self {
        Self(Some(HeaderValue::from_static("max-age=31536000")))
    }
}

impl FromStr for Hsts {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text == "off" {
            return Ok(Self(None));
        }
        let mut directives: Vec<_> = text.split(';').map(|part| part.trim().to_ascii_lowercase()).collect();
        directives.sort_unstable();
        let is_age = |part: &str| {
            let digits = part.strip_prefix("max-age=").unwrap_or_default();
            (1..=10).contains(&digits.len()) && digits.bytes().all(|b| b.is_ascii_digit())
        };
        let rest: Vec<&str> = directives.iter().map(|part| &**part).filter(|part| !is_age(part)).collect();
        let is_sound = rest.len() + 1 == directives.len()
            && matches!(*rest, [] | ["includesubdomains"] | ["preload"] | ["includesubdomains", "preload"]);
        let header = HeaderValue::from_str(text).ok().filter(|_| is_sound);
        header.map(|header| Self(Some(header))).ok_or(
            "must be \"off\", or \"max-age=\" and seconds, perhaps with \"; includeSubDomains\" and \"; preload\"",
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_the_header_or_off() {
        for (text, header) in [
            ("off", Some(None)),
            ("max-age=0", Some(Some("max-age=0"))),
            (
                "max-age=63072000; includeSubDomains; preload",
                Some(Some("max-age=63072000; includeSubDomains; preload")),
            ),
            ("includeSubDomains;max-age=1", Some(Some("includeSubDomains;max-age=1"))),
            ("", None),
            ("31536000", None),
            ("max-age=", None),
            ("max-age=a", None),
            ("max-age=1; max-age=2", None),
            ("max-age=1;", None),
            ("max-age=1; somethingElse", None),
            ("max-age=1\r\nx: y", None),
        ] {
            let parsed = text.parse::<Hsts>().ok();
            let got = parsed.as_ref().map(|hsts| hsts.header().map(|value| value.to_str().expect("text")));
            assert_eq!(got, header, "{text}");
        }
        assert_eq!(Hsts::default().header().expect("on"), "max-age=31536000");
    }
}
