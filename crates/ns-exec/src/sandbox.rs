//! A container out of this host's own files, with safe defaults.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};

use ns_config::{
    Capabilities, CapabilitySet, Config, IdMap, MASKED_PATHS, Mount, MountAttributes, MountKind,
    MountOptions, NamespaceKind, Process, READONLY_PATHS, Rlimit, Rootfs, Source, UserSpec,
};

use crate::error::{Error, Kind, Result, Stage};

/// Describes a sandbox; [`config`](Self::config) turns it into a configuration.
///
/// By default the command sees the host's `/usr`, `/bin`, `/lib*` and `/etc` read-only, without the files that hold
/// secrets of the host; a private `/proc`, `/dev`, `/tmp`, `/run`, `/var/tmp` and home directory; namespaces of its
/// own of every kind but time; no capability, no way to gain one, no device, no environment but a few harmless
/// variables. Without root it runs in a user namespace under the caller's own id.
///
/// # Examples
/// ```no_run
/// // no_run: it takes root or user namespaces.
/// let sandbox = ns_exec::Sandbox::default();
/// let config = sandbox.config()?;
/// let process = ns_exec::Start::new(&config, ["id"]).prepare()?.start()?;
/// assert_eq!(process.wait()?.code(), 0);
/// # Ok::<(), ns_exec::Error>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct Sandbox {
    /// A directory that becomes `/` instead of the host's files.
    pub rootfs: Option<String>,
    /// Whether that directory can be written.
    pub writable_rootfs: bool,
    /// Mounts on top of the defaults, in order.
    pub mounts: Vec<Mount>,
    /// Whether the host's network is shared.
    pub share_network: bool,
    /// Whether there is a user namespace also for root.
    pub user_namespace: bool,
    /// Variables, `NAME=value`; they win over the inherited ones.
    pub environment: Vec<OsString>,
    /// Whether not even the harmless variables are inherited.
    pub clear_environment: bool,
    /// Working directory inside; the home directory by default.
    pub working_dir: Option<String>,
    /// Who the command runs as; the caller's ids by default.
    pub user: Option<UserSpec>,
    /// Host name inside; `sandbox` by default.
    pub hostname: Option<String>,
    /// Capabilities the command keeps; [`CapabilitySet::ALL`] stands for all that the caller can give.
    pub capabilities: CapabilitySet,
    /// Resource limits.
    pub rlimits: Vec<Rlimit>,
    /// Whether the command leads a session of its own.
    pub new_session: bool,
    /// Whether the command is killed when the thread that starts it ends.
    pub die_with_parent: bool,
    /// Whether the command gets a terminal of its own.
    pub terminal: bool,
}

/// Inherited when set: they say how to show things and where programs are, and hold no secrets.
const INHERITED: [&str; 8] = [
    "PATH",
    "TERM",
    "COLORTERM",
    "LANG",
    "LANGUAGE",
    "TZ",
    "NO_COLOR",
    "LC_ALL",
];
const DEFAULT_PATH: &str = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
/// Host files that a program needs to run at all.
const HOST_DIRECTORIES: [&str; 8] = [
    "/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32", "/etc",
];
/// Host files below those directories that tell secrets to a caller who is root.
const HOST_SECRETS: [&str; 10] = [
    "/etc/shadow",
    "/etc/shadow-",
    "/etc/gshadow",
    "/etc/gshadow-",
    "/etc/security/opasswd",
    "/etc/sudoers",
    "/etc/sudoers.d",
    "/etc/ssh",
    "/etc/ssl/private",
    "/etc/krb5.keytab",
];

impl Sandbox {
    /// The configuration; it looks at the host's directories and at the caller's ids.
    ///
    /// # Errors
    /// | kind | when |
    /// |---|---|
    /// | `InvalidValue` | a link of the host's root is not UTF-8 |
    pub fn config(&self) -> Result<Config> {
        let mut config = Config {
            source: Source::Flags,
            ..Config::default()
        };
        let caller = Caller::now();
        let in_user_namespace = self.user_namespace || !caller.is_root();
        self.namespaces(in_user_namespace, &mut config);
        let asked = self.user.clone().unwrap_or_else(|| caller.spec());
        let ids = match asked.has_names() {
            true => named_user(&asked, self.rootfs.as_deref())?,
            false => asked.clone(),
        };
        let given = match in_user_namespace {
            // The caller has all of them there.
            true => self.capabilities,
            false if self.capabilities == CapabilitySet::ALL => {
                CapabilitySet::from_bits_known(crate::ids::effective_capabilities()?)
            }
            false => self.capabilities,
        };
        self.process(asked, given, &mut config);
        if in_user_namespace {
            map_ids(&ids, &caller, &mut config);
        }
        self.files(&ids, &mut config)?;
        config.mounts.extend(self.mounts.iter().cloned());
        Ok(config)
    }

