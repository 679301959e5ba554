//! [`Convert`]: from the raw shape of one file to the domain's types, collecting every fault on the way.

use std::{
    collections::HashMap,
    fmt,
    hash::Hash,
    path::{Path, PathBuf},
    str::FromStr,
    time::Duration,
};

use http::{
    Uri,
    uri::{Authority, Scheme},
};
use serde::de::DeserializeOwned;

use super::{
    document::{Document, Line},
    duration,
    fault::Fault,
    files::{Reading, Source},
    keypath::KeyPath,
    raw, secrets,
    shape::Shape,
};
use crate::{
    domain::{
        host::Host,
        ids::PoolId,
        limits::{BODY_MAX, Limit, Limits, Recording},
        secret::Secret,
        tenant::Upstream,
        time::Timestamp,
    },
    private,
};

/// The poller keeps the records of ended meetings for that long.
const RETENTION_MAX: Duration = Duration::from_secs(7 * 86_400);

/// A body of documents that is smaller than that is none.
const BODY_LEAST: u32 = 64 << 10;

/// A value that other files may yet prove wrong, with the place it was written at.
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

/// What one file, or directory of a certificate, came to.
#[derive(Debug)]
pub(super) struct Outcome<T> {
    /// As far as it could be understood; to be used only while `faults` is empty.
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
    reading: &'d mut Reading,
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
            && let Some(mode) = private::exposed(&dir.join(file))
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

    /// Reports a fault of a value that has its place already.
    pub(super) fn fault_at<T>(&mut self, at: &At<T>, reason: impl Into<String>) {
        self.faults.push(at.fault(self.file, reason));
    }

    /// Reports a doubt about a value that has its place already.
    pub(super) fn warn_at<T>(&mut self, at: &At<T>, reason: impl Into<String>) {
        self.warnings.push(at.fault(self.file, reason));
    }

    /// Reports something that works, but hardly as it was meant.
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

    /// Pools, each at its place; none where all of them are faulty.
    pub(super) fn pools(&mut self, path: &KeyPath, pools: &raw::Pools) -> Vec<At<PoolId>> {
        match pools {
            raw::Pools::One(text) => {
                let pool = self.parse(path, text);
                pool.map(|pool| self.at_path(path, pool)).into_iter().collect()
            }
            raw::Pools::Many(texts) => {
                if texts.is_empty() && !self.is_faulty(path) {
                    self.fault(path, "must not be an empty list");
                }
                self.list(path, texts)
            }
        }
    }

    /// A text for people.
    pub(super) fn title(&mut self, path: &KeyPath, text: Option<String>) -> String {
        let text = text.unwrap_or_default();
        let trimmed = text.trim();
        if trimmed.is_empty() && !self.is_faulty(path) {
            self.fault(path, "must not be empty");
        }
        trimmed.to_owned()
    }

    /// Whether a fault has been found at this place, or at something in it.
    pub(super) fn is_faulty(&self, path: &KeyPath) -> bool {
        let key = path.to_string();
        self.faults.iter().any(|fault| {
            fault.key.strip_prefix(&key).is_some_and(|rest| matches!(rest.bytes().next(), None | Some(b'.' | b'[')))
        })
    }

    /// A secret, which is to be known to nobody else.
    pub(super) fn secret(&mut self, path: &KeyPath, text: &str) -> Option<Secret> {
        let secret = self.hidden(path, text)?;
        if let Some(doubt) = secrets::doubt(text, self.dir, &secret) {
            self.warn(path, doubt);
        }
        Some(secret)
    }

    /// A text that is read as a secret is, but need not be hard to find.
    pub(super) fn hidden(&mut self, path: &KeyPath, text: &str) -> Option<Secret> {
        let secret = secrets::read(text, self.dir, self.reading);
        match secrets::file_of(text) {
            Some(name) => self.warn_if_exposed(path, name),
            None => self.has_secret |= !text.starts_with("env:"),
        }
        self.keep(path, secret)
    }

    /// Warns of a file of this configuration that others than its owner may read.
    pub(super) fn warn_if_exposed(&mut self, path: &KeyPath, name: &str) {
        if let Some(mode) = private::exposed(&self.dir.join(name)) {
            self.warn(path, format!("its file {}", private::advice(Path::new(name), mode)));
        }
    }

    /// A file of this configuration that must be there, and its content.
    pub(super) fn file(&mut self, path: &KeyPath, name: &str) -> Option<(PathBuf, Vec<u8>)> {
        let file = self.dir.join(name);
        let bytes = self.reading.bytes(&file).map_err(|why| format!("the file {name:?} {why}"));
        self.keep(path, bytes).map(|bytes| (file, bytes))
    }

