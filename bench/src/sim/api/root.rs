//! The call without a name: versions, and where the client finds GraphQL.

use axum::response::Response;
use serde_json::json;

use super::super::answer::{self, Xml};
use super::super::{Shared, rest};
use super::Call;

/// XML, or JSON when the request says `Content-Type: application/json`, as the client's GET does.
pub(super) fn version(call: &Call, shared: &Shared) -> Response {
    let (server, profile) = (&shared.config.server_url, &shared.config.profile);
    let mut fields = vec![
        ("version", "2.0".to_owned()),
        ("apiVersion", "2.0".to_owned()),
        ("bbbVersion", if shared.config.reveals_version { profile.number } else { "" }.to_owned()),
    ];
    if let Some(plugin_sdk) = profile.plugin_sdk {
        fields.extend([
            ("graphqlWebsocketUrl", format!("{}/graphql", rest::websocket_base(server))),
            ("graphqlApiUrl", format!("{server}/api/rest")),
            ("html5PluginSdkVersion", plugin_sdk.to_owned()),
        ]);
    }
    if call.mime == "application/json" {
        let mut response = json!({ "returncode": "SUCCESS" });
        for (name, value) in fields {
            response[name] = value.into();
        }
        return answer::json(&json!({ "response": response }));
    }
    let mut xml = Xml::success();
    for (name, value) in fields {
        xml.leaf(name, value);
    }
    xml.into_response()
}
