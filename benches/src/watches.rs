//! Many watches on one HTTP/2 connection, read with as little work as can be: frames are told apart and lines counted.
//!
//! A client that gives every stream a task, a queue and a window costs more than the server that it is to measure, and
//! hides how servers differ. This one grants all there is to grant at the beginning, and then only reads. It knows of
//! RFC 9113 and RFC 7541 what a watch needs.

use std::time::Instant;

use anyhow::{Context, bail};
use bytes::{Buf, BytesMut};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    sync::mpsc,
};

use crate::client::Stream;

/// What a client sends first: RFC 9113, section 3.4.
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const HEAD_BYTES: usize = 9;
const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RESET: u8 = 3;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const GO_AWAY: u8 = 7;
const WINDOW_UPDATE: u8 = 8;
/// `END_STREAM` of a data or header frame, `ACK` of settings and pings.
const END_STREAM: u8 = 1;
const ACK: u8 = 1;
const END_HEADERS: u8 = 4;
const PADDED: u8 = 8;
/// The largest window; no run sends so much on one connection.
const WINDOW: u32 = (1 << 31) - 1;
const FIRST_WINDOW: u32 = 65_535;
const INITIAL_WINDOW_SIZE: u16 = 4;
/// `:status: 200`, as the static table has it: RFC 7541, appendix A.
const STATUS_200: u8 = 0x88;
/// Read at a time, at the most.
const READ_BYTES: usize = 256 << 10;

/// Lines that a connection's watches have read, and when.
pub type Told = (usize, Instant);

/// A connection whose watches have all been answered.
pub struct Watches {
    stream: Stream,
    buffer: BytesMut,
}

impl Watches {
    /// Opens `count` watches of `path`.
    ///
    /// # Errors
    /// When the server refuses one.
    pub async fn open(stream: Stream, authority: &str, token: &str, path: &str, count: usize) -> anyhow::Result<Self> {
        let mut sent = PREFACE.to_vec();
        let mut settings = INITIAL_WINDOW_SIZE.to_be_bytes().to_vec();
        settings.extend_from_slice(&WINDOW.to_be_bytes());
        put_frame(&mut sent, SETTINGS, 0, 0, &settings);
        put_frame(&mut sent, WINDOW_UPDATE, 0, 0, &(WINDOW - FIRST_WINDOW).to_be_bytes());
        let head = request(authority, token, path);
        for number in 0..u32::try_from(count)? {
            put_frame(&mut sent, HEADERS, END_HEADERS | END_STREAM, 2 * number + 1, &head);
        }
        let mut watches = Self { stream, buffer: BytesMut::new() };
        watches.stream.write_all(&sent).await?;
        watches.stream.flush().await?;
        let mut left = count;
        while left > 0 {
            let seen = watches.read().await?;
            left = left.checked_sub(seen.answers).context("more answers than requests")?;
        }
        Ok(watches)
    }

    /// Tells of lines until the connection or a watch ends; the error says how.
    ///
    /// # Errors
    /// Always in the end, unless nobody listens any more.
    pub async fn tell(mut self, told: mpsc::UnboundedSender<Told>) -> anyhow::Result<()> {
        loop {
            let seen = self.read().await?;
            if seen.lines > 0 && told.send((seen.lines, Instant::now())).is_err() {
                return Ok(());
            }
        }
    }

    async fn read(&mut self) -> anyhow::Result<Seen> {
        self.buffer.reserve(READ_BYTES);
        if self.stream.read_buf(&mut self.buffer).await? == 0 {
            bail!("the server closed the connection");
        }
        let seen = take_frames(&mut self.buffer)?;
        if !seen.replies.is_empty() {
            self.stream.write_all(&seen.replies).await?;
            self.stream.flush().await?;
        }
        Ok(seen)
    }
}

/// What was in the frames of one read.
#[derive(Debug, Default, PartialEq, Eq)]
struct Seen {
    answers: usize,
    lines: usize,
    /// Frames that the server must be sent.
    replies: Vec<u8>,
}

