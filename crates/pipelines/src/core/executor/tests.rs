use proptest::prelude::*;

use super::*;
use crate::core::ir::{Body, Executor, Pipeline, read};

/// A pipeline of one component with an executor, and what it runs with.
pub(crate) struct Case {
    pipeline: Pipeline,
    pub(crate) inputs: Values,
    pub(crate) platform: Map<String, Value>,
    facts: Facts,
    pub(crate) root: Option<String>,
}

impl Case {
    /// Of a component without its body, and a container without its image.
    pub(crate) fn new(component: Value, container: Value) -> Self {
        let (mut component, mut container) = (component, container);
        component["executorLabel"] = "e".into();
        if container.get("image").is_none() {
            container["image"] = "python:3.11".into();
        }
        let pipeline = read::pipeline(&json!({
            "pipelineInfo": {"name": "p"}, "schemaVersion": "2.1.0",
            "deploymentSpec": {"executors": {"e": {"container": container}}},
            "components": {"c": component},
            "root": {"dag": {}},
        }))
        .unwrap();
        let facts = Facts {
            run_id: "r-1".to_owned(),
            display_name: "my \"run\"".to_owned(),
            resource_name: "p-x1".to_owned(),
            namespace: "kubeflow".to_owned(),
            root: "minio://mlpipeline/v2/artifacts".to_owned(),
            ..Facts::default()
        };
        Self { pipeline, inputs: Values::default(), platform: Map::new(), facts, root: None }
    }

    pub(crate) fn with(mut self, parameters: Value) -> Self {
        let Value::Object(parameters) = parameters else { panic!("an object") };
        self.inputs.parameters.extend(parameters);
        self
    }

    pub(crate) fn with_artifact(mut self, name: &str, id: &str, uri: &str) -> Self {
        let artifact = Artifact {
            id: id.to_owned(),
            name: name.to_owned(),
            schema_title: "system.Dataset".to_owned(),
            schema_version: "0.0.1".to_owned(),
            uri: uri.to_owned(),
            metadata: Map::new(),
        };
        self.inputs.artifacts.entry(name.to_owned()).or_default().push(artifact);
        self
    }

    pub(crate) fn step(&self) -> Step<'_> {
        let component = &self.pipeline.components["c"];
        let Body::Executor(label) = &component.body else { panic!("a step") };
        let Executor::Container(container) = &self.pipeline.executors[label] else { panic!("a container") };
        Step {
            component,
            container,
            inputs: &self.inputs,
            platform: &self.platform,
            facts: &self.facts,
            key: "train",
            task_id: "t-1",
            uri: "minio://mlpipeline/v2/artifacts/p/r-1/train/0",
            root: self.root.as_deref(),
        }
    }
}

fn component() -> Value {
    json!({
        "inputDefinitions": {
            "parameters": {
                "n": {"parameterType": "NUMBER_INTEGER"},
                "s": {"parameterType": "STRING", "defaultValue": "d-{{$.pipeline_job_name}}", "isOptional": true},
                "o": {"parameterType": "STRING", "isOptional": true},
            },
            "artifacts": {"data": {}, "more": {"isArtifactList": true, "isOptional": true}, "none": {"isOptional": true}},
        },
        "outputDefinitions": {
            "parameters": {"acc": {"parameterType": "NUMBER_DOUBLE"}},
            "artifacts": {"model": {"artifactType": {"schemaTitle": "system.Model", "schemaVersion": "0.0.1"}, "metadata": {"k": 1.0}}},
        },
    })
}

fn case(container: Value) -> Case {
    Case::new(component(), container).with(json!({"n": 1, "o": null})).with_artifact("data", "a1", "minio://b/d")
}

