//! Whole root file systems, entered for real in fresh namespaces.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a test stops where it breaks, and says what it skips"
)]

mod inside;

use std::fs;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::path::Path;
use std::sync::mpsc::channel;

use inside::{Place, SHAPES};
use ns_config::{
    Config, Device, Mount, MountAttributes, MountKind, MountOptions, NamespaceKind, OverlayUpper,
    Propagation, RootEntry, Rootfs, Sysctl,
};
use ns_init::{Create, Depth, Missing, Op, Opening, PlanBuilder, Slot};
use ns_mount::{Host, MountPlan, RootfsPlanner, Sources, private_procfs, sysctl};

in_both_views!(
    rootfs_with_every_kind_of_mount_is_entered,
    rootfs_that_is_empty_is_filled_by_mounts,
    h08_system_directory_that_is_no_directory_is_refused,
    h08_targets_that_are_links_stay_inside,
    cve_2025_31133_mask_ignores_the_containers_null_device,
    cve_2026_41579_dev_as_link_makes_nothing_on_the_host,
    device_that_is_a_link_is_refused,
    cve_2025_52565_places_below_dev_that_are_links_stay_inside,
    bind_read_only_recursive_covers_mounts_below,
    masked_and_read_only_paths_hold,
    missing_targets_are_made_inside_only,
    overlay_shows_layers_and_keeps_changes_above,
    cgroup_view_is_read_only,
    root_that_is_read_only_keeps_its_mounts_writable,
    many_mounts_fit_into_few_descriptors,
    shared_root_is_shared_inside,
    sources_of_the_caller_are_mounted_in_another_namespace,
    bind_that_is_slave_sees_what_the_host_mounts_later,
    kernel_setting_is_written_whatever_lies_over_proc,
    file_system_that_the_kernel_refuses_is_named,
    mount_plan_fills_a_directory_of_the_own_namespace,
);

fn rootfs_with_every_kind_of_mount_is_entered(place: &Place) {
    let mut config = system_config(&place.path("rootfs"));
    config.mounts.extend(every_kind(place));
    enter(&config);

    assert!(
        !Path::new(&place.path("")).exists(),
        "the host's tree is gone"
    );
    assert_eq!(std::env::current_dir().unwrap(), Path::new("/"));
    check_dev();
    check_every_kind();
    let stat = fs::read_to_string("/proc/self/stat").unwrap();
    assert_eq!(
        stat.split(' ').next(),
        Some("1"),
        "the procfs is the own namespace's"
    );
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
    let n_proc = mounts.matches(" - proc ").count();
    assert_eq!(n_proc, 1, "nothing of the host is left:\n{mounts}");
    let is_tied = mounts.contains("shared:") || mounts.contains("master:");
    assert!(!is_tied, "{mounts}");
}

fn every_kind(place: &Place) -> Vec<Mount> {
    let parameter = |name: &str, value: &str| (name.to_owned(), Some(value.to_owned()));
    let small = MountOptions {
        data: vec![parameter("size", "64k"), parameter("mode", "0711")],
        ..closed()
    };
    let given = MountKind::File {
        contents: b"given".to_vec(),
        mode: 0o640,
    };
    let target = "dir".to_owned();
    let optional = MountKind::Bind {
        source: place.path("no such thing"),
        recursive: true,
        optional: true,
    };
    vec![
        mount("/data", bind(&place.path("source"), true)),
        mount("/data-file", bind(&place.path("source/file"), false)),
        with_options(mount("/small", filesystem("tmpfs")), small),
        mount("/etc/given", given),
        mount("/made/dir", MountKind::Directory { mode: 0o700 }),
        mount("/made/link", MountKind::Symlink { target }),
        mount("/optional", optional),
    ]
}

