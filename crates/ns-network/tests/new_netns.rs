//! Making a network namespace beside other work.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a test stops where it breaks, and says what it skips"
)]

mod inside;

use std::os::fd::AsFd as _;

use ns_network::NewNetns;

in_fresh_namespaces!(
    new_namespace_is_none_that_was_there,
    loopback_of_the_new_namespace_is_up,
    dropped_namespace_leaves_no_descriptor
);

fn inode(path: &str) -> u64 {
    std::os::unix::fs::MetadataExt::ino(&std::fs::metadata(path).unwrap())
}

fn loopback_of_the_new_namespace_is_up(_place: &inside::Place) {
    let made = NewNetns::begin().unwrap().finish().unwrap();
    std::thread::scope(|scope| {
        let reached = scope.spawn(|| {
            nix::sched::setns(made.as_fd(), nix::sched::CloneFlags::CLONE_NEWNET).unwrap();
            let socket = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
            socket.send_to(b"x", socket.local_addr().unwrap()).is_ok()
        });
        assert!(reached.join().unwrap(), "127.0.0.1 is reached");
    });
}

fn new_namespace_is_none_that_was_there(_place: &inside::Place) {
    let own = inode("/proc/thread-self/ns/net");
    let made = NewNetns::begin().unwrap().finish().unwrap();
    let made = nix::sys::stat::fstat(made.as_fd()).unwrap().st_ino;
    assert_ne!(made, own, "it is new");
    assert_eq!(
        inode("/proc/thread-self/ns/net"),
        own,
        "the caller stays where it is"
    );
}

fn dropped_namespace_leaves_no_descriptor(_place: &inside::Place) {
    let count = || std::fs::read_dir("/proc/self/fd").unwrap().count();
    let before = count();
    drop(NewNetns::begin().unwrap());
    assert_eq!(
        count(),
        before,
        "the thread has ended and taken all with it"
    );
}
