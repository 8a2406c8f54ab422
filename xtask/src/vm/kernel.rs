//! Kernels of Debian, downloaded and unpacked below the target directory; nothing of them is installed.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use clap::ValueEnum;

use crate::failure::{Failure, Result, While};
use crate::tree::make_directory;
use crate::workspace::succeed;

/// Which kernel a guest boots.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Choice {
    /// That of Debian 12: 6.1.
    #[default]
    Stable,
    /// The backport to Debian 12: 6.12.
    #[value(name = "6.12")]
    V6_12,
    /// The newest backport to Debian 13.
    Newest,
}

/// An unpacked kernel.
#[derive(Debug)]
pub(crate) struct Kernel {
    /// `uname -r`.
    pub(crate) version: String,
    /// The uncompressed program, which QEMU starts directly.
    pub(crate) vmlinux: PathBuf,
    modules: PathBuf,
}

/// Its configuration has what a guest needs and little else.
const PACKAGE: &str = "linux-image-cloud-amd64";
const KEYRING: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";

impl Choice {
    fn name(self) -> &'static str {
        match self {
            Choice::Stable => "stable",
            Choice::V6_12 => "6.12",
            Choice::Newest => "newest",
        }
    }

    /// Archive and suite. One choice sees its own suites alone, so that the newest version there is the one.
    fn suites(self) -> &'static [(&'static str, &'static str)] {
        match self {
            Choice::Stable => &[
                ("debian", "bookworm"),
                ("debian-security", "bookworm-security"),
            ],
            Choice::V6_12 => &[("debian", "bookworm-backports")],
            Choice::Newest => &[("debian", "trixie-backports")],
        }
    }

    /// The unpacked packages, downloaded now unless an earlier run has done so.
    pub(crate) fn download(self, directory: &Path) -> Result<PathBuf> {
        let unpacked = directory.join(format!("kernel-{}", self.name()));
        if unpacked.exists() {
            return Ok(unpacked);
        }
        let work = tempfile::tempdir_in(directory).while_doing(directory.display())?;
        let apt = Apt::new(work.path(), self)?;
        apt.run("apt-get", &["update"])?;
        let packages = apt.packages()?;
        println!("downloading {}", packages.join(" "));
        let mut arguments = vec!["download"];
        arguments.extend(packages.iter().map(String::as_str));
        apt.run("apt-get", &arguments)?;
        let fresh = work.path().join("unpacked");
        for file in files_in(work.path())? {
            if file.extension().is_some_and(|extension| extension == "deb") {
                succeed(Command::new("dpkg-deb").arg("-x").arg(file).arg(&fresh))?;
            }
        }
        fs::rename(&fresh, &unpacked).while_doing(unpacked.display())?;
        Ok(unpacked)
    }
}

/// apt with lists, cache and sources of its own; the system's are neither read nor changed, but for its proxy.
struct Apt<'d> {
    directory: &'d Path,
}

impl<'d> Apt<'d> {
    fn new(directory: &'d Path, choice: Choice) -> Result<Self> {
        for name in ["lists/partial", "cache/archives/partial", "parts"] {
            make_directory(&directory.join(name))?;
        }
        let lines = choice.suites().iter().map(|(archive, suite)| {
            format!(
                "deb [arch=amd64 signed-by={KEYRING}] http://deb.debian.org/{archive} {suite} main\n"
            )
        });
        let sources = directory.join("sources.list");
        fs::write(&sources, lines.collect::<String>()).while_doing(sources.display())?;
        Ok(Apt { directory })
    }

    /// `apt-get` without rights would complain about its sandbox user, so there is none.
    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        command.arg("-qq").current_dir(self.directory);
        let places = [
            ("Dir::Etc::sourcelist", "sources.list"),
            ("Dir::Etc::sourceparts", "parts"),
            ("Dir::State::lists", "lists"),
            ("Dir::Cache", "cache"),
        ];
        for (option, name) in places {
            let path = self.directory.join(name);
            command
                .arg("-o")
                .arg(format!("{option}={}", path.display()));
        }
        let settings = [
            "Dir::State::status=/dev/null",
            "APT::Architecture=amd64",
            "APT::Sandbox::User=root",
            "Acquire::Languages=none",
            "Acquire::Retries=2",
            "Acquire::http::Timeout=30",
        ];
        for setting in settings {
            command.args(["-o", setting]);
        }
        command
    }

    fn run(&self, program: &str, arguments: &[&str]) -> Result<String> {
        let name = format!("{program} {}", arguments[0]);
        let output = self.command(program).args(arguments).output();
        let output = output.while_doing(&name)?;
        if !output.status.success() {
            let words = String::from_utf8_lossy(&output.stderr);
            let last = words.lines().last().unwrap_or_default();
            return Err(Failure::new(format!("{name}: {}: {last}", output.status)));
        }
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    /// The package of the newest version, and those of the kernel that it leads to.
    fn packages(&self) -> Result<Vec<String>> {
        let arguments = ["depends", "--recurse", "--important", PACKAGE];
        let packages = kernel_packages(&self.run("apt-cache", &arguments)?);
        if packages.is_empty() {
            return Err(Failure::new(format!("{PACKAGE} is not in the archive")));
        }
        Ok(packages)
    }
}

