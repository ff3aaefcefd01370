import { expect, it } from "vitest";
import { WRITE_LIMITS } from "@cdh/core/bundle/limits";
import type { Enrichment } from "@cdh/core/container/enrich";
import type { ProcessSnapshot } from "@cdh/core/container/process";
import { metadataEntries } from "./metadata-entries.ts";

const MIB = 1024 * 1024;

const PROCESS: ProcessSnapshot = {
  state: "verified",
  files: [
    { name: "status", bytes: Buffer.from("Name:\tx\n") },
    { name: "auxv", bytes: Buffer.alloc(0) },
  ],
  problems: [],
};
const ENRICHMENT: Enrichment = { containers: [], podLabels: {}, repoDigests: [], problems: [] };

it("keeps everything of ordinary size, empty files too", () => {
  const enrichment = {
    ...ENRICHMENT,
    podInfo: { id: "a" },
    containers: [{ id: "c", crashed: true, log: Buffer.from("line\n"), imageInfo: { id: "i" } }],
  };
  const { entries, problems } = metadataEntries({ name: "N", process: PROCESS, enrichment, include: "facts" });
  expect(problems).toEqual([]);
  expect(entries.map(({ name, bytes }) => [name, bytes.length])).toEqual([
    ["N-pod-info.json", 11],
    ["N-0.log", 5],
    ["N-0-image-info.json", 11],
    ["N-proc/status", 8],
    ["N-proc/auxv", 0],
  ]);
});

it("cuts logs at their beginning, files at their end, leaves large JSON out, and says so", () => {
  const log = Buffer.concat([Buffer.alloc(5 * MIB, "a"), Buffer.from("the end")]);
  const { entries, problems } = metadataEntries({
    name: "N",
    process: { ...PROCESS, files: [{ name: "maps", bytes: Buffer.alloc(5 * MIB, "m") }] },
    enrichment: {
      ...ENRICHMENT,
      runtimeInfo: { text: "x".repeat(5 * MIB) },
      containers: [1, 2, 3].map((id) => ({ id: String(id), crashed: false, log })),
    },
    include: "facts",
  });
  const total = entries.reduce((sum, { bytes }) => sum + bytes.length, 0);
  expect(total).toBe(WRITE_LIMITS.smallEntriesBytes - WRITE_LIMITS.manifest.bytes);
  expect(entries.every(({ bytes }) => bytes.length <= WRITE_LIMITS.entryBytes)).toBe(true);
  expect(Buffer.from(entries[0]?.bytes ?? "").toString("latin1", 4 * MIB - 7)).toBe("the end");
  expect(problems.map(({ code, detail }) => `${code} ${detail}`)).toEqual([
    `CDH_CUT runtime-info.json: left out`,
    `CDH_CUT 0.log: ${4 * MIB} of its ${5 * MIB + 7} bytes`,
    `CDH_CUT 1.log: ${4 * MIB} of its ${5 * MIB + 7} bytes`,
    `CDH_CUT 2.log: ${2 * MIB} of its ${5 * MIB + 7} bytes`,
    `CDH_CUT proc/maps: left out`,
  ]);
});
