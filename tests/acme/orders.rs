//! From names to certificates, and back.

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex, atomic::Ordering::Relaxed},
};

use anteroom::{
    acme::{AccountKey, Authority, Client, Failure, FailureKind, Issued, KeyKind, Kind, Progress, Reason, Wanted},
    domain::time::Clock,
    tls::certs::CertName,
};
use rustls::pki_types::{CertificateDer, pem::PemObject};
use serde_json::{Value, json};
use x509_parser::prelude::{FromDer, X509Certificate};

use crate::{
    answers::Answers,
    front::{Answer, Ca, Front, Rule},
    pebble::{Pebble, Plan, ca, external, key},
    support::eventually,
};

pub fn names(names: &[&str]) -> Vec<CertName> {
    names.iter().map(|name| name.parse().unwrap()).collect()
}

pub fn wanted(names: &[CertName], challenge: Kind) -> Wanted<'_> {
    Wanted { names, key: KeyKind::Ecdsa, challenge, replaces: None, resume: None }
}

/// An account is asked for, and a certificate.
pub async fn order(
    client: &Client,
    key: &AccountKey,
    wanted: &Wanted<'_>,
    answers: &Answers,
) -> Result<Issued, Failure> {
    let account = client.account(key).await?;
    client.order(&account, wanted, answers).await
}

/// The number of a certificate, as hexadecimal digits.
fn serial(issued: &Issued) -> String {
    let der = CertificateDer::from_pem_slice(issued.chain.as_bytes()).unwrap();
    let (_, leaf) = X509Certificate::from_der(&der).unwrap();
    leaf.tbs_certificate.raw_serial_as_string().replace(':', "")
}

#[tokio::test]
async fn names_are_proved_by_http_by_tls_and_by_dns() {
    let (pebble, key) = (Pebble::plain().await, key());
    let (client, answers) = (pebble.client(), Answers::start(pebble.place, &key).await);
    for (kind, names) in [
        (Kind::Http01, names(&["a.example", "B.example.", "b.example"])),
        (Kind::TlsAlpn01, names(&["c.example", "d.example"])),
        (Kind::Dns01, names(&["*.e.example", "e.example"])),
    ] {
        let begun = answers.shown().len();
        let issued = order(&client, &key, &wanted(&names, kind), &answers).await.unwrap();
        let asked: BTreeSet<_> = names.iter().map(ToString::to_string).collect();
        for name in &asked {
            pebble.verify(&issued, &name.replace('*', "www")).await;
        }
        assert_eq!(answers.shown().len() - begun, asked.len(), "each name once: {kind:?}");
        assert!(answers.shown()[begun..].iter().all(|shown| shown.kind == kind));
        assert_eq!(issued.lifetime().as_secs().div_ceil(24 * 3600), 90, "{issued:?}");
        assert!(issued.issuer.starts_with("Pebble Intermediate CA"), "{issued:?}");
        assert_eq!(issued.warnings, [""; 0]);
        // One intermediate; the root is not sent.
        assert_eq!(issued.chain.matches("BEGIN CERTIFICATE").count(), 2);
    }
    assert_eq!(answers.shown(), answers.hidden(), "nothing is left behind");
    assert_eq!(answers.saved().len(), 3);
}

#[tokio::test]
async fn a_certificate_has_a_key_of_the_kind_that_was_asked_for() {
    let (pebble, key) = (Pebble::plain().await, key());
    let (client, answers) = (pebble.client(), Answers::start(pebble.place, &key).await);
    for (kind, oid) in [(KeyKind::Rsa, "1.2.840.113549.1.1.1"), (KeyKind::Ecdsa, "1.2.840.10045.2.1")] {
        let names = names(&["a.example"]);
        let wanted = Wanted { key: kind, ..wanted(&names, Kind::Http01) };
        let issued = order(&client, &key, &wanted, &answers).await.unwrap();
        let der = CertificateDer::from_pem_slice(issued.chain.as_bytes()).unwrap();
        let (_, leaf) = X509Certificate::from_der(&der).unwrap();
        assert_eq!(leaf.public_key().algorithm.algorithm.to_id_string(), oid);
        pebble.verify(&issued, "a.example").await;
    }
}

