//! Planners of the last stretch before the command: environment, user, capabilities, directory, exec.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};

use ns_config::{Config, ResolvedUser, Setting};

use crate::error::{Error, Kind, Result};
use crate::op::Op;
use crate::plan::PlanBuilder;

/// The command as it will be executed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Command {
    /// The program and its arguments; the first is the name, looked up in `PATH` of the environment
    /// when it has no slash.
    pub arguments: Vec<OsString>,
    /// The complete environment, see [`load_container_environment`].
    pub environment: Vec<OsString>,
}

/// Whether the process may change its list of groups.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Groups {
    /// It may: the list is set, also to an empty one.
    Settable,
    /// It may not (`/proc/PID/setgroups` says `deny`, or there is no `CAP_SETGID`): the caller's list stays, and a
    /// configuration that asks for groups is refused.
    Fixed,
}

/// The command's environment: the configured entries, and `HOME` of the user when it is unset or empty.
///
/// Nothing of the caller's own environment is in it.
///
/// # Errors
/// | kind | when |
/// |---|---|
/// | `InvalidValue` | an entry has no `=`, no name, a NUL byte, or exceeds 128 KiB; the value is never shown |
pub fn load_container_environment(config: &Config, user: &ResolvedUser) -> Result<Vec<OsString>> {
    let pointer = config.source.pointer(Setting::Environment);
    let mut environment = ns_config::merge_environment(config.process.environment.iter().cloned())
        .map_err(|error| {
            Error::new(
                Kind::InvalidValue,
                "load the environment",
                error.to_string(),
            )
            .with_pointer(Some(pointer))
        })?;
    let has_home = |entry: &OsString| entry.as_bytes().starts_with(b"HOME=") && entry.len() > 5;
    if !environment.iter().any(has_home) {
        environment.retain(|entry| !entry.as_bytes().starts_with(b"HOME="));
        let home = [b"HOME=".as_slice(), user.home.as_bytes()].concat();
        environment.push(OsString::from_vec(home));
    }
    Ok(environment)
}

/// Plans `setgroups`, `setresgid` and `setresuid`, in this order, with the permitted capabilities kept.
///
/// # Privileges
/// `CAP_SETGID` and `CAP_SETUID` in the process's user namespace.
///
/// # Errors
/// | kind | when |
/// |---|---|
/// | `Denied` | groups were asked for and [`Groups::Fixed`] |
pub fn setup_user(
    config: &Config,
    user: &ResolvedUser,
    groups: Groups,
    plan: &mut PlanBuilder,
) -> Result<()> {
    plan.at(config.source.pointer(Setting::User));
    let mut gids = user.additional_gids.clone();
    for gid in &config.process.additional_gids {
        if !gids.contains(gid) {
            gids.push(*gid);
        }
    }
    match groups {
        Groups::Settable => {
            let gids = plan.numbers(gids)?;
            plan.push("set the supplementary groups", Op::SetGroups { gids });
        }
        Groups::Fixed if !config.process.additional_gids.is_empty() => {
            return Err(Error::new(
                Kind::Denied,
                "plan the user",
                "this user namespace maps a single group and cannot change the group list",
            )
            .with_hint(Some("map the groups, or ask for none"))
            .with_pointer(Some(config.source.pointer(Setting::AdditionalGids))));
        }
        // Groups that the lookup alone gave are left out: nobody asked for them by name.
        Groups::Fixed => {}
    }
    let (uid, gid) = (user.uid, user.gid);
    plan.push("change to the user", Op::SetIds { uid, gid });
    plan.at_nothing();
    // ORDER: after the change, which may undo it (fs.suid_dumpable).
    plan.push("forbid to attach to this process", Op::ForbidDump);
    Ok(())
}

/// Plans what follows the set-up of the namespaces: descriptors closed, bounding set, user, capabilities,
/// seccomp, no_new_privs, working directory.
///
/// Descriptors from `first_closed` on are closed before the working directory is entered, so that no path
/// through `/proc/self/fd` leads out (CVE-2024-21626); the directory is entered as the user.
///
/// # Errors
/// As [`setup_user`].
pub fn finalize_namespace(
    config: &Config,
    user: &ResolvedUser,
    groups: Groups,
    first_closed: i32,
    plan: &mut PlanBuilder,
) -> Result<()> {
    let process = &config.process;
    let pointer = |setting| config.source.pointer(setting);
    plan.push(
        "close all other descriptors",
        Op::CloseFrom {
            first: first_closed,
        },
    );
    let mask = process.umask.unwrap_or(0o022);
    plan.push("set the file mode mask", Op::SetUmask { mask });
    let sets = process.capabilities;
    plan.at(pointer(Setting::Capabilities));
    plan.push(
        "drop the bounding set",
        Op::DropBoundingSet {
            keep: sets.bounding.bits(),
        },
    );
    if !process.no_new_privileges {
        // ORDER: a filter without no_new_privs takes CAP_SYS_ADMIN, which goes next.
        install_seccomp(config, plan)?;
    }
    setup_user(config, user, groups, plan)?;
    plan.at(pointer(Setting::Capabilities));
    plan.push(
        "set the capabilities",
        Op::SetCapabilities {
            effective: sets.effective.bits(),
            permitted: sets.permitted.bits(),
            inheritable: sets.inheritable.bits(),
        },
    );
    plan.push(
        "set the ambient capabilities",
        Op::SetAmbientSet {
            set: sets.ambient.bits(),
        },
    );
    if process.no_new_privileges {
        plan.at(pointer(Setting::NoNewPrivileges));
        plan.push("forbid new privileges", Op::SetNoNewPrivileges);
        install_seccomp(config, plan)?;
    }
    plan.at(pointer(Setting::WorkingDir));
    let path = plan.text(process.working_dir.as_deref().unwrap_or("/"))?;
    plan.push("enter the working directory", Op::ChangeDirectory { path });
    plan.at_nothing();
    Ok(())
}

