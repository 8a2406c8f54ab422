//! What is remembered about a container while it lives.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{
    config::Config,
    error::{Error, Kind, Problem},
    namespace::NamespaceKind,
};

/// The seed's `state.json`: what `nsinit` wrote beside `container.json`, and nothing more.
///
/// It is good for showing, and for programs that read the old file; it does not say enough to join
/// a container safely. [`ContainerState`] does.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct State {
    /// Process id of the command, on the host.
    pub init_pid: i32,
    /// When that process started: clock ticks since boot, as text (field 22 of `/proc/PID/stat`).
    pub init_start_time: String,
    /// The interfaces that were made.
    #[serde(default)]
    pub network_state: NetworkState,
    /// Directory of the control group, by controller.
    #[serde(default)]
    pub cgroup_paths: BTreeMap<String, String>,
}

/// Names of the one interface pair that the seed remembered.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NetworkState {
    /// On the host.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub veth_host: String,
    /// In the container, before it was renamed.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub veth_child: String,
    /// Network namespace that was joined; written until December 2014.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub ns_path: String,
}

/// Everything that tells this container from any other that may have its process id one day.
///
/// Written with mode 0600 below a directory that only the caller can write, never inside a root
/// file system.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ContainerState {
    /// Version of this form, [`ContainerState::SCHEMA_VERSION`] when written by this program.
    pub schema_version: u32,
    /// Name of the container: letters, digits, `_`, `-`, `.` and `+`, 1 to 255 bytes, not beginning
    /// with `.`.
    pub id: String,
    /// `/proc/sys/kernel/random/boot_id`; after another boot nothing of the container is left.
    pub boot_id: String,
    /// Process id of the command, on the host; while creating, of the process that is to become it, or, before there
    /// is one, of the one that creates.
    pub init_pid: u32,
    /// When that process started, in clock ticks since boot; 0 while there is none.
    pub init_start_ticks: u64,
    /// Inode number of each namespace that the command is in, by OCI name; empty while creating.
    pub namespace_inodes: BTreeMap<String, u64>,
    /// Directory of the control group, by controller; `""` is the cgroup v2 hierarchy.
    #[serde(default)]
    pub cgroup_paths: BTreeMap<String, String>,
    /// Which directories of the group, and above it, were made for it, top first; no other is ever removed.
    #[serde(default)]
    pub made_cgroup_paths: Vec<String>,
    /// Host ends of the interfaces that were made.
    #[serde(default)]
    pub host_interfaces: Vec<String>,
    /// Where the container is in its life.
    pub phase: Phase,
    /// The command and its arguments.
    #[serde(default)]
    pub command: Vec<std::ffi::OsString>,
    /// The configuration that it was started with. Its form is this program's own and belongs to
    /// the schema version; to exchange configurations there is [`Config::to_seed`].
    pub config: Config,
}

/// Where a container is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Phase {
    /// Being set up.
    Creating,
    /// Set up for a command that waits for its start, or has been started since: which, the process itself tells.
    Created,
    /// The command runs.
    Running,
    /// The command has ended.
    Stopped,
}

impl State {
    /// Reads `state.json`.
    ///
    /// # Errors
    /// [`Kind::Syntax`] when it is not JSON or not of this form, with line and column.
    pub fn from_json(text: &[u8]) -> Result<Self, Error> {
        serde_json::from_slice(text).map_err(|error| syntax("read state.json", &error))
    }

    /// Writes `state.json`: one line with its end.
    pub fn to_json(&self) -> String {
        line(self)
    }

    /// The start time as a number; `None` when the text is not one.
    pub fn init_start_ticks(&self) -> Option<u64> {
        let digits = self
            .init_start_time
            .bytes()
            .all(|byte| byte.is_ascii_digit());
        self.init_start_time.parse().ok().filter(|_| digits)
    }
}

