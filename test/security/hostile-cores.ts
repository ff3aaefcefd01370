import { buildCore, buildFileNote, buildImage, type BuiltNote, FieldWriter } from "@cdh/core/testing/core-builder";
import { noise } from "../composer/drive.ts";

/** A core that a process could make on purpose, and what it aims at. */
export interface HostileCore {
  title: string;
  make: () => Uint8Array;
}

const NT_PRSTATUS = 1;
const NT_SIGINFO = 0x53494749;
const NT_FILE = 0x46494c45;
const FDO_PACKAGING_METADATA = 0xcafe1a7e;

/** A thread that died of SIGSEGV. */
function thread(tid: number): BuiltNote {
  return { name: "CORE", type: NT_PRSTATUS, desc: new FieldWriter(336).u16(12, 11).u32(32, tid).bytes };
}

const SIGINFO: BuiltNote = { name: "CORE", type: NT_SIGINFO, desc: new FieldWriter(128).u32(0, 11).u32(8, 1).bytes };

/** An ELF file as it is mapped, with a package note of this text. */
function image(packageNote: string, notes: readonly BuiltNote[] = []): Uint8Array {
  const desc = Buffer.from(`${packageNote}\0`);
  return buildImage(
    [
      { name: "GNU", type: 3, desc: new Uint8Array(20).fill(7) },
      ...notes,
      { name: "FDO", type: FDO_PACKAGING_METADATA, desc },
    ],
    { length: Math.ceil((desc.length + 1024) / 4096) * 4096 },
  );
}

/** A core with this file mapped so often. */
function mapped(
  count: number,
  file: Uint8Array,
  path: (index: number) => string = (index) => `/m${index}`,
): Uint8Array {
  const stride = BigInt(file.length) + 0x10000n;
  const mappings = Array.from({ length: count }, (_, index) => {
    const start = 0x10_0000n + BigInt(index) * stride;
    return { path: path(index), start, end: start + BigInt(file.length), pages: 0 };
  });
  return buildCore({
    notes: [thread(1), SIGINFO, { name: "CORE", type: NT_FILE, desc: buildFileNote(mappings) }],
    segments: mappings.map(({ start }) => ({ vaddr: start, bytes: file, flags: 5 })),
  });
}

/** So many mappings of which the core holds nothing: only the tables are long. */
function manyMappings(count: number, pathBytes: number, flags: number, memory = new Uint8Array()): Uint8Array {
  const path = `/${"p".repeat(pathBytes - 1)}`;
  const mappings = Array.from({ length: count }, (_, index) => {
    const start = 0x10_0000n + BigInt(index) * 0x2000n;
    return { path, start, end: start + 0x1000n, pages: index };
  });
  return buildCore({
    notes: [thread(1), SIGINFO, { name: "CORE", type: NT_FILE, desc: buildFileNote(mappings) }],
    segments: [
      ...mappings.map(({ start }) => ({ vaddr: start, bytes: new Uint8Array(), memSize: 4096, flags })),
      { vaddr: 0x7000_0000_0000n, bytes: memory, flags: 6 },
    ],
  });
}

const field = (length: number): string => "v".repeat(length);
const everyField = JSON.stringify(
  Object.fromEntries(
    ["type", "name", "version", "architecture", "os", "osVersion", "osCpe"].map((name) => [name, field(500)]),
  ),
);

/** Cores whose structure, not whose size, is the attack. The first three took 0.3 to 6 GB of the composer once. */
export const HOSTILE_CORES: readonly HostileCore[] = [
  {
    title: "package notes of 16 KB, nested 8,000 deep, in eight files",
    make: () => mapped(8, image(`{"a":${"[".repeat(7990)}${"]".repeat(7990)}}`)),
  },
  {
    title: "package notes nested within what is read of them, in 24 files",
    make: () => mapped(24, image(`{"a":${"[".repeat(2000)}${"]".repeat(2000)}}`)),
  },
  {
    title: "package notes of a thousand empty objects, in 4,096 files",
    make: () => mapped(4096, image(`{"a":[${"{},".repeat(1000)}{}]}`)),
  },
  { title: "package notes with every field full, in 4,096 files", make: () => mapped(4096, image(everyField)) },
  {
    title: "package notes of a hundred copies of one field, in 4,096 files",
    make: () => mapped(4096, image(`{${Array.from({ length: 90 }, () => `"name":"${field(30)}"`).join(",")}}`)),
  },
  {
    title: "6,000 files with paths of 1,000 control characters",
    make: () => mapped(6000, image("{}"), (index) => `/${"\u0001".repeat(1000)}${index}`),
  },
  { title: "65,000 executable mappings with paths of 60 bytes", make: () => manyMappings(65_000, 60, 5) },
  { title: "65,000 closed mappings of one file", make: () => manyMappings(65_000, 60, 0) },
  {
    title: "65,000 mappings, and memory that does not compress",
    make: () => manyMappings(65_000, 60, 5, new Uint8Array(noise(48 * 1024 * 1024))),
  },
  { title: "20,000 mappings with paths of 300 bytes", make: () => manyMappings(20_000, 300, 5) },
  {
    title: "70,000 threads",
    make: () => buildCore({ notes: [...Array.from({ length: 70_000 }, (_, index) => thread(index + 1)), SIGINFO] }),
  },
  {
    title: "300,000 small notes",
    make: () =>
      buildCore({
        notes: [
          thread(1),
          SIGINFO,
          ...Array.from({ length: 300_000 }, () => ({ name: "X", type: 9, desc: new Uint8Array(4) })),
        ],
      }),
  },
  {
    title: "200,000 segments without a list of files",
    make: () => buildCore({ notes: [thread(1), SIGINFO], emptySegments: 200_000 }),
  },
];
