//! The real program under all that can happen to it at once, in random sequences: rooms and people come and go, servers fail,
//! lose their meetings and come back, gateways are killed and started again, the store is away. Whatever happens, no limit is
//! exceeded, as the store and the servers tell; and when all is over, nothing is left that nobody will ever free.
//!
//! What is done follows from a seed, what comes of it from the moment as well: a seed that fails is told, and played again it
//! often fails again. See [`plays`] for how to play more of them.

mod acts;
mod books;
mod program;
mod scene;

use anteroom_bench::chance::{Chance, Story, plays};
use futures_util::future::join_all;
use scene::{Scene, Shared};

use crate::postgres;

async fn play(gateways: usize, shared: Option<Shared>, of: (u64, u64)) {
    let store = if shared.is_some() { "PostgreSQL" } else { "SQLite" };
    let mut story = Story::begin(&format!("{gateways} programs on {store}"), of);
    let mut chance = Chance::of(of.0);
    let mut scene = Scene::set(gateways, shared).await;
    for _ in 0..of.1 {
        let several: Vec<_> = (0..=chance.below(4)).map(|_| scene.choose(&mut chance)).collect();
        story.tell(format!("{several:?}"));
        join_all(several.into_iter().map(|act| scene.act(act))).await;
        scene.recover(&mut chance).await;
        scene.check().await;
    }
    story.tell("all is well again".into());
    scene.heal().await;
    scene.check_presence().await;
    scene.leave().await;
    scene.check_places().await;
    scene.check_seats().await;
}

async fn shared() -> Shared {
    let (postgres, url) = postgres::start().await;
    Shared { postgres, url }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_program_on_sqlite_keeps_the_limits() {
    for of in plays(1, 40) {
        play(1, None, of).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_program_on_postgres_keeps_the_limits() {
    for of in plays(1, 40) {
        play(1, Some(shared().await), of).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn two_programs_on_postgres_keep_the_limits() {
    for of in plays(1, 40) {
        play(2, Some(shared().await), of).await;
    }
}
