//! A step from its beginning to its end.

use std::{env, path::Path};

use serde_json::{Value, json};

use crate::{
    client::Client,
    control::{Control, Stop},
    inputs, large,
    log::Log,
    order::Order,
    outputs::{self, Problem},
    report::{Failure, Report},
    run,
    sys::{self, Signals},
    walk::Roots,
};

/// The variables that a step's pod has, and where its directory lies unless one says otherwise: as in the control plane.
const ENDPOINT: &str = "FERROFLOW_ENDPOINT";
const TOKEN: &str = "FERROFLOW_STEP_TOKEN";
const WORK: &str = "FERROFLOW_WORK";
const WORK_DEFAULT: &str = "/ferroflow/work";

/// The exit code where the control plane wants nothing more of this attempt, or it could not begin.
const GAVE_UP: u8 = 1;
/// The exit code after SIGTERM, as shells have it.
const TERMINATED: u8 = 128 + 15;

/// Runs the step that the environment speaks of. Returns the exit code.
pub fn main() -> u8 {
    match begin() {
        Ok(mut step) => match step.run() {
            Ok(code) => code,
            Err(stop) => step.give_up(&stop),
        },
        Err(why) => {
            eprintln!("ferroflow-launcher: {why}");
            GAVE_UP
        }
    }
}

struct Step {
    control: Control,
    work: String,
    report: Report,
    /// The exit code where somebody else ended the program.
    foreign: Option<u8>,
}

fn begin() -> Result<Step, String> {
    let variable = |name: &str| {
        env::var(name).map_err(|_| format!("the variable {name} is not set; only the control plane's pods start this"))
    };
    let (endpoint, token) = (variable(ENDPOINT)?, variable(TOKEN)?);
    let client = Client::new(&endpoint, &token).map_err(|why| format!("{ENDPOINT}: {why}"))?;
    let failed = |what: &str, error: std::io::Error| format!("{what}: {error}");
    let signals = Signals::take().map_err(|error| failed("signals", error))?;
    sys::hide().map_err(|error| failed("environment", error))?;
    sys::adopt_orphans().map_err(|error| failed("orphans", error))?;
    let work = env::var(WORK).ok().filter(|work| !work.is_empty()).unwrap_or_else(|| WORK_DEFAULT.to_owned());
    let control = Control::new(client, &token, signals);
    Ok(Step { control, work, report: Report::default(), foreign: None })
}

impl Step {
    fn run(&mut self) -> Result<u8, Stop> {
        let root = (self.work != WORK_DEFAULT).then_some(self.work.as_str());
        let begin = root.map_or(json!({}), |root| json!({"root": root}));
        let order = self.control.post("begin", begin.to_string().as_bytes())?;
        let Some(order) = Order::read(&order) else {
            self.report.failure =
                Some(Failure::new("Error", "the work order cannot be read; is the launcher too old?"));
            return self.finish();
        };
        match self.prepare(&order)? {
            Ok(missing) => self.execute(&order, &missing)?,
            Err(failure) => {
                eprintln!("ferroflow-launcher: {}", failure.message);
                self.report.failure = Some(failure);
            }
        }
        self.finish()
    }

    fn prepare(&mut self, order: &Order) -> Result<Result<Vec<String>, Failure>, Stop> {
        if let Err(error) = inputs::directories(order) {
            return Ok(Err(Failure::new("Error", error.to_string())));
        }
        match inputs::fetch(&mut self.control, &order.inputs) {
            Ok(missing) => {
                missing.iter().for_each(|said| eprintln!("ferroflow-launcher: {said}"));
                Ok(Ok(missing))
            }
            Err(Stop::Own(error)) => Ok(Err(Failure::new("Input", format!("an input cannot be written: {error}")))),
            Err(Stop::Refused(_, said)) => Ok(Err(Failure::new("Input", said))),
            Err(stop) => Err(stop),
        }
    }

