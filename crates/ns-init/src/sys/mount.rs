//! Calls on file systems and mounts.

use core::ffi::CStr;

use super::arch::*;
use super::{AT_EMPTY_PATH, AT_FDCWD, O_CLOEXEC, Result, call, fd, fsmount_raw};

const OPEN_TREE_CLONE: usize = 1;
const FSOPEN_CLOEXEC: usize = 1;
const MOVE_MOUNT_F_EMPTY_PATH: usize = 4;
const MOVE_MOUNT_T_EMPTY_PATH: usize = 0x40;

/// `struct mount_attr` of `mount_setattr(2)`, version 0.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct MountAttr {
    pub(crate) set: u64,
    pub(crate) clear: u64,
    pub(crate) propagation: u64,
    pub(crate) userns_fd: u64,
}
const _: () = assert!(size_of::<MountAttr>() == 32);

/// `fstatfs(2)`: the type of the file system that the descriptor is on.
pub(crate) fn filesystem_magic(number: i32) -> Result<u64> {
    // struct statfs: 15 words on 64-bit machines, the type first.
    let mut stat = [0_u64; 15];
    // SAFETY: asks: 120 writable bytes. Given: a local of that size. Memory: written within it.
    unsafe { call(SYS_FSTATFS, &[fd(number), (&raw mut stat) as usize])? };
    let [magic, ..] = stat;
    Ok(magic)
}

/// `fsopen(2)`.
pub(crate) fn fsopen(fstype: &CStr) -> Result<i32> {
    // SAFETY: asks: a NUL-terminated name. Given: a CStr. Memory: read only, not kept.
    unsafe { call(SYS_FSOPEN, &[fstype.as_ptr() as usize, FSOPEN_CLOEXEC]) }.map(|new| new as i32)
}

/// `fsconfig(FSCONFIG_SET_FLAG)`.
pub(crate) fn fsconfig_flag(context: i32, key: &CStr) -> Result<usize> {
    // SAFETY: asks: a NUL-terminated key, null value. Given: a CStr. Memory: read only, not kept.
    unsafe { call(SYS_FSCONFIG, &[fd(context), 0, key.as_ptr() as usize, 0, 0]) }
}

/// `fsconfig(FSCONFIG_SET_STRING)`.
pub(crate) fn fsconfig_string(context: i32, key: &CStr, value: &CStr) -> Result<usize> {
    let arguments = [
        fd(context),
        1,
        key.as_ptr() as usize,
        value.as_ptr() as usize,
        0,
    ];
    // SAFETY: asks: NUL-terminated key and value. Given: two CStr. Memory: read only, not kept.
    unsafe { call(SYS_FSCONFIG, &arguments) }
}

/// `fsconfig(FSCONFIG_CMD_CREATE)`.
pub(crate) fn fsconfig_create(context: i32) -> Result<usize> {
    // SAFETY: asks: null key and value. Given: both are 0. Memory: none.
    unsafe { call(SYS_FSCONFIG, &[fd(context), 6, 0, 0, 0]) }
}

/// `fsmount(2)`.
pub(crate) fn fsmount(context: i32, attributes: u64) -> Result<i32> {
    fsmount_raw(context, attributes).map(|new| new as i32)
}

/// `open_tree(2)` with `OPEN_TREE_CLONE` of what the descriptor names.
pub(crate) fn open_tree(from: i32, path: &CStr, flags: usize) -> Result<i32> {
    let flags = OPEN_TREE_CLONE | O_CLOEXEC as usize | AT_EMPTY_PATH | flags;
    // SAFETY: asks: a NUL-terminated path. Given: a CStr. Memory: read only, not kept.
    unsafe { call(SYS_OPEN_TREE, &[fd(from), path.as_ptr() as usize, flags]) }.map(|new| new as i32)
}

/// `move_mount(2)` of the mount in `mount` onto the object in `target`.
pub(crate) fn move_mount(mount: i32, target: i32) -> Result<usize> {
    let flags = MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH;
    let empty = c"".as_ptr() as usize;
    // SAFETY: asks: two NUL-terminated paths. Given: a constant. Memory: read only, not kept.
    unsafe {
        call(
            SYS_MOVE_MOUNT,
            &[fd(mount), empty, fd(target), empty, flags],
        )
    }
}

/// `move_mount(2)` of the mount in `mount` onto `/`.
pub(crate) fn move_mount_to_root(mount: i32) -> Result<usize> {
    let (empty, root) = (c"".as_ptr() as usize, c"/".as_ptr() as usize);
    // SAFETY: asks: two NUL-terminated paths. Given: two constants. Memory: read only, not kept.
    unsafe {
        call(
            SYS_MOVE_MOUNT,
            &[
                fd(mount),
                empty,
                fd(AT_FDCWD),
                root,
                MOVE_MOUNT_F_EMPTY_PATH,
            ],
        )
    }
}

/// `mount_setattr(2)`.
pub(crate) fn mount_setattr(
    directory: i32,
    path: &CStr,
    flags: usize,
    attr: &MountAttr,
) -> Result<usize> {
    let arguments = [
        fd(directory),
        path.as_ptr() as usize,
        flags,
        core::ptr::from_ref(attr) as usize,
        size_of::<MountAttr>(),
    ];
    // SAFETY: asks: a path and a readable `mount_attr` of the given size. Given: a CStr and a reference,
    // whose size is asserted to be version 0. Memory: read only, not kept.
    unsafe { call(SYS_MOUNT_SETATTR, &arguments) }
}

/// `umount2(2)` with `MNT_DETACH`.
pub(crate) fn umount_detach(path: &CStr) -> Result<usize> {
    // SAFETY: asks: a NUL-terminated path. Given: a CStr. Memory: read only, not kept.
    unsafe { call(SYS_UMOUNT2, &[path.as_ptr() as usize, 2]) }
}

/// `pivot_root(".", ".")`.
pub(crate) fn pivot_root_here() -> Result<usize> {
    let here = c".".as_ptr() as usize;
    // SAFETY: asks: two NUL-terminated paths. Given: a constant. Memory: read only, not kept.
    unsafe { call(SYS_PIVOT_ROOT, &[here, here]) }
}

/// `chroot(".")`.
pub(crate) fn chroot_here() -> Result<usize> {
    // SAFETY: asks: a NUL-terminated path. Given: a constant. Memory: read only, not kept.
    unsafe { call(SYS_CHROOT, &[c".".as_ptr() as usize]) }
}
