//! What a gateway asks of its authority, by its configuration: when to renew, whose account, which profile and key.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use x509_parser::{
    prelude::{FromDer, X509Certificate},
    public_key::PublicKey,
};

use crate::{
    front::{Ca, Front, Plain},
    gateway::{Asking, Life, PATIENCE, acme, client, configured, leaf, prepared, reaches, tenant},
    pebble::Pebble,
    small_ca::{ID, KEY, SmallCa},
    support::{
        eventually_within,
        program::{Program, free_address},
    },
};

const HOST: &str = "meet.wagtail.example";
const DAY: i64 = 86_400;

/// The account of the operator at the small CA.
fn account(key: &str) -> String {
    format!("external_account = {{ id = \"{ID}\", key = \"{key}\" }}\nchallenges = [\"http-01\"]")
}

fn seconds(shown: &Value, key: &str) -> i64 {
    let text = shown[key].as_str().unwrap_or_else(|| panic!("no {key}: {shown}"));
    time::OffsetDateTime::parse(text, &time::format_description::well_known::Rfc3339).unwrap().unix_timestamp()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_is_renewed_when_the_authority_says_and_the_order_names_it() {
    // A day in the middle of 60: before the date by lifetime, which is after 40.
    let ca = SmallCa::start_with("renewalthreshold_pctg: 50\nrenewal_window_duration: 86400").await;
    let front = Front::start(&ca, Plain).await;
    let acme = acme(&ca, &front.directory(), &account(KEY));
    let mut life = Life::start(ca, &[HOST], &acme).await;
    let by_lifetime = life.reaches(HOST, "active").await;
    let days_left = |shown: &Value| (seconds(shown, "not_after") - seconds(shown, "renew_at")) / DAY;
    assert!(days_left(&by_lifetime) < 21, "{by_lifetime}");
    let client = life.client().await;
    let (first, asking) = (leaf(&client, HOST).await, Asking::start(client.clone(), HOST));
    life.command(&["domain", "retry", HOST]).await.unwrap();
    eventually_within(PATIENCE, "the window of the authority counts", async || {
        (28..=31).contains(&days_left(&life.show(HOST).await))
    })
    .await;
    assert_eq!(front.count("/acme/neworders"), 1, "and it is still to come");

    // The window is over by now.
    life.ca.start_again("renewalthreshold_pctg: 0\nrenewal_window_duration: 1").await;
    life.command(&["domain", "retry", HOST]).await.unwrap();
    eventually_within(PATIENCE, "another one is served", async || leaf(&client, HOST).await != first).await;
    life.reaches(HOST, "active").await;
    assert_eq!(asking.failed().await, 0, "it is served all the while");
    let replaced: Vec<bool> =
        front.payloads("/acme/neworders").iter().map(|order| order["replaces"].is_string()).collect();
    // This CA does not say that it has heard it: one more order is without.
    assert_eq!(replaced, [false, true, false]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_account_that_the_authority_does_not_take_is_shown_with_what_to_do() {
    let wrong = "d3Jvbmcga2V5IG9mIHRoZSBjdXN0b21lciBraWQtMSBoZXJl";
    let life = Life::plain(SmallCa::start().await, &[HOST], &account(wrong)).await;
    let shown = life.reaches(HOST, "failing").await;
    let reason = shown["reason"].as_str().unwrap();
    assert!(reason.contains(": the CA refused for the account: "), "{reason}");
    assert!(reason.ends_with("; check id and key of its external_account"), "{reason}");
    assert!(!reason.contains(wrong) && shown["next_at"].is_string(), "{shown}");

    let life = life.again(|_, text| text.replace(wrong, KEY)).await;
    life.command(&["domain", "retry", HOST]).await.unwrap();
    life.reaches(HOST, "active").await;
    assert!(life.serves(HOST).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_profile_is_asked_for_and_one_that_the_authority_lacks_is_warned_of() {
    let ca = SmallCa::start().await;
    let warning = "the CA has no profile \\\"swift\\\", so the order is without; it has: brief";
    for (profile, asked, warnings) in [("brief", json!("brief"), 0), ("swift", Value::Null, 1)] {
        let (dir, front) = (tempfile::tempdir().unwrap(), Front::start(&ca, Plain).await);
        let sims = prepared(&[HOST]).prepare(dir.path()).await;
        let more = format!("{}\nprofile = \"{profile}\"", account(KEY));
        let (admin, file) = (free_address(), dir.path().join("anteroom.toml"));
        let text = std::fs::read_to_string(&file).unwrap();
        std::fs::write(&file, configured(&text, &ca, admin, &acme(&ca, &front.directory(), &more))).unwrap();
        let program = Program::start(dir.path(), (ca.place().tls, admin)).await;
        reaches(dir.path(), HOST, "active").await;
        leaf(&client(&ca, dir.path(), program.https).await, HOST).await;
        let orders = front.payloads("/acme/neworders");
        assert_eq!((orders.len(), &orders[0]["profile"]), (1, &asked), "{profile}");
        let log = std::fs::read_to_string(dir.path().join("log.jsonl")).unwrap();
        let lines: Vec<&str> = log.lines().filter(|line| line.contains("not as it was asked for")).collect();
        assert_eq!(lines.len(), warnings, "{profile}: {lines:?}");
        assert!(lines.iter().all(|line| line.contains(warning) && line.contains("\"WARN\"")), "{lines:?}");
        drop((program, sims));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn each_host_has_the_kind_of_key_that_its_tenant_or_the_gateway_says() {
    for (usual, other) in [("ecdsa", "rsa"), ("rsa", "ecdsa")] {
        let ca = Pebble::plain().await;
        let hosts = ["meet.wagtail.example", "meet.plover.example"];
        let keys = BTreeMap::from([(hosts[0], usual), (hosts[1], other)]);
        let plan = prepared(&[hosts[0]])
            .file("tenants/plover.toml", &tenant(&[hosts[1]], &format!("certificate_key = \"{other}\"")));
        let acme = acme(&ca, &ca.directory(), &format!("key_type = \"{usual}\""));
        let life = Life::start_as(plan, ca, &acme).await;
        let client = life.client().await;
        for host in hosts {
            life.reaches(host, "active").await;
            let leaf = leaf(&client, host).await;
            let (_, leaf) = X509Certificate::from_der(&leaf).unwrap();
            let kind = match leaf.public_key().parsed().unwrap() {
                PublicKey::RSA(key) => format!("rsa {}", key.key_size()),
                PublicKey::EC(key) => format!("ecdsa {}", key.key_size()),
                other => format!("{other:?}"),
            };
            let expected = if keys[host] == "rsa" { "rsa 2048" } else { "ecdsa 256" };
            assert_eq!(kind, expected, "{host}, usually {usual}");
        }
    }
}
