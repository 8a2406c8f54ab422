//! Network interfaces and routes, as data.

use std::{fmt, net::IpAddr, str::FromStr};

use serde::{Deserialize, Serialize};

use crate::error::{Error, Kind, Problem};

/// One network interface of the container. Seed keys are those of an entry of `networks`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Network {
    /// Where the interface comes from. Seed key: `type`.
    pub kind: NetworkKind,
    /// Name inside; `None` is `eth0` (and `lo` for loopback). Key: `name`.
    pub name: Option<String>,
    /// Hardware address; `None` is the kernel's choice. Seed key: `mac_address`.
    pub mac_address: Option<MacAddress>,
    /// Addresses inside, in the order in which they are added. Seed keys: `address` (IPv4), then
    /// `ipv6_address`.
    pub addresses: Vec<IpPrefix>,
    /// Default routes through this interface, at most one per family. Seed keys: `gateway` (IPv4),
    /// then `ipv6_gateway`.
    pub gateways: Vec<IpAddr>,
    /// Largest packet, in bytes, on both ends; `None` is the kernel's default. Seed key: `mtu`, 0 is
    /// unset.
    pub mtu_bytes: Option<u32>,
    /// Transmit queue, in packets, on both ends; `None` is the kernel's default. Seed key:
    /// `txqueuelen`.
    pub tx_queue_packets: Option<u32>,
    /// Where it was configured.
    pub pointer: String,
}

/// Where an interface comes from.
///
/// The seed's early `netns` type (join a network namespace) is an entry with a path in
/// [`Namespaces`](crate::Namespaces); there is one way to say it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum NetworkKind {
    /// `lo`, brought up.
    Loopback,
    /// A pair of connected interfaces, one end on the host.
    Veth {
        /// Bridge that the host's end joins; empty joins none. Seed key: `bridge`.
        bridge: String,
        /// Beginning of the host end's random name, at most 8 bytes. Seed key: `veth_prefix`.
        prefix: String,
        /// Exact name of the host's end instead of a random one. Key: `host_interface_name`.
        host_interface_name: Option<String>,
        /// Whether the bridge sends packets back to the port they came from. Key: `hairpin_mode`.
        hairpin: bool,
    },
    /// An interface with its own hardware address on top of a host's one.
    Macvlan {
        /// Interface of the host.
        parent: String,
        /// How siblings reach each other.
        mode: MacvlanMode,
    },
    /// An interface with the hardware address of a host's one.
    Ipvlan {
        /// Interface of the host.
        parent: String,
        /// On which layer packets are told apart.
        mode: IpvlanMode,
    },
    /// An existing interface of the host, moved into the container.
    Device {
        /// Its name on the host.
        host_interface_name: String,
    },
}

/// How macvlan siblings reach each other (`ip-link(8)`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum MacvlanMode {
    /// Directly.
    #[default]
    Bridge,
    /// Not at all.
    Private,
    /// Through the external switch.
    Vepa,
    /// There are none: one interface owns the parent.
    Passthru,
}

/// On which layer ipvlan tells packets apart (`ip-link(8)`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum IpvlanMode {
    /// Layer 2.
    #[default]
    L2,
    /// Layer 3, without broadcast.
    L3,
    /// Layer 3, with the host's connection tracking.
    L3s,
}

/// One route, added after all interfaces. Seed keys are those of an entry of `routes`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Route {
    /// Where packets go; `None` is everywhere. Seed key: `destination`, CIDR.
    pub destination: Option<IpPrefix>,
    /// Address that packets are sent from. Seed key: `source`, a bare address.
    pub source: Option<IpAddr>,
    /// Next hop. Seed key: `gateway`.
    pub gateway: Option<IpAddr>,
    /// Interface inside. Seed key: `interface_name`.
    pub interface_name: String,
    /// Where it was configured.
    pub pointer: String,
}

/// An address with the length of its network part.
///
/// # Shape
/// CIDR: `172.17.0.101/16`, `fd00::2/64`.
///
/// # Examples
/// ```
/// use ns_config::IpPrefix;
///
/// let prefix: IpPrefix = "172.17.0.101/16".parse()?;
/// assert!(!prefix.is_network());
/// # Ok::<(), ns_config::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct IpPrefix {
    /// The address.
    pub address: IpAddr,
    /// 0 to 32, or 0 to 128.
    pub prefix_len: u8,
}

/// A hardware address of an interface.
///
/// # Shape
/// Six bytes in hexadecimal: `02:42:ac:11:00:65`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct MacAddress(pub [u8; 6]);

impl Network {
    /// An interface of the given kind with nothing else set.
    pub fn new(kind: NetworkKind) -> Self {
        Network {
            kind,
            name: None,
            mac_address: None,
            addresses: Vec::new(),
            gateways: Vec::new(),
            mtu_bytes: None,
            tx_queue_packets: None,
            pointer: String::new(),
        }
    }

    /// The name inside, which is `lo` for loopback and `eth0` for others unless configured.
    pub fn name_inside(&self) -> &str {
        match (&self.kind, &self.name) {
            (NetworkKind::Loopback, _) => "lo",
            (_, Some(name)) => name,
            (_, None) => "eth0",
        }
    }
}

