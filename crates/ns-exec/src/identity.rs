//! What tells a process from any other that may have its number one day.

use std::collections::BTreeMap;
use std::fs;
use std::io::Read as _;
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::fs::MetadataExt as _;

use nix::errno::Errno;
use ns_config::{ContainerState, NamespaceKind};

use crate::error::{Error, Kind, Result, Stage};

/// A process by more than its number: when it started, in which boot, and in which namespaces it is.
///
/// A number is given to another process once its own has ended. [`open_process`](Self::open_process) gives a
/// descriptor of this very process or an error, and only the descriptor is to be used from there on.
///
/// # Examples
/// ```
/// use ns_exec::ProcessIdentity;
///
/// let own = i32::try_from(std::process::id())?;
/// let identity = ProcessIdentity::capture(own)?;
/// let pidfd = identity.open_checked()?;
/// # drop(pidfd);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProcessIdentity {
    /// Number in the caller's pid namespace.
    pub pid: i32,
    /// When it started, in clock ticks since boot.
    pub start_ticks: u64,
    /// `/proc/sys/kernel/random/boot_id`.
    pub boot_id: String,
    /// Inode number of each namespace, by OCI name; one that is missing is not compared.
    pub namespace_inodes: BTreeMap<String, u64>,
}

impl ProcessIdentity {
    /// Notes who a process is.
    ///
    /// # Order
    /// The number must not change hands meanwhile: the caller's unreaped child, itself, or a process held by pidfd.
    ///
    /// # Privileges
    /// For the namespaces: `CAP_SYS_PTRACE` over the process when it is another user's.
    ///
    /// # Errors
    /// | kind | errno | when |
    /// |---|---|---|
    /// | `Gone` | | there is no such process, or it is a zombie |
    /// | `Denied` | EACCES | its namespaces are not the caller's to see |
    ///
    /// # References
    /// `proc_pid_stat(5)`, `namespaces(7)`
    pub fn capture(pid: i32) -> Result<Self> {
        let mut identity = Self::capture_start(pid)?;
        for kind in NamespaceKind::ALL {
            if let Some(inode) = namespace_inode(pid, kind)? {
                let name = kind.oci_name().to_owned();
                identity.namespace_inodes.insert(name, inode);
            }
        }
        Ok(identity)
    }

    /// As [`capture`](Self::capture), of the caller's unreaped child. A zombie has no namespaces; and those of a command
    /// that may not be traced are not noted, which [`open_checked`](Self::open_checked) would be denied as well.
    pub(crate) fn capture_child(pid: i32) -> Result<Self> {
        match Self::capture(pid) {
            Err(error) if matches!(error.kind(), Kind::Gone | Kind::Denied) => {
                let (_, start_ticks) = state_and_start_ticks(pid)?;
                Ok(ProcessIdentity {
                    pid,
                    start_ticks,
                    boot_id: boot_id()?,
                    namespace_inodes: BTreeMap::new(),
                })
            }
            captured => captured,
        }
    }

    /// As [`capture`](Self::capture), without the namespaces: for a process that has yet to enter its own.
    pub(crate) fn capture_start(pid: i32) -> Result<Self> {
        Ok(ProcessIdentity {
            pid,
            start_ticks: live_start_ticks(pid)?,
            boot_id: boot_id()?,
            namespace_inodes: BTreeMap::new(),
        })
    }

    /// Who the state says the command is.
    pub(crate) fn of_state(state: &ContainerState) -> Self {
        ProcessIdentity {
            pid: i32::try_from(state.init_pid).unwrap_or(i32::MAX),
            start_ticks: state.init_start_ticks,
            boot_id: state.boot_id.clone(),
            namespace_inodes: state.namespace_inodes.clone(),
        }
    }

    /// A pidfd of this very process, to signal it and to wait for it.
    ///
    /// The pidfd is opened first; the start time and the pid namespace, which a process cannot change, are compared
    /// afterwards. The namespaces that it can change are not: one that has changed them can still be ended.
    ///
    /// # Errors
    /// | kind | errno | when |
    /// |---|---|---|
    /// | `Gone` | ESRCH | it has ended, is a zombie, was of another boot, or its number is another process's |
    /// | `Hostile` | | it is in another pid namespace, so the record is of something else |
    /// | `Limit` | EMFILE | no descriptor is left |
    ///
    /// # References
    /// `pidfd_open(2)`, `proc_pid_stat(5)`
    pub fn open_process(&self) -> Result<OwnedFd> {
        self.open(&[NamespaceKind::Pid])
    }

