//! Addresses in the forms in which clients and servers write them.

use anteroom_bench::{
    sign,
    sim::{Config, Profile},
};

use crate::support::{Plan, Stage, element, host, secret};

async fn stage(config: Config) -> Stage {
    Plan::new().server_with("members", config).tenant("wagtail", "level-1").start().await
}

/// Comes in as a browser does: follows the join to the client's page and opens the socket.
async fn comes_in(stage: &Stage, how: &str) {
    stage.create("wagtail", "room").await;
    let reply = stage.join("wagtail", "room", "Ada").await;
    let location = reply.header("location").to_owned();
    let start = format!("https://{}/s/", host("wagtail"));
    let client = location.strip_prefix(&start).and_then(|rest| rest.split_once('/')).map(|(_, path)| path);
    assert!(client.is_some_and(|path| path.starts_with("html5client/")), "{how}: {location} {}", reply.body);
    let path = location.strip_prefix(&format!("https://{}", host("wagtail"))).unwrap();
    let page = stage.client().get_with(&host("wagtail"), path, &[("cookie", &reply.cookies())]).await;
    assert_eq!(page.status, 200, "{how}: {path}");
    let joined = stage.joined("wagtail", "room", "Bo").await;
    stage.graphql("wagtail", &joined).await.unwrap_or_else(|error| panic!("{how}: {error}"));
}

// 1. "Joins to a server whose client address has no final slash all fail (`serverUnavailable`, `join got a broken answer`): 3.0
// shipped `${serverURL}/html5client` as default for many releases. The same where `serverURL` itself ends in a slash."

#[tokio::test(flavor = "multi_thread")]
async fn a_server_whose_client_address_has_no_final_slash() {
    for (how, client_path, profile) in [
        ("as 3.0 shipped it for many releases", "/html5client", Profile::V3_0_18),
        ("as later releases have it", "/html5client/", Profile::V3_0_18),
        ("with two slashes", "/html5client//", Profile::V3_0_18),
        ("a beta of 3.0", "/html5client/join", Profile::V3_0_0),
    ] {
        let stage = stage(Config { client_path: Some(client_path), profile, ..Config::default() }).await;
        comes_in(&stage, how).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_whose_own_url_ends_in_a_slash() {
    for client_path in [None, Some("/html5client")] {
        let config = Config { server_url: "https://x/".to_owned(), client_path, ..Config::default() };
        let stage = stage(config).await;
        comes_in(&stage, &format!("serverURL with a final slash, {client_path:?}")).await;
        let told = [("meetingID", "room"), ("fullName", "Cy"), ("role", "VIEWER"), ("redirect", "false")];
        let told = stage.api("wagtail", "join", &told).await;
        let url = element(&told.body, "url");
        assert!(url.contains("/html5client/?sessionToken=") && !url[8..].contains("//"), "{url}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_clients_address_without_its_slash_leads_to_the_one_with_it() {
    let stage = stage(Config::default()).await;
    stage.create("wagtail", "room").await;
    let joined = stage.joined("wagtail", "room", "Ada").await;
    let path = format!("{}/html5client?sessionToken={}", joined.prefix, joined.token);
    let reply = stage.client().get_with(&host("wagtail"), &path, &[("cookie", &joined.cookies)]).await;
    let expected = format!("https://{}{}/html5client/?sessionToken={}", host("wagtail"), joined.prefix, joined.token);
    assert_eq!((reply.status.as_u16(), reply.header("location")), (302, &*expected));
}

// 2. "A base URL with a slash too many: `GET //bigbluebutton/api/getMeetings`, `/bigbluebutton/api//getMeetings`,
// `/bigbluebutton/api/getMeetings/` get 404 as plain text."
// 17. "`/bigbluebutton/api/join/?...`, a slash behind the call (bigbluepy's every link): 404 here, accepted by BBB's routes."

#[tokio::test(flavor = "multi_thread")]
async fn a_base_url_with_a_slash_too_many_or_behind_the_call() {
    let stage = stage(Config::default()).await;
    stage.create("wagtail", "room").await;
    let signed = sign::path("getMeetingInfo", &[("meetingID", "room")], &secret("wagtail"));
    let (_, query) = signed.split_once('?').unwrap();
    for path in [
        "/bigbluebutton/api/getMeetingInfo",
        "//bigbluebutton/api/getMeetingInfo",
        "/bigbluebutton//api/getMeetingInfo",
        "/bigbluebutton/api//getMeetingInfo",
        "/bigbluebutton/api/getMeetingInfo/",
        "///bigbluebutton///api///getMeetingInfo///",
    ] {
        let reply = stage.client().get(&host("wagtail"), &format!("{path}?{query}")).await;
        assert_eq!((reply.status.as_u16(), reply.xml("returncode")), (200, "SUCCESS"), "{path}: {}", reply.body);
    }
    let version = stage.client().get(&host("wagtail"), "//bigbluebutton//api//").await;
    assert_eq!(version.xml("returncode"), "SUCCESS", "{}", version.body);
    // A join, which a browser follows.
    let signed =
        sign::path("join", &[("meetingID", "room"), ("fullName", "A"), ("role", "VIEWER")], &secret("wagtail"));
    let slashed = signed.replace("/join?", "/join/?");
    assert_eq!(stage.client().get(&host("wagtail"), &slashed).await.status, 302, "{slashed}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_path_below_the_api_that_is_refused_says_so_in_xml() {
    let stage = stage(Config::default()).await;
    for path in [
        "/bigbluebutton/api/getMeetings/x",
        "/bigbluebutton/api/getMeetings%2f",
        "/bigbluebutton/api/getMeetings;x=1",
        "/bigbluebutton/api/%67etMeetings",
        "/bigbluebutton/api/./getMeetings",
        "//bigbluebutton/api/a/b",
    ] {
        let reply = stage.client().get(&host("wagtail"), path).await;
        assert_eq!(
            (reply.xml("returncode"), reply.xml("messageKey")),
            ("FAILED", "notFound"),
            "{path}: {}",
            reply.body
        );
        assert!(reply.header("content-type").starts_with("text/xml"), "{path}");
    }
}
