//! The 41 capabilities (`capabilities(7)`) and sets of them.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

use crate::{
    error::{Error, Kind, Problem},
    suggest,
};

/// One capability, known by number (`linux/capability.h`).
///
/// # Shape
/// Parsed in any case, with or without `CAP_`: `CAP_SYS_ADMIN`, `SYS_ADMIN`, `sys_admin`.
/// Prints with the prefix.
///
/// # Examples
/// ```
/// use ns_config::Capability;
///
/// let capability: Capability = "sys_admin".parse()?;
/// assert_eq!((capability.number(), capability.name()), (21, "CAP_SYS_ADMIN"));
/// # Ok::<(), ns_config::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Capability(u8);

/// A set of capabilities, bit N being capability N.
///
/// # Examples
/// ```
/// use ns_config::{Capability, CapabilitySet};
///
/// let all_but_one = CapabilitySet::ALL.difference(Capability::from_number(21).into_iter().collect());
/// assert_eq!(all_but_one.len(), 40);
/// ```
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(from = "u64", into = "u64")]
pub struct CapabilitySet(u64);

/// The five sets of a process; all empty by default.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Capabilities {
    /// What the process and its children can ever have.
    pub bounding: CapabilitySet,
    /// What the kernel checks.
    pub effective: CapabilitySet,
    /// What the process may raise.
    pub permitted: CapabilitySet,
    /// What file capabilities of an executed program are combined with. Nothing is put here that
    /// was not asked for (CVE-2022-29162).
    pub inheritable: CapabilitySet,
    /// What an ordinary program keeps across `execve(2)`; a subset of permitted and inheritable.
    pub ambient: CapabilitySet,
}

impl Capability {
    /// The capability with the given number, when it is one of the 41.
    pub fn from_number(number: u8) -> Option<Self> {
        (usize::from(number) < NAMES.len()).then_some(Capability(number))
    }

    /// The number in `linux/capability.h`, 0 to 40.
    pub fn number(self) -> u8 {
        self.0
    }

    /// The name with its prefix, e.g. `CAP_SYS_ADMIN`.
    pub fn name(self) -> &'static str {
        NAMES[usize::from(self.0)]
    }

    /// The name without `CAP_`, as `container.json` writes it.
    pub fn short_name(self) -> &'static str {
        &self.name()[PREFIX.len()..]
    }

    /// All 41, by number.
    pub fn all() -> impl Iterator<Item = Capability> {
        CapabilitySet::ALL.iter()
    }
}

impl fmt::Display for Capability {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Capability {
    type Err = Error;

    /// # Errors
    /// [`Kind::InvalidValue`] when the name is not one of the 41; the hint is the nearest name.
    fn from_str(text: &str) -> Result<Self, Error> {
        let upper = text.to_ascii_uppercase();
        let short = upper.strip_prefix(PREFIX).unwrap_or(&upper);
        let found = Capability::all().find(|capability| capability.short_name() == short);
        found.ok_or_else(|| {
            let names = Capability::all().map(Capability::short_name);
            let problem = Problem::new(Kind::InvalidValue, "", text, "is not a capability")
                .accepted("a name of capabilities(7), with or without CAP_")
                .nearest(suggest::nearest(short, names));
            Error::new("read capability", problem)
        })
    }
}

impl CapabilitySet {
    /// All 41 capabilities.
    pub const ALL: CapabilitySet = CapabilitySet((1 << NAMES.len()) - 1);
    /// No capability.
    pub const EMPTY: CapabilitySet = CapabilitySet(0);

    /// The set with these bits; bits that name no capability are dropped.
    pub fn from_bits_known(bits: u64) -> Self {
        CapabilitySet(bits & Self::ALL.0)
    }

    /// Bit N is capability N.
    pub fn bits(self) -> u64 {
        self.0
    }

    /// Whether the capability is in the set.
    pub fn contains(self, capability: Capability) -> bool {
        self.0 & bit(capability) != 0
    }

    /// Puts the capability into the set.
    pub fn insert(&mut self, capability: Capability) {
        self.0 |= bit(capability);
    }

    /// Takes the capability out of the set.
    pub fn remove(&mut self, capability: Capability) {
        self.0 &= !bit(capability);
    }

    /// Whether nothing is in the set.
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// How many capabilities are in the set.
    pub fn len(self) -> usize {
        // At most 41.
        self.iter().count()
    }

    /// What is in both.
    #[must_use]
    pub fn intersection(self, other: Self) -> Self {
        CapabilitySet(self.0 & other.0)
    }

    /// What is in either.
    #[must_use]
    pub fn union(self, other: Self) -> Self {
        CapabilitySet(self.0 | other.0)
    }

    /// What is in this one and not in the other.
    #[must_use]
    pub fn difference(self, other: Self) -> Self {
        CapabilitySet(self.0 & !other.0)
    }

    /// Whether all of this set is in the other.
    pub fn is_subset(self, other: Self) -> bool {
        self.difference(other).is_empty()
    }

    /// The capabilities in the set, by number.
    pub fn iter(self) -> impl Iterator<Item = Capability> {
        (0..64_u8)
            .filter(move |number| self.0 >> number & 1 == 1)
            .map(Capability)
    }
}

impl FromIterator<Capability> for CapabilitySet {
    fn from_iter<I: IntoIterator<Item = Capability>>(capabilities: I) -> Self {
        let mut set = CapabilitySet::EMPTY;
        capabilities
            .into_iter()
            .for_each(|capability| set.insert(capability));
        set
    }
}

impl fmt::Debug for CapabilitySet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set()
            .entries(self.iter().map(Capability::short_name))
            .finish()
    }
}

impl From<u64> for CapabilitySet {
    fn from(bits: u64) -> Self {
        CapabilitySet::from_bits_known(bits)
    }
}

