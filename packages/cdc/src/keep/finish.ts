import type { Manifest, Problem, TruncatedBy } from "@cdh/core/bundle/manifest";
import type { Enrichment } from "@cdh/core/container/enrich";
import { messageOfLines } from "@cdh/core/crash/crash-message";
import type { CoreFacts } from "@cdh/core/elf/facts";
import type { Spared } from "../decide/spare.ts";
import type { Verdict } from "../decide/verdict.ts";
import type { Work } from "../request.ts";
import { HOLD_BACK, type TakenCore } from "../take/take-core.ts";
import type { Learning } from "../who/learn.ts";
import { describeCrash, describeStart } from "./describe.ts";
import { finishBundle } from "./finish-bundle.ts";
import { metadataEntries } from "./metadata-entries.ts";
import type { OpenBundle } from "./open-bundle.ts";
import { explainShortCore } from "./short-core.ts";
import { drainProblems, reasonForTruncation } from "./truncation.ts";

/** What finishing needs. */
type Given = Pick<
  Work,
  | "crash"
  | "crashId"
  | "crashedAtMs"
  | "startedAt"
  | "settings"
  | "clock"
  | "native"
  | "limit"
  | "version"
  | "problems"
  | "coreDir"
  | "stacks"
>;

/** What the stages before made. */
export interface Made {
  learning: Pick<Learning, "process" | "identity" | "enrich">;
  bundle: OpenBundle;
  taken: TakenCore;
  /** Milliseconds that the crashed process was held. */
  drainMs: number;
  verdict: Verdict;
  spared: Spared;
  /** Of the try to hand the crash on. */
  chainProblems: readonly Problem[];
}

/** A bundle that is written to its end and has no name yet. */
export interface FinishedBundle {
  manifest: Manifest;
  enrichment: Enrichment;
}

/**
 * Write what ends the bundle: the core's last frames and its index, the small entries, the manifest. Problems stand in it in
 * the order of the stages: settings, the kernel's words, handing on, the process, its pod, the verdict, the file, the core,
 * what else was learnt, what was cut.
 * @throws {CdhError} CDH_SPOOL_FULL or CDH_DISK when not even a shortened bundle could be written
 */
export async function finish(given: Given, made: Made): Promise<FinishedBundle> {
  const { crash, settings, clock } = given;
  const { learning, bundle, taken, verdict, spared, drainMs } = made;
  if (spared.wholeCore !== undefined) taken.giveUp();
  const core = await settle(given, taken, spared);
  const crashed = await learning.process;
  const identity = await learning.identity;
  const enrichment = await learning.enrich();
  const { name } = bundle;
  const metadata = metadataEntries({
    name,
    process: crashed,
    enrichment,
    include: settings.includeProcInfo,
    artefacts: given.stacks?.artefacts,
  });
  const sources = [
    given,
    crash,
    { problems: made.chainProblems },
    crashed,
    identity,
    verdict,
    spared,
    bundle,
    core,
    { problems: given.stacks?.problems ?? [] },
    enrichment,
  ];
  const problems = [...sources, metadata].flatMap((source) => source.problems);
  const manifest = await finishBundle({
    file: bundle.file,
    bundle: bundle.bundle,
    pipeline: taken.pipeline,
    entries: metadata.entries,
    truncatedBy: core.truncatedBy,
    manifestName: `${name}-manifest.json`,
    describe: (summary, truncatedBy) =>
      describeCrash({
        ...describeStart(given, bundle),
        identity,
        enrichment,
        problems,
        process: crashed,
        facts: core.facts,
        suppressed: verdict.suppressed,
        place: spared.remembered?.key.key,
        placeUnknown: spared.placeUnknown,
        wholeCore: spared.wholeCore,
        message: given.stacks?.message ?? messageOfLines(enrichment.foundLines ?? [], crash.signal),
        threads: given.stacks?.threads,
        core: { entry: bundle.bundle.start.core.name, compression: settings.compression, summary, truncatedBy },
        cost: {
          durationMs: Math.round(clock.monotonic() - given.startedAt),
          drainMs,
          maxRssBytes: process.resourceUsage().maxRSS * 1024,
        },
      }),
  });
  return { manifest, enrichment };
}

/** What is known of the core once all of it is written. */
interface SettledCore {
  facts: CoreFacts;
  truncatedBy: TruncatedBy | undefined;
  problems: Problem[];
}

/** Let the core's last frames be compressed and written, then give the slot to another. */
async function settle(
  { limit, native, coreDir, clock, stacks }: Given,
  taken: TakenCore,
  spared: Spared,
): Promise<SettledCore> {
  const { pipeline, drained, limitedBy } = taken;
  const walking = stacks?.walk({ coreDir, native, clock });
  await pipeline.settle();
  // Nobody waits for us any more, and what ends the bundle may have the memory that the core took.
  if (pipeline.frameCount > HOLD_BACK) native.collectGarbage();
  await limit.watch(taken.releaseSlot());
  await walking;
  const facts = taken.finishFacts();
  if (pipeline.frameCount > HOLD_BACK) native.collectGarbage();
  const truncatedBy =
    spared.wholeCore === undefined
      ? reasonForTruncation(drained, pipeline, limitedBy, limit.signal.aborted)
      : "keptEnough";
  const short = truncatedBy === undefined ? explainShortCore(facts) : [];
  return { facts, truncatedBy, problems: [...drainProblems(drained, truncatedBy), ...short, ...facts.problems] };
}
