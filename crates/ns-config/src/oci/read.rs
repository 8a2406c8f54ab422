//! The top level of `config.json`, `process` and `linux`.

use std::ffi::OsString;

use super::{OciConfig, dev, read_cgroup, read_mount};
use crate::{
    capability::{Capabilities, Capability, CapabilitySet},
    config::{Config, Process, Propagation, Rootfs, Sysctl},
    device::{Device, DeviceKind},
    error::{Error, Kind, Problem},
    id_map::IdMap,
    json::Node,
    namespace::{NamespaceKind, Namespaces},
    network::{Network, NetworkKind},
    object::{Keys, Notes, Object, child, document, keys},
    rlimit::Rlimit,
    source::Source,
    suggest,
    user::UserSpec,
};

const STEP: &str = "read config.json";

const KEYS: Keys = keys!("ociVersion" "root" "mounts" "process" "hostname" "domainname" "hooks" "annotations" "linux"
    "solaris" "windows" "vm" "zos" "freebsd");
const ROOT: Keys = keys!("path" "readonly");
const PROCESS: Keys = keys!("terminal" "consoleSize" "cwd" "env" "args" "commandLine" "user" "capabilities" "rlimits"
    "noNewPrivileges" "apparmorProfile" "oomScoreAdj" "selinuxLabel" "scheduler" "ioPriority" "execCPUAffinity");
const USER: Keys = keys!("uid" "gid" "umask" "additionalGids" "username");
const CAPABILITIES: Keys = keys!("bounding" "effective" "permitted" "inheritable" "ambient");
const RLIMIT: Keys = keys!("type" "soft" "hard");
const LINUX: Keys = keys!("namespaces" "uidMappings" "gidMappings" "timeOffsets" "devices" "netDevices" "cgroupsPath"
    "resources" "rootfsPropagation" "seccomp" "sysctl" "maskedPaths" "readonlyPaths" "mountLabel" "personality"
    "intelRdt" "memoryPolicy");
const NAMESPACE: Keys = keys!("type" "path");
const ID_MAP: Keys = keys!("containerID" "hostID" "size");
const DEVICE: Keys = keys!("type" "path" "major" "minor" "fileMode" "uid" "gid");

pub(super) fn read(text: &[u8], bundle: &str) -> Result<OciConfig, Error> {
    let root = document(STEP, text)?;
    let notes = Notes::lenient();
    let oci = Object::open(&root, "", &KEYS, &notes).map(|object| read_document(&object, bundle));
    let (oci, ignored) = notes.finish(STEP, &root, oci)?;
    Ok(OciConfig { ignored, ..oci })
}

/// A host path as the specification takes it.
pub(super) fn host_path(bundle: &str, path: String) -> String {
    let relative = match path.strip_prefix("./").unwrap_or(&path) {
        "." | "" => "",
        relative => relative,
    };
    match (path.starts_with('/'), bundle, relative) {
        (true, ..) => path,
        (false, "", relative) => relative.to_owned(),
        (false, bundle, "") => bundle.to_owned(),
        (false, bundle, relative) => format!("{}/{relative}", bundle.trim_end_matches('/')),
    }
}

/// A property that would be lost; one that says nothing is no loss.
pub(super) fn refuse_unsupported(object: &Object<'_>, key: &str, way_out: &str) {
    let Some((node, pointer)) = object.node(key) else {
        return;
    };
    let says_nothing = match node {
        Node::Object(members) => members.is_empty(),
        Node::Array(items) => items.is_empty(),
        Node::String(text) => text.is_empty(),
        _ => false,
    };
    if !says_nothing {
        let problem = Problem::bare(Kind::Unsupported, &pointer, "cannot be applied here");
        object.note(problem.hint(way_out));
    }
}

