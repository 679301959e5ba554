//! Ways round a limit, one test each, named after the trick. Each fails when its rule is taken out.

use anteroom_bench::{sign, sim};
use futures_util::future::join_all;

use crate::support::{Joined, Plan, Reply, Stage, eventually, host, secret};

fn key(reply: &Reply) -> &str {
    reply.xml("messageKey")
}

/// A tenant `small` of the free level: 1 room, 5 participants, 60 minutes, no recording.
async fn stage() -> Stage {
    with("").await
}

/// The same with further limits.
async fn with(limits: &str) -> Stage {
    Plan::new().server("members").tenant_with("small", "free", &format!("---[limits]\n{limits}")).start().await
}

async fn create(stage: &Stage, more: &[(&str, &str)]) -> Reply {
    stage.api("small", "create", &[&[("name", "room"), ("meetingID", "room")], more].concat()).await
}

async fn join(stage: &Stage, more: &[(&str, &str)]) -> Reply {
    stage.api("small", "join", &[&[("meetingID", "room"), ("fullName", "A"), ("role", "VIEWER")], more].concat()).await
}

/// What the server was told for one parameter of a `create`.
async fn told(stage: &Stage, more: &[(&str, &str)], name: &str) -> Option<String> {
    let created = create(stage, more).await;
    assert_eq!(created.xml("returncode"), "SUCCESS", "{more:?}: {}", created.body);
    let value = stage.on_server("small", "room").unwrap().params.get(name).cloned();
    stage.api("small", "end", &[("meetingID", "room")]).await;
    value
}

