import { randomUUID } from "node:crypto";
import { availableParallelism } from "node:os";
import { join } from "node:path";
import { CorePipeline } from "@cdh/core/bundle/core-pipeline";
import { makeFrameCompressor } from "@cdh/core/bundle/frame-compressor";
import type { Manifest, Problem, TruncatedBy } from "@cdh/core/bundle/manifest";
import type { Enrichment } from "@cdh/core/container/enrich";
import { ElfCoreScanner } from "@cdh/core/elf/scanner";
import { CdhError, EXIT, errnoOf, reasonOf } from "@cdh/core/errors";
import type { Crash } from "@cdh/core/kernel/crash";
import { collect, type Collection } from "./collect.ts";
import { describeCrash, type CrashDescription } from "./describe.ts";
import { drain, type DrainResult } from "./drain.ts";
import { describeEvent, writeEventFile } from "./event-file.ts";
import { finishBundle } from "./finish-bundle.ts";
import { leaveNoteLater } from "./leave-note.ts";
import { nodeFacts } from "./node-facts.ts";
import { metadataEntries } from "./metadata-entries.ts";
import { openBundleFile, type OpenBundle } from "./open-bundle.ts";
import type { ComposeRequest, Outcome } from "./request.ts";
import { RoomGone, RoomGuard } from "./room.ts";
import type { ComposerSettings } from "./settings.ts";
import { isDiskFull } from "./spool-file.ts";
import { judge } from "./verdict.ts";
import { takeSlot } from "./waiting-line.ts";

const EMPTY_ENRICHMENT: Enrichment = { containers: [], podLabels: {}, repoDigests: [], problems: [] };

/** Frames in memory: enough to take a small core whole, few enough to stay far below 128 MiB. */
const BUFFERS = 28;

/** Cores of fewer frames are compressed after the crashed process was let go. */
const HOLD_BACK = 12;

/** How long a crashed process is held for the runtime's record of its container to be read; that takes milliseconds. */
const RECORD_WAIT_MS = 1_000;

/** How long after TIMEOUT a spool may still answer. */
const LATE_MS = 3_000;

/** More parallel frames than this cost the node more than they save the crashed pod. */
const THREADS_MAX = 4;

/** A pipe of a mebibyte lets the kernel write while we work; the most that an ordinary node allows. */
const PIPE_BYTES = 1024 * 1024;

/**
 * Keep one crash: drain the core, learn beside it who crashed, publish the bundle.
 * @throws {CdhError} CDH_SPOOL_FULL or CDH_DISK when not even a shortened bundle could be written
 */
