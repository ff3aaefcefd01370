import { Worker } from "node:worker_threads";
import { timerMs } from "@cdh/core/clock";
import { CdhError, type ErrorCode } from "@cdh/core/errors";
import type { TaskInputs, TaskName, TaskResults } from "./tasks.ts";

/** The build puts the thread's bundled source here; absent when the program runs from its source. @see scripts/build/manifest-thread.ts */
declare const __CDH_MANIFEST_THREAD__: string | undefined;

/** What parsing the largest document that is accepted takes, several times. */
const HEAP_MB = 192;
/** The thread is ended when nothing was asked of it for so long: its memory is better used elsewhere. */
const IDLE_MS = 30_000;
/** The largest documents take a second or two; the rest is for a busy machine. */
const ANSWER_MS = 60_000;
/** What is sent at once: a message costs as much as parsing a small manifest. */
const BATCH_BYTES = 256 * 1024;

/** One document that the thread parses. */
export interface ThreadJob {
  name: TaskName;
  /** How many of the batch's bytes are its own; those of the one before end where they begin. */
  sizeBytes: number;
  label: string;
  input: unknown;
}

/** What the thread is sent. */
export interface ThreadBatch {
  bytes: Uint8Array;
  jobs: readonly ThreadJob[];
}

/** What comes of one. */
export type ThreadAnswer = { result: unknown } | { failure: Failure };

interface Failure {
  code?: ErrorCode;
  message: string;
}

interface Waiting extends ThreadJob {
  bytes: Buffer;
  /** It was in a batch that ended the thread: it is asked again by itself, so that only the guilty one fails. */
  isSuspect: boolean;
  settle: (answer: ThreadAnswer) => void;
}

/** How the thread is started, and how long it may take for an answer. */
export interface ParseThreadOptions {
  start: () => Worker;
  answerMs: number;
}

/** The thread, started when it is needed, and the documents that wait for it. */
export class ParseThread {
  readonly #options: ParseThreadOptions;
  #waiting: Waiting[] = [];
  #running: readonly Waiting[] = [];
  #worker: Worker | undefined;
  #idle: NodeJS.Timeout | undefined;
  #deadline: NodeJS.Timeout | undefined;

  constructor(options: ParseThreadOptions) {
    this.#options = options;
  }

  /** Ask the thread. Never rejects. */
  async ask(job: Omit<ThreadJob, "sizeBytes">, bytes: Buffer): Promise<ThreadAnswer> {
    if (isGone(bytes)) return wasGiven(job);
    return await new Promise<ThreadAnswer>((resolve) => {
      this.#waiting.push({ ...job, bytes, sizeBytes: bytes.length, isSuspect: false, settle: resolve });
      // At the end of this turn, when whoever else asks in it has asked.
      if (this.#waiting.length === 1) queueMicrotask(() => this.#next());
    });
  }

  /** One batch at a time: who else waits is not to blame when the thread dies. */
  #next(): void {
    if (this.#running.length > 0) return;
    // To post what was handed over before would throw here, where nobody catches it: the program would end.
    for (const job of this.#waiting.filter(({ bytes }) => isGone(bytes))) job.settle(wasGiven(job));
    this.#waiting = this.#waiting.filter(({ bytes }) => !isGone(bytes));
    this.#running = this.#takeBatch();
    clearTimeout(this.#idle);
    clearTimeout(this.#deadline);
    if (this.#running.length === 0) {
      this.#idle = setTimeout(() => this.#end(), IDLE_MS).unref();
      return;
    }
    this.#worker ??= this.#start();
    this.#worker.ref();
    const bytes = packed(this.#running.map((job) => job.bytes));
    const jobs = this.#running.map(({ name, sizeBytes, label, input }): ThreadJob => ({
      name,
      sizeBytes,
      label,
      input,
    }));
    this.#worker.postMessage({ bytes, jobs } satisfies ThreadBatch, [bytes.buffer as ArrayBuffer]);
    this.#deadline = setTimeout(() => this.#giveUp(), timerMs(this.#options.answerMs)).unref();
  }

  /** Take as many small documents as go at once, or a large one. */
  #takeBatch(): Waiting[] {
    let count = 0;
    let sizeBytes = 0;
    for (const job of this.#waiting) {
      sizeBytes += job.sizeBytes;
      if (count > 0 && (sizeBytes > BATCH_BYTES || job.isSuspect)) break;
      count += 1;
      if (job.isSuspect) break;
    }
    return this.#waiting.splice(0, count);
  }

  #settle(answers: readonly ThreadAnswer[]): void {
    const jobs = this.#running;
    this.#running = [];
    // An idle thread must not keep the program alive.
    this.#worker?.unref();
    for (const [at, { settle }] of jobs.entries()) settle(answers[at] ?? { failure: { message: "no answer" } });
    this.#next();
  }

