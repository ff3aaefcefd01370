import type { Manifest } from "@cdh/core/bundle/manifest";
import { ElfCoreScanner } from "@cdh/core/elf/scanner";
import type { Verdict } from "../decide/verdict.ts";
import type { Work } from "../request.ts";
import type { Learning } from "../who/learn.ts";
import type { OpenBundle } from "./open-bundle.ts";

/** A core that is kept within this time needs no note: it is published before anybody could miss it. */
const NOTE_AFTER_MS = 250;

/** What a note needs. */
type Given = Pick<Work, "coreDir" | "clock" | "crash" | "crashId" | "crashedAtMs" | "version" | "settings" | "ends">;

/** What a note waits for. */
interface Beside {
  learning: Pick<Learning, "process" | "identity">;
  opening: Promise<Pick<OpenBundle, "name" | "node" | "bundle">>;
  judging: Promise<Verdict>;
}

/**
 * Leave a note about a crash whose core takes long, for whoever finds the torn bundle should this composer die.
 * @returns cancels it; to be awaited before the bundle is published or removed
 */
export function leaveNoteLater(given: Given, beside: Beside): () => Promise<void> {
  const { coreDir, clock, ends } = given;
  const over = new AbortController();
  const leaving = (async () => {
    await clock.sleep(NOTE_AFTER_MS, over.signal);
    const manifest = await describeSoFar(given, beside);
    if (manifest === undefined || over.signal.aborted) return;
    const { writeWriterNote } = await import("@cdh/core/spool/writer-note");
    await writeWriterNote(coreDir, (await beside.opening).name, manifest);
    // A note that can't be left costs nothing now.
  })().catch(() => {});
  const cancelNote = async (): Promise<void> => {
    over.abort();
    await leaving;
  };
  ends.defer(() => void cancelNote());
  return cancelNote;
}

/** Undefined when the crash is not kept. */
async function describeSoFar(given: Given, { learning, opening, judging }: Beside): Promise<Manifest | undefined> {
  const opened = await opening;
  const [crashed, identity] = [await learning.process, await learning.identity];
  const { skip, suppressed } = await judging;
  if (skip !== undefined) return undefined;
  const { describeCrash, describeStart } = await import("./describe.ts");
  return describeCrash({
    ...describeStart(given, opened),
    identity,
    suppressed,
    process: crashed,
    enrichment: undefined,
    problems: [],
    facts: new ElfCoreScanner().finish(),
    core: {
      entry: opened.bundle.start.core.name,
      compression: given.settings.compression,
      summary: { sizeBytes: 0, storedBytes: 0, crc32: 0 },
      truncatedBy: undefined,
    },
    cost: { durationMs: 0, drainMs: 0, maxRssBytes: 0 },
  });
}
