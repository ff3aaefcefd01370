import { expect, it } from "vitest";
import { PLAIN } from "../report/paint.ts";
import { placeThreads, reportOf } from "../report/report.ts";
import { renderText } from "../report/text.ts";
import { makeManifest } from "../testing/sample-bundle.ts";
import { parseManifest } from "./reader-manifest.ts";

it("leaves out items that are not whole, and shows the rest", () => {
  const value = {
    ...makeManifest(Buffer.alloc(0), 0),
    container: {},
    threads: [{}, { tid: 1 }, { tid: 2, registers: {} }],
    modules: [{}, { path: "/lib/a" }, { path: "/lib/b", start: "0x1000", end: "0x2000" }],
    problems: [{}, { step: "a", code: "b" }],
  };
  const manifest = parseManifest(Buffer.from(JSON.stringify(value)), "it");
  expect(manifest.container?.id).toBe("");
  expect([manifest.threads?.length, manifest.modules?.length, manifest.problems.length]).toEqual([1, 1, 1]);
  expect(placeThreads(manifest)).toEqual([{ tid: 2, crashed: false }]);
  expect(renderText(reportOf(manifest, { bundle: "it.zip", bundleBytes: 1 }), PLAIN, 0)).toContain("SIGSEGV");
});
