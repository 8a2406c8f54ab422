//! `nsrun config` and `nsinit config`: a configuration in one form or the other.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use clap::Args;
use ns_config::{Config, OciConfig, Source, UserSpec};

use crate::launch;
use crate::report::{Failure, print};

/// Forms of a configuration.
#[derive(Clone, Copy, Debug, clap::ValueEnum)]
pub(crate) enum Format {
    /// container.json, as docker/libcontainer's nsinit read it.
    Seed,
    /// config.json of the OCI runtime specification.
    Oci,
}

// What differs from the file.
#[derive(Debug, Args)]
pub(crate) struct Changes {
    /// Write this user, such as 0:0, instead of the configured one; config.json holds numbers only.
    #[arg(long, value_name = "UID:GID")]
    user: Option<UserSpec>,
    /// Leave out the command of a config.json; container.json holds none.
    #[arg(long)]
    without_args: bool,
    /// The command to write into config.json, which engines ask for.
    #[arg(last = true, value_name = "CMD")]
    command: Vec<OsString>,
}

#[derive(Debug, Args)]
pub(crate) struct ConfigFlags {
    /// The configuration: container.json or config.json.
    #[arg(long, value_name = "FILE", default_value = "container.json")]
    config: PathBuf,
    /// The form that it is printed in.
    #[arg(long, value_name = "FORM")]
    to: Format,
    #[command(flatten)]
    changes: Changes,
}

pub(crate) fn run(flags: ConfigFlags) -> Result<u8, Failure> {
    convert(&flags.config, flags.to, flags.changes)?;
    Ok(0)
}

/// Prints a configuration.
pub(crate) fn convert(path: &Path, to: Format, changes: Changes) -> Result<(), Failure> {
    let failed = |error: ns_config::Error| Failure::of_configuration(path, &error);
    let mut oci = read(path)?;
    if changes.without_args {
        oci.arguments.clear();
    }
    if let Some(user) = changes.user {
        oci.config.process.user = user;
    }
    if !changes.command.is_empty() {
        oci.arguments = changes.command;
    }
    let text = match to {
        Format::Seed => oci.to_seed(),
        Format::Oci => oci.to_json(),
    };
    print(&format!("{}\n", text.map_err(failed)?.trim_end()))
}

fn read(path: &Path) -> Result<OciConfig, Failure> {
    let failed = |error: ns_config::Error| Failure::of_configuration(path, &error);
    let text = launch::read_text(path)?;
    if Source::of_document(&text) != Source::Oci {
        let config = Config::from_seed(&text).map_err(failed)?;
        return Ok(OciConfig {
            config,
            ..OciConfig::default()
        });
    }
    // A runtime has to ignore what it does not know; a conversion would lose it.
    OciConfig::from_json(&text, &bundle(path)?)
        .and_then(OciConfig::strict)
        .map_err(failed)
}

/// The directory of a config.json, which its relative paths start from.
fn bundle(path: &Path) -> Result<String, Failure> {
    let found = std::fs::canonicalize(path)
        .map_err(|error| Failure::new(format!("find the directory of {path:?}: {error}")))?;
    let directory = found.parent().and_then(Path::to_str);
    directory.map(str::to_owned).ok_or_else(|| {
        Failure::new(format!(
            "find the directory of {path:?}: its name is not UTF-8"
        ))
        .with_hint("JSON holds UTF-8 only")
    })
}
