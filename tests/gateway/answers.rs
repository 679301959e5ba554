//! Answers from memory: a storm of questions is one question to a server, and what is done is seen at once.

use futures_util::future::join_all;

use crate::support::{Plan, Stage, eventually};

async fn stage() -> Stage {
    Plan::new().server("members").server("members").tenant("wagtail", "custom").tenant("heron", "custom").start().await
}

fn questions(stage: &Stage, call: &str) -> usize {
    stage.sims.iter().map(|sim| sim.log().iter().filter(|seen| seen.call() == Some(call)).count()).sum()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_storm_of_questions_is_one_question() {
    let stage = stage().await;
    stage.create("wagtail", "room").await;
    let ask = async |call: &'static str| {
        let before = questions(&stage, if call == "getMeetings" { call } else { "getMeetingInfo" });
        let params = [("meetingID", "room")];
        let replies = join_all((0..100).map(|_| stage.api("wagtail", call, &params))).await;
        assert!(replies.iter().all(|reply| reply.xml("returncode") == "SUCCESS" && !reply.header("age").is_empty()));
        questions(&stage, if call == "getMeetings" { call } else { "getMeetingInfo" }) - before
    };
    // A slow machine may take longer than the two seconds that an answer is kept, and the poller asks as well.
    for call in ["getMeetings", "getMeetingInfo", "isMeetingRunning"] {
        let asked = ask(call).await;
        assert!(asked <= 8, "{call}: {asked} questions for 100");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_done_is_seen_at_once() {
    let stage = stage().await;
    let listed = async || stage.api("wagtail", "getMeetings", &[]).await.body.matches("<meeting>").count();
    let people = async || {
        let info = stage.api("wagtail", "getMeetingInfo", &[("meetingID", "one")]).await;
        info.xml("participantCount").to_owned()
    };
    assert_eq!(listed().await, 0);
    for (n, room) in ["one", "two", "three"].iter().enumerate() {
        stage.create("wagtail", room).await;
        assert_eq!(listed().await, n + 1, "{room}");
    }
    assert_eq!(people().await, "0");
    let ada = stage.joined("wagtail", "one", "Ada").await;
    let socket = stage.graphql("wagtail", &ada).await.unwrap();
    assert_eq!(people().await, "1");
    drop(socket);
    eventually("she is seen to leave", async || people().await == "0").await;
    stage.api("wagtail", "end", &[("meetingID", "two")]).await;
    assert_eq!(listed().await, 2);
    assert_eq!(stage.api("heron", "getMeetings", &[]).await.body.matches("<meeting>").count(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dead_server_makes_no_list_shorter() {
    let stage = stage().await;
    for room in ["one", "two"] {
        stage.create("wagtail", room).await;
    }
    stage.sims[0].faults().set_down(true);
    eventually("the answer from memory is too old, and the server is asked", async || {
        let list = stage.api("wagtail", "getMeetings", &[]).await;
        assert_eq!((list.xml("returncode"), list.body.matches("<meeting>").count()), ("SUCCESS", 2), "{}", list.body);
        list.body.matches("<lastKnown>true</lastKnown>").count() == 1
    })
    .await;
}
