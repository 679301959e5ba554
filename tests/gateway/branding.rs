//! Branding: a tenant's logo, colours, texts and slides are given to its meetings where its level allows that, and served
//! from its own host.

use crate::support::{Plan, Stage, eventually, host, write};

const LOGO: &str = "<svg xmlns=\"http://www.w3.org/2000/svg\"/>";
const BRANDING: &str = r##"---[branding]
logo = "assets/logo.svg"
dark_logo = "https://wagtail.example/dark.svg"
banner_text = "Wagtail & friends"
banner_color = "#0a4b78"
welcome = "Welcome to <b>%%CONFNAME%%</b>"
logout_url = "https://wagtail.example/bye"
client_title = "Wagtail meetings"
style = "assets/style.css"
slides = "assets/welcome.pdf"
copyright = "Wagtail Co-op"
"##;

async fn stage() -> Stage {
    Plan::new()
        .server("members")
        .tenant_with("wagtail", "multi-account", BRANDING)
        .tenant_with("plain", "level-1", BRANDING)
        .tenant("heron", "multi-account")
        .file("assets/logo.svg", LOGO)
        .file("assets/style.css", "body { color: navy }")
        .file("assets/welcome.pdf", "%PDF-1.4")
        .start()
        .await
}

/// The path of an address on a tenant's host.
fn own<'a>(tenant: &str, address: &'a str) -> &'a str {
    address.strip_prefix(&format!("https://{}", host(tenant))).unwrap_or_else(|| panic!("{address}"))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_create_gets_what_it_does_not_say_itself() {
    let stage = stage().await;
    stage.create("wagtail", "room").await;
    let params = stage.on_server("wagtail", "room").unwrap().params;
    for (name, value) in [
        ("darklogo", "https://wagtail.example/dark.svg"),
        ("bannerText", "Wagtail & friends"),
        ("bannerColor", "#0a4b78"),
        ("welcome", "Welcome to <b>%%CONFNAME%%</b>"),
        ("logoutURL", "https://wagtail.example/bye"),
        ("copyright", "Wagtail Co-op"),
        ("preUploadedPresentationName", "welcome.pdf"),
        ("preUploadedPresentationOverrideDefault", "true"),
    ] {
        assert_eq!(params[name], value, "{name}");
    }
    for (name, content_type, content) in
        [("logo", "image/svg+xml", LOGO), ("preUploadedPresentation", "application/pdf", "%PDF-1.4")]
    {
        let file = stage.client().get(&host("wagtail"), own("wagtail", &params[name])).await;
        assert_eq!((file.status.as_u16(), file.header("content-type"), &*file.body), (200, content_type, content));
        assert!(file.header("cache-control").contains("immutable"));
        assert!(file.header("content-security-policy").contains("sandbox"), "a picture runs nothing");
    }

    let asked = [
        ("name", "own"),
        ("meetingID", "own"),
        ("logo", "https://school.example/logo.png"),
        ("welcome", "Hello"),
        ("preUploadedPresentation", "https://school.example/a.pdf"),
    ];
    stage.api("wagtail", "create", &asked).await;
    let params = stage.on_server("wagtail", "own").unwrap().params;
    assert_eq!((&*params["logo"], &*params["welcome"]), ("https://school.example/logo.png", "Hello"));
    assert_eq!(params["preUploadedPresentation"], "https://school.example/a.pdf");
    assert!(!params.contains_key("preUploadedPresentationName"));
    assert_eq!(params["bannerText"], "Wagtail & friends");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_join_gets_title_and_style() {
    let stage = stage().await;
    stage.create("wagtail", "room").await;
    stage.joined("wagtail", "room", "Ada").await;
    let join = stage.on_server("wagtail", "room").unwrap().joins.remove(0);
    assert_eq!(join["userdata-bbb_client_title"], "Wagtail meetings");
    assert_eq!(join["userdata-bbb_display_branding_area"], "true");
    let style = stage.client().get(&host("wagtail"), own("wagtail", &join["userdata-bbb_custom_style_url"])).await;
    assert_eq!((style.status.as_u16(), &*style.body), (200, "body { color: navy }"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_level_without_branding_has_none() {
    let stage = stage().await;
    stage.create("plain", "room").await;
    stage.joined("plain", "room", "Ada").await;
    let mut meeting = stage.on_server("plain", "room").unwrap();
    for name in ["logo", "bannerText", "welcome", "copyright", "preUploadedPresentation"] {
        assert!(!meeting.params.contains_key(name), "{name}");
    }
    assert_eq!(meeting.params["logoutURL"], "https://plain.localhost/");
    assert!(!meeting.joins.remove(0).contains_key("userdata-bbb_client_title"));
    stage.create("wagtail", "room").await;
    let logo = stage.on_server("wagtail", "room").unwrap().params["logo"].clone();
    let reply = stage.client().get(&host("plain"), own("wagtail", &logo)).await;
    assert_eq!(reply.status, 404, "though it has the same file");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_is_its_tenants_alone() {
    let stage = stage().await;
    stage.create("wagtail", "room").await;
    let logo = stage.on_server("wagtail", "room").unwrap().params["logo"].clone();
    let path = own("wagtail", &logo);
    assert_eq!(stage.client().get(&host("wagtail"), path).await.status, 200);
    assert_eq!(stage.client().get(&host("heron"), path).await.status, 404);
    for path in [
        path.replace("logo.svg", "other.svg"),
        path.replace("/.anteroom/", "/.anteroom/0"),
        path.replace("logo.svg", "../logo.svg"),
        "/.anteroom/".into(),
    ] {
        assert_eq!(stage.client().get(&host("wagtail"), &path).await.status, 404, "{path}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_changed_file_has_another_address() {
    let stage = stage().await;
    let logo = async |room: &str| {
        stage.create("wagtail", room).await;
        stage.on_server("wagtail", room).unwrap().params["logo"].clone()
    };
    let before = logo("before").await;
    write(stage.dir.path(), "assets/logo.svg", "<svg/>");
    let mut n = 0;
    eventually("the new logo is taken over", async || {
        n += 1;
        logo(&format!("room {n}")).await != before
    })
    .await;
}
