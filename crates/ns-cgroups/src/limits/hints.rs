//! What a refusal of a limit means, where its error number does not say it.

use nix::errno::Errno;

use crate::dir::Dir;

pub(super) fn hint(dir: &Dir, file: &str, errno: Errno) -> Option<String> {
    let hint = match (file, errno) {
        ("memory.memsw.limit_in_bytes" | "memory.swap.max", Errno::ENOENT) => {
            "the kernel does not account swap; leave the swap limit out, or boot with swapaccount=1"
        }
        ("memory.limit_in_bytes" | "memory.memsw.limit_in_bytes", Errno::EBUSY) => {
            "the group uses more than that, and it could not be freed"
        }
        ("memory.limit_in_bytes" | "memory.memsw.limit_in_bytes", Errno::EINVAL) => {
            "the limit with swap must not be below the one without; set both"
        }
        (
            "cpuset.cpus" | "cpuset.mems",
            Errno::EINVAL | Errno::EACCES | Errno::ERANGE | Errno::ENOSPC,
        ) => {
            return Some(cpuset_hint(dir, file));
        }
        ("cpu.rt_runtime_us" | "cpu.rt_period_us", Errno::EINVAL | Errno::EBUSY) => {
            "every group above must have real-time time to give: see their cpu.rt_runtime_us"
        }
        ("cpu.cfs_quota_us" | "cpu.cfs_period_us" | "cpu.max", Errno::EINVAL) => {
            "1000 to 1000000 microseconds, and not more per period than the group above has"
        }
        ("cpu.cfs_burst_us" | "cpu.max.burst", Errno::EINVAL) => {
            "at most the quota, and only with one"
        }
        ("cpu.shares" | "cpu.weight", Errno::EINVAL) => "a group that is idle has no weight",
        ("rdma.max", Errno::EINVAL | Errno::ENODEV) => {
            "no such RDMA device; they are in /sys/class/infiniband"
        }
        ("misc.max", Errno::EINVAL) => {
            "no such resource; they are in misc.capacity of the root group"
        }
        (_, Errno::ENODEV) => "no such block device; they are in /proc/partitions",
        (_, Errno::ENOENT) if file.starts_with("hugetlb.") => {
            "no huge pages of this size; the sizes are in /sys/kernel/mm/hugepages"
        }
        (_, Errno::ENOENT) if file.contains("weight") => {
            "no I/O scheduler with weights is built into the kernel, or none is in use"
        }
        (_, Errno::ENOENT) => "this kernel has no such setting",
        (_, Errno::EACCES | Errno::EPERM) => "this file is not delegated to this user",
        (_, Errno::EROFS) => "the cgroup file system is mounted read-only",
        _ => return None,
    };
    Some(hint.to_owned())
}

fn cpuset_hint(dir: &Dir, file: &str) -> String {
    let kind = file.trim_start_matches("cpuset.");
    let legacy = format!("cpuset.effective_{kind}");
    let unified = format!("cpuset.{kind}.effective");
    let available = [&unified, &legacy]
        .into_iter()
        .find_map(|file| dir.read(file).ok());
    match available {
        Some(list) if !list.trim().is_empty() => format!("this group may use {}", list.trim()),
        _ => "must be a part of what the group above has".to_owned(),
    }
}
