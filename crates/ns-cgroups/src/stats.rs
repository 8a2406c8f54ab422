//! What the group uses, and what its limits did.

mod blkio;
mod cpu;
mod memory;
mod pressure;

use std::collections::BTreeMap;

use ns_config::stats::CgroupStats;

use crate::{
    controller::{AVAILABLE, Controller, lists},
    dir::Dir,
    error::{Error, Kind, Result},
    group::{Cgroup, Member},
    layout::Version,
};

pub use memory::{MemoryCounters, SwapStats};
pub use pressure::{Pressure, PressureStats, PressureTimes};

/// Usage of a group. Parts whose controller the group is not in are empty.
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct Stats {
    /// Processor time, memory and block devices, as the seed's `nsinit stats` had them.
    pub cgroup: CgroupStats,
    /// Processes and threads.
    pub pids: Option<PidsStats>,
    /// Swap.
    pub swap: Option<SwapStats>,
    /// How often memory limits were met.
    pub memory_counters: Option<MemoryCounters>,
    /// Huge pages, by size as in file names, e.g. `2MB`.
    pub hugetlb: BTreeMap<String, HugetlbStats>,
    /// Time lost by waiting (v2).
    pub pressure: PressureStats,
}

/// Processes and threads.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PidsStats {
    /// How many there are.
    pub current: u64,
    /// How many there may be; `None` is no limit.
    pub limit: Option<u64>,
}

/// Huge pages of one size, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HugetlbStats {
    /// In use.
    pub usage_bytes: u64,
    /// Most ever in use (v1).
    pub max_usage_bytes: Option<u64>,
    /// How often the limit was met.
    pub failcnt: u64,
}

impl Cgroup {
    /// Reads the usage of the group and of all groups below it.
    ///
    /// Memory that v2 calls `memory.current`, `memory.peak` and the `max` line of `memory.events` is
    /// usage, most usage and `failcnt`; `io.stat` becomes service bytes and serviced.
    ///
    /// # Units
    /// Processor time in nanoseconds, memory in bytes; pressure has its units in its names.
    ///
    /// # Errors
    /// | kind | errno | when |
    /// |---|---|---|
    /// | `Gone` | ENODEV | the group was removed |
    /// | `InvalidValue` | | a file has what it should not have |
    ///
    /// # References
    /// `Documentation/admin-guide/cgroup-v1/`, `Documentation/admin-guide/cgroup-v2.rst`,
    /// `Documentation/accounting/psi.rst`.
    pub fn stats(&self) -> Result<Stats> {
        let mut stats = Stats {
            cgroup: self.usage()?,
            ..Stats::default()
        };
        for member in &self.members {
            match member.version {
                Version::V1 => legacy(member, &mut stats)?,
                Version::V2 => unified(member, &mut stats)?,
            }
        }
        Ok(stats)
    }

    /// Reads [`Stats::cgroup`] alone, without the files that only the rest of [`Stats`] needs.
    ///
    /// # Errors
    /// Those of [`stats`](Self::stats).
    pub fn usage(&self) -> Result<CgroupStats> {
        let mut usage = CgroupStats::default();
        for member in &self.members {
            // Files of a removed group look like files that the kernel does not have.
            if !member.dir.has("cgroup.procs") {
                let call = format!("{:?} was removed", member.dir.path());
                return Err(Error::new(Kind::Gone, STEP, call));
            }
            match member.version {
                Version::V1 => legacy_usage(member, &mut usage)?,
                Version::V2 => unified_usage(self, member, &mut usage)?,
            }
        }
        Ok(usage)
    }
}

