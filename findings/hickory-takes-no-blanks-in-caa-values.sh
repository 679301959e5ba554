#!/bin/sh
# hickory-proto 0.26.3, `CAA::value_as_issue`: the value of a CAA record may have blanks around the issuer's name, before `;` and
# around `=` (RFC 8659, 4.2: `*WSP` at each of these places, and its own example `"ca1.example.net; account=230123"` has one).
# Only a blank behind `;` is taken. For all others it returns an error, which a caller that follows the RFC's "a malformed value
# is one that names no issuer" takes for "nobody may issue", while certificate authorities issue.
#
# Seen: four values with the same meaning by the grammar; the first is read, and the three others are errors.
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
edition = "2024"

[dependencies]
hickory-proto = "=0.26.3"
TOML
cat >src/main.rs <<'RUST'
use hickory_proto::rr::rdata::CAA;

fn is_read(value: &str) -> bool {
    let mut record = CAA::new_issue(false, None, Vec::new());
    record.value = value.as_bytes().to_vec();
    let read = record.value_as_issue();
    println!("{value:?}: {}", read.as_ref().map_or_else(|error| error.to_string(), |_| "read".into()));
    read.is_ok_and(|(issuer, parameters)| issuer.is_some() && parameters.len() == 1)
}

fn main() {
    let values = [
        "ca1.example.net; account=230123",
        "ca1.example.net ; account=230123",
        " ca1.example.net; account=230123",
        "ca1.example.net; account = 230123",
    ];
    assert_eq!(values.map(is_read), [true, false, false, false], "it reads other values now");
}
RUST
cargo run --quiet
