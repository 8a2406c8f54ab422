//! Which crate may use which: `cargo metadata` against the table in ARCHITECTURE.md.

use std::collections::BTreeMap;

use super::{Finding, Rule, marked, quoted};
use crate::failure::Result;
use crate::workspace::Member;

/// Compares every edge between members, of every kind (normal, build, dev), with the table.
pub(super) fn check<'a>(
    members: impl Iterator<Item = &'a Member> + Clone,
    architecture: &str,
) -> Result<Vec<Finding>> {
    let table = table(architecture)?;
    let finding = |name: &str, what: String| Finding {
        place: format!("crate {name}"),
        what,
        rule: Rule::Edges,
    };
    let mut findings = Vec::new();
    for member in members.clone() {
        let Some(allowed) = table.get(member.name.as_str()) else {
            findings.push(finding(
                &member.name,
                "it has no row in the edge table".into(),
            ));
            continue;
        };
        for used in &member.dependencies {
            let is_ours = members.clone().any(|other| other.name == *used);
            let is_itself = *used == member.name;
            let is_allowed = allowed.contains(&used.as_str()) || allowed.contains(&"*");
            if is_ours && !is_itself && !is_allowed {
                findings.push(finding(&member.name, format!("it uses {used}")));
            }
        }
    }
    for name in table.keys() {
        if !members.clone().any(|member| member.name == *name) {
            findings.push(finding(
                name,
                "the edge table has a row, but there is no such crate".into(),
            ));
        }
    }
    Ok(findings)
}

/// Rows of the form "| `crate` | `used`, `used` |"; "`*`" allows all.
fn table(architecture: &str) -> Result<BTreeMap<&str, Vec<&str>>> {
    let rows = marked(architecture, "edges")?.filter_map(|line| {
        let mut cells = line.trim().trim_matches('|').split('|');
        let name = *quoted(cells.next()?).first()?;
        Some((name, quoted(cells.next()?)))
    });
    Ok(rows.collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAPER: &str = "<!-- tidy: edges -->\n| crate | may use |\n|---|---|\n| `a` | nothing |\n| `b` | `a` |\n| `x` | `*` |\n\n| `c` | |\n";

    fn member(name: &str, dependencies: &[&str]) -> Member {
        Member {
            name: name.into(),
            directory: "/w".into(),
            dependencies: dependencies.iter().copied().map(String::from).collect(),
        }
    }

    fn places(members: &[Member]) -> Vec<String> {
        let findings = check(members.iter(), PAPER).expect("a table");
        findings
            .into_iter()
            .map(|finding| format!("{}: {}", finding.place, finding.what))
            .collect()
    }

    #[test]
    fn listed_edges_and_other_peoples_crates_are_fine() {
        let members = [
            member("a", &["libc"]),
            member("b", &["a"]),
            member("x", &["a", "b"]),
        ];
        assert_eq!(places(&members), [""; 0]);
    }

    #[test]
    fn edge_that_points_up_is_found() {
        let members = [member("a", &["b"]), member("b", &[]), member("x", &[])];
        assert_eq!(places(&members), ["crate a: it uses b"]);
    }

    #[test]
    fn crate_without_row_and_row_without_crate_are_found() {
        let members = [member("a", &[]), member("b", &[]), member("d", &[])];
        assert_eq!(
            places(&members),
            [
                "crate d: it has no row in the edge table",
                "crate x: the edge table has a row, but there is no such crate"
            ]
        );
    }
}
