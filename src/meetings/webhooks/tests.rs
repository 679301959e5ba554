//! Webhooks by a clock that is set, to receivers on loopback that the test takes for public ones.

use std::{sync::Arc, time::Duration};

use serde_json::{Value, json};
use tempfile::TempDir;

use super::{
    deliver::{round, round_at},
    forget,
    owner::{Owner, owner},
    read,
    receive::receive,
    registry::{self, Created, Wish},
};
use crate::{
    bbb::{
        answer::Failure,
        meeting_id::internal_start,
        webhook::{self, Form, about},
    },
    domain::{
        calendar::Calendar,
        denial::Denial,
        directory::Directory,
        fixtures,
        ids::{ExternalId, InternalId},
        limits::Limit,
        tenant::Tenant,
        time::Clock,
        webhook::EVENT_BYTES_MAX,
    },
    live::recordings::Recording,
    meetings::{
        Meetings,
        fixtures::{BROKEN, LOOPBACK, Names, OK, Receiver, gateway, opened},
    },
    store::Store,
};

const HOUR: Duration = Duration::from_secs(3600);

struct Scene {
    meetings: Arc<Meetings>,
    clock: Clock,
    store: Store,
    _dir: TempDir,
}

/// The internal id of a room of a tenant.
fn internal(tenant: &str, room: &str) -> String {
    format!("{}1800000000000", internal_start(&format!("t.{tenant}.{room}")))
}

fn event(tenant: &str, room: &str, name: &str, ts: u64) -> Value {
    let meeting = json!({
        "internal-meeting-id": internal(tenant, room),
        "external-meeting-id": format!("t.{tenant}.{room}"),
    });
    json!({ "data": { "type": "event", "id": name, "attributes": { "meeting": meeting }, "event": { "ts": ts } } })
}

impl Scene {
    async fn with(names: Names) -> Self {
        let (meetings, clock, store, dir) = opened(names).await;
        let meetings = Arc::new(meetings);
        Self { meetings, clock, store, _dir: dir }
    }

    async fn new() -> Self {
        Self::with(LOOPBACK).await
    }

    fn tenant(&self, id: &str) -> Arc<Tenant> {
        Arc::clone(self.meetings.directory.load().tenant(id).expect("configured"))
    }

    async fn register(&self, tenant: &str, wish: Wish<'_>) -> Result<Created, Failure> {
        registry::create(&self.meetings, &self.tenant(tenant), wish).await
    }

    /// A webhook of `wagtail` at this receiver.
    async fn webhook(&self, receiver: &Receiver) -> String {
        let url = format!("http://school.example:{}/hook", receiver.address.port());
        let Ok(Created::New(id)) = self.register("wagtail", wish(&url)).await else { panic!("a new webhook") };
        id
    }

    /// The server posts events.
    async fn say(&self, events: &[Value]) {
        self.say_to(&self.meetings, events).await;
    }

    /// The same, to one of two gateways.
    async fn say_to(&self, meetings: &Meetings, events: &[Value]) {
        self.told(meetings, events).await.expect("received");
    }

    async fn told(&self, meetings: &Meetings, events: &[Value]) -> Result<(), Denial> {
        let form = webhook::form("bbb-01.internal.test", &json!(events).to_string(), "1800000000000");
        let posted = Form::read(form.as_bytes()).and_then(Form::posted).expect("a form");
        let directory = meetings.directory.load_full();
        let server = directory.server("bbb-01").expect("configured");
        receive(meetings, (&directory, server), &posted).await
    }

    /// How many events wait.
    async fn waiting(&self) -> u64 {
        self.store.webhooks().waiting().await.expect("read").iter().map(|(_, n)| n).sum()
    }

    async fn ids(&self) -> Vec<String> {
        self.store.webhooks().all().await.expect("read").into_iter().map(|row| row.id).collect()
    }
}

fn wish(url: &str) -> Wish<'_> {
    Wish { url, meeting: None, events: None, secret: "main/1" }
}

