//! Processor time.

use nix::unistd::{SysconfVar, sysconf};
use ns_config::stats::{CpuStats, CpuUsage, ThrottlingData};

use super::{keyed, malformed, number, number_in};
use crate::error::Result;

/// The unit of `cpuacct.stat`.
pub(super) fn ticks_per_second() -> u64 {
    let ticks = sysconf(SysconfVar::CLK_TCK).ok().flatten();
    ticks
        .and_then(|ticks| u64::try_from(ticks).ok())
        .unwrap_or(100)
        .max(1)
}

pub(super) fn legacy_usage(
    read: impl Fn(&str) -> Result<Option<String>>,
    ticks_per_second: u64,
) -> Result<CpuUsage> {
    let stat = read("cpuacct.stat")?.unwrap_or_default();
    let words: Vec<&str> = stat.split_whitespace().collect();
    let ["user", user, "system", system] = words[..] else {
        return Err(malformed("cpuacct.stat", &stat));
    };
    let nanoseconds = |ticks| Ok(number("cpuacct.stat", ticks)? * 1_000_000_000 / ticks_per_second);
    let percpu = read("cpuacct.usage_percpu")?.unwrap_or_default();
    let percpu = percpu
        .split_whitespace()
        .map(|usage| number("cpuacct.usage_percpu", usage));
    Ok(CpuUsage {
        total_usage: number_in(&read, "cpuacct.usage")?,
        percpu_usage: percpu.collect::<Result<_>>()?,
        usage_in_kernelmode: nanoseconds(system)?,
        usage_in_usermode: nanoseconds(user)?,
    })
}

/// No file is no limit.
pub(super) fn legacy_throttling(
    read: impl Fn(&str) -> Result<Option<String>>,
) -> Result<ThrottlingData> {
    let stat = keyed("cpu.stat", &read("cpu.stat")?.unwrap_or_default())?;
    let value = |key: &str| stat.get(key).copied().unwrap_or(0);
    Ok(ThrottlingData {
        periods: value("nr_periods"),
        throttled_periods: value("nr_throttled"),
        throttled_time: value("throttled_time"),
    })
}

pub(super) fn unified(read: impl Fn(&str) -> Result<Option<String>>) -> Result<CpuStats> {
    let stat = keyed("cpu.stat", &read("cpu.stat")?.unwrap_or_default())?;
    let value = |key: &str| stat.get(key).copied().unwrap_or(0);
    let nanoseconds = |key: &str| value(key).saturating_mul(1000);
    Ok(CpuStats {
        cpu_usage: CpuUsage {
            total_usage: nanoseconds("usage_usec"),
            percpu_usage: Vec::new(),
            usage_in_kernelmode: nanoseconds("system_usec"),
            usage_in_usermode: nanoseconds("user_usec"),
        },
        throttling_data: ThrottlingData {
            periods: value("nr_periods"),
            throttled_periods: value("nr_throttled"),
            throttled_time: nanoseconds("throttled_usec"),
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stats::tests::files;

    #[test]
    fn cpu_stat_gives_throttling() {
        let stat = "nr_periods 2000\nnr_throttled 200\nthrottled_time 18446744073709551615\n";
        let expected = ThrottlingData {
            periods: 2000,
            throttled_periods: 200,
            throttled_time: u64::MAX,
        };
        assert_eq!(
            legacy_throttling(files(&[("cpu.stat", stat)])).unwrap(),
            expected
        );
    }

    #[test]
    fn no_cpu_stat_is_no_error_and_a_bad_one_is() {
        assert_eq!(
            legacy_throttling(files(&[])).unwrap(),
            ThrottlingData::default()
        );
        let stat = "nr_periods 2000\nnr_throttled 200\nthrottled_time fortytwo";
        assert!(legacy_throttling(files(&[("cpu.stat", stat)])).is_err());
    }

    #[test]
    fn cpuacct_is_in_nanoseconds() {
        let mut group = [
            ("cpuacct.usage", "12262454190222160\n"),
            (
                "cpuacct.usage_percpu",
                "1564936537989058 1583937096487821 \n",
            ),
            ("cpuacct.stat", "user 452278264\nsystem 291429664\n"),
        ];
        let usage = legacy_usage(files(&group), 100).unwrap();
        assert_eq!(usage.total_usage, 12_262_454_190_222_160);
        assert_eq!(
            usage.percpu_usage,
            [1_564_936_537_989_058, 1_583_937_096_487_821]
        );
        assert_eq!(usage.usage_in_usermode, 4_522_782_640_000_000);
        assert_eq!(usage.usage_in_kernelmode, 2_914_296_640_000_000);
        group[2].1 = "user 452278264\nsystem 291429664\nmore 1\n";
        assert!(legacy_usage(files(&group), 100).is_err());
    }

    #[test]
    fn unified_times_are_in_nanoseconds() {
        let stat = "usage_usec 7\nuser_usec 4\nsystem_usec 3\nnr_periods 2\nnr_throttled 1\n\
                    throttled_usec 5\nnr_bursts 0\nburst_usec 0\n";
        let cpu = unified(files(&[("cpu.stat", stat)])).unwrap();
        assert_eq!(cpu.cpu_usage.total_usage, 7000);
        assert_eq!(cpu.throttling_data.throttled_time, 5000);
    }
}
