//! Generators of configurations that `container.json` can express.

#![allow(
    clippy::unwrap_used,
    clippy::too_many_lines,
    reason = "generators of valid values"
)]

use ns_config::{
    Capabilities, CapabilitySet, Config, Device, DeviceAccess, DeviceKind, DeviceRule,
    DeviceRuleKind, IdMap, IpPrefix, IpvlanMode, MacAddress, MacvlanMode, Mount, MountAttributes,
    MountKind, MountOptions, NamespaceKind, Namespaces, Network, NetworkKind, Process, Propagation,
    Relabel, Resource, Rlimit, RootEntry, Rootfs, Route, Sysctl, UserSpec,
    cgroup::{CgroupConfig, CpuConfig, FreezerState, IoConfig, Limit, MemoryConfig},
};
use proptest::{option, prelude::*, sample::select};

/// Text with what JSON has to escape.
pub(crate) fn text() -> impl Strategy<Value = String> {
    "[a-z0-9/\"\\\\ é\u{1}-]{1,8}"
}

pub(crate) fn namespaces() -> impl Strategy<Value = Namespaces> {
    let entry = (select(NamespaceKind::ALL.to_vec()), option::of(text()));
    prop::collection::vec(entry, 0..8).prop_map(|entries| {
        let mut namespaces = Namespaces::default();
        entries
            .into_iter()
            .for_each(|(kind, path)| namespaces.add(kind, path, ""));
        namespaces
    })
}

pub(crate) fn user_mount() -> impl Strategy<Value = Mount> {
    let propagation = select(vec![
        None,
        Some(Propagation::Private),
        Some(Propagation::Slave),
    ]);
    let relabel = select(vec![None, Some(Relabel::Shared), Some(Relabel::Private)]);
    let bind = (text(), any::<bool>(), relabel);
    (text(), propagation, option::of(bind)).prop_map(|(destination, propagation, bind)| {
        let strict = MountAttributes {
            no_suid: true,
            no_dev: true,
            no_exec: true,
            ..MountAttributes::default()
        };
        let (kind, options) = match bind {
            Some((source, read_only, relabel)) => {
                let set_recursive = MountAttributes {
                    read_only,
                    ..MountAttributes::default()
                };
                let options = MountOptions {
                    set_recursive,
                    relabel,
                    ..MountOptions::default()
                };
                (
                    MountKind::Bind {
                        source,
                        recursive: true,
                        optional: false,
                    },
                    options,
                )
            }
            None => {
                let tmpfs = "tmpfs".to_owned();
                let kind = MountKind::Filesystem {
                    fstype: tmpfs.clone(),
                    source: tmpfs,
                };
                (
                    kind,
                    MountOptions {
                        set: strict,
                        ..MountOptions::default()
                    },
                )
            }
        };
        let options = MountOptions {
            propagation,
            ..options
        };
        Mount {
            destination,
            kind,
            options,
            pointer: String::new(),
        }
    })
}

pub(crate) fn device() -> impl Strategy<Value = Device> {
    let kind = select(vec![DeviceKind::Char, DeviceKind::Block, DeviceKind::Fifo]);
    (kind, text(), any::<[u32; 5]>()).prop_map(|(kind, path, [major, minor, mode, uid, gid])| {
        Device {
            kind,
            path,
            major,
            minor,
            mode,
            uid,
            gid,
            pointer: String::new(),
        }
    })
}

pub(crate) fn device_rule() -> impl Strategy<Value = DeviceRule> {
    let kind = select(vec![
        DeviceRuleKind::All,
        DeviceRuleKind::Char,
        DeviceRuleKind::Block,
    ]);
    let access = select(vec!["r", "w", "m", "rw", "rm", "wm", "rwm"]);
    (
        kind,
        any::<[Option<u32>; 2]>(),
        access,
        "[a-z/]{0,5}",
        any::<[u32; 3]>(),
    )
        .prop_map(
            |(kind, [major, minor], access, path, [mode, uid, gid])| DeviceRule {
                path,
                mode,
                uid,
                gid,
                ..DeviceRule::allow(kind, major, minor, DeviceAccess::parse(access).unwrap())
            },
        )
}

