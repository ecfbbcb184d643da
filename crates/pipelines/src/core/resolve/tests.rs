use std::collections::BTreeMap;

use super::*;
use crate::core::ir::{Pipeline, read};

/// A DAG as its tasks see it.
struct Seen {
    inputs: Values,
    tasks: BTreeMap<&'static str, (TaskState, Values, Option<TaskError>)>,
    facts: Facts,
}

impl Scope for Seen {
    fn parameter(&self, name: &str) -> Option<&Value> {
        self.inputs.parameters.get(name)
    }

    fn artifacts(&self, name: &str) -> Option<&Vec<Artifact>> {
        self.inputs.artifacts.get(name)
    }

    fn sibling(&self, key: &str) -> Option<Sibling<'_>> {
        let (state, outputs, error) = self.tasks.get(key)?;
        Some(Sibling { state: *state, outputs, error: error.as_ref() })
    }

    fn task_id(&self, key: &str) -> String {
        format!("id-{key}")
    }

    fn facts(&self) -> &Facts {
        &self.facts
    }
}

fn values(parameters: Value) -> Values {
    let Value::Object(parameters) = parameters else { panic!("an object") };
    Values { parameters: parameters.into_iter().collect(), artifacts: BTreeMap::new() }
}

fn artifact(id: &str) -> Artifact {
    Artifact { id: id.to_owned(), ..Artifact::default() }
}

fn seen() -> Seen {
    let mut made = values(json!({"n": 2, "list": [1, 2], "struct": {"A_a": "heads"}}));
    made.artifacts.insert("data".to_owned(), vec![artifact("a1")]);
    let error = TaskError { reason: "Error".to_owned(), message: "exit code 1".to_owned(), exit_code: Some(1) };
    Seen {
        inputs: values(json!({"given": "g", "nothing": null, "number": 1.5})),
        tasks: BTreeMap::from([
            ("made", (TaskState::Succeeded, made, None)),
            ("failed", (TaskState::Failed, Values::default(), Some(error))),
            ("skipped", (TaskState::Skipped, Values::default(), None)),
            ("t", (TaskState::Pending, Values::default(), None)),
        ]),
        facts: Facts {
            display_name: "the run".to_owned(),
            resource_name: "p-x1".to_owned(),
            created_ms: 1_700_000_000_999,
            ..Facts::default()
        },
    }
}

/// A pipeline with a task `t` of component `c`, beside those that [`seen`] has.
fn pipeline(inputs: &Value, component: &Value) -> Pipeline {
    let outputs = json!({
        "parameters": {
            "n": {"parameterType": "NUMBER_INTEGER"}, "list": {"parameterType": "LIST"},
            "struct": {"parameterType": "STRUCT"}, "lost": {"parameterType": "STRING"},
        },
        "artifacts": {"data": {}},
    });
    let mut component = component.clone();
    if component.get("dag").is_none() {
        component["executorLabel"] = "e".into();
    }
    let mut task = json!({"componentRef": {"name": "c"}});
    for (name, value) in inputs.as_object().unwrap() {
        task[name] = value.clone();
    }
    read::pipeline(&json!({
        "pipelineInfo": {"name": "p"}, "schemaVersion": "2.1.0",
        "deploymentSpec": {"executors": {"e": {"container": {"image": "i"}}}},
        "components": {"made": {"executorLabel": "e", "outputDefinitions": outputs}, "c": component},
        "root": {
            "inputDefinitions": {"parameters": {
                "given": {"parameterType": "STRING"}, "nothing": {"parameterType": "STRING", "isOptional": true},
                "number": {"parameterType": "NUMBER_DOUBLE"},
            }},
            "dag": {"tasks": {
                "made": {"componentRef": {"name": "made"}}, "failed": {"componentRef": {"name": "made"}},
                "skipped": {"componentRef": {"name": "made"}}, "t": task,
            }},
        },
    }))
    .unwrap()
}

fn resolved(task: &Value, component: &Value) -> Result<Values, Fault> {
    let pipeline = pipeline(task, component);
    let task = &pipeline.root.dag().unwrap().tasks["t"];
    inputs("t", task, pipeline.component(task).unwrap(), &seen())
}

