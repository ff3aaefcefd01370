import { createHash } from "node:crypto";
import type { FileHandle } from "node:fs/promises";
import { Worker } from "node:worker_threads";
import { crc32 } from "node:zlib";

/** A file to hash. */
export interface HashJob {
  /** Must stay open until the answer is there. */
  fd: number;
  sizeBytes: number;
  partBytes: number;
  md5: boolean;
  crc32: boolean;
  /** Bytes read at once. */
  readBytes: number;
}

/** Hashes of a file. */
export interface HashSums {
  /** Bytes that were there: fewer than asked for when the file is shorter, one more when it is longer. */
  readBytes: number;
  /** Hexadecimal, as are the parts' MD5s. */
  sha256: string;
  /** Of nothing, where MD5 was not asked for. */
  partMd5s: string[];
  crc32: number[];
  wholeCrc32: number;
}

type Hasher = (job: HashJob, buffer: Uint8Array, isStopped: () => boolean, modules: HashModules) => HashSums;
interface HashModules {
  createHash: typeof createHash;
  readSync: (fd: number, buffer: Uint8Array, offset: number, length: number, position: number) => number;
  crc32: typeof crc32;
}

/**
 * Hash a file with plain blocking reads. It runs in a thread from its own source text, so it uses nothing but what it is
 * given: no imports, no helpers.
 */
const hash: Hasher = (job, buffer, isStopped, modules) => {
  const whole = modules.createHash("sha256");
  const sums: HashSums = { readBytes: 0, sha256: "", partMd5s: [], crc32: [], wholeCrc32: 0 };
  let offset = 0;
  let isShort = false;
  do {
    const end = Math.min(offset + job.partBytes, job.sizeBytes);
    const md5 = modules.createHash("md5");
    let partCrc = 0;
    while (offset < end && !isShort && !isStopped()) {
      const bytes = modules.readSync(job.fd, buffer, 0, Math.min(buffer.length, end - offset), offset);
      const chunk = buffer.subarray(0, bytes);
      isShort = bytes === 0;
      whole.update(chunk);
      if (job.md5) md5.update(chunk);
      if (job.crc32) {
        partCrc = modules.crc32(chunk, partCrc);
        sums.wholeCrc32 = modules.crc32(chunk, sums.wholeCrc32);
      }
      offset += bytes;
    }
    sums.partMd5s.push(md5.digest("hex"));
    sums.crc32.push(partCrc);
  } while (offset < job.sizeBytes && !isShort && !isStopped());
  if (!isShort && !isStopped()) offset += modules.readSync(job.fd, buffer, 0, 1, offset);
  sums.readBytes = offset;
  sums.sha256 = whole.digest("hex");
  return sums;
};

const THREAD_SOURCE = `
const { parentPort } = require("node:worker_threads");
const modules = { createHash: require("node:crypto").createHash, readSync: require("node:fs").readSync, crc32: require("node:zlib").crc32 };
const hash = ${hash.toString()};
let buffer = Buffer.alloc(0);
parentPort.on("message", ({ job, stop }) => {
  const flag = new Int32Array(stop);
  if (buffer.length < job.readBytes) buffer = Buffer.allocUnsafeSlow(job.readBytes);
  try {
    parentPort.postMessage({ sums: hash(job, buffer, () => Atomics.load(flag, 0) === 1, modules) });
  } catch (error) {
    parentPort.postMessage({ failure: { message: error.message, code: error.code } });
  }
});`;

interface Answer {
  sums?: HashSums;
  failure?: { message: string; code?: string };
}

/** Jobs that the thread has, in the order of its answers. */
const waiting: { settle: (answer: Answer) => void }[] = [];
let thread: Worker | undefined;

/** Hash a small file here. It is read by the pool: a file system that hangs must not hold the whole program. */
export async function hashHere(job: HashJob, handle: FileHandle): Promise<HashSums> {
  const content = Buffer.allocUnsafe(job.sizeBytes + 1);
  let filled = 0;
  for (let bytes = -1; bytes !== 0 && filled < content.length; filled += bytes)
    bytes = (await handle.read(content, filled, content.length - filled, filled)).bytesRead;
  const readSync: HashModules["readSync"] = (_fd, buffer, offset, length, position) => {
    const bytes = content.copy(buffer, offset, position, Math.min(position + length, filled));
    return bytes;
  };
  const buffer = Buffer.allocUnsafe(Math.max(1, Math.min(job.readBytes, job.sizeBytes)));
  return hash(job, buffer, () => false, { createHash, crc32, readSync });
}

/**
 * Hash a file in the one thread that is kept for that.
 * @throws the signal's reason when aborted; the system's error when the file can't be read
 */
export async function hashInThread(job: HashJob, signal?: AbortSignal): Promise<HashSums> {
  const stop = new SharedArrayBuffer(4);
  const onAbort = (): void => void Atomics.store(new Int32Array(stop), 0, 1);
  signal?.addEventListener("abort", onAbort, { once: true });
  try {
    const { sums, failure } = await new Promise<Answer>((settle) => {
      waiting.push({ settle });
      const running = startThread();
      running.ref();
      running.postMessage({ job, stop });
    });
    signal?.throwIfAborted();
    if (sums === undefined)
      throw Object.assign(new Error(failure?.message ?? "the hashing thread failed"), { code: failure?.code });
    return sums;
  } finally {
    signal?.removeEventListener("abort", onAbort);
    // An idle thread must not keep the program alive.
    if (waiting.length === 0) thread?.unref();
  }
}

function startThread(): Worker {
  if (thread !== undefined) return thread;
  const started = new Worker(THREAD_SOURCE, {
    eval: true,
    execArgv: [],
    // It holds one buffer and a few hashes.
    resourceLimits: { maxOldGenerationSizeMb: 16, maxYoungGenerationSizeMb: 1 },
  });
  started.on("message", (answer: Answer) => waiting.shift()?.settle(answer));
  started.on("error", (error: Error) => {
    thread = undefined;
    for (const { settle } of waiting.splice(0)) settle({ failure: { message: error.message } });
  });
  thread = started;
  return started;
}
