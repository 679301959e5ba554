//! Several gateways on one PostgreSQL: any of them serves any request, the limits hold across them, and one that dies takes
//! nothing with it.

use std::{
    path::Path,
    sync::{
        Arc, LazyLock,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::Duration,
};

use anteroom::{
    app::App,
    domain::{
        limits::Limit,
        time::{Clock, Timestamp},
    },
    live::sessions::hash,
    store::Store,
    tls::dev_ca::DevCa,
};
use anteroom_bench::{
    postgres::{Durable, Postgres},
    sign,
    sim::BreakoutPlan,
};
use futures_util::{FutureExt, StreamExt, future::join_all};
use rustls::HandshakeKind;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_tungstenite::tungstenite;

use crate::support::{
    Client, Joined, Plan, Reply, Socket, Stage, eventually, eventually_within, host, plain_get,
    program::{Program, anteroom, api, free_address},
    write,
};

/// One for all tests of this program; each has a database of its own.
/// How long it may take until another gateway does what a dead one has done.
const TAKEN_OVER_WITHIN: Duration = Duration::from_secs(60);

static POSTGRES: LazyLock<Postgres> = LazyLock::new(|| Postgres::start(Durable::No).unwrap());

async fn database() -> String {
    tokio::task::spawn_blocking(|| POSTGRES.database().unwrap()).await.unwrap()
}

/// Two gateways in this process.
struct Pair {
    stage: Stage,
    other: App,
    database: String,
}

impl Pair {
    async fn start(plan: Plan) -> Self {
        let database = database().await;
        let stage = plan.store(&database).start().await;
        let mut other = App::start(stage.dir.path()).await.unwrap_or_else(|error| panic!("{error}"));
        other.ready().await;
        Self { stage, other, database }
    }

    fn clients(&self) -> [Client; 2] {
        [self.stage.client(), Client::new(self.other.https[0], &self.stage.path("dev-ca/ca.pem"))]
    }
}

async fn create(client: &Client, tenant: &str, room: &str) -> Reply {
    api(client, tenant, "create", &[("name", room), ("meetingID", room)]).await
}

async fn join(client: &Client, tenant: &str, room: &str) -> Reply {
    api(client, tenant, "join", &[("meetingID", room), ("fullName", "Ada"), ("role", "VIEWER")]).await
}

fn success(reply: &Reply) -> bool {
    reply.xml("returncode") == "SUCCESS"
}

#[tokio::test(flavor = "multi_thread")]
async fn a_breakout_room_that_one_gateway_has_made_is_found_by_the_other() {
    let limits = "---[limits]\nbreakouts = true\nparticipants = 2";
    let plan =
        Plan::new().server("members").tenant_with("wagtail", "free", limits).tenant_with("heron", "free", limits);
    let pair = Pair::start(plan).await;
    let [one, two] = pair.clients();
    for tenant in ["wagtail", "heron"] {
        assert!(success(&create(&one, tenant, "parent").await));
        assert!(success(&api(&two, tenant, "getMeetingInfo", &[("meetingID", "parent")]).await));
    }
    let room = [("name", "group"), ("meetingID", "group"), ("isBreakout", "true"), ("parentMeetingID", "parent")];
    let made = api(&one, "wagtail", "create", &[&room[..], &[("sequence", "1")]].concat()).await;
    assert!(success(&made), "{}", made.body);
    eventually("the other gateway knows it", async || {
        let info = api(&two, "wagtail", "getMeetingInfo", &[("meetingID", "group")]).await;
        info.xml("internalMeetingID") == made.xml("internalMeetingID")
    })
    .await;
    let again = api(&two, "wagtail", "create", &[&room[..], &[("sequence", "2")]].concat()).await;
    assert_eq!(again.xml("internalMeetingID"), made.xml("internalMeetingID"), "{}", again.body);
    assert!(!success(&api(&two, "heron", "getMeetingInfo", &[("meetingID", "group")]).await));
    // Both gateways together let in as many as the meeting has seats.
    let names: Vec<String> = (0..10).map(|n| format!("person {n}")).collect();
    let joins = names.iter().enumerate().map(async |(n, name)| {
        let client = if n % 2 == 0 { &one } else { &two };
        api(client, "wagtail", "join", &[("meetingID", "group"), ("fullName", name), ("role", "VIEWER")]).await
    });
    let joins = join_all(joins).await;
    assert_eq!(joins.iter().filter(|reply| reply.status == 302).count(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_one_gateway_has_made_the_other_serves_at_once() {
    let plan =
        Plan::new().server("members").server("members").tenant("wagtail", "multi-account").tenant("heron", "free");
    let pair = Pair::start(plan).await;
    let [one, two] = pair.clients();
    for n in 0..10 {
        let room = format!("room {n}");
        let made = create(&one, "wagtail", &room).await;
        assert!(success(&made), "{}", made.body);
        let info = api(&two, "wagtail", "getMeetingInfo", &[("meetingID", &room)]).await;
        assert_eq!(info.xml("internalMeetingID"), made.xml("internalMeetingID"), "{}", info.body);
        let again = create(&two, "wagtail", &room).await;
        assert_eq!(again.xml("messageKey"), "duplicateWarning", "{}", again.body);

        let ada = Joined::by("wagtail", &join(&two, "wagtail", &room).await);
        let page = format!("{}/html5client/", ada.prefix);
        assert_eq!(one.get(&host("wagtail"), &page).await.status, 200, "its page");
        let settings = format!("{}/api/rest/meetingStaticData", ada.prefix);
        let headers = [("cookie", &*ada.cookies), ("x-session-token", &*ada.token)];
        let settings = one.get_with(&host("wagtail"), &settings, &headers).await;
        assert_eq!(settings.status, 200, "what needs its session");
        let socket = one.graphql(&host("wagtail"), &ada).await.expect("its socket");
        drop(socket);
        for stranger in [&one, &two] {
            let theirs = stranger.get(&host("heron"), &page).await;
            assert_eq!(theirs.status, 404, "and another tenant has nothing of it");
            assert!(stranger.graphql(&host("heron"), &ada).await.is_err());
        }
        assert!(success(&api(&two, "wagtail", "end", &[("meetingID", &room)]).await));
        eventually("the end is told", async || {
            let info = api(&one, "wagtail", "isMeetingRunning", &[("meetingID", &room)]).await;
            let list = api(&one, "wagtail", "getMeetings", &[]).await;
            info.xml("running") == "false" && !list.body.contains(&room)
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn of_many_creates_of_one_id_one_makes_it_and_all_get_its_answer() {
    let plan = Plan::new().server("members").server("members").tenant("wagtail", "multi-account");
    let pair = Pair::start(plan).await;
    let clients = pair.clients();
    for sim in &pair.stage.sims {
        sim.faults().set_call_delay("create", Duration::from_millis(300));
    }
    let replies = join_all((0..20).map(|n| create(&clients[n % 2], "wagtail", "room"))).await;
    let ids: std::collections::BTreeSet<_> = replies.iter().map(|reply| reply.xml("internalMeetingID")).collect();
    assert_eq!(ids.len(), 1, "{replies:?}");
    assert!(replies.iter().all(success));
    let made: usize = pair.stage.sims.iter().map(|sim| sim.meetings().len()).sum();
    assert_eq!(made, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn limits_are_exact_over_two_gateways() {
    let limits = "---[limits]\nrooms = 5\nparticipants = 10";
    let plan = Plan::new().server("members").server("members").tenant_with("small", "level-1", limits);
    let pair = Pair::start(plan).await;
    let clients = pair.clients();
    let rooms: Vec<_> = (0..200).map(|n| format!("room {n}")).collect();
    let made = join_all(rooms.iter().enumerate().map(|(n, room)| create(&clients[n % 2], "small", room))).await;
    let made: Vec<_> = rooms.iter().zip(&made).filter(|(_, reply)| success(reply)).map(|(room, _)| room).collect();
    assert_eq!(made.len(), 5);
    assert_eq!(pair.stage.sims.iter().map(|sim| sim.meetings().len()).sum::<usize>(), 5);
    let replies = join_all((0..500).map(|n| join(&clients[n % 2], "small", made[n % 5]))).await;
    assert_eq!(replies.iter().filter(|reply| reply.status == 302).count(), 50, "10 seats in each of 5 rooms");
    assert!(
        replies.iter().filter(|reply| reply.status != 302).all(|r| r.xml("messageKey") == "maxParticipantsReached")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn breakout_rooms_have_their_seats_over_two_gateways_and_are_served_by_both() {
    let limits = "---[limits]\nparticipants = 5";
    let plan = Plan::new().server("members").tenant_with("small", "level-1", limits).tenant("heron", "level-1");
    let pair = Pair::start(plan).await;
    let clients = pair.clients();
    let [one, two] = &clients;
    assert!(success(&create(one, "small", "room").await));
    assert!(success(&create(one, "heron", "lair").await));
    let people = join_all((0..5).map(|n| join(&clients[n % 2], "small", "room"))).await;
    let people: Vec<_> = people.iter().map(|reply| Joined::by("small", reply)).collect();
    let sim = &pair.stage.sims[0];
    let rooms =
        sim.open_breakouts("t.small.room", BreakoutPlan { rooms: 10, free_join: true, ..BreakoutPlan::default() });
    let address = |person: &Joined, room: u32| {
        let url = sim.breakout_join_url(&person.token, room).unwrap();
        format!("{}{}", person.prefix, url.strip_prefix("https://bbb-01.internal.test").unwrap())
    };
    let addresses: Vec<_> = people.iter().flat_map(|person| (1..=10).map(|room| address(person, room))).collect();
    let small = host("small");
    let replies = join_all(addresses.iter().enumerate().map(|(n, path)| clients[n % 2].get(&small, path))).await;
    assert_eq!(replies.iter().filter(|reply| reply.status == 302).count(), 5);
    let full = replies.iter().filter(|reply| reply.xml("messageKey") == "maxParticipantsReached").count();
    assert_eq!(full, 45);

    // Of a room that one gateway has let somebody into, the other has the session and the slides.
    for (n, reply) in replies.iter().enumerate().filter(|(_, reply)| reply.status == 302) {
        let other = &clients[(n + 1) % 2];
        let in_room = Joined::by("small", reply);
        let slides = format!("/bigbluebutton/presentation/{0}/{0}/p/svg/1", rooms[n % 10].int_id);
        sim.clear_log();
        assert_eq!(other.get(&host("heron"), &slides).await.status, 404);
        assert!(sim.log().iter().all(|request| request.path != slides), "another tenant's gets nowhere");
        other.get(&small, &slides).await;
        assert!(sim.log().iter().any(|request| request.path == slides));
        other.graphql(&small, &in_room).await.expect("its socket");
        assert!(other.graphql(&host("heron"), &in_room).await.is_err());
    }
    assert!(success(&api(one, "small", "end", &[("meetingID", "room")]).await));
    eventually("both know that they have ended", async || {
        let replies = join_all([one, two].map(|client| client.get(&small, &addresses[0]))).await;
        replies.iter().all(|reply| reply.status == 404)
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_seat_that_was_handed_on_elsewhere_is_no_second_one() {
    let plan = Plan::new().server("members").tenant_with("tiny", "free", "---[limits]\nparticipants = 1");
    let pair = Pair::start(plan).await;
    let [one, two] = pair.clients();
    assert!(success(&create(&one, "tiny", "room").await));
    let params = [("meetingID", "room"), ("fullName", "Ada"), ("role", "VIEWER"), ("userID", "ada")];
    let first = Joined::by("tiny", &api(&one, "tiny", "join", &params).await);
    let token = pair.stage.sims[0].livekit_token(&first.token).unwrap();
    let path = format!("{}/rtc/v1?access_token={token}", first.livekit());
    let livekit = async || one.socket(&host("tiny"), &path, &[("cookie", &first.cookies)]).await;
    let mut sound = livekit().await.expect("its sound");
    drop(one.graphql(&host("tiny"), &first).await.expect("its seat"));
    // A reload that another gateway serves: the seat is the same.
    let mut second = None;
    eventually("the other gateway knows that all have left", async || {
        let reply = api(&two, "tiny", "join", &params).await;
        second = (reply.status == 302).then(|| Joined::by("tiny", &reply));
        second.is_some()
    })
    .await;
    let second = second.unwrap();
    let socket = two.graphql(&host("tiny"), &second).await.expect("it has the seat");
    // The first gateway does not know that yet, and lets the first session in; the store says no.
    let mut stale = one.graphql(&host("tiny"), &first).await.ok();
    let is_over = |socket: &mut Socket| !matches!(socket.next().now_or_never(), None | Some(Some(Ok(_))));
    eventually("the socket without a seat is cut", async || stale.as_mut().is_none_or(is_over)).await;
    eventually("its sound is as well", async || is_over(&mut sound)).await;
    assert!(one.graphql(&host("tiny"), &first).await.is_err(), "and is told so when it tries again");
    match livekit().await {
        Err(tungstenite::Error::Http(refused)) => assert_eq!(refused.status(), 410),
        other => panic!("{other:?}"),
    }
    // Another gateway finds a seat for it: this one learns so from the store.
    let store = Store::open_beside(&pair.database).await.unwrap();
    let rows = store.seats().sessions().await.unwrap();
    let row = rows.iter().find(|row| row.token == hash(&first.token)).expect("it is kept");
    let (at, until) = (now(), now().saturating_add(Duration::from_secs(60)));
    store.seats().readmit(row.meeting, row.id, at, until, Limit::Unlimited).await.unwrap();
    livekit().await.expect("its sound");
    drop(socket);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_browser_resumes_its_tls_session_at_the_other_gateway() {
    let pair = Pair::start(Plan::new().server("members").tenant("wagtail", "level-1")).await;
    let [one, two] = pair.clients();
    // One browser, which knows both by one name.
    let two = one.at(two.address());
    for (to, kind) in [(&one, HandshakeKind::Full), (&two, HandshakeKind::Resumed), (&one, HandshakeKind::Resumed)] {
        let mut stream = to.connect(&host("wagtail")).await.unwrap();
        // The tickets come behind the handshake.
        stream.write_all(b"GET / HTTP/1.1\r\nhost: wagtail.localhost\r\nconnection: close\r\n\r\n").await.unwrap();
        stream.read_to_end(&mut Vec::new()).await.unwrap();
        assert_eq!(stream.get_ref().1.handshake_kind(), Some(kind));
    }
}

/// Two gateways as programs, on one PostgreSQL, with one configuration but for their ports.
struct Programs {
    sims: Vec<anteroom_bench::sim::Sim>,
    dirs: [tempfile::TempDir; 2],
    programs: [Program; 2],
    database: String,
}

impl Programs {
    async fn start(plan: Plan) -> Self {
        let database = database().await;
        let dirs = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
        let sims = plan.store(&database).prepare(dirs[0].path()).await;
        copy(dirs[0].path(), dirs[1].path());
        let one = Program::start(dirs[0].path(), Program::fix_ports(dirs[0].path())).await;
        let two = Program::start(dirs[1].path(), Program::fix_ports(dirs[1].path())).await;
        Self { sims, dirs, programs: [one, two], database }
    }

    fn clients(&self) -> [Client; 2] {
        [0, 1].map(|n| self.programs[n].client(self.dirs[0].path()))
    }
}

fn copy(from: &Path, to: &Path) {
    for entry in std::fs::read_dir(from).unwrap().flatten() {
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            std::fs::create_dir_all(&target).unwrap();
            copy(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).unwrap();
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_that_is_killed_in_the_middle_leaves_nothing_too_much_and_nothing_for_good() {
    let limits = "---[limits]\nrooms = 5\nparticipants = 50";
    let plan = Plan::new().server("members").server("members").tenant_with("small", "level-1", limits);
    let mut pair = Programs::start(plan).await;
    let clients = pair.clients();
    let killed = Arc::new(AtomicBool::new(false));
    // Whoever asks a gateway that dies gets no answer.
    let ask = |n: usize, call: &'static str, room: String| {
        let client = clients[n % 2].clone();
        tokio::spawn(async move {
            let params = [("meetingID", &*room), ("name", &*room), ("fullName", "Ada"), ("role", "VIEWER")];
            api(&client, "small", call, if call == "create" { &params[..2] } else { &params }).await
        })
    };
    let creates: Vec<_> = (0..200).map(|n| ask(n, "create", format!("room {n}"))).collect();
    let mut rooms = Vec::new();
    for (n, create) in creates.into_iter().enumerate() {
        if create.await.is_ok_and(|reply| success(&reply)) {
            rooms.push(format!("room {n}"));
        }
    }
    assert_eq!(rooms.len(), 5);
    let room = rooms[0].clone();
    let joins: Vec<_> = (0..500).map(|n| ask(n, "join", room.clone())).collect();
    let (watch, store) = (Arc::clone(&killed), Store::open_beside(&pair.database).await.unwrap());
    let meeting = store.meetings().find(&"small".parse().unwrap(), &room).await.unwrap().unwrap().id;
    let mut most = 0;
    let mut admitted = 0;
    for (n, join) in joins.into_iter().enumerate() {
        admitted += usize::from(join.await.is_ok_and(|reply| reply.status == 302));
        if n == 30 && !watch.swap(true, Relaxed) {
            pair.programs[0].signal("KILL");
            pair.programs[0].exited().await;
        }
        if n % 50 == 0 {
            most = most.max(store.seats().recent(meeting, now()).await.unwrap());
        }
    }
    assert!(admitted <= 50, "{admitted}");
    assert!(most <= 50, "{most}");
    let [_, two] = &clients;
    eventually("the free seats are given out", async || {
        let reply = join(two, "small", &room).await;
        admitted += usize::from(reply.status == 302);
        reply.status != 302
    })
    .await;
    assert!(admitted <= 50, "{admitted}");
    assert_eq!(store.seats().recent(meeting, now()).await.unwrap(), 50, "each of them has an owner or a lease");
    assert_eq!(
        store.seats().recent(meeting, now().saturating_add(Duration::from_secs(61))).await.unwrap(),
        0,
        "nobody came: the leases run out"
    );
    assert_eq!(create(two, "small", "one more").await.xml("messageKey"), "roomLimitReached");
    assert!(success(&api(two, "small", "end", &[("meetingID", &room)]).await));
    assert!(success(&create(two, "small", "one more").await), "a room that is given back is free");
}

#[tokio::test(flavor = "multi_thread")]
async fn people_on_a_gateway_that_dies_come_back_by_the_other() {
    let plan = Plan::new().server("members").tenant_with("tiny", "free", "---[limits]\nparticipants = 2");
    let mut pair = Programs::start(plan).await;
    let [one, two] = pair.clients();
    assert!(success(&create(&one, "tiny", "room").await));
    let ada = Joined::by("tiny", &join(&one, "tiny", "room").await);
    let bob = Joined::by("tiny", &join(&one, "tiny", "room").await);
    let sockets = (one.graphql(&host("tiny"), &ada).await.unwrap(), one.graphql(&host("tiny"), &bob).await.unwrap());
    let store = Store::open_beside(&pair.database).await.unwrap();
    let meeting = store.meetings().find(&"tiny".parse().unwrap(), "room").await.unwrap().unwrap().id;
    let held =
        async |ms: u64| store.seats().recent(meeting, now().saturating_add(Duration::from_millis(ms))).await.unwrap();
    eventually("both are written down as present", async || held(1_000_000).await == 2).await;
    pair.programs[0].signal("KILL");
    pair.programs[0].exited().await;
    drop(sockets);
    let socket = two.graphql(&host("tiny"), &ada).await.expect("the session and its seat are known");
    assert_eq!(join(&two, "tiny", "room").await.xml("messageKey"), "maxParticipantsReached", "Bob may come back too");
    // The other gateway notices, and takes over what the first one did for both.
    let admin = pair.programs[1].admin;
    eventually_within(TAKEN_OVER_WITHIN, "the dead gateway's people are let go", async || held(1_000_000).await == 1)
        .await;
    assert_eq!(held(0).await, 2, "Bob has a minute");
    assert_eq!(held(61_000).await, 1, "and not more");
    assert_eq!(plain_get(admin, "localhost", "/health/ready").await.status, 200);
    drop(socket);
}

#[tokio::test(flavor = "multi_thread")]
async fn when_the_gateway_that_polls_dies_another_one_does() {
    let plan = Plan::new().server("members").tenant_with("tiny", "free", "");
    let mut pair = Programs::start(plan).await;
    let [_, two] = pair.clients();
    assert!(success(&create(&two, "tiny", "room").await));
    // The first one polls: it was there first.
    pair.programs[0].signal("KILL");
    pair.programs[0].exited().await;
    for meeting in pair.sims[0].meetings() {
        assert!(pair.sims[0].end_meeting(&meeting.ext_id), "it ends without our noticing");
    }
    eventually_within(TAKEN_OVER_WITHIN, "the other one polls, and the room is free", async || {
        create(&two, "tiny", "another").await.xml("messageKey") != "roomLimitReached"
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_operator_changes_at_one_gateway_holds_at_the_other() {
    let plan = Plan::new().server("members").server("members").tenant("wagtail", "multi-account");
    let pair = Programs::start(plan).await;
    let [_, two] = pair.clients();
    let operate = |arguments: &[&str]| {
        let output = anteroom(arguments, pair.dirs[0].path());
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    };
    operate(&["tenant", "suspend", "wagtail"]);
    eventually("the tenant is suspended there too", async || {
        create(&two, "wagtail", "room").await.xml("messageKey") == "tenantSuspended"
    })
    .await;
    operate(&["tenant", "resume", "wagtail"]);
    eventually("and resumed", async || success(&create(&two, "wagtail", "room").await)).await;
    operate(&["server", "cordon", "bbb-01"]);
    eventually("the other knows it", async || {
        let list = anteroom(&["server", "list", "--format", "json"], pair.dirs[1].path());
        String::from_utf8_lossy(&list.stdout).contains("cordoned")
    })
    .await;
    let before = pair.sims[0].meetings().len();
    for n in 0..6 {
        assert!(success(&create(&two, "wagtail", &format!("room {n}")).await));
    }
    assert_eq!(pair.sims[0].meetings().len(), before, "nothing new is placed on it");
    // Both show all that runs, whoever made it.
    for dir in &pair.dirs {
        let list = anteroom(&["meeting", "list"], dir.path());
        assert!(String::from_utf8_lossy(&list.stdout).contains("room 5"), "{list:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_ready_configuration_of_two_gateways_runs() {
    // As it is in the tree, but for what stands in for machines: ports, servers, certificates and secrets.
    let shipped = Path::new(env!("CARGO_MANIFEST_DIR")).join("config/replicas");
    let dir = tempfile::tempdir().unwrap();
    let sims = Plan::new().server("members").server("members").prepare(dir.path()).await;
    let database = database().await;
    let mut text = std::fs::read_to_string(shipped.join("anteroom.toml")).unwrap();
    text = text.replace("env:ANTEROOM_STORE", &database);
    for (n, sim) in sims.iter().enumerate() {
        let n = n + 1;
        text = text.replace(&format!("https://bbb-0{n}.meet.example"), &sim.url());
        text = text.replace(&format!("env:BBB_0{n}_SECRET"), &format!("bbb-0{n}-secret"));
    }
    let tenant = std::fs::read_to_string(shipped.join("tenants/wagtail.toml")).unwrap();
    let tenant = tenant.replace("env:WAGTAIL_GREENLIGHT_SECRET", "wagtail-secret");
    let mut programs = Vec::new();
    let dirs = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    for own in &dirs {
        let (https, admin) = (free_address(), free_address());
        let text = text
            .replace("\"0.0.0.0:443\", \"[::]:443\"", &format!("\"{https}\""))
            .replace("\"0.0.0.0:80\", \"[::]:80\"", "")
            .replace("127.0.0.1:9000", &admin.to_string());
        copy(dir.path(), own.path());
        write(own.path(), "anteroom.toml", &text);
        write(own.path(), "tenants/wagtail.toml", &tenant);
        let ca = DevCa::open(&own.path().join("dev-ca")).unwrap();
        ca.issue(&own.path().join("certs"), &"wagtail.meet.example".parse().unwrap()).unwrap();
        programs.push(Program::start(own.path(), (https, admin)).await);
    }
    let at = "wagtail.meet.example";
    let call = |call: &str, params: &[(&str, &str)]| sign::path(call, params, "wagtail-secret");
    let clients: Vec<_> = programs.iter().zip(&dirs).map(|(program, own)| program.client(own.path())).collect();
    let room = [("name", "room"), ("meetingID", "room")];
    let made = clients[0].get(at, &call("create", &room)).await;
    assert!(success(&made), "{}", made.body);
    let info = clients[1].get(at, &call("getMeetingInfo", &room[1..])).await;
    assert_eq!(info.xml("internalMeetingID"), made.xml("internalMeetingID"), "{}", info.body);
}

fn now() -> Timestamp {
    Clock::system().now()
}
