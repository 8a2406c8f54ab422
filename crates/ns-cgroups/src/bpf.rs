//! Device rules as an eBPF program, for cgroup v2.
//!
//! The program gets type, access and numbers of one request, and each bit of the access is decided
//! by the last rule that speaks of it; what no rule speaks of is denied. So the rules are compiled
//! from the last to the first, with the undecided bits in a register: an allowing rule clears its
//! bits, a denying one ends the program when one of its bits is still undecided.

use ns_config::{DeviceAccess, DeviceRule, DeviceRuleKind};

use crate::sys::Instruction;

/// The program for the rules.
pub(crate) fn compile(rules: &[DeviceRule]) -> Vec<Instruction> {
    let mut program = prologue();
    for rule in rules.iter().rev() {
        let bits = access_bits(rule.access);
        if bits == 0 {
            continue;
        }
        let body = decision(rule.allow, bits);
        let guards = guards(rule, body.len());
        let ends_here = guards.is_empty() && bits == ALL_BITS;
        program.extend(guards);
        program.extend(body);
        // The verifier refuses instructions that cannot be reached.
        if ends_here {
            return program;
        }
    }
    program.extend(ret(0));
    program
}

/// Loads the words of `struct bpf_cgroup_dev_ctx`, and allows a request for nothing.
fn prologue() -> Vec<Instruction> {
    let mut program = vec![
        load_word(TYPE, CONTEXT, 0),
        move_register(UNDECIDED, TYPE),
        alu(RSH, UNDECIDED, 16),
        alu(AND, TYPE, 0xffff),
        load_word(MAJOR, CONTEXT, 4),
        load_word(MINOR, CONTEXT, 8),
        jump(JNE, UNDECIDED, 0, 2),
    ];
    program.extend(ret(1));
    program
}

/// Jumps past the decision when the request is not about the rule's device.
fn guards(rule: &DeviceRule, n_body: usize) -> Vec<Instruction> {
    let kind = match rule.kind {
        DeviceRuleKind::All => None,
        DeviceRuleKind::Block => Some(1),
        DeviceRuleKind::Char => Some(2),
    };
    let checks = [(TYPE, kind), (MAJOR, rule.major), (MINOR, rule.minor)];
    let checks: Vec<(u8, u32)> = checks
        .into_iter()
        .filter_map(|(register, value)| Some((register, value?)))
        .collect();
    let n_checks = checks.len();
    let jump_past = |(check_idx, (register, value)): (usize, (u8, u32))| {
        let n_skipped = n_checks - 1 - check_idx + n_body;
        jump(
            JNE,
            register,
            value,
            i16::try_from(n_skipped).unwrap_or(i16::MAX),
        )
    };
    checks.into_iter().enumerate().map(jump_past).collect()
}

fn decision(allow: bool, bits: u32) -> Vec<Instruction> {
    let verdict = ret(u32::from(allow));
    if bits == ALL_BITS {
        return verdict;
    }
    let mut body = match allow {
        true => vec![
            alu(AND, UNDECIDED, ALL_BITS & !bits),
            jump(JNE, UNDECIDED, 0, 2),
        ],
        false => vec![jump(JSET, UNDECIDED, bits, 1), jump_always(2)],
    };
    body.extend(verdict);
    body
}

pub(crate) fn access_bits(access: DeviceAccess) -> u32 {
    u32::from(access.mknod) | u32::from(access.read) << 1 | u32::from(access.write) << 2
}

fn ret(value: u32) -> Vec<Instruction> {
    vec![alu(MOV, RESULT, value), instruction(JMP | EXIT, 0, 0, 0)]
}

fn load_word(to: u8, from: u8, offset: i16) -> Instruction {
    instruction(LDX_MEM_W, to | from << 4, offset, 0)
}

fn move_register(to: u8, from: u8) -> Instruction {
    instruction(ALU | MOV | FROM_REGISTER, to | from << 4, 0, 0)
}

fn alu(operation: u8, register: u8, value: u32) -> Instruction {
    instruction(ALU | operation, register, 0, value)
}

/// Compares 32 bits; `offset` counts from the next instruction.
fn jump(condition: u8, register: u8, value: u32, offset: i16) -> Instruction {
    instruction(JMP32 | condition, register, offset, value)
}

fn jump_always(offset: i16) -> Instruction {
    instruction(JMP | JA, 0, offset, 0)
}

fn instruction(code: u8, registers: u8, offset: i16, immediate: u32) -> Instruction {
    Instruction {
        code,
        registers,
        offset,
        immediate: immediate.cast_signed(),
    }
}

const ALL_BITS: u32 = 7;

const RESULT: u8 = 0;
const CONTEXT: u8 = 1;
const TYPE: u8 = 2;
const UNDECIDED: u8 = 3;
const MAJOR: u8 = 4;
const MINOR: u8 = 5;

// linux/bpf_common.h and linux/bpf.h
const LDX_MEM_W: u8 = 0x61;
const ALU: u8 = 0x04;
const JMP: u8 = 0x05;
const JMP32: u8 = 0x06;
const FROM_REGISTER: u8 = 0x08;
const AND: u8 = 0x50;
const RSH: u8 = 0x70;
const MOV: u8 = 0xb0;
const JA: u8 = 0x00;
const JSET: u8 = 0x40;
const JNE: u8 = 0x50;
const EXIT: u8 = 0x90;

#[cfg(test)]
pub(crate) mod tests {
    use proptest::prelude::*;

    use super::*;

    /// One request to the device controller.
    #[derive(Clone, Copy, Debug)]
    pub(crate) struct Request {
        pub(crate) kind: u32,
        pub(crate) major: u32,
        pub(crate) minor: u32,
        pub(crate) bits: u32,
    }

