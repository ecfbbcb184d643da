//! `sendmsg(2)` and `sendmmsg(2)` with an address: what a program has laid out in its memory is read once, within bounds,
//! and sent for it.
//!
//! A filter cannot see whether such a call names an address. Those of `sendmmsg` wait for the supervisor, and those of
//! `sendmsg` without `MSG_NOSIGNAL`: libraries that write to streams by it set that flag (gRPC, UCX, libfabric), and must
//! not wait with each piece; programs that send datagrams do not (Go's `WriteMsgUDP`, Python, libuv, quinn).

use std::{
    io,
    net::{Ipv4Addr, SocketAddr},
    time::Instant,
};

use super::{
    Network, Outcome,
    address::{self, Address},
    calls::{DATAGRAM, code, low},
    notify::{Answer, Call},
    socket::Socket,
    target,
};
use crate::core::network::Protocol;

/// `sizeof(struct msghdr)` on machines of 64 bits.
const HEADER: usize = 56;
/// `sizeof(struct mmsghdr)`, with the place of `msg_len` in it.
const NUMBERED: u64 = 64;
const SENT_AT: u64 = 56;
/// Parts of a message, as the kernel has it: `UIO_MAXIOV`.
const PARTS: usize = 1024;
/// Messages that are carried out of one call. A program whose call has sent fewer than it has makes another.
const MESSAGES: u64 = 16;
/// Bytes of ancillary data; the kinds that go through take less than two hundred.
const CONTROL: usize = 1024;
/// `sizeof(struct cmsghdr)`, by which ancillary data are aligned too.
const ITEM: usize = 16;

/// Kinds of ancillary data that mean the same on the host: how a datagram is marked, how long it lives, how it is cut.
const KEPT: [(i32, i32); 5] = [
    (libc::IPPROTO_IP, libc::IP_TOS),
    (libc::IPPROTO_IP, libc::IP_TTL),
    (libc::IPPROTO_IPV6, libc::IPV6_TCLASS),
    (libc::IPPROTO_IPV6, libc::IPV6_HOPLIMIT),
    (libc::SOL_UDP, libc::UDP_SEGMENT),
];

/// A message as it lies in the program's memory: `struct msghdr`.
#[derive(Clone, Copy, Debug)]
struct Header {
    name: (u64, u32),
    parts: (u64, u64),
    control: (u64, u64),
}

impl Header {
    fn read(thread: i32, at: u64) -> io::Result<Self> {
        let mut bytes = [0; HEADER];
        if target::read(thread, at, &mut bytes)? != HEADER {
            return Err(code(libc::EFAULT));
        }
        let word = |at: usize| bytes[at..].first_chunk::<8>().map_or(0, |bytes| u64::from_ne_bytes(*bytes));
        let length = bytes[8..].first_chunk::<4>().map_or(0, |bytes| u32::from_ne_bytes(*bytes));
        Ok(Self { name: (word(0), length), parts: (word(16), word(24)), control: (word(32), word(40)) })
    }

    /// The address that it names; `None` where it names none of the internet.
    fn address(&self, thread: i32) -> io::Result<Option<SocketAddr>> {
        let (at, length) = self.name;
        let length = usize::try_from(length).unwrap_or(usize::MAX);
        if at == 0 || length == 0 || length > address::LONGEST {
            return Ok(None);
        }
        let mut bytes = [0; address::LONGEST];
        let read = target::read(thread, at, &mut bytes[..length])?;
        Ok(match address::parse(&bytes[..read]) {
            Address::Internet(asked) => Some(asked),
            Address::Unspecified | Address::Other => None,
        })
    }

    /// Its bytes, from wherever they lie.
    fn bytes(&self, thread: i32) -> io::Result<Vec<u8>> {
        let (at, count) = self.parts;
        let count = usize::try_from(count).ok().filter(|count| *count <= PARTS).ok_or_else(|| code(libc::EMSGSIZE))?;
        let mut rows = vec![0; 16 * count];
        if !rows.is_empty() && target::read(thread, at, &mut rows)? != rows.len() {
            return Err(code(libc::EFAULT));
        }
        let mut all = Vec::new();
        for row in rows.chunks_exact(16) {
            let word = |at: usize| row[at..].first_chunk::<8>().map_or(0, |bytes| u64::from_ne_bytes(*bytes));
            let (base, length) = (word(0), usize::try_from(word(8)).unwrap_or(usize::MAX));
            let end = all.len().saturating_add(length);
            if end > DATAGRAM {
                return Err(code(libc::EMSGSIZE));
            }
            let begin = all.len();
            all.resize(end, 0);
            if length > 0 && target::read(thread, base, &mut all[begin..])? != length {
                return Err(code(libc::EFAULT));
            }
        }
        Ok(all)
    }

