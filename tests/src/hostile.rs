//! Hostile images and neighbours.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;

use nix::fcntl::{AT_FDCWD, RenameFlags, renameat2};
use nix::sys::stat::Mode;
use serde_json::{Value, json};

use crate::{Busybox, Canary, Output, Test, container_json, map_own_ids, write_json};

/// An image that an attacker wrote, and a canary that stands for the host's files.
#[derive(Debug)]
pub struct Attack<'t> {
    test: &'t Test,
    image: Busybox,
    canary: Canary,
}

impl<'t> Attack<'t> {
    /// A harmless image in the test's directory; the test makes it hostile.
    #[must_use]
    pub fn new(test: &'t Test) -> Self {
        Attack::named(test, "image")
    }

    /// One of several attacks of a test, in its own directories.
    #[must_use]
    pub fn named(test: &'t Test, name: &str) -> Self {
        Attack {
            test,
            image: Busybox::new(&test.path().join(name)),
            canary: Canary::new(&test.path().join(format!("{name}-canary"))),
        }
    }

    /// A place in the image, as the host sees it.
    #[must_use]
    pub fn in_image(&self, name: &str) -> PathBuf {
        self.image.path().join(name.trim_start_matches('/'))
    }

    /// The tree that nothing may touch.
    #[must_use]
    pub fn canary(&self) -> &Path {
        self.canary.path()
    }

    /// A configuration with the image as root, no capability, and the kernel's files restricted.
    #[must_use]
    pub fn config(&self) -> Value {
        let mut config = container_json(self.image.path());
        config["capabilities"] = json!([]);
        config["restrict_sys"] = json!(true);
        if !self.test.is_root() {
            map_own_ids(&mut config, self.test.ids());
        }
        config
    }

    /// [`config`](Self::config) with some keys replaced.
    #[must_use]
    pub fn config_with(&self, keys: &Value) -> Value {
        let mut config = self.config();
        for (key, value) in keys.as_object().expect("keys") {
            config[key] = value.clone();
        }
        config
    }

    /// `nsrun run` of a command; the canary is compared afterwards.
    #[must_use]
    #[track_caller]
    pub fn run(&self, config: &Value, command: &[&str]) -> Output {
        let path = write_json(self.test.path(), config);
        let output = self
            .test
            .nsrun([OsStr::new("run"), OsStr::new("--config"), path.as_os_str()])
            .args(["--"])
            .args(command)
            .run();
        self.assert_canary_untouched();
        output
    }

    /// A shell script inside, with `nsrun run`.
    #[must_use]
    #[track_caller]
    pub fn script(&self, config: &Value, script: &str) -> Output {
        self.run(config, &["/bin/sh", "-c", script])
    }

    /// `nsrun sandbox` with flags and a command; the canary is compared afterwards.
    #[must_use]
    #[track_caller]
    pub fn sandbox(&self, flags: &[&str], command: &[&str]) -> Output {
        let output = self
            .test
            .nsrun(["sandbox"])
            .args(flags)
            .args(["--"])
            .args(command)
            .run();
        self.assert_canary_untouched();
        output
    }

    /// The image as a flag wants it.
    #[must_use]
    pub fn image_text(&self) -> &str {
        self.image.text()
    }

    /// Fails when the host's files are not as they were.
    #[track_caller]
    pub fn assert_canary_untouched(&self) {
        self.canary.assert_untouched();
    }
}

/// Fails unless the command ran and gave this output, or nothing was started and there is one error.
#[track_caller]
pub fn assert_safe_or_refused(what: &str, output: &Output, expected: &str) {
    if output.code == 0 {
        assert_eq!(
            (output.stdout.trim_end(), output.stderr.as_str()),
            (expected, ""),
            "{what}: a start that went well behaves as any other"
        );
        return;
    }
    assert_refused(what, output);
}

/// Fails unless nothing was started and there is one error of ours.
#[track_caller]
pub fn assert_refused(what: &str, output: &Output) {
    assert!(
        (125..=127).contains(&output.code) && !output.signaled,
        "{what}: an error of ours, please: {output:#?}"
    );
    assert_eq!(
        output.stdout, "",
        "{what}: nothing runs after an error: {output:#?}"
    );
    let errors = output
        .stderr
        .lines()
        .filter(|line| line.starts_with("nsrun: ") && !line.starts_with("nsrun: also: "));
    assert_eq!(
        errors.count(),
        1,
        "{what}: one error, please: {}",
        output.stderr
    );
}

/// What an image can have in the place of a file or directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// A link with an absolute target on the host.
    AbsoluteLink,
    /// A link that climbs out by `..`.
    ClimbingLink,
    /// A link through `/proc/self/root`.
    MagicLink,
    /// A link to an open descriptor of the process that looks.
    DescriptorLink,
    /// A link to a file of the host.
    FileLink,
    /// A link to itself.
    Loop,
    /// A fifo without a writer.
    Fifo,
    /// A regular file.
    File,
}

impl Shape {
    /// All of them.
    pub const ALL: [Shape; 8] = [
        Shape::AbsoluteLink,
        Shape::ClimbingLink,
        Shape::MagicLink,
        Shape::DescriptorLink,
        Shape::FileLink,
        Shape::Loop,
        Shape::Fifo,
        Shape::File,
    ];

