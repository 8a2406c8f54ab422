//! The interpreter: walks ops by system calls alone.
//!
//! It allocates nothing, locks nothing, formats nothing and cannot panic, so that the stub and a
//! process between clone and exec can run it. The library and the stub are compiled from this file.

#![expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "descriptors, small counts and words of the kernel's interface; `try_from` would bring panics"
)]

mod caller;
mod credential;
mod execute;
mod mount;

use core::ffi::CStr;

use credential::{drop_bounding_set, reset_signals, set_ambient_set, set_ids};
use mount::depth_flag;

use crate::lookup::{New, create_in_root, lookup, new_like};
use crate::op::{Bytes, Call, Create, Failure, Missing, Op, Opening, Record, Slot, Text};
use crate::path::PATH_BYTES;
use crate::sys;

/// What a run works on.
pub(crate) struct Machine<'a> {
    pub(crate) ops: &'a [Op],
    pub(crate) blob: &'a [u8],
    pub(crate) slots: &'a mut [i32],
    /// Room for the argument and environment arrays of `execve`.
    pub(crate) pointers: &'a mut [usize],
    /// One stamp per op, or none.
    pub(crate) stamps: &'a mut [u64],
    /// Where the pid of a forked process goes: shared with the caller. 0: nowhere.
    pub(crate) forked: usize,
    /// The socket to the caller; -1 when the plan runs in the caller itself.
    pub(crate) socket: i32,
}

/// Why one op failed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Fault {
    pub(crate) errno: i32,
    pub(crate) call: Call,
    pub(crate) detail: u32,
}

pub(crate) type Outcome<T> = Result<T, Fault>;

/// Names the call of a result.
pub(crate) trait At<T> {
    fn at(self, call: Call) -> Outcome<T>;
    fn at_detail(self, call: Call, detail: u32) -> Outcome<T>;
}

impl<T> At<T> for sys::Result<T> {
    fn at(self, call: Call) -> Outcome<T> {
        self.at_detail(call, 0)
    }

    fn at_detail(self, call: Call, detail: u32) -> Outcome<T> {
        self.map_err(|errno| Fault {
            errno: errno.0,
            call,
            detail,
        })
    }
}

/// A check of ours failed: there is no error number.
fn refuse<T>(call: Call) -> Outcome<T> {
    Err(Fault {
        errno: 0,
        call,
        detail: 0,
    })
}

