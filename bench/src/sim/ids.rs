//! The ids that BBB makes, and the dates it prints.

use aws_lc_rs::rand;

use crate::sign::Algorithm;

const LOWER: &[u8] = b"abcdefghijklmnopqrstuvwxyz0123456789";
const MIXED: &[u8] = b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789";

/// The first part of an internal meeting id: 40 hex digits made from the external id.
pub(crate) fn meeting_hash(ext_id: &str) -> String {
    Algorithm::Sha1.hex(ext_id.as_bytes())
}

pub(crate) fn session_token() -> String {
    random(LOWER, 16)
}

pub(crate) fn auth_token() -> String {
    random(LOWER, 12)
}

pub(crate) fn user_id() -> String {
    format!("w_{}", random(LOWER, 12))
}

pub(crate) fn password() -> String {
    random(MIXED, 8)
}

/// What an upload is let in by.
pub(crate) fn upload_token() -> String {
    random(LOWER, 24)
}

/// A UUID: the name of an image, the id of a hook.
pub(crate) fn uuid() -> String {
    [8, 4, 4, 4, 12].map(|length| random(b"0123456789abcdef", length)).join("-")
}

/// What opens a text track once.
pub(crate) fn track_token() -> String {
    random(LOWER, 32)
}

/// Five digits, the first of them not 0.
pub(crate) fn voice_bridge() -> String {
    format!("{}{}", random(b"123456789", 1), random(b"0123456789", 4))
}

/// The value of a `JSESSIONID`: 32 hex digits in capitals.
pub(crate) fn http_session() -> String {
    random(b"0123456789ABCDEF", 32)
}

fn random(alphabet: &[u8], length: usize) -> String {
    let mut bytes = vec![0; length];
    rand::fill(&mut bytes).expect("the system has randomness");
    bytes.iter().map(|byte| char::from(alphabet[usize::from(*byte) % alphabet.len()])).collect()
}

/// A time as Java prints it, `Mon Jul 09 17:03:29 UTC 2018`.
pub(crate) fn java_date(epoch_ms: u64) -> String {
    const WEEKDAYS: [&str; 7] = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"];
    const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let seconds = epoch_ms / 1000;
    let (days, second) = (seconds / 86_400, seconds % 86_400);
    let (year, month, day) = civil(days);
    let weekday = WEEKDAYS[(days % 7) as usize];
    let (hour, minute) = (second / 3600, second / 60 % 60);
    format!("{weekday} {} {day:02} {hour:02}:{minute:02}:{:02} UTC {year}", MONTHS[month], second % 60)
}

/// Year, month (0 to 11) and day of month of a day since 1970-01-01.
fn civil(mut days: u64) -> (u64, usize, u64) {
    let leap = |year: u64| year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
    let mut year = 1970;
    loop {
        let length = if leap(year) { 366 } else { 365 };
        if days < length {
            break;
        }
        days -= length;
        year += 1;
    }
    let february = if leap(year) { 29 } else { 28 };
    for (month, length) in [31, february, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31].into_iter().enumerate() {
        if days < length {
            return (year, month, days + 1);
        }
        days -= length;
    }
    unreachable!("the months of a year hold all its days")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_read_as_java_prints_them() {
        for (epoch_ms, expected) in [
            (0, "Thu Jan 01 00:00:00 UTC 1970"),
            (1_531_155_809_123, "Mon Jul 09 17:03:29 UTC 2018"),
            (1_709_164_800_000, "Thu Feb 29 00:00:00 UTC 2024"),
            (1_735_689_599_999, "Tue Dec 31 23:59:59 UTC 2024"),
        ] {
            assert_eq!(java_date(epoch_ms), expected);
        }
    }
}