    /// What the rules say, read off the definition.
    pub(crate) fn is_allowed(rules: &[DeviceRule], request: Request) -> bool {
        let decides = |rule: &&DeviceRule, bit: u32| {
            let kind = match rule.kind {
                DeviceRuleKind::All => true,
                DeviceRuleKind::Block => request.kind == 1,
                DeviceRuleKind::Char => request.kind == 2,
            };
            kind && rule.major.is_none_or(|major| major == request.major)
                && rule.minor.is_none_or(|minor| minor == request.minor)
                && access_bits(rule.access) & bit != 0
        };
        let mut bits = [1, 2, 4].into_iter().filter(|bit| request.bits & bit != 0);
        bits.all(|bit| {
            let last = rules.iter().rev().find(|rule| decides(rule, bit));
            last.is_some_and(|rule| rule.allow)
        })
    }

    /// Runs a program as the kernel would, for the instructions that the compiler knows.
    fn interpret(program: &[Instruction], request: Request) -> u32 {
        let context = [
            request.bits << 16 | request.kind,
            request.major,
            request.minor,
        ];
        let mut registers = [0_u32; 11];
        let mut at = 0_usize;
        // Jumps go forward only.
        while let Some(step) = program.get(at) {
            let (to, from) = (
                usize::from(step.registers & 15),
                usize::from(step.registers >> 4),
            );
            let value = step.immediate.cast_unsigned();
            at += 1;
            let mut jump_if = |condition: bool| {
                at += if condition {
                    usize::try_from(step.offset).unwrap()
                } else {
                    0
                };
            };
            match step.code {
                0x61 => registers[to] = context[usize::try_from(step.offset).unwrap() / 4],
                0xbc => registers[to] = registers[from],
                0xb4 => registers[to] = value,
                0x54 => registers[to] &= value,
                0x74 => registers[to] >>= value,
                0x05 => jump_if(true),
                0x56 => jump_if(registers[to] != value),
                0x46 => jump_if(registers[to] & value != 0),
                0x95 => return registers[0],
                code => panic!("unknown instruction {code:#x}"),
            }
        }
        panic!("the program does not end");
    }

    pub(crate) fn rule(allow: bool, text: &str) -> DeviceRule {
        let words: Vec<&str> = text.split([' ', ':']).collect();
        let number = |word: &str| (word != "*").then(|| word.parse().unwrap());
        let kind = match words[0] {
            "a" => DeviceRuleKind::All,
            "b" => DeviceRuleKind::Block,
            _ => DeviceRuleKind::Char,
        };
        let access = DeviceAccess::parse(words[3]).unwrap();
        DeviceRule {
            allow,
            ..DeviceRule::allow(kind, number(words[1]), number(words[2]), access)
        }
    }

    pub(crate) fn any_rules() -> impl Strategy<Value = Vec<DeviceRule>> {
        let number = prop_oneof![Just(None), (0_u32..3).prop_map(Some), Just(Some(u32::MAX))];
        let kind = prop_oneof![
            Just(DeviceRuleKind::All),
            Just(DeviceRuleKind::Char),
            Just(DeviceRuleKind::Block)
        ];
        let access = any::<(bool, bool, bool)>().prop_map(|(read, write, mknod)| DeviceAccess {
            read,
            write,
            mknod,
        });
        let rule = (any::<bool>(), kind, number.clone(), number, access).prop_map(
            |(allow, kind, major, minor, access)| DeviceRule {
                allow,
                ..DeviceRule::allow(kind, major, minor, access)
            },
        );
        proptest::collection::vec(rule, 0..12)
    }

    pub(crate) fn any_request() -> impl Strategy<Value = Request> {
        let number = || prop_oneof![0_u32..4, Just(u32::MAX)];
        (1_u32..3, number(), number(), 0_u32..8).prop_map(|(kind, major, minor, bits)| Request {
            kind,
            major,
            minor,
            bits,
        })
    }

    #[test]
    fn default_rules_of_the_seed_allow_null_and_not_a_disk() {
        let program = compile(&DeviceRule::default_allowed());
        let ask = |kind, major, minor, bits| {
            interpret(
                &program,
                Request {
                    kind,
                    major,
                    minor,
                    bits,
                },
            )
        };
        assert_eq!(ask(2, 1, 3, 6), 1, "read and write /dev/null");
        assert_eq!(ask(1, 8, 0, 2), 0, "read /dev/sda");
        assert_eq!(ask(1, 8, 0, 1), 1, "make a node for it");
        assert_eq!(ask(2, 10, 229, 2), 0, "read /dev/fuse");
    }

    #[test]
    fn no_rules_deny_everything() {
        let request = Request {
            kind: 2,
            major: 1,
            minor: 3,
            bits: 2,
        };
        assert_eq!(interpret(&compile(&[]), request), 0);
    }

    #[test]
    fn denying_one_bit_of_an_allowed_device_denies_requests_with_that_bit() {
        let program = compile(&[rule(true, "c 1:3 rw"), rule(false, "c 1:3 w")]);
        let ask = |bits| {
            interpret(
                &program,
                Request {
                    kind: 2,
                    major: 1,
                    minor: 3,
                    bits,
                },
            )
        };
        assert_eq!([ask(2), ask(4), ask(6)], [1, 0, 0]);
    }

    proptest! {
        #[test]
        fn program_says_what_the_rules_say(rules in any_rules(), request in any_request()) {
            let expected = u32::from(is_allowed(&rules, request));
            prop_assert_eq!(interpret(&compile(&rules), request), expected);
        }
    }
}
