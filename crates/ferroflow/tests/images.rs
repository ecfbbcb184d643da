//! `ferroflow images`, as a person meets it.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod common;

use std::{
    fs,
    io::{BufRead, BufReader, Write},
    net::TcpListener,
    path::{Path, PathBuf},
    process::Stdio,
};

use common::Bench;
use ferroflow_images::{
    core::{
        layer::{Content, Entry, Layer},
        manifest::Start,
    },
    store::{Image, write_archive, write_layer},
};

const USAGE: i32 = 2;
const NO_IMAGE: i32 = 5;

/// An archive of two images that share one layer of two.
fn archive(bench: &Bench) -> PathBuf {
    let work = bench.data.parent().unwrap();
    let layer = |name: &str, bytes: usize| {
        let mut layer = Layer::default();
        layer.add(name, Entry::file(Content::Bytes(vec![b'x'; bytes]), 0o644)).unwrap();
        write_layer(&layer, &work.join(format!("{name}.tar"))).unwrap()
    };
    let (base, own) = (layer("base", 3000), layer("own", 1000));
    let image = |name: &str, layers| Image { names: vec![name.to_owned()], layers, start: Start::default() };
    let path = work.join("archive.tar");
    write_archive(&[image("one:1", vec![base.clone()]), image("two:1", vec![base, own])], &path).unwrap();
    path
}

fn names(bench: &Bench) -> Vec<String> {
    let list = bench.run(&["images", "list", "-o", "json"]);
    assert_eq!(list.code, 0, "{list:?}");
    let list: serde_json::Value = serde_json::from_str(&list.stdout).unwrap();
    list.as_array().unwrap().iter().map(|image| image["name"].as_str().unwrap().to_owned()).collect()
}

fn layers(bench: &Bench) -> usize {
    fs::read_dir(bench.data.join("images/layers")).unwrap().count()
}

#[test]
fn images_are_loaded_listed_and_removed_without_a_cluster() {
    let bench = Bench::new();
    assert_eq!(names(&bench), [""; 0]);
    assert!(!bench.data.exists(), "asking makes nothing");
    let archive = archive(&bench);
    let load = bench.run(&["images", "load", archive.to_str().unwrap()]);
    assert_eq!(load.code, 0, "{load:?}");
    assert_eq!(load.stdout, "docker.io/library/one:1\ndocker.io/library/two:1\n");
    assert!(load.stderr.contains("unpacked") && load.stderr.contains("there already"), "{load:?}");
    let list = bench.run(&["images", "list"]);
    assert!(list.stdout.starts_with("NAME ") && list.stdout.lines().count() == 3, "{list:?}");
    assert!(list.stdout.contains("docker.io/library/two:1  ") && list.stdout.contains("3.9 KiB"), "{list:?}");
    let none = bench.run(&["images", "remove", "two:1", "three"]);
    assert_eq!(none.code, NO_IMAGE, "{none:?}");
    assert!(none.stderr.starts_with("error: there is no image docker.io/library/three:latest\nhint: "), "{none:?}");
    assert_eq!((names(&bench).len(), layers(&bench)), (2, 2), "nothing was removed");
    let removed = bench.run(&["images", "remove", "two:1"]);
    assert_eq!((removed.code, removed.stdout.as_str()), (0, "docker.io/library/two:1\n"), "{removed:?}");
    assert_eq!((names(&bench), layers(&bench)), (vec!["docker.io/library/one:1".to_owned()], 1));
    let reset = bench.run(&["reset", "--yes"]);
    assert_eq!(reset.code, 0, "{reset:?}");
    assert!(!bench.data.exists());
}

