import { readFileSync } from "node:fs";
import { gunzipSync } from "node:zlib";
import { describe, expect, it } from "vitest";
import { buildCore, buildFileNote, buildImage, FieldWriter } from "../testing/core-builder.ts";
import { SeededRandom } from "../testing/random.ts";
import type { CoreFacts } from "./facts.ts";
import { NT_AUXV, NT_FILE, NT_GNU_BUILD_ID, NT_PRSTATUS, NT_SIGINFO } from "./notes.ts";
import { readCoreFacts } from "./random-access.ts";
import { ElfCoreScanner } from "./scanner.ts";

/** As many as the project promises for every run. */
const CASES = 100_000;
const RECORDED = gunzipSync(
  readFileSync(new URL("../../../../test/fixtures/elf/x64-threads.core.gz", import.meta.url)),
);

/** A small core with everything in it that a reader looks at. */
function smallCore(): Uint8Array {
  const image = buildImage([{ name: "GNU", type: NT_GNU_BUILD_ID, desc: new Uint8Array(20).fill(7) }], {
    length: 0x300,
  });
  return buildCore({
    notes: [
      { name: "CORE", type: NT_PRSTATUS, desc: new FieldWriter(336).u16(12, 11).u32(32, 1).bytes },
      { name: "CORE", type: NT_SIGINFO, desc: new FieldWriter(128).u32(0, 11).u32(8, 1).bytes },
      {
        name: "CORE",
        type: NT_AUXV,
        desc: new FieldWriter(64).word(0, 9).word(8, 0x1000).word(16, 31).word(24, 0x9010).word(32, 33).word(40, 0x1000)
          .bytes,
      },
      {
        name: "CORE",
        type: NT_FILE,
        desc: buildFileNote([{ path: "/bin/a", start: 0x1000n, end: 0x2000n, pages: 0 }]),
      },
      { name: "LINUX", type: 0x202, desc: new Uint8Array(300) },
    ],
    segments: [
      { vaddr: 0x1000n, bytes: image, flags: 5 },
      { vaddr: 0x9000n, bytes: Buffer.from("0123456789abcdef./a\0") },
    ],
  });
}

/** Change a few bytes; half of the time to values that sit at the edges of what fields can hold. */
function mutate(random: SeededRandom, original: Uint8Array, within: number): Uint8Array {
  const bytes = Uint8Array.from(original);
  for (let count = 1 + random.integer(6); count > 0; count -= 1) {
    const at = random.integer(within);
    if (random.integer(2) === 0) bytes[at] = random.integer(256);
    else bytes.fill(random.pick([0, 0xff, 0x7f, 0x80, 1]), at, at + random.pick([1, 2, 4, 8]));
  }
  return random.integer(4) === 0 ? bytes.subarray(0, random.integer(bytes.length)) : bytes;
}

function scanInPieces(random: SeededRandom, bytes: Uint8Array): CoreFacts {
  const scanner = new ElfCoreScanner();
  const most = random.pick([64, 1000, 5000, 20000]);
  for (let at = 0; at < bytes.length;) {
    const piece = bytes.subarray(at, at + 1 + random.integer(most));
    scanner.push(piece);
    at += piece.length;
  }
  return scanner.finish();
}

function checkShape(facts: CoreFacts, bytes: Uint8Array): void {
  if (facts.receivedBytes !== bytes.length) throw new Error("receivedBytes");
  if (facts.complete && (facts.expectedBytes === undefined || facts.expectedBytes > bytes.length))
    throw new Error("complete");
  if (facts.threads.length > facts.threadCount || facts.problems.length > 32) throw new Error("bounds");
  for (const { buildId } of facts.modules)
    if (buildId !== undefined && !/^(?:[0-9a-f]{2}){1,64}$/.test(buildId)) throw new Error("buildId");
}

describe("the reader of cores is total", () => {
  const core = smallCore();

  it(`on ${CASES} damaged and random cores, in pieces`, { timeout: 120_000 }, () => {
    let understood = 0;
    for (let seed = 0; seed < CASES; seed += 1) {
      const random = new SeededRandom(seed);
      const bytes =
        random.integer(20) === 0
          ? random.bytes(random.integer(300))
          : mutate(random, core, random.pick([64, 240, 1500, core.length]));
      try {
        const facts = scanInPieces(random, bytes);
        checkShape(facts, bytes);
        if (facts.threadCount > 0) understood += 1;
      } catch (error) {
        throw new Error(`seed ${seed}`, { cause: error });
      }
    }
    // A generator whose cases all fail at the first byte would prove nothing.
    expect(understood).toBeGreaterThan(CASES / 3);
  });

  it("on damaged real cores, in pieces and read at random", { timeout: 120_000 }, async () => {
    for (let seed = 0; seed < 300; seed += 1) {
      const random = new SeededRandom(seed);
      const bytes = mutate(random, RECORDED, random.pick([64, 2000, 12000]));
      checkShape(scanInPieces(random, bytes), bytes);
      let reads = 0;
      const facts = await readCoreFacts(
        (offset, length) => {
          reads += 1;
          return Promise.resolve(bytes.subarray(offset, offset + length));
        },
        { sizeBytes: bytes.length },
      );
      checkShape(facts, bytes);
      expect([seed, reads < 5000]).toEqual([seed, true]);
    }
  });

  it("in bounded time and memory on a table made to hurt", () => {
    // 60,000 overlapping segments that all start like an ELF file, and notes of the greatest claimed length.
    const count = 60000;
    const bytes = new Uint8Array(64 + count * 56);
    const out = new FieldWriter(bytes.length);
    out.bytes.set([0x7f, 0x45, 0x4c, 0x46, 2, 1, 1]);
    out.u16(16, 4).u16(18, 62).word(32, 64).u16(52, 64).u16(54, 56).u16(56, count);
    for (let index = 0; index < count; index += 1) {
      const at = 64 + index * 56;
      out
        .u32(at, index % 1000 === 0 ? 4 : 1)
        .word(at + 8, index % 3 === 0 ? 0 : 2n ** 63n)
        .word(at + 16, index * 4096)
        .word(at + 32, 2n ** 40n);
    }
    const before = process.memoryUsage().arrayBuffers;
    const started = performance.now();
    const scanner = new ElfCoreScanner();
    for (let at = 0; at < out.bytes.length; at += 65536) scanner.push(out.bytes.subarray(at, at + 65536));
    scanner.push(new Uint8Array(4 * 1024 * 1024).fill(0xff));
    expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(64 * 1024 * 1024);
    scanner.finish();
    expect(performance.now() - started).toBeLessThan(3000);
  });
});
