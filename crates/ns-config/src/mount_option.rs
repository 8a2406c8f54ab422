//! The option words of `mount(8)`, fstab and the OCI runtime specification.

use crate::{
    config::Propagation,
    error::{Error, Kind, Problem},
    mount::{Atime, MountAttributes, MountOptions, Relabel},
};

/// Option words, and whether one of them asked for a bind mount.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ParsedOptions {
    /// The options.
    pub options: MountOptions,
    /// `bind` or `rbind`.
    pub bind: Option<BindWord>,
    /// `nofail`: a missing source skips the entry.
    pub optional: bool,
}

/// The word that asked for a bind mount.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BindWord {
    /// `bind`: mounts below the source stay behind.
    Bind,
    /// `rbind`: mounts below the source come along.
    Recursive,
}

impl MountOptions {
    /// Reads option words, in order; each may hold several, separated by commas outside of quotes.
    ///
    /// # Shape
    /// | words | become |
    /// |---|---|
    /// | `ro` `rw` `nosuid` `suid` `nodev` `dev` `noexec` `exec` `nodiratime` `diratime` `nosymfollow` `symfollow` | attributes |
    /// | the same after an `r`, e.g. `rro`, `rnosuid` | attributes of every mount below as well |
    /// | `noatime` `relatime` `strictatime` `atime` `norelatime` `nostrictatime`, also after an `r` | access-time policy |
    /// | `private` `slave` `shared` `unbindable`, also after an `r` | propagation |
    /// | `bind` `rbind` `nofail` | fields of [`ParsedOptions`] |
    /// | `tmpcopyup` (tmpfs only), `z`, `Z` | their fields |
    /// | `defaults` `auto` `noauto` `user` `nouser` `users` `owner` `group` `_netdev` `x-…` `X-…` `comment=…` | nothing |
    /// | anything else | a parameter of the file system, `key` or `key=value` |
    ///
    /// # Errors
    /// | kind | when |
    /// |---|---|
    /// | [`Kind::Conflict`] | two words contradict each other, e.g. `ro` and `rw`, or two propagations |
    /// | [`Kind::InvalidValue`] | a word has a NUL or no key, or `tmpcopyup` is not on a tmpfs |
    ///
    /// # Examples
    /// ```
    /// use ns_config::MountOptions;
    ///
    /// let parsed = MountOptions::parse(&["ro,nosuid", "size=64m"], "tmpfs")?;
    /// assert!(parsed.options.set.read_only);
    /// assert_eq!(parsed.options.words(), ["ro", "nosuid", "size=64m"]);
    /// # Ok::<(), ns_config::Error>(())
    /// ```
    ///
    /// # References
    /// `mount(8)`, `mount_setattr(2)`, OCI runtime specification § Linux mount options
    pub fn parse(words: &[&str], fstype: &str) -> Result<ParsedOptions, Error> {
        let mut parsed = ParsedOptions::default();
        for word in words.iter().flat_map(|text| split_words(text)) {
            parsed.take(word).map_err(|(kind, rule)| {
                Error::new("read mount options", Problem::new(kind, "", word, rule))
            })?;
        }
        if parsed.options.copy_up && fstype != "tmpfs" {
            let problem = Problem::new(Kind::InvalidValue, "", "tmpcopyup", "needs a tmpfs");
            return Err(Error::new("read mount options", problem));
        }
        Ok(parsed)
    }

