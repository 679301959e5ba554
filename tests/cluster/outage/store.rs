//! PostgreSQL: stopped under load, its connections cut, and its connections silent.

use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicU32, Ordering::Relaxed},
};

use anteroom::domain::time::Clock;
use anteroom_bench::{postgres::Postgres, sim};
use sqlx::{Connection, PgConnection};
use tokio::task::JoinHandle;

use super::{line::Line, *};
use crate::{
    postgres,
    support::{self, Client, plain_get},
};

/// Seats of the room that people come to and leave meanwhile.
const SEATS: i64 = 3;
/// Sockets of the crowd that is to notice nothing.
const CROWD: usize = 20;
/// The pace of its people, and of its programs.
const BETWEEN_WORDS: Duration = Duration::from_millis(50);
const BETWEEN_QUESTIONS: Duration = Duration::from_millis(100);

/// How long PostgreSQL is stopped: `ANTEROOM_OUTAGE_SECONDS`, for `cargo test` a few.
fn outage() -> Duration {
    let seconds = std::env::var("ANTEROOM_OUTAGE_SECONDS").ok().and_then(|seconds| seconds.parse().ok());
    Duration::from_secs(seconds.unwrap_or(8))
}

/// A gateway on a PostgreSQL of its own, at the end of a line.
struct Scene {
    stage: Stage,
    postgres: Postgres,
    line: Line,
    /// The database, past the line.
    database: String,
}

impl Scene {
    async fn set() -> Self {
        let (postgres, database) = postgres::start().await;
        let line = Line::to(postgres.address()).await;
        let url = database.replace(&postgres.address().to_string(), &line.address().to_string());
        // BBB counts who has left for a minute, which is the sixth part of it here.
        let config = sim::Config { speed: 6.0, ..sim::Config::default() };
        let plan = Plan::new()
            .server_with("members", config)
            .tenant_with("tiny", "free", &format!("---[limits]\nparticipants = {SEATS}"))
            .tenant("wagtail", "multi-account");
        let stage = plan.start_changed(async |text, _| text.replace("sqlite:var/anteroom.db", &url)).await;
        Self { stage, postgres, line, database }
    }

    /// Ada and Cy are in the room, and Bo is on the way there.
    async fn people(&self) -> People {
        self.stage.create("tiny", "room").await;
        let (ada, cy) = (self.enters("Ada").await, self.enters("Cy").await);
        let bo = self.stage.joined("tiny", "room", "Bo").await;
        self.stage.create("wagtail", "short").await;
        written(self.stage.dir.path(), CROWD as i64 + 2).await;
        People { ada, bo, cy }
    }

    async fn enters(&self, name: &str) -> Socket {
        let joined = self.stage.joined("tiny", "room", name).await;
        self.stage.graphql("tiny", &joined).await.unwrap()
    }

    /// Sends what has no answer in memory until it is refused, which then is at once.
    async fn goes_away(&self) {
        eventually("the store is away", async || {
            let refused = tokio::time::timeout(AT_ONCE, self.stage.create("wagtail", "another")).await;
            refused.is_ok_and(|refused| refused.xml("messageKey") == "storeUnavailable")
        })
        .await;
    }

