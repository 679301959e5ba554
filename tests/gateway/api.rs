//! The API as integrations use it: forms, bodies, ids, and what they get wrong.

use anteroom_bench::sign::{self, Algorithm};
use http::Request;

use crate::support::{Joined, Plan, Stage, eventually, host, secret};

async fn stage() -> Stage {
    Plan::new().server("members").tenant("wagtail", "multi-account").tenant("heron", "level-1").start().await
}

const FORM: &str = "application/x-www-form-urlencoded";

#[tokio::test(flavor = "multi_thread")]
async fn any_legal_id_goes_to_the_server_and_back() {
    let stage = stage().await;
    let long = "x".repeat(256);
    for id in ["ab", "with space", "Größe[719]", "a+b&c=d", "t.heron.room", "😀😀", "<xml>&amp;", "100%25", &long]
    {
        let created = stage.create("wagtail", id).await;
        assert_eq!(created.xml("returncode"), "SUCCESS", "{id}: {}", created.body);
        for call in ["getMeetingInfo", "create"] {
            let reply = stage.api("wagtail", call, &[("name", "same"), ("meetingID", id)]).await;
            let unescaped = reply.xml("meetingID").replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&");
            assert_eq!(unescaped, id, "{call}: {}", reply.body);
            assert!(!reply.body.contains("t.wagtail."), "{call}: {}", reply.body);
        }
        assert_eq!(stage.join("wagtail", id, "Ada").await.status, 302, "{id}");
        let other = stage.api("heron", "getMeetingInfo", &[("meetingID", id)]).await;
        assert_eq!(other.xml("messageKey"), "notFound", "{id}");
    }
    let list = stage.api("wagtail", "getMeetings", &[]).await;
    assert_eq!(list.body.matches("<meeting>").count(), 9);
    assert!(!list.body.contains("t.wagtail."), "{}", list.body);
}

#[tokio::test(flavor = "multi_thread")]
async fn create_takes_a_form_a_long_form_and_modules() {
    let stage = stage().await;
    let client = stage.client();
    let signed = |query: &str| {
        let checksum = sign::checksum("create", query, &secret("wagtail"), Algorithm::Sha256);
        format!("/bigbluebutton/api/create?{query}&checksum={checksum}")
    };
    let reply = client.post(&host("wagtail"), &signed("meetingID=form"), FORM, "name=A+form&welcome=hello").await;
    assert_eq!(reply.xml("returncode"), "SUCCESS", "{}", reply.body);
    assert_eq!(stage.on_server("wagtail", "form").unwrap().params["welcome"], "hello");

    // A client that signs an empty query and puts all into the form.
    let empty = sign::checksum("create", "", &secret("wagtail"), Algorithm::Sha1);
    let path = format!("/bigbluebutton/api/create?checksum={empty}");
    let long = format!("name=Long&meetingID=long&welcome={}", "w".repeat(50_000));
    let reply = client.post(&host("wagtail"), &path, "application/x-www-form-urlencoded;charset=UTF-8", long).await;
    assert_eq!(reply.xml("returncode"), "SUCCESS", "{}", reply.body);
    assert_eq!(stage.on_server("wagtail", "long").unwrap().params["welcome"].len(), 50_000);

    let form = format!("name=Form&meetingID=signed-form&checksum={empty}");
    let reply = client.post(&host("wagtail"), "/bigbluebutton/api/create", FORM, form).await;
    assert_eq!(reply.xml("returncode"), "SUCCESS", "{}", reply.body);
    let wrong = format!("name=Form&meetingID=wrong-form&checksum={}", "0".repeat(40));
    let reply = client.post(&host("wagtail"), "/bigbluebutton/api/create", FORM, wrong).await;
    assert_eq!(reply.xml("messageKey"), "checksumError", "{}", reply.body);

    let modules = "<modules><module name=\"presentation\"><document url=\"https://school.example/a.pdf\" filename=\"a.pdf\"/>\
                   </module><module name=\"clientSettingsOverride\"><![CDATA[{}]]></module></modules>";
    let path = signed("meetingID=slides&name=With+slides");
    let reply = client.post(&host("wagtail"), &path, "application/xml", modules).await;
    assert_eq!(reply.xml("returncode"), "SUCCESS", "{}", reply.body);
    let meeting = stage.on_server("wagtail", "slides").unwrap();
    assert_eq!(meeting.documents.len(), 1);
    assert!(meeting.settings_override_ignored.is_none(), "the override did not reach the server");
}

