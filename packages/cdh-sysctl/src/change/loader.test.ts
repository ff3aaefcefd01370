import { describe, expect, it } from "vitest";
import { interpreterPatch, isPrivateLoader, readLoaderFacts, runPathPatch } from "./loader.ts";

/** Make the smallest ELF file that names an interpreter. */
function elf(interpreter: string, options: { type?: number; size?: number } = {}): Buffer {
  const file = Buffer.alloc(64 + 56 + interpreter.length + 1);
  file.write("\x7fELF\x02\x01", 0, "latin1");
  file.writeBigUInt64LE(64n, 32);
  file.writeUInt16LE(56, 54);
  file.writeUInt16LE(1, 56);
  file.writeUInt32LE(options.type ?? 3, 64);
  file.writeBigUInt64LE(120n, 64 + 8);
  file.writeBigUInt64LE(BigInt(options.size ?? interpreter.length + 1), 64 + 32);
  file.write(interpreter, 120, "latin1");
  return file;
}

const reader = (file: Buffer) => (offset: number, length: number) => file.subarray(offset, offset + length);

describe("readLoaderFacts", () => {
  it("finds the path, where it is, and how much room there is", () => {
    expect(readLoaderFacts(reader(elf("/lib64/ld.so")))).toEqual({
      interpreter: { text: "/lib64/ld.so", offset: 120, room: 12 },
    });
  });

  it.each([
    ["no ELF at all", Buffer.from("#!/bin/sh\n")],
    ["nothing", Buffer.alloc(0)],
    ["no interpreter", elf("/x", { type: 1 })],
    ["an absurd length", elf("/x", { size: 2 ** 40 })],
    ["cut in the table", elf("/x").subarray(0, 100)],
  ])("finds none in %s", (_name, file) => expect(readLoaderFacts(reader(file))).toEqual({}));

  it("survives any bytes after the magic", () => {
    for (let seed = 1; seed < 500; seed += 1) {
      const file = elf("/lib/x");
      for (let at = 6; at < file.length; at += 1) file[at] = (seed * 2_654_435_761 * (at + 1)) >>> 24;
      expect(() => readLoaderFacts(reader(file))).not.toThrow();
    }
  });
});

describe("interpreterPatch", () => {
  const padded = { text: "////////////x/lib/ld.so", offset: 7, room: 23 };

  it("keeps the length with leading slashes", () => {
    const patch = interpreterPatch(padded, "/a/lib/ld.so");
    expect(patch).toEqual({ offset: 7, bytes: Buffer.from("////////////a/lib/ld.so\0") });
    expect(isPrivateLoader(padded)).toBe(true);
    expect(isPrivateLoader({ text: "/lib64/ld-linux-x86-64.so.2", offset: 0, room: 27 })).toBe(false);
  });

  it("counts bytes, and refuses what does not fit", () => {
    expect(interpreterPatch(padded, `/${"a".repeat(22)}`).bytes).toHaveLength(24);
    expect(() => interpreterPatch(padded, `/${"ä".repeat(12)}`)).toThrow(
      expect.objectContaining({ code: "CDH_CONFIG_INVALID" }),
    );
  });
});

describe("runPathPatch", () => {
  it("fills the room with slashes, and gives up when there is too little", () => {
    const runPath = { text: "$ORIGIN/lib/////", offset: 3, room: 16 };
    expect(runPathPatch(runPath, "$ORIGIN/lib/ab")).toEqual({ offset: 3, bytes: Buffer.from("$ORIGIN/lib/ab//\0") });
    expect(runPathPatch(runPath, "$ORIGIN/lib/abcde")).toBeUndefined();
  });
});
