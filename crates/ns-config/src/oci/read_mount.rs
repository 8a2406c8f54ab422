//! `mounts`.

use super::read::{host_path, refuse_unsupported};
use crate::{
    error::{Kind, Problem},
    mount::{Mount, MountKind, MountOptions, OverlayUpper},
    mount_option::{BindWord, ParsedOptions},
    object::{Keys, Object, keys},
};

const KEYS: Keys = keys!("destination" "source" "type" "options" "uidMappings" "gidMappings");

pub(super) fn read(object: &Object<'_>, bundle: &str) -> Vec<Mount> {
    let entries = object.objects("mounts", &KEYS).into_iter();
    entries
        .filter_map(|entry| read_mount(&entry, bundle))
        .collect()
}

fn read_mount(entry: &Object<'_>, bundle: &str) -> Option<Mount> {
    for key in ["uidMappings", "gidMappings"] {
        refuse_unsupported(entry, key, "chown the source instead");
    }
    let destination = entry.text("destination");
    if destination.is_none() {
        entry.missing("destination", "an absolute path inside the container");
    }
    let fstype = entry.text("type");
    let parsed = read_options(entry, fstype.as_deref().unwrap_or_default())?;
    let mut options = parsed.options;
    let kind = match (parsed.bind, fstype) {
        (Some(word), _) => {
            let Some(source) = entry.text("source") else {
                entry.missing("source", "a path of the host");
                return None;
            };
            MountKind::Bind {
                source: host_path(bundle, source),
                recursive: word == BindWord::Recursive,
                optional: false,
            }
        }
        (None, Some(fstype)) if fstype == "bind" || fstype == "none" => {
            entry.invalid(
                "type",
                "is a bind without the option",
                "bind or rbind in options",
            );
            return None;
        }
        (None, Some(fstype)) if fstype == "cgroup" => MountKind::CgroupView,
        (None, Some(fstype)) if fstype == "overlay" => read_overlay(entry, &mut options)?,
        (None, Some(fstype)) => MountKind::Filesystem {
            source: entry.text("source").unwrap_or_else(|| fstype.clone()),
            fstype,
        },
        (None, None) => {
            entry.missing("type", "a file system, or bind or rbind in options");
            return None;
        }
    };
    let destination = destination?;
    Some(Mount {
        // The specification takes a relative one from the root.
        destination: match destination.starts_with('/') {
            true => destination,
            false => format!("/{destination}"),
        },
        kind,
        options,
        pointer: entry.pointer.clone(),
    })
}

fn read_options(entry: &Object<'_>, fstype: &str) -> Option<ParsedOptions> {
    let words = entry.texts("options");
    let mut is_accepted = true;
    for (word, pointer) in &words {
        let way_out = match *word {
            "idmap" | "ridmap" => "chown the source instead",
            "nofail" => "leave out the mount when its source may be missing",
            "z" | "Z" => "relabel the source before the start",
            _ => continue,
        };
        let rule = "cannot be applied to a mount of this format";
        entry.note(Problem::new(Kind::Unsupported, pointer, word, rule).hint(way_out));
        is_accepted = false;
    }
    let texts: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
    match MountOptions::parse(&texts, fstype) {
        Ok(parsed) => is_accepted.then_some(parsed),
        Err(error) => {
            entry.note_error(&format!("{}/options", entry.pointer), error);
            None
        }
    }
}

fn read_overlay(entry: &Object<'_>, options: &mut MountOptions) -> Option<MountKind> {
    let mut take = |key: &str| {
        let place = options.data.iter().position(|(name, _)| name == key)?;
        options.data.remove(place).1
    };
    let (lower, upper, work) = (take("lowerdir"), take("upperdir"), take("workdir"));
    let upper = match (upper, work) {
        (Some(upper), Some(work)) => Some(OverlayUpper { upper, work }),
        (None, None) => None,
        _ => {
            entry.invalid(
                "options",
                "has one of upperdir and workdir",
                "both or neither",
            );
            return None;
        }
    };
    let Some(lower) = lower.filter(|lower| !lower.contains('\\')) else {
        entry.invalid(
            "options",
            "has no lowerdir that can be understood",
            "lowerdir=PATH[:PATH…] without backslashes",
        );
        return None;
    };
    let lower = lower.split(':').map(str::to_owned).collect();
    Some(MountKind::Overlay { lower, upper })
}
