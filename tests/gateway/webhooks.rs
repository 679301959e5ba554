//! Webhooks: `hooks/*` of each tenant, and events with its own ids and signature.

use anteroom_bench::{
    sign::{self, Algorithm},
    sim::{self, Profile},
};
use futures_util::future::join_all;
use serde_json::{Value, json};

use crate::support::{
    Plan, Reply, Stage, eventually, host, plain_get,
    program::{Served, anteroom},
    receiver::{Received, Receiver},
    secret,
};

const FORM: &str = "application/x-www-form-urlencoded";
const ALL: &str = "https://wagtail.localhost/all?key=1";

/// Tenants `wagtail` and `heron` on a server that calls the gateway, each with a receiver as its frontend.
async fn stage(receivers: [&Receiver; 2], limits: &str) -> Stage {
    stage_of(receivers, limits, sim::Config::default()).await
}

/// The same with settings of the server.
async fn stage_of([ours, theirs]: [&Receiver; 2], limits: &str, config: sim::Config) -> Stage {
    let frontend = |receiver: &Receiver| format!("frontend = \"http://{}\"\n---[limits]\n{limits}", receiver.address);
    let plan = Plan::new().server_with("members", config).tenant_with("wagtail", "multi-account", &frontend(ours));
    let stage = plan.tenant_with("heron", "multi-account", &frontend(theirs)).start().await;
    let ca = stage.path("dev-ca/ca.pem");
    stage.sims[0].route_callbacks(sim::CallbackRoute { address: stage.address, ca });
    stage
}

/// The addresses of the hooks at the server.
async fn at_server(stage: &Stage) -> Vec<String> {
    let address = stage.sims[0].url().strip_prefix("http://").unwrap().parse().unwrap();
    // The oldest releases know this algorithm only.
    let query = sign::signed_query("hooks/list", &[], "bbb-01-secret", Algorithm::Sha1);
    let listed = plain_get(address, "bbb", &format!("/bigbluebutton/api/hooks/list?{query}")).await.body;
    let pieces = listed.split("<callbackURL><![CDATA[").skip(1);
    pieces.map(|piece| piece.split_once("]]>").unwrap().0.to_owned()).collect()
}

/// Registers a webhook, and waits until the server has the gateway's. Returns its id.
async fn register(stage: &Stage, tenant: &str, params: &[(&str, &str)]) -> String {
    let created = stage.api(tenant, "hooks/create", params).await;
    assert_eq!(created.xml("returncode"), "SUCCESS", "{}", created.body);
    eventually("the server has the gateway's hook", async || !at_server(stage).await.is_empty()).await;
    created.xml("hookID").to_owned()
}

fn key(reply: &Reply) -> String {
    assert_eq!(reply.status, 200, "{}", reply.body);
    assert_eq!(reply.xml("returncode"), "FAILED", "{}", reply.body);
    reply.xml("messageKey").to_owned()
}

/// The event of a call.
fn event(seen: &Received) -> Value {
    let field =
        |wanted: &str| form_urlencoded::parse(&seen.body).find(|(name, _)| name == wanted).unwrap().1.into_owned();
    assert!(field("timestamp").parse::<u64>().is_ok());
    let events: Value = serde_json::from_str(&field("event")).unwrap();
    assert_eq!(events.as_array().unwrap().len(), 1, "as bbb-webhooks has them");
    events[0].clone()
}

fn names(receiver: &Receiver) -> Vec<String> {
    receiver.calls().iter().map(|seen| event(seen)["data"]["id"].as_str().unwrap().to_owned()).collect()
}

/// Whether a secret has signed a call to this address.
fn is_signed(seen: &Received, url: &str, secret: &str) -> bool {
    let (_, checksum) = seen.target.rsplit_once("checksum=").unwrap();
    let body = std::str::from_utf8(&seen.body).unwrap();
    checksum == Algorithm::Sha1.hex(format!("{url}{body}{secret}").as_bytes())
}

