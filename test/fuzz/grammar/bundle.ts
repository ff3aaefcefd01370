import { constants, deflateRawSync, zstdCompressSync } from "node:zlib";
import * as fc from "fast-check";
import { makeRawZip, type RawZipEntry, type RawZipOptions } from "@cdh/core/testing/raw-zip";
import { makeManifest, SAMPLE_NAME } from "@cdh/core/testing/sample-bundle";
import { jsonRecipe, writeJson, type JsonRecipe } from "./json.ts";
import { around, edgeNumber, hostileText } from "./text.ts";

/** A seek table, described: groups of equal frames, and what its end says. */
export interface SeekRecipe {
  frames: { storedBytes: number; coreBytes: number; times: number }[];
  /** What the footer says beyond the number of frames that there are. */
  countLie: number;
  descriptor: number;
  /** Bytes of real zstd frames before the table. */
  body: { zeros: number; times: number };
}

/** One entry, described. */
export interface EntryRecipe {
  role: "core" | "core.zst" | "dump-info" | "manifest" | "log" | "ps-info" | "pod-info" | "image-info" | "any";
  name: string;
  /** So many of them; the later ones get a number. */
  times: number;
  data:
    | { kind: "json"; json: JsonRecipe }
    | { kind: "manifest"; field: string; json: JsonRecipe }
    | { kind: "seek"; seek: SeekRecipe }
    /** Zeros: as large as said, and small where deflated. */
    | { kind: "zeros"; bytes: number }
    | { kind: "text"; text: string };
  method: 0 | 8 | 9 | 93;
  lies: {
    sizeBytes?: number;
    storedBytes?: number;
    headerOffset?: number;
    flags?: number;
    mode?: number;
    crc32?: number;
  };
}

/** A zip, described. */
export interface BundleRecipe {
  entries: EntryRecipe[];
  end: { entryCount?: number; directoryOffset?: number; zip64Offset?: number };
  comment: number;
  before: number;
}

/** Seek tables by grammar. */
export const seekRecipe: fc.Arbitrary<SeekRecipe> = fc.record({
  frames: fc.array(
    fc.record({
      storedBytes: fc.oneof(
        around(17, 1024),
        edgeNumber.map((value) => Math.min(Math.max(0, value), 2 ** 32 - 1)),
      ),
      coreBytes: fc.oneof(
        around(1024 ** 2, 8 * 1024 ** 2),
        edgeNumber.map((value) => Math.min(Math.max(0, value), 2 ** 32 - 1)),
      ),
      times: fc.oneof({ weight: 5, arbitrary: fc.nat({ max: 4 }) }, around(1000, 100_000, 1_000_000)),
    }),
    { maxLength: 3 },
  ),
  countLie: fc.oneof({ weight: 9, arbitrary: fc.constant(0) }, fc.constantFrom(-1, 1, 2 ** 31)),
  descriptor: fc.constantFrom(0, 0, 0, 0x80, 0x7c, 0xff),
  body: fc.record({ zeros: fc.constantFrom(0, 1, 4096, 1024 ** 2, 9 * 1024 ** 2), times: fc.nat({ max: 3 }) }),
});

const options = <T>(arbitrary: fc.Arbitrary<T>): fc.Arbitrary<T | undefined> =>
  fc.option(arbitrary, { nil: undefined, freq: 40 });

const entryRecipe: fc.Arbitrary<EntryRecipe> = fc.record({
  role: fc.constantFrom("core", "core.zst", "dump-info", "manifest", "log", "ps-info", "pod-info", "image-info", "any"),
  name: hostileText,
  times: fc.oneof({ weight: 12, arbitrary: fc.constant(1) }, around(3, 2000, 10_000)),
  data: fc.oneof(
    fc.record({ kind: fc.constant("json" as const), json: jsonRecipe }),
    fc.record({
      kind: fc.constant("manifest" as const),
      field: fc.constantFrom("process", "core", "modules", "threads", "pod", "x"),
      json: jsonRecipe,
    }),
    fc.record({ kind: fc.constant("seek" as const), seek: seekRecipe }),
    fc.record({ kind: fc.constant("zeros" as const), bytes: around(4096, 1024 ** 2, 16 * 1024 ** 2, 64 * 1024 ** 2) }),
    fc.record({ kind: fc.constant("text" as const), text: hostileText }),
  ),
  method: fc.constantFrom(0, 8, 8, 0, 8, 8, 0, 8, 8, 0, 8, 9, 93),
  lies: fc.record({
    sizeBytes: options(edgeNumber.map(toUint32)),
    storedBytes: options(edgeNumber.map(toUint32)),
    headerOffset: options(edgeNumber.map(toUint32)),
    flags: options(fc.constantFrom(0, 1, 8, 0x801, 0xffff)),
    mode: options(fc.constantFrom(0o120777, 0o040755, 0o020666, 0o104755)),
    crc32: options(fc.constant(1)),
  }) as fc.Arbitrary<EntryRecipe["lies"]>,
});

