/**
 * `npm run bench -- upload`: how fast cdh-upload moves bundles to an S3 server on loopback, beside `rclone copy`.
 */
import { spawnSync } from "node:child_process";
import { linkSync, mkdirSync, mkdtempSync, readdirSync, rmSync } from "node:fs";
import { cpus, release, tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { builtPath, notBuilt } from "../helpers/built.ts";
import { compileCrashPrograms, compilerUnavailable } from "../helpers/crash-programs.ts";
import { listKeys } from "../helpers/s3-request.ts";
import { startS3Server, type S3Server } from "../helpers/s3-server.ts";
import { unpackDebianPackage } from "./debian-package.ts";
import { writeSection } from "./docs.ts";
import { readMeasurements } from "./handler.ts";
import { markdownOf, median, tableOf } from "./report.ts";

const MIB = 1024 * 1024;
const TARGET = 0.9;

/** What is uploaded: so many bundles of so many MiB, incompressible. */
interface Load {
  title: string;
  count: number;
  sizeMb: number;
}

const LOADS: Load[] = [
  { title: "1 × 2 GB", count: 1, sizeMb: 2048 },
  { title: "200 × 5 MB", count: 200, sizeMb: 5 },
];

interface Run {
  seconds: number;
  peakRssBytes: number;
  cpuMs: number;
}

/** Run a program to its end, measured by the kernel's own accounting. @throws {Error} when it fails */
function measured(directory: string, env: Record<string, string>, command: string, args: string[]): Run {
  const report = join(directory, "report");
  const done = readMeasurements(report).length;
  const result = spawnSync(compileCrashPrograms().measure, [report, command, ...args], {
    env: { PATH: process.env["PATH"] ?? "", HOME: directory, ...env },
    stdio: ["ignore", "ignore", "pipe"],
  });
  const cost = readMeasurements(report)[done];
  if (result.status !== 0 || cost === undefined)
    throw new Error(`${command} ${args.join(" ")}: status ${String(result.status)}\n${result.stderr.toString()}`);
  return {
    seconds: (cost.endedNs - cost.startedNs) / 1e9,
    peakRssBytes: cost.maxRssBytes,
    cpuMs: cost.userMs + cost.systemMs,
  };
}

/** Make real bundles with the composer, stored plain, so that their size is the core's. */
function makeBundles(directory: string, load: Load): void {
  const core = join(directory, "core");
  for (let index = 0; index < load.count; index++) {
    const made = spawnSync("dd", ["if=/dev/urandom", `of=${core}`, "bs=1M", `count=${load.sizeMb}`, "status=none"]);
    if (made.status !== 0) throw new Error(`dd: ${made.stderr.toString()}`);
    const replayed = spawnSync(builtPath("cdc"), ["replay", core], {
      env: {
        PATH: process.env["PATH"] ?? "",
        CORE_DIR: join(directory, "made"),
        COMPRESSION: "none",
        RATE_LIMIT: "0",
        IGNORE_CRIO: "true",
      },
    });
    if (replayed.status !== 0 && replayed.status !== 3) throw new Error(`cdc replay: ${replayed.stderr.toString()}`);
  }
  rmSync(core);
}

/** A fresh spool with the same bundles, as links: cdh-upload deletes what it has sent. */
function freshSpool(directory: string, name: string): string {
  const spool = join(directory, name);
  mkdirSync(spool, { mode: 0o700 });
  for (const file of readdirSync(join(directory, "made"))) {
    if (file.endsWith(".zip")) linkSync(join(directory, "made", file), join(spool, file));
  }
  return spool;
}

async function oneRound(
  s3: S3Server,
  directory: string,
  round: number,
  rclone: string | undefined,
): Promise<{ ours: Run; theirs: Run | undefined }> {
  const spool = freshSpool(directory, `ours-${round}`);
  const files = readdirSync(spool).length;
  const ours = measured(directory, s3.env, builtPath("cdh-upload"), [
    "sweep",
    "--core-dir",
    spool,
    "--store",
    `s3://${s3.bucket}/ours-${round}`,
  ]);
  const sent = await listKeys(s3, s3.bucket, `ours-${round}/`);
  if (sent.size !== 2 * files || readdirSync(spool).some((name) => name.endsWith(".zip")))
    throw new Error(`cdh-upload sent ${sent.size} objects of ${files} bundles`);
  let theirs: Run | undefined;
  if (rclone !== undefined) {
    const source = freshSpool(directory, `theirs-${round}`);
    const flags = {
      provider: "Minio",
      endpoint: s3.endpoint,
      region: s3.region,
      "access-key-id": s3.accessKey,
      "secret-access-key": s3.secretKey,
    };
    const options = Object.entries(flags).map(([flag, value]) => `--s3-${flag}=${value}`);
    theirs = measured(directory, {}, rclone, ["copy", source, `:s3:${s3.bucket}/theirs-${round}`, ...options]);
    rmSync(source, { recursive: true });
  }
  rmSync(spool, { recursive: true });
  return { ours, theirs };
}

function rowOf(load: Load, name: string, runs: readonly Run[], base: number): string[] {
  const seconds = median(runs.map((run) => run.seconds));
  const speed = (load.count * load.sizeMb) / seconds;
  return [
    load.title,
    name,
    Number.isFinite(base) ? (base / seconds).toFixed(2) : "–",
    speed.toFixed(0),
    seconds.toFixed(2),
    (median(runs.map((run) => run.peakRssBytes)) / MIB).toFixed(0),
    (median(runs.map((run) => run.cpuMs)) / 1000).toFixed(2),
  ];
}

const { values } = parseArgs({
  args: process.argv.slice(2),
  allowNegative: true,
  options: {
    runs: { type: "string", default: "3" },
    docs: { type: "boolean", default: true },
    small: { type: "boolean", default: false },
  },
});
const reason = notBuilt("cdc", "cdh-upload") ?? compilerUnavailable();
if (reason !== undefined) {
  process.stderr.write(`bench upload: cannot measure here: ${reason}\n`);
  process.exit(11);
}
const rclone = unpackDebianPackage("rclone", "usr/bin/rclone");
if ("reason" in rclone) process.stderr.write(`left out: rclone: ${rclone.reason}\n`);
const rows = [["load", "program", "speed ÷ rclone", "MiB/s", "seconds", "peak MiB", "CPU s"]];
const lines: string[] = [];
for (const load of LOADS.map((full) =>
  values.small
    ? {
        ...full,
        title: `${full.title} (a tenth)`,
        count: Math.ceil(full.count / 10),
        sizeMb: full.count === 1 ? full.sizeMb / 10 : full.sizeMb,
      }
    : full,
)) {
  const directory = mkdtempSync(join(tmpdir(), "cdh-bench-upload-"));
  try {
    mkdirSync(join(directory, "made"), { mode: 0o700 });
    makeBundles(directory, { ...load, sizeMb: Math.floor(load.sizeMb) });
    const ours: Run[] = [];
    const theirs: Run[] = [];
    for (let round = 0; round <= Number(values.runs); round++) {
      // A server of its own each round: MinIO's disk must not fill, and no object must be there already.
      await using s3 = await startS3Server({ kind: "minio" });
      const result = await oneRound(s3, directory, round, "path" in rclone ? rclone.path : undefined);
      process.stderr.write(
        `  ${load.title} ${round === 0 ? "warm-up" : `run ${round}`}: cdh-upload ${result.ours.seconds.toFixed(2)} s${result.theirs === undefined ? "" : `, rclone ${result.theirs.seconds.toFixed(2)} s`}\n`,
      );
      if (round === 0) continue;
      ours.push(result.ours);
      if (result.theirs !== undefined) theirs.push(result.theirs);
    }
    const base = median(theirs.map((run) => run.seconds));
    rows.push(
      rowOf(load, "cdh-upload sweep", ours, base),
      ...(theirs.length === 0 ? [] : [rowOf(load, "rclone copy", theirs, base)]),
    );
    const ratio = base / median(ours.map((run) => run.seconds));
    if (Number.isFinite(ratio))
      lines.push(
        `${load.title}: cdh-upload ÷ rclone ${ratio.toFixed(2)}, to reach ≥ ${TARGET.toFixed(2)}: ${ratio >= TARGET ? "reached" : "not reached"}`,
      );
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}
process.stdout.write(`\n${tableOf(rows)}\n${lines.join("\n")}\n`);
if (values.docs && !values.small) {
  writeSection(
    "bench-upload",
    [
      "## How fast bundles reach the store",
      "",
      "`cdh-upload sweep` and `rclone copy` (Debian's, default settings) side by side in one run, to MinIO on loopback, incompressible bundles.",
      "cdh-upload hashes each bundle, verifies each object in the store and deletes the local file within this time; rclone copies.",
      `Medians of ${values.runs} runs; ${cpus().length} cores, Linux ${release()}.`,
      "",
      markdownOf(rows),
      "",
      ...lines.map((line) => `- ${line}`),
    ].join("\n"),
  );
}