    fn control(&self, thread: i32) -> io::Result<Vec<u8>> {
        let (at, length) = self.control;
        let length =
            usize::try_from(length).ok().filter(|length| *length <= CONTROL).ok_or_else(|| code(libc::ENOBUFS))?;
        let mut bytes = vec![0; if at == 0 { 0 } else { length }];
        if !bytes.is_empty() && target::read(thread, at, &mut bytes)? != bytes.len() {
            return Err(code(libc::EFAULT));
        }
        Ok(bytes)
    }
}

/// Ancillary data as the host understands them: those that mean the same there, and the address from which a datagram
/// comes, which the program may choose among its own: `own` is the pod's as objects show it, `host` the one that stands
/// for it.
///
/// # Errors
/// `EINVAL` for what does not fit and for an address that is not the pod's, as the kernel has it.
fn carry(control: &[u8], own: Option<Ipv4Addr>, host: Ipv4Addr) -> io::Result<(Vec<u8>, bool)> {
    let wrong = || code(libc::EINVAL);
    let (mut carried, mut has_source, mut rest) = (Vec::new(), false, control);
    while rest.len() >= ITEM {
        let number = |at: usize| rest[at..].first_chunk::<4>().map_or(0, |bytes| i32::from_ne_bytes(*bytes));
        let length = rest.first_chunk::<8>().map_or(0, |bytes| usize::from_ne_bytes(*bytes));
        let (level, kind) = (number(8), number(12));
        let content = rest.get(ITEM..length).ok_or_else(wrong)?;
        if KEPT.contains(&(level, kind)) {
            item(&mut carried, level, kind, content);
        } else if (level, kind) == (libc::IPPROTO_IP, libc::IP_PKTINFO) {
            // struct in_pktinfo: an interface, of which there is one, and the address to come from.
            let wanted = content.get(4..8).and_then(|bytes| bytes.first_chunk::<4>()).ok_or_else(wrong)?;
            let wanted = Ipv4Addr::from(*wanted);
            if !wanted.is_unspecified() && own.is_some_and(|own| wanted != own && wanted != host) {
                return Err(wrong());
            }
            if own.is_none() && !wanted.is_unspecified() {
                item(&mut carried, level, kind, &[[0; 4].as_slice(), wanted.octets().as_slice(), &[0; 4]].concat());
                has_source = true;
            }
        } else if (level, kind) != (libc::IPPROTO_IPV6, libc::IPV6_PKTINFO) {
            return Err(wrong());
        }
        rest = rest.get(length.next_multiple_of(8)..).unwrap_or_default();
    }
    Ok((carried, has_source))
}

/// Adds a piece of ancillary data.
pub fn item(control: &mut Vec<u8>, level: i32, kind: i32, content: &[u8]) {
    control.extend((ITEM + content.len()).to_ne_bytes());
    control.extend(level.to_ne_bytes());
    control.extend(kind.to_ne_bytes());
    control.extend(content);
    control.resize(control.len().next_multiple_of(8), 0);
}

impl Network {
    /// `sendmsg`, of a datagram socket with an address of the cluster; all else is the kernel's.
    pub(super) fn send_message(&mut self, listener: u64, call: &Call, now: Instant) -> io::Result<Outcome> {
        let header = Header::read(call.thread, call.arguments[1])?;
        if header.address(call.thread)?.is_none() {
            return Ok(Outcome::Answer(Answer::Continue));
        }
        let Some(mut socket) = self.socket(listener, call)?.filter(|socket| socket.protocol == Protocol::Udp) else {
            return Ok(Outcome::Answer(Answer::Continue));
        };
        let Some(sent) = self.send_one(&mut socket, call, &header, low(call.arguments[2]), now)? else {
            return Ok(Outcome::Answer(Answer::Continue));
        };
        Ok(Outcome::Answer(Answer::Value(i64::try_from(sent).unwrap_or(i64::MAX))))
    }

