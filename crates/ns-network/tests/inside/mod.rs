//! Runs a test's body in network namespaces of its own: one that stands for the host, with a bridge
//! `br0` that has 10.9.0.1/24 and fd09::1/64, and one that stands for the container.
//!
//! The test starts itself again under `unshare(1)`, so that no interface of the machine is near.

#![allow(
    dead_code,
    unreachable_pub,
    reason = "each test program takes what it needs of this module"
)]

pub mod sys;

use std::fs::File;
use std::io::Write as _;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::process::{Command, Output, Stdio};
use std::thread;

use nix::sched::{CloneFlags, setns, unshare};
use ns_config::{IpPrefix, Network, NetworkKind, Route};
use ns_network::NetnsFd;
use serde_json::Value;

const MARK: &str = "NS_NETWORK_TEST_INSIDE";

/// Each function becomes a test.
#[macro_export]
macro_rules! in_fresh_namespaces {
    ($($name:ident),* $(,)?) => {
        mod fresh {
            $(#[test] fn $name() {
                $crate::inside::run(concat!("fresh::", stringify!($name)), super::$name);
            })*
        }
    };
}

/// The two namespaces, and their descriptors.
pub struct Place {
    pub test: &'static str,
    pub container: NetnsFd,
}

pub fn run(test: &'static str, body: fn(&Place)) {
    if std::env::var_os(MARK).is_none() {
        return again(test);
    }
    let place = Place {
        test,
        container: NetnsFd::from_fd(new_namespace()).unwrap(),
    };
    if let Err(reason) = place.try_ip(&["link", "add", "br0", "type", "bridge"]) {
        println!("SKIP {test}: no bridges: {reason}");
        return;
    }
    place.ip(&["link", "set", "br0", "up"]);
    place.ip(&["addr", "add", "10.9.0.1/24", "dev", "br0"]);
    place.ip(&["addr", "add", "fd09::1/64", "dev", "br0", "nodad"]);
    body(&place);
}

fn again(test: &str) {
    let executable = File::open(std::env::current_exe().unwrap()).unwrap();
    let executable = nix::unistd::dup(&executable).unwrap();
    let mut command = Command::new("unshare");
    if !nix::unistd::geteuid().is_root() {
        command.args(["--user", "--map-root-user"]);
    }
    let output = command
        .args(["--net", "--mount"])
        .arg(format!("/proc/self/fd/{}", executable.as_raw_fd()))
        .args(["--exact", test, "--nocapture", "--test-threads=1"])
        .env(MARK, "1")
        .output()
        .expect("unshare(1) comes with util-linux");
    let text = String::from_utf8_lossy(&output.stdout);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{test}: {text}{errors}");
    assert!(text.contains("1 passed"), "{test} is the name of a test");
    for line in text
        .lines()
        .filter_map(|line| line.find("SKIP ").map(|start| &line[start..]))
    {
        println!("{line}");
    }
}

/// A namespace that lives as long as its descriptor.
pub fn new_namespace() -> OwnedFd {
    let make = || {
        unshare(CloneFlags::CLONE_NEWNET).unwrap();
        OwnedFd::from(File::open("/proc/thread-self/ns/net").unwrap())
    };
    thread::spawn(make).join().unwrap()
}

impl Place {
    /// `ip -json`, on the host.
    pub fn try_ip(&self, arguments: &[&str]) -> Result<Value, String> {
        let mut command = Command::new("ip");
        parse(
            command
                .args(["-json", "-details", "-stats"])
                .args(arguments)
                .output()
                .unwrap(),
        )
    }

    pub fn ip(&self, arguments: &[&str]) -> Value {
        self.try_ip(arguments).unwrap()
    }

    /// `ip -json`, in the container.
    pub fn ip_inside(&self, arguments: &[&str]) -> Value {
        let output = self.inside(|| {
            let mut command = Command::new("ip");
            command.args(["-json", "-details"]).args(arguments).output()
        });
        parse(output.unwrap()).unwrap()
    }

