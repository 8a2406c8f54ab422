//! The op language: what a plan may ask of the process it runs in.
//!
//! An [`Op`] is one system call or one small fixed sequence of them. It is plain data without
//! pointers: text and bytes live in the plan's blob and are named by [`Text`] and [`Bytes`],
//! descriptors live in numbered slots and are named by [`Slot`]. The library and the stub are
//! compiled from this same file, so a plan is handed over as it stands in memory.

/// A numbered place that holds a descriptor while a plan runs.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Slot(pub(crate) u32);

/// A NUL-terminated string in the plan's blob; the length leaves the NUL out.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Text {
    pub(crate) offset: u32,
    pub(crate) length: u32,
}

/// Bytes in the plan's blob.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bytes {
    pub(crate) offset: u32,
    pub(crate) length: u32,
}

/// Consecutive NUL-terminated strings in the plan's blob.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Strings {
    pub(crate) bytes: Bytes,
    pub(crate) count: u32,
}

/// What an op does when the object that it looks up is not there (ENOENT, ENOTDIR).
#[repr(C, u32)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Missing {
    /// The plan stops with the error.
    Fail,
    /// This op and the given number of ops after it are left out.
    Skip(u32),
}

/// What a lookup inside a root makes of a name that is not there.
#[repr(C, u32)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Create {
    /// Nothing: see [`Missing`].
    Nothing,
    /// A directory with these permission bits; missing parents get 0755.
    Directory(u32),
    /// An empty regular file with these permission bits; missing parents get 0755.
    File(u32),
    /// A directory (0755) or an empty file (0644), whichever the object in the slot is.
    Like(Slot),
}

/// Whether a mount operation covers the mounts below.
#[repr(u32)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Depth {
    /// The one mount.
    Single,
    /// The mount and all mounts below it (`AT_RECURSIVE`).
    Recursive,
}

/// What [`Op::OpenHost`] opens.
#[repr(u32)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Opening {
    /// `O_PATH`: to name the object, not to read it.
    Path,
    /// `O_PATH | O_DIRECTORY`.
    Directory,
    /// `O_RDONLY`.
    Read,
}

/// One step of a plan.
///
/// `out` slots receive a new close-on-exec descriptor; a slot that already held one closes it first.
#[repr(C, u32)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(
    missing_docs,
    reason = "fields are named after the arguments of the calls in the variant's text"
)]
pub enum Op {
    // ---- the process itself
    /// `prctl(PR_SET_DUMPABLE, 0)`: nobody may attach to or read this process until it executes the command.
    ForbidDump,
    /// `prctl(PR_SET_PDEATHSIG)`, then a check that the caller still holds its end of the socket.
    SetParentDeathSignal { signal: i32 },
    /// Default action for all 64 signals, empty signal mask.
    ResetSignals,
    /// `umask(2)`.
    SetUmask { mask: u32 },
    /// `setsid(2)`.
    NewSession,
    /// `ioctl(TIOCSCTTY)`.
    SetControllingTerminal { terminal: Slot },
    /// `prlimit64(2)` on itself.
    SetResourceLimit { resource: u32, soft: u64, hard: u64 },
    /// `sethostname(2)`.
    SetHostname { name: Text },
    /// `setdomainname(2)`.
    SetDomainname { name: Text },
    /// `prctl(PR_SET_NO_NEW_PRIVS)`.
    SetNoNewPrivileges,
    /// `seccomp(SECCOMP_SET_MODE_FILTER)` with classic BPF instructions of 8 bytes each.
    InstallSeccomp { filter: Bytes, flags: u32 },

    // ---- ids and capabilities
    /// `setgroups(2)` with 4-byte ids.
    SetGroups { gids: Bytes },
    /// `setresgid(2)` and `setresuid(2)`, keeping the permitted capabilities.
    SetIds { uid: u32, gid: u32 },
    /// `prctl(PR_CAPBSET_DROP)` for every capability the kernel knows that is not in `keep`.
    DropBoundingSet { keep: u64 },
    /// `capset(2)`.
    SetCapabilities {
        effective: u64,
        permitted: u64,
        inheritable: u64,
    },
    /// `prctl(PR_CAP_AMBIENT)`: clear, then raise each of `set`.
    SetAmbientSet { set: u64 },

    // ---- namespaces
    /// `setns(2)`.
    JoinNamespace { namespace: Slot, flags: u64 },
    /// `unshare(2)`.
    Unshare { flags: u64 },
    /// Goes on in a new child of the caller (`CLONE_PARENT`), which learns its pid from the kernel; this process ends.
    Fork,
    /// Waits for the caller's "go".
    AwaitGo,
    /// Tells the caller that everything is set, waits for its "go", and lets go of it; from there on waits for the "go"
    /// of whoever connects to the listening socket, who takes the caller's place. The last op but one.
    Park { listener: Slot },

