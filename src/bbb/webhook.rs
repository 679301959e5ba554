//! Webhooks as `bbb-webhooks` makes them (docs/reference/bbb-protocol.md, "Webhooks"): how a call is read and signed, of which
//! meeting an event is, and what of it is for the tenant.

// Numbers come from outside.
#![cfg_attr(not(test), warn(clippy::arithmetic_side_effects))]

mod posted;
mod reader;
mod rules;
mod signature;

use serde_json::Value;

pub use posted::{FORM_BYTES_MAX, Form, Posted};
pub use reader::{Allowed, Reader};
pub use signature::{form, is_bearer, signed_address};

/// What an event names of its meeting. None of it is proven: any server can say anything.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct About<'a> {
    /// Its internal id.
    pub internal: Option<&'a str>,
    /// The external id on the server. Missing where the service did not run when the meeting began.
    pub external: Option<&'a str>,
    /// The id of a recording.
    pub record: Option<&'a str>,
}

/// The meeting of an event.
#[must_use]
pub fn about(event: &Value) -> About<'_> {
    let text = |pointer| event.pointer(pointer).and_then(Value::as_str);
    About {
        internal: text("/data/attributes/meeting/internal-meeting-id"),
        external: text("/data/attributes/meeting/external-meeting-id"),
        record: text("/data/attributes/record-id"),
    }
}

/// The type of an event, such as `user-joined`.
#[must_use]
pub fn name(event: &Value) -> Option<&str> {
    event.pointer("/data/id").and_then(Value::as_str)
}

/// Whether a hook's `eventID` asks for events of this type: a list divided by commas, in any case; without one, all of them.
#[must_use]
pub fn is_wanted(event_id: Option<&str>, name: &str) -> bool {
    event_id.is_none_or(|list| list.split(',').any(|wanted| wanted.eq_ignore_ascii_case(name)))
}

#[cfg(test)]
mod tests;
