//! In which form a file goes out (RFC 9110, 12.5.3), and whether it is known already (13.1.2).

use bytes::Bytes;
use http::{
    HeaderMap, HeaderValue,
    header::{ACCEPT_ENCODING, IF_NONE_MATCH},
};

use crate::live::files::{File, Packed};

/// A form of a file, the smallest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    Brotli,
    Gzip,
    Plain,
}

const FORMS: [Form; 3] = [Form::Brotli, Form::Gzip, Form::Plain];

impl Form {
    /// A file in this form, where there is one.
    pub(super) fn bytes<'a>(self, file: &'a File, packed: Option<&'a Packed>) -> Option<&'a Bytes> {
        match self {
            Self::Brotli => packed?.brotli.as_ref(),
            Self::Gzip => packed?.gzip.as_ref(),
            Self::Plain => Some(&file.bytes),
        }
    }

    /// What its entity tag ends in.
    pub(super) fn suffix(self) -> &'static str {
        match self {
            Self::Brotli => "-br",
            Self::Gzip => "-gz",
            Self::Plain => "",
        }
    }

    /// What `Content-Encoding` says.
    pub(super) fn encoding(self) -> Option<HeaderValue> {
        match self {
            Self::Brotli => Some(HeaderValue::from_static("br")),
            Self::Gzip => Some(HeaderValue::from_static("gzip")),
            Self::Plain => None,
        }
    }

    fn is_named(self, coding: &str) -> bool {
        match self {
            Self::Brotli => coding.eq_ignore_ascii_case("br"),
            Self::Gzip => coding.eq_ignore_ascii_case("gzip") || coding.eq_ignore_ascii_case("x-gzip"),
            Self::Plain => coding.eq_ignore_ascii_case("identity"),
        }
    }
}

/// The form that an asking side likes best among those there are, the smallest of several; the plain one where it likes none.
pub(super) fn accepted(asked: &HeaderMap, is_there: impl Fn(Form) -> bool) -> Form {
    let mut best = (Form::Plain, 0);
    for form in FORMS.into_iter().filter(|form| is_there(*form)) {
        let weight = weight(asked, form);
        if weight > best.1 {
            best = (form, weight);
        }
    }
    best.0
}

/// How much a form is liked, in thousandths.
fn weight(asked: &HeaderMap, form: Form) -> u32 {
    let mut others = None;
    let codings = asked.get_all(ACCEPT_ENCODING).iter().filter_map(|value| value.to_str().ok());
    for coding in codings.flat_map(|value| value.split(',')) {
        let (coding, weight) = match coding.split_once(';') {
            Some((coding, weight)) => (coding, weight.trim().strip_prefix("q=").and_then(|q| q.parse::<f64>().ok())),
            None => (coding, Some(1.0)),
        };
        let weight = (weight.unwrap_or(0.0).clamp(0.0, 1.0) * 1000.0) as u32;
        if form.is_named(coding.trim()) {
            return weight;
        }
        if coding.trim() == "*" {
            others = Some(weight);
        }
    }
    // What is not named is not understood, but for the plain one, which is liked less than what is.
    others.unwrap_or(if form == Form::Plain { 1 } else { 0 })
}

/// Whether an asking side has a file with this tag already, in whichever form.
pub(super) fn is_known(asked: &HeaderMap, tag: &str) -> bool {
    let tags = asked.get_all(IF_NONE_MATCH).iter().filter_map(|value| value.to_str().ok());
    tags.flat_map(|value| value.split(',')).any(|known| {
        let known = known.trim();
        let known = known.strip_prefix("W/").unwrap_or(known).trim_matches('"');
        known == "*" || known.strip_prefix(tag).is_some_and(|form| matches!(form, "" | "-br" | "-gz"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(name: http::HeaderName, value: &'static str) -> HeaderMap {
        HeaderMap::from_iter([(name, HeaderValue::from_static(value))])
    }

    #[test]
    fn the_smallest_form_that_is_understood_goes_out() {
        use Form::{Brotli, Gzip, Plain};
        for (asked, expected) in [
            ("gzip, deflate, br, zstd", Brotli),
            ("gzip, deflate", Gzip),
            ("GZIP", Gzip),
            ("br;q=0.5, gzip;q=0.8", Gzip),
            ("br;q=0, gzip;q=0", Plain),
            ("br;q=0, *", Gzip),
            ("*", Brotli),
            ("*;q=0", Plain),
            ("identity", Plain),
            ("identity, br;q=0.5", Plain),
            ("br;q=nonsense", Plain),
            ("zstd", Plain),
            ("", Plain),
        ] {
            assert_eq!(accepted(&headers(ACCEPT_ENCODING, asked), |_| true), expected, "{asked}");
        }
        assert_eq!(accepted(&HeaderMap::new(), |_| true), Plain);
        assert_eq!(accepted(&headers(ACCEPT_ENCODING, "br, gzip"), |form| form != Brotli), Gzip, "not made yet");
        assert_eq!(accepted(&headers(ACCEPT_ENCODING, "br, gzip"), |form| form == Plain), Plain);
    }

    #[test]
    fn what_is_known_is_known_in_all_forms() {
        for (known, is) in [
            ("\"abc\"", true),
            ("W/\"abc-br\"", true),
            ("\"x\", \"abc-gz\"", true),
            ("*", true),
            ("\"abcd\"", false),
            ("\"ab\"", false),
            ("", false),
        ] {
            assert_eq!(is_known(&headers(IF_NONE_MATCH, known), "abc"), is, "{known}");
        }
        assert!(!is_known(&HeaderMap::new(), "abc"));
    }
}
