//! Lookups in a tree that others may write (K1): confined by `openat2(2)`, and, where names are
//! missing, walked and made one at a time. Shared with the stub: no heap, no panic.

use core::ffi::CStr;

use crate::interpret::{At, Outcome};
use crate::op::Call;
use crate::path::{Buffer, PATH_BYTES};
use crate::sys::{self, Errno};

const LOOKUP: u64 = sys::RESOLVE_IN_ROOT | sys::RESOLVE_NO_MAGICLINKS;
/// How often a lookup is repeated that a concurrent rename has disturbed (EAGAIN of `openat2(2)`).
const LOOKUP_TRIES: u32 = 256;
const LINK_LIMIT: u32 = 40;
/// Paths of at most this many bytes are made name by name from their end.
const SHORT_PATH_BYTES: usize = 64;

/// What to make of a name that is not there.
#[derive(Clone, Copy)]
pub(crate) enum New {
    Directory(u32),
    File(u32),
}

pub(crate) fn new_like(source: i32) -> Outcome<New> {
    let stat = sys::statx(source).at(Call::Statx)?;
    Ok(match u32::from(stat.mode) & sys::S_IFMT {
        sys::S_IFDIR => New::Directory(0o755),
        _ => New::File(0o644),
    })
}

/// `openat2(2)` confined to the root, repeated while renames disturb it.
pub(crate) fn lookup(root: i32, path: &CStr, flags: u64) -> sys::Result<i32> {
    retry(|| sys::openat2(root, path, flags, 0, LOOKUP))
}

fn retry(mut open: impl FnMut() -> sys::Result<i32>) -> sys::Result<i32> {
    for _ in 0..LOOKUP_TRIES {
        match open() {
            Err(sys::EAGAIN | sys::EINTR) => {}
            result => return result,
        }
    }
    Err(sys::EAGAIN)
}

/// Makes what is missing of a path below the root, and opens its end.
pub(crate) fn create_in_root(root: i32, path: &[u8], new: New) -> Outcome<i32> {
    match create_last(root, path, new)? {
        Some(made) => Ok(made),
        None => create_by_walking(root, path, new),
    }
}

/// The usual case: only the last name is missing. `None` when it is not so, or somebody was faster.
fn create_last(root: i32, path: &[u8], new: New) -> Outcome<Option<i32>> {
    let end = path
        .iter()
        .rposition(|byte| *byte != b'/')
        .map_or(0, |last| last + 1);
    let path = path.get(..end).unwrap_or_default();
    let cut = path
        .iter()
        .rposition(|byte| *byte == b'/')
        .map_or(0, |slash| slash + 1);
    let (above, last) = path.split_at_checked(cut).unwrap_or_default();
    if matches!(last, b"" | b"." | b"..") {
        return Ok(None);
    }
    let mut name = Buffer::new();
    name.push(last)?;
    let mut directory = Buffer::new();
    directory.push(b"./")?;
    directory.push(above)?;
    let parent = match lookup(root, directory.text()?, sys::O_PATH | sys::O_DIRECTORY) {
        Ok(parent) => parent,
        // Each level takes some stack.
        Err(sys::ENOENT) if above.len() <= SHORT_PATH_BYTES => {
            create_in_root(root, above, New::Directory(0o755))?
        }
        Err(errno) => return to_walk(errno).at(Call::Openat2),
    };
    let made = make_name(parent, &name, new).and_then(|()| {
        let flags = sys::O_PATH | sys::O_NOFOLLOW;
        let resolve = sys::RESOLVE_BENEATH | sys::RESOLVE_NO_SYMLINKS;
        sys::openat2(parent, name.text()?, flags, 0, resolve).at(Call::Openat2)
    });
    sys::close(parent);
    match made {
        Ok(made) => Ok(Some(made)),
        Err(fault) => to_walk(Errno(fault.errno)).at(fault.call),
    }
}

