//! [`Shape`]: a file's JSON schema, and the check of a parsed file against it.
//!
//! serde stops at the first error, and quotes the value in its message, which may be a secret. So the schema that is derived from
//! the same types is checked first: it finds all errors, reports them without the value, and removes invalid parts.

use std::sync::LazyLock;

use schemars::{JsonSchema, SchemaGenerator};
use serde_json::Value;
use toml::de::{DeArray, DeTable, DeValue};

use super::{keypath::KeyPath, raw};

/// `anteroom.toml`.
pub(super) static GATEWAY: LazyLock<Shape> = LazyLock::new(Shape::of::<raw::Gateway>);
/// `tenants/<id>.toml`.
pub(super) static TENANT: LazyLock<Shape> = LazyLock::new(Shape::of::<raw::Tenant>);
/// `policies/<id>.toml`.
pub(super) static POLICY: LazyLock<Shape> = LazyLock::new(Shape::of::<raw::Policy>);
/// `pages/<language>.toml`.
pub(super) static LANGUAGE: LazyLock<Shape> = LazyLock::new(Shape::of::<raw::Language>);

/// The JSON schema of one kind of file.
pub(super) struct Shape(Value);

/// What does not fit the shape.
#[derive(Debug, Default)]
pub(super) struct Misfits {
    /// Each with its reason, in the order of the file's keys.
    pub flaws: Vec<(KeyPath, String)>,
    /// Entries taken out of lists: the path of the list, and the place of the entry before anything was taken out.
    pub dropped: Vec<(KeyPath, usize)>,
}

impl Shape {
    fn of<T: JsonSchema>() -> Self {
        let mut value = SchemaGenerator::default().into_root_schema_for::<T>().to_value();
        drop_null(&mut value);
        Self(value)
    }

    /// The schema itself.
    pub(super) fn as_value(&self) -> &Value {
        &self.0
    }

    /// Compares a file with its shape and takes out of it what does not fit.
    pub(super) fn fit(&self, table: &mut DeTable<'_>) -> Misfits {
        let mut misfits = Misfits::default();
        self.fit_table(&[&self.0], table, &KeyPath::default(), &mut misfits);
        misfits
    }

    /// Whether the value may stay, perhaps without some of its entries.
    fn fit_value(&self, schema: &Value, value: &mut DeValue<'_>, path: &KeyPath, misfits: &mut Misfits) -> bool {
        let layers = self.layers(schema);
        let Some(layers) = self.choose(&layers, value) else {
            misfits.flaws.push((path.clone(), self.misfit(&layers, value)));
            return false;
        };
        match value {
            DeValue::Table(table) => self.fit_table(&layers, table, path, misfits),
            DeValue::Array(array) => {
                let items = layers.iter().find_map(|layer| layer.get("items")).unwrap_or(&Value::Null);
                let before = std::mem::replace(array, DeArray::new());
                for (index, mut item) in before.into_iter().enumerate() {
                    if self.fit_value(items, item.get_mut(), &path.index(index), misfits) {
                        array.push(item);
                    } else {
                        misfits.dropped.push((path.clone(), index));
                    }
                }
            }
            DeValue::Integer(number) if i64::from_str_radix(number.as_str(), number.radix()).is_err() => {
                misfits.flaws.push((path.clone(), "is out of range".into()));
                return false;
            }
            _ => {}
        }
        true
    }

    fn fit_table(&self, layers: &[&Value], table: &mut DeTable<'_>, path: &KeyPath, misfits: &mut Misfits) {
        let properties = layers.iter().find_map(|layer| layer.get("properties")?.as_object());
        let additional = layers.iter().find_map(|layer| layer.get("additionalProperties").filter(|v| v.is_object()));
        // Where secrets stand, one may have been written in the place of a key.
        let hidden = layers.iter().any(|layer| layer.get("x-hide-keys").is_some());
        let before = std::mem::replace(table, DeTable::new());
        for (key, mut value) in before {
            let outer = path;
            let path = path.key(key.get_ref());
            if let Some(schema) = properties.and_then(|p| p.get(&**key.get_ref())).or(additional) {
                if self.fit_value(schema, value.get_mut(), &path, misfits) {
                    table.insert(key, value);
                }
            } else {
                let known: Vec<&str> = properties.into_iter().flat_map(|p| p.keys().map(String::as_str)).collect();
                misfits.flaws.push(if hidden {
                    (outer.clone(), unknown("a key in it", "", &known))
                } else {
                    (path, unknown("this key", key.get_ref(), &known))
                });
            }
        }
        for required in layers.iter().filter_map(|layer| layer.get("required")?.as_array()).flatten() {
            let Some(key) = required.as_str() else {
                continue;
            };
            // What was there and did not fit has been reported already.
            let path = path.key(key);
            if !table.contains_key(key) && !misfits.flaws.iter().any(|(flawed, _)| *flawed == path) {
                misfits.flaws.push((path, "is missing".into()));
            }
        }
    }

    /// A schema and what it refers to, from the outside in.
    fn layers<'s>(&'s self, schema: &'s Value) -> Vec<&'s Value> {
        let mut layers = vec![schema];
        while let Some(target) = layers.last().and_then(|layer| layer.get("$ref")?.as_str()) {
            match target.strip_prefix('#').and_then(|pointer| self.0.pointer(pointer)) {
                // A schema refers to another one a few times at most; a circle would be a bug in the types.
                Some(next) if layers.len() < 8 => layers.push(next),
                _ => break,
            }
        }
        layers
    }

