//! The operator's command that sets and removes TXT records, for DNS-01.

use std::{process::Stdio, time::Duration};

use tokio::{
    io::{AsyncReadExt, sink},
    process::Command,
    time::timeout,
};

/// A command that takes longer is killed: name servers need a while to have a record all.
const HOOK_TIMEOUT: Duration = Duration::from_secs(300);
/// More of what it says is not looked at.
const WORDS_MAX: u64 = 4096;
/// More of its first line is not shown.
const LINE_MAX: usize = 200;

/// Runs the command with `add` or `remove`, the name of the record and its value behind its own arguments. No shell is in
/// between.
///
/// # Errors
/// One sentence: it cannot be started, has not ended in time, or has ended with an error, with the first line that it has said.
pub(super) async fn run(command: &[String], action: &str, name: &str, value: &str) -> Result<(), String> {
    run_for(command, [action, name, value], HOOK_TIMEOUT).await
}

async fn run_for(command: &[String], arguments: [&str; 3], most: Duration) -> Result<(), String> {
    let Some((program, own)) = command.split_first() else { return Err("acme.dns_hook is empty".into()) };
    let started = Command::new(program)
        .args(own)
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn();
    let mut child = started.map_err(|error| format!("the DNS hook {program} cannot be started: {error}"))?;
    let mut words = Vec::new();
    let mut said = child.stderr.take();
    let done = async {
        if let Some(said) = &mut said {
            let _ = said.take(WORDS_MAX).read_to_end(&mut words).await;
            // The rest is read all the same, so that the command does not wait for its reader.
            let _ = tokio::io::copy(said, &mut sink()).await;
        }
        child.wait().await
    };
    let ended = timeout(most, done).await;
    match ended {
        Err(_) => Err(format!("the DNS hook {program} has not ended within {} s", most.as_secs())),
        Ok(Err(error)) => Err(format!("the DNS hook {program} failed: {error}")),
        Ok(Ok(status)) if status.success() => Ok(()),
        Ok(Ok(status)) => Err(format!("the DNS hook {program} failed ({status}): {}", first_line(&words))),
    }
}

/// The first line that was said, without control characters and of bounded length.
fn first_line(words: &[u8]) -> String {
    let text = String::from_utf8_lossy(words);
    let line = text.lines().find(|line| !line.trim().is_empty()).unwrap_or("it has said nothing");
    line.chars().filter(|c| !c.is_control()).take(LINE_MAX).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str) -> Vec<String> {
        ["/bin/sh", "-c", script, "hook"].map(str::to_owned).to_vec()
    }

    #[tokio::test]
    async fn a_hook_gets_the_record_as_arguments_and_its_failure_is_told() {
        let dir = tempfile::tempdir().expect("a directory");
        let file = dir.path().join("called");
        let script = format!("printf '%s|' \"$@\" > {}", file.display());
        run(&shell(&script), "add", "_acme-challenge.meet.example", "a b;$(true)").await.expect("it ends with 0");
        let called = std::fs::read_to_string(&file).expect("called");
        assert_eq!(called, "add|_acme-challenge.meet.example|a b;$(true)|", "no shell reads the value");
        let why = run(&shell("echo; echo 'zone is locked' >&2; echo more >&2; exit 3"), "add", "n", "v").await;
        assert_eq!(why, Err("the DNS hook /bin/sh failed (exit status: 3): zone is locked".to_owned()));
        let why = run(&["/nowhere/hook".to_owned()], "add", "n", "v").await.expect_err("no such file");
        assert!(why.starts_with("the DNS hook /nowhere/hook cannot be started: "), "{why}");
    }

    #[tokio::test]
    async fn a_hook_that_says_much_ends_and_one_that_hangs_is_killed() {
        run(&shell("head -c 1000000 /dev/zero >&2"), "remove", "n", "v").await.expect("it ends");
        let hangs = shell("exec sleep 600");
        let why = run_for(&hangs, ["add", "n", "v"], Duration::from_millis(50)).await;
        assert_eq!(why, Err("the DNS hook /bin/sh has not ended within 0 s".to_owned()));
    }
}
