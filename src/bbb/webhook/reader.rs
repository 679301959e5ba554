//! Applies the rules to an event.

use http::uri::Authority;
use serde_json::{Map, Value, json};

use super::{
    about, name,
    rules::{Attribute, EVENTS, Rule},
};
use crate::{
    bbb::{addresses::rewritten, meeting_id},
    domain::{callback, ids::TenantId},
};

/// What a tenant may get besides what all get.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Allowed {
    /// From where people come: `ip-address` and `user-agent`.
    pub addresses: bool,
    /// Events with what people write and say: chat, notes, polls, transcripts.
    pub content: bool,
}

/// For whom an event is read.
#[derive(Debug, Clone, Copy)]
pub struct Reader<'a> {
    /// Whose meeting it is.
    pub tenant: &'a TenantId,
    /// The tenant's own id of the meeting.
    pub meeting_id: &'a str,
    /// The internal id of the meeting.
    pub internal_id: &'a str,
    /// The names under which the server may speak of itself: see [`super::Posted::names`].
    pub names: &'a [Authority],
    /// The tenant's host.
    pub authority: &'a str,
    /// What the tenant may get.
    pub allowed: Allowed,
}

impl Reader<'_> {
    /// An event for the tenant: with its own id of the meeting, with addresses on its host, and without all that has no rule.
    /// `None` where nothing of it is for the tenant.
    #[must_use]
    pub fn event(&self, event: &Value) -> Option<Value> {
        let id = name(event)?;
        let events = EVENTS.iter().find(|events| events.ids.contains(&id))?;
        let (about, internal) = (about(event), Some(self.internal_id));
        let is_ours = about.internal == internal && (about.record.is_none() || about.record == internal);
        if !is_ours || (events.content && !self.allowed.content) {
            return None;
        }
        let server_id =
            about.external.map_or_else(|| meeting_id::to_server(self.tenant, self.meeting_id), str::to_owned);
        let meeting = Meeting { reader: self, server_id };
        let attributes = event.pointer("/data/attributes")?.as_object()?;
        let attributes = meeting.object(attributes, events.attributes);
        let ts = event.pointer("/data/event/ts").filter(|ts| ts.is_number());
        Some(json!({ "data": { "type": "event", "id": id, "attributes": attributes, "event": { "ts": ts } } }))
    }
}

/// The meeting of one event.
struct Meeting<'a> {
    reader: &'a Reader<'a>,
    /// Its external id on the server.
    server_id: String,
}

impl Meeting<'_> {
    /// The attributes that have a rule.
    fn object(&self, object: &Map<String, Value>, rules: &[Attribute]) -> Map<String, Value> {
        let named = rules.iter().filter_map(|(name, rule)| Some((*name, rule, object.get(*name)?)));
        named.filter_map(|(name, rule, value)| Some((name.to_owned(), self.ruled(*rule, value)?))).collect()
    }

    fn ruled(&self, rule: Rule, value: &Value) -> Option<Value> {
        match (rule, value) {
            // That they are the meeting's was asked before.
            (Rule::Internal | Rule::Record, _) => Some(self.reader.internal_id.into()),
            (Rule::External, _) => Some(self.reader.meeting_id.into()),
            (Rule::Person, _) if !self.reader.allowed.addresses => None,
            (Rule::Object(rules) | Rule::Either(rules), Value::Object(object)) => {
                Some(self.object(object, rules).into())
            }
            (Rule::Map, Value::Object(object)) => Some(self.map(object).into()),
            (Rule::Object(_) | Rule::Either(_) | Rule::Value, Value::Array(values)) => {
                // A list in a list is nothing that the service makes.
                let values = values.iter().filter(|value| !value.is_array());
                Some(values.filter_map(|value| self.ruled(rule, value)).collect())
            }
            (Rule::Value | Rule::Person | Rule::Either(_), value) => self.plain(value),
            (Rule::Map | Rule::Object(_), _) => None,
        }
    }

    /// What a tenant has named itself, but for what the gateway has put there: its own addresses of callbacks.
    fn map(&self, object: &Map<String, Value>) -> Map<String, Value> {
        let is_own = |value: &Value| value.as_str().is_some_and(|text| text.contains(callback::PATH));
        let named = object.iter().filter(|(name, value)| !is_own(value) && self.text(name).as_ref() == Some(*name));
        named.filter_map(|(name, value)| Some((name.clone(), self.plain(value)?))).collect()
    }

    fn plain(&self, value: &Value) -> Option<Value> {
        match value {
            Value::String(text) => self.text(text).map(Value::from),
            Value::Null | Value::Bool(_) | Value::Number(_) => Some(value.clone()),
            Value::Array(_) | Value::Object(_) => None,
        }
    }

    /// A text with the tenant's own id and host in it. `None` for one that still names the server.
    fn text(&self, text: &str) -> Option<String> {
        if text == self.server_id {
            return Some(self.reader.meeting_id.to_owned());
        }
        let text = rewritten(text, self.reader.names, self.reader.authority, "").unwrap_or_else(|| text.to_owned());
        (!self.names_server(&text)).then_some(text)
    }

    /// Whether a text has the name of the server in it, other than in that of the tenant's host. A name without a dot says
    /// nothing, and may be any word.
    fn names_server(&self, text: &str) -> bool {
        let text = text.to_ascii_lowercase().replace(&self.reader.authority.to_ascii_lowercase(), "");
        let hosts = self.reader.names.iter().map(|name| name.host().to_ascii_lowercase());
        hosts.filter(|host| host.contains(['.', ':'])).any(|host| has_word(&text, &host))
    }
}

/// Whether a word is in a text, and not within another one.
fn has_word(text: &str, word: &str) -> bool {
    let is_part = |c: Option<char>| c.is_some_and(|c| c.is_ascii_alphanumeric());
    text.match_indices(word).any(|(at, word)| {
        let (before, rest) = text.split_at(at);
        !is_part(before.chars().next_back()) && !is_part(rest[word.len()..].chars().next())
    })
}
