import { spawn } from "node:child_process";
import { once } from "node:events";
import { accessSync, constants, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { REPOSITORY } from "./repository.ts";
import { findOnPath } from "./tools.ts";

/** The three kernel settings that decide what happens to a crash, as text without the final newline. */
export interface KernelSettings {
  corePattern: string;
  corePipeLimit: string;
  suidDumpable: string;
}

const FILES: Record<keyof KernelSettings, string> = {
  corePattern: "/proc/sys/kernel/core_pattern",
  corePipeLimit: "/proc/sys/kernel/core_pipe_limit",
  suidDumpable: "/proc/sys/fs/suid_dumpable",
};

/** One lock for everything on the machine that sets the core pattern: tests, demo, trials by hand. */
export const KERNEL_LOCK = "/run/lock/cdh-kernel.lock";
const SAVED = "/run/lock/cdh-kernel.saved";

/** Read the settings as they are now. */
export function readKernelSettings(): KernelSettings {
  const read = (name: keyof KernelSettings): string => readFileSync(FILES[name], "utf8").replace(/\n$/, "");
  return { corePattern: read("corePattern"), corePipeLimit: read("corePipeLimit"), suidDumpable: read("suidDumpable") };
}

/** Say why the kernel's settings can't be set here, or undefined when they can. */
export function kernelUnavailable(): string | undefined {
  if (process.platform !== "linux") return `the kernel suite needs Linux, this is ${process.platform}`;
  if (process.getuid?.() !== 0) return "the kernel suite needs root";
  const { reason } = findOnPath("flock");
  if (reason !== undefined) return reason;
  try {
    accessSync(FILES.corePattern, constants.W_OK);
  } catch {
    return "/proc/sys is read-only here";
  }
  return undefined;
}

/** The lock on the kernel's settings, held. Releasing it puts the settings back as they were. */
export interface KernelHold extends AsyncDisposable {
  readonly saved: Readonly<KernelSettings>;
  /** Write settings, `core_pattern` last, and check that the kernel took them. @throws {Error} when it did not */
  set(settings: Partial<KernelSettings>): void;
  /** Put everything back and give up the lock; safe to call twice. @throws {Error} when a value did not come back */
  release(): Promise<void>;
}

/**
 * Take the machine-wide lock and save the three settings.
 * A guard process restores them when this process releases the hold or ends in any way, SIGKILL included.
 * @param waitSeconds how long to wait for others; default `CDH_KERNEL_LOCK_WAIT`, else 600
 * @throws {Error} when somebody else holds the lock for longer than that
 */
export async function holdKernel(
  waitSeconds = Number(process.env["CDH_KERNEL_LOCK_WAIT"] ?? 600),
): Promise<KernelHold> {
  const guardScript = join(REPOSITORY, "test/helpers/kernel-guard.sh");
  const guard = spawn("flock", ["-w", String(waitSeconds), "-E", "75", KERNEL_LOCK, "/bin/sh", guardScript, SAVED], {
    stdio: ["pipe", "pipe", "inherit"],
    detached: true,
  });
  guard.stdin.on("error", () => undefined);
  const ended = once(guard, "exit").then(([code]: unknown[]) => code);
  const first: unknown = await Promise.race([once(guard.stdout, "data").then(() => "held"), ended]);
  if (first !== "held") {
    throw new Error(
      first === 75
        ? `cannot take ${KERNEL_LOCK}: another run has held it for ${waitSeconds} s (CDH_KERNEL_LOCK_WAIT sets how long to wait)`
        : `cannot hold the kernel's core settings: the guard ended with status ${String(first)}`,
    );
  }
  const saved = readKernelSettings();
  const set = (settings: Partial<KernelSettings>): void => {
    for (const name of ["suidDumpable", "corePipeLimit", "corePattern"] as const) {
      const value = settings[name];
      if (value === undefined) continue;
      writeFileSync(FILES[name], `${value}\n`);
      const actual = readKernelSettings()[name];
      if (actual !== value)
        throw new Error(`${FILES[name]} is ${JSON.stringify(actual)} after writing ${JSON.stringify(value)}`);
    }
  };
  let released: Promise<void> | undefined;
  const release = (): Promise<void> => {
    released ??= (async () => {
      // The check must come before the lock is free: afterwards the settings may be another run's.
      for (const name of ["suidDumpable", "corePipeLimit", "corePattern"] as const) {
        if (readKernelSettings()[name] !== saved[name]) set({ [name]: saved[name] });
      }
      guard.stdin.end();
      const code = await ended;
      if (code !== 0) throw new Error(`the guard of the kernel's core settings ended with status ${String(code)}`);
    })();
    return released;
  };
  return { saved, set, release, [Symbol.asyncDispose]: release };
}
