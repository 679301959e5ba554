//! What becomes of each parameter of `create` and `join` on its way to a server: one table, one rule each.
//!
//! What is not in a table is dropped: each release of BBB adds parameters with reach (bbb.md 4).

use std::time::Duration;

use super::{answer::Failure, query::Params};
use crate::domain::limits::{Limit, Limits, Recording};

/// What becomes of one parameter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Rule {
    /// It goes on as it is.
    Pass,
    /// It does not go on.
    Drop,
    /// A number that the level bounds; BBB takes 0, less and nothing as "no bound", the level does not.
    Participants,
    /// Minutes that the level bounds, likewise.
    DurationMinutes,
    /// `true` only where the level allows recording.
    RecordingFlag,
    /// Minutes from 1 to this many; BBB takes 0 as "never".
    MinutesAtMost(u32),
    /// A list (`a,b`) to which this is added.
    Append(&'static str),
    /// It is refused.
    Refuse(Failure),
}

use Rule::{Append, Drop, DurationMinutes, MinutesAtMost, Participants, Pass, RecordingFlag, Refuse};

/// Rules of `create` (bbb.md 4). A name that ends in `*` stands for all that begin with it.
const CREATE: &[(&str, Rule)] = &[
    ("name", Pass),
    ("meetingID", Pass),
    ("attendeePW", Pass),
    ("moderatorPW", Pass),
    ("welcome", Pass),
    ("moderatorOnlyMessage", Pass),
    ("dialNumber", Pass),
    ("voiceBridge", Drop), // must be unique on the server, and a dial-in PIN must not be guessable
    ("webVoice", Drop),
    ("maxParticipants", Participants),
    ("duration", DurationMinutes),
    ("record", RecordingFlag),
    ("autoStartRecording", RecordingFlag),
    ("allowStartStopRecording", RecordingFlag),
    ("recordFullDurationMedia", RecordingFlag),
    ("meetingKeepEvents", RecordingFlag), // keeps the events of meetings that are not recorded
    ("breakoutRoomsRecord", RecordingFlag),
    ("notifyRecordingIsOn", Pass),
    ("isBreakout", Refuse(Failure::BREAKOUT)), // would choose its own internal id
    ("parentMeetingID", Drop),
    ("sequence", Drop),
    ("freeJoin", Drop),
    ("breakoutRoomsEnabled", Drop),
    ("breakoutRoomsPrivateChatEnabled", Pass),
    // Breakout rooms have no limit of their own and their links name the server.
    ("disabledFeatures", Append("breakoutRooms")),
    ("disabledFeaturesExclude", Drop), // would enable again what is disabled
    ("guestPolicy", Pass),
    ("allowPromoteGuestToModerator", Pass),
    // Called by the server, with its own ids and signed with its own secret: until the gateway stands in between.
    ("meta_endCallbackUrl", Drop),
    ("meta_bbb-recording-ready-url", Drop),
    ("meta_bn-recording-ready-url", Drop),
    ("meta_canvas-recording-ready-url", Drop),
    ("meta_analytics-callback-url", Drop),
    ("meta_*", Pass),
    ("logoutURL", Pass),
    ("loginURL", Pass),
    ("bannerText", Pass),
    ("bannerColor", Pass),
    ("logo", Pass),
    ("darklogo", Pass),
    ("copyright", Pass),
    ("muteOnStart", Pass),
    ("webcamsOnlyForModerator", Pass),
    ("allowModsToUnmuteUsers", Pass),
    ("allowModsToEjectCameras", Pass),
    ("lockSettings*", Pass),
    ("userCameraCap", Pass),
    ("meetingCameraCap", Pass),
    ("maxPinnedCameras", Pass),
    ("meetingLayout", Pass),
    ("endWhenNoModerator", Pass),
    ("endWhenNoModeratorDelayInMinutes", Pass),
    // An empty room holds a place: as long as BBB's own defaults allow, and some patience.
    ("meetingExpireIfNoUserJoinedInMinutes", MinutesAtMost(60)),
    ("meetingExpireWhenLastUserLeftInMinutes", MinutesAtMost(30)),
    ("learningDashboardCleanupDelayInMinutes", MinutesAtMost(60)),
    ("learningDashboardEnabled", Pass),
    ("virtualBackgroundsDisabled", Pass),
    ("logoutTimer", Pass),
    ("groups", Pass),
    ("preUploadedPresentation", Pass),
    ("preUploadedPresentationName", Pass),
    ("preUploadedPresentationOverrideDefault", Pass),
    ("presentationUploadExternalUrl", Drop), // skips every check of the server (bbb.md 1, row 2)
    ("presentationUploadExternalDescription", Drop),
    ("allowRequestsWithoutSession", Drop),
    ("pluginManifests", Drop), // code of others in the tenant's origin
    ("pluginManifestsFetchUrl", Drop),
    ("clientSettingsOverrideJsonUrl", Drop), // can point the client to another host
    ("cameraBridge", Drop),
    ("screenShareBridge", Drop),
    ("audioBridge", Drop),
];

