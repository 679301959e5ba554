//! "Kinds of attacks" of `docs/hostile-hands.md`: the tests that it names are in the files that it names, and all hostile trials
//! are in it.

use std::{collections::BTreeSet, fs};

use super::{
    markdown::{Page, files_below, root, spans},
    none,
};

const KINDS: usize = 25;

/// The tests of a text of Rust: functions with an attribute that says so, and those that run on both databases.
fn tests_of(text: &str) -> BTreeSet<String> {
    let on_both =
        text.split("for_both!(").skip(1).flat_map(|rest| rest.split(')').next().unwrap_or_default().split(','));
    let mut found: BTreeSet<String> = on_both.map(|name| name.trim().to_owned()).collect();
    let mut is_test = false;
    for line in text.lines().map(str::trim) {
        if line.starts_with("#[") {
            is_test |= line.starts_with("#[test]") || line.starts_with("#[tokio::test");
            continue;
        }
        let function = line.strip_prefix("async ").unwrap_or(line).strip_prefix("fn ");
        let name = function.and_then(|rest| rest.split('(').next()).filter(|_| is_test);
        found.extend(name.map(str::to_owned));
        is_test = false;
    }
    found
}

fn tests_in(file: &str) -> BTreeSet<String> {
    tests_of(&fs::read_to_string(root().join(file)).unwrap_or_default())
}

#[test]
fn each_kind_of_attack_has_tests_and_each_trial_a_kind() {
    let page = Page::read("docs/hostile-hands.md");
    let section = page.text.split("\n## Kinds of attacks\n").nth(1).unwrap().split("\n## ").next().unwrap();
    let (mut faults, mut kinds, mut named) = (Vec::new(), Vec::new(), BTreeSet::new());
    for row in section.lines().filter(|line| line.starts_with('|')).skip(2) {
        let cells: Vec<&str> = row.split('|').map(str::trim).collect();
        let [_, kind, _, files, tests, _] = cells[..] else { panic!("{row}") };
        let (files, tests) = (spans(files), spans(tests));
        assert!(!tests.is_empty(), "{row}");
        let there: Vec<_> = files.iter().map(|file| (file, tests_in(file))).collect();
        let lost = tests.iter().filter(|test| !there.iter().any(|(_, tests)| tests.contains(*test)));
        faults.extend(lost.map(|test| format!("kind {kind}: there is no test {test}")));
        let idle = there.iter().filter(|(_, of_file)| !tests.iter().any(|test| of_file.contains(test)));
        faults.extend(idle.map(|(file, _)| format!("kind {kind}: none of its tests is in {file}")));
        kinds.push(kind);
        named.extend(tests);
    }
    let expected: Vec<String> = (1..=KINDS).map(|n| n.to_string()).chain(["rates".to_owned()]).collect();
    assert_eq!(kinds, expected);
    let trials = files_below(&root().join("tests/gateway/hostile"), &|name| name.ends_with(".rs"));
    assert!(trials.len() >= 5, "they are found");
    for path in trials {
        let missing = tests_in(path.to_str().unwrap()).into_iter().filter(|test| !named.contains(test));
        faults.extend(missing.map(|test| format!("{}: {test} is of no kind", path.display())));
    }
    none(faults);
}

#[test]
fn tests_are_found_as_they_are_written() {
    let text = "for_both!(a, b);\n#[test]\nfn c() {}\nfn d() {}\n#[tokio::test(x)]\n#[cfg(unix)]\nasync fn e() {\n";
    let found: Vec<String> = tests_of(text).into_iter().collect();
    assert_eq!(found, ["a", "b", "c", "e"]);
}
