//! Calls and their parameters.

use std::fs;

use anteroom_bench::{
    sign::{self, Algorithm},
    sim::{self, BreakoutPlan, Received},
};
use http::{Request, StatusCode};
use serde_json::Value;

use crate::support::{Plan, Reply, Stage, eventually, host, plain_get, program::Served, secret};

const FORM: &str = "application/x-www-form-urlencoded";
const FIREFOX: &str = "Mozilla/5.0 (X11; Linux x86_64; rv:145.0) Gecko/20100101 Firefox/145.0";

/// One server, a tenant of a level with breakout rooms and recordings, and one of the smallest.
async fn stage() -> Stage {
    Plan::new().server("members").tenant("wagtail", "level-2").tenant("heron", "free").start().await
}

/// The path of a signed call.
fn signed(tenant: &str, call: &str, query: &str) -> String {
    let checksum = sign::checksum(call, query, &secret(tenant), Algorithm::Sha256);
    let joint = if query.is_empty() { "" } else { "&" };
    format!("/bigbluebutton/api/{call}?{query}{joint}checksum={checksum}")
}

/// The last request of a call that a server got.
fn last(stage: &Stage, call: &str) -> Received {
    let log = stage.sims[0].log();
    log.into_iter().rfind(|seen| seen.call() == Some(call)).unwrap_or_else(|| panic!("no {call}"))
}

// 9. "The gateway's own join loses the browser's User-Agent, Referer and language, which BBB writes into its records since 2026."

#[tokio::test(flavor = "multi_thread")]
async fn a_join_tells_the_server_the_browser_its_language_and_the_origin_it_came_from() {
    let stage = stage().await;
    stage.create("wagtail", "room").await;
    let path = signed("wagtail", "join", "meetingID=room&fullName=Ada&role=VIEWER");
    let host = host("wagtail");
    let referrer = |referrer: String| {
        let (stage, path, host) = (&stage, path.as_str(), host.as_str());
        async move {
            let headers = [
                ("user-agent", FIREFOX),
                ("accept-language", "de,en;q=0.7"),
                ("referer", &*referrer),
                ("cookie", "_greenlight=1"),
                ("x-forwarded-for", "203.0.113.9"),
            ];
            let reply = stage.client().get_with(host, path, &headers).await;
            assert_eq!(reply.status, StatusCode::FOUND, "{}", reply.body);
            last(stage, "join")
        }
    };
    let seen = referrer("https://moodle.example/mod/bigbluebuttonbn/view.php?id=7&sesskey=hush".into()).await;
    assert_eq!(seen.header("user-agent"), Some(FIREFOX));
    assert_eq!(seen.header("accept-language"), Some("de,en;q=0.7"));
    assert_eq!(seen.header("referer"), Some("https://moodle.example/"), "as a browser tells another origin");
    assert_eq!(seen.header("x-forwarded-for"), Some("127.0.0.1"));
    assert_eq!(seen.header("cookie"), None);

    // Three more of the kind: from the tenant's own frontend, from an app, from a browser that says nothing.
    let seen = referrer(format!("https://{host}/rooms/abc?token=hush")).await;
    let own = format!("http://{}/", stage.sims[0].addr());
    assert_eq!(seen.header("referer"), Some(&*own), "no address of a tenant is told");
    assert_eq!(referrer("android-app://org.example/".into()).await.header("referer"), None);
    stage.join("wagtail", "room", "Grace").await;
    let seen = last(&stage, "join");
    assert_eq!((seen.header("user-agent"), seen.header("referer")), (None, None));
    let long = "x".repeat(2000);
    let reply = stage.client().get_with(&host, &path, &[("user-agent", &long)]).await;
    assert_eq!(reply.status, StatusCode::FOUND);
    assert_eq!(last(&stage, "join").header("user-agent"), None, "what takes the room of a head is left out");
}

