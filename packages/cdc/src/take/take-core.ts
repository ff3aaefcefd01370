import { availableParallelism } from "node:os";
import { soon } from "@cdh/core/async/soon";
import { CorePipeline } from "@cdh/core/bundle/core-pipeline";
import type { CoreSink } from "@cdh/core/bundle/core-pipeline";
import { makeFrameCompressor } from "@cdh/core/bundle/frame-compressor";
import type { Problem, TruncatedBy } from "@cdh/core/bundle/manifest";
import { MANIFEST_ELF_LIMITS, type CoreFacts } from "@cdh/core/elf/facts";
import { ElfCoreScanner } from "@cdh/core/elf/scanner";
import type { Work } from "../request.ts";
import { NO_NATIVE } from "../self/no-native.ts";
import { ownerOf } from "../who/crash-owner.ts";
import { readsMemory, type Learning } from "../who/learn.ts";
import { UnlistedModules } from "../who/unlisted-modules.ts";
import { drain, type DrainResult } from "./drain.ts";
import type { MemoryInput } from "./memory-input.ts";
import { RawTake, type Taking } from "./raw-take.ts";
import { sizeLimit } from "./size-limit.ts";
import { SpaceGuard } from "./space-guard.ts";
import { LinePlace } from "./waiting-line.ts";

/** Frames in memory: enough to take a small core whole, few enough to stay far below 128 MiB. */
const BUFFERS = 28;

/** Cores of fewer frames are compressed after the crashed process was let go. */
export const HOLD_BACK = 12;

/** Who waits in line must be known by then, in milliseconds, or counts as unknown. */
const OWNER_WAIT_MS = 500;

/** A core that nobody wants is read on for so long, until its notes have passed. */
const PLACE_WAIT_MS = 1_000;

/** More parallel frames than this cost the node more than they save the crashed pod. */
const THREADS_MAX = 4;

/** Mappings and ELF files that were parsed since the last time: they leave tens of megabytes of garbage. Few programs have as many. */
const MUCH_PARSED = 1_500;

/** What taking a core needs. */
type Given = Pick<Work, "input" | "crash" | "settings" | "coreDir" | "clock" | "native" | "limit" | "ends">;

/** What goes on beside the drain. */
export interface Beside {
  learning: Pick<Learning, "process" | "identity" | "modules" | "memory">;
  /** The bundle, once it can be written. */
  opening: Promise<{ bundle: CoreSink }>;
  /** Whether the crash is wanted at all. */
  judging: Promise<{ skip?: unknown }>;
  /** Settles when registers and stack have told where it crashed, which also those that are not kept are counted by. */
  placing: Promise<unknown>;
  /** Whether its core is, or another one stands for it. */
  sparing: Promise<{ wholeCore?: unknown }>;
  /** Told what the core's notes say as soon as they have passed; undefined when they did not. */
  onNotes: (notes: ElfCoreScanner["threadsSoFar"]) => void;
  /** Told when the bundle's file is needed now: the core is too large to wait in memory, or stands in line. */
  onPressing: () => void;
}

/** A core that was read to its end. Its last frames may still be compressed and written. */
export interface TakenCore {
  drained: DrainResult;
  /** The limit that ended it, where one did. */
  limitedBy: TruncatedBy;
  pipeline: CorePipeline;
  /** Wait for what is read of the crashed process for the core's sake: afterwards it may go. */
  processRead: () => Promise<void>;
  /** What the core says; after its end and {@link processRead}. */
  finishFacts: () => CoreFacts;
  /** Keep nothing of the core's memory: another one stands for it. */
  giveUp: () => void;
  /** How it was taken. */
  taking: Taking;
  problems: readonly Problem[];
  /** Wait for a slot in the node's waiting line, where it is needed and not held. Waits no longer than until the signal. */
  enterSlot: (stop: AbortSignal) => Promise<void>;
  /** Give the slot in the node's waiting line back. */
  releaseSlot: () => Promise<void>;
}