pub(crate) fn network() -> impl Strategy<Value = Network> {
    let macvlan = select(vec![
        MacvlanMode::Bridge,
        MacvlanMode::Vepa,
        MacvlanMode::Passthru,
    ]);
    let kind = prop_oneof![
        (text(), text(), option::of(text()), any::<bool>()).prop_map(
            |(bridge, prefix, host_interface_name, hairpin)| NetworkKind::Veth {
                bridge,
                prefix,
                host_interface_name,
                hairpin
            }
        ),
        (text(), macvlan).prop_map(|(parent, mode)| NetworkKind::Macvlan { parent, mode }),
        (
            text(),
            select(vec![IpvlanMode::L2, IpvlanMode::L3, IpvlanMode::L3s])
        )
            .prop_map(|(parent, mode)| NetworkKind::Ipvlan { parent, mode }),
        text().prop_map(|host_interface_name| NetworkKind::Device {
            host_interface_name
        }),
    ];
    let addresses = (
        option::of(any::<[u8; 4]>()),
        option::of(any::<[u8; 16]>()),
        0_u8..=32,
    );
    let numbers = (
        option::of(1_u32..),
        any::<Option<u32>>(),
        any::<Option<[u8; 6]>>(),
    );
    let common = (option::of(text()), addresses, any::<bool>(), numbers);
    let full = (kind, common).prop_map(|(kind, (name, (v4, v6, prefix_len), gated, numbers))| {
        let v4 = v4.map(|bytes| bytes.into());
        let v6 = v6.map(|bytes| bytes.into());
        let ips: Vec<std::net::IpAddr> = v4.into_iter().chain(v6).collect();
        let addresses = ips.iter().map(|address| IpPrefix {
            address: *address,
            prefix_len,
        });
        Network {
            name,
            addresses: addresses.collect(),
            gateways: if gated { ips } else { Vec::new() },
            mtu_bytes: numbers.0,
            tx_queue_packets: numbers.1,
            mac_address: numbers.2.map(MacAddress),
            ..Network::new(kind)
        }
    });
    prop_oneof![Just(Network::new(NetworkKind::Loopback)), full]
}

pub(crate) fn route() -> impl Strategy<Value = Route> {
    let ip = any::<Option<[u8; 4]>>();
    (ip.clone(), ip.clone(), ip, text()).prop_map(|(to, from, by, interface_name)| Route {
        destination: to.map(|to| IpPrefix {
            address: to.into(),
            prefix_len: 9,
        }),
        source: from.map(|from| from.into()),
        gateway: by.map(|by| by.into()),
        interface_name,
        pointer: String::new(),
    })
}

pub(crate) fn cgroup() -> impl Strategy<Value = CgroupConfig> {
    let amount = || 1..=u64::try_from(i64::MAX).unwrap();
    let value = move || option::of(amount().prop_map(Limit::Value));
    let limit = move || {
        option::of(prop_oneof![
            Just(Limit::Max),
            amount().prop_map(Limit::Value)
        ])
    };
    let names = ("[a-z]{0,4}", "[a-z/]{0,4}", option::of(text()));
    let freezer = select(vec![
        None,
        Some(FreezerState::Frozen),
        Some(FreezerState::Thawed),
    ]);
    let devices = option::of(prop::collection::vec(device_rule(), 0..3));
    let memory = (limit(), limit(), value());
    let cpu = (option::of(amount()), limit(), option::of(amount()));
    let io_weight = option::of(1_u16..);
    let cpuset = (option::of(text()), option::of(text()));
    (names, freezer, devices, memory, cpu, cpuset, io_weight).prop_map(
        |((name, parent, slice), freezer, devices, memory, cpu, (cpus, mems), weight)| {
            let (limit_bytes, reservation_bytes, total_bytes) = memory;
            let (shares, quota_us, period_us) = cpu;
            CgroupConfig {
                name,
                parent,
                slice,
                freezer,
                devices,
                memory: MemoryConfig {
                    limit_bytes,
                    reservation_bytes,
                    total_bytes,
                    ..MemoryConfig::default()
                },
                cpu: CpuConfig {
                    shares,
                    quota_us,
                    period_us,
                    cpus,
                    mems,
                    ..CpuConfig::default()
                },
                io: IoConfig {
                    weight,
                    ..IoConfig::default()
                },
                ..CgroupConfig::default()
            }
        },
    )
}

