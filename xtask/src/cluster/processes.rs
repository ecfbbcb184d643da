//! The processes of a cluster, as the first process of their namespace starts, watches and reaps them.

use std::{
    collections::BTreeMap,
    fs::File,
    net::{SocketAddr, TcpStream},
    path::PathBuf,
    process::{Command, Stdio},
    time::Duration,
};

use anyhow::{Context, bail};
use rustix::process::{WaitOptions, WaitStatus, wait};

use super::wait::until;

/// How long each part may take to answer; on an idle machine all together take a tenth of it.
const LIMIT: Duration = Duration::from_secs(120);
/// How many lines of a log are told when its program ends.
const TOLD_LINES: usize = 12;
/// How often programs that somebody has killed are started again, all together: more often than tests kill them.
const RESTARTS: usize = 100;

/// Whether a program may end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// It runs as long as the cluster. Where it is killed by a signal it is started again, as what keeps the services of a
    /// machine running does; where it ends by itself, the cluster has failed.
    Never,
    /// It ends when its work is done.
    WhenDone,
}

struct Running {
    name: String,
    ending: Ending,
    command: Box<Command>,
}

/// The programs that run, and those that are done.
pub struct Processes {
    logs: PathBuf,
    running: BTreeMap<i32, Running>,
    done: Vec<String>,
    restarts: usize,
}

impl Processes {
    /// None yet; each will write to `NAME.log` in `logs`.
    pub fn new(logs: PathBuf) -> Self {
        Self { logs, running: BTreeMap::new(), done: Vec::new(), restarts: 0 }
    }

    /// Starts a program.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn start(&mut self, name: &str, ending: Ending, command: impl Into<Box<Command>>) -> anyhow::Result<()> {
        // A log of an earlier cluster is another one's.
        File::create(self.log(name)).with_context(|| name.to_owned())?;
        self.spawn(Running { name: name.to_owned(), ending, command: command.into() })
    }

    fn spawn(&mut self, mut program: Running) -> anyhow::Result<()> {
        let log = File::options().append(true).open(self.log(&program.name)).with_context(|| program.name.clone())?;
        program.command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        let child = program.command.spawn();
        let child = child.with_context(|| format!("start {:?}", program.command.get_program()))?;
        let pid = i32::try_from(child.id()).context("a process number")?;
        self.running.insert(pid, program);
        Ok(())
    }

    /// Takes note of what ended, orphans of containers included.
    ///
    /// # Errors
    /// When a program ended that never should, or one failed; with the end of its log.
    pub fn check(&mut self) -> anyhow::Result<()> {
        while !self.running.is_empty() {
            match wait(WaitOptions::NOHANG) {
                Ok(Some((pid, status))) => self.ended(pid.as_raw_nonzero().get(), status)?,
                Ok(None) => break,
                Err(error) => return Err(error).context("wait for processes"),
            }
        }
        Ok(())
    }

    /// Waits for the next end of a process, and takes note of it.
    ///
    /// # Errors
    /// As [`Processes::check`].
    pub fn wait_next(&mut self) -> anyhow::Result<()> {
        match wait(WaitOptions::empty()).context("wait for processes")? {
            Some((pid, status)) => self.ended(pid.as_raw_nonzero().get(), status),
            None => Ok(()),
        }
    }

    /// Asks `look` until it answers, as long as every program runs that should.
    ///
    /// # Errors
    /// As [`Processes::check`] and [`until`].
    pub fn until<T>(&mut self, what: &str, mut look: impl FnMut() -> anyhow::Result<Option<T>>) -> anyhow::Result<T> {
        until(what, LIMIT, || {
            self.check()?;
            look()
        })
    }

    /// Waits until something listens.
    ///
    /// # Errors
    /// As [`Processes::until`].
    pub fn listening(&mut self, what: &str, address: SocketAddr) -> anyhow::Result<()> {
        self.until(what, || Ok(TcpStream::connect(address).ok()))?;
        Ok(())
    }

    /// Waits until programs are done.
    ///
    /// # Errors
    /// As [`Processes::until`].
    pub fn done(&mut self, what: &str, names: &[&str]) -> anyhow::Result<()> {
        until(what, LIMIT, || {
            self.check()?;
            Ok(names.iter().all(|name| self.done.iter().any(|done| done == name)).then_some(()))
        })
    }

    fn ended(&mut self, pid: i32, status: WaitStatus) -> anyhow::Result<()> {
        let Some(process) = self.running.remove(&pid) else { return Ok(()) };
        if process.ending == Ending::WhenDone && status.exit_status() == Some(0) {
            self.done.push(process.name);
            return Ok(());
        }
        if process.ending == Ending::Never && status.terminating_signal().is_some() && self.restarts < RESTARTS {
            self.restarts += 1;
            return self.spawn(process);
        }
        let how = match (status.exit_status(), status.terminating_signal()) {
            (Some(code), _) => format!("with status {code}"),
            (_, Some(signal)) => format!("by signal {signal}"),
            _ => "for an unknown reason".to_owned(),
        };
        bail!("{} ended {how}:\n{}", process.name, self.tail(&process.name))
    }

    fn log(&self, name: &str) -> PathBuf {
        self.logs.join(format!("{name}.log"))
    }

    fn tail(&self, name: &str) -> String {
        let text = std::fs::read_to_string(self.log(name)).unwrap_or_default();
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(TOLD_LINES)..].join("\n")
    }
}
