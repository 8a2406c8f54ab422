//! Rules on single source files, and Rust text without comments and strings.

use std::path::Path;

use super::{Finding, Rule, TextFile};

/// Lines of a file without its tests.
const MAX_LINES: usize = 700;
const EMPTY_NAMES: [&str; 5] = ["utils", "common", "helpers", "misc", "types"];

/// Checks text, name and length of one file.
pub(super) fn check(file: &TextFile) -> Vec<Finding> {
    let finding = |what: String, rule| Finding {
        place: file.path.clone(),
        what,
        rule,
    };
    let mut findings = Vec::new();
    if !has_module_text(&file.text) {
        findings.push(finding(
            "it does not begin with `//!`".into(),
            Rule::ModuleText,
        ));
    }
    for name in empty_names(file) {
        findings.push(finding(format!("a module called {name}"), Rule::Names));
    }
    let n_lines = lines_without_tests(file);
    if n_lines > MAX_LINES {
        findings.push(finding(
            format!("{n_lines} lines without its tests"),
            Rule::Length,
        ));
    }
    findings
}

fn has_module_text(text: &str) -> bool {
    let first = text.lines().find(|line| !line.trim().is_empty());
    first.is_none_or(|line| line.starts_with("//!"))
}

fn empty_names(file: &TextFile) -> Vec<&'static str> {
    let path = Path::new(&file.path).with_extension("");
    let code = code_only(&file.text);
    let is_used = |name: &str| {
        path.iter().any(|part| part == name) || code.contains(&format!("mod {name} {{"))
    };
    EMPTY_NAMES
        .into_iter()
        .filter(|name| is_used(name))
        .collect()
}

/// 0 for files that are all tests.
fn lines_without_tests(file: &TextFile) -> usize {
    if Path::new(&file.path).iter().any(|part| part == "tests") {
        return 0;
    }
    let mut lines = file.text.lines().peekable();
    let mut n_lines = 0;
    while let Some(line) = lines.next() {
        let is_tests =
            line == "#[cfg(test)]" && lines.peek().is_some_and(|next| next.starts_with("mod "));
        if is_tests {
            break;
        }
        n_lines += 1;
    }
    n_lines
}

/// Whether a word stands in the text by itself.
pub(super) fn has_word(text: &str, word: &str) -> bool {
    let is_part = |byte: Option<&u8>| byte.is_some_and(|b| b.is_ascii_alphanumeric() || *b == b'_');
    text.match_indices(word).any(|(at, _)| {
        let before = at
            .checked_sub(1)
            .and_then(|before| text.as_bytes().get(before));
        !is_part(before) && !is_part(text.as_bytes().get(at + word.len()))
    })
}

/// Rust text with comments, strings and characters replaced by blanks.
pub(super) fn code_only(text: &str) -> String {
    let mut code = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let length = left_out(rest, &code).unwrap_or(0);
        if length == 0 {
            code.push(first);
            rest = &rest[first.len_utf8()..];
        } else {
            code.push(' ');
            rest = &rest[length..];
        }
    }
    code
}

/// How many bytes of comment, string or character the text begins with.
fn left_out(rest: &str, before: &str) -> Option<usize> {
    if rest.starts_with("//") {
        return Some(rest.find('\n').unwrap_or(rest.len()));
    }
    if rest.starts_with("/*") {
        return Some(block_comment(rest));
    }
    if rest.starts_with('"') {
        let hashes = before.len() - before.trim_end_matches('#').len();
        let is_raw = before.trim_end_matches('#').ends_with('r');
        return Some(if is_raw {
            raw_string(rest, hashes)
        } else {
            string(rest)
        });
    }
    rest.starts_with('\'').then(|| character(rest)).flatten()
}

