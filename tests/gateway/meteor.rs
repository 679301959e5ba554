//! A server of BBB 2.7: its client knows of no prefix, so that it has its tenant's host to itself.

use anteroom_bench::sim::{self, Profile};
use futures_util::{SinkExt, StreamExt};
use percent_encoding::percent_decode_str;
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::Message;

use crate::support::{Plan, Reply, Stage, host};

const TENANT: &str = "wagtail";

/// A tenant with a server of 2.7 of its own, beside another one in the shared pool.
async fn stage() -> Stage {
    let old = sim::Config { profile: Profile::V2_7, ..sim::Config::default() };
    let plan = Plan::new().server_with_keys("wagtail", old, "version = \"2.7\"").server("members");
    plan.tenant_with(TENANT, "multi-account", "pool = \"wagtail\"").tenant("heron", "multi-account").start().await
}

/// Joins; what the browser has then: the address of the client, and its cookies.
async fn join(stage: &Stage, params: &[(&str, &str)]) -> (String, String, Reply) {
    let all = [&[("meetingID", "room"), ("fullName", "Ada"), ("role", "VIEWER")], params].concat();
    let reply = stage.api(TENANT, "join", &all).await;
    let location = reply.header("location").to_owned();
    let path = location.strip_prefix(&format!("https://{}", host(TENANT))).unwrap_or_else(|| panic!("{reply:?}"));
    (path.to_owned(), reply.cookies(), reply)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_meeting_of_2_7_is_on_the_tenants_host() {
    let stage = stage().await;
    stage.create(TENANT, "room").await;
    let (path, cookies, joined) = join(&stage, &[]).await;
    assert!(path.starts_with("/html5client/join?sessionToken="), "{path}");
    let token = joined.location_param("sessionToken");
    let client = stage.client();
    let get = async |path: &str| client.get_with(&host(TENANT), path, &[("cookie", &cookies)]).await;

    let page = get(&path).await;
    assert_eq!(page.status, 200);
    let html = percent_decode_str(&page.body).decode_utf8().unwrap();
    assert!(!html.contains("internal.test") && html.contains(&format!("https://{}/pad", host(TENANT))), "{html}");
    // Neither session nor cookie is in an address of its files.
    let styles = client.get(&host(TENANT), "/html5client/styles.css").await;
    assert_eq!((styles.status.as_u16(), styles.header("content-type")), (200, "text/css"));
    assert_eq!(client.get(&host(TENANT), "/bigbluebutton/ping").await.status, 200);

    let enter = get(&format!("/bigbluebutton/api/enter?sessionToken={token}")).await;
    let enter: Value = serde_json::from_str(&enter.body).unwrap();
    let enter = &enter["response"];
    assert_eq!((&enter["returncode"], &enter["externMeetingID"]), (&json!("SUCCESS"), &json!("room")), "{enter}");

    // The data comes over sockjs; a method call says who somebody is.
    let origin = format!("https://{}", host(TENANT));
    let headers = [("cookie", &*cookies), ("origin", &*origin)];
    let path = "/html5client/sockjs/123/abcdefgh/websocket";
    let mut socket = client.socket(&host(TENANT), path, &headers).await.unwrap();
    assert_eq!(socket.next().await.unwrap().unwrap(), Message::text("o"));
    let who = [&enter["meetingID"], &enter["internalUserID"], &enter["authToken"]];
    let call = json!({ "msg": "method", "id": "1", "method": "validateAuthToken", "params": who }).to_string();
    socket.send(Message::text(json!([call]).to_string())).await.unwrap();
    let said = socket.next().await.unwrap().unwrap().into_text().unwrap();
    assert!(said.contains("\\\"invalid\\\":false"), "{said}");
    assert_eq!(stage.on_server(TENANT, "room").unwrap().users_online, 1);

    let sfu = format!("/bbb-webrtc-sfu?sessionToken={token}");
    let mut sfu = client.socket(&host(TENANT), &sfu, &headers).await.unwrap();
    sfu.send(Message::text("hello")).await.unwrap();
    assert!(sfu.next().await.unwrap().unwrap().to_text().unwrap().contains("hello"));

    // Another tenant has nothing of it.
    for path in ["/html5client/join", "/html5client/styles.css", "/bigbluebutton/ping"] {
        assert_eq!(client.get_with(&host("heron"), path, &[("cookie", &cookies)]).await.status, 404, "{path}");
    }
    assert!(client.socket(&host("heron"), "/html5client/sockjs/123/abcdefgh/websocket", &[]).await.is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_guest_of_2_7_waits_on_the_tenants_host() {
    let stage = stage().await;
    let params = [("name", "room"), ("meetingID", "room"), ("guestPolicy", "ASK_MODERATOR")];
    assert_eq!(stage.api(TENANT, "create", &params).await.xml("returncode"), "SUCCESS");
    let (path, cookies, joined) = join(&stage, &[("guest", "true")]).await;
    assert!(path.starts_with("/html5client/guestWait?"), "{path}");
    let token = joined.location_param("sessionToken");
    let ask = async || {
        let path = format!("/bigbluebutton/api/guestWait?sessionToken={token}&redirect=false");
        let reply = stage.client().get_with(&host(TENANT), &path, &[("cookie", &cookies)]).await;
        assert!(!reply.body.contains("internal.test"), "{}", reply.body);
        serde_json::from_str::<Value>(&reply.body).unwrap()["response"].clone()
    };
    assert_eq!(ask().await["guestStatus"], "WAIT");
    assert!(stage.sims[0].judge_guest(&token, true));
    let allowed = ask().await;
    assert_eq!(allowed["guestStatus"], "ALLOW", "{allowed}");
    let start = format!("https://{}/html5client/join?sessionToken=", host(TENANT));
    assert!(allowed["url"].as_str().unwrap().starts_with(&start), "{allowed}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_device_of_a_person_leaves_the_sound_of_the_first_one() {
    let stage = stage().await;
    stage.create(TENANT, "room").await;
    let mut sockets = Vec::new();
    for _ in 0..2 {
        let (_, cookies, joined) = join(&stage, &[("userID", "ada")]).await;
        let sfu = format!("/bbb-webrtc-sfu?sessionToken={}", joined.location_param("sessionToken"));
        let origin = format!("https://{}", host(TENANT));
        let headers = [("cookie", &*cookies), ("origin", &*origin)];
        sockets.push(stage.client().socket(&host(TENANT), &sfu, &headers).await.unwrap());
    }
    for socket in &mut sockets {
        socket.send(Message::text("hello")).await.unwrap();
        assert!(socket.next().await.unwrap().unwrap().to_text().unwrap().contains("hello"));
    }
}
