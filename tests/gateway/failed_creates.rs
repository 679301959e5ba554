//! Calls of `create` that fail on the way: no room and no record is left, and what runs is found again.

use anteroom_bench::sim::CannedAnswer;
use sqlx::Connection as _;

use crate::support::{Plan, eventually};

#[tokio::test(flavor = "multi_thread")]
async fn a_room_that_no_server_made_is_given_back() {
    let stage = Plan::new().server("members").tenant("small", "free").start().await;
    for (what, answer) in [
        ("a page", CannedAnswer { status: 500, content_type: "text/html".into(), body: b"<html>500</html>".to_vec() }),
        (
            "garbage",
            CannedAnswer { status: 200, content_type: "text/xml".into(), body: b"<response>\xff\x00".to_vec() },
        ),
        ("nothing", CannedAnswer { status: 200, content_type: "text/xml".into(), body: Vec::new() }),
        (
            "a cut",
            CannedAnswer { status: 200, content_type: "text/xml".into(), body: b"<response><returncode>SUCC".to_vec() },
        ),
    ] {
        stage.sims[0].faults().set_call_answer("create", Some(answer));
        let refused = stage.create("small", "room one").await;
        assert_eq!(refused.xml("messageKey"), "serverUnavailable", "{what}: {}", refused.body);
        assert!(stage.sims[0].log().iter().any(|seen| seen.call() == Some("end")), "{what}: it was called off");
        stage.sims[0].clear_log();
        stage.sims[0].faults().set_call_answer("create", None);
        let created = stage.create("small", "room two").await;
        assert_eq!(created.xml("returncode"), "SUCCESS", "after {what}: {}", created.body);
        stage.api("small", "end", &[("meetingID", "room two")]).await;
    }
    let nameless = stage.api("small", "create", &[("meetingID", "nameless")]).await;
    assert_eq!(nameless.xml("returncode"), "FAILED");
    assert_eq!(stage.create("small", "room two").await.xml("returncode"), "SUCCESS", "a refusal of BBB too");
}

/// As a server refuses one whose settings it validates, by a key of its own.
#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_of_a_server_is_told_as_it_is_and_leaves_nothing() {
    let stage = Plan::new().server("members").tenant("small", "free").start().await;
    let (key, message) = ("ofANewRelease", "Unknown setting: public.breakouts");
    let body = format!(
        "<response><returncode>FAILED</returncode><messageKey>{key}</messageKey><message>{message}</message></response>"
    );
    let answer = CannedAnswer { status: 200, content_type: "text/xml".into(), body: body.into_bytes() };
    stage.sims[0].faults().set_call_answer("create", Some(answer));
    let refused = stage.create("small", "room").await;
    let told = (refused.xml("returncode"), refused.xml("messageKey"), refused.xml("message"));
    assert_eq!(told, ("FAILED", key, message), "{}", refused.body);
    stage.sims[0].faults().set_call_answer("create", None);
    for call in ["getMeetingInfo", "end"] {
        let reply = stage.api("small", call, &[("meetingID", "room")]).await;
        assert_eq!(reply.xml("messageKey"), "notFound", "{call}: {}", reply.body);
    }
    assert!(stage.sims[0].log().iter().all(|seen| seen.call() != Some("end")), "there is nothing to be called off");
    // The level has one room.
    assert_eq!(stage.create("small", "other").await.xml("returncode"), "SUCCESS");
    stage.api("small", "end", &[("meetingID", "other")]).await;
    let created = stage.create("small", "room").await;
    assert_eq!((created.xml("returncode"), created.xml("messageKey")), ("SUCCESS", ""), "{}", created.body);
}

/// Where the callbacks of the next run go on to is kept once that run is known: a store that fails between the two leaves one
/// that is found again.
#[tokio::test(flavor = "multi_thread")]
async fn the_next_run_of_a_meeting_is_found_though_its_callbacks_could_not_be_kept() {
    for is_offline in [false, true] {
        let plan = Plan::new().server("members").server("members");
        let stage = plan.tenant("small", "free").start().await;
        let create = async || {
            let ended = ("meetingEndedURL", "https://93.184.216.34/ended");
            stage.api("small", "create", &[("name", "room"), ("meetingID", "room"), ended]).await
        };
        let created = create().await;
        assert_eq!(created.xml("returncode"), "SUCCESS", "{}", created.body);
        let at = usize::from(stage.sims[0].meetings().is_empty());
        if is_offline {
            stage.sims[at].faults().set_down(true);
            let labels = [format!("server=\"bbb-0{}\"", at + 1), "state=\"offline\"".to_owned()];
            let labels = labels.each_ref().map(|label| &**label);
            eventually("the server is offline", async || stage.metric("anteroom_server_state", &labels).await == 1)
                .await;
        } else {
            stage.sims[at].faults().restart();
        }
        let url = format!("sqlite:{}", stage.path("var/anteroom.db").display());
        let mut store = sqlx::SqliteConnection::connect(&url).await.unwrap();
        let full = "CREATE TRIGGER full BEFORE INSERT ON callback_addresses BEGIN SELECT RAISE(ABORT, 'full'); END";
        sqlx::query(full).execute(&mut store).await.unwrap();
        let refused = create().await;
        assert_eq!(refused.xml("messageKey"), "storeUnavailable", "offline: {is_offline}: {}", refused.body);
        sqlx::query("DROP TRIGGER full").execute(&mut store).await.unwrap();
        // What is known here is ended by the polls, should nobody ask again.
        let known = stage.metric("anteroom_meetings", &[]).await;
        assert_eq!(known, 1, "offline: {is_offline}");
        let again = create().await;
        assert_eq!(again.xml("returncode"), "SUCCESS", "offline: {is_offline}: {}", again.body);
        let info = stage.api("small", "getMeetingInfo", &[("meetingID", "room")]).await;
        assert_eq!(info.xml("internalMeetingID"), again.xml("internalMeetingID"), "{}", info.body);
        let (runs, of_run): (i64, i64) = sqlx::query_as(
            "SELECT count(DISTINCT m.id), count(a.meeting) FROM meetings m \
             LEFT JOIN callback_addresses a ON a.meeting = m.id WHERE m.ended_at IS NULL",
        )
        .fetch_one(&mut store)
        .await
        .unwrap();
        assert_eq!((runs, of_run), (1, 1), "offline: {is_offline}");
    }
}
