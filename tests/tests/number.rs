//! The figures of `docs/numbers.md`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use ns_tests::hostile::{Attack, HeldStub};
use ns_tests::{Invocation, STRACE, Test, has_strace, needs, nsrun_path, write_json};

/// The most that `docs/numbers.md` allows.
fn limit(name: &str) -> u64 {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/numbers.md");
    let text = std::fs::read_to_string(path).expect("docs/numbers.md");
    let rows: BTreeMap<&str, &str> = text
        .lines()
        .filter_map(|line| {
            let mut cells = line.strip_prefix('|')?.split('|').map(str::trim);
            Some((cells.next()?, cells.next()?))
        })
        .collect();
    let figure = rows.get(name).unwrap_or_else(|| no_row(name));
    figure.parse().expect("a limit is a number")
}

#[expect(clippy::panic, reason = "a panic is how a test fails")]
fn no_row(name: &str) -> ! {
    panic!("docs/numbers.md has no row {name}")
}

/// The embedded stub, taken from the kernel's view of it: the file that the child executes.
fn stub(test: &Test) -> Option<PathBuf> {
    let program = std::fs::read(nsrun_path()).expect("read nsrun");
    // A static program within a program: an ELF head that is not at the start, with our marks after it.
    let head = b"\x7fELF\x02\x01\x01";
    let found = program
        .windows(head.len())
        .enumerate()
        .skip(1)
        .find(|(at, window)| *window == head && is_whole_elf(&program[*at..]))
        .map(|(at, _)| at);
    let Some(at) = found else {
        test.skip("the embedded stub was not found in nsrun");
        return None;
    };
    let path = test.path().join("stub");
    std::fs::write(&path, &program[at..at + elf_bytes(&program[at..])]).expect("write the stub");
    Some(path)
}

fn word(bytes: &[u8], at: usize, length: usize) -> usize {
    bytes[at..at + length]
        .iter()
        .rev()
        .fold(0, |value, byte| value << 8 | usize::from(*byte))
}

/// Section headers stand last in a file that the linker wrote: their end is the end of the file.
fn elf_bytes(elf: &[u8]) -> usize {
    word(elf, 0x28, 8) + word(elf, 0x3a, 2) * word(elf, 0x3c, 2)
}

fn is_whole_elf(elf: &[u8]) -> bool {
    elf.len() > 64
        && word(elf, 0x10, 2) == 2
        && elf_bytes(elf) < elf.len()
        && word(elf, 0x34, 2) == 64
}

#[test]
fn stub_is_as_small_as_promised() {
    let test = needs!(root, busybox);
    let Some(stub) = stub(&test) else { return };
    let size = std::fs::metadata(&stub).expect("set up the attack").len();
    assert!(size > 4096, "that is not the stub: {size} bytes");
    assert!(
        size <= limit("stub_bytes"),
        "the stub has grown to {size} bytes"
    );
}

#[test]
fn stub_can_neither_allocate_nor_lock_nor_format() {
    let test = needs!(root, busybox);
    let Some(stub) = stub(&test) else { return };
    let output = match Command::new("nm").args(["--demangle"]).arg(&stub).output() {
        Ok(output) if output.status.success() => output,
        other => return test.skip(&format!("needs nm (package binutils): {other:?}")),
    };
    let symbols = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(
        symbols.contains("_start"),
        "the stub's symbols are there to be read: {symbols}"
    );
    for forbidden in [
        "alloc",
        "malloc",
        "realloc",
        "calloc",
        "Mutex",
        "RwLock",
        "Once",
        "futex",
        "pthread",
        "fmt::",
        "Formatter",
        "panic_fmt",
        "panic_display",
        "unwind",
        "_Unwind",
        "eh_personality",
        "__tls",
        "std::",
    ] {
        let found: Vec<&str> = symbols
            .lines()
            .filter(|line| line.contains(forbidden))
            .collect();
        assert!(found.is_empty(), "{forbidden}: {found:?}");
    }
    assert!(
        !symbols.lines().any(|line| line.contains(" U ")),
        "nothing is left to be linked"
    );
}

#[test]
fn stub_is_static_and_asks_for_no_interpreter() {
    let test = needs!(root, busybox);
    let Some(stub) = stub(&test) else { return };
    let bytes = std::fs::read(stub).expect("set up the attack");
    let (first, size, count) = (
        word(&bytes, 0x20, 8),
        word(&bytes, 0x36, 2),
        word(&bytes, 0x38, 2),
    );
    let types: Vec<usize> = (0..count)
        .map(|index| word(&bytes, first + index * size, 4))
        .collect();
    assert!(types.contains(&1), "it has something to load");
    assert!(
        !types.contains(&2) && !types.contains(&3),
        "no dynamic section, no interpreter: {types:?}"
    );
    let stack = (0..count)
        .map(|index| first + index * size)
        .find(|at| word(&bytes, *at, 4) == 0x6474_e551);
    let flags = stack.map_or(7, |at| word(&bytes, at + 4, 4));
    assert_eq!(flags & 1, 0, "its stack cannot be executed");
}

