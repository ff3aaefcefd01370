import { createHash } from "node:crypto";
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  closeSync,
  constants,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import type { Clock } from "../base/clock.ts";
import { openCore } from "../bundle/core-reader.ts";
import type { Compression, Manifest } from "../bundle/manifest.ts";
import { readManifest } from "../bundle/reader-manifest.ts";
import { openBundleFile } from "../bundle/reader.ts";
import { run } from "../service/exec.ts";
import { composeBundle } from "../testing/compose-bundle.ts";
import { buildCore } from "../testing/core-builder.ts";
import { jumpingClock } from "../testing/jumping-clock.ts";
import { SeededRandom } from "../testing/random.ts";
import { makeManifest, SAMPLE_NAME } from "../testing/sample-bundle.ts";
import { partialPath, publishedPath } from "./layout.ts";
import { salvageSpool, type Salvaged } from "./salvage.ts";
import { writerMarkPath, writerMarksDirectory } from "./writer-mark.ts";
import { writerNotePath, writeWriterNote } from "./writer-note.ts";

const MIB = 1024 * 1024;
const COMPRESSIONS: Compression[] = ["zstd", "deflate", "none"];

/** Memory of every kind: noise, zeros, text, and the very bytes that salvage looks for. */
function makeMemory(): Buffer {
  const memory = Buffer.alloc(5 * MIB + 4096);
  const words = new Uint32Array(memory.buffer, memory.byteOffset, MIB / 2);
  const random = new SeededRandom(7);
  for (let at = 0; at < words.length; at += 1) words[at] = random.integer(2 ** 32);
  for (let at = 0; at < MIB; at += 64) memory.write("\u0000\u0000", at, "latin1");
  for (let at = 3; at < MIB; at += 97) Buffer.of(0, 0, 0xff, 0xff).copy(memory, at);
  for (let at = 5; at < MIB; at += 4001) Buffer.of(0x50, 0x4b, 0x07, 0x08).copy(memory, at);
  // From 2 to 4 MiB zeros; then text.
  for (let at = 4 * MIB; at < memory.length; at += 16) memory.write(`line ${at} of text`.slice(0, 16), at);
  return memory;
}

const CORE = Buffer.from(buildCore({ machine: 62, segments: [{ vaddr: 0x10000n, bytes: makeMemory() }] }));

let coreDir: string;
/** Files are made in its past. */
let clock: Clock;

beforeEach(() => {
  coreDir = mkdtempSync(join(tmpdir(), "cdh-salvage-"));
  clock = jumpingClock(Date.now());
});
afterEach(() => rmSync(coreDir, { recursive: true, force: true }));

function leave(bytes: Uint8Array, ageSeconds = 3600): string {
  const path = partialPath(coreDir, SAMPLE_NAME);
  writeFileSync(path, bytes, { mode: 0o600 });
  utimesSync(path, clock.now() / 1000 - ageSeconds, clock.now() / 1000 - ageSeconds);
  return path;
}

function salvage(): Promise<Salvaged[]> {
  return salvageSpool({ coreDir, clock, version: "test 1" });
}

/** Read what was salvaged with the project's own reader, and hold it against the core that the kernel gave. */
async function check(result: Salvaged | undefined): Promise<{ sizeBytes: number; complete: boolean }> {
  if (result?.status !== "published") throw new Error(`not published: ${JSON.stringify(result)}`);
  const bundle = await openBundleFile(result.path);
  try {
    const manifest = await readManifest(bundle);
    if (manifest === undefined) throw new Error("no manifest");
    expect(manifest).toEqual(JSON.parse(JSON.stringify(result.manifest)));
    const parts: Buffer[] = [];
    for await (const { bytes } of (await openCore(bundle, manifest)).chunks()) parts.push(Buffer.from(bytes));
    const core = Buffer.concat(parts);
    expect(core.length).toBe(manifest.core.sizeBytes);
    expect(core.equals(CORE.subarray(0, core.length))).toBe(true);
    expect(manifest.core.sha256).toBe(createHash("sha256").update(core).digest("hex"));
    // The zip's own sum over the entry holds too.
    const entry = bundle.find(manifest.core.entry);
    if (entry === undefined) throw new Error("no core entry");
    for await (const _ of bundle.stream(entry));
    expect(manifest.core.complete).toBe(core.length === CORE.length);
    expect(manifest.core.truncatedBy).toBe(manifest.core.complete ? undefined : "shortRead");
    return manifest.core;
  } finally {
    await bundle.close();
  }
}

