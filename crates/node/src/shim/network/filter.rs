//! The filter in front of a container's system calls: those that name an address of the network wait for the
//! pod's supervisor, all others go on as if there were none.
//!
//! Assembled by hand: a classic BPF program of some seventy instructions, the same for every container. It keeps
//! programs from each other's way; a program that changes its memory while the supervisor reads it, or its
//! table of descriptors, can get a call past it, as `seccomp_unotify(2)` says.

use std::{
    io::{self, IoSlice, IoSliceMut},
    mem::MaybeUninit,
    os::fd::{AsFd, BorrowedFd, FromRawFd, OwnedFd},
};

use libc::{
    BPF_ABS, BPF_JEQ, BPF_JMP, BPF_JSET, BPF_K, BPF_LD, BPF_RET, BPF_W, SECCOMP_RET_ALLOW, SECCOMP_RET_ERRNO,
    SECCOMP_RET_KILL_PROCESS, SECCOMP_RET_USER_NOTIF, sock_filter,
};
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage, SendFlags,
};

use super::entries;

// linux/audit.h: EM_X86_64 (62) or EM_AARCH64 (183), 64 bit, little-endian.
#[cfg(target_arch = "x86_64")]
const ARCHITECTURE: u32 = 0xc000_003e;
#[cfg(target_arch = "aarch64")]
const ARCHITECTURE: u32 = 0xc000_00b7;
/// Calls of the x32 form have this bit; nothing is built for it.
const X32_BIT: u32 = 0x4000_0000;

// struct seccomp_data: nr, arch, instruction_pointer, args[6]; numbers are little-endian on both machines.
const NUMBER: u32 = 0;
const MACHINE: u32 = 4;
const ARGUMENTS: u32 = 16;

/// Calls that always wait for the supervisor.
const ASKED: [libc::c_long; 5] =
    [libc::SYS_bind, libc::SYS_connect, libc::SYS_listen, libc::SYS_getsockname, libc::SYS_getpeername];
/// Calls that may name an address where the filter cannot read it, which argument holds their flags, and with which flag
/// they go unasked: [`messages`](super::messages) says why. One flag connects, TCP fast open; programs fall back to `connect`.
const MESSAGES: [(libc::c_long, u32, libc::c_int); 2] =
    [(libc::SYS_sendmsg, 2, libc::MSG_NOSIGNAL), (libc::SYS_sendmmsg, 3, 0)];
/// The same of a pod that has a network of its own.
const ASKED_OF_OWN: [libc::c_long; 2] = [libc::SYS_connect, libc::SYS_getpeername];

/// What is asked about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asks {
    /// Every call that names an address: the pod's sockets are the host's.
    Addresses,
    /// Calls that name where something goes, and who is at the other end: the pod has a network of its own.
    Destinations,
}

/// Puts the filter before this process and everything that it starts, and hands the descriptor on which it
/// asks to whoever holds the other end of `supervisor`. Call it in a child last before it executes: from here
/// on the calls wait for an answer.
///
/// Makes system calls only; no allocation, no lock.
///
/// # Errors
/// When the kernel refuses: it is older than 5.9, forbids filters, or the process has one that asks already.
pub fn install(supervisor: BorrowedFd<'_>, asks: Asks) -> io::Result<()> {
    let program = program(asks);
    let header = libc::sock_fprog { len: program.length, filter: program.room.as_ptr().cast_mut() };
    let listener = match load(&header) {
        // Without privilege over its own namespace a process must give up the gain of privileges first, or it
        // could fool a program that has more of them.
        Err(error) if error.raw_os_error() == Some(libc::EACCES) => {
            rustix::thread::set_no_new_privs(true)?;
            load(&header)?
        }
        other => other?,
    };
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    let descriptors = [listener.as_fd()];
    if !control.push(SendAncillaryMessage::ScmRights(&descriptors)) {
        return Err(io::Error::from_raw_os_error(libc::EMSGSIZE));
    }
    rustix::net::sendmsg(supervisor, &[IoSlice::new(&[0])], &mut control, SendFlags::NOSIGNAL)?;
    Ok(())
}

