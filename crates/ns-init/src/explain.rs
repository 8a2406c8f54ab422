//! A plan in words: what `nsrun explain` prints and what errors quote.

use crate::op::{Call, Create, Depth, Failure, Op};
use crate::plan::Plan;

/// One step of a plan, for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Explained {
    /// What is done, as a verb phrase.
    pub what: &'static str,
    /// The call with its objects, as in a trace.
    pub call: String,
    /// The setting that asked for it, if one did.
    pub pointer: Option<String>,
}

impl Plan {
    /// The steps in order, in words.
    #[must_use]
    pub fn explain(&self) -> Vec<Explained> {
        self.ops
            .iter()
            .zip(&self.steps)
            .map(|(op, step)| {
                let (call, objects) = parts(self, op);
                Explained {
                    what: step.what,
                    call: format!("{call}({objects})"),
                    pointer: step.pointer.clone(),
                }
            })
            .collect()
    }
}

/// The call that failed, with the objects of its op.
pub(crate) fn failed_call(plan: &Plan, op: &Op, failure: &Failure) -> String {
    let (_, objects) = parts(plan, op);
    let call = call_name(failure.call);
    if let Op::NewFilesystem {
        fstype, parameters, ..
    } = op
        && failure.call == Call::Fsconfig as u32
        && failure.detail > 0
    {
        let strings = plan.strings(*parameters);
        let at = (failure.detail as usize - 1) * 2;
        let parameter = strings
            .get(at..at + 2)
            .map_or_else(String::new, |pair| pair.join("="));
        return format!("fsconfig({:?}, {parameter:?})", plan.text(*fstype));
    }
    let detail = match (op, failure.detail) {
        (_, 0) => String::new(),
        (Op::DropBoundingSet { .. } | Op::SetAmbientSet { .. }, number) => {
            format!(", capability {number}")
        }
        _ => String::new(),
    };
    format!("{call}({objects}{detail})")
}

/// Name of a [`Call`] by number.
pub(crate) fn call_name(number: u32) -> &'static str {
    CALL_NAMES.get(number as usize).copied().unwrap_or("?")
}