    /// While the store is away: Bo arrives, Cy leaves, and nobody gets a new promise.
    async fn is_away(&self, People { mut ada, bo, cy }: People) -> (Socket, Socket) {
        let stage = &self.stage;
        let admin = stage.app.as_ref().unwrap().admin.unwrap();
        for _ in 0..3 {
            let refused = at_once("a create", stage.create("wagtail", "another")).await;
            assert_eq!(refused.xml("messageKey"), "storeUnavailable", "{}", refused.body);
            let refused = at_once("a join", stage.join("tiny", "room", "Dee")).await;
            assert_eq!(refused.xml("messageKey"), "storeUnavailable", "{}", refused.body);
            let page = at_once("a join", follows_a_link(stage, "tiny", "Dee")).await;
            assert_eq!(page.status, 503);
            for said in ["Nobody can be let in at the moment.", "This page tries again by itself.", "storeUnavailable"]
            {
                assert!(page.body.contains(said), "{said}: {}", page.body);
            }
            assert_eq!(plain_get(admin, "localhost", "/health/ready").await.status, 503);
            assert_eq!(plain_get(admin, "localhost", "/health/live").await.status, 200);
        }
        assert!(stage.sims[0].meeting("t.wagtail.another").is_none(), "what is not promised is not made");
        let room = [("meetingID", "room"), ("name", "room")];
        for (call, told) in
            [("create", "duplicateWarning"), ("getMeetingInfo", ""), ("isMeetingRunning", ""), ("getMeetings", "")]
        {
            let answer = at_once(call, stage.api("tiny", call, &room)).await;
            assert_eq!((answer.xml("returncode"), answer.xml("messageKey")), ("SUCCESS", told), "{}", answer.body);
        }
        let short = [("meetingID", "short"), ("name", "short")];
        for (call, told) in
            [("end", "sentEndMeetingRequest"), ("getMeetingInfo", "notFound"), ("create", "storeUnavailable")]
        {
            let answer = at_once(call, stage.api("wagtail", call, &short)).await;
            assert_eq!(answer.xml("messageKey"), told, "{call}: {}", answer.body);
        }
        assert!(stage.sims[0].meeting("t.wagtail.short").is_none(), "what is not written down is not left to run");
        let bo = at_once("a seat that is promised is taken", stage.graphql("tiny", &bo)).await.unwrap();
        drop(cy);
        echo(&mut ada).await.unwrap();
        (ada, bo)
    }

    /// After it is back: one seat is free, Cy's, and one person of many gets it.
    async fn is_back(&self, (mut ada, mut bo): (Socket, Socket)) {
        let (stage, seated) = (&self.stage, AtomicU32::new(0));
        let joins = (0..8).map(async |n| {
            eventually("the free seat is taken", async || {
                let joined = stage.join("tiny", "room", &format!("person {n}")).await;
                seated.fetch_add(u32::from(joined.status == 302), Relaxed);
                seated.load(Relaxed) > 0
            })
            .await;
            // Somebody else: who has tried for a while is told to wait first.
            let refused = stage.join("tiny", "room", &format!("latecomer {n}")).await;
            assert_eq!(refused.xml("messageKey"), "maxParticipantsReached", "{}", refused.body);
        });
        futures_util::future::join_all(joins).await;
        assert_eq!(seated.load(Relaxed), 1, "never more than there are");
        for socket in [&mut ada, &mut bo] {
            echo(socket).await.unwrap();
        }
        let mut store = PgConnection::connect(&self.database).await.unwrap();
        let in_room: Vec<(bool,)> = sqlx::query_as(
            "SELECT seat_until = 9223372036854775807 FROM sessions JOIN meetings ON meetings.id = meeting
             WHERE tenant = 'tiny' AND seat_until > $1 ORDER BY 1",
        )
        .bind(now_ms())
        .fetch_all(&mut store)
        .await
        .unwrap();
        assert_eq!(in_room, [(false,), (true,), (true,)], "Ada and Bo are present, and one is on the way");
        for room in ["another", "short"] {
            let created = stage.create("wagtail", room).await;
            assert_eq!(created.xml("returncode"), "SUCCESS", "{}", created.body);
        }
    }

    /// What another gateway tells is heard, before all is read again anyway.
    async fn hears(&self) {
        let info = [("meetingID", "another")];
        let mut store = PgConnection::connect(&self.database).await.unwrap();
        let end = "UPDATE meetings SET ended_at = 1 WHERE ext_id = 'another' AND ended_at IS NULL RETURNING id";
        let (id,): (i64,) = sqlx::query_as(end).fetch_one(&mut store).await.unwrap();
        let told = sqlx::query("SELECT pg_notify('anteroom', $1)").bind(format!("meetings {id}"));
        told.execute(&mut store).await.unwrap();
        support::eventually("it is heard", async || {
            self.stage.api("wagtail", "getMeetingInfo", &info).await.xml("messageKey") == "notFound"
        })
        .await;
    }
}

/// People who talk and programs that ask all the time.
struct Crowd {
    stop: Arc<AtomicBool>,
    tasks: Vec<JoinHandle<Result<u32, String>>>,
}

