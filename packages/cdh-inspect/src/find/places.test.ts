import { mkdir, mkdtemp, rm, utimes, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { systemClock } from "@cdh/core/clock";
import { makeRawZip } from "@cdh/core/testing/raw-zip";
import { makeSampleEntries } from "@cdh/core/testing/sample-bundle";
import { DirectoryStore } from "../../../core/src/store/directory/store.ts";
import { findAll, findOne, type PlaceOpeners } from "./places.ts";

/** Key in the store → when it crashed, how many hours after that it was stored, and whether its manifest lies beside it. */
const STORED = {
  "prod/payments/aaaa-server": { crashedAt: "2026-11-01T10:00:00Z", hours: 0, sidecar: true },
  "prod/payments/bbbb-worker": { crashedAt: "2026-11-01T12:00:00Z", hours: 0, sidecar: false },
  // A node was cut off: its crash is old, but it was stored last.
  "prod/shop/cccc-cart": { crashedAt: "2026-11-01T09:00:00Z", hours: 24, sidecar: true },
  "prod/shop/cccc-cart-2": { crashedAt: "2026-10-01T09:00:00Z", hours: 0, sidecar: true },
  "prod-old/payments/dddd": { crashedAt: "2026-01-01T09:00:00Z", hours: 0, sidecar: true },
} as const;

describe.each(["a directory", "a store"])("bundles in %s", (kind) => {
  let root: string;
  let openers: PlaceOpeners;
  /** What a person types. */
  const at = (key: string): string => (kind === "a store" ? `s3://cores/${key}` : join(root, key));
  const keyOf = (label: string): string => label.slice(label.indexOf("/prod") + 1).replace(/\.zip$/, "");
  const one = async (key: string): Promise<string> => keyOf((await findOne(at(key), openers)).label);
  const all = async (key: string): Promise<string[]> =>
    (await findAll(at(key), openers)).map(({ label }) => keyOf(label)).toSorted();

  beforeAll(async () => {
    root = await mkdtemp(join(tmpdir(), "cdh-places-"));
    openers = {
      bucket: async () => new DirectoryStore(root, { clock: systemClock }),
      cluster: () => Promise.reject(new Error("no cluster is asked here")),
    };
    for (const [key, { crashedAt, hours, sidecar }] of Object.entries(STORED)) {
      const { dumpInfo, core, manifest } = makeSampleEntries(undefined, { crashedAt });
      await mkdir(join(root, key, ".."), { recursive: true });
      await writeFile(join(root, `${key}.zip`), makeRawZip([dumpInfo, core, manifest]));
      if (sidecar) await writeFile(join(root, `${key}.manifest.json`), manifest.data ?? "");
      const storedAt = Date.parse(crashedAt) / 1000 + 60 + hours * 3600;
      await utimes(join(root, `${key}.zip`), storedAt, storedAt);
    }
  });

  afterAll(async () => {
    await rm(root, { recursive: true, force: true });
  });

  it("are all below a place", async () => {
    expect(await all("")).toEqual(Object.keys(STORED).toSorted());
    expect(await all("prod/shop/")).toEqual(["prod/shop/cccc-cart", "prod/shop/cccc-cart-2"]);
  });

  it("leave out a place whose name only starts the same", async () => {
    expect(await all("prod")).toHaveLength(4);
  });

  it("give the newest crash, not the one that was stored last", async () => {
    expect(await one("prod")).toBe("prod/payments/bbbb-worker");
    expect(await one("prod/shop")).toBe("prod/shop/cccc-cart");
  });

  it.each([
    ["prod/payments/bbbb-worker.zip", "prod/payments/bbbb-worker"],
    ["prod/payments/bbbb", "prod/payments/bbbb-worker"],
    // Names as `ls prod` and `ls` print them, without the namespace or with it.
    ["prod/bbbb-worker.zip", "prod/payments/bbbb-worker"],
    ["prod/cccc-cart.zip", "prod/shop/cccc-cart"],
    ["prod/cccc-cart", "prod/shop/cccc-cart"],
    ["payments/bbbb-worker.zip", "prod/payments/bbbb-worker"],
    ["dddd", "prod-old/payments/dddd"],
    ["prod/aaaa", "prod/payments/aaaa-server"],
  ])("are found as %s", async (text, expected) => {
    expect(await one(text)).toBe(expected);
  });

  it("are counted back from the newest", async () => {
    expect(await one("prod/~1")).toBe("prod/payments/bbbb-worker");
    expect(await one("prod/~2")).toBe("prod/payments/aaaa-server");
    expect(await one("prod/~3")).toBe("prod/shop/cccc-cart");
    expect(await one("~5")).toBe("prod-old/payments/dddd");
    await expect(one("prod/~5")).rejects.toMatchObject({
      code: "CDH_NOT_FOUND",
      message: expect.stringContaining("there are 4") as string,
    });
    await expect(one("prod/~0")).rejects.toMatchObject({ code: "CDH_NOT_FOUND" });
  });

  it("are not guessed", async () => {
    await expect(one("prod/cccc")).rejects.toMatchObject({
      code: "CDH_NOT_FOUND",
      message: expect.stringContaining("fits 2 bundles") as string,
      hint: expect.stringContaining("cccc-cart-2.zip") as string,
    });
    expect(await all("prod/cccc")).toHaveLength(2);
    await expect(one("prod/eeee")).rejects.toMatchObject({
      code: "CDH_NOT_FOUND",
      hint: expect.stringContaining("prod") as string,
    });
    await expect(one("nowhere/at/all/dddd")).rejects.toMatchObject({ code: "CDH_NOT_FOUND" });
  });
});
