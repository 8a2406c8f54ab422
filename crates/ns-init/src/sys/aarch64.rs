//! System call entry and numbers of aarch64 (`syscall(2)`, `include/uapi/asm-generic/unistd.h`).

use core::arch::asm;

/// Makes one system call.
///
/// # Safety
/// The arguments must be what the call numbered `number` asks for; memory that the kernel writes
/// must be writable and not borrowed elsewhere.
#[inline(always)]
pub(super) unsafe fn syscall(number: usize, a: [usize; 6]) -> isize {
    let result: isize;
    // SAFETY: asks: `svc 0` keeps all registers but x0. Given: x0 is declared as the output.
    // Memory: whatever the call does, which the caller of this function vouches for.
    unsafe {
        asm!(
            "svc 0",
            in("x8") number,
            inlateout("x0") a[0] => result,
            in("x1") a[1],
            in("x2") a[2],
            in("x3") a[3],
            in("x4") a[4],
            in("x5") a[5],
            options(nostack),
        );
    }
    result
}

/// `clone3(2)` for a child that shares our memory and runs `entry(argument)` on a stack of its own.
///
/// # Safety
/// `args` must name a stack that lives until the child has executed another program, and
/// `entry` must never return, never use thread-local storage, and take no lock.
#[cfg(feature = "stub")]
pub(super) unsafe fn clone3_on_stack(
    args: *const u8,
    size: usize,
    entry: extern "C" fn(usize) -> !,
    argument: usize,
) -> isize {
    let result: isize;
    // SAFETY: asks (clone3(2)): `args` readable for `size` bytes; the child starts at the instruction
    // after `svc` with sp at the top of the new stack and all other registers as here. Given: the
    // child never comes back to this frame, it calls `entry`, which does not return. Memory: the
    // kernel writes the pidfd through a pointer in `args`, which the caller vouches for.
    unsafe {
        asm!(
            "svc 0",
            "cbnz x0, 2f",
            "mov x29, xzr",
            "mov x0, x20",
            "blr x21",
            "brk 1",
            "2:",
            in("x8") SYS_CLONE3,
            inlateout("x0") args as usize => result,
            in("x1") size,
            in("x20") argument,
            in("x21") entry,
            lateout("x30") _,
        );
    }
    result
}

/// Copies bytes, lowest address first.
///
/// # Safety
/// As `memcpy(3)`.
#[cfg(ns_stub)]
pub(crate) unsafe fn copy_bytes(to: *mut u8, from: *const u8, length: usize) {
    // SAFETY: asks: both ranges valid; normal memory may be accessed unaligned. Given: the caller vouches for
    // the ranges. Memory: `length` bytes written at `to`.
    unsafe {
        asm!(
            "cmp {n}, #8",
            "b.lo 3f",
            "2:",
            "ldr {word}, [{from}], #8",
            "str {word}, [{to}], #8",
            "sub {n}, {n}, #8",
            "cmp {n}, #8",
            "b.hs 2b",
            "3:",
            "cbz {n}, 5f",
            "4:",
            "ldrb {word:w}, [{from}], #1",
            "strb {word:w}, [{to}], #1",
            "subs {n}, {n}, #1",
            "b.ne 4b",
            "5:",
            n = inout(reg) length => _,
            to = inout(reg) to => _,
            from = inout(reg) from => _,
            word = out(reg) _,
            options(nostack),
        );
    }
}

/// Fills bytes.
///
/// # Safety
/// As `memset(3)`.
#[cfg(ns_stub)]
pub(crate) unsafe fn fill_bytes(to: *mut u8, value: u8, length: usize) {
    let word = u64::from(value) * 0x0101_0101_0101_0101;
    // SAFETY: asks: the range valid; normal memory may be accessed unaligned. Given: the caller vouches for the
    // range. Memory: `length` bytes written at `to`.
    unsafe {
        asm!(
            "cmp {n}, #8",
            "b.lo 3f",
            "2:",
            "str {word}, [{to}], #8",
            "sub {n}, {n}, #8",
            "cmp {n}, #8",
            "b.hs 2b",
            "3:",
            "cbz {n}, 5f",
            "4:",
            "strb {word:w}, [{to}], #1",
            "subs {n}, {n}, #1",
            "b.ne 4b",
            "5:",
            n = inout(reg) length => _,
            to = inout(reg) to => _,
            word = in(reg) word,
            options(nostack),
        );
    }
}

