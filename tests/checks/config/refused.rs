//! What is refused, and in which words.

use super::Config;

mod files;
mod gateway;
mod places;
mod policy;
mod tenant;

/// One file of the sound configuration that is written anew, or added, and every fault that this makes.
struct Broken {
    name: &'static str,
    file: &'static str,
    text: &'static str,
    faults: &'static [&'static str],
}

const BROKEN: [&[Broken]; 5] = [files::BROKEN, gateway::BROKEN, policy::BROKEN, tenant::BROKEN, places::BROKEN];

#[test]
fn everything_that_is_wrong_is_told_at_once_with_file_line_key_and_reason() {
    for Broken { name, file, text, faults } in BROKEN.into_iter().flatten() {
        let config = Config::new();
        config.write(file, text);
        let found = config.faults();
        assert_eq!(found.lines().collect::<Vec<_>>(), *faults, "{name}");
        assert!(!found.contains("hunter2"), "{name}: a secret is shown");
    }
}

#[test]
fn the_faults_of_all_files_come_together_in_the_order_of_the_files() {
    let config = Config::new();
    config
        .write("tenants/heron.toml", "name = 1\n")
        .write("policies/large.toml", "title = \"Large\"\npool = 1\n[limits]\n")
        .write("certs/a.example/fullchain.pem", "")
        .write("anteroom.toml", "[listen]\nhttp = [1]\n");
    let files: Vec<String> =
        config.load().expect_err("it is broken").iter().map(|fault| fault.file.display().to_string()).collect();
    let mut distinct = files.clone();
    distinct.dedup();
    assert_eq!(
        distinct,
        [
            "anteroom.toml",
            "certs/a.example/fullchain.pem",
            "certs/a.example/privkey.pem",
            "policies/large.toml",
            "tenants/heron.toml",
            "tenants/wagtail.toml",
        ]
    );
}

#[test]
fn a_policy_that_is_broken_is_not_missed_as_well() {
    let config = Config::new();
    config.write("policies/small.toml", "title =\n");
    assert_eq!(config.faults().lines().count(), 1);
}
