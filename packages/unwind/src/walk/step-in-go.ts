import { GO_LAYOUTS } from "../go/layouts.ts";
import { GO_ASSEMBLY, GO_SP_WRITE, GO_TOP_FRAME } from "../go/pclntab.ts";
import { readWord, readWords } from "../tables/memory.ts";
import { FRAME_MAX_BYTES, lookupAddress, notCode, type State, type StepInput, type StepResult } from "./state.ts";
import { callerByFramePointer } from "./step-by-frame-pointer.ts";

/**
 * Functions that Go's signal handler makes a call of: what they return to is the instruction that was interrupted, which may
 * be its function's first.
 */
const INJECTED = new Set(["runtime.sigpanic", "runtime.asyncPreempt", "runtime.debugCallV2"]);
/** Marked as outermost because Go's own walks begin anew there; the kernel's frame is above it. */
const SIGNAL_HANDLER = /^runtime\.(?:cgoS|s)igtramp/;
/** Writes the stack pointer, and keeps both stacks so that its frame can be passed. */
const CALLBACK = "runtime.cgocallback";
const MORE_STACK = /^runtime\.morestack(?:_noctxt)?$/;

/** Calls the race detector on the system's stack. @see runtime/race_amd64.s */
const RACE_CALL = "racecall";
const RACE_CALL_HEAD_BYTES = 7n;
const RACE_CALL_KEPT_SP = 12;

/** Fields of `g` and `gobuf`, in bytes, that all versions since Go 1.5 have there. @see runtime/runtime2.go */
const G_M = 0x30n;
const G_SCHED = 0x38n;
/** `curg` is one of the first words of `m`; which one, depends on the version. */
const M_BYTES = 0x200;
const GOBUF_PC = 8n;

/** Go to the caller of Go's code by what its linker wrote; undefined where it is not Go's, or does not tell. */
export async function stepInGo(input: StepInput): Promise<StepResult> {
  const { state, machine, context } = input;
  const code = await context.findGo?.(lookupAddress(state));
  if (code === undefined) return undefined;
  if ((code.flag & GO_TOP_FRAME) !== 0 && !SIGNAL_HANDLER.test(code.name)) return { end: { kind: "outermost" } };
  if (MORE_STACK.test(code.name) && state.isReturn)
    return (await goroutineOf(input, code.minor)) ?? { end: { kind: "outermost" } };
  if (code.name === RACE_CALL && !machine.isArm) return callerOfRaceCall(input);
  if ((code.flag & GO_SP_WRITE) !== 0 && state.isReturn && code.name !== CALLBACK)
    // The frame pointer leads from the system's stack to the goroutine's; where it is cleared, the scheduler began.
    return (
      (await callerByFramePointer({ ...input, state: { ...state, floor: undefined } })) ?? {
        end: { kind: "outermost" },
      }
    );
  const sp = state.registers.get(machine.sp);
  const { frameBytes } = code;
  if (sp === undefined || frameBytes === undefined || frameBytes < 0 || BigInt(frameBytes) > FRAME_MAX_BYTES)
    return undefined;
  const isInjected = INJECTED.has(code.name);
  const frame = sp + BigInt(frameBytes);
  return machine.isArm
    ? callerOnArm64(input, sp, frame, isInjected)
    : callerOnX64(input, frame, { frameBytes, isInjected, isAssembly: (code.flag & GO_ASSEMBLY) !== 0 });
}

async function callerOnX64(
  { state, machine, context }: StepInput,
  frame: bigint,
  { frameBytes, isInjected, isAssembly }: { frameBytes: number; isInjected: boolean; isAssembly: boolean },
): Promise<StepResult> {
  const pc = await readWord(context.read, frame, machine.wordBytes);
  if (pc === undefined) return { end: { kind: "noMemory", address: frame } };
  if (!(await context.isCode(pc))) return notCode(pc);
  const sp = frame + BigInt(machine.wordBytes);
  const registers = new Map([[machine.sp, sp]]);
  let fp = state.registers.get(machine.fp);
  if (frameBytes >= machine.wordBytes) {
    const saved = await readWord(context.read, frame - BigInt(machine.wordBytes), machine.wordBytes);
    // Some functions in assembly keep no frame pointer.
    if (!isAssembly || (saved !== undefined && saved >= sp && saved - sp < FRAME_MAX_BYTES)) fp = saved;
  }
  if (fp !== undefined) registers.set(machine.fp, fp);
  return { pc, isReturn: !isInjected, trust: "table", registers, floor: sp };
}

