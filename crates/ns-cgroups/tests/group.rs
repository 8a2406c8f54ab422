//! Groups are made, joined, opened again and removed.
#![allow(
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "helpers of tests end the test where it went wrong"
)]

mod support;

use std::{collections::BTreeMap, io::Read, path::Path, time::Duration};

use ns_cgroups::{Cgroup, CgroupSpec, Existing, Kind, Layout};
use ns_config::cgroup::{CgroupConfig, Limit};

use support::{
    Guard, Process, SOON, config, create, file, is_lack_of_host, layouts, make, name, read,
};

#[test]
fn limits_are_there_before_the_first_member() {
    for layout in layouts() {
        let mut config = config();
        config.memory.limit_bytes = Some(Limit::Value(64 << 20));
        config.pids = Some(Limit::Value(9));
        let Some(group) = make(&layout, "limits_are_there_before_the_first_member", &config) else {
            return;
        };
        let group = &group.0;
        let memory = file(group, "memory", "memory.limit_in_bytes", "memory.max");
        assert_eq!(read(group, "memory", memory), "67108864");
        assert_eq!(read(group, "pids", "pids.max"), "9");
        assert_eq!(group.processes().unwrap(), [0_i32; 0]);
    }
}

#[test]
fn pids_limit_refuses_a_fork() {
    for layout in layouts() {
        let mut config = config();
        config.pids = Some(Limit::Value(1));
        let Some(group) = make(&layout, "pids_limit_refuses_a_fork", &config) else {
            return;
        };
        let mut shell = Process::shell("/bin/true; exit 0");
        group.0.join(shell.pid()).unwrap();
        shell.go();
        let status = shell.0.wait().unwrap();
        assert!(!status.success(), "a second process was made: {status}");
    }
}

#[test]
fn member_is_in_every_hierarchy_and_nothing_is_left_after_removal() {
    for layout in layouts() {
        let mut config = config();
        config.memory.limit_bytes = Some(Limit::Value(64 << 20));
        config.cpu.shares = Some(512);
        let Some(group) = make(&layout, "member_is_in_every_hierarchy", &config) else {
            return;
        };
        let process = Process::sleeping();
        assert!(!group.0.has_process(process.pid()).unwrap());
        group.0.join(process.pid()).unwrap();
        assert!(group.0.has_process(process.pid()).unwrap());
        assert_eq!(group.0.processes().unwrap(), [process.pid()]);
        let error = group.0.remove(Duration::from_millis(5)).unwrap_err();
        assert_eq!(error.kind(), Kind::Busy, "{error}");
        assert!(error.call().contains(&process.pid().to_string()), "{error}");

        group.0.kill(SOON).unwrap();
        group.0.remove(SOON).unwrap();
        for path in group.0.paths().into_values().chain(group.0.made_paths()) {
            assert!(!Path::new(&path).exists(), "{path}");
        }
        group.0.remove(SOON).expect("removing again is no error");
    }
}

#[test]
fn group_below_new_parents_goes_with_them() {
    for layout in layouts() {
        let parent = name();
        let with_name = |name: &str| CgroupConfig {
            parent: format!("{parent}/middle"),
            name: name.to_owned(),
            ..CgroupConfig::default()
        };
        let Some(one) = make(&layout, "group_below_new_parents", &with_name("one")) else {
            return;
        };
        let two = make(&layout, "group_below_new_parents", &with_name("two")).unwrap();
        let made = one.0.made_paths();
        assert_eq!(made.len(), 3 * one.0.paths().len(), "{made:?}");
        assert_eq!(two.0.made_paths().len(), two.0.paths().len());
        one.0.remove(SOON).unwrap();
        assert!(Path::new(two.0.paths().values().next().unwrap()).exists());
        two.0.remove(SOON).unwrap();
        // The second did not make the parents; the first may try again now.
        one.0.remove(SOON).unwrap();
        for path in made {
            assert!(!Path::new(&path).exists(), "{path}");
        }
    }
}

