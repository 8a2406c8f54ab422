//! The tests in a virtual machine: a kernel of Debian, version 2 of control groups alone, every controller.
//!
//! QEMU emulates the processor, so that it works wherever programs run, at a tenth of the speed.
//! docs/decisions/0009-virtual-machines-by-emulation.md has the choices.

mod cpio;
mod kernel;

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::debian::FOR_GUESTS;
use crate::failure::{Failure, Result, While};
use crate::inside::{self, End, Job};
use crate::tally::{Outcome, Tally};
use crate::tree::{Tree, make_directory};
use crate::workspace::{Workspace, succeed};

use cpio::Archive;
pub(crate) use kernel::Choice;
use kernel::Kernel;

/// A guest that takes longer is killed.
const LIMIT: Duration = Duration::from_secs(20 * 60);
/// What tests make, and what the disk needs.
const MODULES: [&str; 12] = [
    "virtio_pci",
    "virtio_blk",
    "ext4",
    "overlay",
    "bridge",
    "veth",
    "dummy",
    "macvlan",
    "ipvlan",
    "tun",
    "fuse",
    "loop",
];
const FIRST_INIT: &str = include_str!("../vm/first-init");
const GUEST_INIT: &str = include_str!("../vm/guest-init");
/// Version 7.2 of QEMU damages the flags of the processor at `cmpxchg16b`, so that the guest's does not have it.
const PROCESSOR: &str = "qemu64,+rdrand,-cx16";
const MACHINE: [&str; 16] = [
    "-nodefaults",
    "-no-user-config",
    "-no-reboot",
    "-display",
    "none",
    "-accel",
    "tcg,tb-size=512",
    "-machine",
    "q35,smbus=off",
    "-cpu",
    PROCESSOR,
    "-m",
    "1024",
    "-nic",
    "none",
    "-serial",
];
const KERNEL_WORDS: &str = "console=ttyS0 quiet panic=-1 mitigations=off cryptomgr.notests tsc=reliable no_timer_check \
    nokaslr random.trust_cpu=on 8250.nr_uarts=2 i8042.nokbd i8042.noaux raid=noautodetect";

/// Runs the job in a guest, and again when the guest breaks; what breaks twice is a failure of the infrastructure.
pub(crate) fn run(
    workspace: &Workspace,
    job: &Job,
    choice: Choice,
    tally: &mut Tally,
) -> Result<()> {
    let directory = workspace.target.join("vm");
    make_directory(&directory)?;
    let unpacked = match requirements().and_then(|()| choice.download(&directory)) {
        Ok(unpacked) => unpacked,
        Err(failure) => {
            println!("SKIP virtual machine: {failure}");
            tally.add("virtual machine", Outcome::Skipped(failure.to_string()));
            return Ok(());
        }
    };
    let kernel = Kernel::open(&unpacked)?;
    let guest = Guest::build(workspace, job, &kernel)?;
    let place = format!("vm {}", kernel.version);
    with_one_retry(&place, tally, |seen| {
        let end = inside::follow(&mut guest.command()?, &place, LIMIT, seen)?;
        if end != End::Complete {
            println!("{}", guest.last_words());
        }
        Ok(end)
    })
}

/// A guest that broke tells nothing about the tests: what it reported is forgotten, unless there is no other.
fn with_one_retry(
    place: &str,
    tally: &mut Tally,
    mut attempt: impl FnMut(&mut Tally) -> Result<End>,
) -> Result<()> {
    let mut seen = Tally::default();
    if let End::Broken(why) = attempt(&mut seen)? {
        println!("infrastructure: {place}: {why}; once more");
        seen = Tally::default();
        if let End::Broken(why) = attempt(&mut seen)? {
            println!("infrastructure: {place}: {why}");
            seen.add(place, Outcome::Failed(format!("infrastructure: {why}")));
        }
    }
    tally.append(seen);
    Ok(())
}

fn requirements() -> Result<()> {
    if cfg!(not(target_arch = "x86_64")) {
        return Err(Failure::new("guests are built for x86_64 alone"));
    }
    match FOR_GUESTS.iter().find(|need| !need.is_met()) {
        None => Ok(()),
        Some(need) => Err(Failure::new(format!(
            "needs {} (package {})",
            need.file, need.package
        ))),
    }
}

/// The files of a guest that is about to boot.
#[derive(Debug)]
struct Guest {
    vmlinux: PathBuf,
    initramfs: PathBuf,
    disk: PathBuf,
    console: PathBuf,
    _directory: tempfile::TempDir,
}

