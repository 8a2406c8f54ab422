//! The making itself: one function per kind of interface.

use std::{
    hash::{BuildHasher, Hasher, RandomState},
    os::fd::{AsFd, AsRawFd},
};

use netlink_packet_route::{
    address::AddressMessage,
    link::{
        InfoData, InfoIpVlan, InfoKind, InfoMacVlan, InfoVeth, IpVlanMode, LinkAttribute,
        LinkMessage, MacVlanMode,
    },
};
use ns_config::{IpvlanMode, MacvlanMode, Network, NetworkKind, Route};

use crate::{
    error::{Error, Kind, Result},
    link::{Link, Properties, kind_attribute},
    made::{Made, MadeInterface, Moved, Undo},
    netlink::Netlink,
    netns::NetnsFd,
    route::{gateway_route, local_address, route_message, show_route},
    source::{PREPARE, Source, find_sources, refuse_existing},
    validate::is_pattern,
};

/// One run of a plan.
pub(crate) struct Setup<'a> {
    host: &'a Netlink,
    inside: &'a Netlink,
    netns: &'a NetnsFd,
    interfaces: Vec<MadeInterface>,
    undo: Vec<Undo>,
}

impl<'a> Setup<'a> {
    pub(crate) fn new(host: &'a Netlink, inside: &'a Netlink, netns: &'a NetnsFd) -> Self {
        Setup {
            host,
            inside,
            netns,
            interfaces: Vec::new(),
            undo: Vec::new(),
        }
    }

    pub(crate) fn finish(self) -> Made {
        Made {
            interfaces: self.interfaces,
            undo: self.undo,
        }
    }

    pub(crate) fn run(&mut self, networks: &[Network], routes: &[Route]) -> Result<()> {
        let sources = find_sources(self.host, networks)?;
        for network in networks {
            let name = network.name_inside();
            if network.kind != NetworkKind::Loopback && !is_pattern(name) {
                let free = refuse_existing(self.inside, name, "in the container");
                free.map_err(|error| error.at(&network.pointer))?;
            }
        }
        for (network, source) in networks.iter().zip(sources) {
            let made = self.network(network, source);
            made.map_err(|error| error.at(&network.pointer))?;
        }
        for route in routes {
            let added = self.route(route);
            added.map_err(|error| error.at(&route.pointer))?;
        }
        Ok(())
    }

    fn network(&mut self, network: &Network, source: Source) -> Result<()> {
        if network.kind == NetworkKind::Loopback {
            return self.loopback();
        }
        let name = self.free_name(network.name_inside())?;
        let host_name = match (&network.kind, source) {
            (NetworkKind::Veth { .. }, source) => Some(self.veth(network, &name, source)?),
            (_, Source::Device(link, addresses)) => {
                self.move_device(network, &name, link, addresses)?;
                None
            }
            (_, Source::Link(parent)) => {
                self.upper(network, &name, &parent)?;
                None
            }
            (_, Source::None) => None,
        };
        self.configure(network, &name)?;
        self.interfaces.push(MadeInterface {
            name,
            host_name,
            pointer: network.pointer.clone(),
        });
        Ok(())
    }

    fn loopback(&mut self) -> Result<()> {
        let link = self.inside.link("lo")?;
        if link.is_up() {
            return Ok(());
        }
        self.inside.set_link_up(link.index, "lo", true)?;
        self.undo.push(Undo::Loopback { index: link.index });
        Ok(())
    }

    /// The name itself, or with the lowest number that is free in place of `%d`.
    fn free_name(&self, pattern: &str) -> Result<String> {
        if !is_pattern(pattern) {
            return Ok(pattern.to_owned());
        }
        for number in 0..MAX_NUMBER {
            let name = pattern.replacen("%d", &number.to_string(), 1);
            if self.inside.link_if_any(&name)?.is_none() {
                return Ok(name);
            }
        }
        let call = format!("no number below {MAX_NUMBER} is free for {pattern:?}");
        Err(Error::new(Kind::Limit, PREPARE, call))
    }

    /// Makes the pair in one request, the other end in the container under its final name; then
    /// the host's end becomes a port of the bridge and comes up. Gives the name on the host.
    fn veth(&mut self, network: &Network, name: &str, source: Source) -> Result<String> {
        let NetworkKind::Veth { hairpin, .. } = &network.kind else {
            return Ok(String::new());
        };
        let host_name = self.create_pair(network, name)?;
        self.undo.push(Undo::HostLink {
            name: host_name.clone(),
            index: None,
        });
        let end = self.host.link(&host_name)?;
        if let Some(Undo::HostLink { index, .. }) = self.undo.last_mut() {
            *index = Some(end.index);
        }
        if let Source::Link(bridge) = source {
            self.host.add_to_bridge(&end, &bridge)?;
            if *hairpin {
                self.host.set_hairpin(&end)?;
            }
        }
        self.host.set_link_up(end.index, &end.name, true)?;
        Ok(host_name)
    }

