//! Networks and routes that have been checked, and making them.

use ns_config::{Network, NetworkKind, Route};
use ns_init::{Op, PlanBuilder};

use crate::{
    error::Result,
    made::{Made, take_back},
    netlink::Netlink,
    netns::NetnsFd,
    route::show_route,
    setup::Setup,
    source::find_sources,
    validate::validate,
};

/// Interfaces and routes to make, checked and not changed any more.
///
/// # Examples
/// ```
/// use ns_config::{Network, NetworkKind};
/// use ns_network::{Kind, NetworkPlan};
///
/// let mut network = Network::new(NetworkKind::Device { host_interface_name: "eth1".to_owned() });
/// network.mtu_bytes = Some(1);
/// let error = NetworkPlan::new(&[network], &[]).unwrap_err();
/// assert_eq!(error.kind(), Kind::InvalidValue);
/// ```
#[derive(Clone, Debug)]
#[must_use = "a plan does nothing until it is applied"]
pub struct NetworkPlan {
    networks: Vec<Network>,
    routes: Vec<Route>,
}

impl NetworkPlan {
    /// Checks networks and routes without asking the kernel.
    ///
    /// # Shape
    /// Names have 1 to 15 bytes; one in the container may end in `%d`, which becomes the lowest
    /// free number. MTU is 68 to 65535, with IPv6 at least 1280. A name or address is used once.
    ///
    /// # Errors
    /// | kind | when |
    /// |---|---|
    /// | `InvalidValue` | a value is not accepted; the pointer is that of the network or route |
    pub fn new(networks: &[Network], routes: &[Route]) -> Result<Self> {
        validate(networks, routes)?;
        Ok(NetworkPlan {
            networks: networks.to_vec(),
            routes: routes.to_vec(),
        })
    }

    /// Whether the plan is done by [`plan_loopback`] alone, so that [`apply`](Self::apply), and
    /// waiting for it, can be left out.
    #[must_use]
    pub fn is_loopback_only(&self) -> bool {
        let is_loopback = |network: &Network| network.kind == NetworkKind::Loopback;
        self.networks.iter().all(is_loopback) && self.routes.is_empty()
    }

    /// What [`apply`](Self::apply) does, in words.
    #[must_use]
    pub fn explain(&self) -> Vec<String> {
        let networks = self.networks.iter().map(explain_network);
        let routes = self.routes.iter();
        let routes = routes.map(|route| format!("add route {}", show_route(route)));
        networks.chain(routes).collect()
    }

    /// Looks whether the host has the bridges, parents and devices that are named, and whether
    /// names and addresses are free; changes nothing.
    ///
    /// [`apply`](Self::apply) does the same before its first change; this is for programs that
    /// want to know before they start a process.
    ///
    /// # Order
    /// From a thread in the namespace of the host's interfaces.
    ///
    /// # Errors
    /// | kind | errno | when |
    /// |---|---|---|
    /// | `NotFound` | ENODEV | there is no bridge, parent or device of this name |
    /// | `InvalidValue` | | the bridge is not one |
    /// | `AlreadyExists` | | an interface of the host has the name of the host's end, or the bridge an address of the container |
    /// | `Busy` | | the device belongs to a bridge or bond |
    /// | `Limit` | EMFILE, ENFILE | no descriptor is left |
    pub fn check_host(&self) -> Result<()> {
        if self.is_loopback_only() {
            return Ok(());
        }
        find_sources(&Netlink::here()?, &self.networks).map(drop)
    }