fn read_document(object: &Object<'_>, bundle: &str) -> OciConfig {
    check_version(object);
    refuse_unsupported(object, "hooks", "run them from what calls the program");
    for platform in ["solaris", "windows", "vm", "zos", "freebsd"] {
        refuse_unsupported(object, platform, "this is a container for another platform");
    }
    let (rootfs, readonly_rootfs) = read_root(object, bundle);
    let (process, arguments) = read_process(object);
    let mut config = Config {
        source: Source::Oci,
        rootfs,
        readonly_rootfs,
        hostname: object.text("hostname"),
        domainname: object.text("domainname"),
        process,
        ..Config::default()
    };
    if let Some(linux) = object.object("linux", &LINUX) {
        read_linux(&linux, &mut config);
    }
    config.mounts = read_mount::read(object, bundle);
    dev::write_out(&mut config);
    if let Some(network) = config.namespaces.get(NamespaceKind::Network) {
        let pointer = network.pointer.clone();
        let loopback = Network {
            pointer,
            ..Network::new(NetworkKind::Loopback)
        };
        config
            .networks
            .extend(network.path.is_none().then_some(loopback));
    }
    let annotations = object.string_map("annotations").into_iter();
    OciConfig {
        config,
        arguments,
        annotations: annotations.map(|(name, value, _)| (name, value)).collect(),
        ignored: Vec::new(),
    }
}

fn check_version(object: &Object<'_>) {
    let accepted = "a version of the specification, 1.0.0 to 1.x";
    let Some(version) = object.text("ociVersion") else {
        return object.missing("ociVersion", accepted);
    };
    let numbers = version.split(['-', '+']).next().unwrap_or_default();
    let numbers: Vec<Option<u32>> = numbers.split('.').map(|part| part.parse().ok()).collect();
    match numbers.as_slice() {
        [Some(1), Some(_), Some(_)] => {}
        [Some(_), Some(_), Some(_)] => {
            let rule = "is another version of the specification";
            let problem = Problem::new(Kind::Unsupported, "/ociVersion", version, rule);
            object.note(problem.accepted(accepted));
        }
        _ => object.invalid("ociVersion", "is no version", accepted),
    }
}

fn read_root(object: &Object<'_>, bundle: &str) -> (Rootfs, bool) {
    let Some(root) = object.object("root", &ROOT) else {
        if !object.has("root") {
            object.missing("root", "an object with the path of the root file system");
        }
        return (Rootfs::default(), false);
    };
    let path = root.text("path");
    if path.is_none() {
        root.missing("path", "the directory that becomes /");
    }
    let path = host_path(bundle, path.unwrap_or_default());
    (Rootfs::Directory(path), root.flag("readonly"))
}

fn read_process(object: &Object<'_>) -> (Process, Vec<OsString>) {
    let mut process = Process {
        // Every runtime gives the command one.
        new_session: true,
        ..Process::default()
    };
    let Some(section) = object.object("process", &PROCESS) else {
        return (process, Vec::new());
    };
    for (key, way_out) in [
        ("commandLine", "this is a container for another platform"),
        ("scheduler", "set it with chrt inside"),
        ("ioPriority", "set it with ionice inside"),
        (
            "execCPUAffinity",
            "limit the processors of the whole container",
        ),
    ] {
        refuse_unsupported(&section, key, way_out);
    }
    process.terminal = section.flag("terminal");
    if process.terminal {
        refuse_unsupported(
            &section,
            "consoleSize",
            "leave it out: the size is that of the caller's terminal",
        );
    }
    let words = |key| {
        section
            .texts(key)
            .into_iter()
            .map(|(word, _)| OsString::from(word))
    };
    process.environment = words("env").collect();
    process.working_dir = read_cwd(&section);
    read_user(&section, &mut process);
    process.capabilities = read_capabilities(&section);
    process.rlimits = read_rlimits(&section);
    process.no_new_privileges = section.flag("noNewPrivileges");
    process.apparmor_profile = section.text("apparmorProfile");
    process.selinux_label = section.text("selinuxLabel");
    process.oom_score_adj = section.integer("oomScoreAdj", "-1000 to 1000");
    let arguments = words("args").collect();
    (process, arguments)
}

/// `/` is what holds without one.
fn read_cwd(section: &Object<'_>) -> Option<String> {
    let Some(cwd) = section.text("cwd") else {
        section.missing("cwd", "an absolute path inside the container");
        return None;
    };
    Some(cwd).filter(|cwd| cwd != "/")
}

