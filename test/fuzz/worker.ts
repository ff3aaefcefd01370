/** Hunts in one target, in a process of its own: what it takes is its own, and it may be killed. Started by main.ts. */
import { openSync, writeSync } from "node:fs";
import { hunt } from "./hunt.ts";
import { targets } from "./targets.ts";

const [name = "", seed = "", forMs = "", runs = "", path = "", progressFile = ""] = process.argv.slice(2);
const target = targets.find((one) => one.name === name);
if (target === undefined) throw new Error(`there is no target ${name}`);
const progress = openSync(progressFile, "w");
const { finding, ...seen } = await hunt(target, {
  seed: Number(seed),
  forMs: Number(forMs),
  runs: runs === "" ? Infinity : Number(runs),
  ...(path === "" ? {} : { path }),
  onInput: (at, index) => void writeSync(progress, `${at} ${index}\n`.padEnd(64), 0),
});
const { input, ...told } = finding ?? {};
const answer = {
  ...seen,
  ...(finding === undefined ? {} : { finding: told }),
  ...(input === undefined ? {} : { input: Buffer.from(input).toString("base64") }),
};
// Not before it has gone out: an input may be megabytes.
process.send?.(answer, () => process.disconnect?.());
