//! [`Convert`]: converts the raw shape of a file into types of the domain, and collects all faults. How the values of one kind
//! are read is a function of its own: `values`, `limits`, `http_address`, `sources`, and those of the files.

use std::{collections::HashMap, fmt, hash::Hash, path::Path, str::FromStr};

use serde::de::DeserializeOwned;

use super::{
    document::{Document, Line},
    fault::Fault,
    files::{Reading, Source},
    keypath::KeyPath,
    secrets,
    shape::Shape,
};
use crate::{domain::time::Timestamp, private};

/// A value with its place in the file, for checks across files.
#[derive(Debug, Clone)]
pub(super) struct At<T> {
    pub value: T,
    pub line: Option<Line>,
    pub key: Box<str>,
}

/// Where a thing is written does not change what it is.
impl<T: PartialEq> PartialEq for At<T> {
    fn eq(&self, other: &Self) -> bool {
        self.value == other.value && self.line == other.line && self.key == other.key
    }
}

impl<T> At<T> {
    /// A fault of this value.
    pub(super) fn fault(&self, file: &Path, reason: impl Into<String>) -> Fault {
        Fault { file: file.to_owned(), line: self.line, key: self.key.to_string(), reason: reason.into() }
    }
}

/// Result of one file, or of the directory of a certificate.
#[derive(Debug)]
pub(super) struct Outcome<T> {
    /// The value; valid only if `faults` is empty.
    pub value: T,
    pub faults: Vec<Fault>,
    pub warnings: Vec<Fault>,
    pub reading: Reading,
}

impl<T> Outcome<T> {
    /// The same with another value.
    pub(super) fn map<U>(self, f: impl FnOnce(T) -> U) -> Outcome<U> {
        let Self { value, faults, warnings, reading } = self;
        Outcome { value: f(value), faults, warnings, reading }
    }
}

/// The conversion of one file.
pub(super) struct Convert<'d> {
    /// The configuration's directory.
    pub dir: &'d Path,
    /// When it is read.
    pub now: Timestamp,
    file: &'d Path,
    document: &'d Document<'d>,
    /// Which files have been read.
    pub reading: &'d mut Reading,
    faults: Vec<Fault>,
    warnings: Vec<Fault>,
    /// A secret stands in the file itself.
    pub has_secret: bool,
}

