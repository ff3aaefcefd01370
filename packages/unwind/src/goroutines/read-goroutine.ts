import type { GoLayout } from "../go/layouts.ts";
import type { ReadMemory } from "../tables/memory.ts";

/** One goroutine as the runtime keeps it (`g`). */
export interface RawGoroutine {
  address: bigint;
  id: bigint;
  state: GoroutineState;
  /** Why it waits; undefined where it does not, or the version has no text for the number. */
  waitReason: string | undefined;
  /** When it began to wait, by the monotonic clock, in ns; 0 where no collection of garbage has seen it wait. */
  waitSince: bigint;
  /** The thread that it runs on (`m`); 0 for none. */
  m: bigint;
  stack: { low: bigint; high: bigint };
  /** Where it goes on. */
  saved: SavedPlace;
  /** Where it entered the kernel or C; `sp` is 0 where it did not. */
  syscall: SavedPlace;
  /** Which goroutine started it; 0 for none, undefined in versions that do not keep it. */
  parent: bigint | undefined;
  /** Behind the `go` statement; 0 for none. */
  createdAt: bigint;
  /** The function that it began with. */
  startPc: bigint;
}

/** Registers of a goroutine that does not run. */
export interface SavedPlace {
  pc: bigint;
  sp: bigint;
  fp: bigint;
  lr: bigint;
}

/** What a goroutine does; `dead` ones are free for the next `go` statement. */
export type GoroutineState = "idle" | "runnable" | "running" | "syscall" | "waiting" | "dead" | "copying stack";

/** By number. @see runtime/runtime2.go */
const STATES: readonly (GoroutineState | undefined)[] = [
  "idle",
  "runnable",
  "running",
  "syscall",
  "waiting",
  undefined,
  "dead",
  undefined,
  "copying stack",
  // Stopped by itself for a preemption: it waits until whoever asked lets it go on.
  "waiting",
  // Nothing can ever wake it (Go 1.26).
  "waiting",
  "dead",
];
/** The collector looks through its stack meanwhile. */
const SCANNED = 0x1000;
const GOBUF = { sp: 0, pc: 8, g: 16 };

/** Read a goroutine; undefined where there is none: it holds its own address, and a state that there is. */
export async function readGoroutine(
  address: bigint,
  read: ReadMemory,
  layout: GoLayout,
): Promise<RawGoroutine | undefined> {
  if (address === 0n || address % 8n !== 0n) return undefined;
  const bytes = await read(address, layout.size);
  if (bytes === undefined || bytes.length < layout.size) return undefined;
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const word = (at: number): bigint => (at < 0 ? 0n : view.getBigUint64(at, true));
  const { sched } = layout;
  if (word(sched + GOBUF.g) !== address) return undefined;
  const number = view.getUint32(layout.status, true) & ~SCANNED;
  const state = STATES[number];
  const stack = { low: word(0), high: word(8) };
  if (state === undefined || stack.low > stack.high) return undefined;
  const reason = view.getUint8(layout.waitReason);
  return {
    address,
    id: word(layout.id),
    state,
    waitReason: state === "waiting" ? (layout.reasons.split("|")[reason] ?? "") || undefined : undefined,
    waitSince: word(layout.waitSince),
    m: word(layout.m),
    stack,
    saved: {
      sp: word(sched + GOBUF.sp),
      pc: word(sched + GOBUF.pc),
      lr: word(sched + layout.schedLr),
      fp: word(sched + layout.schedFp),
    },
    syscall: { sp: word(layout.syscallSp), pc: word(layout.syscallPc), lr: 0n, fp: word(layout.syscallFp) },
    parent: layout.parent < 0 ? undefined : word(layout.parent),
    createdAt: word(layout.createdAt),
    startPc: word(layout.startPc),
  };
}
