import { readFileSync } from "node:fs";
import { gunzipSync } from "node:zlib";
import { describe, expect, it } from "vitest";
import { buildCore, buildFileNote, type BuiltNote } from "../testing/core-builder.ts";
import { prstatus, readAnywhere, scan } from "../testing/scan-core.ts";
import { NT_FILE } from "./notes.ts";

const FIXTURES = new URL("../../../../test/fixtures/elf/", import.meta.url);
const RECORDED = gunzipSync(readFileSync(new URL("x64-threads.core.gz", FIXTURES)));

const NO_FILES = expect.objectContaining({ code: "CDH_CORE_FILES" }) as unknown;

describe("a core that the kernel wrote", () => {
  const facts = scan(RECORDED);
  const notes = readFileSync(new URL("x64-threads.notes.txt", FIXTURES), "utf8");

  it("is complete, and says so", () => {
    expect(facts).toMatchObject({
      isCore: true,
      complete: true,
      receivedBytes: RECORDED.length,
      expectedBytes: RECORDED.length,
      problems: [],
    });
    expect(facts.machine).toEqual({ name: "x64", elfMachine: 62, bits: 64, endian: "little" });
  });

  it("agrees with eu-readelf on every thread", () => {
    const pids = [...notes.matchAll(/^ {4}pid: (\d+)/gm)].map((match) => Number(match[1]));
    const rips = [...notes.matchAll(/\brip: +(0x[0-9a-f]+)/g)].map((match) => BigInt(match[1] ?? ""));
    const rsps = [...notes.matchAll(/\brsp: +(0x[0-9a-f]+)/g)].map((match) => BigInt(match[1] ?? ""));
    expect(pids).toHaveLength(4);
    expect(facts.threads.map(({ tid, pc, sp, crashed }) => ({ tid, pc, sp, crashed }))).toEqual(
      pids.map((tid, index) => ({ tid, pc: rips[index], sp: rsps[index], crashed: index === 0 })),
    );
    expect(facts.threadCount).toBe(4);
  });

  it("agrees with eu-readelf on the crashed thread's registers", () => {
    const first = notes.slice(0, notes.indexOf("PRPSINFO"));
    const said = new Map(
      [...first.matchAll(/\b(r\w+|cs|ss|ds|es|fs|gs|[fg]s\.base|rflags|orig_rax): +(-?\w+)/g)].map((match) => [
        match[1] ?? "",
        match[2] ?? "",
      ]),
    );
    const registers = facts.threads[0]?.registers ?? {};
    expect(Object.keys(registers)).toHaveLength(27);
    for (const [name, value] of Object.entries(registers)) {
      const theirs = said.get(name.replace("_base", ".base").replace("eflags", "rflags"));
      expect([name, theirs === undefined ? undefined : BigInt.asUintN(64, BigInt(theirs))]).toEqual([name, value]);
    }
    expect(facts.threads[1]).not.toHaveProperty("registers");
  });

  it("names the signal, the process, the program and its build-id", () => {
    expect(facts.signal).toEqual({ number: 11, code: 1, codeName: "SEGV_MAPERR", faultAddress: 0x1234n });
    expect(facts.process).toMatchObject({
      fname: "threads",
      psargs: "./threads an argument b",
      uid: 0,
      gid: 0,
      state: "R",
    });
    expect(facts).toMatchObject({ execfn: "./threads", platform: "x86_64" });
    const program = facts.modules.find((module) => module.executable);
    const buildId = /Build ID: (\w+)/.exec(readFileSync(new URL("x64-threads.build-id.txt", FIXTURES), "utf8"))?.[1];
    expect(program?.path).toMatch(/\/threads$/);
    expect(program?.buildId).toBe(buildId);
    expect(facts.modules.map((module) => module.path.replace(/^.*\//, ""))).toEqual([
      "threads",
      "libc.so.6",
      "ld-linux-x86-64.so.2",
      "[vdso]",
    ]);
    expect(facts.modules.every((module) => /^[0-9a-f]{40}$/.test(module.buildId ?? ""))).toBe(true);
  });

  it("agrees with eu-readelf on the mapped files", () => {
    const said = [...notes.matchAll(/^ {6}([0-9a-f]+)-([0-9a-f]+) ([0-9a-f]+) \d+ +(\/.*)$/gm)].map((match) => ({
      path: match[4],
      start: BigInt(`0x${match[1] ?? ""}`),
      end: BigInt(`0x${match[2] ?? ""}`),
      fileOffset: BigInt(`0x${match[3] ?? ""}`),
    }));
    expect(said.length).toBeGreaterThan(10);
    expect(facts.mappings).toEqual(said);
  });

  it("says the same whatever the pieces it comes in, and read at random", async () => {
    for (const size of [1, 7, 63, 4096, 4097, RECORDED.length]) expect(scan(RECORDED, size)).toEqual(facts);
    const random = await readAnywhere(RECORDED);
    expect(random.facts).toEqual(facts);
    expect(random.bytes).toBeLessThan(65536);
  });

  it("is incomplete when one byte is missing, and still says what came", () => {
    for (const length of [0, 1, 40, 64, 1000, 5000, RECORDED.length - 1]) {
      const cut = scan(RECORDED.subarray(0, length));
      expect([length, cut.complete, cut.receivedBytes]).toEqual([length, false, length]);
    }
    expect(scan(RECORDED.subarray(0, RECORDED.length - 1))).toMatchObject({
      threadCount: 4,
      expectedBytes: RECORDED.length,
      problems: [],
    });
    expect(scan(RECORDED.subarray(0, 5000)).problems).toEqual([
      { step: "core", code: "CDH_CORE_DAMAGED", detail: "the notes are cut short" },
    ]);
    expect(scan(new Uint8Array()).problems[0]?.code).toBe("CDH_CORE_EMPTY");
    expect(
      scan(Buffer.from("not a core at all, but long enough for the header of an ELF file to be in it")).problems[0]
        ?.code,
    ).toBe("CDH_CORE_NOT_ELF");
  });
});

describe("the beginning of an arm64 core that qemu wrote", () => {
  const head = readFileSync(new URL("arm64-head.core", FIXTURES));
  const notes = readFileSync(new URL("arm64-head.notes.txt", FIXTURES), "utf8");
  const facts = scan(head, 100);

  it("agrees with eu-readelf on threads and registers", () => {
    const pids = [...notes.matchAll(/^ {4}pid: (\d+)/gm)].map((match) => Number(match[1]));
    expect(pids.length).toBeGreaterThan(1);
    expect(facts.threads.map(({ tid }) => tid)).toEqual(pids);
    const first = notes.slice(0, notes.indexOf("PRPSINFO"));
    const said = [...first.matchAll(/\b(x\d+|sp|pc|pstate): +(-?\w+)/g)].map((match): [string, bigint] => [
      match[1] ?? "",
      BigInt.asUintN(64, BigInt(match[2] ?? "")),
    ]);
    expect(said).toHaveLength(34);
    expect(facts.threads[0]?.registers).toEqual(Object.fromEntries(said));
  });

  it("names machine, signal and process, and is incomplete", () => {
    expect(facts).toMatchObject({
      isCore: true,
      complete: false,
      machine: { name: "arm64", bits: 64, endian: "little" },
      signal: { number: 6 },
      process: { fname: "crash", psargs: "./crash" },
      auxv: { pageSize: 4096 },
      // qemu lists no files.
      problems: [NO_FILES],
    });
    expect(facts.expectedBytes).toBeGreaterThan(50e6);
  });
});

describe("large cores", () => {
  it("lists ten thousand threads among notes that nobody needs, and keeps little", () => {
    const filler: BuiltNote = { name: "LINUX", type: 0x202, desc: new Uint8Array(2696) };
    const notes = Array.from({ length: 10000 }, (_, index) => [
      prstatus(index + 1, 27, index === 0 ? 6 : 0),
      filler,
    ]).flat();
    const core = buildCore({ notes });
    expect(core.length).toBeGreaterThan(30e6);
    const started = performance.now();
    const facts = scan(core, 1024 * 1024);
    expect(performance.now() - started).toBeLessThan(2000);
    expect(facts.threadCount).toBe(10000);
    expect(facts.threads.at(-1)).toMatchObject({ tid: 10000, pc: 0x1000n + 16n });
    expect(scan(core, 1024 * 1024, { threads: 3 })).toMatchObject({ threadCount: 10000, threads: { length: 3 } });
  });

  it("reads a core of more than 65,535 segments, whose number stands at its end", async () => {
    const core = buildCore({
      notes: [prstatus(1, 27, 11)],
      emptySegments: 70000,
      segments: [{ vaddr: 0x7000000000n, bytes: new Uint8Array(4096) }],
    });
    const facts = scan(core);
    expect(facts).toMatchObject({ complete: true, threadCount: 1, problems: [NO_FILES], expectedBytes: core.length });
    expect(facts.segments).toHaveLength(70001);
    expect(facts.segments.at(-1)?.vaddr).toBe(0x7000000000n);
    // Whoever can read on looks for modules where the core lists none, and says so.
    const problems = [expect.objectContaining({ code: "CDH_CORE_FILES" })];
    expect((await readAnywhere(core)).facts).toEqual({ ...facts, problems });
    expect(scan(core.subarray(0, core.length - 1)).complete).toBe(false);
    expect(scan(core, 65536, { segments: 10 })).toMatchObject({
      complete: true,
      segments: { length: 10 },
      problems: [{ code: "CDH_CORE_LIMIT" }, NO_FILES],
    });
  });

  it("is not complete when their number cannot be told", () => {
    const core = buildCore({ notes: [prstatus(1, 27, 11)], emptySegments: 70000 });
    // The first program header is no note any more.
    core[64] = 1;
    const facts = scan(core);
    expect(facts).toMatchObject({
      complete: false,
      problems: [{ code: "CDH_CORE_DAMAGED" }, { code: "CDH_CORE_DAMAGED" }],
    });
    expect(facts).not.toHaveProperty("expectedBytes");
  });

  it("takes the start of a file note that is longer than allowed", () => {
    const mappings = Array.from({ length: 1000 }, (_, index) => ({
      path: `/lib/${index}`,
      start: BigInt(index * 2) << 12n,
      end: BigInt(index * 2 + 1) << 12n,
      pages: 0,
    }));
    const core = buildCore({ notes: [{ name: "CORE", type: NT_FILE, desc: buildFileNote(mappings) }] });
    expect(scan(core).mappings).toHaveLength(1000);
    const limited = scan(core, 65536, { mappings: 10 });
    expect(limited.mappings).toHaveLength(10);
    expect(limited).toMatchObject({ fileList: "cut", problems: [{ code: "CDH_CORE_LIMIT" }] });
    expect(scan(core, 65536, { fileNoteBytes: 30000 }).problems[0]?.code).toBe("CDH_CORE_LIMIT");
  });
});
