//! Images of chat and notes (4.0): put and seen at the root of the host, by those of their meeting alone.

use anteroom_bench::sim::BreakoutPlan;
use http::Request;
use serde_json::Value;

use crate::support::{Joined, Plan, Reply, Stage, host};

const PNG: &[u8] = b"\x89PNG\r\n\x1a\n and so on";
const UPLOAD: &str = "/bigbluebutton/fileUpload/upload";

async fn stage() -> Stage {
    let plan = Plan::new().server("members").tenant("wagtail", "multi-account").tenant("heron", "multi-account");
    plan.start().await
}

async fn in_room(stage: &Stage, tenant: &str, room: &str) -> Joined {
    stage.create(tenant, room).await;
    stage.joined(tenant, room, "Ada").await
}

async fn put(stage: &Stage, tenant: &str, at: &str, cookies: &str, file: &[u8]) -> Reply {
    let head =
        "--b\r\ncontent-disposition: form-data; name=\"file\"; filename=\"a.png\"\r\ncontent-type: image/png\r\n\r\n";
    let form = [head.as_bytes(), file, b"\r\n--b--\r\n"].concat();
    let request = Request::post(at).header("content-type", "multipart/form-data; boundary=b").header("cookie", cookies);
    stage.client().send_body(&host(tenant), request, form.into()).await
}

fn json(reply: &Reply, name: &str) -> String {
    let told: Value = serde_json::from_str(&reply.body).unwrap_or_else(|_| panic!("{reply:?}"));
    told[name].as_str().unwrap_or_default().to_owned()
}

async fn see(stage: &Stage, tenant: &str, image: &str, joined: &Joined) -> u16 {
    let path = format!("{image}?sessionToken={}", joined.token);
    let reply = stage.client().get_with(&host(tenant), &path, &[("cookie", &joined.cookies)]).await;
    reply.status.as_u16()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_image_is_for_those_of_its_meeting() {
    let stage = stage().await;
    let ada = in_room(&stage, "wagtail", "room").await;
    let (other_room, eve) = (in_room(&stage, "wagtail", "other").await, in_room(&stage, "heron", "room").await);
    for prefix in ["", &*ada.prefix] {
        let at = format!("{prefix}{UPLOAD}?sessionToken={}", ada.token);
        let reply = put(&stage, "wagtail", &at, &ada.cookies, PNG).await;
        let image = json(&reply, "url");
        assert_eq!(reply.status, 201, "{reply:?}");
        assert!(image.starts_with("/bigbluebutton/fileUpload/"), "the client takes no other address: {image}");
        for path in [image.clone(), format!("{}{image}", ada.prefix)] {
            assert_eq!(see(&stage, "wagtail", &path, &ada).await, 200, "{path}");
            assert_eq!(see(&stage, "wagtail", &path, &other_room).await, 404, "{path}: of another meeting");
            assert_eq!(see(&stage, "heron", &path, &eve).await, 404, "{path}: of another tenant");
            let bare = stage.client().get_with(&host("wagtail"), &path, &[("cookie", &ada.cookies)]).await;
            assert_eq!(bare.status, 401, "{path}: without a session");
        }
    }
    // With another's session, or at another's host.
    let before = stage.sims[0].log().len();
    for (tenant, token) in [("wagtail", &eve.token), ("heron", &ada.token), ("wagtail", &"x".repeat(16))] {
        let reply = put(&stage, tenant, &format!("{UPLOAD}?sessionToken={token}"), &ada.cookies, PNG).await;
        assert_eq!((reply.status.as_u16(), json(&reply, "code")), (401, "unauthorized".into()));
    }
    let reply = put(&stage, "wagtail", UPLOAD, &ada.cookies, PNG).await;
    assert_eq!((reply.status.as_u16(), json(&reply, "code")), (401, "unauthorized".into()));
    assert_eq!(stage.sims[0].log().len(), before, "the server does not hear of it");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_image_is_seen_from_breakout_rooms_and_their_parent() {
    let stage = stage().await;
    let ada = in_room(&stage, "wagtail", "room").await;
    let plan = BreakoutPlan { rooms: 1, free_join: true, record: false, duration_min: 0 };
    stage.sims[0].open_breakouts("t.wagtail.room", plan);
    let url = stage.sims[0].breakout_join_url(&ada.token, 1).unwrap();
    let path = format!("{}{}", ada.prefix, &url[url.find("/bigbluebutton/").unwrap()..]);
    let reply = stage.client().get_with(&host("wagtail"), &path, &[("cookie", &ada.cookies)]).await;
    let in_room = Joined::by("wagtail", &reply);
    let in_room = Joined { cookies: format!("{}; {}", ada.cookies, in_room.cookies), ..in_room };
    for (one, other) in [(&ada, &in_room), (&in_room, &ada)] {
        let reply =
            put(&stage, "wagtail", &format!("{UPLOAD}?sessionToken={}", one.token), &in_room.cookies, PNG).await;
        let image = json(&reply, "url");
        let other = Joined { cookies: in_room.cookies.clone(), ..other.clone() };
        assert_eq!(see(&stage, "wagtail", &image, &other).await, 200, "{reply:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_is_in_the_words_that_the_client_knows() {
    let stage = stage().await;
    let ada = in_room(&stage, "wagtail", "room").await;
    let at = format!("{UPLOAD}?sessionToken={}", ada.token);
    for (what, file, status, code) in [
        ("no picture", b"#!/bin/sh".to_vec(), 415, "unsupported_image_type"),
        ("more than the service takes", [PNG, &vec![0; 5 << 20]].concat(), 413, "file_too_large"),
        (
            "more than BBB's nginx takes, which would answer a page",
            [PNG, &vec![0; 6 << 20]].concat(),
            413,
            "file_too_large",
        ),
    ] {
        let reply = put(&stage, "wagtail", &at, &ada.cookies, &file).await;
        assert_eq!((reply.status.as_u16(), &*json(&reply, "code")), (status, code), "{what}");
        assert!(reply.header("content-type").starts_with("application/json"), "{what}");
    }
    let heard = stage.sims[0].log().iter().filter(|seen| seen.path == UPLOAD).count();
    assert_eq!(heard, 2, "what is too long for the server is not sent there");
}