#[tokio::test]
async fn many_orders_succeed_where_a_third_of_all_nonces_is_rejected() {
    let pebble = Plan::default().env("PEBBLE_WFE_NONCEREJECT", "33").start().await;
    let key = key();
    let (client, answers) = (pebble.client(), Answers::start(pebble.place, &key).await);
    for nth in 0..8 {
        let names = names(&[&format!("{nth}.a.example"), &format!("{nth}.b.example")]);
        let issued = order(&client, &key, &wanted(&names, Kind::Http01), &answers).await.unwrap();
        pebble.verify(&issued, &names[0].to_string()).await;
    }
}

#[tokio::test]
async fn a_name_that_was_proved_before_is_not_proved_again() {
    let pebble = Plan::default().env("PEBBLE_AUTHZREUSE", "100").start().await;
    let key = key();
    let (client, answers) = (pebble.client(), Answers::start(pebble.place, &key).await);
    for (asked, shown) in
        [(["a.example", "b.example"], 2), (["a.example", "c.example"], 3), (["a.example", "b.example"], 3)]
    {
        let names = names(&asked);
        let issued = order(&client, &key, &wanted(&names, Kind::Http01), &answers).await.unwrap();
        pebble.verify(&issued, asked[1]).await;
        assert_eq!(answers.shown().len(), shown, "{asked:?}");
    }
}

#[tokio::test]
async fn a_ca_that_takes_customers_only_takes_an_account_that_is_bound_to_one() {
    const KEY: &str = "zWNDZM6eQGHWpSRTPal5eIUYFTu7EajVIoguysqZ9wG44nMEtx3MUAsUDkMTQ12W";
    const OTHER: &str = "b10lLJs8l1GPIzsLP0s6pMt8O0XVGnfTaCeROxQM0BIt2XrJMDHJZBM5NuQmQJQH";
    let pebble = Plan::default().external_accounts(&[("kid-1", KEY)]).start().await;
    let key = key();
    let client_of =
        |external_account| pebble.client_of(anteroom::acme::Authority { external_account, ..ca(pebble.directory()) });
    for (external, kind) in [
        (None, FailureKind::Account),
        (external("kid-1", OTHER), FailureKind::Account),
        (external("kid-2", KEY), FailureKind::Account),
        (external("kid-1", "no key!"), FailureKind::Local),
    ] {
        let failure = client_of(external.clone()).account(&key).await.expect_err("not bound");
        assert_eq!(failure.kind, kind, "{external:?}: {failure}");
        assert!(!failure.text.contains(OTHER) && !failure.text.contains(KEY), "{failure}");
    }
    let bound = client_of(external("kid-1", KEY)).account(&key).await.unwrap();
    // It is known by its key now: the binding is not asked for again.
    let found = client_of(None).account(&key).await.unwrap();
    assert_eq!(found.id(), bound.id());
}

