//! Python environments, by `uv`: the one on the path, or one that is installed beside the environments.

use std::{
    path::{Path, PathBuf},
    process::Output,
};

use tokio::process::Command;

use super::Made;

/// Written when an environment is whole; holds the warning that belongs to it.
const MARKER: &str = ".ferroflow-complete";

/// Whether an environment is whole.
pub fn is_complete(root: &Path) -> bool {
    root.join(MARKER).is_file()
}

/// Makes an environment at `root`, or finds it there.
///
/// # Errors
/// What `uv` said.
pub async fn make(tools: &Path, root: &Path, version: &str, requirements: &[String]) -> Result<Made, String> {
    if let Ok(warning) = std::fs::read_to_string(root.join(MARKER)) {
        return Ok(made(root, warning));
    }
    let uv = find_uv(tools).await?;
    // A half-made one is of no use.
    match std::fs::remove_dir_all(root) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            return Err(format!("cannot remove {}: {error}", root.display()));
        }
        _ => {}
    }
    let warning = make_base(&uv, root, version).await?;
    if !requirements.is_empty() {
        let mut command = Command::new(&uv);
        command.args(["pip", "install", "--python"]).arg(root.join("bin/python")).args(requirements);
        run(command).await?;
    }
    std::fs::write(root.join(MARKER), &warning).map_err(|error| format!("cannot write {}: {error}", root.display()))?;
    Ok(made(root, warning))
}

fn made(root: &Path, warning: String) -> Made {
    Made { bin: root.join("bin"), root: root.to_owned(), warning: (!warning.is_empty()).then_some(warning) }
}

/// Makes the bare environment: of the version that was asked for, else of the nearest that is here.
/// Returns a warning when it is not the one.
async fn make_base(uv: &Path, root: &Path, version: &str) -> Result<String, String> {
    let venv = |python: &str| {
        let mut command = Command::new(uv);
        command.args(["venv", "--seed", "--python", python]).arg(root);
        command
    };
    let Err(first) = run(venv(version)).await else { return Ok(String::new()) };
    let mut command = Command::new(uv);
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

/// `uv` from the path, or from an environment of its own that is made with the host's Python.
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
    let last: Vec<&str> = text.lines().filter(|line| !line.trim().is_empty()).collect();
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