fn check_every_kind() {
    let mode = |path: &str| fs::metadata(path).unwrap().mode() & 0o7777;
    for path in ["/data/file", "/data-file"] {
        assert_eq!(fs::read(path).unwrap(), b"source/file", "{path}");
    }
    let written = fs::write("/data/new", "x");
    assert!(written.is_ok(), "a bind is writable by default");
    let written = fs::write("/small/big", vec![0; 200_000]);
    assert!(written.is_err(), "size is a limit");
    assert_eq!(fs::read("/etc/given").unwrap(), b"given");
    let modes = ["/small", "/etc/given", "/made/dir"].map(mode);
    assert_eq!(modes, [0o711, 0o640, 0o700]);
    assert_eq!(fs::read_link("/made/link").unwrap(), Path::new("dir"));
    assert!(!Path::new("/optional").exists());
}

fn check_dev() {
    for (name, numbers) in [
        ("null", 0x103),
        ("zero", 0x105),
        ("full", 0x107),
        ("random", 0x108),
    ] {
        let metadata = fs::metadata(format!("/dev/{name}")).unwrap();
        assert!(metadata.file_type().is_char_device(), "{name}");
        assert_eq!(metadata.rdev(), numbers, "{name}");
        assert_eq!(metadata.permissions().mode() & 0o777, 0o666, "{name}");
    }
    assert!(fs::write("/dev/null", "x").is_ok());
    assert_eq!(
        fs::read_link("/dev/fd").unwrap(),
        Path::new("/proc/self/fd")
    );
    assert_eq!(fs::read_link("/dev/ptmx").unwrap(), Path::new("pts/ptmx"));
    assert!(
        fs::OpenOptions::new()
            .read(true)
            .write(true)
            .open("/dev/ptmx")
            .is_ok()
    );
    assert_eq!(fs::metadata("/dev/shm").unwrap().mode() & 0o7777, 0o1777);
    assert!(fs::read_dir("/dev/mqueue").is_ok());
}

fn rootfs_that_is_empty_is_filled_by_mounts(place: &Place) {
    let mut config = system_config("");
    config.rootfs = Rootfs::Empty {
        size_bytes: Some(1 << 20),
    };
    config
        .mounts
        .push(mount("/a/b", bind(&place.path("source"), true)));
    enter(&config);
    let mut names: Vec<_> = fs::read_dir("/")
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .collect();
    names.sort();
    assert_eq!(names, ["a", "dev", "proc", "sys"]);
}

fn h08_system_directory_that_is_no_directory_is_refused(place: &Place) {
    for name in ["proc", "sys", "dev"] {
        for shape in SHAPES {
            let rootfs = place.fresh_rootfs(&format!("{name}-{shape:?}"));
            shape.make(&rootfs.join(name), &place.canary());
            let config = system_config(rootfs.to_str().unwrap());
            let error = try_enter(&config).unwrap_err();
            assert!(
                matches!(
                    error.kind(),
                    ns_init::Kind::Hostile | ns_init::Kind::NotFound
                ),
                "{name} as {shape:?}: {error:?}"
            );
        }
    }
}

fn h08_targets_that_are_links_stay_inside(place: &Place) {
    // Names that no host has: a lookup that escapes must not find a place there.
    for name in ["image-config", "image-data"] {
        for shape in SHAPES {
            let rootfs = place.fresh_rootfs(&format!("{name}-{shape:?}"));
            shape.make(&rootfs.join(name), &place.canary());
            let mut config = bare_config(rootfs.to_str().unwrap());
            config.mounts = vec![
                mount(
                    &format!("/{name}/deep/dir"),
                    bind(&place.path("source"), true),
                ),
                mount(&format!("/{name}/new/dir"), filesystem("tmpfs")),
                mount(
                    &format!("/{name}/made"),
                    MountKind::Directory { mode: 0o755 },
                ),
                mount(
                    &format!("/{name}/link"),
                    MountKind::Symlink {
                        target: "x".to_owned(),
                    },
                ),
            ];
            // Refused or made inside: the canary decides, after this process.
            drop(fill(&config));
        }
    }
}

