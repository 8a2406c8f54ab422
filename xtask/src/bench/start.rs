//! `cargo xtask bench start`: builds what is measured, measures it in turns, reports.

use std::path::PathBuf;
use std::process::{Command, ExitCode};

use nix::unistd::Uid;

use super::contender::{Contender, Way};
use super::library::Library;
use super::place::{Place, words};
use super::recipe::Recipe;
use super::report::Report;
use super::{Options, peers, snapshot};
use crate::debian;
use crate::failure::Result;
use crate::view;
use crate::workspace::Workspace;

/// What all contenders are made from.
struct Bench {
    place: Place,
    config: PathBuf,
}

pub(super) fn run(options: &Options, workspace: &Workspace) -> Result<ExitCode> {
    if options.install_peers {
        debian::install(&debian::PEERS)?;
    }
    let place = Place::build(workspace)?;
    let config = place.write_config("start.json", &place.container())?;
    let bench = Bench { place, config };
    if let Some(view) = options.view {
        view::enter(view)?;
    }
    let mut report = Report::new("start", options.rounds);
    let contenders = bench.contenders(&mut report)?;
    bench
        .place
        .measure_and_report("start", report, contenders)?;
    Ok(ExitCode::SUCCESS)
}

impl Bench {
    fn contenders(&self, report: &mut Report) -> Result<Vec<Contender>> {
        let Place {
            directory, floor, ..
        } = &self.place;
        let own = |name, floor, words| peers::program(name, floor, words, directory);
        let mut all = vec![own("static true", "static true", vec![floor.into()])];

        let recipe = Recipe::from_snapshot(&snapshot::take(&mut self.sandbox(&["/true", "cat"]))?)?;
        all.push(own(
            "floor sandbox",
            "floor sandbox",
            self.place.floor_words(&recipe, &[]),
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
        let run = |command: &[&str]| self.place.run(&self.config, command);
        let recipe = Recipe::from_snapshot(&snapshot::take(&mut run(&["/true", "cat"]))?)?;
        all.push(own(
            "floor run",
            "floor run",
            self.place.floor_words(&recipe, &[]),
        ));
        all.push(own("nsrun run", "floor run", words(&run(&["/true"]))));
        for (name, resident_mb, n_threads) in [
            ("library, small", 0, 1),
            ("library, 1 GB, 16 threads", 1024, 16),
        ] {
            let library = Library::starting(&self.place, &self.config, resident_mb, n_threads)?;
            all.push(Contender {
                name,
                floor: "floor run",
                way: Way::Library(library, String::new()),
            });
        }
        all.extend(peers::engines(&self.place)?);
        Ok(all)
    }

    fn sandbox(&self, command: &[&str]) -> Command {
        let mut nsrun = Command::new(&self.place.nsrun);
        nsrun
            .args(["sandbox", "--ro-bind"])
            .arg(&self.place.floor)
            .args(["/true", "--"])
            .args(command);
        nsrun
    }
}
