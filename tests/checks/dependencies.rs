//! The policy for dependencies: their licences go with Apache-2.0, they come from the registry, and none is there that
//! this list knows to be given up. Reads what `cargo tree` tells of this very build, needs no network. `deny.toml` has
//! the same lists for cargo-deny.

use std::{collections::BTreeSet, fs, path::Path, process::Command};

use spdx::{Expression, LicenseReq, ParseMode};

/// Licences that may be linked into an Apache-2.0 program without terms of their own for it.
const ALLOWED: [&str; 14] = [
    "Apache-2.0",
    "MIT",
    "MIT-0",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "ISC",
    "Zlib",
    "0BSD",
    "CC0-1.0",
    "Unlicense",
    "Unicode-3.0",
    "BSL-1.0",
    "CDLA-Permissive-2.0",
    "OpenSSL",
];

/// Crates that are known to be given up or superseded, or that would bring a second TLS stack.
const BANNED: [&str; 8] =
    ["openssl", "native-tls", "ring", "atty", "serde_yaml", "async-std", "failure", "rustls-pemfile"];

#[test]
fn each_dependency_keeps_to_the_policy() {
    let output = Command::new(env!("CARGO"))
        .args(["tree", "--workspace", "--locked", "--target", "all", "--prefix", "none", "--format", "{p}\t{l}"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let tree = String::from_utf8(output.stdout).unwrap();
    let mut lines: Vec<_> = tree.lines().filter(|line| !line.is_empty()).collect();
    lines.sort_unstable();
    lines.dedup();
    assert!(lines.len() > 100, "the list is not empty");
    let mut faults = Vec::new();
    for line in lines {
        let (package, license) = line.split_once('\t').unwrap();
        // What comes from elsewhere than the registry says so: `name v1.0.0 (https://...)`.
        let mut words = package.split(' ');
        let (name, own) = (words.next().unwrap(), package.contains(env!("CARGO_MANIFEST_DIR")));
        if !own && words.skip(1).any(|word| word.contains(['/', ':'])) {
            faults.push(format!("{package}: comes from elsewhere"));
        }
        let license = license.trim_end_matches(" (*)");
        if !Expression::parse_mode(license, ParseMode::LAX).is_ok_and(|license| license.evaluate(allowed)) {
            faults.push(format!("{name}: licence {license:?}"));
        }
        if BANNED.contains(&name) {
            faults.push(format!("{name}: banned"));
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

/// Apache-2.0 with LLVM's exception permits more, not less.
fn allowed(wanted: &LicenseReq) -> bool {
    wanted.license.id().is_some_and(|id| ALLOWED.contains(&id.name))
        || wanted.to_string() == "Apache-2.0 WITH LLVM-exception"
}

#[test]
fn cargo_deny_has_the_same_policy() {
    let text = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("deny.toml")).unwrap();
    let policy: toml::Table = text.parse().unwrap();
    let licences = policy["licenses"]["allow"].as_array().unwrap().iter().map(|name| name.as_str().unwrap());
    let banned = policy["bans"]["deny"].as_array().unwrap().iter().map(|entry| entry["crate"].as_str().unwrap());
    let allowed = ALLOWED.into_iter().chain(["Apache-2.0 WITH LLVM-exception"]);
    assert_eq!(licences.collect::<BTreeSet<_>>(), allowed.collect());
    assert_eq!(banned.collect::<BTreeSet<_>>(), BANNED.into_iter().collect());
}

/// The fuzz targets are no part of the workspace, so that nothing else finds out that a crate is missing there.
#[test]
fn the_fuzz_targets_have_the_crates_that_they_use() {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR"));
    let manifest = |path: &str| fs::read_to_string(dir.join(path)).unwrap().parse::<toml::Table>().unwrap();
    let crates = |manifest: &toml::Table| -> BTreeSet<String> {
        let tables = ["dependencies", "dev-dependencies"].into_iter().filter_map(|key| manifest.get(key)?.as_table());
        tables.flat_map(|table| table.keys().map(|name| name.replace('-', "_"))).collect()
    };
    let (have, known) = (crates(&manifest("fuzz/Cargo.toml")), crates(&manifest("Cargo.toml")));
    let mut sources: Vec<_> =
        fs::read_dir(dir.join("fuzz/targets")).unwrap().map(|entry| entry.unwrap().path()).collect();
    sources.extend(["passing.rs", "posted.rs", "properties.rs"].map(|name| dir.join("tests/support").join(name)));
    for source in sources {
        let text = fs::read_to_string(&source).unwrap();
        // Our own modules have the names of two crates.
        for name in known.difference(&have).filter(|name| !["time", "tls"].contains(&&***name)) {
            let is_used = text
                .match_indices(&format!("{name}::"))
                .any(|(at, _)| !text[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_' || c == ':'));
            assert!(!is_used, "{} uses {name}, which fuzz/Cargo.toml does not have", source.display());
        }
    }
}