impl Guest {
    fn build(workspace: &Workspace, job: &Job, kernel: &Kernel) -> Result<Guest> {
        let vm = workspace.target.join("vm");
        let directory = tempfile::tempdir_in(&vm).while_doing(vm.display())?;
        let at = |name: &str| directory.path().join(name);
        let tree_directory = tempfile::tempdir_in(&vm).while_doing(vm.display())?;
        let tree = Tree::build(&tree_directory.path().join("tree"), workspace, job)?;
        tree.add_script("/guest-init", GUEST_INIT)?;
        let guest = Guest {
            vmlinux: kernel.vmlinux.clone(),
            initramfs: at("initramfs"),
            disk: at("disk"),
            console: vm.join("console.log"),
            _directory: directory,
        };
        std::fs::write(&guest.initramfs, initramfs(kernel)?).while_doing("initramfs")?;
        make_disk(tree.path(), &guest.disk)?;
        Ok(guest)
    }

    /// `setpriv` ends the machine when we end. The console is a file, the report our pipe; what is written to the disk
    /// is forgotten.
    fn command(&self) -> Result<Command> {
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "KILL", "qemu-system-x86_64"]);
        command.args(MACHINE);
        command.arg(format!("file:{}", self.console.display()));
        command.args(["-serial", "stdio", "-append", KERNEL_WORDS]);
        command.arg("-kernel").arg(&self.vmlinux);
        command.arg("-initrd").arg(&self.initramfs);
        let drive = format!(
            "file={},if=virtio,format=raw,snapshot=on",
            self.disk.display()
        );
        command.args(["-drive", &drive]);
        let log = File::create(self.console.with_extension("qemu")).while_doing("log")?;
        command.stderr(Stdio::from(log));
        Ok(command)
    }

    fn last_words(&self) -> String {
        const N_LINES: usize = 40;
        let read = |path: &Path| std::fs::read(path).unwrap_or_default();
        let mut text = read(&self.console.with_extension("qemu"));
        text.extend(read(&self.console));
        let text = String::from_utf8_lossy(&text).into_owned();
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(N_LINES)..].join("\n")
    }
}

fn initramfs(kernel: &Kernel) -> Result<Vec<u8>> {
    let mut archive = Archive::default();
    for name in ["bin", "dev", "modules", "root"] {
        archive.add_directory(name)?;
    }
    archive.add_device("dev/console", 5, 1)?;
    let busybox = std::fs::read("/bin/busybox").while_doing("/bin/busybox")?;
    archive.add_file("bin/busybox", 0o755, &busybox)?;
    archive.add_file("init", 0o755, FIRST_INIT.as_bytes())?;
    let modules = kernel.modules(&MODULES)?;
    for (name, bytes) in &modules {
        archive.add_file(&format!("modules/{name}"), 0o644, bytes)?;
    }
    let order: Vec<&str> = modules.iter().map(|(name, _)| name.as_str()).collect();
    archive.add_file("modules/order", 0o644, order.join(" ").as_bytes())?;
    archive.finish()
}

/// A plain user's files have to be root's in the guest: in a user namespace they are.
fn make_disk(tree: &Path, disk: &Path) -> Result<()> {
    const SIZE_BYTES: u64 = 2 << 30;
    let file = File::create(disk).while_doing(disk.display())?;
    file.set_len(SIZE_BYTES).while_doing(disk.display())?;
    let mut command = match nix::unistd::Uid::effective().is_root() {
        true => Command::new("mke2fs"),
        false => {
            let mut command = Command::new("unshare");
            command.args(["--map-root-user", "mke2fs"]);
            command
        }
    };
    let options = ["-q", "-t", "ext4", "-O", "^has_journal", "-m", "0", "-d"];
    // A plain user's PATH may be without the directory.
    let path = std::env::var("PATH").unwrap_or_default();
    command.env("PATH", format!("{path}:/usr/sbin:/sbin"));
    succeed(command.args(options).arg(tree).arg(disk))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Runs guests that report one test each and end like this.
    fn tally_of(ends: &[End]) -> Tally {
        let mut tally = Tally::default();
        let mut ends = ends.iter();
        let mut n_attempts = 0;
        with_one_retry("vm", &mut tally, |seen| {
            n_attempts += 1;
            seen.add(format!("test {n_attempts}"), Outcome::Passed);
            Ok(match ends.next() {
                Some(End::Broken(why)) => End::Broken(why.clone()),
                _ => End::Complete,
            })
        })
        .expect("attempts");
        tally
    }

    #[test]
    fn guest_that_breaks_once_counts_for_nothing() {
        let tally = tally_of(&[End::Broken("panic".into()), End::Complete]);
        assert_eq!(tally.to_string(), "1 passed, 0 failed, 0 skipped");
        assert_eq!(tally.outcome("test 2"), Some(&Outcome::Passed));
    }

    #[test]
    fn guest_that_breaks_twice_is_a_failure_of_the_infrastructure() {
        let tally = tally_of(&[End::Broken("panic".into()), End::Broken("hang".into())]);
        let expected = Outcome::Failed("infrastructure: hang".into());
        assert_eq!(tally.outcome("vm"), Some(&expected));
        assert_eq!(tally.to_string(), "1 passed, 1 failed, 0 skipped");
    }
}