    /// `sendmmsg`: where one of its messages is for the cluster, as many as come before the first that fails.
    pub(super) fn send_messages(&mut self, listener: u64, call: &Call, now: Instant) -> io::Result<Outcome> {
        let [_, at, count, flags, ..] = call.arguments;
        let count = (count & u64::from(u32::MAX)).min(MESSAGES);
        let headers: Vec<Header> = (0..count)
            .map(|number| Header::read(call.thread, at.wrapping_add(number * NUMBERED)))
            .collect::<io::Result<_>>()?;
        let addresses: Vec<Option<SocketAddr>> =
            headers.iter().map(|header| header.address(call.thread)).collect::<io::Result<_>>()?;
        if addresses.iter().all(Option::is_none) {
            return Ok(Outcome::Answer(Answer::Continue));
        }
        let Some(mut socket) = self.socket(listener, call)?.filter(|socket| socket.protocol == Protocol::Udp) else {
            return Ok(Outcome::Answer(Answer::Continue));
        };
        let flags = low(flags);
        let mut done = 0;
        for (number, (header, asked)) in (0..).zip(headers.iter().zip(addresses)) {
            let sent = match self.send_one(&mut socket, call, header, flags, now) {
                // Not for the cluster: as it stands, so that the order is kept.
                Ok(None) => self.send_as_asked(&socket, call, header, asked, flags),
                Ok(Some(sent)) => Ok(sent),
                Err(error) => Err(error),
            };
            match sent {
                Ok(sent) => {
                    let length = u32::try_from(sent).unwrap_or(u32::MAX).to_ne_bytes();
                    target::write(call.thread, at.wrapping_add(number * NUMBERED + SENT_AT), &length)?;
                    done += 1;
                }
                Err(error) if done == 0 => return Err(error),
                Err(_) => break,
            }
        }
        Ok(Outcome::Answer(Answer::Value(done)))
    }

    /// Sends a message that is for the cluster; `None` for one that is not.
    fn send_one(
        &mut self,
        socket: &mut Socket,
        call: &Call,
        header: &Header,
        flags: i32,
        now: Instant,
    ) -> io::Result<Option<usize>> {
        let Some(asked) = header.address(call.thread)? else { return Ok(None) };
        let Some(to) = self.datagram_to(socket, asked, now)? else { return Ok(None) };
        let (bytes, control) = (header.bytes(call.thread)?, header.control(call.thread)?);
        let (mut control, has_source) = carry(&control, self.own, self.speaker())?;
        let source = self.datagram_from(socket, to)?;
        if let Some(source) = source.filter(|_| !has_source) {
            super::socket::from(&mut control, source);
        }
        socket.send_with(&bytes, flags, Some(socket.form(to)), &control).map(Some)
    }

    fn send_as_asked(
        &self,
        socket: &Socket,
        call: &Call,
        header: &Header,
        asked: Option<SocketAddr>,
        flags: i32,
    ) -> io::Result<usize> {
        let (bytes, control) = (header.bytes(call.thread)?, header.control(call.thread)?);
        socket.send_with(&bytes, flags, asked, &control)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OWN: Ipv4Addr = Ipv4Addr::new(10, 244, 1, 7);
    const HOST: Ipv4Addr = Ipv4Addr::new(127, 20, 1, 7);

    fn source(address: Ipv4Addr) -> Vec<u8> {
        let mut control = Vec::new();
        item(
            &mut control,
            libc::IPPROTO_IP,
            libc::IP_PKTINFO,
            &[[1, 0, 0, 0].as_slice(), address.octets().as_slice(), &[0; 4]].concat(),
        );
        control
    }

    #[test]
    fn ancillary_data_that_mean_the_same_on_the_host_are_kept() {
        let mut control = Vec::new();
        item(&mut control, libc::IPPROTO_IP, libc::IP_TTL, &7_i32.to_ne_bytes());
        item(&mut control, libc::SOL_UDP, libc::UDP_SEGMENT, &1200_u16.to_ne_bytes());
        assert_eq!(carry(&control, Some(OWN), HOST).unwrap(), (control.clone(), false));
        assert_eq!(carry(&[], Some(OWN), HOST).unwrap(), (Vec::new(), false));
        let mut foreign = Vec::new();
        item(&mut foreign, libc::SOL_SOCKET, libc::SCM_RIGHTS, &[0; 4]);
        assert!(carry(&foreign, Some(OWN), HOST).is_err());
        let mut cut = control;
        cut[0] = 200;
        assert!(carry(&cut, Some(OWN), HOST).is_err(), "longer than it is");
        cut[0] = 3;
        assert!(carry(&cut, Some(OWN), HOST).is_err(), "shorter than its own head");
    }

    #[test]
    fn a_pod_sends_from_its_own_address_alone() {
        for address in [OWN, HOST, Ipv4Addr::UNSPECIFIED] {
            assert_eq!(carry(&source(address), Some(OWN), HOST).unwrap(), (Vec::new(), false), "{address}");
        }
        assert!(carry(&source(Ipv4Addr::new(10, 244, 1, 8)), Some(OWN), HOST).is_err());
        let (kept, has_source) = carry(&source(Ipv4Addr::LOCALHOST), None, HOST).unwrap();
        assert!(has_source && kept.len() == 32, "in the host's network it is one of the host");
    }
}