impl IpPrefix {
    /// Whether no bit beyond the prefix is set, as destinations of routes need it.
    pub fn is_network(&self) -> bool {
        match self.address {
            IpAddr::V4(address) => {
                let host = u32::MAX.checked_shr(self.prefix_len.into()).unwrap_or(0);
                u32::from(address) & host == 0
            }
            IpAddr::V6(address) => {
                let host = u128::MAX.checked_shr(self.prefix_len.into()).unwrap_or(0);
                u128::from(address) & host == 0
            }
        }
    }
}

impl FromStr for IpPrefix {
    type Err = Error;

    /// # Errors
    /// [`Kind::InvalidValue`] when it is not an address, a slash and a length in range.
    fn from_str(text: &str) -> Result<Self, Error> {
        let parsed = text.split_once('/').and_then(|(address, prefix_len)| {
            let address: IpAddr = address.parse().ok()?;
            let digits = prefix_len.bytes().all(|byte| byte.is_ascii_digit());
            let prefix_len = prefix_len.parse().ok().filter(|_| digits)?;
            let longest = if address.is_ipv4() { 32 } else { 128 };
            (prefix_len <= longest).then_some(IpPrefix {
                address,
                prefix_len,
            })
        });
        parsed.ok_or_else(|| {
            let problem = Problem::new(Kind::InvalidValue, "", text, "is not an address in CIDR");
            Error::new(
                "read address",
                problem.accepted("e.g. 10.0.0.2/24 or fd00::2/64"),
            )
        })
    }
}

impl fmt::Display for IpPrefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.prefix_len)
    }
}

impl MacAddress {
    /// Whether it names a group of interfaces, which no interface may have as its own.
    pub fn is_multicast(self) -> bool {
        self.0[0] & 1 == 1
    }
}

impl FromStr for MacAddress {
    type Err = Error;

    /// # Errors
    /// [`Kind::InvalidValue`] when it is not six pairs of hexadecimal digits.
    fn from_str(text: &str) -> Result<Self, Error> {
        let byte = |pair: &str| {
            let digits = pair.len() == 2 && pair.bytes().all(|byte| byte.is_ascii_hexdigit());
            digits.then(|| u8::from_str_radix(pair, 16).ok()).flatten()
        };
        let bytes: Option<Vec<u8>> = text.split(':').map(byte).collect();
        let bytes = bytes.and_then(|bytes| <[u8; 6]>::try_from(bytes).ok());
        bytes.map(MacAddress).ok_or_else(|| {
            let rule = "is not a hardware address";
            let problem = Problem::new(Kind::InvalidValue, "", text, rule);
            Error::new(
                "read hardware address",
                problem.accepted("e.g. 02:42:ac:11:00:65"),
            )
        })
    }
}

impl fmt::Display for MacAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, e, g] = self.0;
        write!(f, "{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{g:02x}")
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn cidr_that_is_malformed_is_refused() {
        for text in [
            "",
            "10.0.0.1",
            "10.0.0.1/33",
            "::/129",
            "10.0.0/8",
            "a/8",
            "1.2.3.4/+8",
            "1.2.3.4/",
            "1.2.3.4/8/8",
            "01.2.3.4/8",
            "1.2.3.4/256",
        ] {
            assert!(text.parse::<IpPrefix>().is_err(), "{text:?}");
        }
    }

    #[test]
    fn network_part_is_told_from_a_host_address() {
        for (text, network) in [
            ("0.0.0.0/0", true),
            ("10.0.0.0/8", true),
            ("10.0.0.1/8", false),
            ("10.0.0.1/32", true),
            ("::/0", true),
            ("fd00::/64", true),
            ("fd00::1/64", false),
            ("::1/128", true),
        ] {
            assert_eq!(
                text.parse::<IpPrefix>().unwrap().is_network(),
                network,
                "{text}"
            );
        }
    }

    #[test]
    fn hardware_address_that_is_malformed_is_refused() {
        for text in [
            "",
            "02:42:ac:11:00",
            "02:42:ac:11:00:65:00",
            "2:42:ac:11:00:65",
            "02-42-ac-11-00-65",
            "+2:42:ac:11:00:65",
            "gg:42:ac:11:00:65",
        ] {
            assert!(text.parse::<MacAddress>().is_err(), "{text:?}");
        }
        assert!(
            "01:00:5e:00:00:01"
                .parse::<MacAddress>()
                .unwrap()
                .is_multicast()
        );
    }

    proptest! {
        #[test]
        fn addresses_print_as_they_are_read(bytes: [u8; 6], ip: u32, prefix_len in 0_u8..=32) {
            let mac = MacAddress(bytes);
            prop_assert_eq!(mac.to_string().parse::<MacAddress>().unwrap(), mac);
            let prefix = IpPrefix { address: Ipv4Addr::from(ip).into(), prefix_len };
            prop_assert_eq!(prefix.to_string().parse::<IpPrefix>().unwrap(), prefix);
        }
    }
}
