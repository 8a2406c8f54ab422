//! System calls that nix has no wrapper for, one function each, named as the call; no policy.
#![expect(unsafe_code, reason = "the one place where raw system calls are made")]

use std::{
    mem::{offset_of, size_of},
    os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd},
};

use nix::errno::Errno;

/// One eBPF instruction, `struct bpf_insn` of `linux/bpf.h`: code, registers, offset, immediate.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Instruction {
    pub(crate) code: u8,
    /// Destination in the low half, source in the high half.
    pub(crate) registers: u8,
    pub(crate) offset: i16,
    pub(crate) immediate: i32,
}

/// The part of `union bpf_attr` that BPF_PROG_LOAD reads, up to the name.
#[repr(C)]
struct ProgLoad {
    prog_type: u32,
    insn_cnt: u32,
    insns: u64,
    license: u64,
    log_level: u32,
    log_size: u32,
    log_buf: u64,
    kern_version: u32,
    prog_flags: u32,
    prog_name: [u8; 16],
}

/// The part that BPF_PROG_ATTACH reads.
#[repr(C)]
struct ProgAttach {
    target_fd: u32,
    attach_bpf_fd: u32,
    attach_type: u32,
    attach_flags: u32,
    replace_bpf_fd: u32,
}

/// The part that BPF_PROG_QUERY reads and writes.
#[repr(C)]
struct ProgQuery {
    target_fd: u32,
    attach_type: u32,
    query_flags: u32,
    attach_flags: u32,
    prog_ids: u64,
    prog_cnt: u32,
    reserved: u32,
}

/// The part that BPF_PROG_GET_FD_BY_ID reads.
#[repr(C)]
struct ProgId {
    prog_id: u32,
    next_id: u32,
    open_flags: u32,
}

/// The part that BPF_OBJ_GET_INFO_BY_FD reads.
#[repr(C)]
struct ObjInfo {
    bpf_fd: u32,
    info_len: u32,
    info: u64,
}

/// `struct bpf_prog_info` up to the name.
#[repr(C)]
struct ProgInfo {
    words: [u64; 8],
    name: [u8; 16],
}

const _: () = {
    assert!(size_of::<Instruction>() == 8);
    assert!(offset_of!(ProgLoad, prog_name) == 48 && size_of::<ProgLoad>() == 64);
    assert!(size_of::<ProgAttach>() == 20);
    assert!(offset_of!(ProgQuery, prog_ids) == 16 && size_of::<ProgQuery>() == 32);
    assert!(offset_of!(ProgInfo, name) == 64);
};

/// Loads a device program and returns its descriptor.
pub(crate) fn bpf_prog_load(instructions: &[Instruction], name: [u8; 16]) -> nix::Result<OwnedFd> {
    let mut attr = ProgLoad {
        prog_type: BPF_PROG_TYPE_CGROUP_DEVICE,
        insn_cnt: u32::try_from(instructions.len()).map_err(|_| Errno::E2BIG)?,
        insns: address(instructions.as_ptr()),
        license: address(c"Apache-2.0".as_ptr()),
        log_level: 0,
        log_size: 0,
        log_buf: 0,
        kern_version: 0,
        prog_flags: 0,
        prog_name: name,
    };
    bpf(BPF_PROG_LOAD, &mut attr).and_then(own)
}

/// Attaches a program beside others, or in place of `replaced`.
pub(crate) fn bpf_prog_attach(
    group: BorrowedFd<'_>,
    program: BorrowedFd<'_>,
    replaced: Option<BorrowedFd<'_>>,
) -> nix::Result<()> {
    let replace_flag = if replaced.is_some() { BPF_F_REPLACE } else { 0 };
    let mut attr = ProgAttach {
        target_fd: word(group.as_raw_fd()),
        attach_bpf_fd: word(program.as_raw_fd()),
        attach_type: BPF_CGROUP_DEVICE,
        attach_flags: BPF_F_ALLOW_MULTI | replace_flag,
        replace_bpf_fd: replaced.map_or(0, |fd| word(fd.as_raw_fd())),
    };
    bpf(BPF_PROG_ATTACH, &mut attr).map(|_| ())
}

