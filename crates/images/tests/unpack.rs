//! What layers unpack to, and that no layer reaches anything but its own directory.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod common;

use std::{
    fs,
    io::Write,
    os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt},
};

use common::{Place, Tar, gzip};
use ferroflow_images::{
    core::{digest::Digest, document::Packing, limits::Limits},
    store::UnpackError,
};
use tar::EntryType;

fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

#[test]
fn files_links_modes_times_and_long_names_are_as_in_the_archive() {
    let place = Place::new();
    let long = "long/".repeat(40) + "name";
    let tar = Tar::default()
        .directory("./", 0o755)
        .directory("bin/", 0o555)
        .add(EntryType::Regular, "bin/su", 0o4755, b"program")
        .hard_link("bin/sudo", "bin/su")
        .symlink("sbin", "/bin")
        .symlink("outside", "../../../etc/passwd")
        .add(EntryType::Fifo, "pipe", 0o600, b"")
        .extended(&[("path", long.as_bytes()), ("mtime", b"12.5")])
        .file("short", b"long")
        .done();
    let record = place.unpack(&tar).unwrap();
    let su = fs::metadata(place.path(&tar, "bin/su")).unwrap();
    assert_eq!((su.mode() & 0o7777, su.mtime(), su.nlink()), (0o4755, 1_000_000, 2));
    assert_eq!(fs::metadata(place.path(&tar, "bin")).unwrap().mode() & 0o7777, 0o555);
    assert_eq!(fs::read_link(place.path(&tar, "outside")).unwrap().to_str(), Some("../../../etc/passwd"));
    assert!(fs::symlink_metadata(place.path(&tar, "pipe")).unwrap().file_type().is_fifo());
    let long = fs::metadata(place.path(&tar, &long)).unwrap();
    assert_eq!((long.len(), long.mtime(), long.mtime_nsec()), (4, 12, 500_000_000));
    assert_eq!((record.entries, record.size_bytes, record.skipped.len()), (8, 11, 0));
}

#[test]
fn every_packing_unpacks_to_the_same() {
    let tar = Tar::default().file("a", &b"content".repeat(10_000)).done();
    let zstd = zstd::encode_all(tar.as_slice(), 1).unwrap();
    let mut two_members = gzip(&tar[..700]);
    two_members.extend(gzip(&tar[700..]));
    for (bytes, packing) in [
        (tar.clone(), Packing::Plain),
        (gzip(&tar), Packing::Gzip),
        (two_members, Packing::Gzip),
        (zstd, Packing::Zstd),
    ] {
        let place = Place::new();
        place.unpack_packed(&bytes, packing, &Digest::of(&tar), &Limits::default()).unwrap();
        assert_eq!(fs::read(place.path(&tar, "a")).unwrap().len(), 70_000);
    }
}

#[test]
fn archives_that_reach_out_of_the_layer_are_refused_and_write_nothing_there() {
    let outside = tempfile::tempdir().unwrap();
    let target = outside.path().to_str().unwrap();
    let victim = outside.path().join("victim");
    for (what, tar) in [
        ("dots", Tar::default().file("../../../escaped", b"x")),
        ("dots within", Tar::default().directory("a/", 0o755).file("a/../../escaped", b"x")),
        ("a whiteout of the parent", Tar::default().file("a/.wh...", b"")),
        ("through a link", Tar::default().symlink("a", target).file("a/victim", b"x")),
        ("through a link to the parent", Tar::default().symlink("a", "..").file("a/victim", b"x")),
        ("through two links", Tar::default().symlink("a", "b").symlink("b", target).file("a/victim", b"x")),
        ("a directory through a link", Tar::default().symlink("a", target).directory("a/victim/", 0o755)),
        ("a link through a link", Tar::default().symlink("a", target).symlink("a/victim", "x")),
        ("a whiteout through a link", Tar::default().symlink("a", target).file("a/.wh.victim", b"")),
        ("an opaque mark through a link", Tar::default().symlink("a", target).file("a/b/.wh..wh..opq", b"")),
        ("a hard link out", Tar::default().hard_link("a", "../../../../etc/passwd")),
        ("a hard link to the machine's file", Tar::default().hard_link("a", "/etc/passwd")),
        ("a hard link through a link", Tar::default().symlink("a", "/etc").hard_link("b", "a/passwd")),
        ("a hard link to a directory", Tar::default().directory("a/", 0o755).hard_link("b", "a")),
        ("below a file", Tar::default().file("a", b"x").file("a/b", b"x")),
    ] {
        let place = Place::new();
        let error = place.unpack(&tar.done()).expect_err(what);
        assert!(
            matches!(error, UnpackError::Member(_) | UnpackError::Below { .. } | UnpackError::HardLink { .. }),
            "{what}: {error:?}"
        );
        assert!(!victim.exists() && place.beside().is_empty(), "{what}: something was written outside");
    }
    let absolute = Tar::default().file("/escaped-by-ferroflow", b"x").done();
    let place = Place::new();
    place.unpack(&absolute).unwrap();
    assert!(place.path(&absolute, "escaped-by-ferroflow").exists(), "a leading slash is the image's root");
    assert!(!std::path::Path::new("/escaped-by-ferroflow").exists());
}

