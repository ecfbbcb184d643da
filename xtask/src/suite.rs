//! `cargo xtask test`: every test of the workspace, several programs of tests at a time.
//!
//! Cargo builds the programs and says where they lie; each runs as cargo would run it, in the folder of its package, with
//! its output in a file of its own. Most of them wait for most of their time: for pods, for a limit, for a server that was
//! killed. A test that this machine lacks something for says `skipped: …` and passes, and libtest keeps that to itself:
//! so it is looked for here, and shown.

use std::{
    collections::VecDeque,
    env,
    fs::{self, File},
    path::{Path, PathBuf},
    process::{Command, ExitCode, Stdio},
    sync::{Mutex, PoisonError},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, bail, ensure};
use serde::Deserialize;

/// How the command is used.
pub const USAGE: &str = "usage: cargo xtask test [--beside COUNT]
  builds every test and runs COUNT programs of tests at a time, one more than there are processors where nothing is said;
  what each says stays in target/tests";
/// The programs that take longest are begun first, so that none is left to run alone.
const LONGEST: [&str; 6] = ["oracle", "crash_shims", "down", "crash", "limits", "crash_runs"];
/// Lines of a failed program that are shown where it does not say which of its tests failed.
const LAST_LINES: usize = 100;

/// What is run: a program of tests, or the examples in documentation.
struct Job {
    name: String,
    command: Command,
}

/// What came of one.
struct Outcome {
    name: String,
    passed: bool,
    took: Duration,
    said: String,
}

/// How many tests of a program came out how.
#[derive(Debug, PartialEq, Eq)]
struct Tally {
    passed: usize,
    failed: usize,
    skipped: usize,
}

/// Runs all tests.
///
/// # Errors
/// When a test cannot be built or a program not be started; a test that fails is no error but a failing exit code.
pub fn run(root: &Path, words: &[&str]) -> anyhow::Result<ExitCode> {
    let beside = match words {
        [] => thread::available_parallelism().map_or(2, |count| count.get() + 1),
        ["--beside", count] => {
            count.parse().ok().filter(|count| *count > 0).context("--beside is a number from 1 on")?
        }
        _ => bail!("{USAGE}"),
    };
    let logs = target(root).join("tests");
    fs::create_dir_all(&logs).with_context(|| logs.display().to_string())?;
    let jobs = Mutex::new(jobs(root)?);
    let next = || jobs.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
    let outcomes: anyhow::Result<Vec<Vec<Outcome>>> = thread::scope(|scope| {
        let work = || -> anyhow::Result<Vec<Outcome>> {
            let mut outcomes = Vec::new();
            while let Some(job) = next() {
                let outcome = carry_out(job, &logs)?;
                show(&outcome);
                outcomes.push(outcome);
            }
            Ok(outcomes)
        };
        let workers: Vec<_> = (0..beside).map(|_| scope.spawn(work)).collect();
        workers.into_iter().map(|worker| worker.join().unwrap_or_else(|_| bail!("a thread panicked"))).collect()
    });
    let tallies: Vec<Tally> = outcomes?.iter().flatten().map(tally).collect();
    let sum = |count: fn(&Tally) -> usize| tallies.iter().map(count).sum::<usize>();
    let failed = sum(|tally| tally.failed);
    println!("{} passed, {failed} failed, {} skipped", sum(|tally| tally.passed), sum(|tally| tally.skipped));
    Ok(if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// What in the output of libtest, run with `--show-output`, says that a test was skipped: `TEST: reason`, a line each.
pub fn skips(output: &str) -> Vec<String> {
    let mut test = "";
    let mut found = Vec::new();
    for line in output.lines() {
        if let Some(name) = line.strip_prefix("---- ").and_then(|rest| rest.strip_suffix(" stdout ----")) {
            test = name;
        } else if let Some(reason) = line.strip_prefix("skipped") {
            found.push(format!("{test}: {}", reason.trim_start_matches(':').trim_start()));
        }
    }
    found
}

fn target(root: &Path) -> PathBuf {
    env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), PathBuf::from)
}

