//! The stub: maps a plan, walks it, executes the command. No library, no heap, no panic.
//!
//! Started as `ns-init N`, where N is the number of the descriptor that holds the plan. Whoever
//! starts it without one gets exit code 125 and nothing else.
#![no_std]
#![no_main]
#![expect(unsafe_code, reason = "the entry point, and the plan as it lies in memory")]
#![allow(
    dead_code,
    clippy::all,
    reason = "the modules are shared with the library, which is where they are linted"
)]

mod interpret;
mod lookup;
mod op;
mod path;
mod sys;

use core::ffi::CStr;

use interpret::{Machine, record_bytes};
use op::{Call, EXIT_DAMAGED, Failure, Header, MAGIC, Op, RECORD_EARLY, RECORD_FAILED, Record};

const EXIT_FAILED: i32 = 125;

#[cfg(target_arch = "x86_64")]
core::arch::global_asm!(
    ".globl _start",
    "_start:",
    "xor ebp, ebp",
    "mov rdi, rsp",
    "and rsp, -16",
    "call {main}",
    "ud2",
    main = sym main,
);

#[cfg(target_arch = "aarch64")]
core::arch::global_asm!(
    ".globl _start",
    "_start:",
    "mov x29, xzr",
    "mov x0, sp",
    "bl {main}",
    "brk 1",
    main = sym main,
);

/// `stack` is what the kernel put there: argument count, argument pointers, null.
extern "C" fn main(stack: *const usize) -> ! {
    // SAFETY: asks: three readable words. Given: the kernel's process entry layout (execve(2)) starts with
    // the count and at least one pointer and a null, also for an empty argument list (Linux 5.18).
    let [count, _, argument] = unsafe { stack.cast::<[usize; 3]>().read() };
    if count != 2 {
        sys::exit(EXIT_FAILED);
    }
    // SAFETY: asks: a NUL-terminated string. Given: the count says that the kernel put one there.
    let argument = unsafe { CStr::from_ptr(argument as *const core::ffi::c_char) };
    let Some(file) = number(argument.to_bytes()) else {
        sys::exit(EXIT_FAILED);
    };
    let Some(mut machine) = load(file) else {
        sys::exit(EXIT_DAMAGED);
    };
    // What came through the exec is not to go through the next: the socket above all, which closes with it.
    // KERNEL(5.11): CLOSE_RANGE_CLOEXEC.
    if let Err(errno) = sys::close_range(3, u32::MAX, 4) {
        report(machine.socket, RECORD_EARLY, Failure { op: 0, errno: errno.0, call: Call::CloseRange as u32, detail: 0 });
        sys::exit(EXIT_FAILED);
    }
    if let Err(failure) = machine.run() {
        report(machine.socket, RECORD_FAILED, failure);
    }
    sys::exit(EXIT_FAILED)
}

fn number(digits: &[u8]) -> Option<i32> {
    digits.iter().try_fold(0_i32, |value, digit| {
        let digit = i32::from(digit.checked_sub(b'0')?);
        value.checked_mul(10)?.checked_add(digit)
    })
}

fn report(socket: i32, kind: u32, failure: Failure) {
    let record = Record { kind, failure };
    // A caller that is gone needs no report.
    let _result = sys::send(socket, record_bytes(&record), None);
}

