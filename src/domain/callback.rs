//! Callbacks: which parameters of a `create` have the address of one, what a server sends there, and when a delivery is
//! tried again.

use std::{str::FromStr, time::Duration};

/// The start of the gateway's own addresses of callbacks, which kind and code follow.
pub const PATH: &str = "/.anteroom/callback/";
/// Addresses that one `create` may name; BBB knows six.
pub const ADDRESSES_MAX: usize = 12;
/// The longest address that is kept.
pub const ADDRESS_BYTES_MAX: usize = 2048;
/// The largest body of a callback: analytics have less than 1 KB for each participant.
pub const BODY_BYTES_MAX: usize = 1024 * 1024;
/// The largest form of a callback, which has a JWT of some 200 bytes.
pub const FORM_BYTES_MAX: usize = 64 * 1024;
/// How long a delivery is tried.
pub const TRIED_FOR: Duration = Duration::from_secs(24 * 3600);

/// The parameters whose address is called when a meeting has ended, as BBB keeps their names.
pub const ENDED: [&str; 2] = [MEETING_ENDED, "meta_endcallbackurl"];
/// The one of them that no list and no client shows: the server gets this one alone.
pub const MEETING_ENDED: &str = "meetingEndedURL";
/// How these are called in the gateway's own address.
const ENDED_KIND: &str = "ended";

/// Pauses after the first failures; the last one is that of all further ones.
const PAUSES: [u64; 8] = [30, 60, 120, 300, 600, 1200, 2400, 3600];

/// The name under which a server calls the gateway for a parameter; `None` where it cannot stand in a path.
#[must_use]
pub fn kind_of(parameter: &str) -> Option<&str> {
    if ENDED.contains(&parameter) {
        return Some(ENDED_KIND);
    }
    let is_plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    parameter.strip_prefix("meta_").filter(|key| (1..=64).contains(&key.len()) && key.bytes().all(is_plain))
}

/// Whether a kind is that of the end of a meeting.
#[must_use]
pub fn is_ended(kind: &str) -> bool {
    kind == ENDED_KIND
}

/// The pause before the next try, after so many that have failed.
#[must_use]
pub fn pause(failed: u32) -> Duration {
    let at = usize::try_from(failed).unwrap_or(usize::MAX).saturating_sub(1).min(PAUSES.len() - 1);
    Duration::from_secs(PAUSES[at])
}

/// What a server sends, and the tenant gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// A GET at the end of a meeting, with `recordingmarks` and `meetingID`; not signed.
    Ended,
    /// A POST of a form whose `signed_parameters` is a JWT.
    Parameters,
    /// A POST of JSON with a JWT as bearer.
    Json,
}

impl Form {
    /// Its name in the store.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ended => "ended",
            Self::Parameters => "parameters",
            Self::Json => "json",
        }
    }
}

impl FromStr for Form {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        [Self::Ended, Self::Parameters, Self::Json].into_iter().find(|form| form.as_str() == text).ok_or(())
    }
}

/// What has become of a callback.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// It is to be delivered.
    Waiting,
    /// Its receiver has taken it.
    Delivered,
    /// It was tried for [`TRIED_FOR`], or its receiver has said that it is gone.
    GivenUp,
}

impl State {
    /// Its name in the store and for the operator.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Delivered => "delivered",
            Self::GivenUp => "given_up",
        }
    }
}

impl FromStr for State {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        [Self::Waiting, Self::Delivered, Self::GivenUp].into_iter().find(|state| state.as_str() == text).ok_or(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_parameter_has_a_kind_that_can_stand_in_a_path() {
        for (parameter, kind) in [
            ("meetingEndedURL", Some("ended")),
            ("meta_endcallbackurl", Some("ended")),
            ("meta_bbb-recording-ready-url", Some("bbb-recording-ready-url")),
            ("meta_analytics-callback-url", Some("analytics-callback-url")),
            ("meta_a/b-callback-url", None),
            ("meta_", None),
            ("logoutURL", None),
        ] {
            assert_eq!(kind_of(parameter), kind, "{parameter}");
        }
    }

    #[test]
    fn pauses_grow_to_an_hour() {
        assert_eq!([1, 2, 7, 8, 30].map(|failed| pause(failed).as_secs()), [30, 60, 2400, 3600, 3600]);
        let tries = (1..).scan(Duration::ZERO, |at, failed| {
            *at += pause(failed);
            Some(*at)
        });
        assert_eq!(tries.take_while(|at| *at <= TRIED_FOR).count(), 29, "tries after the first, in a day");
    }
}
