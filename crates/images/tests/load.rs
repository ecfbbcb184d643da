//! Archives that others write are loaded; hostile ones are not.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod common;

use std::{fs, os::unix::fs::PermissionsExt};

use common::{Place, Steps, Tar, gzip};
use ferroflow_images::{
    core::{digest::Digest, layer, limits::Limits, manifest::Start, platform::Platform},
    load::{LoadError, Loader},
    pull::Step,
    store::{Image, Store, write_archive, write_layer},
};
use tar::EntryType;

fn loader(place: &Place, steps: &std::sync::Arc<Steps>) -> Loader {
    Loader {
        store: place.store.clone(),
        platform: Platform::linux(std::env::consts::ARCH),
        limits: Limits::default(),
        name: None,
        progress: steps.clone(),
    }
}

fn load(place: &Place, archive: &[u8]) -> Result<Vec<String>, LoadError> {
    let path = place.root.path().join("archive.tar");
    fs::write(&path, archive).unwrap();
    let records = loader(place, &Steps::shared()).load(fs::File::open(&path).unwrap(), 5)?;
    fs::remove_file(path).unwrap();
    Ok(records.into_iter().map(|record| record.name).collect())
}

/// An archive as `docker save` writes it: a folder a layer, the second of which may be a link to the first.
fn saved(config: &str, layer: &[u8], tags: &str, second: &str) -> Vec<u8> {
    let manifest = format!(r#"[{{"Config":"c.json","RepoTags":{tags},"Layers":["one/layer.tar","{second}"]}}]"#);
    Tar::default()
        .directory("one/", 0o755)
        .file("one/layer.tar", layer)
        .symlink("two/layer.tar", "../one/layer.tar")
        .file("c.json", config.as_bytes())
        .file("manifest.json", manifest.as_bytes())
        .done()
}

fn config(diff_ids: &[&Digest]) -> String {
    let ids: Vec<String> = diff_ids.iter().map(|id| format!("\"{id}\"")).collect();
    format!(r#"{{"architecture":"amd64","os":"linux","rootfs":{{"type":"layers","diff_ids":[{}]}}}}"#, ids.join(","))
}

#[test]
fn an_archive_of_our_own_writer_is_loaded_and_shared_layers_are_unpacked_once() {
    let place = Place::new();
    let mut content = layer::Layer::default();
    content.add("etc/motd", layer::Entry::file(layer::Content::Bytes(b"hello".to_vec()), 0o644)).unwrap();
    let file = write_layer(&content, &place.root.path().join("layer.tar")).unwrap();
    let image = |name: &str, command: &str| Image {
        names: vec![name.to_owned()],
        layers: vec![file.clone()],
        start: Start { cmd: vec![command.to_owned()], ..Start::default() },
    };
    let path = place.root.path().join("archive.tar");
    write_archive(&[image("one:1", "a"), image("two:1", "b")], &path).unwrap();
    let steps = Steps::shared();
    let records = loader(&place, &steps).load(fs::File::open(&path).unwrap(), 5).unwrap();
    let names: Vec<&str> = records.iter().map(|record| record.name.as_str()).collect();
    assert_eq!(names, ["docker.io/library/one:1", "docker.io/library/two:1"]);
    assert_eq!((steps.count(Step::Unpacked), steps.count(Step::Present)), (1, 1));
    assert!(place.store.is_whole(&records[0]));
    let tree = place.store.layer_tree(&records[0].layers[0]);
    assert_eq!(fs::read_to_string(tree.join("etc/motd")).unwrap(), "hello");
    let packed = gzip(&fs::read(&path).unwrap());
    let names = load(&Place::new(), &packed).unwrap();
    assert_eq!(names.len(), 2, "an archive may be packed as a whole");
}

#[test]
fn nobody_else_of_the_machine_reaches_what_layers_hold() {
    let place = Place::new();
    let folder = place.root.path().join("images");
    fs::set_permissions(&folder, fs::Permissions::from_mode(0o755)).unwrap();
    Store::open(&folder).unwrap();
    assert_eq!(fs::metadata(folder).unwrap().permissions().mode() & 0o777, 0o700);
}

#[test]
fn what_docker_saves_is_loaded_with_all_its_names() {
    let tar = Tar::default().file("a", b"x").done();
    let id = Digest::of(&tar);
    let archive = saved(&config(&[&id, &id]), &tar, r#"["a:1","localhost:5000/b:2"]"#, "two/layer.tar");
    let place = Place::new();
    assert_eq!(load(&place, &archive).unwrap(), ["docker.io/library/a:1", "localhost:5000/b:2"]);
    assert_eq!(fs::read_to_string(place.path(&tar, "a")).unwrap(), "x");
    let packed = saved(&config(&[&id, &id]), &gzip(&tar), r#"["a:1"]"#, "one/layer.tar");
    assert_eq!(load(&Place::new(), &packed).unwrap(), ["docker.io/library/a:1"], "layers may be packed");
    let nameless = saved(&config(&[&id, &id]), &tar, "null", "one/layer.tar");
    assert!(matches!(load(&Place::new(), &nameless), Err(LoadError::NoName)));
}

#[test]
fn archives_that_lie_or_reach_out_are_refused() {
    let tar = Tar::default().file("a", b"x").done();
    let id = Digest::of(&tar);
    let other = Digest::of(b"other");
    for (what, archive) in [
        ("a member outside", Tar::default().file("../index.json", b"{}").done()),
        ("nothing in it", Tar::default().file("readme", b"x").done()),
        ("another layer than it says", saved(&config(&[&id, &other]), &tar, r#"["a:1"]"#, "one/layer.tar")),
        ("fewer digests than layers", saved(&config(&[&id]), &tar, r#"["a:1"]"#, "one/layer.tar")),
        ("a layer that is not there", saved(&config(&[&id, &id]), &tar, r#"["a:1"]"#, "none")),
        ("a layer outside", saved(&config(&[&id, &id]), &tar, r#"["a:1"]"#, "../../../etc/passwd")),
        ("no tar file", b"not an archive, but long enough to be looked at".repeat(20)),
        ("a link that leads to itself", Tar::default().symlink("manifest.json", "manifest.json").file("x", b"").done()),
        ("a member that is no file", Tar::default().add(EntryType::Char, "index.json", 0o644, b"").done()),
    ] {
        let place = Place::new();
        let outcome = load(&place, &archive);
        assert!(outcome.is_err(), "{what}: {outcome:?}");
        assert_eq!(place.beside(), ["archive.tar"], "{what}");
        assert!(place.store.names().unwrap().is_empty(), "{what}");
    }
}
