//! Applies the rules of a tenant to the parameters of `create` and `join`.

use std::{borrow::Cow, time::Duration};

use super::{
    answer::Failure,
    fetched::is_public,
    query::{Params, trimmed},
    validate::{is_boolean, is_integral},
};
use crate::domain::{
    admission::seats,
    callback::MEETING_ENDED,
    limits::{Limit, Limits, Recording},
    rules::{Check, Rule, Rules, Table, recording_flags},
};

/// A document that the server fetches.
const PRESENTATION: &str = "preUploadedPresentation";

/// The first text of a meeting's notes, which the server fetches as well.
const NOTES: [&str; 2] = ["sharedNotesInitialContentJsonUrl", "sharedNotesInitialContentMarkdownUrl"];

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
/// [`Failure::param`] for a value that its rule does not admit.
pub fn create(
    asked: &Params,
    limits: &Limits,
    rules: &Rules,
    defaults: &[(&'static str, String)],
) -> Result<Create, Failure> {
    let asked = &*together(asked);
    let mut params = apply(&rules.create, asked, limits)?;
    let address = asked.get(PRESENTATION).filter(|address| !address.is_empty());
    let fetched = address.filter(|address| params.get(PRESENTATION) == Some(address));
    if fetched.is_some_and(|address| !may_fetch(rules, address)) {
        return Err(Failure::param(PRESENTATION));
    }
    if fetched.is_none() && params.get(PRESENTATION_NAME) == asked.get(PRESENTATION_NAME) {
        // It is the name of another document, whose kind a server tells by it.
        params.remove(PRESENTATION_NAME);
    }
    let participants = seats(limits, positive(asked, "maxParticipants"));
    params.set("maxParticipants", number(participants));
    params.set("duration", duration(asked, limits.duration));
    if limits.recording == Recording::Never {
        // Also after another rule has changed them.
        recording_flags().for_each(|name| params.set(name, "false"));
    }
    if !limits.breakouts {
        let disabled = params.get(FEATURES).unwrap_or_default().to_owned();
        params.set(FEATURES, appended(&disabled, &[BREAKOUT_ROOMS.into()]));
    }
    set_missing(&mut params, defaults);
    let records = params.get("record").is_some_and(|flag| flag.eq_ignore_ascii_case("true"));
    if limits.breakouts && !records {
        // Joins of a room that would be recorded are refused.
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
        Rule::Drop | Rule::Limit | Rule::Callback => None,
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
/// [`Failure::param`] for a value that its rule does not admit.
pub fn join(
    asked: &Params,
    limits: &Limits,
    rules: &Rules,
    defaults: &[(&'static str, String)],
) -> Result<Params, Failure> {
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

/// The addresses of a caller's own in a `create` that the server will fetch, and that are to be public.
pub fn fetched<'a>(asked: &'a Params, sent: &Params, rules: &Rules) -> impl Iterator<Item = &'a str> {
    let is_public = |name| matches!(rules.create.rule(name), Some(Rule::Check(Check::PublicUrl)));
    let notes = NOTES.into_iter().filter(move |name| is_public(name));
    let checked = is_checked(rules).then_some(PRESENTATION).into_iter().chain(notes);
    checked.filter_map(|name| asked.get(name).filter(|address| !address.is_empty() && sent.get(name) == Some(address)))
}

/// The addresses of callbacks that a `create` names, by the parameter as BBB keeps its name. Empty ones ask for nothing.
pub fn callbacks<'a>(asked: &'a Params, rules: &Rules) -> Vec<(Cow<'a, str>, &'a str)> {
    let may_be = |name: &str| name.starts_with("meta_") || name == MEETING_ENDED;
    let named = asked
        .iter()
        .filter(|(name, value)| may_be(name) && !value.is_empty() && rules.create.rule(name) == Some(&Rule::Callback));
    named.map(|(name, value)| (lower_case(name).map_or(Cow::Borrowed(name), Cow::Owned), value)).collect()
}

/// Whether what is no parameter of a `create`, but comes to the same, may have a value: a key of a recording's metadata, `meta_`
/// included, or a module of a body.
#[must_use]
pub fn may_set(rules: &Rules, name: &str, value: &str) -> bool {
    match rules.create.rule(name) {
        Some(Rule::Pass | Rule::Default(_)) => true,
        Some(Rule::Check(check)) => admitted(check, value).is_some(),
        // What is made of a value when a meeting is created is not undone afterwards.
        _ => false,
    }
}

/// The parameters that go on.
fn apply(table: &Table, asked: &Params, limits: &Limits) -> Result<Params, Failure> {
    let mut params = Params::default();
    // A name is there once, and once only in lower case.
    for (given, value) in asked.iter() {
        let Some(rule) = table.rule(given) else { continue };
        let lower = lower_case(given);
        let name = lower.as_deref().unwrap_or(given);
        if lower.is_some() && (asked.get(name).is_some() || params.get(name).is_some()) {
            return Err(Failure::param(given));
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
                params.add(name, admitted(check, value).ok_or_else(|| Failure::param(given))?);
            }
            // Set below, or by the caller.
            Rule::Force(_) | Rule::Drop | Rule::Limit | Rule::Callback => {}
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
    if defaults.is_empty() {
        return;
    }
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
/// bound" or as its own default (docs/reference/bbb-protocol.md, "Parameter values").
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
pub(super) fn appended(list: &str, items: &[Box<str>]) -> String {
    let mut all: Vec<&str> = list.split(',').map(trimmed).filter(|item| !item.is_empty()).collect();
    let new: Vec<&str> = items.iter().map(|item| &**item).filter(|item| !all.contains(item)).collect();
    all.extend(new);
    all.join(",")
}

#[cfg(test)]
mod tests;
