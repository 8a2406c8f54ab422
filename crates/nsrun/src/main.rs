//! `nsrun`: runs a command in a fresh container. Argument parsing and printing only.

#![cfg_attr(all(target_env = "gnu", not(test)), no_main)]

mod arguments;
mod convert;
mod exec;
mod explain;
mod flag;
mod launch;
mod nsinit;
mod report;
mod sandbox;
#[cfg(all(target_env = "gnu", not(test)))]
mod sys;
mod verbs;

use std::path::PathBuf;

use clap::{CommandFactory as _, FromArgMatches as _, error::ErrorKind};

use arguments::{Arguments, Explainable, Verb};
use report::Failure;

/// The entry where `sys` has none.
#[cfg(not(all(target_env = "gnu", not(test))))]
fn main() -> std::process::ExitCode {
    exit_code().into()
}

fn exit_code() -> u8 {
    run().unwrap_or_else(Failure::report)
}

fn run() -> Result<u8, Failure> {
    ns_exec::refuse_gained_rights()?;
    let called = PathBuf::from(std::env::args_os().next().unwrap_or_default());
    nsinit::refuse_second_stage(&called)?;
    let is_nsinit = called.file_name() == Some("nsinit".as_ref());
    let parsed = match is_nsinit {
        true => arguments::parse(nsinit::Arguments::command(), std::env::args_os()),
        false => Arguments::matches(),
    };
    let matches = match parsed {
        Ok(matches) => matches,
        Err(error) => return usage(&error),
    };
    if is_nsinit {
        return nsinit::run(&matches);
    }
    let arguments =
        Arguments::from_arg_matches(&matches).map_err(|error| Failure::new(error.to_string()))?;
    let root = arguments.place.root.as_deref();
    match arguments.verb {
        Verb::Sandbox(flags) => {
            let config = sandbox::config(&flags, root)?;
            launch::run(config, flags.command, &flags.name, root)
        }
        Verb::Run(run) => {
            let config = launch::read_config(&run.config)?;
            launch::run(config, run.command, &run.name, root)
        }
        Verb::Create(flags) => launch::create(flags, root),
        Verb::Exec(flags) => exec::exec(flags, root),
        Verb::Container(verb) => verbs::run(verb, root),
        Verb::Explain { json, what } => {
            let (config, command) = match what {
                Explainable::Sandbox(flags) => (sandbox::config(&flags, root)?, flags.command),
                Explainable::Run(run) => (launch::read_config(&run.config)?, run.command),
            };
            explain::explain(&config, command, json)
        }
        Verb::Config(flags) => convert::run(flags),
        Verb::Doctor { json } => explain::doctor(json),
    }
}

/// Help and version go to the standard output and are no error; anything else is one line.
fn usage(error: &clap::Error) -> Result<u8, Failure> {
    let text = error.render().to_string();
    if matches!(
        error.kind(),
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion
    ) {
        report::print(&text)?;
        return Ok(0);
    }
    let said = text.split("\nUsage:").next().unwrap_or_default();
    let said = said
        .split("\nFor more information")
        .next()
        .unwrap_or_default();
    let words: Vec<&str> = said
        .trim_start_matches("error: ")
        .split_whitespace()
        .collect();
    Err(Failure::new(words.join(" "))
        .with_hint("nsrun --help, or nsrun VERB --help, tells what is accepted"))
}
