//! Namespaces that are joined: opened once, checked, then only the descriptor is used.

use std::fs::File;
use std::os::fd::OwnedFd;
use std::os::unix::fs::OpenOptionsExt as _;

use ns_config::{Config, Namespace, NamespaceKind};
use ns_init::{Op, PlanBuilder};

use crate::error::{Error, Kind, Result, Stage};

/// Plans `setns` into every configured namespace: the user namespace first, because it brings the rights
/// for the others, and the mount namespace last, because paths mean something else after it.
pub(crate) fn plan(config: &Config, plan: &mut PlanBuilder) -> Result<()> {
    let mut joins: Vec<&Namespace> = config.namespaces.joins().collect();
    joins.sort_by_key(|namespace| match namespace.kind {
        NamespaceKind::User => 0,
        NamespaceKind::Mount => 2,
        _ => 1,
    });
    for namespace in joins {
        let path = namespace.path.as_deref().unwrap_or_default();
        let fd = open(namespace, path)
            .map_err(|error| error.with_pointer(namespace.pointer.as_str()))?;
        plan.at(namespace.pointer.as_str());
        let slot = plan.inherit(fd, path)?;
        let flags = namespace.kind.clone_flag();
        plan.push(
            "join the namespace",
            Op::JoinNamespace {
                namespace: slot,
                flags,
            },
        );
    }
    plan.at_nothing();
    Ok(())
}

fn open(namespace: &Namespace, path: &str) -> Result<OwnedFd> {
    let step = format!(
        "open the {} namespace: open({path:?})",
        namespace.kind.proc_name()
    );
    // Not to hang on a fifo, nor to take a terminal that somebody put there.
    let file = File::options()
        .read(true)
        .custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY | libc::O_CLOEXEC)
        .open(path)
        .map_err(|error| Error::from_io(Stage::Configuration, &step, &error))?;
    let kind = crate::sys::namespace_type(&file).map_err(|_| {
        Error::new(
            Kind::Hostile,
            Stage::Configuration,
            format!("{path:?} is not a namespace"),
        )
        .with_hint("name a file such as /proc/PID/ns/net, or one it was bound to")
    })?;
    if kind != namespace.kind.clone_flag() {
        return Err(Error::new(
            Kind::Hostile,
            Stage::Configuration,
            format!(
                "{path:?} is not a {} namespace but one of another kind",
                namespace.kind.proc_name()
            ),
        ));
    }
    Ok(file.into())
}