impl ContainerState {
    /// The version that this program writes, and the only one that it reads.
    pub const SCHEMA_VERSION: u32 = 1;

    /// Reads a state file.
    ///
    /// # Errors
    /// | kind | when |
    /// |---|---|
    /// | [`Kind::Syntax`] | not JSON, cut off, or not of this form |
    /// | [`Kind::Unsupported`] | written by a program of another schema version |
    /// | [`Kind::InvalidValue`] | an id, process id or namespace name that cannot be |
    pub fn from_json(text: &[u8]) -> Result<Self, Error> {
        /// What every version has.
        #[derive(Deserialize)]
        struct Version {
            schema_version: u32,
        }
        let version: Version =
            serde_json::from_slice(text).map_err(|error| syntax(STEP, &error))?;
        if version.schema_version != Self::SCHEMA_VERSION {
            let rule = "is the form of another version of this program";
            let problem = Problem::new(
                Kind::Unsupported,
                "/schema_version",
                version.schema_version,
                rule,
            );
            return Err(Error::new(
                STEP,
                problem.accepted(Self::SCHEMA_VERSION.to_string()),
            ));
        }
        let state: ContainerState =
            serde_json::from_slice(text).map_err(|error| syntax(STEP, &error))?;
        state.check()?;
        Ok(state)
    }

    /// Writes a state file: one line with its end.
    pub fn to_json(&self) -> String {
        line(self)
    }

    /// The inode number of the namespace of this kind.
    pub fn namespace_inode(&self, kind: NamespaceKind) -> Option<u64> {
        self.namespace_inodes.get(kind.oci_name()).copied()
    }

    /// The form of the seed, for programs that read the old file.
    pub fn to_seed(&self) -> State {
        let veth_host = self.host_interfaces.first().cloned().unwrap_or_default();
        State {
            init_pid: i32::try_from(self.init_pid).unwrap_or(0),
            init_start_time: self.init_start_ticks.to_string(),
            network_state: NetworkState {
                veth_host,
                ..NetworkState::default()
            },
            cgroup_paths: self.cgroup_paths.clone(),
        }
    }

    fn check(&self) -> Result<(), Error> {
        check_container_id(&self.id)?;
        let wrong = |pointer: &str, value: &dyn std::fmt::Debug, rule| {
            Err(Error::new(
                STEP,
                Problem::new(Kind::InvalidValue, pointer, value, rule),
            ))
        };
        // 0 and numbers above the kernel's limit would signal groups of processes.
        if self.init_pid == 0 || self.init_pid > MAX_PID {
            return wrong("/init_pid", &self.init_pid, "is not a process id");
        }
        let unknown = |name: &&String| NamespaceKind::from_oci_name(name).is_none();
        match self.namespace_inodes.keys().find(unknown) {
            Some(name) => wrong("/namespace_inodes", name, "is not a namespace"),
            None => Ok(()),
        }
    }
}

/// Checks the name of a container, which becomes the name of a directory.
///
/// # Errors
/// [`Kind::InvalidValue`] unless it is 1 to 255 letters, digits, `_`, `-`, `.` and `+`, not
/// beginning with `.`.
pub fn check_container_id(id: &str) -> Result<(), Error> {
    let ordinary = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.' | '+');
    if (1..=255).contains(&id.len()) && id.chars().all(ordinary) && !id.starts_with('.') {
        return Ok(());
    }
    let problem = Problem::new(Kind::InvalidValue, "/id", id, "is not a container id");
    let accepted = "1 to 255 letters, digits, '_', '-', '.' and '+', not beginning with '.'";
    Err(Error::new("check container id", problem.accepted(accepted)))
}

fn syntax(step: &'static str, error: &serde_json::Error) -> Error {
    Error::new(step, Problem::bare(Kind::Syntax, "", &error.to_string()))
}

fn line<T: Serialize>(value: &T) -> String {
    let text = serde_json::to_string(value);
    let mut text = text.expect("structs of numbers, texts and maps with text keys serialize");
    text.push('\n');
    text
}

