//! The one system call that neither `nix` nor an op of ns-init offers to the caller.

#![expect(
    unsafe_code,
    reason = "open_tree(2) has no wrapper in the crates we use"
)]

use std::ffi::CStr;
use std::os::fd::{FromRawFd, OwnedFd};

const AT_RECURSIVE: libc::c_long = 0x8000;

/// `open_tree(AT_FDCWD, path, OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC)`: a detached copy of a mount.
///
/// Gives the error number when the kernel refuses.
pub(crate) fn open_tree(path: &CStr, recursive: bool) -> Result<OwnedFd, i32> {
    let depth = if recursive { AT_RECURSIVE } else { 0 };
    let flags =
        libc::c_long::from(libc::OPEN_TREE_CLONE) | libc::c_long::from(libc::O_CLOEXEC) | depth;
    // SAFETY: Asks (open_tree(2)): `path` points to a NUL-terminated string; the other arguments are numbers.
    // Given: `CStr` is NUL-terminated and borrowed for the call.
    // Memory: the kernel reads the path and keeps nothing; a bad number is EINVAL, not undefined behavior.
    let raw = unsafe {
        libc::syscall(
            libc::SYS_open_tree,
            libc::c_long::from(libc::AT_FDCWD),
            path.as_ptr(),
            flags,
        )
    };
    match i32::try_from(raw) {
        Ok(raw) if raw >= 0 => Ok(own(raw)),
        _ => Err(nix::errno::Errno::last_raw()),
    }
}

fn own(raw: i32) -> OwnedFd {
    // SAFETY: Asks (OwnedFd::from_raw_fd): the number is open and nobody else closes it.
    // Given: the caller passes what a system call has returned a moment ago, checked not to be negative.
    unsafe { OwnedFd::from_raw_fd(raw) }
}
