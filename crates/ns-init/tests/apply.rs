//! Ops run in this process: lookups and creation below a root that is hostile. They need no right.

use std::fs;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::Path;

use ns_config::Config;
use ns_init::{
    Command, Create, Kind, Missing, Op, Opening, PlanBuilder, Slot, apply, replace_process,
};
use tempfile::TempDir;

/// A root with a canary beside it.
struct Tree {
    directory: TempDir,
}

impl Tree {
    fn new() -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory");
        fs::create_dir(directory.path().join("root")).expect("mkdir");
        fs::create_dir(directory.path().join("canary")).expect("mkdir");
        Tree { directory }
    }

    fn root(&self) -> std::path::PathBuf {
        self.directory.path().join("root")
    }

    /// Opens a path in the root, making what is missing; also checks that the canary is untouched.
    fn open(&self, path: &str, create: Create) -> Result<(), ns_init::Error> {
        let mut plan = PlanBuilder::new();
        let root = fs::File::open(self.root()).expect("the root");
        let root = plan.inherit(OwnedFd::from(root), "root")?;
        let out = plan.slot(path);
        let path = plan.text(path)?;
        let missing = Missing::Fail;
        plan.push(
            "open",
            Op::OpenInRoot {
                out,
                root,
                path,
                create,
                missing,
            },
        );
        let outcome = apply(&plan.finish());
        let canary = fs::read_dir(self.directory.path().join("canary")).expect("the canary");
        assert_eq!(canary.count(), 0, "something was made outside the root");
        outcome
    }
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path)
        .expect("it was made")
        .permissions()
        .mode()
        & 0o777
}

fn push_make(plan: &mut PlanBuilder, parent: Slot, name: &str) {
    let name = plan.text(name).expect("no NUL");
    let mode = 0o755;
    plan.push("make", Op::MakeDirectory { parent, name, mode });
}

#[test]
fn missing_directories_are_made_with_their_modes() {
    let tree = Tree::new();
    tree.open("/a/./b//c/", Create::Directory(0o700))
        .expect("it can be made");
    assert_eq!(mode(&tree.root().join("a/b/c")), 0o700);
    assert_eq!(mode(&tree.root().join("a")), 0o755);
}

#[test]
fn missing_file_is_made_in_missing_directories() {
    let tree = Tree::new();
    tree.open("a/b", Create::File(0o600))
        .expect("it can be made");
    assert!(tree.root().join("a/b").is_file());
}

#[test]
fn absolute_link_is_followed_inside_the_root() {
    let tree = Tree::new();
    symlink(
        tree.directory.path().join("canary"),
        tree.root().join("link"),
    )
    .expect("symlink");
    tree.open("link/x", Create::Directory(0o755))
        .expect("the link leads inside");
    let inside = tree
        .root()
        .join(tree.directory.path().strip_prefix("/").expect("absolute"));
    assert!(inside.join("canary/x").is_dir());
}

#[test]
fn climbing_link_stays_inside_the_root() {
    let tree = Tree::new();
    symlink("../../canary", tree.root().join("link")).expect("symlink");
    tree.open("link/x", Create::Directory(0o755))
        .expect("the link leads inside");
    assert!(tree.root().join("canary/x").is_dir());
}

#[test]
fn climbing_path_stays_inside_the_root() {
    let tree = Tree::new();
    tree.open("a/../../../canary/x", Create::Directory(0o755))
        .expect("it leads inside");
    assert!(tree.root().join("canary/x").is_dir());
}

#[test]
fn dangling_link_is_made_whole_inside_the_root() {
    let tree = Tree::new();
    symlink("/run/real", tree.root().join("link")).expect("symlink");
    tree.open("link", Create::File(0o644))
        .expect("the link leads inside");
    assert!(tree.root().join("run/real").is_file());
}

#[test]
fn links_in_a_circle_are_refused() {
    let tree = Tree::new();
    symlink("b", tree.root().join("a")).expect("symlink");
    symlink("a", tree.root().join("b")).expect("symlink");
    let error = tree
        .open("a/x", Create::Directory(0o755))
        .expect_err("it never ends");
    assert_eq!(error.kind(), Kind::Hostile, "{error}");
}

#[test]
fn magic_link_is_refused() {
    let mut plan = PlanBuilder::new();
    let root = plan
        .inherit(OwnedFd::from(fs::File::open("/").expect("/")), "/")
        .expect("room");
    let out = plan.slot("the root of a process");
    let path = plan.text("proc/self/root/etc").expect("no NUL");
    let (create, missing) = (Create::Nothing, Missing::Fail);
    plan.push(
        "open",
        Op::OpenInRoot {
            out,
            root,
            path,
            create,
            missing,
        },
    );
    let error = apply(&plan.finish()).expect_err("a magic link");
    assert_eq!(error.errno(), Some(40), "{error}");
}

