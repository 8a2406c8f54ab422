//! Test programs: building them, and the program under test beside them.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::failure::{Failure, Result, While};
use crate::workspace::{Member, Workspace, cargo};

/// A compiled test program.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct TestProgram {
    /// Name of its package.
    pub(crate) package: String,
    /// Name as nextest forms it: the package, then `::` and the target unless it is the library.
    pub(crate) name: String,
    /// The executable.
    pub(crate) path: PathBuf,
    /// The package's directory, where its tests run.
    pub(crate) directory: PathBuf,
}

/// Everything that the tests of a workspace consist of.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Programs {
    /// All test programs.
    pub(crate) tests: Vec<TestProgram>,
    /// `nsrun` as it is shipped, for tests that start it.
    pub(crate) nsrun: PathBuf,
}

/// Builds all test programs, and `nsrun` with optimization: its promised size and the program that people run are
/// what is tested.
pub(crate) fn build(workspace: &Workspace) -> Result<Programs> {
    let nsrun = build_json(&["build", "--release", "--package=nsrun", "--all-features"])?;
    let nsrun = nsrun
        .iter()
        .find_map(|message| executable(message, "nsrun"))
        .ok_or_else(|| Failure::new("cargo built no nsrun"))?;
    let messages = build_json(&["test", "--workspace", "--all-features", "--no-run"])?;
    let mut tests: Vec<_> = messages
        .iter()
        .filter(|message| message["profile"]["test"] == Value::Bool(true))
        .filter_map(|message| test_program(workspace, message))
        .collect();
    tests.sort_by(|a, b| a.name.cmp(&b.name));
    if tests.is_empty() {
        return Err(Failure::new("cargo built no test program"));
    }
    Ok(Programs { tests, nsrun })
}

/// Builds one program with the release profile and gives its path.
pub(crate) fn build_release(package: &str, features: &[&str], program: &str) -> Result<PathBuf> {
    let (package, features) = (format!("--package={package}"), features.join(","));
    let bin = format!("--bin={program}");
    let messages = build_json(&[
        "build",
        "--release",
        &package,
        "--features",
        &features,
        &bin,
    ])?;
    messages
        .iter()
        .find_map(|message| executable(message, program))
        .ok_or_else(|| Failure::new(format!("cargo built no {program}")))
}

/// Pure packages: neither another user nor another place can change what their tests see.
const PURE: [&str; 2] = ["ns-config", "xtask"];

/// Beginnings of the names of programs for which the layout and the controllers of control groups make a difference.
const ABOUT_GROUPS: [&str; 7] = [
    "ns-cgroups::",
    "ns-exec::",
    "ns-tests::container",
    "ns-tests::nsinit",
    "ns-tests::seed",
    "ns-tests::start_",
    "ns-tests::verbs",
];

/// Those of them that are about faults at every call, about words and about the caller: the first and the last take long.
const NOT_ABOUT_GROUPS: [&str; 3] = [
    "ns-tests::container_fault",
    "ns-tests::start_explain",
    "ns-tests::start_library",
];

impl Programs {
    /// Without the packages whose tests are the same everywhere.
    pub(crate) fn without_pure(mut self) -> Programs {
        self.tests
            .retain(|test| !PURE.contains(&test.package.as_str()));
        self
    }

    /// Only those whose tests are about control groups, or start containers with them.
    pub(crate) fn about_groups(mut self) -> Programs {
        let is_about_groups = |test: &TestProgram| {
            let mut beginnings = ABOUT_GROUPS.iter();
            beginnings.any(|beginning| test.name.starts_with(beginning))
                && !NOT_ABOUT_GROUPS.contains(&test.name.as_str())
        };
        self.tests.retain(is_about_groups);
        self
    }

    /// Copies all programs into a directory, laid out as cargo does (`nsrun`, `deps/TEST`).
    pub(crate) fn copy_to(&self, directory: &Path) -> Result<Programs> {
        let deps = directory.join("deps");
        std::fs::create_dir(&deps).while_doing(deps.display())?;
        let copy = |from: &Path, to: &Path| {
            let name = from.file_name().unwrap_or_default();
            let to = to.join(name);
            std::fs::copy(from, &to).while_doing(format!("copy {}", from.display()))?;
            Ok(to)
        };
        let copy_test = |test: &TestProgram| {
            let path = copy(&test.path, &deps)?;
            Ok(TestProgram {
                path,
                ..test.clone()
            })
        };
        Ok(Programs {
            tests: self.tests.iter().map(copy_test).collect::<Result<_>>()?,
            nsrun: copy(&self.nsrun, directory)?,
        })
    }
}

