//! Hooks at a server on loopback that keeps them as bbb-webhooks does.

use std::sync::{Mutex, PoisonError};

use http::uri::Scheme;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::RwLock,
};

use super::*;
use crate::{
    bbb::{
        hooks::{Hook, created, list},
        query::Params,
        webhook::{Form, form},
    },
    domain::{calendar::Calendar, fixtures, tenant::Upstream, time::Clock},
    meetings::{
        fixtures::{LOOPBACK, opened},
        webhooks::{
            registry::{self, Wish},
            unknown::is_elsewhere,
        },
    },
};

#[derive(Default)]
struct Service {
    hooks: Vec<Hook>,
    calls: Vec<String>,
    /// Answers all calls with this status.
    fails: Option<u16>,
}

impl Service {
    fn answer(&mut self, target: &str) -> (u16, String) {
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let call = path.rsplit('/').next().unwrap_or_default();
        self.calls.push(call.to_owned());
        if let Some(status) = self.fails {
            return (status, String::new());
        }
        let params = Params::parse(query.as_bytes()).expect("a query");
        match call {
            "create" => {
                let (id, url) =
                    (self.calls.len().to_string(), params.get("callbackURL").expect("an address").to_owned());
                self.hooks.push(Hook { id: id.clone(), url, meeting_id: None, event_id: None });
                (200, created(&id))
            }
            "destroy" => {
                let id = params.get("hookID").expect("an id");
                self.hooks.retain(|hook| hook.id != id);
                (200, crate::bbb::hooks::DESTROYED.to_owned())
            }
            _ => (200, list(&self.hooks)),
        }
    }
}

/// A gateway and its only server.
struct Scene {
    meetings: Meetings,
    clock: Clock,
    service: Arc<Mutex<Service>>,
    /// The server removes hooks while this may be read.
    removes: Arc<RwLock<()>>,
    upstream: Upstream,
    _dir: TempDir,
}

impl Scene {
    async fn new() -> Self {
        let (meetings, clock, _, dir) = opened(LOOPBACK).await;
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let authority = listener.local_addr().expect("bound").to_string().parse().expect("legal");
        let service = Arc::<Mutex<Service>>::default();
        let removes = Arc::<RwLock<()>>::default();
        tokio::spawn(serve(listener, Arc::clone(&service), Arc::clone(&removes)));
        let upstream = Upstream { scheme: Scheme::HTTP, authority };
        let scene = Self { meetings, clock, service, removes, upstream, _dir: dir };
        scene.configure(&["heron", "wagtail"]);
        scene
    }

    fn configure(&self, tenants: &[&str]) {
        let calendar = |id: &&str| Arc::new(Calendar::new(Arc::new(fixtures::tenant(id)), Vec::new()));
        let server = Server { upstream: self.upstream.clone(), ..fixtures::server("bbb-01", "members") };
        let directory = Directory::new(tenants.iter().map(calendar).collect(), vec![Arc::new(server)]);
        let domains = vec!["meet.example".parse().expect("a host")];
        self.meetings.directory.store(Arc::new(directory.with_base_domains(domains)));
    }

    fn service(&self) -> std::sync::MutexGuard<'_, Service> {
        self.service.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn register(&self, tenant: &str) -> String {
        let directory = self.meetings.directory.load_full();
        let wish = Wish { url: "https://school.example/x", meeting: None, events: None, secret: "main/1" };
        let created = registry::create(&self.meetings, directory.tenant(tenant).expect("configured"), wish).await;
        let Ok(registry::Created::New(id)) = created else { panic!("a new webhook") };
        id
    }

    /// A round of the leader after a minute. Returns the hosts of the hooks at the server.
    async fn round(&self) -> Vec<String> {
        self.clock.advance(INTERVAL);
        round(&self.meetings, true, Scope::All).await;
        self.hosts()
    }

    fn hosts(&self) -> Vec<String> {
        let host = |hook: &Hook| hook.url.split('/').nth(2).expect("a host").to_owned();
        self.service().hooks.iter().map(host).collect()
    }

    fn warning(&self) -> Option<String> {
        warning(&self.meetings, self.meetings.directory.load().server("bbb-01").expect("configured"))
    }
}