/// The main call of an op and its objects.
#[expect(clippy::too_many_lines, reason = "a table: one line per op")]
fn parts(plan: &Plan, op: &Op) -> (&'static str, String) {
    let slot = |slot| plan.slot_name(slot);
    let text = |text| format!("{:?}", plan.text(text));
    match *op {
        Op::ForbidDump => ("prctl", "PR_SET_DUMPABLE, 0".into()),
        Op::SetParentDeathSignal { signal } => ("prctl", format!("PR_SET_PDEATHSIG, {signal}")),
        Op::ResetSignals => ("rt_sigaction", "1..64, SIG_DFL".into()),
        Op::SetUmask { mask } => ("umask", format!("{mask:#05o}")),
        Op::NewSession => ("setsid", String::new()),
        Op::SetControllingTerminal { terminal } => {
            ("ioctl", format!("{}, TIOCSCTTY", slot(terminal)))
        }
        Op::SetResourceLimit {
            resource,
            soft,
            hard,
        } => (
            "prlimit64",
            format!("{resource}, {{{}, {}}}", limit(soft), limit(hard)),
        ),
        Op::SetHostname { name } => ("sethostname", text(name)),
        Op::SetDomainname { name } => ("setdomainname", text(name)),
        Op::SetNoNewPrivileges => ("prctl", "PR_SET_NO_NEW_PRIVS, 1".into()),
        Op::InstallSeccomp { filter, .. } => {
            ("seccomp", format!("{} instructions", filter.length / 8))
        }
        Op::SetGroups { gids } => ("setgroups", numbers(plan.bytes(gids))),
        Op::SetIds { uid, gid } => ("setresuid", format!("uid {uid}, gid {gid}")),
        Op::DropBoundingSet { keep } => {
            ("prctl", format!("PR_CAPBSET_DROP, all but {}", set(keep)))
        }
        Op::SetCapabilities {
            effective,
            permitted,
            inheritable,
        } => (
            "capset",
            format!(
                "effective {}, permitted {}, inheritable {}",
                set(effective),
                set(permitted),
                set(inheritable)
            ),
        ),
        Op::SetAmbientSet { set: ambient } => {
            ("prctl", format!("PR_CAP_AMBIENT, {}", set(ambient)))
        }
        Op::JoinNamespace { namespace, flags } => {
            ("setns", format!("{}, {flags:#x}", slot(namespace)))
        }
        Op::Unshare { flags } => ("unshare", format!("{flags:#x}")),
        Op::Fork => ("clone3", "CLONE_PARENT".into()),
        Op::AwaitGo => ("recv", "from the caller".into()),
        Op::Park { listener } => ("accept4", slot(listener)),
        Op::Close { slot: closed } => ("close", slot(closed)),
        Op::Duplicate { from, to } => ("dup3", format!("{}, {to}", slot(from))),
        Op::CloseFrom { first } => ("close_range", format!("{first}, ~0")),
        Op::SendDescriptor { slot: sent } => ("sendmsg", format!("SCM_RIGHTS {}", slot(sent))),
        Op::ReceiveDescriptor { out } => (
            "recvmsg",
            format!("SCM_RIGHTS from the caller -> {}", slot(out)),
        ),
        Op::OpenHost { path, out, .. } => ("openat2", format!("{} -> {}", text(path), slot(out))),
        Op::OpenInRoot {
            out,
            root,
            path,
            create,
            ..
        } => (
            "openat2",
            format!(
                "{}, {}, RESOLVE_IN_ROOT{} -> {}",
                slot(root),
                text(path),
                creation(create),
                slot(out)
            ),
        ),
        Op::OpenDirectory { out, parent, name } => (
            "openat2",
            format!(
                "{}, {}, RESOLVE_NO_SYMLINKS -> {}",
                slot(parent),
                text(name),
                slot(out)
            ),
        ),
        Op::CheckMounted {
            parent,
            name,
            mount,
        } => (
            "check",
            format!("{} in {} is {}", text(name), slot(parent), slot(mount)),
        ),
        Op::CheckDevice {
            slot: checked,
            major,
            minor,
        } => (
            "check",
            format!("{} is the character device {major}:{minor}", slot(checked)),
        ),
        Op::CheckOutsideProc { slot: checked } => {
            ("check", format!("{} is not on a procfs", slot(checked)))
        }
        Op::CheckDirectory { slot: checked } => {
            ("check", format!("{} is a directory", slot(checked)))
        }
        Op::MakeDirectory { parent, name, mode } => (
            "mkdirat",
            format!("{}, {}, {mode:#05o}", slot(parent), text(name)),
        ),
        Op::MakeFile {
            parent,
            name,
            mode,
            contents,
        } => (
            "openat2",
            format!(
                "{}, {}, O_CREAT|O_EXCL, {mode:#05o}; {} bytes",
                slot(parent),
                text(name),
                contents.length
            ),
        ),
        Op::MakeNode {
            parent,
            name,
            mode,
            major,
            minor,
            ..
        } => (
            "mknodat",
            format!(
                "{}, {}, {mode:#o}, {major}:{minor}",
                slot(parent),
                text(name)
            ),
        ),
        Op::MakeSymlink {
            parent,
            name,
            target,
        } => (
            "symlinkat",
            format!("{}, {}, {}", text(target), slot(parent), text(name)),
        ),
        Op::NewFilesystem {
            out,
            fstype,
            parameters,
            attributes,
        } => {
            let words: Vec<_> = plan
                .strings(parameters)
                .chunks(2)
                .map(|pair| {
                    if pair[1] == "\x01" {
                        pair[0].clone()
                    } else {
                        pair.join("=")
                    }
                })
                .collect();
            let words = words.join(",");
            (
                "fsopen",
                format!(
                    "{}, {words:?}, {attributes:#x} -> {}",
                    text(fstype),
                    slot(out)
                ),
            )
        }
        Op::NewOverlay { out, layers, .. } => (
            "fsopen",
            format!("\"overlay\", {} layers -> {}", layers.length / 4, slot(out)),
        ),
        Op::CloneMount { out, from, depth } => (
            "open_tree",
            format!(
                "{}, OPEN_TREE_CLONE{} -> {}",
                slot(from),
                recursive(depth),
                slot(out)
            ),
        ),
        Op::SetMountAttributes {
            mount,
            depth,
            set,
            clear,
            propagation,
        } => (
            "mount_setattr",
            format!(
                "{}{}, set {set:#x}, clear {clear:#x}, propagation {propagation:#x}",
                slot(mount),
                recursive(depth)
            ),
        ),
        Op::SetRootPropagation { depth, propagation } => (
            "mount_setattr",
            format!("\"/\"{}, propagation {propagation:#x}", recursive(depth)),
        ),
        Op::AttachMount { mount, target } => {
            ("move_mount", format!("{}, {}", slot(mount), slot(target)))
        }
        Op::AttachRoot { mount } => ("move_mount", format!("{}, \"/\"", slot(mount))),
        Op::Mask { target, .. } => ("move_mount", format!("an empty cover, {}", slot(target))),
        Op::DetachHost { path } => ("umount2", format!("{}, MNT_DETACH", text(path))),
        Op::PivotRoot { root, n_covers } => (
            "pivot_root",
            format!("{}, \".\"; {n_covers} covers let go of as well", slot(root)),
        ),
        Op::ChangeRoot { root } => ("chroot", slot(root)),
        Op::ChangeDirectory { path } => ("chdir", text(path)),
        Op::OpenTerminal { devpts, .. } => ("ioctl", format!("{}/ptmx, TIOCGPTPEER", slot(devpts))),
        Op::WriteProc {
            procfs,
            path,
            contents,
        } => {
            let value = String::from_utf8_lossy(plan.bytes(contents));
            (
                "write",
                format!("{}/{}, {value:?}", slot(procfs), plan.text(path)),
            )
        }
        Op::WriteHost { path, contents } => {
            let value = String::from_utf8_lossy(plan.bytes(contents));
            ("write", format!("{}, {value:?}", text(path)))
        }
        Op::BringUpLoopback => ("ioctl", "\"lo\", SIOCSIFFLAGS, IFF_UP".into()),
        Op::Finish => ("exit_group", "0".into()),
        Op::Execute { arguments, .. } => {
            // Environment values may be secrets and are never shown.
            (
                "execve",
                plan.strings(arguments)
                    .first()
                    .map_or_else(String::new, |name| format!("{name:?}")),
            )
        }
    }
}

