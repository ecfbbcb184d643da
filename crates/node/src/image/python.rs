//! Python environments, by `uv`: the one on the path, or one that is installed beside the environments.

use std::{
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    process::Output,
};

use tokio::process::Command;

use super::{Made, manifest::Manifest, own::site};
use crate::core::requirement::Install;

/// Written when an environment is whole; holds the warning that belongs to it.
pub const MARKER: &str = ".ferroflow-complete";

/// Whether an environment is whole.
pub fn is_complete(root: &Path) -> bool {
    root.join(MARKER).is_file()
}

/// The environment at `root`, where there is a whole one.
pub fn find(root: &Path) -> Option<Made> {
    std::fs::read_to_string(root.join(MARKER)).ok().map(|warning| made(root, warning))
}

/// What an environment is to be made of.
#[derive(Clone, Debug)]
pub struct Recipe {
    pub version: String,
    /// Packages of the images table.
    pub requirements: Vec<String>,
    /// Lines that a container's command asks for, in their order.
    pub installs: Vec<Install>,
}

/// Makes an environment at `root`, or finds it there.
///
/// # Errors
/// What `uv` said.
pub async fn make(tools: &Path, root: &Path, recipe: &Recipe) -> Result<Made, String> {
    if let Some(made) = find(root) {
        return Ok(made);
    }
    let uv = Uv::find(tools).await?;
    // A half-made one is of no use.
    remove(root)?;
    let made = fill(&uv, root, recipe).await;
    if made.is_err() {
        remove(root)?;
    }
    made
}

fn remove(root: &Path) -> Result<(), String> {
    match std::fs::remove_dir_all(root) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(format!("cannot remove {}: {error}", root.display()))
        }
        _ => Ok(()),
    }
}

async fn fill(uv: &Uv, root: &Path, recipe: &Recipe) -> Result<Made, String> {
    let warning = make_base(uv, root, &recipe.version).await?;
    if !recipe.requirements.is_empty() {
        let mut command = uv.install(root);
        command.args(&recipe.requirements);
        run(command).await?;
    }
    for (number, install) in recipe.installs.iter().enumerate() {
        let mut command = uv.install(root);
        if number + 1 == recipe.installs.len() {
            // Containers could keep what they compile for themselves only.
            command.arg("--compile-bytecode");
        }
        add(command, install).await?;
    }
    let (root, recipe) = (root.to_owned(), recipe.clone());
    let finished = tokio::task::spawn_blocking(move || finish(&root, &recipe, warning)).await;
    finished.unwrap_or_else(|_| Err("the work was cut off".to_owned()))
}

/// Installs what a line asks for.
async fn add(mut command: Command, install: &Install) -> Result<(), String> {
    if install.has_index() {
        // A password that this user has for an index is not for whoever names the index.
        command.env("NETRC", "/dev/null").env("UV_NO_CONFIG", "1");
    }
    let words = install.words();
    let Err(first) = run(with(&command, &words)).await else { return Ok(()) };
    if install.has_index() || !install.names_kfp() {
        return Err(first);
    }
    // Its releases before 2.14.1 are there as sources only. They are the project's own, from the index of this server.
    let mut words = words;
    words.splice(0..0, ["--no-binary".to_owned(), "kfp".to_owned()]);
    run(with(&command, &words)).await.map(drop).map_err(|_| first)
}

/// The same command with further arguments.
fn with(command: &Command, words: &[String]) -> Command {
    let command = command.as_std();
    let mut more = Command::new(command.get_program());
    more.args(command.get_args()).args(words);
    more.envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))));
    more
}

/// Brings an environment to disk, and says that it is whole.
fn finish(root: &Path, recipe: &Recipe, warning: String) -> Result<Made, String> {
    let failed = |error: std::io::Error| format!("cannot finish {}: {error}", root.display());
    if !recipe.installs.is_empty() {
        let site = site(root).ok_or_else(|| format!("{} has no directory of packages", root.display()))?;
        Manifest::new(recipe.installs.clone(), &site).write(root).map_err(failed)?;
        // After a power cut it is whole, or has no mark.
        let directory = std::fs::File::open(root).map_err(failed)?;
        rustix::fs::syncfs(&directory).map_err(|error| failed(error.into()))?;
    }
    std::fs::write(root.join(MARKER), &warning).map_err(failed)?;
    Ok(made(root, warning))
}

fn made(root: &Path, warning: String) -> Made {
    Made { root: root.to_owned(), warning: (!warning.is_empty()).then_some(warning) }
}

