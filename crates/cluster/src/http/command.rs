//! Commands by SPDY: a stream for each of their own, one for the size of the terminal, and one that says how they ended.

use std::{collections::HashMap, io, time::Duration};

use bytes::Bytes;
use ferroflow_platform::kubelet::{ExecOptions, ExecSession, TerminalSize};
use futures::Stream;
use tokio::{
    io::{AsyncWrite, AsyncWriteExt},
    sync::{mpsc, oneshot},
};

use super::{
    connect::{exit_status, terminal_size, told},
    spdy::{self as connection, Frames, Reader},
};
use crate::core::spdy::{self, Encoder, Frame};

/// Protocols of commands, the best first. Since v4 the end is told as a `Status`, before in words.
pub(super) const PROTOCOLS: [&str; 4] =
    ["v4.channel.k8s.io", "v3.channel.k8s.io", "v2.channel.k8s.io", "channel.k8s.io"];
/// What a client means that names no protocol.
pub(super) const WITHOUT: &str = PROTOCOLS[3];
/// As a kubelet waits for the streams of a command.
const OPENING: Duration = Duration::from_secs(30);
/// Bytes of a size that has not ended.
const SIZE_BYTES: usize = 1 << 10;

const ERROR: &str = "error";
const STDIN: &str = "stdin";
const STDOUT: &str = "stdout";
const STDERR: &str = "stderr";
const RESIZE: &str = "resize";

/// Streams by what they carry.
type Open = HashMap<&'static str, u32>;

/// Carries a command's streams until it has ended or the client is gone.
pub(super) async fn serve(
    bytes: impl Stream<Item = io::Result<Bytes>> + Unpin,
    frames: Frames,
    session: ExecSession,
    options: &ExecOptions,
    protocol: &'static str,
) {
    let mut wanted = vec![ERROR];
    let asked = [(STDIN, options.stdin), (STDOUT, options.stdout), (STDERR, options.stderr && !options.tty)];
    wanted.extend(asked.into_iter().filter(|(_, is_asked)| *is_asked).map(|(name, _)| name));
    let (opened, ready) = oneshot::channel();
    let receiver = Receiver {
        frames: frames.clone(),
        encoder: Encoder::default(),
        wanted,
        open: Open::new(),
        opened: Some(opened),
        stdin: session.stdin,
        resize: session.resize,
        size: Vec::new(),
    };
    let is_plain = protocol != PROTOCOLS[0];
    let outputs = async {
        // A client that opens less than it asked for has its command ended.
        let Ok(Ok(open)) = tokio::time::timeout(OPENING, ready).await else { return };
        let stream = |name: &str| open.get(name).copied();
        let stdout = async {
            if let (Some(from), Some(stream)) = (session.stdout, stream(STDOUT)) {
                connection::pump(from, stream, &frames).await;
            }
        };
        let stderr = async {
            if let (Some(from), Some(stream)) = (session.stderr, stream(STDERR)) {
                connection::pump(from, stream, &frames).await;
            }
        };
        let (exit, (), ()) = tokio::join!(session.exit, stdout, stderr);
        let Some(error) = stream(ERROR) else { return };
        let words = told(&exit, &exit_status(&exit), is_plain).unwrap_or_default();
        let _ = frames.send(spdy::data(error, words.as_bytes(), true)).await;
    };
    tokio::select! {
        () = outputs => {}
        () = receiver.run(bytes) => {}
    }
}

struct Receiver {
    frames: Frames,
    encoder: Encoder,
    wanted: Vec<&'static str>,
    open: Open,
    /// Told once all that is wanted is open.
    opened: Option<oneshot::Sender<Open>>,
    stdin: Option<Box<dyn AsyncWrite + Send + Unpin>>,
    resize: Option<mpsc::Sender<TerminalSize>>,
    /// A size that has come in part.
    size: Vec<u8>,
}

impl Receiver {
    async fn run(mut self, bytes: impl Stream<Item = io::Result<Bytes>> + Unpin) {
        let mut reader = Reader::new(bytes);
        while let Some(frame) = reader.next().await {
            if self.take(frame).await.is_none() {
                return;
            }
        }
    }

    /// Does what a frame says; `None` when the client is gone.
    async fn take(&mut self, frame: Frame) -> Option<()> {
        match frame {
            Frame::Open { stream, headers, .. } => self.open(stream, &headers).await,
            Frame::Data { stream, last, bytes } => {
                let is = |name: &str| self.open.get(name) == Some(&stream);
                if is(STDIN) {
                    self.input(&bytes, last).await;
                } else if is(RESIZE) {
                    self.resize(&bytes);
                }
                Some(())
            }
            Frame::Ping { id } => self.frames.send(spdy::pong(id)).await.ok(),
            Frame::Reset { stream } => {
                if self.open.get(STDIN) == Some(&stream) {
                    self.stdin = None;
                }
                Some(())
            }
            Frame::GoAway | Frame::Other => Some(()),
        }
    }