describe.each(COMPRESSIONS)("a bundle torn anywhere, %s", { timeout: 60_000 }, (compression) => {
  it("becomes a valid one that holds every whole piece", async () => {
    const { bytes, coreOffset, storedBytes } = await composeBundle(CORE, compression);
    const random = new SeededRandom(compression.length);
    const edges = [0, 3, 29, coreOffset - 1, coreOffset, coreOffset + 1, coreOffset + storedBytes, bytes.length - 1];
    const cuts = [...edges, ...Array.from({ length: 12 }, () => random.integer(bytes.length))].sort((a, b) => a - b);
    let before = 0;
    for (const cut of cuts) {
      leave(bytes.subarray(0, cut));
      const results = await salvage();
      expect(results.length, `cut at ${cut}`).toBe(1);
      const { sizeBytes } = await check(results[0]);
      expect(sizeBytes, `cut at ${cut}`).toBeGreaterThanOrEqual(before);
      before = sizeBytes;
      expect(readdirSync(coreDir)).toEqual([`${SAMPLE_NAME}.zip`]);
      expect(statSync(publishedPath(coreDir, SAMPLE_NAME)).mode & 0o777).toBe(0o600);
      rmSync(publishedPath(coreDir, SAMPLE_NAME));
    }
    expect(before).toBe(CORE.length);
  });

  it("with bytes that a power cut left as zeros, holds what is whole before them", async () => {
    const { bytes, coreOffset } = await composeBundle(CORE, compression);
    // A plain core says nothing of itself: there zeros are zeros.
    if (compression === "none") return;
    const zeroed = Buffer.from(bytes.subarray(0, coreOffset + 2 * MIB + 1000));
    zeroed.fill(0, coreOffset + MIB + 500_000);
    leave(zeroed);
    const [result] = await salvage();
    expect((await check(result)).sizeBytes).toBe(MIB);
  });

  it("salvaged twice, because the first was cut off, gives the same", async () => {
    const { bytes, coreOffset } = await composeBundle(CORE, compression);
    leave(bytes.subarray(0, coreOffset + 2 * MIB));
    const [first] = await salvage();
    const { sizeBytes } = await check(first);
    const whole = readFileSync(publishedPath(coreDir, SAMPLE_NAME));
    rmSync(publishedPath(coreDir, SAMPLE_NAME));
    const claim = join(coreDir, `.${SAMPLE_NAME}.0123456789abcdef.salvage`);
    writeFileSync(claim, whole.subarray(0, whole.length - 10), { mode: 0o600 });
    expect(await salvage()).toEqual([]);
    utimesSync(claim, clock.now() / 1000 - 60, clock.now() / 1000 - 60);
    const [second] = await salvage();
    expect((await check(second)).sizeBytes).toBe(sizeBytes);
  });
});

