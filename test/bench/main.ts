/**
 * `npm run bench`: how long each core handler holds a crashed process, side by side. `--help` says how.
 */
import { writeFileSync } from "node:fs";
import { cpus, release } from "node:os";
import { compilerUnavailable } from "../helpers/crash-programs.ts";
import { holdKernel, kernelUnavailable } from "../helpers/kernel-state.ts";
import { cellName, DOCS_FILE, writeDocs } from "./docs.ts";
import type { Handler } from "./handler.ts";
import { type BenchOptions, parseBenchOptions, USAGE } from "./options.ts";
import { rowsOf, tableOf, targetLines, titleOf } from "./report.ts";
import { type Cell, measureCell, prepareHandler } from "./run.ts";

const say = (text: string): void => void process.stderr.write(`${text}\n`);

async function bench(options: BenchOptions): Promise<Cell[]> {
  await using hold = await holdKernel();
  await using handlers = new AsyncDisposableStack();
  const ready: Handler[] = [];
  for (const name of options.handlers) {
    const handler = await prepareHandler(hold, name, options.other);
    if ("unavailable" in handler) {
      say(`left out: ${name}: ${handler.unavailable}`);
      continue;
    }
    ready.push(handlers.use(handler));
  }
  const cells: Cell[] = [];
  for (const sizeMb of options.sizesMb) {
    for (const kind of options.kinds) {
      say(`${cellName({ sizeMb, kind })}: ${options.runs} runs of ${ready.length} handlers`);
      const cell = await measureCell(hold, ready, sizeMb, kind, options.runs, say);
      cells.push(cell);
      process.stdout.write(
        `\n${titleOf(cell)} (${cpus().length} cores, Linux ${release()})\n${tableOf(rowsOf(cell))}\n`,
      );
      for (const line of targetLines(cell)) process.stdout.write(`${line}\n`);
      // After each cell: hours of measuring must not hang on the last one.
      if (options.docs !== undefined)
        writeDocs(
          options.docs,
          cells,
          ready.map(({ name, command }) => `\`${name}\`: ${command}`),
        );
      if (options.json !== undefined) writeFileSync(options.json, `${JSON.stringify({ cells }, null, 1)}\n`);
    }
  }
  return cells;
}

if (process.argv[2] === "upload") {
  process.argv.splice(2, 1);
  await import("./main-upload.ts");
  process.exit();
}
if (process.argv[2] === "fleet") {
  process.argv.splice(2, 1);
  await import("./main-fleet.ts");
  process.exit();
}
if (process.argv[2] === "api") {
  process.argv.splice(2, 1);
  await import("./main-api.ts");
  process.exit();
}
if (process.argv[2] === "inspect") {
  process.argv.splice(2, 1);
  await import("./main-inspect.ts");
  process.exit();
}
if (process.argv[2] === "crash-stacks") {
  process.argv.splice(2, 1);
  await import("./main-crash-stacks.ts");
  process.exit();
}
if (process.argv[2] === "files") {
  process.argv.splice(2, 1);
  await import("./main-files.ts");
  process.exit();
}
if (process.argv[2] === "stacks") {
  process.argv.splice(2, 1);
  await import("./main-stacks.ts");
  process.exit();
}
let options: BenchOptions | undefined;
try {
  options = parseBenchOptions(process.argv.slice(2), DOCS_FILE);
} catch (error) {
  say(`bench: ${error instanceof Error ? error.message : String(error)}\n\n${USAGE}`);
  process.exit(2);
}
if (options === undefined) {
  process.stdout.write(USAGE);
  process.exit(0);
}
const reason = kernelUnavailable() ?? compilerUnavailable();
if (reason !== undefined) {
  say(`bench: cannot measure here: ${reason}`);
  process.exit(11);
}
for (const signal of ["SIGINT", "SIGTERM"] as const) {
  // The guard puts the kernel's settings back when this process is gone.
  process.once(signal, () => process.exit(130));
}
await bench(options);
