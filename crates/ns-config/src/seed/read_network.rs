//! `networks` and `routes`.

use std::net::IpAddr;

use crate::{
    error::{Error, Kind, Problem},
    namespace::{NamespaceKind, Namespaces},
    network::{IpPrefix, IpvlanMode, MacvlanMode, Network, NetworkKind, Route},
    object::{Keys, Object},
};

const KEYS: Keys = Keys {
    known: &[
        "type",
        "bridge",
        "veth_prefix",
        "mac_address",
        "address",
        "ipv6_address",
        "gateway",
        "ipv6_gateway",
        "mtu",
        "txqueuelen",
        "ns_path",
        "hairpin_mode",
        "name",
        "host_interface_name",
        "parent",
        "mode",
    ],
    moved: &[("context", "bridge, veth_prefix and ns_path")],
};
const ROUTE_KEYS: Keys = Keys {
    known: &["destination", "source", "gateway", "interface_name"],
    moved: &[],
};

/// Reads `networks`. The early type `netns` becomes a namespace that is joined.
pub(super) fn read_networks(object: &Object<'_>, namespaces: &mut Namespaces) -> Vec<Network> {
    let mut networks = Vec::new();
    for entry in object.objects("networks", &KEYS) {
        match entry.text("type").as_deref() {
            Some("loopback") => networks.push(read_loopback(&entry)),
            Some("netns") => read_netns(&entry, namespaces),
            Some(name) => networks.extend(read_interface(&entry, name)),
            None => entry.missing("type", TYPES),
        }
    }
    networks
}

const TYPES: &str = "loopback, veth, macvlan, ipvlan, device, netns";

/// The samples give loopback an address and a gateway, which the seed did not look at.
fn read_loopback(entry: &Object<'_>) -> Network {
    for key in [
        "address",
        "ipv6_address",
        "gateway",
        "ipv6_gateway",
        "mac_address",
        "name",
    ] {
        entry.text(key);
    }
    for key in ["mtu", "txqueuelen"] {
        entry.integer::<i64>(key, "a number");
    }
    for key in [
        "bridge",
        "veth_prefix",
        "ns_path",
        "host_interface_name",
        "parent",
        "mode",
    ] {
        refuse(entry, key, "loopback");
    }
    let pointer = entry.pointer.clone();
    Network {
        pointer,
        ..Network::new(NetworkKind::Loopback)
    }
}

fn read_netns(entry: &Object<'_>, namespaces: &mut Namespaces) {
    match entry.text("ns_path") {
        Some(path) => namespaces.add(NamespaceKind::Network, Some(path), &entry.pointer),
        None => entry.missing("ns_path", "the path of a network namespace"),
    }
    for key in KEYS
        .known
        .iter()
        .filter(|key| !["type", "ns_path"].contains(key))
    {
        refuse(entry, key, "netns");
    }
}

fn read_interface(entry: &Object<'_>, type_name: &str) -> Option<Network> {
    let kind = read_kind(entry, type_name);
    let mut network = Network::new(kind?);
    network.name = entry.text("name");
    network.mac_address = entry.parsed("mac_address");
    network
        .addresses
        .extend(read_prefix(entry, "address", IpAddr::is_ipv4));
    network
        .addresses
        .extend(read_prefix(entry, "ipv6_address", IpAddr::is_ipv6));
    network
        .gateways
        .extend(read_address(entry, "gateway", Some(IpAddr::is_ipv4)));
    network
        .gateways
        .extend(read_address(entry, "ipv6_gateway", Some(IpAddr::is_ipv6)));
    network.mtu_bytes = entry
        .integer("mtu", "68 to 65535, or 0 (unset)")
        .filter(|mtu| *mtu != 0);
    network.tx_queue_packets = entry.integer("txqueuelen", "a number of packets");
    network.pointer.clone_from(&entry.pointer);
    Some(network)
}

fn read_kind(entry: &Object<'_>, type_name: &str) -> Option<NetworkKind> {
    let (kind, own_keys): (NetworkKind, &[&str]) = match type_name {
        "veth" => (
            read_veth(entry),
            &[
                "bridge",
                "veth_prefix",
                "host_interface_name",
                "hairpin_mode",
            ],
        ),
        "macvlan" => (read_macvlan(entry)?, &["parent", "mode"]),
        "ipvlan" => (read_ipvlan(entry)?, &["parent", "mode"]),
        "device" => (read_device(entry)?, &["host_interface_name"]),
        _ => {
            entry.invalid("type", "is not a network type", TYPES);
            return None;
        }
    };
    let special = [
        "bridge",
        "veth_prefix",
        "host_interface_name",
        "hairpin_mode",
        "parent",
        "mode",
        "ns_path",
    ];
    for key in special.into_iter().filter(|key| !own_keys.contains(key)) {
        refuse(entry, key, type_name);
    }
    Some(kind)
}

