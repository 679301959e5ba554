//! Prints JSON rows as a table with aligned columns.

use serde_json::Value;

/// Between two columns.
const GAP: &str = "  ";

/// A header line and a line for each row; a column is a key of the rows.
pub(super) fn table(rows: &[Value], columns: &[&str]) -> String {
    let headings = columns.iter().map(|key| key.replace('_', " ").to_uppercase()).collect();
    let mut lines: Vec<Vec<String>> = vec![headings];
    lines.extend(rows.iter().map(|row| columns.iter().map(|key| cell(&row[*key])).collect()));
    let width = |n: usize| lines.iter().map(|line| line[n].chars().count()).max().unwrap_or(0);
    let widths: Vec<_> = (0..columns.len()).map(width).collect();
    let padded = lines.iter().map(|line| {
        let cells = line.iter().zip(&widths).map(|(cell, width)| format!("{cell:width$}"));
        cells.collect::<Vec<_>>().join(GAP).trim_end().to_owned()
    });
    padded.collect::<Vec<_>>().join("\n")
}

/// One value, in words.
pub(super) fn cell(value: &Value) -> String {
    match value {
        Value::Null => "-".into(),
        Value::Bool(true) => "yes".into(),
        Value::Bool(false) => "no".into(),
        Value::String(text) => shown(text),
        Value::Array(values) if values.is_empty() => "-".into(),
        Value::Array(values) => values.iter().map(cell).collect::<Vec<_>>().join(", "),
        other => other.to_string(),
    }
}

/// Callers choose the ids of meetings: control characters in them must not reach the terminal.
fn shown(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { char::REPLACEMENT_CHARACTER } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn columns_are_aligned_and_say_what_there_is() {
        let rows = [
            json!({ "id": "bbb-01", "up": true, "hosts": ["a", "b"], "meeting_id": "grün" }),
            json!({ "id": "b", "up": false, "hosts": [], "meeting_id": null, "more": 1 }),
        ];
        let lines = ["ID      UP   MEETING ID  HOSTS", "bbb-01  yes  grün        a, b", "b       no   -           -"];
        assert_eq!(table(&rows, &["id", "up", "meeting_id", "hosts"]), lines.join("\n"));
        assert_eq!(table(&[], &["id", "up"]), "ID  UP");
    }

    #[test]
    fn an_id_does_not_move_the_cursor() {
        assert_eq!(cell(&json!("a\u{1b}[2Jb\n")), "a\u{fffd}[2Jb\u{fffd}");
    }
}
