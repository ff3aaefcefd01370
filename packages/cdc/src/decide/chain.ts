import { once } from "node:events";
import { readFile, realpath } from "node:fs/promises";
import { join } from "node:path";
import type { Writable } from "node:stream";
import type { Problem } from "@cdh/core/bundle/manifest";
import { timerMs } from "@cdh/core/clock";
import type { ProcessSnapshot } from "@cdh/core/container/process";
import { errnoOf, reasonOf } from "@cdh/core/errors";
import type { ChildProcess } from "@cdh/core/exec";
import { expandSpecifiers } from "@cdh/core/kernel/expand-specifiers";
import { parseCorePattern } from "@cdh/core/kernel/pattern";
import type { Work } from "../request.ts";
import type { CoreInput } from "../self/input.ts";

/** Where cdh-sysctl keeps the core pattern that was there before. */
const BACKUP_NAME = "core_pattern.bak";

const BUFFER_BYTES = 1024 * 1024;

/** What handing on needs. */
type Given = Pick<Work, "input" | "crash" | "settings" | "exeDir">;

/** What became of a core that belongs to the handler before us. */
export interface ChainResult {
  /** Path of the handler that took it. */
  handler: string;
  passedBytes: number;
  /** How it ended; undefined when it had not by the deadline. */
  ended: string | undefined;
}

/**
 * Hand a core on to the pipe handler that was the kernel's before us: its own words, an empty environment, cwd `/`, no
 * shell, every byte in order. The crashed process is held until the handler has ended, because it reads /proc too.
 *
 * Only a pipe handler is taken up. A file pattern would have us write as root where the crashed process's own rights
 * decided before, along links that it may have made; a socket pattern speaks a protocol of its own. Then, and when the
 * handler can't be started, nothing is read from the input, and the crash is kept as any other.
 * @returns what became of it, or why it was not handed on
 */
export async function chainCore(
  given: Given,
  crashed: ProcessSnapshot,
): Promise<{ result: ChainResult } | { declined: Problem }> {
  const { crash, exeDir, input } = given;
  const decline = (detail: string): { declined: Problem } => ({
    declined: { step: "chain", code: "CDH_CHAIN_IMPOSSIBLE", detail: `${detail}; the core is kept here` },
  });
  const text = await readFile(join(exeDir, BACKUP_NAME), "utf8").catch((error: unknown) => errnoOf(error) ?? "error");
  const pattern = parseCorePattern(text);
  if (pattern.kind === "socket")
    return decline(`${BACKUP_NAME} names a socket (${pattern.path}), which speaks a protocol of its own`);
  if (pattern.kind !== "pipe") return decline(`${BACKUP_NAME} names no pipe handler`);
  const extras = { uid: crashed.uid, gid: crashed.gid, exe: crashed.exe };
  const [file = "", ...args] = [pattern.executable, ...pattern.args].map((word) =>
    expandSpecifiers(word, crash, extras),
  );
  if (!file.startsWith("/")) return decline(`the handler ${file} is no absolute path`);
  if (await isOurselves(file)) return decline(`the handler ${file} is this composer`);
  let handler: ChildProcess;
  try {
    handler = await startHandler(file, args, crash.pidfd);
  } catch (error) {
    return decline(`cannot start ${file}: ${reasonOf(error)}`);
  }
  const deadline = AbortSignal.timeout(timerMs(given.settings.timeoutMs));
  const ended = new Promise<string>((resolve) => {
    handler.once("exit", (status, signal) => resolve(signal ?? `status ${String(status)}`));
  });
  const passedBytes = await feed(input, handler.stdin as Writable, deadline);
  const outcome = await Promise.race([ended, aborted(deadline)]);
  handler.unref();
  await input.close();
  return { result: { handler: file, passedBytes, ended: outcome } };
}

/** The pidfd of the kernel's line (`%F`) means the same number in the handler. */
async function startHandler(file: string, args: string[], pidfd: number | undefined): Promise<ChildProcess> {
  const { start } = await import("@cdh/core/exec");
  const extra = pidfd === 3 ? [3] : [];
  const handler = start(file, args, {
    stdio: ["pipe", "ignore", "ignore", ...extra],
    env: {},
    cwd: "/",
    detached: true,
  });
  // A handler that stops reading has seen enough; its exit tells the rest.
  handler.stdin?.on("error", () => {});
  await once(handler, "spawn");
  return handler;
}

async function feed(input: CoreInput, stdin: Writable, deadline: AbortSignal): Promise<number> {
  let passed = 0;
  // Two buffers: while one is being written, the next is read.
  const buffers = [Buffer.allocUnsafe(BUFFER_BYTES), Buffer.allocUnsafe(BUFFER_BYTES)];
  let written: Promise<boolean> = Promise.resolve(true);
  const over = aborted(deadline);
  for (let turn = 0; !deadline.aborted; turn += 1) {
    const buffer = buffers[turn % 2] ?? Buffer.alloc(BUFFER_BYTES);
    const count = await Promise.race([input.read(buffer, 0, BUFFER_BYTES).catch(() => 0), over]);
    if (count === undefined || count === 0 || (await Promise.race([written, over])) !== true) break;
    written = new Promise((resolve) =>
      stdin.write(buffer.subarray(0, count), (error) => resolve(error === undefined || error === null)),
    );
    passed += count;
  }
  await Promise.race([written, over]);
  // After the deadline the handler keeps what it has; it sees the end of the core now.
  if (deadline.aborted) stdin.destroy();
  else stdin.end();
  return passed;
}

/** A backup of our own line would start us for ever. */
async function isOurselves(file: string): Promise<boolean> {
  const real = (path: string): Promise<string> => realpath(path).catch(() => path);
  return (await real(file)) === (await real(process.execPath));
}

function aborted(signal: AbortSignal): Promise<undefined> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve(undefined);
    else signal.addEventListener("abort", () => resolve(undefined), { once: true });
  });
}
