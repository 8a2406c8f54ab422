//! `cargo xtask bench start`: builds what is measured, measures it in turns, reports.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use clap::Args;
use nix::unistd::{Uid, getgid, getuid};
use serde_json::json;

use super::contender::{Contender, Way};
use super::library::Library;
use super::recipe::Recipe;
use super::report::{Report, Row};
use super::{chart, floor, peers, snapshot};
use crate::debian;
use crate::failure::{Failure, Result, While};
use crate::program::build_release;
use crate::view::{self, View};
use crate::workspace::Workspace;

/// Options of `bench start`.
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// How often each is started.
    #[arg(long, default_value_t = 40, value_parser = clap::value_parser!(u32).range(1..))]
    rounds: u32,
    /// The layout of control groups that all see; without it, the machine's own.
    #[arg(long, value_enum)]
    view: Option<View>,
    /// Install from Debian what is compared with: bubblewrap, runc, crun.
    #[arg(long)]
    install_peers: bool,
}

/// Not counted: caches fill, kernel modules load.
const WARM_UP_ROUNDS: usize = 3;

/// What all contenders are made from.
struct Bench {
    directory: PathBuf,
    floor: PathBuf,
    nsrun: PathBuf,
    library: PathBuf,
    rootfs: PathBuf,
    config: PathBuf,
}

pub(super) fn run(options: &Options, workspace: &Workspace) -> Result<ExitCode> {
    if options.install_peers {
        debian::install(&debian::PEERS)?;
    }
    let bench = Bench::build(workspace)?;
    if let Some(view) = options.view {
        view::enter(view)?;
    }
    let mut report = Report::new(options.rounds);
    let contenders = bench.contenders(&mut report)?;
    let mut contenders = report.keep_those_that_start(contenders);
    println!(
        "measuring {} in {} rounds",
        contenders.len(),
        options.rounds
    );
    let figures = measure(&mut contenders, options.rounds)?;
    for (contender, mut nanoseconds) in contenders.iter().zip(figures) {
        nanoseconds.sort_unstable();
        let resident_kib = contender.resident_kib(&bench.floor);
        report.add(Row::new(contender, &nanoseconds, resident_kib));
    }
    report.print();
    let (data, picture) = (
        bench.directory.join("start.json"),
        bench.directory.join("start.svg"),
    );
    fs::write(&data, format!("{:#}\n", report.to_json())).while_doing(data.display())?;
    fs::write(&picture, chart::svg(&report)).while_doing(picture.display())?;
    println!("\nwritten: {} and {}", data.display(), picture.display());
    Ok(ExitCode::SUCCESS)
}

/// One start of each per round, each round beginning with the next one, so that all see the same machine.
fn measure(contenders: &mut [Contender], n_rounds: u32) -> Result<Vec<Vec<u64>>> {
    let n_contenders = contenders.len();
    let n_rounds = usize::try_from(n_rounds).while_doing("rounds")? + WARM_UP_ROUNDS;
    let mut figures = vec![Vec::with_capacity(n_rounds); n_contenders];
    for round in 0..n_rounds {
        for turn in 0..n_contenders {
            let index = (round + turn) % n_contenders;
            let nanoseconds = contenders[index].start(round)?;
            if round >= WARM_UP_ROUNDS {
                figures[index].push(nanoseconds);
            }
        }
    }
    Ok(figures)
}

impl Bench {
    fn build(workspace: &Workspace) -> Result<Bench> {
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
        let config = directory.join("container.json");
        let text = container(&rootfs);
        fs::write(&config, text.to_string()).while_doing(config.display())?;
        Ok(Bench {
            nsrun: build_release("nsrun", &[], "nsrun")?,
            library: build_release("xtask", &["library"], "bench-library")?,
            directory,
            floor,
            rootfs,
            config,
        })
    }

    fn contenders(&self, report: &mut Report) -> Result<Vec<Contender>> {
        let floor = self.floor.as_os_str();
        let directory = self.directory.as_path();
        let own = |name, floor, words| peers::program(name, floor, words, directory);
        let mut all = vec![own("static true", "static true", vec![floor.to_owned()])];

        let recipe = Recipe::from_snapshot(&snapshot::take(&mut self.sandbox(&["/true", "cat"]))?)?;
        all.push(own(
            "floor sandbox",
            "floor sandbox",
            self.floor_words(&recipe),
        ));
        all.push(own(
            "nsrun sandbox",
            "floor sandbox",
            words(&self.sandbox(&["/true"])),
        ));
        all.push(peers::bubblewrap(&recipe, directory));
        if !Uid::effective().is_root() {
            report.left_out(
                "run and library",
                "a container with a root file system directory is measured as root",
            );
            return Ok(all);
        }
        let recipe = Recipe::from_snapshot(&snapshot::take(&mut self.run(&["/true", "cat"]))?)?;
        all.push(own("floor run", "floor run", self.floor_words(&recipe)));
        all.push(own("nsrun run", "floor run", words(&self.run(&["/true"]))));
        for (name, resident_mb, n_threads) in [
            ("library, small", 0, 1),
            ("library, 1 GB, 16 threads", 1024, 16),
        ] {
            let library = Library::spawn(&self.library, &self.config, resident_mb, n_threads)?;
            all.push(Contender {
                name,
                floor: "floor run",
                way: Way::Library(library),
            });
        }
        all.extend(peers::engines(&self.rootfs, directory)?);
        Ok(all)
    }

    fn sandbox(&self, command: &[&str]) -> Command {
        let mut nsrun = Command::new(&self.nsrun);
        nsrun
            .args(["sandbox", "--ro-bind"])
            .arg(&self.floor)
            .args(["/true", "--"])
            .args(command);
        nsrun
    }

    fn run(&self, command: &[&str]) -> Command {
        let mut nsrun = Command::new(&self.nsrun);
        nsrun
            .args(["run", "--config"])
            .arg(&self.config)
            .arg("--")
            .args(command);
        nsrun
    }

    fn floor_words(&self, recipe: &Recipe) -> Vec<OsString> {
        let numbers = [
            recipe.namespaces,
            u64::from(getuid().as_raw()),
            u64::from(getgid().as_raw()),
        ];
        let mut words = vec![self.floor.clone().into_os_string(), "start".into()];
        words.extend(numbers.map(|number| OsString::from(number.to_string())));
        words.extend(recipe.steps.iter().map(OsString::from));
        words.extend(["--", "/true"].map(OsString::from));
        words
    }
}

fn words(command: &Command) -> Vec<OsString> {
    let name = std::iter::once(command.get_program());
    name.chain(command.get_args()).map(OsString::from).collect()
}

/// All namespaces and mounts of the seed's default, no control group.
fn container(rootfs: &Path) -> serde_json::Value {
    let namespaces = ["NEWNS", "NEWPID", "NEWIPC", "NEWUTS", "NEWNET"];
    json!({
        "root_fs": rootfs,
        "hostname": "bench",
        "restrict_sys": true,
        "environment": ["PATH=/"],
        "capabilities": ["KILL", "NET_BIND_SERVICE"],
        "namespaces": namespaces.map(|kind| json!({"type": kind})),
        "mount_config": {"device_nodes": device_nodes()},
    })
}

fn device_nodes() -> serde_json::Value {
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

/// Makes a directory of our own build output; one that is there is kept.
pub(super) fn make_directory(path: &Path) -> Result<()> {
    match fs::create_dir(path) {
        Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => {
            Err(Failure::new(format!("{}: {error}", path.display())))
        }
        _ => Ok(()),
    }
}
