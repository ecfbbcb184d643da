//! Tests of revisions and hashes.

use super::*;
use crate::core::workload::testing::{merged, object};

fn a_template(image: &str) -> PodTemplateSpec {
    object(
        json!({ "metadata": { "labels": { "app": "db" } }, "spec": { "containers": [{ "name": "c", "image": image }] } }),
    )
}

fn owner() -> Owner {
    Owner { api_version: "apps/v1", kind: "StatefulSet", name: "db".to_owned(), uid: "u".to_owned(), deleting: false }
}

fn wanted(template: &PodTemplateSpec, revisions: &[Arc<ControllerRevision>]) -> Wanted {
    let taken = revisions.iter().map(|one| (one.metadata.name.clone().unwrap(), one.clone())).collect();
    let history = History {
        keeper: Keeper::StatefulSet,
        owner: &owner(),
        meta: &ObjectMeta::default(),
        template,
        revisions,
        taken: &taken,
        collisions: 0,
    };
    history.wanted()
}

fn created(wanted: &Wanted) -> Arc<ControllerRevision> {
    match &wanted.act.as_ref().unwrap().change {
        Change::Create(New::Revision(revision)) => Arc::new(revision.as_ref().clone()),
        other => panic!("not a new revision: {other:?}"),
    }
}

#[test]
fn a_hash_has_letters_that_make_no_words_and_differs_by_probe() {
    let one = hash(b"template", None);
    assert!(one.chars().all(|letter| "bcdfghjklmnpqrstvwxz2456789".contains(letter)), "{one}");
    assert_eq!(one, hash(b"template", None));
    assert_ne!(one, hash(b"template", Some(1)));
}

#[test]
fn templates_that_differ_in_nothing_but_the_hash_label_are_the_same() {
    let one = a_template("a");
    let labelled = merged(&one, &json!({ "metadata": { "labels": { POD_TEMPLATE_HASH: "x" } } }));
    assert!(same_template(&one, &labelled));
    assert!(same_template(&one, &merged(&one, &json!({ "metadata": { "annotations": {} } }))));
    assert!(!same_template(&one, &a_template("b")));
}

#[test]
fn a_new_template_gets_the_next_number_and_holds_a_patch_that_replaces_the_template() {
    let first = created(&wanted(&a_template("a"), &[]));
    assert_eq!(first.revision, 1);
    let data = &first.data.as_ref().unwrap().0;
    assert_eq!(data["spec"]["template"]["$patch"], "replace");
    assert!(same_template(&template(&first).unwrap(), &a_template("a")));
    let second = created(&wanted(&a_template("b"), std::slice::from_ref(&first)));
    assert_eq!(second.revision, 2);
}

#[test]
fn a_template_that_comes_back_takes_its_old_revision_with_a_new_number() {
    let first = created(&wanted(&a_template("a"), &[]));
    let second = created(&wanted(&a_template("b"), std::slice::from_ref(&first)));
    let back = wanted(&a_template("a"), &[first.clone(), second.clone()]);
    assert_eq!(back.name, first.metadata.name.clone().unwrap());
    let Change::Merge { patch, .. } = back.act.unwrap().change else { panic!("not a patch") };
    assert_eq!(patch, json!({ "revision": 3 }));
    assert_eq!(wanted(&a_template("b"), &[first, second]).act, None);
}

#[test]
fn a_name_that_another_template_took_is_avoided() {
    let first = created(&wanted(&a_template("a"), &[]));
    let mut other = first.as_ref().clone();
    other.data = Some(RawExtension(json!({ "spec": {} })));
    let template = a_template("a");
    let history = History {
        keeper: Keeper::DaemonSet,
        owner: &owner(),
        meta: &ObjectMeta::default(),
        template: &template,
        revisions: &[],
        taken: &[(first.metadata.name.clone().unwrap(), Arc::new(other))].into(),
        collisions: 0,
    };
    let wanted = history.wanted();
    assert_eq!(wanted.collisions, 1);
    assert_ne!(Some(wanted.name), first.metadata.name);
}

#[test]
fn the_data_has_the_bytes_that_go_writes() {
    let expected = r#"{"spec":{"template":{"$patch":"replace","metadata":{"labels":{"app":"db"}},"spec":{"containers":[{"image":"a","name":"c","resources":{}}]}}}}"#;
    assert_eq!(data(&a_template("a")).to_string(), expected);
}
