//! Interfaces: asking for them, making, changing and removing them.

use std::os::fd::{AsFd, AsRawFd};

use netlink_packet_core::{DefaultNla, NLM_F_CREATE, NLM_F_EXCL};
use netlink_packet_route::{
    AddressFamily,
    link::{
        InfoData, InfoKind, LinkAttribute, LinkExtentMask, LinkFlags, LinkInfo, LinkMessage,
        LinkProtoInfoBridge,
    },
};
use ns_config::MacAddress;

use crate::{
    error::{Error, Kind, Result},
    netlink::{Netlink, Request, attributes, text_of},
    netns::NetnsFd,
    stats::Counters,
};

/// What is known of an interface.
#[derive(Clone, Debug)]
pub(crate) struct Link {
    pub(crate) index: u32,
    pub(crate) name: String,
    pub(crate) kind: Option<String>,
    /// `IFF_*`.
    pub(crate) flags: u32,
    pub(crate) controller: Option<u32>,
    pub(crate) mtu_bytes: Option<u32>,
    pub(crate) tx_queue_packets: Option<u32>,
    pub(crate) hardware_address: Vec<u8>,
    pub(crate) statistics: Option<Counters>,
}

/// Settings of an interface that are left alone where they are `None`.
#[derive(Clone, Debug, Default)]
pub(crate) struct Properties {
    pub(crate) hardware_address: Option<Vec<u8>>,
    pub(crate) mtu_bytes: Option<u32>,
    pub(crate) tx_queue_packets: Option<u32>,
}

impl Link {
    /// Reads an `RTM_NEWLINK`: `struct ifinfomsg`, then attributes.
    pub(crate) fn from_message(body: &[u8]) -> Option<Self> {
        let mut link = Link {
            index: u32::from_ne_bytes(*body.get(4..)?.first_chunk()?),
            name: String::new(),
            kind: None,
            flags: u32::from_ne_bytes(*body.get(8..)?.first_chunk()?),
            controller: None,
            mtu_bytes: None,
            tx_queue_packets: None,
            hardware_address: Vec::new(),
            statistics: None,
        };
        for (kind, value) in attributes(body.get(IFINFOMSG_BYTES..)?) {
            let number = || value.first_chunk().map(|bytes| u32::from_ne_bytes(*bytes));
            match kind {
                IFLA_IFNAME => link.name = text_of(value),
                IFLA_MTU => link.mtu_bytes = number(),
                IFLA_TXQLEN => link.tx_queue_packets = number(),
                IFLA_ADDRESS => link.hardware_address = value.to_vec(),
                IFLA_MASTER => link.controller = number(),
                IFLA_STATS64 => link.statistics = Counters::read(value),
                IFLA_LINKINFO => {
                    let mut parts = attributes(value);
                    let kind = parts.find(|(kind, _)| *kind == IFLA_INFO_KIND);
                    link.kind = kind.map(|(_, name)| text_of(name));
                }
                _ => {}
            }
        }
        Some(link)
    }

    pub(crate) fn is_up(&self) -> bool {
        self.flags & IFF_UP != 0
    }

    pub(crate) fn is_of_kind(&self, kind: &str) -> bool {
        self.kind.as_deref() == Some(kind)
    }
}

