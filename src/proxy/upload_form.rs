//! The form of an upload, looked at as it passes: a server takes the meeting that a document is for from a field of it.
//!
//! A form that is written otherwise than a browser does it, or that names a meeting of somebody else, is refused.
//!
//! Nothing of a form is kept but the beginning of one part. Where a part begins is not argued about: after each boundary,
//! wherever it stands, head and first bytes are looked through for ids.

use http::{HeaderMap, header::CONTENT_TYPE};
use memchr::memmem::{Finder, find};

use super::named_ids::{Of, ids_in};
use crate::domain::backend_error::BodyFault;

/// The longest head of a part: browsers send some hundred bytes.
const HEAD_BYTES_MAX: usize = 4 * 1024;
/// The most parts of a form: BBB's client sends nine.
const PARTS_MAX: u32 = 64;
/// How much of a part is looked at behind its head: an id that a server takes stands alone in a field.
const VALUE_BYTES: usize = 1024;
/// The longest boundary (RFC 2046, 5.1.1).
const BOUNDARY_BYTES_MAX: usize = 70;

/// Looks at a form piece by piece.
#[derive(Debug)]
pub(super) struct Form {
    /// What stands before each part.
    boundary: Finder<'static>,
    /// What has come and was not looked at yet.
    held: Vec<u8>,
    /// Whether `held` is the beginning of a part.
    in_part: bool,
    /// How many parts may still come.
    parts_left: u32,
}

impl Form {
    /// The form that a request says it has; `None` for a body that a server reads no fields from.
    ///
    /// # Errors
    /// [`BodyFault::Refused`] for a type that is none of an upload, or is not written as browsers do it.
    pub(super) fn of(headers: &HeaderMap) -> Result<Option<Self>, BodyFault> {
        let mut types = headers.get_all(CONTENT_TYPE).iter();
        let Some(kind) = types.next() else { return Ok(None) };
        let boundary = kind.to_str().ok().and_then(|kind| kind.strip_prefix("multipart/form-data; boundary="));
        let is_plain = |text: &&str| {
            (1..=BOUNDARY_BYTES_MAX).contains(&text.len())
                && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_".contains(&b))
        };
        let boundary = boundary.filter(is_plain).filter(|_| types.next().is_none()).ok_or(BodyFault::Refused)?;
        let boundary = Finder::new(&format!("--{boundary}")).into_owned();
        Ok(Some(Self { boundary, held: Vec::new(), in_part: false, parts_left: PARTS_MAX }))
    }

    /// Looks at the next bytes; `may` says of an id whether it may be named.
    ///
    /// # Errors
    /// [`BodyFault::Refused`]: then these bytes, and all that follow, must not go on.
    pub(super) fn pass(&mut self, bytes: &[u8], may: &impl Fn(Of, &str) -> bool) -> Result<(), BodyFault> {
        self.held.extend_from_slice(bytes);
        let length = self.boundary.needle().len();
        let mut done = 0_usize;
        loop {
            let rest = &self.held[done..];
            let next = self.boundary.find(rest);
            if self.in_part {
                if next.is_none() && rest.len() < length.saturating_add(HEAD_BYTES_MAX + VALUE_BYTES) {
                    break;
                }
                look(&rest[..next.unwrap_or(rest.len())], may)?;
                self.in_part = false;
            } else if let Some(at) = next {
                done = done.saturating_add(at).saturating_add(length);
                self.in_part = true;
                self.parts_left = self.parts_left.checked_sub(1).ok_or(BodyFault::Refused)?;
            } else {
                // A boundary may have begun.
                done = done.max(self.held.len().saturating_add(1).saturating_sub(length));
                break;
            }
        }
        self.held.drain(..done);
        Ok(())
    }
}

