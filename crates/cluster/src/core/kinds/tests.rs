//! The built-in kinds against what a Kubernetes API server 1.34.4 answered: `data/refused.jsonl` (new objects and
//! what is wrong with them), `data/accepted.jsonl` (new objects and what was stored), `data/updated.jsonl` (changes).
//! Changes are lists of a JSON pointer and a value; without a value the field is gone.

mod found;

use serde_json::{Value, json};

use super::*;
use crate::core::fields;
use crate::core::resource::{self, ResourceRef};
use crate::core::schema::Table;

const REFUSED: &str = include_str!("data/refused.jsonl");
const ACCEPTED: &str = include_str!("data/accepted.jsonl");
const UPDATED: &str = include_str!("data/updated.jsonl");

fn context() -> Context<'static> {
    Context { now: jiff::Timestamp::from_second(1_800_000_000).unwrap(), user: None }
}

fn cases(text: &'static str) -> impl Iterator<Item = Value> {
    text.lines().map(|line| serde_json::from_str(line).unwrap())
}

fn row_of(case: &Value) -> ResourceRef {
    let (group, kind) = (case["group"].as_str().unwrap(), case["kind"].as_str().unwrap());
    resource::builtin().into_iter().find(|row| row.group == group && row.kind == kind).unwrap()
}

/// The object as it comes out of the decoder, in its stored version.
fn decoded(resource: &Resource, object: &Value) -> Value {
    let mut object = object.clone();
    normalize(resource, &mut object);
    versions::to_stored(resource, &object)
}

fn normalize(resource: &Resource, object: &mut Value) {
    let table = Table::builtin();
    if let Some(node) = table.kind(&resource.group, &resource.version, &resource.kind) {
        fields::normalize(table, node, object);
    }
}

/// The object as a client reads it.
fn shown(resource: &Resource, object: Value) -> Value {
    let mut object = versions::from_stored(resource, &object);
    normalize(resource, &mut object);
    object
}

fn create(resource: &Resource, object: &Value) -> (Value, ErrorList) {
    let mut object = decoded(resource, object);
    defaults(resource, &mut object);
    if resource.kind == "Service" {
        let allocated = service::allocation::create(&mut object, &service::allocation::Held::default(), 5);
        if let Err(service::allocation::Refused::Invalid(errors)) = allocated {
            return (object, errors);
        }
    }
    prepare_create(resource, &mut object, &context());
    let errors = validate_create(resource, &object);
    (object, errors)
}

fn update(resource: &Resource, subresource: &str, object: &Value, old: &Value) -> (Value, ErrorList) {
    let (mut object, old) = (decoded(resource, object), decoded(resource, old));
    defaults(resource, &mut object);
    if resource.kind == "Service" && subresource.is_empty() {
        let held = service::allocation::Held::default();
        if let Err(service::allocation::Refused::Invalid(errors)) =
            service::allocation::update(&mut object, &old, &held, 5)
        {
            return (object, errors);
        }
    }
    prepare_update(resource, subresource, &mut object, &old, &context());
    let errors = validate_update(resource, subresource, &object, &old);
    (object, errors)
}

fn causes(errors: &ErrorList) -> Vec<[String; 3]> {
    let mut causes: Vec<_> =
        errors.iter().map(|error| [error.field.clone(), error.kind.reason().to_owned(), error.body()]).collect();
    causes.sort();
    causes
}

fn expected(case: &Value) -> Vec<[String; 3]> {
    let mut causes: Vec<[String; 3]> = serde_json::from_value(case["causes"].clone()).unwrap();
    causes.sort();
    causes
}

/// Applies a list of changes.
fn changed(object: &Value, changes: &Value) -> Value {
    let mut object = object.clone();
    for change in changes.as_array().unwrap() {
        let (parent, key) = change[0].as_str().unwrap().rsplit_once('/').unwrap();
        let key = key.replace("~1", "/").replace("~0", "~");
        let parent = object.pointer_mut(parent).unwrap().as_object_mut().unwrap();
        match change.get(1) {
            Some(value) => parent.insert(key, value.clone()),
            None => parent.remove(&key),
        };
    }
    object
}

