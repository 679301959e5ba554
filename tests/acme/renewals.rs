//! Renewal information, `replaces` and profiles. Pebble has none of them: a proxy adds them, pebble issues.

use std::sync::Mutex;

use anteroom::acme::{Authority, FailureKind, Kind, Wanted};
use serde_json::{Value, json};

use crate::{
    answers::Answers,
    front::{Answer, Front, Rule, answer, changed},
    orders::{names, order, wanted},
    pebble::{Pebble, ca, key},
};

/// A CA that has renewal information and a profile.
struct Modern {
    /// Whether it takes `replaces`.
    replaces: bool,
    payloads: &'static Mutex<Vec<Value>>,
}

impl Rule for Modern {
    fn instead(&self, path: &str, payload: &Value) -> Option<Answer> {
        if path == "/order-plz" {
            self.payloads.lock().unwrap().push(payload.clone());
            if !self.replaces && payload["replaces"].is_string() {
                let problem = r#"{"type":"urn:ietf:params:acme:error:alreadyReplaced","detail":"again"}"#;
                return Some(answer(409, "application/problem+json", problem));
            }
        }
        let id = path.strip_prefix("/renewal/")?;
        // The form of an identifier: two parts of base64url.
        let known = id.split('.').filter(|part| !part.is_empty()).count() == 2 && self.replaces;
        Some(match known {
            true => {
                let body = r#"{"suggestedWindow":{"start":"2026-12-30T00:00:00Z","end":"2200-01-01T00:00:00Z"}}"#;
                let mut told = answer(200, "application/json", body);
                told.headers_mut().insert("retry-after", "7200".parse().unwrap());
                told
            }
            false => answer(404, "application/problem+json", r#"{"type":"urn:ietf:params:acme:error:malformed"}"#),
        })
    }

    fn after(&self, path: &str, payload: &Value, told: Answer) -> Answer {
        match path {
            "/dir" => changed(told, |directory| {
                let nonce = directory["newNonce"].as_str().unwrap().to_owned();
                directory["renewalInfo"] = json!(nonce.replace("nonce-plz", "renewal"));
                directory["meta"]["profiles"] = json!({ "brief": "a page", "classic": "another" });
                directory["meta"]["caaIdentities"] = json!(["ca.example"]);
            }),
            "/order-plz" if told.status().is_success() && payload["replaces"].is_string() => {
                changed(told, |order| order["replaces"] = payload["replaces"].clone())
            }
            _ => told,
        }
    }
}

#[tokio::test]
async fn a_renewal_comes_when_the_ca_says_and_names_what_it_replaces() {
    static PAYLOADS: Mutex<Vec<Value>> = Mutex::new(Vec::new());
    let (pebble, key) = (Pebble::plain().await, key());
    let answers = Answers::start(pebble.place, &key).await;
    let front = Front::start(&pebble, Modern { replaces: true, payloads: &PAYLOADS }).await;
    let client = pebble.client_of(ca(front.directory()));
    let names = names(&["a.example"]);
    let first = order(&client, &key, &wanted(&names, Kind::Http01), &answers).await.unwrap();
    let renewal = client.renewal(&first.chain).await.unwrap().expect("it has a window");
    assert_eq!(renewal.from.to_string(), "2026-12-30T00:00:00Z");
    assert_eq!(
        renewal.until,
        first.not_after.saturating_sub(first.lifetime() / 10),
        "before the end of the certificate"
    );
    assert_eq!(renewal.ask_again.as_secs(), 7200);
    assert_eq!(client.issuers().await.unwrap(), ["ca.example"]);

    let second = Wanted { replaces: Some(&first.chain), ..wanted(&names, Kind::Http01) };
    order(&client, &key, &second, &answers).await.unwrap();
    let payloads = PAYLOADS.lock().unwrap();
    let replaced: Vec<_> = payloads.iter().map(|payload| payload["replaces"].is_string()).collect();
    assert_eq!(replaced, [false, true]);
    assert_eq!(answers.begun(), (vec![false, true], 0));
}

#[tokio::test]
async fn a_ca_that_wants_to_hear_of_no_replaced_certificate_gets_an_order_without() {
    static PAYLOADS: Mutex<Vec<Value>> = Mutex::new(Vec::new());
    let (pebble, key) = (Pebble::plain().await, key());
    let answers = Answers::start(pebble.place, &key).await;
    let front = Front::start(&pebble, Modern { replaces: false, payloads: &PAYLOADS }).await;
    let client = pebble.client_of(ca(front.directory()));
    let names = names(&["a.example"]);
    let first = order(&client, &key, &wanted(&names, Kind::Http01), &answers).await.unwrap();
    assert_eq!(client.renewal(&first.chain).await, Ok(None), "a certificate that it does not know");
    let second = Wanted { replaces: Some(&first.chain), ..wanted(&names, Kind::Http01) };
    let issued = order(&client, &key, &second, &answers).await.unwrap();
    pebble.verify(&issued, "a.example").await;
    let payloads = PAYLOADS.lock().unwrap();
    let replaced: Vec<_> = payloads.iter().map(|payload| payload["replaces"].is_string()).collect();
    assert_eq!(replaced, [false, true, false]);
    assert_eq!(answers.begun(), (vec![false, true, false], 1), "the one that was refused is none");
}

#[tokio::test]
async fn a_profile_is_asked_for_where_the_ca_has_it() {
    static PAYLOADS: Mutex<Vec<Value>> = Mutex::new(Vec::new());
    let (pebble, key) = (Pebble::plain().await, key());
    let answers = Answers::start(pebble.place, &key).await;
    let front = Front::start(&pebble, Modern { replaces: true, payloads: &PAYLOADS }).await;
    let names = names(&["a.example"]);
    for (profile, asked, warnings) in [
        ("brief", json!("brief"), vec![]),
        (
            "swift",
            Value::Null,
            vec![r#"the CA has no profile "swift", so the order is without; it has: brief, classic"#],
        ),
    ] {
        let client = pebble.client_of(Authority { profile: Some(profile.into()), ..ca(front.directory()) });
        let issued = order(&client, &key, &wanted(&names, Kind::Http01), &answers).await.unwrap();
        assert_eq!(PAYLOADS.lock().unwrap().pop().unwrap()["profile"], asked, "{profile}");
        assert_eq!(issued.warnings, warnings);
    }
    let client = pebble.client_of(ca(front.directory()));
    let failure = client.renewal("nothing").await.expect_err("no certificate");
    assert_eq!(failure.kind, FailureKind::Local);
}
