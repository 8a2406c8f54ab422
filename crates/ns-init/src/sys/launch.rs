//! Calls that only the library makes, to start a child.

use super::arch::*;
use super::{AT_EMPTY_PATH, CloneArgs, EINVAL, Errno, IoVec, Result, arch, call, check, fd};

/// `execveat(2)` of what the descriptor names; returns only when it fails. The vectors as in
/// `execute`.
pub(crate) fn execveat(program: i32, arguments: *const usize, environment: *const usize) -> Errno {
    let a = [
        fd(program),
        c"".as_ptr() as usize,
        arguments as usize,
        environment as usize,
        AT_EMPTY_PATH,
    ];
    // SAFETY: asks: a path and two arrays that the kernel reads. Given: a constant; the kernel checks
    // every address that it copies from. Memory: read only; on success this program is gone.
    unsafe { call(SYS_EXECVEAT, &a) }.err().unwrap_or(EINVAL)
}

/// `fcntl(F_SETFD, 0)`: the descriptor stays open across an exec.
pub(crate) fn keep_across_exec(number: i32) -> Result<usize> {
    const F_SETFD: usize = 2;
    // SAFETY: asks: only numbers. Given: F_SETFD takes no address. Memory: none.
    unsafe { call(SYS_FCNTL, &[fd(number), F_SETFD, 0]) }
}

/// The window that the caller has left for its child; see `window.rs`.
pub(crate) fn shared_window(address: usize) -> &'static crate::window::Window {
    // SAFETY: asks: a valid, unchanging value for as long as it is used. Given: `launch` passes the address
    // of a window that it keeps, untouched, until the child has executed the stub or is dead.
    unsafe { &*(address as *const crate::window::Window) }
}

/// `clone3(2)` of a child that shares this memory and runs the window's program on the window's stack.
///
/// The window must be kept, unchanged, until the child has executed the stub or is dead.
pub(crate) fn clone_into_window(
    window: &crate::window::Window,
    flags: u64,
    exit_signal: u64,
    cgroup: Option<i32>,
) -> Result<(i32, i32)> {
    let mut pidfd = -1_i32;
    let args = CloneArgs {
        flags,
        pidfd: (&raw mut pidfd) as u64,
        exit_signal,
        stack: window.stack.as_ptr() as u64,
        stack_size: size_of_val(window.stack.as_slice()) as u64,
        cgroup: cgroup.map_or(0, |number| number as u64),
        ..CloneArgs::default()
    };
    let address = (&raw const args).cast::<u8>();
    let window = core::ptr::from_ref(window) as usize;
    // SAFETY: asks (clone3(2)): readable `clone_args`, a writable pidfd, a stack that outlives the child's use
    // of it, an entry that never returns. Given: locals; the window is boxed in `Started`, which lets go of it
    // only after the child has reported or been reaped; `window::enter` ends in exec or exit.
    let result = unsafe {
        arch::clone3_on_stack(
            address,
            size_of::<CloneArgs>(),
            crate::window::enter,
            window,
        )
    };
    check(result).map(|pid| (pid as i32, pidfd))
}

/// `pidfd_open(2)`.
pub(crate) fn pidfd_open(pid: i32) -> Result<i32> {
    // SAFETY: asks: only numbers. Given: the call takes no address. Memory: none.
    unsafe { call(SYS_PIDFD_OPEN, &[fd(pid), 0]) }.map(|new| new as i32)
}

/// `pidfd_send_signal(2)`.
pub(crate) fn pidfd_send_signal(pidfd: i32, signal: i32) -> Result<usize> {
    // SAFETY: asks: numbers and a null siginfo. Given: 0. Memory: none.
    unsafe { call(SYS_PIDFD_SEND_SIGNAL, &[fd(pidfd), signal as usize, 0, 0]) }
}

/// `writev(2)` of the parts of a plan, as they lie in memory.
pub(crate) fn write_plan(
    file: i32,
    header: &crate::op::Header,
    ops: &[crate::op::Op],
    slots: &[i32],
    blob: &[u8],
) -> Result<usize> {
    let part = |base: usize, length: usize| IoVec { base, length };
    let parts = [
        part(core::ptr::from_ref(header) as usize, size_of_val(header)),
        part(ops.as_ptr() as usize, size_of_val(ops)),
        part(slots.as_ptr() as usize, size_of_val(slots)),
        part(blob.as_ptr() as usize, blob.len()),
    ];
    // SAFETY: asks: readable memory for each part. Given: references with their own sizes; only the kernel
    // looks at padding bytes. Memory: read only, not kept.
    unsafe {
        call(
            SYS_WRITEV,
            &[fd(file), parts.as_ptr() as usize, parts.len()],
        )
    }
}

/// `ftruncate(2)`.
pub(crate) fn ftruncate(file: i32, length: usize) -> Result<usize> {
    // SAFETY: asks: only numbers. Given: the call takes no address. Memory: none of ours.
    unsafe { call(SYS_FTRUNCATE, &[fd(file), length]) }
}

/// `pread64(2)`.
pub(crate) fn pread(file: i32, into: &mut [u8], offset: usize) -> Result<usize> {
    let a = [fd(file), into.as_mut_ptr() as usize, into.len(), offset];
    // SAFETY: asks: writable memory of that length. Given: an exclusive slice. Memory: written within it.
    unsafe { call(SYS_PREAD64, &a) }
}