/// The times of the events that a receiver has seen.
fn seen(receiver: &Receiver) -> Vec<u64> {
    let seen = receiver.seen.lock().expect("whole");
    let ts = |request: &String| {
        let (_, form) = request.split_once("\r\n\r\n").expect("a body");
        Form::read(form.as_bytes()).and_then(Form::posted).expect("a form").events[0]["data"]["event"]["ts"]
            .as_u64()
            .expect("a time")
    };
    seen.iter().map(ts).collect()
}

#[tokio::test]
async fn a_receiver_that_is_down_gets_its_events_in_order_when_it_is_back() {
    let (scene, receiver) = (Scene::new().await, Receiver::start(BROKEN).await);
    scene.webhook(&receiver).await;
    let begun = scene.clock.now();
    let mut tries = Vec::new();
    for n in 0..360 {
        if n < 3 {
            scene.say(&[event("wagtail", "room", "user-joined", n)]).await;
        }
        if round(&scene.meetings).await > 0 {
            tries.push(scene.clock.now().saturating_duration_since(begun).as_secs());
        }
        scene.clock.advance(Duration::from_secs(10));
    }
    assert_eq!(tries, [0, 30, 90, 210, 510, 1110, 2310], "one event for each pause");
    assert_eq!(seen(&receiver), [0; 7], "the others wait behind it");
    receiver.answers(OK);
    scene.clock.advance(HOUR);
    assert_eq!((round(&scene.meetings).await, seen(&receiver)[7..].to_vec()), (1, vec![0, 1, 2]));
    assert_eq!((round(&scene.meetings).await, scene.waiting().await), (0, 0));
    scene.say(&[event("wagtail", "room", "user-joined", 1)]).await;
    assert_eq!(round(&scene.meetings).await, 0, "what its server says again is known");
    let request = receiver.seen.lock().expect("whole")[9].clone();
    assert!(request.starts_with("POST /hook?checksum="), "{request}");
    assert!(request.contains("\r\ncontent-type: application/x-www-form-urlencoded"), "{request}");
}

#[tokio::test]
async fn a_webhook_whose_receiver_is_gone_is_removed() {
    let (scene, receiver) = (Scene::new().await, Receiver::start(BROKEN).await);
    let id = scene.webhook(&receiver).await;
    scene.say(&[event("wagtail", "room", "user-joined", 1)]).await;
    for _ in 0..24 {
        assert_eq!(scene.ids().await, std::slice::from_ref(&id));
        round(&scene.meetings).await;
        scene.clock.advance(HOUR);
    }
    round(&scene.meetings).await;
    assert_eq!(scene.ids().await, Vec::<String>::new(), "after a day");
    assert_eq!(scene.waiting().await, 0);

    scene.webhook(&receiver).await;
    receiver.answers("HTTP/1.1 410 Gone\r\ncontent-length: 0\r\n\r\n");
    scene.say(&[event("wagtail", "room", "user-joined", 2)]).await;
    round(&scene.meetings).await;
    assert_eq!(scene.ids().await, Vec::<String>::new(), "at once, where it says so");
    let calls = receiver.calls();
    scene.say(&[event("wagtail", "room", "user-joined", 3)]).await;
    assert_eq!((round(&scene.meetings).await, receiver.calls()), (0, calls));
}

#[tokio::test]
async fn what_a_receiver_takes_ends_its_failures_though_it_fails_again_at_once() {
    let (scene, receiver) = (Scene::new().await, Receiver::start(BROKEN).await);
    scene.webhook(&receiver).await;
    scene.say(&[event("wagtail", "room", "user-joined", 1)]).await;
    round(&scene.meetings).await;
    scene.say(&[event("wagtail", "room", "user-joined", 2), event("wagtail", "room", "user-joined", 3)]).await;
    scene.clock.advance(25 * HOUR);
    receiver.answers_first(&[OK], BROKEN);
    round(&scene.meetings).await;
    let row = scene.store.webhooks().all().await.expect("read").remove(0);
    assert_eq!((row.tries, row.failing_since, scene.waiting().await), (1, Some(scene.clock.now()), 2));
    assert_eq!(row.due_at.saturating_duration_since(scene.clock.now()).as_secs(), 30);
    assert_eq!(seen(&receiver), [1, 1, 2]);
}