  /** The thread has ended before it answered. */
  #died(why: string, code?: ErrorCode): void {
    if (this.#running.length > 1) {
      this.#waiting = [...this.#running.map((job) => ({ ...job, isSuspect: true })), ...this.#waiting];
      this.#running = [];
      return this.#next();
    }
    const message = `cannot read the manifest of ${this.#running[0]?.label ?? ""}: ${why}`;
    this.#settle([{ failure: code === undefined ? { message } : { code, message } }]);
  }

  #giveUp(): void {
    this.#end();
    this.#died("it takes too long", "CDH_BUNDLE_BOMB");
  }

  #end(): void {
    const ended = this.#worker;
    this.#worker = undefined;
    void ended?.terminate();
  }

  #start(): Worker {
    const worker = this.#options.start();
    let failure: (Error & { code?: string }) | undefined;
    worker.on("message", (answers: readonly ThreadAnswer[]) => {
      if (this.#worker === worker) this.#settle(answers);
    });
    worker.on("error", (error: Error) => (failure = error));
    worker.on("exit", () => {
      if (this.#worker !== worker) return;
      this.#worker = undefined;
      if (this.#running.length === 0) return;
      if (failure?.code === "ERR_WORKER_OUT_OF_MEMORY") this.#died("it takes too much memory", "CDH_BUNDLE_BOMB");
      else this.#died(failure?.message ?? "its thread ended");
    });
    return worker;
  }
}

/** Tell whether bytes were handed over to a thread. */
const isGone = ({ buffer }: Uint8Array): boolean => "detached" in buffer && buffer.detached;

function wasGiven({ label }: Pick<ThreadJob, "label">): ThreadAnswer {
  return { failure: { message: `the document of ${label} was handed over before` } };
}

/** Put documents one behind the other, into memory that can be handed over: a small buffer is a part of one that others use. */
function packed(documents: readonly Buffer[]): Uint8Array {
  const [first] = documents;
  if (first !== undefined && documents.length === 1 && first.buffer.byteLength === first.length) return first;
  const bytes = new Uint8Array(documents.reduce((sum, { length }) => sum + length, 0));
  let at = 0;
  for (const document of documents) {
    bytes.set(document, at);
    at += document.length;
  }
  return bytes;
}

function start(): Worker {
  const options = {
    execArgv: [],
    env: {},
    resourceLimits: { maxOldGenerationSizeMb: HEAP_MB, maxYoungGenerationSizeMb: 8 },
  };
  return typeof __CDH_MANIFEST_THREAD__ === "string"
    ? new Worker(__CDH_MANIFEST_THREAD__, { ...options, eval: true })
    : new Worker(new URL("./worker.ts", import.meta.url), options);
}

const thread = new ParseThread({ start, answerMs: ANSWER_MS });

/**
 * Parse a document that others wrote, and make something of it, in a thread of its own with a heap of its own: the thread
 * that answers requests parses none. The bytes are handed over and cannot be used afterwards.
 * @param label names it in messages
 * @throws {CdhError} the CDH_BUNDLE family when it is not what it should be, or takes more memory or time than one may
 */
export async function parseInThread<Name extends TaskName>(
  name: Name,
  bytes: Buffer,
  label: string,
  ...[input]: TaskInputs[Name] extends undefined ? [] : [TaskInputs[Name]]
): Promise<TaskResults[Name]> {
  const answer = await thread.ask({ name, label, input }, bytes);
  if ("result" in answer) return answer.result as TaskResults[Name];
  const { code, message } = answer.failure;
  throw code === undefined ? new Error(message) : new CdhError(code, message);
}
