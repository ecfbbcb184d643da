//! Repository checks, code generation, tests side by side and a real cluster to test on: `cargo xtask <command>`.

mod cluster;
mod generate;
mod suite;
mod tidy;

use std::{
    path::{Path, PathBuf},
    process::{Command, ExitCode},
};

use anyhow::{Context, ensure};

const USAGE: &str = "usage: cargo xtask tidy [--sizes] | generate | test … | skips | cluster …";

fn main() -> anyhow::Result<ExitCode> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().context("the repository")?;
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    match words[..] {
        ["tidy"] => {
            let faults = tidy::check(root)?;
            for fault in &faults {
                eprintln!("{}", fault.0);
            }
            println!("{}, {} failed", if faults.is_empty() { "1 passed" } else { "0 passed" }, faults.len());
            Ok(if faults.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
        }
        ["tidy", "--sizes"] => {
            print!("{}", tidy::sizes(root)?);
            Ok(ExitCode::SUCCESS)
        }
        ["generate"] => {
            let kubernetes = module(root, "k8s.io/kubernetes")?;
            let api = module(root, "k8s.io/api")?;
            generate::run(&kubernetes, &api, &root.join("crates/cluster/data/schema.txt"))?;
            Ok(ExitCode::SUCCESS)
        }
        ["test", ref rest @ ..] => suite::run(root, rest),
        ["skips"] => {
            let said = std::io::read_to_string(std::io::stdin()).context("what a program of tests said")?;
            suite::skips(&said).iter().for_each(|skip| println!("skipped {skip}"));
            Ok(ExitCode::SUCCESS)
        }
        ["cluster", ref rest @ ..] => cluster::run(root, rest),
        _ => {
            eprintln!("{USAGE}");
            Ok(ExitCode::from(2))
        }
    }
}

/// Where the Go tool keeps a module that the conformance module requires.
fn module(root: &Path, name: &str) -> anyhow::Result<PathBuf> {
    let mut command = Command::new("go");
    command.args(["list", "-m", "-f", "{{.Dir}}", name]).current_dir(root.join("conformance/kubernetes"));
    let output = command.output().context("the Go tool is needed to find the sources of Kubernetes")?;
    ensure!(output.status.success(), "go list {name}: {}", String::from_utf8_lossy(&output.stderr));
    Ok(PathBuf::from(String::from_utf8(output.stdout)?.trim()))
}
