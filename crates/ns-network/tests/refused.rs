//! Bad input: one clear error each, and nothing left behind.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a test stops where it breaks, and says what it skips"
)]

mod inside;

use caps::{CapSet, Capability};
use inside::{Place, device, flags, named_veth, prefixes, route, veth};
use ns_config::{IpvlanMode, MacvlanMode, Network, NetworkKind, Route};
use ns_network::{Error, Kind, NetnsFd, NetworkPlan, initialize, join_namespace};

in_fresh_namespaces!(
    value_that_cannot_be_is_refused_before_anything_is_touched,
    bridge_that_is_missing_is_named,
    bridge_that_is_none_is_refused,
    parent_that_is_missing_is_named,
    device_that_is_missing_is_named,
    device_in_a_bridge_stays_there,
    host_name_that_is_taken_is_an_error,
    name_that_is_taken_inside_is_an_error,
    address_of_the_bridge_is_in_use,
    gateway_that_is_unreachable_leaves_nothing,
    second_network_that_fails_takes_the_first_along,
    route_that_exists_leaves_nothing,
    route_of_unknown_interface_leaves_nothing,
    source_that_no_interface_has_leaves_nothing,
    device_comes_back_when_a_later_step_fails,
    parent_that_is_a_bridge_port_is_busy,
    kind_that_the_kernel_lacks_has_advice,
    device_that_cannot_leave_keeps_its_addresses,
    ipv6_that_is_switched_off_is_an_error,
    namespace_that_is_none_is_refused,
    caller_without_rights_is_told,
);

#[track_caller]
fn check_refused(
    place: &Place,
    networks: &[Network],
    routes: &[Route],
    kind: Kind,
    words: &str,
) -> Error {
    let error = initialize(networks, routes, &place.container).unwrap_err();
    assert_eq!(error.kind(), kind, "{error:?}");
    assert!(error.to_string().contains(words), "{error:?}");
    assert!(error.config_pointer().is_some(), "{error:?}");
    assert!(error.also().is_empty(), "{error:?}");
    assert_eq!(error.to_string().lines().count(), 1);
    error
}

fn value_that_cannot_be_is_refused_before_anything_is_touched(place: &Place) {
    let name = Network {
        name: Some("sixteen-bytes-xx".to_owned()),
        ..veth()
    };
    check_refused(place, &[name], &[], Kind::InvalidValue, "1 to 15 bytes");
    let mtu = Network {
        mtu_bytes: Some(1),
        ..veth()
    };
    check_refused(
        place,
        &[mtu],
        &[],
        Kind::InvalidValue,
        "MTU 1 is not in 1280 to 65535",
    );
    let mixed = [route("10.0.0.0/8", "fd09::2", "")];
    check_refused(place, &[veth()], &mixed, Kind::InvalidValue, "IPv4 or IPv6");
    check_refused(
        place,
        &[named_veth("sixteen-bytes-xx")],
        &[],
        Kind::InvalidValue,
        "15 bytes",
    );
    place.check_clean();
}

fn bridge_that_is_missing_is_named(place: &Place) {
    place.ip(&["link", "del", "br0"]);
    let plan = NetworkPlan::new(&[veth()], &[]).unwrap();
    let error = plan.check_host().unwrap_err();
    assert_eq!(
        error.to_string(),
        "find interface: RTM_GETLINK(IFLA_IFNAME=\"br0\"): ENODEV (no such interface) \
         (from /networks/0)"
    );
    check_refused(place, &[veth()], &[], Kind::NotFound, "\"br0\"");
    assert_eq!(place.names(), ["lo"]);
}

fn bridge_that_is_none_is_refused(place: &Place) {
    let mut network = veth();
    if let NetworkKind::Veth { bridge, .. } = &mut network.kind {
        *bridge = "lo".to_owned();
    }
    check_refused(place, &[network], &[], Kind::InvalidValue, "not a bridge");
    place.check_clean();
}

fn parent_that_is_missing_is_named(place: &Place) {
    let network = Network {
        kind: NetworkKind::Macvlan {
            parent: "nowhere".to_owned(),
            mode: MacvlanMode::Bridge,
        },
        ..veth()
    };
    check_refused(place, &[network], &[], Kind::NotFound, "\"nowhere\"");
    place.check_clean();
}

fn device_that_is_missing_is_named(place: &Place) {
    check_refused(
        place,
        &[device("nowhere")],
        &[],
        Kind::NotFound,
        "\"nowhere\"",
    );
    let error = check_refused(
        place,
        &[device("lo")],
        &[],
        Kind::InvalidValue,
        "move interface",
    );
    assert!(error.hint().is_some(), "{error:?}");
    place.check_clean();
}

