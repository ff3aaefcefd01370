import { DUMPABLE_AS_ROOT_ONLY } from "@cdh/core/bundle/dump-info";
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
import { hashUnnamed } from "./hash-unnamed.ts";
import { metadataEntries } from "./metadata-entries.ts";
import type { OpenBundle } from "./open-bundle.ts";
import { keepRaw, notPacked, packCore, type KeptCore } from "./pack-core.ts";
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
  | "ends"
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
  const core = await settle(given, bundle, taken, spared);
  const crashed = await learning.process;
  const identity = await learning.identity;
  const enrichment = await learning.enrich();
  const isForOthers = crash.dumpMode !== DUMPABLE_AS_ROOT_ONLY;
  const hashed = isForOthers
    ? await hashUnnamed(core.facts, given.stacks?.kept ?? [], clock)
    : { facts: core.facts, problems: [] };
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
    hashed,
    enrichment,
  ];
  const problems = [...sources, metadata].flatMap((source) => source.problems);
  const endWith = (kept: KeptCore, mayShrink: boolean): Promise<Manifest> =>
    finishBundle({
      ...kept,
      mayShrink,
      file: bundle.file,
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
          facts: hashed.facts,
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
            take: taken.taking,
          },
        }),
    });
  if (core.packed === undefined) return { manifest: await endWith(core.raw, true), enrichment };
  try {
    return { manifest: await endWith(core.packed, false), enrichment };
  } catch (error) {
    // No core is cut for the sake of its packing.
    await bundle.file.dropPacked();
    problems.push(notPacked(error));
    return { manifest: await endWith(await keepRaw(given, bundle, taken), true), enrichment };
  }
}

/** What is known of the core once all of it is written. */
interface SettledCore {
  facts: CoreFacts;
  truncatedBy: TruncatedBy | undefined;
  problems: Problem[];
  /** As it was taken. */
  raw: KeptCore;
  /** Its packed copy, where it was taken raw and could be packed. */
  packed: KeptCore | undefined;
}

/** Let the core's last frames be compressed and written, pack what was taken raw, then give the slot to another. */
async function settle(given: Given, bundle: OpenBundle, taken: TakenCore, spared: Spared): Promise<SettledCore> {
  const { limit, native, coreDir, clock, stacks } = given;
  const { pipeline, drained, limitedBy } = taken;
  const walking = stacks?.walk({ coreDir, native, clock });
  if (!pipeline.isStoring && spared.wholeCore === undefined) await taken.enterSlot(limit.signal);
  await pipeline.settle();
  const truncatedBy =
    spared.wholeCore === undefined
      ? reasonForTruncation(drained, pipeline, limitedBy, limit.signal.aborted)
      : "keptEnough";
  const problems = [...drainProblems(drained, truncatedBy), ...taken.problems];
  const kept = await keep(given, bundle, taken);
  // Nobody waits for us any more, and what ends the bundle may have the memory that the core took.
  if (pipeline.frameCount > HOLD_BACK) native.collectGarbage();
  await limit.watch(taken.releaseSlot());
  await walking;
  const facts = taken.finishFacts();
  if (pipeline.frameCount > HOLD_BACK) native.collectGarbage();
  const short = truncatedBy === undefined ? explainShortCore(facts) : [];
  return { ...kept, facts, truncatedBy, problems: [...problems, ...short, ...facts.problems, ...kept.problems] };
}

/** Pack a core that was taken raw. */
async function keep(
  given: Given,
  bundle: OpenBundle,
  taken: TakenCore,
): Promise<Pick<SettledCore, "raw" | "packed" | "problems">> {
  const { pipeline } = taken;
  const raw = { bundle: bundle.bundle, pipeline };
  if (!pipeline.isStoring || pipeline.frameCount === 0) return { raw, packed: undefined, problems: [] };
  // On a full disk there is no room for a second copy.
  const packed = pipeline.failure === undefined ? await packCore(given, bundle, taken) : undefined;
  if (packed !== undefined && !("failed" in packed)) return { raw, packed, problems: [] };
  const problems = packed === undefined ? [] : [packed.failed];
  return { raw: await keepRaw(given, bundle, taken), packed: undefined, problems };
}
