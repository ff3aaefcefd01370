import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { SeededRandom } from "@cdh/core/testing/random";
import { MemorySource } from "../elf/byte-source.ts";
import { ElfFile } from "../elf/elf-file.ts";
import { DebugInfo } from "./debug-info.ts";
import { SourceLines } from "./source-lines.ts";

const place = mkdtempSync(join(tmpdir(), "cdh-lines-"));
afterAll(() => rmSync(place, { recursive: true, force: true }));

const SOURCE = `static inline __attribute__((always_inline)) int third(int *p) { return *p + 1; }
static inline __attribute__((always_inline)) int second(int *p) {
  return third(p) * 3;
}
__attribute__((noinline)) int first(int *p, int n) {
  if (n > 2)
    return second(p) + n;
  return second(p + n) - 1;
}
int main(int argc, char **argv) { (void)argv; return first(&argc, argc); }
`;

function tool(command: string, args: readonly string[]): string | undefined {
  try {
    return execFileSync(command, args, { cwd: place, encoding: "utf8", stdio: ["ignore", "pipe", "pipe"] });
  } catch {
    return undefined;
  }
}

async function open(bytes: Uint8Array): Promise<SourceLines | undefined> {
  const elf = await ElfFile.tryOpen(new MemorySource(bytes));
  const info = elf === undefined ? undefined : await DebugInfo.tryOpen(elf, () => Promise.resolve(undefined));
  return info === undefined ? undefined : new SourceLines(info);
}

/** Addresses of all instructions of first(). */
function addressesOf(program: string): bigint[] {
  const text = tool("objdump", ["-d", "--disassemble=first", program]) ?? "";
  return [...text.matchAll(/^ +([0-9a-f]+):\t/gm)].map(([, address]) => BigInt(`0x${address}`));
}

/** What addr2line says: function and place, innermost first. */
function byBinutils(program: string, addresses: readonly bigint[]): string[][] {
  const text =
    tool("addr2line", ["-i", "-f", "-a", "-e", program, ...addresses.map((one) => `0x${one.toString(16)}`)]) ?? "";
  return text
    .split(/^0x[0-9a-f]+\n/m)
    .slice(1)
    .map((block) => {
      const lines = block.trim().split("\n");
      return Array.from({ length: lines.length / 2 }, (_, index) => {
        const at = lines[2 * index + 1]
          ?.replace(/ \(discriminator \d+\)/, "")
          .split("/")
          .at(-1);
        return `${lines[2 * index]} ${at}`;
      });
    });
}

writeFileSync(join(place, "lines.c"), SOURCE);
const VARIANTS = [
  "-gdwarf-5",
  "-gdwarf-4",
  "-gdwarf-3",
  "-gdwarf-2",
  "-g -gz=zlib",
  "-g -gz=zlib-gnu",
  "-g -gdwarf64",
  "-g -m32",
];

describe("SourceLines", () => {
  it.each(VARIANTS)("agrees with addr2line about %s", async (flags) => {
    const program = join(place, `lines${VARIANTS.indexOf(flags)}`);
    if (tool("gcc", ["-O2", ...flags.split(" "), "-o", program, "lines.c"]) === undefined) return;
    const addresses = addressesOf(program);
    // binutils does not read its own old compression, nor 64-bit DWARF, here; the code is the same.
    const theirs = byBinutils(/zlib-gnu|dwarf64/.test(flags) ? join(place, "lines0") : program, addresses);
    expect(theirs.length).toBeGreaterThan(4);
    expect(theirs.some((chain) => chain.length === 3)).toBe(true);
    const found = await (await open(readFileSync(program)))?.find(addresses);
    const ours = addresses.map((address) =>
      (found?.get(address) ?? []).map(({ name, file, line }) => `${name} ${file?.split("/").at(-1)}:${line}`),
    );
    expect(ours).toEqual(theirs);
  });

  it("is total against damaged files", async () => {
    const program = join(place, "damaged");
    if (tool("gcc", ["-O2", "-g", "-o", program, "lines.c"]) === undefined) return;
    const original = readFileSync(program);
    const addresses = addressesOf(program);
    const elf = await ElfFile.tryOpen(new MemorySource(original));
    const sections = (await elf?.sections())?.filter(({ name }) => name.startsWith(".debug_")) ?? [];
    const random = new SeededRandom(0xd3f);
    for (let round = 0; round < Number(process.env["CDH_FUZZ_ROUNDS"] ?? 200); round += 1) {
      const damaged = Buffer.from(original);
      for (let changes = 1 + random.integer(10); changes > 0; changes -= 1) {
        const { offset, sizeBytes } = random.pick(sections);
        damaged[offset + random.integer(sizeBytes)] = random.pick([0, 0xff, random.integer(256)]);
      }
      const found = await (await open(damaged))?.find(addresses);
      for (const chain of found?.values() ?? []) expect(chain.length).toBeLessThan(100);
    }
  }, 120_000);
});
