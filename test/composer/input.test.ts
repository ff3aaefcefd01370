import { createHash } from "node:crypto";
import { closeSync, mkdtempSync, openSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { Readable } from "node:stream";
import { expect, it } from "vitest";
import { notBuilt, runPath } from "../helpers/built.ts";
import { scratchDirectory } from "../helpers/scratch.ts";
import { describeUnless } from "../helpers/skip.ts";
import { missingTools } from "../helpers/tools.ts";
import { kernelWords, makeRig, noise, smallCore, type Rig } from "./drive.ts";

const sha256 = (bytes: Uint8Array): string => createHash("sha256").update(bytes).digest("hex");
const scratch = scratchDirectory("composer");

/** What every bundle must hold to, however bad the input was. */
async function expectBundleOf(rig: Rig, input: Uint8Array): Promise<Awaited<ReturnType<Rig["bundle"]>>> {
  const bundle = await rig.bundle();
  expect(rig.spool().filter((name) => name.startsWith(".") && name.endsWith(".partial"))).toEqual([]);
  expect(bundle.entries[0]?.name).toMatch(/-dump-info\.json$/);
  expect(bundle.entries.at(-1)?.name).toMatch(/-manifest\.json$/);
  const core = await bundle.unpackCore(mkdtempSync(join(scratch, "core-")));
  expect(core.sha256).toBe(sha256(input));
  expect(bundle.manifest.core).toMatchObject({ sizeBytes: input.length, sha256: sha256(input) });
  return bundle;
}

describeUnless(notBuilt("cdc") ?? missingTools("zstd"), "the composer's input", () => {
  const whole = smallCore(noise(3_000_000));

  it("a whole core becomes a complete bundle", async () => {
    await using rig = makeRig();
    const result = await rig.run(whole);
    expect(result.exitCode).toBe(0);
    const { manifest } = await expectBundleOf(rig, whole);
    expect(manifest.core).toMatchObject({ complete: true, expectedBytes: whole.length });
    expect(manifest.core.truncatedBy).toBeUndefined();
    expect(manifest.signal).toMatchObject({
      number: 11,
      name: "SIGSEGV",
      code: 1,
      codeName: "SEGV_MAPERR",
      faultAddress: "0xdead",
    });
    expect(manifest.process).toMatchObject({
      pid: 4194303,
      comm: "crashy",
      exe: "/usr/bin/crashy",
      hostname: "node-1",
    });
    expect(manifest.crashedAt).toMatch(/^2023-11-14T22:13:20/);
  });

  it.each([
    { compression: "zstd" },
    { compression: "deflate" },
    { compression: "none" },
    { compression: "true" },
    { compression: "false" },
  ])("COMPRESSION=$compression keeps every byte", async ({ compression }) => {
    await using rig = makeRig();
    rig.env({ COMPRESSION: compression });
    await rig.run(whole);
    const { manifest } = await expectBundleOf(rig, whole);
    expect(manifest.core.compression).toBe({ true: "deflate", false: "none" }[compression] ?? compression);
  });

  it.each([{ compression: "zstd" }, { compression: "deflate" }])(
    "what does not compress hardly grows with $compression",
    async ({ compression }) => {
      await using rig = makeRig();
      rig.env({ COMPRESSION: compression });
      // Bytes above 143 take nine bits each in deflate's fixed codes: the worst there is.
      const memory = noise(6_000_000, 5);
      for (let at = 0; at < memory.length; at += 1) memory[at] = 144 + ((memory[at] ?? 0) % 112);
      const high = smallCore(compression === "deflate" ? memory : noise(6_000_000, 5));
      await rig.run(high);
      const { manifest } = await expectBundleOf(rig, high);
      expect(manifest.core.storedBytes).toBeLessThan(high.length * 1.001);
      await using other = makeRig();
      other.env({ COMPRESSION: compression });
      const random = smallCore(noise(6_000_000, 6));
      await other.run(random);
      expect((await expectBundleOf(other, random)).manifest.core.storedBytes).toBeLessThan(random.length * 1.001);
    },
  );

  it("zeros that are stored plain take holes on the disk and no memory of their own", async () => {
    await using rig = makeRig();
    rig.env({ COMPRESSION: "none" });
    const result = await rig.run(smallCore(Buffer.alloc(8 * 1024 * 1024)));
    expect(result.peakRssBytes).toBeLessThan(100 * 1024 * 1024);
    const bundle = await rig.bundle();
    expect(bundle.manifest.core.complete).toBe(true);
    expect(statSync(bundle.path).blocks * 512).toBeLessThan(2 * 1024 * 1024);
  });

  it("empty stdin: an empty core, marked", async () => {
    await using rig = makeRig();
    await rig.run("");
    const { manifest } = await expectBundleOf(rig, new Uint8Array());
    expect(manifest.core).toMatchObject({ complete: false, truncatedBy: "shortRead" });
    expect(manifest.problems.length).toBeGreaterThan(0);
    expect(rig.logText()).not.toBe("");
  });

  it("closed stdin: an empty core, marked", async () => {
    await using rig = makeRig();
    await runPath("/bin/sh", ["-c", 'exec "$0" "$@" <&- >&- 2>&-', join(rig.hostDir, "cdc"), ...kernelWords()], {
      env: {},
      cwd: "/",
    });
    const { manifest } = await expectBundleOf(rig, new Uint8Array());
    expect(manifest.core).toMatchObject({ complete: false, truncatedBy: "shortRead" });
  });

  it("a directory as stdin, which can't be read: an empty core, marked", async () => {
    await using rig = makeRig();
    const directory = openSync("/", "r");
    try {
      await rig.run(directory);
    } finally {
      closeSync(directory);
    }
    const { manifest } = await expectBundleOf(rig, new Uint8Array());
    expect(manifest.core.complete).toBe(false);
    expect(manifest.problems.length).toBeGreaterThan(0);
  });

  it("a file instead of a pipe: the same as a pipe", async () => {
    await using rig = makeRig();
    const path = join(scratch, "whole");
    writeFileSync(path, whole);
    const file = openSync(path, "r");
    try {
      await rig.run(file);
    } finally {
      closeSync(file);
    }
    const { manifest } = await expectBundleOf(rig, whole);
    expect(manifest.core.complete).toBe(true);
  });

  it.each([
    { title: "text", input: Buffer.from("this is no core\n".repeat(70_000)) },
    { title: "one byte", input: Buffer.from([0x7f]) },
    { title: "only the ELF magic", input: Buffer.from("\u007fELF") },
    { title: "noise", input: noise(2_500_000, 7) },
    { title: "noise after an ELF core's header", input: Buffer.concat([whole.subarray(0, 64), noise(1_500_000, 8)]) },
  ])("$title, which is no core, is kept as it came and marked", async ({ input }) => {
    await using rig = makeRig();
    await rig.run(input);
    const { manifest } = await expectBundleOf(rig, input);
    expect(manifest.core.complete).toBe(false);
    expect(manifest.problems.map(({ step }) => step)).toContain("core");
  });

  it.each([{ keep: 40 }, { keep: 700 }, { keep: 4096 }, { keep: 1_048_576 }, { keep: 2_999_999 }])(
    "a core cut short after $keep bytes is kept and marked shortRead",
    async ({ keep }) => {
      await using rig = makeRig();
      const input = whole.subarray(0, keep);
      await rig.run(input);
      const { manifest } = await expectBundleOf(rig, input);
      expect(manifest.core).toMatchObject({ complete: false, truncatedBy: "shortRead" });
      if (keep >= 4096) expect(manifest.core.expectedBytes).toBe(whole.length);
    },
  );

  it("more bytes than the program headers promise are kept", async () => {
    await using rig = makeRig();
    const input = Buffer.concat([whole, noise(100_000, 9)]);
    await rig.run(input);
    const { manifest } = await expectBundleOf(rig, input);
    expect(manifest.core.expectedBytes).toBe(whole.length);
  });

  it("a slow writer with small pieces loses nothing", async () => {
    await using rig = makeRig();
    const input = smallCore(noise(200_000, 3));
    const pieces = async function* () {
      for (let at = 0; at < input.length; at += 9_973) {
        yield input.subarray(at, at + 9_973);
        await new Promise((resolve) => setImmediate(resolve));
      }
    };
    await rig.run(Readable.from(pieces()));
    const { manifest } = await expectBundleOf(rig, input);
    expect(manifest.core.complete).toBe(true);
  });
});
