//! Breakout rooms: how they open, who is told of them and how, and when they end.

use anteroom_bench::sign::{self, Algorithm};
use anteroom_bench::sim::{BreakoutPlan, Config, Profile, Sim};
use serde_json::{Value, json};

use crate::helpers::*;

const ROOMS: &str = "subscription { breakoutRoom { breakoutRoomId sequence shortName joinURL } }";

async fn subscribe(socket: &mut Socket, id: &str, query: &str, variables: Value) {
    let payload = json!({ "query": query, "variables": variables });
    say(socket, json!({ "type": "subscribe", "id": id, "payload": payload })).await;
}

/// The rooms that the next message tells of.
async fn rooms(socket: &mut Socket) -> Vec<Value> {
    let message = hear(socket).await.unwrap();
    message["payload"]["data"]["breakoutRoom"].as_array().unwrap_or_else(|| panic!("{message}")).clone()
}

#[tokio::test]
async fn rooms_are_meetings_that_take_after_their_parent() {
    let sim = start(Config::default()).await;
    let more = [("meta_Owner", "ana"), ("moderatorPW", "mod"), ("attendeePW", "att"), ("maxParticipants", "3")];
    create(&sim, "room", &more).await;
    let parent = only(&sim);
    let plan = BreakoutPlan { record: true, duration_min: 20, free_join: false, ..BreakoutPlan::default() };
    let opened = sim.open_breakouts("room", plan);
    assert_eq!(opened.iter().map(|room| room.sequence).collect::<Vec<_>>(), [1, 2]);
    for room in &opened {
        let (hash, time) = room.int_id.split_once('-').unwrap();
        assert_eq!(room.ext_id.split_once('-').unwrap().1, time);
        assert_eq!((hash, time.len()), (Algorithm::Sha1.hex(room.ext_id.as_bytes()).as_str(), 13));
        assert_eq!(room.parent_int_id, parent.int_id);
        let info = call(&sim, "getMeetingInfo", &[("meetingID", &room.ext_id)]).await;
        for (name, expected) in [
            ("internalMeetingID", room.int_id.as_str()),
            ("isBreakout", "true"),
            ("parentMeetingID", &parent.int_id),
            ("sequence", &room.sequence.to_string()),
            ("freeJoin", "false"),
            ("owner", "ana"),
            ("moderatorPW", "mod"),
            ("attendeePW", "att"),
            ("maxUsers", "0"),
            ("recording", "true"),
            ("duration", "20"),
        ] {
            assert_eq!(info.tag(name), Some(expected), "{name}");
        }
    }
    let info = call(&sim, "getMeetingInfo", &[("meetingID", "room")]).await;
    let listed = info.tag("breakoutRooms").unwrap();
    assert!(opened.iter().all(|room| listed.contains(&format!("<breakout>{}</breakout>", room.int_id))), "{listed}");
    let all = call(&sim, "getMeetings", &[]).await;
    assert_eq!(all.body.matches("<isBreakout>true</isBreakout>").count(), 2);
    assert_eq!(sim.open_breakouts("room", plan), [], "there are rooms already");
    assert_eq!(sim.open_breakouts(&opened[0].ext_id, plan), [], "a room has no rooms");
    assert_eq!(sim.open_breakouts("other", plan), [], "no such meeting");
    sim.stop().await;
}

#[tokio::test]
async fn rooms_begin_to_be_recorded_as_their_meeting_does_where_the_release_has_it_so() {
    for (profile, auto_start, has_button) in [(Profile::V3_0_18, None, true), (Profile::V3_0_39, Some("true"), false)] {
        let sim = start(Config { profile, ..Config::default() }).await;
        let flags = [("record", "true"), ("autoStartRecording", "true"), ("allowStartStopRecording", "false")];
        create(&sim, "room", &flags).await;
        let opened = sim.open_breakouts("room", BreakoutPlan { record: true, ..BreakoutPlan::default() });
        let room = sim.meeting(&opened[0].ext_id).unwrap();
        assert_eq!(room.params.get("autoStartRecording").map(String::as_str), auto_start, "{}", profile.name);
        assert_eq!(sim.press_record(&opened[0].ext_id), has_button, "{}", profile.name);
        sim.stop().await;
    }
}

