import { readFileSync } from "node:fs";
import { gunzipSync } from "node:zlib";
import { describe, expect, it } from "vitest";
import { buildCore, buildFileNote, buildImage, FieldWriter, type BuiltNote } from "../testing/core-builder.ts";
import type { CoreFacts, ElfLimits } from "./facts.ts";
import {
  NT_AUXV,
  NT_FDO_PACKAGING_METADATA,
  NT_FILE,
  NT_GNU_BUILD_ID,
  NT_PRPSINFO,
  NT_PRSTATUS,
  NT_SIGINFO,
} from "./notes.ts";
import { readCoreFacts } from "./random-access.ts";
import { ElfCoreScanner } from "./scanner.ts";

const FIXTURES = new URL("../../../../test/fixtures/elf/", import.meta.url);
const RECORDED = gunzipSync(readFileSync(new URL("x64-threads.core.gz", FIXTURES)));

function scan(core: Uint8Array, chunkBytes = 65536, limits: Partial<ElfLimits> = {}): CoreFacts {
  const scanner = new ElfCoreScanner(limits);
  const chunk = new Uint8Array(chunkBytes);
  for (let at = 0; at < core.length; at += chunkBytes) {
    const piece = core.subarray(at, at + chunkBytes);
    chunk.set(piece);
    scanner.push(chunk.subarray(0, piece.length));
    // What was pushed may be reused at once.
    chunk.fill(0xaa);
  }
  return scanner.finish();
}

async function readAnywhere(core: Uint8Array): Promise<{ facts: CoreFacts; bytes: number }> {
  let bytes = 0;
  const facts = await readCoreFacts(
    (offset, length) => {
      bytes += length;
      return Promise.resolve(core.subarray(offset, offset + length));
    },
    { sizeBytes: core.length },
  );
  return { facts, bytes };
}

/** An NT_PRSTATUS of a 64-bit machine with `count` registers, each holding its own index. */
function prstatus(tid: number, count: number, cursig = 0): BuiltNote {
  const out = new FieldWriter(112 + count * 8 + 8).u16(12, cursig).u32(32, tid);
  for (let index = 0; index < count; index += 1) out.word(112 + index * 8, 0x1000 + index);
  return { name: "CORE", type: NT_PRSTATUS, desc: out.bytes };
}

function siginfo(number: number, code: number): FieldWriter {
  return new FieldWriter(128).u32(0, number).u32(8, code >>> 0);
}

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
      problems: [],
    });
    expect(facts.expectedBytes).toBeGreaterThan(50e6);
  });
});

