import { copyFile, mkdir, utimes, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { zstdCompressSync } from "node:zlib";
import { afterEach, expect, it } from "vitest";
import { smallCore } from "../composer/drive.ts";
import { notBuilt, runBuilt } from "../helpers/built.ts";
import { REPOSITORY } from "../helpers/repository.ts";
import { describeUnless } from "../helpers/skip.ts";
import { makeWorkbench, type Workbench } from "./workbench.ts";

const OLDER = join(REPOSITORY, "test/fixtures/bundles/older");
const BOOT_ID = "0123456789abcdef0123456789abcdef";
const open: Workbench[] = [];

afterEach(async () => {
  for (const each of open.splice(0)) await each[Symbol.asyncDispose]();
});

/** What `ls` knows of the only crash in a place; sizes and names are the place's own. */
async function listed(where: string): Promise<Record<string, unknown>> {
  const result = await runBuilt("cdh-inspect", ["ls", "-o", "jsonl", where]);
  expect(result.exitCode, result.stderr).toBe(0);
  const lines = result.stdout.trimEnd().split("\n");
  expect(lines).toHaveLength(1);
  const {
    bundle: _bundle,
    bundleBytes: _bundleBytes,
    ...facts
  } = JSON.parse(lines[0] ?? "") as Record<string, unknown>;
  return facts;
}

async function bench(): Promise<Workbench & { store: string }> {
  const work = await makeWorkbench({});
  open.push(work);
  const store = join(work.directory, "store");
  work.env["STORE_URL"] = `file://${store}`;
  return { ...work, store };
}

async function place(path: string, body: Uint8Array): Promise<void> {
  await writeFile(path, body);
  const then = (Date.now() - 60_000) / 1000;
  await utimes(path, then, then);
}

describeUnless(
  notBuilt("cdh-upload") ?? notBuilt("cdh-inspect"),
  "what others wrote says the same before the upload and after it",
  () => {
    it.each([
      ["ibm-v6", { signal: "SIGSEGV", namespace: "payments", container: "app", node: "worker-3" }],
      ["ibm-v7", { exe: "/usr/bin/threads", pod: "checkout-7d9f", container: "app" }],
      ["ibm-v8", { exe: "/usr/bin/threads", pod: "checkout-7d9f" }],
      ["ibm-v9-stored", { exe: "/usr/bin/threads", container: "app" }],
      ["ibm-v9-ignore-crio", { exe: "/usr/bin/threads", signal: "SIGSEGV" }],
      ["ibm-v9-unknown-pod", { exe: "/usr/bin/threads", signal: "SIGSEGV" }],
      [
        "ibm-v9-invalid-json",
        { exe: '/usr/bin/we"ird\\, "signal": ', signal: "SIGSEGV", crashedAt: "2024-10-27T03:33:20.000Z" },
      ],
    ])("a bundle of IBM's handler, %s", async (name, wanted) => {
      const work = await bench();
      await copyFile(join(OLDER, `${name}.zip`), join(work.coreDir, `${name}.zip`));
      const before = await listed(work.coreDir);
      expect(before).toMatchObject(wanted);
      const result = await work.sweep();
      expect(result.exitCode, result.stderr).toBe(0);
      // From the manifest that the uploader put beside it.
      expect(await listed(work.store)).toEqual(before);
    });

    it.each([
      ["core.web-7d9f.my.app.4242.11.1764000000.cdh", { exe: "my.app", crashedAt: "2025-11-24T16:00:00.000Z" }],
      ["core-sleeper-1764000000-4711-6", { exe: "sleeper", signal: "SIGABRT" }],
      [
        `core.caf\\xc3\\xa9.1000.${BOOT_ID}.815.1764000000123456.zst`,
        { exe: "café", crashedAt: "2025-11-24T16:00:00.123Z" },
      ],
    ])("a core by itself, %s", async (name, wanted) => {
      const work = await bench();
      const systemd = join(work.directory, "systemd");
      await mkdir(systemd);
      const core = smallCore(Buffer.alloc(100_000, "memory of a process"));
      const isSystemds = name.endsWith(".zst");
      const directory = isSystemds ? systemd : work.coreDir;
      await place(join(directory, name), isSystemds ? zstdCompressSync(core) : core);
      const { coreBytes: _coreBytes, ...before } = await listed(directory);
      expect(before).toMatchObject(wanted);
      const result = await work.sweep([], { SYSTEMD_COREDUMP_DIR: systemd });
      expect(result.exitCode, result.stderr).toBe(0);
      const { coreBytes, crashId, ...after } = await listed(work.store);
      // Whether it is whole is known once somebody has decompressed it.
      expect(after).toEqual({ ...before, complete: true });
      expect(coreBytes).toBe(core.length);
      expect(crashId).toEqual(expect.any(String));
    });
  },
);
