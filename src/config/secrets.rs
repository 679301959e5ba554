//! Secrets: a literal, `file:PATH` or `env:NAME`, and checks of their content.
//!
//! Faults: blanks at the ends, invisible characters, several lines. Clients do not send them, and every call would be refused
//! without a visible reason. Warnings: a well-known or short secret, one in quotation marks, one that looks like a path or a
//! variable. A final line break is ignored, in a file and in a variable.

use std::{env, path::Path};

use super::files::Reading;
use crate::domain::secret::Secret;

/// Shorter secrets can be guessed offline from one signed link. BBB's own have 40 and more characters.
const LENGTH_LEAST: usize = 16;

/// Secrets that stand in documentation and examples, in lower case.
const KNOWN: [&str; 22] = [
    "639259d4-9dd8-4b25-bf01-95f9567eaf4b", // BBB's API reference
    "8cd8ef52e8e101574e400365b55e11a6",     // BBB's test server
    "admin",
    "bbb",
    "bbb-secret",
    "bigbluebutton",
    "changeit",
    "default",
    "example",
    "letmein",
    "my-secret",
    "mysecret",
    "none",
    "passw0rd",
    "password",
    "secret",
    "shared-secret",
    "test",
    "todo",
    "topsecret",
    "your-secret",
    "your_secret",
];

/// Reads a secret. The error never shows it: only where it should have come from.
pub(super) fn read(text: &str, dir: &Path, reading: &mut Reading) -> Result<Secret, String> {
    if let Some(path) = text.strip_prefix("file:") {
        return from_file(path, dir, reading);
    }
    if let Some(name) = text.strip_prefix("env:") {
        return from_env(name);
    }
    seen("", text)
}

/// The file that a secret is read from.
pub(super) fn file_of(text: &str) -> Option<&str> {
    text.strip_prefix("file:").filter(|path| !path.is_empty())
}

fn from_file(path: &str, dir: &Path, reading: &mut Reading) -> Result<Secret, String> {
    if path.is_empty() {
        return Err("needs a path after \"file:\"".into());
    }
    let subject = format!("its file {path:?} ");
    let bytes = reading.bytes(&dir.join(path)).map_err(|why| format!("{subject}{why}"))?;
    if is_utf16(&bytes) {
        return Err(format!("{subject}is UTF-16 text: save it as UTF-8"));
    }
    let text = String::from_utf8(bytes).map_err(|_| format!("{subject}is not UTF-8 text"))?;
    seen(&subject, text.trim_end_matches(['\r', '\n']))
}

fn from_env(name: &str) -> Result<Secret, String> {
    // `env::var_os` panics on no name, but not every platform takes these two either.
    if name.is_empty() || name.contains(['=', '\0']) {
        return Err("needs the name of a variable after \"env:\"".into());
    }
    let subject = format!("the environment variable {name:?} ");
    match env::var(name) {
        Ok(text) => seen(&subject, text.trim_end_matches(['\r', '\n'])),
        Err(env::VarError::NotPresent) => Err(format!("the environment has no variable {name:?}")),
        Err(env::VarError::NotUnicode(_)) => Err(format!("{subject}is not UTF-8 text")),
    }
}

/// A secret all of which can be seen; `subject` is where it comes from.
fn seen(subject: &str, text: &str) -> Result<Secret, String> {
    let fault = if text.trim().is_empty() {
        if subject.is_empty() { "must not be empty" } else { "is empty" }
    } else if text.starts_with('\u{feff}') {
        "begins with a byte order mark: save it without one"
    } else if text.contains(['\r', '\n']) {
        "has more than one line"
    } else if text.trim() != text {
        "begins or ends with a blank, which would be a part of it"
    } else if text.contains(is_invisible) {
        "has an invisible character"
    } else {
        return Ok(Secret::new(text));
    };
    Err(format!("{subject}{fault}"))
}

/// Whether a character takes no place on a screen, or that of a blank.
fn is_invisible(c: char) -> bool {
    c.is_control()
        || (c.is_whitespace() && c != ' ')
        || matches!(c, '\u{ad}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}')
}

/// Whether a file begins as UTF-16 does.
pub(super) fn is_utf16(bytes: &[u8]) -> bool {
    bytes.starts_with(b"\xff\xfe") || bytes.starts_with(b"\xfe\xff")
}

