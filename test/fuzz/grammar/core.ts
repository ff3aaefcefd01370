import * as fc from "fast-check";
import {
  buildCore,
  buildFileNote,
  buildImage,
  FieldWriter,
  type BuiltNote,
  type BuiltSegment,
} from "@cdh/core/testing/core-builder";
import {
  NT_AUXV,
  NT_FILE,
  NT_FDO_PACKAGING_METADATA,
  NT_GNU_BUILD_ID,
  NT_PRSTATUS,
  NT_SIGINFO,
} from "../../../packages/core/src/elf/notes.ts";
import { jsonRecipe, writeJson, type JsonRecipe } from "./json.ts";
import { around, edgeNumber, hostileText } from "./text.ts";

/** A core, described. Whole at first: what lies in it are its sizes, its repetitions, and bytes changed at the end. */
export interface CoreRecipe {
  /** Threads: so many NT_PRSTATUS notes. */
  threads: number;
  signal: number;
  code: number;
  /** Notes of any kind, each so many times. */
  notes: { type: number; name: string; bytes: number; times: number }[];
  /** Modules that are mapped, so many times each. */
  modules: { path: string; times: number; package: JsonRecipe | undefined; packageMax: number; buildIdBytes: number }[];
  /** PT_LOADs that hold nothing. */
  emptySegments: number;
  /** Ends of mappings before their starts, all at one place. */
  overlap: boolean;
  machine: number;
  /** Fields of the file's head changed: offset, bytes, value. */
  lies: { at: number; bytes: 2 | 4 | 8; value: number }[];
  /** Share of the file that is there, in thousandths. */
  kept: number;
}

const NOTE_TYPES = [
  NT_PRSTATUS,
  NT_SIGINFO,
  NT_AUXV,
  NT_FILE,
  NT_GNU_BUILD_ID,
  NT_FDO_PACKAGING_METADATA,
  3,
  2,
  0x202,
  0x400,
  0xffffffff,
];

/** Cores by grammar. */
export const coreRecipe: fc.Arbitrary<CoreRecipe> = fc.record({
  threads: fc.oneof({ weight: 6, arbitrary: fc.nat({ max: 4 }) }, around(1000, 10_000, 65_536)),
  signal: fc.constantFrom(0, 6, 11, 64, 65, 0x7fff),
  code: fc.constantFrom(0, 1, -6, 128, 0x7fffffff),
  notes: fc.array(
    fc.record({
      type: fc.constantFrom(...NOTE_TYPES),
      name: fc.constantFrom("CORE", "LINUX", "GNU", "FDO", "Go", "", "x".repeat(300)),
      bytes: around(16, 128, 336, 4096, 65_536),
      times: fc.oneof({ weight: 9, arbitrary: fc.constant(1) }, around(500)),
    }),
    { maxLength: 4 },
  ),
  modules: fc.array(
    fc.record({
      path: hostileText,
      times: fc.oneof({ weight: 5, arbitrary: fc.nat({ max: 8 }) }, around(64, 512)),
      package: fc.option(jsonRecipe, { nil: undefined }),
      packageMax: fc.constantFrom(300, 3400, 16_000, 16_384, 16_385),
      buildIdBytes: fc.constantFrom(0, 8, 20, 64, 65, 4000),
    }),
    { maxLength: 3 },
  ),
  emptySegments: fc.oneof({ weight: 9, arbitrary: fc.constant(0) }, around(2000, 65_533)),
  overlap: fc.boolean(),
  machine: fc.constantFrom(62, 183, 3, 40, 8, 0, 0xffff),
  lies: fc.oneof(
    { weight: 2, arbitrary: fc.constant<CoreRecipe["lies"]>([]) },
    fc.array(
      fc.record({
        at: fc.nat({ max: 700 }),
        bytes: fc.constantFrom(2 as const, 4 as const, 8 as const),
        value: edgeNumber,
      }),
      { maxLength: 4 },
    ),
  ),
  kept: fc.oneof({ weight: 4, arbitrary: fc.constant(1000) }, fc.nat({ max: 1000 })),
});

/** Write it. */
export function writeCore(recipe: CoreRecipe): Buffer {
  const notes: BuiltNote[] = Array.from({ length: recipe.threads }, (_, index) => ({
    name: "CORE",
    type: NT_PRSTATUS,
    desc: new FieldWriter(336)
      .u16(12, recipe.signal)
      .u32(32, index + 1)
      .word(112 + 16 * 8, 0x100_010)
      .word(112 + 19 * 8, 0x9000).bytes,
  }));
  notes.push({
    name: "CORE",
    type: NT_SIGINFO,
    desc: new FieldWriter(128).u32(0, recipe.signal).u32(8, recipe.code).bytes,
  });
  for (const { type, name, bytes, times } of recipe.notes)
    for (let index = 0; index < times; index += 1)
      notes.push({ name, type, desc: new Uint8Array(Math.max(0, bytes)).fill(index) });
  const mappings: { path: string; start: bigint; end: bigint; pages: number }[] = [];
  const segments: BuiltSegment[] = [];
  let at = 0x100_000n;
  for (const module of recipe.modules) {
    const image = imageOf(module);
    for (let index = 0; index < module.times; index += 1) {
      const end = at + BigInt(image.length);
      mappings.push({
        path: `${module.path.replaceAll("\0", "")}${index}`,
        start: recipe.overlap ? 0x100_000n : at,
        end,
        pages: 0,
      });
      segments.push({ vaddr: at, bytes: image, flags: 5 });
      at = end + 0x10_000n;
    }
  }
  notes.push({ name: "CORE", type: NT_FILE, desc: buildFileNote(mappings) });
  const core = Buffer.from(
    buildCore({ notes, segments, machine: recipe.machine, emptySegments: Math.max(0, recipe.emptySegments) }),
  );
  for (const { at: place, bytes, value } of recipe.lies) {
    if (place + bytes > core.length) continue;
    const whole = BigInt.asUintN(bytes * 8, BigInt(value));
    if (bytes === 2) core.writeUInt16LE(Number(whole), place);
    else if (bytes === 4) core.writeUInt32LE(Number(whole), place);
    else core.writeBigUInt64LE(whole, place);
  }
  return core.subarray(0, Math.ceil((core.length * recipe.kept) / 1000));
}

function imageOf({ package: metadata, packageMax, buildIdBytes }: CoreRecipe["modules"][number]): Uint8Array {
  const notes: BuiltNote[] = [];
  if (buildIdBytes > 0) notes.push({ name: "GNU", type: NT_GNU_BUILD_ID, desc: new Uint8Array(buildIdBytes).fill(7) });
  if (metadata !== undefined) {
    const text = fit(writeJson(metadata), packageMax);
    notes.push({ name: "FDO", type: NT_FDO_PACKAGING_METADATA, desc: Buffer.from(`${text}\0`) });
  }
  const length = notes.reduce((sum, { desc }) => sum + desc.length + 32, 0x400);
  return buildImage(notes, { length: Math.ceil(length / 4096) * 4096 });
}

/** An object of about so many bytes: the recipe's, when it fits; else as many levels or elements as do. */
function fit(text: string, max: number): string {
  if (text.length < max - 8) return text.startsWith("{") ? text : `{"a":${text}}`;
  const room = max - 12;
  return text.startsWith("[[") || text.startsWith('{"a":{')
    ? `{"a":${"[".repeat(room / 2)}${"]".repeat(room / 2)}}`
    : `{"a":[${"{},".repeat(room / 3 - 1)}{}]}`;
}
