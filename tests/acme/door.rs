//! What clients notice while certificates are revoked, late, or of an authority that is away.

use std::{
    fs,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
};

use anteroom::domain::time::Clock;
use serde_json::{Value, json};
use tokio::time::timeout;
use x509_parser::prelude::{FromDer, X509Certificate};

use crate::{
    front::{Answer, Ca, Front, Plain, Rule, answer, changed},
    gateway::{Asking, Life, PATIENCE, acme, leaf, prepared, tenant},
    pebble::{self, Pebble},
    support::{DEADLINE, eventually_within, write},
};

const HOST: &str = "meet.wagtail.example";

#[tokio::test(flavor = "multi_thread")]
async fn a_host_whose_certificate_is_revoked_is_served_until_it_has_another_one() {
    let ca = Pebble::plain().await;
    let front = Front::start(&ca, Plain).await;
    let of_front = acme(&ca, &front.directory(), "");
    let life = Life::start(ca, &[HOST], &of_front).await;
    life.reaches(HOST, "active").await;
    let client = life.client().await;
    let (first, asking) = (leaf(&client, HOST).await, Asking::start(client.clone(), HOST));
    let (key, serial) = {
        let (_, first) = X509Certificate::from_der(&first).unwrap();
        (
            first.public_key().raw.to_vec(),
            first.raw_serial().iter().map(|byte| format!("{byte:02x}")).collect::<String>(),
        )
    };
    front.hold("/order-plz");
    life.command(&["domain", "revoke", HOST, "--reason", "key-compromise"]).await.unwrap();
    let status = life.ca.managed(&format!("/cert-status-by-serial/{serial}")).await.body;
    let status: Value = serde_json::from_str(&status).unwrap_or_else(|error| panic!("{error}: {status}"));
    assert_eq!((&status["Status"], &status["Reason"]), (&json!("Revoked"), &json!(1)), "{status}");
    eventually_within(PATIENCE, "another one is ordered", async || front.count("/order-plz") == 2).await;
    asking.more().await;
    assert_eq!(leaf(&client, HOST).await, first, "there is no other one yet");

    front.release();
    eventually_within(PATIENCE, "another one is served", async || leaf(&client, HOST).await != first).await;
    let second = leaf(&client, HOST).await;
    assert_ne!(X509Certificate::from_der(&second).unwrap().1.public_key().raw, key, "with another key");
    life.reaches(HOST, "active").await;
    assert_eq!(asking.failed().await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_first_hellos_of_a_host_wait_for_its_certificate_a_few_at_once_and_no_foreign_ones() {
    let ca = Pebble::plain().await;
    let front = Front::start(&ca, Plain).await;
    front.hold("/order-plz");
    let of_front = acme(&ca, &front.directory(), "on_demand_wait = \"30s\"");
    let life = Life::start(ca, &[HOST], &of_front).await;
    let client = life.client().await;
    let all: Vec<_> = (0..11)
        .map(|_| {
            let client = client.clone();
            tokio::spawn(async move { client.connect(HOST).await.map_err(|error| error.to_string()) })
        })
        .collect();
    let counted = async |result: &str| life.stage.metric("anteroom_first_hellos_total", &[result]).await;
    eventually_within(PATIENCE, "some wait and the others are refused", async || {
        (counted("waited").await, counted("refused").await) == (8, 3)
    })
    .await;
    let foreign = client.connect("unknown.example").await.unwrap_err().to_string();
    assert!(foreign.to_lowercase().contains("unrecognisedname"), "{foreign}");
    assert_eq!(counted("waited").await, 8, "a foreign name does not wait");

    front.release();
    let mut served = 0;
    for one in all {
        match one.await.unwrap() {
            Ok(_) => served += 1,
            Err(error) => assert!(error.to_lowercase().contains("unrecognisedname"), "{error}"),
        }
    }
    assert_eq!(served, 8);
    assert!(life.serves(HOST).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_first_hello_is_refused_when_the_authority_takes_longer_than_it_may_wait() {
    let ca = Pebble::plain().await;
    let front = Front::start(&ca, Plain).await;
    front.hold("/order-plz");
    let of_front = acme(&ca, &front.directory(), "on_demand_wait = \"1s\"");
    let life = Life::start(ca, &[HOST], &of_front).await;
    eventually_within(PATIENCE, "it is ordered", async || front.count("/order-plz") == 1).await;
    // The order would be held for ever.
    let client = life.client().await;
    let hello = timeout(DEADLINE, client.connect(HOST)).await.expect("it does not wait for the order");
    let refused = hello.unwrap_err().to_string();
    assert!(refused.to_lowercase().contains("unrecognisedname"), "{refused}");
    assert_eq!(life.stage.metric("anteroom_first_hellos_total", &["waited"]).await, 1);
    assert_eq!(life.show(HOST).await["state"], "ordering", "nothing but its own time ends the wait");
    front.release();
    life.reaches(HOST, "active").await;
    assert!(life.serves(HOST).await);
}

/// Wants certificates renewed at once, once it is told to.
struct Pressing(Arc<AtomicBool>);

impl Rule for Pressing {
    fn instead(&self, path: &str, _: &Value) -> Option<Answer> {
        path.strip_prefix("/renewal/")?;
        let (start, end) = match self.0.load(Relaxed) {
            true => ("2020-01-01T00:00:00Z", "2020-01-02T00:00:00Z"),
            false => ("2199-01-01T00:00:00Z", "2199-01-02T00:00:00Z"),
        };
        let window = json!({ "suggestedWindow": { "start": start, "end": end } });
        let mut told = answer(200, "application/json", window.to_string());
        told.headers_mut().insert("retry-after", "7200".parse().unwrap());
        Some(told)
    }

    fn after(&self, path: &str, _: &Value, told: Answer) -> Answer {
        if path != "/dir" {
            return told;
        }
        changed(told, |directory| {
            let nonce = directory["newNonce"].as_str().unwrap().to_owned();
            directory["renewalInfo"] = json!(nonce.replace("nonce-plz", "renewal"));
        })
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_request_fails_while_an_authority_is_away_for_long_and_what_waits_gets_its_certificate_then() {
    let ca = Pebble::plain().await;
    let presses = Arc::<AtomicBool>::default();
    let front = Front::start(&ca, Pressing(Arc::clone(&presses))).await;
    let budget = "[acme.budget]\norders_of_name = 100\nfailures_of_name = 100\n";
    let of_front = acme(&ca, &front.directory(), budget);
    let life = Life::start(ca, &[HOST], &of_front).await;
    life.reaches(HOST, "active").await;
    let client = life.client().await;
    let (first, asking) = (leaf(&client, HOST).await, Asking::start(client.clone(), HOST));

    front.set_away(true);
    presses.store(true, Relaxed);
    let other = "meet.plover.example";
    write(life.dir(), "tenants/plover.toml", &tenant(&[other], ""));
    for failures in 1..=3 {
        for host in [HOST, other] {
            // The pauses between tries are longer than a test.
            let before = failed(&life).await;
            eventually_within(PATIENCE, "it is tried again", async || {
                life.command(&["domain", "retry", host]).await.is_ok()
            })
            .await;
            eventually_within(PATIENCE, "one more try has failed", async || failed(&life).await > before).await;
            let shown = life.reaches(host, "failing").await;
            assert!(shown["reason"].as_str().unwrap().contains("localhost"), "{failures}: {shown}");
            assert!(shown["next_at"].is_string(), "{shown}");
            asking.more().await;
        }
    }
    assert_eq!(leaf(&client, HOST).await, first);
    assert!(client.connect(other).await.is_err(), "there is none for it");

    front.set_away(false);
    for host in [HOST, other] {
        life.command(&["domain", "retry", host]).await.unwrap();
        eventually_within(PATIENCE, "it has another one", async || {
            client.connect(host).await.is_ok() && leaf(&client, host).await != first
        })
        .await;
    }
    presses.store(false, Relaxed);
    life.reaches(HOST, "active").await;
    life.reaches(other, "active").await;
    assert_eq!(asking.failed().await, 0);
}

/// How many orders have failed.
async fn failed(life: &Life) -> u64 {
    life.stage.metric("anteroom_certificate_orders_total", &["outcome=\"failed\""]).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_that_expires_while_its_renewal_fails_is_shown_as_expired_with_the_reason() {
    let ca = pebble::Plan::default().validity(16).start().await;
    let front = Front::start(&ca, Plain).await;
    let of_front = acme(&ca, &front.directory(), "");
    let life = Life::start(ca, &[HOST], &of_front).await;
    life.reaches(HOST, "active").await;
    front.set_away(true);
    let shown = life.reaches(HOST, "expired").await;
    assert!(shown["reason"].as_str().unwrap().contains("localhost"), "{shown}");
    assert!(shown["next_at"].is_string() && shown["failures"].as_u64() > Some(0), "{shown}");
    let listed = life.command(&["domain", "list", "--state", "expired", "--format", "json"]).await.unwrap();
    assert!(listed.to_string().contains(HOST), "{listed}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_of_the_operator_that_expires_is_replaced_by_an_ordered_one_without_a_reload() {
    let ca = Pebble::plain().await;
    let mut params = rcgen::CertificateParams::new([HOST.to_owned()]).unwrap();
    let now = time::OffsetDateTime::from_unix_timestamp(Clock::system().now().as_secs()).unwrap();
    params.not_after = now + time::Duration::seconds(8);
    let key = rcgen::KeyPair::generate().unwrap();
    let chain = params.self_signed(&key).unwrap().pem();
    let plan = prepared(&[HOST])
        .file(&format!("certs/{HOST}/fullchain.pem"), &chain)
        .file(&format!("certs/{HOST}/privkey.pem"), &key.serialize_pem());
    let of_ca = acme(&ca, &ca.directory(), "");
    let life = Life::start_as(plan, ca, &of_ca).await;
    life.reaches(HOST, "active").await;
    assert!(life.serves(HOST).await);
    assert_eq!(fs::read_to_string(life.stage.path(&format!("certs/{HOST}/fullchain.pem"))).unwrap(), chain);
}