export async function compose(request: ComposeRequest): Promise<Outcome> {
  const { crash, settings, coreDir, clock, log, native, problems } = request;
  const startedAt = clock.monotonic();
  const crashId = randomUUID();
  const crashedAtMs = crash.timestamp === undefined ? clock.now() : crash.timestamp * 1000;
  native?.setPipeSize(0, PIPE_BYTES);

  const collection = collect({ roots: request.roots, crash, settings, exeDir: request.exeDir, problems });
  if (settings.hostCrashes === "chain") {
    const handedOn = await tryChain(request, collection);
    if (handedOn !== undefined) return handedOn;
  }
  const stop = new AbortController();
  const deadline = AbortSignal.timeout(settings.timeoutMs);
  const verdict = judge(request, collection).then((result) => {
    if (result.skip !== undefined) stop.abort();
    return result;
  });
  const enriching = verdict.then(({ skip }) => (skip === undefined ? collection.enrich() : undefined));
  const knowingNode = nodeFacts(request.roots, settings.nodeName);
  const opening = knowingNode.then(({ nodeName }) =>
    openBundleFile(request, { crashId, crash, coreDir, nodeName, crashedAtMs }, collection),
  );
  // Awaited after the drain; until then the pipeline meets its failure first.
  opening.catch(() => {});
  const compressor = makeFrameCompressor(settings.compression, settings.compressionLevel);
  const scanner = new ElfCoreScanner();
  const room = new RoomGuard(coreDir, settings);
  const pipeline = new CorePipeline({
    compressor,
    threads: settings.compressionThreads || Math.min(THREADS_MAX, availableParallelism()),
    buffers: BUFFERS,
    holdBack: HOLD_BACK,
    sink: {
      write: async (bytes, offset) => {
        const { file } = await opening;
        await room.admit(bytes.length);
        await file.write(bytes, offset);
      },
    },
  });
  const endNote = leaveNoteLater(coreDir, clock, async () => {
    const [node, identity, process] = [await knowingNode, await collection.identity, await collection.process];
    const [{ name, core }, { skip, suppressed }] = [await opening, await verdict];
    if (skip !== undefined) return undefined;
    const { version } = request;
    const { clusterName, compression } = settings;
    const known = { crashId, name, version, crash, crashedAtMs, node, clusterName, process, identity, suppressed };
    return { ...known, entry: core.name, compression };
  });
  let leaveLine = async (): Promise<void> => {};
  const limit = sizeLimit(crash, settings);
  const stopSignal = AbortSignal.any([stop.signal, deadline]);
  const drained = await drain({
    input: request.input,
    pipeline,
    limitBytes: limit.bytes,
    stop: stopSignal,
    turn: async () => {
      leaveLine = await takeSlot({ coreDir, slots: settings.queueSlots, native, clock, stop: stopSignal });
    },
    observe: (chunk) => scanner.push(chunk),
  });
  // The kernel keeps /proc/<pid> only until the last reader of the pipe closes, and the runtime removes its record of the
  // container as soon as that has ended: first learn, then let go.
  const process = await collection.process;
  await Promise.race([collection.place, clock.sleep(RECORD_WAIT_MS)]);
  await request.input.close();
  request.onRelease?.();
  const drainMs = Math.round(clock.monotonic() - startedAt);

  const { skip, suppressed } = await verdict;
  if (skip !== undefined) {
    await endNote();
    await opening.then(
      ({ file }) => file.remove(),
      () => {},
    );
    await leaveLine();
    const { pod } = await collection.identity;
    log.info("crash not kept", {
      crashId,
      reason: skip,
      namespace: pod?.namespace,
      pod: pod?.name,
      comm: crash.comm,
      signal: crash.signal,
      pid: crash.pid,
    });
    return { kind: "skipped", reason: skip, exitCode: EXIT.ok };
  }
  const { file, name, nameProblem, core: entry, dumpInfo, mtime } = await openedInTime(opening, deadline, request);
  if (nameProblem !== undefined) problems.push({ step: "name", code: "CDH_CONFIG_INVALID", detail: nameProblem });
  await pipeline.settle();
  await leaveLine();
  const facts = scanner.finish();
  const truncatedBy = reasonForTruncation(drained, pipeline, limit.by, deadline.aborted);
  noteDrainProblem(drained, truncatedBy, problems);

  const node = await knowingNode;
  const identity = await collection.identity;
  const enrichment = (await enriching) ?? EMPTY_ENRICHMENT;
  problems.push(
    ...crash.problems,
    ...facts.problems,
    ...process.problems,
    ...identity.problems,
    ...enrichment.problems,
  );
  const entries = metadataEntries({ name, process, enrichment, include: settings.includeProcInfo });
  const description: Omit<CrashDescription, "core" | "cost"> = {
    crashId,
    name,
    version: request.version,
    crash,
    crashedAtMs,
    node,
    clusterName: settings.clusterName,
    process,
    identity,
    enrichment,
    facts,
    suppressed,
    problems,
  };
  const manifest = await finishBundle({
    file,
    pipeline,
    mtime,
    dumpInfo,
    coreEntry: entry,
    entries,
    truncatedBy,
    manifestName: `${name}-manifest.json`,
    describe: (summary, cutBy) =>
      describeCrash({
        ...description,
        core: { entry: entry.name, compression: settings.compression, summary, truncatedBy: cutBy },
        cost: {
          durationMs: Math.round(clock.monotonic() - startedAt),
          drainMs,
          maxRssBytes: globalThis.process.resourceUsage().maxRSS * 1024,
        },
      }),
  });
  await endNote();
  await file.publish();
  await writeEvent(request, manifest, enrichment);
  return {
    kind: "published",
    path: file.path,
    manifest,
    exitCode: exitCodeFor(manifest),
  };
}