fn read_veth(entry: &Object<'_>) -> NetworkKind {
    NetworkKind::Veth {
        bridge: entry.text("bridge").unwrap_or_default(),
        prefix: entry.text("veth_prefix").unwrap_or_default(),
        host_interface_name: entry.text("host_interface_name"),
        hairpin: entry.flag("hairpin_mode"),
    }
}

fn read_macvlan(entry: &Object<'_>) -> Option<NetworkKind> {
    let mode = match entry.text("mode").as_deref() {
        None | Some("bridge") => Some(MacvlanMode::Bridge),
        Some("private") => Some(MacvlanMode::Private),
        Some("vepa") => Some(MacvlanMode::Vepa),
        Some("passthru") => Some(MacvlanMode::Passthru),
        Some(_) => {
            let accepted = "bridge, private, vepa, passthru";
            entry.invalid("mode", "is not a macvlan mode", accepted);
            None
        }
    };
    let parent = required(entry, "parent", "the name of a host's interface");
    Some(NetworkKind::Macvlan {
        parent: parent?,
        mode: mode?,
    })
}

fn read_ipvlan(entry: &Object<'_>) -> Option<NetworkKind> {
    let mode = match entry.text("mode").as_deref() {
        None | Some("l2") => Some(IpvlanMode::L2),
        Some("l3") => Some(IpvlanMode::L3),
        Some("l3s") => Some(IpvlanMode::L3s),
        Some(_) => {
            entry.invalid("mode", "is not an ipvlan mode", "l2, l3, l3s");
            None
        }
    };
    let parent = required(entry, "parent", "the name of a host's interface");
    Some(NetworkKind::Ipvlan {
        parent: parent?,
        mode: mode?,
    })
}

fn read_device(entry: &Object<'_>) -> Option<NetworkKind> {
    let name = required(
        entry,
        "host_interface_name",
        "the name of a host's interface",
    );
    Some(NetworkKind::Device {
        host_interface_name: name?,
    })
}

/// Reads `routes`.
pub(super) fn read_routes(object: &Object<'_>) -> Vec<Route> {
    let entries = object.objects("routes", &ROUTE_KEYS).into_iter();
    entries.filter_map(|entry| read_route(&entry)).collect()
}

fn read_route(entry: &Object<'_>) -> Option<Route> {
    let destination = entry.parsed("destination");
    let source = read_address(entry, "source", None);
    let gateway = read_address(entry, "gateway", None);
    let interface_name = required(entry, "interface_name", "the name of an interface inside")?;
    let pointer = entry.pointer.clone();
    Some(Route {
        destination,
        source,
        gateway,
        interface_name,
        pointer,
    })
}

fn required(entry: &Object<'_>, key: &str, accepted: &str) -> Option<String> {
    let text = entry.text(key);
    // A value of the wrong type has its own problem.
    if text.is_none()
        && !matches!(entry.node(key), Some((node, _)) if node.type_name() != "a string")
    {
        entry.missing(key, accepted);
    }
    text
}

fn refuse(entry: &Object<'_>, key: &str, type_name: &str) {
    let empty =
        |node: &crate::json::Node| ["\"\"", "false", "0"].contains(&node.to_string().as_str());
    if entry.node(key).is_some_and(|(node, _)| !empty(node)) {
        entry.invalid(
            key,
            &format!("means nothing for type {type_name:?}"),
            "no such key",
        );
    }
}

fn read_prefix(entry: &Object<'_>, key: &str, family: fn(&IpAddr) -> bool) -> Option<IpPrefix> {
    let prefix: IpPrefix = entry.parsed(key)?;
    if family(&prefix.address) {
        return Some(prefix);
    }
    entry.invalid(
        key,
        "is of the other IP version",
        "IPv4 in address, IPv6 in ipv6_address",
    );
    None
}

fn read_address(
    entry: &Object<'_>,
    key: &str,
    family: Option<fn(&IpAddr) -> bool>,
) -> Option<IpAddr> {
    let text = entry.text(key)?;
    let (_, pointer) = entry.node(key)?;
    let Ok(address) = text.parse::<IpAddr>() else {
        let problem = Problem::new(Kind::InvalidValue, &pointer, text, "is not an IP address");
        entry.note_error(
            &pointer,
            Error::new(
                "read address",
                problem.accepted("a bare address, e.g. 10.0.0.1"),
            ),
        );
        return None;
    };
    if family.is_none_or(|family| family(&address)) {
        return Some(address);
    }
    entry.invalid(
        key,
        "is of the other IP version",
        "IPv4 in gateway, IPv6 in ipv6_gateway",
    );
    None
}
