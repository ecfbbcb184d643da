use serde_json::json;

use super::*;

fn object() -> Value {
    json!({
        "metadata": {"name": "web", "labels": {"a.b/c": "x"}},
        "spec": {"replicas": 3, "ratio": 0.5, "paused": false, "none": null, "big": 1e30, "much": 1234567.5},
        "status": {"conditions": [
            {"type": "Ready", "status": "True", "count": 1},
            {"type": "Done", "status": "False"},
        ], "items": [0, 1, 2, 3]},
    })
}

fn check(path: &str, expected: &[&str]) {
    let path = Path::parse(path).unwrap_or_else(|error| panic!("{path}: {error}"));
    let object = object();
    let found: Vec<String> = path.find(&object).unwrap().iter().map(|value| print(value)).collect();
    assert_eq!(found, expected, "{path:?}");
}

#[test]
fn paths_find_what_upstream_finds() {
    check("{.metadata.name}", &["web"]);
    check("{.metadata.labels.a\\.b/c}", &["x"]);
    check("{.metadata.labels['a\\.b/c']}", &["x"]);
    check("{$.spec.replicas}", &["3"]);
    check("{.spec.ratio}", &["0.5"]);
    check("{.spec.big}", &["1e+30"]);
    check("{.spec.much}", &["1.2345675e+06"]);
    check("{.spec.none}", &["<no value>"]);
    check("{.spec.absent.deeper}", &[]);
    check("{.status.conditions[?(@.type==\"Ready\")].status}", &["True"]);
    check("{.status.conditions[?(@.type=='Done')].status}", &["False"]);
    check("{.status.conditions[?(@.type!='Done')].type}", &["Ready"]);
    check("{.status.conditions[?(@.count)].type}", &["Ready"]);
    check("{.status.conditions[?(@.count>=1)].type}", &["Ready"]);
    check("{.status.conditions[*].type}", &["Ready", "Done"]);
    check("{.status.conditions[0].type}", &["Ready"]);
    check("{.status.conditions[-1].type}", &["Done"]);
    check("{.status.items[1:3]}", &["1", "2"]);
    check("{.status.items[::2]}", &["0", "2"]);
    check("{.status.items[-2:]}", &["2", "3"]);
    check("{.status.items[0,3]}", &["0", "3"]);
    check("{..count}", &["1"]);
    check("{.spec['replicas','paused']}", &["3", "false"]);
    check("{.status.conditions[1]}", &["{\"status\":\"False\",\"type\":\"Done\"}"]);
    check("{.metadata.name.*}", &["119", "101", "98"]);
    check("{\"a\\tb\"}", &["a\tb"]);
}

#[test]
fn a_recursive_step_finds_the_outermost_first() {
    let object = object();
    let found = Path::parse("{..type}").unwrap();
    let found: Vec<String> = found.find(&object).unwrap().iter().map(|value| print(value)).collect();
    assert_eq!(found, ["Ready", "Done"]);
}

#[test]
fn faults_are_errors_and_never_panics() {
    for text in ["{.a", "{.a[}", "{.a[?(@.b==1}", "{.a[x]}", "{-}", "{'a}", "{....}", "{;}"] {
        assert!(Path::parse(text).is_err(), "{text}");
    }
    let object = object();
    for text in ["{.status.items[9]}", "{.metadata[0]}", "{.metadata[?(@.x)]}", "{.spec.replicas.range}", "{range}"] {
        let found = Path::parse(text).unwrap().find(&object).map(|values| values.len());
        assert!(!matches!(found, Ok(1..)), "{text}: {found:?}");
    }
}

#[test]
fn simple_paths_follow_names() {
    let object = object();
    assert_eq!(get(&object, ".spec.replicas"), Some(&json!(3)));
    assert_eq!(get(&object, ".spec.replicas.x"), None);
}
