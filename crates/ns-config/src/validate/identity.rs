//! Users, groups and their mappings.

use super::Check;
use crate::{
    error::{Kind, Problem},
    id_map::IdMap,
    namespace::NamespaceKind,
    source::{Setting, Source},
};

impl Check<'_> {
    pub(super) fn ids(&mut self) {
        self.mappings(&self.config.uid_mappings, Setting::UidMappings);
        self.mappings(&self.config.gid_mappings, Setting::GidMappings);
        let user = &self.config.process.user;
        if let Some(uid) = user.uid() {
            self.mapped_uid(uid);
        }
        if let Some(gid) = user.gid() {
            self.mapped_gid(gid, Setting::User);
        }
        self.additional_gids();
    }

    pub(super) fn additional_gids(&mut self) {
        let gids = &self.config.process.additional_gids;
        if gids.len() > MAX_GROUPS {
            let pointer = self.pointer(Setting::AdditionalGids);
            let problem = Problem::new(Kind::Limit, pointer, gids.len(), "has too many groups");
            self.note(problem.accepted("at most 65536"));
            return;
        }
        gids.iter()
            .for_each(|gid| self.mapped_gid(*gid, Setting::AdditionalGids));
    }

    fn mappings(&mut self, maps: &[IdMap], setting: Setting) {
        let pointer = self.pointer(setting);
        let creates_user = self.config.namespaces.creates(NamespaceKind::User);
        if let Err(problems) = IdMap::check(maps, pointer) {
            problems.into_iter().for_each(|problem| self.note(problem));
        }
        if !creates_user && !maps.is_empty() {
            let rule = "maps ids without a new user namespace";
            self.conflict(pointer, maps.len(), rule, "none, or NEWUSER without a path");
        }
        if creates_user && maps.is_empty() {
            let rule = "is missing, and a new user namespace without it has no ids";
            let problem = Problem::bare(Kind::Missing, pointer, rule);
            self.note(problem.accepted("at least one line"));
        } else if creates_user && self.config.source == Source::Seed {
            // Every container of this format is set up by its root.
            if IdMap::host_id(maps, 0).is_none() {
                self.invalid(
                    pointer,
                    maps.len(),
                    "does not map id 0",
                    "a line for container id 0",
                );
            }
        }
    }

    pub(super) fn mapped_uid(&mut self, uid: u32) {
        self.mapped(uid, &self.config.uid_mappings, Setting::User, "user");
    }

    pub(super) fn mapped_gid(&mut self, gid: u32, setting: Setting) {
        self.mapped(gid, &self.config.gid_mappings, setting, "group");
    }

    fn mapped(&mut self, id: u32, maps: &[IdMap], setting: Setting, what: &str) {
        let pointer = self.pointer(setting);
        if id == u32::MAX {
            let rule = format!("is not a {what} id");
            return self.invalid(pointer, id, &rule, "0 to 4294967294");
        }
        let creates_user = self.config.namespaces.creates(NamespaceKind::User);
        // Missing and malformed maps have problems of their own.
        let usable = creates_user && !maps.is_empty() && IdMap::check(maps, "").is_ok();
        if usable && IdMap::host_id(maps, id).is_none() {
            let rule = format!("is a {what} id without a mapping");
            let accepted: Vec<String> = maps
                .iter()
                .take(4)
                .map(|map| {
                    let last = u64::from(map.container_id) + u64::from(map.size) - 1;
                    format!("{} to {last}", map.container_id)
                })
                .collect();
            self.conflict(pointer, id, &rule, &accepted.join(", "));
        }
    }
}

/// `NGROUPS_MAX`.
const MAX_GROUPS: usize = 65536;
