//! The stub as a sealed memfd: what the container can see of us, and nobody can change.

use std::ffi::CStr;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::sync::Mutex;

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, SealFlag, fcntl};
use nix::sys::memfd::{MFdFlags, memfd_create};

use crate::error::{Error, Result};

/// The stub, a static ELF program.
static STUB: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/ns-init-stub"));

/// Size of the embedded stub in bytes.
pub const STUB_BYTES: usize = STUB.len();

/// `MFD_EXEC`: KERNEL(6.3), where `vm.memfd_noexec` may forbid to leave it out.
const MFD_EXEC: u32 = 0x10;
const NAME: &CStr = c"ns-init";

/// Made at the first start of this process and kept; holds the inode number beside the descriptor.
static SEALED: Mutex<Option<(OwnedFd, u64)>> = Mutex::new(None);

fn seals() -> SealFlag {
    SealFlag::F_SEAL_SEAL | SealFlag::F_SEAL_SHRINK | SealFlag::F_SEAL_GROW | SealFlag::F_SEAL_WRITE
}

/// A descriptor of the sealed stub, close-on-exec, for one start.
pub(crate) fn stub() -> Result<OwnedFd> {
    let mut place = SEALED
        .lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner);
    // A program that closed descriptors it did not open may have put another file at our number.
    let kept = place
        .as_ref()
        .filter(|(fd, inode)| is_ours(fd.as_fd(), *inode));
    if kept.is_none() {
        let made = make()?;
        let inode = inode(made.as_fd());
        if let Some((foreign, _)) = place.replace((made, inode)) {
            // The number is not ours to close any more.
            std::mem::forget(foreign);
        }
    }
    let (fd, _) = place.as_ref().ok_or_else(|| failed("dup", Errno::EBADF))?;
    fd.try_clone().map_err(|error| {
        failed(
            "fcntl(F_DUPFD_CLOEXEC)",
            Errno::from_raw(error.raw_os_error().unwrap_or(0)),
        )
    })
}

fn make() -> Result<OwnedFd> {
    let flags = MFdFlags::MFD_CLOEXEC | MFdFlags::MFD_ALLOW_SEALING;
    let with_exec = flags | MFdFlags::from_bits_retain(MFD_EXEC);
    let fd = match memfd_create(NAME, with_exec) {
        // The flag is not known before Linux 6.3; there every memfd is executable.
        Err(Errno::EINVAL) => memfd_create(NAME, flags),
        made => made,
    }
    .map_err(|errno| failed("memfd_create(\"ns-init\", MFD_EXEC)", errno))?;
    write_all(fd.as_fd(), STUB)?;
    fcntl(&fd, FcntlArg::F_ADD_SEALS(seals()))
        .map_err(|errno| failed("fcntl(F_ADD_SEALS)", errno))?;
    Ok(fd)
}

/// An empty memfd for one plan.
pub(crate) fn plan_file() -> Result<OwnedFd> {
    let flags = MFdFlags::MFD_CLOEXEC;
    // MFD_NOEXEC_SEAL, KERNEL(6.3): data, whatever vm.memfd_noexec says.
    match memfd_create(c"ns-plan", flags | MFdFlags::from_bits_retain(0x8)) {
        Err(Errno::EINVAL) => memfd_create(c"ns-plan", flags),
        made => made,
    }
    .map_err(|errno| failed("memfd_create(\"ns-plan\")", errno))
}

fn write_all(fd: BorrowedFd<'_>, mut bytes: &[u8]) -> Result<()> {
    while !bytes.is_empty() {
        match nix::unistd::write(fd, bytes) {
            Ok(0) => return Err(failed("write", Errno::ENOSPC)),
            Ok(written) => bytes = &bytes[written..],
            Err(Errno::EINTR) => {}
            Err(errno) => return Err(failed("write", errno)),
        }
    }
    Ok(())
}

fn is_ours(fd: BorrowedFd<'_>, inode_then: u64) -> bool {
    let sealed =
        fcntl(fd, FcntlArg::F_GET_SEALS).is_ok_and(|bits| bits & seals().bits() == seals().bits());
    sealed && inode(fd) == inode_then
}

fn inode(fd: BorrowedFd<'_>) -> u64 {
    crate::sys::statx(fd.as_raw_fd()).map_or(0, |stat| stat.ino)
}

fn failed(call: &str, errno: Errno) -> Error {
    let hint = (errno == Errno::EACCES).then_some(
        "vm.memfd_noexec=2 forbids to execute a memfd: set it to 0 or 1 (sysctl vm.memfd_noexec=1)",
    );
    Error::from_errno("make the sealed stub", call, errno as i32).with_hint(hint)
}
