import { expect, it } from "vitest";
import { describeSignal } from "../bundle/manifest-from-core.ts";
import type { Manifest } from "../bundle/manifest.ts";
import { makeManifest, makeTinyCore } from "../testing/sample-bundle.ts";
import { PLAIN } from "./paint.ts";
import { reportOf } from "./report.ts";
import { factRows, headlines, renderText } from "./text.ts";

// The kernel tells the crash's time in whole seconds, /proc the start in hundredths.
it.each([
  ["2026-11-21T08:26:11.730Z", ", within 2 s of its start"],
  ["2026-11-21T08:26:10.120Z", ", within 2 s of its start"],
  ["2026-11-21T08:25:31.480Z", ", after about 40 s of running"],
  ["2026-11-21T08:20:05.480Z", ", after about 6m 05s of running"],
  ["2026-11-21T08:26:12.500Z", ""],
  [undefined, ""],
])("a process that started at %s", (startedAt, said) => {
  const core = makeTinyCore();
  const process = { comm: "server", ...(startedAt === undefined ? {} : { startedAt }) };
  const manifest = makeManifest(core, 100, { crashedAt: "2026-11-21T08:26:11.000Z", process });
  const report = reportOf(manifest, { bundle: "a.zip", bundleBytes: 1, logs: [], entries: [] });
  const when = factRows(report, PLAIN).find(({ label }) => label === "When");
  expect(when?.value).toBe(`2026-11-21 08:26:11 UTC${said}`);
});

it.each([
  ["rlimit", "cut by the process's RLIMIT_CORE"],
  ["keepFree", "cut to leave the room that KEEP_FREE asks for"],
  ["shortRead", "cut short: the kernel stopped sending"],
  ["somethingNew", "cut by somethingNew"],
])("a core that was cut by %s", (truncatedBy, said) => {
  const core = makeTinyCore();
  const { core: facts } = makeManifest(core, 100);
  const manifest = makeManifest(core, 100, { core: { ...facts, complete: false, truncatedBy: truncatedBy as never } });
  const report = reportOf(manifest, { bundle: "a.zip", bundleBytes: 1, logs: [], entries: [] });
  expect(factRows(report, PLAIN).find(({ label }) => label === "Core")?.value).toContain(`, ${said}`);
});

it("says nothing of a signal that nobody knows", () => {
  const manifest = makeManifest(makeTinyCore(), 100, { signal: describeSignal(undefined, { threads: [] } as never) });
  const report = reportOf(manifest, { bundle: "a.zip", bundleBytes: 1, logs: [], entries: [] });
  expect(headlines(report)).toEqual([expect.stringContaining(" crashed")]);
  expect(factRows(report, PLAIN).map(({ label }) => label)).not.toContain("Signal");
});

it("says that a core of nothing is no core, and which setting keeps one", () => {
  const { core: facts } = makeManifest(Buffer.alloc(0), 17);
  const core = { ...facts, complete: false, truncatedBy: "rlimit" as const };
  const said = (changes: object): string | undefined => {
    const manifest = { ...makeManifest(Buffer.alloc(0), 17, { core }), ...changes };
    const report = reportOf(manifest, { bundle: "a.zip", bundleBytes: 1, logs: [], entries: [] });
    return factRows(report, PLAIN).find(({ label }) => label === "Core")?.value;
  };
  expect(said({})).toBe(
    "no memory kept: the container's core limit is 0; composer.rlimitCore=ignore (COMP_RLIMIT_CORE) keeps it",
  );
  expect(said({ container: undefined })).toContain("the process's core limit is 0");
});

it("begins with why and where; the stack of the crashed thread comes before its registers", () => {
  const frames = [
    { pc: "0x1010", function: "pay", file: "/src/pay.c", line: 41 },
    { pc: "0x1020", function: "main" },
  ];
  const crashed = { tid: 7, crashed: true, name: "worker-3", registers: { rip: "0x1010" } };
  const threads = [{ ...crashed, stack: { frames, end: { kind: "outermost" } } }];
  const process = { comm: "checkout\u001b[2J" };
  const told = (changes: Partial<Manifest>): string => {
    const manifest = makeManifest(makeTinyCore(), 100, { threads, process, ...changes });
    return renderText(reportOf(manifest, { bundle: "a.zip", bundleBytes: 1 }), PLAIN, 0);
  };
  const lines = told({}).split("\n");
  expect(lines.slice(0, 3)).toEqual([
    "SIGSEGV (null pointer) in pay() at pay.c:41 ← main()",
    "checkout\\x1b[2J died of SIGSEGV in payments/worker",
    "",
  ]);
  const at = lines.indexOf("Thread 7 (worker-3) crashed, the only one");
  expect(lines[at + 1]).toMatch(/^ {2}#0 +pay {2}\/src\/pay.c:41$/);
  expect(lines.findIndex((line) => line.startsWith("  rip "))).toBeGreaterThan(at + 2);
  const message = { kind: "panic", text: "panic: no such cart", source: "log" } as const;
  expect(told({ message, threads: [] })).toMatch(/^panic: no such cart\ncheckout/);
  expect(told({ message, restricted: true })).toMatch(/^checkout/);
  expect(told({ restricted: true }).split("\n")[0]).toBe("checkout\\x1b[2J died of SIGSEGV in payments/worker");
});
