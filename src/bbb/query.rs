//! The query of an API call: the raw bytes for the checksum, the decoded parameters for everything else.
//!
//! Source of the rules: `bigbluebutton-web`, ValidationService and ParamsProcessorUtil (BBB 2.7 to 3.0).

use std::borrow::Cow;

use form_urlencoded::byte_serialize;
use percent_encoding::percent_decode;

use super::answer::Failure;

/// Name and value of one parameter, decoded, without control characters and without white space at its ends.
pub type Param = (String, String);

/// The parameters of one call, in the order they came, each name once.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Params(Vec<Param>);

/// More parameters than any client sends (BBB 3.0 documents about 95 for `create`), few enough for a linear look-up.
pub const PARAMS_MAX: usize = 256;

impl Params {
    /// Reads a raw query or form body (`application/x-www-form-urlencoded`).
    ///
    /// # Errors
    /// [`Failure::QUERY`] for what is no UTF-8, for a name outside ASCII, a parameter that is given twice, or more than
    /// [`PARAMS_MAX`] of them.
    pub fn parse(raw: &[u8]) -> Result<Self, Failure> {
        let mut params = Self::default();
        params.extend(raw)?;
        Ok(params)
    }

    /// Adds the parameters of a second source (a form body after the query).
    ///
    /// # Errors
    /// As those of [`Params::parse`]; a name that both sources have is given twice.
    pub fn extend(&mut self, raw: &[u8]) -> Result<(), Failure> {
        for pair in raw.split(|b| *b == b'&').filter(|pair| !pair.is_empty()) {
            let (name, value) = match pair.iter().position(|b| *b == b'=') {
                Some(at) => (&pair[..at], &pair[at + 1..]),
                None => (pair, &[][..]),
            };
            self.push(sanitise(&decode(name)?), sanitise(&decode(value)?))?;
        }
        Ok(())
    }

    /// Adds one parameter.
    ///
    /// # Errors
    /// As those of [`Params::parse`].
    pub fn push(&mut self, name: String, value: String) -> Result<(), Failure> {
        if !name.is_ascii() {
            return Err(Failure::QUERY);
        }
        if self.get(&name).is_some() {
            return Err(Failure::QUERY);
        }
        if self.0.len() >= PARAMS_MAX {
            return Err(Failure::QUERY);
        }
        self.0.push((name, value));
        Ok(())
    }

    /// The value of a parameter; its name is matched with its case.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(have, _)| have == name).map(|(_, value)| &**value)
    }

    /// Sets a parameter, new or not.
    pub fn set(&mut self, name: &str, value: impl Into<String>) {
        match self.0.iter_mut().find(|(have, _)| have == name) {
            Some((_, old)) => *old = value.into(),
            None => self.0.push((name.to_owned(), value.into())),
        }
    }

    /// Adds a parameter of a name that there is not yet.
    pub(crate) fn add(&mut self, name: &str, value: impl Into<String>) {
        debug_assert!(self.get(name).is_none(), "{name} is there already");
        self.0.push((name.to_owned(), value.into()));
    }

    /// Takes a parameter out.
    pub fn remove(&mut self, name: &str) -> Option<String> {
        let at = self.0.iter().position(|(have, _)| have == name)?;
        Some(self.0.remove(at).1)
    }

    /// Keeps the parameters that `keep` says to keep.
    pub fn retain(&mut self, mut keep: impl FnMut(&str, &str) -> bool) {
        self.0.retain(|(name, value)| keep(name, value));
    }

    /// All parameters, in order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (&**name, &**value))
    }

    /// The parameters as a form: `application/x-www-form-urlencoded`, as Java's `URLEncoder` writes it.
    #[must_use]
    pub fn encode(&self) -> String {
        let mut text = String::new();
        for (name, value) in self.iter() {
            append_pair(&mut text, name, value);
        }
        text
    }
}

/// Adds `name=value` to a query.
pub(crate) fn append_pair(text: &mut String, name: &str, value: &str) {
    if !text.is_empty() {
        text.push('&');
    }
    text.extend(byte_serialize(name.as_bytes()));
    text.push('=');
    text.extend(byte_serialize(value.as_bytes()));
}

/// Decodes a name or a value; most are as they are.
fn decode(raw: &[u8]) -> Result<Cow<'_, str>, Failure> {
    let bytes = if raw.contains(&b'+') {
        let spaced: Vec<u8> = raw.iter().map(|b| if *b == b'+' { b' ' } else { *b }).collect();
        Cow::Owned(percent_decode(&spaced).collect())
    } else {
        Cow::from(percent_decode(raw))
    };
    let text = match bytes {
        Cow::Borrowed(bytes) => std::str::from_utf8(bytes).ok().map(Cow::Borrowed),
        Cow::Owned(bytes) => String::from_utf8(bytes).ok().map(Cow::Owned),
    };
    text.ok_or(Failure::QUERY)
}

/// What BBB does to each name and value: control characters (`\p{Cc}`) out, then trimmed.
pub(crate) fn sanitise(text: &str) -> String {
    let text = text.trim_matches(|c: char| c <= ' ' || c.is_control());
    if text.bytes().all(|byte| (b' '..0x7f).contains(&byte)) {
        return text.to_owned();
    }
    if text.contains(char::is_control) { text.chars().filter(|c| !c.is_control()).collect() } else { text.to_owned() }
}

