//! Lookups in a tree that others can write.

#![expect(clippy::unwrap_used, reason = "a test stops where it breaks")]

use std::fs;
use std::os::unix::fs::{MetadataExt, symlink};

use ns_mount::{Kind, Root};

#[test]
fn file_in_the_root_is_read_through_links_that_stay_inside() {
    let (directory, root) = tree();
    let path = directory.path();
    fs::create_dir(path.join("usr")).unwrap();
    fs::create_dir(path.join("usr/etc")).unwrap();
    fs::write(path.join("usr/etc/passwd"), "root:x:0:0").unwrap();
    symlink("/usr/etc", path.join("etc")).unwrap();
    symlink("../../../../usr", path.join("up")).unwrap();
    for name in [
        "etc/passwd",
        "/etc/passwd",
        "up/etc/passwd",
        "../../etc/passwd",
    ] {
        let contents = root.read_file(name, 100).unwrap().unwrap();
        assert_eq!(contents, b"root:x:0:0", "{name}");
    }
}

#[test]
fn file_that_is_missing_is_none() {
    let (directory, root) = tree();
    fs::write(directory.path().join("file"), "").unwrap();
    symlink("/nowhere", directory.path().join("dangling")).unwrap();
    for name in ["missing", "missing/deep", "file/below", "dangling"] {
        assert!(root.read_file(name, 100).unwrap().is_none(), "{name}");
    }
}

#[test]
fn link_to_a_host_file_never_reads_it() {
    let (directory, root) = tree();
    let outside = tempfile::tempdir().unwrap();
    let secret = outside.path().join("secret");
    fs::write(&secret, "secret").unwrap();
    symlink(&secret, directory.path().join("absolute")).unwrap();
    symlink(
        format!("../../../../../..{}", secret.display()),
        directory.path().join("up"),
    )
    .unwrap();
    for name in ["absolute", "up"] {
        assert!(root.read_file(name, 100).unwrap().is_none(), "{name}");
    }
}

#[test]
fn object_that_is_no_regular_file_is_refused_without_being_opened() {
    let (directory, root) = tree();
    let mode = nix::sys::stat::Mode::S_IRWXU;
    nix::unistd::mkfifo(&directory.path().join("fifo"), mode).unwrap();
    symlink("fifo", directory.path().join("link")).unwrap();
    for name in ["fifo", "link", "."] {
        let error = root.read_file(name, 100).unwrap_err();
        assert_eq!(error.kind(), Kind::Hostile, "{name}: {error:?}");
    }
}

#[test]
fn link_that_goes_in_circles_or_is_magic_is_refused() {
    let (directory, root) = tree();
    symlink("loop", directory.path().join("loop")).unwrap();
    assert_eq!(root.resolve("loop").unwrap_err().kind(), Kind::Hostile);
    let host = Root::open("/").unwrap();
    let error = host.resolve("/proc/self/root/etc").unwrap_err();
    assert_eq!((error.kind(), error.errno()), (Kind::Hostile, Some(40)));
}

#[test]
fn file_that_is_larger_than_the_limit_is_refused() {
    let (directory, root) = tree();
    fs::write(directory.path().join("big"), "12345").unwrap();
    assert_eq!(root.read_file("big", 4).unwrap_err().kind(), Kind::Limit);
    assert_eq!(root.read_file("big", 5).unwrap().unwrap(), b"12345");
}

#[test]
fn directory_is_made_inside_with_its_parents() {
    let (directory, root) = tree();
    symlink("/real", directory.path().join("alias")).unwrap();
    fs::create_dir(directory.path().join("real")).unwrap();
    let made = root.create_directory("/alias/a/b", 0o700).unwrap();
    assert!(made.is_directory().unwrap());
    let metadata = fs::metadata(directory.path().join("real/a/b")).unwrap();
    assert_eq!(metadata.mode() & 0o7777, 0o700);
    assert!(
        root.create_directory("/alias/a/b", 0o755).is_ok(),
        "an existing one is kept"
    );
}

#[test]
fn cve_2024_45310_directory_behind_a_hostile_link_is_not_made_on_the_host() {
    let (directory, root) = tree();
    let outside = tempfile::tempdir().unwrap();
    let target = outside.path().join("made");
    symlink(&target, directory.path().join("link")).unwrap();
    let error = root.create_directory("/link/x", 0o755).unwrap_err();
    assert_eq!(error.kind(), Kind::NotFound, "{error:?}");
    assert!(!target.exists());
    assert_eq!(
        root.create_directory("/a/../b", 0o755).unwrap_err().kind(),
        Kind::Hostile
    );
}

#[test]
fn root_that_is_no_directory_is_refused() {
    let (directory, _) = tree();
    let file = directory.path().join("file");
    fs::write(&file, "").unwrap();
    let error = Root::open(file.to_str().unwrap()).unwrap_err();
    assert_eq!(error.kind(), Kind::NotFound);
    let descriptor = fs::File::open(&file).unwrap();
    assert_eq!(
        Root::from_fd(descriptor.into()).unwrap_err().kind(),
        Kind::Hostile
    );
}

fn tree() -> (tempfile::TempDir, Root) {
    let directory = tempfile::tempdir().unwrap();
    let root = Root::open(directory.path().to_str().unwrap()).unwrap();
    (directory, root)
}