const STEP: &str = "read container state";
/// `PID_MAX_LIMIT`.
const MAX_PID: u32 = 1 << 22;

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> ContainerState {
        ContainerState {
            schema_version: ContainerState::SCHEMA_VERSION,
            id: "box-1".to_owned(),
            boot_id: "6f1c7e0a-0000-4000-8000-000000000000".to_owned(),
            init_pid: 42,
            init_start_ticks: 123_456,
            namespace_inodes: [("pid".to_owned(), 4_026_531_836)].into(),
            cgroup_paths: [("memory".to_owned(), "/sys/fs/cgroup/memory/box".to_owned())].into(),
            made_cgroup_paths: vec!["/sys/fs/cgroup/memory/box".to_owned()],
            host_interfaces: vec!["veth1234567".to_owned()],
            phase: Phase::Running,
            command: vec!["sleep".into(), "60".into()],
            config: Config::default(),
        }
    }

    #[test]
    fn seed_state_is_written_in_the_seeds_form() {
        assert_eq!(
            sample().to_seed().to_json(),
            "{\"init_pid\":42,\"init_start_time\":\"123456\",\"network_state\":\
             {\"veth_host\":\"veth1234567\"},\"cgroup_paths\":\
             {\"memory\":\"/sys/fs/cgroup/memory/box\"}}\n"
        );
    }

    #[test]
    fn seed_state_that_is_read_is_the_one_that_was_written() {
        let state = sample().to_seed();
        assert_eq!(State::from_json(state.to_json().as_bytes()).unwrap(), state);
        assert_eq!(state.init_start_ticks(), Some(123_456));
        assert!(State::from_json(b"{\"init_pid\": 1}").is_err());
        assert!(State::from_json(b"null").is_err());
    }

    #[test]
    fn container_state_that_is_read_is_the_one_that_was_written() {
        let state = sample();
        assert_eq!(
            ContainerState::from_json(state.to_json().as_bytes()).unwrap(),
            state
        );
        assert_eq!(
            state.namespace_inode(NamespaceKind::Pid),
            Some(4_026_531_836)
        );
    }

    #[test]
    fn container_state_cut_off_anywhere_is_refused() {
        let text = sample().to_json();
        for end in 0..text.len() - 1 {
            let error = ContainerState::from_json(&text.as_bytes()[..end]).unwrap_err();
            assert_eq!(error.kind(), Kind::Syntax, "cut at {end}");
        }
    }

    #[test]
    fn container_state_from_the_future_is_told_apart() {
        let error = ContainerState::from_json(b"{\"schema_version\": 2, \"new\": 1}").unwrap_err();
        assert_eq!(error.kind(), Kind::Unsupported);
        assert_eq!(error.pointer(), "/schema_version");
    }

    #[test]
    fn container_state_with_values_that_cannot_be_is_refused() {
        for state in [
            ContainerState {
                id: "../x".to_owned(),
                ..sample()
            },
            ContainerState {
                init_pid: 0,
                ..sample()
            },
            ContainerState {
                init_pid: u32::MAX,
                ..sample()
            },
            ContainerState {
                namespace_inodes: [("net".to_owned(), 1)].into(),
                ..sample()
            },
        ] {
            let error = ContainerState::from_json(state.to_json().as_bytes()).unwrap_err();
            assert_eq!(error.kind(), Kind::InvalidValue, "{state:?}");
        }
    }

    #[test]
    fn container_id_that_is_not_a_plain_name_is_refused() {
        for id in [
            "",
            ".",
            "..",
            ".x",
            "a/b",
            "a b",
            "ä",
            "a\n",
            &"a".repeat(256),
        ] {
            assert!(check_container_id(id).is_err(), "{id:?}");
        }
        assert!(check_container_id("a.b_c-1+2").is_ok());
    }
}
