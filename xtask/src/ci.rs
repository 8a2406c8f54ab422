//! `cargo xtask ci`: every check, in the order in which they are quickest to tell.

use std::os::unix::fs::chown;
use std::process::{Command, ExitCode, Stdio};

use clap::Args;
use nix::unistd::Uid;

use crate::engine::Engine;
use crate::failure::{Failure, Result, While};
use crate::inside::Job;
use crate::program::{self, Programs};
use crate::runner::{Rights, Runner};
use crate::tally::{Outcome, Tally};
use crate::tree::set_mode;
use crate::view::{self, View};
use crate::workspace::{Workspace, cargo, succeed};
use crate::{debian, itest, libtest, must_run, tidy, vm};

/// Options of `ci`.
#[derive(Debug, Args)]
pub(crate) struct Ci {
    /// Also install from Debian what the bench compares with: bubblewrap, runc, crun.
    #[arg(long)]
    install_peers: bool,
    /// Install nothing; tests that miss something skip.
    #[arg(long)]
    no_install: bool,
}

/// Owns nothing on any machine and has no account, so nothing works by accident.
const PLAIN_USER: u32 = 61_234;
const NO_ROOT: &str = "we are not root, and sudo asks for a password";

impl Ci {
    /// Runs every check to the end, whatever failed before.
    pub(crate) fn run(&self, workspace: &Workspace) -> Result<ExitCode> {
        let mut tally = Tally::default();
        if !self.no_install {
            tally.step("packages", || debian::install(&debian::FOR_TESTS));
        }
        if self.install_peers {
            tally.step("packages to compare with", || {
                debian::install(&debian::PEERS)
            });
        }
        tally.step("format", || {
            succeed(cargo().args(["fmt", "--all", "--check"]))
        });
        tally.step("tidy", || tidy::check(workspace));
        tally.step("clippy", || {
            let all = ["clippy", "--workspace", "--all-targets", "--all-features"];
            succeed(cargo().args(all).args(["--", "-Dwarnings"]))
        });
        tally.step("documents", || {
            let mut doc = cargo();
            doc.args(["doc", "--no-deps", "--workspace", "--all-features"]);
            succeed(doc.env("RUSTDOCFLAGS", "-D warnings"))
        });
        dependencies(&mut tally);
        doctests(&mut tally);
        self.tests(workspace, &mut tally);
        let n_forgotten = tally.forget_skips_for_rights();
        println!("\n{n_forgotten} tests need the rights of one user and ran with them alone");
        tally.print();
        Ok(if tally.is_clean() {
            ExitCode::SUCCESS
        } else {
            ExitCode::FAILURE
        })
    }
}

impl Ci {
    fn tests(&self, workspace: &Workspace, tally: &mut Tally) {
        println!("\n== tests");
        let programs = match program::build(workspace) {
            Ok(programs) => programs,
            Err(failure) => return add_failure("tests", &failure, tally),
        };
        if let Err(failure) = as_root(workspace, &programs, tally) {
            add_failure("tests as root", &failure, tally);
        }
        if let Err(failure) = as_plain_user(workspace, &programs, tally) {
            add_failure("tests as a plain user", &failure, tally);
        }
        for view in [View::V1, View::V2] {
            println!("\n== tests in the view {view}");
            if let Err(failure) = in_view(&programs, view, tally) {
                add_failure(&format!("view {view}"), &failure, tally);
            }
        }
        println!("\n== tests in a privileged container of our own");
        if let Err(failure) = in_own_container(workspace, &programs, tally) {
            add_failure("nsrun", &failure, tally);
        }
        println!("\n== tests in a virtual machine");
        if let Err(failure) = self.in_virtual_machine(workspace, programs, tally) {
            let failure = Failure::new(format!("infrastructure: {failure}"));
            add_failure("virtual machine", &failure, tally);
        }
    }

    fn in_virtual_machine(
        &self,
        workspace: &Workspace,
        programs: Programs,
        tally: &mut Tally,
    ) -> Result<()> {
        if !self.no_install {
            debian::install(&debian::FOR_GUESTS)?;
        }
        let job = Job::all_of(programs.about_groups());
        vm::run(workspace, &job, vm::Choice::default(), tally)
    }
}

fn add_failure(name: &str, failure: &Failure, tally: &mut Tally) {
    println!("FAIL {name}: {failure}");
    tally.add(name, Outcome::Failed(failure.to_string()));
}

fn dependencies(tally: &mut Tally) {
    let mut version = cargo();
    version
        .args(["deny", "--version"])
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    if version.status().is_ok_and(|status| status.success()) {
        let check = ["deny", "--offline", "check", "bans", "licenses", "sources"];
        tally.step("dependencies", || succeed(cargo().args(check)));
    } else {
        tally.add(
            "dependencies",
            Outcome::Skipped("cargo-deny is not installed".into()),
        );
    }
}

