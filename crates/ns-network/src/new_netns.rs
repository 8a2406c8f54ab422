//! A network namespace that is made while its caller does something else.

use std::thread::{Builder, JoinHandle};

use nix::sched::{CloneFlags, unshare};
use ns_init::{Plan, PlanBuilder};

use crate::error::{Error, Result};
use crate::netns::{NetnsFd, panicked};
use crate::plan::plan_loopback;

/// A new network namespace with its loopback device up, under way on a thread of its own.
///
/// The kernel takes longer for a network namespace than for all others together, and as long again for its loopback
/// device when other namespaces are on their way out; meanwhile a caller can make the process that is going to join it.
/// No thread of the caller changes its namespace. Dropping this value waits for the thread, and the namespace goes away.
///
/// # Examples
/// ```no_run
/// // no_run: it takes CAP_SYS_ADMIN.
/// use ns_network::NewNetns;
///
/// let netns = NewNetns::begin()?;
/// // …whatever else there is to do…
/// let netns = netns.finish()?;
/// # Ok::<(), ns_network::Error>(())
/// ```
#[derive(Debug)]
#[must_use = "dropping it lets go of the namespace"]
pub struct NewNetns {
    thread: Option<JoinHandle<Result<NetnsFd>>>,
}

impl NewNetns {
    /// Begins to make a network namespace that belongs to the caller's user namespace.
    ///
    /// # Privileges
    /// `CAP_SYS_ADMIN` in the user namespace.
    ///
    /// # Errors
    /// | kind | errno | when |
    /// |---|---|---|
    /// | `Limit` | EAGAIN | no thread is left |
    ///
    /// # References
    /// `unshare(2)`, `network_namespaces(7)`
    pub fn begin() -> Result<Self> {
        let mut loopback = PlanBuilder::new();
        plan_loopback(&mut loopback);
        let loopback = loopback.finish();
        let thread = Builder::new()
            .stack_size(STACK_BYTES)
            .spawn(move || make(&loopback))
            .map_err(|error| Error::from_io(MAKE, "clone(CLONE_THREAD)", &error))?;
        Ok(NewNetns {
            thread: Some(thread),
        })
    }

    /// Waits until the namespace is there, and holds it.
    ///
    /// # Errors
    /// | kind | errno | when |
    /// |---|---|---|
    /// | `Denied` | EPERM | a right is missing |
    /// | `Limit` | ENOSPC, ENOMEM, EMFILE, ENFILE | a limit of namespaces, memory or descriptors is reached |
    pub fn finish(mut self) -> Result<NetnsFd> {
        let thread = self.thread.take();
        thread.map_or_else(panicked, |thread| {
            thread.join().unwrap_or_else(|_| panicked())
        })
    }
}

impl Drop for NewNetns {
    fn drop(&mut self) {
        if let Some(thread) = self.thread.take() {
            // Nobody asks any more how it went.
            drop(thread.join());
        }
    }
}

fn make(loopback: &Plan) -> Result<NetnsFd> {
    unshare(CloneFlags::CLONE_NEWNET)
        .map_err(|errno| Error::from_errno(MAKE, "unshare(CLONE_NEWNET)", errno as i32))?;
    ns_init::apply(loopback).map_err(|error| {
        let call = "ioctl(\"lo\", SIOCSIFFLAGS, IFF_UP)";
        Error::from_errno(LOOPBACK, call, error.errno().unwrap_or_default())
    })?;
    NetnsFd::current()
}

const LOOPBACK: &str = "bring up the loopback device";
pub(crate) const MAKE: &str = "make the network namespace";
const STACK_BYTES: usize = 128 * 1024;
