//! A run until its end: a live tree on a terminal, a line for each change elsewhere.

use std::{
    collections::HashMap,
    io::IsTerminal,
    time::{Duration, Instant},
};

use ferroflow_platform::clock::{Clock, SystemClock};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde_json::Value;

use super::{
    client::Api,
    tree::{Detail, Tree, shown},
};

/// How often a run is looked at, at the most; less often where one look takes long.
const LOOK: Duration = Duration::from_millis(250);
/// A look may take a twentieth of the time at most.
const SHARE: u32 = 20;
/// A page of tasks, the most that the server gives.
const PAGE: &str = "200";
/// Lines of the tree where the terminal does not say how high it is.
const HEIGHT: usize = 24;

/// How a run was left.
pub enum Left {
    Ended,
    /// The user no longer waits.
    Interrupted,
}

/// A run and its tasks.
pub struct Seen {
    pub run: Value,
    pub tasks: Vec<Value>,
}

impl Seen {
    pub fn state(&self) -> &str {
        self.run["state"].as_str().unwrap_or_default()
    }

    pub fn has_ended(&self) -> bool {
        matches!(self.state(), "SUCCEEDED" | "FAILED" | "SKIPPED" | "CANCELED")
    }

    pub fn tree(&self) -> Tree {
        Tree::new(&self.tasks)
    }
}

/// Asks for a run and all of its tasks.
///
/// # Errors
/// Those of the server.
pub async fn look(api: &Api, id: &str) -> anyhow::Result<Seen> {
    // The run first: tasks that are asked for after its end are the last word.
    let run = api.get(&format!("/runs/{id}"), &[]).await?;
    Ok(Seen { run, tasks: tasks(api, id).await? })
}

async fn tasks(api: &Api, id: &str) -> anyhow::Result<Vec<Value>> {
    let (mut tasks, mut token) = (Vec::new(), String::new());
    loop {
        let mut query = vec![("page_size", PAGE)];
        if !token.is_empty() {
            query.push(("page_token", token.as_str()));
        }
        let mut page = api.get(&format!("/runs/{id}/tasks"), &query).await?;
        if let Value::Array(listed) = page["tasks"].take() {
            tasks.extend(listed);
        }
        match page["next_page_token"].as_str().filter(|next| !next.is_empty()) {
            Some(next) => token = next.to_owned(),
            None => return Ok(tasks),
        }
    }
}

/// Shows a run on standard error until it has ended, or the user interrupts.
///
/// # Errors
/// Those of the server.
pub async fn follow(api: &Api, id: &str) -> anyhow::Result<(Seen, Left)> {
    let mut view = View::new();
    let interrupted = tokio::signal::ctrl_c();
    tokio::pin!(interrupted);
    loop {
        let began = Instant::now();
        let seen = look(api, id).await?;
        view.show(&seen);
        if seen.has_ended() {
            view.end(&seen);
            return Ok((seen, Left::Ended));
        }
        let pause = LOOK.max(began.elapsed() * SHARE);
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            _ = &mut interrupted => {
                view.end(&seen);
                return Ok((seen, Left::Interrupted));
            }
        }
    }
}

enum View {
    Live(ProgressBar),
    Lines(HashMap<String, String>),
}

impl View {
    fn new() -> Self {
        if !std::io::stderr().is_terminal() {
            return Self::Lines(HashMap::new());
        }
        let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
        if let Ok(style) = ProgressStyle::with_template("{msg}") {
            bar.set_style(style);
        }
        Self::Live(bar)
    }

    fn show(&mut self, seen: &Seen) {
        match self {
            Self::Live(bar) => bar.set_message(fitting(&seen.tree(), height()).join("\n")),
            Self::Lines(known) => {
                for task in seen.tree().tasks().iter().filter(|task| !task.path.is_empty() && task.state != "PENDING") {
                    if known.insert(task.path.clone(), task.state.clone()).as_ref() != Some(&task.state) {
                        let error = task.error.lines().next().map(|line| format!(": {line}")).unwrap_or_default();
                        eprintln!("{}  {}{error}", task.path, task.state.to_lowercase());
                    }
                }
            }
        }
    }

    /// Leaves the whole tree on the terminal.
    fn end(&mut self, seen: &Seen) {
        if let Self::Live(bar) = self {
            bar.finish_and_clear();
            for line in seen.tree().lines(SystemClock.now(), Detail::Lively, &paint()) {
                eprintln!("{line}");
            }
        }
    }
}

/// As much of the tree as the terminal shows: what is over is left out first, then what is last.
fn fitting(tree: &Tree, height: usize) -> Vec<String> {
    let mut lines = tree.lines(SystemClock.now(), Detail::Lively, &paint());
    let room = height.saturating_sub(1).max(1);
    if lines.len() > room {
        let more = lines.len() - room + 1;
        lines.drain(..more);
        lines.insert(0, format!("… {more} more lines"));
    }
    lines
}

fn height() -> usize {
    rustix::termios::tcgetwinsize(std::io::stderr()).map_or(HEIGHT, |size| usize::from(size.ws_row).max(2))
}

/// Colours for a terminal; none where there is none, or where NO_COLOR is set.
pub fn paint() -> impl Fn(&str, &str) -> String {
    let is_plain = !std::io::stderr().is_terminal() || std::env::var_os("NO_COLOR").is_some();
    move |state: &str, text: &str| {
        let colour = match state {
            "SUCCEEDED" => 32,
            "CACHED" => 36,
            "FAILED" => 31,
            "RUNNING" => 33,
            _ => 90,
        };
        if is_plain { text.to_owned() } else { format!("\u{1b}[{colour}m{text}\u{1b}[0m") }
    }
}

/// The reasons of a failure, each with where it stands: what a person wants to read after the tree.
pub fn failures(seen: &Seen) -> Vec<String> {
    let tree = seen.tree();
    let failed = tree.tasks().iter().filter(|task| task.state == "FAILED" && !task.error.is_empty());
    let steps: Vec<String> = failed
        .clone()
        .filter(|task| task.is_step() || task.kind == "IMPORTER")
        .map(|task| format!("{}: {}", task.path, task.error.trim_end()))
        .collect();
    if !steps.is_empty() {
        return steps;
    }
    let own = seen.run["error"]["message"].as_str().filter(|message| !message.is_empty());
    let groups = failed.filter(|task| !task.path.is_empty()).map(|task| format!("{}: {}", task.path, task.error));
    own.map(str::to_owned).into_iter().chain(groups).collect()
}

/// How long a run has taken, as people read it; empty while it is under way.
pub fn lasted(run: &Value) -> String {
    let time = |field: &str| run[field].as_str().and_then(|time| time.parse::<jiff::Timestamp>().ok());
    match (time("created_at"), time("finished_at").filter(|time| time.as_second() > 0)) {
        (Some(began), Some(ended)) => shown((ended.as_millisecond() - began.as_millisecond()).max(0)),
        _ => String::new(),
    }
}
