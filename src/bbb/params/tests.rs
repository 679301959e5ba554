use std::{collections::BTreeMap, sync::Arc};

use super::*;
use crate::domain::{
    fixtures::limits,
    rules::{Changes, Of, held_by, names},
};

fn changes(create: &[(&str, Rule)]) -> Arc<Rules> {
    let create = create.iter().map(|(name, rule)| ((*name).into(), rule.clone())).collect();
    Rules::shipped().with(&Changes { create, join: BTreeMap::new() })
}

fn sent(query: &str, limits: &Limits, rules: &Rules) -> Result<Create, Failure> {
    create(&Params::parse(query.as_bytes()).expect("a query"), limits, rules, &[])
}

/// The value that the server gets for one parameter.
fn value(query: &str, name: &str, limits: &Limits) -> Option<String> {
    sent(query, limits, &Rules::shipped()).expect("accepted").params.get(name).map(str::to_owned)
}

#[test]
fn numbers_are_the_minimum_of_asked_and_allowed() {
    let small = limits(); // 4 participants, 60 minutes
    for (query, name, expected) in [
        ("", "maxParticipants", "4"),
        ("maxParticipants=3", "maxParticipants", "3"),
        ("maxParticipants=5", "maxParticipants", "4"),
        ("maxParticipants=0", "maxParticipants", "4"),
        ("maxParticipants=-1", "maxParticipants", "4"),
        ("maxParticipants=99999999999999999999", "maxParticipants", "4"),
        ("", "duration", "60"),
        ("duration=30", "duration", "30"),
        ("duration=61", "duration", "60"),
        ("duration=0", "duration", "60"),
        ("duration=", "duration", "60"),
        ("duration=abc", "duration", "60"),
        ("maxParticipants=1.5", "maxParticipants", "4"),
        ("meetingExpireWhenLastUserLeftInMinutes=100000", "meetingExpireWhenLastUserLeftInMinutes", "30"),
        ("", "meetingExpireWhenLastUserLeftInMinutes", "1"),
        ("meetingExpireIfNoUserJoinedInMinutes=0", "meetingExpireIfNoUserJoinedInMinutes", "60"),
    ] {
        assert_eq!(value(query, name, &small).as_deref(), Some(expected), "{query}");
    }
}

#[test]
fn a_hint_at_the_size_of_a_meeting_is_a_number_or_nothing() {
    for (query, hint) in [
        ("", None),
        ("meta_bbb-meeting-size-hint=40", Some(40)),
        ("meta_BBB-Meeting-Size-Hint=40", Some(40)),
        ("meta_bbb-meeting-size-hint=99999999999999999999", Some(u32::MAX)),
        ("meta_bbb-meeting-size-hint=0", None),
        ("meta_bbb-meeting-size-hint=-1", None),
        ("meta_bbb-meeting-size-hint=many", None),
        ("meta_bbb-meeting-size-hint=", None),
        ("meta_size-hint=40", None),
    ] {
        let sent = sent(query, &limits(), &Rules::shipped()).expect("accepted");
        assert_eq!(sent.size_hint, hint, "{query}");
    }
}

#[test]
fn a_level_without_recording_forces_each_flag_off() {
    let mut level = limits();
    let query = "record=true&autoStartRecording=true&allowStartStopRecording=true\
                 &recordFullDurationMedia=true&meetingKeepEvents=true&breakoutRoomsRecord=true";
    for name in query.split('&').filter_map(|pair| pair.split('=').next()) {
        assert_eq!(value(query, name, &level).as_deref(), Some("false"), "{name}");
    }
    assert_eq!(value("", "record", &level).as_deref(), Some("false"), "asked for or not");
    let forced = changes(&[("record", Rule::Force("true".into()))]);
    assert!(!sent("", &level, &forced).expect("accepted").records, "not by a rule either");
    level.recording = Recording::PerRoom;
    assert_eq!(value(query, "record", &level).as_deref(), Some("true"));
    assert_eq!(value("", "record", &level), None);
    assert!(sent("record=TRUE", &level, &Rules::shipped()).expect("accepted").records);
    level.breakouts = true;
    for (query, expected) in
        [("breakoutRoomsRecord=true", "false"), ("breakoutRoomsRecord=true&record=true", "true"), ("", "false")]
    {
        assert_eq!(value(query, "breakoutRoomsRecord", &level).as_deref(), Some(expected), "{query}");
    }
}

