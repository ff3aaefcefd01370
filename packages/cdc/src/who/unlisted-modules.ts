import type { Problem } from "@cdh/core/bundle/manifest";
import type { HeldModules } from "@cdh/core/container/held-modules";
import type { CoreFacts, CoreModule } from "@cdh/core/elf/facts";
import type { ElfCoreScanner } from "@cdh/core/elf/scanner";

/**
 * Learn the modules from the crashed process where its core does not list them: the kernel leaves the list out when it
 * would be longer than kernel.core_file_note_size_limit, which 65,536 mappings or long paths make it.
 */
export class UnlistedModules {
  readonly #scanner: ElfCoreScanner;
  readonly #read: () => Promise<HeldModules | undefined>;
  #reading: Promise<void> | undefined;
  #held: HeldModules | undefined;

  /** @param read asked once, as soon as the core's notes have passed; ends by itself and never rejects */
  constructor(scanner: ElfCoreScanner, read: () => Promise<HeldModules | undefined>) {
    this.#scanner = scanner;
    this.#read = read;
  }

  /** Show the scanner the next bytes of the core. */
  push(chunk: Uint8Array): void {
    this.#scanner.push(chunk);
    if (this.#scanner.lacksFiles) this.want();
  }

  /** Ask the process for its modules, once. */
  want(): void {
    this.#reading ??= this.#read().then((held) => void (this.#held = held));
  }

  /** Wait for what is being read: afterwards the process may go. */
  async settled(): Promise<void> {
    await this.#reading;
  }

  /** Give the core's facts, with the process's modules where the core lists none or not all. */
  complete(facts: CoreFacts): CoreFacts {
    if (this.#held === undefined || this.#held.modules.length === 0) return facts;
    const { modules, whole } = this.#held;
    const isMended = ({ code, detail = "" }: Problem): boolean =>
      whole && (code === "CDH_CORE_FILES" || detail.startsWith("NT_FILE:"));
    const problems = facts.problems.filter((problem) => !isMended(problem));
    return { ...facts, modules: merge(modules, facts), problems };
  }
}

function merge(held: readonly CoreModule[], { modules: listed, auxv }: CoreFacts): CoreModule[] {
  const known = new Map(listed.map((module) => [module.start, module]));
  const starts = new Set(held.map(({ start }) => start));
  const entry = auxv?.entry ?? auxv?.phdr;
  const isProgram = ({ start, end }: CoreModule): boolean => entry !== undefined && start <= entry && entry < end;
  return [
    ...held.map((module): CoreModule => {
      // Where the core's list was cut, so may be the end of its last module.
      const merged = { ...known.get(module.start), ...module };
      return isProgram(merged) ? { ...merged, executable: true } : merged;
    }),
    ...listed.filter(({ start }) => !starts.has(start)),
  ];
}
