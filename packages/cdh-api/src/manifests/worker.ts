import { parentPort } from "node:worker_threads";
import { CdhError } from "@cdh/core/errors";
import { runTask } from "./tasks.ts";
import type { ThreadAnswer, ThreadBatch, ThreadJob } from "./thread.ts";

/** The thread that parses what others wrote. @see thread.ts */
parentPort?.on("message", ({ bytes, jobs }: ThreadBatch) => {
  let at = 0;
  const answers = jobs.map((job) => answer(job, bytes.subarray(at, (at += job.sizeBytes))));
  parentPort?.postMessage(answers);
});

function answer({ name, label, input }: ThreadJob, bytes: Uint8Array): ThreadAnswer {
  try {
    return { result: runTask(name, bytes, label, input as never) };
  } catch (error) {
    const message = error instanceof Error ? error.message : String(error);
    return { failure: error instanceof CdhError ? { code: error.code, message } : { message } };
  }
}
