import { readWords, type ReadMemory } from "../tables/memory.ts";
import type { Machine } from "./machines.ts";

/** `mov $15, %rax` (rt_sigreturn); `syscall`: the C libraries and Go have the same. */
const X64_SIGNAL_RETURN = Buffer.from("48c7c00f0000000f05", "hex");
/** In `struct ucontext`: flags, link, and the alternate stack of 24 bytes lie before the registers. */
const X64_REGISTERS_AT = 40n;
/** DWARF's numbers of the registers in the order of `struct sigcontext`: r8 to r15, rdi, rsi, rbp, rbx, rdx, rax, rcx, rsp. */
const X64_ORDER = [8, 9, 10, 11, 12, 13, 14, 15, 5, 4, 6, 3, 1, 0, 2, 7];
/** `cs` of 64-bit programs, in the low half of the word behind the flags. */
const X64_USER_CS = 0x33n;

/** `mov x8, #139` (rt_sigreturn); `svc #0`. */
const SIGNAL_RETURN = Buffer.from("681180d2010000d4", "hex");
/** In the kernel's frame: siginfo_t (128 bytes), then ucontext_t, whose sigcontext begins with the fault's address. */
const REGISTERS_AT = 128n + 176n + 8n;
const REGISTERS = 31;
/** Without the vector registers' extra room, which only vectors of more than 1024 bits take. */
const FRAME_BYTES = 4688n;

/** What ran when the kernel delivered a signal. */
export interface Interrupted {
  pc: bigint;
  /** By DWARF's numbers: all but the vector registers. */
  registers: Map<number, bigint>;
}

/**
 * Read what a signal interrupted, when the code at `pc` is what a handler returns to. Some systems' have no unwind table
 * that says so (arm64's vDSO on purpose, musl and Go on x86-64): whoever walks stacks knows it by its two instructions.
 * @returns undefined when it is not, or the frame is not where the registers say
 */
export async function readInterrupted(
  pc: bigint,
  registers: ReadonlyMap<number, bigint>,
  machine: Machine,
  read: ReadMemory,
  readCode: ReadMemory,
): Promise<Interrupted | undefined> {
  if (machine.wordBytes !== 8) return undefined;
  const expected = machine.isArm ? SIGNAL_RETURN : X64_SIGNAL_RETURN;
  const code = await readCode(pc, expected.length);
  if (code === undefined || !expected.equals(code)) return undefined;
  return machine.isArm ? readArm64(registers, machine, read) : readX64(registers, machine, read);
}

/**
 * On x86-64 the handler's return took its address off the stack: `ucontext` is what is on top.
 * @see struct rt_sigframe, arch/x86/include/asm/sigframe.h; struct sigcontext, asm/sigcontext.h
 */
async function readX64(
  registers: ReadonlyMap<number, bigint>,
  machine: Machine,
  read: ReadMemory,
): Promise<Interrupted | undefined> {
  const sp = registers.get(machine.sp);
  const words = sp === undefined ? undefined : await readWords(read, sp + X64_REGISTERS_AT, X64_ORDER.length + 3);
  if (words === undefined || ((words[X64_ORDER.length + 2] ?? 0n) & 0xffffn) !== X64_USER_CS) return undefined;
  const before = new Map(X64_ORDER.map((number, index) => [number, words[index] ?? 0n]));
  return { pc: words[X64_ORDER.length] ?? 0n, registers: before };
}

/**
 * Above its frame the kernel leaves a frame record of what it interrupted, to which x29 points in the handler; it tells
 * whether the frame is where it is believed to be.
 * @see arch/arm64/kernel/vdso/sigreturn.S; setup_sigframe_layout in arch/arm64/kernel/signal.c
 */
async function readArm64(
  registers: ReadonlyMap<number, bigint>,
  machine: Machine,
  read: ReadMemory,
): Promise<Interrupted | undefined> {
  const [sp, fp] = [registers.get(machine.sp), registers.get(machine.fp)];
  if (fp === undefined) return undefined;
  const record = await readWords(read, fp, 2);
  // Frame pointers alone do not tell sp; then only the frame's size does.
  for (const base of new Set([sp ?? fp - FRAME_BYTES, fp - FRAME_BYTES])) {
    const words = await readWords(read, base + REGISTERS_AT, REGISTERS + 2);
    const pcBefore = words?.[REGISTERS + 1];
    if (words === undefined || pcBefore === undefined || record === undefined) continue;
    if (words[29] !== record[0] || words[30] !== record[1]) continue;
    return { pc: pcBefore, registers: new Map(words.slice(0, REGISTERS + 1).entries()) };
  }
  return undefined;
}