impl Machine<'_> {
    /// Runs all ops in order; stops at the first that fails.
    pub(crate) fn run(&mut self) -> Result<(), Failure> {
        let mut index = 0_usize;
        while let Some(op) = self.ops.get(index).copied() {
            let skipped = self.step(&op).map_err(|fault| Failure {
                op: index as u32,
                errno: fault.errno,
                call: fault.call as u32,
                detail: fault.detail,
            })?;
            if let Some(stamp) = self.stamps.get_mut(index) {
                *stamp = sys::monotonic_ns();
            }
            index += 1 + skipped as usize;
        }
        Ok(())
    }

    /// Runs one op; gives the number of ops to leave out after it.
    #[expect(clippy::too_many_lines, reason = "a table: one line per op")]
    fn step(&mut self, op: &Op) -> Outcome<u32> {
        match *op {
            Op::ForbidDump => drop(sys::prctl(4, 0, 0).at(Call::Prctl)?),
            Op::SetParentDeathSignal { signal } => self.set_parent_death_signal(signal)?,
            Op::ResetSignals => reset_signals()?,
            Op::SetUmask { mask } => drop(sys::umask(mask)),
            Op::NewSession => drop(sys::setsid().at(Call::Setsid)?),
            Op::SetControllingTerminal { terminal } => {
                sys::ioctl(self.slot(terminal), 0x540E, 0).at(Call::Ioctl)?;
            }
            Op::SetResourceLimit {
                resource,
                soft,
                hard,
            } => drop(sys::set_limit(resource, soft, hard).at(Call::Prlimit64)?),
            Op::SetHostname { name } => {
                sys::sethostname(self.text(name)?.to_bytes()).at(Call::Sethostname)?;
            }
            Op::SetDomainname { name } => {
                sys::setdomainname(self.text(name)?.to_bytes()).at(Call::Setdomainname)?;
            }
            Op::SetNoNewPrivileges => drop(sys::prctl(38, 1, 0).at(Call::Prctl)?),
            Op::InstallSeccomp { filter, flags } => {
                sys::seccomp(self.bytes(filter)?, flags).at(Call::Seccomp)?;
            }
            Op::SetGroups { gids } => drop(sys::setgroups(self.bytes(gids)?).at(Call::Setgroups)?),
            Op::SetIds { uid, gid } => set_ids(uid, gid)?,
            Op::DropBoundingSet { keep } => drop_bounding_set(keep)?,
            Op::SetCapabilities {
                effective,
                permitted,
                inheritable,
            } => drop(sys::capset(effective, permitted, inheritable).at(Call::Capset)?),
            Op::SetAmbientSet { set } => set_ambient_set(set)?,
            Op::JoinNamespace { namespace, flags } => {
                sys::setns(self.slot(namespace), flags).at(Call::Setns)?;
            }
            Op::Unshare { flags } => drop(sys::unshare(flags).at(Call::Unshare)?),
            Op::Fork => self.fork()?,
            Op::AwaitGo => self.await_go()?,
            Op::Park { listener } => self.park(listener)?,
            Op::Close { slot } => self.set_slot(slot, -1)?,
            Op::Duplicate { from, to } => {
                sys::dup3(self.slot(from), to, 0).at_detail(Call::Dup3, to as u32)?;
            }
            Op::CloseFrom { first } => self.close_from(first)?,
            Op::SendDescriptor { slot } => self.send_descriptor(slot)?,
            Op::ReceiveDescriptor { out } => self.receive_descriptor(out)?,
            Op::OpenHost {
                out,
                path,
                opening,
                missing,
            } => return self.open_host(out, path, opening, missing),
            Op::OpenInRoot {
                out,
                root,
                path,
                create,
                missing,
            } => return self.open_in_root(out, root, path, create, missing),
            Op::OpenDirectory { out, parent, name } => {
                let directory = open_directory(self.slot(parent), self.text(name)?)?;
                self.set_slot(out, directory)?;
            }
            Op::CheckMounted {
                parent,
                name,
                mount,
            } => check_mounted(self.slot(parent), self.text(name)?, self.slot(mount))?,
            Op::CheckDevice { slot, major, minor } => {
                check_device(self.slot(slot), major, minor)?;
            }
            Op::CheckOutsideProc { slot } => {
                if sys::filesystem_magic(self.slot(slot)).at(Call::Fstatfs)? == PROC_SUPER_MAGIC {
                    return refuse(Call::CheckIdentity);
                }
            }
            Op::CheckDirectory { slot } => check_type(self.slot(slot), sys::S_IFDIR)?,
            Op::MakeDirectory { parent, name, mode } => self.make_directory(parent, name, mode)?,
            Op::MakeFile {
                parent,
                name,
                mode,
                contents,
            } => self.make_file(parent, name, mode, contents)?,
            Op::MakeNode {
                parent,
                name,
                mode,
                major,
                minor,
                uid,
                gid,
            } => self.make_node(parent, name, mode, (major, minor), (uid, gid))?,
            Op::MakeSymlink {
                parent,
                name,
                target,
            } => self.make_symlink(parent, name, target)?,
            Op::NewFilesystem {
                out,
                fstype,
                parameters,
                attributes,
            } => self.new_filesystem(out, fstype, parameters, attributes)?,
            Op::NewOverlay {
                out,
                layers,
                writable,
                attributes,
            } => self.new_overlay(out, layers, writable != 0, attributes)?,
            Op::CloneMount { out, from, depth } => {
                let mount =
                    sys::open_tree(self.slot(from), c"", depth_flag(depth)).at(Call::OpenTree)?;
                self.set_slot(out, mount)?;
            }
            Op::SetMountAttributes {
                mount,
                depth,
                set,
                clear,
                propagation,
            } => {
                let attr = sys::MountAttr {
                    set,
                    clear,
                    propagation,
                    userns_fd: 0,
                };
                sys::mount_setattr(
                    self.slot(mount),
                    c"",
                    sys::AT_EMPTY_PATH | depth_flag(depth),
                    &attr,
                )
                .at(Call::MountSetattr)?;
            }
            Op::SetRootPropagation { depth, propagation } => {
                let attr = sys::MountAttr {
                    propagation,
                    ..sys::MountAttr::default()
                };
                sys::mount_setattr(sys::AT_FDCWD, c"/", depth_flag(depth), &attr)
                    .at(Call::MountSetattr)?;
            }
            Op::AttachMount { mount, target } => {
                sys::move_mount(self.slot(mount), self.slot(target)).at(Call::MoveMount)?;
            }
            Op::AttachRoot { mount } => {
                sys::move_mount_to_root(self.slot(mount)).at(Call::MoveMount)?;
            }
            Op::Mask {
                target,
                null,
                empty,
            } => self.mask(target, null, empty)?,
            Op::DetachHost { path } => match sys::umount_detach(self.text(path)?) {
                Err(sys::EINVAL | sys::ENOENT) => {}
                result => drop(result.at(Call::Umount2)?),
            },
            Op::PivotRoot { root, n_covers } => self.pivot_root(root, n_covers)?,
            Op::ChangeRoot { root } => self.change_root(root)?,
            Op::ChangeDirectory { path } => self.change_directory(path)?,
            Op::OpenTerminal {
                devpts,
                primary,
                peer,
                rows,
                columns,
                uid,
                gid,
            } => {
                self.open_terminal(devpts, primary, peer)?;
                self.prepare_terminal(peer, (rows, columns), (uid, gid))?;
            }
            Op::WriteProc {
                procfs,
                path,
                contents,
            } => self.write_proc(procfs, path, contents)?,
            Op::WriteHost { path, contents } => self.write_host(path, contents)?,
            Op::BringUpLoopback => bring_up_loopback()?,
            Op::Execute {
                arguments,
                environment,
                search,
            } => self.execute(arguments, environment, search)?,
            Op::Finish => self.finish()?,
        }
        Ok(0)
    }

    // ---- the plan's data

    fn bytes(&self, bytes: Bytes) -> Outcome<&[u8]> {
        let start = bytes.offset as usize;
        match self
            .blob
            .get(start..start.wrapping_add(bytes.length as usize))
        {
            Some(found) => Ok(found),
            None => refuse(Call::CheckPlan),
        }
    }

    fn text(&self, text: Text) -> Outcome<&CStr> {
        let with_nul = Bytes {
            offset: text.offset,
            length: text.length.wrapping_add(1),
        };
        match CStr::from_bytes_with_nul(self.bytes(with_nul)?) {
            Ok(found) => Ok(found),
            Err(_) => refuse(Call::CheckPlan),
        }
    }

    fn slot(&self, slot: Slot) -> i32 {
        self.slots.get(slot.0 as usize).copied().unwrap_or(-1)
    }

    fn set_slot(&mut self, slot: Slot, number: i32) -> Outcome<()> {
        let Some(place) = self.slots.get_mut(slot.0 as usize) else {
            return refuse(Call::CheckPlan);
        };
        if *place >= 0 {
            sys::close(*place);
        }
        *place = number;
        Ok(())
    }

    // ---- lookups

    fn open_host(
        &mut self,
        out: Slot,
        path: Text,
        opening: Opening,
        missing: Missing,
    ) -> Outcome<u32> {
        let flags = match opening {
            Opening::Path => sys::O_PATH,
            Opening::Directory => sys::O_PATH | sys::O_DIRECTORY,
            Opening::Read => sys::O_RDONLY | sys::O_NOCTTY,
        };
        let opened = sys::openat2(sys::AT_FDCWD, self.text(path)?, flags, 0, 0);
        self.keep_or_skip(out, opened, missing)
    }

    #[expect(clippy::too_many_arguments, reason = "the fields of the op")]
    fn open_in_root(
        &mut self,
        out: Slot,
        root: Slot,
        path: Text,
        create: Create,
        missing: Missing,
    ) -> Outcome<u32> {
        let root_fd = self.slot(root);
        let wanted = match create {
            Create::Nothing => None,
            Create::Directory(mode) => Some(New::Directory(mode)),
            Create::File(mode) => Some(New::File(mode)),
            Create::Like(source) => Some(new_like(self.slot(source))?),
        };
        let path = self.text(path)?;
        let opened = match (lookup(root_fd, path, sys::O_PATH), wanted) {
            (Err(sys::ENOENT), Some(new)) => Ok(create_in_root(root_fd, path.to_bytes(), new)?),
            (result, _) => result,
        };
        self.keep_or_skip(out, opened, missing)
    }

    fn keep_or_skip(
        &mut self,
        out: Slot,
        opened: sys::Result<i32>,
        missing: Missing,
    ) -> Outcome<u32> {
        match (opened, missing) {
            (Err(sys::ENOENT | sys::ENOTDIR), Missing::Skip(count)) => Ok(count),
            (opened, _) => {
                self.set_slot(out, opened.at(Call::Openat2)?)?;
                Ok(0)
            }
        }
    }

    // ---- making things

    fn make_directory(&self, parent: Slot, name: Text, mode: u32) -> Outcome<()> {
        let (parent, name) = (self.slot(parent), self.text(name)?);
        match sys::mkdirat(parent, name, mode) {
            Err(sys::EEXIST) => check_same_node(parent, name, sys::S_IFDIR, (0, 0)),
            result => result.at(Call::Mkdirat).map(drop),
        }
    }

    fn make_file(&self, parent: Slot, name: Text, mode: u32, contents: Bytes) -> Outcome<()> {
        let flags = sys::O_WRONLY | sys::O_CREAT | sys::O_EXCL | sys::O_NOFOLLOW;
        let file = sys::openat2(
            self.slot(parent),
            self.text(name)?,
            flags,
            mode,
            sys::RESOLVE_BENEATH | sys::RESOLVE_NO_SYMLINKS,
        )
        .at(Call::Openat2)?;
        let written = write_all(file, self.bytes(contents)?);
        sys::close(file);
        written
    }

    #[expect(clippy::too_many_arguments, reason = "the fields of the op")]
    fn make_node(
        &self,
        parent: Slot,
        name: Text,
        mode: u32,
        (major, minor): (u32, u32),
        (uid, gid): (u32, u32),
    ) -> Outcome<()> {
        let (parent, name) = (self.slot(parent), self.text(name)?);
        let device = (minor & 0xff) | (major << 8) | ((minor & !0xff) << 12);
        match sys::mknodat(parent, name, mode, device) {
            Err(sys::EEXIST) => return check_same_node(parent, name, mode, (major, minor)),
            result => drop(result.at(Call::Mknodat)?),
        }
        if (uid, gid) != (0, 0) {
            sys::fchownat(parent, name, uid, gid).at(Call::Fchownat)?;
        }
        Ok(())
    }

    fn make_symlink(&self, parent: Slot, name: Text, target: Text) -> Outcome<()> {
        let (parent, name, target) = (self.slot(parent), self.text(name)?, self.text(target)?);
        match sys::symlinkat(target, parent, name) {
            Err(sys::EEXIST) => {}
            result => return result.at(Call::Symlinkat).map(drop),
        }
        let mut there = [0; PATH_BYTES];
        let length = sys::readlinkat(parent, name, &mut there).at(Call::Readlinkat)?;
        if there.get(..length) == Some(target.to_bytes()) {
            return Ok(());
        }
        Err(sys::EEXIST).at(Call::Symlinkat)
    }

    // ---- terminals

    fn open_terminal(&mut self, devpts: Slot, primary: Slot, peer: Slot) -> Outcome<()> {
        if sys::filesystem_magic(self.slot(devpts)).at(Call::Fstatfs)? != DEVPTS_SUPER_MAGIC {
            return refuse(Call::CheckIdentity);
        }
        let flags = sys::O_RDWR | sys::O_NOCTTY;
        let beneath = sys::RESOLVE_BENEATH | sys::RESOLVE_NO_SYMLINKS;
        let primary_fd =
            sys::openat2(self.slot(devpts), c"ptmx", flags, 0, beneath).at(Call::Openat2)?;
        self.set_slot(primary, primary_fd)?;
        sys::unlock_terminal(primary_fd).at(Call::Ioctl)?;
        // TIOCGPTPEER: the peer of this very terminal, whatever lies at its path.
        let flags = sys::O_RDWR | sys::O_NOCTTY | sys::O_CLOEXEC;
        let peer_fd = sys::ioctl(primary_fd, 0x5441, flags as usize).at(Call::Ioctl)?;
        self.set_slot(peer, peer_fd as i32)
    }

    fn prepare_terminal(&self, peer: Slot, size: (u32, u32), owner: (u32, u32)) -> Outcome<()> {
        let peer = self.slot(peer);
        if size != (0, 0) {
            sys::set_window_size(peer, size.0 as u16, size.1 as u16).at(Call::Ioctl)?;
        }
        sys::fchownat(peer, c"", owner.0, owner.1)
            .at(Call::Fchownat)
            .map(drop)
    }

    // ---- kernel files

    fn write_proc(&self, procfs: Slot, path: Text, contents: Bytes) -> Outcome<()> {
        let resolve = sys::RESOLVE_BENEATH | sys::RESOLVE_NO_XDEV | sys::RESOLVE_NO_MAGICLINKS;
        let file = sys::openat2(
            self.slot(procfs),
            self.text(path)?,
            sys::O_WRONLY,
            0,
            resolve,
        );
        self.write_and_close(file, contents)
    }

    fn write_host(&self, path: Text, contents: Bytes) -> Outcome<()> {
        let file = sys::openat2(sys::AT_FDCWD, self.text(path)?, sys::O_WRONLY, 0, 0);
        self.write_and_close(file, contents)
    }

    fn write_and_close(&self, file: sys::Result<i32>, contents: Bytes) -> Outcome<()> {
        let file = file.at(Call::Openat2)?;
        // A kernel file takes its value in one write.
        let written = sys::write(file, self.bytes(contents)?).at(Call::Write);
        sys::close(file);
        written.map(drop)
    }
}

