//! What is not BBB's: the tenant's frontend, or a plain landing page.

use std::{pin::pin, sync::Arc, time::Duration};

use http::{HeaderValue, Request, StatusCode, header::HOST};

use super::{
    answer::{Answer, text},
    answered::of_frontend,
    asked::{Asked, address, is_websocket},
    cookies::without_meeting_cookies,
    gateway::Gateway,
    headers::{remove_hop_by_hop, set_forwarded},
    pages::{page, wants_page},
    referrer, refusal, robots, session_token, socket,
};
use crate::{
    domain::{backend_error::BackendError, denial::Denial, pages::Page},
    metrics::{Call, Outcome},
    upstream::Incoming,
};

/// A frontend's own pages may take their time (exports, imports); people do not wait longer in a browser.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(120);

/// Carries a request to the tenant's frontend, or shows the landing page.
pub(crate) async fn frontend(gateway: &Arc<Gateway>, mut asked: Asked, body: Incoming) -> Answer {
    let Some(frontend) = asked.tenant.frontend.clone() else {
        return landing(gateway, &asked);
    };
    if let Err(denial) = without_session(&mut asked) {
        return refusal::refuse(gateway, &asked, Call::Frontend, denial);
    }
    let mut headers = asked.head.headers.clone();
    remove_hop_by_hop(&mut headers);
    // A frontend answers for the tenant's own host, and gets that name.
    if let Ok(host) = HeaderValue::from_str(&asked.authority) {
        headers.insert(HOST, host.clone());
        set_forwarded(&mut headers, &asked.connection.peer_value, "https", &asked.request_id);
        headers.insert("x-forwarded-host", host);
    }
    let to = address(&frontend, asked.head.uri.path(), asked.head.uri.query());
    if is_websocket(&asked.head) {
        // Boxed: once for each socket, and no other request is to have room for it.
        return Box::pin(socket::frontend_socket(gateway, asked, frontend, to, headers)).await;
    }
    let (body, clock) = match gateway.to_frontends.begin(&asked, frontend.authority.as_str(), body, None).await {
        Ok(begun) => begun,
        Err(why) => return refusal::unsent(gateway, &asked, Call::Frontend, why, None),
    };
    let mut request = Request::new(body);
    *request.method_mut() = asked.head.method.clone();
    *request.uri_mut() = to;
    *request.headers_mut() = headers;
    let answer = pin!(gateway.meetings.backends.pool.send(request));
    match clock.answer(ANSWER_TIMEOUT, answer).await.flatten() {
        Ok(mut response) => {
            let is_slug = |slug: &str| asked.directory.server_of_slug(slug).is_some();
            of_frontend(response.headers_mut(), &frontend, &asked.authority, is_slug);
            let outcome = if response.status().is_server_error() { Outcome::Failed } else { Outcome::Ok };
            Answer::new(Call::Frontend, outcome, response)
        }
        Err(error) => {
            if !matches!(error, BackendError::Body(_) | BackendError::Exhausted) {
                tracing::warn!(frontend = %frontend.authority, "frontend does not answer");
            }
            refusal::unsent(gateway, &asked, Call::Frontend, error, None)
        }
    }
}

fn landing(gateway: &Gateway, asked: &Asked) -> Answer {
    if asked.head.uri.path() == robots::PATH {
        return robots::rules();
    }
    if asked.head.uri.path() != "/" {
        return refusal::refuse(gateway, asked, Call::Page, Denial::NotFound);
    }
    let response = if wants_page(&asked.head.headers) {
        page(asked, StatusCode::OK, &Page::Landing, "")
    } else {
        text(StatusCode::OK, "text/plain;charset=utf-8", format!("{}\n", asked.tenant.name))
    };
    Answer::new(Call::Page, Outcome::Ok, response)
}

/// Takes out of a request what belongs to the session of a meeting: the token in header and query, the cookies of servers and of
/// the client's scripts, and the address of a page of a meeting. Whatever goes to a frontend, sockets too, has gone through
/// here.
fn without_session(asked: &mut Asked) -> Result<(), Denial> {
    let Asked { head, directory, authority, .. } = asked;
    session_token::remove(head)?;
    without_meeting_cookies(&mut head.headers, |slug| directory.server_of_slug(slug).is_some());
    referrer::for_frontend(&mut head.headers, authority);
    Ok(())
}
