//! Writes the archive that a kernel unpacks as its first root: cpio in the form `newc`
//! (`Documentation/driver-api/early-userspace/buffer-format.rst`).

use crate::failure::{Result, While};

/// An archive in memory.
#[derive(Debug, Default)]
pub(crate) struct Archive {
    bytes: Vec<u8>,
    n_entries: u32,
}

const DIRECTORY: u32 = 0o040_000;
const FILE: u32 = 0o100_000;
const CHARACTER_DEVICE: u32 = 0o020_000;
const TRAILER: &str = "TRAILER!!!";
const ALIGNMENT: usize = 4;

impl Archive {
    /// Adds a directory that everybody can read; its parent comes first.
    pub(crate) fn add_directory(&mut self, name: &str) -> Result<()> {
        self.add(name, DIRECTORY | 0o755, &[], (0, 0))
    }

    /// Adds a file.
    pub(crate) fn add_file(&mut self, name: &str, mode: u32, contents: &[u8]) -> Result<()> {
        self.add(name, FILE | mode, contents, (0, 0))
    }

    /// Adds a character device.
    pub(crate) fn add_device(&mut self, name: &str, major: u32, minor: u32) -> Result<()> {
        self.add(name, CHARACTER_DEVICE | 0o600, &[], (major, minor))
    }

    /// The archive with its end.
    pub(crate) fn finish(mut self) -> Result<Vec<u8>> {
        self.add(TRAILER, 0, &[], (0, 0))?;
        Ok(self.bytes)
    }

    /// A header of numbers in eight hexadecimal digits each, then the name with a zero, then the contents; name and
    /// contents are filled up.
    fn add(&mut self, name: &str, mode: u32, contents: &[u8], device: (u32, u32)) -> Result<()> {
        self.n_entries += 1;
        let size = u32::try_from(contents.len()).while_doing(name)?;
        let name_size = u32::try_from(name.len() + 1).while_doing(name)?;
        let numbers = [
            self.n_entries, // inode
            mode,
            0, // user
            0, // group
            1, // links
            0, // time
            size,
            0, // device of the file itself
            0,
            device.0,
            device.1,
            name_size,
            0, // checksum
        ];
        self.bytes.extend(b"070701");
        for number in numbers {
            self.bytes.extend(format!("{number:08X}").bytes());
        }
        self.bytes.extend(name.bytes());
        self.bytes.push(0);
        self.fill_up();
        self.bytes.extend(contents);
        self.fill_up();
        Ok(())
    }

    fn fill_up(&mut self) {
        let length = self.bytes.len().next_multiple_of(ALIGNMENT);
        self.bytes.resize(length, 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;
    use std::process::{Command, Stdio};

    #[test]
    fn entries_begin_at_multiples_of_four() {
        let mut archive = Archive::default();
        archive.add_file("abc", 0o644, b"x").expect("add");
        let bytes = archive.finish().expect("finish");
        assert_eq!(bytes.len() % ALIGNMENT, 0);
        let second = bytes.windows(6).rposition(|window| window == b"070701");
        assert_eq!(second, Some(110 + 4 + 2 + 4), "header, name, contents");
    }

    /// busybox reads the form too; without it there is nobody to ask.
    #[test]
    fn archive_is_unpacked_by_another_program() {
        let directory = tempfile::tempdir().expect("temporary directory");
        let mut archive = Archive::default();
        archive.add_directory("bin").expect("add");
        archive.add_file("bin/five", 0o755, b"12345").expect("add");
        let child = Command::new("busybox")
            .args(["cpio", "-i"])
            .current_dir(directory.path())
            .stdin(Stdio::piped())
            .stderr(Stdio::null())
            .spawn();
        let Ok(mut child) = child else {
            println!("SKIP archive_is_unpacked_by_another_program: needs busybox");
            return;
        };
        let bytes = archive.finish().expect("finish");
        let mut stdin = child.stdin.take().expect("piped");
        stdin.write_all(&bytes).expect("write");
        drop(stdin);
        assert!(child.wait().expect("wait").success());
        let five = std::fs::read(directory.path().join("bin/five")).expect("read");
        assert_eq!(five, b"12345");
    }
}
