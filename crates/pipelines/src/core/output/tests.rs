use serde_json::json;

use super::*;
use crate::core::executor::tests::Case;

const ROOT: &str = "minio://mlpipeline/v2/artifacts/p/r-1/train/0";

fn case(outputs: &Value) -> Case {
    Case::new(json!({"outputDefinitions": outputs}), json!({"command": ["true"]}))
}

#[test]
fn parameters_come_from_the_executor_output_then_from_files_by_their_type() {
    let both = |text: &str| Report { parameters: [("x".to_owned(), text.to_owned())].into(), ..Report::default() };
    let said = |value: Value| Report { output: Some(json!({"parameterValues": {"x": value}})), ..both("ignored") };
    for (kind, report, expected) in [
        ("STRING", both("a\n"), Ok(json!("a\n"))),
        ("NUMBER_INTEGER", both(" 7\n"), Ok(json!(7))),
        ("NUMBER_INTEGER", both("7.5"), Err("the file holds no integer (NUMBER_INTEGER) but the string \"7.5\"")),
        ("NUMBER_DOUBLE", both("7.0"), Ok(json!(7))),
        ("NUMBER_DOUBLE", both("nan"), Err("the file holds no number")),
        ("BOOLEAN", both("True"), Ok(json!(true))),
        ("BOOLEAN", both("yes"), Err("the file holds no boolean")),
        ("LIST", both("[1.0, 2]"), Ok(json!([1, 2]))),
        ("LIST", both("{}"), Err("the file holds no list")),
        ("STRUCT", both("{\"a\": 1}"), Ok(json!({"a": 1}))),
        ("STRUCT", both("{"), Err("the file holds no JSON")),
        ("NUMBER_DOUBLE", said(json!(0.5)), Ok(json!(0.5))),
        ("NUMBER_INTEGER", said(json!(2.0)), Ok(json!(2))),
        ("STRING", said(Value::Null), Ok(Value::Null)),
        ("LIST", said(json!("a")), Err("output parameter type mismatch: expect LIST, got the string \"a\"")),
        ("STRING", Report::default(), Err("failed to read output parameter \"x\": the step has left it neither")),
    ] {
        let case = case(&json!({"parameters": {"x": {"parameterType": kind}}}));
        match (read(&case.step(), &report), expected) {
            (Ok(values), Ok(expected)) => assert_eq!(values.parameters["x"], expected, "{kind}"),
            (Err(fault), Err(expected)) => {
                assert!(fault.to_string().starts_with(&format!("outputs.parameters.x: {expected}")), "{fault}");
            }
            (found, expected) => panic!("{kind}: {found:?}, not {expected:?}"),
        }
    }
}

fn artifacts(case: &Case, said: &Value) -> Result<Vec<Artifact>, Fault> {
    let output = Some(json!({"artifacts": {"model": {"artifacts": said}}}));
    Ok(read(&case.step(), &Report { output, ..Report::default() })?.artifacts["model"].clone())
}

#[test]
fn artifacts_are_what_is_declared_and_what_the_program_says_of_them() {
    let declared = json!({"artifacts": {"model": {"artifactType": {"schemaTitle": "system.Model"}, "metadata": {"a": 1, "b": 1}}}});
    let case = case(&declared);
    let silent = read(&case.step(), &Report::default()).unwrap().artifacts["model"][0].clone();
    assert_eq!((&*silent.uri, &*silent.schema_title), (&*format!("{ROOT}/model"), "system.Model"));
    let said =
        json!([{"name": "model", "metadata": {"b": 2.0}, "uri": format!("{ROOT}/other"), "custom_path": "/tmp/x"}]);
    let artifact = artifacts(&case, &said).unwrap().remove(0);
    assert_eq!(Value::Object(artifact.metadata), json!({"a": 1, "b": 2}));
    assert_eq!(artifact.uri, format!("{ROOT}/other"));
}

#[test]
fn places_lead_back_to_uris_and_others_property_is_not_claimed() {
    let declared = json!({"artifacts": {"model": {}}});
    let mut case = case(&declared).with_artifact("data", "a1", "minio://mlpipeline/v2/artifacts/p/r-0/x/0/d");
    for (root, told, uri) in [
        (None, "/minio/mlpipeline/v2/artifacts/p/r-1/train/0/m", Ok(format!("{ROOT}/m"))),
        (Some("/w"), "/w/minio/mlpipeline/v2/artifacts/p/r-1/train/0/m", Ok(format!("{ROOT}/m"))),
        (None, "oci://registry/model:1", Ok("oci://registry/model:1".to_owned())),
        (None, "gs://elsewhere/m", Ok("gs://elsewhere/m".to_owned())),
        // What was given may be handed on.
        (
            None,
            "minio://mlpipeline/v2/artifacts/p/r-0/x/0/d",
            Ok("minio://mlpipeline/v2/artifacts/p/r-0/x/0/d".to_owned()),
        ),
        (None, "minio://mlpipeline/v2/artifacts/p/r-0/x/0/e", Err(())),
        (None, "minio://mlpipeline/v2/artifacts/p/r-1/train/0/../../other/0/m", Err(())),
        (None, "minio://mlpipeline/v2/artifacts/p/r-1/train/01/m", Err(())),
    ] {
        case.root = root.map(str::to_owned);
        let found = artifacts(&case, &json!([{"uri": told}]));
        match uri {
            Ok(uri) => assert_eq!(found.unwrap()[0].uri, uri, "{told}"),
            Err(()) => assert!(found.unwrap_err().to_string().contains("claims to lie at"), "{told}"),
        }
    }
    for told in ["pipelines/logs", "/etc/passwd", "/elsewhere/minio/b/x"] {
        let fault = artifacts(&case, &json!([{"uri": told}])).unwrap_err().to_string();
        assert!(fault.starts_with("outputs.artifacts.model: ") && fault.contains(told), "{fault}");
    }
}

#[test]
fn a_list_has_as_many_artifacts_as_the_program_says_and_one_artifact_is_one() {
    let two = json!([{"uri": format!("{ROOT}/a")}, {"uri": format!("{ROOT}/b")}]);
    for (is_list, count) in [(true, 2), (false, 1)] {
        let case = case(&json!({"artifacts": {"model": {"isArtifactList": is_list}}}));
        assert_eq!(artifacts(&case, &two).unwrap().len(), count);
    }
}

#[test]
fn an_executor_output_of_another_shape_is_told() {
    let case = case(&json!({"parameters": {"x": {"parameterType": "STRING"}}}));
    for (output, fault) in [
        (json!([]), "executor output: must be an object, not a list"),
        (json!({"parameterValues": 1}), "parameterValues: must be an object in the executor output, not the number 1"),
    ] {
        let error = read(&case.step(), &Report { output: Some(output), ..Report::default() }).unwrap_err();
        assert_eq!(error.to_string(), fault);
    }
}
