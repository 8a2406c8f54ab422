//! What both formats can say goes from `container.json` to `config.json` and back unchanged.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a failed test says why")]

mod generate;

use std::collections::BTreeSet;

use ns_config::{
    Config, DeviceRule, Kind, Mount, NamespaceKind, Network, NetworkKind, OciConfig, Propagation,
    RootEntry, Source,
};
use proptest::prelude::*;

const SAMPLES: [(&str, &str, &[&str]); 8] = [
    ("minimal", include_str!("data/minimal.json"), &["/user"]),
    ("apparmor", include_str!("data/apparmor.json"), &["/user"]),
    ("selinux", include_str!("data/selinux.json"), &["/user"]),
    (
        "attach_to_bridge",
        include_str!("data/attach_to_bridge.json"),
        &["/networks/1", "/user"],
    ),
    (
        "route_source_address_selection",
        include_str!("data/route_source_address_selection.json"),
        &["/networks/1", "/routes/0", "/user"],
    ),
    ("host-pid", include_str!("data/host-pid.json"), &["/user"]),
    (
        "userns",
        include_str!("data/userns.json"),
        &["/networks/1", "/user"],
    ),
    (
        "every_key",
        include_str!("data/every_key.json"),
        &["/cgroups/slice", "/networks/1", "/routes/0", "/user"],
    ),
];

fn oci(config: Config) -> OciConfig {
    OciConfig {
        config,
        ..OciConfig::default()
    }
}

/// There and back; nothing may be ignored on the way.
fn there_and_back(config: &Config) -> Config {
    let written = oci(config.clone())
        .to_json()
        .unwrap_or_else(|error| panic!("{error}"));
    let read = OciConfig::from_json(written.as_bytes(), "")
        .and_then(OciConfig::strict)
        .unwrap_or_else(|error| panic!("{error}\n{written}"));
    assert_eq!(read.config.source, Source::Oci);
    read.config
}

/// Takes out what `config.json` cannot say.
fn expressible(mut config: Config) -> Config {
    let keep_loopback = config.namespaces.creates(NamespaceKind::Network);
    config.networks.clear();
    if keep_loopback {
        config.networks.push(Network::new(NetworkKind::Loopback));
    }
    config.routes.clear();
    config.root_entry = RootEntry::Pivot;
    config.rootfs_propagation = Propagation::Private;
    config.process.user = "7:8".parse().unwrap();
    // The same as none.
    config.process.working_dir = config.process.working_dir.filter(|path| path != "/");
    let mut seen = BTreeSet::new();
    config
        .process
        .rlimits
        .retain(|limit| seen.insert(limit.resource));
    for Mount {
        destination,
        options,
        ..
    } in &mut config.mounts
    {
        options.relabel = None;
        // The reader takes a relative one from the root.
        if !destination.starts_with('/') {
            destination.insert(0, '/');
        }
    }
    config
        .devices
        .iter_mut()
        .for_each(|device| device.mode &= 0o7777);
    if let Some(cgroup) = &mut config.cgroup {
        cgroup.slice = None;
        cgroup.freezer = None;
        cgroup.name.push('x');
        if !cgroup.parent.is_empty() {
            let trimmed = cgroup.parent.trim_end_matches('/');
            cgroup.parent = if trimmed.is_empty() { "/" } else { trimmed }.to_owned();
        }
    }
    config
}

/// What a rule says of its node is for people, and not part of `config.json`.
fn without_notes(mut config: Config) -> Config {
    for rule in config
        .cgroup
        .iter_mut()
        .flat_map(|cgroup| &mut cgroup.devices)
        .flatten()
    {
        let plain = DeviceRule::allow(rule.kind, rule.major, rule.minor, rule.access);
        *rule = DeviceRule {
            allow: rule.allow,
            ..plain
        };
    }
    config.without_pointers()
}

#[test]
fn samples_name_exactly_what_cannot_be_written() {
    for (name, text, expected) in SAMPLES {
        let config = Config::from_seed(text.as_bytes()).unwrap();
        let error = oci(config).to_json().unwrap_err();
        assert_eq!(error.kind(), Kind::Unsupported);
        let pointers: BTreeSet<&str> = error.problems().map(|one| one.pointer.as_str()).collect();
        let expected: BTreeSet<&str> = expected.iter().copied().collect();
        assert_eq!(pointers, expected, "{name}: {error}");
        assert!(
            error.problems().all(|one| one.hint.is_some()),
            "{name}: {error}"
        );
    }
}

#[test]
fn samples_without_that_come_back_to_the_letter() {
    for (name, text, _) in SAMPLES {
        let mut config = Config::from_seed(text.as_bytes()).unwrap();
        config
            .networks
            .retain(|network| network.kind == NetworkKind::Loopback);
        config.routes.clear();
        config.process.user = "7:8".parse().unwrap();
        if let Some(cgroup) = &mut config.cgroup {
            cgroup.slice = None;
        }
        let back = there_and_back(&config);
        assert_eq!(back.without_pointers(), config.without_pointers(), "{name}");
        assert_eq!(back.to_seed().unwrap(), config.to_seed().unwrap(), "{name}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn expressible_config_comes_back_the_same(config in generate::whole()) {
        let config = expressible(config);
        let back = there_and_back(&config);
        prop_assert_eq!(without_notes(back.clone()), without_notes(config));
        // What was read from `config.json` is also written so that it is read back the same.
        prop_assert_eq!(there_and_back(&back), back);
    }

    #[test]
    fn reader_of_a_document_with_one_byte_changed_never_panics(place: prop::sample::Index, byte: u8) {
        let mut text = include_bytes!("data/oci_engine.json").to_vec();
        let place = place.index(text.len());
        text[place] = byte;
        if let Ok(read) = OciConfig::from_json(&text, "/bundle") {
            // What can be written again is the same again.
            if let Ok(written) = read.to_json() {
                let again = OciConfig::from_json(written.as_bytes(), "/bundle").unwrap();
                prop_assert_eq!(without_notes(again.config), without_notes(read.config));
            }
        }
    }
}
