//! The container's own terminal.

use ns_init::{Create, Depth, Op, PlanBuilder, Slot};

use crate::destination::Destination;
use crate::error::{Error, Kind, Planned, Result};
use crate::source::clone_mount;
use crate::tree::{Tree, open_in};

/// The terminal that is opened inside.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Terminal {
    /// Height in lines; 0 by 0 leaves the kernel's default, which is no size at all.
    pub rows: u16,
    /// Width in columns.
    pub columns: u16,
    /// Owner of the terminal, as a user id inside.
    pub uid: u32,
    /// Its group, as a group id inside.
    pub gid: u32,
}

/// Where the two ends of the terminal are while the plan runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TerminalSlots {
    /// The end that is sent to the caller.
    pub primary: Slot,
    /// The end that becomes the command's standard streams and `/dev/console`.
    pub peer: Slot,
}

/// ORDER: after the devpts is attached, because a mount of it can be copied only then.
pub(crate) fn plan(
    terminal: &Terminal,
    tree: &mut Tree,
    plan: &mut PlanBuilder,
) -> Result<TerminalSlots> {
    let Some(devpts) = tree.devpts else {
        let call = "a terminal needs a devpts of its own at /dev/pts";
        return Err(Error::new(Kind::InvalidValue, "plan the terminal", call)
            .with_hint("mount the /dev layout, or a file system of type devpts at /dev/pts"));
    };
    let (primary, peer) = (plan.slot("terminal"), plan.slot("the terminal's peer"));
    plan.push(
        "open a terminal",
        Op::OpenTerminal {
            devpts,
            primary,
            peer,
            rows: u32::from(terminal.rows),
            columns: u32::from(terminal.columns),
            uid: terminal.uid,
            gid: terminal.gid,
        },
    );
    let slot = primary;
    plan.push(
        "hand the terminal to the caller",
        Op::SendDescriptor { slot },
    );
    // The very descriptor that was opened, never its name: CVE-2025-52565.
    let mount = clone_mount(peer, "console", Depth::Single, plan);
    let target = match tree.dev {
        Some(dev) => {
            make_console(dev, plan)?;
            open_in(dev, "console", Create::Nothing, plan)?
        }
        None => {
            let console = Destination::parse("/dev/console", "plan the terminal")?;
            tree.target(&console, Create::File(0o600), plan)?
        }
    };
    plan.push("attach the console", Op::AttachMount { mount, target });
    Ok(TerminalSlots { primary, peer })
}

fn make_console(parent: Slot, plan: &mut PlanBuilder) -> Result<()> {
    let name = plan.text("console").planning()?;
    let contents = plan.bytes(b"").planning()?;
    let mode = 0o600;
    plan.push(
        "make the console's place",
        Op::MakeFile {
            parent,
            name,
            mode,
            contents,
        },
    );
    Ok(())
}
