//! Parts of the documents that are made from the code: between `<!-- made: NAME -->` and `<!-- end -->`.
//!
//! `UPDATE_DOCS=1 cargo test --test checks documents::` writes them; without it a test fails if one differs.

use std::{collections::BTreeMap, env, fs};

use super::markdown::{Page, anchor, root};

const BEGIN: &str = "<!-- made: ";
const END: &str = "<!-- end -->";
/// Width of a line of prose.
const WIDTH: usize = 100;

/// Compares the parts of a page with what the code says, or writes them. The names on the page must be those given.
pub fn hold(path: &str, parts: &BTreeMap<String, String>) {
    let page = Page::read(path);
    let made = with_parts(&page.text, parts).unwrap_or_else(|fault| panic!("{path}: {fault}"));
    if made == page.text {
        return;
    }
    assert!(
        env::var_os("UPDATE_DOCS").is_some(),
        "{path} is not what the code says: run UPDATE_DOCS=1 cargo test --test checks documents::\n{}",
        first_difference(&page.text, &made)
    );
    fs::write(root().join(path), made).unwrap();
}

/// The names of the parts of a page, in its order.
pub fn names(text: &str) -> Vec<&str> {
    text.split(BEGIN).skip(1).filter_map(|rest| rest.split(" -->").next()).collect()
}

fn with_parts(text: &str, parts: &BTreeMap<String, String>) -> Result<String, String> {
    let mut pieces = text.split(BEGIN);
    let mut made = pieces.next().unwrap_or_default().to_owned();
    let mut missing = parts.clone();
    for piece in pieces {
        let (name, rest) = piece.split_once(" -->").ok_or("a part whose name does not end")?;
        let (_, after) = rest.split_once(END).ok_or_else(|| format!("the part {name:?} does not end"))?;
        let part = missing.remove(name).ok_or_else(|| format!("nothing is made for {name:?}, or it is there twice"))?;
        made += &format!("{BEGIN}{name} -->\n{part}\n{END}{after}");
    }
    if missing.is_empty() { Ok(made) } else { Err(format!("no part for {:?}", missing.into_keys())) }
}

fn first_difference(is: &str, should: &str) -> String {
    let differs = is.lines().zip(should.lines()).find(|(is, should)| is != should);
    differs.map_or_else(|| "it has another length".to_owned(), |(is, should)| format!("- {is}\n+ {should}"))
}

/// A text with links of a page in place of its citations, which are `docs/PAGE.md, "HEADING"`.
pub fn linked(text: &str, page: &str) -> String {
    let up = "../".repeat(page.matches('/').count() - 1);
    let mut pieces = text.split("docs/");
    let mut made = pieces.next().unwrap_or_default().to_owned();
    for piece in pieces {
        let (file, rest) = piece.split_once(", \"").unwrap_or_else(|| panic!("a citation without a heading: {piece}"));
        let (heading, after) = rest.split_once('"').unwrap();
        let file = if page == format!("docs/{file}") { String::new() } else { format!("{up}{file}") };
        made += &format!("[{heading}]({file}#{}){after}", anchor(heading));
    }
    made
}

/// A table. Bars in its cells are escaped.
pub fn table(heads: &[&str], rows: &[Vec<String>]) -> String {
    let mut text = format!("| {} |\n|{}", heads.join(" | "), "---|".repeat(heads.len()));
    for row in rows {
        let cells: Vec<_> = row.iter().map(|cell| cell.replace('|', "\\|")).collect();
        text += &format!("\n| {} |", cells.join(" | "));
    }
    text
}

/// A paragraph in lines of the width of prose.
pub fn wrapped(text: &str) -> String {
    let mut lines = vec![String::new()];
    for word in text.split_whitespace() {
        let line = lines.last_mut().unwrap();
        if line.is_empty() {
            *line += word;
        } else if line.chars().count() + 1 + word.chars().count() <= WIDTH {
            *line += &format!(" {word}");
        } else {
            lines.push(word.to_owned());
        }
    }
    lines.join("\n")
}

#[test]
fn parts_are_replaced_and_the_rest_stays() {
    let parts = BTreeMap::from([("a b".to_owned(), "new".to_owned())]);
    let text = "x\n<!-- made: a b -->\nold\n<!-- end -->\ny";
    assert_eq!(with_parts(text, &parts).unwrap(), "x\n<!-- made: a b -->\nnew\n<!-- end -->\ny");
    assert!(with_parts("x", &parts).unwrap_err().contains("no part"));
    assert!(with_parts(&format!("{text}{text}"), &parts).unwrap_err().contains("twice"));
    assert!(with_parts("<!-- made: a b -->\nold", &parts).unwrap_err().contains("does not end"));
    let text = "x (docs/a.md, \"Y `z`\"; docs/reference/b.md, \"C\")";
    assert_eq!(linked(text, "docs/reference/b.md"), "x ([Y `z`](../a.md#y-z); [C](#c))");
    assert_eq!(table(&["k"], &[vec!["a|b".into()]]), "| k |\n|---|\n| a\\|b |");
}
