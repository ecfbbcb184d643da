//! The package index of a cluster: wheels that were brought beforehand, and the server that pods install them from.

use std::{fs, path::Path, path::PathBuf, process::Command};

use anyhow::{Context, ensure};
use ferroflow_images::{core::layer::Layer, store::add_tree};
use serde_json::Value;

use super::{
    cache::{self, Work, key},
    layout::Node,
    service::{self, Port},
};

/// Where the server listens, on the first node.
pub const PORT: u16 = 3141;
/// What its service is called.
const NAME: &str = "packages";
/// Raised when what is made of the same lists changes.
const FORM: &str = "1";
/// Debian's own, which is the one of the images too: wheels are made for one version of Python.
const PYTHON: &str = "/usr/bin/python3";

/// Brings the wheels and the server that the lists pin, once, and returns the folder that holds both.
///
/// # Errors
/// When pip cannot bring them.
pub fn build(repository: &Path) -> anyhow::Result<PathBuf> {
    let lists = repository.join("conformance/kubernetes/index");
    let list = |name: &str| {
        let path = lists.join(name);
        fs::read_to_string(&path).with_context(|| path.display().to_string())
    };
    let key = key(&[FORM, &python_version()?, &list("wheels.txt")?, &list("server.txt")?]);
    let cache = cache::folder("index")?;
    let folder = cache.join(&key);
    if folder.exists() {
        return Ok(folder);
    }
    eprintln!("fetching packages for the index");
    let work = Work::new(&cache, &key)?;
    let part = work.path("index");
    // The lists name everything, so that nothing comes along in a version of today.
    let common = ["--quiet", "--no-deps", "--only-binary=:all:", "--disable-pip-version-check", "--requirement"];
    pip(Command::new(PYTHON)
        .args(["-I", "-m", "pip", "download"])
        .args(common)
        .arg(lists.join("wheels.txt"))
        .arg("--dest")
        .arg(part.join("wheels")))?;
    pip(Command::new(PYTHON)
        .args(["-I", "-m", "pip", "install", "--root-user-action=ignore"])
        .args(common)
        .arg(lists.join("server.txt"))
        .arg("--target")
        .arg(part.join("server")))?;
    match fs::rename(&part, &folder) {
        Err(_) if folder.exists() => {}
        outcome => outcome.with_context(|| folder.display().to_string())?,
    }
    Ok(folder)
}

/// A layer with one of the packages of the folder that [`build`] returned, where Debian's Python looks for what was
/// installed. It is installed into `work` first.
///
/// # Errors
/// When pip cannot install it, or what it left cannot be read.
pub fn installed(folder: &Path, package: &str, work: &Path) -> anyhow::Result<Layer> {
    let version = python_version()?;
    let minor = version.rsplit_once('.').map_or(version.as_str(), |(minor, _)| minor);
    let place = format!("usr/local/lib/{}/dist-packages", minor.to_lowercase().replace(' ', ""));
    let target = work.join(&place);
    pip(Command::new(PYTHON)
        .args(["-I", "-m", "pip", "install", "--quiet", "--no-deps", "--no-index", "--no-compile"])
        .args(["--root-user-action=ignore", "--find-links"])
        .arg(folder.join("wheels"))
        .arg("--target")
        .arg(&target)
        .arg(package))?;
    // By content, since the times of files in layers are not those that they have here.
    pip(Command::new(PYTHON)
        .args(["-I", "-m", "compileall", "-q", "--invalidation-mode", "unchecked-hash"])
        .args(["-s", &work.display().to_string(), "-p", "/"])
        .arg(&target))?;
    let mut layer = Layer::default();
    add_tree(&mut layer, work, "", &|_| false)?;
    Ok(layer)
}

/// How the server is started on the folder that [`build`] returned. Nobody may upload.
pub fn serve(folder: &Path) -> Command {
    let mut command = Command::new(PYTHON);
    command
        .args(["-s", "-m", "pypiserver", "run", "--disable-fallback", "--server=auto"])
        .args(["--interface", &Node { number: 1 }.address(), "--port", &PORT.to_string()])
        .arg(folder.join("wheels"))
        .env("PYTHONPATH", folder.join("server"))
        .env("PYTHONDONTWRITEBYTECODE", "1");
    command
}

/// The service and the slice that lead to it.
pub fn objects() -> [Value; 2] {
    service::objects(NAME, None, &[Port::tcp("http", 80, PORT)])
}

/// Where pods find packages.
pub fn url() -> String {
    format!("http://{}/simple/", service::host(NAME))
}

/// `/etc/pip.conf` of an image: there is one index, and pip may install beside what Debian installed.
pub fn pip_configuration() -> String {
    format!(
        "[global]\nindex-url = {}\ntrusted-host = {}\nbreak-system-packages = true\nroot-user-action = ignore\n\
         disable-pip-version-check = true\n",
        url(),
        service::host(NAME)
    )
}

fn python_version() -> anyhow::Result<String> {
    let output = Command::new(PYTHON).args(["-I", "--version"]).output().context(PYTHON)?;
    ensure!(output.status.success(), "{PYTHON} --version failed");
    Ok(String::from_utf8(output.stdout)?.trim().to_owned())
}

fn pip(command: &mut Command) -> anyhow::Result<()> {
    let status = command.stdout(std::io::stderr()).status().context(PYTHON)?;
    ensure!(
        status.success(),
        "pip could not bring the packages of conformance/kubernetes/index; it says why above, and needs a package \
         index that it can reach"
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pip_of_an_image_asks_the_index_of_the_cluster_alone() {
        let text = pip_configuration();
        assert!(text.starts_with("[global]\nindex-url = http://packages.kube-system.svc.cluster.local/simple/\n"));
        assert!(!text.contains("extra-index-url"));
    }
}
