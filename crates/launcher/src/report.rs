//! How it went, as the control plane wants it told.

use serde_json::{Map, Value, json, value::RawValue};

use crate::sys::Ended;

/// What went wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// In a word, of those that `Report` of the control plane lists.
    pub reason: &'static str,
    pub message: String,
}

impl Failure {
    /// A failure.
    pub fn new(reason: &'static str, message: impl Into<String>) -> Self {
        Self { reason, message: message.into() }
    }
}

/// A report in the making.
#[derive(Debug, Default)]
pub struct Report {
    pub exit_code: Option<i32>,
    pub failure: Option<Failure>,
    pub output: Option<Box<RawValue>>,
    pub parameters: Map<String, Value>,
    pub artifacts: Map<String, Value>,
}

impl Report {
    /// The exit code where the control plane has none to give.
    pub fn own_exit_code(&self) -> u8 {
        match (&self.failure, self.exit_code) {
            (None, _) => 0,
            (Some(_), Some(code)) if code != 0 => u8::try_from(code).unwrap_or(1),
            (Some(_), _) => 1,
        }
    }

    /// As JSON. What the program left goes in as it is: it may be large, and is checked at the other end.
    pub fn text(&self) -> String {
        let (reason, message) = match &self.failure {
            Some(failure) => (failure.reason, failure.message.as_str()),
            None => ("", ""),
        };
        let report = json!({
            "exit_code": self.exit_code,
            "reason": reason,
            "message": message,
            "parameters": self.parameters,
            "artifacts": self.artifacts,
        });
        let mut text = report.to_string();
        if let Some(output) = &self.output {
            text.pop();
            text.push_str(",\"output\":");
            text.push_str(output.get());
            text.push('}');
        }
        text
    }
}

/// The exit code of how a program ended, as shells have it.
pub fn exit_code(ended: Ended) -> i32 {
    match ended {
        Ended::Code(code) => code,
        Ended::Signal(signal) => 128 + signal,
    }
}

/// The name of a signal.
pub fn signal_name(signal: i32) -> String {
    let known = [
        (libc::SIGHUP, "SIGHUP"),
        (libc::SIGINT, "SIGINT"),
        (libc::SIGQUIT, "SIGQUIT"),
        (libc::SIGILL, "SIGILL"),
        (libc::SIGTRAP, "SIGTRAP"),
        (libc::SIGABRT, "SIGABRT"),
        (libc::SIGBUS, "SIGBUS"),
        (libc::SIGFPE, "SIGFPE"),
        (libc::SIGKILL, "SIGKILL"),
        (libc::SIGSEGV, "SIGSEGV"),
        (libc::SIGPIPE, "SIGPIPE"),
        (libc::SIGALRM, "SIGALRM"),
        (libc::SIGTERM, "SIGTERM"),
        (libc::SIGXCPU, "SIGXCPU"),
        (libc::SIGXFSZ, "SIGXFSZ"),
        (libc::SIGSYS, "SIGSYS"),
    ];
    let name = known.iter().find(|(number, _)| *number == signal);
    name.map_or_else(|| format!("signal {signal}"), |(_, name)| (*name).to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_is_json_with_what_the_program_left() {
        let output = RawValue::from_string(r#"{"parameterValues":{"n":1.0}}"#.to_owned()).unwrap();
        let report = Report {
            exit_code: Some(3),
            failure: Some(Failure::new("Error", "exit code 3")),
            output: Some(output),
            ..Report::default()
        };
        let value: Value = serde_json::from_str(&report.text()).unwrap();
        assert_eq!(value["output"]["parameterValues"]["n"], 1.0);
        assert_eq!(value["reason"], "Error");
        assert_eq!(report.own_exit_code(), 3);
        let value: Value = serde_json::from_str(&Report::default().text()).unwrap();
        assert_eq!(value, json!({"exit_code": null, "reason": "", "message": "", "parameters": {}, "artifacts": {}}));
    }
}
