//! The S3 server that a cluster is given when asked for: versitygw, which keeps objects as files.

use std::{
    fs::{self, File},
    io,
    path::Path,
    process::Command,
};

use anyhow::{Context, ensure};
use rustix::fs::{XattrFlags, fsetxattr};
use serde_json::Value;

use super::{
    layout::{Layout, Node},
    programs::Programs,
    service::{self, Port},
};

/// Where the server listens, on the first node.
pub const PORT: u16 = 7070;
/// What its service is called.
const NAME: &str = "s3";
/// What clients say to be let in. Nothing outside of the cluster's network reaches the server.
const ACCESS_KEY: &str = "ferroflow";
const SECRET_KEY: &str = "ferroflow-secret";

/// How the server is started. Buckets are folders of `s3/` in the cluster's folder.
///
/// # Errors
/// When the folder cannot be made or the program is not built.
pub fn serve(layout: &Layout, programs: &Programs) -> anyhow::Result<Command> {
    let folder = layout.path("s3");
    fs::create_dir_all(&folder).with_context(|| folder.display().to_string())?;
    let mut command = Command::new(programs.path("versitygw")?);
    command
        .args(["--port", &format!("{}:{PORT}", Node { number: 1 }.address()), "--quiet", "posix"])
        .arg(folder)
        .env("ROOT_ACCESS_KEY_ID", ACCESS_KEY)
        .env("ROOT_SECRET_ACCESS_KEY", SECRET_KEY);
    Ok(command)
}

/// The service and the slice that lead to it.
pub fn objects() -> [Value; 2] {
    service::objects(NAME, None, &[Port::tcp("http", 80, PORT)])
}

/// What clients of S3 read from their environment in a pod.
pub fn environment() -> String {
    format!(
        "AWS_ENDPOINT_URL=http://{} AWS_ACCESS_KEY_ID={ACCESS_KEY} AWS_SECRET_ACCESS_KEY={SECRET_KEY} \
         AWS_DEFAULT_REGION=us-east-1",
        service::host(NAME)
    )
}

/// Makes sure that the cluster's folder will keep extended attributes, where the server writes what it knows of an
/// object beyond its bytes.
///
/// # Errors
/// When it will not.
pub fn require_attributes(layout: &Layout) -> anyhow::Result<()> {
    let folder = layout.root().ancestors().find(|folder| folder.is_dir()).context("the cluster's folder is in none")?;
    let kept = keeps_attributes(folder).with_context(|| folder.display().to_string())?;
    ensure!(
        kept,
        "extended attributes in {}, for S3; set XDG_STATE_HOME to a folder of a file system that has them",
        folder.display()
    );
    Ok(())
}

fn keeps_attributes(folder: &Path) -> io::Result<bool> {
    let path = folder.join(format!(".ferroflow-attributes-{}", std::process::id()));
    let file = File::create(&path)?;
    let outcome = fsetxattr(&file, "user.ferroflow", b"kept", XattrFlags::empty());
    fs::remove_file(&path)?;
    Ok(outcome.is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_question_for_extended_attributes_leaves_no_file() {
        let folder = std::env::temp_dir().join(format!("ferroflow-attributes-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        keeps_attributes(&folder).unwrap();
        // Fails when something is in it.
        fs::remove_dir(&folder).unwrap();
        assert!(keeps_attributes(&folder).is_err());
    }
}
