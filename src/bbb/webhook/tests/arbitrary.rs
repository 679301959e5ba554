//! Events that no server makes: what is read of them is bounded by the rules, and nothing panics.

use proptest::prelude::*;

use super::*;

/// Any JSON, with names and texts that are often those of events.
fn any_json() -> impl Strategy<Value = Value> {
    let texts = prop::sample::select(vec![
        INTERNAL.to_owned(),
        SERVER_ID.to_owned(),
        format!("https://{DOMAIN}/x"),
        format!("({DOMAIN})"),
        format!("wss:\\/\\/{DOMAIN}"),
        "ü".to_owned(),
    ]);
    let leaf = prop_oneof![
        texts.prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<bool>().prop_map(Value::from),
        Just(Value::Null)
    ];
    let names = prop::sample::select(vec!["data", "id", "meeting", "metadata", "image", "value", DOMAIN]);
    leaf.prop_recursive(5, 64, 6, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::vec((names.clone(), inner), 0..6)
                .prop_map(|fields| fields.into_iter().map(|(name, value)| (name.to_owned(), value)).collect())
        ]
    })
}

/// The same with secrets wherever the service may have put them: not in maps, in which all names are of people.
fn with_secrets(mut value: Value) -> Value {
    match &mut value {
        Value::Object(fields) => {
            let is_map = |name: &str| matches!(name, "metadata" | "userdata");
            let inner = std::mem::take(fields).into_iter();
            let inner =
                inner.map(|(name, value)| if is_map(&name) { (name, value) } else { (name, with_secrets(value)) });
            let secrets = ["session-token", "moderator-pass", "viewer-pass", "voice-conf", "dial-number", "referer"];
            *fields = inner.chain(secrets.map(|name| (name.to_owned(), "a-secret".into()))).collect();
        }
        Value::Array(values) => *values = std::mem::take(values).into_iter().map(with_secrets).collect(),
        _ => {}
    }
    value
}

/// A value in which some of what is no object has another value in its place.
fn planted(value: Value, others: &mut impl Iterator<Item = Option<Value>>) -> Value {
    match value {
        Value::Object(fields) => fields.into_iter().map(|(name, value)| (name, planted(value, others))).collect(),
        value => others.next().flatten().unwrap_or(value),
    }
}

proptest! {
    #[test]
    fn no_event_tells_what_is_the_servers(
        row in prop::sample::select(rows()),
        others in prop::collection::vec(prop::option::of(any_json()), 1..9),
    ) {
        let (ids, attributes, _) = row;
        let attributes = with_secrets(planted(attributes, &mut others.into_iter().cycle()));
        let mut event = said(ids[0], &attributes);
        event["data"]["attributes"].as_object_mut().expect("an object").remove("record-id");
        let event = read_with(Allowed { addresses: true, content: true }, &event).expect("an event of the tenant's");
        let text = event.to_string();
        for theirs in [DOMAIN, SERVER_ID, "a-secret"] {
            prop_assert!(!text.contains(theirs), "{}", text);
        }
    }

    #[test]
    fn no_bytes_are_too_strange_to_be_read(bytes in prop::collection::vec(any::<u8>(), 0..200), value in any_json()) {
        let _ = read(&bytes);
        let form = super::form(DOMAIN, &value.to_string(), "1");
        let events = read(form.as_bytes()).map(|posted| posted.events).unwrap_or_default();
        for event in events.iter().chain([&value]) {
            let (_, _, _) = (about(event), name(event), for_tenant(event));
        }
    }
}
