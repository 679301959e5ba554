//! The part of a file that is asked for (RFC 9110, 14).

use std::ops::Range;

use http::HeaderValue;

/// What a `Range` asks of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Wanted {
    /// All of it; also where several parts are asked for, or in other units.
    All,
    /// A part of it, which is there.
    Part(Range<usize>),
    /// What is not there.
    Nothing,
}

/// Reads a `Range` for a file of so many bytes.
pub(super) fn wanted(range: &HeaderValue, bytes: usize) -> Wanted {
    let Some((first, last)) = range.to_str().ok().and_then(|range| range.strip_prefix("bytes=")?.split_once('-'))
    else {
        return Wanted::All;
    };
    let number =
        |text: &str| text.bytes().all(|b| b.is_ascii_digit()).then(|| text.parse::<usize>().unwrap_or(usize::MAX));
    let part = match (number(first.trim()), number(last.trim())) {
        _ if first.trim().is_empty() && last.trim().is_empty() => return Wanted::All,
        (Some(_), Some(last)) if first.trim().is_empty() => bytes.saturating_sub(last)..bytes,
        (Some(first), Some(_)) if last.trim().is_empty() => first..bytes,
        (Some(first), Some(last)) if first <= last => first..last.saturating_add(1).min(bytes),
        _ => return Wanted::All,
    };
    if part.start < part.end { Wanted::Part(part) } else { Wanted::Nothing }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_is_read_against_the_length() {
        for (range, expected) in [
            ("bytes=0-0", Wanted::Part(0..1)),
            ("bytes=2-5", Wanted::Part(2..6)),
            ("bytes=2-", Wanted::Part(2..10)),
            ("bytes=-3", Wanted::Part(7..10)),
            ("bytes=-30", Wanted::Part(0..10)),
            ("bytes=5-999", Wanted::Part(5..10)),
            ("bytes=5-99999999999999999999999999", Wanted::Part(5..10)),
            ("bytes=10-", Wanted::Nothing),
            ("bytes=99999999999999999999999999-", Wanted::Nothing),
            ("bytes=-0", Wanted::Nothing),
            ("bytes=5-2", Wanted::All),
            ("bytes=0-1,3-4", Wanted::All),
            ("bytes=-", Wanted::All),
            ("bytes=a-b", Wanted::All),
            ("lines=1-2", Wanted::All),
            ("", Wanted::All),
        ] {
            assert_eq!(wanted(&HeaderValue::from_static(range), 10), expected, "{range}");
        }
        assert_eq!(wanted(&HeaderValue::from_static("bytes=0-"), 0), Wanted::Nothing);
    }
}
