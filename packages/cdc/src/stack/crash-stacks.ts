import { closeSync } from "node:fs";
import type { Problem, StackFacts } from "@cdh/core/bundle/manifest";
import type { ThreadExtras } from "@cdh/core/bundle/manifest-from-core";
import { systemClock, type Clock } from "@cdh/core/clock";
import type { ProcessSnapshot } from "@cdh/core/container/process";
import type { CrashMessage } from "@cdh/core/crash/crash-message";
import type { CoreFacts } from "@cdh/core/elf/facts";
import { reasonOf } from "@cdh/core/errors";
import type { Native } from "../self/native.ts";
import type { CrashPlace } from "./crash-place.ts";
import type { HeldPlaces, HeldProcess } from "./held-process.ts";
import type { ArtefactWish } from "./runtime-artefacts.ts";
import type { RuntimeArtefact } from "./stack-answer.ts";
import type { MemoryChunk, TakenMemory } from "./take-memory.ts";
import { readThreadNames } from "./thread-names.ts";

/** How long the crashed process is held for the memory of its stacks, milliseconds; it takes a few. */
const TAKE_MAX_MS = 500;
/** How long its place is looked for, milliseconds; it takes one or two. */
const PLACE_MAX_MS = 500;
/** How long to wait for the node's walkers of stacks, milliseconds. */
const SLOT_WAIT_MS = 2_000;
const STEP = "stack";
/** A runtime writes its report at most so long before the end; file systems count time in ticks, the machine's start in seconds. */
const ARTEFACT_MAX_AGE_MS = 5 * 60_000;
const ARTEFACT_SLACK_MS = 2_000;
/** The lock of a slot, standard streams before it. */
const FIRST_DESCRIPTOR = 3;

/** A file of the crashed process that stays open when its stacks were read. */
export interface KeptFile {
  /** As {@link HeldFile.fd}. */
  fd: number;
  /** As the kernel wrote it. */
  path: string;
}

/**
 * The stacks of a crashed process. While the kernel holds it, its mapped files are held open and the memory of its stacks
 * is read; when it was let go, another process walks them, because what it reads is hostile. Nothing here throws: a stack
 * that cannot be had is a problem in the manifest.
 */
export class CrashStacks {
  /** Why stacks, or parts of them, are missing. */
  readonly problems: Problem[] = [];
  readonly #names = new Map<number, string>();
  readonly #keepsFiles: boolean;
  #kept: KeptFile[] = [];
  #held: HeldProcess | undefined;
  #facts: CoreFacts | undefined;
  #taking: Promise<TakenMemory> | undefined;
  #memory: MemoryChunk[] = [];
  #stacks: ReadonlyMap<number, StackFacts> = new Map();
  readonly #withStack: boolean;
  readonly #withMessage: boolean;
  #message: CrashMessage | undefined;

  readonly #withArtefacts: boolean;
  #wish: Omit<ArtefactWish, keyof HeldPlaces> | undefined;
  #heldAtMs = 0;

  /** @param wants whether stacks are walked, messages and the runtime's files read, and {@link kept} is wanted */
  constructor(wants: { stack: boolean; message: boolean; artefacts: boolean; keepsFiles?: boolean }) {
    this.#keepsFiles = wants.keepsFiles === true;
    this.#withStack = wants.stack;
    this.#withMessage = wants.message;
    this.#withArtefacts = wants.artefacts;
  }

  /** What the program's runtime wrote about the crash. */
  artefacts: readonly RuntimeArtefact[] = [];

  /** What the program said of its own end, as it lay in its memory. */
  get message(): CrashMessage | undefined {
    return this.#message;
  }

  /** The files that stay open for as long as this process lives; none before {@link end}. */
  get kept(): readonly KeptFile[] {
    return this.#kept;
  }

