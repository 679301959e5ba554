//! The tables of docs/configuration.md: made from the JSON schemas, which have the doc comments of `src/config/raw`.

use std::collections::BTreeMap;

use anteroom::config;
use serde_json::Value;

use super::{
    made::{hold, linked, names, table, wrapped},
    markdown::Page,
};

const PAGE: &str = "docs/configuration.md";

/// The tables of all files, by `FILE PATH` such as `anteroom.toml servers.<>`, where `<>` is any name.
fn tables() -> BTreeMap<String, Value> {
    let mut tables = BTreeMap::new();
    for (file, whole) in config::schema().as_object().unwrap() {
        collect_tables(whole, whole, file, &mut tables);
    }
    tables
}

fn collect_tables(whole: &Value, of: &Value, path: &str, tables: &mut BTreeMap<String, Value>) {
    let Some(table) = table_of(whole, of) else { return };
    let below = |name: &str| path.to_owned() + if path.contains(' ') { "." } else { " " } + name;
    if let Some(keys) = table["properties"].as_object() {
        tables.insert(path.to_owned(), table.clone());
        keys.iter().for_each(|(key, of)| collect_tables(whole, of, &below(key), tables));
    } else {
        collect_tables(whole, &table["additionalProperties"], &below("<>"), tables);
    }
}

/// The table that a schema is, refers to, or has as a choice or in a list.
fn table_of<'a>(whole: &'a Value, of: &'a Value) -> Option<&'a Value> {
    if let Some(reference) = of["$ref"].as_str() {
        return table_of(whole, whole.pointer(reference.trim_start_matches('#'))?);
    }
    if of["properties"].is_object() || of["additionalProperties"].is_object() {
        return Some(of);
    }
    let branches = of["anyOf"].as_array().into_iter().flatten().chain(of.get("items"));
    branches.filter_map(|branch| table_of(whole, branch)).next()
}

/// `servers.<id>` as `servers.<>`.
fn with_plain_holes(path: &str) -> String {
    let mut parts = path.split('<');
    let first = parts.next().unwrap_or_default().to_owned();
    parts.fold(first, |text, part| text + "<>" + part.split_once('>').map_or("", |(_, rest)| rest))
}

/// A part of the page is named by the file, and by the path of its table: `anteroom.toml servers.<id>`.
#[test]
fn the_tables_of_the_configuration_are_those_of_the_schema() {
    let page = Page::read(PAGE);
    let tables = tables();
    let (mut parts, mut shown) = (BTreeMap::new(), Vec::new());
    for name in names(&page.text) {
        let schema = tables.get(&with_plain_holes(name)).unwrap_or_else(|| panic!("{PAGE}: the schema has no {name}"));
        parts.insert(name.to_owned(), part(schema, name.split_once(' ').map_or("", |(_, path)| path)));
        shown.push(&schema["properties"]);
    }
    // A tenant's limits are a policy's, and so are the rules for parameters.
    let missing = tables.iter().filter(|(_, table)| !shown.iter().any(|known| same_keys(known, &table["properties"])));
    let missing: Vec<_> = missing.map(|(path, _)| path).collect();
    assert!(missing.is_empty(), "{PAGE} does not show {missing:?}");
    hold(PAGE, &parts);
}

fn same_keys(one: &Value, other: &Value) -> bool {
    one.as_object().unwrap().keys().eq(other.as_object().unwrap().keys())
}

fn part(schema: &Value, path: &str) -> String {
    let prefix = if path.is_empty() { String::new() } else { format!("{path}.") };
    let keys = schema["properties"].as_object().unwrap();
    let rows: Vec<_> = keys.iter().map(|(key, of)| row(schema, &prefix, key, of)).collect();
    let head = linked(&described(schema).0, PAGE);
    format!("{}\n\n{}", wrapped(&head), table(&["key", "type", "default", "meaning"], &rows))
}

fn row(schema: &Value, prefix: &str, key: &str, of: &Value) -> Vec<String> {
    let (meaning, default) = described(of);
    let is_required = schema["required"].as_array().is_some_and(|keys| keys.iter().any(|required| required == key));
    let kinds = kinds(of);
    let default = match default {
        _ if is_required => "required".to_owned(),
        Some(default) => default,
        // What is in the table has defaults of its own.
        None if kinds == "table" => "optional".to_owned(),
        None => "none".to_owned(),
    };
    vec![format!("`{prefix}{key}`"), kinds, default, linked(&meaning, PAGE)]
}

/// What a schema means, and the default that it states.
fn described(schema: &Value) -> (String, Option<String>) {
    let text = schema["description"].as_str().unwrap_or_default().replace('\n', " ");
    match text.split_once(" Default: ") {
        Some((meaning, default)) => (meaning.to_owned(), Some(default.trim_end_matches('.').to_owned())),
        None => (text, None),
    }
}

/// The kinds of values that a schema allows: ``integer or `"unlimited"` ``.
fn kinds(schema: &Value) -> String {
    let mut kinds = Vec::new();
    collect_kinds(schema, &mut kinds);
    kinds.dedup();
    match kinds.as_slice() {
        [head @ .., last] if !head.is_empty() => format!("{} or {last}", head.join(", ")),
        kinds => kinds.concat(),
    }
}

fn collect_kinds(schema: &Value, kinds: &mut Vec<String>) {
    let words = schema["enum"].as_array().into_iter().flatten().chain(schema.get("const"));
    let words: Vec<_> = words.map(|word| format!("`{word}`")).collect();
    let branches: Vec<_> = ["anyOf", "oneOf"].iter().filter_map(|key| schema[*key].as_array()).flatten().collect();
    if !words.is_empty() {
        kinds.extend(words);
    } else if !branches.is_empty() {
        branches.into_iter().for_each(|branch| collect_kinds(branch, kinds));
    } else if schema["$ref"].is_string() || schema["type"] == "object" {
        kinds.push("table".to_owned());
    } else if schema["type"] == "array" {
        let items = self::kinds(&schema["items"]);
        kinds.push(if items.contains(' ') { "list".to_owned() } else { format!("list of {items}s") });
    } else {
        kinds.push(schema["type"].as_str().unwrap().to_owned());
    }
}

/// The literal defaults of a table of the schema, as TOML.
pub fn literal_defaults(path: &str) -> toml::Table {
    let tables = tables();
    let keys = tables[path]["properties"].as_object().unwrap();
    let literal = |of: &Value| {
        let default = described(of).1?;
        let text = default.strip_prefix('`')?.strip_suffix('`')?;
        format!("x = {text}").parse::<toml::Table>().ok()?.remove("x")
    };
    keys.iter().filter_map(|(key, of)| Some((key.clone(), literal(of)?))).collect()
}

#[test]
fn a_row_has_kind_default_and_links() {
    let schema = serde_json::json!({ "required": ["b"] });
    let of = serde_json::json!({
        "description": "What\nit is (docs/clients.md, \"A `b` c\"; docs/configuration.md, \"Events\"). Default: `1`.",
        "anyOf": [{ "type": "integer" }, { "const": "unlimited" }],
    });
    let cells = row(&schema, "x.", "a", &of);
    let meaning = "What it is ([A `b` c](clients.md#a-b-c); [Events](#events)).";
    assert_eq!(cells, ["`x.a`", "integer or `\"unlimited\"`", "`1`", meaning]);
    assert_eq!(row(&schema, "x.", "b", &of)[2], "required");
}
