//! Parameters and modules that newer releases of BBB have: which of them reach a server.

use anteroom_bench::{
    sign,
    sim::{self, Profile},
};

use crate::support::{Plan, Reply, Stage, host, secret};

const TENANT: &str = "wagtail";

/// A tenant with a server of 4.0.
async fn stage(more: &str) -> Stage {
    let config = sim::Config { profile: Profile::V4_0, ..sim::Config::default() };
    Plan::new().server_with("members", config).tenant_with(TENANT, "multi-account", more).start().await
}

async fn create(stage: &Stage, more: &[(&str, &str)]) -> Reply {
    stage.api(TENANT, "end", &[("meetingID", "room")]).await;
    stage.api(TENANT, "create", &[&[("name", "room"), ("meetingID", "room")], more].concat()).await
}

/// What the server gets of a parameter.
async fn sent(stage: &Stage, name: &str, value: &str) -> Option<String> {
    let created = create(stage, &[(name, value)]).await;
    assert_eq!(created.xml("returncode"), "SUCCESS", "{name}={value}: {}", created.body);
    stage.on_server(TENANT, "room").unwrap().params.get(name).cloned()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_3_0_39_and_4_0_know_reaches_the_server() {
    let stage = stage("").await;
    for (name, value) in [
        ("lockSettingsPresenterPolicy", "freeForAll"),
        ("requireUserConsentBeforeUnmuting", "true"),
        ("notifyRecordingAppend", "It is kept for a year."),
        ("multiUserWhiteboardEnabled", "true"),
        ("sharedNotesEditor", "blockNote"),
        ("sharedNotesInitialContentMarkdown", "# Agenda\n\n- one"),
        ("sharedNotesInitialContentMarkdownUrl", "https://93.184.216.34/agenda.md"),
        ("sharedNotesInitialContentJsonUrl", "https://93.184.216.34/agenda.json"),
        ("breakoutRoomsCaptureNotes", "true"),
        ("breakoutRoomsCaptureNotesFilename", "%%CONFNAME%%"),
        ("breakoutRoomsCaptureSlides", "true"),
        ("breakoutRoomsCaptureSlidesFilename", "%%CONFNAME%%"),
        ("meetingLayout", "UNIFIED_LAYOUT"),
        ("meetingLayout", "CAMERAS_ONLY"),
        ("meetingLayout", "PARTICIPANTS_AND_CHAT_ONLY"),
        ("meetingLayout", "PRESENTATION_ONLY"),
        ("meetingLayout", "MEDIA_ONLY"),
    ] {
        let expected = value.replace('\n', "");
        let got = sent(&stage, name, value).await.map(|got| got.replace('\n', ""));
        assert_eq!(got.as_deref(), Some(&*expected), "{name}");
    }
    for (name, value, expected) in [
        ("maxNumPages", "5000", None),
        ("plugin_quiz-url", "https://evil.example/quiz.js", None),
        ("presentationConversionCacheEnabled", "false", None),
        ("pluginManifests", "[]", None),
        ("meetingLayout", "SMART_LAYOUT", None),
    ] {
        assert_eq!(sent(&stage, name, value).await.as_deref(), expected, "{name}={value}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_placeholder_of_a_plugin_is_the_operators_to_allow() {
    let stage = stage("---[create]\nplugin_quiz-url = \"pass\"").await;
    assert_eq!(sent(&stage, "plugin_quiz-url", "https://quiz.example").await.as_deref(), Some("https://quiz.example"));
    assert_eq!(sent(&stage, "plugin_other-url", "https://quiz.example").await, None);
}

#[tokio::test(flavor = "multi_thread")]
async fn notes_come_from_public_addresses_only() {
    let stage = stage("").await;
    for name in ["sharedNotesInitialContentMarkdownUrl", "sharedNotesInitialContentJsonUrl"] {
        for address in
            ["https://127.0.0.1/a", "http://169.254.169.254/latest", "https://redis/a", "file:///etc/passwd", "x"]
        {
            let refused = create(&stage, &[(name, address)]).await;
            assert_eq!(refused.xml("messageKey"), "validationError", "{name}={address}: {}", refused.body);
        }
    }
    assert!(stage.sims[0].meetings().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn notes_come_in_a_body_as_well_unless_the_level_has_it_otherwise() {
    let settings = "<module name=\"clientSettingsOverride\"><![CDATA[{\"public\":{}}]]></module>";
    let body = format!(
        "<modules><module name=\"sharedNotesInitialContentMarkdown\"><![CDATA[# <Agenda>]]></module>{settings}\
         <module name=\"sharedNotesInitialContentJson\"><![CDATA[[]]]></module></modules>"
    );
    for (more, expected) in [
        ("", &["sharedNotesInitialContentJson", "sharedNotesInitialContentMarkdown"][..]),
        ("---[create]\nsharedNotesInitialContentJson = \"drop\"", &["sharedNotesInitialContentMarkdown"]),
    ] {
        let stage = stage(more).await;
        let path = sign::path("create", &[("name", "room"), ("meetingID", "room")], &secret(TENANT));
        let created = stage.client().post(&host(TENANT), &path, "application/xml", body.clone()).await;
        assert_eq!(created.xml("returncode"), "SUCCESS", "{}", created.body);
        let meeting = stage.on_server(TENANT, "room").unwrap();
        assert!(meeting.notes.keys().eq(expected), "{:?}", meeting.notes);
        assert_eq!(meeting.notes["sharedNotesInitialContentMarkdown"], "# <Agenda>");
        assert_eq!(meeting.settings_override_ignored, None);
    }
}
