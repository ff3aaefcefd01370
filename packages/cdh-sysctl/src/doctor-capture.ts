import { randomBytes } from "node:crypto";
import { openSync, readdirSync, readSync, closeSync, rmSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { openBundleFile } from "@cdh/core/bundle/reader";
import { readManifest } from "@cdh/core/bundle/reader-manifest";
import type { Manifest } from "@cdh/core/bundle/manifest";
import { CdhError, reasonOf } from "@cdh/core/errors";
import { run } from "@cdh/core/exec";
import { onHost } from "@cdh/core/roots";
import { bundleNameOf } from "@cdh/core/spool/layout";
import { formatBytes } from "@cdh/core/units";
import type { Check, DoctorOptions } from "./doctor.ts";
import { lstatIfThere, readTextIfThere } from "./files.ts";
import { inHostDir, NAMES, type Node } from "./node.ts";
import { makeTinyCrash } from "./tiny-crash.ts";

const POLL_MS = 25;
const SIGSEGV = 11;

/**
 * Crash a tiny program of our own through the real kernel, wait for its bundle, verify it, and remove it: the only
 * proof that capture works.
 */
export async function checkCapture(node: Node, options: DoctorOptions): Promise<Check> {
  const id = "capture";
  // At most 15 bytes: the kernel cuts the name of a process there. New each time, so that no rate limit counts it.
  const comm = `cdhdoc${randomBytes(4).toString("hex")}`;
  const program = inHostDir(node, comm);
  const startedAt = node.clock.now();
  try {
    const problem = await crash(program);
    if (problem !== undefined) return { id, outcome: "failed", finding: `cannot crash a test program: ${problem}` };
    const deadline = node.clock.monotonic() + options.timeoutMs;
    const find = options.mode === "pipe" ? findBundle : findPlainCore;
    while (node.clock.monotonic() < deadline && !options.signal.aborted) {
      const found = (await find(node, comm, startedAt)) ?? findTaken(node, comm);
      if (found !== undefined) return { id, ...found };
      await node.clock.sleep(POLL_MS, options.signal).catch(() => {});
    }
    return { id, ...explainMiss(node, comm, options) };
  } catch (error) {
    if (!(error instanceof CdhError)) throw error;
    return {
      id,
      outcome: "failed",
      finding: error.message,
      ...(error.hint === undefined ? {} : { advice: error.hint }),
    };
  } finally {
    rmSync(program, { force: true });
  }
}

/** Run the tiny program, which lifts the limit on its core itself; says why it could not crash. */
async function crash(program: string): Promise<string | undefined> {
  try {
    writeFileSync(program, makeTinyCrash(process.arch), { flag: "wx", mode: 0o700 });
  } catch (error) {
    return reasonOf(error);
  }
  const result = await run(program, [], { env: {}, timeoutMs: 120_000 });
  if (result.signal === "SIGSEGV") return undefined;
  return result.stderr.trim() || result.notStarted || `it ended with ${result.signal ?? `status ${result.exitCode}`}`;
}

type Finding = Omit<Check, "id">;

async function findBundle(node: Node, comm: string, startedAt: number): Promise<Finding | undefined> {
  const directory = onHost(node.roots, node.coreDir);
  for (const name of listSince(directory, startedAt)) {
    if (bundleNameOf(name) === undefined) continue;
    const path = join(directory, name);
    try {
      const bundle = await openBundleFile(path);
      try {
        const manifest = await readManifest(bundle);
        if (manifest?.process.comm !== comm) continue;
        const core = bundle.findRole("core");
        // Reading an entry to its end checks its size and its checksum.
        if (core !== undefined) for await (const _bytes of bundle.stream(core));
        rmSync(path, { force: true });
        rmSync(join(onHost(node.roots, node.eventDir), `${manifest.crashId}-event.json`), { force: true });
        return judgeBundle(manifest, node.clock.now() - startedAt);
      } finally {
        await bundle.close();
      }
    } catch (error) {
      if (!(error instanceof CdhError)) throw error;
      // Taken by the uploader between our looks, or somebody else's broken file. The usual name tells ours.
      if (name.includes(comm) && error.code !== "CDH_NOT_FOUND") return { outcome: "failed", finding: error.message };
    }
  }
  return undefined;
}

function judgeBundle(manifest: Manifest, tookMs: number): Finding {
  const { core, signal, threads } = manifest;
  const facts = `crashed a test program, its bundle came after ${Math.round(tookMs)} ms (core ${formatBytes(core.sizeBytes ?? 0)})`;
  if (signal.number !== SIGSEGV)
    return { outcome: "failed", finding: `${facts}, and it tells signal ${signal.number} for SIGSEGV` };
  if (!core.complete && core.truncatedBy === "rlimit") {
    return {
      outcome: "warning",
      finding: `${facts}, cut at the core limit of this shell or container`,
      advice: "COMP_RLIMIT_CORE=ignore keeps cores whatever the limit is",
    };
  }
  if (!core.complete) {
    return {
      outcome: "failed",
      finding: `${facts}, but the core is not complete${core.truncatedBy === undefined ? "" : ` (${core.truncatedBy})`}`,
      advice: core.truncatedBy === "keepFree" ? "free some space, or lower KEEP_FREE" : "see composer.log in HOST_DIR",
    };
  }
  if ((threads?.length ?? 0) === 0) return { outcome: "warning", finding: `${facts}, but it lists no threads` };
  return { outcome: "ok", finding: `${facts} and verified` };
}

async function findPlainCore(node: Node, comm: string, startedAt: number): Promise<Finding | undefined> {
  const directory = onHost(node.roots, node.coreDir);
  const name = listSince(directory, startedAt).find(
    (candidate) => candidate.startsWith("core.") && candidate.includes(`.${comm}.`),
  );
  if (name === undefined) return undefined;
  const path = join(directory, name);
  const head = Buffer.alloc(4);
  const file = openSync(path, "r");
  const length = readSync(file, head, 0, 4, 0);
  closeSync(file);
  if (length < 4) return undefined;
  const sizeBytes = statSync(path).size;
  rmSync(path, { force: true });
  if (head.toString("latin1") !== "\x7fELF")
    return { outcome: "failed", finding: `the kernel wrote ${name}, which is no core` };
  return { outcome: "ok", finding: `crashed a test program, the kernel wrote its core (${formatBytes(sizeBytes)})` };
}

/** Find the composer's line about a bundle that is not in CORE_DIR any more: an uploader was faster than we are. */
function findTaken(node: Node, comm: string): Finding | undefined {
  for (const line of logLines(node, comm)) {
    const path = /"msg":"bundle published".*?"path":("(?:[^"\\]|\\.)*")/.exec(line)?.[1];
    if (path === undefined || lstatIfThere(onHost(node.roots, JSON.parse(path) as string)) !== undefined) continue;
    return {
      outcome: "ok",
      finding: "crashed a test program; the uploader took its bundle before it could be verified here",
    };
  }
  return undefined;
}