/// Takes the descriptor that [`install`] sent to the other end of `child`. Does not wait.
///
/// # Errors
/// When none was sent.
pub fn receive(child: BorrowedFd<'_>) -> io::Result<OwnedFd> {
    let mut byte = [0];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let flags = RecvFlags::DONTWAIT | RecvFlags::CMSG_CLOEXEC;
    rustix::net::recvmsg(child, &mut [IoSliceMut::new(&mut byte)], &mut control, flags)?;
    let received = control.drain().find_map(|message| match message {
        RecvAncillaryMessage::ScmRights(mut descriptors) => descriptors.next(),
        _ => None,
    });
    received.ok_or_else(|| io::Error::other("no descriptor came"))
}

/// Once the supervisor has taken a call, only a signal that kills takes its caller out of it: `bind` never ends
/// with `EINTR`, and few programs expect it. Linux before 5.19 cannot wait so.
fn load(program: &libc::sock_fprog) -> io::Result<OwnedFd> {
    let listens = libc::SECCOMP_FILTER_FLAG_NEW_LISTENER;
    match load_with(program, listens | libc::SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV) {
        Err(error) if error.raw_os_error() == Some(libc::EINVAL) => load_with(program, listens),
        other => other,
    }
}

fn load_with(program: &libc::sock_fprog, flags: libc::c_ulong) -> io::Result<OwnedFd> {
    // SAFETY: the program outlives the call, and the kernel copies it; the descriptor that comes back is owned
    // by nothing else.
    unsafe {
        let result = libc::syscall(libc::SYS_seccomp, libc::SECCOMP_SET_MODE_FILTER, flags, &raw const *program);
        match i32::try_from(result) {
            Ok(descriptor) if descriptor >= 0 => Ok(OwnedFd::from_raw_fd(descriptor)),
            _ => Err(io::Error::last_os_error()),
        }
    }
}

/// Room for the program.
const ROOM: usize = 96;

struct Program {
    room: [sock_filter; ROOM],
    length: u16,
}

impl Program {
    fn push(&mut self, code: u32, k: u32, then: u8, otherwise: u8) {
        if let (Some(slot), Ok(code)) = (self.room.get_mut(usize::from(self.length)), u16::try_from(code)) {
            *slot = sock_filter { code, jt: then, jf: otherwise, k };
            self.length += 1;
        }
    }

    fn load(&mut self, offset: u32) {
        self.push(BPF_LD | BPF_W | BPF_ABS, offset, 0, 0);
    }

    /// Skips so many instructions where the loaded word equals `k`, and so many where it does not.
    fn equal(&mut self, k: u32, then: u8, otherwise: u8) {
        self.push(BPF_JMP | BPF_JEQ | BPF_K, k, then, otherwise);
    }

    /// Skips the next instruction where the loaded word has no bit of `k`.
    fn if_set(&mut self, k: u32) {
        self.push(BPF_JMP | BPF_JSET | BPF_K, k, 0, 1);
    }

    fn answer(&mut self, action: u32) {
        self.push(BPF_RET | BPF_K, action, 0, 0);
    }
}

fn program(asks: Asks) -> Program {
    let empty = sock_filter { code: 0, jt: 0, jf: 0, k: 0 };
    let mut program = Program { room: [empty; ROOM], length: 0 };
    program.load(MACHINE);
    program.equal(ARCHITECTURE, 1, 0);
    program.answer(SECCOMP_RET_KILL_PROCESS);
    program.load(NUMBER);
    program.if_set(X32_BIT);
    program.answer(failure(libc::ENOSYS));
    let asked: &[libc::c_long] = match asks {
        Asks::Addresses => &ASKED,
        Asks::Destinations => &ASKED_OF_OWN,
    };
    for call in asked {
        program.equal(number(*call), 0, 1);
        program.answer(SECCOMP_RET_USER_NOTIF);
    }
    // io_uring makes connections without a call that a filter sees. Programs that use it have another way, for
    // kernels without it.
    program.equal(number(libc::SYS_io_uring_setup), 0, 1);
    program.answer(failure(libc::ENOSYS));
    for (call, flags, unasked) in MESSAGES {
        program.equal(number(call), 0, 6);
        program.load(argument(flags));
        program.if_set(libc::MSG_FASTOPEN.unsigned_abs());
        program.answer(failure(libc::EOPNOTSUPP));
        program.if_set(unasked.unsigned_abs());
        program.answer(SECCOMP_RET_ALLOW);
        program.answer(SECCOMP_RET_USER_NOTIF);
    }
    if asks == Asks::Addresses {
        ask_about_interfaces(&mut program);
    }
    program.equal(number(libc::SYS_sendto), 1, 0);
    program.answer(SECCOMP_RET_ALLOW);
    program.load(argument(3));
    program.if_set(libc::MSG_FASTOPEN.unsigned_abs());
    program.answer(failure(libc::EOPNOTSUPP));
    // A datagram with an address: a pointer of which either half is not zero.
    program.load(argument(4));
    program.equal(0, 0, 2);
    program.load(argument(4) + 4);
    program.equal(0, 1, 0);
    program.answer(SECCOMP_RET_USER_NOTIF);
    program.answer(SECCOMP_RET_ALLOW);
    program
}

