//! Recordings in BBB's answers: parsed, rewritten to the tenant's ids and addresses, and merged.

// Numbers come from outside.
#![cfg_attr(not(test), warn(clippy::arithmetic_side_effects))]

use std::ops::Range;

use http::uri::Authority;
use quick_xml::escape::escape;
use serde_json::Value;

use super::{
    addresses::rewritten,
    meeting_id,
    xml::{Garbage, Splice, elements, text},
};
use crate::domain::{ids::TenantId, time::Timestamp};

/// One recording of a list.
#[derive(Debug, PartialEq, Eq)]
pub struct Recording {
    /// Its `recordID`.
    pub record_id: String,
    /// `startTime`, if there is one.
    pub start_time: Option<Timestamp>,
    /// `state`: `published`, `unpublished`, ...
    pub state: String,
    /// The element as the server has sent it.
    pub raw: String,
    /// The whole `<recording>` element, for its tenant.
    pub element: String,
}

/// For whom a list is read.
#[derive(Debug, Clone, Copy)]
pub struct Reader<'a> {
    /// Whose recordings are wanted.
    pub tenant: &'a TenantId,
    /// The names under which the server may speak of itself.
    pub names: &'a [Authority],
    /// The tenant's host, as the caller wrote it.
    pub authority: &'a str,
}

impl Reader<'_> {
    /// Reads a `getRecordings` answer: the recordings that `own` knows, with the tenant's own ids, and with addresses on
    /// the tenant's host.
    ///
    /// `own` says the tenant's `meetingID` for a `recordID`, and `None` for what is not the tenant's, whatever the
    /// recording says of itself.
    ///
    /// # Errors
    /// [`Garbage`] for what is no XML answer of BBB, and for one that is not `SUCCESS`.
    pub fn list(self, body: &[u8], own: impl Fn(&str) -> Option<String>) -> Result<Vec<Recording>, Garbage> {
        let xml = std::str::from_utf8(body).map_err(|_| Garbage)?;
        let mut success = false;
        let mut recordings = Vec::new();
        let (mut record_id, mut start_time, mut state) = (String::new(), None, String::new());
        let mut leaves: Vec<Range<usize>> = Vec::new();
        elements(xml, |element| match element.path {
            ["response", "returncode"] => success = &xml[element.inner] == "SUCCESS",
            ["response", "recordings", "recording"] => {
                let leaves = std::mem::take(&mut leaves);
                let record_id = std::mem::take(&mut record_id);
                let start_time = std::mem::take(&mut start_time);
                let state = std::mem::take(&mut state);
                let Some(own_id) = own(&record_id) else { return };
                let raw = xml[element.outer.clone()].to_owned();
                let element = self.rewrite(xml, element.outer, leaves, &own_id);
                recordings.push(Recording { record_id, start_time, state, raw, element });
            }
            ["response", "recordings", "recording", below @ ..] => {
                let raw = &xml[element.inner.clone()];
                if !is_text(raw) {
                    return;
                }
                match below {
                    ["recordID"] => record_id = text(raw).into_owned(),
                    ["state"] => state = text(raw).into_owned(),
                    ["startTime"] => start_time = text(raw).replace(',', "").parse().ok().map(Timestamp::from_ms),
                    _ => {}
                }
                if !raw.is_empty() {
                    leaves.push(element.inner);
                }
            }
            _ => {}
        })?;
        if success { Ok(recordings) } else { Err(Garbage) }
    }

    /// One element with its texts changed: the server's id of the meeting wherever it stands, and what names the server.
    fn rewrite(self, xml: &str, outer: Range<usize>, leaves: Vec<Range<usize>>, own_id: &str) -> String {
        let server_id = meeting_id::to_server(self.tenant, own_id);
        let mut splice = Splice::new(&xml[outer.clone()]);
        for leaf in leaves {
            let value = text(&xml[leaf.clone()]);
            let new = if value == server_id {
                own_id.to_owned()
            } else if let Some(new) = rewritten(&value, self.names, self.authority, "") {
                new
            } else {
                continue;
            };
            splice
                .replace(leaf.start.saturating_sub(outer.start)..leaf.end.saturating_sub(outer.start), &escape(&*new));
        }
        splice.finish()
    }

    /// The answer of a text track call with addresses on the tenant's host. `None` for what is no JSON.
    #[must_use]
    pub fn text_tracks(self, body: &[u8]) -> Option<Value> {
        let mut json: Value = serde_json::from_slice(body).ok()?;
        let tracks = json.pointer_mut("/response/tracks").and_then(Value::as_array_mut);
        for href in tracks.into_iter().flatten().filter_map(|track| track.get_mut("href")) {
            if let Some(new) = href.as_str().and_then(|href| rewritten(href, self.names, self.authority, "")) {
                *href = new.into();
            }
        }
        Some(json)
    }
}

/// Whether what is in an element is a text: plain, or one CDATA section.
fn is_text(raw: &str) -> bool {
    let section = raw.trim().strip_prefix("<![CDATA[").and_then(|rest| rest.strip_suffix("]]>"));
    section.map_or(!raw.contains('<'), |inside| !inside.contains("]]>"))
}

/// A page of a list, as a caller asked for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Page {
    /// How many are passed over.
    pub offset: usize,
    /// How many are shown at the most.
    pub limit: usize,
}

/// The most that one page of BBB shows.
pub const PAGE_MAX: usize = 100;

