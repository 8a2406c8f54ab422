//! From what a container is made of to the steps of the floor program, which makes the same.

use std::collections::BTreeSet;

use super::snapshot::{EntryKind, Mount, Snapshot};
use crate::failure::{Failure, Result};

/// Steps of the floor program, in its own notation: fields parted by the byte 1.
#[derive(Debug, Default)]
pub(super) struct Recipe {
    /// `CLONE_NEW*` bits.
    pub(super) namespaces: u64,
    /// The steps.
    pub(super) steps: Vec<String>,
    made: BTreeSet<String>,
    at_the_end: Vec<String>,
    mask: Option<String>,
}

const NEW_USER: u64 = 0x1000_0000;
const READ_ONLY: u32 = 1;

/// Where the object of a mount comes from.
#[derive(Debug, PartialEq, Eq)]
enum Origin {
    /// This path of the host.
    Host(String),
    /// A file system of the container's own.
    New,
    /// This path of the container, mounted once more.
    Again(String),
    /// Something empty, to hide what is below.
    Empty,
}

impl Recipe {
    /// The steps that make what the snapshot shows.
    pub(super) fn from_snapshot(snapshot: &Snapshot) -> Result<Recipe> {
        let mut mounts = snapshot.mounts.clone();
        // Parents first; the kernel's order within a directory stays.
        mounts.sort_by_key(|mount| depth(&mount.place));
        let (root, rest) = mounts
            .split_first()
            .filter(|(root, _)| root.place == "/")
            .ok_or_else(|| Failure::new("the container has no root mount"))?;
        let mut recipe = Recipe {
            namespaces: snapshot.namespaces,
            ..Recipe::default()
        };
        recipe.root(root, snapshot)?;
        for (at, mount) in rest.iter().enumerate() {
            let earlier = &mounts[..=at];
            recipe.mount(mount, earlier, snapshot)?;
        }
        let at_the_end = std::mem::take(&mut recipe.at_the_end);
        recipe.steps.extend(at_the_end);
        Ok(recipe)
    }

    fn push(&mut self, fields: &[&str]) {
        self.steps.push(fields.join("\u{1}"));
    }

    fn root(&mut self, root: &Mount, snapshot: &Snapshot) -> Result<()> {
        match origin(root, &[], snapshot) {
            Origin::Host(path) => self.push(&["r", &path, ""]),
            Origin::New => {
                let options = self.options(root);
                let mode = options
                    .split(',')
                    .find_map(|option| option.strip_prefix("mode="));
                self.push(&["r", "", mode.unwrap_or("755")]);
                self.fill("/", snapshot);
            }
            other => {
                return Err(Failure::new(format!(
                    "a root of a kind not known here: {other:?}"
                )));
            }
        }
        if flags(&root.options) & READ_ONLY != 0 {
            self.at_the_end
                .push(format!("f\u{1}.\u{1}{}", flags(&root.options)));
        }
        Ok(())
    }

    fn mount(&mut self, mount: &Mount, earlier: &[Mount], snapshot: &Snapshot) -> Result<()> {
        self.make_place(mount, earlier, snapshot);
        let (target, word) = (inside(&mount.place), flags(&mount.options));
        match origin(mount, earlier, snapshot) {
            Origin::Host(path) => {
                let own = host_mount(&path, &snapshot.host).map_or(0, |own| flags(&own.options));
                let changed = if own == word { 0 } else { word };
                self.push(&["b", &path, target, &changed.to_string()]);
            }
            Origin::Again(path) => self.push(&["b", inside(&path), target, &word.to_string()]),
            Origin::New => {
                let options = self.options(mount);
                let at_first = word & !READ_ONLY;
                self.push(&["n", &mount.fstype, target, &at_first.to_string(), &options]);
                if mount.fstype == "tmpfs" {
                    self.fill(&mount.place, snapshot);
                }
                if word != at_first {
                    self.at_the_end.push(format!("f\u{1}{target}\u{1}{word}"));
                }
            }
            Origin::Empty if mount.is_directory => match self.mask.clone() {
                Some(mask) => self.push(&["b", &mask, target, "0"]),
                None => {
                    self.push(&["n", "tmpfs", target, &word.to_string(), "mode=755"]);
                    self.mask = Some(target.to_owned());
                }
            },
            Origin::Empty => {
                return Err(Failure::new(format!(
                    "a file of its own at {}",
                    mount.place
                )));
            }
        }
        Ok(())
    }

    /// The directory or file that is mounted on, when it lies in a file system that begins empty.
    fn make_place(&mut self, mount: &Mount, earlier: &[Mount], snapshot: &Snapshot) {
        let parents = earlier
            .iter()
            .filter(|parent| is_below(&mount.place, &parent.place));
        let Some(parent) = parents.max_by_key(|parent| depth(&parent.place)) else {
            return;
        };
        let is_new = origin(parent, &[], snapshot) == Origin::New;
        if !is_new || parent.fstype != "tmpfs" {
            return;
        }
        let starts = mount
            .place
            .match_indices('/')
            .map(|(at, _)| &mount.place[..at]);
        let above: Vec<&str> = starts
            .filter(|path| is_below(path, &parent.place))
            .collect();
        for path in above {
            self.make("d", path);
        }
        self.make(if mount.is_directory { "d" } else { "e" }, &mount.place);
    }

    fn make(&mut self, kind: &str, path: &str) {
        if self.made.insert(path.to_owned()) {
            self.push(&[kind, inside(path)]);
        }
    }

