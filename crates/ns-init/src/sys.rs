//! System calls, one function each, named as the call; no policy, no retries, no heap, no libc.
//!
//! The library and the stub are both compiled from this file. Argument words that are descriptors
//! or numbers can at worst give EBADF or EINVAL, so a proof below speaks of memory alone.
#![expect(unsafe_code, reason = "the one place where system calls are made")]
#![expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "words of the kernel's interface: descriptors, flags, addresses"
)]

#[cfg(target_arch = "aarch64")]
#[path = "sys/aarch64.rs"]
#[allow(
    dead_code,
    reason = "numbers that only the stub, or only its launch, uses"
)]
mod arch;
#[cfg(target_arch = "x86_64")]
#[path = "sys/x86_64.rs"]
#[allow(
    dead_code,
    reason = "numbers that only the stub, or only its launch, uses"
)]
mod arch;

mod channel;
#[cfg(all(feature = "stub", not(ns_stub)))]
mod launch;
mod mount;

use core::ffi::CStr;

use arch::*;
#[cfg(ns_stub)]
pub(crate) use arch::{copy_bytes, fill_bytes};
pub(crate) use channel::*;
#[cfg(all(feature = "stub", not(ns_stub)))]
pub(crate) use launch::*;
pub(crate) use mount::*;

/// An error number of the kernel, positive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Errno(pub(crate) i32);

pub(crate) type Result<T> = core::result::Result<T, Errno>;

pub(crate) const EPERM: Errno = Errno(1);
pub(crate) const EINTR: Errno = Errno(4);
pub(crate) const ECONNABORTED: Errno = Errno(103);
pub(crate) const ENOENT: Errno = Errno(2);
pub(crate) const EAGAIN: Errno = Errno(11);
pub(crate) const EACCES: Errno = Errno(13);
pub(crate) const EEXIST: Errno = Errno(17);
pub(crate) const EXDEV: Errno = Errno(18);
pub(crate) const ENOTDIR: Errno = Errno(20);
pub(crate) const EISDIR: Errno = Errno(21);
pub(crate) const EINVAL: Errno = Errno(22);
pub(crate) const ENAMETOOLONG: Errno = Errno(36);
pub(crate) const ELOOP: Errno = Errno(40);

pub(crate) const AT_FDCWD: i32 = -100;
pub(crate) const AT_EMPTY_PATH: usize = 0x1000;
pub(crate) const AT_RECURSIVE: usize = 0x8000;
pub(crate) const AT_SYMLINK_NOFOLLOW: usize = 0x100;
pub(crate) const O_RDONLY: u64 = 0;
pub(crate) const O_WRONLY: u64 = 1;
pub(crate) const O_RDWR: u64 = 2;
pub(crate) const O_CREAT: u64 = 0o100;
pub(crate) const O_EXCL: u64 = 0o200;
pub(crate) const O_NOCTTY: u64 = 0o400;
#[cfg(target_arch = "x86_64")]
pub(crate) const O_DIRECTORY: u64 = 0o200000;
#[cfg(target_arch = "x86_64")]
pub(crate) const O_NOFOLLOW: u64 = 0o400000;
#[cfg(target_arch = "aarch64")]
pub(crate) const O_DIRECTORY: u64 = 0o40000;
#[cfg(target_arch = "aarch64")]
pub(crate) const O_NOFOLLOW: u64 = 0o100000;
pub(crate) const O_CLOEXEC: u64 = 0o2000000;
pub(crate) const O_PATH: u64 = 0o10000000;
pub(crate) const RESOLVE_NO_XDEV: u64 = 1;
pub(crate) const RESOLVE_NO_MAGICLINKS: u64 = 2;
pub(crate) const RESOLVE_NO_SYMLINKS: u64 = 4;
pub(crate) const RESOLVE_BENEATH: u64 = 8;
pub(crate) const RESOLVE_IN_ROOT: u64 = 16;
pub(crate) const S_IFMT: u32 = 0o170000;
pub(crate) const S_IFCHR: u32 = 0o020000;
pub(crate) const S_IFDIR: u32 = 0o040000;
pub(crate) const S_IFREG: u32 = 0o100000;
pub(crate) const S_IFLNK: u32 = 0o120000;
const FSMOUNT_CLOEXEC: usize = 1;
const F_DUPFD_CLOEXEC: usize = 1030;