/// The answer of `getRecordings`, from whole elements in order; `page` where one was asked for.
#[must_use]
pub fn answer(recordings: &[Recording], page: Option<Page>) -> String {
    let shown = match page {
        Some(page) => recordings.get(page.offset.min(recordings.len())..).unwrap_or_default(),
        None => recordings,
    };
    let shown = &shown[..shown.len().min(page.map_or(usize::MAX, |page| page.limit))];
    let mut xml = String::from("<response><returncode>SUCCESS</returncode><recordings>");
    shown.iter().for_each(|recording| xml.push_str(&recording.element));
    xml.push_str("</recordings>");
    if shown.is_empty() {
        xml.push_str(
            "<messageKey>noRecordings</messageKey><message>There are no recordings for the meeting(s).</message>",
        );
    }
    if let Some(Page { offset, limit }) = page {
        xml.push_str(&format!(
            "<pagination><pageable><offset>{offset}</offset><limit>{limit}</limit><paged>true</paged>\
             <unpaged>false</unpaged></pageable><totalElements>{}</totalElements><empty>{}</empty></pagination>",
            recordings.len(),
            shown.is_empty()
        ));
    }
    xml.push_str("</response>");
    xml
}

/// The answer of a call that changes recordings: `<name>value</name>` after the return code.
#[must_use]
pub fn changed(name: &str, value: &str) -> String {
    format!("<response><returncode>SUCCESS</returncode><{name}>{}</{name}></response>", escape(value))
}

#[cfg(test)]
mod tests {
    use super::*;

    const OWN: &str = "183f0bf3a0982a127bdb8161e0c44eb696b3e75c-1700000000000";
    const OTHER: &str = "283f0bf3a0982a127bdb8161e0c44eb696b3e75c-1700000000000";

    fn body() -> String {
        let recording = |id: &str, meeting: &str| {
            format!(
                "<recording><recordID>{id}</recordID><meetingID>{meeting}</meetingID><name>A &amp; B</name>\
                 <startTime>1700000000001</startTime><metadata><meetingId>{meeting}</meetingId><x></x></metadata>\
                 <playback><format><type>presentation</type>\
                 <url>https://bbb-01.internal.test/playback/presentation/2.3/{id}</url>\
                 <preview><images><image width=\"1\">https://bbb-01.internal.test/presentation/{id}/t.png</image></images>\
                 </preview></format></playback></recording>"
            )
        };
        format!(
            "<response><returncode>SUCCESS</returncode><recordings>{}{}</recordings></response>",
            recording(OWN, "t.wagtail.room"),
            // Somebody else's, though it says it is ours.
            recording(OTHER, "t.wagtail.room")
        )
    }

    #[test]
    fn a_list_has_the_tenants_own_recordings_with_its_ids_and_its_host() {
        let tenant = "wagtail".parse().expect("an id");
        let names = ["bbb-01.internal.test".parse().expect("legal")];
        let reader = Reader { tenant: &tenant, names: &names, authority: "meet.w" };
        let list = reader.list(body().as_bytes(), |id| (id == OWN).then(|| "room".to_owned())).expect("a list");
        assert_eq!(list.len(), 1);
        let Recording { record_id, start_time, element, .. } = &list[0];
        assert_eq!((&**record_id, *start_time), (OWN, Some(Timestamp::from_ms(1_700_000_000_001))));
        assert!(!element.contains("internal.test") && !element.contains("t.wagtail"), "{element}");
        assert!(element.contains("<meetingID>room</meetingID>") && element.contains("<meetingId>room</meetingId>"));
        assert!(element.contains(&format!("<url>https://meet.w/playback/presentation/2.3/{OWN}</url>")), "{element}");
        assert!(element.contains(&format!("<image width=\"1\">https://meet.w/presentation/{OWN}/t.png</image>")));
        assert!(
            element.starts_with("<recording>") && element.ends_with("</recording>") && element.contains("A &amp; B")
        );
        assert_eq!(reader.list(b"<html/>", |_| None), Err(Garbage));
        let strange = body().replace(
            "<x></x>",
            "<a><![CDATA[https://bbb-01.internal.test/x]]><b>https://bbb-01.internal.test/y</b></a>",
        );
        let list = reader.list(strange.as_bytes(), |_| Some("room".to_owned())).expect("a list");
        assert!(list[0].element.contains("<b>https://meet.w/y</b>"), "{}", list[0].element);
    }

    #[test]
    fn a_page_is_a_part_of_the_whole() {
        let all: Vec<_> = ["a", "b", "c"]
            .map(|id| Recording {
                record_id: id.into(),
                start_time: None,
                state: String::new(),
                raw: String::new(),
                element: format!("<recording>{id}</recording>"),
            })
            .into();
        for (page, shown, empty) in [
            (Some(Page { offset: 0, limit: 2 }), "<recording>a</recording><recording>b</recording>", false),
            (Some(Page { offset: 2, limit: 2 }), "<recording>c</recording>", false),
            (Some(Page { offset: 9, limit: 2 }), "", true),
        ] {
            let xml = answer(&all, page);
            assert!(xml.contains(&format!("<recordings>{shown}</recordings>")), "{xml}");
            assert!(xml.ends_with("</pagination></response>"), "{xml}");
            assert!(
                xml.contains("<totalElements>3</totalElements>") && xml.contains(&format!("<empty>{empty}</empty>"))
            );
            assert_eq!(xml.contains("noRecordings"), empty);
        }
        assert!(!answer(&all, None).contains("pagination"));
    }
}
