//! `SetupCgroups`, `EnterCgroups` and `InitializeNetworking` of the seed: for a process that the caller has made by
//! itself, by any means.

use std::os::fd::AsFd as _;

use nix::sys::stat::fstat;
use ns_cgroups::{Cgroup, Layout};
use ns_config::{Config, ContainerState, Setting};
use ns_network::{Made, NetnsFd, NetworkPlan};

use crate::error::{Error, Kind, Result, Stage};
use crate::exec_in::Target;
use crate::identity::ProcessIdentity;
use crate::resources::{TEARDOWN, from_cgroups, from_network, plan_cgroup};

/// Makes the configured control group, with its limits, and moves the process into it; `None` when the configuration
/// has no group, and the process then stays where it is.
///
/// [`Cgroup::paths`] is the map that the seed returned. The caller removes the group when the process has ended:
/// [`Cgroup::kill`], then [`Cgroup::remove`].
///
/// # Order
/// Before the process makes others, which stay where they are; it is not to be reaped meanwhile.
///
/// # Privileges
/// Write access to the control groups above, and to the one that the process is in.
///
/// # Errors
/// The process is then where it was, and what was made is removed; what cannot be is told by [`Error::also`].
///
/// | kind | when |
/// |---|---|
/// | `InvalidValue` | the configuration has problems, or the kernel refuses a value or this process |
/// | `Gone` | the process has ended |
/// | `AlreadyExists` | the group is there, and in use |
/// | `NotFound` | an absolute parent is not there |
/// | `Unsupported` | the host has no controller that a setting needs |
/// | `Denied` | the control groups are not the caller's to change |
///
/// # Examples
/// ```no_run
/// // no_run: it takes the right to make control groups.
/// use std::time::Duration;
/// use ns_config::{CgroupConfig, Config, cgroup::Limit};
/// use ns_exec::{Target, setup_cgroups};
///
/// # fn pidfd() -> std::os::fd::OwnedFd { unimplemented!() }
/// let mut config = Config::default();
/// config.cgroup = Some(CgroupConfig {
///     name: "box1".to_owned(),
///     pids: Some(Limit::Value(64)),
///     ..CgroupConfig::default()
/// });
/// let process = Target::from_pidfd(pidfd())?; // a child that waits
/// let group = setup_cgroups(&config, &process)?.expect("one is configured");
/// for (controller, directory) in group.paths() {
///     println!("{controller}: {directory}");
/// }
/// // When the process has ended:
/// group.kill(Duration::from_secs(5))?;
/// group.remove(Duration::from_secs(5))?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[doc(alias = "SetupCgroups")]
pub fn setup_cgroups(config: &Config, process: &Target) -> Result<Option<Cgroup>> {
    validate(config)?;
    let Some((layout, spec)) = plan_cgroup(config)? else {
        return Ok(None);
    };
    check_alive(process)?;
    let group = Cgroup::create(&layout, &spec)
        .map_err(|error| from_cgroups(Stage::Configuration, &error))?;
    let joined = group.join_or_stay(process.pid());
    let joined = joined.map_err(|error| from_cgroups(Stage::Caller, &error));
    // ORDER: after the move: as long as it lives the number was its own.
    match joined.and_then(|()| check_alive(process)) {
        Ok(()) => Ok(Some(group)),
        Err(error) => Err(match group.remove(TEARDOWN) {
            Ok(()) => error,
            Err(also) => error.with_also(&from_cgroups(Stage::Caller, &also)),
        }),
    }
}

/// Moves the process into the control groups of a running container, into all of them or into none.
///
/// The state is not believed: its groups must be there, and the container's own process must be in every one of them.
/// The seed skipped a group that was missing, and wrote to whatever file the state named (H3).
///
/// # Order
/// Before the process makes others, which stay where they are; it is not to be reaped meanwhile.
///
/// # Privileges
/// Write access to the container's groups, and to the one that the process is in.
///
/// # Errors
/// The process is then where it was.
///
/// | kind | when |
/// |---|---|
/// | `Gone` | the container's process, or the one to move, has ended |
/// | `NotFound` | a group of the container is missing |
/// | `Hostile` | a path is no control group, or not one that the container's process is in |
/// | `Unsupported` | the container has no group of its own |
/// | `Denied` | the groups are not the caller's to change |
///
/// # Examples
/// ```no_run
/// // no_run: it takes a container that runs.
/// use ns_exec::{Container, StateDir, Target, enter_cgroups};
///
/// # fn pidfd() -> std::os::fd::OwnedFd { unimplemented!() }
/// let dir = StateDir::default_place()?;
/// let container = Container::open("box1", &dir)?;
/// enter_cgroups(container.state(), &Target::from_pidfd(pidfd())?)?;
/// # Ok::<(), ns_exec::Error>(())
/// ```
#[doc(alias = "EnterCgroups")]
pub fn enter_cgroups(state: &ContainerState, process: &Target) -> Result<()> {
    if state.cgroup_paths.is_empty() {
        let message = format!("container {:?} has no control group of its own", state.id);
        return Err(Error::new(Kind::Unsupported, Stage::Caller, message)
            .with_hint("start it with a control group in its configuration"));
    }
    let init = ProcessIdentity::of_state(state);
    let init_pidfd = init.open_process()?;
    let from_cgroups = |error| from_cgroups(Stage::Caller, &error);
    let layout = Layout::detect().map_err(from_cgroups)?;
    let group = Cgroup::open(&layout, &state.cgroup_paths).map_err(from_cgroups)?;
    let is_its_own = group.has_process(init.pid).map_err(from_cgroups)?;
    // ORDER: after the look: as long as it lives the number was its own.
    check_alive(&Target::from_pidfd(init_pidfd)?)?;
    if !is_its_own {
        let message = format!(
            "enter the control groups of {:?}: its process {} is not in all of them",
            state.id, init.pid
        );
        return Err(Error::new(Kind::Hostile, Stage::Caller, message)
            .with_hint("the record of the container is not to be trusted"));
    }
    check_alive(process)?;
    group
        .join_or_stay(process.pid())
        .map_err(from_cgroups)
        .and_then(|()| check_alive(process))
}