fn cve_2025_31133_mask_ignores_the_containers_null_device(place: &Place) {
    let evil_dev = place.fresh_rootfs("evil-dev");
    fs::write(evil_dev.join("secret"), "open").unwrap();
    std::os::unix::fs::symlink("/dev/secret", evil_dev.join("null")).unwrap();
    let mut config = bare_config(&place.path("rootfs"));
    config.mounts = vec![
        mount("/proc", filesystem("proc")),
        mount("/dev", bind(evil_dev.to_str().unwrap(), true)),
    ];
    config.masked_paths = vec!["/proc/kcore".to_owned(), "/proc/self/environ".to_owned()];
    config.masked_paths.push("/proc/keys".to_owned());
    enter(&config);
    let mask = fs::metadata("/proc/keys").unwrap();
    assert!(mask.file_type().is_char_device() && mask.rdev() == 0x103);
    assert_eq!(fs::read("/proc/keys").unwrap(), b"");
}

fn cve_2026_41579_dev_as_link_makes_nothing_on_the_host(place: &Place) {
    let rootfs = place.rootfs();
    std::os::unix::fs::symlink(place.canary().join("dev"), rootfs.join("dev")).unwrap();
    let mut config = bare_config(rootfs.to_str().unwrap());
    config.devices = vec![Device::char("/dev/fuse", 10, 229, 0o666), null()];
    let error = try_enter(&config).unwrap_err();
    assert_eq!(error.kind(), ns_init::Kind::Hostile, "{error:?}");
}

fn device_that_is_a_link_is_refused(place: &Place) {
    let is_initial =
        Host::detect(&bare_config("/tmp")).unwrap().rights == ns_mount::Rights::Initial;
    for shape in SHAPES {
        let rootfs = place.fresh_rootfs(&format!("{shape:?}"));
        fs::create_dir(rootfs.join("dev")).unwrap();
        shape.make(&rootfs.join("dev/null"), &place.canary().join("file"));
        let mut config = bare_config(rootfs.to_str().unwrap());
        config.devices = vec![null()];
        let outcome = fill(&config);
        if is_initial {
            let error = outcome.unwrap_err();
            assert_eq!(error.kind(), ns_init::Kind::Hostile, "{shape:?}: {error:?}");
        }
    }
}

fn cve_2025_52565_places_below_dev_that_are_links_stay_inside(place: &Place) {
    for name in ["pts", "shm", "console", "ptmx"] {
        for shape in SHAPES {
            let rootfs = place.fresh_rootfs(&format!("{name}-{shape:?}"));
            fs::create_dir(rootfs.join("dev")).unwrap();
            // A device is mounted on a file only.
            let outside = match name {
                "console" => place.canary().join("file"),
                _ => place.canary(),
            };
            shape.make(&rootfs.join("dev").join(name), &outside);
            let mut config = bare_config(rootfs.to_str().unwrap());
            let pts = mount("/dev/pts", filesystem("devpts"));
            let shm = mount("/dev/shm", filesystem("tmpfs"));
            let console = mount("/dev/console", bind("/dev/null", false));
            let ptmx = mount(
                "/dev/ptmx",
                MountKind::Symlink {
                    target: "pts/ptmx".to_owned(),
                },
            );
            config.mounts = vec![pts, shm, console, ptmx];
            config.masked_paths = vec![format!("/dev/{name}")];
            config.readonly_paths = vec![format!("/dev/{name}")];
            drop(fill(&config));
            let table = fs::read_to_string("/proc/self/mountinfo").unwrap();
            let canary = format!(" {}", place.canary().display());
            assert!(!table.contains(&canary), "{name} {shape:?}:\n{table}");
        }
    }
}

fn bind_read_only_recursive_covers_mounts_below(place: &Place) {
    let below = place.path("source/below");
    let tmpfs = MountPlan::new(&below, &[mount("/x", filesystem("tmpfs"))], &host());
    tmpfs.unwrap().apply().unwrap();
    let mut config = bare_config(&place.path("rootfs"));
    let recursive = MountOptions {
        set_recursive: read_only(),
        ..MountOptions::default()
    };
    let top_only = MountOptions {
        set: read_only(),
        ..MountOptions::default()
    };
    let source = || bind(&place.path("source"), true);
    config.mounts = vec![
        with_options(mount("/all", source()), recursive),
        with_options(mount("/top", source()), top_only),
    ];
    enter(&config);
    assert!(fs::write("/all/file", "x").is_err());
    assert!(
        fs::write("/all/below/x/file", "x").is_err(),
        "mounts below are read-only too"
    );
    assert!(fs::write("/top/file", "x").is_err());
    assert!(
        fs::write("/top/below/x/file", "x").is_ok(),
        "ro is the one mount's own"
    );
}

