import { expect, it } from "vitest";
import { systemClock } from "@cdh/core/clock";
import type { NamedFile } from "../call/app-context.ts";
import { chooseFiles } from "./file-names.ts";
import { matchesGlob } from "./glob.ts";

const FILES = Array.from({ length: 100_000 }, (): NamedFile => ({
  buildId: "abcd",
  role: "executable",
  name: "b".repeat(128),
  hasCode: true,
}));
/** Each character is compared with each of these. */
const PATTERN = `*[${"a".repeat(125)}]`;
const isMeant = ({ name }: NamedFile): boolean => matchesGlob(name, PATTERN);
const { signal } = new AbortController();

it("a pattern that takes long holds up nobody else, and ends", async () => {
  let longestMs = 0;
  let last = performance.now();
  const timer = setInterval(() => {
    longestMs = Math.max(longestMs, performance.now() - last);
    last = performance.now();
  }, 1);
  const began = performance.now();
  const chosen = await chooseFiles(FILES, isMeant, { clock: systemClock, signal, timeoutMs: 500 });
  clearInterval(timer);
  expect(chosen.isComplete).toBe(false);
  expect(performance.now() - began).toBeLessThan(5000);
  // In one piece all of them take several seconds; on a busy machine others wait for a processor as well.
  expect(longestMs).toBeLessThan(1500);
});

it("finds what is meant, and stops when its reader is gone", async () => {
  const one = { ...FILES[0], name: "server" } as NamedFile;
  expect(await chooseFiles([one], ({ name }) => matchesGlob(name, "s*r"), { clock: systemClock, signal })).toEqual({
    found: [one],
    isComplete: true,
  });
  await expect(chooseFiles(FILES, isMeant, { clock: systemClock, signal: AbortSignal.timeout(50) })).rejects.toThrow(
    "aborted",
  );
});
