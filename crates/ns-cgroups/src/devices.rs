//! Device rules: v1 files, and programs on v2.

use std::os::fd::{AsFd, OwnedFd};

use nix::errno::Errno;
use ns_config::{DeviceAccess, DeviceRule, DeviceRuleKind};

use crate::{
    bpf,
    controller::Controller,
    dir::Dir,
    error::{Error, Kind, Result},
    group::Member,
    layout::Version,
    sys,
};

/// What the v1 files can say: everything is denied, or allowed, but for the exceptions.
#[derive(Clone, Debug, PartialEq, Eq)]
struct LegacyRules {
    allow_by_default: bool,
    exceptions: Vec<LegacyException>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct LegacyException {
    kind: DeviceRuleKind,
    major: Option<u32>,
    minor: Option<u32>,
    access: DeviceAccess,
}

/// Puts the rules in force, in place of those that were.
pub(crate) fn apply(member: &Member, rules: &[DeviceRule]) -> Result<()> {
    match member.has(Controller::Devices) {
        true => LegacyRules::from_rules(rules)?.write(&member.dir),
        false => attach(&member.dir, rules),
    }
}

/// The steps of [`apply`], in words.
pub(crate) fn explain(
    version: Version,
    directory: &str,
    rules: &[DeviceRule],
) -> Result<Vec<String>> {
    if version == Version::V2 {
        let n_instructions = bpf::compile(rules).len();
        let (n_rules, path) = (rules.len(), directory);
        return Ok(vec![format!(
            "attach a device program of {n_instructions} instructions for {n_rules} rules to {path:?}"
        )]);
    }
    let lines = LegacyRules::from_rules(rules)?.lines();
    let step = |(file, line)| format!("write \"{directory}/{file}\" {line:?}");
    Ok(lines.into_iter().map(step).collect())
}

fn attach(dir: &Dir, rules: &[DeviceRule]) -> Result<()> {
    let refused = |call: &str, errno| {
        let call = format!("bpf({call}, {:?})", dir.path());
        let error = Error::from_errno(STEP, call, errno).with_setting("devices");
        match errno {
            Errno::EPERM | Errno::EACCES => error.with_hint(
                "device rules on cgroup v2 need CAP_BPF and CAP_NET_ADMIN, or CAP_SYS_ADMIN, in the \
                 first user namespace; leave them out, or start as root",
            ),
            Errno::E2BIG => error.with_hint("too many rules, or too many programs on this group"),
            _ => error,
        }
    };
    let program = sys::bpf_prog_load(&bpf::compile(rules), PROGRAM_NAME)
        .map_err(|errno| refused("BPF_PROG_LOAD", errno))?;
    let replaced = attached_by_us(dir).map_err(|errno| refused("BPF_PROG_QUERY", errno))?;
    let replaced = replaced.as_ref().map(AsFd::as_fd);
    sys::bpf_prog_attach(dir.as_fd(), program.as_fd(), replaced)
        .map_err(|errno| refused("BPF_PROG_ATTACH", errno))
}

/// Programs of others, of systemd for instance, stay beside ours: all must allow.
fn attached_by_us(dir: &Dir) -> nix::Result<Option<OwnedFd>> {
    for id in sys::bpf_prog_query(dir.as_fd())? {
        let program = match sys::bpf_prog_get_fd_by_id(id) {
            Ok(program) => program,
            Err(Errno::ENOENT) => continue,
            Err(errno) => return Err(errno),
        };
        if sys::bpf_prog_name(program.as_fd())? == PROGRAM_NAME {
            return Ok(Some(program));
        }
    }
    Ok(None)
}

impl LegacyRules {
    /// Walks the rules in order. A rule that cuts a hole into a wider exception has no v1 form.
    fn from_rules(rules: &[DeviceRule]) -> Result<Self> {
        let mut state = LegacyRules {
            allow_by_default: false,
            exceptions: Vec::new(),
        };
        for rule in rules {
            let is_everything = rule.kind == DeviceRuleKind::All
                && rule.major.is_none()
                && rule.minor.is_none()
                && rule.access == DeviceAccess::ALL;
            if is_everything {
                state.allow_by_default = rule.allow;
                state.exceptions.clear();
                continue;
            }
            for exception in LegacyException::from_rule(rule) {
                state.add(exception, rule)?;
            }
        }
        Ok(state)
    }

    fn add(&mut self, new: LegacyException, rule: &DeviceRule) -> Result<()> {
        if rule.allow == self.allow_by_default {
            return self.take_back(new, rule);
        }
        let same = self
            .exceptions
            .iter_mut()
            .find(|old| (old.kind, old.major, old.minor) == (new.kind, new.major, new.minor));
        match same {
            Some(old) => old.access = join(old.access, new.access),
            None => self.exceptions.push(new),
        }
        Ok(())
    }

    fn take_back(&mut self, new: LegacyException, rule: &DeviceRule) -> Result<()> {
        for old in &mut self.exceptions {
            if !old.meets(&new) {
                continue;
            }
            if !new.covers(old) {
                let call = format!("\"{rule}\" is a part of \"{}\"", old.line());
                return Err(Error::new(Kind::Unsupported, STEP, call)
                    .with_setting("devices")
                    .with_hint(
                        "cgroup v1 cannot except one device from a wider rule; name the others",
                    ));
            }
            old.access = less(old.access, new.access);
        }
        self.exceptions
            .retain(|old| old.access != DeviceAccess::default());
        Ok(())
    }