fn masked_and_read_only_paths_hold(place: &Place) {
    let mut config = system_config(&place.path("rootfs"));
    config
        .mounts
        .push(mount("/data", bind(&place.path("source"), true)));
    let owned = |paths: &[&str]| paths.iter().map(|path| (*path).to_owned()).collect();
    config.masked_paths = owned(&[
        "/data/file",
        "/proc/scsi",
        "/data/below",
        "/no/such",
        "/data/file/x",
    ]);
    config.readonly_paths = owned(&["/proc/sys", "/data", "/proc/no", "/proc/sysrq-trigger"]);
    enter(&config);
    assert_eq!(fs::read("/data/file").unwrap(), b"");
    assert_eq!(fs::read_dir("/data/below").unwrap().count(), 0);
    assert!(
        fs::write("/data/below/x", "").is_err(),
        "a mask cannot be written"
    );
    assert!(fs::write("/data/new", "").is_err());
    assert!(fs::write("/proc/sys/kernel/hostname", "x").is_err());
}

fn missing_targets_are_made_inside_only(place: &Place) {
    let rootfs = place.rootfs();
    std::os::unix::fs::symlink("/real", rootfs.join("alias")).unwrap();
    fs::create_dir(rootfs.join("real")).unwrap();
    let mut config = bare_config(rootfs.to_str().unwrap());
    config.mounts = vec![mount("/alias/deep/er", bind(&place.path("source"), true))];
    enter(&config);
    assert_eq!(fs::read("/real/deep/er/file").unwrap(), b"source/file");
}

fn overlay_shows_layers_and_keeps_changes_above(place: &Place) {
    for name in ["upper", "work"] {
        place.fresh_rootfs(name);
    }
    let mut config = bare_config(&place.path("rootfs"));
    let upper = OverlayUpper {
        upper: place.path("upper"),
        work: place.path("work"),
    };
    config.mounts = vec![
        mount(
            "/writable",
            MountKind::Overlay {
                lower: vec![place.path("source"), place.path("canary")],
                upper: Some(upper),
            },
        ),
        mount(
            "/fixed",
            MountKind::Overlay {
                lower: vec![place.path("source"), place.path("canary")],
                upper: None,
            },
        ),
        mount("/seen", bind(&place.path("upper"), false)),
    ];
    enter(&config);
    assert!(
        fs::metadata("/writable/ptmx").is_ok(),
        "the lower layer shows through"
    );
    fs::write("/writable/file", "changed").unwrap();
    assert_eq!(fs::read("/seen/file").unwrap(), b"changed");
    assert!(fs::write("/fixed/file", "x").is_err());
}

fn cgroup_view_is_read_only(place: &Place) {
    let mut config = system_config(&place.path("rootfs"));
    config.namespaces.add(NamespaceKind::Cgroup, None, "");
    config
        .mounts
        .push(mount("/sys/fs/cgroup", MountKind::CgroupView));
    enter(&config);
    let names: Vec<_> = fs::read_dir("/sys/fs/cgroup").unwrap().collect();
    assert!(!names.is_empty());
    assert!(fs::create_dir("/sys/fs/cgroup/x").is_err());
    for name in names {
        let path = name.unwrap().path();
        if path.is_dir() {
            assert!(fs::create_dir(path.join("x")).is_err(), "{path:?}");
        }
    }
}

fn root_that_is_read_only_keeps_its_mounts_writable(place: &Place) {
    let mut config = bare_config(&place.path("rootfs"));
    config.readonly_rootfs = true;
    config.mounts = vec![mount("/tmp", filesystem("tmpfs"))];
    enter(&config);
    assert!(fs::write("/x", "").is_err());
    assert!(fs::write("/tmp/x", "").is_ok());
}

