//! LiveKit's part of a server, as nginx has it below `/livekit/`: its health, the check of a token, its sockets, and the API of its
//! administrators, which nginx lets through as well.

use std::sync::Arc;

use aws_lc_rs::hmac;
use axum::body::Body;
use axum::http::request::Parts;
use axum::http::{Method, StatusCode};
use axum::response::{IntoResponse, Response};
use serde_json::json;
use tokio::sync::watch;

use super::super::meeting::Meeting;
use super::super::params::Params;
use super::super::user::User;
use super::super::{Shared, answer};
use super::{Lifeline, echo, seen, upgrade};

/// The head of a JWT with HS256, encoded.
const HEAD: &str = "eyJhbGciOiJIUzI1NiJ9";

/// The token with which a user may come into the room of a meeting.
pub(crate) fn token(meeting: &Meeting, user: &User, shared: &Shared) -> String {
    let claims = claims(meeting, user);
    let signature = signature(&claims, shared);
    format!("{HEAD}.{claims}.{signature}")
}

fn claims(meeting: &Meeting, user: &User) -> String {
    let claims = json!({ "sub": user.int_id, "video": { "room": meeting.int_id, "roomJoin": true } });
    base64url(claims.to_string().as_bytes())
}

/// Base64 with the alphabet of addresses, without padding (RFC 4648, 5).
fn base64url(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let group = |bytes: &[u8]| {
        let at = |n: usize| u32::from(bytes.get(n).copied().unwrap_or_default());
        let bits = at(0) << 16 | at(1) << 8 | at(2);
        let digits = [18, 12, 6, 0].map(|shift| char::from(DIGITS[(bits >> shift & 63) as usize]));
        digits.into_iter().take(bytes.len() + 1)
    };
    bytes.chunks(3).flat_map(group).collect()
}

fn signature(claims: &str, shared: &Shared) -> String {
    let key = hmac::Key::new(hmac::HMAC_SHA256, format!("livekit-{}", shared.config.secret).as_bytes());
    base64url(hmac::sign(&key, format!("{HEAD}.{claims}").as_bytes()).as_ref())
}

/// `/livekit` and what is below it.
pub(crate) async fn livekit(path: &str, parts: &mut Parts, shared: Arc<Shared>) -> Response {
    let knows_v1 = shared.config.livekit_knows_v1;
    match path {
        "" => answer::redirect(StatusCode::MOVED_PERMANENTLY, &format!("{}/livekit/", shared.config.server_url)),
        "/" => answer::text(StatusCode::OK, "text/plain", "OK"),
        "/rtc/validate" => refusal(parts, &shared).unwrap_or_else(success),
        "/rtc/v1/validate" if knows_v1 => refusal(parts, &shared).unwrap_or_else(success),
        "/rtc" => socket(parts, shared).await,
        "/rtc/v1" if knows_v1 => socket(parts, shared).await,
        _ if path.starts_with("/twirp/") && parts.method == Method::POST => {
            let told = json!({ "code": "unauthenticated", "msg": "permissions denied" });
            (StatusCode::UNAUTHORIZED, answer::json(&told)).into_response()
        }
        _ => answer::text(StatusCode::NOT_FOUND, "text/plain", "404 page not found\n"),
    }
}

fn success() -> Response {
    answer::text(StatusCode::OK, "text/plain", "success")
}

/// What is wrong with the token of a request.
fn refusal(parts: &Parts, shared: &Shared) -> Option<Response> {
    let query = Params::parse(parts.uri.query().unwrap_or_default());
    let given = query.first("access_token").unwrap_or_default();
    let says = |status, text: &'static str| Some(answer::text(status, "text/plain", Body::from(text)));
    let claims = given.split('.').nth(1).unwrap_or_default();
    if given != format!("{HEAD}.{claims}.{}", signature(claims, shared)) {
        return says(StatusCode::UNAUTHORIZED, "invalid authorization token");
    }
    let world = shared.world();
    let is_there =
        world.meetings().any(|meeting| meeting.users.values().any(|user| self::claims(meeting, user) == claims));
    if is_there { None } else { says(StatusCode::NOT_FOUND, "requested room does not exist") }
}

/// Signalling: each text is echoed. Its end is a matter of its two sides.
async fn socket(parts: &mut Parts, shared: Arc<Shared>) -> Response {
    if let Some(refusal) = refusal(parts, &shared) {
        return refusal;
    }
    let mut seen = seen(parts, &shared);
    seen["query"] = json!(null);
    let (alive, ended) = watch::channel(());
    let upgrade = match upgrade(parts).await {
        Ok(upgrade) => upgrade,
        Err(refusal) => return refusal,
    };
    let mut lifeline = Lifeline::new(&shared);
    upgrade.on_upgrade(async move |socket| {
        let _alive = alive;
        tokio::select! {
            biased;
            () = lifeline.cut() => {}
            () = echo::run(socket, seen, None, ended) => {}
        }
    })
}
