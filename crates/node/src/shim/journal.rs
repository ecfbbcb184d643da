//! A container's log in the form that container runtimes write: `<RFC 3339 time> stdout F line`.
//!
//! A line longer than 16 KiB, or without an end, is written in parts tagged `P`. A file that would
//! pass its limit is renamed and a new one begun; only so many are kept.

use std::{
    fs::{File, OpenOptions},
    io::{self, Write},
    path::{Path, PathBuf},
};

use jiff::Timestamp;

/// Where a line came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    Stdout,
    Stderr,
}

impl Source {
    fn as_str(self) -> &'static str {
        match self {
            Self::Stdout => "stdout",
            Self::Stderr => "stderr",
        }
    }
}

/// How large a log may grow.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Bytes in one file.
    pub file_bytes: u64,
    /// Files in all, the one being written included.
    pub files: u32,
}

impl Default for Limits {
    /// Those of a kubelet: 10 MiB, 5 files.
    fn default() -> Self {
        Self { file_bytes: 10 << 20, files: 5 }
    }
}

/// Lines are written when so much of them has come together: what is kept of memory is little more.
const PIECE: usize = 16 << 10;
/// The longest line that is written in one piece, as containerd has it.
const LINE_LIMIT: usize = 16 << 10;

/// One container's open log.
pub struct Journal {
    path: PathBuf,
    file: File,
    written: u64,
    limits: Limits,
    /// The unfinished line of each source.
    pending: [Vec<u8>; 2],
    scratch: Vec<u8>,
}

impl Journal {
    /// Opens or continues the log at `path`.
    ///
    /// # Errors
    /// When the file cannot be made.
    pub fn open(path: &Path, limits: Limits) -> io::Result<Self> {
        let file = OpenOptions::new().create(true).append(true).open(path)?;
        let written = file.metadata()?.len();
        let pending = [Vec::new(), Vec::new()];
        Ok(Self { path: path.to_owned(), file, written, limits, pending, scratch: Vec::new() })
    }

    /// Takes bytes that a container wrote, and writes the lines that they complete.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn append(&mut self, source: Source, bytes: &[u8], now: Timestamp) -> io::Result<()> {
        let stamp = stamp(now);
        let mut pending = std::mem::take(&mut self.pending[source as usize]);
        let mut written = Ok(());
        let mut rest = bytes;
        while let Some(end) = rest.iter().position(|byte| *byte == b'\n') {
            pending.extend_from_slice(&rest[..end]);
            rest = &rest[end + 1..];
            self.cut(source, &stamp, &mut pending, 0);
            self.entry(source, &stamp, "F", &pending);
            pending.clear();
            if self.scratch.len() >= PIECE {
                written = written.and(self.write_out());
            }
        }
        pending.extend_from_slice(rest);
        self.cut(source, &stamp, &mut pending, LINE_LIMIT);
        self.pending[source as usize] = pending;
        written.and(self.write_out())
    }

    /// Writes what is left of lines that never ended.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn finish(&mut self, now: Timestamp) -> io::Result<()> {
        let stamp = stamp(now);
        for source in [Source::Stdout, Source::Stderr] {
            let pending = std::mem::take(&mut self.pending[source as usize]);
            if !pending.is_empty() {
                self.entry(source, &stamp, "P", &pending);
            }
        }
        self.write_out()
    }

    /// Writes parts of a line that is too long; what stays is shorter than a part, or than `keep`.
    fn cut(&mut self, source: Source, stamp: &str, pending: &mut Vec<u8>, keep: usize) {
        let mut start = 0;
        while pending.len() - start > LINE_LIMIT.max(keep) {
            let part = pending[start..start + LINE_LIMIT].to_vec();
            self.entry(source, stamp, "P", &part);
            start += LINE_LIMIT;
        }
        pending.drain(..start);
    }

    fn entry(&mut self, source: Source, stamp: &str, tag: &str, line: &[u8]) {
        for part in [stamp, " ", source.as_str(), " ", tag, " "] {
            self.scratch.extend_from_slice(part.as_bytes());
        }
        self.scratch.extend_from_slice(line);
        self.scratch.push(b'\n');
    }

    /// Writes the lines that have come together. Those that cannot be written are lost.
    fn write_out(&mut self) -> io::Result<()> {
        let written = self.write_scratch();
        self.scratch.clear();
        written
    }

    fn write_scratch(&mut self) -> io::Result<()> {
        if self.scratch.is_empty() {
            return Ok(());
        }
        let length = self.scratch.len() as u64;
        if self.written > 0 && self.written + length > self.limits.file_bytes {
            self.rotate()?;
        }
        self.written += length;
        self.file.write_all(&self.scratch)
    }

    fn rotate(&mut self) -> io::Result<()> {
        for number in (1..self.limits.files.saturating_sub(1)).rev() {
            match std::fs::rename(rotated(&self.path, number), rotated(&self.path, number + 1)) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        std::fs::rename(&self.path, rotated(&self.path, 1))?;
        self.file = OpenOptions::new().create(true).append(true).open(&self.path)?;
        self.written = 0;
        Ok(())
    }
}

