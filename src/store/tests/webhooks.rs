//! Webhooks and their events: kept, claimed, delivered, removed.

use super::*;
use crate::domain::webhook::Waiting;

for_both!(
    a_tenant_has_a_webhook_once_for_an_address_and_only_so_many,
    a_webhook_is_removed_by_its_own_tenant_with_its_events,
    an_event_is_kept_once_also_after_it_was_delivered,
    events_come_in_their_order,
    what_is_held_is_not_claimed_until_its_time_is_over,
    tenants_are_served_in_turn,
    a_tenant_has_only_so_many_events_that_wait,
    a_tenant_has_only_so_many_bytes_that_wait,
    a_webhook_that_is_down_leaves_room_for_the_others_of_its_tenant,
    an_event_says_for_how_many_webhooks_it_was_kept_and_dropped,
    a_pause_is_the_webhooks_and_a_success_ends_it,
    a_try_in_flight_does_not_undo_what_the_operator_asks_for,
    a_webhook_that_is_claimed_is_removed_unless_it_was_lost_or_is_to_be_tried,
    delivered_events_are_forgotten_in_pieces,
    a_webhook_of_a_meeting_that_is_forgotten_goes_when_it_was_not_used_for_long,
);

fn tenant(id: &str) -> TenantId {
    id.parse().expect("an id")
}

async fn add(store: &Store, of: &str, id: &str, url: &str, meeting: Option<&str>, most: u32) -> AddedWebhook {
    let tenant = tenant(of);
    let new = NewWebhook { id, url, meeting, most: Limit::AtMost(most), ..wanted(&tenant) };
    store.webhooks().add(&new).await.expect("written")
}

fn wanted(of: &TenantId) -> NewWebhook<'_> {
    NewWebhook {
        id: "w",
        tenant: of,
        url: "https://school.example",
        meeting: None,
        events: Some("user-joined"),
        secret: "main/1",
        now: ms(1_000),
        most: Limit::AtMost(9),
    }
}

/// A webhook at an address of its own.
async fn webhook(store: &Store, of: &str, id: &str) {
    assert_eq!(add(store, of, id, &format!("https://school.example/{id}"), None, 9).await, AddedWebhook::New);
}

/// What is given free after a try that has not failed.
fn free(at: i64) -> Tried<'static> {
    Tried { result: Some("HTTP 200"), tries: 0, failing_since: None, due_at: ms(at) }
}

fn event_for(of: &str, webhooks: &[&str], content: &str) -> NewEvent {
    NewEvent {
        tenant: tenant(of),
        webhooks: webhooks.iter().map(|id| (*id).to_owned()).collect(),
        content: content.into(),
        body: format!("body {content}"),
    }
}

fn event(of: &str, webhook: &str, content: &str) -> NewEvent {
    event_for(of, &[webhook], content)
}

fn events(most: u64) -> Waiting {
    Waiting { events: most, bytes: u64::MAX }
}

async fn added(store: &Store, event: NewEvent, at: i64, most: Waiting) -> (u64, u64) {
    let added = store.webhooks().add_event(ms(at), most, &event).await.expect("written");
    (added.kept, added.dropped)
}

/// Keeps an event where there is room enough.
async fn say(store: &Store, event: NewEvent, at: i64) {
    assert_eq!(added(store, event, at, events(100)).await.1, 0);
}

async fn claimed(store: &Store, most: usize, of_tenant: u32, at: i64) -> Vec<WebhookRow> {
    let claim = Claim { most, of_tenant, now: ms(at), until: ms(at + 60_000) };
    store.webhooks().claim(claim).await.expect("claimed")
}

async fn bodies(store: &Store, webhook: &str) -> Vec<String> {
    let events = store.webhooks().events(webhook, 100).await.expect("read");
    events.into_iter().map(|event| event.body).collect()
}

