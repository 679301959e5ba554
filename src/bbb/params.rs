//! The parameters of `create` and `join` for a server: what the rules of a tenant make of those that were asked for.

use std::{borrow::Cow, fmt, time::Duration};

use super::{
    fetched::is_public,
    query::{Params, trimmed},
    validate::{is_boolean, is_integral},
};
use crate::domain::{
    admission::seats,
    limits::{Limit, Limits, Recording},
    rules::{Check, Rule, Rules, Table, recording_flags},
};

/// A parameter has a value that its rule does not admit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rejected(pub String);

impl fmt::Display for Rejected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Param '{}' has a value that is not allowed", self.0)
    }
}

impl std::error::Error for Rejected {}

/// A document that the server fetches.
const PRESENTATION: &str = "preUploadedPresentation";

/// The name of that document.
const PRESENTATION_NAME: &str = "preUploadedPresentationName";

/// The features that a meeting is to be without.
const FEATURES: &str = "disabledFeatures";

/// Those of them that it is to have all the same.
const FEATURES_EXCLUDED: &str = "disabledFeaturesExclude";

/// `false` is the older way to ask for a meeting without breakout rooms.
const ROOMS_ENABLED: &str = "breakoutRoomsEnabled";

/// The feature that a level without breakout rooms disables.
const BREAKOUT_ROOMS: &str = "breakoutRooms";

/// Whether people are offered to have breakout rooms recorded.
const BREAKOUTS_RECORD: &str = "breakoutRoomsRecord";

/// How many people a meeting's creator expects, as balancers of BBB servers take it (bbblb).
const SIZE_HINT: &str = "meta_bbb-meeting-size-hint";

/// The parameters of a `create` for the server.
#[derive(Debug, PartialEq, Eq)]
pub struct Create {
    /// What is sent.
    pub params: Params,
    /// The participants that the meeting may have: the minimum of what was asked and what is allowed.
    pub participants: Limit<u32>,
    /// The people its creator expects, where the call says so.
    pub size_hint: Option<u32>,
    /// Whether it may leave a recording.
    pub records: bool,
}

