use super::*;
use serde_json::{Value, json};

fn pod(spec: Value) -> Pod {
    serde_json::from_value(json!({"metadata": {"name": "p"}, "spec": spec})).unwrap()
}

fn amounts(rows: &[(&str, u64)]) -> BTreeMap<String, u64> {
    rows.iter().map(|(name, bytes)| ((*name).to_owned(), *bytes)).collect()
}

fn limited(name: &str, limit: &str) -> Value {
    json!({"name": name, "resources": {"limits": {"ephemeral-storage": limit}}})
}

#[test]
fn a_pod_above_its_limits_is_told_which() {
    let volume = |limit: &str| json!({"name": "v", "emptyDir": {"sizeLimit": limit}});
    let rows = [
        (json!({"containers": [{"name": "a"}]}), 5, 5, None),
        (json!({"containers": [{"name": "a"}], "volumes": [volume("4")]}), 9, 4, None),
        (
            json!({"containers": [{"name": "a"}], "volumes": [volume("4")]}),
            0,
            5,
            Some("Usage of EmptyDir volume \"v\" exceeds the limit \"4\". "),
        ),
        (json!({"containers": [{"name": "a"}], "volumes": [volume("0")]}), 0, 5, None),
        (json!({"containers": [limited("a", "10")]}), 5, 5, None),
        (
            json!({"containers": [limited("a", "10")]}),
            5,
            6,
            Some("Pod ephemeral local storage usage exceeds the total limit of containers 10. "),
        ),
        (
            json!({"containers": [limited("a", "1Ki"), limited("b", "1Ki")]}),
            1025,
            0,
            Some("Container a exceeded its local ephemeral storage limit \"1Ki\". "),
        ),
        (
            json!({"containers": [limited("a", "1Ki"), limited("b", "1Ki")]}),
            0,
            3000,
            Some("Pod ephemeral local storage usage exceeds the total limit of containers 2Ki. "),
        ),
    ];
    for (spec, disk, volume, expect) in rows {
        let usage =
            Usage { disk: amounts(&[("a", disk)]), volumes: amounts(&[("v", volume)]), memory: BTreeMap::new() };
        assert_eq!(over_limit(&pod(spec.clone()), &usage).as_deref(), expect, "{spec}");
    }
}

#[test]
fn thresholds_are_read_as_a_kubelet_reads_them() {
    let parsed = Thresholds::parse("memory.available<100Mi,nodefs.available<10%").unwrap();
    assert_eq!(parsed, Thresholds::default());
    assert_eq!(parsed.to_string(), "memory.available<100Mi,nodefs.available<10%");
    assert_eq!(Thresholds::parse("").unwrap().rows.len(), 0);
    for (text, why) in [
        ("memory.available", "has no \"<\""),
        ("imagefs.available<1%", "is neither"),
        ("memory.available<x", "has no amount"),
        ("nodefs.available<101%", "has no amount"),
    ] {
        assert!(Thresholds::parse(text).unwrap_err().contains(why), "{text}");
    }
}

#[test]
fn a_node_is_low_below_its_threshold() {
    let levels = |memory: u64, disk: u64| {
        BTreeMap::from([
            (Resource::Memory, Level { capacity: 1 << 30, available: memory }),
            (Resource::Disk, Level { capacity: 10 << 20, available: disk }),
        ])
    };
    let thresholds = Thresholds::default();
    assert_eq!(low(&thresholds, &levels(100 << 20, 1 << 20)), []);
    let found = low(&thresholds, &levels(99 << 20, (1 << 20) - 1));
    let shown: Vec<(&str, &str)> = found.iter().map(|low| (&*low.threshold, &*low.available)).collect();
    assert_eq!(shown, [("100Mi", "99Mi"), ("1Mi", "1048575")]);
    assert_eq!(low(&thresholds, &BTreeMap::new()), []);
}

#[test]
fn the_first_to_end_exceeds_its_requests_and_matters_least() {
    let one = |priority: i32, request: &str| {
        pod(json!({"priority": priority,
            "containers": [{"name": "a", "resources": {"requests": {"memory": request}}}]}))
    };
    let check = |rows: &[(Pod, u64)], expect: Option<usize>| {
        let usages: Vec<Usage> =
            rows.iter().map(|(_, used)| Usage { memory: amounts(&[("a", *used)]), ..Usage::default() }).collect();
        let candidates = rows.iter().zip(&usages).enumerate().map(|(index, ((pod, _), usage))| (index, pod, usage));
        assert_eq!(choose(Resource::Memory, candidates), expect);
    };
    // Above its request, though the other uses more.
    check(&[(one(0, "100"), 90), (one(0, "10"), 20)], Some(1));
    // Of those above theirs, the one that matters less.
    check(&[(one(5, "10"), 90), (one(0, "10"), 20)], Some(1));
    // Of equals, the one that is furthest above.
    check(&[(one(0, "10"), 90), (one(0, "10"), 20)], Some(0));
    check(&[(one(CRITICAL_PRIORITY, "10"), 90)], None);
    check(&[], None);
}

#[test]
fn the_message_names_the_containers_that_are_above_their_requests() {
    let low = Low { resource: Resource::Memory, threshold: "100Mi".to_owned(), available: "99Mi".to_owned() };
    let pod = pod(json!({"containers": [
        {"name": "a", "resources": {"requests": {"memory": "1Ki"}}}, {"name": "b"},
        {"name": "c", "resources": {"requests": {"memory": "1Ki"}}}]}));
    let usage = Usage { memory: amounts(&[("a", 2048), ("b", 1), ("c", 1024)]), ..Usage::default() };
    assert_eq!(
        message(&low, &pod, &usage),
        "The node was low on resource: memory. Threshold quantity: 100Mi, available: 99Mi. Container a was using 2Ki, \
         request is 1Ki, has larger consumption of memory. Container b was using 1, request is 0, has larger \
         consumption of memory. "
    );
}

#[test]
fn bytes_are_shown_in_the_largest_whole_unit() {
    for (bytes, text) in
        [(0, "0"), (1, "1"), (1024, "1Ki"), (1536, "1536"), (3 << 20, "3Mi"), (u64::MAX, "18446744073709551615")]
    {
        assert_eq!(binary(bytes), text);
    }
}