/// Somebody joins and opens the client, and the meeting ends.
async fn meet(stage: &Stage, tenant: &str, room: &str) {
    assert_eq!(stage.create(tenant, room).await.xml("returncode"), "SUCCESS");
    let joined = stage.joined(tenant, room, "Ada").await;
    let _socket = stage.graphql(tenant, &joined).await.unwrap();
    assert_eq!(stage.api(tenant, "end", &[("meetingID", room)]).await.xml("returncode"), "SUCCESS");
}

#[tokio::test(flavor = "multi_thread")]
async fn hooks_are_created_listed_and_removed_as_bbb_webhooks_does() {
    let (ours, theirs) = (Receiver::start().await, Receiver::start().await);
    let stage = stage([&ours, &theirs], "").await;
    let api = async |call: &str, params: &[(&str, &str)]| stage.api("wagtail", call, params).await;
    let created = api("hooks/create", &[("callbackURL", ALL)]).await;
    let id = created.xml("hookID").to_owned();
    assert_eq!((created.xml("permanentHook"), created.xml("rawData")), ("false", "false"));
    let again = api("hooks/create", &[("callbackURL", ALL), ("meetingID", "room")]).await;
    assert_eq!((again.xml("returncode"), again.xml("hookID")), ("SUCCESS", &*id));
    assert_eq!(again.xml("messageKey"), "duplicateWarning");
    assert_eq!(again.xml("message"), "There is already a hook for this callback URL.");
    let events = "User-Joined,user-left";
    let of_room = [("callbackURL", "https://school.example/a&b"), ("meetingID", "room"), ("eventID", events)];
    let second = api("hooks/create", &of_room).await.xml("hookID").to_owned();
    assert_ne!(second, id);

    let listed = api("hooks/list", &[]).await.body;
    assert_eq!(listed.matches("<hook>").count(), 2, "{listed}");
    assert!(listed.contains(&format!("<hookID>{id}</hookID><callbackURL>{ALL}</callbackURL><permanentHook>")));
    assert!(listed.contains("<callbackURL>https://school.example/a&amp;b</callbackURL><meetingID>room</meetingID>"));
    assert!(listed.contains("<eventID>user-joined,user-left</eventID>"), "{listed}");
    for (meeting, n) in [("room", 2), ("other", 1)] {
        let listed = api("hooks/list", &[("meetingID", meeting)]).await.body;
        assert_eq!(listed.matches("<hook>").count(), n, "{meeting}: {listed}");
    }

    let removed = api("hooks/destroy", &[("hookID", &second)]).await;
    assert_eq!((removed.xml("returncode"), removed.xml("removed")), ("SUCCESS", "true"));
    for (call, params, expected) in [
        ("hooks/destroy", &[("hookID", &*second)][..], "destroyMissingHook"),
        ("hooks/destroy", &[], "missingParamHookID"),
        ("hooks/create", &[], "missingParamCallbackURL"),
        ("hooks/create", &[("callbackURL", "http://10.0.0.1/x")], "createHookError"),
        ("hooks/create", &[("callbackURL", "https://heron.localhost/x")], "createHookError"),
        ("hooks/create", &[("callbackURL", "https://x.example"), ("getRaw", "true")], "createHookError"),
        ("hooks/unknown", &[], "validationError"),
    ] {
        assert_eq!(key(&api(call, params).await), expected, "{call} {params:?}");
    }
    let client = stage.client();
    let wrong = client.get(&host("wagtail"), &sign::path("hooks/list", &[], &secret("heron"))).await;
    assert_eq!(wrong.xml("message"), "You did not pass the checksum security check.");
    let unsigned = client.get(&host("wagtail"), "/bigbluebutton/api/hooks/create?callbackURL=https://x.example").await;
    assert_eq!(key(&unsigned), "checksumError");
    assert_eq!(client.get(&host("wagtail"), "/bigbluebutton/api/hooks/ping").await.body, "bbb-webhooks API up!");
    let post = client.post(&host("wagtail"), &sign::path("hooks/list", &[], &secret("wagtail")), FORM, "").await;
    assert_eq!(post.status, 405);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hook_is_its_own_tenants() {
    let (ours, theirs) = (Receiver::start().await, Receiver::start().await);
    let stage = stage([&ours, &theirs], "webhooks = 1\n").await;
    let id = register(&stage, "wagtail", &[("callbackURL", ALL)]).await;
    assert!(!stage.api("heron", "hooks/list", &[]).await.body.contains("<hook>"));
    assert_eq!(key(&stage.api("heron", "hooks/destroy", &[("hookID", &id)]).await), "destroyMissingHook");
    let full = stage.api("wagtail", "hooks/create", &[("callbackURL", "https://x.example")]).await;
    assert_eq!(key(&full), "createHookError", "one is all that it may have");
    let other = register(&stage, "heron", &[("callbackURL", "https://heron.localhost/all")]).await;
    assert_eq!(key(&stage.api("wagtail", "hooks/destroy", &[("hookID", &other)]).await), "destroyMissingHook");
    assert_eq!(at_server(&stage).await.len(), 1, "one for all tenants");

    for (tenant, id) in [("wagtail", id), ("heron", other)] {
        assert!(!at_server(&stage).await.is_empty());
        assert_eq!(stage.api(tenant, "hooks/destroy", &[("hookID", &id)]).await.xml("removed"), "true");
    }
    eventually("the server has no hook of the gateway's", async || at_server(&stage).await.is_empty()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tenant_gets_its_own_events_with_its_own_ids_and_signature() {
    let (ours, theirs) = (Receiver::start().await, Receiver::start().await);
    let stage = stage([&ours, &theirs], "").await;
    let url_of_heron = "https://heron.localhost/all";
    register(&stage, "wagtail", &[("callbackURL", ALL)]).await;
    register(&stage, "heron", &[("callbackURL", url_of_heron)]).await;
    let own = at_server(&stage).await.remove(0);
    assert!(own.contains(".localhost") && own.contains("/.anteroom/hooks/"), "{own}");
    let passwords = [("moderatorPW", "mod-word"), ("attendeePW", "att-word"), ("meta_note", "heard")];
    let params = [&[("name", "room"), ("meetingID", "room")][..], &passwords].concat();
    assert_eq!(stage.api("wagtail", "create", &params).await.xml("returncode"), "SUCCESS");
    let internal = stage.on_server("wagtail", "room").unwrap().int_id;
    let joined = stage.joined("wagtail", "room", "Ada").await;
    let _socket = stage.graphql("wagtail", &joined).await.unwrap();
    meet(&stage, "heron", "room").await;
    stage.api("wagtail", "end", &[("meetingID", "room")]).await;

    let is_over = |receiver: &Receiver| names(receiver).iter().any(|name| name == "meeting-ended");
    eventually("both have ended", async || is_over(&ours) && is_over(&theirs)).await;
    assert!(names(&ours).contains(&"user-joined".to_owned()), "{:?}", names(&ours));
    let meeting = &event(&ours.calls()[0])["data"]["attributes"]["meeting"];
    assert_eq!(meeting["metadata"]["note"], "heard", "{meeting}");
    for (receiver, url, tenant, other) in
        [(&ours, ALL, "wagtail", "heron"), (&theirs, url_of_heron, "heron", "wagtail")]
    {
        for seen in receiver.calls() {
            let meeting = event(&seen)["data"]["attributes"]["meeting"].clone();
            assert_eq!(meeting["external-meeting-id"], "room");
            assert_eq!(meeting["internal-meeting-id"] == internal, tenant == "wagtail", "{meeting}");
            let body = String::from_utf8_lossy(&seen.body).into_owned();
            assert!(body.starts_with(&format!("domain={tenant}.localhost&event=")), "{body}");
            for kept in ["session-token", "mod-word", "att-word", "-pass", "ip-address", "bbb-01", "t.wagtail", other] {
                assert!(!body.contains(kept), "{kept}: {body}");
            }
            assert!(!body.contains(&joined.token));
            assert!(is_signed(&seen, url, &secret(tenant)), "{}", seen.target);
            for others in [secret(other), "bbb-01-secret".to_owned()] {
                assert!(!is_signed(&seen, url, &others));
            }
            assert_eq!(
                (seen.header("host"), seen.header("content-type").split(';').next()),
                (&*host(tenant), Some(FORM))
            );
        }
    }
    assert!(ours.calls().iter().all(|seen| seen.target.starts_with("/all?key=1&checksum=")));
    assert!(theirs.calls().iter().all(|seen| seen.target.starts_with("/all?checksum=")));
    let delivered = async || {
        stage.metric("anteroom_webhook_events_total", &["event=\"delivered\""]).await as usize
            == ours.calls().len() + theirs.calls().len()
    };
    eventually("all are written down", delivered).await;
    let answers: Vec<_> = stage.sims[0].hook_calls().into_iter().map(|call| call.answers).collect();
    assert!(answers.iter().all(|answers| *answers == [Some(200)]), "{answers:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hook_gets_the_events_of_its_meeting_and_of_its_types() {
    let (ours, theirs) = (Receiver::start().await, Receiver::start().await);
    let stage = stage([&ours, &theirs], "").await;
    let wanted = [("callbackURL", ALL), ("meetingID", "room"), ("eventID", "meeting-created,meeting-ended")];
    register(&stage, "wagtail", &wanted).await;
    meet(&stage, "wagtail", "other").await;
    meet(&stage, "wagtail", "room").await;
    eventually("it has ended", async || names(&ours).len() >= 2).await;
    // The calls of a server overtake one another.
    let mut names = names(&ours);
    names.sort();
    assert_eq!(names, ["meeting-created", "meeting-ended"]);
    let meetings: Vec<_> = ours.calls().iter().map(event).collect();
    assert!(meetings.iter().all(|event| event["data"]["attributes"]["meeting"]["external-meeting-id"] == "room"));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_level_allows_of_people_goes_out() {
    let chat = json!({ "chat-message": { "id": "1", "message": "psst" }, "chat-id": "MAIN-PUBLIC-GROUP-CHAT" });
    for (limits, allowed) in [("", false), ("webhook_addresses = true\nwebhook_content = true\n", true)] {
        let (ours, theirs) = (Receiver::start().await, Receiver::start().await);
        let stage = stage([&ours, &theirs], limits).await;
        register(&stage, "wagtail", &[("callbackURL", ALL)]).await;
        assert_eq!(stage.create("wagtail", "room").await.xml("returncode"), "SUCCESS");
        let joined = stage.joined("wagtail", "room", "Ada").await;
        let _socket = stage.graphql("wagtail", &joined).await.unwrap();
        assert!(stage.sims[0].tell_hooks("t.wagtail.room", "chat-group-message-sent", chat.clone()));
        stage.api("wagtail", "end", &[("meetingID", "room")]).await;
        eventually("it has ended", async || names(&ours).contains(&"meeting-ended".to_owned())).await;
        let said: String = ours.calls().iter().map(|seen| event(seen).to_string()).collect();
        assert_eq!((said.contains("psst"), said.contains("user-agent")), (allowed, allowed), "{said}");
        assert!(!said.contains("session-token"), "{said}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn hooks_of_others_at_a_server_are_left_alone() {
    let (ours, theirs) = (Receiver::start().await, Receiver::start().await);
    let stage = stage([&ours, &theirs], "").await;
    let address = stage.sims[0].url().strip_prefix("http://").unwrap().parse().unwrap();
    let others = "https://monitor.example/x";
    plain_get(address, "bbb", &sign::path("hooks/create", &[("callbackURL", others)], "bbb-01-secret")).await;
    let id = register(&stage, "wagtail", &[("callbackURL", ALL)]).await;
    eventually("it has both", async || at_server(&stage).await.len() == 2).await;
    assert_eq!(stage.api("wagtail", "hooks/destroy", &[("hookID", &id)]).await.xml("removed"), "true");
    eventually("the gateway's is removed", async || at_server(&stage).await == [others]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn each_release_of_the_service_is_understood() {
    let sha512 = sim::Config { hook_algorithm: Algorithm::Sha512, ..sim::Config::default() };
    let bearer = sim::Config { hook_bearer: true, ..sim::Config::default() };
    let old = sim::Config { profile: Profile::V3_0_0, ..sim::Config::default() };
    for (what, config) in [("SHA-512", sha512), ("a bearer", bearer), ("3.1", old)] {
        let (ours, theirs) = (Receiver::start().await, Receiver::start().await);
        let stage = stage_of([&ours, &theirs], "", config).await;
        register(&stage, "wagtail", &[("callbackURL", ALL)]).await;
        meet(&stage, "wagtail", "room").await;
        eventually(what, async || names(&ours).contains(&"meeting-ended".to_owned())).await;
        assert!(ours.calls().iter().all(|seen| !format!("{seen:?}").contains("bbb-01-secret")), "{what}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_of_2_7_signs_in_its_own_way() {
    let ours = Receiver::start().await;
    let config = sim::Config { profile: Profile::V2_7, ..sim::Config::default() };
    let keys = format!("pool = \"wagtail\"\nfrontend = \"http://{}\"", ours.address);
    let plan = Plan::new().server_with_keys("wagtail", config, "version = \"2.7\"").server("members");
    let stage = plan.tenant_with("wagtail", "multi-account", &keys).start().await;
    let ca = stage.path("dev-ca/ca.pem");
    stage.sims[0].route_callbacks(sim::CallbackRoute { address: stage.address, ca });
    register(&stage, "wagtail", &[("callbackURL", ALL)]).await;
    assert_eq!(stage.create("wagtail", "room").await.xml("returncode"), "SUCCESS");
    stage.api("wagtail", "end", &[("meetingID", "room")]).await;
    eventually("it has ended", async || names(&ours) == ["meeting-created", "meeting-ended"]).await;
}

/// The form in which a server tells of the end of `room`, at a time.
fn ended(stage: &Stage, ts: u64) -> String {
    let meeting = json!({
        "internal-meeting-id": stage.on_server("wagtail", "room").unwrap().int_id,
        "external-meeting-id": "t.wagtail.room",
    });
    let said = json!([{ "data": { "type": "event", "id": "meeting-ended", "attributes": { "meeting": meeting },
                                  "event": { "ts": ts } } }]);
    sign::encode(&[("domain", "x"), ("event", &said.to_string()), ("timestamp", "1")])
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_that_its_server_has_not_signed_is_refused() {
    let (ours, theirs) = (Receiver::start().await, Receiver::start().await);
    let stage = stage([&ours, &theirs], "").await;
    register(&stage, "wagtail", &[("callbackURL", ALL)]).await;
    assert_eq!(stage.create("wagtail", "room").await.xml("returncode"), "SUCCESS");
    eventually("its beginning is told", async || names(&ours).len() == 1).await;
    let own = at_server(&stage).await.remove(0);
    let (authority, path) = own.strip_prefix("https://").unwrap().split_once('/').unwrap();
    let form = ended(&stage, 1);
    let signed_form = |form: &str, secret: &str| Algorithm::Sha256.hex(format!("{own}{form}{secret}").as_bytes());
    let signed = |secret: &str| signed_form(&form, secret);
    let good = signed("bbb-01-secret");
    let mut wrong_code = path.to_owned();
    wrong_code.replace_range(path.len() - 1.., if path.ends_with('0') { "1" } else { "0" });
    let client = stage.client();
    let post = async |target: String, body: String| client.post(authority, &target, FORM, body).await.status.as_u16();
    for (what, target, body, expected) in [
        ("no checksum", format!("/{path}"), form.clone(), 401),
        ("the tenant's own secret", format!("/{path}?checksum={}", signed(&secret("wagtail"))), form.clone(), 401),
        ("another tenant's", format!("/{path}?checksum={}", signed(&secret("heron"))), form.clone(), 401),
        ("another form", format!("/{path}?checksum={good}"), form.replace("=1", "=2"), 401),
        ("no form", format!("/{path}?checksum={good}"), "{}".into(), 401),
        ("too large", format!("/{path}?checksum={good}"), "x".repeat((1 << 20) + 1), 401),
        ("a wrong code", format!("/{wrong_code}?checksum={good}"), form.clone(), 404),
        ("no code", "/.anteroom/hooks/x".into(), form.clone(), 404),
    ] {
        assert_eq!(post(target, body).await, expected, "{what}");
    }
    assert_eq!(client.get(authority, &format!("/{path}")).await.status, 405);
    assert_eq!(names(&ours).len(), 1);
    // Its own words are taken, and said again they are one.
    for _ in 0..2 {
        assert_eq!(post(format!("/{path}?checksum={good}"), form.clone()).await, 200);
    }
    eventually("it is delivered", async || names(&ours).len() == 2).await;
    let half = form.replace("meeting-ended", "user-left%5Cud83d");
    let checksum = Algorithm::Sha256.hex(format!("{own}{half}bbb-01-secret").as_bytes());
    assert_eq!(
        post(format!("/{path}?checksum={checksum}"), half).await,
        200,
        "half a pair of surrogates is no forgery"
    );
    eventually("it is written down", async || {
        stage.metric("anteroom_webhook_events_total", &["event=\"delivered\""]).await == 2
    })
    .await;
    assert_eq!(post(format!("/{path}?checksum={good}"), form.clone()).await, 200);
    // What comes after it is delivered after it.
    let later = ended(&stage, 2);
    assert_eq!(post(format!("/{path}?checksum={}", signed_form(&later, "bbb-01-secret")), later).await, 200);
    let ends = || -> Vec<_> {
        let events = ours.calls().iter().map(event).collect::<Vec<_>>();
        events.iter().map(|event| (event["data"]["id"].clone(), event["data"]["event"]["ts"].clone())).skip(1).collect()
    };
    let expected = [1, 2].map(|ts| (json!("meeting-ended"), json!(ts)));
    eventually("the later one is delivered", async || ends().contains(&expected[1])).await;
    assert_eq!(ends(), expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_whose_calls_are_not_signed_is_never_asked_to_call_again() {
    let receiver = Receiver::start().await;
    let frontend = format!("frontend = \"http://{}\"", receiver.address);
    let plan = Plan::new().server_like("members", "[rates]\nwrong_checksums = 2\n");
    let stage = plan.tenant_with("wagtail", "multi-account", &frontend).start().await;
    register(&stage, "wagtail", &[("callbackURL", ALL)]).await;
    let own = at_server(&stage).await.remove(0);
    let (authority, path) = own.strip_prefix("https://").unwrap().split_once('/').unwrap();
    let client = stage.client();
    let target = format!("/{path}?checksum=00");
    for _ in 0..20 {
        assert_eq!(client.post(authority, &target, FORM, "domain=a").await.status, 401);
    }
    let wrong = client.get(&host("wagtail"), &sign::path("hooks/list", &[], "wrong")).await;
    assert!(wrong.body.contains("rateLimited"), "they count: {}", wrong.body);
}

#[tokio::test(flavor = "multi_thread")]
async fn events_of_all_tenants_do_not_count_to_the_rate_of_one() {
    let receiver = Receiver::start().await;
    let frontend = format!("frontend = \"http://{}\"", receiver.address);
    let plan = Plan::new().server_like("members", "[rates]\ntenant_requests = 8\n");
    let stage = plan.tenant_with("wagtail", "multi-account", &frontend).start().await;
    register(&stage, "wagtail", &[("callbackURL", ALL)]).await;
    assert_eq!(stage.create("wagtail", "room").await.xml("returncode"), "SUCCESS");
    let own = at_server(&stage).await.remove(0);
    let (authority, path) = own.strip_prefix("https://").unwrap().split_once('/').unwrap();
    let form = ended(&stage, 1);
    let checksum = Algorithm::Sha1.hex(format!("{own}{form}bbb-01-secret").as_bytes());
    let (client, target) = (stage.client(), format!("/{path}?checksum={checksum}"));
    let pings = join_all((0..100).map(|_| client.get(authority, "/bigbluebutton/api/hooks/ping"))).await;
    assert!(pings.iter().any(|reply| reply.body.contains("rateLimited")), "the tenant is at its rate");
    let up = async || stage.metric("anteroom_body_bytes_total", &["direction=\"up\""]).await;
    let before = up().await;
    let posts = join_all((0..100).map(|_| client.post(authority, &target, FORM, form.clone()))).await;
    assert!(posts.iter().all(|reply| reply.status == 200));
    assert_eq!(up().await, before, "nor to its usage");
    let guesses = join_all((0..100).map(|_| client.post(authority, "/.anteroom/hooks/x/0a", FORM, form.clone()))).await;
    assert!(guesses.iter().any(|reply| reply.status == 429), "a wrong code has no right to that");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_without_the_service_stops_nothing() {
    let (ours, theirs) = (Receiver::start().await, Receiver::start().await);
    let stage = stage([&ours, &theirs], "").await;
    stage.sims[0].faults().set_hooks_missing(true);
    let created = stage.api("wagtail", "hooks/create", &[("callbackURL", ALL)]).await;
    assert_eq!(created.xml("returncode"), "SUCCESS", "{}", created.body);
    let asked = async || stage.sims[0].log().iter().any(|seen| seen.path.ends_with("hooks/list"));
    eventually("the server was asked", asked).await;
    meet(&stage, "wagtail", "room").await;
    assert_eq!(names(&ours), Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_operator_hears_of_servers_that_tell_no_events() {
    let plan = Plan::new().server("members").tenant("wagtail", "multi-account");
    let served = Served::start(plan).await;
    served.sims[0].faults().set_hooks_missing(true);
    let created = served.api("wagtail", "hooks/create", &[("callbackURL", "https://school.example/x")]).await;
    assert_eq!(created.xml("returncode"), "SUCCESS", "{}", created.body);
    let warned = async || {
        let listed = anteroom(&["server", "list"], served.dir.path());
        String::from_utf8_lossy(&listed.stdout).contains("tells no events for webhooks: it has no bbb-webhooks")
    };
    eventually("the operator is warned", warned).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_operator_removes_a_webhook() {
    let served = Served::start(Plan::new().server("members").tenant("wagtail", "multi-account")).await;
    let created = served.api("wagtail", "hooks/create", &[("callbackURL", "https://school.example/x")]).await;
    let id = created.xml("hookID").to_owned();
    let removed = anteroom(&["webhook", "remove", &id], served.dir.path());
    assert_eq!(
        String::from_utf8_lossy(&removed.stdout),
        format!("webhook {id} of wagtail is removed\n"),
        "{removed:?}"
    );
    assert!(!served.api("wagtail", "hooks/list", &[]).await.body.contains("<hook>"));
    let again = anteroom(&["webhook", "remove", &id], served.dir.path());
    assert!(String::from_utf8_lossy(&again.stderr).contains("no webhook has this id"), "{again:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_level_may_have_no_webhooks() {
    let (ours, theirs) = (Receiver::start().await, Receiver::start().await);
    let stage = stage([&ours, &theirs], "webhooks = 0\n").await;
    assert_eq!(key(&stage.api("wagtail", "hooks/create", &[("callbackURL", ALL)]).await), "createHookError");
    assert!(!stage.api("wagtail", "hooks/list", &[]).await.body.contains("<hook>"));
}