/// Packages stand at the beginning of a line; those with files have a version in their name.
fn kernel_packages(depends: &str) -> Vec<String> {
    let has_version = |name: &&str| {
        let mut parts = name.split('-');
        parts.any(|part| part.starts_with(|first: char| first.is_ascii_digit()))
    };
    let lines = depends.lines().filter(|line| line.starts_with("linux-"));
    lines.filter(has_version).map(str::to_owned).collect()
}

impl Kernel {
    /// Finds what a boot needs in the unpacked packages.
    pub(crate) fn open(unpacked: &Path) -> Result<Kernel> {
        let modules = ["lib/modules", "usr/lib/modules"]
            .iter()
            .flat_map(|place| files_in(&unpacked.join(place)).unwrap_or_default())
            .find(|path| path.join("kernel").exists())
            .ok_or_else(|| Failure::new(format!("no modules in {}", unpacked.display())))?;
        let version = modules.file_name().unwrap_or_default().to_string_lossy();
        let vmlinux = unpacked.join("vmlinux");
        if !vmlinux.exists() {
            let image = [
                unpacked.join(format!("boot/vmlinuz-{version}")),
                modules.join("vmlinuz"),
            ];
            let image = image.iter().find(|path| path.exists());
            let image = image
                .ok_or_else(|| Failure::new(format!("no vmlinuz in {}", unpacked.display())))?;
            let bytes = fs::read(image).while_doing(image.display())?;
            decompress(payload(&bytes)?, &vmlinux)?;
        }
        Ok(Kernel {
            version: version.into_owned(),
            vmlinux,
            modules,
        })
    }

    /// The named modules and those that they need, in the order in which they can be loaded.
    pub(crate) fn modules(&self, names: &[&str]) -> Result<Vec<(String, Vec<u8>)>> {
        let mut files = BTreeMap::new();
        find_modules(&self.modules.join("kernel"), &mut files)?;
        let mut order = Vec::new();
        for name in names {
            add_module(name, &files, &mut order)?;
        }
        Ok(order)
    }
}

fn find_modules(directory: &Path, found: &mut BTreeMap<String, PathBuf>) -> Result<()> {
    for path in files_in(directory)? {
        let file = path.file_name().unwrap_or_default().to_string_lossy();
        if path.is_dir() {
            find_modules(&path, found)?;
        } else if let Some((name, _)) = file.split_once(".ko") {
            found.insert(name.replace('-', "_"), path);
        }
    }
    Ok(())
}

/// A name without a file is a part of the kernel itself, or this kernel does not have it: tests tell.
fn add_module(
    name: &str,
    files: &BTreeMap<String, PathBuf>,
    order: &mut Vec<(String, Vec<u8>)>,
) -> Result<()> {
    let name = name.replace('-', "_");
    let Some(file) = files.get(&name) else {
        return Ok(());
    };
    if order.iter().any(|(other, _)| *other == name) {
        return Ok(());
    }
    let bytes = read_module(file)?;
    for other in needed_modules(&bytes) {
        add_module(&other, files, order)?;
    }
    order.push((name, bytes));
    Ok(())
}

fn read_module(file: &Path) -> Result<Vec<u8>> {
    let bytes = fs::read(file).while_doing(file.display())?;
    if bytes.starts_with(b"\x7fELF") {
        return Ok(bytes);
    }
    let plain = tempfile::NamedTempFile::new().while_doing("temporary file")?;
    decompress(&bytes, plain.path())?;
    fs::read(plain.path()).while_doing(file.display())
}

/// The text `depends=A,B` of the section `.modinfo`.
fn needed_modules(module: &[u8]) -> Vec<String> {
    const KEY: &[u8] = b"\0depends=";
    let Some(at) = module.windows(KEY.len()).position(|window| window == KEY) else {
        return Vec::new();
    };
    let value = module[at + KEY.len()..].split(|byte| *byte == 0).next();
    let value = String::from_utf8_lossy(value.unwrap_or_default());
    let names = value.split(',').filter(|name| !name.is_empty());
    names.map(str::to_owned).collect()
}

