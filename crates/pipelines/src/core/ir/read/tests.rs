use serde_json::json;

use super::*;

/// A pipeline of two tasks with a document of the platform, as the SDK writes them.
const TWO: &str = r#"
# PIPELINE DEFINITION
components:
  comp-make:
    executorLabel: exec-make
    inputDefinitions:
      parameters:
        n:
          defaultValue: 1.0
          isOptional: true
          parameterType: NUMBER_INTEGER
    outputDefinitions:
      artifacts:
        data:
          artifactType: {schemaTitle: system.Dataset, schemaVersion: 0.0.1}
      parameters:
        sum: {parameterType: NUMBER_INTEGER}
  comp-use:
    executorLabel: exec-use
    inputDefinitions:
      artifacts:
        data:
          artifactType: {schemaTitle: system.Dataset, schemaVersion: 0.0.1}
      parameters:
        sum: {parameterType: NUMBER_INTEGER}
deploymentSpec:
  executors:
    exec-make:
      container:
        args: [--executor_input, '{{$}}']
        command: [sh, -c, "true"]
        image: python:3.11
        resources: {cpuLimit: 1.0, memoryLimit: 0.268435456}
    exec-use:
      container:
        command: [echo, '{"Concat": ["a", "{{$.inputs.parameters[''sum'']}}"]}']
        image: busybox
pipelineInfo: {name: two}
root:
  dag:
    tasks:
      make:
        cachingOptions: {enableCache: true}
        componentRef: {name: comp-make}
        taskInfo: {name: make}
      use:
        cachingOptions: {}
        componentRef: {name: comp-use}
        inputs:
          artifacts:
            data: {taskOutputArtifact: {outputArtifactKey: data, producerTask: make}}
          parameters:
            sum: {taskOutputParameter: {outputParameterKey: sum, producerTask: make}}
        retryPolicy: {maxRetryCount: 3, backoffDuration: 2s}
        taskInfo: {name: use}
schemaVersion: 2.1.0
sdkVersion: kfp-2.17.0
---
platforms:
  kubernetes:
    deploymentSpec:
      executors:
        exec-make:
          secretAsEnv:
          - keyToEnv: [{envVar: A, secretKey: b}]
            secretName: s
    pipelineConfig:
      workspace: {size: 1Gi}
"#;

#[test]
fn a_pipeline_is_read_with_what_its_tasks_wait_for() {
    let pipeline = pipeline(&yaml(TWO).unwrap()).unwrap();
    let dag = pipeline.root.dag().unwrap();
    assert_eq!(dag.tasks["use"].depends, ["make"]);
    assert!(dag.tasks["make"].caching.is_enabled && !dag.tasks["use"].caching.is_enabled);
    let retry = dag.tasks["use"].retry.clone().unwrap();
    assert_eq!((retry.count, retry.backoff_ms, retry.backoff_max_ms), (3, 2000, 3_600_000));
    let super::super::Executor::Container(make) = &pipeline.executors["exec-make"] else { panic!("a container") };
    assert_eq!(make.resources.cpu_limit.as_deref(), Some("1"));
    assert_eq!(make.resources.memory_limit.as_deref(), Some("0.268435456G"));
    let super::super::Executor::Container(used) = &pipeline.executors["exec-use"] else { panic!("a container") };
    assert_eq!(used.command[1], json!({"Concat": ["a", "{{$.inputs.parameters['sum']}}"]}));
    assert_eq!(pipeline.components["comp-make"].inputs.parameters["n"].default, Some(json!(1)));
    assert_eq!(pipeline.platform.workspace.unwrap().size, "1Gi");
    assert_eq!(pipeline.platform.executors["exec-make"]["secretAsEnv"][0]["secretName"], "s");
}

