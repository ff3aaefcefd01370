import { closeSync, ftruncateSync, mkdtempSync, openSync, rmSync, writeFileSync, writeSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { skipAloud } from "../../../../test/helpers/skip.ts";
import { run } from "../service/exec.ts";
import { composeBundle } from "../testing/compose-bundle.ts";
import { SeededRandom } from "../testing/random.ts";
import { SAMPLE_NAME } from "../testing/sample-bundle.ts";
import { bytesSource } from "./reader-source.ts";
import { openBundle, openBundleFile } from "./reader.ts";
import { layOutBundle, type CoreLayout } from "./writer.ts";

const GIB = 1024 ** 3;
const MTIME = new Date("2026-11-21T08:26:11Z");
const FIRST = { name: "N-dump-info.json", bytes: Buffer.from("{}") };
const REST = [
  { name: "N-proc/maps", bytes: Buffer.alloc(100_000, "7f00-7fff r-xp\n") },
  { name: "N-0.log", bytes: Buffer.alloc(0) },
  { name: "N-é.json", bytes: Buffer.from("small") },
];

let directory: string;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "cdh-writer-"));
});
afterEach(() => rmSync(directory, { recursive: true, force: true }));

/** What Python's zipfile, which is nobody's of ours, makes of a zip. */
async function readWithPython(
  path: string,
): Promise<{ names: string[]; sizes: number[]; bad: string | null; modes: number[] }> {
  const script = `
import json, sys, zipfile
z = zipfile.ZipFile(sys.argv[1])
i = z.infolist()
print(json.dumps({"names": [e.filename for e in i], "sizes": [e.file_size for e in i],
  "modes": [e.external_attr >> 16 & 0o777 for e in i],
  "bad": None if len(sys.argv) > 2 else z.testzip()}))`;
  const big = path.endsWith("big.zip") ? ["big"] : [];
  const result = await run("python3", ["-c", script, path, ...big]);
  if (result.exitCode !== 0) throw new Error(result.stderr);
  return JSON.parse(result.stdout) as Awaited<ReturnType<typeof readWithPython>>;
}

async function pythonMissing(): Promise<boolean> {
  return (await run("python3", ["--version"])).exitCode !== 0;
}

describe("layOutBundle", () => {
  it.each(["zstd", "deflate", "none"] as const)("with %s: makes a zip that others read", async (compression) => {
    const core = Buffer.from(new SeededRandom(9).bytes(300_000));
    const { bytes } = await composeBundle(core, compression, REST);
    const bundle = await openBundle(bytesSource("bundle", bytes));
    expect(bundle.entries.map(({ name }) => name).slice(2)).toEqual(REST.map(({ name }) => name));
    for (const { name, bytes: expected } of REST) {
      const entry = bundle.find(name);
      if (entry === undefined) throw new Error(`no ${name}`);
      expect((await bundle.read(entry)).equals(expected)).toBe(true);
    }
    for (const entry of bundle.entries) for await (const _ of bundle.stream(entry));
    await bundle.close();
  });

  it("is read by Python's zipfile, sums and modes included", async (context) => {
    if (await pythonMissing()) skipAloud(context, "python3 is not on this machine");
    for (const compression of ["zstd", "deflate", "none"] as const) {
      const { bytes } = await composeBundle(Buffer.alloc(3_000_000, "core"), compression, REST);
      const path = join(directory, `${compression}.zip`);
      writeFileSync(path, bytes);
      const seen = await readWithPython(path);
      expect(seen.bad).toBe(null);
      expect(seen.names[0]).toBe(`${SAMPLE_NAME}-dump-info.json`);
      expect(seen.names.slice(2)).toEqual(REST.map(({ name }) => name));
      expect(seen.modes.every((mode) => mode === 0o444)).toBe(true);
    }
  });

  const sizes = [0, 1, 2 ** 31, 2 ** 32 - 2, 2 ** 32 - 1, 2 ** 32, 5 * GIB, 3000 * GIB];
  it.each(["stored", "deflate"] as const)("a %s core's head does not depend on its sizes", async (method) => {
    const heads = await Promise.all(
      sizes.map(async (size) => {
        const core = { name: "N.core", method, crc32: size % 2 ** 32, storedBytes: size, sizeBytes: size * 3 };
        return (await layOutBundle(MTIME, FIRST, core, REST)).head.toString("hex");
      }),
    );
    expect(new Set(heads).size).toBe(1);
  });

  it.each(sizes)("a core of %d stored bytes is found, and what stands behind it", async (storedBytes) => {
    const core: CoreLayout = { name: "N.core.zst", method: "stored", crc32: 0, storedBytes, sizeBytes: storedBytes };
    const { head, tail } = await layOutBundle(MTIME, FIRST, core, REST);
    // A sparse file pretends to hold the core.
    const path = join(directory, "big.zip");
    const fd = openSync(path, "w");
    ftruncateSync(fd, head.length + storedBytes + tail.length);
    writeSync(fd, head, 0, head.length, 0);
    writeSync(fd, tail, 0, tail.length, head.length + storedBytes);
    closeSync(fd);
    const bundle = await openBundleFile(path);
    expect(bundle.find("N.core.zst")).toMatchObject({ sizeBytes: storedBytes, storedBytes });
    const last = bundle.find("N-é.json");
    if (last === undefined) throw new Error("the last entry is missing");
    expect((await bundle.read(last)).toString()).toBe("small");
    await bundle.close();
    if (storedBytes <= 5 * GIB && !(await pythonMissing())) {
      expect((await readWithPython(path)).sizes[1]).toBe(storedBytes);
    }
  });
});
