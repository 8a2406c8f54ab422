//! Paths inside the root, checked once and written in one way.

use std::fmt;

use crate::error::{Error, Kind, Result};

/// An absolute path below the root: no `..`, no `.`, no empty name, not `/` itself.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Destination(String);

impl Destination {
    /// # Errors
    /// | kind | when |
    /// |---|---|
    /// | `InvalidValue` | relative, empty, `/` itself, or with a NUL byte |
    /// | `Hostile` | with a `..` |
    pub(crate) fn parse(path: &str, step: &'static str) -> Result<Self> {
        let refuse = |kind, rule: &str| {
            Err(Error::new(
                kind,
                step,
                format!("destination {path:?} {rule}"),
            ))
        };
        if !path.starts_with('/') {
            return refuse(Kind::InvalidValue, "is not an absolute path")
                .map_err(|error| error.with_hint(format!("write \"/{path}\"")));
        }
        if path.contains('\0') {
            return refuse(Kind::InvalidValue, "holds a NUL byte");
        }
        let names: Vec<&str> = path
            .split('/')
            .filter(|name| !matches!(*name, "" | "."))
            .collect();
        if names.contains(&"..") {
            return refuse(Kind::Hostile, "holds a \"..\"");
        }
        if names.is_empty() {
            return refuse(Kind::InvalidValue, "is the root itself").map_err(|error| {
                error.with_hint("the root is chosen by the root file system, not by a mount")
            });
        }
        Ok(Destination(format!("/{}", names.join("/"))))
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }

    /// The first name, the one that hangs in the root itself.
    pub(crate) fn first(&self) -> &str {
        self.0.split('/').nth(1).unwrap_or_default()
    }

    /// The last name.
    pub(crate) fn name(&self) -> &str {
        self.0.rsplit('/').next().unwrap_or_default()
    }

    /// The directory above; `None` when that is the root.
    pub(crate) fn parent(&self) -> Option<&str> {
        self.0
            .rsplit_once('/')
            .map(|(parent, _)| parent)
            .filter(|parent| !parent.is_empty())
    }

    /// Whether it is `/proc` or anything below.
    pub(crate) fn is_in_proc(&self) -> bool {
        self.first() == "proc"
    }
}

impl fmt::Display for Destination {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn destination_is_written_in_one_way() {
        for (path, expected) in [
            ("/a", "/a"),
            ("//a//b/", "/a/b"),
            ("/./a/./b", "/a/b"),
            ("/a b/ü", "/a b/ü"),
        ] {
            assert_eq!(Destination::parse(path, "").unwrap().as_str(), expected);
        }
    }

    #[test]
    fn destination_that_is_no_place_below_the_root_is_refused() {
        for (path, kind) in [
            ("", Kind::InvalidValue),
            ("a", Kind::InvalidValue),
            ("/", Kind::InvalidValue),
            ("//./", Kind::InvalidValue),
            ("/a\0", Kind::InvalidValue),
            ("/..", Kind::Hostile),
            ("/a/../b", Kind::Hostile),
        ] {
            assert_eq!(
                Destination::parse(path, "").unwrap_err().kind(),
                kind,
                "{path:?}"
            );
        }
    }

    #[test]
    fn destination_is_taken_apart() {
        let deep = Destination::parse("/proc/sys/x", "").unwrap();
        assert_eq!(
            (deep.first(), deep.name(), deep.parent()),
            ("proc", "x", Some("/proc/sys"))
        );
        assert!(deep.is_in_proc());
        let top = Destination::parse("/process", "").unwrap();
        assert_eq!(
            (top.first(), top.name(), top.parent()),
            ("process", "process", None)
        );
        assert!(!top.is_in_proc());
    }

    proptest! {
        #[test]
        fn destination_never_leaves_the_root(path in "[/.a\0]{0,12}") {
            if let Ok(destination) = Destination::parse(&path, "") {
                prop_assert!(destination.as_str().starts_with('/'));
                let plain = |name: &str| !matches!(name, "" | "." | "..");
                prop_assert!(destination.as_str().split('/').skip(1).all(plain));
                prop_assert_eq!(
                    Destination::parse(destination.as_str(), "").unwrap(),
                    destination
                );
            }
        }
    }
}
