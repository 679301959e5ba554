//! The arrows between the modules of the gateway: which of them may use which others. A new arrow needs a row here, and a reason.

use std::{collections::BTreeSet, fs};

use super::{
    markdown::{files_below, root},
    none,
};

/// Each module with those that it may use, from the lowest up.
const ARROWS: [(&str, &[&str]); 23] = [
    ("domain", &[]),
    ("private", &[]),
    ("shares", &[]),
    ("supervise", &[]),
    ("bbb", &["domain"]),
    ("net", &["domain"]),
    ("tls", &["domain", "private"]),
    ("dns", &["domain", "tls"]),
    ("acme", &["domain", "tls"]),
    ("metrics", &["domain", "net"]),
    ("store", &["domain", "private", "supervise"]),
    ("certificates", &["acme", "dns", "domain", "metrics", "store", "supervise", "tls"]),
    ("usage", &["domain", "store"]),
    ("live", &["bbb", "domain", "net", "shares"]),
    ("config", &["dns", "domain", "net", "private", "store", "tls"]),
    ("upstream", &["bbb", "domain", "live", "metrics", "net", "shares", "supervise", "tls"]),
    ("meetings", &["bbb", "domain", "live", "metrics", "net", "shares", "store", "supervise", "upstream"]),
    ("proxy", &["bbb", "certificates", "domain", "live", "meetings", "metrics", "net", "shares", "tls", "upstream"]),
    ("poll", &["domain", "live", "meetings", "store", "supervise"]),
    ("replicas", &["certificates", "domain", "meetings", "poll", "store", "supervise", "tls"]),
    (
        "admin",
        &[
            "certificates",
            "domain",
            "live",
            "meetings",
            "metrics",
            "net",
            "poll",
            "proxy",
            "store",
            "supervise",
            "tls",
            "upstream",
            "usage",
        ],
    ),
    (
        "app",
        &[
            "admin",
            "certificates",
            "config",
            "domain",
            "live",
            "meetings",
            "net",
            "poll",
            "private",
            "proxy",
            "replicas",
            "store",
            "supervise",
            "tls",
            "upstream",
        ],
    ),
    (
        "cli",
        &["admin", "app", "bbb", "config", "dns", "domain", "net", "store", "supervise", "tls", "upstream", "usage"],
    ),
];

/// The layers of the store, from the lowest up: a file uses those of lower layers. A new family is one of the fifth; `Store`, the
/// module's own file, stands on all of them, and the writer on that.
const STORE: [&[&str]; 7] = [
    &["change", "columns", "dropped", "error", "note", "rows"],
    &["dialects"],
    &["health", "joins", "notices"],
    &["db"],
    &[
        "callbacks",
        "certificates",
        "ended",
        "gateways",
        "keys",
        "meetings",
        "notes",
        "operations",
        "recordings",
        "seats",
        "usage",
        "webhooks",
    ],
    &["Store"],
    &["writer"],
];

/// The layers of the state in memory, likewise; `Live`, the module's own file, stands on all of them.
const LIVE: [&[&str]; 5] = [
    &["files", "fresh", "joins", "keyed", "lock", "recordings"],
    &["load", "pace"],
    &["meeting", "servers"],
    &["meeting_index", "presence", "sessions"],
    &["breakouts", "session_index"],
];

/// The modules of the gateway that a text of Rust names: in `use crate::{...}` and in paths.
fn used(text: &str) -> BTreeSet<&str> {
    used_of(text, "crate::")
}

/// The modules that a text names behind a path.
fn used_of<'a>(text: &'a str, path: &str) -> BTreeSet<&'a str> {
    let mut used = BTreeSet::new();
    for (at, _) in text.match_indices(path) {
        let rest = &text[at + path.len()..];
        match rest.strip_prefix('{') {
            Some(inner) => used.extend(first_names(inner)),
            None => used.extend(first_name(rest)),
        }
    }
    used
}

fn first_name(text: &str) -> Option<&str> {
    text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_').next().filter(|name| !name.is_empty())
}