#[test]
fn a_link_is_replaced_and_not_written_through() {
    let outside = tempfile::tempdir().unwrap();
    let victim = outside.path().join("victim");
    fs::write(&victim, "whole").unwrap();
    fs::set_permissions(&victim, fs::Permissions::from_mode(0o600)).unwrap();
    let tar = Tar::default()
        .symlink("a", victim.to_str().unwrap())
        .add(EntryType::Regular, "a", 0o777, b"new")
        .symlink("d", outside.path().to_str().unwrap())
        .directory("d/", 0o700)
        .file("d/victim", b"own")
        .file("f", b"one")
        .hard_link("g", "f")
        .file("g", b"two")
        .done();
    let place = Place::new();
    place.unpack(&tar).unwrap();
    assert_eq!(fs::read_to_string(&victim).unwrap(), "whole");
    assert_eq!(fs::metadata(&victim).unwrap().mode() & 0o777, 0o600);
    assert_eq!(fs::read_to_string(place.path(&tar, "a")).unwrap(), "new");
    assert_eq!(fs::read_to_string(place.path(&tar, "d/victim")).unwrap(), "own");
    assert_eq!(fs::read_to_string(place.path(&tar, "f")).unwrap(), "one", "a file is not written by its other name");
    fs::write(outside.path().join("kept"), "x").unwrap();
    let tar = Tar::default().symlink("d", outside.path().to_str().unwrap()).file("d", b"x").done();
    place.unpack(&tar).unwrap();
    assert!(outside.path().join("kept").exists(), "what a link points to is not removed with it");
}

#[test]
fn of_two_entries_of_one_path_the_later_counts() {
    let tar = Tar::default()
        .directory("a/", 0o500)
        .directory("a/b/", 0o500)
        .file("a/b/c", b"old")
        .file("a", b"new")
        .file("d", b"old")
        .directory("d/", 0o755)
        .file("d/e", b"x")
        .directory("d/", 0o711)
        .done();
    let place = Place::new();
    place.unpack(&tar).unwrap();
    assert_eq!(fs::read_to_string(place.path(&tar, "a")).unwrap(), "new");
    assert_eq!(fs::metadata(place.path(&tar, "d")).unwrap().mode() & 0o777, 0o711);
    assert!(place.path(&tar, "d/e").exists());
}

#[test]
fn whiteouts_are_marked_as_overlayfs_marks_them_and_written_down() {
    let tar = Tar::default()
        .directory("etc/", 0o755)
        .file("etc/.wh.gone", b"")
        .file("etc/.wh.here", b"")
        .file("etc/here", b"own")
        .file("etc/.wh.replaced", b"")
        .directory("etc/replaced/", 0o755)
        .file("var/.wh..wh..opq", b"")
        .file(".wh..wh.plnk", b"")
        .done();
    let place = Place::new();
    let record = place.unpack(&tar).unwrap();
    assert_eq!(
        (record.whiteouts, record.opaque),
        (vec!["etc/gone".to_owned()], vec!["etc/replaced".into(), "var".into()])
    );
    assert_eq!(fs::read_to_string(place.path(&tar, "etc/here")).unwrap(), "own");
    assert!(!place.path(&tar, "etc/.wh.gone").exists() && !place.path(&tar, ".wh..wh.plnk").exists());
    if record.marked {
        let gone = fs::symlink_metadata(place.path(&tar, "etc/gone")).unwrap();
        assert!(gone.file_type().is_char_device() && gone.rdev() == 0);
        let mut value = [0; 8];
        let length = rustix::fs::getxattr(place.path(&tar, "var"), "user.overlay.opaque", &mut value).unwrap();
        assert_eq!(&value[..length], b"y");
    }
}

#[test]
fn devices_and_attributes_that_steer_overlays_are_left_out_with_a_note() {
    let tar = Tar::default()
        .add(EntryType::Char, "null", 0o666, b"")
        .extended(&[("SCHILY.xattr.user.overlay.redirect", b"/etc"), ("SCHILY.xattr.user.kept", b"v")])
        .file("a", b"x")
        .done();
    let place = Place::new();
    let record = place.unpack(&tar).unwrap();
    let skipped: Vec<(&str, &str)> = record.skipped.iter().map(|one| (one.path.as_str(), one.why.as_str())).collect();
    assert_eq!(skipped[0], ("null", "a device"));
    assert!(skipped[1].1.contains("user.overlay.redirect"), "{skipped:?}");
    assert!(!place.path(&tar, "null").exists());
    let mut value = [0; 8];
    match rustix::fs::getxattr(place.path(&tar, "a"), "user.kept", &mut value) {
        Ok(length) => assert_eq!(&value[..length], b"v"),
        Err(_) => assert!(skipped.iter().any(|(_, why)| why.contains("user.kept")), "{skipped:?}"),
    }
}