    /// The words that [`MountOptions::parse`] reads back as these options.
    pub fn words(&self) -> Vec<String> {
        let mut words: Vec<String> = Vec::new();
        for entry in &ATTRIBUTES {
            let sets = [
                (&self.set, "", entry.on),
                (&self.clear, "", entry.off),
                (&self.set_recursive, "r", entry.on),
                (&self.clear_recursive, "r", entry.off),
            ];
            let chosen = sets.iter().filter(|(set, ..)| (entry.get)(set));
            words.extend(chosen.map(|(_, prefix, word)| format!("{prefix}{word}")));
        }
        let atimes = [(self.atime, ""), (self.atime_recursive, "r")];
        for (policy, prefix) in atimes {
            words.extend(policy.map(|policy| format!("{prefix}{}", atime_word(policy))));
        }
        let propagations = [(self.propagation, ""), (self.propagation_recursive, "r")];
        for (propagation, prefix) in propagations {
            words.extend(propagation.map(|p| format!("{prefix}{}", p.word())));
        }
        words.extend(self.copy_up.then(|| "tmpcopyup".to_owned()));
        words.extend(self.relabel.map(|relabel| relabel.word().to_owned()));
        words.extend(self.data.iter().map(|(key, value)| match value {
            Some(value) => format!("{key}={value}"),
            None => key.clone(),
        }));
        words
    }
}

impl MountAttributes {
    /// No attribute.
    pub fn is_empty(&self) -> bool {
        *self == MountAttributes::default()
    }
}

impl Propagation {
    /// The word of `mount(8)`, e.g. `slave`.
    pub fn word(self) -> &'static str {
        match self {
            Propagation::Private => "private",
            Propagation::Slave => "slave",
            Propagation::Shared => "shared",
            Propagation::Unbindable => "unbindable",
        }
    }

    /// The propagation that `mount(8)` calls `word`.
    pub fn from_word(word: &str) -> Option<Self> {
        [
            Propagation::Private,
            Propagation::Slave,
            Propagation::Shared,
            Propagation::Unbindable,
        ]
        .into_iter()
        .find(|propagation| propagation.word() == word)
    }
}

impl Relabel {
    /// `z` or `Z`.
    pub fn word(self) -> &'static str {
        match self {
            Relabel::Shared => "z",
            Relabel::Private => "Z",
        }
    }
}