#[tokio::test(flavor = "multi_thread")]
async fn each_algorithm_and_each_secret_is_good() {
    let old = "heron-old-secret";
    let more = format!("---moodle = [\"heron-moodle\", \"{old}\"]");
    let stage = Plan::new().server("members").tenant_with("heron", "multi-account", &more).start().await;
    for (n, secret) in ["heron-secret", "heron-moodle", old].into_iter().enumerate() {
        for algorithm in [Algorithm::Sha1, Algorithm::Sha256, Algorithm::Sha384, Algorithm::Sha512] {
            let query = format!("meetingID=room-{n}&name=room");
            let checksum = sign::checksum("create", &query, secret, algorithm);
            for path in [format!("create?{query}&checksum={checksum}"), format!("create?checksum={checksum}&{query}")] {
                let reply = stage.client().get(&host("heron"), &format!("/bigbluebutton/api/{path}")).await;
                assert_eq!(reply.xml("returncode"), "SUCCESS", "{path}: {}", reply.body);
            }
        }
    }
    let log = stage.sims[0].log();
    let signed: Vec<_> = log.iter().filter(|seen| seen.call() == Some("create")).collect();
    assert!(!signed.is_empty());
    assert!(
        signed.iter().all(|seen| seen.param("checksum").is_some_and(|sum| sum.len() == 64)),
        "signed anew with SHA-256"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_wrong_with_a_call_is_said_as_bbb_says_it() {
    let stage = stage().await;
    stage.create("wagtail", "room").await;
    let signed = |call: &str, query: &str| {
        let checksum = sign::checksum(call, query, &secret("wagtail"), Algorithm::Sha256);
        let joint = if query.is_empty() { "" } else { "&" };
        format!("/bigbluebutton/api/{call}?{query}{joint}checksum={checksum}")
    };
    let good = signed("getMeetingInfo", "meetingID=room");
    let sum = good.rsplit('=').next().unwrap().to_owned();
    let other = sign::checksum("getMeetingInfo", "meetingID=room", &secret("heron"), Algorithm::Sha256);
    let long = "x".repeat(257);
    for (what, path, key, message) in [
        (
            "no checksum",
            "/bigbluebutton/api/getMeetingInfo?meetingID=room".to_owned(),
            "checksumError",
            "You must provide the checksum",
        ),
        (
            "another's secret",
            format!("/bigbluebutton/api/getMeetingInfo?meetingID=room&checksum={other}"),
            "checksumError",
            "Checksums do not match",
        ),
        ("a doubled checksum", format!("{good}&checksum={sum}"), "checksumError", "Checksums do not match"),
        ("another call's", good.replace("getMeetingInfo", "end"), "checksumError", "Checksums do not match"),
        ("something added", format!("{good}&x=1"), "checksumError", "Checksums do not match"),
        ("an encoded name", good.replace("checksum=", "%63hecksum="), "checksumError", "You must provide the checksum"),
        (
            "a doubled parameter",
            signed("create", "meetingID=a1&name=n1&meetingID=a2"),
            "validationError",
            "A parameter is given twice or cannot be read",
        ),
        (
            "no UTF-8",
            signed("create", "meetingID=%ff%fe&name=n1"),
            "validationError",
            "A parameter is given twice or cannot be read",
        ),
        ("no id", signed("create", "name=room"), "validationError", "Invalid meeting ID"),
        (
            "an empty id",
            signed("create", "name=room&meetingID="),
            "sizeError",
            "Meeting ID must be between 2 and 256 characters",
        ),
        (
            "a short id",
            signed("create", "name=room&meetingID=a"),
            "sizeError",
            "Meeting ID must be between 2 and 256 characters",
        ),
        (
            "a long id",
            signed("create", &format!("name=room&meetingID={long}")),
            "sizeError",
            "Meeting ID must be between 2 and 256 characters",
        ),
        (
            "control characters count for nothing",
            signed("create", "name=room&meetingID=%00%01%1fa"),
            "sizeError",
            "Meeting ID must be between 2 and 256 characters",
        ),
        ("a comma", signed("create", "name=room&meetingID=a%2Cb"), "validationError", "Meeting ID cannot contain ','"),
        ("no name", signed("create", "meetingID=nameless"), "nullError", "You must provide a meeting name"),
        (
            "a long name",
            signed("create", &format!("meetingID=longname&name={long}")),
            "sizeError",
            "Meeting name must be between 2 and 256 characters",
        ),
        (
            "a breakout room",
            signed("create", "meetingID=b1&name=b1&isBreakout=true"),
            "parentMeetingIDMissing",
            "No parent meeting ID was provided for the breakout room",
        ),
        (
            "other passwords",
            signed("create", "meetingID=room&name=room&moderatorPW=other&attendeePW=another"),
            "idNotUnique",
            "A meeting already exists with that meeting ID.  Please use a different meeting ID.",
        ),
        (
            "an unknown meeting",
            signed("getMeetingInfo", "meetingID=unknown"),
            "notFound",
            "A meeting with that ID does not exist",
        ),
        (
            "an unknown meeting's end",
            signed("end", "meetingID=unknown"),
            "notFound",
            "A meeting with that ID does not exist",
        ),
        ("no meeting", signed("getMeetingInfo", ""), "notFound", "A meeting with that ID does not exist"),
        (
            "a join to nowhere",
            signed("join", "meetingID=unknown&fullName=Ada&role=VIEWER"),
            "meetingForciblyEnded",
            "You can not join a meeting that has already been forcibly ended",
        ),
        (
            "a join without a name",
            signed("join", "meetingID=room&role=VIEWER"),
            "missingParamFullName",
            "You must provide your name",
        ),
        ("a call of hooks that never was", signed("hooks/get", ""), "validationError", "Request not recognized"),
        ("a call that never was", signed("nonsense", ""), "validationError", "Request not recognized"),
    ] {
        let reply = stage.client().get(&host("wagtail"), &path).await;
        assert_eq!(reply.status, 200, "{what}");
        let said = reply.xml("message").replace("&apos;", "'");
        assert_eq!((reply.xml("messageKey"), &*said), (key, message), "{what}: {}", reply.body);
        assert_eq!(reply.xml("returncode"), "FAILED", "{what}");
    }
    let path = signed("create", "meetingID=typed&name=typed");
    for (content_type, body) in [("text/plain", "x=1"), ("application/json", "{}"), ("", "x=1")] {
        let reply = stage.client().post(&host("wagtail"), &path, content_type, body).await;
        assert_eq!(reply.xml("messageKey"), "unsupportedContentType", "{content_type}: {}", reply.body);
    }
    let reply = stage.client().post(&host("wagtail"), &path, "text/xml", "<other/>").await;
    assert_eq!(reply.xml("messageKey"), "validationError", "{}", reply.body);
    let reply = stage.client().post(&host("wagtail"), &path, FORM, "x".repeat(3_000_000)).await;
    assert_eq!(reply.xml("messageKey"), "requestTooLarge", "{}", reply.body);
    eventually("checksum errors are counted", async || {
        stage.metrics().await.contains("anteroom_refusals_total{tenant=\"wagtail\",reason=\"checksumError\"} 6")
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_version_call_is_answered_in_all_its_forms() {
    let stage = stage().await;
    let client = stage.client();
    for path in [
        "/bigbluebutton",
        "/bigbluebutton/",
        "/bigbluebutton/api",
        "/bigbluebutton/api/",
        "/bigbluebutton/api/?&checksum=0123456789012345678901234567890123456789",
    ] {
        let reply = client.get(&host("wagtail"), path).await;
        assert_eq!((reply.status.as_u16(), reply.xml("version")), (200, "2.0"), "{path}");
        assert_eq!(reply.xml("graphqlWebsocketUrl"), "wss://wagtail.localhost/graphql");
        assert!(reply.header("content-type").starts_with("text/xml"));
    }
    stage.create("wagtail", "room").await;
    let prefix = stage.joined("wagtail", "room", "Ada").await.prefix;
    let path = format!("{prefix}/bigbluebutton/api");
    let json = client.get_with(&host("wagtail"), &path, &[("content-type", "application/json")]).await;
    let json: serde_json::Value = serde_json::from_str(&json.body).unwrap();
    let url = format!("wss://wagtail.localhost{prefix}/graphql");
    assert_eq!(json["response"]["graphqlWebsocketUrl"], url);
    assert_eq!(json["response"]["graphqlApiUrl"], format!("https://wagtail.localhost{prefix}/api/rest"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_join_without_a_redirect_names_the_tenants_host() {
    let stage = stage().await;
    stage.create("wagtail", "room").await;
    let params = [("meetingID", "room"), ("fullName", "Ada"), ("role", "MODERATOR"), ("redirect", "false")];
    let reply = stage.api("wagtail", "join", &params).await;
    assert_eq!(reply.xml("messageKey"), "successfullyJoined", "{}", reply.body);
    let token = reply.xml("session_token");
    assert!(reply.xml("url").starts_with("https://wagtail.localhost/s/"), "{}", reply.body);
    assert!(reply.xml("url").contains(&format!("/html5client/?sessionToken={token}")), "{}", reply.body);
    assert!(!reply.body.contains("internal.test") && !reply.body.contains("t.wagtail"), "{}", reply.body);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_join_of_one_browser_at_one_server_keeps_the_first_session() {
    let stage = stage().await;
    for room in ["one", "two"] {
        stage.create("wagtail", room).await;
    }
    let first = stage.joined("wagtail", "one", "Ada").await;
    let path = sign::path("join", &[("meetingID", "two"), ("fullName", "Ada"), ("role", "VIEWER")], &secret("wagtail"));
    let second = stage.client().get_with(&host("wagtail"), &path, &[("cookie", &first.cookies)]).await;
    assert_eq!(second.status, 302, "{}", second.body);
    let second = Joined { token: second.location_param("sessionToken"), ..first.clone() };
    stage.graphql("wagtail", &first).await.unwrap();
    stage.graphql("wagtail", &second).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_post_without_a_body_is_a_call_like_another() {
    let stage = stage().await;
    stage.create("wagtail", "room").await;
    let path = sign::path("isMeetingRunning", &[("meetingID", "room")], &secret("wagtail"));
    let reply = stage.client().send(&host("wagtail"), Request::post(path)).await;
    assert_eq!(reply.xml("running"), "false", "{}", reply.body);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_running_meeting_is_given_a_message_and_a_document() {
    let stage = stage().await;
    stage.create("wagtail", "room").await;
    let say = async |tenant: &str, message: &str| {
        let params = [("meetingID", "room"), ("message", message), ("userName", "Ada & Bo")];
        stage.api(tenant, "sendChatMessage", &params).await
    };
    assert_eq!(say("wagtail", "hello + welcome").await.xml("returncode"), "SUCCESS");
    let log = stage.sims[0].log();
    let seen = log.iter().rfind(|seen| seen.call() == Some("sendChatMessage")).unwrap();
    assert_eq!(seen.param("message").as_deref(), Some("hello + welcome"));
    assert_eq!(seen.param("userName").as_deref(), Some("Ada & Bo"));
    assert_eq!(say("heron", "hello").await.xml("messageKey"), "meetingNotFound", "another tenant's room");
    assert_eq!(say("wagtail", &"x".repeat(501)).await.xml("messageKey"), "sizeError");
    assert_eq!(say("wagtail", "").await.xml("messageKey"), "sizeError");

    let insert = async |tenant: &str, meeting: &str, content_type: &str| {
        let path = sign::path("insertDocument", &[("meetingID", meeting)], &secret(tenant));
        let body = "<modules><module name=\"presentation\"><document url=\"https://school.example/b.pdf\"/></module></modules>";
        stage.client().post(&host(tenant), &path, content_type, body).await
    };
    let inserted = insert("wagtail", "room", "application/xml;charset=UTF-8").await;
    assert_eq!(inserted.xml("message"), "Presentation is being uploaded", "{}", inserted.body);
    assert_eq!(stage.on_server("wagtail", "room").unwrap().documents.len(), 1);
    let other = insert("heron", "room", "application/xml").await;
    assert_eq!(other.xml("message"), "Meeting with id [room] not found.", "{}", other.body);
    assert_eq!(insert("wagtail", "room", FORM).await.xml("messageKey"), "unsupportedContentType");
    let unsigned = "/bigbluebutton/api/insertDocument?meetingID=room";
    let refused = stage.client().post(&host("wagtail"), unsigned, "text/xml", "<modules/>").await;
    assert_eq!(refused.xml("messageKey"), "checksumError");
}

#[tokio::test(flavor = "multi_thread")]
async fn levels_and_tenants_set_rules_of_their_own() {
    let level = std::fs::read_to_string("policies/custom.toml").unwrap().replace("\"custom\"", "\"members\"");
    let rules = "[create]\nwelcome = { default = \"Hello\" }\nmuteOnStart = { force = true }\nuserCameraCap = { at_most = 2 }\n\
                 disabledFeatures = { append = [\"polls\"] }\nguestPolicy = { one_of = [\"ASK_MODERATOR\"] }\n\
                 [join]\nuserdata-bbb_skip_check_audio = { force = true }\n";
    let stage = Plan::new()
        .server("members")
        .file("policies/ruled.toml", &format!("{level}\n{rules}"))
        .tenant("wagtail", "ruled")
        .tenant_with(
            "heron",
            "ruled",
            "---[create]\nwelcome = { force = \"Quack\" }\nsomethingNew = \"pass\"\nbannerText = \"drop\"",
        )
        .start()
        .await;
    let told = async |tenant: &str, more: &[(&str, &str)]| {
        let params = [&[("name", "room"), ("meetingID", "room")], more].concat();
        let created = stage.api(tenant, "create", &params).await;
        let params = stage.on_server(tenant, "room").map(|meeting| meeting.params);
        stage.api(tenant, "end", &[("meetingID", "room")]).await;
        params.ok_or(created.xml("message").to_owned())
    };
    let params =
        told("wagtail", &[("welcome", "Hi"), ("muteOnStart", "false"), ("somethingNew", "1"), ("bannerText", "b")])
            .await
            .unwrap();
    assert_eq!((&*params["welcome"], &*params["muteOnStart"], &*params["userCameraCap"]), ("Hi", "true", "2"));
    assert_eq!((&*params["disabledFeatures"], &*params["bannerText"]), ("polls", "b"));
    assert!(!params.contains_key("somethingNew"));
    let params = told("heron", &[("welcome", "Hi"), ("somethingNew", "1"), ("bannerText", "b")]).await.unwrap();
    assert_eq!((&*params["welcome"], &*params["somethingNew"], &*params["muteOnStart"]), ("Quack", "1", "true"));
    assert!(!params.contains_key("bannerText"));
    let refused = told("wagtail", &[("guestPolicy", "ALWAYS_ACCEPT")]).await.unwrap_err();
    assert_eq!(refused, "Param &apos;guestPolicy&apos; has a value that is not allowed");
    stage.create("wagtail", "room").await;
    stage.joined("wagtail", "room", "Ada").await;
    assert_eq!(stage.on_server("wagtail", "room").unwrap().joins[0]["userdata-bbb_skip_check_audio"], "true");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_secret_is_good_until_its_end_and_its_last_use_is_known() {
    let more = "---moodle = [\"moodle-new\", { secret = \"moodle-old\", name = \"old\", not_after = \"2099-12-31\" }, \
                { secret = \"moodle-gone\", name = \"gone\", not_after = \"2020-01-01\" }]";
    let stage = Plan::new().server("members").tenant_with("heron", "multi-account", more).start().await;
    for (secret, good) in [("moodle-new", true), ("moodle-old", true), ("moodle-gone", false)] {
        let path = sign::path("getMeetings", &[], secret);
        let reply = stage.client().get(&host("heron"), &path).await;
        assert_eq!(reply.xml("returncode") == "SUCCESS", good, "{secret}: {}", reply.body);
    }
    let metrics = stage.metrics().await;
    let used = |label: &str| {
        metrics.contains(&format!("anteroom_secret_last_used_timestamp_seconds{{tenant=\"heron\",{label}}} 1"))
    };
    assert!(used("account=\"moodle\",secret=\"1\"") && used("account=\"moodle\",secret=\"old\""), "{metrics}");
    assert!(
        !metrics.contains("gone") && !metrics.contains("moodle-"),
        "neither what was not used nor a secret: {metrics}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_that_is_too_long_for_a_server_is_told_so() {
    let stage = stage().await;
    let body = "<modules><module name=\"presentation\"/></modules>";
    let long = "w".repeat(20_000);
    let path = sign::path("create", &[("name", "room"), ("meetingID", "room"), ("welcome", &long)], &secret("wagtail"));
    let reply = stage.client().post(&host("wagtail"), &path, "application/xml", body).await;
    assert_eq!(reply.xml("messageKey"), "requestTooLarge", "{}", reply.body);
    assert_eq!(stage.create("wagtail", "room").await.xml("messageKey"), "", "and the room is free");
    let name = "n".repeat(9_000);
    let params = [("meetingID", "room"), ("fullName", &*name), ("role", "VIEWER"), ("redirect", "false")];
    let reply = stage.api("wagtail", "join", &params).await;
    assert_eq!(reply.xml("messageKey"), "requestTooLarge", "{}", reply.body);
}