describe("other machines", () => {
  it("reads arm64's registers", () => {
    const facts = scan(buildCore({ machine: 183, notes: [prstatus(7, 34, 11), prstatus(8, 34)] }));
    expect(facts.machine?.name).toBe("arm64");
    expect(facts.threads[0]).toMatchObject({ tid: 7, crashed: true, sp: 0x1000n + 31n, pc: 0x1000n + 32n });
    expect(facts.threads[0]?.registers).toMatchObject({ x0: 0x1000n, x30: 0x1000n + 30n, pstate: 0x1000n + 33n });
    expect(facts.threads[1]).toEqual({
      tid: 8,
      crashed: false,
      sp: 0x1000n + 31n,
      pc: 0x1000n + 32n,
      fp: 0x1000n + 29n,
    });
    expect(facts.signal).toEqual({ number: 11 });
  });

  it("keeps all registers of as many threads as are asked for", () => {
    const notes = [prstatus(7, 34, 11), prstatus(8, 34), prstatus(9, 34)];
    const { threads } = scan(buildCore({ machine: 183, notes }), 65536, { registerSets: 2 });
    expect(threads.map(({ tid, registers }) => [tid, registers?.["x30"]])).toEqual([
      [7, 0x1000n + 30n],
      [8, 0x1000n + 30n],
      [9, undefined],
    ]);
  });

  it.each([
    ["x86", 3, 17, 12, 15],
    ["arm", 40, 18, 15, 13],
  ] as const)("reads 32-bit %s", (name, machine, count, pcIndex, spIndex) => {
    const layout = { bits: 32, little: true } as const;
    const out = new FieldWriter(72 + count * 4 + 4, layout).u16(12, 6).u32(24, 99);
    for (let index = 0; index < count; index += 1) out.u32(72 + index * 4, 0xf0000000 + index);
    const process = new FieldWriter(124, layout)
      .u16(8, 1000)
      .u16(10, 1001)
      .u32(12, 99)
      .text(28, "thirtytwo")
      .text(44, "./thirtytwo x");
    const signal = new FieldWriter(128, layout).u32(0, 11).u32(8, 2).u32(12, 0xdeadbeef);
    const facts = scan(
      buildCore({
        layout,
        machine,
        notes: [
          { name: "CORE", type: NT_PRSTATUS, desc: out.bytes },
          { name: "CORE", type: NT_PRPSINFO, desc: process.bytes },
          { name: "CORE", type: NT_SIGINFO, desc: signal.bytes },
        ],
        segments: [{ vaddr: 0x8000n, bytes: new Uint8Array(100) }],
      }),
    );
    expect(facts.machine).toMatchObject({ name, bits: 32 });
    expect(facts.threads[0]).toMatchObject({
      tid: 99,
      pc: BigInt(0xf0000000 + pcIndex),
      sp: BigInt(0xf0000000 + spIndex),
    });
    expect(facts.process).toMatchObject({ fname: "thirtytwo", psargs: "./thirtytwo x", uid: 1000, gid: 1001, pid: 99 });
    expect(facts.signal).toEqual({ number: 11, code: 2, codeName: "SEGV_ACCERR", faultAddress: 0xdeadbeefn });
    expect(facts).toMatchObject({ complete: true, problems: [] });
  });

  it("knows nothing of another machine's registers, and says the rest", () => {
    const layout = { bits: 64, little: false } as const;
    const status = new FieldWriter(400, layout).u16(12, 5).u32(32, 3);
    const facts = scan(
      buildCore({ layout, machine: 22, notes: [{ name: "CORE", type: NT_PRSTATUS, desc: status.bytes }] }),
    );
    expect(facts.machine).toEqual({ name: "other", elfMachine: 22, bits: 64, endian: "big" });
    expect(facts.threads).toEqual([{ tid: 3, crashed: true, pc: 0n, sp: 0n, registers: {} }]);
    expect(facts.signal).toEqual({ number: 5 });
  });
});

describe("signals", () => {
  const signalOf = (bytes: Uint8Array): unknown =>
    scan(buildCore({ notes: [{ name: "CORE", type: NT_SIGINFO, desc: bytes }] })).signal;

  it.each([
    [
      "a null pointer",
      siginfo(11, 1).word(16, 0).bytes,
      { number: 11, code: 1, codeName: "SEGV_MAPERR", faultAddress: 0n },
    ],
    [
      "a bus error",
      siginfo(7, 2).word(16, 0x7f0000001000n).bytes,
      { number: 7, code: 2, codeName: "BUS_ADRERR", faultAddress: 0x7f0000001000n },
    ],
    [
      "a division by zero",
      siginfo(8, 1).word(16, 0x401000).bytes,
      { number: 8, code: 1, codeName: "FPE_INTDIV", faultAddress: 0x401000n },
    ],
    [
      "a trap",
      siginfo(5, 1).word(16, 0x401000).bytes,
      { number: 5, code: 1, codeName: "TRAP_BRKPT", faultAddress: 0x401000n },
    ],
    [
      "an address that the processor did not give",
      siginfo(11, 128).bytes,
      { number: 11, code: 128, codeName: "SI_KERNEL" },
    ],
    [
      "abort()",
      siginfo(6, -6).u32(16, 42).u32(20, 1000).bytes,
      { number: 6, code: -6, codeName: "SI_TKILL", senderPid: 42, senderUid: 1000 },
    ],
    [
      "kill -SEGV",
      siginfo(11, 0).u32(16, 42).u32(20, 0).bytes,
      { number: 11, code: 0, codeName: "SI_USER", senderPid: 42, senderUid: 0 },
    ],
    [
      "seccomp",
      siginfo(31, 1).word(16, 0x401000).u32(24, 59).bytes,
      { number: 31, code: 1, codeName: "SYS_SECCOMP", syscall: 59 },
    ],
    ["a code without a name", siginfo(11, 77).word(16, 1).bytes, { number: 11, code: 77, faultAddress: 1n }],
  ])("reads %s", (_name, bytes, expected) => {
    expect(signalOf(bytes)).toEqual(expected);
  });

  it("says nothing of a siginfo that cannot be one", () => {
    expect(signalOf(siginfo(0, 0).bytes)).toBeUndefined();
    expect(signalOf(siginfo(11, 1).bytes.subarray(0, 20))).toBeUndefined();
  });
});

