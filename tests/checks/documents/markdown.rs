//! Markdown, as far as the documents use it: lines, code, links, headings and tables.

use std::{
    fs,
    path::{Component, Path, PathBuf},
};

/// Directories without documents of this project.
const SKIPPED: [&str; 4] = [".git", "target", "var", "node_modules"];

/// The top of the repository.
pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// A document.
pub struct Page {
    /// Its path below the top of the repository.
    pub path: PathBuf,
    /// Its text.
    pub text: String,
}

/// A line outside of code blocks.
pub struct Line<'a> {
    /// From 1.
    pub number: usize,
    /// The line as it is.
    pub text: &'a str,
}

impl Page {
    /// Reads one page.
    pub fn read(path: &str) -> Self {
        Self {
            path: path.into(),
            text: fs::read_to_string(root().join(path)).unwrap_or_else(|e| panic!("{path}: {e}")),
        }
    }

    /// All of the repository.
    pub fn all() -> Vec<Self> {
        let paths = files_below(root(), &|name| name.ends_with(".md"));
        let pages: Vec<_> = paths.iter().map(|path| Self::read(path.to_str().unwrap())).collect();
        assert!(pages.len() > 20, "the documents are found");
        pages
    }

    /// The path as text.
    pub fn name(&self) -> &str {
        self.path.to_str().unwrap()
    }

    /// The lines that are in code blocks, or those that are not.
    pub fn lines(&self, in_code: bool) -> impl Iterator<Item = Line<'_>> {
        let mut code = false;
        self.text.lines().enumerate().filter_map(move |(at, text)| {
            let fence = text.trim_start().starts_with("```");
            code ^= fence;
            (!fence && code == in_code).then_some(Line { number: at + 1, text })
        })
    }

    /// All pieces of code: spans in the text, and lines of code blocks.
    pub fn code(&self) -> Vec<String> {
        let prose: Vec<_> = self.lines(false).map(|line| line.text.trim()).collect();
        let spans = spans(&prose.join(" "));
        let blocks = self.lines(true).map(|line| line.text.trim().to_owned());
        spans.into_iter().chain(blocks).collect()
    }

    /// The targets of all links, with their lines.
    pub fn links(&self) -> Vec<(usize, String)> {
        let of_line = |line: Line<'_>| {
            let text = without_spans(line.text);
            let targets: Vec<_> = text.split("](").skip(1).filter_map(|rest| rest.split_once(')')).collect();
            targets.into_iter().map(|(target, _)| (line.number, target.to_owned())).collect::<Vec<_>>()
        };
        self.lines(false).flat_map(of_line).collect()
    }

    /// The anchors of its headings, as forges and mdBook make them.
    pub fn anchors(&self) -> Vec<String> {
        let mut anchors: Vec<String> = Vec::new();
        for line in self.lines(false).filter(|line| line.text.starts_with('#')) {
            let anchor = anchor(line.text.trim_start_matches('#').trim());
            let again = anchors.iter().filter(|known| **known == anchor).count();
            anchors.push(if again == 0 { anchor } else { format!("{anchor}-{again}") });
        }
        anchors
    }

    /// The headings of one level.
    pub fn headings(&self, level: usize) -> Vec<&str> {
        let mark = format!("{} ", "#".repeat(level));
        self.lines(false).filter_map(|line| line.text.strip_prefix(&*mark)).collect()
    }

    /// The code spans in one column of its tables, from 0.
    pub fn spans_of_column(&self, column: usize) -> Vec<String> {
        // A bar in a cell is escaped.
        let rows = self.lines(false).filter(|line| line.text.starts_with('|'));
        rows.flat_map(|row| {
            let text = row.text.replace("\\|", "\u{0}");
            text.split('|').nth(column + 1).map(spans).unwrap_or_default()
        })
        .map(|span| span.replace('\u{0}', "|"))
        .collect()
    }

    /// The file that a link of this page leads to, below the top of the repository.
    pub fn resolve(&self, target: &str) -> PathBuf {
        if target.is_empty() {
            return self.path.clone();
        }
        let mut path = PathBuf::new();
        for part in self.path.parent().unwrap().join(target).components() {
            match part {
                Component::ParentDir => assert!(path.pop(), "{}: {target} leads out of the repository", self.name()),
                part => path.push(part),
            }
        }
        path
    }
}

/// The code spans of a text.
pub fn spans(text: &str) -> Vec<String> {
    text.split('`').skip(1).step_by(2).map(str::to_owned).collect()
}

/// The text without what is in code spans.
pub fn without_spans(text: &str) -> String {
    text.split('`').step_by(2).collect()
}

/// The anchor of a heading.
pub fn anchor(heading: &str) -> String {
    let kept = heading.chars().filter_map(|c| match c {
        ' ' => Some('-'),
        c if c.is_alphanumeric() || matches!(c, '-' | '_') => Some(c),
        _ => None,
    });
    kept.flat_map(char::to_lowercase).collect()
}

/// The files below a directory whose names are wanted, as paths below the top of the repository.
pub fn files_below(dir: &Path, is_wanted: &dyn Fn(&str) -> bool) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).unwrap().map(Result::unwrap) {
        let name = entry.file_name().into_string().unwrap();
        let kind = entry.file_type().unwrap();
        if kind.is_dir() && !SKIPPED.contains(&&*name) {
            found.extend(files_below(&entry.path(), is_wanted));
        } else if kind.is_file() && is_wanted(&name) {
            found.push(entry.path().strip_prefix(root()).unwrap().to_owned());
        }
    }
    found.sort();
    found
}

/// The text of all files of Rust below these directories.
pub fn sources(dirs: &[&str]) -> String {
    let paths = dirs.iter().flat_map(|dir| files_below(&root().join(dir), &|name| name.ends_with(".rs")));
    paths.map(|path| fs::read_to_string(root().join(path)).unwrap()).collect()
}

/// Whether a text has something as a word of its own.
pub fn has_word(text: &str, word: &str) -> bool {
    let is_part = |c: char| c.is_alphanumeric() || c == '_';
    text.match_indices(word)
        .any(|(at, _)| !text[..at].ends_with(is_part) && !text[at + word.len()..].starts_with(is_part))
}

#[test]
fn markdown_is_read() {
    let text = "# A `b` c\n[x `](no)`](to.md#a)\n```\n[no](no)\n```\n| `one\\|two` | `b` |\n# A `b` c\n".to_owned();
    let page = Page { path: "docs/reference/page.md".into(), text };
    assert_eq!(page.links(), [(2, "to.md#a".to_owned())]);
    assert_eq!(page.anchors(), ["a-b-c", "a-b-c-1"]);
    assert_eq!(page.spans_of_column(0), ["one|two"]);
    assert_eq!(page.resolve("../to.md").to_str(), Some("docs/to.md"));
    assert!(has_word("a takes_b, c", "takes_b") && !has_word("takes_bc", "takes_b"));
}
