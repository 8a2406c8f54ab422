//! Runs a test's body as the first process of fresh namespaces, with a directory of its own.
//!
//! The test starts itself again under `unshare(1)`; all mounts go away with the process.

use std::collections::BTreeMap;
use std::fs;
use std::os::fd::AsRawFd;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// Who the body is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum View {
    /// Root of the machine, in new mount, process, IPC, network, UTS and cgroup namespaces.
    Root,
    /// A plain user who is root in a new user namespace, in the same namespaces.
    UserNamespace,
}

const NOBODY: u32 = 65534;
const MARK: &str = "NS_MOUNT_TEST_DIRECTORY";

/// Runs `body` inside; `test` is the full name of the test that calls.
pub(crate) fn run(view: View, test: &str, body: fn(&Place)) {
    if let Some(directory) = std::env::var_os(MARK) {
        return body(&Place(PathBuf::from(directory)));
    }
    let is_root = nix::unistd::geteuid().is_root();
    if view == View::Root && !is_root {
        println!("SKIP {test}: needs root");
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let owner = (is_root && view == View::UserNamespace).then_some(NOBODY);
    let place = Place(directory.path().to_owned());
    place.prepare(owner);
    let before = snapshot(&place.canary());
    let output = start_again(view, owner, test, directory.path());
    // overlayfs leaves a directory that its owner may not enter, and so could not remove.
    let closed = directory.path().join("work/work");
    if closed.exists() {
        fs::set_permissions(closed, fs::Permissions::from_mode(0o700)).unwrap();
    }
    assert!(
        output.status.success(),
        "{test} inside {view:?}: {}\n{}{}",
        output.status,
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    assert!(
        String::from_utf8_lossy(&output.stdout).contains("1 passed"),
        "{test} is the name of a test"
    );
    assert_eq!(
        before,
        snapshot(&place.canary()),
        "the host's files stay as they are"
    );
}

fn start_again(view: View, owner: Option<u32>, test: &str, directory: &Path) -> Output {
    // The executable may lie where a plain user cannot look; the descriptor travels.
    let executable = fs::File::open(std::env::current_exe().unwrap()).unwrap();
    let executable = nix::unistd::dup(&executable).unwrap();
    let mut command = match owner {
        Some(_) => Command::new("setpriv"),
        None => Command::new("unshare"),
    };
    if owner.is_some() {
        command.args([
            "--reuid=65534",
            "--regid=65534",
            "--clear-groups",
            "unshare",
        ]);
    }
    if view == View::UserNamespace {
        command.args(["--user", "--map-root-user"]);
    }
    command
        .args([
            "--mount", "--pid", "--fork", "--ipc", "--net", "--uts", "--cgroup",
        ])
        // Never shared: what a test mounts must not reach the host. Never private: the plans cut the ties.
        .args(["--propagation", "slave", "--kill-child"])
        .arg(format!("/proc/self/fd/{}", executable.as_raw_fd()))
        .args(["--exact", test, "--nocapture", "--test-threads=1"])
        .env(MARK, directory);
    command
        .output()
        .expect("unshare(1) and setpriv(1) come with util-linux")
}

/// The test's directory: `rootfs`, and `canary`, which stands for the host's files.
pub(crate) struct Place(PathBuf);

impl Place {
    pub(crate) fn rootfs(&self) -> PathBuf {
        self.0.join("rootfs")
    }

    pub(crate) fn canary(&self) -> PathBuf {
        self.0.join("canary")
    }

    pub(crate) fn path(&self, name: &str) -> String {
        self.0.join(name).to_str().unwrap().to_owned()
    }

    /// A new, empty root directory.
    pub(crate) fn fresh_rootfs(&self, name: &str) -> PathBuf {
        let path = self.0.join(name);
        fs::create_dir(&path).unwrap();
        path
    }

    fn prepare(&self, owner: Option<u32>) {
        for directory in [
            "",
            "rootfs",
            "canary",
            "canary/dev",
            "canary/deep",
            "source",
            "source/below",
        ] {
            let path = self.0.join(directory);
            if !path.exists() {
                fs::create_dir(&path).unwrap();
            }
            chown(&path, owner, owner).unwrap();
        }
        for file in [
            "canary/file",
            "canary/ptmx",
            "canary/dev/null",
            "source/file",
        ] {
            fs::write(self.0.join(file), file).unwrap();
            chown(self.0.join(file), owner, owner).unwrap();
        }
    }
}

/// One shape that a hostile image may give a name.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Shape {
    AbsoluteLink,
    ParentLink,
    MagicLink,
    Fifo,
    Loop,
    File,
}

pub(crate) const SHAPES: [Shape; 6] = [
    Shape::AbsoluteLink,
    Shape::ParentLink,
    Shape::MagicLink,
    Shape::Fifo,
    Shape::Loop,
    Shape::File,
];

impl Shape {
    /// Makes `path` lead to the canary, or nowhere.
    pub(crate) fn make(self, path: &Path, canary: &Path) {
        let up = "../".repeat(16);
        match self {
            Shape::AbsoluteLink => symlink(canary, path).unwrap(),
            Shape::ParentLink => symlink(format!("{up}{}", canary.display()), path).unwrap(),
            Shape::MagicLink => {
                symlink(format!("/proc/self/root{}", canary.display()), path).unwrap()
            }
            Shape::Fifo => nix::unistd::mkfifo(path, nix::sys::stat::Mode::S_IRWXU).unwrap(),
            Shape::Loop => symlink(path.file_name().unwrap(), path).unwrap(),
            Shape::File => fs::write(path, "").unwrap(),
        }
    }
}

type Snapshot = BTreeMap<PathBuf, (u32, u32, i64, i64, Vec<u8>)>;

/// Mode, owner, times and content of everything below.
fn snapshot(directory: &Path) -> Snapshot {
    let mut found = BTreeMap::new();
    let mut open = vec![directory.to_owned()];
    while let Some(path) = open.pop() {
        let metadata = fs::symlink_metadata(&path).unwrap();
        let mut contents = Vec::new();
        if metadata.is_dir() {
            open.extend(
                fs::read_dir(&path)
                    .unwrap()
                    .map(|entry| entry.unwrap().path()),
            );
        } else if metadata.is_file() {
            contents = fs::read(&path).unwrap();
        }
        let times = (metadata.mtime(), metadata.mtime_nsec());
        found.insert(
            path,
            (metadata.mode(), metadata.uid(), times.0, times.1, contents),
        );
    }
    found
}

/// Each function becomes a test as root and a test in a user namespace.
#[macro_export]
macro_rules! in_both_views {
    ($($name:ident),* $(,)?) => {
        mod as_root {
            $(#[test] fn $name() {
                $crate::inside::run(
                    $crate::inside::View::Root, concat!("as_root::", stringify!($name)), super::$name,
                );
            })*
        }
        mod in_user_namespace {
            $(#[test] fn $name() {
                $crate::inside::run(
                    $crate::inside::View::UserNamespace,
                    concat!("in_user_namespace::", stringify!($name)), super::$name,
                );
            })*
        }
    };
}