fn many_mounts_fit_into_few_descriptors(place: &Place) {
    let mut config = bare_config(&place.path("rootfs"));
    config.mounts = (0..400)
        .map(|index| {
            mount(
                &format!("/m/{index}"),
                bind(&place.path("source/file"), false),
            )
        })
        .collect();
    nix::sys::resource::setrlimit(nix::sys::resource::Resource::RLIMIT_NOFILE, 64, 64).unwrap();
    enter(&config);
    assert_eq!(fs::read("/m/399").unwrap(), b"source/file");
}

fn shared_root_is_shared_inside(place: &Place) {
    let mut config = system_config(&place.path("rootfs"));
    config.rootfs_propagation = Propagation::Shared;
    enter(&config);
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
    let shared: Vec<&str> = mounts
        .lines()
        .filter(|line| line.contains("shared:"))
        .collect();
    assert_eq!(shared.len(), 1, "{mounts}");
    assert_eq!(shared[0].split(' ').nth(4), Some("/"), "{shared:?}");
}

fn sources_of_the_caller_are_mounted_in_another_namespace(place: &Place) {
    let below = place.path("source/below");
    let tmpfs = MountPlan::new(&below, &[mount("/x", filesystem("tmpfs"))], &host());
    tmpfs.unwrap().apply().unwrap();
    let mut config = system_config(&place.path("rootfs"));
    config
        .mounts
        .push(mount("/data", bind(&place.path("source"), true)));
    let host = Host {
        sources: Sources::Caller,
        ..Host::detect(&config).unwrap()
    };
    let mut plan = PlanBuilder::new();
    RootfsPlanner::plan(&config, &host, None, &mut plan).unwrap();
    // The plan now runs where a descriptor of the old namespace could not be copied any more.
    nix::sched::unshare(nix::sched::CloneFlags::CLONE_NEWNS).unwrap();
    ns_init::apply(&plan.finish()).unwrap();
    assert_eq!(fs::read("/data/file").unwrap(), b"source/file");
    let mounts = fs::read_to_string("/proc/thread-self/mountinfo").unwrap();
    assert!(mounts.contains(" /data/below/x "), "{mounts}");
    let is_tied = mounts.contains("shared:") || mounts.contains("master:");
    assert!(!is_tied, "{mounts}");
}

fn bind_that_is_slave_sees_what_the_host_mounts_later(place: &Place) {
    let shared = MountOptions {
        propagation: Some(Propagation::Shared),
        ..MountOptions::default()
    };
    let itself = with_options(mount("/source", bind(&place.path("source"), false)), shared);
    let plan = MountPlan::new(&place.path(""), &[itself], &host()).unwrap();
    plan.apply().unwrap();
    let mut config = system_config(&place.path("rootfs"));
    let slave = MountOptions {
        propagation: Some(Propagation::Slave),
        ..MountOptions::default()
    };
    let source = || bind(&place.path("source"), true);
    config.mounts.extend([
        with_options(mount("/tied", source()), slave),
        mount("/cut", source()),
    ]);
    // A side that fails drops its end, and the other one stops too.
    let (entered, wait_entered) = channel();
    let (mounted, wait_mounted) = channel();
    std::thread::scope(|scope| {
        let config = &config;
        let inside = scope.spawn(move || {
            nix::sched::unshare(nix::sched::CloneFlags::CLONE_NEWNS).unwrap();
            enter(config);
            entered.send(()).unwrap();
            wait_mounted.recv().unwrap();
            fs::read_to_string("/proc/thread-self/mountinfo").unwrap()
        });
        wait_entered.recv().unwrap();
        let mounted = mounted;
        let later = mount("/later", filesystem("tmpfs"));
        let plan = MountPlan::new(&place.path("source/below"), &[later], &host()).unwrap();
        plan.apply().unwrap();
        mounted.send(()).unwrap();
        let table = inside.join().unwrap();
        assert!(table.contains(" /tied/below/later "), "{table}");
        assert!(!table.contains(" /cut/below/later "), "{table}");
    });
}

