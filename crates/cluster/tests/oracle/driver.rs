//! Talks to the oracle program of `conformance/oracle` and counts what a run reached.
//!
//! A subject sends its cases in batches, gets the answers of the real libraries in the same order, and
//! compares. Nothing here knows what a case means.

use std::collections::BTreeMap;
use std::fmt;
use std::io::{self, BufRead, BufReader, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};

use serde_json::Value;

/// Names a built oracle program; without it one is built with `go`.
const PROGRAM: &str = "FERROFLOW_ORACLE";
/// Each named situation must come up in at least this share of the cases.
const REACHED_PERCENT: usize = 5;
/// Differences that are printed in full; the rest is counted.
const SHOWN: usize = 10;

/// What the real library said.
#[derive(Clone, Debug, PartialEq)]
pub enum Answer {
    Value(Value),
    /// It refused, in these words.
    Error(String),
    /// The case was not understood, or the library panicked.
    Panic(String),
}

/// A running oracle program.
pub struct Oracle {
    child: Child,
    answers: BufReader<ChildStdout>,
}

impl Oracle {
    /// Starts the program, built where need be. The outer error says that none can be had on this machine.
    pub fn start() -> Result<Self, String> {
        let program = match std::env::var_os(PROGRAM) {
            Some(program) => PathBuf::from(program),
            None => build()?,
        };
        Self::run(&program).map_err(|fault| format!("{} does not start: {fault}", program.display()))
    }

    fn run(program: &Path) -> io::Result<Self> {
        let mut child = Command::new(program).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let stdout = child.stdout.take().ok_or_else(|| io::Error::other("no standard output"))?;
        Ok(Self { child, answers: BufReader::new(stdout) })
    }

    /// Asks a batch of cases; the answers come in the same order.
    pub fn ask(&mut self, cases: &[Value]) -> io::Result<Vec<Answer>> {
        let stdin = self.child.stdin.as_mut().ok_or_else(|| io::Error::other("no standard input"))?;
        let answers = &mut self.answers;
        std::thread::scope(|scope| {
            let asking = scope.spawn(move || {
                let mut writer = BufWriter::new(stdin);
                for case in cases {
                    serde_json::to_writer(&mut writer, case)?;
                    writer.write_all(b"\n")?;
                }
                writer.flush()
            });
            let mut read = Vec::with_capacity(cases.len());
            for _ in cases {
                read.push(read_answer(answers)?);
            }
            asking.join().map_err(|_| io::Error::other("the writer panicked"))??;
            Ok(read)
        })
    }
}

impl Drop for Oracle {
    fn drop(&mut self) {
        drop(self.child.stdin.take());
        let _ = self.child.wait();
    }
}

fn read_answer(answers: &mut impl BufRead) -> io::Result<Answer> {
    let mut line = String::new();
    if answers.read_line(&mut line)? == 0 {
        return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the oracle has ended"));
    }
    let mut reply: BTreeMap<String, Value> = serde_json::from_str(&line)?;
    let text = |value: Value| value.as_str().unwrap_or_default().to_owned();
    Ok(match (reply.remove("panic"), reply.remove("error")) {
        (Some(cause), _) => Answer::Panic(text(cause)),
        (None, Some(refusal)) => Answer::Error(text(refusal)),
        (None, None) => Answer::Value(reply.remove("answer").unwrap_or(Value::Null)),
    })
}

/// Builds `conformance/oracle` into the target folder.
fn build() -> Result<PathBuf, String> {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../conformance/oracle");
    let program = Path::new(env!("CARGO_TARGET_TMPDIR")).join("oracle");
    let built = Command::new("go")
        .arg("build")
        .arg("-o")
        .arg(&program)
        .arg(".")
        .env("CGO_ENABLED", "0")
        .current_dir(&source)
        .output()
        .map_err(|fault| format!("go is not on PATH ({fault}); name a built oracle in {PROGRAM}"))?;
    if built.status.success() {
        return Ok(program);
    }
    Err(format!("the oracle does not build: {}", String::from_utf8_lossy(&built.stderr)))
}

/// The cases that once disagreed: `regressions/<subject>.json`, a list.
pub fn regressions(subject: &str) -> Vec<Value> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/oracle/regressions/{subject}.json"));
    match std::fs::read_to_string(&path) {
        Ok(text) => serde_json::from_str(&text).expect("regressions are a JSON list"),
        Err(_) => Vec::new(),
    }
}

/// What a run has counted.
#[derive(Default)]
pub struct Tally {
    pub passed: usize,
    pub failed: usize,
    pub skipped: usize,
    /// Cases that reached a situation, by its name.
    pub reached: BTreeMap<&'static str, usize>,
    shown: usize,
}

impl Tally {
    /// A tally that expects these situations.
    pub fn expecting(situations: &[&'static str]) -> Self {
        Self { reached: situations.iter().map(|name| (*name, 0)).collect(), ..Self::default() }
    }

    /// Notes that a case reached a situation; once a case.
    pub fn reach(&mut self, situation: &'static str) {
        *self.reached.entry(situation).or_default() += 1;
    }

    /// Notes the outcome of a case; a difference is printed with the case that shows it.
    pub fn judge(&mut self, case: &Value, outcome: Result<(), String>) {
        match outcome {
            Ok(()) => self.passed += 1,
            Err(difference) => {
                self.failed += 1;
                if self.shown < SHOWN {
                    self.shown += 1;
                    eprintln!("--- difference\n{difference}\n--- case\n{case}");
                }
            }
        }
    }

    /// The situations that came up too seldom.
    pub fn too_seldom(&self) -> Vec<&'static str> {
        let cases = self.passed + self.failed;
        self.reached
            .iter()
            .filter(|(_, count)| **count * 100 < cases * REACHED_PERCENT)
            .map(|(name, _)| *name)
            .collect()
    }

    /// Ends a test: prints the tally, and fails where a case differs or a situation is too seldom.
    pub fn finish(&self, subject: &str) {
        println!("{subject}: {self}");
        assert_eq!(self.failed, 0, "{subject}: {} cases differ from the real library", self.failed);
        let seldom = self.too_seldom();
        assert!(seldom.is_empty(), "{subject}: under {REACHED_PERCENT} % of the cases reach {seldom:?}");
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let cases = (self.passed + self.failed).max(1);
        for (name, count) in &self.reached {
            write!(f, "{name} {:.1} %, ", *count as f64 * 100.0 / cases as f64)?;
        }
        write!(f, "{} passed, {} failed, {} skipped", self.passed, self.failed, self.skipped)
    }
}
