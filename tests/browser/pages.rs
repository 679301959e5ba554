//! What people read where they do not get into a meeting: which page, in which language, in whose look.

use std::sync::Arc;

use anteroom::domain::{
    denial::Denial,
    pages::{Look, Page, Pages},
};
use anteroom_bench::sign;
use axum::{Router, routing::get};
use serde_json::{Value, json};

use crate::support::{Plan, Reply, Socket, Stage, browser, eventually, host, secret, write};

const TENANT: &str = "wagtail";
const LOGO: &str = "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"120\" height=\"40\"><rect width=\"120\" height=\"40\" fill=\"#0a4b78\"/></svg>";
const BRANDING: &str = "---[branding]\nlogo = \"logo.svg\"\nbanner_color = \"#0a4b78\"\n";

async fn stage() -> Stage {
    let plan = Plan::new().server("members").file("logo.svg", LOGO);
    let plan = plan.tenant_with(TENANT, "multi-account", BRANDING).tenant_with("sparrow", "free", BRANDING);
    let plan = plan.tenant("heron", "multi-account").tenant_with("closed", "multi-account", "suspended = true");
    plan.start().await
}

fn path(tenant: &str, params: &[(&str, &str)]) -> String {
    let all = [&[("fullName", "Ada"), ("role", "VIEWER")], params].concat();
    sign::path("join", &all, &secret(tenant))
}

async fn look(stage: &Stage, tenant: &str, path: &str, language: &str) -> Reply {
    let headers = [("accept", "text/html,*/*"), ("accept-language", language)];
    stage.client().get_with(&host(tenant), path, &headers).await
}

/// Has the pages of this stage come: an address for each, with the tenant and the status; for as long as the people are there
/// who fill a room.
async fn addresses(stage: &Stage) -> (Vec<(&'static str, &'static str, String, u16)>, Vec<Socket>) {
    stage.create(TENANT, "done").await;
    stage.api(TENANT, "end", &[("meetingID", "done")]).await;
    stage.create(TENANT, "hall").await;
    stage.create("sparrow", "nest").await;
    let mut people = Vec::new();
    for n in 0..5 {
        let joined = stage.joined("sparrow", "nest", &format!("Guest {n}")).await;
        people.push(stage.graphql("sparrow", &joined).await.unwrap());
    }
    let prefix = stage.joined(TENANT, "hall", "Ada").await.prefix;
    let altered = path(TENANT, &[("meetingID", "hall")]).replace("Ada", "Bob");
    let pages = vec![
        ("landing", TENANT, "/".into(), 200),
        ("notYet", TENANT, path(TENANT, &[("meetingID", "tomorrow")]), 404),
        ("over", TENANT, path(TENANT, &[("meetingID", "done")]), 404),
        ("full", "sparrow", path("sparrow", &[("meetingID", "nest")]), 403),
        ("wrongLink", TENANT, altered, 403),
        ("other", TENANT, path(TENANT, &[("meetingID", "hall"), ("createTime", "1")]), 400),
        ("suspended", "closed", path("closed", &[("meetingID", "hall")]), 403),
        ("notFound", TENANT, "/nowhere".into(), 404),
        ("unknownSession", TENANT, format!("{prefix}/html5client/?sessionToken=nobodys"), 401),
    ];
    (pages, people)
}

