//! The API calls as BBB takes them: methods and bodies (docs/reference/bbb-protocol.md, "Calls", "POST bodies").
//! One row each.

use http::{HeaderValue, Method, StatusCode, header::ALLOW};

use crate::{
    metrics::{Call, Outcome},
    proxy::answer::{Answer, text},
};

/// How a call may come.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Spec {
    pub(crate) call: Call,
    methods: Methods,
    /// Whether an XML body is taken beside forms.
    pub(super) takes_xml: bool,
    pub(super) family: Family,
}

/// What of BBB answers a call: each words its refusals in its own way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Family {
    /// The calls of meetings.
    Meetings,
    /// The recordings calls, which check in an order of their own (docs/reference/bbb-protocol.md, "Recordings calls").
    Recordings,
    /// `hooks/*`, which is a service of its own.
    Hooks,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Methods {
    Get,
    Post,
    Both,
    /// GET; servers before 3.0 take POST as well.
    GetBut2,
}

const fn meetings(call: Call, methods: Methods) -> Spec {
    Spec { call, methods, takes_xml: matches!(call, Call::Create), family: Family::Meetings }
}

const fn recordings(call: Call, methods: Methods) -> Spec {
    Spec { call, methods, takes_xml: false, family: Family::Recordings }
}

const fn hooks(call: Call) -> Spec {
    Spec { call, methods: Methods::Get, takes_xml: false, family: Family::Hooks }
}

const SPECS: [Spec; 19] = [
    meetings(Call::Create, Methods::Both),
    meetings(Call::Join, Methods::GetBut2),
    meetings(Call::IsMeetingRunning, Methods::Both),
    meetings(Call::End, Methods::Both),
    meetings(Call::GetMeetingInfo, Methods::Both),
    meetings(Call::GetMeetings, Methods::Both),
    meetings(Call::GetSessions, Methods::Both),
    meetings(Call::SendChatMessage, Methods::Get),
    meetings(Call::InsertDocument, Methods::Post),
    recordings(Call::GetRecordings, Methods::Both),
    recordings(Call::PublishRecordings, Methods::Get),
    recordings(Call::DeleteRecordings, Methods::Get),
    recordings(Call::UpdateRecordings, Methods::Both),
    recordings(Call::GetRecordingTextTracks, Methods::Both),
    recordings(Call::PutRecordingTextTrack, Methods::Post),
    hooks(Call::CreateHook),
    hooks(Call::DestroyHook),
    hooks(Call::ListHooks),
    hooks(Call::PingHooks),
];

impl Spec {
    /// The call of a name, which is matched with its case.
    pub(crate) fn find(name: &str) -> Option<&'static Self> {
        SPECS.iter().find(|spec| spec.call.as_str() == name)
    }

    /// Its name, as in the path.
    pub(super) fn name(&self) -> &'static str {
        self.call.as_str()
    }

    /// Whether the call changes something, whatever its method: a `GET` of it is not safe (RFC 9110, 9.2.1).
    pub(super) fn has_effects(&self) -> bool {
        match self.call {
            Call::IsMeetingRunning
            | Call::GetMeetingInfo
            | Call::GetMeetings
            | Call::GetSessions
            | Call::GetRecordings
            | Call::GetRecordingTextTracks
            | Call::ListHooks
            | Call::PingHooks => false,
            // All others do, also those that are still to come.
            _ => true,
        }
    }

    /// Whether servers before 3.0 take other methods.
    pub(super) fn differs_before_3(&self) -> bool {
        self.methods == Methods::GetBut2
    }

    /// Whether it may come with this method; `before_3` where a server of the tenant is older than 3.0.
    pub(super) fn allows(&self, method: &Method, before_3: bool) -> bool {
        let is_get = matches!(*method, Method::GET | Method::HEAD);
        let is_post = *method == Method::POST;
        match self.methods {
            Methods::Get => is_get,
            Methods::Post => is_post,
            Methods::Both => is_get || is_post,
            Methods::GetBut2 => is_get || (is_post && before_3),
        }
    }

    /// The answer to another method (RFC 9110, 15.5.6).
    pub(super) fn wrong_method(&self, before_3: bool) -> Answer {
        let allowed = match self.methods {
            Methods::GetBut2 if before_3 => "GET, HEAD, POST",
            Methods::Get | Methods::GetBut2 => "GET, HEAD",
            Methods::Post => "POST",
            Methods::Both => "GET, HEAD, POST",
        };
        wrong_method(self.call, allowed)
    }
}

/// 405 with the methods that there are.
pub(crate) fn wrong_method(call: Call, allowed: &'static str) -> Answer {
    let mut response =
        text(StatusCode::METHOD_NOT_ALLOWED, "text/plain;charset=utf-8", "This call takes another method.\n");
    response.headers_mut().insert(ALLOW, HeaderValue::from_static(allowed));
    let mut answer = Answer::new(call, Outcome::Refused, response);
    answer.reason = "methodNotAllowed";
    answer
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_call_has_its_methods() {
        for (name, get, post) in [
            ("create", true, true),
            ("join", true, false),
            ("sendChatMessage", true, false),
            ("insertDocument", false, true),
            ("getRecordings", true, true),
            ("publishRecordings", true, false),
            ("putRecordingTextTrack", false, true),
            ("hooks/create", true, false),
        ] {
            let spec = Spec::find(name).expect("a call");
            assert_eq!((spec.allows(&Method::GET, false), spec.allows(&Method::POST, false)), (get, post), "{name}");
            assert!(!spec.allows(&Method::PUT, true), "{name}");
        }
        assert!(Spec::find("join").is_some_and(|join| join.allows(&Method::POST, true)), "a join before 3.0");
        for name in ["Create", "createx", "", "hooks", "hooks/", "setPollXML", "version"] {
            assert!(Spec::find(name).is_none(), "{name}");
        }
    }
}
