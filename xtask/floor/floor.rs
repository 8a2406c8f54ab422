//! The floor: the least that a start with given namespaces, mounts and masks can cost.
//!
//! One clone3, one classic `mount(2)` or two per mount, pivot_root, exec, wait; no checks, no reports, no
//! limits. The bench compiles it with `rustc` alone and gives it the steps of a real container:
//!
//! * `floor start FLAGS UID GID STEP... -- PROGRAM ARGUMENT...`, fields of a step parted by the byte 1
//! * `floor join FLAGS PID STEP... -- PROGRAM ARGUMENT...` in the namespaces of a process
//! * `floor pause` waits for a signal
//! * `floor rss PROGRAM ARGUMENT...` prints the peak of the program's resident memory in KiB
//! * `floor cat` copies its standard input to its standard output
//! * `floor` ends with 0
#![no_std]
#![no_main]
#![allow(unsafe_code, reason = "raw system calls are the point of it")]

mod network;

use core::arch::asm;

#[cfg(target_arch = "x86_64")]
mod arch {
    //! Numbers of `arch/x86/entry/syscalls/syscall_64.tbl`.
    core::arch::global_asm!(
        ".globl _start", "_start:", "xor ebp, ebp", "mov rdi, rsp", "and rsp, -16", "call {main}", "ud2",
        main = sym super::main,
    );
    pub(crate) const READ: usize = 0;
    pub(crate) const WRITE: usize = 1;
    pub(crate) const SOCKET: usize = 41;
    pub(crate) const IOCTL: usize = 16;
    pub(crate) const EXECVE: usize = 59;
    pub(crate) const EXIT: usize = 231;
    pub(crate) const WAIT4: usize = 61;
    pub(crate) const FCHDIR: usize = 81;
    pub(crate) const PIVOT_ROOT: usize = 155;
    pub(crate) const MOUNT: usize = 165;
    pub(crate) const UMOUNT2: usize = 166;
    pub(crate) const SETHOSTNAME: usize = 170;
    pub(crate) const OPENAT: usize = 257;
    pub(crate) const MKDIRAT: usize = 258;
    pub(crate) const MKNODAT: usize = 259;
    pub(crate) const SYMLINKAT: usize = 266;
    pub(crate) const CLOSE: usize = 3;
    pub(crate) const SENDTO: usize = 44;
    pub(crate) const RECVFROM: usize = 45;
    pub(crate) const UNLINKAT: usize = 263;
    pub(crate) const PPOLL: usize = 271;
    pub(crate) const PIPE2: usize = 293;
    pub(crate) const SETNS: usize = 308;
}

#[cfg(target_arch = "aarch64")]
mod arch {
    //! Numbers of `include/uapi/asm-generic/unistd.h`.
    core::arch::global_asm!(
        ".globl _start", "_start:", "mov x29, xzr", "mov x0, sp", "bl {main}", "brk 1",
        main = sym super::main,
    );
    pub(crate) const READ: usize = 63;
    pub(crate) const WRITE: usize = 64;
    pub(crate) const SOCKET: usize = 198;
    pub(crate) const IOCTL: usize = 29;
    pub(crate) const EXECVE: usize = 221;
    pub(crate) const EXIT: usize = 94;
    pub(crate) const WAIT4: usize = 260;
    pub(crate) const FCHDIR: usize = 50;
    pub(crate) const PIVOT_ROOT: usize = 41;
    pub(crate) const MOUNT: usize = 40;
    pub(crate) const UMOUNT2: usize = 39;
    pub(crate) const SETHOSTNAME: usize = 161;
    pub(crate) const OPENAT: usize = 56;
    pub(crate) const MKDIRAT: usize = 34;
    pub(crate) const MKNODAT: usize = 33;
    pub(crate) const SYMLINKAT: usize = 36;
    pub(crate) const CLOSE: usize = 57;
    pub(crate) const SENDTO: usize = 206;
    pub(crate) const RECVFROM: usize = 207;
    pub(crate) const UNLINKAT: usize = 35;
    pub(crate) const PPOLL: usize = 73;
    pub(crate) const PIPE2: usize = 59;
    pub(crate) const SETNS: usize = 268;
}