#[test]
fn the_executor_input_has_defaults_and_places_and_no_null() {
    let case = case(json!({"command": ["true"]}));
    let kind = |title: &str| json!({"schemaTitle": title, "schemaVersion": "0.0.1"});
    let root = "mlpipeline/v2/artifacts/p/r-1/train/0";
    let expected = json!({
        "inputs": {
            "parameterValues": {"n": 1, "s": "d-my \"run\""},
            "artifacts": {"data": {"artifacts": [
                {"name": "a1", "type": kind("system.Dataset"), "uri": "minio://b/d", "metadata": {}},
            ]}},
        },
        "outputs": {
            "parameters": {"acc": {"outputFile": "/ferroflow/work/outputs/acc"}},
            "artifacts": {"model": {"artifacts": [
                {"name": "model", "type": kind("system.Model"), "uri": format!("minio://{root}/model"), "metadata": {"k": 1}},
            ]}},
            "outputFile": format!("/minio/{root}/output_metadata.json"),
        },
    });
    assert_eq!(input(&case.step()).unwrap(), expected);
    let empty = Case::new(json!({}), json!({"command": ["true"]}));
    let expected = json!({"inputs": {}, "outputs": {"outputFile": format!("/minio/{root}/output_metadata.json")}});
    assert_eq!(input(&empty.step()).unwrap(), expected);
}

#[test]
fn the_work_order_says_what_to_fetch_make_run_and_hand_in() {
    let mut case = case(json!({"command": ["sh", "-c", "x"], "args": ["{{$.outputs.artifacts['model'].path}}"]}))
        .with_artifact("more", "a1", "minio://b/d")
        .with_artifact("more", "a2", "s3://c/e")
        .with_artifact("more", "a3", "https://example.org/f");
    let root = "minio/mlpipeline/v2/artifacts/p/r-1/train/0";
    for (own, prefix) in [(None, ""), (Some("/var/w"), "/var/w")] {
        case.root = own.map(str::to_owned);
        let work = own.unwrap_or("/ferroflow/work");
        let order = order(&case.step()).unwrap();
        assert_eq!(order.command, ["sh", "-c", "x", &format!("{prefix}/{root}/model")]);
        let inputs: Vec<_> = order.inputs.iter().map(|file| (&*file.artifact, &*file.path)).collect();
        assert_eq!(inputs, [("a1", &*format!("{prefix}/minio/b/d")), ("a2", &*format!("{prefix}/s3/c/e"))]);
        assert_eq!(order.output_file, format!("{prefix}/{root}/output_metadata.json"));
        assert_eq!(order.parameters[0].path, format!("{work}/outputs/acc"));
        assert_eq!(order.artifacts[0].path, format!("{prefix}/{root}/model"));
        for directory in [format!("{prefix}/{root}"), format!("{work}/outputs"), format!("{prefix}/minio/b")] {
            assert!(order.directories.contains(&directory), "{directory}: {:?}", order.directories);
        }
    }
}

#[test]
fn an_input_that_is_a_list_is_a_list_as_a_whole() {
    let words = json!([
        "{{$.inputs.artifacts['more']}}",
        "{{$.inputs.artifacts['more'].uri}}",
        "{{$.inputs.artifacts['data']}}"
    ]);
    let artifact = |id: &str, uri: &str| {
        let kind = json!({"schemaTitle": "system.Dataset", "schemaVersion": "0.0.1"});
        json!({"name": id, "type": kind, "uri": uri, "metadata": {}})
    };
    let read = |case: &Case| {
        let words = command(&case.step(), &input(&case.step()).unwrap());
        (serde_json::from_str::<Value>(&words[0]).unwrap(), words[1].clone(), words[2].clone())
    };
    let mut case = case(json!({"command": words}));
    assert_eq!(read(&case).0, json!([]));
    case = case.with_artifact("more", "a2", "gs://b/e").with_artifact("more", "a3", "gs://b/f");
    let (list, uri, single) = read(&case);
    assert_eq!(list, json!([artifact("a2", "gs://b/e"), artifact("a3", "gs://b/f")]));
    assert_eq!(uri, "gs://b/e");
    assert_eq!(serde_json::from_str::<Value>(&single).unwrap(), artifact("a1", "minio://b/d"));
}