/// Names that are there already, missing ones and links are for the walk; nothing else is tried twice.
fn to_walk(errno: Errno) -> sys::Result<Option<i32>> {
    match errno {
        sys::ENOENT | sys::ENOTDIR | sys::EEXIST | sys::ELOOP | sys::EXDEV | sys::EAGAIN => {
            Ok(None)
        }
        errno => Err(errno),
    }
}

/// Walks a path from the root one name at a time and makes what is missing.
///
/// Links are read and followed by hand, inside the root. Every name is opened from the root with
/// links forbidden, so a swapped component is seen as the link it is and never followed unseen.
fn create_by_walking(root: i32, path: &[u8], new: New) -> Outcome<i32> {
    let mut done = Buffer::new();
    let mut rest = Buffer::new();
    rest.push(path)?;
    let mut links = 0;
    loop {
        let (name, is_last) = rest.take_component();
        if name.is_empty() {
            return open_exact(root, &done).at(Call::Openat2);
        }
        match name.bytes() {
            b"." => continue,
            b".." => {
                done.pop_component();
                continue;
            }
            _ => {}
        }
        let found = match open_child(root, &done, &name) {
            Err(sys::ENOENT) => {
                make_child(
                    root,
                    &done,
                    &name,
                    if is_last { new } else { New::Directory(0o755) },
                )?;
                open_child(root, &done, &name)
            }
            result => result,
        };
        let found = found.at(Call::Openat2)?;
        let mut target = [0; PATH_BYTES];
        let link = match sys::statx(found).at(Call::Statx) {
            Ok(stat) if u32::from(stat.mode) & sys::S_IFMT == sys::S_IFLNK => {
                sys::readlink(found, &mut target)
                    .at(Call::Readlinkat)
                    .map(Some)
            }
            result => result.map(|_| None),
        };
        sys::close(found);
        let Some(length) = link? else {
            done.push_component(name.bytes())?;
            continue;
        };
        links += 1;
        if links > LINK_LIMIT {
            return Err(sys::ELOOP).at(Call::Openat2);
        }
        let target = target.get(..length).unwrap_or_default();
        if target.first() == Some(&b'/') {
            done = Buffer::new();
        }
        rest.prepend(target)?;
    }
}

/// Opens a directory or file below the root by a path that must hold no link at all.
fn open_exact(root: i32, path: &Buffer) -> sys::Result<i32> {
    if path.is_empty() {
        return sys::openat2(root, c".", sys::O_PATH, 0, sys::RESOLVE_IN_ROOT);
    }
    let resolve = sys::RESOLVE_IN_ROOT | sys::RESOLVE_NO_SYMLINKS;
    let path = path.text().map_err(|fault| Errno(fault.errno))?;
    retry(|| sys::openat2(root, path, sys::O_PATH | sys::O_NOFOLLOW, 0, resolve))
}

/// Opens one name in a directory of the root; a link is opened as itself.
fn open_child(root: i32, directory: &Buffer, name: &Buffer) -> sys::Result<i32> {
    let mut path = *directory;
    path.push_component(name.bytes())
        .map_err(|_| sys::ENAMETOOLONG)?;
    open_exact(root, &path)
}

fn make_child(root: i32, directory: &Buffer, name: &Buffer, new: New) -> Outcome<()> {
    let parent = open_exact(root, directory).at(Call::Openat2)?;
    let made = make_name(parent, name, new);
    sys::close(parent);
    match made {
        // Somebody else made it meanwhile: what it is shows when it is opened.
        Err(fault) if fault.errno == sys::EEXIST.0 => Ok(()),
        made => made,
    }
}

fn make_name(parent: i32, name: &Buffer, new: New) -> Outcome<()> {
    match new {
        New::Directory(mode) => sys::mkdirat(parent, name.text()?, mode)
            .map(drop)
            .at(Call::Mkdirat),
        New::File(mode) => sys::openat2(
            parent,
            name.text()?,
            sys::O_WRONLY | sys::O_CREAT | sys::O_EXCL | sys::O_NOFOLLOW,
            mode,
            sys::RESOLVE_BENEATH | sys::RESOLVE_NO_SYMLINKS,
        )
        .map(sys::close)
        .at(Call::Openat2),
    }
}
