//! Deliveries by a clock that is set, to a receiver on loopback that the test takes for a public one.

use std::{
    net::{IpAddr, Ipv4Addr},
    sync::Arc,
    time::Duration,
};

use tempfile::TempDir;
use tokio::{sync::watch, task::yield_now, time::timeout};

use super::{
    deliver::{self, round},
    receive::{Said, receive},
    retry::retry,
    take,
};
use crate::{
    bbb::{
        callback::{Claims, sign},
        query::Params,
    },
    domain::{
        admission::RoomUsage,
        calendar::Calendar,
        callback::State,
        denial::Denial,
        directory::Directory,
        fixtures,
        ids::MeetingNumber,
        tenant::Tenant,
        time::{Clock, Deadline},
    },
    meetings::{
        Meetings,
        fixtures::{BROKEN, LOOPBACK, Names, OK, Receiver, gateway, opened},
    },
    store::{Admitted, CallbackRow, NewMeeting, Store},
};

/// Of a server.
const PEER: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
const HOUR: Duration = Duration::from_secs(3600);

/// A gateway, and a meeting that has ended at the server.
struct Scene {
    meetings: Arc<Meetings>,
    clock: Clock,
    tenant: Arc<Tenant>,
    store: Store,
    _dir: TempDir,
}

impl Scene {
    async fn with(names: Names) -> Self {
        let (meetings, clock, store, dir) = opened(names).await;
        let meetings = Arc::new(meetings);
        let tenant = Arc::clone(meetings.directory.load().tenant("wagtail").expect("configured"));
        Self { meetings, clock, tenant, store, _dir: dir }
    }

    async fn new() -> Self {
        Self::with(LOOPBACK).await
    }

    /// A meeting whose `create` names addresses. Returns the gateway's own, by the parameter that the server gets.
    async fn meeting(&self, ext_id: &str, named: &[(&str, &str)]) -> (MeetingNumber, Params) {
        let server = "bbb-01".parse().expect("an id");
        let now = self.clock.now();
        let new = NewMeeting {
            tenant: &self.tenant.id,
            account: "main",
            ext_id,
            server: &server,
            owner: self.store.gateway(),
            participants: None,
            expected: 1,
            records: true,
            ends_at: Some(Deadline::Never),
            afterglow: Duration::ZERO,
            now,
            retained_since: None,
            runs_since: None,
        };
        let admitted = self.store.meetings().admit(&new, None::<fn(RoomUsage) -> Result<(), Denial>>).await;
        let Ok(Admitted::New { id, .. }) = admitted else { panic!("a new room") };
        let (mut asked, mut to_server) = (Params::default(), Params::default());
        named.iter().for_each(|(name, url)| asked.set(name, *url));
        let signed = ("wagtail.meet.example", "main/1");
        let taken = take::take(&self.meetings.callbacks, &self.tenant, signed, &asked, &mut to_server);
        take::keep(&self.meetings, id, &taken).await.expect("kept");
        (id, to_server)
    }

    async fn say(&self, address: &str, said: &Said) -> Result<bool, Denial> {
        let directory = self.meetings.directory.load_full();
        let mut parts = address.rsplit('/');
        let (code, kind) = (parts.next().expect("a code"), parts.next().expect("a kind"));
        let code = self.meetings.callbacks.code(&self.tenant.id, kind, code).ok_or(Denial::NotFound)?;
        receive(&self.meetings, (&directory, &self.tenant, PEER.into()), (kind, code), said).await
    }

    /// An end that its server has told, to be delivered to this receiver.
    async fn told(&self, receiver: &Receiver) -> CallbackRow {
        let url = format!("http://school.example:{}/ended", receiver.address.port());
        let (id, to_server) = self.meeting("room", &[("meetingEndedURL", &url)]).await;
        let said = Said::Ended { meeting_id: "t.wagtail.room".into(), marks: true };
        assert_eq!(self.say(to_server.get("meetingEndedURL").expect("replaced"), &said).await, Ok(true));
        self.store.meetings().end(id, self.clock.now()).await.expect("ended");
        self.rows(State::Waiting).await.remove(0)
    }

