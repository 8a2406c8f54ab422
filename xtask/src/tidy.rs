//! `cargo xtask tidy`: the house rules that no lint knows, each with its reason.

mod edge;
mod paper;
mod source;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use crate::failure::{Failure, Result, While};
use crate::workspace::Workspace;

/// A broken rule, and where.
#[derive(Debug, PartialEq, Eq)]
struct Finding {
    place: String,
    what: String,
    rule: Rule,
}

/// A rule of the house.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Rule {
    Edges,
    UnsafeFiles,
    ModuleText,
    Names,
    Length,
    KernelTags,
    Ops,
    Links,
}

impl Rule {
    /// What must hold, and why.
    fn words(self) -> (&'static str, &'static str) {
        match self {
            Rule::Edges => (
                "a crate uses only the crates that its row in ARCHITECTURE.md names",
                "the layers hold only as long as nothing points up or sideways; a new edge is argued for in ARCHITECTURE.md, in the same commit",
            ),
            Rule::UnsafeFiles => (
                "the files with `unsafe` are those that ARCHITECTURE.md lists",
                "whoever audits memory safety reads that list and nothing else",
            ),
            Rule::ModuleText => (
                "every source file begins with `//!` text",
                "a newcomer who opens a file must learn in one line what it is for",
            ),
            Rule::Names => (
                "no module is called utils, common, helpers, misc or types",
                "such a name says nothing, so everything ends up there; name the subject",
            ),
            Rule::Length => (
                "a file has at most 700 lines without its tests (aim: 400)",
                "a file is one subject; a longer one holds two",
            ),
            Rule::KernelTags => (
                "every KERNEL(x.y) tag has a row with that version in docs/kernel-features.md",
                "the table is what tells a user which kernel is old enough to lose something",
            ),
            Rule::Ops => (
                "docs/sequence.md names every op, and no other",
                "the page is what people read instead of a trace",
            ),
            Rule::Links => (
                "relative links in Markdown lead to files that exist",
                "a paper that points nowhere is not read again",
            ),
        }
    }
}

/// One text file of the workspace.
#[derive(Debug)]
struct TextFile {
    /// Relative to the workspace, with slashes.
    path: String,
    text: String,
}

/// Prints every finding; the exit code says whether there are any.
pub(crate) fn run(workspace: &Workspace) -> Result<ExitCode> {
    check(workspace).map(|()| {
        println!("tidy: nothing to mend");
        ExitCode::SUCCESS
    })
}

/// Prints every finding; fails when there are any.
pub(crate) fn check(workspace: &Workspace) -> Result<()> {
    let mut findings = findings(workspace)?;
    findings.sort_by(|a, b| a.place.cmp(&b.place));
    for Finding { place, what, rule } in &findings {
        let (rule, reason) = rule.words();
        println!("{place}: {what}\n  rule: {rule}\n  why:  {reason}");
    }
    match findings.len() {
        0 => Ok(()),
        n_findings => Err(Failure::new(format!("{n_findings} to mend"))),
    }
}

fn findings(workspace: &Workspace) -> Result<Vec<Finding>> {
    let sources = files(&workspace.root, "rs")?;
    let papers = files(&workspace.root, "md")?;
    let paper = |path: &str| {
        let found = papers.iter().find(|paper| paper.path == path);
        found
            .map(|paper| paper.text.as_str())
            .ok_or_else(|| Failure::new(format!("{path} is missing")))
    };
    let architecture = paper("ARCHITECTURE.md")?;
    let mut findings = edge::check(workspace.members.values(), architecture)?;
    findings.extend(paper::unsafe_files(&sources, architecture)?);
    findings.extend(paper::kernel_tags(
        &sources,
        paper("docs/kernel-features.md")?,
    ));
    if let Some(source) = sources
        .iter()
        .find(|file| file.path == "crates/ns-init/src/op.rs")
    {
        findings.extend(paper::ops(source, paper("docs/sequence.md")?));
    }
    findings.extend(
        papers
            .iter()
            .flat_map(|paper| paper::links(paper, &workspace.root)),
    );
    findings.extend(sources.iter().flat_map(source::check));
    Ok(findings)
}

/// All files with this extension, hidden directories and build output left out.
fn files(root: &Path, extension: &str) -> Result<Vec<TextFile>> {
    let mut found = Vec::new();
    let mut open = vec![PathBuf::new()];
    while let Some(directory) = open.pop() {
        let entries = std::fs::read_dir(root.join(&directory)).while_doing(directory.display())?;
        for entry in entries {
            let entry = entry.while_doing(directory.display())?;
            let path = directory.join(entry.file_name());
            let is_directory = entry.file_type().is_ok_and(|kind| kind.is_dir());
            let is_left_out =
                entry.file_name().to_string_lossy().starts_with('.') || path == Path::new("target");
            if is_directory && !is_left_out {
                open.push(path);
            } else if path.extension().is_some_and(|found| found == extension) {
                let text = std::fs::read_to_string(entry.path()).while_doing(path.display())?;
                let path = path.to_string_lossy().into_owned();
                found.push(TextFile { path, text });
            }
        }
    }
    Ok(found)
}

/// The lines of a Markdown file after `<!-- tidy: NAME -->`, up to the next empty line.
fn marked<'a>(paper: &'a str, name: &str) -> Result<impl Iterator<Item = &'a str>> {
    let marker = format!("<!-- tidy: {name} -->");
    let (_, rest) = paper
        .split_once(&marker)
        .ok_or_else(|| Failure::new(format!("ARCHITECTURE.md has no {marker}")))?;
    Ok(rest
        .lines()
        .skip(1)
        .take_while(|line| !line.trim().is_empty()))
}

/// All texts between backquotes.
fn quoted(line: &str) -> Vec<&str> {
    line.split('`').skip(1).step_by(2).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marked_part_ends_at_the_empty_line() {
        let paper = "a\n<!-- tidy: x -->\nb\nc\n\nd\n";
        let lines: Vec<_> = marked(paper, "x").expect("the marker").collect();
        assert_eq!(lines, ["b", "c"]);
        assert!(marked(paper, "y").is_err());
    }

    #[test]
    fn quoted_texts_are_those_between_backquotes() {
        assert_eq!(quoted("| `a` | `b`, `c/d.rs` |"), ["a", "b", "c/d.rs"]);
    }
}
