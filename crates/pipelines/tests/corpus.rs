//! Reads every compiled pipeline of a folder that `FERROFLOW_KFP_CORPUS` names: upstream's
//! `test_data/sdk_compiled_pipelines`, which is fetched and not kept here. Without it there are the pipelines that were
//! written by hand for `conformance/kfp`. All of them are read with each of their parts missing, renamed or of another
//! type as well.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use ferroflow_pipelines::core::{fault::Fault, ir::read};
use serde_json::{Value, json};

fn files(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    let mut waiting = vec![folder.to_owned()];
    while let Some(next) = waiting.pop() {
        for entry in fs::read_dir(&next)? {
            let path = entry?.path();
            if path.is_dir() {
                waiting.push(path);
            } else if path.extension().is_some_and(|extension| extension == "yaml") {
                found.push(path);
            }
        }
    }
    found.sort();
    Ok(found)
}

#[test]
fn every_pipeline_of_the_corpus_is_read_and_every_bad_one_refused() {
    let Some(corpus) = std::env::var_os("FERROFLOW_KFP_CORPUS") else {
        eprintln!("skipped: FERROFLOW_KFP_CORPUS names no folder of compiled pipelines");
        return;
    };
    let corpus = Path::new(&corpus);
    let (mut read, mut faults) = (0, Vec::new());
    for path in files(&corpus.join("valid")).unwrap() {
        match read::yaml(&fs::read_to_string(&path).unwrap()) {
            Ok(document) => {
                read += 1;
                let pipeline = read::pipeline(&document).unwrap();
                // What was read can be written and read again.
                let again = read::yaml(&serde_json::to_string(&document).unwrap()).unwrap();
                assert_eq!(read::pipeline(&again).unwrap(), pipeline, "{}", path.display());
            }
            Err(fault) => faults.push(format!("{}: {fault}", path.display())),
        }
    }
    assert!(faults.is_empty(), "{read} read, {} not:\n{}", faults.len(), faults.join("\n"));
    assert!(read > 0, "no pipelines in {}", corpus.display());
    eprintln!("{read} pipelines read");
    for path in files(&corpus.join("invalid")).unwrap() {
        let fault = read::yaml(&fs::read_to_string(&path).unwrap()).unwrap_err();
        eprintln!("{}: {fault}", path.display());
    }
}

/// Ways to a part of a document: names of fields and numbers of items.
type Way = Vec<String>;

/// The ways to all parts of a value, and whether what holds each is a map.
fn ways(value: &Value, way: &Way, found: &mut Vec<(Way, bool)>) {
    let mut go = |name: String, part: &Value, is_field: bool| {
        let way: Way = way.iter().cloned().chain([name]).collect();
        ways(part, &way, found);
        found.push((way, is_field));
    };
    match value {
        Value::Object(fields) => fields.iter().for_each(|(name, part)| go(name.clone(), part, true)),
        Value::Array(items) => items.iter().enumerate().for_each(|(index, part)| go(index.to_string(), part, false)),
        _ => {}
    }
}

fn holder<'a>(document: &'a mut Value, way: &[String]) -> &'a mut Value {
    way.iter().fold(document, |value, name| match value {
        Value::Array(items) => &mut items[name.parse::<usize>().unwrap()],
        value => &mut value[name],
    })
}

/// The documents in which one part is missing, has another name, or is something else.
fn mutations(document: &Value, way: &Way, is_field: bool) -> Vec<(&'static str, Value)> {
    let (last, above) = way.split_last().unwrap();
    let mut made = Vec::new();
    let mut change = |what, change: &dyn Fn(&mut Value)| {
        let mut copy = document.clone();
        change(holder(&mut copy, above));
        if copy != *document {
            made.push((what, copy));
        }
    };
    if is_field {
        change("missing", &|value| drop(value.as_object_mut().unwrap().remove(last)));
        change("renamed", &|value| {
            let fields = value.as_object_mut().unwrap();
            let part = fields.remove(last).unwrap();
            fields.insert(format!("{last}X"), part);
        });
    }
    for (what, other) in [
        ("null", Value::Null),
        ("a number", json!(7)),
        ("a fraction", json!(-0.5)),
        ("text", json!("x/../y")),
        ("nothing", json!("")),
        ("true", json!(true)),
        ("a list", json!([{"a": 1}])),
        ("an object", json!({"a": {}})),
    ] {
        change(what, &|value| *holder(value, std::slice::from_ref(last)) = other.clone());
    }
    made
}

/// Whether a fault leads the reader to something in the document: its first part is a field there, or one that lacks.
fn leads_somewhere(fault: &Fault) -> bool {
    const TOP: [&str; 9] = [
        "pipelineInfo",
        "deploymentSpec",
        "sdkVersion",
        "schemaVersion",
        "components",
        "root",
        "defaultPipelineRoot",
        "platforms",
        "document",
    ];
    let names = |text: &str| TOP.iter().any(|name| text.starts_with(name));
    !fault.what.is_empty() && (names(&fault.at) || fault.what.contains('"') || names(&fault.what))
}

#[test]
fn what_is_changed_anywhere_is_read_or_refused_with_its_place() {
    let own = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../conformance/kfp/cases");
    let folder = std::env::var_os("FERROFLOW_KFP_CORPUS").map_or(own, |corpus| Path::new(&corpus).join("valid"));
    let (mut refused, mut read, mut documents) = (0, 0, 0);
    for path in files(&folder).unwrap() {
        let Ok(document) = read::yaml(&fs::read_to_string(&path).unwrap()) else { continue };
        documents += 1;
        let mut all = Vec::new();
        ways(&document, &Vec::new(), &mut all);
        for (way, is_field) in all.iter().filter(|(way, _)| way.len() > 1) {
            for (what, changed) in mutations(&document, way, *is_field) {
                match read::pipeline(&changed) {
                    Ok(_) => read += 1,
                    Err(fault) => {
                        refused += 1;
                        let place = way.join(".");
                        assert!(leads_somewhere(&fault), "{}: {place} is {what}: {fault}", path.display());
                        // What is wrong by itself is told with its own name.
                        let is_alone = matches!(what, "renamed") && !place.contains(".parameters.");
                        let told = fault.to_string();
                        let is_named = way.iter().rev().take(2).any(|name| told.contains(name.as_str()));
                        assert!(!is_alone || is_named, "{}: {place} is {what}: {told}", path.display());
                    }
                }
            }
        }
    }
    eprintln!("{documents} documents, {refused} changes refused, {read} read");
    assert!(documents > 3 && refused > 1000, "{documents} documents, {refused} changes refused");
}
