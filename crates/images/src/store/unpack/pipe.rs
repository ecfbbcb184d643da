//! Unpacks bytes on a thread of its own, so that reading and writing go side by side; digests what comes out.

use std::{
    io::{self, BufRead, Read},
    sync::mpsc::{Receiver, SyncSender, sync_channel},
};

use flate2::read::MultiGzDecoder;

use super::{Error, members::Source};
use crate::core::{
    digest::{Digest, Hasher},
    document::Packing,
};

/// Bytes that go from one thread to the other at a time.
const PIECE: usize = 256 << 10;
/// Pieces that may wait: with this two megabytes of memory for each layer that is unpacked.
const WAITING: usize = 8;

/// Pieces as a reader.
pub struct Pieces {
    full: Receiver<io::Result<Vec<u8>>>,
    empty: SyncSender<Vec<u8>>,
    piece: Vec<u8>,
    at: usize,
}

/// The other end.
pub struct Feed {
    full: SyncSender<io::Result<Vec<u8>>>,
    empty: Receiver<Vec<u8>>,
}

/// Both ends of a pipe.
pub fn pipe() -> (Feed, Pieces) {
    let (full_in, full_out) = sync_channel(WAITING);
    let (empty_in, empty_out) = sync_channel(WAITING + 2);
    let feed = Feed { full: full_in, empty: empty_out };
    (feed, Pieces { full: full_out, empty: empty_in, piece: Vec::new(), at: 0 })
}

impl Feed {
    /// Unpacks everything, to at most `most_bytes`, and digests it.
    ///
    /// # Errors
    /// When it is damaged or beyond the bound. What reads the pieces is told as well.
    pub fn run(self, input: impl Read, packing: Packing, most_bytes: u64) -> Result<Digest, Error> {
        let outcome = match packing {
            Packing::Plain => self.pump(input, most_bytes),
            Packing::Gzip => self.pump(MultiGzDecoder::new(input), most_bytes),
            Packing::Zstd => {
                zstd::Decoder::new(input).map_err(Error::Read).and_then(|decoder| self.pump(decoder, most_bytes))
            }
        };
        if outcome.is_err() {
            // The reader stops at this; what went wrong is told by the outcome.
            let _ = self.full.send(Err(io::ErrorKind::UnexpectedEof.into()));
        }
        outcome
    }

    fn pump(&self, mut input: impl Read, most_bytes: u64) -> Result<Digest, Error> {
        let mut hasher = Hasher::default();
        loop {
            let mut piece = self.empty.try_recv().unwrap_or_default();
            piece.clear();
            (&mut input).take(PIECE as u64).read_to_end(&mut piece).map_err(Error::Read)?;
            if piece.is_empty() {
                return Ok(hasher.finish());
            }
            hasher.update(&piece);
            if hasher.size_bytes() > most_bytes {
                return Err(Error::Unpacked { most_bytes });
            }
            if self.full.send(Ok(piece)).is_err() {
                return Err(Error::Stopped);
            }
        }
    }
}

impl BufRead for Pieces {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        if self.at == self.piece.len() {
            let used = std::mem::take(&mut self.piece);
            self.at = 0;
            if used.capacity() > 0 {
                // A full channel means that there are enough pieces already.
                let _ = self.empty.try_send(used);
            }
            match self.full.recv() {
                Ok(next) => self.piece = next?,
                // The other end is through.
                Err(_) => self.piece = Vec::new(),
            }
        }
        Ok(&self.piece[self.at..])
    }

    fn consume(&mut self, count: usize) {
        self.at = (self.at + count).min(self.piece.len());
    }
}

impl Source for &mut Pieces {
    fn skip(&mut self, count: u64) -> io::Result<()> {
        match io::copy(&mut self.take(count), &mut io::sink())? {
            skipped if skipped == count => Ok(()),
            _ => Err(io::ErrorKind::UnexpectedEof.into()),
        }
    }
}

impl Read for Pieces {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let piece = self.fill_buf()?;
        let length = piece.len().min(buffer.len());
        buffer[..length].copy_from_slice(&piece[..length]);
        self.consume(length);
        Ok(length)
    }
}
