//! Running a plan in this process.

use crate::error::{Error, Kind, Result};
use crate::interpret::Machine;
use crate::op::Op;
use crate::plan::Plan;

/// Runs every op of the plan in this thread of this process, by the same interpreter as in a child.
///
/// For a program that has made its own namespaces and wants a mount plan, a limit or a change of user
/// applied to itself. Descriptors that the ops opened are closed at the end; the inherited ones stay
/// with the plan. Many ops change the whole process (working directory, root, umask, ids of this thread
/// alone): use it in a single-threaded process that was made for the purpose.
///
/// # Privileges
/// Those of the ops.
///
/// # Errors
/// | kind | errno | when |
/// |---|---|---|
/// | `InvalidValue` | | the plan holds an op that needs a caller (`Fork`, `AwaitGo`, `Park`, `SendDescriptor`, `ReceiveDescriptor`, `Execute`, `Finish`) |
/// | by errno | of the call | an op failed; earlier ops stay applied |
pub fn apply(plan: &Plan) -> Result<()> {
    refuse(plan, |op| {
        needs_caller(op) || matches!(op, Op::Execute { .. })
    })?;
    run(plan, &mut [])
}

/// Runs every op of a plan that ends with the command, which takes the place of this process: it returns on failure
/// only.
///
/// For a program that has made its own namespaces, or a process for the purpose, and wants to become what
/// [`init`](crate::init) or [`finalize_setns`](crate::finalize_setns) has planned. [`launch`](crate::launch) makes a
/// process for it, which never is one of the caller's program.
///
/// # Privileges
/// Those of the ops.
///
/// # Errors
/// What [`apply`] says of the whole process holds here too.
///
/// | kind | errno | when |
/// |---|---|---|
/// | `InvalidValue` | | the plan holds an op that needs a caller (`Fork`, `AwaitGo`, `Park`, `SendDescriptor`, `ReceiveDescriptor`, `Finish`), or has no command |
/// | by errno | of the call | an op failed; earlier ops stay applied |
#[must_use = "it returns on failure only"]
pub fn replace_process(plan: &Plan) -> Error {
    if let Err(error) = refuse(plan, needs_caller) {
        return error;
    }
    let mut pointers = vec![0; plan.n_pointers];
    match run(plan, &mut pointers) {
        Err(error) => error,
        Ok(()) => Error::new(Kind::InvalidValue, STEP, "the plan has no command"),
    }
}

fn refuse(plan: &Plan, is_refused: impl Fn(&Op) -> bool) -> Result<()> {
    match plan.ops.iter().position(is_refused) {
        None => Ok(()),
        Some(index) => Err(Error::new(
            Kind::InvalidValue,
            STEP,
            format!("op {index} ({}) needs a caller", plan.steps[index].what),
        )),
    }
}

fn run(plan: &Plan, pointers: &mut [usize]) -> Result<()> {
    let inherited = plan.initial_slots();
    let mut slots = inherited.clone();
    let outcome = Machine {
        ops: &plan.ops,
        blob: &plan.blob,
        slots: &mut slots,
        pointers,
        stamps: &mut [],
        forked: 0,
        socket: -1,
    }
    .run();
    for (number, before) in slots.iter().zip(&inherited) {
        if *number >= 0 && number != before {
            crate::sys::close(*number);
        }
    }
    outcome.map_err(|failure| plan.error(&failure))
}

fn needs_caller(op: &Op) -> bool {
    matches!(
        op,
        Op::Fork
            | Op::AwaitGo
            | Op::Park { .. }
            | Op::SendDescriptor { .. }
            | Op::ReceiveDescriptor { .. }
            | Op::Finish
    )
}

const STEP: &str = "apply the plan in this process";

/// The permitted and effective capabilities of this thread, bit N being capability N (`capget(2)`).
///
/// # Errors
/// | kind | errno | when |
/// |---|---|---|
/// | `Unsupported` | ENOSYS | an outer seccomp filter blocks `capget` |
pub fn own_capabilities() -> Result<(u64, u64)> {
    crate::sys::capget()
        .map_err(|errno| Error::from_errno("read the own capabilities", "capget", errno.0))
}
