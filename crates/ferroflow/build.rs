//! How the binary is linked, and the launcher that is a part of it.

use std::{
    env, fs, io,
    path::{Path, PathBuf},
    process::Command,
};

fn main() -> io::Result<()> {
    println!("cargo:rerun-if-changed=build.rs");
    let of_target = |name: &str| env::var(format!("CARGO_CFG_TARGET_{name}")).unwrap_or_default();
    // A program that may lie anywhere has its tables of addresses written anew each time that it starts: a megabyte
    // that each process would have to itself, and half of the time that it takes to start. At a place of
    // its own the tables are right as they lie on disk, and shared by all. The heap, the stack and libraries still lie
    // where chance puts them.
    if of_target("OS") == "linux" && of_target("ENV") == "gnu" {
        println!("cargo:rustc-link-arg-bins=-no-pie");
    }
    launcher()
}

/// The launcher's package and program.
const LAUNCHER: &str = "ferroflow-launcher";
/// The profile of the workspace that it is built with.
const PROFILE: &str = "launcher";
/// Linked statically, so that it runs in any image, and at a place of its own: see above.
const FLAGS: &str = "-Ctarget-feature=+crt-static -Crelocation-model=static";

/// Builds the launcher with a cargo of its own, in a target directory of its own: this one is locked while this runs.
/// All builds in one target directory share it, and cargo does nothing where nothing has changed.
fn launcher() -> io::Result<()> {
    let variable = |name: &str| env::var(name).map_err(|_| io::Error::other(format!("cargo sets no {name}")));
    let out = PathBuf::from(variable("OUT_DIR")?);
    let workspace = Path::new(&variable("CARGO_MANIFEST_DIR")?).join("../..").canonicalize()?;
    for input in ["crates/launcher/Cargo.toml", "crates/launcher/src", "Cargo.toml"] {
        println!("cargo:rerun-if-changed={}", workspace.join(input).display());
    }
    let target = variable("TARGET")?;
    // OUT_DIR is TARGET_DIR/[TRIPLE/]PROFILE/build/PACKAGE/out.
    let directory = out.ancestors().nth(4).unwrap_or(&out).join("launcher");
    let mut cargo = Command::new(variable("CARGO")?);
    cargo.current_dir(&workspace).args(["build", "--quiet", "--locked", "--package", LAUNCHER, "--bin", LAUNCHER]);
    cargo.args(["--profile", PROFILE, "--target", &target, "--target-dir"]).arg(&directory);
    for (name, _) in env::vars_os() {
        if name.to_str().is_none_or(is_of_this_build) {
            cargo.env_remove(&name);
        }
    }
    cargo.env("CARGO_ENCODED_RUSTFLAGS", FLAGS.replace(' ', "\x1f"));
    let status = cargo.status()?;
    if !status.success() {
        return Err(io::Error::other(format!("{LAUNCHER} cannot be built: {cargo:?} ended with {status}")));
    }
    // A copy, since another build may replace the program while this one reads it.
    let program = out.join(LAUNCHER);
    fs::copy(directory.join(&target).join(PROFILE).join(LAUNCHER), &program)?;
    println!("cargo:rustc-env=FERROFLOW_LAUNCHER={}", program.display());
    Ok(())
}

/// Whether a variable speaks of the build that runs this: flags, wrappers such as clippy's, what cargo says of this
/// package. Where cargo finds its home and registries, and how many jobs there may be, stays.
fn is_of_this_build(name: &str) -> bool {
    let kept = ["CARGO_HOME", "CARGO_HTTP_", "CARGO_NET_", "CARGO_REGISTR", "CARGO_SOURCE_", "CARGO_MAKEFLAGS"];
    let own = ["CARGO_", "CLIPPY_", "RUSTFLAGS", "RUSTDOCFLAGS", "RUSTC_WORKSPACE_WRAPPER", "TARGET", "OUT_DIR"];
    let others = ["HOST", "NUM_JOBS", "OPT_LEVEL", "PROFILE", "DEBUG"];
    let starts = |list: &[&str]| list.iter().any(|start| name.starts_with(start));
    (starts(&own) && !starts(&kept)) || others.contains(&name)
}
