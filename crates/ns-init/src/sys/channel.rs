//! Calls on sockets and terminals.

use super::arch::*;
use super::{Result, call, fd};

const MSG_NOSIGNAL: usize = 0x4000;
const MSG_CMSG_CLOEXEC: usize = 0x4000_0000;

/// `struct ifreq` (`netdevice(7)`), as far as the flags.
#[repr(C)]
struct IfReq {
    name: [u8; 16],
    flags: u16,
    rest: [u8; 22],
}
const _: () = assert!(size_of::<IfReq>() == 40);

/// `struct iovec` of `readv(2)`.
#[repr(C)]
pub(crate) struct IoVec {
    pub(super) base: usize,
    pub(super) length: usize,
}

#[repr(C)]
struct MsgHdr {
    name: usize,
    namelen: u32,
    iov: usize,
    iovlen: usize,
    control: usize,
    controllen: usize,
    flags: i32,
}
const _: () = assert!(size_of::<MsgHdr>() == 56);

/// One `SCM_RIGHTS` control message with one descriptor (`unix(7)`, `cmsg(3)`).
#[repr(C)]
struct RightsMessage {
    length: usize,
    level: i32,
    kind: i32,
    fd: i32,
    padding: i32,
}

/// `TIOCSPTLCK` with 0: unlocks a pseudo terminal.
pub(crate) fn unlock_terminal(primary: i32) -> Result<usize> {
    let unlocked = 0_i32;
    // SAFETY: asks (ioctl_tty(2)): a readable int. Given: a local. Memory: read only, not kept.
    unsafe {
        call(
            SYS_IOCTL,
            &[fd(primary), 0x4004_5431, (&raw const unlocked) as usize],
        )
    }
}

/// `TIOCSWINSZ`.
pub(crate) fn set_window_size(terminal: i32, rows: u16, columns: u16) -> Result<usize> {
    let size = [rows, columns, 0, 0];
    // SAFETY: asks (ioctl_tty(2)): a readable `winsize` of four shorts. Given: a local array of four.
    // Memory: read only, not kept.
    unsafe { call(SYS_IOCTL, &[fd(terminal), 0x5414, size.as_ptr() as usize]) }
}

/// `SIOCGIFFLAGS`, then `SIOCSIFFLAGS` with `IFF_UP`, on `lo`.
pub(crate) fn bring_up_loopback(socket: i32) -> Result<usize> {
    let mut request = IfReq {
        name: *b"lo\0\0\0\0\0\0\0\0\0\0\0\0\0\0",
        flags: 0,
        rest: [0; 22],
    };
    let address = (&raw mut request) as usize;
    // SAFETY: asks (netdevice(7)): a writable `ifreq` of 40 bytes. Given: a local of that asserted size.
    // Memory: written within it, nothing kept.
    unsafe { call(SYS_IOCTL, &[fd(socket), 0x8913, address])? };
    request.flags |= 1;
    let address = (&raw const request) as usize;
    // SAFETY: asks (netdevice(7)): a readable `ifreq` of 40 bytes. Given: the same local.
    // Memory: read only, nothing kept.
    unsafe { call(SYS_IOCTL, &[fd(socket), 0x8914, address]) }
}

/// `sendmsg(2)` of bytes, with one descriptor when there is one.
pub(crate) fn send(socket: i32, bytes: &[u8], descriptor: Option<i32>) -> Result<usize> {
    let part = IoVec {
        base: bytes.as_ptr() as usize,
        length: bytes.len(),
    };
    let rights = RightsMessage {
        length: 20,
        level: 1,
        kind: 1,
        fd: descriptor.unwrap_or(-1),
        padding: 0,
    };
    let with_rights = descriptor.is_some();
    let message = MsgHdr {
        name: 0,
        namelen: 0,
        iov: (&raw const part) as usize,
        iovlen: 1,
        control: if with_rights {
            (&raw const rights) as usize
        } else {
            0
        },
        controllen: if with_rights {
            size_of::<RightsMessage>()
        } else {
            0
        },
        flags: 0,
    };
    // SAFETY: asks: a `msghdr` whose vectors and control data are readable. Given: locals that outlive the
    // call and a slice. Memory: read only, not kept.
    unsafe {
        call(
            SYS_SENDMSG,
            &[fd(socket), (&raw const message) as usize, MSG_NOSIGNAL],
        )
    }
}

