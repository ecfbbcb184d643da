//! HTTP/1.1 as the control plane speaks it: heads of answers, and bodies with a length or in chunks.

use std::io::{self, BufRead, Read, Write};

/// Bytes of an answer's head.
const HEAD: u64 = 64 * 1024;

/// The head of an answer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Head {
    pub status: u16,
    pub length: Option<u64>,
    pub is_chunked: bool,
    pub closes: bool,
    pub content_type: String,
}

fn broken(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("the control plane's answer is broken: {what}"))
}

impl Head {
    /// Reads a head.
    pub fn read(reader: &mut impl BufRead) -> io::Result<Self> {
        let mut reader = reader.take(HEAD);
        let first = line(&mut reader)?;
        let mut words = first.split(' ');
        let version = words.next().unwrap_or_default();
        let status = words.next().and_then(|status| status.parse().ok()).ok_or_else(|| broken("no status"))?;
        let mut head = Self { status, closes: version == "HTTP/1.0", ..Self::default() };
        loop {
            let line = line(&mut reader)?;
            if line.is_empty() {
                return Ok(head);
            }
            let (name, value) = line.split_once(':').ok_or_else(|| broken("a header without a colon"))?;
            let value = value.trim();
            match name.to_ascii_lowercase().as_str() {
                "content-length" => head.length = Some(value.parse().map_err(|_| broken("its length"))?),
                "transfer-encoding" => head.is_chunked = value.eq_ignore_ascii_case("chunked"),
                "connection" => head.closes |= value.eq_ignore_ascii_case("close"),
                "content-type" => head.content_type = value.to_owned(),
                _ => {}
            }
        }
    }
}

fn line(reader: &mut impl BufRead) -> io::Result<String> {
    let mut line = Vec::new();
    reader.read_until(b'\n', &mut line)?;
    let line = line.strip_suffix(b"\n").ok_or_else(|| io::Error::from(io::ErrorKind::UnexpectedEof))?;
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    String::from_utf8(line.to_vec()).map_err(|_| broken("it is no text"))
}

/// The body of an answer.
pub struct Body<R> {
    reader: R,
    left: Left,
}

enum Left {
    Bytes(u64),
    /// Bytes of the chunk that is being read, before which another may have been.
    Chunk {
        left: u64,
        is_first: bool,
    },
    UntilClosed,
    Nothing,
}

impl<R: BufRead> Body<R> {
    /// The body that follows `head`.
    pub fn new(reader: R, head: &Head) -> Self {
        let left = match (head.status, head.is_chunked, head.length) {
            (204 | 304, ..) => Left::Nothing,
            (_, true, _) => Left::Chunk { left: 0, is_first: true },
            (_, false, Some(0)) => Left::Nothing,
            (_, false, Some(length)) => Left::Bytes(length),
            (_, false, None) => Left::UntilClosed,
        };
        Self { reader, left }
    }

    /// Whether all of it was read, so that another answer may follow.
    pub fn is_over(&self) -> bool {
        matches!(self.left, Left::Nothing)
    }

    fn some(&mut self, buffer: &mut [u8], most: u64) -> io::Result<usize> {
        let most = buffer.len().min(usize::try_from(most).unwrap_or(usize::MAX));
        match self.reader.read(&mut buffer[..most])? {
            0 => Err(io::ErrorKind::UnexpectedEof.into()),
            count => Ok(count),
        }
    }

    /// Reads where the next chunk begins; 0 is the last one, after which an empty line follows.
    fn next_chunk(&mut self, is_first: bool) -> io::Result<u64> {
        let mut reader = (&mut self.reader).take(HEAD);
        if !is_first {
            line(&mut reader)?;
        }
        let size = line(&mut reader)?;
        let size = size.split(';').next().unwrap_or_default().trim();
        let size = u64::from_str_radix(size, 16).map_err(|_| broken("a chunk without a size"))?;
        if size == 0 {
            while !line(&mut reader)?.is_empty() {}
        }
        Ok(size)
    }
}

