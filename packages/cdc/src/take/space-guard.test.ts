import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, it } from "vitest";
import { tryMeasureSpace } from "@cdh/core/files/free-space";
import { SpaceGuard } from "./space-guard.ts";

const MIB = 1024 * 1024;
const NO_LIMIT = { bytes: 0 };

let coreDir: string;
beforeEach(() => {
  coreDir = mkdtempSync(join(tmpdir(), "cdh-room-"));
});
afterEach(() => rmSync(coreDir, { recursive: true, force: true }));

it("MAX_USE counts what lies in the spool and in quarantine, and what is admitted", async () => {
  mkdirSync(join(coreDir, "quarantine"));
  writeFileSync(join(coreDir, "a.zip"), Buffer.alloc(MIB, 1));
  writeFileSync(join(coreDir, "quarantine", "b.zip"), Buffer.alloc(MIB, 1));
  const room = new SpaceGuard(coreDir, { maxUse: 4 * MIB, keepFree: NO_LIMIT });
  await room.admit(MIB);
  await room.admit(MIB - 64 * 1024);
  await expect(room.admit(MIB)).rejects.toMatchObject({ by: "maxUse" });
  // A smaller piece that fits is still taken.
  await room.admit(1024);
});

it("KEEP_FREE refuses what would leave too little", async () => {
  const { availableBytes } = (await tryMeasureSpace(coreDir)) ?? { availableBytes: 0 };
  const room = new SpaceGuard(coreDir, { maxUse: undefined, keepFree: { bytes: availableBytes - 64 * MIB } });
  await room.admit(MIB);
  await expect(room.admit(availableBytes)).rejects.toMatchObject({ by: "keepFree" });
});

it("without limits, and in a place that can't be measured, everything is admitted", async () => {
  const unlimited = new SpaceGuard(coreDir, { maxUse: undefined, keepFree: NO_LIMIT });
  await expect(unlimited.admit(2 ** 50)).resolves.toBeUndefined();
  const unmeasured = new SpaceGuard("/no/such/place", { maxUse: undefined, keepFree: { fraction: 1 } });
  await expect(unmeasured.admit(2 ** 50)).resolves.toBeUndefined();
});
