//! The one system call of the tests that has no wrapper.

#![expect(
    unsafe_code,
    reason = "pidfd_open(2) has no wrapper in the crates we use"
)]
#![allow(dead_code, reason = "each test program takes what it needs")]

use std::os::fd::{FromRawFd, OwnedFd};

/// `pidfd_open(pid, 0)`; gives the error number when the kernel refuses.
pub fn pidfd_open(pid: i32) -> Result<OwnedFd, i32> {
    // SAFETY: Asks (pidfd_open(2)): two numbers. Given: a process id and no flags; a bad one is
    // ESRCH or EINVAL. Memory: nothing of ours is read or written.
    let raw = unsafe { libc::syscall(libc::SYS_pidfd_open, libc::c_long::from(pid), 0_i64) };
    match i32::try_from(raw) {
        // SAFETY: Asks (OwnedFd::from_raw_fd): the number is open and nobody else closes it.
        // Given: the call above has returned it, and it is not negative.
        Ok(raw) if raw >= 0 => Ok(unsafe { OwnedFd::from_raw_fd(raw) }),
        _ => Err(nix::errno::Errno::last_raw()),
    }
}
