//! `cargo xtask bench limits`: a start with limits of memory, cpu and processes, and a pair of interfaces on a bridge.

use std::process::{Command, ExitCode};

use nix::sched::{CloneFlags, unshare};
use nix::unistd::Uid;
use serde_json::{Value, json};

use super::contender::{Contender, Way};
use super::groups::Hierarchies;
use super::library::Library;
use super::place::{Place, words};
use super::recipe::Recipe;
use super::report::Report;
use super::{Options, message, peers, snapshot};
use crate::debian;
use crate::failure::{Failure, Result, While};
use crate::view;
use crate::workspace::{Workspace, succeed};

/// A bench as root, in a network namespace with a bridge of its own.
pub(super) struct Inside {
    pub(super) place: Place,
    pub(super) hierarchies: Hierarchies,
    pub(super) report: Report,
}

/// A number that the bridge certainly has.
const BRIDGE_INDEX: u32 = 100;

impl Inside {
    /// Builds first; nothing of the machine is touched after.
    pub(super) fn enter(
        what: &'static str,
        options: &Options,
        workspace: &Workspace,
    ) -> Result<Inside> {
        if !Uid::effective().is_root() {
            return Err(Failure::new(
                "control groups and interfaces are measured as root",
            ));
        }
        if options.install_peers {
            debian::install(&debian::PEERS)?;
        }
        let place = Place::build(workspace)?;
        if let Some(view) = options.view {
            view::enter(view)?;
        }
        make_network()?;
        let hierarchies = Hierarchies::find()?;
        let mut report = Report::new(what, options.rounds);
        if !hierarchies.are_limited() {
            let why = "this layout has no controllers for them; the groups are made without limits";
            report.left_out("limits", why);
        }
        Ok(Inside {
            place,
            hierarchies,
            report,
        })
    }

    /// The configuration with a control group and a pair on the bridge.
    pub(super) fn config(&self, name: &str) -> Value {
        let mut config = self.place.container();
        config["cgroups"] = self.hierarchies.section(name);
        config["networks"] = json!([{"type": "veth", "bridge": "br0", "veth_prefix": "bn",
            "address": "10.9.0.2/24", "gateway": "10.9.0.1", "mtu": 1500}]);
        config
    }
}

/// A network namespace that ends with this process, so that no interface of the machine is near.
fn make_network() -> Result<()> {
    unshare(CloneFlags::CLONE_NEWNET).while_doing("unshare(CLONE_NEWNET)")?;
    let index = BRIDGE_INDEX.to_string();
    for words in [
        vec!["link", "add", "br0", "index", &index, "type", "bridge"],
        vec!["link", "set", "br0", "up"],
        vec!["addr", "add", "10.9.0.1/24", "dev", "br0"],
    ] {
        succeed(Command::new("ip").args(words))?;
    }
    Ok(())
}

/// Steps of the floor program: the pair, its address, its route.
fn interfaces() -> Vec<String> {
    let (pair, pid_at, name_at) = message::pair(BRIDGE_INDEX);
    let (up, up_at) = message::up();
    let (address, address_at) = message::address([10, 9, 0, 2], 24, [10, 9, 0, 255]);
    let (route, route_at) = message::default_route([10, 9, 0, 1]);
    vec![
        format!("H\u{1}{pair}\u{1}{pid_at}\u{1}{name_at}"),
        format!("I\u{1}{up}\u{1}{up_at}"),
        format!("I\u{1}{address}\u{1}{address_at}"),
        format!("I\u{1}{route}\u{1}{route_at}"),
    ]
}

pub(super) fn run(options: &Options, workspace: &Workspace) -> Result<ExitCode> {
    let mut inside = Inside::enter("start", options, workspace)?;
    let contenders = contenders(&mut inside)?;
    let Inside { place, report, .. } = inside;
    place.measure_and_report("limits", report, contenders)?;
    Ok(ExitCode::SUCCESS)
}

fn contenders(inside: &mut Inside) -> Result<Vec<Contender>> {
    let place = &inside.place;
    let name = format!("ns-bench-{}", std::process::id());
    let config = place.write_config("limits.json", &inside.config(&name))?;
    let run = |command: &[&str]| place.run(&config, command);
    let recipe = Recipe::from_snapshot(&snapshot::take(&mut run(&["/true", "cat"]))?)?;
    let floor = |with_pids| {
        let mut more = inside.hierarchies.steps(&name, with_pids);
        more.extend(interfaces());
        place.floor_words(&recipe, &more)
    };
    let own = |name, floor, words| peers::program(name, floor, words, &place.directory);
    let (all, less) = ("floor", "floor, no pids");
    let mut contenders = vec![
        own(all, all, floor(true)),
        own(less, less, floor(false)),
        own("nsrun run, no pids", less, words(&run(&["/true"]))),
        Contender {
            name: "library",
            floor: all,
            way: Way::Library(Library::starting(place, &config, 0, 1)?, String::new()),
        },
    ];
    let resources = inside.hierarchies.resources();
    let path = format!("/{name}");
    let bundle = peers::bundle(place, "bundle-limits", |config| {
        config["linux"]["resources"] = resources;
        config["linux"]["cgroupsPath"] = json!(path);
    })?;
    if let Some(bundle) = bundle {
        for (name, program) in [("runc, no pair", "runc"), ("crun, no pair", "crun")] {
            let words = [peers::path_of(program), "run", "{id}"].map(Into::into);
            contenders.push(peers::program(name, all, words.into(), &bundle));
        }
    }
    Ok(contenders)
}
