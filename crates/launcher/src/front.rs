//! What stands before `python3` and `pip` in a container whose packages were installed ahead of it: the same program under
//! their names, first on the path.
//!
//! A `pip install` of what is there already, and provably unchanged, ends at once; in everything else the next program of
//! the name on the path takes this one's place. It installs nothing, and when in doubt it steps aside.

use std::{
    env,
    ffi::{OsStr, OsString},
    fs,
    os::unix::{fs::MetadataExt, process::CommandExt},
    path::{Path, PathBuf},
    process::Command,
};

use serde_json::Value;

mod venv;

/// What it stands before.
const NAMES: [&str; 4] = ["python", "python3", "pip", "pip3"];
/// The file that says what an environment was made from.
const MANIFEST: &str = ".ferroflow.json";
/// Options of `pip install` that change what it says, and nothing else.
const TALK: [&str; 6] =
    ["-q", "--quiet", "--no-warn-script-location", "--disable-pip-version-check", "--no-input", "--no-cache-dir"];
/// Settings of `pip` that say where packages come from, or change what it says: nothing to who has them already.
const HARMLESS: [&str; 19] = [
    "cache-dir",
    "cert",
    "client-cert",
    "default-timeout",
    "disable-pip-version-check",
    "extra-index-url",
    "find-links",
    "index-url",
    "keyring-provider",
    "no-cache-dir",
    "no-color",
    "no-input",
    "no-warn-script-location",
    "progress-bar",
    "proxy",
    "quiet",
    "retries",
    "root-user-action",
    "timeout",
];
const TRUSTED: &str = "trusted-host";
/// What a shell ends with when there is no such program, and when it cannot be run.
const NOT_FOUND: i32 = 127;
const NOT_RUN: i32 = 126;

/// Whether this name, the last part of `argv[0]`, is one that this program stands before.
pub fn is_front(name: &OsStr) -> bool {
    name.to_str().is_some_and(|name| NAMES.contains(&name))
}

/// Answers, or lets the program of the name that is behind this one take its place: returns an exit code, or not at all.
pub fn run() -> i32 {
    let mut arguments = env::args_os();
    let called = arguments.next().unwrap_or_default();
    let name = Path::new(&called).file_name().and_then(OsStr::to_str).unwrap_or_default();
    let arguments: Vec<OsString> = arguments.collect();
    let Some(behind) = Behind::find(name) else {
        eprintln!("{name}: not found on the path behind {}", called.to_string_lossy());
        return NOT_FOUND;
    };
    if let Some(words) = pip_install(name, &arguments)
        && let Some(install) = Install::read(&words)
        && is_satisfied(&install, &behind.root)
    {
        if !words.iter().any(|word| matches!(word.as_str(), "-q" | "--quiet")) {
            install.requirements.iter().for_each(|one| println!("Requirement already satisfied: {one}"));
        }
        return 0;
    }
    if let Some(wanted) = venv::wanted(&arguments).filter(|_| name.starts_with("python")) {
        return venv::make(&behind, &arguments, &wanted);
    }
    let error = behind.command(&arguments).exec();
    eprintln!("{}: {error}", behind.program.display());
    NOT_RUN
}

/// What this program stands before.
struct Behind {
    /// By its path: an interpreter looks for its environment where it is told that it is.
    program: PathBuf,
    /// Arguments that come first.
    first: &'static [&'static str],
    /// The environment that the program belongs to.
    root: PathBuf,
}

impl Behind {
    /// The interpreter beside this program in an environment that it has made itself, or else the next program of the name
    /// on the path that is not this one.
    fn find(name: &str) -> Option<Self> {
        let own = env::current_exe().ok()?;
        let (place, file) = (own.parent()?, identity(&own));
        let root = place.parent()?;
        if root.join("pyvenv.cfg").is_file() {
            let first: &[&str] = if name.starts_with("pip") { &["-m", "pip"] } else { &[] };
            return Some(Self { program: venv::interpreter(place)?, first, root: root.to_owned() });
        }
        let path = env::var_os("PATH")?;
        let others = env::split_paths(&path).filter(|directory| directory != place).map(|one| one.join(name));
        let program = others.into_iter().find(|one| {
            let is_program = fs::metadata(one).is_ok_and(|meta| meta.is_file() && meta.mode() & 0o111 != 0);
            is_program && identity(one) != file
        })?;
        let root = program.parent()?.parent()?.to_owned();
        Some(Self { program, first: &[], root })
    }

    fn command(&self, arguments: &[OsString]) -> Command {
        let mut command = Command::new(&self.program);
        command.args(self.first).args(arguments);
        command
    }
}

fn identity(path: &Path) -> Option<(u64, u64)> {
    fs::metadata(path).ok().map(|meta| (meta.dev(), meta.ino()))
}

/// The words after `install`, where that is what is asked for.
fn pip_install(name: &str, arguments: &[OsString]) -> Option<Vec<String>> {
    let words: Option<Vec<&str>> = arguments.iter().map(|word| word.to_str()).collect();
    let words = words?;
    let rest = match words.as_slice() {
        ["-m", "pip", "install", rest @ ..] if name.starts_with("python") => rest,
        ["install", rest @ ..] if name.starts_with("pip") => rest,
        _ => return None,
    };
    Some(rest.iter().map(|word| (*word).to_owned()).collect())
}

/// What a line installs, and from where.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Install {
    requirements: Vec<String>,
    no_deps: bool,
    index_url: Option<String>,
    extra_index_urls: Vec<String>,
    trusted_hosts: Vec<String>,
}

