//! Flags as rows of a table, for verbs that have to be quick: a flag that a command line does not name need not be
//! described to the parser, which takes longer than to parse it.

use std::ffi::OsString;

use clap::parser::MatchesError;
use clap::{Arg, ArgAction, ArgMatches, Command};

/// One row.
pub(crate) struct Flag {
    /// Its long name, and what it is called among the matches.
    long: &'static str,
    short: Option<char>,
    /// The names of its values; a switch has none.
    values: &'static [&'static str],
    is_repeated: bool,
    help: &'static str,
    /// A flag that it cannot be without.
    needs: Option<&'static str>,
    /// A flag that it cannot be with.
    excludes: Option<&'static str>,
    /// Gives its values their type.
    typed: fn(Arg) -> Arg,
}

impl Flag {
    /// With values that are text.
    pub(crate) const fn new(
        long: &'static str,
        values: &'static [&'static str],
        help: &'static str,
    ) -> Self {
        Flag {
            long,
            short: None,
            values,
            is_repeated: false,
            help,
            needs: None,
            excludes: None,
            typed: |arg| arg,
        }
    }

    pub(crate) const fn short(self, short: char) -> Self {
        Flag {
            short: Some(short),
            ..self
        }
    }

    pub(crate) const fn repeated(self) -> Self {
        Flag {
            is_repeated: true,
            ..self
        }
    }

    pub(crate) const fn needs(self, other: &'static str) -> Self {
        Flag {
            needs: Some(other),
            ..self
        }
    }

    pub(crate) const fn excludes(self, other: &'static str) -> Self {
        Flag {
            excludes: Some(other),
            ..self
        }
    }

    pub(crate) const fn typed(self, typed: fn(Arg) -> Arg) -> Self {
        Flag { typed, ..self }
    }

    fn arg(&self) -> Arg {
        let action = match (self.values, self.is_repeated) {
            ([], _) => ArgAction::SetTrue,
            (_, true) => ArgAction::Append,
            (_, false) => ArgAction::Set,
        };
        let mut arg = Arg::new(self.long).long(self.long).help(self.help);
        arg = arg.action(action);
        if !self.values.is_empty() {
            arg = arg.num_args(self.values.len()).value_names(self.values);
        }
        if let Some(short) = self.short {
            arg = arg.short(short);
        }
        if let Some(other) = self.needs {
            arg = arg.requires(other);
        }
        if let Some(other) = self.excludes {
            arg = arg.conflicts_with(other);
        }
        (self.typed)(arg)
    }

    /// Whether some word may be this flag; a word that only looks like it does no harm.
    fn is_named(&self, words: &[OsString]) -> bool {
        words.iter().any(|word| {
            let word = word.as_encoded_bytes();
            match word.strip_prefix(b"--") {
                Some(name) => name.starts_with(self.long.as_bytes()),
                None => self.short.is_some() && word.starts_with(b"-"),
            }
        })
    }
}

/// Describes all flags to the parser.
pub(crate) fn describe<'f>(command: Command, flags: impl IntoIterator<Item = &'f Flag>) -> Command {
    command.args(flags.into_iter().map(Flag::arg))
}

/// Describes the flags that these words name, and what those need or exclude.
pub(crate) fn describe_named<'f>(
    command: Command,
    flags: impl Iterator<Item = &'f Flag> + Clone,
    words: &[OsString],
) -> Command {
    let mut described: Vec<&Flag> = flags.clone().filter(|flag| flag.is_named(words)).collect();
    let related: Vec<&str> = described
        .iter()
        .flat_map(|flag| [flag.needs, flag.excludes])
        .flatten()
        .collect();
    let is_new = |flag: &&Flag| related.contains(&flag.long) && !flag.is_named(words);
    described.extend(flags.filter(is_new));
    describe(command, described)
}

/// The values of a flag, none when it was not given.
pub(crate) fn values<T: Clone + Send + Sync + 'static>(matches: &ArgMatches, long: &str) -> Vec<T> {
    match matches.try_get_many(long) {
        Ok(values) => values.into_iter().flatten().cloned().collect(),
        // It was not described because it was not named.
        Err(MatchesError::UnknownArgument { .. }) => Vec::new(),
        Err(error) => unreachable!("{long}: {error}"),
    }
}

/// The value of a flag that is not repeated.
pub(crate) fn value<T: Clone + Send + Sync + 'static>(
    matches: &ArgMatches,
    long: &str,
) -> Option<T> {
    values(matches, long).pop()
}

/// Whether a switch was given.
pub(crate) fn is_set(matches: &ArgMatches, long: &str) -> bool {
    value(matches, long).unwrap_or(false)
}

/// Makes a structure of flags a part of a command, by its functions `describe` and `read`.
macro_rules! by_table {
    ($flags:ty) => {
        impl clap::Args for $flags {
            fn augment_args(command: clap::Command) -> clap::Command {
                Self::describe(command)
            }

            fn augment_args_for_update(command: clap::Command) -> clap::Command {
                Self::augment_args(command)
            }
        }

        impl clap::FromArgMatches for $flags {
            fn from_arg_matches(matches: &clap::ArgMatches) -> Result<Self, clap::Error> {
                Ok(Self::read(matches))
            }

            fn update_from_arg_matches(
                &mut self,
                matches: &clap::ArgMatches,
            ) -> Result<(), clap::Error> {
                *self = Self::read(matches);
                Ok(())
            }
        }
    };
}
pub(crate) use by_table;
