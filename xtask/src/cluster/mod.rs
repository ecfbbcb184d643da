//! `cargo xtask cluster`: a real Kubernetes on this machine, built from source modules, and its end without a trace.

mod cache;
mod certificates;
mod cgroups;
mod containerd;
mod control_plane;
mod debian;
mod dns;
mod extra;
mod images;
mod index;
mod inside;
mod kubelet;
mod layout;
mod namespace;
mod postgres;
mod processes;
mod programs;
mod record;
mod roots;
mod s3;
mod service;
mod teardown;
mod wait;

use std::{
    fs::{self, File},
    os::unix::{fs::MetadataExt, process::CommandExt},
    path::{Path, PathBuf},
    process::{Command, ExitCode, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context, bail, ensure};
use rustix::fs::{FlockOperation, flock};

use self::{
    extra::Extra,
    layout::{Layout, MARK, Node},
    programs::Programs,
    record::{Phase, Record},
};

/// How the command is used.
pub const USAGE: &str = "usage: cargo xtask cluster <command>
  install [--with …]…        installs what is needed from Debian
  build [--with …]…          does so, builds programs and images, fetches packages
  up [--nodes 1|2] [--simulate NAME=COUNT]… [--with s3|postgres]… [--durable]
                             builds what is missing, then starts a cluster anew; with an S3 server or PostgreSQL in it
                             where asked for; durable as one in production, where it is to be measured
  down                       ends the cluster and removes all of it
  status                     tells how far it is, and how pods reach what stands beside it
  kubeconfig                 prints the path of its kubeconfig, which is of use inside of its network
  exec -- COMMAND…           runs a command in its network, with KUBECONFIG set
  images                     builds the images of suites and examples, and prints the paths of their archives
  images distributed         the same of the image of examples/distributed, which is large
  load ARCHIVE…              brings images into the nodes of the cluster
  lacking [--with …]…        tells what this machine lacks for a cluster, and fails when it lacks something";

/// How long a cluster may take to be ready; its parts have bounds of their own.
const UP_LIMIT: Duration = Duration::from_secs(300);

/// What `up` is asked for.
#[derive(Debug, PartialEq, Eq)]
struct Options {
    nodes: u8,
    simulated: Vec<String>,
    extras: Vec<Extra>,
    durable: bool,
}

/// What is there before a cluster starts.
struct Built {
    programs: Programs,
    images: Vec<PathBuf>,
    index: PathBuf,
}

/// Runs one command.
///
/// # Errors
/// What went wrong, in words for whoever called it.
pub fn run(repository: &Path, words: &[&str]) -> anyhow::Result<ExitCode> {
    match words {
        ["install", options @ ..] => debian::install(&parse_extras(options)?)?,
        ["build", options @ ..] => {
            build(repository, &parse_extras(options)?)?;
        }
        ["up", options @ ..] => up(repository, parse(options)?)?,
        ["down"] => down(&Layout::of_environment()?)?,
        ["status"] => return status(&Layout::of_environment()?),
        ["kubeconfig"] => println!("{}", running(&Layout::of_environment()?)?.0.display()),
        ["exec", "--", command @ ..] if !command.is_empty() => execute(&Layout::of_environment()?, command)?,
        ["images"] => {
            build(repository, &[])?.images.iter().for_each(|archive| println!("{}", archive.display()));
        }
        ["images", "distributed"] => {
            debian::install(&[])?;
            debian::require_root()?;
            println!("{}", images::distributed(&Programs::build(repository, &[])?)?.display());
        }
        ["load", archives @ ..] if !archives.is_empty() => load(&Layout::of_environment()?, archives)?,
        ["lacking", options @ ..] => {
            let lacking = lacking(&Layout::of_environment()?, &parse_extras(options)?);
            lacking.iter().for_each(|one| println!("{one}"));
            return Ok(if lacking.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE });
        }
        ["inside", start] => inside::run(&serde_json::from_str(start)?)?,
        _ => {
            eprintln!("{USAGE}");
            return Ok(ExitCode::from(2));
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn parse(words: &[&str]) -> anyhow::Result<Options> {
    let mut options = Options { nodes: 1, simulated: Vec::new(), extras: Vec::new(), durable: false };
    let mut words = words.iter();
    while let Some(word) = words.next() {
        if *word == "--durable" {
            options.durable = true;
            continue;
        }
        let value = words.next().copied().with_context(|| format!("{word} needs a value"))?;
        match *word {
            "--nodes" => {
                options.nodes =
                    value.parse().ok().filter(|nodes| (1..=2).contains(nodes)).context("--nodes is 1 or 2")?
            }
            "--simulate" if value.contains('=') => options.simulated.push(value.to_owned()),
            "--with" => {
                let extra = Extra::named(value)?;
                if !options.extras.contains(&extra) {
                    options.extras.push(extra);
                }
            }
            _ => bail!("{word} {value}: unknown\n{USAGE}"),
        }
    }
    Ok(options)
}

/// The options of commands that start nothing.
fn parse_extras(words: &[&str]) -> anyhow::Result<Vec<Extra>> {
    if let Some(word) = words.iter().step_by(2).find(|word| **word != "--with") {
        bail!("{word}: unknown here\n{USAGE}");
    }
    Ok(parse(words)?.extras)
}

/// What this machine lacks for a cluster with `extras`.
fn lacking(layout: &Layout, extras: &[Extra]) -> Vec<String> {
    let mut lacking = debian::lacking(extras);
    if extras.contains(&Extra::S3)
        && let Err(error) = s3::require_attributes(layout)
    {
        lacking.push(format!("{error:#}"));
    }
    lacking
}

fn build(repository: &Path, extras: &[Extra]) -> anyhow::Result<Built> {
    debian::install(extras)?;
    debian::require_root()?;
    let began = Instant::now();
    let programs = Programs::build(repository, extras)?;
    let index = index::build(repository)?;
    let images = images::build(repository, &programs, &index)?;
    eprintln!("programs, images and packages are there after {:.1} s", began.elapsed().as_secs_f64());
    Ok(Built { programs, images, index })
}

fn up(repository: &Path, options: Options) -> anyhow::Result<()> {
    let layout = Layout::of_environment()?;
    if options.extras.contains(&Extra::S3) {
        s3::require_attributes(&layout).context("missing")?;
    }
    let Built { programs, images, index } = build(repository, &options.extras)?;
    let Options { nodes, simulated, extras, durable } = options;
    let began = Instant::now();
    let _lock = lock(&layout)?;
    teardown::remove(&layout)?;
    fs::create_dir_all(layout.root())?;
    certificates::write(&layout, nodes)?;
    let start = inside::Start { layout: layout.clone(), nodes, programs, images, index, simulated, extras, durable };
    start_inside(&start)?;
    eprintln!("the cluster is ready after {:.1} s", began.elapsed().as_secs_f64());
    eprint!("{}", extra::told(&start.extras));
    println!("{}", layout.kubeconfig().display());
    Ok(())
}

/// Starts the first process of the cluster's namespaces, and waits until it says that the cluster is ready.
fn start_inside(start: &inside::Start) -> anyhow::Result<()> {
    let layout = &start.layout;
    let log = layout.path("start.log");
    let out = File::create(&log)?;
    let mut command = Command::new("unshare");
    command
        .args(["--mount", "--net", "--pid", "--ipc", "--uts", "--fork", "--kill-child", "--"])
        .arg(std::env::current_exe().context("this program")?)
        .args(["cluster", "inside"])
        .arg(serde_json::to_string(start)?)
        .env(MARK, layout.root())
        .env("TMPDIR", layout.path("tmp"))
        .env_remove("KUBECONFIG")
        .current_dir("/")
        .stdin(Stdio::null())
        .stdout(out.try_clone()?)
        .stderr(out)
        .process_group(0);
    let mut child = command.spawn().context("unshare")?;
    let outcome = wait::until("the cluster's start", UP_LIMIT, || {
        let ended = child.try_wait()?.is_some();
        match Record::read(layout)?.map(|record| record.phase) {
            Some(Phase::Ready) => Ok(Some(())),
            Some(Phase::Failed(why)) => bail!("{why}"),
            _ if ended => bail!("{}", fs::read_to_string(&log).unwrap_or_default().trim_end()),
            _ => Ok(None),
        }
    });
    eprint!("{}", fs::read_to_string(&log).unwrap_or_default());
    outcome.with_context(|| format!("the cluster did not start; logs are in {}", layout.path("log").display()))
}

fn down(layout: &Layout) -> anyhow::Result<()> {
    debian::require_root()?;
    let began = Instant::now();
    let _lock = lock(layout)?;
    teardown::remove(layout)?;
    eprintln!("the cluster is gone after {:.1} s", began.elapsed().as_secs_f64());
    Ok(())
}

/// Held while a cluster is started or removed. It is on the folder above, so that nothing of it stays.
fn lock(layout: &Layout) -> anyhow::Result<File> {
    let above = layout.root().parent().context("the cluster's folder is in one")?;
    fs::create_dir_all(above)?;
    let folder = File::open(above)?;
    let locked = flock(&folder, FlockOperation::NonBlockingLockExclusive);
    locked.with_context(|| format!("another `cargo xtask cluster` is at work in {}", above.display()))?;
    ensure!(folder.metadata()?.nlink() > 0, "{} was removed meanwhile", above.display());
    Ok(folder)
}

fn status(layout: &Layout) -> anyhow::Result<ExitCode> {
    let Some(record) = Record::read(layout)? else {
        println!("no cluster");
        return Ok(ExitCode::FAILURE);
    };
    if !teardown::is_running(layout, &record) {
        println!("ended; `cargo xtask cluster down` removes what is left");
        return Ok(ExitCode::FAILURE);
    }
    match record.phase {
        Phase::Starting => println!("starting, {} nodes", record.nodes),
        Phase::Ready => {
            println!("ready, nodes: {}, kubeconfig: {}", record.nodes, layout.kubeconfig().display());
            print!("{}", extra::told(&record.extras));
            return Ok(ExitCode::SUCCESS);
        }
        Phase::Failed(why) => println!("failed: {why}"),
    }
    Ok(ExitCode::FAILURE)
}

fn running(layout: &Layout) -> anyhow::Result<(PathBuf, Record)> {
    let record = Record::read(layout)?.filter(|record| teardown::is_running(layout, record));
    let record = record.context("no cluster runs; `cargo xtask cluster up` starts one")?;
    Ok((layout.kubeconfig(), record))
}

/// Brings archives of images into every node of the cluster that runs.
fn load(layout: &Layout, archives: &[&str]) -> anyhow::Result<()> {
    debian::require_root()?;
    let (_, record) = running(layout)?;
    for archive in archives {
        let archive = fs::canonicalize(archive).with_context(|| (*archive).to_owned())?;
        for node in Node::all(record.nodes) {
            let import = containerd::import(node, &archive);
            let mut command = Command::new("nsenter");
            command.arg(format!("--target={}", record.first_process)).args(["--mount", "--"]);
            command.arg(import.get_program()).args(import.get_args()).stdout(Stdio::null());
            let status = command.status().context("nsenter")?;
            ensure!(status.success(), "{} cannot be brought into node {}", archive.display(), node.name());
        }
    }
    Ok(())
}

/// Becomes the command.
fn execute(layout: &Layout, command: &[&str]) -> anyhow::Result<()> {
    debian::require_root()?;
    let (kubeconfig, record) = running(layout)?;
    let mut nsenter = Command::new("nsenter");
    nsenter.arg(format!("--net=/proc/{}/ns/net", record.first_process)).arg("--").args(command);
    Err(nsenter.env("KUBECONFIG", kubeconfig).env(MARK, layout.root()).exec()).context("nsenter")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_are_read_and_others_refused() {
        let options = parse(&["--nodes", "2", "--simulate", "nvidia.com/gpu=4"]).unwrap();
        assert_eq!(
            options,
            Options { nodes: 2, simulated: vec!["nvidia.com/gpu=4".into()], extras: vec![], durable: false }
        );
        assert!(parse(&["--durable", "--nodes", "1"]).unwrap().durable);
        for wrong in [&["--nodes", "3"][..], &["--nodes"], &["--simulate", "x"], &["--what", "1"]] {
            assert!(parse(wrong).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn servers_are_asked_for_one_by_one() {
        for (words, extras) in [
            (&[][..], &[][..]),
            (&["--with", "s3"], &[Extra::S3]),
            (&["--with", "postgres", "--with", "s3"], &[Extra::Postgres, Extra::S3]),
            (&["--with", "s3", "--with", "s3"], &[Extra::S3]),
        ] {
            assert_eq!(parse(words).unwrap().extras, extras, "{words:?}");
            assert_eq!(parse_extras(words).unwrap(), extras, "{words:?}");
        }
        let error = parse(&["--with", "minio"]).unwrap_err().to_string();
        assert_eq!(error, "--with minio: there are s3 and postgres");
    }

    #[test]
    fn commands_that_start_nothing_take_no_nodes() {
        for wrong in [&["--nodes", "2"][..], &["--with"], &["--with", "s3", "x"]] {
            assert!(parse_extras(wrong).is_err(), "{wrong:?}");
        }
    }
}
