//! A small system out of the host's files, with the test programs in it: what a virtual machine and a container start
//! from.
//!
//! Programs come from the host's Debian packages, with the libraries that they are linked with; busybox fills the rest.
//! Test programs and the directories of their packages have the places that they have on the host.

use std::collections::BTreeSet;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Component, Path, PathBuf};
use std::process::Command;

use crate::failure::{Failure, Result, While};
use crate::inside::Job;
use crate::workspace::Workspace;

/// Whose programs the tests call, or are about to find in a sandbox.
const PACKAGES: [&str; 18] = [
    "bash",
    "binutils",
    "binutils-aarch64-linux-gnu",
    "binutils-x86-64-linux-gnu",
    "coreutils",
    "dash",
    "findutils",
    "grep",
    "iproute2",
    "libcap2-bin",
    "mount",
    "perl-base",
    "procps",
    "sed",
    "strace",
    "uidmap",
    "util-linux",
    "util-linux-extra",
];
const BUSYBOX: &str = "/bin/busybox";
/// Where this program is inside.
pub(crate) const XTASK: &str = "/xtask";
/// Where the job is inside.
pub(crate) const JOB: &str = "/job.json";

/// Gives a container or a guest a `/tmp` of its own file system: its root may be an overlay, and the tests make overlays
/// of their own in `/tmp`. What the tree has there, as of a workspace that lies there, stays.
const FRESH_TMP: &str = "#!/bin/busybox sh\n\
    mount --bind /tmp /mnt\n\
    mount -t tmpfs -o mode=1777 tmp /tmp\n\
    for entry in /mnt/*; do\n\
    [ -d $entry ] && mkdir /tmp/${entry##*/} && mount --bind $entry /tmp/${entry##*/}\n\
    done\n\
    umount /mnt\n";

const DIRECTORIES: [&str; 15] = [
    "dev",
    "etc",
    "home",
    "mnt",
    "proc",
    "root",
    "run",
    "sys",
    "tmp",
    "usr",
    "usr/bin",
    "usr/lib",
    "usr/lib64",
    "usr/sbin",
    "var/tmp",
];
const LINKS: [(&str, &str); 5] = [
    ("bin", "usr/bin"),
    ("lib", "usr/lib"),
    ("lib64", "usr/lib64"),
    ("sbin", "usr/sbin"),
    ("var/run", "../run"),
];
const FILES: [(&str, u32, &str); 7] = [
    (
        "etc/passwd",
        0o644,
        "root:x:0:0:root:/root:/bin/sh\ndaemon:x:1:1:daemon:/usr/sbin:/usr/sbin/nologin\nnobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin\n",
    ),
    (
        "etc/group",
        0o644,
        "root:x:0:\ndaemon:x:1:\nnogroup:x:65534:\n",
    ),
    ("etc/shadow", 0o600, "root:*:20000:0:99999:7:::\n"),
    ("etc/subuid", 0o644, ""),
    ("etc/subgid", 0o644, ""),
    ("etc/hosts", 0o644, "127.0.0.1 localhost\n::1 localhost\n"),
    ("etc/nsswitch.conf", 0o644, "passwd: files\ngroup: files\n"),
];

/// A directory that is about to be a root file system.
#[derive(Debug)]
pub(crate) struct Tree {
    path: PathBuf,
}

impl Tree {
    /// Builds the tree in a directory that does not exist yet.
    pub(crate) fn build(path: &Path, workspace: &Workspace, job: &Job) -> Result<Tree> {
        let tree = Tree { path: path.into() };
        tree.lay_out()?;
        tree.add_packages()?;
        tree.add_busybox()?;
        tree.add_sources(workspace)?;
        for program in &job.programs.tests {
            tree.add_same(&program.path)?;
        }
        tree.add_same(&job.programs.nsrun)?;
        let own = std::env::current_exe().while_doing("/proc/self/exe")?;
        tree.add(&own, XTASK)?;
        job.write(&tree.at(JOB))?;
        tree.add_script("/fresh-tmp", FRESH_TMP)?;
        Ok(tree)
    }

