//! Cookies and tokens of a request, and bbb-web's `checkAuthorization`.

use axum::http::HeaderMap;
use axum::http::header::COOKIE;

use super::params::Params;

/// The values of all `JSESSIONID` cookies; any of them may be the one the server knows.
pub(crate) fn http_sessions(headers: &HeaderMap) -> Vec<String> {
    cookies(headers).filter(|(name, _)| *name == "JSESSIONID").map(|(_, value)| value.to_owned()).collect()
}

/// The names of all cookies, without their values.
pub(crate) fn cookie_names(headers: &HeaderMap) -> Vec<String> {
    cookies(headers).map(|(name, _)| name.to_owned()).collect()
}

/// The `sessionToken` of the query.
pub(crate) fn query_token(query: Option<&str>) -> Option<String> {
    Params::parse(query.unwrap_or_default()).text("sessionToken").map(str::to_owned)
}

fn cookies(headers: &HeaderMap) -> impl Iterator<Item = (&str, &str)> {
    let fields = headers.get_all(COOKIE).into_iter().filter_map(|value| value.to_str().ok());
    fields.flat_map(|field| field.split(';')).filter_map(|pair| pair.trim().split_once('='))
}