fn kernel_setting_is_written_whatever_lies_over_proc(place: &Place) {
    let mut config = bare_config(&place.path("rootfs"));
    config.namespaces.add(NamespaceKind::Network, None, "");
    config.mounts = vec![mount("/proc", filesystem("proc"))];
    config.sysctl = vec![Sysctl {
        name: "net.ipv4.ip_forward".to_owned(),
        value: "1".to_owned(),
        pointer: "the setting".to_owned(),
    }];
    let mut plan = PlanBuilder::new();
    let host = Host::detect(&config).unwrap();
    let mut planner = RootfsPlanner::new(&config, &host, &mut plan).unwrap();
    planner.root(&mut plan).unwrap();
    planner.mounts(&mut plan).unwrap();
    let target = "/proc/sys/net/ipv4/ip_forward";
    cover(
        &place.path("source/file"),
        planner.root_slot(),
        target,
        &mut plan,
    );
    planner.enter(&mut plan).unwrap();
    let procfs = private_procfs(&mut plan).unwrap();
    sysctl(&config, procfs, &mut plan).unwrap();
    ns_init::apply(&plan.finish()).unwrap();
    assert_eq!(
        fs::read(target).unwrap(),
        b"source/file",
        "the cover is in place"
    );
    let same = fs::read("/proc/sys/net/ipv4/conf/all/forwarding").unwrap();
    assert_eq!(same, b"1\n", "the real file was written");
}

/// As a hostile neighbour would: lays something else over a file that is going to be written.
fn cover(source: &str, root: Slot, target: &str, plan: &mut PlanBuilder) {
    let [out, from, mount] = ["target", "source", "cover"].map(|name| plan.slot(name));
    let missing = Missing::Fail;
    let (path, create) = (plan.text(target).unwrap(), Create::Nothing);
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
    let (path, opening) = (plan.text(source).unwrap(), Opening::Path);
    plan.push(
        "open",
        Op::OpenHost {
            out: from,
            path,
            opening,
            missing,
        },
    );
    let depth = Depth::Recursive;
    let clone = Op::CloneMount {
        out: mount,
        from,
        depth,
    };
    plan.push("copy", clone);
    plan.push("cover", Op::AttachMount { mount, target: out });
}

fn file_system_that_the_kernel_refuses_is_named(place: &Place) {
    let bad_parameter = MountOptions {
        data: vec![("size".to_owned(), Some("many".to_owned()))],
        ..MountOptions::default()
    };
    for (mount, kind) in [
        (mount("/x", filesystem("nosuchfs")), ns_init::Kind::NotFound),
        (
            with_options(mount("/x", filesystem("tmpfs")), bad_parameter),
            ns_init::Kind::InvalidValue,
        ),
    ] {
        let mut config = bare_config(&place.path("rootfs"));
        config.mounts = vec![mount];
        let error = fill(&config).unwrap_err();
        assert_eq!(error.kind(), kind, "{error:?}");
        assert_eq!(error.config_pointer(), Some("mount /x"));
        assert!(error.hint().is_some(), "{error:?}");
    }
}

fn mount_plan_fills_a_directory_of_the_own_namespace(place: &Place) {
    let rootfs = place.path("rootfs");
    std::os::unix::fs::symlink(place.canary(), place.rootfs().join("link")).unwrap();
    let mounts = [
        mount("/data", bind(&place.path("source"), true)),
        mount("/dev", MountKind::DevLayout),
        mount("/link/data", bind(&place.path("source"), true)),
    ];
    let plan = MountPlan::new(&rootfs, &mounts, &host()).unwrap();
    plan.apply().unwrap();
    assert_eq!(
        fs::read(place.rootfs().join("data/file")).unwrap(),
        b"source/file"
    );
    assert!(fs::write(place.rootfs().join("dev/null"), "x").is_ok());
    let inside = place
        .rootfs()
        .join(place.canary().strip_prefix("/").unwrap());
    assert_eq!(fs::read(inside.join("data/file")).unwrap(), b"source/file");
    let file = MountKind::File {
        contents: Vec::new(),
        mode: 0o644,
    };
    let error = MountPlan::new(&rootfs, &[mount("/file", file)], &host()).unwrap_err();
    assert_eq!(error.kind(), ns_mount::Kind::Unsupported);
}