/// What is wrong with a word.
type Fault = (Kind, &'static str);

impl ParsedOptions {
    fn take(&mut self, word: &str) -> Result<(), Fault> {
        if word.contains('\0') {
            return Err((Kind::InvalidValue, "mount option has a NUL"));
        }
        if is_ignored(word) || self.take_flag(word)? {
            return Ok(());
        }
        let options = &mut self.options;
        if take_switch(
            word,
            &mut options.set,
            &mut options.clear,
            &mut options.atime,
        )? {
            return Ok(());
        }
        if take_propagation(word, &mut options.propagation)? {
            return Ok(());
        }
        let Some(rest) = word.strip_prefix('r').filter(|rest| is_switch(rest)) else {
            return self.take_data(word);
        };
        take_switch(
            rest,
            &mut options.set_recursive,
            &mut options.clear_recursive,
            &mut options.atime_recursive,
        )?;
        take_propagation(rest, &mut options.propagation_recursive)?;
        Ok(())
    }

    fn take_flag(&mut self, word: &str) -> Result<bool, Fault> {
        match word {
            "bind" => set_once(&mut self.bind, BindWord::Bind)?,
            "rbind" => set_once(&mut self.bind, BindWord::Recursive)?,
            "z" => set_once(&mut self.options.relabel, Relabel::Shared)?,
            "Z" => set_once(&mut self.options.relabel, Relabel::Private)?,
            "nofail" => self.optional = true,
            "tmpcopyup" => self.options.copy_up = true,
            _ => return Ok(false),
        }
        Ok(true)
    }

    fn take_data(&mut self, word: &str) -> Result<(), Fault> {
        let (key, value) = match word.split_once('=') {
            Some((key, value)) => (key, Some(value.to_owned())),
            None => (word, None),
        };
        if key.is_empty() {
            return Err((Kind::InvalidValue, "mount option has no key"));
        }
        self.options.data.push((key.to_owned(), value));
        Ok(())
    }
}

/// One attribute: the word that sets it, the word that clears it, and its switch.
struct Attribute {
    on: &'static str,
    off: &'static str,
    get: fn(&MountAttributes) -> bool,
    set: fn(&mut MountAttributes),
}

const ATTRIBUTES: [Attribute; 6] = [
    Attribute {
        on: "ro",
        off: "rw",
        get: |a| a.read_only,
        set: |a| a.read_only = true,
    },
    Attribute {
        on: "nosuid",
        off: "suid",
        get: |a| a.no_suid,
        set: |a| a.no_suid = true,
    },
    Attribute {
        on: "nodev",
        off: "dev",
        get: |a| a.no_dev,
        set: |a| a.no_dev = true,
    },
    Attribute {
        on: "noexec",
        off: "exec",
        get: |a| a.no_exec,
        set: |a| a.no_exec = true,
    },
    Attribute {
        on: "nodiratime",
        off: "diratime",
        get: |a| a.no_dir_atime,
        set: |a| a.no_dir_atime = true,
    },
    Attribute {
        on: "nosymfollow",
        off: "symfollow",
        get: |a| a.no_symfollow,
        set: |a| a.no_symfollow = true,
    },
];

fn is_switch(word: &str) -> bool {
    ATTRIBUTES
        .iter()
        .any(|entry| entry.on == word || entry.off == word)
        || atime_from_word(word).is_some()
        || Propagation::from_word(word).is_some()
}

/// Takes an attribute or access-time word; whether it was one.
fn take_switch(
    word: &str,
    set: &mut MountAttributes,
    clear: &mut MountAttributes,
    atime: &mut Option<Atime>,
) -> Result<bool, Fault> {
    if let Some(policy) = atime_from_word(word) {
        set_once(atime, policy)?;
        return Ok(true);
    }
    let found = ATTRIBUTES
        .iter()
        .find(|entry| entry.on == word || entry.off == word);
    let Some(entry) = found else { return Ok(false) };
    let (target, other) = if entry.on == word {
        (set, clear)
    } else {
        (clear, set)
    };
    if (entry.get)(other) {
        return Err((Kind::Conflict, "contradicts an earlier mount option"));
    }
    (entry.set)(target);
    Ok(true)
}

fn take_propagation(word: &str, target: &mut Option<Propagation>) -> Result<bool, Fault> {
    let Some(propagation) = Propagation::from_word(word) else {
        return Ok(false);
    };
    set_once(target, propagation)?;
    Ok(true)
}

/// Sets a value that may be given again but not differently.
fn set_once<T: Copy + PartialEq>(target: &mut Option<T>, value: T) -> Result<(), Fault> {
    match target {
        Some(earlier) if *earlier != value => {
            Err((Kind::Conflict, "contradicts an earlier mount option"))
        }
        _ => {
            *target = Some(value);
            Ok(())
        }
    }
}

/// `norelatime` and `nostrictatime` ask for the kernel's default policy.
fn atime_from_word(word: &str) -> Option<Atime> {
    match word {
        "noatime" => Some(Atime::Never),
        "relatime" | "atime" | "nostrictatime" => Some(Atime::Relative),
        "strictatime" | "norelatime" => Some(Atime::Strict),
        _ => None,
    }
}

fn atime_word(policy: Atime) -> &'static str {
    match policy {
        Atime::Relative => "relatime",
        Atime::Never => "noatime",
        Atime::Strict => "strictatime",
    }
}

/// Words of fstab that mean something to `mount(8)` alone.
fn is_ignored(word: &str) -> bool {
    let words = [
        "", "defaults", "auto", "noauto", "user", "nouser", "users", "owner", "group", "_netdev",
    ];
    words.contains(&word)
        || ["x-", "X-", "comment="]
            .iter()
            .any(|prefix| word.starts_with(prefix))
}

