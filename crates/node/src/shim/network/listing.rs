//! The calls by which programs list interfaces: they see the pod's own, not the host's.

use std::{io, net::Ipv4Addr};

use super::{
    Network, Outcome,
    calls::{code, low},
    entries,
    interfaces::{Interfaces, REQUEST},
    notify::{Answer, Call},
    target,
};

/// `struct ifconf` of netdevice(7): a length, padding, a pointer.
const LIST: usize = 16;

impl Network {
    /// A socket of netlink(7) that lists interfaces, addresses and routes.
    pub(super) fn route_socket(&mut self, listener: u64, call: &Call) -> io::Result<Outcome> {
        let Some(interfaces) = self.interfaces() else { return Ok(Outcome::Answer(Answer::Continue)) };
        let kind = low(call.arguments[1]);
        let made = interfaces.route_socket(kind & !libc::SOCK_CLOEXEC)?;
        let Some(listener) = self.listeners.get(&listener) else { return Ok(Outcome::Answered) };
        match listener.give(call.id, std::os::fd::AsFd::as_fd(&made), kind & libc::SOCK_CLOEXEC != 0) {
            Err(error) if error.raw_os_error() == Some(libc::EINVAL) => Ok(Outcome::Answer(Answer::Continue)),
            Err(error) => Err(error),
            Ok(()) => Ok(Outcome::Answered),
        }
    }

    /// A request of netdevice(7).
    pub(super) fn interface(&mut self, listener: u64, call: &Call) -> io::Result<Outcome> {
        let [_, request, place, ..] = call.arguments;
        let socket = self.socket(listener, call)?;
        let Some(own) = self.own.filter(|_| socket.is_some()) else { return Ok(Outcome::Answer(Answer::Continue)) };
        if request == u64::from(entries::CONFIGURATION) {
            return self.list(listener, call, own);
        }
        let mut about = [0; REQUEST];
        if target::read(call.thread, place, &mut about)? != REQUEST {
            return Err(code(libc::EFAULT));
        }
        match self.interfaces() {
            Some(interfaces) => interfaces.ask(request, &mut about)?,
            None => about = entries::answer(own, low(request).cast_unsigned(), about).map_err(code)?,
        }
        self.expect_waiting(listener, call)?;
        target::write(call.thread, place, &about)?;
        Ok(Outcome::Answer(Answer::Value(0)))
    }

    fn list(&mut self, listener: u64, call: &Call, own: Ipv4Addr) -> io::Result<Outcome> {
        let mut head = [0; LIST];
        if target::read(call.thread, call.arguments[2], &mut head)? != LIST {
            return Err(code(libc::EFAULT));
        }
        let (length, place) = head.split_at(8);
        let room = length.first_chunk::<4>().map_or(0, |bytes| i32::from_ne_bytes(*bytes));
        let place = place.first_chunk::<8>().map_or(0, |bytes| u64::from_ne_bytes(*bytes));
        // Without a place the program asks how much there is.
        let wanted = if place == 0 { usize::MAX } else { usize::try_from(room).unwrap_or(0) };
        let bytes = match self.interfaces() {
            Some(interfaces) => interfaces.list(wanted)?,
            None => {
                let mut all = entries::configuration(own);
                all.truncate(wanted / REQUEST * REQUEST);
                all
            }
        };
        self.expect_waiting(listener, call)?;
        if place != 0 && !bytes.is_empty() {
            target::write(call.thread, place, &bytes)?;
        }
        let length = i32::try_from(bytes.len()).unwrap_or_default();
        target::write(call.thread, call.arguments[2], &length.to_ne_bytes())?;
        Ok(Outcome::Answer(Answer::Value(0)))
    }

    /// The pod's interfaces; `None` in the host's network, and where the system makes no namespaces for them.
    fn interfaces(&mut self) -> Option<&Interfaces> {
        let own = self.own?;
        let made = self.interfaces.get_or_insert_with(|| {
            let told = |error: &io::Error| eprintln!("the pod sees the host's interfaces: {error}");
            Interfaces::make(own).inspect_err(told)
        });
        made.as_ref().ok()
    }
}