fn legacy_usage(member: &Member, usage: &mut CgroupStats) -> Result<()> {
    let read = |file: &str| member.dir.read_if_present(file);
    if member.has(Controller::CpuAcct) {
        usage.cpu_stats.cpu_usage = cpu::legacy_usage(read, cpu::ticks_per_second())?;
    }
    if member.has(Controller::Cpu) {
        usage.cpu_stats.throttling_data = cpu::legacy_throttling(read)?;
    }
    if member.has(Controller::Memory) {
        usage.memory_stats = memory::legacy(read)?;
    }
    if member.has(Controller::Io) {
        usage.blkio_stats = blkio::legacy(read)?;
    }
    Ok(())
}

fn legacy(member: &Member, stats: &mut Stats) -> Result<()> {
    let dir = &member.dir;
    let read = |file: &str| dir.read_if_present(file);
    if member.has(Controller::Memory) {
        stats.swap = memory::legacy_swap(read)?;
        stats.memory_counters = memory::legacy_counters(read)?;
    }
    if member.has(Controller::Pids) {
        stats.pids = pids(read)?;
    }
    if member.has(Controller::Hugetlb) {
        stats.hugetlb = hugetlb(dir, "usage_in_bytes", |size, read| {
            Ok(HugetlbStats {
                usage_bytes: number_in(read, &format!("hugetlb.{size}.usage_in_bytes"))?,
                max_usage_bytes: Some(number_in(
                    read,
                    &format!("hugetlb.{size}.max_usage_in_bytes"),
                )?),
                failcnt: number_in(read, &format!("hugetlb.{size}.failcnt"))?,
            })
        })?;
    }
    Ok(())
}

/// What a v1 hierarchy counts is read there.
fn unified_usage(group: &Cgroup, member: &Member, usage: &mut CgroupStats) -> Result<()> {
    let read = |file: &str| member.dir.read_if_present(file);
    let is_ours = |controller| group.legacy(controller).is_none();
    let cpu = cpu::unified(read)?;
    if is_ours(Controller::CpuAcct) {
        usage.cpu_stats.cpu_usage = cpu.cpu_usage;
    }
    if is_ours(Controller::Cpu) {
        usage.cpu_stats.throttling_data = cpu.throttling_data;
    }
    let controllers = member.dir.read(AVAILABLE)?;
    if lists(&controllers, "memory") {
        usage.memory_stats = memory::unified(read)?;
    }
    if lists(&controllers, "io") {
        usage.blkio_stats = blkio::unified(read)?;
    }
    Ok(())
}

fn unified(member: &Member, stats: &mut Stats) -> Result<()> {
    let dir = &member.dir;
    let read = |file: &str| dir.read_if_present(file);
    stats.pressure = pressure::read(read)?;
    let controllers = dir.read(AVAILABLE)?;
    if lists(&controllers, "memory") {
        stats.swap = memory::unified_swap(read)?;
        stats.memory_counters = memory::unified_counters(read)?;
    }
    if lists(&controllers, "pids") {
        stats.pids = pids(read)?;
    }
    if lists(&controllers, "hugetlb") {
        stats.hugetlb = hugetlb(dir, "current", |size, read| {
            let events = read(&format!("hugetlb.{size}.events"))?.unwrap_or_default();
            Ok(HugetlbStats {
                usage_bytes: number_in(read, &format!("hugetlb.{size}.current"))?,
                max_usage_bytes: None,
                failcnt: keyed("hugetlb.events", &events)?.remove("max").unwrap_or(0),
            })
        })?;
    }
    Ok(())
}

fn pids(read: impl Fn(&str) -> Result<Option<String>>) -> Result<Option<PidsStats>> {
    let Some(current) = read("pids.current")? else {
        return Ok(None);
    };
    Ok(Some(PidsStats {
        current: number("pids.current", &current)?,
        limit: limit_in(&read, "pids.max")?,
    }))
}

type Reader<'r> = &'r dyn Fn(&str) -> Result<Option<String>>;

