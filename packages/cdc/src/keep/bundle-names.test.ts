import { describe, expect, it } from "vitest";
import { makeCrash } from "@cdh/core/testing/fake-node";
import { coreEntryName, nameBundle, needsIdentity } from "./bundle-names.ts";

const FACTS = {
  crashId: "11112222-3333-4444-5555-666677778888",
  crash: makeCrash({
    comm: "my app",
    hostname: "node-1",
    pathname: "!usr!bin!my app",
    raw: { p: "1", P: "4242", s: "11", t: "1700000000", c: "0" },
  }),
  coreDir: "/var/cores",
  nodeName: "worker-3",
  crashedAtMs: 1_700_000_000_000,
};

describe("nameBundle", () => {
  it.each([
    [
      "{uuid}-dump-{timestamp}-{hostname}-{exe_name}-{pid}-{signal}",
      `${FACTS.crashId}-dump-1700000000-node-1-my app-1-11`,
    ],
    ["{{date}}-{node}-{uuid}", `2023-11-14-worker-3-${FACTS.crashId}`],
    ["{uuid}-{namespace}-{podname}-{container}", `${FACTS.crashId}-unknown-unknown-unknown`],
    ["{uuid}-{limit_size}-{directory}", `${FACTS.crashId}-0-_var_cores`],
    ["{uuid}-{exe_build_id}", `${FACTS.crashId}-`],
  ])("%s", (template, name) => expect(nameBundle(template, FACTS)).toEqual({ name }));

  it("takes the pod's names once they are known", () => {
    const identity = {
      place: "container",
      source: "kubelet",
      verified: true,
      pod: { name: "web-0", namespace: "shop" },
      container: { id: "c", name: "app" },
      problems: [],
    } as const;
    const facts = { ...FACTS, identity: { ...identity, problems: [] } };
    expect(nameBundle("{uuid}-{namespace}-{podname}-{container}", facts).name).toBe(`${FACTS.crashId}-shop-web-0-app`);
  });

  it("falls back to the uuid and says so", () => {
    expect(nameBundle("{nope}", FACTS)).toEqual({ name: FACTS.crashId, problem: expect.stringContaining("nope") });
  });
});

it.each([
  ["{uuid}", false],
  ["{uuid}-{namespace}", true],
  ["{{ podname }}", true],
  ["{container}", true],
  ["namespace", false],
])("needsIdentity %s", (template, needs) => expect(needsIdentity(template)).toBe(needs));

it("names the core's entry after its compression", () => {
  expect([coreEntryName("N", "zstd"), coreEntryName("N", "deflate"), coreEntryName("N", "none")]).toEqual([
    "N.core.zst",
    "N.core",
    "N.core",
  ]);
});
