//! Writing `container.json` in the form of the seed.

use serde::{Serialize, Serializer, ser::SerializeMap};

use super::{
    MASKED_PATHS, READONLY_PATHS,
    write_cgroup::{self, CgroupForm},
    write_mount::{self, MountForm},
    write_network::{self, NetworkForm, RouteForm},
};
use crate::{
    capability::{Capabilities, Capability},
    config::{Config, Process, Propagation, RootEntry, Rootfs, Sysctl},
    error::Error,
    id_map::IdMap,
    namespace::Namespace,
    refusal::{Refusals, document},
    rlimit::Rlimit,
    source::Setting,
};

/// Writes a configuration.
pub(super) fn write(config: &Config) -> Result<String, Error> {
    let mut refusals = Refusals::new(config.source, "container.json");
    let form = config_form(config, &mut refusals);
    refusals.into_result(STEP)?;
    document(&form, STEP)
}

const STEP: &str = "write container.json";

#[derive(Serialize)]
struct ConfigForm<'a> {
    #[serde(skip_serializing_if = "is_default")]
    root_fs: &'a str,
    #[serde(skip_serializing_if = "is_default")]
    hostname: &'a str,
    #[serde(skip_serializing_if = "is_default")]
    domainname: &'a str,
    #[serde(skip_serializing_if = "is_default")]
    user: String,
    #[serde(skip_serializing_if = "is_default")]
    additional_groups: &'a [u32],
    #[serde(skip_serializing_if = "is_default")]
    working_dir: &'a str,
    #[serde(skip_serializing_if = "is_default")]
    environment: Vec<&'a str>,
    #[serde(skip_serializing_if = "is_default")]
    tty: bool,
    #[serde(skip_serializing_if = "is_default")]
    namespaces: Vec<NamespaceForm<'a>>,
    #[serde(skip_serializing_if = "is_default")]
    uid_mappings: Vec<IdMapForm>,
    #[serde(skip_serializing_if = "is_default")]
    gid_mappings: Vec<IdMapForm>,
    #[serde(skip_serializing_if = "is_default")]
    capabilities: Vec<&'static str>,
    #[serde(skip_serializing_if = "is_default")]
    no_new_privileges: bool,
    #[serde(skip_serializing_if = "is_default")]
    networks: Vec<NetworkForm<'a>>,
    #[serde(skip_serializing_if = "is_default")]
    routes: Vec<RouteForm<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cgroups: Option<CgroupForm<'a>>,
    #[serde(skip_serializing_if = "is_default")]
    apparmor_profile: &'a str,
    #[serde(skip_serializing_if = "is_default")]
    process_label: &'a str,
    #[serde(skip_serializing_if = "is_default")]
    restrict_sys: bool,
    #[serde(skip_serializing_if = "is_default")]
    rlimits: Vec<RlimitForm>,
    #[serde(skip_serializing_if = "SysctlForm::is_empty")]
    sysctl: SysctlForm<'a>,
    mount_config: MountForm<'a>,
}

#[derive(PartialEq, Serialize)]
struct NamespaceForm<'a> {
    r#type: &'static str,
    #[serde(skip_serializing_if = "is_default")]
    path: &'a str,
}

#[derive(PartialEq, Serialize)]
struct IdMapForm {
    container_id: u32,
    host_id: u32,
    size: u32,
}

#[derive(PartialEq, Serialize)]
struct RlimitForm {
    r#type: u32,
    hard: u64,
    soft: u64,
}

/// An object in the order of the list.
struct SysctlForm<'a>(&'a [Sysctl]);

impl SysctlForm<'_> {
    fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl Serialize for SysctlForm<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        for setting in self.0 {
            map.serialize_entry(&setting.name, &setting.value)?;
        }
        map.end()
    }
}

fn config_form<'a>(config: &'a Config, refusals: &mut Refusals) -> ConfigForm<'a> {
    let process = &config.process;
    let restrict_sys = restricts_sys(config, refusals);
    refuse_inexpressible(config, refusals);
    ConfigForm {
        root_fs: root_fs(&config.rootfs, refusals),
        hostname: config.hostname.as_deref().unwrap_or_default(),
        domainname: config.domainname.as_deref().unwrap_or_default(),
        user: process.user.to_string(),
        additional_groups: &process.additional_gids,
        working_dir: process.working_dir.as_deref().unwrap_or_default(),
        environment: environment(process, refusals),
        tty: process.terminal,
        namespaces: config
            .namespaces
            .entries
            .iter()
            .map(namespace_form)
            .collect(),
        uid_mappings: config.uid_mappings.iter().map(id_map_form).collect(),
        gid_mappings: config.gid_mappings.iter().map(id_map_form).collect(),
        capabilities: process
            .capabilities
            .bounding
            .iter()
            .map(Capability::short_name)
            .collect(),
        no_new_privileges: process.no_new_privileges,
        networks: write_network::networks(&config.networks, refusals),
        routes: config
            .routes
            .iter()
            .map(write_network::route_form)
            .collect(),
        cgroups: config
            .cgroup
            .as_ref()
            .map(|cgroup| write_cgroup::form(cgroup, refusals)),
        apparmor_profile: process.apparmor_profile.as_deref().unwrap_or_default(),
        process_label: process.selinux_label.as_deref().unwrap_or_default(),
        restrict_sys,
        rlimits: process.rlimits.iter().map(rlimit_form).collect(),
        sysctl: SysctlForm(&config.sysctl),
        mount_config: write_mount::form(config, restrict_sys, refusals),
    }
}

