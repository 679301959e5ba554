//! [`Document`]: a TOML file with the lines of its keys.

use serde::de::DeserializeOwned;
use toml::{
    Spanned,
    de::{DeTable, DeValue},
};

use super::{
    keypath::{KeyPath, Step},
    shape::{Misfits, Shape},
};

/// A line, from 1.
pub(super) type Line = usize;

/// A fault of a file before it is known which file it is: line, key and reason.
pub(super) type Flaw = (Option<Line>, KeyPath, String);

/// A parsed file: where its keys are.
pub(super) struct Document<'t> {
    lines: Lines,
    table: Spanned<DeTable<'t>>,
    misfits: Misfits,
}

impl<'t> Document<'t> {
    /// Reads a text as `T`, together with all that does not fit.
    ///
    /// `None` in the place of `T` when the text is not TOML at all: then nothing can be said about its meaning.
    pub(super) fn read<T: DeserializeOwned + Default>(text: &'t str, shape: &Shape) -> (Option<(T, Self)>, Vec<Flaw>) {
        let (table, errors) = DeTable::parse_recoverable(text);
        let lines = Lines::of(text);
        if !errors.is_empty() {
            return (None, syntax_flaws(&lines, &errors));
        }
        let mut fitting = table.clone();
        let mut misfits = shape.fit(fitting.get_mut());
        let flaws = std::mem::take(&mut misfits.flaws);
        let document = Self { lines, table, misfits };
        let mut flaws: Vec<Flaw> =
            flaws.into_iter().map(|(path, reason)| (document.line(&path), path, reason)).collect();
        let raw = T::deserialize(toml::Deserializer::from(fitting)).unwrap_or_else(|error| {
            // Shape and types come from one source, so this is not reached as far as we know. The message of the error
            // would quote the value, which may be a secret.
            let line = error.span().map(|span| document.lines.at(span.start));
            flaws.push((line, KeyPath::default(), "cannot be read from here on".into()));
            T::default()
        });
        (Some((raw, document)), flaws)
    }

    /// The line of a key, or of the nearest thing around it that is in the file.
    pub(super) fn line(&self, path: &KeyPath) -> Option<Line> {
        let mut offset = None;
        let mut table = Some(self.table.get_ref());
        let mut array = None;
        for step in path.steps() {
            let value = match step {
                Step::Key(key) => table.and_then(|t| t.get_key_value(key.as_str())).map(|(key, value)| {
                    offset = Some(key.span().start);
                    value
                }),
                Step::Index(index) => array.and_then(|a: &toml::de::DeArray<'_>| a.get(*index)).inspect(|value| {
                    offset = Some(value.span().start);
                }),
            };
            let value = value.map(Spanned::get_ref);
            table = value.and_then(DeValue::as_table);
            array = value.and_then(DeValue::as_array);
            if value.is_none() {
                break;
            }
        }
        offset.map(|offset| self.lines.at(offset))
    }

    /// The path in the file of an entry of a list, of which others may have been taken out before it was read.
    pub(super) fn entry(&self, list: &KeyPath, index: usize) -> KeyPath {
        let mut place = index;
        for (path, dropped) in &self.misfits.dropped {
            if path == list && *dropped <= place {
                place += 1;
            }
        }
        list.index(place)
    }
}

/// Where the lines of a text end.
struct Lines(Vec<usize>);

impl Lines {
    fn of(text: &str) -> Self {
        Self(text.bytes().enumerate().filter(|(_, byte)| *byte == b'\n').map(|(offset, _)| offset).collect())
    }

    /// The line of a byte.
    fn at(&self, offset: usize) -> Line {
        1 + self.0.partition_point(|&end| end < offset)
    }
}

/// More syntax errors than this in one file say nothing new.
const SYNTAX_FLAWS_MAX: usize = 10;

/// One fault per line: what follows on the same line is mostly an echo of the first.
fn syntax_flaws(lines: &Lines, errors: &[toml::de::Error]) -> Vec<Flaw> {
    let mut flaws: Vec<Flaw> = Vec::new();
    for error in errors {
        let line = error.span().map(|span| lines.at(span.start));
        if flaws.iter().all(|(other, ..)| *other != line) {
            flaws.push((line, KeyPath::default(), format!("is not TOML: {}", error.message())));
        }
        if flaws.len() == SYNTAX_FLAWS_MAX {
            break;
        }
    }
    flaws
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{raw, shape::TENANT};

    #[test]
    fn a_key_has_the_line_it_is_written_in_or_that_of_what_is_around_it() {
        let text = "name = 1\nhosts = [\n  \"a\",\n  2,\n  \"b\",\n]\nlimits.rooms = 1\n[secrets]\n\"x.y\" = \"s\"\n";
        let (read, flaws) = Document::read::<raw::Tenant>(text, &TENANT);
        let (raw, document) = read.expect("it is TOML");
        let hosts = KeyPath::from("hosts");
        for (path, line) in [
            (KeyPath::from("name"), Some(1)),
            (hosts.clone(), Some(2)),
            (hosts.index(0), Some(3)),
            (hosts.index(2), Some(5)),
            (hosts.index(9), Some(2)),
            ("limits.rooms".into(), Some(7)),
            ("limits.accounts".into(), Some(7)),
            (KeyPath::from("secrets").key("x.y"), Some(9)),
            ("secrets.x".into(), Some(8)),
            ("policy".into(), None),
        ] {
            assert_eq!(document.line(&path), line, "{path}");
        }
        assert_eq!(raw.hosts.as_deref(), Some(&["a".to_owned(), "b".to_owned()][..]), "what does not fit is left out");
        assert_eq!(document.entry(&hosts, 1).to_string(), "hosts[2]", "and does not move what comes after it");
        let flawed: Vec<String> = flaws.iter().map(|(_, path, _)| path.to_string()).collect();
        assert_eq!(flawed, ["hosts[1]", "name", "policy"]);
    }
}
