//! What all benches are made from: programs, a root file system, configurations.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use nix::unistd::{getgid, getuid};
use serde_json::{Value, json};

use super::contender::{Contender, measure};
use super::recipe::Recipe;
use super::report::{Report, Row};
use super::{chart, floor};
use crate::failure::{Result, While};
use crate::program::build_release;
use crate::tree::make_directory;
use crate::workspace::Workspace;

/// Everything is below `target/bench`.
#[derive(Debug)]
pub(super) struct Place {
    pub(super) directory: PathBuf,
    pub(super) floor: PathBuf,
    pub(super) nsrun: PathBuf,
    pub(super) library: PathBuf,
    pub(super) rootfs: PathBuf,
}

impl Place {
    /// Builds the programs with the release profile.
    pub(super) fn build(workspace: &Workspace) -> Result<Place> {
        let directory = workspace.target.join("bench");
        let rootfs = directory.join("rootfs");
        for path in [&workspace.target, &directory, &rootfs] {
            make_directory(path)?;
        }
        let floor = floor::build(&workspace.root, &directory)?;
        fs::copy(&floor, rootfs.join("true")).while_doing("the root file system")?;
        for name in ["proc", "dev", "sys", "tmp", "etc"] {
            make_directory(&rootfs.join(name))?;
        }
        Ok(Place {
            nsrun: build_release("nsrun", &[], "nsrun")?,
            library: build_release("xtask", &["library"], "bench-library")?,
            directory,
            floor,
            rootfs,
        })
    }

    /// Writes the configuration of a bench; gives its path.
    pub(super) fn write_config(&self, name: &str, config: &Value) -> Result<PathBuf> {
        let file = self.directory.join(format!("container-{name}"));
        fs::write(&file, config.to_string()).while_doing(file.display())?;
        Ok(file)
    }

    /// All namespaces and mounts of the seed's default, no control group and no interface.
    pub(super) fn container(&self) -> Value {
        let namespaces = ["NEWNS", "NEWPID", "NEWIPC", "NEWUTS", "NEWNET"];
        json!({
            "root_fs": self.rootfs,
            "hostname": "bench",
            "restrict_sys": true,
            "environment": ["PATH=/"],
            "capabilities": ["KILL", "NET_BIND_SERVICE"],
            "namespaces": namespaces.map(|kind| json!({"type": kind})),
            "mount_config": {"device_nodes": device_nodes()},
        })
    }

    /// `nsrun run` of a configuration.
    pub(super) fn run(&self, config: &Path, command: &[&str]) -> Command {
        let mut nsrun = Command::new(&self.nsrun);
        nsrun
            .args(["run", "--config"])
            .arg(config)
            .arg("--")
            .args(command);
        nsrun
    }

    /// The floor program, told to make what the recipe says and what `more` says.
    pub(super) fn floor_words(&self, recipe: &Recipe, more: &[String]) -> Vec<OsString> {
        let numbers = [
            recipe.namespaces,
            u64::from(getuid().as_raw()),
            u64::from(getgid().as_raw()),
        ];
        let mut words = vec![self.floor.clone().into_os_string(), "start".into()];
        words.extend(numbers.map(|number| OsString::from(number.to_string())));
        words.extend(recipe.steps.iter().chain(more).map(OsString::from));
        words.extend(["--", "/true"].map(OsString::from));
        words
    }

    /// Measures those that start, in turns, and writes the figures as table, JSON and SVG.
    pub(super) fn measure_and_report(
        &self,
        name: &str,
        mut report: Report,
        contenders: Vec<Contender>,
    ) -> Result<()> {
        let mut contenders = report.keep_those_that_start(contenders);
        let n_rounds = report.rounds();
        println!("measuring {} in {n_rounds} rounds", contenders.len());
        let figures = measure(&mut contenders, n_rounds)?;
        for (contender, mut nanoseconds) in contenders.iter().zip(figures) {
            nanoseconds.sort_unstable();
            let resident_kib = contender.resident_kib(&self.floor);
            report.add(Row::new(contender, &nanoseconds, resident_kib));
        }
        report.print();
        self.write(
            &format!("{name}.json"),
            &format!("{:#}\n", report.to_json()),
        )?;
        self.write(&format!("{name}.svg"), &chart::svg(&report))
    }

    /// Writes a result, and says where.
    pub(super) fn write(&self, name: &str, text: &str) -> Result<()> {
        let file = self.directory.join(name);
        fs::write(&file, text).while_doing(file.display())?;
        println!("written: {}", file.display());
        Ok(())
    }
}

fn device_nodes() -> Value {
    let nodes = [
        ("null", 3),
        ("zero", 5),
        ("full", 7),
        ("random", 8),
        ("urandom", 9),
    ];
    let node = |(name, minor)| {
        json!({"type": 99, "path": format!("/dev/{name}"), "major_number": 1, "minor_number": minor,
            "cgroup_permissions": "rwm", "file_mode": 0o666})
    };
    nodes.map(node).into()
}

/// The words of a command.
pub(super) fn words(command: &Command) -> Vec<OsString> {
    let name = std::iter::once(command.get_program());
    name.chain(command.get_args()).map(OsString::from).collect()
}
