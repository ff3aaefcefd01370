import { spawnSync } from "node:child_process";
import { readdirSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { builtPath } from "../helpers/built.ts";
import { compileCrashPrograms } from "../helpers/crash-programs.ts";
import { listKeys } from "../helpers/s3-request.ts";
import { startS3Server, type S3Server } from "../helpers/s3-server.ts";
import { readMeasurements } from "./handler.ts";
import { bundlesIn, freshSpool } from "./upload-loads.ts";

/** What one run of a program cost, and what it cost the server. */
export interface Run {
  seconds: number;
  peakRssBytes: number;
  cpuMs: number;
  serverCpuMs: number;
}

/** A program that uploads the bundles of a spool. */
export interface Contestant {
  name: string;
  /** Command and arguments. */
  command(s3: S3Server, spool: string): [string, ...string[]];
  env(s3: S3Server): Record<string, string>;
  /** Objects in the store for each bundle. */
  objects: number;
  /** The spool must be empty afterwards. */
  deletes: boolean;
}

/** `cdh-upload sweep` with its default settings. */
export const CDH_UPLOAD: Contestant = {
  name: "cdh-upload sweep",
  command: (s3, spool) => [builtPath("cdh-upload"), "sweep", "--core-dir", spool, "--store", `s3://${s3.bucket}/bench`],
  env: (s3) => s3.env,
  objects: 2,
  deletes: true,
};

/** `rclone copy` with its default settings. */
export function rcloneCopy(path: string): Contestant {
  return {
    name: "rclone copy",
    command: (s3, spool) => {
      const flags = {
        provider: "Minio",
        endpoint: s3.endpoint,
        region: s3.region,
        "access-key-id": s3.accessKey,
        "secret-access-key": s3.secretKey,
      };
      const options = Object.entries(flags).map(([flag, value]) => `--s3-${flag}=${value}`);
      return [path, "copy", spool, `:s3:${s3.bucket}/bench`, ...options];
    },
    env: () => ({}),
    objects: 1,
    deletes: false,
  };
}

/**
 * Let a program upload all bundles once, to a server of its own that was just started, so that neither profits from a
 * server which the other has warmed, and with nothing left to write back, so that neither waits for the other's bytes.
 * @param serverParent where the server keeps its objects
 * @throws {Error} when it fails, or did not send everything
 */
export async function runOnce(contestant: Contestant, directory: string, serverParent: string): Promise<Run> {
  await using s3 = await startS3Server({ kind: "minio", parent: serverParent });
  const spool = freshSpool(directory, "spool");
  try {
    const files = bundlesIn(spool).length;
    spawnSync("sync");
    const before = processorMs(s3.dataDir);
    const run = measured(directory, contestant.env(s3), contestant.command(s3, spool));
    const serverCpuMs = processorMs(s3.dataDir) - before;
    const sent = await listKeys(s3, s3.bucket, "bench/");
    if (sent.size !== contestant.objects * files || (contestant.deletes && bundlesIn(spool).length > 0))
      throw new Error(`${contestant.name} sent ${sent.size} objects of ${files} bundles`);
    return { ...run, serverCpuMs };
  } finally {
    rmSync(spool, { recursive: true });
  }
}

/** Run a program to its end, measured by the kernel's own accounting. */
function measured(directory: string, env: Record<string, string>, command: string[]): Omit<Run, "serverCpuMs"> {
  const report = join(directory, "report");
  const done = readMeasurements(report).length;
  const result = spawnSync(compileCrashPrograms().measure, [report, ...command], {
    env: { PATH: process.env["PATH"] ?? "", HOME: directory, ...env },
    stdio: ["ignore", "ignore", "pipe"],
  });
  const cost = readMeasurements(report)[done];
  if (result.status !== 0 || cost === undefined)
    throw new Error(`${command.join(" ")}: status ${String(result.status)}\n${result.stderr.toString()}`);
  return {
    seconds: (cost.endedNs - cost.startedNs) / 1e9,
    peakRssBytes: cost.maxRssBytes,
    cpuMs: cost.userMs + cost.systemMs,
  };
}

/** Processor time that the server on a directory has used; the clock of /proc ticks a hundred times a second. */
function processorMs(dataDir: string): number {
  let ticks = 0;
  for (const pid of readdirSync("/proc").filter((name) => /^\d+$/.test(name))) {
    try {
      const [program = "", ...args] = readFileSync(`/proc/${pid}/cmdline`, "utf8").split("\0");
      // The shell that the server is tied to has the same arguments.
      if (!program.endsWith("minio") || !args.includes(dataDir)) continue;
      const fields = readFileSync(`/proc/${pid}/stat`, "utf8")
        .replace(/^.*\) /s, "")
        .split(" ");
      ticks += Number(fields[11]) + Number(fields[12]);
    } catch {
      // It ended meanwhile.
    }
  }
  return ticks * 10;
}
