//! The defaults that the schema, and so the documentation, states are those of the code.

use std::fs;

use super::{Config, GATEWAY, lines};
use crate::documents::configuration::literal_defaults;

/// Writes the literal defaults of a table into its file, except for keys that it has. Returns how many there are.
fn spell_out(config: &Config, file: &str, table: &[&str], schema: &str) -> usize {
    let mut whole: toml::Table = fs::read_to_string(config.path(file)).unwrap().parse().unwrap();
    let place = table.iter().fold(&mut whole, |table, key| {
        table.entry(*key).or_insert_with(|| toml::Table::new().into()).as_table_mut().unwrap()
    });
    let defaults = literal_defaults(schema);
    let count = defaults.len();
    for (key, value) in defaults {
        place.entry(key).or_insert(value);
    }
    config.write(file, whole.to_string());
    count
}

#[test]
fn stated_defaults_are_those_of_the_code() {
    const GET_USER: &str =
        "\n[get_user]\nhost = \"wagtail.meet.example\"\nsecret = \"secret of getUser\"\nsources = [\"10.0.0.7\"]\n";
    let config = Config::new();
    config.write("anteroom.toml", format!("{GATEWAY}{GET_USER}"));
    let before = config.load().unwrap_or_else(|faults| panic!("{}", lines(&faults)));
    let places: [(&str, &[&str], &str); 10] = [
        ("anteroom.toml", &[], "anteroom.toml"),
        ("anteroom.toml", &["listen"], "anteroom.toml listen"),
        ("anteroom.toml", &["store"], "anteroom.toml store"),
        ("anteroom.toml", &["upstream"], "anteroom.toml upstream"),
        ("anteroom.toml", &["connections"], "anteroom.toml connections"),
        ("anteroom.toml", &["rates"], "anteroom.toml rates"),
        ("anteroom.toml", &["get_user"], "anteroom.toml get_user"),
        ("anteroom.toml", &["servers", "bbb-01"], "anteroom.toml servers.<>"),
        ("tenants/wagtail.toml", &[], "tenant"),
        ("policies/small.toml", &["limits"], "policy limits"),
    ];
    let count: usize = places.iter().map(|(file, table, schema)| spell_out(&config, file, table, schema)).sum();
    assert!(count > 25, "the defaults are found: {count}");

    let after = config.load().unwrap_or_else(|faults| panic!("{}", lines(&faults)));
    assert_eq!(after.settings, before.settings);
    assert_eq!(after.directory.server("bbb-01"), before.directory.server("bbb-01"));
    assert_eq!(after.directory.tenant("wagtail"), before.directory.tenant("wagtail"));
}