/// The plan in `file`, mapped; `None` when it is not one of ours.
fn load(file: i32) -> Option<Machine<'static>> {
    let length = usize::try_from(sys::statx(file).ok()?.size).ok()?;
    if length < size_of::<Header>() {
        return None;
    }
    let memory = sys::map_private(file, length).ok()?;
    // SAFETY: asks: a readable, aligned Header. Given: the mapping is page aligned and, as just checked, long enough.
    let header = unsafe { memory.cast::<Header>().read() };
    let fits = |offset: u32, count: u32, size: usize| {
        let end = u64::from(offset) + u64::from(count) * size as u64;
        offset % 8 == 0 && end <= length as u64
    };
    let is_ours = header.magic == MAGIC
        && header.op_bytes as usize == size_of::<Op>()
        && header.total_bytes as usize == length
        && fits(header.ops_offset, header.n_ops, size_of::<Op>())
        && fits(header.slots_offset, header.n_slots, size_of::<i32>())
        && fits(header.pointers_offset, header.n_pointers, size_of::<usize>())
        && fits(header.blob_offset, header.blob_bytes, 1)
        && fits(header.stamps_offset, header.n_ops, size_of::<u64>())
        && fits(header.forked_offset, 1, size_of::<u64>());
    if !is_ours {
        return None;
    }
    let shared = match (header.stamps_offset, header.forked_offset) {
        (0, 0) => core::ptr::null_mut(),
        _ => sys::map_shared(file, length).ok()?,
    };
    let forked = match header.forked_offset {
        0 => 0,
        offset => shared as usize + offset as usize,
    };
    let stamps: &mut [u64] = if header.stamps_offset == 0 {
        &mut []
    } else {
        // SAFETY: asks: aligned memory for that many integers, not borrowed elsewhere. Given: checked above;
        // the library reads this part only after this process has ended.
        unsafe {
            let start = shared.add(header.stamps_offset as usize).cast();
            core::slice::from_raw_parts_mut(start, header.n_ops as usize)
        }
    };
    // SAFETY: asks: initialised, aligned values of each type in parts that do not overlap, for the rest of
    // the program. Given: the library that embeds this stub laid them out with the same types (size and
    // magic compared above); the mapping is private and never unmapped.
    unsafe {
        let at = |offset: u32| memory.add(offset as usize);
        let machine = Machine {
            ops: core::slice::from_raw_parts(at(header.ops_offset).cast(), header.n_ops as usize),
            blob: core::slice::from_raw_parts(at(header.blob_offset), header.blob_bytes as usize),
            slots: core::slice::from_raw_parts_mut(at(header.slots_offset).cast(), header.n_slots as usize),
            pointers: core::slice::from_raw_parts_mut(
                at(header.pointers_offset).cast(),
                header.n_pointers as usize,
            ),
            stamps,
            forked,
            socket: header.socket,
        };
        sys::close(file);
        Some(machine)
    }
}

#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    sys::exit(EXIT_DAMAGED)
}

// The compiler may call these for copies and comparisons; there is no C library to bring them.

/// # Safety
/// As `memcpy(3)`.
#[unsafe(no_mangle)]
unsafe extern "C" fn memcpy(to: *mut u8, from: *const u8, length: usize) -> *mut u8 {
    // SAFETY: asks: valid ranges. Given: memcpy(3)'s contract.
    unsafe { sys::copy_bytes(to, from, length) };
    to
}

/// # Safety
/// As `memset(3)`.
#[unsafe(no_mangle)]
unsafe extern "C" fn memset(to: *mut u8, value: i32, length: usize) -> *mut u8 {
    // SAFETY: asks: a valid range. Given: memset(3)'s contract; the value counts as a byte.
    unsafe { sys::fill_bytes(to, value as u8, length) };
    to
}

/// # Safety
/// As `memcmp(3)`.
#[unsafe(no_mangle)]
unsafe extern "C" fn memcmp(a: *const u8, b: *const u8, length: usize) -> i32 {
    let mut index = 0;
    while index < length {
        // SAFETY: asks: readable bytes. Given: memcmp(3)'s contract.
        let (left, right) = unsafe { (a.add(index).read_volatile(), b.add(index).read_volatile()) };
        if left != right {
            return i32::from(left) - i32::from(right);
        }
        index += 1;
    }
    0
}

/// # Safety
/// As `bcmp(3)`.
#[unsafe(no_mangle)]
unsafe extern "C" fn bcmp(a: *const u8, b: *const u8, length: usize) -> i32 {
    // SAFETY: asks: memcmp's contract. Given: bcmp's is the same.
    unsafe { memcmp(a, b, length) }
}

/// # Safety
/// As `strlen(3)`.
#[unsafe(no_mangle)]
unsafe extern "C" fn strlen(string: *const u8) -> usize {
    let mut length = 0;
    // SAFETY: asks: a NUL-terminated string. Given: strlen(3)'s contract.
    while unsafe { string.add(length).read_volatile() } != 0 {
        length += 1;
    }
    length
}
