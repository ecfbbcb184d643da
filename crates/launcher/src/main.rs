//! The program that runs inside a step's pod: it fetches what the step reads, runs it, and hands in what it made.
//!
//! It shares no code with the control plane, so that it stays small, is linked statically and starts within a
//! millisecond or two; what the two say to each other stands in `ferroflow_pipelines::core::step`. It has one thread, and
//! looks up no names: the control plane is an IP address.
//!
//! * `ferroflow-launcher` is a step's launcher ([`step`]).
//! * `ferroflow-launcher install DIR` copies the program to a directory, as an init container does.
//! * By another name it may play another role ([`front`]).

mod client;
mod control;
mod front;
mod inputs;
mod install;
#[allow(dead_code, reason = "the launcher is yet to call it")]
mod large;
mod log;
mod oom;
mod order;
mod outputs;
mod report;
mod run;
mod step;
mod sys;
mod tar;
mod token;
mod walk;
mod wire;

use std::{env, ffi::OsString, path::Path, process::ExitCode};

fn main() -> ExitCode {
    let words: Vec<OsString> = env::args_os().collect();
    // It comes back where the program is called by its own name.
    front::run();
    match words.get(1..).unwrap_or_default() {
        [] => ExitCode::from(step::main()),
        [verb, directory] if verb == "install" => install::main(Path::new(directory)),
        [verb] if verb == "--version" => {
            println!("ferroflow-launcher {}", env!("CARGO_PKG_VERSION"));
            ExitCode::SUCCESS
        }
        _ => {
            eprintln!("usage: ferroflow-launcher | ferroflow-launcher install DIR");
            ExitCode::from(2)
        }
    }
}
