//! Webhooks and their events: kept, claimed, delivered, removed.

use super::*;

for_both!(
    a_tenant_has_a_webhook_once_for_an_address_and_only_so_many,
    a_webhook_is_removed_by_its_own_tenant_with_its_events,
    an_event_is_kept_once_also_after_it_was_delivered,
    events_come_in_their_order,
    what_is_held_is_not_claimed_until_its_time_is_over,
    tenants_are_served_in_turn,
    a_tenant_has_only_so_many_events_that_wait,
    a_pause_is_the_webhooks_and_a_success_ends_it,
    a_try_in_flight_does_not_undo_what_the_operator_asks_for,
    webhooks_of_meetings_that_are_forgotten_go_with_them,
);

fn tenant(id: &str) -> TenantId {
    id.parse().expect("an id")
}

async fn add(store: &Store, of: &str, id: &str, url: &str, meeting: Option<&str>, most: u32) -> AddedWebhook {
    let new = NewWebhook {
        id,
        tenant: &tenant(of),
        url,
        meeting,
        events: Some("user-joined"),
        secret: "main/1",
        now: ms(1_000),
        most: Limit::AtMost(most),
    };
    store.webhooks().add(&new).await.expect("written")
}

/// A webhook at an address of its own.
async fn webhook(store: &Store, of: &str, id: &str) {
    assert_eq!(add(store, of, id, &format!("https://school.example/{id}"), None, 9).await, AddedWebhook::New);
}

fn event(of: &str, webhook: &str, content: &str) -> NewEvent {
    NewEvent { webhook: webhook.into(), tenant: tenant(of), content: content.into(), body: format!("body {content}") }
}

/// Keeps an event. Returns whether there was room.
async fn say(store: &Store, event: NewEvent, at: i64, most: u32) -> bool {
    store.webhooks().add_events(ms(at), most, &[event]).await.expect("written").is_empty()
}

async fn claimed(store: &Store, most: usize, of_tenant: u32, at: i64) -> Vec<WebhookRow> {
    let claim = Claim { most, of_tenant, now: ms(at), until: ms(at + 60_000) };
    store.webhooks().claim(claim).await.expect("claimed")
}

async fn bodies(store: &Store, webhook: &str) -> Vec<String> {
    let events = store.webhooks().events(webhook, 100).await.expect("read");
    events.into_iter().map(|event| event.body).collect()
}

fn tried(failed: bool, at: i64, due_at: i64) -> Tried<'static> {
    Tried { result: "HTTP 500", failed, now: ms(at), due_at: ms(due_at) }
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
    say(store, event("wagtail", "w", "1"), 10, 9).await;
    assert!(!store.webhooks().remove(&tenant("heron"), "w").await.expect("asked"));
    assert_eq!(store.webhooks().waiting().await.expect("read"), [("w".to_owned(), 1)]);
    assert!(store.webhooks().remove(&tenant("wagtail"), "w").await.expect("asked"));
    assert!(!store.webhooks().remove(&tenant("wagtail"), "w").await.expect("asked"), "once");
    assert_eq!(store.webhooks().waiting().await.expect("read"), []);
    assert!(say(store, event("wagtail", "w", "2"), 20, 9).await, "it is for none");
    assert_eq!(bodies(store, "w").await, Vec::<String>::new());
}

async fn an_event_is_kept_once_also_after_it_was_delivered(fixture: Fixture) {
    let store = &fixture.store;
    for id in ["w1", "w2"] {
        webhook(store, "wagtail", id).await;
    }
    for at in [10, 20] {
        say(store, event("wagtail", "w1", "1"), at, 9).await;
    }
    say(store, event("wagtail", "w2", "1"), 30, 9).await;
    let events = store.webhooks().events("w1", 9).await.expect("read");
    assert_eq!(events.iter().map(|event| event.received_at).collect::<Vec<_>>(), [ms(10)]);
    store.webhooks().delivered(events[0].id, ms(40)).await.expect("written");
    say(store, event("wagtail", "w1", "1"), 50, 9).await;
    assert_eq!(bodies(store, "w1").await, Vec::<String>::new());
    assert_eq!(bodies(store, "w2").await, ["body 1"]);
    store.webhooks().purge(ms(40), ms(0)).await.expect("purged");
    say(store, event("wagtail", "w1", "1"), 60, 9).await;
    assert_eq!(bodies(store, "w1").await, Vec::<String>::new(), "it is known still");
    store.webhooks().purge(ms(41), ms(0)).await.expect("purged");
    say(store, event("wagtail", "w1", "1"), 70, 9).await;
    assert_eq!((bodies(store, "w1").await.len(), bodies(store, "w2").await.len()), (1, 1));
}

async fn events_come_in_their_order(fixture: Fixture) {
    let store = &fixture.store;
    webhook(store, "wagtail", "w").await;
    let all: Vec<_> = (0..5).map(|n| event("wagtail", "w", &n.to_string())).collect();
    store.webhooks().add_events(ms(10), 9, &all[..3]).await.expect("written");
    store.webhooks().add_events(ms(10), 9, &all[3..]).await.expect("written");
    assert_eq!(bodies(store, "w").await, ["body 0", "body 1", "body 2", "body 3", "body 4"]);
    assert_eq!(store.webhooks().events("w", 2).await.expect("read").len(), 2);
}

