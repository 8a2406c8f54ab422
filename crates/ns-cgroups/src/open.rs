//! Opening a group again from recorded paths, which are checked and not trusted.

use std::collections::BTreeMap;

use crate::{
    dir::Dir,
    error::{Error, Kind, Result},
    group::{Made, Member},
    layout::{Hierarchy, Layout, Version},
    path::check_name,
};

pub(crate) fn members(layout: &Layout, paths: &BTreeMap<String, String>) -> Result<Vec<Member>> {
    if paths.is_empty() {
        return Err(hostile("no path was recorded".to_owned()));
    }
    let mut members: Vec<Member> = Vec::new();
    for (controller, path) in paths {
        let hierarchy = match controller.as_str() {
            "" => layout.unified(),
            name => layout.legacy(name),
        };
        let Some(hierarchy) = hierarchy else {
            let call = format!("{controller:?} at {path:?}: no such hierarchy is mounted");
            return Err(Error::new(Kind::NotFound, STEP, call));
        };
        if !members.iter().any(|member| member.dir.path() == path) {
            members.push(member(hierarchy, path)?);
        }
    }
    members.sort_by_key(|member| member.version);
    Ok(members)
}

/// Notes which of the directories above the group, and of the groups themselves, are ours.
pub(crate) fn claim(layout: &Layout, members: &mut [Member], made: &[String]) -> Result<()> {
    for member in members.iter_mut() {
        member.made.clear();
    }
    for path in made {
        let is_at_or_above = |member: &&mut Member| {
            let rest = member.dir.path().strip_prefix(path.as_str());
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        };
        let Some(member) = members.iter_mut().find(is_at_or_above) else {
            return Err(hostile(format!("{path:?} is not above the group")));
        };
        let hierarchy = layout
            .hierarchies()
            .iter()
            .find(|own| names_in(own, path).is_ok());
        let Some(hierarchy) = hierarchy else {
            return Err(hostile(format!("{path:?} is not below a cgroup mount")));
        };
        // An ancestor that is gone already needs no removal.
        if let Ok((parent, name)) = parent_and_name(hierarchy, path) {
            member.made.push(Made { parent, name });
        }
    }
    Ok(())
}

fn member(hierarchy: &Hierarchy, path: &str) -> Result<Member> {
    let (parent, name) = parent_and_name(hierarchy, path)?;
    let dir = parent.child(&name)?;
    let made = vec![Made {
        parent: parent.try_clone()?,
        name: name.clone(),
    }];
    Ok(Member {
        version: hierarchy.version(),
        controllers: match hierarchy.version() {
            Version::V1 => hierarchy.controllers().to_vec(),
            Version::V2 => Vec::new(),
        },
        dir,
        parent,
        name,
        made,
    })
}

fn parent_and_name(hierarchy: &Hierarchy, path: &str) -> Result<(Dir, String)> {
    let names = names_in(hierarchy, path)?;
    let mount = Dir::open(hierarchy.mount_point(), hierarchy.version())?;
    let Some((name, above)) = names.split_last() else {
        return Err(hostile(format!("{path:?} is the root of the hierarchy")));
    };
    let parent = mount.descend(above.iter().copied())?;
    Ok((parent, (*name).to_owned()))
}

fn names_in<'p>(hierarchy: &Hierarchy, path: &'p str) -> Result<Vec<&'p str>> {
    let mount_point = hierarchy.mount_point();
    let rest = path
        .strip_prefix(mount_point)
        .and_then(|rest| rest.strip_prefix('/'));
    let Some(rest) = rest else {
        return Err(hostile(format!("{path:?} is not below {mount_point:?}")));
    };
    let names: Vec<&str> = rest.split('/').collect();
    match names.iter().find(|name| check_name(name).is_err()) {
        Some(name) => Err(hostile(format!("{path:?} has the name {name:?}"))),
        None => Ok(names),
    }
}

fn hostile(call: String) -> Error {
    Error::new(Kind::Hostile, STEP, call)
        .with_hint("the record of the container is not to be trusted")
}

const STEP: &str = "open control group";
