import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, it } from "vitest";
import { run } from "@cdh/core/exec";
import { SeededRandom } from "@cdh/core/testing/random";
import { MemorySource } from "./byte-source.ts";
import { ElfFile } from "./elf-file.ts";
import { findSymbols } from "./symbols.ts";

let place: string;
let program: string;

beforeAll(async () => {
  place = await mkdtemp(join(tmpdir(), "cdh-elf-file-"));
  const source = join(place, "a.c");
  await writeFile(source, "int alpha(void) { return 1; }\nint main(void) { return alpha(); }\n");
  program = join(place, "a");
  const compiled = await run("gcc", ["-O0", "-Wl,--build-id=sha1", "-o", program, source]);
  if (compiled.failed) program = "";
}, 60_000);

afterAll(async () => {
  await rm(place, { recursive: true, force: true });
});

it("names functions as nm does", async (context) => {
  if (program === "") context.skip("gcc is not on this machine");
  const symbols = new Map(
    (await run("nm", [program])).stdout.split("\n").flatMap((line) => {
      const [, value, name] = /^([0-9a-f]+) T (\w+)$/.exec(line) ?? [];
      return value === undefined || name === undefined ? [] : [[name, BigInt(`0x${value}`)] as const];
    }),
  );
  const elf = await ElfFile.tryOpen(new MemorySource(await readFile(program)));
  const [alpha = 0n, main = 0n] = [symbols.get("alpha"), symbols.get("main")];
  const found = elf === undefined ? [] : await findSymbols(elf, [alpha, alpha + 3n, main + 4n, 0n]);
  expect([...found]).toEqual([
    [alpha, { name: "alpha", offset: 0n }],
    [alpha + 3n, { name: "alpha", offset: 3n }],
    [main + 4n, { name: "main", offset: 4n }],
  ]);
}, 60_000);

it("is total against damaged files", async (context) => {
  if (program === "") context.skip("gcc is not on this machine");
  const original = await readFile(program);
  const random = new SeededRandom(0xe1f);
  let opened = 0;
  const rounds = Number(process.env["CDH_FUZZ_ROUNDS"] ?? 300);
  for (let round = 0; round < rounds; round += 1) {
    const damaged = Buffer.from(
      original.subarray(0, random.integer(4) === 0 ? random.integer(original.length) : undefined),
    );
    // Most of what matters stands at the start and at the end: headers of the file, of programs and of sections.
    for (let changes = 1 + random.integer(12); changes > 0 && damaged.length > 0; changes -= 1) {
      const reach = Math.min(damaged.length, 2048);
      const at = random.integer(reach);
      damaged[random.integer(2) === 0 ? at : damaged.length - 1 - at] = random.pick([0, 0xff, random.integer(256)]);
    }
    const elf = await ElfFile.tryOpen(new MemorySource(damaged));
    if (elf === undefined) continue;
    opened += 1;
    await findSymbols(elf, [0x1000n, 0x1130n, 0xffff_ffff_ffff_fff0n]);
    await elf.readVaddr(0x1000n, 64);
    for (const { name } of await elf.sections()) await elf.section(name);
  }
  expect(opened).toBeGreaterThan(rounds / 4);
}, 120_000);