    // ---- descriptors
    /// `close(2)`.
    Close { slot: Slot },
    /// `dup3(2)` onto a fixed number without close-on-exec.
    Duplicate { from: Slot, to: i32 },
    /// `close_range(2)` of every number from `first` on, the socket to the caller and that of [`Op::Park`] excepted.
    CloseFrom { first: i32 },
    /// Sends a descriptor to the caller.
    SendDescriptor { slot: Slot },
    /// Waits for a descriptor that the caller sends.
    ReceiveDescriptor { out: Slot },

    // ---- lookups
    /// `openat2(2)` by the usual rules in the current mount namespace.
    OpenHost {
        out: Slot,
        path: Text,
        opening: Opening,
        missing: Missing,
    },
    /// `openat2(2)` with `RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS`, `O_PATH`; missing names are made one at a time.
    OpenInRoot {
        out: Slot,
        root: Slot,
        path: Text,
        create: Create,
        missing: Missing,
    },
    /// `openat2(2)` of one name that must be a directory and no link, `O_PATH`.
    OpenDirectory { out: Slot, parent: Slot, name: Text },
    /// Checks by `statx(2)` that what is mounted on a name, which must be no link, is the mount in the slot.
    CheckMounted {
        parent: Slot,
        name: Text,
        mount: Slot,
    },
    /// Checks that a descriptor is the character device with these numbers.
    CheckDevice { slot: Slot, major: u32, minor: u32 },
    /// Checks by `fstatfs(2)` that a descriptor is not on a procfs.
    CheckOutsideProc { slot: Slot },
    /// Checks that a descriptor is a directory.
    CheckDirectory { slot: Slot },

    // ---- making things inside a directory that nobody else can write yet
    /// `mkdirat(2)`; an existing directory is kept.
    MakeDirectory { parent: Slot, name: Text, mode: u32 },
    /// `openat2(2)` with `O_CREAT | O_EXCL | O_NOFOLLOW`, then `write(2)`.
    MakeFile {
        parent: Slot,
        name: Text,
        mode: u32,
        contents: Bytes,
    },
    /// `mknodat(2)`, `fchownat(2)` without following links.
    MakeNode {
        parent: Slot,
        name: Text,
        mode: u32,
        major: u32,
        minor: u32,
        uid: u32,
        gid: u32,
    },
    /// `symlinkat(2)`; an existing link with the same text is kept.
    MakeSymlink {
        parent: Slot,
        name: Text,
        target: Text,
    },

    // ---- mounts
    /// `fsopen(2)`, `fsconfig(2)` for each parameter, `fsmount(2)`: a detached mount.
    ///
    /// Parameters are strings in pairs, name and value; a flag has the value `"\x01"`.
    NewFilesystem {
        out: Slot,
        fstype: Text,
        parameters: Strings,
        attributes: u64,
    },
    /// A detached overlay of the directories in the slots (4-byte numbers, topmost first; upper and
    /// work come last when `writable`).
    NewOverlay {
        out: Slot,
        layers: Bytes,
        writable: u32,
        attributes: u64,
    },
    /// `open_tree(2)` with `OPEN_TREE_CLONE`: a detached copy of the mount that the slot is on, rooted there.
    CloneMount { out: Slot, from: Slot, depth: Depth },
    /// `mount_setattr(2)` on the mount in the slot; `propagation` 0 leaves it.
    SetMountAttributes {
        mount: Slot,
        depth: Depth,
        set: u64,
        clear: u64,
        propagation: u64,
    },
    /// `mount_setattr(2)` of the propagation of `/`.
    SetRootPropagation { depth: Depth, propagation: u64 },
    /// `move_mount(2)` of a detached mount onto the object in `target`.
    AttachMount { mount: Slot, target: Slot },
    /// `move_mount(2)` of a detached mount onto `/`, where [`Op::PivotRoot`] will find it.
    AttachRoot { mount: Slot },
    /// Covers a file with a read-only mount of the device in `null`, so that nobody inside changes its mode
    /// or owner, and a directory with the detached mount in `empty`: with itself first, with copies of it then.
    Mask {
        target: Slot,
        null: Slot,
        empty: Slot,
    },
    /// `umount2(2)` with `MNT_DETACH` of a host path; a path that is no mount is left alone.
    DetachHost { path: Text },
    /// `fchdir`, `pivot_root(".", ".")`, `umount2(".", MNT_DETACH)`, `chdir("/")`.
    ///
    /// `n_covers` mounts were stacked on the old root before the new one; they are let go of first, and the old
    /// root after them: `umount2` of `.` takes the topmost.
    PivotRoot { root: Slot, n_covers: u32 },
    /// `fchdir`, `chroot(".")`, `chdir("/")`: for hosts whose root cannot be pivoted away.
    ChangeRoot { root: Slot },
    /// Opens a directory without magic links, enters it, and checks that it lies inside the root.
    ChangeDirectory { path: Text },

