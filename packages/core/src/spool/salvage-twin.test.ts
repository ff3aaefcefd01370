import {
  existsSync,
  linkSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import type { Clock } from "../base/clock.ts";
import { openCore } from "../bundle/core-reader.ts";
import type { Compression, Manifest } from "../bundle/manifest.ts";
import { readManifest } from "../bundle/reader-manifest.ts";
import { openBundleFile } from "../bundle/reader.ts";
import { run } from "../service/exec.ts";
import { composeBundle } from "../testing/compose-bundle.ts";
import { buildCore } from "../testing/core-builder.ts";
import { jumpingClock } from "../testing/jumping-clock.ts";
import { SeededRandom } from "../testing/random.ts";
import { SAMPLE_NAME } from "../testing/sample-bundle.ts";
import { partialPath, publishedPath } from "./layout.ts";
import { giveName } from "./salvage-twin.ts";
import { salvageSpool, type Salvaged } from "./salvage.ts";
import { writerMarkPath, writerMarksDirectory } from "./writer-mark.ts";
import { writeWriterNote } from "./writer-note.ts";

const MIB = 1024 * 1024;
const UUID = SAMPLE_NAME.slice(0, 36);

function makeCore(seed: number): Buffer {
  const random = new SeededRandom(seed);
  const words = Uint32Array.from({ length: MIB }, () => random.integer(2 ** 32));
  return Buffer.from(buildCore({ machine: 62, segments: [{ vaddr: 0x10000n, bytes: Buffer.from(words.buffer) }] }));
}
const CORE = makeCore(1);

let coreDir: string;
let clock: Clock;
beforeEach(() => {
  coreDir = mkdtempSync(join(tmpdir(), "cdh-twin-"));
  clock = jumpingClock(Date.now());
});
afterEach(() => rmSync(coreDir, { recursive: true, force: true }));

const salvage = (): Promise<Salvaged[]> => salvageSpool({ coreDir, clock, version: "test 1" });
const published = (): string => publishedPath(coreDir, SAMPLE_NAME);

function leave(bytes: Uint8Array, path = partialPath(coreDir, SAMPLE_NAME)): string {
  writeFileSync(path, bytes, { mode: 0o600 });
  utimesSync(path, clock.now() / 1000 - 3600, clock.now() / 1000 - 3600);
  return path;
}

/** Read a bundle with the project's own reader. */
async function open(path: string): Promise<{ manifest: Manifest; core: Buffer; names: string[]; dumpInfo: unknown }> {
  const bundle = await openBundleFile(path);
  try {
    const manifest = await readManifest(bundle);
    const info = bundle.findRole("dump-info");
    if (manifest === undefined || info === undefined) throw new Error("no manifest or no dump info");
    const parts: Buffer[] = [];
    for await (const { bytes } of (await openCore(bundle, manifest)).chunks()) parts.push(Buffer.from(bytes));
    // The zip's own sums hold too, those of rewritten entries included.
    for (const entry of bundle.entries) for await (const _ of bundle.stream(entry));
    const names = bundle.entries.map(({ name }) => name);
    return { manifest, names, core: Buffer.concat(parts), dumpInfo: JSON.parse(String(await bundle.read(info))) };
  } finally {
    await bundle.close();
  }
}

describe.each(["zstd", "deflate", "none"] satisfies Compression[])(
  "a torn file and a published one, %s",
  (compression) => {
    const compose = (core = CORE): ReturnType<typeof composeBundle> => composeBundle(core, compression);

    it.each([
      { title: "a prefix of it", cut: 2 * MIB + 500 },
      { title: "empty", cut: 0 },
      { title: "torn in its head", cut: 40 },
      { title: "all of it", cut: Number.POSITIVE_INFINITY },
    ])("holds no more than the published one, being $title: it is removed", async ({ cut }) => {
      const { bytes } = await compose();
      writeFileSync(published(), bytes);
      leave(bytes.subarray(0, Math.min(bytes.length, cut)));
      expect(await salvage()).toEqual([{ name: SAMPLE_NAME, path: published(), status: "superseded" }]);
      expect(readdirSync(coreDir)).toEqual([`${SAMPLE_NAME}.zip`]);
      expect(readFileSync(published()).equals(bytes)).toBe(true);
    });

    it("what the published one was salvaged from is removed, its torn end included", async () => {
      const { bytes, coreOffset } = await compose();
      const torn = bytes.subarray(0, coreOffset + 2 * MIB + 500);
      leave(torn);
      expect(await salvage()).toMatchObject([{ status: "published" }]);
      leave(torn);
      expect(await salvage()).toMatchObject([{ status: "superseded" }]);
      expect(readdirSync(coreDir)).toEqual([`${SAMPLE_NAME}.zip`]);
    });

    it.each(["more than the published one", "another core"])("holds %s: it gets a name of its own", async (what) => {
      const { bytes, coreOffset } = await compose();
      const before = bytes.subarray(0, coreOffset + MIB + 500);
      leave(before);
      await salvage();
      const first = readFileSync(published());
      const other = makeCore(2);
      const more = what === "another core" ? other : CORE;
      leave((await compose(more)).bytes.subarray(0, coreOffset + 3 * MIB + 500));
      mkdirSync(writerMarksDirectory(coreDir), { recursive: true });
      await writeWriterNote(coreDir, SAMPLE_NAME, (await open(published())).manifest);

      const [result, ...others] = await salvage();
      if (result?.status !== "published") throw new Error(`not published: ${JSON.stringify(result)}`);
      expect(others).toEqual([]);
      expect(readFileSync(published()).equals(first)).toBe(true);
      const { manifest, core, names, dumpInfo } = await open(result.path);
      expect(core.length).toBeGreaterThan(2 * MIB);
      expect(core.equals(more.subarray(0, core.length))).toBe(true);
      // A name as every other: the crash's id in it, every entry beginning with it.
      const { crashId } = manifest;
      const name = SAMPLE_NAME.replace(UUID, crashId);
      expect(crashId).not.toBe(UUID);
      expect(result.path).toBe(publishedPath(coreDir, name));
      expect(manifest).toEqual(JSON.parse(JSON.stringify(result.manifest)));
      expect(manifest.bundle).toBe(`${name}.zip`);
      expect(names.filter((entry) => !entry.startsWith(name))).toEqual([]);
      expect(dumpInfo).toMatchObject({
        uuid: crashId,
        dump_file: names.find((entry) => /\.core(?:\.zst)?$/.test(entry)),
        exe: "server",
      });
      expect(manifest.problems[0]).toMatchObject({
        code: "CDH_SALVAGED",
        detail: expect.stringContaining(`published as ${SAMPLE_NAME}`) as string,
      });
      expect(readdirSync(coreDir).filter((entry) => entry.startsWith("."))).toEqual([]);
      expect(readdirSync(writerMarksDirectory(coreDir))).toEqual([]);
      expect(await salvage()).toEqual([]);
    });

    it("taken up again after a salvage died between the name and the head", async () => {
      const { bytes, coreOffset } = await compose();
      const own = SAMPLE_NAME.replace(UUID, "00000000-1111-4222-8333-444444444444");
      leave(bytes.subarray(0, coreOffset + 2 * MIB + 500), join(coreDir, `.${own}.0123456789abcdef.salvage`));
      expect(await salvage()).toMatchObject([{ status: "published", path: publishedPath(coreDir, own) }]);
      const { manifest, core } = await open(publishedPath(coreDir, own));
      expect(manifest.crashId).toBe("00000000-1111-4222-8333-444444444444");
      expect(core.equals(CORE.subarray(0, core.length))).toBe(true);
      expect(core.length).toBeGreaterThan(MIB);
    });
  },
);

describe("what has the torn file's name", () => {
  const torn = async (): Promise<Buffer> => (await composeBundle(CORE, "zstd")).bytes.subarray(0, 3 * MIB);

  it.each([
    { title: "text", make: () => writeFileSync(published(), "published") },
    { title: "a zip cut short", make: async () => writeFileSync(published(), (await torn()).subarray(0, 2.9 * MIB)) },
    { title: "a folder", make: () => mkdirSync(published()) },
    { title: "a link to a file", make: () => symlinkSync("/etc/hostname", published()) },
    { title: "a link to nowhere", make: () => symlinkSync("nowhere", published()) },
  ])("may be no bundle ($title): that stays, and the torn one gets a name of its own", async ({ make }) => {
    await make();
    leave(await torn());
    const [result] = await salvage();
    expect(result).toMatchObject({ status: "published" });
    expect((await open(result?.path ?? "")).core.length).toBeGreaterThan(MIB);
    expect(readdirSync(coreDir).filter((entry) => entry.startsWith("."))).toEqual([]);
    expect(existsSync(published()) || readdirSync(coreDir).includes(`${SAMPLE_NAME}.zip`)).toBe(true);
  });

  it("may be uploaded and removed while the torn file is watched for a sign of life", async () => {
    const { bytes } = await composeBundle(CORE, "zstd");
    writeFileSync(published(), bytes);
    const path = leave(await torn());
    // A writer that was there a moment ago: salvage looks for five seconds.
    mkdirSync(writerMarksDirectory(coreDir), { recursive: true });
    expect((await run("mkfifo", [writerMarkPath(coreDir, SAMPLE_NAME)])).exitCode).toBe(0);
    utimesSync(path, clock.now() / 1000, clock.now() / 1000);
    const uploading = jumpingClock(clock.now(), () => rmSync(published(), { force: true }));
    expect(await salvageSpool({ coreDir, clock: uploading, version: "test 1" })).toMatchObject([
      { status: "superseded" },
    ]);
    expect(readdirSync(coreDir)).toEqual(["state"]);
  });

  it("is the torn file itself where a salvage died before it had taken the old name away", async () => {
    const { bytes } = await composeBundle(CORE, "zstd");
    const claim = leave(bytes, join(coreDir, `.${SAMPLE_NAME}.0123456789abcdef.salvage`));
    linkSync(claim, published());
    expect(await salvage()).toMatchObject([{ status: "superseded" }]);
    expect(readdirSync(coreDir)).toEqual([`${SAMPLE_NAME}.zip`]);
  });

  it("a torn file that names no crash, beside a published one, goes to quarantine as it is", async () => {
    writeFileSync(publishedPath(coreDir, "mine"), "published");
    leave(await torn(), partialPath(coreDir, "mine"));
    expect(await salvage()).toMatchObject([{ status: "failed", quarantined: true, error: { code: "CDH_DAMAGED" } }]);
    expect(readdirSync(coreDir).sort()).toEqual(["mine.zip", "quarantine"]);
    expect(readFileSync(join(coreDir, "quarantine/mine.zip")).equals(await torn())).toBe(true);
    expect(readFileSync(join(coreDir, "quarantine/mine.zip.reason.json"), "utf8")).toContain(
      "published under its name",
    );
  });

  it("quarantine never loses what lies there under the same name", async () => {
    const path = join(coreDir, "quarantine", `${SAMPLE_NAME}.zip`);
    for (const content of ["first", "second"]) {
      leave(Buffer.alloc(100_000, content));
      expect(await salvage()).toMatchObject([{ quarantined: true }]);
    }
    expect(readFileSync(path, "utf8").slice(0, 5)).toBe("first");
    const names = readdirSync(join(coreDir, "quarantine")).sort();
    expect(names).toHaveLength(4);
    const [second = ""] = names.filter((name) => name.endsWith(".zip") && name !== `${SAMPLE_NAME}.zip`);
    expect(readFileSync(join(coreDir, "quarantine", second), "utf8").slice(0, 6)).toBe("second");
    expect(JSON.parse(readFileSync(join(coreDir, "quarantine", `${second}.reason.json`), "utf8"))).toMatchObject({
      bundle: second,
    });
  });

  it("a name that is taken at the last moment is not taken from its owner", async () => {
    const [claim, name] = [join(coreDir, "claim"), join(coreDir, "name")];
    writeFileSync(claim, "mine");
    writeFileSync(name, "theirs");
    await expect(giveName(claim, name)).rejects.toMatchObject({ code: "CDH_DISK" });
    expect([readFileSync(claim, "utf8"), readFileSync(name, "utf8")]).toEqual(["mine", "theirs"]);
  });
});
