import { parseBoundedJson } from "@cdh/core/bundle/bounded-json";
import { parseManifest } from "@cdh/core/bundle/reader-manifest";
import { renderHtml } from "@cdh/core/report/html";
import { PLAIN } from "@cdh/core/report/paint";
import { placeThreads, reportOf } from "@cdh/core/report/report";
import { renderText } from "@cdh/core/report/text";
import { makeManifest } from "@cdh/core/testing/sample-bundle";
import { changedJson, jsonRecipe, writeChangedJson, writeJson } from "../grammar/json.ts";
import { defineTarget, must, mustBePrintable, orRefused } from "../target.ts";

const PATHS = [
  "schemaVersion",
  "crashId",
  "bundle",
  "crashedAt",
  "composer",
  "composer.version",
  "node",
  "node.nodeName",
  "process",
  "process.pid",
  "process.comm",
  "process.exe",
  "process.cmdline",
  "process.hostname",
  "signal",
  "signal.number",
  "signal.name",
  "signal.faultAddress",
  "core",
  "core.entry",
  "core.sizeBytes",
  "core.sha256",
  "core.complete",
  "core.truncatedBy",
  "container",
  "container.id",
  "container.name",
  "container.imageRef",
  "pod",
  "pod.name",
  "pod.namespace",
  "pod.labels",
  "pod.owner",
  "identity",
  "identity.source",
  "identity.verified",
  "restricted",
  "threads",
  "modules",
  "suppressed",
  "suppressed.since",
  "problems",
  "unknown",
  "__proto__",
];

/** Manifests, and the pages made of them. */
export const manifestTarget = defineTarget({
  name: "manifest",
  what: "manifests with hostile fields, and the reports made of them",
  recipes: changedJson(PATHS),
  build: (recipe) => Buffer.from(writeChangedJson(makeManifest(Buffer.alloc(0), 0), recipe)),
  bytesOf: (bytes) => bytes,
  run: async (bytes) => {
    const manifest = await orRefused(() => parseManifest(bytes, "fuzz"));
    if (manifest === undefined) return;
    must(({} as Record<string, unknown>)["polluted"] === undefined, "Object.prototype was changed");
    placeThreads(manifest);
    const report = reportOf(manifest, { bundle: "fuzz.zip", bundleBytes: 1 });
    mustBePrintable(renderText(report, PLAIN, 1_795_249_571_000), "the report");
    must(!renderHtml(report).includes("<fuzz"), "the page holds an element that a crash wrote");
  },
});

/** Any JSON that somebody else wrote. */
export const jsonTarget = defineTarget({
  name: "json",
  what: "JSON of others: nested, wide, repeated, torn",
  recipes: jsonRecipe,
  build: (recipe) => Buffer.from(writeJson(recipe)),
  bytesOf: (bytes) => bytes,
  run: async (bytes) => {
    await orRefused(() => parseBoundedJson(bytes, "fuzz"));
  },
});