async fn a_tenant_has_a_webhook_once_for_an_address_and_only_so_many(fixture: Fixture) {
    let store = &fixture.store;
    assert_eq!(add(store, "wagtail", "w1", "https://a.example", None, 2).await, AddedWebhook::New);
    let known = AddedWebhook::Known("w1".into());
    assert_eq!(add(store, "wagtail", "w2", "https://a.example", Some("room"), 2).await, known);
    assert_eq!(add(store, "heron", "h1", "https://a.example", None, 2).await, AddedWebhook::New, "another's");
    assert_eq!(add(store, "wagtail", "w3", "https://b.example", Some("room"), 2).await, AddedWebhook::New);
    assert_eq!(add(store, "wagtail", "w4", "https://c.example", None, 2).await, AddedWebhook::Full);
    assert_eq!(add(store, "wagtail", "w5", "https://a.example", None, 0).await, known, "it has that one");
    let own = store.webhooks().of(&tenant("wagtail")).await.expect("read");
    assert_eq!(own.iter().map(|row| &*row.id).collect::<Vec<_>>(), ["w1", "w3"]);
    assert_eq!(own[1].meeting.as_ref().map(|id| id.as_str()), Some("room"));
    assert_eq!(
        (own[0].events.as_deref(), &*own[0].secret, own[0].created_at),
        (Some("user-joined"), "main/1", ms(1_000))
    );
    assert_eq!(store.webhooks().all().await.expect("read").len(), 3);
}

async fn a_webhook_is_removed_by_its_own_tenant_with_its_events(fixture: Fixture) {
    let store = &fixture.store;
    webhook(store, "wagtail", "w").await;
    say(store, event("wagtail", "w", "1"), 10).await;
    assert!(!store.webhooks().remove(&tenant("heron"), "w").await.expect("asked"));
    assert_eq!(store.webhooks().waiting().await.expect("read"), [("w".to_owned(), 1)]);
    assert!(store.webhooks().remove(&tenant("wagtail"), "w").await.expect("asked"));
    assert!(!store.webhooks().remove(&tenant("wagtail"), "w").await.expect("asked"), "once");
    assert_eq!(store.webhooks().waiting().await.expect("read"), []);
    assert_eq!(added(store, event("wagtail", "w", "2"), 20, events(9)).await, (0, 0), "it is for none");
    assert_eq!(bodies(store, "w").await, Vec::<String>::new());
}

async fn an_event_is_kept_once_also_after_it_was_delivered(fixture: Fixture) {
    let store = &fixture.store;
    for id in ["w1", "w2"] {
        webhook(store, "wagtail", id).await;
    }
    for at in [10, 20] {
        say(store, event("wagtail", "w1", "1"), at).await;
    }
    say(store, event("wagtail", "w2", "1"), 30).await;
    let events = store.webhooks().events("w1", 9).await.expect("read");
    assert_eq!(events.iter().map(|event| event.received_at).collect::<Vec<_>>(), [ms(10)]);
    store.webhooks().delivered(events[0].id, ms(40)).await.expect("written");
    say(store, event("wagtail", "w1", "1"), 50).await;
    assert_eq!(bodies(store, "w1").await, Vec::<String>::new());
    assert_eq!(bodies(store, "w2").await, ["body 1"]);
    store.webhooks().forget_delivered(ms(40), 9).await.expect("deleted");
    say(store, event("wagtail", "w1", "1"), 60).await;
    assert_eq!(bodies(store, "w1").await, Vec::<String>::new(), "it is known still");
    store.webhooks().forget_delivered(ms(41), 9).await.expect("deleted");
    say(store, event("wagtail", "w1", "1"), 70).await;
    assert_eq!((bodies(store, "w1").await.len(), bodies(store, "w2").await.len()), (1, 1));
}

async fn events_come_in_their_order(fixture: Fixture) {
    let store = &fixture.store;
    webhook(store, "wagtail", "w").await;
    for n in 0..5 {
        say(store, event("wagtail", "w", &n.to_string()), 10).await;
    }
    assert_eq!(bodies(store, "w").await, ["body 0", "body 1", "body 2", "body 3", "body 4"]);
    assert_eq!(store.webhooks().events("w", 2).await.expect("read").len(), 2);
}

