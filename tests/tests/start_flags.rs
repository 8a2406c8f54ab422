//! `nsrun sandbox`: each flag.

use std::path::Path;

use ns_tests::{Canary, Test, needs, variants};

variants![
    bind_is_writable_and_reaches_the_host,
    bind_of_a_relative_path_is_of_the_callers_directory,
    bind_of_a_file_is_that_file,
    ro_bind_is_read_only,
    mounts_take_the_order_of_the_command_line,
    dir_and_symlink_are_made_inside_alone,
    rootfs_is_read_only,
    rootfs_made_writable_reaches_the_host,
    share_net_shares_the_hosts_network,
    unshare_user_takes_a_user_namespace,
    env_sets_takes_over_and_wins,
    clearenv_leaves_what_was_set,
    chdir_is_the_working_directory,
    user_is_taken_by_name_and_number,
    cap_add_keeps_and_cap_drop_drops,
    rlimit_is_set_in_both_halves,
    hostname_is_set,
    new_session_makes_the_command_its_leader,
    tmpfs_is_empty_and_writable,
];

fn text(path: &Path) -> &str {
    path.to_str().expect("UTF-8")
}

/// A directory of the user that `nsrun` runs as.
fn own_dir(test: &Test, name: &str) -> String {
    let path = test.make_dir(name);
    test.give_away(&path);
    text(&path).to_owned()
}

fn bind_is_writable_and_reaches_the_host(test: &Test) {
    let dir = own_dir(test, "shared");
    let output = test.sandbox(
        &["--bind", &dir, "/work"],
        "echo hello > /work/file; stat -c %u /work/file",
    );
    assert_eq!(output.text(), test.ids().0.to_string());
    assert_eq!(
        std::fs::read_to_string(format!("{dir}/file")).expect("read"),
        "hello\n"
    );
}

fn bind_of_a_relative_path_is_of_the_callers_directory(test: &Test) {
    test.write("note", "found\n");
    let output = test.sandbox(&["--ro-bind", "note", "/note"], "cat /note");
    assert_eq!(output.text(), "found");
}

fn bind_of_a_file_is_that_file(test: &Test) {
    let file = test.write("file", "one\n");
    test.give_away(&file);
    let output = test.sandbox(
        &["--bind", text(&file), "/a/b/file"],
        "cat /a/b/file; echo two > /a/b/file",
    );
    assert_eq!(output.text(), "one");
    assert_eq!(std::fs::read_to_string(file).expect("read"), "two\n");
}

fn ro_bind_is_read_only(test: &Test) {
    let canary = Canary::new(&test.path().join("canary"));
    let script = "cat /work/file; touch /work/new 2>&1; echo x 2>&1 > /work/file; rm -f /work/file 2>&1; \
                  mount -o remount,rw /work 2>&1 && echo remounted; true";
    let output = test.sandbox(&["--ro-bind", text(canary.path()), "/work"], script);
    assert!(
        output.stdout.starts_with("contents of file\n"),
        "{output:?}"
    );
    assert!(!output.stdout.contains("remounted"), "{output:?}");
    canary.assert_untouched();
}

fn mounts_take_the_order_of_the_command_line(test: &Test) {
    let dir = own_dir(test, "shared");
    let covers = test.sandbox(
        &["--bind", &dir, "/x", "--tmpfs", "/x"],
        "touch /x/file; ls /x",
    );
    assert_eq!(covers.text(), "file");
    assert!(
        !Path::new(&dir).join("file").exists(),
        "the tmpfs stood below the bind"
    );
    let within = test.sandbox(
        &["--tmpfs", "/x", "--bind", &dir, "/x/y"],
        "touch /x/y/file; ls /x",
    );
    assert_eq!(within.text(), "y");
    assert!(
        Path::new(&dir).join("file").exists(),
        "the bind stood below the tmpfs"
    );
}

fn dir_and_symlink_are_made_inside_alone(test: &Test) {
    let flags = ["--dir", "/made/deep", "--symlink", "made/deep", "/link"];
    let output = test.sandbox(
        &flags,
        "stat -c %F /made/deep; readlink /link; cd /link && pwd -P",
    );
    assert_eq!(output.text(), "directory\nmade/deep\n/made/deep");
    assert!(!Path::new("/made").exists() && !Path::new("/link").exists());
}