#[tokio::test]
async fn a_webhook_that_the_operator_has_tried_again_is_not_removed_by_a_try_in_flight() {
    let (scene, receiver) = (Scene::new().await, Receiver::start(BROKEN).await);
    let id = scene.webhook(&receiver).await;
    scene.say(&[event("wagtail", "room", "user-joined", 1)]).await;
    round(&scene.meetings).await;
    scene.clock.advance(25 * HOUR);
    receiver.answers("HTTP/1.1 410 Gone\r\ncontent-length: 0\r\n\r\n");
    let closed = receiver.gate.write().await;
    let operator = async {
        while receiver.calls() < 2 {
            tokio::task::yield_now().await;
        }
        scene.clock.advance(Duration::from_secs(1));
        registry::retry(&scene.meetings, &id).await.expect("asked").expect("there");
        drop(closed);
    };
    tokio::join!(round(&scene.meetings), operator);
    let row = scene.store.webhooks().all().await.expect("read").remove(0);
    assert_eq!((row.tries, row.failing_since, row.due_at), (0, None, scene.clock.now()));
    receiver.answers(OK);
    assert_eq!((round(&scene.meetings).await, seen(&receiver)), (1, vec![1; 3]), "it is tried at once");
}

#[tokio::test]
async fn a_webhook_that_its_tenant_removes_gets_nothing_more_of_what_was_read_for_it() {
    let (scene, receiver) = (Scene::new().await, Receiver::start(OK).await);
    let id = scene.webhook(&receiver).await;
    let events: Vec<_> = (0..9).map(|n| event("wagtail", "room", "user-joined", n)).collect();
    scene.say(&events).await;
    let closed = receiver.gate.write().await;
    let owner = async {
        while receiver.calls() < 1 {
            tokio::task::yield_now().await;
        }
        assert!(registry::destroy(&scene.meetings, &scene.tenant("wagtail").id, &id).await.expect("asked"));
        drop(closed);
    };
    tokio::join!(round(&scene.meetings), owner);
    assert_eq!(seen(&receiver), [0]);
}

#[tokio::test]
async fn a_webhook_that_is_claimed_at_a_stop_is_free_again_as_it_was() {
    let (scene, receiver) = (Scene::new().await, Receiver::start(BROKEN).await);
    scene.webhook(&receiver).await;
    scene.say(&[event("wagtail", "room", "user-joined", 1)]).await;
    round(&scene.meetings).await;
    scene.clock.advance(HOUR);
    let before = scene.store.webhooks().all().await.expect("read");
    round_at(&scene.meetings, true).await;
    let after = scene.store.webhooks().all().await.expect("read");
    assert_eq!((receiver.calls(), after), (1, before));
    receiver.answers(OK);
    assert_eq!((round(&scene.meetings).await, scene.waiting().await), (1, 0), "another gateway goes on at once");
}

#[tokio::test]
async fn what_is_no_success_is_tried_again() {
    for (answer, result) in [
        ("HTTP/1.1 401 Unauthorized\r\ncontent-length: 0\r\n\r\n", "HTTP 401"),
        ("HTTP/1.1 302 Found\r\nlocation: http://127.0.0.1:1/\r\ncontent-length: 0\r\n\r\n", "HTTP 302"),
        ("", "connection broken"),
    ] {
        let (scene, receiver) = (Scene::new().await, Receiver::start(answer).await);
        scene.webhook(&receiver).await;
        scene.say(&[event("wagtail", "room", "user-joined", 1)]).await;
        round(&scene.meetings).await;
        let row = scene.store.webhooks().all().await.expect("read").remove(0);
        assert_eq!((row.result.as_deref(), row.tries, scene.waiting().await), (Some(result), 1, 1));
    }
}

