//! docs/seed.md names tests that exist, for every function, every test of the original, and every hole.

use std::fs;
use std::path::{Path, PathBuf};

/// What the page is about, as the original's documents list it.
const FUNCTIONS: [&str; 14] = [
    "CreateCommand",
    "DefaultCreateCommand",
    "EnterCgroups",
    "Exec",
    "ExecIn",
    "FinalizeNamespace",
    "FinalizeSetns",
    "GetNamespaceFlags",
    "Init",
    "InitializeNetworking",
    "LoadContainerEnvironment",
    "RestoreParentDeathSignal",
    "SetupCgroups",
    "SetupUser",
];
const N_TESTS_THAT_RAN: usize = 67;
const N_HOLES: usize = 17;

fn workspace() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
}

fn page() -> String {
    fs::read_to_string(workspace().join("docs/seed.md")).expect("the page")
}

/// The rows of the table behind `<!-- seed: NAME -->`, each with its cells.
fn rows(page: &str, name: &str) -> Vec<Vec<String>> {
    let marker = format!("<!-- seed: {name} -->");
    let (_, rest) = page.split_once(&marker).expect("a table of that name");
    let table = rest
        .trim_start()
        .lines()
        .take_while(|line| line.starts_with('|'));
    let cells = |line: &str| {
        let line = line.trim_matches('|');
        line.split('|').map(|cell| cell.trim().to_owned()).collect()
    };
    table.skip(2).map(cells).collect()
}

/// All `crate::file::function` between backquotes.
fn named_tests(text: &str) -> Vec<&str> {
    let quoted = text.split('`').skip(1).step_by(2);
    quoted
        .filter(|name| name.starts_with("ns-") && name.matches("::").count() == 2)
        .collect()
}

/// The sources of a crate that have this name.
fn files(package: &str, file: &str) -> Vec<PathBuf> {
    let root = match package {
        "ns-tests" => workspace().join("tests"),
        _ => workspace().join("crates").join(package),
    };
    let mut found = Vec::new();
    let mut open = vec![root.join("src"), root.join("tests")];
    while let Some(directory) = open.pop() {
        for entry in fs::read_dir(&directory).into_iter().flatten().flatten() {
            let path = entry.path();
            match path.is_dir() {
                true => open.push(path),
                false
                    if path
                        .file_name()
                        .is_some_and(|own| own == format!("{file}.rs").as_str()) =>
                {
                    found.push(path);
                }
                false => {}
            }
        }
    }
    found
}

/// Whether the text has a test of this name: a function behind `#[test]`, or one that a macro makes tests of.
fn has_test(text: &str, function: &str) -> bool {
    let definition = format!("fn {function}(");
    let Some(at) = text.find(&definition) else {
        return false;
    };
    let before: Vec<&str> = text[..at].trim_end().lines().rev().take(4).collect();
    let attributes = before.iter().take_while(|line| {
        let line = line.trim();
        line.starts_with("#[") || line.starts_with("///")
    });
    let is_marked = attributes.into_iter().any(|line| line.trim() == "#[test]");
    let is_listed = text.lines().any(|line| {
        let words = line.trim().trim_start_matches("variants![");
        words
            .trim_end_matches(['!', ';', ']', ','])
            .split(", ")
            .any(|word| word == function)
    });
    is_marked || is_listed
}

fn exists(test: &str) -> bool {
    let parts: Vec<&str> = test.split("::").collect();
    let [package, file, function] = parts[..] else {
        return false;
    };
    files(package, file).iter().any(|path| {
        let text = fs::read_to_string(path).expect("a source");
        has_test(&text, function)
    })
}

#[test]
fn every_named_test_exists() {
    let page = page();
    let missing: Vec<&str> = named_tests(&page)
        .into_iter()
        .filter(|test| !exists(test))
        .collect();
    assert_eq!(
        missing, [""; 0],
        "docs/seed.md names tests that are not there"
    );
}

#[test]
fn test_that_is_not_there_is_found() {
    assert!(exists(
        "ns-tests::seed_page::test_that_is_not_there_is_found"
    ));
    for name in [
        "ns-tests::seed_page::test_that_is_not_there",
        "ns-tests::seed_page::exists",
        "ns-tests::seed_pages::every_named_test_exists",
        "ns-test::seed_page::every_named_test_exists",
    ] {
        assert!(!exists(name), "{name}");
    }
    assert!(has_test(
        "variants![one, two];\nfn two(test: &Test) {",
        "two"
    ));
    assert!(!has_test("fn two(test: &Test) {", "two"));
    assert_eq!(
        named_tests("`ns-a::b::c`, `a::b`, `ns_a::b`"),
        ["ns-a::b::c"]
    );
}

#[test]
fn every_function_and_test_and_hole_has_its_row() {
    let page = page();
    let functions = rows(&page, "functions");
    let mut names: Vec<&str> = functions
        .iter()
        .map(|row| row[0].trim_matches('`'))
        .collect();
    names.sort_unstable();
    assert_eq!(names, FUNCTIONS);
    let tests = rows(&page, "tests");
    assert_eq!(tests.len(), N_TESTS_THAT_RAN);
    let holes = rows(&page, "holes");
    for number in 1..=N_HOLES {
        let hole = format!("H{number}:");
        assert!(holes.iter().any(|row| row[0].starts_with(&hole)), "{hole}");
    }
    let others = ["later", "never"].map(|name| rows(&page, name)).concat();
    for (row, column) in functions
        .iter()
        .chain(&tests)
        .map(|row| (row, 2))
        .chain(holes.iter().chain(&others).map(|row| (row, 1)))
    {
        assert!(
            !named_tests(&row[column]).is_empty(),
            "{row:?} names no test"
        );
    }
}
