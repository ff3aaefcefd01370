import { closeSync } from "node:fs";
import { basename } from "node:path";
import type { Manifest } from "@cdh/core/bundle/manifest";
import { isRestricted } from "@cdh/core/bundle/restricted";
import type { Clock } from "@cdh/core/clock";
import type { ComposerSettings } from "@cdh/core/composer/settings";
import { storedIdOf } from "@cdh/core/debug-files/keys";
import { reasonOf } from "@cdh/core/errors";
import { tryMeasureSpace } from "@cdh/core/files/free-space";
import { parseJson } from "@cdh/core/json";
import type { Logger } from "@cdh/core/log";
import { PACK_ALARM_SECONDS, PACK_BOUNDS } from "../binaries/pack-bounds.ts";
import type { PackAnswer, PackRequest, WantedFile } from "../binaries/pack-request.ts";
import { isSpooled, isStored } from "../binaries/spooled.ts";
import { PACK_WORD } from "../kernel/invocation.ts";
import type { Native } from "../self/native.ts";
import type { KeptFile } from "../stack/crash-stacks.ts";
import { runWalkerProcess } from "../stack/run-walker.ts";
import { takeWalkerSlot } from "../stack/walker-slots.ts";
import { inodeCount, spaceBytes } from "../take/free-space.ts";

/** Milliseconds to wait for whoever packs another crash's files: of a storm, the next crashes bring them. */
const SLOT_WAIT_MS = 2_000;
/** The lock of the slot, standard streams before it. */
const FIRST_DESCRIPTOR = 3;
const FOLDER = "packers";

/** What keeping needs. */
interface Given {
  settings: Pick<ComposerSettings, "binaries" | "binariesMax" | "keepFree" | "keepFreeInodes">;
  coreDir: string;
  clock: Clock;
  native: Native;
  log: Logger;
}

/**
 * Put the program and libraries of a crash into the spool, as far as neither the spool nor, as this node remembers, the store has
 * them. The bundle is published before. Nothing here throws: it comes again with the next crash.
 */
export async function keepBinaries(given: Given, manifest: Manifest, kept: readonly KeptFile[]): Promise<void> {
  const { coreDir, settings, clock, native, log } = given;
  // Only administrators may read such a program.
  if (settings.binaries === "off" || isRestricted(manifest)) return;
  const { crashId, pod, identity } = manifest;
  const namespace = identity?.verified === true ? pod?.namespace : undefined;
  try {
    // Composing left seconds to say how it ended; packing may take longer.
    native.alarm(PACK_ALARM_SECONDS);
    const files = missingOf(manifest, kept, given, namespace);
    if (files.length === 0) return;
    const slot = await takeWalkerSlot({ coreDir, native, clock }, SLOT_WAIT_MS, { folder: FOLDER, count: 1 });
    if (slot === undefined) return log.info("binaries not kept: others are packed", { crashId });
    try {
      const space = await tryMeasureSpace(coreDir);
      const request: PackRequest = {
        composer: process.pid,
        coreDir,
        ...(namespace === undefined ? {} : { namespace }),
        maxBytes: settings.binariesMax,
        keepFreeBytes: space === undefined ? 0 : spaceBytes(settings.keepFree, space.totalBytes),
        keepFreeInodes: space === undefined ? 0 : inodeCount(settings.keepFreeInodes, space.totalInodes),
        files: files.map((file, index) => ({ ...file, fd: FIRST_DESCRIPTOR + 1 + index })),
      };
      const descriptors = [slot, ...files.map(({ fd }) => fd)];
      const body = Buffer.from(JSON.stringify(request));
      const { output, failure } = await runWalkerProcess([body], descriptors, clock, {
        word: PACK_WORD,
        ...PACK_BOUNDS,
      });
      if (failure !== undefined) return log.warn("binaries not kept", { crashId, reason: failure.detail });
      const { files: count, storedBytes, leftOut } = parseJson(output) as PackAnswer;
      if (count > 0 || leftOut.length > 0) log.info("binaries kept", { crashId, files: count, storedBytes, leftOut });
    } finally {
      closeSync(slot);
    }
  } catch (error) {
    log.warn("binaries not kept", { crashId, reason: reasonOf(error) });
  }
}

/** The files that are wanted and not known, the program first. */
function missingOf(
  { modules = [], process: { exe } }: Manifest,
  kept: readonly KeptFile[],
  { settings, coreDir }: Given,
  namespace: string | undefined,
): WantedFile[] {
  const byPath = new Map(modules.map((module) => [module.path, module]));
  const taken = new Set<string>();
  return kept
    .toSorted((a, b) => Number(b.path === exe) - Number(a.path === exe))
    .filter(({ path }) => settings.binaries === "all" || path === exe)
    .flatMap(({ fd, path }) => {
      const buildId = storedIdOf(byPath.get(path) ?? {});
      if (buildId === undefined || taken.has(buildId)) return [];
      taken.add(buildId);
      if (isStored(coreDir, buildId, namespace) || isSpooled(coreDir, buildId)) return [];
      const isHash = byPath.get(path)?.buildId === undefined;
      return [{ fd, buildId, isHash, name: basename(path).replace(/ \(deleted\)$/, "") }];
    });
}
