//! `/bigbluebutton/api/hooks/*`: the answers of the service.

use axum::body::Body;
use axum::http::{Method, StatusCode};
use axum::response::Response;

use super::super::params::Params;
use super::super::{Shared, answer};
use super::{Created, Hook, Webhooks};
use crate::sign::Algorithm;

const API: &str = "/bigbluebutton/api/";

/// Answers a call that is below `hooks/`: its path and its query as they were sent.
pub(crate) fn answer(method: &Method, path: &str, query: &str, shared: &Shared) -> Response {
    let service = shared.config.profile.webhooks;
    let call = path.strip_prefix(API).unwrap_or_default();
    let name = call.strip_suffix('/').unwrap_or(call);
    if shared.world().hooks.missing || *method != Method::GET {
        return answer::page(StatusCode::NOT_FOUND);
    }
    if name == "hooks/ping" {
        return answer::text(StatusCode::OK, "text/plain", service.ping);
    }
    if !["hooks/create", "hooks/list", "hooks/destroy"].contains(&name) {
        return answer::page(StatusCode::NOT_FOUND);
    }
    let params = Params::parse(query);
    match is_signed(call, query, &params, &shared.config.secret, service) {
        Some(true) => {}
        Some(false) => return failed("checksumError", "You did not pass the checksum security check."),
        None => return answer::page(StatusCode::INTERNAL_SERVER_ERROR),
    }
    match name {
        "hooks/create" => create(&params, shared, service),
        "hooks/list" => list(&params, shared, service),
        _ => destroy(&params, shared),
    }
}

/// Whether a call is signed; `None` where the service fails to find out, since no checksum is that long.
fn is_signed(call: &str, query: &str, params: &Params, secret: &str, service: Webhooks) -> Option<bool> {
    let mut given = params.iter().filter(|(name, _)| *name == "checksum").map(|(_, value)| value);
    let (Some(checksum), None) = (given.next().filter(|checksum| !checksum.is_empty()), given.next()) else {
        return Some(false);
    };
    let algorithm = match service.signs_json {
        true => Algorithm::Sha1,
        false => Algorithm::with_digits(checksum.len())?,
    };
    Some(algorithm.hex(format!("{call}{}{secret}", signed_part(query)).as_bytes()) == checksum)
}

/// The query without what looks like a checksum: three replacements of the first match each, as the service makes them.
fn signed_part(query: &str) -> String {
    let mut rest = format!("?{query}");
    let value_end = |text: &str, from: usize| text[from..].find('&').map(|at| from + at);
    if let Some(at) = rest.find("&checksum=") {
        let end = value_end(&rest, at + 1).unwrap_or(rest.len());
        rest.replace_range(at..end, "");
    }
    if let Some((at, end)) = rest.find("checksum=").and_then(|at| Some((at, value_end(&rest, at)?))) {
        rest.replace_range(at..=end, "");
    }
    if let Some(at) = rest.rfind("checksum=").filter(|at| value_end(&rest, *at).is_none()) {
        rest.truncate(at);
    }
    rest.split_off(1)
}

fn create(params: &Params, shared: &Shared, service: Webhooks) -> Response {
    let Some(callback_url) = params.first("callbackURL") else {
        return failed("missingParamCallbackURL", "You must specify a callbackURL in the parameters.");
    };
    let get_raw = match params.text("getRaw").map(str::to_ascii_lowercase).as_deref() {
        None | Some("false") => false,
        Some("true") => true,
        // What is no JSON ends the service.
        Some(_) => return answer::page(StatusCode::BAD_GATEWAY),
    };
    let hook = Hook {
        id: String::new(),
        callback_url: callback_url.to_owned(),
        meeting: params.first("meetingID").map(str::to_owned),
        events: params.first("eventID").map(|list| list.to_lowercase().split(',').map(str::to_owned).collect()),
        get_raw,
    };
    match shared.world().hooks.create(hook, service) {
        Created::New(Hook { id, get_raw, .. }) => {
            succeeded(&format!("<hookID>{id}</hookID><permanentHook>false</permanentHook><rawData>{get_raw}</rawData>"))
        }
        Created::Duplicate(id) => succeeded(&format!(
            "<hookID>{id}</hookID><messageKey>duplicateWarning</messageKey>\
             <message>There is already a hook for this callback URL.</message>"
        )),
    }
}