impl Properties {
    pub(crate) fn new(mac: Option<MacAddress>, mtu: Option<u32>, queue: Option<u32>) -> Self {
        Properties {
            hardware_address: mac.map(|mac| mac.0.to_vec()),
            mtu_bytes: mtu,
            tx_queue_packets: queue,
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.attributes().is_empty()
    }

    /// The same settings with the values that the interface has.
    pub(crate) fn as_before(&self, link: &Link) -> Self {
        let address = link.hardware_address.clone();
        Properties {
            hardware_address: self.hardware_address.as_ref().map(|_| address),
            mtu_bytes: self.mtu_bytes.and(link.mtu_bytes),
            tx_queue_packets: self.tx_queue_packets.and(link.tx_queue_packets),
        }
    }

    /// As `ip link set` takes them.
    fn show(&self) -> String {
        let bytes = self.hardware_address.as_deref().unwrap_or_default();
        let address: Vec<_> = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        let address = self
            .hardware_address
            .is_some()
            .then(|| format!("address {}", address.join(":")));
        let mtu = self.mtu_bytes.map(|mtu| format!("mtu {mtu}"));
        let queue = self.tx_queue_packets.map(|n| format!("txqueuelen {n}"));
        let shown: Vec<_> = [address, mtu, queue].into_iter().flatten().collect();
        shown.join(" ")
    }

    pub(crate) fn attributes(&self) -> Vec<LinkAttribute> {
        let address = self.hardware_address.clone().map(LinkAttribute::Address);
        let mtu = self.mtu_bytes.map(LinkAttribute::Mtu);
        let queue = self.tx_queue_packets.map(LinkAttribute::TxQueueLen);
        [address, mtu, queue].into_iter().flatten().collect()
    }
}

impl Netlink {
    /// The interface of this name; an error when there is none.
    pub(crate) fn link(&self, name: &str) -> Result<Link> {
        let not_found = || {
            Error::from_errno(
                FIND,
                format!("RTM_GETLINK(IFLA_IFNAME={name:?})"),
                libc::ENODEV,
            )
        };
        self.link_if_any(name)?.ok_or_else(not_found)
    }

    /// The interface of this name.
    pub(crate) fn link_if_any(&self, name: &str) -> Result<Option<Link>> {
        let mut message = LinkMessage::default();
        message.attributes = vec![
            LinkAttribute::IfName(name.to_owned()),
            LinkAttribute::ExtMask(vec![LinkExtentMask::SkipStats]),
        ];
        self.ask(&message, name)
    }

    /// The interface of this name with its counters; an error when there is none.
    pub(crate) fn link_with_statistics(&self, name: &str) -> Result<Option<Link>> {
        let mut message = LinkMessage::default();
        message.attributes = vec![LinkAttribute::IfName(name.to_owned())];
        self.ask(&message, name)
    }

    fn ask(&self, message: &LinkMessage, name: &str) -> Result<Option<Link>> {
        let call = || format!("RTM_GETLINK(IFLA_IFNAME={name:?})");
        let request = Request::new(libc::RTM_GETLINK, message, FIND);
        let read = |kind, body: &[u8]| match kind {
            libc::RTM_NEWLINK => Link::from_message(body),
            _ => None,
        };
        match self.query(request, read, call) {
            Ok(None) => Err(Error::new(
                Kind::Kernel,
                FIND,
                format!("{}: no answer", call()),
            )),
            Err(error) if error.errno() == Some(libc::ENODEV) => Ok(None),
            answer => answer,
        }
    }

    /// Makes an interface; `what` is for people. Its state is down.
    pub(crate) fn create_link(
        &self,
        attributes: Vec<LinkAttribute>,
        what: impl FnOnce() -> String,
    ) -> Result<()> {
        let mut message = LinkMessage::default();
        message.attributes = attributes;
        let request = Request {
            flags: NLM_F_CREATE | NLM_F_EXCL,
            ..Request::new(libc::RTM_NEWLINK, &message, CREATE)
        };
        self.change(request, || format!("RTM_NEWLINK({})", what()))
    }

    /// Removes an interface; one that is gone already is no error.
    pub(crate) fn delete_link(&self, index: u32, name: &str) -> Result<()> {
        let mut message = LinkMessage::default();
        message.header.index = index;
        let call = || format!("RTM_DELLINK({index}<{name}>)");
        let request = Request::new(libc::RTM_DELLINK, &message, "remove interface");
        match self.change(request, call) {
            Err(error) if error.errno() == Some(libc::ENODEV) => Ok(()),
            result => result,
        }
    }

    /// Sets `IFF_UP` to `up`, and no other flag.
    pub(crate) fn set_link_up(&self, index: u32, name: &str, up: bool) -> Result<()> {
        let mut message = LinkMessage::default();
        message.header.index = index;
        message.header.change_mask = LinkFlags::Up;
        if up {
            message.header.flags = LinkFlags::Up;
        }
        let step = if up {
            "bring interface up"
        } else {
            "take interface down"
        };
        let value = if up { "IFF_UP" } else { "0" };
        let call = || format!("RTM_SETLINK({index}<{name}>, IFF_UP={value})");
        self.change(Request::new(libc::RTM_SETLINK, &message, step), call)
    }

