//! Webhooks as `bbb-webhooks` makes them, a service beside the server: who is to be called for which events.
//!
//! Plain data; `calls` answers the API, `event` makes events, `told` finds their hooks, `deliver` calls them. Hooks with
//! `getRaw` are listed, and get nothing: events as they are inside a server are not simulated.

use super::ids;

pub(crate) mod calls;
pub(crate) mod deliver;
mod event;
mod told;

pub(crate) use told::Desk;

/// A release of the service, as far as releases differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Webhooks {
    /// Whether ids of hooks are numbers, and not UUIDs.
    numbers_hooks: bool,
    /// Whether it knows SHA-1 only, and signs the fields of a call as JSON.
    signs_json: bool,
    /// Whether the calls of a hook wait for one another.
    keeps_order: bool,
    /// Whether it finds one hook of a meeting only, and fails to list those of a meeting that has none.
    finds_one: bool,
    /// Whether it tells who is left in a meeting that ends.
    tells_of_leaving: bool,
    /// Whether events of people have the address, the browser and the token of their joins.
    tells_of_joins: bool,
    ping: &'static str,
}

impl Webhooks {
    pub(crate) const V2_6: Self = Self {
        numbers_hooks: true,
        signs_json: true,
        keeps_order: true,
        finds_one: false,
        tells_of_leaving: false,
        tells_of_joins: false,
        ping: "bbb-webhooks up!",
    };
    pub(crate) const V3_1: Self = Self {
        numbers_hooks: false,
        signs_json: false,
        keeps_order: false,
        finds_one: true,
        tells_of_leaving: true,
        tells_of_joins: false,
        ping: "bbb-webhooks API up!",
    };
    pub(crate) const V3_5: Self = Self { tells_of_joins: true, ..Self::V3_1 };
}

/// Somebody who is to be called.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Hook {
    id: String,
    callback_url: String,
    /// The external id of a meeting, where its events alone are wanted.
    meeting: Option<String>,
    /// The types that are wanted, in lower case; all of them where there is no list.
    events: Option<Vec<String>>,
    get_raw: bool,
}

/// All hooks, in the order they came. They are kept in Redis, so a restart keeps them.
#[derive(Default)]
pub(crate) struct Hooks {
    all: Vec<Hook>,
    created: u64,
    /// Whether the service is not installed.
    pub(crate) missing: bool,
}

/// What became of a `hooks/create`.
enum Created {
    New(Hook),
    Duplicate(String),
}

impl Hooks {
    /// Adds a hook, whose id is made here, unless its address has one.
    fn create(&mut self, mut hook: Hook, service: Webhooks) -> Created {
        if let Some(other) = self.all.iter().find(|other| other.callback_url == hook.callback_url) {
            return Created::Duplicate(other.id.clone());
        }
        self.created += 1;
        hook.id = if service.numbers_hooks { self.created.to_string() } else { ids::uuid() };
        self.all.push(hook.clone());
        Created::New(hook)
    }

    /// Returns whether there was such a hook.
    pub(crate) fn destroy(&mut self, id: &str) -> bool {
        let before = self.all.len();
        self.all.retain(|hook| hook.id != id);
        self.all.len() < before
    }

    pub(crate) fn clear(&mut self) {
        self.all.clear();
    }

    fn is_idle(&self) -> bool {
        self.missing || self.all.is_empty()
    }

    fn without_meeting(&self) -> impl Iterator<Item = &Hook> {
        self.all.iter().filter(|hook| hook.meeting.is_none())
    }

    fn of_meeting(&self, ext_id: &str, service: Webhooks) -> impl Iterator<Item = &Hook> {
        let of_meeting = self.all.iter().filter(move |hook| hook.meeting.as_deref() == Some(ext_id));
        of_meeting.take(if service.finds_one { 1 } else { usize::MAX })
    }

    /// The hooks that are called for an event.
    fn wanting(&self, ext_id: &str, event: &str, service: Webhooks) -> impl Iterator<Item = &Hook> {
        let event = event.to_ascii_lowercase();
        let wants = move |hook: &&Hook| hook.events.as_ref().is_none_or(|events| events.contains(&event));
        let all = self.without_meeting().chain(self.of_meeting(ext_id, service));
        all.filter(|hook| !hook.get_raw).filter(wants)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hook(url: &str, meeting: Option<&str>, events: Option<&[&str]>) -> Hook {
        Hook {
            id: String::new(),
            callback_url: url.to_owned(),
            meeting: meeting.map(str::to_owned),
            events: events.map(|events| events.iter().map(|event| (*event).to_owned()).collect()),
            get_raw: false,
        }
    }

    #[test]
    fn a_hook_gets_the_events_that_it_asked_for() {
        for service in [Webhooks::V2_6, Webhooks::V3_5] {
            let mut hooks = Hooks::default();
            for new in [
                hook("a", None, None),
                hook("b", Some("room"), None),
                hook("c", Some("room"), Some(&["user-left", "user-joined"])),
                hook("d", None, Some(&["user-left"])),
                hook("e", Some("other"), None),
                Hook { get_raw: true, ..hook("f", None, None) },
                hook("a", Some("room"), None),
            ] {
                hooks.create(new, service);
            }
            let called = |ext_id, event| {
                hooks.wanting(ext_id, event, service).map(|hook| &*hook.callback_url).collect::<Vec<_>>().join("")
            };
            let left = if service.finds_one { "adb" } else { "adbc" };
            assert_eq!(called("room", "user-left"), left);
            assert_eq!((called("room", "meeting-ended"), called("lobby", "user-joined")), ("ab".into(), "a".into()));
        }
    }
}
