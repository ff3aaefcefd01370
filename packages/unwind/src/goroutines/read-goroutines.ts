import { type CoreThread } from "@cdh/core/elf/facts";
import type { GoVersion } from "../go/build-version.ts";
import type { GoLine } from "../go/go-program.ts";
import { GO_LAYOUTS, type GoLayout } from "../go/layouts.ts";
import type { LoadedModule } from "../process/loaded-module.ts";
import type { ProcessImage } from "../process/process-image.ts";
import { nameWalked, type NamedStack } from "../process/read-stacks.ts";
import { readWord, readWords } from "../tables/memory.ts";
import { walkStack, type WalkedStack } from "../walk/walk-stack.ts";
import { findGoroutineList, type GoroutineList } from "./find-list.ts";
import { readGoroutine, type GoroutineState, type RawGoroutine, type SavedPlace } from "./read-goroutine.ts";

/** One goroutine. Absent means not known. */
export interface Goroutine {
  id: number;
  state: Exclude<GoroutineState, "dead" | "idle">;
  /** As Go's own traces say it: `chan receive`, `sync.Mutex.Lock`. */
  waitReason?: string;
  /** Thread that runs it. */
  tid?: number;
  /** It ran on the thread that crashed. */
  crashed?: true;
  /** The runtime's own. */
  system?: true;
  /** The goroutine that started it (Go 1.21 and newer). */
  parent?: number;
  /** The `go` statement. */
  createdBy?: GoLine;
  /** Absent where it was not read: beyond {@link ReadGoroutinesOptions.stacks}, or it ran on a thread that the core does not have. */
  stack?: NamedStack;
}

/** All goroutines of a process. */
export interface Goroutines {
  version: string;
  /** In the order of the runtime's list; the crashed one first. */
  goroutines: Goroutine[];
  /** What is not there, and why. */
  notes: string[];
}

/** Bounds. */
export interface ReadGoroutinesOptions {
  /** Goroutines listed at most. */
  goroutines?: number;
  /** Stacks walked at most. */
  stacks?: number;
  signal?: AbortSignal;
}

const GOROUTINES_MAX = 100_000;
/** Entries of the list that are looked at: those of goroutines that ended stay in it. */
const ENTRIES_MAX = 1_000_000;
/** Entries that are no goroutines, until the list is no longer believed. */
const DAMAGED_MAX = 1000;
/** Frames of all stacks together that are walked. */
const FRAMES_MAX = 1_000_000;
const STACKS_MAX = 10_000;
/** Entries of the list that are read at once. */
const CHUNK = 512;
const WALK_LIMITS = { frames: 256, outermost: 32, steps: 600_000 };
/** Fewer for those that did not crash, where there are many. */
const SHORT_LIMITS = { frames: 64, outermost: 16, steps: 20_000 };
/** Above so many goroutines the stacks of those that did not crash are cut sooner. */
const MANY = 256;
/** Functions of the runtime that run the program's own code. */
const OWN_STARTS = new Set(["runtime.main", "runtime.handleAsyncEvent", "runtime.runFinalizers", "runtime.runfinq"]);

/**
 * Read every goroutine of a Go process: its state, what it waits for, who started it, its stack.
 * @param threads the core's, with registers: they have the stacks of those that run
 * @returns undefined when the process has no Go code
 */
export async function readGoroutines(
  image: ProcessImage,
  threads: readonly CoreThread[],
  options: ReadGoroutinesOptions = {},
): Promise<Goroutines | undefined> {
  for (const loaded of image.modules) {
    options.signal?.throwIfAborted();
    const version = await (await loaded.go())?.version();
    if (version === undefined) continue;
    return new Reader(image, loaded, threads, options).read(version);
  }
  return undefined;
}

class Reader {
  readonly #image: ProcessImage;
  readonly #loaded: LoadedModule;
  readonly #threads: ReadonlyMap<number, CoreThread>;
  readonly #options: ReadGoroutinesOptions;
  readonly #notes: string[] = [];
  readonly #lines = new Map<bigint, Promise<GoLine | undefined>>();

