//! System calls that no container needs and that reach the host past its namespaces, and sockets that have no file:
//! those of other programs of the host are not to be reached.

use std::io;

/// Refused as a container without rights would be: keys, tracing and probes of the kernel, its modules, its clock,
/// and rings, which would make calls that nobody looks at.
const DENIED: [libc::c_long; 21] = [
    libc::SYS_add_key,
    libc::SYS_request_key,
    libc::SYS_keyctl,
    libc::SYS_bpf,
    libc::SYS_perf_event_open,
    libc::SYS_kexec_load,
    libc::SYS_kexec_file_load,
    libc::SYS_init_module,
    libc::SYS_finit_module,
    libc::SYS_delete_module,
    libc::SYS_userfaultfd,
    libc::SYS_open_by_handle_at,
    libc::SYS_swapon,
    libc::SYS_swapoff,
    libc::SYS_reboot,
    libc::SYS_acct,
    libc::SYS_quotactl,
    libc::SYS_settimeofday,
    libc::SYS_io_uring_setup,
    libc::SYS_io_uring_enter,
    libc::SYS_io_uring_register,
];

/// `AUDIT_ARCH_*` of this machine.
#[cfg(target_arch = "x86_64")]
const ARCHITECTURE: u32 = 0xC000_003E;
#[cfg(target_arch = "aarch64")]
const ARCHITECTURE: u32 = 0xC000_00B7;

/// Numbers from here on are calls of the x32 kind.
const X32: u32 = 0x4000_0000;
/// Where `struct seccomp_data` has the number and the architecture.
const NUMBER_AT: u32 = 0;
const ARCHITECTURE_AT: u32 = 4;

/// Refuses the system calls from here on, also in what this process becomes.
///
/// # Errors
/// When the system has no filters.
pub fn install() -> io::Result<()> {
    let program = program();
    let length = u16::try_from(program.len()).map_err(|_| io::Error::from_raw_os_error(libc::E2BIG))?;
    let program = libc::sock_fprog { len: length, filter: program.as_ptr().cast_mut() };
    // SAFETY: the program lives through the call, which copies it.
    let result = unsafe { libc::syscall(libc::SYS_seccomp, libc::SECCOMP_SET_MODE_FILTER, 0, &raw const program) };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

fn program() -> Vec<libc::sock_filter> {
    let load = |at: u32| step(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, 0, 0, at);
    let answer = |value: u32| step(libc::BPF_RET | libc::BPF_K, 0, 0, value);
    let refuse = |error: i32| answer(libc::SECCOMP_RET_ERRNO | error.unsigned_abs());
    let equal = |value: u32, yes: u8, no: u8| step(libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K, yes, no, value);
    let mut program = vec![
        load(ARCHITECTURE_AT),
        // Calls of other architectures have other numbers; such programs do not run here.
        equal(ARCHITECTURE, 1, 0),
        refuse(libc::ENOSYS),
        load(NUMBER_AT),
        step(libc::BPF_JMP | libc::BPF_JGE | libc::BPF_K, 0, 1, X32),
        refuse(libc::ENOSYS),
    ];
    for call in DENIED {
        program.push(equal(u32::try_from(call).unwrap_or(u32::MAX), 0, 1));
        program.push(refuse(libc::EPERM));
    }
    program.push(answer(libc::SECCOMP_RET_ALLOW));
    program
}

fn step(code: u32, yes: u8, no: u8, value: u32) -> libc::sock_filter {
    libc::sock_filter { code: u16::try_from(code).unwrap_or_default(), jt: yes, jf: no, k: value }
}

#[repr(C)]
struct LandlockAttr {
    files: u64,
    network: u64,
    scoped: u64,
}

/// `LANDLOCK_SCOPE_ABSTRACT_UNIX_SOCKET`, of Linux 6.12.
const ABSTRACT_SOCKETS: u64 = 1;

/// Closes the way to sockets without a file, which are one for all that share the host's network, for this process
/// and all that come from it; among each other they stay open. Where the kernel cannot do that, they all do.
pub fn close_abstract_sockets() {
    let rules = LandlockAttr { files: 0, network: 0, scoped: ABSTRACT_SOCKETS };
    // SAFETY: the rules live through the call, and their size is given; the descriptor closes with this program.
    unsafe {
        let rules = libc::syscall(libc::SYS_landlock_create_ruleset, &raw const rules, size_of::<LandlockAttr>(), 0);
        if rules >= 0 {
            libc::syscall(libc::SYS_landlock_restrict_self, rules, 0);
        }
    }
}