describe("modules", () => {
  const gnu = { name: "GNU", type: NT_GNU_BUILD_ID, desc: Uint8Array.from([0xde, 0xad, 0xbe, 0xef]) };
  const fdo = { name: "FDO", type: NT_FDO_PACKAGING_METADATA, desc: Buffer.from('{"type":"deb","name":"x"}\0') };
  const files = (...mappings: { path: string; start: bigint; end: bigint; pages: number }[]): BuiltNote => ({
    name: "CORE",
    type: NT_FILE,
    desc: buildFileNote(mappings),
  });

  it("joins the mappings of a file, tells data from programs, and reads package metadata", () => {
    const facts = scan(
      buildCore({
        notes: [
          files(
            { path: "/bin/a", start: 0x1000n, end: 0x2000n, pages: 0 },
            { path: "/bin/a", start: 0x2000n, end: 0x5000n, pages: 1 },
            { path: "/data", start: 0x8000n, end: 0x9000n, pages: 0 },
            { path: "/lib/b (deleted)", start: 0xa000n, end: 0xb000n, pages: 0 },
            { path: "/lib/b (deleted)", start: 0xc000n, end: 0xd000n, pages: 0 },
          ),
          {
            name: "CORE",
            type: NT_AUXV,
            desc: new FieldWriter(48).word(0, 9).word(8, 0x2100).word(16, 23).word(24, 1).bytes,
          },
        ],
        segments: [
          { vaddr: 0x1000n, bytes: buildImage([gnu, fdo]), flags: 4 },
          { vaddr: 0x2000n, bytes: new Uint8Array(), memSize: 0x3000, flags: 5 },
          { vaddr: 0x8000n, bytes: Buffer.from("just data") },
          { vaddr: 0xa000n, bytes: new Uint8Array(), memSize: 0x1000, flags: 5 },
          { vaddr: 0xc000n, bytes: buildImage([]) },
        ],
      }),
    );
    expect(facts.modules).toEqual([
      {
        path: "/bin/a",
        start: 0x1000n,
        end: 0x5000n,
        buildId: "deadbeef",
        package: { type: "deb", name: "x" },
        executable: true,
      },
      { path: "/lib/b (deleted)", start: 0xa000n, end: 0xb000n },
      { path: "/lib/b (deleted)", start: 0xc000n, end: 0xd000n },
    ]);
    expect(facts.auxv?.secure).toBe(true);
  });

  it("finds a note that lies behind the first page", async () => {
    const core = buildCore({
      notes: [files({ path: "/bin/late", start: 0x10000n, end: 0x20000n, pages: 0 })],
      segments: [{ vaddr: 0x10000n, bytes: buildImage([gnu], { notesAt: 9000, length: 0x4000 }) }],
    });
    for (const size of [1, 4096, 100000]) expect(scan(core, size).modules[0]?.buildId).toBe("deadbeef");
    expect((await readAnywhere(core)).facts).toEqual(scan(core));
  });

  it("ignores metadata that is no JSON object, and a build-id of another owner", () => {
    for (const text of ["[1]", "{", "null", ""]) {
      const image = buildImage([
        { ...fdo, desc: Buffer.from(text) },
        { ...gnu, name: "GNV" },
      ]);
      const facts = scan(
        buildCore({
          notes: [files({ path: "/x", start: 0x1000n, end: 0x2000n, pages: 0 })],
          segments: [{ vaddr: 0x1000n, bytes: image }],
        }),
      );
      expect(facts.modules).toEqual([{ path: "/x", start: 0x1000n, end: 0x2000n }]);
    }
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
    expect(facts).toMatchObject({ complete: true, threadCount: 1, problems: [], expectedBytes: core.length });
    expect(facts.segments).toHaveLength(70001);
    expect(facts.segments.at(-1)?.vaddr).toBe(0x7000000000n);
    expect((await readAnywhere(core)).facts).toEqual(facts);
    expect(scan(core.subarray(0, core.length - 1)).complete).toBe(false);
    expect(scan(core, 65536, { segments: 10 })).toMatchObject({
      complete: true,
      segments: { length: 10 },
      problems: [{ code: "CDH_CORE_LIMIT" }],
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
    expect(limited.problems).toEqual([expect.objectContaining({ code: "CDH_CORE_LIMIT" })]);
    expect(scan(core, 65536, { fileNoteBytes: 30000 }).problems[0]?.code).toBe("CDH_CORE_LIMIT");
  });
});
