//! Ops that deal with the caller and its descriptors. Shared with the stub: no heap, no panic.

use super::{At, Machine, Outcome, record_bytes, refuse};
use crate::op::{Call, Failure, Op, RECORD_DESCRIPTOR, RECORD_FORKED, RECORD_READY, Record, Slot};
use crate::sys;

impl Machine<'_> {
    pub(super) fn send(&self, kind: u32, descriptor: Option<i32>) -> Outcome<()> {
        let record = Record {
            kind,
            failure: NO_FAILURE,
        };
        sys::send(self.socket, record_bytes(&record), descriptor)
            .at(Call::Sendmsg)
            .map(drop)
    }

    pub(super) fn set_parent_death_signal(&self, signal: i32) -> Outcome<()> {
        sys::prctl(1, signal as usize, 0).at(Call::Prctl)?;
        // ORDER: after the prctl; a caller that ended before it never sends the signal.
        if self.socket >= 0 && sys::is_hung_up(self.socket).at(Call::Recv)? {
            return refuse(Call::CheckCaller);
        }
        Ok(())
    }

    pub(super) fn fork(&mut self) -> Outcome<()> {
        if sys::clone3_sibling(self.forked).at(Call::Clone3)? != 0 {
            sys::exit(0);
        }
        // By the process that goes on: the one that made it may be killed any time.
        self.send(RECORD_FORKED, None)
    }

    pub(super) fn await_go(&self) -> Outcome<()> {
        match receive_go(self.socket).at(Call::Recv)? {
            true => Ok(()),
            false => refuse(Call::CheckCaller),
        }
    }

    pub(super) fn park(&mut self, listener: Slot) -> Outcome<()> {
        self.send(RECORD_READY, None)?;
        // ORDER: before the caller is let go of: it has written down by now where to find this process.
        self.await_go()?;
        sys::close(self.socket);
        self.socket = -1;
        let listener = self.slot(listener);
        loop {
            let connection = match sys::accept(listener) {
                Ok(connection) => connection,
                Err(sys::EINTR | sys::ECONNABORTED) => continue,
                Err(errno) => return Err(errno).at(Call::Accept4),
            };
            // Whoever only looks whether this process waits, or dies before it has said "go", changes nothing.
            if let Ok(true) = receive_go(connection) {
                self.socket = connection;
                return Ok(());
            }
            sys::close(connection);
        }
    }

    pub(super) fn send_descriptor(&self, slot: Slot) -> Outcome<()> {
        self.send(RECORD_DESCRIPTOR, Some(self.slot(slot)))
    }

    pub(super) fn receive_descriptor(&mut self, out: Slot) -> Outcome<()> {
        loop {
            match sys::receive_descriptor(self.socket) {
                Ok(Some(number)) => return self.set_slot(out, number),
                Ok(None) => return refuse(Call::CheckCaller),
                Err(sys::EINTR) => {}
                Err(errno) => return Err(errno).at(Call::Recvmsg),
            }
        }
    }

    pub(super) fn close_from(&self, first: i32) -> Outcome<()> {
        let (first, socket, listener) = (first as u32, self.socket, self.listener());
        let kept = [socket.min(listener), socket.max(listener)];
        let mut from = first;
        for number in kept {
            if number >= 0 && number as u32 >= from {
                close_between(from, number as u32)?;
                from = number as u32 + 1;
            }
        }
        close_between(from, u32::MAX)
    }

    /// Whether the command is released by another process than the caller.
    pub(super) fn is_parked(&self) -> bool {
        self.listener() >= 0
    }

    /// The socket of the plan's [`Op::Park`]; -1 when there is none.
    fn listener(&self) -> i32 {
        let parks = self.ops.iter().find_map(|op| match op {
            Op::Park { listener } => Some(*listener),
            _ => None,
        });
        parks.map_or(-1, |listener| self.slot(listener))
    }
}

/// False when the other side has closed its end.
fn receive_go(socket: i32) -> sys::Result<bool> {
    let mut go = [0_u8; 1];
    loop {
        match sys::receive(socket, &mut go) {
            Err(sys::EINTR) => {}
            received => return received.map(|length| length == 1),
        }
    }
}

fn close_between(first: u32, end: u32) -> Outcome<()> {
    if first >= end {
        return Ok(());
    }
    let last = if end == u32::MAX { end } else { end - 1 };
    sys::close_range(first, last, 0)
        .at(Call::CloseRange)
        .map(drop)
}

const NO_FAILURE: Failure = Failure {
    op: 0,
    errno: 0,
    call: 0,
    detail: 0,
};
