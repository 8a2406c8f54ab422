//! Memory and swap.

use ns_config::stats::MemoryStats;

use super::{keyed, limit_in, number, number_in};
use crate::error::Result;

/// Swap, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SwapStats {
    /// In use, without memory.
    pub usage_bytes: u64,
    /// How much may be in use without memory; `None` is no limit.
    pub limit_bytes: Option<u64>,
}

/// How often memory limits were met.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MemoryCounters {
    /// `memory.low` was not kept (v2).
    pub low: u64,
    /// `memory.high` was passed (v2).
    pub high: u64,
    /// The limit was met.
    pub max: u64,
    /// No memory was left below the limit (v2).
    pub oom: u64,
    /// Processes were killed for it.
    pub oom_kill: u64,
}

/// No `memory.stat` means that the group counts no memory.
pub(super) fn legacy(read: impl Fn(&str) -> Result<Option<String>>) -> Result<MemoryStats> {
    let Some(stat) = read("memory.stat")? else {
        return Ok(MemoryStats::default());
    };
    Ok(MemoryStats {
        stats: keyed("memory.stat", &stat)?,
        usage: number_in(&read, "memory.usage_in_bytes")?,
        max_usage: number_in(&read, "memory.max_usage_in_bytes")?,
        failcnt: number_in(&read, "memory.failcnt")?,
    })
}

/// v1 counts memory and swap together.
pub(super) fn legacy_swap(
    read: impl Fn(&str) -> Result<Option<String>>,
) -> Result<Option<SwapStats>> {
    const BOTH: &str = "memory.memsw.usage_in_bytes";
    let Some(both) = read(BOTH)? else {
        return Ok(None);
    };
    let both = number(BOTH, &both)?;
    let limit = number_in(&read, "memory.memsw.limit_in_bytes")?;
    let memory_limit = number_in(&read, "memory.limit_in_bytes")?;
    Ok(Some(SwapStats {
        usage_bytes: both.saturating_sub(number_in(&read, "memory.usage_in_bytes")?),
        limit_bytes: (limit < LEGACY_NO_LIMIT).then(|| limit.saturating_sub(memory_limit)),
    }))
}

pub(super) fn legacy_counters(
    read: impl Fn(&str) -> Result<Option<String>>,
) -> Result<Option<MemoryCounters>> {
    let Some(control) = read("memory.oom_control")? else {
        return Ok(None);
    };
    let control = keyed("memory.oom_control", &control)?;
    Ok(Some(MemoryCounters {
        max: number_in(&read, "memory.failcnt")?,
        oom_kill: control.get("oom_kill").copied().unwrap_or(0),
        ..MemoryCounters::default()
    }))
}

pub(super) fn unified(read: impl Fn(&str) -> Result<Option<String>>) -> Result<MemoryStats> {
    let Some(stat) = read("memory.stat")? else {
        return Ok(MemoryStats::default());
    };
    // KERNEL(5.19): memory.peak.
    Ok(MemoryStats {
        stats: keyed("memory.stat", &stat)?,
        usage: number_in(&read, "memory.current")?,
        max_usage: limit_in(&read, "memory.peak")?.unwrap_or(0),
        failcnt: unified_counters(&read)?.unwrap_or_default().max,
    })
}

pub(super) fn unified_swap(
    read: impl Fn(&str) -> Result<Option<String>>,
) -> Result<Option<SwapStats>> {
    const CURRENT: &str = "memory.swap.current";
    let Some(current) = read(CURRENT)? else {
        return Ok(None);
    };
    Ok(Some(SwapStats {
        usage_bytes: number(CURRENT, &current)?,
        limit_bytes: limit_in(&read, "memory.swap.max")?,
    }))
}

pub(super) fn unified_counters(
    read: impl Fn(&str) -> Result<Option<String>>,
) -> Result<Option<MemoryCounters>> {
    let text = read("memory.events")?;
    text.map(|text| MemoryCounters::from_events(&text))
        .transpose()
}

