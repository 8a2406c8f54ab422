//! Limits as a list of files and values, and how the list is written.

mod hints;
mod legacy;
mod unified;

use nix::errno::Errno;
use ns_config::cgroup::{CgroupConfig, Limit};

use crate::{
    controller::Controller,
    dir::Dir,
    error::{Error, Kind, Result},
    layout::Version,
};

/// Whether the group is new, or has settings that what is not named must keep.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    Create,
    Update,
}

/// One setting: the first of the files that is there gets its value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Write {
    setting: &'static str,
    choices: Vec<Choice>,
    if_missing: IfMissing,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Choice {
    file: String,
    value: Value,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Value {
    Text(String),
    /// The first word of what the file has, then this.
    AfterFirstWord(String),
}

/// What it means that none of the files is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum IfMissing {
    Refuse,
    /// There is no limit without the file, and none was asked for.
    Satisfied,
}

impl Write {
    fn new(setting: &'static str, file: impl Into<String>, value: impl ToString) -> Self {
        let value = Value::Text(value.to_string());
        let choice = Choice {
            file: file.into(),
            value,
        };
        Write {
            setting,
            choices: vec![choice],
            if_missing: IfMissing::Refuse,
        }
    }

    fn or(mut self, file: &str, value: impl ToString) -> Self {
        self.choices.push(Choice {
            file: file.to_owned(),
            value: Value::Text(value.to_string()),
        });
        self
    }

    fn after_first_word(setting: &'static str, file: &str, value: impl ToString) -> Self {
        let value = Value::AfterFirstWord(value.to_string());
        let choice = Choice {
            file: file.to_owned(),
            value,
        };
        Write {
            setting,
            choices: vec![choice],
            if_missing: IfMissing::Refuse,
        }
    }

    fn satisfied_if_missing(mut self) -> Self {
        self.if_missing = IfMissing::Satisfied;
        self
    }

    /// As a step of a plan; of several files, the one that newer kernels have.
    pub(crate) fn explain(&self, directory: &str) -> String {
        let Choice { file, value } = &self.choices[0];
        let path = format!("{directory}/{file}");
        match value {
            Value::Text(text) => format!("write {path:?} {text:?}"),
            Value::AfterFirstWord(text) => format!("write {path:?} {text:?} behind what it has"),
        }
    }

    fn apply(&self, dir: &Dir) -> Result<()> {
        let present = match &self.choices[..] {
            [only] => Some(only),
            several => several.iter().find(|choice| dir.has(&choice.file)),
        };
        let choice = present.unwrap_or(&self.choices[0]);
        let value = match &choice.value {
            Value::Text(text) => text.clone(),
            Value::AfterFirstWord(text) => {
                let content = dir.read(&choice.file)?;
                format!(
                    "{} {text}",
                    content.split_whitespace().next().unwrap_or("max")
                )
            }
        };
        match dir.write(&choice.file, &value) {
            Ok(()) => Ok(()),
            Err(Errno::ENOENT) if self.if_missing == IfMissing::Satisfied => Ok(()),
            Err(errno) => Err(self.refused(dir, &choice.file, &value, errno)),
        }
    }

    fn refused(&self, dir: &Dir, file: &str, value: &str, errno: Errno) -> Error {
        let call = format!("write({:?}, {value:?})", dir.path_of(file));
        let mut error =
            Error::from_errno("limit control group", call, errno).with_setting(self.setting);
        if errno == Errno::ENODEV {
            error = error.with_kind(Kind::NotFound);
        }
        if errno == Errno::ENOENT {
            error = error.with_kind(Kind::Unsupported);
        }
        match hints::hint(dir, file, errno) {
            Some(hint) => error.with_hint(hint),
            None => error,
        }
    }
}

/// What one controller gets.
pub(crate) fn writes(
    version: Version,
    controller: Controller,
    config: &CgroupConfig,
    phase: Phase,
) -> Result<Vec<Write>> {
    if controller == Controller::Memory {
        check_memory(config)?;
    }
    match version {
        Version::V1 => legacy::writes(controller, config, phase),
        Version::V2 => unified::writes(controller, config),
    }
}

/// The `unified` map: each line of each value is one write.
pub(crate) fn unified_map_writes(config: &CgroupConfig) -> Result<Vec<Write>> {
    let mut writes = Vec::new();
    for (file, content) in &config.unified {
        unified::check_file_name(file)?;
        writes.extend(
            content
                .lines()
                .map(|line| Write::new("unified", file.as_str(), line)),
        );
    }
    Ok(writes)
}

/// The v2 controllers that the `unified` map needs.
pub(crate) fn unified_map_controllers(config: &CgroupConfig) -> Vec<String> {
    let prefixes = config
        .unified
        .keys()
        .filter_map(|file| file.split_once('.'));
    let mut controllers: Vec<String> = prefixes
        .map(|(controller, _)| controller.to_owned())
        .filter(|controller| controller != "cgroup")
        .collect();
    controllers.dedup();
    controllers
}

