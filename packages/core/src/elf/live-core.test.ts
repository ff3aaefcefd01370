import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, expect, it } from "vitest";
import { describeUnless } from "../../../../test/helpers/skip.ts";
import { findOnPath } from "../../../../test/helpers/tools.ts";
import { run, start } from "../service/exec.ts";
import type { CoreFacts } from "./facts.ts";
import { CoreMemory, readCoreFacts } from "./random-access.ts";
import { ElfCoreScanner } from "./scanner.ts";

const SOURCE = fileURLToPath(new URL("../../../../test/fixtures/elf/threads.c", import.meta.url));
const missing = ["gcc", "gdb", "eu-readelf", "readelf"]
  .map((tool) => findOnPath(tool).reason)
  .find((reason) => reason !== undefined);

/** gdb writes a core of a living process in its own layout: section headers, notes per thread in another order. */
describeUnless(missing, "a core that gdb wrote", () => {
  const work = mkdtempSync(join(tmpdir(), "cdh-live-core-"));
  const corePath = join(work, "core");
  let core: Buffer;
  let facts: CoreFacts;

  beforeAll(async () => {
    const program = join(work, "threads");
    const compiled = await run("gcc", ["-g", "-pthread", "-o", program, SOURCE]);
    if (compiled.failed) throw new Error(compiled.stderr);
    const child = start(program, ["wait"], { stdio: ["ignore", "pipe", "ignore"] });
    try {
      await new Promise((resolve) => child.stdout?.once("data", resolve));
      const gdb = await run("gdb", ["-nx", "-batch", "-p", String(child.pid), "-ex", `generate-core-file ${corePath}`]);
      if (!gdb.stdout.includes("Saved corefile")) throw new Error(gdb.stderr);
    } finally {
      child.kill("SIGKILL");
    }
    core = readFileSync(corePath);
    const scanner = new ElfCoreScanner();
    for (let at = 0; at < core.length; at += 100_000) scanner.push(core.subarray(at, at + 100_000));
    facts = scanner.finish();
  }, 60_000);

  afterAll(() => rmSync(work, { recursive: true, force: true }));

  it("is complete", () => {
    expect(facts).toMatchObject({ isCore: true, complete: true, problems: [], threadCount: 4 });
    expect(facts.expectedBytes).toBeLessThanOrEqual(core.length);
  });

  it("agrees with eu-readelf on threads and with readelf on segments", async () => {
    const notes = (await run("eu-readelf", ["-n", corePath])).stdout;
    const tids = [...notes.matchAll(/^ {4}pid: (\d+)/gm)].map((match) => Number(match[1]));
    const pcs = [...notes.matchAll(/\brip: +(0x[0-9a-f]+)/g)].map((match) => BigInt(match[1] ?? ""));
    expect(tids).toHaveLength(4);
    expect(facts.threads.map(({ tid, pc }) => [tid, pc])).toEqual(tids.map((tid, index) => [tid, pcs[index]]));
    const table = (await run("readelf", ["-lW", corePath])).stdout;
    const loads = [...table.matchAll(/^ +LOAD +(0x\w+) (0x\w+) 0x\w+ (0x\w+) (0x\w+)/gm)].map((match) => ({
      offset: Number(match[1]),
      vaddr: BigInt(match[2] ?? ""),
      fileSize: Number(match[3]),
      memSize: Number(match[4]),
    }));
    expect(loads.length).toBeGreaterThan(5);
    expect(
      facts.segments.map(({ offset, vaddr, fileSize, memSize }) => ({ offset, vaddr, fileSize, memSize })),
    ).toEqual(loads);
  });

  it("gives each module the build-id of its file, and the process's memory", async () => {
    const files = facts.modules.filter((module) => module.path.startsWith("/"));
    expect(files.length).toBeGreaterThanOrEqual(3);
    for (const { path, buildId } of files) {
      const said = /Build ID: (\w+)/.exec((await run("eu-readelf", ["-n", path])).stdout)?.[1];
      expect([path, buildId]).toEqual([path, said]);
    }
    const read = (offset: number, length: number): Promise<Uint8Array> =>
      Promise.resolve(core.subarray(offset, offset + length));
    expect(await readCoreFacts(read, { sizeBytes: core.length })).toEqual(facts);
    const program = facts.modules.find((module) => module.executable);
    const symbols = (await run("readelf", ["-sW", join(work, "threads")])).stdout;
    const marker = BigInt(`0x${/([0-9a-f]+) +\d+ OBJECT .* marker$/m.exec(symbols)?.[1] ?? ""}`);
    const memory = new CoreMemory(facts, read);
    expect(Buffer.from((await memory.read((program?.start ?? 0n) + marker, 31)) ?? []).toString()).toBe(
      "cdh marker: the quick brown fox",
    );
    expect(await memory.read(1n, 8)).toBeUndefined();
  });
});