/// A text without white space at its ends, as Java's `String.trim` has it: up to U+0020, and nothing else. An item of a
/// list is read so.
pub(crate) fn trimmed(text: &str) -> &str {
    text.trim_matches(|c: char| c <= ' ')
}

/// Splits the `checksum` off a raw query: what is left is what was hashed.
///
/// Exactly one pair may bear the literal name `checksum`; one that bears it in another spelling (`%63hecksum`, with a
/// space before it) collapses onto it in BBB and is refused here. This equals BBB for every well-formed call
/// (docs/reference/bbb-protocol.md, "Checksum").
///
/// `None` where the query has none.
///
/// # Errors
/// [`Failure::CHECKSUM`] where it has two.
pub fn split_checksum(raw: &str) -> Result<Option<(String, &str)>, Failure> {
    let mut rest = String::with_capacity(raw.len());
    let (mut checksum, mut disguised) = (None, false);
    let mut first = true;
    for pair in raw.split('&') {
        match pair.strip_prefix("checksum=") {
            Some(value) => {
                if checksum.replace(value).is_some() {
                    return Err(Failure::CHECKSUM);
                }
            }
            None => {
                disguised |= is_checksum(pair);
                if !first {
                    rest.push('&');
                }
                rest.push_str(pair);
                first = false;
            }
        }
    }
    match checksum {
        Some(_) if disguised => Err(Failure::CHECKSUM),
        Some(checksum) => Ok(Some((rest, checksum))),
        None => Ok(None),
    }
}

/// Whether BBB reads a pair as a checksum, though its name is written in another way.
fn is_checksum(pair: &str) -> bool {
    let name = pair.split_once('=').map_or(pair, |(name, _)| name);
    // Most names have nothing that could hide one.
    let plain = name.bytes().all(|b| b.is_ascii_graphic() && b != b'%' && b != b'+');
    if plain { name == "checksum" } else { decode(name.as_bytes()).is_ok_and(|name| sanitise(&name) == "checksum") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_are_decoded_once_and_sanitised() {
        let params = Params::parse(b"name=Test+Meeting%20%C3%BC&meetingID=%20a%0Ab%20&x&y==1&&").expect("well-formed");
        let all: Vec<_> = params.iter().collect();
        assert_eq!(all, [("name", "Test Meeting ü"), ("meetingID", "ab"), ("x", ""), ("y", "=1")]);
    }

    #[test]
    fn what_is_ambiguous_is_refused() {
        for (raw, why) in [
            ("a=1&a=2", "given twice"),
            ("a=1&%61=2", "given twice"),
            ("a=1&+a=2", "given twice"),
            ("a=%ff", "no UTF-8"),
            ("%C3%A4=1", "a name outside ASCII"),
            ("a\u{212a}=1", "a name outside ASCII"),
            ("a=1&\u{a0}a=2", "a name outside ASCII"),
        ] {
            assert_eq!(Params::parse(raw.as_bytes()), Err(Failure::QUERY), "{raw}: {why}");
        }
        let many = |n: usize| (0..n).map(|n| format!("p{n}=&")).collect::<String>();
        assert!(Params::parse(many(PARAMS_MAX).as_bytes()).is_ok());
        assert_eq!(Params::parse(many(PARAMS_MAX + 1).as_bytes()), Err(Failure::QUERY));
    }

    #[test]
    fn a_query_is_encoded_as_java_does() {
        let mut params = Params::default();
        params.set("fullName", "Ada & Zoë+1 *-._");
        assert_eq!(params.encode(), "fullName=Ada+%26+Zo%C3%AB%2B1+*-._");
    }

    #[test]
    fn the_checksum_leaves_the_other_bytes_as_they_came() {
        for (raw, expected) in [
            ("checksum=C&a=1&b=2", Ok(Some(("a=1&b=2", "C")))),
            ("a=1&checksum=C&b=2", Ok(Some(("a=1&b=2", "C")))),
            ("a=1&b=2&checksum=C", Ok(Some(("a=1&b=2", "C")))),
            ("&a=%41+%20&checksum=C", Ok(Some(("&a=%41+%20", "C")))),
            ("checksum=C", Ok(Some(("", "C")))),
            ("a=1", Ok(None)),
            ("Checksum=C", Ok(None)),
            ("", Ok(None)),
            ("checksum=C&a=1&checksum=C", Err(Failure::CHECKSUM)),
            ("checksum&checksum=C", Err(Failure::CHECKSUM)),
            ("checksum=C&%63hecksum=D", Err(Failure::CHECKSUM)),
            ("+checksum%0a=D&checksum=C", Err(Failure::CHECKSUM)),
            ("%20checksum=C", Ok(None)),
        ] {
            let got = split_checksum(raw);
            let got = got.as_ref().map(|found| found.as_ref().map(|(rest, sum)| (&**rest, *sum)));
            assert_eq!(got, expected.as_ref().map(|found| *found), "{raw}");
        }
    }
}