    /// `ip -batch`, in the container.
    pub fn batch_inside(&self, lines: &str) {
        let output = self.inside(|| {
            let mut command = Command::new("ip");
            command.args(["-batch", "-"]).stdin(Stdio::piped());
            command.stdout(Stdio::null()).stderr(Stdio::piped());
            let mut child = command.spawn()?;
            child.stdin.take().unwrap().write_all(lines.as_bytes())?;
            child.wait_with_output()
        });
        parse(output.unwrap()).unwrap();
    }

    /// What `work` gives in the container's namespace.
    pub fn inside<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        let enter_and_work = || {
            setns(self.container.as_fd(), CloneFlags::CLONE_NEWNET).unwrap();
            work()
        };
        thread::scope(|scope| scope.spawn(enter_and_work).join().unwrap())
    }

    pub fn names(&self) -> Vec<String> {
        names(&self.ip(&["link", "show"]))
    }

    pub fn names_inside(&self) -> Vec<String> {
        names(&self.ip_inside(&["link", "show"]))
    }

    /// The addresses inside that were configured, as CIDR.
    pub fn addresses_inside(&self, name: &str) -> Vec<String> {
        addresses(&self.ip_inside(&["addr", "show", "dev", name]))
    }

    pub fn addresses(&self, name: &str) -> Vec<String> {
        addresses(&self.ip(&["addr", "show", "dev", name]))
    }

    /// Makes an interface on the host, or says why the test is skipped.
    pub fn has(&self, arguments: &[&str]) -> bool {
        let made = self.try_ip(&[&["link", "add"], arguments].concat());
        if let Err(reason) = &made {
            println!("SKIP {}: {}", self.test, reason.trim());
        }
        made.is_ok()
    }

    /// Nothing but what was there before.
    #[track_caller]
    pub fn check_clean(&self) {
        assert_eq!(self.names(), ["lo", "br0"]);
        assert_eq!(self.names_inside(), ["lo"]);
        let lo = self.ip_inside(&["link", "show", "lo"]);
        assert!(!flags(&lo).contains(&"UP".to_owned()), "lo is as it was");
    }
}

fn parse(output: Output) -> Result<Value, String> {
    if !output.status.success() {
        return Err(String::from_utf8_lossy(&output.stderr).into_owned());
    }
    Ok(serde_json::from_slice(&output.stdout).unwrap_or_default())
}

fn names(links: &Value) -> Vec<String> {
    let links = links.as_array().unwrap();
    let name = |link: &Value| link["ifname"].as_str().unwrap().to_owned();
    links.iter().map(name).collect()
}

fn addresses(shown: &Value) -> Vec<String> {
    let all = shown[0]["addr_info"].as_array().unwrap();
    let global = all.iter().filter(|a| a["scope"] == "global");
    global
        .map(|a| format!("{}/{}", a["local"].as_str().unwrap(), a["prefixlen"]))
        .collect()
}

pub fn flags(link: &Value) -> Vec<String> {
    let flags = link[0]["flags"].as_array().unwrap();
    flags
        .iter()
        .map(|f| f.as_str().unwrap().to_owned())
        .collect()
}

pub fn veth() -> Network {
    Network {
        addresses: prefixes(&["10.9.0.2/24", "fd09::2/64"]),
        pointer: "/networks/0".to_owned(),
        ..Network::new(NetworkKind::Veth {
            bridge: "br0".to_owned(),
            prefix: "veth".to_owned(),
            host_interface_name: None,
            hairpin: false,
        })
    }
}

pub fn named_veth(host_name: &str) -> Network {
    Network {
        kind: NetworkKind::Veth {
            bridge: "br0".to_owned(),
            prefix: String::new(),
            host_interface_name: Some(host_name.to_owned()),
            hairpin: false,
        },
        ..veth()
    }
}

pub fn device(host_name: &str) -> Network {
    Network {
        pointer: "/networks/0".to_owned(),
        ..Network::new(NetworkKind::Device {
            host_interface_name: host_name.to_owned(),
        })
    }
}

pub fn prefixes(texts: &[&str]) -> Vec<IpPrefix> {
    texts.iter().map(|text| text.parse().unwrap()).collect()
}

pub fn route(destination: &str, source: &str, gateway: &str) -> Route {
    Route {
        destination: destination.parse().ok(),
        source: source.parse().ok(),
        gateway: gateway.parse().ok(),
        interface_name: "eth0".to_owned(),
        pointer: "/routes/0".to_owned(),
    }
}
