import type { CoreFacts } from "@cdh/core/elf/facts";
import { CoreMemory } from "@cdh/core/elf/random-access";
import { readGoroutines, type Goroutines } from "@cdh/unwind/goroutines/read-goroutines";
import { ProcessImage } from "@cdh/unwind/process/process-image";
import { readStacks, type ThreadStack } from "@cdh/unwind/process/read-stacks";
import { PythonStacks } from "@cdh/unwind/python/add-python";
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
export function readRawStacks(opened: OpenedFile, wishes: FileWishes, signal?: AbortSignal): Promise<RawStacks> {
  return withImage(opened, wishes, signal, async (image, facts, notes) => {
    const native = await readStacks(image, facts.threads.slice(0, THREADS_MAX), signal === undefined ? {} : { signal });
    const left =
      facts.threadCount > THREADS_MAX ? [`the stacks of ${THREADS_MAX} of ${facts.threadCount} threads`] : [];
    const python = new PythonStacks(image);
    const threads: ThreadStack[] = [];
    for (const stack of native) threads.push(await python.add(stack));
    return { threads, notes: [...notes(), ...python.notes, ...left] };
  });
}

/**
 * Read every goroutine straight from the core; undefined when no file of the crash is a Go program's.
 * @throws {CdhError} the CDH_BUNDLE family
 */
export function readRawGoroutines(
  opened: OpenedFile,
  wishes: FileWishes,
  signal?: AbortSignal,
): Promise<{ found: Goroutines | undefined; notes: string[] }> {
  return withImage(opened, wishes, signal, async (image, facts, notes) => {
    const found = await readGoroutines(image, facts.threads, signal === undefined ? {} : { signal });
    return { found, notes: [...notes(), ...(found?.notes ?? [])] };
  });
}

/** Do something with the memory of a core and the files behind it, and close them. */
async function withImage<Result>(
  opened: OpenedFile,
  wishes: FileWishes,
  signal: AbortSignal | undefined,
  work: (image: ProcessImage, facts: CoreFacts, notes: () => string[]) => Promise<Result>,
): Promise<Result> {
  const core = await opened.core();
  const facts = await opened.facts();
  const memory = new CoreMemory(facts, (offset, length) => core.read(offset, length, signal));
  const files = new ModuleFiles(wishes);
  try {
    const image = new ProcessImage(facts, (address, length) => memory.read(address, length), files);
    return await work(image, facts, () => [...files.notes]);
  } finally {
    await files.close();
  }
}
