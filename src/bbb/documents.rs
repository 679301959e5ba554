//! The XML body of `create` and `insertDocument`, which no checksum covers.
//!
//! Modules other than presentations and the first text of notes are removed, and named to the caller; document types with
//! entities, and documents that a server must not fetch, are refused. The module `clientSettingsOverride` can point the client to
//! another host (docs/reference/bbb-protocol.md, "POST bodies").

use quick_xml::{
    Reader,
    events::{BytesDecl, BytesStart, Event},
};

use super::{
    answer::Failure,
    xml::{Splice, position},
};

/// The modules of a body that are no documents, and may pass as the parameters of these names may: the first text of the notes.
const NOTES: [&str; 2] = ["sharedNotesInitialContentJson", "sharedNotesInitialContentMarkdown"];
/// Maximum length of a module name in the log.
const NAME_CHARS_MAX: usize = 64;

/// The body of a `create` without the modules that a tenant must not send.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Clean {
    /// What goes on.
    pub xml: String,
    /// How many documents are in it.
    pub documents: u32,
    /// The beginning of the name of the first module that was taken out.
    pub dropped: Option<String>,
}

/// Takes the modules out of the body of a `create` that a tenant must not send. `may_fetch` decides on each address, `may_set` on
/// the modules of the notes.
///
/// # Errors
/// [`Failure::MODULES`] for what is no XML of modules, [`Failure::DOCUMENT_ADDRESS`] for an address that must not be fetched.
pub fn clean(body: &[u8], may_fetch: impl Fn(&str) -> bool, may_set: impl Fn(&str) -> bool) -> Result<Clean, Failure> {
    let xml = std::str::from_utf8(body).map_err(|_| Failure::MODULES)?;
    let mut reader = Reader::from_str(xml);
    let mut splice = Splice::new(xml);
    let mut depth = 0_usize;
    let mut dropped_from = None;
    let mut rooted = false;
    let mut documents = 0_u32;
    let mut dropped = None;
    loop {
        let before = position(&reader);
        let event = reader.read_event().map_err(|_| Failure::MODULES)?;
        let after = position(&reader);
        match &event {
            Event::Start(tag) | Event::Empty(tag) => {
                let name = tag.name();
                if depth == 0 {
                    if rooted || name.as_ref() != "modules" {
                        return Err(Failure::MODULES);
                    }
                    rooted = true;
                }
                let module = if depth == 1 { module_of(tag) } else { None };
                let is_notes = || module.as_deref().is_some_and(|name| NOTES.contains(&name) && may_set(name));
                let allowed = depth != 1 || module.as_deref() == Some("presentation") || is_notes();
                if !allowed {
                    dropped.get_or_insert_with(|| module.unwrap_or_default().chars().take(NAME_CHARS_MAX).collect());
                }
                if allowed && dropped_from.is_none() && check(tag, &may_fetch)? {
                    documents = documents.saturating_add(1);
                }
                if matches!(event, Event::Empty(_)) {
                    if !allowed {
                        splice.replace(before..after, "");
                    }
                    continue;
                }
                if !allowed {
                    dropped_from = Some(before);
                }
                depth += 1;
            }
            Event::End(_) => {
                depth = depth.checked_sub(1).ok_or(Failure::MODULES)?;
                if depth == 1
                    && let Some(from) = dropped_from.take()
                {
                    splice.replace(from..after, "");
                }
            }
            Event::DocType(_) => return Err(Failure::MODULES),
            Event::Decl(declaration) => declared(declaration)?,
            Event::Eof => break,
            _ => {}
        }
    }
    if !rooted || depth != 0 {
        return Err(Failure::MODULES);
    }
    Ok(Clean { xml: splice.finish(), documents, dropped })
}

/// The name of a module as it is written; `None` for what is none.
fn module_of(tag: &BytesStart<'_>) -> Option<String> {
    let name = tag.try_get_attribute("name").ok().flatten().filter(|_| tag.name().as_ref() == "module")?;
    Some(name.value.as_ref().to_owned())
}