/// Faults that one replacement in the text of [`TWO`] makes, and how they are told.
#[test]
fn faults_name_the_field_and_the_place() {
    let make = "root.dag.tasks.make";
    let used = "root.dag.tasks.use";
    for (from, to, fault) in [
        ("components:\n", "components_1:\n", "unknown field \"components_1\"; did you mean \"components\"?"),
        ("{name: two}", "{name: }", "pipelineInfo.name: is missing"),
        ("{name: two}", "{name: a/b}", "pipelineInfo.name: must have a lower-case letter"),
        ("schemaVersion: 2.1.0\n", "schemaVersion: 2.0.0\n", "schemaVersion: is \"2.0.0\", and only 2.1.0 is known"),
        ("root:\n", "root_:\n", "unknown field \"root_\""),
        (
            "{name: comp-make}",
            "{name: comp-nil}",
            &format!(
                "{make}.componentRef.name: names the component \"comp-nil\", which does not exist; there are comp-make"
            ),
        ),
        (
            "executorLabel: exec-make",
            "executorLabel: exec-nil",
            "components.comp-make.executorLabel: names the executor",
        ),
        (
            "producerTask: make}}\n          parameters",
            "producerTask: nil}}\n          parameters",
            &format!("{used}.inputs.artifacts.data.taskOutputArtifact: names the task \"nil\""),
        ),
        ("outputParameterKey: sum", "outputParameterKey: nil", "names the output parameter of task \"make\": \"nil\""),
        (
            "{taskOutputParameter: {outputParameterKey: sum, producerTask: make}}",
            "{componentInputParameter: x}",
            &format!("{used}.inputs.parameters.sum.componentInputParameter: names the input parameter \"x\""),
        ),
        (
            "{taskOutputParameter: {outputParameterKey: sum, producerTask: make}}",
            "{runtimeValue: {constant: a}}",
            &format!("{used}.inputs.parameters.sum.runtimeValue.constant: must be an integer, not the string \"a\""),
        ),
        ("            sum: {taskOutput", "            summ: {taskOutput", "does not give the parameter \"sum\""),
        (
            "          parameters:\n            sum: {taskOutputParameter: {outputParameterKey: sum, producerTask: make}}\n",
            "",
            &format!("{used}.inputs: does not give the parameter \"sum\", which component \"comp-use\" needs"),
        ),
        (
            "        taskInfo: {name: make}\n",
            "        dependentTasks: [use]\n",
            "root.dag.tasks: tasks wait for each other in a circle: make -> use -> make",
        ),
        (
            "        taskInfo: {name: make}\n",
            "        dependentTasks: [nil]\n",
            &format!("{make}.dependentTasks: names the task \"nil\""),
        ),
        (
            "        taskInfo: {name: make}\n",
            "        triggerPolicy: {condition: 1 ==}\n",
            &format!("{make}.triggerPolicy.condition: needs a value in column 5"),
        ),
        (
            "backoffDuration: 2s",
            "backoffDuration: 2",
            &format!("{used}.retryPolicy.backoffDuration: must be a duration"),
        ),
        (
            "enableCache: true",
            "enableCache: \"yes\"",
            &format!("{make}.cachingOptions.enableCache: must be true or false, not the string \"yes\""),
        ),
        (
            "NUMBER_INTEGER",
            "INTEGER",
            "components.comp-make.inputDefinitions.parameters.n.parameterType: must be one of",
        ),
        ("defaultValue: 1.0", "defaultValue: a", "parameters.n.defaultValue: must be an integer, not the string"),
        ("image: busybox", "image: 3", "container.image: must be a string, not the number 3; put it in quotes"),
        ("secretAsEnv:", "secretAsEnvs:", "unknown field \"secretAsEnvs\"; did you mean \"secretAsEnv\"?"),
        (
            "        exec-make:\n          secret",
            "        exec-nil:\n          secret",
            "names the executor \"exec-nil\"",
        ),
        ("  kubernetes:\n", "  nomad:\n", "platforms.nomad: is no platform that is known"),
        ("---\n", "---\npipelineInfo: {name: b}\n---\n", "document 2: multiple pipeline specs provided"),
        ("---\n", "---\nplatforms: {}\n---\n", "document 3: multiple platform specs provided"),
        ("sdkVersion: kfp-2.17.0\n", "sdkVersion: kfp-2.17.0\nsdkVersion: b\n", "not YAML: duplicate mapping key"),
        ("componentRef: {name: comp-use}", "componentRef: {name: comp-use", "not YAML: "),
    ] {
        assert!(TWO.contains(from), "{from}");
        let error = yaml(&TWO.replacen(from, to, 1)).unwrap_err().to_string();
        assert!(error.contains(fault), "{to}: {error}");
    }
}

