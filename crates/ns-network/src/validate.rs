//! What is refused before anything is touched.

use std::net::IpAddr;

use ns_config::{MacvlanMode, Network, NetworkKind, Route};

use crate::error::{Error, Kind, Result};

/// Checks networks one by one and against each other, then routes.
pub(crate) fn validate(networks: &[Network], routes: &[Route]) -> Result<()> {
    for (network_idx, network) in networks.iter().enumerate() {
        let check = || {
            check_network(network)?;
            networks[..network_idx]
                .iter()
                .try_for_each(|earlier| check_pair(earlier, network))
        };
        check().map_err(|error| error.at(&network.pointer))?;
    }
    routes
        .iter()
        .try_for_each(|route| check_route(route).map_err(|error| error.at(&route.pointer)))
}

/// Whether the kernel chooses the number in this name.
pub(crate) fn is_pattern(name: &str) -> bool {
    name.contains('%')
}

fn check_network(network: &Network) -> Result<()> {
    let name = network.name_inside();
    check_name(&name.replacen("%d", "0", 1), name)?;
    check_kind(network)?;
    if let Some(mac) = network.mac_address
        && (mac.is_multicast() || mac.0 == [0; 6])
    {
        return refuse(format!("{mac} is not the address of one interface"));
    }
    check_mtu(network)?;
    for prefix in &network.addresses {
        let address = prefix.address;
        let longest = if address.is_ipv4() { 32 } else { 128 };
        if address.is_multicast() || address.is_unspecified() || prefix.prefix_len > longest {
            return refuse(format!("{prefix} is not the address of one interface"));
        }
        let n_same = network.addresses.iter().filter(|a| a.address == address);
        if n_same.count() > 1 {
            return refuse(format!("{address} is given twice"));
        }
    }
    check_gateways(network)
}

fn check_kind(network: &Network) -> Result<()> {
    match &network.kind {
        NetworkKind::Loopback => {
            let bare = Network {
                pointer: network.pointer.clone(),
                name: network.name.clone(),
                ..Network::new(NetworkKind::Loopback)
            };
            if *network != bare {
                return refuse("loopback takes no settings");
            }
        }
        NetworkKind::Veth {
            bridge,
            prefix,
            host_interface_name,
            hairpin,
        } => {
            if !bridge.is_empty() {
                check_name(bridge, bridge)?;
            }
            if *hairpin && bridge.is_empty() {
                return refuse(
                    "hairpin mode is a setting of a bridge port, and there is no bridge",
                );
            }
            match host_interface_name {
                Some(name) => check_name(name, name)?,
                None if prefix.is_empty() || prefix.len() > MAX_PREFIX_BYTES => {
                    let rule = "is not 1 to 8 bytes; 7 more are added";
                    return refuse(format!("prefix {prefix:?} {rule}"));
                }
                None => check_name(prefix, prefix)?,
            }
        }
        // The kernel would leave the setting out without a word.
        NetworkKind::Ipvlan { .. }
        | NetworkKind::Macvlan {
            mode: MacvlanMode::Passthru,
            ..
        } if network.mac_address.is_some() => {
            return refuse("ipvlan, and macvlan in passthru mode, have their parent's MAC address");
        }
        NetworkKind::Macvlan { parent, .. } | NetworkKind::Ipvlan { parent, .. } => {
            check_name(parent, parent)?;
        }
        NetworkKind::Device {
            host_interface_name: name,
        } => check_name(name, name)?,
        other => {
            let call = format!("this version does not know {other:?}");
            return Err(Error::new(Kind::Unsupported, STEP, call));
        }
    }
    Ok(())
}

fn check_mtu(network: &Network) -> Result<()> {
    let has_ipv6 = network.addresses.iter().any(|a| a.address.is_ipv6());
    let lowest = if has_ipv6 { 1280 } else { 68 };
    match network.mtu_bytes {
        Some(mtu) if !(lowest..=65_535).contains(&mtu) => {
            refuse(format!("MTU {mtu} is not in {lowest} to 65535"))
        }
        _ => Ok(()),
    }
}

