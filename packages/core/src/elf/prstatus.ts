import { FieldReader, type ElfLayout } from "./bytes.ts";
import type { CoreMachine, CoreProcess } from "./facts.ts";

/** Where the general registers of a machine lie in its `struct elf_prstatus`. */
interface RegisterLayout {
  bits: 32 | 64;
  /** Names in the kernel's order, one machine word each. */
  names: readonly string[];
  pc: string;
  sp: string;
  /** Where compilers that keep frame pointers keep them. */
  fp?: string;
}

const REGISTERS: Partial<Record<CoreMachine["name"], RegisterLayout>> = {
  // struct user_regs_struct, arch/x86/include/asm/user_64.h
  x64: {
    bits: 64,
    names:
      "r15 r14 r13 r12 rbp rbx r11 r10 r9 r8 rax rcx rdx rsi rdi orig_rax rip cs eflags rsp ss fs_base gs_base ds es fs gs".split(
        " ",
      ),
    pc: "rip",
    sp: "rsp",
    fp: "rbp",
  },
  // struct user_pt_regs, arch/arm64/include/uapi/asm/ptrace.h
  arm64: {
    bits: 64,
    names: [...Array.from({ length: 31 }, (_, index) => `x${index}`), "sp", "pc", "pstate"],
    pc: "pc",
    sp: "sp",
    fp: "x29",
  },
  // struct user_regs_struct, arch/x86/include/asm/user_32.h
  x86: {
    bits: 32,
    names: "ebx ecx edx esi edi ebp eax ds es fs gs orig_eax eip cs eflags esp ss".split(" "),
    pc: "eip",
    sp: "esp",
    fp: "ebp",
  },
  // struct pt_regs, arch/arm/include/uapi/asm/ptrace.h
  arm: {
    bits: 32,
    names: "r0 r1 r2 r3 r4 r5 r6 r7 r8 r9 r10 fp ip sp lr pc cpsr orig_r0".split(" "),
    pc: "pc",
    sp: "sp",
  },
};

/** One NT_PRSTATUS, with all registers. */
export interface ThreadStatus {
  tid: number;
  /** The signal that the thread was hit by; 0 for the bystanders of some writers. */
  cursig: number;
  /** Absent, as sp and every register, for a machine without a register table. */
  pc?: bigint;
  sp?: bigint;
  fp?: bigint;
  registers: Record<string, bigint>;
}

/**
 * Read an NT_PRSTATUS descriptor; undefined when it is too short for its machine. Machines without a register table
 * give no registers.
 * @see include/uapi/linux/elfcore.h
 */
export function tryParsePrstatus(
  bytes: Uint8Array,
  layout: ElfLayout,
  machine: CoreMachine["name"],
): ThreadStatus | undefined {
  const at = new FieldReader(bytes, layout);
  // siginfo (12), cursig (2, padded), two words of pending and held signals; pid, ppid, pgrp, sid; four timevals.
  const pidAt = 16 + 2 * at.wordBytes;
  const registersAt = pidAt + 16 + 8 * at.wordBytes;
  const table = REGISTERS[machine];
  if (at.length < registersAt) return undefined;
  const status: ThreadStatus = { tid: at.i32(pidAt), cursig: at.u16(12), registers: {} };
  if (table === undefined || table.bits !== layout.bits) return status;
  if (at.length < registersAt + table.names.length * at.wordBytes) return undefined;
  for (const [index, name] of table.names.entries())
    status.registers[name] = at.word(registersAt + index * at.wordBytes);
  const [pc, sp] = [status.registers[table.pc], status.registers[table.sp]];
  if (pc !== undefined) status.pc = pc;
  if (sp !== undefined) status.sp = sp;
  const fp = table.fp === undefined ? undefined : status.registers[table.fp];
  if (fp !== undefined) status.fp = fp;
  return status;
}

/** Read an NT_PRPSINFO descriptor; undefined when it is too short. @see include/linux/elfcore.h */
export function tryParsePrpsinfo(bytes: Uint8Array, layout: ElfLayout): CoreProcess | undefined {
  const at = new FieldReader(bytes, layout);
  const wide = layout.bits === 64;
  const idsAt = wide ? 16 : 8;
  // 32-bit x86 and arm keep 16-bit user ids here.
  const pidAt = wide ? 24 : 12;
  if (at.length < pidAt + 16 + 16) return undefined;
  return {
    fname: at.text(pidAt + 16, 16),
    psargs: at.text(pidAt + 32, 80).trimEnd(),
    pid: at.i32(pidAt),
    ppid: at.i32(pidAt + 4),
    pgrp: at.i32(pidAt + 8),
    sid: at.i32(pidAt + 12),
    uid: wide ? at.u32(idsAt) : at.u16(idsAt),
    gid: wide ? at.u32(idsAt + 4) : at.u16(idsAt + 2),
    state: String.fromCharCode(at.u8(1)),
    nice: at.i8(3),
  };
}
