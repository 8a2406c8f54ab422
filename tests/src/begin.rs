//! The begin and the end of a test.

use std::ffi::{OsStr, OsString};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use serde_json::Value;
use tempfile::TempDir;

use crate::busybox::Busybox;
use crate::census::{Census, reap_orphans};
use crate::container_json::{container_json, map_own_ids, write_json};
use crate::nsrun::{self, Invocation, Output};

/// Owns nothing and has no account.
pub const PLAIN_ID: u32 = 65_533;

/// What a test cannot do without.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(
    non_camel_case_types,
    reason = "the words that `needs!` takes are these names"
)]
#[non_exhaustive]
pub enum Need {
    /// The test runs as root.
    root,
    /// `nsrun` can run as a plain user: the test is one, or it is root and there is `setpriv`.
    plain,
    /// A plain user may make user namespaces.
    user_namespace,
    /// The static busybox of Debian.
    busybox,
    /// A control group file system is mounted and can be written.
    cgroup,
}

impl Need {
    /// Why it is not met.
    fn reason(self) -> Option<String> {
        let is_root = nix::unistd::geteuid().is_root();
        match self {
            Need::root => (!is_root).then(|| "needs root".to_owned()),
            Need::plain => (is_root && !Path::new(SETPRIV).exists())
                .then(|| format!("needs {SETPRIV} to become a plain user (package util-linux)")),
            Need::user_namespace => no_user_namespaces(),
            Need::busybox => (!Path::new(crate::busybox::BUSYBOX).exists())
                .then(|| format!("needs {} (package busybox-static)", crate::busybox::BUSYBOX)),
            Need::cgroup => {
                let is_possible = ns_exec::can_make_groups();
                (!is_possible).then(|| "needs control groups that it can write".to_owned())
            }
        }
    }
}

fn no_user_namespaces() -> Option<String> {
    let switches = [
        ("/proc/sys/user/max_user_namespaces", "0"),
        ("/proc/sys/kernel/unprivileged_userns_clone", "0"),
        (
            "/proc/sys/kernel/apparmor_restrict_unprivileged_userns",
            "1",
        ),
    ];
    let off = switches
        .into_iter()
        .find(|(path, off)| std::fs::read_to_string(path).is_ok_and(|value| value.trim() == *off));
    off.map(|(path, value)| format!("needs user namespaces, which {path} = {value} forbids"))
}

/// Whose rights `nsrun` has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rights {
    /// Root's.
    Root,
    /// Those of a plain user.
    Plain,
}

/// One running test. Tests of one process run one after another, so that a census is a test's own.
#[derive(Debug)]
pub struct Test {
    name: String,
    rights: Rights,
    directory: TempDir,
    census: Census,
    _alone: MutexGuard<'static, ()>,
}

const SETPRIV: &str = "/usr/bin/setpriv";
static ALONE: Mutex<()> = Mutex::new(());

/// Runs the body with the given rights, or skips loudly.
pub fn in_variant(name: &str, rights: Rights, body: impl FnOnce(&Test)) {
    let needs: &[Need] = match rights {
        Rights::Root => &[Need::root],
        Rights::Plain => &[Need::plain, Need::user_namespace],
    };
    if let Some(mut test) = Test::begin(name, needs) {
        test.rights = rights;
        body(&test);
    }
}

impl Test {
    /// Begins a test; see [`needs!`](crate::needs). `name` may be the type name of a function in it.
    #[must_use]
    pub fn begin(name: &str, needs: &[Need]) -> Option<Test> {
        let name = name.strip_suffix("::here").unwrap_or(name);
        if let Some(reason) = needs.iter().find_map(|need| need.reason()) {
            skip(name, &reason);
            return None;
        }
        let alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
        // Built before the census and before any deadline.
        let _built = nsrun::path();
        nix::sys::prctl::set_child_subreaper(true).expect("prctl(PR_SET_CHILD_SUBREAPER)");
        let rights = match nix::unistd::geteuid().is_root() && !needs.contains(&Need::plain) {
            true => Rights::Root,
            false => Rights::Plain,
        };
        let census = Census::take();
        let directory = tempfile::Builder::new()
            .prefix("ns-tests-")
            .tempdir()
            .expect("temporary directory");
        let readable = std::fs::Permissions::from_mode(0o755);
        std::fs::set_permissions(directory.path(), readable).expect("chmod");
        let test = Test {
            name: name.to_owned(),
            rights,
            directory,
            census,
            _alone: alone,
        };
        let temporary = test.make_dir("tmp");
        std::fs::set_permissions(&temporary, std::fs::Permissions::from_mode(0o1777))
            .expect("chmod");
        Some(test)
    }

    /// The same test, with `nsrun` run by a plain user.
    #[must_use]
    pub fn rootless(mut self) -> Test {
        self.rights = Rights::Plain;
        self
    }

    /// Whose rights `nsrun` has.
    #[must_use]
    pub fn rights(&self) -> Rights {
        self.rights
    }

    /// Whether `nsrun` runs as root.
    #[must_use]
    pub fn is_root(&self) -> bool {
        self.rights == Rights::Root
    }

    /// The uid and gid that `nsrun` runs as.
    #[must_use]
    pub fn ids(&self) -> (u32, u32) {
        match (self.rights, nix::unistd::geteuid().is_root()) {
            (Rights::Root, _) => (0, 0),
            (Rights::Plain, true) => (PLAIN_ID, PLAIN_ID),
            (Rights::Plain, false) => (
                nix::unistd::getuid().as_raw(),
                nix::unistd::getgid().as_raw(),
            ),
        }
    }

