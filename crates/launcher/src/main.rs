//! The program that runs inside a step's pod: it fetches what the step reads, runs it, and hands in what it made.
//!
//! It shares no code with the control plane, so that it stays small, is linked statically and starts within a
//! millisecond or two; what the two say to each other stands in `ferroflow_pipelines::core::step`. It has one thread, and
//! looks up no names: the control plane is an IP address.
//!
//! * `ferroflow-launcher` is a step's launcher ([`step`]).
//! * `ferroflow-launcher install DIR` copies the program to a directory, as an init container does.
//! * `ferroflow-launcher copy FROM TO` copies a directory, as an init container of another image does.
//! * By another name it may play another role ([`front`]).

mod client;
mod control;
mod copy;
mod front;
mod inputs;
mod install;
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
    let mut words: Vec<OsString> = env::args_os().collect();
    let name = if words.is_empty() { OsString::new() } else { words.remove(0) };
    if Path::new(&name).file_name().is_some_and(front::is_front) {
        return ExitCode::from(front::run() as u8);
    }
    match words.as_slice() {
        [] => ExitCode::from(step::main()),
        [verb, directory] if verb == "install" => install::main(Path::new(directory)),
        [verb, from, to] if verb == "copy" => copy::main(Path::new(from), Path::new(to)),
        [verb] if verb == "--version" => {
            println!("ferroflow-launcher {}", env!("CARGO_PKG_VERSION"));
            ExitCode::SUCCESS
        }
        _ => {
            eprintln!("usage: ferroflow-launcher | ferroflow-launcher install DIR | ferroflow-launcher copy FROM TO");
            ExitCode::from(2)
        }
    }
}
