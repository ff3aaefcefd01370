import { mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, it } from "vitest";
import { giveUpBinaries } from "./give-up-binaries.ts";

it("removes unfinished files too, and says whether there was anything", async () => {
  const coreDir = mkdtempSync(join(tmpdir(), "give-up-"));
  try {
    expect(await giveUpBinaries(coreDir)).toBe(false);
    mkdirSync(join(coreDir, "binaries"));
    writeFileSync(join(coreDir, "binaries/.draft"), "x");
    expect(await giveUpBinaries(coreDir)).toBe(true);
    expect(readdirSync(join(coreDir, "binaries"))).toEqual([]);
  } finally {
    rmSync(coreDir, { recursive: true });
  }
});
