//! The commands of this workspace: `cargo xtask ci`, `tidy`, `itest` and `bench`.
//!
//! Start reading at [`ci`], which is the order of all checks.
#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a program for a person at a terminal"
)]

mod bench;
mod ci;
mod debian;
mod engine;
mod failure;
mod inside;
mod itest;
mod libtest;
mod must_run;
mod program;
mod runner;
mod tally;
mod tidy;
mod tree;
mod view;
mod vm;
mod workspace;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::{
    bench::Bench, ci::Ci, engine::Guarding, inside::Inside, itest::Itest, workspace::Workspace,
};

/// The commands of this workspace.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
struct Arguments {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Every check there is: format, lints, house rules, documents, tests as root and as a plain user.
    Ci(Ci),
    /// The house rules that no lint knows: crate edges, unsafe files, names, lengths, links.
    Tidy,
    /// The tests, in a private mount namespace with the given layout of control groups.
    Itest(Itest),
    /// Runs the tests of a job and reports each; what `itest` and `ci` start elsewhere.
    #[command(hide = true)]
    Inside(Inside),
    /// Removes what a run in a container made, once the run has ended; what `itest` and `ci` start first.
    #[command(hide = true)]
    Guard(Guarding),
    /// Measures, always against a floor program in the same run.
    Bench(Bench),
}

fn run(verb: Verb) -> failure::Result<ExitCode> {
    match verb {
        // There is no cargo where it runs.
        Verb::Inside(inside) => inside.run(),
        Verb::Guard(guarding) => guarding.run(),
        Verb::Ci(ci) => ci.run(&Workspace::load()?),
        Verb::Tidy => tidy::run(&Workspace::load()?),
        Verb::Itest(itest) => itest.run(&Workspace::load()?),
        Verb::Bench(bench) => bench.run(&Workspace::load()?),
    }
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    match run(arguments.verb) {
        Ok(code) => code,
        Err(failure) => {
            eprintln!("xtask: {failure}");
            ExitCode::FAILURE
        }
    }
}
