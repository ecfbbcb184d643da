//! A launcher as a process, and the control plane's routes for it on a socket, with steps that are held in memory.

use std::{
    collections::{BTreeMap, VecDeque},
    fs,
    net::SocketAddr,
    os::unix::process::ExitStatusExt,
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    sync::{Arc, Mutex},
    time::Duration,
};

use ferroflow_pipelines::{
    controller::{StepError, Steps},
    core::{
        step::{AUDIENCE, Begin, OutputFile, OutputParameter, Report, StepClaims, Verdict, WorkOrder},
        token::TokenKey,
        value::Artifact,
    },
    http::launcher::Launchers,
};
use ferroflow_platform::{
    blob::Blobs,
    clock::{Clock, SystemClock},
    http::{Plain, serve},
    task::{Group, Kind},
};
use tokio::net::TcpListener;

/// Where the outputs of the one task are stored.
pub const ROOT: &str = "minio://mlpipeline/run/task";

/// One task, in memory.
#[derive(Clone, Default)]
pub struct OneStep(pub Arc<Mutex<State>>);

#[derive(Default)]
pub struct State {
    pub command: Vec<String>,
    pub inputs: Vec<&'static str>,
    pub parameters: Vec<&'static str>,
    pub artifacts: Vec<&'static str>,
    /// Answered first, one for each request of any kind.
    pub refusals: VecDeque<StepError>,
    pub reports: Vec<Report>,
}

pub fn stale() -> StepError {
    StepError::Stale { task: "task".to_owned(), attempt: 0 }
}

impl OneStep {
    fn refusal(&self) -> Result<(), StepError> {
        self.0.lock().unwrap().refusals.pop_front().map_or(Ok(()), Err)
    }

    fn foreign<T>(what: &'static str, name: &str) -> Result<T, StepError> {
        Err(StepError::Foreign { task: "task".to_owned(), what, name: name.to_owned() })
    }
}

impl Steps for OneStep {
    async fn begin(&self, claims: &StepClaims, begin: Begin) -> Result<WorkOrder, StepError> {
        self.refusal()?;
        assert_eq!((claims.run.as_str(), claims.task.as_str(), claims.attempt), ("run", "task", 0));
        let root = begin.root.unwrap();
        let state = self.0.lock().unwrap();
        let path = |directory: &str, name: &str| format!("{root}/{directory}/{name}");
        let fill = |word: &String| word.replace("ROOT", &root);
        Ok(WorkOrder {
            command: state.command.iter().map(fill).collect(),
            directories: vec![format!("{root}/out"), format!("{root}/in")],
            inputs: state
                .inputs
                .iter()
                .map(|name| ferroflow_pipelines::core::step::InputFile {
                    artifact: (*name).to_owned(),
                    path: path("in", name),
                })
                .collect(),
            output_file: path("out", "executor_output.json"),
            parameters: state
                .parameters
                .iter()
                .map(|name| OutputParameter { name: (*name).to_owned(), path: path("parameters", name) })
                .collect(),
            artifacts: state
                .artifacts
                .iter()
                .map(|name| OutputFile { name: (*name).to_owned(), path: path("out", name) })
                .collect(),
        })
    }

    async fn input(&self, _claims: &StepClaims, artifact: &str) -> Result<Artifact, StepError> {
        self.refusal()?;
        if !self.0.lock().unwrap().inputs.contains(&artifact) {
            return Self::foreign("input", artifact);
        }
        Ok(Artifact {
            name: artifact.to_owned(),
            uri: format!("minio://mlpipeline/in/{artifact}"),
            ..Artifact::default()
        })
    }

    async fn output(&self, _claims: &StepClaims, name: &str) -> Result<String, StepError> {
        self.refusal()?;
        if !self.0.lock().unwrap().artifacts.contains(&name) {
            return Self::foreign("output", name);
        }
        Ok(format!("{ROOT}/{name}"))
    }

    async fn log(&self, _claims: &StepClaims) -> Result<String, StepError> {
        self.refusal()?;
        Ok("logs/run/task/0".to_owned())
    }

    async fn finish(&self, _claims: &StepClaims, report: Report) -> Result<Verdict, StepError> {
        self.refusal()?;
        let exit_code =
            if report.reason.is_empty() { 0 } else { report.exit_code.filter(|code| *code != 0).unwrap_or(1) };
        self.0.lock().unwrap().reports.push(report);
        Ok(Verdict { exit_code })
    }
}

pub struct Bench {
    pub directory: tempfile::TempDir,
    pub blobs: Blobs,
    pub step: OneStep,
    pub address: SocketAddr,
    group: Group,
    key: TokenKey,
}

impl Bench {
    /// Routes that are served, for a step that runs this script.
    pub async fn new(script: &str) -> Self {
        let mut bench = Self::away(script);
        bench.serve().await;
        bench
    }

