import { describe, expect, it } from "vitest";
import { buildCore } from "../testing/core-builder.ts";
import { scan, siginfo } from "../testing/scan-core.ts";
import { NT_SIGINFO } from "./notes.ts";

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
