import type { CoreFacts, CoreSegment } from "@cdh/core/elf/facts";
import { makeRangeIndex } from "@cdh/core/elf/range-index";
import { findSymbols } from "../elf/symbols.ts";
import type { FrameDescription } from "../tables/frame-records.ts";
import type { ReadMemory } from "../tables/memory.ts";
import type { GoCode, WalkContext } from "../walk/state.ts";
import { LoadedModule } from "./loaded-module.ts";
import type { ModuleOpener } from "./module-opener.ts";

/** What of a core's facts is needed. */
export type ProcessFacts = Pick<CoreFacts, "machine" | "modules" | "mappings" | "segments">;

const PF_X = 1;
/** Instructions of AArch64 lie at multiples of this. @see Arm ARM, A64 instruction set encoding */
const ARM64_INSTRUCTION_BYTES = 4n;
/** Answers kept: every thread that waits waits in the same few places. */
const KEPT = 8192;

/** The memory and the modules of a crashed process, as far as walking its stacks needs them. */
export class ProcessImage implements WalkContext {
  readonly machine: CoreFacts["machine"];
  readonly read: ReadMemory;
  /** In the order of the core. */
  readonly modules: readonly LoadedModule[];
  readonly #find: (address: bigint) => { loaded: LoadedModule } | undefined;
  readonly #segmentOf: (address: bigint) => { segment: CoreSegment } | undefined;
  readonly #code = new Map<bigint, Promise<Uint8Array | undefined>>();
  readonly #described = new Map<bigint, ReturnType<ProcessImage["describe"]>>();
  readonly #goCode = new Map<bigint, Promise<GoCode | undefined>>();
  readonly #starts = new Map<bigint, Promise<bigint | undefined>>();
  readonly #executable = new Map<bigint, Promise<boolean>>();

  constructor(facts: ProcessFacts, read: ReadMemory, opener: ModuleOpener) {
    this.machine = facts.machine;
    this.read = read;
    const mappingOf = makeRangeIndex(facts.mappings);
    const modules = facts.modules.map((module) => ({
      start: module.start,
      end: module.end,
      loaded: new LoadedModule(module, opener, read, mappingOf),
    }));
    this.modules = modules.map(({ loaded }) => loaded);
    this.#find = makeRangeIndex(modules);
    this.#segmentOf = makeRangeIndex(
      facts.segments.map((segment) => ({
        segment,
        start: segment.vaddr,
        end: segment.vaddr + BigInt(segment.memSize),
      })),
    );
  }

  /** The module that an address is in. */
  find(address: bigint): LoadedModule | undefined {
    return this.#find(address)?.loaded;
  }

  /**
   * Tells whether an address is one of code: the core's segment says so, or, where a writer left the code's segments out,
   * the module's own headers. A stack may be executable: on arm64 what lies between instructions is no code.
   */
  async isCode(address: bigint): Promise<boolean> {
    if (this.machine?.name === "arm64" && address % ARM64_INSTRUCTION_BYTES !== 0n) return false;
    return keep(this.#executable, address, () => this.#isCode(address));
  }

  async isMadeCode(address: bigint): Promise<boolean> {
    return this.find(address) === undefined && (await this.isCode(address));
  }

  /** Read instructions: out of the core, which has the vDSO's, else out of their module's file. */
  readCode = (address: bigint, length: number): Promise<Uint8Array | undefined> =>
    // An address comes with few lengths; the longest read serves all.
    length <= 16
      ? keep(this.#code, address, () => this.#readCode(address, 16)).then((bytes) => bytes?.subarray(0, length))
      : this.#readCode(address, length);

  describe(address: bigint): Promise<{ description: FrameDescription; vaddr: bigint } | undefined> {
    return keep(this.#described, address, async () => {
      const loaded = this.find(address);
      const [tables, vaddr] = [await loaded?.tables(), await loaded?.vaddrOf(address)];
      if (tables === undefined || vaddr === undefined) return undefined;
      const description = await tables.find(vaddr);
      return description === undefined ? undefined : { description, vaddr };
    });
  }

  findGo(address: bigint): Promise<GoCode | undefined> {
    return keep(this.#goCode, address, async () => {
      const loaded = this.find(address);
      const [go, vaddr] = [await loaded?.go(), await loaded?.vaddrOf(address)];
      const found = vaddr === undefined ? undefined : await go?.find(vaddr);
      if (go === undefined || found === undefined) return undefined;
      const { name, flag } = found.fn;
      return { name, flag, frameBytes: await go.frameBytes(found), minor: (await go.version())?.minor };
    });
  }

  functionStart(address: bigint): Promise<bigint | undefined> {
    return keep(this.#starts, address, async () => {
      const loaded = this.find(address);
      const [elf, vaddr] = [await loaded?.code(), await loaded?.vaddrOf(address)];
      if (elf === undefined || vaddr === undefined) return undefined;
      for (const file of [elf, await loaded?.debugFile()]) {
        const symbol = file === undefined ? undefined : (await findSymbols(file, [vaddr])).get(vaddr);
        if (symbol !== undefined) return address - symbol.offset;
      }
      return undefined;
    });
  }

  async #isCode(address: bigint): Promise<boolean> {
    const segment = this.#segmentOf(address)?.segment;
    if (segment !== undefined && (segment.flags & PF_X) !== 0) return true;
    const loaded = this.find(address);
    const [elf, vaddr] = [await loaded?.code(), await loaded?.vaddrOf(address)];
    if (elf !== undefined) return vaddr !== undefined && elf.isExecutable(vaddr) === true;
    return loaded !== undefined && segment === undefined;
  }

  async #readCode(address: bigint, length: number): Promise<Uint8Array | undefined> {
    const held = await this.read(address, length);
    if (held !== undefined && held.length === length) return held;
    const loaded = this.find(address);
    const [elf, vaddr] = [await loaded?.file(), await loaded?.vaddrOf(address)];
    const filed = elf === undefined || vaddr === undefined ? undefined : await elf.readUpToVaddr(vaddr, length);
    return (filed?.length ?? 0) > (held?.length ?? 0) ? filed : held;
  }
}

function keep<Value>(known: Map<bigint, Promise<Value>>, address: bigint, make: () => Promise<Value>): Promise<Value> {
  const kept = known.get(address);
  if (kept !== undefined) return kept;
  const made = make();
  if (known.size < KEPT) known.set(address, made);
  return made;
}