#[test]
fn owners_are_set_or_written_down() {
    let mut tar = Tar::default();
    let mut header = Tar::header(EntryType::Regular, "a", 0o644, 1);
    header.set_uid(1000);
    header.set_gid(2000);
    header.set_cksum();
    tar.raw(&header, b"x");
    let tar = tar.done();
    let place = Place::new();
    let record = place.unpack(&tar).unwrap();
    let found = fs::metadata(place.path(&tar, "a")).unwrap();
    match record.owners.as_slice() {
        [] => assert_eq!((is_root(), found.uid(), found.gid()), (true, 1000, 2000)),
        [owner] => assert_eq!((owner.path.as_str(), owner.user, owner.group), ("a", 1000, 2000)),
        more => panic!("{more:?}"),
    }
}

#[test]
fn files_with_holes_have_their_data_in_its_place() {
    let mut data = b"2\n0\n3\n1000000\n3\n".to_vec();
    data.resize(512, 0);
    data.extend_from_slice(b"abcxyz");
    let tar = Tar::default()
        .extended(&[
            ("GNU.sparse.major", b"1"),
            ("GNU.sparse.minor", b"0"),
            ("GNU.sparse.name", b"sparse"),
            ("GNU.sparse.realsize", b"2000000"),
        ])
        .file("GNUSparseFile.0/sparse", &data)
        .file("after", b"x")
        .done();
    let place = Place::new();
    place.unpack(&tar).unwrap();
    let content = fs::read(place.path(&tar, "sparse")).unwrap();
    assert_eq!(
        (content.len(), &content[..4], &content[1_000_000..1_000_004]),
        (2_000_000, &b"abc\0"[..], &b"xyz\0"[..])
    );
    assert!(place.path(&tar, "after").exists());
}

#[test]
fn damaged_layers_are_refused() {
    let tar = Tar::default().file("a", b"content").done();
    let place = Place::new();
    let mut wrong = tar.clone();
    wrong[0] = b'b';
    assert!(matches!(place.unpack(&wrong), Err(UnpackError::Checksum)));
    assert!(matches!(place.unpack(&tar[..515]), Err(UnpackError::Read(_))));
    let packed = gzip(&tar);
    let other = Digest::of(b"other");
    let outcome = place.unpack_packed(&packed, Packing::Gzip, &other, &Limits::default());
    assert!(matches!(outcome, Err(UnpackError::Digest { .. })), "{outcome:?}");
    let cut = place.unpack_packed(&packed[..packed.len() - 10], Packing::Gzip, &Digest::of(&tar), &Limits::default());
    assert!(matches!(cut, Err(UnpackError::Read(_))), "{cut:?}");
}

#[test]
fn bombs_end_at_their_bound() {
    let limits = Limits { unpacked_least_bytes: 8 << 20, unpacked_ratio: 10, ..Limits::default() };
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    encoder.write_all(Tar::header(EntryType::Regular, "zeros", 0o644, 512 << 20).as_bytes()).unwrap();
    let zeros = vec![0; 1 << 20];
    (0..512).for_each(|_| encoder.write_all(&zeros).unwrap());
    let bomb = encoder.finish().unwrap();
    assert!(bomb.len() < 1 << 20, "{}", bomb.len());
    let place = Place::new();
    let outcome = place.unpack_packed(&bomb, Packing::Gzip, &Digest::of(b""), &limits);
    assert!(matches!(outcome, Err(UnpackError::Unpacked { .. })), "{outcome:?}");
    // A file of holes, and a header, that claim to be larger than all disks.
    let sparse = Tar::default()
        .extended(&[("GNU.sparse.size", b"9000000000000000000"), ("GNU.sparse.map", b"0,1")])
        .file("s", b"x")
        .done();
    let outcome = place.unpack(&sparse);
    assert!(matches!(outcome, Err(UnpackError::Unpacked { .. })), "{outcome:?}");
    let mut huge = Tar::default();
    huge.raw(&Tar::header(EntryType::XHeader, "pax", 0o644, 1 << 40), b"");
    let outcome = place.unpack(&huge.done());
    assert!(matches!(outcome, Err(UnpackError::Header { .. })), "{outcome:?}");
    let claimed = Tar::default().extended(&[("size", b"18446744073709551615")]).file("h", b"x").done();
    assert!(place.unpack(&claimed).is_err());
}

#[test]
fn a_hundred_thousand_paths_are_taken_and_more_than_the_bound_are_not() {
    let mut tar = Tar::default();
    for index in 0..100_000 {
        tar = tar.add(EntryType::Regular, &format!("d{}/f{index}", index / 1000), 0o644, b"");
    }
    let tar = tar.done();
    let place = Place::new();
    assert_eq!(place.unpack(&tar).unwrap().entries, 100_000);
    let tar = Tar::default().file("a", b"").file("b", b"").done();
    let limits = Limits { entries: 1, ..Limits::default() };
    let outcome = Place::new().unpack_packed(&tar, Packing::Plain, &Digest::of(&tar), &limits);
    assert!(matches!(outcome, Err(UnpackError::Entries { most: 1 })), "{outcome:?}");
}