#[test]
fn what_reaches_round_a_limit_does_not_go_on() {
    let small = limits();
    for (query, name) in [
        ("disabledFeaturesExclude=breakoutRooms", "disabledFeaturesExclude"),
        ("presentationUploadExternalDescription=x", "presentationUploadExternalDescription"),
        ("allowRequestsWithoutSession=true", "allowRequestsWithoutSession"),
        ("clientSettingsOverrideJsonUrl=https://a.b", "clientSettingsOverrideJsonUrl"),
        ("pluginManifests=[]", "pluginManifests"),
        ("voiceBridge=12345", "voiceBridge"),
        ("dialNumber=1", "dialNumber"),
        ("meta_endCallbackUrl=https://a.b", "meta_endCallbackUrl"),
        ("meta_endcallbackurl=https://a.b", "meta_endcallbackurl"),
        ("somethingNew=1", "somethingNew"),
        ("meta_=1", "meta_"),
    ] {
        assert_eq!(value(query, name, &small), None, "{query}");
    }
    for (query, expected) in [
        ("", "breakoutRooms"),
        ("disabledFeatures=breakoutRooms&disabledFeaturesExclude=breakoutRooms", "breakoutRooms"),
        ("disabledFeatures=chat", "chat,breakoutRooms"),
        ("disabledFeatures=breakoutRooms,chat", "breakoutRooms,chat"),
        ("disabledFeatures=chat,+breakoutRooms%01,", "chat,breakoutRooms"),
        // What Java does not trim is another feature to it.
        ("disabledFeatures=%C2%A0breakoutRooms", "\u{a0}breakoutRooms,breakoutRooms"),
        ("disabledFeatures=breakoutRooms%E3%80%80,chat", "breakoutRooms\u{3000},chat,breakoutRooms"),
        ("disabledFeatures=breakoutrooms", "breakoutrooms,breakoutRooms"),
    ] {
        assert_eq!(value(query, "disabledFeatures", &small).as_deref(), Some(expected));
    }
    let with_rooms = Limits { breakouts: true, ..limits() };
    for (query, expected) in [("", None), ("disabledFeatures=chat", Some("chat"))] {
        assert_eq!(value(query, "disabledFeatures", &with_rooms).as_deref(), expected, "where the level has them");
    }
    let inside = sent("preUploadedPresentation=https://127.0.0.1/a.pdf", &small, &Rules::shipped());
    assert_eq!(inside, Err(Failure::param("preUploadedPresentation")));
}

#[test]
fn a_rule_of_slides_opens_no_network() {
    let inside = "preUploadedPresentation=https://127.0.0.1/a.pdf";
    let default = Rule::Default("https://127.0.0.1/own.pdf".into());
    for (rule, accepted, fetched) in [
        (default.clone(), false, false),
        (Rule::Check(Check::Boolean), false, false),
        (Rule::Force("https://127.0.0.1/own.pdf".into()), true, false),
        (Rule::Drop, true, false),
        (Rule::Pass, true, true),
    ] {
        let rules = changes(&[("preUploadedPresentation", rule.clone())]);
        assert_eq!(sent(inside, &limits(), &rules).is_ok(), accepted, "{rule:?}");
        assert_eq!(may_fetch(&rules, "https://127.0.0.1/a.pdf"), fetched, "{rule:?}");
    }
    let own = sent("", &limits(), &changes(&[("preUploadedPresentation", default)])).expect("the operator's own");
    assert_eq!(own.params.get("preUploadedPresentation"), Some("https://127.0.0.1/own.pdf"));
}

#[test]
fn people_are_led_to_pages_only() {
    for (address, is) in [
        ("https://school.example/bye?m=%%MEETINGID%%", true),
        ("http://school.example", true),
        ("HTTPS://school.example/", true),
        ("javascript:alert(1)", false),
        ("JavaScript://school.example/%0aalert(1)", false),
        ("data:text/html,x", false),
        ("intent://school.example", false),
        ("//school.example/", false),
        ("/bye", false),
        ("https:school.example", false),
        ("https:///school.example", false),
        ("https://", false),
        ("ht\ttps://school.example", false),
        (" https://school.example", false),
    ] {
        assert_eq!(is_web_url(address), is, "{address}");
    }
    let rules = Rules::shipped();
    for (name, value, accepted) in [
        ("logoutURL", "javascript:x", false),
        ("loginURL", "javascript:x", false),
        ("logoutURL", "https://school.example/", true),
        ("logoutURL", "", true),
    ] {
        let mut asked = Params::default();
        asked.set(name, value);
        assert_eq!(create(&asked, &limits(), &rules, &[]).is_ok(), accepted, "create {name}={value}");
    }
    for name in ["logoutURL", "errorRedirectUrl"] {
        let mut asked = Params::default();
        asked.set(name, "javascript:x");
        assert_eq!(join(&asked, &limits(), &rules, &[]), Err(Failure::param(name)), "join");
    }
}

