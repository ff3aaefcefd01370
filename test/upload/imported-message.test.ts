import { execFileSync } from "node:child_process";
import { copyFileSync, readFileSync, renameSync, statSync, truncateSync, utimesSync } from "node:fs";
import { writeFileSync } from "node:fs";
import { readdir } from "node:fs/promises";
import { join } from "node:path";
import { zstdCompressSync } from "node:zlib";
import { afterEach, beforeAll, expect, it } from "vitest";
import { kernelWords, makeRig, type Rig } from "../composer/drive.ts";
import { makeOld } from "../composer/torn.ts";
import { notBuilt, outcomeOf, runBuilt } from "../helpers/built.ts";
import { openBundleFile, type OpenBundle } from "../helpers/bundle-files.ts";
import { REPOSITORY } from "../helpers/repository.ts";
import { scratchDirectory } from "../helpers/scratch.ts";
import { describeUnless } from "../helpers/skip.ts";
import { missingTools } from "../helpers/tools.ts";
import { makeWorkbench, type Workbench } from "./workbench.ts";

const SOURCES = join(REPOSITORY, "test/inspect/programs/messages");
const open: Workbench[] = [];

afterEach(async () => {
  for (const each of open.splice(0)) await each[Symbol.asyncDispose]();
});

async function onlyBundle(store: string): Promise<OpenBundle> {
  const zips = (await readdir(store, { recursive: true })).filter((name) => name.endsWith(".zip"));
  expect(zips.length).toBe(1);
  return await openBundleFile(join(store, zips[0] ?? ""));
}

describeUnless(
  notBuilt("cdc", "cdh-upload") ?? missingTools("gcc", "gdb", "zstd"),
  "what a program said of its end, in a core without its process",
  () => {
    const folder = scratchDirectory("imported-message");
    const core = join(folder, "core.assert");
    const SAID = {
      kind: "assert",
      source: "memory",
      text: expect.stringMatching(/check: Assertion `count > 3 .*failed\.$/),
    };
    const NO_STACK = expect.objectContaining({ step: "stack", code: "CDH_STACK_NOT_READ" });

    beforeAll(() => {
      const program = join(folder, "libc");
      execFileSync("gcc", ["-g", "-O1", "-w", "-o", program, "libc.c"], { cwd: SOURCES, stdio: "pipe" });
      // No kernel's setting is needed: gdb writes the core.
      execFileSync("gdb", ["-batch", "-ex", "run", "-ex", `gcore ${core}`, "--args", program, "assert"], {
        stdio: "pipe",
      });
    }, 120_000);

    async function imported(name: string, env: Record<string, string> = {}): Promise<OpenBundle> {
      const work = await makeWorkbench({ ...env });
      open.push(work);
      const store = join(work.directory, "store");
      work.env["STORE_URL"] = `file://${store}`;
      const path = join(work.coreDir, name);
      copyFileSync(core, path);
      if (name.endsWith(".zst")) writeFileSync(path, zstdCompressSync(readFileSync(core)));
      const before = Date.now() / 1000 - 60;
      utimesSync(path, before, before);
      const result = await work.sweep();
      expect(result.exitCode, result.stderr).toBe(0);
      return await onlyBundle(store);
    }

    it("is told of one that is taken up, and that its stacks were not read", { timeout: 60_000 }, async () => {
      const { manifest } = await imported("core-libc-1764000000-4711-6");
      expect(manifest.message).toEqual(SAID);
      expect(manifest.problems).toContainEqual(NO_STACK);
    });

    it("is not with MESSAGE=false, and not of one that is compressed", { timeout: 60_000 }, async () => {
      const without = await imported("core-libc-1764000000-4711-6", { MESSAGE: "false" });
      expect(without.manifest).not.toHaveProperty("message");
      const compressed = await imported("core-libc-1764000000-4711-6.zst");
      expect(compressed.manifest).not.toHaveProperty("message");
      expect(compressed.manifest.problems).toContainEqual(NO_STACK);
    });

    /** Keep the core as a composer does, and tear the bundle as its death does. */
    async function tear(rig: Rig, compression: string): Promise<void> {
      rig.env({ COMPRESSION: compression });
      expect((await rig.run(readFileSync(core), { args: kernelWords({ s: "6" }) })).exitCode).toBe(0);
      const [name = ""] = rig.spool().filter((each) => each.endsWith(".zip"));
      const torn = join(rig.coreDir, `.${name}.partial`);
      renameSync(join(rig.coreDir, name), torn);
      truncateSync(torn, statSync(torn).size - 30);
      makeOld(torn);
    }

    it.each([
      ["is told", ["message"], SAID],
      ["is not with MESSAGE=off", [], undefined],
    ])("%s by a composer that ends at its bound of memory", { timeout: 60_000 }, async (_what, words, message) => {
      await using rig = makeRig();
      await tear(rig, "zstd");
      const ended = await runBuilt("cdc", ["--finish-torn", rig.coreDir, rig.hostDir, ...words]);
      expect(ended.timedOut).toBe(false);
      expect((await onlyBundle(rig.coreDir)).manifest.message).toEqual(message);
    });

    it.each(["zstd", "deflate", "none"])(
      "is told of one whose composer died, with %s",
      { timeout: 60_000 },
      async (compression) => {
        await using rig = makeRig();
        await tear(rig, compression);
        const store = join(rig.hostDir, "store");
        const swept = await runBuilt("cdh-upload", ["sweep", "--core-dir", rig.coreDir, "--store", `file://${store}`]);
        expect(outcomeOf(swept)).toBe("exit 0");
        const { manifest } = await onlyBundle(store);
        expect(manifest.problems).toContainEqual(expect.objectContaining({ code: "CDH_SALVAGED" }));
        expect(manifest.problems).toContainEqual(NO_STACK);
        expect(manifest.message).toEqual(SAID);
      },
    );
  },
);