    /// The same, before they are served.
    pub fn away(script: &str) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let blobs = Blobs::local(&directory.path().join("blobs")).unwrap();
        let step = OneStep::default();
        step.0.lock().unwrap().command = ["sh", "-ec", script].map(str::to_owned).to_vec();
        let address = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        Self { directory, blobs, step, address, group: Group::new(), key: TokenKey::new(&[3; 32]) }
    }

    pub async fn serve(&mut self) {
        let listener = TcpListener::bind(self.address).await.unwrap();
        let launchers = Launchers::new(self.step.clone(), self.blobs.clone(), self.key.clone(), SystemClock::shared());
        let answer = move |request| {
            let launchers = launchers.clone();
            async move { launchers.answer(request).await }
        };
        self.group.spawn("routes", Kind::Transient, serve(self.group.clone(), "routes", listener, Plain, answer));
    }

    pub fn outputs(&self, parameters: &[&'static str], artifacts: &[&'static str]) -> &Self {
        let mut state = self.step.0.lock().unwrap();
        state.parameters = parameters.to_vec();
        state.artifacts = artifacts.to_vec();
        drop(state);
        self
    }

    pub fn inputs(&self, inputs: &[&'static str]) -> &Self {
        self.step.0.lock().unwrap().inputs = inputs.to_vec();
        self
    }

    pub fn refusing(&self, refusals: impl IntoIterator<Item = StepError>) -> &Self {
        self.step.0.lock().unwrap().refusals = refusals.into_iter().collect();
        self
    }

    pub fn work(&self) -> PathBuf {
        self.directory.path().join("work")
    }

    /// A token that is good for so many seconds.
    pub fn token(&self, seconds: i64) -> String {
        let exp = SystemClock.now().as_second() + seconds;
        let (run, task) = ("run".to_owned(), "task".to_owned());
        self.key.sign(&StepClaims { aud: AUDIENCE.to_owned(), run, task, attempt: 0, exp })
    }

    pub fn command(&self, token: &str) -> Command {
        fs::create_dir_all(self.work()).unwrap();
        let mut command = Command::new(env!("FERROFLOW_LAUNCHER"));
        command.env_clear().env("PATH", "/usr/local/bin:/usr/bin:/bin").env("FERROFLOW_WORK", self.work());
        command.env("FERROFLOW_ENDPOINT", format!("http://{}/pipeline", self.address));
        command.env("FERROFLOW_STEP_TOKEN", token).stdin(Stdio::null());
        command
    }

    /// Runs the launcher to its end.
    pub async fn run(&self) -> Ran {
        self.run_with(&self.token(600)).await
    }

    pub async fn run_with(&self, token: &str) -> Ran {
        let mut command = self.command(token);
        let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        self.wait(child).await
    }

    /// Runs the launcher to its end, and returns its exit code and the most memory that it has had, in KiB.
    pub async fn run_measured(&self) -> (i32, i64) {
        let mut command = self.command(&self.token(600));
        let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let mut used = 0;
        for _ in 0..60_000 {
            // What it had before its end is as good as all; what wait4 says would count this process before exec.
            used = peak(&child.id().to_string()).unwrap_or(used);
            if let Some(status) = child.try_wait().unwrap() {
                return (status.code().unwrap(), used);
            }
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        panic!("the launcher hangs");
    }

    pub async fn wait(&self, child: Child) -> Ran {
        let output = tokio::task::spawn_blocking(move || child.wait_with_output().unwrap());
        let Output { status, stdout, stderr } =
            tokio::time::timeout(Duration::from_secs(120), output).await.expect("the launcher hangs").unwrap();
        let code = status.code().unwrap_or_else(|| 1000 + status.signal().unwrap());
        let text = |bytes: &[u8]| String::from_utf8_lossy(&bytes[..bytes.len().min(100_000)]).into_owned();
        let reports = std::mem::take(&mut self.step.0.lock().unwrap().reports);
        Ran { code, out: text(&stdout), errors: text(&stderr), reports }
    }

    /// What is stored at a place; `None` where there is nothing.
    pub async fn stored(&self, place: &str) -> Option<String> {
        let bytes = self.blobs.read(place, 1 << 30).await.unwrap()?;
        Some(String::from_utf8_lossy(&bytes).into_owned())
    }

    pub async fn store(&self, place: &str, text: &str) {
        self.blobs.put_bytes(place, text.to_owned().into()).await.unwrap();
    }
}

/// How it went.
#[derive(Debug)]
pub struct Ran {
    pub code: i32,
    pub out: String,
    pub errors: String,
    pub reports: Vec<Report>,
}

impl Ran {
    /// The one report.
    pub fn report(&self) -> &Report {
        assert_eq!(self.reports.len(), 1, "{self:?}");
        &self.reports[0]
    }
}

/// The parameters of a report.
pub fn parameters(report: &Report) -> BTreeMap<&str, &str> {
    report.parameters.iter().map(|(name, text)| (name.as_str(), text.as_str())).collect()
}

/// Whether there is a process of this id that has not ended.
pub fn lives(pid: &str) -> bool {
    let stat = fs::read_to_string(Path::new("/proc").join(pid.trim()).join("stat")).unwrap_or_default();
    stat.rsplit_once(')').is_some_and(|(_, rest)| !rest.trim_start().starts_with(['Z', 'X']))
}

/// The most memory that a process has had, in KiB.
pub fn peak(pid: &str) -> Option<i64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.trim().trim_end_matches(" kB").parse().ok()
}
