//! Traffic, as the container sees it.

use ns_config::stats::NetworkStats;

use crate::{
    error::{Error, Result},
    link::Link,
    netlink::Netlink,
    netns::NetnsFd,
};

/// Traffic of one interface since it was made, as the container sees it: received is what came in
/// to the container.
///
/// # Units
/// Bytes and packets; the bytes are those of whole frames, headers included.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct InterfaceStats {
    /// The name that was asked for.
    pub name: String,
    /// Bytes received.
    pub rx_bytes: u64,
    /// Packets received.
    pub rx_packets: u64,
    /// Errors while receiving.
    pub rx_errors: u64,
    /// Received packets dropped.
    pub rx_dropped: u64,
    /// Bytes sent.
    pub tx_bytes: u64,
    /// Packets sent.
    pub tx_packets: u64,
    /// Errors while sending.
    pub tx_errors: u64,
    /// Sent packets dropped.
    pub tx_dropped: u64,
}

/// Reads the counters of host ends, with receiving and sending exchanged.
///
/// # Shape
/// Names on the host, such as those of [`Made::host_names`](crate::Made::host_names) or of a state
/// file; an empty list gives an empty one.
///
/// # Privileges
/// None.
///
/// # Errors
/// | kind | errno | when |
/// |---|---|---|
/// | `NotFound` | ENODEV | there is no such interface; the container has ended |
/// | `Limit` | EMFILE, ENFILE | no descriptor is left |
pub fn statistics<T: AsRef<str> + Sync>(host_names: &[T]) -> Result<Vec<InterfaceStats>> {
    if host_names.is_empty() {
        return Ok(Vec::new());
    }
    let read = read_all(&Netlink::here()?, host_names)?;
    Ok(read.into_iter().map(InterfaceStats::exchanged).collect())
}

/// Reads the counters of interfaces in a namespace: macvlan, ipvlan and moved devices have no end
/// on the host.
///
/// # Privileges
/// `CAP_SYS_ADMIN` in the own user namespace and over the network namespace.
///
/// # Errors
/// As [`statistics`], and those of entering the namespace.
pub fn statistics_inside<T: AsRef<str> + Sync>(
    netns: &NetnsFd,
    names: &[T],
) -> Result<Vec<InterfaceStats>> {
    if names.is_empty() {
        return Ok(Vec::new());
    }
    read_all(&Netlink::inside(netns)?, names)
}

fn read_all<T: AsRef<str>>(netlink: &Netlink, names: &[T]) -> Result<Vec<InterfaceStats>> {
    let mut all = Vec::new();
    for name in names {
        let name = name.as_ref();
        let link = netlink.link_with_statistics(name)?;
        let found = link.and_then(InterfaceStats::of_link);
        let missing = || {
            let call = format!("RTM_GETLINK(IFLA_IFNAME={name:?})");
            Error::from_errno("read statistics", call, libc::ENODEV)
        };
        all.push(found.ok_or_else(missing)?);
    }
    Ok(all)
}

/// What the kernel counts for an interface.
#[derive(Clone, Debug)]
pub(crate) struct Counters {
    rx_packets: u64,
    tx_packets: u64,
    rx_bytes: u64,
    tx_bytes: u64,
    rx_errors: u64,
    tx_errors: u64,
    rx_dropped: u64,
    tx_dropped: u64,
}

impl Counters {
    /// Reads the start of a `struct rtnl_link_stats64`, the rest of which nobody asked for.
    pub(crate) fn read(value: &[u8]) -> Option<Self> {
        let number = |index: usize| {
            let bytes = value.get(8 * index..)?.first_chunk()?;
            Some(u64::from_ne_bytes(*bytes))
        };
        Some(Counters {
            rx_packets: number(0)?,
            tx_packets: number(1)?,
            rx_bytes: number(2)?,
            tx_bytes: number(3)?,
            rx_errors: number(4)?,
            tx_errors: number(5)?,
            rx_dropped: number(6)?,
            tx_dropped: number(7)?,
        })
    }
}

impl InterfaceStats {
    fn of_link(link: Link) -> Option<Self> {
        let found = link.statistics?;
        Some(InterfaceStats {
            name: link.name,
            rx_bytes: found.rx_bytes,
            rx_packets: found.rx_packets,
            rx_errors: found.rx_errors,
            rx_dropped: found.rx_dropped,
            tx_bytes: found.tx_bytes,
            tx_packets: found.tx_packets,
            tx_errors: found.tx_errors,
            tx_dropped: found.tx_dropped,
        })
    }

    /// The view from the other end.
    fn exchanged(self) -> Self {
        InterfaceStats {
            name: self.name,
            rx_bytes: self.tx_bytes,
            rx_packets: self.tx_packets,
            rx_errors: self.tx_errors,
            rx_dropped: self.tx_dropped,
            tx_bytes: self.rx_bytes,
            tx_packets: self.rx_packets,
            tx_errors: self.rx_errors,
            tx_dropped: self.rx_dropped,
        }
    }

    /// All interfaces together, in the form of `nsinit stats`.
    #[must_use]
    pub fn total(all: &[InterfaceStats]) -> NetworkStats {
        all.iter()
            .map(NetworkStats::from)
            .fold(NetworkStats::default(), |sum, one| NetworkStats {
                rx_bytes: sum.rx_bytes.saturating_add(one.rx_bytes),
                rx_packets: sum.rx_packets.saturating_add(one.rx_packets),
                rx_errors: sum.rx_errors.saturating_add(one.rx_errors),
                rx_dropped: sum.rx_dropped.saturating_add(one.rx_dropped),
                tx_bytes: sum.tx_bytes.saturating_add(one.tx_bytes),
                tx_packets: sum.tx_packets.saturating_add(one.tx_packets),
                tx_errors: sum.tx_errors.saturating_add(one.tx_errors),
                tx_dropped: sum.tx_dropped.saturating_add(one.tx_dropped),
            })
    }
}

impl From<&InterfaceStats> for NetworkStats {
    fn from(stats: &InterfaceStats) -> Self {
        NetworkStats {
            rx_bytes: stats.rx_bytes,
            rx_packets: stats.rx_packets,
            rx_errors: stats.rx_errors,
            rx_dropped: stats.rx_dropped,
            tx_bytes: stats.tx_bytes,
            tx_packets: stats.tx_packets,
            tx_errors: stats.tx_errors,
            tx_dropped: stats.tx_dropped,
        }
    }
}