pub(super) const SYS_GETCWD: usize = 17;
pub(super) const SYS_DUP3: usize = 24;
pub(super) const SYS_FCNTL: usize = 25;
pub(super) const SYS_IOCTL: usize = 29;
pub(super) const SYS_MKNODAT: usize = 33;
pub(super) const SYS_MKDIRAT: usize = 34;
pub(super) const SYS_SYMLINKAT: usize = 36;
pub(super) const SYS_UMOUNT2: usize = 39;
pub(super) const SYS_PIVOT_ROOT: usize = 41;
pub(super) const SYS_FCHDIR: usize = 50;
pub(super) const SYS_CHROOT: usize = 51;
pub(super) const SYS_FCHOWNAT: usize = 54;
pub(super) const SYS_CLOSE: usize = 57;
pub(super) const SYS_WRITE: usize = 64;
pub(super) const SYS_PPOLL: usize = 73;
pub(super) const SYS_READLINKAT: usize = 78;
pub(super) const SYS_CAPGET: usize = 90;
pub(super) const SYS_CAPSET: usize = 91;
pub(super) const SYS_EXIT_GROUP: usize = 94;
pub(super) const SYS_UNSHARE: usize = 97;
pub(super) const SYS_CLOCK_GETTIME: usize = 113;
pub(super) const SYS_RT_SIGACTION: usize = 134;
pub(super) const SYS_RT_SIGPROCMASK: usize = 135;
pub(super) const SYS_SETRESUID: usize = 147;
pub(super) const SYS_SETRESGID: usize = 149;
pub(super) const SYS_SETSID: usize = 157;
pub(super) const SYS_SETGROUPS: usize = 159;
pub(super) const SYS_SETHOSTNAME: usize = 161;
pub(super) const SYS_SETDOMAINNAME: usize = 162;
pub(super) const SYS_UMASK: usize = 166;
pub(super) const SYS_PRCTL: usize = 167;
pub(super) const SYS_SOCKET: usize = 198;
pub(super) const SYS_RECVFROM: usize = 207;
pub(super) const SYS_ACCEPT4: usize = 242;
pub(super) const SYS_SENDMSG: usize = 211;
pub(super) const SYS_RECVMSG: usize = 212;
pub(super) const SYS_EXECVE: usize = 221;
#[cfg(ns_stub)]
pub(super) const SYS_MMAP: usize = 222;
pub(super) const SYS_PRLIMIT64: usize = 261;
pub(super) const SYS_SETNS: usize = 268;
pub(super) const SYS_SECCOMP: usize = 277;
pub(super) const SYS_EXECVEAT: usize = 281;
pub(super) const SYS_STATX: usize = 291;
pub(super) const SYS_OPEN_TREE: usize = 428;
pub(super) const SYS_MOVE_MOUNT: usize = 429;
pub(super) const SYS_FSOPEN: usize = 430;
pub(super) const SYS_FSCONFIG: usize = 431;
pub(super) const SYS_FSMOUNT: usize = 432;
pub(super) const SYS_CLONE3: usize = 435;
pub(super) const SYS_CLOSE_RANGE: usize = 436;
pub(super) const SYS_OPENAT2: usize = 437;
pub(super) const SYS_MOUNT_SETATTR: usize = 442;
pub(super) const SYS_FTRUNCATE: usize = 46;
pub(super) const SYS_WRITEV: usize = 66;
pub(super) const SYS_PREAD64: usize = 67;
pub(super) const SYS_PIDFD_SEND_SIGNAL: usize = 424;
pub(super) const SYS_PIDFD_OPEN: usize = 434;
pub(super) const SYS_FSTATFS: usize = 44;
