//! The two requests about namespaces that `nix` does not offer.

#![expect(
    unsafe_code,
    reason = "ioctl(2) takes any argument, and its descriptors are plain numbers"
)]

use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

/// `ioctl(socket, SIOCGSKNS)`: the network namespace that the socket was made in (Linux 4.10).
///
/// Gives the error number when the kernel refuses.
pub(crate) fn namespace_of_socket(socket: BorrowedFd<'_>) -> Result<OwnedFd, i32> {
    // SAFETY: Asks (ioctl(2), net/socket.c): an open descriptor; the request takes no argument.
    // Given: `BorrowedFd` is open for the call; a descriptor that is no socket is ENOTTY.
    // Memory: nothing of ours is read or written; a new close-on-exec descriptor is made.
    let raw = unsafe { libc::ioctl(socket.as_raw_fd(), SIOCGSKNS) };
    if raw < 0 {
        return Err(nix::errno::Errno::last_raw());
    }
    Ok(own(raw))
}

/// `ioctl(namespace, NS_GET_NSTYPE)`: the `CLONE_NEW*` bit of a namespace file (Linux 4.11).
///
/// Gives the error number when the kernel refuses.
pub(crate) fn namespace_type(namespace: BorrowedFd<'_>) -> Result<i32, i32> {
    // SAFETY: Asks (ioctl_ns(2)): an open descriptor; the request takes no argument.
    // Given: `BorrowedFd` is open for the call; the caller has checked that it is a file of nsfs,
    // so that the number of the request means this and nothing else.
    // Memory: nothing of ours is read or written, nothing is kept.
    match unsafe { libc::ioctl(namespace.as_raw_fd(), NS_GET_NSTYPE) } {
        ..0 => Err(nix::errno::Errno::last_raw()),
        bit => Ok(bit),
    }
}

fn own(raw: i32) -> OwnedFd {
    // SAFETY: Asks (OwnedFd::from_raw_fd): the number is open and nobody else closes it.
    // Given: the caller passes what ioctl(2) has returned a moment ago, checked not to be negative.
    unsafe { OwnedFd::from_raw_fd(raw) }
}

/// Source: include/uapi/linux/sockios.h.
const SIOCGSKNS: libc::Ioctl = 0x894C;
/// Source: include/uapi/linux/nsfs.h, `_IO(0xb7, 0x3)`.
const NS_GET_NSTYPE: libc::Ioctl = 0xb703;
