//! The binary: command line, configuration, wiring. The only crate that knows all others.

mod args;
mod artifacts;
mod certificate;
mod commands;
mod deploy;
mod gateway;
mod image_args;
mod image_names;
mod images_file;
mod install_args;
mod launcher;
mod moving;
mod moving_args;
mod own_image;
mod paths;
mod pipeline_args;
mod problem;
mod record;
mod records;
mod replica;
mod wiring;

use std::process::ExitCode;

use clap::Parser;
use mimalloc::MiMalloc;

/// The server lives by building and dropping objects of JSON, on many threads: the C library's allocator took a quarter of its
/// time, and gave back little of what a burst had needed.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

fn main() -> ExitCode {
    // A pod's supervisor is this same program; it must be chosen before any thread exists.
    let mut words = std::env::args_os();
    if words.nth(1).is_some_and(|word| word == ferroflow_node::SHIM_SUBCOMMAND) {
        return ferroflow_node::shim_main(words);
    }
    let args = args::Args::parse();
    match commands::run(args) {
        Ok(code) => code,
        Err(error) => problem::report(&error),
    }
}