fn recursive(depth: Depth) -> &'static str {
    match depth {
        Depth::Single => "",
        Depth::Recursive => ", AT_RECURSIVE",
    }
}

fn creation(create: Create) -> &'static str {
    match create {
        Create::Nothing => "",
        Create::Directory(_) => ", made as a directory",
        Create::File(_) => ", made as a file",
        Create::Like(_) => ", made like its source",
    }
}

fn limit(value: u64) -> String {
    if value == u64::MAX {
        "unlimited".into()
    } else {
        value.to_string()
    }
}

fn set(bits: u64) -> String {
    if bits == 0 {
        "none".into()
    } else {
        format!("{bits:#x}")
    }
}

fn numbers(bytes: &[u8]) -> String {
    let numbers: Vec<_> = bytes
        .chunks_exact(4)
        .map(|four| u32::from_ne_bytes([four[0], four[1], four[2], four[3]]).to_string())
        .collect();
    format!("[{}]", numbers.join(", "))
}

const CALL_NAMES: &[&str] = &[
    "?",
    "prctl",
    "rt_sigaction",
    "rt_sigprocmask",
    "setsid",
    "ioctl",
    "prlimit64",
    "sethostname",
    "setdomainname",
    "seccomp",
    "setgroups",
    "setresgid",
    "setresuid",
    "capget",
    "capset",
    "setns",
    "unshare",
    "clone3",
    "recv",
    "recvmsg",
    "sendmsg",
    "dup3",
    "fcntl",
    "close_range",
    "openat2",
    "readlinkat",
    "mkdirat",
    "write",
    "mknodat",
    "fchownat",
    "fchmodat",
    "symlinkat",
    "statx",
    "fstatfs",
    "fsopen",
    "fsconfig",
    "fsmount",
    "open_tree",
    "mount_setattr",
    "move_mount",
    "umount2",
    "fchdir",
    "pivot_root",
    "chroot",
    "getcwd",
    "socket",
    "execve",
    "mmap",
    "accept4",
    "check: not the object it must be",
    "check: outside the root",
    "check: the plan is damaged",
    "check: the caller is gone",
];
const _: () = assert!(CALL_NAMES.len() == Call::CheckCaller as usize + 1);