#[tokio::test(flavor = "multi_thread")]
async fn each_call_that_is_made_for_somebody_says_for_whom() {
    let stage = stage().await;
    let client = stage.client();
    let headers = [("user-agent", FIREFOX), ("accept-language", "de")];
    let is_told = |call: &str| {
        let seen = last(&stage, call);
        assert_eq!(seen.header("user-agent"), Some(FIREFOX), "{call}");
        assert_eq!(seen.header("accept-language"), Some("de"), "{call}");
        assert_eq!(seen.header("x-forwarded-for"), Some("127.0.0.1"), "{call}");
    };
    let host = host("wagtail");
    for (call, query) in [("create", "meetingID=room&name=room"), ("sendChatMessage", "meetingID=room&message=hello")] {
        client.get_with(&host, &signed("wagtail", call, query), &headers).await;
        is_told(call);
    }
    let request = Request::post(signed("wagtail", "insertDocument", "meetingID=room"))
        .header("content-type", "application/xml")
        .header("user-agent", FIREFOX)
        .header("accept-language", "de");
    let documents =
        "<modules><module name=\"presentation\"><document name=\"a.pdf\">QkJC</document></module></modules>";
    client.send_body(&host, request, documents.into()).await;
    is_told("insertDocument");

    // A breakout room's join is signed by the server, and made by the gateway.
    let ada = stage.joined("wagtail", "room", "Ada").await;
    let plan = BreakoutPlan { rooms: 1, free_join: true, record: false, duration_min: 0 };
    assert_eq!(stage.sims[0].open_breakouts("t.wagtail.room", plan).len(), 1);
    let address = stage.sims[0].breakout_join_url(&ada.token, 1).unwrap();
    let path = format!("{}{}", ada.prefix, &address[address.find("/bigbluebutton/").unwrap()..]);
    let reply = client.get_with(&host, &path, &headers).await;
    assert_eq!(reply.status, StatusCode::FOUND, "{}", reply.body);
    is_told("join");

    // A breakout room that the tenant makes, and the ends of both.
    let room = "meetingID=group&name=group&isBreakout=true&parentMeetingID=room&sequence=1";
    for (call, query) in [("create", room), ("end", "meetingID=group"), ("end", "meetingID=room")] {
        let ends = stage.sims[0].log().len();
        let reply = client.get_with(&host, &signed("wagtail", call, query), &headers).await;
        assert_eq!(reply.xml("returncode"), "SUCCESS", "{query}: {}", reply.body);
        assert!(
            stage.sims[0].log()[ends..].iter().any(|seen| seen.call() == Some(call)),
            "the server is asked: {query}"
        );
        is_told(call);
    }
}

// 10. "A rule that does nothing." (What `check` says of them is in files.rs.)

#[tokio::test(flavor = "multi_thread")]
async fn a_rule_of_what_the_gateway_itself_acts_on_has_its_effect() {
    let rules = "---[create]\nname = { default = \"A room\" }\n[join]\nfullName = { default = \"A guest\" }\n\
                 errorRedirectUrl = \"drop\"\nlogoutURL = { force = \"https://wagtail.example/sorry\" }\n\
                 redirect = { force = \"true\" }\nuserID = \"drop\"\n";
    let plan = Plan::new().server("members").tenant_with("wagtail", "level-2", rules);
    let stage = plan.tenant("heron", "level-2").start().await;
    let created = stage.api("wagtail", "create", &[("meetingID", "room")]).await;
    assert_eq!(created.xml("returncode"), "SUCCESS", "{}", created.body);
    assert_eq!(stage.on_server("wagtail", "room").unwrap().params["name"], "A room");

    let asked = [("meetingID", "room"), ("role", "VIEWER"), ("redirect", "false"), ("userID", "ada")];
    let joined = stage.api("wagtail", "join", &asked).await;
    assert_eq!(joined.status, StatusCode::FOUND, "{}", joined.body);
    let seen = last(&stage, "join");
    assert_eq!((seen.param("fullName").as_deref(), seen.param("userID")), (Some("A guest"), None));

    let asked = [("meetingID", "none"), ("fullName", "Ada"), ("errorRedirectUrl", "https://elsewhere.example/")];
    let leads = |reply: &Reply| reply.header("location").split('?').next().unwrap_or_default().to_owned();
    assert_eq!(leads(&stage.api("wagtail", "join", &asked).await), "https://wagtail.example/sorry");
    assert_eq!(leads(&stage.api("heron", "join", &asked).await), "https://elsewhere.example/", "without a rule");
}

