//! BBB servers that are killed, slow, back with their meetings or without, and an id that does not come free.

use std::time::Duration;

use super::*;

/// Three seats, so that one that is held for nothing is missed.
const THREE_SEATS: &str = "---[limits]\nparticipants = 3";

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_server_cuts_its_sockets_and_holds_nobody_up() {
    let mut stage = Plan::new().server("members").tenant_with("tiny", "free", THREE_SEATS).start().await;
    stage.create("tiny", "room").await;
    let ada = stage.joined("tiny", "room", "Ada").await;
    let mut socket = stage.graphql("tiny", &ada).await.unwrap();
    echo(&mut socket).await.unwrap();
    let stopped = stage.sims.remove(0).stop().await;

    at_once("people see it", closed(&mut socket)).await;
    let (code, reason) = Box::pin(at_once("who comes back is told", turned_away(&stage, "tiny", &ada))).await;
    assert_eq!((code, &*reason), (1013, "serverUnavailable"), "their client tries again");
    for _ in 0..5 {
        let page = at_once("a join", follows_a_link(&stage, "tiny", "Bo")).await;
        assert_eq!(page.status, 502);
        for said in ["cannot be reached at the moment", "This page tries again by itself.", "serverUnavailable"] {
            assert!(page.body.contains(said), "{said}: {}", page.body);
        }
    }
    let id = [("meetingID", "room"), ("name", "room")];
    for call in ["create", "getMeetingInfo", "isMeetingRunning", "end"] {
        let refused = at_once(call, stage.api("tiny", call, &id)).await;
        assert_eq!(refused.xml("messageKey"), "serverUnavailable", "{call}: {}", refused.body);
    }
    let list = at_once("a list", stage.api("tiny", "getMeetings", &[])).await;
    assert_eq!((list.xml("returncode"), list.body.matches("<meeting>").count()), ("SUCCESS", 1), "{}", list.body);
    let metrics = stage.metrics().await;
    assert!(metrics.contains("anteroom_server_up{server=\"bbb-01\"} 0"), "{metrics}");
    assert!(metrics.contains("anteroom_meetings 1"), "it is detached, not ended: {metrics}");

    stage.sims.push(stopped.start().await.unwrap());
    eventually("Ada is back where she was", async || stage.graphql("tiny", &ada).await.is_ok()).await;
    for name in ["Bo", "Cy"] {
        assert_eq!(stage.join("tiny", "room", name).await.status, 302, "{name}: a refusal holds no seat");
    }
    assert_eq!(stage.join("tiny", "room", "Dee").await.xml("messageKey"), "maxParticipantsReached");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_has_its_meetings_again_but_for_those_that_were_begun_anew() {
    let mut stage = Plan::new().server("members").server("members").tenant("wagtail", "multi-account").start().await;
    let created = stage.create("wagtail", "room").await;
    let (mut others, mut n) = (Vec::new(), 0);
    let at = stage.sims.iter().position(|sim| sim.meeting("t.wagtail.room").is_some()).unwrap();
    while others.is_empty() {
        n += 1;
        let other = format!("other {n}");
        stage.create("wagtail", &other).await;
        others.extend(stage.sims[at].meeting(&format!("t.wagtail.{other}")).map(|_| other));
    }
    let other = &*others[0];
    let (ada, bo) = (stage.joined("wagtail", "room", "Ada").await, stage.joined("wagtail", other, "Bo").await);
    for joined in [&ada, &bo] {
        stage.graphql("wagtail", joined).await.unwrap();
    }
    let old = stage.on_server("wagtail", other).unwrap().int_id;
    let stopped = stage.sims.remove(at).stop().await;

    let mut new = String::new();
    eventually("with its server offline a room is begun anew elsewhere", async || {
        let created = at_once("create", stage.create("wagtail", other)).await;
        new = created.xml("internalMeetingID").to_owned();
        created.xml("returncode") == "SUCCESS"
    })
    .await;
    assert_ne!(new, old);
    let cy = stage.joined("wagtail", other, "Cy").await;
    assert_ne!(cy.prefix, bo.prefix, "on another server");
    let mut socket = stage.graphql("wagtail", &cy).await.unwrap();
    let refused = at_once("a join", stage.join("wagtail", "room", "Dee")).await;
    assert_eq!(refused.xml("messageKey"), "serverUnavailable", "of a room that nobody has begun anew");

    let back = stopped.start().await.unwrap();
    eventually("the old run is ended", async || back.meeting(&format!("t.wagtail.{other}")).is_none()).await;
    eventually("Ada is back where she was", async || stage.graphql("wagtail", &ada).await.is_ok()).await;
    let info = stage.api("wagtail", "getMeetingInfo", &[("meetingID", "room")]).await;
    assert_eq!(info.xml("internalMeetingID"), created.xml("internalMeetingID"), "{}", info.body);
    let info = stage.api("wagtail", "getMeetingInfo", &[("meetingID", other)]).await;
    assert_eq!(info.xml("internalMeetingID"), new, "{}", info.body);
    let again = stage.create("wagtail", other).await;
    assert_eq!((again.xml("messageKey"), again.xml("internalMeetingID")), ("duplicateWarning", &*new));
    assert_eq!(turned_away(&stage, "wagtail", &bo).await.0, 4403, "the old run is over for good");
    echo(&mut socket).await.expect("and nobody in the new one has noticed");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_back_without_its_meetings_frees_their_rooms() {
    let mut stage = Plan::new().server("members").tenant("small", "free").start().await;
    stage.create("small", "room").await;
    let ada = stage.joined("small", "room", "Ada").await;
    let mut socket = stage.graphql("small", &ada).await.unwrap();
    let stopped = stage.sims.remove(0).stop().await;
    closed(&mut socket).await;
    server_is(&stage, 0).await;
    assert!(stage.metrics().await.contains("anteroom_meetings 1"), "the room is kept for it");

    stage.sims.push(stopped.start_anew().await.unwrap());
    eventually("the room is free", async || stage.create("small", "next").await.xml("returncode") == "SUCCESS").await;
    let info = stage.api("small", "getMeetingInfo", &[("meetingID", "room")]).await;
    assert_eq!(info.xml("messageKey"), "notFound", "{}", info.body);
    let page = follows_a_link(&stage, "small", "Bo").await;
    assert!(page.status == 404 && page.body.contains("This meeting is over."), "{}", page.body);
    assert_eq!(turned_away(&stage, "small", &ada).await.0, 4403, "their client does not try again");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_server_keeps_its_people_and_is_asked_no_more() {
    let stage = Plan::new().server("members").tenant_with("tiny", "free", THREE_SEATS).start().await;
    stage.create("tiny", "room").await;
    let ada = stage.joined("tiny", "room", "Ada").await;
    let mut socket = stage.graphql("tiny", &ada).await.unwrap();
    stage.sims[0].faults().set_api_delay(Duration::from_secs(31));

    let patient = stage.join("tiny", "room", "Bo");
    let others = async {
        eventually("it is offline: who joins is told at once", async || {
            echo(&mut socket).await.expect("what is open is not its API");
            let refused = tokio::time::timeout(AT_ONCE, follows_a_link(&stage, "tiny", "Cy")).await;
            refused.is_ok_and(|page| page.status == 502)
        })
        .await;
        calls_do_not_wait(&stage).await;
        stage.sims[0].faults().set_api_delay(Duration::ZERO);
        server_is(&stage, 1).await;
        echo(&mut socket).await.expect("and nobody in the meeting has noticed");
    };
    let (refused, ()) = tokio::join!(patient, others);
    assert_eq!(refused.xml("messageKey"), "serverUnavailable", "{}", refused.body);
    for name in ["Bo", "Cy"] {
        assert_eq!(stage.join("tiny", "room", name).await.status, 302, "{name}: nothing holds their seats");
    }
    assert_eq!(stage.join("tiny", "room", "Dee").await.xml("messageKey"), "maxParticipantsReached");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_id_that_did_not_come_free_on_its_server_is_freed() {
    let stage = Plan::new().server("members").tenant("small", "free").start().await;
    stage.sims[0].faults().set_ids_stick(true);
    let first = stage.create("small", "room").await;
    assert!(stage.sims[0].end_meeting("t.small.room"));
    let gone = stage.api("small", "getMeetingInfo", &[("meetingID", "room")]).await;
    assert_eq!(gone.xml("messageKey"), "notFound", "{}", gone.body);
    let second = stage.create("small", "room").await;
    assert_eq!(second.xml("returncode"), "SUCCESS", "idNotUnique is not for the caller: {}", second.body);
    assert_ne!(second.xml("internalMeetingID"), first.xml("internalMeetingID"));
    assert!(stage.sims[0].log().iter().any(|seen| seen.call() == Some("end")));
    assert_eq!(stage.join("small", "room", "Ada").await.status, 302);
}