async fn serve(listener: TcpListener, service: Arc<Mutex<Service>>, removes: Arc<RwLock<()>>) {
    loop {
        let (stream, _) = listener.accept().await.expect("accepted");
        tokio::spawn(answer(stream, Arc::clone(&service), Arc::clone(&removes)));
    }
}

async fn answer(mut stream: TcpStream, service: Arc<Mutex<Service>>, removes: Arc<RwLock<()>>) {
    let mut request = vec![0; 8192];
    let n = stream.read(&mut request).await.unwrap_or(0);
    let request = String::from_utf8_lossy(&request[..n]).into_owned();
    let target = request.split(' ').nth(1).unwrap_or_default();
    let _open = if target.contains("hooks/destroy") { Some(removes.read().await) } else { None };
    let (status, body) = service.lock().unwrap_or_else(PoisonError::into_inner).answer(target);
    let head = format!("HTTP/1.1 {status} X\r\ncontent-length: {}\r\nconnection: close\r\n\r\n", body.len());
    let _ = stream.write_all(format!("{head}{body}").as_bytes()).await;
}

#[tokio::test]
async fn a_server_that_has_lost_the_hook_gets_it_again() {
    let scene = Scene::new().await;
    scene.register("wagtail").await;
    assert_eq!(scene.hosts(), ["heron.meet.example"]);
    scene.service().hooks.clear();
    assert_eq!(scene.round().await, ["heron.meet.example"], "lost, not dropped");
    assert_eq!(scene.warning(), None);
}

#[tokio::test]
async fn a_host_that_a_server_cannot_reach_gives_way_to_the_next() {
    let scene = Scene::new().await;
    scene.register("wagtail").await;
    for _ in 0..5 {
        assert_eq!(scene.round().await, ["heron.meet.example"]);
    }
    scene.service().hooks.clear();
    assert_eq!(scene.round().await, ["wagtail.meet.example"]);
    let warned =
        "tells no events for webhooks: it dropped its hook without a call: it may not reach heron.meet.example";
    assert_eq!(scene.warning().as_deref(), Some(warned));
    let directory = scene.meetings.directory.load_full();
    note_signed(&scene.meetings, directory.server("bbb-01").expect("configured"));
    assert_eq!(scene.warning(), None);
    scene.clock.advance(INTERVAL * 10);
    scene.service().hooks.clear();
    assert_eq!(scene.round().await, ["wagtail.meet.example"], "it could be reached");
}

#[tokio::test]
async fn a_service_that_is_away_is_told_of_and_asked_in_each_round() {
    let scene = Scene::new().await;
    scene.register("wagtail").await;
    scene.service().fails = Some(502);
    for n in 1..=3 {
        scene.round().await;
        assert_eq!(scene.warning().is_some(), n == 3, "{n}");
    }
    assert_eq!(scene.warning().as_deref(), Some("tells no events for webhooks: its bbb-webhooks does not answer"));
    scene.service().fails = None;
    scene.round().await;
    assert_eq!(scene.warning(), None);
    // One refusal is no proof that it is not installed.
    scene.service().fails = Some(404);
    scene.round().await;
    let calls = scene.service().calls.len();
    scene.round().await;
    assert!(scene.service().calls.len() > calls, "asked again");
    assert!(scene.warning().expect("a warning").contains("it has no bbb-webhooks"));
    let calls = scene.service().calls.len();
    scene.round().await;
    assert_eq!(scene.service().calls.len(), calls, "not for ten minutes");
}

#[tokio::test]
async fn a_gateway_that_does_not_lead_removes_nothing_and_knows_nothing_old() {
    let scene = Scene::new().await;
    scene.service().fails = Some(404);
    let id = scene.register("wagtail").await;
    assert!(scene.warning().is_some());
    round(&scene.meetings, false, Scope::All).await;
    assert_eq!(scene.warning(), None, "it would not learn when that changes");
    scene.service().fails = None;
    assert_eq!(scene.round().await, ["heron.meet.example"]);
    let wagtail = "wagtail".parse().expect("an id");
    assert!(registry::destroy(&scene.meetings, &wagtail, &id).await.expect("asked"));
    let directory = scene.meetings.directory.load_full();
    note_call(&scene.meetings, &directory, directory.server("bbb-01").expect("configured"));
    round(&scene.meetings, false, Scope::Changed).await;
    assert_eq!(scene.hosts(), ["heron.meet.example"]);
    note_call(&scene.meetings, &directory, directory.server("bbb-01").expect("configured"));
    round(&scene.meetings, true, Scope::Changed).await;
    assert_eq!(scene.hosts(), Vec::<String>::new());
}