// 12. "A robots.txt and noindex for joins and playback, a limit for create bodies that can be set."

#[tokio::test(flavor = "multi_thread")]
async fn search_engines_are_told_what_not_to_visit_and_what_not_to_list() {
    let stage = stage().await;
    let client = stage.client();
    let robots = client.get(&host("wagtail"), "/robots.txt").await;
    assert_eq!(robots.status, StatusCode::OK);
    for line in ["User-agent: *", "Disallow: /bigbluebutton/", "Disallow: /s/"] {
        assert!(robots.body.lines().any(|have| have == line), "{line}: {}", robots.body);
    }
    assert!(!robots.body.contains("/playback"), "what is not read cannot say that it is not to be listed");

    stage.create("wagtail", "room").await;
    let ada = stage.joined("wagtail", "room", "Ada").await;
    let page = [("accept", "text/html")];
    let join = stage.join("wagtail", "room", "Grace").await;
    let refused =
        client.get_with(&host("wagtail"), &signed("wagtail", "join", "meetingID=none&fullName=Ada"), &page).await;
    let meeting = client.get_with(&host("wagtail"), &format!("{}/html5client/", ada.prefix), &page).await;
    for (what, reply) in [("join", &join), ("a join that is refused", &refused), ("meeting", &meeting)] {
        assert_eq!(reply.header("x-robots-tag"), "noindex, nofollow", "{what}: {reply:?}");
    }
    let landing = client.get_with(&host("wagtail"), "/", &page).await;
    assert_eq!((landing.status, landing.header("x-robots-tag")), (StatusCode::OK, ""), "it may be found");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_recording_is_not_listed_and_a_frontend_keeps_its_own_robots() {
    use hyper_util::rt::TokioIo;
    let frontend = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let keys = format!("frontend = \"http://{}\"", frontend.local_addr().unwrap());
    tokio::spawn(async move {
        while let Ok((stream, _)) = frontend.accept().await {
            let service = hyper::service::service_fn(async |_| {
                let own = http_body_util::Full::new(bytes::Bytes::from_static(b"User-agent: *\nDisallow: /admin\n"));
                Ok::<_, std::convert::Infallible>(http::Response::new(own))
            });
            let serving = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service);
            tokio::spawn(async move { serving.await.is_ok() });
        }
    });
    let stage = Plan::new().server("members").tenant_with("wagtail", "level-2", &keys).start().await;
    let robots = stage.client().get(&host("wagtail"), "/robots.txt").await;
    assert_eq!((&*robots.body, robots.header("x-robots-tag")), ("User-agent: *\nDisallow: /admin\n", ""));
    let watched = stage.client().get(&host("wagtail"), "/playback/presentation/2.3/").await;
    assert_eq!(watched.header("x-robots-tag"), "noindex, nofollow", "{watched:?}");
}

