//! Who and what is there, and what has to hold of it.

use std::{
    collections::BTreeMap,
    fs,
    path::Path,
    sync::{
        Mutex,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::Duration,
};

use anteroom::{
    domain::{
        ids::MeetingNumber,
        session::{GRACE, LEASE},
        time::Clock,
    },
    store::{ALIVE, Store},
};
use anteroom_bench::{
    chance::Chance,
    postgres::Postgres,
    sim::{self, Sim},
};
use tempfile::TempDir;
use tokio::sync::Mutex as Turn;

use super::{
    acts::Person,
    books::{Books, Room},
    program::Program,
};
use crate::{
    postgres,
    support::{Client, Plan, succeeds_within},
};

/// A server's minute, in which it counts those who have left, is six seconds.
const SPEED: f64 = 10.0;
/// How long more people may be in a meeting than it has seats: until the store has said which of them have none.
const SETTLED_WITHIN: Duration = Duration::from_secs(6);
/// Polls are five seconds apart, a server is missed twice, a dead gateway is waited for.
const PATIENCE: Duration = Duration::from_secs(60);

/// A tenant, and what it may have.
pub struct Tenant {
    pub name: &'static str,
    pub accounts: &'static [&'static str],
    accounts_max: usize,
    pub rooms_max: usize,
    seats: usize,
}

pub const TENANTS: [Tenant; 2] = [
    Tenant { name: "tiny", accounts: &["main"], accounts_max: 1, rooms_max: 2, seats: 2 },
    Tenant { name: "owners", accounts: &["ada", "bo", "cy"], accounts_max: 2, rooms_max: 1, seats: 3 },
];

/// A PostgreSQL of one's own, with a database.
pub struct Shared {
    pub postgres: Postgres,
    pub url: String,
}

pub struct Scene {
    pub sims: Vec<Sim>,
    pub programs: Vec<Turn<Program>>,
    pub clients: Vec<Client>,
    pub people: Mutex<Vec<Person>>,
    /// Something is wrong with a server, until it is healed.
    pub ill: Vec<AtomicBool>,
    shared: Option<Shared>,
    pub books: Books,
    _dirs: Vec<TempDir>,
}

impl Scene {
    pub async fn set(gateways: usize, shared: Option<Shared>) -> Self {
        let config = || sim::Config { speed: SPEED, ..sim::Config::default() };
        let plan = Plan::new()
            .server_with("members", config())
            .server_with("members", config())
            .tenant_with("tiny", "free", "---[limits]\nrooms = 2\nparticipants = 2")
            .tenant_with(
                "owners",
                "level-1",
                "account_param = \"meta_owner\"---[limits]\naccounts = 2\nrooms = 1\nparticipants = 3",
            );
        let dirs: Vec<_> = (0..gateways).map(|_| tempfile::tempdir().unwrap()).collect();
        let sims = plan.prepare(dirs[0].path()).await;
        let url = match &shared {
            Some(shared) => shared.url.clone(),
            None => format!("sqlite:{}", dirs[0].path().join("var/anteroom.db").display()),
        };
        for dir in &dirs[1..] {
            copy(dirs[0].path(), dir.path());
        }
        let (mut programs, mut clients) = (Vec::new(), Vec::new());
        for dir in &dirs {
            let (program, client) = Program::start(dir.path(), &url).await;
            programs.push(Turn::new(program));
            clients.push(client);
        }
        let ill = sims.iter().map(|_| AtomicBool::new(false)).collect();
        Self { sims, programs, clients, people: Mutex::default(), ill, shared, books: Books { url }, _dirs: dirs }
    }

    /// Takes the store away for a while, where it is a server, and waits until the gateways trust it again.
    async fn lose_the_store(&mut self) {
        let Some(Shared { postgres, url }) = self.shared.take() else { return };
        let stopped = postgres::stop(postgres).await;
        // For how long it is away.
        tokio::time::sleep(Duration::from_millis(1_500)).await;
        self.shared = Some(Shared { postgres: postgres::resume(stopped).await, url });
        for program in &self.programs {
            program.lock().await.is_ready().await;
        }
    }

    /// After several things at once: what is ill may get well again.
    pub async fn recover(&mut self, chance: &mut Chance) {
        for at in 0..self.sims.len() {
            if self.ill[at].load(Relaxed) && chance.once_in(3) {
                self.heal_server(at);
            }
        }
        if chance.once_in(25) {
            self.lose_the_store().await;
        }
    }

    /// Everything works again.
    pub async fn heal(&self) {
        (0..self.sims.len()).for_each(|at| self.heal_server(at));
        // Meetings that have ended meanwhile are noticed, and a store that was away is asked again.
        succeeds_within(PATIENCE, "the books and the servers agree", async || match self.books.rooms().await {
            Ok(rooms) => self.disagreement(&rooms).map_or(Ok(()), Err),
            Err(error) => Err(error.to_string()),
        })
        .await;
    }