#[tokio::test(flavor = "multi_thread")]
async fn each_page_comes_with_its_status_in_the_visitors_language() {
    let stage = stage().await;
    let (pages, _people) = addresses(&stage).await;
    for (name, tenant, path, status) in pages {
        let mut seen = Vec::new();
        for language in ["en", "de", "fr", "es"] {
            let reply = look(&stage, tenant, &path, &format!("{language}-XX,xx;q=0.5")).await;
            assert_eq!(reply.status.as_u16(), status, "{name}: {reply:?}");
            assert_eq!(reply.header("content-language"), language, "{name}");
            assert!(reply.body.contains(&format!("<html lang=\"{language}\">")), "{name}");
            let policy = reply.header("content-security-policy");
            assert!(
                policy.starts_with("default-src 'none'; style-src 'nonce-") && !policy.contains("unsafe"),
                "{policy}"
            );
            assert!(reply.header("vary").contains("accept-language") && reply.header("cache-control") == "no-store");
            let retries = reply.header("refresh").parse::<u32>().ok();
            let expected = matches!(name, "notYet" | "full");
            assert_eq!(
                retries.is_some_and(|n| (8..16).contains(&n)),
                expected,
                "{name}: {:?}",
                reply.header("refresh")
            );
            let title = reply.body.split("<h1>").nth(1).unwrap().split("</h1>").next().unwrap().to_owned();
            assert!(!seen.contains(&title), "{name} says the same in two languages: {title}");
            seen.push(title);
        }
    }
    // Programs get what they had.
    let reply = stage.client().get(&host(TENANT), &path(TENANT, &[("meetingID", "tomorrow")])).await;
    assert_eq!((reply.status.as_u16(), reply.xml("messageKey")), (200, "meetingForciblyEnded"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_has_the_look_of_its_tenant_where_the_level_has_branding() {
    let stage = stage().await;
    let branded = look(&stage, TENANT, "/", "en").await.body.replace("&#x2f;", "/");
    let logo = branded.split("src=\"").nth(1).unwrap().split('"').next().unwrap().to_owned();
    assert!(logo.starts_with("https://wagtail.localhost/.anteroom/") && branded.contains("#0a4b78"), "{branded}");
    for tenant in ["sparrow", "heron"] {
        let plain = look(&stage, tenant, "/", "en").await.body;
        assert!(
            !plain.contains("<img") && !plain.contains("#0a4b78") && plain.contains(&format!("{tenant} co-op")),
            "{plain}"
        );
        let path = logo.split_once(".localhost").unwrap().1;
        assert_eq!(stage.client().get(&host(tenant), path).await.status, 404, "{tenant} has not another's logo");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operator_says_it_in_words_of_their_own() {
    let stage = stage().await;
    let title = async |language| look(&stage, TENANT, "/", language).await.body;
    write(stage.dir.path(), "pages/de.toml", "[pages.landing]\ntitle = \"Willkommen im Wohnzimmer\"\n");
    write(stage.dir.path(), "pages/it.toml", "[pages.landing]\ntitle = \"Benvenuti\"\n");
    eventually("the new words", async || title("de").await.contains("Wohnzimmer")).await;
    let italian = look(&stage, TENANT, "/", "it-IT,de;q=0.5").await;
    assert_eq!(italian.header("content-language"), "it");
    assert!(italian.body.contains("Benvenuti") && italian.body.contains("follow the link"), "{}", italian.body);
    write(stage.dir.path(), "pages/page.html", "<title>own</title><h1>{{ title }}</h1>");
    eventually("the own template", async || title("de").await.starts_with("<title>own</title><h1>Willkommen")).await;
    // What is faulty is told, and what was good stays.
    write(stage.dir.path(), "pages/page.html", "<h1>{{ title</h1>");
    write(stage.dir.path(), "pages/de.toml", "[pages.landung]\ntitle = \"Hoppla\"\n");
    let faults = async || stage.metrics().await.contains("anteroom_config_faults 2");
    eventually("two faults", faults).await;
    assert!(title("de").await.starts_with("<title>own</title><h1>Willkommen"));
    std::fs::remove_file(stage.path("pages/page.html")).unwrap();
    std::fs::remove_file(stage.path("pages/de.toml")).unwrap();
    eventually("what ships", async || title("de").await.contains("Online-Besprechungen")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_are_looked_at_in_a_browser() {
    let stage = Arc::new(stage().await);
    let (pages, _people) = addresses(&stage).await;
    let mut pages: Vec<_> = pages
        .into_iter()
        .map(|(name, tenant, path, _)| json!({ "name": name, "host": host(tenant), "path": path }))
        .collect();
    pages.retain(|page| page["name"] != "unknownSession");
    let of = Arc::clone(&stage);
    let begin = get(async move || of.create(TENANT, "tomorrow").await.body);
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let control = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, Router::new().route("/begin", begin)).await });
    let home = tempfile::tempdir().unwrap();
    let more = json!({
        "rendered": rendered(),
        "stage": format!("http://{control}"),
        "pages": pages,
        "waits": format!("https://{}{}", host(TENANT), path(TENANT, &[("meetingID", "tomorrow")])),
    });
    browser::run("pages.mjs", &browser::plan(&stage, home.path(), &more)).await;
}

/// The pages that do not come on this stage, in all languages, as they would.
fn rendered() -> Vec<Value> {
    let look = Look { tenant: "Wagtail Co-op", color: Some("#ffd400"), ..Look::default() };
    let pages = Pages::default();
    let languages = ["en", "de", "fr", "es"];
    let of = |denial: &Denial, language| {
        let page = Page::Refused(*denial);
        let html = pages.render(&page, language, &look, denial.key(), "n", 0).html;
        json!({ "name": denial.key(), "language": language, "html": html })
    };
    Denial::ALL.iter().flat_map(|denial| languages.map(|language| of(denial, language))).collect()
}
