//! Calls with all parameters in a form: what their checksum may cover, and what a form that it does not cover may not do.

use anteroom_bench::{
    sign::{self, Algorithm},
    sim,
};
use bytes::Bytes;
use http::{Method, Request};
use http_body_util::Full;
use tokio::net::TcpStream;

use crate::support::{Plan, Reply, Stage, exchange, host, secret};

const FORM: &str = "application/x-www-form-urlencoded";

async fn stage() -> Stage {
    let plan = Plan::new().server("members").tenant("wagtail", "multi-account").tenant("heron", "multi-account");
    plan.tenant_with("strict", "multi-account", "uncovered_forms = false").start().await
}

fn sum(tenant: &str, call: &str, hashed: &str) -> String {
    sign::checksum(call, hashed, &secret(tenant), Algorithm::Sha256)
}

/// A form with its checksum over `hashed`.
fn form(tenant: &str, call: &str, fields: &str, hashed: &str) -> String {
    format!("{fields}&checksum={}", sum(tenant, call, hashed))
}

async fn send(stage: &Stage, method: Method, tenant: &str, call: &str, body: String) -> Reply {
    let path = format!("/bigbluebutton/api/{call}");
    let request = Request::builder().method(method).uri(path).header("content-type", FORM);
    stage.client().send_body(&host(tenant), request, Bytes::from(body)).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_form_that_its_checksum_covers_is_taken_with_each_method() {
    let stage = stage().await;
    let long = "w".repeat(5_000);
    // As the client of bbblb 0.0.18 sends what would be an address of more than 2,048 characters: all in the body of a GET.
    let fields = |id: &str| format!("name=A+room&meetingID={id}&welcome={long}&record=false");
    let sorted = |id: &str| format!("meetingID={id}&name=A+room&record=false&welcome={long}");
    for (method, id, hashed) in [
        (Method::GET, "got", fields("got")),
        (Method::POST, "posted", fields("posted")),
        (Method::GET, "got-sorted", sorted("got-sorted")),
        (Method::POST, "posted-sorted", sorted("posted-sorted")),
    ] {
        for tenant in ["wagtail", "strict"] {
            let body = form(tenant, "create", &fields(id), &hashed);
            let reply = send(&stage, method.clone(), tenant, "create", body).await;
            assert_eq!(reply.xml("returncode"), "SUCCESS", "{tenant} {id}: {}", reply.body);
            let meeting = stage.on_server(tenant, id).unwrap();
            assert_eq!((&*meeting.params["name"], &*meeting.params["welcome"]), ("A room", &*long), "{id}");
        }
        let body = form("wagtail", "create", &fields(id), &hashed);
        let reply = send(&stage, method, "heron", "create", body).await;
        assert_eq!(reply.xml("messageKey"), "checksumError", "another tenant's secret signs nothing: {}", reply.body);
        assert!(stage.on_server("heron", id).is_none());
    }
    let body = form("wagtail", "getMeetingInfo", "meetingID=got", "meetingID=got");
    let reply = send(&stage, Method::GET, "wagtail", "getMeetingInfo/", body).await;
    assert_eq!(reply.xml("meetingID"), "got", "a slash behind the name of a call is not hashed: {}", reply.body);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_form_that_is_covered_cannot_be_changed() {
    let stage = stage().await;
    stage.create("wagtail", "room").await;
    let fields = "name=A+room&meetingID=mine";
    for (what, sent) in [
        ("more", "name=A+room&meetingID=mine&record=true"),
        ("less", "meetingID=mine"),
        ("another value", "name=A+room&meetingID=other"),
        ("another value behind an escape", "name=A+room&meetingID=mine%26record=true"),
        ("a second value", "name=A+room&meetingID=mine&meetingID=other"),
    ] {
        for method in [Method::GET, Method::POST] {
            let reply = send(&stage, method, "wagtail", "create", form("wagtail", "create", sent, fields)).await;
            assert_eq!(reply.xml("messageKey"), "checksumError", "{what}: {}", reply.body);
        }
    }
    // A query beside a covered form would not be covered.
    let path = "create?record=true";
    let reply = send(&stage, Method::POST, "wagtail", path, form("wagtail", "create", fields, fields)).await;
    assert_eq!(reply.xml("messageKey"), "checksumError", "{}", reply.body);
    for id in ["mine", "other"] {
        assert!(stage.on_server("wagtail", id).is_none(), "{id}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_form_that_is_not_covered_is_taken_as_bbb_takes_it_and_no_further() {
    let stage = stage().await;
    for tenant in ["wagtail", "strict"] {
        stage.create(tenant, "room").await;
    }
    let create = |tenant: &str, id: &str| format!("name=A+room&meetingID={id}&checksum={}", sum(tenant, "create", ""));
    let by_query = |tenant: &str, id: &str| {
        let hashed = format!("meetingID={id}");
        format!("create?{hashed}&checksum={}", sum(tenant, "create", &hashed))
    };
    for (method, tenant, taken) in [
        (Method::POST, "wagtail", true),
        (Method::GET, "wagtail", false),
        (Method::POST, "strict", false),
        (Method::GET, "strict", false),
    ] {
        let id = format!("over-nothing-{method}");
        let reply = send(&stage, method.clone(), tenant, "create", create(tenant, &id)).await;
        assert_eq!(reply.xml("messageKey") != "checksumError", taken, "{method} {tenant}: {}", reply.body);
        assert_eq!(stage.on_server(tenant, &id).is_some(), taken, "{method} {tenant}");
        let id = format!("beside-{method}");
        let reply = send(&stage, method.clone(), tenant, &by_query(tenant, &id), "name=A+room".into()).await;
        assert_eq!(stage.on_server(tenant, &id).is_some(), taken, "{method} {tenant}: {}", reply.body);
    }
    // Documents are no form.
    let hashed = "meetingID=slides&name=Slides";
    let path = format!("/bigbluebutton/api/create?{hashed}&checksum={}", sum("strict", "create", hashed));
    let reply = stage.client().post(&host("strict"), &path, "application/xml", "<modules></modules>").await;
    assert_eq!(reply.xml("returncode"), "SUCCESS", "{}", reply.body);
}

#[tokio::test(flavor = "multi_thread")]
async fn two_checksums_are_one_too_many() {
    let stage = stage().await;
    stage.create("wagtail", "room").await;
    let good = sum("wagtail", "end", "meetingID=room");
    let nothing = sum("wagtail", "end", "");
    for (path, body) in [
        (format!("end?meetingID=room&checksum={good}"), format!("checksum={good}")),
        (format!("end?checksum={nothing}"), format!("meetingID=room&checksum={nothing}")),
        ("end".into(), format!("meetingID=room&checksum={nothing}&checksum={nothing}")),
        ("end".into(), format!("meetingID=room&checksum={nothing}&%63hecksum={nothing}")),
        ("end".into(), format!("meetingID=room&%20checksum={nothing}")),
    ] {
        let reply = send(&stage, Method::POST, "wagtail", &path, body.clone()).await;
        assert_eq!(reply.xml("returncode"), "FAILED", "{path} {body}: {}", reply.body);
    }
    assert!(stage.on_server("wagtail", "room").is_some());
}

/// A person has the checksum of their join, and can send it again with any form.
#[tokio::test(flavor = "multi_thread")]
async fn a_join_is_what_its_checksum_covers() {
    // Servers before 3.0 take it as a POST.
    let old = sim::Config { profile: sim::Profile::V2_7, ..sim::Config::default() };
    let plan = Plan::new().server_with_keys("wagtail", old, "version = \"2.7\"");
    let stage = plan.tenant_with("wagtail", "multi-account", "pool = \"wagtail\"").start().await;
    stage.create("wagtail", "room").await;
    let fields = "meetingID=room&fullName=Ada&role=VIEWER";
    let as_moderator = "meetingID=room&fullName=Ada&role=MODERATOR";
    for (what, body, taken) in [
        ("all of it hashed", form("wagtail", "join", fields, fields), true),
        ("in order", form("wagtail", "join", fields, "fullName=Ada&meetingID=room&role=VIEWER"), true),
        ("nothing hashed", form("wagtail", "join", fields, ""), false),
        ("another role", form("wagtail", "join", as_moderator, fields), false),
    ] {
        let reply = send(&stage, Method::POST, "wagtail", "join", body).await;
        assert_eq!(reply.status == 302, taken, "{what}: {reply:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_takes_the_forms_of_its_release_and_the_gateway_takes_both() {
    let fields = "name=A+room&meetingID=form";
    let sorted = "meetingID=form&name=A+room";
    for (profile, hashed, taken) in [
        (sim::Profile::V2_7, sorted, true),
        (sim::Profile::V2_7, fields, false),
        (sim::Profile::V2_7, "", false),
        (sim::Profile::default(), sorted, false),
        (sim::Profile::default(), "", true),
    ] {
        let config = sim::Config { profile, secret: "of-the-server".into(), ..sim::Config::default() };
        let server = sim::Sim::start(config).await.unwrap();
        let sum = sign::checksum("create", hashed, "of-the-server", Algorithm::Sha256);
        let request = Request::post("/bigbluebutton/api/create").header("content-type", FORM).header("host", "server");
        let request = request.body(Full::new(Bytes::from(format!("{fields}&checksum={sum}")))).unwrap();
        let stream = TcpStream::connect(server.url().trim_start_matches("http://")).await.unwrap();
        let reply = exchange(stream, request).await;
        assert_eq!(reply.xml("returncode") == "SUCCESS", taken, "{profile:?} {hashed}: {}", reply.body);
    }
    let stage = stage().await;
    for hashed in [sorted, fields, ""] {
        let reply = send(&stage, Method::POST, "wagtail", "create", form("wagtail", "create", fields, hashed)).await;
        assert_eq!(reply.xml("returncode"), "SUCCESS", "{hashed}: {}", reply.body);
    }
}
