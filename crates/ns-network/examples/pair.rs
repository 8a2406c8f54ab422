//! Makes a pair of interfaces between two fresh network namespaces, and shows what is there.
//!
//! Runs without root: the example starts itself again in a new user namespace.

use std::{error::Error, fs::File, os::fd::OwnedFd, process::Command, thread};

use nix::sched::{CloneFlags, unshare};
use ns_config::{Network, NetworkKind};
use ns_network::{NetnsFd, NetworkPlan, statistics};

fn main() -> Result<(), Box<dyn Error + Send + Sync>> {
    if std::env::args().nth(1).as_deref() != Some("inside") {
        let status = Command::new("unshare")
            .args(["--user", "--map-root-user", "--net"])
            .arg(std::env::current_exe()?)
            .arg("inside")
            .status()?;
        return match status.success() {
            true => Ok(()),
            false => Err("the part in the new namespace failed".into()),
        };
    }
    let mut network = Network::new(NetworkKind::Veth {
        bridge: String::new(),
        prefix: "demo".to_owned(),
        host_interface_name: None,
        hairpin: false,
    });
    network.addresses.push("10.9.0.2/24".parse()?);
    let plan = NetworkPlan::new(&[network, Network::new(NetworkKind::Loopback)], &[])?;
    let mut report = plan.explain();

    let made = plan.apply(&NetnsFd::from_fd(new_namespace()?)?)?;
    let names: Vec<&str> = made.host_names().collect();
    report.extend(statistics(&names)?.iter().map(|stats| format!("{stats:?}")));
    made.remove()?;
    show(&report)
}

/// A namespace of a thread that is gone; the descriptor keeps it.
fn new_namespace() -> Result<OwnedFd, Box<dyn Error + Send + Sync>> {
    let make = || -> Result<OwnedFd, Box<dyn Error + Send + Sync>> {
        unshare(CloneFlags::CLONE_NEWNET)?;
        Ok(File::open("/proc/thread-self/ns/net")?.into())
    };
    thread::spawn(make).join().map_err(|_| "it panicked")?
}

fn show(lines: &[String]) -> Result<(), Box<dyn Error + Send + Sync>> {
    use std::io::Write;
    for line in lines {
        writeln!(std::io::stdout(), "{line}")?;
    }
    Ok(())
}