  /** What is known of the threads. */
  get threads(): ThreadExtras {
    return { names: this.#names, stacks: this.#stacks };
  }

  /** Keep files and memory of the process open. @param source its directory in /proc */
  async hold(source: string, files: ProcessSnapshot["files"]): Promise<void> {
    try {
      const { holdProcess } = await import("./held-process.ts");
      this.#held = holdProcess(source, files);
      this.#heldAtMs = systemClock.now();
      readThreadNames(source, this.#names);
    } catch (error) {
      this.#problem("CDH_STACK_FAILED", `the process cannot be held: ${reasonOf(error)}`);
    }
  }

  /**
   * Begin to read the memory of the stacks, as soon as it is known where they are: the core still arrives meanwhile.
   * @param facts what the core's notes say; @param crashed as for {@link take}
   */
  async begin(facts: Pick<CoreFacts, "threads" | "machine" | "auxv">, crashed: ProcessSnapshot): Promise<void> {
    const held = this.#held;
    if (held === undefined || crashed.state !== "verified" || crashed.files.length === 0) return;
    this.#taking ??= readStacks(held, facts);
    await this.#taking.catch(() => {});
  }

  /**
   * Read the memory of the stacks; afterwards the process may go.
   * @param crashed what /proc said: where the process was another one, nothing of it counts
   */
  async take(facts: CoreFacts, crashed: ProcessSnapshot): Promise<void> {
    const held = this.#held;
    if (held === undefined) return;
    if (crashed.state !== "verified" || crashed.files.length === 0) return this.#forget();
    try {
      const taken = await (this.#taking ??= readStacks(held, facts));
      const stop = AbortSignal.timeout(TAKE_MAX_MS);
      this.#facts = facts;
      if (this.#withStack) {
        this.#memory = taken.chunks;
        if (this.#memory.length === 0) this.#problem("CDH_STACK_FAILED", "the memory of the stacks cannot be read");
        else if (!taken.isWhole)
          this.#problem("CDH_DEADLINE", `the memory of the stacks was read in part, as far as ${TAKE_MAX_MS} ms went`);
      }
      if (this.#withArtefacts) {
        const { writesArtefacts } = await import("./runtime-artefacts.ts");
        if (writesArtefacts(facts.modules)) this.#wish = wishFor(facts, crashed, this.#heldAtMs);
      }
      if (this.#withMessage) {
        const { takeMessage } = await import("./take-message.ts");
        const { goroutines } = taken;
        const looking = takeMessage({ held, facts, goroutines, stop }).then((message) => ({ message }));
        const looked = await unlessStopped(looking, stop);
        this.#message = looked?.message;
        if (looked === undefined || stop.aborted)
          this.#problem("CDH_DEADLINE", `its memory was not read in ${TAKE_MAX_MS} ms`, "message");
      }
    } catch (error) {
      this.#problem("CDH_STACK_FAILED", `the memory of the stacks cannot be read: ${reasonOf(error)}`);
    }
  }

  /**
   * Find the place of the crash by registers and stack alone, which takes a millisecond or two.
   * @param facts what the core's notes say; @param crashed as for {@link take}
   */
  async place(
    facts: Pick<CoreFacts, "threads" | "machine">,
    crashed: ProcessSnapshot,
    signal: number | undefined,
  ): Promise<CrashPlace> {
    const held = this.#held;
    if (held === undefined || crashed.state !== "verified") return { unknown: "the process could not be held" };
    const maps = crashed.files.find(({ name }) => name === "maps")?.bytes ?? new Uint8Array();
    const stop = AbortSignal.timeout(PLACE_MAX_MS);
    try {
      const { findPlace } = await import("./crash-place.ts");
      const found = await unlessStopped(findPlace({ held, maps, facts, signal, stop }), stop);
      return found ?? { unknown: "its stack took too long to read" };
    } catch (error) {
      return { unknown: `its stack cannot be read: ${reasonOf(error)}` };
    }
  }

  /** Walk and name the stacks, in another process. */
  async walk(given: { coreDir: string; native: Native; clock: Clock }): Promise<void> {
    const { native } = given;
    try {
      const isWanted = this.#memory.length > 0 || this.#wish !== undefined;
      if (this.#held !== undefined && isWanted && native.isThere) await this.#walk(given);
    } catch (error) {
      this.#problem("CDH_STACK_FAILED", reasonOf(error));
    } finally {
      this.end();
    }
  }

  /** Close what is held. */
  end(): void {
    const held = this.#held;
    this.#held = undefined;
    this.#memory = [];
    this.#taking = undefined;
    this.#facts = undefined;
    if (held === undefined) return;
    const { cwd, root, mounts } = held.places;
    if (this.#keepsFiles) {
      const paths = new Map(held.mappings.map(({ start, path }) => [start, path]));
      this.#kept = held.files.splice(0).flatMap(({ fd, starts: [start] }) => {
        const path = start === undefined ? undefined : paths.get(start);
        return path === undefined ? [] : [{ fd, path }];
      });
    }
    for (const fd of [held.mem, cwd, root, mounts, ...held.files.splice(0).map((file) => file.fd)]) {
      try {
        if (fd !== undefined) closeSync(fd);
      } catch {
        // It is closed.
      }
    }
  }

  async #walk(given: { coreDir: string; native: Native; clock: Clock }): Promise<void> {
    const { takeWalkerSlot } = await import("./walker-slots.ts");
    const slot = await takeWalkerSlot(given, SLOT_WAIT_MS);
    if (slot === undefined) return this.#problem("CDH_STACK_BUSY", "other crashes' stacks were read all the time");
    try {
      await this.#askWalker(slot, given.clock);
    } finally {
      closeSync(slot);
    }
  }

  async #askWalker(slot: number, clock: Clock): Promise<void> {
    const [held, facts] = [this.#held, this.#facts];
    if (held === undefined || facts === undefined) return;
    const { encodeRequest } = await import("./stack-request.ts");
    const { STACK_THREADS_MAX } = await import("./take-memory.ts");
    const { runWalkerProcess } = await import("./run-walker.ts");
    const { decodeAnswers } = await import("./stack-answer.ts");
    const threads = this.#withStack ? facts.threads.slice(0, STACK_THREADS_MAX) : [];
    const descriptors = [slot, ...held.files.map(({ fd }) => fd)];
    const inherit = (fd: number | undefined): number | undefined =>
      fd === undefined ? undefined : FIRST_DESCRIPTOR - 1 + descriptors.push(fd);
    const { cwd, root, mounts } = held.places;
    const places = { cwd: inherit(cwd), root: inherit(root), mounts: inherit(mounts) };
    const wish = this.#wish && { ...this.#wish, ...places };
    const request = encodeRequest({
      facts: { ...facts, threads },
      files: held.files.map(({ starts }, index) => ({ fd: FIRST_DESCRIPTOR + 1 + index, starts })),
      chunks: this.#memory,
      ...(wish === undefined ? {} : { artefacts: wish }),
    });
    const { output, failure } = await runWalkerProcess(request, descriptors, clock);
    const { stacks, notes, artefacts, failures } = decodeAnswers(output, facts.modules.length, wish?.pid ?? 0);
    this.artefacts = artefacts;
    this.#stacks = stacks;
    if (failure !== undefined) this.#problem(failure.code, `the stacks' reader: ${failure.detail}`);
    const refused = [...held.refused, ...notes];
    if (refused.length > 0) this.#problem("CDH_STACK_FILES", `names may be missing: ${refused.join("; ")}`);
    for (const detail of failures) this.#problem("CDH_UNREADABLE", detail, "artefact");
    if (facts.threadCount > STACK_THREADS_MAX)
      this.#problem("CDH_CUT", `the stacks of ${STACK_THREADS_MAX} of ${facts.threadCount} threads`);
  }

  #forget(): void {
    this.#names.clear();
    this.end();
    // They are another process's.
    this.#kept = [];
  }

  #problem(code: string, detail: string, step = STEP): void {
    this.problems.push({ step, code, detail });
  }
}

async function readStacks(
  held: HeldProcess,
  facts: Pick<CoreFacts, "threads" | "machine" | "auxv">,
): Promise<TakenMemory> {
  const { takeMemory } = await import("./take-memory.ts");
  return await takeMemory(held, facts, AbortSignal.timeout(TAKE_MAX_MS));
}

/** Wait for something until stopped; then it is undefined. */
function unlessStopped<T>(work: Promise<T>, stop: AbortSignal): Promise<T | undefined> {
  const stopped = new Promise<undefined>((resolve) => {
    if (stop.aborted) resolve(undefined);
    else stop.addEventListener("abort", () => resolve(undefined), { once: true });
  });
  return Promise.race([work, stopped]);
}

/** Which files its runtime may have left; undefined where whose they are is not known. */
function wishFor(
  { process: described }: CoreFacts,
  { uid, startedAtMs }: ProcessSnapshot,
  heldAtMs: number,
): Omit<ArtefactWish, keyof HeldPlaces> | undefined {
  if (uid === undefined || described === undefined) return undefined;
  const fromMs = Math.max(startedAtMs ?? 0, heldAtMs - ARTEFACT_MAX_AGE_MS) - ARTEFACT_SLACK_MS;
  return { pid: described.pid, uid, fromMs };
}