/// Calls of one start by process: the caller first, then the child, in order.
fn trace(test: &Test) -> Option<Vec<(String, String)>> {
    let attack = Attack::new(test);
    // Default mounts only: paths that a kernel does not have are left out of the calls, not of the plan.
    let config = attack.config_with(&serde_json::json!({"restrict_sys": false}));
    let config = write_json(test.path(), &config);
    let file = test.path().join("trace");
    if !has_strace(test) {
        return None;
    }
    let output = Invocation::new(Path::new(STRACE))
        .args(["-f", "-qq", "-o"])
        .args([&file])
        .args([nsrun_path()])
        .args(["run", "--config"])
        .args([&config])
        .args(["--", "/bin/true"])
        .run();
    assert_eq!((output.code, output.stderr.as_str()), (0, ""));
    let text = std::fs::read_to_string(file).expect("a trace");
    Some(text.lines().filter_map(parse).collect())
}

fn parse(line: &str) -> Option<(String, String)> {
    let (pid, rest) = line.split_once(' ')?;
    let rest = rest.trim_start();
    let starts = rest
        .split_once('(')?
        .0
        .chars()
        .all(|c| c.is_ascii_alphanumeric() || c == '_');
    starts.then(|| (pid.to_owned(), rest.to_owned()))
}

fn name(call: &str) -> &str {
    call.split_once('(').map_or(call, |(name, _)| name)
}

/// The child's calls: from the clone to the stub, and from there to the command.
fn split(calls: &[(String, String)]) -> (Vec<&str>, Vec<&str>) {
    let caller = &calls[0].0;
    let child: Vec<&str> = calls
        .iter()
        .filter(|(pid, _)| pid != caller)
        .map(|(_, call)| call.as_str())
        .collect();
    let stub = child
        .iter()
        .position(|call| name(call) == "execveat")
        .expect("the stub is executed");
    let command = child
        .iter()
        .rposition(|call| name(call) == "execve")
        .expect("the command is executed");
    (child[..=stub].to_vec(), child[stub + 1..=command].to_vec())
}

#[test]
fn start_makes_no_more_calls_than_promised() {
    let test = needs!(root, busybox);
    let Some(calls) = trace(&test) else { return };
    let (window, child) = split(&calls);
    let (in_window, in_child) = (window.len() as u64, child.len() as u64);
    assert!(
        in_window <= limit("start_syscalls_window"),
        "{in_window}: {window:#?}"
    );
    assert!(in_child > 100, "that is not a start: {child:#?}");
    assert!(
        in_child <= limit("start_syscalls_child"),
        "{in_child}: {child:#?}"
    );
}

#[test]
fn child_makes_the_mount_calls_of_the_plan_in_its_order() {
    let test = needs!(root, busybox);
    let Some(calls) = trace(&test) else { return };
    let config = test.path().join("container.json");
    let output = test
        .nsrun([
            "explain",
            "--json",
            "run",
            "--config",
            config.to_str().expect("set up the attack"),
            "--",
            "/bin/true",
        ])
        .run();
    let plan: serde_json::Value = serde_json::from_str(output.text()).expect("set up the attack");
    let kinds = [
        "fsopen",
        "open_tree",
        "mknodat",
        "symlinkat",
        "pivot_root",
        "move_mount",
        "mount_setattr",
        "sethostname",
        "setgroups",
    ];
    let is_kind = |call: &&str| kinds.contains(call);
    let planned: Vec<&str> = plan["steps"]
        .as_array()
        .expect("set up the attack")
        .iter()
        .map(|step| name(step["call"].as_str().expect("set up the attack")))
        .filter(is_kind)
        .collect();
    let (_, child) = split(&calls);
    let made: Vec<&str> = child
        .iter()
        .map(|call| name(call))
        .filter(is_kind)
        .collect();
    assert_eq!(made, planned, "the plan's calls in the plan's order");
}

/// Peak resident memory of a program and what it waited for, in KiB.
fn peak_kib(arguments: &[&str]) -> u64 {
    let mut child = Command::new(nsrun_path())
        .args(arguments)
        .spawn()
        .expect("start nsrun");
    let status = PathBuf::from(format!("/proc/{}/status", child.id()));
    let mut peak = 0;
    loop {
        let text = std::fs::read_to_string(&status).unwrap_or_default();
        let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let Some(now) = line.and_then(|line| line.trim().strip_suffix(" kB")) else {
            break;
        };
        peak = now.trim().parse().expect("a figure of the kernel");
    }
    assert!(child.wait().expect("wait").success());
    peak
}

#[test]
fn nsrun_stays_as_small_as_promised() {
    let test = needs!(root);
    if cfg!(debug_assertions) && std::env::var_os("NSRUN").is_none() {
        return test
            .skip("the figure is that of a release build: cargo test --release, or set NSRUN");
    }
    let peak = peak_kib(&["sandbox", "--", "sleep", "0.1"]);
    assert!(
        peak <= limit("nsrun_resident_kib"),
        "nsrun takes {peak} KiB"
    );
}

#[test]
fn stub_takes_no_more_memory_than_promised() {
    let test = needs!(root, busybox);
    let attack = Attack::new(&test);
    let Some(stub) = HeldStub::start(&test, &attack.config()) else {
        return;
    };
    let status = std::fs::read_to_string(stub.proc("status")).unwrap();
    assert_eq!(stub.finish().text(), "ran");
    let peak = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))
        .unwrap();
    let peak: u64 = peak.trim().strip_suffix(" kB").unwrap().parse().unwrap();
    assert!(
        peak <= limit("stub_resident_kib"),
        "the stub takes {peak} KiB"
    );
}
