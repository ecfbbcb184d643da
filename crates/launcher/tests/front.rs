//! The program under the names of an interpreter: what it answers, and what it hands on.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

use std::{
    fs,
    os::unix::fs::{MetadataExt, PermissionsExt},
    path::{Path, PathBuf},
    process::Command,
    sync::{Mutex, MutexGuard, PoisonError},
};

/// A program that one test has just written cannot be run (ETXTBSY) while what another one has just started still has the file
/// open: one test at a time.
static TURN: Mutex<()> = Mutex::new(());

/// A directory with the program in front, and behind it an environment whose interpreter says how it was called.
struct Place {
    dir: tempfile::TempDir,
    _turn: MutexGuard<'static, ()>,
}

impl Place {
    fn new() -> Self {
        let turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
        let place = Self { dir: tempfile::tempdir().unwrap(), _turn: turn };
        for directory in ["front", "env/bin", "home"] {
            fs::create_dir_all(place.path(directory)).unwrap();
        }
        fs::create_dir_all(place.site()).unwrap();
        for name in ["python3", "pip"] {
            fs::copy(env!("CARGO_BIN_EXE_ferroflow-launcher"), place.path("front").join(name)).unwrap();
            let script = place.path("env/bin").join(name);
            fs::write(&script, "#!/bin/sh\necho \"$0 $*\"\n[ \"$1\" != fail ] || exit 7\n").unwrap();
            fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).unwrap();
        }
        place.describe();
        place
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn site(&self) -> PathBuf {
        self.path("env/lib/python3.11/site-packages")
    }

    fn describe(&self) {
        let meta = fs::metadata(self.site()).unwrap();
        let changed = i128::from(meta.mtime()) * 1_000_000_000 + i128::from(meta.mtime_nsec());
        let site = self.site().display().to_string();
        let text = format!(
            r#"{{"version": 1, "installs": [{{"requirements": ["a==1", "b"], "no_deps": true}}],
                "sites": [{{"path": "{site}", "changed": "{changed}"}}]}}"#
        );
        fs::write(self.path("env/.ferroflow.json"), text).unwrap();
    }

    fn run(&self, name: &str, arguments: &[&str]) -> (Option<i32>, String) {
        let path = format!("{}:{}:/usr/bin:/bin", self.path("front").display(), self.path("env/bin").display());
        let mut command = Command::new(self.path("front").join(name));
        command.args(arguments).env_clear().env("PATH", path).env("HOME", self.path("home"));
        let output = command.current_dir(self.path("home")).output().unwrap();
        (output.status.code(), String::from_utf8_lossy(&output.stdout).trim().to_owned())
    }

    fn handed_on(&self, name: &str, arguments: &str) -> (Option<i32>, String) {
        (Some(0), format!("{} {arguments}", self.path("env/bin").join(name).display()))
    }
}

#[test]
fn what_is_installed_is_answered_and_all_else_handed_on() {
    let place = Place::new();
    let line = ["-m", "pip", "install", "--quiet", "a==1", "--no-deps", "b"];
    assert_eq!(place.run("python3", &line), (Some(0), String::new()));
    let told = "Requirement already satisfied: a==1".to_owned();
    assert_eq!(place.run("pip", &["install", "a==1", "--no-deps"]), (Some(0), told));
    assert_eq!(place.run("python3", &["-c", "x y"]), place.handed_on("python3", "-c x y"));
    assert_eq!(place.run("python3", &["fail"]).0, Some(7));
    for other in [["-m", "pip", "install", "c"], ["-m", "pip", "uninstall", "a"]] {
        assert_eq!(place.run("python3", &other), place.handed_on("python3", &other.join(" ")));
    }
}

#[test]
fn after_anything_was_installed_pip_itself_runs() {
    let line = ["install", "--quiet", "a==1", "--no-deps"];
    let changes: [fn(&Place); 4] = [
        |place| fs::create_dir(place.site().join("c-1.dist-info")).unwrap(),
        |place| fs::write(place.path("home/pip.py"), "").unwrap(),
        |place| fs::write(place.path("env/pip.conf"), "[install]\nupgrade = true\n").unwrap(),
        |place| fs::remove_file(place.path("env/.ferroflow.json")).unwrap(),
    ];
    for change in changes {
        let place = Place::new();
        assert_eq!(place.run("pip", &line).1, "");
        change(&place);
        assert_eq!(place.run("pip", &line), place.handed_on("pip", &line.join(" ")));
    }
}

#[test]
fn an_environment_made_in_this_one_sees_its_packages_and_knows_them() {
    let place = Place::new();
    // An interpreter with the module and without packages of its own.
    let python = "#!/bin/sh\n[ \"$2\" = venv ] || { echo \"$0 $*\"; exit; }\n\
                  mkdir -p $3/bin $3/lib/python3.11/site-packages && touch $3/pyvenv.cfg && cp $0 $3/bin/python3.11 && \
                  ln -s python3.11 $3/bin/python && ln -s python $3/bin/python3 && echo $5\n";
    fs::write(place.path("env/bin/python3"), python).unwrap();
    let made = place.run("python3", &["-m", "venv", "venv", "--system-site-packages"]);
    assert_eq!(made, (Some(0), "--without-pip".to_owned()));
    let site = place.path("home/venv/lib/python3.11/site-packages");
    let link = fs::read_to_string(site.join("_ferroflow.pth")).unwrap();
    assert_eq!(link, format!("import site; site.addsitedir(\"{}\")\n", place.site().display()));
    let run = |name: &str, arguments: &[&str]| {
        let output = Command::new(place.path("home/venv/bin").join(name)).args(arguments).output().unwrap();
        (output.status.code(), String::from_utf8_lossy(&output.stdout).trim().to_owned())
    };
    let line = ["-m", "pip", "install", "--quiet", "a==1", "--no-deps", "b"];
    let interpreter = place.path("home/venv/bin/python3.11");
    assert_eq!(run("python3", &line), (Some(0), String::new()));
    assert_eq!(run("pip", &["list"]), (Some(0), format!("{} -m pip list", interpreter.display())));
    fs::create_dir(site.join("c-1.dist-info")).unwrap();
    assert_eq!(run("python", &line), (Some(0), format!("{} {}", interpreter.display(), line.join(" "))));
    let again = place.run("python3", &["-m", "venv", "venv", "--system-site-packages"]);
    assert_eq!(again.1, "", "what is there is left to the module");
}

#[test]
fn without_an_interpreter_behind_it_the_shell_s_code_is_given() {
    let place = Place::new();
    fs::remove_dir_all(place.path("env/bin")).unwrap();
    let program = place.path("front/python3");
    let path: &Path = &place.path("front");
    let status = Command::new(program).env_clear().env("PATH", path).status().unwrap();
    assert_eq!(status.code(), Some(127));
}
