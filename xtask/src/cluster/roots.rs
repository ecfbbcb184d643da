//! Trees of files that images are made of: a small Debian, busybox with its applets, and a program with the C library
//! that it needs.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, ensure};
use ferroflow_images::{
    core::layer::{Content, Entry, Layer},
    store::add_tree,
};

use super::debian;

/// What tests call inside of containers, and what the examples import. OpenBLAS makes numpy as fast as its wheels.
pub const DEBIAN_PACKAGES: [&str; 9] = [
    "curl",
    "dnsutils",
    "netcat-openbsd",
    "iproute2",
    "procps",
    "python3",
    "python3-pip",
    "python3-numpy",
    "libopenblas0-pthread",
];

/// What the example of distributed training imports, beside what every Debian of ours has.
pub const DISTRIBUTED_PACKAGES: [&str; 3] = ["python3-torch", "python3-mpi4py", "openmpi-bin"];

/// What no container needs of a Debian.
const LEFT_OUT: [&str; 8] =
    ["dev", "proc", "sys", "debootstrap", "usr/share/doc", "usr/share/locale", "usr/share/man", "var/cache/apt"];

/// Installs a Debian with [`DEBIAN_PACKAGES`], then with `$FURTHER`, which debootstrap could not work out the needs of.
const INSTALL: &str = r#"set -eu
debootstrap --variant=minbase --include="$BASE" "$CODENAME" "$FOLDER" "$MIRROR"
[ -n "$FURTHER" ] || exit 0
mount -t proc proc "$FOLDER/proc"
export DEBIAN_FRONTEND=noninteractive
chroot "$FOLDER" apt-get update -q
chroot "$FOLDER" apt-get install -y -q --no-install-recommends $FURTHER
umount "$FOLDER/proc"
"#;

/// A small Debian with [`DEBIAN_PACKAGES`] and `further` ones, installed into `folder` for the time being.
///
/// # Errors
/// When debootstrap or apt-get fails.
pub fn debian(folder: &Path, further: &[&str]) -> anyhow::Result<Layer> {
    let release = debian::release()?;
    let log = folder.with_extension("log");
    let out = fs::File::create(&log)?;
    let status = Command::new("unshare")
        .args(["--mount", "sh", "-c", INSTALL])
        .env("BASE", DEBIAN_PACKAGES.join(","))
        .env("FURTHER", further.join(" "))
        .env("CODENAME", &release.codename)
        .env("FOLDER", folder)
        .env("MIRROR", &release.mirror)
        .stdout(out.try_clone()?)
        .stderr(out)
        .status()
        .context("unshare")?;
    ensure!(status.success(), "debootstrap or apt-get failed; {} says why", log.display());
    fs::remove_file(log)?;
    let mut layer = Layer::default();
    let leave_out = |path: &Path| {
        LEFT_OUT.iter().any(|one| path.starts_with(one))
            || path.starts_with("var/lib/apt/lists")
            || path.starts_with("var/log")
            || path == Path::new("usr/bin/sh")
    };
    add_tree(&mut layer, folder, "", &leave_out)?;
    // Tests set variables with `-` in their names, which dash drops and bash keeps.
    layer.add("usr/bin/sh", Entry::symlink("bash"))?;
    for empty in ["dev", "proc", "sys", "var/log", "var/cache/apt"] {
        layer.add(empty, Entry::directory())?;
    }
    Ok(layer)
}

/// busybox with a link for each applet, and the files that name root.
///
/// # Errors
/// When busybox cannot be run.
pub fn busybox() -> anyhow::Result<Layer> {
    let output = Command::new("/usr/bin/busybox").arg("--list").output().context("busybox")?;
    ensure!(output.status.success(), "busybox --list failed");
    let mut layer = Layer::default();
    layer.add("bin/busybox", host_file(Path::new("/usr/bin/busybox"))?)?;
    for applet in String::from_utf8(output.stdout)?.lines().filter(|applet| *applet != "busybox") {
        layer.add(&format!("bin/{applet}"), Entry::symlink("busybox"))?;
    }
    layer.add("etc/passwd", text("root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/false\n"))?;
    layer.add("etc/group", text("root:x:0:\nnogroup:x:65534:\n"))?;
    layer.add("root", Entry::directory())?;
    layer.add("tmp", Entry { mode: 0o1777, ..Entry::directory() })?;
    Ok(layer)
}

/// bash in the place of busybox's shell, which drops variables that have `-` in their names; tests set such.
///
/// # Errors
/// When bash cannot be read.
pub fn bash() -> anyhow::Result<Layer> {
    let mut layer = Layer::default();
    layer.add("bin/bash", host_file(Path::new("/usr/bin/bash-static"))?)?;
    layer.add("bin/sh", Entry::symlink("bash"))?;
    Ok(layer)
}

/// A file of this machine, as it is behind links, which only root may write.
///
/// # Errors
/// When it cannot be read.
pub fn host_file(path: &Path) -> anyhow::Result<Entry> {
    let path: PathBuf = fs::canonicalize(path).with_context(|| path.display().to_string())?;
    let found = fs::metadata(&path)?;
    let mode = if std::os::unix::fs::PermissionsExt::mode(&found.permissions()) & 0o111 == 0 { 0o644 } else { 0o755 };
    Ok(Entry::file(Content::Host { path, size_bytes: found.len() }, mode))
}

/// A file with this text.
pub fn text(text: &str) -> Entry {
    Entry::file(Content::Bytes(text.as_bytes().to_vec()), 0o644)
}