    /// A pidfd of this very process, in the very namespaces that were noted, to join them.
    ///
    /// # Privileges
    /// Those of [`capture`](Self::capture).
    ///
    /// # Errors
    /// Those of [`open_process`](Self::open_process), and
    ///
    /// | kind | when |
    /// |---|---|
    /// | `Hostile` | it is in another namespace of any kind by now; the message names the kind |
    /// | `Denied` | its namespaces are not the caller's to see |
    pub fn open_checked(&self) -> Result<OwnedFd> {
        self.open(&NamespaceKind::ALL)
    }

    fn open(&self, compared: &[NamespaceKind]) -> Result<OwnedFd> {
        if self.boot_id != boot_id()? {
            return Err(gone(self.pid, "the host has started anew since"));
        }
        let pidfd = crate::sys::pidfd_open(self.pid).map_err(|errno| match errno {
            // EINVAL: the number is a thread's by now.
            Errno::ESRCH | Errno::EINVAL => gone(self.pid, "it has ended"),
            errno => {
                let step = format!("hold the process: pidfd_open({})", self.pid);
                Error::from_errno(Stage::Caller, &step, errno as i32)
            }
        })?;
        // ORDER: after the pidfd: what is read now is either of the process that it holds, or of one that was
        // started later, whose start time differs.
        if live_start_ticks(self.pid)? != self.start_ticks {
            return Err(gone(self.pid, "its number is another process's by now"));
        }
        let is_same = compared.iter().try_for_each(|kind| self.compare(*kind));
        let has_ended = crate::sys::is_readable(pidfd.as_fd()).map_err(|errno| {
            let step = "look at the process: poll(pidfd)";
            Error::from_errno(Stage::Caller, step, errno as i32)
        })?;
        // A process on its way out loses its namespaces first.
        match has_ended {
            true => Err(gone(self.pid, "it has ended")),
            false => is_same.map(|()| pidfd),
        }
    }

    fn compare(&self, kind: NamespaceKind) -> Result<()> {
        let Some(noted) = self.namespace_inodes.get(kind.oci_name()) else {
            return Ok(());
        };
        if namespace_inode(self.pid, kind)? == Some(*noted) {
            return Ok(());
        }
        let message = format!(
            "open process {}: it is not in the {} namespace that it was started in",
            self.pid,
            kind.oci_name()
        );
        let hint = "it has changed its namespace itself, or the record was tampered with";
        Err(Error::new(Kind::Hostile, Stage::Caller, message).with_hint(hint))
    }
}

/// Random, made anew at each start of the kernel.
pub(crate) fn boot_id() -> Result<String> {
    let text = read_proc(BOOT_ID);
    let text = text.map_err(|error| Error::from_io(Stage::Caller, BOOT_ID, &error))?;
    Ok(String::from_utf8_lossy(&text).trim().to_owned())
}

/// The processes that are in this pid namespace, ascending; the namespaces of other users' are not seen.
pub(crate) fn processes_of_pid_namespace(inode: u64) -> Result<Vec<i32>> {
    let listed = fs::read_dir("/proc");
    let listed = listed.map_err(|error| Error::from_io(Stage::Caller, "list \"/proc\"", &error))?;
    let mut pids: Vec<i32> = listed
        .filter_map(std::result::Result::ok)
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .filter(|pid| namespace_inode(*pid, NamespaceKind::Pid).is_ok_and(|own| own == Some(inode)))
        .collect();
    pids.sort_unstable();
    Ok(pids)
}

fn live_start_ticks(pid: i32) -> Result<u64> {
    match state_and_start_ticks(pid)? {
        (b'Z' | b'X' | b'x', _) => Err(gone(pid, "it has ended and is a zombie")),
        (_, start_ticks) => Ok(start_ticks),
    }
}

