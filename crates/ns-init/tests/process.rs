//! Planners of the seed's functions: what they plan, in which order, and what they refuse.

use ns_config::{
    Capabilities, Capability, CapabilitySet, Config, NamespaceKind, Process, ResolvedUser,
};
use ns_init::{
    Command, Groups, Init, Inside, Kind, PlanBuilder, finalize_namespace, init,
    load_container_environment, protect, setup_user,
};
use proptest::prelude::*;

fn user() -> ResolvedUser {
    ResolvedUser {
        uid: 1000,
        gid: 100,
        additional_gids: vec![4, 27],
        home: "/home/me".to_owned(),
    }
}

fn calls(plan: PlanBuilder) -> Vec<String> {
    plan.finish()
        .explain()
        .into_iter()
        .map(|step| step.call)
        .collect()
}

#[test]
fn environment_gets_home_and_nothing_of_the_caller() {
    let mut config = Config::default();
    config.process.environment = vec!["A=1".into(), "A=2".into(), "B=x=y".into(), "HOME=".into()];
    let environment = load_container_environment(&config, &user()).expect("well-formed");
    assert_eq!(environment, ["A=2", "B=x=y", "HOME=/home/me"]);
}

#[test]
fn malformed_environment_names_the_variable_and_not_its_value() {
    let mut config = Config::default();
    config.process.environment = vec!["SECRET=a\0b".into()];
    let error = load_container_environment(&config, &user()).expect_err("a NUL byte");
    assert!(
        error.to_string().contains("SECRET") && !error.to_string().contains("a\\0b"),
        "{error}"
    );
}

#[test]
fn groups_that_cannot_be_set_are_refused_only_when_asked_for() {
    let mut config = Config::default();
    let mut plan = PlanBuilder::new();
    setup_user(&config, &user(), Groups::Fixed, &mut plan)
        .expect("nobody asked for groups by name");
    assert!(!calls(plan).iter().any(|call| call.starts_with("setgroups")));
    config.process.additional_gids = vec![5];
    let error = setup_user(&config, &user(), Groups::Fixed, &mut PlanBuilder::new())
        .expect_err("asked for");
    assert_eq!(error.kind(), Kind::Denied);
}

/// Descriptors are closed before the directory is entered, capabilities go after the user is set, and the filter
/// without no_new_privs comes while there is still a right for it.
#[test]
fn h11_end_of_a_start_has_the_safe_order() {
    let order = |no_new_privileges: bool| {
        let process = Process {
            no_new_privileges,
            deny_terminal_injection: true,
            ..Process::default()
        };
        let config = Config {
            process,
            ..Config::default()
        };
        let mut plan = PlanBuilder::new();
        finalize_namespace(&config, &user(), Groups::Settable, 3, &mut plan)
            .expect("nothing is wrong");
        let names = calls(plan)
            .into_iter()
            .map(|call| call.split(['(', ',']).take(2).collect::<Vec<_>>().join(" "));
        names
            .map(|name| name.trim_end_matches(')').to_owned())
            .collect::<Vec<_>>()
    };
    let common = ["close_range 3", "umask 0o022", "prctl PR_CAPBSET_DROP"];
    let user = [
        "setgroups [4",
        "setresuid uid 1000",
        "prctl PR_SET_DUMPABLE",
    ];
    let rights = ["capset effective none", "prctl PR_CAP_AMBIENT"];
    let filter = ["seccomp 23 instructions"];
    let end = ["chdir \"/\""];
    let without = [&common[..], &filter, &user, &rights, &end].concat();
    let with = [
        &common[..],
        &user,
        &rights,
        &["prctl PR_SET_NO_NEW_PRIVS"],
        &filter,
        &end,
    ]
    .concat();
    assert_eq!(order(false), without);
    assert_eq!(order(true), with);
}

#[test]
fn start_ends_with_the_command_and_begins_undumpable() {
    let mut config = Config::default();
    config.process.oom_score_adj = Some(500);
    config.process.parent_death_signal = 9;
    config.hostname = Some("box".to_owned());
    config.namespaces.add(NamespaceKind::Network, None, "");
    let command = Command {
        arguments: vec!["/bin/true".into()],
        environment: vec!["PATH=/bin".into()],
    };
    let mut plan = PlanBuilder::new();
    protect(&config, &mut plan).expect("nothing is wrong");
    let what = Init {
        config: &config,
        user: &user(),
        groups: Groups::Settable,
        command: &command,
        descriptors: &[],
        parked_at: None,
    };
    init(&what, &mut plan, |_| {
        Ok::<_, ns_init::Error>(Inside::default())
    })
    .expect("nothing is wrong");
    let calls = calls(plan);
    assert_eq!(calls[0], "write(\"/proc/self/oom_score_adj\", \"500\")");
    assert_eq!(calls[1], "prctl(PR_SET_DUMPABLE, 0)");
    let last = calls.len() - 1;
    assert_eq!(calls[last], "execve(\"/bin/true\")");
    assert_eq!(
        calls[last - 2],
        "prctl(PR_SET_PDEATHSIG, 9)",
        "it is the last that a change of user could clear"
    );
    assert!(calls.contains(&"ioctl(\"lo\", SIOCSIFFLAGS, IFF_UP)".to_owned()));
}

#[test]
fn empty_command_is_an_error_before_anything_starts() {
    let config = Config::default();
    for arguments in [vec![], vec!["".into()]] {
        let command = Command {
            arguments,
            environment: vec!["PATH=/bin".into()],
        };
        let error = ns_init::execute(&config, &command, &mut PlanBuilder::new())
            .expect_err("nothing to run");
        assert_eq!(error.kind(), Kind::InvalidValue);
    }
}

#[test]
fn bare_name_without_a_path_is_an_error() {
    let command = Command {
        arguments: vec!["true".into()],
        environment: Vec::new(),
    };
    let error = ns_init::execute(&Config::default(), &command, &mut PlanBuilder::new())
        .expect_err("no PATH");
    assert!(
        error.hint().is_some_and(|hint| hint.contains("PATH")),
        "{error}"
    );
}

proptest! {
    /// H10, CVE-2022-29162: the plan's sets are the configuration's, and nothing is put anywhere else.
    #[test]
    fn h10_planned_sets_are_the_configured_ones(bits in 0_u64..1 << 41) {
        let kept: CapabilitySet = Capability::all().filter(|one| bits >> one.number() & 1 == 1).collect();
        let process = Process { capabilities: Capabilities::kept(kept), ..Process::default() };
        let config = Config { process, ..Config::default() };
        let mut plan = PlanBuilder::new();
        finalize_namespace(&config, &user(), Groups::Settable, 3, &mut plan).expect("nothing is wrong");
        let calls = calls(plan);
        let set = if bits == 0 { "none".to_owned() } else { format!("{bits:#x}") };
        let expected = format!("capset(effective {set}, permitted {set}, inheritable none)");
        prop_assert!(calls.contains(&expected), "{calls:?}");
        let expected = format!("prctl(PR_CAPBSET_DROP, all but {set})");
        prop_assert!(calls.contains(&expected), "{calls:?}");
        prop_assert!(calls.contains(&"prctl(PR_CAP_AMBIENT, none)".to_owned()));
    }
}