#[tokio::test]
async fn a_name_that_turns_private_is_not_called() {
    let (scene, receiver) = (Scene::with((&[[127, 0, 0, 1]], &[[10, 0, 0, 1]])).await, Receiver::start(OK).await);
    scene.webhook(&receiver).await;
    for n in [1, 2] {
        scene.say(&[event("wagtail", "room", "user-joined", n)]).await;
        round(&scene.meetings).await;
    }
    let row = scene.store.webhooks().all().await.expect("read").remove(0);
    assert_eq!((row.result.as_deref(), seen(&receiver)), (Some("address is not public"), vec![1]));
}

#[tokio::test]
async fn of_tenants_without_webhooks_nothing_is_kept() {
    let (scene, receiver) = (Scene::new().await, Receiver::start(OK).await);
    scene.webhook(&receiver).await;
    scene.say(&[event("heron", "room", "user-joined", 1), event("wagtail", "room", "user-joined", 2)]).await;
    assert_eq!(scene.waiting().await, 1);
    round(&scene.meetings).await;
    assert_eq!(seen(&receiver), [2]);
    scene.say(&[event("dove", "room", "user-joined", 3), json!({ "data": 7 }), json!(7)]).await;
    assert_eq!(scene.waiting().await, 0, "a tenant that there is not, and garbage");
}

#[tokio::test]
async fn an_event_is_counted_once_for_each_webhook_and_one_that_is_too_large_is_dropped() {
    let (scene, receiver) = (Scene::new().await, Receiver::start(OK).await);
    scene.webhook(&receiver).await;
    scene.register("wagtail", wish("https://school.example/other")).await.expect("registered");
    let counted = || {
        let metrics = scene.meetings.metrics.tenant(&scene.tenant("wagtail").id);
        metrics.webhooks.all().map(|(event, n)| (event.as_str(), n)).collect::<Vec<_>>()
    };
    let mut created = event("wagtail", "room", "meeting-created", 1);
    let metadata = |bytes: usize| json!({ "note": "x".repeat(bytes) });
    created["data"]["attributes"]["meeting"]["metadata"] = metadata(EVENT_BYTES_MAX);
    scene.say(&[created.clone()]).await;
    assert_eq!((counted(), scene.waiting().await), (vec![("dropped", 2)], 0));
    created["data"]["attributes"]["meeting"]["metadata"] = metadata(EVENT_BYTES_MAX - 1_000);
    for _ in 0..2 {
        scene.say(&[created.clone()]).await;
    }
    assert_eq!((counted(), scene.waiting().await), (vec![("received", 2), ("dropped", 2)], 2));
}

#[tokio::test]
async fn a_call_waits_3_s_for_a_store_that_fails_or_that_others_use() {
    let (scene, receiver) = (Scene::new().await, Receiver::start(OK).await);
    scene.webhook(&receiver).await;
    let said = [event("wagtail", "room", "user-joined", 1)];
    let directory = scene.meetings.directory.load_full();
    let server = &directory.server("bbb-01").expect("configured").id;
    let take = |server| scene.meetings.webhooks.receipts.try_take(server, &(), 1);
    let turns = [take(server), take(server)];
    assert!(turns.iter().all(Option::is_some) && take(server).is_none());
    assert!(take(&fixtures::server("own", "others").id).is_some(), "another server");
    tokio::time::pause();
    let refused = async |what| {
        let began = tokio::time::Instant::now();
        assert_eq!(scene.told(&scene.meetings, &said).await, Err(Denial::StoreUnavailable), "{what}");
        assert_eq!(began.elapsed().as_secs(), 3, "{what}");
    };
    refused("the turns of its server are taken").await;
    drop(turns);
    scene.store.close().await;
    refused("the store fails").await;
}

