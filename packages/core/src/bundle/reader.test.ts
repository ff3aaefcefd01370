import { deflateRawSync } from "node:zlib";
import { describe, expect, it } from "vitest";
import { CdhError } from "../base/errors.ts";
import { SeededRandom } from "../testing/random.ts";
import { makeRawZip } from "../testing/raw-zip.ts";
import { makeManifest, makeSampleEntries, makeTinyCore, SAMPLE_NAME } from "../testing/sample-bundle.ts";
import { openCore } from "./core-reader.ts";
import { readManifest } from "./reader-manifest.ts";
import { bytesSource } from "./reader-source.ts";
import { openBundle } from "./reader.ts";

async function open(bytes: Buffer): ReturnType<typeof openBundle> {
  return openBundle(bytesSource("test.zip", bytes));
}

function sampleZip(): Buffer {
  const { dumpInfo, core, log, manifest } = makeSampleEntries();
  return makeRawZip([dumpInfo, core, log, manifest]);
}

async function readAll(chunks: AsyncIterable<Buffer>): Promise<Buffer> {
  const parts: Buffer[] = [];
  for await (const chunk of chunks) parts.push(chunk);
  return Buffer.concat(parts);
}

describe("openBundle", () => {
  it("finds the entries, their roles and the manifest", async () => {
    const bundle = await open(sampleZip());
    expect(bundle.name).toBe(SAMPLE_NAME);
    expect(bundle.entries.map((entry) => entry.name.slice(SAMPLE_NAME.length))).toEqual([
      "-dump-info.json",
      ".core.zst",
      "-0.log",
      "-manifest.json",
    ]);
    expect(bundle.findRole("core")?.name).toBe(`${SAMPLE_NAME}.core.zst`);
    const core = makeTinyCore();
    expect(await readManifest(bundle)).toEqual(makeManifest(core, bundle.findRole("core")?.storedBytes ?? 0));
  });

  it("reads an entry whole and in pieces, deflated and stored", async () => {
    const data = Buffer.from("0123456789".repeat(400_000));
    const bundle = await open(
      makeRawZip([
        { name: "N.core", data, method: 8 },
        { name: "N-0.log", data },
      ]),
    );
    for (const entry of bundle.entries) {
      expect((await readAll(bundle.stream(entry))).equals(data)).toBe(true);
      expect((await bundle.read(entry, { maxBytes: data.length })).equals(data)).toBe(true);
    }
  });

  it("refuses to hold an entry that is larger than asked for", async () => {
    const bundle = await open(makeRawZip([{ name: "N-0.log", data: Buffer.alloc(100) }]));
    const [entry] = bundle.entries;
    if (entry === undefined) throw new Error("no entry");
    await expect(bundle.read(entry, { maxBytes: 99 })).rejects.toMatchObject({ code: "CDH_BUNDLE_ENTRY_TOO_LARGE" });
  });

  it("opens with one read of the end and reads the manifest from it", async () => {
    const source = bytesSource("test.zip", sampleZip());
    const bundle = await openBundle(source);
    await readManifest(bundle);
    expect(bundle.source.traffic.bytes).toBeLessThan(4 * source.sizeBytes);
  });

  it("refuses a directory that is larger than any, before it reads it", async () => {
    const name = (at: number): string => `${SAMPLE_NAME}-${at}-proc/${"x".repeat(900)}`;
    const entries = (count: number): Buffer =>
      makeRawZip(Array.from({ length: count }, (_, at) => ({ name: name(at), data: Buffer.alloc(1) })));
    expect((await open(entries(2000))).entries).toHaveLength(2000);
    await expect(open(entries(2300))).rejects.toMatchObject({ code: "CDH_BUNDLE_TOO_MANY" });
  });

  it("takes a prefix before the first entry as what it is: offsets that lie", async () => {
    await expect(open(Buffer.concat([Buffer.alloc(100), sampleZip()]))).rejects.toMatchObject({
      code: "CDH_BUNDLE_DIRECTORY",
    });
  });

  it("never fails in another way than with a code, whatever bytes are changed", async () => {
    const original = sampleZip();
    const rounds = Number(process.env["CDH_FUZZ_ROUNDS"] ?? 1500);
    let refused = 0;
    for (let seed = 1; seed <= rounds; seed += 1) {
      const random = new SeededRandom(seed);
      const outcome = await readEverything(mutate(original, random)).catch((error: unknown) => error);
      if (outcome instanceof CdhError) refused += 1;
      else if (outcome !== undefined) throw new Error(`seed ${seed}`, { cause: outcome });
    }
    expect(refused).toBeGreaterThan(rounds / 3);
  }, 600_000);
});

/** Change, cut, repeat or insert some bytes. */
function mutate(original: Buffer, random: SeededRandom): Buffer {
  let bytes = Buffer.from(original);
  for (let change = random.integer(4); change >= 0; change -= 1) {
    const at = random.integer(bytes.length);
    const kind = random.integer(6);
    if (kind === 0) bytes = bytes.subarray(0, at);
    else if (kind === 1)
      bytes = Buffer.concat([bytes.subarray(0, at), random.bytes(random.integer(20)), bytes.subarray(at)]);
    else if (kind === 2) bytes = Buffer.concat([bytes, bytes.subarray(at)]);
    else if (kind === 3 && at + 4 <= bytes.length)
      bytes.writeUInt32LE(random.pick([0, 1, 0x7fffffff, 0xffffffff, bytes.length]), at);
    else if (bytes.length > 0) bytes[at] = random.integer(256);
    if (bytes.length === 0) return bytes;
  }
  return bytes;
}

async function readEverything(bytes: Buffer): Promise<undefined> {
  const bundle = await open(bytes);
  const manifest = await readManifest(bundle);
  for (const entry of bundle.entries) await readAll(bundle.stream(entry));
  const core = await openCore(bundle, manifest);
  for await (const chunk of core.chunks())
    if (chunk.bytes.length > 64 * 1024 * 1024) throw new Error("a piece too large to hold");
  await core.read(0, 100);
  return undefined;
}

describe("deflate that ends early", () => {
  it("is not taken for the whole", async () => {
    const data = Buffer.from("some text that is long enough to be cut ".repeat(50));
    const stored = deflateRawSync(data);
    const bundle = await open(
      makeRawZip([{ name: "N-0.log", data, method: 8, stored: stored.subarray(0, stored.length - 8) }]),
    );
    const [entry] = bundle.entries;
    if (entry === undefined) throw new Error("no entry");
    await expect(bundle.read(entry)).rejects.toMatchObject({ code: "CDH_BUNDLE_DATA" });
  });
});
