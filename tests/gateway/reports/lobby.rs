//! Guests who wait to be let in: they have no seat until they are, and come in. (Methods without effects are in safe.rs.)

use anteroom_bench::sim;
use futures_util::{SinkExt, StreamExt, future::join_all};
use tokio_tungstenite::tungstenite::Message;

use crate::support::{DEADLINE, Joined, Plan, Reply, Socket, Stage, eventually, host};

/// What every client sends to come in, once it is told that it may.
const COME_IN: &str = r#"{"type":"subscribe","id":"in","payload":{"query":"mutation UserJoin { userJoinMeeting }"}}"#;

/// A stage whose one meeting has so many seats, and in which guests wait.
async fn stage(participants: u32) -> Stage {
    stage_of(sim::Config { speed: 30.0, ..sim::Config::default() }, participants, "").await
}

async fn stage_of(config: sim::Config, participants: u32, keys: &str) -> Stage {
    let limits = format!("pool = \"wagtail\"---[limits]\nparticipants = {participants}");
    let plan = Plan::new().server("members").server_with_keys("wagtail", config, keys);
    let stage = plan.tenant_with("wagtail", "level-1", &limits).start().await;
    let params = [
        ("name", "room"),
        ("meetingID", "room"),
        ("guestPolicy", "ASK_MODERATOR"),
        ("meetingExpireWhenLastUserLeftInMinutes", "30"),
    ];
    assert_eq!(stage.api("wagtail", "create", &params).await.xml("returncode"), "SUCCESS");
    stage
}

async fn join(stage: &Stage, name: &str, more: &[(&str, &str)]) -> Reply {
    let role = if more.iter().any(|(name, _)| *name == "role") { &[][..] } else { &[("role", "VIEWER")] };
    let params = [&[("meetingID", "room"), ("fullName", name)], role, more].concat();
    stage.api("wagtail", "join", &params).await
}

fn joined(reply: &Reply) -> Joined {
    Joined::by("wagtail", reply)
}

/// Somebody who has joined as this, with the GraphQL socket open.
async fn come(stage: &Stage, name: &str, more: &[(&str, &str)]) -> (Joined, Socket) {
    let joined = joined(&join(stage, name, more).await);
    let socket = stage.graphql("wagtail", &joined).await.unwrap();
    (joined, socket)
}

/// The next text frame, or how the socket was closed.
async fn told(socket: &mut Socket) -> String {
    loop {
        match tokio::time::timeout(DEADLINE, socket.next()).await.unwrap() {
            Some(Ok(Message::Text(text))) => return text.to_string(),
            Some(Ok(Message::Close(Some(frame)))) => return format!("{} {}", u16::from(frame.code), frame.reason),
            Some(Ok(_)) => {}
            other => return format!("{other:?}"),
        }
    }
}

async fn say(socket: &mut Socket, text: &str) -> String {
    socket.send(Message::text(text)).await.unwrap();
    told(socket).await
}

fn online(stage: &Stage) -> usize {
    stage.on_server("wagtail", "room").unwrap().users_online
}

fn key(reply: &Reply) -> &str {
    reply.xml("messageKey")
}

const GUEST: &[(&str, &str)] = &[("guest", "true")];
const MODERATOR: &[(&str, &str)] = &[("role", "MODERATOR")];

// 3. "Guests who wait in the lobby take seats: limit 2, a moderator inside, a stranger waiting: an invited person is refused
// (`maxParticipantsReached`)."

