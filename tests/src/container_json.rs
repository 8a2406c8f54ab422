//! Configurations in the form of the seed.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};

/// The template of the original integration tests, without its control group: 14 capabilities, five namespaces,
/// loopback, 1024 descriptors.
#[must_use]
pub fn container_json(rootfs: &Path) -> Value {
    json!({
        "root_fs": rootfs,
        "hostname": "integration",
        "environment": ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "TERM=xterm"],
        "namespaces": [
            {"type": "NEWNS"}, {"type": "NEWUTS"}, {"type": "NEWIPC"}, {"type": "NEWPID"}, {"type": "NEWNET"}
        ],
        "capabilities": [
            "CHOWN", "DAC_OVERRIDE", "FSETID", "FOWNER", "MKNOD", "NET_RAW", "SETGID", "SETUID", "SETFCAP",
            "SETPCAP", "NET_BIND_SERVICE", "SYS_CHROOT", "KILL", "AUDIT_WRITE"
        ],
        "networks": [{"type": "loopback", "address": "127.0.0.1/0", "gateway": "localhost", "mtu": 1500}],
        "rlimits": [{"type": 7, "hard": 1024, "soft": 1024}],
    })
}

/// Adds a user namespace in which root is this user of the host, which takes no rights.
pub fn map_own_ids(config: &mut Value, (uid, gid): (u32, u32)) {
    let namespaces = config["namespaces"]
        .as_array_mut()
        .expect("a list of namespaces");
    namespaces.push(json!({"type": "NEWUSER"}));
    config["uid_mappings"] = json!([{"container_id": 0, "host_id": uid, "size": 1}]);
    config["gid_mappings"] = json!([{"container_id": 0, "host_id": gid, "size": 1}]);
}

/// Writes it as `container.json` in a directory, over an earlier one.
#[must_use]
pub fn write_json(directory: &Path, config: &Value) -> PathBuf {
    let path = directory.join("container.json");
    std::fs::write(&path, config.to_string()).expect("write container.json");
    path
}
