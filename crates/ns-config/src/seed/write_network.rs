//! Writing `networks` and `routes`.

use std::net::IpAddr;

use serde::Serialize;

use super::write::is_default;
use crate::{
    network::{IpvlanMode, MacvlanMode, Network, NetworkKind, Route},
    refusal::Refusals,
    source::Setting,
};

#[derive(Default, Serialize)]
pub(super) struct NetworkForm<'a> {
    r#type: &'static str,
    #[serde(skip_serializing_if = "is_default")]
    bridge: &'a str,
    #[serde(skip_serializing_if = "is_default")]
    veth_prefix: &'a str,
    #[serde(skip_serializing_if = "is_default")]
    name: &'a str,
    #[serde(skip_serializing_if = "is_default")]
    host_interface_name: &'a str,
    #[serde(skip_serializing_if = "is_default")]
    parent: &'a str,
    #[serde(skip_serializing_if = "is_default")]
    mode: &'static str,
    #[serde(skip_serializing_if = "is_default")]
    mac_address: String,
    #[serde(skip_serializing_if = "is_default")]
    address: String,
    #[serde(skip_serializing_if = "is_default")]
    ipv6_address: String,
    #[serde(skip_serializing_if = "is_default")]
    gateway: String,
    #[serde(skip_serializing_if = "is_default")]
    ipv6_gateway: String,
    #[serde(skip_serializing_if = "is_default")]
    mtu: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    txqueuelen: Option<u32>,
    #[serde(skip_serializing_if = "is_default")]
    hairpin_mode: bool,
}

#[derive(Serialize)]
pub(super) struct RouteForm<'a> {
    #[serde(skip_serializing_if = "is_default")]
    destination: String,
    #[serde(skip_serializing_if = "is_default")]
    source: String,
    #[serde(skip_serializing_if = "is_default")]
    gateway: String,
    interface_name: &'a str,
}

pub(super) fn networks<'a>(
    networks: &'a [Network],
    refusals: &mut Refusals,
) -> Vec<NetworkForm<'a>> {
    networks
        .iter()
        .map(|network| network_form(network, refusals))
        .collect()
}

fn network_form<'a>(network: &'a Network, refusals: &mut Refusals) -> NetworkForm<'a> {
    let form = kind_form(&network.kind);
    let bare = Network {
        pointer: network.pointer.clone(),
        ..Network::new(NetworkKind::Loopback)
    };
    let loopback_with_more = network.kind == NetworkKind::Loopback && *network != bare;
    let unset = [
        network.name.as_deref() == Some(""),
        network.mtu_bytes == Some(0),
    ];
    refusals.refuse_if(
        loopback_with_more || unset.contains(&true),
        Setting::Networks,
    );
    let addresses: Vec<IpAddr> = network
        .addresses
        .iter()
        .map(|prefix| prefix.address)
        .collect();
    if !one_by_family(&addresses) || !one_by_family(&network.gateways) {
        let rule =
            "container.json holds one address and one gateway of each IP version, IPv4 first";
        let item = (network.pointer.as_str(), Setting::Networks);
        refusals.refuse_item(item, rule, "leave out the others");
    }
    let prefix = |family: fn(&IpAddr) -> bool| {
        let found = network
            .addresses
            .iter()
            .find(|prefix| family(&prefix.address));
        found.map(ToString::to_string).unwrap_or_default()
    };
    let gateway = |family: fn(&IpAddr) -> bool| text(network.gateways.iter().find(|ip| family(ip)));
    NetworkForm {
        name: network.name.as_deref().unwrap_or_default(),
        mac_address: text(network.mac_address.as_ref()),
        address: prefix(IpAddr::is_ipv4),
        ipv6_address: prefix(IpAddr::is_ipv6),
        gateway: gateway(IpAddr::is_ipv4),
        ipv6_gateway: gateway(IpAddr::is_ipv6),
        mtu: network.mtu_bytes.unwrap_or_default(),
        txqueuelen: network.tx_queue_packets,
        ..form
    }
}

fn kind_form(kind: &NetworkKind) -> NetworkForm<'_> {
    match kind {
        NetworkKind::Loopback => NetworkForm {
            r#type: "loopback",
            ..NetworkForm::default()
        },
        NetworkKind::Veth {
            bridge,
            prefix,
            host_interface_name,
            hairpin,
        } => NetworkForm {
            r#type: "veth",
            bridge,
            veth_prefix: prefix,
            host_interface_name: host_interface_name.as_deref().unwrap_or_default(),
            hairpin_mode: *hairpin,
            ..NetworkForm::default()
        },
        NetworkKind::Macvlan { parent, mode } => NetworkForm {
            r#type: "macvlan",
            parent,
            mode: match mode {
                MacvlanMode::Bridge => "bridge",
                MacvlanMode::Private => "private",
                MacvlanMode::Vepa => "vepa",
                MacvlanMode::Passthru => "passthru",
            },
            ..NetworkForm::default()
        },
        NetworkKind::Ipvlan { parent, mode } => NetworkForm {
            r#type: "ipvlan",
            parent,
            mode: match mode {
                IpvlanMode::L2 => "l2",
                IpvlanMode::L3 => "l3",
                IpvlanMode::L3s => "l3s",
            },
            ..NetworkForm::default()
        },
        NetworkKind::Device {
            host_interface_name,
        } => NetworkForm {
            r#type: "device",
            host_interface_name,
            ..NetworkForm::default()
        },
    }
}

/// At most one IPv4 address, then at most one IPv6 address.
fn one_by_family(addresses: &[IpAddr]) -> bool {
    match addresses {
        [] | [_] => true,
        [first, second] => first.is_ipv4() && second.is_ipv6(),
        _ => false,
    }
}

pub(super) fn route_form(route: &Route) -> RouteForm<'_> {
    RouteForm {
        destination: text(route.destination.as_ref()),
        source: text(route.source.as_ref()),
        gateway: text(route.gateway.as_ref()),
        interface_name: &route.interface_name,
    }
}

fn text<T: ToString>(value: Option<&T>) -> String {
    value.map(ToString::to_string).unwrap_or_default()
}
