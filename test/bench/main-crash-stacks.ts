/**
 * `npm run bench -- crash-stacks`: what reading stacks costs when a process crashes, beside the same composer that takes the core alone; writes docs/performance.md.
 */
import { cpus, release } from "node:os";
import { parseArgs } from "node:util";
import { compilerUnavailable, compileCrashPrograms } from "../helpers/crash-programs.ts";
import { holdKernel, kernelUnavailable, type KernelHold } from "../helpers/kernel-state.ts";
import { runCrash } from "../helpers/run-crash.ts";
import { DOCS_FILE, writeSection } from "./docs.ts";
import type { Handler } from "./handler.ts";
import { composerHandler, type ComposerName } from "./handlers-cdc.ts";
import { markdownOf, median } from "./report.ts";

/** A program that crashes, and in which unit its hold is compared. */
interface Crash {
  what: string;
  program: "fill" | "threads";
  args: string[];
}

/** What was measured of one composer, ms and bytes. */
interface Sample {
  holdMs: number;
  /** From the end of the hold until the bundle is published and the composer gone. */
  afterMs: number;
  peakBytes: number;
}

const CRASHES: readonly Crash[] = [
  { what: "8 MB mixed", program: "fill", args: ["8", "mixed"] },
  { what: "512 MB mixed", program: "fill", args: ["512", "mixed"] },
  { what: "50 threads", program: "threads", args: ["50"] },
  { what: "1,000 threads", program: "threads", args: ["1000"] },
];
const HEADER = [
  "crash",
  "hold, core alone, ms",
  "more with stacks, ms",
  "from release to published, core alone, ms",
  "with stacks, ms",
  "peak MiB",
];

async function crashUnder(hold: KernelHold, handler: Handler, { program, args }: Crash): Promise<Sample> {
  hold.set({ corePattern: handler.pattern, corePipeLimit: "16" });
  const { holdMs, stampNs, pid, coreDumped } = await runCrash(compileCrashPrograms()[program], args);
  if (!coreDumped || holdMs === undefined || stampNs === undefined) throw new Error(`${handler.name}: no core`);
  const { endedNs, peakRssBytes } = await handler.finish(pid);
  return { holdMs, afterMs: (endedNs - stampNs) / 1e6 - holdMs, peakBytes: peakRssBytes };
}

async function measure(runs: number): Promise<string[][]> {
  await using hold = await holdKernel();
  await using disposer = new AsyncDisposableStack();
  const use = async (name: ComposerName): Promise<Handler> => {
    const handler = await composerHandler(hold, name, undefined);
    if ("unavailable" in handler) throw new Error(handler.unavailable);
    return disposer.use(handler);
  };
  const [alone, stacks] = [await use("cdc-core-only"), await use("cdc-zstd")];
  const rows: string[][] = [];
  for (const crash of CRASHES) {
    const samples = new Map<Handler, Sample[]>([
      [alone, []],
      [stacks, []],
    ]);
    // Interleaved, each first in turn; the first round warms up.
    for (let round = 0; round <= runs; round++)
      for (const handler of round % 2 === 0 ? [alone, stacks] : [stacks, alone]) {
        const sample = await crashUnder(hold, handler, crash);
        if (round > 0) samples.get(handler)?.push(sample);
      }
    const of = (handler: Handler, pick: (sample: Sample) => number): number =>
      median((samples.get(handler) ?? []).map(pick));
    const held = (sample: Sample): number => sample.holdMs;
    const after = (sample: Sample): number => sample.afterMs;
    rows.push([
      crash.what,
      of(alone, held).toFixed(1),
      `${(of(stacks, held) - of(alone, held)).toFixed(1)} (${((100 * of(stacks, held)) / of(alone, held) - 100).toFixed(1)} %)`,
      of(alone, after).toFixed(0),
      of(stacks, after).toFixed(0),
      (Math.max(...(samples.get(stacks) ?? []).map(({ peakBytes }) => peakBytes)) / 2 ** 20).toFixed(0),
    ]);
    process.stderr.write(`${rows.at(-1)?.join(" | ")}\n`);
  }
  return rows;
}

const { values } = parseArgs({
  allowNegative: true,
  options: { runs: { type: "string", default: "9" }, docs: { type: "boolean", default: true } },
});
const reason = kernelUnavailable() ?? compilerUnavailable();
if (reason !== undefined) {
  process.stderr.write(`bench: cannot measure here: ${reason}\n`);
  process.exit(11);
}
const rows = await measure(Number(values.runs));
const text = [
  `${cpus().length} cores, Linux ${release()}, medians of ${values.runs} interleaved crashes. *Core alone*: \`STACK=false MESSAGE=false ARTEFACTS=false BINARIES=off\`. Peak: the largest of the composer's processes.`,
  "",
  markdownOf([HEADER, ...rows]),
].join("\n");
process.stdout.write(`${text}\n`);
if (values.docs) writeSection("bench-crash-stacks", text, DOCS_FILE);
