import type { CoreFacts } from "@cdh/core/elf/facts";
import type { Work } from "../request.ts";
import type { CrashPlace } from "../stack/crash-place.ts";
import type { Learning } from "../who/learn.ts";

/**
 * Find out where a crash happened, and read the memory of its stacks, while its process is held. Never rejects.
 * @param notes what the core's notes say, undefined where they did not come
 */
export async function findPlace(
  { stacks, crash, settings }: Pick<Work, "stacks" | "crash" | "settings">,
  learning: Pick<Learning, "process">,
  notes: Promise<Pick<CoreFacts, "threads" | "machine" | "auxv"> | undefined>,
): Promise<CrashPlace> {
  if (stacks === undefined || !settings.stack) return { unknown: "stacks are not read (STACK)" };
  const [crashed, facts] = [await learning.process, await notes];
  if (facts === undefined) return { unknown: "the core has no notes" };
  const place: CrashPlace =
    settings.keepPerSite === undefined
      ? { unknown: "nobody asks for it" }
      : await stacks.place(facts, crashed, crash.signal);
  await stacks.begin(facts, crashed);
  return place;
}
