//! Building, reading and explaining a plan.

use std::os::fd::{AsRawFd, OwnedFd};

use crate::error::{Error, Kind, Result};
use crate::op::{Bytes, Call, Failure, Op, Slot, Strings, Text};

/// A flat list of ops with everything that they need: text, bytes, descriptors.
///
/// Immutable once built. The same plan can be run in a child, run in this process, printed, or
/// asked for the story behind a [`Failure`].
#[derive(Debug)]
#[must_use = "a plan does nothing until it is run; dropping it closes the descriptors it inherited"]
pub struct Plan {
    pub(crate) ops: Vec<Op>,
    pub(crate) steps: Vec<Step>,
    pub(crate) blob: Vec<u8>,
    pub(crate) slots: Vec<SlotInfo>,
    /// Room for `execve`.
    pub(crate) n_pointers: usize,
}

/// What the caller keeps about an op; none of it crosses into the child.
#[derive(Clone, Debug)]
pub(crate) struct Step {
    pub(crate) what: &'static str,
    pub(crate) pointer: Option<String>,
}

/// One numbered place for a descriptor.
#[derive(Debug)]
pub(crate) struct SlotInfo {
    pub(crate) name: String,
    pub(crate) inherited: Option<OwnedFd>,
}

// What a container with the usual mounts takes, so that nothing is moved while its plan grows.
const USUAL_OPS: usize = 256;
const USUAL_BLOB_BYTES: usize = 4096;
const USUAL_SLOTS: usize = 128;

/// Collects ops in order.
///
/// # Examples
/// ```
/// use ns_init::{Op, PlanBuilder};
/// let mut plan = PlanBuilder::new();
/// let name = plan.text("box")?;
/// plan.at("/hostname");
/// plan.push("set the host name", Op::SetHostname { name });
/// let plan = plan.finish();
/// assert_eq!(plan.explain()[0].call, "sethostname(\"box\")");
/// # Ok::<(), ns_init::Error>(())
/// ```
#[derive(Debug)]
pub struct PlanBuilder {
    ops: Vec<Op>,
    steps: Vec<Step>,
    blob: Vec<u8>,
    slots: Vec<SlotInfo>,
    n_pointers: usize,
    pointer: Option<String>,
}

impl Default for PlanBuilder {
    fn default() -> Self {
        Self::new()
    }
}

impl PlanBuilder {
    /// An empty plan.
    #[must_use]
    pub fn new() -> Self {
        PlanBuilder {
            ops: Vec::with_capacity(USUAL_OPS),
            steps: Vec::with_capacity(USUAL_OPS),
            blob: Vec::with_capacity(USUAL_BLOB_BYTES),
            slots: Vec::with_capacity(USUAL_SLOTS),
            n_pointers: 0,
            pointer: None,
        }
    }

    /// Names the place in the configuration that the following ops come from.
    pub fn at(&mut self, pointer: impl Into<String>) {
        self.pointer = Some(pointer.into());
    }

    /// The following ops come from no particular setting.
    pub fn at_nothing(&mut self) {
        self.pointer = None;
    }

    /// Appends an op; `what` is a verb phrase for people, such as `"attach the mount"`.
    pub fn push(&mut self, what: &'static str, op: Op) {
        self.ops.push(op);
        self.steps.push(Step {
            what,
            pointer: self.pointer.clone(),
        });
        if let Op::Execute {
            arguments,
            environment,
            ..
        } = op
        {
            // Two arrays, each with a closing null.
            self.n_pointers = arguments.count as usize + environment.count as usize + 2;
        }
    }

    /// How many ops there are so far: for [`Missing::Skip`](crate::Missing::Skip) over a group.
    #[must_use]
    pub fn n_ops(&self) -> usize {
        self.ops.len()
    }

