import { mkdtempSync } from "node:fs";
import { rm } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { systemClock } from "@cdh/core/clock";
import { resolveSettingsStrictly } from "@cdh/core/config";
import { CdhError } from "@cdh/core/errors";
import { createLogger } from "@cdh/core/log";
import { createMetrics } from "@cdh/core/metrics";
import type { ObjectStore } from "@cdh/core/store/store";
import { keysOf } from "@cdh/core/testing/store-contract";
import { runRound } from "../../packages/cdh-api/src/retention/round.ts";
import { makeRound, retentionWork } from "../../packages/cdh-api/src/retention/service.ts";
import { retentionSettings, type RetentionSettings } from "../../packages/cdh-api/src/retention/settings.ts";
import { lead } from "../../packages/cdh-api/src/serve/lead.ts";
import { DirectoryStore } from "../../packages/core/src/store/directory/store.ts";
import { scratchDirectory } from "../helpers/scratch.ts";
import { startRetentionCluster, type RetentionCluster } from "./retention-cluster.ts";
import { fillDirectory, leftIn, type StoredSample } from "./retention-store.ts";

const DAY = 86_400_000;
const scratch = scratchDirectory("retention");
const PLACEMENT = { hostNamespace: "core-dump-handler-host", trustUnverified: false };
const newDirectory = (): string => mkdtempSync(join(scratch, "store-"));
const settingsOf = (env: Record<string, string>): RetentionSettings =>
  resolveSettingsStrictly(retentionSettings, { env: { RETENTION_RATE: "1000", ...env } }).values;

interface Line {
  msg: string;
  level: string;
  [key: string]: unknown;
}

/** Collect what is logged. */
function collector(): { lines: Line[]; log: ReturnType<typeof createLogger> } {
  const lines: Line[] = [];
  const write = (line: string): void => void lines.push(JSON.parse(line) as Line);
  return {
    lines,
    log: createLogger({ program: "cdh-api", level: "debug", format: "json", clock: systemClock, write }),
  };
}

const never = new AbortController().signal;

/** Run one round over a store. */
async function round(
  store: ObjectStore,
  env: Record<string, string>,
  options: { cluster?: RetentionCluster; dryRun?: boolean; identity?: string; signal?: AbortSignal } = {},
): Promise<{ report: Awaited<ReturnType<typeof runRound>>; lines: Line[] }> {
  const { lines, log } = collector();
  const made = makeRound(
    {
      settings: settingsOf(env),
      placement: PLACEMENT,
      store,
      clock: systemClock,
      log,
      access: options.cluster?.access,
      identity: options.identity ?? "test",
    },
    { dryRun: options.dryRun ?? false, removed: () => {}, removedFile: () => {} },
  );
  return { report: await runRound(made, options.signal ?? never), lines };
}

const shop = (name: string, ageDays: number, more: Partial<StoredSample> = {}): StoredSample => ({
  name,
  namespace: "shop",
  ageMs: ageDays * DAY,
  ...more,
});

