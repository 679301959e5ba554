//! The documents: links resolve, every page is in the book, and what the documents name (configuration keys, error
//! keys, metrics, commands, targets of make, tests, log messages, files, crates) is in the code, and the reverse.

mod commands;
pub mod configuration;
mod error_keys;
mod hostile;
mod made;
mod markdown;
mod structure;
mod tasks;

use std::{collections::BTreeSet, fs};

use markdown::{Page, files_below, has_word, root, sources, spans, without_spans};

const README_LINES_MAX: usize = 150;
const PROSE_WIDTH_MAX: usize = 100;

/// Words that make a reader guess.
const UNCLEAR: [&str; 8] =
    ["whoever", "nobody", "anew", "is told", "are told", "what came", "comes to nothing", "came to nothing"];

/// Fails with all faults at once.
fn none(faults: Vec<String>) {
    assert!(faults.is_empty(), "\n{}", faults.join("\n"));
}

fn docs() -> Vec<Page> {
    let mut pages = Page::all();
    pages
        .retain(|page| page.path.starts_with("docs") || page.name() == "README.md" || page.name() == "CONTRIBUTING.md");
    pages
}

#[test]
fn each_link_leads_somewhere() {
    let mut faults = Vec::new();
    for page in Page::all() {
        for (line, link) in page.links() {
            if link.contains("://") || link.starts_with("mailto:") {
                continue;
            }
            let (file, anchor) = link.split_once('#').unwrap_or((&link, ""));
            let to = page.resolve(file);
            if !root().join(&to).exists() {
                faults.push(format!("{}:{line}: there is no {link}", page.name()));
            } else if !anchor.is_empty() && !Page::read(to.to_str().unwrap()).anchors().iter().any(|a| a == anchor) {
                faults.push(format!("{}:{line}: {file} has no heading #{anchor}", page.name()));
            }
        }
    }
    none(faults);
}

#[test]
fn each_page_is_in_the_book() {
    let summary = Page::read("docs/SUMMARY.md");
    let listed: BTreeSet<_> = summary.links().iter().map(|(_, link)| summary.resolve(link)).collect();
    let mut pages: BTreeSet<_> = files_below(&root().join("docs"), &|name| name.ends_with(".md")).into_iter().collect();
    pages.remove(&summary.path);
    assert_eq!(pages, listed);
}

#[test]
fn the_readme_is_short() {
    let lines = Page::read("README.md").text.lines().count();
    assert!(lines <= README_LINES_MAX, "README.md has {lines} lines");
}

#[test]
fn prose_is_not_wide() {
    let mut faults = Vec::new();
    for page in Page::all() {
        for line in page.lines(false).filter(|line| !line.text.starts_with('|')) {
            // Where a link leads does not count.
            let mut pieces = line.text.split("](");
            let first = pieces.next().unwrap_or_default().chars().count();
            let rest = pieces.map(|piece| piece.split_once(')').map_or(piece, |(_, text)| text).chars().count());
            let width = first + rest.sum::<usize>();
            if width > PROSE_WIDTH_MAX {
                faults.push(format!("{}:{}: {width} characters", page.name(), line.number));
            }
        }
    }
    none(faults);
}

#[test]
fn prose_has_plain_words() {
    let mut faults = Vec::new();
    // The glossary explains the words of the code.
    for page in Page::all().iter().filter(|page| page.name() != "docs/development/glossary.md") {
        for line in page.lines(false) {
            let text = without_spans(line.text).to_lowercase();
            let found = UNCLEAR.iter().filter(|word| has_word(&text, word));
            faults.extend(found.map(|word| format!("{}:{}: {word:?}", page.name(), line.number)));
        }
    }
    none(faults);
}

