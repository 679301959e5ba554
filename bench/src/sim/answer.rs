//! The shapes of answers: XML and JSON of bbb-web, and the pages of Grails and nginx around it.

use std::fmt::{Display, Write};

use axum::body::Body;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE, LOCATION};
use axum::http::{HeaderValue, StatusCode};
use axum::response::Response;
use serde_json::Value;

use super::errors::Violation;

/// An XML answer under construction: `<response>` is open.
pub(crate) struct Xml(String);

impl Xml {
    pub(crate) fn success() -> Self {
        Self::returning("SUCCESS")
    }

    pub(crate) fn failed(violation: &Violation) -> Self {
        let mut xml = Self::failure();
        xml.message(violation.key, violation.message);
        xml
    }

    /// A refusal without key and message yet.
    pub(crate) fn failure() -> Self {
        Self::returning("FAILED")
    }

    fn returning(code: &str) -> Self {
        let mut xml = Self("<response>".to_owned());
        xml.leaf("returncode", code);
        xml
    }

    pub(crate) fn message(&mut self, key: &str, message: &str) {
        self.leaf("messageKey", key);
        self.leaf("message", message);
    }

    pub(crate) fn leaf(&mut self, name: &str, value: impl Display) {
        self.leaf_with(name, &[], value);
    }

    /// A leaf with attributes.
    pub(crate) fn leaf_with(&mut self, name: &str, attributes: &[(&str, &str)], value: impl Display) {
        write!(self.0, "<{name}").expect("a string takes all text");
        for (key, value) in attributes {
            write!(self.0, " {key}=\"{}\"", escape(value)).expect("a string takes all text");
        }
        write!(self.0, ">{}</{name}>", escape(&value.to_string())).expect("a string takes all text");
    }

    /// An element with others inside.
    pub(crate) fn nest(&mut self, name: &str, fill: impl FnOnce(&mut Self)) {
        write!(self.0, "<{name}>").expect("a string takes all text");
        fill(self);
        write!(self.0, "</{name}>").expect("a string takes all text");
    }

    pub(crate) fn into_response(mut self) -> Response {
        self.0.push_str("</response>");
        let mut response = text(StatusCode::OK, "text/xml;charset=utf-8", self.0);
        response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
        response
    }
}

/// Text as it stands in XML, in attributes too.
pub(crate) fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

/// The envelope of a refusal, with status 200.
pub(crate) fn failed(violation: &Violation) -> Response {
    Xml::failed(violation).into_response()
}

pub(crate) fn json(value: &Value) -> Response {
    let mut response = text(StatusCode::OK, "application/json;charset=utf-8", value.to_string());
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    response
}

pub(crate) fn text(status: StatusCode, content_type: &'static str, body: impl Into<Body>) -> Response {
    let mut response = Response::new(body.into());
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}

/// A redirect; a target that no header can hold ends in a server error, as an exception would.
pub(crate) fn redirect(status: StatusCode, target: &str) -> Response {
    let Ok(location) = HeaderValue::from_str(target) else {
        return exception();
    };
    let mut response = Response::new(Body::empty());
    *response.status_mut() = status;
    response.headers_mut().insert(LOCATION, location);
    response
}

/// The page that Grails shows when a controller threw.
pub(crate) fn exception() -> Response {
    const PAGE: &str = "<!doctype html><html><head><title>Error</title></head>\
        <body><h1>Error 500: Internal Server Error</h1></body></html>";
    text(StatusCode::INTERNAL_SERVER_ERROR, "text/html;charset=utf-8", PAGE)
}

/// A page of nginx.
pub(crate) fn page(status: StatusCode) -> Response {
    let body =
        format!("<html><head><title>{status}</title></head><body><center><h1>{status}</h1></center></body></html>");
    text(status, "text/html", body)
}