    /// The content of a file of this configuration that must be there, up to a size.
    pub(super) fn file_up_to(&mut self, path: &KeyPath, name: &str, most: u64) -> Option<Vec<u8>> {
        let bytes = self.reading.bytes_up_to(&self.dir.join(name), most);
        self.keep(path, bytes.map_err(|why| format!("the file {name:?} {why}")))
    }

    /// The address of an HTTP server.
    pub(super) fn upstream(&mut self, path: &KeyPath, text: &str) -> Option<Upstream> {
        self.keep(path, upstream(text))
    }

    /// A bound that is a number.
    pub(super) fn count(&mut self, path: &KeyPath, count: raw::Count, least: u32) -> Option<Limit<u32>> {
        match count {
            raw::Count::Word(raw::Unlimited::Unlimited) => Some(Limit::Unlimited),
            raw::Count::Number(number) => match u32::try_from(number) {
                Ok(number) if number >= least => Some(Limit::AtMost(number)),
                _ => {
                    self.fault(path, format!("must be from {least} to {}, or \"unlimited\"", u32::MAX));
                    None
                }
            },
        }
    }

    /// A bound that is a length of time.
    pub(super) fn span(&mut self, path: &KeyPath, text: &str) -> Option<Limit<Duration>> {
        if text == "unlimited" {
            return Some(Limit::Unlimited);
        }
        match duration::parse(text) {
            Some(length) if !length.is_zero() => Some(Limit::AtMost(length)),
            _ => {
                self.fault(path, "must be a length of time such as \"90s\", \"60m\" or \"1h30m\", or \"unlimited\"");
                None
            }
        }
    }

    /// A length of time that may be none at all.
    pub(super) fn length(&mut self, path: &KeyPath, text: &str) -> Option<Duration> {
        let length = duration::parse(text).ok_or("must be a length of time such as \"0s\", \"90s\" or \"1h30m\"");
        self.keep(path, length)
    }

    /// How long something of a room counts: no longer than the store keeps its record.
    fn retention(&mut self, path: &KeyPath, text: &str) -> Option<Duration> {
        let length = self.length(path, text)?;
        let kept = if length > RETENTION_MAX { Err("must be at most \"7d\"") } else { Ok(length) };
        self.keep(path, kept)
    }

    /// The size of a body.
    fn body(&mut self, path: &KeyPath, text: &str) -> Option<u32> {
        let bytes = bytes(text).filter(|bytes| (BODY_LEAST..=BODY_MAX).contains(bytes));
        self.keep(path, bytes.ok_or("must be a size from \"64KB\" to \"64MB\""))
    }

    /// The limits that a table of a file names.
    pub(super) fn limits(&mut self, table: &KeyPath, limits: &raw::Limits) -> Exceptions {
        let path = |key: &str| table.key(key);
        Exceptions {
            accounts: limits.accounts.and_then(|n| self.count(&path("accounts"), n, 1)),
            rooms: limits.rooms.and_then(|n| self.count(&path("rooms"), n, 1)),
            participants: limits.participants.and_then(|n| self.count(&path("participants"), n, 1)),
            duration: limits.duration.as_deref().and_then(|t| self.span(&path("duration"), t)),
            recording: limits.recording.map(|recording| match recording {
                raw::Recording::Never => Recording::Never,
                raw::Recording::PerRoom => Recording::PerRoom,
                raw::Recording::AlwaysAllowed => Recording::AlwaysAllowed,
            }),
            own_domains: limits.own_domains.and_then(|n| self.count(&path("own_domains"), n, 0)),
            branding: limits.branding,
            breakouts: limits.breakouts,
            room_retention: limits.room_retention.as_deref().and_then(|t| self.retention(&path("room_retention"), t)),
            duration_window: limits
                .duration_window
                .as_deref()
                .and_then(|t| self.retention(&path("duration_window"), t)),
            documents: limits.documents.and_then(|n| self.count(&path("documents"), n, 0)),
            body: limits.body.as_deref().and_then(|t| self.body(&path("body"), t)),
        }
    }
}

/// Limits, any of which may be left as they are.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Exceptions {
    pub accounts: Option<Limit<u32>>,
    pub rooms: Option<Limit<u32>>,
    pub participants: Option<Limit<u32>>,
    pub duration: Option<Limit<Duration>>,
    pub recording: Option<Recording>,
    pub own_domains: Option<Limit<u32>>,
    pub branding: Option<bool>,
    pub breakouts: Option<bool>,
    pub room_retention: Option<Duration>,
    pub duration_window: Option<Duration>,
    pub documents: Option<Limit<u32>>,
    pub body: Option<u32>,
}