async fn what_is_held_is_not_claimed_until_its_time_is_over(fixture: Fixture) {
    let store = &fixture.store;
    webhook(store, "wagtail", "w").await;
    assert_eq!(claimed(store, 9, 9, 10).await, [], "nothing waits");
    say(store, event("wagtail", "w", "1"), 10, 9).await;
    assert_eq!(claimed(store, 9, 9, 999).await, [], "it is not due before it is made");
    let first = claimed(store, 9, 9, 2_000).await;
    assert_eq!((first.len(), first[0].held_until), (1, ms(62_000)));
    assert_eq!(claimed(store, 9, 9, 61_999).await, [], "another gateway has it");
    let second = claimed(store, 9, 9, 62_000).await;
    assert_eq!(second.len(), 1, "that one has died");
    store.webhooks().release(&first[0], tried(false, 62_001, 62_001)).await.expect("written");
    assert_eq!(claimed(store, 9, 9, 62_002).await, [], "who has lost it does not give it free");
    store.webhooks().release(&second[0], tried(false, 62_003, 62_003)).await.expect("written");
    assert_eq!(claimed(store, 9, 9, 62_004).await.len(), 1);
}

async fn tenants_are_served_in_turn(fixture: Fixture) {
    let store = &fixture.store;
    for (of, id) in [("wagtail", "w1"), ("wagtail", "w2"), ("wagtail", "w3"), ("heron", "h1")] {
        webhook(store, of, id).await;
        say(store, event(of, id, "1"), 10, 9).await;
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
    webhook(store, "wagtail", "w").await;
    webhook(store, "heron", "h").await;
    let events: Vec<_> =
        (0..4).map(|n| event("wagtail", "w", &n.to_string())).chain([event("heron", "h", "1")]).collect();
    let dropped = store.webhooks().add_events(ms(10), 3, &events).await.expect("written");
    assert_eq!(dropped, [tenant("wagtail")]);
    assert!(!say(store, event("wagtail", "w", "5"), 20, 3).await);
    assert_eq!((bodies(store, "w").await.len(), bodies(store, "h").await.len()), (3, 1));
    let first = store.webhooks().events("w", 1).await.expect("read");
    store.webhooks().delivered(first[0].id, ms(30)).await.expect("written");
    assert!(say(store, event("wagtail", "w", "5"), 40, 3).await);
}

async fn a_pause_is_the_webhooks_and_a_success_ends_it(fixture: Fixture) {
    let store = &fixture.store;
    webhook(store, "wagtail", "w").await;
    say(store, event("wagtail", "w", "1"), 10, 9).await;
    let state = async || {
        let row = store.webhooks().all().await.expect("read").remove(0);
        (row.tries, row.failing_since, row.result)
    };
    let failed = Some("HTTP 500".to_owned());
    let row = claimed(store, 9, 9, 2_000).await.remove(0);
    store.webhooks().release(&row, tried(true, 2_000, 9_000)).await.expect("written");
    assert_eq!(state().await, (1, Some(ms(2_000)), failed.clone()));
    say(store, event("wagtail", "w", "2"), 3_000, 9).await;
    assert_eq!(claimed(store, 9, 9, 8_999).await, [], "what has come meanwhile waits too");
    let row = claimed(store, 9, 9, 9_000).await.remove(0);
    store.webhooks().release(&row, tried(true, 9_000, 10_000)).await.expect("written");
    assert_eq!(state().await, (2, Some(ms(2_000)), failed.clone()), "since the first");
    let row = claimed(store, 9, 9, 10_000).await.remove(0);
    store.webhooks().release(&row, tried(false, 10_000, 10_000)).await.expect("written");
    assert_eq!(state().await, (0, None, failed));
}

async fn a_try_in_flight_does_not_undo_what_the_operator_asks_for(fixture: Fixture) {
    let store = &fixture.store;
    webhook(store, "wagtail", "w").await;
    say(store, event("wagtail", "w", "1"), 10, 9).await;
    let first = claimed(store, 9, 9, 2_000).await.remove(0);
    store.webhooks().release(&first, tried(true, 2_000, 2_000)).await.expect("written");
    let second = claimed(store, 9, 9, 2_000).await.remove(0);
    let row = store.webhooks().retry("w", ms(3_000)).await.expect("asked").expect("there");
    assert_eq!((row.tries, row.failing_since, row.due_at), (0, None, ms(3_000)));
    store.webhooks().release(&second, tried(true, 4_000, 99_000)).await.expect("written");
    let row = claimed(store, 9, 9, 4_000).await.remove(0);
    assert_eq!((row.tries, row.failing_since, row.due_at), (0, None, ms(3_000)));
    assert_eq!(store.webhooks().retry("none", ms(3_000)).await.expect("asked"), None);
}

async fn webhooks_of_meetings_that_are_forgotten_go_with_them(fixture: Fixture) {
    let store = &fixture.store;
    create(store, "a", "one", 5).await.expect("a room");
    add(store, "wagtail", "all", "https://a.example", None, 9).await;
    add(store, "wagtail", "one", "https://b.example", Some("one"), 9).await;
    add(store, "wagtail", "two", "https://c.example", Some("two"), 9).await;
    add(store, "heron", "theirs", "https://d.example", Some("one"), 9).await;
    let ids = async || {
        let mut ids: Vec<_> = store.webhooks().all().await.expect("read").into_iter().map(|row| row.id).collect();
        ids.sort();
        ids
    };
    store.webhooks().purge(ms(0), ms(1_000)).await.expect("purged");
    assert_eq!(ids().await, ["all", "one", "theirs", "two"], "they are young");
    store.webhooks().purge(ms(0), ms(1_001)).await.expect("purged");
    assert_eq!(ids().await, ["all", "one"]);
}