/// `linux/magic.h`.
const PROC_SUPER_MAGIC: u64 = 0x9fa0;
const DEVPTS_SUPER_MAGIC: u64 = 0x1cd1;

pub(crate) fn record_bytes(record: &Record) -> &[u8] {
    sys::plain_bytes(record)
}

fn bring_up_loopback() -> Outcome<()> {
    // AF_INET, SOCK_DGRAM | SOCK_CLOEXEC.
    let socket = sys::socket(2, 2 | 0o2000000, 0).at(Call::Socket)? as i32;
    let up = sys::bring_up_loopback(socket).at(Call::Ioctl);
    sys::close(socket);
    up.map(drop)
}

fn write_all(file: i32, mut bytes: &[u8]) -> Outcome<()> {
    while !bytes.is_empty() {
        let written = sys::write(file, bytes).at(Call::Write)?;
        bytes = bytes.get(written..).unwrap_or_default();
    }
    Ok(())
}

fn check_type(number: i32, wanted: u32) -> Outcome<()> {
    let stat = sys::statx(number).at(Call::Statx)?;
    if u32::from(stat.mode) & sys::S_IFMT == wanted {
        return Ok(());
    }
    refuse(Call::CheckIdentity)
}

fn check_device(number: i32, major: u32, minor: u32) -> Outcome<()> {
    check_type(number, sys::S_IFCHR)?;
    let stat = sys::statx(number).at(Call::Statx)?;
    if (stat.rdev_major, stat.rdev_minor) == (major, minor) {
        return Ok(());
    }
    refuse(Call::CheckIdentity)
}