fn device_in_a_bridge_stays_there(place: &Place) {
    place.ip(&[
        "link", "add", "dev0", "type", "veth", "peer", "name", "dev1",
    ]);
    place.ip(&["link", "set", "dev0", "master", "br0"]);
    check_refused(place, &[device("dev0")], &[], Kind::Busy, "bridge");
    assert_eq!(place.ip(&["link", "show", "dev0"])[0]["master"], "br0");
}

fn host_name_that_is_taken_is_an_error(place: &Place) {
    place.ip(&[
        "link", "add", "taken", "type", "veth", "peer", "name", "other",
    ]);
    let before = place.ip(&["link", "show", "taken"]);
    check_refused(
        place,
        &[named_veth("taken")],
        &[],
        Kind::AlreadyExists,
        "\"taken\"",
    );
    assert_eq!(
        before[0]["ifindex"],
        place.ip(&["link", "show", "taken"])[0]["ifindex"]
    );
    assert_eq!(place.names_inside(), ["lo"]);
}

fn name_that_is_taken_inside_is_an_error(place: &Place) {
    let _made = initialize(&[veth()], &[], &place.container).unwrap();
    let before = place.names();
    let again = Network {
        addresses: prefixes(&["10.9.0.9/24"]),
        ..veth()
    };
    check_refused(
        place,
        &[again],
        &[],
        Kind::AlreadyExists,
        "\"eth0\" in the container",
    );
    assert_eq!(before, place.names());
    assert_eq!(
        place.addresses_inside("eth0"),
        ["10.9.0.2/24", "fd09::2/64"]
    );
}

fn address_of_the_bridge_is_in_use(place: &Place) {
    let network = Network {
        addresses: prefixes(&["10.9.0.1/24"]),
        ..veth()
    };
    check_refused(place, &[network], &[], Kind::AlreadyExists, "10.9.0.1");
    place.check_clean();
}

fn gateway_that_is_unreachable_leaves_nothing(place: &Place) {
    for (gateway, words) in [
        ("10.77.0.1", Some("Nexthop has invalid gateway")),
        ("fd77::1", None),
    ] {
        let network = Network {
            gateways: vec![gateway.parse().unwrap()],
            ..veth()
        };
        let networks = [Network::new(NetworkKind::Loopback), network];
        let error = check_refused(place, &networks, &[], Kind::InvalidValue, gateway);
        assert_eq!(error.step(), "add route");
        assert_eq!(error.kernel_text(), words);
        assert!(error.hint().is_some(), "{error:?}");
        place.check_clean();
    }
}

fn second_network_that_fails_takes_the_first_along(place: &Place) {
    let second = Network {
        name: Some("eth1".to_owned()),
        addresses: prefixes(&["10.9.0.3/24"]),
        gateways: vec!["10.77.0.1".parse().unwrap()],
        pointer: "/networks/1".to_owned(),
        ..veth()
    };
    let error = check_refused(
        place,
        &[veth(), second],
        &[],
        Kind::InvalidValue,
        "10.77.0.1",
    );
    assert_eq!(error.config_pointer(), Some("/networks/1"));
    place.check_clean();
}

fn route_that_exists_leaves_nothing(place: &Place) {
    let twice = route("192.168.7.0/24", "", "10.9.0.1");
    let error = check_refused(
        place,
        &[veth()],
        &[twice.clone(), twice],
        Kind::AlreadyExists,
        "RTM_NEWROUTE(192.168.7.0/24 via 10.9.0.1 dev eth0)",
    );
    assert_eq!(error.config_pointer(), Some("/routes/0"));
    place.check_clean();
}

fn route_of_unknown_interface_leaves_nothing(place: &Place) {
    let bad = Route {
        interface_name: "eth7".to_owned(),
        ..route("192.168.7.0/24", "", "10.9.0.1")
    };
    check_refused(place, &[veth()], &[bad], Kind::NotFound, "\"eth7\"");
    place.check_clean();
}

fn source_that_no_interface_has_leaves_nothing(place: &Place) {
    let bad = route("192.168.7.0/24", "10.9.0.77", "10.9.0.1");
    check_refused(
        place,
        &[veth()],
        &[bad],
        Kind::InvalidValue,
        "src 10.9.0.77",
    );
    place.check_clean();
}

fn device_comes_back_when_a_later_step_fails(place: &Place) {
    place.ip(&[
        "link", "add", "dev0", "type", "veth", "peer", "name", "dev1",
    ]);
    place.ip(&["link", "set", "dev0", "up"]);
    place.ip(&["addr", "add", "10.7.0.2/24", "dev", "dev0"]);
    let network = Network {
        gateways: vec!["10.77.0.1".parse().unwrap()],
        mtu_bytes: Some(1400),
        ..device("dev0")
    };
    check_refused(place, &[network], &[], Kind::InvalidValue, "10.77.0.1");
    let link = place.ip(&["link", "show", "dev0"]);
    assert_eq!(link[0]["mtu"], 1500);
    assert!(flags(&link).contains(&"UP".to_owned()));
    assert_eq!(place.addresses("dev0"), ["10.7.0.2/24"]);
    assert_eq!(place.names_inside(), ["lo"]);
}

