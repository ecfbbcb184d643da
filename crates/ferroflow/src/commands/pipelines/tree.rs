//! The tasks of a run as lines of a tree; pure.

use std::collections::HashMap;

use jiff::Timestamp;
use serde_json::Value;

/// One task, as the API tells it.
#[derive(Clone, Debug, PartialEq)]
pub struct Task {
    pub id: String,
    parent: Option<String>,
    /// The task's key, or `[3]` for an iteration.
    pub name: String,
    pub kind: String,
    pub state: String,
    pub error: String,
    began: Option<Timestamp>,
    ended: Option<Timestamp>,
    attempt: u64,
    /// Where it stands: `for-loop-1/0/train`; empty for the run itself.
    pub path: String,
}

impl Task {
    fn read(task: &Value) -> Self {
        let text = |field: &str| task[field].as_str().unwrap_or_default().to_owned();
        let time = |field: &str| task[field].as_str().and_then(|time| time.parse().ok());
        let iteration = &task["type_attributes"]["iteration_index"];
        let iteration = iteration.as_u64().or_else(|| iteration.as_str().and_then(|text| text.parse().ok()));
        let kind = text("type");
        let name = if kind == "LOOP_ITERATION" { iteration.unwrap_or_default().to_string() } else { text("name") };
        Self {
            id: text("task_id"),
            parent: task["parent_task_id"].as_str().filter(|id| !id.is_empty()).map(str::to_owned),
            name,
            kind,
            state: text("state"),
            error: task["error"]["message"].as_str().unwrap_or_default().to_owned(),
            began: time("start_time"),
            ended: time("end_time"),
            attempt: task["attempt"].as_u64().unwrap_or_default(),
            path: String::new(),
        }
    }

    /// Whether it runs a program.
    pub fn is_step(&self) -> bool {
        self.kind == "RUNTIME"
    }

    /// Whether nothing will happen to it any more.
    pub fn is_final(&self) -> bool {
        !matches!(self.state.as_str(), "PENDING" | "RUNNING" | "")
    }

    fn is_iteration(&self) -> bool {
        self.kind == "LOOP_ITERATION"
    }

    /// How long it has taken, or takes.
    fn duration_ms(&self, now: Timestamp) -> Option<i64> {
        let ended = self.ended.or_else(|| (!self.is_final()).then_some(now))?;
        Some((ended.as_millisecond() - self.began?.as_millisecond()).max(0))
    }
}

/// The tasks of a run, each before its children.
#[derive(Clone, Debug, Default)]
pub struct Tree {
    tasks: Vec<Task>,
    depths: Vec<usize>,
}

/// What is shown of loops.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Detail {
    /// Iterations that are under way or failed, and a count of all.
    Lively,
    Everything,
}

impl Tree {
    /// Puts what the API listed in order: as tasks began, iterations by number.
    pub fn new(listed: &[Value]) -> Self {
        let tasks: Vec<Task> = listed.iter().map(Task::read).collect();
        let known: HashMap<&str, usize> = tasks.iter().enumerate().map(|(at, task)| (task.id.as_str(), at)).collect();
        let mut children: HashMap<Option<usize>, Vec<usize>> = HashMap::new();
        for (at, task) in tasks.iter().enumerate() {
            let parent = task.parent.as_deref().and_then(|id| known.get(id).copied()).filter(|parent| *parent != at);
            children.entry(parent).or_default().push(at);
        }
        for siblings in children.values_mut() {
            siblings.sort_by_key(|at| {
                let task = &tasks[*at];
                let number = if task.is_iteration() { task.name.parse().unwrap_or(u64::MAX) } else { u64::MAX };
                (number, task.began.unwrap_or(Timestamp::MAX), task.name.clone())
            });
        }
        let mut tree = Self::default();
        let mut waiting: Vec<(usize, usize, String)> = Vec::new();
        let push = |waiting: &mut Vec<(usize, usize, String)>, parent: Option<usize>, depth: usize, path: &str| {
            let below = children.get(&parent).into_iter().flatten().rev();
            waiting.extend(below.map(|at| (*at, depth, path.to_owned())));
        };
        push(&mut waiting, None, 0, "");
        while let Some((at, depth, above)) = waiting.pop() {
            let mut task = tasks[at].clone();
            let is_root = task.kind == "ROOT";
            task.path = match (is_root, above.is_empty()) {
                (true, _) => String::new(),
                (false, true) => task.name.clone(),
                (false, false) => format!("{above}/{}", task.name),
            };
            push(&mut waiting, Some(at), depth + 1, &task.path);
            tree.tasks.push(task);
            tree.depths.push(depth);
        }
        tree
    }