/// Makes the configured interfaces and routes in the network namespace of the process, and brings `lo` up when it is
/// among the networks.
///
/// [`Made::host_names`] is what the seed kept in its network state; interfaces go with the namespace, or by
/// [`Made::remove`].
///
/// # Order
/// While the process waits; from a thread in the namespace of the host's interfaces.
///
/// # Privileges
/// `CAP_NET_ADMIN` over both namespaces, `CAP_SYS_ADMIN` to enter the process's.
///
/// # Errors
/// Everything that was made by then is removed; what cannot be is told by [`Error::also`].
///
/// | kind | when |
/// |---|---|
/// | `InvalidValue` | the configuration has problems, or the process is in the caller's own namespace |
/// | `Gone`, `NotFound` | the process has ended; a bridge, parent or device is not there |
/// | `AlreadyExists` | a name or address is taken |
/// | `Denied` | a right is missing |
/// | by errno | the kernel refuses a step |
///
/// # Examples
/// ```no_run
/// // no_run: it takes a bridge on the host and CAP_NET_ADMIN.
/// use ns_config::{Config, NamespaceKind, Network, NetworkKind};
/// use ns_exec::{Target, initialize_networking};
///
/// # fn pidfd() -> std::os::fd::OwnedFd { unimplemented!() }
/// let mut config = Config::default();
/// config.namespaces.add(NamespaceKind::Network, None, "");
/// config.networks.push(Network::new(NetworkKind::Loopback));
/// let process = Target::from_pidfd(pidfd())?; // a child in a new network namespace, that waits
/// let made = initialize_networking(&config, &process)?;
/// assert_eq!(made.host_names().count(), 0);
/// # Ok::<(), ns_exec::Error>(())
/// ```
#[doc(alias = "InitializeNetworking")]
pub fn initialize_networking(config: &Config, process: &Target) -> Result<Made> {
    validate(config)?;
    let plan = NetworkPlan::new(&config.networks, &config.routes)
        .map_err(|error| from_network(Stage::Configuration, &error))?;
    check_alive(process)?;
    let inside = NetnsFd::of_process(process.as_fd());
    let inside = inside.map_err(|error| from_network(Stage::Caller, &error))?;
    if is_own_namespace(&inside)? {
        let message = format!(
            "make networks: process {} is in the network namespace of its caller",
            process.pid()
        );
        return Err(Error::new(Kind::InvalidValue, Stage::Caller, message)
            .with_hint("make the process in a new network namespace, or the host's would change")
            .with_pointer(config.source.pointer(Setting::Networks)));
    }
    plan.apply(&inside)
        .map_err(|error| from_network(Stage::Caller, &error))
}

fn is_own_namespace(netns: &NetnsFd) -> Result<bool> {
    let own = NetnsFd::current().map_err(|error| from_network(Stage::Caller, &error))?;
    let inode = |netns: &NetnsFd| {
        fstat(netns).map(|found| found.st_ino).map_err(|errno| {
            Error::from_errno(Stage::Caller, "look at the namespace: fstat", errno as i32)
        })
    };
    Ok(inode(&own)? == inode(netns)?)
}

fn validate(config: &Config) -> Result<()> {
    config
        .validate()
        .map_err(|problems| Error::from_problems(&problems))
}

fn check_alive(process: &Target) -> Result<()> {
    match process.has_ended()? {
        false => Ok(()),
        true => {
            let message = format!("process {} has ended", process.pid());
            Err(Error::new(Kind::Gone, Stage::Caller, message))
        }
    }
}
