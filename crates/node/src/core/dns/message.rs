//! Questions and answers as they are sent.
//!
//! Reads questions of clients and answers of other servers; writes answers, and questions to other servers.

use std::{
    collections::HashMap,
    net::{Ipv4Addr, Ipv6Addr},
};

use super::{Name, code, kind, read::Reader};

/// The class of the Internet, the only one there is.
const INTERNET: u16 = 1;
/// What a client takes that says nothing: RFC 1035, 4.2.1.
pub const PLAIN_BYTES: usize = 512;
/// What we say that we take, and the most that we send by UDP: what passes without fragments everywhere.
pub const PAYLOAD_BYTES: u16 = 1232;
/// The most that fits into a message by TCP, whose length has two octets.
pub const STREAM_BYTES: usize = u16::MAX as usize;
/// Where a pointer can point to: 14 bits.
const POINTABLE: usize = 0x3fff;

const HEADER_BYTES: usize = 12;
const ANSWER: u16 = 0x8000;
const AUTHORITATIVE: u16 = 0x0400;
const TRUNCATED: u16 = 0x0200;
const RECURSION_DESIRED: u16 = 0x0100;
const RECURSION_AVAILABLE: u16 = 0x0080;

/// A question.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Query {
    pub id: u16,
    pub recursion_desired: bool,
    pub name: Name,
    pub kind: u16,
    /// What the client takes by UDP, where it says so (EDNS).
    pub payload: Option<u16>,
}

impl Query {
    /// How long an answer by UDP may be.
    pub fn limit(&self) -> usize {
        let wanted = self.payload.map_or(PLAIN_BYTES, |payload| usize::from(payload.min(PAYLOAD_BYTES)));
        wanted.max(PLAIN_BYTES)
    }
}

/// What a record says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Data {
    A(Ipv4Addr),
    Aaaa(Ipv6Addr),
    Cname(Name),
    Ns(Name),
    Ptr(Name),
    Txt(String),
    Srv { priority: u16, weight: u16, port: u16, target: Name },
    Soa { server: Name, mailbox: Name, serial: u32, refresh: u32, retry: u32, expire: u32, minimum: u32 },
}

impl Data {
    /// The type's number.
    pub fn kind(&self) -> u16 {
        match self {
            Self::A(_) => kind::A,
            Self::Aaaa(_) => kind::AAAA,
            Self::Cname(_) => kind::CNAME,
            Self::Ns(_) => kind::NS,
            Self::Ptr(_) => kind::PTR,
            Self::Txt(_) => kind::TXT,
            Self::Srv { .. } => kind::SRV,
            Self::Soa { .. } => kind::SOA,
        }
    }
}

/// A record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    pub name: Name,
    pub ttl_s: u32,
    pub data: Data,
}

/// An answer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reply {
    pub code: u8,
    pub authoritative: bool,
    pub answers: Vec<Record>,
    pub authority: Vec<Record>,
    pub additional: Vec<Record>,
}

impl Reply {
    /// An answer that has nothing but a code.
    pub fn bare(code: u8) -> Self {
        Self { code, ..Self::default() }
    }

    /// Moves the addresses at the end of the answer round by `turn`, so that clients that take the first one
    /// spread over all.
    pub fn rotate(&mut self, turn: usize) {
        let is_address = |record: &Record| matches!(record.data, Data::A(_) | Data::Aaaa(_));
        let first = self.answers.iter().position(is_address).unwrap_or(self.answers.len());
        let addresses = &mut self.answers[first..];
        if !addresses.is_empty() && addresses.iter().all(is_address) {
            let by = turn % addresses.len();
            addresses.rotate_left(by);
        }
    }
}

/// A question that cannot be answered as it stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unreadable {
    /// Nothing is sent back: it is an answer, or shorter than a header.
    Silent,
    /// This is sent back.
    Code { id: u16, code: u8 },
}

