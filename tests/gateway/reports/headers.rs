//! Headers of servers, which were written for the server's own site and reach browsers on the tenant's.

use anteroom_bench::sim;
use http::StatusCode;

use crate::support::{Joined, Plan, Reply, Stage, host};

const FRAMING: &str = "frame-ancestors 'self' https://moodle.example https://*.school.example";

/// One server with these headers in each of its answers, a tenant that is shown by two sites, and one that is shown by none.
async fn stage(headers: &[(&'static str, &'static str)]) -> Stage {
    let config = sim::Config { answer_headers: headers.to_vec(), ..sim::Config::default() };
    let sites = "embedded_by = [\"https://moodle.example\", \"https://*.school.example\"]";
    let plan = Plan::new().server_with("members", config).tenant_with("wagtail", "multi-account", sites);
    plan.tenant("heron", "multi-account").start().await
}

async fn joined(stage: &Stage, tenant: &str) -> Joined {
    stage.create(tenant, "room").await;
    stage.joined(tenant, "room", "Ada").await
}

/// What somebody in a meeting is answered below the prefix of its server.
async fn asked(stage: &Stage, tenant: &str, joined: &Joined, path: &str) -> Reply {
    let path = format!("{}{path}", joined.prefix);
    let reply = stage.client().get_with(&host(tenant), &path, &[("cookie", &joined.cookies)]).await;
    assert_eq!(reply.status, StatusCode::OK, "{path}: {reply:?}");
    reply
}

fn all<'a>(reply: &'a Reply, name: &str) -> Vec<&'a str> {
    reply.headers.get_all(name).iter().map(|value| value.to_str().unwrap()).collect()
}

// 6. "A shared server's header overrules the tenant: `frame-ancestors 'self'` in a server's Content-Security-Policy is sent
// beside the gateway's, and the frame that `embedded_by` allows is blocked."

