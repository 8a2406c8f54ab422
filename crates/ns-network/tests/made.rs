//! What is made, read back with `ip(8)`.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a test stops where it breaks, and says what it skips"
)]

mod inside;

use std::collections::BTreeSet;
use std::net::UdpSocket;
use std::os::fd::AsFd;

use inside::{Place, device, flags, named_veth, prefixes, route, veth};
use ns_config::{IpvlanMode, MacvlanMode, Network, NetworkKind, stats::NetworkStats};
use ns_network::{
    InterfaceStats, NetnsFd, initialize, remove_host_interfaces, statistics, statistics_inside,
};

in_fresh_namespaces!(
    loopback_comes_up_and_nothing_else_changes,
    veth_joins_the_bridge_with_addresses_of_both_families,
    veth_settings_are_read_back_on_both_ends,
    bridge_that_is_down_stays_down,
    veth_with_hairpin_sends_back,
    veth_with_another_name_and_without_bridge,
    names_with_a_number_become_the_lowest_free,
    two_networks_have_different_names,
    host_ends_are_removed_by_handle_and_by_name,
    default_route_with_source_is_read_back,
    route_with_source_is_read_back,
    macvlan_is_made_inside,
    ipvlan_is_made_inside,
    device_moves_with_its_permanent_addresses,
    device_returns_as_it_was,
    statistics_are_those_of_the_container,
    interfaces_are_listed_with_their_addresses,
    list_that_changes_while_it_is_read_is_read_anew,
    process_is_found_by_pidfd,
    caller_keeps_namespace_descriptors_and_threads,
    many_threads_at_once_do_not_disturb_each_other,
    many_threads_set_up_one_namespace,
);

fn loopback_comes_up_and_nothing_else_changes(place: &Place) {
    let before = place.ip_inside(&["link", "show", "lo"]);
    let made = initialize(
        &[Network::new(NetworkKind::Loopback)],
        &[],
        &place.container,
    )
    .unwrap();
    assert!(made.interfaces().is_empty());
    let after = place.ip_inside(&["link", "show", "lo"]);
    let new: Vec<_> = flags(&after)
        .into_iter()
        .filter(|flag| !flags(&before).contains(flag))
        .collect();
    assert_eq!(new, ["UP", "LOWER_UP"]);
    assert!(place.inside(|| UdpSocket::bind("127.0.0.1:0").is_ok()));
    made.undo(&place.container).unwrap();
    place.check_clean();
}

fn veth_joins_the_bridge_with_addresses_of_both_families(place: &Place) {
    let network = Network {
        gateways: vec!["10.9.0.1".parse().unwrap(), "fd09::1".parse().unwrap()],
        ..veth()
    };
    let made = initialize(&[network], &[], &place.container).unwrap();
    let [interface] = made.interfaces() else {
        unreachable!("{made:?}")
    };
    let host_name = interface.host_name.as_deref().unwrap();
    assert_eq!((interface.name.as_str(), host_name.len()), ("eth0", 11));
    assert!(host_name.starts_with("veth"));
    assert_eq!(made.host_names().collect::<Vec<_>>(), [host_name]);
    let end = place.ip(&["link", "show", host_name]);
    assert_eq!(end[0]["master"], "br0");
    assert!(flags(&end).contains(&"UP".to_owned()));
    assert_eq!(
        place.addresses_inside("eth0"),
        ["10.9.0.2/24", "fd09::2/64"]
    );
    let shown = place.ip_inside(&["addr", "show", "dev", "eth0"]);
    assert!(
        !shown
            .to_string()
            .contains("tentative\":true,\"local\":\"fd09")
    );
    let routes = place.ip_inside(&["route", "show", "default"]);
    assert_eq!(
        (&routes[0]["gateway"], &routes[0]["dev"]),
        (&"10.9.0.1".into(), &"eth0".into())
    );
    let routes = place.ip_inside(&["-6", "route", "show", "default"]);
    assert_eq!(routes[0]["gateway"], "fd09::1");
    for (bind, there) in [("10.9.0.2:0", "10.9.0.1"), ("[fd09::2]:0", "fd09::1")] {
        let server = UdpSocket::bind((there, 0)).unwrap();
        let target = server.local_addr().unwrap();
        place.inside(|| {
            UdpSocket::bind(bind)
                .unwrap()
                .send_to(b"ping", target)
                .unwrap()
        });
        let mut buffer = [0; 16];
        assert_eq!(server.recv_from(&mut buffer).unwrap().0, 4);
    }
    made.remove().unwrap();
    made.remove().unwrap();
    assert_eq!(place.names(), ["lo", "br0"]);
    assert_eq!(place.names_inside(), ["lo"]);
}

