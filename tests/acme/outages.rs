//! A CA that is away, slow, overloaded, or has forgotten us.

use std::{
    sync::atomic::{AtomicUsize, Ordering::Relaxed},
    time::Duration,
};

use anteroom::{
    acme::{Client, FailureKind, Kind, Limits},
    domain::time::Clock,
};
use rustls::RootCertStore;
use serde_json::Value;
use tokio::net::TcpListener;

use crate::{
    answers::Answers,
    front::{Answer, Ca, Front, Rule, answer},
    orders::{names, order, wanted},
    pebble::{LIMITS, Pebble, ca, directory_at, key},
};

#[tokio::test]
async fn a_ca_that_was_away_and_has_forgotten_the_account_is_used_again() {
    let (mut pebble, key) = (Pebble::plain().await, key());
    let (client, answers) = (pebble.client(), Answers::start(pebble.place, &key).await);
    let account = client.account(&key).await.unwrap();
    let names = names(&["a.example"]);
    pebble.stop();
    let failure = client.order(&account, &wanted(&names, Kind::Http01), &answers).await.expect_err("it is away");
    assert_eq!(failure.kind, FailureKind::Unreachable, "{failure}");
    assert!(failure.text.contains("there is no connection to the CA localhost"), "{failure}");
    // All that it knew was in its memory.
    pebble.start().await;
    let issued = client.order(&account, &wanted(&names, Kind::Http01), &answers).await.unwrap();
    pebble.verify(&issued, "a.example").await;
}

#[tokio::test]
async fn a_ca_that_is_not_trusted_is_not_spoken_to() {
    let pebble = Pebble::plain().await;
    let client = Client::with_limits(ca(pebble.directory()), RootCertStore::empty(), Clock::system(), LIMITS);
    let failure = client.account(&key()).await.expect_err("not trusted");
    assert_eq!(failure.kind, FailureKind::Unreachable);
    assert!(failure.text.contains("UnknownIssuer"), "{failure}");
}

#[tokio::test]
async fn a_ca_that_does_not_answer_is_given_up() {
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let limits = Limits { request: Duration::from_millis(200), ..LIMITS };
    let directory = directory_at(silent.local_addr().unwrap());
    let client = Client::with_limits(ca(directory), RootCertStore::empty(), Clock::system(), limits);
    let failure = client.account(&key()).await.expect_err("no answer");
    assert_eq!(
        (failure.kind, failure.text.as_str()),
        (FailureKind::Unreachable, "the CA localhost does not answer in time")
    );
}

/// Answers requests whose path begins so, the first few times.
struct Instead {
    path: &'static str,
    times: AtomicUsize,
    make: fn() -> Answer,
}

impl Rule for Instead {
    fn instead(&self, path: &str, _: &Value) -> Option<Answer> {
        let is_meant = path.starts_with(self.path);
        let more = |left: usize| left.checked_sub(1);
        (is_meant && self.times.fetch_update(Relaxed, Relaxed, more).is_ok()).then(self.make)
    }
}

#[tokio::test]
async fn a_ca_in_trouble_is_told_from_one_that_refuses() {
    let (pebble, key) = (Pebble::plain().await, key());
    let answers = Answers::start(pebble.place, &key).await;
    let names = names(&["a.example"]);
    type Case = (&'static str, usize, fn() -> Answer, Option<(FailureKind, Option<u64>, &'static str)>);
    let cases: [Case; 8] = [
        ("/order-plz", 2, || answer(503, "text/html", "<h1>later</h1>"), None),
        ("/order-plz", 1, || problem(500, "serverInternal", "out of paper"), None),
        ("/my-order", 2, || answer(502, "text/html", "<h1>no</h1>"), None),
        (
            "/order-plz",
            9,
            || answer(502, "text/html", "<h1>no</h1>"),
            Some((FailureKind::Unreachable, None, "the CA answers 502 for the order")),
        ),
        (
            "/order-plz",
            9,
            || limited(problem(429, "rateLimited", "too many certificates")),
            Some((
                FailureKind::RateLimited,
                Some(7200),
                "the CA limits us for the order: too many certificates (rateLimited)",
            )),
        ),
        (
            "/order-plz",
            9,
            || limited(answer(429, "text/html", "slow down")),
            Some((FailureKind::RateLimited, Some(7200), "the CA limits requests for the order")),
        ),
        (
            "/order-plz",
            9,
            || problem(403, "rejectedIdentifier", "not this \u{7}name"),
            Some((FailureKind::Policy, None, "the CA refused for the order: not this ?name (rejectedIdentifier)")),
        ),
        (
            "/dir",
            9,
            || answer(200, "application/json", vec![b' '; 2 << 20]),
            Some((FailureKind::Unreachable, None, "the CA localhost sends an answer that is too long")),
        ),
    ];
    for (nth, (path, times, make, expected)) in cases.into_iter().enumerate() {
        let front = Front::start(&pebble, Instead { path, times: times.into(), make }).await;
        let client = pebble.client_of(ca(front.directory()));
        let done = order(&client, &key, &wanted(&names, Kind::Http01), &answers).await;
        let failure = done
            .as_ref()
            .err()
            .map(|failure| (failure.kind, failure.retry_after.map(|wait| wait.as_secs()), failure.text.as_str()));
        assert_eq!(failure, expected, "case {nth}");
        if failure.is_some_and(|(kind, ..)| matches!(kind, FailureKind::RateLimited | FailureKind::Policy)) {
            assert_eq!(front.count(path), 1, "it is not pressed: case {nth}");
        }
    }
}

fn problem(status: u16, name: &str, detail: &str) -> Answer {
    let body = serde_json::json!({ "type": format!("urn:ietf:params:acme:error:{name}"), "detail": detail });
    answer(status, "application/problem+json", body.to_string())
}

fn limited(mut answer: Answer) -> Answer {
    answer.headers_mut().insert("retry-after", "7200".parse().unwrap());
    answer
}

/// Loses the first answer of pebble to requests whose path begins so.
struct Lost {
    path: &'static str,
    times: AtomicUsize,
}

impl Rule for Lost {
    fn after(&self, path: &str, _: &Value, told: Answer) -> Answer {
        let more = |left: usize| left.checked_sub(1);
        let is_lost = path.starts_with(self.path) && self.times.fetch_update(Relaxed, Relaxed, more).is_ok();
        if is_lost { answer(504, "text/html", "<h1>gone</h1>") } else { told }
    }
}

#[tokio::test]
async fn an_answer_that_got_lost_does_not_end_an_order() {
    let (pebble, key) = (Pebble::plain().await, key());
    let answers = Answers::start(pebble.place, &key).await;
    for (nth, path) in ["/finalize-order", "/chalZ", "/authZ", "/certZ", "/sign-me-up"].into_iter().enumerate() {
        let front = Front::start(&pebble, Lost { path, times: 1.into() }).await;
        let client = pebble.client_of(ca(front.directory()));
        // Another one each time: pebble takes one of a hundred names that were proved as proved even where it is to take none.
        let name = format!("{nth}.example");
        let issued = order(&client, &key, &wanted(&names(&[&name]), Kind::Http01), &answers).await;
        let issued = issued.unwrap_or_else(|failure| panic!("{path}: {failure}"));
        pebble.verify(&issued, &name).await;
        assert_eq!(front.count("/order-plz"), 1, "one order: {path}");
        assert!(front.count(path) >= 2, "it was asked again: {path}");
    }
}