    async fn rows(&self, state: State) -> Vec<CallbackRow> {
        self.store.callbacks().list(None, state).await.expect("listed")
    }
}

#[tokio::test]
async fn a_receiver_that_is_down_for_an_hour_has_its_callback_once() {
    let (scene, receiver) = (Scene::new().await, Receiver::start(BROKEN).await);
    scene.told(&receiver).await;
    let begun = scene.clock.now();
    let mut tries = Vec::new();
    while scene.clock.now() < begun.saturating_add(HOUR) {
        if round(&scene.meetings).await > 0 {
            tries.push(scene.clock.now().saturating_duration_since(begun).as_secs());
        }
        scene.clock.advance(Duration::from_secs(10));
    }
    assert_eq!(tries, [0, 30, 90, 210, 510, 1110, 2310], "with growing pauses");
    receiver.answers(OK);
    scene.clock.advance(HOUR);
    assert_eq!(round(&scene.meetings).await, 1);
    for _ in 0..30 {
        scene.clock.advance(HOUR);
        assert_eq!(round(&scene.meetings).await, 0, "delivered, and the gateway tells no end of its own");
    }
    assert_eq!(receiver.calls(), tries.len() + 1);
    let seen = receiver.seen.lock().expect("whole")[0].clone();
    assert!(seen.starts_with("GET /ended?recordingmarks=true&meetingID=room HTTP/1.1\r\n"), "{seen}");
    assert!(seen.contains("\r\nhost: school.example:"), "{seen}");
}

#[tokio::test]
async fn what_is_no_success_is_tried_again_for_a_day_and_then_given_up() {
    for (answer, result) in [
        (BROKEN, "HTTP 500"),
        ("HTTP/1.1 401 Unauthorized\r\ncontent-length: 0\r\n\r\n", "HTTP 401"),
        ("HTTP/1.1 302 Found\r\nlocation: http://127.0.0.1:1/\r\ncontent-length: 0\r\n\r\n", "HTTP 302"),
        ("", "connection broken"),
    ] {
        let (scene, receiver) = (Scene::new().await, Receiver::start(answer).await);
        let id = scene.told(&receiver).await.id;
        for _ in 0..24 * 12 + 1 {
            round(&scene.meetings).await;
            scene.clock.advance(Duration::from_secs(300));
        }
        let row = scene.rows(State::GivenUp).await.remove(0);
        assert_eq!((row.id, row.result.as_deref()), (id, Some(result)));
        assert!((25..32).contains(&row.tries) && receiver.calls() == row.tries as usize, "{result}: {}", row.tries);
        // The operator has seen to it.
        receiver.answers(OK);
        assert_eq!(retry(&scene.meetings, id).await.expect("written").expect("there").state, State::Waiting);
        assert_eq!((round(&scene.meetings).await, scene.rows(State::Delivered).await.len()), (1, 1));
        assert_eq!(retry(&scene.meetings, id).await.expect("looked"), None, "once");
    }
}

#[tokio::test]
async fn a_receiver_that_is_gone_is_not_asked_again() {
    let scene = Scene::new().await;
    let receiver = Receiver::start("HTTP/1.1 410 Gone\r\ncontent-length: 0\r\n\r\n").await;
    scene.told(&receiver).await;
    round(&scene.meetings).await;
    assert_eq!(scene.rows(State::GivenUp).await.len(), 1);
}

#[tokio::test]
async fn a_name_that_turns_private_between_two_tries_is_not_called() {
    let (scene, receiver) = (Scene::with((&[[127, 0, 0, 1]], &[[10, 0, 0, 1]])).await, Receiver::start(BROKEN).await);
    scene.told(&receiver).await;
    for result in ["HTTP 500", "address is not public"] {
        round(&scene.meetings).await;
        scene.clock.advance(HOUR);
        assert_eq!(scene.rows(State::Waiting).await[0].result.as_deref(), Some(result));
    }
    assert_eq!(receiver.calls(), 1);
}

