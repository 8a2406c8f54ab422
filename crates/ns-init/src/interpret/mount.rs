//! Ops that make, change and attach mounts, and enter the new root. Shared with the stub: no heap, no panic.

#![expect(
    clippy::cast_possible_truncation,
    reason = "positions in short lists; `try_from` would bring panics"
)]

use core::ffi::CStr;

use super::{At, Machine, Outcome, c_strings, refuse};
use crate::op::{Bytes, Call, Depth, Slot, Strings, Text};
use crate::path::{Buffer, PATH_BYTES};
use crate::sys;

impl Machine<'_> {
    pub(super) fn new_filesystem(
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

    pub(super) fn configure(&self, context: i32, parameters: Strings) -> Outcome<()> {
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

    pub(super) fn new_overlay(
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

    pub(super) fn configure_overlay(
        &self,
        context: i32,
        layers: Bytes,
        writable: bool,
    ) -> Outcome<()> {
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

    pub(super) fn mask(&self, target: Slot, null: Slot, empty: Slot) -> Outcome<()> {
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

    pub(super) fn pivot_root(&self, root: Slot, n_covers: u32) -> Outcome<()> {
        sys::fchdir(self.slot(root)).at(Call::Fchdir)?;
        sys::pivot_root_here().at(Call::PivotRoot)?;
        // The old root, with what covers it, now lies over the new one at the same place.
        for _ in 0..=n_covers {
            sys::umount_detach(c".").at(Call::Umount2)?;
        }
        enter(c"/")
    }

    pub(super) fn change_root(&self, root: Slot) -> Outcome<()> {
        sys::fchdir(self.slot(root)).at(Call::Fchdir)?;
        sys::chroot_here().at(Call::Chroot)?;
        enter(c"/")
    }

    pub(super) fn change_directory(&self, path: Text) -> Outcome<()> {
        enter(self.text(path)?)?;
        let mut place = [0; PATH_BYTES];
        match sys::getcwd(&mut place) {
            Ok(_) if place.first() == Some(&b'/') => Ok(()),
            Ok(_) => refuse(Call::CheckInside),
            Err(errno) => Err(errno).at(Call::Getcwd),
        }
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

pub(super) fn depth_flag(depth: Depth) -> usize {
    match depth {
        Depth::Single => 0,
        Depth::Recursive => sys::AT_RECURSIVE,
    }
}

fn enter(path: &CStr) -> Outcome<()> {
    let flags = sys::O_PATH | sys::O_DIRECTORY;
    let directory = sys::openat2(sys::AT_FDCWD, path, flags, 0, sys::RESOLVE_NO_MAGICLINKS)
        .at(Call::Openat2)?;
    let entered = sys::fchdir(directory).at(Call::Fchdir);
    sys::close(directory);
    entered.map(drop)
}