    /// Replaces the count of a skip that was pushed before its group was known.
    ///
    /// The op at `index` must carry a `Missing::Skip`; every op pushed after it is skipped with it.
    ///
    /// # Panics
    /// When the op at `index` has no `Missing::Skip`: a mistake in the planner, not in its input.
    pub fn skip_to_here(&mut self, index: usize) {
        let count = u32::try_from(self.ops.len() - index - 1).unwrap_or(u32::MAX);
        match &mut self.ops[index] {
            Op::OpenHost { missing, .. } | Op::OpenInRoot { missing, .. } => {
                *missing = crate::op::Missing::Skip(count);
            }
            other => unreachable!("{other:?} cannot be skipped from"),
        }
    }

    /// A new slot; `name` is what people see, e.g. the path it will hold.
    pub fn slot(&mut self, name: impl Into<String>) -> Slot {
        self.add_slot(name.into(), None)
    }

    /// A slot that holds one of the caller's descriptors from the start.
    ///
    /// # Errors
    /// | kind | errno | when |
    /// |---|---|---|
    /// | `Limit` | EMFILE | the descriptor had to be moved above the standard streams and there was no room |
    pub fn inherit(&mut self, fd: OwnedFd, name: impl Into<String>) -> Result<Slot> {
        let fd = above_standard_streams(fd)?;
        Ok(self.add_slot(name.into(), Some(fd)))
    }

    fn add_slot(&mut self, name: String, inherited: Option<OwnedFd>) -> Slot {
        self.slots.push(SlotInfo { name, inherited });
        Slot(u32::try_from(self.slots.len() - 1).unwrap_or(u32::MAX))
    }

    /// Stores a string.
    ///
    /// # Errors
    /// | kind | when |
    /// |---|---|
    /// | `InvalidValue` | the string holds a NUL byte |
    pub fn text(&mut self, text: impl AsRef<[u8]>) -> Result<Text> {
        let text = text.as_ref();
        if text.contains(&0) {
            let shown = String::from_utf8_lossy(text).into_owned();
            return Err(Error::new(
                Kind::InvalidValue,
                "store a string",
                format!("{shown:?} holds a NUL byte"),
            )
            .with_pointer(self.pointer.clone()));
        }
        let offset = self.append(text)?;
        self.blob.push(0);
        Ok(Text {
            offset,
            length: length_u32(text)?,
        })
    }

    /// Stores bytes.
    ///
    /// # Errors
    /// | kind | when |
    /// |---|---|
    /// | `Limit` | the plan would exceed 4 GiB |
    pub fn bytes(&mut self, bytes: &[u8]) -> Result<Bytes> {
        Ok(Bytes {
            offset: self.append(bytes)?,
            length: length_u32(bytes)?,
        })
    }

    /// Stores 4-byte numbers.
    ///
    /// # Errors
    /// As [`bytes`](Self::bytes).
    pub fn numbers(&mut self, numbers: impl IntoIterator<Item = u32>) -> Result<Bytes> {
        let bytes: Vec<u8> = numbers.into_iter().flat_map(u32::to_ne_bytes).collect();
        self.bytes(&bytes)
    }

    /// Stores the numbers of slots, for [`Op::NewOverlay`].
    ///
    /// # Errors
    /// As [`bytes`](Self::bytes).
    pub fn slot_list(&mut self, slots: &[Slot]) -> Result<Bytes> {
        self.numbers(slots.iter().map(|slot| slot.0))
    }

    /// Stores consecutive strings.
    ///
    /// # Errors
    /// As [`text`](Self::text).
    pub fn strings<T: AsRef<[u8]>>(
        &mut self,
        strings: impl IntoIterator<Item = T>,
    ) -> Result<Strings> {
        let start = length_u32(&self.blob)?;
        let mut count = 0;
        for string in strings {
            self.text(string)?;
            count += 1;
        }
        let length = length_u32(&self.blob)? - start;
        Ok(Strings {
            bytes: Bytes {
                offset: start,
                length,
            },
            count,
        })
    }

    fn append(&mut self, bytes: &[u8]) -> Result<u32> {
        let offset = length_u32(&self.blob)?;
        self.blob.extend_from_slice(bytes);
        Ok(offset)
    }

