//! The command line.

use std::ffi::OsString;
use std::mem::ManuallyDrop;
use std::path::PathBuf;

use clap::{
    Arg, ArgAction, ArgMatches, Args, Command, CommandFactory as _, Parser, Subcommand,
    value_parser,
};
use ns_config::{Capability, Rlimit, UserSpec};

use crate::convert::ConfigFlags;
use crate::exec::ExecFlags;
use crate::flag::{self, Flag, by_table, is_set, value, values};
use crate::verbs::{ContainerVerb, Limits};

/// Runs a command in a fresh container.
#[derive(Debug, Parser)]
#[command(
    name = "nsrun",
    version,
    disable_help_subcommand = true,
    after_help = "Exit code: the command's own; 128 + N when signal N ended it; 127 command not found, 126 command \
                  cannot be executed, 125 any error of nsrun itself.\n\n\
                  Examples:\n  \
                  nsrun sandbox -- sh -c 'hostname; id; ps; ls /'\n  \
                  nsrun sandbox --bind . /work --chdir /work --share-net -- make test\n  \
                  nsrun sandbox --id box1 --detach -- sleep 1000; nsrun list; nsrun delete --force box1\n  \
                  nsrun explain sandbox -- true\n  \
                  nsrun doctor"
)]
pub(crate) struct Arguments {
    #[command(flatten)]
    pub(crate) place: Place,
    #[command(subcommand)]
    pub(crate) verb: Verb,
}

// What every verb takes. No text of a structure of flags is a document: it would take the place of its verb's.
#[derive(Debug, Args)]
pub(crate) struct Place {
    /// Where containers with an id are remembered [default: /run/nsrun, or $XDG_RUNTIME_DIR/nsrun].
    #[arg(long, global = true, value_name = "DIR")]
    pub(crate) root: Option<PathBuf>,
}

impl Arguments {
    /// Parses the command line of `nsrun`.
    ///
    /// The two verbs that have to be quick are first tried by a command that knows their flags alone, and of a sandbox's
    /// only those that are named, because to put the whole together takes longer than the rest of a start's planning.
    /// What that does not take, and every question for help, is for the whole to answer.
    pub(crate) fn matches() -> clap::error::Result<ArgMatches> {
        let words: Vec<OsString> = std::env::args_os().collect();
        let quick = match words.get(1).and_then(|verb| verb.to_str()) {
            Some("sandbox") => Some(SandboxFlags::describe_named(&words)),
            Some("run") => Some(RunFlags::augment_args(Command::new("run"))),
            _ => None,
        };
        if let Some(verb) = quick {
            let command = Place::augment_args(Command::new("nsrun").subcommand(verb));
            if let Ok(matches) = parse(command, words.iter().cloned()) {
                return Ok(matches);
            }
        }
        parse(Arguments::command(), words)
    }
}

/// To take a command line's description apart takes as long as to put it together, and the process ends soon.
pub(crate) fn parse(
    command: Command,
    words: impl IntoIterator<Item = OsString>,
) -> clap::error::Result<ArgMatches> {
    ManuallyDrop::new(command).try_get_matches_from_mut(words)
}

// The flags of the other verbs are not even looked at: half of the time of parsing.
#[derive(Debug, Subcommand)]
#[command(defer = true)]
pub(crate) enum Verb {
    /// Run a command on this host's files, read-only, with safe defaults; root or not.
    ///
    /// Flags that change the file system are applied in the order in which they stand.
    Sandbox(Box<SandboxFlags>),
    /// Run a command in the container that a container.json describes.
    Run(RunFlags),
    /// Do all of a run but the command, which waits for `nsrun start`.
    ///
    /// The command has the input and output of this program, and a session of its own.
    Create(CreateFlags),
    /// Run another command in a container that runs.
    ///
    /// What is not named is as it is for the container's own command: user, environment, directory, rights, limits.
    Exec(ExecFlags),
    #[command(flatten)]
    Container(ContainerVerb),
    /// Print every step of a start instead of taking it.
    Explain {
        /// Print JSON: a list of steps with what, call and pointer.
        #[arg(long)]
        json: bool,
        #[command(subcommand)]
        what: Explainable,
    },
    /// Print a configuration as it was understood, in the form of the seed or of OCI.
    ///
    /// Which form the file has is told by its ociVersion. What the other form cannot say is an error that lists all of
    /// it; nothing is left out silently.
    Config(ConfigFlags),
    /// Tell what this host can do, what it cannot, and what would change it.
    Doctor {
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
}

// What can be explained: the same words as it is run with.
#[derive(Debug, Subcommand)]
#[command(defer = true)]
pub(crate) enum Explainable {
    /// The steps of `nsrun sandbox`.
    Sandbox(Box<SandboxFlags>),
    /// The steps of `nsrun run`.
    Run(RunFlags),
}

#[derive(Debug, Args)]
pub(crate) struct RunFlags {
    /// The configuration, as docker/libcontainer's nsinit read it.
    #[arg(long, value_name = "FILE", default_value = "container.json")]
    pub(crate) config: PathBuf,
    #[command(flatten)]
    pub(crate) name: NameFlags,
    /// The command and its arguments.
    #[arg(last = true, required = true, value_name = "CMD")]
    pub(crate) command: Vec<OsString>,
}

#[derive(Debug, Args)]
pub(crate) struct CreateFlags {
    /// The configuration, as docker/libcontainer's nsinit read it.
    #[arg(long, value_name = "FILE", default_value = "container.json")]
    pub(crate) config: PathBuf,
    /// Remember the container under this name until it is deleted.
    #[arg(long, value_name = "ID")]
    pub(crate) id: String,
    /// The command and its arguments.
    #[arg(last = true, required = true, value_name = "CMD")]
    pub(crate) command: Vec<OsString>,
}

// How a container is found again.
#[derive(Debug)]
pub(crate) struct NameFlags {
    pub(crate) id: Option<String>,
    pub(crate) detach: bool,
}

impl NameFlags {
    const FLAGS: [Flag; 2] = [
        Flag::new(
            "id",
            &["ID"],
            "Remember the container under this name until its command has ended and it was deleted",
        ),
        Flag::new(
            "detach",
            &[],
            "Return once the command runs; its input and output are /dev/null. `nsrun delete` removes what it leaves",
        )
        .short('d')
        .needs("id"),
    ];