use arch::*;

// The same on every architecture.
const OPEN_TREE: usize = 428;
const MOVE_MOUNT: usize = 429;
const FSOPEN: usize = 430;
const FSCONFIG: usize = 431;
const FSMOUNT: usize = 432;
const CLONE3: usize = 435;
const PIDFD_OPEN: usize = 434;

const AT_FDCWD: usize = -100_isize as usize;
const EEXIST: isize = -17;
const MS_REMOUNT: usize = 32;
const MS_BIND: usize = 4096;
const MS_REC: usize = 16384;
const MS_PRIVATE: usize = 1 << 18;
const INTO_CGROUP: usize = 0x2_0000_0000;
const NEWUSER: usize = 0x1000_0000;
const NEWUTS: usize = 0x0400_0000;
const NEWNET: usize = 0x4000_0000;

#[cfg(target_arch = "x86_64")]
fn call(number: usize, a: [usize; 6]) -> isize {
    let result: isize;
    // SAFETY: asks: arguments that fit the call. Given: this program passes strings of its own argument
    // vector and structures on its stack; it shares nothing with anybody.
    unsafe {
        asm!("syscall", inlateout("rax") number as isize => result, in("rdi") a[0], in("rsi") a[1],
            in("rdx") a[2], in("r10") a[3], in("r8") a[4], in("r9") a[5],
            lateout("rcx") _, lateout("r11") _, options(nostack));
    }
    result
}

#[cfg(target_arch = "aarch64")]
fn call(number: usize, a: [usize; 6]) -> isize {
    let result: isize;
    // SAFETY: asks: arguments that fit the call. Given: this program passes strings of its own argument
    // vector and structures on its stack; it shares nothing with anybody.
    unsafe {
        asm!("svc 0", in("x8") number, inlateout("x0") a[0] => result, in("x1") a[1], in("x2") a[2],
            in("x3") a[3], in("x4") a[4], in("x5") a[5], options(nostack));
    }
    result
}

fn text(bytes: &[u8]) -> usize {
    bytes.as_ptr() as usize
}

fn exit(code: usize) -> ! {
    call(EXIT, [code, 0, 0, 0, 0, 0]);
    loop {}
}

/// Ends the program with a word about the step when a call has failed.
fn must(result: isize, step: &[u8]) -> usize {
    if result >= 0 {
        return result as usize;
    }
    say(b"floor: ");
    say(step);
    say(b": errno ");
    say_number(2, -result as usize);
    exit(125)
}

fn say(words: &[u8]) {
    call(WRITE, [2, text(words), words.len(), 0, 0, 0]);
}

fn say_number(fd: usize, mut number: usize) {
    let mut digits = [b'\n'; 21];
    let mut at = 20;
    loop {
        at -= 1;
        digits[at] = b'0' + (number % 10) as u8;
        number /= 10;
        if number == 0 {
            break;
        }
    }
    call(WRITE, [fd, text(&digits) + at, 21 - at, 0, 0, 0]);
}

/// A NUL-terminated word of the argument vector.
#[derive(Clone, Copy)]
struct Word(*mut u8);

impl Word {
    fn address(self) -> usize {
        self.0 as usize
    }

    fn byte(self, at: usize) -> u8 {
        // SAFETY: asks: readable. Given: callers stop at the NUL.
        unsafe { *self.0.add(at) }
    }

