//! The version call.

use http::{Method, StatusCode, header::CONTENT_TYPE};

use super::{
    answer::{Answer, text},
    api::spec::wrong_method,
    asked::Asked,
    gateway::Gateway,
    refusal, target,
};
use crate::{
    bbb::answer::Version,
    metrics::{Call, Outcome},
};

/// The version call: answered here, so that the client finds GraphQL and all else on this host.
pub(super) async fn version(gateway: &Gateway, asked: &mut Asked, slug: Option<&str>) -> Answer {
    if !matches!(asked.head.method, Method::GET | Method::HEAD | Method::POST) {
        return wrong_method(Call::Version, "GET, HEAD, POST");
    }
    let server = match slug {
        Some(slug) => match target::of_slug(gateway, asked, slug, None, "").await {
            Ok(target) => Some(target.server),
            Err(denial) => return refusal::refuse(gateway, asked, Call::Version, denial),
        },
        None => asked.directory.servers_of(&asked.tenant).next().cloned(),
    };
    let plugin_sdk = server.and_then(|server| gateway.meetings.live.servers.of(&server.id).reported.plugin_sdk());
    let prefix = slug.map(|slug| format!("/s/{slug}")).unwrap_or_default();
    let version = Version {
        authority: &asked.authority,
        prefix: &prefix,
        plugin_sdk: plugin_sdk.as_ref().map_or("", |version| version.as_str()),
    };
    let json =
        asked.head.headers.get(CONTENT_TYPE).is_some_and(|value| value.as_bytes().starts_with(b"application/json"));
    if json {
        let body = version.to_json();
        let response = text(StatusCode::OK, "application/json;charset=utf-8", body);
        Answer::new(Call::Version, Outcome::Ok, response)
    } else {
        Answer::xml(Call::Version, Outcome::Ok, version.to_xml())
    }
}