/// `struct open_how` of `openat2(2)`.
#[repr(C)]
struct OpenHow {
    flags: u64,
    mode: u64,
    resolve: u64,
}
const _: () = assert!(size_of::<OpenHow>() == 24);

/// The part of `struct statx` (`statx(2)`, 256 bytes) that is read here.
#[repr(C)]
#[derive(Clone, Copy)]
pub(crate) struct Statx {
    pub(crate) mask: u32,
    blksize: u32,
    attributes: u64,
    nlink: u32,
    uid: u32,
    gid: u32,
    pub(crate) mode: u16,
    spare: u16,
    pub(crate) ino: u64,
    pub(crate) size: u64,
    blocks: u64,
    attributes_mask: u64,
    times: [u64; 8],
    pub(crate) rdev_major: u32,
    pub(crate) rdev_minor: u32,
    dev: [u32; 2],
    pub(crate) mount_id: u64,
    rest: [u64; 13],
}
const _: () = assert!(size_of::<Statx>() == 256);
const _: () = assert!(core::mem::offset_of!(Statx, rdev_major) == 128);
const _: () = assert!(core::mem::offset_of!(Statx, mount_id) == 144);

/// `struct sock_fprog` of `seccomp(2)`.
#[repr(C)]
struct SockFprog {
    length: u16,
    filter: usize,
}
const _: () = assert!(size_of::<SockFprog>() == 16);

/// `rlimit64` of `prlimit(2)`.
#[repr(C)]
struct Rlimit64 {
    soft: u64,
    hard: u64,
}

/// `struct clone_args` of `clone3(2)`, version 2 (88 bytes, Linux 5.7).
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct CloneArgs {
    pub(crate) flags: u64,
    pub(crate) pidfd: u64,
    pub(crate) child_tid: u64,
    pub(crate) parent_tid: u64,
    pub(crate) exit_signal: u64,
    pub(crate) stack: u64,
    pub(crate) stack_size: u64,
    pub(crate) tls: u64,
    pub(crate) set_tid: u64,
    pub(crate) set_tid_size: u64,
    pub(crate) cgroup: u64,
}
const _: () = assert!(size_of::<CloneArgs>() == 88);

fn fd(number: i32) -> usize {
    number as isize as usize
}

fn check(result: isize) -> Result<usize> {
    if (-4095..0).contains(&result) {
        Err(Errno(-result as i32))
    } else {
        Ok(result as usize)
    }
}

/// A call whose arguments are numbers only, or memory that the caller of this function vouches for.
///
/// # Safety
/// As `arch::syscall`: every argument that is an address must be what the call asks for.
unsafe fn call(number: usize, arguments: &[usize]) -> Result<usize> {
    let mut a = [0; 6];
    for (to, from) in a.iter_mut().zip(arguments) {
        *to = *from;
    }
    // SAFETY: asks: arguments fit the call. Given: the contract of this function is the same.
    // Memory: as the call says. After clone: no lock, no heap, no thread-local storage.
    check(unsafe { syscall(number, a) })
}