describe("a round over a directory", () => {
  it("removes manifest and bundle of what is due, writes an audit line, and leaves no trace of its own", async () => {
    const directory = newDirectory();
    const store = await fillDirectory(directory, [
      shop("old", 40),
      shop("kept", 40, { keep: true }),
      shop("labelled", 40, {
        changes: { pod: { name: "p", namespace: "shop", labels: { "core-dump-handler.dev/keep": "true" } } },
      }),
      shop("garbage", 40, { garbage: true }),
      shop("uploading", 40, { without: "manifest" }),
      shop("lone", 40, { without: "bundle" }),
      shop("new", 1),
    ]);
    const { report, lines } = await round(store, { RETENTION_MAX_AGE: "30d" });
    expect(await leftIn(store)).toEqual([
      "shop/garbage.manifest.json",
      "shop/garbage.zip",
      "shop/kept.keep",
      "shop/kept.manifest.json",
      "shop/kept.zip",
      "shop/labelled.manifest.json",
      "shop/labelled.zip",
      "shop/new.manifest.json",
      "shop/new.zip",
      "shop/uploading.zip",
    ]);
    expect(report.removed).toBe(2);
    expect(report.decision.kept).toEqual({
      withinLimits: 1,
      keepLabel: 2,
      garbageManifest: 1,
      noManifest: 1,
      otherCluster: 0,
    });
    const audit = lines.filter(({ audit: isAudit }) => isAudit === true);
    expect(audit).toHaveLength(2);
    expect(audit[1]).toMatchObject({
      msg: "removed a bundle",
      key: "shop/old.zip",
      namespace: "shop",
      reason: "age",
      why: "40d 0h old, more than 30d 0h",
    });
    const again = await round(store, { RETENTION_MAX_AGE: "30d" });
    expect(again.report).toMatchObject({ removed: 0, decision: { removals: [] } });
    expect(await keysOf(store, "_retention/")).toEqual([]);
  });

  it("changes nothing in a dry run", async () => {
    const directory = newDirectory();
    await using cluster = await startRetentionCluster();
    const store = await fillDirectory(directory, [shop("old", 40), shop("gone", 1, { namespace: "nowhere" })]);
    const before = await leftIn(store);
    const env = { RETENTION_MAX_AGE: "30d", RETENTION_NAMESPACE_GONE_GRACE: "0" };
    const { report } = await round(store, env, { cluster, dryRun: true });
    expect(report.decision.removals.map(({ reason }) => reason)).toHaveLength(2);
    expect(await leftIn(store)).toEqual(before);
    expect(await keysOf(store, "")).toEqual(before);
  });

  it("takes its limits from the namespace under which a dump is shown", async () => {
    const directory = newDirectory();
    const restricted = { changes: { restricted: true } };
    const store = await fillDirectory(directory, [shop("a", 2), shop("b", 2, restricted)]);
    const env = { RETENTION_NAMESPACES: '{"core-dump-handler-host": {"maxAge": "1d"}}' };
    const { report } = await round(store, env);
    expect(report.decision.removals.map(({ stem }) => stem)).toEqual(["shop/b"]);
  });

  it("heeds a protection that comes while it removes", async () => {
    const directory = newDirectory();
    await fillDirectory(directory, [shop("a", 9), shop("b", 8)]);
    // When the first manifest goes, somebody protects the second.
    class Busy extends DirectoryStore {
      override async delete(key: string): Promise<void> {
        if (key === "shop/a.manifest.json") await fillDirectory(directory, [shop("b", 8, { keep: true })]);
        await super.delete(key);
      }
    }
    const store = new Busy(directory, { clock: systemClock });
    const { report } = await round(store, { RETENTION_MAX_AGE: "1d" });
    expect(report.removed).toBe(1);
    expect(await leftIn(store)).toEqual(["shop/b.keep", "shop/b.manifest.json", "shop/b.zip"]);
  });
});

describe("a removal that is cut short", () => {
  /** Dies after so many deletions of manifests and bundles. */
  class Mortal extends DirectoryStore {
    left: number;
    constructor(directory: string, left: number) {
      super(directory, { clock: systemClock });
      this.left = left;
    }
    override async delete(key: string): Promise<void> {
      if (!key.startsWith("_retention/") && (this.left -= 1) < 0) throw new CdhError("CDH_STORE", "dead");
      await super.delete(key);
    }
  }

  it.each([0, 1, 2, 3, 4, 5])(
    "after %i deletions is finished by another replica, and uploads are left alone",
    async (left) => {
      const directory = newDirectory();
      const uploading = shop("uploading", 60, { without: "manifest" });
      const store = await fillDirectory(directory, [
        shop("a", 9),
        shop("b", 8),
        shop("c", 7),
        uploading,
        shop("new", 0),
      ]);
      await expect(
        round(new Mortal(directory, left), { RETENTION_MAX_AGE: "1d" }, { identity: "first" }),
      ).rejects.toThrow("dead");
      const half = (await leftIn(store)).filter((key) => key.endsWith(".zip")).length;
      expect(half).toBe(5 - Math.floor(left / 2));
      const { report } = await round(store, { RETENTION_MAX_AGE: "1d" }, { identity: "second" });
      expect(report.unfinished).toHaveLength(left % 2);
      expect(await leftIn(store)).toEqual(["shop/new.manifest.json", "shop/new.zip", "shop/uploading.zip"]);
    },
  );

  it("never touches another bundle that came under the same name", async () => {
    const directory = newDirectory();
    const store = await fillDirectory(directory, [shop("a", 9)]);
    await expect(round(new Mortal(directory, 1), { RETENTION_MAX_AGE: "1d" })).rejects.toThrow("dead");
    await fillDirectory(directory, [shop("a", 0, { without: "manifest" })]);
    await round(store, { RETENTION_MAX_AGE: "1d" });
    expect(await leftIn(store)).toEqual(["shop/a.zip"]);
  });

  it("believes no journal that somebody else wrote about what is whole", async () => {
    const directory = newDirectory();
    const store = await fillDirectory(directory, [shop("a", 0), shop("b", 0, { without: "manifest", keep: true })]);
    const dates = new Map<string, number>();
    for await (const { key, modifiedAt } of store.list("shop/")) dates.set(key, modifiedAt);
    const removing = ["shop/a", "shop/b", "../../etc/passwd", 7].map((stem) => ({
      stem,
      modifiedAt: dates.get(`${stem}.zip`) ?? 0,
    }));
    await store.putBytes("_retention/removing-x.json", Buffer.from(JSON.stringify({ removing })));
    const before = await leftIn(store);
    expect((await round(store, { RETENTION_MAX_AGE: "1d" })).report.unfinished).toEqual([]);
    expect(await leftIn(store)).toEqual(before);
  });
});

