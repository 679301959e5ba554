//! The bookkeeping of all, and the tasks that keep it: no number that a stranger or a server sends stops them.

use std::{
    os::unix::fs::PermissionsExt,
    path::Path,
    sync::{Arc, Mutex},
    time::Duration,
};

use anteroom::{app::App, bbb::meeting_id::internal_start, domain::time::Clock, store::Store};

use crate::support::{
    Plan, Stage, eventually,
    evil::{
        client::Raw,
        server::{EvilServer, Seen},
    },
    host, write,
};

async fn store_of(stage: &Stage) -> Store {
    Store::open_beside(&format!("sqlite:{}", stage.path("var/anteroom.db").display())).await.unwrap()
}

/// Starts a gateway with one more server, which is evil.
async fn start_with(plan: Plan, evil: &EvilServer) -> Stage {
    let dir = tempfile::tempdir().unwrap();
    let sims = plan.prepare(dir.path()).await;
    let file = dir.path().join("anteroom.toml");
    let text = std::fs::read_to_string(&file).unwrap();
    let keys = "secret = \"evil-secret\"\npool = \"evil\"";
    write(dir.path(), "anteroom.toml", &format!("{text}\n[servers.evil]\nurl = \"http://{}\"\n{keys}\n", evil.address));
    start_in(dir, sims).await
}

async fn start_in(dir: tempfile::TempDir, sims: Vec<anteroom_bench::sim::Sim>) -> Stage {
    let app = App::start(dir.path()).await.unwrap_or_else(|error| panic!("{error}"));
    Stage { address: app.https[0], app: Some(app), sims, dir }
}

#[tokio::test(flavor = "multi_thread")]
async fn bytes_that_are_only_claimed_are_nobodys_usage() {
    let mut stage = Plan::new().server("members").tenant("wagtail", "multi-account").start().await;
    for path in ["/bigbluebutton/api/create", "/bigbluebutton/api/insertDocument", "/elsewhere"] {
        for _ in 0..2 {
            let mut raw = Raw::open(&stage, &host("wagtail")).await;
            raw.send(format!(
                "POST {path} HTTP/1.1\r\nhost: {}\r\ncontent-type: application/x-www-form-urlencoded\r\n\
                 content-length: {}\r\n\r\n123",
                host("wagtail"),
                i64::MAX
            ))
            .await;
            raw.read_for(Duration::from_millis(200)).await;
        }
    }
    let up = async || stage.metric("anteroom_body_bytes_total", &["tenant=\"wagtail\"", "direction=\"up\""]).await;
    let claimed = up().await;
    assert!(claimed <= 18, "three bytes have come six times: {claimed}");
    let form = format!("name={}", "x".repeat(10_000));
    stage
        .client()
        .post(&host("wagtail"), "/bigbluebutton/api/create", "application/x-www-form-urlencoded", form.clone())
        .await;
    eventually("what comes is counted", async || up().await >= form.len() as u64).await;

    stage.create("wagtail", "room").await;
    let ada = stage.joined("wagtail", "room", "Ada").await;
    let _socket = stage.graphql("wagtail", &ada).await.unwrap();
    stage.app.take().unwrap().stop(Duration::ZERO).await;
    let store = store_of(&stage).await;
    assert_eq!(store.seats().sessions().await.unwrap().len(), 1, "a seat and its name are written down");
    let usage = store.usage().by_day("2000-01-01", "3000-01-01", Clock::system().now()).await.unwrap();
    let bytes: i64 = usage.iter().map(|row| row.bytes_up).sum();
    assert!((10_000..1_000_000).contains(&bytes), "{usage:?}");
}

/// A server on which each meeting has as many people as can be said.
async fn boastful() -> EvilServer {
    let made = Arc::new(Mutex::new(Vec::<String>::new()));
    EvilServer::start(move |seen| EvilServer::answer("200 OK", "content-type: text/xml\r\n", &boast(seen, &made))).await
}

