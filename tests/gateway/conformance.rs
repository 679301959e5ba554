//! The API call by call, as data: each row of `tests/gateway/conformance/*.toml` is made to a BBB server directly and
//! through the gateway, and both answers are compared with what BBB's own documentation and source say. Where the
//! gateway answers otherwise, the row says what and why. Rows that hold for some releases only name them.
//!
//! `cargo test --test gateway conformance:: -- --nocapture` prints the table.

mod column;
mod row;

use std::path::Path;

use anteroom_bench::sim::Profile;
use column::{Column, Seen};
use row::Row;

/// Fewer rows than this is a suite that has lost some.
const ROWS_MIN: usize = 150;

#[tokio::test(flavor = "multi_thread")]
async fn the_gateway_answers_as_bbb_3_0_0_does_or_says_why_not() {
    conform(Profile::V3_0_0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_gateway_answers_as_bbb_3_0_18_does_or_says_why_not() {
    conform(Profile::V3_0_18).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_gateway_answers_as_bbb_3_0_39_does_or_says_why_not() {
    conform(Profile::V3_0_39).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_gateway_answers_as_bbb_4_0_does_or_says_why_not() {
    conform(Profile::V4_0).await;
}

/// Makes the rows of a release to a server of it.
async fn conform(profile: Profile) {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/gateway/conformance");
    let rows = row::read(&dir).unwrap_or_else(|faults| panic!("{}", faults.join("\n")));
    let rows: Vec<_> = rows.into_iter().filter(|(_, row)| row.is_of(profile)).collect();
    assert!(rows.len() >= ROWS_MIN, "{} rows, where there are to be {ROWS_MIN}", rows.len());
    let shared = (Column::direct(profile).await, Column::gateway(profile).await);
    let (mut faults, mut reasons) = (Vec::new(), 0);
    for (number, (theme, row)) in rows.iter().enumerate() {
        let own = if row.alone { Some((Column::direct(profile).await, Column::gateway(profile).await)) } else { None };
        let (direct, gateway) = own.as_ref().unwrap_or(&shared);
        let line = Line {
            direct: Cell::new(direct.run(number, row, &row.expect).await),
            gateway: Cell::new(gateway.run(number, row, row.expect_of_gateway()).await),
            row,
        };
        println!("{} {theme}: {}", profile.name, line.text());
        reasons += usize::from(row.gateway.is_some());
        faults.extend(line.faults().into_iter().map(|fault| format!("{theme}: {}: {fault}", row.name)));
    }
    println!("{} rows, {reasons} with a reason", rows.len());
    assert!(faults.is_empty(), "{} faults:\n{}", faults.len(), faults.join("\n"));
}

#[test]
fn a_row_that_says_too_little_or_too_much_is_refused() {
    const ROW: &str = "[[case]]\nname = \"a\"\ncall = \"end\"\nexpect = { messageKey = \"notFound\" }\n";
    for (what, text, fault) in [
        ("a good row", ROW.to_owned(), None),
        ("another answer", format!("{ROW}gateway = {{ reason = \"x\", status = 404 }}"), None),
        ("no reason", format!("{ROW}gateway = {{ status = 404 }}"), Some("differ without a reason")),
        (
            "a blank reason",
            format!("{ROW}gateway = {{ reason = \" \", status = 404 }}"),
            Some("differ without a reason"),
        ),
        (
            "a reason for nothing",
            format!("{ROW}gateway = {{ reason = \"x\", messageKey = \"notFound\" }}"),
            Some("columns that are equal"),
        ),
        ("the same name", ROW.repeat(2), Some("two of this name")),
        ("an unknown field", format!("{ROW}querry = \"\""), Some("querry")),
        ("an unknown field of an answer", format!("{ROW}gateway = {{ reason = \"x\", key = \"y\" }}"), Some("key")),
        ("a release", format!("{ROW}from = \"3.0.18\"\nuntil = \"4.0\""), None),
        ("no release", format!("{ROW}from = \"3.1\""), Some("there is no profile 3.1")),
        ("call and path", format!("{ROW}path = \"/\""), Some("either a call or a path")),
    ] {
        let told = row::parse([("theme".to_owned(), text)].into_iter()).map_err(|faults| faults.join("\n"));
        match fault {
            None => assert_eq!(told.map(|rows| rows.len()), Ok(1), "{what}"),
            Some(fault) => assert!(told.as_ref().is_err_and(|faults| faults.contains(fault)), "{what}: {told:?}"),
        }
    }
    let values = row::Values::from([("room", "r1".to_owned())]);
    assert_eq!(row::fill("{room}{room}={%C3*2}{x*0}{unknown}{", &values), "r1r1=%C3%C3{unknown}{");
}

/// What a column said to a row.
struct Cell {
    seen: Seen,
    fault: Option<String>,
}

impl Cell {
    fn new((seen, told): (Seen, Result<(), String>)) -> Self {
        Self { seen, fault: told.err() }
    }

    fn text(&self) -> String {
        format!("{}{}", self.seen, if self.fault.is_some() { " (WRONG)" } else { "" })
    }
}

/// A line of the table.
struct Line<'a> {
    row: &'a Row,
    direct: Cell,
    gateway: Cell,
}

impl Line<'_> {
    fn text(&self) -> String {
        let verdict = self.row.gateway.as_ref().map_or("=", |instead| &instead.reason);
        format!("{} | {} | {} | {verdict}", self.row.name, self.direct.text(), self.gateway.text())
    }

    fn faults(&self) -> Vec<String> {
        let cells = [("direct", &self.direct), ("gateway", &self.gateway)];
        let told = cells.iter().filter_map(|(column, cell)| Some(format!("{column}: {}", cell.fault.as_ref()?)));
        let mut faults: Vec<String> = told.collect();
        // What a row does not name may differ as well.
        let is_compared = self.row.gateway.is_none() && faults.is_empty();
        if is_compared && self.direct.seen != self.gateway.seen {
            faults.push(format!("differ without a reason: {:?}, {:?}", self.direct.seen, self.gateway.seen));
        }
        faults
    }
}
