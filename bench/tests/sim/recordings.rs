//! Recordings: how they come about, the calls on them, and the files of their playback.

use anteroom_bench::sign::{self, Algorithm};
use anteroom_bench::sim::{Config, RecordingFormat, RecordingSeed, RecordingState, Sim, TextTrack};
use serde_json::json;

use crate::helpers::*;

fn seed(ext_id: &str, state: RecordingState) -> RecordingSeed {
    RecordingSeed { ext_id: ext_id.into(), name: format!("Name of {ext_id}"), state, ..RecordingSeed::default() }
}

/// Four recordings, one of each state that matters, the first two of one meeting. Their record ids.
fn four(sim: &Sim) -> [String; 4] {
    let published = RecordingSeed {
        start_time_ms: Some(1_700_000_000_000),
        metadata: [("gw-tenant".into(), "acme".into())].into(),
        ..seed("algebra", RecordingState::Published)
    };
    let unpublished = RecordingSeed {
        start_time_ms: Some(1_700_000_000_000),
        metadata: [("gw-tenant".into(), "acme-2".into())].into(),
        ..seed("algebra", RecordingState::Unpublished)
    };
    let rest = [seed("biology", RecordingState::Deleted), seed("chemistry", RecordingState::Processing)];
    let [deleted, processing] = rest;
    [published, unpublished, deleted, processing].map(|seed| sim.add_recording(seed))
}

/// The record ids of a `getRecordings`, and its `messageKey`.
async fn listed(sim: &Sim, params: Params<'_>) -> (Vec<String>, Option<String>) {
    let answer = call(sim, "getRecordings", params).await;
    assert_eq!(answer.tag("returncode"), Some("SUCCESS"), "{params:?}");
    (tags(&answer.body, "recordID"), answer.tag("messageKey").map(str::to_owned))
}

/// The texts of all elements of that name.
fn tags(xml: &str, name: &str) -> Vec<String> {
    let (start, end) = (format!("<{name}>"), format!("</{name}>"));
    let parts = xml.split(&start).skip(1);
    parts.filter_map(|part| part.split_once(&end)).map(|(text, _)| text.to_owned()).collect()
}

/// The names of all elements in the order in which they begin.
fn order(xml: &str) -> Vec<&str> {
    let starts = xml.split('<').skip(1).filter(|part| !part.starts_with('/'));
    starts.filter_map(|part| part.split(['>', ' ']).next()).collect()
}

#[tokio::test]
async fn a_recorded_meeting_leaves_a_recording_that_is_published_later() {
    // Three minutes of processing take some tenths of a second.
    let sim = start(Config { speed: 600.0, ..Config::default() }).await;
    let (record, auto) = (("record", "true"), ("autoStartRecording", "true"));
    for (id, params, presses, leaves) in [
        ("auto", &[record, auto][..], false, true),
        ("pressed", &[record], true, true),
        ("not-pressed", &[record], false, false),
        ("may-not", &[auto], true, false),
        ("no-button", &[record, ("allowStartStopRecording", "false")], true, false),
    ] {
        create(&sim, id, &[params, &[("meta_Course", "7"), ("meetingExpireIfNoUserJoinedInMinutes", "0")]].concat())
            .await;
        let seat = join(&sim, id, &[]).await;
        let socket = enter(&sim, &seat).await.unwrap();
        if presses {
            assert_eq!(sim.press_record(id), leaves, "{id}");
        }
        let meeting = sim.meeting(id).unwrap();
        call(&sim, "end", &[("meetingID", id)]).await;
        drop(socket);
        let found = |state| {
            sim.recordings().into_iter().find(|found| found.record_id == meeting.int_id && found.state == state)
        };
        assert_eq!(sim.recordings().iter().any(|found| found.ext_id == id), leaves, "{id}");
        if leaves {
            until("published", || found(RecordingState::Published).is_some()).await;
            let recording = found(RecordingState::Published).unwrap();
            assert_eq!((recording.name.as_str(), recording.participants), ("A room", 1));
            for (key, value) in [("course", "7"), ("isBreakout", "false"), ("meetingId", id), ("meetingName", "A room")]
            {
                assert_eq!(recording.metadata[key], value);
            }
            let times = recording.start_time_ms..=recording.end_time_ms;
            assert!(times.contains(&recording.start_time_ms) && meeting.create_time_ms <= recording.start_time_ms);
        }
    }
    assert!(!sim.press_record("nowhere"));
    sim.stop().await;
}