    fn bytes(self) -> &'static [u8] {
        let mut length = 0;
        while self.byte(length) != 0 {
            length += 1;
        }
        // SAFETY: asks: that many readable bytes for good. Given: just counted; the vector stays.
        unsafe { core::slice::from_raw_parts(self.0, length) }
    }

    fn number(self) -> usize {
        let digits = self.bytes().iter();
        digits.fold(0, |value, digit| value * 10 + (digit - b'0') as usize)
    }

    /// What follows the kind of a step with one field.
    fn object(self) -> Word {
        // SAFETY: asks: inside the word. Given: a kind and a separator come before the field.
        Word(unsafe { self.0.add(2) })
    }

    /// Cuts the word at its separators.
    fn fields(self) -> [Word; 6] {
        let mut fields = [self; 6];
        let (mut n_fields, mut at) = (1, 0);
        while self.byte(at) != 0 {
            if self.byte(at) == 1 && n_fields < 6 {
                // SAFETY: asks: writable and inside the word. Given: the vector is on our stack.
                unsafe {
                    *self.0.add(at) = 0;
                    fields[n_fields] = Word(self.0.add(at + 1));
                }
                n_fields += 1;
            }
            at += 1;
        }
        fields
    }
}

/// Arguments and environment as the kernel left them.
struct Words {
    n_words: usize,
    first: *const *mut u8,
}

impl Words {
    fn get(&self, at: usize) -> Word {
        // SAFETY: asks: inside the vector, or its closing null. Given: callers count.
        Word(unsafe { *self.first.add(at) })
    }

    fn address(&self, at: usize) -> usize {
        self.first as usize + at * size_of::<usize>()
    }

    fn execute(&self, at: usize) -> ! {
        let environment = self.address(self.n_words + 1);
        let name = self.get(at);
        let result = call(
            EXECVE,
            [name.address(), self.address(at), environment, 0, 0, 0],
        );
        must(result, name.bytes());
        exit(125)
    }
}

extern "C" fn main(stack: *const usize) -> ! {
    // SAFETY: asks: the layout of execve(2). Given: the kernel put it there.
    let words = unsafe {
        Words {
            n_words: *stack,
            first: stack.add(1).cast(),
        }
    };
    match words.n_words {
        0 | 1 => exit(0),
        _ => match words.get(1).bytes() {
            b"start" => start(&words),
            b"join" => join(&words),
            b"rss" => rss(&words),
            b"cat" => cat(),
            b"pause" => exit(call(PPOLL, [0; 6]) as usize),
            _ => exit(0),
        },
    }
}

fn cat() -> ! {
    let mut buffer = [0_u8; 64];
    loop {
        match call(READ, [0, buffer.as_mut_ptr() as usize, 64, 0, 0, 0]) {
            n_bytes @ 1.. => call(WRITE, [1, text(&buffer), n_bytes as usize, 0, 0, 0]),
            _ => exit(0),
        };
    }
}

/// The v2 group is that of the descriptor, 0 for none.
fn clone(flags: usize, group: usize) -> isize {
    let mut arguments = [0_u64; 11];
    arguments[0] = flags as u64;
    arguments[4] = 17;
    if group != 0 {
        arguments[0] |= INTO_CGROUP as u64;
        arguments[10] = group as u64;
    }
    call(CLONE3, [arguments.as_ptr() as usize, 88, 0, 0, 0, 0])
}

fn wait(pid: usize, usage: &mut [i64; 18]) -> usize {
    let mut status = 0_i32;
    let usage = usage.as_mut_ptr() as usize;
    must(
        call(WAIT4, [pid, &raw mut status as usize, 0, usage, 0, 0]),
        b"wait4",
    );
    match status & 0x7f {
        0 => (status >> 8 & 0xff) as usize,
        signal => 128 + signal as usize,
    }
}

fn rss(words: &Words) -> ! {
    let pid = must(clone(0, 0), b"clone3");
    if pid == 0 {
        words.execute(2);
    }
    let mut usage = [0; 18];
    let code = wait(pid, &mut usage);
    say_number(1, usage[4] as usize);
    exit(code)
}

