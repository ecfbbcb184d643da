//! Reads a container's log and gives its lines as a client asked for them.
//!
//! Follows a log by watching its directory, across rotation, and ends when the run has ended. Never
//! looks at a file that was not named to it.

use std::{
    collections::VecDeque,
    io,
    os::fd::OwnedFd,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

use bytes::Bytes;
use ferroflow_platform::{
    kubelet::{LogOptions, LogStream},
    task::{Group, Kind},
};
use futures::StreamExt;
use jiff::Timestamp;
use rustix::fs::inotify;
use tokio::{
    fs::File,
    io::{AsyncBufReadExt, BufReader, unix::AsyncFd},
    sync::mpsc,
};

use crate::{core::record::Attempt, shim::rotated};

/// Where the log of a run is.
#[derive(Clone, Debug)]
pub struct Location {
    pub log: PathBuf,
    /// The record of the run; it holds an exit once the log is complete.
    pub record: PathBuf,
}

/// Older files of a log that are looked for; the supervisor keeps fewer.
const ROTATED: u32 = 16;
const BUFFER: usize = 256 << 10;
/// Pieces that wait for a slow client.
const QUEUE: usize = 16;
/// A piece is sent when it has grown to this.
const PIECE: usize = 32 << 10;

/// Opens a log as a stream that a task of `group` fills.
pub fn open(location: Location, options: LogOptions, group: &Group) -> LogStream {
    let (sender, receiver) = mpsc::channel(QUEUE);
    group.spawn("log stream", Kind::Transient, async move {
        let closed = sender.clone();
        let mut reader = Reader { filter: Filter::new(&options), location, sender, piece: Vec::new() };
        let result = tokio::select! {
            () = closed.closed() => Ok(()),
            result = reader.run(options.follow, options.tail_lines) => result,
        };
        if let Err(error) = result
            && error.kind() != io::ErrorKind::BrokenPipe
        {
            let _ = closed.send(Err(error)).await;
        }
        Ok::<(), std::convert::Infallible>(())
    });
    futures::stream::unfold(receiver, |mut receiver| async move { Some((receiver.recv().await?, receiver)) }).boxed()
}

struct Reader {
    location: Location,
    filter: Filter,
    sender: mpsc::Sender<io::Result<Bytes>>,
    piece: Vec<u8>,
}

impl Reader {
    async fn run(&mut self, follow: bool, tail: Option<u64>) -> io::Result<()> {
        let watch = if follow { Some(Watch::start(&self.location)?) } else { None };
        let mut ended = has_ended(&self.location.record);
        let mut files = self.files();
        let current = files.pop();
        match tail {
            Some(lines) => self.tail(&files, current.as_deref(), lines).await?,
            None => {
                for file in &files {
                    self.copy(&mut open_file(file).await?).await?;
                }
            }
        }
        let mut at = match (&current, tail) {
            (Some(path), None) => Some(open_file(path).await?),
            (Some(path), Some(_)) => Some(self.open_at_end(path).await?),
            (None, _) => None,
        };
        loop {
            if at.is_none() && self.location.log.exists() {
                at = Some(open_file(&self.location.log).await?);
            }
            if let Some(file) = &mut at {
                self.copy(file).await?;
            }
            self.flush().await?;
            let Some(watch) = &watch else { return Ok(()) };
            if self.filter.is_full() {
                return Ok(());
            }
            if let Some(file) = &at
                && was_rotated(file, &self.location.log).await
            {
                at = None;
                continue;
            }
            if ended {
                return Ok(());
            }
            // The record is complete after the log: one more look at the log follows.
            ended = has_ended(&self.location.record);
            if !ended {
                watch.changed().await?;
            }
        }
    }

    /// The log's files, oldest first; the last one is being written.
    fn files(&self) -> Vec<PathBuf> {
        let older = (1..ROTATED).rev().map(|number| rotated(&self.location.log, number));
        older.chain([self.location.log.clone()]).filter(|path| path.exists()).collect()
    }

    async fn tail(&mut self, older: &[PathBuf], current: Option<&Path>, lines: u64) -> io::Result<()> {
        let limit = usize::try_from(lines).unwrap_or(usize::MAX);
        let mut last: VecDeque<Vec<u8>> = VecDeque::new();
        let mut complete = 0;
        for path in older.iter().map(PathBuf::as_path).chain(current) {
            let mut file = open_file(path).await?;
            let mut line = Vec::new();
            while read_line(&mut file, &mut line).await? {
                complete += usize::from(!is_partial(&line));
                last.push_back(std::mem::take(&mut line));
                while complete > limit {
                    complete -= usize::from(last.pop_front().is_some_and(|line| !is_partial(&line)));
                }
            }
        }
        if limit == 0 {
            last.clear();
        }
        for line in last {
            self.emit(&line).await?;
        }
        Ok(())
    }

    /// Opens the current file after what [`tail`](Self::tail) has read of it.
    async fn open_at_end(&mut self, path: &Path) -> io::Result<BufReader<File>> {
        use tokio::io::AsyncSeekExt;
        let mut file = open_file(path).await?;
        file.seek(io::SeekFrom::End(0)).await?;
        Ok(file)
    }

    async fn copy(&mut self, file: &mut BufReader<File>) -> io::Result<()> {
        let mut line = Vec::new();
        while !self.filter.is_full() && read_line(file, &mut line).await? {
            self.emit(&line).await?;
            line.clear();
        }
        Ok(())
    }

    async fn emit(&mut self, line: &[u8]) -> io::Result<()> {
        self.filter.apply(line, &mut self.piece);
        if self.piece.len() >= PIECE {
            self.flush().await?;
        }
        Ok(())
    }

    async fn flush(&mut self) -> io::Result<()> {
        if self.piece.is_empty() {
            return Ok(());
        }
        let piece = Bytes::from(std::mem::take(&mut self.piece));
        self.sender.send(Ok(piece)).await.map_err(|_| io::ErrorKind::BrokenPipe.into())
    }
}

async fn open_file(path: &Path) -> io::Result<BufReader<File>> {
    Ok(BufReader::with_capacity(BUFFER, File::open(path).await?))
}

/// Reads one whole line. The supervisor writes whole lines at once, so half a line is the end of a
/// crashed write and is left alone.
async fn read_line(file: &mut BufReader<File>, line: &mut Vec<u8>) -> io::Result<bool> {
    line.clear();
    file.read_until(b'\n', line).await?;
    Ok(line.ends_with(b"\n"))
}

async fn was_rotated(file: &BufReader<File>, path: &Path) -> bool {
    let (Ok(open), Ok(named)) = (file.get_ref().metadata().await, std::fs::metadata(path)) else { return false };
    open.ino() != named.ino()
}

fn has_ended(record: &Path) -> bool {
    let Ok(bytes) = std::fs::read(record) else { return true };
    serde_json::from_slice::<Attempt>(&bytes).is_ok_and(|attempt| attempt.exit.is_some())
}

fn is_partial(line: &[u8]) -> bool {
    Entry::parse(line).is_some_and(|entry| entry.partial)
}

/// A watch on the directories of a log and of its record.
struct Watch {
    events: AsyncFd<OwnedFd>,
}

impl Watch {
    fn start(location: &Location) -> io::Result<Self> {
        let events = inotify::init(inotify::CreateFlags::CLOEXEC | inotify::CreateFlags::NONBLOCK)?;
        let flags = inotify::WatchFlags::MODIFY | inotify::WatchFlags::CREATE | inotify::WatchFlags::MOVED_TO;
        for path in [&location.log, &location.record] {
            if let Some(directory) = path.parent() {
                inotify::add_watch(&events, directory, flags)?;
            }
        }
        // SAFETY: the descriptor is owned and is closed when it is dropped, not before.
        Ok(Self { events: unsafe { AsyncFd::register(events) }? })
    }

    /// Completes when something has changed since the last call.
    async fn changed(&self) -> io::Result<()> {
        let mut ready = self.events.readable().await?;
        let mut buffer = [0_u8; 4096];
        while rustix::io::read(&self.events, &mut buffer).is_ok_and(|length| length > 0) {}
        ready.clear_ready();
        Ok(())
    }
}

/// One line of a stored log.
struct Entry<'a> {
    time: &'a str,
    stream: &'a str,
    partial: bool,
    text: &'a [u8],
}