fn parent_that_is_a_bridge_port_is_busy(place: &Place) {
    place.ip(&[
        "link", "add", "dev0", "type", "veth", "peer", "name", "dev1",
    ]);
    place.ip(&["link", "set", "dev0", "master", "br0"]);
    let network = Network {
        kind: NetworkKind::Macvlan {
            parent: "dev0".to_owned(),
            mode: MacvlanMode::Bridge,
        },
        ..veth()
    };
    let error = initialize(&[network], &[], &place.container).unwrap_err();
    if error.kind() == Kind::Unsupported {
        assert!(error.hint().unwrap().contains("module"), "{error:?}");
        println!("SKIP {}: no macvlan", place.test);
        return;
    }
    assert_eq!(error.kind(), Kind::Busy, "{error:?}");
    assert!(
        error
            .to_string()
            .contains("macvlan, \"eth0\" in the container, link "),
        "{error:?}"
    );
    assert!(
        error.hint().unwrap().contains("already belongs"),
        "{error:?}"
    );
    assert_eq!(place.names_inside(), ["lo"]);
}

fn kind_that_the_kernel_lacks_has_advice(place: &Place) {
    if place
        .try_ip(&[
            "link", "add", "link", "br0", "name", "probe", "type", "ipvlan", "mode", "l2",
        ])
        .is_ok()
    {
        println!("SKIP {}: this kernel has ipvlan", place.test);
        return;
    }
    let network = Network {
        kind: NetworkKind::Ipvlan {
            parent: "br0".to_owned(),
            mode: IpvlanMode::L2,
        },
        ..veth()
    };
    let error = check_refused(
        place,
        &[network],
        &[],
        Kind::Unsupported,
        "Unknown device type",
    );
    assert!(error.hint().unwrap().contains("module"), "{error:?}");
    place.check_clean();
}

fn device_that_cannot_leave_keeps_its_addresses(place: &Place) {
    place.ip(&["link", "add", "dev0", "type", "bridge"]);
    place.ip(&["link", "set", "dev0", "mtu", "1450"]);
    place.ip(&["addr", "add", "10.7.0.2/24", "dev", "dev0"]);
    let network = Network {
        addresses: prefixes(&["10.5.0.2/24"]),
        ..device("dev0")
    };
    // A bridge belongs to its namespace.
    let error = check_refused(place, &[network], &[], Kind::InvalidValue, "move interface");
    assert!(error.hint().is_some());
    assert_eq!(place.addresses("dev0"), ["10.7.0.2/24"]);
    assert_eq!(place.ip(&["link", "show", "dev0"])[0]["mtu"], 1450);
}

fn ipv6_that_is_switched_off_is_an_error(place: &Place) {
    place.inside(|| std::fs::write("/proc/sys/net/ipv6/conf/default/disable_ipv6", "1").unwrap());
    let error = check_refused(place, &[veth()], &[], Kind::Denied, "fd09::2/64");
    assert!(error.hint().unwrap().contains("disable_ipv6"), "{error:?}");
    place.check_clean();
}

fn namespace_that_is_none_is_refused(_: &Place) {
    for (path, kind) in [
        ("/proc/self/ns/mnt", Kind::Hostile),
        ("/proc/self/status", Kind::Hostile),
        ("/dev/null", Kind::Hostile),
        ("/no/such", Kind::NotFound),
        ("proc/self/ns/net", Kind::InvalidValue),
    ] {
        assert_eq!(NetnsFd::open(path).unwrap_err().kind(), kind, "{path}");
        let error = join_namespace(path, "/networks/0").unwrap_err();
        assert_eq!(error.config_pointer(), Some("/networks/0"));
    }
    let namespace = join_namespace("/proc/self/ns/net", "/networks/0").unwrap();
    assert_eq!(namespace.path.as_deref(), Some("/proc/self/ns/net"));
}

fn caller_without_rights_is_told(place: &Place) {
    let refused = |rights: &[Capability]| {
        let attempt = || {
            // Rights belong to threads, and pass on to those that a thread starts.
            for right in rights {
                caps::drop(None, CapSet::Effective, *right).unwrap();
            }
            initialize(&[veth()], &[], &place.container).unwrap_err()
        };
        std::thread::scope(|scope| scope.spawn(attempt).join().unwrap())
    };
    let error = refused(&[Capability::CAP_SYS_ADMIN]);
    assert_eq!(error.kind(), Kind::Denied, "{error:?}");
    assert!(error.hint().unwrap().contains("CAP_SYS_ADMIN"), "{error:?}");
    let error = refused(&[Capability::CAP_NET_ADMIN]);
    assert_eq!(error.kind(), Kind::Denied, "{error:?}");
    assert!(error.hint().unwrap().contains("CAP_NET_ADMIN"), "{error:?}");
    place.check_clean();
}
