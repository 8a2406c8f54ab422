//! `config.json` of the OCI runtime specification: the reader, the writer, and what the format implies.

mod dev;
mod read;
mod read_cgroup;
mod read_mount;
mod write;
mod write_cgroup;
mod write_mount;

use std::ffi::OsString;

use crate::{
    config::Config,
    error::{Error, Kind, Problem, Problems},
    json::Node,
    object,
    source::Source,
};

/// What `config.json` says: the configuration, and what is no part of it.
///
/// # Examples
/// ```
/// use ns_config::{Config, OciConfig};
///
/// let seed = br#"{"user": "0:0", "namespaces": [{"type": "NEWNS"}, {"type": "NEWPID"}]}"#;
/// let oci = OciConfig {
///     config: Config::from_seed(seed)?,
///     arguments: vec!["true".into()],
///     ..OciConfig::default()
/// };
/// let text = oci.to_json()?;
/// let again = OciConfig::from_json(text.as_bytes(), "")?;
/// assert_eq!(again.config.to_seed()?, oci.config.to_seed()?);
/// # Ok::<(), ns_config::Error>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OciConfig {
    /// The container.
    pub config: Config,
    /// `process.args`: the command; empty when there is none.
    pub arguments: Vec<OsString>,
    /// `annotations`, in their order: names and values that say nothing here.
    pub annotations: Vec<(String, String)>,
    /// What was not understood and has to be ignored, see [`OciConfig::from_json`].
    pub ignored: Vec<Problem>,
}

impl OciConfig {
    /// Reads `config.json` of version 1 of the specification, with what the format implies written out.
    ///
    /// `bundle` is the directory that relative host paths (`root.path`, sources of binds) start from, absolute; with
    /// an empty one they stay relative, and the root `.` is the caller's directory.
    ///
    /// The specification forbids a runtime to fail for a property that it does not know, and for a capability that it
    /// does not know. Both are collected in [`ignored`](Self::ignored), with the nearest known name, and
    /// [`strict`](Self::strict) turns them into an error, as every conversion should. A property of the specification
    /// that cannot be applied here is an error in either case, and so is an unknown namespace, resource limit or
    /// propagation.
    ///
    /// What is implied:
    /// * the command leads a session of its own; a new network namespace has its loopback device up;
    /// * with a new mount namespace `/dev` has the default devices and links: the usual mounts in the usual form
    ///   become [`MountKind::DevLayout`](crate::MountKind::DevLayout), else devices and links are added to the lists;
    /// * device rules that do not begin with "deny all" are preceded by "allow all"; without any rule all devices are
    ///   allowed.
    ///
    /// It does not [validate](Config::validate).
    ///
    /// # Errors
    /// Every problem of the document at once, each with its JSON pointer:
    ///
    /// | kind | when |
    /// |---|---|
    /// | [`Kind::Syntax`] | not JSON, or `null` |
    /// | [`Kind::Unsupported`] | a version other than 1, or a property that cannot be applied: hooks, seccomp, idmapped mounts and the like |
    /// | [`Kind::DuplicateKey`] | a key given twice |
    /// | [`Kind::WrongType`] | a value of another JSON type |
    /// | [`Kind::Missing`] | a key that the specification requires |
    /// | [`Kind::InvalidValue`], [`Kind::Conflict`] | a value that is not accepted |
    pub fn from_json(text: &[u8], bundle: &str) -> Result<Self, Error> {
        read::read(text, bundle)
    }

    /// Writes `config.json`, indented by tabs. Without [`arguments`](Self::arguments) the document is one that an
    /// engine has to add `process.args` to.
    ///
    /// # Errors
    /// [`Kind::Unsupported`] for each setting that the format cannot express, with its place and the way out. Only
    /// what says nothing to the kernel is left out: the path, mode and owner in a device rule.
    pub fn to_json(&self) -> Result<String, Error> {
        write::write(self)
    }

    /// Refuses what was ignored.
    ///
    /// # Errors
    /// [`Kind::UnknownKey`] for each unknown key, [`Kind::InvalidValue`] for each unknown capability.
    pub fn strict(self) -> Result<Self, Error> {
        match Error::from_problems(
            "read config.json",
            Problems::from_list(self.ignored.clone()),
        ) {
            Some(error) => Err(error),
            None => Ok(self),
        }
    }

    /// Writes the configuration as `container.json`, which has neither a command nor annotations.
    ///
    /// # Errors
    /// [`Kind::Unsupported`] for each setting that the format cannot express, a command and annotations among them.
    pub fn to_seed(&self) -> Result<String, Error> {
        let mut problems = Problems::none();
        let mut refuse = |pointer: &str, rule: &str, hint: &str| {
            problems.push(Problem::bare(Kind::Unsupported, pointer, rule).hint(hint));
        };
        if !self.arguments.is_empty() {
            let way_out =
                "leave it out (nsrun config --without-args), and name the command at the start";
            refuse("/process/args", "container.json holds no command", way_out);
        }
        for (name, _) in &self.annotations {
            let pointer = object::child("/annotations", name);
            refuse(
                &pointer,
                "container.json holds no annotations",
                "leave it out",
            );
        }
        let written = self.config.to_seed();
        if let Err(error) = &written {
            error
                .problems()
                .cloned()
                .for_each(|problem| problems.push(problem));
        }
        match Error::from_problems("write container.json", problems) {
            Some(error) => Err(error),
            None => written,
        }
    }
}

impl Source {
    /// Whether a document is `config.json`, which must have an `ociVersion`, or else `container.json`.
    ///
    /// A document that is no JSON object counts as `container.json`; its reader tells what is wrong.
    ///
    /// # Examples
    /// ```
    /// use ns_config::Source;
    ///
    /// assert_eq!(Source::of_document(br#"{"ociVersion": "1.0.2"}"#), Source::Oci);
    /// assert_eq!(Source::of_document(br#"{"root_fs": "/srv"}"#), Source::Seed);
    /// ```
    pub fn of_document(text: &[u8]) -> Source {
        match object::document("read configuration", text) {
            Ok(Node::Object(members)) if members.iter().any(|(key, _)| key == "ociVersion") => {
                Source::Oci
            }
            _ => Source::Seed,
        }
    }
}