fn cargo(root: &Path) -> Command {
    let mut cargo = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.current_dir(root).args(["test", "--quiet", "--workspace"]);
    // What the cargo that runs this said of this package. Build scripts (ring's) are run anew where it changes.
    let of_package = ["CARGO_BIN_", "CARGO_CRATE_", "CARGO_MANIFEST_", "CARGO_PKG_", "CARGO_PRIMARY_"];
    for (name, _) in env::vars_os() {
        if name.to_str().is_some_and(|name| of_package.iter().any(|start| name.starts_with(start))) {
            cargo.env_remove(name);
        }
    }
    cargo
}

/// Builds the programs of tests, and says how to run each.
fn jobs(root: &Path) -> anyhow::Result<VecDeque<Job>> {
    let mut build = cargo(root);
    build.args(["--no-run", "--message-format=json-render-diagnostics"]).stderr(Stdio::inherit());
    let output = build.output().context("cargo test --no-run")?;
    ensure!(output.status.success(), "the tests cannot be built");
    let mut jobs = programs(&String::from_utf8(output.stdout).context("cargo's messages")?)?;
    ensure!(!jobs.is_empty(), "cargo names no program of tests");
    let mut documentation = cargo(root);
    documentation.arg("--doc");
    jobs.push(Job { name: "documentation".to_owned(), command: documentation });
    jobs.sort_by_key(|job| {
        LONGEST.iter().position(|long| job.name.ends_with(&format!(" {long}"))).unwrap_or(LONGEST.len())
    });
    Ok(jobs.into())
}

/// A line of `cargo --message-format=json`, as far as it matters here.
#[derive(Deserialize)]
struct Message {
    reason: String,
    manifest_path: Option<PathBuf>,
    target: Option<Target>,
    profile: Option<Profile>,
    executable: Option<PathBuf>,
}

#[derive(Deserialize)]
struct Target {
    name: String,
}

#[derive(Deserialize)]
struct Profile {
    test: bool,
}

fn programs(messages: &str) -> anyhow::Result<Vec<Job>> {
    let mut found = Vec::new();
    for line in messages.lines().filter(|line| line.starts_with('{')) {
        let message: Message = serde_json::from_str(line).with_context(|| line.to_owned())?;
        let is_test = message.reason == "compiler-artifact" && message.profile.is_some_and(|profile| profile.test);
        let (true, Some(path), Some(manifest), Some(target)) =
            (is_test, message.executable, message.manifest_path, message.target)
        else {
            continue;
        };
        let directory = manifest.parent().context("a manifest's folder")?;
        let package = directory.file_name().unwrap_or_default().to_string_lossy();
        let mut command = Command::new(path);
        command.arg("--show-output").current_dir(directory).env("CARGO_MANIFEST_DIR", directory);
        found.push(Job { name: format!("{package} {}", target.name), command });
    }
    Ok(found)
}

fn carry_out(mut job: Job, logs: &Path) -> anyhow::Result<Outcome> {
    let log = logs.join(format!("{}.log", job.name.replace(' ', ".")));
    let file = File::create(&log).with_context(|| log.display().to_string())?;
    let began = Instant::now();
    job.command.stdin(Stdio::null()).stdout(file.try_clone()?).stderr(file);
    let status = job.command.status().with_context(|| format!("{:?}", job.command))?;
    let took = began.elapsed();
    let said = String::from_utf8_lossy(&fs::read(&log).with_context(|| log.display().to_string())?).into_owned();
    Ok(Outcome { name: job.name, passed: status.success(), took, said })
}

/// Prints what a person wants to see of it, at once, so that it stays together.
fn show(outcome: &Outcome) {
    let Outcome { name, passed, took, said } = outcome;
    let counts: Vec<&str> = said.lines().filter_map(counts).collect();
    let word = if *passed { "ok     " } else { "FAILED " };
    let mut text = format!("{word} {name}: {} ({:.1} s)\n", counts.join(", "), took.as_secs_f64());
    if !passed {
        text.push_str(failures(said).trim_start());
        text.push('\n');
    }
    for skip in skips(said) {
        text.push_str(&format!("skipped {name} {skip}\n"));
    }
    print!("{text}");
}

