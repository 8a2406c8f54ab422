//! Advice for errors that mislead: (op, call, errno) to a sentence.

use crate::error::{
    E2BIG, EACCES, EAGAIN, EBUSY, EINVAL, ELOOP, ENODEV, ENOENT, ENOEXEC, ENOSPC, ENOSYS, ENOTDIR,
    EOVERFLOW, EPERM, EXDEV,
};
use crate::op::{Call, Failure, Op};

/// The way out of a failed op, where one is known.
#[expect(clippy::too_many_lines, reason = "a table: one line per case")]
pub(crate) fn hint(op: &Op, failure: &Failure) -> Option<&'static str> {
    let is = |call: Call| failure.call == call as u32;
    if is(Call::CheckInside) {
        return Some(
            "the working directory lies outside the container's root; name a directory inside",
        );
    }
    if is(Call::CheckCaller) {
        return Some("the process that started the container has ended");
    }
    let hint = match (op, failure.errno) {
        (Op::Execute { .. }, ENOENT) => {
            "the command, or the interpreter it names, is not in the container; check its path and PATH"
        }
        (Op::Execute { .. }, EACCES) => {
            "the command is not an executable file, or its mount is noexec"
        }
        (Op::Execute { .. }, ENOEXEC) => {
            "the file is no program for this machine and has no #! line"
        }
        (Op::Execute { .. }, E2BIG) => {
            "arguments and environment exceed the stack limit, or one string exceeds 128 KiB"
        }
        (Op::Execute { .. }, ELOOP) => {
            "the command's path goes through a magic link such as /proc/self/exe"
        }
        (Op::Execute { .. }, EAGAIN) => {
            "the limit of processes (RLIMIT_NPROC, pids.max) is reached"
        }
        (Op::SetResourceLimit { .. }, EPERM) => {
            "raising a hard limit takes CAP_SYS_RESOURCE in the initial user namespace; ask for no more than `ulimit -H` shows"
        }
        (Op::WriteProc { .. }, ENOENT) => {
            "this kernel has no such setting, or the security module it belongs to is not enabled"
        }
        (Op::WriteProc { .. }, EACCES | EPERM) => {
            "only a process with rights over the namespace that owns the setting may write it"
        }
        (Op::OpenInRoot { .. } | Op::MakeFile { .. }, EOVERFLOW) => {
            "the process that sets up the container has no id in its user namespace; map one"
        }
        (Op::NewFilesystem { .. }, ENODEV) => {
            "the kernel has no such file system; see /proc/filesystems"
        }
        (Op::NewFilesystem { .. }, EPERM) => {
            "a new instance needs CAP_SYS_ADMIN over its namespace; in a user namespace proc and sysfs also need the host's to be fully visible"
        }
        (Op::NewFilesystem { .. }, EINVAL) if failure.detail > 0 => {
            "the file system does not accept this parameter"
        }
        (Op::NewFilesystem { .. } | Op::CloneMount { .. }, ENOSPC)
        | (Op::AttachMount { .. }, ENOSPC) => {
            "the limit of mounts is reached; see /proc/sys/fs/mount-max"
        }
        (Op::AttachMount { .. }, ENOTDIR) => {
            "a directory can only be mounted on a directory, a file on a file"
        }
        (Op::OpenInRoot { .. }, ELOOP | EXDEV) => {
            "a link in the container's tree goes in circles or is a magic link; it is not followed"
        }
        (Op::SetIds { .. }, EINVAL) | (Op::SetGroups { .. }, EINVAL) => {
            "the id has no mapping in the container's user namespace"
        }
        (Op::SetGroups { .. }, EPERM) => {
            "a user namespace with a single mapping cannot change groups; map the groups or ask for none"
        }
        (Op::DropBoundingSet { .. }, EPERM) => "dropping capabilities takes CAP_SETPCAP",
        (Op::SetAmbientSet { .. }, EPERM) => {
            "an ambient capability must be in the permitted and the inheritable set as well"
        }
        (Op::SetCapabilities { .. }, EPERM) => {
            "a capability was asked for that the caller does not hold"
        }
        (Op::InstallSeccomp { .. }, EACCES) => "a filter without no_new_privs takes CAP_SYS_ADMIN",
        (Op::Unshare { .. }, ENOSPC) => {
            "a limit of namespaces is reached; see /proc/sys/user/max_*_namespaces"
        }
        (Op::ChangeDirectory { .. }, ENOENT) => "the working directory is not in the container",
        (Op::ChangeDirectory { .. }, ELOOP) => {
            "the working directory's path goes through a magic link such as /proc/self/fd/N"
        }
        (Op::PivotRoot { .. }, EINVAL) => {
            "the host runs from its initramfs, or / is shared; enter the root by moving it (no_pivot_root)"
        }
        (Op::MakeNode { .. }, EPERM) => {
            "device nodes take CAP_MKNOD in the initial user namespace, and a device rule of the control group that allows m"
        }
        (Op::Close { .. } | Op::CloneMount { .. }, EBUSY) => "the object is in use",
        (_, ENOSYS) => "the kernel is older than 5.14, or an outer seccomp filter blocks the call",
        _ => return None,
    };
    Some(hint)
}

