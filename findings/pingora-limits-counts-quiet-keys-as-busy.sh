#!/bin/sh
# pingora-limits 0.9.1, `rate::Rate::new`: the sketch behind it has 4 rows of 1,024 counters, whatever the number of keys. With
# some thousand keys in one interval, a key that was hardly seen is counted as one of the busy ones, and a limit by key refuses it.
#
# Seen: 10,000 keys with 20 events each, then a key with 5. `observe` says more than 100 for it (5 is right). The documentation
# says that the count is an estimate, and not from how many keys on it is none. With
# `new_with_estimator_config(interval, 4, 65_536)` it says 5, for 4 MB in place of 64 KB.
#
# The number of counters has to be some times the number of keys that an interval may have.
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
pingora-limits = "=0.9.1"
TOML
cat >src/main.rs <<'RUST'
use pingora_limits::rate::Rate;
use std::time::Duration;

/// What is counted for a key with 5 events, beside 10,000 keys with 20 each in the same interval.
fn counted(rate: &Rate) -> isize {
    for key in 0..10_000 {
        rate.observe(&key, 20);
    }
    rate.observe(&"quiet", 5)
}

fn main() {
    let long = Duration::from_secs(3600);
    let (usual, large) = (Rate::new(long), Rate::new_with_estimator_config(long, 4, 65_536));
    let (usual, large) = (counted(&usual), counted(&large));
    println!("by default: {usual}, with 65,536 counters a row: {large}");
    assert!(usual > 100, "a key of its own is counted better now");
    assert_eq!(large, 5);
}
RUST
cargo run --quiet
