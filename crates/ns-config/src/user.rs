//! Who the command runs as: the written form, and its lookup in the container's own files.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

use crate::error::{Error, Kind, Problem};

/// A user and group as written, not looked up.
///
/// # Shape
/// Empty (uid 0), `USER` or `USER:GROUP`, each a name or a decimal number. Digits alone are always
/// an id and never a name (CVE-2016-3697); 4294967295 and larger numbers are refused, because the
/// kernel takes the former for "leave as it is" (CVE-2026-46680). A name may not begin with `-` or
/// `+` and holds no blank, control character, `,`, `/` or `:`.
///
/// # Examples
/// ```
/// use ns_config::UserSpec;
///
/// let passwd = b"app:x:1000:100:App:/home/app:/bin/sh\n";
/// let user = "app".parse::<UserSpec>()?.resolve(passwd, b"video:x:44:app\n")?;
/// assert_eq!((user.uid, user.gid, user.additional_gids), (1000, 100, vec![44]));
/// assert!("4294967295".parse::<UserSpec>().is_err());
/// # Ok::<(), ns_config::Error>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct UserSpec {
    user: Option<Part>,
    group: Option<Part>,
}

/// What the lookup of a [`UserSpec`] gave: ids as seen inside the container.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ResolvedUser {
    /// User id.
    pub uid: u32,
    /// Primary group id.
    pub gid: u32,
    /// Supplementary groups, without duplicates, in the order of the group file.
    pub additional_gids: Vec<u32>,
    /// Home directory; `/` when unknown.
    pub home: String,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Id(u32),
    Name(String),
}

impl UserSpec {
    /// A spec of two ids, with nothing to look up but the home directory.
    ///
    /// # Errors
    /// [`Kind::InvalidValue`] for 4294967295, which is not an id.
    pub fn from_ids(uid: u32, gid: u32) -> Result<Self, Error> {
        format!("{uid}:{gid}").parse()
    }

    /// Whether a name has to be found in the files, so that their absence is an error.
    pub fn has_names(&self) -> bool {
        [&self.user, &self.group]
            .into_iter()
            .any(|part| matches!(part, Some(Part::Name(_))))
    }

    /// The user id when it is known without a lookup.
    pub fn uid(&self) -> Option<u32> {
        match self.user {
            None => Some(0),
            Some(Part::Id(uid)) => Some(uid),
            Some(Part::Name(_)) => None,
        }
    }

    /// The group id when one is written as a number.
    pub fn gid(&self) -> Option<u32> {
        match self.group {
            Some(Part::Id(gid)) => Some(gid),
            _ => None,
        }
    }

    /// Looks the spec up in the bytes of `/etc/passwd` and `/etc/group`; empty bytes stand for a
    /// missing file.
    ///
    /// The first passwd line of the user gives group, home and, when no group is written, the
    /// supplementary groups that list the user. An id without a line has gid 0, home `/` and no
    /// supplementary groups. Malformed lines are skipped; they never mean uid 0 (seed hole H12).
    ///
    /// # Errors
    /// | kind | when |
    /// |---|---|
    /// | [`Kind::NotFound`] | a name has no line |
    /// | [`Kind::Limit`] | more than 65536 supplementary groups |
    pub fn resolve(&self, passwd: &[u8], group: &[u8]) -> Result<ResolvedUser, Error> {
        let line = self.passwd_line(passwd)?;
        let uid = match (&line, self.uid()) {
            (_, Some(uid)) => uid,
            (Some(line), None) => line.uid,
            (None, None) => return Err(self.not_found("user", "passwd", &self.user)),
        };
        let mut resolved = ResolvedUser {
            uid,
            gid: line.as_ref().map_or(0, |line| line.gid),
            additional_gids: Vec::new(),
            home: line
                .as_ref()
                .map_or(String::new(), |line| line.home.clone()),
        };
        if resolved.home.is_empty() {
            resolved.home.push('/');
        }
        match (&self.group, line) {
            (Some(Part::Id(gid)), _) => resolved.gid = *gid,
            (Some(Part::Name(name)), _) => {
                let line = group_lines(group).find(|line| line.name == name.as_bytes());
                let line = line.ok_or_else(|| self.not_found("group", "group", &self.group))?;
                resolved.gid = line.gid;
            }
            (None, Some(line)) => resolved.additional_gids = groups_of(group, &line.name),
            (None, None) => {}
        }
        if resolved.additional_gids.len() > MAX_GROUPS {
            let problem = Problem::new(
                Kind::Limit,
                "",
                self.to_string(),
                "has more supplementary groups than the kernel takes",
            );
            return Err(Error::new(STEP, problem.accepted("at most 65536")));
        }
        Ok(resolved)
    }