impl<R: BufRead> Read for Body<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if buffer.is_empty() {
            return Ok(0);
        }
        loop {
            match self.left {
                Left::Nothing => return Ok(0),
                Left::UntilClosed => return self.reader.read(buffer),
                Left::Bytes(left) => {
                    let count = self.some(buffer, left)?;
                    let left = left - count as u64;
                    self.left = if left == 0 { Left::Nothing } else { Left::Bytes(left) };
                    return Ok(count);
                }
                Left::Chunk { left: 0, is_first } => {
                    let left = self.next_chunk(is_first)?;
                    self.left = if left == 0 { Left::Nothing } else { Left::Chunk { left, is_first: false } };
                }
                Left::Chunk { left, .. } => {
                    let count = self.some(buffer, left)?;
                    // The end of the chunk is read with the next one's beginning; the last one's with this read's caller
                    // asking for more.
                    self.left = Left::Chunk { left: left - count as u64, is_first: false };
                    return Ok(count);
                }
            }
        }
    }
}

/// Writes a body in chunks.
pub struct Chunks<W: Write>(pub W);

impl<W: Write> Chunks<W> {
    /// Writes the last chunk.
    pub fn finish(mut self) -> io::Result<()> {
        self.0.write_all(b"0\r\n\r\n")
    }
}

impl<W: Write> Write for Chunks<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if !bytes.is_empty() {
            write!(self.0, "{:x}\r\n", bytes.len())?;
            self.0.write_all(bytes)?;
            self.0.write_all(b"\r\n")?;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(answer: &str) -> io::Result<(Head, String, String)> {
        let mut reader = io::BufReader::with_capacity(7, answer.as_bytes());
        let head = Head::read(&mut reader)?;
        let mut text = String::new();
        Body::new(&mut reader, &head).read_to_string(&mut text)?;
        let mut rest = String::new();
        reader.read_to_string(&mut rest)?;
        Ok((head, text, rest))
    }

    #[test]
    fn answers_are_read_to_their_end_and_no_further() {
        for (answer, status, text, rest) in [
            ("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhelloNEXT", 200, "hello", "NEXT"),
            ("HTTP/1.1 204 No Content\r\n\r\nNEXT", 204, "", "NEXT"),
            ("HTTP/1.1 404 Not Found\r\ncontent-length:0\r\nconnection: close\r\n\r\nNEXT", 404, "", "NEXT"),
            (
                "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n2;x=y\r\nde\r\n0\r\n\r\nNEXT",
                200,
                "abcde",
                "NEXT",
            ),
            ("HTTP/1.0 200 OK\r\n\r\nuntil the end", 200, "until the end", ""),
        ] {
            let (head, body, after) = read(answer).unwrap();
            assert_eq!((head.status, body.as_str(), after.as_str()), (status, text, rest), "{answer}");
        }
    }

    #[test]
    fn cut_and_broken_answers_are_errors() {
        for answer in [
            "",
            "HTTP/1.1 200 OK\r\n",
            "HTTP/1.1 abc\r\n\r\n",
            "HTTP/1.1 200 OK\r\nno colon\r\n\r\n",
            "HTTP/1.1 200 OK\r\ncontent-length: x\r\n\r\n",
            "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhell",
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nab",
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n",
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1\r\na\r\n",
        ] {
            assert!(read(answer).is_err(), "{answer}");
        }
        assert!(read(&format!("HTTP/1.1 200 OK\r\nx: {}\r\n\r\n", "y".repeat(100_000))).is_err());
    }

    #[test]
    fn chunks_are_read_as_they_were_written() {
        let mut bytes = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n".to_vec();
        let mut chunks = Chunks(&mut bytes);
        chunks.write_all(b"abc").unwrap();
        chunks.write_all(b"").unwrap();
        chunks.write_all(&[b'x'; 300]).unwrap();
        chunks.finish().unwrap();
        assert_eq!(read(std::str::from_utf8(&bytes).unwrap()).unwrap().1, format!("abc{}", "x".repeat(300)));
    }
}