/// Checks the addresses of one tag of any name: BBB takes all that is in a module for documents. Returns whether it
/// is one.
fn check(tag: &BytesStart<'_>, may_fetch: &impl Fn(&str) -> bool) -> Result<bool, Failure> {
    // What is a space to one reader and a letter to another could hide an attribute.
    let is_plain = |name: &str| name.bytes().all(|b| b.is_ascii_alphanumeric() || b":_.-".contains(&b));
    if !is_plain(tag.name().as_ref()) {
        return Err(Failure::MODULES);
    }
    for attribute in tag.attributes() {
        let attribute = attribute.map_err(|_| Failure::MODULES)?;
        if !is_plain(attribute.key.as_ref()) {
            return Err(Failure::MODULES);
        }
        // A reader that minds no namespaces takes `x:url` for it.
        if attribute.key.as_ref().rsplit(':').next() == Some("url") {
            let url = attribute.normalized_value(quick_xml::XmlVersion::Implicit1_0);
            let url = url.map_err(|_| Failure::MODULES)?;
            if !may_fetch(&url) {
                return Err(Failure::DOCUMENT_ADDRESS);
            }
        }
    }
    Ok(!matches!(tag.name().as_ref(), "modules" | "module"))
}

/// Checks a declaration: XML 1.0, in an encoding that is read here as there.
fn declared(declaration: &BytesDecl<'_>) -> Result<(), Failure> {
    if declaration.version().map_err(|_| Failure::MODULES)?.as_ref() != "1.0" {
        return Err(Failure::MODULES);
    }
    match declaration.encoding() {
        None => Ok(()),
        Some(Ok(named)) if ENCODINGS.iter().any(|known| known.eq_ignore_ascii_case(named.as_ref())) => Ok(()),
        Some(_) => Err(Failure::MODULES),
    }
}

/// A tag is longer than any address may be: it is none.
const TAG_BYTES_MAX: usize = 16 * 1024;
/// What a server must read as we do (a document in another encoding could hide its tags).
const ENCODINGS: [&str; 4] = ["utf-8", "us-ascii", "iso-8859-1", "windows-1252"];

/// Looks through the body of an `insertDocument` as it passes, without keeping it: only one tag at a time is held.
#[derive(Debug, Default)]
pub struct Watch {
    state: State,
    tag: Vec<u8>,
    begun: bool,
    documents: u32,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Between tags.
    #[default]
    Text,
    /// In `<...`, which ends with `>` outside of quotes.
    Tag { quote: Option<u8> },
    /// In `<!--...-->`.
    Comment,
    /// In `<![CDATA[...]]>`.
    CData,
    /// In `<?...?>`.
    Instruction,
}

impl Watch {
    /// How many documents have passed.
    #[must_use]
    pub fn documents(&self) -> u32 {
        self.documents
    }

    /// Looks at the next bytes.
    ///
    /// # Errors
    /// See [`clean`]: then these bytes, and all that follow, must not go on.
    pub fn pass(&mut self, bytes: &[u8], may_fetch: &impl Fn(&str) -> bool) -> Result<(), Failure> {
        for &byte in bytes {
            if byte == 0 {
                return Err(Failure::MODULES);
            }
            match self.state {
                State::Text => self.text(byte)?,
                State::Tag { quote } => self.in_tag(byte, quote, may_fetch)?,
                State::Comment => self.until(byte, b"-->")?,
                State::CData => self.until(byte, b"]]>")?,
                State::Instruction => self.until(byte, b"?>")?,
            }
        }
        Ok(())
    }

    fn text(&mut self, byte: u8) -> Result<(), Failure> {
        if byte == b'<' {
            self.begun = true;
            self.state = State::Tag { quote: None };
            self.tag.clear();
            self.tag.push(byte);
        } else if !self.begun && !byte.is_ascii_whitespace() && !b"\xef\xbb\xbf".contains(&byte) {
            // Not even a tag to begin with: it is written in an encoding of its own.
            return Err(Failure::MODULES);
        }
        Ok(())
    }

    fn in_tag(&mut self, byte: u8, quote: Option<u8>, may_fetch: &impl Fn(&str) -> bool) -> Result<(), Failure> {
        self.keep(byte)?;
        match self.tag.as_slice() {
            b"<!--" => self.state = State::Comment,
            b"<![CDATA[" => self.state = State::CData,
            b"<?" => self.state = State::Instruction,
            [b'<', b'!', rest @ ..] => {
                if !b"--".starts_with(rest) && !b"[CDATA[".starts_with(rest) {
                    return Err(Failure::MODULES);
                }
            }
            _ => match quote {
                Some(open) if open == byte => self.state = State::Tag { quote: None },
                Some(_) => {}
                None if byte == b'"' || byte == b'\'' => self.state = State::Tag { quote: Some(byte) },
                None if byte == b'>' => return self.close(may_fetch),
                None => {}
            },
        }
        Ok(())
    }

