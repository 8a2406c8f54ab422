//! The top level of `container.json`.

use std::ffi::OsString;

use super::{MASKED_PATHS, READONLY_PATHS, read_cgroup, read_mount, read_network};
use crate::{
    capability::{Capabilities, Capability, CapabilitySet},
    config::{Config, Process, Rootfs, Sysctl},
    error::{Error, Kind, Problem},
    id_map::IdMap,
    json::Node,
    namespace::{NamespaceKind, Namespaces},
    object::{Keys, Notes, Object, child, document},
    rlimit::{Resource, Rlimit},
    source::Source,
    suggest,
};

const STEP: &str = "read container.json";

const KEYS: Keys = Keys {
    known: &[
        "mount_config",
        "root_fs",
        "hostname",
        "domainname",
        "user",
        "working_dir",
        "environment",
        "tty",
        "namespaces",
        "capabilities",
        "networks",
        "routes",
        "cgroups",
        "apparmor_profile",
        "process_label",
        "restrict_sys",
        "rlimits",
        "additional_groups",
        "uid_mappings",
        "gid_mappings",
        "no_new_privileges",
        "sysctl",
        "ipc",
    ],
    moved: &[
        ("mounts", "/mount_config/mounts"),
        ("device_nodes", "/mount_config/device_nodes"),
        ("readonly_fs", "/mount_config/readonly_fs"),
        ("no_pivot_root", "/mount_config/no_pivot_root"),
        ("mount_label", "/mount_config/mount_label"),
        (
            "context",
            "/apparmor_profile, /process_label, /restrict_sys and /mount_config/mount_label",
        ),
        (
            "pidns",
            "an entry of /namespaces with type NEWPID and a path",
        ),
        ("rootfs", "/root_fs"),
        ("readonlyfs", "/mount_config/readonly_fs"),
        ("devices", "/mount_config/device_nodes"),
        ("mask_paths", "/restrict_sys"),
        ("readonly_paths", "/restrict_sys"),
        ("system_properties", "/sysctl"),
        ("args", "the command after the flags"),
    ],
};
const NAMESPACE_KEYS: Keys = Keys {
    known: &["type", "name", "path"],
    moved: &[],
};
const RLIMIT_KEYS: Keys = Keys {
    known: &["type", "hard", "soft"],
    moved: &[],
};
const ID_MAP_KEYS: Keys = Keys {
    known: &["container_id", "host_id", "size"],
    moved: &[],
};

/// Reads a document.
pub(super) fn read(text: &[u8]) -> Result<Config, Error> {
    let root = document(STEP, text)?;
    let notes = Notes::strict();
    let config = Object::open(&root, "", &KEYS, &notes).map(|object| read_config(&object));
    notes.finish(STEP, &root, config).map(|(config, _)| config)
}

fn read_config(object: &Object<'_>) -> Config {
    let restrict_sys = object.flag("restrict_sys");
    let owned = |paths: &[&str]| paths.iter().map(|path| (*path).to_owned()).collect();
    let mut config = Config {
        source: Source::Seed,
        rootfs: Rootfs::Directory(object.text("root_fs").unwrap_or_default()),
        hostname: object.text("hostname"),
        domainname: object.text("domainname"),
        namespaces: read_namespaces(object),
        uid_mappings: read_id_maps(object, "uid_mappings"),
        gid_mappings: read_id_maps(object, "gid_mappings"),
        sysctl: read_sysctl(object),
        routes: read_network::read_routes(object),
        cgroup: read_cgroup::read(object),
        process: read_process(object),
        ..Config::default()
    };
    if restrict_sys {
        config.masked_paths = owned(&MASKED_PATHS);
        config.readonly_paths = owned(&READONLY_PATHS);
    }
    config.networks = read_network::read_networks(object, &mut config.namespaces);
    read_mount::read(object, &mut config, restrict_sys);
    config
}