#[tokio::test]
async fn meetings_without_the_feature_get_no_rooms() {
    let sim = start(Config::default()).await;
    for (id, more, count) in [
        ("off", vec![("disabledFeatures", "chat, breakoutRooms")], 0),
        ("off-as-of-old", vec![("breakoutRoomsEnabled", "false")], 0),
        ("back-on", vec![("disabledFeatures", "breakoutRooms"), ("disabledFeaturesExclude", "breakoutRooms")], 2),
        ("other-off", vec![("disabledFeatures", "chat")], 2),
    ] {
        create(&sim, id, &more).await;
        assert_eq!(sim.open_breakouts(id, BreakoutPlan::default()).len(), count, "{id}");
    }
    sim.stop().await;
}

#[tokio::test]
async fn each_user_has_an_address_that_leads_into_the_room() {
    let base = "https://node-7.gateway.test/bigbluebutton/api";
    for (config, expected) in [
        (Config::default(), format!("{SERVER}/bigbluebutton/api")),
        (Config { breakout_base_url: Some(base.into()), ..Config::default() }, base.to_owned()),
    ] {
        let sim = start(config).await;
        create(&sim, "room", &[("moderatorPW", "m&d")]).await;
        let seat = join_as(&sim, "Ána Bell", "VIEWER").await;
        let opened = sim.open_breakouts("room", BreakoutPlan::default());
        let url = sim.breakout_join_url(&seat.token, 2).unwrap();
        let (start, query) = url.split_once("/join?").unwrap();
        assert_eq!(start, expected);
        let (signed, checksum) = query.split_once("&checksum=").unwrap();
        let start = format!(
            "fullName=%C3%81na+Bell&isBreakout=true&joinViaHtml5=true&meetingID={}&password=m%26d&redirect=true&userID=w_",
            opened[1].ext_id
        );
        assert!(signed.starts_with(&start) && signed.ends_with("-2"), "{signed}");
        assert_eq!(checksum, sign::checksum("join", signed, SECRET, Algorithm::Sha256));

        let path = format!("/bigbluebutton/api/join?{query}");
        let inside = crate::helpers::seat(&get(&sim, &path).await);
        let mut socket = enter(&sim, &inside).await.unwrap();
        subscribe(&mut socket, "1", "subscription { meeting { isBreakout } }", json!({})).await;
        let told = hear(&mut socket).await.unwrap();
        assert_eq!(told["payload"]["data"]["meeting"][0]["meetingId"], opened[1].int_id.as_str());
        assert_eq!(told["payload"]["data"]["meeting"][0]["isBreakout"], true);
        assert_eq!(sim.breakout_join_url(&seat.token, 3), None, "no such room");
        assert_eq!(sim.breakout_join_url(&inside.token, 1), None, "not from another meeting");
        assert_eq!(sim.breakout_join_url("0123456789abcdef", 1), None, "no session");
        sim.stop().await;
    }
}

async fn join_as(sim: &Sim, name: &str, role: &str) -> Seat {
    seat(&call(sim, "join", &[("fullName", name), ("meetingID", "room"), ("role", role)]).await)
}