    /// The finished plan.
    pub fn finish(self) -> Plan {
        Plan {
            ops: self.ops,
            steps: self.steps,
            blob: self.blob,
            slots: self.slots,
            n_pointers: self.n_pointers,
        }
    }
}

impl Plan {
    /// The ops, in order.
    #[must_use]
    pub fn ops(&self) -> &[Op] {
        &self.ops
    }

    /// The error that a failure of this plan stands for: step, call, objects, errno, hint, setting.
    #[must_use]
    pub fn error(&self, failure: &Failure) -> Error {
        let Some((op, step)) = self
            .ops
            .get(failure.op as usize)
            .zip(self.steps.get(failure.op as usize))
        else {
            return Error::new(
                Kind::Kernel,
                "read the child's report",
                format!("there is no op {}", failure.op),
            );
        };
        let call = crate::explain::failed_call(self, op, failure);
        // The command has no part in it yet.
        let is_unsaid = matches!(op, Op::Execute { .. }) && failure.call == Call::Sendmsg as u32;
        let what = match is_unsaid {
            true => "tell the caller that everything is set",
            false => step.what,
        };
        let error = match failure.errno {
            0 => Error::new(Kind::Hostile, what, call),
            errno => Error::from_errno(what, call, errno),
        };
        error
            .with_hint(crate::hints::hint(op, failure))
            .with_pointer(step.pointer.clone())
    }

    pub(crate) fn text(&self, text: Text) -> String {
        let start = text.offset as usize;
        String::from_utf8_lossy(&self.blob[start..start + text.length as usize]).into_owned()
    }

    pub(crate) fn bytes(&self, bytes: Bytes) -> &[u8] {
        let start = bytes.offset as usize;
        &self.blob[start..start + bytes.length as usize]
    }

    pub(crate) fn strings(&self, strings: Strings) -> Vec<String> {
        self.bytes(strings.bytes)
            .split(|byte| *byte == 0)
            .take(strings.count as usize)
            .map(|part| String::from_utf8_lossy(part).into_owned())
            .collect()
    }

    pub(crate) fn slot_name(&self, slot: Slot) -> String {
        let name = self
            .slots
            .get(slot.0 as usize)
            .map_or("?", |info| info.name.as_str());
        format!("[{}]<{name}>", slot.0)
    }

    /// The highest number that an op gives to the command.
    #[cfg(feature = "stub")]
    pub(crate) fn highest_target(&self) -> i32 {
        let target = |op: &Op| match op {
            Op::Duplicate { to, .. } => *to,
            _ => 2,
        };
        self.ops.iter().map(target).max().unwrap_or(2).max(2)
    }

    /// Slot contents at the start: the caller's descriptors, -1 where there is none yet.
    pub(crate) fn initial_slots(&self) -> Vec<i32> {
        self.slots
            .iter()
            .map(|info| info.inherited.as_ref().map_or(-1, AsRawFd::as_raw_fd))
            .collect()
    }
}

fn length_u32(bytes: &[u8]) -> Result<u32> {
    u32::try_from(bytes.len())
        .map_err(|_| Error::new(Kind::Limit, "store the plan", "it would exceed 4 GiB"))
}

/// Numbers 0 to 2 are given to the command; a descriptor of ours must not sit there.
fn above_standard_streams(fd: OwnedFd) -> Result<OwnedFd> {
    if fd.as_raw_fd() > 2 {
        return Ok(fd);
    }
    copy_above(fd.as_raw_fd(), 2)
}

/// A copy of a descriptor with a number above `highest`.
pub(crate) fn copy_above(number: i32, highest: i32) -> Result<OwnedFd> {
    crate::sys::duplicate_above(number, highest + 1)
        .and_then(crate::sys::own)
        .map_err(|errno| Error::from_errno("move a descriptor", "fcntl(F_DUPFD_CLOEXEC)", errno.0))
}
