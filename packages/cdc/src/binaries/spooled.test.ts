import { mkdirSync, mkdtempSync, readdirSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, it } from "vitest";
import { giveUpSpooled, measureSpooled } from "./spooled.ts";

it("counts what files take of the disk, and removes unfinished ones too", () => {
  const coreDir = mkdtempSync(join(tmpdir(), "spooled-"));
  try {
    expect(measureSpooled(coreDir)).toEqual({ names: 0, bytes: 0 });
    const folder = join(coreDir, "binaries");
    mkdirSync(folder);
    for (const name of ["a.executable.zst", "a.executable.json", ".draft"]) writeFileSync(join(folder, name), "x");
    const { names, bytes } = measureSpooled(coreDir);
    expect(names).toBe(3);
    expect(bytes).toBe(3 * statSync(join(folder, ".draft")).blocks * 512);
    expect(bytes).toBeGreaterThan(3);
    expect(giveUpSpooled(coreDir)).toBe(true);
    expect(readdirSync(folder)).toEqual([]);
    expect(giveUpSpooled(coreDir)).toBe(false);
  } finally {
    rmSync(coreDir, { recursive: true });
  }
});