fn refuse_inexpressible(config: &Config, refusals: &mut Refusals) {
    let process = &config.process;
    let kept = Capabilities::kept(process.capabilities.bounding);
    refusals.refuse_if(process.capabilities != kept, Setting::Capabilities);
    refusals.refuse_if(process.oom_score_adj.is_some(), Setting::OomScoreAdj);
    refusals.refuse_if(process.umask.is_some(), Setting::Umask);
    refusals.refuse_if(process.parent_death_signal != 0, Setting::ParentDeathSignal);
    refusals.refuse_if(
        process.deny_terminal_injection,
        Setting::DenyTerminalInjection,
    );
    if !process.new_session {
        refusals.refuse(
            Setting::NewSession,
            "container.json always means a session of its own",
            "give the command one",
        );
    }
    let entered = (config.root_entry, config.rootfs_propagation);
    let expressible = [
        (RootEntry::Pivot, Propagation::Private),
        (RootEntry::Move, Propagation::Slave),
    ];
    refusals.refuse_if(!expressible.contains(&entered), Setting::RootfsPropagation);
    let mut names = config
        .sysctl
        .iter()
        .map(|setting| &setting.name)
        .collect::<Vec<_>>();
    names.sort();
    refusals.refuse_if(
        names.windows(2).any(|pair| pair[0] == pair[1]),
        Setting::Sysctl,
    );
    let empty = [&config.hostname, &config.domainname, &config.mount_label]
        .into_iter()
        .chain([
            &process.working_dir,
            &process.apparmor_profile,
            &process.selinux_label,
        ])
        .any(|text| text.as_deref() == Some(""));
    if empty {
        refusals.refuse(
            Setting::Hostname,
            "an empty text is the same as none in container.json",
            "leave out what is empty",
        );
    }
}

fn root_fs<'a>(rootfs: &'a Rootfs, refusals: &mut Refusals) -> &'a str {
    match rootfs {
        Rootfs::Directory(path) => path,
        Rootfs::Empty { .. } => {
            refusals.refuse(
                Setting::Rootfs,
                "an empty root cannot be written as container.json",
                "name a directory",
            );
            ""
        }
    }
}

fn environment<'a>(process: &'a Process, refusals: &mut Refusals) -> Vec<&'a str> {
    let entries = process.environment.iter().map(|entry| entry.to_str());
    let texts: Vec<&str> = entries.clone().flatten().collect();
    if texts.len() != entries.count() {
        let rule = "has an entry that is not UTF-8";
        refusals.refuse(Setting::Environment, rule, "JSON holds UTF-8 only");
    }
    texts
}

fn restricts_sys(config: &Config, refusals: &mut Refusals) -> bool {
    if config.masked_paths.is_empty() && config.readonly_paths.is_empty() {
        return false;
    }
    refusals.refuse_if(config.masked_paths != MASKED_PATHS, Setting::MaskedPaths);
    refusals.refuse_if(
        config.readonly_paths != READONLY_PATHS,
        Setting::ReadonlyPaths,
    );
    true
}

fn namespace_form(namespace: &Namespace) -> NamespaceForm<'_> {
    NamespaceForm {
        r#type: namespace.kind.name(),
        path: namespace.path.as_deref().unwrap_or_default(),
    }
}

fn id_map_form(map: &IdMap) -> IdMapForm {
    IdMapForm {
        container_id: map.container_id,
        host_id: map.host_id,
        size: map.size,
    }
}

fn rlimit_form(rlimit: &Rlimit) -> RlimitForm {
    RlimitForm {
        r#type: rlimit.resource.number(),
        hard: rlimit.hard,
        soft: rlimit.soft,
    }
}

/// Whether the format leaves the value out.
pub(super) fn is_default<T: DefaultLike>(value: &T) -> bool {
    value.is_zero()
}

/// Values that mean the same as a missing key.
pub(super) trait DefaultLike {
    fn is_zero(&self) -> bool;
}

impl DefaultLike for bool {
    fn is_zero(&self) -> bool {
        !*self
    }
}

impl DefaultLike for u32 {
    fn is_zero(&self) -> bool {
        *self == 0
    }
}

impl DefaultLike for i64 {
    fn is_zero(&self) -> bool {
        *self == 0
    }
}

impl DefaultLike for &str {
    fn is_zero(&self) -> bool {
        self.is_empty()
    }
}

impl DefaultLike for String {
    fn is_zero(&self) -> bool {
        self.is_empty()
    }
}

impl<T> DefaultLike for Vec<T> {
    fn is_zero(&self) -> bool {
        self.is_empty()
    }
}

impl<T> DefaultLike for &[T] {
    fn is_zero(&self) -> bool {
        self.is_empty()
    }
}
