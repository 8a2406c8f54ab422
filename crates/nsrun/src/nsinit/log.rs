//! `$log`: where errors are written to as well.

use std::fs::File;
use std::io::Write as _;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::PathBuf;

use crate::report::Failure;

/// A file that lines are added to.
#[derive(Debug)]
pub(super) struct Log(Option<File>);

impl Log {
    /// Opens the file that `$log` names, if it names one: a regular file with one name, since the old tool's habit was
    /// to keep it where the container writes.
    pub(super) fn open() -> Result<Self, Failure> {
        let Some(path) = std::env::var_os("log").filter(|path| !path.is_empty()) else {
            return Ok(Log(None));
        };
        let path = PathBuf::from(path);
        let failed = |what: &dyn std::fmt::Display| {
            Failure::new(format!("open the log {path:?}: {what}"))
                .with_hint("$log names a file to add to; unset it to have none")
        };
        let file = File::options()
            .append(true)
            .create(true)
            .mode(0o600)
            .custom_flags(NO_SURPRISE.bits())
            .open(&path)
            .map_err(|error| failed(&error))?;
        let found = file.metadata().map_err(|error| failed(&error))?;
        match found.is_file() && found.nlink() == 1 {
            true => Ok(Log(Some(file))),
            false => Err(failed(&"it is no regular file of one name")),
        }
    }

    /// Adds lines; a log that is full is no reason to fail otherwise.
    pub(super) fn add(&mut self, lines: &[String]) {
        if let Some(file) = &mut self.0 {
            let _full = file.write_all((lines.join("\n") + "\n").as_bytes());
        }
    }
}

const NO_SURPRISE: nix::fcntl::OFlag = nix::fcntl::OFlag::O_NOFOLLOW
    .union(nix::fcntl::OFlag::O_NONBLOCK)
    .union(nix::fcntl::OFlag::O_NOCTTY);