    fn execute(&mut self, order: &Order, missing: &[String]) -> Result<(), Stop> {
        let files = order.parameters.iter().chain(&order.artifacts).map(|named| named.path.as_str());
        let parents = files.chain([order.output_file.as_str()]).filter_map(|file| Path::new(file).parent());
        let directories = order.directories.iter().map(Path::new);
        let roots = Roots::new(directories.chain(parents).chain([Path::new(&self.work)]));
        let command = match large::rewrite(order.command.clone(), Path::new(&self.work)) {
            Ok(command) => command,
            Err(error) => {
                self.report.failure =
                    Some(Failure::new("Error", format!("long arguments cannot be set down: {error}")));
                return Ok(());
            }
        };
        let outcome = run::run(&command, self.control.signals());
        self.foreign = outcome.foreign;
        self.report.exit_code = outcome.exit_code;
        self.report.failure = outcome.failure.map(|failure| with_missing(failure, missing));
        let mut log = outcome.log;
        if self.report.failure.is_none()
            && let Err(failure) = self.collect(order, &roots)?
        {
            let line = format!("ferroflow-launcher: {}\n", failure.message);
            eprint!("{line}");
            log.add(line.as_bytes());
            self.report.failure = Some(failure);
        }
        self.keep(&mut log)
    }

    fn collect(&mut self, order: &Order, roots: &Roots) -> Result<Result<(), Failure>, Stop> {
        if let Err(failure) = outputs::collect(order, roots, &mut self.report) {
            return Ok(Err(failure));
        }
        match outputs::upload(&mut self.control, order, roots, &mut self.report) {
            Ok(()) => Ok(Ok(())),
            Err(Problem::Failure(failure)) => Ok(Err(failure)),
            Err(Problem::Stop(Stop::Refused(status, said))) => {
                Ok(Err(Failure::new("Output", format!("outputs are not taken ({status}): {said}"))))
            }
            Err(Problem::Stop(stop)) => Err(stop),
        }
    }

    /// Uploads the log. That it is not taken is no reason for a step to fail.
    fn keep(&mut self, log: &mut Log) -> Result<(), Stop> {
        log.settle();
        let mark = log.mark();
        let length = log.length(&mark);
        if length == 0 {
            return Ok(());
        }
        match self.control.put_file("log", length, || Ok(log.reader(&mark))) {
            Ok(_) => Ok(()),
            Err(Stop::Refused(status, said)) => {
                eprintln!("ferroflow-launcher: the log is not kept ({status}): {said}");
                Ok(())
            }
            Err(stop) => Err(stop),
        }
    }

    /// Reports; but where the program was ended from outside (the pod's deadline, an eviction, the kernel for want of memory,
    /// a node that is stopped), the pod's own status says why, and the attempt ends without a word from here.
    fn finish(&mut self) -> Result<u8, Stop> {
        if let Some(code) = self.foreign {
            return Ok(code);
        }
        match self.control.post("finish", self.report.text().as_bytes()) {
            Ok(verdict) => {
                let code = verdict.get("exit_code").and_then(Value::as_i64);
                Ok(code.map_or(self.report.own_exit_code(), |code| u8::try_from(code).unwrap_or(GAVE_UP)))
            }
            Err(stop) => Err(stop),
        }
    }

    /// Says why this attempt ends without a result, and returns the exit code.
    fn give_up(&self, stop: &Stop) -> u8 {
        let (why, code) = match stop {
            Stop::Stale(said) => (format!("this attempt is no longer wanted: {said}"), self.report.own_exit_code()),
            Stop::Void(said) => (format!("the step's token is void: {said}"), GAVE_UP),
            Stop::Told => ("the pod is being ended while the control plane is away".to_owned(), TERMINATED),
            Stop::Refused(status, said) => (format!("the control plane refuses ({status}): {said}"), GAVE_UP),
            Stop::Own(error) => (error.to_string(), GAVE_UP),
        };
        eprintln!("ferroflow-launcher: {why}");
        code
    }
}

/// A program that fails after one of its inputs was not there most likely fails for that.
fn with_missing(failure: Failure, missing: &[String]) -> Failure {
    let message = missing.iter().fold(failure.message, |message, said| format!("{message}\n{said}"));
    Failure { message, ..failure }
}
