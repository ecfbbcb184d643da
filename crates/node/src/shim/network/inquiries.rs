//! What programs ask of their sockets: who they are, whom they speak with, which interfaces there are.

use std::{io, net::SocketAddr};

use super::{
    Network, Outcome, address,
    calls::{code, low},
    interfaces,
    notify::{Answer, Call},
    target,
};

impl Network {
    pub(super) fn local_name(&mut self, listener: u64, call: &Call) -> io::Result<Outcome> {
        let socket = self.socket(listener, call)?;
        let Some(mut socket) = socket.filter(|_| self.own.is_some()) else {
            return Ok(Outcome::Answer(Answer::Continue));
        };
        if self.known.get(socket.cookie).is_deferred {
            self.bind_now(&mut socket)?;
        }
        let natural = self.shown(&socket, socket.local);
        let shown = match self.known.get(socket.cookie).local {
            Some(asked) if asked.ip().is_unspecified() && socket.peer().is_ok() => natural,
            Some(asked) if asked.port() == 0 => SocketAddr::new(asked.ip(), natural.port()),
            Some(asked) => asked,
            None => natural,
        };
        self.tell(listener, call, shown)
    }

    pub(super) fn peer_name(&mut self, listener: u64, call: &Call) -> io::Result<Outcome> {
        let Some(socket) = self.socket(listener, call)? else {
            return Ok(Outcome::Answer(Answer::Continue));
        };
        let Some(peer) = socket.peer()? else { return Ok(Outcome::Answer(Answer::Continue)) };
        let asked = self.known.get(socket.cookie).peer;
        let shown = asked.filter(|asked| asked.is_ipv4() == peer.is_ipv4());
        let shown = shown.unwrap_or_else(|| self.shown(&socket, peer));
        self.tell(listener, call, shown)
    }

    /// Writes an address where the program wants it, and its length.
    fn tell(&self, listener: u64, call: &Call, shown: SocketAddr) -> io::Result<Outcome> {
        let [_, place, length_place, ..] = call.arguments;
        let mut length = [0; 4];
        if target::read(call.thread, length_place, &mut length)? != length.len() {
            return Err(code(libc::EFAULT));
        }
        self.expect_waiting(listener, call)?;
        let room = usize::try_from(i32::from_ne_bytes(length)).map_err(|_| code(libc::EINVAL))?;
        let bytes = address::encode(shown);
        let part = &bytes[..room.min(bytes.len())];
        if !part.is_empty() {
            target::write(call.thread, place, part)?;
        }
        let length = u32::try_from(bytes.len()).unwrap_or_default();
        target::write(call.thread, length_place, &length.to_ne_bytes())?;
        Ok(Outcome::Answer(Answer::Value(0)))
    }

    /// Answers `netdevice(7)` requests.
    pub(super) fn interfaces(&mut self, listener: u64, call: &Call) -> io::Result<Outcome> {
        let socket = self.socket(listener, call)?;
        let Some(own) = self.own.filter(|_| socket.is_some()) else { return Ok(Outcome::Answer(Answer::Continue)) };
        let [_, request, place, ..] = call.arguments;
        let request = low(request).cast_unsigned();
        if request == interfaces::CONFIGURATION {
            return self.configuration(listener, call, &interfaces::configuration(own));
        }
        let mut entry = [0; interfaces::ENTRY];
        if target::read(call.thread, place, &mut entry)? != entry.len() {
            return Err(code(libc::EFAULT));
        }
        self.expect_waiting(listener, call)?;
        target::write(call.thread, place, &interfaces::answer(own, request, entry).map_err(code)?)?;
        Ok(Outcome::Answer(Answer::Value(0)))
    }

    /// `SIOCGIFCONF`: a `struct ifconf` has a length and a pointer to room for so many bytes, or to nothing.
    fn configuration(&self, listener: u64, call: &Call, all: &[u8]) -> io::Result<Outcome> {
        let place = call.arguments[2];
        let mut wanted = [0; 16];
        if target::read(call.thread, place, &mut wanted)? != wanted.len() {
            return Err(code(libc::EFAULT));
        }
        self.expect_waiting(listener, call)?;
        let (length, pointer) = wanted.split_at(8);
        let number = |bytes: &[u8]| bytes.try_into().map(u64::from_ne_bytes).unwrap_or_default();
        let (room, pointer) = (usize::try_from(low(number(length))).unwrap_or(0), number(pointer));
        let mut length = all.len();
        if pointer != 0 {
            length = length.min(room / interfaces::ENTRY * interfaces::ENTRY);
            target::write(call.thread, pointer, &all[..length])?;
        }
        target::write(call.thread, place, &u32::try_from(length).unwrap_or_default().to_ne_bytes())?;
        Ok(Outcome::Answer(Answer::Value(0)))
    }
}
