//! Starting the stub from many threads; alone in its program, because it counts the descriptors of the process.
#![cfg(feature = "stub")]

mod started;

use ns_init::Launch;
use started::{command, run};

#[test]
fn a_thousand_starts_from_sixteen_threads_leak_no_descriptor() {
    let count = || std::fs::read_dir("/proc/self/fd").expect("procfs").count();
    // The sealed stub stays open from the first start on.
    assert_eq!(run(&command(&["true"]), &Launch::default()), 0);
    let before = count();
    std::thread::scope(|scope| {
        for _ in 0..16 {
            scope.spawn(|| {
                for _ in 0..63 {
                    assert_eq!(run(&command(&["true"]), &Launch::default()), 0);
                }
            });
        }
    });
    assert_eq!(count(), before);
}
