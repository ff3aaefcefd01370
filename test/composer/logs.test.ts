import { readFileSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, it } from "vitest";
import { run } from "@cdh/core/exec";
import { notBuilt } from "../helpers/built.ts";
import { describeUnless } from "../helpers/skip.ts";
import { kernelWords, makeRig, noise, smallCore } from "./drive.ts";

const CORE = smallCore(noise(64 * 1024));
/** Where composer.log is moved aside. */
const LOG_MAX_BYTES = 4 * 1024 * 1024;
const WRITERS = 16;

describeUnless(notBuilt("cdc"), "composer.log", () => {
  it("moves aside among many composers, without a lost or torn line", async () => {
    await using rig = makeRig();
    const path = join(rig.hostDir, "composer.log");
    // The first line of the first composer makes it full.
    const old = `${JSON.stringify({ msg: "x".repeat(1000) })}\n`;
    writeFileSync(path, old.repeat(Math.floor(LOG_MAX_BYTES / old.length)), { mode: 0o600 });
    const pids = Array.from({ length: WRITERS }, (_, index) => String(4_194_000 + index));
    const runs = await Promise.all(pids.map((pid) => rig.run(CORE, { args: kernelWords({ P: pid, p: pid, i: pid }) })));
    expect(runs.map(({ exitCode }) => exitCode)).toEqual(pids.map(() => 0));

    const lines = [`${path}.1`, path].flatMap((file) => readFileSync(file, "utf8").split("\n").slice(0, -1));
    const published = lines
      .map((line) => JSON.parse(line) as { msg: string; pid?: number; bundle?: string })
      .filter(({ msg }) => msg === "bundle published");
    expect(published.length).toBe(WRITERS);
    expect(statSync(`${path}.1`).size).toBeLessThan(LOG_MAX_BYTES + 64 * 1024);
    expect([statSync(path).mode & 0o777, statSync(`${path}.1`).mode & 0o777]).toEqual([0o600, 0o600]);
  });
});

/** Why the kernel's log can't be read here; undefined when it can. */
const deaf = (await run("dmesg", [])).exitCode === 0 ? undefined : "dmesg may not read the kernel's log";

describeUnless(notBuilt("cdc") ?? deaf, "the kernel's log", () => {
  it("gets one to three lines of a crash, and a hostile name forges none", async () => {
    await using rig = makeRig();
    const mark = `k${process.pid}z`;
    const name = `${mark}\n<0>cdc`;
    expect((await rig.run(CORE, { args: kernelWords({ e: name }) })).exitCode).toBe(0);
    const { stdout } = await run("dmesg", ["--raw"]);
    const lines = stdout.split("\n");
    const ours = lines.filter((line) => line.includes(`cdc: core of ${mark}`));
    expect(ours.length).toBeGreaterThanOrEqual(1);
    expect(ours.length).toBeLessThanOrEqual(3);
    expect(ours[0]).toContain(`core of ${mark}?<0>cdc (pid `);
    expect(lines.filter((line) => line.includes(mark)).length).toBe(ours.length);
  });
});