fn start(words: &Words) -> ! {
    let flags = words.get(2).number();
    make_groups(words);
    let [told, tell] = pipe_if_waited_for(words);
    let group = open_group(words);
    let pid = must(clone(flags, group), b"clone3");
    if pid != 0 {
        each(words, b'H', |step| {
            let [_, message, pid_at, name_at, ..] = step.fields();
            network::send_from_host(message, pid_at.number(), name_at.number(), pid);
        });
        if tell != 0 {
            call(CLOSE, [tell, 0, 0, 0, 0, 0]);
        }
        let code = wait(pid, &mut [0; 18]);
        remove_groups(words);
        exit(code);
    }
    if tell != 0 {
        call(CLOSE, [tell, 0, 0, 0, 0, 0]);
    }
    each(words, b'T', |step| write_at(step.object(), b"0"));
    if flags & NEWUSER != 0 {
        write(b"/proc/self/setgroups\0", b"deny");
        map(b"/proc/self/uid_map\0", words.get(3));
        map(b"/proc/self/gid_map\0", words.get(4));
    }
    must(
        call(MOUNT, [0, text(b"/\0"), 0, MS_REC | MS_PRIVATE, 0, 0]),
        b"private",
    );
    let mut at = 5;
    while words.get(at).bytes() != b"--" {
        if words.get(at).byte(0) > b'Z' {
            step(words.get(at).fields());
        }
        at += 1;
    }
    let here = text(b".\0");
    must(call(PIVOT_ROOT, [here, here, 0, 0, 0, 0]), b"pivot_root");
    must(call(UMOUNT2, [here, 2, 0, 0, 0, 0]), b"umount2");
    if flags & NEWUTS != 0 {
        must(
            call(SETHOSTNAME, [text(b"floor"), 5, 0, 0, 0, 0]),
            b"sethostname",
        );
    }
    if flags & NEWNET != 0 {
        bring_up_loopback();
    }
    if told != 0 {
        // The end of the pipe: the pair is there.
        call(READ, [told, text(&[0_u8; 1]), 1, 0, 0, 0]);
    }
    each(words, b'I', |step| {
        let [_, message, index_at, ..] = step.fields();
        network::send_from_inside(message, index_at.number());
    });
    words.execute(at + 1)
}

/// `pidfd_open`, one `setns`, a fork in the group, exec.
fn join(words: &Words) -> ! {
    let (flags, pid) = (words.get(2).number(), words.get(3).number());
    let process = must(call(PIDFD_OPEN, [pid, 0, 0, 0, 0, 0]), b"pidfd_open");
    let group = open_group(words);
    each(words, b'T', |step| write_at(step.object(), b"0"));
    must(call(SETNS, [process, flags, 0, 0, 0, 0]), b"setns");
    let pid = must(clone(0, group), b"clone3");
    if pid != 0 {
        exit(wait(pid, &mut [0; 18]));
    }
    let mut at = 4;
    while words.get(at).bytes() != b"--" {
        at += 1;
    }
    words.execute(at + 1)
}

/// Runs over the steps of a kind; those that are not about mounts are capital letters.
fn each(words: &Words, kind: u8, mut take: impl FnMut(Word)) {
    let mut at = 2;
    while words.get(at).bytes() != b"--" {
        if words.get(at).byte(0) == kind {
            take(words.get(at));
        }
        at += 1;
    }
}

/// M: a group. W: text in one of its files.
fn make_groups(words: &Words) {
    each(words, b'M', |step| {
        let path = step.object();
        let made = call(MKDIRAT, [AT_FDCWD, path.address(), 0o755, 0, 0, 0]);
        must(made, path.bytes());
    });
    each(words, b'W', |step| {
        let [_, path, value, ..] = step.fields();
        write_at(path, value.bytes());
    });
}