#[test]
fn overlong_path_is_refused() {
    let error = Tree::new()
        .open(&"x/".repeat(3000), Create::Directory(0o755))
        .expect_err("too long");
    assert_eq!(error.errno(), Some(36), "{error}");
}

#[test]
fn skipped_group_is_left_out_and_the_rest_goes_on() {
    let tree = Tree::new();
    let mut plan = PlanBuilder::new();
    let root = plan
        .inherit(
            OwnedFd::from(fs::File::open(tree.root()).expect("root")),
            "root",
        )
        .expect("room");
    let (out, path) = (
        plan.slot("missing"),
        plan.text("/nowhere/at/all").expect("no NUL"),
    );
    let at = plan.n_ops();
    let missing = Missing::Skip(0);
    plan.push(
        "open",
        Op::OpenHost {
            out,
            path,
            opening: Opening::Path,
            missing,
        },
    );
    for name in ["left-out", "also-left-out"] {
        push_make(&mut plan, root, name);
    }
    plan.skip_to_here(at);
    push_make(&mut plan, root, "made");
    apply(&plan.finish()).expect("the rest can be done");
    let names: Vec<_> = fs::read_dir(tree.root())
        .expect("root")
        .map(|entry| entry.expect("entry").file_name())
        .collect();
    assert_eq!(names, ["made"]);
}

#[test]
fn op_that_needs_a_caller_is_refused_before_anything_is_done() {
    let tree = Tree::new();
    let mut plan = PlanBuilder::new();
    let root = plan
        .inherit(
            OwnedFd::from(fs::File::open(tree.root()).expect("root")),
            "root",
        )
        .expect("room");
    push_make(&mut plan, root, "made");
    plan.push("go on elsewhere", Op::Fork);
    let error = apply(&plan.finish()).expect_err("there is no caller");
    assert_eq!(error.kind(), Kind::InvalidValue);
    assert!(!tree.root().join("made").exists());
}

#[test]
fn null_device_is_known_by_its_numbers() {
    let check = |path: &str| {
        let mut plan = PlanBuilder::new();
        let (slot, path) = (plan.slot("device"), plan.text(path).expect("no NUL"));
        plan.push(
            "open",
            Op::OpenHost {
                out: slot,
                path,
                opening: Opening::Path,
                missing: Missing::Fail,
            },
        );
        plan.push(
            "check",
            Op::CheckDevice {
                slot,
                major: 1,
                minor: 3,
            },
        );
        apply(&plan.finish())
    };
    check("/dev/null").expect("it is the null device");
    for path in ["/dev/zero", "/etc/passwd", "/dev"] {
        assert_eq!(
            check(path).expect_err("another object").kind(),
            Kind::Hostile,
            "{path}"
        );
    }
}

#[test]
fn nothing_is_mounted_below_procfs() {
    let mut plan = PlanBuilder::new();
    let (slot, path) = (plan.slot("proc"), plan.text("/proc/sys").expect("no NUL"));
    plan.push(
        "open",
        Op::OpenHost {
            out: slot,
            path,
            opening: Opening::Path,
            missing: Missing::Fail,
        },
    );
    plan.push("check", Op::CheckOutsideProc { slot });
    assert_eq!(
        apply(&plan.finish()).expect_err("it is procfs").kind(),
        Kind::Hostile
    );
}

#[test]
fn process_is_replaced_by_a_planned_command_only() {
    let tree = Tree::new();
    let mut plan = PlanBuilder::new();
    plan.push("go on elsewhere", Op::Fork);
    let error = replace_process(&plan.finish());
    assert_eq!(error.kind(), Kind::InvalidValue, "{error}");

    let mut plan = PlanBuilder::new();
    let root = fs::File::open(tree.root()).expect("root");
    let root = plan.inherit(OwnedFd::from(root), "root").expect("room");
    push_make(&mut plan, root, "made");
    let error = replace_process(&plan.finish());
    assert_eq!(error.kind(), Kind::InvalidValue, "{error}");
    assert!(error.to_string().contains("no command"), "{error}");
    assert!(tree.root().join("made").exists(), "the ops were run");
}

#[test]
fn command_that_is_missing_does_not_replace_the_process() {
    let mut plan = PlanBuilder::new();
    let command = Command {
        arguments: vec!["no-such-command".into()],
        environment: vec!["PATH=/nowhere:/usr/bin".into()],
    };
    ns_init::execute(&Config::default(), &command, &mut plan).expect("a command");
    let plan = plan.finish();
    assert_eq!(replace_process(&plan).kind(), Kind::NotFound);
    let error = apply(&plan).expect_err("it would not return");
    assert_eq!(error.kind(), Kind::InvalidValue, "{error}");
}
