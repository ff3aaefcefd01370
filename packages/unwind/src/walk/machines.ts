/** What walking a stack needs to know of a machine's registers. */
export interface Machine {
  isArm: boolean;
  /** Bytes of an address. */
  wordBytes: 4 | 8;
  sp: number;
  fp: number;
  /** Register that holds the return address until it is saved. */
  link: number | undefined;
  /** DWARF's number of the program counter, where it has one. */
  pc: number | undefined;
  /** Bytes that a frame pointer may lie below the stack pointer: Go on arm64 keeps it one word below. */
  fpBelowSp: bigint;
  /** True where the caller's stack pointer follows from the frame pointer: the two saved words are a frame's top. */
  fpTellsSp: boolean;
  /** The kernel's names of DWARF's registers, in DWARF's order. */
  names: readonly string[];
}

/** arm64 signs return addresses in the bits above the 48 of an address. */
const ARM64_ADDRESS_MASK = 0xffff_ffff_ffffn;

/** @see System V ABI AMD64, 3.6.2; System V ABI i386, 2.4; DWARF for the Arm 64-bit Architecture, 4.1; AAPCS64, 6.4.6 */
export const MACHINES: Partial<Record<string, Machine>> = {
  x64: {
    isArm: false,
    wordBytes: 8,
    sp: 7,
    fp: 6,
    link: undefined,
    pc: 16,
    fpBelowSp: 0n,
    fpTellsSp: true,
    names: "rax rdx rcx rbx rsi rdi rbp rsp r8 r9 r10 r11 r12 r13 r14 r15 rip".split(" "),
  },
  x86: {
    isArm: false,
    wordBytes: 4,
    sp: 4,
    fp: 5,
    link: undefined,
    pc: 8,
    fpBelowSp: 0n,
    fpTellsSp: true,
    names: "eax ecx edx ebx esp ebp esi edi eip".split(" "),
  },
  arm64: {
    isArm: true,
    wordBytes: 8,
    sp: 31,
    fp: 29,
    link: 30,
    pc: undefined,
    fpBelowSp: 8n,
    fpTellsSp: false,
    names: [...Array.from({ length: 31 }, (_, index) => `x${index}`), "sp"],
  },
};

/** Find how to walk on a machine; undefined for one whose stacks are not walked, x32 (x86-64 with short addresses) among them. */
export function machineOf(machine: { name: string; bits: 32 | 64 } | undefined): Machine | undefined {
  const known = MACHINES[machine?.name ?? ""];
  return known !== undefined && known.wordBytes * 8 === machine?.bits ? known : undefined;
}

/** Take from a return address what is not part of it. */
export function cleanAddress(address: bigint, machine: Machine): bigint {
  return machine.isArm ? address & ARM64_ADDRESS_MASK : address;
}
