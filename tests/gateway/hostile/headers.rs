//! Headers, cookies and addresses: what comes from outside is not believed, what names a server does not leave.

use std::{
    collections::BTreeSet,
    io::{Read, Write},
    net::SocketAddr,
    sync::Arc,
};

use anteroom_bench::{sign, sim::Received};
use sqlx::Connection;
use tokio::net::UdpSocket;

use crate::support::{
    DEADLINE, Joined, Plan, Reply, Stage,
    evil::{
        client::{Raw, one},
        server::{EvilServer, Seen},
    },
    host, plain_get, secret,
};

/// Two tenants with a meeting each on one server, somebody in each of them.
async fn two_tenants() -> (Stage, Joined, Joined) {
    let plan = Plan::new().server("members").tenant("wagtail", "multi-account").tenant("heron", "multi-account");
    let stage = plan.start().await;
    for tenant in ["wagtail", "heron"] {
        assert_eq!(stage.create(tenant, "room").await.xml("returncode"), "SUCCESS");
    }
    let (ours, theirs) = (stage.joined("wagtail", "room", "Ada").await, stage.joined("heron", "room", "Mallory").await);
    (stage, ours, theirs)
}

/// What reached the servers on a path that ends so.
fn received(stage: &Stage, end: &str) -> Vec<Received> {
    let all = stage.sims.iter().flat_map(anteroom_bench::sim::Sim::log);
    all.filter(|seen| seen.path.ends_with(end)).collect()
}

