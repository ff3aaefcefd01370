import {
  chmodSync,
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { dirname, join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { buildCorePattern } from "@cdh/core/kernel/pattern";
import { builtPath, notBuilt, runBuilt } from "./built.ts";
import { openBundleFile, type OpenBundle } from "./bundle-files.ts";
import { compileCrashPrograms } from "./crash-programs.ts";
import { type KernelHold, readKernelSettings } from "./kernel-state.ts";

/** The composer, installed into a temporary host directory and known to the kernel. */
export interface InstalledComposer extends AsyncDisposable {
  readonly hostDir: string;
  readonly coreDir: string;
  /** Names of the published bundles, oldest first as their names sort. */
  published(): string[];
  /** Everything in CORE_DIR, names with a leading dot included. */
  spoolNames(): string[];
  /**
   * Wait until the bundle of the process that had this pid is published.
   * @throws {Error} after `timeoutMs` (default 30,000), with what the spool and the composer's log hold then
   */
  bundleOf(pid: number, timeoutMs?: number): Promise<OpenBundle>;
  /** Pids of composers that run: each goes on for a moment after its bundle is published. */
  running(): number[];
  /** The composer's log, as its lines. */
  log(): Record<string, unknown>[];
  /** With `measured`: what each run of the composer cost, in order of their ends. */
  measurements(): Measurement[];
  /** With `tee`: the file with the bytes that the kernel wrote for the crash of this process. */
  teeOf(pid: number): string;
}

/** What `test/programs/measure.c` reports about one run of a handler. */
export interface Measurement {
  pid: number;
  startedNs: number;
  endedNs: number;
  exitCode: number;
  signal: number;
  maxRssBytes: number;
  userMs: number;
  systemMs: number;
}

/** Say how to install. */
export interface InstallOptions {
  /** Composer settings, by their names in `.env` without `COMP_`. */
  settings?: Record<string, string>;
  /** Put a wrapper between the kernel and the composer that measures it, or that keeps a copy of what the kernel writes. */
  wrapper?: "measured" | "tee";
}

async function install(hostDir: string, settings: Record<string, string>): Promise<void> {
  if (notBuilt("cdh-sysctl") === undefined) {
    const env = Object.fromEntries(Object.entries(settings).map(([name, value]) => [`COMP_${name}`, value]));
    const result = await runBuilt("cdh-sysctl", ["install"], {
      env: { PATH: process.env["PATH"] ?? "", HOST_DIR: hostDir, ...env },
    });
    if (result.exitCode !== 0)
      throw new Error(`cdh-sysctl install: status ${String(result.exitCode)}\n${result.stdout}${result.stderr}`);
    return;
  }
  mkdirSync(join(hostDir, "cores"), { recursive: true, mode: 0o700 });
  const source = dirname(builtPath("cdc"));
  for (const name of ["cdc", "lib"])
    if (existsSync(join(source, name))) cpSync(join(source, name), join(hostDir, name), { recursive: true });
  const lines = Object.entries({ CORE_DIR: join(hostDir, "cores"), ...settings }).map(
    ([name, value]) => `${name}=${JSON.stringify(value)}\n`,
  );
  writeFileSync(join(hostDir, ".env"), lines.join(""), { mode: 0o600 });
}

function wrap(directory: string, hostDir: string, kind: "measured" | "tee"): string {
  const script = join(directory, "w");
  const cdc = join(hostDir, "cdc");
  // `cp` keeps the program reachable by a short path: the whole core pattern has 127 bytes.
  if (kind === "measured") cpSync(compileCrashPrograms().measure, join(directory, "measure"));
  const body =
    kind === "measured"
      ? `exec ${directory}/measure ${directory}/report ${cdc} "$@"`
      : `PATH=/usr/bin:/bin; tee ${directory}/tee.\${1#-P=} | ${cdc} "$@"`;
  writeFileSync(script, `#!/bin/sh\n${body}\n`);
  chmodSync(script, 0o755);
  return script;
}

/**
 * Install the built composer, with `cdh-sysctl install` where that is built, and make the kernel start it.
 * The caller holds the kernel's settings and gives them back; disposing removes the files.
 */
export async function installComposer(hold: KernelHold, options: InstallOptions = {}): Promise<InstalledComposer> {
  const directory = mkdtempSync("/tmp/cdhk-");
  const hostDir = join(directory, "h");
  const coreDir = join(hostDir, "cores");
  // A plain name first: the composer's installer must find none of its own lines to "restore" later.
  hold.set({ corePattern: "core", corePipeLimit: "16", suidDumpable: "2" });
  mkdirSync(hostDir, { mode: 0o755 });
  // Suites crash one program over and over, which the limits are there to stop; their own tests set them. No container
  // runtime runs here, so nothing is to be asked.
  try {
    await install(hostDir, { RATE_LIMIT: "0", KEEP_PER_SITE: "0", IGNORE_CRIO: "true", ...options.settings });
  } catch (error) {
    rmSync(directory, { recursive: true, force: true });
    throw error;
  }
  const pattern = buildCorePattern(hostDir);
  if (readKernelSettings().corePattern !== pattern) hold.set({ corePattern: pattern });
  if (options.wrapper !== undefined) {
    hold.set({ corePattern: pattern.replace(`|${hostDir}/cdc`, `|${wrap(directory, hostDir, options.wrapper)}`) });
  }
  const list = (): string[] => (existsSync(coreDir) ? readdirSync(coreDir).sort() : []);
  const published = (): string[] => list().filter((name) => name.endsWith(".zip") && !name.startsWith("."));
  const logText = (): string =>
    [".1", ""].map((suffix) => readTextIfThere(join(hostDir, `composer.log${suffix}`))).join("");
  const seen = new Map<string, OpenBundle>();
  const bundleOf = async (pid: number, timeoutMs = 30_000): Promise<OpenBundle> => {
    const deadline = performance.now() + timeoutMs;
    for (;;) {
      for (const name of published()) {
        const bundle = seen.get(name) ?? (await openBundleFile(join(coreDir, name)));
        seen.set(name, bundle);
        if (bundle.manifest.process.pid === pid) return bundle;
      }
      if (performance.now() > deadline) {
        throw new Error(
          `no bundle of pid ${pid} after ${timeoutMs} ms; CORE_DIR: ${JSON.stringify(list())}; log:\n${logText()}`,
        );
      }
      await delay(20);
    }
  };
  return {
    hostDir,
    coreDir,
    teeOf: (pid) => join(directory, `tee.${pid}`),
    published,
    spoolNames: list,
    bundleOf,
    running: () => processesOf(join(hostDir, "cdc")),
    log: () => parseLines(logText()),
    measurements: () => parseLines(readTextIfThere(join(directory, "report"))) as unknown as Measurement[],
    [Symbol.asyncDispose]: async () => {
      hold.set({ corePattern: "core" });
      rmSync(directory, { recursive: true, force: true });
    },
  };
}

/** Pids of the processes that run an executable. */
export function processesOf(executable: string): number[] {
  const pids = readdirSync("/proc").filter((name) => /^\d+$/.test(name));
  return pids.filter((pid) => linkIfThere(`/proc/${pid}/exe`) === executable).map(Number);
}

function linkIfThere(path: string): string | undefined {
  try {
    return readlinkSync(path);
  } catch {
    // It ended while we looked, or is a thread of the kernel.
    return undefined;
  }
}

function readTextIfThere(path: string): string {
  return existsSync(path) ? readFileSync(path, "utf8") : "";
}

function parseLines(text: string): Record<string, unknown>[] {
  return text
    .split("\n")
    .filter((line) => line !== "")
    .map((line) => JSON.parse(line) as Record<string, unknown>);
}
