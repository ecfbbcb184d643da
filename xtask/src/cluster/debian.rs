//! What a cluster needs from Debian, and how it gets there.

use std::{fs, path::Path, process::Command};

use anyhow::{Context, bail, ensure};

/// A program and the package that has it.
const NEEDED: [(&str, &str); 14] = [
    ("/usr/bin/containerd", "containerd"),
    ("/usr/sbin/runc", "runc"),
    ("/usr/lib/cni/bridge", "containernetworking-plugins"),
    ("/usr/sbin/iptables", "iptables"),
    ("/usr/sbin/conntrack", "conntrack"),
    ("/usr/bin/ip", "iproute2"),
    ("/usr/bin/socat", "socat"),
    ("/usr/sbin/ethtool", "ethtool"),
    ("/usr/sbin/debootstrap", "debootstrap"),
    ("/usr/bin/skopeo", "skopeo"),
    ("/usr/bin/busybox", "busybox-static"),
    ("/usr/bin/bash-static", "bash-static"),
    ("/usr/bin/nsenter", "util-linux"),
    ("/usr/bin/pip3", "python3-pip"),
];

/// Where a Debian is fetched from, and which.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Release {
    pub codename: String,
    pub mirror: String,
}

/// Installs the packages that are missing.
///
/// # Errors
/// When this is not root or not Debian, with everything that is missing.
pub fn install() -> anyhow::Result<()> {
    let missing = missing(&|path| Path::new(path).exists());
    if missing.is_empty() {
        return Ok(());
    }
    let list = missing.join(" ");
    ensure!(Path::new("/usr/bin/apt-get").exists(), "missing: {list} (packages of Debian; there is no apt-get here)");
    require_root().with_context(|| format!("missing: {list}"))?;
    eprintln!("installing {list}");
    if !apt(&[&["install", "-y", "-q", "--no-install-recommends"], missing.as_slice()].concat())? {
        apt(&["update", "-q"])?;
        let installed = apt(&[&["install", "-y", "-q", "--no-install-recommends"], missing.as_slice()].concat())?;
        ensure!(installed, "apt-get could not install {list}");
    }
    Ok(())
}

/// Says what a cluster on this machine lacks, without installing anything.
pub fn lacking() -> Vec<String> {
    let mut lacking: Vec<String> = Vec::new();
    if require_root().is_err() {
        lacking.push("root".to_owned());
    }
    let packages = missing(&|path| Path::new(path).exists());
    if !packages.is_empty() && !Path::new("/usr/bin/apt-get").exists() {
        lacking.extend(packages.iter().map(|package| format!("the package {package}")));
    }
    lacking
}

/// # Errors
/// When this process is not root's.
pub fn require_root() -> anyhow::Result<()> {
    ensure!(rustix::process::geteuid().is_root(), "a real cluster needs root: it makes namespaces, mounts and cgroups");
    Ok(())
}

/// The Debian that this machine is.
///
/// # Errors
/// When it is no Debian.
pub fn release() -> anyhow::Result<Release> {
    let about = fs::read_to_string("/etc/os-release").context("/etc/os-release")?;
    let codename = about.lines().find_map(|line| line.strip_prefix("VERSION_CODENAME="));
    let codename = codename.context("/etc/os-release names no Debian")?.trim_matches('"').to_owned();
    let mut sources = fs::read_to_string("/etc/apt/sources.list").unwrap_or_default();
    if let Ok(found) = fs::read_dir("/etc/apt/sources.list.d") {
        let mut paths: Vec<_> = found.flatten().map(|entry| entry.path()).collect();
        paths.sort();
        for path in paths {
            sources += &fs::read_to_string(path).unwrap_or_default();
        }
    }
    let mirror = mirror(&sources).unwrap_or_else(|| "http://deb.debian.org/debian".to_owned());
    Ok(Release { codename, mirror })
}

/// The first source that is a whole Debian.
fn mirror(sources: &str) -> Option<String> {
    sources
        .lines()
        .filter(|line| line.starts_with("deb ") || line.starts_with("URIs:"))
        .flat_map(str::split_whitespace)
        .map(|word| word.trim_end_matches('/'))
        .find(|word| word.starts_with("http") && word.ends_with("/debian"))
        .map(str::to_owned)
}

fn missing(exists: &dyn Fn(&str) -> bool) -> Vec<&'static str> {
    NEEDED.iter().filter(|(path, _)| !exists(path)).map(|(_, package)| *package).collect()
}

fn apt(words: &[&str]) -> anyhow::Result<bool> {
    let mut command = Command::new("apt-get");
    command.args(words).env("DEBIAN_FRONTEND", "noninteractive").stdout(std::io::stderr());
    match command.status() {
        Ok(status) => Ok(status.success()),
        Err(error) => bail!("apt-get: {error}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missing_is_named_by_its_package() {
        assert_eq!(missing(&|_| true), [""; 0]);
        assert_eq!(missing(&|path| path != "/usr/sbin/runc"), ["runc"]);
    }

    #[test]
    fn the_mirror_is_that_of_apt() {
        for (sources, found) in [
            ("deb http://a/debian/ bookworm main\n", Some("http://a/debian")),
            ("Types: deb\nURIs: http://b/debian\n", Some("http://b/debian")),
            ("deb https://c/node nodistro main\n# deb http://d/debian\n", None),
        ] {
            assert_eq!(mirror(sources).as_deref(), found, "{sources}");
        }
    }
}