fn rootfs_is_read_only(test: &Test) {
    let Some(rootfs) = test.busybox() else { return };
    let canary = Canary::of(&rootfs.path().join("etc"));
    let script = "cat /etc/passwd | head -n 1; touch /file /etc/file 2>/dev/null; ls /";
    let output = test.sandbox(&["--rootfs", rootfs.text()], script);
    let lines: Vec<&str> = output.text().lines().collect();
    assert_eq!(lines[0], "root:x:0:0:root:/root:/bin/sh");
    assert!(!lines.contains(&"file"), "{lines:?}");
    canary.assert_untouched();
}

fn rootfs_made_writable_reaches_the_host(test: &Test) {
    let Some(rootfs) = test.busybox() else { return };
    test.give_away(rootfs.path());
    let output = test.sandbox(
        &["--rootfs", rootfs.text(), "--writable-rootfs"],
        "echo x > /file; pwd",
    );
    assert_eq!(output.text(), "/");
    assert!(rootfs.path().join("file").exists());
}

fn share_net_shares_the_hosts_network(test: &Test) {
    let outside = std::fs::read_link("/proc/self/ns/net").expect("readlink");
    let output = test.sandbox(&["--share-net"], "readlink /proc/self/ns/net");
    assert_eq!(output.text(), text(&outside));
}

fn unshare_user_takes_a_user_namespace(test: &Test) {
    let outside = std::fs::read_link("/proc/self/ns/user").expect("readlink");
    let output = test.sandbox(
        &["--unshare-user"],
        "readlink /proc/self/ns/user; cat /proc/self/uid_map | tr -s ' '",
    );
    let uid = test.ids().0;
    assert!(!output.text().starts_with(text(&outside)));
    assert!(
        output.text().ends_with(&format!(" {uid} {uid} 1")),
        "{output:?}"
    );
}

fn env_sets_takes_over_and_wins(test: &Test) {
    let flags = [
        "-e",
        "A=1",
        "--env",
        "B",
        "--env",
        "C=",
        "--env",
        "TERM=dumb",
        "--env",
        "D=x=y",
    ];
    let invocation =
        test.sandbox_invocation(&flags, "echo \"$A,$B,${C-unset},$TERM,$D,${E-unset}\"");
    let output = invocation
        .env("B", "taken over")
        .env("E", "secret")
        .env("TERM", "vt100")
        .run();
    assert_eq!(output.text(), "1,taken over,,dumb,x=y,unset");
}

fn clearenv_leaves_what_was_set(test: &Test) {
    let output = test
        .nsrun(["sandbox", "--clearenv", "--env", "A=1", "--", "env"])
        .env("TERM", "vt100")
        .run();
    let mut names: Vec<&str> = output
        .text()
        .lines()
        .filter_map(|line| Some(line.split_once('=')?.0))
        .collect();
    names.sort_unstable();
    assert_eq!(names, ["A", "HOME", "PATH"]);
}

fn chdir_is_the_working_directory(test: &Test) {
    assert_eq!(
        test.sandbox(&["--chdir", "/usr/bin"], "pwd").text(),
        "/usr/bin"
    );
    assert_eq!(
        test.sandbox(&["--tmpfs", "/x", "--chdir", "/x"], "pwd")
            .text(),
        "/x"
    );
}

fn user_is_taken_by_name_and_number(test: &Test) {
    for (user, uid, gid) in [
        ("0", 0, 0),
        ("daemon", 1, 1),
        ("5:60", 5, 60),
        ("daemon:7", 1, 7),
    ] {
        let output = test.sandbox(&["--user", user], "id -u; id -g; touch ~/file");
        assert_eq!(output.text(), format!("{uid}\n{gid}"), "--user {user}");
    }
}