fn doctests(tally: &mut Tally) {
    println!("\n== doctests");
    match run_doctests(tally) {
        Ok(()) => {}
        Err(failure) => {
            println!("FAIL doctests: {failure}");
            tally.add("doctests", Outcome::Failed(failure.to_string()));
        }
    }
}

fn run_doctests(tally: &mut Tally) -> Result<()> {
    let output = cargo()
        .args([
            "test",
            "--doc",
            "--workspace",
            "--all-features",
            "--no-fail-fast",
        ])
        .stderr(Stdio::inherit())
        .output()
        .while_doing("cargo test --doc")?;
    let text = String::from_utf8_lossy(&output.stdout);
    let counts = libtest::counts(&text).unwrap_or_default();
    tally.add_passed(counts.passed);
    for number in 0..counts.ignored {
        tally.add(
            format!("doctest {number}"),
            Outcome::Skipped("ignored in the source".into()),
        );
    }
    println!("{} passed, {} failed", counts.passed, counts.failed);
    if output.status.success() {
        return Ok(());
    }
    println!("{text}");
    for number in 1..counts.failed {
        tally.add(
            format!("doctest {number}"),
            Outcome::Failed("see above".into()),
        );
    }
    Err(Failure::new("see above"))
}

fn as_root(workspace: &Workspace, programs: &Programs, tally: &mut Tally) -> Result<()> {
    let rights = match (Uid::effective().is_root(), can_sudo()) {
        (true, _) => Rights::Own,
        (false, true) => Rights::Sudo,
        (false, false) => {
            tally.add("tests as root", Outcome::Skipped(NO_ROOT.into()));
            return Ok(());
        }
    };
    let runner = Runner {
        label: "root".into(),
        rights,
        environment: Vec::new(),
        directory: workspace.root.clone(),
        filter: String::new(),
    };
    runner.run(programs, tally)?;
    must_run::check("root", tally)
}

/// The copies are in a directory that everybody can read: the checkout may be out of reach.
fn as_plain_user(workspace: &Workspace, programs: &Programs, tally: &mut Tally) -> Result<()> {
    let directory = tempfile::tempdir().while_doing("temporary directory")?;
    let programs = programs.clone().without_pure();
    let programs = programs.copy_to(directory.path())?;
    let home = directory.path().join("home");
    std::fs::create_dir(&home).while_doing("home")?;
    set_mode(directory.path(), 0o755)?;
    set_mode(&home, 0o700)?;
    let rights = if Uid::effective().is_root() {
        chown(&home, Some(PLAIN_USER), Some(PLAIN_USER)).while_doing("chown home")?;
        Rights::User(PLAIN_USER)
    } else {
        Rights::Own
    };
    let runner = Runner {
        label: "user".into(),
        rights,
        environment: ["HOME", "TMPDIR", "XDG_RUNTIME_DIR"]
            .map(|name| (name, home.clone().into_os_string()))
            .into(),
        directory: home,
        filter: String::new(),
    };
    warn_about_reach(workspace, rights);
    runner.run(&programs, tally)?;
    must_run::check("user", tally)?;
    // Dropped, it would leave what tests have left in it, and not a word.
    directory
        .close()
        .while_doing("remove the temporary directory")
}

fn in_view(programs: &Programs, view: View, tally: &mut Tally) -> Result<()> {
    let reason = match view::is_another(view) {
        Ok(true) if Uid::effective().is_root() || can_sudo() => {
            let job = Job::all_of(programs.clone().about_groups());
            return itest::in_view(job, view, tally);
        }
        Ok(true) => NO_ROOT.to_owned(),
        Ok(false) => {
            println!("it is the machine's own, in which they have run");
            return Ok(());
        }
        Err(failure) => failure.to_string(),
    };
    println!("SKIP view {view}: {reason}");
    tally.add(format!("view {view}"), Outcome::Skipped(reason));
    Ok(())
}

fn in_own_container(workspace: &Workspace, programs: &Programs, tally: &mut Tally) -> Result<()> {
    if !Uid::effective().is_root() {
        let reason = "needs root: the files of the container have to be root's";
        tally.add("nsrun", Outcome::Skipped(reason.into()));
        return Ok(());
    }
    let job = Job::all_of(programs.clone().without_pure());
    Engine::Nsrun.run(workspace, &job, tally)
}

fn warn_about_reach(workspace: &Workspace, rights: Rights) {
    use std::os::unix::process::CommandExt;
    let Rights::User(id) = rights else { return };
    let is_reachable = Command::new("test")
        .arg("-r")
        .arg(workspace.root.join("Cargo.toml"))
        .uid(id)
        .gid(id)
        .status();
    if !is_reachable.is_ok_and(|status| status.success()) {
        println!(
            "note: user {id} cannot read {}; tests that read its files may fail",
            workspace.root.display()
        );
    }
}

fn can_sudo() -> bool {
    let mut sudo = Command::new("sudo");
    sudo.args(["-n", "true"])
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    sudo.status().is_ok_and(|status| status.success())
}
