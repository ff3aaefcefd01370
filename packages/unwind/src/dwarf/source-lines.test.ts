import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from "node:fs";
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

async function open(bytes: Uint8Array, dwp?: Uint8Array): Promise<SourceLines | undefined> {
  const elf = await ElfFile.tryOpen(new MemorySource(bytes));
  const split = dwp === undefined ? undefined : await ElfFile.tryOpen(new MemorySource(dwp));
  const info =
    elf === undefined
      ? undefined
      : await DebugInfo.tryOpen(
          elf,
          async () => undefined,
          async () => split,
        );
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

/** Build a program whose debug info is split off, and its package. Debian's tools make none of version 5. */
async function makePackage(program: string, flag: string, packer: string): Promise<Uint8Array | undefined> {
  // Two units: each is found by its own number.
  writeFileSync(join(place, "other.c"), "int other(int n) { return n * 2; }\n");
  const sources = ["lines.c", "other.c"];
  if (tool("gcc", ["-O2", flag, "-gsplit-dwarf", "-o", program, ...sources]) === undefined) return undefined;
  if (flag !== "-gdwarf-5")
    return tool(packer, ["-e", program, "-o", `${program}.dwp`]) === undefined
      ? undefined
      : readFileSync(`${program}.dwp`);
  const [split] = readdirSync(place).filter(
    (name) => name.endsWith("-lines.dwo") && program.includes(name.slice(0, -10)),
  );
  const elf = await ElfFile.tryOpen(new MemorySource(readFileSync(program)));
  const info = Buffer.from((await (await elf?.section(".debug_info"))?.data.read(0, 64)) ?? []);
  const dwo = await ElfFile.tryOpen(new MemorySource(readFileSync(join(place, split ?? ""))));
  const columns = [1, 3, 6, 8];
  const names = [".debug_info.dwo", ".debug_abbrev.dwo", ".debug_str_offsets.dwo", ".debug_rnglists.dwo"];
  const sizes = await Promise.all(names.map(async (name) => (await dwo?.section(name))?.data.sizeBytes ?? 0));
  const slot = Number(info.readBigUInt64LE(12) & 1n);
  const id = [info.readUInt32LE(12), info.readUInt32LE(16)];
  const ids = slot === 0 ? [...id, 0, 0] : [0, 0, ...id];
  const rows = slot === 0 ? [1, 0] : [0, 1];
  const words = [5, columns.length, 1, 2, ...ids, ...rows, ...columns, 0, 0, 0, 0, ...sizes];
  const index = Buffer.alloc(4 * words.length);
  for (const [at, word] of words.entries()) index.writeUInt32LE(word, 4 * at);
  writeFileSync(`${program}.index`, index);
  const made = tool("objcopy", ["--add-section", `.debug_cu_index=${program}.index`, split ?? "", `${program}.dwp`]);
  return made === undefined ? undefined : readFileSync(`${program}.dwp`);
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

  it.for([
    ["-gdwarf-5", "a packer of version 5"],
    ["-gdwarf-4", "dwp"],
    ["-gdwarf-4", "llvm-dwp"],
  ])("agrees with addr2line about split debug info of %s, packed by %s", async ([flag = "", packer = ""], context) => {
    const program = join(place, `split${flag}-${packer.length}`);
    const dwp = await makePackage(program, flag, packer);
    if (dwp === undefined) return context.skip(`gcc and ${packer} make no package here`);
    const addresses = addressesOf(program);
    const theirs = byBinutils(join(place, "lines0"), addresses);
    expect(theirs.some((chain) => chain.length === 3)).toBe(true);
    const found = await (await open(readFileSync(program), dwp))?.find(addresses);
    const ours = addresses.map((address) =>
      (found?.get(address) ?? []).map(({ name, file, line }) => `${name} ${file?.split("/").at(-1)}:${line}`),
    );
    expect(ours).toEqual(theirs);
    // Without the package there are lines, and no functions.
    const bare = await (await open(readFileSync(program)))?.find(addresses);
    expect(bare?.get(addresses[0] ?? 0n)).toEqual([{ file: expect.any(String), line: expect.any(Number) }]);
  });

  it.for(["-gdwarf-5", "-gdwarf-4"])(
    "is total against damaged packages of %s",
    { timeout: 120_000 },
    async (flag, context) => {
      const program = join(place, `damaged-split${flag}`);
      const original = await makePackage(program, flag, "dwp");
      if (original === undefined) return context.skip("gcc makes no package here");
      const addresses = addressesOf(program);
      const elf = await ElfFile.tryOpen(new MemorySource(original));
      const sections = (await elf?.sections())?.filter(({ name }) => name.startsWith(".debug_")) ?? [];
      const random = new SeededRandom(0xd3f);
      for (let round = 0; round < Number(process.env["CDH_FUZZ_ROUNDS"] ?? 200); round += 1) {
        const damaged = Buffer.from(original);
        for (let changes = 1 + random.integer(10); changes > 0; changes -= 1) {
          const { offset, sizeBytes } = random.pick(sections);
          if (sizeBytes > 0) damaged[offset + random.integer(sizeBytes)] = random.pick([0, 0xff, random.integer(256)]);
        }
        const found = await (await open(readFileSync(program), damaged))?.find(addresses);
        for (const chain of found?.values() ?? []) expect(chain.length).toBeLessThan(100);
      }
    },
  );

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
