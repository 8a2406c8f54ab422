//! Paths as text.

/// What is wrong with an absolute path whose components must be ordinary names.
pub(super) fn fault(path: &str) -> Option<&'static str> {
    let climbs = || path.split('/').any(|component| component == "..");
    syntax_fault(path).or_else(|| climbs().then_some("has a \"..\" component"))
}

/// What is wrong with an absolute path of any kind.
pub(super) fn syntax_fault(path: &str) -> Option<&'static str> {
    if path.is_empty() {
        Some("is empty")
    } else if !path.starts_with('/') {
        Some("is not absolute")
    } else if path.contains('\0') {
        Some("has a NUL")
    } else if path.len() > MAX_PATH_BYTES {
        Some("is longer than 4095 bytes")
    } else if path
        .split('/')
        .any(|component| component.len() > MAX_NAME_BYTES)
    {
        Some("has a component longer than 255 bytes")
    } else {
        None
    }
}

/// The names that a path walks through, without empty ones and `.`.
pub(super) fn components(path: &str) -> Vec<&str> {
    path.split('/')
        .filter(|component| !matches!(*component, "" | "."))
        .collect()
}

/// `PATH_MAX` without the final NUL.
const MAX_PATH_BYTES: usize = 4095;
/// `NAME_MAX`.
const MAX_NAME_BYTES: usize = 255;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn path_that_is_not_plain_is_refused() {
        for path in ["", "a", "a/b", "/a/../b", "/..", "..", "/a\0", "./a"] {
            assert!(fault(path).is_some(), "{path:?}");
        }
        assert!(fault(&"/aa".repeat(2000)).is_some());
        assert!(fault(&format!("/{}", "a".repeat(256))).is_some());
        for path in ["/", "//", "/a", "/a/./b/", "/..a", "/a..", "/..."] {
            assert_eq!(fault(path), None, "{path:?}");
        }
        assert_eq!(components("//a/./b/"), ["a", "b"]);
    }
}
