import { ElfCoreScanner } from "@cdh/core/elf/scanner";
import { EXIT } from "@cdh/core/errors";
import { countRefused } from "../decide/count-refused.ts";
import { ownerKey } from "../decide/place-key.ts";
import type { Spared } from "../decide/spare.ts";
import type { Verdict } from "../decide/verdict.ts";
import type { Outcome, Work } from "../request.ts";
import type { TakenCore } from "../take/take-core.ts";
import type { Learning } from "../who/learn.ts";
import { describeCrash, describeStart } from "./describe.ts";
import type { OpenBundle } from "./open-bundle.ts";

/** What dismissing needs. */
type Given = Pick<
  Work,
  "crash" | "crashId" | "crashedAtMs" | "version" | "settings" | "coreDir" | "native" | "clock" | "log" | "limit"
>;

/** What the stages before made. */
interface Made {
  learning: Pick<Learning, "identity" | "process">;
  taken: Pick<TakenCore, "releaseSlot">;
  sparing: Promise<Spared>;
}

/**
 * Remove what was written of a crash that is not kept, count it where a limit left it out, and log it.
 * @param opening its failure matters no more
 */
export async function dismiss(
  given: Given,
  skip: NonNullable<Verdict["skip"]>,
  opening: Promise<OpenBundle>,
  made: Made,
): Promise<Outcome> {
  const { crash, crashId, log, limit } = given;
  const opened = await opening.catch(() => undefined);
  await opened?.file.remove();
  await limit.watch(made.taken.releaseSlot());
  if (skip.isLimited === true && opened !== undefined) await limit.watch(count(given, opened, made));
  const { pod } = await made.learning.identity;
  const say = skip.exitCode === EXIT.ok ? log.info : log.error;
  say("crash not kept", {
    crashId,
    reason: skip.reason,
    namespace: pod?.namespace,
    pod: pod?.name,
    comm: crash.comm,
    signal: crash.signal,
    pid: crash.pid,
  });
  return { kind: "skipped", reason: skip.reason, exitCode: skip.exitCode };
}

async function count(given: Given, opened: OpenBundle, { learning, sparing }: Made): Promise<void> {
  const { remembered } = await sparing;
  const identity = await learning.identity;
  const manifest = describeCrash({
    ...describeStart(given, opened),
    identity,
    process: await learning.process,
    suppressed: undefined,
    place: remembered?.key.key,
    enrichment: undefined,
    problems: [],
    facts: new ElfCoreScanner().finish(),
    core: {
      entry: opened.bundle.start.core.name,
      compression: given.settings.compression,
      summary: { sizeBytes: 0, storedBytes: 0, crc32: 0 },
      truncatedBy: "rateLimit",
    },
    cost: { durationMs: 0, drainMs: 0, maxRssBytes: 0 },
  });
  await countRefused(given, ownerKey(given.crash, identity), remembered, manifest);
}