/// Reads a question.
///
/// # Errors
/// [`Unreadable`].
pub fn parse_query(bytes: &[u8]) -> Result<Query, Unreadable> {
    let mut reader = Reader::new(bytes);
    let header = reader.header().ok_or(Unreadable::Silent)?;
    if header.flags & ANSWER != 0 {
        return Err(Unreadable::Silent);
    }
    let refused = |code| Unreadable::Code { id: header.id, code };
    // Bits 1 to 4 are the operation; 0 is a question.
    if header.flags >> 11 & 0xf != 0 {
        return Err(refused(code::NOT_IMPLEMENTED));
    }
    if header.questions != 1 {
        return Err(refused(code::FORMAT_ERROR));
    }
    let malformed = || refused(code::FORMAT_ERROR);
    let (name, kind, class) = reader.question().ok_or_else(malformed)?;
    if class != INTERNET {
        return Err(refused(code::REFUSED));
    }
    let mut payload = None;
    for _ in 0..header.records() {
        let record = reader.record().ok_or_else(malformed)?;
        // An OPT record says in its class what the client takes.
        if record.kind == kind::OPT {
            payload = Some(record.class);
        }
    }
    let recursion_desired = header.flags & RECURSION_DESIRED != 0;
    Ok(Query { id: header.id, recursion_desired, name, kind, payload })
}

/// What another server has answered: its code, and the addresses and aliases among its answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Heard {
    pub id: u16,
    pub code: u8,
    pub truncated: bool,
    pub answers: Vec<Record>,
}

/// Reads an answer to `asked`; `None` when it is none.
pub fn parse_reply(bytes: &[u8], asked: &Query) -> Option<Heard> {
    let mut reader = Reader::new(bytes);
    let header = reader.header()?;
    if header.id != asked.id || header.flags & ANSWER == 0 || header.questions != 1 {
        return None;
    }
    let (name, kind, _) = reader.question()?;
    if name.lower() != asked.name.lower() || kind != asked.kind {
        return None;
    }
    let truncated = header.flags & TRUNCATED != 0;
    let mut answers = Vec::new();
    for _ in 0..header.answers {
        let Some(record) = reader.record() else { break };
        if record.class == INTERNET
            && let Some(data) = reader.data(&record)
        {
            answers.push(Record { name: record.name, ttl_s: record.ttl_s, data });
        }
    }
    let code = u8::try_from(header.flags & 0xf).unwrap_or(code::SERVER_FAILURE);
    Some(Heard { id: header.id, code, truncated, answers })
}

/// Writes a question.
pub fn write_query(query: &Query) -> Vec<u8> {
    let mut writer = Writer::default();
    let flags = if query.recursion_desired { RECURSION_DESIRED } else { 0 };
    let count = u16::from(query.payload.is_some());
    [query.id, flags, 1, 0, 0, count].into_iter().for_each(|word| writer.word(word));
    writer.question(&query.name, query.kind);
    if let Some(payload) = query.payload {
        writer.options(payload);
    }
    writer.bytes
}

/// Writes the answer to a question in at most `limit` octets; what does not fit is left out, and the answer says so.
pub fn write_reply(query: &Query, reply: &Reply, limit: usize) -> Vec<u8> {
    let mut writer = Writer::default();
    writer.bytes.resize(HEADER_BYTES, 0);
    writer.question(&query.name, query.kind);
    let reserved = if query.payload.is_some() { OPTIONS_BYTES } else { 0 };
    let limit = limit.saturating_sub(reserved);
    let (mut counts, mut truncated) = ([0u16; 3], false);
    for (section, records) in [&reply.answers, &reply.authority, &reply.additional].into_iter().enumerate() {
        for record in records {
            let before = writer.bytes.len();
            writer.record(record);
            if writer.bytes.len() > limit {
                writer.bytes.truncate(before);
                writer.places.retain(|_, place| *place < before);
                // Without additional records an answer is whole.
                truncated |= section < 2;
                break;
            }
            counts[section] += 1;
        }
        if truncated {
            break;
        }
    }
    if query.payload.is_some() {
        writer.options(PAYLOAD_BYTES);
        counts[2] += 1;
    }
    let mut flags = ANSWER | RECURSION_AVAILABLE | u16::from(reply.code);
    flags |= if reply.authoritative { AUTHORITATIVE } else { 0 };
    flags |= if truncated { TRUNCATED } else { 0 };
    flags |= if query.recursion_desired { RECURSION_DESIRED } else { 0 };
    writer.header(query.id, flags, [1, counts[0], counts[1], counts[2]]);
    writer.bytes
}

