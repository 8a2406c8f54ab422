//! Whatever `container.json` can express is written so that it is read back the same.

#![expect(
    clippy::unwrap_used,
    clippy::too_many_lines,
    reason = "generators of valid values"
)]

use std::{collections::BTreeMap, ffi::OsString, os::unix::ffi::OsStringExt};

use ns_config::{
    Capabilities, CapabilitySet, Config, ContainerState, Device, DeviceAccess, DeviceKind,
    DeviceRule, DeviceRuleKind, IdMap, IpPrefix, IpvlanMode, MacAddress, MacvlanMode, Mount,
    MountAttributes, MountKind, MountOptions, NamespaceKind, Namespaces, Network, NetworkKind,
    Process, Propagation, Relabel, Resource, Rlimit, RootEntry, Rootfs, Route, Sysctl, UserSpec,
    cgroup::{CgroupConfig, CpuConfig, FreezerState, IoConfig, Limit, MemoryConfig},
    state::Phase,
};
use proptest::{option, prelude::*, sample::select};

/// Text with what JSON has to escape.
fn text() -> impl Strategy<Value = String> {
    "[a-z0-9/\"\\\\ é\u{1}-]{1,8}"
}

fn namespaces() -> impl Strategy<Value = Namespaces> {
    let entry = (select(NamespaceKind::ALL.to_vec()), option::of(text()));
    prop::collection::vec(entry, 0..8).prop_map(|entries| {
        let mut namespaces = Namespaces::default();
        entries
            .into_iter()
            .for_each(|(kind, path)| namespaces.add(kind, path, ""));
        namespaces
    })
}

fn user_mount() -> impl Strategy<Value = Mount> {
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

fn device() -> impl Strategy<Value = Device> {
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

fn device_rule() -> impl Strategy<Value = DeviceRule> {
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

fn network() -> impl Strategy<Value = Network> {
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

fn route() -> impl Strategy<Value = Route> {
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

fn cgroup() -> impl Strategy<Value = CgroupConfig> {
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

fn process() -> impl Strategy<Value = Process> {
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
fn config() -> impl Strategy<Value = Config> {
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

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn config_that_is_written_is_read_back_the_same(
        config in config(),
        namespaces in namespaces(),
        restrict_sys: bool,
        mounts in prop::collection::vec(user_mount(), 0..3),
    ) {
        // What the namespaces and restrict_sys imply comes from the reader itself.
        let types = namespaces.entries.iter().map(|entry| {
            let path = serde_json::to_string(&entry.path).unwrap();
            format!("{{\"type\": \"{}\", \"path\": {path}}}", entry.kind.name())
        });
        let types = types.collect::<Vec<_>>().join(",");
        let skeleton = format!("{{\"namespaces\": [{types}], \"restrict_sys\": {restrict_sys}}}");
        let skeleton = Config::from_seed(skeleton.as_bytes()).unwrap().without_pointers();
        let config = Config {
            namespaces,
            mounts: skeleton.mounts.into_iter().chain(mounts).collect(),
            masked_paths: skeleton.masked_paths,
            readonly_paths: skeleton.readonly_paths,
            ..config
        };
        let written = config.to_seed().map_err(|error| TestCaseError::fail(error.to_string()))?;
        let read = Config::from_seed(written.as_bytes())
            .map_err(|error| TestCaseError::fail(error.to_string()))?;
        prop_assert_eq!(read.without_pointers(), config, "{}", written);
    }

    #[test]
    fn config_in_a_container_state_is_read_back_the_same(
        config in config(),
        bytes: Vec<u8>,
        namespaces in namespaces(),
        mounts in prop::collection::vec(user_mount(), 0..3),
    ) {
        let mut config = Config { namespaces, mounts, ..config };
        config.process.environment.push(OsString::from_vec(bytes));
        let state = ContainerState {
            schema_version: ContainerState::SCHEMA_VERSION,
            id: "box".to_owned(),
            boot_id: "b".to_owned(),
            init_pid: 1,
            init_start_ticks: 1,
            namespace_inodes: BTreeMap::new(),
            cgroup_paths: BTreeMap::new(),
            made_cgroup_paths: Vec::new(),
            host_interfaces: Vec::new(),
            phase: Phase::Running,
            command: vec!["sh".into()],
            config,
        };
        let read = ContainerState::from_json(state.to_json().as_bytes());
        prop_assert_eq!(read.map_err(|error| TestCaseError::fail(error.to_string()))?, state);
    }

    #[test]
    fn reader_and_validator_of_any_text_never_panic(text in "[\\[\\]{}:,\"a-z0-9_ -]{0,60}") {
        if let Ok(config) = Config::from_seed(text.as_bytes()) {
            let problems = config.validate();
            prop_assert!(problems.is_ok() || problems.is_err_and(|problems| !problems.is_empty()));
        }
    }

    #[test]
    fn reader_of_a_sample_with_one_byte_changed_never_panics(place: prop::sample::Index, byte: u8) {
        let mut text = include_bytes!("data/every_key.json").to_vec();
        let place = place.index(text.len());
        text[place] = byte;
        if let Ok(config) = Config::from_seed(&text) {
            let again = config.to_seed().unwrap();
            let read = Config::from_seed(again.as_bytes()).unwrap();
            prop_assert_eq!(read.without_pointers(), config.without_pointers());
        }
    }
}