#[test]
fn each_metric_is_documented() {
    let source = fs::read_to_string(root().join("src/admin/metrics.rs")).unwrap();
    let mut metrics = BTreeSet::new();
    for (kind, end) in [("counter(", "_total"), ("gauge(", "")] {
        let names = source.split(kind).skip(1).filter_map(|rest| rest.trim_start().strip_prefix('"')?.split_once('"'));
        metrics.extend(names.map(|(name, _)| format!("anteroom_{name}{end}")));
    }
    assert!(metrics.len() > 30, "the metrics are found");
    let documented: BTreeSet<_> = Page::read("docs/reference/metrics.md").spans_of_column(0).into_iter().collect();
    assert_eq!(documented, metrics);

    let mut faults = Vec::new();
    for page in docs() {
        for (at, _) in page.text.match_indices("anteroom_") {
            let name =
                page.text[at..].split(|c: char| !(c.is_ascii_lowercase() || c == '_')).next().unwrap_or_default();
            if !metrics.contains(name) {
                faults.push(format!("{}: there is no metric {name}", page.name()));
            }
        }
    }
    none(faults);
}

/// The names after a key in the lines of a file.
fn after(text: &str, key: &str) -> BTreeSet<String> {
    text.lines().filter_map(|line| line.trim_start().strip_prefix(key)).map(|name| name.trim().to_owned()).collect()
}

#[test]
fn each_alert_is_documented_and_what_watches_uses_metrics_that_are_there() {
    let read = |name: &str| fs::read_to_string(root().join("deploy/monitoring").join(name)).unwrap();
    let alerts = after(&read("alerts.yml"), "- alert:");
    assert!(alerts.len() > 10, "the alerts are found");
    let documented = Page::read("docs/operations.md").spans_of_column(0);
    let documented: BTreeSet<_> = documented.into_iter().filter(|name| name.starts_with("Anteroom")).collect();
    assert_eq!(documented, alerts);

    let metrics: BTreeSet<_> = Page::read("docs/reference/metrics.md").spans_of_column(0).into_iter().collect();
    let mut faults = Vec::new();
    for name in ["alerts.yml", "alerts-test.yml", "grafana.json"] {
        let text = read(name);
        for (at, _) in text.match_indices("anteroom_") {
            let end = |c: char| !(c.is_ascii_lowercase() || c == '_');
            let metric = text[at..].split(end).next().unwrap_or_default();
            if !metrics.contains(metric) {
                faults.push(format!("{name}: there is no metric {metric}"));
            }
        }
    }
    none(faults);
}

#[test]
fn each_target_of_make_is_there() {
    let makefile = fs::read_to_string(root().join("Makefile")).unwrap();
    let targets: BTreeSet<_> = makefile
        .lines()
        .filter_map(|line| line.split_once(':'))
        .filter(|(name, _)| !name.is_empty() && name.chars().all(|c| c.is_ascii_lowercase() || c == '-'))
        .map(|(name, _)| name)
        .collect();
    let mut faults = Vec::new();
    for page in docs() {
        for code in page.code() {
            let Some(target) = code.strip_prefix("make ").and_then(|rest| rest.split_whitespace().next()) else {
                continue;
            };
            if !targets.contains(target) {
                faults.push(format!("{}: there is no make {target}", page.name()));
            }
        }
    }
    none(faults);
}

#[test]
fn each_test_program_that_is_named_is_there() {
    let mut faults = Vec::new();
    for page in docs() {
        for (at, command) in page.text.match_indices("--test ") {
            let mut words = page.text[at + command.len()..].split(|c: char| c.is_whitespace() || "`,;)".contains(c));
            let program = words.next().unwrap_or_default();
            let module = words.next().and_then(|word| word.strip_suffix("::"));
            let tests = root().join("tests").join(program);
            let file = module.map_or_else(|| "main.rs".to_owned(), |module| format!("{module}.rs"));
            if program != "NAME" && !tests.join(&file).exists() {
                faults.push(format!("{}: there is no tests/{program}/{file}", page.name()));
            }
        }
    }
    none(faults);
}

#[test]
fn failures_name_tests_and_log_messages_that_there_are() {
    let page = Page::read("docs/failures.md");
    let tests = sources(&["src", "tests"]);
    let gateway = sources(&["src"]);
    let (mut label, mut faults, mut found) = (String::new(), Vec::new(), 0);
    for line in page.lines(false) {
        if let Some(rest) = line.text.strip_prefix("* **") {
            label = rest.split("**").next().unwrap_or_default().to_owned();
        } else if !line.text.starts_with(' ') {
            label.clear();
        }
        for span in spans(line.text) {
            let is_test = label == "Tests" && !span.contains('/');
            // A log message has words; what the operator looks at otherwise has none.
            let is_message = label == "Operator" && span.contains(' ');
            found += usize::from(is_test || is_message);
            if is_test && !tests.contains(&format!("fn {span}(")) {
                faults.push(format!("{}:{}: there is no test {span}", page.name(), line.number));
            } else if is_message && !gateway.contains(&span) {
                faults.push(format!("{}:{}: nothing logs {span:?}", page.name(), line.number));
            }
        }
    }
    assert!(found > 40, "tests and messages are found");
    none(faults);
}

