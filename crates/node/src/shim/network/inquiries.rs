//! What programs ask of their sockets: who they are, and whom they speak with.

use std::{
    io,
    net::{SocketAddr, SocketAddrV4},
};

use super::{
    Network, Outcome, address,
    calls::code,
    notify::{Answer, Call},
    socket::Socket,
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
        let natural = self.outwards(&socket, self.shown(&socket, socket.local));
        let shown = match self.known.get(socket.cookie).local {
            Some(asked) if asked.ip().is_unspecified() && socket.peer().is_ok() => natural,
            Some(asked) if asked.port() == 0 => SocketAddr::new(asked.ip(), natural.port()),
            Some(asked) => asked,
            None => natural,
        };
        self.tell(listener, call, shown)
    }

    /// A socket that speaks with the world has an address of the host, which no other pod knows: programs that look for
    /// their own address in this way are told the pod's.
    fn outwards(&self, socket: &Socket, natural: SocketAddr) -> SocketAddr {
        let Some(own) = self.own else { return natural };
        match address::as_v4(natural) {
            Some(local) if !(local.ip().is_unspecified() || local.ip().is_loopback()) => {
                socket.form(SocketAddrV4::new(own, local.port()))
            }
            _ => natural,
        }
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
    pub(super) fn tell(&self, listener: u64, call: &Call, shown: SocketAddr) -> io::Result<Outcome> {
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
}
