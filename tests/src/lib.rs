//! What the tests of whole starts share: needs and loud skips, running `nsrun`, root file systems, terminals, and a
//! census that shows what a start has left behind.
//!
//! A test begins with [`needs!`], which gives a [`Test`]: a directory of its own, the census before, and the rights it
//! runs with. When the test is dropped the census is taken again; what is new is a leak and fails the test.
#![allow(
    clippy::missing_panics_doc,
    clippy::panic,
    reason = "a panic is how a test fails, and every function here can"
)]

mod begin;
mod busybox;
mod canary;
mod census;
mod container_json;
mod controller;
mod host;
pub mod hostile;
mod nsrun;
mod pty;
mod strace;
pub mod tracer;
mod waiting;

pub use begin::{Need, PLAIN_ID, Rights, Test, in_variant};
pub use busybox::Busybox;
pub use canary::Canary;
pub use census::{Census, reap_orphans, wait_for_orphans};
pub use container_json::{container_json, map_own_ids, write_json};
pub use controller::has_controller;
pub use host::Host;
pub use nsrun::{Invocation, Output, Running, path as nsrun_path};
pub use pty::Pty;
pub use strace::{STRACE, has_strace};
pub use waiting::Waiting;

/// Begins a test with what it needs, or skips it loudly and returns from the calling function.
///
/// Needs: `root`; `plain` (a plain user, to run `nsrun` as); `user_namespace`; `busybox`; `cgroup`.
///
/// # Examples
/// ```
/// fn busybox_starts() {
///     let test = ns_tests::needs!(root, busybox);
///     let output = test.nsrun(["sandbox", "--", "true"]).run();
///     assert_eq!(output.code, 0);
/// }
/// ```
#[macro_export]
macro_rules! needs {
    ($($need:ident),* $(,)?) => {{
        fn here() {}
        match $crate::Test::begin(std::any::type_name_of_val(&here), &[$($crate::Need::$need),*]) {
            Some(test) => test,
            None => return,
        }
    }};
}

/// Makes two tests of each function that takes a [`Test`]: `NAME::root` and `NAME::rootless`.
#[macro_export]
macro_rules! variants {
    ($($name:ident),* $(,)?) => {
        $(
            mod $name {
                #[test]
                fn root() {
                    $crate::in_variant(concat!(stringify!($name), "::root"), $crate::Rights::Root, super::$name);
                }
                #[test]
                fn rootless() {
                    $crate::in_variant(concat!(stringify!($name), "::rootless"), $crate::Rights::Plain, super::$name);
                }
            }
        )*
    };
}

/// Holds the page of the seed to what compiles.
#[cfg(doctest)]
#[doc = include_str!("../../docs/seed.md")]
struct SeedPage;
