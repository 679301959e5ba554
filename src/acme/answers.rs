//! [`observed`]: what the last answer within a call said besides its body. The crate keeps the status and `Retry-After` to itself.
//!
//! A call notes them for the task that runs it, so that orders that run at the same time do not see each other's.

use std::{cell::Cell, future::Future, time::Duration};

use http::{HeaderMap, StatusCode, header};
use time::{OffsetDateTime, format_description::well_known::Rfc2822};

use crate::domain::time::Timestamp;

/// No CA is obeyed for longer: the longest of the known limits is a week.
const RETRY_AFTER_MAX: Duration = Duration::from_secs(8 * 24 * 3600);

/// Of the last answer.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Seen {
    /// Its status; `None` where none has come.
    pub(super) status: Option<StatusCode>,
    /// How long the CA asks to wait, at most eight days.
    pub(super) retry_after: Option<Duration>,
}

tokio::task_local! {
    static LAST: Cell<Seen>;
}

/// Runs a call; returns what the last answer within it said.
pub(super) async fn observed<T>(call: impl Future<Output = T>) -> (T, Seen) {
    LAST.scope(Cell::default(), async {
        let result = call.await;
        (result, LAST.with(Cell::get))
    })
    .await
}

/// Forgets the last answer, before the next request.
pub(super) fn forget() {
    let _ = LAST.try_with(|last| last.set(Seen::default()));
}

/// Notes an answer for the call that it belongs to.
pub(super) fn note(status: StatusCode, headers: &HeaderMap, now: Timestamp) {
    let retry_after = retry_after(headers, now);
    let _ = LAST.try_with(|last| last.set(Seen { status: Some(status), retry_after }));
}

/// `Retry-After` (RFC 9110, 10.2.3): seconds, or a date.
pub(super) fn retry_after(headers: &HeaderMap, now: Timestamp) -> Option<Duration> {
    let value = headers.get(header::RETRY_AFTER)?.to_str().ok()?.trim();
    let wait = match value.parse::<u32>() {
        Ok(seconds) => Duration::from_secs(seconds.into()),
        Err(_) => {
            let at = OffsetDateTime::parse(value, &Rfc2822).ok()?;
            Timestamp::from_secs(at.unix_timestamp()).saturating_duration_since(now)
        }
    };
    Some(wait.min(RETRY_AFTER_MAX))
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn a_wait_is_told_in_seconds_or_as_a_date_and_is_bounded() {
        let now = Timestamp::from_secs(1_796_000_000);
        for (value, seconds) in [
            ("0", Some(0)),
            (" 120 ", Some(120)),
            ("Mon, 30 Nov 2026 00:54:20 GMT", Some(60)),
            ("Mon, 30 Nov 2026 00:53:19 GMT", Some(0)),
            ("99999999", Some(8 * 24 * 3600)),
            ("99999999999999", None),
            ("-1", None),
            ("soon", None),
            ("", None),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(header::RETRY_AFTER, HeaderValue::from_str(value).expect("a value"));
            assert_eq!(retry_after(&headers, now), seconds.map(Duration::from_secs), "{value:?}");
        }
        assert_eq!(retry_after(&HeaderMap::new(), now), None);
    }

    #[tokio::test]
    async fn each_call_sees_its_own_last_answer() {
        let call = async |status: u16| {
            note(StatusCode::IM_A_TEAPOT, &HeaderMap::new(), Timestamp::EPOCH);
            tokio::task::yield_now().await;
            note(StatusCode::from_u16(status).expect("legal"), &HeaderMap::new(), Timestamp::EPOCH);
            tokio::task::yield_now().await;
        };
        let (one, other) = tokio::join!(observed(call(200)), observed(call(429)));
        assert_eq!([one.1.status, other.1.status].map(|status| status.map(|s| s.as_u16())), [Some(200), Some(429)]);
        let ((), none) = observed(async { forget() }).await;
        assert_eq!(none, Seen::default());
    }
}