impl From<CapabilitySet> for u64 {
    fn from(set: CapabilitySet) -> Self {
        set.bits()
    }
}

impl Capabilities {
    /// What a command that may use `set` runs with: bounding, effective and permitted are `set`,
    /// inheritable and ambient stay empty (seed hole H10).
    pub fn kept(set: CapabilitySet) -> Self {
        Capabilities {
            bounding: set,
            effective: set,
            permitted: set,
            ..Capabilities::default()
        }
    }

    /// Whether the kernel would accept these sets from a process that has all of `bounding`:
    /// effective within permitted, permitted within bounding, ambient within permitted and
    /// inheritable.
    pub fn is_consistent(&self) -> bool {
        self.effective.is_subset(self.permitted)
            && self.permitted.is_subset(self.bounding)
            && self
                .ambient
                .is_subset(self.permitted.intersection(self.inheritable))
    }
}

fn bit(capability: Capability) -> u64 {
    1 << capability.0
}

const PREFIX: &str = "CAP_";

/// By number.
const NAMES: [&str; 41] = [
    "CAP_CHOWN",
    "CAP_DAC_OVERRIDE",
    "CAP_DAC_READ_SEARCH",
    "CAP_FOWNER",
    "CAP_FSETID",
    "CAP_KILL",
    "CAP_SETGID",
    "CAP_SETUID",
    "CAP_SETPCAP",
    "CAP_LINUX_IMMUTABLE",
    "CAP_NET_BIND_SERVICE",
    "CAP_NET_BROADCAST",
    "CAP_NET_ADMIN",
    "CAP_NET_RAW",
    "CAP_IPC_LOCK",
    "CAP_IPC_OWNER",
    "CAP_SYS_MODULE",
    "CAP_SYS_RAWIO",
    "CAP_SYS_CHROOT",
    "CAP_SYS_PTRACE",
    "CAP_SYS_PACCT",
    "CAP_SYS_ADMIN",
    "CAP_SYS_BOOT",
    "CAP_SYS_NICE",
    "CAP_SYS_RESOURCE",
    "CAP_SYS_TIME",
    "CAP_SYS_TTY_CONFIG",
    "CAP_MKNOD",
    "CAP_LEASE",
    "CAP_AUDIT_WRITE",
    "CAP_AUDIT_CONTROL",
    "CAP_SETFCAP",
    "CAP_MAC_OVERRIDE",
    "CAP_MAC_ADMIN",
    "CAP_SYSLOG",
    "CAP_WAKE_ALARM",
    "CAP_BLOCK_SUSPEND",
    "CAP_AUDIT_READ",
    "CAP_PERFMON",
    "CAP_BPF",
    "CAP_CHECKPOINT_RESTORE",
];

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn capability_numbers_are_the_kernels() {
        for (name, number) in [
            ("CHOWN", 0),
            ("SETPCAP", 8),
            ("net_admin", 12),
            ("CAP_SYS_ADMIN", 21),
            ("cap_mknod", 27),
            ("BLOCK_SUSPEND", 36),
            ("AUDIT_READ", 37),
            ("PERFMON", 38),
            ("BPF", 39),
            ("CHECKPOINT_RESTORE", 40),
        ] {
            assert_eq!(
                name.parse::<Capability>().unwrap().number(),
                number,
                "{name}"
            );
        }
        assert_eq!(CapabilitySet::ALL.bits(), 0x1ff_ffff_ffff);
        assert_eq!(Capability::from_number(41), None);
    }

    #[test]
    fn capability_typo_is_refused_with_the_nearest_name() {
        let error = "SYS_ADMN".parse::<Capability>().unwrap_err();
        assert_eq!(error.kind(), Kind::InvalidValue);
        assert_eq!(error.hint(), Some("did you mean \"SYS_ADMIN\"?"));
        for text in ["", "CAP_", "CAP_CAP_CHOWN", "41", "ALL", " CHOWN"] {
            assert!(
                text.parse::<Capability>().is_err(),
                "{text:?} is no capability"
            );
        }
    }

    #[test]
    fn capability_list_of_two_contains_them_and_no_other() {
        let set: CapabilitySet = ["MKNOD", "SETPCAP"]
            .into_iter()
            .map(|name| name.parse().unwrap())
            .collect();
        assert!(set.contains("MKNOD".parse().unwrap()));
        assert!(!set.contains("SYS_ADMIN".parse().unwrap()));
        assert_eq!(set.len(), 2);
    }

    proptest! {
        #[test]
        fn capability_set_is_the_sum_of_its_members(bits: u64) {
            let set = CapabilitySet::from_bits_known(bits);
            prop_assert_eq!(set.iter().collect::<CapabilitySet>(), set);
            prop_assert!(set.is_subset(CapabilitySet::ALL));
            for capability in Capability::all() {
                prop_assert_eq!(set.contains(capability), bits >> capability.number() & 1 == 1);
                prop_assert_eq!(capability.name().parse::<Capability>().unwrap(), capability);
            }
        }

        #[test]
        fn h10_kept_set_leaves_inheritable_and_ambient_empty(bits: u64) {
            let kept = Capabilities::kept(CapabilitySet::from_bits_known(bits));
            prop_assert!(kept.inheritable.is_empty() && kept.ambient.is_empty());
            prop_assert!(kept.is_consistent());
        }

        #[test]
        fn capability_insert_and_remove_are_inverse(bits: u64, number in 0_u8..41) {
            let capability = Capability::from_number(number).unwrap();
            let mut set = CapabilitySet::from_bits_known(bits);
            set.remove(capability);
            let without = set;
            set.insert(capability);
            prop_assert!(set.contains(capability));
            set.remove(capability);
            prop_assert_eq!(set, without);
        }
    }
}
