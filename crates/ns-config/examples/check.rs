//! Checks a `container.json`: `cargo run -p ns-config --example check [FILE]`.
//!
//! Prints the configuration as it would be written, or every problem with its place.

#![expect(clippy::print_stdout, reason = "it is a program")]

use std::{error::Error, fs};

use ns_config::Config;

const SAMPLE: &str = include_str!("../tests/data/minimal.json");

fn main() -> Result<(), Box<dyn Error>> {
    let text = match std::env::args_os().nth(1) {
        Some(path) => fs::read(path)?,
        None => SAMPLE.as_bytes().to_vec(),
    };
    let outcome = Config::from_seed(&text).and_then(|config| {
        config.validate()?;
        config.to_seed()
    });
    match outcome {
        Ok(written) => println!("{written}"),
        Err(error) => println!("{error}"),
    }
    Ok(())
}
