//! Compiled pipelines that the rows run: chains and loops of `true`, in the words of the compiler.

use serde_json::{Map, Value, json};

/// A step of the host's own `true`; whether it may be answered from the cache.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Caching {
    On,
    Off,
}

impl Caching {
    fn options(self) -> Value {
        match self {
            Self::On => json!({"enableCache": true}),
            Self::Off => json!({}),
        }
    }
}

/// `count` steps, one after the other.
pub fn chain(name: &str, count: usize, caching: Caching) -> Value {
    let task = |number: usize| {
        let before: Vec<String> = number.checked_sub(1).map(step).into_iter().collect();
        let mut task = json!({"taskInfo": {"name": step(number)}, "componentRef": {"name": "comp-true"},
            "cachingOptions": caching.options()});
        if !before.is_empty() {
            task["dependentTasks"] = json!(before);
        }
        (step(number), task)
    };
    pipeline(name, &(0..count).map(task).collect(), json!({}))
}

/// A loop of one step over `count` items, all at a time.
pub fn parallel(name: &str, count: usize) -> Value {
    let items: Vec<String> = (0..count).map(|item| item.to_string()).collect();
    let raw = format!("[{}]", items.join(", "));
    let input = "pipelinechannel--loop-item-param-1";
    let tasks = json!({"for-loop-1": {"taskInfo": {"name": "for-loop-1"}, "componentRef": {"name": "comp-for-loop-1"},
        "parameterIterator": {"items": {"raw": raw}, "itemInput": input}}});
    let body = json!({"dag": {"tasks": {"step": {"taskInfo": {"name": "step"}, "componentRef": {"name": "comp-true"},
        "cachingOptions": {}}}}, "inputDefinitions": {"parameters": {input: {"parameterType": "NUMBER_INTEGER"}}}});
    let tasks = tasks.as_object().cloned().unwrap_or_default();
    pipeline(name, &tasks, json!({"comp-for-loop-1": body}))
}

fn step(number: usize) -> String {
    format!("step-{number}")
}

fn pipeline(name: &str, tasks: &Map<String, Value>, mut components: Value) -> Value {
    components["comp-true"] = json!({"executorLabel": "exec-true"});
    json!({
        "pipelineInfo": {"name": name},
        "schemaVersion": "2.1.0",
        "sdkVersion": "kfp-2.17.0",
        "root": {"dag": {"tasks": tasks}},
        "components": components,
        "deploymentSpec": {"executors": {"exec-true": {"container": {"image": "busybox:1.36", "command": ["true"]}}}},
    })
}
