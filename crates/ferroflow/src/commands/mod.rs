//! One file a command.

mod doctor;
mod down;
mod env;
mod export;
pub mod images;
mod import;
mod install;
mod pipelines;
mod reset;
mod run;
mod runs;
mod server;
mod status;
mod up;

use std::process::ExitCode;

use clap::CommandFactory;

use crate::{
    args::{Args, Command},
    paths,
};

/// Runs the command that was given.
pub fn run(args: Args) -> anyhow::Result<ExitCode> {
    let data = paths::data_directory(args.data_dir)?;
    match args.command {
        Command::Up(up) if up.detach => up::detached(&data, &up),
        Command::Up(up) => up::foreground(&data, &up),
        Command::Server(server) => server::run(&data, &server),
        Command::Install(plan) => install::run(&plan),
        Command::Uninstall(uninstall) => install::remove(&uninstall),
        Command::Doctor(doctor) => doctor::run(&doctor),
        Command::Down(down) => down::run(&data, &down),
        Command::Status(status) => status::run(&data, &status),
        Command::Images(images) => images::run(&data, images),
        Command::Run(run) => run::run(&data, &run),
        Command::Runs(runs) => runs::run(&data, runs),
        Command::Pipelines(pipelines) => pipelines::run(&data, pipelines),
        Command::Export(given) => export::run(&data, &given),
        Command::Import(given) => import::run(&data, &given),
        Command::Env => env::run(&data),
        Command::Reset(reset) => reset::run(&data, &reset),
        Command::Version => {
            println!("ferroflow {}", env!("CARGO_PKG_VERSION"));
            println!("kubernetes {}", ferroflow_api::names::KUBERNETES_VERSION);
            Ok(ExitCode::SUCCESS)
        }
        Command::Completions { shell } => {
            clap_complete::generate(shell, &mut Args::command(), "ferroflow", &mut std::io::stdout());
            Ok(ExitCode::SUCCESS)
        }
    }
}
