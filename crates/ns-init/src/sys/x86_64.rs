//! System call entry and numbers of x86_64 (`syscall(2)`, `arch/x86/entry/syscalls/syscall_64.tbl`).

use core::arch::asm;

/// Makes one system call.
///
/// # Safety
/// The arguments must be what the call numbered `number` asks for; memory that the kernel writes
/// must be writable and not borrowed elsewhere.
#[inline(always)]
pub(super) unsafe fn syscall(number: usize, a: [usize; 6]) -> isize {
    let result: isize;
    // SAFETY: asks: rcx and r11 are clobbered by the instruction, all else is kept. Given: both are
    // declared lost below. Memory: whatever the call does, which the caller of this function vouches for.
    unsafe {
        asm!(
            "syscall",
            inlateout("rax") number as isize => result,
            in("rdi") a[0],
            in("rsi") a[1],
            in("rdx") a[2],
            in("r10") a[3],
            in("r8") a[4],
            in("r9") a[5],
            lateout("rcx") _,
            lateout("r11") _,
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
    // after `syscall` with rsp at the top of the new stack and all other registers as here. Given: the
    // child never comes back to this frame, it calls `entry`, which does not return. Memory: the
    // kernel writes the pidfd through a pointer in `args`, which the caller vouches for.
    unsafe {
        asm!(
            "syscall",
            "test rax, rax",
            "jnz 2f",
            "xor ebp, ebp",
            "mov rdi, r12",
            "call r13",
            "ud2",
            "2:",
            inlateout("rax") SYS_CLONE3 as isize => result,
            in("rdi") args,
            in("rsi") size,
            in("r12") argument,
            in("r13") entry,
            lateout("rcx") _,
            lateout("r11") _,
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
    // SAFETY: asks: the direction flag is clear, both ranges valid. Given: the ABI clears the flag; the caller
    // vouches for the ranges. Memory: `length` bytes written at `to`.
    unsafe {
        asm!(
            "rep movsb",
            inout("rcx") length => _,
            inout("rdi") to => _,
            inout("rsi") from => _,
            options(nostack, preserves_flags),
        );
    }
}

/// Fills bytes.
///
/// # Safety
/// As `memset(3)`.
#[cfg(ns_stub)]
pub(crate) unsafe fn fill_bytes(to: *mut u8, value: u8, length: usize) {
    // SAFETY: asks: the direction flag is clear, the range valid. Given: the ABI clears the flag; the caller
    // vouches for the range. Memory: `length` bytes written at `to`.
    unsafe {
        asm!(
            "rep stosb",
            inout("rcx") length => _,
            inout("rdi") to => _,
            in("al") value,
            options(nostack, preserves_flags),
        );
    }
}

pub(super) const SYS_WRITE: usize = 1;
pub(super) const SYS_CLOSE: usize = 3;
#[cfg(ns_stub)]
pub(super) const SYS_MMAP: usize = 9;
pub(super) const SYS_RT_SIGACTION: usize = 13;
pub(super) const SYS_RT_SIGPROCMASK: usize = 14;
pub(super) const SYS_IOCTL: usize = 16;
pub(super) const SYS_SOCKET: usize = 41;
pub(super) const SYS_SENDMSG: usize = 46;
pub(super) const SYS_RECVMSG: usize = 47;
pub(super) const SYS_RECVFROM: usize = 45;
pub(super) const SYS_EXECVE: usize = 59;
pub(super) const SYS_EXIT_GROUP: usize = 231;
pub(super) const SYS_FCNTL: usize = 72;
pub(super) const SYS_GETCWD: usize = 79;
pub(super) const SYS_FCHDIR: usize = 81;
pub(super) const SYS_UMASK: usize = 95;
pub(super) const SYS_SETSID: usize = 112;
pub(super) const SYS_SETGROUPS: usize = 116;
pub(super) const SYS_SETRESUID: usize = 117;
pub(super) const SYS_SETRESGID: usize = 119;
pub(super) const SYS_CAPGET: usize = 125;
pub(super) const SYS_CAPSET: usize = 126;
pub(super) const SYS_PIVOT_ROOT: usize = 155;
pub(super) const SYS_PRCTL: usize = 157;
pub(super) const SYS_CHROOT: usize = 161;
pub(super) const SYS_UMOUNT2: usize = 166;
pub(super) const SYS_SETHOSTNAME: usize = 170;
pub(super) const SYS_SETDOMAINNAME: usize = 171;
pub(super) const SYS_CLOCK_GETTIME: usize = 228;
pub(super) const SYS_MKDIRAT: usize = 258;
pub(super) const SYS_MKNODAT: usize = 259;
pub(super) const SYS_FCHOWNAT: usize = 260;
pub(super) const SYS_SYMLINKAT: usize = 266;
pub(super) const SYS_READLINKAT: usize = 267;
pub(super) const SYS_PPOLL: usize = 271;
pub(super) const SYS_UNSHARE: usize = 272;
pub(super) const SYS_ACCEPT4: usize = 288;
pub(super) const SYS_DUP3: usize = 292;
pub(super) const SYS_PRLIMIT64: usize = 302;
pub(super) const SYS_SETNS: usize = 308;
pub(super) const SYS_SECCOMP: usize = 317;
pub(super) const SYS_EXECVEAT: usize = 322;
pub(super) const SYS_STATX: usize = 332;
pub(super) const SYS_OPEN_TREE: usize = 428;
pub(super) const SYS_MOVE_MOUNT: usize = 429;
pub(super) const SYS_FSOPEN: usize = 430;
pub(super) const SYS_FSCONFIG: usize = 431;
pub(super) const SYS_FSMOUNT: usize = 432;
pub(super) const SYS_CLONE3: usize = 435;
pub(super) const SYS_CLOSE_RANGE: usize = 436;
pub(super) const SYS_OPENAT2: usize = 437;
pub(super) const SYS_MOUNT_SETATTR: usize = 442;
pub(super) const SYS_PREAD64: usize = 17;
pub(super) const SYS_WRITEV: usize = 20;
pub(super) const SYS_FTRUNCATE: usize = 77;
pub(super) const SYS_PIDFD_SEND_SIGNAL: usize = 424;
pub(super) const SYS_PIDFD_OPEN: usize = 434;
pub(super) const SYS_FSTATFS: usize = 138;