fn block_comment(rest: &str) -> usize {
    let mut depth = 0_usize;
    let mut at = 0;
    while let Some(here) = rest.get(at..).filter(|here| !here.is_empty()) {
        let step = match here {
            _ if here.starts_with("/*") => {
                depth += 1;
                2
            }
            _ if here.starts_with("*/") => {
                depth -= 1;
                2
            }
            _ => here.chars().next().map_or(1, char::len_utf8),
        };
        at += step;
        if depth == 0 {
            return at;
        }
    }
    rest.len()
}

fn string(rest: &str) -> usize {
    let mut is_escaped = false;
    for (at, byte) in rest.bytes().enumerate().skip(1) {
        match byte {
            _ if is_escaped => is_escaped = false,
            b'\\' => is_escaped = true,
            b'"' => return at + 1,
            _ => {}
        }
    }
    rest.len()
}

fn raw_string(rest: &str, hashes: usize) -> usize {
    let end = format!("\"{}", "#".repeat(hashes));
    rest[1..]
        .find(&end)
        .map_or(rest.len(), |at| 1 + at + end.len())
}

/// A character and not a lifetime: `'x'`, `'\n'`, `'\u{1f}'`.
fn character(rest: &str) -> Option<usize> {
    let mut inner = rest[1..].char_indices();
    let (_, first) = inner.next()?;
    if first == '\\' {
        let (after, _) = inner.nth(1)?;
        return rest[1 + after..]
            .find('\'')
            .map(|at| 1 + after + at + 1)
            .or(Some(rest.len()));
    }
    let (at, second) = inner.next()?;
    (second == '\'').then_some(1 + at + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn findings(path: &str, text: &str) -> Vec<Rule> {
        let file = TextFile {
            path: path.into(),
            text: text.into(),
        };
        check(&file)
            .into_iter()
            .map(|finding| finding.rule)
            .collect()
    }

    #[test]
    fn code_is_left_and_the_rest_blanked() {
        for (text, expected) in [
            ("a // unsafe\nb", "a  \nb"),
            ("a /* x /* y */ z */ b", "a   b"),
            (r#"f("a\"unsafe", b)"#, "f( , b)"),
            (r###"r#"un"safe"# x"###, "r#  x"),
            ("fn f<'a>(x: &'a str) {}", "fn f<'a>(x: &'a str) {}"),
            (r"['\'', '\u{1f}', 'é', '\\'] x", "[ ,  ,  ,  ] x"),
        ] {
            assert_eq!(code_only(text), expected, "{text}");
        }
    }

    #[test]
    fn word_is_not_part_of_a_longer_one() {
        assert!(has_word("a unsafe{", "unsafe"));
        assert!(has_word("#[unsafe(no_mangle)]", "unsafe"));
        assert!(!has_word("forbid(unsafe_code)", "unsafe"));
        assert!(!has_word("is_unsafe", "unsafe"));
    }

    #[test]
    fn file_without_text_is_found() {
        assert_eq!(findings("a.rs", "use std::fmt;\n"), [Rule::ModuleText]);
        assert_eq!(findings("a.rs", "\n//! Text.\n"), []);
        assert_eq!(findings("a.rs", ""), []);
    }

    #[test]
    fn empty_name_is_found_as_file_directory_and_module() {
        assert_eq!(findings("src/utils.rs", ""), [Rule::Names]);
        assert_eq!(findings("src/common/a.rs", ""), [Rule::Names]);
        assert_eq!(findings("a.rs", "//! A.\nmod misc { }"), [Rule::Names]);
        assert_eq!(findings("src/commoner.rs", ""), []);
    }

    #[test]
    fn length_counts_up_to_the_tests() {
        let long = format!("//! A.\n{}", "x\n".repeat(700));
        assert_eq!(findings("a.rs", &long), [Rule::Length]);
        assert_eq!(findings("tests/a.rs", &long), []);
        let tested = format!(
            "//! A.\n#[cfg(test)]\nmod tests {{\n{}}}\n",
            "x\n".repeat(700)
        );
        assert_eq!(findings("a.rs", &tested), []);
    }
}
