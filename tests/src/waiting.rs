//! A process that does nothing, for others to act upon.

use std::process::{Child, Command, Stdio};

use ns_exec::Target;

/// A process of the test's own, that waits until it is dropped.
#[derive(Debug)]
pub struct Waiting(Child);

impl Waiting {
    /// `sleep`.
    #[must_use]
    pub fn asleep() -> Self {
        Waiting::start(&["sleep", "1000"])
    }

    /// A command that waits.
    #[must_use]
    pub fn start(words: &[&str]) -> Self {
        let mut command = Command::new(words[0]);
        let command = command.args(&words[1..]).stdin(Stdio::null());
        Waiting(command.spawn().expect("it starts"))
    }

    /// Its number.
    #[must_use]
    pub fn pid(&self) -> i32 {
        self.0.id().try_into().expect("a number")
    }

    /// It, as what can be joined or moved.
    #[must_use]
    pub fn target(&self) -> Target {
        let pid = rustix::process::Pid::from_child(&self.0);
        let pidfd = rustix::process::pidfd_open(pid, rustix::process::PidfdFlags::empty());
        Target::from_pidfd(pidfd.expect("it lives")).expect("it lives")
    }

    /// Its control groups, as `/proc/PID/cgroup` tells them.
    #[must_use]
    pub fn groups(&self) -> String {
        std::fs::read_to_string(format!("/proc/{}/cgroup", self.pid())).expect("it lives")
    }

    /// Waits until it executes this program.
    #[track_caller]
    pub fn wait_for(&mut self, program: &str) {
        let comm = format!("/proc/{}/comm", self.pid());
        let name = || std::fs::read_to_string(&comm).expect("it lives");
        while name().trim() != program {
            self.assert_alive();
            std::thread::yield_now();
        }
    }

    /// Nobody has ended it.
    #[track_caller]
    pub fn assert_alive(&mut self) {
        let ended = self.0.try_wait().expect("wait");
        assert_eq!(ended, None, "it was ended");
    }

    /// Ends it.
    pub fn end(&mut self) {
        // It may have ended already.
        let _ended = self.0.kill();
        let _reaped = self.0.wait();
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.end();
    }
}
