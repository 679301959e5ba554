//! The rows: what a file of `tests/gateway/conformance` may hold, and the placeholders in it.

use std::{collections::BTreeMap, fs, path::Path};

use anteroom_bench::sim::Profile;
use serde::Deserialize;

/// A file: the rows of one call, or of one theme.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    case: Vec<Row>,
}

/// One case.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(crate) struct Row {
    /// A sentence: what is done, and what comes of it.
    pub(crate) name: String,
    #[serde(default = "get")]
    pub(crate) method: String,
    /// The call's name, which is part of what is signed; empty with `path`.
    #[serde(default)]
    pub(crate) call: String,
    /// Path and query as they are sent, for what is not signed.
    #[serde(default)]
    pub(crate) path: String,
    /// The query without its checksum, sent as it is written.
    #[serde(default)]
    pub(crate) query: String,
    /// Where the checksum stands, and what is wrong with it.
    #[serde(default)]
    pub(crate) checksum: Checksum,
    #[serde(default)]
    pub(crate) algorithm: Algorithm,
    /// What is hashed instead of the query.
    pub(crate) signs: Option<String>,
    /// `Content-Type`.
    #[serde(rename = "type")]
    pub(crate) content_type: Option<String>,
    /// `{sum}` is the good checksum.
    #[serde(default)]
    pub(crate) body: String,
    #[serde(default)]
    pub(crate) headers: BTreeMap<String, String>,
    /// Further parameters of the `create` of `{room}`.
    #[serde(default)]
    pub(crate) room: String,
    /// Calls that are made before, as `call?query`: they have to succeed.
    #[serde(default)]
    pub(crate) before: Vec<String>,
    /// Recordings of the meeting `{recorded}`, by their states: `{recording}` is the first, `{recording2}` the second.
    #[serde(default)]
    pub(crate) recordings: Vec<String>,
    /// The first of them has captions.
    #[serde(default)]
    pub(crate) captions: bool,
    /// Who is in `{room}` with a socket, as the `join` has them: `fullName=Ada&role=VIEWER`. `{token}` is the first one's.
    #[serde(default)]
    pub(crate) joined: Vec<String>,
    /// The request has the cookies of the first who joined.
    #[serde(default)]
    pub(crate) cookies: bool,
    /// The row is about all that a server has: it gets servers of its own.
    #[serde(default)]
    pub(crate) alone: bool,
    /// The first release that it holds for, by its profile.
    pub(crate) from: Option<String>,
    /// The first later release that it does not hold for.
    pub(crate) until: Option<String>,
    pub(crate) expect: Expected,
    /// What the gateway answers instead, and why.
    pub(crate) gateway: Option<Instead>,
}

fn get() -> String {
    "GET".into()
}

/// How a row is signed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Checksum {
    #[default]
    Last,
    First,
    Middle,
    /// In the form, instead of the query.
    Body,
    UpperCase,
    /// Not there.
    None,
    /// There, without a value.
    Empty,
    /// One digit is another.
    Wrong,
    /// The last digit is missing.
    Short,
    /// As long as it should be, and no hex.
    NoHex,
    /// Twice the same, first and last.
    Twice,
    /// The good one, and another after it.
    ThenAnother,
    /// Another, and the good one after it.
    AfterAnother,
    /// Its first digit is percent-encoded.
    EncodedValue,
    /// `%63hecksum=`.
    EncodedName,
    /// `%20checksum=`.
    SpacedName,
    /// `Checksum=`.
    CapitalName,
    /// Of `end` with the same query.
    OfAnotherCall,
    /// With another secret.
    OfAnotherSecret,
    /// With no secret.
    OfNoSecret,
    /// There is a parameter after it that was not hashed.
    ThenAParameter,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Algorithm {
    Sha1,
    #[default]
    Sha256,
    Sha384,
    Sha512,
}

/// What an answer is to be. What is not named is not looked at, but for the status and the form.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase", default)]
pub(crate) struct Expected {
    /// 200, or 302 where the form is a redirect.
    pub(crate) status: Option<u16>,
    /// `xml` where nothing else is said; above status 400 it is not looked at.
    pub(crate) form: Option<Form>,
    /// `FAILED` where there is a `messageKey`, else `SUCCESS`; for XML and JSON.
    pub(crate) returncode: Option<String>,
    pub(crate) message_key: Option<String>,
    pub(crate) message: Option<String>,
    /// What a header has to contain.
    pub(crate) headers: BTreeMap<String, String>,
    /// The text of the first element (or JSON value) of a name.
    pub(crate) texts: BTreeMap<String, String>,
    /// What the body has to contain.
    pub(crate) has: Vec<String>,
    /// What the body must not contain.
    pub(crate) lacks: Vec<String>,
    /// How `Location` starts.
    pub(crate) location: Option<String>,
}