fn veth_settings_are_read_back_on_both_ends(place: &Place) {
    let network = Network {
        mac_address: Some("02:42:ac:11:00:65".parse().unwrap()),
        mtu_bytes: Some(1400),
        tx_queue_packets: Some(77),
        ..veth()
    };
    let made = initialize(&[network], &[], &place.container).unwrap();
    let host_name = made.host_names().next().unwrap();
    let (end, eth0) = (
        place.ip(&["link", "show", host_name]),
        place.ip_inside(&["link", "show", "eth0"]),
    );
    for link in [&end, &eth0] {
        assert_eq!(
            (&link[0]["mtu"], &link[0]["txqlen"]),
            (&1400.into(), &77.into())
        );
    }
    for link in [&end, &eth0] {
        let mut flags = flags(link);
        flags.sort();
        assert_eq!(flags, ["BROADCAST", "LOWER_UP", "MULTICAST", "UP"]);
    }
    assert_eq!(eth0[0]["address"], "02:42:ac:11:00:65");
    assert_ne!(end[0]["address"], "02:42:ac:11:00:65");
    let shown = place.ip_inside(&["addr", "show", "dev", "eth0"]);
    assert_eq!(shown[0]["addr_info"][0]["broadcast"], "10.9.0.255");
    assert_eq!(end[0]["linkinfo"]["info_slave_data"]["hairpin"], false);
}

fn bridge_that_is_down_stays_down(place: &Place) {
    place.ip(&["link", "set", "br0", "down"]);
    let before = flags(&place.ip(&["link", "show", "br0"]));
    let _made = initialize(&[veth()], &[], &place.container).unwrap();
    assert_eq!(before, flags(&place.ip(&["link", "show", "br0"])));
}

fn veth_with_hairpin_sends_back(place: &Place) {
    let mut network = named_veth("hair0");
    if let NetworkKind::Veth { hairpin, .. } = &mut network.kind {
        *hairpin = true;
    }
    let _made = initialize(&[network], &[], &place.container).unwrap();
    let end = place.ip(&["link", "show", "hair0"]);
    assert_eq!(end[0]["linkinfo"]["info_slave_data"]["hairpin"], true);
}

fn veth_with_another_name_and_without_bridge(place: &Place) {
    let network = Network {
        name: Some("fifteen-bytes-x".to_owned()),
        kind: NetworkKind::Veth {
            bridge: String::new(),
            prefix: "12345678".to_owned(),
            host_interface_name: None,
            hairpin: false,
        },
        addresses: prefixes(&["10.8.0.2/32"]),
        ..veth()
    };
    let made = initialize(&[network], &[], &place.container).unwrap();
    let host_name = made.host_names().next().unwrap();
    assert_eq!(host_name.len(), 15);
    assert!(place.ip(&["link", "show", host_name])[0]["master"].is_null());
    assert_eq!(place.names_inside(), ["lo", "fifteen-bytes-x"]);
}

fn names_with_a_number_become_the_lowest_free(place: &Place) {
    let network = |address: &str| Network {
        name: Some("net%d".to_owned()),
        addresses: prefixes(&[address]),
        ..veth()
    };
    let networks = [network("10.9.0.2/24"), network("10.9.0.3/24")];
    let made = initialize(&networks, &[], &place.container).unwrap();
    let names: Vec<_> = made.interfaces().iter().map(|i| i.name.as_str()).collect();
    assert_eq!(names, ["net0", "net1"]);
    assert_eq!(place.addresses_inside("net1"), ["10.9.0.3/24"]);
}

