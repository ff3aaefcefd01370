import { describe, expect, it } from "vitest";
import { crashesOfGroup, GROUP_ID, groupCrashes, type CrashFacts, type CrashGroup } from "./crash-groups.ts";

const crash = (number: number, more: Partial<CrashFacts> = {}): CrashFacts => ({
  bundle: `${number}.zip`,
  crashedAt: `2026-11-${String(number).padStart(2, "0")}T00:00:00Z`,
  signal: "SIGSEGV",
  exe: "/opt/shop",
  complete: true,
  ...more,
});

const groupsOf = (crashes: readonly CrashFacts[]): CrashGroup[] => groupCrashes(crashes, crashes);

describe("groups", () => {
  it("tell count, times, images from the first one on, nodes, and the newest whole core", () => {
    const signature = "pay | main @ shop";
    const groups = groupsOf([
      crash(3, { signature, image: "shop:2", node: "b", namespace: "eu", complete: false }),
      crash(1, { signature, message: "no room", image: "shop:1", node: "a", namespace: "eu", workload: "shop" }),
      crash(2, { signature, image: "shop:2", node: "a", namespace: "eu", workload: "pay" }),
      crash(4, { signature: "other @ shop" }),
    ]);
    expect(groups).toHaveLength(2);
    expect(groups[1]).toEqual({
      id: expect.stringMatching(GROUP_ID) as string,
      key: "signature",
      namespace: "eu",
      signature,
      message: "no room",
      count: 3,
      firstSeen: "2026-11-01T00:00:00Z",
      lastSeen: "2026-11-03T00:00:00Z",
      signals: ["SIGSEGV"],
      executables: ["/opt/shop"],
      workloads: ["eu/shop", "eu/pay"],
      images: ["shop:1", "shop:2"],
      nodes: ["a", "b"],
      wholeCores: 2,
      countedOnly: 0,
      newest: "3.zip",
      newestWhole: "2.zip",
    });
  });

  it("count those that a limit left out, with those of their place that have a stack", () => {
    const [signature, place] = ["pay @ shop", "0123456789abcdef0123456789abcdef"];
    const report = crash(2, { signature, place, complete: false, truncatedBy: "keptEnough" });
    const counted = crash(3, { place, count: 40, firstAt: "2026-10-31T00:00:00Z", complete: false });
    const groups = groupsOf([crash(1, { signature, place }), report, counted]);
    expect(groups).toMatchObject([{ signature, count: 42, countedOnly: 41, firstSeen: "2026-10-31T00:00:00Z" }]);
  });

  it("take the site where there are no names, and nothing but program and signal without a stack", () => {
    const groups = groupsOf([crash(1, { site: "aa" }), crash(2, { site: "bb" }), crash(3), crash(4)]);
    expect(groups.map(({ key, count }) => [key, count])).toEqual([
      ["none", 2],
      ["site", 1],
      ["site", 1],
    ]);
  });

  it("have a crash without names with those of its site, unless these disagree", () => {
    const named = crash(1, { site: "aa", signature: "pay @ shop" });
    expect(groupsOf([named, crash(2, { site: "aa" })])).toHaveLength(1);
    expect(
      groupsOf([named, crash(2, { site: "aa" }), crash(3, { site: "aa", signature: "sell @ shop" })]),
    ).toHaveLength(3);
  });

  it("have ids that depend on the key alone, and find their crashes", () => {
    const one = [crash(1, { signature: "pay @ shop" }), crash(2, { site: "aa" })];
    const other = [crash(7, { signature: "pay @ shop", exe: "/x" })];
    const [first] = groupsOf(other);
    expect(groupsOf(one).map(({ id }) => id)).toContain(first?.id);
    expect(crashesOfGroup(one, first?.id ?? "", one).map(({ bundle }) => bundle)).toEqual(["1.zip"]);
  });

  it("are of one namespace each, whatever programs and functions call themselves", () => {
    const signature = "main.main @ app";
    const crashes = [
      crash(1, { namespace: "bank", site: "aa", signature }),
      crash(2, { namespace: "evil", site: "aa", signature }),
      crash(3, { site: "aa", signature }),
      crash(4, { namespace: "evil", site: "bb", signature: "other @ app" }),
      crash(5, { namespace: "bank", site: "bb" }),
      crash(6, { namespace: "bank" }),
      crash(7, { namespace: "evil" }),
    ];
    const groups = groupsOf(crashes);
    expect(groups.map(({ count, namespace }) => [count, namespace])).toEqual([
      [1, "evil"],
      [1, "bank"],
      [1, "bank"],
      [1, "evil"],
      [1, undefined],
      [1, "evil"],
      [1, "bank"],
    ]);
    expect(new Set(groups.map(({ id }) => id)).size).toBe(7);
  });

  it("have the same id whatever is wanted of a place", () => {
    const all = [crash(1, { site: "aa", signature: "pay @ shop", node: "a" }), crash(2, { site: "aa", node: "b" })];
    const wanted = all.filter(({ node }) => node === "b");
    const [group] = groupCrashes(wanted, all);
    expect(group).toMatchObject({ id: groupsOf(all)[0]?.id, signature: "pay @ shop", count: 1 });
    expect(crashesOfGroup(wanted, group?.id ?? "", all)).toEqual(wanted);
  });

  it("have no time where no crash has one, and are none where there are none", () => {
    const { crashedAt: _, ...timeless } = crash(1);
    expect(groupsOf([timeless])[0]).not.toHaveProperty("firstSeen");
    expect(groupsOf([])).toEqual([]);
  });
});
