//! Blocks of headers, which are parts of one zlib stream in each direction.

use miniz_oxide::inflate::{
    TINFLStatus,
    core::{DecompressorOxide, decompress, inflate_flags::TINFL_FLAG_HAS_MORE_INPUT},
};

/// What both sides know before the first block: section 2.6.10.1 of the specification.
const DICTIONARY: &[u8; 1423] = include_bytes!("dictionary.bin");
/// What a reference of DEFLATE can reach back to, and so what must be kept.
const WINDOW_BYTES: usize = 32 << 10;
/// The most of one block, inflated.
const BLOCK_BYTES: usize = 64 << 10;
/// The most pairs of one block.
const PAIRS: u32 = 64;
/// What begins a zlib stream with the default window and no dictionary: RFC 1950, 2.2.
const ZLIB_HEAD: [u8; 2] = [0x78, 0x01];
/// The bit of its second byte that says that the checksum of a dictionary follows.
const HAS_DICTIONARY: u8 = 0x20;

/// Inflates blocks, each of which builds on those before.
pub struct Inflate {
    state: Box<DecompressorOxide>,
    window: Vec<u8>,
    at: usize,
    begun: bool,
}

impl Inflate {
    pub fn new() -> Self {
        let mut window = DICTIONARY.to_vec();
        window.resize(WINDOW_BYTES, 0);
        Self { state: Box::default(), window, at: DICTIONARY.len(), begun: false }
    }

    /// The bytes of a block; `None` when it is broken or too large.
    pub fn block(&mut self, mut bytes: &[u8]) -> Option<Vec<u8>> {
        if !self.begun {
            let skipped = if bytes.get(1)? & HAS_DICTIONARY == 0 { 2 } else { 6 };
            bytes = bytes.get(skipped..)?;
            self.begun = true;
        }
        let mut out = Vec::new();
        loop {
            let (status, read, written) =
                decompress(&mut self.state, bytes, &mut self.window, self.at, TINFL_FLAG_HAS_MORE_INPUT);
            bytes = bytes.get(read..)?;
            out.extend_from_slice(self.window.get(self.at..self.at + written)?);
            self.at = (self.at + written) % WINDOW_BYTES;
            match status {
                _ if out.len() > BLOCK_BYTES => return None,
                TINFLStatus::HasMoreOutput => {}
                TINFLStatus::NeedsMoreInput if bytes.is_empty() => return Some(out),
                _ => return None,
            }
        }
    }
}

/// An empty stored block. Go's reader gives out what it has read only when it meets one, as compressors end a block
/// that they flush.
const FLUSH: [u8; 5] = [0, 0, 0, 0xff, 0xff];

/// Writes a block as it is, without compression: what we say is short. `begun` says whether there was one before.
pub fn block(begun: &mut bool, bytes: &[u8]) -> Vec<u8> {
    let mut out = if std::mem::replace(begun, true) { Vec::new() } else { ZLIB_HEAD.to_vec() };
    for part in bytes.chunks(usize::from(u16::MAX)) {
        // Not the last block, and stored: RFC 1951, 3.2.4.
        let length = u16::try_from(part.len()).unwrap_or(0);
        out.push(0);
        out.extend(length.to_le_bytes());
        out.extend((!length).to_le_bytes());
        out.extend_from_slice(part);
    }
    out.extend(FLUSH);
    out
}

/// Reads the pairs of a block.
pub fn parse(block: &[u8]) -> Option<Vec<(String, String)>> {
    let mut rest = block;
    let number = |rest: &mut &[u8]| {
        let (number, after) = rest.split_first_chunk::<4>()?;
        *rest = after;
        Some(u32::from_be_bytes(*number))
    };
    let count = number(&mut rest).filter(|count| *count <= PAIRS)?;
    let mut pairs = Vec::new();
    for _ in 0..count {
        let mut text = || {
            let length = usize::try_from(number(&mut rest)?).ok()?;
            let (text, after) = rest.split_at_checked(length)?;
            rest = after;
            Some(String::from_utf8_lossy(text).into_owned())
        };
        pairs.push((text()?, text()?));
    }
    Some(pairs)
}