fn take_frames(buffer: &mut BytesMut) -> anyhow::Result<Seen> {
    let mut seen = Seen::default();
    while let Some(head) = buffer.first_chunk::<HEAD_BYTES>().copied() {
        let [a, b, c, kind, flags, ..] = head;
        let length = usize::try_from(u32::from_be_bytes([0, a, b, c]))?;
        let Some(payload) = buffer.get(HEAD_BYTES..HEAD_BYTES + length) else { break };
        match kind {
            DATA if flags & (PADDED | END_STREAM) != 0 => bail!("a watch has ended, or is padded"),
            DATA => seen.lines += memchr::memchr_iter(b'\n', payload).count(),
            HEADERS if payload.first() == Some(&STATUS_200) && flags & END_STREAM == 0 => seen.answers += 1,
            HEADERS => bail!("a watch was refused"),
            RESET => bail!("a watch was reset"),
            GO_AWAY => bail!("the server goes away"),
            SETTINGS if flags & ACK == 0 => put_frame(&mut seen.replies, SETTINGS, ACK, 0, &[]),
            PING if flags & ACK == 0 => put_frame(&mut seen.replies, PING, ACK, 0, payload),
            _ => {}
        }
        buffer.advance(HEAD_BYTES + length);
    }
    Ok(seen)
}

fn put_frame(out: &mut Vec<u8>, kind: u8, flags: u8, stream: u32, payload: &[u8]) {
    // A frame is shorter than 16 MiB: three bytes.
    let [_, length @ ..] = u32::try_from(payload.len()).unwrap_or(0).to_be_bytes();
    out.extend_from_slice(&length);
    out.extend_from_slice(&[kind, flags]);
    out.extend_from_slice(&stream.to_be_bytes());
    out.extend_from_slice(payload);
}

/// The header block of a GET. Names are those of the static table; nothing is indexed, so that all requests are alike.
fn request(authority: &str, token: &str, path: &str) -> Vec<u8> {
    const METHOD_GET: u8 = 0x82;
    const SCHEME_HTTPS: u8 = 0x87;
    let mut block = vec![METHOD_GET, SCHEME_HTTPS];
    let bearer = format!("Bearer {token}");
    for (name, value) in [(1, authority), (4, path), (19, "application/json"), (23, bearer.as_str())] {
        put_integer(&mut block, 4, name);
        put_integer(&mut block, 7, value.len());
        block.extend_from_slice(value.as_bytes());
    }
    block
}

/// An integer behind a prefix of so many bits, the bits before which are zero: RFC 7541, section 5.1.
fn put_integer(out: &mut Vec<u8>, bits: u32, value: usize) {
    let full = (1_usize << bits) - 1;
    let low = |value: usize| u8::try_from(value & 0xff).unwrap_or(0);
    if value < full {
        return out.push(low(value));
    }
    out.push(low(full));
    let mut rest = value - full;
    while rest >= 128 {
        out.push(low(rest % 128 + 128));
        rest /= 128;
    }
    out.push(low(rest));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn integers_are_those_of_the_standard() {
        let coded = |bits, value| {
            let mut out = Vec::new();
            put_integer(&mut out, bits, value);
            out
        };
        // RFC 7541, appendix C.1.
        assert_eq!(coded(5, 10), [10]);
        assert_eq!(coded(5, 1337), [31, 154, 10]);
        assert_eq!(coded(8, 42), [42]);
        assert_eq!(coded(4, 23), [15, 8]);
    }

    #[test]
    fn frames_are_taken_whole_and_pings_are_answered() {
        let mut sent = Vec::new();
        put_frame(&mut sent, SETTINGS, 0, 0, &[]);
        put_frame(&mut sent, HEADERS, END_HEADERS, 1, &[STATUS_200, 1, 2]);
        put_frame(&mut sent, PING, 0, 0, b"12345678");
        put_frame(&mut sent, DATA, 0, 1, b"one\ntwo\nthr");
        put_frame(&mut sent, DATA, 0, 1, b"ee\n");
        let (first, second) = sent.split_at(sent.len() - 1);
        let mut buffer = BytesMut::from(first);
        let seen = take_frames(&mut buffer).unwrap();
        assert_eq!((seen.answers, seen.lines), (1, 2));
        let mut replies = Vec::new();
        put_frame(&mut replies, SETTINGS, ACK, 0, &[]);
        put_frame(&mut replies, PING, ACK, 0, b"12345678");
        assert_eq!(seen.replies, replies);
        buffer.extend_from_slice(second);
        assert_eq!(take_frames(&mut buffer).unwrap(), Seen { lines: 1, ..Seen::default() });
        assert!(buffer.is_empty());
    }

    #[test]
    fn a_watch_that_is_refused_or_ends_is_a_fault() {
        for (kind, flags, payload) in [(HEADERS, END_HEADERS, [0x8d]), (DATA, END_STREAM, [b'\n']), (RESET, 0, [0])] {
            let mut sent = Vec::new();
            put_frame(&mut sent, kind, flags, 1, &payload);
            assert!(take_frames(&mut BytesMut::from(&*sent)).is_err());
        }
    }
}