    /// Puts it into the image in the place of what is there.
    pub fn put(self, attack: &Attack<'_>, place: &str) {
        let path = attack.in_image(place);
        let is_directory = fs::symlink_metadata(&path).is_ok_and(|found| found.is_dir());
        if is_directory {
            clear(&path);
            fs::remove_dir(&path).expect("rmdir");
        } else {
            // Most places are not there yet.
            let _missing = fs::remove_file(&path);
        }
        let canary = attack.canary();
        let link = |target: &OsStr| symlink(target, &path).expect("symlink");
        let below_root = canary.strip_prefix("/").expect("absolute").as_os_str();
        let prefixed = |prefix: &str| [prefix.as_bytes(), below_root.as_bytes()].concat();
        match self {
            Shape::AbsoluteLink => link(canary.as_os_str()),
            Shape::ClimbingLink => link(OsStr::from_bytes(&prefixed(&"../".repeat(24)))),
            Shape::MagicLink => link(OsStr::from_bytes(&prefixed("/proc/self/root/"))),
            Shape::DescriptorLink => link(OsStr::new("/proc/self/fd/5")),
            Shape::FileLink => link(canary.join("file").as_os_str()),
            Shape::Loop => link(path.file_name().expect("a name")),
            Shape::Fifo => {
                nix::unistd::mkfifo(&path, Mode::from_bits_truncate(0o666)).expect("mkfifo")
            }
            Shape::File => fs::write(&path, "a file").expect("write"),
        }
    }
}

/// Empties a directory of the image that holds files and links only.
fn clear(directory: &Path) {
    for entry in fs::read_dir(directory).expect("readdir") {
        fs::remove_file(entry.expect("readdir").path()).expect("unlink");
    }
}

/// A neighbour that exchanges two names as fast as it can, until it is dropped.
#[derive(Debug)]
pub struct Exchanger {
    stop: Arc<AtomicBool>,
    rounds: Arc<AtomicU64>,
    thread: Option<JoinHandle<()>>,
}

impl Exchanger {
    /// Begins; both names must exist.
    #[must_use]
    pub fn start(one: PathBuf, other: PathBuf) -> Exchanger {
        let (stop, rounds) = (
            Arc::new(AtomicBool::new(false)),
            Arc::new(AtomicU64::new(0)),
        );
        let (stopped, counted) = (Arc::clone(&stop), Arc::clone(&rounds));
        let thread = std::thread::spawn(move || {
            while !stopped.load(Ordering::Relaxed) {
                let flags = RenameFlags::RENAME_EXCHANGE;
                renameat2(AT_FDCWD, &one, AT_FDCWD, &other, flags).expect("renameat2");
                counted.fetch_add(1, Ordering::Relaxed);
            }
        });
        Exchanger {
            stop,
            rounds,
            thread: Some(thread),
        }
    }

    /// How often it has exchanged.
    #[must_use]
    pub fn rounds(&self) -> u64 {
        self.rounds.load(Ordering::Relaxed)
    }
}

impl Drop for Exchanger {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        let ended = self.thread.take().map(JoinHandle::join);
        if !std::thread::panicking() {
            assert!(
                matches!(ended, Some(Ok(()))),
                "the exchanger ran to its end"
            );
        }
    }
}

/// An empty file that a child of this process inherits, as a careless caller would leak it.
#[must_use]
pub fn leaked_directory(path: &Path) -> std::os::fd::OwnedFd {
    // dup(2) gives a descriptor that stays open over an exec.
    nix::unistd::dup(File::open(path).expect("open")).expect("dup")
}

/// A start that is held right before it enters its root: the stub at work, for as long as this is kept.
#[derive(Debug)]
pub struct HeldStub {
    running: crate::Running,
    pid: i32,
}

/// Long enough to look, short enough to wait for.
const HELD_US: u32 = 6_000_000;

impl HeldStub {
    /// Starts a harmless command under `strace`; `None`, and a loud skip, where that does not work.
    #[must_use]
    pub fn start(test: &Test, config: &Value) -> Option<HeldStub> {
        if !crate::has_strace(test) {
            return None;
        }
        let config = write_json(test.path(), config);
        let running = crate::Invocation::new(Path::new(crate::STRACE))
            .args([
                "-f",
                "-qq",
                "-o",
                "/dev/null",
                "-e",
                "trace=pivot_root",
                "-e",
            ])
            .args([format!("inject=pivot_root:delay_enter={HELD_US}")])
            .args([crate::nsrun_path()])
            .args(["run", "--config"])
            .args([config])
            .args(["--", "/bin/echo", "ran"])
            .spawn();
        let number = if cfg!(target_arch = "x86_64") {
            "155 "
        } else {
            "41 "
        };
        loop {
            // In a joined process namespace it is the second child of its caller that goes on.
            let child = first_child(running.pid()).and_then(last_child);
            let at = child.map(|pid| fs::read_to_string(format!("/proc/{pid}/syscall")));
            if let (Some(pid), Some(Ok(call))) = (child, at)
                && call.starts_with(number)
            {
                return Some(HeldStub { running, pid });
            }
            std::thread::yield_now();
        }
    }

    /// A file of the stub's directory in `/proc`.
    #[must_use]
    pub fn proc(&self, name: &str) -> PathBuf {
        PathBuf::from(format!("/proc/{}/{name}", self.pid))
    }

    /// Lets it go on to its end.
    #[must_use]
    pub fn finish(self) -> Output {
        self.running.wait()
    }
}

fn first_child(pid: i32) -> Option<i32> {
    children(pid).first().copied()
}

fn last_child(pid: i32) -> Option<i32> {
    children(pid).last().copied()
}

/// The children of a process, oldest first.
#[must_use]
pub fn children(pid: i32) -> Vec<i32> {
    let text = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
    text.split_whitespace()
        .filter_map(|word| word.parse().ok())
        .collect()
}