/// The sizes are those of the files `hugetlb.<size>.<usage>`.
fn hugetlb(
    dir: &Dir,
    usage: &str,
    of_size: impl Fn(&str, Reader<'_>) -> Result<HugetlbStats>,
) -> Result<BTreeMap<String, HugetlbStats>> {
    let read = |file: &str| dir.read_if_present(file);
    let mut sizes = BTreeMap::new();
    for file in dir.files()? {
        let size = file
            .strip_prefix("hugetlb.")
            .and_then(|rest| rest.strip_suffix(usage));
        let size = size.and_then(|rest| rest.strip_suffix('.'));
        // `2MB.rsvd` is counted apart.
        if let Some(size) = size.filter(|size| !size.contains('.')) {
            sizes.insert(size.to_owned(), of_size(size, &read)?);
        }
    }
    Ok(sizes)
}

/// The number that is all of a file; the file must be there.
fn number_in(read: impl Fn(&str) -> Result<Option<String>>, file: &str) -> Result<u64> {
    match read(file)? {
        Some(text) => number(file, &text),
        None => Err(Error::new(
            Kind::NotFound,
            STEP,
            format!("there is no {file}"),
        )),
    }
}

/// A number or `max`, `None`; also when there is no such file.
fn limit_in(read: impl Fn(&str) -> Result<Option<String>>, file: &str) -> Result<Option<u64>> {
    match read(file)? {
        Some(text) if text.trim() != "max" => number(file, &text).map(Some),
        _ => Ok(None),
    }
}

/// Negative numbers, however far below, count as zero: some files of v1 have them.
fn number(file: &str, text: &str) -> Result<u64> {
    let text = text.trim();
    let digits = text.strip_prefix('-').unwrap_or(text);
    let is_number = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    let value = match text.starts_with('-') {
        true => Some(0),
        false => text.parse().ok(),
    };
    value
        .filter(|_| is_number)
        .ok_or_else(|| malformed(file, text))
}

/// Lines of a word and a number.
fn keyed(file: &str, text: &str) -> Result<BTreeMap<String, u64>> {
    let mut map = BTreeMap::new();
    for line in text.lines() {
        let mut words = line.split_whitespace();
        let (Some(key), Some(value), None) = (words.next(), words.next(), words.next()) else {
            return Err(malformed(file, line));
        };
        map.insert(key.to_owned(), number(file, value)?);
    }
    Ok(map)
}

fn malformed(file: &str, text: &str) -> Error {
    Error::new(Kind::InvalidValue, STEP, format!("{file} has {text:?}"))
}

const STEP: &str = "read statistics";

#[cfg(test)]
mod tests {
    use super::*;

    /// A group with these files.
    pub(super) fn files<'f>(
        files: &'f [(&'f str, &'f str)],
    ) -> impl Fn(&str) -> Result<Option<String>> + Copy + 'f {
        move |wanted| {
            let found = files.iter().find(|(name, _)| *name == wanted);
            Ok(found.map(|(_, content)| (*content).to_owned()))
        }
    }

    #[test]
    fn numbers_are_read_as_the_seed_read_them() {
        for (text, expected) in [
            ("2048", Some(2048)),
            ("2048\n", Some(2048)),
            ("-12345", Some(0)),
            ("-9223372036854775809", Some(0)),
            ("18446744073709551615", Some(u64::MAX)),
            ("not-a-number", None),
            ("-", None),
            ("", None),
        ] {
            assert_eq!(number("f", text).ok(), expected, "{text:?}");
        }
        assert_eq!(
            number_in(files(&[]), "f").unwrap_err().kind(),
            Kind::NotFound
        );
    }

    #[test]
    fn pids_limit_may_be_none() {
        let read = pids(files(&[("pids.current", "3\n"), ("pids.max", "max\n")])).unwrap();
        assert_eq!(
            read,
            Some(PidsStats {
                current: 3,
                limit: None
            })
        );
        let read = pids(files(&[("pids.current", "3\n"), ("pids.max", "9\n")])).unwrap();
        assert_eq!(read.unwrap().limit, Some(9));
        assert_eq!(pids(files(&[])).unwrap(), None);
    }
}
