//! Writing `mounts`.

use super::dev;
use crate::{
    config::Config,
    json::Node,
    mount::{Mount, MountKind, MountOptions, OverlayUpper},
    refusal::Refusals,
    source::Setting,
};

pub(super) fn mounts(config: &Config, refusals: &mut Refusals) -> Node {
    let mut nodes = Vec::new();
    for mount in dev::without_implied(config) {
        match mount.kind {
            MountKind::DevLayout if is_plain_layout(mount) => {
                nodes.extend(
                    dev::layout(config)
                        .iter()
                        .filter_map(|part| node(part, refusals)),
                );
            }
            _ => nodes.extend(node(mount, refusals)),
        }
    }
    Node::Array(nodes)
}

fn is_plain_layout(mount: &Mount) -> bool {
    mount.destination == "/dev" && mount.options == MountOptions::default()
}

fn node(mount: &Mount, refusals: &mut Refusals) -> Option<Node> {
    let mut words = mount.options.words();
    let way = match &mount.kind {
        MountKind::Bind {
            source,
            recursive,
            optional: false,
        } => {
            words.insert(0, if *recursive { "rbind" } else { "bind" }.to_owned());
            Ok(("bind", source.as_str()))
        }
        MountKind::Bind { .. } => Err("leave it out when its source may be missing"),
        MountKind::Filesystem { fstype, source } if is_plain_type(fstype) => {
            Ok((fstype.as_str(), source.as_str()))
        }
        MountKind::Overlay { lower, upper } => {
            words.splice(0..0, layers(lower, upper.as_ref()));
            match can_be_named(lower, upper.as_ref()) {
                true => Ok(("overlay", "overlay")),
                false => Err("choose paths without colons, commas, quotes and backslashes"),
            }
        }
        MountKind::CgroupView => Ok(("cgroup", "cgroup")),
        MountKind::DevLayout => Err("mount /dev there, without options"),
        _ => Err("bind a file of the host, or put it into the root file system"),
    };
    let way = match mount.options.relabel {
        Some(_) => Err("relabel the source before the start"),
        None => way,
    };
    match way {
        Ok((fstype, source)) => Some(Node::object([
            ("destination", mount.destination.as_str().into()),
            ("type", fstype.into()),
            ("source", source.into()),
            (
                "options",
                words.into_iter().collect::<Node>().or_null_when_empty(),
            ),
        ])),
        Err(way_out) => {
            let rule = format!(
                "the mount at {:?} cannot be written as config.json",
                mount.destination
            );
            let item = (mount.pointer.as_str(), Setting::Mounts);
            refusals.refuse_item(item, &rule, way_out);
            None
        }
    }
}

fn layers(lower: &[String], upper: Option<&OverlayUpper>) -> Vec<String> {
    let mut words = vec![format!("lowerdir={}", lower.join(":"))];
    if let Some(OverlayUpper { upper, work }) = upper {
        words.extend([format!("upperdir={upper}"), format!("workdir={work}")]);
    }
    words
}

fn can_be_named(lower: &[String], upper: Option<&OverlayUpper>) -> bool {
    let upper = upper
        .into_iter()
        .flat_map(|upper| [&upper.upper, &upper.work]);
    !lower.iter().any(|path| path.contains(':'))
        && !lower
            .iter()
            .chain(upper)
            .any(|path| path.contains(['\\', ',', '"']))
}

/// Types that mean something else to the format.
fn is_plain_type(fstype: &str) -> bool {
    !["bind", "none", "cgroup", "overlay", ""].contains(&fstype)
}
