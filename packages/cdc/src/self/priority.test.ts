import { expect, it } from "vitest";
import { run } from "@cdh/core/exec";

/** In a process of its own, because only root may go back. */
const PROGRAM = `
import { readdirSync, readFileSync } from "node:fs";
import { Worker } from "node:worker_threads";
import { stepBack } from ${JSON.stringify(new URL("priority.ts", import.meta.url).href)};
const niceness = () => readdirSync("/proc/self/task").map((tid) =>
  Number(readFileSync("/proc/self/task/" + tid + "/stat", "latin1").replace(/^.*\\) /, "").split(" ")[16]));
const worker = new Worker("setInterval(() => {}, 1000)", { eval: true });
await new Promise((resolve) => worker.once("online", resolve));
const before = niceness();
stepBack();
console.log(JSON.stringify({ before, after: niceness() }));
process.exit(0);
`;

it.runIf(process.platform === "linux")("stepping back lowers every thread", async () => {
  const { stdout } = await run(process.execPath, ["--input-type=module", "-e", PROGRAM]);
  const { before, after } = JSON.parse(stdout) as { before: number[]; after: number[] };
  expect(after.length).toBeGreaterThan(1);
  expect(new Set(after)).toEqual(new Set([10]));
  expect(before.some((nice) => nice < 10)).toBe(true);
});
