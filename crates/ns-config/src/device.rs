//! Device nodes, and the rules of the device controller.

use std::fmt;

use serde::{Deserialize, Serialize};

/// What kind of node is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum DeviceKind {
    /// A character device (`c`, also `u`).
    Char,
    /// A block device (`b`).
    Block,
    /// A named pipe (`p`); it has no numbers.
    Fifo,
}

/// One device node below the container's root.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Device {
    /// What kind of node. Seed key: `type`, the code of the character (99 is `c`).
    pub kind: DeviceKind,
    /// Absolute path inside the container, without `..`. Seed key: `path`.
    pub path: String,
    /// Major number, 12 bits. Seed key: `major_number`.
    pub major: u32,
    /// Minor number, 20 bits. Seed key: `minor_number`.
    pub minor: u32,
    /// Permission bits. Seed key: `file_mode`, decimal.
    pub mode: u32,
    /// Owner inside the container. Seed key: `uid`.
    pub uid: u32,
    /// Group inside the container. Seed key: `gid`.
    pub gid: u32,
    /// Where it was configured.
    pub pointer: String,
}

/// Which kind of device a rule is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum DeviceRuleKind {
    /// Both.
    All,
    /// Character devices.
    Char,
    /// Block devices.
    Block,
}

/// What a rule allows or denies; no switch set means that the rule does nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct DeviceAccess {
    /// `r`.
    pub read: bool,
    /// `w`.
    pub write: bool,
    /// `m`: make nodes.
    pub mknod: bool,
}

/// One rule of the device controller; the last one that matches decides.
///
/// # Examples
/// ```
/// use ns_config::DeviceRule;
///
/// assert_eq!(DeviceRule::default_allowed()[0].to_string(), "c *:* m");
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeviceRule {
    /// Whether it allows or denies.
    pub allow: bool,
    /// Which kind of device.
    pub kind: DeviceRuleKind,
    /// Major number; `None` is any.
    pub major: Option<u32>,
    /// Minor number; `None` is any.
    pub minor: Option<u32>,
    /// What is allowed or denied.
    pub access: DeviceAccess,
    /// The node that the rule was written for. Says nothing to the kernel; empty when unknown.
    pub path: String,
    /// Permission bits of that node, 0 when unknown.
    pub mode: u32,
    /// Owner of that node.
    pub uid: u32,
    /// Group of that node.
    pub gid: u32,
    /// Where it was configured.
    pub pointer: String,
}

impl DeviceKind {
    /// The letter of `mknod(1)`: `c`, `b` or `p`.
    pub fn letter(self) -> char {
        match self {
            DeviceKind::Char => 'c',
            DeviceKind::Block => 'b',
            DeviceKind::Fifo => 'p',
        }
    }

    /// The bits of the file type in a mode, see `inode(7)`.
    pub fn type_bits(self) -> u32 {
        match self {
            DeviceKind::Char => 0o020_000,
            DeviceKind::Block => 0o060_000,
            DeviceKind::Fifo => 0o010_000,
        }
    }
}

impl Device {
    /// The largest major number that the kernel's `dev_t` holds.
    pub const MAX_MAJOR: u32 = (1 << 12) - 1;
    /// The largest minor number that the kernel's `dev_t` holds.
    pub const MAX_MINOR: u32 = (1 << 20) - 1;

    /// A character device owned by root.
    pub fn char(path: &str, major: u32, minor: u32, mode: u32) -> Self {
        Device {
            kind: DeviceKind::Char,
            path: path.to_owned(),
            major,
            minor,
            mode,
            uid: 0,
            gid: 0,
            pointer: String::new(),
        }
    }

    /// The seed's *DefaultSimpleDevices*: null, zero, full, tty, urandom, random; mode 0666.
    pub fn default_simple() -> Vec<Device> {
        let numbers = [
            ("/dev/null", 1, 3),
            ("/dev/zero", 1, 5),
            ("/dev/full", 1, 7),
            ("/dev/tty", 5, 0),
            ("/dev/urandom", 1, 9),
            ("/dev/random", 1, 8),
        ];
        numbers
            .map(|(path, major, minor)| Device::char(path, major, minor, 0o666))
            .into()
    }

    /// The seed's *DefaultAutoCreatedDevices*: fuse, which the default rules do not allow, then
    /// the simple ones.
    pub fn default_auto_created() -> Vec<Device> {
        let mut devices = vec![Device::char("/dev/fuse", 10, 229, 0o666)];
        devices.extend(Device::default_simple());
        devices
    }
}

impl DeviceAccess {
    /// `rwm`.
    pub const ALL: DeviceAccess = DeviceAccess {
        read: true,
        write: true,
        mknod: true,
    };

