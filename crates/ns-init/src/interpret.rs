//! The interpreter: walks ops by system calls alone.
//!
//! It allocates nothing, locks nothing, formats nothing and cannot panic, so that the stub and a
//! process between clone and exec can run it. The library and the stub are compiled from this file.

#![expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "descriptors, small counts and words of the kernel's interface; `try_from` would bring panics"
)]

use core::ffi::CStr;

use crate::lookup::{New, create_in_root, lookup, new_like};
use crate::op::{
    Bytes, Call, Create, Depth, Failure, Missing, Op, Opening, RECORD_DESCRIPTOR, RECORD_FORKED,
    RECORD_READY, Record, Slot, Strings, Text,
};
use crate::path::{Buffer, PATH_BYTES};
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
            Op::Close { slot } => self.set_slot(slot, -1)?,
            Op::Duplicate { from, to } => {
                sys::dup3(self.slot(from), to, 0).at_detail(Call::Dup3, to as u32)?;
            }
            Op::CloseFrom { first } => self.close_from(first)?,
            Op::CloseForeign => self.close_foreign()?,
            Op::SendDescriptor { slot } => self.send_descriptor(slot)?,
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

    fn send(&self, kind: u32, pid: i32, descriptor: Option<i32>) -> Outcome<()> {
        let record = Record {
            kind,
            pid,
            failure: NO_FAILURE,
            reserved: 0,
        };
        match sys::send(self.socket, record_bytes(&record), descriptor) {
            Ok(_) => Ok(()),
            Err(_) => refuse(Call::CheckCaller),
        }
    }

    // ---- the process itself

    fn set_parent_death_signal(&self, signal: i32) -> Outcome<()> {
        sys::prctl(1, signal as usize, 0).at(Call::Prctl)?;
        // ORDER: after the prctl; a caller that ended before it never sends the signal.
        if self.socket >= 0 && sys::is_hung_up(self.socket).at(Call::Recv)? {
            return refuse(Call::CheckCaller);
        }
        Ok(())
    }

    fn fork(&mut self) -> Outcome<()> {
        let pid = sys::clone3_sibling().at(Call::Clone3)?;
        if pid != 0 {
            let sent = self.send(RECORD_FORKED, pid as i32, None);
            sys::exit(i32::from(sent.is_err()));
        }
        Ok(())
    }

    fn await_go(&self) -> Outcome<()> {
        let mut go = [0_u8; 1];
        loop {
            match sys::receive(self.socket, &mut go) {
                Ok(1) => return Ok(()),
                Ok(_) => return refuse(Call::CheckCaller),
                Err(sys::EINTR) => {}
                Err(errno) => return Err(errno).at(Call::Recv),
            }
        }
    }

    // ---- descriptors

    fn close_from(&mut self, first: i32) -> Outcome<()> {
        let (first, socket) = (first as u32, self.socket);
        if socket >= 0 && socket as u32 >= first {
            let socket = socket as u32;
            close_between(first, socket)?;
            return close_between(socket + 1, u32::MAX);
        }
        close_between(first, u32::MAX)
    }

    /// Closes all gaps between the descriptors that are to stay, lowest first.
    fn close_foreign(&mut self) -> Outcome<()> {
        let mut from = 3_u32;
        loop {
            let kept = self
                .slots
                .iter()
                .copied()
                .chain([self.socket])
                .filter(|number| *number >= 0 && *number as u32 >= from)
                .min();
            let Some(kept) = kept else {
                return close_between(from, u32::MAX);
            };
            close_between(from, kept as u32)?;
            from = kept as u32 + 1;
        }
    }

    fn send_descriptor(&self, slot: Slot) -> Outcome<()> {
        self.send(RECORD_DESCRIPTOR, 0, Some(self.slot(slot)))
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

    // ---- mounts

    fn new_filesystem(
        &mut self,
        out: Slot,
        fstype: Text,
        parameters: Strings,
        attributes: u64,
    ) -> Outcome<()> {
        let context = sys::fsopen(self.text(fstype)?).at(Call::Fsopen)?;
        let made = self
            .configure(context, parameters)
            .and_then(|()| sys::fsmount(context, attributes).at(Call::Fsmount));
        sys::close(context);
        self.set_slot(out, made?)
    }

    fn configure(&self, context: i32, parameters: Strings) -> Outcome<()> {
        let mut strings = c_strings(self.bytes(parameters.bytes)?);
        let mut index = 0;
        while let (Some(key), Some(value)) = (strings.next(), strings.next()) {
            let result = if value.to_bytes() == b"\x01" {
                sys::fsconfig_flag(context, key)
            } else {
                sys::fsconfig_string(context, key, value)
            };
            result.at_detail(Call::Fsconfig, index + 1)?;
            index += 1;
        }
        sys::fsconfig_create(context).at(Call::Fsconfig).map(drop)
    }

    fn new_overlay(
        &mut self,
        out: Slot,
        layers: Bytes,
        writable: bool,
        attributes: u64,
    ) -> Outcome<()> {
        let context = sys::fsopen(c"overlay").at(Call::Fsopen)?;
        let made = self
            .configure_overlay(context, layers, writable)
            .and_then(|()| sys::fsmount(context, attributes).at(Call::Fsmount));
        sys::close(context);
        self.set_slot(out, made?)
    }

    fn configure_overlay(&self, context: i32, layers: Bytes, writable: bool) -> Outcome<()> {
        let layers = self.bytes(layers)?;
        let n_layers = layers.len() / 4;
        let n_lower = n_layers.saturating_sub(if writable { 2 } else { 0 });
        let mut lower = Buffer::new();
        for (index, number) in layers.chunks_exact(4).enumerate() {
            let slot = Slot(number.try_into().map_or(u32::MAX, u32::from_ne_bytes));
            if index < n_lower {
                if index > 0 {
                    lower.push(b":")?;
                }
                lower.push_descriptor_path(self.slot(slot))?;
                continue;
            }
            let key = if index == n_lower {
                c"upperdir"
            } else {
                c"workdir"
            };
            let mut path = Buffer::new();
            path.push_descriptor_path(self.slot(slot))?;
            sys::fsconfig_string(context, key, path.text()?)
                .at_detail(Call::Fsconfig, index as u32 + 1)?;
        }
        sys::fsconfig_string(context, c"lowerdir", lower.text()?).at_detail(Call::Fsconfig, 1)?;
        sys::fsconfig_create(context).at(Call::Fsconfig).map(drop)
    }

    fn mask(&self, target: Slot, null: Slot, empty: Slot) -> Outcome<()> {
        let target = self.slot(target);
        let stat = sys::statx(target).at(Call::Statx)?;
        if u32::from(stat.mode) & sys::S_IFMT == sys::S_IFDIR {
            return mask_directory(self.slot(empty), target);
        }
        let mount = sys::open_tree(self.slot(null), c"", 0).at(Call::OpenTree)?;
        let closed = sys::MountAttr {
            set: MASK_ATTRIBUTES,
            ..sys::MountAttr::default()
        };
        let attached = sys::mount_setattr(mount, c"", sys::AT_EMPTY_PATH, &closed)
            .at(Call::MountSetattr)
            .and_then(|_| sys::move_mount(mount, target).at(Call::MoveMount));
        sys::close(mount);
        attached.map(drop)
    }

    fn pivot_root(&self, root: Slot, n_covers: u32) -> Outcome<()> {
        sys::fchdir(self.slot(root)).at(Call::Fchdir)?;
        sys::pivot_root_here().at(Call::PivotRoot)?;
        // The old root, with what covers it, now lies over the new one at the same place.
        for _ in 0..=n_covers {
            sys::umount_detach(c".").at(Call::Umount2)?;
        }
        enter(c"/")
    }

    fn change_root(&self, root: Slot) -> Outcome<()> {
        sys::fchdir(self.slot(root)).at(Call::Fchdir)?;
        sys::chroot_here().at(Call::Chroot)?;
        enter(c"/")
    }

    fn change_directory(&self, path: Text) -> Outcome<()> {
        enter(self.text(path)?)?;
        let mut place = [0; PATH_BYTES];
        match sys::getcwd(&mut place) {
            Ok(_) if place.first() == Some(&b'/') => Ok(()),
            Ok(_) => refuse(Call::CheckInside),
            Err(errno) => Err(errno).at(Call::Getcwd),
        }
    }

    // ---- terminals

    fn open_terminal(&mut self, devpts: Slot, primary: Slot, peer: Slot) -> Outcome<()> {
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

    // ---- the end

    fn execute(&mut self, arguments: Strings, environment: Strings, search: Text) -> Outcome<()> {
        let n_arguments = arguments.count as usize;
        let base = self.blob.as_ptr() as usize;
        for (strings, first) in [(arguments, 0), (environment, n_arguments + 1)] {
            let places = self.pointers.get_mut(first..).unwrap_or_default();
            let start = strings.bytes.offset as usize;
            let all = self
                .blob
                .get(start..start.wrapping_add(strings.bytes.length as usize))
                .unwrap_or_default();
            let mut offset = 0;
            let mut places = places.iter_mut();
            for string in c_strings(all) {
                if let Some(place) = places.next() {
                    *place = base + start + offset;
                }
                offset += string.to_bytes_with_nul().len();
            }
            if let Some(end) = places.next() {
                *end = 0;
            }
        }
        let Some((arguments_at, environment_at)) = self.pointers.split_at_checked(n_arguments + 1)
        else {
            return refuse(Call::CheckPlan);
        };
        let command = match c_strings(self.bytes(arguments.bytes)?).next() {
            Some(command) if !command.is_empty() => command,
            _ => return Err(sys::ENOENT).at(Call::Execve),
        };
        self.send(RECORD_READY, 0, None)?;
        let vectors = (arguments_at.as_ptr(), environment_at.as_ptr());
        if command.to_bytes().contains(&b'/') {
            return execute_file(command, vectors).at(Call::Execve);
        }
        search_and_execute(command.to_bytes(), self.text(search)?.to_bytes(), vectors)
    }
}

/// `MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NOEXEC`; the device itself stays usable.
const MASK_ATTRIBUTES: u64 = 0x1 | 0x2 | 0x8;

/// KERNEL(6.15): a detached mount can be copied. Before, it is attached at its first use and copied from there.
fn mask_directory(empty: i32, target: i32) -> Outcome<()> {
    match sys::open_tree(empty, c"", 0) {
        Err(sys::EINVAL) => sys::move_mount(empty, target).at(Call::MoveMount).map(drop),
        copy => {
            let copy = copy.at(Call::OpenTree)?;
            let attached = sys::move_mount(copy, target).at(Call::MoveMount);
            sys::close(copy);
            attached.map(drop)
        }
    }
}

/// `linux/magic.h`.
const PROC_SUPER_MAGIC: u64 = 0x9fa0;

const NO_FAILURE: Failure = Failure {
    op: 0,
    errno: 0,
    call: 0,
    detail: 0,
};

/// Tries every directory of a search path, as `execvp(3)` does.
fn search_and_execute(
    name: &[u8],
    search: &[u8],
    vectors: (*const usize, *const usize),
) -> Outcome<()> {
    let mut worst = sys::ENOENT;
    for directory in search.split(|byte| *byte == b':') {
        let mut path = Buffer::new();
        path.push(if directory.is_empty() {
            b"."
        } else {
            directory
        })?;
        path.push(b"/")?;
        path.push(name)?;
        match execute_file(path.text()?, vectors) {
            Err(sys::ENOENT | sys::ENOTDIR) => {}
            Err(errno @ (sys::EACCES | sys::EISDIR)) => worst = errno,
            result => return result.at(Call::Execve),
        }
    }
    Err(worst).at(Call::Execve)
}

/// Executes a regular file that is reached without magic links.
fn execute_file(path: &CStr, vectors: (*const usize, *const usize)) -> sys::Result<()> {
    let file = sys::openat2(
        sys::AT_FDCWD,
        path,
        sys::O_PATH,
        0,
        sys::RESOLVE_NO_MAGICLINKS,
    )?;
    let stat = sys::statx(file);
    sys::close(file);
    match u32::from(stat?.mode) & sys::S_IFMT {
        sys::S_IFREG => Err(sys::execute(path, vectors)),
        sys::S_IFDIR => Err(sys::EISDIR),
        _ => Err(sys::EACCES),
    }
}

fn depth_flag(depth: Depth) -> usize {
    match depth {
        Depth::Single => 0,
        Depth::Recursive => sys::AT_RECURSIVE,
    }
}

pub(crate) fn record_bytes(record: &Record) -> &[u8] {
    sys::plain_bytes(record)
}

fn close_between(first: u32, end: u32) -> Outcome<()> {
    if first >= end {
        return Ok(());
    }
    let last = if end == u32::MAX { end } else { end - 1 };
    sys::close_range(first, last, 0)
        .at(Call::CloseRange)
        .map(drop)
}

fn reset_signals() -> Outcome<()> {
    for signal in 1..=64 {
        // SIGKILL and SIGSTOP have no other action.
        if signal != 9 && signal != 19 {
            sys::reset_signal(signal).at_detail(Call::RtSigaction, signal as u32)?;
        }
    }
    sys::set_signal_mask(0).at(Call::RtSigprocmask).map(drop)
}

/// ORDER: group first, it needs the right that leaving uid 0 may take; `PR_SET_KEEPCAPS` so that
/// the permitted set outlives the change and is then set to what was asked for.
fn set_ids(uid: u32, gid: u32) -> Outcome<()> {
    sys::prctl(8, 1, 0).at(Call::Prctl)?;
    sys::setresgid(gid).at_detail(Call::Setresgid, gid)?;
    sys::setresuid(uid).at_detail(Call::Setresuid, uid)?;
    sys::prctl(8, 0, 0).at(Call::Prctl)?;
    // The change of user cleared the effective set; the ops that follow need it.
    let permitted = sys::permitted_capabilities().at(Call::Capset)?;
    sys::capset(permitted, permitted, 0)
        .at(Call::Capset)
        .map(drop)
}

/// Asks the kernel for each number until it knows no more, so that capabilities newer than our table go too.
fn drop_bounding_set(keep: u64) -> Outcome<()> {
    for capability in 0..64 {
        match sys::prctl(23, capability, 0) {
            Err(sys::EINVAL) => return Ok(()),
            Ok(0) => continue,
            result => drop(result.at_detail(Call::Prctl, capability as u32)?),
        }
        if keep >> capability & 1 == 0 {
            sys::prctl(24, capability, 0).at_detail(Call::Prctl, capability as u32)?;
        }
    }
    Ok(())
}

fn set_ambient_set(set: u64) -> Outcome<()> {
    // PR_CAP_AMBIENT_CLEAR_ALL, then PR_CAP_AMBIENT_RAISE.
    sys::prctl(47, 4, 0).at(Call::Prctl)?;
    for capability in 0..64 {
        if set >> capability & 1 == 1 {
            sys::prctl(47, 2, capability).at_detail(Call::Prctl, capability as u32)?;
        }
    }
    Ok(())
}

fn bring_up_loopback() -> Outcome<()> {
    // AF_INET, SOCK_DGRAM | SOCK_CLOEXEC.
    let socket = sys::socket(2, 2 | 0o2000000, 0).at(Call::Socket)? as i32;
    let up = sys::bring_up_loopback(socket).at(Call::Ioctl);
    sys::close(socket);
    up.map(drop)
}

fn enter(path: &CStr) -> Outcome<()> {
    let flags = sys::O_PATH | sys::O_DIRECTORY;
    let directory = sys::openat2(sys::AT_FDCWD, path, flags, 0, sys::RESOLVE_NO_MAGICLINKS)
        .at(Call::Openat2)?;
    let entered = sys::fchdir(directory).at(Call::Fchdir);
    sys::close(directory);
    entered.map(drop)
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