    fn passwd_line(&self, passwd: &[u8]) -> Result<Option<PasswdLine>, Error> {
        let mut lines = passwd_lines(passwd);
        Ok(match &self.user {
            None => lines.find(|line| line.uid == 0),
            Some(Part::Id(uid)) => lines.find(|line| line.uid == *uid),
            Some(Part::Name(name)) => {
                let line = lines.find(|line| line.name == name.as_bytes());
                Some(line.ok_or_else(|| self.not_found("user", "passwd", &self.user))?)
            }
        })
    }

    fn not_found(&self, what: &str, file: &str, part: &Option<Part>) -> Error {
        let name = part.as_ref().map(ToString::to_string).unwrap_or_default();
        let rule = format!("{what} has no valid line in the container's /etc/{file}");
        Error::new(STEP, Problem::new(Kind::NotFound, "", name, &rule))
    }
}

impl FromStr for UserSpec {
    type Err = Error;

    /// # Errors
    /// [`Kind::InvalidValue`] when it is not of the shape above.
    fn from_str(text: &str) -> Result<Self, Error> {
        if text.is_empty() {
            return Ok(UserSpec::default());
        }
        let wrong = |rule| {
            let problem = Problem::new(Kind::InvalidValue, "", text, rule)
                .accepted("USER or USER:GROUP, each a name or a decimal number below 4294967295");
            Error::new(STEP, problem)
        };
        let (user, group) = match text.split_once(':') {
            Some((user, group)) => (user, Some(group)),
            None => (text, None),
        };
        let user = Some(parse_part(user).map_err(wrong)?);
        let group = group.map(parse_part).transpose().map_err(wrong)?;
        Ok(UserSpec { user, group })
    }
}

impl fmt::Display for UserSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(user) = &self.user {
            write!(f, "{user}")?;
        }
        match &self.group {
            Some(group) => write!(f, ":{group}"),
            None => Ok(()),
        }
    }
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Part::Id(id) => write!(f, "{id}"),
            Part::Name(name) => f.write_str(name),
        }
    }
}

fn parse_part(text: &str) -> Result<Part, &'static str> {
    if text.is_empty() {
        return Err("has an empty user or group");
    }
    if text.bytes().all(|byte| byte.is_ascii_digit()) {
        return parse_id(text.as_bytes())
            .map(Part::Id)
            .ok_or("is not an id");
    }
    if text.starts_with(['-', '+']) {
        return Err("is neither an id nor a name");
    }
    let strange = |c: char| c.is_whitespace() || c.is_control() || matches!(c, ':' | ',' | '/');
    match text.contains(strange) {
        true => Err("has a character that no user or group name has"),
        false => Ok(Part::Name(text.to_owned())),
    }
}

/// A decimal number that is an id: digits only, below 4294967295.
fn parse_id(text: &[u8]) -> Option<u32> {
    if text.is_empty() || !text.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let id: u32 = std::str::from_utf8(text).ok()?.parse().ok()?;
    (id != u32::MAX).then_some(id)
}

struct PasswdLine {
    name: Vec<u8>,
    uid: u32,
    gid: u32,
    home: String,
}

