//! Checks of names that fail, in the CA's words.

use anteroom::acme::{Failure, FailureKind, Kind, Shown, Work};

use crate::{
    answers::Answers,
    front::{Front, Rule},
    orders::{names, order, wanted},
    pebble::{Pebble, ca, key},
};

#[tokio::test]
async fn a_check_that_fails_tells_the_reason() {
    let (pebble, key) = (Pebble::plain().await, key());
    let client = pebble.client();
    // Another gateway answers at the name.
    let answers = Answers::start_with(pebble.place, |token| format!("{token}.of-another-account")).await;
    let names = names(&["a.example"]);
    let failure = order(&client, &key, &wanted(&names, Kind::Http01), &answers).await.expect_err("a wrong answer");
    assert_eq!(failure.kind, FailureKind::Name, "{failure}");
    assert!(failure.text.starts_with("the CA's check failed: "), "{failure}");
    assert!(failure.text.contains("of-another-account"), "{failure}");
    assert_eq!(failure.problem, "unauthorized");
    assert_eq!((answers.shown(), answers.saved().len()), (answers.hidden(), 0), "nothing stays, nothing is kept");

    // Nothing answers there.
    answers.stop().await;
    let silent = Nothing;
    let account = client.account(&key).await.unwrap();
    for (kind, problem) in
        [(Kind::Http01, "connection"), (Kind::TlsAlpn01, "unauthorized"), (Kind::Dns01, "unauthorized")]
    {
        let failure = client.order(&account, &wanted(&names, kind), &silent).await.expect_err("no answer");
        assert_eq!((failure.kind, failure.problem.as_str()), (FailureKind::Name, problem), "{kind:?}: {failure}");
    }
}

#[tokio::test]
async fn an_answer_that_cannot_be_shown_ends_the_order_with_its_reason() {
    let (pebble, key) = (Pebble::plain().await, key());
    let client = pebble.client();
    let account = client.account(&key).await.unwrap();
    let names = names(&["*.a.example"]);
    let hook = Broken { at_show: true };
    let failure = client.order(&account, &wanted(&names, Kind::Dns01), &hook).await.expect_err("the hook fails");
    assert_eq!(failure.kind, FailureKind::Local);
    assert_eq!(failure.text, "the answer to the challenge cannot be shown: the hook says no");
}

#[tokio::test]
async fn without_a_record_of_the_order_no_certificate_is_asked_for() {
    let (pebble, key) = (Pebble::plain().await, key());
    let client = pebble.client();
    let _answers = Answers::start(pebble.place, &key).await;
    let account = client.account(&key).await.unwrap();
    let names = names(&["a.example"]);
    let store = Broken { at_show: false };
    let failure = client.order(&account, &wanted(&names, Kind::Http01), &store).await.expect_err("the store fails");
    assert_eq!(failure.text, "the order cannot be kept: the store is away");
}

#[tokio::test]
async fn an_order_that_its_owner_does_not_allow_is_not_placed() {
    let (pebble, key) = (Pebble::plain().await, key());
    let front = Front::start(&pebble, Plain).await;
    let client = pebble.client_of(ca(front.directory()));
    let account = client.account(&key).await.unwrap();
    let names = names(&["a.example"]);
    let failure = client.order(&account, &wanted(&names, Kind::Http01), &Spent).await.expect_err("no budget");
    assert_eq!((failure.kind, failure.text.as_str()), (FailureKind::RateLimited, "nothing is left"));
    assert_eq!(front.count("/order-plz"), 0);
}

/// Allows no order.
struct Spent;

impl Work for Spent {
    async fn begin(&self, _: bool) -> Result<(), Failure> {
        Err(Failure::new(FailureKind::RateLimited, "nothing is left"))
    }

    async fn not_begun(&self) {
        panic!("none was begun");
    }

    async fn show(&self, _: &Shown) -> Result<(), String> {
        Ok(())
    }

    async fn hide(&self, _: &Shown) {}

    async fn save(&self, _: &anteroom::acme::Progress) -> Result<(), String> {
        Ok(())
    }
}

/// A proxy that counts.
struct Plain;

impl Rule for Plain {}

/// Shows nothing.
struct Nothing;

impl Work for Nothing {
    async fn show(&self, _: &Shown) -> Result<(), String> {
        Ok(())
    }

    async fn hide(&self, _: &Shown) {}

    async fn save(&self, _: &anteroom::acme::Progress) -> Result<(), String> {
        Ok(())
    }
}

/// Fails.
struct Broken {
    at_show: bool,
}

impl Work for Broken {
    async fn show(&self, _: &Shown) -> Result<(), String> {
        if self.at_show { Err("the hook says\nno".into()) } else { Ok(()) }
    }

    async fn hide(&self, _: &Shown) {}

    async fn save(&self, _: &anteroom::acme::Progress) -> Result<(), String> {
        Err("the store is away".into())
    }
}
