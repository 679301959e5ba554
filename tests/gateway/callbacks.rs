//! Callbacks of servers: taken in at the gateway's own addresses, and given out with the tenant's ids and signature.

use std::{collections::HashSet, time::Duration};

use anteroom_bench::{
    sign::{Jwt, jwt},
    sim,
};
use futures_util::future::join_all;
use http::{Method, Request};
use jsonwebtoken::{Algorithm, DecodingKey, Validation, decode};
use serde_json::{Value, json};
use sqlx::Connection as _;

use crate::support::{
    Plan, Reply, Stage, eventually, host,
    receiver::{Received, Receiver},
    secret,
};

/// Of Greenlight.
const ENDED: &str = "https://wagtail.localhost/meeting_ended?x=1";
const READY: &str = "https://wagtail.localhost/recording_ready";
const ANALYTICS: &str = "https://wagtail.localhost/analytics";

/// Tenants `wagtail` and `heron` on a server that calls the gateway; `receiver` is the frontend of `wagtail`.
async fn stage(receiver: &Receiver) -> Stage {
    stage_of(receiver, sim::Config::default()).await
}

/// The same with settings of the server.
async fn stage_of(receiver: &Receiver, config: sim::Config) -> Stage {
    let frontend = format!("frontend = \"http://{}\"", receiver.address);
    let plan = Plan::new().server_with("members", config).tenant_with("wagtail", "multi-account", &frontend);
    let stage = plan.tenant("heron", "multi-account").start().await;
    let ca = stage.path("dev-ca/ca.pem");
    stage.sims[0].route_callbacks(sim::CallbackRoute { address: stage.address, ca });
    stage
}

async fn create(stage: &Stage, more: &[(&str, &str)]) -> Reply {
    let params = [&[("name", "room"), ("meetingID", "room"), ("record", "true")], more].concat();
    let created = stage.api("wagtail", "create", &params).await;
    assert_eq!(created.xml("returncode"), "SUCCESS", "{}", created.body);
    created
}

/// What the server was told for a parameter.
fn told(stage: &Stage, name: &str) -> Option<String> {
    stage.on_server("wagtail", "room").unwrap().params.get(name).cloned()
}

/// The path of an address of the gateway's.
fn path(address: &str) -> &str {
    address.strip_prefix("https://wagtail.localhost").unwrap()
}

/// What a JWT says that this secret has signed.
fn claims(token: &str, algorithm: Algorithm, secret: &str) -> Option<Value> {
    let mut validation = Validation::new(algorithm);
    validation.required_spec_claims = HashSet::new();
    decode(token, &DecodingKey::from_secret(secret.as_bytes()), &validation).ok().map(|token| token.claims)
}

