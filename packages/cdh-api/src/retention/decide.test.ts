import { describe, expect, it } from "vitest";
import { SeededRandom } from "@cdh/core/testing/random";
import { decide, NOTHING_GONE, type Decision, type GoneFacts, type Removal } from "./decide.ts";
import { ruleFor, type RetentionOverride, type RetentionPolicy, type RetentionRule } from "./policy.ts";
import type { ManifestFacts, StoredBundle } from "./stored-bundle.ts";

const NOW = Date.UTC(2026, 10, 21, 12);
const DAY = 86_400_000;
const PLAIN: RetentionPolicy = { defaultRule: {}, namespaces: new Map(), cluster: "" };

interface Made {
  stem?: string;
  ageMs?: number;
  sizeBytes?: number;
  isKept?: boolean;
  facts?: MadeFacts;
}

type MadeFacts = Partial<ManifestFacts> | "garbage" | "none";

let made = 0;
function make({
  stem = `shop/b${(made += 1)}`,
  ageMs = 0,
  sizeBytes = 900,
  isKept = false,
  facts = {},
}: Made): StoredBundle {
  const modifiedAt = NOW - ageMs;
  const bundle = { stem, isKept, bundle: { sizeBytes, modifiedAt } };
  if (facts === "none") return bundle;
  const manifest = { sizeBytes: 100, modifiedAt };
  if (facts === "garbage") return { ...bundle, manifest, facts };
  const usual = { crashedAt: modifiedAt - 1000, namespace: "shop", cluster: "", isKept: false };
  return { ...bundle, manifest, facts: { ...usual, ...facts } };
}

const outcome = (decision: Decision): [string, string][] => decision.removals.map(({ stem, reason }) => [stem, reason]);