fn open_directory(parent: i32, name: &CStr) -> Outcome<i32> {
    let flags = sys::O_PATH | sys::O_DIRECTORY | sys::O_NOFOLLOW;
    let resolve = sys::RESOLVE_BENEATH | sys::RESOLVE_NO_SYMLINKS;
    sys::openat2(parent, name, flags, 0, resolve).at(Call::Openat2)
}

fn check_mounted(parent: i32, name: &CStr, mount: i32) -> Outcome<()> {
    let found = open_directory(parent, name)?;
    let found_stat = sys::statx(found).at(Call::Statx);
    sys::close(found);
    if found_stat?.mount_id == sys::statx(mount).at(Call::Statx)?.mount_id {
        return Ok(());
    }
    refuse(Call::CheckIdentity)
}

/// A node or directory that is there already is kept only when it is the very one that was asked for.
fn check_same_node(parent: i32, name: &CStr, mode: u32, numbers: (u32, u32)) -> Outcome<()> {
    let flags = sys::O_PATH | sys::O_NOFOLLOW;
    let node = sys::openat2(parent, name, flags, 0, sys::RESOLVE_BENEATH).at(Call::Openat2)?;
    let stat = sys::statx(node).at(Call::Statx);
    sys::close(node);
    let stat = stat?;
    let same = u32::from(stat.mode) & sys::S_IFMT == mode & sys::S_IFMT
        && (stat.rdev_major, stat.rdev_minor) == numbers;
    if same {
        Ok(())
    } else {
        refuse(Call::CheckIdentity)
    }
}

/// The NUL-terminated strings in a row of bytes.
fn c_strings(mut bytes: &[u8]) -> impl Iterator<Item = &CStr> {
    core::iter::from_fn(move || {
        let string = CStr::from_bytes_until_nul(bytes).ok()?;
        bytes = bytes
            .get(string.to_bytes_with_nul().len()..)
            .unwrap_or_default();
        Some(string)
    })
}
