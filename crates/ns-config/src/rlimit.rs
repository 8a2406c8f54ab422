//! Resource limits (`getrlimit(2)`).

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

use crate::{
    error::{Error, Kind, Problem},
    suggest,
};

/// One of the 16 limited resources.
///
/// # Shape
/// Parsed in any case, with or without `RLIMIT_`: `RLIMIT_NOFILE`, `nofile`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Resource(u8);

/// One limit of the command; other resources are inherited.
///
/// # Shape
/// On the command line `NAME=SOFT[:HARD]`, each a decimal number or `unlimited`:
/// `nofile=1024:2048`. One number sets both.
///
/// # Examples
/// ```
/// use ns_config::Rlimit;
///
/// let rlimit: Rlimit = "nofile=1024:unlimited".parse()?;
/// assert_eq!((rlimit.resource.number(), rlimit.soft, rlimit.hard), (7, 1024, Rlimit::UNLIMITED));
/// # Ok::<(), ns_config::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rlimit {
    /// What is limited.
    pub resource: Resource,
    /// What holds now, in the unit of the resource; [`Rlimit::UNLIMITED`] is none.
    pub soft: u64,
    /// How far the command may raise the soft one without `CAP_SYS_RESOURCE`.
    pub hard: u64,
    /// Where it was configured.
    pub pointer: String,
}

impl Resource {
    /// The resource with the given kernel number (x86 and aarch64), when there is one.
    pub fn from_number(number: u32) -> Option<Self> {
        let number = u8::try_from(number).ok()?;
        (usize::from(number) < NAMES.len()).then_some(Resource(number))
    }

    /// The kernel's number on x86 and aarch64, e.g. 7 for `RLIMIT_NOFILE`.
    pub fn number(self) -> u32 {
        u32::from(self.0)
    }

    /// The name with its prefix, e.g. `RLIMIT_NOFILE`.
    pub fn name(self) -> &'static str {
        NAMES[usize::from(self.0)]
    }

    /// All 16, by number.
    pub fn all() -> impl Iterator<Item = Resource> {
        (0..16).map(Resource)
    }
}

impl fmt::Display for Resource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Resource {
    type Err = Error;

    /// # Errors
    /// [`Kind::InvalidValue`] when the name is not one of the 16; the hint is the nearest name.
    fn from_str(text: &str) -> Result<Self, Error> {
        let upper = text.to_ascii_uppercase();
        let short = upper.strip_prefix(PREFIX).unwrap_or(&upper);
        Resource::all()
            .find(|resource| &resource.name()[PREFIX.len()..] == short)
            .ok_or_else(|| {
                let names = NAMES.iter().map(|name| &name[PREFIX.len()..]);
                let problem = Problem::new(Kind::InvalidValue, "", text, "is not a resource limit")
                    .accepted("a name of getrlimit(2), with or without RLIMIT_")
                    .nearest(suggest::nearest(short, names));
                Error::new("read resource limit", problem)
            })
    }
}

impl Rlimit {
    /// No limit (`RLIM_INFINITY`).
    pub const UNLIMITED: u64 = u64::MAX;
}

impl FromStr for Rlimit {
    type Err = Error;

    /// # Errors
    /// [`Kind::InvalidValue`] for an unknown resource, for a number that is not one, and when the
    /// soft limit is above the hard one.
    fn from_str(text: &str) -> Result<Self, Error> {
        let wrong = |rule| {
            let problem = Problem::new(Kind::InvalidValue, "", text, rule)
                .accepted("NAME=SOFT[:HARD], numbers or \"unlimited\"");
            Error::new("read resource limit", problem)
        };
        let (name, limits) = text.split_once('=').ok_or_else(|| wrong("has no \"=\""))?;
        let resource = name.parse()?;
        let (soft, hard) = limits.split_once(':').unwrap_or((limits, limits));
        let soft = parse_limit(soft).ok_or_else(|| wrong("soft limit is not a number"))?;
        let hard = parse_limit(hard).ok_or_else(|| wrong("hard limit is not a number"))?;
        if soft > hard {
            return Err(wrong("soft limit is above the hard limit"));
        }
        Ok(Rlimit {
            resource,
            soft,
            hard,
            pointer: String::new(),
        })
    }
}

fn parse_limit(text: &str) -> Option<u64> {
    match text {
        "unlimited" | "infinity" => Some(Rlimit::UNLIMITED),
        _ if text.bytes().all(|byte| byte.is_ascii_digit()) => text.parse().ok(),
        _ => None,
    }
}

const PREFIX: &str = "RLIMIT_";

/// By number (`asm-generic/resource.h`, which x86 and aarch64 use).
const NAMES: [&str; 16] = [
    "RLIMIT_CPU",
    "RLIMIT_FSIZE",
    "RLIMIT_DATA",
    "RLIMIT_STACK",
    "RLIMIT_CORE",
    "RLIMIT_RSS",
    "RLIMIT_NPROC",
    "RLIMIT_NOFILE",
    "RLIMIT_MEMLOCK",
    "RLIMIT_AS",
    "RLIMIT_LOCKS",
    "RLIMIT_SIGPENDING",
    "RLIMIT_MSGQUEUE",
    "RLIMIT_NICE",
    "RLIMIT_RTPRIO",
    "RLIMIT_RTTIME",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn resource_numbers_are_the_kernels() {
        for (name, number) in [
            ("cpu", 0),
            ("RLIMIT_CORE", 4),
            ("NOFILE", 7),
            ("rlimit_as", 9),
            ("rttime", 15),
        ] {
            let resource: Resource = name.parse().unwrap();
            assert_eq!(resource.number(), number, "{name}");
            assert_eq!(Resource::from_number(number), Some(resource));
        }
        assert_eq!(Resource::from_number(16), None);
        assert_eq!(Resource::from_number(263), None);
    }

    #[test]
    fn rlimit_flag_with_one_or_two_numbers_is_read() {
        for (text, soft, hard) in [
            ("nofile=1024:2048", 1024, 2048),
            ("RLIMIT_NOFILE=64", 64, 64),
            ("core=0:unlimited", 0, u64::MAX),
            ("as=unlimited", u64::MAX, u64::MAX),
        ] {
            let rlimit: Rlimit = text.parse().unwrap();
            assert_eq!((rlimit.soft, rlimit.hard), (soft, hard), "{text}");
        }
    }

    #[test]
    fn rlimit_flag_that_is_malformed_is_refused() {
        for text in [
            "",
            "nofile",
            "nofile=",
            "nofile=1:",
            "nofile=-1",
            "nofile=+1",
            "nofil=1",
            "nofile=2:1",
            "nofile= 1",
            "nofile=1:2:3",
            "nofile=18446744073709551616",
        ] {
            assert!(text.parse::<Rlimit>().is_err(), "{text:?}");
        }
        assert_eq!(
            "nofiles=1".parse::<Rlimit>().unwrap_err().hint(),
            Some("did you mean \"NOFILE\"?")
        );
    }
}