#[tokio::test(flavor = "multi_thread")]
async fn a_guest_in_the_lobby_takes_no_seat_and_one_too_many_is_told_so() {
    let stage = stage(2).await;
    let (_moderator, _inside) = come(&stage, "Ada", MODERATOR).await;
    let (stranger, mut waiting) = come(&stage, "Stranger", GUEST).await;
    let (_, invited) = come(&stage, "Bob", &[]).await;
    assert_eq!(online(&stage), 2, "the invited person has the seat");
    assert!(stage.sims[1].judge_guest(&stranger.token, true), "a moderator lets the stranger in");
    assert_eq!(say(&mut waiting, COME_IN).await, "4403 maxParticipantsReached");
    assert_eq!(online(&stage), 2, "the limit holds");
    drop(invited);
    eventually("there is a seat for the stranger who tries again", async || {
        let Ok(mut again) = stage.graphql("wagtail", &stranger).await else { return false };
        say(&mut again, COME_IN).await.contains("userJoinMeeting") && online(&stage) == 2
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_guest_who_is_let_in_has_a_seat_like_others() {
    let stage = stage(2).await;
    let (_, _inside) = come(&stage, "Ada", MODERATOR).await;
    let (guest, mut socket) = come(&stage, "Guest", GUEST).await;
    assert_eq!(say(&mut socket, r#"{"type":"ping"}"#).await, r#"{"type":"pong"}"#, "meanwhile the socket is carried");
    stage.sims[1].judge_guest(&guest.token, true);
    assert!(say(&mut socket, COME_IN).await.contains(r#""userJoinMeeting":true"#));
    assert_eq!(online(&stage), 2);
    assert_eq!(key(&join(&stage, "Bob", &[]).await), "maxParticipantsReached");
    // The seat stays with the session when its line drops.
    drop(socket);
    let _again = stage.graphql("wagtail", &guest).await.unwrap();
    assert_eq!(key(&join(&stage, "Bob", &[]).await), "maxParticipantsReached");
}

#[tokio::test(flavor = "multi_thread")]
async fn of_many_guests_who_are_let_in_at_once_as_many_come_in_as_there_are_seats() {
    let config = sim::Config { checks_limit_on_socket: false, ..sim::Config::default() };
    let stage = stage_of(config, 4, "").await;
    let (_, _inside) = come(&stage, "Ada", MODERATOR).await;
    let names: Vec<_> = (0..10).map(|n| format!("Guest {n}")).collect();
    let mut guests = join_all(names.iter().map(|name| come(&stage, name, GUEST))).await;
    guests.iter().for_each(|(guest, _)| assert!(stage.sims[1].judge_guest(&guest.token, true)));
    let answers = join_all(guests.iter_mut().map(|(_, socket)| say(socket, COME_IN))).await;
    let inside = answers.iter().filter(|answer| answer.contains("userJoinMeeting")).count();
    let refused = answers.iter().filter(|answer| *answer == "4403 maxParticipantsReached").count();
    assert_eq!((inside, refused, online(&stage)), (3, 7, 4), "{answers:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_guest_who_is_turned_away_takes_no_seat() {
    let stage = stage(2).await;
    let (_, _inside) = come(&stage, "Ada", MODERATOR).await;
    let (guest, mut socket) = come(&stage, "Guest", GUEST).await;
    stage.sims[1].judge_guest(&guest.token, false);
    let (_, _bob) = come(&stage, "Bob", &[]).await;
    assert_eq!(online(&stage), 2);
    assert_eq!(say(&mut socket, COME_IN).await, REFUSED);
}

// A moderator lets all in at once, and some have closed their tabs meanwhile (bigbluebutton issue 20000).

#[tokio::test(flavor = "multi_thread")]
async fn a_guest_who_has_gone_before_being_let_in_takes_no_seat() {
    let stage = stage(2).await;
    let (_, _inside) = come(&stage, "Ada", MODERATOR).await;
    let mut guests = Vec::new();
    for name in ["Cleo", "Dan", "Eve"] {
        guests.push(come(&stage, name, GUEST).await);
    }
    let (eve, mut socket) = guests.pop().unwrap();
    for (gone, socket) in guests {
        drop(socket);
        stage.sims[1].judge_guest(&gone.token, true);
    }
    stage.sims[1].judge_guest(&eve.token, true);
    assert!(say(&mut socket, COME_IN).await.contains(r#""userJoinMeeting":true"#));
    assert_eq!(online(&stage), 2);
}

/// The gateway's refusal of a mutation.
const REFUSED: &str = r#"{"id":"in","payload":[{"message":"User is not allowed to join"}],"type":"error"}"#;

#[tokio::test(flavor = "multi_thread")]
async fn a_changed_client_that_comes_in_before_it_is_let_in_takes_no_seat() {
    let stage = stage(2).await;
    let (_, _inside) = come(&stage, "Ada", MODERATOR).await;
    // What its own queries say of it is not believed: the name is the client's, and so are the names in a query.
    let (guest, mut socket) = come(&stage, r#""guestStatus":"ALLOW""#, GUEST).await;
    let own = r#"{"type":"subscribe","id":"me","payload":{"query":"subscription U { user_current { guestStatus } }"}}"#;
    assert!(say(&mut socket, own).await.contains(r#""guestStatus":"WAIT""#));
    // All at once, on two sockets.
    let mut other = stage.graphql("wagtail", &guest).await.unwrap();
    for socket in [&mut socket, &mut other] {
        for _ in 0..20 {
            socket.feed(Message::text(COME_IN)).await.unwrap();
        }
        socket.flush().await.unwrap();
    }
    for socket in [&mut socket, &mut other] {
        for _ in 0..20 {
            assert_eq!(told(socket).await, REFUSED);
        }
    }
    let (_, bob) = come(&stage, "Bob", &[]).await;
    assert_eq!(online(&stage), 2, "the invited person has the seat");
    assert_eq!(say(&mut socket, r#"{"type":"ping"}"#).await, r#"{"type":"pong"}"#, "the guest waits on");
    stage.sims[1].judge_guest(&guest.token, false);
    assert!(told(&mut socket).await.contains(r#""guestStatus":"DENY""#));
    assert_eq!(say(&mut socket, COME_IN).await, REFUSED, "who is turned away takes none either");
    stage.sims[1].judge_guest(&guest.token, true);
    assert!(told(&mut socket).await.contains(r#""guestStatus":"ALLOW""#));
    assert_eq!(say(&mut socket, COME_IN).await, "4403 maxParticipantsReached", "let in, and one too many");
    drop(bob);
    eventually("there is a seat for the guest who tries again", async || {
        let Ok(mut again) = stage.graphql("wagtail", &guest).await else { return false };
        say(&mut again, COME_IN).await.contains(r#""userJoinMeeting":true"#) && online(&stage) == 2
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mutation_that_has_no_id_to_be_answered_under_takes_no_seat_either() {
    let stage = stage(1).await;
    let (guest, mut socket) = come(&stage, "Guest", GUEST).await;
    for text in ["userJoinMeeting", r#"{"type":"subscribe","payload":{"query":"mutation { userJoinMeeting }"}}"#] {
        assert_eq!(say(&mut socket, text).await, "1002 malformed", "{text}");
        socket = stage.graphql("wagtail", &guest).await.unwrap();
    }
    let (_, _ada) = come(&stage, "Ada", MODERATOR).await;
    assert_eq!(online(&stage), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_mutation_is_seen_however_a_client_writes_it_and_who_waits_after_a_restart_still_waits() {
    let mut stage = stage(2).await;
    // A viewer with `auth=true` waits as well (docs/reference/bbb-protocol.md, "Guests"), and a program is told in XML.
    let auth = join(&stage, "Auth", &[("auth", "true"), ("redirect", "false")]).await;
    assert_eq!((auth.xml("guestStatus"), auth.status.as_u16()), ("WAIT", 200), "{}", auth.body);
    let guest = joined(&join(&stage, "Guest", GUEST).await);
    assert!(stage.app.take().unwrap().stop(DEADLINE).await);
    stage.start_again().await;
    let mut waiting = stage.graphql("wagtail", &guest).await.unwrap();
    let (_, _ada) = come(&stage, "Ada", MODERATOR).await;
    let (_, _bob) = come(&stage, "Bob", &[]).await;
    stage.sims[1].judge_guest(&guest.token, true);
    assert_eq!(say(&mut waiting, &COME_IN.replace("Join", r"\u004aoin")).await, "4403 maxParticipantsReached");
    assert_eq!(online(&stage), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_guest_of_2_7_takes_a_seat_when_the_client_enters() {
    let config = sim::Config { profile: sim::Profile::V2_7, ..sim::Config::default() };
    let stage = stage_of(config, 2, "version = \"2.7\"").await;
    let guest = join(&stage, "Guest", GUEST).await;
    assert!(guest.header("location").contains("/html5client/guestWait?"), "{guest:?}");
    let _ada = join(&stage, "Ada", MODERATOR).await;
    let bob = join(&stage, "Bob", &[]).await;
    assert_eq!(bob.status, 302, "seat 2 of 2: {bob:?}");
    let token = guest.location_param("sessionToken");
    stage.sims[1].judge_guest(&token, true);
    let path = format!("/bigbluebutton/api/enter?sessionToken={token}");
    let entered = stage.client().get_with(&host("wagtail"), &path, &[("cookie", &guest.cookies())]).await;
    assert!(entered.body.contains("FAILED") && entered.body.contains("number of participants"), "{}", entered.body);
}

/// `enter` of somebody, on the tenant's host.
async fn enter(stage: &Stage, prefix: &str, joined: &Reply) -> Reply {
    let path = format!("{prefix}/bigbluebutton/api/enter?sessionToken={}", joined.location_param("sessionToken"));
    stage.client().get_with(&host("wagtail"), &path, &[("cookie", &joined.cookies())]).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_guest_of_2_7_whom_the_server_does_not_let_in_takes_no_seat_by_entering() {
    let config = sim::Config { profile: sim::Profile::V2_7, ..sim::Config::default() };
    let stage = stage_of(config, 2, "version = \"2.7\"").await;
    let guest = join(&stage, "Guest", GUEST).await;
    let refused = enter(&stage, "", &guest).await;
    assert!(refused.body.contains("FAILED"), "the guest waits: {}", refused.body);
    assert_eq!(join(&stage, "Ada", MODERATOR).await.status, 302);
    let bob = join(&stage, "Bob", &[]).await;
    assert_eq!(bob.status, 302, "seat 2 of 2: {bob:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_guest_of_3_0_takes_no_seat_by_entering() {
    let stage = stage(2).await;
    let guest = join(&stage, "Guest", GUEST).await;
    let joined = joined(&guest);
    stage.sims[1].judge_guest(&joined.token, true);
    enter(&stage, &joined.prefix, &guest).await;
    let (_, _ada) = come(&stage, "Ada", MODERATOR).await;
    let (_, _bob) = come(&stage, "Bob", &[]).await;
    assert_eq!(online(&stage), 2, "a guest of 3.0 comes in by its socket");
}
