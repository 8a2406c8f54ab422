//! The interfaces of a namespace, as they are.

use std::{collections::BTreeMap, net::IpAddr};

use netlink_packet_route::{
    address::AddressMessage,
    link::{LinkAttribute, LinkExtentMask, LinkMessage},
};
use ns_config::{IpPrefix, MacAddress};

use crate::{
    error::Result,
    link::Link,
    netlink::{Netlink, Request, attributes},
    netns::NetnsFd,
};

/// One interface of a network namespace.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Interface {
    /// Its name; whoever has rights over the namespace chose it.
    pub name: String,
    /// Number in its namespace.
    pub index: u32,
    /// Largest packet, in bytes.
    pub mtu_bytes: Option<u32>,
    /// Hardware address of an interface that has one of six bytes.
    pub mac_address: Option<MacAddress>,
    /// Whether it is up (`IFF_UP`).
    pub is_up: bool,
    /// Whether it sends to everybody on its network (`IFF_BROADCAST`).
    pub is_broadcast: bool,
    /// Whether it is the loopback device (`IFF_LOOPBACK`).
    pub is_loopback: bool,
    /// Whether it connects two ends (`IFF_POINTOPOINT`).
    pub is_point_to_point: bool,
    /// Whether it sends to groups (`IFF_MULTICAST`).
    pub is_multicast: bool,
    /// Addresses, IPv4 first.
    pub addresses: Vec<IpPrefix>,
}

impl Interface {
    /// Words for the flags that are set, as the Go library has them: `up|broadcast|multicast`; `0` for none.
    #[must_use]
    pub fn flag_words(&self) -> String {
        let words = [
            (self.is_up, "up"),
            (self.is_broadcast, "broadcast"),
            (self.is_loopback, "loopback"),
            (self.is_point_to_point, "pointtopoint"),
            (self.is_multicast, "multicast"),
        ];
        let set: Vec<&str> = words
            .into_iter()
            .filter(|(is_set, _)| *is_set)
            .map(|(_, word)| word)
            .collect();
        match set.is_empty() {
            true => "0".to_owned(),
            false => set.join("|"),
        }
    }
}

/// Lists the interfaces of a network namespace with their addresses, by number.
///
/// The kernel is asked from outside, through a socket that was made in the namespace: nothing runs inside, and no
/// thread of the caller changes its namespace.
///
/// # Privileges
/// `CAP_SYS_ADMIN` in the own user namespace and over the network namespace.
///
/// # Errors
/// | kind | errno | when |
/// |---|---|---|
/// | `Denied` | EPERM | a right is missing |
/// | `Limit` | EAGAIN, EMFILE, ENFILE | no thread or descriptor is left, or the list changed each time it was read |
///
/// # Examples
/// ```no_run
/// // no_run: entering a namespace takes CAP_SYS_ADMIN.
/// let netns = ns_network::NetnsFd::current()?;
/// for interface in ns_network::interfaces(&netns)? {
///     println!("{} {}", interface.name, interface.flag_words());
/// }
/// # Ok::<(), ns_network::Error>(())
/// ```
///
/// # References
/// `rtnetlink(7)`: `RTM_GETLINK`, `RTM_GETADDR`
pub fn interfaces(netns: &NetnsFd) -> Result<Vec<Interface>> {
    let inside = Netlink::inside(netns)?;
    let mut message = LinkMessage::default();
    message.attributes = vec![LinkAttribute::ExtMask(vec![LinkExtentMask::SkipStats])];
    let links = inside.list(
        Request::new(libc::RTM_GETLINK, &message, STEP),
        |kind, body| match kind {
            libc::RTM_NEWLINK => Link::from_message(body).map(interface),
            _ => None,
        },
        || "RTM_GETLINK(NLM_F_DUMP)".to_owned(),
    )?;
    let addresses = inside.list(
        Request::new(libc::RTM_GETADDR, &AddressMessage::default(), STEP),
        |kind, body| match kind {
            libc::RTM_NEWADDR => address(body),
            _ => None,
        },
        || "RTM_GETADDR(NLM_F_DUMP)".to_owned(),
    )?;
    let mut found: BTreeMap<u32, Interface> =
        links.into_iter().map(|one| (one.index, one)).collect();
    for (index, address) in addresses {
        // One that was made between the two questions is not listed.
        if let Some(interface) = found.get_mut(&index) {
            interface.addresses.push(address);
        }
    }
    let mut all: Vec<Interface> = found.into_values().collect();
    for interface in &mut all {
        interface.addresses.sort_by_key(|one| one.address.is_ipv6());
    }
    Ok(all)
}

fn interface(link: Link) -> Interface {
    let is_set = |flag| link.flags & flag != 0;
    Interface {
        index: link.index,
        mtu_bytes: link.mtu_bytes,
        mac_address: <[u8; 6]>::try_from(link.hardware_address.as_slice())
            .ok()
            .map(MacAddress),
        is_up: link.is_up(),
        is_broadcast: is_set(IFF_BROADCAST),
        is_loopback: is_set(IFF_LOOPBACK),
        is_point_to_point: is_set(IFF_POINTOPOINT),
        is_multicast: is_set(IFF_MULTICAST),
        addresses: Vec::new(),
        name: link.name,
    }
}

/// Reads an `RTM_NEWADDR`: `struct ifaddrmsg`, then attributes. `IFA_LOCAL` is the own address; without it, as for
/// IPv6, `IFA_ADDRESS` is.
fn address(body: &[u8]) -> Option<(u32, IpPrefix)> {
    let prefix_len = *body.get(1)?;
    let index = u32::from_ne_bytes(*body.get(4..)?.first_chunk()?);
    let of = |wanted: u16| {
        let mut all = attributes(body.get(IFADDRMSG_BYTES..)?);
        let (_, value) = all.find(|(kind, _)| *kind == wanted)?;
        match value.len() {
            4 => <[u8; 4]>::try_from(value).ok().map(IpAddr::from),
            _ => <[u8; 16]>::try_from(value).ok().map(IpAddr::from),
        }
    };
    let address = of(IFA_LOCAL).or_else(|| of(IFA_ADDRESS))?;
    let prefix = IpPrefix {
        address,
        prefix_len,
    };
    Some((index, prefix))
}

const STEP: &str = "list interfaces";
/// Source: include/uapi/linux/if_addr.h and if.h.
const IFADDRMSG_BYTES: usize = 8;
const IFA_ADDRESS: u16 = 1;
const IFA_LOCAL: u16 = 2;
const IFF_BROADCAST: u32 = 1 << 1;
const IFF_LOOPBACK: u32 = 1 << 3;
const IFF_POINTOPOINT: u32 = 1 << 4;
const IFF_MULTICAST: u32 = 1 << 12;