fn boast(seen: &Seen, made: &Mutex<Vec<String>>) -> String {
    let mut made = made.lock().unwrap();
    let (path, query) = seen.target().split_once('?').unwrap_or((seen.target(), ""));
    let id = form_urlencoded::parse(query.as_bytes()).find(|(name, _)| name == "meetingID").map(|(_, id)| id);
    let internal = |id: &str| format!("{}{:013}", internal_start(id), 1_700_000_000_000_u64);
    let inner = match path.rsplit('/').next().unwrap_or_default() {
        "create" => {
            let id = id.unwrap_or_default().into_owned();
            made.push(id.clone());
            format!("<meetingID>{id}</meetingID><internalMeetingID>{}</internalMeetingID>", internal(&id))
                + "<createTime>9223372036854775807</createTime>"
        }
        "getMeetings" => {
            let of = |id: &String, more: &str| {
                let internal = internal(id);
                format!(
                    "<meeting><meetingID>{id}</meetingID><internalMeetingID>{internal}</internalMeetingID>\
                     <createTime>9223372036854775807</createTime><participantCount>4,294,967,295</participantCount>\
                     {more}</meeting>"
                )
            };
            let rooms = made.iter().flat_map(|id| {
                let parent =
                    format!("<isBreakout>true</isBreakout><parentMeetingID>{}</parentMeetingID>", internal(id));
                [of(id, ""), of(&internal(&format!("{id}-1")), &parent), of(&internal(&format!("{id}-2")), &parent)]
            });
            format!("<meetings>{}</meetings>", rooms.collect::<String>())
        }
        _ => "<version>2.0</version>".to_owned(),
    };
    format!("<response><returncode>SUCCESS</returncode>{inner}</response>")
}

#[tokio::test(flavor = "multi_thread")]
async fn no_count_of_a_server_stops_the_poller() {
    let evil = boastful().await;
    let plan = Plan::new().server("members").tenant("wagtail", "multi-account");
    let plan = plan.tenant_with("magpie", "multi-account", "pool = \"evil\"");
    let mut stage = start_with(plan, &evil).await;
    stage.app.as_mut().unwrap().ready().await;
    for meeting in ["one", "two", "three"] {
        let made = stage.create("magpie", meeting).await;
        assert_eq!(made.xml("returncode"), "SUCCESS", "{}", made.body);
    }
    eventually("the boast is heard", async || {
        stage.metric("anteroom_server_load", &["server=\"evil\""]).await == u64::from(u32::MAX)
    })
    .await;
    let polls = |evil: &EvilServer| evil.seen().iter().filter(|seen| seen.target().contains("getMeetings")).count();
    let before = polls(&evil);
    eventually("the poller goes on", async || polls(&evil) > before + 1).await;
    let metrics = stage.metrics().await;
    assert!(!metrics.contains("anteroom_task_panics_total{task=\"poll"), "{metrics}");
    assert_eq!(stage.create("wagtail", "room").await.xml("returncode"), "SUCCESS", "others notice nothing");
}

/// Runs the program with a umask that leaves everything open to everybody.
fn with_open_umask(command: &str, config: &Path) -> tokio::process::Command {
    let mut shell = tokio::process::Command::new("sh");
    shell
        .args(["-c", "umask 000; exec \"$0\" \"$@\"", env!("CARGO_BIN_EXE_anteroom"), command, "--config"])
        .arg(config);
    shell.kill_on_drop(true).stdout(std::process::Stdio::null());
    shell
}

/// The files and directories below one, with their modes.
fn modes(of: &Path) -> Vec<(String, u32)> {
    let mut all = Vec::new();
    for entry in std::fs::read_dir(of).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            all.extend(modes(&path));
        }
        all.push((path.display().to_string(), std::fs::metadata(&path).unwrap().permissions().mode() & 0o777));
    }
    all
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_gateway_makes_is_its_owners_alone() {
    let dir = tempfile::tempdir().unwrap();
    let _sims = Plan::new().server("members").tenant("wagtail", "multi-account").prepare(dir.path()).await;
    for made in ["dev-ca", "certs"] {
        std::fs::remove_dir_all(dir.path().join(made)).unwrap();
    }
    assert!(with_open_umask("dev-ca", dir.path()).status().await.unwrap().success());
    let mut serve = with_open_umask("serve", dir.path()).spawn().unwrap();
    let var = dir.path().join("var");
    let made = ["anteroom.db", "anteroom.db-wal", "anteroom.db-shm", "anteroom.db.lock"];
    eventually("the store is open", async || made.iter().all(|file| var.join(file).exists())).await;
    for below in ["dev-ca", "certs", "var"] {
        let path = dir.path().join(below);
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o700, "{below}");
        for (path, mode) in modes(&path) {
            assert_eq!(mode & 0o077, 0, "{path} has mode {mode:o}");
        }
    }
    serve.kill().await.unwrap();
}