#[test]
fn group_that_is_there_is_refused_or_taken_over_when_empty_or_shared() {
    for layout in layouts() {
        let config = config();
        let Some(group) = make(&layout, "group_that_is_there_is_refused", &config) else {
            return;
        };
        let with = |existing| {
            let spec = CgroupSpec::new(&config).unwrap().with_existing(existing);
            Cgroup::create(&layout, &spec)
        };
        assert_eq!(
            with(Existing::Refuse).unwrap_err().kind(),
            Kind::AlreadyExists
        );
        let shared = with(Existing::Share).unwrap();
        assert!(shared.made_paths().is_empty());
        shared.remove(SOON).unwrap();
        assert!(Path::new(shared.paths().values().next().unwrap()).exists());

        let process = Process::sleeping();
        group.0.join(process.pid()).unwrap();
        assert_eq!(
            with(Existing::TakeOverEmpty).unwrap_err().kind(),
            Kind::AlreadyExists
        );
        group.0.kill(SOON).unwrap();
        let taken = with(Existing::TakeOverEmpty).unwrap();
        assert_eq!(taken.made_paths(), group.0.made_paths());
    }
}

#[test]
fn group_that_is_left_frozen_is_thawed_and_one_below_a_frozen_group_is_refused() {
    for layout in layouts() {
        let config = config();
        let Some(group) = make(&layout, "group_that_is_left_frozen", &config) else {
            return;
        };
        if let Err(error) = group.0.freeze(SOON) {
            println!(
                "SKIP group_that_is_left_frozen_is_thawed_and_one_below_a_frozen_group_is_refused: {error}"
            );
            return;
        }
        let with = |existing| {
            let spec = CgroupSpec::new(&config).unwrap().with_existing(existing);
            Cgroup::create(&layout, &spec)
        };
        let error = with(Existing::Share).unwrap_err();
        assert_eq!(error.kind(), Kind::Busy, "{error}");
        let mut below = config.clone();
        below.parent = format!("{}/{}", config.parent, config.name);
        below.name = "below".to_owned();
        let spec = CgroupSpec::new(&below).unwrap();
        let error = Cgroup::create(&layout, &spec).unwrap_err();
        assert_eq!(error.kind(), Kind::TimedOut, "{error}");
        assert!(error.hint().unwrap().contains("above"), "{error:?}");
        let taken = with(Existing::TakeOverEmpty).unwrap();
        assert!(!taken.is_frozen().unwrap());
        let process = Process::sleeping();
        taken.join(process.pid()).unwrap();
        taken.kill(SOON).unwrap();
    }
}

#[test]
fn refused_limit_leaves_nothing_behind() {
    for layout in layouts() {
        let mut config = config();
        config.cpu.cpus = Some("60000".to_owned());
        let error = create(&layout, &config).unwrap_err();
        if is_lack_of_host(&error) {
            println!("SKIP refused_limit_leaves_nothing_behind: {error}");
            return;
        }
        assert_eq!(error.step(), "limit control group", "{error}");
        assert_eq!(error.setting(), Some("cpu.cpus"));
        assert!(
            error.hint().unwrap().contains("this group may use"),
            "{error:?}"
        );
        for hierarchy in layout.hierarchies() {
            let own = hierarchy.own_group().unwrap_or_default();
            let path = format!("{}/{own}/{}", hierarchy.mount_point(), config.name);
            assert!(!Path::new(&path).exists(), "{path}");
        }
    }
}

#[test]
fn missing_absolute_parent_is_not_made() {
    for layout in layouts() {
        let config = CgroupConfig {
            parent: format!("/{}", name()),
            ..config()
        };
        let error = create(&layout, &config).unwrap_err();
        if is_lack_of_host(&error) {
            println!("SKIP missing_absolute_parent_is_not_made: {error}");
            return;
        }
        assert_eq!(error.kind(), Kind::NotFound, "{error}");
    }
}

#[test]
fn h15_group_without_a_name_is_refused() {
    let layout = Layout::detect().unwrap();
    for (parent, name) in [("", ""), ("/", ""), ("..", "x"), ("a/..", "..")] {
        let config = CgroupConfig {
            parent: parent.to_owned(),
            name: name.to_owned(),
            ..CgroupConfig::default()
        };
        assert_eq!(create(&layout, &config).unwrap_err().kind(), Kind::Hostile);
    }
}