#[tokio::test]
async fn the_gateway_tells_the_end_that_its_server_cannot_once() {
    let (scene, receiver) = (Scene::new().await, Receiver::start(OK).await);
    let url = format!("http://school.example:{}/ended", receiver.address.port());
    let (id, to_server) = scene.meeting("room", &[("meta_endCallbackUrl", &url)]).await;
    scene.store.meetings().end(id, scene.clock.now()).await.expect("ended");
    scene.clock.advance(Duration::from_secs(599));
    assert_eq!(round(&scene.meetings).await, 0, "its server may yet tell");
    scene.clock.advance(Duration::from_secs(1));
    assert_eq!(round(&scene.meetings).await, 1);
    assert!(receiver.seen.lock().expect("whole")[0].contains("?recordingmarks=false&meetingID=room "));
    // The server is back, and tells what it still knows.
    let said = Said::Ended { meeting_id: "t.wagtail.room".into(), marks: false };
    assert_eq!(scene.say(to_server.get("meetingEndedURL").expect("replaced"), &said).await, Ok(true));
    scene.clock.advance(HOUR);
    assert_eq!((round(&scene.meetings).await, receiver.calls()), (0, 1));
}

#[tokio::test]
async fn two_gateways_deliver_each_callback_once() {
    let (scene, receiver) = (Scene::new().await, Receiver::start(OK).await);
    let other = gateway(scene.store.clone(), scene.clock.clone(), LOOPBACK).await;
    let url = format!("http://school.example:{}/ready", receiver.address.port());
    let (_, to_server) = scene.meeting("room", &[("meta_bbb-recording-ready-url", &url)]).await;
    let address = to_server.get("meta_bbb-recording-ready-url").expect("replaced");
    let secret = fixtures::server("bbb-01", "members").secret;
    for n in 0..20 {
        let claims = [("record_id".to_owned(), n.into())];
        let token = sign("HS256", &Claims::from_iter(claims), &secret).expect("signed");
        assert_eq!(scene.say(address, &Said::Parameters(token)).await, Ok(true));
    }
    while !scene.rows(State::Waiting).await.is_empty() {
        tokio::join!(round(&scene.meetings), round(&other));
    }
    assert_eq!(receiver.calls(), 20);
}

#[tokio::test]
async fn a_delivery_that_has_begun_is_written_down_before_the_gateway_stops() {
    let (scene, receiver) = (Scene::new().await, Receiver::start(OK).await);
    scene.told(&receiver).await;
    // It is to wait for the stop alone by then.
    scene.meetings.callbacks.wake.notified().await;
    let closed = receiver.gate.write().await;
    let (stop, stopped) = watch::channel(false);
    let delivering = tokio::spawn(deliver::run(Arc::clone(&scene.meetings), stopped));
    let called = async {
        while receiver.calls() == 0 {
            yield_now().await;
        }
    };
    timeout(Duration::from_secs(30), called).await.expect("called");
    stop.send_replace(true);
    drop(closed);
    timeout(Duration::from_secs(30), delivering).await.expect("in time").expect("no panic");
    assert_eq!((scene.rows(State::Delivered).await.len(), receiver.calls()), (1, 1));
}

#[tokio::test]
async fn a_secret_that_is_gone_signs_nothing() {
    let (scene, receiver) = (Scene::new().await, Receiver::start(OK).await);
    let url = format!("http://school.example:{}/ready", receiver.address.port());
    let (_, to_server) = scene.meeting("room", &[("meta_bbb-recording-ready-url", &url)]).await;
    let secret = fixtures::server("bbb-01", "members").secret;
    let token = sign("HS256", &Claims::new(), &secret).expect("signed");
    let address = to_server.get("meta_bbb-recording-ready-url").expect("replaced");
    assert_eq!(scene.say(address, &Said::Parameters(token)).await, Ok(true));
    let without = Tenant { credentials: Vec::new(), ..fixtures::tenant("wagtail") };
    let calendar = Arc::new(Calendar::new(Arc::new(without), Vec::new()));
    scene.meetings.directory.store(Arc::new(Directory::new(vec![calendar], Vec::new())));
    round(&scene.meetings).await;
    let row = scene.rows(State::Waiting).await.remove(0);
    assert!(row.result.is_some_and(|result| result.contains("secret")));
    assert_eq!(receiver.calls(), 0);
}
