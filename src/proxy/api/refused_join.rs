//! A join that is refused: in the form its caller reads, by the gateway or by the server.

use form_urlencoded::{byte_serialize, parse};
use http::{Response, StatusCode};
use serde::Deserialize;

use crate::{
    bbb::{
        answer::{Failure, failed},
        params,
        query::Params,
    },
    domain::{denial::Denial, pages::Page},
    metrics::{Call, Outcome},
    proxy::{
        answer::{Answer, redirect, text},
        asked::Asked,
        gateway::Gateway,
        pages::{page, wants_page},
    },
    upstream::Body,
};

/// A refusal in the form its caller reads: XML for `redirect=false`, BBB's own redirect where the caller gave an
/// address for it, a page for people, XML for all others (docs/reference/bbb-protocol.md, "Answer of join").
pub(super) fn answer(gateway: &Gateway, asked: &Asked, params: &Params, failure: &Failure) -> Answer {
    let ruled = |name| params::ruled(&asked.tenant.rules.join, params, name);
    let response = if is_false(ruled("redirect")) {
        None
    } else if let Some(address) = ["errorRedirectUrl", "logoutURL"]
        .iter()
        .find_map(|name| ruled(name).filter(|address| params::is_web_url(address)))
    {
        redirect(StatusCode::FOUND, &with_errors(address, &failure.key, &failure.message))
    } else if wants_page(&asked.head.headers) {
        Some(page_of(gateway, asked, Some(params), failure))
    } else {
        None
    };
    let response = response
        .unwrap_or_else(|| text(StatusCode::OK, "text/xml;charset=utf-8", failed(&failure.key, &failure.message)));
    Answer::new(Call::Join, Outcome::Refused, response).refused(failure)
}

/// The page of a join that was not read: its parameters count for nothing.
pub(super) fn unread(gateway: &Gateway, asked: &Asked, failure: &Failure) -> Answer {
    let page = page_of(gateway, asked, None, failure);
    Answer::new(Call::Join, Outcome::Refused, page).refused(failure)
}

/// The page of a refusal.
fn page_of(gateway: &Gateway, asked: &Asked, params: Option<&Params>, failure: &Failure) -> Response<Body> {
    let (status, of) = match (failure.denial, &*failure.key) {
        (Some(denial), _) => (denial.status(), Page::Refused(denial)),
        (None, "meetingForciblyEnded" | "invalidMeetingIdentifier" | "notFound") => {
            // Who has the address of a breakout room has it from one that was there.
            let is_over = params.is_some_and(|params| {
                let ext_id = params.get("meetingID").unwrap_or_default();
                params.get("isBreakout") == Some("true")
                    || gateway.meetings.live.meetings.has_ended(&asked.tenant.id, ext_id)
            });
            (StatusCode::NOT_FOUND, if is_over { Page::Over } else { Page::NotYet })
        }
        (None, "checksumError") => (StatusCode::FORBIDDEN, Page::WrongLink),
        (None, _) => (StatusCode::BAD_REQUEST, Page::Other(failure.message.to_string())),
    };
    // What BBB says of a meeting that does not run tells people the wrong thing.
    let key = if matches!(of, Page::NotYet | Page::Over) { of.name() } else { &*failure.key };
    page(asked, status, &of, key)
}

/// What BBB says in the `errors` that it hangs on a redirect: a JSON array of `{"key", "message"}`. A redirect that has
/// them is a refusal, whatever else it has.
pub(super) fn errors_of(query: &str) -> Option<Failure> {
    #[derive(Deserialize)]
    struct Error {
        key: String,
        #[serde(default)]
        message: String,
    }
    // BBB's own come last: what stands before them was in the address already.
    let (_, errors) = parse(query.as_bytes()).filter(|(name, _)| name == "errors").last()?;
    let errors: Vec<Error> = serde_json::from_str(&errors).unwrap_or_default();
    let Some(error) = errors.into_iter().next() else { return Some(Denial::ServerUnavailable.into()) };
    let denial = (error.key == Denial::MaxParticipantsReached.key()).then_some(Denial::MaxParticipantsReached);
    Some(Failure { denial, ..Failure::by_server(error.key, error.message) })
}

fn with_errors(address: &str, key: &str, message: &str) -> String {
    let errors = serde_json::json!([{ "key": key, "message": message }]).to_string();
    let (address, fragment) = address.split_once('#').map_or((address, None), |(a, f)| (a, Some(f)));
    let joint = if address.contains('?') { '&' } else { '?' };
    let mut out = format!("{address}{joint}errors=");
    out.extend(byte_serialize(errors.as_bytes()));
    if let Some(fragment) = fragment {
        out.push('#');
        out.push_str(fragment);
    }
    out
}

/// Whether `redirect` asks for none: as Java reads it, all that is not `true`
/// (docs/reference/bbb-protocol.md, "Parameter values").
pub(super) fn is_false(value: Option<&str>) -> bool {
    value.is_some_and(|value| !value.is_empty() && !value.eq_ignore_ascii_case("true"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_are_hung_on_an_address_and_read_from_one() {
        for (address, start) in
            [("https://a.b/", "https://a.b/?errors="), ("https://a.b/?x=1", "https://a.b/?x=1&errors=")]
        {
            let with = with_errors(address, "someKey", "Some \"message\" & more");
            assert!(with.starts_with(start), "{with}");
            let no = errors_of(with.split_once('?').expect("a query").1).expect("errors");
            assert_eq!((&*no.key, &*no.message), ("someKey", "Some \"message\" & more"));
        }
        assert!(with_errors("https://a.b/#top", "k", "m").ends_with("#top"));
        let with = with_errors("https://a.b/#/rooms?x=1", "k", "m");
        assert!(with.starts_with("https://a.b/?errors=") && with.ends_with("#/rooms?x=1"), "{with}");
        assert!(errors_of("errors=nonsense").is_some_and(|no| no.denial == Some(Denial::ServerUnavailable)));
        let own = errors_of("errors=x&errors=%5B%7B%22key%22%3A%22own%22%7D%5D").expect("errors");
        assert_eq!(own.key, "own", "what a caller put there does not count");
        assert!(errors_of("sessionToken=t").is_none());
    }
}
