//! Ops on signals, ids and capabilities. Shared with the stub: no heap, no panic.

#![expect(
    clippy::cast_possible_truncation,
    reason = "numbers below 65; `try_from` would bring panics"
)]

use super::{At, Outcome};
use crate::op::Call;
use crate::sys;

pub(super) fn reset_signals() -> Outcome<()> {
    for signal in 1..=64 {
        // SIGKILL and SIGSTOP have no other action.
        if signal != 9 && signal != 19 {
            sys::reset_signal(signal).at_detail(Call::RtSigaction, signal as u32)?;
        }
    }
    sys::set_signal_mask(0).at(Call::RtSigprocmask).map(drop)
}

/// ORDER: group first, it needs the right that leaving uid 0 may take; `PR_SET_KEEPCAPS` so that
/// the permitted set outlives the change and is then set to what was asked for.
pub(super) fn set_ids(uid: u32, gid: u32) -> Outcome<()> {
    sys::prctl(8, 1, 0).at(Call::Prctl)?;
    sys::setresgid(gid).at_detail(Call::Setresgid, gid)?;
    sys::setresuid(uid).at_detail(Call::Setresuid, uid)?;
    sys::prctl(8, 0, 0).at(Call::Prctl)?;
    // The change of user cleared the effective set; the ops that follow need it.
    let (permitted, _) = sys::capget().at(Call::Capget)?;
    sys::capset(permitted, permitted, 0)
        .at(Call::Capset)
        .map(drop)
}

const PR_CAPBSET_READ: usize = 23;
const PR_CAPBSET_DROP: usize = 24;

/// Asks the kernel for each number until it knows no more, so that capabilities newer than our table go too.
pub(super) fn drop_bounding_set(keep: u64) -> Outcome<()> {
    for capability in (0..64).filter(|capability| keep >> capability & 1 == 0) {
        let dropped = match sys::prctl(PR_CAPBSET_DROP, capability, 0) {
            // Without CAP_SETPCAP the kernel refuses also what is gone already, and what it does not know.
            Err(sys::EPERM) => match sys::prctl(PR_CAPBSET_READ, capability, 0) {
                Ok(1) => Err(sys::EPERM),
                read => read,
            },
            dropped => dropped,
        };
        match dropped {
            Err(sys::EINVAL) => return Ok(()),
            dropped => drop(dropped.at_detail(Call::Prctl, capability as u32)?),
        }
    }
    Ok(())
}

pub(super) fn set_ambient_set(set: u64) -> Outcome<()> {
    // PR_CAP_AMBIENT_CLEAR_ALL, then PR_CAP_AMBIENT_RAISE.
    sys::prctl(47, 4, 0).at(Call::Prctl)?;
    for capability in 0..64 {
        if set >> capability & 1 == 1 {
            sys::prctl(47, 2, capability).at_detail(Call::Prctl, capability as u32)?;
        }
    }
    Ok(())
}
