import { spawnSync } from "node:child_process";
import { join } from "node:path";
import { runBuilt } from "./built.ts";
import { REPOSITORY } from "./repository.ts";

/** One frame of ours, as `bt --raw -o json` has it. */
export interface OurFrame {
  pc: string;
  module?: string;
  function?: string;
  file?: string;
  line?: number;
  inlined?: true;
  signal?: true;
  /** `python`: a function that the interpreter at this place ran. */
  kind?: string;
}

/** One thread of ours. */
export interface OurThread {
  tid: number;
  crashed: boolean;
  frames: OurFrame[];
  leftOut?: { before: number; count: number };
  endsHere?: string;
}

/** Frames of one thread, in order: how many are true, and how many each reader has before its first wrong one. */
export interface Comparison {
  tid: number;
  crashed: boolean;
  truth: number;
  ours: number;
  elfutils: number;
  gdb: number;
  /** Program counters as they are, for a failing test to show. */
  walked: { truth: string[]; ours: string[] };
}

const THREADS_MAX = 60;
/** Of longer stacks ours are listed with a gap. */
const FRAMES_MAX = 200;
const GARBAGE_AFTER = /^runtime\.(?:mcall|systemstack|morestack|asmcgocall|goexit|mstart|rt0_go)(?:\.abi0)?$/;
const TIMEOUT_MS = 120_000;
/** gdb's kinds of frames that have no place on the stack of their own. */
const NO_FRAME = new Set(["1", "2", "3"]);

/** Walk a core by ours, as a user runs it. */
export async function ourStacks(core: string, exe: string): Promise<OurThread[]> {
  const result = await runBuilt("cdh-inspect", ["bt", "--raw", "-o", "json", "--exe", exe, core], {
    timeoutMs: TIMEOUT_MS,
  });
  if (result.stdout === "")
    throw new Error(`cdh-inspect bt of ${exe}: ${result.timedOut ? "no end" : result.exitCode}: ${result.stderr}`);
  const { threads } = JSON.parse(result.stdout) as { threads: OurThread[] };
  return threads.map((thread) => ({ ...thread, frames: nativeFrames(thread.frames) }));
}

/** Frames as other debuggers have them: functions of Python share the one of the interpreter that ran them. */
export function nativeFrames<Frame extends Pick<OurFrame, "pc" | "kind">>(frames: readonly Frame[]): Frame[] {
  return frames.filter(({ kind, pc }, index) => {
    const before = frames[index - 1];
    return kind === undefined || before?.kind === undefined || before.pc !== pc;
  });
}

/** Where the core's files and the vDSO lie. */
async function moduleRanges(core: string): Promise<{ start: bigint; end: bigint }[]> {
  const { stdout } = await runBuilt("cdh-inspect", ["modules", "-o", "json", core], { timeoutMs: TIMEOUT_MS });
  const { modules } = JSON.parse(stdout) as { modules: { start: string; end: string }[] };
  return modules.map(({ start, end }) => ({ start: BigInt(start), end: BigInt(end) }));
}

function output(command: string, args: readonly string[]): string {
  const { stdout } = spawnSync(command, args, {
    encoding: "utf8",
    maxBuffer: 256 * 1024 * 1024,
    timeout: TIMEOUT_MS,
    env: { ...process.env, LC_ALL: "C.UTF-8", DEBUGINFOD_URLS: "" },
  });
  return stdout ?? "";
}

function byGdb(gdb: string, core: string, exe: string): Map<number, { pc: bigint; name: string }[]> {
  const before = ["-iex", "set debuginfod enabled off", "-iex", "set backtrace past-main on"];
  const script = join(REPOSITORY, "test/helpers/gdb-frames.py");
  const text = output(gdb, ["-nx", "-q", "-batch", ...before, "-se", exe, "-core", core, "-x", script]);
  const threads = new Map<number, { pc: bigint; name: string }[]>();
  for (const block of text.split(/^THREAD /m).slice(1)) {
    const frames = [...block.matchAll(/^FRAME (0x[0-9a-f]+) (\d+) (.*)$/gm)].filter(
      ([, , kind = ""]) => !NO_FRAME.has(kind),
    );
    threads.set(
      Number.parseInt(block, 10),
      frames.map(([, pc = "0", , name = ""]) => ({ pc: BigInt(pc), name })),
    );
  }
  return threads;
}

function byElfutils(core: string, exe: string): Map<number, bigint[]> {
  const threads = new Map<number, bigint[]>();
  let frames: bigint[] = [];
  for (const line of output("eu-stack", [`--core=${core}`, "-e", exe]).split("\n")) {
    const tid = /^TID (\d+):/.exec(line)?.[1];
    if (tid !== undefined) threads.set(Number(tid), (frames = []));
    const pc = /^#\d+ +(0x[0-9a-f]+)/.exec(line)?.[1];
    if (pc !== undefined) frames.push(BigInt(pc));
  }
  return threads;
}

/**
 * Compare stacks with gdb's and elfutils'. True are gdb's frames, without inlined ones and tail calls, up to the first address in
 * no module, and what elfutils adds where it agrees with all of them. gdb goes on with what lies on the system's stack where
 * Go changed stacks: such frames are not true.
 * @param twin the same program with symbols, which gdb tells the truth from
 * @param byDebugger gdb's program: gdb-multiarch for cores of other machines
 */
export async function compareStacks(
  core: string,
  exe: string,
  twin: string | undefined,
  byDebugger: "gdb" | "gdb-multiarch" = "gdb",
): Promise<Comparison[]> {
  const ours = await ourStacks(core, exe);
  const ranges = await moduleRanges(core);
  const isInModule = (pc: bigint): boolean => ranges.some(({ start, end }) => pc >= start && pc < end);
  const elfutils = byElfutils(core, exe);
  const gdb = byGdb(byDebugger, core, exe);
  const told = twin === undefined ? gdb : byGdb(byDebugger, core, twin);
  return ours.slice(0, THREADS_MAX).map(({ tid, crashed, frames }) => {
    const truth: bigint[] = [];
    let isGo = false;
    for (const { pc, name } of told.get(tid) ?? []) {
      if (truth.length > 0 && !isInModule(pc)) break;
      truth.push(pc);
      isGo ||= name.startsWith("runtime.");
      if (GARBAGE_AFTER.test(name)) break;
    }
    const theirs = (elfutils.get(tid) ?? []).slice(0, FRAMES_MAX);
    truth.splice(FRAMES_MAX);
    if (!isGo && theirs.length > truth.length && truth.every((pc, index) => pc === theirs[index]))
      // Between modules lies code that was made at run time; beyond the last one nothing is known.
      truth.push(...theirs.slice(truth.length, theirs.findLastIndex(isInModule) + 1));
    const own = frames.filter(({ inlined }) => inlined !== true).map(({ pc }) => BigInt(pc));
    const share = (pcs: readonly bigint[]): number => {
      const wrong = truth.findIndex((pc, index) => pc !== pcs[index]);
      return wrong === -1 ? truth.length : wrong;
    };
    const hex = (pcs: readonly bigint[]): string[] => pcs.map((pc) => `0x${pc.toString(16)}`);
    return {
      tid,
      crashed,
      truth: truth.length,
      ours: share(own),
      elfutils: share(theirs),
      gdb: share((gdb.get(tid) ?? []).map(({ pc }) => pc)),
      walked: { truth: hex(truth), ours: hex(own) },
    };
  });
}
