//! The handler of each route.

use std::sync::Arc;

use http::{
    HeaderValue, Method, StatusCode,
    header::{ALLOW, VARY},
};

use super::{
    answer::{Answer, redirect, text},
    api,
    api::breakout,
    asked::{Asked, is_websocket},
    asset, callback, carry, challenge, frontend,
    gateway::Gateway,
    graphql,
    path::merge_slashes,
    playback, refusal,
    route::{Kind, Route, call_of, route},
    session_call, session_token,
    target::{self, Target},
    version, webhook,
};
use crate::{
    domain::denial::Denial,
    metrics::{Call, Outcome},
    upstream::Incoming,
};

/// Where the API is.
const API: &str = "/bigbluebutton/api/";

pub(super) async fn dispatch(gateway: &Arc<Gateway>, mut asked: Asked, body: Incoming) -> Answer {
    if asked.head.method == Method::CONNECT {
        let mut refused = text(StatusCode::METHOD_NOT_ALLOWED, "text/plain", "Nothing is tunnelled here.\n");
        refused.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD, POST"));
        return Answer::new(Call::Unsupported, Outcome::Refused, refused);
    }
    let path = merge_slashes(asked.head.uri.path()).into_owned();
    match route(&path) {
        Route::Version { slug } => version::version(gateway, &mut asked, slug).await,
        Route::Api(call) => api::api(gateway, asked, call, body).await,
        // Boxed, here and below: seldom, and no other request is to have room for it.
        Route::BreakoutJoin { slug } => {
            drop(body);
            Box::pin(breakout::join_breakout(gateway, asked, slug)).await
        }
        Route::Meeting { slug, session, path, kind: Kind::Call(call) } => {
            let target = target::of_slug(gateway, &mut asked, slug, session, path).await;
            Box::pin(session_call::session_call(gateway, asked, body, target, path, call)).await
        }
        Route::RootMeeting { path, kind: kind @ Kind::Call(call) } => {
            let target = target::of_root(gateway, &mut asked, path, kind).await;
            Box::pin(session_call::session_call(gateway, asked, body, target, path, call)).await
        }
        Route::Recording { path } => match playback::server_of_recording(gateway, &asked, path) {
            Ok(target) => playback::playback(gateway, asked, body, target, path).await,
            Err(denial) => refusal::refuse(gateway, &asked, Call::Playback, denial),
        },
        Route::Asset { digest, name } => asset::asset(gateway, &asked, digest, name),
        Route::Callback { kind, code } => Box::pin(callback::callback(gateway, asked, kind, code, body)).await,
        Route::Webhook { slug, code } => Box::pin(webhook::webhook(gateway, asked, slug, code, body)).await,
        Route::Client { slug } => client_with_slash(gateway, &asked, slug),
        Route::Meeting { slug, session, path, kind } => {
            match target::of_slug(gateway, &mut asked, slug, session, path).await {
                Ok(target) => carry::carry(gateway, asked, body, target, path, kind).await,
                Err(denial) => refusal::refuse(gateway, &asked, call_of(kind), denial),
            }
        }
        // Its first frame says where it goes.
        Route::RootMeeting { path, kind: Kind::GraphQl } if is_websocket(&asked.head) => {
            graphql::graphql(gateway, asked, None, path)
        }
        // Without a session it is not BBB's.
        Route::RootMeeting { kind: Kind::PluginData, .. } if !session_token::is_named(&asked.head) => {
            frontend::frontend(gateway, asked, body).await
        }
        Route::RootMeeting { path, kind } => match target::of_root(gateway, &mut asked, path, kind).await {
            Ok(target) => carry::carry(gateway, asked, body, target, path, kind).await,
            Err(denial) => refusal::refuse(gateway, &asked, call_of(kind), denial),
        },
        Route::OfPage { path } => {
            let mut answer = Box::pin(file_of_page(gateway, asked, body, path)).await;
            // A cache is not to show it in another page.
            answer.response.headers_mut().append(VARY, HeaderValue::from_static("referer"));
            answer
        }
        // Integrations read XML, also of what there is not.
        Route::Refused if path.starts_with(API) => Answer::denied(Call::Unsupported, Denial::NotFound),
        Route::Refused => refusal::refuse(gateway, &asked, Call::Meeting, Denial::NotFound),
        Route::Other => match challenge::answer(gateway, &asked.connection.sni, &asked.head) {
            Some(response) => Answer::new(Call::Page, Outcome::Ok, response),
            None => frontend::frontend(gateway, asked, body).await,
        },
    }
}

/// A file that a page of a meeting asks for from the root of the host, or a frontend's. It is no session's.
async fn file_of_page(gateway: &Arc<Gateway>, mut asked: Asked, body: Incoming, path: &str) -> Answer {
    let server = match target::of_file(gateway, &asked).await {
        Ok(Some(server)) => server,
        Ok(None) => return frontend::frontend(gateway, asked, body).await,
        Err(denial) => return refusal::refuse(gateway, &asked, Call::Meeting, denial),
    };
    let named = session_token::remove(&mut asked.head);
    let named = match named {
        Ok(()) => target::own_meeting(gateway, &asked, path).await.map(drop),
        Err(denial) => Err(denial),
    };
    match named {
        Ok(()) => carry::carry(gateway, asked, body, Target { server, session: None }, path, Kind::Static).await,
        Err(denial) => refusal::refuse(gateway, &asked, Call::Meeting, denial),
    }
}

/// Leads to the client's address with its final slash: its own addresses are relative to that.
fn client_with_slash(gateway: &Gateway, asked: &Asked, slug: &str) -> Answer {
    let query = asked.head.uri.query().map(|query| format!("?{query}")).unwrap_or_default();
    let to = format!("https://{}/s/{slug}/html5client/{query}", asked.authority);
    match redirect(StatusCode::FOUND, &to) {
        Some(response) => Answer::new(Call::Meeting, Outcome::Ok, response),
        None => refusal::refuse(gateway, asked, Call::Meeting, Denial::NotFound),
    }
}
