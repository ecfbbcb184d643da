//! What a program has printed, as far as it is kept: the first part and the last one.

use std::io::Read;

/// Bytes of each part. Together they are what one step may add to the store, and to its own container's memory.
pub const PART: usize = 8 * 1024 * 1024;
/// Bytes of the last lines that go into an error's message.
const LAST_BYTES: usize = 4096;
/// Lines that go there.
const LAST_LINES: usize = 20;

/// A log with bounds.
pub struct Log {
    part: usize,
    first: Vec<u8>,
    last: Vec<u8>,
    /// Where in `last`, once that is full, the oldest byte is.
    start: usize,
    total: u64,
}

impl Log {
    /// An empty log that keeps `part` bytes of its beginning and as many of its end.
    pub fn new(part: usize) -> Self {
        Self { part, first: Vec::new(), last: Vec::new(), start: 0, total: 0 }
    }

    /// Adds what was printed.
    pub fn add(&mut self, bytes: &[u8]) {
        self.total += bytes.len() as u64;
        let (first, mut rest) = bytes.split_at(bytes.len().min(self.part - self.first.len()));
        self.first.extend_from_slice(first);
        if rest.len() > self.part {
            rest = &rest[rest.len() - self.part..];
        }
        let (fill, over) = rest.split_at(rest.len().min(self.part - self.last.len()));
        self.last.extend_from_slice(fill);
        let (end, begin) = over.split_at(over.len().min(self.last.len() - self.start));
        self.last[self.start..self.start + end.len()].copy_from_slice(end);
        self.last[..begin.len()].copy_from_slice(begin);
        if !over.is_empty() {
            self.start = (self.start + over.len()) % self.part;
        }
    }

    /// Puts the bytes in order; more may be added afterwards.
    pub fn settle(&mut self) {
        self.last.rotate_left(self.start);
        self.start = 0;
    }

    /// What stands between the parts: nothing, or how much was left out there.
    pub fn mark(&self) -> String {
        let left_out = self.total - (self.first.len() + self.last.len()) as u64;
        if left_out == 0 { String::new() } else { format!("\n--- {left_out} bytes of the log are left out here ---\n") }
    }

    /// The whole of a settled log, with its [`mark`](Self::mark).
    pub fn reader<'a>(&'a self, mark: &'a str) -> impl Read + 'a {
        self.first.as_slice().chain(mark.as_bytes()).chain(self.last.as_slice())
    }

    /// Bytes of what [`reader`](Self::reader) reads.
    pub fn length(&self, mark: &str) -> u64 {
        (self.first.len() + mark.len() + self.last.len()) as u64
    }

    /// The last lines of a settled log, for a message.
    pub fn last_lines(&self) -> String {
        let last = &self.last[self.last.len().saturating_sub(LAST_BYTES)..];
        let before = (LAST_BYTES - last.len()).min(self.first.len());
        let end = [&self.first[self.first.len() - before..], last].concat();
        let text = String::from_utf8_lossy(&end);
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(LAST_LINES)..].join("\n").trim().to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn whole(log: &mut Log) -> String {
        log.settle();
        let mark = log.mark();
        let mut text = String::new();
        log.reader(&mark).read_to_string(&mut text).unwrap();
        assert_eq!(text.len() as u64, log.length(&mark));
        text
    }

    #[test]
    fn a_log_keeps_its_beginning_and_its_end() {
        let printed: String = (0..100_u8).map(|at| char::from(b'a' + at % 26)).collect();
        for step in [1, 3, 7, 16, 33, 100] {
            for count in 0..=100 {
                let mut log = Log::new(16);
                printed.as_bytes()[..count].chunks(step).for_each(|chunk| log.add(chunk));
                let expected = if count <= 32 {
                    printed[..count].to_owned()
                } else {
                    let mark = format!("\n--- {} bytes of the log are left out here ---\n", count - 32);
                    format!("{}{mark}{}", &printed[..16], &printed[count - 16..count])
                };
                assert_eq!(whole(&mut log), expected, "{count} by {step}");
            }
        }
    }

    #[test]
    fn a_message_has_the_last_lines() {
        let mut log = Log::new(PART);
        (0..100).for_each(|line| log.add(format!("line {line}\n").as_bytes()));
        let lines = log.last_lines();
        assert!(lines.starts_with("line 80\n") && lines.ends_with("line 99"), "{lines}");
    }
}