impl Install {
    /// Reads the words after `install`; `None` where one of them is not known here.
    fn read(words: &[String]) -> Option<Self> {
        let mut install = Self::default();
        let mut words = words.iter().map(String::as_str);
        while let Some(word) = words.next() {
            let (name, value) = match word.split_once('=') {
                Some((name, value)) if name.starts_with("--") => (name, Some(value)),
                _ => (word, None),
            };
            let mut text = || value.or_else(|| words.next()).map(str::to_owned);
            match name {
                _ if TALK.contains(&word) => {}
                "--no-deps" if value.is_none() => install.no_deps = true,
                "--index-url" | "-i" => install.index_url = Some(text()?),
                "--extra-index-url" => install.extra_index_urls.push(text()?),
                "--trusted-host" => install.trusted_hosts.push(text()?),
                _ if name.starts_with('-') => return None,
                _ => install.requirements.push(word.to_owned()),
            }
        }
        (!install.requirements.is_empty()).then_some(install)
    }

    /// Reads one of a manifest.
    fn of(value: &Value) -> Option<Self> {
        let list = |name: &str| -> Option<Vec<String>> {
            let Some(list) = value.get(name) else { return Some(Vec::new()) };
            list.as_array()?.iter().map(|one| one.as_str().map(str::to_owned)).collect()
        };
        Some(Self {
            requirements: list("requirements")?,
            no_deps: value.get("no_deps").and_then(Value::as_bool).unwrap_or(false),
            index_url: value.get("index_url").and_then(Value::as_str).map(str::to_owned),
            extra_index_urls: list("extra_index_urls")?,
            trusted_hosts: list("trusted_hosts")?,
        })
    }

    /// Whether whoever has done `other` has done this too.
    fn is_part_of(&self, other: &Self) -> bool {
        let options = |one: &Self| Self { requirements: Vec::new(), ..one.clone() };
        options(self) == options(other) && self.requirements.iter().all(|one| other.requirements.contains(one))
    }
}

/// Whether what a line asks for was installed when the environment was made, and nothing has been since.
fn is_satisfied(install: &Install, root: &Path) -> bool {
    let Some(manifest) = read_manifest(root) else { return false };
    let installs = manifest["installs"].as_array().into_iter().flatten().filter_map(Install::of);
    let is_there = installs.into_iter().any(|done| install.is_part_of(&done));
    is_there && is_unchanged(&manifest) && is_usual(env::vars_os(), root)
}

fn read_manifest(root: &Path) -> Option<Value> {
    let manifest: Value = serde_json::from_slice(&fs::read(root.join(MANIFEST)).ok()?).ok()?;
    (manifest["version"] == 1).then_some(manifest)
}

/// Whether no package was added or taken away, by whatever means: a directory changes its time then.
fn is_unchanged(manifest: &Value) -> bool {
    let Some(sites) = manifest["sites"].as_array().filter(|sites| !sites.is_empty()) else { return false };
    sites.iter().all(|site| {
        let (Some(path), Some(changed)) = (site["path"].as_str(), site["changed"].as_str()) else { return false };
        self::changed(Path::new(path)).is_ok_and(|found| found == changed)
    })
}

/// When a directory was changed, in nanoseconds since 1970.
fn changed(directory: &Path) -> std::io::Result<String> {
    let meta = fs::metadata(directory)?;
    Ok((i128::from(meta.mtime()) * 1_000_000_000 + i128::from(meta.mtime_nsec())).to_string())
}

/// Whether nothing makes this `pip`, or this interpreter, another than the usual one.
fn is_usual(variables: impl Iterator<Item = (OsString, OsString)>, root: &Path) -> bool {
    let (mut home, mut config) = (None, None);
    for (name, value) in variables {
        let Some(name) = name.to_str() else { continue };
        match name {
            "PYTHONPATH" | "PYTHONHOME" if !value.is_empty() => return false,
            "HOME" => home = Some(PathBuf::from(value)),
            "XDG_CONFIG_HOME" => config = Some(PathBuf::from(value)),
            _ if name.starts_with("PIP_") && !is_harmless(&name[4..].to_ascii_lowercase().replace('_', "-")) => {
                return false;
            }
            _ => {}
        }
    }
    // A program of the same name in the working directory comes first.
    if Path::new("pip").exists() || Path::new("pip.py").exists() {
        return false;
    }
    let mut files = vec![PathBuf::from("/etc/pip.conf"), PathBuf::from("/etc/xdg/pip/pip.conf"), root.join("pip.conf")];
    files.extend(home.iter().map(|home| home.join(".pip/pip.conf")));
    files.extend(config.or_else(|| Some(home?.join(".config"))).map(|config| config.join("pip/pip.conf")));
    files.iter().all(|file| match fs::read_to_string(file) {
        Ok(text) => text.lines().all(is_harmless_line),
        Err(error) => matches!(error.kind(), std::io::ErrorKind::NotFound | std::io::ErrorKind::NotADirectory),
    })
}

fn is_harmless(setting: &str) -> bool {
    setting == TRUSTED || HARMLESS.contains(&setting)
}

/// A line of `pip.conf`; one that goes on with a value has only values.
fn is_harmless_line(line: &str) -> bool {
    let is_empty = line.trim().is_empty() || line.starts_with(['#', ';', '[']);
    let goes_on = line.starts_with([' ', '\t']);
    let name = line.split(['=', ':']).next().unwrap_or_default().trim().to_ascii_lowercase().replace('_', "-");
    is_empty || goes_on || is_harmless(&name)
}

#[cfg(test)]
#[path = "front_tests.rs"]
mod tests;
