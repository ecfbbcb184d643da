//! The agent's end of the process that pods' supervisors are forked off ([`crate::shim::forkserver`]): started when the
//! first of them is needed, and again when it has ended.

use std::{
    fs::File,
    io,
    os::fd::{AsFd, OwnedFd},
    os::unix::net::UnixListener,
    path::Path,
    process::{Command, Stdio},
    sync::{Mutex, PoisonError},
    time::Duration,
};

use ferroflow_platform::task::{Group, Kind};
use rustix::net::{
    AddressFamily, SocketFlags, SocketType,
    sockopt::{self, Timeout},
};

use super::command::ShimCommand;
use crate::shim::{self, forkserver};

/// Bytes of the name of a pod's directory in that of all pods, with a slash before it: it is the pod's uid, of 36.
const NAME_BYTES: usize = 64;
/// A process that takes no request for so long, while a hundred wait, is replaced.
const PATIENCE: Duration = Duration::from_secs(5);

/// Starts supervisors.
pub struct ForkServer {
    command: ShimCommand,
    /// As long as the path of any pod's directory.
    room: String,
    group: Group,
    /// Closed with this, at which the process ends.
    channel: Mutex<Option<OwnedFd>>,
}

impl ForkServer {
    /// One for pods in `directory`, which is not started yet.
    pub fn new(command: ShimCommand, directory: &Path, group: Group) -> Self {
        let room = " ".repeat(directory.as_os_str().len() + NAME_BYTES);
        Self { command, room, group, channel: Mutex::new(None) }
    }

    /// Starts the supervisor of the pod in `directory`, with the socket that it listens on and the file for its errors.
    /// Whether it comes to run shows in its socket.
    ///
    /// # Errors
    /// When the process that forks it cannot be started, or cannot be asked.
    pub fn start_supervisor(&self, directory: &Path, listener: &UnixListener, errors: &File) -> io::Result<()> {
        let ask = |channel: &OwnedFd| forkserver::ask(channel, directory, listener.as_fd(), errors.as_fd());
        let mut channel = self.channel.lock().unwrap_or_else(PoisonError::into_inner);
        match channel.as_ref().map(ask) {
            Some(Err(error)) if is_end(&error) => {
                tracing::warn!(%error, "the process that pods' supervisors are forked off is gone: another is started");
            }
            Some(asked) => return asked,
            None => {}
        }
        ask(channel.insert(self.start()?))
    }

    fn start(&self) -> io::Result<OwnedFd> {
        let (kind, flags) = (SocketType::SEQPACKET, SocketFlags::CLOEXEC);
        let (near, far) = rustix::net::socketpair(AddressFamily::UNIX, kind, flags, None)?;
        sockopt::set_socket_timeout(&near, Timeout::Send, Some(PATIENCE))?;
        let mut command = Command::new(&self.command.program);
        command
            .args(&self.command.arguments)
            .args([forkserver::ARGUMENT, &self.room])
            .env_clear()
            .envs([shim::RETURNS_MEMORY])
            .stdin(Stdio::from(far))
            .stdout(Stdio::null());
        let mut child = tokio::process::Command::from(command).spawn()?;
        self.group.spawn("wait for the fork server of pods' supervisors", Kind::Transient, async move {
            // Only so that it does not stay a zombie; that it ended shows in its socket.
            let _ = child.wait().await;
            Ok::<(), std::convert::Infallible>(())
        });
        Ok(near)
    }
}

/// Whether a request failed because the process has ended, or hangs.
fn is_end(error: &io::Error) -> bool {
    use io::ErrorKind::{BrokenPipe, ConnectionReset, WouldBlock};
    matches!(error.kind(), BrokenPipe | ConnectionReset | WouldBlock)
}
