//! The main job: an integration creates a meeting on a tenant's host, people join it there.

use futures_util::{SinkExt, StreamExt};
use tokio_tungstenite::tungstenite::Message;

use crate::support::{Plan, Stage, host};

async fn stage() -> Stage {
    Plan::new()
        .server("members")
        .server("members")
        .tenant("wagtail", "multi-account")
        .tenant("heron", "level-1")
        .start()
        .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_meeting_lives_on_the_tenants_own_host() {
    let stage = stage().await;
    let created = stage.create("wagtail", "room").await;
    assert_eq!(created.xml("returncode"), "SUCCESS", "{}", created.body);
    assert_eq!(created.xml("meetingID"), "room");
    let joined = stage.joined("wagtail", "room", "Ada").await;
    assert!(joined.cookies.starts_with("__Host-JSESSIONID."), "{}", joined.cookies);

    let client = stage.client();
    let page =
        client.get(&host("wagtail"), &format!("{}/html5client/?sessionToken={}", joined.prefix, joined.token)).await;
    assert_eq!(page.status, 200);
    let mut graphql = stage.graphql("wagtail", &joined).await.unwrap();
    let sfu = format!("{}/bbb-webrtc-sfu?sessionToken={}", joined.prefix, joined.token);
    let mut sfu = client.socket(&host("wagtail"), &sfu, &[("cookie", &joined.cookies)]).await.unwrap();
    sfu.send(Message::text("hello")).await.unwrap();
    let echo = sfu.next().await.unwrap().unwrap();
    assert!(echo.to_text().unwrap().contains("hello"), "{echo}");

    let info = stage.api("wagtail", "getMeetingInfo", &[("meetingID", "room")]).await;
    assert_eq!(info.xml("participantCount"), "1", "{}", info.body);
    assert_eq!(info.xml("meetingID"), "room");
    let running = stage.api("wagtail", "isMeetingRunning", &[("meetingID", "room")]).await;
    assert_eq!(running.xml("running"), "true");
    let list = stage.api("wagtail", "getMeetings", &[]).await;
    assert_eq!(list.xml("meetingID"), "room", "{}", list.body);

    let ended = stage.api("wagtail", "end", &[("meetingID", "room")]).await;
    assert_eq!(ended.xml("messageKey"), "sentEndMeetingRequest");
    assert!(graphql.next().await.is_some_and(|m| m.is_ok_and(|m| m.is_close())), "the server closes its sockets");
    let gone = stage.api("wagtail", "getMeetingInfo", &[("meetingID", "room")]).await;
    assert_eq!(gone.xml("messageKey"), "notFound");
}
