//! How names, records and lists of them are written in sentences: as one puts them into a zone, of bounded length, without
//! anything that moves a cursor.

use std::net::IpAddr;

use hickory_resolver::proto::rr::Name;

/// Entries of a list that are written out.
const LISTED_MAX: usize = 8;
/// Characters of a text from DNS that are written out.
const TEXT_MAX: usize = 300;

/// A name in the form of [`Host`](crate::domain::host::Host): lower case, without a dot at its end. Bytes that are no text are
/// escaped.
pub(super) fn ascii(name: &Name) -> String {
    let text = name.to_ascii().to_ascii_lowercase();
    text.strip_suffix('.').unwrap_or(&text).to_owned()
}

/// A text from DNS, for a terminal.
pub(super) fn shown(text: &str) -> String {
    let clean = |c: char| if c.is_control() { char::REPLACEMENT_CHARACTER } else { c };
    let mut shown: String = text.chars().take(TEXT_MAX).map(clean).collect();
    if text.chars().nth(TEXT_MAX).is_some() {
        shown.push_str("...");
    }
    shown
}

/// The record of an address, such as `A 192.0.2.7`.
pub(super) fn address(address: &IpAddr) -> String {
    let kind = if address.is_ipv4() { "A" } else { "AAAA" };
    format!("{kind} {address}")
}

/// The records of addresses, with commas.
pub(super) fn addresses(all: &[IpAddr]) -> String {
    list(all.iter().map(address), ", ")
}

/// Entries with something between them; of many, the first.
pub(super) fn list(entries: impl IntoIterator<Item = String>, between: &str) -> String {
    let mut entries = entries.into_iter();
    let mut listed: Vec<String> = entries.by_ref().take(LISTED_MAX).collect();
    if entries.next().is_some() {
        listed.push("...".into());
    }
    listed.join(between)
}
