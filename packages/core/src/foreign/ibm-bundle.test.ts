import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import type { Manifest } from "../bundle/manifest.ts";
import { bytesSource } from "../bundle/reader-source.ts";
import { openBundle } from "../bundle/reader.ts";
import { makeRawZip, type RawZipEntry } from "../testing/raw-zip.ts";
import { describeIbmBundle } from "./ibm-bundle.ts";
import { repairJsonTexts } from "./repair-json.ts";

const OLDER = join(import.meta.dirname, "../../../../test/fixtures/bundles/older");
const POD = { name: "checkout-7d9f", namespace: "payments", uid: "0f0e0d0c-1111-2222-3333-444455556666" };

async function describeBytes(bytes: Buffer, name = "N"): Promise<Manifest> {
  const bundle = await openBundle(bytesSource("test.zip", bytes));
  try {
    return await describeIbmBundle(bundle, bundle.name ?? name);
  } finally {
    await bundle.close();
  }
}

const fixture = (name: string): Promise<Manifest> => describeBytes(readFileSync(join(OLDER, `${name}.zip`)));

function entry(name: string, content: object | string, more: Partial<RawZipEntry> = {}): RawZipEntry {
  const text = typeof content === "string" ? content : JSON.stringify(content);
  return { name, data: Buffer.from(text), method: 8, ...more };
}

describe("bundles of IBM's handler", () => {
  it.each(["ibm-v6", "ibm-v7", "ibm-v9-stored"])("tells pod, labels and the only container of %s", async (name) => {
    const manifest = await fixture(name);
    expect(manifest).toMatchObject({
      crashedAt: "2024-10-27T03:33:20.000Z",
      node: { nodeName: "worker-3" },
      process: { comm: "threads", pidInNamespace: 1, hostname: "checkout-7d9f" },
      signal: { number: 11, name: "SIGSEGV" },
      container: {
        name: "app",
        id: "c0".repeat(32),
        restartCount: 3,
        imageRef: expect.stringMatching(/^registry\.example/),
      },
      pod: { ...POD, labels: { app: "checkout", "info.coredump/team": "payments" } },
      // The host name chose the pod, and any process may set that.
      identity: { source: "hostname", verified: false },
      core: { compression: name === "ibm-v9-stored" ? "none" : "deflate", complete: false },
      problems: [],
    });
    if (name !== "ibm-v6") expect(manifest.process.exe).toBe("/usr/bin/threads");
  });

  it("names no container where there are two", async () => {
    const manifest = await fixture("ibm-v8");
    expect(manifest.pod?.name).toBe("checkout-7d9f");
    expect(manifest.container).toBeUndefined();
  });

  it.each(["ibm-v9-ignore-crio", "ibm-v9-unknown-pod"])(
    "names no pod in %s, and no node that is unknown",
    async (name) => {
      const manifest = await fixture(name);
      expect(manifest).not.toHaveProperty("pod");
      expect(manifest).not.toHaveProperty("identity");
      expect(manifest.node).toEqual({});
      expect(manifest.process.comm).toBe("threads");
    },
  );

  it("knows time, program and signal of dump info that quotes have broken", async () => {
    expect(await fixture("ibm-v9-invalid-json")).toMatchObject({
      crashId: "55555555-aaaa-4bbb-8ccc-dddddddddddd",
      crashedAt: "2024-10-27T03:33:20.000Z",
      process: { comm: 'we"ird\\, "x', exe: '/usr/bin/we"ird\\, "signal": ' },
      signal: { number: 11, name: "SIGSEGV" },
      problems: [{ step: "dump-info", code: "CDH_BUNDLE_JSON" }],
    });
  });

  it("takes the pod from inspectp where its item in a list is missing, and the id from the name", async () => {
    const id = "11111111-2222-4333-8444-555555555555";
    const name = `${id}-dump-1-host-app-1-11`;
    const status = { id: "5a".repeat(32), metadata: { name: "web", namespace: "shop" }, state: "SANDBOX_READY" };
    const manifest = await describeBytes(
      makeRawZip([
        entry(`${name}-dump-info.json`, {
          path: "!bin!app (deleted)",
          exe: "unknown",
          signal: "0",
          restricted: "true",
        }),
        entry(`${name}.core`, "core"),
        entry(`${name}-runtime-info.json`, { status, info: {} }),
      ]),
    );
    expect(manifest).toMatchObject({
      crashId: id,
      crashedAt: "",
      process: { exe: "/bin/app" },
      signal: { number: 0, name: "" },
      restricted: true,
      pod: { name: "web", namespace: "shop", sandboxId: "5a".repeat(32) },
    });
    expect(manifest.process.comm).toBeUndefined();
    expect(manifest.pod).not.toHaveProperty("state");
  });

  it("goes on without an entry that is damaged, and says so", async () => {
    const manifest = await describeBytes(
      makeRawZip([
        entry("N-dump-info.json", { exe: "app" }, { crc32: 1 }),
        entry("N.core", "core"),
        entry("N-ps-info.json", "["),
      ]),
    );
    expect(manifest).toMatchObject({
      crashId: "N",
      problems: [
        { step: "dump-info", code: "CDH_BUNDLE_CRC" },
        { step: "ps-info", code: "CDH_BUNDLE_JSON" },
      ],
    });
  });

  it("refuses a zip that holds neither a core nor dump info", async () => {
    await expect(describeBytes(makeRawZip([entry("holiday.jpg", "x")]))).rejects.toMatchObject({
      code: "CDH_BUNDLE_NO_CORE",
    });
  });
});

describe("repairJsonTexts", () => {
  it("takes each value up to the next key", () => {
    const text = '{"uuid": "u-1","exe": "a"b\\",c","signal": "11","path": "!bin!a"b"}';
    expect(repairJsonTexts(text)).toEqual({ uuid: "u-1", exe: 'a"b\\",c', signal: "11", path: '!bin!a"b' });
    expect(repairJsonTexts("not json at all")).toEqual({});
  });
});
