//! From a file to a compiled pipeline: Python goes through the kfp SDK in an environment of its own.

use std::{
    ffi::OsStr,
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::Context;
use ferroflow_pipelines::core::ir::{Pipeline, read};
use ferroflow_platform::clock::{Clock, SystemClock};
use serde_json::Value;

use crate::{pipeline_args::Source, problem::Problem};

/// As much as the server takes.
const FILE_BYTES: u64 = 32 << 20;
/// What the environment has; the same that pipelines are tested with.
const REQUIREMENTS: &str = include_str!("requirements.txt");
const PROGRAM: &str = include_str!("compile.py");
/// The Python of the environment. Any that the SDK runs on would do, since steps run on their images' Python.
const PYTHON: &str = "3.11";
/// The exit code by which our program says that its last line is meant for the user.
const TOLD: i32 = 3;

/// A pipeline that can be sent.
pub struct Compiled {
    /// As the compiler wrote it.
    pub text: String,
    /// `{"pipeline_spec": …, "platform_spec": …}`
    pub document: Value,
    pub pipeline: Pipeline,
}

/// Reads a compiled pipeline, or compiles it first.
///
/// # Errors
/// When the file cannot be read, is none of both, or is no pipeline; with what the SDK said.
pub fn compiled(data: &Path, source: &Source) -> anyhow::Result<Compiled> {
    let file = &source.file;
    let shown = file.display();
    let size = fs::metadata(file).with_context(|| format!("\"{shown}\" cannot be read"))?.len();
    if size > FILE_BYTES {
        let what = format!("\"{shown}\" is larger than {} MiB, which is the most for a pipeline", FILE_BYTES >> 20);
        return Err(Problem::new(what, "keep data out of the pipeline: import it as an artifact").into());
    }
    let text = match file.extension().and_then(OsStr::to_str) {
        Some("py") => compile(data, source)?,
        Some("yaml" | "yml" | "json") => {
            fs::read_to_string(file).with_context(|| format!("\"{shown}\" cannot be read"))?
        }
        _ => {
            let what = format!("\"{shown}\" is neither Python nor a compiled pipeline");
            return Err(Problem::new(what, "give a file that ends in .py, .yaml, .yml or .json").into());
        }
    };
    let fault = |fault: ferroflow_pipelines::core::fault::Fault| {
        Problem::new(format!("\"{shown}\" is no pipeline: {fault}"), "compile it anew, or correct what is named")
    };
    let document = read::yaml(&text).map_err(fault)?;
    let pipeline = read::pipeline(&document).map_err(fault)?;
    Ok(Compiled { text, document, pipeline })
}

fn compile(data: &Path, source: &Source) -> anyhow::Result<String> {
    let python = match &source.python {
        Some(python) => python.clone(),
        None => environment(data)?,
    };
    let work = Scratch::new(data)?;
    let (program, out) = (work.0.join("compile.py"), work.0.join("pipeline.yaml"));
    fs::write(&program, PROGRAM).with_context(|| format!("\"{}\" cannot be written", program.display()))?;
    let mut command = Command::new(&python);
    command.arg(&program).arg(&source.file).arg(source.function.as_deref().unwrap_or_default()).arg(&out);
    // What the file prints is talk.
    let output = command.stdin(Stdio::null()).output();
    let output = output.with_context(|| format!("\"{}\" cannot be started", python.display()))?;
    let told = String::from_utf8_lossy(&output.stderr);
    if output.status.success() {
        eprint!("{}{told}", String::from_utf8_lossy(&output.stdout));
        return fs::read_to_string(&out).context("the compiled pipeline cannot be read");
    }
    let last = told.trim_end().lines().last().unwrap_or_default().to_owned();
    if output.status.code() == Some(TOLD) {
        return Err(Problem { what: last, hint: None, code: 1 }.into());
    }
    eprint!("{told}");
    let what = format!("\"{}\" cannot be compiled: {last}", source.file.display());
    Err(Problem::new(what, "the whole story stands above; --python takes another Python, with the packages it imports")
        .into())
}

/// The interpreter of the environment with the SDK; made where it is not there yet.
fn environment(data: &Path) -> anyhow::Result<PathBuf> {
    let digest = ferroflow_images::core::digest::Digest::of(REQUIREMENTS.as_bytes());
    let root = data.join("kfp").join(&digest.hex()[..16]);
    let interpreter = root.join("bin/python");
    if interpreter.exists() {
        return Ok(interpreter);
    }
    eprintln!("making the Python environment that pipelines are compiled in (once)");
    let work = Scratch::new(data)?;
    let part = work.0.join("environment");
    let requirements = work.0.join("requirements.txt");
    fs::write(&requirements, REQUIREMENTS).context("the requirements cannot be written")?;
    let python = part.join("bin/python");
    if run(Command::new("uv").args(["venv", "--quiet", "--relocatable", "--python", PYTHON]).arg(&part)).is_ok() {
        let mut install = Command::new("uv");
        install.args(["pip", "install", "--quiet", "--python"]).arg(&python).arg("--requirement").arg(&requirements);
        run(&mut install)?;
    } else {
        run(Command::new("python3").args(["-m", "venv"]).arg(&part))?;
        let mut install = Command::new(&python);
        install.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--requirement"]);
        run(install.arg(&requirements))?;
    }
    fs::create_dir_all(data.join("kfp")).context("the data directory cannot be written")?;
    // Only its interpreter is called, so it can be made beside its place and moved there whole. Another one that was made
    // meanwhile is as good.
    if let Err(error) = fs::rename(&part, &root) {
        anyhow::ensure!(interpreter.exists(), "\"{}\" cannot be made: {error}", root.display());
    }
    Ok(interpreter)
}

fn run(command: &mut Command) -> anyhow::Result<()> {
    let program = command.get_program().to_string_lossy().into_owned();
    let hint = "install uv (or Python 3.10 with venv), or give a Python that has kfp with --python";
    let output = command.stdin(Stdio::null()).output();
    let output = output.map_err(|error| Problem::new(format!("\"{program}\" cannot be started: {error}"), hint))?;
    if output.status.success() {
        return Ok(());
    }
    let told = String::from_utf8_lossy(&output.stderr);
    let last = told.trim_end().lines().last().unwrap_or_default();
    Err(Problem::new(format!("\"{program}\" failed: {last}"), hint).into())
}

/// A directory in the data directory that goes when this does.
struct Scratch(PathBuf);

impl Scratch {
    fn new(data: &Path) -> anyhow::Result<Self> {
        let name = format!("compile-{}-{}", std::process::id(), SystemClock.now().as_nanosecond());
        let path = data.join("kfp").join(name);
        fs::create_dir_all(&path).with_context(|| format!("\"{}\" cannot be made", path.display()))?;
        Ok(Self(path))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // What stays is in nobody's way.
        let _ = fs::remove_dir_all(&self.0);
    }
}