    fn namespaces(&self, in_user_namespace: bool, config: &mut Config) {
        let kinds = [
            (NamespaceKind::User, in_user_namespace),
            (NamespaceKind::Mount, true),
            (NamespaceKind::Pid, true),
            (NamespaceKind::Ipc, true),
            (NamespaceKind::Uts, true),
            (NamespaceKind::Cgroup, true),
            (NamespaceKind::Network, !self.share_network),
        ];
        for (kind, _) in kinds.into_iter().filter(|(_, wanted)| *wanted) {
            config.namespaces.add(kind, None, "");
        }
        config.hostname = Some(
            self.hostname
                .clone()
                .unwrap_or_else(|| "sandbox".to_owned()),
        );
    }

    fn process(&self, user: UserSpec, capabilities: CapabilitySet, config: &mut Config) {
        let process = &mut config.process;
        process.user = user;
        process.capabilities = Capabilities::kept(capabilities);
        if process.user.uid() != Some(0) {
            // An ordinary program of an ordinary user keeps its capabilities only as ambient ones.
            process.capabilities.inheritable = capabilities;
            process.capabilities.ambient = capabilities;
        }
        process.rlimits = self.rlimits.clone();
        process.no_new_privileges = true;
        process.deny_terminal_injection = true;
        process.terminal = self.terminal;
        process.new_session = self.new_session;
        process.parent_death_signal = if self.die_with_parent {
            libc::SIGKILL
        } else {
            0
        };
        process.working_dir = self.working_dir.clone().or_else(|| match self.rootfs {
            Some(_) => None,
            None => Some(HOME.to_owned()),
        });
        let mut environment = vec![DEFAULT_PATH.into()];
        if self.rootfs.is_none() {
            environment.push(joined("HOME", OsStr::new(HOME)));
        }
        if !self.clear_environment {
            for name in INHERITED {
                environment.extend(std::env::var_os(name).map(|value| joined(name, &value)));
            }
        }
        environment.extend(self.environment.iter().cloned());
        process.environment = environment;
    }

    fn files(&self, user: &UserSpec, config: &mut Config) -> Result<()> {
        config.masked_paths = MASKED_PATHS.iter().map(|path| (*path).to_owned()).collect();
        config.readonly_paths = READONLY_PATHS
            .iter()
            .map(|path| (*path).to_owned())
            .collect();
        match &self.rootfs {
            Some(directory) => {
                config.rootfs = Rootfs::Directory(directory.clone());
                config.readonly_rootfs = !self.writable_rootfs;
            }
            None => {
                config.rootfs = Rootfs::Empty { size_bytes: None };
                config.readonly_rootfs = true;
                for directory in HOST_DIRECTORIES {
                    config.mounts.extend(host_directory(directory)?);
                }
                let secrets = HOST_SECRETS.iter().map(|path| (*path).to_owned());
                config.masked_paths.extend(secrets);
            }
        }
        config.mounts.extend(self.private_mounts(user));
        Ok(())
    }

    fn private_mounts(&self, user: &UserSpec) -> Vec<Mount> {
        let plain = MountAttributes {
            no_suid: true,
            no_dev: true,
            ..MountAttributes::default()
        };
        let closed = MountAttributes {
            no_exec: true,
            ..plain
        };
        let none = MountAttributes::default();
        let mut mounts = vec![
            mount("/proc", filesystem("proc"), closed, &[]),
            mount("/dev", MountKind::DevLayout, none, &[]),
            mount("/tmp", filesystem("tmpfs"), plain, &[("mode", "1777")]),
        ];
        if self.rootfs.is_none() {
            mounts.push(mount(
                "/var/tmp",
                filesystem("tmpfs"),
                plain,
                &[("mode", "1777")],
            ));
            mounts.push(mount(
                "/run",
                filesystem("tmpfs"),
                plain,
                &[("mode", "755")],
            ));
            mounts.push(home(user, plain));
        }
        mounts
    }
}