/// Rules of `join` (bbb.md 5).
const JOIN: &[(&str, Rule)] = &[
    ("fullName", Pass),
    ("meetingID", Pass),
    ("role", Pass),
    ("password", Pass),
    ("createTime", Pass),
    ("userID", Pass),
    ("firstName", Pass),
    ("lastName", Pass),
    ("avatarURL", Pass),
    ("webcamBackgroundURL", Pass),
    ("redirect", Pass),
    ("errorRedirectUrl", Pass),
    ("logoutURL", Pass),
    ("guest", Pass),
    ("auth", Pass),
    ("bot", Drop), // would not be counted
    ("excludeFromDashboard", Pass),
    ("enforceLayout", Pass),
    ("defaultLayout", Pass),
    ("userdata-*", Pass),
    ("existingUserID", Drop), // takes over a session, of any meeting, without a check
    ("replaceSessionToken", Drop),
    ("sessionName", Drop),
];

/// The parameters of a `create` for the server.
#[derive(Debug, PartialEq, Eq)]
pub struct Create {
    /// What is sent.
    pub params: Params,
    /// The participants that the meeting may have: the minimum of what was asked and what is allowed.
    pub participants: Limit<u32>,
}

/// Applies the rules of `create`. `home` is where people go who leave the meeting, unless the caller says otherwise:
/// BBB's own default is the server.
///
/// # Errors
/// The refusal in BBB's words.
pub fn create(asked: &Params, limits: &Limits, home: &str) -> Result<Create, Failure> {
    let mut params = apply(CREATE, asked, limits)?;
    let participants = limits.participants.clamp(positive(asked, "maxParticipants"));
    params.set("maxParticipants", number(participants));
    let duration = match limits.duration {
        Limit::AtMost(duration) => Limit::AtMost(minutes(duration)),
        Limit::Unlimited => Limit::Unlimited,
    };
    params.set("duration", number(duration.clamp(positive(asked, "duration"))));
    if limits.recording == Recording::Never {
        for (name, rule) in CREATE {
            if *rule == RecordingFlag {
                params.set(name, "false");
            }
        }
    }
    for (name, rule) in CREATE {
        if let Append(feature) = rule
            && params.get(name).is_none()
        {
            params.set(name, *feature);
        }
    }
    if params.get("logoutURL").is_none_or(str::is_empty) {
        params.set("logoutURL", home);
    }
    Ok(Create { params, participants })
}

/// Applies the rules of `join`.
///
/// # Errors
/// The refusal in BBB's words.
pub fn join(asked: &Params, limits: &Limits) -> Result<Params, Failure> {
    apply(JOIN, asked, limits)
}

fn apply(table: &[(&str, Rule)], asked: &Params, limits: &Limits) -> Result<Params, Failure> {
    let mut params = Params::default();
    for (name, value) in asked.iter() {
        let Some(rule) = rule_of(table, name) else { continue };
        let value = match rule {
            Pass => value.to_owned(),
            // Set by the caller from the limits, asked for or not.
            Drop | Participants | DurationMinutes => continue,
            RecordingFlag if limits.recording == Recording::Never => continue,
            RecordingFlag => value.to_owned(),
            MinutesAtMost(most) => positive(asked, name).unwrap_or(most).min(most).to_string(),
            Append(feature) => append(value, feature),
            Refuse(_) if value.is_empty() || value.eq_ignore_ascii_case("false") => continue,
            Refuse(failure) => return Err(failure),
        };
        params.set(name, value);
    }
    Ok(params)
}

fn rule_of(table: &[(&str, Rule)], name: &str) -> Option<Rule> {
    table
        .iter()
        .find(|(pattern, _)| match pattern.strip_suffix('*') {
            Some(start) => name.len() > start.len() && name.starts_with(start),
            // BBB reads the names of metadata without their case.
            None if pattern.starts_with("meta_") => pattern.eq_ignore_ascii_case(name),
            None => *pattern == name,
        })
        .map(|(_, rule)| *rule)
}