    /// What a new file system is filled with.
    fn fill(&mut self, place: &str, snapshot: &Snapshot) {
        let is_mounted = |path: &str| snapshot.mounts.iter().any(|mount| mount.place == path);
        let direct = |path: &str| {
            path.rsplit_once('/')
                .is_some_and(|(parent, _)| parent == place.trim_end_matches('/'))
        };
        for entry in &snapshot.entries {
            if !direct(&entry.path) || is_mounted(&entry.path) {
                continue;
            }
            match &entry.kind {
                EntryKind::Directory => self.make("d", &entry.path),
                EntryKind::Link(target) => self.push(&["l", inside(&entry.path), target]),
                EntryKind::Device(number) => {
                    self.push(&["c", inside(&entry.path), &number.to_string()])
                }
                EntryKind::Other => self.make("e", &entry.path),
            }
        }
    }

    /// Mount options of a new file system; ids in a user namespace are shown as others see them.
    fn options(&self, mount: &Mount) -> String {
        let is_owner = |option: &str| option.starts_with("uid=") || option.starts_with("gid=");
        let in_user_namespace = self.namespaces & NEW_USER != 0;
        let kept = mount.super_options.split(',').filter(|option| {
            let is_of_host = in_user_namespace && is_owner(option);
            !is_of_host && !matches!(*option, "rw" | "ro" | "seclabel")
        });
        match mount.fstype.as_str() {
            "cgroup2" => String::new(),
            _ => kept.collect::<Vec<_>>().join(","),
        }
    }
}

fn origin(mount: &Mount, earlier: &[Mount], snapshot: &Snapshot) -> Origin {
    let of_host = snapshot
        .host
        .iter()
        .filter(|host| host.device == mount.device);
    let covering = of_host.filter(|host| {
        host.root == "/" || is_below(&mount.root, &host.root) || mount.root == host.root
    });
    // A new proc or mqueue of a shared namespace has the host's device number too; a root of its own tells.
    if let Some(host) = covering.max_by_key(|host| host.root.len()) {
        let below = mount
            .root
            .strip_prefix(host.root.trim_end_matches('/'))
            .unwrap_or_default();
        let path = format!("{}{below}", host.place.trim_end_matches('/'));
        return Origin::Host(if path.is_empty() { "/".into() } else { path });
    }
    match earlier
        .iter()
        .find(|first| first.device == mount.device && first.root == "/")
    {
        Some(first) => Origin::Again(format!(
            "{}{}",
            first.place.trim_end_matches('/'),
            mount.root
        )),
        None if mount.root == "/" => Origin::New,
        None => Origin::Empty,
    }
}

fn host_mount<'a>(path: &str, host: &'a [Mount]) -> Option<&'a Mount> {
    let above = host
        .iter()
        .filter(|mount| mount.place == path || is_below(path, &mount.place));
    above.max_by_key(|mount| mount.place.len())
}

fn depth(place: &str) -> usize {
    place.split('/').filter(|name| !name.is_empty()).count()
}

fn is_below(path: &str, place: &str) -> bool {
    let place = place.trim_end_matches('/');
    path.len() > place.len() + 1
        && path.starts_with(place)
        && path.as_bytes().get(place.len()) == Some(&b'/')
}

fn inside(path: &str) -> &str {
    path.trim_start_matches('/')
}

/// The words that `mount(2)` has as bits; access times are left to the kernel's default.
fn flags(options: &str) -> u32 {
    options
        .split(',')
        .map(|option| match option {
            "ro" => READ_ONLY,
            "nosuid" => 2,
            "nodev" => 4,
            "noexec" => 8,
            _ => 0,
        })
        .sum()
}

#[cfg(test)]
mod tests {
    use super::super::snapshot::Entry;
    use super::*;

    fn mounts(lines: &[&str]) -> Vec<Mount> {
        lines.iter().filter_map(|line| Mount::parse(line)).collect()
    }

    #[test]
    fn mounts_become_steps_parents_first() {
        let snapshot = Snapshot {
            namespaces: 0x0002_0000,
            host: mounts(&["27 1 254:0 / / rw,relatime - ext4 /dev/vda rw"]),
            mounts: mounts(&[
                "65 42 0:41 / / ro,nosuid - tmpfs tmpfs rw,mode=700",
                "70 69 0:44 / /dev/pts rw,nosuid,noexec - devpts devpts rw,gid=5",
                "69 65 0:43 / /dev rw,nosuid - tmpfs tmpfs rw,mode=755",
                "66 65 254:0 /usr /usr ro,nosuid - ext4 /dev/vda rw",
                "68 65 0:42 / /proc rw - proc proc rw",
                "80 68 0:42 /sys /proc/sys ro - proc proc rw",
                "81 68 0:40 /empty /proc/acpi ro - tmpfs tmpfs rw",
                "82 68 0:40 /empty /proc/asound ro - tmpfs tmpfs rw",
            ]),
            entries: vec![
                Entry {
                    path: "/bin".into(),
                    kind: EntryKind::Link("usr/bin".into()),
                },
                Entry {
                    path: "/dev/null".into(),
                    kind: EntryKind::Device(259),
                },
            ],
        };
        let recipe = Recipe::from_snapshot(&snapshot).expect("a recipe");
        let steps: Vec<_> = recipe
            .steps
            .iter()
            .map(|step| step.replace('\u{1}', " "))
            .collect();
        assert_eq!(
            steps,
            [
                "r  700",
                "l bin usr/bin",
                "d dev",
                "n tmpfs dev 2 mode=755",
                "c dev/null 259",
                "d usr",
                "b /usr usr 3",
                "d proc",
                "n proc proc 0 ",
                "d dev/pts",
                "n devpts dev/pts 10 gid=5",
                "b proc/sys proc/sys 1",
                "n tmpfs proc/acpi 1 mode=755",
                "b proc/acpi proc/asound 0",
                "f . 3",
            ]
        );
    }
}