/// Applies the rules of `create`. `defaults` are what the tenant has for parameters that the caller leaves to it.
///
/// # Errors
/// [`Rejected`] for a value that its rule does not admit.
pub fn create(
    asked: &Params,
    limits: &Limits,
    rules: &Rules,
    defaults: &[(&'static str, String)],
) -> Result<Create, Rejected> {
    let asked = &*together(asked);
    let mut params = apply(&rules.create, asked, limits)?;
    let address = asked.get(PRESENTATION).filter(|address| !address.is_empty());
    let fetched = address.filter(|address| params.get(PRESENTATION) == Some(address));
    if fetched.is_some_and(|address| !may_fetch(rules, address)) {
        return Err(Rejected(PRESENTATION.into()));
    }
    if fetched.is_none() && params.get(PRESENTATION_NAME) == asked.get(PRESENTATION_NAME) {
        // It is the name of another document, whose kind a server tells by it.
        params.remove(PRESENTATION_NAME);
    }
    let participants = seats(limits, positive(asked, "maxParticipants"));
    params.set("maxParticipants", number(participants));
    params.set("duration", duration(asked, limits.duration));
    if limits.recording == Recording::Never {
        // Whatever another rule has made of them.
        recording_flags().for_each(|name| params.set(name, "false"));
    }
    if !limits.breakouts {
        let disabled = params.get(FEATURES).unwrap_or_default().to_owned();
        params.set(FEATURES, appended(&disabled, &[BREAKOUT_ROOMS.into()]));
    }
    set_missing(&mut params, defaults);
    let records = params.get("record").is_some_and(|flag| flag.eq_ignore_ascii_case("true"));
    if limits.breakouts && !records {
        // A room that would be recorded is one that nobody is let into.
        params.set(BREAKOUTS_RECORD, "false");
    }
    Ok(Create { params, participants, size_hint: size_hint(asked), records })
}

/// The parameters of a `create`, those that have a meaning together only made into one: the features that a caller excludes
/// come off its own list here, as BBB takes them off (PR 18005), before anything is added to it. What is added by the level,
/// and what a server disables by itself, stays disabled.
fn together(asked: &Params) -> Cow<'_, Params> {
    let (mut features, mut excluded, mut without_rooms) = ("", "", false);
    for (name, value) in asked.iter().filter(|(_, value)| !value.is_empty()) {
        match name {
            FEATURES => features = value,
            FEATURES_EXCLUDED => excluded = value,
            ROOMS_ENABLED => without_rooms = !value.eq_ignore_ascii_case("true"),
            _ => {}
        }
    }
    let excludes = !features.is_empty() && !excluded.is_empty();
    if !excludes && !without_rooms {
        return Cow::Borrowed(asked);
    }
    let mut list = if excludes { without(features, excluded) } else { features.to_owned() };
    if without_rooms {
        list = appended(&list, &[BREAKOUT_ROOMS.into()]);
    }
    let mut params = asked.clone();
    params.set(FEATURES, list);
    Cow::Owned(params)
}

/// A list without the items of another, both trimmed as Java trims.
fn without(list: &str, excluded: &str) -> String {
    let items = |list| str::split(list, ',').map(|item: &str| item.trim_matches(|c| c <= ' '));
    let is_kept = |item: &&str| !item.is_empty() && !items(excluded).any(|other| other == *item);
    items(list).filter(is_kept).collect::<Vec<_>>().join(",")
}

/// The parameters as validation is to see them: as they were asked for, with what a rule puts in the place of what is
/// missing, or of whatever was asked.
#[must_use]
pub fn seen<'a>(table: &Table, asked: &'a Params) -> Cow<'a, Params> {
    let mut seen = Cow::Borrowed(asked);
    for (name, rule) in table.unasked() {
        let value = match rule {
            Rule::Force(value) => value,
            Rule::Default(value) if asked.get(name).is_none_or(str::is_empty) => value,
            _ => continue,
        };
        seen.to_mut().set(name, &**value);
    }
    seen
}

/// What a rule makes of one parameter that the gateway itself acts on; `None` where it does not go on.
#[must_use]
pub fn ruled<'a>(table: &'a Table, asked: &'a Params, name: &str) -> Option<&'a str> {
    let asked = asked.get(name);
    match table.rule(name)? {
        Rule::Force(value) => Some(value),
        Rule::Default(value) => asked.filter(|asked| !asked.is_empty()).or(Some(value)),
        Rule::Check(check) => asked.and_then(|value| admitted(check, value)),
        Rule::Drop | Rule::Limit => None,
        Rule::Pass | Rule::AtMost { .. } | Rule::Append(_) | Rule::RecordingFlag => asked,
    }
}

/// The people that a meeting's creator expects. BBB lower-cases the names of metadata, so they come in any case.
fn size_hint(asked: &Params) -> Option<u32> {
    let (name, _) = asked.iter().find(|(name, _)| name.eq_ignore_ascii_case(SIZE_HINT))?;
    positive(asked, name)
}

/// The `duration` of a meeting that may last for `most`, in BBB's minutes: the minimum of what was asked and that.
#[must_use]
pub fn duration(asked: &Params, most: Limit<Duration>) -> String {
    let most = match most {
        Limit::AtMost(duration) => Limit::AtMost(minutes(duration)),
        Limit::Unlimited => Limit::Unlimited,
    };
    number(most.clamp(positive(asked, "duration")))
}