impl MemoryCounters {
    /// The content of `memory.events`.
    pub(crate) fn from_events(text: &str) -> Result<Self> {
        let events = keyed("memory.events", text)?;
        let value = |key: &str| events.get(key).copied().unwrap_or(0);
        Ok(MemoryCounters {
            low: value("low"),
            high: value("high"),
            max: value("max"),
            oom: value("oom"),
            oom_kill: value("oom_kill"),
        })
    }
}

/// The largest number of pages, in bytes; page sizes round it down by less than this leaves.
const LEGACY_NO_LIMIT: u64 = 0x7fff_ffff_fff0_0000;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{error::Kind, stats::tests::files};

    const GROUP: [(&str, &str); 4] = [
        ("memory.stat", "cache 512\nrss 1024"),
        ("memory.usage_in_bytes", "2048\n"),
        ("memory.max_usage_in_bytes", "4096\n"),
        ("memory.failcnt", "100\n"),
    ];

    fn without(name: &str) -> Vec<(&'static str, &'static str)> {
        GROUP
            .into_iter()
            .filter(|(file, _)| *file != name)
            .collect()
    }

    fn with(name: &'static str, content: &'static str) -> Vec<(&'static str, &'static str)> {
        let mut group = without(name);
        group.push((name, content));
        group
    }

    #[test]
    fn memory_files_of_the_original_test_are_read() {
        let stats = legacy(files(&GROUP)).unwrap();
        assert_eq!(
            (stats.usage, stats.max_usage, stats.failcnt),
            (2048, 4096, 100)
        );
        assert_eq!((stats.stats["cache"], stats.stats["rss"]), (512, 1024));
    }

    #[test]
    fn no_stat_file_is_empty_and_other_missing_files_are_errors() {
        let stats = legacy(files(&without("memory.stat"))).unwrap();
        assert_eq!(stats, MemoryStats::default());
        for file in [
            "memory.usage_in_bytes",
            "memory.max_usage_in_bytes",
            "memory.failcnt",
        ] {
            let error = legacy(files(&without(file))).unwrap_err();
            assert_eq!(error.kind(), Kind::NotFound, "{file}");
        }
    }

    #[test]
    fn bad_numbers_are_errors() {
        for (file, content) in [
            ("memory.stat", "rss rss"),
            ("memory.usage_in_bytes", "bad"),
            ("memory.max_usage_in_bytes", "bad"),
        ] {
            let error = legacy(files(&with(file, content))).unwrap_err();
            assert_eq!(error.kind(), Kind::InvalidValue, "{file}");
        }
    }

    #[test]
    fn unified_memory_has_the_same_meaning() {
        let group = [
            ("memory.stat", "anon 1\nfile 2\n"),
            ("memory.current", "3\n"),
            ("memory.peak", "4\n"),
            (
                "memory.events",
                "low 0\nhigh 0\nmax 5\noom 1\noom_kill 1\noom_group_kill 0\n",
            ),
            ("memory.swap.current", "6\n"),
            ("memory.swap.max", "max\n"),
        ];
        let stats = unified(files(&group)).unwrap();
        assert_eq!((stats.usage, stats.max_usage, stats.failcnt), (3, 4, 5));
        let swap = unified_swap(files(&group)).unwrap().unwrap();
        assert_eq!((swap.usage_bytes, swap.limit_bytes), (6, None));
    }

    #[test]
    fn swap_of_v1_is_what_memory_leaves_of_both() {
        let group = [
            ("memory.memsw.usage_in_bytes", "100\n"),
            ("memory.memsw.limit_in_bytes", "1000\n"),
            ("memory.usage_in_bytes", "90\n"),
            ("memory.limit_in_bytes", "800\n"),
        ];
        let swap = legacy_swap(files(&group)).unwrap().unwrap();
        assert_eq!((swap.usage_bytes, swap.limit_bytes), (10, Some(200)));
    }
}