    /// Where it is.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Adds a text that can be executed.
    pub(crate) fn add_script(&self, inside: &str, text: &str) -> Result<()> {
        let path = self.at(inside);
        std::fs::write(&path, text).while_doing(path.display())?;
        set_mode(&path, 0o755)
    }

    fn at(&self, inside: impl AsRef<Path>) -> PathBuf {
        let inside = inside.as_ref();
        self.path.join(inside.strip_prefix("/").unwrap_or(inside))
    }

    fn lay_out(&self) -> Result<()> {
        for directory in DIRECTORIES {
            let path = self.at(directory);
            make_directory(&path)?;
        }
        for directory in ["tmp", "var/tmp"] {
            set_mode(&self.at(directory), 0o1777)?;
        }
        for (name, target) in LINKS {
            symlink(target, self.at(name)).while_doing(name)?;
        }
        for (name, mode, text) in FILES {
            let path = self.at(name);
            std::fs::write(&path, text).while_doing(path.display())?;
            set_mode(&path, mode)?;
        }
        Ok(())
    }

    /// Packages that the host does not have are left out: what needs them skips.
    fn add_packages(&self) -> Result<()> {
        let output = Command::new("dpkg-query")
            .args(["--listfiles"])
            .args(PACKAGES)
            .output()
            .while_doing("dpkg-query")?;
        let list = String::from_utf8_lossy(&output.stdout);
        let programs: BTreeSet<&Path> = list
            .lines()
            .map(Path::new)
            .filter(|path| is_program(path) && path.symlink_metadata().is_ok())
            .collect();
        if programs.is_empty() {
            return Err(Failure::new("dpkg-query names no program"));
        }
        for program in &programs {
            self.add_same(program)?;
        }
        for library in libraries(&programs)? {
            self.add(
                &library.canonicalize().while_doing(library.display())?,
                &library,
            )?;
        }
        Ok(())
    }

    fn add_busybox(&self) -> Result<()> {
        self.add(Path::new(BUSYBOX), BUSYBOX)?;
        let output = Command::new(BUSYBOX).arg("--list-full").output();
        let output = output.while_doing(BUSYBOX)?;
        for applet in String::from_utf8_lossy(&output.stdout).lines() {
            let name = Path::new(applet).file_name().unwrap_or_default();
            let is_there = ["usr/bin", "usr/sbin"]
                .iter()
                .any(|directory| self.at(directory).join(name).symlink_metadata().is_ok());
            if !is_there {
                symlink(BUSYBOX, self.at("usr/bin").join(name)).while_doing(applet)?;
            }
        }
        Ok(())
    }

    /// What tests read of their packages and of the documents.
    fn add_sources(&self, workspace: &Workspace) -> Result<()> {
        let members = workspace.members.values();
        members
            .filter(|member| member.name != env!("CARGO_PKG_NAME"))
            .try_for_each(|member| self.add_directory(&member.directory))?;
        self.add_directory(&workspace.root.join("docs"))
    }

    fn add_directory(&self, directory: &Path) -> Result<()> {
        let entries = std::fs::read_dir(directory).while_doing(directory.display())?;
        for entry in entries {
            let entry = entry.while_doing(directory.display())?;
            if entry.file_type().while_doing(directory.display())?.is_dir() {
                self.add_directory(&entry.path())?;
            } else {
                self.add_same(&entry.path())?;
            }
        }
        Ok(())
    }

    /// Adds a file of the host at the same place.
    fn add_same(&self, file: &Path) -> Result<()> {
        self.add(file, file)
    }

    /// Adds a file of the host, a link as a link.
    fn add(&self, file: &Path, inside: impl AsRef<Path>) -> Result<()> {
        let to = self.at(inside);
        let doing = || format!("copy {} to {}", file.display(), to.display());
        if to.symlink_metadata().is_ok() {
            return Ok(());
        }
        if let Some(directory) = to.parent() {
            make_directory(directory)?;
        }
        let metadata = file.symlink_metadata().while_doing(doing())?;
        if metadata.is_symlink() {
            let target = std::fs::read_link(file).while_doing(doing())?;
            return symlink(target, &to).while_doing(doing());
        }
        std::fs::copy(file, &to).while_doing(doing())?;
        // copy(2) of the bits leaves out set-user-id.
        set_mode(&to, metadata.permissions().mode())
    }
}