#[tokio::test]
async fn a_recording_is_processed_first_and_outlives_a_restart() {
    let sim = start(Config::default()).await;
    create(&sim, "room", &[("record", "true"), ("autoStartRecording", "true")]).await;
    call(&sim, "end", &[("meetingID", "room")]).await;
    assert_eq!(listed(&sim, &[]).await, (vec![], Some("noRecordings".into())));
    let answer = call(&sim, "getRecordings", &[("state", "processing")]).await;
    assert_eq!((answer.tag("state"), answer.tag("published")), (Some("processing"), Some("false")));
    assert_eq!((answer.tag("playback"), answer.tag("size")), (Some(""), Some("0")), "no format yet");
    sim.faults().restart();
    assert_eq!(sim.recordings().len(), 1);
    sim.stop().await;
}

#[tokio::test]
async fn recordings_are_found_by_id_state_and_metadata() {
    let sim = start(Config::default()).await;
    let ids = four(&sim);
    let [published, unpublished, deleted, processing] = &ids;
    assert_eq!(*published, format!("{}-1700000000000", Algorithm::Sha1.hex(b"algebra")));
    assert_eq!(*unpublished, format!("{}-1700000000001", Algorithm::Sha1.hex(b"algebra")), "moved on");
    let both = "algebra,biology";
    let pair = format!("{deleted},{published}");
    let any = ("state", "any");
    let rows: &[(Params<'_>, &[&String])] = &[
        (&[], &[published, unpublished]),
        (&[any], &[published, unpublished, deleted, processing]),
        (&[("state", "deleted")], &[deleted]),
        (&[("state", "processing,unpublished")], &[processing, unpublished]),
        (&[("state", "invented")], &[]),
        (&[("meetingID", "algebra")], &[published, unpublished]),
        (&[("meetingID", "alge")], &[]),
        (&[("meetingID", both), any], &[published, unpublished, deleted]),
        (&[("meetingID", ""), any], &[published, unpublished, deleted, processing]),
        (&[("recordID", published)], &[published]),
        (&[("recordID", &published[..41])], &[published, unpublished]),
        (&[("recordID", &published[..1]), any], &[published, unpublished]),
        (&[("recordID", &published[1..])], &[]),
        (&[("recordID", &pair), any], &[deleted, published]),
        (&[("recordID", published), ("meetingID", "biology"), any], &[published]),
        (&[("meta_GW-tenant", "acme")], &[published]),
        (&[("meta_gw-tenant", "acme%")], &[published, unpublished]),
        (&[("meta_gw-tenant", "%-2")], &[unpublished]),
        (&[("meta_gw-tenant", "acme%"), ("meta_other", "%")], &[]),
        (&[("recordID", unpublished), ("meta_gw-tenant", "acme")], &[]),
    ];
    for (params, expected) in rows {
        let (mut found, key) = listed(&sim, params).await;
        found.sort();
        let mut expected: Vec<String> = expected.iter().map(|id| (*id).clone()).collect();
        expected.sort();
        assert_eq!(found, expected, "{params:?}");
        assert_eq!(key, expected.is_empty().then(|| "noRecordings".to_owned()), "{params:?}");
    }
    let head = format!("POST {}", sign::path("getRecordings", &[("meetingID", "algebra")], SECRET));
    let form = [("Content-Type", "application/x-www-form-urlencoded")];
    let posted = http(&sim, &head, &form, b"state=unpublished").await;
    assert_eq!(tags(&posted.body, "recordID"), [unpublished.as_str()]);
    let posted = http(&sim, &head, &[("Content-Type", "text/plain")], b"x").await;
    assert_eq!(posted.tag("messageKey"), Some("unsupportedContentType"));
    sim.stop().await;
}

#[tokio::test]
async fn pages_of_recordings_are_counted_out() {
    let sim = start(Config::default()).await;
    for number in 0..5 {
        sim.add_recording(seed(&format!("room-{number}"), RecordingState::Published));
    }
    let all: Vec<String> = sim.recordings().into_iter().map(|recording| recording.record_id).collect();
    for (params, expected, paged) in [
        (&[("limit", "2")][..], &all[..2], true),
        (&[("limit", "2"), ("offset", "4")], &all[4..], true),
        (&[("limit", "100"), ("offset", "0")], &all[..], true),
        (&[("limit", "100"), ("offset", "9")], &[], true),
        (&[("offset", "2")], &all[..], false),
        (&[("limit", "0")], &all[..], false),
        (&[("limit", "101")], &all[..], false),
        (&[("limit", "few")], &all[..], false),
    ] {
        let answer = call(&sim, "getRecordings", params).await;
        assert_eq!(tags(&answer.body, "recordID"), expected, "{params:?}");
        let count = |name| answer.tag("pagination").and(answer.tag(name));
        assert_eq!(count("totalElements"), paged.then_some("5"), "{params:?}");
        assert_eq!(count("empty"), paged.then_some(if expected.is_empty() { "true" } else { "false" }), "{params:?}");
    }
    let answer = call(&sim, "getRecordings", &[("limit", "2"), ("offset", "1")]).await;
    let (_, pagination) = answer.body.split_once("</recordings>").unwrap();
    let names = ["pagination", "pageable", "offset", "limit", "paged", "unpaged", "totalElements", "empty"];
    assert_eq!(order(pagination), names);
    assert_eq!((answer.tag("offset"), answer.tag("limit")), (Some("1"), Some("2")));
    sim.stop().await;
}

#[tokio::test]
async fn a_server_may_refuse_to_tell_of_all_recordings() {
    const ALL: &str = "No recordings found. This may occur if you attempt to retrieve all recordings.";
    const NONE: &str = "There are no recordings for the meeting(s).";
    let sim = start(Config { fetches_all_recordings: false, ..Config::default() }).await;
    let ids = four(&sim);
    let tenant = ("meta_gw-tenant", "acme");
    for (params, message) in [
        (&[][..], Some(ALL)),
        (&[tenant], Some(ALL)),
        (&[("meetingID", ""), ("state", "any")], Some(ALL)),
        (&[("limit", "10")], None),
        (&[tenant, ("meetingID", "algebra")], None),
        (&[("recordID", &ids[0])], None),
        (&[("recordID", "none")], Some(NONE)),
    ] {
        let answer = call(&sim, "getRecordings", params).await;
        assert_eq!((answer.tag("returncode"), answer.tag("message")), (Some("SUCCESS"), message), "{params:?}");
        assert_eq!(answer.body.contains("<recordings>"), message != Some(ALL), "{params:?}");
    }
    sim.stop().await;
}

#[tokio::test]
async fn a_recording_is_told_with_all_elements_in_order() {
    use RecordingFormat::{Notes, Podcast, Presentation, Video};
    let sim = start(Config::default()).await;
    let id = sim.add_recording(RecordingSeed {
        minutes: 90,
        formats: vec![Presentation, Video, Podcast, Notes],
        parent: Some("parent-1".into()),
        ..seed("a \"room\" & more", RecordingState::Published)
    });
    let answer = call(&sim, "getRecordings", &[]).await;
    let format = ["format", "type", "url", "processingTime", "length", "size"];
    let expected = [
        &["response", "returncode", "recordings", "recording", "recordID", "meetingID", "internalMeetingID", "name"][..],
        &["isBreakout", "published", "state", "startTime", "endTime", "participants", "rawSize", "metadata"],
        &["isBreakout", "meetingId", "meetingName", "breakout", "parentId", "sequence", "freeJoin", "size", "playback"],
        &[format.as_slice(), &["preview", "images", "image"]].concat(),
        &format,
        &format,
        &format,
        &["data", "format", "type", "url"],
    ];
    assert_eq!(order(&answer.body), expected.concat());
    for (name, value) in [
        ("recordID", id.as_str()),
        ("internalMeetingID", &id),
        ("meetingID", "a &quot;room&quot; &amp; more"),
        ("isBreakout", "true"),
        ("published", "true"),
        ("participants", "3"),
        ("length", "90"),
        ("parentId", "parent-1"),
    ] {
        assert_eq!(answer.tag(name), Some(value), "{name}");
    }
    let sizes: Vec<u64> = tags(&answer.body, "size").iter().map(|size| size.parse().unwrap()).collect();
    assert_eq!(sizes[0], sizes[1..].iter().sum::<u64>(), "the whole first, then its parts");
    let urls = tags(&answer.body, "url");
    let paths = [
        format!("/playback/presentation/2.3/{id}"),
        format!("/playback/video/{id}/"),
        format!("/podcast/{id}/audio.ogg"),
        format!("/notes/{id}/notes.pdf"),
        format!("/presentation/{id}/events.xml"),
    ];
    assert_eq!(urls, paths.clone().map(|path| format!("{SERVER}{path}")));
    assert!(answer.body.contains("<image width=\"176\" height=\"136\" alt=\"Name of a &quot;room&quot; &amp; more\">"));
    let (_, image) = answer.body.split_once("<image ").unwrap();
    let (_, image) = image.split_once('>').unwrap();
    let image = image.split_once('<').unwrap().0.strip_prefix(SERVER).unwrap();
    for path in paths.iter().map(String::as_str).chain([image]) {
        assert_eq!(get(&sim, path).await.status, 200, "{path}");
    }
    sim.stop().await;
}

#[tokio::test]
async fn breakout_rooms_of_a_recorded_meeting_are_listed() {
    let sim = start(Config::default()).await;
    create(&sim, "room", &[("record", "true"), ("autoStartRecording", "true")]).await;
    let child = [("isBreakout", "true"), ("parentMeetingID", "room"), ("sequence", "2"), ("freeJoin", "true")];
    create(&sim, "child-1", &[&child[..], &[("record", "true"), ("autoStartRecording", "true")]].concat()).await;
    let parent = sim.meeting("room").unwrap().int_id;
    call(&sim, "end", &[("meetingID", &parent)]).await;
    call(&sim, "end", &[("meetingID", "child-1")]).await;
    let answer = call(&sim, "getRecordings", &[("recordID", &parent), ("state", "any")]).await;
    assert_eq!(answer.tag("breakoutRooms"), Some("<breakoutRoom>child-1</breakoutRoom>"));
    let answer = call(&sim, "getRecordings", &[("recordID", "child-1"), ("state", "any")]).await;
    assert_eq!((answer.tag("sequence"), answer.tag("freeJoin")), (Some("2"), Some("true")));
    sim.stop().await;
}

#[tokio::test]
async fn recordings_are_published_deleted_and_changed() {
    let sim = start(Config::default()).await;
    let [published, unpublished, deleted, processing] = four(&sim);
    let state = |id: &String| sim.recordings().into_iter().find(|found| found.record_id == *id).unwrap().state;
    let mixed = format!("none,{unpublished},{deleted}");
    let change = |call: &'static str, more: &'static [(&str, &str)], id: &str| {
        let params = [&[("recordID", id)], more].concat();
        sign::path(call, &params, SECRET)
    };
    let publish = [("publish", "true")];
    for (path, key, value, what, expected) in [
        (change("publishRecordings", &[("publish", "true")], &mixed), "published", "true", &unpublished, "published"),
        (change("publishRecordings", &[("publish", "no")], &published), "published", "no", &published, "unpublished"),
        (change("deleteRecordings", &[], &published), "deleted", "true", &published, "deleted"),
    ] {
        let answer = get(&sim, &path).await;
        assert_eq!((answer.tag("returncode"), answer.tag(key)), (Some("SUCCESS"), Some(value)), "{path}");
        assert_eq!(state(what).name(), expected, "{path}");
    }
    assert_eq!(state(&deleted), RecordingState::Deleted, "stays where it is");
    for (name, more, id) in [
        ("publishRecordings", &publish[..], &unpublished[..41]),
        ("publishRecordings", &publish, &deleted),
        ("publishRecordings", &publish, &processing),
        ("deleteRecordings", &[], &unpublished[..50]),
        ("deleteRecordings", &[], ","),
        ("updateRecordings", &[("meta_a", "b")], &deleted),
        ("updateRecordings", &[("meta_a", "b")], "none"),
    ] {
        let answer = call(&sim, name, &[&[("recordID", id)], more].concat()).await;
        let got = (answer.tag("messageKey"), answer.tag("message"));
        assert_eq!(got, (Some("notFound"), Some("We could not find recordings")), "{name} {id}");
    }

    let params = [("recordID", &unpublished[..10]), ("meta_Course", "7"), ("meta_gw-tenant", ""), ("meta_no_key", "x")];
    let answer = call(&sim, "updateRecordings", &params).await;
    assert_eq!(answer.tag("updated"), Some("true"));
    let recordings = sim.recordings();
    let metadata = &recordings.iter().find(|found| found.record_id == unpublished).unwrap().metadata;
    let keys: Vec<&str> = metadata.keys().map(String::as_str).collect();
    assert_eq!(keys, ["course", "isBreakout", "meetingId", "meetingName"]);
    sim.stop().await;
}

#[tokio::test]
async fn what_is_missing_is_told_before_a_wrong_checksum() {
    const WRONG: &str = "checksum=1fcbb0c4fc1f039f73aa6d697d2db9ba7f803f17";
    const CHECKSUM: &str = "You did not pass the checksum security check";
    const RECORD_ID: &str = "You must specify a recordID.";
    let sim = start(Config::default()).await;
    let [id, ..] = four(&sim);
    for (call, query, key, message) in [
        ("getRecordings", "", "checksumError", CHECKSUM),
        ("getRecordings", WRONG, "checksumError", CHECKSUM),
        ("publishRecordings", "", "checksumError", CHECKSUM),
        ("publishRecordings", WRONG, "missingParamRecordID", RECORD_ID),
        ("publishRecordings", &format!("recordID=&{WRONG}"), "missingParamRecordID", RECORD_ID),
        (
            "publishRecordings",
            &format!("recordID={id}&{WRONG}"),
            "missingParamPublish",
            "You must specify a publish value true or false.",
        ),
        ("publishRecordings", &format!("recordID=none&publish=true&{WRONG}"), "checksumError", CHECKSUM),
        ("deleteRecordings", &format!("recordID={id}"), "checksumError", CHECKSUM),
        ("deleteRecordings", WRONG, "missingParamRecordID", RECORD_ID),
        ("deleteRecordings", &format!("recordID={id}&{WRONG}"), "checksumError", CHECKSUM),
        ("updateRecordings", WRONG, "missingParamRecordID", RECORD_ID),
        ("updateRecordings", &format!("recordID={id}&meta_a=b&{WRONG}"), "checksumError", CHECKSUM),
    ] {
        let answer = get(&sim, &format!("/bigbluebutton/api/{call}?{query}")).await;
        let got = (answer.tag("returncode"), answer.tag("messageKey"), answer.tag("message"));
        assert_eq!(got, (Some("FAILED"), Some(key), Some(message)), "{call}?{query}");
    }
    assert_eq!(sim.recordings().iter().filter(|found| found.state == RecordingState::Deleted).count(), 1);
    for (method, name, status) in [
        ("POST", "publishRecordings", 405),
        ("POST", "deleteRecordings", 405),
        ("POST", "updateRecordings", 200),
        ("POST", "getRecordings", 200),
        ("GET", "putRecordingTextTrack", 405),
    ] {
        let head = format!("{method} {}", sign::path(name, &[("recordID", &id)], SECRET));
        assert_eq!(http(&sim, &head, &[], b"").await.status, status, "{method} {name}");
    }
    sim.stop().await;
}

#[tokio::test]
async fn text_tracks_are_listed_put_and_fetched_once() {
    let sim = start(Config::default()).await;
    let track = TextTrack {
        kind: "captions".into(),
        lang: "en-US".into(),
        label: "English".into(),
        source: "live".into(),
        content: b"WEBVTT\n".to_vec(),
    };
    let id = sim.add_recording(RecordingSeed { text_tracks: vec![track], ..seed("room", RecordingState::Published) });
    let bare = sim.add_recording(seed("bare", RecordingState::Published));
    let failed = |key: &str, message: String| json!({ "response": { "returncode": "FAILED", "messageKey": key, "message": message } });
    for (params, expected) in [
        (&[][..], failed("missingParamRecordID", "You must specify a recordID.".into())),
        (&[("recordID", "none")], failed("noRecordings", "No recording found for none".into())),
        (&[("recordID", &bare)], failed("noCaptionsFound", format!("No captions found for {bare}"))),
    ] {
        let answer = call(&sim, "getRecordingTextTracks", params).await;
        assert_eq!((answer.status, answer.json()), (200, expected));
    }

    let form = [("Content-Type", "multipart/form-data; boundary=b")];
    let body =
        "--b\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a.vtt\"\r\n\r\nWEBVTT\n\n1\r\n--b--\r\n";
    let empty = "--b\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a.vtt\"\r\n\r\n\r\n--b--\r\n";
    let put = async |params: Params<'_>, body: &str| {
        let head = format!("POST {}", sign::path("putRecordingTextTrack", params, SECRET));
        http(&sim, &head, &form, body.as_bytes()).await.json()
    };
    let (record, kind, lang) = (("recordID", id.as_str()), ("kind", "subtitles"), ("lang", "pt-br"));
    for (params, body, key, message) in [
        (&[][..], body, "paramError", "Missing param recordID."),
        (&[record], body, "paramError", "Missing param kind."),
        (&[record, kind], body, "paramError", "Missing param lang."),
        (&[("recordID", "none"), kind, lang], body, "noRecordings", "No recording was found for none"),
        (
            &[record, ("kind", "karaoke"), lang],
            body,
            "invalidKind",
            "Invalid kind parameter, expected='subtitles|captions' actual=karaoke",
        ),
        (&[record, kind, ("lang", "p!")], body, "invalidLang", "Malformed lang param, received=p!"),
        (&[record, kind, lang], empty, "empty_uploaded_text_track", "Empty uploaded text track."),
        (&[record, kind, lang], "--b--", "empty_uploaded_text_track", "Empty uploaded text track."),
    ] {
        assert_eq!(put(params, body).await, failed(key, message.into()), "{params:?}");
    }
    let unsigned =
        format!("POST /bigbluebutton/api/putRecordingTextTrack?recordID={id}&kind=subtitles&lang=pt&checksum=1");
    let unsigned = http(&sim, &unsigned, &form, body.as_bytes()).await.json();
    assert_eq!(unsigned, failed("checksumError", "You did not pass the checksum security check".into()));
    let done = put(&[record, kind, lang, ("label", "Português")], body).await["response"].clone();
    let got = (&done["returncode"], &done["messageKey"], &done["recordId"]);
    assert_eq!(got, (&json!("SUCCESS"), &json!("upload_text_track_success"), &json!(id)));

    let list = call(&sim, "getRecordingTextTracks", &[record]).await.json();
    let tracks = list["response"]["tracks"].as_array().unwrap();
    assert_eq!((tracks[0]["kind"].as_str(), tracks[0]["source"].as_str()), (Some("captions"), Some("live")));
    for (key, value) in [("kind", "subtitles"), ("lang", "pt-br"), ("label", "Português"), ("source", "upload")] {
        assert_eq!(tracks[1][key], value);
    }
    let href = |index: usize| tracks[index]["href"].as_str().unwrap().strip_prefix(SERVER).unwrap().to_owned();
    assert!(href(1).starts_with("/bigbluebutton/textTrack/") && href(1).contains(&format!("/{id}/")), "{}", href(1));
    let first = get(&sim, &href(1)).await;
    assert_eq!((first.status, first.body.as_str()), (200, "WEBVTT\n\n1"));
    assert_eq!(get(&sim, &href(1)).await.status, 401, "a link is good for once");
    assert_eq!(get(&sim, &href(0).replace(&id, &bare)).await.status, 401, "of another recording");
    sim.stop().await;
}

