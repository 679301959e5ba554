//! Lengths of time as text: `90s`, `60m`, `1h30m`, `1d`.

use std::time::Duration;

const UNITS: [(char, u64); 4] = [('d', 86_400), ('h', 3_600), ('m', 60), ('s', 1)];

/// Reads a length of time: numbers with the units d, h, m and s, larger units first, each at most once.
///
/// `None` for anything else, and for what does not fit.
pub(crate) fn parse(text: &str) -> Option<Duration> {
    let mut rest = text;
    let mut seconds = 0u64;
    let mut units = UNITS.iter();
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit())?;
        let (number, tail) = rest.split_at(digits);
        let letter = tail.chars().next()?;
        // The iterator is not rewound: what comes after a unit is smaller.
        let (_, weight) = units.find(|(unit, _)| *unit == letter)?;
        seconds = seconds.checked_add(number.parse::<u64>().ok()?.checked_mul(*weight)?)?;
        rest = &tail[letter.len_utf8()..];
    }
    // Beyond 100 years it is a slip of the pen, and later sums with it would overflow.
    (!text.is_empty() && seconds <= 100 * 366 * 86_400).then(|| Duration::from_secs(seconds))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_length_of_time_is_numbers_with_units_larger_first() {
        for (text, seconds) in [
            ("0s", Some(0)),
            ("90s", Some(90)),
            ("60m", Some(3_600)),
            ("3h", Some(10_800)),
            ("1d", Some(86_400)),
            ("1h30m", Some(5_400)),
            ("1d2h3m4s", Some(93_784)),
            ("", None),
            ("h", None),
            ("90", None),
            ("1h30", None),
            ("30m1h", None),
            ("1h1h", None),
            ("-1h", None),
            ("1.5h", None),
            ("1 h", None),
            ("1w", None),
            ("1µ", None),
            ("99999999999999999999s", None),
            ("999999999999999d", None),
            ("40000d", None),
        ] {
            assert_eq!(parse(text), seconds.map(Duration::from_secs), "{text:?}");
        }
    }
}
