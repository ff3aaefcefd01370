import { mkdir, mkdtemp, readdir, rm, utimes, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { scanSpool } from "../queue/spool-scan.ts";
import { surveySpool } from "../queue/survey.ts";
import { vacuum, type VacuumLimits } from "./vacuum.ts";

let coreDir: string;

beforeEach(async () => {
  coreDir = await mkdtemp(join(tmpdir(), "cdh-vacuum-"));
  await mkdir(join(coreDir, "quarantine"));
  // The oldest is the one that the store did not take.
  await put("refused.zip", 1, "CDH_STORE_CONFLICT");
  await put("unexplained.zip", 2);
  await put("damaged.zip", 3, "CDH_BUNDLE_NOT_ZIP");
});
afterEach(async () => {
  await rm(coreDir, { recursive: true, force: true });
});

async function put(fileName: string, age: number, code?: string): Promise<void> {
  const path = join(coreDir, "quarantine", fileName);
  await writeFile(path, "x".repeat(100));
  await utimes(path, age, age);
  if (code !== undefined) await writeFile(`${path}.reason.json`, JSON.stringify({ code }));
}

async function left(limits: Partial<VacuumLimits>): Promise<{ zips: string[]; missingBytes: number }> {
  const survey = await surveySpool(coreDir, (await scanSpool(coreDir)).files);
  const all = { maxUse: undefined, keepFree: undefined, quarantineMaxUse: undefined, unsent: false, ...limits };
  const { missingBytes } = await vacuum(survey, all, () => false);
  const names = await readdir(join(coreDir, "quarantine"));
  return { zips: names.filter((name) => name.endsWith(".zip")).toSorted(), missingBytes };
}

describe("quarantine", () => {
  it.each([{ maxUse: 0 }, { quarantineMaxUse: 0 }])(
    "keeps under %j what may be the only copy, and says what is missing",
    async (limits) => {
      expect(await left(limits)).toEqual({ zips: ["refused.zip", "unexplained.zip"], missingBytes: 200 });
    },
  );

  it.each([{ maxUse: 100 }, { quarantineMaxUse: 100 }])(
    "gives it up under %j only when what was never sent may go, the oldest first",
    async (limits) => {
      expect(await left({ ...limits, unsent: true })).toEqual({ zips: ["unexplained.zip"], missingBytes: 0 });
    },
  );
});
