//! What the networks name on the host, found before anything is changed.

use netlink_packet_route::address::AddressMessage;
use ns_config::{Network, NetworkKind};

use crate::{
    error::{Error, Kind, Result},
    link::Link,
    netlink::Netlink,
    route::local_address,
};

/// What the host has for one network.
pub(crate) enum Source {
    /// Nothing is needed.
    None,
    /// The bridge of a veth, or the parent of a macvlan or ipvlan.
    Link(Link),
    /// A device with its permanent addresses.
    Device(Link, Vec<AddressMessage>),
}

/// Finds what the networks name on the host, and refuses what cannot work.
pub(crate) fn find_sources(host: &Netlink, networks: &[Network]) -> Result<Vec<Source>> {
    let mut sources = Vec::new();
    for network in networks {
        let source = find_source(host, network);
        sources.push(source.map_err(|error| error.at(&network.pointer))?);
    }
    Ok(sources)
}

fn find_source(host: &Netlink, network: &Network) -> Result<Source> {
    match &network.kind {
        NetworkKind::Veth {
            bridge,
            host_interface_name,
            ..
        } => {
            if let Some(name) = host_interface_name {
                refuse_existing(host, name, "on the host")?;
            }
            match bridge.as_str() {
                "" => Ok(Source::None),
                bridge => find_bridge(host, bridge, network).map(Source::Link),
            }
        }
        NetworkKind::Macvlan { parent, .. } | NetworkKind::Ipvlan { parent, .. } => {
            host.link(parent).map(Source::Link)
        }
        NetworkKind::Device {
            host_interface_name,
        } => {
            let link = host.link(host_interface_name)?;
            if link.controller.is_some() {
                let call = format!("{:?} belongs to a bridge or bond", link.name);
                return Err(Error::new(Kind::Busy, PREPARE, call)
                    .with_hint("take it out first; it would not find its way back"));
            }
            let addresses = host.global_addresses(&link)?;
            Ok(Source::Device(link, addresses))
        }
        _ => Ok(Source::None),
    }
}

fn find_bridge(host: &Netlink, name: &str, network: &Network) -> Result<Link> {
    let bridge = host.link(name)?;
    if !bridge.is_of_kind("bridge") {
        return Err(Error::invalid(PREPARE, format!("{name:?} is not a bridge")));
    }
    if network.addresses.is_empty() {
        return Ok(bridge);
    }
    let taken = host.global_addresses(&bridge)?;
    let taken: Vec<_> = taken.iter().filter_map(local_address).collect();
    match network
        .addresses
        .iter()
        .find(|a| taken.contains(&a.address))
    {
        Some(prefix) => {
            let call = format!("{} is the address of the bridge {name:?}", prefix.address);
            Err(Error::new(Kind::AlreadyExists, PREPARE, call))
        }
        None => Ok(bridge),
    }
}

/// Refuses a name that an interface has.
pub(crate) fn refuse_existing(netlink: &Netlink, name: &str, place: &str) -> Result<()> {
    match netlink.link_if_any(name)? {
        Some(_) => {
            let call = format!("there is an interface {name:?} {place} already");
            Err(Error::new(Kind::AlreadyExists, PREPARE, call))
        }
        None => Ok(()),
    }
}

pub(crate) const PREPARE: &str = "prepare the network";