#[test]
fn h03_missing_path_is_an_error() {
    for layout in layouts() {
        let mut config = config();
        config.pids = Some(Limit::Value(9));
        let Some(group) = make(&layout, "h03_missing_path_is_an_error", &config) else {
            return;
        };
        let paths = group.0.paths();
        Cgroup::open(&layout, &paths).expect("all paths are there");
        for key in paths.keys() {
            let mut broken = paths.clone();
            broken.insert(key.clone(), format!("{}-gone", paths[key]));
            let error = Cgroup::open(&layout, &broken).unwrap_err();
            assert_eq!(error.kind(), Kind::NotFound, "{error}");
        }
    }
}

#[test]
fn recorded_path_outside_of_its_hierarchy_is_hostile() {
    let layout = Layout::detect().unwrap();
    let open = |key: &str, path: &str| {
        let paths = BTreeMap::from([(key.to_owned(), path.to_owned())]);
        Cgroup::open(&layout, &paths).unwrap_err().kind()
    };
    assert_eq!(
        Cgroup::open(&layout, &BTreeMap::new()).unwrap_err().kind(),
        Kind::Hostile
    );
    for hierarchy in layout.hierarchies() {
        let mount = hierarchy.mount_point();
        let Some(key) = hierarchy
            .controllers()
            .first()
            .map(String::as_str)
            .or(Some(""))
        else {
            continue;
        };
        if hierarchy.name().is_some() {
            continue;
        }
        for path in [
            "/tmp".to_owned(),
            mount.to_owned(),
            format!("{mount}/"),
            format!("{mount}/../x"),
            format!("{mount}x/y"),
            format!("{mount}/a/../b"),
            "relative".to_owned(),
        ] {
            assert_eq!(open(key, &path), Kind::Hostile, "{key:?} {path}");
        }
    }
}

#[test]
fn opened_group_removes_what_the_record_says_was_made() {
    for layout in layouts() {
        let config = CgroupConfig {
            parent: name(),
            name: "box".to_owned(),
            ..CgroupConfig::default()
        };
        let Some(group) = make(&layout, "opened_group_removes", &config) else {
            return;
        };
        let (paths, made) = (group.0.paths(), group.0.made_paths());
        let foreign = vec!["/sys/fs/cgroup".to_owned()];
        let error = Cgroup::open_made(&layout, &paths, &foreign).unwrap_err();
        assert_eq!(error.kind(), Kind::Hostile);
        let process = Process::sleeping();
        group.0.join(process.pid()).unwrap();
        let opened = Cgroup::open_made(&layout, &paths, &made).unwrap();
        assert_eq!((opened.paths(), opened.made_paths()), (paths, made.clone()));
        opened.kill(SOON).unwrap();
        opened.remove(SOON).unwrap();
        for path in made {
            assert!(!Path::new(&path).exists(), "{path}");
        }
    }
}

#[test]
fn foreign_group_that_took_the_name_is_not_removed() {
    for layout in layouts() {
        let config = config();
        let Some(group) = make(&layout, "foreign_group_that_took_the_name", &config) else {
            return;
        };
        let path = group.0.made_paths().remove(0);
        std::fs::remove_dir(&path).unwrap();
        std::fs::create_dir(&path).unwrap();
        group.0.remove(SOON).unwrap();
        let is_left = Path::new(&path).exists();
        std::fs::remove_dir(&path).unwrap();
        assert!(is_left, "{path}");
    }
}

#[test]
fn many_starts_share_a_parent_that_comes_and_goes() {
    for layout in layouts() {
        let parent = name();
        if make(&layout, "many_starts_share_a_parent", &config()).is_none() {
            return;
        }
        std::thread::scope(|scope| {
            for thread_idx in 0..8 {
                let (layout, parent) = (&layout, &parent);
                scope.spawn(move || {
                    for round in 0..25 {
                        let config = CgroupConfig {
                            parent: parent.clone(),
                            name: format!("{thread_idx}-{round}"),
                            ..CgroupConfig::default()
                        };
                        let group = Guard(create(layout, &config).unwrap());
                        group.0.remove(SOON).unwrap();
                    }
                });
            }
        });
        for hierarchy in layout.hierarchies() {
            let own = hierarchy.own_group().unwrap_or_default();
            let path = format!("{}/{own}/{parent}", hierarchy.mount_point());
            drop(std::fs::remove_dir(&path));
        }
    }
}