/// Writes an answer to what could not be read as a question.
pub fn write_refusal(id: u16, code: u8) -> Vec<u8> {
    let mut writer = Writer::default();
    [id, ANSWER | u16::from(code), 0, 0, 0, 0].into_iter().for_each(|word| writer.word(word));
    writer.bytes
}

/// An empty name, type, class, time and length.
const OPTIONS_BYTES: usize = 11;

#[derive(Default)]
struct Writer {
    bytes: Vec<u8>,
    /// Where a name, in small letters, was written before.
    places: HashMap<Vec<Vec<u8>>, usize>,
}

impl Writer {
    fn word(&mut self, word: u16) {
        self.bytes.extend(word.to_be_bytes());
    }

    fn long(&mut self, long: u32) {
        self.bytes.extend(long.to_be_bytes());
    }

    fn header(&mut self, id: u16, flags: u16, counts: [u16; 4]) {
        let words = [id, flags, counts[0], counts[1], counts[2], counts[3]];
        for (place, word) in words.into_iter().enumerate() {
            self.bytes[place * 2..place * 2 + 2].copy_from_slice(&word.to_be_bytes());
        }
    }

    fn name(&mut self, name: &Name) {
        let lower = name.lower();
        for (at, label) in name.labels().iter().enumerate() {
            if let Some(place) = self.places.get(&lower.labels()[at..]) {
                // Both upper bits make a pointer.
                let pointer = 0xc000 | u16::try_from(*place).unwrap_or(0);
                return self.word(pointer);
            }
            if self.bytes.len() <= POINTABLE {
                self.places.insert(lower.labels()[at..].to_vec(), self.bytes.len());
            }
            self.bytes.push(u8::try_from(label.len()).unwrap_or(0));
            self.bytes.extend(label);
        }
        self.bytes.push(0);
    }

    /// A name without pointers, as RFC 2782 wants it of targets.
    fn whole_name(&mut self, name: &Name) {
        for label in name.labels() {
            self.bytes.push(u8::try_from(label.len()).unwrap_or(0));
            self.bytes.extend(label);
        }
        self.bytes.push(0);
    }

    fn question(&mut self, name: &Name, kind: u16) {
        self.name(name);
        self.word(kind);
        self.word(INTERNET);
    }

    fn options(&mut self, payload: u16) {
        self.bytes.push(0);
        self.word(kind::OPT);
        self.word(payload);
        self.long(0);
        self.word(0);
    }

    fn record(&mut self, record: &Record) {
        self.name(&record.name);
        self.word(record.data.kind());
        self.word(INTERNET);
        self.long(record.ttl_s);
        let length = self.bytes.len();
        self.word(0);
        self.data(&record.data);
        let written = u16::try_from(self.bytes.len() - length - 2).unwrap_or(0);
        self.bytes[length..length + 2].copy_from_slice(&written.to_be_bytes());
    }

    fn data(&mut self, data: &Data) {
        match data {
            Data::A(address) => self.bytes.extend(address.octets()),
            Data::Aaaa(address) => self.bytes.extend(address.octets()),
            Data::Cname(name) | Data::Ns(name) | Data::Ptr(name) => self.name(name),
            Data::Txt(text) => {
                let text = &text.as_bytes()[..text.len().min(255)];
                self.bytes.push(u8::try_from(text.len()).unwrap_or(0));
                self.bytes.extend(text);
            }
            Data::Srv { priority, weight, port, target } => {
                [*priority, *weight, *port].into_iter().for_each(|word| self.word(word));
                self.whole_name(target);
            }
            Data::Soa { server, mailbox, serial, refresh, retry, expire, minimum } => {
                self.name(server);
                self.name(mailbox);
                [*serial, *refresh, *retry, *expire, *minimum].into_iter().for_each(|long| self.long(long));
            }
        }
    }
}
