//! A fixed seccomp program: no process may type into the terminal of another.

/// One instruction of a classic BPF program, as `struct sock_filter`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(C)]
pub struct BpfInstruction {
    /// Operation.
    pub code: u16,
    /// How many instructions to skip when the comparison holds.
    pub jt: u8,
    /// How many instructions to skip when it does not.
    pub jf: u8,
    /// Operand.
    pub k: u32,
}

/// An architecture that programs are compiled for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Arch {
    /// `x86_64`, with its `x32` and `i386` calls.
    X86_64,
    /// `aarch64`, with its 32-bit `arm` calls.
    Aarch64,
}

/// The program that answers `ioctl(TIOCSTI)` and `ioctl(TIOCLINUX)` with EPERM and allows all else.
///
/// The request is compared in its low 32 bits alone, which is all that the kernel looks at: a
/// request with high bits set would pass a 64-bit comparison and still work (CVE-2019-7303).
/// All ways to make the call on one kernel are covered: on `x86_64` the `x32` numbers and `i386`,
/// on `aarch64` 32-bit `arm`.
///
/// # References
/// `seccomp(2)`, `ioctl_tty(2)`, `linux/audit.h`
pub fn terminal_injection_filter(arch: Arch) -> Vec<BpfInstruction> {
    let abis: &[(u32, &[u32])] = match arch {
        Arch::X86_64 => &[
            (AUDIT_ARCH_X86_64, &[16, X32_BIT | 16, X32_BIT | 514]),
            (AUDIT_ARCH_I386, &[54]),
        ],
        Arch::Aarch64 => &[(AUDIT_ARCH_AARCH64, &[29]), (AUDIT_ARCH_ARM, &[54])],
    };
    let mut program = Vec::new();
    for (audit_arch, ioctl_numbers) in abis {
        program.extend(abi_block(*audit_arch, ioctl_numbers));
    }
    program.push(statement(RETURN, ALLOW));
    program
}

/// Judges the calls of one calling convention completely, and skips itself for the others.
fn abi_block(audit_arch: u32, ioctl_numbers: &[u32]) -> Vec<BpfInstruction> {
    let judgement = [
        statement(RETURN, ALLOW),
        statement(LOAD_WORD, OFFSET_ARG1_LOW),
        compare(TIOCSTI, 2, 0),
        compare(TIOCLINUX, 1, 0),
        statement(RETURN, ALLOW),
        statement(RETURN, ERRNO | EPERM),
    ];
    let mut body = vec![statement(LOAD_WORD, OFFSET_NUMBER)];
    for (compared, number) in ioctl_numbers.iter().enumerate() {
        // From the next instruction over the comparisons left and the first "allow".
        body.push(compare(*number, short(ioctl_numbers.len() - compared), 0));
    }
    body.extend(judgement);
    let mut block = vec![statement(LOAD_WORD, OFFSET_ARCH)];
    block.push(compare(audit_arch, 0, short(body.len())));
    block.extend(body);
    block
}

fn statement(code: u16, k: u32) -> BpfInstruction {
    BpfInstruction {
        code,
        jt: 0,
        jf: 0,
        k,
    }
}

fn compare(k: u32, jt: u8, jf: u8) -> BpfInstruction {
    BpfInstruction {
        code: JUMP_IF_EQUAL,
        jt,
        jf,
        k,
    }
}

fn short(distance: usize) -> u8 {
    u8::try_from(distance).expect("the blocks above are shorter than a jump reaches")
}

/// `BPF_LD | BPF_W | BPF_ABS`.
const LOAD_WORD: u16 = 0x20;
/// `BPF_JMP | BPF_JEQ | BPF_K`.
const JUMP_IF_EQUAL: u16 = 0x15;
/// `BPF_RET | BPF_K`.
const RETURN: u16 = 0x06;

/// Offsets in `struct seccomp_data`; both architectures are little-endian.
const OFFSET_NUMBER: u32 = 0;
const OFFSET_ARCH: u32 = 4;
const OFFSET_ARG1_LOW: u32 = 24;

const ALLOW: u32 = 0x7fff_0000;
const ERRNO: u32 = 0x0005_0000;
const EPERM: u32 = 1;