impl<'a> Entry<'a> {
    fn parse(line: &'a [u8]) -> Option<Self> {
        let mut fields = line.splitn(4, |byte| *byte == b' ');
        let mut word = || std::str::from_utf8(fields.next()?).ok();
        let (time, stream, tag) = (word()?, word()?, word()?);
        let text = fields.next()?;
        Some(Self { time, stream, partial: tag.starts_with('P'), text: text.strip_suffix(b"\n").unwrap_or(text) })
    }
}

/// Which lines a client wants, and how.
struct Filter {
    timestamps: bool,
    since: Option<Timestamp>,
    /// Empty for both.
    stream: String,
    left_bytes: Option<u64>,
    /// Whether the line before ended, so that this one begins with a time.
    at_line_start: bool,
}

impl Filter {
    fn new(options: &LogOptions) -> Self {
        let stream = match options.stream.as_str() {
            "Stdout" => "stdout",
            "Stderr" => "stderr",
            _ => "",
        };
        Self {
            timestamps: options.timestamps,
            since: options.since,
            stream: stream.to_owned(),
            left_bytes: options.limit_bytes,
            at_line_start: true,
        }
    }

    fn is_full(&self) -> bool {
        self.left_bytes == Some(0)
    }

    fn apply(&mut self, line: &[u8], out: &mut Vec<u8>) {
        let Some(entry) = Entry::parse(line) else { return };
        if !self.stream.is_empty() && self.stream != entry.stream {
            return;
        }
        if let Some(since) = self.since
            && entry.time.parse::<Timestamp>().is_ok_and(|time| time < since)
        {
            return;
        }
        if self.timestamps && self.at_line_start {
            self.push(entry.time.as_bytes(), out);
            self.push(b" ", out);
        }
        self.push(entry.text, out);
        if !entry.partial {
            self.push(b"\n", out);
        }
        self.at_line_start = !entry.partial;
    }

    fn push(&mut self, bytes: &[u8], out: &mut Vec<u8>) {
        let Some(left) = &mut self.left_bytes else { return out.extend_from_slice(bytes) };
        let length = bytes.len().min(usize::try_from(*left).unwrap_or(usize::MAX));
        *left -= length as u64;
        out.extend_from_slice(&bytes[..length]);
    }
}

/// The end of a log: the last lines of it, as a termination message has them.
///
/// # Errors
/// When the log cannot be read.
pub fn last_lines(log: &Path, lines: usize, bytes: usize) -> io::Result<String> {
    let stored = std::fs::read(log)?;
    let mut filter = Filter::new(&LogOptions::default());
    let entries: Vec<&[u8]> = stored.split_inclusive(|byte| *byte == b'\n').collect();
    let mut text = Vec::new();
    for line in &entries[entries.len().saturating_sub(lines)..] {
        filter.apply(line, &mut text);
    }
    let start = text.len().saturating_sub(bytes);
    Ok(String::from_utf8_lossy(&text[start..]).into_owned())
}