/** Say why no bundle came, as far as the composer's log tells. */
function explainMiss(node: Node, comm: string, options: DoctorOptions): Finding {
  const last = logLines(node, comm).at(-1);
  const what = options.mode === "pipe" ? "bundle" : "core";
  const finding = `crashed a test program, and no ${what} came within ${options.timeoutMs / 1000} s`;
  if (last === undefined) {
    return {
      outcome: "failed",
      finding,
      advice: "dmesg shows what the kernel or the composer said; the checks above may show why",
    };
  }
  return {
    outcome: "failed",
    finding: `${finding}; the composer says: ${last}`,
    advice: "see the lines around it in HOST_DIR/composer.log",
  };
}

function logLines(node: Node, comm: string): string[] {
  const log = [NAMES.oldLog, NAMES.log].map((name) => readTextIfThere(inHostDir(node, name)) ?? "").join("");
  return log.split("\n").filter((line) => line.includes(comm));
}

function listSince(directory: string, startedAt: number): string[] {
  try {
    return readdirSync(directory).filter((name) => {
      const entry = statSync(join(directory, name), { throwIfNoEntry: false });
      // A second of slack: file systems and the clock do not tick together.
      return entry?.isFile() === true && entry.mtimeMs >= startedAt - 1000;
    });
  } catch {
    return [];
  }
}
