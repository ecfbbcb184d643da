//! System calls that no library of ours wraps, and the few that need care. Knows nothing of containers.

use std::{
    ffi::CString,
    io,
    os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd},
    path::Path,
};

use rustix::{
    fs::{CWD, Mode, OFlags, ResolveFlags},
    mount::{FsMountFlags, FsOpenFlags, MountAttrFlags, MoveMountFlags, OpenTreeFlags},
};

/// What a new process is like, of `CLONE_*`.
pub type CloneFlags = i32;

/// Which side of a fork this is.
pub enum Side {
    Child,
    /// The child's number, as this side knows it.
    Parent(i32),
}

/// Makes a process that goes on from here, as `fork` does.
///
/// # Safety
/// This process must have one thread: the child goes on with all of its memory, locks included.
///
/// # Errors
/// Those of clone3(2).
pub unsafe fn fork(flags: CloneFlags) -> io::Result<Side> {
    // SAFETY: as the caller's.
    unsafe { clone(flags, None) }
}

/// The same, in a control group of version 2 that a descriptor of its directory stands for.
///
/// # Safety
/// As [`fork`].
///
/// # Errors
/// Those of clone3(2): of `E2BIG` or `EINVAL` where the kernel is older than 5.7, of `EACCES` where this process may
/// not move others from its group to that one.
pub unsafe fn fork_into(group: BorrowedFd<'_>) -> io::Result<Side> {
    // SAFETY: as the caller's.
    unsafe { clone(0, Some(group)) }
}

/// Goes on in a child, which takes over all of this process's memory as it is, without a copy: this process waits until the
/// child has become another program or has ended, and then ends as well. Only the child returns.
///
/// # Safety
/// This process must have one thread.
///
/// # Errors
/// Those of clone3(2), to this process, which goes on then.
pub unsafe fn hand_over(flags: CloneFlags) -> io::Result<()> {
    #[cfg(target_arch = "x86_64")]
    {
        let mut arguments = arguments(flags | libc::CLONE_VM | libc::CLONE_VFORK);
        let mut result = libc::SYS_clone3;
        // SAFETY: the arguments live through the call. Both processes share the stack, and the child writes over it while
        // this one waits: so this one touches no memory any more, but ends by the next instructions.
        unsafe {
            std::arch::asm!(
                "syscall",
                "test rax, rax",
                "jle 2f",
                "xor edi, edi",
                "mov eax, {exit}",
                "syscall",
                "2:",
                exit = const libc::SYS_exit_group,
                inlateout("rax") result,
                inlateout("rdi") &raw mut arguments => _,
                in("rsi") size_of::<libc::clone_args>(),
                lateout("rcx") _,
                lateout("r11") _,
            );
        }
        if result == 0 {
            Ok(())
        } else {
            Err(io::Error::from_raw_os_error(i32::try_from(-result).unwrap_or(libc::EINVAL)))
        }
    }
    #[cfg(not(target_arch = "x86_64"))]
    // SAFETY: as the caller's.
    match unsafe { fork(flags) }? {
        Side::Child => Ok(()),
        Side::Parent(_) => leave(0),
    }
}

/// `CLONE_INTO_CGROUP` of `linux/sched.h`: above what the flags of clone(2) have room for.
const INTO_GROUP: u64 = 0x2_0000_0000;

fn arguments(flags: CloneFlags) -> libc::clone_args {
    // With CLONE_PARENT the child's parent is this one's, and learns of its end as of this one's.
    let signal = if flags & libc::CLONE_PARENT == 0 { libc::SIGCHLD } else { 0 };
    // SAFETY: an all-zero value is a valid one: no stack, no thread area, no cgroup.
    let mut arguments: libc::clone_args = unsafe { std::mem::zeroed() };
    arguments.flags = u64::from(flags.cast_unsigned());
    arguments.exit_signal = u64::from(signal.cast_unsigned());
    arguments
}