/**
 * Hand a host's crash on to the handler before us. Only then does the drain wait for /proc to say whose crash it is;
 * what the kernel writes meanwhile stays in the pipe.
 */
async function tryChain(request: ComposeRequest, collection: Collection): Promise<Outcome | undefined> {
  if ((await collection.place) !== "host") return undefined;
  const { chainCore } = await import("./chain.ts");
  const result = await chainCore(request, await collection.process, request.problems);
  if (result === undefined) return undefined;
  request.log.info("host crash handed on", { ...result, comm: request.crash.comm, pid: request.crash.pid });
  return { kind: "skipped", reason: `handed on to ${result.handler}`, exitCode: EXIT.ok };
}

/**
 * Wait for the bundle's file, a little past the deadline: the crashed process is let go by then, and a spool that hangs
 * must not gather composers.
 * @throws {CdhError} CDH_SPOOL_FULL or CDH_DISK
 */
async function openedInTime(
  opening: Promise<OpenBundle>,
  deadline: AbortSignal,
  { clock, coreDir }: ComposeRequest,
): Promise<OpenBundle> {
  const late = new Promise<void>((resolve) => {
    if (deadline.aborted) resolve();
    else deadline.addEventListener("abort", () => resolve(), { once: true });
  }).then(() => clock.sleep(LATE_MS));
  const opened = await Promise.race([opening, late]);
  if (opened === undefined) throw new CdhError("CDH_DISK", `cannot write to ${coreDir}: no answer until TIMEOUT`);
  return opened;
}

function exitCodeFor({ core }: Manifest): number {
  if (core.truncatedBy === "deadline") return EXIT.deadline;
  return core.complete ? EXIT.ok : EXIT.incomplete;
}

function sizeLimit(crash: Crash, settings: ComposerSettings): { bytes: number; by: TruncatedBy } {
  const rlimit =
    settings.rlimitCore === "honour" && typeof crash.rlimitCoreBytes === "number"
      ? crash.rlimitCoreBytes
      : Number.POSITIVE_INFINITY;
  const max = settings.coreSizeMax ?? Number.POSITIVE_INFINITY;
  return rlimit < max ? { bytes: rlimit, by: "rlimit" } : { bytes: max, by: "coreSizeMax" };
}

function reasonForTruncation(
  drained: DrainResult,
  pipeline: CorePipeline,
  limitedBy: TruncatedBy,
  deadlineReached: boolean,
): TruncatedBy | undefined {
  if (pipeline.failure instanceof RoomGone) return pipeline.failure.by;
  if (pipeline.failure !== undefined) return isDiskFull(pipeline.failure) ? "diskFull" : "shortRead";
  if (drained.endedBy === "limit") return limitedBy;
  if (drained.endedBy === "stop" && deadlineReached) return "deadline";
  return drained.endedBy === "end" ? undefined : "shortRead";
}

function noteDrainProblem(drained: DrainResult, truncatedBy: TruncatedBy | undefined, problems: Problem[]): void {
  if (drained.error !== undefined)
    problems.push({ step: "drain", code: errnoOf(drained.error) ?? "CDH_DISK", detail: reasonOf(drained.error) });
  if (drained.receivedBytes === 0) problems.push({ step: "drain", code: "CDH_DAMAGED", detail: "no core arrived" });
  if (truncatedBy === "deadline")
    problems.push({ step: "drain", code: "CDH_DEADLINE", detail: "the core was still arriving" });
}

/** Write IBM's event file, if it is asked for; the bundle is safe already, so a failure is only noted. */
async function writeEvent(request: ComposeRequest, manifest: Manifest, enrichment: Enrichment): Promise<void> {
  const { crash, settings, log } = request;
  if (!settings.coreEvents) return;
  const directory = settings.eventDirectory ?? join(request.exeDir, "events");
  try {
    await writeEventFile(directory, describeEvent(crash, manifest, enrichment));
  } catch (error) {
    log.error("event file not written", { crashId: manifest.crashId, directory, reason: reasonOf(error) });
  }
}
