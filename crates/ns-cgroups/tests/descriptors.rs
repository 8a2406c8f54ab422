//! Handles and events leave no descriptor behind. Alone in its program: it counts all of them.

mod support;

use ns_cgroups::PressureLevel;
use ns_config::cgroup::Limit;

use support::{SOON, config, layouts, make};

fn count() -> usize {
    std::fs::read_dir("/proc/self/fd").map_or(0, Iterator::count)
}

/// Descriptors without close-on-exec.
fn inheritable() -> Vec<String> {
    let mut numbers = Vec::new();
    for entry in std::fs::read_dir("/proc/self/fdinfo")
        .into_iter()
        .flatten()
        .flatten()
    {
        let text = std::fs::read_to_string(entry.path()).unwrap_or_default();
        let flags = text.lines().find_map(|line| line.strip_prefix("flags:"));
        let flags = flags.and_then(|flags| u32::from_str_radix(flags.trim(), 8).ok());
        if flags.is_some_and(|flags| flags & 0o2_000_000 == 0) {
            numbers.push(entry.file_name().to_string_lossy().into_owned());
        }
    }
    numbers
}

#[test]
fn no_descriptor_is_left_or_inherited() {
    for layout in layouts() {
        let (before, inherited) = (count(), inheritable());
        let mut config = config();
        config.memory.limit_bytes = Some(Limit::Value(8 << 20));
        let Some(group) = make(&layout, "no_descriptor_is_left", &config) else {
            return;
        };
        let events = group.0.memory_events().expect("events");
        let pressure = group
            .0
            .memory_pressure(PressureLevel::Low)
            .expect("pressure");
        assert_eq!(inheritable(), inherited);
        group.0.stats().expect("stats");
        group.0.remove(SOON).expect("removal");
        drop((events, pressure, group));
        assert_eq!(count(), before);
    }
}
