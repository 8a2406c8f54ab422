//! The planner of the first process in new namespaces: everything from the clone to the command.

use ns_config::{Config, NamespaceKind, ResolvedUser, Setting};

use crate::error::Result;
use crate::op::{Op, Slot};
use crate::plan::PlanBuilder;
use crate::process::{Command, Groups, execute, finalize_namespace, resource_limits, signals};

/// What [`init`] plans for, apart from the configuration.
#[derive(Clone, Debug)]
pub struct Init<'a> {
    /// The configuration; its mounts are planned by the caller of [`init`].
    pub config: &'a Config,
    /// Who the command runs as.
    pub user: &'a ResolvedUser,
    /// Whether the group list can be set.
    pub groups: Groups,
    /// The command.
    pub command: &'a Command,
    /// Descriptors given to the command: where each comes from, and the number it gets. A terminal takes the
    /// place of 0 to 2.
    pub descriptors: &'a [(Slot, i32)],
    /// The listening socket at which the command's start is awaited; `None` executes it at once.
    pub parked_at: Option<Slot>,
}

/// What the caller's own planning inside the namespaces leaves for the rest.
#[derive(Clone, Copy, Debug, Default)]
pub struct Inside {
    /// The command's end of a terminal.
    pub terminal: Option<Slot>,
    /// A private procfs, for security labels.
    pub procfs: Option<Slot>,
    /// Whether the network namespace comes with its loopback device up.
    pub is_loopback_up: bool,
}

/// Plans what comes before a process meets anybody who might be hostile: its oom score, and that nobody may attach
/// to it or read it (CVE-2016-9962). Goes before every join of a namespace.
///
/// # Errors
/// | kind | when |
/// |---|---|
/// | `Limit` | the plan would exceed 4 GiB |
pub fn protect(config: &Config, plan: &mut PlanBuilder) -> Result<()> {
    oom_score(config, plan)?;
    plan.push("forbid to attach to this process", Op::ForbidDump);
    Ok(())
}

/// Plans the life of the first process of a container after [`protect`], in this order: session, the caller's
/// `inside` (root file system, kernel settings), names, loopback, [`finalize_setns`].
///
/// What must be private is checked by [`Config::validate`]: a host name without a UTS namespace of its own, or
/// mounts without a mount namespace, never get here.
///
/// # Privileges
/// Those of the configured settings, in the process's user namespace.
///
/// # Errors
/// Those of `inside`, and [`finalize_setns`].
pub fn init<E: From<crate::Error>>(
    init: &Init<'_>,
    plan: &mut PlanBuilder,
    inside: impl FnOnce(&mut PlanBuilder) -> Result<Inside, E>,
) -> Result<(), E> {
    let config = init.config;
    let inside = session_and(config, plan, inside)?;
    names(config, plan)?;
    if config.namespaces.creates(NamespaceKind::Network) && !inside.is_loopback_up {
        plan.push("bring up the loopback device", Op::BringUpLoopback);
    }
    finalize_setns(init, inside, plan)?;
    Ok(())
}

/// Plans what a process does that has joined the namespaces of another: its session, what `inside` plans, and
/// [`finalize_setns`].
///
/// # Errors
/// Those of `inside`, and [`finalize_setns`].
pub fn init_joined<E: From<crate::Error>>(
    init: &Init<'_>,
    plan: &mut PlanBuilder,
    inside: impl FnOnce(&mut PlanBuilder) -> Result<Inside, E>,
) -> Result<(), E> {
    let inside = session_and(init.config, plan, inside)?;
    finalize_setns(init, inside, plan)?;
    Ok(())
}

/// ORDER: a terminal that is taken later becomes the one of the session.
fn session_and<E>(
    config: &Config,
    plan: &mut PlanBuilder,
    inside: impl FnOnce(&mut PlanBuilder) -> Result<Inside, E>,
) -> Result<Inside, E> {
    if config.process.new_session || config.process.terminal {
        plan.at(config.source.pointer(Setting::NewSession));
        plan.push("start a session", Op::NewSession);
        plan.at_nothing();
    }
    let planned = inside(plan)?;
    plan.at_nothing();
    Ok(planned)
}

