//! `hooks/*`, the API of `bbb-webhooks`: its answers as the gateway makes them for tenants, and as it reads those of servers
//! (docs/reference/bbb-protocol.md, "Webhooks").

use quick_xml::escape::escape;

use super::xml::{Garbage, elements, text};

/// The answer of `hooks/ping`.
pub const PING: &str = "bbb-webhooks API up!";
/// The answer of `hooks/destroy`.
pub const DESTROYED: &str = "<response><returncode>SUCCESS</returncode><removed>true</removed></response>";

/// A hook in the list of a tenant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hook {
    /// Its id.
    pub id: String,
    /// Where its events go.
    pub url: String,
    /// The meeting that it is for; all meetings without it.
    pub meeting_id: Option<String>,
    /// The events that it is for, with commas; all events without it.
    pub event_id: Option<String>,
}

/// The answer of `hooks/create`.
#[must_use]
pub fn created(id: &str) -> String {
    let id = element("hookID", id);
    format!(
        "<response><returncode>SUCCESS</returncode>{id}<permanentHook>false</permanentHook>\
         <rawData>false</rawData></response>"
    )
}

/// The answer of `hooks/create` for an address that has a hook.
#[must_use]
pub fn duplicate(id: &str) -> String {
    let id = element("hookID", id);
    format!(
        "<response><returncode>SUCCESS</returncode>{id}<messageKey>duplicateWarning</messageKey>\
         <message>There is already a hook for this callback URL.</message></response>"
    )
}

/// The answer of `hooks/list`.
#[must_use]
pub fn list(hooks: &[Hook]) -> String {
    let hooks: String = hooks.iter().map(listed).collect();
    format!("<response><returncode>SUCCESS</returncode><hooks>{hooks}</hooks></response>")
}

fn listed(hook: &Hook) -> String {
    let optional = |name, value: &Option<String>| value.as_ref().map(|value| element(name, value)).unwrap_or_default();
    let (id, url) = (element("hookID", &hook.id), element("callbackURL", &hook.url));
    let (meeting, events) = (optional("meetingID", &hook.meeting_id), optional("eventID", &hook.event_id));
    format!("<hook>{id}{url}{meeting}{events}<permanentHook>false</permanentHook><rawData>false</rawData></hook>")
}

fn element(name: &str, value: &str) -> String {
    format!("<{name}>{}</{name}>", escape(value))
}

/// What a server has answered.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Answer {
    /// `returncode` is `SUCCESS`.
    pub success: bool,
    /// `messageKey`, or empty.
    pub message_key: String,
    /// The hooks of a list, by id and address.
    pub hooks: Vec<(String, String)>,
}

/// Reads an answer of a server to a call of `hooks/*`.
///
/// # Errors
/// [`Garbage`] for what is no XML answer.
pub fn read(body: &[u8]) -> Result<Answer, Garbage> {
    let xml = std::str::from_utf8(body).map_err(|_| Garbage)?;
    let (mut answer, mut id, mut url) = (Answer::default(), String::new(), String::new());
    elements(xml, |element| {
        let value = || text(&xml[element.inner.clone()]).into_owned();
        match element.path {
            ["response", "returncode"] => answer.success = value() == "SUCCESS",
            ["response", "messageKey"] => answer.message_key = value(),
            ["response", "hooks", "hook", "hookID"] => id = value(),
            ["response", "hooks", "hook", "callbackURL"] => url = value(),
            ["response", "hooks", "hook"] => {
                answer.hooks.push((std::mem::take(&mut id), std::mem::take(&mut url)));
            }
            _ => {}
        }
    })?;
    Ok(answer)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_is_written_as_it_is_read() {
        let url = "https://school.example/a?b=1&c=<2>]]>";
        let hook = |id: &str, url: &str| Hook { id: id.into(), url: url.into(), meeting_id: None, event_id: None };
        let events = Some("user-left,user-joined".into());
        let of_meeting = Hook { meeting_id: Some("a & b".into()), event_id: events, ..hook("7", url) };
        let xml = list(&[of_meeting, hook("8", "https://x.example")]);
        assert!(xml.contains("<meetingID>a &amp; b</meetingID><eventID>user-left,user-joined</eventID>"), "{xml}");
        let answer = read(xml.as_bytes()).expect("an answer");
        let hooks = [("7", url), ("8", "https://x.example")].map(|(id, url)| (id.to_owned(), url.to_owned()));
        assert_eq!(answer, Answer { success: true, message_key: String::new(), hooks: hooks.into() });
    }

    #[test]
    fn answers_of_the_service_are_read() {
        let (list, expected) = (
            "<response><returncode>SUCCESS</returncode><hooks><hook><hookID>1</hookID>\
             <callbackURL><![CDATA[https://a.example/x?y&z]]></callbackURL><permanentHook>false</permanentHook>\
             <rawData>false</rawData></hook></hooks></response>",
            [("1".to_owned(), "https://a.example/x?y&z".to_owned())],
        );
        assert_eq!(read(list.as_bytes()).expect("an answer").hooks, expected);
        let refused = "<response>      <returncode>FAILED</returncode>      <messageKey>checksumError</messageKey>\
                       <message>You did not pass the checksum security check.</message></response>";
        let refused = read(refused.as_bytes()).expect("an answer");
        assert_eq!((refused.success, &*refused.message_key), (false, "checksumError"));
        assert_eq!(read(duplicate("a<b").as_bytes()).expect("an answer").message_key, "duplicateWarning");
        assert!(read(created("1").as_bytes()).expect("an answer").success);
        for garbage in ["", "<html></html>", "<response><hooks></response>"] {
            assert!(read(garbage.as_bytes()).is_err(), "{garbage}");
        }
    }
}