/// The compressed program in a bootable image (`Documentation/arch/x86/boot.rst`, `payload_offset`).
fn payload(image: &[u8]) -> Result<&[u8]> {
    const SECTOR: usize = 512;
    let number = |at: usize| -> Option<usize> {
        let bytes = image.get(at..at + 4)?.try_into().ok()?;
        usize::try_from(u32::from_le_bytes(bytes)).ok()
    };
    let find = || {
        let n_sectors = usize::from(*image.get(0x1f1)?);
        let start = (n_sectors + 1) * SECTOR + number(0x248)?;
        // The last four bytes are the size of the program.
        image.get(start..start + number(0x24c)?.checked_sub(4)?)
    };
    find().ok_or_else(|| Failure::new("this is no image of a kernel for x86"))
}

fn decompress(bytes: &[u8], to: &Path) -> Result<()> {
    let command: &[&str] = match bytes {
        [0xfd, b'7', b'z', b'X', b'Z', 0, ..] => &["xz", "-dc", "--single-stream"],
        [0x28, 0xb5, 0x2f, 0xfd, ..] => &["zstd", "-dcq"],
        [0x1f, 0x8b, ..] => &["gzip", "-dc"],
        [0x02, 0x21, 0x4c, 0x18, ..] => &["lz4", "-dc"],
        _ => return Err(Failure::new("compressed in a way that is not known here")),
    };
    let mut input = tempfile::tempfile().while_doing("temporary file")?;
    std::io::Write::write_all(&mut input, bytes).while_doing("temporary file")?;
    std::io::Seek::rewind(&mut input).while_doing("temporary file")?;
    let half = to.with_extension("half");
    let output = File::create(&half).while_doing(half.display())?;
    // Some complain about what follows in the image, so that the result tells.
    let _status = Command::new(command[0])
        .args(&command[1..])
        .stdin(input)
        .stdout(output)
        .stderr(Stdio::null())
        .status()
        .while_doing(command[0])?;
    let mut magic = [0; 4];
    let mut file = File::open(&half).while_doing(half.display())?;
    std::io::Read::read_exact(&mut file, &mut magic).while_doing(command[0])?;
    if magic != *b"\x7fELF" {
        return Err(Failure::new(format!("{} gave no ELF file", command[0])));
    }
    fs::rename(&half, to).while_doing(to.display())
}

fn files_in(directory: &Path) -> Result<Vec<PathBuf>> {
    let entries = fs::read_dir(directory).while_doing(directory.display())?;
    entries
        .map(|entry| Ok(entry.while_doing(directory.display())?.path()))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packages_with_files_are_those_with_a_version() {
        let depends = "linux-image-cloud-amd64\n  Depends: linux-image-7.3.4+deb13-cloud-amd64\nlinux-image-7.3.4+deb13-cloud-amd64\n  PreDepends: linux-base\nlinux-base\nlinux-modules-7.3.4+deb13-cloud-amd64\nkmod\n";
        assert_eq!(
            kernel_packages(depends),
            [
                "linux-image-7.3.4+deb13-cloud-amd64",
                "linux-modules-7.3.4+deb13-cloud-amd64"
            ]
        );
    }

    #[test]
    fn modules_come_after_those_that_they_need() {
        let directory = tempfile::tempdir().expect("temporary directory");
        let mut files = BTreeMap::new();
        for (name, needs) in [("a", "b,c"), ("b", "c"), ("c", "")] {
            let path = directory.path().join(format!("{name}.ko"));
            fs::write(&path, format!("\x7fELF\0depends={needs}\0rest")).expect("write");
            files.insert(name.to_owned(), path);
        }
        let mut order = Vec::new();
        for name in ["a", "built-in"] {
            add_module(name, &files, &mut order).expect("add");
        }
        let names: Vec<_> = order.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["c", "b", "a"]);
    }

    #[test]
    fn payload_is_where_the_header_says() {
        let mut image = vec![0; 2048];
        image[0x1f1] = 1;
        image[0x248..0x24c].copy_from_slice(&16_u32.to_le_bytes());
        image[0x24c..0x250].copy_from_slice(&9_u32.to_le_bytes());
        image[1040..1049].copy_from_slice(b"inner\0\0\0\0");
        assert_eq!(payload(&image).ok(), Some(&b"inner"[..]));
        assert!(payload(&image[..512]).is_err());
    }
}
