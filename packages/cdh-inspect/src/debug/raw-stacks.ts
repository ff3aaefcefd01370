import { CoreMemory } from "@cdh/core/elf/random-access";
import { ProcessImage } from "@cdh/unwind/process/process-image";
import { readStacks, type ThreadStack } from "@cdh/unwind/process/read-stacks";
import type { OpenedFile } from "../read/opened-file.ts";
import type { FileWishes } from "./find-files.ts";
import { ModuleFiles } from "./module-files.ts";

/** What the core gives without a debugger. */
export interface RawStacks {
  threads: ThreadStack[];
  /** Why names, frames or threads are missing. */
  notes: string[];
}

/** Threads whose stacks are walked; more than a person reads. */
const THREADS_MAX = 4096;

/**
 * Walk the stacks of all threads straight from the core's stack pages, and name what can be named.
 * @throws {CdhError} the CDH_BUNDLE family
 */
export async function readRawStacks(opened: OpenedFile, wishes: FileWishes, signal?: AbortSignal): Promise<RawStacks> {
  const core = await opened.core();
  const facts = await opened.facts();
  const memory = new CoreMemory(facts, (offset, length) => core.read(offset, length, signal));
  const files = new ModuleFiles(wishes);
  try {
    const image = new ProcessImage(facts, (address, length) => memory.read(address, length), files);
    const threads = await readStacks(
      image,
      facts.threads.slice(0, THREADS_MAX),
      signal === undefined ? {} : { signal },
    );
    const notes = [...files.notes];
    if (facts.threadCount > THREADS_MAX) notes.push(`the stacks of ${THREADS_MAX} of ${facts.threadCount} threads`);
    return { threads, notes };
  } finally {
    await files.close();
  }
}