fn state_and_start_ticks(pid: i32) -> Result<(u8, u64)> {
    let path = format!("/proc/{pid}/stat");
    let text = read_proc(&path).map_err(|error| match error.raw_os_error() {
        Some(libc::ENOENT | libc::ESRCH) => gone(pid, "it has ended"),
        _ => Error::from_io(Stage::Caller, &path, &error),
    })?;
    parse_stat(&text).ok_or_else(|| {
        let message = format!("{path:?} is not of the form that the kernel gives it");
        Error::new(Kind::Hostile, Stage::Caller, message)
    })
}

/// A short file of proc(5) at one go; such a file says that it is empty, and would be read in small pieces.
fn read_proc(path: &str) -> std::io::Result<Vec<u8>> {
    let mut text = Vec::with_capacity(1024);
    fs::File::open(path)?.read_to_end(&mut text)?;
    Ok(text)
}

fn gone(pid: i32, why: &str) -> Error {
    let message = format!("open process {pid}: {why}");
    Error::new(Kind::Gone, Stage::Caller, message)
}

/// State and start time, fields 3 and 22. The name before them may hold blanks and parentheses.
fn parse_stat(text: &[u8]) -> Option<(u8, u64)> {
    let end_of_name = text.iter().rposition(|byte| *byte == b')')?;
    let rest = std::str::from_utf8(text.get(end_of_name + 1..)?).ok()?;
    let mut fields = rest.split_whitespace();
    let state = fields.next()?.bytes().next()?;
    let start_ticks = fields.nth(18)?.parse().ok()?;
    Some((state, start_ticks))
}

/// `None` when the kernel has no namespace of this kind.
fn namespace_inode(pid: i32, kind: NamespaceKind) -> Result<Option<u64>> {
    let path = format!("/proc/{pid}/ns/{}", kind.proc_name());
    match fs::metadata(&path) {
        Ok(file) => Ok(Some(file.ino())),
        Err(error) if error.raw_os_error() == Some(libc::ENOENT) => Ok(None),
        Err(error) => Err(Error::from_io(
            Stage::Caller,
            &format!("stat({path:?})"),
            &error,
        )),
    }
}

const BOOT_ID: &str = "/proc/sys/kernel/random/boot_id";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn start_time_is_read_behind_the_last_parenthesis() {
        let fields =
            " S 1 42 42 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 98765 1000 10 18446744073709551615\n";
        for name in ["sh", "a b", ") S 1 2", "((", "x) Z 1 1 1"] {
            let text = format!("42 ({name}){fields}");
            assert_eq!(
                parse_stat(text.as_bytes()),
                Some((b'S', 98_765)),
                "{name:?}"
            );
        }
        for text in ["", "42", "42 (sh)", "42 (sh) S 1 2 3"] {
            assert_eq!(parse_stat(text.as_bytes()), None, "{text:?}");
        }
    }

    fn own() -> ProcessIdentity {
        let pid = i32::try_from(std::process::id()).unwrap();
        ProcessIdentity::capture(pid).unwrap()
    }

    #[test]
    fn process_that_is_what_it_was_is_opened() {
        own().open_checked().unwrap();
        own().open_process().unwrap();
    }

    #[test]
    fn h02_number_of_another_process_is_refused() {
        let reused = ProcessIdentity {
            start_ticks: own().start_ticks.wrapping_sub(1),
            ..own()
        };
        assert_eq!(reused.open_process().unwrap_err().kind(), Kind::Gone);
        let other_boot = ProcessIdentity {
            boot_id: "6f1c7e0a-0000-4000-8000-000000000000".to_owned(),
            ..own()
        };
        assert_eq!(other_boot.open_process().unwrap_err().kind(), Kind::Gone);
    }

    #[test]
    fn h02_process_in_other_namespaces_is_refused() {
        let mut elsewhere = own();
        elsewhere.namespace_inodes.insert("mount".to_owned(), 1);
        assert_eq!(elsewhere.open_checked().unwrap_err().kind(), Kind::Hostile);
        assert!(
            elsewhere.open_process().is_ok(),
            "it can be signalled all the same"
        );
        elsewhere.namespace_inodes.insert("pid".to_owned(), 1);
        assert_eq!(elsewhere.open_process().unwrap_err().kind(), Kind::Hostile);
    }
}
