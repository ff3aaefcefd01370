import { mkdtempSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { Readable } from "node:stream";
import { expect, it } from "vitest";
import { notBuilt } from "../helpers/built.ts";
import { scratchDirectory } from "../helpers/scratch.ts";
import { describeUnless } from "../helpers/skip.ts";
import { missingTools } from "../helpers/tools.ts";
import { kernelWords, makeRig, noise, smallCore } from "./drive.ts";
import { hangUnavailable, makeHangingDirectory } from "./hang.ts";
import { makeProcRoot } from "./proc-root.ts";

const CORE = smallCore(noise(3 * 1024 * 1024));
const scratch = scratchDirectory("process");

describeUnless(notBuilt("cdc") ?? missingTools("zstd"), "the process that crashed", () => {
  it("is not another one that has its pid now: the core is attributed to nobody", async () => {
    await using rig = makeRig();
    rig.env({ INCLUDE_PROC_INFO: "environ" });
    // This very process lives, and is not being dumped.
    expect((await rig.run(CORE, { args: kernelWords({ P: String(process.pid) }) })).exitCode).toBe(0);
    const { manifest, entries } = await rig.bundle();
    expect(manifest).toMatchObject({ core: { complete: true }, identity: { source: "none", verified: false } });
    expect(manifest.process.cmdline).toBeUndefined();
    expect(entries.filter(({ name }) => name.includes("-proc/"))).toEqual([]);
    expect(manifest.problems).toContainEqual(expect.objectContaining({ code: "CDH_PROCESS_DOUBTFUL" }));
  });

  it.each([
    { title: "uid", words: { u: "4294000000" } },
    { title: "gid", words: { g: "4294000000" } },
    { title: "start", words: { t: "1000000000" } },
  ])("is not one whose $title is not what the kernel says", async ({ words }) => {
    await using rig = makeRig();
    const proc = mkdtempSync(join(scratch, "proc-"));
    const args = makeProcRoot(proc);
    rig.env({ PROC_ROOT: proc });
    const changed = Object.entries(words).map(([flag, value]) => `-${flag}=${value}`);
    const kept = args.filter((word) => !changed.some((other) => other.slice(0, 3) === word.slice(0, 3)));
    await rig.run(CORE, { args: [...changed, ...kept] });
    const { manifest, entries } = await rig.bundle();
    expect(manifest).toMatchObject({ core: { complete: true }, identity: { source: "none", verified: false } });
    expect(entries.filter(({ name }) => name.includes("-proc/"))).toEqual([]);
  });

  it.each([
    { choice: undefined, environ: false },
    { choice: "facts", environ: false },
    { choice: "true", environ: false },
    { choice: "environ", environ: true },
  ])("has its environment in the bundle by choice only: INCLUDE_PROC_INFO=$choice", async ({ choice, environ }) => {
    await using rig = makeRig();
    const proc = mkdtempSync(join(scratch, "proc-"));
    const args = makeProcRoot(proc, { environ: "TOKEN=very-secret\0" });
    rig.env({ PROC_ROOT: proc, ...(choice === undefined ? {} : { INCLUDE_PROC_INFO: choice }) });
    // As before Linux 6.16: no -F at all.
    await rig.run(CORE, { args: args.filter((word) => !word.startsWith("-F")) });
    const { manifest, entries, path } = await rig.bundle();
    expect(manifest.identity?.verified).toBe(true);
    expect(entries.some(({ name }) => name.endsWith("-proc/status"))).toBe(true);
    expect(entries.some(({ name }) => name.endsWith("-proc/environ"))).toBe(environ);
    expect(readFileSync(path).includes("very-secret")).toBe(environ);
  });
});

describeUnless(notBuilt("cdc") ?? missingTools("zstd") ?? hangUnavailable(), "a node that does not answer", () => {
  it("/proc that hangs costs METADATA_TIMEOUT and no byte of the core", async () => {
    await using hanging = await makeHangingDirectory();
    await using rig = makeRig();
    rig.env({ PROC_ROOT: hanging.path, METADATA_TIMEOUT: "1" });
    const result = await rig.run(CORE, { timeoutMs: 30_000 });
    expect(result).toMatchObject({ exitCode: 0, timedOut: false });
    expect(result.durationMs).toBeLessThan(15_000);
    const { manifest } = await rig.bundle();
    expect(manifest).toMatchObject({ core: { complete: true }, identity: { source: "none" } });
    expect(manifest.problems).toContainEqual(
      expect.objectContaining({
        step: "process",
        code: "CDH_DEADLINE",
        detail: expect.stringContaining("in time") as string,
      }),
    );
  });

  it("a spool that hangs holds the crashed process until TIMEOUT, and cdc not much longer", async () => {
    await using hanging = await makeHangingDirectory();
    await using rig = makeRig({ coreDir: join(hanging.path, "cores") });
    rig.env({ TIMEOUT: "2", RATE_LIMIT: "5/1h" });
    const released = Promise.withResolvers<number>();
    const started = performance.now();
    // The pipe breaks when cdc lets go of it: that is when the kernel would let the process go.
    const endless = Readable.from(
      (async function* () {
        try {
          for (;;) {
            yield CORE;
            await new Promise((resolve) => setTimeout(resolve, 10));
          }
        } finally {
          released.resolve(performance.now() - started);
        }
      })(),
    );
    const result = await rig.run(endless, { timeoutMs: 30_000 });
    expect(await released.promise).toBeLessThan(15_000);
    expect(result).toMatchObject({ exitCode: 13, timedOut: false });
    expect(rig.logText()).toContain("core lost");
  });
});
