import { closeSync, readFileSync, rmSync, writeSync } from "node:fs";
import { rename, rm } from "node:fs/promises";
import { join } from "node:path";
import { packFile } from "@cdh/core/debug-files/pack";
import { EXIT, reasonOf } from "@cdh/core/errors";
import { tryMeasureSpace } from "@cdh/core/files/free-space";
import { writeAtomically } from "@cdh/core/files/write-atomically";
import { parseJson } from "@cdh/core/json";
import { binaryPaths, type SpooledBinary } from "@cdh/core/spool/binaries";
import { BINARIES_DIRECTORY, FILE_MODE } from "@cdh/core/spool/layout";
import { makeOwnDirectory } from "@cdh/core/spool/spool-owner";
import { debugRoleOf, examineElf } from "@cdh/unwind/elf/elf-contents";
import { loadNative } from "../self/load-native.ts";
import { openHeld } from "../stack/held-files.ts";
import { makeFairRoom } from "./fair-room.ts";
import { holdToBounds } from "./pack-bounds.ts";
import type { PackAnswer, PackRequest, WantedFile } from "./pack-request.ts";
import { isSpooled, measureSpooled, takenBytes, type SpooledUse } from "./spooled.ts";

/** The spool keeps so many times as much free as a file takes: cores come first. */
const ROOM = 4;
/** The spool holds files of so many crashes. */
const CRASHES = 2;
/** Most files of one crash, and most that wait on the node: small ones take inodes. */
const FILES_MAX = { crash: 64, node: 2_000 };
/** A packed file, and what is said of it. */
const NAMES_OF_FILE = 2;
/** Inodes that a file leaves free beyond those that must stay so, for the next crashes' bundles. */
const SPARE_INODES = 32;
const REASONS_MAX = 8;

/** Put into the spool what a composer asks for on standard input, and tell what was done. @returns the exit status */
export async function runPacker(): Promise<number> {
  const native = await loadNative();
  const request = parseJson(readFileSync(0)) as PackRequest;
  holdToBounds(native, request.composer);
  const answer = await pack(request);
  writeSync(1, JSON.stringify(answer));
  return EXIT.ok;
}

async function pack(request: PackRequest): Promise<PackAnswer> {
  const answer: PackAnswer = { files: 0, storedBytes: 0, leftOut: [] };
  await makeOwnDirectory(join(request.coreDir, BINARIES_DIRECTORY));
  // Only this process packs: whoever left one there is dead.
  rmSync(draftOf(request), { force: true });
  const use = measureSpooled(request.coreDir);
  let left = request.maxBytes;
  for (const file of request.files) {
    if (answer.files >= FILES_MAX.crash) {
      answer.leftOut.push(`more than ${FILES_MAX.crash} files of a crash`);
      break;
    }
    try {
      const packed = await packOne(request, file, { left, use });
      if (packed === undefined) continue;
      left -= packed.sizeBytes;
      answer.files += 1;
      answer.storedBytes += packed.storedBytes;
    } catch (error) {
      if (answer.leftOut.length < REASONS_MAX) answer.leftOut.push(`${file.name}: ${reasonOf(error)}`);
    }
  }
  return answer;
}

/** @returns undefined when it is in the spool already @throws with the reason why it is left out */
async function packOne(
  request: PackRequest,
  file: WantedFile,
  { left, use }: { left: number; use: SpooledUse },
): Promise<SpooledBinary | undefined> {
  const { coreDir, namespace } = request;
  if (isSpooled(coreDir, file.buildId)) return undefined;
  const held = openHeld(file.fd);
  try {
    const { source } = held;
    if (source.sizeBytes > left) throw new Error(`its ${source.sizeBytes} bytes are more than BINARIES_MAX leaves`);
    const contents = await examineElf(source);
    if (contents === undefined) throw new Error("no ELF file");
    if (contents.cutShort !== undefined) throw new Error(`cut short: ${contents.cutShort}`);
    if (contents.buildId !== (file.isHash ? undefined : file.buildId))
      throw new Error("another build than the one that crashed");
    const role = debugRoleOf(contents);
    if (role === undefined) throw new Error("neither code nor debug info");
    await mustHaveRoom(request, source.sizeBytes, use);
    const paths = binaryPaths(coreDir, { buildId: file.buildId, role });
    const draft = draftOf(request);
    try {
      const packed = await packFile(source, draft);
      if (file.isHash && packed.sha256 !== file.buildId) throw new Error("it changed meanwhile");
      const { sharedBuildId, hasCode } = contents;
      const facts: SpooledBinary = {
        ...packed,
        name: file.name,
        hasCode,
        ...(namespace === undefined ? {} : { namespace }),
        ...(sharedBuildId === undefined ? {} : { sharedBuildId }),
      };
      await writeAtomically(paths.facts, JSON.stringify(facts), { mode: FILE_MODE, flush: "content" });
      await rename(draft, paths.packed);
      use.names += NAMES_OF_FILE;
      use.bytes += takenBytes(paths.packed) + takenBytes(paths.facts);
      return facts;
    } catch (error) {
      await rm(draft, { force: true }).catch(() => {});
      throw error;
    }
  } finally {
    closeSync(held.fd);
  }
}

function draftOf({ coreDir }: PackRequest): string {
  return join(coreDir, BINARIES_DIRECTORY, ".draft");
}

/** A core that comes meanwhile must find its room. @throws when there is too little */
async function mustHaveRoom(
  { coreDir, keepFreeBytes, keepFreeInodes, maxBytes, namespace }: PackRequest,
  sizeBytes: number,
  use: SpooledUse,
): Promise<void> {
  const space = await tryMeasureSpace(coreDir);
  if (space === undefined || space.availableBytes - keepFreeBytes < ROOM * sizeBytes)
    throw new Error("the spool is short of room");
  if (space.totalInodes > 0 && space.freeInodes - keepFreeInodes < NAMES_OF_FILE + SPARE_INODES)
    throw new Error("the spool is short of inodes");
  const pool = { bytes: CRASHES * maxBytes, names: FILES_MAX.node * NAMES_OF_FILE };
  if (!(await makeFairRoom(coreDir, use, pool, { namespace, bytes: sizeBytes, names: NAMES_OF_FILE })))
    throw new Error("files of earlier crashes wait to be sent");
}