async fn what_is_held_is_not_claimed_until_its_time_is_over(fixture: Fixture) {
    let store = &fixture.store;
    webhook(store, "wagtail", "w").await;
    assert_eq!(claimed(store, 9, 9, 10).await, [], "nothing waits");
    say(store, event("wagtail", "w", "1"), 10).await;
    assert_eq!(claimed(store, 9, 9, 999).await, [], "it is not due before it is made");
    let first = claimed(store, 9, 9, 2_000).await;
    assert_eq!((first.len(), first[0].held_until), (1, ms(62_000)));
    assert_eq!(claimed(store, 9, 9, 61_999).await, [], "another gateway has it");
    let second = claimed(store, 9, 9, 62_000).await;
    assert_eq!(second.len(), 1, "that one has died");
    store.webhooks().release(&first[0], free(62_001)).await.expect("written");
    assert_eq!(claimed(store, 9, 9, 62_002).await, [], "who has lost it does not give it free");
    store.webhooks().release(&second[0], free(62_003)).await.expect("written");
    assert_eq!(claimed(store, 9, 9, 62_004).await.len(), 1);
}

async fn tenants_are_served_in_turn(fixture: Fixture) {
    let store = &fixture.store;
    for (of, id) in [("wagtail", "w1"), ("wagtail", "w2"), ("wagtail", "w3"), ("heron", "h1")] {
        webhook(store, of, id).await;
        say(store, event(of, id, "1"), 10).await;
    }
    let mut first: Vec<_> = claimed(store, 2, 2, 2_000).await.into_iter().map(|row| row.id).collect();
    first.sort();
    assert_eq!(first, ["h1", "w1"]);
    let next: Vec<_> = claimed(store, 9, 2, 2_000).await.into_iter().map(|row| row.id).collect();
    assert_eq!(next, ["w2"], "a tenant has two at a time");
    assert_eq!(claimed(store, 9, 2, 2_000).await, []);
}

async fn a_tenant_has_only_so_many_events_that_wait(fixture: Fixture) {
    let store = &fixture.store;
    for (of, id) in [("wagtail", "w1"), ("wagtail", "w2"), ("heron", "h")] {
        webhook(store, of, id).await;
    }
    let say = async |of, id, content| added(store, event(of, id, content), 10, events(3)).await;
    assert_eq!(say("wagtail", "w1", "1").await, (1, 0));
    assert_eq!(say("wagtail", "w1", "2").await, (1, 0));
    assert_eq!(say("wagtail", "w1", "3").await, (0, 1), "there would be less room than it has taken");
    assert_eq!(say("wagtail", "w2", "1").await, (1, 0), "the last");
    assert_eq!(say("wagtail", "w2", "2").await, (0, 1));
    assert_eq!(say("heron", "h", "1").await, (1, 0), "another tenant");
    let first = store.webhooks().events("w1", 1).await.expect("read");
    assert!(store.webhooks().delivered(first[0].id, ms(30)).await.expect("written"));
    assert_eq!(say("wagtail", "w1", "3").await, (0, 1), "it has one still");
    let first = store.webhooks().events("w1", 1).await.expect("read");
    assert!(store.webhooks().delivered(first[0].id, ms(30)).await.expect("written"));
    assert_eq!(say("wagtail", "w1", "3").await, (1, 0));
    assert!(store.webhooks().remove(&tenant("wagtail"), "w2").await.expect("asked"));
    assert!(!store.webhooks().delivered(99, ms(30)).await.expect("written"), "that webhook is gone");
}

async fn a_tenant_has_only_so_many_bytes_that_wait(fixture: Fixture) {
    let store = &fixture.store;
    for id in ["w1", "w2"] {
        webhook(store, "wagtail", id).await;
    }
    // A body has 6 bytes; of other letters it has more than it has characters.
    let most = Waiting { events: u64::MAX, bytes: 18 };
    let say = async |id, content| added(store, event("wagtail", id, content), 10, most).await;
    assert_eq!(say("w1", "\u{e4}\u{e4}\u{e4}\u{e4}\u{e4}\u{e4}\u{e4}").await, (0, 1), "19 bytes");
    assert_eq!(say("w1", "1").await, (1, 0));
    assert_eq!(say("w1", "2").await, (1, 0));
    assert_eq!(say("w1", "3").await, (0, 1));
    assert_eq!(say("w2", "10").await, (0, 1), "one byte too many");
    assert_eq!(say("w2", "1").await, (1, 0));
}

