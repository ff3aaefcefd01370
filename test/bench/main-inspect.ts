/**
 * `npm run bench -- inspect`: how long a person waits for the first answer about a crash, beside what is done by hand.
 */
import { execFileSync, spawnSync } from "node:child_process";
import { mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { cpus, getPriority, loadavg, release, tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { builtPath, notBuilt } from "../helpers/built.ts";
import { compileCrashPrograms, compilerUnavailable } from "../helpers/crash-programs.ts";
import { REPOSITORY } from "../helpers/repository.ts";
import { findOnPath, missingTools } from "../helpers/tools.ts";
import { writeSection } from "./docs.ts";
import { readMeasurements } from "./handler.ts";
import { markdownOf, median, tableOf } from "./report.ts";

const MIB = 1024 * 1024;
const TARGET_SECONDS = 0.5;
const TARGET_BYTES = 150 * MIB;

/** One way to learn what crashed. */
interface Way {
  name: string;
  command: readonly [string, ...string[]];
  /** Whether it has to reach the targets. */
  isOurs?: true;
}

interface Run {
  seconds: number;
  cpuSeconds: number;
  peakRssBytes: number;
}

/** Run a command to its end, measured by the kernel's own accounting. @throws {Error} when it fails */
function measured(directory: string, [name, ...args]: Way["command"]): Run {
  const command = name.includes("/") ? name : (findOnPath(name).path ?? name);
  const report = join(directory, "report");
  const done = readMeasurements(report).length;
  const env = { PATH: process.env["PATH"] ?? "", HOME: directory, TMPDIR: directory };
  const result = spawnSync(compileCrashPrograms().measure, [report, command, ...args], {
    env,
    stdio: ["ignore", "ignore", "pipe"],
  });
  const cost = readMeasurements(report)[done];
  if (result.status !== 0 || cost === undefined)
    throw new Error(`${command} ${args.join(" ")}: status ${String(result.status)}\n${result.stderr.toString()}`);
  return {
    seconds: (cost.endedNs - cost.startedNs) / 1e9,
    cpuSeconds: (cost.userMs + cost.systemMs) / 1000,
    peakRssBytes: cost.maxRssBytes,
  };
}

/** Make a bundle of a process that filled its memory; gdb takes the core, so that the kernel's settings stay as they are. */
function makeBundle(directory: string, sizeMb: number): { bundle: string; core: string; program: string } {
  const program = compileCrashPrograms().fill;
  const core = join(directory, "core");
  const made = [
    "-batch",
    "-ex",
    "run",
    "-ex",
    `generate-core-file ${core}`,
    "--args",
    program,
    String(sizeMb),
    "mixed",
  ];
  execFileSync("gdb", made, { stdio: "pipe" });
  const replayed = spawnSync(builtPath("cdc"), ["replay", core], {
    env: {
      PATH: process.env["PATH"] ?? "",
      CORE_DIR: join(directory, "made"),
      RATE_LIMIT: "0",
      KEEP_PER_SITE: "0",
      IGNORE_CRIO: "true",
    },
  });
  if (replayed.status !== 0 && replayed.status !== 3) throw new Error(`cdc replay: ${replayed.stderr.toString()}`);
  const name = readdirSync(join(directory, "made")).find((file) => file.endsWith(".zip"));
  if (name === undefined) throw new Error("cdc replay left no bundle");
  return { bundle: join(directory, "made", name), core, program };
}

/** The npm package, unpacked, as `npx` would start it. */
function packNpm(directory: string): string {
  const node = join(REPOSITORY, "dist/node/bin/node");
  execFileSync(node, [join(REPOSITORY, "scripts/pack-inspect.ts"), join(directory, "npm")], { stdio: "pipe" });
  return join(directory, "npm/cdh-inspect/cdh-inspect.mjs");
}

function waysOf(directory: string, made: ReturnType<typeof makeBundle>): Way[] {
  const { bundle, core, program } = made;
  const node = join(REPOSITORY, "dist/node/bin/node");
  const script = join(directory, "by-hand.sh");
  writeFileSync(
    script,
    `set -e
unzip -p "$1" '*.core.zst' | zstd -q -dc >"$3/by-hand.core"
gdb -nx -q -batch -ex bt "$2" "$3/by-hand.core"
rm "$3/by-hand.core"
`,
  );
  const inspect = builtPath("cdh-inspect");
  const ways: Way[] = [
    { name: "`show`, as built", command: [inspect, "show", bundle], isOurs: true },
    { name: "`show`, npm package", command: [node, packNpm(directory), "show", bundle], isOurs: true },
    { name: "`bt --raw`, as built", command: [inspect, "bt", "--raw", bundle, "--exe", program] },
    { name: "`unzip -p` of the manifest alone", command: ["unzip", "-p", bundle, "*-manifest.json"] },
    {
      name: "`gdb -batch -ex bt` on the core, unpacked before",
      command: ["gdb", "-nx", "-q", "-batch", "-ex", "bt", program, core],
    },
    { name: "by hand: unzip, zstd -d, `gdb -batch -ex bt`", command: ["sh", script, bundle, program, directory] },
  ];
  if (findOnPath("eu-readelf").path !== undefined)
    ways.splice(4, 0, { name: "`eu-readelf -n` on the core, unpacked before", command: ["eu-readelf", "-n", core] });
  return ways;
}

const { values } = parseArgs({
  args: process.argv.slice(2),
  allowNegative: true,
  options: {
    runs: { type: "string", default: "7" },
    "size-mb": { type: "string", default: "512" },
    docs: { type: "boolean", default: true },
  },
});
const reason = notBuilt("cdc", "cdh-inspect") ?? compilerUnavailable() ?? missingTools("gdb", "unzip", "zstd");
if (reason !== undefined) {
  process.stderr.write(`bench inspect: cannot measure here: ${reason}\n`);
  process.exit(11);
}
const directory = mkdtempSync(join(tmpdir(), "cdh-bench-inspect-"));
/** What others do meanwhile makes every way slower. */
const [loadBefore = 0] = loadavg();
try {
  const ways = waysOf(directory, makeBundle(directory, Number(values["size-mb"])));
  const runs: Run[][] = ways.map(() => []);
  for (let round = 0; round <= Number(values.runs); round += 1) {
    process.stderr.write(`  ${round === 0 ? "warm-up" : `round ${round}`}\n`);
    for (const [index, way] of ways.entries()) {
      const run = measured(directory, way.command);
      if (round > 0) runs[index]?.push(run);
    }
  }
  const rows = [["way", "seconds", "min–max", "CPU s", "peak MiB"]];
  const lines: string[] = [];
  for (const [index, way] of ways.entries()) {
    const all = (runs[index] ?? []).map((run) => run.seconds);
    const peak = Math.max(...(runs[index] ?? []).map((run) => run.peakRssBytes));
    rows.push([
      way.name,
      median(all).toFixed(3),
      `${Math.min(...all).toFixed(3)}–${Math.max(...all).toFixed(3)}`,
      median((runs[index] ?? []).map((run) => run.cpuSeconds)).toFixed(3),
      (peak / MIB).toFixed(0),
    ]);
    if (way.isOurs !== true) continue;
    const cpu = median((runs[index] ?? []).map((run) => run.cpuSeconds)).toFixed(2);
    // On a machine that does something else as well, the clock says what that is, and not how long this takes.
    const speed =
      loadBefore > cpus().length
        ? `below ${TARGET_SECONDS} s not judged at a load of ${loadBefore.toFixed(0)} (${cpu} s of CPU)`
        : `below ${TARGET_SECONDS} s ${median(all) < TARGET_SECONDS ? "reached" : "not reached"}`;
    lines.push(`${way.name}: ${speed}, at most 150 MiB ${peak <= TARGET_BYTES ? "reached" : "not reached"}`);
  }
  process.stdout.write(`\n${tableOf(rows)}\n${lines.join("\n")}\n`);
  if (values.docs) {
    const text = [
      "## How long until a person knows what crashed",
      "",
      `A bundle of a process with ${values["size-mb"]} MB of mixed memory, on the same disk, everything in the page cache. \`show\` names process, signal, address,`,
      "pod, registers and the log's end; the ways below it give a part of that, and two of them need the core unpacked before, which the last one does.",
      `Medians of ${values.runs} rounds, all ways in turn; the largest peak of one process; ${cpus().length} cores, Linux ${release()}, load ${loadBefore.toFixed(1)} before, at nice ${getPriority()}.`,
      "",
      markdownOf(rows),
      "",
      ...lines.map((line) => `- ${line}`),
    ];
    writeSection("bench-inspect", text.join("\n"));
  }
} finally {
  rmSync(directory, { recursive: true, force: true });
}