fn two_networks_have_different_names(place: &Place) {
    let second = Network {
        name: Some("eth1".to_owned()),
        addresses: prefixes(&["10.9.0.3/24"]),
        ..veth()
    };
    let made = initialize(&[veth(), second], &[], &place.container).unwrap();
    let names: Vec<_> = made.host_names().collect();
    assert_eq!(names.len(), 2);
    assert_ne!(names[0], names[1]);
    assert_eq!(place.names_inside(), ["lo", "eth0", "eth1"]);
    remove_host_interfaces(&names).unwrap();
    place.check_clean();
}

fn host_ends_are_removed_by_handle_and_by_name(place: &Place) {
    let made = initialize(&[named_veth("mine0")], &[], &place.container).unwrap();
    // Another interface that took the name since is not ours.
    place.ip(&["link", "del", "mine0"]);
    place.ip(&[
        "link", "add", "mine0", "type", "veth", "peer", "name", "mine1",
    ]);
    made.remove().unwrap();
    assert!(place.names().contains(&"mine0".to_owned()));
    remove_host_interfaces(&["mine0", "never-was"]).unwrap();
    assert_eq!(place.names(), ["lo", "br0"]);
    let error = remove_host_interfaces(&["br0"]).unwrap_err();
    assert_eq!(error.kind(), ns_network::Kind::Hostile);
    assert_eq!(place.names(), ["lo", "br0"]);
}

fn default_route_with_source_is_read_back(place: &Place) {
    let network = Network {
        addresses: prefixes(&["10.9.0.2/24", "10.9.0.3/24", "fd09::2/64", "fd09::3/64"]),
        ..veth()
    };
    let routes = [
        route("0.0.0.0/0", "10.9.0.3", "10.9.0.1"),
        route("::/0", "fd09::3", "fd09::1"),
    ];
    let _made = initialize(&[network], &routes, &place.container).unwrap();
    let shown = place.ip_inside(&["route", "show", "default"]);
    assert_eq!(shown[0]["prefsrc"], "10.9.0.3");
    assert_eq!(
        (&shown[0]["gateway"], &shown[0]["protocol"]),
        (&"10.9.0.1".into(), &"boot".into())
    );
    let shown = place.ip_inside(&["-6", "route", "show", "default"]);
    assert_eq!(
        (&shown[0]["prefsrc"], &shown[0]["gateway"]),
        (&"fd09::3".into(), &"fd09::1".into())
    );
}

fn route_with_source_is_read_back(place: &Place) {
    let routes = [
        route("192.168.7.0/24", "10.9.0.2", "10.9.0.1"),
        route("192.168.8.0/24", "", ""),
        route("fd77::/48", "", "fd09::1"),
    ];
    let _made = initialize(&[veth()], &routes, &place.container).unwrap();
    let shown = place.ip_inside(&["route", "show", "192.168.7.0/24"]);
    assert_eq!(shown[0]["prefsrc"], "10.9.0.2");
    assert_eq!(
        (&shown[0]["gateway"], &shown[0]["dev"]),
        (&"10.9.0.1".into(), &"eth0".into())
    );
    let shown = place.ip_inside(&["route", "show", "192.168.8.0/24"]);
    assert_eq!(shown[0]["scope"], "link");
    let shown = place.ip_inside(&["-6", "route", "show", "fd77::/48"]);
    assert_eq!(shown[0]["gateway"], "fd09::1");
}

fn macvlan_is_made_inside(place: &Place) {
    if !place.has(&[
        "link", "br0", "name", "probe", "type", "macvlan", "mode", "bridge",
    ]) {
        return;
    }
    place.ip(&["link", "del", "probe"]);
    for (mode, shown) in [
        (MacvlanMode::Bridge, "bridge"),
        (MacvlanMode::Private, "private"),
        (MacvlanMode::Vepa, "vepa"),
        (MacvlanMode::Passthru, "passthru"),
    ] {
        let network = Network {
            mac_address: (mode != MacvlanMode::Passthru)
                .then(|| "02:42:ac:11:00:65".parse().unwrap()),
            mtu_bytes: Some(1400),
            kind: NetworkKind::Macvlan {
                parent: "br0".to_owned(),
                mode,
            },
            ..veth()
        };
        let made = initialize(&[network], &[], &place.container).unwrap();
        assert_eq!(made.host_names().count(), 0);
        let link = place.ip_inside(&["link", "show", "eth0"]);
        assert_eq!(link[0]["linkinfo"]["info_data"]["mode"], shown);
        assert_eq!(link[0]["mtu"], 1400);
        if mode != MacvlanMode::Passthru {
            assert_eq!(link[0]["address"], "02:42:ac:11:00:65");
        }
        assert_eq!(
            place.addresses_inside("eth0"),
            ["10.9.0.2/24", "fd09::2/64"]
        );
        made.undo(&place.container).unwrap();
        place.check_clean();
    }
}