/// The caller's ids.
struct Caller {
    uid: u32,
    gid: u32,
}

impl Caller {
    fn now() -> Self {
        Caller {
            uid: nix::unistd::geteuid().as_raw(),
            gid: nix::unistd::getegid().as_raw(),
        }
    }

    fn is_root(&self) -> bool {
        self.uid == 0
    }

    fn spec(&self) -> UserSpec {
        UserSpec::from_ids(self.uid, self.gid).unwrap_or_default()
    }
}

/// One id each, which takes no rights: the wanted one inside, the caller's outside.
fn map_ids(user: &UserSpec, caller: &Caller, config: &mut Config) {
    let uid = user.uid().unwrap_or(caller.uid);
    let gid = user.gid().or(user.uid()).unwrap_or(caller.gid);
    let map = |container_id, host_id| {
        vec![IdMap {
            container_id,
            host_id,
            size: 1,
        }]
    };
    config.uid_mappings = map(uid, caller.uid);
    config.gid_mappings = map(gid, caller.gid);
    if let Ok(spec) = UserSpec::from_ids(uid, gid) {
        config.process.user = spec;
    }
}

/// The ids of a user by name: of the root file system, or of the host, whose `/etc` the sandbox shows.
fn named_user(user: &UserSpec, rootfs: Option<&str>) -> Result<UserSpec> {
    let config = Config {
        source: Source::Flags,
        process: Process {
            user: user.clone(),
            ..Process::default()
        },
        ..Config::default()
    };
    let read = |path: &str| crate::user::read_below(rootfs.unwrap_or("/"), path);
    let found = crate::user::resolve_in(&config, read)?;
    let spec = UserSpec::from_ids(found.uid, found.gid);
    spec.map_err(|error| Error::new(Kind::InvalidValue, Stage::Configuration, error.to_string()))
}

/// The home directory inside, whoever the user is.
const HOME: &str = "/home/sandbox";

/// A private home directory that belongs to the user, when the user is known by number.
fn home(user: &UserSpec, attributes: MountAttributes) -> Mount {
    let owner = [("uid", user.uid()), ("gid", user.gid().or(user.uid()))];
    let mut home = mount(HOME, filesystem("tmpfs"), attributes, &[("mode", "700")]);
    let owner = owner
        .into_iter()
        .filter_map(|(key, id)| Some((key.to_owned(), Some(id?.to_string()))));
    home.options.data.extend(owner);
    home
}

/// The host's directory read-only; a link stays the link that it is.
fn host_directory(path: &str) -> Result<Option<Mount>> {
    let Ok(metadata) = fs::symlink_metadata(path) else {
        return Ok(None);
    };
    if metadata.is_symlink() {
        let target = fs::read_link(path).map_err(|error| {
            Error::from_io(Stage::Configuration, &format!("readlink({path:?})"), &error)
        })?;
        let target = target.into_os_string().into_string().map_err(|target| {
            let message = format!("the host's {path:?} leads to {target:?}, which is not UTF-8");
            Error::new(Kind::InvalidValue, Stage::Configuration, message)
        })?;
        return Ok(Some(mount(
            path,
            MountKind::Symlink { target },
            MountAttributes::default(),
            &[],
        )));
    }
    let kind = MountKind::Bind {
        source: path.to_owned(),
        recursive: true,
        optional: false,
    };
    let mut bind = mount(path, kind, MountAttributes::default(), &[]);
    bind.options.set_recursive = MountAttributes {
        read_only: true,
        no_suid: true,
        no_dev: true,
        ..MountAttributes::default()
    };
    Ok(Some(bind))
}

fn filesystem(fstype: &str) -> MountKind {
    MountKind::Filesystem {
        fstype: fstype.to_owned(),
        source: fstype.to_owned(),
    }
}

fn mount(destination: &str, kind: MountKind, set: MountAttributes, data: &[(&str, &str)]) -> Mount {
    let data = data
        .iter()
        .map(|(key, value)| ((*key).to_owned(), Some((*value).to_owned())))
        .collect();
    Mount {
        destination: destination.to_owned(),
        kind,
        options: MountOptions {
            set,
            data,
            ..MountOptions::default()
        },
        pointer: format!("the sandbox's own {destination}"),
    }
}

fn joined(name: &str, value: &OsStr) -> OsString {
    OsString::from_vec([name.as_bytes(), b"=", value.as_bytes()].concat())
}