fn read_user(section: &Object<'_>, process: &mut Process) {
    let Some(user) = section.object("user", &USER) else {
        if !section.has("user") {
            section.missing("user", "an object with uid and gid");
        }
        return;
    };
    refuse_unsupported(
        &user,
        "username",
        "write uid and gid: names are for other platforms",
    );
    let accepted = "0 to 4294967294";
    for key in ["uid", "gid"].into_iter().filter(|key| !user.has(key)) {
        user.missing(key, accepted);
    }
    let (uid, gid) = (user.integer("uid", accepted), user.integer("gid", accepted));
    match UserSpec::from_ids(uid.unwrap_or_default(), gid.unwrap_or_default()) {
        Ok(spec) => process.user = spec,
        Err(error) => user.note_error(&user.pointer, error),
    }
    process.umask = user.integer("umask", "permission bits");
    for (node, pointer) in user.list("additionalGids") {
        match node {
            Node::Integer(gid) => match u32::try_from(*gid) {
                Ok(gid) => process.additional_gids.push(gid),
                Err(_) => {
                    let rule = "is not a group id";
                    let problem = Problem::new(Kind::InvalidValue, &pointer, gid, rule);
                    user.note(problem.accepted(accepted));
                }
            },
            other => user.wrong_type(&pointer, other, "a group id"),
        }
    }
}

/// The specification has an unknown capability logged and not refused.
fn read_capabilities(section: &Object<'_>) -> Capabilities {
    let Some(sets) = section.object("capabilities", &CAPABILITIES) else {
        return Capabilities::default();
    };
    let set = |key| {
        let mut set = CapabilitySet::EMPTY;
        for (name, pointer) in sets.texts(key) {
            match name.parse::<Capability>() {
                Ok(capability) => set.insert(capability),
                Err(error) => {
                    let problems = error.at(&pointer).into_problems();
                    problems
                        .into_iter()
                        .for_each(|problem| sets.ignore(problem));
                }
            }
        }
        set
    };
    Capabilities {
        bounding: set("bounding"),
        effective: set("effective"),
        permitted: set("permitted"),
        inheritable: set("inheritable"),
        ambient: set("ambient"),
    }
}

fn read_rlimits(section: &Object<'_>) -> Vec<Rlimit> {
    let mut rlimits: Vec<Rlimit> = Vec::new();
    for entry in section.objects("rlimits", &RLIMIT) {
        for key in ["type", "soft", "hard"]
            .into_iter()
            .filter(|key| !entry.has(key))
        {
            entry.missing(key, "a name such as RLIMIT_NOFILE, and two numbers");
        }
        let limit = |key| entry.integer(key, "0 to 18446744073709551615, which is no limit");
        let (soft, hard) = (limit("soft"), limit("hard"));
        let (Some(resource), Some(soft), Some(hard)) = (entry.parsed("type"), soft, hard) else {
            continue;
        };
        if rlimits.iter().any(|earlier| earlier.resource == resource) {
            let rule = "is the second entry of this type";
            let pointer = child(&entry.pointer, "type");
            entry.note(Problem::new(Kind::Conflict, &pointer, resource, rule).accepted("one"));
        }
        let pointer = entry.pointer.clone();
        rlimits.push(Rlimit {
            resource,
            soft,
            hard,
            pointer,
        });
    }
    rlimits
}

fn read_linux(linux: &Object<'_>, config: &mut Config) {
    for (key, way_out) in [
        ("timeOffsets", "leave it out: clocks then go as on the host"),
        ("netDevices", "move the interface after the start"),
        ("seccomp", "leave it out, and with it what it protects"),
        ("personality", "run the command through setarch"),
        ("intelRdt", "set it up in /sys/fs/resctrl"),
        ("memoryPolicy", "run the command through numactl"),
    ] {
        refuse_unsupported(linux, key, way_out);
    }
    let texts = |key| {
        linux
            .texts(key)
            .into_iter()
            .map(|(text, _)| text.to_owned())
    };
    let sysctl = linux.string_map("sysctl").into_iter();
    config.namespaces = read_namespaces(linux);
    config.uid_mappings = read_id_maps(linux, "uidMappings");
    config.gid_mappings = read_id_maps(linux, "gidMappings");
    config.devices = read_devices(linux);
    config.cgroup = read_cgroup::read(linux, &config.devices);
    config.rootfs_propagation = read_propagation(linux);
    config.masked_paths = texts("maskedPaths").collect();
    config.readonly_paths = texts("readonlyPaths").collect();
    config.mount_label = linux.text("mountLabel");
    config.sysctl = sysctl
        .map(|(name, value, pointer)| Sysctl {
            name,
            value,
            pointer,
        })
        .collect();
}

