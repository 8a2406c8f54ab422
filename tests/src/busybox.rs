//! A root file system with a static busybox.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};

/// The static busybox of Debian's `busybox-static`.
pub(crate) const BUSYBOX: &str = "/bin/busybox";

/// A directory with `/bin/busybox`, links for its programs, `/etc/passwd` and `/etc/group`, and empty `/proc`, `/dev`,
/// `/sys`, `/tmp`, `/root`.
#[derive(Debug)]
pub struct Busybox {
    path: PathBuf,
}

const APPLETS: [&str; 50] = [
    "[",
    "awk",
    "basename",
    "cat",
    "chmod",
    "chown",
    "cut",
    "date",
    "dd",
    "df",
    "dirname",
    "echo",
    "env",
    "expr",
    "false",
    "find",
    "grep",
    "head",
    "hostname",
    "id",
    "ip",
    "kill",
    "ln",
    "ls",
    "mkdir",
    "mknod",
    "mount",
    "mountpoint",
    "nc",
    "ps",
    "printf",
    "pwd",
    "readlink",
    "rm",
    "sed",
    "seq",
    "sh",
    "sleep",
    "sort",
    "stat",
    "stty",
    "tail",
    "test",
    "touch",
    "tr",
    "true",
    "tty",
    "umount",
    "wc",
    "xargs",
];
const PASSWD: &str = "root:x:0:0:root:/root:/bin/sh\n\
                      daemon:x:1:1:daemon:/usr/sbin:/bin/sh\n\
                      app:x:1000:1000:app:/home/app:/bin/sh\n";
const GROUP: &str = "root:x:0:\ndaemon:x:1:\napp:x:1000:\nwww:x:33:app\n";

impl Busybox {
    /// Makes one in a directory that does not exist yet. The test [needs](crate::needs) `busybox`.
    #[must_use]
    pub fn new(path: &Path) -> Busybox {
        let make_dir = |name: &str, mode: u32| {
            fs::create_dir(path.join(name)).expect("mkdir");
            fs::set_permissions(path.join(name), fs::Permissions::from_mode(mode)).expect("chmod");
        };
        make_dir("", 0o755);
        for name in [
            "bin", "etc", "proc", "dev", "sys", "root", "home", "home/app",
        ] {
            make_dir(name, 0o755);
        }
        make_dir("tmp", 0o1777);
        fs::copy(BUSYBOX, path.join("bin/busybox")).expect("copy busybox");
        for applet in APPLETS {
            symlink("/bin/busybox", path.join("bin").join(applet)).expect("symlink");
        }
        fs::write(path.join("etc/passwd"), PASSWD).expect("write");
        fs::write(path.join("etc/group"), GROUP).expect("write");
        Busybox {
            path: path.to_owned(),
        }
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Where it is, as JSON and flags want it.
    #[must_use]
    pub fn text(&self) -> &str {
        self.path.to_str().expect("temporary directories are UTF-8")
    }
}
