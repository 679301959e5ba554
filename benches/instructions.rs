//! How many instructions the gateway's hot functions take: figures that do not depend on the machine's mood.
//!
//! `cargo bench --bench instructions` counts them with valgrind and compares them with `benches/instructions.txt`; with
//! `-- --write` it writes that file anew. They belong to one compiler and to one kind of processor as valgrind shows it: a
//! change of some per cent in all of them is a new compiler, a change in one is a change of the code.

#![allow(clippy::unwrap_used, missing_docs, reason = "not part of an interface")]

mod fixtures;

use std::{collections::BTreeMap, env, fs, hint::black_box, process::Command, sync::Arc};

use anteroom::{
    bbb::{
        checksum::{sign, verify},
        meeting_id,
        params::create,
        query::Params,
    },
    config::{Loaded, Loader, SlugKey},
    domain::{
        directory::Directory,
        ids::TenantId,
        rules::Rules,
        secret::Secret,
        time::{Clock, Timestamp},
    },
    net::request_id::RequestId,
    proxy::{route::route, text_frames::TextFrames},
};
use fixtures::{QUERY, credentials, limits};

const FILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/benches/instructions.txt");
/// A change that is told.
const TOLD_PER_CENT: f64 = 1.0;
/// How often a function is called: often enough that what is done once is seen to be, when the difference of two runs is taken.
const TIMES: u64 = 400;

/// The functions: a name, and what makes one call of it.
type Function = fn() -> Box<dyn FnMut()>;
const FUNCTIONS: [(&str, Function); 10] = [
    ("host to tenant, of 100", host_to_tenant),
    ("route of a path", route_of_path),
    ("checksum verified, three secrets", checksum),
    ("query of 20 parameters read", query),
    ("rules applied to 20 parameters", rules),
    ("20 parameters encoded and signed", signed),
    ("meeting id to the server and back", ids),
    ("request id made, as a header", request_id),
    ("frame of 200 B without an address", || frame(200)),
    ("frame of 20 KB without an address", || frame(20_000)),
];

fn main() {
    let arguments: Vec<String> = env::args().skip(1).filter(|argument| argument != "--bench").collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["call", name, times] => {
            let mut call = FUNCTIONS.iter().find(|(known, _)| *known == name).unwrap().1();
            (0..times.parse().unwrap()).for_each(|_| call());
        }
        ["--write"] => compare(true),
        [] => compare(false),
        _ => eprintln!("there is only --write"),
    }
}

fn compare(writes: bool) {
    let kept = fs::read_to_string(FILE).unwrap_or_default();
    let kept: BTreeMap<&str, u64> = kept
        .lines()
        .filter_map(|line| line.rsplit_once("  "))
        .map(|(name, n)| (name.trim(), n.trim().parse().unwrap()))
        .collect();
    let mut now = String::new();
    println!("{:<40}{:>12}{:>12}", "instructions of one call", "now", "kept");
    for (name, _) in FUNCTIONS {
        let counted = (count(name, 2 * TIMES) - count(name, TIMES)) / TIMES;
        now.push_str(&format!("{name:<40}  {counted:>10}\n"));
        let before = kept.get(name).copied();
        let change = before.map_or(0.0, |before| (counted as f64 / before.max(1) as f64 - 1.0) * 100.0);
        let told = if TOLD_PER_CENT <= change.abs() { format!("  {change:+.1} %") } else { String::new() };
        println!("{name:<40}{counted:>12}{:>12}{told}", before.map_or("-".into(), |before| before.to_string()));
    }
    if writes {
        fs::write(FILE, now).unwrap();
    }
}

/// The instructions of a process that makes so many calls.
fn count(name: &str, times: u64) -> u64 {
    let mut valgrind = Command::new("valgrind");
    valgrind.args(["--tool=callgrind", "--callgrind-out-file=/dev/null"]).arg(env::current_exe().unwrap());
    let ran = valgrind.args(["call", name, &times.to_string()]).output().expect("valgrind is installed");
    let said = String::from_utf8_lossy(&ran.stderr).into_owned();
    let collected = said.lines().find_map(|line| line.split_once("Collected : ")?.1.trim().parse().ok());
    collected.unwrap_or_else(|| panic!("valgrind counted nothing: {said}"))
}

