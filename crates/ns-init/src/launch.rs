//! Starting the stub in new namespaces.

use std::ffi::CString;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use nix::errno::Errno;
use nix::sys::socket::{AddressFamily, SockFlag, SockType, socketpair};
use nix::sys::wait::{Id, WaitPidFlag, WaitStatus, waitid};

use crate::channel::{Channel, Report};
use crate::error::{Error, Kind, Result};
use crate::op::{EXIT_DAMAGED, Failure, Header, MAGIC, Op};
use crate::plan::{Plan, copy_above};
use crate::sys;
use crate::window::Window;

const CLONE_VM: u64 = 0x100;
const CLONE_PIDFD: u64 = 0x1000;
const CLONE_VFORK: u64 = 0x4000;
const CLONE_INTO_CGROUP: u64 = 0x2_0000_0000;
const SIGCHLD: u64 = 17;
const SIGKILL: i32 = 9;
const STACK_BYTES: usize = 16 * 1024;

/// How a child is made.
#[derive(Debug, Default)]
pub struct Launch<'a> {
    /// `CLONE_NEW*` bits of the namespaces that the clone itself makes.
    pub namespaces: u64,
    /// Who maps the ids of a new user namespace.
    pub ids: IdMapping,
    /// A cgroup v2 directory the child starts in (`CLONE_INTO_CGROUP`).
    pub cgroup: Option<BorrowedFd<'a>>,
    /// The `tasks` files of v1 groups, open for writing, with their paths: the child joins them before it does anything
    /// else.
    pub tasks: &'a [(OwnedFd, String)],
    /// Whether each op leaves a time stamp.
    pub trace: bool,
}

/// Who maps the ids of a new user namespace.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum IdMapping {
    /// There is no new user namespace.
    #[default]
    None,
    /// The child maps one id each, which takes no rights: the texts of `uid_map` and `gid_map`.
    Own {
        /// Text of `/proc/PID/uid_map`.
        uid_map: String,
        /// Text of `/proc/PID/gid_map`.
        gid_map: String,
    },
    /// The caller writes the maps of [`Started::pid`] and then calls [`Started::go`].
    Caller,
}

/// A child on its way to the command.
///
/// Dropped instead of turned [into a process](Self::into_process), it kills and reaps the child.
#[must_use = "dropping it kills the child"]
#[derive(Debug)]
pub struct Started {
    pid: i32,
    pidfd: OwnedFd,
    channel: Channel,
    /// It has said that everything is set.
    is_confirmed: bool,
    plan_file: OwnedFd,
    shared: Shared,
    kill_on_drop: bool,
    started_ns: u64,
    /// Paths of the groups that the child joins.
    tasks: Vec<String>,
    // The child reads it, and stands on its stack, until it has executed the stub.
    _window: Box<Window>,
}

/// Starts the stub with the plan in new namespaces; returns while it is still at work.
///
/// # Order
/// With [`IdMapping::Caller`], or when the plan holds `Op::AwaitGo`, [`Started::go`] must be called once
/// for each. Then [`Started::wait_ready`].
///
/// # Privileges
/// `CAP_SYS_ADMIN` for every namespace but a user namespace, or a user namespace among them.
///
/// # Kernel
/// 5.14: `clone3(2)`, `execveat(2)`, `memfd_create(2)`.
///
/// # Errors
/// | kind | errno | when |
/// |---|---|---|
/// | `Denied` | EPERM | a right is missing, or the host forbids user namespaces |
/// | `Limit` | ENOSPC, EUSERS, EAGAIN, ENOMEM | a limit of namespaces or processes is reached |
/// | `Unsupported` | ENOSYS | an outer seccomp filter blocks `clone3` |
///
/// # References
/// `clone(2)`, `user_namespaces(7)`, `memfd_create(2)`
pub fn launch(plan: &Plan, how: &Launch<'_>) -> Result<Started> {
    let (socket, childs_socket) = socketpair(
        AddressFamily::Unix,
        SockType::SeqPacket,
        None,
        SockFlag::SOCK_CLOEXEC,
    )
    .map_err(|errno| {
        failed(
            "make a socket to the child",
            "socketpair(AF_UNIX, SOCK_SEQPACKET)",
            errno,
        )
    })?;
    let handed = Handed::new(
        plan,
        [
            childs_socket,
            crate::sealed::stub()?,
            crate::sealed::plan_file()?,
        ],
    )?;
    let shared = handed.write_plan(plan, how.trace)?;
    let window = handed.window(how);
    let started_ns = sys::monotonic_ns();
    let (pid, pidfd) = clone_child(&window, how)?;
    Ok(Started {
        pid,
        pidfd,
        channel: Channel::new(socket),
        is_confirmed: false,
        plan_file: handed.plan_file,
        shared,
        kill_on_drop: true,
        started_ns,
        tasks: how.tasks.iter().map(|(_, path)| path.clone()).collect(),
        _window: window,
    })
}

