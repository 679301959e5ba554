//! What belongs to the session of a meeting, and what is asked for without one: found where it is, and told to nobody else.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
};

use anteroom_bench::sim::{self, Received, RecordingSeed, Sim};
use axum::{Router, extract::Request, http::HeaderMap};
use futures_util::{SinkExt, StreamExt};
use http::StatusCode;
use tokio_tungstenite::tungstenite::Message;

use crate::support::{Client, Joined, Plan, Reply, Stage, host};

/// A meeting as somebody has it who moderates it.
struct Room {
    name: &'static str,
    joined: Joined,
    int_id: String,
    /// Of the learning dashboard.
    access: String,
}

/// Two servers with a meeting of the tenant on each, a second tenant with meetings of its own on both, and a third that has
/// none.
async fn rooms(plan: Plan) -> (Stage, [Room; 2]) {
    let plan = plan.server("members").server("members").tenant("heron", "multi-account").tenant("dove", "free");
    let stage = plan.start().await;
    let mut rooms = Vec::new();
    for room in ["one", "two"] {
        let created = stage.create("wagtail", room).await;
        let joined = stage.joined("wagtail", room, "Ada").await;
        let access = access(&stage, &joined).await;
        rooms.push(Room { name: room, joined, int_id: created.xml("internalMeetingID").to_owned(), access });
    }
    for room in ["one", "two"] {
        stage.create("heron", room).await;
    }
    assert!(rooms[0].joined.prefix != rooms[1].joined.prefix, "each went to the server with the least load");
    assert!(stage.sims.iter().all(|sim| sim.meetings().len() == 2));
    let rooms: [Room; 2] = rooms.try_into().unwrap_or_else(|_| unreachable!("there are two"));
    (stage, rooms)
}