fn ipvlan_is_made_inside(place: &Place) {
    if !place.has(&[
        "link", "br0", "name", "probe", "type", "ipvlan", "mode", "l2",
    ]) {
        return;
    }
    place.ip(&["link", "del", "probe"]);
    for (mode, shown) in [(IpvlanMode::L2, "l2"), (IpvlanMode::L3, "l3")] {
        let network = Network {
            kind: NetworkKind::Ipvlan {
                parent: "br0".to_owned(),
                mode,
            },
            ..veth()
        };
        let made = initialize(&[network], &[], &place.container).unwrap();
        let link = place.ip_inside(&["link", "show", "eth0"]);
        assert_eq!(link[0]["linkinfo"]["info_data"]["mode"], shown);
        made.undo(&place.container).unwrap();
        place.check_clean();
    }
}

/// A device of the host: a dummy where the kernel has them, else one end of a pair.
fn make_device(place: &Place) {
    if place
        .try_ip(&["link", "add", "dev0", "type", "dummy"])
        .is_err()
    {
        place.ip(&[
            "link",
            "add",
            "dev0",
            "type",
            "veth",
            "peer",
            "name",
            "dev0-peer",
        ]);
    }
    place.ip(&["link", "set", "dev0", "mtu", "1450", "up"]);
    place.ip(&[
        "addr",
        "add",
        "10.7.0.2/24",
        "brd",
        "10.7.0.255",
        "dev",
        "dev0",
    ]);
    place.ip(&["addr", "add", "fd07::2/64", "dev", "dev0", "nodad"]);
    let lease = ["valid_lft", "1000", "preferred_lft", "1000"];
    place.ip(&[&["addr", "add", "10.6.0.2/24", "dev", "dev0"], &lease[..]].concat());
    place.ip(&[
        "addr",
        "add",
        "169.254.3.4/16",
        "dev",
        "dev0",
        "scope",
        "link",
    ]);
}

fn device_moves_with_its_permanent_addresses(place: &Place) {
    make_device(place);
    let network = Network {
        name: Some("lan%d".to_owned()),
        addresses: prefixes(&["10.5.0.2/24", "10.7.0.2/24"]),
        tx_queue_packets: Some(50),
        ..device("dev0")
    };
    let made = initialize(&[network], &[], &place.container).unwrap();
    assert!(!place.names().contains(&"dev0".to_owned()));
    assert_eq!(made.interfaces()[0].name, "lan0");
    let mut addresses = place.addresses_inside("lan0");
    addresses.sort();
    assert_eq!(addresses, ["10.5.0.2/24", "10.7.0.2/24", "fd07::2/64"]);
    let link = place.ip_inside(&["link", "show", "lan0"]);
    assert!(flags(&link).contains(&"UP".to_owned()));
    assert_eq!(
        (&link[0]["mtu"], &link[0]["txqlen"]),
        (&1450.into(), &50.into())
    );
}

