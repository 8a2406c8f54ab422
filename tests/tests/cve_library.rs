//! Attacks on other runtimes, tried on a start by the library. One test: a process keeps its sealed stub.

use std::fs;
use std::io::Read as _;
use std::path::Path;

use ns_config::{Config, Sysctl};
use ns_exec::{Start, Stream};
use ns_tests::hostile::Attack;
use ns_tests::needs;

/// Mounts a directory over another, seen by this thread and what it starts.
fn cover_directory(cover: &Path, covered: &str) {
    nix::sched::unshare(nix::sched::CloneFlags::CLONE_NEWNS).expect("set up the attack");
    let mount = |words: &[&str]| {
        let status = std::process::Command::new("mount").args(words).status();
        assert!(
            status.is_ok_and(|status| status.success()),
            "mount {words:?}"
        );
    };
    mount(&["--make-rprivate", "/"]);
    mount(&["--bind", cover.to_str().expect("UTF-8"), covered]);
}

/// Directories below the image's own /proc, which are not the kernel's, and a file that must stay unwritten.
fn make_fake_proc(attack: &Attack<'_>) {
    for directory in [
        "proc/sys",
        "proc/sys/net",
        "proc/sys/net/ipv4",
        "proc/self",
        "proc/thread-self",
    ] {
        fs::create_dir(attack.in_image(directory)).expect("set up the attack");
    }
    fs::write(attack.in_image("proc/sys/net/ipv4/ip_forward"), "fake").expect("set up the attack");
}

#[test]
fn cve_2025_52881_settings_reach_the_file_they_name() {
    // A process keeps the sealed stub that its first start makes: that is no leak.
    if nix::unistd::geteuid().is_root() {
        let process = Start::new(&Config::default(), ["/bin/true"])
            .prepare()
            .expect("set up the attack")
            .start()
            .expect("set up the attack");
        process.wait().expect("set up the attack");
    }
    let test = needs!(root, busybox);
    let host = fs::read_to_string("/proc/sys/net/ipv4/ip_forward").expect("set up the attack");
    let wanted = if host.trim() == "0" { "1" } else { "0" };
    let attack = Attack::new(&test);
    make_fake_proc(&attack);
    // Nor does it count what a neighbour has mounted over the kernel's files. A file alone would not be seen: a new
    // network namespace has its own in this place.
    let covered = "/proc/sys";
    cover_directory(&attack.in_image("proc/sys"), covered);
    let mut config =
        Config::from_seed(attack.config().to_string().as_bytes()).expect("set up the attack");
    config.sysctl = vec![Sysctl {
        name: "net.ipv4.ip_forward".to_owned(),
        value: wanted.to_owned(),
        pointer: String::new(),
    }];
    let (mut seen, write_end) = std::io::pipe().expect("set up the attack");
    let process = Start::new(&config, ["/bin/cat", "/proc/sys/net/ipv4/ip_forward"])
        .stdout(Stream::Descriptor(write_end.into()))
        .prepare()
        .expect("set up the attack")
        .start()
        .expect("set up the attack");
    let mut text = String::new();
    seen.read_to_string(&mut text).expect("set up the attack");
    assert_eq!(process.wait().expect("set up the attack").code(), 0);
    assert_eq!(
        text.trim(),
        wanted,
        "the container's own setting is written"
    );
    let status = std::process::Command::new("umount").arg(covered).status();
    assert!(status.is_ok_and(|status| status.success()), "umount");
    let now = fs::read_to_string("/proc/sys/net/ipv4/ip_forward").expect("set up the attack");
    assert_eq!(now, host);
    let fake = attack.in_image("proc/sys/net/ipv4/ip_forward");
    assert_eq!(fs::read_to_string(fake).expect("set up the attack"), "fake");
    attack.assert_canary_untouched();
}
