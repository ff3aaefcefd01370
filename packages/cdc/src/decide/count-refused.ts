import { createHash } from "node:crypto";
import { mkdir } from "node:fs/promises";
import type { Manifest } from "@cdh/core/bundle/manifest";
import { reasonOf } from "@cdh/core/errors";
import {
  addCounted,
  countedDirectory,
  countedName,
  countedOwner,
  listCounted,
  putCounted,
  readCounted,
  takeCounted,
  takenPath,
} from "@cdh/core/spool/counted";
import { DIRECTORY_MODE } from "@cdh/core/spool/layout";
import type { Work } from "../request.ts";
import { changePlace } from "./kept-cores-file.ts";
import { underLock, UNHURRIED_MS } from "./locked-state.ts";
import { findRemembered } from "./place-key.ts";
import type { Spared } from "./spare.ts";

type Given = Pick<Work, "coreDir" | "native" | "clock" | "log" | "crashId">;

/** Counts of one owner, and of all: beyond them an owner's crashes are counted together, and then not at all. */
const OWNER_FILES_MAX = 64;
const FILES_MAX = 2048;
/** What a composer takes out of the way while it adds to it, hidden. Under the lock whatever has this name has no owner. */
const MINE = "composer";

/**
 * Count a crash that a limit left out, for its place. Never throws: what cannot be counted is in the log.
 * @param owner whose room the count takes
 * @param remembered under what it is counted; absent where no place is known, then by what crashed
 * @param manifest of the crash, without core and stacks
 */
export async function countRefused(
  given: Given,
  owner: string,
  remembered: Spared["remembered"],
  manifest: Manifest,
): Promise<void> {
  const { coreDir, native, log, crashId } = given;
  try {
    const place = remembered?.key;
    const keys = remembered === undefined ? {} : await keysOf(given, remembered);
    await underLock({ coreDir, native, name: "counted", waitMs: UNHURRIED_MS }, async (_path, isLocked) => {
      if (!isLocked) throw new Error("other composers were at it all the time");
      const directory = countedDirectory(coreDir);
      await mkdir(directory, { recursive: true, mode: DIRECTORY_MODE });
      const names = await listCounted(directory);
      const name = chooseName(names, owner, place?.key ?? keyOf(manifest));
      if (name === undefined) throw new Error(`${names.length} counts wait to be sent`);
      // What a composer that was killed had taken is taken up again.
      const taken = (await takeCounted(directory, name, MINE)) ?? takenPath(directory, name, MINE);
      const counted = addCounted((await readCounted(taken))?.counted, manifest.crashedAt);
      await putCounted(directory, name, MINE, { ...manifest, ...keys, counted });
    });
  } catch (error) {
    log.warn("crash not counted", { crashId, reason: reasonOf(error) });
  }
}

function chooseName(names: readonly string[], owner: string, key: string): string | undefined {
  const wanted = countedName(owner, key);
  if (names.includes(wanted)) return wanted;
  const own = countedOwner(wanted);
  const isCrowded = names.filter((name) => countedOwner(name) === own).length >= OWNER_FILES_MAX;
  const name = isCrowded ? countedName(owner) : wanted;
  if (names.includes(name) || names.length < FILES_MAX) return name;
  // Where there is no more room for places, each owner has some for all of its own.
  return names.length < 2 * FILES_MAX ? countedName(owner) : undefined;
}

/** What crashes of this place are called, as the last one that was kept says. */
async function keysOf(
  { coreDir, native, clock }: Given,
  { key, place }: NonNullable<Spared["remembered"]>,
): Promise<Pick<Manifest, "site" | "signature">> {
  return await changePlace(
    { coreDir, native, nowMs: clock.now(), waitMs: UNHURRIED_MS },
    (places) => findRemembered(places, key, place),
    (entry) => {
      const { site, signature } = entry ?? {};
      const known = { ...(site === undefined ? {} : { site }), ...(signature === undefined ? {} : { signature }) };
      return { entry, result: known };
    },
  ).catch(() => ({}));
}

function keyOf({ process: crashed, signal, container, pod }: Manifest): string {
  return hashOf([pod?.namespace, container?.name, crashed.exe ?? crashed.comm, signal.number]);
}

function hashOf(parts: readonly unknown[]): string {
  return createHash("sha256").update(JSON.stringify(parts)).digest("hex").slice(0, 32);
}