#[test]
fn an_archive_comes_also_by_standard_input() {
    let bench = Bench::new();
    let archive = archive(&bench);
    let mut command = bench.command(&["images", "load", "-"]);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(&fs::read(archive).unwrap()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{output:?}");
    assert_eq!(names(&bench).len(), 2);
}

#[test]
fn pruning_makes_as_much_room_as_is_asked_for() {
    let bench = Bench::new();
    let archive = archive(&bench);
    assert_eq!(bench.run(&["images", "load", archive.to_str().unwrap()]).code, 0);
    let left = bench.data.join("images/staging/left");
    fs::create_dir_all(&left).unwrap();
    assert_eq!(bench.run(&["images", "prune"]).code, 0);
    assert!(!left.exists(), "what a killed program left goes");
    assert_eq!(names(&bench).len(), 2);
    let pruned = bench.run(&["images", "prune", "--to-size", "3k"]);
    assert_eq!(pruned.code, 0, "{pruned:?}");
    assert!(pruned.stderr.starts_with("removed "), "{pruned:?}");
    assert!(names(&bench).len() < 2);
    assert_eq!(bench.run(&["images", "prune", "--to-disk-use", "100"]).code, 0);
    assert_eq!(bench.run(&["images", "prune", "--all"]).code, 0);
    assert_eq!((names(&bench).len(), layers(&bench)), (0, 0));
}

#[test]
fn what_is_wrong_is_told_with_its_cause_and_a_way_out() {
    let bench = Bench::new();
    let file = bench.data.parent().unwrap().join("images.toml");
    fs::write(&file, "[[registry]]\nhost = \"a\"\nmirror = \"b\"\n").unwrap();
    let file = file.to_str().unwrap();
    let nowhere = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    for (words, code, parts) in [
        (vec!["pull", "a:-"], USAGE, vec!["the tag \"-\""]),
        (vec!["pull", "library/UPPER"], USAGE, vec!["write \"library/upper\""]),
        (vec!["pull", "a", "--platform", "linux"], USAGE, vec!["OS/ARCHITECTURE"]),
        (vec!["pull", "a", "--username", "u"], USAGE, vec!["--password-stdin"]),
        (vec!["prune", "--to-size", "1x"], USAGE, vec!["\"1x\" is not a size"]),
        (vec!["pull", "a", "--images", file], 1, vec!["unknown field `mirror`", "hint: docs/images.md"]),
        (vec!["load", file], 1, vec!["error: archive", "caused by: it is no tar file"]),
        (vec!["load", "/no/such/file"], 1, vec!["\"/no/such/file\" cannot be read"]),
    ] {
        let ended = bench.run(&[&["images"], words.as_slice()].concat());
        assert_eq!((ended.code, ended.stdout.as_str()), (code, ""), "{words:?}: {ended:?}");
        assert!(parts.iter().all(|part| ended.stderr.contains(part)), "{words:?}: {ended:?}");
    }
    let image = format!("{nowhere}/a:1");
    let mirrors = bench.data.parent().unwrap().join("good.toml");
    fs::write(&mirrors, format!("[[registry]]\nhost = \"{nowhere}\"\nplain_http = true\n")).unwrap();
    let ended = bench.run(&["images", "pull", &image, "--images", mirrors.to_str().unwrap()]);
    assert_eq!(ended.code, 1);
    let start = format!("error: image {image} cannot be pulled\n  caused by: registry {nowhere} cannot be reached\n");
    assert!(ended.stderr.starts_with(&start) && ended.stderr.contains("\nhint: check the name"), "{ended:?}");
}

#[test]
fn a_pull_that_is_killed_leaves_nothing_that_counts_as_whole() {
    let bench = Bench::new();
    // A registry that never ends the layer that it gives.
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let mut command = bench.command(&["images", "pull", "--plain-http", &format!("{address}/a:1")]);
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let mut held = Vec::new();
    // The manifest, the configuration, and half of the layer.
    for body in documents() {
        let (stream, _) = listener.accept().unwrap();
        let mut reader = BufReader::new(stream.try_clone().unwrap());
        let mut line = String::new();
        while reader.read_line(&mut line).unwrap() > 2 {
            line.clear();
        }
        let mut stream = stream;
        let length = body.1.unwrap_or(body.0.len());
        write!(stream, "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n").unwrap();
        stream.write_all(&body.0).unwrap();
        if body.1.is_some() {
            held.push(stream);
        }
    }
    let partial = bench.data.join("images/partial");
    while !has_bytes(&partial) {
        assert!(child.try_wait().unwrap().is_none(), "the pull waits for the rest");
        std::thread::yield_now();
    }
    child.kill().unwrap();
    child.wait().unwrap();
    assert_eq!((names(&bench).len(), layers(&bench)), (0, 0));
    assert!(has_bytes(&partial), "what was downloaded is there for another attempt");
    assert_eq!(bench.run(&["images", "prune"]).code, 0, "no lock outlives its process");
    assert!(!has_bytes(&partial));
}

fn has_bytes(folder: &Path) -> bool {
    let Ok(entries) = fs::read_dir(folder) else { return false };
    entries.flatten().any(|entry| entry.metadata().is_ok_and(|found| found.len() > 0))
}

/// The answers of a registry, and for the last the length that it claims.
fn documents() -> Vec<(Vec<u8>, Option<usize>)> {
    use ferroflow_images::core::digest::Digest;
    let layer = vec![0_u8; 4096];
    let claimed = 1 << 20;
    let config = format!(
        r#"{{"architecture":"amd64","os":"linux","rootfs":{{"type":"layers","diff_ids":["{}"]}}}}"#,
        Digest::of(b"tar")
    );
    let manifest = format!(
        r#"{{"schemaVersion":2,"config":{{"digest":"{}","size":{}}},"layers":[{{"mediaType":"application/vnd.oci.image.layer.v1.tar","digest":"{}","size":{claimed}}}]}}"#,
        Digest::of(config.as_bytes()),
        config.len(),
        Digest::of(b"layer")
    );
    vec![(manifest.into_bytes(), None), (config.into_bytes(), None), (layer, Some(claimed))]
}