#[tokio::test]
async fn a_moderator_opens_and_ends_rooms_and_everybody_is_told() {
    let sim = start(Config::default()).await;
    create(&sim, "room", &[]).await;
    create(&sim, "other", &[]).await;
    let [moderator, viewer, stranger] =
        [join_as(&sim, "Ada", "MODERATOR").await, join(&sim, "room", &[]).await, join(&sim, "other", &[]).await];
    let mut moderator_socket = enter(&sim, &moderator).await.unwrap();
    let mut viewer_socket = enter(&sim, &viewer).await.unwrap();
    let mut stranger_socket = enter(&sim, &stranger).await.unwrap();
    for socket in [&mut viewer_socket, &mut stranger_socket] {
        subscribe(socket, "rooms", ROOMS, json!({})).await;
        assert_eq!(rooms(socket).await, Vec::<Value>::new());
    }
    let create_rooms = "mutation { breakoutRoomCreate(rooms: $rooms) }";
    let rooms_wanted = [1, 2, 3].map(|sequence| json!({ "sequence": sequence, "freeJoin": true }));
    let wanted = json!({ "durationInMinutes": 5, "record": false, "rooms": rooms_wanted });
    subscribe(&mut viewer_socket, "open", create_rooms, wanted.clone()).await;
    let refused = hear(&mut viewer_socket).await.unwrap();
    assert_eq!((&refused["type"], &refused["id"]), (&json!("error"), &json!("open")));
    subscribe(&mut moderator_socket, "open", create_rooms, wanted).await;
    assert_eq!(hear(&mut moderator_socket).await.unwrap()["payload"]["data"]["breakoutRoomCreate"], true);
    assert_eq!(hear(&mut moderator_socket).await.unwrap()["type"], "complete");

    let told = rooms(&mut viewer_socket).await;
    let urls: Vec<_> = told.iter().map(|room| room["joinURL"].as_str().unwrap().to_owned()).collect();
    let own = [1, 2, 3].map(|sequence| sim.breakout_join_url(&viewer.token, sequence).unwrap());
    assert_eq!(urls, own);
    assert_eq!(told[0]["shortName"], "Room 1");
    subscribe(&mut moderator_socket, "end", "mutation { breakoutRoomEndAll }", json!({})).await;
    assert_eq!(hear(&mut moderator_socket).await.unwrap()["payload"]["data"]["breakoutRoomEndAll"], true);
    // They end one by one, and what was told between is for the socket to join together.
    while !rooms(&mut viewer_socket).await.is_empty() {}
    assert_eq!(sim.meetings().len(), 2);
    // Nothing of that came to the other meeting.
    say(&mut stranger_socket, json!({ "type": "ping" })).await;
    assert_eq!(hear(&mut stranger_socket).await.unwrap()["type"], "pong");
    sim.stop().await;
}

#[tokio::test]
async fn rooms_without_free_choice_are_one_for_each_viewer() {
    let sim = start(Config::default()).await;
    create(&sim, "room", &[]).await;
    let moderator = join_as(&sim, "Ada", "MODERATOR").await;
    let viewers = [join(&sim, "room", &[]).await, join(&sim, "room", &[]).await];
    sim.open_breakouts("room", BreakoutPlan { free_join: false, ..BreakoutPlan::default() });
    let of = |seat: &Seat| [1, 2].map(|sequence| sim.breakout_join_url(&seat.token, sequence).is_some());
    assert_eq!(of(&moderator), [true, true]);
    let [first, second] = viewers.each_ref().map(of);
    assert!(first == [true, false] && second == [false, true] || first == [false, true] && second == [true, false]);
    sim.stop().await;
}

#[tokio::test]
async fn rooms_end_with_their_parent_by_their_duration_and_by_themselves() {
    let sim = start(Config { speed: 600.0, ..Config::default() }).await;
    create(&sim, "room", &[("meetingExpireIfNoUserJoinedInMinutes", "0")]).await;
    let ids = || sim.meetings().into_iter().map(|meeting| meeting.ext_id).collect::<Vec<_>>();
    let plan = BreakoutPlan { duration_min: 0, ..BreakoutPlan::default() };

    let opened = sim.open_breakouts("room", plan);
    assert!(sim.end_meeting(&opened[0].ext_id));
    assert!(!ids().contains(&opened[0].ext_id));
    until("the other one ends by its timer", || ids() == ["room"]).await;

    let short = BreakoutPlan { duration_min: 1, ..plan };
    assert_eq!(sim.open_breakouts("room", short).len(), 2);
    until("the duration is over", || ids() == ["room"]).await;

    assert_eq!(sim.open_breakouts("room", plan).len(), 2);
    assert_eq!(call(&sim, "end", &[("meetingID", "room")]).await.tag("returncode"), Some("SUCCESS"));
    assert_eq!(ids(), Vec::<String>::new());
    sim.stop().await;
}