struct GroupLine<'a> {
    name: &'a [u8],
    gid: u32,
    members: &'a [u8],
}

/// The well-formed lines `name:password:uid:gid[:comment[:home[:shell]]]`.
fn passwd_lines(bytes: &[u8]) -> impl Iterator<Item = PasswdLine> {
    bytes.split(|byte| *byte == b'\n').filter_map(|line| {
        let mut fields = line.trim_ascii().split(|byte| *byte == b':');
        let name = fields.next().filter(|name| !name.is_empty())?;
        let uid = parse_id(fields.nth(1)?)?;
        let gid = parse_id(fields.next()?)?;
        // A home that is not a path of text is no home.
        let home = fields
            .nth(1)
            .and_then(|home| std::str::from_utf8(home).ok());
        let home = home.filter(|home| home.starts_with('/') && !home.contains('\0'));
        Some(PasswdLine {
            name: name.to_vec(),
            uid,
            gid,
            home: home.unwrap_or("").to_owned(),
        })
    })
}

/// The well-formed lines `name:password:gid[:member,member]`.
fn group_lines(bytes: &[u8]) -> impl Iterator<Item = GroupLine<'_>> {
    bytes.split(|byte| *byte == b'\n').filter_map(|line| {
        let mut fields = line.trim_ascii().split(|byte| *byte == b':');
        let name = fields.next().filter(|name| !name.is_empty())?;
        let gid = parse_id(fields.nth(1)?)?;
        Some(GroupLine {
            name,
            gid,
            members: fields.next().unwrap_or_default(),
        })
    })
}

fn groups_of(group: &[u8], user: &[u8]) -> Vec<u32> {
    let mut seen = std::collections::HashSet::new();
    group_lines(group)
        .filter(|line| {
            line.members
                .split(|byte| *byte == b',')
                .any(|member| member == user)
        })
        .map(|line| line.gid)
        .filter(|gid| seen.insert(*gid))
        .collect()
}

