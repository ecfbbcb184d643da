//! Every served kind of the upstream test data decodes from protobuf to the JSON that lies beside it.
//!
//! The data is the folder `testdata/HEAD` of the Go module `k8s.io/api`: the folder that
//! `FERROFLOW_K8S_API_TESTDATA` names, else that of the module which `conformance/kubernetes` pins.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

use ferroflow_cluster::core::fields;
use ferroflow_cluster::core::protobuf;
use ferroflow_cluster::core::resource;
use ferroflow_cluster::core::schema::Table;
use serde_json::Value;

/// Kinds that upstream's `k8s.io/api` does not hold, and so has no data for.
const ELSEWHERE: &[&str] = &["CustomResourceDefinition", "APIService"];

fn testdata() -> PathBuf {
    if let Some(folder) = std::env::var_os("FERROFLOW_K8S_API_TESTDATA") {
        return folder.into();
    }
    let module = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../conformance/kubernetes");
    let output = Command::new("go")
        .args(["mod", "download", "-json", "k8s.io/api"])
        .current_dir(&module)
        .output()
        .expect("go runs, or FERROFLOW_K8S_API_TESTDATA names the folder");
    let answer: Value = serde_json::from_slice(&output.stdout).expect("go answers with JSON");
    let folder = answer["Dir"].as_str().unwrap_or_else(|| panic!("k8s.io/api is not there: {answer}"));
    Path::new(folder).join("testdata/HEAD")
}

/// Group version and kind of everything that a client may send as a body.
fn kinds() -> BTreeSet<(String, String, String)> {
    let mut kinds = BTreeSet::from([(String::new(), "v1".to_owned(), "DeleteOptions".to_owned())]);
    for row in resource::builtin() {
        kinds.insert((row.group.clone(), row.version.clone(), row.kind.clone()));
        kinds.extend(row.subresources.iter().filter_map(|one| one.kind.clone()));
    }
    kinds.retain(|(_, _, kind)| !ELSEWHERE.contains(&kind.as_str()));
    kinds.retain(|(_, _, kind)| kind == "DeleteOptions" || !kind.ends_with("Options"));
    kinds
}

fn read(folder: &Path, group: &str, version: &str, kind: &str, ending: &str) -> Vec<u8> {
    let group = if group.is_empty() { "core" } else { group };
    let path = folder.join(format!("{group}.{version}.{kind}.{ending}"));
    std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

#[test]
fn every_served_kind_decodes_from_protobuf_to_the_same_json() {
    let folder = testdata();
    let mut wrong = Vec::new();
    for (group, version, kind) in &kinds() {
        let expected: Value = serde_json::from_slice(&read(&folder, group, version, kind, "json")).expect("JSON");
        match protobuf::decode(&read(&folder, group, version, kind, "pb")) {
            Ok((_, _, found)) if found == expected => {}
            Ok((_, _, found)) => wrong.push(format!("{kind}: {}", difference("", &found, &expected))),
            Err(error) => wrong.push(format!("{kind}: {error}")),
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_served_kind_passes_through_decoding_unchanged() {
    let folder = testdata();
    let table = Table::builtin();
    for (group, version, kind) in &kinds() {
        let text = read(&folder, group, version, kind, "json");
        let expected: Value = serde_json::from_slice(&text).expect("JSON");
        let node = table.kind(group, version, kind).expect("a shape");
        let mut found = expected.clone();
        assert_eq!(fields::decode(table, node, &mut found), Ok(()), "{kind}");
        assert_eq!(found, expected, "{kind}");
        assert_eq!(fields::unknown_fields(table, node, &expected), Vec::<String>::new(), "{kind}");
        assert_eq!(fields::strict_errors(&text, table, node), Vec::<String>::new(), "{kind}");
    }
}

#[test]
fn damaged_bodies_give_an_error_or_an_object_and_never_a_panic() {
    let folder = testdata();
    for (group, version, kind) in &kinds() {
        let body = read(&folder, group, version, kind, "pb");
        for at in (0..body.len()).step_by(37) {
            let mut damaged = body.clone();
            damaged[at] ^= 0x55;
            let _ = protobuf::decode(&damaged);
            let _ = protobuf::decode(&body[..at]);
        }
    }
}

#[test]
fn damaged_texts_and_objects_of_another_kind_never_panic() {
    let folder = testdata();
    let table = Table::builtin();
    let node = table.kind("apps", "v1", "Deployment").expect("a shape");
    for (group, version, kind) in &kinds() {
        let text = read(&folder, group, version, kind, "json");
        for at in (0..text.len()).step_by(211) {
            let mut damaged = text.clone();
            damaged[at] = b'}';
            let _ = fields::strict_errors(&damaged, table, node);
            let _ = fields::duplicates(&text[..at]);
        }
        let mut value: Value = serde_json::from_slice(&text).expect("JSON");
        let _ = fields::unknown_fields(table, node, &value);
        if fields::decode(table, node, &mut value).is_ok() {
            let once = value.clone();
            fields::normalize(table, node, &mut value);
            assert_eq!(value, once, "{kind}");
        }
    }
}

/// The first place where two values differ.
fn difference(path: &str, found: &Value, expected: &Value) -> String {
    match (found, expected) {
        (Value::Object(found), Value::Object(expected)) => {
            let names: BTreeSet<&String> = found.keys().chain(expected.keys()).collect();
            for name in names {
                let (found, expected) = (found.get(name), expected.get(name));
                if found != expected {
                    let null = Value::String("<absent>".to_owned());
                    return difference(&format!("{path}.{name}"), found.unwrap_or(&null), expected.unwrap_or(&null));
                }
            }
            String::new()
        }
        (Value::Array(found), Value::Array(expected)) if found.len() == expected.len() => {
            let differing = found.iter().zip(expected).enumerate().find(|(_, (found, expected))| found != expected);
            differing.map_or_else(String::new, |(index, (found, expected))| {
                difference(&format!("{path}[{index}]"), found, expected)
            })
        }
        _ => format!("{path}: found {found}, expected {expected}"),
    }
}
