import * as fc from "fast-check";
import { measure, type Cost } from "./measure.ts";
import { CPU_MAX_MS, MEMORY_MAX_BYTES, type Target } from "./target.ts";

/** Where a hunt begins and when it ends. */
export interface HuntOptions {
  seed: number;
  /** Goes to this one input, as a finding named it. */
  path?: string;
  /** No new round begins after this, in ms. */
  forMs: number;
  /** No more inputs than this. */
  runs: number;
  /** Told before each input: whoever watches knows which one ended the process. */
  onInput: (seed: number, path: string) => void;
}

/** An input that broke what has to hold. */
export interface Finding {
  target: string;
  seed: number;
  path: string;
  error: string;
  /** The smallest recipe found. */
  recipe: string;
  input?: Uint8Array;
}

/** What a hunt saw. */
export interface Hunted {
  runs: number;
  cpuMaxMs: number;
  memoryMaxBytes: number;
  finding?: Finding;
}

/** Inputs of one round. A round is a property of its own, so that minimising has all the time it needs. */
const ROUND = 200;
const SHRINK_MS = 120_000;

/** Look for an input that breaks a target, until the first one or the end. */
export async function hunt(target: Target, options: HuntOptions): Promise<Hunted> {
  const seen: Hunted = { runs: 0, cpuMaxMs: 0, memoryMaxBytes: 0 };
  const until = performance.now() + options.forMs;
  for (let seed = options.seed; seen.runs < options.runs; seed += 1) {
    const runs = options.path === undefined ? Math.min(ROUND, options.runs - seen.runs) : 1;
    const finding = await huntRound(target, { ...options, seed, runs, until }, seen);
    if (finding !== undefined) return { ...seen, finding };
    if (options.path !== undefined || performance.now() >= until) break;
  }
  return seen;
}

async function huntRound(
  target: Target,
  options: HuntOptions & { until: number },
  seen: Hunted,
): Promise<Finding | undefined> {
  const { seed, path, runs, until } = options;
  let [index, failed] = [0, false];
  const property = fc.asyncProperty(target.recipes, async (recipe) => {
    // Once one was found, only the search for a smaller one goes on.
    if (!failed && path === undefined && performance.now() >= until) return;
    if (!failed) options.onInput(seed, path ?? String(index++));
    try {
      const cost = await runOne(target, recipe);
      if (failed) return;
      seen.runs += 1;
      seen.cpuMaxMs = Math.max(seen.cpuMaxMs, cost.cpuMs);
      seen.memoryMaxBytes = Math.max(seen.memoryMaxBytes, cost.memoryBytes);
    } catch (error) {
      failed = true;
      throw error;
    }
  });
  const details = await fc.check(property, {
    seed,
    numRuns: runs,
    ...(path === undefined ? {} : { path, endOnFailure: true }),
    interruptAfterTimeLimit: Math.max(0, until - performance.now()) + SHRINK_MS,
    markInterruptAsFailure: false,
  });
  if (!details.failed || details.counterexample === null) return undefined;
  const [recipe] = details.counterexample;
  const input = await target.build(recipe);
  const bytes = target.bytesOf?.(input);
  return {
    target: target.name,
    seed,
    path: details.counterexamplePath ?? "",
    error: stackOf(details.errorInstance),
    recipe: fc.stringify(recipe),
    ...(bytes === undefined ? {} : { input: bytes }),
  };
}

/** Read one input, and hold it to the bounds. What is over them is measured twice: a garbage collector has its moods. */
async function runOne(target: Target, recipe: unknown): Promise<Cost> {
  const input = await target.build(recipe);
  const cpuMaxMs = target.cpuMaxMs ?? CPU_MAX_MS;
  const memoryMaxBytes = target.memoryMaxBytes ?? MEMORY_MAX_BYTES;
  const first = await measure(() => target.run(input));
  if (first.cpuMs <= cpuMaxMs && first.memoryBytes <= memoryMaxBytes) return first;
  globalThis.gc?.();
  const again = await measure(() => target.run(input));
  const [cpuMs, memoryBytes] = [Math.min(first.cpuMs, again.cpuMs), Math.min(first.memoryBytes, again.memoryBytes)];
  if (cpuMs > cpuMaxMs) throw new Error(`took ${Math.round(cpuMs)} ms of processor time, of ${cpuMaxMs}`);
  if (memoryBytes > memoryMaxBytes)
    throw new Error(`took ${mebibytes(memoryBytes)} MiB of memory, of ${mebibytes(memoryMaxBytes)}`);
  return { cpuMs, memoryBytes };
}

function mebibytes(bytes: number): number {
  return Math.round(bytes / 1024 / 1024);
}

function stackOf(error: unknown): string {
  return error instanceof Error ? (error.stack ?? error.message) : String(error);
}