/// Makes the bare environment: of the version that was asked for, else of the nearest that is here.
/// Returns a warning when it is not the one.
async fn make_base(uv: &Uv, root: &Path, version: &str) -> Result<String, String> {
    let venv = |python: &str| {
        let mut command = uv.command();
        // Its scripts look for the interpreter beside them, so that they are right in a container's own copy.
        command.args(["venv", "--seed", "--relocatable", "--python", python]).arg(root);
        command
    };
    let Err(first) = run(venv(version)).await else { return Ok(String::new()) };
    let mut command = uv.command();
    command.args(["python", "list", "--only-installed", "--output-format", "json"]);
    let listed = run(command).await?;
    let Some(nearest) = nearest(&String::from_utf8_lossy(&listed.stdout), version) else { return Err(first) };
    run(venv(&nearest)).await?;
    Ok(format!("Python {version} is not here and could not be fetched; Python {nearest} is used instead"))
}

/// The installed version whose minor number is closest to the wanted one.
fn nearest(listed: &str, version: &str) -> Option<String> {
    let wanted: i64 = version.split('.').nth(1)?.parse().ok()?;
    let rows: Vec<serde_json::Value> = serde_json::from_str(listed).ok()?;
    let versions = rows.iter().filter_map(|row| row["version"].as_str().map(str::to_owned));
    let minor = |version: &str| version.split('.').nth(1)?.parse::<i64>().ok();
    let known = versions.filter(|version| version.starts_with("3.") && minor(version).is_some());
    known.min_by_key(|version| minor(version).map_or(i64::MAX, |minor| (minor - wanted).abs()))
}

/// The program, and where it keeps what it has fetched.
struct Uv {
    program: PathBuf,
    cache: Option<PathBuf>,
}

impl Uv {
    /// `uv` from the path, or from an environment of its own that is made with the host's Python.
    async fn find(tools: &Path) -> Result<Self, String> {
        let mut uv = Self { program: find_uv(tools).await?, cache: None };
        // Files get a second name instead of a copy, where both lie in one file system.
        if std::env::var_os("UV_CACHE_DIR").is_none() {
            let mut command = uv.command();
            command.args(["cache", "dir"]);
            let usual = run(command).await.ok();
            let usual = usual.map(|output| PathBuf::from(String::from_utf8_lossy(&output.stdout).trim()));
            if usual.is_none_or(|usual| device(&usual) != device(tools)) {
                uv.cache = Some(tools.join("cache"));
            }
        }
        Ok(uv)
    }

    fn command(&self) -> Command {
        let mut command = Command::new(&self.program);
        command.envs(self.cache.as_ref().map(|cache| ("UV_CACHE_DIR", cache)));
        command
    }

    fn install(&self, root: &Path) -> Command {
        let mut command = self.command();
        command.args(["pip", "install", "--python"]).arg(root.join("bin/python"));
        command
    }
}

/// The file system that a path is in, or will be.
fn device(path: &Path) -> Option<u64> {
    path.ancestors().find_map(|path| std::fs::metadata(path).ok()).map(|meta| meta.dev())
}

async fn find_uv(tools: &Path) -> Result<PathBuf, String> {
    let mut probe = Command::new("uv");
    probe.arg("--version");
    if run(probe).await.is_ok() {
        return Ok(PathBuf::from("uv"));
    }
    let own = tools.join("uv/bin/uv");
    if own.is_file() {
        return Ok(own);
    }
    let hint = "install uv, or python3 with its venv module, to run images of Python";
    let mut venv = Command::new("python3");
    venv.args(["-m", "venv"]).arg(tools.join("uv"));
    run(venv).await.map_err(|error| format!("{error}; {hint}"))?;
    let mut install = Command::new(tools.join("uv/bin/python"));
    install.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "uv"]);
    run(install).await.map_err(|error| format!("{error}; {hint}"))?;
    Ok(own)
}

async fn run(mut command: Command) -> Result<Output, String> {
    let name = command.as_std().get_program().to_string_lossy().into_owned();
    command.stdin(std::process::Stdio::null()).kill_on_drop(true);
    let output = command.output().await.map_err(|error| format!("cannot run {name}: {error}"))?;
    if output.status.success() {
        return Ok(output);
    }
    let text = String::from_utf8_lossy(&output.stderr);
    let is_told = |line: &&str| !line.trim().is_empty() && !line.starts_with("Using Python ");
    let last: Vec<&str> = text.lines().filter(is_told).collect();
    let last = last[last.len().saturating_sub(5)..].join("; ");
    Err(format!("{name} failed ({}): {last}", output.status))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_version_is_the_one_with_the_closest_minor_number() {
        let listed = r#"[{"version": "3.9.1"}, {"version": "3.13.0"}, {"version": "2.7.18"}]"#;
        assert_eq!(nearest(listed, "3.12").as_deref(), Some("3.13.0"));
        assert_eq!(nearest(listed, "3.10.4").as_deref(), Some("3.9.1"));
        assert_eq!(nearest("[]", "3.10"), None);
    }
}
