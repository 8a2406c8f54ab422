//! A path put together on the stack. Shared with the stub: no heap, no panic.

use core::ffi::CStr;

use crate::interpret::{At, Outcome};
use crate::op::Call;
use crate::sys;

pub(crate) const PATH_BYTES: usize = 4096;

/// A path of up to 4095 bytes; always ends in NUL.
#[derive(Clone, Copy)]
pub(crate) struct Buffer {
    bytes: [u8; PATH_BYTES],
    length: usize,
}

impl Buffer {
    pub(crate) fn new() -> Self {
        Buffer {
            bytes: [0; PATH_BYTES],
            length: 0,
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.length == 0
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        self.bytes.get(..self.length).unwrap_or_default()
    }

    pub(crate) fn text(&self) -> Outcome<&CStr> {
        match CStr::from_bytes_until_nul(&self.bytes) {
            Ok(text) => Ok(text),
            Err(_) => Err(sys::ENAMETOOLONG).at(Call::CheckPlan),
        }
    }

    pub(crate) fn push(&mut self, more: &[u8]) -> Outcome<()> {
        let end = self.length + more.len();
        // One byte stays for the NUL.
        if end >= PATH_BYTES {
            return Err(sys::ENAMETOOLONG).at(Call::CheckPlan);
        }
        if let Some(place) = self.bytes.get_mut(self.length..end) {
            for (to, from) in place.iter_mut().zip(more) {
                *to = *from;
            }
        }
        self.length = end;
        Ok(())
    }

    pub(crate) fn push_component(&mut self, name: &[u8]) -> Outcome<()> {
        if !self.is_empty() {
            self.push(b"/")?;
        }
        self.push(name)
    }

    fn truncate(&mut self, length: usize) {
        if let Some(tail) = self.bytes.get_mut(length..) {
            tail.fill(0);
        }
        self.length = length;
    }

    pub(crate) fn pop_component(&mut self) {
        let cut = self
            .bytes()
            .iter()
            .rposition(|byte| *byte == b'/')
            .unwrap_or(0);
        self.truncate(cut);
    }

    /// Cuts off the first name; also tells whether nothing is left after it.
    pub(crate) fn take_component(&mut self) -> (Buffer, bool) {
        let whole = *self;
        let bytes = whole.bytes();
        let start = bytes
            .iter()
            .position(|byte| *byte != b'/')
            .unwrap_or(bytes.len());
        let bytes = bytes.get(start..).unwrap_or_default();
        let end = bytes
            .iter()
            .position(|byte| *byte == b'/')
            .unwrap_or(bytes.len());
        let (name, tail) = bytes.split_at_checked(end).unwrap_or_default();
        let mut component = Buffer::new();
        let mut rest = Buffer::new();
        // Parts of a buffer fit into a buffer.
        let _fits = component.push(name).and(rest.push(tail));
        let is_last = tail.iter().all(|byte| *byte == b'/');
        *self = rest;
        (component, is_last)
    }

    pub(crate) fn prepend(&mut self, first: &[u8]) -> Outcome<()> {
        let tail = *self;
        self.truncate(0);
        self.push(first)?;
        self.push(b"/")?;
        self.push(tail.bytes())
    }

    /// Appends `/proc/self/fd/N`.
    pub(crate) fn push_descriptor_path(&mut self, number: i32) -> Outcome<()> {
        let mut digits = [0_u8; 10];
        let mut value = number.unsigned_abs();
        let mut start = digits.len();
        loop {
            start -= 1;
            if let Some(digit) = digits.get_mut(start) {
                *digit = b'0'.wrapping_add((value % 10) as u8);
            }
            value /= 10;
            if value == 0 || start == 0 {
                break;
            }
        }
        self.push(b"/proc/self/fd/")?;
        self.push(digits.get(start..).unwrap_or_default())
    }
}
