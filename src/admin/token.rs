//! Tokens of the admin API: JWT (RFC 7519) with HS256, valid until they expire. All gateways on one store share the key, and
//! anyone who can read the store can make a token.

use std::time::Duration;

use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation, decode, encode};
use serde::{Deserialize, Serialize};

use crate::domain::time::Timestamp;

/// Issuer.
const ISSUER: &str = "anteroom";
/// Audience.
const AUDIENCE: &str = "admin";

/// Scope of a token; `operate` includes `read`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Scope {
    /// Read only.
    Read,
    /// Read, and change modes, tenants and meetings.
    Operate,
}

/// Claims of a token.
#[derive(Debug, Serialize, Deserialize)]
struct Claims {
    sub: String,
    scope: Scope,
    /// Seconds since the epoch.
    exp: u64,
    /// The same.
    iat: u64,
    iss: String,
    aud: String,
}

/// The bearer of a valid token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bearer {
    /// Name of the token, for audit lines.
    pub name: String,
    /// Its scope.
    pub scope: Scope,
}

/// Issues and verifies tokens.
#[derive(Debug)]
pub struct Tokens {
    encoding: EncodingKey,
    decoding: DecodingKey,
    validation: Validation,
}

impl Tokens {
    /// Tokens of a key.
    #[must_use]
    pub fn new(key: &[u8; 32]) -> Self {
        let mut validation = Validation::new(Algorithm::HS256);
        validation.leeway = 0;
        validation.set_issuer(&[ISSUER]);
        validation.set_audience(&[AUDIENCE]);
        validation.set_required_spec_claims(&["exp", "iss", "aud", "sub"]);
        Self { encoding: EncodingKey::from_secret(key), decoding: DecodingKey::from_secret(key), validation }
    }

    /// A token that is good from `now` on for so long.
    ///
    /// # Panics
    /// Never: these claims are JSON, and HMAC takes any key.
    #[must_use]
    pub fn issue(&self, bearer: &Bearer, valid: Duration, now: Timestamp) -> String {
        let iat = u64::try_from(now.as_secs()).unwrap_or(0);
        let claims = Claims {
            sub: bearer.name.clone(),
            scope: bearer.scope,
            exp: iat.saturating_add(valid.as_secs()),
            iat,
            iss: ISSUER.into(),
            aud: AUDIENCE.into(),
        };
        encode(&Header::new(Algorithm::HS256), &claims, &self.encoding)
            .expect("claims are JSON, and any key is one of HMAC")
    }

    /// The bearer of a token; `None` for an invalid or expired one.
    #[must_use]
    pub fn verify(&self, token: &str) -> Option<Bearer> {
        let Claims { sub, scope, .. } = decode::<Claims>(token, &self.decoding, &self.validation).ok()?.claims;
        Some(Bearer { name: sub, scope })
    }
}

#[cfg(test)]
mod tests {
    use data_encoding::BASE64URL_NOPAD;
    use serde_json::{Value, json};

    use super::*;
    use crate::domain::time::Clock;

    const KEY: [u8; 32] = [7; 32];

    fn now() -> Timestamp {
        Clock::system().now()
    }

    fn signed(algorithm: Algorithm, key: &[u8], claims: &Value) -> String {
        encode(&Header::new(algorithm), claims, &EncodingKey::from_secret(key)).expect("it is JSON")
    }

    #[test]
    fn a_token_says_who_shows_it_until_it_expires() {
        let tokens = Tokens::new(&KEY);
        let ada = Bearer { name: "ada".into(), scope: Scope::Read };
        let hour = Duration::from_secs(3600);
        assert_eq!(tokens.verify(&tokens.issue(&ada, hour, now())), Some(ada.clone()));
        assert_eq!(
            tokens.verify(&tokens.issue(&ada, hour, now().saturating_sub(Duration::from_secs(3_601)))),
            None,
            "expired"
        );
        assert!(Scope::Operate > Scope::Read);
    }

    #[test]
    fn only_what_this_gateway_has_signed_for_its_operator_is_good() {
        let tokens = Tokens::new(&KEY);
        let exp = now().as_secs() + 3600;
        let claims = json!({ "sub": "ada", "scope": "operate", "exp": exp, "iat": 0, "iss": ISSUER, "aud": AUDIENCE });
        let with = |name: &str, value: Value| {
            let mut claims = claims.clone();
            claims[name] = value;
            claims
        };
        let without = |name: &str| {
            let mut claims = claims.clone();
            claims.as_object_mut().expect("an object").remove(name);
            claims
        };
        let good = signed(Algorithm::HS256, &KEY, &claims);
        assert!(tokens.verify(&good).is_some());

        let (head, rest) = good.split_once('.').expect("three parts");
        let (body, signature) = rest.split_once('.').expect("three parts");
        let none = BASE64URL_NOPAD.encode(br#"{"typ":"JWT","alg":"none"}"#);
        let other = BASE64URL_NOPAD.encode(with("sub", json!("bo")).to_string().as_bytes());
        for (name, token) in [
            ("nothing", String::new()),
            ("no token", "operate".into()),
            ("another key", signed(Algorithm::HS256, &[8; 32], &claims)),
            ("another algorithm", signed(Algorithm::HS512, &KEY, &claims)),
            ("no algorithm", format!("{none}.{body}.")),
            ("no algorithm, and a signature", format!("{none}.{body}.{signature}")),
            ("no signature", format!("{head}.{body}.")),
            ("other claims", format!("{head}.{other}.{signature}")),
            ("another audience", signed(Algorithm::HS256, &KEY, &with("aud", json!("tenant")))),
            ("another issuer", signed(Algorithm::HS256, &KEY, &with("iss", json!("other")))),
            ("another scope", signed(Algorithm::HS256, &KEY, &with("scope", json!("all")))),
            ("expired", signed(Algorithm::HS256, &KEY, &with("exp", json!(exp - 7200)))),
            ("no expiry", signed(Algorithm::HS256, &KEY, &without("exp"))),
            ("no audience", signed(Algorithm::HS256, &KEY, &without("aud"))),
            ("no issuer", signed(Algorithm::HS256, &KEY, &without("iss"))),
            ("no name", signed(Algorithm::HS256, &KEY, &without("sub"))),
            ("no scope", signed(Algorithm::HS256, &KEY, &without("scope"))),
        ] {
            assert_eq!(tokens.verify(&token), None, "{name}");
        }
    }
}
