import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { SeededRandom } from "@cdh/core/testing/random";
import { MemorySource } from "../elf/byte-source.ts";
import { ElfFile } from "../elf/elf-file.ts";
import { GoProgram } from "./go-program.ts";
import { PcLineTable } from "./pclntab.ts";

const place = mkdtempSync(join(tmpdir(), "cdh-go-"));
afterAll(() => rmSync(place, { recursive: true, force: true }));

const SOURCE = `package main

type node struct{ next *node; value int }

func (n *node) get() int { return n.next.value }

//go:noinline
func sum(n *node) int { return n.get() + n.value }

func main() { println(sum(&node{next: &node{}})) }
`;

function build(name: string, ...flags: string[]): Buffer | undefined {
  const env = { ...process.env, GO111MODULE: "off", CGO_ENABLED: "0" };
  try {
    execFileSync("go", ["build", ...flags, "-o", name, "main.go"], { cwd: place, env, stdio: "pipe" });
  } catch {
    return undefined;
  }
  return readFileSync(join(place, name));
}

writeFileSync(join(place, "main.go"), SOURCE);
const whole = build("whole");
const stripped = build("stripped", "-ldflags=-s -w");

/** Functions and their addresses, as the symbol table has them. */
function symbols(): { name: string; vaddr: bigint; size: number }[] {
  const text = execFileSync("nm", ["-S", join(place, "whole")], { encoding: "utf8" });
  return [...text.matchAll(/^([0-9a-f]+) ([0-9a-f]+) [Tt] (\S+)$/gm)].map(([, address, size, name = ""]) => ({
    name,
    vaddr: BigInt(`0x${address}`),
    size: Number(`0x${size}`),
  }));
}

describe.skipIf(whole === undefined || stripped === undefined)("GoProgram", () => {
  it("names every function of a stripped program as the whole one's symbols do", async () => {
    const elf = await ElfFile.tryOpen(new MemorySource(stripped ?? new Uint8Array()));
    const go = elf === undefined ? undefined : await GoProgram.tryOpen(elf);
    expect(go).toBeDefined();
    const functions = symbols().filter(({ name, size }) => /^(?:main|runtime)\.[\w(*).]+$/.test(name) && size > 16);
    expect(functions.length).toBeGreaterThan(500);
    const found: (string | undefined)[] = [];
    for (const { vaddr } of functions) found.push((await go?.find(vaddr + 5n))?.fn.name);
    expect(found).toEqual(functions.map(({ name }) => name.replace(/\.abi0$|\.abiinternal$/, "")));
  });

  it("tells lines and what is inlined", async () => {
    const elf = await ElfFile.tryOpen(new MemorySource(stripped ?? new Uint8Array()));
    const go = elf === undefined ? undefined : await GoProgram.tryOpen(elf);
    const sum = symbols().find(({ name }) => name === "main.sum");
    const chains = new Set<string>();
    for (let at = 0; at < (sum?.size ?? 0); at += 1) {
      const found = await go?.find((sum?.vaddr ?? 0n) + BigInt(at));
      const lines = found === undefined ? [] : ((await go?.lines(found)) ?? []);
      chains.add(
        lines.map(({ function: name, file, line }) => `${name} ${file?.split("/").at(-1)}:${line}`).join(" < "),
      );
    }
    expect([...chains]).toContain("main.(*node).get main.go:5 < main.sum main.go:8");
    expect([...chains]).toContain("main.sum main.go:8");
  });

  it("is total against damaged tables", async () => {
    const elf = await ElfFile.tryOpen(new MemorySource(stripped ?? new Uint8Array()));
    const data = (await elf?.section(".gopclntab"))?.data;
    const original = await data?.read(0, data.sizeBytes);
    const random = new SeededRandom(0x60);
    let opened = 0;
    for (let round = 0; round < Number(process.env["CDH_FUZZ_ROUNDS"] ?? 300); round += 1) {
      const damaged = Buffer.from(original ?? []);
      for (let changes = 1 + random.integer(20); changes > 0; changes -= 1)
        damaged[random.integer(3) === 0 ? random.integer(72) : random.integer(damaged.length)] = random.integer(256);
      const table = await PcLineTable.tryOpen(new MemorySource(damaged));
      if (table === undefined) continue;
      opened += 1;
      for (const offset of [0, 5, 1000, random.integer(500_000)]) {
        const fn = await table.find(offset);
        if (fn === undefined) continue;
        await table.value(fn.pcsp, fn, offset);
        await table.line(fn, offset);
      }
    }
    expect(opened).toBeGreaterThan(20);
  }, 120_000);
});
