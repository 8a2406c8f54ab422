//! The command line.

use std::ffi::{OsStr, OsString};
use std::mem::ManuallyDrop;
use std::path::PathBuf;

use clap::{ArgMatches, Args, Command, CommandFactory as _, Parser, Subcommand};
use ns_config::{Capability, Rlimit, UserSpec};

use crate::convert::ConfigFlags;
use crate::exec::ExecFlags;
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
    /// The two verbs that have to be quick are first tried by a command that knows their flags alone, because to put
    /// the whole together takes longer than the rest of a start's planning. What that does not take, and every
    /// question for help, is for the whole to answer.
    pub(crate) fn matches() -> clap::error::Result<ArgMatches> {
        let words = std::env::args_os;
        let quick = match words().nth(1).as_deref().and_then(OsStr::to_str) {
            Some("sandbox") => Some(SandboxFlags::augment_args(Command::new("sandbox"))),
            Some("run") => Some(RunFlags::augment_args(Command::new("run"))),
            _ => None,
        };
        if let Some(verb) = quick {
            let command = Place::augment_args(Command::new("nsrun").subcommand(verb));
            if let Ok(matches) = parse(command, words()) {
                return Ok(matches);
            }
        }
        parse(Arguments::command(), words())
    }
}

/// To take a command line's description apart takes as long as to put it together, and the process ends soon.
pub(crate) fn parse(
    command: Command,
    words: impl Iterator<Item = OsString>,
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
#[derive(Debug, Args)]
pub(crate) struct NameFlags {
    /// Remember the container under this name until its command has ended and it was deleted.
    #[arg(long, value_name = "ID")]
    pub(crate) id: Option<String>,
    /// Return once the command runs; its input and output are /dev/null. `nsrun delete` removes what it leaves.
    #[arg(long, short = 'd', requires = "id")]
    pub(crate) detach: bool,
}

#[derive(Debug, Args)]
#[command(
    after_help = "By default the command sees the host's /usr, /bin, /sbin, /lib* and /etc read-only (files \
    with secrets such as /etc/shadow hidden), a private /proc, /dev, /tmp, /var/tmp, /run and home directory, and \
    namespaces of its own; it has no capability, no network but loopback, and of the environment only PATH, TERM, \
    LANG and the like."
)]
pub(crate) struct SandboxFlags {
    /// Use this directory as / instead of the host's files; it is read-only.
    #[arg(long, value_name = "DIR")]
    pub(crate) rootfs: Option<String>,
    /// Let the command write into --rootfs.
    #[arg(long, requires = "rootfs")]
    pub(crate) writable_rootfs: bool,
    /// Mount the host's SRC at DEST, writable.
    #[arg(long, num_args = 2, value_names = ["SRC", "DEST"])]
    pub(crate) bind: Vec<String>,
    /// Mount the host's SRC at DEST, read-only with everything below.
    #[arg(long, num_args = 2, value_names = ["SRC", "DEST"])]
    pub(crate) ro_bind: Vec<String>,
    /// Mount an empty, writable file system at DEST.
    #[arg(long, value_name = "DEST")]
    pub(crate) tmpfs: Vec<String>,
    /// Make a directory.
    #[arg(long, value_name = "DEST")]
    pub(crate) dir: Vec<String>,
    /// Make a symbolic link DEST that says TARGET.
    #[arg(long, num_args = 2, value_names = ["TARGET", "DEST"])]
    pub(crate) symlink: Vec<String>,
    /// Share the host's network.
    #[arg(long)]
    pub(crate) share_net: bool,
    /// Use a user namespace also as root.
    #[arg(long)]
    pub(crate) unshare_user: bool,
    /// Set a variable; NAME alone takes the caller's value.
    #[arg(long, short = 'e', value_name = "NAME[=VALUE]")]
    pub(crate) env: Vec<OsString>,
    /// Inherit no variable at all.
    #[arg(long)]
    pub(crate) clearenv: bool,
    /// Start in this directory of the sandbox.
    #[arg(long, value_name = "DIR")]
    pub(crate) chdir: Option<String>,
    /// Run as this user, a name or number, inside.
    #[arg(long, short = 'u', value_name = "USER[:GROUP]")]
    pub(crate) user: Option<UserSpec>,
    /// Host name inside [default: sandbox].
    #[arg(long, value_name = "NAME")]
    pub(crate) hostname: Option<String>,
    /// Keep a capability; ALL keeps all that nsrun itself has.
    #[arg(long, value_name = "CAP", value_parser = capability)]
    pub(crate) cap_add: Vec<Capabilities>,
    /// Drop a capability that --cap-add ALL would keep.
    #[arg(long, value_name = "CAP", value_parser = capability)]
    pub(crate) cap_drop: Vec<Capabilities>,
    /// Limit a resource, e.g. nofile=1024:2048.
    #[arg(long, value_name = "NAME=SOFT[:HARD]")]
    pub(crate) rlimit: Vec<Rlimit>,
    /// Make the command lead a session of its own, away from the terminal.
    #[arg(long)]
    pub(crate) new_session: bool,
    /// Kill the command when nsrun ends.
    #[arg(long, conflicts_with = "detach")]
    pub(crate) die_with_parent: bool,
    /// Give the command a terminal of its own; the standard input must be one.
    #[arg(long, short = 't', conflicts_with = "detach")]
    pub(crate) tty: bool,
    #[command(flatten)]
    pub(crate) limits: Limits,
    #[command(flatten)]
    pub(crate) name: NameFlags,
    /// The command and its arguments.
    #[arg(last = true, required = true, value_name = "CMD")]
    pub(crate) command: Vec<OsString>,
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
