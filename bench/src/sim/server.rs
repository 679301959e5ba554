//! Connections, and which part of the server answers a path.

use std::io;
use std::pin::pin;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use axum::body::Body;
use axum::http::request::Parts;
use axum::http::{HeaderValue, Method, Request, StatusCode};
use axum::response::Response;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use super::broken::Unsent;
use super::profile::Notes;
use super::{
    Config, Shared, answer, api, client, dashboard, images, playback, plugin, presentation, rest, sockets, stopped,
};

/// Accepts until the server is stopped; then all connections are dropped.
pub(crate) async fn serve(listener: TcpListener, shared: Arc<Shared>) {
    let mut stop = shared.stop.subscribe();
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            () = stopped(&mut stop) => break,
            Some(_) = connections.join_next() => {}
            accepted = listener.accept() => accept(accepted, &shared, &mut connections).await,
        }
    }
    drop(listener);
    connections.shutdown().await;
}

async fn accept<A>(accepted: io::Result<(TcpStream, A)>, shared: &Arc<Shared>, connections: &mut JoinSet<()>) {
    match accepted {
        Ok(_) if shared.faults.is_down() => {}
        Ok((stream, _)) => {
            // Small frames are to leave at once; a stream that refuses is closed anyway.
            let _ = stream.set_nodelay(true);
            connections.spawn(connection(stream, Arc::clone(shared)));
        }
        // Out of descriptors, most likely: others have to close first.
        Err(_) => tokio::time::sleep(Duration::from_millis(20)).await,
    }
}

async fn connection(stream: TcpStream, shared: Arc<Shared>) {
    let mut cuts = shared.faults.connection_cuts();
    let service = service_fn(|request| {
        let shared = Arc::clone(&shared);
        async move {
            let response = with_headers(handle(request, Arc::clone(&shared)).await, &shared.config);
            // An error closes the connection.
            if response.extensions().get::<Unsent>().is_some() { Err(io::Error::other("unsent")) } else { Ok(response) }
        }
    });
    let mut serving = pin!(http1::Builder::new().serve_connection(TokioIo::new(stream), service).with_upgrades());
    tokio::select! {
        // How a connection ended is for its other side to judge.
        _ = &mut serving => {}
        _ = cuts.changed() => {}
    }
}

/// An answer with what the administrator has nginx add to each.
fn with_headers(mut response: Response, config: &Config) -> Response {
    for (name, value) in &config.answer_headers {
        response.headers_mut().append(*name, HeaderValue::from_static(value));
    }
    response
}

async fn handle(request: Request<Incoming>, shared: Arc<Shared>) -> Response {
    let (mut parts, body) = request.into_parts();
    let entry = shared.log.add(&parts);
    let body = Body::new(body);
    // As nginx does it (`merge_slashes`).
    let path = merged(parts.uri.path());
    let is_meteor = shared.config.profile.is_meteor();
    match path.as_str() {
        "/bigbluebutton" | "/bigbluebutton/" | "/bigbluebutton/api" | "/bigbluebutton/api/" => {
            api::call("", parts, body, entry, &shared).await
        }
        "/bigbluebutton/ping" if is_meteor => answer::text(StatusCode::OK, "text/plain", Body::empty()),
        "/bigbluebutton/rtt-check" if !is_meteor => answer::text(StatusCode::OK, "text/plain", Body::empty()),
        "/blank.pdf" => answer::text(StatusCode::OK, "application/pdf", presentation::BLANK_PDF),
        "/default.pdf" => answer::text(StatusCode::OK, "application/pdf", presentation::DEFAULT_PDF),
        "/images/dot.png" => answer::text(StatusCode::OK, "image/png", &client::PHOTO[..1024]),
        "/images/photo.jpg" => answer::text(StatusCode::OK, "image/jpeg", client::PHOTO),
        "/graphql" if !is_meteor => sockets::graphql(&mut parts, shared).await,
        "/bbb-webrtc-sfu" => sockets::sfu(&mut parts, shared).await,
        "/ws" if shared.config.profile.has_sip => sockets::sip(&mut parts, shared).await,
        "/html5client" => {
            let query = parts.uri.query().map(|query| format!("?{query}")).unwrap_or_default();
            answer::redirect(StatusCode::MOVED_PERMANENTLY, &format!("/html5client/{query}"))
        }
        _ => by_prefix(&path, parts, body, entry, shared).await,
    }
}

async fn by_prefix(path: &str, mut parts: Parts, body: Body, entry: u64, shared: Arc<Shared>) -> Response {
    if let Some(call) = path.strip_prefix("/bigbluebutton/api/") {
        // Grails takes a call with a slash behind it for the call.
        let call = call.strip_suffix('/').unwrap_or(call);
        return api::call(call, parts, body, entry, &shared).await;
    }
    let is_meteor = shared.config.profile.is_meteor();
    if let Some(path) = path.strip_prefix("/html5client/sockjs/").filter(|_| is_meteor) {
        return sockets::sockjs(path, &mut parts, shared).await;
    }
    if let Some(file) = path.strip_prefix("/html5client/") {
        let assets = Arc::clone(&shared.client.lock().unwrap_or_else(PoisonError::into_inner));
        return client::file(file, &parts.headers, &assets);
    }
    if let Some(name) = path.strip_prefix("/api/rest/").filter(|_| !is_meteor) {
        return rest::query(name, &parts, &shared);
    }
    if let Some(source) = path.strip_prefix("/api/plugin/").filter(|_| !is_meteor) {
        return plugin::data(source, &parts, &shared);
    }
    if let Some(rest) = path.strip_prefix("/bigbluebutton/presentation/") {
        return match (&parts.method, rest.strip_suffix("/upload")) {
            (&Method::POST, Some(token)) => presentation::upload(token, &parts, body, entry, &shared).await,
            _ => presentation::page(rest, &parts, &shared),
        };
    }
    if let Some(rest) = path.strip_prefix("/bigbluebutton/fileUpload/").filter(|_| !is_meteor) {
        return images::serve(rest, &parts, body, &shared).await;
    }
    let notes = shared.config.profile.notes;
    if let Some(path) = path.strip_prefix("/pad/").filter(|_| notes == Notes::Etherpad) {
        return sockets::pad(path, &mut parts, shared).await;
    }
    if let Some(path) = path.strip_prefix("/learning-analytics-dashboard/") {
        return dashboard::file(path, &shared);
    }
    if path.starts_with("/hocuspocus/") {
        return sockets::hocuspocus(&mut parts, shared).await;
    }
    if let Some(rest) =
        path.strip_prefix("/livekit").filter(|rest| !is_meteor && (rest.is_empty() || rest.starts_with('/')))
    {
        return sockets::livekit::livekit(rest, &mut parts, shared).await;
    }
    if let Some(response) = playback::serve(path, &parts, &shared) {
        return response;
    }
    answer::page(StatusCode::NOT_FOUND)
}

/// A path with each run of slashes as one.
fn merged(path: &str) -> String {
    let mut chars: Vec<char> = path.chars().collect();
    chars.dedup_by(|a, b| *a == '/' && *b == '/');
    chars.into_iter().collect()
}
