//! `cargo xtask bench stats`: what one container uses.

use std::process::ExitCode;

use super::Options;
use super::contender::{Contender, Way};
use super::exec::states;
use super::library::Library;
use super::limits::Inside;
use crate::failure::Result;
use crate::workspace::Workspace;

pub(super) fn run(options: &Options, workspace: &Workspace) -> Result<ExitCode> {
    let inside = Inside::enter("look", options, workspace)?;
    let states = states()?;
    let id = format!("ns-bench-{}", std::process::id());
    let config = inside
        .place
        .write_config("stats.json", &inside.config(&id))?;
    let library = |name, request: &str| {
        let library = Library::holding(&inside.place, &config, states.path())?;
        Ok(Contender {
            name,
            floor: name,
            way: Way::Library(library, request.to_owned()),
        })
    };
    let contenders = vec![
        library("stats", "stats")?,
        library("stats, by the id", "open and stats")?,
        library("state, by the id", "state")?,
    ];
    let Inside { place, report, .. } = inside;
    place.measure_and_report("stats", report, contenders)?;
    Ok(ExitCode::SUCCESS)
}
