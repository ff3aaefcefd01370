import type { CoreFacts, CoreSegment } from "../elf/facts.ts";

/**
 * What of a crash may come from failing hardware as well as from a bug, or tells one from the other:
 * - `pcUnmapped`, `pcNotExecutable`: the program counter is where no code is;
 * - `spMisaligned`, `spUnmapped`: the stack pointer is none;
 * - `faultNull`, `faultNearNull`: the address is 0, or below 64 KiB;
 * - `faultNonCanonical`: an address that this machine cannot have; `faultWithoutAddress`: the kernel tells none, as for such an address on x86-64;
 * - `faultOneBit`: nothing is mapped there, but with one of its upper bits changed there is;
 * - `faultStackGuard`: right below a stack: it has overflowed.
 * None is proof: wild pointers look like all of them. Many such crashes of different bugs on one node do.
 */
export type HardwareSign =
  | "pcUnmapped"
  | "pcNotExecutable"
  | "spMisaligned"
  | "spUnmapped"
  | "faultNull"
  | "faultNearNull"
  | "faultNonCanonical"
  | "faultWithoutAddress"
  | "faultOneBit"
  | "faultStackGuard";

const SIGBUS = 7;
const SIGSEGV = 11;
const SI_KERNEL = 128;
const EXECUTABLE = 1;
const WRITABLE = 2;
/** Where programs map nothing. @see vm.mmap_min_addr */
const NEAR_NULL = 65_536n;
/** A stack's guard, and what a function with a large frame skips. */
const GUARD_BYTES = 1_048_576n;
/** Lower bits are changed by ordinary overruns too. */
const LOWEST_BIT = 21n;
/** User space of four-level page tables. */
const ADDRESS_BITS = 47n;
const STACK_ALIGNMENT: Readonly<Record<string, bigint>> = { x64: 8n, arm64: 16n };

/** Find the signs of a crash in what its core says; none where that does not tell. */
export function hardwareSigns({ machine, signal, threads, segments }: CoreFacts): HardwareSign[] {
  const crashed = threads.find((thread) => thread.crashed);
  const alignment = STACK_ALIGNMENT[machine?.name ?? ""];
  if (crashed === undefined || alignment === undefined || segments.length === 0) return [];
  const { pc, sp } = crashed;
  const signs: HardwareSign[] = [];
  if (pc !== undefined) {
    const code = segmentAt(segments, pc);
    if (code === undefined) signs.push("pcUnmapped");
    else if ((code.flags & EXECUTABLE) === 0) signs.push("pcNotExecutable");
  }
  if (sp !== undefined) {
    if (sp % alignment !== 0n) signs.push("spMisaligned");
    if (segmentAt(segments, sp) === undefined && stackAbove(segments, sp) === undefined) signs.push("spUnmapped");
  }
  if (signal?.number !== SIGSEGV && signal?.number !== SIGBUS) return signs;
  const address = signal.faultAddress;
  if (signal.code === SI_KERNEL && machine?.name === "x64") signs.push("faultWithoutAddress");
  else if (address !== undefined) return [...signs, ...signsOfFault(segments, address, sp)];
  return signs;
}

function signsOfFault(segments: readonly CoreSegment[], address: bigint, sp: bigint | undefined): HardwareSign[] {
  if (address === 0n) return ["faultNull"];
  if (address < NEAR_NULL) return ["faultNearNull"];
  if (address >= 1n << ADDRESS_BITS) return ["faultNonCanonical"];
  if (segmentAt(segments, address) !== undefined) return isGuard(segments, address, sp) ? ["faultStackGuard"] : [];
  if (isGuard(segments, address, sp)) return ["faultStackGuard"];
  for (let bit = LOWEST_BIT; bit < ADDRESS_BITS; bit += 1n)
    if (segmentAt(segments, address ^ (1n << bit)) !== undefined) return ["faultOneBit"];
  return [];
}

/** An address below the stack that the pointer is in or has just left. */
function isGuard(segments: readonly CoreSegment[], address: bigint, sp: bigint | undefined): boolean {
  const isNear = sp !== undefined && address <= sp + GUARD_BYTES && sp <= address + GUARD_BYTES;
  const at = segmentAt(segments, address);
  return isNear && (at === undefined || (at.flags & WRITABLE) === 0) && stackAbove(segments, address) !== undefined;
}

function stackAbove(segments: readonly CoreSegment[], address: bigint): CoreSegment | undefined {
  return segments.find(
    ({ vaddr, flags }) => vaddr > address && vaddr - address <= GUARD_BYTES && (flags & WRITABLE) !== 0,
  );
}

function segmentAt(segments: readonly CoreSegment[], address: bigint): CoreSegment | undefined {
  return segments.find(({ vaddr, memSize }) => vaddr <= address && address < vaddr + BigInt(memSize));
}
