//! The command's environment.

use std::{
    collections::BTreeMap,
    ffi::{OsStr, OsString},
    os::unix::ffi::OsStrExt,
};

use crate::error::{Error, Kind, Problem};

/// Joins lists of `NAME=value` entries: later ones win, a name keeps the place of its first entry.
///
/// # Shape
/// A name is not empty and has no `=`; neither part has a NUL. A value may be empty and may hold
/// `=`. An entry with its final NUL takes at most 131072 bytes (the kernel's `MAX_ARG_STRLEN`).
///
/// # Errors
/// | kind | when |
/// |---|---|
/// | [`Kind::InvalidValue`] | an entry has no `=`, no name or a NUL |
/// | [`Kind::Limit`] | an entry is too long |
///
/// The error names the variable, never its value.
///
/// # Examples
/// ```
/// let merged = ns_config::merge_environment(["A=1", "B=2", "A=3"].map(Into::into))?;
/// assert_eq!(merged, ["A=3", "B=2"]);
/// # Ok::<(), ns_config::Error>(())
/// ```
pub fn merge_environment(
    entries: impl IntoIterator<Item = OsString>,
) -> Result<Vec<OsString>, Error> {
    let mut merged: Vec<OsString> = Vec::new();
    let mut place_by_name: BTreeMap<OsString, usize> = BTreeMap::new();
    for entry in entries {
        let name = check_entry(&entry)
            .map_err(|problem| Error::new("read environment", *problem))?
            .to_owned();
        match place_by_name.get(&name) {
            Some(place_idx) => merged[*place_idx] = entry,
            None => {
                place_by_name.insert(name, merged.len());
                merged.push(entry);
            }
        }
    }
    Ok(merged)
}

/// The name of a well-formed entry.
pub(crate) fn check_entry(entry: &OsStr) -> Result<&OsStr, Box<Problem>> {
    let bytes = entry.as_bytes();
    let Some(equals_idx) = bytes.iter().position(|byte| *byte == b'=') else {
        // Without "=" the entry could be anything, a secret included: it is not shown.
        let problem = Problem::bare(Kind::InvalidValue, "", "environment entry has no \"=\"");
        return Err(Box::new(problem.accepted("NAME=value")));
    };
    let name = OsStr::from_bytes(&bytes[..equals_idx]);
    let wrong = |kind, rule| Problem::new(kind, "", name, rule).accepted("NAME=value");
    if name.is_empty() {
        let problem = Problem::bare(Kind::InvalidValue, "", "environment entry has no name");
        return Err(Box::new(problem.accepted("NAME=value")));
    }
    if bytes.contains(&0) {
        return Err(Box::new(wrong(
            Kind::InvalidValue,
            "environment variable has a NUL",
        )));
    }
    if bytes.len() >= MAX_ENTRY_BYTES {
        let rule = format!("environment variable is too long ({} bytes)", bytes.len());
        return Err(Box::new(
            wrong(Kind::Limit, &rule).accepted("at most 131071 bytes"),
        ));
    }
    Ok(name)
}

/// `MAX_ARG_STRLEN`, which counts the final NUL.
const MAX_ENTRY_BYTES: usize = 131_072;

#[cfg(test)]
mod tests {
    use super::*;

    fn merge(entries: &[&str]) -> Result<Vec<OsString>, Error> {
        merge_environment(entries.iter().map(OsString::from))
    }

    #[test]
    fn environment_with_a_name_twice_keeps_the_later_value_in_the_first_place() {
        assert_eq!(merge(&["A=1", "B=", "A=2=3"]).unwrap(), ["A=2=3", "B="]);
    }

    #[test]
    fn environment_entry_that_is_malformed_is_refused() {
        for (entry, kind) in [
            ("", Kind::InvalidValue),
            ("SECRET", Kind::InvalidValue),
            ("=SECRET", Kind::InvalidValue),
            ("A=SECRET\0", Kind::InvalidValue),
            ("A\0=SECRET", Kind::InvalidValue),
        ] {
            let error = merge(&[entry]).unwrap_err();
            assert_eq!(error.kind(), kind, "{entry:?}");
            assert!(
                !error.to_string().contains("SECRET"),
                "values are not shown: {error}"
            );
        }
    }

    #[test]
    fn environment_entry_of_200_kb_is_refused_by_name_without_its_value() {
        let error = merge(&[&format!("TOKEN={}", "s".repeat(200_000))]).unwrap_err();
        assert_eq!(error.kind(), Kind::Limit);
        let text = error.to_string();
        assert!(
            text.contains("\"TOKEN\"") && !text.contains("sss"),
            "{text}"
        );
        assert!(merge(&[&format!("A={}", "s".repeat(131_069))]).is_ok());
        assert!(merge(&[&format!("A={}", "s".repeat(131_070))]).is_err());
    }
}
