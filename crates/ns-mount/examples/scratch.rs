//! Mounts a scratch tmpfs and a read-only view of `/usr` below a directory, in fresh user and mount
//! namespaces, and shows what is there. Needs no root.
//!
//! `cargo run -p ns-mount --example scratch`

use std::error::Error;
use std::fs;

use nix::sched::{CloneFlags, unshare};
use ns_config::{Config, Mount, MountAttributes, MountKind, MountOptions};
use ns_mount::{Host, MountPlan};

#[expect(clippy::print_stdout, reason = "an example shows what it does")]
fn main() -> Result<(), Box<dyn Error>> {
    let (uid, gid) = (nix::unistd::geteuid(), nix::unistd::getegid());
    let directory = tempfile::tempdir()?;
    unshare(CloneFlags::CLONE_NEWUSER | CloneFlags::CLONE_NEWNS)?;
    fs::write("/proc/self/setgroups", "deny")?;
    fs::write("/proc/self/uid_map", format!("0 {uid} 1"))?;
    fs::write("/proc/self/gid_map", format!("0 {gid} 1"))?;

    let mounts = [
        mount(
            "/scratch",
            MountKind::Filesystem {
                fstype: "tmpfs".to_owned(),
                source: "scratch".to_owned(),
            },
            false,
        ),
        mount(
            "/usr",
            MountKind::Bind {
                source: "/usr".to_owned(),
                recursive: true,
                optional: false,
            },
            true,
        ),
    ];
    let host = Host::detect(&Config::default())?;
    let place = directory
        .path()
        .to_str()
        .ok_or("the directory's name is not UTF-8")?;
    let plan = MountPlan::new(place, &mounts, &host)?;
    for step in plan.as_plan().explain() {
        println!("{:<40} {}", step.what, step.call);
    }
    plan.apply()?;
    fs::write(directory.path().join("scratch/file"), "x")?;
    let refused = fs::write(directory.path().join("usr/file"), "x");
    println!("writing below /usr: {refused:?}");
    // The directories were made on the host's file system; the mounts go away with this process.
    nix::mount::umount(&directory.path().join("scratch"))?;
    nix::mount::umount2(
        &directory.path().join("usr"),
        nix::mount::MntFlags::MNT_DETACH,
    )?;
    Ok(())
}

fn mount(destination: &str, kind: MountKind, read_only: bool) -> Mount {
    Mount {
        destination: destination.to_owned(),
        kind,
        options: MountOptions {
            set: MountAttributes {
                read_only,
                no_suid: true,
                no_dev: true,
                ..MountAttributes::default()
            },
            ..MountOptions::default()
        },
        pointer: destination.to_owned(),
    }
}
