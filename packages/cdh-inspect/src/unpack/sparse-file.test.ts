import { mkdtemp, open, readFile, rm, stat } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, it } from "vitest";
import { SeededRandom } from "@cdh/core/testing/random";
import { writeSparse } from "./sparse-file.ts";

let directory: string;

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), "cdh-sparse-"));
});
afterEach(async () => {
  await rm(directory, { recursive: true, force: true });
});

it("gives every byte back, whatever pieces it comes in, and leaves zeros out", async () => {
  const random = new SeededRandom(42);
  const parts = Array.from({ length: 60 }, () =>
    random.next() < 0.5 ? Buffer.alloc(random.integer(50_000)) : Buffer.from(random.bytes(random.integer(9000))),
  );
  const whole = Buffer.concat(parts);
  const path = join(directory, "file");
  const file = await open(path, "w");
  let written = 0;
  for (let at = 0; at < whole.length;) {
    const piece = whole.subarray(at, at + 1 + random.integer(30_000));
    written += await writeSparse(file, piece, at);
    at += piece.length;
  }
  await file.truncate(whole.length);
  await file.close();
  expect((await readFile(path)).equals(whole)).toBe(true);
  expect(written).toBeLessThan(whole.length / 2);
  expect((await stat(path)).size).toBe(whole.length);
});

it("writes no block for zeros alone", async () => {
  const path = join(directory, "zeros");
  const file = await open(path, "w");
  expect(await writeSparse(file, Buffer.alloc(1024 * 1024), 123)).toBe(0);
  await file.truncate(1024 * 1024);
  await file.close();
  expect((await stat(path)).blocks).toBe(0);
});