/// What is doubtful about a secret that was read from `text`; nothing where it is as it should be.
pub(super) fn doubt(text: &str, dir: &Path, secret: &Secret) -> Option<&'static str> {
    let is_literal = !text.starts_with("file:") && !text.starts_with("env:");
    let secret = secret.reveal();
    let quoted = |mark: char| secret.len() > 1 && secret.starts_with(mark) && secret.ends_with(mark);
    if is_literal
        && (text.starts_with("${") || text.starts_with("$(") || (text.starts_with('$') && is_name(&text[1..])))
    {
        Some("looks like the name of a variable, but is used literally: \"env:NAME\" reads a variable")
    } else if is_literal && text.contains('/') && dir.join(text).is_file() {
        Some("looks like the path of a file, but is used literally: \"file:PATH\" reads a file")
    } else if quoted('"') || quoted('\'') {
        Some("is in quotation marks, which are part of it")
    } else if is_placeholder(secret) {
        Some("is a placeholder or a well-known example: use a secret of your own")
    } else if secret.chars().count() < LENGTH_LEAST {
        Some("has fewer than 16 characters: it can be guessed from one signed link")
    } else {
        None
    }
}

fn is_name(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit() || b == b'_')
}

fn is_placeholder(secret: &str) -> bool {
    let lower = secret.to_ascii_lowercase();
    let words: String = lower.chars().filter(|c| c.is_ascii_alphanumeric()).collect();
    let mut letters = lower.chars();
    let first = letters.next();
    KNOWN.contains(&&*lower)
        || ["changeme", "replaceme", "replacethis", "insertsecret", "yoursecret"]
            .iter()
            .any(|known| words.contains(known))
        || lower.ends_with("-demo-secret")
        || (lower.starts_with('<') && lower.ends_with('>'))
        || letters.all(|letter| Some(letter) == first)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_seen_is_a_fault_and_never_shown() {
        for (text, fault) in [
            ("wagtail-secret", None),
            ("a phrase with blanks", None),
            ("", Some("must not be empty")),
            (" \t", Some("must not be empty")),
            (" hunter2", Some("begins or ends with a blank, which would be a part of it")),
            ("hunter2\t", Some("begins or ends with a blank, which would be a part of it")),
            ("hunter2\u{a0}", Some("begins or ends with a blank, which would be a part of it")),
            ("hunter2\nhunter3", Some("has more than one line")),
            ("\u{feff}hunter2", Some("begins with a byte order mark: save it without one")),
            ("hun\u{200b}ter2", Some("has an invisible character")),
            ("hun\u{a0}ter2", Some("has an invisible character")),
            ("hun\u{7}ter2", Some("has an invisible character")),
            ("hun\u{ad}ter2", Some("has an invisible character")),
        ] {
            let read = seen("", text);
            assert_eq!(read.as_ref().err().map(String::as_str), fault, "{text:?}");
            assert!(read.is_ok() || !read.is_err_and(|why| why.contains("hunter2")));
        }
    }

    #[test]
    fn a_secret_that_everybody_knows_or_finds_is_doubted() {
        let (placeholder, short) = ("is a placeholder", "has fewer than 16 characters");
        for (text, doubt_begins) in [
            ("c0ffee11c0ffee22c0ffee33", None),
            ("changeme", Some(placeholder)),
            ("Change-Me-Please-12345", Some(placeholder)),
            ("<your secret here, please>", Some(placeholder)),
            ("xxxxxxxxxxxxxxxxxxxxxxxx", Some(placeholder)),
            ("639259D4-9dd8-4b25-bf01-95f9567eaf4b", Some(placeholder)),
            ("level-1-demo-secret", Some(placeholder)),
            ("c0ffee11c0ffee2", Some(short)),
            ("\"c0ffee11c0ffee22c0ffee33\"", Some("is in quotation marks")),
            ("${WAGTAIL_SECRET}", Some("looks like the name of a variable")),
            ("$WAGTAIL_SECRET", Some("looks like the name of a variable")),
            ("$2y$10$c0ffee11c0ffee22", None),
            ("Cargo.toml/c0ffee11c0ffee22", None),
            ("src/config/secrets.rs", Some("looks like the path of a file")),
        ] {
            let found = doubt(text, Path::new(env!("CARGO_MANIFEST_DIR")), &Secret::new(text));
            assert_eq!(found.is_some(), doubt_begins.is_some(), "{text}: {found:?}");
            assert!(found.unwrap_or_default().starts_with(doubt_begins.unwrap_or_default()), "{text}: {found:?}");
        }
    }
}
