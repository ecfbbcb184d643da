//! Whose places are.

use ferroflow_testkit::{on_each_store, records::Store};

use super::{
    places, removal,
    runs::{self, RunRow},
    tests::{opened, run},
};
use crate::core::reach::{Owner, Standing};

on_each_store!(a_place_is_told_with_the_namespaces_that_have_runs_there);

async fn a_place_is_told_with_the_namespaces_that_have_runs_there(store: Store) {
    let opened = opened(store).await;
    let records = &opened.records;
    let id = |letter: &str| format!("{letter}0000000-0000-8000-a000-000000000000");
    let of = |letter: &str, namespace: &str| RunRow { namespace: namespace.to_owned(), ..run(&id(letter), "d") };
    let (there, gone) = (of("a", "x"), of("b", "x"));
    let mut write = vec![runs::insert(&there), runs::insert(&gone)];
    write.extend(places::hold("x", "gs/b/r/p"));
    // Once more, by another run.
    write.extend(places::hold("x", "gs/b/r/q"));
    records.write(write).await.unwrap();
    records.write(removal::delete(&gone, "place", 3)).await.unwrap();
    for (namespace, name, owners, holds_others) in [
        ("y", "gs/b/r", vec![], true),
        ("y", "gs", vec![], true),
        ("y", "gs/b/r/q", vec![], true),
        ("x", "gs/b/r", vec![], false),
        ("y", "gs/b/r/pq", vec![], false),
        ("y", &format!("gs/b/r/p/{}/t", id("a")), vec!["x"], false),
        ("y", &format!("gs/b/r/p/{}/t", id("b")), vec![""], false),
        ("y", &format!("gs/{}/{}/{}", id("a"), id("b"), id("c")), vec!["x", ""], false),
    ] {
        let owners = owners.into_iter().map(|namespace| Owner { namespace: namespace.to_owned() }).collect();
        let found = places::standing(records, namespace, name).await.unwrap();
        assert_eq!(found, Standing { owners, holds_others }, "{namespace} {name}");
    }
    assert!(places::hold("x", "").is_none());
    assert_eq!(places::root_of("gs://b/x/p/r/t/0/o", "p", "r"), Some("gs://b/x/p"));
    assert_eq!(places::root_of("gs://b/x/p/s/t/0/o", "p", "r"), None);
}