#[test]
fn words_of_a_command_are_resolved() {
    for (words, expected) in [
        (json!(["{{$.inputs.parameters['n']}}", "{{$.inputs.parameters['s']}}"]), json!(["1", "d-my \"run\""])),
        (
            json!(["{{$.inputs.artifacts['data'].uri}}", "{{$.inputs.artifacts['data'].path}}"]),
            json!(["minio://b/d", "/minio/b/d"]),
        ),
        (json!(["{{$.inputs.parameters['o']}}", "{{$.inputs.artifacts['none'].path}}"]), json!(["null", "null"])),
        (json!(["{{$.outputs.artifacts['model'].metadata['k']}}"]), json!(["1"])),
        (json!(["{{$.outputs.parameters['acc'].output_file}}"]), json!(["/ferroflow/work/outputs/acc"])),
        (
            json!(["{{$.pipeline_task_name}} {{$.pipeline_job_uuid}} {{$.pipeline_root}}"]),
            json!(["train r-1 minio://mlpipeline/v2/artifacts"]),
        ),
        (json!(["{{$.inputs.parameters['nil']}}"]), json!(["{{$.inputs.parameters['nil']}}"])),
        (
            json!([
                "{\"Concat\": [\"a\", \"{{$.inputs.parameters['n']}}\", {\"IfPresent\": {\"InputName\": \"o\", \"Then\": \"x\", \"Else\": \"y\"}}]}"
            ]),
            json!(["a1y"]),
        ),
        (
            json!(["{\"IfPresent\": {\"InputName\": \"n\", \"Then\": [\"--n\", \"{{$.inputs.parameters['n']}}\"]}}"]),
            json!(["--n", "1"]),
        ),
        (json!(["{\"IfPresent\": {\"InputName\": \"o\", \"Then\": [\"--o\"]}}", "z"]), json!(["z"])),
        (json!(["{\"IfPresent\": {\"InputName\": \"s\", \"Then\": \"default counts\"}}"]), json!(["default counts"])),
        (json!(["{\"IfPresent\": {\"InputName\": \"data\", \"Then\": {\"Concat\": [\"a\", \"b\"]}}}"]), json!(["ab"])),
        (
            json!(["{\"Concat\": [\"{\\\"s\\\": \\\"\", \"{{$.inputs.parameters['s']}}\", \"\\\"}\"]}"]),
            json!(["{\"s\": \"d-my \\\"run\\\"\"}"]),
        ),
    ] {
        let case = case(json!({"command": words}));
        assert_eq!(json!(order(&case.step()).unwrap().command), expected, "{words}");
    }
}

#[test]
fn the_whole_input_is_json_whatever_is_in_it() {
    let case = case(json!({"command": ["{{$}}"]})).with(json!({"s": "\"\\ {{$.inputs.parameters['n']}}"}));
    let order = order(&case.step()).unwrap();
    let read: Value = serde_json::from_str(&order.command[0]).unwrap();
    // What a user gave is not looked at for placeholders.
    assert_eq!(read["inputs"]["parameterValues"]["s"], "\"\\ {{$.inputs.parameters['n']}}");
    assert!(order.command[0].contains("\"n\":1,"), "{}", order.command[0]);
}

#[test]
fn what_makes_no_order_is_told() {
    let fault = order(&case(json!({})).step()).unwrap_err().to_string();
    assert!(fault.starts_with("container.command: has neither command nor args"), "{fault}");
    let case = case(json!({"command": ["true"]}));
    let elsewhere = Step { uri: "ftp://x/y", ..case.step() };
    let fault = order(&elsewhere).unwrap_err().to_string();
    assert!(fault.starts_with("pipeline_root: \"ftp://x/y\" is no place for outputs"), "{fault}");
}