impl Exceptions {
    /// The limits of a level, or of a tenant, with these exceptions.
    pub(super) fn over(&self, limits: &Limits) -> Limits {
        Limits {
            accounts: self.accounts.unwrap_or(limits.accounts),
            rooms: self.rooms.unwrap_or(limits.rooms),
            participants: self.participants.unwrap_or(limits.participants),
            duration: self.duration.unwrap_or(limits.duration),
            recording: self.recording.unwrap_or(limits.recording),
            own_domains: self.own_domains.unwrap_or(limits.own_domains),
            branding: self.branding.unwrap_or(limits.branding),
            breakouts: self.breakouts.unwrap_or(limits.breakouts),
            room_retention: self.room_retention.unwrap_or(limits.room_retention),
            duration_window: self.duration_window.unwrap_or(limits.duration_window),
            documents: self.documents.unwrap_or(limits.documents),
            body: self.body.unwrap_or(limits.body),
        }
    }
}

/// Bytes of a text such as `64KB` or `45MB`.
fn bytes(text: &str) -> Option<u32> {
    let (digits, shift) = match text.strip_suffix("KB") {
        Some(digits) => (digits, 10),
        None => (text.strip_suffix("MB")?, 20),
    };
    let is_number = !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit());
    let number: u32 = is_number.then(|| digits.parse().ok())??;
    number.checked_mul(1 << shift)
}

/// Reads the address of an HTTP server: scheme, host and perhaps a port, nothing else.
fn upstream(text: &str) -> Result<Upstream, &'static str> {
    const SHAPE: &str = "must be http:// or https://, a host and perhaps a port";
    let uri: Uri = text.parse().map_err(|_| SHAPE)?;
    let scheme = uri.scheme().ok_or(SHAPE)?;
    let default_port = if *scheme == Scheme::HTTPS {
        443
    } else if *scheme == Scheme::HTTP {
        80
    } else {
        return Err(SHAPE);
    };
    let authority = uri.authority().ok_or(SHAPE)?;
    if authority.as_str().contains('@') {
        return Err("must not have a user or password in it");
    }
    if !matches!(uri.path(), "" | "/") || uri.query().is_some() || text.contains('#') {
        return Err("must be without a path: http:// or https://, a host and perhaps a port");
    }
    let host = authority.host();
    let literal = host.strip_prefix('[').and_then(|h| h.strip_suffix(']'));
    let host = match literal {
        Some(address) => {
            address.parse::<std::net::Ipv6Addr>().map_err(|_| SHAPE)?;
            host.to_ascii_lowercase()
        }
        None => host.parse::<Host>().map_err(|_| SHAPE)?.to_string(),
    };
    let port = match authority.as_str().rsplit_once(':') {
        Some((_, digits)) if !digits.ends_with(']') => Some(digits.parse::<u16>().map_err(|_| SHAPE)?),
        _ => None,
    };
    let authority: Authority = match port {
        Some(0) => return Err(SHAPE),
        Some(port) if port != default_port => format!("{host}:{port}").parse(),
        _ => host.parse(),
    }
    .map_err(|_| SHAPE)?;
    Ok(Upstream { scheme: scheme.clone(), authority })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_address_of_a_server_is_scheme_host_and_port() {
        for (text, expected) in [
            ("https://bbb-01.meet.example", Some("https://bbb-01.meet.example")),
            ("https://BBB-01.Meet.Example./", Some("https://bbb-01.meet.example")),
            ("https://bbb:443", Some("https://bbb")),
            ("http://bbb:80", Some("http://bbb")),
            ("http://bbb:443", Some("http://bbb:443")),
            ("http://127.0.0.1:8080", Some("http://127.0.0.1:8080")),
            ("https://[::1]:8443", Some("https://[::1]:8443")),
            ("https://[::1]", Some("https://[::1]")),
            ("https://bbb/bigbluebutton/", None),
            ("https://bbb?x=1", None),
            ("https://user:word@bbb", None),
            ("ftp://bbb", None),
            ("bbb-01.meet.example", None),
            ("https://", None),
            ("https://bbb:0", None),
            ("https://bbb:70000", None),
            ("https://b_ü", None),
            ("", None),
        ] {
            let read = upstream(text).ok().map(|u| format!("{}://{}", u.scheme, u.authority));
            assert_eq!(read.as_deref(), expected, "{text}");
        }
    }

    #[test]
    fn a_size_is_a_whole_number_of_kilobytes_or_megabytes() {
        for (text, expected) in [
            ("64KB", Some(65_536)),
            ("45MB", Some(47_185_920)),
            ("0MB", Some(0)),
            ("4095MB", Some(4_293_918_720)),
            ("4096MB", None),
            ("45", None),
            ("45 MB", None),
            ("45mb", None),
            ("1.5MB", None),
            ("+1MB", None),
            ("-1MB", None),
            ("MB", None),
            ("", None),
        ] {
            assert_eq!(bytes(text), expected, "{text}");
        }
    }
}