/// The access token of a meeting's learning dashboard, which its server tells moderators.
async fn access(stage: &Stage, joined: &Joined) -> String {
    let mut socket = stage.graphql("wagtail", joined).await.unwrap();
    let query = r#"{"type":"subscribe","id":"m","payload":{"query":"subscription M { meeting { name } }"}}"#;
    socket.send(Message::text(query)).await.unwrap();
    let told = socket.next().await.unwrap().unwrap().into_text().unwrap();
    let (_, token) = told.split_once(r#""learningDashboardAccessToken":""#).unwrap();
    token.split('"').next().unwrap().to_owned()
}

/// What the servers have got of a path: by server, the last request.
fn seen(stage: &Stage, path: &str) -> Vec<(usize, Received)> {
    let of = |n: usize| stage.sims[n].log().into_iter().rfind(|seen| seen.path == path).map(|seen| (n, seen));
    (0..stage.sims.len()).filter_map(of).collect()
}

fn server_of(stage: &Stage, room: &Room) -> usize {
    stage.sims.iter().position(|sim| sim.meetings().iter().any(|meeting| meeting.int_id == room.int_id)).unwrap()
}

/// Somebody who comes with nothing but the page that they are on.
async fn from_page(client: &Client, tenant: &str, path: &str, page: &str) -> Reply {
    let page = format!("https://{}{page}", host(tenant));
    client.get_with(&host(tenant), path, &[("referer", &page)]).await
}

// 8. "A dashboard link in another browser (`/learning-analytics-dashboard/?meeting=<internal id>&report=...`) is 404 for the
// page and 200 for its data."

#[tokio::test(flavor = "multi_thread")]
async fn a_dashboard_link_in_another_browser_shows_its_page_with_all_files_and_its_data() {
    let (stage, rooms) = rooms(Plan::new().tenant("wagtail", "multi-account")).await;
    let client = stage.client();
    let base = "/learning-analytics-dashboard";
    let script = format!("{base}/static/js/dashboard.js");
    for room in &rooms {
        let (id, access, at) = (&room.int_id, &room.access, server_of(&stage, room));
        // As it is told on the host's root, and as a client below the prefix of its server makes it.
        for prefix in ["", &room.joined.prefix] {
            stage.sims.iter().for_each(Sim::clear_log);
            let page = format!("{prefix}{base}/?meeting={id}&report={access}&lang=en");
            let reply = client.get(&host("wagtail"), &page).await;
            assert_eq!(
                (reply.status, reply.header("content-type")),
                (StatusCode::OK, "text/html"),
                "{page}: {reply:?}"
            );
            assert!(reply.body.contains("Learning dashboard"), "{}", reply.body);
            // Its script is beside it, its words are at the root.
            for path in [format!("{prefix}{script}"), "/html5client/locales/en.json".to_owned()] {
                let reply = from_page(&client, "wagtail", &path, &page).await;
                assert_eq!(reply.status, StatusCode::OK, "{path} of {page}: {reply:?}");
            }
            let data = format!("{prefix}{base}/{id}/{access}/learning_dashboard_data.json");
            let reply = from_page(&client, "wagtail", &data, &page).await;
            assert_eq!(reply.status, StatusCode::OK, "{data}: {reply:?}");
            assert!(reply.body.contains("\"Ada\""), "{}", reply.body);
            let places: Vec<_> = seen(&stage, &script).into_iter().map(|(n, _)| n).collect();
            assert_eq!(places, [at], "the page's files are of the server that has its meeting");
        }
        // The page's link as the client of 3.0 makes it, long after the session is over, or with that of somebody else.
        let theirs = stage.joined("heron", "one", "Mallory").await.token;
        for (prefix, token) in
            [("", "gone"), (&room.joined.prefix, "gone"), ("", &theirs), ("", "a%62c&sessionToken=b")]
        {
            let page = format!("{prefix}{base}/?meeting={id}&lang=en&sessionToken={token}");
            let data = format!("{prefix}{base}/{id}/{access}/learning_dashboard_data.json?sessionToken={token}");
            for path in [&page, &data] {
                assert_eq!(client.get(&host("wagtail"), path).await.status, StatusCode::OK, "{path}");
            }
            let asked = seen(&stage, &format!("{base}/")).pop().unwrap();
            assert_eq!((asked.0, asked.1.query.unwrap()), (at, format!("meeting={id}&lang=en")), "no session goes on");
        }
        // BBB itself wants the access token of its meeting, for the data alone.
        for wrong in ["wrong", &rooms[0].access, &rooms[1].access].into_iter().filter(|wrong| wrong != access) {
            let data = format!("{base}/{id}/{wrong}/learning_dashboard_data.json");
            assert_eq!(client.get(&host("wagtail"), &data).await.status, StatusCode::NOT_FOUND, "{data}");
        }
        // Another tenant's is not there, whichever way it is asked for.
        for prefix in ["", &room.joined.prefix] {
            let page = format!("{prefix}{base}/?meeting={id}&report={access}");
            let data = format!("{prefix}{base}/{id}/{access}/learning_dashboard_data.json");
            for path in [&page, &data] {
                assert_eq!(client.get(&host("heron"), path).await.status, StatusCode::NOT_FOUND, "{path}");
            }
        }
        // After the end likewise.
        let page = format!("{base}/?meeting={id}&report={access}");
        let data = format!("{base}/{id}/{access}/learning_dashboard_data.json");
        stage.api("wagtail", "end", &[("meetingID", room.name)]).await;
        for (path, page) in [(&*page, ""), (&script, &page), (&data, &page)] {
            let reply = from_page(&client, "wagtail", path, page).await;
            assert_eq!(reply.status, StatusCode::OK, "{path}: {reply:?}");
        }
        for path in [&*script, "/html5client/locales/en.json"] {
            let reply = from_page(&client, "heron", path, &page).await;
            assert_eq!(reply.status, StatusCode::NOT_FOUND, "{path}: {reply:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_files_of_a_page_are_found_by_a_page_of_this_host_only() {
    let (stage, rooms) = rooms(Plan::new().tenant("wagtail", "multi-account")).await;
    let client = stage.client();
    let script = "/learning-analytics-dashboard/static/js/dashboard.js";
    let id = &rooms[1].int_id;
    let nobody = format!("{}-1700000000000", "a".repeat(40));
    for (page, status) in [
        (format!("https://wagtail.localhost/learning-analytics-dashboard/?meeting={id}&report=x"), 200),
        (
            format!(
                "https://WAGTAIL.localhost/learning-analytics-dashboard/?lang=de&meeting={}",
                id.replace('-', "%2D")
            ),
            200,
        ),
        (format!("https://wagtail.localhost{}/html5client/", rooms[0].joined.prefix), 200),
        (format!("https://wagtail.localhost/learning-analytics-dashboard/?meeting={nobody}"), 404),
        (format!("https://heron.localhost/learning-analytics-dashboard/?meeting={id}"), 404),
        (format!("https://evil.example/learning-analytics-dashboard/?meeting={id}"), 404),
        (format!("https://wagtail.localhost@evil.example/?meeting={id}"), 404),
        ("https://wagtail.localhost/s/aaaaaaaa/html5client/".to_owned(), 404),
        ("https://wagtail.localhost/rooms".to_owned(), 404),
        ("nonsense".to_owned(), 404),
    ] {
        let reply = client.get_with(&host("wagtail"), script, &[("referer", &page)]).await;
        assert_eq!(reply.status.as_u16(), status, "{page}: {reply:?}");
    }
    assert_eq!(client.get(&host("wagtail"), script).await.status, StatusCode::NOT_FOUND);
    // What is not the same for everybody is not found so.
    let page = format!("https://wagtail.localhost{}/html5client/", rooms[0].joined.prefix);
    for path in ["/api/rest/userMetadata", "/bbb-webrtc-sfu", "/bigbluebutton/api/stuns", "/pad/p/notes"] {
        let alone = client.get(&host("wagtail"), path).await;
        let reply = client.get_with(&host("wagtail"), path, &[("referer", &page)]).await;
        assert_eq!((reply.status, reply.body), (alone.status, alone.body), "{path}");
    }
}

// 16. "Plugins' data sources (plugin SDK 0.0.94 and 0.1.26): `GET /api/plugin/<plugin>/<source>/` at the root with
// `X-Session-Token` and cookies is 404, or goes to the tenant's `frontend` together with the session token's header."

#[tokio::test(flavor = "multi_thread")]
async fn a_plugins_data_source_is_found_by_the_token_of_a_session() {
    let (stage, rooms) = rooms(Plan::new().tenant("wagtail", "multi-account")).await;
    let client = stage.client();
    let path = "/api/plugin/quiz/allUsers/";
    // One browser has the cookies of both meetings, and sends them all.
    let cookies = rooms.each_ref().map(|room| &*room.joined.cookies).join("; ");
    for room in &rooms {
        let token = ("x-session-token", &*room.joined.token);
        for prefix in ["", &room.joined.prefix] {
            let path = format!("{prefix}{path}");
            let reply = client.get_with(&host("wagtail"), &path, &[token, ("cookie", &cookies)]).await;
            assert_eq!(reply.status, StatusCode::OK, "{path}: {reply:?}");
            let data: serde_json::Value = serde_json::from_str(&reply.body).unwrap();
            let told = ["plugin", "source", "meeting", "user"].map(|key| data[key].as_str().unwrap());
            assert_eq!(told, ["quiz", "allUsers", &room.int_id, "Ada"]);
            // BBB itself wants the cookie as well.
            let reply = client.get_with(&host("wagtail"), &path, &[token]).await;
            assert_eq!(reply.status, StatusCode::UNAUTHORIZED, "{path}: {reply:?}");
        }
    }
    let (ours, other) = (&rooms[0].joined, &rooms[1].joined);
    stage.sims.iter().for_each(Sim::clear_log);
    let below = format!("{}{path}", ours.prefix);
    let with_query = format!("{path}?sessionToken={}", other.token);
    let cookies = ("cookie", &*cookies);
    for (tenant, path, headers, status) in [
        ("wagtail", path, vec![cookies], 404),
        ("wagtail", &below, vec![cookies], 401),
        ("wagtail", path, vec![cookies, ("x-session-token", "")], 401),
        ("wagtail", path, vec![cookies, ("x-session-token", "nobodys")], 401),
        ("wagtail", &below, vec![cookies, ("x-session-token", &other.token)], 401),
        ("wagtail", &with_query, vec![cookies, ("x-session-token", &ours.token)], 401),
        // Another tenant's session is none.
        ("heron", path, vec![cookies, ("x-session-token", &ours.token)], 401),
        ("heron", &below, vec![cookies, ("x-session-token", &ours.token)], 401),
        ("heron", path, vec![cookies], 404),
    ] {
        let reply = client.get_with(&host(tenant), path, &headers).await;
        assert_eq!(reply.status.as_u16(), status, "{tenant} {path} {headers:?}: {reply:?}");
    }
    assert_eq!(seen(&stage, path).len(), 0, "no server is asked");
}

/// A frontend that tells of each request its address and its headers, and opens no socket.
async fn frontend() -> (SocketAddr, Arc<Mutex<Vec<(String, HeaderMap)>>>) {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let note = Arc::clone(&seen);
    let app = Router::new().fallback(move |request: Request| {
        let (head, _) = request.into_parts();
        note.lock().unwrap().push((head.uri.to_string(), head.headers));
        async { "the frontend" }
    });
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, app).await });
    (address, seen)
}

#[tokio::test(flavor = "multi_thread")]
async fn what_belongs_to_a_session_is_never_sent_to_a_frontend() {
    let (address, seen) = frontend().await;
    let keys = format!("frontend = \"http://{address}\"");
    let (stage, rooms) = rooms(Plan::new().tenant_with("wagtail", "multi-account", &keys)).await;
    let client = stage.client();
    let Room { joined, int_id, access, .. } = &rooms[0];
    let Joined { prefix, token, cookies } = joined;
    let own = host("wagtail");
    let cookies = format!("_greenlight=1; {cookies}; ld-{int_id}={access}; sessionID=s.{token}");
    let client_page = format!("https://{own}{prefix}/html5client/?sessionToken={token}");
    let dashboard = format!("https://{own}/learning-analytics-dashboard/?meeting={int_id}&report={access}");
    let origin = format!("https://{own}/");
    let rooms_page = format!("https://{own}/rooms/x?tab=1");
    for (path, referrer, got, told) in [
        // Somebody leaves the client for the frontend's page.
        ("/rooms".to_owned(), &*client_page, "/rooms", &*origin),
        (format!("/rooms?a=1&sessionToken={token}&b=2"), &dashboard, "/rooms?a=1&b=2", &origin),
        (format!("/?session%54oken={token}"), &rooms_page, "/", &rooms_page),
        (format!("/html5client?sessionToken={token}"), &rooms_page, "/html5client", &rooms_page),
        (
            format!("/rooms?to=%2Fx%3FsessionToken%3D{token}"),
            "https://moodle.example/x?id=7",
            "/rooms",
            "https://moodle.example/x?id=7",
        ),
        // Without a session it may be a path of the frontend's.
        ("/api/plugin/quiz/allUsers/".to_owned(), &rooms_page, "/api/plugin/quiz/allUsers/", &rooms_page),
        ("/blank.pdf".to_owned(), &rooms_page, "/blank.pdf", &rooms_page),
    ] {
        let mut headers = vec![("cookie", &*cookies), ("referer", referrer)];
        if !path.starts_with("/api/plugin/") {
            headers.extend([("x-session-token", &**token), ("x_session_token", token)]);
        }
        let reply = client.get_with(&own, &path, &headers).await;
        assert_eq!((reply.status, &*reply.body), (StatusCode::OK, "the frontend"), "{path}: {reply:?}");
        let (address, headers) = seen.lock().unwrap().last().unwrap().clone();
        assert_eq!(address, got, "{path}");
        let header = |name: &str| headers.get(name).map(|value| value.to_str().unwrap());
        assert_eq!((header("cookie"), header("referer")), (Some("_greenlight=1"), Some(told)), "{path}");
    }
    // The socket of a frontend likewise; and a session that is none is not asked about there.
    let headers = [("cookie", &*cookies), ("referer", &*client_page), ("x-session-token", &**token)];
    client.socket(&own, &format!("/cable?sessionToken={token}"), &headers).await.unwrap_err();
    let known = seen.lock().unwrap().len();
    for token in [&**token, "nobodys", ""] {
        let reply = client.get_with(&own, "/api/plugin/quiz/allUsers/", &[("x-session-token", token)]).await;
        assert_eq!(reply.status, StatusCode::UNAUTHORIZED, "{token}: {reply:?}");
    }
    let seen = seen.lock().unwrap();
    assert_eq!(seen.len(), known);
    for secret in [&**token, access, int_id, "JSESSIONID"] {
        let told = seen.iter().find(|seen| format!("{seen:?}").contains(secret));
        assert!(told.is_none(), "{secret}: {told:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_server_of_a_recording_learns_of_no_session() {
    let (stage, rooms) = rooms(Plan::new().tenant("wagtail", "multi-account")).await;
    let params = [("name", "taped"), ("meetingID", "taped"), ("record", "true")];
    let created = stage.api("wagtail", "create", &params).await;
    let sim = stage.sims.iter().find(|sim| sim.meeting("t.wagtail.taped").is_some()).unwrap();
    let start_time_ms = Some(created.xml("createTime").parse().unwrap());
    let seed = RecordingSeed { ext_id: "t.wagtail.taped".into(), start_time_ms, ..RecordingSeed::default() };
    let path = format!("/presentation/{}/metadata.xml", sim.add_recording(seed));
    stage.joined("wagtail", "taped", "Ada").await;
    let token = &rooms[0].joined.token;
    for query in [format!("sessionToken={token}"), format!("x=1&to=%3FsessionToken%3D{token}")] {
        let headers = [("x-session-token", &**token), ("cookie", &rooms[0].joined.cookies)];
        let reply = stage.client().get_with(&host("wagtail"), &format!("{path}?{query}"), &headers).await;
        assert_eq!(reply.status, StatusCode::OK, "{reply:?}");
        let (_, asked) = seen(&stage, &path).pop().unwrap();
        assert!(!format!("{asked:?}").contains(&**token), "{asked:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_blank_page_that_the_client_asks_for_from_the_root_is_its_servers() {
    let (address, _) = frontend().await;
    let keys = format!("frontend = \"http://{address}\"");
    let (stage, rooms) = rooms(Plan::new().tenant_with("wagtail", "multi-account", &keys)).await;
    let client = stage.client();
    for room in &rooms {
        stage.sims.iter().for_each(Sim::clear_log);
        let page = format!("{}/html5client/", room.joined.prefix);
        for path in ["/blank.pdf", "/default.pdf", "/images/dot.png"] {
            let reply = from_page(&client, "wagtail", path, &page).await;
            assert_eq!(reply.status, StatusCode::OK, "{path}: {reply:?}");
            assert!(!reply.body.contains("frontend"), "{path}: {}", reply.body);
            let places: Vec<_> = seen(&stage, path).into_iter().map(|(n, _)| n).collect();
            assert_eq!(places, [server_of(&stage, room)], "{path}");
            assert_eq!(reply.header("vary"), "referer", "{path}");
            // Nothing of it is a session's, or another tenant's.
            let foreign = format!("{path}?meetingID={}-1700000000000", "a".repeat(40));
            assert_eq!(from_page(&client, "wagtail", &foreign, &page).await.status, StatusCode::NOT_FOUND, "{path}");
            let named = format!("{path}?sessionToken={}", room.joined.token);
            assert_eq!(from_page(&client, "wagtail", &named, &page).await.status, StatusCode::OK, "{path}");
            assert!(seen(&stage, path).iter().all(|(_, request)| request.query.is_none()), "{path}");
            // On other pages it is the frontend's, if there is one.
            for page in ["/rooms".to_owned(), format!("/rooms/7?recordID={}", room.int_id)] {
                let reply = from_page(&client, "wagtail", path, &page).await;
                assert_eq!((&*reply.body, reply.header("vary")), ("the frontend", "referer"), "{path} {page}");
            }
            assert_eq!(client.get(&host("heron"), path).await.status, StatusCode::NOT_FOUND, "{path}");
            // Who has no meeting on a server finds nothing there.
            let reply = from_page(&client, "dove", path, &page).await;
            assert_eq!(reply.status, StatusCode::NOT_FOUND, "{path}: {reply:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_frontend_the_cookie_of_one_server_tells_whose_file_is_meant() {
    let (stage, rooms) = rooms(Plan::new().tenant("wagtail", "multi-account")).await;
    let client = stage.client();
    let [one, two] = rooms.each_ref().map(|room| &*room.joined.cookies);
    let both = format!("{one}; {two}");
    for (tenant, cookies, status) in
        [("wagtail", one, 200), ("wagtail", two, 200), ("wagtail", &both, 404), ("dove", one, 404)]
    {
        let reply = client.get_with(&host(tenant), "/blank.pdf", &[("cookie", cookies)]).await;
        assert_eq!(reply.status.as_u16(), status, "{tenant} {cookies}: {reply:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_of_2_7_has_its_servers_files_and_a_frontend_its_own() {
    let (address, _) = frontend().await;
    let keys = format!("pool = \"own\"\nfrontend = \"http://{address}\"");
    let config = sim::Config { profile: sim::Profile::V2_7, ..sim::Config::default() };
    let plan = Plan::new().server_with_keys("own", config, "version = \"2.7\"").server("members");
    let stage = plan.tenant_with("wagtail", "multi-account", &keys).start().await;
    stage.create("wagtail", "room").await;
    let join = stage.join("wagtail", "room", "Ada").await;
    let page = join.header("location").strip_prefix("https://wagtail.localhost").unwrap().to_owned();
    for (page, is_servers) in [(&*page, true), ("/rooms", false)] {
        let reply = from_page(&stage.client(), "wagtail", "/default.pdf", page).await;
        assert_eq!(
            (reply.status, reply.body != "the frontend"),
            (StatusCode::OK, is_servers),
            "{page}: {}",
            reply.body
        );
    }
}
