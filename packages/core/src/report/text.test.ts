import { expect, it } from "vitest";
import { describeSignal } from "../bundle/manifest-from-core.ts";
import { makeManifest, makeTinyCore } from "../testing/sample-bundle.ts";
import { PLAIN } from "./paint.ts";
import { reportOf } from "./report.ts";
import { factRows, headline } from "./text.ts";

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
  expect(headline(report, PLAIN)).toContain(" crashed");
  expect(factRows(report, PLAIN).map(({ label }) => label)).not.toContain("Signal");
});