fn device_returns_as_it_was(place: &Place) {
    make_device(place);
    let before = place.ip(&["link", "show", "dev0"]);
    let network = Network {
        mtu_bytes: Some(1400),
        mac_address: Some("02:42:ac:11:00:65".parse().unwrap()),
        ..device("dev0")
    };
    let made = initialize(&[network], &[], &place.container).unwrap();
    assert_eq!(place.ip_inside(&["link", "show", "eth0"])[0]["mtu"], 1400);
    made.undo(&place.container).unwrap();
    assert_eq!(place.names_inside(), ["lo"]);
    let after = place.ip(&["link", "show", "dev0"]);
    for key in ["ifname", "mtu", "address", "txqlen"] {
        assert_eq!(before[0][key], after[0][key], "{key}");
    }
    assert!(flags(&after).contains(&"UP".to_owned()));
    let mut addresses = place.addresses("dev0");
    addresses.sort();
    assert_eq!(addresses, ["10.7.0.2/24", "fd07::2/64"]);
}

fn statistics_are_those_of_the_container(place: &Place) {
    let made = initialize(&[veth()], &[], &place.container).unwrap();
    let names: Vec<_> = made.host_names().collect();
    let server = UdpSocket::bind("10.9.0.1:0").unwrap();
    let target = server.local_addr().unwrap();
    place.inside(|| {
        let client = UdpSocket::bind("10.9.0.2:0").unwrap();
        let send = |_| assert_eq!(client.send_to(&[1; 1000], target).unwrap(), 1000);
        // The first one waits until the neighbor's address is known, and is not counted before.
        send(0);
        server.recv(&mut [0; 1000]).unwrap();
        (1..100).for_each(send);
    });
    let outside = statistics(&names).unwrap();
    let within = statistics_inside(&place.container, &["eth0"]).unwrap();
    for stats in [&outside[0], &within[0]] {
        assert!(
            stats.tx_bytes >= 100_000 && stats.tx_packets >= 100,
            "{stats:?}"
        );
        assert!(stats.rx_bytes < 50_000, "{stats:?}");
    }
    assert_eq!(
        (outside[0].name.as_str(), within[0].name.as_str()),
        (names[0], "eth0")
    );
    let total: NetworkStats = InterfaceStats::total(&[outside[0].clone(), outside[0].clone()]);
    assert_eq!(total.tx_bytes, 2 * outside[0].tx_bytes);
    assert!(
        serde_json::to_string(&total)
            .unwrap()
            .contains("\"tx_bytes\"")
    );
    assert_eq!(InterfaceStats::total(&[]), NetworkStats::default());
    let error = statistics(&["never-was"]).unwrap_err();
    assert_eq!(error.kind(), ns_network::Kind::NotFound);
}

fn interfaces_are_listed_with_their_addresses(place: &Place) {
    let made = initialize(
        &[Network::new(NetworkKind::Loopback), veth()],
        &[],
        &place.container,
    )
    .unwrap();
    let all = ns_network::interfaces(&place.container).unwrap();
    let find = |name: &str| all.iter().find(|one| one.name == name).unwrap();
    let (lo, eth0) = (find("lo"), find("eth0"));
    assert_eq!(
        (lo.flag_words().as_str(), lo.mtu_bytes),
        ("up|loopback", Some(65536))
    );
    let texts: Vec<String> = lo.addresses.iter().map(ToString::to_string).collect();
    assert_eq!(texts, ["127.0.0.1/8", "::1/128"]);
    assert_eq!(eth0.flag_words(), "up|broadcast|multicast");
    let shown = place.ip_inside(&["link", "show", "eth0"]);
    assert_eq!(eth0.mac_address.unwrap().to_string(), shown[0]["address"]);
    assert_eq!(eth0.mtu_bytes.map(u64::from), shown[0]["mtu"].as_u64());
    let wanted = veth().addresses;
    assert!(
        wanted
            .iter()
            .all(|address| eth0.addresses.contains(address)),
        "{eth0:?}"
    );
    made.undo(&place.container).unwrap();
    place.check_clean();
}