fn check_gateways(network: &Network) -> Result<()> {
    // A moved device may bring its addresses with it.
    let brings_addresses = matches!(network.kind, NetworkKind::Device { .. });
    for gateway in &network.gateways {
        let same = |address: &IpAddr| address.is_ipv4() == gateway.is_ipv4();
        if gateway.is_multicast() || gateway.is_unspecified() {
            return refuse(format!("gateway {gateway} is not the address of one host"));
        }
        if network.gateways.iter().filter(|other| same(other)).count() > 1 {
            return refuse(format!("gateway {gateway} is one of two of its IP version"));
        }
        // The kernel would take it, and nothing would ever arrive.
        if network.addresses.iter().any(|a| a.address == *gateway) {
            return refuse(format!("gateway {gateway} is the interface itself"));
        }
        if !brings_addresses && !network.addresses.iter().any(|a| same(&a.address)) {
            let rule = "cannot be reached without an address of the same IP version";
            return refuse(format!("gateway {gateway} {rule}"));
        }
    }
    Ok(())
}

fn check_pair(earlier: &Network, later: &Network) -> Result<()> {
    let name = later.name_inside();
    if earlier.name_inside() == name && !is_pattern(name) {
        return refuse(format!(
            "{name:?} is the name of two interfaces in the container"
        ));
    }
    if let Some(shared) = host_name(earlier).filter(|name| host_name(later) == Some(name)) {
        return refuse(format!("{shared:?} is used by two networks"));
    }
    let twice = |a: &&ns_config::IpPrefix| earlier.addresses.iter().any(|b| b.address == a.address);
    match later.addresses.iter().find(twice) {
        Some(prefix) => refuse(format!("{} is given to two networks", prefix.address)),
        None => Ok(()),
    }
}

/// The name on the host that only one network can have.
fn host_name(network: &Network) -> Option<&str> {
    match &network.kind {
        NetworkKind::Veth {
            host_interface_name,
            ..
        } => host_interface_name.as_deref(),
        NetworkKind::Device {
            host_interface_name,
        } => Some(host_interface_name),
        _ => None,
    }
}

fn check_route(route: &Route) -> Result<()> {
    let destination = route.destination.map(|destination| destination.address);
    let addresses = [destination, route.source, route.gateway];
    let mut families = addresses.into_iter().flatten().map(|a| a.is_ipv4());
    match families.next() {
        None => return refuse("a route needs a destination, a source or a gateway"),
        Some(first) if families.any(|family| family != first) => {
            return refuse("a route is either IPv4 or IPv6");
        }
        Some(_) => {}
    }
    if let Some(prefix) = route.destination.filter(|prefix| !prefix.is_network()) {
        return refuse(format!("{prefix} has bits beyond the prefix"));
    }
    for address in [route.source, route.gateway].into_iter().flatten() {
        if address.is_multicast() || address.is_unspecified() {
            return refuse(format!("{address} is not the address of one host"));
        }
    }
    check_name(&route.interface_name, &route.interface_name)
}

/// The kernel's rule, and no blanks, which it takes in some places only.
fn check_name(name: &str, shown: &str) -> Result<()> {
    let strange = |c: char| c.is_whitespace() || c.is_control() || matches!(c, '/' | ':' | '%');
    let is_name = (1..=MAX_NAME_BYTES).contains(&name.len()) && !matches!(name, "." | "..");
    if is_name && !name.contains(strange) {
        return Ok(());
    }
    refuse(format!(
        "{shown:?} is not an interface name: 1 to 15 bytes without blanks, '/', ':' and '%'"
    ))
}

fn refuse(rule: impl Into<String>) -> Result<()> {
    Err(Error::invalid(STEP, rule))
}

const STEP: &str = "check the network";
/// `IFNAMSIZ` less the final NUL.
const MAX_NAME_BYTES: usize = 15;
const MAX_PREFIX_BYTES: usize = 8;

#[cfg(test)]
mod tests {
    use ns_config::{IpvlanMode, MacAddress};

    use super::*;

    fn veth() -> Network {
        Network {
            pointer: "/networks/0".to_owned(),
            ..Network::new(NetworkKind::Veth {
                bridge: "br0".to_owned(),
                prefix: "veth".to_owned(),
                host_interface_name: None,
                hairpin: false,
            })
        }
    }

    fn with(change: impl FnOnce(&mut Network)) -> Network {
        let mut network = veth();
        change(&mut network);
        network
    }

    #[track_caller]
    fn check_refused(networks: &[Network], words: &str) {
        let error = validate(networks, &[]).unwrap_err();
        assert_eq!(error.kind(), Kind::InvalidValue);
        assert!(error.call().contains(words), "{error}");
        assert_eq!(error.config_pointer(), Some("/networks/0"));
    }

    #[test]
    fn network_with_ordinary_settings_is_accepted() {
        let full = with(|n| {
            n.name = Some("abcdefghijklm%d".to_owned());
            n.addresses = vec!["10.0.0.2/8".parse().unwrap(), "fd00::2/64".parse().unwrap()];
            n.gateways = vec!["10.0.0.1".parse().unwrap(), "fe80::1".parse().unwrap()];
            n.mtu_bytes = Some(1280);
        });
        validate(&[full.clone(), Network::new(NetworkKind::Loopback)], &[]).unwrap();
    }