describe("decide", () => {
  it("removes nothing when nothing is limited", () => {
    const bundles = [make({ ageMs: 9000 * DAY }), make({ facts: "garbage" }), make({ facts: "none" })];
    expect(decide(bundles, PLAIN, NOTHING_GONE, NOW)).toEqual({
      removals: [],
      kept: { withinLimits: 1, keepLabel: 0, garbageManifest: 1, noManifest: 1, otherCluster: 0 },
      keptBytes: 2900,
    });
  });

  it("removes what is older, to the millisecond, oldest first", () => {
    const policy = { ...PLAIN, defaultRule: { maxAgeMs: DAY } };
    const bundles = [
      make({ stem: "a", ageMs: DAY }),
      make({ stem: "b", ageMs: DAY + 1 }),
      make({ stem: "c", ageMs: 3 * DAY }),
    ];
    const { removals } = decide(bundles, policy, NOTHING_GONE, NOW);
    expect(removals).toEqual([
      {
        stem: "c",
        namespace: "shop",
        reason: "age",
        why: "3d 0h old, more than 1d 0h",
        sizeBytes: 1000,
        at: NOW - 3 * DAY,
      },
      expect.objectContaining({ stem: "b", reason: "age" }),
    ]);
  });

  it("counts an age from when the bundle was stored, whatever the node's clock said", () => {
    const policy = { ...PLAIN, defaultRule: { maxAgeMs: DAY } };
    for (const crashedAt of [0, NOW - 300 * DAY, NOW + 300 * DAY, Number.NaN]) {
      expect(outcome(decide([make({ facts: { crashedAt } })], policy, NOTHING_GONE, NOW))).toEqual([]);
    }
  });

  it("keeps the newest of each namespace, by the crash", () => {
    const policy = { ...PLAIN, defaultRule: { maxCount: 2 } };
    const at = (hours: number): Partial<ManifestFacts> => ({ crashedAt: NOW - hours * 3600e3 });
    const bundles = [
      make({ stem: "s1", facts: at(1) }),
      make({ stem: "s3", facts: at(3) }),
      make({ stem: "s2", facts: at(2) }),
      make({ stem: "t9", facts: { ...at(9), namespace: "till" } }),
      // A clock that was never set says nothing about the order.
      make({ stem: "s0", facts: { crashedAt: 1000 } }),
    ];
    expect(outcome(decide(bundles, policy, NOTHING_GONE, NOW + 1))).toEqual([
      ["s3", "count"],
      ["s2", "count"],
    ]);
  });

  it("keeps bytes of the newest, and never lets an older one take the room of one that did not fit", () => {
    const policy = { ...PLAIN, defaultRule: { maxBytes: 2500 } };
    const bundles = [
      make({ stem: "new", ageMs: 1 }),
      make({ stem: "big", ageMs: 2, sizeBytes: 5000 }),
      make({ stem: "old", ageMs: 3 }),
    ];
    expect(outcome(decide(bundles, policy, NOTHING_GONE, NOW))).toEqual([
      ["old", "bytes"],
      ["big", "bytes"],
    ]);
  });

  it("keeps the newest whatever its size", () => {
    const policy = { ...PLAIN, defaultRule: { maxBytes: 10 } };
    expect(outcome(decide([make({}), make({ stem: "o", ageMs: 1 })], policy, NOTHING_GONE, NOW))).toEqual([
      ["o", "bytes"],
    ]);
  });

  it("takes the limits of a namespace, of a prefix, or the default's", () => {
    const policy: RetentionPolicy = {
      ...PLAIN,
      defaultRule: { maxAgeMs: DAY, maxCount: 5 },
      namespaces: new Map([
        ["test-*", { maxAgeMs: 1 }],
        ["test-long-*", { maxAgeMs: null }],
        ["test-long-1", { maxCount: null }],
      ]),
    };
    expect(ruleFor(policy, "shop")).toEqual({ maxAgeMs: DAY, maxCount: 5 });
    expect(ruleFor(policy, "test-1")).toEqual({ maxAgeMs: 1, maxCount: 5 });
    expect(ruleFor(policy, "test-long-2")).toEqual({ maxCount: 5 });
    expect(ruleFor(policy, "test-long-1")).toEqual({ maxAgeMs: DAY });
  });

  it("waits the grace after a namespace or a pod was seen gone", () => {
    const pod = { namespace: "shop", name: "web-1", uid: "u1" };
    const bundles = [make({ stem: "a", facts: { pod } })];
    const policy = { ...PLAIN, namespaceGoneGraceMs: DAY, podGoneGraceMs: 2 * DAY };
    const since = (namespace: number | undefined, pod_: number | undefined): GoneFacts => ({
      namespaceSince: () => namespace,
      podSince: () => pod_,
    });
    const reasons = (gone: GoneFacts): string | undefined => decide(bundles, policy, gone, NOW).removals[0]?.reason;
    expect(reasons(since(undefined, undefined))).toBeUndefined();
    expect(reasons(since(NOW - DAY + 1, undefined))).toBeUndefined();
    expect(reasons(since(NOW - DAY, undefined))).toBe("namespaceGone");
    expect(reasons(since(undefined, NOW - 2 * DAY + 1))).toBeUndefined();
    expect(reasons(since(undefined, NOW - 2 * DAY))).toBe("podGone");
    // Pods of a namespace that is gone are gone.
    const podsOnly = { ...PLAIN, podGoneGraceMs: DAY };
    expect(decide(bundles, podsOnly, since(NOW - DAY, undefined), NOW).removals[0]?.reason).toBe("podGone");
    // A clock that was set back shortens no grace.
    expect(reasons(since(NOW + DAY, NOW + DAY))).toBeUndefined();
  });

  it("never removes by a pod that is not certain", () => {
    const policy = { ...PLAIN, namespaceGoneGraceMs: 0, podGoneGraceMs: 0 };
    const gone = { namespaceSince: () => 0, podSince: () => 0 };
    expect(outcome(decide([make({ facts: {} })], policy, gone, NOW))).toEqual([]);
  });

  it("leaves a bundle without manifest alone, for ever or for the grace", () => {
    const orphan = make({ stem: "o", ageMs: 5 * DAY, facts: "none" });
    const strict = { ...PLAIN, defaultRule: { maxAgeMs: 1, maxCount: 1, maxBytes: 1 } };
    expect(outcome(decide([orphan], strict, NOTHING_GONE, NOW))).toEqual([]);
    expect(outcome(decide([orphan], { ...strict, orphanGraceMs: 5 * DAY + 1 }, NOTHING_GONE, NOW))).toEqual([]);
    expect(outcome(decide([orphan], { ...strict, orphanGraceMs: 5 * DAY }, NOTHING_GONE, NOW))).toEqual([
      ["o", "orphan"],
    ]);
    expect(
      outcome(decide([{ ...orphan, isKept: true }], { ...strict, orphanGraceMs: DAY }, NOTHING_GONE, NOW)),
    ).toEqual([]);
  });

  it("leaves bundles of other clusters alone", () => {
    const policy = { ...PLAIN, defaultRule: { maxAgeMs: 1 } };
    const other = make({ ageMs: DAY, facts: { cluster: "east" } });
    expect(outcome(decide([other], policy, NOTHING_GONE, NOW))).toEqual([]);
    expect(outcome(decide([make({ ageMs: DAY })], { ...policy, cluster: "east" }, NOTHING_GONE, NOW))).toEqual([]);
    expect(outcome(decide([other], { ...policy, cluster: "east" }, NOTHING_GONE, NOW))).toHaveLength(1);
  });
});