unsafe fn clone(flags: CloneFlags, group: Option<BorrowedFd<'_>>) -> io::Result<Side> {
    let mut arguments = arguments(flags);
    if let Some(group) = group {
        arguments.flags |= INTO_GROUP;
        arguments.cgroup = u64::from(group.as_raw_fd().unsigned_abs());
    }
    // SAFETY: the arguments live through the call; without a stack of its own the child has a copy of this one.
    let result = unsafe { libc::syscall(libc::SYS_clone3, &raw mut arguments, size_of::<libc::clone_args>()) };
    match result {
        -1 => Err(io::Error::last_os_error()),
        0 => Ok(Side::Child),
        pid => Ok(Side::Parent(i32::try_from(pid).unwrap_or(-1))),
    }
}

/// Ends this process at once, without what a program does at its end.
pub fn leave(code: i32) -> ! {
    // SAFETY: _exit takes a number and never returns.
    unsafe { libc::_exit(code) }
}

/// Joins namespaces of a process, named by `CLONE_NEW*`.
///
/// # Errors
/// Those of setns(2).
pub fn join(process: impl AsFd, namespaces: CloneFlags) -> io::Result<()> {
    // SAFETY: setns takes two numbers.
    check(unsafe { libc::setns(process.as_fd().as_raw_fd(), namespaces) }.into())
}

/// Leaves namespaces for new ones, named by `CLONE_NEW*`.
///
/// # Errors
/// Those of unshare(2).
pub fn unshare(namespaces: CloneFlags) -> io::Result<()> {
    // SAFETY: unshare takes a number; files and memory stay shared with nobody.
    check(unsafe { libc::unshare(namespaces) }.into())
}

/// How a mount is changed.
#[derive(Clone, Copy, Default)]
pub struct Change<'a> {
    /// `MOUNT_ATTR_*` bits.
    pub set: u64,
    /// The user namespace whose ids the files' ids stand for.
    pub ids: Option<BorrowedFd<'a>>,
    /// The mounts below it as well.
    pub recursive: bool,
}

#[repr(C)]
struct MountAttr {
    attr_set: u64,
    attr_clr: u64,
    propagation: u64,
    userns_fd: u64,
}

pub const READ_ONLY: u64 = 0x1;
pub const NO_DEVICES: u64 = 0x4;
const ID_MAPPED: u64 = 0x0010_0000;
const RECURSIVE: libc::c_int = 0x8000;

/// Changes a mount that a descriptor stands for.
///
/// # Errors
/// Those of mount_setattr(2).
pub fn change(mount: impl AsFd, change: Change<'_>) -> io::Result<()> {
    let mut attributes = MountAttr { attr_set: change.set, attr_clr: 0, propagation: 0, userns_fd: 0 };
    if let Some(ids) = change.ids {
        attributes.attr_set |= ID_MAPPED;
        attributes.userns_fd = u64::from(ids.as_raw_fd().unsigned_abs());
    }
    let flags = libc::AT_EMPTY_PATH | if change.recursive { RECURSIVE } else { 0 };
    // SAFETY: the path is a static string, the attributes live through the call, and their size is given.
    check(unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            mount.as_fd().as_raw_fd(),
            c"".as_ptr(),
            flags,
            &raw mut attributes,
            size_of::<MountAttr>(),
        )
    })
}

fn check(result: libc::c_long) -> io::Result<()> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// A descriptor for a path, which may be of any kind, links followed.
///
/// # Errors
/// When there is no such path.
pub fn locate(path: &Path) -> io::Result<OwnedFd> {
    Ok(rustix::fs::open(path, OFlags::PATH | OFlags::CLOEXEC, Mode::empty())?)
}

/// The same in a directory, which links do not lead out of: `/` and `..` end there.
///
/// # Errors
/// When there is no such path.
pub fn locate_in(root: impl AsFd, path: impl rustix::path::Arg) -> io::Result<OwnedFd> {
    let flags = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
    Ok(rustix::fs::openat2(root, path, OFlags::PATH | OFlags::CLOEXEC, Mode::empty(), flags)?)
}

