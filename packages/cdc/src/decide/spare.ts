import type { Manifest, Problem } from "@cdh/core/bundle/manifest";
import { timerMs } from "@cdh/core/clock";
import { within } from "@cdh/core/container/collected";
import { reasonOf } from "@cdh/core/errors";
import { lostCores } from "@cdh/core/spool/lost-cores";
import type { Work } from "../request.ts";
import type { CrashPlace, KnownPlace } from "../stack/crash-place.ts";
import type { Learning } from "../who/learn.ts";
import { changePlace, TEXT_MAX, type PlaceEntry } from "./kept-cores-file.ts";
import { decideCore, settleCore, type WholeCore } from "./kept-cores.ts";
import { UNHURRIED_MS } from "./locked-state.ts";
import { findRemembered, placeKey, rememberCalls, type PlaceKey } from "./place-key.ts";
import type { Verdict } from "./verdict.ts";

/** Whether a core that is wanted is taken, or enough of its place were. */
export interface Spared {
  /** What stands for the core; absent: it is taken. */
  wholeCore?: WholeCore;
  /** Where its place is remembered, absent where none is known. */
  remembered?: { place: KnownPlace; key: PlaceKey };
  /** Why its place is not known, so that its core is taken however many of it there are. */
  placeUnknown?: string;
  problems: Problem[];
}

type Given = Pick<Work, "crash" | "crashId" | "settings" | "coreDir" | "clock" | "native" | "stacks" | "log">;

/** What is waited for. */
interface Beside {
  learning: Pick<Learning, "identity">;
  judging: Promise<Verdict>;
  placing: Promise<CrashPlace>;
}

/** Longer than any composer may take a core, where TIMEOUT sets no end. */
const TAKING_MAX_MS = 15 * 60_000;
/** Of METADATA_TIMEOUT, which ends all of it: so long other composers are waited for. */
const WAIT_PART = 0.8;

/**
 * Decide whether the core is taken, once the crash is wanted. Where anything is in doubt it is: the place, whose it is, what is
 * remembered.
 */
export async function spare(given: Given, { learning, judging, placing }: Beside): Promise<Spared> {
  const { settings, crash, crashId, log } = given;
  if (settings.keepPerSite === undefined) return { problems: [] };
  const place = await placing;
  const key = placeKey(crash, await learning.identity, place);
  if (key === undefined || !("hash" in place)) {
    const placeUnknown = "unknown" in place ? place.unknown : "whose it is was not proven";
    if ((await judging).skip === undefined)
      log.info("KEEP_PER_SITE does not count this core: its place is not known", { crashId, why: placeUnknown });
    return { placeUnknown, problems: [] };
  }
  if ((await judging).skip !== undefined) return { remembered: { place, key }, problems: [] };
  try {
    return await inTime(given, () => decide(given, place, key));
  } catch (error) {
    const detail = `the core is taken: what is remembered of others cannot be read (${reasonOf(error)})`;
    log.warn("KEEP_PER_SITE does not count this core", { crashId, why: reasonOf(error) });
    return { remembered: { place, key }, problems: [trouble(detail)] };
  }
}

async function decide(given: Given, place: KnownPlace, key: PlaceKey): Promise<Spared> {
  const { settings, crashId, clock } = given;
  const nowMs = clock.now();
  const takingMs = settings.timeoutMs > 0 ? Math.min(2 * settings.timeoutMs, TAKING_MAX_MS) : TAKING_MAX_MS;
  const limit = settings.keepPerSite ?? { count: Number.POSITIVE_INFINITY, windowMs: 0 };
  const lost = await lostCores(given.coreDir);
  // The core is read on meanwhile, and its process goes when that is done: a burst of crashes costs nobody time in the line.
  const waitMs = Math.min(UNHURRIED_MS, WAIT_PART * settings.metadataTimeoutMs);
  return await changePlace(
    { ...given, nowMs, waitMs },
    (places) => findRemembered(places, key, place),
    (entry, found, isDamaged): { entry: PlaceEntry | undefined; result: Spared } => {
      const { cores, wholeCore } = decideCore(
        (entry?.cores ?? []).filter((core) => !lost.has(core.crashId)),
        limit,
        { crashId, nowMs, takingMs },
      );
      const { owner, workload, of } = key;
      const next: PlaceEntry = { ...entry, owner, workload, of, until: nowMs + limit.windowMs, cores };
      const problems = isDamaged ? [trouble("what was remembered of kept cores is damaged, and is begun anew")] : [];
      const remembered = { place, key: { ...key, key: found } };
      if (wholeCore === undefined) return { entry: next, result: { remembered, problems } };
      return { entry, result: { remembered, problems, wholeCore } };
    },
  );
}

/** Remember how a core ended, and what its crash is called. Never throws: what is not remembered is taken again. */
export async function settleSpared(given: Given, { remembered, wholeCore }: Spared, manifest: Manifest): Promise<void> {
  const { clock, crashId, log } = given;
  if (remembered === undefined || wholeCore !== undefined) return;
  const { core, site, signature, bundle } = manifest;
  const calls = rememberCalls(remembered.place, manifest);
  try {
    await changePlace(
      { ...given, nowMs: clock.now(), waitMs: UNHURRIED_MS },
      () => remembered.key.key,
      (entry) => {
        if (entry === undefined) return { entry, result: undefined };
        const cores = settleCore(entry.cores, crashId, core.complete ? bundle : undefined);
        const known = {
          ...(site === undefined ? {} : { site }),
          ...(signature === undefined || signature.length > TEXT_MAX ? {} : { signature }),
          ...(entry.spots === undefined ? calls : {}),
        };
        return { entry: { ...entry, ...known, cores }, result: undefined };
      },
    );
  } catch (error) {
    log.debug("not remembered that its core was taken", { crashId, reason: reasonOf(error) });
  }
}

async function inTime<T>({ settings }: Pick<Given, "settings">, work: () => Promise<T>): Promise<T> {
  return await within(work(), AbortSignal.timeout(timerMs(settings.metadataTimeoutMs)));
}

function trouble(detail: string): Problem {
  return { step: "keepPerSite", code: "CDH_DAMAGED", detail };
}