fn remove_groups(words: &Words) {
    each(words, b'M', |step| {
        let path = step.object();
        // AT_REMOVEDIR.
        let removed = call(UNLINKAT, [AT_FDCWD, path.address(), 0x200, 0, 0, 0]);
        must(removed, path.bytes());
    });
}

/// C: the v2 group to be in.
fn open_group(words: &Words) -> usize {
    let mut group = 0;
    each(words, b'C', |step| {
        let path = step.object();
        // O_DIRECTORY | O_CLOEXEC.
        let flags = 0o2_000_000
            | if cfg!(target_arch = "aarch64") {
                0o40_000
            } else {
                0o200_000
            };
        group = must(
            call(OPENAT, [AT_FDCWD, path.address(), flags, 0, 0, 0]),
            path.bytes(),
        );
    });
    group
}

/// 0 and 0 when the caller makes nothing for the new process.
fn pipe_if_waited_for(words: &Words) -> [usize; 2] {
    let mut is_waited_for = false;
    each(words, b'H', |_| is_waited_for = true);
    let mut ends = [0_i32; 2];
    if !is_waited_for {
        return [0; 2];
    }
    let made = call(PIPE2, [ends.as_mut_ptr() as usize, 0o2_000_000, 0, 0, 0, 0]);
    must(made, b"pipe2");
    ends.map(|end| end as usize)
}

fn write_at(path: Word, words: &[u8]) {
    let file = must(
        call(OPENAT, [AT_FDCWD, path.address(), 1, 0, 0, 0]),
        path.bytes(),
    );
    must(
        call(WRITE, [file, text(words), words.len(), 0, 0, 0]),
        path.bytes(),
    );
    call(CLOSE, [file, 0, 0, 0, 0, 0]);
}

fn write(path: &[u8], words: &[u8]) {
    let file = must(call(OPENAT, [AT_FDCWD, text(path), 1, 0, 0, 0]), path);
    must(call(WRITE, [file, text(words), words.len(), 0, 0, 0]), path);
    call(CLOSE, [file, 0, 0, 0, 0, 0]);
}

/// `0 ID 1`.
fn map(path: &[u8], id: Word) {
    let mut line = [b' '; 32];
    let digits = id.bytes();
    line[0] = b'0';
    line[2..2 + digits.len()].copy_from_slice(digits);
    line[3 + digits.len()] = b'1';
    write(path, &line[..4 + digits.len()]);
}

/// `struct ifreq` of `lo` with IFF_UP.
fn bring_up_loopback() {
    let mut request = [0_u8; 40];
    request[0] = b'l';
    request[1] = b'o';
    request[16] = 1;
    let socket = must(call(SOCKET, [2, 2 | 0o2_000_000, 0, 0, 0, 0]), b"socket");
    must(
        call(IOCTL, [socket, 0x8914, text(&request), 0, 0, 0]),
        b"lo",
    );
}

/// One step; paths inside are relative to the new root, which is the working directory.
fn step([kind, a, b, c, d, _]: [Word; 6]) {
    let path = |word: Word| word.address();
    let name = a.bytes();
    match kind.byte(0) {
        // Root: an empty tmpfs with options B, or the directory A.
        b'r' if name.is_empty() => enter(new_root(b)),
        b'r' => enter(must(
            call(OPEN_TREE, [AT_FDCWD, path(a), 1 | 0o2_000_000, 0, 0, 0]),
            name,
        )),
        // New file system of type A at B with flags C and options D.
        b'n' => mount(a, b, a, c.number(), path(d)),
        // Bind A at B, then flags C.
        b'b' => {
            mount(a, b, a, MS_BIND, 0);
            if c.number() != 0 {
                mount(a, b, a, MS_REMOUNT | MS_BIND | c.number(), 0);
            }
        }
        // Flags B for A.
        b'f' => mount(a, a, a, MS_REMOUNT | MS_BIND | b.number(), 0),
        // Directory A.
        b'd' => made(call(MKDIRAT, [AT_FDCWD, path(a), 0o755, 0, 0, 0]), name),
        // Empty file A.
        b'e' => made(call(MKNODAT, [AT_FDCWD, path(a), 0o100_644, 0, 0, 0]), name),
        // Link A to B.
        b'l' => made(call(SYMLINKAT, [path(b), AT_FDCWD, path(a), 0, 0, 0]), name),
        // Character device A with number B.
        b'c' => made(
            call(MKNODAT, [AT_FDCWD, path(a), 0o020_666, b.number(), 0, 0]),
            name,
        ),
        _ => drop(must(-22, kind.bytes())),
    }
}

