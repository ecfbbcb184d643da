//! Reads the parts of a message. Never trusts a length or a pointer.

use super::{
    Name, kind,
    message::Data,
    name::{LABEL_BYTES, NAME_BYTES},
};

/// Pointers that are followed in one name: each must point before the last one, so no name needs more.
const POINTERS: usize = 32;

/// The first twelve octets.
pub struct Header {
    pub id: u16,
    pub flags: u16,
    pub questions: u16,
    pub answers: u16,
    authority: u16,
    additional: u16,
}

impl Header {
    /// How many records follow the questions.
    pub fn records(&self) -> usize {
        usize::from(self.answers) + usize::from(self.authority) + usize::from(self.additional)
    }
}

/// A record whose data has not been looked at.
pub struct Raw {
    pub name: Name,
    pub kind: u16,
    pub class: u16,
    pub ttl_s: u32,
    /// Where the data begins and ends.
    start: usize,
    end: usize,
}

/// Reads a message from its beginning.
pub struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    fn word(&mut self) -> Option<u16> {
        let bytes = self.bytes.get(self.at..self.at + 2)?;
        self.at += 2;
        Some(u16::from_be_bytes([bytes[0], bytes[1]]))
    }

    pub fn header(&mut self) -> Option<Header> {
        Some(Header {
            id: self.word()?,
            flags: self.word()?,
            questions: self.word()?,
            answers: self.word()?,
            authority: self.word()?,
            additional: self.word()?,
        })
    }

    fn name(&mut self) -> Option<Name> {
        let (name, after) = self.name_at(self.at)?;
        self.at = after;
        Some(name)
    }

    /// The name that begins at `start`, and where what follows it begins.
    fn name_at(&self, start: usize) -> Option<(Name, usize)> {
        let (mut labels, mut at, mut after, mut length) = (Vec::new(), start, None, 1);
        for _ in 0..POINTERS {
            let lowest = at;
            loop {
                let count = usize::from(*self.bytes.get(at)?);
                if count & 0xc0 == 0xc0 {
                    let low = usize::from(*self.bytes.get(at + 1)?);
                    after.get_or_insert(at + 2);
                    at = (count & 0x3f) << 8 | low;
                    if at >= lowest {
                        return None;
                    }
                    break;
                }
                if count == 0 {
                    return Some((Name::from_labels(labels)?, after.unwrap_or(at + 1)));
                }
                length += count + 1;
                if count > LABEL_BYTES || length > NAME_BYTES {
                    return None;
                }
                labels.push(self.bytes.get(at + 1..at + 1 + count)?.to_vec());
                at += count + 1;
            }
        }
        None
    }

    /// A name, a type and a class.
    pub fn question(&mut self) -> Option<(Name, u16, u16)> {
        Some((self.name()?, self.word()?, self.word()?))
    }

    pub fn record(&mut self) -> Option<Raw> {
        let (name, kind, class) = self.question()?;
        let ttl_s = u32::from(self.word()?) << 16 | u32::from(self.word()?);
        let length = usize::from(self.word()?);
        let (start, end) = (self.at, self.at + length);
        self.bytes.get(start..end)?;
        self.at = end;
        Some(Raw { name, kind, class, ttl_s, start, end })
    }

    /// The data of a record, if it is an address or an alias.
    pub fn data(&self, record: &Raw) -> Option<Data> {
        let bytes = self.bytes.get(record.start..record.end)?;
        match record.kind {
            kind::A => <[u8; 4]>::try_from(bytes).ok().map(|octets| Data::A(octets.into())),
            kind::AAAA => <[u8; 16]>::try_from(bytes).ok().map(|octets| Data::Aaaa(octets.into())),
            kind::CNAME => self.name_at(record.start).map(|(name, _)| Data::Cname(name)),
            _ => None,
        }
    }
}