    fn create_pair(&self, network: &Network, name: &str) -> Result<String> {
        let NetworkKind::Veth {
            prefix,
            host_interface_name,
            ..
        } = &network.kind
        else {
            return Ok(String::new());
        };
        let both = Properties::new(None, network.mtu_bytes, network.tx_queue_packets);
        let mut n_tries = 0;
        loop {
            n_tries += 1;
            let host_name = match host_interface_name {
                Some(name) => name.clone(),
                None => format!("{prefix}{:07x}", random_u64() & 0x0fff_ffff),
            };
            let mut peer = LinkMessage::default();
            peer.attributes = self.inside_attributes(network, name);
            let mut attributes = both.attributes();
            attributes.push(LinkAttribute::IfName(host_name.clone()));
            let data = InfoData::Veth(InfoVeth::Peer(peer));
            attributes.push(kind_attribute(InfoKind::Veth, data));
            let what = || format!("veth, {host_name:?}, peer {name:?} in the container");
            match self.host.create_link(attributes, what) {
                Ok(()) => return Ok(host_name),
                Err(error)
                    if error.errno() == Some(libc::EEXIST)
                        && host_interface_name.is_none()
                        && n_tries < MAX_TRIES => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// Makes a macvlan or ipvlan on top of an interface of the host, right in the container.
    fn upper(&mut self, network: &Network, name: &str, parent: &Link) -> Result<()> {
        let (word, kind) = match &network.kind {
            NetworkKind::Macvlan { mode, .. } => {
                let mode = InfoMacVlan::Mode(macvlan_mode(*mode));
                let data = InfoData::MacVlan(vec![mode]);
                ("macvlan", kind_attribute(InfoKind::MacVlan, data))
            }
            NetworkKind::Ipvlan { mode, .. } => {
                let mode = InfoIpVlan::Mode(ipvlan_mode(*mode));
                let data = InfoData::IpVlan(vec![mode]);
                ("ipvlan", kind_attribute(InfoKind::IpVlan, data))
            }
            _ => return Ok(()),
        };
        let mut attributes = self.inside_attributes(network, name);
        attributes.push(LinkAttribute::Link(parent.index));
        attributes.push(kind);
        let what = || {
            let Link {
                index, name: on, ..
            } = parent;
            format!("{word}, {name:?} in the container, link {index}<{on}>")
        };
        self.host.create_link(attributes, what)?;
        self.undo.push(Undo::InsideLink {
            name: name.to_owned(),
            index: None,
        });
        Ok(())
    }

    /// Moves a device of the host, which loses its addresses on the way; they are added again.
    fn move_device(
        &mut self,
        network: &Network,
        name: &str,
        link: Link,
        addresses: Vec<AddressMessage>,
    ) -> Result<()> {
        // ORDER: the way back is open before the device leaves.
        let home = NetnsFd::current()?;
        let wanted = Properties::new(
            network.mac_address,
            network.mtu_bytes,
            network.tx_queue_packets,
        );
        let changed = wanted.as_before(&link);
        self.host
            .move_link(&link, self.netns, name, &Properties::default())?;
        self.undo.push(Undo::Moved(Box::new(Moved {
            before: link,
            addresses: addresses.clone(),
            changed,
            name_inside: name.to_owned(),
            home,
        })));
        let link = self.inside.link(name)?;
        self.inside.set_properties(&link, &wanted)?;
        self.inside.set_link_up(link.index, name, true)?;
        for address in &addresses {
            let asked_for = |a: &ns_config::IpPrefix| Some(a.address) == local_address(address);
            if !network.addresses.iter().any(asked_for) {
                self.inside.restore_address(&link, address)?;
            }
        }
        Ok(())
    }

    /// Brings the interface up inside, then adds addresses and default routes.
    fn configure(&mut self, network: &Network, name: &str) -> Result<()> {
        let link = self.inside.link(name)?;
        if !link.is_up() {
            self.inside.set_link_up(link.index, name, true)?;
        }
        for prefix in &network.addresses {
            self.inside.add_address(&link, *prefix)?;
        }
        for gateway in &network.gateways {
            self.add_route(&gateway_route(*gateway, name), &link)?;
        }
        Ok(())
    }

    fn route(&mut self, route: &Route) -> Result<()> {
        let link = self.inside.link(&route.interface_name)?;
        self.add_route(route, &link)
    }

    fn add_route(&mut self, route: &Route, link: &Link) -> Result<()> {
        let message = route_message(route, link.index);
        let shown = show_route(route);
        self.inside.add_route(&message, &shown)?;
        self.undo.push(Undo::Route {
            message: Box::new(message),
            shown,
        });
        Ok(())
    }

    /// What an interface that is made in the container gets from the start.
    fn inside_attributes(&self, network: &Network, name: &str) -> Vec<LinkAttribute> {
        let properties = Properties::new(
            network.mac_address,
            network.mtu_bytes,
            network.tx_queue_packets,
        );
        let mut attributes = properties.attributes();
        attributes.push(LinkAttribute::IfName(name.to_owned()));
        attributes.push(LinkAttribute::NetNsFd(self.netns.as_fd().as_raw_fd()));
        attributes
    }
}

fn macvlan_mode(mode: MacvlanMode) -> MacVlanMode {
    match mode {
        MacvlanMode::Bridge => MacVlanMode::Bridge,
        MacvlanMode::Private => MacVlanMode::Private,
        MacvlanMode::Vepa => MacVlanMode::Vepa,
        MacvlanMode::Passthru => MacVlanMode::Passthrough,
    }
}

fn ipvlan_mode(mode: IpvlanMode) -> IpVlanMode {
    match mode {
        IpvlanMode::L2 => IpVlanMode::L2,
        IpvlanMode::L3 => IpVlanMode::L3,
        IpvlanMode::L3s => IpVlanMode::L3S,
    }
}

/// The standard library takes the keys of its hash maps from the kernel's random numbers.
fn random_u64() -> u64 {
    RandomState::new().build_hasher().finish()
}

/// Random names that are tried, as many as the seed did.
const MAX_TRIES: u32 = 10;
/// Numbers that are tried for `%d`.
const MAX_NUMBER: u32 = 1000;