/// The first name of each item of a group, up to its closing brace.
fn first_names(group: &str) -> Vec<&str> {
    let (mut depth, mut names, mut begins) = (0, Vec::new(), true);
    for (at, c) in group.char_indices() {
        match c {
            '{' => depth += 1,
            '}' if depth == 0 => break,
            '}' => depth -= 1,
            ',' if depth == 0 => begins = true,
            c if begins && !c.is_whitespace() => {
                names.extend(first_name(&group[at..]));
                begins = false;
            }
            _ => {}
        }
    }
    names
}

/// A file without its comments and its unit tests, which may use anything.
pub fn without_tests(text: &str) -> String {
    let code = text.split("#[cfg(test)]\nmod tests").next().unwrap_or(text);
    code.lines().map(|line| line.split("//").next().unwrap_or_default()).collect::<Vec<_>>().join("\n")
}

#[test]
fn modules_use_only_what_is_below_them() {
    let mut faults = Vec::new();
    let mut needed = BTreeSet::new();
    for path in files_below(&root().join("src"), &|name| name.ends_with(".rs")) {
        let within = path.strip_prefix("src").unwrap().to_str().unwrap();
        let module = within.split('/').next().unwrap().trim_end_matches(".rs");
        let is_test = within.contains("/tests") || within.contains("/model") || within.ends_with("fixtures.rs");
        if matches!(module, "lib" | "main") || is_test {
            continue;
        }
        let Some((_, allowed)) = ARROWS.iter().find(|(name, _)| *name == module) else {
            faults.push(format!("{within}: the module {module} has no row"));
            continue;
        };
        let text = without_tests(&fs::read_to_string(root().join(&path)).unwrap());
        for name in used(&text).into_iter().filter(|name| *name != module) {
            let Some((known, _)) = ARROWS.iter().find(|(known, _)| *known == name) else { continue };
            needed.insert((module.to_owned(), *known));
            if !allowed.contains(&name) {
                faults.push(format!("{within}: {module} may not use {name}"));
            }
        }
    }
    for (module, allowed) in ARROWS {
        let unused = allowed.iter().filter(|name| !needed.contains(&(module.to_owned(), **name)));
        faults.extend(unused.map(|name| format!("{module} does not use {name} any more: its row can be shorter")));
    }
    none(faults);
}

#[test]
fn files_of_the_store_use_only_those_below_them() {
    none(not_below("store", &STORE));
}

#[test]
fn files_of_the_state_in_memory_use_only_those_below_them() {
    none(not_below("live", &LIVE));
}

/// The files of a module that use another of their own layer, or one of a higher layer, or what has no layer.
fn not_below(module: &str, layers: &[&[&str]]) -> Vec<String> {
    let layer_of = |name: &str| layers.iter().position(|layer| layer.contains(&name));
    let folder = format!("src/{module}");
    let mut faults = Vec::new();
    for path in files_below(&root().join(&folder), &|name| name.ends_with(".rs")) {
        let within = path.strip_prefix(&folder).unwrap().to_str().unwrap();
        let file = within.split('/').next().unwrap().trim_end_matches(".rs");
        if matches!(file, "model" | "tests") {
            continue;
        }
        let Some(layer) = layer_of(file) else {
            faults.push(format!("{module}/{within}: {file} has no layer"));
            continue;
        };
        let text = without_tests(&fs::read_to_string(root().join(&path)).unwrap());
        // What is below a folder names its own neighbours by `super`.
        let mut above = vec![format!("crate::{module}::"), format!(" {module}::"), format!("{{{module}::")];
        above.extend((!within.contains('/')).then(|| "super::".to_owned()));
        let used: BTreeSet<_> = above.iter().flat_map(|path| used_of(&text, path)).collect();
        let is_below = |name: &str| layer_of(name).is_some_and(|other| other < layer) || name == file;
        faults.extend(
            used.into_iter()
                .filter(|name| !is_below(name))
                .map(|name| format!("{module}/{within}: {file} may not use {name}")),
        );
    }
    faults
}

#[test]
fn imports_are_read_as_they_are_written() {
    let text = "use crate::{\n    bbb::{answer::Failure, xml},\n    domain,\n    live::Live,\n};\nuse crate::store;\nlet x = crate::net::peer();";
    assert_eq!(used(text).into_iter().collect::<Vec<_>>(), ["bbb", "domain", "live", "net", "store"]);
}