/// Notes the contacts that an account is changed to.
struct Changes(&'static Mutex<Vec<Value>>);

impl Rule for Changes {
    fn instead(&self, path: &str, payload: &Value) -> Option<Answer> {
        if path.starts_with("/my-account/") && payload["contact"].is_array() {
            self.0.lock().unwrap().push(payload["contact"].clone());
        }
        None
    }
}

#[tokio::test]
async fn contacts_of_an_account_are_changed_once_when_others_are_configured() {
    static TOLD: Mutex<Vec<Value>> = Mutex::new(Vec::new());
    let (pebble, key) = (Pebble::plain().await, key());
    let front = Front::start(&pebble, Changes(&TOLD)).await;
    for (contact, told) in [("first", 0), ("first", 0), ("second", 1), ("second", 1)] {
        let contact = vec![format!("mailto:{contact}@gateway.example")];
        let client = pebble.client_of(Authority { contact: contact.clone(), ..ca(front.directory()) });
        client.account(&key).await.unwrap();
        client.account(&key).await.unwrap();
        let told_now = TOLD.lock().unwrap().clone();
        assert_eq!(told_now.len(), told, "{contact:?}");
        assert!(told_now.iter().all(|one| *one == json!(contact)), "{told_now:?}");
    }
}

#[tokio::test]
async fn an_order_that_was_left_in_the_middle_is_finished_from_another_place() {
    let (pebble, key) = (Pebble::plain().await, key());
    let answers = Arc::new(Answers::start(pebble.place, &key).await);
    let names = names(&["a.example"]);
    answers.holds.store(true, Relaxed);
    let (client, own) = (pebble.client(), (Arc::clone(&answers), names.clone(), key.clone()));
    let task = tokio::spawn(async move {
        let (answers, names, key) = own;
        order(&client, &key, &wanted(&names, Kind::Http01), &answers).await
    });
    eventually("the progress is kept", async || !answers.saved().is_empty()).await;
    task.abort();
    assert!(task.await.unwrap_err().is_cancelled());

    answers.holds.store(false, Relaxed);
    let progress = answers.saved()[0].clone();
    let resumed = || Wanted { resume: Some(progress.clone()), ..wanted(&names, Kind::Http01) };
    let issued = order(&pebble.client(), &key, &resumed(), &answers).await.unwrap();
    pebble.verify(&issued, "a.example").await;
    assert_eq!(issued.key, progress.key, "the key that was kept");
    assert_eq!((answers.shown().len(), answers.saved().len()), (1, 1), "no order was begun");
    assert_eq!(answers.begun(), (vec![false], 0), "but the first one");
    // The answer got lost once more: the same certificate is there.
    let again = order(&pebble.client(), &key, &resumed(), &answers).await.unwrap();
    assert_eq!(serial(&again), serial(&issued));
}

#[tokio::test]
async fn a_new_order_is_begun_where_the_old_one_leads_nowhere() {
    let (pebble, key) = (Pebble::plain().await, key());
    let (client, answers) = (pebble.client(), Answers::start(pebble.place, &key).await);
    let [mine, others] = [names(&["a.example"]), names(&["b.example"])];
    let first = order(&client, &key, &wanted(&others, Kind::Http01), &answers).await.unwrap();
    let kept = answers.saved().remove(0);
    let foreign = pebble.client().account(&anteroom::acme::AccountKey::generate().unwrap()).await.unwrap();
    for (what, progress) in [
        ("no order", Progress { order: format!("{}nothing", kept.order), key: kept.key.clone() }),
        ("no address", Progress { order: "nothing".into(), key: kept.key.clone() }),
        ("no key", Progress { key: b"nothing".to_vec(), ..kept.clone() }),
        ("an order of other names", kept.clone()),
        ("an account's address", Progress { order: foreign.id().into(), key: kept.key.clone() }),
    ] {
        let wanted = Wanted { resume: Some(progress), ..wanted(&mine, Kind::Http01) };
        let issued =
            order(&client, &key, &wanted, &answers).await.unwrap_or_else(|failure| panic!("{what}: {failure}"));
        pebble.verify(&issued, "a.example").await;
        assert_ne!(serial(&issued), serial(&first), "{what}");
    }
    assert_eq!(answers.begun(), (vec![false; 6], 0), "each that was begun again counts");
}

#[tokio::test]
async fn a_certificate_is_revoked_once() {
    let (pebble, key) = (Pebble::plain().await, key());
    let (client, answers) = (pebble.client(), Answers::start(pebble.place, &key).await);
    let names = names(&["a.example"]);
    let issued = order(&client, &key, &wanted(&names, Kind::Http01), &answers).await.unwrap();
    let status = async || pebble.managed(&format!("/cert-status-by-serial/{}", serial(&issued))).await.body;
    assert!(status().await.contains(r#""Status": "Valid""#), "{}", status().await);
    let account = client.account(&key).await.unwrap();
    for _ in 0..2 {
        client.revoke(&account, &issued.chain, Reason::Superseded).await.unwrap();
    }
    let told = status().await;
    assert!(told.contains(r#""Status": "Revoked""#) && told.contains(r#""Reason": 4"#), "{told}");
    let failure = client.revoke(&account, "nothing", Reason::Superseded).await.expect_err("no certificate");
    assert_eq!(failure.kind, FailureKind::Local);
}

#[tokio::test]
async fn what_a_ca_offers_is_known_before_an_order() {
    let pebble = Pebble::plain().await;
    let client = pebble.client();
    assert_eq!(client.issuers().await.unwrap(), [""; 0], "pebble names none");
    let der = rcgen::generate_simple_self_signed(vec!["a.example".into()]).unwrap();
    assert_eq!(client.renewal(&der.cert.pem()).await, Ok(None), "and has no renewal information");
    let plain =
        anteroom::acme::Authority { directory: pebble.directory().replace("https", "http"), ..ca(String::new()) };
    let failure = Client::new(plain, pebble.roots(), Clock::system()).issuers().await.expect_err("not by plain HTTP");
    assert_eq!(failure.kind, FailureKind::Local, "{failure}");
}