/// Splits at commas that are not inside double quotes (SELinux labels hold commas).
fn split_words(text: &str) -> impl Iterator<Item = &str> {
    let mut quoted = false;
    text.split(move |c| {
        quoted ^= c == '"';
        c == ',' && !quoted
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn parse(words: &str) -> Result<ParsedOptions, Error> {
        MountOptions::parse(&[words], "tmpfs")
    }

    #[test]
    fn options_of_every_sort_are_read() {
        let parsed = parse("rbind,ro,rnosuid,noexec,rprivate,noatime,size=64m,nr_inodes=4k,sync");
        let parsed = parsed.unwrap();
        assert_eq!(parsed.bind, Some(BindWord::Recursive));
        let options = parsed.options;
        assert!(options.set.read_only && options.set.no_exec && !options.set.no_suid);
        assert!(options.set_recursive.no_suid);
        assert_eq!(options.propagation_recursive, Some(Propagation::Private));
        assert_eq!(options.atime, Some(Atime::Never));
        let data = [
            ("size", Some("64m")),
            ("nr_inodes", Some("4k")),
            ("sync", None),
        ];
        let data = data.map(|(key, value)| (key.to_owned(), value.map(str::to_owned)));
        assert_eq!(options.data, data);
    }

    #[test]
    fn options_that_contradict_each_other_are_refused() {
        for words in [
            "ro,rw",
            "rw,ro",
            "suid,nosuid",
            "rro,rrw",
            "private,slave",
            "rshared,rslave",
            "noatime,relatime",
            "bind,rbind",
            "z,Z",
            "rnoatime,rstrictatime",
        ] {
            assert_eq!(parse(words).unwrap_err().kind(), Kind::Conflict, "{words}");
        }
        for words in ["ro,ro", "ro,rrw", "private,rslave", "bind,bind"] {
            assert!(parse(words).is_ok(), "{words}");
        }
    }

    #[test]
    fn options_without_a_key_or_with_a_nul_are_refused() {
        for words in ["=x", "a\0b"] {
            assert_eq!(
                parse(words).unwrap_err().kind(),
                Kind::InvalidValue,
                "{words:?}"
            );
        }
        assert!(MountOptions::parse(&["tmpcopyup"], "proc").is_err());
        assert!(parse("tmpcopyup").unwrap().options.copy_up);
    }

    #[test]
    fn options_of_fstab_mean_nothing() {
        assert_eq!(
            parse("defaults,auto,x-gvfs-show,,comment=a").unwrap(),
            ParsedOptions::default()
        );
        assert!(parse("nofail").unwrap().optional);
    }

    #[test]
    fn options_keep_a_quoted_label_in_one_piece() {
        let options = parse("context=\"u:r:t:s0:c1,c2\",mode=700")
            .unwrap()
            .options;
        assert_eq!(options.data.len(), 2);
        assert_eq!(options.data[0].1.as_deref(), Some("\"u:r:t:s0:c1,c2\""));
    }

    proptest! {
        #[test]
        fn options_that_are_read_are_written_back_the_same(words in prop::collection::vec(
            prop::sample::select(vec![
                "ro", "rw", "nosuid", "suid", "nodev", "dev", "noexec", "exec", "nodiratime",
                "diratime", "nosymfollow", "symfollow", "rro", "rrw", "rnosuid", "rnodev",
                "rnoexec", "rdev", "noatime", "strictatime", "rnoatime", "rrelatime", "private",
                "rslave", "shared", "runbindable", "tmpcopyup", "z", "Z", "size=1m", "mode=1777",
                "sync", "ran", "r", "rsize=4",
            ]), 0..8)
        ) {
            if let Ok(parsed) = MountOptions::parse(&words, "tmpfs") {
                let again = parsed.options.words();
                let again: Vec<&str> = again.iter().map(String::as_str).collect();
                prop_assert_eq!(MountOptions::parse(&again, "tmpfs").unwrap().options, parsed.options);
            }
        }

        #[test]
        fn options_of_any_text_never_panic(text in "\\PC{0,40}") {
            let outcome = MountOptions::parse(&[&text], "tmpfs");
            prop_assert!(outcome.is_ok() || outcome.is_err());
        }
    }
}
