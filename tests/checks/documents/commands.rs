//! The tables of docs/reference/cli.md: made from the definitions of the command line.

use std::collections::BTreeMap;

use clap::{Arg, Command};

use super::made::{hold, linked, table};

const PAGE: &str = "docs/reference/cli.md";

#[test]
fn the_tables_of_commands_and_options_are_those_of_the_program() {
    let program = anteroom::cli::command();
    let (mut commands, mut options) = (Vec::new(), Vec::new());
    collect(&program, "anteroom", &mut commands, &mut options);
    assert!(commands.len() > 15 && options.len() > 10, "commands and options are found");
    let heads = ["option", "of", "default", "meaning"];
    let options: Vec<_> = options.into_iter().map(|option| option.row(&program)).collect();
    let parts = [("commands", table(&["command", "does"], &commands)), ("options", table(&heads, &options))];
    hold(PAGE, &parts.map(|(name, part)| (name.to_owned(), part)).into_iter().collect::<BTreeMap<_, _>>());
}

/// An option, with all commands that have it with the same meaning.
struct Opt {
    usage: String,
    default: String,
    meaning: String,
    of: Vec<String>,
}

impl Opt {
    fn row(mut self, program: &Command) -> Vec<String> {
        for group in program.get_subcommands() {
            let below: Vec<_> =
                group.get_subcommands().map(|one| format!("{} {}", group.get_name(), one.get_name())).collect();
            if !below.is_empty() && below.iter().all(|command| self.of.contains(command)) {
                let first = self.of.iter().position(|command| below.contains(command)).unwrap();
                self.of[first] = group.get_name().to_owned();
                self.of.retain(|command| !below.contains(command));
            }
        }
        let of: Vec<_> = self.of.iter().map(|command| format!("`{command}`")).collect();
        vec![format!("`{}`", self.usage), of.join(", "), self.default, self.meaning]
    }
}

fn collect(command: &Command, path: &str, commands: &mut Vec<Vec<String>>, options: &mut Vec<Opt>) {
    let mut below = command.get_subcommands().filter(|command| command.get_name() != "help").peekable();
    if below.peek().is_none() {
        let does = command.get_long_about().or(command.get_about()).map(ToString::to_string).unwrap_or_default();
        commands.push(vec![format!("`{path}{}`", usage(command)), sentences(&does)]);
        for arg in own_args(command).filter(|arg| !arg.is_positional()) {
            collect_option(arg, path.trim_start_matches("anteroom "), options);
        }
    }
    below.for_each(|command| collect(command, &format!("{path} {}", command.get_name()), commands, options));
}

fn collect_option(arg: &Arg, command: &str, options: &mut Vec<Opt>) {
    let help = arg.get_long_help().or(arg.get_help()).map(ToString::to_string).unwrap_or_default();
    let defaults: Vec<_> = arg.get_default_values().iter().map(|value| format!("`{}`", value.display())).collect();
    let default = match defaults.as_slice() {
        _ if arg.is_required_set() => "required".to_owned(),
        [] => "none".to_owned(),
        _ if !arg.get_action().takes_values() => "none".to_owned(),
        defaults => defaults.concat(),
    };
    let option = Opt { usage: named(arg), default, meaning: sentences(&help), of: Vec::new() };
    let is_same = |known: &Opt| (&known.usage, &known.meaning) == (&option.usage, &option.meaning);
    let known = options.iter().position(is_same).unwrap_or_else(|| {
        options.push(option);
        options.len() - 1
    });
    options[known].of.push(command.to_owned());
}

/// The arguments of a command: ` --config DIR [--online]`.
fn usage(command: &Command) -> String {
    let mut usage = String::new();
    let mut in_groups = Vec::new();
    for group in command.get_groups().filter(|group| group.is_required_set()) {
        let members: Vec<_> = own_args(command).filter(|arg| group.get_args().any(|id| id == arg.get_id())).collect();
        usage += &format!(" ({})", members.iter().map(|arg| named(arg)).collect::<Vec<_>>().join("|"));
        in_groups.extend(members.into_iter().map(Arg::get_id));
    }
    let (places, named_ones): (Vec<_>, Vec<_>) =
        own_args(command).filter(|arg| !in_groups.contains(&arg.get_id())).partition(|arg| arg.is_positional());
    let of = |arg: &Arg| if arg.is_required_set() { format!(" {}", named(arg)) } else { format!(" [{}]", named(arg)) };
    let places: String = places.into_iter().map(of).collect();
    places + &usage + &named_ones.into_iter().map(of).collect::<String>()
}

fn own_args(command: &Command) -> impl Iterator<Item = &Arg> {
    command.get_arguments().filter(|arg| !matches!(arg.get_id().as_str(), "help" | "version"))
}

/// `--log json|text`, `--config DIR`, or the name of a place.
fn named(arg: &Arg) -> String {
    let words: Vec<_> = arg.get_possible_values().iter().map(|value| value.get_name().to_owned()).collect();
    let names = arg.get_value_names().unwrap_or_default();
    let name: String = names.iter().map(ToString::to_string).collect();
    let value = if words.is_empty() { name } else { words.join("|") };
    match arg.get_long() {
        Some(long) if arg.get_action().takes_values() => format!("--{long} {value}"),
        Some(long) => format!("--{long}"),
        None => value,
    }
}

/// Paragraphs of a help text as sentences in one line.
fn sentences(help: &str) -> String {
    let text = help.split("\n\n").map(str::trim).collect::<Vec<_>>();
    let text: Vec<_> = text.iter().map(|part| format!("{}.", part.trim_end_matches('.'))).collect();
    linked(&text.join(" ").replace("....", "..."), PAGE)
}
