//! Streams of commands as the API server takes them: pipes and terminals made asynchronous.

use std::{
    fs::File,
    io,
    os::fd::{AsFd, OwnedFd},
    pin::Pin,
    task::{Context, Poll},
};

use ferroflow_platform::{
    kubelet::{ExecOptions, ExecSession, ExitStatus, TerminalSize},
    task::{Group, Kind},
};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::unix::pipe,
    sync::mpsc,
};

use crate::shim::open_terminal;

/// Sizes that wait to be set; only the newest matters.
const SIZES: usize = 8;

/// The agent's ends of a command's streams, and the ends that go to the supervisor.
pub struct Ends {
    pub near: ExecSession,
    pub far: Vec<OwnedFd>,
}

/// Makes the streams that `options` ask for.
///
/// # Errors
/// When there is no pipe or terminal left.
pub fn open(options: &ExecOptions, group: &Group) -> io::Result<Ends> {
    if options.tty {
        let (master, peer) = open_terminal()?;
        return Ok(Ends { near: terminal(master, options, group)?, far: vec![peer] });
    }
    let mut near = empty();
    let mut far = Vec::new();
    if options.stdin {
        let (theirs, ours) = io::pipe()?;
        near.stdin = Some(Box::new(pipe::Sender::from_owned_fd(nonblocking(ours)?)?));
        far.push(theirs.into());
    }
    if options.stdout {
        let (ours, theirs) = io::pipe()?;
        near.stdout = Some(Box::new(pipe::Receiver::from_owned_fd(nonblocking(ours)?)?));
        far.push(theirs.into());
    }
    if options.stderr {
        let (ours, theirs) = io::pipe()?;
        near.stderr = Some(Box::new(pipe::Receiver::from_owned_fd(nonblocking(ours)?)?));
        far.push(theirs.into());
    }
    Ok(Ends { near, far })
}

/// A session without streams, whose command has an unknown end.
pub fn empty() -> ExecSession {
    let exit = Box::pin(std::future::ready(ExitStatus::Code(0)));
    ExecSession { stdin: None, stdout: None, stderr: None, resize: None, exit }
}

fn nonblocking(descriptor: impl Into<OwnedFd>) -> io::Result<OwnedFd> {
    let descriptor = descriptor.into();
    rustix::io::ioctl_fionbio(&descriptor, true)?;
    Ok(descriptor)
}

fn terminal(master: File, options: &ExecOptions, group: &Group) -> io::Result<ExecSession> {
    let mut near = empty();
    let copy = |file: &File| file.try_clone().map(OwnedFd::from).and_then(nonblocking);
    if options.stdin {
        near.stdin = Some(Box::new(pipe::Sender::from_owned_fd_unchecked(copy(&master)?)?));
    }
    if options.stdout {
        near.stdout = Some(Box::new(TerminalOutput(pipe::Receiver::from_owned_fd_unchecked(copy(&master)?)?)));
    }
    near.resize = Some(resizer(OwnedFd::from(master), group));
    Ok(near)
}

/// A channel whose sizes are set on a terminal.
pub fn resizer(terminal: OwnedFd, group: &Group) -> mpsc::Sender<TerminalSize> {
    let (sender, mut sizes) = mpsc::channel::<TerminalSize>(SIZES);
    group.spawn("terminal size", Kind::Transient, async move {
        while let Some(size) = sizes.recv().await {
            let size = rustix::termios::Winsize { ws_row: size.height, ws_col: size.width, ws_xpixel: 0, ws_ypixel: 0 };
            // The terminal may have been closed by its program.
            let _ = rustix::termios::tcsetwinsize(terminal.as_fd(), size);
        }
        Ok::<(), std::convert::Infallible>(())
    });
    sender
}

/// Input for a container whose own terminal or pipe was handed over.
///
/// # Errors
/// When the descriptor cannot be watched.
pub fn input(descriptor: OwnedFd) -> io::Result<Box<dyn AsyncWrite + Send + Unpin>> {
    Ok(Box::new(pipe::Sender::from_owned_fd_unchecked(nonblocking(descriptor)?)?))
}

/// A terminal's output; it ends where reading answers EIO, since the other end is closed then.
struct TerminalOutput(pipe::Receiver);

impl AsyncRead for TerminalOutput {
    fn poll_read(mut self: Pin<&mut Self>, ctx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match Pin::new(&mut self.0).poll_read(ctx, buffer) {
            Poll::Ready(Err(error)) if error.raw_os_error() == Some(libc::EIO) => Poll::Ready(Ok(())),
            other => other,
        }
    }
}
