//! Block devices.

use ns_config::stats::{BlkioEntry, BlkioStats};

use super::{malformed, number};
use crate::error::Result;

/// The files of the CFQ scheduler when they have something, else those of the throttling layer,
/// which count what passed it.
pub(super) fn legacy(read: impl Fn(&str) -> Result<Option<String>>) -> Result<BlkioStats> {
    let entries = |file: &str| entries(file, &read(file)?.unwrap_or_default());
    let serviced = entries("blkio.io_serviced_recursive")?;
    if serviced.is_empty() {
        let throttled = |name: &str| {
            let recursive = entries(&format!("blkio.throttle.{name}_recursive"))?;
            match recursive.is_empty() {
                true => entries(&format!("blkio.throttle.{name}")),
                false => Ok(recursive),
            }
        };
        return Ok(BlkioStats {
            io_service_bytes_recursive: throttled("io_service_bytes")?,
            io_serviced_recursive: throttled("io_serviced")?,
            ..BlkioStats::default()
        });
    }
    Ok(BlkioStats {
        io_serviced_recursive: serviced,
        io_service_bytes_recursive: entries("blkio.io_service_bytes_recursive")?,
        io_queue_recursive: entries("blkio.io_queued_recursive")?,
        io_service_time_recursive: entries("blkio.io_service_time_recursive")?,
        io_wait_time_recursive: entries("blkio.io_wait_time_recursive")?,
        io_merged_recursive: entries("blkio.io_merged_recursive")?,
        io_time_recursive: entries("blkio.time_recursive")?,
        sectors_recursive: entries("blkio.sectors_recursive")?,
    })
}

/// `8:0 rbytes=1 wbytes=2 rios=3 wios=4 dbytes=5 dios=6`
pub(super) fn unified(read: impl Fn(&str) -> Result<Option<String>>) -> Result<BlkioStats> {
    let mut stats = BlkioStats::default();
    for line in read("io.stat")?.unwrap_or_default().lines() {
        let mut words = line.split_whitespace();
        let Some((major, minor)) = words.next().and_then(|device| device.split_once(':')) else {
            return Err(malformed("io.stat", line));
        };
        for word in words {
            let (key, value) = word
                .split_once('=')
                .ok_or_else(|| malformed("io.stat", line))?;
            let (list, op) = match key {
                "rbytes" => (&mut stats.io_service_bytes_recursive, "Read"),
                "wbytes" => (&mut stats.io_service_bytes_recursive, "Write"),
                "dbytes" => (&mut stats.io_service_bytes_recursive, "Discard"),
                "rios" => (&mut stats.io_serviced_recursive, "Read"),
                "wios" => (&mut stats.io_serviced_recursive, "Write"),
                "dios" => (&mut stats.io_serviced_recursive, "Discard"),
                // Of cost models and latency targets.
                _ => continue,
            };
            list.push(BlkioEntry {
                major: number("io.stat", major)?,
                minor: number("io.stat", minor)?,
                op: op.to_owned(),
                value: number("io.stat", value)?,
            });
        }
    }
    Ok(stats)
}

/// `8:0 Read 100`, or `8:0 100`; a line `Total 500` is a sum.
fn entries(file: &str, text: &str) -> Result<Vec<BlkioEntry>> {
    let mut entries = Vec::new();
    for line in text.lines() {
        let words: Vec<&str> = line.split([' ', ':']).collect();
        let (major, minor, op, value) = match words[..] {
            ["Total", _] => continue,
            [major, minor, value] => (major, minor, "", value),
            [major, minor, op, value] => (major, minor, op, value),
            _ => return Err(malformed(file, line)),
        };
        entries.push(BlkioEntry {
            major: number(file, major)?,
            minor: number(file, minor)?,
            op: op.to_owned(),
            value: number(file, value)?,
        });
    }
    Ok(entries)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stats::tests::files;

    const SECTORS: &str = "8:0 1024";
    const OPS: &str =
        "8:0 Read 100\n8:0 Write 200\n8:0 Sync 300\n8:0 Async 500\n8:0 Total 500\nTotal 500";
    const GROUP: [(&str, &str); 8] = [
        ("blkio.io_service_bytes_recursive", OPS),
        ("blkio.io_serviced_recursive", OPS),
        ("blkio.io_queued_recursive", OPS),
        ("blkio.io_service_time_recursive", OPS),
        ("blkio.io_wait_time_recursive", OPS),
        ("blkio.io_merged_recursive", OPS),
        ("blkio.time_recursive", SECTORS),
        ("blkio.sectors_recursive", SECTORS),
    ];

    fn entry(op: &str, value: u64) -> BlkioEntry {
        BlkioEntry {
            major: 8,
            minor: 0,
            op: op.to_owned(),
            value,
        }
    }

    #[test]
    fn eight_files_of_cfq_are_read() {
        let stats = legacy(files(&GROUP)).unwrap();
        let ops = [
            entry("Read", 100),
            entry("Write", 200),
            entry("Sync", 300),
            entry("Async", 500),
            entry("Total", 500),
        ];
        assert_eq!(stats.io_service_bytes_recursive, ops);
        assert_eq!(stats.io_serviced_recursive, ops);
        assert_eq!(stats.io_queue_recursive, ops);
        assert_eq!(stats.io_service_time_recursive, ops);
        assert_eq!(stats.io_wait_time_recursive, ops);
        assert_eq!(stats.io_merged_recursive, ops);
        assert_eq!(stats.io_time_recursive, [entry("", 1024)]);
        assert_eq!(stats.sectors_recursive, [entry("", 1024)]);
    }

    #[test]
    fn each_missing_file_is_no_error() {
        for (missing, _) in GROUP {
            let group: Vec<_> = GROUP
                .into_iter()
                .filter(|(name, _)| *name != missing)
                .collect();
            assert!(legacy(files(&group)).is_ok(), "{missing}");
        }
    }

    #[test]
    fn unexpected_fields_are_errors() {
        for content in ["8:0 Read 100 100", "8:0 Read Write", "8:0", "x:0 Read 1"] {
            let group = [("blkio.io_serviced_recursive", content)];
            assert!(legacy(files(&group)).is_err(), "{content:?}");
        }
    }

    #[test]
    fn throttling_files_stand_in_for_empty_ones_of_cfq() {
        let two = "8:0 Read 1\n8:0 Total 1\n252:0 Read 2\n252:0 Total 2\nTotal 3\n";
        let group = [
            ("blkio.io_serviced_recursive", ""),
            ("blkio.throttle.io_serviced", two),
            ("blkio.throttle.io_service_bytes", two),
        ];
        let stats = legacy(files(&group)).unwrap();
        assert_eq!(stats.io_serviced_recursive.len(), 4);
        assert_eq!(stats.io_service_bytes_recursive[2].major, 252);
    }

    #[test]
    fn io_stat_gives_bytes_and_requests() {
        let text = "8:0 rbytes=1 wbytes=2 rios=3 wios=4 dbytes=5 dios=6 cost.usage=7\n254:1 \n";
        let stats = unified(files(&[("io.stat", text)])).unwrap();
        let bytes = [entry("Read", 1), entry("Write", 2), entry("Discard", 5)];
        assert_eq!(stats.io_service_bytes_recursive, bytes);
        assert_eq!(stats.io_serviced_recursive[1], entry("Write", 4));
    }
}