/// Without what is allocated from a pool.
fn without_allocations(object: &mut Value) {
    match object {
        Value::Object(map) => {
            for key in ["clusterIP", "clusterIPs", "nodePort", "healthCheckNodePort"] {
                map.remove(key);
            }
            map.values_mut().for_each(without_allocations);
        }
        Value::Array(list) => list.iter_mut().for_each(without_allocations),
        _ => {}
    }
}

#[test]
fn new_objects_are_refused_with_the_words_of_the_reference() {
    let mut faults = Vec::new();
    for case in cases(REFUSED) {
        let (_, errors) = create(&row_of(&case), &case["object"]);
        if causes(&errors) != expected(&case) {
            faults.push(format!("{}\n  ours {:?}\n  theirs {:?}", case["object"], causes(&errors), expected(&case)));
        }
    }
    assert!(faults.is_empty(), "{} cases\n{}", faults.len(), faults.join("\n"));
}

#[test]
fn new_objects_are_stored_as_the_reference_stores_them() {
    let mut faults = Vec::new();
    for case in cases(ACCEPTED) {
        let row = row_of(&case);
        let (object, errors) = create(&row, &case["object"]);
        let (mut ours, mut theirs) = (shown(&row, object), changed(&case["object"], &case["stored"]));
        if let Some(meta) = ours["metadata"].as_object_mut() {
            meta.remove("uid");
            meta.remove("creationTimestamp");
        }
        if row.kind == "Service" {
            without_allocations(&mut ours);
            without_allocations(&mut theirs);
        }
        if ours != theirs || !errors.is_empty() {
            faults.push(format!("{}\n  ours {ours}\n  theirs {theirs}\n  {:?}", case["object"], causes(&errors)));
        }
    }
    assert!(faults.is_empty(), "{} cases\n{}", faults.len(), faults.join("\n"));
}

#[test]
fn changes_are_taken_and_refused_as_by_the_reference() {
    let mut faults = Vec::new();
    for case in cases(UPDATED) {
        let row = row_of(&case);
        let object = changed(&case["old"], &case["change"]);
        let (ours, errors) = update(&row, case["subresource"].as_str().unwrap(), &object, &case["old"]);
        let theirs = case["stored"].as_array().map(|_| changed(&object, &case["stored"]));
        let ours = shown(&row, ours);
        if causes(&errors) != expected(&case) || theirs.as_ref().is_some_and(|theirs| *theirs != ours) {
            let wanted = expected(&case);
            faults.push(format!("{case}\n  ours {ours}\n  {:?}\n  theirs {theirs:?}\n  {wanted:?}", causes(&errors)));
        }
    }
    assert!(faults.is_empty(), "{} cases\n{}", faults.len(), faults.join("\n"));
}

#[test]
fn every_row_of_the_table_names_a_served_kind_once() {
    let rows = resource::builtin();
    for (index, strategy) in table::TABLE.iter().enumerate() {
        let served = rows.iter().any(|row| row.group == strategy.group && row.kind == strategy.kind);
        assert!(served, "{}/{} is not served", strategy.group, strategy.kind);
        let again =
            table::TABLE[..index].iter().any(|other| other.group == strategy.group && other.kind == strategy.kind);
        assert!(!again, "{}/{} stands twice", strategy.group, strategy.kind);
    }
}

/// Numbers that look random and are the same in every run.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % sides.max(1)
    }
}

/// Replaces one value somewhere below by one of another kind.
fn distort(value: &mut Value, dice: &mut Dice) {
    let odd = [
        json!(null),
        json!(true),
        json!(-1),
        json!(9_223_372_036_854_775_807_i64),
        json!(18_446_744_073_709_551_615_u64),
        json!(1e300),
        json!(""),
        json!("ä\u{0}/:=,"),
        json!([]),
        json!([null, 1, "x", [], {}]),
        json!({}),
        json!({"": null, "name": 5, "matchLabels": [], "a": {"b": []}}),
    ];
    let child = match value {
        Value::Object(map) if !map.is_empty() && dice.roll(6) != 0 => {
            let index = dice.roll(map.len());
            map.values_mut().nth(index)
        }
        Value::Array(list) if !list.is_empty() && dice.roll(6) != 0 => {
            let index = dice.roll(list.len());
            list.get_mut(index)
        }
        _ => None,
    };
    match child {
        Some(child) => distort(child, dice),
        None => match value.as_str() {
            Some(text) if dice.roll(2) == 0 => *value = Value::from(inserted(text, dice)),
            _ => *value = odd[dice.roll(odd.len())].clone(),
        },
    }
}

