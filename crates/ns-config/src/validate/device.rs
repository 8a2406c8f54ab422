//! Device nodes.

use super::{Check, path};
use crate::{
    device::{Device, DeviceKind},
    error::{Kind, Problem},
    namespace::NamespaceKind,
    source::Setting,
};

impl Check<'_> {
    pub(super) fn devices(&mut self) {
        let devices = &self.config.devices;
        if let Some(first) = devices.first() {
            self.needs_new(NamespaceKind::Mount, Setting::Devices, &first.path);
        }
        for (device_idx, device) in devices.iter().enumerate() {
            let pointer = self.item(&device.pointer, Setting::Devices, device_idx);
            let earlier = &devices[..device_idx];
            let components = path::components(&device.path);
            if earlier
                .iter()
                .any(|other| path::components(&other.path) == components)
            {
                self.conflict(&pointer, &device.path, "is made twice", "one entry");
            }
            self.device_path(device, &pointer);
            self.device_numbers(device, &pointer);
        }
    }

    fn device_path(&mut self, device: &Device, pointer: &str) {
        let components = path::components(&device.path);
        let rule = path::fault(&device.path).or(match components.as_slice() {
            [] => Some("is the root itself"),
            ["proc" | "sys", ..] => Some("is in a file system of the kernel"),
            _ => None,
        });
        if let Some(rule) = rule {
            let pointer = self.key(pointer, "path", "path");
            let accepted = "an absolute path inside the container, e.g. /dev/fuse";
            self.invalid(&pointer, &device.path, rule, accepted);
        }
    }

    fn device_numbers(&mut self, device: &Device, pointer: &str) {
        let numbers = (device.major, device.minor);
        if device.major > Device::MAX_MAJOR || device.minor > Device::MAX_MINOR {
            let accepted = "major to 4095, minor to 1048575";
            self.invalid(pointer, numbers, "are not device numbers", accepted);
        }
        if device.kind == DeviceKind::Fifo && numbers != (0, 0) {
            self.conflict(
                pointer,
                numbers,
                "are numbers of a pipe, which has none",
                "0 and 0",
            );
        }
        let is_null = device.kind == DeviceKind::Char && numbers == (1, 3);
        if path::components(&device.path) == ["dev", "null"] && !is_null {
            let rule = "is another device at /dev/null";
            let problem = Problem::new(Kind::Hostile, pointer, numbers, rule);
            self.note(problem.accepted("character device 1:3"));
        }
        if device.mode > 0o777 {
            let pointer = self.key(pointer, "file_mode", "fileMode");
            let accepted = "permission bits, at most 511 (0777)";
            self.invalid(
                &pointer,
                device.mode,
                "has more than permission bits",
                accepted,
            );
        }
        for (id, key) in [(device.uid, "uid"), (device.gid, "gid")] {
            if id == u32::MAX {
                let pointer = self.key(pointer, key, key);
                self.invalid(&pointer, id, "is not an id", "0 to 4294967294");
            }
        }
    }
}