/// One parameter `x` of a type from a source: what it comes to.
#[test]
fn a_parameter_comes_from_where_its_source_says() {
    let output =
        |task: &str, key: &str| json!({"taskOutputParameter": {"producerTask": task, "outputParameterKey": key}});
    let constant = |value: Value| json!({"runtimeValue": {"constant": value}});
    let rows = [
        (json!({"componentInputParameter": "given"}), "STRING", Ok(json!({"x": "g"}))),
        (json!({"componentInputParameter": "number"}), "STRING", Ok(json!({"x": "1.5"}))),
        (json!({"componentInputParameter": "nothing"}), "STRING?", Ok(json!({}))),
        (json!({"componentInputParameter": "nothing"}), "STRING", Err("is null, and it is not optional")),
        (output("made", "n"), "NUMBER_INTEGER", Ok(json!({"x": 2}))),
        (output("made", "list"), "STRING", Ok(json!({"x": "[1,2]"}))),
        (output("made", "n"), "LIST", Err("type mismatch: expect LIST, got number")),
        (output("made", "lost"), "STRING", Err("No successful task found")),
        (output("failed", "n"), "NUMBER_INTEGER", Err("producer task failed is Failed, so it has no output \"n\"")),
        (output("skipped", "n"), "NUMBER_INTEGER", Err("producer task skipped is Skipped")),
        (constant(json!(3.0)), "NUMBER_INTEGER", Ok(json!({"x": 3}))),
        (constant(json!("a-{{$.pipeline_job_name}}")), "STRING", Ok(json!({"x": "a-the run"}))),
        (constant(json!("{{$.pipeline_task_name}}/{{$.pipeline_task_uuid}}")), "STRING", Ok(json!({"x": "t/id-t"}))),
        (constant(json!("{{$.pipeline_job_create_time_utc}}")), "STRING", Ok(json!({"x": "2023-11-14T22:13:20Z"}))),
        (constant(json!("{{$.workspace_path}}/a")), "STRING", Ok(json!({"x": "/kfp-workspace/a"}))),
        (constant(json!({"k": ["{{$.pipeline_job_resource_name}}"]})), "STRUCT", Ok(json!({"x": {"k": ["p-x1"]}}))),
        (
            json!({"taskFinalStatus": {"producerTask": "failed"}}),
            "TASK_FINAL_STATUS",
            Ok(json!({"x": {
                "state": "FAILED", "error": {"message": "exit code 1"},
                "pipelineJobResourceName": "p-x1", "pipelineTaskName": "failed",
            }})),
        ),
        (
            json!({"taskFinalStatus": {"producerTask": "made"}}),
            "STRUCT",
            Ok(json!({"x": {
                "state": "COMPLETE", "error": {}, "pipelineJobResourceName": "p-x1", "pipelineTaskName": "made",
            }})),
        ),
    ];
    for (source, kind, expected) in rows {
        let declared = json!({"parameterType": kind.trim_end_matches('?'), "isOptional": kind.ends_with('?')});
        let component = json!({"inputDefinitions": {"parameters": {"x": declared}}});
        let found = resolved(&json!({"inputs": {"parameters": {"x": source}}}), &component);
        match (found, expected) {
            (Ok(found), Ok(expected)) => {
                assert_eq!(serde_json::to_value(found.parameters).unwrap(), expected, "{source} {kind}");
            }
            (Err(fault), Err(expected)) => assert!(fault.to_string().contains(expected), "{source}: {fault}"),
            (found, expected) => panic!("{source} {kind}: {found:?}, not {expected:?}"),
        }
    }
}

#[test]
fn constants_may_hold_the_other_inputs_and_selectors_take_parts() {
    let component = json!({"inputDefinitions": {"parameters": {
        "x": {"parameterType": "STRING"}, "y": {"parameterType": "STRING"}, "z": {"parameterType": "NUMBER_INTEGER"},
    }}});
    let struct_output = json!({"producerTask": "made", "outputParameterKey": "struct"});
    let task = json!({"inputs": {"parameters": {
        "pipelinechannel--n": {"taskOutputParameter": {"producerTask": "made", "outputParameterKey": "n"}},
        "x": {"runtimeValue": {"constant": "<{{$.inputs.parameters['pipelinechannel--n']}}>"}},
        "y": {"taskOutputParameter": struct_output, "parameterExpressionSelector": "parseJson(string_value)[\"A_a\"]"},
        "z": {"runtimeValue": {"constant": "{{$.inputs.parameters['pipelinechannel--n']}}"}},
    }}});
    let found = resolved(&task, &component).unwrap();
    let expected = json!({"pipelinechannel--n": 2, "x": "<2>", "y": "heads", "z": 2});
    assert_eq!(serde_json::to_value(found.parameters).unwrap(), expected);
}