#[tokio::test]
async fn only_published_recordings_can_be_played() {
    let sim = start(Config::default()).await;
    let ids = four(&sim);
    for (index, status) in [(0, 200), (1, 404), (2, 404), (3, 404)] {
        for file in ["metadata.xml", "video/webcams.webm", "shapes.svg", "events.xml"] {
            let path = format!("/presentation/{}/{file}", ids[index]);
            assert_eq!(get(&sim, &path).await.status, status, "{index} {file}");
        }
    }
    let id = &ids[0];
    let player = get(&sim, &format!("/playback/presentation/2.3/{id}")).await;
    let script = player.body.split('"').find(|text| text.ends_with(".js")).unwrap();
    assert_eq!(get(&sim, script).await.header("content-type"), Some("application/javascript"));
    let metadata = get(&sim, &format!("/presentation/{id}/metadata.xml")).await;
    assert_eq!((metadata.tag("id"), metadata.tag("meetingName")), (Some(id.as_str()), Some("Name of algebra")));
    let old = get(&sim, &format!("/playback/presentation/2.0/playback.html?meetingId={id}")).await;
    let target = format!("{SERVER}/playback/presentation/2.3/{id}");
    assert_eq!((old.status, old.header("location")), (301, Some(target.as_str())));
    for path in [
        "/playback/presentation/2.0/playback.html".to_owned(),
        "/playback/x".to_owned(),
        format!("/presentation/{id}/none.xml"),
        format!("/presentation/{}/metadata.xml", &id[..41]),
        format!("/podcast/{id}/audio.ogg"),
        format!("/notes/{id}/notes.pdf"),
        format!("/playback/video/{id}/"),
    ] {
        assert_eq!(get(&sim, &path).await.status, 404, "{path}");
    }
    assert_eq!(http(&sim, &format!("POST /presentation/{id}/metadata.xml"), &[], b"x").await.status, 405);
    sim.stop().await;
}

