import { parseAuxv } from "./auxv.ts";
import type { ElfLayout } from "./bytes.ts";
import type {
  AuxiliaryVector,
  CoreFacts,
  CoreMachine,
  CoreMapping,
  CoreProcess,
  CoreSignal,
  CoreThread,
  ElfLimits,
} from "./facts.ts";
import { parseFileMappings } from "./file-mappings.ts";
import { NT_AUXV, NT_FILE, NT_PRPSINFO, NT_PRSTATUS, NT_SIGINFO, type Note } from "./notes.ts";
import { tryParsePrpsinfo, tryParsePrstatus } from "./prstatus.ts";
import { tryParseSiginfo } from "./siginfo.ts";

const STATUS_BYTES = 512;
const SMALL_NOTE_BYTES = 256;
const AUXV_BYTES = 8192;

/** Collect what the notes of a core say: the first of each kind counts, and every thread. */
export class CoreNotes {
  readonly #layout: ElfLayout;
  readonly #machine: CoreMachine;
  readonly #limits: ElfLimits;
  readonly #problem: (code: string, detail: string) => void;
  readonly threads: CoreThread[] = [];
  threadCount = 0;
  #signal: CoreSignal | undefined;
  #cursig = 0;
  #process: CoreProcess | undefined;
  #auxv: AuxiliaryVector | undefined;
  #mappings: CoreMapping[] | undefined;
  #hasFileNote = false;
  #isFileNoteCut = false;

  constructor(
    layout: ElfLayout,
    machine: CoreMachine,
    limits: ElfLimits,
    problem: (code: string, detail: string) => void,
  ) {
    this.#layout = layout;
    this.#machine = machine;
    this.#limits = limits;
    this.#problem = problem;
  }

  get auxv(): AuxiliaryVector | undefined {
    return this.#auxv;
  }

  /** The file mappings, or undefined while NT_FILE has not come. */
  get mappings(): readonly CoreMapping[] | undefined {
    return this.#mappings;
  }

  /** Tell whether NT_FILE was longer than is read, or damaged. */
  get isFileNoteCut(): boolean {
    return this.#isFileNoteCut;
  }

  /** Say how much of a note's descriptor is wanted, in bytes. */
  keep(name: string, type: number): number {
    // Kernels give NT_SIGINFO and NT_FILE under CORE too; a note under another name with these numbers is another note.
    if (name !== "CORE") return 0;
    if (type === NT_PRSTATUS) return STATUS_BYTES;
    if (type === NT_PRPSINFO) return this.#process === undefined ? SMALL_NOTE_BYTES : 0;
    if (type === NT_SIGINFO) return this.#signal === undefined ? SMALL_NOTE_BYTES : 0;
    if (type === NT_AUXV) return this.#auxv === undefined ? AUXV_BYTES : 0;
    if (type !== NT_FILE || this.#hasFileNote) return 0;
    // The only one that is megabytes long: a second one is not kept beside it.
    this.#hasFileNote = true;
    return this.#limits.fileNoteBytes;
  }

  take(note: Note): void {
    if (note.type === NT_PRSTATUS) this.#takeThread(note);
    else if (note.type === NT_PRPSINFO)
      this.#process = this.#read("NT_PRPSINFO", tryParsePrpsinfo(note.desc, this.#layout));
    else if (note.type === NT_SIGINFO)
      this.#signal = this.#read("NT_SIGINFO", tryParseSiginfo(note.desc, this.#layout, this.#machine.elfMachine));
    else if (note.type === NT_AUXV) this.#auxv = parseAuxv(note.desc, this.#layout);
    else if (note.type === NT_FILE) {
      const { mappings, partial } = parseFileMappings(note.desc, this.#layout, this.#limits.mappings);
      if (partial)
        this.#problem(
          "CDH_CORE_LIMIT",
          `NT_FILE: the first ${mappings.length} mappings of a note of ${note.descBytes} bytes`,
        );
      this.#mappings = mappings;
      this.#isFileNoteCut = partial;
    }
  }

  /** Give what was found, as the fields of {@link CoreFacts}. */
  facts(): Pick<CoreFacts, "signal" | "process" | "threads" | "threadCount" | "mappings" | "auxv"> {
    const signal = this.#signal ?? (this.#cursig > 0 ? { number: this.#cursig } : undefined);
    return {
      ...(signal === undefined ? {} : { signal }),
      ...(this.#process === undefined ? {} : { process: this.#process }),
      threads: this.threads,
      threadCount: this.threadCount,
      mappings: this.#mappings ?? [],
      ...(this.#auxv === undefined ? {} : { auxv: this.#auxv }),
    };
  }

  #takeThread(note: Note): void {
    this.threadCount += 1;
    if (this.threadCount > this.#limits.threads) return;
    const status = this.#read("NT_PRSTATUS", tryParsePrstatus(note.desc, this.#layout, this.#machine.name));
    if (status === undefined) return;
    const crashed = this.threadCount === 1;
    if (crashed) this.#cursig = status.cursig;
    const { tid, pc, sp, fp, registers } = status;
    const known = {
      ...(pc === undefined ? {} : { pc }),
      ...(sp === undefined ? {} : { sp }),
      ...(fp === undefined ? {} : { fp }),
    };
    const isKept = this.threads.length < this.#limits.registerSets;
    this.threads.push({ tid, crashed, ...known, ...(isKept ? { registers } : {}) });
  }

  #read<T>(what: string, value: T | undefined): T | undefined {
    if (value === undefined) this.#problem("CDH_CORE_DAMAGED", `${what} cannot be read`);
    return value;
  }
}
