//! Mount options as the words of `fsmount(2)` and `mount_setattr(2)`.

use ns_config::{Atime, MountAttributes, MountOptions, Propagation};

// Source: include/uapi/linux/mount.h.
pub(crate) const RDONLY: u64 = 0x1;
pub(crate) const NOSUID: u64 = 0x2;
pub(crate) const NODEV: u64 = 0x4;
pub(crate) const NOEXEC: u64 = 0x8;
const ATIME: u64 = 0x70;
const NOATIME: u64 = 0x10;
pub(crate) const STRICTATIME: u64 = 0x20;
const NODIRATIME: u64 = 0x80;
const NOSYMFOLLOW: u64 = 0x0020_0000;

const MS_UNBINDABLE: u64 = 1 << 17;
const MS_PRIVATE: u64 = 1 << 18;
const MS_SLAVE: u64 = 1 << 19;
const MS_SHARED: u64 = 1 << 20;

/// One `mount_setattr(2)` call.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Change {
    pub(crate) set: u64,
    pub(crate) clear: u64,
    pub(crate) propagation: u64,
}

impl Change {
    pub(crate) fn is_nothing(self) -> bool {
        self == Change::default()
    }
}

/// What a new file system is mounted with: every switch that was asked for, on this one mount.
pub(crate) fn filesystem_word(options: &MountOptions) -> u64 {
    let (recursive, single) = changes(options);
    ((recursive.set & !recursive.clear) & !single.clear) | single.set
}

/// The change for a mount with all below it, and the one after it for the mount alone.
pub(crate) fn changes(options: &MountOptions) -> (Change, Change) {
    let recursive = change(
        options.set_recursive,
        options.clear_recursive,
        options.atime_recursive,
        options.propagation_recursive,
    );
    let single = change(
        options.set,
        options.clear,
        options.atime,
        options.propagation,
    );
    (recursive, single)
}

/// The kernel's number for a propagation.
pub(crate) fn propagation_word(propagation: Propagation) -> u64 {
    match propagation {
        Propagation::Private => MS_PRIVATE,
        Propagation::Slave => MS_SLAVE,
        Propagation::Shared => MS_SHARED,
        Propagation::Unbindable => MS_UNBINDABLE,
    }
}

fn change(
    set: MountAttributes,
    clear: MountAttributes,
    atime: Option<Atime>,
    propagation: Option<Propagation>,
) -> Change {
    // KERNEL(5.12): the access-time policy is a number, not a switch; it is cleared whole.
    let (atime_set, atime_clear) = match atime {
        None => (0, 0),
        Some(Atime::Relative) => (0, ATIME),
        Some(Atime::Never) => (NOATIME, ATIME),
        Some(Atime::Strict) => (STRICTATIME, ATIME),
    };
    let set = word(set);
    Change {
        set: set | atime_set,
        // A switch that is asked to be both is on: the kernel clears first.
        clear: (word(clear) & !set) | atime_clear,
        propagation: propagation.map_or(0, propagation_word),
    }
}

fn word(attributes: MountAttributes) -> u64 {
    let switches = [
        (attributes.read_only, RDONLY),
        (attributes.no_suid, NOSUID),
        (attributes.no_dev, NODEV),
        (attributes.no_exec, NOEXEC),
        (attributes.no_dir_atime, NODIRATIME),
        (attributes.no_symfollow, NOSYMFOLLOW),
    ];
    let on = switches.into_iter().filter(|(on, _)| *on);
    on.fold(0, |word, (_, bit)| word | bit)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_only() -> MountAttributes {
        MountAttributes {
            read_only: true,
            ..MountAttributes::default()
        }
    }

    #[test]
    fn options_of_a_new_filesystem_become_one_word() {
        let options = MountOptions {
            set: MountAttributes {
                no_suid: true,
                no_dev: true,
                ..MountAttributes::default()
            },
            set_recursive: read_only(),
            atime: Some(Atime::Strict),
            ..MountOptions::default()
        };
        assert_eq!(
            filesystem_word(&options),
            RDONLY | NOSUID | NODEV | STRICTATIME
        );
        assert_eq!(filesystem_word(&MountOptions::default()), 0);
    }

    #[test]
    fn clearing_options_really_clear() {
        let options = MountOptions {
            clear: read_only(),
            set_recursive: read_only(),
            atime: Some(Atime::Relative),
            propagation: Some(Propagation::Slave),
            ..MountOptions::default()
        };
        let (recursive, single) = changes(&options);
        assert_eq!(recursive.set, RDONLY, "rro reaches the mounts below");
        assert_eq!(
            single.clear,
            RDONLY | ATIME,
            "rw undoes it on the mount itself"
        );
        assert_eq!(single.propagation, MS_SLAVE);
        assert!(!single.is_nothing());
        assert_eq!(
            filesystem_word(&options),
            0,
            "a new file system has one mount, and it is writable"
        );
    }
}