/// `recvmsg(2)` of one byte that comes with one descriptor, which is made close-on-exec; `None` when the other end
/// is closed or sends something else.
pub(crate) fn receive_descriptor(socket: i32) -> Result<Option<i32>> {
    let mut byte = 0_u8;
    let part = IoVec {
        base: (&raw mut byte) as usize,
        length: 1,
    };
    let mut rights = RightsMessage {
        length: 0,
        level: 0,
        kind: 0,
        fd: -1,
        padding: 0,
    };
    let mut message = MsgHdr {
        name: 0,
        namelen: 0,
        iov: (&raw const part) as usize,
        iovlen: 1,
        control: (&raw mut rights) as usize,
        controllen: size_of::<RightsMessage>(),
        flags: 0,
    };
    // SAFETY: asks (recvmsg(2)): a writable `msghdr` whose vectors and control data are writable. Given: locals that
    // outlive the call, with their own sizes; the control message has room for one descriptor, padded as CMSG_SPACE
    // asks. Memory: written within them, nothing kept.
    let received = unsafe {
        call(
            SYS_RECVMSG,
            &[fd(socket), (&raw mut message) as usize, MSG_CMSG_CLOEXEC],
        )
    }?;
    let is_rights = rights.length == 20 && rights.level == 1 && rights.kind == 1;
    Ok((received == 1 && is_rights).then_some(rights.fd))
}

/// `recvfrom(2)` without an address.
pub(crate) fn receive(socket: i32, into: &mut [u8]) -> Result<usize> {
    let arguments = [fd(socket), into.as_mut_ptr() as usize, into.len(), 0, 0, 0];
    // SAFETY: asks: writable memory of that length. Given: an exclusive slice. Memory: written within it.
    unsafe { call(SYS_RECVFROM, &arguments) }
}

/// `accept4(2)` with `SOCK_CLOEXEC`, without an address.
pub(crate) fn accept(listener: i32) -> Result<i32> {
    const SOCK_CLOEXEC: usize = 0o2000000;
    let (no_address, no_length) = (0, 0);
    let arguments = [fd(listener), no_address, no_length, SOCK_CLOEXEC];
    // SAFETY: asks: a writable address and length, or none. Given: none. Memory: none of ours is touched.
    let connection = unsafe { call(SYS_ACCEPT4, &arguments)? };
    Ok(connection as i32)
}

#[cfg(feature = "stub")]
const POLLIN: u32 = 1;
const POLLHUP: u32 = 0x10;

/// Whether the other end of the socket is closed.
pub(crate) fn is_hung_up(socket: i32) -> Result<bool> {
    Ok(poll(socket, 0, 0)? & POLLHUP != 0)
}

/// Whether the other end of the socket has sent something or is closed, or does so within that many nanoseconds.
#[cfg(feature = "stub")]
pub(crate) fn is_readable(socket: i32, within_ns: u64) -> Result<bool> {
    Ok(poll(socket, POLLIN, within_ns)? != 0)
}

/// `ppoll(2)` for less than a second.
fn poll(socket: i32, events: u32, within_ns: u64) -> Result<u32> {
    let mut poll = [socket as u32, events];
    let timeout = [0_u64, within_ns];
    let arguments = [
        (&raw mut poll) as usize,
        1,
        (&raw const timeout) as usize,
        0,
        8,
    ];
    // SAFETY: asks: one writable `pollfd` (int, two shorts) and a readable timespec. Given: two locals of
    // those sizes. Memory: the results are written into `poll`.
    unsafe { call(SYS_PPOLL, &arguments)? };
    let [_, events] = poll;
    Ok(events >> 16)
}
