//! Addresses and routes inside.

use std::net::IpAddr;

use netlink_packet_core::{NLM_F_CREATE, NLM_F_EXCL, Parseable};
use netlink_packet_route::{
    AddressFamily,
    address::{AddressAttribute, AddressFlags, AddressHeaderFlags, AddressMessage, AddressScope},
    route::{RouteAttribute, RouteHeader, RouteMessage, RouteProtocol, RouteScope, RouteType},
};
use ns_config::{IpPrefix, Route};

use crate::{
    error::Result,
    link::Link,
    netlink::{Netlink, Request},
};

impl Netlink {
    /// Adds an address to an interface.
    ///
    /// IPv6 addresses are usable at once: nobody else can be in a namespace that is being set up,
    /// and the second that a search for duplicates takes would be lost in every start.
    pub(crate) fn add_address(&self, link: &Link, prefix: IpPrefix) -> Result<()> {
        let mut message = AddressMessage::default();
        message.header.family = family(prefix.address);
        message.header.prefix_len = prefix.prefix_len;
        message.header.index = link.index;
        message.attributes = vec![
            AddressAttribute::Local(prefix.address),
            AddressAttribute::Address(prefix.address),
        ];
        match prefix.address {
            IpAddr::V4(address) if prefix.prefix_len < 31 => {
                let host = u32::MAX.checked_shr(prefix.prefix_len.into()).unwrap_or(0);
                let broadcast = (u32::from(address) | host).into();
                message
                    .attributes
                    .push(AddressAttribute::Broadcast(broadcast));
            }
            IpAddr::V4(_) => {}
            IpAddr::V6(_) => message
                .attributes
                .push(AddressAttribute::Flags(AddressFlags::Nodad)),
        }
        self.add_address_message(link, message, &prefix.to_string())
    }

    /// Adds an address as it was on another interface, or on the same one before it moved.
    pub(crate) fn restore_address(&self, link: &Link, old: &AddressMessage) -> Result<()> {
        let mut message = AddressMessage::default();
        message.header.family = old.header.family;
        message.header.prefix_len = old.header.prefix_len;
        message.header.index = link.index;
        let mut shown = String::new();
        for attribute in &old.attributes {
            match attribute {
                AddressAttribute::Address(address) => shown = address.to_string(),
                AddressAttribute::Local(_) | AddressAttribute::Broadcast(_) => {}
                _ => continue,
            }
            message.attributes.push(attribute.clone());
        }
        if old.header.family == AddressFamily::Inet6 {
            message
                .attributes
                .push(AddressAttribute::Flags(AddressFlags::Nodad));
        }
        let shown = format!("{shown}/{}", old.header.prefix_len);
        self.add_address_message(link, message, &shown)
    }

    fn add_address_message(&self, link: &Link, message: AddressMessage, shown: &str) -> Result<()> {
        let call = || format!("RTM_NEWADDR({shown}, {}<{}>)", link.index, link.name);
        let request = Request {
            flags: NLM_F_CREATE | NLM_F_EXCL,
            ..Request::new(libc::RTM_NEWADDR, &message, ADD_ADDRESS)
        };
        self.change(request, call)
    }

    /// The addresses of an interface that belong to it for good and mean the same everywhere:
    /// neither link-local ones nor those that a router gave for a while.
    pub(crate) fn global_addresses(&self, link: &Link) -> Result<Vec<AddressMessage>> {
        let mut message = AddressMessage::default();
        message.header.index = link.index;
        let call = || format!("RTM_GETADDR({}<{}>)", link.index, link.name);
        let request = Request::new(libc::RTM_GETADDR, &message, "list addresses");
        let read = |kind, body: &[u8]| match kind {
            libc::RTM_NEWADDR => AddressMessage::parse(body).ok(),
            _ => None,
        };
        let mut addresses = self.list(request, read, call)?;
        addresses.retain(|address| {
            address.header.index == link.index
                && address.header.scope == AddressScope::Universe
                && address.header.flags.contains(AddressHeaderFlags::Permanent)
        });
        Ok(addresses)
    }