#[test]
fn metadata_of_a_recording_keep_to_the_rules() {
    let rules = changes(&[
        ("meta_owner", Rule::Force("me".into())),
        ("meta_kind", Rule::Check(Check::OneOf(vec!["a".into()]))),
    ]);
    for (name, value, may) in [
        ("meta_title", "x", true),
        ("meta_OWNER", "you", false),
        ("meta_kind", "a", true),
        ("meta_kind", "b", false),
        ("meta_endCallbackUrl", "x", false),
        ("name", "x", true),
    ] {
        assert_eq!(may_set(&rules, name, value), may, "{name}={value}");
    }
}

#[test]
fn a_join_cannot_borrow_a_session() {
    let asked = Params::parse(
        b"fullName=Ada&meetingID=room&bot=true&existingUserID=w_1&replaceSessionToken=x&userdata-bbb_x=1",
    )
    .expect("a query");
    let params = join(&asked, &limits(), &Rules::shipped(), &[]).expect("accepted");
    assert_eq!(params.encode(), "fullName=Ada&meetingID=room&bot=true&userdata-bbb_x=1");
}

#[test]
fn each_rule_that_a_level_sets_does_what_it_says() {
    let rules = changes(&[
        ("welcome", Rule::Default("Hello".into())),
        ("muteOnStart", Rule::Force("true".into())),
        ("userCameraCap", Rule::AtMost { most: 2, unasked: 2 }),
        ("meetingExpireIfNoUserJoinedInMinutes", Rule::AtMost { most: 3, unasked: 3 }),
        ("disabledFeatures", Rule::Append(vec!["polls".into()])),
        ("guestPolicy", Rule::Check(Check::OneOf(vec!["ASK_MODERATOR".into()]))),
        ("logoutTimer", Rule::Check(Check::Integer)),
        ("bannerText", Rule::Drop),
        ("somethingNew", Rule::Pass),
        ("meta_Owner", Rule::Force("me".into())),
    ]);
    for (query, name, expected) in [
        ("", "welcome", Some("Hello")),
        ("welcome=", "welcome", Some("Hello")),
        ("welcome=Hi", "welcome", Some("Hi")),
        ("", "muteOnStart", Some("true")),
        ("muteOnStart=false", "muteOnStart", Some("true")),
        ("", "userCameraCap", Some("2")),
        ("userCameraCap=1", "userCameraCap", Some("1")),
        ("userCameraCap=0", "userCameraCap", Some("2")),
        ("userCameraCap=9", "userCameraCap", Some("2")),
        ("", "meetingExpireIfNoUserJoinedInMinutes", Some("3")),
        ("", "disabledFeatures", Some("polls,breakoutRooms")),
        ("disabledFeatures=chat,polls", "disabledFeatures", Some("chat,polls,breakoutRooms")),
        ("guestPolicy=ask_moderator", "guestPolicy", Some("ASK_MODERATOR")),
        ("bannerText=x", "bannerText", None),
        ("somethingNew=1", "somethingNew", Some("1")),
        ("meta_OWNER=you", "meta_owner", Some("me")),
        ("meta_Title=x", "meta_title", Some("x")),
        ("meta_Title=x", "meta_Title", None),
    ] {
        let create = sent(query, &limits(), &rules).expect("accepted");
        assert_eq!(create.params.get(name), expected, "{query}");
    }
    for (query, name) in [
        ("guestPolicy=ALWAYS_ACCEPT", "guestPolicy"),
        ("logoutTimer=x", "logoutTimer"),
        // One parameter to BBB, which takes either.
        ("meta_title=x&meta_Title=y", "meta_Title"),
        ("meta_tITLE=x&meta_Title=y", "meta_Title"),
    ] {
        assert_eq!(sent(query, &limits(), &rules), Err(Failure::param(name)));
    }
}

#[test]
fn what_a_caller_excludes_comes_off_its_own_list_only() {
    let level = Limits { breakouts: true, ..limits() };
    let polls = changes(&[("disabledFeatures", Rule::Append(vec!["polls".into()]))]);
    for (query, own, with_polls) in [
        ("disabledFeatures=chat,presentation&disabledFeaturesExclude=presentation", Some("chat"), "chat,polls"),
        ("disabledFeatures=+chat+,+presentation&disabledFeaturesExclude=+presentation+,x", Some("chat"), "chat,polls"),
        ("disabledFeatures=chat,polls&disabledFeaturesExclude=polls", Some("chat"), "chat,polls"),
        ("disabledFeatures=chat&disabledFeaturesExclude=chat", Some(""), "polls"),
        ("disabledFeatures=chat&disabledFeaturesExclude=Chat", Some("chat"), "chat,polls"),
        ("disabledFeatures=chat&disabledFeaturesExclude=", Some("chat"), "chat,polls"),
        ("disabledFeaturesExclude=polls", None, "polls"),
        ("breakoutRoomsEnabled=false", Some("breakoutRooms"), "breakoutRooms,polls"),
        ("breakoutRoomsEnabled=0&disabledFeatures=chat", Some("chat,breakoutRooms"), "chat,breakoutRooms,polls"),
        ("breakoutRoomsEnabled=True", None, "polls"),
    ] {
        let shipped = sent(query, &level, &Rules::shipped()).expect("accepted").params;
        assert_eq!(shipped.get("disabledFeatures"), own, "{query}");
        assert_eq!((shipped.get("disabledFeaturesExclude"), shipped.get("breakoutRoomsEnabled")), (None, None));
        let level = sent(query, &level, &polls).expect("accepted").params;
        assert_eq!(level.get("disabledFeatures"), Some(with_polls), "{query}");
    }
}

