//! `[create]` and `[join]` of a policy or a tenant: rules of parameters.

use std::collections::BTreeMap;

use super::{
    convert::Convert,
    keypath::KeyPath,
    raw::{ParamCheck, ParamRule, ParamTable, ParamValue, ParamWord},
};
use crate::domain::rules::{Changes, Check, Of, Rule, held_by};

type Raw = Option<BTreeMap<String, ParamRule>>;

/// The rules of a file, each of which it may set.
pub(super) fn changes(create: Raw, join: Raw, cx: &mut Convert<'_>) -> Changes {
    Changes { create: table("create", Of::Create, create, cx), join: table("join", Of::Join, join, cx) }
}

fn table(key: &str, of: Of, raw: Raw, cx: &mut Convert<'_>) -> BTreeMap<Box<str>, Rule> {
    let all = KeyPath::from(key);
    let mut rules = BTreeMap::new();
    for (name, raw) in raw.unwrap_or_default() {
        let path = all.key(&name);
        let Some(rule) = rule(&path, raw, cx) else { continue };
        match held_by(of, &name, &rule) {
            Some(reason) => cx.fault(&path, reason),
            None => drop(rules.insert(name.into(), rule)),
        }
    }
    rules
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
