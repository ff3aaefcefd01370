import type { Machine } from "./machines.ts";
import type { ReadMemory } from "./unwind.ts";

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
  /** x0 to x30, and sp as 31. */
  registers: Map<number, bigint>;
}

/**
 * Read what a signal interrupted on arm64, when the code at `pc` is what a handler returns to. The kernel's vDSO has no
 * unwind table for it, on purpose: whoever walks stacks knows it by its two instructions. Above its frame the kernel leaves
 * a frame record of what it interrupted, to which x29 points in the handler; it tells whether the frame is where it is
 * believed to be.
 * @returns undefined when it is not, or the frame is not where the registers say
 * @see arch/arm64/kernel/vdso/sigreturn.S; setup_sigframe_layout in arch/arm64/kernel/signal.c
 */
export async function readInterrupted(
  pc: bigint,
  registers: ReadonlyMap<number, bigint>,
  machine: Machine,
  read: ReadMemory,
  readCode: ReadMemory,
): Promise<Interrupted | undefined> {
  if (!machine.isArm) return undefined;
  const code = await readCode(pc, SIGNAL_RETURN.length);
  if (code === undefined || !SIGNAL_RETURN.equals(code)) return undefined;
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

async function readWords(read: ReadMemory, address: bigint, count: number): Promise<bigint[] | undefined> {
  if (address < 0n) return undefined;
  const bytes = await read(address, count * 8);
  if (bytes === undefined || bytes.length < count * 8) return undefined;
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  return Array.from({ length: count }, (_, index) => view.getBigUint64(index * 8, true));
}