/// A program that failed without a failed test is one that failed.
fn tally(outcome: &Outcome) -> Tally {
    let number = |row: &str, word: &str| -> usize {
        row.split("; ").find_map(|part| part.strip_suffix(word)?.trim().parse().ok()).unwrap_or(0)
    };
    let rows: Vec<&str> = outcome.said.lines().filter_map(counts).collect();
    let sum = |word: &str| rows.iter().map(|row| number(row, word)).sum::<usize>();
    let skipped = skips(&outcome.said).len();
    let failed = sum("failed").max(usize::from(!outcome.passed));
    Tally { passed: sum("passed").saturating_sub(skipped), failed, skipped }
}

/// `N passed; N failed` of libtest's last line.
fn counts(line: &str) -> Option<&str> {
    let rest = line.strip_prefix("test result: ")?.split_once(". ")?.1;
    Some(rest.split_once("; 0 ignored").map_or(rest, |(counts, _)| counts))
}

/// The part of a failed program's output that tells of failures: the last of it where there is none.
fn failures(said: &str) -> String {
    match said.find("\nfailures:\n") {
        Some(at) => said[at..].to_owned(),
        None => {
            let lines: Vec<&str> = said.lines().collect();
            lines[lines.len().saturating_sub(LAST_LINES)..].join("\n")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SAID: &str = "\nrunning 2 tests\n..\nsuccesses:\n\n---- a::b stdout ----\nfirst\nskipped: no S3 server\n\n\
                        ---- c stdout ----\nskipped in process: a cluster\n\nsuccesses:\n    a::b\n    c\n\n\
                        test result: ok. 2 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.1s\n";

    #[test]
    fn what_was_skipped_is_found_with_its_test_and_reason() {
        assert_eq!(skips(SAID), ["a::b: no S3 server", "c: in process: a cluster"]);
        assert_eq!(SAID.lines().filter_map(counts).collect::<Vec<_>>(), ["2 passed; 0 failed"]);
    }

    #[test]
    fn a_test_that_was_skipped_is_no_test_that_passed() {
        let of =
            |passed: bool, said: String| tally(&Outcome { name: "a".to_owned(), passed, took: Duration::ZERO, said });
        assert_eq!(of(true, SAID.to_owned()), Tally { passed: 0, failed: 0, skipped: 2 });
        assert_eq!(of(true, SAID.replace("2 passed", "7 passed")), Tally { passed: 5, failed: 0, skipped: 2 });
        assert_eq!(of(false, SAID.replace("0 failed", "3 failed")), Tally { passed: 0, failed: 3, skipped: 2 });
        assert_eq!(of(false, "killed".to_owned()), Tally { passed: 0, failed: 1, skipped: 0 });
    }

    #[test]
    fn of_a_failed_program_what_failed_is_told() {
        let said = "successes:\n\n---- a stdout ----\nlong\n\nfailures:\n\n---- b stdout ----\nwrong\n";
        assert_eq!(failures(said), "\nfailures:\n\n---- b stdout ----\nwrong\n");
        assert_eq!(failures("killed"), "killed");
    }

    #[test]
    fn programs_of_tests_alone_are_run_in_the_folder_of_their_package() {
        let row = |name: &str, test: bool, executable: &str| {
            format!(
                r#"{{"reason":"compiler-artifact","manifest_path":"/w/crates/node/Cargo.toml","target":{{"name":"{name}"}},"profile":{{"test":{test}}},"executable":{executable}}}"#
            )
        };
        let messages = [
            r#"{"reason":"build-script-executed"}"#.to_owned(),
            row("ferroflow_node", true, r#""/t/node-1""#),
            row("ferroflow", false, r#""/t/ferroflow""#),
            row("serde", false, "null"),
            "not json".to_owned(),
        ];
        let found = programs(&messages.join("\n")).unwrap();
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].name, "node ferroflow_node");
        assert_eq!(found[0].command.get_current_dir(), Some(Path::new("/w/crates/node")));
    }
}