/// Plans the resource limits.
pub fn resource_limits(config: &Config, plan: &mut PlanBuilder) {
    for limit in &config.process.rlimits {
        plan.at(limit.pointer.as_str());
        plan.push(
            "set a resource limit",
            Op::SetResourceLimit {
                resource: limit.resource.number(),
                soft: limit.soft,
                hard: limit.hard,
            },
        );
    }
    plan.at_nothing();
}

/// Plans the signal sent to the command when the thread that started it ends.
///
/// # Order
/// After the user is set, which clears it, and as late as can be: a caller that is gone already is noticed
/// by its socket.
pub fn restore_parent_death_signal(config: &Config, plan: &mut PlanBuilder) {
    let signal = config.process.parent_death_signal;
    if signal != 0 {
        plan.at(config.source.pointer(Setting::ParentDeathSignal));
        plan.push(
            "ask for the parent death signal",
            Op::SetParentDeathSignal { signal },
        );
        plan.at_nothing();
    }
}

/// Plans what the command finds of signals: the parent death signal, and default actions.
pub fn signals(config: &Config, plan: &mut PlanBuilder) {
    restore_parent_death_signal(config, plan);
    plan.push("give signals their default action", Op::ResetSignals);
}

/// Plans the end: the command.
///
/// # Errors
/// | kind | when |
/// |---|---|
/// | `InvalidValue` | there is no command, or an argument holds a NUL byte |
pub fn execute(config: &Config, command: &Command, plan: &mut PlanBuilder) -> Result<()> {
    let Some(name) = command.arguments.first().filter(|name| !name.is_empty()) else {
        return Err(Error::new(
            Kind::InvalidValue,
            "plan the command",
            "there is no command",
        )
        .with_hint(Some("name a program to run, after -- on a command line")));
    };
    let search = search_path(&command.environment);
    if search.is_none() && !name.as_bytes().contains(&b'/') {
        return Err(Error::new(
            Kind::NotFound,
            "plan the command",
            format!("{name:?} has no slash and the environment has no PATH to look it up in"),
        )
        .with_hint(Some("name the program by its path, or set PATH"))
        .with_pointer(Some(config.source.pointer(Setting::Environment))));
    }
    let arguments = plan.strings(command.arguments.iter().map(|word| word.as_bytes()))?;
    let environment = plan.strings(command.environment.iter().map(|word| word.as_bytes()))?;
    let search = plan.text(search.unwrap_or_default())?;
    plan.push(
        "execute the command",
        Op::Execute {
            arguments,
            environment,
            search,
        },
    );
    Ok(())
}

fn install_seccomp(config: &Config, plan: &mut PlanBuilder) -> Result<()> {
    if !config.process.deny_terminal_injection {
        return Ok(());
    }
    plan.at(config.source.pointer(Setting::DenyTerminalInjection));
    let program: Vec<u8> = ns_config::terminal_injection_filter(ARCH)
        .iter()
        .flat_map(|instruction| {
            let [code_low, code_high] = instruction.code.to_ne_bytes();
            let [k0, k1, k2, k3] = instruction.k.to_ne_bytes();
            [
                code_low,
                code_high,
                instruction.jt,
                instruction.jf,
                k0,
                k1,
                k2,
                k3,
            ]
        })
        .collect();
    let filter = plan.bytes(&program)?;
    plan.push(
        "forbid typing into terminals",
        Op::InstallSeccomp { filter, flags: 0 },
    );
    plan.at_nothing();
    Ok(())
}

#[cfg(target_arch = "x86_64")]
const ARCH: ns_config::Arch = ns_config::Arch::X86_64;
#[cfg(target_arch = "aarch64")]
const ARCH: ns_config::Arch = ns_config::Arch::Aarch64;

fn search_path(environment: &[OsString]) -> Option<&[u8]> {
    environment
        .iter()
        .map(OsString::as_os_str)
        .map(OsStr::as_bytes)
        .find_map(|entry| entry.strip_prefix(b"PATH="))
}
