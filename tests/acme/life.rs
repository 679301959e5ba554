//! The whole life of a certificate in a gateway: from a line in a tenant's file to a handshake, and to its renewal.

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU32, Ordering::Relaxed},
    },
    time::Duration,
};

use anteroom::tls::dev_ca::DevCa;
use anteroom_bench::postgres::{Durable, Postgres};
use serde_json::{Value, json};
use tokio::net::TcpStream;

use crate::{
    front::{Answer, Ca, Front, Plain, Rule, answer, changed},
    gateway::{Life, PATIENCE, acme, command, configured, prepared, reaches, serves, tenant},
    pebble::{self, Pebble},
    support::{
        Client, eventually_within, exchange, metric, plain_get,
        program::{Program, free_address},
        write,
    },
};

async fn record(pebble: &Pebble, path: &str, body: Value) {
    let stream = TcpStream::connect(pebble.place.records).await.unwrap();
    let request = http::Request::post(path).header("host", "localhost").body(body.to_string().into()).unwrap();
    let reply = exchange(stream, request).await;
    assert!(reply.status.is_success(), "{reply:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_in_a_tenants_file_is_served_a_moment_later_and_others_notice_nothing() {
    for challenge in ["http-01", "tls-alpn-01"] {
        let more = format!("challenges = [\"{challenge}\"]");
        let life = Life::plain(Pebble::plain().await, &["meet.wagtail.example"], &more).await;
        // Somebody else is served all the while.
        let (client, goes_on, asked) =
            (life.stage.client(), Arc::new(AtomicBool::new(true)), Arc::<AtomicU32>::default());
        let (on, count) = (Arc::clone(&goes_on), Arc::clone(&asked));
        let others = tokio::spawn(async move {
            while on.load(Relaxed) {
                let reply = client.get("heron.localhost", "/bigbluebutton/api").await;
                assert_eq!(reply.status, 200);
                count.fetch_add(1, Relaxed);
            }
        });
        let shown = life.reaches("meet.wagtail.example", "active").await;
        assert!(shown["issuer"].as_str().unwrap().starts_with("Pebble Intermediate CA"), "{challenge}: {shown}");
        assert!(shown["renew_at"].as_str() < shown["not_after"].as_str(), "{shown}");
        assert!(life.serves("meet.wagtail.example").await, "{challenge}");
        assert_eq!(life.show("heron.localhost").await["state"], "brought");

        // One more host, in a file of the running gateway.
        write(life.dir(), "tenants/plover.toml", &tenant(&["meet.plover.example"], "certificate_key = \"rsa\""));
        life.reaches("meet.plover.example", "active").await;
        assert!(life.serves("meet.plover.example").await, "{challenge}");
        assert!(!life.serves("unknown.example").await, "a name that is not ours");
        let why = life.command(&["domain", "show", "unknown.example"]).await.unwrap_err();
        assert!(why.contains("no tenant has the host \"unknown.example\""), "{why}");
        goes_on.store(false, Relaxed);
        others.await.unwrap();
        assert!(asked.load(Relaxed) > 0);
        let orders = ["authority=\"main\"", "outcome=\"issued\""];
        assert_eq!(life.stage.metric("anteroom_certificate_orders_total", &orders).await, 2);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn challenges_are_answered_for_hosts_that_need_a_certificate_and_for_no_others() {
    let life = Life::plain(Pebble::plain().await, &["meet.wagtail.example"], "").await;
    let http = life.stage.app.as_ref().unwrap().http[0];
    let ask = async |host: &str, token: &str| {
        let reply = plain_get(http, host, &format!("/.well-known/acme-challenge/{token}")).await;
        (reply.status.as_u16(), reply.body)
    };
    let (status, body) = ask("meet.wagtail.example", "any-token_1").await;
    let thumbprint = body.strip_prefix("any-token_1.").unwrap();
    assert_eq!((status, thumbprint.len()), (200, 43), "{body}");
    for (host, token, status) in [
        ("heron.localhost", "any-token_1", 308),
        ("unknown.example", "any-token_1", 421),
        ("meet.wagtail.example", "no.token", 308),
        ("meet.wagtail.example", "", 308),
        ("meet.wagtail.example", &"x".repeat(129), 308),
    ] {
        let (got, body) = ask(host, token).await;
        assert_eq!(got, status, "{host} {token}");
        assert!(!body.contains(thumbprint), "{host} {token}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_dns_lacks_is_told_in_words_and_found_when_it_is_there() {
    let pebble = Pebble::plain().await;
    let host = "meet.wagtail.example";
    record(&pebble, "/add-a", json!({ "host": format!("{host}."), "addresses": ["192.0.2.66"] })).await;
    let front = Front::start(&pebble, Identified).await;
    let of_front = acme(&pebble, &front.directory(), "");
    let life = Life::start(pebble, &[host], &of_front).await;
    let shown = life.reaches(host, "waiting_for_dns").await;
    assert_eq!(shown["found"], "A 192.0.2.66");
    assert_eq!(shown["expected"], "A 127.0.0.1");
    assert_eq!(shown["reason"], "meet.wagtail.example points elsewhere (A 192.0.2.66): set A 127.0.0.1 in its place");
    assert_eq!(life.stage.metric("anteroom_certificate_orders_total", &[]).await, 0, "nothing was ordered");

    let forbids = json!({ "host": "wagtail.example.", "policies": [{ "tag": "issue", "value": "other.example" }] });
    record(&life.ca, "/add-caa", forbids).await;
    record(&life.ca, "/clear-a", json!({ "host": format!("{host}.") })).await;
    life.command(&["domain", "retry", host]).await.unwrap();
    eventually_within(PATIENCE, "the other reason is seen", async || {
        tokio::time::sleep(Duration::from_millis(100)).await;
        life.show(host).await["found"] != shown["found"]
    })
    .await;
    let shown = life.show(host).await;
    assert_eq!(shown["state"], "waiting_for_dns", "{shown}");
    assert_eq!(
        shown["reason"],
        "the CAA records of wagtail.example (CAA 0 issue \"other.example\") forbid a certificate for meet.wagtail.example: \
         add wagtail.example. CAA 0 issue \"ca.example\""
    );

    record(&life.ca, "/clear-caa", json!({ "host": "wagtail.example." })).await;
    life.command(&["domain", "retry", host]).await.unwrap();
    life.reaches(host, "active").await;
    assert!(life.serves(host).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_that_waits_for_dns_is_looked_at_when_somebody_comes_for_it() {
    let (pebble, host) = (Pebble::plain().await, "meet.wagtail.example");
    record(&pebble, "/add-a", json!({ "host": format!("{host}."), "addresses": ["192.0.2.66"] })).await;
    let life = Life::plain(pebble, &[host], "").await;
    life.reaches(host, "waiting_for_dns").await;
    let http = life.stage.app.as_ref().unwrap().http[0];
    // By itself, the fourth look comes after 15, 30 and 60 s.
    eventually_within(PATIENCE, "it is looked at often", async || {
        plain_get(http, host, "/").await;
        tokio::time::sleep(Duration::from_millis(500)).await;
        life.show(host).await["failures"].as_u64() >= Some(4)
    })
    .await;
    record(&life.ca, "/clear-a", json!({ "host": format!("{host}.") })).await;
    eventually_within(PATIENCE, "it has a certificate", async || life.serves(host).await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_is_proven_by_the_challenge_that_caa_records_allow() {
    let (pebble, host) = (Pebble::plain().await, "meet.wagtail.example");
    let only = json!([{ "tag": "issue", "value": "ca.example; validationmethods=tls-alpn-01" }]);
    record(&pebble, "/add-caa", json!({ "host": "wagtail.example.", "policies": only })).await;
    let front = Front::start(&pebble, Identified).await;
    let of_front = acme(&pebble, &front.directory(), "challenges = [\"http-01\", \"tls-alpn-01\"]");
    let life = Life::start(pebble, &[host], &of_front).await;
    life.reaches(host, "active").await;
    assert!(life.stage.metric("anteroom_tls_challenges_total", &["result=\"answered\""]).await > 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn hosts_below_a_base_domain_have_a_wildcard_by_the_hook() {
    let pebble = Pebble::plain().await;
    let scripts = tempfile::tempdir().unwrap();
    let hook = scripts.path().join("hook");
    let script = format!(
        "#!/bin/sh\nset -e\ncase \"$2\" in\n\
         add) path=set-txt body=\"{{\\\"host\\\":\\\"$3.\\\",\\\"value\\\":\\\"$4\\\"}}\" ;;\n\
         remove) path=clear-txt body=\"{{\\\"host\\\":\\\"$3.\\\"}}\" ;;\nesac\n\
         echo \"$1 $2 $3\" >> {log}\n\
         exec curl --silent --fail --show-error --data \"$body\" http://{records}/$path\n",
        log = scripts.path().join("log").display(),
        records = pebble.place.records,
    );
    fs::write(&hook, script).unwrap();
    fs::set_permissions(&hook, fs::Permissions::from_mode(0o755)).unwrap();
    let more = format!("dns_hook = [\"{}\", \"own\"]", hook.display());
    let life =
        Life::plain(pebble, &["wagtail.meet.example", "finch.meet.example", "meet.wagtail.example"], &more).await;
    life.reaches("*.meet.example", "active").await;
    assert!(life.serves("wagtail.meet.example").await && life.serves("finch.meet.example").await);
    let log = fs::read_to_string(scripts.path().join("log")).unwrap();
    assert_eq!(log, "own add _acme-challenge.meet.example\nown remove _acme-challenge.meet.example\n");
    assert_eq!(life.show("finch.meet.example").await["name"], "*.meet.example");
    life.reaches("meet.wagtail.example", "active").await;
}

/// Says by which name CAA records know the authority: pebble has none.
struct Identified;

impl Rule for Identified {
    fn after(&self, path: &str, _: &Value, answer: Answer) -> Answer {
        if path != "/dir" {
            return answer;
        }
        changed(answer, |directory| directory["meta"]["caaIdentities"] = json!(["ca.example"]))
    }
}

/// Answers each new order with a rate limit.
struct Limited;

impl Rule for Limited {
    fn instead(&self, path: &str, _payload: &Value) -> Option<Answer> {
        let problem = json!({
            "type": "urn:ietf:params:acme:error:rateLimited",
            "detail": "too many new orders recently",
            "status": 429,
        });
        path.starts_with("/order-plz").then(|| {
            let mut limited = answer(429, "application/problem+json", problem.to_string());
            limited.headers_mut().insert("retry-after", "7200".parse().unwrap());
            limited
        })
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rate_limit_is_respected_and_the_second_authority_takes_over() {
    let pebble = Pebble::plain().await;
    let front = Front::start(&pebble, Limited).await;
    let alone = acme(&pebble, &front.directory(), "");
    let life = Life::start(pebble, &["meet.wagtail.example"], &alone).await;
    let shown = life.reaches("meet.wagtail.example", "failing").await;
    assert!(shown["reason"].as_str().unwrap().contains("too many new orders recently"), "{shown}");
    let at = |key: &str| {
        let format = &time::format_description::well_known::Rfc3339;
        time::OffsetDateTime::parse(shown[key].as_str().unwrap(), format).unwrap().unix_timestamp()
    };
    assert!(at("next_at") - at("since") >= 7199, "the authority has asked for two hours: {shown}");

    // The same with another authority, which is a pebble without that rule.
    let life = life.again(|pebble, text| {
        let (directory, root) = (pebble.directory(), pebble.root());
        format!("{text}[acme.fallback]\ndirectory = \"{directory}\"\nroot = \"{}\"\n", root.display())
    });
    let life = life.await;
    life.command(&["domain", "retry", "meet.wagtail.example"]).await.unwrap();
    life.reaches("meet.wagtail.example", "active").await;
    assert!(life.serves("meet.wagtail.example").await);
    let issued = ["authority=\"fallback\"", "outcome=\"issued\""];
    assert_eq!(life.stage.metric("anteroom_certificate_orders_total", &issued).await, 1);
}

/// Issues for no name.
struct Particular;

impl Rule for Particular {
    fn instead(&self, path: &str, _payload: &Value) -> Option<Answer> {
        let problem = json!({
            "type": "urn:ietf:params:acme:error:rejectedIdentifier",
            "detail": "not this name",
            "status": 403,
        });
        path.starts_with("/order-plz").then(|| answer(403, "application/problem+json", problem.to_string()))
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_that_one_authority_does_not_want_has_a_certificate_of_the_other_one() {
    let pebble = Pebble::plain().await;
    let front = Front::start(&pebble, Particular).await;
    let alone = acme(&pebble, &front.directory(), "");
    let life = Life::start(pebble, &["meet.wagtail.example"], &alone).await;
    let shown = life.reaches("meet.wagtail.example", "failing").await;
    let reason = shown["reason"].as_str().unwrap();
    assert!(reason.contains("the CA refused for the order: not this name (rejectedIdentifier)"), "{reason}");
    let life = life.again(|pebble, text| {
        let (directory, root) = (pebble.directory(), pebble.root());
        format!("{text}[acme.fallback]\ndirectory = \"{directory}\"\nroot = \"{}\"\n", root.display())
    });
    let life = life.await;
    life.command(&["domain", "retry", "meet.wagtail.example"]).await.unwrap();
    life.reaches("meet.wagtail.example", "active").await;
    let issued = ["authority=\"fallback\"", "outcome=\"issued\""];
    assert_eq!(life.stage.metric("anteroom_certificate_orders_total", &issued).await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_authority_that_is_down_is_asked_again_and_others_are_served_meanwhile() {
    let mut pebble = Pebble::plain().await;
    pebble.stop();
    // What was not ordered costs none of this.
    let budget = "precheck = false\n[acme.budget]\norders_of_name = 1\nfailures_of_name = 1\n";
    let down = acme(&pebble, &pebble.directory(), budget);
    let mut life = Life::start(pebble, &["meet.wagtail.example"], &down).await;
    let shown = life.reaches("meet.wagtail.example", "failing").await;
    assert!(shown["reason"].as_str().unwrap().contains("localhost"), "the authority is named: {shown}");
    assert_eq!(life.stage.client().get("heron.localhost", "/bigbluebutton/api").await.status, 200);
    life.ca.start().await;
    life.command(&["domain", "retry", "meet.wagtail.example"]).await.unwrap();
    life.reaches("meet.wagtail.example", "active").await;
    assert!(life.serves("meet.wagtail.example").await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_is_renewed_before_it_expires_and_survives_a_restart() {
    let pebble = pebble::Plan::default().validity(40).start().await;
    let life = Life::plain(pebble, &["meet.wagtail.example"], "[acme.budget]\norders_of_name = 100\n").await;
    let first = life.reaches("meet.wagtail.example", "active").await;
    // Served from the store, with its key.
    let life = life.again(|_, text| text).await;
    assert!(life.serves("meet.wagtail.example").await);
    eventually_within(PATIENCE, "it is renewed", async || {
        assert!(life.serves("meet.wagtail.example").await, "it is always good");
        tokio::time::sleep(Duration::from_millis(200)).await;
        life.show("meet.wagtail.example").await["not_after"].as_str() > first["not_after"].as_str()
    })
    .await;
    assert!(life.serves("meet.wagtail.example").await);
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_gateways_the_other_one_finishes_the_order_of_one_that_was_killed() {
    // Each check takes some seconds: time to be killed in.
    let plan = pebble::Plan::default().env("PEBBLE_VA_NOSLEEP", "0").env("PEBBLE_VA_SLEEPTIME", "8");
    let pebble = plan.start().await;
    let postgres = tokio::task::spawn_blocking(|| Postgres::start(Durable::No).unwrap()).await.unwrap();
    let url = postgres.database().unwrap();
    let (one, two) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let acme = acme(&pebble, &pebble.directory(), "challenges = [\"http-01\"]");
    let sims = prepared(&["meet.wagtail.example"]).store(&url).prepare(one.path()).await;
    let copied = std::process::Command::new("cp").arg("-a").arg(one.path().join(".")).arg(two.path()).status();
    assert!(copied.unwrap().success());
    // The second one is where the authority comes: it answers for what the first one has ordered.
    let configure = |dir: &Path, is_asked: bool| {
        let (https, admin) = (free_address(), free_address());
        let mut text = fs::read_to_string(dir.join("anteroom.toml")).unwrap();
        if !is_asked {
            text = text.replace("http = [\"127.0.0.1:0\"]", &format!("http = [\"{}\"]", free_address()));
        }
        text = text.replace("https = [\"127.0.0.1:0\"]", &format!("https = [\"{https}\"]"));
        fs::write(dir.join("anteroom.toml"), configured(&text, &pebble, admin, &acme)).unwrap();
        (https, admin)
    };
    let (first, second) = (configure(one.path(), false), configure(two.path(), true));
    let mut leader = Program::start(one.path(), first).await;
    let other = Program::start(two.path(), second).await;
    reaches(one.path(), "meet.wagtail.example", "ordering").await;
    leader.signal("KILL");
    leader.exited().await;
    let shown = reaches(two.path(), "meet.wagtail.example", "active").await;
    assert_eq!(shown["failures"], 0, "{shown}");
    assert!(serves(&pebble, two.path(), other.https, "meet.wagtail.example").await);
    let metrics = plain_get(other.admin, "localhost", "/metrics").await.body;
    assert_eq!(metric(&metrics, "anteroom_certificate_orders_total", &["outcome=\"issued\""]), 1);
    drop((other, sims));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_from_elsewhere_is_taken_and_one_of_the_operator_comes_before_it() {
    let mut pebble = Pebble::plain().await;
    pebble.stop();
    let (host, down) = ("meet.wagtail.example", acme(&pebble, &pebble.directory(), "precheck = false"));
    let life = Life::start(pebble, &[host], &down).await;
    let made = tempfile::tempdir().unwrap();
    let issue = |ca: &str, host: &str| {
        let ca = DevCa::open(&made.path().join(ca)).unwrap();
        ca.issue(&made.path().join("live"), &host.parse().unwrap()).unwrap();
        made.path().join("live").join(host)
    };
    let (own, foreign) = (issue("one", host), issue("one", "other.example"));
    let early = {
        let mut params = rcgen::CertificateParams::new([host.to_owned()]).unwrap();
        params.not_before = rcgen::date_time_ymd(2099, 1, 2);
        params.not_after = rcgen::date_time_ymd(2100, 1, 2);
        let key = rcgen::KeyPair::generate().unwrap();
        write(made.path(), "early/fullchain.pem", &params.self_signed(&key).unwrap().pem());
        write(made.path(), "early/privkey.pem", &key.serialize_pem());
        made.path().join("early")
    };
    let import = async |arguments: &[&Path]| {
        let paths = arguments.iter().map(|path| path.to_str().unwrap());
        let arguments: Vec<&str> = ["domain", "import", "--format", "json"].into_iter().chain(paths).collect();
        life.command(&arguments).await
    };
    let is_served_by = async |ca: &str| {
        Client::new(life.stage.address, &made.path().join(ca).join("ca.pem")).connect(host).await.is_ok()
    };
    for (arguments, reason) in [
        (vec![foreign.clone()], "no tenant has a host that the certificate names"),
        (vec![own.join("fullchain.pem"), foreign.join("privkey.pem")], "the key does not fit the first certificate"),
        (vec![early], "the certificate is not valid before 2099-01-02T00:00:00Z: import it then"),
        (vec![own.join("privkey.pem"), own.join("privkey.pem")], "the chain has no certificate in PEM form"),
    ] {
        let why = import(&arguments.iter().map(|path| &**path).collect::<Vec<_>>()).await.unwrap_err();
        assert!(why.contains(reason), "{why}");
    }
    assert!(!is_served_by("one").await);
    assert_eq!(import(&[&own]).await.unwrap()["names"], json!([host]));
    assert!(is_served_by("one").await);
    assert_eq!(
        life.reaches(host, "active").await["authority"],
        Value::Null,
        "nothing is asked of the authority any more"
    );

    // The key is of no use to a reader of the store.
    let key = fs::read_to_string(own.join("privkey.pem")).unwrap();
    let secret =
        data_encoding::BASE64.decode(key.lines().filter(|line| !line.starts_with("--")).collect::<String>().as_bytes());
    let (secret, store) = (secret.unwrap(), fs::read(life.stage.path("var/anteroom.db")).unwrap());
    let log = fs::read(life.stage.path("var/anteroom.db-wal")).unwrap_or_default();
    let has = |bytes: &[u8]| bytes.windows(secret.len()).any(|part| part == secret);
    assert!(!has(&store) && !has(&log));

    let brought = {
        fs::remove_dir_all(made.path().join("live")).unwrap();
        issue("two", host)
    };
    for file in ["fullchain.pem", "privkey.pem"] {
        write(life.dir(), &format!("certs/{host}/{file}"), &fs::read_to_string(brought.join(file)).unwrap());
    }
    life.reaches(host, "brought").await;
    assert!(is_served_by("two").await && !is_served_by("one").await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_that_comes_during_a_revocation_stays() {
    let (pebble, host) = (pebble::Plan::default().validity(24 * 3600).start().await, "meet.wagtail.example");
    let front = Front::start(&pebble, Plain).await;
    front.hold("/revoke-cert");
    let of_front = acme(&pebble, &front.directory(), "");
    let life = Life::start(pebble, &[host], &of_front).await;
    life.reaches(host, "active").await;
    let dir = life.dir().to_owned();
    let revoked = tokio::spawn(async move { command(&dir, &["domain", "revoke", host]).await });
    eventually_within(PATIENCE, "it is being revoked", async || front.count("/revoke-cert") == 1).await;
    let made = tempfile::tempdir().unwrap();
    let ca = DevCa::open(&made.path().join("ca")).unwrap();
    ca.issue(&made.path().join("live"), &host.parse().unwrap()).unwrap();
    let live = made.path().join("live").join(host);
    life.command(&["domain", "import", "--format", "json", live.to_str().unwrap()]).await.unwrap();
    front.release();
    revoked.await.unwrap().unwrap();
    assert_eq!(life.show(host).await["state"], "active");
    let client = Client::new(life.stage.address, &made.path().join("ca/ca.pem"));
    assert!(client.connect(host).await.is_ok(), "the one that has come is served");
}