fn list(params: &Params, shared: &Shared, service: Webhooks) -> Response {
    let world = shared.world();
    let hooks = &world.hooks;
    let listed: Vec<&Hook> = match params.first("meetingID") {
        None => hooks.all.iter().collect(),
        Some(ext_id) => {
            let of_meeting: Vec<&Hook> = hooks.of_meeting(ext_id, service).collect();
            if service.finds_one && of_meeting.is_empty() {
                return failed("listHookError", "An error happened while listing registered hooks. Check the logs.");
            }
            let mut listed: Vec<&Hook> = hooks.without_meeting().chain(of_meeting).collect();
            listed.sort_by(|a, b| a.id.cmp(&b.id));
            listed
        }
    };
    succeeded(&format!("<hooks>{}</hooks>", listed.into_iter().map(described).collect::<String>()))
}

fn described(hook: &Hook) -> String {
    let Hook { id, callback_url, meeting, events, get_raw } = hook;
    let meeting = meeting.as_ref().map(|id| format!("<meetingID><![CDATA[{id}]]></meetingID>")).unwrap_or_default();
    let events = events.as_ref().map(|events| format!("<eventID>{}</eventID>", events.join(","))).unwrap_or_default();
    format!(
        "<hook><hookID>{id}</hookID><callbackURL><![CDATA[{callback_url}]]></callbackURL>{meeting}{events}\
         <permanentHook>false</permanentHook><rawData>{get_raw}</rawData></hook>"
    )
}

fn destroy(params: &Params, shared: &Shared) -> Response {
    match params.first("hookID") {
        None => failed("missingParamHookID", "You must specify a hookID in the parameters."),
        Some(id) if shared.world().hooks.destroy(id) => succeeded("<removed>true</removed>"),
        Some(_) => failed("destroyMissingHook", "The hook informed was not found."),
    }
}

fn succeeded(inner: &str) -> Response {
    xml(&format!("<returncode>SUCCESS</returncode>{inner}"))
}

fn failed(key: &str, message: &str) -> Response {
    xml(&format!("<returncode>FAILED</returncode><messageKey>{key}</messageKey><message>{message}</message>"))
}

fn xml(inner: &str) -> Response {
    let body = format!("<response>{inner}</response>");
    answer::text(StatusCode::OK, "text/xml; charset=utf-8", Body::from(body))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_checksum_is_taken_out_as_the_service_does_it() {
        for (query, rest) in [
            ("a=1&checksum=x", "a=1"),
            ("checksum=x&a=1", "a=1"),
            ("a=1&checksum=x&b=2", "a=1&b=2"),
            ("checksum=x", ""),
            ("a=1", "a=1"),
            ("a=1&checksum=x&checksum=y", "a=1&"),
            ("", ""),
        ] {
            assert_eq!(signed_part(query), rest, "{query}");
        }
    }

    #[test]
    fn a_call_is_signed_with_what_the_release_knows() {
        let is = |query: &str, service| is_signed("hooks/list", query, &Params::parse(query), "s", service);
        let signed = |algorithm: Algorithm| format!("a=1&checksum={}", algorithm.hex(b"hooks/lista=1s"));
        for service in [Webhooks::V2_6, Webhooks::V3_5] {
            assert_eq!(is(&signed(Algorithm::Sha1), service), Some(true));
            assert_eq!(is(&signed(Algorithm::Sha512), service), Some(service == Webhooks::V3_5));
            assert_eq!(is(&signed(Algorithm::Sha1).replace("a=1", "a=2"), service), Some(false));
            assert_eq!(is("a=1", service), Some(false));
        }
        assert_eq!(is("a=1&checksum=ab", Webhooks::V3_5), None);
    }
}