    /// Sets hardware address, MTU and queue length where they are given.
    pub(crate) fn set_properties(&self, link: &Link, properties: &Properties) -> Result<()> {
        if properties.is_empty() {
            return Ok(());
        }
        let attributes = properties.attributes();
        self.set_link(link, attributes, "set properties", || properties.show())
    }

    /// Makes `port` a port of `bridge`.
    pub(crate) fn add_to_bridge(&self, port: &Link, bridge: &Link) -> Result<()> {
        let attributes = vec![LinkAttribute::Controller(bridge.index)];
        self.set_link(port, attributes, ADD_TO_BRIDGE, || {
            format!("IFLA_MASTER={}<{}>", bridge.index, bridge.name)
        })
    }

    /// Lets the bridge send packets back to the port that they came from.
    #[doc(alias = "IFLA_BRPORT_MODE")]
    pub(crate) fn set_hairpin(&self, port: &Link) -> Result<()> {
        let mode = LinkProtoInfoBridge::Other(DefaultNla::new(IFLA_BRPORT_MODE, vec![1]));
        let mut message = LinkMessage::default();
        message.header.interface_family = AddressFamily::Bridge;
        message.header.index = port.index;
        message.attributes = vec![LinkAttribute::ProtoInfoBridge(vec![mode])];
        let call = || {
            format!(
                "RTM_SETLINK(AF_BRIDGE, {}<{}>, IFLA_BRPORT_MODE=1)",
                port.index, port.name
            )
        };
        let request = Request::new(libc::RTM_SETLINK, &message, "set hairpin mode");
        self.change(request, call)
    }

    /// Moves an interface into a namespace under a name, with settings; its state is down after.
    pub(crate) fn move_link(
        &self,
        link: &Link,
        netns: &NetnsFd,
        name: &str,
        properties: &Properties,
    ) -> Result<()> {
        let mut attributes = properties.attributes();
        attributes.push(LinkAttribute::NetNsFd(netns.as_fd().as_raw_fd()));
        attributes.push(LinkAttribute::IfName(name.to_owned()));
        self.set_link(link, attributes, MOVE, || {
            format!("IFLA_NET_NS_FD, IFLA_IFNAME={name:?}")
        })
    }

    fn set_link(
        &self,
        link: &Link,
        attributes: Vec<LinkAttribute>,
        step: &'static str,
        what: impl FnOnce() -> String,
    ) -> Result<()> {
        let mut message = LinkMessage::default();
        message.header.index = link.index;
        message.attributes = attributes;
        let call = || format!("RTM_SETLINK({}<{}>, {})", link.index, link.name, what());
        self.change(Request::new(libc::RTM_SETLINK, &message, step), call)
    }
}

/// The attribute that says what kind of interface is made.
pub(crate) fn kind_attribute(kind: InfoKind, data: InfoData) -> LinkAttribute {
    LinkAttribute::LinkInfo(vec![LinkInfo::Kind(kind), LinkInfo::Data(data)])
}

const FIND: &str = "find interface";
pub(crate) const CREATE: &str = "make interface";
pub(crate) const ADD_TO_BRIDGE: &str = "add interface to bridge";
pub(crate) const MOVE: &str = "move interface";
/// Source: include/uapi/linux/rtnetlink.h.
const IFINFOMSG_BYTES: usize = 16;
/// Source: include/uapi/linux/if.h.
const IFF_UP: u32 = 1;
/// Source: include/uapi/linux/if_link.h, also below.
const IFLA_ADDRESS: u16 = 1;
const IFLA_IFNAME: u16 = 3;
const IFLA_MTU: u16 = 4;
const IFLA_MASTER: u16 = 10;
const IFLA_TXQLEN: u16 = 13;
const IFLA_LINKINFO: u16 = 18;
const IFLA_STATS64: u16 = 23;
const IFLA_INFO_KIND: u16 = 1;
const IFLA_BRPORT_MODE: u16 = 4;