function toUint32(value: number): number {
  return Math.min(Math.max(0, value), 2 ** 32 - 1);
}

/** Zips by grammar. */
export const bundleRecipe: fc.Arbitrary<BundleRecipe> = fc.record({
  entries: fc.array(entryRecipe, { maxLength: 6 }),
  end: fc.record({
    entryCount: options(fc.constantFrom(0, 1, 9999, 10_000, 10_001, 65_535)),
    directoryOffset: options(edgeNumber.map(toUint32)),
    zip64Offset: options(fc.constantFrom(0, 22, 2 ** 40)),
  }) as fc.Arbitrary<BundleRecipe["end"]>,
  comment: fc.oneof(
    { weight: 9, arbitrary: fc.constant(0) },
    around(65_535).map((bytes) => Math.min(65_535, Math.max(0, bytes))),
  ),
  before: fc.oneof({ weight: 9, arbitrary: fc.constant(0) }, fc.constantFrom(1, 22, 70_000)),
});

/** Write a core's entry: frames and the table that tells of them. */
export function writeSeek(seek: SeekRecipe): Buffer {
  const frame = zstdCompressSync(Buffer.alloc(seek.body.zeros), { params: { [constants.ZSTD_c_compressionLevel]: 1 } });
  const body = Buffer.concat(Array.from({ length: seek.body.times }, () => frame));
  const real = Array.from({ length: seek.body.times }, () => ({
    storedBytes: frame.length,
    coreBytes: seek.body.zeros,
    times: 1,
  }));
  const frames = [...real, ...seek.frames];
  const count = frames.reduce((sum, { times }) => sum + Math.max(0, times), 0);
  const wide = (seek.descriptor & 0x80) === 0 ? 8 : 12;
  const table = Buffer.alloc(8 + count * wide + 9);
  table.writeUInt32LE(0x184d2a5e, 0);
  table.writeUInt32LE(table.length - 8, 4);
  let at = 8;
  for (const { storedBytes, coreBytes, times } of frames)
    for (let index = 0; index < times; index += 1, at += wide) {
      table.writeUInt32LE(toUint32(storedBytes), at);
      table.writeUInt32LE(toUint32(coreBytes), at + 4);
    }
  table.writeUInt32LE(toUint32(count + seek.countLie), table.length - 9);
  table[table.length - 5] = seek.descriptor;
  table.writeUInt32LE(0x8f92eab1, table.length - 4);
  return Buffer.concat([body, table]);
}

/** Write a zip. */
export function writeBundle(recipe: BundleRecipe): Buffer {
  const entries = recipe.entries.flatMap((entry) => {
    const data = dataOf(entry.data);
    const stored = entry.method === 8 ? deflateRawSync(data, { level: 1 }) : data;
    const made = { data, stored, method: entry.method, ...defined(entry.lies) } satisfies Partial<RawZipEntry>;
    return Array.from({ length: entry.times }, (_, index) => ({ ...made, name: nameOf(entry, index) }));
  });
  const zip = makeRawZip(entries, {
    ...defined(recipe.end),
    comment: Buffer.alloc(recipe.comment, "PK"),
  } as RawZipOptions);
  return recipe.before === 0 ? zip : Buffer.concat([Buffer.alloc(recipe.before, "P"), zip]);
}

function defined<T extends object>(object: T): { [K in keyof T]: Exclude<T[K], undefined> } {
  return Object.fromEntries(Object.entries(object).filter(([, value]) => value !== undefined)) as {
    [K in keyof T]: Exclude<T[K], undefined>;
  };
}

function nameOf({ role, name }: EntryRecipe, index: number): Buffer {
  const more = index === 0 ? "" : String(index);
  const suffix = {
    core: ".core",
    "core.zst": ".core.zst",
    "dump-info": "-dump-info.json",
    manifest: "-manifest.json",
    log: `-${index}.log`,
    "ps-info": "-ps-info.json",
    "pod-info": "-pod-info.json",
    "image-info": `-${index}-image-info.json`,
    any: "",
  }[role];
  const whole =
    role === "any" ? `${name}${more}` : `${SAMPLE_NAME}${role === "log" || role === "image-info" ? "" : more}${suffix}`;
  return Buffer.from(whole).subarray(0, 65_535);
}

function dataOf(data: EntryRecipe["data"]): Buffer {
  switch (data.kind) {
    case "json":
      return Buffer.from(writeJson(data.json));
    case "manifest": {
      const text = JSON.stringify({ ...makeManifest(Buffer.alloc(0), 0), [data.field]: "@@" });
      return Buffer.from(text.replace('"@@"', () => writeJson(data.json)));
    }
    case "seek":
      return writeSeek(data.seek);
    case "zeros":
      return Buffer.alloc(Math.max(0, data.bytes));
    case "text":
      return Buffer.from(data.text);
  }
}