    /// Adds a route that is not there yet.
    pub(crate) fn add_route(&self, message: &RouteMessage, shown: &str) -> Result<()> {
        let request = Request {
            flags: NLM_F_CREATE | NLM_F_EXCL,
            ..Request::new(libc::RTM_NEWROUTE, message, ADD_ROUTE)
        };
        self.change(request, || format!("RTM_NEWROUTE({shown})"))
    }

    /// Removes a route; one that is gone already is no error.
    pub(crate) fn delete_route(&self, message: &RouteMessage, shown: &str) -> Result<()> {
        let request = Request::new(libc::RTM_DELROUTE, message, "remove route");
        match self.change(request, || format!("RTM_DELROUTE({shown})")) {
            Err(error) if matches!(error.errno(), Some(libc::ESRCH | libc::ENODEV)) => Ok(()),
            result => result,
        }
    }
}

/// The local address that a message is about.
pub(crate) fn local_address(message: &AddressMessage) -> Option<IpAddr> {
    let local = message.attributes.iter().find_map(|found| match found {
        AddressAttribute::Local(address) => Some(*address),
        _ => None,
    });
    local.or_else(|| {
        message.attributes.iter().find_map(|found| match found {
            AddressAttribute::Address(address) => Some(*address),
            _ => None,
        })
    })
}

/// The default route of a network through its gateway.
pub(crate) fn gateway_route(gateway: IpAddr, interface_name: &str) -> Route {
    Route {
        destination: None,
        source: None,
        gateway: Some(gateway),
        interface_name: interface_name.to_owned(),
        pointer: String::new(),
    }
}

/// What the kernel is sent for a route through the interface of this index.
pub(crate) fn route_message(route: &Route, index: u32) -> RouteMessage {
    let destination = route.destination.filter(|prefix| prefix.prefix_len > 0);
    let addresses = [
        route.destination.map(|prefix| prefix.address),
        route.source,
        route.gateway,
    ];
    let address = addresses.into_iter().flatten().next();
    let mut message = RouteMessage::default();
    message.header = RouteHeader {
        address_family: address.map_or(AddressFamily::Inet, family),
        destination_prefix_length: destination.map_or(0, |prefix| prefix.prefix_len),
        table: RouteHeader::RT_TABLE_MAIN,
        protocol: RouteProtocol::Boot,
        scope: match (address, route.gateway) {
            (Some(IpAddr::V4(_)), None) => RouteScope::Link,
            _ => RouteScope::Universe,
        },
        kind: RouteType::Unicast,
        ..RouteHeader::default()
    };
    let attributes = [
        destination.map(|prefix| RouteAttribute::Destination(prefix.address.into())),
        route
            .source
            .map(|source| RouteAttribute::PrefSource(source.into())),
        route
            .gateway
            .map(|gateway| RouteAttribute::Gateway(gateway.into())),
        Some(RouteAttribute::Oif(index)),
    ];
    message.attributes = attributes.into_iter().flatten().collect();
    message
}

/// The route as `ip route` prints it.
pub(crate) fn show_route(route: &Route) -> String {
    let mut shown = match route.destination.filter(|prefix| prefix.prefix_len > 0) {
        Some(destination) => destination.to_string(),
        None => "default".to_owned(),
    };
    for (word, address) in [("via", route.gateway), ("src", route.source)] {
        if let Some(address) = address {
            shown.push_str(&format!(" {word} {address}"));
        }
    }
    format!("{shown} dev {}", route.interface_name)
}

fn family(address: IpAddr) -> AddressFamily {
    match address {
        IpAddr::V4(_) => AddressFamily::Inet,
        IpAddr::V6(_) => AddressFamily::Inet6,
    }
}

pub(crate) const ADD_ADDRESS: &str = "add address";
pub(crate) const ADD_ROUTE: &str = "add route";
