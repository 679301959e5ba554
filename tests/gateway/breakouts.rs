//! Breakout rooms: their servers make them, and people join them on the tenant's host, within the limits of their meeting.

use std::time::Duration;

use anteroom_bench::{
    sign,
    sim::{self, BreakoutPlan, BreakoutView, CannedAnswer, Profile},
};
use futures_util::future::join_all;
use http::Request;
use sqlx::Connection as _;

use crate::support::{Joined, Plan, Reply, Stage, eventually, host, write};

const ROOMS: BreakoutPlan = BreakoutPlan { rooms: 2, free_join: true, record: false, duration_min: 0 };

/// A meeting of wagtail's with Ada in it, who has come with a socket, and its breakout rooms; heron is on the same server.
struct Rooms {
    stage: Stage,
    ada: Joined,
    rooms: Vec<BreakoutView>,
}

async fn rooms() -> Rooms {
    let plan = Plan::new().server("members").server("members");
    let stage = plan.tenant("wagtail", "multi-account").tenant("heron", "multi-account").start().await;
    open(stage, &[], ROOMS).await
}

async fn open(stage: Stage, more: &[(&str, &str)], plan: BreakoutPlan) -> Rooms {
    let params = [&[("name", "room"), ("meetingID", "room")], more].concat();
    let created = stage.api("wagtail", "create", &params).await;
    assert_eq!(created.xml("returncode"), "SUCCESS", "{}", created.body);
    let ada = stage.joined("wagtail", "room", "Ada Ünal & co+1 ~*").await;
    let rooms = sim(&stage).open_breakouts("t.wagtail.room", plan);
    assert!(!rooms.is_empty());
    Rooms { stage, ada, rooms }
}

/// The server of wagtail's meeting.
fn sim(stage: &Stage) -> &anteroom_bench::sim::Sim {
    stage.sims.iter().find(|sim| sim.meeting("t.wagtail.room").is_some()).unwrap()
}

/// The address of a room as a browser gets it: with the tenant's host in place of the server's.
fn address(stage: &Stage, joined: &Joined, room: u32) -> String {
    let url = sim(stage).breakout_join_url(&joined.token, room).unwrap();
    let at = url.find("/bigbluebutton/").unwrap();
    assert!(url[..at].ends_with(".internal.test"), "{url}");
    format!("{}{}", joined.prefix, &url[at..])
}

/// A query of a join, signed by a server.
fn signed(query: &str, secret: &str) -> String {
    format!("{query}&checksum={}", sign::Algorithm::Sha256.hex(format!("join{query}{secret}").as_bytes()))
}

/// What of an answer tells somebody something.
fn told(reply: &Reply) -> (u16, String, String) {
    (reply.status.as_u16(), reply.header("location").to_owned(), reply.body.clone())
}

