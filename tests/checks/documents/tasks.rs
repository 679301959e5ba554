//! The tasks of the gateway: those that live as long as it does are supervised, and all others end by themselves. A new task
//! needs a row here: its name, or the reason why nothing is lost with it.

use std::{collections::BTreeMap, fs};

use super::{
    markdown::{files_below, root},
    none,
    structure::without_tests,
};

/// Those that are started again after a panic, or whose panic ends the process, as they are started in `app`.
const SUPERVISED: [&str; 14] = [
    "writer",
    "reseat",
    "heartbeat",
    "poll",
    "webhook_servers",
    "reload",
    "attend",
    "follow",
    "ticket_keys",
    "https",
    "http",
    "callbacks",
    "webhooks",
    "certificates",
];

/// Other places that start tasks or threads, with how many and why a panic there ends nothing else.
const OTHERS: [(&str, usize, &str); 23] = [
    ("src/acme/transport.rs", 1, "one connection to a certificate authority"),
    ("src/admin.rs", 1, "a thread that runs `run_thread`"),
    ("src/admin/accept.rs", 1, "one connection"),
    ("src/admin/state.rs", 1, "one request, whose loss is answered"),
    ("src/certificates/hook.rs", 1, "a program, not a task"),
    ("src/certificates/worker.rs", 1, "one order, whose step is `caught`"),
    ("src/cli/log.rs", 1, "a thread that runs `run_thread`"),
    ("src/config/scan.rs", 1, "threads that are waited for, whose panic is the caller's"),
    ("src/live/files.rs", 1, "one file is packed"),
    ("src/live/pace.rs", 1, "ends when no socket waits; if it breaks off, the next socket that waits begins another"),
    ("src/meetings/deliveries.rs", 1, "one delivery, which is made again"),
    ("src/proxy/accept.rs", 2, "one connection"),
    ("src/proxy/api/create.rs", 1, "one call"),
    ("src/proxy/api/create_breakout.rs", 1, "one call"),
    ("src/proxy/api/documents.rs", 1, "one call"),
    ("src/proxy/client_file.rs", 1, "one file is checked"),
    ("src/proxy/graphql.rs", 2, "one socket"),
    ("src/proxy/socket.rs", 2, "one socket"),
    ("src/store/joins.rs", 1, "a loop whose only step is `caught`"),
    ("src/store/writer.rs", 1, "for tests and benchmarks; `app` has its writer supervised"),
    ("src/tls/loads.rs", 1, "one certificate is read; a new try begins it again"),
    ("src/upstream/discard.rs", 1, "the rest of one body"),
    ("src/upstream/upgrade.rs", 1, "one connection"),
];

/// What starts a supervised task, with its name behind it.
const STARTS: [&str; 4] = ["supervise::spawn(", "supervise::run(", "vital.spawn(", "listen("];

/// What stands in front of each `spawn(` of a text, back to the last space.
fn spawns(text: &str) -> Vec<&str> {
    let found = text.match_indices("spawn(").filter(|(at, _)| !text[..*at].ends_with("fn "));
    found.map(|(at, call)| text[..at + call.len()].rsplit([' ', '\n']).next().unwrap_or_default()).collect()
}

fn is_supervised(spawn: &str) -> bool {
    ["supervise::spawn(", "vital.spawn("].iter().any(|start| spawn.ends_with(start))
}

/// The names behind what starts supervised tasks.
fn names(text: &str) -> Vec<&str> {
    let starts = |at: usize| STARTS.iter().find_map(|start| text[at..].strip_prefix(start)?.strip_prefix('"'));
    text.char_indices().filter_map(|(at, _)| starts(at)?.split('"').next()).collect()
}

#[test]
fn each_task_that_lives_long_is_supervised() {
    let text = without_tests(&fs::read_to_string(root().join("src/app.rs")).unwrap());
    let mut found = names(&text);
    let mut expected = SUPERVISED.to_vec();
    found.sort_unstable();
    expected.sort_unstable();
    assert_eq!(found, expected);
    // The deliveries are a set of their own, of which each is supervised.
    let (of_set, others): (Vec<_>, Vec<_>) = spawns(&text).into_iter().partition(|spawn| *spawn == "deliveries.spawn(");
    assert_eq!(of_set.len(), text.matches("deliveries.spawn(supervise::run(").count());
    none(others.into_iter().filter(|spawn| !is_supervised(spawn)).map(|spawn| format!("{spawn} in app")).collect());
}

#[test]
fn each_other_task_ends_by_itself() {
    let expected: BTreeMap<String, usize> = OTHERS.iter().map(|(file, n, _)| ((*file).to_owned(), *n)).collect();
    let mut found = BTreeMap::new();
    for path in files_below(&root().join("src"), &|name| name.ends_with(".rs") && name != "tests.rs") {
        let file = path.to_str().unwrap().to_owned();
        // What supervises, what is for tests, and what the other test looks at.
        if ["src/supervise.rs", "src/app.rs", "src/meetings/fixtures.rs"].contains(&&*file) || file.contains("/tests/")
        {
            continue;
        }
        let text = without_tests(&fs::read_to_string(root().join(&path)).unwrap());
        let bare = spawns(&text).into_iter().filter(|spawn| !is_supervised(spawn)).count();
        if bare > 0 {
            found.insert(file, bare);
        }
    }
    assert_eq!(found, expected);
}

#[test]
fn tasks_are_found_as_they_are_written() {
    let text = "tasks.push(supervise::spawn(\"a\", x));\nvital.spawn(\"b\", y);\ndrop(tokio::spawn(z)); fn spawn(w)";
    assert_eq!(names(text), ["a", "b"]);
    let found: Vec<bool> = spawns(text).into_iter().map(is_supervised).collect();
    assert_eq!(found, [true, true, false]);
}
