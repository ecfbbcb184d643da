//! What a container with GPUs gets of the host: device files, and where its root is an image, the driver's files.

use std::{path::Path, process::Stdio, time::Duration};

use crate::{
    core::device::{self, Devices, Given},
    runtime::{Launch, Mount, Root},
};

/// The loader's list is there at once, or the host is not well.
const PATIENCE: Duration = Duration::from_secs(5);
/// Where `ldconfig` is: not every user has it in `PATH`.
const LDCONFIG: [&str; 3] = ["/sbin/ldconfig", "/usr/sbin/ldconfig", "/run/current-system/sw/bin/ldconfig"];

/// Adds what the container's devices need.
pub async fn give(launch: &mut Launch, devices: Option<&Devices>) {
    let nodes = devices.map(|devices| device::nodes(devices, is_there)).unwrap_or_default();
    if nodes.is_empty() {
        return;
    }
    launch.devices = nodes.into_iter().map(Into::into).collect();
    // An environment has the host's libraries.
    if matches!(launch.root, Root::Image { .. }) {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_container_without_real_devices_gets_nothing() {
        let mut launch = Launch::default();
        // No machine has so many.
        let simulated = Devices::from([(device::NVIDIA_GPU.to_owned(), vec![4_000_000])]);
        give(&mut launch, Some(&simulated)).await;
        give(&mut launch, None).await;
        assert!(launch.devices.is_empty() && launch.mounts.is_empty());
    }
}