fn read_process(object: &Object<'_>) -> Process {
    let environment = object.texts("environment").into_iter();
    Process {
        user: object.parsed("user").unwrap_or_default(),
        additional_gids: read_groups(object),
        working_dir: object.text("working_dir"),
        environment: environment
            .map(|(entry, _)| OsString::from(entry))
            .collect(),
        capabilities: Capabilities::kept(read_capabilities(object)),
        rlimits: read_rlimits(object),
        no_new_privileges: object.flag("no_new_privileges"),
        apparmor_profile: object.text("apparmor_profile"),
        selinux_label: object.text("process_label"),
        terminal: object.flag("tty"),
        // The seed called setsid in every start.
        new_session: true,
        ..Process::default()
    }
}

/// The three encodings: an object of booleans, a list with `name`, a list with `type`.
fn read_namespaces(object: &Object<'_>) -> Namespaces {
    let mut namespaces = Namespaces::default();
    match object.node("namespaces") {
        Some((Node::Object(entries), pointer)) => {
            for (name, node) in entries {
                let pointer = child(&pointer, name);
                read_namespace_switch(object, &mut namespaces, (name, node), &pointer);
            }
        }
        Some((Node::Array(_), _)) => {
            for entry in object.objects("namespaces", &NAMESPACE_KEYS) {
                read_namespace_entry(&entry, &mut namespaces);
            }
        }
        Some((other, pointer)) => object.wrong_type(&pointer, other, "a list"),
        None => {}
    }
    if let (Some(path), Some((_, pointer))) = (object.text("ipc"), object.node("ipc")) {
        namespaces.add(NamespaceKind::Ipc, Some(path), &pointer);
    }
    namespaces
}

fn read_namespace_switch(
    object: &Object<'_>,
    namespaces: &mut Namespaces,
    (name, node): (&str, &Node),
    pointer: &str,
) {
    match (NamespaceKind::from_name(name), node) {
        (None, _) => object.note(unknown_namespace(Kind::UnknownKey, name, pointer)),
        (Some(kind), Node::Bool(_)) if namespaces.contains(kind) => {
            object.note(Problem::bare(
                Kind::DuplicateKey,
                pointer,
                "key is given twice",
            ));
        }
        (Some(kind), Node::Bool(true)) => namespaces.add(kind, None, pointer),
        (Some(_), Node::Bool(false) | Node::Null) => {}
        (Some(_), other) => object.wrong_type(pointer, other, "true or false"),
    }
}

fn read_namespace_entry(entry: &Object<'_>, namespaces: &mut Namespaces) {
    let path = entry.text("path");
    let (key, name) = match (entry.text("type"), entry.text("name")) {
        (Some(name), None) => ("type", name),
        (None, Some(name)) => ("name", name),
        (Some(name), Some(other)) if name == other => ("type", name),
        (Some(_), Some(_)) => return entry.invalid("name", "contradicts type", "type alone"),
        (None, None) if entry.has("type") || entry.has("name") => {
            let pointer = child(&entry.pointer, "type");
            return entry.note(unknown_namespace(Kind::InvalidValue, "", &pointer));
        }
        (None, None) => return entry.missing("type", NAMESPACE_NAMES),
    };
    let pointer = entry
        .node(key)
        .map(|(_, pointer)| pointer)
        .unwrap_or_default();
    match NamespaceKind::from_name(&name) {
        None => entry.note(unknown_namespace(Kind::InvalidValue, &name, &pointer)),
        Some(kind) if namespaces.contains(kind) => {
            let rule = "is the second entry of this type";
            entry.note(Problem::new(Kind::Conflict, &pointer, name, rule).accepted("one"));
        }
        Some(kind) => namespaces.add(kind, path, &entry.pointer),
    }
}

const NAMESPACE_NAMES: &str = "NEWUSER, NEWNS, NEWPID, NEWNET, NEWIPC, NEWUTS, NEWCGROUP, NEWTIME";