    fn describe(command: Command) -> Command {
        flag::describe(command, &Self::FLAGS)
    }

    fn read(matches: &ArgMatches) -> Self {
        NameFlags {
            id: value(matches, "id"),
            detach: is_set(matches, "detach"),
        }
    }
}

by_table!(NameFlags);

#[derive(Debug)]
pub(crate) struct SandboxFlags {
    pub(crate) rootfs: Option<String>,
    pub(crate) writable_rootfs: bool,
    /// In the order of the command line.
    pub(crate) mounts: Vec<MountFlag>,
    pub(crate) share_net: bool,
    pub(crate) unshare_user: bool,
    pub(crate) env: Vec<OsString>,
    pub(crate) clearenv: bool,
    pub(crate) chdir: Option<String>,
    pub(crate) user: Option<UserSpec>,
    pub(crate) hostname: Option<String>,
    pub(crate) cap_add: Vec<Capabilities>,
    pub(crate) cap_drop: Vec<Capabilities>,
    pub(crate) rlimit: Vec<Rlimit>,
    pub(crate) new_session: bool,
    pub(crate) die_with_parent: bool,
    pub(crate) tty: bool,
    pub(crate) limits: Limits,
    pub(crate) name: NameFlags,
    pub(crate) command: Vec<OsString>,
}

/// One flag that changes the file system.
#[derive(Debug)]
pub(crate) enum MountFlag {
    Bind { source: String, destination: String },
    ReadOnlyBind { source: String, destination: String },
    Tmpfs(String),
    Directory(String),
    Symlink { target: String, destination: String },
}

impl SandboxFlags {
    const FLAGS: [Flag; 20] = [
        Flag::new(
            "rootfs",
            &["DIR"],
            "Use this directory as / instead of the host's files; it is read-only",
        ),
        Flag::new(
            "writable-rootfs",
            &[],
            "Let the command write into --rootfs",
        )
        .needs("rootfs"),
        Flag::new(
            "bind",
            &["SRC", "DEST"],
            "Mount the host's SRC at DEST, writable",
        )
        .repeated(),
        Flag::new(
            "ro-bind",
            &["SRC", "DEST"],
            "Mount the host's SRC at DEST, read-only with everything below",
        )
        .repeated(),
        Flag::new(
            "tmpfs",
            &["DEST"],
            "Mount an empty, writable file system at DEST",
        )
        .repeated(),
        Flag::new("dir", &["DEST"], "Make a directory").repeated(),
        Flag::new(
            "symlink",
            &["TARGET", "DEST"],
            "Make a symbolic link DEST that says TARGET",
        )
        .repeated(),
        Flag::new("share-net", &[], "Share the host's network"),
        Flag::new("unshare-user", &[], "Use a user namespace also as root"),
        Flag::new(
            "env",
            &["NAME[=VALUE]"],
            "Set a variable; NAME alone takes the caller's value",
        )
        .short('e')
        .repeated()
        .typed(|arg| arg.value_parser(value_parser!(OsString))),
        Flag::new("clearenv", &[], "Inherit no variable at all"),
        Flag::new("chdir", &["DIR"], "Start in this directory of the sandbox"),
        Flag::new(
            "user",
            &["USER[:GROUP]"],
            "Run as this user, a name or number, inside",
        )
        .short('u')
        .typed(|arg| arg.value_parser(value_parser!(UserSpec))),
        Flag::new("hostname", &["NAME"], "Host name inside [default: sandbox]"),
        Flag::new(
            "cap-add",
            &["CAP"],
            "Keep a capability; ALL keeps all that nsrun itself has",
        )
        .repeated()
        .typed(|arg| arg.value_parser(capability)),
        Flag::new(
            "cap-drop",
            &["CAP"],
            "Drop a capability that --cap-add ALL would keep",
        )
        .repeated()
        .typed(|arg| arg.value_parser(capability)),
        Flag::new(
            "rlimit",
            &["NAME=SOFT[:HARD]"],
            "Limit a resource, e.g. nofile=1024:2048",
        )
        .repeated()
        .typed(|arg| arg.value_parser(value_parser!(Rlimit))),
        Flag::new(
            "new-session",
            &[],
            "Make the command lead a session of its own, away from the terminal",
        ),
        Flag::new("die-with-parent", &[], "Kill the command when nsrun ends").excludes("detach"),
        Flag::new(
            "tty",
            &[],
            "Give the command a terminal of its own; the standard input must be one",
        )
        .short('t')
        .excludes("detach"),
    ];