/// The name of an older file of the log at `path`; 1 is the newest of them.
pub fn rotated(path: &Path, number: u32) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".{number}"));
    PathBuf::from(name)
}

/// A time with nine digits after the second, so that lines sort as text.
fn stamp(now: Timestamp) -> String {
    format!("{now:.9}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(limits: Limits, chunks: &[(Source, &[u8])]) -> (tempfile::TempDir, PathBuf) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("0.log");
        let mut journal = Journal::open(&path, limits).unwrap();
        let now = Timestamp::from_second(1_700_000_000).unwrap();
        for (source, bytes) in chunks {
            journal.append(*source, bytes, now).unwrap();
        }
        journal.finish(now).unwrap();
        (dir, path)
    }

    #[test]
    fn lines_are_stamped_and_tagged() {
        let (_dir, path) = write(Limits::default(), &[(Source::Stdout, b"one\ntw"), (Source::Stderr, b"bad\n")]);
        let text = std::fs::read_to_string(path).unwrap();
        assert_eq!(
            text,
            "2023-11-14T22:13:20.000000000Z stdout F one\n2023-11-14T22:13:20.000000000Z stderr F bad\n\
             2023-11-14T22:13:20.000000000Z stdout P tw\n"
        );
    }

    #[test]
    fn a_long_line_is_cut_into_parts_that_add_up() {
        let line = vec![b'x'; 40_000];
        let (_dir, path) = write(Limits::default(), &[(Source::Stdout, &line), (Source::Stdout, b"\n")]);
        let text = std::fs::read_to_string(path).unwrap();
        let tags: Vec<&str> = text.lines().map(|line| &line[38..39]).collect();
        assert_eq!(tags, ["P", "P", "F"]);
        assert_eq!(text.lines().map(|line| line.len() - 40).sum::<usize>(), 40_000);
    }

    #[test]
    fn a_full_file_is_renamed_and_the_oldest_is_dropped() {
        let limits = Limits { file_bytes: 100, files: 3 };
        let lines: Vec<String> = (0..10).map(|number| format!("line {number}\n")).collect();
        let chunks: Vec<(Source, &[u8])> = lines.iter().map(|line| (Source::Stdout, line.as_bytes())).collect();
        let (dir, path) = write(limits, &chunks);
        let mut names: Vec<String> =
            std::fs::read_dir(dir.path()).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        assert_eq!(names, ["0.log", "0.log.1", "0.log.2"]);
        assert!(std::fs::read_to_string(&path).unwrap().contains("line 9"));
        assert!(std::fs::read_to_string(rotated(&path, 1)).unwrap().contains("line 7"));
    }
}
