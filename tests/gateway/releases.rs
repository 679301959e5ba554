//! Servers of several releases of BBB in one pool: the same tenant's meetings on each, what a policy sets that a release does
//! not know, and what the operator hears of that.

use std::process::Command;

use anteroom_bench::sim::{self, Notes, Profile};
use futures_util::{SinkExt, StreamExt};
use serde_json::Value;
use tokio_tungstenite::tungstenite::{Error, Message};

use crate::support::{Joined, Plan, Socket, Stage, host, program};

const TENANT: &str = "wagtail";

/// The releases that a pool may mix: a server of 2.7 has one to itself.
const MIXED: [Profile; 4] = [Profile::V3_0_0, Profile::V3_0_18, Profile::V3_0_39, Profile::V4_0];

fn config(profile: Profile) -> sim::Config {
    sim::Config { profile, reveals_version: true, ..sim::Config::default() }
}

fn pool_of(profiles: &[Profile]) -> Plan {
    profiles.iter().fold(Plan::new(), |plan, profile| plan.server_with("members", config(*profile)))
}

/// Creates meetings with these parameters until there is one on each server; the names of those, by server.
async fn one_on_each(stage: &Stage, more: &[(&str, &str)]) -> Vec<String> {
    let mut rooms = vec![None; stage.sims.len()];
    for n in 0..64 {
        let room = format!("room-{n}");
        let params = [&[("name", &*room), ("meetingID", &room)], more].concat();
        let created = stage.api(TENANT, "create", &params).await;
        assert_eq!(created.xml("returncode"), "SUCCESS", "{}", created.body);
        let id = format!("t.{TENANT}.{room}");
        let at = stage.sims.iter().position(|sim| sim.meeting(&id).is_some()).unwrap();
        rooms[at].get_or_insert(room);
        if let Some(rooms) = rooms.iter().cloned().collect() {
            return rooms;
        }
    }
    panic!("a server of the pool has no meeting: {rooms:?}");
}