/// Without this error a typo would silently share the host's namespace (seed hole H5).
fn unknown_namespace(kind: Kind, name: &str, pointer: &str) -> Problem {
    let by_oci_name = NamespaceKind::from_oci_name(&name.to_ascii_lowercase()).or_else(|| {
        NamespaceKind::ALL
            .into_iter()
            .find(|kind| kind.proc_name().eq_ignore_ascii_case(name))
    });
    let names = NamespaceKind::ALL.map(NamespaceKind::name);
    let nearest = by_oci_name
        .map(NamespaceKind::name)
        .or_else(|| suggest::nearest(name, names));
    Problem::new(kind, pointer, name, "is not a namespace type")
        .accepted(NAMESPACE_NAMES)
        .nearest(nearest)
}

fn read_id_maps(object: &Object<'_>, key: &str) -> Vec<IdMap> {
    let id = |map: &Object<'_>, key| map.integer(key, "0 to 4294967294").unwrap_or_default();
    let maps = object.objects(key, &ID_MAP_KEYS).into_iter();
    maps.map(|map| IdMap {
        container_id: id(&map, "container_id"),
        host_id: id(&map, "host_id"),
        size: id(&map, "size"),
    })
    .collect()
}

fn read_groups(object: &Object<'_>) -> Vec<u32> {
    let mut gids = Vec::new();
    for (node, pointer) in object.list("additional_groups") {
        match node {
            Node::Integer(gid) => match u32::try_from(*gid) {
                Ok(gid) => gids.push(gid),
                Err(_) => {
                    let problem =
                        Problem::new(Kind::InvalidValue, &pointer, gid, "is not a group id");
                    object.note(problem.accepted("0 to 4294967294"));
                }
            },
            Node::String(name) => {
                let rule = "is a name, which is not looked up here";
                let problem = Problem::new(Kind::Unsupported, &pointer, name, rule);
                object.note(problem.accepted("group ids"));
            }
            other => object.wrong_type(&pointer, other, "a group id"),
        }
    }
    gids
}

fn read_capabilities(object: &Object<'_>) -> CapabilitySet {
    let mut set = CapabilitySet::EMPTY;
    for (name, pointer) in object.texts("capabilities") {
        match name.parse::<Capability>() {
            Ok(capability) => set.insert(capability),
            Err(error) => object.note_error(&pointer, error),
        }
    }
    set
}

fn read_rlimits(object: &Object<'_>) -> Vec<Rlimit> {
    let entries = object.objects("rlimits", &RLIMIT_KEYS).into_iter();
    entries.filter_map(|entry| read_rlimit(&entry)).collect()
}

/// The seed read a missing key as 0, and so limited processor time, or set a soft limit of nothing.
fn read_rlimit(entry: &Object<'_>) -> Option<Rlimit> {
    for key in ["type", "hard", "soft"]
        .into_iter()
        .filter(|key| !entry.has(key))
    {
        entry.missing(key, "a number; the seed took 0");
    }
    let limit = |key| entry.integer(key, "0 to 18446744073709551615, which is no limit");
    let (soft, hard) = (limit("soft"), limit("hard"));
    let resource = match entry.node("type")? {
        (Node::String(_), _) => entry.parsed("type"),
        _ => {
            let number = entry.integer("type", "0 to 15, or a name")?;
            let resource = Resource::from_number(number);
            if resource.is_none() {
                entry.invalid("type", "is not a resource limit", "0 to 15, or a name");
            }
            resource
        }
    };
    let pointer = entry.pointer.clone();
    Some(Rlimit {
        resource: resource?,
        soft: soft?,
        hard: hard?,
        pointer,
    })
}

fn read_sysctl(object: &Object<'_>) -> Vec<Sysctl> {
    let settings = object.string_map("sysctl").into_iter();
    settings
        .map(|(name, value, pointer)| Sysctl {
            name,
            value,
            pointer,
        })
        .collect()
}
