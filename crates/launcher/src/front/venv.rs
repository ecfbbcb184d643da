//! `python3 -m venv --system-site-packages`, as lightweight components of `use_venv` call it: an environment that sees the
//! packages of the one around it.
//!
//! Around it is an environment already, which stands for the system's own: an environment within it would see no more than
//! what the interpreter came with, so a link leads it to the packages. And a new `pip` need not be unpacked into it, which
//! takes seconds: that of the one around is seen, too.

use std::{
    env,
    ffi::OsString,
    fs, io,
    os::unix::process::ExitStatusExt,
    path::{Path, PathBuf},
};

use serde_json::Value;

use super::{Behind, MANIFEST, NAMES, NOT_RUN, read_manifest};

/// The file that leads to the packages around. `addsitedir` honours files of this kind there, too.
const LINK: &str = "_ferroflow.pth";

/// Environments that are to be made.
#[derive(Debug, PartialEq, Eq)]
pub struct Wanted {
    directories: Vec<PathBuf>,
    /// Nothing else is asked for.
    is_plain: bool,
}

/// Reads the arguments of an interpreter; `None` where it is not to make an environment that sees others' packages.
pub fn wanted(arguments: &[OsString]) -> Option<Wanted> {
    let [option, module, rest @ ..] = arguments else { return None };
    if option != "-m" || module != "venv" || !rest.iter().any(|word| word == "--system-site-packages") {
        return None;
    }
    let mut wanted = Wanted { directories: Vec::new(), is_plain: true };
    let mut words = rest.iter();
    while let Some(word) = words.next() {
        match word.to_string_lossy() {
            text if text == "--system-site-packages" => {}
            text if text.starts_with('-') => {
                wanted.is_plain = false;
                // The one option with a value of its own.
                let _ = if text == "--prompt" { words.next() } else { None };
            }
            _ => wanted.directories.push(PathBuf::from(word)),
        }
    }
    Some(wanted)
}

/// Makes them. Returns the exit code.
pub fn make(behind: &Behind, arguments: &[OsString], wanted: &Wanted) -> i32 {
    // One that is there already is left to the module, which keeps what is in it.
    let is_new = wanted.is_plain && wanted.directories.iter().all(|one| !one.exists());
    let without = is_new.then(|| OsString::from("--without-pip"));
    let words: Vec<OsString> = arguments.iter().cloned().chain(without).collect();
    let status = match behind.command(&words).status() {
        Ok(status) => status,
        Err(error) => {
            eprintln!("{}: {error}", behind.program.display());
            return NOT_RUN;
        }
    };
    let code = status.signal().map_or(status.code(), |signal| Some(128 + signal)).unwrap_or(1);
    if code != 0 {
        return code;
    }
    for directory in &wanted.directories {
        let furnished = link(directory, &behind.root)
            .and_then(|sites| if is_new { stand_before(directory, &behind.root, &sites) } else { Ok(()) });
        if let Err(error) = furnished {
            eprintln!("cannot furnish {}: {error}", directory.display());
            return 1;
        }
    }
    0
}

/// Leads an environment to the packages of another; where its own lie.
fn link(directory: &Path, above: &Path) -> io::Result<Vec<PathBuf>> {
    let quoted = |path: &Path| Value::from(path.to_string_lossy().into_owned()).to_string();
    let above = sites(above).into_iter();
    let lines: String = above.map(|one| format!("import site; site.addsitedir({})\n", quoted(&one))).collect();
    let own = sites(directory);
    for site in &own {
        fs::write(site.join(LINK), &lines)?;
    }
    Ok(own)
}

/// Puts this program before the interpreter of a new environment, as it stands before that of the one around it.
fn stand_before(directory: &Path, above: &Path, sites: &[PathBuf]) -> io::Result<()> {
    let bin = fs::canonicalize(directory)?.join("bin");
    let Some(interpreter) = interpreter(&bin) else { return Err(io::Error::other("it has no interpreter")) };
    let target = fs::canonicalize(&interpreter)?;
    if target != interpreter {
        fs::remove_file(&interpreter)?;
        // It may be a link to another name in the same directory, which this program is about to take.
        if target.starts_with(&bin) {
            fs::rename(&target, &interpreter)?;
        } else {
            std::os::unix::fs::symlink(target, &interpreter)?;
        }
    }
    let own = env::current_exe()?;
    for name in NAMES {
        let at = bin.join(name);
        match fs::remove_file(&at) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        // Another file system has a copy.
        fs::hard_link(&own, &at).or_else(|_| fs::copy(&own, &at).map(drop))?;
    }
    let Some(mut manifest) = read_manifest(above) else { return Ok(()) };
    if let Some(known) = manifest["sites"].as_array_mut() {
        for site in sites {
            let changed = super::changed(site)?;
            let path = fs::canonicalize(site)?.to_string_lossy().into_owned();
            known.push(serde_json::json!({"path": path, "changed": changed}));
        }
    }
    fs::write(directory.join(MANIFEST), manifest.to_string())
}

/// The interpreter of an environment by its own name: `python3.11`.
pub fn interpreter(bin: &Path) -> Option<PathBuf> {
    let entries = fs::read_dir(bin).ok()?.flatten();
    let mut names = entries.filter_map(|entry| entry.file_name().into_string().ok());
    let is_one = |name: &String| {
        let minor = name.strip_prefix("python3.");
        minor.is_some_and(|minor| !minor.is_empty() && minor.chars().all(|c| c.is_ascii_digit()))
    };
    names.find(is_one).map(|name| bin.join(name))
}

/// Where the packages of an environment lie.
fn sites(root: &Path) -> Vec<PathBuf> {
    let versions = fs::read_dir(root.join("lib")).into_iter().flatten().flatten();
    let found = versions.map(|entry| entry.path().join("site-packages"));
    found.filter(|site| site.is_dir()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_environment_that_is_to_see_the_packages_around_it_is_known() {
        let of = |line: &str| {
            let arguments: Vec<OsString> = line.split(' ').map(OsString::from).collect();
            let wanted = wanted(&arguments)?;
            let names: Vec<_> = wanted.directories.iter().map(|one| one.display().to_string()).collect();
            Some((names.join(" "), wanted.is_plain))
        };
        assert_eq!(of("-m venv /tmp/a --system-site-packages"), Some(("/tmp/a".to_owned(), true)));
        assert_eq!(of("-m venv --prompt x --system-site-packages a b"), Some(("a b".to_owned(), false)));
        assert_eq!(of("-m venv /tmp/a"), None);
        assert_eq!(of("-c venv --system-site-packages"), None);
    }
}