fn build_json(arguments: &[&str]) -> Result<Vec<Value>> {
    let output = cargo()
        .args(arguments)
        .arg("--message-format=json-render-diagnostics")
        .stderr(Stdio::inherit())
        .output()
        .while_doing("cargo")?;
    if !output.status.success() {
        return Err(Failure::new(format!(
            "cargo {}: {}",
            arguments.join(" "),
            output.status
        )));
    }
    String::from_utf8_lossy(&output.stdout)
        .lines()
        .filter(|line| line.starts_with('{'))
        .map(|line| serde_json::from_str(line).while_doing("cargo's messages"))
        .collect()
}

fn executable(message: &Value, program: &str) -> Option<PathBuf> {
    let is_program = message["target"]["name"] == program
        && message["target"]["kind"][0] == "bin"
        && message["profile"]["test"] == Value::Bool(false);
    let path = message["executable"].as_str().filter(|_| is_program)?;
    Some(PathBuf::from(path))
}

fn test_program(workspace: &Workspace, message: &Value) -> Option<TestProgram> {
    let member = workspace.members.get(message["package_id"].as_str()?)?;
    let path = PathBuf::from(message["executable"].as_str()?);
    let target = &message["target"];
    let name = program_name(
        member,
        target["kind"][0].as_str()?,
        target["name"].as_str()?,
    );
    Some(TestProgram {
        package: member.name.clone(),
        name,
        path,
        directory: member.directory.clone(),
    })
}

fn program_name(member: &Member, kind: &str, target: &str) -> String {
    match kind {
        "lib" | "rlib" | "proc-macro" => member.name.clone(),
        "test" => format!("{}::{target}", member.name),
        kind => format!("{}::{kind}/{target}", member.name),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn workspace() -> Workspace {
        let member = Member {
            name: "ns-a".into(),
            directory: "/w/a".into(),
            dependencies: Vec::new(),
        };
        Workspace {
            root: "/w".into(),
            target: "/w/target".into(),
            members: [("id-a".to_owned(), member)].into(),
        }
    }

    #[test]
    fn test_programs_are_named_as_nextest_names_them() {
        let message = |kind: &str, package: &str| {
            json!({"package_id": package, "executable": "/t/x", "profile": {"test": true},
                "target": {"kind": [kind], "name": "x"}})
        };
        let name = |kind| test_program(&workspace(), &message(kind, "id-a")).map(|test| test.name);
        assert_eq!(name("lib").as_deref(), Some("ns-a"));
        assert_eq!(name("test").as_deref(), Some("ns-a::x"));
        assert_eq!(name("bin").as_deref(), Some("ns-a::bin/x"));
        assert!(test_program(&workspace(), &message("lib", "elsewhere")).is_none());
    }

    #[test]
    fn programs_are_chosen_by_package_and_by_subject() {
        let names = [
            "ns-config::seed",
            "ns-cgroups",
            "ns-cgroups::group",
            "ns-tests::start_flags",
            "ns-tests::start_explain",
            "ns-tests::cve",
        ];
        let program = |name: &&str| TestProgram {
            package: name.split("::").next().unwrap_or_default().to_owned(),
            name: (*name).to_owned(),
            path: "/t/x".into(),
            directory: "/w".into(),
        };
        let programs = Programs {
            tests: names.iter().map(program).collect(),
            nsrun: "/t/nsrun".into(),
        };
        let left = |programs: Programs| -> Vec<String> {
            let tests = programs.tests.into_iter();
            tests.map(|test| test.name).collect()
        };
        assert_eq!(left(programs.clone().without_pure()), names[1..]);
        assert_eq!(left(programs.about_groups()), names[2..4]);
    }

    #[test]
    fn executable_of_a_test_profile_is_not_the_program() {
        let message = |test: bool| {
            json!({"executable": "/t/nsrun", "profile": {"test": test},
                "target": {"kind": ["bin"], "name": "nsrun"}})
        };
        assert_eq!(
            executable(&message(false), "nsrun"),
            Some("/t/nsrun".into())
        );
        assert_eq!(executable(&message(true), "nsrun"), None);
        assert_eq!(executable(&message(false), "other"), None);
    }
}