/// Applies the rules of `join`.
///
/// # Errors
/// [`Rejected`] for a value that its rule does not admit.
pub fn join(
    asked: &Params,
    limits: &Limits,
    rules: &Rules,
    defaults: &[(&'static str, String)],
) -> Result<Params, Rejected> {
    let mut params = apply(&rules.join, asked, limits)?;
    set_missing(&mut params, defaults);
    Ok(params)
}

/// Whether a server may fetch what a tenant tells it to: a document of a `create` or an `insertDocument`.
#[must_use]
pub fn may_fetch(rules: &Rules, url: &str) -> bool {
    match rules.create.rule(PRESENTATION) {
        Some(Rule::Pass) => true,
        Some(Rule::Drop) | None => false,
        // A default or another check says nothing of what is fetched.
        Some(_) => is_public(url),
    }
}

/// Whether what [`may_fetch`] lets through is to be public, and not whatever a tenant names.
#[must_use]
pub fn is_checked(rules: &Rules) -> bool {
    !matches!(rules.create.rule(PRESENTATION), Some(Rule::Pass))
}

/// The address of a caller's own document in a `create`, if it goes on and is to be public.
#[must_use]
pub fn presentation<'a>(asked: &'a Params, sent: &Params, rules: &Rules) -> Option<&'a str> {
    let address = asked.get(PRESENTATION).filter(|address| !address.is_empty())?;
    (sent.get(PRESENTATION) == Some(address) && is_checked(rules)).then_some(address)
}

/// Whether a key of a recording's metadata, `meta_` included, may be set to a value.
#[must_use]
pub fn may_set(rules: &Rules, meta: &str, value: &str) -> bool {
    match rules.create.rule(meta) {
        Some(Rule::Pass | Rule::Default(_)) => true,
        Some(Rule::Check(check)) => admitted(check, value).is_some(),
        // What is made of a value when a meeting is created is not undone afterwards.
        _ => false,
    }
}

/// The parameters that go on.
fn apply(table: &Table, asked: &Params, limits: &Limits) -> Result<Params, Rejected> {
    let mut params = Params::default();
    // A name is there once, and once only in lower case.
    for (given, value) in asked.iter() {
        let Some(rule) = table.rule(given) else { continue };
        let lower = lower_case(given);
        let name = lower.as_deref().unwrap_or(given);
        if lower.is_some() && (asked.get(name).is_some() || params.get(name).is_some()) {
            return Err(Rejected(given.to_owned()));
        }
        match rule {
            Rule::Pass => params.add(name, value),
            Rule::RecordingFlag if limits.recording == Recording::Never => params.add(name, "false"),
            Rule::RecordingFlag => params.add(name, value),
            Rule::Default(default) => params.add(name, if value.is_empty() { default } else { value }),
            Rule::AtMost { most, .. } => {
                params.add(name, positive(asked, given).unwrap_or(*most).min(*most).to_string());
            }
            Rule::Append(items) => params.add(name, appended(value, items)),
            Rule::Check(check) => {
                params.add(name, admitted(check, value).ok_or_else(|| Rejected(given.to_owned()))?);
            }
            // Set below, or by the caller.
            Rule::Force(_) | Rule::Drop | Rule::Limit => {}
        }
    }
    for (name, rule) in table.unasked() {
        let missing = params.get(name).is_none();
        match rule {
            Rule::Force(value) => params.set(name, &**value),
            Rule::Default(value) if missing => params.set(name, &**value),
            Rule::AtMost { unasked, .. } if missing => params.set(name, unasked.to_string()),
            Rule::Append(items) if missing && !items.is_empty() => params.set(name, appended("", items)),
            _ => {}
        }
    }
    Ok(params)
}

/// What goes on of a value; `None` for one that a check does not admit. Of words it is the rule's own spelling: BBB minds
/// the case of some.
fn admitted<'a>(check: &'a Check, value: &'a str) -> Option<&'a str> {
    let admits = |is: bool| is.then_some(value);
    match check {
        _ if value.is_empty() => Some(value),
        Check::Boolean => admits(is_boolean(value)),
        Check::Integer => admits(is_integral(value)),
        Check::PublicUrl => admits(is_public(value)),
        Check::WebUrl => admits(is_web_url(value)),
        Check::OneOf(words) => words.iter().find(|word| word.eq_ignore_ascii_case(value)).map(|word| &**word),
    }
}

/// The name under which BBB keeps a parameter, where that is another one: it reads the names of metadata without their case.
fn lower_case(name: &str) -> Option<String> {
    let is_other = name.starts_with("meta_") && name.bytes().any(|b| b.is_ascii_uppercase());
    is_other.then(|| name.to_ascii_lowercase())
}