    fn close(&mut self, may_fetch: &impl Fn(&str) -> bool) -> Result<(), Failure> {
        self.state = State::Text;
        let tag = std::str::from_utf8(&self.tag).map_err(|_| Failure::MODULES)?;
        match Reader::from_str(tag).read_event() {
            Ok(Event::Start(tag) | Event::Empty(tag)) => {
                self.documents = self.documents.saturating_add(u32::from(check(&tag, may_fetch)?));
                Ok(())
            }
            // Alone it closes nothing.
            _ if tag.starts_with("</") => Ok(()),
            _ => Err(Failure::MODULES),
        }
    }

    /// Passes over what ends with `end`; of it, only a declaration is read.
    fn until(&mut self, byte: u8, end: &[u8]) -> Result<(), Failure> {
        if self.state == State::Instruction {
            self.keep(byte)?;
        } else {
            self.tag.push(byte);
            if self.tag.len() > 64 {
                self.tag.drain(..32);
            }
        }
        // `<!-->` is no comment yet: what opened it does not count as its end.
        if self.tag.ends_with(end)
            && !(self.state == State::Comment && self.tag.len() < 7 && self.tag.starts_with(b"<!--"))
        {
            if self.state == State::Instruction {
                self.declaration()?;
            }
            self.state = State::Text;
        }
        Ok(())
    }

    fn declaration(&self) -> Result<(), Failure> {
        let text = std::str::from_utf8(&self.tag).map_err(|_| Failure::MODULES)?;
        match Reader::from_str(text).read_event() {
            Ok(Event::Decl(declaration)) => declared(&declaration),
            Ok(Event::PI(_)) => Ok(()),
            _ => Err(Failure::MODULES),
        }
    }

