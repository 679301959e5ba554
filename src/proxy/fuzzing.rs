//! Doors to what reads requests and frames, for random tests and fuzz targets alone.

use std::{io, sync::Arc};

use bytes::Bytes;
use futures_util::FutureExt;
use http::{
    HeaderMap, HeaderValue,
    header::SET_COOKIE,
    uri::{Authority, Scheme},
};

use super::{
    api,
    cookies::{self, Binding, Owner, Unbound},
    frame,
};
use crate::{
    bbb::{answer::Failure, query::Params},
    domain::{
        ids::{Slug, TenantId},
        limits::Limit,
        secret::Secret,
        tenant::{Server, Upstream, Weight},
        time::Timestamp,
    },
};

/// A server at this authority.
///
/// # Panics
/// Never: what is written here is legal.
#[must_use]
pub fn server(authority: &Authority) -> Arc<Server> {
    Arc::new(Server {
        id: "bbb-01".parse().expect("an id"),
        slug: "x1".parse().expect("an id"),
        upstream: Upstream { scheme: Scheme::HTTPS, authority: authority.clone() },
        names: vec![authority.clone()],
        secret: Secret::new("server-secret"),
        pool: "members".parse().expect("an id"),
        weight: Weight::ONE,
        meetings_max: Limit::Unlimited,
        rewrites_frames: true,
        sockets_per_second: 40,
        is_meteor: false,
    })
}

/// The session that the first frame of a GraphQL socket names, the frame that goes on in its place, and how many bytes that
/// replaces; `None` while it is not whole.
///
/// # Errors
/// For what is no such frame.
pub fn first_frame(bytes: &[u8]) -> io::Result<Option<(String, Vec<u8>, usize)>> {
    frame::rewritten(bytes)
}

/// The text fields of a `multipart/form-data`.
///
/// # Errors
/// For what is none.
///
/// # Panics
/// When it waits for something: all bytes are there.
pub fn multipart(body: Bytes, boundary: &str) -> Result<Params, Failure> {
    let mut params = Params::default();
    let read = api::read::extend_multipart(&mut params, body, boundary).now_or_never();
    read.expect("all bytes are there").map(|()| params)
}

/// The cookies of servers, bound with a key of zeros.
#[derive(Debug)]
pub struct Cookies(Binding);

impl Default for Cookies {
    fn default() -> Self {
        Self(Binding::new([0; 32], Unbound::default()))
    }
}

impl Cookies {
    /// What becomes of a `Set-Cookie` of a server on its way to a browser.
    #[must_use]
    pub fn to_browser(
        &self,
        cookie: HeaderValue,
        tenant: &TenantId,
        slug: &Slug,
        is_embedded: bool,
    ) -> Option<HeaderValue> {
        let mut headers = HeaderMap::from_iter([(SET_COOKIE, cookie)]);
        self.0.rename(&mut headers, Owner::of(tenant, slug, is_embedded));
        headers.remove(SET_COOKIE)
    }

    /// The cookies of a browser that a server gets.
    #[must_use]
    pub fn to_server(&self, headers: &HeaderMap, tenant: &TenantId, slug: &Slug) -> Option<HeaderValue> {
        self.0.cookies_for(headers, Owner::of(tenant, slug, false), None, Timestamp::EPOCH)
    }
}

/// Takes out what a frontend does not get.
pub fn to_frontend(headers: &mut HeaderMap, slug: &str) {
    cookies::without_meeting_cookies(headers, |of| of == slug);
}

/// What becomes of the cookies that a frontend sets.
pub fn from_frontend(headers: &mut HeaderMap, host: &str, slug: &str) {
    cookies::keep_on_host(headers, host, |of| of == slug);
}
