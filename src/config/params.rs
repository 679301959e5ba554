//! `[create]` and `[join]` of a policy or a tenant: rules for parameters.

use std::collections::BTreeMap;

use super::{
    convert::{At, Convert},
    keypath::KeyPath,
    raw::{ParamCheck, ParamRule, ParamTable, ParamValue, ParamWord},
};
use crate::domain::rules::{Changes, Check, Of, Rule, Rules, held_by, is_known, names, recording_flags};

type Raw = Option<BTreeMap<String, ParamRule>>;

/// A rule of a file, with its place.
pub(super) type Place = At<(Of, Box<str>)>;

/// The rules of a file, each of which it may set, and where they stand.
pub(super) fn changes(create: Raw, join: Raw, cx: &mut Convert<'_>) -> (Changes, Vec<Place>) {
    let mut places = Vec::new();
    let create = table("create", Of::Create, create, &mut places, cx);
    let join = table("join", Of::Join, join, &mut places, cx);
    (Changes { create, join }, places)
}

fn table(key: &str, of: Of, raw: Raw, places: &mut Vec<Place>, cx: &mut Convert<'_>) -> BTreeMap<Box<str>, Rule> {
    let all = KeyPath::from(key);
    let mut rules = BTreeMap::new();
    for (name, raw) in raw.unwrap_or_default() {
        let path = all.key(&name);
        let Some(rule) = rule(&path, raw, cx) else { continue };
        if let Some(reason) = held_by(of, &name, &rule) {
            cx.fault(&path, reason);
            continue;
        }
        if let Some(doubt) = of_name(of, &name) {
            cx.warn(&path, doubt);
        }
        places.push(cx.at_path(&path, (of, name.as_str().into())));
        rules.insert(name.into(), rule);
    }
    rules
}

/// Warns about the name of a parameter: servers ignore unknown ones.
fn of_name(of: Of, name: &str) -> Option<String> {
    if is_known(of, name) {
        return None;
    }
    let (other, call) = match of {
        Of::Create => (Of::Join, "join"),
        Of::Join => (Of::Create, "create"),
    };
    if is_known(other, name) {
        return Some(format!("is a parameter of {call}: servers ignore it here"));
    }
    let lower = name.to_ascii_lowercase();
    let known = names(of).map(|known| (strsim::damerau_levenshtein(&lower, &known.to_ascii_lowercase()), known));
    let (distance, nearest) = known.min()?;
    let is_near = distance <= nearest.len() / 6;
    is_near.then(|| format!("is not a known parameter; did you mean {nearest:?}?"))
}

/// Rules that change nothing about those that they are set on top of, each with the reason. `records` tells whether meetings
/// may be recorded.
pub(super) fn without_effect<'a>(
    places: &'a [Place],
    changes: &'a Changes,
    base: &'a Rules,
    records: bool,
) -> impl Iterator<Item = (&'a Place, &'static str)> {
    places.iter().filter_map(move |place| {
        let (of, name) = &place.value;
        let rule = match of {
            Of::Create => changes.create.get(name)?,
            Of::Join => changes.join.get(name)?,
        };
        if base.of(*of).has(name, rule) {
            return Some((place, "has no effect: that is its rule already"));
        }
        let is_flag = *of == Of::Create && recording_flags().any(|flag| flag == &**name);
        (is_flag && !records).then_some((place, "has no effect: the level has no recording"))
    })
}

fn rule(path: &KeyPath, raw: ParamRule, cx: &mut Convert<'_>) -> Option<Rule> {
    let ParamTable { default, force, at_most, append, check, one_of } = match raw {
        ParamRule::Word(ParamWord::Pass) => return Some(Rule::Pass),
        ParamRule::Word(ParamWord::Drop) => return Some(Rule::Drop),
        ParamRule::Table(table) => table,
    };
    let mut rules = Vec::new();
    rules.extend(default.map(|value| Rule::Default(text(value))));
    rules.extend(force.map(|value| Rule::Force(text(value))));
    if let Some(most) = at_most {
        match u32::try_from(most) {
            Ok(most) if most > 0 => rules.push(Rule::AtMost { most, unasked: most }),
            _ => {
                cx.fault(&path.key("at_most"), format!("must be from 1 to {}", u32::MAX));
                return None;
            }
        }
    }
    if let Some(items) = append {
        rules.push(Rule::Append(list(&path.key("append"), items, cx)?));
    }
    rules.extend(check.map(|kind| {
        Rule::Check(match kind {
            ParamCheck::Boolean => Check::Boolean,
            ParamCheck::Integer => Check::Integer,
            ParamCheck::PublicUrl => Check::PublicUrl,
            ParamCheck::WebUrl => Check::WebUrl,
        })
    }));
    if let Some(words) = one_of {
        rules.push(Rule::Check(Check::OneOf(list(&path.key("one_of"), words, cx)?)));
    }
    match (rules.pop(), rules.is_empty()) {
        (Some(rule), true) => Some(rule),
        _ => {
            if !cx.is_faulty(path) {
                cx.fault(path, "must have exactly one of default, force, at_most, append, check and one_of");
            }
            None
        }
    }
}

fn list(path: &KeyPath, items: Vec<String>, cx: &mut Convert<'_>) -> Option<Vec<Box<str>>> {
    if items.is_empty() || items.iter().any(|item| item.is_empty() || item.contains(',')) {
        if !cx.is_faulty(path) {
            cx.fault(path, "must be a list of words without commas, not empty");
        }
        return None;
    }
    Some(items.into_iter().map(Into::into).collect())
}

fn text(value: ParamValue) -> Box<str> {
    match value {
        ParamValue::Text(text) => text.into(),
        ParamValue::Number(number) => number.to_string().into(),
        ParamValue::Flag(flag) => flag.to_string().into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_is_hardly_meant_is_told() {
        for (of, name, doubt) in [
            (Of::Create, "Welcome", Some("is not a known parameter; did you mean \"welcome\"?")),
            (Of::Create, "disabledFeature", Some("is not a known parameter; did you mean \"disabledFeatures\"?")),
            (Of::Create, "muteonstart", Some("is not a known parameter; did you mean \"muteOnStart\"?")),
            (Of::Join, "welcome", Some("is a parameter of create: servers ignore it here")),
            (Of::Create, "fullName", Some("is a parameter of join: servers ignore it here")),
            (Of::Create, "somethingNew", None),
            (Of::Create, "meta_anything", None),
            (Of::Create, "lockSettingsDisableCam", None),
            (Of::Join, "userdata-bbb_x", None),
            (Of::Create, "log", None),
        ] {
            assert_eq!(of_name(of, name).as_deref(), doubt, "{name}");
        }
    }
}
