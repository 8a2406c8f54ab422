//! Writing `config.json`.

use super::{OciConfig, write_cgroup, write_mount};
use crate::{
    capability::{Capability, CapabilitySet},
    cgroup::CgroupConfig,
    config::{Config, Process, Propagation, RootEntry, Rootfs},
    device::Device,
    error::Error,
    id_map::IdMap,
    json::Node,
    namespace::NamespaceKind,
    network::NetworkKind,
    refusal::{Refusals, document},
    source::Setting,
};

const STEP: &str = "write config.json";
/// What most of it needs, and what old engines take.
const VERSION: &str = "1.0.2";
/// What has the rest.
const NEWER_VERSION: &str = "1.2.0";

pub(super) fn write(oci: &OciConfig) -> Result<String, Error> {
    let config = &oci.config;
    let mut refusals = Refusals::new(config.source, "config.json");
    refuse_inexpressible(config, &mut refusals);
    let annotations = oci.annotations.iter();
    let annotations = annotations.map(|(name, value)| (name.as_str(), value.as_str().into()));
    let node = Node::object([
        ("ociVersion", version(config).into()),
        ("process", process(oci, &mut refusals)),
        ("root", root(config, &mut refusals)),
        ("hostname", config.hostname.as_deref().into()),
        ("domainname", config.domainname.as_deref().into()),
        (
            "mounts",
            write_mount::mounts(config, &mut refusals).or_null_when_empty(),
        ),
        ("linux", linux(config, &mut refusals)),
        (
            "annotations",
            Node::object(annotations).or_null_when_empty(),
        ),
    ]);
    refusals.into_result(STEP)?;
    document(&node, STEP)
}

/// Domain names, time namespaces, attributes of whole trees, and two settings of the processor came later.
fn version(config: &Config) -> &'static str {
    let mut options = config.mounts.iter().map(|mount| &mount.options);
    let has_recursive = options.any(|options| {
        !options.set_recursive.is_empty()
            || !options.clear_recursive.is_empty()
            || options.atime_recursive.is_some()
    });
    let cpu = config.cgroup.as_ref().map(|cgroup| &cgroup.cpu);
    let has_newer = config.domainname.is_some()
        || config.namespaces.contains(NamespaceKind::Time)
        || has_recursive
        || cpu.is_some_and(|cpu| cpu.burst_us.is_some() || cpu.idle.is_some());
    if has_newer { NEWER_VERSION } else { VERSION }
}

fn refuse_inexpressible(config: &Config, refusals: &mut Refusals) {
    let process = &config.process;
    if config.root_entry != RootEntry::Pivot {
        let rule = "config.json does not say how the root is entered";
        let way_out = "remove it; engines have an option for it, such as --no-pivot";
        refusals.refuse(Setting::RootEntry, rule, way_out);
    }
    if !process.new_session {
        let rule = "config.json always means a session of its own";
        refusals.refuse(Setting::NewSession, rule, "give the command one");
    }
    if process.parent_death_signal != 0 {
        let rule = "config.json cannot have the command end with its starter";
        refusals.refuse(Setting::ParentDeathSignal, rule, "remove it");
    }
    if process.deny_terminal_injection {
        let rule = "filters of system calls are not written";
        refusals.refuse(
            Setting::DenyTerminalInjection,
            rule,
            "add the filter by hand",
        );
    }
    for network in &config.networks {
        let own = config.namespaces.creates(NamespaceKind::Network);
        if network.kind != NetworkKind::Loopback || !own {
            let rule =
                "config.json has no interfaces but the loopback device of a new network namespace";
            let way_out = "make the interfaces beforehand, and name their namespace by its path";
            refusals.refuse_item((&network.pointer, Setting::Networks), rule, way_out);
        }
    }
    for route in &config.routes {
        let way_out = "make the routes beforehand, and name their namespace by its path";
        let item = (route.pointer.as_str(), Setting::Routes);
        refusals.refuse_item(item, "config.json has no routes", way_out);
    }
    for (text, setting) in [
        (&config.hostname, Setting::Hostname),
        (&config.domainname, Setting::Domainname),
        (&config.mount_label, Setting::MountLabel),
        (&process.working_dir, Setting::WorkingDir),
        (&process.apparmor_profile, Setting::ApparmorProfile),
        (&process.selinux_label, Setting::SelinuxLabel),
    ] {
        if text.as_deref() == Some("") {
            let rule = "an empty text is the same as none in config.json";
            refusals.refuse(setting, rule, "leave it out");
        }
    }
}

fn root(config: &Config, refusals: &mut Refusals) -> Node {
    let path = match &config.rootfs {
        // The directory that one stands in, which is the bundle's when the file is put there.
        Rootfs::Directory(path) if path.is_empty() => ".",
        Rootfs::Directory(path) => path,
        Rootfs::Empty { .. } => {
            let rule = "an empty root cannot be written as config.json";
            refusals.refuse(Setting::Rootfs, rule, "name a directory");
            ""
        }
    };
    Node::object([
        ("path", path.into()),
        ("readonly", config.readonly_rootfs.into()),
    ])
}

