//! PostgreSQL of this machine's Debian, which a cluster is given when asked for, with data of its own.
//!
//! Paths are those that the cluster's processes see: /var/lib is in the cluster's folder.

use std::{
    fs,
    os::unix::{
        fs::{PermissionsExt, chown},
        process::CommandExt,
    },
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::Context;
use serde_json::Value;

use super::{
    debian,
    layout::Node,
    service::{self, Port},
};

/// Where the server listens, on the first node.
const PORT: u16 = 5432;
/// What its service is called.
const NAME: &str = "postgres";
/// Whom clients log in as. Nothing outside of the cluster's network reaches the server.
const USER: &str = "ferroflow";
const PASSWORD: &str = "ferroflow-secret";
/// The user of Debian's package; the server refuses to be root.
const ACCOUNT: &str = "postgres";
/// The server's own folder, and in it the data.
const FOLDER: &str = "/var/lib/postgresql";
const DATA: &str = "/var/lib/postgresql/data";
/// The program that a server's package has, in a folder of its version.
pub const PROGRAM: &str = "/usr/lib/postgresql/*/bin/postgres";

/// How the data's folder is filled.
///
/// # Errors
/// When files cannot be written, or the package is not whole.
pub fn initialize() -> anyhow::Result<Command> {
    let (user, group) = account()?;
    let password = Path::new(FOLDER).join("password");
    fs::create_dir_all(FOLDER).context(FOLDER)?;
    fs::write(&password, PASSWORD).with_context(|| password.display().to_string())?;
    // The server's user must get there, however strict the mask of whoever starts the cluster.
    for (path, mode) in [(Path::new("/var/lib"), 0o755), (Path::new(FOLDER), 0o755), (&password, 0o600)] {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).with_context(|| path.display().to_string())?;
    }
    for path in [Path::new(FOLDER), &password] {
        chown(path, Some(user), Some(group)).with_context(|| path.display().to_string())?;
    }
    let mut command = program("initdb")?;
    command
        .args(["--pgdata", DATA, "--username", USER, "--encoding=UTF8", "--locale=C.UTF-8", "--no-sync"])
        .args(["--auth=scram-sha-256", "--pwfile"])
        .arg(password);
    Ok(command)
}

/// How the server is started, once the data's folder is filled. What it holds ends with the cluster, so it does not wait
/// for the disk.
///
/// # Errors
/// When files cannot be written, or the package is not whole.
pub fn serve() -> anyhow::Result<Command> {
    let access = Path::new(FOLDER).join("access.conf");
    fs::write(&access, "host all all 0.0.0.0/0 scram-sha-256\n").with_context(|| access.display().to_string())?;
    let mut command = program("postgres")?;
    command.args(["-D", DATA]);
    for setting in [
        &format!("listen_addresses={}", Node { number: 1 }.address()),
        &format!("port={PORT}"),
        &format!("hba_file={}", access.display()),
        "unix_socket_directories=",
        "fsync=off",
    ] {
        command.args(["-c", setting]);
    }
    Ok(command)
}

/// Asks whether the server takes clients.
///
/// # Errors
/// When the package is not whole.
pub fn is_ready() -> anyhow::Result<bool> {
    let mut command = program("pg_isready")?;
    command.args(["--quiet", "--host", &Node { number: 1 }.address(), "--port", &PORT.to_string()]);
    Ok(command.status().context("pg_isready")?.success())
}

/// The service and the slice that lead to it.
pub fn objects() -> [Value; 2] {
    service::objects(NAME, None, &[Port::tcp("postgres", PORT, PORT)])
}

/// What clients of PostgreSQL read from their environment in a pod.
pub fn environment() -> String {
    format!("PGHOST={} PGUSER={USER} PGPASSWORD={PASSWORD} PGDATABASE=postgres", service::host(NAME))
}

/// A program of the server's package, as the user who may run it.
fn program(name: &str) -> anyhow::Result<Command> {
    let server: PathBuf = debian::found(PROGRAM).context("the package postgresql is not installed")?;
    let (user, group) = account()?;
    let mut command = Command::new(server.with_file_name(name));
    command.uid(user).gid(group).current_dir("/");
    Ok(command)
}

fn account() -> anyhow::Result<(u32, u32)> {
    let users = fs::read_to_string("/etc/passwd").context("/etc/passwd")?;
    numbers(&users, ACCOUNT).with_context(|| format!("there is no user {ACCOUNT}; install the package postgresql"))
}

/// A user's and its group's number in /etc/passwd.
fn numbers(users: &str, name: &str) -> Option<(u32, u32)> {
    let mut fields =
        users.lines().map(|line| line.split(':')).find(|fields| fields.clone().next() == Some(name))?.skip(2);
    Some((fields.next()?.parse().ok()?, fields.next()?.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_is_found_by_the_whole_name() {
        let users = "root:x:0:0:root:/root:/bin/bash\npostgres-old:x:5:6::/:\npostgres:x:106:110:,,,:/:/bin/sh\n";
        assert_eq!(numbers(users, "postgres"), Some((106, 110)));
        assert_eq!(numbers(users, "none"), None);
    }
}
