//! Requests that must change nothing: `HEAD`, which link scanners send, and prefetches of browsers.

use anteroom_bench::sign;
use http::{Method, Request};

use crate::support::{Plan, Reply, Stage, host, secret};

async fn head(stage: &Stage, call: &str, params: &[(&str, &str)]) -> Reply {
    let path = sign::path(call, params, &secret("wagtail"));
    stage.client().send(&host("wagtail"), Request::builder().method(Method::HEAD).uri(path)).await
}

fn calls_seen(stage: &Stage) -> Vec<String> {
    let received = stage.sims[0].log().into_iter().map(|received| received.path);
    // The poller asks all the time.
    received.filter(|path| !path.ends_with("/getMeetings") && !path.ends_with("/api")).collect()
}

// 4. "HEAD has effects: a link scanner's HEAD of a signed join takes a seat, HEAD of a create makes a meeting."

#[tokio::test(flavor = "multi_thread")]
async fn a_head_of_a_join_link_takes_no_seat() {
    let stage =
        Plan::new().server("members").tenant_with("wagtail", "free", "---[limits]\nparticipants = 1").start().await;
    stage.create("wagtail", "room").await;
    let before = calls_seen(&stage).len();
    let person = [("meetingID", "room"), ("fullName", "A"), ("role", "VIEWER")];
    for _ in 0..3 {
        let reply = head(&stage, "join", &person).await;
        assert_eq!((reply.status.as_u16(), reply.header("cache-control")), (200, "no-store"));
        assert!(reply.headers.get("set-cookie").is_none() && reply.headers.get("location").is_none());
    }
    assert_eq!(calls_seen(&stage).len(), before, "no server is asked");
    assert_eq!(stage.join("wagtail", "room", "Ada").await.status, 302, "the one seat is free");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_head_changes_nothing_whatever_the_call() {
    let stage = Plan::new().server("members").tenant("wagtail", "level-1").start().await;
    let made = head(&stage, "create", &[("name", "room"), ("meetingID", "room")]).await;
    assert_eq!(made.status, 200);
    assert!(stage.on_server("wagtail", "room").is_none(), "no meeting is made");
    stage.create("wagtail", "room").await;
    let before = calls_seen(&stage).len();
    for (call, params) in [
        ("end", &[("meetingID", "room")][..]),
        ("sendChatMessage", &[("meetingID", "room"), ("message", "hello")]),
        ("deleteRecordings", &[("recordID", "x")]),
        ("publishRecordings", &[("recordID", "x"), ("publish", "true")]),
        ("updateRecordings", &[("recordID", "x"), ("meta_a", "b")]),
    ] {
        assert_eq!(head(&stage, call, params).await.status, 200, "{call}");
    }
    assert_eq!(calls_seen(&stage).len(), before, "no server is asked");
    assert!(stage.on_server("wagtail", "room").is_some(), "it still runs");
    // Nor is a stranger told more than by a GET.
    let path = "/bigbluebutton/api/join?meetingID=room&fullName=A&checksum=0000000000000000000000000000000000000000";
    let reply = stage.client().send(&host("wagtail"), Request::builder().method(Method::HEAD).uri(path)).await;
    assert!(reply.header("content-type").starts_with("text/xml"), "{reply:?}");
    // What only asks is answered as a GET would be.
    assert_eq!(head(&stage, "getMeetingInfo", &[("meetingID", "room")]).await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_head_or_a_prefetch_signs_nobody_out_and_lets_nobody_in() {
    let stage = Plan::new().server("members").tenant("wagtail", "level-1").start().await;
    stage.create("wagtail", "room").await;
    let joined = stage.joined("wagtail", "room", "Ada").await;
    let before = calls_seen(&stage).len();
    for call in ["signOut", "getJoinUrl", "enter"] {
        let path = format!("{}/bigbluebutton/api/{call}?sessionToken={}", joined.prefix, joined.token);
        let request = Request::builder().method(Method::HEAD).uri(&path).header("cookie", &joined.cookies);
        assert_eq!(stage.client().send(&host("wagtail"), request).await.status, 200, "{call}");
        for header in [("sec-purpose", "prefetch;prerender"), ("purpose", "prefetch")] {
            let headers = [header, ("cookie", &*joined.cookies)];
            let reply = stage.client().get_with(&host("wagtail"), &path, &headers).await;
            assert_eq!((reply.status.as_u16(), reply.header("cache-control")), (503, "no-store"), "{call} {header:?}");
        }
    }
    assert_eq!(calls_seen(&stage).len(), before, "no server is asked");
    stage.graphql("wagtail", &joined).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_prefetch_of_a_join_link_takes_no_seat() {
    let stage =
        Plan::new().server("members").tenant_with("wagtail", "free", "---[limits]\nparticipants = 1").start().await;
    stage.create("wagtail", "room").await;
    let before = calls_seen(&stage).len();
    let person = [("meetingID", "room"), ("fullName", "A"), ("role", "VIEWER")];
    let path = sign::path("join", &person, &secret("wagtail"));
    for header in [
        ("sec-purpose", "prefetch;prerender"),
        ("sec-purpose", "prefetch"),
        ("purpose", "prefetch"),
        ("x-moz", "prefetch"),
    ] {
        let reply = stage.client().get_with(&host("wagtail"), &path, &[header]).await;
        assert_eq!((reply.status.as_u16(), reply.header("cache-control")), (503, "no-store"), "{header:?}");
    }
    assert_eq!(calls_seen(&stage).len(), before, "no server is asked");
    assert_eq!(stage.client().get(&host("wagtail"), &path).await.status, 302, "the link that is followed");
}