pub(crate) fn process() -> impl Strategy<Value = Process> {
    let user = select(vec!["", "app", "0", "7:8", "app:www", "7:www"]);
    let resource = (0_u32..16).prop_map(|number| Resource::from_number(number).unwrap());
    let rlimit = (resource, any::<u64>(), any::<u64>());
    let rlimits = prop::collection::vec(rlimit, 0..3);
    let texts = [option::of(text()), option::of(text()), option::of(text())];
    let lists = (
        prop::collection::vec(any::<u32>(), 0..3),
        prop::collection::vec(text(), 0..3),
    );
    (user, rlimits, texts, lists, any::<(u64, bool, bool)>()).prop_map(
        |(user, rlimits, [working_dir, apparmor_profile, selinux_label], lists, numbers)| {
            let (bits, no_new_privileges, terminal) = numbers;
            let rlimit = |(resource, soft, hard)| Rlimit {
                resource,
                soft,
                hard,
                pointer: String::new(),
            };
            Process {
                user: user.parse::<UserSpec>().unwrap(),
                additional_gids: lists.0,
                working_dir,
                environment: lists.1.into_iter().map(Into::into).collect(),
                capabilities: Capabilities::kept(CapabilitySet::from_bits_known(bits)),
                rlimits: rlimits.into_iter().map(rlimit).collect(),
                no_new_privileges,
                apparmor_profile,
                selinux_label,
                terminal,
                new_session: true,
                ..Process::default()
            }
        },
    )
}

/// The part of a configuration that does not depend on others.
pub(crate) fn config() -> impl Strategy<Value = Config> {
    let id_map = any::<[u32; 3]>();
    let id_maps = || {
        prop::collection::vec(id_map, 0..3).prop_map(|maps| {
            let map = |[container_id, host_id, size]: [u32; 3]| IdMap {
                container_id,
                host_id,
                size,
            };
            maps.into_iter().map(map).collect::<Vec<IdMap>>()
        })
    };
    let texts = [option::of(text()), option::of(text()), option::of(text())];
    let sysctl = prop::collection::btree_map(text(), text(), 0..3);
    let maps = (id_maps(), id_maps(), sysctl);
    let lists = (
        prop::collection::vec(device(), 0..3),
        prop::collection::vec(network(), 0..3),
        prop::collection::vec(route(), 0..3),
    );
    let switches = any::<(bool, bool)>();
    (
        "[a-z/]{0,6}",
        texts,
        maps,
        lists,
        option::of(cgroup()),
        process(),
        switches,
    )
        .prop_map(
            |(
                rootfs,
                [hostname, domainname, mount_label],
                maps,
                lists,
                cgroup,
                process,
                switches,
            )| {
                let setting = |(name, value)| Sysctl {
                    name,
                    value,
                    pointer: String::new(),
                };
                let (root_entry, rootfs_propagation) = match switches.0 {
                    true => (RootEntry::Move, Propagation::Slave),
                    false => (RootEntry::Pivot, Propagation::Private),
                };
                Config {
                    rootfs: Rootfs::Directory(rootfs),
                    root_entry,
                    rootfs_propagation,
                    readonly_rootfs: switches.1,
                    hostname,
                    domainname,
                    mount_label,
                    uid_mappings: maps.0,
                    gid_mappings: maps.1,
                    sysctl: maps.2.into_iter().map(setting).collect(),
                    devices: lists.0,
                    networks: lists.1,
                    routes: lists.2,
                    cgroup,
                    process,
                    ..Config::default()
                }
            },
        )
}

/// A whole configuration: what namespaces and `restrict_sys` imply comes from the reader itself.
pub(crate) fn whole() -> impl Strategy<Value = Config> {
    let mounts = prop::collection::vec(user_mount(), 0..3);
    (config(), namespaces(), any::<bool>(), mounts).prop_map(
        |(config, namespaces, restrict_sys, mounts)| {
            let types = namespaces.entries.iter().map(|entry| {
                let path = serde_json::to_string(&entry.path).unwrap();
                format!("{{\"type\": \"{}\", \"path\": {path}}}", entry.kind.name())
            });
            let types = types.collect::<Vec<_>>().join(",");
            let skeleton =
                format!("{{\"namespaces\": [{types}], \"restrict_sys\": {restrict_sys}}}");
            let skeleton = Config::from_seed(skeleton.as_bytes()).unwrap();
            let skeleton = skeleton.without_pointers();
            Config {
                namespaces,
                mounts: skeleton.mounts.into_iter().chain(mounts).collect(),
                masked_paths: skeleton.masked_paths,
                readonly_paths: skeleton.readonly_paths,
                ..config
            }
        },
    )
}