fn process(oci: &OciConfig, refusals: &mut Refusals) -> Node {
    let process = &oci.config.process;
    let mut words = |list: &[std::ffi::OsString], setting| {
        let texts: Vec<&str> = list.iter().filter_map(|word| word.to_str()).collect();
        if texts.len() != list.len() {
            let rule = "has an entry that is not UTF-8";
            refusals.refuse(setting, rule, "JSON holds UTF-8 only");
        }
        texts.into_iter().collect::<Node>().or_null_when_empty()
    };
    let env = words(&process.environment, Setting::Environment);
    let args = words(&oci.arguments, Setting::Command);
    let rlimits = process.rlimits.iter().map(|limit| {
        Node::object([
            ("type", limit.resource.name().into()),
            ("soft", limit.soft.into()),
            ("hard", limit.hard.into()),
        ])
    });
    for (place, limit) in process.rlimits.iter().enumerate() {
        if process.rlimits[..place]
            .iter()
            .any(|earlier| earlier.resource == limit.resource)
        {
            let rule = "config.json has one entry for each resource";
            let item = (limit.pointer.as_str(), Setting::Rlimits);
            refusals.refuse_item(item, rule, "leave out all but the last");
        }
    }
    Node::object([
        ("terminal", process.terminal.into()),
        ("user", user(process, refusals)),
        ("args", args),
        ("env", env),
        ("cwd", process.working_dir.as_deref().unwrap_or("/").into()),
        ("capabilities", capabilities(process)),
        ("rlimits", rlimits.collect::<Node>().or_null_when_empty()),
        ("noNewPrivileges", process.no_new_privileges.into()),
        (
            "apparmorProfile",
            process.apparmor_profile.as_deref().into(),
        ),
        ("selinuxLabel", process.selinux_label.as_deref().into()),
        ("oomScoreAdj", process.oom_score_adj.map(i64::from).into()),
    ])
}

/// A name, and the groups of a user without a group, are looked up when a container starts; the format has ids alone.
fn user(process: &Process, refusals: &mut Refusals) -> Node {
    let spec = &process.user;
    if spec.uid().is_none() || spec.gid().is_none() {
        let rule = "config.json holds the ids of a user and a group, which are not looked up";
        let way_out =
            "write both as numbers, such as \"0:0\"; other groups go into additional_groups";
        refusals.refuse(Setting::User, rule, way_out);
    }
    let gids = process.additional_gids.iter().copied();
    Node::object([
        ("uid", spec.uid().into()),
        ("gid", spec.gid().into()),
        ("umask", process.umask.into()),
        (
            "additionalGids",
            gids.collect::<Node>().or_null_when_empty(),
        ),
    ])
}

fn capabilities(process: &Process) -> Node {
    let names = |set: CapabilitySet| set.iter().map(Capability::name).collect::<Node>();
    let sets = &process.capabilities;
    Node::object([
        ("bounding", names(sets.bounding)),
        ("effective", names(sets.effective)),
        ("permitted", names(sets.permitted)),
        ("inheritable", names(sets.inheritable)),
        ("ambient", names(sets.ambient)),
    ])
}

fn linux(config: &Config, refusals: &mut Refusals) -> Node {
    let namespaces = config.namespaces.entries.iter().map(|entry| {
        Node::object([
            ("type", entry.kind.oci_name().into()),
            ("path", entry.path.as_deref().into()),
        ])
    });
    let sysctl = config.sysctl.iter();
    let sysctl = sysctl.map(|setting| (setting.name.as_str(), setting.value.as_str().into()));
    let mut names: Vec<&str> = config
        .sysctl
        .iter()
        .map(|setting| setting.name.as_str())
        .collect();
    names.sort_unstable();
    refusals.refuse_if(
        names.windows(2).any(|pair| pair[0] == pair[1]),
        Setting::Sysctl,
    );
    let texts = |paths: &[String]| {
        let paths = paths.iter().map(String::as_str);
        paths.collect::<Node>().or_null_when_empty()
    };
    let propagation = Some(config.rootfs_propagation).filter(|one| *one != Propagation::Private);
    let cgroup = config.cgroup.as_ref();
    Node::object([
        (
            "namespaces",
            namespaces.collect::<Node>().or_null_when_empty(),
        ),
        ("uidMappings", id_maps(&config.uid_mappings)),
        ("gidMappings", id_maps(&config.gid_mappings)),
        (
            "devices",
            config
                .devices
                .iter()
                .map(device)
                .collect::<Node>()
                .or_null_when_empty(),
        ),
        (
            "cgroupsPath",
            cgroup.map_or(Node::Null, |cgroup| write_cgroup::path(cgroup, refusals)),
        ),
        (
            "resources",
            // Without a group of its own nothing is limited, where engines would deny devices.
            write_cgroup::resources(cgroup.unwrap_or(&CgroupConfig::default()), refusals),
        ),
        (
            "rootfsPropagation",
            propagation.map(Propagation::word).into(),
        ),
        ("sysctl", Node::object(sysctl).or_null_when_empty()),
        ("maskedPaths", texts(&config.masked_paths)),
        ("readonlyPaths", texts(&config.readonly_paths)),
        ("mountLabel", config.mount_label.as_deref().into()),
    ])
}

fn id_maps(maps: &[IdMap]) -> Node {
    let maps = maps.iter().map(|map| {
        Node::object([
            ("containerID", map.container_id.into()),
            ("hostID", map.host_id.into()),
            ("size", map.size.into()),
        ])
    });
    maps.collect::<Node>().or_null_when_empty()
}

fn device(device: &Device) -> Node {
    Node::object([
        ("type", device.kind.letter().to_string().into()),
        ("path", device.path.as_str().into()),
        ("major", device.major.into()),
        ("minor", device.minor.into()),
        ("fileMode", device.mode.into()),
        ("uid", device.uid.into()),
        ("gid", device.gid.into()),
    ])
}