impl Started {
    /// Process id in the caller's pid namespace.
    #[must_use]
    pub fn pid(&self) -> i32 {
        self.pid
    }

    /// The process itself: readable when it has ended.
    #[must_use]
    pub fn pidfd(&self) -> BorrowedFd<'_> {
        self.pidfd.as_fd()
    }

    /// Lets a waiting child go on.
    ///
    /// # Errors
    /// | kind | errno | when |
    /// |---|---|---|
    /// | `Gone` | EPIPE | the child has ended; [`wait_ready`](Self::wait_ready) tells why |
    pub fn go(&self) -> Result<()> {
        self.channel.go()
    }

    /// Sends a descriptor to a child whose plan waits for one (`Op::ReceiveDescriptor`).
    ///
    /// # Errors
    /// | kind | errno | when |
    /// |---|---|---|
    /// | `Gone` | EPIPE | the child has ended; [`wait_ready`](Self::wait_ready) tells why |
    pub fn send_descriptor(&self, descriptor: BorrowedFd<'_>) -> Result<()> {
        self.channel.send_descriptor(descriptor)
    }

    /// Why the child has ended, when it has. Waits for a moment only.
    ///
    /// For a caller whose own work on the child fails, which may be the reason or the result.
    #[must_use]
    pub fn early_end(&mut self, plan: &Plan) -> Option<Error> {
        // One that is reaped has told already.
        while self.kill_on_drop && self.channel.is_readable() {
            match self.channel.next() {
                Ok(Some(Report::Failed(failure))) => return Some(plan.error(&failure)),
                Ok(Some(Report::Early(failure))) => {
                    return Some(early_error(&failure, &self.tasks));
                }
                Ok(Some(Report::Ready | Report::Forked | Report::Descriptor)) => {}
                Ok(None) => {
                    return Some(self.follow().err().unwrap_or_else(|| self.died_silently()));
                }
                Err(error) => return Some(error),
            }
        }
        None
    }

    /// Waits until the command is being executed, or waits for its start without the caller: the child has said that
    /// everything is set, and its end of the socket is closed.
    ///
    /// # Errors
    /// The failed op, with its step, call, objects, errno, hint and setting; or `Gone` when the child ended
    /// without a word. The child is then dead and reaped.
    pub fn wait_ready(&mut self, plan: &Plan) -> Result<()> {
        self.reach(Milestone::Executed, plan)
    }

    /// Waits until the child has gone on as another process (`Op::Fork`), whose pid and pidfd are the ones to be had
    /// from then on.
    ///
    /// # Errors
    /// As [`wait_ready`](Self::wait_ready).
    pub fn wait_forked(&mut self, plan: &Plan) -> Result<()> {
        self.reach(Milestone::Forked, plan)
    }

    /// Waits until everything is set and the child waits in `Op::Park` for [`go`](Self::go), after which it is no
    /// longer the caller that it listens to, but whoever [releases](crate::release) it.
    ///
    /// # Errors
    /// As [`wait_ready`](Self::wait_ready).
    pub fn wait_parked(&mut self, plan: &Plan) -> Result<()> {
        self.reach(Milestone::Ready, plan)
    }

    /// Descriptors that the child has sent, in order.
    #[must_use]
    pub fn take_descriptors(&mut self) -> Vec<OwnedFd> {
        self.channel.take_descriptors()
    }

    /// Nanoseconds from the clone to the end of each op; 0 for ops that were left out. Empty without `trace`.
    ///
    /// # Errors
    /// | kind | errno | when |
    /// |---|---|---|
    /// | `Kernel` | of `pread` | the plan's memory could not be read |
    pub fn op_times_ns(&self, plan: &Plan) -> Result<Vec<u64>> {
        if self.shared.stamps_at == 0 {
            return Ok(Vec::new());
        }
        let mut bytes = vec![0; plan.ops.len() * size_of::<u64>()];
        sys::pread(
            self.plan_file.as_raw_fd(),
            &mut bytes,
            self.shared.stamps_at,
        )
        .map_err(|errno| Error::from_errno("read the time stamps", "pread", errno.0))?;
        let stamp = |eight: &[u8]| eight.try_into().map_or(0, u64::from_ne_bytes);
        Ok(bytes
            .chunks_exact(size_of::<u64>())
            .map(|eight| stamp(eight).saturating_sub(self.started_ns))
            .collect())
    }

    /// The process: its pid and pidfd. It is the caller's child and has to be waited for.
    ///
    /// # Errors
    /// | kind | errno | when |
    /// |---|---|---|
    /// | `Limit` | EMFILE | there is no room for another descriptor; the child is killed |
    pub fn into_process(mut self) -> Result<(i32, OwnedFd)> {
        let pidfd = self.pidfd.try_clone().map_err(|error| {
            let errno = error.raw_os_error().unwrap_or_default();
            Error::from_errno("keep the process", "fcntl(F_DUPFD_CLOEXEC)", errno)
        })?;
        self.kill_on_drop = false;
        Ok((self.pid, pidfd))
    }

    /// Follows the child until it has come as far as asked, or its end of the socket is closed.
    ///
    /// ORDER: a failure is told once the socket is closed, when nothing of the child is left to say more.
    fn read_until(&mut self, milestone: Milestone, plan: &Plan) -> Result<()> {
        let mut failed = None;
        loop {
            let record = self.channel.next()?;
            self.follow()?;
            let reached = match record {
                Some(Report::Ready) => {
                    self.is_confirmed = true;
                    Some(Milestone::Ready)
                }
                Some(Report::Forked) => Some(Milestone::Forked),
                Some(Report::Descriptor) => None,
                Some(Report::Failed(failure)) => {
                    failed = Some(plan.error(&failure));
                    None
                }
                Some(Report::Early(failure)) => {
                    failed = Some(early_error(&failure, &self.tasks));
                    None
                }
                None if let Some(error) = failed => return Err(error),
                None if self.is_confirmed && milestone == Milestone::Executed => return Ok(()),
                None => return Err(self.died_silently()),
            };
            if reached == Some(milestone) {
                return Ok(());
            }
        }
    }

    /// As [`read_until`](Self::read_until); a child that fails is dead and reaped.
    fn reach(&mut self, milestone: Milestone, plan: &Plan) -> Result<()> {
        let outcome = self.read_until(milestone, plan);
        if outcome.is_err() {
            self.kill_and_reap();
        }
        outcome
    }

    /// The process in which the plan goes on, when the first one has forked.
    fn forked(&self) -> Result<Option<i32>> {
        if self.shared.forked_at == 0 {
            return Ok(None);
        }
        let mut pid = [0; size_of::<i32>()];
        sys::pread(self.plan_file.as_raw_fd(), &mut pid, self.shared.forked_at)
            .map_err(|errno| Error::from_errno("follow the child", "pread", errno.0))?;
        let pid = i32::from_ne_bytes(pid);
        Ok((pid != 0 && pid != self.pid).then_some(pid))
    }

    /// The plan may go on in another child of ours; the first one has then done its part, whatever becomes of it.
    fn follow(&mut self) -> Result<()> {
        let Some(pid) = self.forked()? else {
            return Ok(());
        };
        let next = sys::pidfd_open(pid).and_then(sys::own).map_err(|errno| {
            Error::from_errno("follow the child", format!("pidfd_open({pid})"), errno.0)
        })?;
        let first = std::mem::replace(&mut self.pidfd, next);
        self.pid = pid;
        reap(first.as_fd());
        Ok(())
    }

    fn died_silently(&self) -> Error {
        let how = match waitid(
            Id::PIDFd(self.pidfd.as_fd()),
            WaitPidFlag::WEXITED | WaitPidFlag::WNOWAIT,
        ) {
            Ok(WaitStatus::Exited(_, EXIT_DAMAGED)) => {
                format!("it exited with code {EXIT_DAMAGED}: it could not read or map its plan")
            }
            Ok(WaitStatus::Exited(_, code)) => format!("it exited with code {code}"),
            Ok(WaitStatus::Signaled(_, signal, _)) => format!("it was killed by {signal:?}"),
            Ok(other) => format!("{other:?}"),
            Err(errno) => format!("waitid: {errno}"),
        };
        Error::new(
            Kind::Gone,
            "wait for the child to be ready",
            format!("the child ended before it was ready: {how}"),
        )
        .with_hint(how.contains("SIGKILL").then_some(
            "a memory limit below what a start takes, or somebody's kill, ends a child like this",
        ))
    }

    fn kill_and_reap(&mut self) {
        // A child that is dead already cannot be signalled, and that is well.
        let _dead = sys::pidfd_send_signal(self.pidfd.as_raw_fd(), SIGKILL);
        reap(self.pidfd.as_fd());
        // ORDER: once the first process is dead it makes no second one any more.
        if self.forked().is_ok_and(|second| second.is_some()) && self.follow().is_ok() {
            let _dead = sys::pidfd_send_signal(self.pidfd.as_raw_fd(), SIGKILL);
            reap(self.pidfd.as_fd());
        }
        self.kill_on_drop = false;
    }
}