#[tokio::test]
async fn a_webhook_of_a_meeting_is_removed_when_it_had_no_use_for_90_days() {
    let (scene, receiver) = (Scene::new().await, Receiver::start(OK).await);
    let all = scene.webhook(&receiver).await;
    let of_room = Wish { meeting: Some("room"), ..wish("https://school.example/room") };
    scene.register("wagtail", of_room).await.expect("registered");
    scene.clock.advance(90 * 24 * HOUR);
    forget::round(&scene.meetings).await.expect("done");
    assert_eq!(scene.ids().await.len(), 2);
    scene.clock.advance(HOUR);
    forget::round(&scene.meetings).await.expect("done");
    assert_eq!(scene.ids().await, [all]);
    let metrics = scene.meetings.metrics.tenant(&scene.tenant("wagtail").id);
    assert_eq!(metrics.webhooks.all().map(|(event, n)| (event.as_str(), n)).collect::<Vec<_>>(), [("removed", 1)]);
    assert_eq!(scene.meetings.webhooks.registered.load().values().flatten().count(), 1);
}

#[tokio::test]
async fn a_tenant_that_may_have_no_webhooks_any_more_gets_no_events() {
    let (scene, receiver) = (Scene::new().await, Receiver::start(OK).await);
    scene.webhook(&receiver).await;
    let mut tenant = fixtures::tenant("wagtail");
    Arc::make_mut(&mut tenant.limits).webhooks = Limit::AtMost(0);
    let calendar = Arc::new(Calendar::new(Arc::new(tenant), Vec::new()));
    let servers = vec![Arc::new(fixtures::server("bbb-01", "members"))];
    scene.meetings.directory.store(Arc::new(Directory::new(vec![calendar], servers)));
    scene.say(&[event("wagtail", "room", "user-joined", 1)]).await;
    assert_eq!(scene.waiting().await, 0);
}

#[tokio::test]
async fn a_webhook_gets_what_it_asks_for() {
    let (scene, receiver) = (Scene::new().await, Receiver::start(OK).await);
    let url = format!("http://school.example:{}/hook", receiver.address.port());
    let asks = Wish { meeting: Some("a"), events: Some("User-Joined,user-left"), ..wish(&url) };
    scene.register("wagtail", asks).await.expect("registered");
    let all = [("a", "user-joined"), ("b", "user-joined"), ("a", "meeting-ended"), ("a", "user-left")];
    for (n, (room, name)) in (0..).zip(all) {
        scene.say(&[event("wagtail", room, name, n)]).await;
    }
    round(&scene.meetings).await;
    assert_eq!(seen(&receiver), [0, 3]);
}

#[tokio::test]
async fn what_is_asked_for_in_vain_is_refused() {
    let scene = Scene::new().await;
    let long = "x".repeat(4096);
    for (asks, why) in [
        (wish("http://10.0.0.1/x"), Failure::HOOK_ADDRESS),
        (wish("https://localhost/x"), Failure::HOOK_ADDRESS),
        (wish("ftp://school.example/x"), Failure::HOOK_ADDRESS),
        (wish("https://user:word@school.example/x"), Failure::HOOK_ADDRESS),
        (Wish { meeting: Some(&long), ..wish("https://school.example") }, Failure::HOOK_FILTER),
        (Wish { events: Some(&long), ..wish("https://school.example") }, Failure::HOOK_FILTER),
    ] {
        assert_eq!(scene.register("wagtail", asks).await, Err(why), "{}", asks.url);
    }
    for n in 0..100 {
        let url = format!("https://school.example/{n}");
        assert!(matches!(scene.register("wagtail", wish(&url)).await, Ok(Created::New(_))), "{n}");
    }
    assert_eq!(scene.register("wagtail", wish("https://school.example/x")).await, Err(Failure::HOOKS_MAX));
    assert!(scene.register("heron", wish("https://school.example/x")).await.is_ok(), "another tenant");
}

