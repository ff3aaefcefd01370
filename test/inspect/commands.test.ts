import { spawn } from "node:child_process";
import { createHash } from "node:crypto";
import { once } from "node:events";
import { mkdir, mkdtemp, readFile, rename, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { gzipSync, zstdCompressSync } from "node:zlib";
import { afterAll, beforeAll, describe, expect, it, vi } from "vitest";
import type { Manifest } from "@cdh/core/bundle/manifest";
import { SeededRandom } from "@cdh/core/testing/random";
import { makeRawZip } from "@cdh/core/testing/raw-zip";
import { makeSampleEntries, makeTinyCore, SAMPLE_NAME } from "@cdh/core/testing/sample-bundle";
import { builtPath, notBuilt, runBuilt, type BuiltResult } from "../helpers/built.ts";
import { REPOSITORY } from "../helpers/repository.ts";
import { describeUnless } from "../helpers/skip.ts";
import { startTied } from "../helpers/tied-child.ts";

const older = join(REPOSITORY, "test/fixtures/bundles/older");
/** Noise, ten mebibytes of zeros, and text. */
const core = Buffer.concat([
  makeTinyCore(4096),
  Buffer.from(new SeededRandom(11).bytes(3_000_000)),
  Buffer.alloc(10 * 1024 * 1024),
  Buffer.from("the end ".repeat(1000)),
]);

function makeZip(changes: Partial<Manifest> = {}): Buffer {
  const { dumpInfo, core: entry, log, manifest } = makeSampleEntries(core, changes);
  return makeRawZip([dumpInfo, entry, log, manifest]);
}

async function inspect(...args: string[]): Promise<BuiltResult> {
  return runBuilt("cdh-inspect", args);
}

function parse(result: BuiltResult): Record<string, unknown> {
  expect(result.stderr).toBe("");
  return JSON.parse(result.stdout) as Record<string, unknown>;
}

describeUnless(notBuilt("cdh-inspect"), "cdh-inspect", () => {
  let place: string;
  let bundle: string;

  beforeAll(async () => {
    place = await mkdtemp(join(tmpdir(), "cdh-inspect-test-"));
    await mkdir(join(place, "spool/payments"), { recursive: true });
    bundle = join(place, "spool/payments", `${SAMPLE_NAME}.zip`);
    await writeFile(bundle, makeZip());
    const other = { crashId: "99999999-0000-4000-8000-000000000000", crashedAt: "2026-11-20T00:00:00.000Z" };
    await writeFile(
      join(place, "spool/older-one.zip"),
      makeZip({ ...other, pod: { name: "cart", namespace: "shop" }, signal: { number: 6, name: "SIGABRT" } }),
    );
    await writeFile(join(place, "spool/.half.zip.partial"), "not yet");
    await mkdir(join(place, "spool/quarantine"));
    await writeFile(join(place, "spool/quarantine/bad.zip"), "bad");
  });

  afterAll(async () => {
    await rm(place, { recursive: true, force: true });
  });

  describe("ls --watch", () => {
    it.each([
      [[], /shop\/late .*late\.zip\n/],
      [["-o", "jsonl"], /"pod":"late"/],
      [["-q"], /late\.zip\n$/],
    ])("shows what was there, then each crash as it comes, until it is told to stop: %j", async (flags, shown) => {
      const folder = await mkdtemp(join(tmpdir(), "cdh-watch-"));
      try {
        await writeFile(join(folder, "first.zip"), makeZip());
        await using child = startTied(builtPath("cdh-inspect"), ["ls", "--watch", ...flags, folder]);
        await vi.waitFor(() => expect(child.output()).toMatch(/first|worker/), { timeout: 20_000 });
        const pod = { name: "late", namespace: "shop" };
        await writeFile(join(folder, "late.zip.partial"), makeZip({ pod, crashId: "late" }));
        await rename(join(folder, "late.zip.partial"), join(folder, "late.zip"));
        await vi.waitFor(() => expect(child.output()).toMatch(shown), { timeout: 20_000 });
        const lines = child.output().trim().split("\n");
        expect(lines).toHaveLength(flags.length === 0 ? 3 : 2);
        if (flags.length === 0) expect(lines[2]).toMatch(/^2026-\S+ \S+ +shop\/late /);
        await child.stop();
        expect(await child.ended).toBe(143);
      } finally {
        await rm(folder, { recursive: true, force: true });
      }
    });

    it("refuses JSON that would never end", async () => {
      expect(await inspect("ls", "--watch", "-o", "json", place)).toMatchObject({ exitCode: 10 });
    });
  });

  describe("ls", () => {
    it("lists newest first, and leaves out what is not published", async () => {
      const { bundles } = parse(await inspect("ls", "-o", "json", join(place, "spool"))) as {
        bundles: { pod: string }[];
      };
      expect(bundles.map(({ pod }) => pod)).toEqual(["worker", "cart"]);
      expect(bundles[0]).toEqual({
        bundle,
        crashId: SAMPLE_NAME.slice(0, 36),
        crashedAt: "2026-11-21T08:26:11.000Z",
        namespace: "payments",
        pod: "worker",
        container: "app",
        node: "worker-3",
        image: "registry.example/server:1",
        exe: "/usr/bin/server",
        summary: "SIGSEGV (null pointer)",
        signal: "SIGSEGV",
        coreBytes: core.length,
        bundleBytes: (await stat(bundle)).size,
        complete: true,
      });
    });

    it.each([
      [["--namespace", "shop"], ["cart"]],
      [["--pod", "work"], ["worker"]],
      [["--signal", "abrt"], ["cart"]],
      [["--signal", "11"], ["worker"]],
      [
        ["--exe", "server"],
        ["worker", "cart"],
      ],
      [["--since", "2026-11-21"], ["worker"]],
      [["--until", "2026-11-20T12:00:00Z"], ["cart"]],
      [["--namespace", "nowhere"], []],
    ])("filters by %j", async (flags, pods) => {
      const result = await inspect("ls", "-o", "jsonl", ...flags, join(place, "spool"));
      const lines = result.stdout.split("\n").filter((line) => line !== "");
      expect(lines.map((line) => (JSON.parse(line) as { pod: string }).pod)).toEqual(pods);
    });

    it("prints only names for a script, in the place's own form", async () => {
      const result = await inspect("ls", "-q", `file://${place}/spool/payments`);
      expect(result.stdout).toBe(`${bundle}\n`);
    });

    it("keeps listing when one bundle is broken, and says so", async () => {
      const directory = join(place, "mixed");
      await mkdir(directory);
      await writeFile(join(directory, "good.zip"), makeZip());
      await writeFile(join(directory, "torn.zip"), makeZip().subarray(0, 5000));
      const result = await inspect("ls", directory);
      expect(result.exitCode).toBe(3);
      expect(result.stdout).toMatch(/payments\/worker.*complete.*good\.zip/);
      expect(result.stderr).toContain("(CDH_BUNDLE_CUT_SHORT)");
    });

    it("answers wrong words with what would be right", async () => {
      expect((await inspect("ls", "-o", "yaml")).exitCode).toBe(2);
      expect(await inspect("ls", "--since", "yesterday")).toMatchObject({ exitCode: 10 });
      expect(await inspect("ls", "ftp://x/y")).toMatchObject({ exitCode: 10 });
      const missing = await inspect("ls", join(place, "nothing-here"));
      expect(missing.exitCode).toBe(12);
      expect(missing.stderr).toContain("(CDH_NOT_FOUND)\nhint: ");
    });
  });

  describe("show", () => {
    it("tells the crash on one screen", async () => {
      const result = await inspect("show", bundle);
      expect(result).toMatchObject({ exitCode: 0, stderr: "" });
      expect(result.stdout.split("\n").length).toBeLessThan(40);
      for (const part of [
        "server died of SIGSEGV in payments/worker",
        "SIGSEGV (11), SEGV_MAPERR: access to address 0x0, not mapped (a null pointer)",
        "whole",
        "about to fall over",
      ]) {
        expect(result.stdout).toContain(part);
      }
    });

    it("finds a bundle by a part of its name, and the newest one of a place", async () => {
      expect((await inspect("show", join(place, "spool/payments/11112222"))).stdout).toContain(bundle);
      expect((await inspect("show", join(place, "spool/payments"))).exitCode).toBe(0);
      expect(await inspect("show", join(place, "spool/payments/nothing"))).toMatchObject({ exitCode: 12 });
    });

    it("shows a name that begins with - so that it can be pasted, from a store too", async () => {
      const folder = join(place, "dashes");
      await mkdir(folder);
      await writeFile(join(folder, "-x.zip"), makeZip());
      for (const around of [
        { cwd: folder },
        { cwd: place, env: { ...environment(), STORE_URL: `file://${folder}` } },
      ]) {
        const listed = await runBuilt("cdh-inspect", ["ls"], around);
        const shown = listed.stdout.trimEnd().split(/\s+/).at(-1) ?? "";
        expect(shown, listed.stdout).toMatch(/^\.\/-x/);
        const opened = await runBuilt("cdh-inspect", ["show", shown], around);
        expect(opened.exitCode, opened.stderr).toBe(0);
        const [named] = (await runBuilt("cdh-inspect", ["ls", "-q", "."], around)).stdout.split("\n");
        if (around.cwd === folder) expect(named).toBe("./-x.zip");
        const bare = await runBuilt("cdh-inspect", ["show", "-x.zip"], around);
        expect(bare.exitCode).toBe(2);
        expect(bare.stderr).toContain("a file of that name is ./-x.zip");
      }
    });

    it("takes -1 for the newest crash, and a part of a name, in the current directory or in STORE_URL", async () => {
      const spool = join(place, "spool");
      const env = environment();
      const shown = (args: string[], options: { cwd?: string; env?: Record<string, string> }): Promise<BuiltResult> =>
        runBuilt("cdh-inspect", ["show", ...args], options);
      expect((await shown(["-1"], { cwd: spool })).stdout).toContain("in payments/worker");
      expect((await shown(["-2"], { cwd: spool })).stdout).toContain("in shop/cart");
      expect((await shown(["11112222"], { cwd: spool })).stdout).toContain("in payments/worker");
      const inStore = { cwd: place, env: { ...env, STORE_URL: `file://${spool}` } };
      expect((await shown(["-2"], inStore)).stdout).toContain("in shop/cart");
      expect((await shown(["older"], inStore)).stdout).toContain("in shop/cart");
      // A file that is there is meant.
      expect((await shown([bundle], inStore)).stdout).toContain("in payments/worker");
      expect(await shown(["-3"], inStore)).toMatchObject({
        exitCode: 12,
        stderr: expect.stringMatching(/no crash -3 in .*: there are 2 \(CDH_NOT_FOUND\)\nhint: -1 is the newest/),
      });
      const logs = await runBuilt("cdh-inspect", ["logs", "-1"], inStore);
      expect(logs.stdout).toContain("listening on 8080");
    });

    it("counts as ls lists", async () => {
      const listed = (await inspect("ls", "-q", older)).stdout.trimEnd().split("\n");
      for (const nth of [1, 2, listed.length])
        expect(parse(await inspect("show", "-o", "json", `${older}/~${nth}`))).toMatchObject({
          bundle: listed[nth - 1],
        });
    });

    it("colours only when asked to, off a terminal", async () => {
      const forced = await runBuilt("cdh-inspect", ["show", bundle], { env: { ...environment(), FORCE_COLOR: "1" } });
      expect(forced.stdout).toContain("\u001b[31m");
      expect((await inspect("show", bundle)).stdout).not.toContain("\u001b");
    });
  });

  describe("older layouts", () => {
    it.each(["ibm-v6", "ibm-v7", "ibm-v8", "ibm-v9-stored"])("shows what %s has", async (name) => {
      const report = parse(await inspect("show", "-o", "json", join(older, `${name}.zip`)));
      expect(report).toMatchObject({
        kind: "older",
        signalMeaning: "access to address 0x1234, not mapped (a null pointer)",
        manifest: {
          crashedAt: "2024-10-27T03:33:20.000Z",
          node: { nodeName: "worker-3" },
          pod: { name: "checkout-7d9f", namespace: "payments" },
          signal: { name: "SIGSEGV", codeName: "SEGV_MAPERR" },
          core: { complete: name !== "ibm-v9-stored" },
        },
      });
      expect((report["manifest"] as Manifest).threads).toHaveLength(4);
    });

    it("salvages names out of invalid JSON", async () => {
      const { manifest } = parse(await inspect("show", "-o", "json", join(older, "ibm-v9-invalid-json.zip"))) as {
        manifest: Manifest;
      };
      expect(manifest.process).toMatchObject({ comm: 'we"ird\\, "x', exe: '/usr/bin/we"ird\\, "signal": ' });
      expect(manifest.signal.number).toBe(11);
      expect(manifest.problems).toContainEqual(expect.objectContaining({ step: "dump-info", code: "CDH_BUNDLE_JSON" }));
    });

    it("names the containers of their logs", async () => {
      expect((await inspect("logs", "-c", "sidecar", join(older, "ibm-v8.zip"))).stdout).toBe(
        "container 1 says hello\n",
      );
      expect(await inspect("logs", "-c", "other", join(older, "ibm-v8.zip"))).toMatchObject({
        exitCode: 12,
        stderr: expect.stringContaining("one of app, sidecar"),
      });
    });
  });

  describe("unpack", () => {
    it("gives the core back byte by byte, with holes, and every other entry", async () => {
      const target = join(place, "unpacked");
      const { files } = parse(await inspect("unpack", "-o", "json", bundle, target)) as {
        files: { path: string; sha256: string; writtenBytes: number }[];
      };
      const path = join(target, `${SAMPLE_NAME}.core`);
      expect((await readFile(path)).equals(core)).toBe(true);
      expect(files.find((file) => file.path === path)).toMatchObject({
        sizeBytes: core.length,
        sha256: createHash("sha256").update(core).digest("hex"),
      });
      const { blocks, size } = await stat(path);
      expect(blocks * 512).toBeLessThan(size - 9 * 1024 * 1024);
      expect(await readFile(join(target, `${SAMPLE_NAME}-0.log`), "utf8")).toContain("listening on 8080");
      expect(files).toHaveLength(4);
    });

    it("makes no newer crash out of an older one", async () => {
      const target = join(place, "spool-with-cores");
      await mkdir(target);
      const copy = join(target, "a-bundle.zip");
      await writeFile(copy, makeZip());
      expect((await inspect("unpack", copy, join(target, "Unpacked"), "--entry", "core")).exitCode).toBe(0);
      expect(parse(await inspect("show", "-o", "json", target))).toMatchObject({ bundle: copy });
      expect((await inspect("ls", "-q", target)).stdout.split("\n")[0]).toBe(copy);
    });

    it("does not replace a file unless told to", async () => {
      const target = join(place, "twice");
      expect((await inspect("unpack", bundle, target, "--entry", "core")).exitCode).toBe(0);
      expect(await inspect("unpack", bundle, target, "--entry", "core")).toMatchObject({ exitCode: 13 });
      expect((await inspect("unpack", bundle, target, "--entry", "core", "--force")).exitCode).toBe(0);
    });

    it("leaves what is there already and is the same, and nothing that is not", async () => {
      const target = join(place, "again");
      const log = join(target, `${SAMPLE_NAME}-0.log`);
      expect((await inspect("unpack", bundle, target)).exitCode).toBe(0);
      await rm(join(target, `${SAMPLE_NAME}.core`));
      const again = await inspect("unpack", bundle, target);
      expect(again).toMatchObject({ exitCode: 0, stderr: "" });
      expect(again.stdout).toContain(`${SAMPLE_NAME}-0.log  37 B, there already`);
      await writeFile(log, "another text of 37 bytes, exactly so.");
      await rm(join(target, `${SAMPLE_NAME}.core`));
      expect(await inspect("unpack", bundle, target)).toMatchObject({ exitCode: 13 });
    });

    it("goes on where an interrupted run was", async () => {
      const target = join(place, "resumed");
      const path = join(target, `${SAMPLE_NAME}.core`);
      await mkdir(target);
      const doneBytes = 5 * 1024 * 1024;
      const sha256 = createHash("sha256").update(core).digest("hex");
      await writeFile(`${path}.partial`, core.subarray(0, 4 * 1024 * 1024));
      await writeFile(`${path}.partial.json`, JSON.stringify({ sha256, sizeBytes: core.length, doneBytes }));
      const { files } = parse(await inspect("unpack", "-o", "json", bundle, target, "--entry", "core")) as {
        files: { writtenBytes: number }[];
      };
      expect((await readFile(path)).equals(core)).toBe(true);
      // Only the text at the end was left to be written.
      expect(files[0]?.writtenBytes).toBeLessThan(20_000);
      await expect(stat(`${path}.partial.json`)).rejects.toThrow("ENOENT");
    });

    it("starts again where the half-written file is not what it says", async () => {
      const target = join(place, "lied");
      const path = join(target, `${SAMPLE_NAME}.core`);
      await mkdir(target);
      const sha256 = createHash("sha256").update(core).digest("hex");
      await writeFile(`${path}.partial`, Buffer.alloc(4 * 1024 * 1024, 1));
      await writeFile(
        `${path}.partial.json`,
        JSON.stringify({ sha256, sizeBytes: core.length, doneBytes: 4 * 1024 * 1024 }),
      );
      expect(await inspect("unpack", bundle, target, "--entry", "core")).toMatchObject({ exitCode: 16 });
      expect((await inspect("unpack", bundle, target, "--entry", "core")).exitCode).toBe(0);
      expect((await readFile(path)).equals(core)).toBe(true);
    });
  });

  describe("cat", () => {
    it("prints an entry, the core, and any part of it", async () => {
      expect((await inspect("cat", bundle, "0.log")).stdout).toBe("listening on 8080\nabout to fall over\n");
      const part = await inspect("cat", bundle, "core", "--range", `${core.length - 8000}+16`);
      expect(part.stdout).toBe("the end the end ");
      const dump = await inspect("cat", bundle, "core", "--range", "0-16", "--hex");
      expect(dump.stdout).toBe("000000000000  7f 45 4c 46 02 01 01 00  00 00 00 00 00 00 00 00  |.ELF............|\n");
    });

    it("says which entries there are", async () => {
      const missing = await inspect("cat", bundle, "nothing");
      expect(missing.exitCode).toBe(12);
      expect(missing.stderr).toMatch(
        /^cdh-inspect: no entry nothing in .*\nhint: one of core, .*0\.log, manifest\.json\n$/,
      );
      expect((await inspect("cat", bundle, "json")).stderr).toMatch(
        /: json fits 2 entries of .*\nhint: one of core, dump-info\.json, manifest\.json\n$/,
      );
    });

    it("reads memory by its address", async () => {
      const file = join(older, "ibm-v7.zip");
      const { threads } = parse(await inspect("threads", "-o", "json", file)) as {
        threads: { registers: Record<string, string> }[];
      };
      const sp = threads[0]?.registers["rsp"] ?? "";
      const dump = await inspect("cat", file, "core", "--address", `${sp}+32`, "--hex");
      expect(dump.stdout.split("\n")[0]).toMatch(new RegExp(`^${sp.slice(2)}  `));
      expect(await inspect("cat", file, "core", "--address", "0x10+16")).toMatchObject({ exitCode: 12 });
    });
  });

  it("ends on Ctrl-C without calling it a bug, and goes on later", async () => {
    const large = Buffer.alloc(512 * 1024 * 1024, 1);
    const entries = makeSampleEntries(large);
    const path = join(place, "large.zip");
    await writeFile(path, makeRawZip([entries.core, entries.manifest]));
    const target = join(place, "interrupted");
    const partial = join(target, `${SAMPLE_NAME}.core.partial`);
    const child = spawn(builtPath("cdh-inspect"), ["unpack", path, target, "--entry", "core"], {
      stdio: ["ignore", "ignore", "pipe"],
    });
    let stderr = "";
    child.stderr.on("data", (chunk: Buffer) => (stderr += chunk.toString()));
    const ended = once(child, "exit") as Promise<[number | null]>;
    // Some of it is written; hashing the rest takes a second.
    while ((await stat(partial).catch(() => undefined))?.size === undefined) await new Promise(setImmediate);
    while (((await stat(partial).catch(() => undefined))?.size ?? 1) === 0) await new Promise(setImmediate);
    child.kill("SIGINT");
    expect([(await ended)[0], stderr]).toEqual([130, "cdh-inspect: interrupted\n"]);
    const { files } = parse(await inspect("unpack", "-o", "json", path, target, "--entry", "core")) as {
      files: Record<string, unknown>[];
    };
    expect(files[0]).toMatchObject({ sizeBytes: large.length, resumedAtBytes: expect.any(Number) as number });
  });

  describe("verify", () => {
    it("ends with 0, 3 or 16", async () => {
      const good = await inspect("verify", bundle);
      expect(good.exitCode).toBe(0);
      // The name that all entries begin with is left out, as `cat` takes them.
      expect(good.stdout).toMatch(/^ok +dump-info\.json: /m);
      expect(good.stdout.split("\n").filter((line) => /^(ok|note|warning) .*1-11/.test(line))).toEqual([]);
      const cut = join(place, "cut.zip");
      const { core: facts } = JSON.parse(String(makeSampleEntries(core).manifest.data)) as Manifest;
      await writeFile(
        cut,
        makeZip({ core: { ...facts, complete: false, truncatedBy: "coreSizeMax", expectedBytes: core.length + 1 } }),
      );
      const result = await inspect("verify", cut);
      expect(result).toMatchObject({ exitCode: 3 });
      expect(result.stdout).toContain("not whole (coreSizeMax)");
      const changed = join(place, "changed.zip");
      const bytes = makeZip();
      bytes[1_000_000] = (bytes[1_000_000] ?? 0) ^ 0xff;
      await writeFile(changed, bytes);
      expect(await inspect("verify", changed)).toMatchObject({ exitCode: 16 });
    });
  });

  describe("cores by themselves", () => {
    it.each([
      ["core.1234", (bytes: Buffer) => bytes],
      ["server.core.gz", (bytes: Buffer) => gzipSync(bytes)],
      ["server.core.zst", (bytes: Buffer) => zstdCompressSync(bytes)],
      [
        "core.my\\x2dserver.1000.0123456789abcdef0123456789abcdef.4211.1795249571000000.zst",
        (bytes: Buffer) => zstdCompressSync(bytes),
      ],
    ])("reads %s", async (name, pack) => {
      const path = join(place, name);
      const source = gunzip();
      await writeFile(path, pack(await source));
      const { kind, manifest } = parse(await inspect("show", "-o", "json", path)) as {
        kind: string;
        manifest: Manifest;
      };
      expect(kind).toBe("core");
      expect(manifest.threads).toHaveLength(4);
      expect(manifest.core).toMatchObject({ sizeBytes: (await source).length, complete: true });
      if (name.includes("x2d")) {
        expect(manifest).toMatchObject({
          crashedAt: "2026-11-21T08:26:11.000Z",
          process: { pid: 4211, uid: 1000, comm: "my-server" },
        });
      }
      const whole = createHash("sha256")
        .update(await source)
        .digest("hex");
      const { files } = parse(await inspect("unpack", "-o", "json", path, join(place, "plain", name))) as {
        files: { sha256: string }[];
      };
      expect(files[0]?.sha256).toBe(whole);
    });
  });

  it("has examples and exit statuses in every help page", async () => {
    for (const verb of ["ls", "show", "threads", "modules", "logs", "cat", "unpack", "verify", "bt", "debug"]) {
      const { stdout } = await inspect(verb, "--help");
      expect(stdout, verb).toContain("EXIT STATUS");
      expect(stdout, verb).toContain("Examples");
    }
  });
});

async function gunzip(): Promise<Buffer> {
  const { gunzipSync } = await import("node:zlib");
  return gunzipSync(await readFile(join(REPOSITORY, "test/fixtures/elf/x64-threads.core.gz")));
}

function environment(): Record<string, string> {
  return Object.fromEntries(
    Object.entries(process.env).filter((pair): pair is [string, string] => pair[1] !== undefined),
  );
}
