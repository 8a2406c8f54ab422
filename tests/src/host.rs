//! `nsrun` with a state directory of a test's own, for containers that have an id.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::{Invocation, Output, Test, wait_for_orphans};

/// A state directory; containers that a test has left are removed with it, so that a test that fails leaves none.
#[derive(Debug)]
pub struct Host<'t> {
    test: &'t Test,
    root: PathBuf,
}

impl<'t> Host<'t> {
    /// An empty one in the test's directory, of the user that `nsrun` runs as.
    #[must_use]
    pub fn new(test: &'t Test) -> Self {
        Self::at(test, "state")
    }

    /// The same, with a name for the directory.
    #[must_use]
    pub fn at(test: &'t Test, name: &str) -> Self {
        let root = test.make_dir(name);
        std::fs::set_permissions(&root, std::fs::Permissions::from_mode(0o700)).expect("chmod");
        test.give_away(&root);
        Host { test, root }
    }

    /// Where containers are remembered.
    #[must_use]
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The file with a container's state.
    #[must_use]
    pub fn state_file(&self, id: &str) -> PathBuf {
        self.root.join(id).join("state.json")
    }

    /// `nsrun` with these arguments, not run yet.
    pub fn invocation(&self, arguments: &[&str]) -> Invocation {
        self.under(&[], arguments)
    }

    /// The same, executed by a program.
    pub fn under(&self, wrapper: &[&str], arguments: &[&str]) -> Invocation {
        let root = ["--root", self.root.to_str().expect("UTF-8")];
        self.test
            .nsrun_under(wrapper, root.iter().chain(arguments).copied())
    }

    /// Runs `nsrun` to its end.
    #[must_use]
    pub fn nsrun(&self, arguments: &[&str]) -> Output {
        self.invocation(arguments).run()
    }

    /// Runs a script in a container to its end.
    #[must_use]
    pub fn exec(&self, id: &str, script: &str) -> Output {
        self.nsrun(&["exec", id, "--", "sh", "-c", script])
    }

    /// Runs `nsrun`, which must succeed and say nothing.
    #[track_caller]
    pub fn done(&self, arguments: &[&str]) {
        assert_eq!(self.nsrun(arguments).text(), "", "{arguments:?}");
    }

    /// The containers that there are.
    #[must_use]
    #[track_caller]
    pub fn list(&self) -> Vec<Value> {
        let listed = self.nsrun(&["list", "--json"]);
        serde_json::from_str(listed.text()).expect("a list")
    }

    /// The word for how a container is.
    #[must_use]
    #[track_caller]
    pub fn status(&self, id: &str) -> String {
        let found = self.list().into_iter().find(|one| one["id"] == id);
        let found = found.expect("it is listed");
        found["status"].as_str().expect("a word").to_owned()
    }

    /// Waits until the command has ended, by asking: it is nobody's child that waits.
    #[track_caller]
    pub fn wait_stopped(&self, id: &str) {
        while self.status(id) != "stopped" {
            std::thread::yield_now();
        }
    }

    /// What is in the state directory.
    #[must_use]
    pub fn entries(&self) -> Vec<String> {
        let listing = std::fs::read_dir(&self.root).expect("read the state directory");
        let names = listing.map(|entry| entry.expect("an entry").file_name().display().to_string());
        names.collect()
    }

    /// Removes a container however it is; nothing of it may be left.
    #[track_caller]
    pub fn delete(&self, id: &str, what: &str) {
        let deleted = self.nsrun(&["delete", "--force", id]);
        assert_eq!(deleted.code, 0, "{what}: {deleted:#?}");
        assert_eq!(self.entries(), [""; 0], "{what}");
        wait_for_orphans();
    }
}

impl Drop for Host<'_> {
    fn drop(&mut self) {
        for id in self.entries() {
            let _removed = self.nsrun(&["delete", "--force", &id]);
        }
    }
}