/// The kernel goes on by position in a list that takes more than one answer: what is taken away before the position
/// hides something behind it.
fn list_that_changes_while_it_is_read_is_read_anew(place: &Place) {
    const N_STAYING: usize = 1500;
    let line = |action: &str, n: usize| {
        let (third, fourth) = (n / 250, n % 250);
        format!("addr {action} 10.1.{third}.{fourth}/32 dev lo\n")
    };
    let coming_and_going = N_STAYING..N_STAYING + 100;
    let first: String = coming_and_going
        .clone()
        .chain(0..N_STAYING)
        .map(|n| line("add", n))
        .collect();
    place.batch_inside(&first);
    let turn: String = coming_and_going
        .flat_map(|n| [line("del", n), line("add", n)])
        .collect();
    std::thread::scope(|scope| {
        let changes = scope.spawn(|| place.batch_inside(&turn.repeat(20)));
        while !changes.is_finished() {
            let all = match ns_network::interfaces(&place.container) {
                Ok(all) => all,
                Err(error) => {
                    assert_eq!(error.kind(), ns_network::Kind::Limit, "{error}");
                    continue;
                }
            };
            let addresses: Vec<String> = all[0].addresses.iter().map(ToString::to_string).collect();
            let staying: Vec<&String> = addresses
                .iter()
                .filter(|address| !address.starts_with("10.1.6."))
                .collect();
            let different: BTreeSet<&String> = staying.iter().copied().collect();
            assert_eq!((staying.len(), different.len()), (N_STAYING, N_STAYING));
        }
    });
}

fn process_is_found_by_pidfd(place: &Place) {
    let mut child = place.inside(|| {
        let mut command = std::process::Command::new("cat");
        command.stdin(std::process::Stdio::piped()).spawn().unwrap()
    });
    let pid = i32::try_from(child.id()).unwrap();
    let pidfd = inside::sys::pidfd_open(pid).unwrap();
    let netns = NetnsFd::of_process(pidfd.as_fd()).unwrap();
    let _made = initialize(&[veth()], &[], &netns).unwrap();
    assert_eq!(place.names_inside(), ["lo", "eth0"]);
    drop(child.stdin.take());
    child.wait().unwrap();
    let error = NetnsFd::of_process(pidfd.as_fd()).unwrap_err();
    assert_eq!(error.kind(), ns_network::Kind::NotFound);
    assert!(error.hint().unwrap().contains("ended"));
}

fn caller_keeps_namespace_descriptors_and_threads(place: &Place) {
    let own = || std::fs::read_link("/proc/thread-self/ns/net").unwrap();
    let (before, n_before) = (own(), n_descriptors());
    let made = initialize(&[veth()], &[], &place.container).unwrap();
    made.remove().unwrap();
    assert_eq!(before, own());
    assert_eq!(n_before, n_descriptors());
    let n_threads = std::fs::read_dir("/proc/self/task").unwrap().count();
    assert!(n_threads <= 2, "the test and its harness: {n_threads}");
}

fn many_threads_set_up_one_namespace(place: &Place) {
    let container = place.inside(|| NetnsFd::current().unwrap());
    std::thread::scope(|scope| {
        for number in 0..8 {
            let network = Network {
                name: Some(format!("net{number}")),
                addresses: prefixes(&[&format!("10.9.0.{}/24", number + 10)]),
                ..veth()
            };
            let container = &container;
            scope.spawn(move || initialize(&[network], &[], container).map(drop).unwrap());
        }
    });
    assert_eq!(place.names_inside().len(), 1 + 8, "lo and the eight");
}

fn many_threads_at_once_do_not_disturb_each_other(place: &Place) {
    let one = |number: usize| {
        let network = Network {
            addresses: prefixes(&[&format!("10.9.0.{}/24", number + 10)]),
            ..veth()
        };
        let namespace = inside::new_namespace();
        let container = NetnsFd::from_fd(namespace).unwrap();
        let made = initialize(&[network], &[], &container).unwrap();
        (container, made)
    };
    let all: Vec<_> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..16)
            .map(|number| scope.spawn(move || one(number)))
            .collect();
        threads
            .into_iter()
            .map(|thread| thread.join().unwrap())
            .collect()
    });
    let names: BTreeSet<_> = all.iter().flat_map(|(_, made)| made.host_names()).collect();
    assert_eq!(names.len(), 16);
    assert_eq!(place.names().len(), 2 + 16);
    let names: Vec<_> = names.into_iter().collect();
    remove_host_interfaces(&names).unwrap();
    place.check_clean();
}

fn n_descriptors() -> usize {
    std::fs::read_dir("/proc/self/fd").unwrap().count()
}
