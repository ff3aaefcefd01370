import { describe, expect, it } from "vitest";
import type { Manifest } from "../bundle/manifest.ts";
import { makeManifest, makeTinyCore } from "../testing/sample-bundle.ts";
import { reportOf } from "./report.ts";

/** Registers after glibc's abort() in pid 1, recorded from a real one (glibc 2.36, Linux 6.18), and where it stood. */
const ABORTED = {
  rax: "0x0",
  rcx: "0x7fe4faecceec",
  rdi: "0x1",
  rsi: "0x1",
  r11: "0x246",
  rsp: "0x7fff265f2660",
  rip: "0x7fe4fae6850f",
};
const LIBC = { path: "/usr/lib/x86_64-linux-gnu/libc.so.6", start: "0x7fe4fae42000", end: "0x7fe4fb010000" };

function meaningOf(changes: {
  registers?: Record<string, string>;
  pid?: number;
  path?: string;
  codeName?: string;
}): string | undefined {
  const manifest: Manifest = makeManifest(makeTinyCore(), 100, {
    process: { pid: 4211, pidInNamespace: changes.pid ?? 1, comm: "payments" },
    signal: { number: 11, name: "SIGSEGV", code: 128, codeName: changes.codeName ?? "SI_KERNEL" },
    threads: [{ tid: 1, crashed: true, registers: changes.registers ?? ABORTED }],
    modules: [{ ...LIBC, path: changes.path ?? LIBC.path }],
  });
  return reportOf(manifest, { bundle: "a.zip", bundleBytes: 1 }).signalMeaning;
}

describe("abort() in pid 1", () => {
  it("is told from a wild access", () => {
    expect(meaningOf({})).toMatch(/^abort\(\) in pid 1: /);
    expect(meaningOf({ path: "/lib/ld-musl-x86_64.so.1" })).toMatch(/^abort\(\) in pid 1: /);
    // strlen of an address that cannot exist.
    const wild = { ...ABORTED, rdi: "0x8000000000000001" };
    expect(meaningOf({ registers: wild })).toContain("general protection fault");
  });

  it("is neither that of another process, nor in another place, nor of another code", () => {
    expect(meaningOf({ pid: 7 })).toContain("general protection fault");
    expect(meaningOf({ path: "/app/payments" })).toContain("general protection fault");
    expect(meaningOf({ codeName: "SEGV_MAPERR" })).toContain("not mapped");
  });
});
