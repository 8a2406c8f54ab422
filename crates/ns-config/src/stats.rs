//! Resource usage, in the JSON of the seed's `nsinit stats`.
//!
//! Zero numbers and empty lists are left out where the seed left them out, and default when read.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// What `nsinit stats` prints.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ContainerStats {
    /// Traffic of the container's interface, as the container sees it.
    pub network_stats: NetworkStats,
    /// Usage of the control group.
    pub cgroup_stats: CgroupStats,
}

/// Traffic since the interface was made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct NetworkStats {
    /// Bytes received.
    pub rx_bytes: u64,
    /// Packets received.
    pub rx_packets: u64,
    /// Errors while receiving.
    pub rx_errors: u64,
    /// Received packets dropped.
    pub rx_dropped: u64,
    /// Bytes sent.
    pub tx_bytes: u64,
    /// Packets sent.
    pub tx_packets: u64,
    /// Errors while sending.
    pub tx_errors: u64,
    /// Sent packets dropped.
    pub tx_dropped: u64,
}

/// Usage of a control group.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct CgroupStats {
    /// Processor time.
    #[serde(skip_serializing_if = "is_default")]
    pub cpu_stats: CpuStats,
    /// Memory.
    #[serde(skip_serializing_if = "is_default")]
    pub memory_stats: MemoryStats,
    /// Block devices.
    #[serde(skip_serializing_if = "is_default")]
    pub blkio_stats: BlkioStats,
}

/// Processor time.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct CpuStats {
    /// Time used.
    #[serde(skip_serializing_if = "is_default")]
    pub cpu_usage: CpuUsage,
    /// Time denied.
    #[serde(skip_serializing_if = "is_default")]
    pub throttling_data: ThrottlingData,
}

/// Processor time used, in nanoseconds.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct CpuUsage {
    /// All processors together.
    #[serde(skip_serializing_if = "is_default")]
    pub total_usage: u64,
    /// By processor.
    #[serde(skip_serializing_if = "is_default")]
    pub percpu_usage: Vec<u64>,
    /// Inside the kernel.
    pub usage_in_kernelmode: u64,
    /// Outside of it.
    pub usage_in_usermode: u64,
}

/// What the quota did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ThrottlingData {
    /// Periods that have passed.
    #[serde(skip_serializing_if = "is_default")]
    pub periods: u64,
    /// Periods in which the quota was used up.
    #[serde(skip_serializing_if = "is_default")]
    pub throttled_periods: u64,
    /// Time waited for the next period, in nanoseconds.
    #[serde(skip_serializing_if = "is_default")]
    pub throttled_time: u64,
}

/// Memory, in bytes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct MemoryStats {
    /// In use.
    #[serde(skip_serializing_if = "is_default")]
    pub usage: u64,
    /// Most ever in use.
    #[serde(skip_serializing_if = "is_default")]
    pub max_usage: u64,
    /// Every line of `memory.stat`.
    #[serde(skip_serializing_if = "is_default")]
    pub stats: BTreeMap<String, u64>,
    /// How often the limit was hit.
    pub failcnt: u64,
}

/// Block devices. The key of the queue is `io_queue_recursive`, as the seed wrote it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct BlkioStats {
    /// Bytes transferred.
    #[serde(skip_serializing_if = "is_default")]
    pub io_service_bytes_recursive: Vec<BlkioEntry>,
    /// Requests done.
    #[serde(skip_serializing_if = "is_default")]
    pub io_serviced_recursive: Vec<BlkioEntry>,
    /// Requests waiting.
    #[serde(skip_serializing_if = "is_default")]
    pub io_queue_recursive: Vec<BlkioEntry>,
    /// Time from dispatch to completion, in nanoseconds.
    #[serde(skip_serializing_if = "is_default")]
    pub io_service_time_recursive: Vec<BlkioEntry>,
    /// Time waiting in queues, in nanoseconds.
    #[serde(skip_serializing_if = "is_default")]
    pub io_wait_time_recursive: Vec<BlkioEntry>,
    /// Requests merged.
    #[serde(skip_serializing_if = "is_default")]
    pub io_merged_recursive: Vec<BlkioEntry>,
    /// Time with the device, in milliseconds.
    #[serde(skip_serializing_if = "is_default")]
    pub io_time_recursive: Vec<BlkioEntry>,
    /// Sectors transferred.
    #[serde(skip_serializing_if = "is_default")]
    pub sectors_recursive: Vec<BlkioEntry>,
}

/// One number about one block device.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct BlkioEntry {
    /// Major number.
    #[serde(skip_serializing_if = "is_default")]
    pub major: u64,
    /// Minor number.
    #[serde(skip_serializing_if = "is_default")]
    pub minor: u64,
    /// Operation, e.g. `Read`; empty for files that have none.
    #[serde(skip_serializing_if = "is_default")]
    pub op: String,
    /// The number.
    #[serde(skip_serializing_if = "is_default")]
    pub value: u64,
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stats_of_nothing_print_what_the_seed_always_printed() {
        let text = serde_json::to_string(&ContainerStats::default()).unwrap();
        assert_eq!(
            text,
            "{\"network_stats\":{\"rx_bytes\":0,\"rx_packets\":0,\"rx_errors\":0,\"rx_dropped\":0,\
             \"tx_bytes\":0,\"tx_packets\":0,\"tx_errors\":0,\"tx_dropped\":0},\"cgroup_stats\":{}}"
        );
    }

    #[test]
    fn stats_leave_out_zeros_but_for_the_marked_keys() {
        let mut stats = CgroupStats::default();
        stats.cpu_stats.cpu_usage.total_usage = 7;
        stats.memory_stats.usage = 2048;
        stats.blkio_stats.io_queue_recursive.push(BlkioEntry {
            major: 8,
            op: "Read".to_owned(),
            value: 3,
            ..BlkioEntry::default()
        });
        let text = serde_json::to_string(&stats).unwrap();
        assert_eq!(
            text,
            "{\"cpu_stats\":{\"cpu_usage\":{\"total_usage\":7,\"usage_in_kernelmode\":0,\
             \"usage_in_usermode\":0}},\"memory_stats\":{\"usage\":2048,\"failcnt\":0},\
             \"blkio_stats\":{\"io_queue_recursive\":[{\"major\":8,\"op\":\"Read\",\"value\":3}]}}"
        );
        assert_eq!(serde_json::from_str::<CgroupStats>(&text).unwrap(), stats);
    }
}
