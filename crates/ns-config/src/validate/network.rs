//! Networks and routes.

use std::net::IpAddr;

use super::Check;
use crate::{
    namespace::NamespaceKind,
    network::{IpPrefix, Network, NetworkKind, Route},
    source::{Setting, Source},
};

impl Check<'_> {
    pub(super) fn networks(&mut self) {
        let networks = &self.config.networks;
        if !networks.is_empty() {
            self.needs_new(NamespaceKind::Network, Setting::Networks, networks.len());
        }
        for (network_idx, network) in networks.iter().enumerate() {
            let pointer = self.item(&network.pointer, Setting::Networks, network_idx);
            let earlier = &networks[..network_idx];
            let name = network.name_inside();
            if earlier.iter().any(|other| other.name_inside() == name) {
                let pointer = self.key(&pointer, "name", "");
                let rule = "is the name of two interfaces in the container";
                self.conflict(&pointer, name, rule, "one interface per name");
            }
            let gateways = earlier.iter().flat_map(|other| &other.gateways);
            let taken = gateways.map(IpAddr::is_ipv4).collect();
            self.network_kind(network, &pointer);
            self.addresses(network, &pointer);
            self.gateways(network, taken, &pointer);
        }
    }

    fn network_kind(&mut self, network: &Network, pointer: &str) {
        if let Some(name) = &network.name {
            self.interface_name(name, &self.key(pointer, "name", ""));
        }
        match &network.kind {
            NetworkKind::Loopback => {}
            NetworkKind::Veth { .. } => self.veth(network, pointer),
            NetworkKind::Macvlan { parent, .. } | NetworkKind::Ipvlan { parent, .. } => {
                self.interface_name(parent, &self.key(pointer, "parent", ""));
            }
            NetworkKind::Device {
                host_interface_name,
            } => {
                let pointer = self.key(pointer, "host_interface_name", "");
                self.interface_name(host_interface_name, &pointer);
            }
        }
        let lowest = if network.addresses.iter().any(|a| a.address.is_ipv6()) {
            1280
        } else {
            68
        };
        if let Some(mtu) = network
            .mtu_bytes
            .filter(|mtu| !(lowest..=65_535).contains(mtu))
        {
            let pointer = self.key(pointer, "mtu", "");
            let accepted = format!("{lowest} to 65535");
            self.invalid(&pointer, mtu, "is not an MTU", &accepted);
        }
        if let Some(mac) = network.mac_address
            && (mac.is_multicast() || mac.0 == [0; 6])
        {
            let pointer = self.key(pointer, "mac_address", "");
            let rule = "is not the address of one interface";
            self.invalid(
                &pointer,
                mac.to_string(),
                rule,
                "an even first byte, not all zero",
            );
        }
    }

    fn veth(&mut self, network: &Network, pointer: &str) {
        let NetworkKind::Veth {
            bridge,
            prefix,
            host_interface_name,
            hairpin,
        } = &network.kind
        else {
            return;
        };
        let is_seed = self.config.source == Source::Seed;
        if !bridge.is_empty() || is_seed {
            self.interface_name(bridge, &self.key(pointer, "bridge", ""));
        }
        if *hairpin && bridge.is_empty() {
            let pointer = self.key(pointer, "hairpin_mode", "");
            self.conflict(
                &pointer,
                true,
                "is a setting of a bridge port",
                "with a bridge",
            );
        }
        if is_seed && network.addresses.is_empty() {
            let pointer = self.key(pointer, "address", "");
            self.invalid(&pointer, "", "is missing", "an address in CIDR");
        }
        let pointer_of = |key| self.key(pointer, key, "");
        let (name_pointer, prefix_pointer) =
            (pointer_of("host_interface_name"), pointer_of("veth_prefix"));
        match host_interface_name {
            Some(name) => self.interface_name(name, &name_pointer),
            None if prefix.len() > MAX_PREFIX_BYTES || !is_interface_name(prefix) => {
                let rule = "cannot begin the name of an interface";
                self.invalid(
                    &prefix_pointer,
                    prefix,
                    rule,
                    "1 to 8 bytes; 7 more are added",
                );
            }
            None => {}
        }
    }

    fn interface_name(&mut self, name: &str, pointer: &str) {
        if !is_interface_name(name) {
            let accepted = "1 to 15 bytes without '/', ':', blank and control characters, \
                not \".\" and \"..\"";
            self.invalid(pointer, name, "is not an interface name", accepted);
        }
    }

    fn addresses(&mut self, network: &Network, pointer: &str) {
        for prefix in &network.addresses {
            let IpPrefix { address, .. } = prefix;
            if address.is_multicast() || address.is_unspecified() {
                let key = if address.is_ipv4() {
                    "address"
                } else {
                    "ipv6_address"
                };
                let pointer = self.key(pointer, key, "");
                let rule = "is not the address of one interface";
                self.invalid(&pointer, prefix.to_string(), rule, "a unicast address");
            }
        }
    }

    fn gateways(&mut self, network: &Network, mut taken: Vec<bool>, pointer: &str) {
        for gateway in &network.gateways {
            let key = if gateway.is_ipv4() {
                "gateway"
            } else {
                "ipv6_gateway"
            };
            let pointer = self.key(pointer, key, "");
            if taken.contains(&gateway.is_ipv4()) {
                let rule = "is the second default gateway of this IP version";
                self.conflict(&pointer, gateway, rule, "one per container");
            }
            taken.push(gateway.is_ipv4());
            let same = |prefix: &IpPrefix| prefix.address.is_ipv4() == gateway.is_ipv4();
            if gateway.is_multicast() || gateway.is_unspecified() {
                self.invalid(
                    &pointer,
                    gateway,
                    "is not the address of one host",
                    "a unicast address",
                );
            } else if !network.addresses.iter().any(same) {
                let rule = "cannot be reached without an address of the same IP version";
                self.conflict(&pointer, gateway, rule, "with an address");
            }
        }
    }

    pub(super) fn routes(&mut self) {
        let routes = &self.config.routes;
        if !routes.is_empty() {
            self.needs_new(NamespaceKind::Network, Setting::Routes, routes.len());
        }
        for (route_idx, route) in routes.iter().enumerate() {
            let pointer = self.item(&route.pointer, Setting::Routes, route_idx);
            self.route(route, &pointer);
        }
    }

    fn route(&mut self, route: &Route, pointer: &str) {
        let destination = route.destination.map(|destination| destination.address);
        let addresses = [destination, route.source, route.gateway];
        let mut families = addresses
            .into_iter()
            .flatten()
            .map(|address| address.is_ipv4());
        match families.next() {
            None => {
                let accepted = "a destination, source or gateway";
                self.invalid(pointer, &route.interface_name, "leads nowhere", accepted);
            }
            Some(first) if families.any(|family| family != first) => {
                self.conflict(pointer, addresses, "mixes IPv4 and IPv6", "one IP version");
            }
            Some(_) => {}
        }
        if let Some(destination) = route.destination.filter(|prefix| !prefix.is_network()) {
            let pointer = self.key(pointer, "destination", "");
            let accepted = "no bits beyond the prefix";
            self.invalid(
                &pointer,
                destination.to_string(),
                "is not a network",
                accepted,
            );
        }
        let names: Vec<&str> = self
            .config
            .networks
            .iter()
            .map(Network::name_inside)
            .collect();
        if !names.contains(&route.interface_name.as_str()) {
            let pointer = self.key(pointer, "interface_name", "");
            let rule = "is not an interface of the container";
            self.conflict(&pointer, &route.interface_name, rule, &names.join(", "));
        }
    }
}

fn is_interface_name(name: &str) -> bool {
    let strange = |c: char| c.is_whitespace() || c.is_control() || matches!(c, '/' | ':');
    (1..=15).contains(&name.len()) && !matches!(name, "." | "..") && !name.contains(strange)
}

/// `IFNAMSIZ` less the final NUL and the seven digits that are added.
const MAX_PREFIX_BYTES: usize = 8;
