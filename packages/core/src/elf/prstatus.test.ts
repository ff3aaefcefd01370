import { describe, expect, it } from "vitest";
import { buildCore, FieldWriter } from "../testing/core-builder.ts";
import { prstatus, scan } from "../testing/scan-core.ts";
import { NT_PRPSINFO, NT_PRSTATUS, NT_SIGINFO } from "./notes.ts";

const NO_FILES = expect.objectContaining({ code: "CDH_CORE_FILES" }) as unknown;

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
    expect(facts).toMatchObject({ complete: true, fileList: "missing", problems: [NO_FILES] });
  });

  it("knows nothing of another machine's registers, and says the rest", () => {
    const layout = { bits: 64, little: false } as const;
    const status = new FieldWriter(400, layout).u16(12, 5).u32(32, 3);
    const facts = scan(
      buildCore({ layout, machine: 22, notes: [{ name: "CORE", type: NT_PRSTATUS, desc: status.bytes }] }),
    );
    expect(facts.machine).toEqual({ name: "other", elfMachine: 22, bits: 64, endian: "big" });
    expect(facts.threads).toEqual([{ tid: 3, crashed: true, registers: {} }]);
    expect(facts.signal).toEqual({ number: 5 });
  });
});
