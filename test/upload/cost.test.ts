import { readFileSync, readdirSync } from "node:fs";
import { link, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { expect, it } from "vitest";
import { builtPath, notBuilt, runBuilt } from "../helpers/built.ts";
import { chooseS3, startS3Server } from "../helpers/s3-server.ts";
import { describeUnless } from "../helpers/skip.ts";
import { expectSoon, makeWorkbench } from "./workbench.ts";

const WAITING = 1000;
const WATCHED_MS = 15_000;
const MIB = 1024 ** 2;

/** Processor time that a process has used, in milliseconds. The clock of /proc ticks a hundred times a second. */
function processorMs(pid: number): number {
  const fields = readFileSync(`/proc/${pid}/stat`, "utf8")
    .replace(/^.*\) /s, "")
    .split(" ");
  return (Number(fields[11]) + Number(fields[12])) * 10;
}

/** Find the process that runs a program's bundle for a spool. */
function findProcess(coreDir: string): number {
  const name = builtPath("cdh-upload").split("/").at(-1) ?? "";
  for (const pid of readdirSync("/proc").filter((entry) => /^\d+$/.test(entry))) {
    try {
      const command = readFileSync(`/proc/${pid}/cmdline`, "utf8");
      const environment = readFileSync(`/proc/${pid}/environ`, "utf8").split("\0");
      if (command.includes(`lib/${name}.mjs`) && environment.includes(`CORE_DIR=${coreDir}`)) return Number(pid);
    } catch {
      // It ended meanwhile, or belongs to somebody else.
    }
  }
  throw new Error(`no process works on ${coreDir}`);
}

/** A module that names the built-in modules which a program has loaded when it ends. */
const TELL_LOADED = `process.on("exit", () => console.error(process.moduleLoadList.join("\\n")));`;

describeUnless(notBuilt("cdh-upload"), "what cdh-upload costs", () => {
  it("starts without loading Node's own fetch, which is a third of a start", async () => {
    await using work = await makeWorkbench({});
    const hook = join(work.directory, "tell-loaded.mjs");
    await writeFile(hook, TELL_LOADED);
    const env = { ...work.env, STORE_URL: `file://${work.directory}`, NODE_OPTIONS: `--import=${hook}` };
    const result = await runBuilt("cdh-upload", ["sweep"], { env });
    expect(result.exitCode, result.stderr).toBe(0);
    expect(result.stderr).toContain("NativeModule http\n");
    expect(result.stderr).not.toContain("undici");
  });

  it(`takes less than 1 % of a core while ${WAITING} bundles wait`, async () => {
    await using work = await makeWorkbench({});
    const store = join(work.directory, "store");
    await writeFile(store, "a file where the store should be");
    const bundle = await work.publish();
    for (let index = 1; index < WAITING; index += 1)
      await link(bundle.path, join(work.coreDir, `${bundle.name}-${index}.zip`));
    // The next look is an hour away: what is watched is the waiting alone.
    const child = work.run({ STORE_URL: `file://${store}`, LOG_LEVEL: "trace", USE_INOTIFY: "true", INTERVAL: "1h" });
    await expectSoon("the first look is done", () => child.output().includes(`"bundles":${WAITING}`), { child });
    await expectSoon("the store is in trouble", () => child.output().includes("in trouble"), { child });
    const pid = findProcess(work.coreDir);
    // A start is no idling; it is over when nothing was used for a second.
    let before = 0;
    await expectSoon("it has settled", async () => {
      before = processorMs(pid);
      await delay(1000);
      return processorMs(pid) - before <= 20;
    });
    before = processorMs(pid);
    await delay(WATCHED_MS);
    expect(processorMs(pid) - before).toBeLessThan(WATCHED_MS / 100);
    expect((await work.spool()).length).toBe(WAITING);
  });

  describeUnless(chooseS3("minio").standIn, "with S3", () => {
    it.each([
      ["one of 400 MB", 1, 400 * MIB],
      ["thirty of 6 MB", 30, 6 * MIB],
    ])(
      "stays below 128 MiB of memory: %s",
      async (_name, count, coreBytes) => {
        await using s3 = await startS3Server({ kind: "minio" });
        await using work = await makeWorkbench(s3.env);
        for (let index = 0; index < count; index += 1) await work.publish({ coreBytes });
        const result = await runBuilt("cdh-upload", ["sweep", "-o", "json"], { env: work.env, timeoutMs: 100_000 });
        expect(result.exitCode, result.stderr).toBe(0);
        expect((result.peakRssBytes ?? Number.POSITIVE_INFINITY) / MIB).toBeLessThan(128);
      },
      120_000,
    );
  });
});
