//! `[[events]]` of a tenant: periods with another pool or other limits.

use super::{
    convert::{At, Convert},
    keypath::KeyPath,
    limits::{self, Exceptions},
    moment::Moment,
    raw, values,
};
use crate::domain::{ids::PoolId, time::Timestamp};

/// An event before the checks with the policy of its tenant.
#[derive(Debug, PartialEq)]
pub(super) struct DraftEvent {
    pub place: At<()>,
    /// Its first moment, and the first one after it.
    pub from: Timestamp,
    pub until: Timestamp,
    /// None for those of the tenant.
    pub pools: Vec<At<PoolId>>,
    /// Exceptions to the limits of the tenant.
    pub exceptions: Exceptions,
}

/// Reads the events of a tenant, in the order in which they are written.
pub(super) fn read(raw: Vec<raw::Event>, cx: &mut Convert<'_>) -> Vec<DraftEvent> {
    let all = KeyPath::from("events");
    let mut events: Vec<DraftEvent> = Vec::new();
    for (n, raw) in raw.into_iter().enumerate() {
        let path = cx.entry(&all, n);
        let Some(event) = event(&path, raw, cx) else { continue };
        if let Some(other) = events.iter().find(|other| event.from < other.until && other.from < event.until) {
            cx.fault(&path, format!("is on while {} is", other.place.key));
        }
        events.push(event);
    }
    events
}

fn event(path: &KeyPath, raw: raw::Event, cx: &mut Convert<'_>) -> Option<DraftEvent> {
    let mut moment = |key, text: Option<String>| text.and_then(|text| cx.keep(&path.key(key), Moment::parse(&text)));
    let (from, until) = (moment("from", raw.from), moment("until", raw.until));
    let pools = raw.pool.map(|pools| values::pools(&path.key("pool"), &pools, cx)).unwrap_or_default();
    let limits = path.key("limits");
    let exceptions = limits::read(&limits, &raw.limits.unwrap_or_default(), cx);
    if exceptions.own_domains.is_some() {
        cx.fault(&limits.key("own_domains"), "does not change for an event: a tenant's hosts are its own at any time");
    }
    if pools.is_empty() && exceptions == Exceptions::default() && !cx.is_faulty(path) {
        cx.fault(path, "has no effect: needs a pool or limits");
    }
    // What is missing here has been reported by the shape.
    let (from, until) = (from?.first(), until?.end());
    if until <= from {
        cx.fault(&path.key("until"), "must be later than from");
    } else if until <= cx.now {
        cx.warn(path, "is over");
    }
    Some(DraftEvent { place: cx.at_path(path, ()), from, until, pools, exceptions })
}
