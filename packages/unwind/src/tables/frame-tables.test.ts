import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { SeededRandom } from "@cdh/core/testing/random";
import { MemorySource } from "../elf/byte-source.ts";
import { ElfFile } from "../elf/elf-file.ts";
import { frameRowAt } from "./cfa-program.ts";
import { UnwindDataError } from "./dwarf-reader.ts";
import { FrameTables } from "./frame-tables.ts";

const place = mkdtempSync(join(tmpdir(), "cdh-tables-"));
afterAll(() => rmSync(place, { recursive: true, force: true }));
writeFileSync(
  join(place, "a.c"),
  '#include <stdio.h>\nint alpha(int n) { char room[n + 1]; return sprintf(room, "%d", n); }\nint main(int c, char **v) { (void)v; return alpha(c); }\n',
);

function compile(name: string, ...flags: string[]): Buffer | undefined {
  try {
    execFileSync("gcc", ["-O1", ...flags, "-o", name, "a.c"], { cwd: place, stdio: "pipe" });
  } catch {
    return undefined;
  }
  return readFileSync(join(place, name));
}

function functionsOf(name: string): Map<string, bigint> {
  const text = execFileSync("nm", [join(place, name)], { encoding: "utf8" });
  return new Map(
    [...text.matchAll(/^([0-9a-f]+) [Tt] (\w+)$/gm)].map(([, at, symbol = ""]) => [symbol, BigInt(`0x${at}`)]),
  );
}

async function open(bytes: Uint8Array): Promise<FrameTables> {
  const elf = await ElfFile.tryOpen(new MemorySource(bytes));
  if (elf === undefined) throw new Error("no ELF file");
  return new FrameTables(elf, () => Promise.resolve(undefined));
}

const VARIANTS: readonly [string, readonly string[]][] = [
  ["header", []],
  ["no-header", ["-Wl,--no-eh-frame-hdr"]],
  ["static", ["-static"]],
  ["debug-frame", ["-g", "-fno-asynchronous-unwind-tables", "-fno-unwind-tables", "-fomit-frame-pointer"]],
  ["m32", ["-m32"]],
  ["m32-no-header", ["-m32", "-Wl,--no-eh-frame-hdr"]],
];

describe("FrameTables", () => {
  it.each(VARIANTS)("describes the code of a program with %s", async (name, flags) => {
    const bytes = compile(name, ...flags);
    if (bytes === undefined) return;
    const tables = await open(bytes);
    const functions = functionsOf(name);
    for (const symbol of ["alpha", "main"]) {
      const start = functions.get(symbol) ?? 0n;
      const description = await tables.find(start + 1n);
      expect(description?.start).toBe(start);
      // Where a function begins, the return address is on top of the stack.
      const [sp, word] = name.startsWith("m32") ? [4, 4n] : [7, 8n];
      if (description !== undefined)
        expect(frameRowAt(description, start).frame).toEqual({ kind: "register", register: sp, offset: word });
    }
    expect(await tables.find(0x10n)).toBeUndefined();
  });

  it("finds the same with and without the header's search table", async () => {
    const [plain, bare] = [compile("same1"), compile("same2", "-Wl,--no-eh-frame-hdr")];
    if (plain === undefined || bare === undefined) return;
    const [one, other] = [await open(plain), await open(bare)];
    const ends = async (tables: FrameTables, name: string): Promise<bigint[]> => {
      const found: bigint[] = [];
      for (const symbol of ["alpha", "main", "_start"]) {
        const description = await tables.find(functionsOf(name).get(symbol) ?? 0n);
        found.push((description?.end ?? 0n) - (description?.start ?? 0n));
      }
      return found;
    };
    expect(await ends(one, "same1")).toEqual(await ends(other, "same2"));
  });

  it("throws nothing but its own error, whatever the tables say", async () => {
    const original = compile("damaged", "-Wl,--no-eh-frame-hdr");
    if (original === undefined) return;
    const elf = await ElfFile.tryOpen(new MemorySource(original));
    const section = (await elf?.sections())?.find(({ name }) => name === ".eh_frame");
    const random = new SeededRandom(0xef);
    const main = functionsOf("damaged").get("main") ?? 0n;
    for (let round = 0; round < Number(process.env["CDH_FUZZ_ROUNDS"] ?? 300); round += 1) {
      const damaged = Buffer.from(original);
      for (let changes = 1 + random.integer(6); changes > 0; changes -= 1)
        damaged[(section?.offset ?? 0) + random.integer(section?.sizeBytes ?? 1)] = random.integer(256);
      try {
        await (await open(damaged)).find(main);
      } catch (error) {
        expect(error).toBeInstanceOf(UnwindDataError);
      }
    }
  }, 60_000);
});
