//! What this host can do, what it cannot, and the one command that would change it.

use std::fs::{metadata, read_to_string};

use nix::unistd::AccessFlags;
use ns_config::{Config, IdMap, NamespaceKind, Rootfs};

use crate::error::{Error, Kind, Result, Stage};
use crate::start::{Start, Stream};

/// One thing that was looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// What was looked at.
    pub subject: &'static str,
    /// Whether it works.
    pub works: bool,
    /// What was seen.
    pub detail: String,
    /// The command that would change it, where there is one.
    pub remedy: Option<String>,
}

/// Looks at the host. Every finding comes from trying the thing or from the kernel's own file; nothing is left behind.
#[must_use]
pub fn doctor() -> Vec<Finding> {
    let mut findings = vec![kernel()];
    findings.extend(NamespaceKind::ALL.into_iter().map(namespace));
    findings.push(device_mapping());
    findings.push(helpers());
    findings.push(terminal_injection());
    findings.push(memfd());
    findings.push(control_groups());
    findings.push(rcu());
    findings
}

/// Refuses to work for a caller with fewer rights: no program that uses this crate is meant to be setuid, setgid, or to
/// have file capabilities (K8).
///
/// # Errors
/// | kind | when |
/// |---|---|
/// | `Denied` | this program was executed with rights that its caller does not have |
pub fn refuse_gained_rights() -> Result<()> {
    if !crate::sys::has_gained_rights() {
        return Ok(());
    }
    let message = "this program is setuid, setgid or has file capabilities, and would act for its caller with them";
    Err(Error::new(Kind::Denied, Stage::Configuration, message)
        .with_hint("take them away (chmod ug-s, setcap -r); without root a user namespace is used"))
}

/// Whether the caller can make control groups in every hierarchy that is mounted, judged by the mounts and the
/// permissions of their roots; nothing is made.
///
/// For a program that gives a container a group where that takes no right it lacks.
#[must_use]
pub fn can_make_groups() -> bool {
    let Ok(layout) = ns_cgroups::Layout::detect() else {
        return false;
    };
    let is_writable = |hierarchy: &ns_cgroups::Hierarchy| {
        let root = hierarchy.mount_point();
        hierarchy.is_writable() && nix::unistd::access(root, AccessFlags::W_OK).is_ok()
    };
    let hierarchies = layout.hierarchies();
    !hierarchies.is_empty() && hierarchies.iter().all(is_writable)
}

fn kernel() -> Finding {
    const FLOOR: (u32, u32) = (5, 14);
    let release = file("/proc/sys/kernel/osrelease");
    let mut numbers = release
        .split(|c: char| !c.is_ascii_digit())
        .map(|part| part.parse().unwrap_or(0));
    let version = (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0));
    Finding {
        subject: "kernel",
        works: version >= FLOOR,
        detail: format!("Linux {release}"),
        remedy: (version < FLOOR).then(|| "boot Linux 5.14 or newer".to_owned()),
    }
}

/// Tries a start with this one namespace, and a user namespace when the rights are missing.
fn namespace(kind: NamespaceKind) -> Finding {
    let mut config = Config::default();
    if kind == NamespaceKind::Mount {
        config.rootfs = Rootfs::Empty { size_bytes: None };
    }
    config.namespaces.add(kind, None, "");
    let uid = nix::unistd::geteuid();
    if !uid.is_root() || kind == NamespaceKind::User {
        config.namespaces.add(NamespaceKind::User, None, "");
        let own = |host_id| {
            vec![IdMap {
                container_id: 0,
                host_id,
                size: 1,
            }]
        };
        config.uid_mappings = own(uid.as_raw());
        config.gid_mappings = own(nix::unistd::getegid().as_raw());
    }
    // A command that is not there: everything before it was done when it is what fails.
    let outcome = Start::new(&config, ["/nonexistent/ns-doctor"])
        .stdin(Stream::Null)
        .prepare()
        .and_then(crate::sequence::Prepared::start);
    let (works, detail, remedy) = match outcome {
        Ok(process) => {
            let ended = process.signal(9).and_then(|()| process.wait());
            (true, format!("{ended:?}"), None)
        }
        Err(error) if error.stage() == Stage::Command => (true, "works".to_owned(), None),
        Err(error) => (false, error.to_string(), error.hint().map(str::to_owned)),
    };
    Finding {
        subject: kind.proc_name(),
        works,
        detail,
        remedy,
    }
}

fn device_mapping() -> Finding {
    let works = metadata("/dev/null").is_ok();
    Finding {
        subject: "/dev/null",
        works,
        detail: if works {
            "is there".into()
        } else {
            "is missing".into()
        },
        remedy: (!works).then(|| "mknod -m 666 /dev/null c 1 3".into()),
    }
}

fn helpers() -> Finding {
    let works = ["/usr/bin/newuidmap", "/usr/bin/newgidmap"]
        .iter()
        .all(|path| metadata(path).is_ok());
    Finding {
        subject: "newuidmap",
        works,
        detail: if works {
            "installed"
        } else {
            "not installed: without root only the own id can be mapped"
        }
        .into(),
        remedy: (!works).then(|| "apt-get install uidmap".into()),
    }
}

fn terminal_injection() -> Finding {
    let setting = file("/proc/sys/dev/tty/legacy_tiocsti");
    Finding {
        subject: "TIOCSTI",
        works: true,
        detail: match setting.as_str() {
            "0" => "the kernel refuses it".into(),
            "" => "the kernel allows it to all (older than 6.2); a filter refuses it inside".into(),
            _ => "the kernel allows it to all; a filter refuses it inside".into(),
        },
        remedy: (setting == "1").then(|| "sysctl dev.tty.legacy_tiocsti=0".into()),
    }
}

fn memfd() -> Finding {
    let setting = file("/proc/sys/vm/memfd_noexec");
    let works = setting != "2";
    Finding {
        subject: "memfd",
        works,
        detail: if works {
            "can be executed"
        } else {
            "cannot be executed"
        }
        .into(),
        remedy: (!works).then(|| "sysctl vm.memfd_noexec=1".into()),
    }
}

fn control_groups() -> Finding {
    let mounts = read_to_string("/proc/self/mountinfo").unwrap_or_default();
    let count = |fstype: &str| {
        mounts
            .lines()
            .filter(|line| line.contains(&format!(" - {fstype} ")))
            .count()
    };
    let (n_v1, n_v2) = (count("cgroup"), count("cgroup2"));
    let detail = match (n_v1, n_v2) {
        (0, 0) => "none mounted".to_owned(),
        (0, _) => "v2".to_owned(),
        (n, 0) => format!("v1, {n} hierarchies"),
        (n, _) => format!("hybrid, {n} v1 hierarchies and v2"),
    };
    Finding {
        subject: "control groups",
        works: n_v1 + n_v2 > 0,
        detail,
        remedy: None,
    }
}

/// Network namespaces and moves between groups wait for grace periods.
fn rcu() -> Finding {
    let is_expedited = file("/sys/kernel/rcu_expedited") == "1";
    Finding {
        subject: "rcu",
        works: true,
        detail: if is_expedited {
            "expedited"
        } else {
            "normal: network namespaces and v1 groups take milliseconds more"
        }
        .into(),
        remedy: (!is_expedited).then(|| "echo 1 > /sys/kernel/rcu_expedited".into()),
    }
}

fn file(path: &str) -> String {
    read_to_string(path).unwrap_or_default().trim().to_owned()
}
