//! What the papers say against what is there.

use std::path::Path;

use super::source::{code_only, has_word};
use super::{Finding, Rule, TextFile, marked, quoted};
use crate::failure::Result;

/// Compares the files with `unsafe` in their code, tests left out, with the list in ARCHITECTURE.md.
pub(super) fn unsafe_files(sources: &[TextFile], architecture: &str) -> Result<Vec<Finding>> {
    let listed: Vec<&str> = marked(architecture, "unsafe")?
        .filter_map(|line| quoted(line).first().copied())
        .collect();
    let finding = |place: &str, what: &str| Finding {
        place: place.into(),
        what: what.into(),
        rule: Rule::UnsafeFiles,
    };
    let mut findings = Vec::new();
    let is_product = |file: &&TextFile| !Path::new(&file.path).iter().any(|part| part == "tests");
    let with_unsafe: Vec<&TextFile> = sources
        .iter()
        .filter(is_product)
        .filter(|file| has_word(&code_only(&file.text), "unsafe"))
        .collect();
    for file in &with_unsafe {
        if !listed.iter().any(|row| covers(row, &file.path)) {
            findings.push(finding(
                &file.path,
                "it contains `unsafe` and is not in the list",
            ));
        }
    }
    for path in listed {
        if !with_unsafe.iter().any(|file| covers(path, &file.path)) {
            findings.push(finding(path, "it is in the list and has no `unsafe`"));
        }
    }
    Ok(findings)
}

/// A row is a file, or a directory with a slash at its end.
fn covers(row: &str, path: &str) -> bool {
    row == path || (row.ends_with('/') && path.starts_with(row))
}

/// Looks for the version of every `KERNEL(x.y)` tag in the table of kernel needs.
pub(super) fn kernel_tags(sources: &[TextFile], features: &str) -> Vec<Finding> {
    let rows: Vec<&str> = features
        .lines()
        .filter(|line| line.starts_with('|'))
        .collect();
    let is_known = |version: &str| {
        rows.iter()
            .any(|row| row.split('|').any(|cell| cell.trim() == version))
    };
    let mut findings = Vec::new();
    for file in sources {
        for (number, line) in (1..).zip(file.text.lines()) {
            for tag in line.split("KERNEL(").skip(1) {
                let version = tag.split(')').next().unwrap_or_default();
                let is_version = version.starts_with(|first: char| first.is_ascii_digit());
                if is_version && !is_known(version) {
                    findings.push(Finding {
                        place: format!("{}:{number}", file.path),
                        what: format!("the table has no row for Linux {version}"),
                        rule: Rule::KernelTags,
                    });
                }
            }
        }
    }
    findings
}

/// Compares the ops that docs/sequence.md names with the variants of `Op`.
pub(super) fn ops(source: &TextFile, sequence: &str) -> Vec<Finding> {
    let variants = variants(&source.text);
    let rows = sequence.lines().filter(|line| line.starts_with('|'));
    let named: Vec<&str> = rows.flat_map(quoted).filter(|word| is_op(word)).collect();
    let finding = |place: &str, what: String| Finding {
        place: place.into(),
        what,
        rule: Rule::Ops,
    };
    let missing = variants.iter().filter(|op| !named.contains(op));
    let foreign = named.iter().filter(|op| !variants.contains(op));
    missing
        .map(|op| finding("docs/sequence.md", format!("it does not name {op}")))
        .chain(foreign.map(|op| finding("docs/sequence.md", format!("there is no op {op}"))))
        .collect()
}

/// A word in camel case; calls, paths and namespaces are written otherwise.
fn is_op(word: &str) -> bool {
    word.starts_with(|first: char| first.is_ascii_uppercase())
        && word.chars().all(|letter| letter.is_ascii_alphabetic())
        && word.contains(|letter: char| letter.is_ascii_lowercase())
}

fn variants(source: &str) -> Vec<&str> {
    let body = source.split("pub enum Op {").nth(1).unwrap_or_default();
    let lines = body.lines().take_while(|line| *line != "}");
    lines
        .filter_map(|line| line.strip_prefix("    "))
        .filter_map(|line| {
            line.split(|letter: char| !letter.is_ascii_alphabetic())
                .next()
        })
        .filter(|word| is_op(word))
        .collect()
}

/// Looks for the targets of all relative links.
pub(super) fn links(paper: &TextFile, root: &Path) -> Vec<Finding> {
    let directory = root.join(&paper.path);
    let directory = directory.parent().unwrap_or(root);
    let targets = paper
        .text
        .split("](")
        .skip(1)
        .filter_map(|rest| rest.split(')').next());
    targets
        .filter(|target| !target.contains(':') && !target.starts_with('#'))
        .filter(|target| {
            let file = target.split('#').next().unwrap_or_default();
            !directory.join(file).exists()
        })
        .map(|target| Finding {
            place: paper.path.clone(),
            what: format!("there is no {target}"),
            rule: Rule::Links,
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(path: &str, text: &str) -> TextFile {
        TextFile {
            path: path.into(),
            text: text.into(),
        }
    }

    #[test]
    fn unsafe_in_code_counts_and_in_words_does_not() {
        let paper = "<!-- tidy: unsafe -->\n- `a.rs`: calls\n- `gone.rs`: calls\n- `d/`: calls\n";
        let sources = [
            file("a.rs", "unsafe { x() }"),
            file("b.rs", "#[unsafe(no_mangle)] fn f() {}"),
            file("x/tests/sys.rs", "unsafe { x() }"),
            file("d/e/f.rs", "unsafe { x() }"),
            file(
                "c.rs",
                "#![forbid(unsafe_code)] // unsafe\nconst A: &str = \"unsafe\";",
            ),
        ];
        let findings = unsafe_files(&sources, paper).expect("a list");
        let places: Vec<_> = findings
            .iter()
            .map(|finding| finding.place.as_str())
            .collect();
        assert_eq!(places, ["b.rs", "gone.rs"]);
    }

    #[test]
    fn kernel_tag_needs_its_row() {
        let sources = [file(
            "a.rs",
            "// KERNEL(5.14): x\n// KERNEL(6.3): y\n// KERNEL(x.y)",
        )];
        let findings = kernel_tags(&sources, "| feature | 5.14 |\nLinux 6.3\n");
        assert_eq!(findings.len(), 1);
        assert_eq!(findings[0].place, "a.rs:2");
    }

    #[test]
    fn ops_and_their_paper_are_compared_both_ways() {
        let source = "/// X.\npub enum Op {\n    /// Text.\n    Close { slot: Slot },\n    Fork,\n    Mask {\n        target: Slot,\n    },\n}\n";
        let paper = "| close | `Close`, `close(2)` |\n| gone | `Old` |\n| fork | `Fork` |\n";
        let findings = ops(&file("op.rs", source), paper);
        let what: Vec<_> = findings
            .iter()
            .map(|finding| finding.what.as_str())
            .collect();
        assert_eq!(what, ["it does not name Mask", "there is no op Old"]);
    }

    #[test]
    fn link_to_nowhere_is_found() {
        let text = "[a](Cargo.toml) [b](https://x.y/z) [c](#part) [d](gone.md#part)";
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let findings = links(&file("README.md", text), root);
        assert_eq!(findings.len(), 1);
        assert_eq!(findings[0].what, "there is no gone.md#part");
    }
}
