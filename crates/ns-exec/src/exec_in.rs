//! `ExecIn` of the seed: another command in the namespaces of a running container.

use std::fs;
use std::os::fd::{AsFd, AsRawFd as _, BorrowedFd, OwnedFd};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};

use ns_cgroups::Cgroup;
use ns_config::{Config, NamespaceKind, ResolvedUser};
use ns_init::{
    Command, Create, Groups, Init, Inside, Launch, Missing, Op, Opening, Plan, PlanBuilder, Slot,
};
use ns_mount::{Root, private_procfs};

use crate::container::{Container, group_is_frozen};
use crate::error::{Error, Kind, Result, Stage};
use crate::process::Process;
use crate::resources::{Resources, tasks_files};
use crate::sequence::into_running;
use crate::start::{Start, inherit};

/// A process whose namespaces can be joined: alive, and held by descriptor so that it cannot become another (H1, H2).
#[derive(Debug)]
pub struct Target {
    pidfd: OwnedFd,
    pid: i32,
}

impl Target {
    /// Takes a pidfd; the process must be alive.
    ///
    /// # Errors
    /// | kind | errno | when |
    /// |---|---|---|
    /// | `Gone` | ESRCH | the process has ended, or is a zombie |
    /// | `InvalidValue` | | the descriptor is no pidfd, or of a process in another pid namespace |
    ///
    /// # References
    /// `pidfd_open(2)`, `proc_pid_fdinfo(5)`
    pub fn from_pidfd(pidfd: OwnedFd) -> Result<Self> {
        let path = format!("/proc/self/fdinfo/{}", pidfd.as_raw_fd());
        let info = fs::read_to_string(&path)
            .map_err(|error| Error::from_io(Stage::Caller, &path, &error))?;
        let pid = info
            .lines()
            .find_map(|line| line.strip_prefix("Pid:"))
            .and_then(|pid| pid.trim().parse().ok());
        let target = match pid {
            Some(pid) if pid > 0 => Target { pidfd, pid },
            Some(-1) => return Err(gone()),
            _ => {
                let message = "the descriptor names no process that can be seen from here";
                return Err(Error::new(Kind::InvalidValue, Stage::Caller, message));
            }
        };
        target.check_alive()?;
        Ok(target)
    }

    /// Process id in the caller's pid namespace.
    #[must_use]
    pub fn pid(&self) -> i32 {
        self.pid
    }

    /// A zombie can be signalled and cannot be joined.
    fn check_alive(&self) -> Result<()> {
        match self.has_ended()? {
            true => Err(gone()),
            false => Ok(()),
        }
    }

    pub(crate) fn has_ended(&self) -> Result<bool> {
        crate::sys::is_readable(self.pidfd.as_fd()).map_err(|errno| {
            let step = "look at the process: poll(pidfd)";
            Error::from_errno(Stage::Caller, step, errno as i32)
        })
    }

    /// Opens a file of the process's directory in procfs, and makes sure that it was its own.
    fn file<T>(&self, name: &str, open: impl FnOnce(&str) -> std::io::Result<T>) -> Result<T> {
        let path = format!("/proc/{}/{name}", self.pid);
        let opened = open(&path);
        // ORDER: after the opening: the number was not another process's as long as this one lives.
        self.check_alive()?;
        opened.map_err(|error| Error::from_io(Stage::Caller, &format!("open({path:?})"), &error))
    }

    /// The `CLONE_NEW*` bits of the namespaces in which it differs from the caller.
    fn foreign_namespaces(&self) -> Result<Vec<NamespaceKind>> {
        let mut foreign = Vec::new();
        for kind in NamespaceKind::ALL {
            let name = format!("ns/{}", kind.proc_name());
            let theirs = self.file(&name, |path| fs::metadata(path))?;
            let path = format!("/proc/self/{name}");
            let ours = fs::metadata(&path)
                .map_err(|error| Error::from_io(Stage::Caller, &path, &error))?;
            if theirs.ino() != ours.ino() {
                foreign.push(kind);
            }
        }
        Ok(foreign)
    }

    /// Its root directory, for lookups that stay inside.
    fn root(&self) -> Result<Root> {
        let open = |path: &str| {
            fs::File::options()
                .read(true)
                .custom_flags(libc::O_PATH | libc::O_DIRECTORY | libc::O_CLOEXEC)
                .open(path)
        };
        let root = self.file("root", open)?;
        Root::from_fd(root.into()).map_err(|error| Error::from_mount(&error))
    }
}

