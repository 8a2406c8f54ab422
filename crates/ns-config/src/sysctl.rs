//! Which kernel settings belong to which namespace.

use crate::{
    error::{Error, Kind, Problem},
    namespace::NamespaceKind,
};

/// The namespace that owns a kernel setting, so that changing it inside leaves the host alone.
///
/// # Shape
/// Dots or slashes between the parts, as `sysctl(8)` takes it: when the first separator is a slash
/// dots are ordinary characters, otherwise a slash stands for a dot inside a name
/// (`net.ipv4.conf.eth0/100.forwarding`).
///
/// # Errors
/// | kind | when |
/// |---|---|
/// | [`Kind::InvalidValue`] | the name is empty, or has an empty, `.` or `..` part, or a NUL |
/// | [`Kind::Unsupported`] | no namespace owns it, so it would change the host |
///
/// # Examples
/// ```
/// use ns_config::{NamespaceKind, sysctl_namespace};
///
/// assert_eq!(sysctl_namespace("net.ipv4.ip_forward")?, NamespaceKind::Network);
/// assert!(sysctl_namespace("kernel.core_pattern").is_err());
/// # Ok::<(), ns_config::Error>(())
/// ```
pub fn sysctl_namespace(name: &str) -> Result<NamespaceKind, Error> {
    let parts = sysctl_parts(name).ok_or_else(|| {
        let problem = Problem::new(Kind::InvalidValue, "", name, "is not a kernel setting");
        Error::new(STEP, problem.accepted("names like net.ipv4.ip_forward"))
    })?;
    let parts: Vec<&str> = parts.iter().map(String::as_str).collect();
    match parts.as_slice() {
        [
            "kernel",
            "sem" | "msg_next_id" | "sem_next_id" | "shm_next_id" | "shm_rmid_forced",
        ]
        | [
            "kernel",
            "msgmax" | "msgmnb" | "msgmni" | "shmall" | "shmmax" | "shmmni",
        ]
        | ["fs", "mqueue", _] => Ok(NamespaceKind::Ipc),
        ["kernel", "hostname" | "domainname"] => Ok(NamespaceKind::Uts),
        ["net", _, ..] => Ok(NamespaceKind::Network),
        ["user", _] => Ok(NamespaceKind::User),
        _ => {
            let problem = Problem::new(
                Kind::Unsupported,
                "",
                name,
                "belongs to no namespace, so setting it would change the host",
            );
            Err(Error::new(STEP, problem.accepted(ACCEPTED)))
        }
    }
}

/// The path of a kernel setting below `/proc/sys`, e.g. `net/ipv4/ip_forward`; `None` when the name
/// is not one, and never a path that leaves the directory.
pub fn sysctl_path(name: &str) -> Option<String> {
    Some(sysctl_parts(name)?.join("/"))
}

/// The components of the path below `/proc/sys`.
fn sysctl_parts(name: &str) -> Option<Vec<String>> {
    let separator = name.chars().find(|c| matches!(c, '.' | '/'))?;
    let parts: Vec<String> = match separator {
        '/' => name.split('/').map(str::to_owned).collect(),
        _ => name.split('.').map(|part| part.replace('/', ".")).collect(),
    };
    let ordinary =
        |part: &String| !matches!(part.as_str(), "" | "." | "..") && !part.contains('\0');
    parts.iter().all(ordinary).then_some(parts)
}

const STEP: &str = "check kernel setting";
const ACCEPTED: &str = "kernel.{shm*,msg*,sem*} and fs.mqueue.* (IPC namespace), net.* (network), \
    kernel.hostname and kernel.domainname (UTS), user.* (user)";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sysctl_of_a_namespace_is_recognized() {
        for (name, kind) in [
            ("kernel.shmmni", NamespaceKind::Ipc),
            ("kernel/sem", NamespaceKind::Ipc),
            ("fs.mqueue.msg_max", NamespaceKind::Ipc),
            ("net.ipv4.ip_forward", NamespaceKind::Network),
            ("net.ipv4.conf.eth0/100.forwarding", NamespaceKind::Network),
            ("net/ipv4/conf/eth0.100/forwarding", NamespaceKind::Network),
            ("kernel.hostname", NamespaceKind::Uts),
            ("kernel.domainname", NamespaceKind::Uts),
            ("user.max_user_namespaces", NamespaceKind::User),
        ] {
            assert_eq!(sysctl_namespace(name).unwrap(), kind, "{name}");
        }
    }

    #[test]
    fn sysctl_of_the_host_or_out_of_proc_sys_is_refused() {
        for (name, kind) in [
            ("kernel.core_pattern", Kind::Unsupported),
            ("kernel.shm", Kind::Unsupported),
            ("vm.overcommit_memory", Kind::Unsupported),
            ("fs.file-max", Kind::Unsupported),
            ("net", Kind::InvalidValue),
            ("net/../kernel/core_pattern", Kind::InvalidValue),
            ("net.//.kernel.core_pattern", Kind::InvalidValue),
            ("net..ipv4", Kind::InvalidValue),
            ("/net/ipv4/ip_forward", Kind::InvalidValue),
            ("net/./x", Kind::InvalidValue),
            ("net.x\0", Kind::InvalidValue),
            ("", Kind::InvalidValue),
        ] {
            let error = sysctl_namespace(name).unwrap_err();
            assert_eq!(error.kind(), kind, "{name:?}");
        }
    }
}
