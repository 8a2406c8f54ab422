//! The cgroup mounts in `/proc/self/mountinfo` that a path still reaches.

use std::collections::HashMap;

use crate::error::{Error, Kind, Result};

/// One mount of the type `cgroup` or `cgroup2`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Mount {
    pub(crate) fstype: String,
    pub(crate) root: String,
    pub(crate) mount_point: String,
    pub(crate) super_options: String,
    options: String,
}

struct Line<'a> {
    id: &'a str,
    parent: &'a str,
    root: &'a str,
    mount_point: String,
    options: &'a str,
    fstype: &'a str,
    super_options: &'a str,
}

impl Mount {
    pub(crate) fn is_writable(&self) -> bool {
        let read_only = |options: &str| options.split(',').any(|option| option == "ro");
        !read_only(&self.options) && !read_only(&self.super_options)
    }
}

/// A mount is hidden when the walk to it leaves the chain of mounts that it sits upon: another mount sits on one of the
/// chain, or on itself, and comes first on the path. Mounts that are hidden themselves sit elsewhere and hide nothing.
pub(crate) fn visible_cgroup_mounts(mountinfo: &str) -> Result<Vec<Mount>> {
    let lines: Vec<Line> = mountinfo.lines().map(Line::parse).collect::<Result<_>>()?;
    let by_id: HashMap<&str, &Line> = lines.iter().map(|line| (line.id, line)).collect();
    let is_cgroup = |line: &&Line| matches!(line.fstype, "cgroup" | "cgroup2");
    let visible = lines.iter().filter(is_cgroup).filter(|line| {
        let chain = chain(line, &by_id);
        let comes_first = |other: &Line| match chain.get(other.parent) {
            _ if other.id == line.id || chain.contains_key(other.id) => false,
            None => false,
            Some(None) => covers(&other.mount_point, &line.mount_point),
            Some(Some(next)) => {
                covers(&other.mount_point, &line.mount_point) && covers(&other.mount_point, next)
            }
        };
        !lines.iter().any(comes_first)
    });
    Ok(visible.map(Line::to_mount).collect())
}

impl<'a> Line<'a> {
    /// `36 35 98:0 /mnt1 /mnt2 rw,noatime master:1 - ext3 /dev/root rw,errors=continue`
    fn parse(line: &'a str) -> Result<Self> {
        let broken = || {
            let call = format!("/proc/self/mountinfo: {line:?} has too few fields");
            Error::new(Kind::InvalidValue, "find control group mounts", call)
        };
        let (before, after) = line.split_once(" - ").ok_or_else(broken)?;
        let mut fields = before.split(' ');
        let mut next = || fields.next().ok_or_else(broken);
        let (id, parent, _device) = (next()?, next()?, next()?);
        let (root, mount_point, options) = (next()?, next()?, next()?);
        let mut fields = after.split(' ');
        let mut next = || fields.next().ok_or_else(broken);
        let (fstype, _source, super_options) = (next()?, next()?, next()?);
        let mount_point = unescape(mount_point);
        Ok(Line {
            id,
            parent,
            root,
            mount_point,
            options,
            fstype,
            super_options,
        })
    }

    fn to_mount(&self) -> Mount {
        Mount {
            fstype: self.fstype.to_owned(),
            root: unescape(self.root),
            mount_point: self.mount_point.clone(),
            super_options: self.super_options.to_owned(),
            options: self.options.to_owned(),
        }
    }
}

/// The mount itself and all below it by id, each with the mount point where the walk leaves it for the next one.
fn chain<'a>(
    mount: &'a Line<'a>,
    by_id: &HashMap<&'a str, &'a Line<'a>>,
) -> HashMap<&'a str, Option<&'a str>> {
    let mut chain = HashMap::from([(mount.id, None)]);
    let mut at = mount;
    loop {
        if chain.contains_key(at.parent) {
            return chain;
        }
        chain.insert(at.parent, Some(at.mount_point.as_str()));
        match by_id.get(at.parent) {
            Some(parent) => at = parent,
            None => return chain,
        }
    }
}

fn covers(upper: &str, path: &str) -> bool {
    let rest = path.strip_prefix(upper.trim_end_matches('/'));
    rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// The kernel writes space, tab, newline and backslash as a backslash with three octal digits.
fn unescape(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, tail @ ..] = rest {
        let code = match tail.get(..3) {
            Some(digits) if *first == b'\\' => octal(digits),
            _ => None,
        };
        bytes.push(code.unwrap_or(*first));
        rest = if code.is_some() { &tail[3..] } else { tail };
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

fn octal(digits: &[u8]) -> Option<u8> {
    let digits = std::str::from_utf8(digits).ok()?;
    u8::from_str_radix(digits, 8).ok()
}
