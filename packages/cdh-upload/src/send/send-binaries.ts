import { lstat, rm } from "node:fs/promises";
import { join } from "node:path";
import { Alarm } from "@cdh/core/async/alarm";
import { backoffMs } from "@cdh/core/async/backoff";
import type { Clock } from "@cdh/core/clock";
import type { DebugFileId } from "@cdh/core/debug-files/keys";
import { CdhError, errnoOf, reasonOf } from "@cdh/core/errors";
import { smallest } from "@cdh/core/lists";
import type { Logger } from "@cdh/core/log";
import { tryParseBinaryName } from "@cdh/core/spool/binaries";
import { BINARIES_DIRECTORY } from "@cdh/core/spool/layout";
import { ownFilesOf } from "@cdh/core/spool/spool-owner";
import type { ObjectStore } from "@cdh/core/store/store";
import { Circuit } from "../queue/circuit.ts";
import { blameOf } from "./blame.ts";
import { inTurns } from "./in-turns.ts";
import { readSpooled, removeSpooled, sendBinary } from "./send-binary.ts";
import { namesIn, StoredMarks } from "./stored-marks.ts";

/** What lies beside a packed file that never came: its writer is dead. */
const ORPHAN_MS = 3600e3;
/** Least time between two looks, and between two questions whether bundles wait, milliseconds. */
const GAP_MS = 1000;
const BUSY_MS = 5000;
/** Waits after a file went wrong on its way. */
const BACKOFF = { baseMs: 2000, capMs: 10 * 60_000 };
/** A file is given up after so many failures in a row, once it is so old: it comes again with the next crash. */
const ATTEMPTS_MAX = 8;
const GIVE_UP_MS = 24 * 3600e3;

/** Where files of a namespace go. */
export interface BinaryWay {
  /** The rule's name, or `default`. */
  name: string;
  store: ObjectStore;
  /** Whether bundles wait for this store because it is in trouble: one of them finds out when it is over. */
  isTroubled: () => boolean;
}

/** What became of a file: `other` says that the store keeps another one of its build-id. */
export type BinaryOutcome = "stored" | "alreadyThere" | "other" | "givenUp";

/** What sending needs. */
export interface SenderOptions {
  coreDir: string;
  /** Chooses the store for what a namespace's pods ran; undefined stands for none that is proven. */
  wayOf: (namespace: string | undefined) => BinaryWay;
  /** Whether some namespaces have stores of their own. */
  hasRules: boolean;
  /** Whether no bundle is about to be sent: they come first. */
  isIdle: () => boolean;
  /** Told of each file that left the spool. */
  onOutcome?: (outcome: BinaryOutcome) => void;
  clock: Clock;
  log: Logger;
}

/** A packed file that waits. Times in milliseconds. */
interface Waiting {
  name: string;
  id: DebugFileId;
  modifiedAt: number;
  /** Of the pod, where the node has proven it. */
  namespace: string | undefined;
  way: BinaryWay;
  failures: number;
  /** Monotonic. */
  notBefore: number;
}

/** The way to one store: files have a circuit of their own, because `debug/` may be closed to whoever may store bundles. */
interface Line {
  circuit: Circuit;
  /** As it was told last. */
  trouble: string | undefined;
  work: Promise<void> | undefined;
}

/**
 * Send the programs and libraries that composers packed, once for each build-id, and remember what the stores have. Each store's
 * files go by themselves, one after the other: a store in trouble holds up nobody's but its own.
 */
export class BinarySender {
  readonly #options: SenderOptions;
  readonly #marks: StoredMarks;
  readonly #alarm = new Alarm();
  readonly #lines = new Map<string, Line>();
  #waiting = new Map<string, Waiting>();
  #lookTrouble: string | undefined;
  /** The last look found that bundles come first. */
  #isPutOff = false;

  constructor(options: SenderOptions) {
    this.#options = options;
    this.#marks = new StoredMarks(options);
  }

  /** Have {@link run} look soon. */
  hurry(): void {
    this.#alarm.ring();
  }