/// Writes the settings of one controller.
///
/// Some constrain each other (memory with and without swap, quota with period and burst), and which
/// order has no invalid state in between depends on what is set already. So what the kernel refuses
/// as invalid is tried again after the others, as long as that gets further.
pub(crate) fn apply(dir: &Dir, writes: &[Write]) -> Result<()> {
    let mut waiting: Vec<&Write> = writes.iter().collect();
    loop {
        let mut refused = Vec::new();
        let mut first = None;
        let n_waiting = waiting.len();
        for write in waiting {
            match write.apply(dir) {
                Ok(()) => {}
                Err(error) if error.is(Errno::EINVAL) => {
                    refused.push(write);
                    first.get_or_insert(error);
                }
                Err(error) => return Err(error),
            }
        }
        match first {
            None => return Ok(()),
            Some(error) if refused.len() == n_waiting => return Err(error),
            Some(_) => waiting = refused,
        }
    }
}

/// `cpu.weight` for `cpu.shares`: 2, 1024 and 262144 are 1, 100 and 10000, on a curve that is
/// quadratic in the logarithm, as in the OCI runtimes.
///
/// # Shape
/// Smaller and larger shares are taken as 2 and 262144.
///
/// # Examples
/// ```
/// assert_eq!(ns_cgroups::weight_from_shares(1024), 100);
/// ```
#[must_use]
pub fn weight_from_shares(shares: u64) -> u64 {
    let exponent = f64::from(u32::try_from(shares.clamp(2, 262_144)).unwrap_or(2)).log2();
    let power = (exponent * exponent + 125.0 * exponent) / 612.0 - 7.0 / 34.0;
    // Whole powers come out a few bits above the whole number, which must not be rounded up.
    let weight = (10_f64.powf(power) - 1e-6).ceil();
    (1_u32..10_000)
        .find(|candidate| f64::from(*candidate) >= weight)
        .unwrap_or(10_000)
        .into()
}

/// `io.weight` (1 to 10000) for `blkio.weight` (10 to 1000), linear.
pub(crate) fn io_weight(weight: u16) -> u64 {
    1 + u64::from(weight.clamp(10, 1000) - 10) * 9999 / 990
}

fn check_memory(config: &CgroupConfig) -> Result<()> {
    let memory = &config.memory;
    let invalid = |rule: String| {
        Error::new(Kind::InvalidValue, "limit control group", rule)
            .with_setting("memory.total_bytes")
            .with_hint("it is memory and swap together; set memory.limit_bytes beside it")
    };
    match (memory.limit_bytes, memory.total_bytes) {
        (Some(Limit::Value(limit)), Some(Limit::Value(total))) if total < limit => Err(invalid(
            format!("memory and swap together, {total}, is below the memory limit, {limit}"),
        )),
        (None | Some(Limit::Max), Some(Limit::Value(total))) => Err(invalid(format!(
            "memory and swap together, {total}, needs a memory limit beside it"
        ))),
        _ => Ok(()),
    }
}

fn unsupported(setting: &'static str, what: &str) -> Error {
    let call = format!("cgroup v2 has no {what}");
    Error::new(Kind::Unsupported, "limit control group", call)
        .with_setting(setting)
        .with_hint("remove the setting, or use a host with the v1 controller")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// `file=value` of each write, the first choice.
    pub(super) fn lines(writes: Result<Vec<Write>>) -> Vec<String> {
        let text = |value: &Value| match value {
            Value::Text(text) => text.clone(),
            Value::AfterFirstWord(text) => format!("_ {text}"),
        };
        let line = |choice: &Choice| format!("{}={}", choice.file, text(&choice.value));
        writes
            .unwrap()
            .iter()
            .map(|write| line(&write.choices[0]))
            .collect()
    }

    #[test]
    fn shares_become_weights_on_the_documented_curve() {
        for (shares, weight) in [
            (0, 1),
            (2, 1),
            (1024, 100),
            (262_144, 10_000),
            (u64::MAX, 10_000),
        ] {
            assert_eq!(weight_from_shares(shares), weight, "{shares}");
        }
        assert_eq!(
            (io_weight(10), io_weight(1000), io_weight(500)),
            (1, 10_000, 4950)
        );
    }

    #[test]
    fn total_needs_a_limit_and_is_not_below_it() {
        let mut config = CgroupConfig::default();
        config.memory.total_bytes = Some(Limit::Value(10));
        for limit in [None, Some(Limit::Max), Some(Limit::Value(11))] {
            config.memory.limit_bytes = limit;
            for version in [Version::V1, Version::V2] {
                let error =
                    writes(version, Controller::Memory, &config, Phase::Create).unwrap_err();
                assert_eq!(error.kind(), Kind::InvalidValue, "{limit:?} {version:?}");
            }
        }
    }

    proptest! {
        #[test]
        fn weights_grow_with_shares(shares in 2_u64..262_143) {
            prop_assert!(weight_from_shares(shares) <= weight_from_shares(shares + 1));
        }
    }
}