describe("who may still be writing", { timeout: 30_000 }, () => {
  const torn = (): Promise<Buffer> => composeBundle(CORE, "zstd").then(({ bytes }) => bytes.subarray(0, 3 * MIB));

  async function mark(): Promise<string> {
    mkdirSync(writerMarksDirectory(coreDir), { recursive: true });
    const path = writerMarkPath(coreDir, SAMPLE_NAME);
    expect((await run("mkfifo", [path])).exitCode).toBe(0);
    return path;
  }

  it("a writer that holds its mark is left alone, however old its file", async () => {
    leave(await torn(), 86_400);
    const fd = openSync(await mark(), constants.O_RDONLY | constants.O_NONBLOCK);
    expect(await salvage()).toEqual([]);
    expect(existsSync(partialPath(coreDir, SAMPLE_NAME))).toBe(true);
    closeSync(fd);
    const [result] = await salvage();
    await check(result);
    expect(existsSync(writerMarkPath(coreDir, SAMPLE_NAME))).toBe(false);
  });

  it("a dead writer's file is taken at once, after one look for a heartbeat", async () => {
    leave(await torn(), 0);
    await mark();
    const before = clock.now();
    const [result] = await salvage();
    await check(result);
    expect(clock.now() - before).toBe(5_000);
  });

  it("a heartbeat counts more than a mark that another kernel does not see", async () => {
    const path = leave(await torn(), 0);
    await mark();
    const beating = jumpingClock(clock.now(), () => utimesSync(path, beating.now() / 1000, beating.now() / 1000));
    expect(await salvageSpool({ coreDir, clock: beating, version: "test 1" })).toEqual([]);
  });

  it("without a mark, only long silence tells", async () => {
    leave(await torn(), 20);
    expect(await salvage()).toEqual([]);
    leave(await torn(), 31);
    const [result] = await salvage();
    await check(result);
  });

  it.each([
    { title: "no zip at all", bytes: Buffer.alloc(100_000, "x") },
    { title: "larger than any head, all zeros", bytes: Buffer.alloc(MIB) },
    { title: "a zip of another name", bytes: undefined },
  ])("what no composer laid out ($title) goes to quarantine as it is, with the reason", async ({ bytes }) => {
    const content =
      bytes ??
      Buffer.from((await torn()).toString("latin1").replaceAll(SAMPLE_NAME, "x".repeat(SAMPLE_NAME.length)), "latin1");
    leave(content);
    const [result] = await salvage();
    const path = join(coreDir, "quarantine", `${SAMPLE_NAME}.zip`);
    expect(result).toMatchObject({ status: "failed", quarantined: true, path, error: { code: "CDH_DAMAGED" } });
    expect(readFileSync(path).equals(content)).toBe(true);
    expect(statSync(join(coreDir, "quarantine")).mode & 0o777).toBe(0o700);
    expect(JSON.parse(readFileSync(`${path}.reason.json`, "utf8"))).toMatchObject({
      bundle: `${SAMPLE_NAME}.zip`,
      sizeBytes: content.length,
      code: "CDH_DAMAGED",
      reason: expect.stringContaining("cannot salvage") as string,
      attempts: 1,
    });
    expect(readdirSync(coreDir).filter((name) => name.startsWith("."))).toEqual([]);
    expect(await salvage()).toEqual([]);
  });

  it("many at once publish it once", async () => {
    leave(await torn());
    const all = (await Promise.all(Array.from({ length: 8 }, () => salvage()))).flat();
    expect(all.map(({ status }) => status)).toEqual(["published"]);
    await check(all[0]);
    expect(readdirSync(coreDir)).toEqual([`${SAMPLE_NAME}.zip`]);
  });

  it("knows the pod from the composer's note, if it is about this crash", async () => {
    const note = makeManifest(Buffer.alloc(8), 8, { identity: { source: "oci-config", verified: true } });
    mkdirSync(writerMarksDirectory(coreDir), { recursive: true });
    leave(await torn());
    await writeWriterNote(coreDir, SAMPLE_NAME, note);
    const [result] = await salvage();
    await check(result);
    expect(result).toMatchObject({
      manifest: {
        pod: note.pod,
        container: note.container,
        identity: { source: "oci-config", verified: true },
        process: { pid: 4211 },
        problems: [{ code: "CDH_SALVAGED" }, ...(result as { manifest: Manifest }).manifest.problems.slice(1)],
      },
    });
    expect(readdirSync(writerMarksDirectory(coreDir))).toEqual([]);
  });

  it.each([
    ["another crash's", JSON.stringify({ schemaVersion: 1, crashId: "x", core: { entry: "e" }, pod: { name: "p" } })],
    ["a torn one", '{"schemaVersion":1,"crashId":"'],
    ["one of wrong types", `{"schemaVersion":1,"crashId":"${SAMPLE_NAME.slice(0, 36)}","core":{"entry":"e"},"pod":7}`],
    ["nothing", ""],
  ])("a note that can't be used is passed by: %s", async (_what, text) => {
    mkdirSync(writerMarksDirectory(coreDir), { recursive: true });
    leave(await torn());
    writeFileSync(writerNotePath(coreDir, SAMPLE_NAME), text);
    const [result] = await salvage();
    await check(result);
    expect((result as { manifest: Manifest }).manifest.pod).toBeUndefined();
  });

  it("marks that belong to nothing are removed once they are old", async () => {
    const path = await mark();
    await salvage();
    expect(existsSync(path)).toBe(true);
    utimesSync(path, clock.now() / 1000 - 60, clock.now() / 1000 - 60);
    await salvage();
    expect(existsSync(path)).toBe(false);
  });
});