/// A parameter that counts: `None` where it is missing, no number, zero or negative, all of which BBB takes as "no
/// bound" or as its own default (bbb.md 2.4, 7).
fn positive(params: &Params, name: &str) -> Option<u32> {
    let value = params.get(name).filter(|value| !value.is_empty() && value.bytes().all(|b| b.is_ascii_digit()))?;
    // More than fits is as much as fits: the level bounds it anyway.
    Some(value.parse().unwrap_or(u32::MAX)).filter(|n| *n > 0)
}

fn number(limit: Limit<u32>) -> String {
    match limit {
        Limit::AtMost(n) => n.to_string(),
        Limit::Unlimited => "0".to_owned(),
    }
}

/// Whole minutes, at least one: BBB counts no seconds.
fn minutes(duration: Duration) -> u32 {
    u32::try_from(duration.as_secs() / 60).unwrap_or(u32::MAX).max(1)
}

fn append(list: &str, item: &str) -> String {
    if list.is_empty() {
        item.to_owned()
    } else if list.split(',').any(|have| have.trim() == item) {
        list.to_owned()
    } else {
        format!("{list},{item}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::fixtures::limits;

    const HOME: &str = "https://meet.wagtail.example/";

    fn sent(query: &str, limits: &Limits) -> Result<String, Failure> {
        let asked = Params::parse(query.as_bytes()).expect("a query");
        create(&asked, limits, HOME).map(|create| create.params.encode())
    }

    /// The value that the server gets for one parameter.
    fn value(query: &str, name: &str, limits: &Limits) -> Option<String> {
        let asked = Params::parse(query.as_bytes()).expect("a query");
        let create = create(&asked, limits, HOME).expect("accepted");
        create.params.get(name).map(str::to_owned)
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
            ("", "logoutURL", HOME),
            ("logoutURL=https://a.b/", "logoutURL", "https://a.b/"),
            ("meetingExpireIfNoUserJoinedInMinutes=0", "meetingExpireIfNoUserJoinedInMinutes", "60"),
        ] {
            assert_eq!(value(query, name, &small).as_deref(), Some(expected), "{query}");
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
        level.recording = Recording::PerRoom;
        assert_eq!(value(query, "record", &level).as_deref(), Some("true"));
        assert_eq!(value("", "record", &level), None);
    }

    #[test]
    fn what_reaches_round_a_limit_does_not_go_on() {
        let small = limits();
        for (query, name) in [
            ("disabledFeaturesExclude=breakoutRooms", "disabledFeaturesExclude"),
            ("presentationUploadExternalUrl=https://a.b", "presentationUploadExternalUrl"),
            ("allowRequestsWithoutSession=true", "allowRequestsWithoutSession"),
            ("clientSettingsOverrideJsonUrl=https://a.b", "clientSettingsOverrideJsonUrl"),
            ("pluginManifests=[]", "pluginManifests"),
            ("voiceBridge=12345", "voiceBridge"),
            ("meta_endCallbackUrl=https://a.b", "meta_endCallbackUrl"),
            ("meta_endcallbackurl=https://a.b", "meta_endcallbackurl"),
            ("somethingNew=1", "somethingNew"),
            ("meta_=1", "meta_"),
        ] {
            assert_eq!(value(query, name, &small), None, "{query}");
        }
        assert_eq!(sent("isBreakout=true", &small), Err(Failure::BREAKOUT));
        for (query, expected) in [
            ("", "breakoutRooms"),
            ("disabledFeatures=chat", "chat,breakoutRooms"),
            ("disabledFeatures=breakoutRooms,chat", "breakoutRooms,chat"),
        ] {
            assert_eq!(value(query, "disabledFeatures", &small).as_deref(), Some(expected));
        }
    }

    #[test]
    fn a_join_cannot_hide_or_borrow_a_session() {
        let asked = Params::parse(
            b"fullName=Ada&meetingID=room&bot=true&existingUserID=w_1&replaceSessionToken=x&userdata-bbb_x=1",
        )
        .expect("a query");
        let params = join(&asked, &limits()).expect("accepted");
        assert_eq!(params.encode(), "fullName=Ada&meetingID=room&userdata-bbb_x=1");
    }
}
