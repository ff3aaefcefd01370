import { dirname } from "node:path";
import { Worker } from "node:worker_threads";
import type { Clock } from "@cdh/core/clock";
import { FINISH_WORD, MESSAGE_WORD } from "../kernel/invocation.ts";

/** A crash that is kept within this time is watched only once its process was let go: most take less. */
const WATCH_AFTER_MS = 250;

/** So often memory is looked at; a runtime takes about a gigabyte in a second. */
const LOOK_EVERY_MS = 10;

/**
 * Runs in the thread. `execve` from any thread replaces the whole process, so a main thread that is deep in its own work
 * cannot hinder it: the memory is free at once, every descriptor but the first three is closed, and the same process goes
 * on as another program. @see execve(2), fcntl(2) FD_CLOEXEC
 */
const THREAD_SOURCE = `
const { workerData } = require("node:worker_threads");
const { dlopen, ptr } = require("bun:ffi");
const { libraries, maxBytes, everyMs, ended, file, words } = workerData;
const types = { fcntl: { args: ["i32", "i32", "i32"], returns: "i32" }, execve: { args: ["ptr", "ptr", "ptr"], returns: "i32" } };
const text = (value) => Buffer.from(value + "\\0");
const list = (buffers) => new BigUint64Array([...buffers.map((buffer) => BigInt(ptr(buffer))), 0n]);
let libc;
for (const name of libraries) try { libc ??= dlopen(name, types).symbols; } catch {}
const flag = new Int32Array(ended);
while (Atomics.wait(flag, 0, 0, everyMs) === "timed-out") {
  if (process.memoryUsage.rss() <= maxBytes) continue;
  for (let fd = 3; fd < 1024; fd += 1) libc?.fcntl(fd, 2, 1);
  const [path, own, argv, env] = [text(file), text("/proc/self/exe"), [file, ...words].map(text), list([])];
  libc?.execve(path, list(argv), env);
  libc?.execve(own, list(argv), env);
  process.kill(process.pid, "SIGKILL");
}`;

const LIBRARIES = ["libc.so.6", "libc.so"];

/** Watches the memory of this process. */
export interface MemoryBound {
  /** Watch from now on: nobody waits for this process any more. */
  start(): void;
  /** The crash is kept. */
  end(): void;
}

/**
 * Hold this process to so much memory, whatever it is fed: a thread watches what is resident, and past the bound the
 * process becomes `cdc --finish-torn`, which lets the crashed process go and publishes what was written until then.
 * There is no such bound outside of Bun.
 */
export function boundMemory(given: { maxBytes: number; coreDir: string; message: boolean; clock: Clock }): MemoryBound {
  const over = new AbortController();
  const ended = new SharedArrayBuffer(4);
  let thread: Worker | undefined;
  const start = (): void => {
    if (thread !== undefined || over.signal.aborted || !("Bun" in globalThis)) return;
    const file = process.execPath;
    const words = [FINISH_WORD, given.coreDir, dirname(file), ...(given.message ? [MESSAGE_WORD] : [])];
    thread = new Worker(THREAD_SOURCE, {
      eval: true,
      workerData: { libraries: LIBRARIES, maxBytes: given.maxBytes, everyMs: LOOK_EVERY_MS, ended, file, words },
    });
    // Without its watchman a crash is kept all the same.
    thread.on("error", () => {});
    thread.unref();
  };
  given.clock.sleep(WATCH_AFTER_MS, over.signal).then(start, () => {});
  return {
    start,
    end: () => {
      over.abort();
      const flag = new Int32Array(ended);
      Atomics.store(flag, 0, 1);
      Atomics.notify(flag, 0);
    },
  };
}