    #[test]
    fn network_with_a_bad_value_is_refused() {
        for name in [
            "",
            "a b",
            "a/b",
            "..",
            "abcdefghijklmnop",
            "%s",
            "%d%d",
            "é é",
        ] {
            check_refused(
                &[with(|n| n.name = Some(name.to_owned()))],
                "interface name",
            );
        }
        for mtu in [0, 1, 67, 65_536] {
            check_refused(&[with(|n| n.mtu_bytes = Some(mtu))], "68 to 65535");
        }
        let small = with(|n| {
            n.mtu_bytes = Some(1279);
            n.addresses = vec!["fd00::2/64".parse().unwrap()];
        });
        check_refused(&[small], "1280 to 65535");
        for mac in [[0; 6], [1, 0, 0, 0, 0, 1]] {
            check_refused(
                &[with(|n| n.mac_address = Some(MacAddress(mac)))],
                "one interface",
            );
        }
        for address in ["224.0.0.1/8", "0.0.0.0/0", "ff02::1/8"] {
            let address = address.parse().unwrap();
            check_refused(&[with(|n| n.addresses = vec![address])], "one interface");
        }
    }

    #[test]
    fn network_with_settings_that_do_not_fit_is_refused() {
        let gateway = with(|n| n.gateways = vec!["10.0.0.1".parse().unwrap()]);
        check_refused(&[gateway], "without an address");
        let itself = with(|n| {
            n.addresses = vec!["10.0.0.2/8".parse().unwrap()];
            n.gateways = vec!["10.0.0.2".parse().unwrap()];
        });
        check_refused(&[itself], "itself");
        let hairpin = with(|n| {
            n.kind = NetworkKind::Veth {
                bridge: String::new(),
                prefix: "v".to_owned(),
                host_interface_name: None,
                hairpin: true,
            };
        });
        check_refused(&[hairpin], "bridge port");
        let prefix = with(|n| {
            n.kind = NetworkKind::Veth {
                bridge: String::new(),
                prefix: "too-long-".to_owned(),
                host_interface_name: None,
                hairpin: false,
            };
        });
        check_refused(&[prefix], "1 to 8 bytes");
        let ipvlan = with(|n| {
            n.kind = NetworkKind::Ipvlan {
                parent: "eth0".to_owned(),
                mode: IpvlanMode::L2,
            };
            n.mac_address = Some(MacAddress([2, 0, 0, 0, 0, 1]));
        });
        check_refused(&[ipvlan], "parent's");
        let loopback = with(|n| {
            n.kind = NetworkKind::Loopback;
            n.mtu_bytes = Some(1500);
        });
        check_refused(&[loopback], "no settings");
    }

    #[test]
    fn networks_that_contradict_each_other_are_refused() {
        check_refused(&[veth(), veth()], "two interfaces");
        let address = |name: &str| {
            with(|n| {
                n.name = Some(name.to_owned());
                n.addresses = vec!["10.0.0.2/8".parse().unwrap()];
            })
        };
        check_refused(&[address("a"), address("b")], "two networks");
        let device = |name: &str| {
            with(|n| {
                n.name = Some(name.to_owned());
                n.kind = NetworkKind::Device {
                    host_interface_name: "eth9".to_owned(),
                };
            })
        };
        check_refused(&[device("a"), device("b")], "two networks");
    }

    #[test]
    fn route_that_cannot_be_meant_is_refused() {
        let route = |destination: &str, source: &str, gateway: &str| Route {
            destination: destination.parse().ok(),
            source: source.parse().ok(),
            gateway: gateway.parse().ok(),
            interface_name: "eth0".to_owned(),
            pointer: "/routes/0".to_owned(),
        };
        for (bad, words) in [
            (route("", "", ""), "needs"),
            (route("fd00::/64", "10.0.0.1", ""), "either"),
            (route("10.0.0.1/8", "", ""), "beyond"),
            (route("10.0.0.0/8", "", "0.0.0.0"), "one host"),
        ] {
            let error = validate(&[], &[bad]).unwrap_err();
            assert!(error.call().contains(words), "{error}");
            assert_eq!(error.config_pointer(), Some("/routes/0"));
        }
        validate(&[], &[route("0.0.0.0/0", "10.0.0.2", "10.0.0.1")]).unwrap();
    }
}
