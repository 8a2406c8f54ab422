//! Which controllers the tests' groups can have.

use ns_cgroups::{Hierarchy, Layout};

/// Whether groups can have limits of this controller here, in whichever version it is mounted.
#[must_use]
pub fn has_controller(name: &str) -> bool {
    let layout = Layout::detect().expect("a layout");
    let on_v2 = |unified: &Hierarchy| {
        let path = format!("{}/cgroup.controllers", unified.mount_point());
        let all = std::fs::read_to_string(path).unwrap_or_default();
        all.split_whitespace().any(|own| own == name)
    };
    layout.legacy(name).is_some() || layout.unified().is_some_and(on_v2)
}