/// Looks at the beginning of a part.
fn look(part: &[u8], may: &impl Fn(Of, &str) -> bool) -> Result<(), BodyFault> {
    let head = find(&part[..part.len().min(HEAD_BYTES_MAX)], b"\r\n\r\n");
    // The last boundary has two hyphens, and no part.
    let Some(at) = head.or_else(|| part.starts_with(b"--").then_some(0)) else { return Err(BodyFault::Refused) };
    let (head, value) = part.split_at(at);
    let head = String::from_utf8_lossy(head);
    let low = head.to_ascii_lowercase();
    if low.contains("charset") && !low.contains("utf-8") {
        return Err(BodyFault::Refused);
    }
    let is_document = low.contains("filename") || low.contains("presentationid");
    let of = if is_document { Of::Document } else { Of::Meeting };
    let value = String::from_utf8_lossy(&value[..value.len().min(VALUE_BYTES)]);
    let fits = ids_in(&head).all(|id| may(Of::Document, id)) && ids_in(&value).all(|id| may(of, id));
    if fits { Ok(()) } else { Err(BodyFault::Refused) }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn id(digit: char) -> String {
        format!("{}-1700000000000", String::from(digit).repeat(40))
    }

    fn headers(kinds: &[&str]) -> HeaderMap {
        kinds.iter().map(|kind| (CONTENT_TYPE, HeaderValue::from_str(kind).expect("legal"))).collect()
    }

    /// Whether a form passes: `a` is a meeting of one's own, `f` somebody else's, `d` nobody knows.
    fn passes(body: &str, step: usize) -> bool {
        let may = |of, named: &str| if of == Of::Meeting { named == id('a') } else { named != id('f') };
        let mut form = Form::of(&headers(&["multipart/form-data; boundary=bound"])).expect("a form").expect("fields");
        body.as_bytes().chunks(step).all(|piece| form.pass(piece, &may).is_ok())
    }

    fn field(head: &str, value: &str) -> String {
        format!("--bound\r\nContent-Disposition: form-data; {head}\r\n\r\n{value}\r\n")
    }

    #[test]
    fn an_upload_names_ones_own_meeting_only() {
        let (own, foreign, document) = (id('a'), id('f'), id('d'));
        let file =
            field("name=\"fileUpload\"; filename=\"a.pdf\"\r\nContent-Type: application/pdf", &"%PDF ".repeat(9000));
        for (fields, is) in [
            (field("name=\"conference\"", &own), true),
            (field("name=\"conference\"", &foreign), false),
            (field("name=\"conference\"", &document), false),
            (field("name=\"room\"", &foreign), false),
            (field("name=\"conference\"; filename=\"x\"", &foreign), false),
            (field("name=\"targetPresentationId\"", &document), true),
            (field("name=\"targetPresentationId\"", &foreign), false),
            (field(&format!("name=\"f\"; filename=\"{document}.pdf\""), "x"), true),
            (field(&format!("name=\"f\"; filename=\"{foreign}.pdf\""), "x"), false),
            (field("name=\"pod_id\"", "DEFAULT_PRESENTATION_POD"), true),
            (field("name=\"conference\"\r\nContent-Type: text/plain; charset=utf-16", "x"), false),
            (field(&format!("name=\"conference\"\r\nX: {}", "x".repeat(HEAD_BYTES_MAX)), &foreign), false),
            (format!("--bound\r\n--bound{}", &field("name=\"conference\"", &foreign)[7..]), false),
        ] {
            for body in [format!("{fields}{file}--bound--\r\n"), format!("{file}{fields}--bound--\r\n")] {
                for step in [1, 100, 100_000] {
                    assert_eq!(passes(&body, step), is, "{fields}, {step} bytes at a time");
                }
            }
        }
        assert!(
            !passes(&format!("{}{file}--bound--\r\n", field("name=\"x\"", "y").repeat(100)), 100),
            "too many parts"
        );
        let behind_the_end = format!("{file}--bound--\r\n{}--bound--\r\n", field("name=\"conference\"", &foreign));
        assert!(!passes(&behind_the_end, 100), "whatever a server takes for the end");
    }

    #[test]
    fn a_form_is_written_as_browsers_do_it() {
        for (kinds, expected) in [
            (&[][..], Ok(false)),
            (&["multipart/form-data; boundary=----WebKitFormBoundaryAb3"], Ok(true)),
            (&["multipart/form-data; boundary=\"b\""], Err(BodyFault::Refused)),
            (&["multipart/form-data; charset=utf-16; boundary=b"], Err(BodyFault::Refused)),
            (&["multipart/form-data"], Err(BodyFault::Refused)),
            (&["multipart/mixed; boundary=b"], Err(BodyFault::Refused)),
            (&["application/x-www-form-urlencoded"], Err(BodyFault::Refused)),
            (&["multipart/form-data; boundary=b", "text/plain"], Err(BodyFault::Refused)),
        ] {
            assert_eq!(Form::of(&headers(kinds)).map(|form| form.is_some()), expected, "{kinds:?}");
        }
    }
}