#[tokio::test]
async fn a_gateway_without_the_file_of_a_tenant_keeps_its_hook_and_has_its_events_said_again() {
    let scene = Scene::new().await;
    let id = scene.register("wagtail").await;
    scene.round().await;
    scene.configure(&["heron"]);
    assert_eq!(scene.round().await, ["heron.meet.example"]);
    let directory = scene.meetings.directory.load_full();
    let is_elsewhere = |tenant: &str| {
        let meeting = json!({ "external-meeting-id": format!("t.{tenant}.room") });
        let event: Value = json!([{ "data": { "id": "user-joined", "attributes": { "meeting": meeting } } }]);
        let form = form("bbb-01", &event.to_string(), "1");
        let posted = Form::read(form.as_bytes()).and_then(Form::posted).expect("a form");
        is_elsewhere(&scene.meetings, &directory, &posted)
    };
    let all = ["wagtail", "heron", "dove"];
    assert_eq!(all.map(is_elsewhere), [true, false, false], "one has webhooks and no file");
    scene.clock.advance(INTERVAL * 4);
    assert_eq!(all.map(is_elsewhere), [false; 3], "it has left");
    assert!(registry::remove(&scene.meetings, &id).await.expect("asked").is_some());
    let server = directory.server("bbb-01").expect("configured");
    note_call(&scene.meetings, &directory, server);
    assert_eq!(scene.round().await, Vec::<String>::new());
}

#[tokio::test]
async fn webhooks_that_come_and_go_have_no_server_asked_whose_need_stays() {
    let scene = Scene::new().await;
    let first = scene.register("wagtail").await;
    let calls = scene.service().calls.len();
    let second = scene.register("heron").await;
    round(&scene.meetings, true, Scope::Changed).await;
    assert!(registry::remove(&scene.meetings, &first).await.expect("asked").is_some());
    round(&scene.meetings, true, Scope::Changed).await;
    assert_eq!(scene.service().calls.len(), calls);
    assert!(registry::remove(&scene.meetings, &second).await.expect("asked").is_some());
    round(&scene.meetings, true, Scope::Changed).await;
    assert_eq!(scene.hosts(), Vec::<String>::new(), "none needs it");
}

#[tokio::test]
async fn a_hook_that_could_not_be_removed_is_removed_in_the_next_round() {
    let scene = Scene::new().await;
    let id = scene.register("wagtail").await;
    assert!(registry::remove(&scene.meetings, &id).await.expect("asked").is_some());
    scene.service().fails = Some(502);
    assert_eq!(scene.round().await, ["heron.meet.example"]);
    scene.service().fails = None;
    assert_eq!(scene.round().await, Vec::<String>::new());
}

#[tokio::test]
async fn a_hook_that_is_needed_again_while_it_is_removed_is_made_again_at_once() {
    let scene = Scene::new().await;
    let id = scene.register("wagtail").await;
    assert!(registry::remove(&scene.meetings, &id).await.expect("asked").is_some());
    let held = scene.removes.write().await;
    let again = async {
        // The round has listed the hook, and is about to remove it.
        while scene.service().calls.last().is_none_or(|call| call != "list") {
            tokio::task::yield_now().await;
        }
        scene.register("wagtail").await;
        drop(held);
    };
    let before = scene.service().calls.len();
    scene.service().calls.clear();
    tokio::join!(round(&scene.meetings, true, Scope::Changed), again);
    assert!(before > 0 && scene.hosts().is_empty(), "it was removed");
    round(&scene.meetings, true, Scope::Changed).await;
    assert_eq!(scene.hosts(), ["heron.meet.example"]);
}