    pub fn tasks(&self) -> &[Task] {
        &self.tasks
    }

    /// The steps that a word means: by path, or by key.
    pub fn steps(&self, word: &str) -> Vec<&Task> {
        let exact: Vec<&Task> = self.tasks.iter().filter(|task| task.is_step() && task.path == word).collect();
        if !exact.is_empty() {
            return exact;
        }
        self.tasks.iter().filter(|task| task.is_step() && (task.name == word || task.id == word)).collect()
    }

    /// The lines of the tree, the run itself left out; `paint` colours a word of a state.
    pub fn lines(&self, now: Timestamp, detail: Detail, paint: &dyn Fn(&str, &str) -> String) -> Vec<String> {
        let mut lines = Vec::new();
        let mut hidden_below: Option<usize> = None;
        for (at, (task, depth)) in self.tasks.iter().zip(&self.depths).enumerate() {
            if task.path.is_empty() || hidden_below.is_some_and(|limit| *depth > limit) {
                continue;
            }
            hidden_below = None;
            if detail == Detail::Lively
                && task.is_iteration()
                && matches!(task.state.as_str(), "SUCCEEDED" | "CACHED" | "SKIPPED" | "PENDING")
            {
                hidden_below = Some(*depth);
                continue;
            }
            lines.push(self.line(at, now, paint));
        }
        lines
    }

    fn line(&self, at: usize, now: Timestamp, paint: &dyn Fn(&str, &str) -> String) -> String {
        let (task, depth) = (&self.tasks[at], self.depths[at]);
        let name = if task.is_iteration() { format!("[{}]", task.name) } else { task.name.clone() };
        let mut line =
            format!("{}{} {name}", "  ".repeat(depth.saturating_sub(1)), paint(&task.state, mark(&task.state)));
        if let Some(duration_ms) = task.duration_ms(now) {
            line.push_str(&format!("  {}", shown(duration_ms)));
        }
        if matches!(task.state.as_str(), "CACHED" | "SKIPPED" | "CANCELED") {
            line.push_str(&format!("  {}", paint(&task.state, &task.state.to_lowercase())));
        }
        if task.attempt > 0 {
            line.push_str(&format!("  attempt {}", task.attempt + 1));
        }
        if task.kind == "LOOP" {
            let iterations: Vec<&Task> =
                self.tasks.iter().filter(|other| other.parent.as_deref() == Some(task.id.as_str())).collect();
            let done = iterations.iter().filter(|iteration| iteration.is_final()).count();
            line.push_str(&format!("  {done} of {} iterations", iterations.len()));
        }
        // Groups repeat what their steps say.
        if let Some(first) = task.error.lines().next().filter(|_| task.is_step() || task.kind == "IMPORTER") {
            line.push_str(&format!("  {}", paint("FAILED", first)));
        }
        line
    }
}

/// A state as one character.
fn mark(state: &str) -> &'static str {
    match state {
        "SUCCEEDED" => "✓",
        "CACHED" => "≡",
        "FAILED" => "✗",
        "RUNNING" => "▸",
        "SKIPPED" => "–",
        "CANCELED" => "⊘",
        _ => "·",
    }
}