impl Crowd {
    async fn begin(stage: &Stage) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        stage.create("wagtail", "crowd").await;
        let mut tasks = Vec::new();
        for n in 0..CROWD {
            let joined = stage.joined("wagtail", "crowd", &format!("person {n}")).await;
            let socket = stage.graphql("wagtail", &joined).await.unwrap();
            tasks.push(tokio::spawn(talk(socket, Arc::clone(&stop))));
        }
        for call in ["getMeetingInfo", "getMeetings", "create"] {
            tasks.push(tokio::spawn(ask(stage.client(), call, Arc::clone(&stop))));
        }
        Self { stop, tasks }
    }

    /// Nobody has noticed anything, and all have been busy.
    async fn end(self) {
        self.stop.store(true, Relaxed);
        for task in self.tasks {
            let answers = task.await.unwrap().expect("nobody has noticed");
            assert!(answers > 20, "{answers}");
        }
    }
}

async fn talk(mut socket: Socket, stop: Arc<AtomicBool>) -> Result<u32, String> {
    let mut answers = 0;
    while !stop.load(Relaxed) {
        echo(&mut socket).await?;
        answers += 1;
        tokio::time::sleep(BETWEEN_WORDS).await;
    }
    Ok(answers)
}

async fn ask(client: Client, call: &str, stop: Arc<AtomicBool>) -> Result<u32, String> {
    let path = sign::path(call, &[("meetingID", "crowd"), ("name", "crowd")], &secret("wagtail"));
    let mut answers = 0;
    while !stop.load(Relaxed) {
        let answer = client.get(&host("wagtail"), &path).await;
        if answer.xml("returncode") != "SUCCESS" {
            return Err(answer.body);
        }
        answers += 1;
        tokio::time::sleep(BETWEEN_QUESTIONS).await;
    }
    Ok(answers)
}

fn now_ms() -> i64 {
    Clock::system().now().as_ms()
}

#[tokio::test(flavor = "multi_thread")]
async fn while_postgresql_is_stopped_meetings_go_on_and_nothing_new_is_promised() {
    let mut scene = Scene::set().await;
    let crowd = Crowd::begin(&scene.stage).await;
    let people = scene.people().await;
    let stopped = Instant::now();
    scene.postgres = postgres::stop(scene.postgres).await;
    scene.goes_away().await;
    let present = Box::pin(scene.is_away(people)).await;
    // The rest of the time for which it is away.
    tokio::time::sleep(outage().saturating_sub(stopped.elapsed())).await;
    scene.postgres = postgres::resume(scene.postgres).await;
    scene.is_back(present).await;
    crowd.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_to_postgresql_that_are_cut_are_made_anew() {
    let scene = Scene::set().await;
    let crowd = Crowd::begin(&scene.stage).await;
    let People { ada: mut socket, bo, .. } = scene.people().await;
    scene.line.close();
    scene.stage.graphql("tiny", &bo).await.expect("a seat that is promised is taken");
    eventually("promises are made again", async || {
        scene.stage.create("wagtail", "another").await.xml("returncode") == "SUCCESS"
    })
    .await;
    echo(&mut socket).await.unwrap();
    crowd.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_to_postgresql_that_fall_silent_are_given_up() {
    let scene = Scene::set().await;
    let crowd = Crowd::begin(&scene.stage).await;
    let people = scene.people().await;
    // More than there are connections: each of them waits for an answer when they fall silent.
    let busy = (0..40).map(async |n| {
        for m in 0..100 {
            let created = scene.stage.create("wagtail", &format!("room {n}.{m}")).await;
            if created.xml("returncode") != "SUCCESS" {
                assert_eq!(created.xml("messageKey"), "storeUnavailable", "{}", created.body);
                return;
            }
        }
    });
    let cut = async {
        let made = || scene.stage.sims[0].meetings().len();
        let before = made();
        eventually("all connections are busy", async || made() > before + 40).await;
        scene.line.cut();
    };
    tokio::join!(futures_util::future::join_all(busy), cut);
    scene.goes_away().await;
    let present = Box::pin(scene.is_away(people)).await;
    // As behind a firewall that knows nothing of them any more: only new ones are good.
    scene.line.forget();
    scene.is_back(present).await;
    scene.hears().await;
    crowd.end().await;
}