impl Drop for Started {
    fn drop(&mut self) {
        if self.kill_on_drop {
            // The child stands on our memory until it has executed the stub: it must be gone first.
            self.kill_and_reap();
        }
    }
}

/// How far a child has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Milestone {
    /// It has gone on as another process.
    Forked,
    /// Everything is set.
    Ready,
    /// Everything is set, and its end of the socket is closed.
    Executed,
}

/// Where the plan's file holds what the child writes; 0 where it writes nothing.
#[derive(Clone, Copy, Debug)]
struct Shared {
    stamps_at: usize,
    forked_at: usize,
}

/// Descriptors as the child will find them: all above the numbers that the command gets.
struct Handed {
    socket: OwnedFd,
    stub: OwnedFd,
    plan_file: OwnedFd,
    slots: Vec<i32>,
    // Copies of the plan's own descriptors that sat too low.
    _raised: Vec<OwnedFd>,
}

impl Handed {
    fn new(plan: &Plan, [socket, stub, plan_file]: [OwnedFd; 3]) -> Result<Self> {
        let highest = plan.highest_target();
        let raise = |fd: OwnedFd| match fd.as_raw_fd() {
            low if low <= highest => copy_above(low, highest),
            _ => Ok(fd),
        };
        let mut slots = plan.initial_slots();
        let mut raised = Vec::new();
        for slot in slots
            .iter_mut()
            .filter(|slot| (0..=highest).contains(*slot))
        {
            let copy = copy_above(*slot, highest)?;
            *slot = copy.as_raw_fd();
            raised.push(copy);
        }
        // What follows the slots in the plan's file is aligned to 8 bytes.
        if slots.len() % 2 == 1 {
            slots.push(-1);
        }
        Ok(Handed {
            socket: raise(socket)?,
            stub: raise(stub)?,
            plan_file: raise(plan_file)?,
            slots,
            _raised: raised,
        })
    }