/// Whether a value is the address of a page, and of nothing that a browser would run or hand to another program. BBB puts what
/// it knows in place of `%%MEETINGID%%` and the like, so that the rest may be anything.
#[must_use]
pub fn is_web_url(value: &str) -> bool {
    let after = |scheme: &str| {
        let (begin, rest) = value.split_at_checked(scheme.len())?;
        begin.eq_ignore_ascii_case(scheme).then_some(rest)
    };
    let Some(rest) = after("https://").or_else(|| after("http://")) else { return false };
    let has_control = match value.is_ascii() {
        true => value.bytes().any(|b| b.is_ascii_control()),
        false => value.contains(|c: char| c.is_control()),
    };
    !has_control && !rest.is_empty() && !rest.starts_with(['/', '\\', '?', '#'])
}

fn set_missing(params: &mut Params, defaults: &[(&'static str, String)]) {
    let is_set = |params: &Params, name| params.get(name).is_some_and(|value| !value.is_empty());
    // A logo of the caller's own is for dark backgrounds too, unless it has another one for those.
    let has_logo = is_set(params, "logo");
    for (name, value) in defaults {
        let is_given = is_set(params, name) || (*name == "darklogo" && has_logo);
        if !is_given {
            params.set(name, value.as_str());
        }
    }
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

/// A list with these items in it. It goes on as bbb-web reads it, divided by commas and each item trimmed as Java does it:
/// what is in it for the gateway is in it for the server.
fn appended(list: &str, items: &[Box<str>]) -> String {
    let mut all: Vec<&str> = list.split(',').map(trimmed).filter(|item| !item.is_empty()).collect();
    let new: Vec<&str> = items.iter().map(|item| &**item).filter(|item| !all.contains(item)).collect();
    all.extend(new);
    all.join(",")
}

#[cfg(test)]
mod tests {
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

    fn sent(query: &str, limits: &Limits, rules: &Rules) -> Result<Create, Rejected> {
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
        assert_eq!(inside, Err(Rejected("preUploadedPresentation".into())));
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
            assert_eq!(join(&asked, &limits(), &rules, &[]), Err(Rejected(name.into())), "join");
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
    fn a_join_cannot_hide_or_borrow_a_session() {
        let asked = Params::parse(
            b"fullName=Ada&meetingID=room&bot=true&existingUserID=w_1&replaceSessionToken=x&userdata-bbb_x=1",
        )
        .expect("a query");
        let params = join(&asked, &limits(), &Rules::shipped(), &[]).expect("accepted");
        assert_eq!(params.encode(), "fullName=Ada&meetingID=room&userdata-bbb_x=1");
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
            assert_eq!(sent(query, &limits(), &rules), Err(Rejected(name.into())));
        }
    }

    #[test]
    fn what_a_caller_excludes_comes_off_its_own_list_only() {
        let level = Limits { breakouts: true, ..limits() };
        let polls = changes(&[("disabledFeatures", Rule::Append(vec!["polls".into()]))]);
        for (query, own, with_polls) in [
            ("disabledFeatures=chat,presentation&disabledFeaturesExclude=presentation", Some("chat"), "chat,polls"),
            (
                "disabledFeatures=+chat+,+presentation&disabledFeaturesExclude=+presentation+,x",
                Some("chat"),
                "chat,polls",
            ),
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
            (
                "darklogo=https://school.example/d.svg",
                &Rules::shipped(),
                "logo",
                Some("https://meet.example/light.svg"),
            ),
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
            for name in
                names(of).chain(["meta_x", "lockSettingsX", "userdata-x", "unheardOf", "clientSettingsOverride"])
            {
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
                            Of::Create => super::create(&asked, &level, rules, &[]).map(|create| create.params),
                            Of::Join => super::join(&asked, &level, rules, &[]),
                        }
                    };
                    let asked = values.iter().map(|value| Some(*value)).chain([None]);
                    let has_effect =
                        asked.into_iter().any(|value| made(&Rules::shipped(), value) != made(&changed, value));
                    assert!(has_effect, "{name} = {rule:?}");
                }
            }
        }
    }
}