/// Name, value and tag of a bound cookie.
fn parts(cookie: &str) -> (&str, &str, &str) {
    let (name, rest) = cookie.split_once('=').unwrap();
    let (value, tag) = rest.rsplit_once('.').unwrap();
    (name, value, tag)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_that_somebody_else_has_prepared_is_not_joined_in() {
    let (stage, ours, theirs) = two_tenants().await;
    assert!(ours.cookies.starts_with("__Host-JSESSIONID."), "{}", ours.cookies);
    let ((name, value, _), (_, evil, tag)) = (parts(&ours.cookies), parts(&theirs.cookies));
    let old = name.strip_prefix("__Host-").unwrap();
    let params = [("meetingID", "room"), ("fullName", "Ada"), ("role", "VIEWER")];
    for (what, cookie, expected) in [
        ("another tenant's", theirs.cookies.clone(), None),
        ("under the old name", format!("{old}={evil}"), None),
        ("under the server's name", format!("JSESSIONID={evil}"), None),
        ("without a tag", format!("{name}={evil}"), None),
        ("with a tag of another value", format!("{name}={value}.{tag}"), None),
        ("before one's own", format!("{name}={evil}.{tag}; {}", ours.cookies), Some(value)),
        ("one's own", ours.cookies.clone(), Some(value)),
    ] {
        let path = sign::path("join", &params, &secret("wagtail"));
        let reply = stage.client().get_with(&host("wagtail"), &path, &[("cookie", &cookie)]).await;
        assert_eq!(reply.status, 302, "{what}: {}", reply.body);
        let joins = received(&stage, "/join");
        let went_on = joins.last().unwrap().header("cookie").map(str::to_owned);
        assert_eq!(went_on, expected.map(|value| format!("JSESSIONID={value}")), "{what}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_cookies_of_one_name_neither_goes_on() {
    let (stage, ours, _) = two_tenants().await;
    let again = stage.joined("wagtail", "room", "Bob").await;
    assert_ne!(ours.cookies, again.cookies, "two sessions, both of this tenant at this server");
    let path = format!("{}/api/rest/userMetadata", ours.prefix);
    let ask = async |cookies: &str| {
        let headers = [("x-session-token", &*ours.token), ("cookie", cookies)];
        stage.client().get_with(&host("wagtail"), &path, &headers).await.status.as_u16()
    };
    assert_eq!(ask(&ours.cookies).await, 200);
    assert_eq!(ask(&format!("{}; {}", ours.cookies, ours.cookies)).await, 200, "twice the same is one");
    for cookies in [format!("{}; {}", ours.cookies, again.cookies), format!("{}; {}", again.cookies, ours.cookies)] {
        assert_eq!(ask(&cookies).await, 401, "whichever the server would read");
        assert_eq!(received(&stage, "/userMetadata").last().unwrap().header("cookie"), None);
    }
    let pads = "sessionID=s.1; sessionID=s.2";
    assert_eq!(ask(&format!("{pads}; {}", ours.cookies)).await, 200);
    let went_on = received(&stage, "/userMetadata").last().unwrap().header("cookie").unwrap().to_owned();
    assert!(!went_on.contains("sessionID"), "{went_on}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upgrade_throws_nobody_out_of_a_meeting() {
    let (mut stage, ours, _) = two_tenants().await;
    let (name, value, _) = parts(&ours.cookies);
    let old = Joined { cookies: format!("{}={value}", name.strip_prefix("__Host-").unwrap()), ..ours.clone() };
    stage.graphql("wagtail", &old).await.expect_err("the session is bound: its bare value is nobody's");
    // As an older release has left it: somebody is in a meeting, and no cookie has been bound.
    stage.app.take().unwrap().stop(DEADLINE).await;
    let url = format!("sqlite:{}", stage.path("var/anteroom.db").display());
    let mut store = sqlx::SqliteConnection::connect(&url).await.unwrap();
    let done = sqlx::query("DELETE FROM settings WHERE name LIKE 'cookie%'").execute(&mut store).await.unwrap();
    assert_eq!(done.rows_affected(), 2);
    store.close().await.unwrap();
    stage = restarted(stage).await;
    stage.graphql("wagtail", &old).await.expect("the old cookie of an old session is good");
    let sfu = format!("{}/bbb-webrtc-sfu?sessionToken={}", old.prefix, old.token);
    stage.client().socket(&host("wagtail"), &sfu, &[("cookie", &old.cookies)]).await.expect("for its media as well");
    stage.graphql("heron", &old).await.expect_err("on its own host only");
    // Not for a join, whose session would be anybody's who has put it there.
    let params = [("meetingID", "room"), ("fullName", "Ada"), ("role", "VIEWER")];
    let path = sign::path("join", &params, &secret("wagtail"));
    let reply = stage.client().get_with(&host("wagtail"), &path, &[("cookie", &old.cookies)]).await;
    assert_eq!(received(&stage, "/join").last().unwrap().header("cookie"), None);
    // With both in one browser, each session has its own.
    let both = format!("{}; {}", old.cookies, reply.cookies());
    stage.graphql("wagtail", &Joined { cookies: both.clone(), ..old }).await.expect("the old one");
    let new = Joined { token: reply.location_param("sessionToken"), cookies: both, ..ours };
    stage.graphql("wagtail", &new).await.expect("the new one");
}

/// The same stage, its gateway started again.
async fn restarted(mut stage: Stage) -> Stage {
    stage.start_again().await;
    stage
}

#[tokio::test(flavor = "multi_thread")]
async fn a_frontend_sets_no_cookie_beyond_its_host_and_none_of_ours() {
    let frontend = EvilServer::start(|seen| {
        let slug = seen.target().trim_start_matches("/b/");
        let cookies = [
            "_greenlight=1; Path=/; HttpOnly".to_owned(),
            "wide=1; Domain=localhost; Path=/".to_owned(),
            "dotted=1; domain=.localhost".to_owned(),
            "other=1; Domain=heron.localhost".to_owned(),
            "own=1; Domain=wagtail.localhost; Secure".to_owned(),
            format!("__Host-JSESSIONID.{slug}=evil; Path=/; Secure"),
            format!("JSESSIONID.{slug}=evil; Domain=localhost"),
            format!("=JSESSIONID.{slug}=evil"),
            format!("x.{slug}=evil"),
        ];
        let headers: String = cookies.iter().map(|cookie| format!("set-cookie: {cookie}\r\n")).collect();
        EvilServer::answer("200 OK", &headers, "hello")
    })
    .await;
    let more = format!("frontend = \"http://{}\"", frontend.address);
    let stage = Plan::new().server("members").tenant_with("wagtail", "multi-account", &more).start().await;
    stage.create("wagtail", "room").await;
    let joined = stage.joined("wagtail", "room", "Ada").await;
    let slug = joined.prefix.trim_start_matches("/s/");
    let headers = [("cookie", &*format!("_greenlight=1; {}", joined.cookies))];
    let reply = stage.client().get_with(&host("wagtail"), &format!("/b/{slug}"), &headers).await;
    let set: Vec<_> = reply.headers.get_all("set-cookie").iter().map(|value| value.to_str().unwrap()).collect();
    assert_eq!(
        set,
        [
            "_greenlight=1; Path=/; HttpOnly; Secure",
            "wide=1; Path=/; Secure",
            "dotted=1; Secure",
            "other=1; Secure",
            "own=1; Domain=wagtail.localhost; Secure",
        ]
    );
    assert_eq!(frontend.seen()[0].header("cookie"), ["_greenlight=1"], "and it sees none");
}

#[tokio::test(flavor = "multi_thread")]
async fn no_body_of_a_stranger_is_carried_to_a_server() {
    let (stage, ours, theirs) = two_tenants().await;
    for path in [
        "/bigbluebutton/presentation/token/upload",
        "/bigbluebutton/fileUpload/x",
        "/html5client/feedback",
        "/bigbluebutton/api/feedback",
        "/bigbluebutton/api/stuns",
        "/pad/x",
        "/api/rest/x",
    ] {
        let path = format!("{}{path}", ours.prefix);
        let planted = ours.cookies.replace("__Host-", "");
        for cookie in ["", "JSESSIONID=1", &planted, &theirs.cookies] {
            let mut raw = Raw::open(&stage, &host("wagtail")).await;
            let head = format!(
                "POST {path} HTTP/1.1\r\nhost: wagtail.localhost\r\ncookie: {cookie}\r\ncontent-length: 5000000\r\n\r\nx"
            );
            let answer = raw.send(head).await.head().await;
            // Refused before the rest of the body has come. A call of the client is refused in its own words.
            let is_refused = match path.rsplit('/').next() {
                Some("feedback") if path.contains("/api/") => "200 OK",
                // A call that takes no body, whoever sends it.
                Some("stuns") => "400 ",
                _ => "401 ",
            };
            assert!(answer.starts_with(&format!("HTTP/1.1 {is_refused}")), "{path} {cookie}: {answer}");
        }
    }
    let posted = |seen: &Received| seen.method == "POST" && seen.body_bytes > 0;
    assert!(!stage.sims[0].log().iter().any(posted), "{:?}", stage.sims[0].log());
    // Who has a session may: by its cookie, or by its token.
    let by_cookie = format!("{}/bigbluebutton/presentation/token/upload", ours.prefix);
    let by_token = format!("{by_cookie}?sessionToken={}", ours.token);
    for (path, headers) in [(by_cookie, vec![("cookie", &*ours.cookies)]), (by_token, Vec::new())] {
        let mut request = http::Request::post(&*path);
        for (name, value) in headers {
            request = request.header(name, value);
        }
        let reply = stage.client().send_body(&host("wagtail"), request, "x".into()).await;
        assert_ne!(reply.status, 401, "{path}: {}", reply.body);
    }
    assert_eq!(received(&stage, "/upload").len(), 2);
}

/// What applications believe of a proxy, one of each family and spelling.
const CLAIMS: [&str; 24] = [
    "Client-IP",
    "True-Client-IP",
    "X-Client-IP",
    "X-Cluster-Client-IP",
    "CF-Connecting-IP",
    "Fastly-Client-IP",
    "X-Real-IP",
    "X_Real_IP",
    "X-Forwarded",
    "X-Forwarded-Host",
    "X-Forwarded-Port",
    "X-Forwarded-Prefix",
    "X-Forwarded-Server",
    "Forwarded",
    "X-HTTP-Method-Override",
    "X-Method-Override",
    "X-Original-URL",
    "X-Rewrite-URL",
    "X-Accel-Redirect",
    "X-Sendfile-Type",
    "X-Envoy-External-Address",
    "X-ProxyUser-Ip",
    "X-Remote-User",
    "X-Hasura-Role",
];

#[tokio::test(flavor = "multi_thread")]
async fn what_only_a_proxy_may_say_reaches_nobody() {
    let frontend = EvilServer::start(|_| EvilServer::answer("200 OK", "", "hello")).await;
    let more = format!("frontend = \"http://{}\"", frontend.address);
    let stage = Plan::new().server("members").tenant_with("wagtail", "multi-account", &more).start().await;
    stage.create("wagtail", "room").await;
    let joined = stage.joined("wagtail", "room", "Ada").await;
    let claims: String = CLAIMS.iter().map(|name| format!("{name}: 6.6.6.6\r\n")).collect();
    let ask = async |path: &str| {
        let request = format!(
            "GET {path} HTTP/1.1\r\nhost: wagtail.localhost\r\nx-forwarded-for: 6.6.6.6\r\nx-forwarded-proto: 6.6.6.6\r\n\
             x-session-token: {}\r\ncookie: {}\r\nx-requested-with: me\r\n{claims}connection: close\r\n\r\n",
            joined.token, joined.cookies
        );
        let answer = one(&stage, &host("wagtail"), &request).await;
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    };
    ask("/b/room").await;
    ask(&format!("{}/api/rest/userMetadata", joined.prefix)).await;
    let seen = &frontend.seen()[0];
    assert!(!seen.head.contains("6.6.6.6"), "{}", seen.head);
    assert_eq!(seen.header("x-forwarded-for"), ["127.0.0.1"]);
    assert_eq!(seen.header("x-forwarded-host"), ["wagtail.localhost"]);
    assert_eq!(seen.header("x-requested-with"), ["me"], "what is no such claim passes");
    let at_server = received(&stage, "/userMetadata");
    let headers = &at_server[0].headers;
    assert!(headers.iter().all(|(_, value)| value != "6.6.6.6"), "{headers:?}");
    assert_eq!(at_server[0].header("x-forwarded-for"), Some("127.0.0.1"));
    assert_eq!(at_server[0].header("x-requested-with"), Some("me"));
}

/// A stage whose server answers as it is told to where it is told to, and as a simulated one everywhere else.
async fn behind(evil: impl Fn(&Seen) -> Option<Vec<u8>> + Send + Sync + 'static) -> (Stage, EvilServer) {
    let mut server = None;
    let plan = Plan::new().server("members").tenant("wagtail", "multi-account");
    let stage = plan.start_changed(async |text, sims| {
        let behind = sims[0].addr();
        let answer =
            move |seen: &Seen| evil(seen).unwrap_or_else(|| tokio::task::block_in_place(|| passed_on(behind, seen)));
        let server = server.insert(EvilServer::start(answer).await);
        text.replace(&sims[0].url(), &format!("http://{}", server.address))
    });
    (stage.await, server.unwrap())
}

/// What another server answers to a request without a body.
fn passed_on(to: SocketAddr, seen: &Seen) -> Vec<u8> {
    let mut stream = std::net::TcpStream::connect(to).unwrap();
    let head = seen.head.trim_end().replacen("\r\n", "\r\nconnection: close\r\n", 1);
    stream.write_all(format!("{head}\r\n\r\n").as_bytes()).unwrap();
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    answer
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_neither_names_its_server_nor_leads_there() {
    let told = |own: &str| {
        format!(
            "refresh: 0; url=http://{own}/\r\nlink: <http://{own}/x>; rel=preload\r\ncontent-location: http://{own}/x\r\n\
             via: 1.1 {own}\r\nserver: {own}\r\nserver-timing: {own};dur=1\r\nx-powered-by: {own}\r\n\
             alt-svc: h3=\"{own}\"\r\nsourcemap: http://{own}/x.map\r\nnel: {{\"report_to\":\"{own}\"}}\r\n\
             report-to: {{\"endpoints\":[{{\"url\":\"http://{own}/\"}}]}}\r\naccess-control-allow-origin: http://{own}\r\n\
             content-security-policy: default-src 'self' http://{own} wss://bbb-01.internal.test bbb-01.internal.test\r\n\
             x-anything: http%3A%2F%2F{own}\r\nx-accel-redirect: /protected\r\nx-sendfile: /protected\r\n\
             clear-site-data: \"*\"\r\nservice-worker-allowed: /\r\nset-cookie: a=1; Domain={own}\r\n"
        )
    };
    let (stage, server) = behind(move |seen| {
        let own = seen.header("host").concat();
        let (path, query) = seen.target().split_once('?').unwrap_or((seen.target(), ""));
        let location = match query.split('&').find_map(|pair| pair.strip_prefix("case=")) {
            Some("query") => format!("https://elsewhere.example/bye?u=http%3A%2F%2F{}%2Fx", own.replace(':', "%3A")),
            Some("plain") => format!("/x?u=https://{own}/x&v=bbb-01.internal.test"),
            Some("slashes") => format!("//{own}/x"),
            Some("backslash") => format!("/\\{own}/x"),
            Some("backslashes") => format!("\\\\{own}\\x"),
            Some("tab") => format!("/\t/{own}/x"),
            Some("user") => format!("https://wagtail.localhost@{own}/x"),
            Some("deep") => format!("/x?u=http%253A%252F%252F{}", own.replace(':', "%253A")),
            Some("script") => "javascript:alert(1)".into(),
            _ => format!("http://{own}/x"),
        };
        let headers = format!("location: {location}\r\n{}", told(&own));
        ["/pad/", "/html5client/evil", "/presentation/", "/bbb-webrtc-sfu"]
            .iter()
            .any(|start| path.starts_with(start))
            .then(|| EvilServer::answer(if path.ends_with(".js") { "200 OK" } else { "302 Found" }, &headers, ""))
    })
    .await;
    stage.create("wagtail", "room").await;
    let joined = stage.joined("wagtail", "room", "Ada").await;
    let (prefix, own) = (&joined.prefix, server.address.to_string());
    let start = format!("https://wagtail.localhost{prefix}/x");
    let check = |what: &str, reply: &Reply| {
        let all = format!("{:?}", reply.headers);
        for name in [&*own, "127.0.0.1", "bbb-01", "internal.test", &own.replace(':', "%3A"), "protected"] {
            assert!(!all.contains(name), "{what}: {name} is told: {all}");
        }
        for name in ["refresh", "link", "via", "server", "alt-svc", "nel", "x-accel-redirect", "clear-site-data"] {
            assert_eq!(reply.header(name), "", "{what}");
        }
    };
    for (case, location) in [
        ("host", start.clone()),
        (
            "query",
            format!("https://elsewhere.example/bye?u=https%3A%2F%2Fwagtail%2Elocalhost%2Fs%2F{}%2Fx", &prefix[3..]),
        ),
        ("plain", format!("{start}?u={start}&v=wagtail.localhost")),
        ("slashes", start.clone()),
        ("backslash", start.clone()),
        ("backslashes", start.clone()),
        ("tab", start.clone()),
        ("user", String::new()),
        ("deep", String::new()),
        ("script", String::new()),
    ] {
        let path = format!("{prefix}/pad/x?case={case}&sessionToken={}", joined.token);
        let reply = stage.client().get(&host("wagtail"), &path).await;
        assert_eq!((reply.status.as_u16(), reply.header("location")), (302, &*location), "{case}");
        check(case, &reply);
        assert_eq!(reply.header("access-control-allow-origin"), "https://wagtail.localhost", "{case}");
        assert_eq!(
            reply.header("content-security-policy"),
            "default-src 'self' https://wagtail.localhost wss://wagtail.localhost wagtail.localhost",
            "{case}"
        );
        let cookie = reply.header("set-cookie");
        assert!(cookie.starts_with("__Host-a.") && cookie.ends_with("; Path=/; Secure"), "{cookie}");
    }
    // By every other way: client files, and what is asked for a socket.
    for path in ["/html5client/evil.js", "/html5client/evil"] {
        check(path, &stage.client().get(&host("wagtail"), &format!("{prefix}{path}")).await);
    }
    let path = format!("{prefix}/bbb-webrtc-sfu?sessionToken={}", joined.token);
    let upgrade = [
        ("connection", "Upgrade"),
        ("upgrade", "websocket"),
        ("sec-websocket-version", "13"),
        ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
    ];
    check("a socket", &stage.client().get_with(&host("wagtail"), &path, &upgrade).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn browsers_are_told_to_stay_within_tls() {
    let frontend =
        EvilServer::start(|_| EvilServer::answer("200 OK", "strict-transport-security: max-age=0\r\n", "")).await;
    let more = format!("frontend = \"http://{}\"", frontend.address);
    let raised = "hsts = \"max-age=63072000; includeSubDomains\"";
    let plan = Plan::new().server("members").tenant_with("wagtail", "multi-account", &more);
    let plan =
        plan.tenant_with("heron", "multi-account", raised).tenant_with("dove", "multi-account", "hsts = \"off\"");
    let stage = plan.start().await;
    for (tenant, expected) in
        [("wagtail", "max-age=31536000"), ("heron", "max-age=63072000; includeSubDomains"), ("dove", "")]
    {
        for path in ["/", "/bigbluebutton/api", "/bigbluebutton/api/getMeetings", "/s/x/html5client/", "/graphql"] {
            let reply = stage.client().get(&host(tenant), path).await;
            assert_eq!(reply.header("strict-transport-security"), expected, "{tenant} {path}");
        }
        let plain = plain_get(stage.app.as_ref().unwrap().http[0], &host(tenant), "/").await;
        assert_eq!((plain.status.as_u16(), plain.header("strict-transport-security")), (308, ""), "{tenant}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn people_are_led_to_pages_only() {
    let (stage, ..) = two_tenants().await;
    for address in ["javascript:alert(1)", "JavaScript://x/%0aalert(1)", "data:text/html,x", "/bye", "//evil.example/"]
    {
        for name in ["logoutURL", "loginURL"] {
            let params = [("name", "other"), ("meetingID", "other"), (name, address)];
            let reply = stage.api("wagtail", "create", &params).await;
            assert_eq!(reply.xml("messageKey"), "validationError", "{name} {address}: {}", reply.body);
        }
        for name in ["logoutURL", "errorRedirectUrl"] {
            let params = [("meetingID", "room"), ("fullName", "Ada"), ("role", "VIEWER"), (name, address)];
            let reply = stage.api("wagtail", "join", &params).await;
            assert_eq!(reply.xml("messageKey"), "validationError", "{name} {address}: {}", reply.body);
            assert_eq!(reply.header("location"), "", "{name} {address}");
        }
    }
    assert!(stage.on_server("wagtail", "other").is_none());
    let params = [("name", "other"), ("meetingID", "other"), ("logoutURL", "HTTPS://school.example/?m=%%MEETINGID%%")];
    assert_eq!(stage.api("wagtail", "create", &params).await.xml("returncode"), "SUCCESS");
}

/// A name server that knows these names, and never answers for `silent`. `shy` has an address of the older kind, and keeps its
/// answer for the newer kind back.
async fn name_server() -> SocketAddr {
    let socket = Arc::new(UdpSocket::bind("127.0.0.1:0").await.unwrap());
    let address = socket.local_addr().unwrap();
    tokio::spawn(async move {
        let mut query = [0; 1500];
        while let Ok((length, from)) = socket.recv_from(&mut query).await {
            if let Some(answer) = resolved(&query[..length]) {
                let _ = socket.send_to(&answer, from).await;
            }
        }
    });
    address
}

/// The answer to a query for one name.
fn resolved(query: &[u8]) -> Option<Vec<u8>> {
    let (mut at, mut labels) = (12, Vec::new());
    while query[at] > 0 {
        let end = at + 1 + usize::from(query[at]);
        labels.push(String::from_utf8_lossy(&query[at + 1..end]).to_ascii_lowercase());
        at = end;
    }
    let is_newer = query[at + 2] == 28;
    let mut records: Vec<Vec<u8>> = Vec::new();
    match (&*labels[0], is_newer) {
        ("silent", _) | ("shy", true) => return None,
        ("inside" | "shy", false) => records.push(vec![10, 0, 0, 1]),
        ("half", false) => records.extend([vec![93, 184, 216, 34], vec![127, 0, 0, 1]]),
        ("newer", true) => records.push("fd00::1".parse::<std::net::Ipv6Addr>().unwrap().octets().into()),
        ("newer" | "public", false) => records.push(vec![93, 184, 216, 34]),
        _ => {}
    }
    let mut answer = vec![query[0], query[1], 0x81, 0x80, 0, 1, 0, u8::try_from(records.len()).unwrap(), 0, 0, 0, 0];
    answer.extend(&query[12..at + 5]);
    for record in records {
        // The name of the question, its type and class, a minute.
        answer.extend([0xc0, 12, 0, query[at + 2], 0, 1, 0, 0, 0, 60, 0, u8::try_from(record.len()).unwrap()]);
        answer.extend(record);
    }
    Some(answer)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_document_is_not_fetched_from_where_its_name_leads_inside() {
    let keys = format!("[upstream]\nresolver = [\"{}\"]", name_server().await);
    let plan = Plan::new().server_like("members", &keys).tenant("wagtail", "multi-account");
    let stage =
        plan.tenant_with("heron", "multi-account", "---[create]\npreUploadedPresentation = \"pass\"").start().await;
    let modules = |name: &str| {
        format!(
            "<modules><module name=\"presentation\"><document url=\"https://public.example/a.pdf\"/>\
             <document url=\"http://{name}.example:8080/a.pdf\"/></module></modules>"
        )
    };
    let mut made = BTreeSet::new();
    for (name, is_fetched) in [
        ("inside", false),
        ("half", false),
        ("newer", false),
        ("shy", false),
        ("public", true),
        ("unknown", true),
        ("silent", true),
    ] {
        let address = format!("https://{name}.example/slides.pdf");
        let by_name = [("name", name), ("meetingID", name), ("preUploadedPresentation", &*address)];
        let reply = stage.api("wagtail", "create", &by_name).await;
        let expected = if is_fetched { "" } else { "validationError" };
        assert_eq!(reply.xml("messageKey"), expected, "{name}: {}", reply.body);
        let (by_body, by_notes) = (format!("{name}-body"), format!("{name}-notes"));
        let notes = [("name", name), ("meetingID", &*by_notes), ("sharedNotesInitialContentMarkdownUrl", &*address)];
        let reply = stage.api("wagtail", "create", &notes).await;
        assert_eq!(reply.xml("messageKey"), expected, "{name}, of notes: {}", reply.body);
        let path = sign::path("create", &[("name", name), ("meetingID", &*by_body)], &secret("wagtail"));
        let reply = stage.client().post(&host("wagtail"), &path, "application/xml", modules(name)).await;
        assert_eq!(reply.xml("messageKey"), expected, "{name}, in the body: {}", reply.body);
        made.extend(is_fetched.then(|| name.to_owned()));
        for meeting in [name, &*by_body, &*by_notes] {
            assert_eq!(stage.on_server("wagtail", meeting).is_some(), is_fetched, "{meeting}");
        }
        let path = sign::path("insertDocument", &[("meetingID", "public")], &secret("wagtail"));
        if stage.on_server("wagtail", "public").is_some() {
            let before = received(&stage, "/insertDocument").len();
            let reply = stage.client().post(&host("wagtail"), &path, "application/xml", modules(name)).await;
            assert_eq!(reply.xml("returncode") == "SUCCESS", is_fetched, "{name}, inserted: {}", reply.body);
            let seen = received(&stage, "/insertDocument").len();
            assert_eq!(seen - before, usize::from(is_fetched), "{name}: nothing of a refused body reaches the server");
        }
    }
    for name in ["inside", "half", "newer", "shy"] {
        let path = sign::path("insertDocument", &[("meetingID", "public")], &secret("wagtail"));
        let reply = stage.client().post(&host("wagtail"), &path, "application/xml", modules(name)).await;
        assert_eq!(reply.xml("returncode"), "FAILED", "{name}, inserted: {}", reply.body);
    }
    assert_eq!(received(&stage, "/insertDocument").len(), made.len());
    // Where the operator lets all through, nothing is asked.
    let params = [("name", "x1"), ("meetingID", "x1"), ("preUploadedPresentation", "https://inside.example/a.pdf")];
    assert_eq!(stage.api("heron", "create", &params).await.xml("returncode"), "SUCCESS");
    let many: String = (0..65).map(|n| format!("<document url=\"https://n{n}.example/a.pdf\"/>")).collect();
    let body = format!("<modules><module name=\"presentation\">{many}</module></modules>");
    let path = sign::path("create", &[("name", "x2"), ("meetingID", "x2")], &secret("wagtail"));
    let reply = stage.client().post(&host("wagtail"), &path, "application/xml", body).await;
    assert_eq!(reply.xml("messageKey"), "documentLimitReached", "{}", reply.body);
}
