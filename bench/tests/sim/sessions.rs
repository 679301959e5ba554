//! Calls of the client: by a session, not by a checksum.

use anteroom_bench::sign;
use anteroom_bench::sim::{Config, Profile, Sim};
use serde_json::{Value, json};

use crate::helpers::*;

/// Path and query of the URL that `getJoinUrl` gives.
async fn join_url(sim: &Sim, seat: &Seat, params: Params<'_>) -> String {
    let answer = session_call(sim, seat, "getJoinUrl", params).await.json();
    let url = answer["response"]["url"].as_str().unwrap();
    url.strip_prefix(SERVER).unwrap().to_owned()
}

#[tokio::test]
async fn a_join_url_for_a_second_session_works() {
    let sim = start(Config::default()).await;
    create(&sim, "room", &[]).await;
    let params = [("fullName", "Zoë B"), ("meetingID", "room"), ("role", "VIEWER")];
    let seat = self::seat(&call(&sim, "join", &params).await);
    let stranger = Seat { cookie: String::new(), ..seat.clone() };
    let expected = json!({ "response": {
        "returncode": "FAILED", "message": "Invalid session token", "sessionToken": seat.token,
    } });
    assert_eq!(session_call(&sim, &stranger, "getJoinUrl", &[]).await.json(), expected);

    let path = join_url(&sim, &seat, &[("enforceLayout", "X"), ("other", "y")]).await;
    let start =
        "/bigbluebutton/api/join?&fullName=Zo%25C3%25AB%2BB&meetingID=room&role=VIEWER&redirect=true&existingUserID=w_";
    assert!(path.starts_with(start), "{path}");
    assert!(path.contains("&enforceLayout=X&checksum=") && !path.contains("other"), "{path}");
    let (_, checksum) = path.rsplit_once("&checksum=").unwrap();
    assert_eq!(checksum.len(), 40, "always SHA-1");
    let second = self::seat(&get(&sim, &path).await);
    assert_eq!(only(&sim).joins.len(), 1, "the same user");
    for seat in [&seat, &second] {
        enter(&sim, seat).await.unwrap();
    }
    let path = join_url(&sim, &second, &[("replaceSession", "true"), ("sessionName", "tablet")]).await;
    assert!(path.contains("&sessionName=tablet&"), "{path}");
    get(&sim, &path).await;
    assert_eq!(enter(&sim, &second).await.err(), Some(4403), "its place has been taken");
    enter(&sim, &seat).await.unwrap();
    sim.stop().await;
}

#[tokio::test]
async fn viewers_cannot_put_blocked_userdata_into_a_join_url() {
    let blocked = vec!["userdata-bbb_hide".to_owned()];
    let sim = start(Config { join_url_userdata_blocklist: blocked, ..Config::default() }).await;
    create(&sim, "room", &[]).await;
    for (role, passes) in [("VIEWER", false), ("MODERATOR", true)] {
        let seat = seat(&call(&sim, "join", &[("fullName", "A"), ("meetingID", "room"), ("role", role)]).await);
        let path = join_url(&sim, &seat, &[("userdata-bbb_hide", "1"), ("userdata-bbb_x", "2")]).await;
        assert_eq!(path.contains("userdata-bbb_hide=1"), passes, "{role}");
        assert!(path.contains("&userdata-bbb_x=2"), "{path}");
    }
    sim.stop().await;
}

#[tokio::test]
async fn only_early_servers_let_moderators_mint_join_urls() {
    for (profile, role, mints) in [
        (Profile::V3_0_0, "MODERATOR", true),
        (Profile::V3_0_0, "VIEWER", false),
        (Profile::V3_0_18, "MODERATOR", false),
    ] {
        let sim = start(Config { profile, ..Config::default() }).await;
        create(&sim, "room", &[]).await;
        let seat = self::seat(&call(&sim, "join", &[("fullName", "A"), ("meetingID", "room"), ("role", role)]).await);
        let params = [("fullName", "Eve"), ("role", "MODERATOR"), ("userID", "eve"), ("avatarURL", "https://x.test/a")];
        let path = join_url(&sim, &seat, &params).await;
        assert_eq!(path.contains("fullName=Eve&meetingID=room&role=MODERATOR"), mints, "{path}");
        assert_eq!(path.contains("userID=eve&avatarURL=https"), mints, "{path}");
        assert_eq!(path.contains("existingUserID"), !mints, "{path}");
        assert_eq!(get(&sim, &path).await.status, 302);
        assert_eq!(only(&sim).joins.len(), if mints { 2 } else { 1 });
        sim.stop().await;
    }
}