#[test]
fn a_dag_has_defaults_and_null_where_nothing_is_given_and_a_step_has_not() {
    let declared = json!({"parameters": {
        "d": {"parameterType": "STRING", "defaultValue": "d", "isOptional": true},
        "o": {"parameterType": "STRING", "isOptional": true},
        "n": {"parameterType": "STRING", "defaultValue": "n", "isOptional": true},
    }});
    let task = json!({"inputs": {"parameters": {"n": {"componentInputParameter": "nothing"}}}});
    let dag = resolved(&task, &json!({"dag": {}, "inputDefinitions": declared})).unwrap();
    assert_eq!(serde_json::to_value(dag.parameters).unwrap(), json!({"d": "d", "o": null, "n": "n"}));
    let step = resolved(&task, &json!({"inputDefinitions": declared})).unwrap();
    assert!(step.parameters.is_empty());
}

#[test]
fn a_task_that_runs_whatever_became_of_others_takes_missing_outputs_for_absent() {
    let declared = |is_optional: bool| {
        json!({"inputDefinitions": {
            "parameters": {"x": {"parameterType": "STRING", "isOptional": is_optional}},
            "artifacts": {"a": {"isOptional": is_optional}},
        }})
    };
    let task = json!({
        "inputs": {
            "parameters": {"x": {"taskOutputParameter": {"producerTask": "failed", "outputParameterKey": "lost"}}},
            "artifacts": {"a": {"taskOutputArtifact": {"producerTask": "failed", "outputArtifactKey": "data"}}},
        },
        "triggerPolicy": {"strategy": "ALL_UPSTREAM_TASKS_COMPLETED"},
    });
    assert_eq!(resolved(&task, &declared(true)).unwrap(), Values::default());
    assert!(resolved(&task, &declared(false)).is_err());
}

#[test]
fn a_loop_runs_over_constants_lists_text_and_artifacts() {
    let component = json!({"dag": {}, "inputDefinitions": {"parameters": {
        "items": {"parameterType": "LIST", "isOptional": true}, "item": {"parameterType": "STRING"},
    }}});
    let input = |source: Value| {
        json!({
            "inputs": {"parameters": {"items": source}},
            "parameterIterator": {"items": {"inputParameter": "items"}, "itemInput": "item"},
        })
    };
    let raw = json!({"parameterIterator": {"items": {"raw": "[1, \"{{$.pipeline_job_name}}\"]"}, "itemInput": "item"}});
    let list = json!({"taskOutputParameter": {"producerTask": "made", "outputParameterKey": "list"}});
    for (task, expected) in [
        (raw, json!(["1", "the run"])),
        (input(list), json!(["1", "2"])),
        (input(json!({"runtimeValue": {"constant": []}})), json!([])),
    ] {
        let pipeline = pipeline(&task, &component);
        let task = &pipeline.root.dag().unwrap().tasks["t"];
        let component = pipeline.component(task).unwrap();
        let own = inputs("t", task, component, &seen()).unwrap();
        let items = items("t", task, &own, &seen()).unwrap();
        let seen: Vec<Value> =
            items.into_iter().map(|one| item(task, component, one).unwrap().parameters["item"].clone()).collect();
        assert_eq!(Value::Array(seen), expected);
    }
}

#[test]
fn the_first_selector_whose_task_succeeded_is_taken() {
    let selector = |task: &str, output: &str| Selector { task: task.to_owned(), output: output.to_owned() };
    let mut dag = DagOutputs::default();
    for (name, source) in [
        ("one", OutputSource::One(selector("made", "n"))),
        ("first", OutputSource::OneOf(vec![selector("skipped", "n"), selector("made", "n")])),
        ("both", OutputSource::OneOf(vec![selector("made", "n"), selector("again", "n")])),
        ("none", OutputSource::OneOf(vec![selector("skipped", "n"), selector("failed", "n")])),
    ] {
        dag.parameters.insert(name.to_owned(), source);
    }
    dag.artifacts.insert("data".to_owned(), OutputSource::One(selector("made", "data")));
    let mut seen = seen();
    seen.tasks.insert("again", (TaskState::Succeeded, values(json!({"n": 3})), None));
    let outputs = dag_outputs(&dag, &seen);
    assert_eq!(serde_json::to_value(outputs.parameters).unwrap(), json!({"one": 2, "first": 2, "both": 2}));
    assert_eq!(outputs.artifacts["data"][0].id, "a1");
}