    /// The layers that apply to this value; `None` when it fits none.
    fn choose<'s>(&'s self, layers: &[&'s Value], value: &DeValue<'_>) -> Option<Vec<&'s Value>> {
        match alternatives(layers) {
            Some(branches) => branches.iter().find_map(|branch| self.choose(&self.layers(branch), value)),
            None => layers.iter().all(|layer| admits(layer, value)).then(|| layers.to_vec()),
        }
    }

    fn misfit(&self, layers: &[&Value], value: &DeValue<'_>) -> String {
        let mut expected = Vec::new();
        self.expected(layers, &mut expected);
        let found = found(value);
        let list = enumerate(&expected, "or");
        if value.is_str() && expected.iter().any(|e| e.starts_with('"')) {
            format!("must be {list}")
        } else {
            format!("must be {list}, not {found}")
        }
    }

    fn expected(&self, layers: &[&Value], into: &mut Vec<String>) {
        for branch in alternatives(layers).into_iter().flatten() {
            self.expected(&self.layers(branch), into);
        }
        for layer in layers {
            if let Some(words) = words(layer) {
                into.extend(words.iter().map(|word| format!("{word:?}")));
            } else if let Some(kind) = layer.get("type").and_then(Value::as_str) {
                into.push(kind_in_words(kind).to_owned());
            }
        }
    }
}

/// The branches of a choice.
fn alternatives<'s>(layers: &[&'s Value]) -> Option<&'s Vec<Value>> {
    layers.iter().find_map(|layer| layer.get("anyOf").or_else(|| layer.get("oneOf"))?.as_array())
}

/// The texts that an enumeration allows.
fn words(layer: &Value) -> Option<Vec<&str>> {
    if let Some(word) = layer.get("const").and_then(Value::as_str) {
        return Some(vec![word]);
    }
    Some(layer.get("enum")?.as_array()?.iter().filter_map(Value::as_str).collect())
}

fn admits(layer: &Value, value: &DeValue<'_>) -> bool {
    if let Some(words) = words(layer) {
        return value.as_str().is_some_and(|text| words.contains(&text));
    }
    match layer.get("type").and_then(Value::as_str) {
        Some("string") => value.is_str(),
        Some("integer") => value.is_integer(),
        Some("number") => value.is_integer() || value.is_float(),
        Some("boolean") => value.is_bool(),
        Some("array") => value.is_array(),
        Some("object") => value.is_table(),
        _ => true,
    }
}

fn kind_in_words(kind: &str) -> &str {
    match kind {
        "string" => "a text",
        "integer" => "a whole number",
        "number" => "a number",
        "boolean" => "true or false",
        "array" => "a list",
        "object" => "a table",
        other => other,
    }
}

fn found(value: &DeValue<'_>) -> &'static str {
    match value {
        DeValue::String(_) => "a text",
        DeValue::Integer(_) => "a number",
        DeValue::Float(_) => "a number with a fraction",
        DeValue::Boolean(_) => "true or false",
        DeValue::Datetime(_) => "a date",
        DeValue::Array(_) => "a list",
        DeValue::Table(_) => "a table",
    }
}

/// Words as a list: `a, b or c`.
pub(super) fn enumerate(words: &[String], last: &str) -> String {
    match words {
        [] => "nothing".to_owned(),
        [one] => one.clone(),
        [head @ .., tail] => format!("{} {last} {tail}", head.join(", ")),
    }
}

/// `X is not known`, with the nearest name that is, or with all of them.
pub(super) fn unknown(what: &str, name: &str, known: &[&str]) -> String {
    let nearest = known.iter().map(|k| (strsim::damerau_levenshtein(name, k), k)).min();
    match nearest {
        Some((distance, nearest)) if distance <= 1 + nearest.len() / 3 => {
            format!("{what} is not known; did you mean {nearest:?}?")
        }
        Some(_) => format!(
            "{what} is not known; there are {}",
            enumerate(&known.iter().map(|&k| k.to_owned()).collect::<Vec<_>>(), "and")
        ),
        None => format!("{what} is not known"),
    }
}

/// TOML has no null: an optional value is there or it is not.
fn drop_null(schema: &mut Value) {
    if let Some(types) = schema.get_mut("type")
        && let Some(kinds) = types.as_array_mut()
    {
        kinds.retain(|kind| kind != "null");
        if let [only] = kinds.as_slice() {
            *types = only.clone();
        }
    }
    if let Some(branches) = schema.get_mut("anyOf").and_then(Value::as_array_mut) {
        branches.retain(|branch| branch.get("type").is_none_or(|kind| kind != "null"));
        if let [only] = branches.as_mut_slice() {
            let only = only.take();
            if let (Some(outer), Value::Object(inner)) = (schema.as_object_mut(), only) {
                outer.remove("anyOf");
                for (key, value) in inner {
                    outer.entry(key).or_insert(value);
                }
            }
        }
    }
    match schema {
        Value::Array(items) => items.iter_mut().for_each(drop_null),
        Value::Object(entries) => entries.values_mut().for_each(drop_null),
        _ => {}
    }
}
