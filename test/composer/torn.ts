import { readdirSync, statSync, utimesSync } from "node:fs";
import { join } from "node:path";
import { Readable } from "node:stream";
import { expect } from "vitest";
import type { Rig } from "./drive.ts";

const MIB = 1024 * 1024;

/**
 * Kill the composer while a core still arrives, when it has written more than 10 MiB and left its note.
 * @param core of more than 20 MiB that do not compress; its first 20 MiB are sent
 * @returns path of the torn file, a minute old: a living composer touches its own every few seconds
 */
export async function tearBundle(rig: Rig, core: Buffer): Promise<string> {
  const endless = Readable.from(
    (async function* () {
      for (let at = 0; at < 20 * MIB; at += 65_536) yield core.subarray(at, at + 65_536);
      await new Promise((resolve) => setTimeout(resolve, 60_000).unref());
    })(),
  );
  const partials = (): string[] => rig.spool().filter((name) => name.endsWith(".partial"));
  const bytes = (): number => Math.max(0, ...partials().map((name) => statSync(join(rig.coreDir, name)).size));
  const marks = join(rig.coreDir, "state/writers");
  const hasNote = (): boolean =>
    readdirSync(marks).some((name) => name.endsWith(".json") && statSync(join(marks, name)).size > 0);
  const killed = await rig.run(endless, { killWhen: () => bytes() > 10 * MIB && hasNote() });
  expect(killed).toMatchObject({ signal: "SIGKILL", timedOut: false });
  const [partial = "", ...others] = partials();
  expect([partial, others]).toEqual([expect.stringContaining(".zip.partial"), []]);
  return makeOld(join(rig.coreDir, partial));
}

/** Let a minute have passed since a file was written. */
export function makeOld(path: string): string {
  const before = Date.now() / 1000 - 60;
  utimesSync(path, before, before);
  return path;
}