describe("whatever the store holds", () => {
  const random = new SeededRandom(20_261_121);
  const rule = (): RetentionRule => ({
    ...(random.integer(2) === 0 ? { maxAgeMs: 1 + random.integer(40 * DAY) } : {}),
    ...(random.integer(2) === 0 ? { maxCount: 1 + random.integer(12) } : {}),
    ...(random.integer(2) === 0 ? { maxBytes: 1 + random.integer(20_000) } : {}),
  });
  const policies = (): RetentionPolicy => ({
    defaultRule: rule(),
    namespaces: new Map<string, RetentionOverride>([
      ["n1", rule()],
      ["n*", { ...rule(), maxAgeMs: null }],
    ]),
    cluster: random.pick(["", "", "east"]),
    ...(random.integer(2) === 0 ? { namespaceGoneGraceMs: random.integer(5 * DAY) } : {}),
    ...(random.integer(2) === 0 ? { podGoneGraceMs: random.integer(5 * DAY) } : {}),
    ...(random.integer(3) === 0 ? { orphanGraceMs: DAY + random.integer(20 * DAY) } : {}),
  });
  const bundles = (): StoredBundle[] =>
    Array.from({ length: random.integer(60) }, (_, index) =>
      make({
        stem: `k${index}`,
        ageMs: random.integer(60 * DAY),
        sizeBytes: random.integer(4000),
        isKept: random.integer(8) === 0,
        facts: random.pick<() => MadeFacts>([
          () => "garbage",
          () => "none",
          ...Array.from({ length: 8 }, () => () => {
            const namespace = random.pick(["n1", "n2", "shop", "core-dump-handler-host"]);
            return {
              namespace,
              isKept: random.integer(10) === 0,
              cluster: random.pick(["", "", "", "east"]),
              crashedAt: random.pick([0, Number.NaN, NOW - random.integer(90 * DAY), NOW + DAY]),
              ...(random.integer(2) === 0 ? { pod: { namespace, name: "p", uid: `u${random.integer(9)}` } } : {}),
            };
          }),
        ])(),
      }),
    );
  const goneFacts = (): GoneFacts => {
    const at = new Map(["n1", "n2", "u1", "u2", "u3"].map((name) => [name, NOW - random.integer(9 * DAY)]));
    return { namespaceSince: (name) => at.get(name), podSince: ({ uid }) => at.get(uid) };
  };
  const groupOf = (bundle: StoredBundle): string => (typeof bundle.facts === "object" ? bundle.facts.namespace : "");
  const sizeOf = (bundle: StoredBundle): number => (bundle.bundle?.sizeBytes ?? 0) + (bundle.manifest?.sizeBytes ?? 0);

  /** Shuffle: a listing's order must not matter. */
  const shuffled = <T>(values: readonly T[]): T[] => {
    const left = [...values];
    return Array.from({ length: left.length }, () => left.splice(random.integer(left.length), 1)[0] as T);
  };

  it("keeps what it must, removes what it must, and is done after one run", () => {
    let removed = 0;
    for (let round = 0; round < 600; round += 1) {
      const store = bundles();
      const policy = policies();
      const gone = goneFacts();
      const decision = decide(store, policy, gone, NOW);
      const going = new Map<string, Removal>(decision.removals.map((removal) => [removal.stem, removal]));
      removed += going.size;
      expect(going.size).toBe(decision.removals.length);

      // The order of the listing changes nothing.
      expect(decide(shuffled(store), policy, gone, NOW)).toEqual(decision);
      // Every bundle either goes or stays.
      const keptCount = Object.values(decision.kept).reduce((sum, count) => sum + count, 0);
      expect(keptCount + going.size).toBe(store.length);
      const left = store.filter(({ stem }) => !going.has(stem));
      expect(left.reduce((sum, bundle) => sum + sizeOf(bundle), 0)).toBe(decision.keptBytes);
      // What was removed leaves nothing to be removed.
      expect(decide(left, policy, gone, NOW).removals).toEqual([]);
      // A removal that was cut short half-way is gone on with, and nothing else is added.
      const half = decision.removals.slice(0, Math.floor(going.size / 2)).map(({ stem }) => stem);
      const rest = decide(
        store.filter(({ stem }) => !half.includes(stem)),
        policy,
        gone,
        NOW,
      );
      expect(rest.removals.map(({ stem }) => stem)).toEqual(
        decision.removals.slice(half.length).map(({ stem }) => stem),
      );

      for (const bundle of store) {
        const removal = going.get(bundle.stem);
        if (removal === undefined) continue;
        expect(bundle.isKept, "a protected bundle went").toBe(false);
        expect(bundle.facts, "a bundle that cannot be judged went").not.toBe("garbage");
        if (typeof bundle.facts === "object") {
          expect(bundle.facts.isKept).toBe(false);
          expect(bundle.facts.cluster).toBe(policy.cluster);
        } else {
          expect(removal.reason).toBe("orphan");
          expect(NOW - (bundle.bundle?.modifiedAt ?? NOW)).toBeGreaterThanOrEqual(DAY);
        }
      }
      for (const namespace of new Set(left.map(groupOf))) {
        if (namespace === "") continue;
        const { maxAgeMs, maxCount, maxBytes } = ruleFor(policy, namespace);
        const judged = (bundle: StoredBundle): boolean =>
          groupOf(bundle) === namespace &&
          !bundle.isKept &&
          typeof bundle.facts === "object" &&
          !bundle.facts.isKept &&
          bundle.facts.cluster === policy.cluster;
        const stay = left.filter(judged);
        const candidates = store
          .filter(judged)
          .filter(({ stem }) => !["age", "namespaceGone", "podGone"].includes(going.get(stem)?.reason ?? ""));
        // Never more than the limits …
        if (maxCount !== undefined) expect(stay.length).toBeLessThanOrEqual(maxCount);
        const bytes = stay.reduce((sum, bundle) => sum + sizeOf(bundle), 0);
        if (maxBytes !== undefined && stay.length > 1) expect(bytes).toBeLessThanOrEqual(maxBytes);
        if (maxAgeMs !== undefined)
          for (const { bundle } of stay) expect(NOW - (bundle?.modifiedAt ?? 0)).toBeLessThanOrEqual(maxAgeMs);
        // … and never less: whoever goes for count or bytes goes because the limit was reached.
        const forCount = candidates.filter(({ stem }) => going.get(stem)?.reason === "count");
        if (forCount.length > 0) expect(stay.length).toBe(maxCount);
        const forBytes = candidates.filter(({ stem }) => going.get(stem)?.reason === "bytes");
        if (forBytes.length > 0) {
          expect(stay.length).toBeGreaterThan(0);
          expect(bytes + Math.max(...forBytes.map(sizeOf))).toBeGreaterThan(maxBytes ?? Infinity);
        }
      }
    }
    // Otherwise the rounds above would have shown nothing.
    expect(removed).toBeGreaterThan(1000);
  });

  it("judges 100,000 bundles in moments", () => {
    const many = Array.from({ length: 100_000 }, (_, index) =>
      make({ stem: `ns${index % 50}/b${index}`, ageMs: index * 1000, facts: { namespace: `ns${index % 50}` } }),
    );
    const policy = { ...PLAIN, defaultRule: { maxCount: 100 } };
    const { removals, kept } = decide(many, policy, NOTHING_GONE, NOW);
    expect(kept.withinLimits).toBe(5000);
    expect(removals).toHaveLength(95_000);
  });
});
