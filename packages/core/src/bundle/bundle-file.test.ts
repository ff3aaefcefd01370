import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { open } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { crc32 } from "node:zlib";
import { afterAll, expect, it } from "vitest";
import { BundleFile, placeInFile, type BundlePlace, type EndedCore } from "./bundle-file.ts";
import { bytesSource } from "./reader-source.ts";
import { openBundle } from "./reader.ts";

const directory = mkdtempSync(join(tmpdir(), "cdh-bundle-file-"));
afterAll(() => rmSync(directory, { recursive: true, force: true }));

const START = {
  mtime: new Date("2026-11-21T08:26:11Z"),
  dumpInfo: { name: "N-dump-info.json", bytes: Buffer.from("{}") },
  core: { name: "N.core", method: "stored" },
} as const;
const MANIFEST = { name: "N-manifest.json", bytes: Buffer.from("{}") };

function ended(body: string, trailer = ""): EndedCore {
  const whole = Buffer.from(body + trailer);
  const sums = { crc32: crc32(whole), storedBytes: whole.length, sizeBytes: whole.length };
  return { bodyBytes: body.length, trailer: Buffer.from(trailer), sums };
}

async function coreOf(path: string): Promise<string> {
  const bundle = await openBundle(bytesSource("bundle", readFileSync(path)));
  const core = bundle.find("N.core");
  if (core === undefined) throw new Error("no core");
  expect(bundle.entries.map(({ name }) => name)).toEqual(["N-dump-info.json", "N.core", "N-manifest.json"]);
  return (await bundle.read(core)).toString();
}

it("writes a head, then a core, then an end, and an end again for a shorter core", async () => {
  const path = join(directory, "N.zip");
  const handle = await open(path, "w");
  const bundle = await BundleFile.begin(placeInFile(handle), START);
  expect(readFileSync(path).length).toBe(bundle.headBytes);
  await bundle.write(Buffer.from("of memory"), 10);
  await bundle.write(Buffer.from("the piece "), 0);
  await bundle.writeEnd(await bundle.layOutEnd(ended("the piece of memory", ", ended"), [MANIFEST]));
  expect(await coreOf(path)).toBe("the piece of memory, ended");
  const end = await bundle.layOutEnd(ended("the piece"), [MANIFEST]);
  await bundle.writeEnd(end);
  expect(await coreOf(path)).toBe("the piece");
  expect(readFileSync(path).length).toBe(bundle.headBytes + 9 + end.sizeBytes);
  await handle.close();
});

it("goes on behind a head that stands there", async () => {
  const path = join(directory, "torn.zip");
  const handle = await open(path, "w");
  await (await BundleFile.begin(placeInFile(handle), START)).write(Buffer.from("core"), 0);
  const bundle = await BundleFile.resume(placeInFile(handle), START);
  await bundle.writeEnd(await bundle.layOutEnd(ended("core"), [MANIFEST]));
  expect(await coreOf(path)).toBe("core");
  await handle.close();
});

it("says that the disk is full, whatever it was that had no room", async () => {
  const full = Object.assign(new Error("full"), { code: "ENOSPC" });
  const place: BundlePlace = { truncate: async () => {}, write: () => Promise.reject(full) };
  await expect(BundleFile.begin(place, START)).rejects.toBe(full);
  const handle = await open("/dev/full", "w");
  await expect(placeInFile(handle).write(Buffer.from("x"), 0)).rejects.toMatchObject({ code: "ENOSPC" });
  await handle.close();
});
