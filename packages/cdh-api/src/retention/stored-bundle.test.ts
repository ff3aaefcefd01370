import { describe, expect, it } from "vitest";
import type { Manifest } from "@cdh/core/bundle/manifest";
import { makeManifest } from "@cdh/core/testing/sample-bundle";
import { isKeptByPod, namespaceOf } from "../index/placement.ts";
import { recordOf } from "../index/record-of.ts";
import { RecordPool } from "../index/record-pool.ts";
import { headOf } from "../manifests/head.ts";
import { factsOf, factsOfRecord, tryParseKey } from "./stored-bundle.ts";

const RULES = { hostNamespace: "the-host", trustUnverified: false };
const verified = { source: "oci-config", verified: true } as const;
const pod = { name: "web-1", namespace: "shop", uid: "11111111-2222-3333-4444-555555555555" };

const CASES: [what: string, changes: Partial<Manifest>, facts: object][] = [
  ["a proven pod", { pod, identity: verified }, { namespace: "shop", cluster: "", isKept: false, pod }],
  ["a guessed pod", { pod, identity: { source: "hostname", verified: false } }, { namespace: "the-host" }],
  ["an older composer's", { pod }, { namespace: "the-host" }],
  ["a restricted one", { pod, identity: verified, restricted: true }, { namespace: "the-host", pod }],
  [
    "a pod that asks for it",
    { pod: { ...pod, labels: { "core-dump-handler.dev/keep": "" } }, identity: verified },
    { isKept: true },
  ],
  [
    "a pod that says no",
    { pod: { ...pod, labels: { "core-dump-handler.dev/keep": "false" } }, identity: verified },
    { isKept: false },
  ],
  ["a cluster", { pod, identity: verified, node: { clusterName: "east" } }, { cluster: "east" }],
  [
    "a namespace out of its place",
    { pod: { ...pod, namespace: "../kube-system" }, identity: verified },
    { namespace: "the-host" },
  ],
  ["a name out of its place", { pod: { ...pod, name: "../../secrets/x" }, identity: verified }, { namespace: "shop" }],
];

describe("what retention takes from a manifest", () => {
  it.each(CASES)("%s: the same whoever read it", (_, changes, facts) => {
    const manifest = headOf(makeManifest(Buffer.alloc(16), 16, changes), "a");
    const found = factsOf(manifest, RULES);
    expect(found).toMatchObject(facts);
    if (!("pod" in facts) && !("isKept" in facts) && !("cluster" in facts)) expect(found.pod).toBeUndefined();
    const store = { stem: "a", manifestStamp: "1", bundleBytes: 1, storedAt: 1, keep: false };
    const place = { name: "a", namespace: namespaceOf(manifest, RULES), revision: 1, keepByPod: isKeptByPod(manifest) };
    expect(factsOfRecord(recordOf(manifest, store, place, new RecordPool()))).toEqual(found);
  });
});

describe("tryParseKey", () => {
  it.each([
    ["shop/a.zip", { stem: "shop/a", role: "bundle" }],
    ["shop/a.manifest.json", { stem: "shop/a", role: "manifest" }],
    ["shop/a.keep", { stem: "shop/a", role: "keep" }],
    ["_retention/gone.json", undefined],
    [".zip", undefined],
    ["notes.txt", undefined],
  ])("%s", (key, parsed) => {
    expect(tryParseKey(key)).toEqual(parsed);
  });
});
