//! Where a group shall be, as checked names.

use std::fmt;

use crate::error::{Error, Kind, Result};

/// The place of one group: a base and one name per level, each of them checked.
///
/// # Shape
/// A name is 1 to 255 bytes, is not `.` or `..`, and has no `/`, newline or NUL.
///
/// # Examples
/// ```
/// use ns_cgroups::{CgroupPath, Kind};
///
/// let path = CgroupPath::from_parent_and_name("docker", "box1")?;
/// assert_eq!(path.to_string(), "docker/box1");
/// let error = CgroupPath::from_parent_and_name("", "").unwrap_err();
/// assert_eq!(error.kind(), Kind::Hostile);
/// # Ok::<(), ns_cgroups::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct CgroupPath {
    base: Base,
    above: Vec<String>,
    leaf: String,
}

/// Where the names begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Base {
    /// At the caller's own group; on v2 with limits at its parent, because a group with members
    /// cannot hand controllers to its children.
    Own,
    /// At the root of the hierarchy; all names but the last must be there, the seed's rule.
    ExistingParent,
    /// At the root of the hierarchy; names that are not there are made, the OCI rule.
    Root,
}

impl CgroupPath {
    /// The seed's `parent` and `name`: relative to the caller's group, or with an absolute parent
    /// below an existing group.
    ///
    /// # Errors
    /// | kind | when |
    /// |---|---|
    /// | `Hostile` | both are empty (it would be the caller's own group, or the root), or a name breaks the rules |
    pub fn from_parent_and_name(parent: &str, name: &str) -> Result<Self> {
        let (base, parent) = match parent.strip_prefix('/') {
            Some(rest) => (Base::ExistingParent, rest),
            None => (Base::Own, parent),
        };
        let mut names = split(parent);
        if !name.is_empty() {
            names.push(name.to_owned());
        }
        Self::new(base, names)
    }

    /// An OCI `cgroupsPath`: absolute from the root of the hierarchy, else relative to the caller's
    /// group; missing levels are made.
    ///
    /// # Errors
    /// | kind | when |
    /// |---|---|
    /// | `Hostile` | there is no name in it, or a name breaks the rules |
    pub fn from_oci(path: &str) -> Result<Self> {
        match path.strip_prefix('/') {
            Some(rest) => Self::new(Base::Root, split(rest)),
            None => Self::new(Base::Own, split(path)),
        }
    }

    fn new(base: Base, mut above: Vec<String>) -> Result<Self> {
        const STEP: &str = "check the path of the control group";
        let Some(leaf) = above.pop() else {
            let call = "name and parent are empty: it would be a group that is not ours";
            return Err(Error::new(Kind::Hostile, STEP, call)
                .with_hint("give a name, a parent, or both")
                .with_setting("name"));
        };
        for name in above.iter().chain([&leaf]) {
            check_name(name).map_err(|rule| {
                Error::new(Kind::Hostile, STEP, format!("{name:?} {rule}"))
                    .with_hint("names of 1 to 255 bytes without '/', newline and NUL")
                    .with_setting("name")
            })?;
        }
        Ok(CgroupPath { base, above, leaf })
    }

    /// Where the names begin.
    #[must_use]
    pub fn base(&self) -> Base {
        self.base
    }

    /// The names above the group, top first.
    #[must_use]
    pub fn above(&self) -> &[String] {
        &self.above
    }

    /// The name of the group itself.
    #[must_use]
    pub fn leaf(&self) -> &str {
        &self.leaf
    }
}

impl fmt::Display for CgroupPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let root = match self.base {
            Base::Own => "",
            Base::ExistingParent | Base::Root => "/",
        };
        f.write_str(root)?;
        self.above
            .iter()
            .try_for_each(|name| write!(f, "{name}/"))?;
        f.write_str(&self.leaf)
    }
}

/// Repeated and closing slashes mean nothing.
fn split(path: &str) -> Vec<String> {
    let names = path.split('/').filter(|name| !name.is_empty());
    names.map(str::to_owned).collect()
}

pub(crate) fn check_name(name: &str) -> std::result::Result<(), &'static str> {
    match name {
        "" => Err("is empty"),
        "." | ".." => Err("leaves its place in the tree"),
        _ if name.len() > 255 => Err("is longer than 255 bytes"),
        _ if name.contains(['/', '\n', '\0']) => Err("has a character that no group can have"),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn h15_empty_and_climbing_paths_are_refused() {
        let long = "x".repeat(256);
        for (parent, name) in [
            ("", ""),
            ("/", ""),
            ("//", ""),
            ("", ".."),
            ("a/../b", "c"),
            ("..", "c"),
            ("/..", "c"),
            (".", ""),
            ("a", "b/c"),
            ("a", "b\nc"),
            ("a\0", "b"),
            ("", long.as_str()),
        ] {
            let error = CgroupPath::from_parent_and_name(parent, name).unwrap_err();
            assert_eq!(error.kind(), Kind::Hostile, "{parent:?} {name:?}");
        }
        for path in ["", "/", "..", "/a/../b", "a/./b"] {
            assert_eq!(
                CgroupPath::from_oci(path).unwrap_err().kind(),
                Kind::Hostile
            );
        }
    }

    #[test]
    fn parent_alone_is_the_group() {
        let path = CgroupPath::from_parent_and_name("integration", "").unwrap();
        assert_eq!((path.base(), path.leaf()), (Base::Own, "integration"));
        let path = CgroupPath::from_parent_and_name("/a//b/", "c").unwrap();
        assert_eq!(
            (path.base(), path.to_string()),
            (Base::ExistingParent, "/a/b/c".to_owned())
        );
    }

    proptest! {
        #[test]
        fn accepted_paths_stay_below_their_base(parent in "\\PC{0,20}|[./a]{0,12}", name in "[./a]{0,4}") {
            if let Ok(path) = CgroupPath::from_parent_and_name(&parent, &name) {
                prop_assert!(check_name(path.leaf()).is_ok());
                for name in path.above() {
                    prop_assert!(check_name(name).is_ok());
                }
            }
        }
    }
}