#[tokio::test(flavor = "multi_thread")]
async fn a_servers_frame_ancestors_give_way_to_the_tenants_and_all_else_of_its_policy_stays() {
    let stage = stage(&[
        ("content-security-policy", "default-src 'self' https://bbb-01.internal.test; frame-ancestors 'self'"),
        ("content-security-policy", "img-src *, Frame-Ancestors\t'none'; upgrade-insecure-requests"),
        ("content-security-policy", "frame-ancestors https://bbb-01.internal.test"),
        ("content-security-policy-report-only", "frame-ancestors 'none'; object-src 'none'"),
        ("x-frame-options", "SAMEORIGIN"),
        ("x-frame-options", "DENY"),
    ])
    .await;
    let ours = joined(&stage, "wagtail").await;
    // A page that is served from memory, one that is carried, and what a frame within the client shows.
    for path in [
        format!("/html5client/?sessionToken={}", ours.token),
        "/learning-analytics-dashboard/".to_owned(),
        "/default.pdf".to_owned(),
        "/html5client/resources/images/favicon.svg".to_owned(),
    ] {
        let reply = asked(&stage, "wagtail", &ours, &path).await;
        assert_eq!(
            all(&reply, "content-security-policy"),
            ["default-src 'self' https://wagtail.localhost", "img-src *, upgrade-insecure-requests", FRAMING],
            "{path}"
        );
        assert_eq!(all(&reply, "content-security-policy-report-only"), ["object-src 'none'"], "{path}");
        assert_eq!(all(&reply, "x-frame-options"), [""; 0], "{path}");
    }
    // A page of the gateway's own has one answer to that, too.
    let landing = stage.client().get_with(&host("wagtail"), "/", &[("accept", "text/html")]).await;
    let policies = all(&landing, "content-security-policy").join(", ");
    assert_eq!(policies.matches("frame-ancestors").count(), 1, "{policies}");
    assert!(policies.ends_with(FRAMING), "{policies}");

    // Who has named no site has what the server says, for its own host.
    let theirs = joined(&stage, "heron").await;
    let reply = asked(&stage, "heron", &theirs, "/learning-analytics-dashboard/").await;
    assert_eq!(all(&reply, "content-security-policy")[2], "frame-ancestors https://heron.localhost");
    assert_eq!(all(&reply, "x-frame-options"), ["SAMEORIGIN", "DENY"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_without_a_word_about_frames_gets_none_unless_it_is_a_page() {
    let stage = stage(&[("content-security-policy", "object-src 'none'")]).await;
    let ours = joined(&stage, "wagtail").await;
    let page = asked(&stage, "wagtail", &ours, "/html5client/").await;
    assert_eq!(all(&page, "content-security-policy"), ["object-src 'none'", FRAMING]);
    let file = asked(&stage, "wagtail", &ours, "/default.pdf").await;
    assert_eq!(all(&file, "content-security-policy"), ["object-src 'none'"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn camera_and_microphone_are_not_switched_off_by_a_servers_header() {
    let stage = stage(&[
        ("permissions-policy", "camera=(), geolocation=(), microphone=(\"https://bbb-01.internal.test\"), payment=()"),
        ("permissions-policy", "display-capture=(self \"https://bbb-01.internal.test\"), autoplay=*, usb=()"),
        ("feature-policy", "camera 'none'; microphone https://bbb-01.internal.test; vr 'none'"),
    ])
    .await;
    // Of both: what a meeting needs does not hang on whether it is shown in a frame.
    for tenant in ["wagtail", "heron"] {
        let ours = joined(&stage, tenant).await;
        let own = format!("https://{}", host(tenant));
        for path in ["/html5client/", "/learning-analytics-dashboard/"] {
            let page = asked(&stage, tenant, &ours, path).await;
            assert_eq!(
                all(&page, "permissions-policy"),
                [
                    format!("camera=(self), geolocation=(), microphone=(self \"{own}\"), payment=()"),
                    format!("display-capture=(self \"{own}\"), autoplay=*, usb=()"),
                ]
            );
            assert_eq!(
                all(&page, "feature-policy"),
                [format!("camera 'self'; microphone 'self' {own}; vr 'none'")],
                "{path}"
            );
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_may_be_shown_by_a_site_that_is_isolated_and_its_files_are_for_its_own_origin() {
    let stage = stage(&[
        ("cross-origin-resource-policy", "same-origin"),
        ("cross-origin-embedder-policy", "require-corp"),
        ("cross-origin-opener-policy", "same-origin"),
    ])
    .await;
    let ours = joined(&stage, "wagtail").await;
    let theirs = joined(&stage, "heron").await;
    for (tenant, joined, path, resource_policy) in [
        ("wagtail", &ours, "/html5client/", "cross-origin"),
        ("wagtail", &ours, "/learning-analytics-dashboard/", "cross-origin"),
        ("wagtail", &ours, "/html5client/styles.css", "same-origin"),
        ("wagtail", &ours, "/default.pdf", "same-origin"),
        ("heron", &theirs, "/html5client/", "same-origin"),
    ] {
        let reply = asked(&stage, tenant, joined, path).await;
        assert_eq!(all(&reply, "cross-origin-resource-policy"), [resource_policy], "{tenant} {path}");
        assert_eq!(all(&reply, "cross-origin-embedder-policy"), ["require-corp"], "{tenant} {path}");
        assert_eq!(all(&reply, "cross-origin-opener-policy"), ["same-origin"], "{tenant} {path}");
    } // Each answer on the way to a page is asked.
    let join = stage.join("wagtail", "room", "Grace").await;
    assert_eq!((join.status, all(&join, "cross-origin-resource-policy")), (StatusCode::FOUND, vec!["cross-origin"]));
    let join = stage.join("heron", "room", "Grace").await;
    assert_eq!((join.status, all(&join, "cross-origin-resource-policy")), (StatusCode::FOUND, vec![]));
}