    // ---- terminals
    /// Checks that the slot is on a devpts, opens its `ptmx`, unlocks it, opens the peer by `TIOCGPTPEER`, sets the window size
    /// (0 by 0 leaves it) and the owner.
    OpenTerminal {
        devpts: Slot,
        primary: Slot,
        peer: Slot,
        rows: u32,
        columns: u32,
        uid: u32,
        gid: u32,
    },

    // ---- kernel files
    /// Writes a file below a private procfs: no links out, no crossing of mounts.
    WriteProc {
        procfs: Slot,
        path: Text,
        contents: Bytes,
    },
    /// Writes a file of the caller's own tree, before anything hostile is in sight.
    WriteHost { path: Text, contents: Bytes },
    /// `SIOCSIFFLAGS` on `lo`.
    BringUpLoopback,

    // ---- the end
    /// Tells the caller that everything is set, then executes the command; a name without a slash is
    /// looked up in `search` (colon-separated).
    Execute {
        arguments: Strings,
        environment: Strings,
        search: Text,
    },
    /// Tells the caller that everything is done, and ends with code 0: for plans that have no command.
    Finish,
}

/// The system call that an op was making when it failed, or a check of ours.
#[repr(u32)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the variants are the names of system calls")]
pub enum Call {
    None = 0,
    Prctl,
    RtSigaction,
    RtSigprocmask,
    Setsid,
    Ioctl,
    Prlimit64,
    Sethostname,
    Setdomainname,
    Seccomp,
    Setgroups,
    Setresgid,
    Setresuid,
    Capget,
    Capset,
    Setns,
    Unshare,
    Clone3,
    Recv,
    Recvmsg,
    Sendmsg,
    Dup3,
    Fcntl,
    CloseRange,
    Openat2,
    Readlinkat,
    Mkdirat,
    Write,
    Mknodat,
    Fchownat,
    Fchmodat,
    Symlinkat,
    Statx,
    Fstatfs,
    Fsopen,
    Fsconfig,
    Fsmount,
    OpenTree,
    MountSetattr,
    MoveMount,
    Umount2,
    Fchdir,
    PivotRoot,
    Chroot,
    Getcwd,
    Socket,
    Execve,
    Mmap,
    Accept4,
    /// Not the object it must be: wrong type or device number.
    CheckIdentity,
    /// The place is outside the root.
    CheckInside,
    /// The plan itself is damaged.
    CheckPlan,
    /// The caller is gone.
    CheckCaller,
}

/// Why a plan stopped: 24 bytes, no text.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Failure {
    /// Index of the op.
    pub op: u32,
    /// Error number, 0 for a check of ours.
    pub errno: i32,
    /// What was being done, a [`Call`] by number.
    pub call: u32,
    /// What else is known: index of the parameter, capability number, signal.
    pub detail: u32,
}

/// What the child tells the caller: fixed size, one per message.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Record {
    pub(crate) kind: u32,
    pub(crate) failure: Failure,
}

pub(crate) const RECORD_BYTES: usize = 20;
const _: () = assert!(size_of::<Record>() == RECORD_BYTES);

/// Everything is set; the command is executed next.
pub(crate) const RECORD_READY: u32 = 1;
/// An op failed.
#[cfg(any(ns_stub, feature = "stub"))]
pub(crate) const RECORD_FAILED: u32 = 2;
/// The plan goes on in another process, whose pid the kernel has written down.
pub(crate) const RECORD_FORKED: u32 = 3;
/// Something failed between the clone and the stub.
#[cfg(any(ns_stub, feature = "stub"))]
pub(crate) const RECORD_EARLY: u32 = 4;
/// A descriptor comes along.
pub(crate) const RECORD_DESCRIPTOR: u32 = 5;

#[cfg(any(ns_stub, feature = "stub"))]
/// Head of a plan in memory; offsets are in bytes from the head.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub(crate) struct Header {
    pub(crate) magic: u64,
    pub(crate) op_bytes: u32,
    pub(crate) n_ops: u32,
    pub(crate) ops_offset: u32,
    pub(crate) n_slots: u32,
    pub(crate) slots_offset: u32,
    pub(crate) blob_bytes: u32,
    pub(crate) blob_offset: u32,
    pub(crate) n_pointers: u32,
    pub(crate) pointers_offset: u32,
    /// 0: no time stamps.
    pub(crate) stamps_offset: u32,
    pub(crate) total_bytes: u32,
    pub(crate) socket: i32,
    /// Where the kernel writes the pid of the process that [`Op::Fork`] makes; 0: the plan has no such op.
    pub(crate) forked_offset: u32,
}
#[cfg(any(ns_stub, feature = "stub"))]
const _: () = assert!(size_of::<Header>() == 64);

/// Exit code of the stub when the plan's file cannot be read or is none of ours; there is no socket to tell it by.
#[cfg(any(ns_stub, feature = "stub"))]
pub(crate) const EXIT_DAMAGED: i32 = 124;

#[cfg(any(ns_stub, feature = "stub"))]
pub(crate) const MAGIC: u64 = 0x6e73_2d70_6c61_6e31;
