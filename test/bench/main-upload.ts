/**
 * `npm run bench -- upload`: how fast cdh-upload moves bundles to an S3 server on loopback, beside `rclone copy`.
 */
import { existsSync, mkdtempSync, rmSync, statfsSync } from "node:fs";
import { cpus, release, tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { notBuilt } from "../helpers/built.ts";
import { compilerUnavailable } from "../helpers/crash-programs.ts";
import { unpackDebianPackage } from "../helpers/debian-package.ts";
import { writeSection } from "./docs.ts";
import { markdownOf, median, tableOf } from "./report.ts";
import { LOADS, makeBundles, tenthOf, type Load } from "./upload-loads.ts";
import { CDH_UPLOAD, rcloneCopy, runOnce, type Contestant, type Run } from "./upload-round.ts";

const MIB = 1024 * 1024;
const TARGET = 0.9;
/** Room for the largest load twice. */
const SERVER_BYTES = 5 * 1024 * MIB;
const MEMORY = "/dev/shm";

const HEADER = [
  "load",
  "program",
  "speed ÷ rclone",
  "MiB/s",
  "seconds",
  "min–max",
  "peak MiB",
  "CPU s",
  "MinIO's CPU s",
];

const secondsOf = (runs: readonly Run[]): number => median(runs.map((run) => run.seconds));

function rowOf(load: Load, name: string, runs: readonly Run[], base: number): string[] {
  const seconds = secondsOf(runs);
  const all = runs.map((run) => run.seconds);
  return [
    load.title,
    name,
    Number.isFinite(base) ? (base / seconds).toFixed(2) : "–",
    ((load.count * load.sizeMb) / seconds).toFixed(0),
    seconds.toFixed(2),
    `${Math.min(...all).toFixed(2)}–${Math.max(...all).toFixed(2)}`,
    (median(runs.map((run) => run.peakRssBytes)) / MIB).toFixed(0),
    (median(runs.map((run) => run.cpuMs)) / 1000).toFixed(2),
    (median(runs.map((run) => run.serverCpuMs)) / 1000).toFixed(2),
  ];
}

/**
 * Choose where MinIO keeps its objects: in memory, because on the disk a run pays for what was deleted in the minutes
 * before it. (ext4 gives no inode anew for a minute, and looks at all of those whenever a file is made.)
 */
function serverParent(onDisk: boolean): string {
  if (onDisk || !existsSync(MEMORY)) return tmpdir();
  const { bavail, bsize } = statfsSync(MEMORY);
  return bavail * bsize < SERVER_BYTES ? tmpdir() : MEMORY;
}

/** Let the programs take turns with a load. The first round warms up; who begins changes from round to round. */
async function measureLoad(
  load: Load,
  contestants: readonly Contestant[],
  { rounds, parent }: { rounds: number; parent: string },
): Promise<Run[][]> {
  const directory = mkdtempSync(join(tmpdir(), "cdh-bench-upload-"));
  const runs: Run[][] = contestants.map(() => []);
  try {
    makeBundles(directory, load);
    for (let round = 0; round <= rounds; round += 1) {
      const order = [...contestants.entries()];
      for (const [index, contestant] of round % 2 === 0 ? order : order.toReversed()) {
        const run = await runOnce(contestant, directory, parent);
        const when = round === 0 ? "warm-up" : `run ${round}`;
        const cpu = `CPU ${(run.cpuMs / 1000).toFixed(2)} s, MinIO's ${(run.serverCpuMs / 1000).toFixed(2)} s`;
        process.stderr.write(`  ${load.title} ${when}: ${contestant.name} ${run.seconds.toFixed(2)} s, ${cpu}\n`);
        if (round > 0) runs[index]?.push(run);
      }
    }
    return runs;
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}

const { values } = parseArgs({
  args: process.argv.slice(2),
  allowNegative: true,
  options: {
    runs: { type: "string", default: "3" },
    load: { type: "string" },
    docs: { type: "boolean", default: true },
    disk: { type: "boolean", default: false },
    small: { type: "boolean", default: false },
  },
});
const named = Object.entries(LOADS).filter(([name]) => values.load === undefined || values.load === name);
if (named.length === 0) {
  process.stderr.write(`bench upload: no load named ${values.load}; known: ${Object.keys(LOADS).join(", ")}\n`);
  process.exit(2);
}
const reason = notBuilt("cdc", "cdh-upload") ?? compilerUnavailable();
if (reason !== undefined) {
  process.stderr.write(`bench upload: cannot measure here: ${reason}\n`);
  process.exit(11);
}
const rclone = unpackDebianPackage("rclone", "usr/bin/rclone");
if ("reason" in rclone) process.stderr.write(`left out: rclone: ${rclone.reason}\n`);
const contestants = [CDH_UPLOAD, ...("path" in rclone ? [rcloneCopy(rclone.path)] : [])];
const parent = serverParent(values.disk);
const rows = [HEADER];
const lines: string[] = [];
for (const [, full] of named) {
  const load = values.small ? tenthOf(full) : full;
  const [ours = [], theirs = []] = await measureLoad(load, contestants, { rounds: Number(values.runs), parent });
  const base = secondsOf(theirs);
  for (const [index, runs] of [ours, theirs].entries()) {
    const { name } = contestants[index] ?? {};
    if (name !== undefined) rows.push(rowOf(load, name, runs, base));
  }
  const ratio = base / secondsOf(ours);
  if (Number.isFinite(ratio))
    lines.push(
      `${load.title}: cdh-upload ÷ rclone ${ratio.toFixed(2)}, to reach ≥ ${TARGET.toFixed(2)}: ${ratio >= TARGET ? "reached" : "not reached"}`,
    );
}
process.stdout.write(`\n${tableOf(rows)}\n${lines.join("\n")}\n`);
// The section holds all loads, each measured in full.
if (values.docs && !values.small && values.load === undefined) {
  writeSection(
    "bench-upload",
    [
      "## How fast bundles reach the store",
      "",
      "`cdh-upload sweep` and `rclone copy` (Debian's, default settings) side by side in one run, to MinIO on loopback, incompressible bundles.",
      "cdh-upload hashes each bundle, verifies each object in the store and deletes the local file within this time; rclone copies.",
      `Each program meets a server that was just started and keeps its objects ${parent === MEMORY ? "in memory" : "on the disk"}; who begins changes from round to round.`,
      `Medians of ${values.runs} runs; ${cpus().length} cores, Linux ${release()}.`,
      "",
      markdownOf(rows),
      "",
      ...lines.map((line) => `- ${line}`),
    ].join("\n"),
  );
}