/// Plans what a process does once it is in all of its namespaces, made or joined: security labels, streams, terminal,
/// limits, [`finalize_namespace`], [`signals`], the wait for the start, and the command.
///
/// # Errors
/// As [`finalize_namespace`] and [`execute`].
pub fn finalize_setns(init: &Init<'_>, inside: Inside, plan: &mut PlanBuilder) -> Result<()> {
    let config = init.config;
    if let Some(procfs) = inside.procfs {
        security_labels(config, procfs, plan)?;
    }
    // ORDER: numbers from 3 on may be taken from slots, which nothing after this uses.
    let first_closed = descriptors(init.descriptors, inside.terminal, plan);
    resource_limits(config, plan);
    finalize_namespace(config, init.user, init.groups, first_closed, plan)?;
    signals(config, plan);
    if let Some(listener) = init.parked_at {
        // ORDER: after all that the configuration asks for, so that nothing of it can fail any more.
        plan.push("wait for the start", Op::Park { listener });
    }
    execute(config, init.command, plan)
}

/// ORDER: before the process becomes undumpable, after which its files in `/proc` belong to root.
fn oom_score(config: &Config, plan: &mut PlanBuilder) -> Result<()> {
    let Some(score) = config.process.oom_score_adj else {
        return Ok(());
    };
    plan.at(config.source.pointer(Setting::OomScoreAdj));
    let path = plan.text("/proc/self/oom_score_adj")?;
    let contents = plan.bytes(score.to_string().as_bytes())?;
    plan.push("set the oom score", Op::WriteHost { path, contents });
    plan.at_nothing();
    Ok(())
}

/// Puts each descriptor at its number; gives the first number that is to be closed.
fn descriptors(wanted: &[(Slot, i32)], terminal: Option<Slot>, plan: &mut PlanBuilder) -> i32 {
    for (from, to) in wanted {
        if terminal.is_none() || *to > 2 {
            plan.push(
                "hand a descriptor to the command",
                Op::Duplicate {
                    from: *from,
                    to: *to,
                },
            );
        }
    }
    if let Some(terminal) = terminal {
        for to in 0..3 {
            plan.push(
                "hand the terminal to the command",
                Op::Duplicate { from: terminal, to },
            );
        }
        plan.push("take the terminal", Op::SetControllingTerminal { terminal });
    }
    wanted
        .iter()
        .map(|(_, to)| to + 1)
        .max()
        .unwrap_or(3)
        .max(3)
}

fn names(config: &Config, plan: &mut PlanBuilder) -> Result<()> {
    if let Some(hostname) = &config.hostname {
        plan.at(config.source.pointer(Setting::Hostname));
        let name = plan.text(hostname)?;
        plan.push("set the host name", Op::SetHostname { name });
    }
    if let Some(domainname) = &config.domainname {
        plan.at(config.source.pointer(Setting::Domainname));
        let name = plan.text(domainname)?;
        plan.push("set the domain name", Op::SetDomainname { name });
    }
    plan.at_nothing();
    Ok(())
}

/// Plans the AppArmor profile and the SELinux label that the command is executed under.
///
/// # Kernel
/// `/proc/thread-self/attr/apparmor/exec` (5.8) and `/proc/thread-self/attr/exec`. Where the module is not enabled
/// the write fails and nothing is started (H13).
///
/// # Errors
/// | kind | when |
/// |---|---|
/// | `InvalidValue` | a label holds a NUL byte |
pub fn security_labels(config: &Config, procfs: Slot, plan: &mut PlanBuilder) -> Result<()> {
    let process = &config.process;
    let apparmor = process.apparmor_profile.as_ref().map(|profile| {
        let path = "thread-self/attr/apparmor/exec";
        (Setting::ApparmorProfile, path, format!("exec {profile}"))
    });
    let selinux = process.selinux_label.as_ref().map(|label| {
        (
            Setting::SelinuxLabel,
            "thread-self/attr/exec",
            label.clone(),
        )
    });
    for (setting, path, value) in apparmor.into_iter().chain(selinux) {
        plan.at(config.source.pointer(setting));
        let path = plan.text(path)?;
        let contents = plan.bytes(value.as_bytes())?;
        plan.push(
            "set the security label",
            Op::WriteProc {
                procfs,
                path,
                contents,
            },
        );
    }
    plan.at_nothing();
    Ok(())
}