  /** Look when told to, and again while files wait, until stopped. Never throws. */
  async run(signal: AbortSignal): Promise<void> {
    const { clock } = this.#options;
    while (!signal.aborted) {
      await this.#alarm.wait({ signal, timeout: { clock, ms: this.#untilNextMs() } });
      if (signal.aborted) break;
      await this.look(signal);
      await clock.sleep(GAP_MS, signal).catch(() => {});
    }
    await this.settle();
  }

  /** Begin to send what may go now. Its own trouble is logged, never thrown. */
  async look(signal: AbortSignal): Promise<void> {
    this.#isPutOff = !this.#options.isIdle();
    if (this.#isPutOff) return;
    try {
      // What cannot be forgotten stops nothing.
      await this.#marks.tidy().catch(() => {});
      await this.#find();
      this.#lookTrouble = undefined;
    } catch (error) {
      const reason = reasonOf(error);
      if (this.#lookTrouble !== reason) this.#options.log.warn("cannot look for files of programs", { reason });
      this.#lookTrouble = reason;
    }
    for (const way of new Map(Array.from(this.#waiting.values(), ({ way: its }) => [its.name, its])).values()) {
      const line = this.#lineOf(way);
      line.work ??= this.#drain(way, line, signal).finally(() => {
        line.work = undefined;
        this.#alarm.ring();
      });
    }
  }

  /** Wait for what is under way. */
  async settle(): Promise<void> {
    await Promise.all(Array.from(this.#lines.values(), ({ work }) => work));
  }

  #lineOf({ name }: BinaryWay): Line {
    const line = this.#lines.get(name) ?? {
      circuit: new Circuit(this.#options.clock),
      trouble: undefined,
      work: undefined,
    };
    this.#lines.set(name, line);
    return line;
  }

  /** Learn what waits, and remove what nobody will finish. */
  async #find(): Promise<void> {
    const { coreDir, wayOf, clock } = this.#options;
    const folder = join(coreDir, BINARIES_DIRECTORY);
    const names = new Set(await namesIn(folder));
    const found = new Map<string, Waiting>();
    const isOwn = names.size === 0 ? () => false : await ownFilesOf(folder);
    for (const name of names) {
      const stats = await lstat(join(folder, name)).catch(() => undefined);
      if (stats === undefined || !isOwn(stats)) continue;
      const id = tryParseBinaryName(name);
      const known = this.#waiting.get(name);
      if (id === undefined) {
        const isWhole = name.endsWith(".json") && names.has(name.replace(/json$/, "zst"));
        if (!isWhole && clock.now() - stats.mtimeMs > ORPHAN_MS) await rm(join(folder, name), { force: true });
      } else if (known?.modifiedAt === stats.mtimeMs) found.set(name, known);
      else {
        const facts = await readSpooled(coreDir, id).catch(() => "unreadable" as const);
        // One look that fails is no verdict.
        if (facts === "unreadable") continue;
        // What contradicts itself comes again with the next crash.
        if (facts === undefined) await removeSpooled(coreDir, id);
        else {
          const way = wayOf(facts.namespace);
          const { namespace } = facts;
          found.set(name, { name, id, modifiedAt: stats.mtimeMs, namespace, way, failures: 0, notBefore: 0 });
        }
      }
    }
    this.#waiting = found;
  }

  /** When {@link run} has to look by itself. */
  #untilNextMs(): number {
    if (this.#isPutOff) return BUSY_MS;
    const now = this.#options.clock.monotonic();
    const moments = Array.from(this.#waiting.values(), ({ way, notBefore }) => {
      const { circuit, work } = this.#lineOf(way);
      // The end of its work rings.
      return work === undefined ? Math.max(notBefore, circuit.nextAttemptAt ?? 0) : Number.POSITIVE_INFINITY;
    });
    const nextMs = smallest(moments, Number.POSITIVE_INFINITY) - now;
    // Due, and yet not begun: bundles come first.
    return nextMs <= 0 ? BUSY_MS : nextMs;
  }

  /** Send the files of one store, those first that have not failed, one of each namespace in turn. */
  async #drain(way: BinaryWay, line: Line, signal: AbortSignal): Promise<void> {
    const { clock, isIdle, log } = this.#options;
    const due = [...this.#waiting.values()].filter(
      (file) => file.way.name === way.name && file.notBefore <= clock.monotonic(),
    );
    const files = inTurns(due.toSorted((a, b) => a.failures - b.failures || a.modifiedAt - b.modifiedAt));
    for (const file of files) {
      if (signal.aborted || !isIdle() || way.isTroubled() || !line.circuit.tryBegin()) return;
      try {
        const isAnswer = await this.#send(file, signal);
        this.#waiting.delete(file.name);
        if (isAnswer) this.#answered(way, line);
        else line.circuit.undecided();
      } catch (error) {
        if (signal.aborted) return line.circuit.undecided();
        await this.#judge(file, line, error).catch((trouble: unknown) =>
          log.warn("a file of a program cannot be removed", { reason: reasonOf(trouble) }),
        );
      }
    }
  }

  /** @returns whether the store was asked */
  async #send(file: Waiting, signal: AbortSignal): Promise<boolean> {
    const { id, way } = file;
    const { coreDir, wayOf, clock, log, onOutcome } = this.#options;
    const facts = await readSpooled(coreDir, id);
    // It was packed anew meanwhile, for somebody else: the next look finds it.
    if (facts !== undefined && wayOf(facts.namespace).name !== way.name) return false;
    if (facts === undefined) {
      await removeSpooled(coreDir, id);
      return false;
    }
    const onUnnoted = ({ code, message }: CdhError): void =>
      log.debug("cannot note that a file of a program is needed", { ...id, code, reason: message });
    const outcome = await sendBinary(way.store, { coreDir, id, facts, now: clock.now() }, onUnnoted, signal);
    await removeSpooled(coreDir, id);
    // Whoever forgets it asks the store once more.
    await this.#marks.add(id.buildId, facts.namespace).catch((error: unknown) => {
      log.warn("cannot remember what the store has", { reason: reasonOf(error) });
    });
    log.info("file of a program", { ...id, name: facts.name, sizeBytes: facts.storedBytes, outcome });
    onOutcome?.(outcome);
    return true;
  }

  #answered({ name }: BinaryWay, line: Line): void {
    line.circuit.succeeded();
    if (line.trouble !== undefined) this.#options.log.info("files of programs are sent again", { store: name });
    line.trouble = undefined;
  }

  /** Say whose trouble it is, and until when that waits. */
  async #judge(file: Waiting, line: Line, error: unknown): Promise<void> {
    const { coreDir, clock, log } = this.#options;
    const code = error instanceof CdhError ? error.code : errnoOf(error);
    const reason = reasonOf(error);
    const blame = code === "ENOENT" ? "gone" : blameOf(error);
    if (blame === "store") {
      const waitMs = line.circuit.failed();
      // It goes behind the others: were it the cause, the next one finds out.
      file.failures += 1;
      file.notBefore = clock.monotonic() + waitMs;
      const store = file.way.name;
      if (line.trouble !== code)
        log.warn("files of programs are not sent", { store, code, reason, waitMs: Math.round(waitMs) });
      line.trouble = code;
      for (const other of this.#waiting.values())
        if (other.way.name === store && this.#isHopeless(other, line.circuit.failures))
          await this.#giveUp(other, code, reason);
      return;
    }
    // A refusal is an answer: the store is well.
    if (blame === "bundle") this.#answered(file.way, line);
    else line.circuit.undecided();
    file.failures += 1;
    file.notBefore = clock.monotonic() + backoffMs(file.failures, BACKOFF);
    if (blame === "gone") {
      this.#waiting.delete(file.name);
      await removeSpooled(coreDir, file.id);
    } else if (blame === "bundle" || this.#isHopeless(file, file.failures)) await this.#giveUp(file, code, reason);
    else log.debug("a file of a program is not sent yet", { ...file.id, code, reason });
  }

  #isHopeless({ modifiedAt }: Waiting, failures: number): boolean {
    return failures >= ATTEMPTS_MAX && this.#options.clock.now() - modifiedAt > GIVE_UP_MS;
  }

  async #giveUp({ id, name }: Waiting, code: string | undefined, reason: string): Promise<void> {
    this.#waiting.delete(name);
    await removeSpooled(this.#options.coreDir, id);
    this.#options.log.warn("gave up a file of a program", { ...id, code, reason });
    this.#options.onOutcome?.("givenUp");
  }
}
