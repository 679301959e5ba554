//! Tenants are apart: for each thing that a tenant owns, another asks for it and gets what a stranger gets.

use anteroom_bench::{
    sign::{self, Algorithm},
    sim::CannedAnswer,
};
use tokio_tungstenite::tungstenite::Error;

use crate::support::{DEADLINE, Joined, Plan, Stage, eventually, host, secret, write};

/// Two tenants with a meeting each, of the same id, on the same server.
async fn stage() -> (Stage, Joined, Joined) {
    let plan = Plan::new().server("members").tenant("wagtail", "multi-account").tenant("heron", "multi-account");
    let stage = plan.start().await;
    for tenant in ["wagtail", "heron"] {
        let created = stage.create(tenant, "room").await;
        assert_eq!(created.xml("returncode"), "SUCCESS", "{}", created.body);
    }
    let (ours, theirs) = (stage.joined("wagtail", "room", "Ada").await, stage.joined("heron", "room", "Mallory").await);
    assert_eq!(ours.prefix, theirs.prefix, "one server: the prefix alone is no protection");
    (stage, ours, theirs)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_id_is_another_meeting_for_each_tenant() {
    let (stage, ..) = stage().await;
    let ids: Vec<_> =
        ["wagtail", "heron"].iter().map(|tenant| stage.on_server(tenant, "room").unwrap().int_id).collect();
    assert_ne!(ids[0], ids[1]);
    stage.api("heron", "end", &[("meetingID", "room")]).await;
    let info = stage.api("wagtail", "getMeetingInfo", &[("meetingID", "room")]).await;
    assert_eq!(info.xml("returncode"), "SUCCESS", "{}", info.body);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_meeting_is_not_reached_by_any_form_of_its_id() {
    let (stage, ..) = stage().await;
    stage.create("wagtail", "private").await;
    let int_id = stage.on_server("wagtail", "private").unwrap().int_id;
    for id in ["private", "t.wagtail.private", &int_id, &int_id[..40], &int_id[..2], "../wagtail.private"] {
        for call in ["getMeetingInfo", "end"] {
            let reply = stage.api("heron", call, &[("meetingID", id)]).await;
            assert_eq!(reply.xml("messageKey"), "notFound", "{call} {id}: {}", reply.body);
        }
        let reply = stage.api("heron", "isMeetingRunning", &[("meetingID", id)]).await;
        assert_eq!(reply.xml("running"), "false", "{id}");
        let reply = stage.join("heron", id, "Mallory").await;
        assert_eq!(reply.xml("messageKey"), "meetingForciblyEnded", "join {id}: {}", reply.body);
    }
    let list = stage.api("heron", "getMeetings", &[]).await;
    assert!(!list.body.contains("private") && !list.body.contains("Ada"), "{}", list.body);
    assert_eq!(list.body.matches("<meeting>").count(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_secret_is_good_on_its_own_host_only() {
    let (stage, ..) = stage().await;
    let path = sign::path("getMeetings", &[], &secret("wagtail"));
    let reply = stage.client().get(&host("heron"), &path).await;
    assert_eq!(reply.xml("messageKey"), "checksumError", "{}", reply.body);
    let of_the_server = sign::path("getMeetings", &[], "bbb-01-secret");
    let reply = stage.client().get(&host("heron"), &of_the_server).await;
    assert_eq!(reply.xml("messageKey"), "checksumError", "{}", reply.body);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_is_good_on_its_own_host_only() {
    let (stage, ours, theirs) = stage().await;
    let client = stage.client();
    // Even with the cookie, which the browser of the other host would not send.
    let headers = [("cookie", &*ours.cookies), ("x-session-token", &*ours.token)];
    for path in ["/api/rest/meetingStaticData", "/api/rest/userMetadata"] {
        let path = format!("{}{path}", ours.prefix);
        assert_eq!(client.get_with(&host("heron"), &path, &headers).await.status, 401, "{path}");
        assert_eq!(client.get_with(&host("wagtail"), &path, &headers).await.status, 200, "{path}");
    }
    for path in ["html5client/", "bbb-webrtc-sfu", "ws"] {
        let path = format!("{}/{path}?sessionToken={}", ours.prefix, ours.token);
        let reply = client.get_with(&host("heron"), &path, &[("cookie", &ours.cookies)]).await;
        assert_eq!(reply.status, 401, "{path}");
    }
    // Not beside one's own either, whichever of the two the server would read.
    let (own, other) = (&theirs.token, &ours.token);
    for (header, query) in [
        (Some(own), format!("sessionToken={other}")),
        (None, format!("sessionToken={own}&sessionToken={other}")),
        (None, format!("sessionToken={own}&x=%26sessionToken%3D{other}")),
        (None, format!("session%54oken={other}")),
    ] {
        let path = format!("{}/html5client/?{query}", ours.prefix);
        let mut headers = vec![("cookie", &*ours.cookies)];
        headers.extend(header.map(|token| ("x-session-token", &**token)));
        assert_eq!(client.get_with(&host("heron"), &path, &headers).await.status, 401, "{header:?} {query}");
    }
    let path = format!("{}/bbb-webrtc-sfu?sessionToken={}", ours.prefix, ours.token);
    match client.socket(&host("heron"), &path, &[("cookie", &ours.cookies)]).await {
        Err(Error::Http(response)) => assert_eq!(response.status(), 401),
        other => panic!("{other:?}"),
    }
    let refused = client.graphql(&host("heron"), &ours).await;
    assert!(refused.as_ref().is_err_and(|error| error.contains("unknownSession")), "{:?}", refused.err());
    client.graphql(&host("wagtail"), &ours).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_of_the_client_knows_its_own_tenants_sessions_only() {
    let (stage, ours, _) = stage().await;
    let client = stage.client();
    for call in ["stuns", "getJoinUrl", "learningDashboard", "signOut", "enter", "guestWait"] {
        for prefix in [&*ours.prefix, ""] {
            let ask = async |host: &str, token: &str| {
                let path = format!("{prefix}/bigbluebutton/api/{call}?sessionToken={token}");
                let reply = client.get_with(host, &path, &[("cookie", &*ours.cookies)]).await;
                (reply.status, reply.body.replace(token, "TOKEN").replace("heron", "wagtail"))
            };
            let (theirs, nobodys) = (ask(&host("heron"), &ours.token).await, ask(&host("wagtail"), "unknown").await);
            assert_eq!(theirs, nobodys, "{prefix} {call}: as one that there is not");
        }
    }
    let path = format!("{}/bigbluebutton/api/getJoinUrl?sessionToken={}", ours.prefix, ours.token);
    let reply = client.get_with(&host("wagtail"), &path, &[("cookie", &*ours.cookies)]).await;
    assert!(reply.body.contains("SUCCESS"), "{}", reply.body);
    let url = reply.body.split("wagtail.localhost").nth(1).unwrap().split('"').next().unwrap();
    let foreign = client.get(&host("heron"), url).await;
    assert_eq!(foreign.xml("messageKey"), "checksumError", "a link is good on its own host only: {}", foreign.body);
    let path = path.replace("getJoinUrl", "signOut");
    let signed_out = client.get_with(&host("heron"), &path, &[("cookie", &*ours.cookies)]).await;
    assert_eq!(signed_out.xml("returncode"), "SUCCESS");
    stage.graphql("wagtail", &ours).await.expect("and yet nobody was signed out");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_grants_no_link_to_another_meeting() {
    let (stage, ours, _) = stage().await;
    let url = "https://bbb-01.internal.test/bigbluebutton/api/join?&meetingID=t.heron.room&fullName=A&checksum=x";
    let body = format!("{{\"response\":{{\"returncode\":\"SUCCESS\",\"url\":\"{url}\"}}}}").into_bytes();
    let answer = CannedAnswer { status: 200, content_type: "application/json".into(), body };
    stage.sims[0].faults().set_call_answer("getJoinUrl", Some(answer));
    let path = format!("{}/bigbluebutton/api/getJoinUrl?sessionToken={}", ours.prefix, ours.token);
    let reply = stage.client().get_with(&host("wagtail"), &path, &[("cookie", &*ours.cookies)]).await;
    assert_eq!(reply.status, 502, "{}", reply.body);
    assert!(!reply.body.contains("heron"), "{}", reply.body);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_needs_a_session_is_not_given_without_one_nor_by_another_server() {
    let plan = Plan::new().server("members").server("members").tenant("wagtail", "multi-account");
    let stage = plan.start().await;
    for room in ["one", "two"] {
        stage.create("wagtail", room).await;
    }
    let (one, two) = (stage.joined("wagtail", "one", "Ada").await, stage.joined("wagtail", "two", "Ada").await);
    assert_ne!(one.prefix, two.prefix, "two servers");
    for path in ["/api/rest/meetingStaticData", "/api/rest/clientSettings"] {
        let path = format!("{}{path}", one.prefix);
        assert_eq!(stage.client().get(&host("wagtail"), &path).await.status, 401, "{path}");
        let wrong = [("cookie", &*two.cookies), ("x-session-token", &*two.token)];
        assert_eq!(stage.client().get_with(&host("wagtail"), &path, &wrong).await.status, 401, "{path}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn sessions_are_listed_for_their_own_tenant_only() {
    let (stage, ..) = stage().await;
    for (tenant, own, other) in [("wagtail", "Ada", "Mallory"), ("heron", "Mallory", "Ada")] {
        let list = stage.api(tenant, "getSessions", &[]).await;
        assert!(list.body.contains(own) && !list.body.contains(other), "{tenant}: {}", list.body);
        assert_eq!(list.body.matches("<meeting>").count(), 1);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn documents_and_messages_reach_ones_own_meetings_only() {
    let (stage, ..) = stage().await;
    stage.create("wagtail", "private").await;
    let int_id = stage.on_server("wagtail", "private").unwrap().int_id;
    let body = "<modules><module name=\"presentation\"><document name=\"a.pdf\">QUJD</document></module></modules>";
    for id in ["private", "t.wagtail.private", &int_id, &int_id[..2]] {
        let path = sign::path("insertDocument", &[("meetingID", id)], &secret("heron"));
        let reply = stage.client().post(&host("heron"), &path, "application/xml", body).await;
        assert_eq!(reply.xml("message"), format!("Meeting with id [{id}] not found."), "{}", reply.body);
        let reply = stage.api("heron", "sendChatMessage", &[("meetingID", id), ("message", "hello")]).await;
        assert_eq!(reply.xml("messageKey"), "meetingNotFound", "{id}: {}", reply.body);
    }
    assert!(stage.on_server("wagtail", "private").unwrap().documents.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn slides_are_shown_on_their_own_host_only() {
    let (stage, ours, _) = stage().await;
    let int_id = stage.on_server("wagtail", "room").unwrap().int_id;
    // A slide that there is: to its own tenant it is shown.
    let document = Algorithm::Sha1.hex(b"default.pdf");
    let created_at = int_id.rsplit('-').next().unwrap();
    let slide = format!("/bigbluebutton/presentation/{int_id}/{int_id}/{document}-{created_at}/svg/1");
    let own = stage.client().get_with(&host("wagtail"), &slide, &[("cookie", &ours.cookies)]).await;
    assert_eq!(own.status, 200, "{}", own.body);
    // Each letter may be written in another way.
    let encoded = format!("%{:02x}{}", int_id.as_bytes()[0], &int_id[1..]);
    for path in [
        format!("/bigbluebutton/presentation/{encoded}/{encoded}/pres/svg/1"),
        format!("/learning-analytics-dashboard/{encoded}/token/learning_dashboard_data.json"),
        format!("/bigbluebutton/presentation/{int_id}/{int_id}/pres/svg/1"),
        format!("/bigbluebutton/presentation/download/{int_id}/pres"),
        slide.clone(),
        format!("/learning-analytics-dashboard/{int_id}/token/learning_dashboard_data.json"),
    ] {
        for path in [path.clone(), format!("{}{path}", ours.prefix)] {
            let reply = stage.client().get_with(&host("heron"), &path, &[("cookie", &ours.cookies)]).await;
            assert_eq!(reply.status, 404, "{path}: {}", reply.body);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_is_reached_by_tenants_with_a_meeting_on_it_only() {
    let (stage, ours, _) = stage().await;
    let third = "dove";
    let ca = anteroom::tls::dev_ca::DevCa::open(&stage.path("dev-ca")).unwrap();
    ca.issue(&stage.path("certs"), &host(third).parse().unwrap()).unwrap();
    let file = format!(
        "name = \"Dove\"\npolicy = \"free\"\nhosts = [\"{}\"]\n[secrets]\nmain = \"dove-secret\"\n",
        host(third)
    );
    write(stage.dir.path(), "tenants/dove.toml", &file);
    eventually("the third tenant is served", async || {
        stage.client().connect(&host(third)).await.is_ok() && stage.client().get(&host(third), "/").await.status != 421
    })
    .await;
    for path in ["/html5client/", "/bigbluebutton/api", "/bigbluebutton/rtt-check", "/graphql"] {
        let path = format!("{}{path}", ours.prefix);
        assert_eq!(stage.client().get(&host(third), &path).await.status, 404, "{path}");
    }
    for slug in ["aaaaaaaa", "bbb-01", "..", ""] {
        let path = format!("/s/{slug}/html5client/");
        assert_eq!(stage.client().get(&host("wagtail"), &path).await.status, 404, "{path}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_makes_up_a_session() {
    let (stage, ours, _) = stage().await;
    for address in [
        format!("https://x.example/?errors=x&sessionToken={}", ours.token),
        format!("https://bbb-01.internal.test/html5client/?errors=x&sessionToken={}", ours.token),
        "https://bbb-01.internal.test/html5client/?sessionToken=chosen".to_owned(),
    ] {
        for name in ["errorRedirectUrl", "logoutURL"] {
            let params = [("meetingID", "room"), ("fullName", "M"), ("password", "wrong"), (name, &*address)];
            let reply = stage.api("heron", "join", &params).await;
            assert!(!reply.header("location").contains("/s/"), "{reply:?}");
        }
    }
    stage.graphql("wagtail", &ours).await.expect("the session is still its owner's");
    let graphql = Joined { token: "chosen".into(), ..ours };
    assert!(stage.graphql("heron", &graphql).await.is_err());
    assert!(stage.app.unwrap().stop(DEADLINE).await, "the store takes all that was noted");
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_a_tenant_sees_names_a_server() {
    let (stage, ours, _) = stage().await;
    let mut seen = String::new();
    let session = [("cookie", &*ours.cookies), ("x-session-token", &*ours.token)];
    for path in ["/html5client/", "/api/rest/meetingStaticData", "/api/rest/userMetadata", "/bigbluebutton/api"] {
        let reply = stage.client().get_with(&host("wagtail"), &format!("{}{path}", ours.prefix), &session).await;
        assert_eq!(reply.status, 200, "{path}");
        seen.push_str(&format!("{:?}{}", reply.headers, reply.body));
    }
    // Not even to who asks for a socket where there is none.
    let upgrade = [
        ("cookie", &*ours.cookies),
        ("x-session-token", &*ours.token),
        ("connection", "Upgrade"),
        ("upgrade", "websocket"),
        ("sec-websocket-version", "13"),
        ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
    ];
    for path in ["/api/rest/meetingStaticData", "/bigbluebutton/api/learningDashboard", "/pad/x"] {
        let path = format!("{}{path}?sessionToken={}", ours.prefix, ours.token);
        let reply = stage.client().get_with(&host("wagtail"), &path, &upgrade).await;
        assert!(path.contains("/pad/") || reply.status == 200, "it is answered as any other: {reply:?}");
        seen.push_str(&format!("{:?}{}", reply.headers, reply.body));
    }
    for call in ["create", "getMeetingInfo", "getMeetings", "isMeetingRunning", "join", "end", "getMeetingInfo"] {
        let params = [("meetingID", "room"), ("name", "room"), ("fullName", "Ada"), ("role", "VIEWER")];
        let reply = stage.api("wagtail", call, &params).await;
        seen.push_str(&format!("{:?}{}", reply.headers, reply.body));
    }
    for path in [
        "/html5client/",
        "/bigbluebutton/api",
        "/nowhere",
        "/bigbluebutton/api/stuns",
        "/bigbluebutton/api/getJoinUrl",
        "/bigbluebutton/api/learningDashboard",
    ] {
        let path = format!("{}{path}?sessionToken={}", ours.prefix, ours.token);
        let reply = stage.client().get_with(&host("wagtail"), &path, &[("cookie", &ours.cookies)]).await;
        seen.push_str(&format!("{:?}{}", reply.headers, reply.body));
    }
    let address = stage.sims[0].addr().to_string();
    for name in ["internal.test", "bbb-01", &*address, "t.wagtail.", "bbb-01-secret", "wagtail-secret"] {
        let at = seen.find(name).map(|at| &seen[at.saturating_sub(200)..(at + 100).min(seen.len())]);
        assert_eq!(at, None, "{name}");
    }
}