  constructor(
    image: ProcessImage,
    loaded: LoadedModule,
    threads: readonly CoreThread[],
    options: ReadGoroutinesOptions,
  ) {
    this.#image = image;
    this.#loaded = loaded;
    this.#threads = new Map(threads.map((thread) => [thread.tid, thread]));
    this.#options = options;
  }

  async read({ text: version, minor }: GoVersion): Promise<Goroutines> {
    const layout = GO_LAYOUTS.get(minor);
    const is64 = this.#image.machine?.bits === 64;
    const list =
      layout === undefined || !is64 ? undefined : await findGoroutineList(this.#loaded, this.#image.read, layout);
    if (layout === undefined || list === undefined) {
      const why = !is64
        ? "only those of 64-bit machines are read"
        : layout === undefined
          ? "where this version keeps them is not known"
          : "the core does not show where they are";
      return { version, goroutines: [], notes: [`no goroutines of ${version}: ${why}`] };
    }
    const raw = await this.#readAll(list, layout);
    const goroutines = await this.#describeAll(raw, layout);
    return { version, goroutines, notes: this.#notes };
  }

  async #readAll({ address, count }: GoroutineList, layout: GoLayout): Promise<RawGoroutine[]> {
    const found: RawGoroutine[] = [];
    const seen = new Set<bigint>();
    const { goroutines: most = GOROUTINES_MAX } = this.#options;
    let damaged = 0;
    for (let at = 0; at < count; at += CHUNK) {
      if (at >= ENTRIES_MAX || damaged > DAMAGED_MAX) {
        this.#notes.push(`${at} of ${count} entries of the list of goroutines are looked at`);
        break;
      }
      this.#options.signal?.throwIfAborted();
      const words = await readWords(this.#image.read, address + BigInt(8 * at), Math.min(CHUNK, count - at));
      if (words === undefined) {
        this.#notes.push(`the core holds the addresses of ${at} of ${count} goroutines`);
        break;
      }
      for (const one of words) {
        const isKnown = seen.has(one);
        seen.add(one);
        const goroutine = isKnown ? undefined : await readGoroutine(one, this.#image.read, layout);
        if (goroutine === undefined || goroutine.id > BigInt(Number.MAX_SAFE_INTEGER)) damaged += 1;
        else if (goroutine.state !== "dead" && goroutine.state !== "idle") found.push(goroutine);
      }
      if (found.length < most || at + CHUNK >= count) continue;
      this.#notes.push(`more than ${most} goroutines: the others are not listed`);
      break;
    }
    if (damaged > 0) this.#notes.push(`${damaged} entries of the list of goroutines are damaged`);
    return found.slice(0, most);
  }

  async #describeAll(all: readonly RawGoroutine[], layout: GoLayout): Promise<Goroutine[]> {
    const { stacks: most = STACKS_MAX, signal } = this.#options;
    const placed: { raw: RawGoroutine; thread: CoreThread | undefined }[] = [];
    for (const raw of all) placed.push({ raw, thread: await this.#threadOf(raw, layout) });
    const rank = ({ thread }: (typeof placed)[number]): number =>
      thread?.crashed === true ? 0 : thread === undefined ? 2 : 1;
    placed.sort((left, right) => rank(left) - rank(right));
    const walked: (WalkedStack | undefined)[] = [];
    let frames = 0;
    for (const { raw, thread } of placed.slice(0, most)) {
      if (frames > FRAMES_MAX) break;
      signal?.throwIfAborted();
      const limits = thread?.crashed === true || placed.length <= MANY ? WALK_LIMITS : SHORT_LIMITS;
      const stack = await this.#walk(raw, thread, limits);
      frames += (stack?.frames.length ?? 0) + (stack?.leftOut?.count ?? 0);
      walked.push(stack);
    }
    if (placed.length > walked.length)
      this.#notes.push(`the stacks of ${walked.length} of ${placed.length} goroutines are read`);
    const known = walked.filter((one) => one !== undefined);
    const named = await nameWalked(this.#image, known, signal === undefined ? {} : { signal });
    const stacks = new Map(known.map((one, index) => [one, named[index]]));
    const described: Goroutine[] = [];
    for (const [index, { raw, thread }] of placed.entries()) {
      const stack = walked[index];
      described.push(await this.#describe(raw, thread, stack === undefined ? undefined : stacks.get(stack)));
    }
    return described;
  }

  /** The thread that a goroutine runs on, or that is in the kernel or in C for it. */
  async #threadOf({ address, state, m }: RawGoroutine, layout: GoLayout): Promise<CoreThread | undefined> {
    if (m === 0n || (state !== "running" && state !== "syscall")) return undefined;
    const { read } = this.#image;
    if ((await readWord(read, m + BigInt(layout.current), 8)) !== address) return undefined;
    const tid = await readWord(read, m + BigInt(layout.thread), 8);
    return tid === undefined ? undefined : this.#threads.get(Number(tid));
  }

  async #walk(
    raw: RawGoroutine,
    thread: CoreThread | undefined,
    limits: typeof WALK_LIMITS,
  ): Promise<WalkedStack | undefined> {
    const ofThread = thread === undefined ? undefined : await walkStack(thread, this.#image, limits);
    const { sp } = raw.syscall;
    if (ofThread !== undefined && (ofThread.end.kind === "outermost" || sp === 0n)) return ofThread;
    // What it saved last is of an earlier time for one that runs.
    if (raw.state === "running") return ofThread;
    return this.#walkSaved(raw, sp === 0n || raw.state !== "syscall" ? raw.saved : raw.syscall, limits);
  }

  async #walkSaved({ stack }: RawGoroutine, place: SavedPlace, limits: typeof WALK_LIMITS): Promise<WalkedStack> {
    const { pc, sp, fp, lr } = place;
    if (sp <= stack.low || sp > stack.high) return { frames: [], end: { kind: "noMemory", address: sp } };
    if (!(await this.#image.isCode(pc))) return { frames: [], end: { kind: "notCode", value: pc } };
    const found = await this.#find(pc);
    const isReturn = found === undefined || found.offset !== found.fn.start;
    const registers = { x30: lr };
    return walkStack({ tid: 0, crashed: false, pc, sp, fp, registers, isReturn }, this.#image, limits);
  }

  async #describe(
    raw: RawGoroutine,
    thread: CoreThread | undefined,
    stack: NamedStack | undefined,
  ): Promise<Goroutine> {
    const { state, waitReason, parent } = raw;
    // The first one was started by no `go` statement.
    const createdBy = raw.createdAt === 0n || raw.id === 1n ? undefined : await this.#lineOf(raw.createdAt - 1n);
    const start = await this.#find(raw.startPc);
    const isSystem = start?.fn.name.startsWith("runtime.") === true && !OWN_STARTS.has(start.fn.name);
    return {
      id: Number(raw.id),
      state: state as Goroutine["state"],
      ...(waitReason === undefined ? {} : { waitReason }),
      ...(thread === undefined ? {} : { tid: thread.tid }),
      ...(thread?.crashed === true ? { crashed: true } : {}),
      ...(isSystem ? { system: true } : {}),
      ...(parent === undefined || parent === 0n ? {} : { parent: Number(parent) }),
      ...(createdBy === undefined ? {} : { createdBy }),
      ...(stack === undefined ? {} : { stack }),
    };
  }

  #lineOf(address: bigint): Promise<GoLine | undefined> {
    const known = this.#lines.get(address);
    if (known !== undefined) return known;
    const line = this.#find(address).then(async (found) => {
      const go = await this.#loaded.go();
      return found === undefined ? undefined : (await go?.lines(found))?.at(-1);
    });
    if (this.#lines.size < 8192) this.#lines.set(address, line);
    return line;
  }

  async #find(address: bigint): ReturnType<NonNullable<Awaited<ReturnType<LoadedModule["go"]>>>["find"]> {
    const go = await this.#loaded.go();
    const vaddr = this.#image.find(address) === this.#loaded ? await this.#loaded.vaddrOf(address) : undefined;
    return vaddr === undefined ? undefined : go?.find(vaddr);
  }
}