/// A duration as people read it.
pub fn shown(duration_ms: i64) -> String {
    match duration_ms {
        ..60_000 => format!("{}.{} s", duration_ms / 1000, duration_ms % 1000 / 100),
        60_000..3_600_000 => format!("{} min {:02} s", duration_ms / 60_000, duration_ms / 1000 % 60),
        _ => format!("{} h {:02} min", duration_ms / 3_600_000, duration_ms / 60_000 % 60),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn plain(_: &str, text: &str) -> String {
        text.to_owned()
    }

    fn task(id: &str, parent: &str, name: &str, kind: &str, state: &str) -> Value {
        json!({
            "task_id": id, "parent_task_id": parent, "name": name, "type": kind, "state": state,
            "start_time": "2026-01-01T00:00:00Z", "end_time": "2026-01-01T00:00:01.500Z",
        })
    }

    fn iteration(id: &str, number: u64, state: &str) -> Value {
        let mut iteration = task(id, "loop", "for-loop-1", "LOOP_ITERATION", state);
        iteration["type_attributes"] = json!({"iteration_index": number});
        iteration
    }

    fn now() -> Timestamp {
        "2026-01-01T00:01:10Z".parse().unwrap()
    }

    #[test]
    fn tasks_stand_below_their_parents_and_iterations_by_number() {
        let mut failed = task("b", "i10", "train", "RUNTIME", "FAILED");
        failed["error"] = json!({"message": "exit code 1\nlast words"});
        let mut running = task("c", "root", "report", "RUNTIME", "RUNNING");
        running["end_time"] = Value::Null;
        running["attempt"] = json!(1);
        running["start_time"] = json!("2026-01-01T00:00:05Z");
        let listed = [
            running,
            failed,
            iteration("i10", 10, "FAILED"),
            iteration("i2", 2, "SUCCEEDED"),
            task("a", "i2", "train", "RUNTIME", "CACHED"),
            task("loop", "root", "for-loop-1", "LOOP", "RUNNING"),
            task("root", "", "root", "ROOT", "RUNNING"),
        ];
        let tree = Tree::new(&listed);
        let paths: Vec<&str> = tree.tasks().iter().map(|task| task.path.as_str()).collect();
        let expected =
            ["", "for-loop-1", "for-loop-1/2", "for-loop-1/2/train", "for-loop-1/10", "for-loop-1/10/train", "report"];
        assert_eq!(paths, expected);
        let lines = tree.lines(now(), Detail::Lively, &plain);
        let expected = [
            "▸ for-loop-1  1.5 s  2 of 2 iterations",
            "  ✗ [10]  1.5 s",
            "    ✗ train  1.5 s  exit code 1",
            "▸ report  1 min 05 s  attempt 2",
        ];
        assert_eq!(lines, expected);
        assert_eq!(tree.lines(now(), Detail::Everything, &plain).len(), 6);
    }

    #[test]
    fn a_step_is_meant_by_its_path_or_its_key() {
        let listed = [
            task("root", "", "root", "ROOT", "SUCCEEDED"),
            task("a", "root", "train", "RUNTIME", "SUCCEEDED"),
            task("d", "root", "inner", "DAG", "SUCCEEDED"),
            task("b", "d", "train", "RUNTIME", "SUCCEEDED"),
        ];
        let tree = Tree::new(&listed);
        for (word, ids) in [("train", vec!["a"]), ("inner/train", vec!["b"]), ("inner", vec![]), ("none", vec![])] {
            let found: Vec<&str> = tree.steps(word).into_iter().map(|task| task.id.as_str()).collect();
            assert_eq!(found, ids, "{word}");
        }
    }

    #[test]
    fn a_parent_that_is_missing_or_itself_loses_no_task() {
        let listed = [task("a", "gone", "one", "RUNTIME", "RUNNING"), task("b", "b", "two", "RUNTIME", "RUNNING")];
        assert_eq!(Tree::new(&listed).tasks().len(), 2);
    }

    #[test]
    fn durations_are_short() {
        for (ms, text) in [(0, "0.0 s"), (1549, "1.5 s"), (61_000, "1 min 01 s"), (3_660_000, "1 h 01 min")] {
            assert_eq!(shown(ms), text);
        }
    }
}
