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
    if let Some(index) = plan.ops.iter().position(needs_caller) {
        return Err(Error::new(
            Kind::InvalidValue,
            "apply the plan in this process",
            format!("op {index} ({}) needs a caller", plan.steps[index].what),
        ));
    }
    let inherited = plan.initial_slots();
    let mut slots = inherited.clone();
    let outcome = Machine {
        ops: &plan.ops,
        blob: &plan.blob,
        slots: &mut slots,
        pointers: &mut [],
        stamps: &mut [],
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
            | Op::Execute { .. }
            | Op::Finish
    )
}

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