/// Calls without any address among their arguments.
macro_rules! plain_calls {
    ($($(#[$doc:meta])* fn $name:ident($($arg:ident: $type:ty),*) = $number:ident($($value:expr),*);)*) => { $(
        $(#[$doc])*
        pub(crate) fn $name($($arg: $type),*) -> Result<usize> {
            // SAFETY: asks: only numbers and descriptors. Given: no argument of this call is an address,
            // so no value of them can touch our memory; a wrong one is an error of the kernel.
            unsafe { call($number, &[$($value),*]) }
        }
    )* };
}

plain_calls! {
    /// `close(2)`.
    fn close_raw(number: i32) = SYS_CLOSE(fd(number));
    /// `close_range(2)`.
    fn close_range(first: u32, last: u32, flags: u32) = SYS_CLOSE_RANGE(first as usize, last as usize, flags as usize);
    /// `dup3(2)`.
    fn dup3(from: i32, to: i32, flags: u64) = SYS_DUP3(fd(from), fd(to), flags as usize);
    /// `setsid(2)`.
    fn setsid() = SYS_SETSID();
    /// `umask(2)`.
    fn umask(mask: u32) = SYS_UMASK(mask as usize);
    /// `prctl(2)` with numbers.
    fn prctl(option: usize, a: usize, b: usize) = SYS_PRCTL(option, a, b, 0, 0);
    /// `setresgid(2)` to one id.
    fn setresgid(gid: u32) = SYS_SETRESGID(gid as usize, gid as usize, gid as usize);
    /// `setresuid(2)` to one id.
    fn setresuid(uid: u32) = SYS_SETRESUID(uid as usize, uid as usize, uid as usize);
    /// `setns(2)`.
    fn setns(namespace: i32, flags: u64) = SYS_SETNS(fd(namespace), flags as usize);
    /// `unshare(2)`.
    fn unshare(flags: u64) = SYS_UNSHARE(flags as usize);
    /// `fchdir(2)`.
    fn fchdir(directory: i32) = SYS_FCHDIR(fd(directory));
    /// `ioctl(2)` whose argument is a number.
    fn ioctl(number: i32, request: usize, argument: usize) = SYS_IOCTL(fd(number), request, argument);
    /// `fsmount(2)`.
    fn fsmount_raw(context: i32, attributes: u64) = SYS_FSMOUNT(fd(context), FSMOUNT_CLOEXEC, attributes as usize);
    /// `socket(2)`.
    fn socket(domain: usize, kind: usize, protocol: usize) = SYS_SOCKET(domain, kind, protocol);
}

/// `close(2)` of a descriptor of ours; whatever it answers, the number is free afterwards.
pub(crate) fn close(number: i32) {
    let _freed = close_raw(number);
}

/// `fcntl(F_DUPFD_CLOEXEC)`.
#[cfg(not(ns_stub))]
pub(crate) fn duplicate_above(number: i32, lowest: i32) -> Result<i32> {
    // SAFETY: asks: only numbers. Given: F_DUPFD_CLOEXEC takes no address. Memory: none.
    unsafe { call(SYS_FCNTL, &[fd(number), F_DUPFD_CLOEXEC, fd(lowest)]) }.map(|new| new as i32)
}

/// Takes ownership of a descriptor that a call above has returned.
#[cfg(not(ns_stub))]
pub(crate) fn own(number: i32) -> Result<std::os::fd::OwnedFd> {
    use std::os::fd::FromRawFd;
    // SAFETY: asks: an open descriptor that nothing else owns. Given: called only on the fresh result
    // of a call of this file that makes one. Memory: none.
    Ok(unsafe { std::os::fd::OwnedFd::from_raw_fd(number) })
}

/// `exit_group(2)`.
pub(crate) fn exit(status: i32) -> ! {
    loop {
        // SAFETY: asks: a number. Given: the call takes no address and does not return.
        let _never = unsafe { call(SYS_EXIT_GROUP, &[status as usize]) };
    }
}

/// `write(2)`.
pub(crate) fn write(to: i32, bytes: &[u8]) -> Result<usize> {
    // SAFETY: asks: readable memory of that length. Given: it is a slice. Memory: read only.
    unsafe { call(SYS_WRITE, &[fd(to), bytes.as_ptr() as usize, bytes.len()]) }
}

/// `openat2(2)`.
pub(crate) fn openat2(
    directory: i32,
    path: &CStr,
    flags: u64,
    mode: u32,
    resolve: u64,
) -> Result<i32> {
    let how = OpenHow {
        flags: flags | O_CLOEXEC,
        mode: u64::from(mode),
        resolve,
    };
    let arguments = [
        fd(directory),
        path.as_ptr() as usize,
        (&raw const how) as usize,
        size_of::<OpenHow>(),
    ];
    // SAFETY: asks: a NUL-terminated path and a readable `open_how` of the given size. Given: a CStr and
    // a local with its own size. Memory: both read only, neither kept.
    unsafe { call(SYS_OPENAT2, &arguments) }.map(|new| new as i32)
}

/// `readlinkat(2)` of the link that the descriptor names.
pub(crate) fn readlink(link: i32, into: &mut [u8]) -> Result<usize> {
    let arguments = [
        fd(link),
        c"".as_ptr() as usize,
        into.as_mut_ptr() as usize,
        into.len(),
    ];
    // SAFETY: asks: a path and writable memory of that length. Given: a constant and an exclusive slice.
    // Memory: bytes written within the slice.
    unsafe { call(SYS_READLINKAT, &arguments) }
}

/// `readlinkat(2)` of a name.
pub(crate) fn readlinkat(directory: i32, name: &CStr, into: &mut [u8]) -> Result<usize> {
    let arguments = [
        fd(directory),
        name.as_ptr() as usize,
        into.as_mut_ptr() as usize,
        into.len(),
    ];
    // SAFETY: asks: a path and writable memory of that length. Given: a CStr and an exclusive slice.
    // Memory: bytes written within the slice.
    unsafe { call(SYS_READLINKAT, &arguments) }
}

/// `mkdirat(2)`.
pub(crate) fn mkdirat(directory: i32, name: &CStr, mode: u32) -> Result<usize> {
    // SAFETY: asks: a NUL-terminated path. Given: a CStr. Memory: read only, not kept.
    unsafe {
        call(
            SYS_MKDIRAT,
            &[fd(directory), name.as_ptr() as usize, mode as usize],
        )
    }
}

/// `mknodat(2)`.
pub(crate) fn mknodat(directory: i32, name: &CStr, mode: u32, device: u32) -> Result<usize> {
    // SAFETY: asks: a NUL-terminated path. Given: a CStr. Memory: read only, not kept.
    unsafe {
        call(
            SYS_MKNODAT,
            &[
                fd(directory),
                name.as_ptr() as usize,
                mode as usize,
                device as usize,
            ],
        )
    }
}

/// `fchownat(2)` without following a link; an empty name is the descriptor itself.
pub(crate) fn fchownat(directory: i32, name: &CStr, uid: u32, gid: u32) -> Result<usize> {
    let flags = AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH;
    let arguments = [
        fd(directory),
        name.as_ptr() as usize,
        uid as usize,
        gid as usize,
        flags,
    ];
    // SAFETY: asks: a NUL-terminated path. Given: a CStr. Memory: read only, not kept.
    unsafe { call(SYS_FCHOWNAT, &arguments) }
}

/// `symlinkat(2)`.
pub(crate) fn symlinkat(target: &CStr, directory: i32, name: &CStr) -> Result<usize> {
    // SAFETY: asks: two NUL-terminated paths. Given: two CStr. Memory: read only, not kept.
    unsafe {
        call(
            SYS_SYMLINKAT,
            &[
                target.as_ptr() as usize,
                fd(directory),
                name.as_ptr() as usize,
            ],
        )
    }
}

/// `statx(2)` of what the descriptor names: type, mode, device numbers, mount.
pub(crate) fn statx(number: i32) -> Result<Statx> {
    let mut stat = core::mem::MaybeUninit::<Statx>::zeroed();
    let arguments = [
        fd(number),
        c"".as_ptr() as usize,
        AT_EMPTY_PATH | AT_SYMLINK_NOFOLLOW,
        // STATX_TYPE | STATX_MODE | STATX_MNT_ID, KERNEL(5.8).
        0x1003,
        stat.as_mut_ptr() as usize,
    ];
    // SAFETY: asks: a path and 256 writable bytes. Given: a constant and a local of that asserted size.
    // Memory: the local is written, nothing is kept.
    unsafe { call(SYS_STATX, &arguments)? };
    // SAFETY: asks: an initialised value. Given: all-zero bytes are a valid Statx, and the kernel only
    // writes plain integers over them.
    Ok(unsafe { stat.assume_init() })
}

/// `getcwd(2)`: the raw call, which marks a directory outside the root by `(unreachable)`.
pub(crate) fn getcwd(into: &mut [u8]) -> Result<usize> {
    // SAFETY: asks: writable memory of that length. Given: an exclusive slice. Memory: written within it.
    unsafe { call(SYS_GETCWD, &[into.as_mut_ptr() as usize, into.len()]) }
}

/// `sethostname(2)`.
pub(crate) fn sethostname(name: &[u8]) -> Result<usize> {
    // SAFETY: asks: readable memory of that length. Given: a slice. Memory: read only.
    unsafe { call(SYS_SETHOSTNAME, &[name.as_ptr() as usize, name.len()]) }
}

/// `setdomainname(2)`.
pub(crate) fn setdomainname(name: &[u8]) -> Result<usize> {
    // SAFETY: asks: readable memory of that length. Given: a slice. Memory: read only.
    unsafe { call(SYS_SETDOMAINNAME, &[name.as_ptr() as usize, name.len()]) }
}

/// `setgroups(2)` with ids stored as bytes.
pub(crate) fn setgroups(gids: &[u8]) -> Result<usize> {
    // SAFETY: asks: readable memory for that many 4-byte ids, of any alignment (the kernel copies it).
    // Given: a slice of four times as many bytes. Memory: read only.
    unsafe { call(SYS_SETGROUPS, &[gids.len() / 4, gids.as_ptr() as usize]) }
}

/// `prlimit64(2)` on itself.
pub(crate) fn set_limit(resource: u32, soft: u64, hard: u64) -> Result<usize> {
    let limit = Rlimit64 { soft, hard };
    // SAFETY: asks: a readable `rlimit64`, null for the old one. Given: a local of that layout.
    // Memory: read only, not kept.
    unsafe {
        call(
            SYS_PRLIMIT64,
            &[0, resource as usize, (&raw const limit) as usize, 0],
        )
    }
}

/// `capset(2)` of this thread, version 3.
pub(crate) fn capset(effective: u64, permitted: u64, inheritable: u64) -> Result<usize> {
    let header: [u32; 2] = [0x2008_0522, 0];
    let data: [u32; 6] = [
        effective as u32,
        permitted as u32,
        inheritable as u32,
        (effective >> 32) as u32,
        (permitted >> 32) as u32,
        (inheritable >> 32) as u32,
    ];
    // SAFETY: asks: a header and two data structs of three words each. Given: arrays of that layout
    // (capset(2), version 3). Memory: read only, not kept.
    unsafe {
        call(
            SYS_CAPSET,
            &[header.as_ptr() as usize, data.as_ptr() as usize],
        )
    }
}

/// `capget(2)` of this thread: the permitted and the effective set.
pub(crate) fn capget() -> Result<(u64, u64)> {
    let header: [u32; 2] = [0x2008_0522, 0];
    let mut data = [0_u32; 6];
    // SAFETY: asks: a header and two writable data structs of three words each. Given: arrays of that
    // layout (capget(2), version 3). Memory: `data` is written within its bounds.
    unsafe {
        call(
            SYS_CAPGET,
            &[header.as_ptr() as usize, data.as_mut_ptr() as usize],
        )?
    };
    let [
        effective_low,
        permitted_low,
        _,
        effective_high,
        permitted_high,
        _,
    ] = data;
    let join = |low, high| u64::from(low) | u64::from(high) << 32;
    Ok((
        join(permitted_low, permitted_high),
        join(effective_low, effective_high),
    ))
}

/// `seccomp(SECCOMP_SET_MODE_FILTER)` with instructions of 8 bytes each.
pub(crate) fn seccomp(filter: &[u8], flags: u32) -> Result<usize> {
    let program = SockFprog {
        length: (filter.len() / 8) as u16,
        filter: filter.as_ptr() as usize,
    };
    // SAFETY: asks: a `sock_fprog` that names readable instructions. Given: the slice holds as many as
    // the length says; the kernel copies from any alignment. Memory: read only, copied.
    unsafe {
        call(
            SYS_SECCOMP,
            &[1, flags as usize, (&raw const program) as usize],
        )
    }
}

/// `rt_sigaction(2)`: the default action.
pub(crate) fn reset_signal(signal: usize) -> Result<usize> {
    // Handler (SIG_DFL), flags, restorer, mask.
    let action = [0_u64; 4];
    // SAFETY: asks: a readable kernel `sigaction` (at most 32 bytes), null for the old one, mask size 8.
    // Given: 32 zero bytes. Memory: read only, copied.
    unsafe { call(SYS_RT_SIGACTION, &[signal, action.as_ptr() as usize, 0, 8]) }
}

/// `rt_sigprocmask(SIG_SETMASK)`; gives the old mask.
pub(crate) fn set_signal_mask(mask: u64) -> Result<u64> {
    let mut old = 0_u64;
    let arguments = [2, (&raw const mask) as usize, (&raw mut old) as usize, 8];
    // SAFETY: asks: readable and writable masks of 8 bytes. Given: two locals. Memory: `old` is written.
    unsafe { call(SYS_RT_SIGPROCMASK, &arguments)? };
    Ok(old)
}

/// `clock_gettime(CLOCK_MONOTONIC)` in nanoseconds.
pub(crate) fn monotonic_ns() -> u64 {
    let mut time = [0_u64; 2];
    // SAFETY: asks: a writable timespec of 16 bytes. Given: a local of that size. Memory: it is written.
    let _always_zero = unsafe { call(SYS_CLOCK_GETTIME, &[1, (&raw mut time) as usize]) };
    let [seconds, nanoseconds] = time;
    seconds * 1_000_000_000 + nanoseconds
}

/// `clone3(2)` as a fork: a copy of this process, a child of this process's parent. The new pid is written to
/// `forked`, if that is an address, before the copy runs.
pub(crate) fn clone3_sibling(forked: usize) -> Result<usize> {
    // CLONE_PARENT, CLONE_PARENT_SETTID.
    let args = CloneArgs {
        flags: if forked == 0 { 0x8000 } else { 0x0010_8000 },
        parent_tid: forked as u64,
        ..CloneArgs::default()
    };
    // SAFETY: asks: readable `clone_args` of the given size, and room for a pid; the child runs on a copy of this
    // memory. Given: a local of asserted size, no CLONE_VM; `forked` is a word that the stub has mapped for nothing
    // else, and an address that is none is left alone by the kernel. Memory: that word.
    unsafe {
        call(
            SYS_CLONE3,
            &[(&raw const args) as usize, size_of::<CloneArgs>()],
        )
    }
}

/// `execve(2)`; returns only when it fails. The vectors must be null-terminated arrays of strings;
/// a wrong address in them is EFAULT, for the kernel alone reads them.
pub(crate) fn execute(path: &CStr, vectors: (*const usize, *const usize)) -> Errno {
    let a = [
        path.as_ptr() as usize,
        vectors.0 as usize,
        vectors.1 as usize,
    ];
    // SAFETY: asks: a path and two arrays that the kernel reads. Given: a CStr; the kernel checks every
    // address that it copies from. Memory: read only; on success this program is gone.
    unsafe { call(SYS_EXECVE, &a) }.err().unwrap_or(EINVAL)
}

/// The bytes of a record without padding.
pub(crate) fn plain_bytes(record: &crate::op::Record) -> &[u8] {
    let address = core::ptr::from_ref(record).cast::<u8>();
    // SAFETY: asks: initialised memory of that length that lives as long as the slice. Given: a reference
    // to a `repr(C)` struct of integers whose size is asserted to be the sum of its fields.
    unsafe { core::slice::from_raw_parts(address, crate::op::RECORD_BYTES) }
}

/// `mmap(2)` of a whole file, private and writable.
#[cfg(ns_stub)]
pub(crate) fn map_private(file: i32, length: usize) -> Result<*mut u8> {
    // PROT_READ|PROT_WRITE, MAP_PRIVATE.
    // SAFETY: asks: any address when it is null. Given: null, so the kernel picks unused memory.
    // Memory: a new mapping that nothing else refers to.
    unsafe { call(SYS_MMAP, &[0, length, 3, 2, fd(file), 0]) }.map(|address| address as *mut u8)
}

/// `mmap(2)` of a whole file, shared and writable.
#[cfg(ns_stub)]
pub(crate) fn map_shared(file: i32, length: usize) -> Result<*mut u8> {
    // SAFETY: asks: any address when it is null. Given: null, so the kernel picks unused memory.
    // Memory: a new mapping that nothing else of this process refers to.
    unsafe { call(SYS_MMAP, &[0, length, 3, 1, fd(file), 0]) }.map(|address| address as *mut u8)
}
