/** `npm run fuzz`: hostile input by grammar, for every reader. `--help` says how. */
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { REPOSITORY } from "../helpers/repository.ts";
import type { Finding } from "./hunt.ts";
import { parseFuzzOptions, USAGE, type FuzzOptions } from "./options.ts";
import { targets } from "./targets.ts";
import { runWorker } from "./watch-worker.ts";

const say = (text: string): void => void process.stdout.write(`${text}\n`);

async function fuzz(options: FuzzOptions): Promise<number> {
  const unknown = options.targets.filter((name) => !targets.some((target) => target.name === name));
  if (unknown.length > 0) throw new Error(`no target ${unknown.join(", ")}; --list names them`);
  const wanted = targets.filter(({ name }) => options.targets.length === 0 || options.targets.includes(name));
  say(`seed ${options.seed}`);
  const forMs = (options.minutes * 60_000) / wanted.length;
  let found = 0;
  for (const target of wanted) {
    const reason = target.unavailable?.();
    if (reason !== undefined) {
      say(`${target.name.padEnd(16)} left out: ${reason}`);
      continue;
    }
    const { seed, path, runs } = options;
    const { finding, ...seen } = await runWorker({ target: target.name, seed, path, runs, forMs });
    const most = `most ${Math.round(seen.cpuMaxMs)} ms, ${Math.round(seen.memoryMaxBytes / 1024 / 1024)} MiB`;
    say(`${target.name.padEnd(16)} ${String(seen.runs).padStart(7)} inputs, ${most}${finding ? "  FOUND" : ""}`);
    if (finding === undefined) continue;
    found += 1;
    say(indent(keep(finding, options.out)));
  }
  return found === 0 ? 0 : 1;
}

/** Keep a finding in a folder of its own. @returns what to tell of it */
function keep(finding: Finding, out: string): string {
  const folder = join(
    REPOSITORY,
    out,
    `${finding.target}-${finding.seed}-${finding.path.replaceAll(":", ".")}`.slice(0, 120),
  );
  const command = `npm run fuzz -- --target ${finding.target} --seed ${finding.seed} --path ${finding.path}`;
  mkdirSync(folder, { recursive: true });
  const text = `${command}\n\n${finding.error}\n\nrecipe: ${finding.recipe}\n`;
  writeFileSync(join(folder, "finding.txt"), text);
  if (finding.input !== undefined) writeFileSync(join(folder, "input"), finding.input);
  const first = finding.error.split("\n").slice(0, 6).join("\n");
  return `${first}\nrecipe: ${finding.recipe.slice(0, 600)}\nkept in ${folder}\nagain: ${command}`;
}

function indent(text: string): string {
  return text
    .split("\n")
    .map((line) => `    ${line}`)
    .join("\n");
}

const options = parseFuzzOptions(process.argv.slice(2), () => Math.floor(Math.random() * 2 ** 31));
if (options === undefined) process.stdout.write(USAGE);
else if (options === "list") for (const { name, what } of targets) say(`${name.padEnd(16)} ${what}`);
else process.exitCode = await fuzz(options);