/// The form of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Form {
    Xml,
    Json,
    /// A redirect to where one wanted to go.
    Redirect,
    /// A redirect with `errors`.
    Errors,
    /// HTML.
    Page,
    Text,
    /// No body at all.
    Empty,
}

/// The gateway's answer where it is not BBB's.
#[derive(Debug, Clone, Deserialize)]
#[serde(try_from = "toml::Table")]
pub(crate) struct Instead {
    pub(crate) reason: String,
    pub(crate) expect: Expected,
}

impl TryFrom<toml::Table> for Instead {
    type Error = String;

    fn try_from(mut fields: toml::Table) -> Result<Self, String> {
        let reason = fields.remove("reason").and_then(|reason| Some(reason.as_str()?.to_owned()));
        let expect = fields.try_into().map_err(|error: toml::de::Error| error.message().to_owned())?;
        Ok(Self { reason: reason.unwrap_or_default(), expect })
    }
}

impl Row {
    /// What is to be in the gateway's column.
    pub(crate) fn expect_of_gateway(&self) -> &Expected {
        self.gateway.as_ref().map_or(&self.expect, |instead| &instead.expect)
    }

    /// Whether it holds for a release.
    pub(crate) fn is_of(&self, profile: Profile) -> bool {
        let at = |name: &str| Profile::ALL.iter().position(|known| known.name == name);
        let border = |name: &Option<String>| name.as_deref().and_then(at);
        let this = at(profile.name);
        border(&self.from).is_none_or(|from| Some(from) <= this)
            && border(&self.until).is_none_or(|until| this < Some(until))
    }

    /// What is wrong with the row itself.
    fn fault(&self) -> Option<String> {
        let instead = self.gateway.as_ref();
        if self.call.is_empty() == self.path.is_empty() {
            return Some("has to have either a call or a path".into());
        }
        let borders = [&self.from, &self.until].into_iter().flatten();
        if let Some(name) = borders.into_iter().find(|name| Profile::named(name).is_none()) {
            return Some(format!("there is no profile {name}"));
        }
        if self.checksum == Checksum::Middle && !self.query.contains('&') {
            return Some("has no middle for its checksum".into());
        }
        if instead.is_some_and(|instead| instead.reason.trim().is_empty()) {
            return Some("the columns differ without a reason".into());
        }
        if instead.is_some_and(|instead| instead.expect == self.expect) {
            return Some("has a reason for columns that are equal".into());
        }
        None
    }
}

/// All rows, in the order of their files.
pub(crate) fn read(dir: &Path) -> Result<Vec<(String, Row)>, Vec<String>> {
    let mut files: Vec<_> = fs::read_dir(dir)
        .unwrap()
        .map(|file| file.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "toml"))
        .collect();
    files.sort();
    let texts = files.iter().map(|path| {
        let theme = path.file_stem().unwrap().to_string_lossy().into_owned();
        (theme, fs::read_to_string(path).unwrap())
    });
    parse(texts)
}

/// Reads the rows of several themes, each with all its text.
pub(crate) fn parse(texts: impl Iterator<Item = (String, String)>) -> Result<Vec<(String, Row)>, Vec<String>> {
    let (mut rows, mut faults) = (Vec::<(String, Row)>::new(), Vec::new());
    for (theme, text) in texts {
        match toml::from_str::<File>(&text) {
            Ok(file) => rows.extend(file.case.into_iter().map(|row| (theme.clone(), row))),
            Err(error) => faults.push(format!("{theme}: {error}")),
        }
    }
    for (n, (theme, row)) in rows.iter().enumerate() {
        if let Some(fault) = row.fault() {
            faults.push(format!("{theme}: {}: {fault}", row.name));
        }
        if rows[..n].iter().any(|(_, earlier)| earlier.name == row.name) {
            faults.push(format!("{theme}: {}: there are two of this name", row.name));
        }
    }
    if faults.is_empty() { Ok(rows) } else { Err(faults) }
}

/// What stands for a placeholder.
pub(crate) type Values = BTreeMap<&'static str, String>;

/// Puts the values in: `{room}`, and `{x*3}` for `xxx`. A brace that encloses nothing known stays what it is.
pub(crate) fn fill(text: &str, values: &Values) -> String {
    let mut filled = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('{') {
        let (before, from) = rest.split_at(at);
        filled.push_str(before);
        let value = from[1..].split_once('}').and_then(|(name, after)| {
            let repeated = || name.rsplit_once('*').and_then(|(what, n)| Some(what.repeat(n.parse().ok()?)));
            Some((values.get(name).cloned().or_else(repeated)?, after))
        });
        match value {
            Some((value, after)) => {
                filled.push_str(&value);
                rest = after;
            }
            None => {
                filled.push('{');
                rest = &from[1..];
            }
        }
    }
    filled.push_str(rest);
    filled
}