#[test]
fn what_is_no_pipeline_is_told_what_it_is() {
    for (text, fault) in [
        ("", "no pipeline spec is provided"),
        ("apiVersion: argoproj.io/v1alpha1\nkind: Workflow\n", "is a Workflow of Argo"),
        ("a: 1\n", "is no pipeline: it has neither pipelineInfo nor root"),
        ("- a\n", "must be an object, not a list"),
        ("platforms: {}\n", "no pipeline spec is provided"),
        ("{\"a\": 1", "not JSON: "),
        ("{\"platform_spec\": {}}", "pipeline_spec: no pipeline spec is provided"),
        ("{\"pipeline_spec\": {}, \"b\": 1}", "unknown field \"b\" beside pipeline_spec"),
    ] {
        let error = yaml(text).unwrap_err().to_string();
        assert!(error.contains(fault), "{text}: {error}");
    }
}

/// A pipeline whose components `c0` to `cN` have `width` tasks of the next each.
fn tower(height: usize, width: usize, top: usize) -> Value {
    let mut components = Map::new();
    for i in 0..height {
        let next = if i + 1 == height { top } else { i + 1 };
        let tasks: Map<_, _> =
            (0..width).map(|j| (format!("t{j}"), json!({"componentRef": {"name": format!("c{next}")}}))).collect();
        components.insert(format!("c{i}"), json!({"dag": {"tasks": tasks}}));
    }
    components.insert(format!("c{height}"), json!({"executorLabel": "e"}));
    json!({
        "pipelineInfo": {"name": "tower"},
        "schemaVersion": "2.1.0",
        "components": components,
        "deploymentSpec": {"executors": {"e": {"container": {"image": "i", "command": ["true"]}}}},
        "root": {"dag": {"tasks": {"t": {"componentRef": {"name": "c0"}}}}},
    })
}

#[test]
fn components_neither_hold_themselves_nor_stand_for_too_much() {
    assert!(pipeline(&tower(10, 2, 10)).is_ok());
    let mut long = tower(10, 1, 10);
    long["root"]["dag"]["tasks"] = json!({"t".repeat(2000): {"componentRef": {"name": "c0"}}});
    for (document, fault) in [
        (tower(3, 1, 1), "components.c1: contains itself: c1 -> c2 -> c1"),
        (tower(1, 1, 0), "components.c0: contains itself: c0 -> c0"),
        (tower(60, 2, 60), "tasks with all nested pipelines; at most 100000 are run"),
        (tower(200, 1, 200), "is nested more than 100 deep"),
        (long, "with those of all that they are in, take 2108 bytes; at most 2000 do"),
    ] {
        let error = pipeline(&document).unwrap_err().to_string();
        assert!(error.contains(fault), "{error}");
    }
}

#[test]
fn what_was_read_reads_the_same_bare_and_wrapped() {
    let document = yaml(TWO).unwrap();
    assert_eq!(yaml(&document.to_string()).unwrap(), document);
    let bare = pipeline(&document["pipeline_spec"]).unwrap();
    let wrapped = pipeline(&json!({"pipeline_spec": document["pipeline_spec"], "platform_spec": null})).unwrap();
    assert_eq!(bare, wrapped);
}

#[test]
fn words_that_older_yaml_took_for_booleans_are_words() {
    for word in ["y", "n", "Y", "N", "yes", "no", "on", "off"] {
        let documents = from_multiple(&format!("a: {word}\n")).unwrap();
        assert_eq!(documents, [json!({"a": word})]);
    }
    assert_eq!(from_multiple("a: true\nb: 'true'\n").unwrap(), [json!({"a": true, "b": "true"})]);
}
