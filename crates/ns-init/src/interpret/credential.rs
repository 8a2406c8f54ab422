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
    let (permitted, _) = sys::capget().at(Call::Capset)?;
    sys::capset(permitted, permitted, 0)
        .at(Call::Capset)
        .map(drop)
}

/// Asks the kernel for each number until it knows no more, so that capabilities newer than our table go too.
pub(super) fn drop_bounding_set(keep: u64) -> Outcome<()> {
    for capability in 0..64 {
        match sys::prctl(23, capability, 0) {
            Err(sys::EINVAL) => return Ok(()),
            Ok(0) => continue,
            result => drop(result.at_detail(Call::Prctl, capability as u32)?),
        }
        if keep >> capability & 1 == 0 {
            sys::prctl(24, capability, 0).at_detail(Call::Prctl, capability as u32)?;
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
