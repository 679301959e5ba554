#!/bin/sh
# moka 0.12.16, `future::Cache` with a weigher that tells bytes: the values in memory are not bounded by `max_capacity`.
#
# Seen: a cache of 8 MB is given 200 values of 1 MB, one after the other. 129 of them are alive at once, which is sixteen times
# the capacity: evictions wait in a queue of writes. Where four tasks insert and each runs `run_pending_tasks` after each of its
# inserts, it is 11 to 13 MB. At the end `weighted_size` is 8 MB, so that nobody who looks at a quiet cache sees it.
#
# Whoever needs a bound on memory counts the values themselves, before they are made.
#
# Needs cargo and the registry. Fails if that changes.
set -eu
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"
mkdir src
cat >Cargo.toml <<'TOML'
[package]
name = "probe"
version = "0.0.0"
edition = "2021"

[dependencies]
moka = { version = "=0.12.16", default-features = false, features = ["future"] }
tokio = { version = "1", features = ["macros", "rt-multi-thread"] }
TOML
cat >src/main.rs <<'RUST'
use std::sync::{
    atomic::{AtomicUsize, Ordering::SeqCst},
    Arc,
};

static ALIVE: AtomicUsize = AtomicUsize::new(0);
static MOST: AtomicUsize = AtomicUsize::new(0);

struct Megabyte(Vec<u8>);

impl Megabyte {
    fn new() -> Arc<Self> {
        MOST.fetch_max(ALIVE.fetch_add(1, SeqCst) + 1, SeqCst);
        Arc::new(Self(vec![0; 1 << 20]))
    }
}

impl Drop for Megabyte {
    fn drop(&mut self) {
        ALIVE.fetch_sub(1, SeqCst);
    }
}

type Cache = moka::future::Cache<usize, Arc<Megabyte>>;

fn cache_of_8_mb() -> Cache {
    let weight = |_: &usize, value: &Arc<Megabyte>| u32::try_from(value.0.len()).unwrap();
    Cache::builder().max_capacity(8 << 20).weigher(weight).build()
}

async fn inserted(cache: Cache, keys: std::ops::Range<usize>, with_pending: bool) {
    for key in keys {
        cache.insert(key, Megabyte::new()).await;
        if with_pending {
            cache.run_pending_tasks().await;
        }
    }
}

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() {
    let mut all = Vec::new();
    for (what, tasks, with_pending) in [("one task", 1, false), ("four tasks, pending tasks run each time", 4, true)] {
        MOST.store(0, SeqCst);
        let cache = cache_of_8_mb();
        let tasks: Vec<_> = (0..tasks)
            .map(|n| tokio::spawn(inserted(cache.clone(), n * 1000..n * 1000 + 200, with_pending)))
            .collect();
        for task in tasks {
            task.await.unwrap();
        }
        cache.run_pending_tasks().await;
        let most = MOST.load(SeqCst);
        println!("{what}: at most {most} MB alive; at the end weighted_size is {} MB", cache.weighted_size() >> 20);
        all.push((most, if with_pending { 8 } else { 64 }));
        drop(cache);
    }
    std::process::exit(i32::from(all.iter().any(|(most, least)| most <= least)));
}
RUST
cargo run --quiet --release