    /// Makes the interfaces and routes in the namespace; when a step fails, everything that was
    /// made by then is removed.
    ///
    /// # Order
    /// While the process of the container waits, from a thread in the namespace of the host's
    /// interfaces. Interfaces come up in the order of the configuration, the host's end first, then
    /// get their addresses and default routes; routes are last.
    ///
    /// # Privileges
    /// `CAP_NET_ADMIN` over both namespaces, and `CAP_SYS_ADMIN` in the own user namespace and over
    /// the container's network namespace. A plain user can configure the inside only from a
    /// namespace of their own.
    ///
    /// # Kernel
    /// Linux 4.20 (`NETLINK_GET_STRICT_CHK`); veth, bridge, macvlan, ipvlan as built or loaded.
    ///
    /// # Errors
    /// | kind | errno | when |
    /// |---|---|---|
    /// | | | those of [`check_host`](Self::check_host) |
    /// | `AlreadyExists` | EEXIST | a name, address or route is taken |
    /// | `InvalidValue` | EINVAL, ENETUNREACH, ERANGE | the kernel refuses a value, such as a gateway that cannot be reached |
    /// | `NotFound` | ENODEV | a route names an interface that is not there |
    /// | `Unsupported` | EOPNOTSUPP | the kernel has no interfaces of this kind |
    /// | `Denied` | EPERM, EACCES | a right is missing, or IPv6 is switched off |
    /// | `Busy` | EBUSY | the parent or port belongs to another interface |
    /// | `Limit` | EAGAIN | no thread is left |
    ///
    /// What goes wrong while removing is in [`Error::also`](crate::Error::also).
    ///
    /// # References
    /// `rtnetlink(7)`, `veth(4)`, `ip-link(8)`, `include/uapi/linux/if_link.h`
    pub fn apply(&self, netns: &NetnsFd) -> Result<Made> {
        let (host, inside) = (Netlink::here()?, Netlink::inside(netns)?);
        let mut setup = Setup::new(&host, &inside, netns);
        match setup.run(&self.networks, &self.routes) {
            Ok(()) => Ok(setup.finish()),
            Err(error) => {
                let undo = setup.finish().undo;
                Err(error.with_also(take_back(&host, &inside, &undo)))
            }
        }
    }
}

/// Checks networks and routes and makes them in the namespace: [`NetworkPlan::new`] and
/// [`NetworkPlan::apply`].
///
/// # Errors
/// Those of the two.
#[doc(alias = "InitializeNetworking")]
pub fn initialize(networks: &[Network], routes: &[Route], netns: &NetnsFd) -> Result<Made> {
    NetworkPlan::new(networks, routes)?.apply(netns)
}

/// Plans that the process in the new namespace brings `lo` up by itself, which costs the caller
/// nothing.
///
/// # Examples
/// ```
/// let mut plan = ns_init::PlanBuilder::new();
/// ns_network::plan_loopback(&mut plan);
/// assert_eq!(plan.finish().explain()[0].what, "bring up the loopback device");
/// ```
pub fn plan_loopback(plan: &mut PlanBuilder) {
    plan.push("bring up the loopback device", Op::BringUpLoopback);
}

fn explain_network(network: &Network) -> String {
    let name = network.name_inside();
    let mut text = match &network.kind {
        NetworkKind::Loopback => return "bring up lo".to_owned(),
        NetworkKind::Veth {
            bridge,
            prefix,
            host_interface_name,
            hairpin,
        } => {
            let random = format!("{prefix}???????");
            let host_name = host_interface_name.as_deref().unwrap_or(&random);
            let mut text = format!("make {name} and its other end {host_name} on the host");
            if !bridge.is_empty() {
                text.push_str(&format!(", a port of {bridge}"));
            }
            if *hairpin {
                text.push_str(" in hairpin mode");
            }
            text
        }
        NetworkKind::Macvlan { parent, mode } => {
            format!("make {name}, a macvlan of {parent} ({mode:?})")
        }
        NetworkKind::Ipvlan { parent, mode } => {
            format!("make {name}, an ipvlan of {parent} ({mode:?})")
        }
        NetworkKind::Device {
            host_interface_name,
        } => format!("move {host_interface_name} inside, as {name}"),
        other => format!("{other:?}"),
    };
    let mac = network.mac_address.map(|mac| format!("mac {mac}"));
    let mtu = network.mtu_bytes.map(|mtu| format!("mtu {mtu}"));
    let queue = network.tx_queue_packets.map(|n| format!("txqueuelen {n}"));
    let addresses = network.addresses.iter().map(|a| format!("address {a}"));
    let gateways = network.gateways.iter().map(|g| format!("gateway {g}"));
    let settings = [mac, mtu, queue].into_iter().flatten();
    for part in settings.chain(addresses).chain(gateways) {
        text.push_str(", ");
        text.push_str(&part);
    }
    text
}