#[test]
fn files_that_are_named_are_there() {
    const TOP: [&str; 11] = [
        "src/",
        "tests/",
        "bench/",
        "benches/",
        "scripts/",
        "migrations/",
        "config/",
        "deploy/",
        "docs/",
        "policies/",
        "fuzz/",
    ];
    let mut faults = Vec::new();
    for page in docs() {
        let text: Vec<_> = page.lines(false).map(|line| line.text).collect();
        for span in spans(&text.join(" ")) {
            let is_path = TOP.iter().any(|top| span.starts_with(top)) && !span.contains([' ', '*', '<', 'N']);
            if is_path && !root().join(&span).exists() {
                faults.push(format!("{}: there is no {span}", page.name()));
            }
        }
    }
    none(faults);
}

#[test]
fn names_of_the_glossary_are_in_the_code() {
    let page = Page::read("docs/development/glossary.md");
    let sources = sources(&["src"]);
    let names = page.spans_of_column(1).into_iter().filter(|name| !name.contains(['/', '-', ' ', '.', '<']));
    let names: Vec<_> = names.map(|name| name.trim_end_matches("()").rsplit("::").next().unwrap().to_owned()).collect();
    assert!(names.len() > 60, "the names are found");
    none(names.into_iter().filter(|name| !has_word(&sources, name)).map(|name| format!("no {name} in src")).collect());
}

/// A citation has the names of its sections in quotes behind the name of the page, on one line.
#[test]
fn citations_of_the_protocol_name_its_sections() {
    // In pieces, so that this file has neither.
    const NOTES: &str = concat!("bbb", ".md");
    const CITATION: &str = concat!("bbb-protocol.md", ",");
    let page = Page::read("docs/reference/bbb-protocol.md");
    let headings = page.headings(2);
    let (mut faults, mut found) = (Vec::new(), 0);
    for path in files_below(root(), &|name| [".rs", ".toml", ".md"].iter().any(|end| name.ends_with(end))) {
        let text = fs::read_to_string(root().join(&path)).unwrap();
        for (at, line) in text.lines().enumerate() {
            let mut fault = |what: &str| faults.push(format!("{}:{}: {what}", path.display(), at + 1));
            if line.contains(NOTES) {
                fault("these notes are not in the repository");
            }
            for citation in line.split(CITATION).skip(1) {
                let cited = citation.split(')').next().unwrap_or_default();
                let sections: Vec<_> = cited.split('"').skip(1).step_by(2).collect();
                if sections.is_empty() {
                    fault("a citation without a section");
                }
                found += sections.len();
                for section in sections.into_iter().filter(|section| !headings.contains(section)) {
                    fault(&format!("no section {section:?}"));
                }
            }
        }
    }
    assert!(found > 60, "the citations are found");
    none(faults);
}

#[test]
fn each_decision_has_its_three_parts() {
    for page in Page::all() {
        let is_record = page.name().strip_prefix("docs/decisions/0").is_some();
        if is_record {
            let headings = page.headings(2);
            for part in ["Context", "Decision", "Consequences"] {
                assert!(headings.contains(&part), "{} has no {part}", page.name());
            }
        }
    }
}

#[test]
fn each_dependency_has_a_reason() {
    let manifest: toml::Table = fs::read_to_string(root().join("Cargo.toml")).unwrap().parse().unwrap();
    let page = Page::read("docs/development/layout.md");
    let names =
        ["dependencies", "dev-dependencies"].into_iter().flat_map(|table| manifest[table].as_table().unwrap().keys());
    let missing: Vec<_> =
        names.filter(|name| *name != "anteroom-bench" && !page.text.contains(name.as_str())).collect();
    assert!(missing.is_empty(), "no reason in {}: {missing:?}", page.name());
}