/// Reads one file and converts it. A file that cannot be read at all becomes `T::default()`, with its fault.
pub(super) fn read<R, T>(
    from: Source<'_>,
    file: &Path,
    shape: &Shape,
    convert: impl FnOnce(R, &mut Convert<'_>) -> T,
) -> Outcome<T>
where
    R: DeserializeOwned + Default,
    T: Default,
{
    let Source { dir, now } = from;
    let mut reading = Reading::new(now);
    let text = reading.bytes(&dir.join(file)).and_then(|bytes| {
        if secrets::is_utf16(&bytes) {
            return Err("is UTF-16 text: save it as UTF-8".into());
        }
        String::from_utf8(bytes).map_err(|error| {
            let line = 1 + error.as_bytes()[..error.utf8_error().valid_up_to()].iter().filter(|&&b| b == b'\n').count();
            format!("is not UTF-8 text, first in line {line}")
        })
    });
    let text = match text {
        Ok(text) => text,
        Err(why) => {
            let faults = vec![Fault::of_file(file, why)];
            return Outcome { value: T::default(), faults, warnings: Vec::new(), reading };
        }
    };
    // Some editors begin a file with a byte order mark. It says nothing, and what follows is read as if it were not there.
    let marked = text.strip_prefix('\u{feff}');
    let (parsed, flaws) = Document::read::<R>(marked.unwrap_or(&text), shape);
    let mut faults: Vec<Fault> = flaws
        .into_iter()
        .map(|(line, key, reason)| Fault { file: file.to_owned(), line, key: key.to_string(), reason })
        .collect();
    let mark =
        marked.map(|_| Fault::of_file(file, "begins with a byte order mark, which other programs may not accept"));
    let mut warnings: Vec<Fault> = Vec::new();
    let value = parsed.map_or_else(T::default, |(raw, document)| {
        let mut context = Convert {
            dir,
            now,
            file,
            document: &document,
            reading: &mut reading,
            faults: std::mem::take(&mut faults),
            warnings: Vec::new(),
            has_secret: false,
        };
        let value = convert(raw, &mut context);
        (faults, warnings) = (context.faults, context.warnings);
        if context.has_secret
            && let Some(mode) = context.reading.exposed(&dir.join(file))
        {
            let advice = format!("has a secret in it, and {}", private::advice(file, mode));
            warnings.push(Fault::of_file(file, advice));
        }
        value
    });
    warnings.extend(mark);
    Outcome { value, faults, warnings, reading }
}

impl Convert<'_> {
    /// Reports a fault.
    pub(super) fn fault(&mut self, path: &KeyPath, reason: impl fmt::Display) {
        let fault = self.at_path(path, ()).fault(self.file, reason.to_string());
        self.faults.push(fault);
    }

    /// Reports a fault of a value with a known place.
    pub(super) fn fault_at<T>(&mut self, at: &At<T>, reason: impl Into<String>) {
        self.faults.push(at.fault(self.file, reason));
    }

    /// Warns about a value with a known place.
    pub(super) fn warn_at<T>(&mut self, at: &At<T>, reason: impl Into<String>) {
        self.warnings.push(at.fault(self.file, reason));
    }

    /// Warns about a valid value that is probably not intended.
    pub(super) fn warn(&mut self, path: &KeyPath, reason: impl fmt::Display) {
        let fault = self.at_path(path, ()).fault(self.file, reason.to_string());
        self.warnings.push(fault);
    }

    /// The value of a result, or its error as a fault.
    pub(super) fn keep<T>(&mut self, path: &KeyPath, result: Result<T, impl fmt::Display>) -> Option<T> {
        result.map_err(|why| self.fault(path, why)).ok()
    }

    /// A value with its place.
    pub(super) fn at_path<T>(&self, path: &KeyPath, value: T) -> At<T> {
        At { value, line: self.document.line(path), key: path.to_string().into() }
    }

    /// The path of an entry of a list.
    pub(super) fn entry(&self, list: &KeyPath, index: usize) -> KeyPath {
        self.document.entry(list, index)
    }

    /// A text that is parsed by its own type.
    pub(super) fn parse<T: FromStr<Err: fmt::Display>>(&mut self, path: &KeyPath, text: &str) -> Option<T> {
        self.keep(path, text.parse())
    }

    /// A list of texts, each at its place; entries that are equal to an earlier one are faults.
    pub(super) fn list<T: FromStr<Err: fmt::Display> + Clone + Eq + Hash>(
        &mut self,
        list: &KeyPath,
        texts: &[String],
    ) -> Vec<At<T>> {
        let mut places: HashMap<T, KeyPath> = HashMap::new();
        let mut values = Vec::with_capacity(texts.len());
        for (index, text) in texts.iter().enumerate() {
            let path = self.entry(list, index);
            let Some(value) = self.parse::<T>(&path, text) else { continue };
            match places.get(&value) {
                Some(other) => self.fault(&path, format!("is the same as {other}")),
                None => {
                    values.push(self.at_path(&path, value.clone()));
                    places.insert(value, path);
                }
            }
        }
        values
    }

    /// Whether a fault has been found at this place, or at something in it.
    pub(super) fn is_faulty(&self, path: &KeyPath) -> bool {
        let key = path.to_string();
        self.faults.iter().any(|fault| {
            fault.key.strip_prefix(&key).is_some_and(|rest| matches!(rest.bytes().next(), None | Some(b'.' | b'[')))
        })
    }
}
