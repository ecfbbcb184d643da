//! The files of the GPUs' driver, which a container whose root is an image gets of the host.

use std::{path::Path, process::Stdio, time::Duration};

use crate::{
    core::device::{self, Given},
    runtime::{Launch, Mount, Root},
};

/// The loader's list is there at once, or the host is not well.
const PATIENCE: Duration = Duration::from_secs(5);
/// Where `ldconfig` is: not every user has it in `PATH`.
const LDCONFIG: [&str; 3] = ["/sbin/ldconfig", "/usr/sbin/ldconfig", "/run/current-system/sw/bin/ldconfig"];

/// Adds the driver's files to a container that has devices of its own and an image as its root: an environment has the
/// host's libraries.
pub async fn give_driver(launch: &mut Launch) {
    if !launch.devices.is_empty() && matches!(launch.root, Root::Image { .. }) {
        let given = device::driver(&libraries().await, std::env::consts::ARCH, is_there);
        launch.mounts.extend(given.into_iter().map(mount));
    }
}

fn is_there(path: &str) -> bool {
    Path::new(path).exists()
}

fn mount(given: Given) -> Mount {
    Mount { source: given.source.into(), target: given.target, read_only: given.read_only, ..Mount::default() }
}

/// The libraries that the host's loader knows; none where it tells nothing.
async fn libraries() -> String {
    let Some(program) = LDCONFIG.into_iter().find(|path| is_there(path)) else { return String::new() };
    let mut command = tokio::process::Command::new(program);
    command.arg("-p").stdin(Stdio::null()).stderr(Stdio::null()).kill_on_drop(true);
    match tokio::time::timeout(PATIENCE, command.output()).await {
        Ok(Ok(output)) => String::from_utf8_lossy(&output.stdout).into_owned(),
        _ => String::new(),
    }
}