#[test]
fn what_has_a_meaning_together_goes_on_together() {
    let own = [
        ("preUploadedPresentation", "https://meet.example/own.pdf".to_owned()),
        ("preUploadedPresentationName", "own.pdf".to_owned()),
        ("logo", "https://meet.example/light.svg".to_owned()),
        ("darklogo", "https://meet.example/dark.svg".to_owned()),
    ];
    let drop = changes(&[("preUploadedPresentation", Rule::Drop)]);
    let pdf = "preUploadedPresentation=https%3A%2F%2Fschool.example%2Fa.docx&preUploadedPresentationName=a.docx";
    for (query, rules, name, expected) in [
        (pdf, &Rules::shipped(), "preUploadedPresentationName", Some("a.docx")),
        ("preUploadedPresentationName=a.docx", &Rules::shipped(), "preUploadedPresentationName", Some("own.pdf")),
        (pdf, &drop, "preUploadedPresentationName", Some("own.pdf")),
        ("", &Rules::shipped(), "darklogo", Some("https://meet.example/dark.svg")),
        ("logo=https://school.example/l.svg", &Rules::shipped(), "darklogo", None),
        ("darklogo=https://school.example/d.svg", &Rules::shipped(), "logo", Some("https://meet.example/light.svg")),
    ] {
        let asked = Params::parse(query.as_bytes()).expect("a query");
        let sent = create(&asked, &limits(), rules, &own).expect("accepted").params;
        assert_eq!(sent.get(name), expected, "{query}");
    }
    let alone = sent("preUploadedPresentationName=a.docx", &limits(), &Rules::shipped()).expect("accepted");
    assert_eq!(alone.params.get("preUploadedPresentationName"), None);
}

#[test]
fn each_rule_that_is_accepted_has_an_effect() {
    let rules = || {
        [
            Rule::Pass,
            Rule::Drop,
            Rule::Default("some".into()),
            Rule::Force("some".into()),
            Rule::AtMost { most: 3, unasked: 3 },
            Rule::Append(vec!["some".into()]),
            Rule::Check(Check::Boolean),
            Rule::Check(Check::Integer),
            Rule::Check(Check::PublicUrl),
            Rule::Check(Check::OneOf(vec!["true".into()])),
        ]
    };
    let level = Limits { recording: Recording::PerRoom, breakouts: true, ..limits() };
    let values = ["true", "other", "9", "", "https://127.0.0.1/a.pdf", "https://school.example/a.pdf"];
    for of in [Of::Create, Of::Join] {
        for name in names(of).chain(["meta_x", "lockSettingsX", "userdata-x", "unheardOf", "clientSettingsOverride"]) {
            for rule in rules() {
                if held_by(of, name, &rule).is_some() || Rules::shipped().of(of).has(name, &rule) {
                    continue;
                }
                let (mut create, mut join) = (BTreeMap::new(), BTreeMap::new());
                match of {
                    Of::Create => create.insert(name.into(), rule.clone()),
                    Of::Join => join.insert(name.into(), rule.clone()),
                };
                let changed = Rules::shipped().with(&Changes { create, join });
                let made = |rules: &Rules, value: Option<&str>| {
                    let mut asked = Params::default();
                    if name == PRESENTATION_NAME {
                        asked.set(PRESENTATION, "https://school.example/a.pdf");
                    }
                    if let Some(value) = value {
                        asked.set(name, value);
                    }
                    match of {
                        Of::Create => {
                            let created = super::create(&asked, &level, rules, &[]);
                            created.map(|create| (create.params, callbacks(&asked, rules).len()))
                        }
                        Of::Join => super::join(&asked, &level, rules, &[]).map(|params| (params, 0)),
                    }
                };
                let asked = values.iter().map(|value| Some(*value)).chain([None]);
                let has_effect = asked.into_iter().any(|value| made(&Rules::shipped(), value) != made(&changed, value));
                assert!(has_effect, "{name} = {rule:?}");
            }
        }
    }
}