    fn window(&self, how: &Launch<'_>) -> Box<Window> {
        let [socket, stub, plan_file] =
            [&self.socket, &self.stub, &self.plan_file].map(AsRawFd::as_raw_fd);
        let mut kept: Vec<i32> = self
            .slots
            .iter()
            .copied()
            .filter(|number| *number >= 0)
            .collect();
        kept.extend([socket, stub, plan_file]);
        kept.sort_unstable();
        kept.dedup();
        let tasks: Vec<i32> = how.tasks.iter().map(|(file, _)| file.as_raw_fd()).collect();
        let mut open = [kept.as_slice(), &tasks].concat();
        open.sort_unstable();
        let mut window = Box::new(Window {
            socket,
            ids: how.ids.clone(),
            kept,
            tasks,
            open,
            stub,
            arguments: [0; 3],
            // Digits hold no NUL.
            argument: CString::new(plan_file.to_string()).unwrap_or_default(),
            stack: vec![0; STACK_BYTES / size_of::<u128>()],
        });
        window.arguments = [
            c"ns-init".as_ptr() as usize,
            window.argument.as_ptr() as usize,
            0,
        ];
        window
    }

    /// Writes head, ops, slots and blob, and leaves room for pointers and stamps; gives the offset of the stamps,
    /// 0 without them.
    fn write_plan(&self, plan: &Plan, trace: bool) -> Result<Shared> {
        let ops_offset = size_of::<Header>();
        let slots_offset = ops_offset + size_of_val(plan.ops.as_slice());
        let blob_offset = slots_offset + size_of_val(self.slots.as_slice());
        let pointers_offset = (blob_offset + plan.blob.len()).next_multiple_of(8);
        let stamps_at = pointers_offset + plan.n_pointers * size_of::<usize>();
        let stamps_bytes = if trace {
            plan.ops.len() * size_of::<u64>()
        } else {
            0
        };
        let forks = plan.ops.contains(&Op::Fork);
        let forked_at = stamps_at + stamps_bytes;
        let total = forked_at + if forks { size_of::<u64>() } else { 0 };
        let shared = Shared {
            stamps_at: if trace { stamps_at } else { 0 },
            forked_at: if forks { forked_at } else { 0 },
        };
        let small = |value: usize| u32::try_from(value).map_err(|_| too_large());
        let header = Header {
            magic: MAGIC,
            op_bytes: small(size_of::<Op>())?,
            n_ops: small(plan.ops.len())?,
            ops_offset: small(ops_offset)?,
            n_slots: small(self.slots.len())?,
            slots_offset: small(slots_offset)?,
            blob_bytes: small(plan.blob.len())?,
            blob_offset: small(blob_offset)?,
            n_pointers: small(plan.n_pointers)?,
            pointers_offset: small(pointers_offset)?,
            stamps_offset: small(shared.stamps_at)?,
            total_bytes: small(total)?,
            socket: self.socket.as_raw_fd(),
            forked_offset: small(shared.forked_at)?,
        };
        let file = self.plan_file.as_raw_fd();
        let written = sys::write_plan(file, &header, &plan.ops, &self.slots, &plan.blob)
            .and_then(|written| sys::ftruncate(file, total).map(|_| written))
            .map_err(|errno| Error::from_errno("hand over the plan", "writev", errno.0))?;
        if written != blob_offset + plan.blob.len() {
            return Err(too_large());
        }
        Ok(shared)
    }
}

