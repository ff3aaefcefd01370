import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir, userInfo } from "node:os";
import { join } from "node:path";
import * as fc from "fast-check";
import { once } from "@cdh/core/async/once";
import { MemorySource } from "../../../packages/unwind/src/elf/byte-source.ts";
import { ElfFile } from "../../../packages/unwind/src/elf/elf-file.ts";
import { findNamed } from "../../../packages/unwind/src/elf/symbols.ts";
import { GO_LAYOUTS } from "../../../packages/unwind/src/go/layouts.ts";
import { readGoroutines } from "../../../packages/unwind/src/goroutines/read-goroutines.ts";
import { ProcessImage } from "../../../packages/unwind/src/process/process-image.ts";
import { findTool } from "../../helpers/tools.ts";
import { defineTarget, must } from "../target.ts";

const BASE = 0x40_0000n;
const HEAP = 0xc000_0000_00n;
const SLOTS = 64;
const SLOT_BYTES = 1024;
const LIST = HEAP + 0x100_0000n;
const STACKS = HEAP + 0x200_0000n;
const WORDS = [
  0n,
  1n,
  7n,
  0x7fff_ffff_ffff_ffffn,
  0xffff_ffff_ffff_ffffn,
  HEAP,
  LIST,
  STACKS,
  STACKS + 0x800n,
] as const;
const word = fc.oneof(fc.constantFrom(...WORDS), fc.bigInt(0n, 0xffff_ffff_ffff_ffffn));

/** A program of Go, built once: its tables are as they are, its memory is what the recipe says. */
const program = once(async () => {
  const folder = mkdtempSync(join(tmpdir(), "fuzz-go-"));
  try {
    writeFileSync(join(folder, "main.go"), "package main\n\nfunc main() { select {} }\n");
    const env = { ...process.env, HOME: userInfo().homedir, GO111MODULE: "off", CGO_ENABLED: "0" };
    execFileSync("go", ["build", "-o", "main", "main.go"], { cwd: folder, env, stdio: "pipe" });
    const bytes = readFileSync(join(folder, "main"));
    const elf = await ElfFile.tryOpen(new MemorySource(bytes));
    if (elf === undefined) throw new Error("go build made no ELF file");
    const named = await findNamed(elf, new Set(["runtime.allgs", "runtime.gopark", "runtime.goexit", "main.main"]));
    return { elf, named };
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
});

/** Memory whose list, goroutines and stacks lie: of 2^63 entries, in a circle, with words of anything. */
export const goroutinesTarget = defineTarget({
  name: "goroutines",
  what: "the goroutines of a Go process whose memory lies: counts, circles, repeated entries, wild stacks",
  recipes: fc.record({
    count: fc.oneof(fc.nat(SLOTS), fc.nat(2 ** 28), word.map(Number)),
    isNamed: fc.boolean(),
    /** Entries repeat after so many. */
    period: fc.integer({ min: 1, max: SLOTS }),
    /** Each address shows memory of its own, so that no entry repeats. */
    isEndless: fc.boolean(),
    states: fc.array(fc.nat(0x1010), { minLength: 1, maxLength: 8 }),
    damage: fc.array(fc.tuple(fc.nat(SLOT_BYTES / 8 - 1), word), { maxLength: 12 }),
    saved: fc.array(fc.tuple(fc.constantFrom("runtime.gopark", "main.main", "runtime.goexit"), fc.nat(300)), {
      minLength: 1,
      maxLength: 4,
    }),
    stack: fc.array(fc.oneof(word, fc.constantFrom("runtime.gopark", "main.main", "runtime.goexit")), {
      maxLength: 40,
    }),
  }),
  cpuMaxMs: 30_000,
  unavailable: () => findTool("go").reason,
  build: async (recipe) => ({ recipe, ...(await program()) }),
  run: async ({ recipe, elf, named }) => {
    const layout = GO_LAYOUTS.get(26);
    must(layout !== undefined, "no layout");
    const addressOf = (name: string, offset = 0): bigint => (named.get(name) ?? 0n) + BigInt(offset);
    const goroutine = (at: bigint, index: number): Buffer => {
      const bytes = Buffer.alloc(SLOT_BYTES);
      const [name, offset] = recipe.saved[index % recipe.saved.length] ?? ["main.main", 0];
      const put = (place: number, value: bigint): number => bytes.writeBigUint64LE(BigInt.asUintN(64, value), place);
      put(0, STACKS);
      put(8, STACKS + 0x1000n);
      put(layout.sched, STACKS + 0x10n);
      put(layout.sched + 8, addressOf(name, offset));
      put(layout.sched + 16, at);
      put(layout.m, at);
      put(layout.id, BigInt(index));
      bytes.writeUint32LE(recipe.states[index % recipe.states.length] ?? 0, layout.status);
      if (index > 8) for (const [place, value] of recipe.damage) put(place * 8, value);
      return bytes;
    };
    const stack = Buffer.alloc(0x1000);
    for (const [index, one] of recipe.stack.entries())
      stack.writeBigUint64LE(typeof one === "string" ? addressOf(one, 5) : one, 0x10 + index * 8);
    const list = addressOf("runtime.allgs");
    const cut = (bytes: Buffer, within: bigint, length: number): Buffer | undefined =>
      within < 0n || within >= BigInt(bytes.length)
        ? undefined
        : bytes.subarray(Number(within), Number(within) + length);
    const read = async (address: bigint, length: number): Promise<Uint8Array | undefined> => {
      if (address >= list && address < list + 24n && recipe.isNamed) {
        const slice = Buffer.alloc(24);
        slice.writeBigUint64LE(LIST, 0);
        for (const at of [8, 16]) slice.writeBigUint64LE(BigInt.asUintN(64, BigInt(Math.trunc(recipe.count))), at);
        return cut(slice, address - list, length);
      }
      if (address >= STACKS && address < STACKS + 0x1000n) return cut(stack, address - STACKS, length);
      if (address >= LIST && address < STACKS) {
        const bytes = Buffer.alloc(Math.min(length, 65_536));
        for (let at = 0; at + 8 <= bytes.length; at += 8) {
          const index = Number(address - LIST) / 8 + at / 8;
          const slot = recipe.isEndless ? index : index % recipe.period;
          bytes.writeBigUint64LE(0x7000_0000_0000n + BigInt(Math.trunc(slot) * SLOT_BYTES), at);
        }
        return bytes;
      }
      const within = address - 0x7000_0000_0000n;
      if (within < 0n || within > 0x1000_0000_0000n) return undefined;
      const index = Number(within / BigInt(SLOT_BYTES));
      const start = 0x7000_0000_0000n + BigInt(index * SLOT_BYTES);
      return cut(goroutine(start, index), address - start, length);
    };
    const module = { path: "/main", start: BASE, end: BASE + 0x40_0000n, executable: true };
    const opener = {
      openFile: async () => elf,
      openDebugFile: async () => undefined,
      openSharedDebugFile: async () => undefined,
    };
    const facts = { machine: { name: "x64", bits: 64, little: true }, modules: [module], mappings: [], segments: [] };
    const image = new ProcessImage(facts as never, read, opener as never);
    const found = await readGoroutines(image, []);
    must(found !== undefined, "the program is no longer Go's");
    must(found.goroutines.length <= 100_000, `${found.goroutines.length} goroutines`);
    must(new Set(found.goroutines.map(({ stack: one }) => one)).size <= 10_001, "more stacks than are walked");
  },
});
