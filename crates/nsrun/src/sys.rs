//! The entry that the C library calls, in the place of the standard library's own.
//!
//! That one reads `/proc/self/maps` and makes a second stack to tell of an overflow: a twentieth of a start. What a
//! program relies on is done here: the standard descriptors are open, and a closed pipe is an error of the write.

#![expect(
    unsafe_code,
    reason = "the entry is found by its name, and the standard descriptors are plain numbers"
)]

use std::fs::File;
use std::os::fd::{BorrowedFd, IntoRawFd as _};

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, fcntl};
use nix::sys::signal::{SigHandler, Signal, signal};

// SAFETY: Asks (rustc, "no_mangle"): no other symbol of this name in the program. Given: `no_main` makes the compiler
// define none; a test, or another C library, does without this module. The arguments that the C library passes are
// left alone: the standard library has its own from the initializers, which run before.
#[unsafe(no_mangle)]
extern "C" fn main() -> i32 {
    if !has_standard_descriptors() {
        return crate::report::EXIT_OURS.into();
    }
    // SAFETY: Asks (signal(2)): a handler that may run at any time. Given: the kernel ignores the signal, nothing runs.
    // Memory: nothing of ours is read or written.
    let _before = unsafe { signal(Signal::SIGPIPE, SigHandler::SigIgn) };
    crate::exit_code().into()
}

/// Opens `/dev/null` for what is closed, so that no file of ours is taken for a standard stream; false when it cannot.
fn has_standard_descriptors() -> bool {
    (0..=2).all(|number| {
        // SAFETY: Asks (BorrowedFd::borrow_raw): the number stays open meanwhile. Given: it is closed by nobody, as there
        // is one thread; where it is not open, fcntl(2) says so and does nothing. Memory: none is read or written.
        let stream = unsafe { BorrowedFd::borrow_raw(number) };
        match fcntl(stream, FcntlArg::F_GETFD) {
            // The lowest free number, and that is this one.
            Err(Errno::EBADF) => File::options()
                .read(true)
                .write(true)
                .open("/dev/null")
                .is_ok_and(|null| null.into_raw_fd() == number),
            _ => true,
        }
    })
}