/// Status and body below the address of somebody's meeting, asked for as the client does.
async fn get(stage: &Stage, joined: &Joined, path: &str) -> (u16, String) {
    let headers = [("cookie", &*joined.cookies), ("x-session-token", &joined.token)];
    let path = format!("{}{path}", joined.prefix).replace("TOKEN", &joined.token);
    let reply = stage.client().get_with(&host(TENANT), &path, &headers).await;
    (reply.status.as_u16(), reply.body)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tenants_meetings_run_on_servers_of_all_releases_in_one_pool() {
    let stage = pool_of(&MIXED).tenant(TENANT, "multi-account").tenant("heron", "multi-account").start().await;
    let rooms = one_on_each(&stage, &[]).await;
    let mut open = Vec::new();
    for (profile, room) in MIXED.iter().zip(&rooms) {
        let name = profile.name;
        let joined = stage.joined(TENANT, room, "Ada").await;
        let page = profile.client_path.strip_prefix("/html5client/").unwrap();
        assert_eq!(get(&stage, &joined, &format!("/html5client/{page}?sessionToken=TOKEN")).await.0, 200, "{name}");
        for query in ["meetingStaticData", "clientSettings", "userMetadata"] {
            let (status, body) = get(&stage, &joined, &format!("/api/rest/{query}")).await;
            assert_eq!(status, if profile.rest_queries.contains(&query) { 200 } else { 404 }, "{name} {query}");
            assert!(!body.contains("internal.test"), "{name}: {body}");
        }
        let (status, _) = get(&stage, &joined, "/pad/p/notes?sessionToken=TOKEN").await;
        assert_eq!(status, if profile.notes == Notes::Etherpad { 200 } else { 404 }, "{name}");
        let graphql = stage.graphql(TENANT, &joined).await.unwrap();
        let mut sfu = socket(&stage, &joined, "bbb-webrtc-sfu").await.unwrap();
        sfu.send(Message::text("hello")).await.unwrap();
        assert!(sfu.next().await.unwrap().unwrap().to_text().unwrap().contains("hello"), "{name}");
        assert_eq!(socket(&stage, &joined, "ws").await.is_ok(), profile.has_sip, "{name}");
        let info = stage.api(TENANT, "getMeetingInfo", &[("meetingID", room)]).await;
        assert_eq!(info.xml("participantCount"), "1", "{name}: {}", info.body);
        let theirs = stage.api("heron", "getMeetingInfo", &[("meetingID", room)]).await;
        assert_eq!(theirs.xml("messageKey"), "notFound", "{name}: {}", theirs.body);
        open.push((joined, graphql, sfu));
    }
    let prefixes: std::collections::HashSet<_> = open.iter().map(|(joined, ..)| &joined.prefix).collect();
    assert_eq!(prefixes.len(), MIXED.len(), "each server has an address of its own");
    for (sim, room) in stage.sims.iter().zip(&rooms) {
        let ended = stage.api(TENANT, "end", &[("meetingID", room)]).await;
        assert_eq!(ended.xml("returncode"), "SUCCESS", "{}", ended.body);
        assert!(sim.meeting(&format!("t.{TENANT}.{room}")).is_none());
    }
}

async fn socket(stage: &Stage, joined: &Joined, name: &str) -> Result<Socket, Error> {
    let path = format!("{}/{name}?sessionToken={}", joined.prefix, joined.token);
    let origin = format!("https://{}", host(TENANT));
    stage.client().socket(&host(TENANT), &path, &[("cookie", &joined.cookies), ("origin", &origin)]).await
}

/// What 4.0 no longer knows, or knows in another way.
const OLD: &str = "---[create]\ncopyright = { force = \"C\" }\nlearningDashboardEnabled = { force = false }\n\
     meetingLayout = { force = \"SMART_LAYOUT\" }\n";

#[tokio::test(flavor = "multi_thread")]
async fn what_a_policy_sets_reaches_a_release_that_has_another_way_for_it() {
    let profiles = [Profile::V3_0_39, Profile::V4_0];
    let stage = pool_of(&profiles).tenant_with(TENANT, "multi-account", OLD).start().await;
    let rooms = one_on_each(&stage, &[("lockSettingsDisableNote", "true")]).await;
    for (profile, room) in profiles.iter().zip(&rooms) {
        let (name, is_4) = (profile.name, *profile == Profile::V4_0);
        let params = stage.on_server(TENANT, room).unwrap().params;
        let has = |name: &str| params.get(name).map(String::as_str);
        let notes = if is_4 { "lockSettingsDisableNotes" } else { "lockSettingsDisableNote" };
        assert_eq!((has(notes), has("copyright").is_some()), (Some("true"), !is_4), "{name}: {params:?}");
        let joined =
            stage.api(TENANT, "join", &[("meetingID", room), ("fullName", "Ada"), ("role", "MODERATOR")]).await;
        let joined = Joined::by(TENANT, &joined);
        let _graphql = stage.graphql(TENANT, &joined).await.unwrap();
        let (_, board) = get(&stage, &joined, "/bigbluebutton/api/learningDashboard?sessionToken=TOKEN").await;
        assert!(board.contains("Learning Dashboard disabled"), "{name}: {board}");
        let (_, data) = get(&stage, &joined, "/api/rest/meetingStaticData").await;
        let data: Value = serde_json::from_str(&data).unwrap();
        let layout = if is_4 { "UNIFIED_LAYOUT" } else { "SMART_LAYOUT" };
        assert_eq!(data["meeting"][0]["layout"]["currentLayoutType"], layout, "{name}");
    }
    let sent = |n: usize| stage.sims[n].log().into_iter().filter(|received| received.path.ends_with("/create"));
    let carries = |n, text: &str| sent(n).any(|received| received.query.is_some_and(|query| query.contains(text)));
    assert!(carries(0, "meetingLayout=SMART_LAYOUT") && carries(0, "copyright=C"));
    assert!(!carries(1, "meetingLayout=") && !carries(1, "copyright="), "what 4.0 does not know is not sent");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_layout_that_a_release_does_not_have_is_not_waited_for_by_its_client() {
    let profiles = [Profile::V3_0_39, Profile::V4_0];
    let stage = pool_of(&profiles).tenant(TENANT, "multi-account").start().await;
    for (n, room) in one_on_each(&stage, &[]).await.iter().enumerate() {
        for (layout, waits) in [("SMART_LAYOUT", [true, false]), ("UNIFIED_LAYOUT", [false, true])] {
            let params = [("meetingID", &**room), ("fullName", "Ada"), ("role", "VIEWER"), ("enforceLayout", layout)];
            let joined = stage.api(TENANT, "join", &params).await;
            let told = joined.location_param("shouldWaitForLayout");
            assert_eq!(told, waits[n].to_string(), "{} {layout}", profiles[n].name);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_operator_is_warned_of_old_releases_and_of_what_is_set_in_vain() {
    let silent = sim::Config { reveals_version: false, ..config(Profile::V3_0_39) };
    let silent_4 = sim::Config { reveals_version: false, ..config(Profile::V4_0) };
    let plan = pool_of(&[Profile::V3_0_18, Profile::V3_0_39, Profile::V4_0]).server_with("members", silent);
    let plan = plan.server_with("members", silent_4).tenant_with(TENANT, "multi-account", OLD);
    let newer = "---[create]\nlockSettingsPresenterPolicy = { default = \"moderatorOnly\" }\n";
    let stage = plan.tenant_with("heron", "multi-account", newer).start().await;
    let old = "BBB 3.0.18 has published flaws: upgrade it to 3.0.37 or newer";
    let new =
        |release: &str| format!("BBB {release} does not know what is set: lockSettingsPresenterPolicy (tenant heron)");
    let gone = "BBB 4.0.0 does not know what is set: copyright (tenant wagtail), \
         meetingLayout=SMART_LAYOUT (tenant wagtail)";
    let untold = "does not tell its release";

    let check = program::anteroom(&["check", "--online"], stage.dir.path());
    let check_text = String::from_utf8(check.stdout).unwrap();
    assert!(check.status.success(), "a warning is no fault: {check_text}");
    let list = list(&stage);
    let servers = list["servers"].as_array().unwrap();
    for (n, expected) in
        [vec![old.to_owned(), new("3.0.18")], vec![new("3.0.39")], vec![gone.to_owned()], vec![], vec![gone.to_owned()]]
            .into_iter()
            .enumerate()
    {
        let id = format!("bbb-0{}", n + 1);
        assert_eq!(servers[n]["warnings"], Value::from(expected.clone()), "{id}");
        let head = format!("server {id}: warning: ");
        let checked: Vec<_> = check_text.lines().filter_map(|line| line.strip_prefix(&head)).collect();
        match checked[..] {
            [one] if expected.is_empty() => assert!(one.starts_with(untold), "{id}: {one}"),
            _ => assert_eq!(checked, expected, "{id}"),
        }
    }
    assert_eq!((&servers[0]["version"], &servers[3]["version"]), (&"3.0.18".into(), &Value::Null));
}

/// `anteroom server list` as JSON.
fn list(stage: &Stage) -> Value {
    let token = program::anteroom(&["token", "--scope", "read"], stage.dir.path());
    let address = format!("http://{}", stage.app.as_ref().unwrap().admin.unwrap());
    let list = Command::new(env!("CARGO_BIN_EXE_anteroom"))
        .args(["server", "list", "--format", "json", "--url", &address])
        .env("ANTEROOM_TOKEN", String::from_utf8(token.stdout).unwrap().trim())
        .output()
        .unwrap();
    serde_json::from_slice(&list.stdout).unwrap()
}