/// The text with one odd character somewhere.
fn inserted(text: &str, dice: &mut Dice) -> String {
    let odd = ['ä', '-', '/', ':', '.', '0', '9', '\u{0}', '%', ' ', '😀', '=', ',', '\n'];
    let mut characters: Vec<char> = text.chars().collect();
    characters.insert(dice.roll(characters.len() + 1), odd[dice.roll(odd.len())]);
    characters.into_iter().collect()
}

#[test]
fn values_of_odd_types_never_panic() {
    let mut dice = Dice(7);
    let seeds: Vec<(ResourceRef, Value)> = cases(REFUSED)
        .chain(cases(ACCEPTED))
        .map(|case| (row_of(&case), case["object"].clone()))
        .chain(cases(UPDATED).map(|case| (row_of(&case), changed(&case["old"], &case["change"]))))
        .collect();
    for (row, seed) in &seeds {
        for _ in 0..6 {
            let (mut object, mut old) = (seed.clone(), seed.clone());
            for _ in 0..=dice.roll(3) {
                distort(&mut object, &mut dice);
                distort(&mut old, &mut dice);
            }
            run_all(row, &object, &old);
            run_all(row, &object, seed);
            run_all(row, seed, &old);
        }
    }
}

fn run_all(resource: &Resource, given: &Value, old: &Value) {
    let ctx = context();
    let mut object = given.clone();
    defaults(resource, &mut object);
    let _ = warnings(resource, &object, Some(old));
    let held = service::allocation::Held::default();
    let _ = service::allocation::create(&mut object, &held, 5);
    let _ = service::allocation::update(&mut object, old, &held, 5);
    prepare_create(resource, &mut object, &ctx);
    let _ = validate_create(resource, &object);
    for subresource in ["", "status", "approval", "finalize", "ephemeralcontainers", "resize", "nothing"] {
        let mut object = given.clone();
        prepare_update(resource, subresource, &mut object, old, &ctx);
        let _ = validate_update(resource, subresource, &object, old);
    }
    let _ = scaling::to_scale(given);
    let _ = scaling::apply_scale(&mut given.clone(), old);
    let _ = small::event_to_core(given);
    let _ = small::event_from_core(given);
    let _ = autoscaler::to_v1(given);
    let _ = autoscaler::from_v1(given);
}

#[test]
fn a_custom_object_has_its_metadata_checked() {
    let row = Resource { group: "example.com".to_owned(), kind: "Widget".to_owned(), ..(*pods()).clone() };
    let object = json!({"metadata": {"name": "A_b", "namespace": "default", "uid": "u"}});
    let errors = validate_create(&row, &object);
    assert_eq!(errors[0].field, "metadata.name");
}

fn pods() -> ResourceRef {
    row_of(&json!({"group": "", "kind": "Pod"}))
}

#[test]
fn owners_that_stand_twice_are_dropped_with_a_warning() {
    let mut object = json!({"metadata": {"ownerReferences": [{"uid": "a"}, {"uid": "b"}, {"uid": "a"}]}});
    assert!(meta::drop_double_owners(&mut object).unwrap().ends_with("observed: a"));
    assert_eq!(object["metadata"]["ownerReferences"], json!([{"uid": "a"}, {"uid": "b"}]));
    assert_eq!(meta::drop_double_owners(&mut object), None);
}

#[test]
fn a_scale_shows_and_sets_the_replicas() {
    let mut object = json!({
        "metadata": {"name": "web", "namespace": "default", "uid": "u", "resourceVersion": "7"},
        "spec": {"replicas": 2, "selector": {"matchLabels": {"app": "web"}}},
        "status": {"replicas": 1},
    });
    let mut scale = scaling::to_scale(&object);
    assert_eq!(scale["spec"]["replicas"], 2);
    assert_eq!(scale["status"], json!({"replicas": 1, "selector": "app=web"}));
    scale["spec"]["replicas"] = json!(5);
    scaling::apply_scale(&mut object, &scale).ok().unwrap();
    assert_eq!(object["spec"]["replicas"], 5);
    scale["spec"]["replicas"] = json!(-1);
    assert!(scaling::apply_scale(&mut object, &scale).is_err());
}
