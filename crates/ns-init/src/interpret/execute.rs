//! The ops that end a plan: the command is found and executed, or there is none. Shared with the stub: no heap, no panic.

use core::ffi::CStr;

use super::{At, Machine, Outcome, c_strings, refuse};
use crate::op::{Call, RECORD_READY, Strings, Text};
use crate::path::Buffer;
use crate::sys;

impl Machine<'_> {
    pub(super) fn execute(
        &mut self,
        arguments: Strings,
        environment: Strings,
        search: Text,
    ) -> Outcome<()> {
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
        // Whoever has let a parked process go on wanted it to run, and may be gone by now.
        if self.socket >= 0
            && let Err(fault) = self.send(RECORD_READY, None)
            && !self.is_parked()
        {
            return Err(fault);
        }
        let vectors = (arguments_at.as_ptr(), environment_at.as_ptr());
        if command.to_bytes().contains(&b'/') {
            return execute_file(command, vectors).at(Call::Execve);
        }
        search_and_execute(command.to_bytes(), self.text(search)?.to_bytes(), vectors)
    }
}

impl Machine<'_> {
    pub(super) fn finish(&self) -> Outcome<()> {
        self.send(RECORD_READY, None)?;
        sys::exit(0)
    }
}

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
