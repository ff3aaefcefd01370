import type { Clock } from "@cdh/core/clock";
import { ElfCoreScanner } from "@cdh/core/elf/scanner";
import { writeWriterNote } from "@cdh/core/spool/writer-note";
import { describeCrash, type CrashDescription } from "./describe.ts";

/** A core that is kept within this time needs no note: it is published before anybody could miss it. */
const NOTE_AFTER_MS = 250;

/** What a note is made of, once it is known. */
export type NoteFacts = Omit<CrashDescription, "core" | "cost" | "facts" | "enrichment" | "problems"> & {
  entry: string;
  compression: CrashDescription["core"]["compression"];
};

/**
 * Leave a note about a crash whose core takes long, for whoever finds the torn bundle should this composer die.
 * @param know resolves when the facts are known; undefined when the crash is not kept
 * @returns ends it; to be awaited before the bundle is published or removed
 */
export function leaveNoteLater(
  coreDir: string,
  clock: Clock,
  know: () => Promise<NoteFacts | undefined>,
): () => Promise<void> {
  const over = new AbortController();
  const leaving = (async () => {
    await clock.sleep(NOTE_AFTER_MS, over.signal);
    const facts = await know();
    if (facts === undefined || over.signal.aborted) return;
    await writeWriterNote(coreDir, facts.name, describeSoFar(facts));
    // A note that can't be left costs nothing now.
  })().catch(() => {});
  return async () => {
    over.abort();
    await leaving;
  };
}

function describeSoFar({ entry, compression, ...known }: NoteFacts): ReturnType<typeof describeCrash> {
  return describeCrash({
    ...known,
    enrichment: undefined,
    problems: [],
    facts: new ElfCoreScanner().finish(),
    core: { entry, compression, summary: { sizeBytes: 0, storedBytes: 0, crc32: 0 }, truncatedBy: undefined },
    cost: { durationMs: 0, drainMs: 0, maxRssBytes: 0 },
  });
}
