//! Prints what a plan would do; runs nothing and needs no right.
#![expect(clippy::print_stdout, reason = "an example shows something")]

use ns_config::{Config, ResolvedUser};
use ns_init::{Command, Groups, Init, Inside, PlanBuilder};

fn main() -> Result<(), ns_init::Error> {
    let config = Config {
        hostname: Some("box".to_owned()),
        ..Config::default()
    };
    let user = ResolvedUser {
        uid: 1000,
        gid: 1000,
        additional_gids: vec![27],
        home: "/home/me".to_owned(),
    };
    let command = Command {
        arguments: vec!["/bin/sh".into()],
        environment: ns_init::load_container_environment(&config, &user)?,
    };
    let mut plan = PlanBuilder::new();
    let init = Init {
        config: &config,
        user: &user,
        groups: Groups::Settable,
        command: &command,
        descriptors: &[],
        parked_at: None,
    };
    ns_init::protect(&config, &mut plan)?;
    ns_init::init(&init, &mut plan, |_| {
        Ok::<_, ns_init::Error>(Inside::default())
    })?;
    for step in plan.finish().explain() {
        println!("{}: {}", step.what, step.call);
    }
    Ok(())
}
