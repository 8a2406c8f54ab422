//! System calls that no crate wraps, one function each.
#![expect(
    unsafe_code,
    reason = "the one place of this crate where system calls are made"
)]

use std::fs::File;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};

use nix::errno::Errno;

use crate::process::ExitStatus;
use crate::terminal::WindowSize;

/// A close-on-exec copy of a descriptor by number, above the standard streams.
pub(crate) fn duplicate(number: RawFd) -> nix::Result<OwnedFd> {
    // SAFETY: asks (fcntl(2)): numbers only. Given: F_DUPFD_CLOEXEC takes no address; a closed number is EBADF.
    let copy = unsafe { libc::fcntl(number, libc::F_DUPFD_CLOEXEC, 3) };
    let copy = Errno::result(copy)?;
    // SAFETY: asks: an open descriptor that nothing else owns. Given: the call above has just made it.
    Ok(unsafe { OwnedFd::from_raw_fd(copy) })
}

/// `ioctl(NS_GET_NSTYPE)`: the `CLONE_NEW*` flag of a namespace file (`ioctl_ns(2)`).
pub(crate) fn namespace_type(file: &File) -> nix::Result<u64> {
    const NS_GET_NSTYPE: libc::Ioctl = 0xb703;
    // SAFETY: asks: a descriptor and no argument. Given: the request takes none; another kind of file is ENOTTY.
    let kind = unsafe { libc::ioctl(file.as_raw_fd(), NS_GET_NSTYPE) };
    Errno::result(kind).map(|kind| u64::from(kind.cast_unsigned()))
}

/// `getauxval(AT_SECURE)`: whether this program was executed with rights that its caller does not have.
pub(crate) fn has_gained_rights() -> bool {
    // SAFETY: asks: a number. Given: AT_SECURE. Memory: the C library reads its own copy of the auxiliary vector.
    unsafe { libc::getauxval(libc::AT_SECURE) != 0 }
}

/// `pidfd_open(2)`.
pub(crate) fn pidfd_open(pid: i32) -> nix::Result<OwnedFd> {
    let no_flags = 0;
    // SAFETY: asks: numbers only. Given: the call takes no address; a number without a process is ESRCH.
    let opened = unsafe { libc::syscall(libc::SYS_pidfd_open, pid, no_flags) };
    let opened = RawFd::try_from(Errno::result(opened)?).map_err(|_| Errno::EBADF)?;
    // SAFETY: asks: an open descriptor that nothing else owns. Given: the call above has just made it.
    Ok(unsafe { OwnedFd::from_raw_fd(opened) })
}

/// `pidfd_send_signal(2)`.
pub(crate) fn pidfd_send_signal(pidfd: BorrowedFd<'_>, signal: i32) -> nix::Result<()> {
    let (pidfd, no_info, no_flags) = (pidfd.as_raw_fd(), std::ptr::null::<libc::siginfo_t>(), 0);
    // SAFETY: asks: numbers, and a siginfo or null. Given: null. Memory: none of ours is read.
    let sent = unsafe {
        libc::syscall(
            libc::SYS_pidfd_send_signal,
            pidfd,
            signal,
            no_info,
            no_flags,
        )
    };
    Errno::result(sent).map(drop)
}

/// `poll(2)` without waiting: a pidfd is readable once its process has ended, zombie or not.
pub(crate) fn is_readable(fd: BorrowedFd<'_>) -> nix::Result<bool> {
    let mut polled = [nix::poll::PollFd::new(fd, nix::poll::PollFlags::POLLIN)];
    nix::poll::poll(&mut polled, nix::poll::PollTimeout::ZERO).map(|n_ready| n_ready > 0)
}

/// `poll(2)` with a limit, or without one; tells whether the descriptor became readable.
pub(crate) fn wait_readable(
    fd: BorrowedFd<'_>,
    timeout: nix::poll::PollTimeout,
) -> nix::Result<bool> {
    let mut polled = [nix::poll::PollFd::new(fd, nix::poll::PollFlags::POLLIN)];
    nix::poll::poll(&mut polled, timeout).map(|n_ready| n_ready > 0)
}

/// `ioctl(TIOCGWINSZ)` (`ioctl_tty(2)`).
pub(crate) fn window_size(terminal: BorrowedFd<'_>) -> nix::Result<WindowSize> {
    let mut size = libc::winsize {
        ws_row: 0,
        ws_col: 0,
        ws_xpixel: 0,
        ws_ypixel: 0,
    };
    // SAFETY: asks: a writable winsize. Given: an exclusive borrow of a local. Memory: written within it.
    let result = unsafe { libc::ioctl(terminal.as_raw_fd(), libc::TIOCGWINSZ, &raw mut size) };
    Errno::result(result)?;
    Ok(WindowSize {
        rows: size.ws_row,
        columns: size.ws_col,
    })
}

/// `ioctl(TIOCSWINSZ)` (`ioctl_tty(2)`).
pub(crate) fn set_window_size(terminal: BorrowedFd<'_>, size: WindowSize) -> nix::Result<()> {
    let size = libc::winsize {
        ws_row: size.rows,
        ws_col: size.columns,
        ws_xpixel: 0,
        ws_ypixel: 0,
    };
    // SAFETY: asks: a readable winsize. Given: a local. Memory: read only, not kept.
    let result = unsafe { libc::ioctl(terminal.as_raw_fd(), libc::TIOCSWINSZ, &raw const size) };
    Errno::result(result).map(drop)
}

/// `waitid(P_PIDFD, WEXITED)`: how the process ended; it is reaped.
pub(crate) fn wait_exited(pidfd: BorrowedFd<'_>) -> nix::Result<ExitStatus> {
    // SAFETY: asks: a value of this type. Given: all-zero bytes are a valid siginfo_t, a plain C struct.
    let mut info: libc::siginfo_t = unsafe { std::mem::zeroed() };
    let id = pidfd.as_raw_fd().cast_unsigned();
    // SAFETY: asks (waitid(2)): a writable siginfo. Given: an exclusive borrow of a local. Memory: written within it.
    let result = unsafe { libc::waitid(libc::P_PIDFD, id, &raw mut info, libc::WEXITED) };
    Errno::result(result)?;
    // SAFETY: asks: a siginfo of SIGCHLD. Given: a successful waitid fills one in.
    let status = unsafe { info.si_status() };
    Ok(match info.si_code {
        libc::CLD_EXITED => ExitStatus::Exited(status),
        _ => ExitStatus::Signaled(status),
    })
}