/// Begins and ends with the call's number loaded.
fn ask_about_interfaces(program: &mut Program) {
    // Sockets that list interfaces: of family netlink and protocol 0, which is that of routes.
    program.equal(number(libc::SYS_socket), 0, 5);
    program.load(argument(0));
    program.equal(libc::AF_NETLINK.unsigned_abs(), 0, 3);
    program.load(argument(2));
    program.equal(libc::NETLINK_ROUTE.unsigned_abs(), 0, 1);
    program.answer(SECCOMP_RET_USER_NOTIF);
    program.load(NUMBER);
    let requests = u8::try_from(entries::REQUESTS.len()).unwrap_or(u8::MAX);
    program.equal(number(libc::SYS_ioctl), 0, 2 * requests + 1);
    program.load(argument(1));
    for request in entries::REQUESTS {
        program.equal(request, 0, 1);
        program.answer(SECCOMP_RET_USER_NOTIF);
    }
    program.load(NUMBER);
}

/// Where the low half of an argument lies.
fn argument(index: u32) -> u32 {
    ARGUMENTS + 8 * index
}

fn number(call: libc::c_long) -> u32 {
    // Numbers of calls are small.
    u32::try_from(call).unwrap_or(u32::MAX)
}

fn failure(code: i32) -> u32 {
    SECCOMP_RET_ERRNO | code.unsigned_abs()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the program answers to a call, by an interpreter of the instructions that it uses.
    fn run(asks: Asks, architecture: u32, call: u32, arguments: [u64; 6]) -> u32 {
        let mut data = Vec::new();
        data.extend(call.to_le_bytes());
        data.extend(architecture.to_le_bytes());
        data.extend(0_u64.to_le_bytes());
        data.extend(arguments.iter().flat_map(|argument| argument.to_le_bytes()));
        let program = program(asks);
        assert!(usize::from(program.length) < ROOM, "the program has room");
        let (mut word, mut next) = (0_u32, 0_usize);
        loop {
            let sock_filter { code, jt, jf, k } = program.room[next];
            next += 1;
            let jump = |condition: bool| usize::from(if condition { jt } else { jf });
            match u32::from(code) {
                code if code == BPF_LD | BPF_W | BPF_ABS => {
                    word = u32::from_le_bytes(data[k as usize..k as usize + 4].try_into().unwrap());
                }
                code if code == BPF_JMP | BPF_JEQ | BPF_K => next += jump(word == k),
                code if code == BPF_JMP | BPF_JSET | BPF_K => next += jump(word & k != 0),
                code if code == BPF_RET | BPF_K => return k,
                code => panic!("no such instruction: {code}"),
            }
        }
    }

    #[test]
    fn only_calls_that_name_an_address_are_asked_about() {
        let fast = u64::from(libc::MSG_FASTOPEN.unsigned_abs());
        let quiet = u64::from(libc::MSG_NOSIGNAL.unsigned_abs());
        let rows = [
            (libc::SYS_connect, [0; 6], SECCOMP_RET_USER_NOTIF),
            (libc::SYS_bind, [0; 6], SECCOMP_RET_USER_NOTIF),
            (libc::SYS_listen, [0; 6], SECCOMP_RET_USER_NOTIF),
            (libc::SYS_getsockname, [0; 6], SECCOMP_RET_USER_NOTIF),
            (libc::SYS_getpeername, [0; 6], SECCOMP_RET_USER_NOTIF),
            (libc::SYS_sendto, [0; 6], SECCOMP_RET_ALLOW),
            (libc::SYS_sendto, [0, 0, 0, 0, 1, 16], SECCOMP_RET_USER_NOTIF),
            (libc::SYS_sendto, [0, 0, 0, 0, 1 << 32, 16], SECCOMP_RET_USER_NOTIF),
            (libc::SYS_sendto, [0, 0, 0, fast, 1, 16], failure(libc::EOPNOTSUPP)),
            (libc::SYS_sendmsg, [0; 6], SECCOMP_RET_USER_NOTIF),
            (libc::SYS_sendmsg, [0, 0, quiet, 0, 0, 0], SECCOMP_RET_ALLOW),
            (libc::SYS_sendmsg, [0, 0, quiet | fast, 0, 0, 0], failure(libc::EOPNOTSUPP)),
            (libc::SYS_sendmmsg, [0, 0, 0, quiet, 0, 0], SECCOMP_RET_USER_NOTIF),
            (libc::SYS_sendmsg, [0, 0, fast, 0, 0, 0], failure(libc::EOPNOTSUPP)),
            (libc::SYS_sendmmsg, [0, 0, fast, 0, 0, 0], SECCOMP_RET_USER_NOTIF),
            (libc::SYS_sendmmsg, [0, 0, 0, fast, 0, 0], failure(libc::EOPNOTSUPP)),
            (libc::SYS_io_uring_setup, [0; 6], failure(libc::ENOSYS)),
            (libc::SYS_socket, [16, 3, 0, 0, 0, 0], SECCOMP_RET_USER_NOTIF),
            (libc::SYS_socket, [16, 3, 15, 0, 0, 0], SECCOMP_RET_ALLOW),
            (libc::SYS_socket, [2, 1, 0, 0, 0, 0], SECCOMP_RET_ALLOW),
            (libc::SYS_ioctl, [0, 0x8912, 0, 0, 0, 0], SECCOMP_RET_USER_NOTIF),
            (libc::SYS_ioctl, [0, 0x8910, 0, 0, 0, 0], SECCOMP_RET_USER_NOTIF),
            (libc::SYS_ioctl, [0, 0x5413, 0, 0, 0, 0], SECCOMP_RET_ALLOW),
            (libc::SYS_read, [0; 6], SECCOMP_RET_ALLOW),
            (libc::SYS_accept4, [0; 6], SECCOMP_RET_ALLOW),
            (libc::SYS_execve, [0; 6], SECCOMP_RET_ALLOW),
        ];
        for (call, arguments, expected) in rows {
            assert_eq!(
                run(Asks::Addresses, ARCHITECTURE, number(call), arguments),
                expected,
                "call {call} {arguments:?}"
            );
        }
    }

    #[test]
    fn a_pod_with_a_network_of_its_own_is_asked_where_things_go_and_no_more() {
        let rows = [
            (libc::SYS_connect, [0; 6], SECCOMP_RET_USER_NOTIF),
            (libc::SYS_getpeername, [0; 6], SECCOMP_RET_USER_NOTIF),
            (libc::SYS_sendto, [0, 0, 0, 0, 1, 16], SECCOMP_RET_USER_NOTIF),
            (libc::SYS_sendto, [0; 6], SECCOMP_RET_ALLOW),
            (libc::SYS_bind, [0; 6], SECCOMP_RET_ALLOW),
            (libc::SYS_listen, [0; 6], SECCOMP_RET_ALLOW),
            (libc::SYS_getsockname, [0; 6], SECCOMP_RET_ALLOW),
            (libc::SYS_socket, [16, 3, 0, 0, 0, 0], SECCOMP_RET_ALLOW),
            (libc::SYS_ioctl, [0, 0x8912, 0, 0, 0, 0], SECCOMP_RET_ALLOW),
            (libc::SYS_io_uring_setup, [0; 6], failure(libc::ENOSYS)),
        ];
        for (call, arguments, expected) in rows {
            assert_eq!(run(Asks::Destinations, ARCHITECTURE, number(call), arguments), expected, "call {call}");
        }
    }

    #[test]
    fn calls_in_the_forms_of_other_machines_do_not_go_round_the_filter() {
        // i386 numbers its calls otherwise.
        assert_eq!(run(Asks::Addresses, 0x4000_0003, 362, [0; 6]), SECCOMP_RET_KILL_PROCESS);
        assert_eq!(run(Asks::Destinations, ARCHITECTURE, X32_BIT | 42, [0; 6]), failure(libc::ENOSYS));
    }
}
