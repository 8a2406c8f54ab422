//! `cargo xtask bench many`: what each request takes while many containers live.

use std::process::ExitCode;

use clap::Args;
use serde_json::{Value, json};

use super::exec::states;
use super::library::Library;
use super::place::Place;
use super::report::permille;
use crate::failure::Result;
use crate::workspace::Workspace;

/// Options of `bench many`.
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// How often each request is made at each number of containers.
    #[arg(long, default_value_t = 40, value_parser = clap::value_parser!(u32).range(1..))]
    rounds: u32,
    /// Numbers of containers, ascending; the first is what the others are compared with.
    #[arg(long, value_delimiter = ',', default_values_t = [0, 100, 300, 1000])]
    alive: Vec<u32>,
}

/// A request, and how much slower it may become.
#[derive(Clone, Copy)]
struct Request {
    name: &'static str,
    /// `many_flat` or `many_start` of docs/numbers.md.
    permille: u64,
    /// As many times slower in addition as there are more containers.
    is_linear: bool,
}

const REQUESTS: [Request; 7] = [
    flat("start", 1500),
    flat("exec", 1200),
    flat("state", 1200),
    flat("stats", 1200),
    flat("delete", 1200),
    linear("list", 1200),
    // It is looked for in all states.
    linear("delete ended", 1200),
];

const fn flat(name: &'static str, permille: u64) -> Request {
    Request {
        name,
        permille,
        is_linear: false,
    }
}

const fn linear(name: &'static str, permille: u64) -> Request {
    Request {
        is_linear: true,
        ..flat(name, permille)
    }
}

/// Medians in microseconds, one per number of containers.
struct Growth {
    request: Request,
    medians_us: Vec<u64>,
}

pub(super) fn run(options: &Options, workspace: &Workspace) -> Result<ExitCode> {
    let place = Place::build(workspace)?;
    let states = states()?;
    let config = place.write_config("many.json", &light(&place))?;
    // Whoever holds many containers has many descriptors, which each of its clones copies: that is not measured.
    let mut holder = Library::holding(&place, &config, states.path())?;
    let mut library = Library::holding(&place, &config, states.path())?;
    let mut growths = REQUESTS.map(|request| Growth {
        request,
        medians_us: Vec::new(),
    });
    for n_alive in &options.alive {
        // The one of the process that is asked is not counted.
        if *n_alive > 0 {
            holder.ask(&format!("fill {}", n_alive - 1))?;
        }
        println!("{n_alive} containers");
        measure(&mut library, &mut growths, options.rounds)?;
    }
    drop(library);
    drop(holder);
    print(&growths, &options.alive);
    let rows: Vec<_> = growths
        .iter()
        .map(|growth| growth.to_json(&options.alive))
        .collect();
    let all = json!({"rounds": options.rounds, "alive": options.alive, "rows": rows});
    place.write("many.json", &format!("{all:#}\n"))?;
    Ok(ExitCode::SUCCESS)
}

/// A container that is quick to make and has a group of its own.
fn light(place: &Place) -> Value {
    let mut config = place.container();
    let namespaces = ["NEWNS", "NEWPID", "NEWIPC", "NEWUTS"];
    config["namespaces"] = namespaces.map(|kind| json!({"type": kind})).into();
    config["cgroups"] = json!({"name": "x", "allow_all_devices": true});
    config
}

/// In turns, so that all see the same machine.
fn measure(library: &mut Library, growths: &mut [Growth], n_rounds: u32) -> Result<()> {
    let mut figures = vec![Vec::new(); growths.len()];
    for _ in 0..=n_rounds {
        for (growth, figures) in growths.iter().zip(&mut figures) {
            figures.push(library.ask(growth.request.name)?);
        }
    }
    for (growth, mut figures) in growths.iter_mut().zip(figures) {
        // The first fills caches.
        let mut counted = figures.split_off(1);
        counted.sort_unstable();
        let median = counted.get(counted.len() / 2).copied().unwrap_or_default();
        growth.medians_us.push(median / 1000);
    }
    Ok(())
}

impl Growth {
    /// The most that it may have grown by, in thousandths.
    fn allowed_permille(&self, alive: &[u32], index: usize) -> u64 {
        if !self.request.is_linear {
            return self.request.permille;
        }
        // The one that is asked about lives beside them.
        let n_containers = |index: usize| u64::from(alive.get(index).copied().unwrap_or(0)) + 1;
        self.request.permille * n_containers(index) / n_containers(0)
    }

    fn grown_permille(&self, index: usize) -> u64 {
        let at = |index: usize| self.medians_us.get(index).copied().unwrap_or_default();
        at(index) * 1000 / at(0).max(1)
    }

    fn is_within(&self, alive: &[u32]) -> bool {
        (0..self.medians_us.len())
            .all(|index| self.grown_permille(index) <= self.allowed_permille(alive, index))
    }

    fn to_json(&self, alive: &[u32]) -> Value {
        json!({"name": self.request.name, "medians_us": self.medians_us,
            "grown_permille": self.grown_permille(self.medians_us.len().saturating_sub(1)),
            "is_within": self.is_within(alive)})
    }
}

fn print(growths: &[Growth], alive: &[u32]) {
    print!("\n{:<14}", "µs, median");
    alive.iter().for_each(|number| print!(" {number:>9}"));
    println!(" {:>9}", "growth");
    for growth in growths {
        print!("{:<14}", growth.request.name);
        growth
            .medians_us
            .iter()
            .for_each(|median| print!(" {median:>9}"));
        let last = growth.medians_us.len().saturating_sub(1);
        let word = match growth.is_within(alive) {
            true => "",
            false => "  more than allowed",
        };
        println!(" {:>9}{word}", permille(growth.grown_permille(last)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn growth_is_flat_or_linear() {
        let growth = |name, medians_us: &[u64]| Growth {
            request: *REQUESTS
                .iter()
                .find(|request| request.name == name)
                .unwrap(),
            medians_us: medians_us.to_vec(),
        };
        let alive = [0, 9];
        assert!(growth("exec", &[100, 120]).is_within(&alive));
        assert!(!growth("exec", &[100, 121]).is_within(&alive));
        assert!(growth("start", &[100, 150]).is_within(&alive));
        assert!(!growth("start", &[100, 151]).is_within(&alive));
        assert!(growth("list", &[10, 120]).is_within(&alive));
        assert!(!growth("list", &[10, 121]).is_within(&alive));
    }
}