#[test]
fn descriptor_of_the_v2_directory_takes_members() {
    let layout = Layout::detect().unwrap();
    let Some(group) = make(&layout, "descriptor_of_the_v2_directory", &config()) else {
        return;
    };
    let Some(dir_fd) = group.0.dir_fd() else {
        println!("SKIP descriptor_of_the_v2_directory_takes_members: no cgroup v2");
        return;
    };
    let process = Process::sleeping();
    let procs = format!(
        "/proc/self/fd/{}/cgroup.procs",
        std::os::fd::AsRawFd::as_raw_fd(&dir_fd)
    );
    std::fs::write(procs, process.pid().to_string()).unwrap();
    let members = read(&group.0, "", "cgroup.procs");
    assert_eq!(members, process.pid().to_string());
}

#[test]
fn process_that_writes_zero_to_the_tasks_files_is_in_every_v1_group() {
    const TEST: &str = "process_that_writes_zero_to_the_tasks_files_is_in_every_v1_group";
    let layout = Layout::detect().unwrap();
    let Some(group) = make(&layout, TEST, &config()) else {
        return;
    };
    let files = group.0.tasks_files().unwrap();
    if files.is_empty() {
        println!("SKIP {TEST}: no cgroup v1");
        return;
    }
    let descriptors = files
        .iter()
        .map(|(file, _)| std::os::fd::AsRawFd::as_raw_fd(file));
    let own_pid = std::process::id();
    let writes = descriptors.map(|fd| format!("echo 0 > /proc/{own_pid}/fd/{fd}; "));
    let script = format!("{}echo done; read end", writes.collect::<String>());
    let mut process = Process::shell(&script);
    process.go();
    let mut said = [0; 5];
    process
        .0
        .stdout
        .as_mut()
        .unwrap()
        .read_exact(&mut said)
        .unwrap();
    assert_eq!(&said, b"done\n");
    for (_, path) in &files {
        let members = std::fs::read_to_string(path).unwrap();
        assert_eq!(members.trim(), process.pid().to_string(), "{path}");
    }
}

#[test]
fn update_changes_what_is_named_and_keeps_the_rest() {
    for layout in layouts() {
        let mut config = config();
        config.memory.limit_bytes = Some(Limit::Value(64 << 20));
        config.memory.total_bytes = Some(Limit::Value(64 << 20));
        config.pids = Some(Limit::Value(9));
        let Some(group) = make(&layout, "update_changes_what_is_named", &config) else {
            return;
        };
        let group = &group.0;
        let memory = file(group, "memory", "memory.limit_in_bytes", "memory.max");
        // Up needs the limit with swap first, down the one without.
        for size in [128_u64 << 20, 32 << 20] {
            let mut change = CgroupConfig::default();
            change.memory.limit_bytes = Some(Limit::Value(size));
            change.memory.total_bytes = Some(Limit::Value(size));
            group.update(&change).unwrap();
            assert_eq!(read(group, "memory", memory), size.to_string());
            assert_eq!(read(group, "pids", "pids.max"), "9");
        }
    }
}

#[test]
fn limits_on_the_v2_side_of_a_hybrid_host_are_set() {
    let layout = Layout::detect().unwrap();
    let mut config = config();
    config
        .unified
        .insert("hugetlb.2MB.max".to_owned(), "4194304".to_owned());
    let Some(group) = make(&layout, "limits_on_the_v2_side", &config) else {
        return;
    };
    assert_eq!(read(&group.0, "", "hugetlb.2MB.max"), "4194304");

    let mut config = support::config();
    config
        .unified
        .insert("no_such.max".to_owned(), "1".to_owned());
    let error = create(&layout, &config).unwrap_err();
    assert_eq!(error.kind(), Kind::Unsupported, "{error}");
}
