//! A tree of the host that nothing may touch.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};

/// A small tree of files, directories and links with odd modes and old times, and what it looked like when it was made.
#[derive(Debug)]
pub struct Canary {
    path: PathBuf,
    before: BTreeMap<PathBuf, String>,
}

impl Canary {
    /// Makes the tree in a directory that does not exist yet.
    #[must_use]
    pub fn new(path: &Path) -> Canary {
        fs::create_dir(path).expect("mkdir");
        fs::create_dir(path.join("closed")).expect("mkdir");
        fs::create_dir(path.join("empty")).expect("mkdir");
        for (name, mode) in [
            ("file", 0o644),
            ("secret", 0o600),
            ("program", 0o755),
            ("closed/inner", 0o444),
        ] {
            fs::write(path.join(name), format!("contents of {name}\n")).expect("write");
            fs::set_permissions(path.join(name), fs::Permissions::from_mode(mode)).expect("chmod");
        }
        symlink("file", path.join("link")).expect("symlink");
        symlink("../nowhere", path.join("dangling")).expect("symlink");
        Canary {
            path: path.to_owned(),
            before: look(path),
        }
    }

    /// Looks at any other tree, to compare it later. Files are read, so it should be small.
    #[must_use]
    pub fn of(path: &Path) -> Canary {
        Canary {
            path: path.to_owned(),
            before: look(path),
        }
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Fails when names, contents, owners, modes, link targets or times of change are others than before.
    pub fn assert_untouched(&self) {
        assert_eq!(self.before, look(&self.path), "{:?} was touched", self.path);
    }
}

/// Everything below a directory and the directory itself, links not followed.
fn look(directory: &Path) -> BTreeMap<PathBuf, String> {
    let mut seen = BTreeMap::new();
    let mut open = vec![directory.to_owned()];
    while let Some(path) = open.pop() {
        let metadata = fs::symlink_metadata(&path).expect("lstat");
        let contents = match metadata.file_type() {
            kind if kind.is_file() => format!("{:?}", fs::read(&path).unwrap_or_default()),
            kind if kind.is_symlink() => format!("{:?}", fs::read_link(&path).expect("readlink")),
            kind if kind.is_dir() => {
                open.extend(
                    fs::read_dir(&path)
                        .expect("readdir")
                        .map(|entry| entry.expect("readdir").path()),
                );
                String::new()
            }
            _ => format!("device {:#x}", metadata.rdev()),
        };
        let text = format!(
            "{:o} {}:{} inode {} links {} changed {}.{} {contents}",
            metadata.mode(),
            metadata.uid(),
            metadata.gid(),
            metadata.ino(),
            metadata.nlink(),
            metadata.ctime(),
            metadata.ctime_nsec(),
        );
        seen.insert(path, text);
    }
    seen
}