/// Unlike a property, an unknown type is an error: the container would share the host's namespace (H5).
fn read_namespaces(linux: &Object<'_>) -> Namespaces {
    let mut namespaces = Namespaces::default();
    for entry in linux.objects("namespaces", &NAMESPACE) {
        let Some(name) = entry.text("type") else {
            entry.missing("type", NAMESPACE_NAMES);
            continue;
        };
        let pointer = child(&entry.pointer, "type");
        match NamespaceKind::from_oci_name(&name) {
            None => entry.note(unknown_namespace(&name, &pointer)),
            Some(kind) if namespaces.contains(kind) => {
                let rule = "is the second entry of this type";
                entry.note(Problem::new(Kind::Conflict, &pointer, name, rule).accepted("one"));
            }
            Some(kind) => namespaces.add(kind, entry.text("path"), &entry.pointer),
        }
    }
    namespaces
}

const NAMESPACE_NAMES: &str = "pid, network, mount, ipc, uts, user, cgroup, time";

fn unknown_namespace(name: &str, pointer: &str) -> Problem {
    let is_called = |kind: &NamespaceKind| [kind.name(), kind.proc_name()].contains(&name);
    let other_name = NamespaceKind::ALL.into_iter().find(is_called);
    let names = NamespaceKind::ALL.map(NamespaceKind::oci_name);
    let nearest = other_name
        .map(NamespaceKind::oci_name)
        .or_else(|| suggest::nearest(name, names));
    Problem::new(Kind::InvalidValue, pointer, name, "is not a namespace type")
        .accepted(NAMESPACE_NAMES)
        .nearest(nearest)
}

fn read_id_maps(linux: &Object<'_>, key: &str) -> Vec<IdMap> {
    let maps = linux.objects(key, &ID_MAP).into_iter();
    maps.map(|map| {
        let id = |key| {
            if !map.has(key) {
                map.missing(key, "0 to 4294967294");
            }
            map.integer(key, "0 to 4294967294").unwrap_or_default()
        };
        IdMap {
            container_id: id("containerID"),
            host_id: id("hostID"),
            size: id("size"),
        }
    })
    .collect()
}

fn read_propagation(linux: &Object<'_>) -> Propagation {
    let Some(word) = linux.text("rootfsPropagation") else {
        return Propagation::default();
    };
    // Engines also write the words for the whole tree, which is what is meant.
    let short = word.strip_prefix('r').unwrap_or(&word);
    Propagation::from_word(short).unwrap_or_else(|| {
        let accepted = "private, slave, shared, unbindable";
        linux.invalid("rootfsPropagation", "is not a propagation", accepted);
        Propagation::default()
    })
}

fn read_devices(linux: &Object<'_>) -> Vec<Device> {
    let entries = linux.objects("devices", &DEVICE).into_iter();
    entries.filter_map(|entry| read_device(&entry)).collect()
}

fn read_device(entry: &Object<'_>) -> Option<Device> {
    let kind = match entry.text("type").as_deref() {
        Some("c" | "u") => Some(DeviceKind::Char),
        Some("b") => Some(DeviceKind::Block),
        Some("p") => Some(DeviceKind::Fifo),
        Some(_) => {
            entry.invalid("type", "is not a device type", "c, b, u, p");
            None
        }
        None => {
            entry.missing("type", "c, b, u, p");
            None
        }
    };
    let path = entry.text("path");
    if path.is_none() {
        entry.missing("path", "an absolute path inside the container");
    }
    let number = |key| entry.integer(key, "0 to 4294967294");
    if kind.is_some_and(|kind| kind != DeviceKind::Fifo) {
        for key in ["major", "minor"].into_iter().filter(|key| !entry.has(key)) {
            entry.missing(key, "a number");
        }
    }
    let kind = kind?;
    Some(Device {
        kind,
        path: path?,
        major: number("major").unwrap_or_default(),
        minor: number("minor").unwrap_or_default(),
        mode: read_mode(entry, kind).unwrap_or(0o666),
        uid: number("uid").unwrap_or_default(),
        gid: number("gid").unwrap_or_default(),
        pointer: entry.pointer.clone(),
    })
}

/// Engines that look at a node of the host write the bits of its type along.
fn read_mode(entry: &Object<'_>, kind: DeviceKind) -> Option<u32> {
    let mode: u32 = entry.integer("fileMode", "decimal permission bits, e.g. 438 for 0666")?;
    Some(match mode & 0o170_000 == kind.type_bits() {
        true => mode & !0o170_000,
        false => mode,
    })
}
