//! The tables of docs/reference/error-keys.md: each key with its status, each page with whether it retries.

use std::collections::{BTreeMap, BTreeSet};

use anteroom::domain::{denial::Denial, pages::Page as Shown};

use super::{
    markdown::{Page, sources, spans},
    none,
};

const PAGE: &str = "docs/reference/error-keys.md";

/// The rows of the table of one section by the code spans of their first column; each with its last cell.
fn last_cells(section: &str) -> BTreeMap<String, String> {
    let page = Page::read(PAGE);
    let (_, rest) = page.text.split_once(&format!("\n## {section}\n")).unwrap();
    let text = rest.split("\n## ").next().unwrap();
    let rows = text.lines().filter(|line| line.starts_with('|')).skip(2);
    let mut cells = BTreeMap::new();
    for row in rows {
        let columns: Vec<_> = row.trim_matches('|').split('|').map(str::trim).collect();
        for name in spans(columns[0]) {
            assert!(
                cells.insert(name.clone(), columns[columns.len() - 1].to_owned()).is_none(),
                "{name} is there twice"
            );
        }
    }
    cells
}

#[test]
fn each_error_key_is_documented_with_its_status() {
    let keys = last_cells("Keys");
    let sources = sources(&["src"]);
    let unknown = keys.keys().filter(|key| !sources.contains(&format!("\"{key}\"")));
    let mut faults: Vec<_> = unknown.map(|key| format!("{PAGE}: {key} is not in the code")).collect();
    for denial in Denial::ALL {
        let (key, status) = (denial.key(), denial.status().as_u16().to_string());
        if keys.get(key) != Some(&status) {
            faults.push(format!("{PAGE}, Keys: {key} has the status {status}, not {:?}", keys.get(key)));
        }
    }
    none(faults);
}

#[test]
fn each_page_is_documented_with_whether_it_retries() {
    let pages = last_cells("Pages");
    let own = [Shown::Landing, Shown::NotYet, Shown::Over, Shown::WrongLink, Shown::Other(String::new())];
    let all: Vec<_> = own.into_iter().chain(Denial::ALL.map(Shown::Refused)).collect();
    let names: BTreeSet<_> = all.iter().map(Shown::name).collect();
    assert_eq!(names, Shown::names());
    let documented: BTreeSet<_> = pages.keys().map(String::as_str).collect();
    assert_eq!(documented, names, "{PAGE}, Pages");
    let wrong = all.iter().filter(|page| pages[page.name()].starts_with("yes") != page.retries());
    none(wrong.map(|page| format!("{PAGE}, Pages: {} retries: {}", page.name(), page.retries())).collect());
}
