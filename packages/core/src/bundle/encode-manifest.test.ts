import { describe, expect, it } from "vitest";
import { JSON_ELEMENT_BYTES } from "../base/json.ts";
import { encodeManifest } from "./encode-manifest.ts";
import { WRITE_LIMITS } from "./limits.ts";
import type { Manifest, ModuleFacts, ThreadFacts } from "./manifest.ts";
import { parseManifest } from "./reader-manifest.ts";

const SMALL: Manifest = {
  schemaVersion: 1,
  crashId: "11112222-3333-4444-5555-666677778888",
  bundle: "N.zip",
  crashedAt: "2026-11-29T00:00:00Z",
  composer: { version: "1", durationMs: 3 },
  node: { nodeName: "node-1" },
  process: { pid: 7, cmdline: ["/bin/a", "-x", ""], comm: "a" },
  signal: { number: 11, name: "SIGSEGV" },
  core: { entry: "N.core.zst", compression: "zstd", sizeBytes: 1, storedBytes: 2, complete: true },
  pod: { name: "p", namespace: "n", labels: { app: "a" }, owner: { kind: "Deployment", name: "d" } },
  identity: { source: "oci-config", verified: true },
  threads: [{ tid: 1, crashed: true, registers: { pc: "0x1", sp: "0x2" } }],
  modules: [{ path: "/bin/a", start: "0x1", end: "0x2", buildId: "ab", package: { type: "deb" } }],
  problems: [{ step: "x", code: "CDH_CUT" }],
};

const many = <T>(count: number, make: (index: number) => T): T[] => Array.from({ length: count }, (_, at) => make(at));
const thread = (tid: number): ThreadFacts => ({
  tid,
  registers: { pc: "0x7fffffffffffffff", sp: "0x7fffffffffffffff" },
});
const module = (at: number, path = `/usr/lib/x86_64-linux-gnu/lib${at}.so.6`): ModuleFacts => ({
  path,
  start: "0x7fffffffffffffff",
  end: "0x7fffffffffffffff",
  buildId: "0".repeat(40),
  package: { type: "deb", os: "debian", name: "glibc", version: "2.36-9+deb12u10", architecture: "amd64" },
});

/** Elements and depth as readers count them. */
function extent(bytes: Uint8Array): { elements: number; depth: number } {
  let [elements, depth, deepest, inText] = [0, 0, 0, false];
  for (let at = 0; at < bytes.length; at += 1) {
    const byte = bytes[at] ?? 0;
    if (inText && byte === 0x5c) at += 1;
    else if (byte === 0x22) inText = !inText;
    else if (!inText) {
      if (JSON_ELEMENT_BYTES.includes(byte)) elements += 1;
      if (byte === 0x7b || byte === 0x5b) deepest = Math.max(deepest, (depth += 1));
      if (byte === 0x7d || byte === 0x5d) depth -= 1;
    }
  }
  return { elements, depth: deepest };
}

describe("encodeManifest", () => {
  it("writes a manifest of ordinary size as it is, fields in their order", () => {
    const { manifest, bytes } = encodeManifest(SMALL);
    expect(bytes.toString()).toBe(`${JSON.stringify(SMALL)}\n`);
    expect(manifest).toEqual(SMALL);
  });

  it("keeps a Java process's long command line, a thousand threads and six hundred modules whole", () => {
    const large = {
      ...SMALL,
      process: { cmdline: ["java", "-cp", "x".repeat(100_000), "Main"] },
      threads: many(1000, thread),
      modules: many(600, (at) => module(at)),
    };
    expect(encodeManifest(large).manifest).toEqual(large);
  });

  const control = "\u0001".repeat(4095);
  it.each<[string, Partial<Manifest>, string]>([
    ["threads", { threads: many(70_000, thread) }, "threads: the first 4096 of 70000"],
    ["modules", { modules: many(10_000, (at) => module(at)) }, "modules: the first"],
    ["modules with the longest paths", { modules: many(4096, (at) => module(at, control)) }, "modules: the first"],
    ["empty words", { process: { cmdline: many(1_000_000, () => "") } }, "cmdline: the first 4096 of 1000000"],
    ["one long word", { process: { cmdline: ["\u0001".repeat(2_000_000)] } }, "cmdline: the first 0 of 1"],
    ["long words", { process: { cmdline: many(4000, () => "𝕏".repeat(500)) } }, "cmdline: the first"],
    ["labels", { pod: { labels: Object.fromEntries(many(9999, (at) => [`k${at}`, control])) } }, "labels: the first"],
    ["problems", { problems: many(5000, () => ({ step: "s", code: "C", detail: control })) }, "problems: the first"],
    ["a path", { process: { exe: "/".repeat(1_000_000) } }, "process.exe: left out"],
    ["fields nobody knows", { node: Object.fromEntries(many(9999, (at) => [`k${at}`, "v"])) }, "node.k"],
    [
      "nesting",
      { node: many(5000, () => 0).reduce<object>((inner) => ({ inner }), {}) as Manifest["node"] },
      "node.inner.inner",
    ],
  ])("cuts %s, says so, and is read", (_what, changes, detail) => {
    const { manifest, bytes } = encodeManifest({ ...SMALL, ...changes });
    expect(manifest.problems.at(-1)).toMatchObject({ step: "manifest", code: "CDH_CUT" });
    expect(manifest.problems.at(-1)?.detail).toContain(detail);
    expect(parseManifest(bytes, "it")).toEqual(manifest);
    expect(bytes.length).toBeLessThanOrEqual(WRITE_LIMITS.manifest.bytes);
  });

  it("stays within every limit of writers when everything is too large at once", () => {
    const { bytes } = encodeManifest({
      ...SMALL,
      process: { exe: control, comm: control, hostname: control, cmdline: many(100_000, () => control) },
      pod: { name: control, labels: Object.fromEntries(many(9999, (at) => [`${control}${at}`, control])) },
      container: { id: control, imageRef: control, imageId: control },
      threads: many(70_000, thread),
      modules: many(70_000, (at) => module(at)),
      problems: many(5000, () => ({ step: control, code: control, detail: control })),
    });
    const { elements, depth } = extent(bytes);
    expect(bytes.length).toBeLessThanOrEqual(WRITE_LIMITS.manifest.bytes);
    expect(elements).toBeLessThanOrEqual(WRITE_LIMITS.manifest.elements);
    expect(depth).toBeLessThanOrEqual(WRITE_LIMITS.manifest.depth);
    parseManifest(bytes, "it");
  });

  it("counts elements: short items by the thousand stay within the limit too", () => {
    const registers = Object.fromEntries(many(20, (at) => [`r${at}`, "0x0"]));
    const { bytes } = encodeManifest({
      ...SMALL,
      process: { cmdline: many(5000, () => "") },
      threads: many(5000, (tid) => ({ tid, registers })),
      modules: many(5000, () => ({
        path: "",
        start: "",
        end: "",
        buildId: "",
        package: { type: "", name: "", os: "" },
      })),
    });
    expect(extent(bytes).elements).toBeLessThanOrEqual(WRITE_LIMITS.manifest.elements);
  });

  it("leaves a list of texts a list that readers take", () => {
    const { bytes, manifest } = encodeManifest({ ...SMALL, signs: ["one", "two"] });
    expect(manifest.signs).toEqual(["one", "two"]);
    expect(parseManifest(bytes, "N").signs).toEqual(["one", "two"]);
  });
});