    async fn open(&mut self, stream: u32, headers: &[(String, String)]) -> Option<()> {
        let kind = connection::value(headers, "streamtype").unwrap_or_default();
        let known = self.wanted.iter().chain([&RESIZE]).copied().find(|known| *known == kind);
        let Some(kind) = known.filter(|kind| !self.open.contains_key(kind)) else {
            return self.frames.send(spdy::refuse(stream)).await.ok();
        };
        let reply = self.encoder.reply(stream);
        self.frames.send(reply).await.ok()?;
        self.open.insert(kind, stream);
        if self.wanted.iter().all(|wanted| self.open.contains_key(wanted))
            && let Some(opened) = self.opened.take()
        {
            let _ = opened.send(self.open.clone());
        }
        Some(())
    }

    async fn input(&mut self, bytes: &[u8], last: bool) {
        if let Some(open) = &mut self.stdin
            && (open.write_all(bytes).await.is_err() || open.flush().await.is_err())
        {
            self.stdin = None;
        }
        if last {
            self.stdin = None;
        }
    }

    /// Takes sizes, each an object of JSON; they come one after the other, and may come in parts.
    fn resize(&mut self, bytes: &[u8]) {
        self.size.extend_from_slice(bytes);
        while let Some(end) = self.size.iter().position(|byte| *byte == b'}') {
            let rest = self.size.split_off(end + 1);
            let whole = std::mem::replace(&mut self.size, rest);
            if let (Some(resize), Some(size)) = (&self.resize, terminal_size(&whole)) {
                // A terminal that is resized faster than it is drawn misses sizes in between.
                let _ = resize.try_send(size);
            }
        }
        if self.size.len() > SIZE_BYTES {
            self.size.clear();
        }
    }
}

#[cfg(test)]
mod tests {
    use ferroflow_platform::kubelet::ExitStatus;
    use futures::{FutureExt, StreamExt, stream};
    use tokio::io::AsyncReadExt;

    use super::*;
    use crate::core::spdy::tests::open;

    #[tokio::test]
    async fn a_commands_streams_go_both_ways_and_its_end_is_told() {
        let mut begun = false;
        let mut open = |stream, kind| open(&mut begun, stream, &[("streamtype", kind)]);
        let sent = [
            open(1, "error"),
            open(3, "stdin"),
            open(5, "stdout"),
            open(7, "nonsense"),
            open(9, "resize"),
            spdy::data(9, br#"{"Width":80,"He"#, false),
            spdy::data(9, br#"ight":25}"#, false),
            spdy::data(3, b"given", true),
        ]
        .concat();
        let parts: Vec<_> = sent.chunks(5).map(|part| Ok(Bytes::copy_from_slice(part))).collect();
        let bytes = stream::iter(parts).chain(stream::pending());
        let (stdin, mut given) = tokio::io::duplex(64);
        let (mut said, stdout) = tokio::io::duplex(64);
        let (resize, mut sizes) = mpsc::channel(1);
        let exit = async move {
            let mut text = String::new();
            given.read_to_string(&mut text).await.unwrap();
            assert_eq!(text, "given");
            assert_eq!(sizes.recv().await, Some(TerminalSize { width: 80, height: 25 }));
            said.write_all(b"said").await.unwrap();
            ExitStatus::Code(3)
        };
        let session = ExecSession {
            stdin: Some(Box::new(stdin)),
            stdout: Some(Box::new(stdout)),
            stderr: None,
            resize: Some(resize),
            exit: exit.boxed(),
        };
        let options = ExecOptions { command: Vec::new(), stdin: true, stdout: true, stderr: false, tty: false };
        let (frames, mut waiting) = mpsc::channel(64);
        serve(Box::pin(bytes), frames, session, &options, PROTOCOLS[0]).await;
        let mut all = Vec::new();
        while let Some(frame) = waiting.recv().await {
            all.push(frame);
        }
        assert!(all.contains(&spdy::refuse(7)));
        assert!(all.contains(&spdy::data(5, b"said", false)));
        assert!(all.contains(&spdy::data(5, b"", true)));
        let told = all.iter().find(|frame| frame.starts_with(&[0, 0, 0, 1])).unwrap();
        assert_eq!(told[4], 1, "the stream of errors ends");
        let status: serde_json::Value = serde_json::from_slice(&told[8..]).unwrap();
        assert_eq!(status["details"]["causes"][0]["message"], "3");
    }
}
