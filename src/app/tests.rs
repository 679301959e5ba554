//! A gateway that runs, with tasks that panic.

use std::fs;

use tokio::time::{sleep, timeout};

use super::*;

/// More than between two rounds, with time for a busy machine.
const DEADLINE: Duration = Duration::from_secs(60);

async fn eventually(what: &str, is: impl AsyncFn() -> bool) {
    let waited = async {
        while !is().await {
            sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(DEADLINE, waited).await.unwrap_or_else(|_| panic!("{what}"));
}

fn panics_of(task: &str) -> u64 {
    supervise::panics().into_iter().find(|(name, _)| *name == task).map_or(0, |(_, n)| n)
}

/// On one thread: no task runs before this one waits.
#[tokio::test]
async fn loops_that_panic_are_counted_and_go_on() {
    supervise::count_panics();
    let dir = tempfile::tempdir().expect("a directory");
    let config = format!(
        "[listen]\nhttps = [\"127.0.0.1:0\"]\nhttp = []\nadmin = \"127.0.0.1:0\"\n[store]\nurl = \"sqlite:{}\"\n",
        dir.path().join("store.db").display()
    );
    fs::write(dir.path().join("anteroom.toml"), config).expect("written");
    let mut app = Box::pin(App::start(dir.path())).await.unwrap_or_else(|error| panic!("{error}"));
    let rounds = &app.meetings.rounds;
    assert!(rounds.all().iter().all(|round| round.age().is_zero()), "none has begun");
    let looped = [&rounds.poll, &rounds.heartbeat];
    looped.iter().for_each(|round| round.fail_once());
    for round in looped {
        eventually(round.name, async || panics_of(round.name) == 1).await;
        eventually(round.name, async || !round.age().is_zero()).await;
    }
    app.ready().await;
    assert!(*app.rounds.borrow() > 0, "the poller has done a round after its panic");
    app.stop(Duration::ZERO).await;
}
