//! Callbacks as BBB makes them (docs/reference/bbb-protocol.md, "Callbacks"): JWT that are verified with the secret of a
//! server and made with that of a tenant, and the ids in what they sign.

// Numbers come from outside.
#![cfg_attr(not(test), warn(clippy::arithmetic_side_effects))]

use std::{collections::HashSet, str::FromStr, time::Duration};

use form_urlencoded::{Serializer, parse};
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation, decode, encode};
use serde_json::{Map, Value};

use crate::domain::{secret::Secret, time::Timestamp};

/// The field of a form that has the JWT.
const PARAMETERS: &str = "signed_parameters";
/// For how long the bearer of analytics is good, as BBB makes it.
const BEARER_VALID: Duration = Duration::from_secs(24 * 3600);
/// The algorithms that BBB signs with.
const ALGORITHMS: [Algorithm; 3] = [Algorithm::HS256, Algorithm::HS384, Algorithm::HS512];
/// The claim that names a meeting by the id that its `create` gave it.
const MEETING: &str = "meeting_id";

/// What a JWT says.
pub type Claims = Map<String, Value>;

/// A JWT whose signature is that of a secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signed {
    /// How it is signed, as its header names it.
    pub algorithm: String,
    /// What it says.
    pub claims: Claims,
}

/// Verifies a JWT, and its `exp` where it has one; `None` for one that this secret has not signed.
#[must_use]
pub fn verify(token: &str, secret: &Secret) -> Option<Signed> {
    let mut validation = Validation::new(Algorithm::HS256);
    validation.algorithms = ALGORITHMS.to_vec();
    validation.required_spec_claims = HashSet::new();
    validation.validate_aud = false;
    let key = DecodingKey::from_secret(secret.reveal().as_bytes());
    let token = decode::<Claims>(token, &key, &validation).ok()?;
    Some(Signed { algorithm: format!("{:?}", token.header.alg), claims: token.claims })
}

/// Makes a JWT of an algorithm that [`verify`] has named; `None` for another one.
#[must_use]
pub fn sign(algorithm: &str, claims: &Claims, secret: &Secret) -> Option<String> {
    let algorithm = Algorithm::from_str(algorithm).ok().filter(|algorithm| ALGORITHMS.contains(algorithm))?;
    let key = EncodingKey::from_secret(secret.reveal().as_bytes());
    encode(&Header::new(algorithm), claims, &key).ok()
}

/// The claims of a bearer that is made now.
#[must_use]
pub fn bearer(now: Timestamp) -> Claims {
    Claims::from_iter([("exp".to_owned(), now.saturating_add(BEARER_VALID).as_secs().into())])
}

/// The JWT in a form.
#[must_use]
pub fn parameters_of(form: &[u8]) -> Option<String> {
    parse(form).find(|(name, _)| name == PARAMETERS).map(|(_, token)| token.into_owned())
}

/// A form with a JWT.
#[must_use]
pub fn form_of(token: &str) -> String {
    Serializer::new(String::new()).append_pair(PARAMETERS, token).finish()
}

/// The query of the call at the end of a meeting, to be appended to its address.
#[must_use]
pub fn ended_query(recording_marks: bool, meeting_id: &str) -> String {
    let marks = if recording_marks { "true" } else { "false" };
    Serializer::new(String::new()).append_pair("recordingmarks", marks).append_pair("meetingID", meeting_id).finish()
}

/// Whether what a server says is about this meeting of its, as far as it names one.
#[must_use]
pub fn is_about(said: &Claims, server_meeting_id: &str) -> bool {
    said.get(MEETING).is_none_or(|id| id == server_meeting_id)
}

/// Puts other texts in the place of those that have one.
pub fn replace(value: &mut Value, other: &dyn Fn(&str) -> Option<String>) {
    match value {
        Value::String(text) => *text = other(text).unwrap_or_else(|| std::mem::take(text)),
        Value::Array(values) => values.iter_mut().for_each(|value| replace(value, other)),
        Value::Object(values) => values.values_mut().for_each(|value| replace(value, other)),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

#[cfg(test)]
mod tests {
    use data_encoding::BASE64URL_NOPAD;
    use serde_json::json;

    use super::*;
    use crate::domain::time::Clock;

    fn claims(value: Value) -> Claims {
        value.as_object().expect("an object").clone()
    }

    #[test]
    fn only_the_secret_that_signed_verifies() {
        let (ours, theirs) = (Secret::new("server-secret"), Secret::new("tenant-secret"));
        let said = claims(json!({ "meeting_id": "t.wagtail.room", "record_id": "r" }));
        for algorithm in ["HS256", "HS384", "HS512"] {
            let token = sign(algorithm, &said, &ours).expect("signed");
            let signed = Signed { algorithm: algorithm.into(), claims: said.clone() };
            assert_eq!(verify(&token, &ours), Some(signed), "{algorithm}");
            assert_eq!(verify(&token, &theirs), None, "{algorithm}");
            let (start, _) = token.rsplit_once('.').expect("three parts");
            assert_eq!(verify(&format!("{start}."), &ours), None, "without a signature");
            let none = BASE64URL_NOPAD.encode(br#"{"alg":"none"}"#);
            let (_, rest) = start.split_once('.').expect("two parts");
            assert_eq!(verify(&format!("{none}.{rest}."), &ours), None, "an algorithm that is none");
        }
        for algorithm in ["none", "RS256", "EdDSA", ""] {
            assert_eq!(sign(algorithm, &said, &ours), None, "{algorithm}");
        }
    }

    #[test]
    fn a_bearer_is_good_for_a_day() {
        let (secret, now) = (Secret::new("s"), Clock::system().now());
        let made = |at| sign("HS512", &bearer(at), &secret).expect("signed");
        assert!(verify(&made(now), &secret).is_some());
        assert!(verify(&made(now.saturating_sub(Duration::from_secs(25 * 3600))), &secret).is_none());
    }

    #[test]
    fn ids_are_replaced_where_they_are_whole_values() {
        let mut value = json!({ "meeting_id": "t.w.a", "data": [{ "id": "t.w.a" }, "t.w.ab", 1], "t.w.a": null });
        replace(&mut value, &|text| (text == "t.w.a").then(|| "a".to_owned()));
        assert_eq!(value, json!({ "meeting_id": "a", "data": [{ "id": "a" }, "t.w.ab", 1], "t.w.a": null }));
    }

    #[test]
    fn forms_and_queries_are_as_bbb_makes_them() {
        assert_eq!(form_of("a.b.c"), "signed_parameters=a.b.c");
        assert_eq!(parameters_of(b"x=1&signed_parameters=a.b.c").as_deref(), Some("a.b.c"));
        assert_eq!(parameters_of(b"x=1"), None);
        assert_eq!(ended_query(true, "my room"), "recordingmarks=true&meetingID=my+room");
        assert!(is_about(&claims(json!({ "meeting_id": "t.w.a" })), "t.w.a"));
        assert!(is_about(&Claims::new(), "t.w.a"));
        assert!(!is_about(&claims(json!({ "meeting_id": "t.w.b" })), "t.w.a"));
    }
}
