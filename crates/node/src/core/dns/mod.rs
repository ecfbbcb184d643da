//! The cluster's names: what a question is answered with, and how both are written (RFC 1035, RFC 2782, RFC 6891).
//!
//! The rules are those of "Kubernetes DNS-Based Service Discovery", version 1.1.0; where they leave something
//! open, answers are CoreDNS's. Opens no socket: `services::dns` does.

pub mod message;
pub mod name;
mod read;
pub mod zone;

#[cfg(test)]
mod message_tests;
#[cfg(test)]
mod zone_tests;

pub use name::Name;

/// Types of records, by number.
pub mod kind {
    pub const A: u16 = 1;
    pub const NS: u16 = 2;
    pub const CNAME: u16 = 5;
    pub const SOA: u16 = 6;
    pub const PTR: u16 = 12;
    pub const TXT: u16 = 16;
    pub const AAAA: u16 = 28;
    pub const SRV: u16 = 33;
    pub const OPT: u16 = 41;
}

/// Codes of answers, by number.
pub mod code {
    pub const NO_ERROR: u8 = 0;
    pub const FORMAT_ERROR: u8 = 1;
    pub const SERVER_FAILURE: u8 = 2;
    pub const NO_SUCH_NAME: u8 = 3;
    pub const NOT_IMPLEMENTED: u8 = 4;
    pub const REFUSED: u8 = 5;
}
