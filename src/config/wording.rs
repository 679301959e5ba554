//! `pages/<language>.toml` and `pages/page.html`: what people read, in an operator's own words.

use std::{collections::BTreeMap, path::Path};

use super::{
    convert::{self, Convert, Outcome},
    fault::Fault,
    files::{Reading, Source},
    keypath::KeyPath,
    raw,
    scan::PAGES,
    shape::{LANGUAGE, unknown},
};
use crate::domain::pages::{Language, Page, Pages, Text};

const TEMPLATE: &str = "page.html";

/// Reads a language; `None` inside when it has faults.
pub(super) fn language(from: Source<'_>, file: &Path) -> Outcome<Option<Language>> {
    convert::read(from, file, &LANGUAGE, |raw, cx| Some(convert(raw, cx)))
}

fn convert(raw: raw::Language, cx: &mut Convert<'_>) -> Language {
    let words = raw.words.unwrap_or_default();
    let known: Vec<&str> = Language::words().collect();
    for name in words.keys().filter(|name| !known.contains(&name.as_str())) {
        cx.fault(&KeyPath::from("words").key(name), unknown("this word", name, &known));
    }
    let known: Vec<&str> = Page::names().into_iter().collect();
    let pages: BTreeMap<String, Text> = raw
        .pages
        .unwrap_or_default()
        .into_iter()
        .map(|(name, text)| (name, Text { title: text.title, detail: text.detail }))
        .collect();
    for name in pages.keys().filter(|name| !known.contains(&name.as_str())) {
        cx.fault(&KeyPath::from("pages").key(name), unknown("this page", name, &known));
    }
    Language { words, pages }
}

/// Reads the template; `None` inside when there is none, or it is faulty.
pub(super) fn template(from: Source<'_>) -> Outcome<Option<String>> {
    let file = Path::new(PAGES).join(TEMPLATE);
    let mut reading = Reading::new(from.now);
    let is_there = from.dir.join(&file).exists();
    let text = reading
        .bytes(&from.dir.join(&file))
        .and_then(|bytes| String::from_utf8(bytes).map_err(|_| "is not UTF-8 text".into()));
    let text = match text {
        Ok(text) => text,
        Err(_) if !is_there => return Outcome { value: None, faults: Vec::new(), warnings: Vec::new(), reading },
        Err(why) => {
            return Outcome { value: None, faults: vec![Fault::of_file(file, why)], warnings: Vec::new(), reading };
        }
    };
    let faults = match Pages::new(Some(&text), &BTreeMap::new()) {
        Ok(_) => Vec::new(),
        Err((line, reason)) => vec![Fault { file, line, key: String::new(), reason }],
    };
    Outcome { value: Some(text), faults, warnings: Vec::new(), reading }
}