/// A body with one document of so many bytes in base64.
fn slides(bytes: usize) -> String {
    format!(
        "<modules><module name=\"presentation\"><document name=\"a.pdf\">{}</document></module></modules>",
        "QUJD".repeat(bytes / 4)
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn slides_in_base64_are_as_large_as_the_level_allows() {
    let large = sim::Config { api_body_bytes_max: 64 << 20, log_entries_max: 100, ..sim::Config::default() };
    let plan = Plan::new().server_with("members", large).tenant("heron", "level-2");
    let stage = plan.tenant_with("wagtail", "level-2", "---[limits]\nbody = \"20MB\"\n").start().await;
    let send = |tenant: &'static str, call: &'static str, id: &'static str, bytes: usize| {
        let path = signed(tenant, call, &format!("meetingID={id}&name={id}"));
        let client = stage.client();
        async move { client.post(&host(tenant), &path, "application/xml", slides(bytes)).await }
    };
    for (tenant, id, bytes, key) in [
        ("wagtail", "three", 3_000_000, ""),
        ("wagtail", "eighteen", 18_000_000, ""),
        ("wagtail", "twenty-one", 21_500_000, "requestTooLarge"),
        ("heron", "one", 1_900_000, ""),
        ("heron", "three", 3_000_000, "requestTooLarge"),
    ] {
        let reply = send(tenant, "create", id, bytes).await;
        assert_eq!(reply.xml("messageKey"), key, "{tenant} {bytes}: {}", reply.body);
        let documents = stage.on_server(tenant, id).map(|meeting| meeting.documents);
        assert_eq!(documents.is_some(), key.is_empty(), "{tenant} {bytes}");
        assert!(documents.is_none_or(|documents| documents == ["a.pdf"]), "{tenant} {bytes}");
    }
    let reply = send("wagtail", "insertDocument", "three", 5_000_000).await;
    assert_eq!(reply.xml("returncode"), "SUCCESS", "{}", reply.body);
    let reply = send("heron", "insertDocument", "one", 5_000_000).await;
    assert_eq!(reply.xml("messageKey"), "requestTooLarge", "{}", reply.body);
    assert_eq!(stage.on_server("heron", "one").unwrap().documents.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_takes_no_such_body_is_not_said_to_be_away() {
    // As stock servers have it: 1 MB.
    let stage = stage().await;
    let path = signed("wagtail", "create", "meetingID=room&name=room");
    let reply = stage.client().post(&host("wagtail"), &path, "application/xml", slides(1_500_000)).await;
    assert_eq!(reply.xml("messageKey"), "requestTooLarge", "{}", reply.body);
    assert!(stage.on_server("wagtail", "room").is_none());
    assert_eq!(stage.create("wagtail", "room").await.xml("returncode"), "SUCCESS", "the room is free");
}

// 19. "`create` without a name: BBB's key is `validationError` or `nullError` by release."

#[tokio::test(flavor = "multi_thread")]
async fn a_create_without_a_name_has_the_key_of_the_releases() {
    let stage = stage().await;
    for (query, key) in [
        ("meetingID=room", "nullError"),
        ("meetingID=room&name=", "emptyError"),
        ("meetingID=room&name=+%09", "emptyError"),
        ("meetingID=room&name=a", "sizeError"),
        ("name=room", "validationError"),
    ] {
        let path = signed("wagtail", "create", query);
        let here = stage.client().get(&host("wagtail"), &path).await;
        assert_eq!(here.xml("messageKey"), key, "{query}: {}", here.body);
        let checksum = sign::checksum("create", query, "bbb-01-secret", Algorithm::Sha256);
        let path = format!("/bigbluebutton/api/create?{query}&checksum={checksum}");
        let there = plain_get(stage.sims[0].addr(), "bbb-01", &path).await;
        assert_eq!((there.xml("messageKey"), there.xml("message")), (key, here.xml("message")), "{query}");
    }
}

// 20. "`disabledFeatures=chat,presentation` with `disabledFeaturesExclude=presentation` leaves presentation disabled, and
// `insertDocument` then fails."

#[tokio::test(flavor = "multi_thread")]
async fn a_feature_that_the_caller_excludes_is_not_disabled_by_its_own_list() {
    let rules = "---[create]\ndisabledFeatures = { append = [\"polls\"] }\n";
    let plan = Plan::new().server("members").tenant_with("wagtail", "level-2", rules);
    let stage = plan.tenant("heron", "free").start().await;
    let list = |tenant: &str, id: &str| stage.on_server(tenant, id).unwrap().params["disabledFeatures"].clone();
    for (tenant, id, disabled, excluded, expected, inserts) in [
        ("wagtail", "reported", "chat,presentation", "presentation", "chat,polls", "SUCCESS"),
        ("wagtail", "kept", "chat,presentation", "chat", "presentation,polls", "FAILED"),
        ("wagtail", "of-the-level", "chat,polls", "polls", "chat,polls", "SUCCESS"),
        (
            "heron",
            "by-the-limits",
            "presentation,breakoutRooms",
            "presentation,breakoutRooms",
            "breakoutRooms",
            "SUCCESS",
        ),
        ("wagtail", "alone", "", "polls,presentation", "polls", "SUCCESS"),
    ] {
        let asked =
            [("meetingID", id), ("name", id), ("disabledFeatures", disabled), ("disabledFeaturesExclude", excluded)];
        let created = stage.api(tenant, "create", &asked).await;
        assert_eq!(created.xml("returncode"), "SUCCESS", "{}", created.body);
        assert_eq!(list(tenant, id), expected, "{id}");
        assert!(!stage.on_server(tenant, id).unwrap().params.contains_key("disabledFeaturesExclude"), "{id}");
        let path = signed(tenant, "insertDocument", &format!("meetingID={id}"));
        let inserted = stage.client().post(&host(tenant), &path, "application/xml", slides(400)).await;
        assert_eq!(inserted.xml("returncode"), inserts, "{id}: {}", inserted.body);
        stage.api(tenant, "end", &[("meetingID", id)]).await;
    }
    stage
        .api("wagtail", "create", &[("meetingID", "rooms"), ("name", "rooms"), ("breakoutRoomsEnabled", "false")])
        .await;
    assert_eq!(list("wagtail", "rooms"), "breakoutRooms,polls", "an older way to say the same");
}

// 22. "A form with its checksum in the body is logged as `algorithm: missing`."

#[tokio::test(flavor = "multi_thread")]
async fn a_checksum_in_a_form_is_logged_with_where_it_was_and_what_it_was_compared_over() {
    let tenants = ["wagtail", "heron", "plover", "lapwing", "robin", "dunlin"];
    let plan = tenants.iter().fold(Plan::new().server("members"), |plan, tenant| plan.tenant(tenant, "level-2"));
    let gateway = Served::start(plan).await;
    let (client, dir) = (&gateway.client, &gateway.dir);
    let sum = |tenant: &str, hashed: &str| sign::checksum("create", hashed, &secret(tenant), Algorithm::Sha1);
    // One tenant each: a tenant's mistakes are told once a second.
    let fields = "name=A+room&meetingID=room";
    let in_query = format!("?record=true&checksum={}", sum("dunlin", "record=true"));
    for (tenant, query, body) in [
        ("wagtail", "?record=true", format!("{fields}&checksum={}", sum("wagtail", fields))),
        ("heron", "", format!("name=A%20room&meetingID=room&checksum={}", sum("heron", fields))),
        ("plover", "?record=true", format!("{fields}&checksum={}", sum("plover", ""))),
        ("lapwing", "", format!("{fields}&checksum=nonsense")),
        ("robin", "?Checksum=0123456789012345678901234567890123456789", fields.to_owned()),
        ("dunlin", &in_query, format!("{fields}&checksum={}", sum("dunlin", fields))),
    ] {
        let reply = client.post(&host(tenant), &format!("/bigbluebutton/api/create{query}"), FORM, body).await;
        assert_eq!(reply.xml("messageKey"), "checksumError", "{tenant}: {}", reply.body);
    }
    let told = |tenant: &str| {
        let log = fs::read_to_string(dir.path().join("log.jsonl")).unwrap_or_default();
        let lines = log.lines().filter(|line| line.contains("checksum mismatch"));
        let mut lines = lines.filter_map(|line| serde_json::from_str::<Value>(line).ok());
        let line = lines.find(|line| line.to_string().contains(&format!("\"tenant\":\"{tenant}\"")))?.to_string();
        assert!(!line.contains(&secret(tenant)), "{line}");
        Some(line)
    };
    for (tenant, expected) in [
        ("wagtail", [r#""found_in":"form""#, r#""algorithm":"SHA-1""#, "beside a query, only the query counts"]),
        ("heron", [r#""found_in":"form""#, r#""compared_over":"an empty query""#, "in another order or encoding"]),
        ("plover", [r#""found_in":"form""#, r#""compared_over":"the query""#, "the query left out"]),
        ("lapwing", [r#""found_in":"form""#, "not a digest in hexadecimal digits", r#""would_fit":"none known""#]),
        ("robin", [r#""found_in":"""#, r#""algorithm":"missing""#, "its name is in capitals"]),
        ("dunlin", [r#""found_in":"query""#, "given twice: in the form, too", r#""would_fit":"none known""#]),
    ] {
        let mut line = None;
        eventually("a line in the log", async || {
            line = told(tenant);
            line.is_some()
        })
        .await;
        let line = line.unwrap();
        for part in expected {
            assert!(line.contains(part), "{tenant}: {part} in {line}");
        }
    }
}