async function callerOnArm64(
  { state, machine, context }: StepInput,
  sp: bigint,
  frame: bigint,
  isInjected: boolean,
): Promise<StepResult> {
  const read = (address: bigint): Promise<bigint | undefined> => readWord(context.read, address, machine.wordBytes);
  const registers = new Map([[machine.sp, frame]]);
  const link = machine.link ?? 0;
  const pc = frame === sp ? state.registers.get(link) : await read(sp);
  if (pc === undefined) return frame === sp ? undefined : { end: { kind: "noMemory", address: sp } };
  if (!(await context.isCode(pc))) return notCode(pc);
  const fp = frame === sp ? state.registers.get(machine.fp) : await read(sp - 8n);
  if (fp !== undefined) registers.set(machine.fp, fp);
  if (isInjected) {
    // The handler saved the link register before it faked the call.
    const saved = await read(frame);
    if (saved !== undefined) registers.set(link, saved);
    registers.set(machine.sp, frame + 16n);
  }
  return { pc, isReturn: !isInjected, trust: "table", registers, floor: frame };
}

/** It keeps no frame pointer: its caller's stack pointer is in r12, which functions of C preserve, behind its second instruction. */
async function callerOfRaceCall({ state, machine, context }: StepInput): Promise<StepResult> {
  const isEntry = !state.isReturn && (await context.findGo?.(state.pc - RACE_CALL_HEAD_BYTES))?.name !== RACE_CALL;
  const kept = state.registers.get(isEntry ? machine.sp : RACE_CALL_KEPT_SP);
  if (kept === undefined) return { end: { kind: "noTable", address: state.pc } };
  const pc = await readWord(context.read, kept, machine.wordBytes);
  if (pc === undefined) return { end: { kind: "noMemory", address: kept } };
  if (!(await context.isCode(pc))) return notCode(pc);
  const sp = kept + BigInt(machine.wordBytes);
  const fp = state.registers.get(machine.fp);
  const registers = new Map([[machine.sp, sp]]);
  if (fp !== undefined) registers.set(machine.fp, fp);
  return { pc, isReturn: true, trust: "table", registers, floor: sp };
}

/** Go to the function whose stack was too small, which `morestack` left in the goroutine's `sched`. */
async function goroutineOf(input: StepInput, minor: number | undefined): Promise<State | undefined> {
  const { machine, context, thread } = input;
  const read = async (address: bigint | undefined): Promise<bigint | undefined> =>
    address === undefined ? undefined : readWord(context.read, address, machine.wordBytes);
  const base = thread.registers?.["fs_base"];
  const running = machine.isArm ? thread.registers?.["x28"] : await read(base === undefined ? undefined : base - 8n);
  const m = running === undefined ? undefined : await read(running + G_M);
  const words = m === undefined ? undefined : await readWords(context.read, m, M_BYTES / 8);
  if (words === undefined) return undefined;
  // The first word is the system stack's own g.
  for (const goroutine of new Set(words.slice(1))) {
    if (goroutine === words[0] || goroutine % 8n !== 0n || (await read(goroutine + G_M)) !== m) continue;
    const [low, high, sp] = [await read(goroutine), await read(goroutine + 8n), await read(goroutine + G_SCHED)];
    if (low === undefined || high === undefined || sp === undefined || sp <= low || sp > high) continue;
    const state = await savedState(input, goroutine + G_SCHED, sp, minor);
    if (state !== undefined) return state;
  }
  return undefined;
}

/** The registers that `gobuf` holds; where it has all but two of them depends on the version. */
async function savedState(
  { machine, context }: StepInput,
  sched: bigint,
  sp: bigint,
  minor: number | undefined,
): Promise<State | undefined> {
  const read = async (address: bigint): Promise<bigint | undefined> =>
    readWord(context.read, address, machine.wordBytes);
  const pc = await read(sched + GOBUF_PC);
  if (pc === undefined || !(await context.isCode(pc))) return undefined;
  const registers = new Map([[machine.sp, sp]]);
  const layout = minor === undefined ? undefined : GO_LAYOUTS.get(minor);
  const fp = layout === undefined ? undefined : await read(sched + BigInt(layout.schedFp));
  if (fp !== undefined && fp !== 0n) registers.set(machine.fp, fp);
  const lr =
    machine.link === undefined || layout === undefined ? undefined : await read(sched + BigInt(layout.schedLr));
  if (machine.link !== undefined && lr !== undefined) registers.set(machine.link, lr);
  return { pc, isReturn: true, trust: "table", registers, floor: sp };
}
