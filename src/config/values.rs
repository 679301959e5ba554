//! Values that several files have: titles, pools, counts and lengths of time.

use std::time::Duration;

use super::{
    convert::{At, Convert},
    duration,
    keypath::KeyPath,
    raw,
};
use crate::domain::{ids::PoolId, limits::Limit};

/// A text for people.
pub(super) fn title(path: &KeyPath, text: Option<String>, cx: &mut Convert<'_>) -> String {
    let text = text.unwrap_or_default();
    let trimmed = text.trim();
    if trimmed.is_empty() && !cx.is_faulty(path) {
        cx.fault(path, "must not be empty");
    }
    trimmed.to_owned()
}

/// Pools, each at its place; none where all of them are faulty.
pub(super) fn pools(path: &KeyPath, pools: &raw::Pools, cx: &mut Convert<'_>) -> Vec<At<PoolId>> {
    match pools {
        raw::Pools::One(text) => {
            let pool = cx.parse(path, text);
            pool.map(|pool| cx.at_path(path, pool)).into_iter().collect()
        }
        raw::Pools::Many(texts) => {
            if texts.is_empty() && !cx.is_faulty(path) {
                cx.fault(path, "must not be an empty list");
            }
            cx.list(path, texts)
        }
    }
}

/// A bound that is a number.
pub(super) fn count(path: &KeyPath, count: raw::Count, least: u32, cx: &mut Convert<'_>) -> Option<Limit<u32>> {
    match count {
        raw::Count::Word(raw::Unlimited::Unlimited) => Some(Limit::Unlimited),
        raw::Count::Number(number) => match u32::try_from(number) {
            Ok(number) if number >= least => Some(Limit::AtMost(number)),
            _ => {
                cx.fault(path, format!("must be from {least} to {}, or \"unlimited\"", u32::MAX));
                None
            }
        },
    }
}

/// A bound that is a length of time.
pub(super) fn span(path: &KeyPath, text: &str, cx: &mut Convert<'_>) -> Option<Limit<Duration>> {
    if text == "unlimited" {
        return Some(Limit::Unlimited);
    }
    match duration::parse(text) {
        Some(length) if !length.is_zero() => Some(Limit::AtMost(length)),
        _ => {
            cx.fault(path, "must be a length of time such as \"90s\", \"60m\" or \"1h30m\", or \"unlimited\"");
            None
        }
    }
}

/// A length of time that may be none at all.
pub(super) fn length(path: &KeyPath, text: &str, cx: &mut Convert<'_>) -> Option<Duration> {
    let length = duration::parse(text).ok_or("must be a length of time such as \"0s\", \"90s\" or \"1h30m\"");
    cx.keep(path, length)
}