fn made(result: isize, name: &[u8]) {
    if result != EEXIST {
        must(result, name);
    }
}

fn mount(source: Word, target: Word, fstype: Word, flags: usize, options: usize) {
    let arguments = [
        source.address(),
        target.address(),
        fstype.address(),
        flags,
        options,
        0,
    ];
    must(call(MOUNT, arguments), target.bytes());
}

fn new_root(mode: Word) -> usize {
    let context = must(call(FSOPEN, [text(b"tmpfs\0"), 1, 0, 0, 0, 0]), b"fsopen");
    // FSCONFIG_SET_STRING, FSCONFIG_CMD_CREATE.
    let set = [context, 1, text(b"mode\0"), mode.address(), 0, 0];
    must(call(FSCONFIG, set), b"fsconfig");
    must(call(FSCONFIG, [context, 6, 0, 0, 0, 0]), b"fsconfig");
    let root = must(call(FSMOUNT, [context, 1, 0, 0, 0, 0]), b"fsmount");
    call(CLOSE, [context, 0, 0, 0, 0, 0]);
    root
}

/// Covers `/` with the mount, where only our working directory is.
fn enter(root: usize) {
    let (nothing, top) = (text(b"\0"), text(b"/\0"));
    // MOVE_MOUNT_F_EMPTY_PATH.
    must(
        call(MOVE_MOUNT, [root, nothing, AT_FDCWD, top, 4, 0]),
        b"move_mount",
    );
    must(call(FCHDIR, [root, 0, 0, 0, 0, 0]), b"fchdir");
}

#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    exit(124)
}

// The compiler may call these; there is no C library to bring them.

/// # Safety
/// As `memcpy(3)`.
#[unsafe(no_mangle)]
unsafe extern "C" fn memcpy(to: *mut u8, from: *const u8, length: usize) -> *mut u8 {
    for at in 0..length {
        // SAFETY: asks: readable and writable bytes. Given: memcpy(3)'s contract; volatile, or this is a
        // call of itself.
        unsafe { to.add(at).write_volatile(from.add(at).read()) };
    }
    to
}

/// # Safety
/// As `memset(3)`.
#[unsafe(no_mangle)]
unsafe extern "C" fn memset(to: *mut u8, value: i32, length: usize) -> *mut u8 {
    for at in 0..length {
        // SAFETY: asks: writable bytes. Given: memset(3)'s contract; volatile, or this is a call of itself.
        unsafe { to.add(at).write_volatile(value as u8) };
    }
    to
}

/// # Safety
/// As `memcmp(3)`.
#[unsafe(no_mangle)]
unsafe extern "C" fn memcmp(a: *const u8, b: *const u8, length: usize) -> i32 {
    for at in 0..length {
        // SAFETY: asks: readable bytes. Given: memcmp(3)'s contract.
        let (left, right) = unsafe { (a.add(at).read_volatile(), b.add(at).read_volatile()) };
        if left != right {
            return i32::from(left) - i32::from(right);
        }
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
    // SAFETY: asks: readable up to the NUL. Given: strlen(3)'s contract; volatile, or this is a call of itself.
    while unsafe { string.add(length).read_volatile() } != 0 {
        length += 1;
    }
    length
}