describe("when something cannot be learnt", () => {
  it.each([
    ["list", "CDH_STORE_UNREACHABLE"],
    ["get", "CDH_STORE_UNREACHABLE"],
  ] as const)("everything stays if the store fails in the middle (%s)", async (what, code) => {
    const directory = newDirectory();
    const whole = await fillDirectory(
      directory,
      Array.from({ length: 40 }, (_, index) => shop(`old-${index}`, 40)),
    );
    class Failing extends DirectoryStore {
      calls = 0;
      override async *list(
        prefix: string,
        options = {},
      ): AsyncIterable<{ key: string; sizeBytes: number; modifiedAt: number }> {
        for await (const object of super.list(prefix, options)) {
          if (what === "list" && (this.calls += 1) > 30) throw new CdhError(code, "away");
          yield object;
        }
      }
      override async get(...args: Parameters<DirectoryStore["get"]>): ReturnType<DirectoryStore["get"]> {
        if (what === "get" && (this.calls += 1) > 20) throw new CdhError(code, "away");
        return await super.get(...args);
      }
    }
    const before = await leftIn(whole);
    const failing = new Failing(directory, { clock: systemClock });
    await expect(round(failing, { RETENTION_MAX_AGE: "1d" })).rejects.toMatchObject({ code });
    expect(await leftIn(whole)).toEqual(before);
    // A store in trouble is left alone at once.
    expect(failing.calls).toBeLessThan(45);
  });

  it.each(["refuse", "proxy404", "forbidden"] as const)(
    "everything stays if the API server fails (%s)",
    async (how) => {
      await using cluster = await startRetentionCluster();
      cluster.namespaces.add("shop");
      const directory = newDirectory();
      const store = await fillDirectory(directory, [shop("old", 40), shop("x", 1, { namespace: "nowhere" })]);
      const before = await leftIn(store);
      const env = { RETENTION_MAX_AGE: "30d", RETENTION_NAMESPACE_GONE_GRACE: "0", RETENTION_POD_GONE_GRACE: "0" };
      for (const path of [/namespaces\/nowhere/, /pods\//]) {
        cluster.fault = { path, how };
        await expect(round(store, env, { cluster })).rejects.toMatchObject({ code: "CDH_ENVIRONMENT" });
        expect(await leftIn(store)).toEqual(before);
      }
    },
  );

  it("everything stays if the clock here is not the store's", async () => {
    const directory = newDirectory();
    const store = await fillDirectory(directory, [shop("a", 1)]);
    const { log } = collector();
    const clock = { ...systemClock, now: () => systemClock.now() + 400 * DAY };
    const settings = settingsOf({ RETENTION_MAX_AGE: "30d" });
    const made = makeRound(
      { settings, placement: PLACEMENT, store, clock, log, access: undefined, identity: "late" },
      { dryRun: false, removed: () => {}, removedFile: () => {} },
    );
    await expect(runRound(made, never)).rejects.toMatchObject({ code: "CDH_ENVIRONMENT" });
    expect(await leftIn(store)).toEqual(["shop/a.manifest.json", "shop/a.zip"]);
  });
});

describe("what is gone from the cluster", () => {
  it("goes after the grace, which survives a restart, and only when it is gone for certain", async () => {
    await using cluster = await startRetentionCluster();
    cluster.namespaces.add("shop");
    cluster.pods.set("shop/alive", { uid: "u-alive" });
    cluster.pods.set("shop/again", { uid: "u-another" });
    cluster.pods.set("shop/static", { uid: "u-mirror", annotations: { "kubernetes.io/config.mirror": "u-static" } });
    const directory = newDirectory();
    const store = await fillDirectory(directory, [
      shop("alive", 1, { pod: "alive", uid: "u-alive" }),
      shop("again", 1, { pod: "again", uid: "u-again" }),
      shop("static", 1, { pod: "static", uid: "u-static" }),
      shop("guessed", 1, {
        pod: "guess",
        uid: "u-guess",
        changes: { identity: { source: "hostname", verified: false } },
      }),
      shop("away", 1, { namespace: "nowhere" }),
      shop("east", 1, { namespace: "elsewhere", changes: { node: { clusterName: "east" } } }),
    ]);
    const env = { RETENTION_NAMESPACE_GONE_GRACE: "1h", RETENTION_POD_GONE_GRACE: "2h" };
    expect((await round(store, env, { cluster })).report.decision.removals).toEqual([]);
    expect(cluster.requests).not.toContain("GET /api/v1/namespaces/elsewhere");
    expect(cluster.requests.filter((line) => line.includes("/pods/")).sort()).toEqual([
      "GET /api/v1/namespaces/shop/pods/again",
      "GET /api/v1/namespaces/shop/pods/alive",
      "GET /api/v1/namespaces/shop/pods/static",
    ]);
    // Everything starts anew an hour later; what was seen lies in the store.
    const later = { ...systemClock, now: () => systemClock.now() + 3600e3 };
    const { log } = collector();
    const lateRound = (clock: typeof systemClock): ReturnType<typeof makeRound> =>
      makeRound(
        { settings: settingsOf(env), placement: PLACEMENT, store, clock, log, access: cluster.access, identity: "x" },
        { dryRun: true, removed: () => {}, removedFile: () => {} },
      );
    const reasons = async (clock: typeof systemClock): Promise<string[][]> =>
      (await runRound(lateRound(clock), never)).decision.removals.map(({ stem, reason }) => [stem, reason]);
    expect(await reasons(later)).toEqual([["nowhere/away", "namespaceGone"]]);
    // A namespace that came back is forgotten, a pod cannot come back.
    cluster.namespaces.add("nowhere");
    cluster.pods.set("nowhere/web-1", { uid: "11111111-2222-3333-4444-555555555555" });
    expect(await reasons({ ...systemClock, now: () => systemClock.now() + 3 * 3600e3 })).toEqual([
      ["shop/again", "podGone"],
    ]);
  });
});

describe("of two replicas", () => {
  interface Replica {
    lines: Line[];
    metrics: string;
    leads: boolean;
    stop(): Promise<void>;
  }

  function startReplica(
    identity: string,
    cluster: RetentionCluster,
    store: ObjectStore,
    env: Record<string, string>,
  ): Replica {
    const { lines, log } = collector();
    const metrics = createMetrics();
    const stop = new AbortController();
    const common = {
      settings: settingsOf({ RETENTION: "true", RETENTION_INTERVAL: "1s", LEASE_DURATION: "3s", ...env }),
      clock: systemClock,
      log,
      access: cluster.access,
      identity,
    };
    const running = (async () => {
      const work = retentionWork({ ...common, placement: PLACEMENT, store, metrics });
      await lead({ ...common, works: [work], stopSignal: stop.signal });
    })();
    return {
      lines,
      get metrics() {
        return metrics.render();
      },
      get leads() {
        return metrics.render().includes("\ncdh_retention_leader 1\n");
      },
      stop: async () => {
        stop.abort(new Error("stopped"));
        await running;
      },
    };
  }

  it("one removes; the other takes over when it stops, and at once", async () => {
    await using cluster = await startRetentionCluster();
    const directory = newDirectory();
    const store = await fillDirectory(directory, [shop("old", 40), shop("new", 1)]);
    // Long enough for a busy machine to renew it in time.
    const env = { RETENTION_MAX_AGE: "30d", LEASE_DURATION: "15s" };
    const replicas = ["a", "b"].map((name) => startReplica(name, cluster, store, env));
    await expect.poll(() => leftIn(store), { timeout: 20_000 }).toEqual(["shop/new.manifest.json", "shop/new.zip"]);
    const [leader, other] = replicas[0]?.leads === true ? replicas : replicas.toReversed();
    expect(leader?.leads).toBe(true);
    expect(other?.leads).toBe(false);
    await expect
      .poll(() => leader?.metrics, { timeout: 20_000 })
      .toContain('cdh_retention_kept_bundles{reason="withinLimits"} 1');
    expect(leader?.metrics).toContain('cdh_retention_removed_total{reason="age"} 1');
    expect(other?.metrics).toContain("cdh_retention_removed_total 0");
    await leader?.stop();
    // It gave the Lease back: nobody has to wait until it runs out.
    expect(cluster.leases.get("core-dump-handler-retention")?.spec.holderIdentity).not.toBe(
      leader === replicas[0] ? "a" : "b",
    );
    await expect.poll(() => other?.leads, { timeout: 30_000 }).toBe(true);
    expect(cluster.leases.get("core-dump-handler-retention")?.spec.leaseTransitions).toBeGreaterThan(0);
    await other?.stop();
  });

  it.each(["hang", "refuse"] as const)(
    "one that cannot renew its Lease (%s) stops in the middle, and only then the other begins",
    async (how) => {
      await using cluster = await startRetentionCluster();
      const directory = newDirectory();
      const samples = Array.from({ length: 400 }, (_, index) => shop(`old-${index}`, 40));
      await fillDirectory(directory, samples);
      /** Who removed when; leaders are told apart by their stores. */
      const removals: { who: string; at: number; key: string }[] = [];
      class Noted extends DirectoryStore {
        readonly who: string;
        constructor(who: string) {
          super(directory, { clock: systemClock });
          this.who = who;
        }
        override async delete(key: string): Promise<void> {
          if (key.endsWith(".manifest.json")) removals.push({ who: this.who, at: systemClock.monotonic(), key });
          await super.delete(key);
        }
      }
      const env = { RETENTION_MAX_AGE: "30d", RETENTION_RATE: "25" };
      const first = startReplica("first", cluster, new Noted("first"), env);
      await expect.poll(() => removals.length, { timeout: 20_000 }).toBeGreaterThan(3);
      const second = startReplica("second", cluster, new Noted("second"), env);
      // From now on the first one's requests lead nowhere, and those without a name are let through.
      cluster.fault = { path: /leases/, how, except: (holder) => holder !== "first" };
      await expect.poll(() => removals.some(({ who }) => who === "second"), { timeout: 30_000 }).toBe(true);
      const lastOfFirst = removals.findLast(({ who }) => who === "first")?.at ?? 0;
      const firstOfSecond = removals.find(({ who }) => who === "second")?.at ?? 0;
      expect(lastOfFirst).toBeLessThan(firstOfSecond);
      expect(first.leads).toBe(false);
      expect(first.lines.map(({ msg }) => msg)).toContain("lost the lease");
      expect(new Set(removals.map(({ key }) => key)).size).toBe(removals.length);
      cluster.fault = undefined;
      await Promise.all([first.stop(), second.stop()]);
    },
  );

  it("none begins when it has nothing to go by", async () => {
    await using cluster = await startRetentionCluster();
    const store = await fillDirectory(newDirectory(), []);
    expect(() => settingsOf({ RETENTION_ORPHAN_GRACE: "1h" })).toThrow("at least 1d");
    expect(() => settingsOf({ RETENTION_MAX_AGE: "0" })).toThrow("more than 0");
    expect(() =>
      settingsOf({ RETENTION_NAMESPACES: '{"shop": {"maxAgee": "1d", "maxCount": 0}, "_host": {}, "a": 1}' }),
    ).toThrow(/shop.maxAgee is none of.*shop.maxCount 0.*"_host" is no namespace.*a has no object/);
    await expect(startReplica("a", cluster, store, {}).stop()).rejects.toThrow("no setting says what may be removed");
    expect(cluster.leases.size).toBe(0);
  });
});

describe("a large store", () => {
  it("is looked at once, and then only listed", async () => {
    const directory = newDirectory();
    const samples = Array.from({ length: 3000 }, (_, index) => ({
      name: `b${index}`,
      namespace: `ns-${index % 30}`,
      ageMs: index * 1000,
      bytes: 10,
    }));
    await fillDirectory(directory, samples);
    class Counting extends DirectoryStore {
      reads = 0;
      override async get(...args: Parameters<DirectoryStore["get"]>): ReturnType<DirectoryStore["get"]> {
        this.reads += 1;
        return await super.get(...args);
      }
    }
    const store = new Counting(directory, { clock: systemClock });
    const { log } = collector();
    const made = makeRound(
      {
        settings: settingsOf({ RETENTION_MAX_COUNT: "90", RETENTION_RATE: "10000" }),
        placement: PLACEMENT,
        store,
        clock: systemClock,
        log,
        access: undefined,
        identity: "x",
      },
      { dryRun: false, removed: () => {}, removedFile: () => {} },
    );
    expect(await runRound(made, never)).toMatchObject({ removed: 300, decision: { kept: { withinLimits: 2700 } } });
    const reads = store.reads;
    expect(reads).toBe(3000);
    expect(await runRound(made, never)).toMatchObject({ removed: 0 });
    expect(store.reads).toBe(reads);
    await rm(directory, { recursive: true });
  });
});
