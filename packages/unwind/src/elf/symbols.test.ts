import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, expect, it } from "vitest";
import { MemorySource } from "./byte-source.ts";
import { ElfFile } from "./elf-file.ts";
import { findNamed, findSymbols } from "./symbols.ts";

const place = mkdtempSync(join(tmpdir(), "cdh-symbols-"));
afterAll(() => rmSync(place, { recursive: true, force: true }));

/** A label without a type, a local label, a function without a size at the end of its section, and data behind it. */
const SOURCE = `
  .text
  .globl _start
_start:
  nop
.Lown:
  nop
inner:
  nop
  nop
  .type sized, @function
sized:
  nop
  .size sized, 1
  .globl last
  .type last, @function
last:
  nop
  nop
  .bss
page:
  .zero 4096
`;

it("names labels of code, and nothing behind a section's end", async (context) => {
  const program = join(place, "labels");
  writeFileSync(`${program}.s`, SOURCE);
  try {
    execFileSync("gcc", ["-nostdlib", "-static", "-o", program, `${program}.s`], { stdio: "pipe" });
  } catch {
    context.skip("gcc is not on this machine");
  }
  const elf = await ElfFile.tryOpen(new MemorySource(readFileSync(program)));
  if (elf === undefined) throw new Error("no ELF file");
  const named = await findNamed(elf, new Set(["_start", "inner", "sized", "last", "page"]));
  const at = (name: string): bigint => named.get(name) ?? 0n;
  const wanted = [at("_start") + 1n, at("inner") + 1n, at("sized"), at("last") + 1n, at("page"), at("page") + 64n];
  const found = await findSymbols(elf, wanted);
  expect(wanted.map((vaddr) => found.get(vaddr))).toEqual([
    { name: "_start", offset: 1n },
    { name: "inner", offset: 1n },
    { name: "sized", offset: 0n },
    { name: "last", offset: 1n },
    undefined,
    undefined,
  ]);
});
