//! The version call of a BBB server.

use std::time::Duration;

use super::{
    body::{Body, whole},
    pool::Pool,
};
use crate::{domain::tenant::Server, live::servers::Version};

/// A server that takes longer than this to tell its version tells it later.
const TIMEOUT: Duration = Duration::from_secs(5);

/// The answer of a server's version call (docs/reference/bbb-protocol.md, "Version call").
pub async fn version(pool: &Pool, server: &Server) -> Option<Version> {
    let uri = http::Uri::builder()
        .scheme(server.upstream.scheme.clone())
        .authority(server.upstream.authority.clone())
        .path_and_query("/bigbluebutton/api")
        .build()
        .ok()?;
    let request =
        http::Request::get(uri).header(http::header::CONTENT_TYPE, "application/json").body(Body::empty()).ok()?;
    let answered = async {
        let response = pool.send(request).await.ok()?;
        whole(response.into_body(), 64 * 1024).await
    };
    let body = tokio::time::timeout(TIMEOUT, answered).await.ok()??;
    let Ok(json) = serde_json::from_slice::<serde_json::Value>(&body) else {
        // What knows no JSON here is old, if it is a BBB server at all.
        let text = String::from_utf8_lossy(&body);
        let success = text.contains("<returncode>SUCCESS</returncode>");
        return success.then(|| Version { before_3: !text.contains("<graphql"), ..Version::default() });
    };
    let answer = &json["response"];
    answer["returncode"].as_str()?;
    let text = |name: &str| answer[name].as_str().unwrap_or_default().to_owned();
    Some(Version {
        bbb: text("bbbVersion"),
        plugin_sdk: text("html5PluginSdkVersion"),
        before_3: answer["graphqlWebsocketUrl"].as_str().is_none(),
    })
}