async fn received(receiver: &Receiver, n: usize) -> Vec<Received> {
    eventually(&format!("{n} callbacks have come"), async || receiver.calls().len() >= n).await;
    receiver.calls()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_end_of_a_meeting_is_told_once_with_the_tenants_own_id() {
    let receiver = Receiver::start().await;
    let stage = stage(&receiver).await;
    let other = "https://wagtail.localhost/other";
    create(&stage, &[("meta_endCallbackUrl", ENDED), ("meetingEndedURL", other)]).await;
    assert_eq!(told(&stage, "meta_endcallbackurl"), None, "clients see it");
    let own = told(&stage, "meetingEndedURL").unwrap();
    assert!(own.starts_with("https://wagtail.localhost/.anteroom/callback/ended/"), "{own}");
    // Asked for once more, as integrations do with each join.
    create(&stage, &[("meta_endCallbackUrl", ENDED), ("meetingEndedURL", other)]).await;
    assert_eq!(told(&stage, "meetingEndedURL").as_deref(), Some(&*own));

    stage.sims[0].press_record("t.wagtail.room");
    stage.api("wagtail", "end", &[("meetingID", "room")]).await;
    let mut targets: Vec<_> = received(&receiver, 2).await.iter().map(|seen| seen.target.clone()).collect();
    targets.sort();
    assert_eq!(
        targets,
        ["/meeting_ended?x=1&recordingmarks=true&meetingID=room", "/other?recordingmarks=true&meetingID=room"]
    );
    let seen = &receiver.calls()[0];
    assert_eq!((seen.header("host"), seen.header("x-forwarded-proto")), ("wagtail.localhost", "https"));
    eventually("the server has its answer", async || !stage.sims[0].callbacks().is_empty()).await;
    assert_eq!(stage.sims[0].callbacks()[0].answers, [Some(200)]);

    // Its server does not know that it was heard, and tells once more.
    let again = format!("{}?recordingmarks=true&meetingID=t.wagtail.room", path(&own));
    assert_eq!(stage.client().get(&host("wagtail"), &again).await.status, 200);
    create(&stage, &[("meetingEndedURL", other)]).await;
    assert_ne!(told(&stage, "meetingEndedURL").as_deref(), Some(&*own), "another run");
    stage.sims[0].end_meeting("t.wagtail.room");
    let seen = received(&receiver, 3).await;
    assert_eq!(seen[2].target, "/other?recordingmarks=false&meetingID=room");
    let delivered = async || stage.metric("anteroom_callbacks_total", &["event=\"delivered\""]).await == 3;
    eventually("all are written down", delivered).await;
    assert_eq!(receiver.calls().len(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_recording_is_told_signed_by_the_tenant_and_again_when_it_is_rebuilt() {
    let receiver = Receiver::start().await;
    // Recordings take three minutes.
    let stage = stage_of(&receiver, sim::Config { speed: 60.0, ..sim::Config::default() }).await;
    create(&stage, &[("meta_bbb-recording-ready-url", READY)]).await;
    stage.joined("wagtail", "room", "Ada").await;
    stage.sims[0].press_record("t.wagtail.room");
    stage.api("wagtail", "end", &[("meetingID", "room")]).await;
    let recording = stage.sims[0].recordings()[0].record_id.clone();
    let seen = received(&receiver, 1).await.remove(0);
    assert_eq!(seen.target, "/recording_ready");
    let token = String::from_utf8(seen.body.to_vec()).unwrap();
    let token = token.strip_prefix("signed_parameters=").unwrap();
    let said = json!({ "meeting_id": "room", "record_id": recording });
    assert_eq!(claims(token, Algorithm::HS256, &secret("wagtail")), Some(said));
    for others in ["bbb-01-secret", &secret("heron")] {
        assert_eq!(claims(token, Algorithm::HS256, others), None, "{others}");
    }
    eventually("it is written down", async || stage.metric("anteroom_callbacks_total", &["delivered"]).await == 1)
        .await;
    assert!(stage.sims[0].rebuild(&recording));
    assert_eq!(received(&receiver, 2).await[1].target, "/recording_ready");
}

#[tokio::test(flavor = "multi_thread")]
async fn analytics_are_told_with_the_tenants_ids_and_a_bearer_of_its_secret() {
    let receiver = Receiver::start().await;
    let stage = stage(&receiver).await;
    create(&stage, &[("meta_analytics-callback-url", ANALYTICS), ("meetingKeepEvents", "true")]).await;
    let id = stage.on_server("wagtail", "room").unwrap().int_id;
    stage.api("wagtail", "end", &[("meetingID", "room")]).await;
    let seen = received(&receiver, 1).await.remove(0);
    let body: Value = serde_json::from_slice(&seen.body).unwrap();
    assert_eq!((&body["meeting_id"], &body["internal_meeting_id"]), (&json!("room"), &json!(id)));
    assert_eq!(body["data"]["metadata"]["analytics_callback_url"], ANALYTICS);
    assert!(!String::from_utf8_lossy(&seen.body).contains("t.wagtail"), "{body}");
    let token = seen.header("authorization").strip_prefix("Bearer ").unwrap();
    assert!(claims(token, Algorithm::HS512, &secret("wagtail")).unwrap()["exp"].is_u64());
    assert_eq!(claims(token, Algorithm::HS512, "bbb-01-secret"), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_no_server_has_said_of_this_meeting_is_refused() {
    let receiver = Receiver::start().await;
    let stage = stage(&receiver).await;
    let quiz = "https://wagtail.localhost/quiz";
    create(
        &stage,
        &[("meetingEndedURL", ENDED), ("meta_bbb-recording-ready-url", READY), ("meta_quiz-callback-url", quiz)],
    )
    .await;
    let ended = told(&stage, "meetingEndedURL").unwrap();
    let ready = told(&stage, "meta_bbb-recording-ready-url").unwrap();
    let client = stage.client();
    let code = path(&ready).rsplit('/').next().unwrap();
    let not_another = format!("/.anteroom/callback/ended/{code}");
    for (tenant, target, expected) in [
        ("wagtail", format!("{}?recordingmarks=true&meetingID=t.wagtail.other", path(&ended)), 404),
        ("wagtail", format!("{}?recordingmarks=true", path(&ended)), 401),
        ("heron", format!("{}?recordingmarks=true&meetingID=t.wagtail.room", path(&ended)), 404),
        ("wagtail", format!("{not_another}?recordingmarks=true&meetingID=t.wagtail.room"), 404),
        ("wagtail", "/.anteroom/callback/ended/0a?meetingID=t.wagtail.room".to_owned(), 404),
        ("wagtail", path(&ready).to_owned(), 405),
    ] {
        assert_eq!(client.get(&host(tenant), &target).await.status, expected, "{target}");
    }
    let form = "application/x-www-form-urlencoded";
    let said = |meeting: &str| json!({ "meeting_id": meeting, "record_id": "r" });
    for (what, tenant, token, expected) in [
        ("the tenant's own secret", "wagtail", jwt(Jwt::Hs256, &said("t.wagtail.room"), &secret("wagtail")), 401),
        ("another tenant's secret", "wagtail", jwt(Jwt::Hs256, &said("t.wagtail.room"), &secret("heron")), 401),
        ("another meeting", "wagtail", jwt(Jwt::Hs256, &said("t.wagtail.other"), "bbb-01-secret"), 404),
        ("another tenant", "heron", jwt(Jwt::Hs256, &said("t.wagtail.room"), "bbb-01-secret"), 404),
        ("no token", "wagtail", String::new(), 401),
    ] {
        let body = format!("signed_parameters={token}");
        assert_eq!(client.post(&host(tenant), path(&ready), form, body).await.status, expected, "{what}");
    }
    assert_eq!(client.post(&host("wagtail"), path(&ready), "application/json", "{}").await.status, 401);
    let large = format!("x={}", "x".repeat(1024 * 1024));
    assert_eq!(client.post(&host("wagtail"), path(&ready), form, large).await.status, 413);
    assert_eq!(receiver.calls().len(), 0);
    // What is not one of BBB's own has its callback all the same.
    let token = jwt(Jwt::Hs256, &said("t.wagtail.room"), "bbb-01-secret");
    let address = told(&stage, "meta_quiz-callback-url").unwrap();
    let body = format!("signed_parameters={token}");
    assert_eq!(client.post(&host("wagtail"), path(&address), form, body).await.status, 200);
    assert_eq!(received(&receiver, 1).await[0].target, "/quiz");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_that_participants_see_vouches_for_nothing() {
    let receiver = Receiver::start().await;
    let frontend = format!("frontend = \"http://{}\"", receiver.address);
    let plan = Plan::new().server_like("members", "[rates]\nwrong_checksums = 5\n");
    let stage = plan.tenant_with("wagtail", "multi-account", &frontend).start().await;
    create(&stage, &[("meta_bbb-recording-ready-url", READY), ("meta_analytics-callback-url", ANALYTICS)]).await;
    let ready = told(&stage, "meta_bbb-recording-ready-url").unwrap();
    let analytics = told(&stage, "meta_analytics-callback-url").unwrap();
    let (client, host, form) = (stage.client(), host("wagtail"), "application/x-www-form-urlencoded");
    let above = format!("x={}", "x".repeat(64 * 1024));
    assert_eq!(client.post(&host, path(&ready), form, above).await.status, 413);
    // Its bearer is looked at before its body.
    let above = "x".repeat(1024 * 1024 + 1);
    assert_eq!(client.post(&host, path(&analytics), "application/json", above.clone()).await.status, 401);
    let with_bearer = |secret: &str| {
        let token = jwt(Jwt::Hs512, &json!({}), secret);
        let request = Request::builder().method(Method::POST).uri(path(&analytics));
        request.header("content-type", "application/json").header("authorization", format!("Bearer {token}"))
    };
    let of_tenant = with_bearer(&secret("wagtail"));
    assert_eq!(client.send_body(&host, of_tenant, above.clone().into()).await.status, 401);
    assert_eq!(client.send_body(&host, with_bearer("bbb-01-secret"), above.into()).await.status, 413);
    let guesses = join_all((0..100).map(|_| client.post(&host, path(&ready), form, "signed_parameters=a.b.c"))).await;
    assert!(guesses.iter().any(|reply| reply.status == 429));
    assert!(guesses.iter().all(|reply| matches!(reply.status.as_u16(), 401 | 429)));
    let token = jwt(Jwt::Hs256, &json!({ "meeting_id": "t.wagtail.room", "record_id": "r" }), "bbb-01-secret");
    let good = client.post(&host, path(&ready), form, format!("signed_parameters={token}")).await;
    assert_eq!(good.status, 200, "what does not fail goes on");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_that_may_not_be_called_is_left_out() {
    let receiver = Receiver::start().await;
    let stage = stage(&receiver).await;
    for address in [
        "http://10.0.0.1/x",
        "https://heron.localhost/x",
        "https://localhost/x",
        "ftp://school.example/x",
        "https://user:word@wagtail.localhost/x",
        "",
    ] {
        for name in ["meetingEndedURL", "meta_endCallbackUrl", "meta_X-Callback-Url"] {
            create(&stage, &[(name, address)]).await;
            for given in ["meetingEndedURL", "meta_endcallbackurl", "meta_x-callback-url"] {
                assert_eq!(told(&stage, given), None, "{name} {address}");
            }
            stage.api("wagtail", "end", &[("meetingID", "room")]).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_level_may_drop_callbacks() {
    let receiver = Receiver::start().await;
    let frontend = format!("frontend = \"http://{}\"---[create]\nmeetingEndedURL = \"drop\"\n", receiver.address);
    let plan = Plan::new().server("members").tenant_with("wagtail", "multi-account", &frontend);
    let stage = plan.start().await;
    create(&stage, &[("meetingEndedURL", ENDED), ("meta_bbb-recording-ready-url", READY)]).await;
    assert_eq!(told(&stage, "meetingEndedURL"), None);
    assert!(told(&stage, "meta_bbb-recording-ready-url").is_some());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_server_of_a_meeting_alone_signs_what_is_said_of_it() {
    let receiver = Receiver::start().await;
    let frontend = format!("frontend = \"http://{}\"", receiver.address);
    let plan = Plan::new().server("members").server("members").tenant_with("wagtail", "multi-account", &frontend);
    let stage = plan.start().await;
    create(&stage, &[("meta_bbb-recording-ready-url", READY), ("meta_analytics-callback-url", ANALYTICS)]).await;
    let (own, other) = match stage.sims[0].meetings().len() {
        1 => ("bbb-01-secret", "bbb-02-secret"),
        _ => ("bbb-02-secret", "bbb-01-secret"),
    };
    let addresses =
        ["meta_bbb-recording-ready-url", "meta_analytics-callback-url"].map(|name| told(&stage, name).unwrap());
    let [ready, analytics] = addresses.each_ref().map(|address| path(address));
    let (client, host) = (stage.client(), host("wagtail"));
    let said = |meeting: &str| json!({ "meeting_id": meeting, "record_id": "r" });
    for (what, meeting, secret, expected) in [
        ("another server of the tenant", "t.wagtail.room", other, 401),
        ("another meeting of its server", "t.wagtail.other", own, 404),
        ("its server", "t.wagtail.room", own, 200),
    ] {
        let form = format!("signed_parameters={}", jwt(Jwt::Hs256, &said(meeting), secret));
        let reply = client.post(&host, ready, "application/x-www-form-urlencoded", form).await;
        assert_eq!(reply.status, expected, "{what}");
        let bearer = format!("Bearer {}", jwt(Jwt::Hs512, &json!({}), secret));
        let reply = json_call(&stage, analytics, &bearer, said(meeting).to_string()).await;
        assert_eq!(reply.status, expected, "{what}, in JSON");
    }
    let signed = format!("Bearer {}", jwt(Jwt::Hs512, &json!({}), own));
    let expired = format!("Bearer {}", jwt(Jwt::Hs512, &json!({ "exp": 1 }), own));
    for (what, bearer, body) in [
        ("no JSON", &*signed, "{"),
        ("a bearer of yesterday", &expired, "{}"),
        ("another scheme", &signed.replace("Bearer", "Basic"), "{}"),
        ("no bearer", "", "{}"),
    ] {
        assert_eq!(json_call(&stage, analytics, bearer, body.to_owned()).await.status, 401, "{what}");
    }
    assert_eq!(received(&receiver, 2).await.len(), 2);
}

async fn json_call(stage: &Stage, path: &str, authorization: &str, body: String) -> Reply {
    let request = Request::builder().method(Method::POST).uri(path);
    let request = request.header("content-type", "application/json").header("authorization", authorization);
    stage.client().send_body(&host("wagtail"), request, body.into()).await
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_unsigned_is_refused_before_the_store_is_asked() {
    let receiver = Receiver::start().await;
    let stage = stage(&receiver).await;
    create(&stage, &[("meta_bbb-recording-ready-url", READY), ("meta_analytics-callback-url", ANALYTICS)]).await;
    // A store that fails is waited for.
    sqlx::query("ALTER TABLE callback_addresses RENAME TO away").execute(&mut store(&stage).await).await.unwrap();
    let ready = told(&stage, "meta_bbb-recording-ready-url").unwrap();
    let token = jwt(Jwt::Hs256, &json!({ "meeting_id": "t.wagtail.room" }), &secret("wagtail"));
    let (form, body) = ("application/x-www-form-urlencoded", format!("signed_parameters={token}"));
    assert_eq!(stage.client().post(&host("wagtail"), path(&ready), form, body).await.status, 401);
    let analytics = told(&stage, "meta_analytics-callback-url").unwrap();
    assert_eq!(json_call(&stage, path(&analytics), &format!("Bearer {token}"), "{}".to_owned()).await.status, 401);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_that_stops_waits_for_a_delivery_that_has_begun() {
    let receiver = Receiver::start().await;
    let mut stage = stage(&receiver).await;
    create(&stage, &[("meetingEndedURL", ENDED)]).await;
    let held = receiver.hold().await;
    stage.api("wagtail", "end", &[("meetingID", "room")]).await;
    received(&receiver, 1).await;
    let mut stopping = tokio::spawn(stage.app.take().unwrap().stop(Duration::from_millis(100)));
    tokio::select! {
        biased;
        _ = &mut stopping => panic!("it does not wait"),
        () = tokio::time::sleep(Duration::from_secs(2)) => {}
    }
    drop(held);
    stopping.await.unwrap();
    let states: Vec<String> =
        sqlx::query_scalar("SELECT state FROM callbacks").fetch_all(&mut store(&stage).await).await.unwrap();
    assert_eq!(states, ["delivered"]);
}

async fn store(stage: &Stage) -> sqlx::SqliteConnection {
    let url = format!("sqlite:{}", stage.path("var/anteroom.db").display());
    sqlx::SqliteConnection::connect(&url).await.unwrap()
}
