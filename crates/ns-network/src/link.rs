//! Interfaces: asking for them, making, changing and removing them.

use std::os::fd::{AsFd, AsRawFd};

use ns_config::MacAddress;
use rtnetlink::{
    packet_core::{DefaultNla, NLM_F_CREATE, NLM_F_EXCL},
    packet_route::{
        AddressFamily, RouteNetlinkMessage,
        link::{
            InfoData, InfoKind, LinkAttribute, LinkExtentMask, LinkFlags, LinkInfo, LinkMessage,
            LinkProtoInfoBridge, Stats64,
        },
    },
};

use crate::{
    error::{Error, Kind, Result},
    netlink::Netlink,
    netns::NetnsFd,
};

/// What is known of an interface.
#[derive(Clone, Debug)]
pub(crate) struct Link {
    pub(crate) index: u32,
    pub(crate) name: String,
    pub(crate) kind: Option<InfoKind>,
    pub(crate) is_up: bool,
    pub(crate) controller: Option<u32>,
    pub(crate) mtu_bytes: Option<u32>,
    pub(crate) tx_queue_packets: Option<u32>,
    pub(crate) hardware_address: Vec<u8>,
    pub(crate) statistics: Option<Stats64>,
}

/// Settings of an interface that are left alone where they are `None`.
#[derive(Clone, Debug, Default)]
pub(crate) struct Properties {
    pub(crate) hardware_address: Option<Vec<u8>>,
    pub(crate) mtu_bytes: Option<u32>,
    pub(crate) tx_queue_packets: Option<u32>,
}

impl Link {
    fn from_message(message: LinkMessage) -> Self {
        let flags = message.header.flags;
        let mut link = Link {
            index: message.header.index,
            name: String::new(),
            kind: None,
            is_up: flags.contains(LinkFlags::Up),
            controller: None,
            mtu_bytes: None,
            tx_queue_packets: None,
            hardware_address: Vec::new(),
            statistics: None,
        };
        for attribute in message.attributes {
            match attribute {
                LinkAttribute::IfName(name) => link.name = name,
                LinkAttribute::Mtu(mtu) => link.mtu_bytes = Some(mtu),
                LinkAttribute::TxQueueLen(packets) => link.tx_queue_packets = Some(packets),
                LinkAttribute::Address(address) => link.hardware_address = address,
                LinkAttribute::Controller(index) => link.controller = Some(index),
                LinkAttribute::Stats64(statistics) => link.statistics = Some(statistics),
                LinkAttribute::LinkInfo(info) => {
                    link.kind = info.into_iter().find_map(|info| match info {
                        LinkInfo::Kind(kind) => Some(kind),
                        _ => None,
                    });
                }
                _ => {}
            }
        }
        link
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
    pub(crate) async fn link(&self, name: &str) -> Result<Link> {
        let not_found = || {
            Error::from_errno(
                FIND,
                format!("RTM_GETLINK(IFLA_IFNAME={name:?})"),
                libc::ENODEV,
            )
        };
        self.link_if_any(name).await?.ok_or_else(not_found)
    }

    /// The interface of this name.
    pub(crate) async fn link_if_any(&self, name: &str) -> Result<Option<Link>> {
        let mut message = LinkMessage::default();
        message.attributes = vec![
            LinkAttribute::IfName(name.to_owned()),
            LinkAttribute::ExtMask(vec![LinkExtentMask::SkipStats]),
        ];
        self.ask(message, name).await
    }

    /// The interface of this name with its counters; an error when there is none.
    pub(crate) async fn link_with_statistics(&self, name: &str) -> Result<Option<Link>> {
        let mut message = LinkMessage::default();
        message.attributes = vec![LinkAttribute::IfName(name.to_owned())];
        self.ask(message, name).await
    }

    async fn ask(&self, message: LinkMessage, name: &str) -> Result<Option<Link>> {
        let call = || format!("RTM_GETLINK(IFLA_IFNAME={name:?})");
        let answers = self
            .query(RouteNetlinkMessage::GetLink(message), FIND, call)
            .await;
        let answers = match answers {
            Err(error) if error.errno() == Some(libc::ENODEV) => return Ok(None),
            answers => answers?,
        };
        let link = answers.into_iter().find_map(|answer| match answer {
            RouteNetlinkMessage::NewLink(message) => Some(Link::from_message(message)),
            _ => None,
        });
        let undecodable = || Error::new(Kind::Kernel, FIND, format!("{}: no answer", call()));
        link.map(Some).ok_or_else(undecodable)
    }

    /// Makes an interface; `what` is for people. Its state is down.
    pub(crate) async fn create_link(
        &self,
        attributes: Vec<LinkAttribute>,
        what: impl FnOnce() -> String,
    ) -> Result<()> {
        let mut message = LinkMessage::default();
        message.attributes = attributes;
        let flags = NLM_F_CREATE | NLM_F_EXCL;
        let call = || format!("RTM_NEWLINK({})", what());
        self.change(RouteNetlinkMessage::NewLink(message), flags, CREATE, call)
            .await
    }

    /// Removes an interface; one that is gone already is no error.
    pub(crate) async fn delete_link(&self, index: u32, name: &str) -> Result<()> {
        let mut message = LinkMessage::default();
        message.header.index = index;
        let call = || format!("RTM_DELLINK({index}<{name}>)");
        let message = RouteNetlinkMessage::DelLink(message);
        match self.change(message, 0, "remove interface", call).await {
            Err(error) if error.errno() == Some(libc::ENODEV) => Ok(()),
            result => result,
        }
    }

    /// Sets `IFF_UP` to `up`, and no other flag.
    pub(crate) async fn set_link_up(&self, index: u32, name: &str, up: bool) -> Result<()> {
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
        self.change(RouteNetlinkMessage::SetLink(message), 0, step, call)
            .await
    }

    /// Sets hardware address, MTU and queue length where they are given.
    pub(crate) async fn set_properties(&self, link: &Link, properties: &Properties) -> Result<()> {
        if properties.is_empty() {
            return Ok(());
        }
        let attributes = properties.attributes();
        self.set_link(link, attributes, "set properties", || properties.show())
            .await
    }

    /// Makes `port` a port of `bridge`.
    pub(crate) async fn add_to_bridge(&self, port: &Link, bridge: &Link) -> Result<()> {
        let attributes = vec![LinkAttribute::Controller(bridge.index)];
        self.set_link(port, attributes, ADD_TO_BRIDGE, || {
            format!("IFLA_MASTER={}<{}>", bridge.index, bridge.name)
        })
        .await
    }

    /// Lets the bridge send packets back to the port that they came from.
    #[doc(alias = "IFLA_BRPORT_MODE")]
    pub(crate) async fn set_hairpin(&self, port: &Link) -> Result<()> {
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
        let message = RouteNetlinkMessage::SetLink(message);
        self.change(message, 0, "set hairpin mode", call).await
    }

    /// Moves an interface into a namespace under a name, with settings; its state is down after.
    pub(crate) async fn move_link(
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
        .await
    }

    async fn set_link(
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
        self.change(RouteNetlinkMessage::SetLink(message), 0, step, call)
            .await
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
/// Source: include/uapi/linux/if_link.h.
const IFLA_BRPORT_MODE: u16 = 4;