#[test]
fn an_importer_names_an_artifact_with_its_metadata_filled_in() {
    let component = json!({"inputDefinitions": {"parameters": {"uri": {"parameterType": "STRING"}, "m": {"parameterType": "STRING"}}}});
    let case = Case::new(component, json!({"command": ["x"]})).with(json!({"uri": "gs://b/k", "m": "v"}));
    let mut importer = Importer {
        uri: ImportUri::Parameter("uri".to_owned()),
        schema: Schema { title: "system.Model".to_owned(), version: "0.0.1".to_owned() },
        metadata: json!({"a": ["x-{{$.inputs.parameters['m']}}"], "{{$.inputs.parameters['m']}}": 1})
            .as_object()
            .cloned()
            .unwrap(),
        reimport: false,
        download_to_workspace: true,
    };
    let step = case.step();
    let imported = |importer: &Importer| {
        import(importer, step.component, step.inputs, step.facts, step.key, step.task_id, &["/w"])
    };
    let artifact = imported(&importer).unwrap();
    assert_eq!(artifact.uri, "gs://b/k");
    assert_eq!(Value::Object(artifact.metadata.clone()), json!({"a": ["x-v"], "v": 1, "_kfp_workspace": true}));
    assert_eq!(step.place().artifact_path(&artifact).unwrap(), "/kfp-workspace/.artifacts/gcs/b/k");
    importer.uri = ImportUri::Parameter("nil".to_owned());
    assert!(imported(&importer).unwrap_err().to_string().contains("has no value, and it is the URI to import"));
    importer.download_to_workspace = false;
    for (told, uri) in [("/w/minio/b/x", "minio://b/x"), ("/minio/b/x", "minio://b/x"), ("http://h/x", "http://h/x")] {
        importer.uri = ImportUri::Constant(told.to_owned());
        assert_eq!(imported(&importer).unwrap().uri, uri);
    }
    for told in ["pipelines/logs", "/x/minio/b/x", "own/x"] {
        importer.uri = ImportUri::Constant(told.to_owned());
        let fault = imported(&importer).unwrap_err().to_string();
        assert!(fault.starts_with("importer.artifactUri: ") && fault.contains(told), "{fault}");
    }
    importer.download_to_workspace = true;
    importer.uri = ImportUri::Constant("oci://host/m:1".to_owned());
    assert!(imported(&importer).unwrap_err().to_string().contains("downloadToWorkspace"));
    importer.download_to_workspace = false;
    assert_eq!(imported(&importer).unwrap().uri, "oci://host/m:1");
    importer.schema.title = "system.Dataset".to_owned();
    assert!(imported(&importer).unwrap_err().to_string().contains("system.Model only"));
}

#[test]
fn what_needs_mounts_is_refused_where_there_are_none() {
    let component = json!({"inputDefinitions": {"artifacts": {"d": {}}}});
    let model = Case::new(component, json!({"command": ["cat", "{{$.inputs.artifacts['d'].path}}"]})).with_artifact(
        "d",
        "a1",
        "oci://host/m:1",
    );
    let workspace = Case::new(json!({}), json!({"command": ["ls", "{{$.workspace_path}}"]}));
    assert_eq!(order(&model.step()).unwrap().command[1], "/oci/host_m:1/models");
    assert!(order(&model.step()).unwrap().inputs.is_empty(), "the pod has brought it along");
    for (case, place) in [(&model, "inputs.artifacts"), (&workspace, "workspace")] {
        order(&case.step()).unwrap();
        let refused = order(&Step { root: Some("/var/w"), ..case.step() }).unwrap_err();
        assert!(refused.to_string().starts_with(place), "{refused}");
    }
}

proptest! {
    #[test]
    fn any_value_comes_through_the_whole_input(value in ".{0,40}", number in any::<i32>()) {
        let case = case(json!({"command": ["run", "--executor_input", "{{$}}"]})).with(json!({"s": value, "n": number}));
        let order = order(&case.step()).unwrap();
        let read: Value = serde_json::from_str(&order.command[2]).unwrap();
        prop_assert_eq!(&read["inputs"]["parameterValues"], &json!({"s": value, "n": number}));
    }
}
