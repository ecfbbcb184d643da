//! The program that runs inside a step's pod: it fetches what the step reads, runs it, and hands in what it made.

mod front;
#[allow(dead_code, reason = "what runs the step's program is yet to come")]
mod large;

use std::{env, path::Path, process::ExitCode};

fn main() -> ExitCode {
    let name = env::args_os().next().unwrap_or_default();
    if Path::new(&name).file_name().is_some_and(front::is_front) {
        return ExitCode::from(front::run() as u8);
    }
    ExitCode::SUCCESS
}
