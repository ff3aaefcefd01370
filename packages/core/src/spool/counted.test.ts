import { mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { manifestOf } from "../crash/manifest-of.ts";
import {
  addCounted,
  countedName,
  listCounted,
  listTaken,
  putCounted,
  readCounted,
  takeCounted,
  takenPath,
} from "./counted.ts";

const NAME = countedName("0123456789abcdef", "place");
const MOMENTS = ["2026-11-30T12:00:00Z", "2026-11-30T12:00:01Z"] as const;
const manifest = manifestOf({
  crashId: "5d7fdcf6-1111-4222-8333-444455556666",
  bundle: "n.zip",
  crashedAtMs: Date.parse(MOMENTS[1]),
  composer: { version: "1" },
  node: {},
  process: {},
  signal: 11,
  core: { entry: "n.core", compression: "none", sizeBytes: 0, storedBytes: 0, truncatedBy: "rateLimit" },
  problems: [],
});
let directory: string;

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "cdh-counted-"));
});
afterEach(() => rmSync(directory, { recursive: true, force: true }));

describe("counts of crashes", () => {
  it("are added up, with the first and the last moment", () => {
    const one = addCounted(undefined, MOMENTS[0]);
    expect(addCounted(one, MOMENTS[1])).toEqual({ count: 2, first: MOMENTS[0], last: MOMENTS[1] });
  });

  it("are had by one at a time, and put back", async () => {
    await putCounted(directory, NAME, "composer", { ...manifest, counted: addCounted(undefined, MOMENTS[0]) });
    expect(readdirSync(directory)).toEqual([NAME]);
    const path = await takeCounted(directory, NAME, "uploader-1");
    expect(path).toBe(takenPath(directory, NAME, "uploader-1"));
    expect(await takeCounted(directory, NAME, "composer")).toBeUndefined();
    expect(await listCounted(directory)).toEqual([]);
    expect(await listTaken(directory, "uploader")).toEqual([path]);
    expect((await readCounted(path ?? ""))?.counted?.count).toBe(1);
  });

  it("that are damaged are none", async () => {
    writeFileSync(join(directory, NAME), '{"counted":');
    expect(await readCounted(join(directory, NAME))).toBeUndefined();
  });
});
