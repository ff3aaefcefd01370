import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { compileCrashPrograms, compilerUnavailable } from "../helpers/crash-programs.ts";

/** Say why no file system that hangs can be made here, or undefined. */
export function hangUnavailable(): string | undefined {
  if (process.getuid?.() !== 0) return "mounting a file system that hangs needs root";
  return compilerUnavailable() ?? (existsSync("/dev/fuse") ? undefined : "/dev/fuse is not on this machine");
}

/** A directory that answers nothing. Disposed, everybody who waits for it gets an error. */
export interface HangingDirectory extends AsyncDisposable {
  readonly path: string;
}

/** Mount it. It goes with this process, however that ends. */
export async function makeHangingDirectory(): Promise<HangingDirectory> {
  const path = mkdtempSync(join(tmpdir(), "cdh-hang-"));
  const holder = spawn(compileCrashPrograms().hang, [path], { stdio: ["pipe", "pipe", "inherit"], detached: true });
  const ended = once(holder, "close");
  const first = await Promise.race([once(holder.stdout, "data"), ended.then(() => undefined)]);
  if (first === undefined) throw new Error(`no file system that hangs: status ${String(holder.exitCode)}`);
  return {
    path,
    [Symbol.asyncDispose]: async () => {
      holder.stdin.end();
      await ended;
      rmSync(path, { recursive: true, force: true });
    },
  };
}