    /// `a` first: it also clears the exceptions that were.
    fn lines(&self) -> Vec<(&'static str, String)> {
        let (default, exceptions) = match self.allow_by_default {
            true => ("devices.allow", "devices.deny"),
            false => ("devices.deny", "devices.allow"),
        };
        let mut lines = vec![(default, "a".to_owned())];
        lines.extend(
            self.exceptions
                .iter()
                .map(|exception| (exceptions, exception.line())),
        );
        lines
    }

    fn write(&self, dir: &Dir) -> Result<()> {
        for (file, line) in self.lines() {
            dir.write(file, &line).map_err(|errno| {
                let call = format!("write({:?}, {line:?})", dir.path_of(file));
                let error = Error::from_errno(STEP, call, errno).with_setting("devices");
                match errno {
                    Errno::EPERM => error.with_hint("the group above does not allow this device"),
                    _ => error,
                }
            })?;
        }
        Ok(())
    }
}

impl LegacyException {
    /// v1 takes `a` for everything, whatever stands behind it.
    fn from_rule(rule: &DeviceRule) -> Vec<LegacyException> {
        let kinds = match rule.kind {
            DeviceRuleKind::All => vec![DeviceRuleKind::Char, DeviceRuleKind::Block],
            kind => vec![kind],
        };
        let access = rule.access;
        if access == DeviceAccess::default() {
            return Vec::new();
        }
        let of_kind = |kind| LegacyException {
            kind,
            major: rule.major,
            minor: rule.minor,
            access,
        };
        kinds.into_iter().map(of_kind).collect()
    }

    fn covers(&self, other: &LegacyException) -> bool {
        let covers = |own: Option<u32>, other: Option<u32>| own.is_none() || own == other;
        covers(self.major, other.major) && covers(self.minor, other.minor)
    }

    /// Whether there is a request that both speak of.
    fn meets(&self, other: &LegacyException) -> bool {
        let meets =
            |own: Option<u32>, other: Option<u32>| own.is_none() || other.is_none() || own == other;
        self.kind == other.kind
            && meets(self.major, other.major)
            && meets(self.minor, other.minor)
            && bpf::access_bits(self.access) & bpf::access_bits(other.access) != 0
    }

    fn line(&self) -> String {
        DeviceRule::allow(self.kind, self.major, self.minor, self.access).to_string()
    }
}

fn join(one: DeviceAccess, other: DeviceAccess) -> DeviceAccess {
    DeviceAccess {
        read: one.read || other.read,
        write: one.write || other.write,
        mknod: one.mknod || other.mknod,
    }
}

fn less(one: DeviceAccess, other: DeviceAccess) -> DeviceAccess {
    DeviceAccess {
        read: one.read && !other.read,
        write: one.write && !other.write,
        mknod: one.mknod && !other.mknod,
    }
}

const STEP: &str = "set device rules";
const PROGRAM_NAME: [u8; 16] = *b"ns_cgroups_dev\0\0";

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::bpf::tests::{Request, any_request, any_rules, is_allowed, rule};

    /// What the kernel makes of the exceptions, for a request with one bit.
    fn kernel_allows(state: &LegacyRules, request: Request) -> bool {
        let matches = |exception: &LegacyException| {
            let kind = match exception.kind {
                DeviceRuleKind::Block => request.kind == 1,
                _ => request.kind == 2,
            };
            kind && exception.major.is_none_or(|major| major == request.major)
                && exception.minor.is_none_or(|minor| minor == request.minor)
                && bpf::access_bits(exception.access) & request.bits != 0
        };
        state.exceptions.iter().any(matches) != state.allow_by_default
    }

    #[test]
    fn default_rules_are_written_in_the_order_of_the_seed() {
        let lines = LegacyRules::from_rules(&DeviceRule::default_allowed())
            .unwrap()
            .lines();
        assert_eq!(lines[0], ("devices.deny", "a".to_owned()));
        assert_eq!(lines[1], ("devices.allow", "c *:* m".to_owned()));
        assert_eq!(lines[6], ("devices.allow", "c 136:* rwm".to_owned()));
        assert_eq!(lines.len(), 15);
    }

    #[test]
    fn hole_in_a_wider_rule_is_refused_on_v1() {
        let rules = [rule(true, "c 1:* rw"), rule(false, "c 1:3 w")];
        let error = LegacyRules::from_rules(&rules).unwrap_err();
        assert_eq!(error.kind(), Kind::Unsupported);
        let rules = [rule(true, "a *:* rwm"), rule(false, "b *:* rw")];
        let lines = LegacyRules::from_rules(&rules).unwrap().lines();
        let expected = [("devices.allow", "a"), ("devices.deny", "b *:* rw")];
        assert_eq!(lines, expected.map(|(file, line)| (file, line.to_owned())));
    }

    proptest! {
        #[test]
        fn v1_form_says_what_the_rules_say(
            rules in any_rules(), mut request in any_request(), bit in 0_u32..3,
        ) {
            request.bits = 1 << bit;
            if let Ok(state) = LegacyRules::from_rules(&rules) {
                prop_assert_eq!(kernel_allows(&state, request), is_allowed(&rules, request));
            }
        }
    }
}