async fn a_webhook_that_is_down_leaves_room_for_the_others_of_its_tenant(fixture: Fixture) {
    let store = &fixture.store;
    for id in ["down", "up"] {
        webhook(store, "wagtail", id).await;
    }
    let mut kept = (0, 0);
    for n in 0..40 {
        let event = event_for("wagtail", &["down", "up"], &n.to_string());
        let (all, _) = added(store, event, n, events(20)).await;
        let up = store.webhooks().events("up", 9).await.expect("read");
        kept = (kept.0 + all, kept.1 + up.len());
        for event in up {
            store.webhooks().delivered(event.id, ms(n)).await.expect("written");
        }
    }
    assert_eq!((bodies(store, "down").await.len(), kept), (10, (50, 40)));
}

async fn an_event_says_for_how_many_webhooks_it_was_kept_and_dropped(fixture: Fixture) {
    let store = &fixture.store;
    for (of, id) in [("wagtail", "w1"), ("wagtail", "w2"), ("wagtail", "w3"), ("heron", "h")] {
        webhook(store, of, id).await;
    }
    assert_eq!(added(store, event("wagtail", "w1", "1"), 10, events(9)).await, (1, 0));
    let all = event_for("wagtail", &["w1", "w2", "w3", "gone", "h"], "1");
    assert_eq!(added(store, all.clone(), 20, events(2)).await, (1, 1), "one has it, and there is room for one");
    assert_eq!(added(store, all.clone(), 30, events(9)).await, (1, 0));
    assert_eq!(added(store, all, 40, events(0)).await, (0, 0), "all have it");
    assert_eq!(bodies(store, "h").await, Vec::<String>::new(), "it is another tenant's");
    for id in ["w1", "w2", "w3"] {
        assert_eq!(bodies(store, id).await, ["body 1"], "{id}");
    }
}

async fn a_pause_is_the_webhooks_and_a_success_ends_it(fixture: Fixture) {
    let store = &fixture.store;
    webhook(store, "wagtail", "w").await;
    say(store, event("wagtail", "w", "1"), 10).await;
    let row = claimed(store, 9, 9, 2_000).await.remove(0);
    let failed = Tried { result: Some("HTTP 500"), tries: 1, failing_since: Some(ms(2_000)), due_at: ms(9_000) };
    store.webhooks().release(&row, failed).await.expect("written");
    say(store, event("wagtail", "w", "2"), 3_000).await;
    assert_eq!(claimed(store, 9, 9, 8_999).await, [], "what has come meanwhile waits too");
    let row = claimed(store, 9, 9, 9_000).await.remove(0);
    assert_eq!((row.tries, row.failing_since, row.result.as_deref()), (1, Some(ms(2_000)), Some("HTTP 500")));
    store.webhooks().release(&row, free(9_001)).await.expect("written");
    let row = claimed(store, 9, 9, 9_001).await.remove(0);
    assert_eq!((row.tries, row.failing_since, row.result.as_deref()), (0, None, Some("HTTP 200")));
}

async fn a_try_in_flight_does_not_undo_what_the_operator_asks_for(fixture: Fixture) {
    let store = &fixture.store;
    webhook(store, "wagtail", "w").await;
    say(store, event("wagtail", "w", "1"), 10).await;
    let first = claimed(store, 9, 9, 2_000).await.remove(0);
    let row = store.webhooks().retry("w", ms(3_000)).await.expect("asked").expect("there");
    assert_eq!((row.tries, row.failing_since, row.due_at), (0, None, ms(3_000)));
    let failed = Tried { result: Some("HTTP 500"), tries: 3, failing_since: Some(ms(1_500)), due_at: ms(99_000) };
    store.webhooks().release(&first, failed).await.expect("written");
    let row = claimed(store, 9, 9, 4_000).await.remove(0);
    assert_eq!((row.tries, row.failing_since, row.due_at), (0, None, ms(3_000)));
    assert_eq!(row.result.as_deref(), Some("HTTP 500"));
    assert_eq!(store.webhooks().retry("none", ms(3_000)).await.expect("asked"), None);
}

