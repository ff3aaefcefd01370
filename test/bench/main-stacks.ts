/**
 * `npm run bench -- stacks`: how many true frames our reader finds, beside elfutils and gdb; writes docs/stacks.md.
 */
import { execFileSync } from "node:child_process";
import { closeSync, mkdtempSync, openSync, readdirSync, readSync, rmSync } from "node:fs";
import { release, tmpdir } from "node:os";
import { basename, join, resolve } from "node:path";
import { parseArgs } from "node:util";
import { compareStacks, type Comparison } from "../helpers/compare-stacks.ts";
import { REPOSITORY } from "../helpers/repository.ts";
import { makeStackCores } from "../helpers/stack-cores.ts";
import { writeSection } from "./docs.ts";

interface Row {
  name: string;
  threads: Comparison[];
}

const sum = (threads: readonly Comparison[], key: "truth" | "ours" | "elfutils" | "gdb"): number =>
  threads.reduce((total, one) => total + one[key], 0);

function cell(threads: readonly Comparison[], key: "ours" | "elfutils" | "gdb"): string {
  const [found, all] = [sum(threads, key), sum(threads, "truth")];
  return `${found} (${all === 0 ? 0 : Math.floor((100 * found) / all)} %)`;
}

function line({ name, threads }: Row): string {
  const crashed = threads.filter((one) => one.crashed);
  const top = `${sum(crashed, "ours")} / ${sum(crashed, "elfutils")} of ${sum(crashed, "truth")}`;
  const cells = [cell(threads, "ours"), cell(threads, "elfutils"), cell(threads, "gdb")];
  return `| ${[name, String(sum(threads, "truth")), ...cells, top].join(" | ")} |`;
}

function versionOf(command: string): string {
  return execFileSync(command, ["--version"], { encoding: "utf8" }).split("\n")[0]?.trim() ?? "";
}

/** Machines as ELF numbers them. */
const MACHINES: Record<number, string> = { 3: "i386", 62: "x86-64", 183: "arm64" };

function machineOf(core: string): string {
  const header = Buffer.alloc(20);
  const descriptor = openSync(core, "r");
  readSync(descriptor, header, 0, 20, 0);
  closeSync(descriptor);
  return MACHINES[header.readUInt16LE(18)] ?? "other";
}

/** Compare other cores: NAME.core and NAME.exec in a directory, which names the row. @see test/tools/peer-cores.sh */
async function peerRows(directory: string): Promise<Row[]> {
  const rows = new Map<string, Row>();
  for (const file of readdirSync(directory)
    .filter((name) => name.endsWith(".core"))
    .toSorted()) {
    const core = join(directory, file);
    const name = `${basename(directory)}, ${machineOf(core)}`;
    const row = rows.get(name) ?? { name, threads: [] };
    rows.set(name, row);
    const threads = await compareStacks(core, core.replace(/core$/, "exec"), undefined, "gdb-multiarch");
    row.threads.push(...threads);
    tellLacking(file, threads);
  }
  return [...rows.values()];
}

function tellLacking(name: string, threads: readonly Comparison[]): void {
  for (const one of threads)
    if (one.ours < one.truth)
      process.stderr.write(
        `${name}: thread ${one.tid}: ${one.ours} of ${one.truth}\n  true: ${one.walked.truth.join(" ")}\n  ours: ${one.walked.ours.join(" ")}\n`,
      );
}

const { values } = parseArgs({
  allowNegative: true,
  options: { docs: { type: "boolean", default: true }, peers: { type: "string", multiple: true, default: [] } },
});
const folder = mkdtempSync(join(tmpdir(), "cdh-stacks-"));
try {
  const { cores, missing } = await makeStackCores(folder);
  const groups = new Map<string, Row>();
  for (const { of, core, program, twin } of cores) {
    const threads = await compareStacks(core, program, twin);
    const row = groups.get(of.group) ?? { name: of.group, threads: [] };
    row.threads.push(...threads);
    groups.set(of.group, row);
    tellLacking(of.name, threads);
  }
  for (const directory of values.peers) for (const row of await peerRows(resolve(directory))) groups.set(row.name, row);
  const all: Row = { name: "**all**", threads: [...groups.values()].flatMap(({ threads }) => threads) };
  const text = [
    `Linux ${release()}, ${versionOf("gdb")}, ${versionOf("eu-stack")}. ${cores.length} programs.`,
    ...missing.map(({ name, reason }) => `Left out: ${name} (${reason}).`),
    "",
    "| programs | true frames | ours | eu-stack | gdb | crashed thread: ours / eu-stack |",
    "|---|---|---|---|---|---|",
    ...[...groups.values(), all].map(line),
  ].join("\n");
  process.stdout.write(`${text}\n`);
  if (values.docs) writeSection("bench-stacks", text, join(REPOSITORY, "docs/stacks.md"));
} finally {
  rmSync(folder, { recursive: true, force: true });
}