/// The process as a descriptor: readable once it has ended.
impl AsFd for Target {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.pidfd.as_fd()
    }
}

/// Starts a command in all the namespaces of a running process, and in its control group.
///
/// Of the configuration only what belongs to the process is used: user, groups, environment, working directory,
/// capabilities, limits, labels, no_new_privs, terminal. The user is looked up in the container's own files.
///
/// The new process is in the group before anything else happens, cannot be attached to or read from inside at any
/// moment, and is the caller's own child: signals reach it, and its exit status comes back (H3, H14).
///
/// # Order
/// [`Process::wait`] before the wait for the container: its first process does not end, not even when it is killed, as
/// long as a joined command that has ended was not reaped by its parent, which is the caller.
///
/// # Privileges
/// `CAP_SYS_ADMIN` over every namespace that is joined, `CAP_SYS_PTRACE` over the process; a user namespace of the
/// caller's own gives both.
///
/// # Kernel
/// 5.8: `setns(2)` on a pidfd, all namespaces at once.
///
/// # Errors
/// | kind | when |
/// |---|---|
/// | `Gone` | the process has ended |
/// | `NotFound` | the user or the command is not in the container |
/// | `Denied` | the namespaces, or the group, are not the caller's to join |
/// | by errno | a step failed; the new process is dead and reaped |
#[doc(alias = "ExecIn")]
pub fn exec_in(target: &Target, cgroup: Option<&Cgroup>, start: Start<'_>) -> Result<Process> {
    Joining::prepare(target, start)?.run(cgroup)
}

/// Everything that is known before the process is made.
pub(crate) struct Joining {
    plan: Plan,
    has_terminal: bool,
    trace: bool,
}

impl Joining {
    fn prepare(target: &Target, start: Start<'_>) -> Result<Self> {
        let config = start.config;
        let user = resolve(target, config)?;
        let environment = ns_init::load_container_environment(config, &user)?;
        let command = Command {
            arguments: start.arguments,
            environment,
        };
        let mut plan = PlanBuilder::new();
        let descriptors = inherit(start.streams, start.descriptors, &mut plan)?;
        ns_init::protect(config, &mut plan)?;
        let foreign = join(target, &mut plan)?;
        let groups = groups(target, &foreign)?;
        let init = Init {
            config,
            user: &user,
            groups,
            command: &command,
            descriptors: &descriptors,
            parked_at: None,
        };
        ns_init::init_joined(&init, &mut plan, |plan| {
            plan_inside(&init, start.window_size, plan)
        })?;
        Ok(Joining {
            plan: plan.finish(),
            has_terminal: config.process.terminal,
            trace: start.trace,
        })
    }

    /// A plan that ends by itself.
    pub(crate) fn without_command(plan: Plan) -> Self {
        Joining {
            plan,
            has_terminal: false,
            trace: false,
        }
    }

    /// Makes the process, in the group from its first moment, and returns when its plan is done.
    pub(crate) fn run(self, cgroup: Option<&Cgroup>) -> Result<Process> {
        let tasks = tasks_files(cgroup)?;
        let how = Launch {
            cgroup: cgroup.and_then(Cgroup::dir_fd),
            tasks: &tasks,
            trace: self.trace,
            ..Launch::default()
        };
        let started =
            ns_init::launch(&self.plan, &how).map_err(|error| Error::from_start(&error))?;
        let (pid, pidfd, terminal, op_times) =
            into_running(started, &self.plan, self.has_terminal)?;
        Ok(Process {
            pid,
            pidfd,
            terminal,
            op_times,
            resources: Resources::default(),
        })
    }
}

/// Plans to join all namespaces that are not the caller's own, which are given back.
///
/// ORDER: one call for all, so that the user namespace's rights are there for the others; the mount namespace
/// brings its root and directory along.
pub(crate) fn join(target: &Target, plan: &mut PlanBuilder) -> Result<Vec<NamespaceKind>> {
    let foreign = target.foreign_namespaces()?;
    let flags = foreign
        .iter()
        .fold(0, |flags, kind| flags | kind.clone_flag());
    if flags == 0 {
        let message = "the process shares all namespaces with the caller: there is nothing to join";
        return Err(Error::new(Kind::InvalidValue, Stage::Caller, message));
    }
    let pidfd = target
        .pidfd
        .try_clone()
        .map_err(|error| Error::from_io(Stage::Caller, "copy the pidfd", &error))?;
    let namespace = plan.inherit(pidfd, format!("process {}", target.pid))?;
    plan.push(
        "join the namespaces",
        Op::JoinNamespace { namespace, flags },
    );
    plan.push("let go of the process", Op::Close { slot: namespace });
    if [NamespaceKind::Pid, NamespaceKind::Time]
        .iter()
        .any(|kind| foreign.contains(kind))
    {
        plan.push("go on inside the pid namespace", Op::Fork);
    }
    Ok(foreign)
}

