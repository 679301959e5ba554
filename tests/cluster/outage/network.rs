//! The network between the gateway and a server: packets vanish, and no connection closes.

use std::time::Duration;

use super::{line::Line, *};

/// A gateway whose only server is at the end of a line.
async fn stage() -> (Stage, Line) {
    let mut line = None;
    let plan = Plan::new().server("members").tenant_with("tiny", "free", "---[limits]\nparticipants = 3");
    let stage = plan
        .start_changed(async |text, sims| {
            let to = line.insert(Line::to(sims[0].addr()).await);
            text.replace(&sims[0].url(), &format!("http://{}", to.address()))
        })
        .await;
    (stage, line.unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_short_cut_of_the_network_ends_nothing() {
    let (stage, line) = stage().await;
    stage.create("tiny", "room").await;
    let ada = stage.joined("tiny", "room", "Ada").await;
    let mut socket = stage.graphql("tiny", &ada).await.unwrap();
    line.cut();
    let answer = echo(&mut socket);
    let mended = async {
        // How long the cut is.
        tokio::time::sleep(Duration::from_secs(3)).await;
        line.mend();
    };
    let (answer, ()) = tokio::join!(answer, mended);
    answer.expect("what was sent meanwhile has arrived");
    server_is(&stage, 1).await;
    assert_eq!(stage.join("tiny", "room", "Bo").await.status, 302);
    assert!(stage.metrics().await.contains("anteroom_meetings 1"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_long_cut_of_the_network_detaches_meetings_and_holds_nobody_up() {
    let (stage, line) = stage().await;
    let created = stage.create("tiny", "room").await;
    let ada = stage.joined("tiny", "room", "Ada").await;
    let mut socket = stage.graphql("tiny", &ada).await.unwrap();
    line.cut();
    eventually("the server is offline: who joins is told at once", async || {
        let refused = tokio::time::timeout(AT_ONCE, follows_a_link(&stage, "tiny", "Bo")).await;
        refused.is_ok_and(|page| page.status == 502 && page.body.contains("This page tries again by itself."))
    })
    .await;
    calls_do_not_wait(&stage).await;
    assert!(stage.metrics().await.contains("anteroom_meetings 1"));

    line.mend();
    server_is(&stage, 1).await;
    echo(&mut socket).await.expect("what TCP has not given up goes on");
    let info = stage.api("tiny", "getMeetingInfo", &[("meetingID", "room")]).await;
    assert_eq!(info.xml("internalMeetingID"), created.xml("internalMeetingID"), "{}", info.body);
    for name in ["Bo", "Cy"] {
        assert_eq!(stage.join("tiny", "room", name).await.status, 302, "{name}: a refusal holds no seat");
    }
    assert_eq!(stage.join("tiny", "room", "Dee").await.xml("messageKey"), "maxParticipantsReached");
}