    /// The test's own directory, which everybody can read; removed at the end.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.directory.path()
    }

    /// Makes a directory in the test's own.
    #[must_use]
    pub fn make_dir(&self, name: &str) -> PathBuf {
        let path = self.path().join(name);
        std::fs::create_dir(&path).expect("mkdir");
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).expect("chmod");
        path
    }

    /// Makes a file in the test's own directory, which everybody can read.
    pub fn write(&self, name: &str, contents: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path().join(name);
        std::fs::write(&path, contents).expect("write a file");
        path
    }

    /// Gives something of the test's own directory to the user that `nsrun` runs as.
    pub fn give_away(&self, path: &Path) {
        let (uid, gid) = self.ids();
        std::os::unix::fs::chown(path, Some(uid), Some(gid)).expect("chown");
    }

    /// The directory for temporary files of what the test runs; nothing may stay in it.
    #[must_use]
    pub fn temporary(&self) -> PathBuf {
        self.path().join("tmp")
    }

    /// `nsrun` with these arguments, and with the rights of the test.
    pub fn nsrun<S: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = S>) -> Invocation {
        self.nsrun_under(&[], arguments)
    }

    /// The same, executed by a program such as `["prlimit", "--nproc=0"]` or `["sh", "-c", "exec \"$@\" <&-", "sh"]`.
    pub fn nsrun_under<S: AsRef<OsStr>>(
        &self,
        wrapper: &[&str],
        arguments: impl IntoIterator<Item = S>,
    ) -> Invocation {
        let id = PLAIN_ID.to_string();
        let mut words: Vec<OsString> = match (self.rights, nix::unistd::geteuid().is_root()) {
            (Rights::Plain, true) => [
                SETPRIV,
                "--reuid",
                &id,
                "--regid",
                &id,
                "--clear-groups",
                "--",
            ]
            .map(OsString::from)
            .to_vec(),
            _ => Vec::new(),
        };
        words.extend(wrapper.iter().map(OsString::from));
        words.push(self.reachable_nsrun().into_os_string());
        let invocation = Invocation::new(Path::new(&words[0]))
            .args(&words[1..])
            .args(arguments);
        invocation
            .current_dir(self.path())
            .env("TMPDIR", self.temporary())
    }

    /// Runs a shell script in `nsrun sandbox` with these flags.
    #[must_use]
    pub fn sandbox(&self, flags: &[&str], script: &str) -> Output {
        self.sandbox_invocation(flags, script).run()
    }

    /// The same, not run yet.
    pub fn sandbox_invocation(&self, flags: &[&str], script: &str) -> Invocation {
        self.nsrun(
            ["sandbox"]
                .iter()
                .chain(flags)
                .chain(&["--", "sh", "-c", script]),
        )
    }

    /// Runs a shell script in `nsrun run` with this configuration.
    #[must_use]
    pub fn run_config(&self, config: &Value, script: &str) -> Output {
        let path = write_json(self.path(), config);
        self.nsrun(["run", "--config"])
            .args([path])
            .args(["--", "sh", "-c", script])
            .run()
    }

    /// The template of the original tests for these rights; see [`container_json`].
    #[must_use]
    pub fn container_json(&self, rootfs: &Path) -> Value {
        let mut config = container_json(rootfs);
        if !self.is_root() {
            map_own_ids(&mut config, self.ids());
        }
        config
    }

    /// A busybox root file system in the test's own directory, for a test that [needs](crate::needs) none by name.
    #[must_use]
    pub fn busybox(&self) -> Option<Busybox> {
        match Need::busybox.reason() {
            None => Some(Busybox::new(&self.path().join("rootfs"))),
            Some(reason) => {
                self.skip(&reason);
                None
            }
        }
    }

    /// Fails when temporary files are left of what ran, or anything that a census before did not count.
    pub fn assert_nothing_left(&self, what: &str, before: &Census) {
        let left: Vec<_> = std::fs::read_dir(self.temporary())
            .expect("read the temporary directory")
            .collect();
        assert!(
            left.is_empty(),
            "{what}: temporary files are left: {left:?}"
        );
        before.assert_nothing_new(what);
    }

    /// Says that the test cannot go on here, and why; the caller then returns.
    pub fn skip(&self, reason: &str) {
        skip(&self.name, reason);
    }

    /// The program itself, or a copy where a plain user can execute it.
    fn reachable_nsrun(&self) -> PathBuf {
        let program = nsrun::path();
        let may_all_execute = |path: &Path| {
            std::fs::metadata(path).is_ok_and(|file| file.permissions().mode() & 0o001 != 0)
        };
        if self.rights == Rights::Root || program.ancestors().all(may_all_execute) {
            return program.to_owned();
        }
        let copy = self.path().join("nsrun");
        if !copy.exists() {
            std::fs::copy(program, &copy).expect("copy nsrun");
        }
        copy
    }
}

impl Drop for Test {
    /// Takes the census again. A test that has failed already has said enough.
    fn drop(&mut self) {
        if std::thread::panicking() {
            return reap_orphans();
        }
        self.assert_nothing_left(&self.name, &self.census);
    }
}

#[expect(clippy::print_stdout, reason = "the line by which runners know a skip")]
fn skip(name: &str, reason: &str) {
    println!("SKIP {name}: {reason}");
}