const STEP: &str = "resolve user";
/// `NGROUPS_MAX`.
const MAX_GROUPS: usize = 65536;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The data of the original tests (section 5): groups list root and adm, and there is garbage.
    const PASSWD: &[u8] = b"root:x:0:0:root user:/root:/bin/bash\n\
        adm:x:42:43:adm:/var/adm:/bin/false\n\
        this is just some garbage data\n";
    const GROUP: &[u8] = b"root:x:0:root\nadm:x:43:\ngrp:x:1234:root,adm\n\
        this is just some garbage data\n";

    fn resolve(text: &str) -> Result<ResolvedUser, Error> {
        text.parse::<UserSpec>()?.resolve(PASSWD, GROUP)
    }

    #[test]
    fn user_spec_of_every_form_is_resolved() {
        for (text, uid, gid, groups, home) in [
            ("root", 0, 0, &[0, 1234][..], "/root"),
            ("adm", 42, 43, &[1234], "/var/adm"),
            ("root:adm", 0, 43, &[], "/root"),
            ("adm:1234", 42, 1234, &[], "/var/adm"),
            ("42", 42, 43, &[1234], "/var/adm"),
            ("42:1234", 42, 1234, &[], "/var/adm"),
            ("1337:1234", 1337, 1234, &[], "/"),
            ("1337", 1337, 0, &[], "/"),
            ("", 0, 0, &[0, 1234], "/root"),
            ("4294967294:4294967294", 4294967294, 4294967294, &[], "/"),
        ] {
            let expected = ResolvedUser {
                uid,
                gid,
                additional_gids: groups.into(),
                home: home.to_owned(),
            };
            assert_eq!(resolve(text).unwrap(), expected, "{text:?}");
        }
    }

    fn passwd(text: &str) -> Vec<(String, u32, u32, String)> {
        let lines = passwd_lines(text.as_bytes());
        let fields = |line: PasswdLine| {
            let name = String::from_utf8_lossy(&line.name).into_owned();
            (name, line.uid, line.gid, line.home)
        };
        lines.map(fields).collect()
    }

    fn group(text: &str) -> Vec<(String, u32, String)> {
        let lines = group_lines(text.as_bytes());
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        lines
            .map(|line| (text(line.name), line.gid, text(line.members)))
            .collect()
    }

    /// Its third entries were of the garbage line, with id 0.
    #[test]
    fn files_of_the_original_test_have_their_entries() {
        let lines = "root:x:0:0:root:/root:/bin/bash\nadm:x:3:4:adm:/var/adm:/bin/false\n\
            this is just some garbage data\n";
        let entry = |name: &str, uid, gid, home: &str| (name.to_owned(), uid, gid, home.to_owned());
        assert_eq!(
            passwd(lines),
            [entry("root", 0, 0, "/root"), entry("adm", 3, 4, "/var/adm")]
        );
        let lines = "root:x:0:root\nadm:x:4:root,adm,daemon\nthis is just some garbage data\n";
        let entry = |name: &str, gid, members: &str| (name.to_owned(), gid, members.to_owned());
        assert_eq!(
            group(lines),
            [entry("root", 0, "root"), entry("adm", 4, "root,adm,daemon")]
        );
        assert_eq!(groups_of(lines.as_bytes(), b"root"), [0, 4]);
        assert_eq!(groups_of(lines.as_bytes(), b"daemon"), [4]);
        assert_eq!(groups_of(lines.as_bytes(), b"aemon"), [0; 0]);
    }

    #[test]
    fn lines_of_any_number_of_fields_are_read_or_left_out() {
        for (line, expected) in [
            ("", None),
            ("a", None),
            ("a:x", None),
            ("a:x:1", None),
            ("a:x:1:2", Some(("a", 1, 2, ""))),
            ("a:x:1:2:comment", Some(("a", 1, 2, ""))),
            ("a:x:1:2:comment:/home", Some(("a", 1, 2, "/home"))),
            ("a::1:2::/home:sh:more:", Some(("a", 1, 2, "/home"))),
            (" a:x:1:2::/home ", Some(("a", 1, 2, "/home"))),
            ("a:x:one:2", None),
            ("a:x:1:two", None),
            (":x:1:2", None),
        ] {
            let expected: Vec<_> = expected.into_iter().collect();
            let read = passwd(line);
            let read: Vec<_> = read
                .iter()
                .map(|(name, uid, gid, home)| (name.as_str(), *uid, *gid, home.as_str()))
                .collect();
            assert_eq!(read, expected, "{line:?}");
        }
        for (line, expected) in [
            ("", None),
            ("a", None),
            ("a:x", None),
            ("a:x:1", Some(("a", 1, ""))),
            ("a:x:1:b,c", Some(("a", 1, "b,c"))),
            ("a:x:1:b,c:more", Some(("a", 1, "b,c"))),
            ("a:x:one:b", None),
        ] {
            let expected: Vec<_> = expected.into_iter().collect();
            let read = group(line);
            let read: Vec<_> = read
                .iter()
                .map(|(name, gid, members)| (name.as_str(), *gid, members.as_str()))
                .collect();
            assert_eq!(read, expected, "{line:?}");
        }
    }

    #[test]
    fn user_spec_without_files_needs_numbers() {
        for (text, uid, gid) in [("", 0, 0), ("1337", 1337, 0), ("1337:42", 1337, 42)] {
            let user = text.parse::<UserSpec>().unwrap().resolve(b"", b"").unwrap();
            assert_eq!(
                (user.uid, user.gid, user.home.as_str()),
                (uid, gid, "/"),
                "{text:?}"
            );
        }
        for text in ["root", "0:root"] {
            let error = text
                .parse::<UserSpec>()
                .unwrap()
                .resolve(b"", b"")
                .unwrap_err();
            assert_eq!(error.kind(), Kind::NotFound, "{text:?}");
        }
    }

    #[test]
    fn user_spec_unknown_name_is_not_found() {
        for text in [
            "notuser",
            "notuser:notgroup",
            "root:notgroup",
            "this is",
            "1x",
            "1:1x",
        ] {
            assert!(resolve(text).is_err(), "{text:?}");
        }
        assert_eq!(resolve("notuser").unwrap_err().kind(), Kind::NotFound);
    }

    #[test]
    fn cve_2026_30892_user_spec_is_an_exact_number_or_refused() {
        assert_eq!(resolve("1").unwrap().uid, 1);
        assert_eq!(resolve("1:2").unwrap().gid, 2);
        for text in [
            "1:",
            ":1",
            ":",
            " 1",
            "1 ",
            "-1",
            "-1:0",
            "0:-1",
            "+1",
            "4294967295",
            "4294967296",
            "0:4294967295",
            "99999999999999999999",
            "1:2:3",
            "1\n",
            "a/b",
            "\0",
        ] {
            let error = text.parse::<UserSpec>().unwrap_err();
            assert_eq!(error.kind(), Kind::InvalidValue, "{text:?}");
        }
    }

    #[test]
    fn cve_2016_3697_number_is_never_looked_up_as_a_name() {
        let user = "10"
            .parse::<UserSpec>()
            .unwrap()
            .resolve(b"10:x:0:0::/evil:\n", b"")
            .unwrap();
        assert_eq!((user.uid, user.gid, user.home.as_str()), (10, 0, "/"));
        let user = "7:10"
            .parse::<UserSpec>()
            .unwrap()
            .resolve(b"", b"10:x:0:\n")
            .unwrap();
        assert_eq!(user.gid, 10);
    }

    #[test]
    fn h12_malformed_line_never_becomes_root() {
        let passwd = b"app:x::0:::\napp:x:zero:0\napp:x:-1:0\napp:x:4294967295:0\napp:x:0x0:0\n\
            app\napp:x: 0:0\n:x:0:0\n\napp:x:7:4294967295\n";
        let error = "app"
            .parse::<UserSpec>()
            .unwrap()
            .resolve(passwd, b"")
            .unwrap_err();
        assert_eq!(error.kind(), Kind::NotFound);
        let user = "app".parse::<UserSpec>().unwrap();
        let passwd = [&passwd[..], b"app:x:8:9\n"].concat();
        assert_eq!(
            user.resolve(&passwd, b"").unwrap().uid,
            8,
            "the first valid line counts"
        );
    }

    proptest! {
        #[test]
        fn user_spec_prints_as_it_was_written(text in "([a-z_][a-z0-9_-]{0,8}|[0-9]{1,9})(:([a-z]{1,5}|[1-9][0-9]{0,8}))?") {
            let spec: UserSpec = text.parse().unwrap();
            prop_assert_eq!(spec.to_string().parse::<UserSpec>().unwrap(), spec);
        }

        #[test]
        fn user_lookup_of_any_bytes_gives_the_written_id(
            uid in 0..u32::MAX, passwd: Vec<u8>, group: Vec<u8>,
        ) {
            let user = UserSpec::from_ids(uid, uid).unwrap().resolve(&passwd, &group).unwrap();
            prop_assert_eq!((user.uid, user.gid), (uid, uid));
        }

        #[test]
        fn user_lookup_of_any_file_never_invents_root(
            passwd in "(app|x|[0-9]{0,3}|:|\n| ){0,40}",
        ) {
            let found = "app".parse::<UserSpec>().unwrap().resolve(passwd.as_bytes(), b"");
            if found.is_ok_and(|user| user.uid == 0) {
                let zero = |uid: &str| !uid.is_empty() && uid.bytes().all(|byte| byte == b'0');
                let has_root_line = passwd.lines().any(|line| {
                    let fields: Vec<&str> = line.trim().split(':').collect();
                    fields[0] == "app" && fields.get(2).is_some_and(|uid| zero(uid))
                });
                prop_assert!(has_root_line);
            }
        }
    }
}