async fn a_webhook_that_is_claimed_is_removed_unless_it_was_lost_or_is_to_be_tried(fixture: Fixture) {
    let store = &fixture.store;
    webhook(store, "wagtail", "w").await;
    say(store, event("wagtail", "w", "1"), 10).await;
    let lost = claimed(store, 9, 9, 2_000).await.remove(0);
    let second = claimed(store, 9, 9, 62_000).await.remove(0);
    assert!(!store.webhooks().remove_claimed(&lost).await.expect("asked"), "another gateway has it");
    store.webhooks().retry("w", ms(63_000)).await.expect("asked").expect("there");
    assert!(!store.webhooks().remove_claimed(&second).await.expect("asked"), "the operator wants it tried");
    store.webhooks().release(&second, free(99_000)).await.expect("written");
    let third = claimed(store, 9, 9, 63_000).await.remove(0);
    assert!(store.webhooks().remove_claimed(&third).await.expect("asked"));
    assert!(!store.webhooks().remove_claimed(&third).await.expect("asked"), "once");
    assert_eq!(store.webhooks().registered().await.expect("read"), []);
}

async fn delivered_events_are_forgotten_in_pieces(fixture: Fixture) {
    let store = &fixture.store;
    webhook(store, "wagtail", "w").await;
    for n in 0..5 {
        say(store, event("wagtail", "w", &n.to_string()), n).await;
    }
    let waiting = store.webhooks().events("w", 9).await.expect("read");
    for (n, event) in (0..).zip(&waiting[..4]) {
        store.webhooks().delivered(event.id, ms(100 + n)).await.expect("written");
    }
    let forgotten = async |before| store.webhooks().forget_delivered(ms(before), 2).await.expect("deleted");
    assert_eq!((forgotten(103).await, forgotten(103).await, forgotten(103).await), (2, 1, 0));
    assert_eq!((forgotten(999).await, forgotten(999).await), (1, 0));
    assert_eq!(bodies(store, "w").await, ["body 4"], "it waits");
}

async fn a_webhook_of_a_meeting_that_is_forgotten_goes_when_it_was_not_used_for_long(fixture: Fixture) {
    let store = &fixture.store;
    create(store, "a", "one", 5).await.expect("a room");
    let all = [("wagtail", "all", None), ("wagtail", "one", Some("one")), ("wagtail", "asked", Some("two"))];
    for (of, id, room) in all.into_iter().chain([("wagtail", "busy", Some("two")), ("heron", "theirs", Some("one"))]) {
        add(store, of, id, &format!("https://{id}.example"), room, 9).await;
    }
    let forgotten = async |before| {
        let gone = store.webhooks().forget_unused(ms(before), 9).await.expect("removed");
        gone.into_iter().map(|(of, id)| format!("{of} {id}")).collect::<Vec<_>>()
    };
    assert_eq!(forgotten(1_000).await, Vec::<String>::new(), "they are young");
    // It is asked for again, and that one has an event.
    let (of, url) = (tenant("wagtail"), "https://asked.example");
    let again = NewWebhook { url, now: ms(5_000), ..wanted(&of) };
    assert_eq!(store.webhooks().add(&again).await.expect("asked"), AddedWebhook::Known("asked".into()));
    say(store, event("wagtail", "busy", "1"), 10).await;
    assert_eq!(claimed(store, 9, 9, 4_000).await.len(), 1);
    assert_eq!(forgotten(1_001).await, ["heron theirs"]);
    assert_eq!(forgotten(4_001).await, ["wagtail busy"]);
    assert_eq!(forgotten(5_001).await, ["wagtail asked"]);
    assert_eq!(forgotten(999_999).await, Vec::<String>::new(), "a meeting that is known, and all meetings");
    let left = store.webhooks().registered().await.expect("read");
    assert_eq!(left.iter().map(|row| &*row.id).collect::<Vec<_>>(), ["all", "one"]);
}
