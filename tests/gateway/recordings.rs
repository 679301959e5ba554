//! Recordings: a list from all servers with the tenant's own ids and host, changed and watched by their own tenant alone.

use anteroom_bench::{
    sign,
    sim::{self, RecordingSeed, RecordingState, RecordingView, TextTrack},
};
use http::Request;
use serde_json::Value;

use crate::support::{DEADLINE, Plan, Reply, Stage, eventually, host, secret};

const FORM: &str = "application/x-www-form-urlencoded";

async fn stage() -> Stage {
    let plan = Plan::new().server("members").server("members");
    plan.tenant("wagtail", "multi-account").tenant("heron", "multi-account").start().await
}

/// Runs a meeting and leaves a recording of it on its server. Returns its id.
async fn record(stage: &Stage, tenant: &str, room: &str, more: &[(&str, &str)]) -> String {
    record_all(stage, tenant, &[room], more).await.remove(0)
}

/// The same of several meetings, which run at one time and so on all servers alike.
async fn record_all(stage: &Stage, tenant: &str, rooms: &[&str], more: &[(&str, &str)]) -> Vec<String> {
    let mut ids = Vec::new();
    for room in rooms {
        let params = [&[("name", *room), ("meetingID", room), ("record", "true")], more].concat();
        let created = stage.api(tenant, "create", &params).await;
        assert_eq!(created.xml("returncode"), "SUCCESS", "{}", created.body);
        let id = created.xml("internalMeetingID").to_owned();
        let on_server = format!("t.{tenant}.{room}");
        let sim = stage.sims.iter().find(|sim| sim.meeting(&on_server).is_some()).unwrap();
        let metadata =
            more.iter().filter_map(|(name, value)| Some((name.strip_prefix("meta_")?.into(), (*value).into())));
        let seed = RecordingSeed {
            ext_id: on_server,
            name: (*room).into(),
            start_time_ms: Some(created.xml("createTime").parse().unwrap()),
            metadata: metadata.collect(),
            text_tracks: vec![TextTrack {
                kind: "captions".into(),
                lang: "en".into(),
                label: "English".into(),
                source: "upload".into(),
                content: b"WEBVTT\n".to_vec(),
            }],
            ..RecordingSeed::default()
        };
        assert_eq!(sim.add_recording(seed), id, "a recording has the id of its meeting");
        stage.joined(tenant, room, "Ada").await;
        ids.push(id);
    }
    for room in rooms {
        stage.api(tenant, "end", &[("meetingID", room)]).await;
    }
    ids
}

fn ids(list: &Reply) -> Vec<&str> {
    list.body.split("<recordID>").skip(1).map(|rest| rest.split('<').next().unwrap()).collect()
}

fn key(reply: &Reply) -> &str {
    reply.xml("messageKey")
}

