import { expect, it } from "vitest";
import type { Manifest } from "@cdh/core/bundle/manifest";
import { makeManifest, makeTinyCore } from "@cdh/core/testing/sample-bundle";
import { isMadeName, nameOfStem, namespaceOf, tryNameOf, uidOf } from "./placement.ts";

const rules = { hostNamespace: "hosts", trustUnverified: false };
const manifest = (changes: Partial<Manifest>): Manifest =>
  makeManifest(makeTinyCore(64), 40, { identity: { source: "oci-config", verified: true }, ...changes });

it.each<[string, Partial<Manifest>, string, string]>([
  ["proven", {}, "payments", "payments"],
  ["a guess by host name", { identity: { source: "hostname", verified: false } }, "hosts", "payments"],
  ["nothing said about it", { identity: undefined as never }, "hosts", "payments"],
  ["no pod", { pod: undefined as never }, "hosts", "hosts"],
  ["no namespace's name", { pod: { namespace: "../payments" } }, "hosts", "hosts"],
  ["restricted", { restricted: true }, "hosts", "hosts"],
  ["dump mode 2", { process: { dumpMode: 2 } }, "hosts", "hosts"],
])("%s", (_what, changes, strict, trusting) => {
  expect(namespaceOf(manifest(changes), rules)).toBe(strict);
  expect(namespaceOf(manifest(changes), { ...rules, trustUnverified: true })).toBe(trusting);
});

it("names and uids are fit for Kubernetes and the same each time", () => {
  expect(tryNameOf(manifest({ crashId: "11112222-3333-4444-5555-666677778888" }))).toBe(
    "11112222-3333-4444-5555-666677778888",
  );
  for (const crashId of ["", "UPPER", "a/b", "..", "a".repeat(64), "-a"]) {
    expect(tryNameOf(manifest({ crashId }))).toBeUndefined();
  }
  expect(isMadeName(nameOfStem("shop/a"))).toBe(true);
  expect(nameOfStem("shop/a")).toBe(nameOfStem("shop/a"));
  expect(uidOf("shop/a", "shop")).toMatch(/^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-8[0-9a-f]{3}-[0-9a-f]{12}$/);
  expect(uidOf("shop/a", "shop")).not.toBe(uidOf("shop/a", "other"));
});
