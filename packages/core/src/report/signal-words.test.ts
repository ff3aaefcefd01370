import { describe, expect, it } from "vitest";
import { describeSignal } from "./signal-words.ts";

const segv = { number: 11, name: "SIGSEGV", code: 1, codeName: "SEGV_MAPERR" };

describe("describeSignal", () => {
  it("says what was accessed, and when it is a null pointer or a jump", () => {
    expect(describeSignal({ ...segv, faultAddress: "0x7f0012345678" })).toBe(
      "access to address 0x7f0012345678, not mapped",
    );
    expect(describeSignal({ ...segv, faultAddress: "0x18" })).toBe(
      "access to address 0x18, not mapped (a null pointer)",
    );
    expect(describeSignal({ ...segv, faultAddress: "0xdead0000" }, "0xdead0000")).toBe(
      "jump to address 0xdead0000, not mapped",
    );
  });

  it("leaves the address out where there is none", () => {
    expect(describeSignal(segv)).toBe("access, not mapped");
    expect(describeSignal({ number: 8, name: "SIGFPE", codeName: "FPE_INTDIV", faultAddress: "0x401000" })).toBe(
      "integer division by zero at 0x401000",
    );
  });

  it("names the sender, and knows the kernel's general protection fault", () => {
    expect(
      describeSignal({ number: 6, name: "SIGABRT", code: -6, codeName: "SI_TKILL", senderPid: 42, senderUid: 1000 }),
    ).toBe("sent by process 42, user 1000");
    expect(describeSignal({ number: 11, name: "SIGSEGV", code: 128, codeName: "SI_KERNEL" })).toContain(
      "general protection fault",
    );
    expect(describeSignal({ number: 6, name: "SIGABRT" })).toBeUndefined();
  });
});