/** Read the core to its end, or until it is not wanted, or until TIMEOUT; compress and write it meanwhile. Never rejects. */
export async function takeCore(given: Given, beside: Beside): Promise<TakenCore> {
  const { crash, settings, limit, ends } = given;
  const unwanted = new AbortController();
  ends.defer(() => unwanted.abort());
  const onVerdict = async ({ skip }: { skip?: unknown }): Promise<void> => {
    if (skip === undefined) return;
    await soon(beside.placing, PLACE_WAIT_MS, given.clock);
    unwanted.abort();
  };
  void beside.judging.then(onVerdict, () => {});
  const slot = makeSlot(given, beside);
  ends.defer(() => void slot.release().catch(() => {}));
  const { bytes: limitBytes, by: limitedBy } = sizeLimit(crash, settings);
  const stop = AbortSignal.any([unwanted.signal, limit.signal]);
  const scanner = new ElfCoreScanner(MANIFEST_ELF_LIMITS);
  const space = new SpaceGuard(given.coreDir, settings);
  const memory = readsMemory(settings) ? await memoryOf(given, beside, scanner) : undefined;
  const storing = new RawTake({
    settings,
    room: () => space.roomBytes,
    expectedBytes: () => Math.min(memory?.countedBytes ?? scanner.expectedBytes, limitBytes),
    isInLine: () => slot.isInLine,
    checksum: given.native.checksum,
  });
  if (storing.needsNoSlot) {
    // Whether there is room must be known when the first frames are to be written.
    beside.onPressing();
    void beside.opening.then(() => space.look()).catch(() => {});
  }
  const pipeline = makePipeline(given, beside.opening, { space, storing });
  ends.defer(() => pipeline.abandon());
  const spared = new AbortController();
  const unlisted = new UnlistedModules(scanner, () => beside.learning.modules(stop));
  let facts: CoreFacts | undefined;
  let tidiedAt = 0;
  let isArriving = true;
  let frames = 0;
  let isNoted = false;
  let isLearning = true;
  const learnt = (): boolean => (isLearning = false);
  void beside.learning.process.then(() => beside.placing).then(learnt, learnt);
  const giveUp = (): void => {
    if (spared.signal.aborted) return;
    spared.abort();
    pipeline.giveUp();
    // The pages that tell what modules are come with the memory.
    if (isArriving) unlisted.want();
  };
  void beside.sparing.then(
    ({ wholeCore }) => (wholeCore === undefined ? undefined : giveUp()),
    () => {},
  );
  const inLine = AbortSignal.any([stop, spared.signal]);
  const drained = await drain({
    input: memory ?? given.input,
    pipeline,
    limitBytes: () => (spared.signal.aborted ? 0 : limitBytes),
    stop,
    isLearning: () => isLearning,
    slot: {
      enter: () => {
        if (inLine.aborted) return undefined;
        const entering = slot.enter(inLine);
        return storing.needsNoSlot ? undefined : entering;
      },
      reading: () => slot.reading(),
    },
    observe: (chunk) => {
      unlisted.push(chunk);
      frames += 1;
      if (frames === HOLD_BACK) beside.onPressing();
      if (!isNoted && scanner.threadsSoFar !== undefined) {
        isNoted = true;
        beside.onNotes(scanner.threadsSoFar);
      }
      if (scanner.parsedCount < tidiedAt + MUCH_PARSED) return;
      tidiedAt = scanner.parsedCount;
      given.native.collectGarbage();
    },
  });
  isArriving = false;
  beside.onNotes(scanner.threadsSoFar);
  return {
    drained,
    limitedBy,
    giveUp,
    pipeline,
    processRead: () => unlisted.settled(),
    finishFacts: () => (facts ??= tidyAfter(unlisted.complete(scanner.finish()), given)),
    taking: describeTaking(storing, memory, settings.takeKillAbove),
    problems: memory?.problems ?? [],
    enterSlot: async (signal) => (signal.aborted ? undefined : slot.enter(signal)),
    releaseSlot: () => slot.release(),
  };
}

/** Read its memory from the process, where it is one that the kernel holds. Loaded only where it is asked for. */
async function memoryOf(
  { input, crash, settings, native, clock }: Given,
  { learning }: Pick<Beside, "learning">,
  scanner: ElfCoreScanner,
): Promise<MemoryInput | undefined> {
  if (crash.pid === undefined) return undefined;
  const { MemoryInput: Input } = await import("./memory-input.ts");
  const isChecked = settings.take === "check";
  return new Input({
    pipe: input,
    native,
    clock,
    memory: learning.memory,
    segments: () => scanner.segmentsSoFar,
    isChecked,
  });
}

function describeTaking(storing: RawTake, memory: MemoryInput | undefined, killAbove: number): Taking {
  const { taking } = storing;
  const reasons = [
    ...(memory?.reason === undefined ? [] : [`not from memory: ${memory.reason}`]),
    ...(taking.reasons ?? []),
  ];
  const from = (memory?.memoryBytes ?? 0) > 0 ? "memory" : "pipe";
  // The kernel walks over what it has not sent, empty as it is, before it lets the process go.
  const killed = killAbove > 0 && (memory?.leftInPipe ?? 0) > killAbove;
  return { ...taking, from, ...(reasons.length === 0 ? {} : { reasons }), ...(killed ? { killed } : {}) };
}

/** The last frames may still be in memory: what was parsed of so many mappings must not stay beside them. */
function tidyAfter(facts: CoreFacts, { native }: Given): CoreFacts {
  if (facts.mappings.length + facts.modules.length > MUCH_PARSED) native.collectGarbage();
  return facts;
}

/** Frames go into the bundle's file, as long as the node's disk keeps its space. */
export function makePipeline(
  { settings, coreDir, limit }: Pick<Given, "settings" | "coreDir" | "limit">,
  opening: Beside["opening"],
  {
    space = new SpaceGuard(coreDir, settings),
    storing,
    buffers = BUFFERS,
  }: { space?: SpaceGuard; storing?: RawTake; buffers?: number },
): CorePipeline {
  return new CorePipeline({
    compressor: makeFrameCompressor(settings.compression, settings.compressionLevel),
    threads: settings.compressionThreads || Math.min(THREADS_MAX, availableParallelism()),
    buffers,
    ...(storing === undefined ? {} : { holdBack: HOLD_BACK, storing }),
    sink: {
      write: async (bytes, offset) => {
        const { bundle } = await opening;
        await limit.watch(space.admit(bytes.length));
        const since = performance.now();
        await bundle.write(bytes, offset);
        storing?.wrote(bytes.length, performance.now() - since);
      },
    },
  });
}

function makeSlot(
  { crash, settings, coreDir, clock, native }: Given,
  { learning, opening, onPressing }: Beside,
): LinePlace {
  return new LinePlace({
    coreDir,
    slots: settings.queueSlots,
    // What is not compressed needs no share of the processors.
    native: settings.compression === "none" ? NO_NATIVE : native,
    clock,
    ready: () => {
      onPressing();
      return opening;
    },
    owner: soon(learning.identity, OWNER_WAIT_MS, clock).then((identity) => ownerOf(identity, crash)),
  });
}
