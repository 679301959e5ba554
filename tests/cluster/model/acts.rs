//! What is done: by integrations, by people, by servers that fail and gateways that die.

use std::{sync::atomic::Ordering::Relaxed, time::Duration};

use anteroom_bench::{
    chance::Chance,
    sign,
    sim::{Breakage, CannedAnswer},
};
use bytes::Bytes;
use futures_util::{SinkExt, StreamExt};
use http::{Request, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper_util::rt::TokioIo;
use tokio_tungstenite::tungstenite::{Message, client::IntoClientRequest};

use super::scene::{Scene, TENANTS};
use crate::support::{Client, DEADLINE, Joined, Reply, Socket, greet, host, secret};

const ROOMS: [&str; 3] = ["one", "two", "three"];
/// Few, so that they come back.
const USERS: [&str; 4] = ["u1", "u2", "u3", "u4"];

/// Somebody who has joined.
pub struct Person {
    pub tenant: String,
    pub room: String,
    joined: Joined,
    pub socket: Option<Socket>,
}

/// Something that is done; the number is that of a gateway, a server, or a person.
#[derive(Debug, Clone, Copy)]
pub enum Act {
    Create(usize, &'static str, &'static str, &'static str),
    End(usize, &'static str, &'static str),
    Join(usize, &'static str, &'static str, Option<&'static str>),
    Open(usize, u64),
    Close(u64),
    /// A moderator ends it in the client.
    EndAtServer(usize, u64),
    Fail(usize, Failure),
    Kill(usize),
    Stop(usize),
}

/// What is wrong with a server.
#[derive(Debug, Clone, Copy)]
pub enum Failure {
    /// It is away, and comes back with its meetings.
    Down,
    /// It starts anew, without them.
    Restart,
    Slow,
    /// It answers a call of this name with an error.
    Refuses(&'static str),
    /// It does calls of this name, and the answer is lost.
    Breaks(&'static str),
    /// The sockets of all who are there are lost.
    CutSockets,
}

impl Scene {
    pub fn choose(&self, chance: &mut Chance) -> Act {
        let at = chance.one_of(0..self.clients.len()).unwrap();
        let server = chance.one_of(0..self.sims.len()).unwrap();
        let tenant = chance.one_of(&TENANTS).unwrap();
        let account = chance.one_of(tenant.accounts).copied().unwrap();
        let room = chance.one_of(ROOMS).unwrap();
        match chance.below(100) {
            0..16 => Act::Create(at, tenant.name, account, room),
            16..50 => {
                let running = |room: &&str| {
                    self.sims.iter().any(|sim| sim.meeting(&format!("t.{}.{room}", tenant.name)).is_some())
                };
                let room = chance.one_of(ROOMS.into_iter().filter(running)).unwrap_or(room);
                Act::Join(at, tenant.name, room, chance.one_of(USERS).filter(|_| chance.once_in(2)))
            }
            50..78 => Act::Open(at, chance.below(1_000)),
            78..86 => Act::Close(chance.below(1_000)),
            86..89 => Act::End(at, tenant.name, room),
            89..91 => Act::EndAtServer(server, chance.below(1_000)),
            91..96 => Act::Fail(server, failure(chance)),
            96..98 => Act::Kill(at),
            98 => Act::Stop(at),
            _ => Act::Fail(server, Failure::CutSockets),
        }
    }

    pub async fn act(&self, act: Act) {
        match act {
            Act::Create(at, tenant, account, room) => drop(self.create(at, tenant, account, room).await),
            Act::End(at, tenant, room) => drop(self.end(at, tenant, room).await),
            Act::Join(at, tenant, room, user) => self.join(at, tenant, room, user).await,
            Act::Open(at, who) => self.open(at, who).await,
            Act::Close(who) => {
                if let Some(person) = self.person(who, Person::is_there) {
                    self.people.lock().unwrap().push(Person { socket: None, ..person });
                }
            }
            Act::EndAtServer(server, which) => self.end_at_server(server, which),
            Act::Fail(server, failure) => self.fail(server, failure),
            Act::Kill(at) => {
                let mut program = self.programs[at].lock().await;
                program.kill();
                program.resume().await;
            }
            Act::Stop(at) => {
                let mut program = self.programs[at].lock().await;
                program.stop().await;
                program.resume().await;
            }
        }
    }

    pub async fn create(&self, at: usize, tenant: &str, account: &str, room: &str) -> Option<Reply> {
        let mut params = vec![
            ("name", room),
            ("meetingID", room),
            ("meetingExpireWhenLastUserLeftInMinutes", "60"),
            ("meetingExpireIfNoUserJoinedInMinutes", "60"),
        ];
        if tenant == "owners" {
            params.push(("meta_owner", account));
        }
        self.api(at, tenant, "create", &params).await
    }

    pub async fn end(&self, at: usize, tenant: &str, room: &str) -> Option<Reply> {
        self.api(at, tenant, "end", &[("meetingID", room)]).await
    }

    async fn join(&self, at: usize, tenant: &str, room: &str, user: Option<&str>) {
        let mut params = vec![("meetingID", room), ("fullName", "Somebody"), ("role", "VIEWER")];
        params.extend(user.map(|user| ("userID", user)));
        let Some(reply) = self.api(at, tenant, "join", &params).await else { return };
        if reply.status != StatusCode::FOUND {
            return;
        }
        let location = reply.header("location");
        let slug =
            location.strip_prefix(&format!("https://{}/s/", host(tenant))).and_then(|rest| rest.split('/').next());
        let Some(slug) = slug else { panic!("joined to {location}") };
        let joined = Joined {
            prefix: format!("/s/{slug}"),
            token: reply.location_param("sessionToken"),
            cookies: reply.cookies(),
        };
        let person = Person { tenant: tenant.to_owned(), room: room.to_owned(), joined, socket: None };
        self.people.lock().unwrap().push(person);
    }

    async fn open(&self, at: usize, who: u64) {
        let Some(mut person) = self.person(who, |person| !person.is_there()) else { return };
        person.socket = socket(&self.clients[at], &host(&person.tenant), &person.joined).await;
        // Some try again.
        if person.is_there() || who.is_multiple_of(2) {
            self.people.lock().unwrap().push(person);
        }
    }

    /// Takes somebody of this kind out of the people.
    fn person(&self, who: u64, is: impl Fn(&Person) -> bool) -> Option<Person> {
        let mut people = self.people.lock().unwrap();
        let those: Vec<usize> = (0..people.len()).filter(|at| is(&people[*at])).collect();
        let at = those.get(usize::try_from(who).unwrap() % those.len().max(1))?;
        Some(people.swap_remove(*at))
    }

    fn end_at_server(&self, server: usize, which: u64) {
        let meetings = self.sims[server].meetings();
        if let Some(meeting) = meetings.get(usize::try_from(which).unwrap() % meetings.len().max(1)) {
            self.sims[server].end_meeting(&meeting.ext_id);
        }
    }

    fn fail(&self, server: usize, failure: Failure) {
        self.ill[server].store(true, Relaxed);
        let faults = self.sims[server].faults();
        match failure {
            Failure::Down => faults.set_down(true),
            Failure::Restart => faults.restart(),
            Failure::Slow => faults.set_api_delay(Duration::from_millis(700)),
            Failure::Refuses(call) => faults.set_call_answer(call, Some(CannedAnswer::page(500))),
            Failure::Breaks(call) => faults.set_call_breakage(call, Some(Breakage::NoAnswer)),
            Failure::CutSockets => faults.cut_sockets(),
        }
    }

    pub fn heal_server(&self, server: usize) {
        self.ill[server].store(false, Relaxed);
        let faults = self.sims[server].faults();
        faults.set_down(false);
        faults.set_api_delay(Duration::ZERO);
        for call in CALLS {
            faults.set_call_answer(call, None);
            faults.set_call_breakage(call, None);
        }
    }

    /// Those whose sockets were cut on the way are not there any more.
    pub async fn forget_the_cut_off(&self) {
        let people = std::mem::take(&mut *self.people.lock().unwrap());
        for mut person in people {
            if let Some(mut socket) = person.socket.take() {
                let answered = tokio::time::timeout(DEADLINE, echoes(&mut socket)).await;
                person.socket = answered.is_ok_and(|echoes| echoes).then_some(socket);
            }
            self.people.lock().unwrap().push(person);
        }
    }

    pub async fn leave(&self) {
        self.people.lock().unwrap().clear();
    }

    async fn api(&self, at: usize, tenant: &str, call: &str, params: &[(&str, &str)]) -> Option<Reply> {
        ask(&self.clients[at], &host(tenant), &sign::path(call, params, &secret(tenant))).await
    }
}

const CALLS: [&str; 4] = ["create", "join", "getMeetings", "end"];

fn failure(chance: &mut Chance) -> Failure {
    match chance.below(5) {
        0 => Failure::Down,
        1 => Failure::Restart,
        2 => Failure::Slow,
        3 => Failure::Refuses(chance.one_of(CALLS).unwrap()),
        _ => Failure::Breaks(chance.one_of(CALLS).unwrap()),
    }
}

impl Person {
    fn is_there(&self) -> bool {
        self.socket.is_some()
    }
}

/// Asks a gateway that may die meanwhile.
async fn ask(client: &Client, host: &str, path: &str) -> Option<Reply> {
    let stream = client.connect(host).await.ok()?;
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.ok()?;
    tokio::spawn(connection);
    let request = Request::get(path).header("host", host).body(Full::<Bytes>::default()).unwrap();
    let (head, body) = sender.send_request(request).await.ok()?.into_parts();
    let body = body.collect().await.ok()?.to_bytes();
    Some(Reply { status: head.status, headers: head.headers, body: String::from_utf8_lossy(&body).into_owned() })
}

/// Opens a GraphQL socket, at a gateway that may die meanwhile or have no seat.
async fn socket(client: &Client, host: &str, joined: &Joined) -> Option<Socket> {
    let mut request = format!("wss://{host}{}/graphql", joined.prefix).into_client_request().unwrap();
    let headers = [
        ("cookie", joined.cookies.clone()),
        ("origin", format!("https://{host}")),
        ("sec-websocket-protocol", "graphql-transport-ws".to_owned()),
    ];
    for (name, value) in headers {
        request.headers_mut().insert(name, value.parse().unwrap());
    }
    let stream = client.connect(host).await.ok()?;
    let mut socket = tokio_tungstenite::client_async(request, stream).await.ok()?.0;
    greet(&mut socket, &joined.token).await.ok()?;
    Some(socket)
}

async fn echoes(socket: &mut Socket) -> bool {
    if socket.send(Message::text(r#"{"type":"ping"}"#)).await.is_err() {
        return false;
    }
    while let Some(Ok(message)) = socket.next().await {
        if message.to_text().is_ok_and(|text| text.contains("pong")) {
            return true;
        }
    }
    false
}
