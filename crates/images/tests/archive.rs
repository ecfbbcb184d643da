//! Archives as others read them.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

use std::{fs, os::unix::fs::PermissionsExt, path::Path, process::Command};

use ferroflow_images::{
    core::{
        layer::{Content, Entry, Layer},
        manifest::Start,
    },
    store::{Image, LayerFile, add_tree, write_archive, write_layer},
};

/// A tree with a nested file, a program, a link and something that is left out.
fn tree(root: &Path) {
    fs::create_dir_all(root.join("usr/bin")).unwrap();
    fs::create_dir_all(root.join("proc")).unwrap();
    fs::write(root.join("proc/left-out"), "x").unwrap();
    fs::write(root.join("usr/bin/program"), "#!/bin/sh\n").unwrap();
    fs::set_permissions(root.join("usr/bin/program"), fs::Permissions::from_mode(0o4755)).unwrap();
    fs::write(root.join(format!("usr/{}", "long".repeat(50))), "a name of two hundred bytes").unwrap();
    std::os::unix::fs::symlink("usr/bin", root.join("bin")).unwrap();
}

fn layer(work: &Path, name: &str) -> LayerFile {
    let root = work.join("root");
    if !root.exists() {
        tree(&root);
    }
    let mut layer = Layer::default();
    add_tree(&mut layer, &root, "", &|path| path.starts_with("proc")).unwrap();
    layer.add("etc/motd", Entry::file(Content::Bytes(b"hello\n".to_vec()), 0o644)).unwrap();
    write_layer(&layer, &work.join(name)).unwrap()
}

fn image(layers: Vec<LayerFile>) -> Image {
    let start = Start { user: "65532:65532".into(), entrypoint: vec!["/usr/bin/program".into()], ..Start::default() };
    Image { names: vec!["example:1".into()], layers, start }
}

#[test]
fn a_layer_holds_the_tree_sorted_with_modes_and_links() {
    let work = tempfile::tempdir().unwrap();
    let layer = layer(work.path(), "layer.tar");
    let mut archive = tar::Archive::new(fs::File::open(&layer.path).unwrap());
    let found: Vec<(String, u32)> = archive
        .entries()
        .unwrap()
        .map(|entry| {
            let entry = entry.unwrap();
            (entry.path().unwrap().display().to_string(), entry.header().mode().unwrap())
        })
        .collect();
    let long = format!("usr/{}", "long".repeat(50));
    let names: Vec<&str> = found.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["bin", "etc/", "etc/motd", "usr/", "usr/bin/", "usr/bin/program", &long]);
    assert_eq!(found[5].1, 0o4755);
}

#[test]
fn the_same_files_make_the_same_archive() {
    let work = tempfile::tempdir().unwrap();
    for name in ["first", "second"] {
        let layer = layer(work.path(), &format!("{name}.layer"));
        write_archive(&[image(vec![layer])], &work.path().join(name)).unwrap();
    }
    assert_eq!(fs::read(work.path().join("first")).unwrap(), fs::read(work.path().join("second")).unwrap());
}

#[test]
fn a_layer_that_two_images_share_is_in_the_archive_once() {
    let work = tempfile::tempdir().unwrap();
    let layer = layer(work.path(), "layer.tar");
    let other = Image { names: vec!["other:1".into()], start: Start::default(), ..image(vec![layer.clone()]) };
    let path = work.path().join("archive.tar");
    write_archive(&[image(vec![layer.clone()]), other], &path).unwrap();
    let mut archive = tar::Archive::new(fs::File::open(&path).unwrap());
    let sizes: Vec<u64> = archive.entries().unwrap().map(|entry| entry.unwrap().size()).collect();
    // The layout's version, the index, two configurations, two manifests and one layer.
    assert_eq!(sizes.len(), 7);
    assert_eq!(sizes.iter().filter(|size| **size == layer.descriptor.size).count(), 1);
}

/// Runs where skopeo is installed (`apt-get install skopeo`), as the real cluster's set-up does.
#[test]
fn skopeo_reads_what_is_written() {
    if Command::new("skopeo").arg("--version").output().is_err() {
        eprintln!("skipped: skopeo is not installed");
        return;
    }
    let work = tempfile::tempdir().unwrap();
    let path = work.path().join("archive.tar");
    write_archive(&[image(vec![layer(work.path(), "layer.tar")])], &path).unwrap();
    let inspect = |options: &[&str]| {
        let mut command = Command::new("skopeo");
        command.args(["inspect", "--tmpdir"]).arg(work.path()).args(options);
        let output = command.arg(format!("oci-archive:{}", path.display())).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        serde_json::from_slice::<serde_json::Value>(&output.stdout).unwrap()
    };
    let shown = inspect(&[]);
    assert_eq!(shown["Os"], "linux");
    assert_eq!(shown["Layers"].as_array().unwrap().len(), 1);
    assert_eq!(inspect(&["--config"])["config"]["User"], "65532:65532");
    let mut copy = Command::new("skopeo");
    copy.args(["copy", "--quiet", "--insecure-policy", "--tmpdir"]).arg(work.path());
    copy.arg(format!("oci-archive:{}", path.display())).arg(format!("dir:{}", work.path().join("copy").display()));
    assert!(copy.status().unwrap().success(), "every blob has the digest that the manifest says");
}