/// `/bin/x`, `/usr/sbin/x`, and nothing deeper.
fn is_program(path: &Path) -> bool {
    let parts: Vec<_> = path.components().map(Component::as_os_str).collect();
    let parts: Vec<_> = parts.iter().filter_map(|part| part.to_str()).collect();
    matches!(
        parts.as_slice(),
        ["/", "bin" | "sbin", _] | ["/", "usr", "bin" | "sbin", _]
    )
}

/// The libraries that the programs are linked with, and the loader.
fn libraries(programs: &BTreeSet<&Path>) -> Result<BTreeSet<PathBuf>> {
    let output = Command::new("ldd").args(programs).output();
    let output = output.while_doing("ldd")?;
    Ok(parse_libraries(&String::from_utf8_lossy(&output.stdout)))
}

/// Lines are `NAME => PATH (ADDRESS)`, or `PATH (ADDRESS)` for the loader.
fn parse_libraries(list: &str) -> BTreeSet<PathBuf> {
    let path = |line: &str| {
        let (before, _) = line.trim().split_once(" (0x")?;
        let path = before.split_once(" => ").map_or(before, |(_, path)| path);
        path.starts_with('/').then(|| PathBuf::from(path))
    };
    list.lines().filter_map(path).collect()
}

/// Makes a directory and those that lead to it.
#[expect(
    clippy::disallowed_methods,
    reason = "below our own target directory, where no container has been"
)]
pub(crate) fn make_directory(path: &Path) -> Result<()> {
    std::fs::create_dir_all(path).while_doing(path.display())
}

/// Sets permission bits.
pub(crate) fn set_mode(path: &Path, mode: u32) -> Result<()> {
    let permissions = std::fs::Permissions::from_mode(mode & 0o7777);
    std::fs::set_permissions(path, permissions).while_doing(path.display())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn programs_are_what_lies_in_the_directories_of_programs() {
        for path in ["/bin/cat", "/sbin/ip", "/usr/bin/env", "/usr/sbin/chroot"] {
            assert!(is_program(Path::new(path)), "{path}");
        }
        for path in ["/bin", "/usr/lib/x/bin/y", "/usr/bin/a/b", "/etc/passwd"] {
            assert!(!is_program(Path::new(path)), "{path}");
        }
    }

    #[test]
    fn libraries_are_paths_and_not_what_the_kernel_maps() {
        let list = "/bin/cat:\n\tlinux-vdso.so.1 (0x00007ffd)\n\tlibc.so.6 => /lib/x/libc.so.6 (0x00007f)\n\t/lib64/ld-linux-x86-64.so.2 (0x00007f)\n\tnot a dynamic executable\n";
        let expected = ["/lib/x/libc.so.6", "/lib64/ld-linux-x86-64.so.2"];
        assert_eq!(
            parse_libraries(list),
            expected.map(PathBuf::from).into_iter().collect()
        );
    }

    #[test]
    fn files_with_their_bits_and_links_as_links_are_added() {
        let directory = tempfile::tempdir().expect("temporary directory");
        let from = directory.path().join("from");
        std::fs::write(&from, "x").expect("write");
        set_mode(&from, 0o4755).expect("chmod");
        symlink("from", directory.path().join("link")).expect("symlink");
        let tree = Tree {
            path: directory.path().join("tree"),
        };
        tree.add(&from, "/a/b").expect("add");
        tree.add(&directory.path().join("link"), "/a/c")
            .expect("add");
        let mode = tree
            .at("a/b")
            .metadata()
            .expect("stat")
            .permissions()
            .mode();
        assert_eq!(mode & 0o7777, 0o4755);
        assert_eq!(
            tree.at("a/c").read_link().expect("readlink"),
            Path::new("from")
        );
    }
}