/// The way out when the namespaces could not be made.
#[cfg(feature = "stub")]
pub(crate) fn clone_hint(namespaces: u64, errno: i32) -> Option<String> {
    const NAMES: [(u64, &str); 8] = [
        (0x1000_0000, "user"),
        (0x0002_0000, "mnt"),
        (0x2000_0000, "pid"),
        (0x4000_0000, "net"),
        (0x0800_0000, "ipc"),
        (0x0400_0000, "uts"),
        (0x0200_0000, "cgroup"),
        (0x0000_0080, "time"),
    ];
    let asked = NAMES.iter().filter(|(flag, _)| namespaces & flag != 0);
    let has_user = namespaces & 0x1000_0000 != 0;
    match errno {
        ENOSPC => {
            let files: Vec<_> = asked
                .map(|(_, name)| format!("/proc/sys/user/max_{name}_namespaces"))
                .collect();
            Some(format!(
                "the limit of namespaces is reached; see {}",
                files.join(", ")
            ))
        }
        EPERM if has_user => Some(USER_NAMESPACE_SWITCHES.into()),
        EPERM => {
            Some("these namespaces take CAP_SYS_ADMIN; add a user namespace to do without".into())
        }
        EAGAIN => Some(
            "the limit of processes is reached (RLIMIT_NPROC, pids.max, kernel.pid_max)".into(),
        ),
        ENOSYS => Some("an outer seccomp filter blocks clone3; allow it there".into()),
        _ => None,
    }
}

/// The way out when the child could not get as far as the stub.
#[cfg(feature = "stub")]
pub(crate) fn early_hint(failure: &Failure) -> Option<&'static str> {
    if failure.errno == EACCES || failure.errno == EPERM {
        return Some(USER_NAMESPACE_SWITCHES);
    }
    (failure.errno == ENOENT && failure.call == Call::Openat2 as u32)
        .then_some("/proc is not mounted here; mapping ids takes it")
}

/// Advice for a v1 group that does not take the child.
#[cfg(feature = "stub")]
pub(crate) fn join_hint(errno: i32) -> Option<&'static str> {
    match errno {
        ENOSPC => Some("cpuset.cpus or cpuset.mems of the group is empty"),
        EINVAL => Some("a process with a real-time policy needs cpu.rt_runtime_us in the group"),
        EACCES | EPERM => Some("only root, and the owner of the process, may move it"),
        _ => None,
    }
}

#[cfg(feature = "stub")]
const USER_NAMESPACE_SWITCHES: &str = "the host restricts user namespaces; one of these allows them: \
    sysctl kernel.unprivileged_userns_clone=1, sysctl kernel.apparmor_restrict_unprivileged_userns=0, \
    sysctl user.max_user_namespaces=10000";
