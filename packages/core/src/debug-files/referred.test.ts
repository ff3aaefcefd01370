import { expect, it } from "vitest";
import { encodeManifest } from "../bundle/encode-manifest.ts";
import { makeManifest } from "../testing/sample-bundle.ts";
import { buildIdsOf } from "./referred.ts";

const id = (n: number): string => n.toString(16).padStart(40, "0");
const crash = (count: number): ReturnType<typeof makeManifest> =>
  makeManifest(Buffer.alloc(16), 16, {
    modules: Array.from({ length: count }, (_, n) => ({ path: `/lib/${n}`, start: "0x1", end: "0x2", buildId: id(n) })),
    problems: [],
  });

it("names the files of a whole list, each once", () => {
  const { manifest } = encodeManifest(crash(3));
  const ids = buildIdsOf({ ...manifest, process: { ...manifest.process, exeBuildId: id(2) } });
  expect(ids?.toSorted()).toEqual([id(0), id(1), id(2)]);
});

it.each([5000, 4097])("does not take the beginning of a list of %d modules for all of it", (count) => {
  const { manifest } = encodeManifest(crash(count));
  expect(manifest.modules?.length).toBeLessThan(count);
  expect(buildIdsOf(manifest)).toBeUndefined();
});

it("names files without build-id by their SHA-256", () => {
  const sha256 = "5".repeat(64);
  const modules = [
    { path: "/a", start: "0x1", end: "0x2", sha256 },
    { path: "/b", start: "0x1", end: "0x2", buildId: id(1), sha256: "6".repeat(64) },
    { path: "/c", start: "0x1", end: "0x2", sha256: "../x" },
  ];
  expect(buildIdsOf({ ...crash(0), modules, problems: [] })?.toSorted()).toEqual([id(1), sha256].toSorted());
});