#[tokio::test]
async fn the_dashboard_is_for_moderators() {
    let sim = start(Config::default()).await;
    create(&sim, "room", &[]).await;
    create(&sim, "disabled", &[("disabledFeatures", "polls,learningDashboard")]).await;
    create(&sim, "old-way", &[("learningDashboardEnabled", "false")]).await;
    let moderator = [("role", "MODERATOR"), ("userID", "u1")];
    let enter_as = async |id: &str, more: Params<'_>| {
        let params = [&[("fullName", "Mo"), ("meetingID", id)], more].concat();
        seat(&call(&sim, "join", &params).await)
    };
    let mo = enter_as("room", &moderator).await;
    let vi = enter_as("room", &[("role", "VIEWER")]).await;
    let hidden = enter_as("room", &[("role", "VIEWER"), ("excludeFromDashboard", "true")]).await;
    let (disabled, old_way) = (enter_as("disabled", &moderator).await, enter_as("old-way", &moderator).await);
    let message = async |seat: &Seat| {
        let answer = session_call(&sim, seat, "learningDashboard", &[]).await.json();
        assert_eq!(
            (&answer["response"]["returncode"], &answer["response"]["sessionToken"]),
            (&json!("FAILED"), &json!(seat.token))
        );
        answer["response"]["message"].as_str().unwrap().to_owned()
    };
    let unknown = Seat { token: "0123456789abcdef".into(), ..mo.clone() };
    let (without_token, without_cookie) =
        (Seat { token: String::new(), ..mo.clone() }, Seat { cookie: String::new(), ..mo.clone() });
    for (seat, expected) in [
        (&without_token, "You must provide a session token"),
        (&unknown, "Invalid session token"),
        (&without_cookie, "Invalid Session"),
        (&vi, "Access denied"),
        (&disabled, "Learning Dashboard disabled for this meeting"),
        (&old_way, "Learning Dashboard disabled for this meeting"),
        (&mo, "Learning Dashboard data not found"),
    ] {
        assert_eq!(message(seat).await, expected);
    }
    let _sockets = [enter(&sim, &mo).await.unwrap(), enter(&sim, &hidden).await.unwrap()];
    let answer = session_call(&sim, &mo, "learningDashboard", &[]).await.json();
    assert_eq!(answer["response"]["returncode"], "SUCCESS");
    let data: Value = serde_json::from_str(answer["response"]["data"].as_str().unwrap()).unwrap();
    assert_eq!((&data["extId"], &data["name"]), (&json!("room"), &json!("A room")));
    let users: Vec<&Value> = data["users"].as_object().unwrap().values().map(|user| &user["extId"]).collect();
    assert_eq!(users, ["u1"], "who is excluded is not shown, nor who has not come");

    call(&sim, "end", &[("meetingID", "room")]).await;
    assert_eq!(message(&mo).await, "Meeting not found");
    assert_eq!(message(&vi).await, "Access denied");
    sim.stop().await;
}

#[tokio::test]
async fn feedback_is_taken_after_the_meeting_too() {
    let sim = start(Config::default()).await;
    create(&sim, "room", &[]).await;
    let seat = join(&sim, "room", &[]).await;
    let give = async |token: &str, body: &str| {
        let head = format!("POST /bigbluebutton/api/feedback?sessionToken={token}");
        let answer = http(&sim, &head, &[("Content-Type", "application/json")], body.as_bytes()).await;
        answer.json()
    };
    assert_eq!(give(&seat.token, "{\"rating\":5}").await, json!({ "status": "ok" }));
    assert_eq!(give(&seat.token, "rating=5").await["response"]["returncode"], "FAILED");
    assert_eq!(give("0123456789abcdef", "{}").await["response"]["message"], "Invalid session token");
    call(&sim, "end", &[("meetingID", "room")]).await;
    assert_eq!(give(&seat.token, "{\"rating\":1}").await, json!({ "status": "ok" }));
    assert_eq!(get(&sim, &sign::path("feedback", &[], SECRET)).await.status, 405);
    sim.stop().await;
}

#[tokio::test]
async fn signing_out_ends_the_session_and_never_fails() {
    let sim = start(Config::default()).await;
    create(&sim, "room", &[]).await;
    let seat = join(&sim, "room", &[]).await;
    for _ in 0..2 {
        let answer = session_call(&sim, &seat, "signOut", &[]).await;
        assert_eq!(answer.body, "<response><returncode>SUCCESS</returncode></response>");
        assert_eq!(enter(&sim, &seat).await.err(), Some(4403));
    }
    sim.stop().await;
}
