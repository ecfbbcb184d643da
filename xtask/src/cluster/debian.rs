//! What a cluster needs from Debian, and how it gets there.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, bail, ensure};

use super::{extra::Extra, postgres};

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
/// The package of the server that a cluster is given when asked for, and the one with the settings by which it is
/// installed.
const POSTGRES: &str = "postgresql";
const POSTGRES_COMMON: &str = "postgresql-common";
/// Says whether Debian makes and starts a server of its own when it installs one.
const POSTGRES_SETTINGS: &str = "/etc/postgresql-common/createcluster.conf";

/// Where a Debian is fetched from, and which.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Release {
    pub codename: String,
    pub mirror: String,
}

/// Installs the packages that are missing; those of `extras` only where they are asked for.
///
/// # Errors
/// When this is not root or not Debian, with everything that is missing.
pub fn install(extras: &[Extra]) -> anyhow::Result<()> {
    let missing = missing(extras, &|path| found(path).is_some());
    if missing.is_empty() {
        return Ok(());
    }
    let list = missing.join(" ");
    ensure!(Path::new("/usr/bin/apt-get").exists(), "missing: {list} (packages of Debian; there is no apt-get here)");
    require_root().with_context(|| format!("missing: {list}"))?;
    let (server, others): (Vec<&str>, Vec<&str>) = missing.iter().partition(|package| **package == POSTGRES);
    if !others.is_empty() {
        install_all(&others)?;
    }
    if !server.is_empty() {
        install_postgres()?;
    }
    Ok(())
}

fn install_all(packages: &[&str]) -> anyhow::Result<()> {
    let list = packages.join(" ");
    eprintln!("installing {list}");
    let install = [&["install", "-y", "-q", "--no-install-recommends"], packages].concat();
    if !apt(&install)? {
        apt(&["update", "-q"])?;
        ensure!(apt(&install)?, "apt-get could not install {list}");
    }
    Ok(())
}

/// Installs the server's programs without a server for the whole machine, which Debian would make and start.
fn install_postgres() -> anyhow::Result<()> {
    install_all(&[POSTGRES_COMMON])?;
    let settings = fs::read_to_string(POSTGRES_SETTINGS).context(POSTGRES_SETTINGS)?;
    fs::write(POSTGRES_SETTINGS, format!("{settings}\ncreate_main_cluster = false\n")).context(POSTGRES_SETTINGS)?;
    let outcome = install_all(&[POSTGRES]);
    fs::write(POSTGRES_SETTINGS, settings).context(POSTGRES_SETTINGS)?;
    outcome
}

/// Says what a cluster on this machine lacks, without installing anything.
pub fn lacking(extras: &[Extra]) -> Vec<String> {
    let mut lacking: Vec<String> = Vec::new();
    if require_root().is_err() {
        lacking.push("root".to_owned());
    }
    let packages = missing(extras, &|path| found(path).is_some());
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

fn missing(extras: &[Extra], exists: &dyn Fn(&str) -> bool) -> Vec<&'static str> {
    let postgres = extras.contains(&Extra::Postgres).then_some((postgres::PROGRAM, POSTGRES));
    NEEDED.into_iter().chain(postgres).filter(|(path, _)| !exists(path)).map(|(_, package)| package).collect()
}

/// The file of this path, where one folder may be `*`: of several the last by name.
pub fn found(path: &str) -> Option<PathBuf> {
    let Some((above, below)) = path.split_once("/*/") else {
        return Some(PathBuf::from(path)).filter(|path| path.exists());
    };
    let entries = fs::read_dir(above).ok()?;
    entries.flatten().map(|entry| entry.path().join(below)).filter(|path| path.exists()).max()
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
        let all = [Extra::S3, Extra::Postgres];
        assert_eq!(missing(&all, &|_| true), [""; 0]);
        assert_eq!(missing(&all, &|path| path != "/usr/sbin/runc"), ["runc"]);
    }

    #[test]
    fn a_server_that_nobody_asked_for_is_not_missing() {
        let exists = |path: &str| path != postgres::PROGRAM;
        assert_eq!(missing(&[Extra::S3], &exists), [""; 0]);
        assert_eq!(missing(&[Extra::Postgres], &exists), ["postgresql"]);
    }

    #[test]
    fn a_file_is_found_in_a_folder_of_any_name() {
        let folder = std::env::temp_dir().join(format!("ferroflow-found-{}", std::process::id()));
        for version in ["14/bin", "15/bin", "16"] {
            fs::create_dir_all(folder.join(version)).unwrap();
        }
        for version in ["14", "15"] {
            fs::write(folder.join(version).join("bin/postgres"), "").unwrap();
        }
        let path = |name: &str| format!("{}/*/bin/{name}", folder.display());
        assert_eq!(found(&path("postgres")), Some(folder.join("15/bin/postgres")));
        assert_eq!(found(&path("none")), None);
        fs::remove_dir_all(folder).unwrap();
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
