//! What was made, and taking it away again.

use netlink_packet_route::{address::AddressMessage, route::RouteMessage};

use crate::{
    error::{Error, Kind, Result},
    link::{Link, Properties},
    netlink::Netlink,
    netns::NetnsFd,
};

/// The interfaces that [`initialize`](crate::initialize) has made or moved.
///
/// Interfaces that are made disappear by themselves with the namespace that they were made for; a
/// moved device of real hardware returns to the initial namespace, any other disappears too.
/// Dropping this value changes nothing.
#[derive(Debug)]
#[must_use = "the names of host interfaces belong into the state of the container, and a later \
              failure calls `remove` or `undo`"]
pub struct Made {
    pub(crate) interfaces: Vec<MadeInterface>,
    pub(crate) undo: Vec<Undo>,
}

/// One interface that was made or moved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MadeInterface {
    /// Its name in the container.
    pub name: String,
    /// The name of its other end on the host, when it has one.
    pub host_name: Option<String>,
    /// Where it was configured.
    pub pointer: String,
}

/// How one step is taken back.
#[derive(Debug)]
pub(crate) enum Undo {
    /// An interface made on the host; its other end goes with it.
    HostLink { name: String, index: Option<u32> },
    /// An interface made inside.
    InsideLink { name: String, index: Option<u32> },
    /// The loopback interface was down.
    Loopback { index: u32 },
    /// An interface of the host was moved inside.
    Moved(Box<Moved>),
    /// A route inside.
    Route {
        message: Box<RouteMessage>,
        shown: String,
    },
}

/// An interface as it was before it was moved.
#[derive(Debug)]
pub(crate) struct Moved {
    pub(crate) before: Link,
    pub(crate) addresses: Vec<AddressMessage>,
    pub(crate) changed: Properties,
    pub(crate) name_inside: String,
    pub(crate) home: NetnsFd,
}

impl Made {
    /// The interfaces in the order of the configuration, without loopback.
    #[must_use]
    pub fn interfaces(&self) -> &[MadeInterface] {
        &self.interfaces
    }

    /// The names on the host: what the state of the container has to remember for
    /// [`remove_host_interfaces`].
    pub fn host_names(&self) -> impl Iterator<Item = &str> {
        let interfaces = self.interfaces.iter();
        interfaces.filter_map(|interface| interface.host_name.as_deref())
    }

    /// Removes what was made on the host, and with it the other ends inside; the names are free when
    /// this returns.
    ///
    /// The kernel takes 10 to 30 ms for it. A container that ends as it should needs no call: its
    /// interfaces go with its namespace, and nobody waits for that.
    ///
    /// Interfaces that are gone already, or that are others by now, are left alone. A device that
    /// was moved stays where it is; [`undo`](Self::undo) brings it back.
    ///
    /// # Order
    /// From a thread in the namespace from which they were made.
    ///
    /// # Privileges
    /// `CAP_NET_ADMIN` over that namespace.
    ///
    /// # Errors
    /// | kind | errno | when |
    /// |---|---|---|
    /// | `Denied` | EPERM | a right is missing |
    /// | `Limit` | EMFILE, ENFILE | no descriptor is left |
    ///
    /// Every interface is tried; further errors are in [`Error::also`].
    pub fn remove(&self) -> Result<()> {
        if !self.undo.iter().any(Undo::is_on_host) {
            return Ok(());
        }
        let host = Netlink::here()?;
        let mut errors = Vec::new();
        for undo in self.undo.iter().rev() {
            if let Undo::HostLink { name, index } = undo {
                errors.extend(remove_link(&host, name, *index).err());
            }
        }
        Error::of_many(errors)
    }

    /// Takes back everything that was made or changed, inside and on the host; moved devices
    /// return with their names, permanent addresses, settings and state.
    ///
    /// # Order
    /// While the namespace that was configured is alive, from a thread in the namespace from which
    /// it was configured.
    ///
    /// # Privileges
    /// Those of [`initialize`](crate::initialize).
    ///
    /// # Errors
    /// As [`remove`](Self::remove), and those of moving a device and of adding addresses.
    pub fn undo(&self, netns: &NetnsFd) -> Result<()> {
        let (host, inside) = (Netlink::here()?, Netlink::inside(netns)?);
        Error::of_many(take_back(&host, &inside, &self.undo))
    }
}

impl Undo {
    fn is_on_host(&self) -> bool {
        matches!(self, Undo::HostLink { .. })
    }

    fn run(&self, host: &Netlink, inside: &Netlink) -> Result<()> {
        match self {
            Undo::HostLink { name, index } => remove_link(host, name, *index),
            Undo::InsideLink { name, index } => remove_link(inside, name, *index),
            Undo::Loopback { index } => inside.set_link_up(*index, "lo", false),
            Undo::Route { message, shown } => inside.delete_route(message, shown),
            Undo::Moved(moved) => moved.bring_back(host, inside),
        }
    }
}

impl Moved {
    fn bring_back(&self, host: &Netlink, inside: &Netlink) -> Result<()> {
        let before = &self.before;
        let link = inside.link(&self.name_inside)?;
        inside.move_link(&link, &self.home, &before.name, &self.changed)?;
        let link = host.link(&before.name)?;
        if before.is_up() {
            host.set_link_up(link.index, &link.name, true)?;
        }
        for address in &self.addresses {
            host.restore_address(&link, address)?;
        }
        Ok(())
    }
}

/// Runs all of it, last step first; gives what went wrong.
pub(crate) fn take_back(host: &Netlink, inside: &Netlink, undo: &[Undo]) -> Vec<Error> {
    let mut errors = Vec::new();
    for step in undo.iter().rev() {
        errors.extend(step.run(host, inside).err());
    }
    errors
}

/// Removes the interface of this name, if it is still the one of this index.
fn remove_link(netlink: &Netlink, name: &str, index: Option<u32>) -> Result<()> {
    match netlink.link_if_any(name)? {
        Some(link) if index.is_none_or(|index| index == link.index) => {
            netlink.delete_link(link.index, name)
        }
        _ => Ok(()),
    }
}

/// Removes host ends by the names that a state file remembers, with their ends inside.
///
/// Names that no interface has any more are no error.
///
/// # Order
/// From a thread in the namespace from which they were made.
///
/// # Privileges
/// `CAP_NET_ADMIN` over that namespace.
///
/// # Errors
/// | kind | errno | when |
/// |---|---|---|
/// | `Hostile` | | the interface of this name is not one end of a pair, so it was not made here |
/// | `Denied` | EPERM | a right is missing |
/// | `Limit` | EMFILE, ENFILE | no descriptor is left |
///
/// Every name is tried; further errors are in [`Error::also`].
pub fn remove_host_interfaces<T: AsRef<str> + Sync>(names: &[T]) -> Result<()> {
    if names.is_empty() {
        return Ok(());
    }
    let host = Netlink::here()?;
    let outcomes = names.iter().map(|name| remove_pair(&host, name.as_ref()));
    Error::of_many(outcomes.filter_map(Result::err).collect())
}

fn remove_pair(host: &Netlink, name: &str) -> Result<()> {
    match host.link_if_any(name)? {
        None => Ok(()),
        Some(link) if link.is_of_kind("veth") => host.delete_link(link.index, name),
        Some(_) => {
            let call = format!("{name:?} is not one end of a veth pair");
            Err(Error::new(Kind::Hostile, "remove interface", call))
        }
    }
}