fn clone_child(window: &Window, how: &Launch<'_>) -> Result<(i32, OwnedFd)> {
    let into_cgroup = if how.cgroup.is_some() {
        CLONE_INTO_CGROUP
    } else {
        0
    };
    let flags = how.namespaces | CLONE_VM | CLONE_PIDFD | into_cgroup | vfork(how);
    // Between clone and exec no handler of the caller may run in the child.
    let mask = sys::set_signal_mask(u64::MAX)
        .map_err(|errno| Error::from_errno("block signals", "rt_sigprocmask", errno.0))?;
    let cloned =
        sys::clone_into_window(window, flags, SIGCHLD, how.cgroup.map(|fd| fd.as_raw_fd()));
    let restored = sys::set_signal_mask(mask);
    debug_assert!(
        restored.is_ok(),
        "a mask that the kernel gave is a mask that it takes"
    );
    let (pid, pidfd) = cloned.map_err(|errno| clone_error(how.namespaces, errno.0))?;
    let pidfd = sys::own(pidfd).map_err(|errno| clone_error(how.namespaces, errno.0))?;
    Ok((pid, pidfd))
}

/// A child that meets the memory limit of its group while it shares our memory would be killed, and we with it: the
/// kernel kills everybody who shares the memory of a victim. It spares a child of `vfork(2)`, whose exec fails instead.
/// Where the child waits for us there is no way but not to have the caller wait for it.
fn vfork(how: &Launch<'_>) -> u64 {
    let has_group = how.cgroup.is_some() || !how.tasks.is_empty();
    match has_group && how.ids != IdMapping::Caller {
        true => CLONE_VFORK,
        false => 0,
    }
}

fn reap(pidfd: BorrowedFd<'_>) {
    while waitid(Id::PIDFd(pidfd), WaitPidFlag::WEXITED) == Err(Errno::EINTR) {}
}

fn too_large() -> Error {
    Error::new(Kind::Limit, "hand over the plan", "it is larger than 2 GiB")
}

fn failed(step: &'static str, call: &str, errno: Errno) -> Error {
    Error::from_errno(step, call, errno as i32)
}

/// Something failed between the clone and the stub.
fn early_error(failure: &Failure, tasks: &[String]) -> Error {
    let number = usize::try_from(failure.detail).unwrap_or(0);
    if let Some(path) = number.checked_sub(1).and_then(|index| tasks.get(index)) {
        return Error::from_errno(
            "join the control group",
            format!("write({path:?}, \"0\")"),
            failure.errno,
        )
        .with_hint(crate::hints::join_hint(failure.errno));
    }
    let call = crate::explain::call_name(failure.call);
    Error::from_errno(
        "enter the new namespaces",
        format!("{call} in the new process"),
        failure.errno,
    )
    .with_hint(crate::hints::early_hint(failure))
}

fn clone_error(namespaces: u64, errno: i32) -> Error {
    Error::from_errno(
        "make the namespaces",
        format!("clone3({namespaces:#x})"),
        errno,
    )
    .with_hint(crate::hints::clone_hint(namespaces, errno))
}