    fn keep(&mut self, byte: u8) -> Result<(), Failure> {
        if self.tag.len() == TAG_BYTES_MAX {
            return Err(Failure::MODULES);
        }
        self.tag.push(byte);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bbb::fetched::is_public;

    fn watched(body: &[u8], step: usize) -> Result<(), Failure> {
        let mut watch = Watch::default();
        body.chunks(step).try_for_each(|chunk| watch.pass(chunk, &is_public))
    }

    #[test]
    fn presentations_and_notes_pass_of_a_create_body_and_no_other_module() {
        let presentation = "<module name=\"presentation\"><document url=\"https://a.example/b.pdf\"/></module>";
        let settings = "<module name=\"clientSettingsOverride\"><![CDATA[{\"public\":{}}]]></module>";
        let notes = |kind: &str, text: &str| {
            format!("<module name=\"sharedNotesInitialContent{kind}\"><![CDATA[{text}]]></module>")
        };
        let (json, markdown) = (notes("Json", "[]"), notes("Markdown", "# <b url=\"http://10.0.0.1/\">"));
        let body = |modules: &[&str]| format!("<modules>{}</modules>", modules.concat());
        for (given, passed, documents, dropped) in [
            (
                vec![presentation, settings, "<module name=\"x\"/>"],
                vec![presentation],
                1,
                Some("clientSettingsOverride"),
            ),
            (vec![&*json, presentation, &*markdown], vec![&*json, presentation, &*markdown], 1, None),
            (vec!["<module/>"], vec![], 0, Some("")),
            (vec!["<document url=\"http://10.0.0.1/\"/>"], vec![], 0, Some("")),
        ] {
            let clean = clean(body(&given).as_bytes(), is_public, |_| true).expect("modules");
            let dropped = dropped.map(str::to_owned);
            assert_eq!(clean, Clean { xml: body(&passed), documents, dropped }, "{given:?}");
        }
        let only_json = |name: &str| name == "sharedNotesInitialContentJson";
        let some = clean(body(&[&json, &markdown]).as_bytes(), is_public, only_json).expect("modules");
        assert_eq!((some.xml, some.dropped.as_deref()), (body(&[&json]), Some("sharedNotesInitialContentMarkdown")));
        let nested = body(&[&notes("Json", "").replace("<![CDATA[]]>", "<a url=\"http://10.0.0.1/\"/>")]);
        assert_eq!(clean(nested.as_bytes(), is_public, |_| true), Err(Failure::DOCUMENT_ADDRESS));
        let long = clean(body(&[&format!("<module name=\"{}\"/>", "ü".repeat(200))]).as_bytes(), is_public, |_| true);
        assert_eq!(long.expect("modules").dropped.map(|name| name.chars().count()), Some(NAME_CHARS_MAX));
        for body in ["<other/>", "<modules>", "<!DOCTYPE modules><modules/>", "<modules/><modules/>", "", "x"] {
            assert_eq!(clean(body.as_bytes(), is_public, |_| true), Err(Failure::MODULES), "{body}");
        }
    }

    #[test]
    fn a_document_inside_the_servers_network_is_refused_in_either_body() {
        let document = |document: &str| format!("<modules><module name=\"presentation\">{document}</module></modules>");
        for (inner, expected) in [
            ("<document url=\"https://a.example/b.pdf\" filename=\"b.pdf\"/>", Ok(())),
            ("<document url='https://a.example/b.pdf?x=1&amp;y=2' filename=\"a > b\"></document>", Ok(())),
            ("<document name=\"b.pdf\">QUJD</document>", Ok(())),
            ("<!-- <document url=\"https://localhost/\"/> --><document name=\"x\"/>", Ok(())),
            ("<![CDATA[<document url=\"https://localhost/\"/>]]>", Ok(())),
            ("<document url=\"https://localhost/b.pdf\"/>", Err(Failure::DOCUMENT_ADDRESS)),
            ("<document\n  filename='x'\n  url = 'http://10.0.0.1/b.pdf' />", Err(Failure::DOCUMENT_ADDRESS)),
            ("<document url=\"http://&#49;0.0.0.1/b.pdf\"/>", Err(Failure::DOCUMENT_ADDRESS)),
            ("<document x:url=\"http://10.0.0.1/b.pdf\"/>", Err(Failure::DOCUMENT_ADDRESS)),
            ("<!----><document url=\"file:///etc/passwd\"/>", Err(Failure::DOCUMENT_ADDRESS)),
            ("<![CDATA[]]><document url=\"ftp://a.example/b\"/>", Err(Failure::DOCUMENT_ADDRESS)),
            ("<!ENTITY x SYSTEM \"file:///etc/passwd\">", Err(Failure::MODULES)),
        ] {
            let body = document(inner);
            for step in [1, 7, 4096] {
                assert_eq!(watched(body.as_bytes(), step), expected, "{inner}, {step} bytes at a time");
            }
            if !inner.contains("ENTITY") {
                assert_eq!(clean(body.as_bytes(), is_public, |_| true).map(|_| ()), expected, "{inner}");
            }
        }
    }

    #[test]
    fn a_body_that_could_hide_its_tags_is_refused() {
        let hidden = "<modules><module name=\"presentation\"><a\u{2028}url=\"http://10.0.0.1/\"/></module></modules>";
        let utf16: Vec<u8> = "<modules/>".encode_utf16().flat_map(u16::to_le_bytes).collect();
        for (body, expected) in [
            (&b"\xef\xbb\xbf<?xml version=\"1.0\" encoding=\"UTF-8\"?><modules/>"[..], Ok(())),
            (b"<?xml version=\"1.0\"?>\n<?note x?><modules/>", Ok(())),
            (b"<?xml version=\"1.0\" encoding=\"UTF-7\"?><modules/>", Err(Failure::MODULES)),
            (b"<?xml version=\"1.0\" encoding=\"IBM037\"?><modules/>", Err(Failure::MODULES)),
            (b"<?xml version=\"1.1\"?><modules/>", Err(Failure::MODULES)),
            ("<modules><module\u{85}name=\"presentation\"/></modules>".as_bytes(), Err(Failure::MODULES)),
            (hidden.as_bytes(), Err(Failure::MODULES)),
            ("<modules><a x\u{2028}url=\"http://10.0.0.1/\"/></modules>".as_bytes(), Err(Failure::MODULES)),
            (b"\x4c\x94\x96\x84", Err(Failure::MODULES)),
            (&utf16, Err(Failure::MODULES)),
            (b"<!DOCTYPE modules [<!ENTITY a SYSTEM \"file:///\">]><modules/>", Err(Failure::MODULES)),
        ] {
            assert_eq!(watched(body, 3), expected, "{body:?}");
            // Read whole, a module of a doubtful name is none that passes.
            let clean = clean(body, is_public, |_| true);
            let clean = clean.map(|clean| (clean.xml.contains("10.0.0.1"), clean.documents));
            assert!(expected.is_ok() || clean.is_err() || clean == Ok((false, 0)), "{body:?}");
        }
        let long = format!("<document url=\"{}\"/>", "x".repeat(TAG_BYTES_MAX));
        assert_eq!(watched(long.as_bytes(), 100), Err(Failure::MODULES));
    }
}