/// A copy of what is mounted at a descriptor, that stands nowhere yet.
///
/// # Errors
/// Those of open_tree(2).
pub fn copy_of(place: impl AsFd, recursive: bool) -> io::Result<OwnedFd> {
    let mut flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC | OpenTreeFlags::AT_EMPTY_PATH;
    flags.set(OpenTreeFlags::AT_RECURSIVE, recursive);
    Ok(rustix::mount::open_tree(place, "", flags)?)
}

/// Puts a mount that stands nowhere in a place.
///
/// # Errors
/// Those of move_mount(2).
pub fn place(mount: impl AsFd, at: impl AsFd) -> io::Result<()> {
    let flags = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH | MoveMountFlags::MOVE_MOUNT_T_EMPTY_PATH;
    Ok(rustix::mount::move_mount(mount, "", at, "", flags)?)
}

/// A new file system that stands nowhere yet; options without a value are flags.
///
/// # Errors
/// The option that is refused, or the file system.
pub fn file_system(kind: &str, options: &[(&str, &str)], attributes: MountAttrFlags) -> io::Result<OwnedFd> {
    let context = rustix::mount::fsopen(kind, FsOpenFlags::FSOPEN_CLOEXEC)?;
    for (key, value) in options {
        if value.is_empty() {
            rustix::mount::fsconfig_set_flag(context.as_fd(), *key)?;
        } else {
            rustix::mount::fsconfig_set_string(context.as_fd(), *key, *value)?;
        }
    }
    rustix::mount::fsconfig_create(context.as_fd())?;
    Ok(rustix::mount::fsmount(context.as_fd(), FsMountFlags::FSMOUNT_CLOEXEC, attributes)?)
}

/// Makes `root` this process's root, and the old one unreachable.
///
/// # Errors
/// Those of pivot_root(2).
pub fn change_root(root: impl AsFd) -> io::Result<()> {
    rustix::process::fchdir(root)?;
    // Both at one place: the old root lies over the new one, and goes.
    rustix::process::pivot_root(".", ".")?;
    rustix::mount::unmount(".", rustix::mount::UnmountFlags::DETACH)?;
    rustix::process::chdir("/")?;
    Ok(())
}

/// No mount of this process's namespace shows in another, nor the other way round.
///
/// # Errors
/// Those of mount(2).
pub fn make_private() -> io::Result<()> {
    use rustix::mount::MountPropagationFlags as Flags;
    Ok(rustix::mount::mount_change("/", Flags::PRIVATE | Flags::REC)?)
}

/// Makes a directory; one that is there is good.
///
/// # Errors
/// Those of mkdirat(2).
pub fn make_directory(path: &str, mode: u32) -> io::Result<()> {
    match rustix::fs::mkdirat(CWD, path, Mode::from_raw_mode(mode)) {
        Err(error) if error != rustix::io::Errno::EXIST => Err(error.into()),
        _ => Ok(()),
    }
}

/// Text as the kernel takes it.
///
/// # Errors
/// When there is a NUL in it.
pub fn text(text: &str) -> io::Result<CString> {
    CString::new(text).map_err(|_| io::Error::from_raw_os_error(libc::EINVAL))
}

/// Signals that this program waits for are blocked; what it starts must get them.
///
/// # Errors
/// Those of sigprocmask(2).
pub fn unblock_signals() -> io::Result<()> {
    // SAFETY: the set is initialised by sigemptyset before it is read; both calls are safe after fork.
    unsafe {
        let mut set: libc::sigset_t = std::mem::zeroed();
        libc::sigemptyset(&raw mut set);
        check(libc::sigprocmask(libc::SIG_SETMASK, &raw const set, std::ptr::null_mut()).into())
    }
}

/// Whether other processes of the same user may look into this one, at its memory or its descriptors.
#[derive(Clone, Copy)]
pub enum Looks {
    Allowed,
    Refused,
}

/// Says who may look into this process, until it becomes another program.
pub fn let_look(looks: Looks) {
    let value = match looks {
        Looks::Allowed => 1,
        Looks::Refused => 0,
    };
    // SAFETY: PR_SET_DUMPABLE takes a number. It fails for no value that we give.
    let _ = unsafe { libc::prctl(libc::PR_SET_DUMPABLE, value, 0, 0, 0) };
}