mod move_root {
    #[test]
    fn root_that_is_moved_leaves_no_host_mount() {
        crate::inside::run(
            crate::inside::View::Root,
            "move_root::root_that_is_moved_leaves_no_host_mount",
            super::root_that_is_moved_leaves_no_host_mount,
        );
    }
}

fn root_that_is_moved_leaves_no_host_mount(place: &Place) {
    let mut config = system_config(&place.path("rootfs"));
    config.root_entry = RootEntry::Move;
    enter(&config);
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
    assert_eq!(mounts.matches(" - proc ").count(), 1, "{mounts}");
    assert_eq!(mounts.matches(" - sysfs ").count(), 1, "{mounts}");
    assert!(!Path::new("/../../usr").exists() && !Path::new(&place.path("")).exists());
}

// ---- what a test is made of

fn host() -> Host {
    Host::detect(&Config::default()).unwrap()
}

fn bare_config(rootfs: &str) -> Config {
    let mut config = Config {
        rootfs: Rootfs::Directory(rootfs.to_owned()),
        ..Config::default()
    };
    for kind in [NamespaceKind::Mount, NamespaceKind::Pid, NamespaceKind::Ipc] {
        config.namespaces.add(kind, None, "");
    }
    config
}

fn system_config(rootfs: &str) -> Config {
    let mut config = bare_config(rootfs);
    config.mounts = vec![
        with_options(mount("/proc", filesystem("proc")), closed()),
        mount("/dev", MountKind::DevLayout),
        with_options(mount("/sys", filesystem("sysfs")), closed()),
    ];
    config
}

fn try_enter(config: &Config) -> Result<(), ns_init::Error> {
    let host = Host::detect(config).unwrap();
    let mut plan = PlanBuilder::new();
    RootfsPlanner::plan(config, &host, None, &mut plan).unwrap();
    ns_init::apply(&plan.finish())
}

/// Everything but the change of root, so that another root can follow.
fn fill(config: &Config) -> Result<(), ns_init::Error> {
    let mut plan = PlanBuilder::new();
    let host = Host::detect(config).unwrap();
    let mut planner = RootfsPlanner::new(config, &host, &mut plan).unwrap();
    planner.root(&mut plan).unwrap();
    planner.mounts(&mut plan).unwrap();
    planner.devices(&mut plan).unwrap();
    planner.masks(&mut plan).unwrap();
    planner.read_only(&mut plan).unwrap();
    ns_init::apply(&plan.finish())
}

fn enter(config: &Config) {
    try_enter(config).unwrap();
}

fn mount(destination: &str, kind: MountKind) -> Mount {
    Mount {
        destination: destination.to_owned(),
        kind,
        options: MountOptions::default(),
        pointer: format!("mount {destination}"),
    }
}

fn with_options(mount: Mount, options: MountOptions) -> Mount {
    Mount { options, ..mount }
}

fn filesystem(fstype: &str) -> MountKind {
    MountKind::Filesystem {
        fstype: fstype.to_owned(),
        source: fstype.to_owned(),
    }
}

fn bind(source: &str, recursive: bool) -> MountKind {
    MountKind::Bind {
        source: source.to_owned(),
        recursive,
        optional: false,
    }
}

fn null() -> Device {
    Device::char("/dev/null", 1, 3, 0o666)
}

fn read_only() -> MountAttributes {
    MountAttributes {
        read_only: true,
        ..MountAttributes::default()
    }
}

fn closed() -> MountOptions {
    MountOptions {
        set: MountAttributes {
            no_suid: true,
            no_dev: true,
            no_exec: true,
            ..MountAttributes::default()
        },
        ..MountOptions::default()
    }
}