    fn flags() -> impl Iterator<Item = &'static Flag> + Clone {
        let tables: [&[Flag]; 3] = [&Self::FLAGS, &Limits::FLAGS, &NameFlags::FLAGS];
        tables.into_iter().flatten()
    }

    fn describe(command_of_verb: Command) -> Command {
        flag::describe(command_of_verb, Self::flags())
            .arg(command())
            .after_help(
                "By default the command sees the host's /usr, /bin, /sbin, /lib* and /etc read-only (files \
                 with secrets such as /etc/shadow hidden), a private /proc, /dev, /tmp, /var/tmp, /run and home \
                 directory, and namespaces of its own; it has no capability, no network but loopback, and of the \
                 environment only PATH, TERM, LANG and the like.",
            )
    }

    /// Describes the flags that these words name.
    fn describe_named(words: &[OsString]) -> Command {
        let sandbox = flag::describe_named(Command::new("sandbox"), Self::flags(), words);
        sandbox.arg(command())
    }

    fn read(matches: &ArgMatches) -> Self {
        SandboxFlags {
            rootfs: value(matches, "rootfs"),
            writable_rootfs: is_set(matches, "writable-rootfs"),
            mounts: mounts(matches),
            share_net: is_set(matches, "share-net"),
            unshare_user: is_set(matches, "unshare-user"),
            env: values(matches, "env"),
            clearenv: is_set(matches, "clearenv"),
            chdir: value(matches, "chdir"),
            user: value(matches, "user"),
            hostname: value(matches, "hostname"),
            cap_add: values(matches, "cap-add"),
            cap_drop: values(matches, "cap-drop"),
            rlimit: values(matches, "rlimit"),
            new_session: is_set(matches, "new-session"),
            die_with_parent: is_set(matches, "die-with-parent"),
            tty: is_set(matches, "tty"),
            limits: Limits::read(matches),
            name: NameFlags::read(matches),
            command: values(matches, "command"),
        }
    }
}

by_table!(SandboxFlags);

/// The command and its arguments, behind `--`.
fn command() -> Arg {
    Arg::new("command")
        .help("The command and its arguments")
        .value_name("CMD")
        .value_parser(value_parser!(OsString))
        .action(ArgAction::Append)
        .num_args(1..)
        .last(true)
        .required(true)
}

fn mounts(matches: &ArgMatches) -> Vec<MountFlag> {
    let mut placed = Vec::new();
    let mut place_all = |long, n_values, make: fn(&[String]) -> Option<MountFlag>| {
        let all = values(matches, long);
        // The parser knows no places of a flag that was not described to it.
        if !all.is_empty() {
            let places = matches.indices_of(long).into_iter().flatten();
            let flags = all.chunks(n_values).filter_map(make);
            placed.extend(places.step_by(n_values).zip(flags));
        }
    };
    place_all("bind", 2, |values| {
        pair(values).map(|(source, destination)| MountFlag::Bind {
            source,
            destination,
        })
    });
    place_all("ro-bind", 2, |values| {
        pair(values).map(|(source, destination)| MountFlag::ReadOnlyBind {
            source,
            destination,
        })
    });
    place_all("tmpfs", 1, |values| {
        values.first().cloned().map(MountFlag::Tmpfs)
    });
    place_all("dir", 1, |values| {
        values.first().cloned().map(MountFlag::Directory)
    });
    place_all("symlink", 2, |values| {
        pair(values).map(|(target, destination)| MountFlag::Symlink {
            target,
            destination,
        })
    });
    placed.sort_by_key(|(place, _)| *place);
    placed.into_iter().map(|(_, flag)| flag).collect()
}

fn pair(values: &[String]) -> Option<(String, String)> {
    let [first, second] = values else { return None };
    Some((first.clone(), second.clone()))
}

/// One capability, or all.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Capabilities {
    All,
    One(Capability),
}

fn capability(word: &str) -> Result<Capabilities, ns_config::Error> {
    if word.eq_ignore_ascii_case("all") {
        return Ok(Capabilities::All);
    }
    word.parse().map(Capabilities::One)
}
