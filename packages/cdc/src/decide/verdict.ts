import type { Problem } from "@cdh/core/bundle/manifest";
import { timerMs } from "@cdh/core/clock";
import type { RateLimit } from "@cdh/core/composer/rate-limit";
import { within } from "@cdh/core/container/collected";
import type { Identity } from "@cdh/core/container/identify";
import { EXIT } from "@cdh/core/errors";
import { tryMeasureSpace } from "@cdh/core/files/free-space";
import { giveUpSpooled } from "../binaries/spooled.ts";
import type { Work } from "../request.ts";
import { lacksInodes } from "../take/free-space.ts";
import { ownerOf } from "../who/crash-owner.ts";
import type { Learning } from "../who/learn.ts";
import { countCrash, countLoss, LOSSES } from "./crash-counts.ts";
import { reasonToSkip } from "./filters.ts";
import { workloadOf, type Scope, type ScopedLimit, type Suppressed } from "./rate-limit.ts";

/** Whether a crash is kept. */
export interface Verdict {
  /** Why it is not, the exit status, not 0 where it should have been kept, and whether a rate limit left it out. */
  skip?: { reason: string; exitCode: number; isLimited?: true };
  /** Crashes that were not kept before this one. */
  suppressed?: Suppressed;
  problems: Problem[];
}

/** What judging needs. */
type Given = Pick<Work, "crash" | "settings" | "coreDir" | "clock" | "native">;

/**
 * Decide whether the crash is kept: the filters, the room for one more file, then the rate limits. The rest is learnt only
 * about a crash that is, from this moment on.
 * @param opening settles when the bundle's file is made or can't be: the last inode is not for the counts
 */
export async function judge(
  given: Given,
  learning: Pick<Learning, "identity" | "labels" | "enrich">,
  opening: Promise<unknown>,
): Promise<Verdict> {
  const identity = await learning.identity;
  const { labels, problems } = await learning.labels();
  const { crash } = given;
  const facts = { place: identity.place, namespace: identity.pod?.namespace, comm: crash.comm, signal: crash.signal };
  const unwanted = reasonToSkip(given.settings, { ...facts, labels });
  if (unwanted !== undefined) return { skip: { reason: unwanted, exitCode: EXIT.ok }, problems };
  const counted = await count(given, identity, opening);
  if (counted.skip === undefined) void learning.enrich();
  return { ...counted, problems: [...problems, ...counted.problems] };
}

/** Look for the room, and count the crash against its limits. */
async function count(given: Given, identity: Identity, opening: Promise<unknown>): Promise<Verdict> {
  const { settings, coreDir, clock, native } = given;
  // A spool that hangs has no count, and a crash that could not be counted is kept.
  const deadline = AbortSignal.timeout(timerMs(settings.metadataTimeoutMs));
  const inTime = async <T>(work: Promise<T>): Promise<T | undefined> => within(work, deadline).catch(() => undefined);
  await inTime(opening);
  const isShort = async (): Promise<boolean> =>
    lacksInodes(settings.keepFreeInodes, await inTime(tryMeasureSpace(coreDir)));
  // A bundle comes before the files of programs that wait to be sent.
  if ((await isShort()) && !(giveUpSpooled(coreDir) && !(await isShort()))) {
    const lost = await inTime(countLoss(coreDir, clock.now(), native));
    const reason = `too few inodes are free (KEEP_FREE_INODES), ${lost ?? "uncounted"} not kept so far`;
    return { skip: { reason, exitCode: EXIT.disk }, problems: [] };
  }
  const limits = [...limitsOf(given, identity), LOSSES];
  const decision = await inTime(countCrash(limits, coreDir, clock.now(), native));
  const doubt = decision === undefined ? "the spool did not answer in time" : decision.doubt;
  const problems = doubt === undefined || limits.length === 1 ? [] : [inexact(doubt)];
  if (decision === undefined) return { problems };
  if (!decision.allowed) {
    const whose = decision.scope === "workload" ? "" : ` of the ${decision.scope}`;
    const unsure = decision.doubt === undefined ? "" : ` (${decision.doubt})`;
    const reason = `rate limit${whose} reached, ${decision.suppressedCount} suppressed so far${unsure}`;
    return { skip: { reason, exitCode: EXIT.ok, isLimited: true }, problems };
  }
  return { ...(decision.suppressed === undefined ? {} : { suppressed: decision.suppressed }), problems };
}

function inexact(detail: string): Problem {
  return { step: "rateLimit", code: "CDH_RATE_LIMIT_INEXACT", detail };
}

/** The limits of a crash. Only the first has in its key what a tenant can vary at will. */
function limitsOf({ settings, crash }: Given, identity: Identity): ScopedLimit[] {
  if (settings.rateLimit === undefined) return [];
  const { pod, container } = identity;
  const owner = ownerOf(identity, crash);
  const limits: ScopedLimit[] = [];
  const add = (scope: Scope, limit: RateLimit | undefined, key: ScopedLimit["key"]): void => {
    if (limit !== undefined) limits.push({ ...limit, scope, key });
  };
  add("workload", settings.rateLimit, [
    pod?.namespace,
    pod?.owner?.name ?? (pod?.name === undefined ? undefined : workloadOf(pod.name)),
    container?.name ?? container?.id,
    crash.exe ?? crash.comm,
    crash.signal,
  ]);
  add("pod", settings.rateLimitPod, [owner.namespace, owner.pod]);
  // One user of the host must not cost another's crashes.
  if (identity.place !== "host") add("namespace", settings.rateLimitNamespace, [owner.namespace]);
  return limits;
}
