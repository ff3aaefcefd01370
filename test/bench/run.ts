import { compileCrashPrograms } from "../helpers/crash-programs.ts";
import type { KernelHold } from "../helpers/kernel-state.ts";
import { runCrash } from "../helpers/run-crash.ts";
import type { Handler, HandlerOrReason } from "./handler.ts";
import { composerHandler, isComposer } from "./handlers-cdc.ts";
import { shellHandler } from "./handlers-shell.ts";
import { systemdHandler } from "./handlers-systemd.ts";
import { isLarge, type HandlerName, type Kind } from "./options.ts";

/** One crash under one handler. */
export interface Sample {
  /** From the signal to the parent's reap: how long the crashed process was held, ms. */
  holdMs: number;
  /** From the signal until the handler's last process ended: the output is whole then, ms. */
  doneMs: number;
  outputBytes: number;
  peakRssBytes: number;
  cpuMs: number;
}

/** All counted samples of one handler. */
export interface Series {
  name: HandlerName;
  command: string;
  samples: Sample[];
}

/** One size and kind, every handler. */
export interface Cell {
  sizeMb: number;
  kind: Kind;
  series: Series[];
}

/** Make a handler ready, or learn why it can't be. */
export async function prepareHandler(
  hold: KernelHold,
  name: HandlerName,
  other: string | undefined,
): Promise<HandlerOrReason> {
  if (isComposer(name)) return composerHandler(hold, name, other);
  if (name === "systemd-coredump") return systemdHandler();
  return shellHandler(name);
}

async function sampleOf(hold: KernelHold, handler: Handler, sizeMb: number, kind: Kind): Promise<Sample> {
  hold.set({ corePattern: handler.pattern, corePipeLimit: "16" });
  const crash = await runCrash(compileCrashPrograms().fill, [String(sizeMb), kind], { timeoutMs: 1_200_000 });
  if (!crash.coreDumped || crash.holdMs === undefined || crash.stampNs === undefined) {
    throw new Error(`${handler.name}: the kernel dumped no core: ${JSON.stringify(crash)}`);
  }
  const { endedNs, ...outcome } = await handler.finish(crash.pid);
  return { holdMs: crash.holdMs, doneMs: (endedNs - crash.stampNs) / 1e6, ...outcome };
}

/**
 * Measure every handler at one size and kind, in interleaved rounds: whatever the machine does meanwhile hits all alike.
 * The first round warms up and does not count, except with gigabytes; each round starts with another handler.
 */
export async function measureCell(
  hold: KernelHold,
  handlers: readonly Handler[],
  sizeMb: number,
  kind: Kind,
  runs: number,
  say: (text: string) => void,
): Promise<Cell> {
  const series = handlers.map(({ name, command }): Series => ({ name, command, samples: [] }));
  for (let round = isLarge(sizeMb) ? 1 : 0; round <= runs; round++) {
    for (let turn = 0; turn < handlers.length; turn++) {
      const index = (turn + round) % handlers.length;
      const handler = handlers[index];
      if (handler === undefined) continue;
      const sample = await sampleOf(hold, handler, sizeMb, kind);
      say(
        `  ${round === 0 ? "warm-up" : `run ${round}`} ${handler.name}: held ${sample.holdMs.toFixed(0)} ms, done ${sample.doneMs.toFixed(0)} ms`,
      );
      if (round > 0) series[index]?.samples.push(sample);
    }
  }
  return { sizeMb, kind, series };
}