#[tokio::test]
async fn media_is_served_in_ranges() {
    let sim = start(Config::default()).await;
    let [id, ..] = four(&sim);
    let path = format!("/presentation/{id}/video/webcams.webm");
    let whole = get(&sim, &path).await;
    assert_eq!((whole.status, whole.header("accept-ranges")), (200, Some("bytes")));
    let (length, etag) = (whole.body.len(), whole.header("etag").unwrap());
    let part = |first: usize, end: usize| {
        (206, Some(format!("bytes {first}-{}/{length}", end - 1)), whole.body[first..end].to_owned())
    };
    for (range, if_range, (status, content_range, body)) in [
        ("bytes=16-31", None, part(16, 32)),
        ("bytes=-8", None, part(length - 8, length)),
        ("bytes=262000-", Some(etag), part(262_000, length)),
        ("bytes=16-31", Some("\"old\""), (200, None, whole.body.clone())),
    ] {
        let headers = [("Range", range), ("If-Range", if_range.unwrap_or_default())];
        let headers = if if_range.is_some() { &headers[..] } else { &headers[..1] };
        let answer = http(&sim, &format!("GET {path}"), headers, b"").await;
        let got = (answer.status, answer.header("content-range").map(str::to_owned), answer.body);
        assert!(got == (status, content_range, body), "{range}");
    }
    let beyond = http(&sim, &format!("GET {path}"), &[("Range", "bytes=999999-")], b"").await;
    assert_eq!((beyond.status, beyond.header("content-range")), (416, Some(format!("bytes */{length}").as_str())));
    let head = http(&sim, &format!("HEAD {path}"), &[], b"").await;
    assert_eq!((head.header("content-length"), head.body.as_str()), (Some(length.to_string().as_str()), ""));
    sim.stop().await;
}