const AUDIT_ARCH_X86_64: u32 = 0xc000_003e;
const AUDIT_ARCH_I386: u32 = 0x4000_0003;
const AUDIT_ARCH_AARCH64: u32 = 0xc000_00b7;
const AUDIT_ARCH_ARM: u32 = 0x4000_0028;
const X32_BIT: u32 = 0x4000_0000;

const TIOCSTI: u32 = 0x5412;
const TIOCLINUX: u32 = 0x541c;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Runs the program over a call as the kernel does.
    fn evaluate(program: &[BpfInstruction], arch: u32, number: u32, request: u64) -> u32 {
        let mut data = [0_u8; 64];
        data[0..4].copy_from_slice(&number.to_le_bytes());
        data[4..8].copy_from_slice(&arch.to_le_bytes());
        data[24..32].copy_from_slice(&request.to_le_bytes());
        let (mut at, mut accumulator) = (0, 0_u32);
        loop {
            let instruction = program[at];
            at += 1;
            match instruction.code {
                LOAD_WORD => {
                    let from = usize::try_from(instruction.k).unwrap();
                    accumulator = u32::from_le_bytes(data[from..from + 4].try_into().unwrap());
                }
                JUMP_IF_EQUAL if accumulator == instruction.k => at += usize::from(instruction.jt),
                JUMP_IF_EQUAL => at += usize::from(instruction.jf),
                RETURN => return instruction.k,
                other => panic!("unknown operation {other:#x}"),
            }
        }
    }

    const DENIED: u32 = ERRNO | EPERM;

    #[test]
    fn terminal_injection_is_denied_through_every_calling_convention() {
        for (arch, audit_arch, number) in [
            (Arch::X86_64, AUDIT_ARCH_X86_64, 16),
            (Arch::X86_64, AUDIT_ARCH_X86_64, X32_BIT | 16),
            (Arch::X86_64, AUDIT_ARCH_X86_64, X32_BIT | 514),
            (Arch::X86_64, AUDIT_ARCH_I386, 54),
            (Arch::Aarch64, AUDIT_ARCH_AARCH64, 29),
            (Arch::Aarch64, AUDIT_ARCH_ARM, 54),
        ] {
            let program = terminal_injection_filter(arch);
            for request in [TIOCSTI, TIOCLINUX] {
                let verdict = evaluate(&program, audit_arch, number, request.into());
                assert_eq!(
                    verdict, DENIED,
                    "{arch:?} {audit_arch:#x} {number} {request:#x}"
                );
            }
            assert_eq!(
                evaluate(&program, audit_arch, number, 0x5413),
                ALLOW,
                "TIOCGWINSZ"
            );
        }
    }

    #[test]
    fn cve_2019_7303_high_bits_of_the_request_do_not_help() {
        let program = terminal_injection_filter(Arch::X86_64);
        for high in [1_u64, 0x8000_0000, 0xffff_ffff] {
            let request = high << 32 | u64::from(TIOCSTI);
            assert_eq!(evaluate(&program, AUDIT_ARCH_X86_64, 16, request), DENIED);
        }
    }

    proptest! {
        #[test]
        fn all_other_calls_are_allowed(
            arch in prop::sample::select(vec![
                AUDIT_ARCH_X86_64, AUDIT_ARCH_I386, AUDIT_ARCH_AARCH64, AUDIT_ARCH_ARM, 0,
            ]),
            number in prop_oneof![0_u32..600, any::<u32>()],
            request: u64,
        ) {
            prop_assume!(![u64::from(TIOCSTI), u64::from(TIOCLINUX)].contains(&(request & 0xffff_ffff)));
            for target in [Arch::X86_64, Arch::Aarch64] {
                let program = terminal_injection_filter(target);
                prop_assert_eq!(evaluate(&program, arch, number, request), ALLOW);
            }
        }

        #[test]
        fn requests_of_other_calls_are_not_looked_at(number in 100_u32..400) {
            let program = terminal_injection_filter(Arch::X86_64);
            let verdict = evaluate(&program, AUDIT_ARCH_X86_64, number, TIOCSTI.into());
            prop_assert_eq!(verdict, ALLOW);
        }
    }
}
