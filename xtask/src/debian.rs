//! Packages of Debian that tests or comparisons need.

use std::path::Path;
use std::process::Command;

use nix::unistd::Uid;

use crate::failure::{Failure, Result};
use crate::workspace::succeed;

/// One package, the file that shows that it is there, and what it is for.
#[derive(Debug)]
pub(crate) struct Need {
    /// Name of the package.
    pub(crate) package: &'static str,
    /// A file that it brings.
    pub(crate) file: &'static str,
    why: &'static str,
}

/// What the tests need.
pub(crate) const FOR_TESTS: [Need; 6] = [
    need(
        "busybox-static",
        "/bin/busybox",
        "a static program to fill root file systems with",
    ),
    need(
        "uidmap",
        "/usr/bin/newuidmap",
        "id maps with several ids without rights",
    ),
    need(
        "strace",
        "/usr/bin/strace",
        "faults at the calls of a start, and counting them",
    ),
    need(
        "iproute2",
        "/sbin/ip",
        "the networks that the tests of ns-network begin with",
    ),
    need(
        "libcap2-bin",
        "/sbin/setcap",
        "programs with file capabilities that must gain nothing",
    ),
    need("procps", "/bin/ps", "looking at processes from inside"),
];

/// What virtual machines are made with.
pub(crate) const FOR_GUESTS: [Need; 6] = [
    need(
        "qemu-system-x86",
        "/usr/bin/qemu-system-x86_64",
        "the machine that a guest runs on",
    ),
    need("e2fsprogs", "/sbin/mke2fs", "the disk of a guest"),
    need("xz-utils", "/usr/bin/xz", "unpacking a kernel"),
    need("zstd", "/usr/bin/zstd", "unpacking a newer kernel"),
    need(
        "busybox-static",
        "/bin/busybox",
        "the first programs of a guest",
    ),
    need(
        "debian-archive-keyring",
        "/usr/share/keyrings/debian-archive-keyring.gpg",
        "trust in a downloaded kernel",
    ),
];

/// What the bench compares with.
pub(crate) const PEERS: [Need; 3] = [
    need("bubblewrap", "/usr/bin/bwrap", "the bench compares with it"),
    need("runc", "/usr/sbin/runc", "the bench compares with it"),
    need("crun", "/usr/bin/crun", "the bench compares with it"),
];

const fn need(package: &'static str, file: &'static str, why: &'static str) -> Need {
    Need { package, file, why }
}

impl Need {
    /// Whether the package's file is there.
    pub(crate) fn is_met(&self) -> bool {
        Path::new(self.file).exists()
    }
}

/// Installs what is missing, and says so.
///
/// Without rights, or where there is no `apt-get`, it says what is missing and how to get it; the tests
/// that need it then skip.
pub(crate) fn install(needs: &[Need]) -> Result<()> {
    let missing: Vec<&Need> = needs.iter().filter(|need| !need.is_met()).collect();
    if missing.is_empty() {
        return Ok(());
    }
    let names: Vec<&str> = missing.iter().map(|need| need.package).collect();
    let command = format!("apt-get install {}", names.join(" "));
    for need in &missing {
        println!("missing: {} ({})", need.package, need.why);
    }
    if !Uid::effective().is_root() || !Path::new("/usr/bin/apt-get").exists() {
        println!("to get it, as root: {command}");
        return Ok(());
    }
    println!("installing from Debian: {}", names.join(" "));
    apt_get(&["update"])?;
    let mut arguments = vec!["install", "--yes", "--no-install-recommends"];
    arguments.extend(names);
    apt_get(&arguments)?;
    match missing.iter().find(|need| !need.is_met()) {
        None => Ok(()),
        Some(need) => Err(Failure::new(format!(
            "{} did not bring {}",
            need.package, need.file
        ))),
    }
}

fn apt_get(arguments: &[&str]) -> Result<()> {
    succeed(
        Command::new("apt-get")
            .arg("-qq")
            .args(arguments)
            .env("DEBIAN_FRONTEND", "noninteractive"),
    )
}