/// A configuration of 100 tenants and one server.
fn directory() -> Directory {
    let dir = tempfile::tempdir().unwrap();
    let write = |path: &str, text: &str| {
        let path = dir.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    };
    let server = "[servers.bbb-01]\nurl = \"http://127.0.0.1:8090\"\npublic_url = \"https://bbb-01.internal.test\"\n\
                  secret = \"a-server-secret-of-32-characters\"\npool = \"custom\"\n";
    write(
        "anteroom.toml",
        &format!(
            "base_domains = [\"localhost\"]\n\n[listen]\nhttps = [\"127.0.0.1:8443\"]\n\n[store]\nurl = \"sqlite:x\"\n\n{server}"
        ),
    );
    write("policies/custom.toml", include_str!("../policies/custom.toml"));
    for n in 0..100 {
        let tenant = format!(
            "name = \"Tenant {n}\"\npolicy = \"custom\"\nhosts = [\"meet-{n}.localhost\"]\n\n\
             [secrets]\nmain = \"a-tenant-secret-of-32-characters-{n}\"\n"
        );
        write(&format!("tenants/tenant-{n}.toml"), &tenant);
    }
    let Loaded { directory, .. } = Loader::new(dir.path(), Clock::system()).load(&SlugKey([0; 32])).unwrap();
    directory
}

fn request_id() -> Box<dyn FnMut()> {
    Box::new(|| drop(black_box(RequestId::make().to_value())))
}

fn host_to_tenant() -> Box<dyn FnMut()> {
    let (directory, now) = (directory(), Clock::system().now());
    Box::new(move || assert!(black_box(&directory).tenant_of_host(black_box("meet-42.localhost"), now).is_some()))
}

fn route_of_path() -> Box<dyn FnMut()> {
    let paths = [
        "/s/k7m2q9/html5client/locales/de.json",
        "/bigbluebutton/api/getMeetingInfo",
        "/s/k7m2q9/graphql",
        "/bigbluebutton/presentation/183f0bf3a0982a127bdb8161e0c44eb696b3e75c-1700000000000/x/svg/1",
    ];
    let mut paths = paths.into_iter().cycle();
    Box::new(move || {
        black_box(route(black_box(paths.next().unwrap())));
    })
}

fn checksum() -> Box<dyn FnMut()> {
    let credentials = credentials();
    let query = format!("{QUERY}&checksum={}", sign("create", QUERY, &credentials[2].secrets[0].secret));
    Box::new(move || {
        black_box(verify("create", black_box(&query), &credentials, Timestamp::EPOCH)).unwrap();
    })
}

fn query() -> Box<dyn FnMut()> {
    Box::new(|| drop(Params::parse(black_box(QUERY).as_bytes()).unwrap()))
}

fn rules() -> Box<dyn FnMut()> {
    let (asked, limits, rules) = (Params::parse(QUERY.as_bytes()).unwrap(), limits(), Rules::shipped());
    Box::new(move || drop(black_box(create(black_box(&asked), &limits, &rules, &[]).unwrap())))
}

fn signed() -> Box<dyn FnMut()> {
    let asked = Params::parse(QUERY.as_bytes()).unwrap();
    let ruled = create(&asked, &limits(), &Rules::shipped(), &[]).unwrap().params;
    let secret = Secret::new("a-server-secret-of-32-characters");
    Box::new(move || drop(black_box(sign("create", &black_box(&ruled).encode(), &secret))))
}

fn ids() -> Box<dyn FnMut()> {
    let tenant: TenantId = "wagtail".parse().unwrap();
    Box::new(move || {
        let to_server = meeting_id::to_server(&tenant, black_box("course-4711[719]"));
        assert!(meeting_id::from_server(&tenant, black_box(&to_server)).is_some());
    })
}

/// A GraphQL message as it comes most often: words and numbers, and no address.
fn frame(bytes: usize) -> Box<dyn FnMut()> {
    let text = r#"{"id":"7","type":"next","payload":{"data":{"user":[{"name":"Person 1","away":false}]}}}"#;
    let text: String = text.chars().cycle().take(bytes).collect();
    let mut frame = match u8::try_from(bytes) {
        Ok(short @ ..126) => vec![0x81, short],
        _ => [&[0x81, 126], &u16::try_from(bytes).unwrap().to_be_bytes()[..]].concat(),
    };
    frame.extend(text.as_bytes());
    let server = Arc::clone(directory().server("bbb-01").unwrap());
    let (mut frames, mut out) = (TextFrames::new(server, "meet.example", "/s/k7m2q9"), Vec::new());
    Box::new(move || assert!(frames.take(black_box(&frame), &mut out), "nothing is changed"))
}