/// What a stranger gets.
async fn strangers(stage: &Stage, tenant: &str, prefix: &str) -> (u16, String, String) {
    let path = format!("{prefix}/bigbluebutton/api/join?fullName=Mallory");
    let reply = stage.client().get(&host(tenant), &path).await;
    assert_eq!(reply.status, 404, "{reply:?}");
    told(&reply)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_room_is_joined_on_the_tenants_host_and_its_session_is_one_like_any_other() {
    let Rooms { stage, ada, rooms } = rooms().await;
    let path = address(&stage, &ada, 1);
    sim(&stage).clear_log();
    let reply = stage.client().get_with(&host("wagtail"), &path, &[("cookie", &*ada.cookies)]).await;
    assert_eq!(reply.status, 302, "{reply:?}");
    let in_room = Joined::by("wagtail", &reply);
    assert_eq!(in_room.prefix, ada.prefix);
    assert_ne!(in_room.token, ada.token);
    assert!(reply.headers.values().all(|value| !value.to_str().unwrap().contains("internal.test")), "{reply:?}");

    // Byte for byte as the server has written it, for the person and with their cookie of that server.
    let log = sim(&stage).log();
    let join = log.iter().find(|request| request.path.ends_with("/join")).unwrap();
    assert_eq!(join.query.as_deref(), path.split_once('?').map(|(_, query)| query));
    assert_eq!(join.header("x-forwarded-for"), Some("127.0.0.1"));
    let own = ada.cookies.split_once('=').and_then(|(_, value)| value.rsplit_once('.')).unwrap().0;
    assert_eq!(join.header("cookie"), Some(&*format!("JSESSIONID={own}")));

    let client = stage.client();
    let cookies = if in_room.cookies.is_empty() { ada.cookies.clone() } else { in_room.cookies.clone() };
    let in_room = Joined { cookies, ..in_room };
    let socket = stage.graphql("wagtail", &in_room).await.expect("its GraphQL socket");
    let sfu = format!("{}/bbb-webrtc-sfu?sessionToken={}", in_room.prefix, in_room.token);
    client.socket(&host("wagtail"), &sfu, &[("cookie", &in_room.cookies)]).await.expect("and that of its media");
    let settings = format!("{}/api/rest/meetingStaticData", in_room.prefix);
    let headers = [("cookie", &*in_room.cookies), ("x-session-token", &*in_room.token)];
    assert_eq!(client.get_with(&host("wagtail"), &settings, &headers).await.status, 200);
    eventually("the server has them in the room", async || {
        sim(&stage).meeting(&rooms[0].ext_id).is_some_and(|room| room.users_online == 1)
    })
    .await;

    // None of it is another tenant's.
    assert_eq!(client.get_with(&host("heron"), &settings, &headers).await.status, 404);
    assert!(client.graphql(&host("heron"), &in_room).await.is_err());
    stage.create("heron", "room").await;
    let theirs = stage.joined("heron", "room", "Mallory").await;
    let settings = format!("{}/api/rest/meetingStaticData", theirs.prefix);
    assert_eq!(client.get_with(&host("heron"), &settings, &headers).await.status, 401);
    let as_own = Joined { prefix: theirs.prefix, ..in_room };
    assert!(client.graphql(&host("heron"), &as_own).await.is_err());
    drop(socket);
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_is_no_address_of_a_server_gets_what_a_stranger_gets() {
    let Rooms { stage, ada, rooms } = rooms().await;
    let client = stage.client();
    // Both tenants reach both servers.
    let at = |id: &str| stage.sims.iter().position(|sim| sim.meeting(id).is_some()).unwrap();
    let here = at("t.wagtail.room");
    let mut others = Vec::new();
    for tenant in ["heron", "wagtail"] {
        let mut servers = Vec::new();
        for n in 1..=6 {
            assert_eq!(stage.create(tenant, &format!("other-{n}")).await.xml("returncode"), "SUCCESS");
            servers.push(at(&format!("t.{tenant}.other-{n}")));
        }
        assert!(servers.contains(&here) && servers.iter().any(|server| *server != here), "{servers:?}");
        others = servers;
    }
    let n = others.iter().position(|server| *server != here).unwrap();
    let elsewhere = stage.joined("wagtail", &format!("other-{}", n + 1), "Ada").await.prefix;
    let others = others[n];
    let secret = format!("bbb-0{}-secret", here + 1);

    let path = address(&stage, &ada, 1);
    let (_, query) = path.split_once('?').unwrap();
    let (unsigned, sum) = query.rsplit_once("&checksum=").unwrap();
    let ext_id = &rooms[0].ext_id;
    let with = |text: &str, by: &str| signed(&unsigned.replace(text, by), &secret);
    let own = signed(unsigned, &secret);
    let is_good = client.get(&host("wagtail"), &format!("{}/bigbluebutton/api/join?{own}", ada.prefix)).await;
    assert_eq!(is_good.status, 302, "what is altered below is good as it is: {is_good:?}");

    let nobody = strangers(&stage, "wagtail", &ada.prefix).await;
    for (what, query) in [
        ("no query", String::new()),
        ("another name", query.replace("Ada", "Bob")),
        ("other bytes for the same", query.replace('+', "%20")),
        ("no checksum", unsigned.to_owned()),
        ("a checksum of another", format!("{unsigned}&checksum={}", sum.chars().rev().collect::<String>())),
        ("two checksums", format!("{query}&checksum={sum}")),
        ("the tenant's secret", signed(unsigned, &crate::support::secret("wagtail"))),
        ("another server's secret", signed(unsigned, &format!("bbb-0{}-secret", others + 1))),
        ("no secret", signed(unsigned, "")),
        ("another parameter", signed(&format!("{unsigned}&role=MODERATOR"), &secret)),
        (
            "an address for refusals",
            signed(&format!("{unsigned}&errorRedirectUrl=https%3A%2F%2Fevil.example"), &secret),
        ),
        ("somebody else's session", signed(&format!("{unsigned}&existingUserID=w_1"), &secret)),
        ("no breakout room", with("isBreakout=true", "isBreakout=false")),
        ("nothing of a breakout room", with("isBreakout=true&", "")),
        ("a meeting", with(ext_id, "t.wagtail.room")),
        ("another's meeting", with(ext_id, "t.heron.other-1")),
        ("a meeting by its internal id", with(ext_id, &rooms[0].parent_int_id)),
        ("a room by its internal id", with(ext_id, &rooms[0].int_id)),
        ("a room that there is not", with(ext_id, &format!("{}-1700000000000", "ab".repeat(20)))),
    ] {
        let reply = client.get(&host("wagtail"), &format!("{}/bigbluebutton/api/join?{query}", ada.prefix)).await;
        assert_eq!(told(&reply), nobody, "{what}");
    }
    let posted = client.post(&host("wagtail"), &path, "application/x-www-form-urlencoded", "").await;
    assert_eq!(told(&posted), nobody, "only GET");
    for call in ["create", "end", "getMeetings", "getMeetingInfo"] {
        let query = sign::path(call, &[("meetingID", ext_id)], &secret);
        let reply = client.get(&host("wagtail"), &format!("{}{query}", ada.prefix)).await;
        assert_eq!(told(&reply), nobody, "{call}");
    }
    let there = client.get(&host("wagtail"), &path.replace(&ada.prefix, &elsewhere)).await;
    assert_eq!(told(&there), nobody, "under another server");
    let theirs = client.get(&host("heron"), &path).await;
    assert_eq!(told(&theirs), strangers(&stage, "heron", &ada.prefix).await, "on another tenant's host");
    let at_root = client.get(&host("wagtail"), path.strip_prefix(&ada.prefix).unwrap()).await;
    assert_eq!(at_root.xml("messageKey"), "checksumError", "{}", at_root.body);

    // People get the same page.
    let page = async |host: &str, path: &str| client.get_with(host, path, &[("accept", "text/html")]).await;
    let unknown = page(&host("wagtail"), &format!("{}/bigbluebutton/api/join", ada.prefix)).await;
    let altered = page(&host("wagtail"), &path.replace("Ada", "Bob")).await;
    // Without the nonce of its style and the id of the request, which is the last thing in it.
    let said = |page: &Reply| {
        let text = page.body.split("</style>").nth(1).unwrap();
        text.rsplit_once("<code>").unwrap().0.to_owned()
    };
    assert_eq!((altered.status.as_u16(), said(&altered)), (404, said(&unknown)));
}

#[tokio::test(flavor = "multi_thread")]
async fn rooms_end_with_their_meeting() {
    let Rooms { stage, ada, rooms } = rooms().await;
    let client = stage.client();
    let (one, two) = (address(&stage, &ada, 1), address(&stage, &ada, 2));
    assert_eq!(client.get(&host("wagtail"), &one).await.status, 302);
    let nobody = strangers(&stage, "wagtail", &ada.prefix).await;
    // A room that is over by itself, of which the gateway does not know yet: as its server says.
    assert!(sim(&stage).end_meeting(&rooms[0].ext_id));
    let reply = client.get(&host("wagtail"), &one).await;
    assert_eq!((reply.status.as_u16(), reply.xml("returncode")), (200, "FAILED"), "{reply:?}");
    assert!(!reply.body.contains("internal.test"), "{}", reply.body);
    let page = client.get_with(&host("wagtail"), &one, &[("accept", "text/html")]).await;
    assert_eq!(page.status, 404);
    assert!(page.body.contains("This meeting is over."), "{}", page.body);

    assert_eq!(client.get(&host("wagtail"), &two).await.status, 302);
    let ended = stage.api("wagtail", "end", &[("meetingID", "room")]).await;
    assert_eq!(ended.xml("returncode"), "SUCCESS", "{}", ended.body);
    for path in [&one, &two] {
        assert_eq!(told(&client.get(&host("wagtail"), path).await), nobody);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tenants_own_server_has_no_room_of_anothers_meeting() {
    let plan = Plan::new().server("members").server("own").tenant("wagtail", "multi-account");
    let stage = plan.tenant_with("heron", "multi-account", "pool = \"own\"").start().await;
    let Rooms { stage, ada, rooms } = open(stage, &[], ROOMS).await;
    stage.create("heron", "lair").await;
    let theirs = stage.joined("heron", "lair", "Mallory").await;
    assert_ne!(theirs.prefix, ada.prefix);
    let client = stage.client();
    let claim = |parent: &str| {
        let BreakoutView { ext_id, int_id, .. } = &rooms[0];
        let xml = format!(
            "<response><returncode>SUCCESS</returncode><meetingName>x</meetingName><meetingID>{ext_id}</meetingID>\
             <internalMeetingID>{int_id}</internalMeetingID><recording>false</recording>\
             <hasBeenForciblyEnded>false</hasBeenForciblyEnded><isBreakout>true</isBreakout>\
             <parentMeetingID>{parent}</parentMeetingID></response>"
        );
        CannedAnswer { status: 200, content_type: "text/xml".into(), body: xml.into_bytes() }
    };
    let path = address(&stage, &ada, 1);
    let (_, query) = path.split_once('?').unwrap();
    let (unsigned, _) = query.rsplit_once("&checksum=").unwrap();
    let query = signed(unsigned, "bbb-02-secret");
    let slides = format!("/bigbluebutton/presentation/{0}/{0}/p/svg/1", rooms[0].int_id);
    stage.sims[1].faults().set_call_answer("getMeetingInfo", Some(claim(&rooms[0].parent_int_id)));
    for tenant in ["heron", "wagtail"] {
        let path = format!("{}/bigbluebutton/api/join?{query}", theirs.prefix);
        let reply = client.get(&host(tenant), &path).await;
        assert_eq!(told(&reply), strangers(&stage, tenant, &theirs.prefix).await, "{tenant}");
    }
    for path in [slides.clone(), format!("{}{slides}", theirs.prefix)] {
        assert_eq!(client.get(&host("heron"), &path).await.status, 404, "{path}");
    }
    assert_eq!(client.get(&host("wagtail"), &path).await.status, 302, "and the room is where it was");
    assert!(client.get(&host("wagtail"), &slides).await.status != 404 || slides_were_asked_for(&stage));
}

/// Whether wagtail's server was asked for slides, whatever it said.
fn slides_were_asked_for(stage: &Stage) -> bool {
    sim(stage).log().iter().any(|request| request.path.contains("/svg/"))
}

#[tokio::test(flavor = "multi_thread")]
async fn paths_with_a_rooms_internal_id_are_its_meetings_tenants() {
    let Rooms { stage, ada, rooms } = rooms().await;
    let client = stage.client();
    stage.create("heron", "one").await;
    stage.create("heron", "two").await;
    assert_eq!(client.get(&host("wagtail"), &address(&stage, &ada, 1)).await.status, 302);
    let id = &rooms[0].int_id;
    for path in [
        format!("/bigbluebutton/presentation/{id}/{id}/p/svg/1"),
        format!("/bigbluebutton/presentation/download/{id}/p?presFilename=p.pdf"),
        format!("/learning-analytics-dashboard/{id}/token/learning_dashboard_data.json"),
    ] {
        for path in [path.clone(), format!("{}{path}", ada.prefix)] {
            sim(&stage).clear_log();
            let theirs = client.get_with(&host("heron"), &path, &[("cookie", &*ada.cookies)]).await;
            assert_eq!((theirs.status.as_u16(), theirs.body.contains("notFound")), (404, true), "{path}");
            assert!(sim(&stage).log().is_empty(), "{path}: no server is asked");
            let _ = client.get_with(&host("wagtail"), &path, &[("cookie", &*ada.cookies)]).await;
            let log = sim(&stage).log();
            assert!(log.iter().any(|request| request.path.contains(&**id)), "{path}: its server is asked");
        }
    }
    // A room that nobody has joined through the gateway is known once it is listed.
    let other = format!("/bigbluebutton/presentation/{0}/{0}/p/svg/1", rooms[1].int_id);
    eventually("a poll has found the other room", async || {
        let _ = client.get(&host("wagtail"), &other).await;
        slides_were_asked_for(&stage) && sim(&stage).log().iter().any(|request| request.path.contains(&rooms[1].int_id))
    })
    .await;
    assert_eq!(client.get(&host("heron"), &other).await.status, 404);
}

#[tokio::test(flavor = "multi_thread")]
async fn of_50_joins_of_rooms_at_once_as_many_get_in_as_the_meeting_has_seats() {
    let plan = Plan::new().server("members");
    let stage = plan.tenant_with("wagtail", "level-1", "---[limits]\nparticipants = 5").start().await;
    let rooms = BreakoutPlan { rooms: 10, ..ROOMS };
    let Rooms { stage, ada, .. } = open(stage, &[], rooms).await;
    let mut people = vec![ada];
    for n in 1..5 {
        people.push(stage.joined("wagtail", "room", &format!("person {n}")).await);
    }
    let addresses: Vec<_> =
        people.iter().flat_map(|person| (1..=10).map(|room| address(&stage, person, room))).collect();
    let client = stage.client();
    let host = host("wagtail");
    let replies = join_all(addresses.iter().map(|path| client.get(&host, path))).await;
    let let_in = replies.iter().filter(|reply| reply.status == 302).count();
    let full = replies.iter().filter(|reply| reply.xml("messageKey") == "maxParticipantsReached").count();
    assert_eq!((let_in, full), (5, 45));
    let page = client.get_with(&host, &addresses[49], &[("accept", "text/html")]).await;
    if replies[49].status != 302 {
        assert_eq!(page.status, 403);
        assert!(page.body.contains("This meeting is full."), "{}", page.body);
    }
    // Who is let in may come once more, and the meeting itself has its own seats.
    let again = replies.iter().position(|reply| reply.status == 302).unwrap();
    assert_eq!(client.get(&host, &addresses[again]).await.status, 302, "the same seat");
    assert_eq!(stage.join("wagtail", "room", "one more").await.xml("messageKey"), "maxParticipantsReached");
}

#[tokio::test(flavor = "multi_thread")]
async fn people_in_rooms_are_no_strangers_to_their_meeting_and_one_person_in_usage() {
    let plan = Plan::new().server("members");
    let stage = plan.tenant_with("wagtail", "level-1", "---[limits]\nparticipants = 2").start().await;
    let Rooms { stage, ada, rooms } = open(stage, &[], ROOMS).await;
    let in_meeting = stage.graphql("wagtail", &ada).await.unwrap();
    let mut sockets = Vec::new();
    for room in [1, 2] {
        let reply = stage.client().get(&host("wagtail"), &address(&stage, &ada, room)).await;
        sockets.push(stage.graphql("wagtail", &Joined::by("wagtail", &reply)).await.unwrap());
    }
    eventually("the server has them in their rooms", async || {
        rooms.iter().all(|room| sim(&stage).meeting(&room.ext_id).is_some_and(|room| room.users_online == 1))
    })
    .await;
    sim(&stage).clear_log();
    eventually("three polls", async || {
        let log = sim(&stage).log();
        log.iter().filter(|request| request.path.ends_with("/getMeetings")).count() >= 3
    })
    .await;
    let url = format!("sqlite:{}", stage.path("var/anteroom.db").display());
    let mut store = sqlx::SqliteConnection::connect(&url).await.unwrap();
    let strangers: i64 = sqlx::query_scalar("SELECT strangers FROM meetings").fetch_one(&mut store).await.unwrap();
    let peak: i64 = sqlx::query_scalar("SELECT peak FROM usage").fetch_one(&mut store).await.unwrap();
    assert_eq!((strangers, peak), (0, 1));
    assert_eq!(stage.join("wagtail", "room", "Bob").await.status, 302, "seat 2 of 2");
    drop((in_meeting, sockets));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_level_without_them_has_none() {
    let plan = Plan::new().server("members");
    let stage = plan.tenant_with("wagtail", "free", "---[limits]\nbreakouts = true").start().await;
    let Rooms { mut stage, ada, .. } = open(stage, &[], ROOMS).await;
    let path = address(&stage, &ada, 1);
    assert_eq!(stage.client().get(&host("wagtail"), &path).await.status, 302);
    // What its meetings may is that of now after a restart.
    stage.app.take().unwrap().stop(Duration::from_secs(1)).await;
    let tenant = std::fs::read_to_string(stage.path("tenants/wagtail.toml")).unwrap();
    write(stage.dir.path(), "tenants/wagtail.toml", &tenant.replace("breakouts = true", "breakouts = false"));
    stage.start_again().await;
    let nobody = strangers(&stage, "wagtail", &ada.prefix).await;
    assert_eq!(told(&stage.client().get(&host("wagtail"), &path).await), nobody);
    stage.api("wagtail", "end", &[("meetingID", "room")]).await;
    stage.create("wagtail", "room").await;
    let disabled = stage.on_server("wagtail", "room").unwrap().params["disabledFeatures"].clone();
    assert_eq!(disabled, "breakoutRooms");
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_is_let_into_a_room_that_would_be_recorded_though_its_meeting_may_not() {
    for (flag, status) in [("false", 404), ("true", 302)] {
        let stage = Plan::new().server("members").tenant("wagtail", "level-1").start().await;
        let recorded = BreakoutPlan { record: true, ..ROOMS };
        let Rooms { stage, ada, .. } = open(stage, &[("record", flag)], recorded).await;
        let reply = stage.client().get(&host("wagtail"), &address(&stage, &ada, 1)).await;
        assert_eq!(reply.status.as_u16(), status, "record={flag}: {reply:?}");
    }
}

/// From 3.0.28 on.
#[tokio::test(flavor = "multi_thread")]
async fn what_a_level_makes_of_the_flags_of_recording_holds_in_rooms() {
    let asked = [("record", "true"), ("autoStartRecording", "true"), ("allowStartStopRecording", "true")];
    for (policy, own, recorded, auto_start, button, status) in [
        ("level-1", "", true, "true", "true", 302),
        ("level-1", "---[create]\nautoStartRecording = { force = false }", true, "false", "true", 302),
        ("level-1", "---[create]\nallowStartStopRecording = { force = false }", true, "true", "false", 302),
        ("level-1", "---[create]\nrecord = { force = false }", true, "true", "true", 404),
        ("free", "---[limits]\nbreakouts = true", true, "false", "false", 404),
        ("free", "---[limits]\nbreakouts = true", false, "false", "false", 302),
    ] {
        let config = sim::Config { profile: Profile::V3_0_39, ..sim::Config::default() };
        let plan = Plan::new().server_with("members", config).tenant_with("wagtail", policy, own);
        let plan_of_rooms = BreakoutPlan { record: recorded, ..ROOMS };
        let Rooms { stage, ada, rooms } = open(plan.start().await, &asked, plan_of_rooms).await;
        let room = sim(&stage).meeting(&rooms[0].ext_id).unwrap().params;
        assert_eq!((&*room["autoStartRecording"], &*room["allowStartStopRecording"]), (auto_start, button), "{own}");
        let reply = stage.client().get(&host("wagtail"), &address(&stage, &ada, 1)).await;
        assert_eq!(reply.status.as_u16(), status, "{policy} {own}: {reply:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn rooms_are_in_nobodys_lists() {
    let Rooms { stage, ada, rooms } = rooms().await;
    stage.create("heron", "one").await;
    stage.create("heron", "two").await;
    let reply = stage.client().get(&host("wagtail"), &address(&stage, &ada, 1)).await;
    let _socket = stage.graphql("wagtail", &Joined::by("wagtail", &reply)).await.unwrap();
    for (tenant, meetings) in [("wagtail", 1), ("heron", 2)] {
        let list = stage.api(tenant, "getMeetings", &[]).await;
        assert_eq!(list.body.matches("<meeting>").count(), meetings, "{tenant}: {}", list.body);
        let sessions = stage.api(tenant, "getSessions", &[]).await;
        assert!(!list.body.contains(&rooms[0].ext_id) && !sessions.body.contains(&rooms[0].int_id), "{tenant}");
        for id in [&rooms[0].ext_id, &rooms[0].int_id] {
            let info = stage.api(tenant, "getMeetingInfo", &[("meetingID", id)]).await;
            assert_eq!(info.xml("messageKey"), "notFound", "{tenant}");
            let joined = stage.join(tenant, id, "Mallory").await;
            assert_eq!(joined.xml("messageKey"), "meetingForciblyEnded", "{tenant}");
        }
    }
    let info = stage.api("wagtail", "getMeetingInfo", &[("meetingID", "room")]).await;
    assert!(info.body.contains(&format!("<breakout>{}</breakout>", rooms[0].int_id)), "{}", info.body);
    let request = Request::get(format!("{}/bigbluebutton/api/join", ada.prefix));
    assert_eq!(stage.client().send(&host("wagtail"), request).await.status, 404);
}