#[tokio::test]
async fn an_event_is_of_the_tenant_that_has_the_meeting_on_this_server() {
    let scene = Scene::new().await;
    let (meetings, directory) = (&scene.meetings, scene.meetings.directory.load_full());
    let one = directory.server("bbb-01").expect("configured");
    // No tenant has a pool with this one.
    let other = fixtures::server("own", "others");
    let tenants = ["wagtail", "heron"].map(|id| id.parse().expect("an id"));
    let of = |server, event: &Value| owner(meetings, (&directory, server), about(event), tenants.iter());
    let joined = event("wagtail", "room", "user-joined", 1);
    let expected = |tenant: &str, ext_id: &str, internal_id: String| {
        Some(Owner { tenant: tenant.parse().expect("an id"), ext_id: ext_id.into(), internal_id })
    };
    assert_eq!(of(one, &joined), expected("wagtail", "room", internal("wagtail", "room")));
    assert_eq!(of(&other, &joined), None, "another server says so");
    let mut others = joined.clone();
    others["data"]["attributes"]["meeting"]["internal-meeting-id"] = internal("heron", "room").into();
    assert_eq!(of(one, &others), None, "its ids are of two meetings");
    let unknown = event("dove", "room", "user-joined", 1);
    assert_eq!(of(one, &unknown), None);
    let long = event("wagtail", "#0a", "user-joined", 1);
    assert_eq!(of(one, &long), None, "a digest is nothing to a tenant");

    // Of a recording the server may know the internal id alone.
    let mut recording = event("wagtail", "old", "rap-published", 1);
    recording["data"]["attributes"]["meeting"]["external-meeting-id"] = Value::Null;
    assert_eq!(of(one, &recording), None);
    let id = InternalId::new(&internal("wagtail", "old"));
    let known = Recording { id: id.clone(), ext_id: ExternalId::new("old"), server: one.id.clone() };
    meetings.live.recordings.add(&tenants[0], known);
    assert_eq!(of(one, &recording), expected("wagtail", "old", id.to_string()));
    assert_eq!(of(&other, &recording), None, "it is on another server");
}

#[tokio::test]
async fn what_another_gateway_registers_is_known_when_it_is_read() {
    let (scene, receiver) = (Scene::new().await, Receiver::start(OK).await);
    let other = gateway(scene.store.clone(), scene.clock.clone(), LOOPBACK).await;
    let id = scene.webhook(&receiver).await;
    let known = || other.webhooks.registered.load().values().flatten().map(|webhook| webhook.id.clone()).next();
    assert_eq!(known(), None);
    read(&other).await.expect("read");
    assert_eq!(known(), Some(id.clone()));
    assert!(registry::destroy(&scene.meetings, &scene.tenant("wagtail").id, &id).await.expect("asked"));
    read(&other).await.expect("read");
    assert_eq!(known(), None);
}

#[tokio::test]
async fn a_gateway_that_has_not_heard_of_a_webhook_keeps_its_events() {
    let (scene, receiver) = (Scene::new().await, Receiver::start(OK).await);
    let other = gateway(scene.store.clone(), scene.clock.clone(), LOOPBACK).await;
    scene.webhook(&receiver).await;
    scene.say_to(&other, &[event("wagtail", "room", "meeting-created", 1)]).await;
    assert_eq!(scene.waiting().await, 1);
}

#[tokio::test]
async fn of_two_gateways_one_delivers() {
    let (scene, receiver) = (Scene::new().await, Receiver::start(OK).await);
    let other = gateway(scene.store.clone(), scene.clock.clone(), LOOPBACK).await;
    scene.webhook(&receiver).await;
    let events: Vec<_> = (0..30).map(|n| event("wagtail", "room", "user-joined", n)).collect();
    scene.say(&events).await;
    let (one, two) = tokio::join!(round(&scene.meetings), round(&other));
    assert_eq!((one + two, seen(&receiver)), (1, (0..20).collect::<Vec<_>>()), "a claim has so many");
    let (one, two) = tokio::join!(round(&scene.meetings), round(&other));
    assert_eq!((one + two, seen(&receiver)), (1, (0..30).collect::<Vec<_>>()));
}
