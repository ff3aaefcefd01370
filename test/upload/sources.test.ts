import { randomBytes } from "node:crypto";
import { openSync, closeSync } from "node:fs";
import { appendFile, mkdir, readFile, readdir, utimes, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { gzipSync, zstdCompressSync } from "node:zlib";
import { afterEach, expect, it } from "vitest";
import { smallCore } from "../composer/drive.ts";
import { notBuilt } from "../helpers/built.ts";
import { openBundleFile } from "../helpers/bundle-files.ts";
import { describeUnless, skipAloud } from "../helpers/skip.ts";
import { makeWorkbench, expectSoon, type Workbench } from "./workbench.ts";

const BOOT_ID = "0123456789abcdef0123456789abcdef";
const open: Workbench[] = [];

afterEach(async () => {
  for (const each of open.splice(0)) await each[Symbol.asyncDispose]();
});

async function bench(env: Record<string, string> = {}): Promise<Workbench & { host: string; systemd: string }> {
  const made = await makeWorkbench(env);
  open.push(made);
  const store = join(made.directory, "store");
  const systemd = join(made.directory, "systemd");
  await mkdir(systemd);
  made.env["STORE_URL"] = `file://${store}`;
  made.env["NODE_NAME"] = "node-7";
  return { ...made, host: join(store, "_host"), systemd };
}

/** Write a file that nobody has touched for a while. */
async function place(path: string, body: Uint8Array, ageMs = 60_000): Promise<void> {
  await writeFile(path, body);
  const then = (Date.now() - ageMs) / 1000;
  await utimes(path, then, then);
}

/** Set an extended attribute; false where the file system has none. */
async function setAttribute(path: string, name: string, value: string): Promise<boolean> {
  const { dlopen } = await import("node:ffi");
  const { functions } = dlopen("libc.so.6", {
    fsetxattr: { arguments: ["int32", "buffer", "buffer", "uint64", "int32"], return: "int32" },
  });
  const fd = openSync(path, "r");
  try {
    return functions.fsetxattr(fd, Buffer.from(`${name}\0`), Buffer.from(value), BigInt(value.length), 0) === 0;
  } finally {
    closeSync(fd);
  }
}

async function onlyBundle(host: string) {
  const zips = (await readdir(host)).filter((name) => name.endsWith(".zip"));
  expect(zips.length).toBe(1);
  return await openBundleFile(join(host, zips[0] ?? ""));
}

const CORE = smallCore(Buffer.alloc(3_000_000, "memory of a process"));

describeUnless(notBuilt("cdh-upload"), "cdh-upload and cores that others wrote", () => {
  it.each([
    ["core-sleeper-1764000000-4711-11", (core: Buffer) => core],
    ["core-sleeper-1764000000-4711-11.gz", (core: Buffer) => gzipSync(core)],
    ["core-sleeper-1764000000-4711-11.zst", (core: Buffer) => zstdCompressSync(core)],
  ])("makes a bundle of the plain core %s, sends it, and takes it out of the spool", async (name, encode) => {
    const work = await bench();
    await place(join(work.coreDir, name), encode(CORE));
    await place(join(work.coreDir, "notes.txt"), Buffer.from("not mine"));
    const result = await work.sweep();
    expect(result.exitCode, result.stderr).toBe(0);
    expect(await work.spool()).toEqual(["notes.txt"]);
    const bundle = await onlyBundle(work.host);
    expect(bundle.manifest).toMatchObject({
      crashedAt: "2025-11-24T16:00:00.000Z",
      node: { nodeName: "node-7" },
      process: { comm: "sleeper", pid: 4711 },
      signal: { number: 11, name: "SIGSEGV", codeName: "SEGV_MAPERR", faultAddress: "0xdead" },
      core: { compression: "zstd", sizeBytes: CORE.length, complete: true },
      identity: { source: "none" },
    });
    const unpacked = await bundle.unpackCore(work.directory);
    expect((await readFile(unpacked.path)).equals(CORE)).toBe(true);
  });

  it("waits until a core is whole and quiet", async () => {
    const work = await bench({ INTERVAL: "1000" });
    const path = join(work.coreDir, "core.4711");
    await place(path, CORE.subarray(0, 1_000_000));
    const child = work.run({ LOG_LEVEL: "trace" });
    const looks = (): number => child.output().split("looked at the spool").length - 1;
    await expectSoon("it looked a few times", () => looks() >= 3, { child });
    expect(await work.spool()).toEqual(["core.4711"]);
    await appendFile(path, CORE.subarray(1_000_000));
    await utimes(path, 1000, 1000);
    await expectSoon("it is stored", async () => (await work.spool()).length === 0, { child });
    expect((await onlyBundle(work.host)).manifest.core.complete).toBe(true);
  });

  it("takes what its writer left unfinished, and says so", async () => {
    const work = await bench();
    await place(join(work.coreDir, "core.1"), CORE.subarray(0, 1_000_000), 3600e3);
    expect((await work.sweep()).exitCode).toBe(0);
    expect((await onlyBundle(work.host)).manifest.core).toMatchObject({
      complete: false,
      truncatedBy: "shortRead",
      sizeBytes: 1_000_000,
    });
  });

  it("leaves alone what only has the name of a core", async () => {
    const work = await bench();
    await place(join(work.coreDir, "core.txt"), Buffer.from("about cores"));
    expect((await work.sweep()).exitCode).toBe(0);
    expect(await work.spool()).toEqual(["core.txt"]);
  });

  it("reads systemd-coredump's directory, its attributes too, and sends each core once", async (context) => {
    const work = await bench();
    const name = `core.Web\\x20Server.1000.${BOOT_ID}.815.1764000000123456.zst`;
    const path = join(work.systemd, name);
    await place(path, zstdCompressSync(CORE));
    const attributes = {
      pid: "815",
      uid: "1000",
      gid: "100",
      signal: "6",
      timestamp: "1764000000123456",
      rlimit: "18446744073709551615",
      hostname: "web.example",
      comm: "Web Server",
      exe: "/opt/web/server",
    };
    for (const [key, value] of Object.entries(attributes)) {
      if (!(await setAttribute(path, `user.coredump.${key}`, value)))
        skipAloud(context, "the file system of the temporary directory has no extended attributes");
    }
    const env = { SYSTEMD_COREDUMP_DIR: work.systemd };
    const result = await work.sweep([], env);
    expect(result.exitCode, result.stderr).toBe(0);
    expect(result.stderr).not.toContain("ExperimentalWarning");
    const bundle = await onlyBundle(work.host);
    expect(bundle.manifest).toMatchObject({
      crashedAt: "2025-11-24T16:00:00.123Z",
      node: { bootId: "01234567-89ab-cdef-0123-456789abcdef" },
      process: { pid: 815, uid: 1000, gid: 100, comm: "Web Server", exe: "/opt/web/server", hostname: "web.example" },
      signal: { number: 6, name: "SIGABRT" },
      core: { complete: true, sizeBytes: CORE.length },
    });
    expect(await readdir(work.systemd)).toEqual([name]);
    await place(join(work.systemd, `core.other.0.${BOOT_ID}.816.1764000001000000`), CORE);
    expect(JSON.parse((await work.sweep([], env)).stdout)).toMatchObject({ bundles: [{ status: "uploaded" }] });
    expect(JSON.parse((await work.sweep([], env)).stdout)).toEqual({ bundles: [] });
  });

  it("unpacks a core in lz4, which systemd wrote before version 246, and reads its notes", async () => {
    const work = await bench();
    const packed = Buffer.concat([
      Buffer.from("04224d18604000", "hex"),
      ...Array.from({ length: Math.ceil(CORE.length / 65_536) }, (_, index) => {
        const block = CORE.subarray(index * 65_536, (index + 1) * 65_536);
        const header = Buffer.alloc(4);
        // The highest bit says that the block is not compressed.
        header.writeUInt32LE((block.length | 0x80000000) >>> 0);
        return Buffer.concat([header, block]);
      }),
      Buffer.alloc(4),
    ]);
    await place(join(work.systemd, `core.sleeper.0.${BOOT_ID}.817.1764000000000000.lz4`), packed);
    const result = await work.sweep([], { SYSTEMD_COREDUMP_DIR: work.systemd });
    expect(result.exitCode, result.stderr).toBe(0);
    const bundle = await onlyBundle(work.host);
    expect(bundle.manifest).toMatchObject({
      signal: { number: 11, name: "SIGSEGV", faultAddress: "0xdead" },
      core: { compression: "zstd", complete: true, sizeBytes: CORE.length },
    });
    expect(bundle.manifest.problems.map(({ code }) => code)).not.toContain("CDH_CORE_COMPRESSED");
    expect((await readFile((await bundle.unpackCore(work.directory)).path)).equals(CORE)).toBe(true);
  });

  it.each([
    ["xz", Buffer.from("fd377a585a0000", "hex"), 60_000],
    // Damaged, and its writer gone.
    ["lz4", Buffer.from("04224d18644070", "hex"), 3600e3],
  ])("sends a core in %s, which it cannot decompress, as it is, and says so", async (suffix, magic, ageMs) => {
    const work = await bench();
    const packed = Buffer.concat([magic, randomBytes(100_000)]);
    await place(join(work.systemd, `core.sleeper.0.${BOOT_ID}.817.1764000000000000.${suffix}`), packed, ageMs);
    const result = await work.sweep([], { SYSTEMD_COREDUMP_DIR: work.systemd });
    expect(result.exitCode, result.stderr).toBe(0);
    const bundle = await onlyBundle(work.host);
    expect(bundle.manifest).toMatchObject({
      crashedAt: "2025-11-24T16:00:00.000Z",
      process: { comm: "sleeper", pid: 817, uid: 0 },
      core: { compression: "none", complete: false, sizeBytes: packed.length },
      problems: expect.arrayContaining([expect.objectContaining({ code: "CDH_CORE_COMPRESSED" })]),
    });
    expect((await readFile((await bundle.unpackCore(work.directory)).path)).equals(packed)).toBe(true);
    expect((await readdir(work.host)).some((name) => name.endsWith(".manifest.json"))).toBe(true);
  });
});