    /// A room that its server does not have, or people in a meeting that is in no book.
    fn disagreement(&self, rooms: &[Room]) -> Option<String> {
        for room in rooms.iter().filter(|room| room.internal_id.is_some()) {
            let server = &self.sims[usize::from(room.server == "bbb-02")];
            let there = server.meeting(&room.server_id()).map(|meeting| meeting.int_id);
            if there != room.internal_id {
                return Some(format!("{room:?}, and its server has {there:?}"));
            }
        }
        let known = |id: &str| rooms.iter().any(|room| room.internal_id.as_deref() == Some(id));
        let mut meetings = self.sims.iter().flat_map(Sim::meetings);
        // A `create` whose answer was lost with its gateway leaves a meeting that nobody can come to; it ends by itself.
        let lost = meetings.find(|meeting| !known(&meeting.int_id) && meeting.users_online > 0);
        lost.map(|meeting| format!("people are in {} {}, which is in no book", meeting.ext_id, meeting.int_id))
    }

    /// No limit is exceeded.
    pub async fn check(&self) {
        // While it is away, nothing new is promised.
        if let Ok(rooms) = self.books.rooms().await {
            check_rooms(&rooms);
        }
        succeeds_within(SETTLED_WITHIN, "no meeting has too many people", async || self.excess().map_or(Ok(()), Err))
            .await;
    }

    /// A meeting with more people than seats, as its server sees it.
    fn excess(&self) -> Option<String> {
        self.sims.iter().flat_map(Sim::meetings).find_map(|meeting| {
            let of = TENANTS.iter().find(|tenant| meeting.ext_id.starts_with(&format!("t.{}.", tenant.name)))?;
            let (people, id) = (meeting.users_online, &meeting.ext_id);
            (people > of.seats).then(|| format!("{people} people are in {id}, which has {} seats", of.seats))
        })
    }

    /// Whoever has a socket is present in the books, and with one gateway that was not killed nobody else is.
    pub async fn check_presence(&self) {
        self.forget_the_cut_off().await;
        succeeds_within(PATIENCE, "who is there is in the books", async || {
            let rooms = self.books.rooms().await.map_err(|error| error.to_string())?;
            let people = self.people.lock().unwrap();
            for room in rooms {
                let of_room = |person: &&Person| {
                    person.socket.is_some() && person.tenant == room.tenant && person.room == room.ext_id
                };
                let there = people.iter().filter(of_room).count();
                let enough = if self.shared.is_some() { room.present() >= there } else { room.present() == there };
                if !enough {
                    return Err(format!("{there} sockets are open, and the books have {room:?}"));
                }
            }
            Ok(())
        })
        .await;
    }

    /// Everybody leaves, and every room that there is can be ended. After that there is a place for as many as there may be,
    /// and for no more.
    pub async fn check_places(&self) {
        succeeds_within(PATIENCE, "all rooms are ended", async || {
            let rooms = self.books.rooms().await.map_err(|error| error.to_string())?;
            for room in &rooms {
                // A promise of a gateway that has died is taken over by whoever is asked for it next.
                if room.internal_id.is_none() {
                    self.create(0, &room.tenant, &room.account, &room.ext_id).await;
                }
                self.end(0, &room.tenant, &room.ext_id).await;
            }
            if rooms.is_empty() { Ok(()) } else { Err(format!("{rooms:?}")) }
        })
        .await;
        for Tenant { name, accounts, accounts_max, rooms_max, .. } in TENANTS {
            for (n, account) in accounts.iter().enumerate() {
                for room in 0..=rooms_max {
                    let at = room % self.clients.len();
                    let created = self.create(at, name, account, &format!("last {account} {room}")).await.unwrap();
                    let expected = match () {
                        () if n >= accounts_max => "accountLimitReached",
                        () if room == rooms_max => "roomLimitReached",
                        () => "",
                    };
                    assert_eq!(created.xml("messageKey"), expected, "{name} {account} {room}: {}", created.body);
                }
            }
        }
    }

    /// After a lease nobody has a seat any more: not those who have left, and not those who were lost with a gateway.
    pub async fn check_seats(&self) {
        for program in &self.programs {
            program.lock().await.stop().await;
        }
        let store = Store::open(&self.books.url).await.unwrap();
        let later = Clock::system().now().saturating_add(LEASE + GRACE + ALIVE);
        store.gateways().bury_dead(later, later.saturating_add(LEASE)).await.unwrap();
        for room in self.books.rooms().await.unwrap() {
            let taken = store.seats().recent(MeetingNumber::new(room.id), later.saturating_add(LEASE)).await.unwrap();
            assert_eq!(taken, 0, "{room:?}");
        }
        store.close().await;
    }
}

fn check_rooms(rooms: &[Room]) {
    let mut of_tenant: BTreeMap<&str, BTreeMap<&str, usize>> = BTreeMap::new();
    for room in rooms {
        *of_tenant.entry(&room.tenant).or_default().entry(&room.account).or_default() += 1;
        let seats = room.participants.map_or(usize::MAX, |seats| usize::try_from(seats).unwrap());
        assert!(room.taken() <= seats, "more seats are taken than there are: {room:?}");
    }
    for tenant in TENANTS {
        let Some(accounts) = of_tenant.get(tenant.name) else { continue };
        assert!(accounts.len() <= tenant.accounts_max, "too many accounts: {rooms:?}");
        assert!(accounts.values().all(|rooms| *rooms <= tenant.rooms_max), "too many rooms: {rooms:?}");
    }
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let to = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &to);
        } else {
            fs::copy(entry.path(), to).unwrap();
        }
    }
}