    /// Reads a subset of `rwm` in any order; `None` for other letters and repeated ones.
    pub fn parse(text: &str) -> Option<Self> {
        let mut access = DeviceAccess::default();
        for letter in text.chars() {
            let switch = match letter {
                'r' => &mut access.read,
                'w' => &mut access.write,
                'm' => &mut access.mknod,
                _ => return None,
            };
            if std::mem::replace(switch, true) {
                return None;
            }
        }
        Some(access)
    }
}

impl fmt::Display for DeviceAccess {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let letters = [(self.read, "r"), (self.write, "w"), (self.mknod, "m")];
        letters
            .into_iter()
            .filter(|(on, _)| *on)
            .try_for_each(|(_, letter)| f.write_str(letter))
    }
}

impl DeviceRuleKind {
    /// The letter of `devices.allow`: `a`, `c` or `b`.
    pub fn letter(self) -> char {
        match self {
            DeviceRuleKind::All => 'a',
            DeviceRuleKind::Char => 'c',
            DeviceRuleKind::Block => 'b',
        }
    }
}

impl DeviceRule {
    /// A rule that allows, for the node `path`.
    pub fn allow(
        kind: DeviceRuleKind,
        major: Option<u32>,
        minor: Option<u32>,
        access: DeviceAccess,
    ) -> Self {
        DeviceRule {
            allow: true,
            kind,
            major,
            minor,
            access,
            path: String::new(),
            mode: 0,
            uid: 0,
            gid: 0,
            pointer: String::new(),
        }
    }

    /// A rule that allows everything to a node that is made, and remembers the node.
    pub fn for_device(device: &Device) -> Self {
        let kind = match device.kind {
            DeviceKind::Block => DeviceRuleKind::Block,
            DeviceKind::Char | DeviceKind::Fifo => DeviceRuleKind::Char,
        };
        DeviceRule {
            path: device.path.clone(),
            mode: device.mode,
            uid: device.uid,
            gid: device.gid,
            ..DeviceRule::allow(
                kind,
                Some(device.major),
                Some(device.minor),
                DeviceAccess::ALL,
            )
        }
    }

    /// The seed's *DefaultAllowedDevices*: nodes of any number may be made, and console, tty0,
    /// tty1, pts, ptmx, tun and the six simple devices used.
    pub fn default_allowed() -> Vec<DeviceRule> {
        let mknod = DeviceAccess {
            mknod: true,
            ..DeviceAccess::default()
        };
        let char = |path: &str, major, minor| DeviceRule {
            path: path.to_owned(),
            ..DeviceRule::allow(DeviceRuleKind::Char, Some(major), minor, DeviceAccess::ALL)
        };
        let mut rules = vec![
            DeviceRule::allow(DeviceRuleKind::Char, None, None, mknod),
            DeviceRule::allow(DeviceRuleKind::Block, None, None, mknod),
            char("/dev/console", 5, Some(1)),
            char("/dev/tty0", 4, Some(0)),
            char("/dev/tty1", 4, Some(1)),
            char("", 136, None),
            char("", 5, Some(2)),
            char("", 10, Some(200)),
        ];
        rules.extend(Device::default_simple().iter().map(DeviceRule::for_device));
        rules
    }
}

impl fmt::Display for DeviceRule {
    /// The line of `devices.allow` and `devices.deny`: `c 1:3 rwm`, `b *:* m`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let number = |number: Option<u32>| number.map_or("*".to_owned(), |n| n.to_string());
        let (major, minor) = (number(self.major), number(self.minor));
        write!(f, "{} {major}:{minor} {}", self.kind.letter(), self.access)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn default_rules_are_the_seeds_in_its_order() {
        let rules: Vec<String> = DeviceRule::default_allowed()
            .iter()
            .map(ToString::to_string)
            .collect();
        assert_eq!(
            rules,
            [
                "c *:* m",
                "b *:* m",
                "c 5:1 rwm",
                "c 4:0 rwm",
                "c 4:1 rwm",
                "c 136:* rwm",
                "c 5:2 rwm",
                "c 10:200 rwm",
                "c 1:3 rwm",
                "c 1:5 rwm",
                "c 1:7 rwm",
                "c 5:0 rwm",
                "c 1:9 rwm",
                "c 1:8 rwm",
            ]
        );
    }

    #[test]
    fn auto_created_devices_begin_with_fuse() {
        let paths: Vec<String> = Device::default_auto_created()
            .into_iter()
            .map(|device| device.path)
            .collect();
        assert_eq!(paths.len(), 7);
        assert_eq!(paths[0], "/dev/fuse");
    }

    #[test]
    fn access_with_other_or_repeated_letters_is_refused() {
        assert_eq!(DeviceAccess::parse("mr").unwrap().to_string(), "rm");
        assert_eq!(DeviceAccess::parse(""), Some(DeviceAccess::default()));
        for text in ["rr", "x", "RWM", "r w"] {
            assert_eq!(DeviceAccess::parse(text), None, "{text:?}");
        }
    }
}