/// The ids of the device programs that are attached to the group itself, at most 64.
pub(crate) fn bpf_prog_query(group: BorrowedFd<'_>) -> nix::Result<Vec<u32>> {
    let mut ids = vec![0_u32; 64];
    let mut attr = ProgQuery {
        target_fd: word(group.as_raw_fd()),
        attach_type: BPF_CGROUP_DEVICE,
        query_flags: 0,
        attach_flags: 0,
        prog_ids: address(ids.as_mut_ptr()),
        prog_cnt: 64,
        reserved: 0,
    };
    bpf(BPF_PROG_QUERY, &mut attr)?;
    ids.truncate(usize::try_from(attr.prog_cnt).unwrap_or(0));
    Ok(ids)
}

/// A descriptor of a loaded program.
pub(crate) fn bpf_prog_get_fd_by_id(id: u32) -> nix::Result<OwnedFd> {
    let mut attr = ProgId {
        prog_id: id,
        next_id: 0,
        open_flags: 0,
    };
    bpf(BPF_PROG_GET_FD_BY_ID, &mut attr).and_then(own)
}

/// The name that a program was loaded with, padded with zeros.
pub(crate) fn bpf_prog_name(program: BorrowedFd<'_>) -> nix::Result<[u8; 16]> {
    let mut info = ProgInfo {
        words: [0; 8],
        name: [0; 16],
    };
    let mut attr = ObjInfo {
        bpf_fd: word(program.as_raw_fd()),
        info_len: u32::try_from(size_of::<ProgInfo>()).map_err(|_| Errno::E2BIG)?,
        info: address(&raw mut info),
    };
    bpf(BPF_OBJ_GET_INFO_BY_FD, &mut attr)?;
    Ok(info.name)
}

/// A descriptor of a process.
pub(crate) fn pidfd_open(pid: i32) -> nix::Result<OwnedFd> {
    // SAFETY: Asks (pidfd_open(2)): two integers. Given: both are passed by value, a bad pid is
    // ESRCH or EINVAL. Memory: none is read or written.
    let raw = unsafe { libc::syscall(libc::SYS_pidfd_open, pid, 0) };
    Errno::result(raw).and_then(own)
}

/// Sends a signal to the process of the descriptor.
pub(crate) fn pidfd_send_signal(process: BorrowedFd<'_>, signal: i32) -> nix::Result<()> {
    let no_info = std::ptr::null::<libc::siginfo_t>();
    // SAFETY: Asks (pidfd_send_signal(2)): `info` null or readable. Given: it is null, the rest are
    // integers. Memory: none is read or written; a bad signal number is EINVAL.
    let raw = unsafe {
        libc::syscall(
            libc::SYS_pidfd_send_signal,
            process.as_raw_fd(),
            signal,
            no_info,
            0,
        )
    };
    Errno::result(raw).map(|_| ())
}

fn bpf<T>(command: libc::c_int, attr: &mut T) -> nix::Result<libc::c_long> {
    // SAFETY: Asks (bpf(2)): `attr` readable and writable for `size` bytes, and pointers inside it
    // valid for the counts beside them. Given: `attr` is an exclusive reference to a plain record
    // of that size; the callers above take the pointers from slices and records that outlive this
    // call, with their lengths. Memory: nothing is kept after the call.
    let raw = unsafe { libc::syscall(libc::SYS_bpf, command, &raw mut *attr, size_of::<T>()) };
    Errno::result(raw)
}

fn own(raw: libc::c_long) -> nix::Result<OwnedFd> {
    let raw = RawFd::try_from(raw).map_err(|_| Errno::EBADF)?;
    // SAFETY: Asks: an open descriptor that nobody else owns. Given: only called on the fresh result
    // of a call above that returns a new descriptor, with errors taken out before.
    Ok(unsafe { OwnedFd::from_raw_fd(raw) })
}

fn address<T>(pointer: *const T) -> u64 {
    pointer.addr() as u64
}

/// A descriptor is never negative.
fn word(fd: RawFd) -> u32 {
    fd.cast_unsigned()
}

// linux/bpf.h
const BPF_PROG_LOAD: libc::c_int = 5;
const BPF_PROG_ATTACH: libc::c_int = 8;
const BPF_PROG_GET_FD_BY_ID: libc::c_int = 13;
const BPF_OBJ_GET_INFO_BY_FD: libc::c_int = 15;
const BPF_PROG_QUERY: libc::c_int = 16;
const BPF_PROG_TYPE_CGROUP_DEVICE: u32 = 15;
const BPF_CGROUP_DEVICE: u32 = 6;
const BPF_F_ALLOW_MULTI: u32 = 2;
const BPF_F_REPLACE: u32 = 4;
