//! What tenants have used: counted as it happens, kept over restarts, told to the operator.

use std::{process::Command, time::Duration};

use anteroom::{domain::time::Clock, store::Store};
use futures_util::{SinkExt, StreamExt};
use http::Request;
use http_body_util::Full;
use tokio_tungstenite::tungstenite::Message;

use crate::support::{
    Joined, Plan, Socket, Stage, eventually, exchange, host,
    program::{Served, anteroom},
};

const ROOM: [(&str, &str); 2] = [("name", "room"), ("meetingID", "room")];
const ADA: [(&str, &str); 3] = [("meetingID", "room"), ("fullName", "Ada Secretname"), ("role", "VIEWER")];

async fn present(stage: &Stage) -> Socket {
    let joined = stage.joined("wagtail", "room", "Ada").await;
    stage.graphql("wagtail", &joined).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn people_meetings_and_bytes_are_counted_by_tenant() {
    let plan = Plan::new().server("members").tenant("wagtail", "multi-account").tenant("heron", "multi-account");
    let mut stage = plan.start().await;
    stage.create("wagtail", "room").await;
    let mut first = present(&stage).await;
    let second = present(&stage).await;
    first.send(Message::text("x".repeat(10_000))).await.unwrap();
    let _ = tokio::time::timeout(Duration::from_secs(5), first.next()).await;
    // The time that is counted.
    tokio::time::sleep(Duration::from_millis(1_200)).await;
    drop((first, second));
    eventually("both have left", async || {
        !stage.metrics().await.contains("anteroom_open_sockets{tenant=\"wagtail\"} 2")
    })
    .await;
    eventually("all sockets are closed", async || {
        stage.metrics().await.contains("anteroom_open_sockets{tenant=\"wagtail\"} 0")
    })
    .await;
    let metrics = stage.metrics().await;
    assert!(metrics.contains("anteroom_body_bytes_total{tenant=\"wagtail\",direction=\"down\"}"), "{metrics}");
    stage.app.take().unwrap().stop(Duration::from_secs(5)).await;

    let url = format!("sqlite:{}", stage.path("var/anteroom.db").display());
    let store = Store::open_beside(&url).await.unwrap();
    let usage = store.usage().by_day("2000-01-01", "3000-01-01", Clock::system().now()).await.unwrap();
    let of = |tenant: &str| usage.iter().filter(|row| row.tenant == tenant).collect::<Vec<_>>();
    let wagtail = of("wagtail");
    let sum = |value: fn(&anteroom::store::UsageRow) -> i64| wagtail.iter().map(|row| value(row)).sum::<i64>();
    assert_eq!(sum(|row| row.meetings), 1);
    assert_eq!(wagtail.iter().map(|row| row.peak).max(), Some(2));
    let present: Duration = wagtail.iter().map(|row| row.participant_time).sum();
    let expected = Duration::from_millis(2_400)..Duration::from_secs(60);
    assert!(expected.contains(&present), "two people for more than a second each: {present:?}");
    assert!(sum(|row| row.bytes_up) > 10_000, "{wagtail:?}");
    assert!(sum(|row| row.bytes_down) > 500, "{wagtail:?}");
    assert!(of("heron").is_empty(), "another tenant has used nothing");
}

#[tokio::test(flavor = "multi_thread")]
#[expect(clippy::disallowed_methods, reason = "the gateway under test has the clock of the system")]
async fn usage_is_told_by_month_and_survives_a_kill() {
    let mut gateway = Served::start(Plan::new().server("members").tenant("wagtail", "multi-account")).await;
    gateway.api("wagtail", "create", &ROOM).await;
    let ada = Joined::by("wagtail", &gateway.api("wagtail", "join", &ADA).await);
    let socket = gateway.client.graphql(&host("wagtail"), &ada).await.unwrap();
    // Somebody who is there when the gateway dies counts until it was last heard of, every five seconds: the time that is
    // counted.
    tokio::time::sleep(Duration::from_millis(6_000)).await;
    gateway.kill().await;
    drop(socket);
    gateway.start_again().await;
    let config = gateway.dir.path();

    let month = &time::OffsetDateTime::now_utc().date().to_string()[..7];
    let usage = |format: &str| {
        let output = anteroom(&["usage", "--month", month, "--format", format], config);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    };
    let csv = usage("csv");
    let (head, rows) = csv.split_once("\r\n").unwrap();
    assert_eq!(head, "tenant,day,meetings,participant_minutes,peak,bytes_up,bytes_down");
    assert!(rows.starts_with("wagtail,"), "{csv}");
    let json: serde_json::Value = serde_json::from_str(&usage("json")).unwrap();
    let rows = json.as_array().unwrap();
    let minutes: f64 = rows.iter().map(|row| row["participant_minutes"].as_f64().unwrap()).sum();
    assert!((0.05..0.5).contains(&minutes), "some seconds: {json}");
    assert_eq!(rows.iter().map(|row| row["meetings"].as_i64().unwrap()).sum::<i64>(), 1, "{json}");
    assert!(usage("table").contains("WAGTAIL") || usage("table").contains("wagtail"));
    for text in [&csv, &usage("table")] {
        assert!(!text.contains("Secretname"), "no names of people");
    }
    // From elsewhere, with a token that may only look.
    let token = anteroom(&["token", "--scope", "read"], config).stdout;
    let remote = Command::new(env!("CARGO_BIN_EXE_anteroom"))
        .args(["usage", "--month", month, "--format", "csv", "--url", &format!("http://{}", gateway.program.admin)])
        .env("ANTEROOM_TOKEN", String::from_utf8(token).unwrap().trim())
        .output()
        .unwrap();
    assert_eq!(String::from_utf8(remote.stdout).unwrap(), csv);
    let refused = anteroom(&["usage", "--month", "2026-13"], config);
    assert!(!refused.status.success() && String::from_utf8_lossy(&refused.stderr).contains("2026-11"));
}

/// What the admin listener answers to a scrape: status, content type and text.
async fn scrape(stage: &Stage, query: &str, accept: &str) -> (u16, String, String) {
    let stream = tokio::net::TcpStream::connect(stage.app.as_ref().unwrap().admin.unwrap()).await.unwrap();
    let request = Request::get(format!("/metrics{query}")).header("host", "localhost").header("accept", accept);
    let reply = exchange(stream, request.body(Full::default()).unwrap()).await;
    (reply.status.as_u16(), reply.header("content-type").to_owned(), reply.body)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_scrape_has_the_format_that_it_accepts_and_as_many_rows_as_it_asks_for() {
    let plan = Plan::new().server("members").tenant("wagtail", "level-1").tenant("heron", "level-1");
    let stage = plan.start().await;
    stage.create("wagtail", "room").await;
    stage.create("heron", "room").await;
    let created =
        |tenant: &str| format!("anteroom_requests_total{{tenant=\"{tenant}\",call=\"create\",outcome=\"ok\"}}");

    let (status, format, text) = scrape(&stage, "", "*/*").await;
    assert_eq!((status, &*format), (200, "text/plain; version=0.0.4; charset=utf-8"));
    assert!(text.contains("# TYPE anteroom_requests_total counter\n") && !text.contains("# EOF"), "{text}");
    assert!(text.contains(&created("wagtail")) && text.contains(&created("heron")), "{text}");

    let (_, format, text) = scrape(&stage, "?rows=1", "application/openmetrics-text;version=1.0.0,*/*;q=0.1").await;
    assert_eq!(format, "application/openmetrics-text; version=1.0.0; charset=utf-8");
    assert!(text.contains("# TYPE anteroom_requests counter\n") && text.ends_with("# EOF\n"), "{text}");
    assert!(text.contains(&created("wagtail")) && text.contains(&created("(others)")), "{text}");
    assert!(!text.contains("heron\""), "{text}");
    assert_eq!(text.matches("anteroom_certificate_expiry_timestamp_seconds{").count(), 1, "{text}");

    let (status, _, text) = scrape(&stage, "?rows=many", "*/*").await;
    assert_eq!(status, 400);
    assert!(text.contains("rows is a number, or all"), "{text}");
}