fn cap_add_keeps_and_cap_drop_drops(test: &Test) {
    let effective = |flags: &[&str]| {
        let output = test.sandbox(flags, "grep CapEff /proc/self/status");
        u64::from_str_radix(output.text().trim_start_matches("CapEff:\t"), 16).expect("a set")
    };
    const KILL: u64 = 1 << 5;
    const NET_RAW: u64 = 1 << 13;
    assert_eq!(
        effective(&["--cap-add", "KILL", "--cap-add", "cap_net_raw"]),
        KILL | NET_RAW
    );
    assert_eq!(
        effective(&["--user", "5", "--cap-add", "KILL"]),
        KILL,
        "an ordinary user keeps it as ambient"
    );
    assert_eq!(effective(&["--cap-drop", "ALL", "--cap-add", "ALL"]), 0);
    if !test.is_root() || holds_every_capability() {
        let all = effective(&["--cap-add", "ALL"]);
        assert_eq!(all.count_ones(), all.trailing_ones(), "{all:#x}");
        assert!(all.count_ones() >= 40, "{all:#x}");
        assert_eq!(
            effective(&["--cap-add", "all", "--cap-drop", "KILL"]),
            all & !KILL
        );
    }
}

/// Root inside of a virtual machine or container often lacks one or the other.
fn holds_every_capability() -> bool {
    let status = std::fs::read_to_string("/proc/self/status").expect("/proc/self/status");
    let set = status
        .lines()
        .find_map(|line| line.strip_prefix("CapEff:\t"))
        .expect("CapEff");
    let set = u64::from_str_radix(set, 16).expect("a set");
    set.count_ones() == set.trailing_ones()
}

fn rlimit_is_set_in_both_halves(test: &Test) {
    let flags = [
        "--rlimit",
        "nofile=100:200",
        "--rlimit",
        "RLIMIT_CORE=0",
        "--rlimit",
        "fsize=512",
    ];
    let output = test
        .nsrun(["sandbox"])
        .args(flags)
        .args(["--", "bash", "-c"]);
    let output = output
        .args(["ulimit -Sn; ulimit -Hn; ulimit -c; ulimit -f"])
        .run();
    // bash counts files in blocks of 1024 bytes.
    assert_eq!(output.text(), "100\n200\n0\n0");
}

fn hostname_is_set(test: &Test) {
    assert_eq!(
        test.sandbox(&["--hostname", "a-box.example"], "hostname")
            .text(),
        "a-box.example"
    );
}

fn new_session_makes_the_command_its_leader(test: &Test) {
    let session = "cut -d' ' -f6 /proc/$$/stat";
    assert_eq!(test.sandbox(&["--new-session"], session).text(), "1");
    assert_eq!(
        test.sandbox(&[], session).text(),
        "0",
        "the caller's session is outside"
    );
}

fn tmpfs_is_empty_and_writable(test: &Test) {
    let output = test.sandbox(
        &["--tmpfs", "/var/lib"],
        "ls -A /var/lib; touch /var/lib/file; stat -f -c %T /var/lib",
    );
    assert_eq!(output.text(), "tmpfs");
}

/// A mount below the source, in a mount namespace of the test's own, is read-only as well.
#[test]
fn ro_bind_is_read_only_with_everything_below() {
    let test = needs!(root);
    let outer = test.make_dir("outer");
    let _inner = test.make_dir("outer/inner");
    let mount = format!(
        "mount -t tmpfs tmpfs {0}/inner && echo x > {0}/inner/file && exec \"$@\"",
        text(&outer)
    );
    let wrapper = [
        "unshare",
        "--mount",
        "--propagation",
        "private",
        "sh",
        "-c",
        &mount,
        "sh",
    ];
    let script = "cat /work/inner/file; touch /work/inner/new 2>&1; mount -o remount,bind,rw /work/inner 2>&1; true";
    let arguments = [
        "sandbox",
        "--ro-bind",
        text(&outer),
        "/work",
        "--cap-add",
        "DAC_OVERRIDE",
        "--",
        "sh",
        "-c",
        script,
    ];
    let output = test.nsrun_under(&wrapper, arguments).run();
    let lines: Vec<&str> = output.text().lines().collect();
    assert_eq!(lines[0], "x");
    assert!(lines[1].contains("Read-only file system"), "{output:?}");
}