/// A user namespace may forbid to change groups for good.
fn groups(target: &Target, foreign: &[NamespaceKind]) -> Result<Groups> {
    if !foreign.contains(&NamespaceKind::User) {
        return crate::ids::groups_of_caller();
    }
    let setting = target.file("setgroups", |path| fs::read_to_string(path))?;
    Ok(match setting.trim() {
        "deny" => Groups::Fixed,
        _ => Groups::Settable,
    })
}

fn resolve(target: &Target, config: &Config) -> Result<ResolvedUser> {
    let root = target.root()?;
    crate::user::resolve_in(config, |path| crate::user::read_in(&root, path))
}

/// What takes the container's files: a procfs for labels, and a terminal.
fn plan_inside(init: &Init<'_>, size: crate::WindowSize, plan: &mut PlanBuilder) -> Result<Inside> {
    let process = &init.config.process;
    let has_label = process.apparmor_profile.is_some() || process.selinux_label.is_some();
    let procfs = match has_label {
        true => Some(private_procfs(plan).map_err(|error| Error::from_mount(&error))?),
        false => None,
    };
    let terminal = match process.terminal {
        true => Some(open_terminal(init.user, size, plan)?),
        false => None,
    };
    Ok(Inside {
        terminal,
        procfs,
        ..Inside::default()
    })
}

/// A terminal from the container's devpts, which the op makes sure that it is; its name is never trusted.
fn open_terminal(
    user: &ResolvedUser,
    size: crate::WindowSize,
    plan: &mut PlanBuilder,
) -> Result<Slot> {
    let root = open_root(plan)?;
    let [devpts, primary, peer] =
        ["/dev/pts", "terminal", "the terminal's peer"].map(|name| plan.slot(name));
    let path = plan.text("/dev/pts")?;
    let create = Create::Nothing;
    plan.push(
        "open the container's terminals",
        Op::OpenInRoot {
            out: devpts,
            root,
            path,
            create,
            missing: Missing::Fail,
        },
    );
    let (rows, columns) = (u32::from(size.rows), u32::from(size.columns));
    let (uid, gid) = (user.uid, user.gid);
    plan.push(
        "open a terminal",
        Op::OpenTerminal {
            devpts,
            primary,
            peer,
            rows,
            columns,
            uid,
            gid,
        },
    );
    plan.push(
        "hand the terminal to the caller",
        Op::SendDescriptor { slot: primary },
    );
    Ok(peer)
}

/// The root that was joined with the mount namespace.
pub(crate) fn open_root(plan: &mut PlanBuilder) -> Result<Slot> {
    let (out, path) = (plan.slot("/"), plan.text("/")?);
    plan.push(
        "open the root",
        Op::OpenHost {
            out,
            path,
            opening: Opening::Directory,
            missing: Missing::Fail,
        },
    );
    Ok(out)
}

fn gone() -> Error {
    Error::new(
        Kind::Gone,
        Stage::Caller,
        "the container's process has ended",
    )
    .with_hint("start the container again; a stale state is removed by delete")
}

impl Container<'_> {
    /// Starts another command in the container: [`exec_in`] its first process, in its control group.
    ///
    /// # Errors
    /// Those of [`exec_in`], and
    ///
    /// | kind | when |
    /// |---|---|
    /// | `Gone` | its command has ended |
    /// | `Hostile` | its process is another by now |
    /// | `Busy` | it is paused: the new command would stand still as well |
    pub fn exec(&self, start: Start<'_>) -> Result<Process> {
        let (target, cgroup) = self.joinable()?;
        exec_in(&target, cgroup.as_ref(), start)
    }

    /// What a new process joins. In a paused group it would stand still, and its caller would wait for it.
    pub(crate) fn joinable(&self) -> Result<(Target, Option<Cgroup>)> {
        let target = self.target()?;
        let cgroup = self.group_in_use()?;
        if cgroup.as_ref().map_or(Ok(false), group_is_frozen)? {
            let message = format!("container {:?} is paused", self.id());
            let hint = format!("nsrun resume {}", self.id());
            return Err(Error::new(Kind::Busy, Stage::Caller, message).with_hint(hint));
        }
        Ok((target, cgroup))
    }
}