#[tokio::test(flavor = "multi_thread")]
async fn a_duration_that_is_missing_zero_negative_or_no_number() {
    let stage = stage().await;
    assert_eq!(told(&stage, &[], "duration").await.as_deref(), Some("60"));
    for duration in ["0", "-1", "abc", "", "61", "99999999999", "1e9"] {
        assert_eq!(told(&stage, &[("duration", duration)], "duration").await.as_deref(), Some("60"), "{duration}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn making_a_meeting_again_after_its_end() {
    let stage = with("duration = \"2m\"\nduration_window = \"1h\"").await;
    assert_eq!(told(&stage, &[], "duration").await.as_deref(), Some("2"));
    // As if that run had lasted a minute, and another one the other.
    use sqlx::Connection;
    let url = format!("sqlite:{}", stage.path("var/anteroom.db").display());
    let mut store = sqlx::SqliteConnection::connect(&url).await.unwrap();
    let lasted = "UPDATE meetings SET created_at = ended_at - 60000 WHERE ended_at IS NOT NULL";
    sqlx::query(lasted).execute(&mut store).await.unwrap();
    assert_eq!(told(&stage, &[], "duration").await.as_deref(), Some("1"), "what is left of two");
    sqlx::query(lasted).execute(&mut store).await.unwrap();
    let refused = create(&stage, &[]).await;
    assert_eq!(key(&refused), "durationUsedUp", "{}", refused.body);
    sqlx::query("UPDATE meetings SET ended_at = ended_at - 3600000").execute(&mut store).await.unwrap();
    assert_eq!(told(&stage, &[], "duration").await.as_deref(), Some("2"), "that was an hour ago");
}

#[tokio::test(flavor = "multi_thread")]
async fn making_a_meeting_again_after_its_end_in_the_client() {
    let stage = with("duration = \"3m\"\nduration_window = \"1h\"").await;
    create(&stage, &[]).await;
    stage.api("small", "end", &[("meetingID", "room")]).await;
    create(&stage, &[]).await;
    use sqlx::Connection;
    let url = format!("sqlite:{}", stage.path("var/anteroom.db").display());
    let mut store = sqlx::SqliteConnection::connect(&url).await.unwrap();
    sqlx::query("UPDATE meetings SET created_at = ended_at - 100000 WHERE ended_at IS NOT NULL")
        .execute(&mut store)
        .await
        .unwrap();
    // A moderator ends it, and before the gateway has seen that, it is made again.
    assert!(stage.sims[0].end_meeting("t.small.room"));
    let made = create(&stage, &[]).await;
    assert_eq!(made.xml("returncode"), "SUCCESS", "{}", made.body);
    assert_eq!(stage.on_server("small", "room").unwrap().params["duration"], "1", "earlier runs count");
}

#[tokio::test(flavor = "multi_thread")]
async fn making_a_meeting_again_when_nothing_is_left() {
    let stage = with("duration = \"1m\"\nduration_window = \"1h\"").await;
    create(&stage, &[]).await;
    // It is over in the client before the gateway has seen that, and half a minute of its one is used up.
    let id = stage.on_server("small", "room").unwrap().ext_id;
    assert!(stage.sims[0].end_meeting(&id));
    let refused = create(&stage, &[]).await;
    assert_eq!(key(&refused), "durationUsedUp", "{}", refused.body);
    assert!(stage.sims[0].meetings().is_empty(), "what the server has made for it is ended");
}

#[tokio::test(flavor = "multi_thread")]
async fn making_a_meeting_early_and_leaving_it_empty() {
    let stage = stage().await;
    let name = "meetingExpireIfNoUserJoinedInMinutes";
    for asked in ["100000", "0", "-5", "x"] {
        assert_eq!(told(&stage, &[(name, asked)], name).await.as_deref(), Some("60"), "{asked}");
    }
    create(&stage, &[]).await;
    let refused = stage.create("small", "another").await;
    assert_eq!(key(&refused), "roomLimitReached", "a room that nobody is in holds its place: {}", refused.body);
}

#[tokio::test(flavor = "multi_thread")]
async fn keeping_an_empty_meeting_for_ever() {
    let stage = stage().await;
    let name = "meetingExpireWhenLastUserLeftInMinutes";
    for asked in ["100000", "0", "-1"] {
        assert_eq!(told(&stage, &[(name, asked)], name).await.as_deref(), Some("30"), "{asked}");
    }
    let name = "learningDashboardCleanupDelayInMinutes";
    assert_eq!(told(&stage, &[(name, "0")], name).await.as_deref(), Some("60"));
}

#[tokio::test(flavor = "multi_thread")]
async fn max_participants_that_are_missing_zero_negative_or_no_number() {
    let stage = stage().await;
    assert_eq!(told(&stage, &[], "maxParticipants").await.as_deref(), Some("5"));
    for asked in ["0", "-1", "abc", "", "6", "99999999999"] {
        assert_eq!(
            told(&stage, &[("maxParticipants", asked)], "maxParticipants").await.as_deref(),
            Some("5"),
            "{asked}"
        );
    }
    create(&stage, &[("maxParticipants", "0")]).await;
    let joined = join_all((0..8).map(|_| join(&stage, &[]))).await.iter().filter(|reply| reply.status == 302).count();
    assert_eq!(joined, 5);
}

#[tokio::test(flavor = "multi_thread")]
async fn joins_in_a_burst() {
    let stage = stage().await;
    create(&stage, &[]).await;
    let replies = join_all((0..40).map(|_| join(&stage, &[]))).await;
    let full = replies.iter().filter(|reply| key(reply) == "maxParticipantsReached").count();
    assert_eq!((replies.iter().filter(|reply| reply.status == 302).count(), full), (5, 35));
}

#[tokio::test(flavor = "multi_thread")]
async fn one_user_id_for_all() {
    let stage = stage().await;
    create(&stage, &[]).await;
    let mut sockets = Vec::new();
    for n in 0..5 {
        let reply = join(&stage, &[("userID", "everybody")]).await;
        assert_eq!(reply.status, 302, "{n}: {}", reply.body);
        let joined = Joined {
            prefix: format!("/s/{}", reply.header("location").split('/').nth(4).unwrap()),
            token: reply.location_param("sessionToken"),
            cookies: reply.cookies(),
        };
        sockets.push(stage.graphql("small", &joined).await.unwrap());
    }
    assert_eq!(key(&join(&stage, &[("userID", "everybody")]).await), "maxParticipantsReached");
}

#[tokio::test(flavor = "multi_thread")]
async fn people_who_say_that_they_are_bots() {
    let stage = stage().await;
    create(&stage, &[]).await;
    for _ in 0..5 {
        assert_eq!(join(&stage, &[("bot", "true")]).await.status, 302);
    }
    assert_eq!(key(&join(&stage, &[("bot", "true")]).await), "maxParticipantsReached");
    let joins = stage.on_server("small", "room").unwrap().joins;
    assert!(
        joins.len() == 5 && joins.iter().all(|join| join["bot"] == "true"),
        "as far as the server knows, it is empty"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn another_session_of_somebody_who_is_there() {
    let stage = with("participants = 2").await;
    create(&stage, &[]).await;
    let told = join(&stage, &[("redirect", "false")]).await;
    let (user, token) = (told.xml("user_id"), told.xml("session_token"));
    let joined = join(&stage, &[("existingUserID", user), ("replaceSessionToken", token), ("sessionName", "x")]).await;
    assert_eq!(joined.status, 302, "a session like any other: {}", joined.body);
    assert_eq!(key(&join(&stage, &[("existingUserID", user)]).await), "maxParticipantsReached");
    let seen = stage.sims[0].log();
    for name in ["existingUserID", "replaceSessionToken", "sessionName"] {
        assert!(seen.iter().all(|request| request.param(name).is_none()), "the server does not hear of {name}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn breakout_rooms() {
    let stage = stage().await;
    for asked in [&[][..], &[("disabledFeatures", "chat")], &[("disabledFeaturesExclude", "breakoutRooms")]] {
        let disabled = told(&stage, asked, "disabledFeatures").await.unwrap();
        assert!(disabled.split(',').any(|feature| feature == "breakoutRooms"), "{asked:?}: {disabled}");
    }
    let stage = with("breakouts = true").await;
    assert_eq!(told(&stage, &[], "disabledFeatures").await, None, "where the level has them");
    assert_eq!(told(&stage, &[("breakoutRoomsRecord", "true")], "breakoutRoomsRecord").await.as_deref(), Some("false"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_breakout_room_by_the_api() {
    let stage = stage().await;
    let id = format!("{}-1700000000000", "ab".repeat(20));
    let params = [
        ("name", "breakout"),
        ("meetingID", &*id),
        ("isBreakout", "TRUE"),
        ("parentMeetingID", "room"),
        ("sequence", "1"),
    ];
    let refused = stage.api("small", "create", &params).await;
    assert_eq!(key(&refused), "parentMeetingDoesNotExist", "{}", refused.body);
    create(&stage, &[]).await;
    let refused = stage.api("small", "create", &params).await;
    assert_eq!(key(&refused), "validationError", "the level has none: {}", refused.body);
    assert_eq!(stage.sims[0].meetings().len(), 1);
    stage.api("small", "end", &[("meetingID", "room")]).await;
    for (name, value) in [("parentMeetingID", "x"), ("sequence", "1"), ("freeJoin", "true")] {
        assert_eq!(told(&stage, &[(name, value)], name).await, None, "{name}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn documents_without_end() {
    let stage = with("documents = 2").await;
    create(&stage, &[]).await;
    let path = sign::path("insertDocument", &[("meetingID", "room")], &secret("small"));
    let insert = async |document: &str| {
        let body = format!("<modules><module name=\"presentation\">{document}</module></modules>");
        stage.client().post(&host("small"), &path, "application/xml", body).await
    };
    let document = "<document url=\"https://school.example/a.pdf\" filename=\"a.pdf\"/>";
    assert_eq!(insert(document).await.xml("returncode"), "SUCCESS");
    assert_eq!(insert("<document name=\"b.pdf\">QUJD</document>").await.xml("returncode"), "SUCCESS");
    assert_eq!(key(&insert(document).await), "documentLimitReached");
    assert_eq!(stage.on_server("small", "room").unwrap().documents.len(), 2);
    stage.api("small", "end", &[("meetingID", "room")]).await;

    create(&stage, &[]).await;
    assert_eq!(key(&insert(&document.repeat(3)).await), "documentLimitReached", "each document counts");
    assert_eq!(key(&insert("<document url=\"https://127.0.0.1/\"/>").await), "validationError");
    assert_eq!(insert(&document.repeat(2)).await.xml("returncode"), "SUCCESS", "and what was refused does not");
    stage.api("small", "end", &[("meetingID", "room")]).await;

    let body = |n| format!("<modules><module name=\"presentation\">{}</module></modules>", document.repeat(n));
    let path = sign::path("create", &[("name", "room"), ("meetingID", "room")], &secret("small"));
    let made = async |n| stage.client().post(&host("small"), &path, "application/xml", body(n)).await;
    assert_eq!(key(&made(3).await), "documentLimitReached", "those of the create as well");
    assert_eq!(made(2).await.xml("returncode"), "SUCCESS");
    assert_eq!(key(&insert(document).await), "documentLimitReached");
    let large = insert(&"x".repeat(3_000_000)).await;
    assert_eq!(key(&large), "requestTooLarge", "{}", large.body);
}

#[tokio::test(flavor = "multi_thread")]
async fn documents_from_inside_the_servers_network() {
    let stage = stage().await;
    for address in ["https://127.0.0.1/a.pdf", "http://169.254.169.254/latest", "https://redis/a", "file:///etc/passwd"]
    {
        let refused = create(&stage, &[("preUploadedPresentation", address)]).await;
        assert_eq!(key(&refused), "validationError", "{address}: {}", refused.body);
        let body = format!("<modules><module name=\"presentation\"><document url=\"{address}\"/></module></modules>");
        let path = sign::path("create", &[("name", "room"), ("meetingID", "room")], &secret("small"));
        let refused = stage.client().post(&host("small"), &path, "application/xml", body.clone()).await;
        assert_eq!(key(&refused), "validationError", "{address}: {}", refused.body);
        create(&stage, &[]).await;
        let path = sign::path("insertDocument", &[("meetingID", "room")], &secret("small"));
        let refused = stage.client().post(&host("small"), &path, "text/xml", body).await;
        assert_eq!(key(&refused), "validationError", "{address}: {}", refused.body);
        let meeting = stage.on_server("small", "room").unwrap();
        assert!(meeting.documents.is_empty() && !meeting.params.contains_key("preUploadedPresentation"), "{address}");
        stage.api("small", "end", &[("meetingID", "room")]).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn recording_by_every_parameter_and_by_a_second_create() {
    let stage = stage().await;
    for name in [
        "record",
        "autoStartRecording",
        "allowStartStopRecording",
        "recordFullDurationMedia",
        "meetingKeepEvents",
        "breakoutRoomsRecord",
    ] {
        assert_eq!(told(&stage, &[(name, "true")], name).await.as_deref(), Some("false"), "{name}");
        assert_eq!(told(&stage, &[], name).await.as_deref(), Some("false"), "{name}, not asked for");
    }
    create(&stage, &[]).await;
    create(&stage, &[("record", "true")]).await;
    assert!(!stage.on_server("small", "room").unwrap().recording);
}

#[tokio::test(flavor = "multi_thread")]
async fn features_that_are_enabled_again() {
    let stage = stage().await;
    assert_eq!(
        told(&stage, &[("disabledFeaturesExclude", "breakoutRooms,chat")], "disabledFeaturesExclude").await,
        None
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_is_altered() {
    let stage = stage().await;
    for name in [
        "pluginManifests",
        "pluginManifestsFetchUrl",
        "clientSettingsOverrideJsonUrl",
        "clientSettingsOverride",
        "clientSettingsOverrideStrictValidation",
        "allowOverrideClientSettingsOnCreateCall",
        "allowRequestsWithoutSession",
    ] {
        assert_eq!(told(&stage, &[(name, "https://evil.example/x.json")], name).await, None, "{name}");
    }
    let body = "<modules><module name=\"clientSettingsOverride\"><![CDATA[{\"public\":{}}]]></module></modules>";
    let path = sign::path("create", &[("name", "room"), ("meetingID", "room")], &secret("small"));
    let created = stage.client().post(&host("small"), &path, "application/xml", body).await;
    assert_eq!(created.xml("returncode"), "SUCCESS", "{}", created.body);
    assert_eq!(stage.on_server("small", "room").unwrap().settings_override_ignored, None);
}

#[tokio::test(flavor = "multi_thread")]
async fn callbacks_at_addresses_that_are_not_public() {
    let stage = stage().await;
    for name in [
        "meta_endCallbackUrl",
        "meta_ENDCALLBACKURL",
        "meta_bbb-recording-ready-url",
        "meta_analytics-callback-url",
        "meta_bn-recording-ready-url",
        "meta_canvas-recording-ready-url",
        "meetingEndedURL",
    ] {
        assert_eq!(told(&stage, &[(name, "http://10.0.0.1/hook")], name).await, None, "{name}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn everybody_a_moderator() {
    let stage = stage().await;
    create(&stage, &[]).await;
    let moderator = [("meetingID", "room"), ("fullName", "A"), ("role", "MODERATOR")];
    let replies = join_all((0..8).map(|_| stage.api("small", "join", &moderator))).await;
    assert_eq!(replies.iter().filter(|reply| reply.status == 302).count(), 5);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_beside_a_join_address() {
    let old = sim::Config { profile: sim::Profile::V2_7, ..sim::Config::default() };
    let stage = Plan::new().server_with("members", old).tenant("small", "free").start().await;
    create(&stage, &[("attendeePW", "apw"), ("moderatorPW", "mpw")]).await;
    let params = [("meetingID", "room"), ("fullName", "A"), ("password", "apw")];
    let path = sign::path("join", &params, &secret("small"));
    let body = "role=MODERATOR&userID=headmaster";
    let reply = stage.client().post(&host("small"), &path, "application/x-www-form-urlencoded", body).await;
    assert_eq!(reply.status, 302, "servers before 3.0 take a POST: {}", reply.body);
    let join = &stage.on_server("small", "room").unwrap().joins[0];
    assert!(!join.contains_key("role") && !join.contains_key("userID"), "{join:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn people_who_dial_in() {
    let stage = stage().await;
    for (name, value) in [("dialNumber", "+49 30 1234567"), ("voiceBridge", "12345"), ("webVoice", "x")] {
        assert_eq!(told(&stage, &[(name, value)], name).await, None, "{name}");
    }
}

/// Follows a join address, which has to lead to a session.
async fn followed(stage: &Stage, address: &str) -> Joined {
    let reply = stage.client().get(&host("small"), address).await;
    let (start, _) = reply.header("location").split_once("/html5client").unwrap();
    let prefix = start.strip_prefix("https://small.localhost").unwrap().to_owned();
    Joined { prefix, token: reply.location_param("sessionToken"), cookies: reply.cookies() }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_join_address_that_is_shared() {
    let stage = with("participants = 2").await;
    create(&stage, &[]).await;
    let params = [("meetingID", "room"), ("fullName", "Everybody"), ("userID", "1"), ("role", "VIEWER")];
    let address = sign::path("join", &params, &secret("small"));
    let mut sockets = Vec::new();
    for _ in 0..2 {
        let session = followed(&stage, &address).await;
        sockets.push(stage.graphql("small", &session).await.unwrap());
    }
    let reply = stage.client().get(&host("small"), &address).await;
    assert_eq!(key(&reply), "maxParticipantsReached", "each who is there has a seat, whatever the userID");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_join_address_that_many_follow_before_anybody_arrives() {
    let stage = with("participants = 2").await;
    create(&stage, &[]).await;
    let params = [("meetingID", "room"), ("fullName", "Everybody"), ("userID", "1"), ("role", "VIEWER")];
    let address = sign::path("join", &params, &secret("small"));
    let mut sessions = Vec::new();
    // BBB itself takes no more of one userID (docs/reference/bbb-protocol.md, "Number of participants").
    for _ in 0..3 {
        sessions.push(followed(&stage, &address).await);
    }
    let mut open = Vec::new();
    for session in &sessions {
        open.extend(stage.graphql("small", session).await.ok());
    }
    assert_eq!(open.len(), 2, "one lease was handed on, and whoever arrives needs a seat");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_token_that_is_shared() {
    let stage = with("participants = 1").await;
    create(&stage, &[]).await;
    let ada = stage.joined("small", "room", "Ada").await;
    let without_cookie = Joined { cookies: String::new(), ..ada.clone() };
    assert!(stage.graphql("small", &without_cookie).await.is_err(), "the token alone opens nothing");
    stage.graphql("small", &ada).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_link_for_one_more_session_takes_a_seat() {
    let stage = with("participants = 2").await;
    create(&stage, &[]).await;
    let ada = stage.joined("small", "room", "Ada").await;
    let path = format!("{}/bigbluebutton/api/getJoinUrl?sessionToken={}", ada.prefix, ada.token);
    let reply = stage.client().get_with(&host("small"), &path, &[("cookie", &ada.cookies)]).await;
    let json: serde_json::Value = serde_json::from_str(&reply.body).unwrap();
    let url = json["response"]["url"].as_str().unwrap_or_else(|| panic!("{json}"));
    let link = url.strip_prefix("https://small.localhost").unwrap_or_else(|| panic!("{url}"));
    assert!(!url.contains("checksum") && !url.contains("t.small"), "{url}");
    let second = stage.client().get_with(&host("small"), link, &[("cookie", &ada.cookies)]).await;
    assert_eq!(second.status, 302, "{}", second.body);
    assert!(second.header("location").starts_with("https://small.localhost/s/"), "{second:?}");
    assert!(stage.sims[0].log().iter().any(|request| request.param("existingUserID").is_some()));
    assert_eq!(key(&stage.client().get(&host("small"), link).await), "maxParticipantsReached");
    for forged in [
        link.replace("fullName=", "fullName=x"),
        link.replace("grant=", "grant=0"),
        link.replace("role=VIEWER", "role=MODERATOR"),
    ] {
        assert_eq!(key(&stage.client().get(&host("small"), &forged).await), "checksumError", "{forged}");
    }
    stage.api("small", "end", &[("meetingID", "room")]).await;
    create(&stage, &[]).await;
    assert_eq!(key(&stage.client().get(&host("small"), link).await), "checksumError", "that was for another run");
}

#[tokio::test(flavor = "multi_thread")]
async fn meetings_that_end_by_themselves_free_their_room() {
    let fast = sim::Config { speed: 600.0, ..sim::Config::default() };
    let stage = Plan::new().server_with("members", fast).tenant("small", "free").start().await;
    create(&stage, &[("meetingExpireIfNoUserJoinedInMinutes", "1")]).await;
    eventually("the room is free", async || stage.create("small", "another").await.xml("returncode") == "SUCCESS")
        .await;
}