fn on_server(stage: &Stage, id: &str) -> RecordingView {
    stage.sims.iter().flat_map(|sim| sim.recordings()).find(|recording| recording.record_id == id).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_meeting_that_is_recorded_leaves_a_recording_of_its_tenant() {
    let fast = sim::Config { speed: 600.0, ..sim::Config::default() };
    let stage = Plan::new().server_with("members", fast).tenant("wagtail", "multi-account").start().await;
    let params = [
        ("name", "Room"),
        ("meetingID", "room"),
        ("record", "true"),
        ("autoStartRecording", "true"),
        ("meetingExpireIfNoUserJoinedInMinutes", "60"),
    ];
    let created = stage.api("wagtail", "create", &params).await;
    stage.joined("wagtail", "room", "Ada").await;
    stage.api("wagtail", "end", &[("meetingID", "room")]).await;
    eventually("the recording is published", async || {
        let list = stage.api("wagtail", "getRecordings", &[("meetingID", "room")]).await;
        list.xml("published") == "true" && list.xml("recordID") == created.xml("internalMeetingID")
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_is_merged_from_all_servers_and_names_none() {
    let stage = stage().await;
    let rooms = ["room 0 & more", "room 1 & more", "room 2 & more", "room 3 & more", "room 4 & more", "room 5 & more"];
    let mut all = record_all(&stage, "wagtail", &rooms, &[("meta_course", "math")]).await;
    let servers = stage.sims.iter().filter(|sim| !sim.recordings().is_empty()).count();
    assert_eq!(servers, 2, "both have some");
    record(&stage, "heron", "theirs", &[]).await;

    let list = stage.api("wagtail", "getRecordings", &[]).await;
    all.sort_by_key(|id| std::cmp::Reverse(id[41..].to_owned()));
    assert_eq!(ids(&list), all, "the newest first: {}", list.body);
    for name in ["internal.test", "t.wagtail", "bbb-0", "127.0.0.1", "theirs"] {
        assert!(!list.body.contains(name), "{name} in {}", list.body);
    }
    assert!(list.body.contains("<meetingID>room 5 &amp; more</meetingID>"), "{}", list.body);
    assert!(list.body.contains(&format!("https://wagtail.localhost/playback/presentation/2.3/{}", all[0])));

    for (params, expected) in [
        (vec![("meetingID", "room 1 & more")], 1),
        (vec![("meetingID", "room 1 & more,room 2 & more,unknown")], 2),
        (vec![("recordID", &*all[0])], 1),
        (vec![("recordID", &all[0][..20])], 1),
        (vec![("recordID", &*all[0]), ("meetingID", "room 1 & more")], 1),
        (vec![("recordID", ""), ("meetingID", "")], 6),
        (vec![("recordID", ",")], 0),
        (vec![("meta_course", "mat%")], 6),
        (vec![("meta_course", "physics")], 0),
        (vec![("state", "deleted")], 0),
        (vec![("state", "any")], 6),
    ] {
        let list = stage.api("wagtail", "getRecordings", &params).await;
        assert_eq!(ids(&list).len(), expected, "{params:?}: {}", list.body);
        assert_eq!(key(&list), if expected == 0 { "noRecordings" } else { "" }, "{params:?}");
        assert_eq!(list.xml("returncode"), "SUCCESS");
    }
    let page = stage.api("wagtail", "getRecordings", &[("limit", "2"), ("offset", "3")]).await;
    assert_eq!(ids(&page), all[3..5], "{}", page.body);
    assert_eq!(page.xml("totalElements"), "6");
    // A list that is too long for an address goes on as a form, and by POST it may come.
    let many = vec![&*all[0]; 400].join(",");
    let path = sign::path("getRecordings", &[], &secret("wagtail"));
    let list = stage.client().post(&host("wagtail"), &path, FORM, format!("recordID={many}")).await;
    assert_eq!(ids(&list), [&*all[0]]);
}

#[tokio::test(flavor = "multi_thread")]
async fn many_recordings_are_asked_for_in_a_form() {
    let stage = stage().await;
    for n in 0..200 {
        record(&stage, "wagtail", &format!("room {n}"), &[]).await;
    }
    let list = stage.api("wagtail", "getRecordings", &[]).await;
    assert_eq!(ids(&list).len(), 200);
    let one = &ids(&list)[0];
    let all = ids(&list).join(",");
    assert_eq!(
        stage.api("wagtail", "publishRecordings", &[("recordID", one), ("publish", "false")]).await.xml("published"),
        "false"
    );
    let path = sign::path("updateRecordings", &[("meta_x", "1")], &secret("wagtail"));
    let updated = stage.client().post(&host("wagtail"), &path, FORM, format!("recordID={all}")).await;
    assert_eq!(updated.xml("updated"), "true", "{}", updated.body);
    assert!(stage.sims.iter().flat_map(|sim| sim.recordings()).all(|recording| recording.metadata["x"] == "1"));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_tenant_changes_is_changed_on_the_servers() {
    let stage = stage().await;
    let [one, two] = record_all(&stage, "wagtail", &["one", "two"], &[]).await.try_into().unwrap();
    let both = format!("{one},{two}");
    let published = stage.api("wagtail", "publishRecordings", &[("recordID", &both), ("publish", "false")]).await;
    assert_eq!(published.xml("published"), "false", "{}", published.body);
    for id in [&one, &two] {
        assert_eq!(on_server(&stage, id).state, RecordingState::Unpublished);
    }
    let changes = [
        ("recordID", &*one),
        ("meta_title", "New & old"),
        ("meta_endCallbackUrl", "https://evil.example"),
        ("state", "deleted"),
    ];
    let updated = stage.api("wagtail", "updateRecordings", &changes).await;
    assert_eq!(updated.xml("updated"), "true", "{}", updated.body);
    let metadata = on_server(&stage, &one).metadata;
    assert_eq!(metadata["title"], "New & old");
    assert!(!metadata.contains_key("endcallbackurl"), "{metadata:?}");
    let deleted = stage.api("wagtail", "deleteRecordings", &[("recordID", &two)]).await;
    assert_eq!(deleted.xml("deleted"), "true", "{}", deleted.body);
    assert_eq!(on_server(&stage, &two).state, RecordingState::Deleted);
    assert_eq!(ids(&stage.api("wagtail", "getRecordings", &[]).await), [&*one]);
}

#[tokio::test(flavor = "multi_thread")]
async fn text_tracks_are_read_and_written() {
    let stage = stage().await;
    let id = record(&stage, "wagtail", "room", &[]).await;
    let reply = stage.api("wagtail", "getRecordingTextTracks", &[("recordID", &id)]).await;
    let json: Value = serde_json::from_str(&reply.body).unwrap();
    assert_eq!(json["response"]["returncode"], "SUCCESS", "{json}");
    let href = json["response"]["tracks"][0]["href"].as_str().unwrap();
    let path = href.strip_prefix("https://wagtail.localhost").unwrap_or_else(|| panic!("{href}"));
    assert_eq!(stage.client().get(&host("wagtail"), path).await.status, 200, "{path}");

    let path = sign::path(
        "putRecordingTextTrack",
        &[("recordID", &id), ("kind", "subtitles"), ("lang", "de"), ("label", "Deutsch")],
        &secret("wagtail"),
    );
    let body = "--x\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a.srt\"\r\n\
                Content-Type: application/octet-stream\r\n\r\n1\r\n00:00:01,000 --> 00:00:02,000\r\nHallo\r\n\r\n--x--\r\n";
    let reply = stage.client().post(&host("wagtail"), &path, "multipart/form-data; boundary=x", body).await;
    let json: Value = serde_json::from_str(&reply.body).unwrap();
    assert_eq!(json["response"]["messageKey"], "upload_text_track_success", "{json}");
    assert_eq!(json["response"]["recordId"], *id);
    assert_eq!(on_server(&stage, &id).text_tracks.len(), 2);

    // Of the body only the file goes on: a server might read what else is in it.
    let smuggled =
        body.replacen("--x\r\n", "--x\r\nContent-Disposition: form-data; name=\"recordID\"\r\n\r\nother\r\n--x\r\n", 1);
    let reply = stage.client().post(&host("wagtail"), &path, "multipart/form-data; boundary=x", smuggled).await;
    assert!(reply.body.contains("FAILED") && reply.body.contains("validationError"), "{}", reply.body);
    assert_eq!(on_server(&stage, &id).text_tracks.len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_recording_is_watched_on_the_tenants_host() {
    let stage = stage().await;
    let id = record(&stage, "wagtail", "room", &[]).await;
    let client = stage.client();
    let page = client.get(&host("wagtail"), &format!("/playback/presentation/2.3/{id}")).await;
    assert_eq!(page.status, 200, "{}", page.body);
    let data = client.get(&host("wagtail"), &format!("/presentation/{id}/metadata.xml")).await;
    assert_eq!(data.status, 200, "{}", data.body);
    for name in ["internal.test", "t.wagtail"] {
        assert!(!data.body.contains(name), "{name} in {}", data.body);
    }
    assert!(data.body.contains("wagtail.localhost") && data.body.contains("room"), "{}", data.body);
    let film = format!("/presentation/{id}/video/webcams.webm");
    let range = client.get_with(&host("wagtail"), &film, &[("range", "bytes=0-9")]).await;
    assert_eq!((range.status.as_u16(), range.body.len()), (206, 10));
    let old = client.get(&host("wagtail"), &format!("/playback/presentation/2.0/playback.html?meetingId={id}")).await;
    assert_eq!(old.status, 301);
    assert_eq!(old.header("location"), format!("https://wagtail.localhost/playback/presentation/2.3/{id}"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_recording_is_its_tenants_alone() {
    let stage = stage().await;
    let ours = record(&stage, "wagtail", "room", &[("meta_secret", "plan")]).await;
    // Of the same name, and with metadata that say it is ours.
    let theirs =
        record(&stage, "heron", "room", &[("meta_gw-tenant", "wagtail"), ("meta_meetingid", "t.wagtail.room")]).await;
    let unknown = format!("{}-1700000000000", "ab".repeat(20));
    // One that no gateway knows of, though its name is one of ours.
    let seed = RecordingSeed { ext_id: "t.wagtail.stray".into(), ..RecordingSeed::default() };
    stage.sims[0].add_recording(seed);

    let list = stage.api("heron", "getRecordings", &[("state", "any")]).await;
    assert_eq!(ids(&list), [&*theirs], "{}", list.body);
    let list = stage.api("wagtail", "getRecordings", &[]).await;
    assert_eq!(ids(&list), [&*ours], "{}", list.body);
    for asked in [&*ours, &ours[..40], &ours[..10], &ours[..1], &*unknown, "%", "t.wagtail.room"] {
        for name in ["recordID", "meetingID"] {
            let list = stage.api("heron", "getRecordings", &[(name, asked)]).await;
            assert!(!list.body.contains(&*ours) && !list.body.contains("plan"), "{name}={asked}: {}", list.body);
        }
        for (call, more) in [
            ("publishRecordings", ("publish", "false")),
            ("deleteRecordings", ("x", "y")),
            ("updateRecordings", ("meta_secret", "gone")),
        ] {
            if theirs.starts_with(asked) {
                continue;
            }
            let reply = stage.api("heron", call, &[("recordID", asked), more]).await;
            let stranger = stage.api("heron", call, &[("recordID", &unknown), more]).await;
            assert_eq!((key(&reply), &reply.body), ("notFound", &stranger.body), "{call} {asked}");
        }
        let reply = stage.api("heron", "getRecordingTextTracks", &[("recordID", asked)]).await;
        assert!(reply.body.contains("noRecordings"), "{asked}: {}", reply.body);
    }
    // A list of one's own and another's changes one's own.
    let mixed = format!("{ours},{theirs}");
    for (call, more) in [
        ("publishRecordings", ("publish", "false")),
        ("updateRecordings", ("meta_secret", "gone")),
        ("deleteRecordings", ("x", "y")),
    ] {
        let reply = stage.api("heron", call, &[("recordID", &mixed), more]).await;
        assert_eq!(reply.xml("returncode"), "SUCCESS", "{call}: {}", reply.body);
        let untouched = on_server(&stage, &ours);
        assert_eq!((untouched.state, &*untouched.metadata["secret"]), (RecordingState::Published, "plan"), "{call}");
    }
    assert_eq!(on_server(&stage, &theirs).state, RecordingState::Deleted);
    for path in [
        format!("/playback/presentation/2.3/{ours}"),
        format!("/playback/presentation/2.0/playback.html?meetingId={ours}"),
        format!("/presentation/{ours}/metadata.xml"),
        format!("/podcast/{ours}/audio.ogg"),
        format!("/notes/{ours}/notes.pdf"),
        format!("/bigbluebutton/textTrack/token/{ours}/captions_en.vtt"),
    ] {
        let reply = stage.client().get(&host("heron"), &path).await;
        assert_eq!(reply.status, 404, "{path}: {}", reply.body);
    }
    let put = sign::path(
        "putRecordingTextTrack",
        &[("recordID", &ours), ("kind", "captions"), ("lang", "en"), ("label", "x")],
        &secret("heron"),
    );
    let request = Request::post(put).header("content-type", "multipart/form-data; boundary=x");
    let reply = stage.client().send_body(&host("heron"), request, "--x--".into()).await;
    assert!(reply.body.contains("noRecordings"), "{}", reply.body);
}

#[tokio::test(flavor = "multi_thread")]
async fn whose_a_recording_is_outlives_a_restart() {
    let mut stage = stage().await;
    let id = record(&stage, "wagtail", "room", &[]).await;
    for room in ["nobody", "comes"] {
        let params = [("name", room), ("meetingID", room), ("record", "true")];
        stage.api("wagtail", "create", &params).await;
        stage.api("wagtail", "end", &[("meetingID", room)]).await;
    }
    assert!(stage.app.take().unwrap().stop(DEADLINE).await);
    stage.start_again().await;
    assert_eq!(ids(&stage.api("wagtail", "getRecordings", &[]).await), [&*id]);
    assert!(ids(&stage.api("heron", "getRecordings", &[]).await).is_empty());

    use sqlx::Connection;
    let url = format!("sqlite:{}", stage.path("var/anteroom.db").display());
    let mut store = sqlx::SqliteConnection::connect(&url).await.unwrap();
    let kept: Vec<(String,)> = sqlx::query_as("SELECT record_id FROM recordings").fetch_all(&mut store).await.unwrap();
    assert_eq!(kept, [(id,)], "a room that nobody came to leaves no row");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_of_beginnings_is_no_more_than_the_recordings_there_are() {
    let stage = stage().await;
    for n in 0..20 {
        record(&stage, "wagtail", &format!("room {n}"), &[]).await;
    }
    let path = sign::path("getRecordings", &[], &secret("wagtail"));
    let digits = "0,1,2,3,4,5,6,7,8,9,a,b,c,d,e,f,".repeat(30_000);
    let list = stage.client().post(&host("wagtail"), &path, FORM, format!("recordID={digits}")).await;
    assert_eq!(ids(&list).len(), 20, "{}", &list.body[..200]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_that_not_all_servers_have_heard_of_is_no_success() {
    let stage = stage().await;
    record_all(&stage, "wagtail", &["room 0", "room 1", "room 2", "room 3"], &[]).await;
    let all = ids(&stage.api("wagtail", "getRecordings", &[]).await).join(",");
    stage.sims[0].faults().set_down(true);
    for (call, more) in [("deleteRecordings", ("x", "y")), ("publishRecordings", ("publish", "false"))] {
        let reply = stage.api("wagtail", call, &[("recordID", &all), more]).await;
        assert_eq!(key(&reply), "serverUnavailable", "{call}: {}", reply.body);
    }
    stage.sims[0].faults().set_down(false);
    let deleted = stage.api("wagtail", "deleteRecordings", &[("recordID", &all)]).await;
    assert_eq!(deleted.xml("deleted"), "true", "said again, it is done: {}", deleted.body);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_gone_takes_the_player_of_the_others_with_it_not() {
    let stage = stage().await;
    record_all(&stage, "wagtail", &["room 0", "room 1", "room 2", "room 3"], &[]).await;
    let player = async || {
        let page = stage.client().get(&host("wagtail"), "/playback/presentation/2.3/static/js/main.js").await;
        page.status.as_u16()
    };
    let here = player().await;
    for gone in [0, 1] {
        stage.sims[gone].faults().set_down(true);
        eventually("the server is known to be away", async || {
            stage.metrics().await.contains(&format!("anteroom_server_up{{server=\"bbb-0{}\"}} 0", gone + 1))
        })
        .await;
        assert_eq!(player().await, here, "without server {gone}");
        stage.sims[gone].faults().set_down(false);
        eventually("the server is back", async || {
            stage.metrics().await.contains(&format!("anteroom_server_up{{server=\"bbb-0{}\"}} 1", gone + 1))
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dead_server_makes_no_list_shorter() {
    let stage = stage().await;
    record_all(&stage, "wagtail", &["room 0", "room 1", "room 2", "room 3"], &[]).await;
    stage.sims[0].faults().set_down(true);
    let list = stage.api("wagtail", "getRecordings", &[]).await;
    assert_eq!(key(&list), "serverUnavailable", "a part would be taken for all: {}", list.body);
    stage.sims[1].faults().set_down(true);
    let list = stage.api("wagtail", "getRecordings", &[]).await;
    assert_eq!(key(&list), "serverUnavailable", "an empty list would be a lie: {}", list.body);
}
