//! SPDY 3.1, as far as port forwarding and commands need it: streams in a connection, as frames of bytes.
//!
//! Written after the specification ("SPDY Protocol, draft 3.1"). A decoder takes bytes as they come; nothing here
//! touches a socket. Priorities, settings and flow control are passed over, as by the clients that there are.

mod headers;
#[cfg(test)]
pub(crate) mod tests;

use headers::{Inflate, block};

/// The version, with the bit that says that a frame is none of data.
const CONTROL: u16 = 0x8003;
const SYN_STREAM: u16 = 1;
const SYN_REPLY: u16 = 2;
const RST_STREAM: u16 = 3;
const PING: u16 = 6;
const GOAWAY: u16 = 7;
const FIN: u8 = 1;
const HEAD_BYTES: usize = 8;
/// The most of a frame that is taken: clients send 32 KiB.
const FRAME_BYTES: usize = 1 << 20;
/// The status of a stream that is refused.
const REFUSED: u32 = 3;

/// Bytes that are no SPDY.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    #[error("a frame of {0} bytes is longer than {FRAME_BYTES}")]
    TooLong(usize),
    #[error("a frame is shorter than its type wants")]
    TooShort,
    #[error("the headers of a stream cannot be read")]
    Headers,
}

/// What a client says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Frame {
    Open {
        stream: u32,
        last: bool,
        headers: Vec<(String, String)>,
    },
    Data {
        stream: u32,
        last: bool,
        bytes: Vec<u8>,
    },
    Reset {
        stream: u32,
    },
    Ping {
        id: u32,
    },
    GoAway,
    /// One that asks for nothing.
    Other,
}

/// Reads frames.
pub struct Decoder {
    waiting: Vec<u8>,
    inflate: Inflate,
}

impl Default for Decoder {
    fn default() -> Self {
        Self { waiting: Vec::new(), inflate: Inflate::new() }
    }
}

impl Decoder {
    /// Takes bytes.
    pub fn push(&mut self, bytes: &[u8]) {
        self.waiting.extend_from_slice(bytes);
    }

    /// The next whole frame.
    ///
    /// # Errors
    /// [`Fault`]; nothing that follows can be read.
    pub fn next_frame(&mut self) -> Result<Option<Frame>, Fault> {
        let Some(head) = self.waiting.first_chunk::<HEAD_BYTES>().copied() else { return Ok(None) };
        let flags = head[4];
        let length = usize::from(head[5]) << 16 | usize::from(head[6]) << 8 | usize::from(head[7]);
        if length > FRAME_BYTES {
            return Err(Fault::TooLong(length));
        }
        if self.waiting.len() < HEAD_BYTES + length {
            return Ok(None);
        }
        let rest = self.waiting.split_off(HEAD_BYTES + length);
        let body = std::mem::replace(&mut self.waiting, rest).split_off(HEAD_BYTES);
        let last = flags & FIN != 0;
        if head[0] & 0x80 == 0 {
            let stream = u32::from_be_bytes([head[0], head[1], head[2], head[3]]);
            return Ok(Some(Frame::Data { stream, last, bytes: body }));
        }
        self.control(u16::from_be_bytes([head[2], head[3]]), last, &body).map(Some)
    }

    fn control(&mut self, kind: u16, last: bool, body: &[u8]) -> Result<Frame, Fault> {
        let number = || {
            let bytes = body.first_chunk::<4>().ok_or(Fault::TooShort)?;
            Ok(u32::from_be_bytes(*bytes) & 0x7fff_ffff)
        };
        match kind {
            SYN_STREAM => {
                // The stream, the one that it belongs to, its priority and slot; then the headers.
                let block = body.get(10..).ok_or(Fault::TooShort)?;
                let headers = headers::parse(&self.inflate.block(block).ok_or(Fault::Headers)?);
                Ok(Frame::Open { stream: number()?, last, headers: headers.ok_or(Fault::Headers)? })
            }
            RST_STREAM => Ok(Frame::Reset { stream: number()? }),
            // Both sides count their own; ours sends none.
            PING => Ok(Frame::Ping { id: u32::from_be_bytes(*body.first_chunk::<4>().ok_or(Fault::TooShort)?) }),
            GOAWAY => Ok(Frame::GoAway),
            _ => Ok(Frame::Other),
        }
    }
}

/// Writes the frames in which headers are.
#[derive(Debug, Default)]
pub struct Encoder {
    begun: bool,
}

impl Encoder {
    /// Says that a stream is taken.
    pub fn reply(&mut self, stream: u32) -> Vec<u8> {
        let mut body = stream.to_be_bytes().to_vec();
        body.extend(block(&mut self.begun, &0u32.to_be_bytes()));
        control(SYN_REPLY, &body)
    }
}

/// Data of a stream; with `last`, nothing more comes in it.
pub fn data(stream: u32, bytes: &[u8], last: bool) -> Vec<u8> {
    let mut frame = (stream & 0x7fff_ffff).to_be_bytes().to_vec();
    frame.extend(flags_and_length(if last { FIN } else { 0 }, bytes.len()));
    frame.extend_from_slice(bytes);
    frame
}

/// Says that a stream is not taken.
pub fn refuse(stream: u32) -> Vec<u8> {
    control(RST_STREAM, &[stream.to_be_bytes(), REFUSED.to_be_bytes()].concat())
}

/// Answers a ping.
pub fn pong(id: u32) -> Vec<u8> {
    control(PING, &id.to_be_bytes())
}

fn control(kind: u16, body: &[u8]) -> Vec<u8> {
    let mut frame = CONTROL.to_be_bytes().to_vec();
    frame.extend(kind.to_be_bytes());
    frame.extend(flags_and_length(0, body.len()));
    frame.extend_from_slice(body);
    frame
}

/// A frame's flags, and its length in three bytes.
fn flags_and_length(flags: u8, length: usize) -> [u8; 4] {
    let length = u32::try_from(length).unwrap_or(0) & 0x00ff_ffff;
    (u32::from(flags) << 24 | length).to_be_bytes()
}
