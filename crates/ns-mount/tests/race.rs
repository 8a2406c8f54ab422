//! A neighbour who exchanges directories and links in a shared volume while mounts are made there.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a test stops where it breaks, and says what it skips"
)]
#![allow(
    dead_code,
    reason = "the module is shared with tests that use all of it"
)]

mod inside;

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use inside::Place;
use nix::fcntl::{AT_FDCWD, RenameFlags, renameat2};
use ns_config::{Config, Mount, MountKind, MountOptions};
use ns_mount::{Host, MountPlan, Root};

in_both_views!(
    cve_2021_30465_exchanged_target_never_leaves_the_root,
    cve_2024_45310_exchanged_parent_makes_nothing_on_the_host,
);

const ROUNDS: usize = 300;

fn cve_2021_30465_exchanged_target_never_leaves_the_root(place: &Place) {
    let host = Host::detect(&Config::default()).unwrap();
    let mounts = [
        mount("/volume/a/deep", filesystem()),
        mount("/volume/a/made", filesystem()),
        mount("/volume/a/there", MountKind::Directory { mode: 0o755 }),
    ];
    let plan = MountPlan::new(&place.path("rootfs"), &mounts, &host).unwrap();
    let n_made = while_exchanging(place, || plan.apply().is_ok());
    let table = fs::read_to_string("/proc/self/mountinfo").unwrap();
    let canary = format!(" {}", place.canary().display());
    assert!(
        !table.contains(&canary),
        "something was mounted on the host's files:\n{table}"
    );
    assert!(n_made > 0, "the race leaves room for a start");
}

fn cve_2024_45310_exchanged_parent_makes_nothing_on_the_host(place: &Place) {
    let root = Root::open(&place.path("rootfs")).unwrap();
    let n_made = while_exchanging(place, || {
        root.create_directory("/volume/a/x/y", 0o755).is_ok()
    });
    assert!(n_made > 0, "the race leaves room for a directory");
    assert!(!place.canary().join("x").exists());
}

/// Calls `attempt` while `volume/a`, a directory, and `volume/b`, a link to the canary, change places.
fn while_exchanging(place: &Place, mut attempt: impl FnMut() -> bool) -> usize {
    let volume = place.rootfs().join("volume");
    fs::create_dir(&volume).unwrap();
    fs::create_dir(volume.join("a")).unwrap();
    symlink(place.canary(), volume.join("b")).unwrap();
    let is_over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !is_over.load(Ordering::Relaxed) {
                exchange(&volume.join("a"), &volume.join("b"));
            }
        });
        let (mut n_tried, mut n_made) = (0, 0);
        // On a busy machine the neighbour may sleep in a state where nothing can be made.
        while n_tried < ROUNDS || (n_made == 0 && n_tried < 1000 * ROUNDS) {
            n_made += usize::from(attempt());
            n_tried += 1;
        }
        is_over.store(true, Ordering::Relaxed);
        n_made
    })
}

fn exchange(one: &Path, other: &Path) {
    let flags = RenameFlags::RENAME_EXCHANGE;
    if renameat2(AT_FDCWD, one, AT_FDCWD, other, flags).is_err() {
        // A name with a mount on it can be busy for a moment.
        std::thread::yield_now();
    }
}

fn mount(destination: &str, kind: MountKind) -> Mount {
    Mount {
        destination: destination.to_owned(),
        kind,
        options: MountOptions::default(),
        pointer: destination.to_owned(),
    }
}

fn filesystem() -> MountKind {
    MountKind::Filesystem {
        fstype: "tmpfs".to_owned(),
        source: "tmpfs".to_owned(),
    }
}
