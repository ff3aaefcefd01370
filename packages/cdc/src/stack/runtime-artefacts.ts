import { closeSync, constants, fstatSync, openSync, readSync } from "node:fs";
import type { CoreModule } from "@cdh/core/elf/facts";
import { errnoOf, reasonOf } from "@cdh/core/errors";
import type { Native } from "../self/native.ts";
import { isLocal } from "./local-file-systems.ts";
import { parseMountTypes } from "./maps.ts";
import { mountOf, O_PATH, reopenFile, tryOpen } from "./path-descriptor.ts";

/** What a reader of artefacts is told, so that it reads no others. */
export interface ArtefactWish {
  /** Descriptors (O_PATH) of the process's working directory and of its root; absent where others serve them. */
  cwd?: number | undefined;
  root?: number | undefined;
  /** Descriptor of its mountinfo, not read yet. */
  mounts?: number | undefined;
  /** The process's own pid, which names have in them. */
  pid: number;
  /** Its user, on the host: whose files they are. */
  uid: number;
  /** Epoch milliseconds: what is older is about something else. */
  fromMs: number;
}

/** A piece of a file that the program's runtime wrote about the crash, in order. */
export interface ArtefactPiece {
  name: string;
  /** Of the file, which may have more than is read. */
  sizeBytes: number;
  bytes: Buffer;
}

/** Is told what is read. */
export interface ArtefactReader {
  /** Gets the pieces of each file in order. */
  piece: (piece: ArtefactPiece) => void;
  /** Gets each file that could not be read, or not wholly, and why. */
  failed: (name: string, reason: string) => void;
}

/** Runtimes that write such files, by the module that has them. */
const RUNTIMES = /^(?:libjvm\.so|libj9vm\d*\.so|libcoreclr\.so|node(?:js)?|libnode\.so[.\d]*)$/;
/** Names that they give: HotSpot's, OpenJ9's, Node's, .NET's; with the process's pid in them where they say it. */
const NAMES: readonly RegExp[] = [
  /^hs_err_pid(\d{1,10})\.log$/,
  /^javacore\.\d{8}\.\d{6}\.(\d{1,10})\.\d{4}\.txt$/,
  /^report\.\d{8}\.\d{6}\.(\d{1,10})\.\d{1,10}\.\d{3,6}\.json$/,
  /^[\w.-]{1,80}\.crashreport\.json$/,
];
/** Files, bytes of each, and of all; files of which is said that they could not be read. */
export const ARTEFACTS_MAX = { files: 4, fileBytes: 2 * 1024 * 1024, bytes: 3 * 1024 * 1024, failures: 4 };
/** Names of a directory that are looked at: the process may have made millions. */
const NAMES_MAX = 20_000;
const NAMES_BYTES = 32 * 1024;
const PIECE_BYTES = 256 * 1024;
const MOUNTS_MAX_BYTES = 4 * 1024 * 1024;

/** Tell whether the runtime of a program writes such files. */
export function writesArtefacts(modules: readonly Pick<CoreModule, "path">[]): boolean {
  return modules.some(({ path }) => RUNTIMES.test(path.slice(path.lastIndexOf("/") + 1)));
}

/** Tell whether a runtime would give this name to what it writes about the process. */
export function isArtefactName(name: string, pid: number): boolean {
  return NAMES.some((pattern) => {
    const match = pattern.exec(name);
    return match !== null && (match[1] === undefined || Number(match[1]) === pid);
  });
}

/**
 * Read what the program's runtime wrote about the crash, from its working directory, then from its /tmp. The process chose what
 * lies there: no link is followed, only regular files of its own user are read, none is waited for. Directories on
 * a file system that others serve are left alone, and files that are mounted by themselves, but another may still hang below
 * one of ours: so this runs in a process that can be ended. A file that cannot be read costs itself alone.
 */
export function readArtefacts(wish: ArtefactWish, native: Pick<Native, "readNames">, reader: ArtefactReader): void {
  const seen = new Set<string>();
  let [left, failures] = [ARTEFACTS_MAX.bytes, 0];
  const take = (piece: ArtefactPiece): void => {
    seen.add(piece.name);
    left -= piece.bytes.length;
    reader.piece(piece);
  };
  for (const place of [wish.cwd, temporaryOf(wish)]) {
    if (place === undefined) continue;
    const mount = mountOf(place);
    for (const name of namesIn(place, native)) {
      if (seen.size === ARTEFACTS_MAX.files || left === 0) return;
      if (seen.has(name) || !isArtefactName(name, wish.pid)) continue;
      try {
        readOne({ place, mount, name }, wish, left, (sizeBytes, bytes) => take({ name, sizeBytes, bytes }));
      } catch (error) {
        if (errnoOf(error) === "ENOENT") continue;
        reader.failed(name, reasonOf(error));
        failures += 1;
        if (failures === ARTEFACTS_MAX.failures) return;
      }
    }
  }
}

/** Hold the process's /tmp, unless others serve it. */
function temporaryOf({ root, mounts }: ArtefactWish): number | undefined {
  if (root === undefined) return undefined;
  const flags = O_PATH | constants.O_DIRECTORY | constants.O_NOFOLLOW;
  const place = tryOpen(`/proc/self/fd/${root}/tmp`, flags);
  if (place === undefined) return undefined;
  const mount = mountOf(place);
  if (mount === mountOf(root)) return place;
  // It is held, so its mount's id is no other's when the list is read.
  return mounts !== undefined && isLocal(parseMountTypes(readAll(mounts)).get(String(mount))) ? place : undefined;
}

/** Read a file unless it is none of ours. @throws with the errno of the file system */
function readOne(
  { place: directory, mount, name }: { place: number; mount: number; name: string },
  { uid, fromMs }: ArtefactWish,
  room: number,
  say: (sizeBytes: number, bytes: Buffer) => void,
): void {
  const place = openSync(`/proc/self/fd/${directory}/${name}`, O_PATH | constants.O_NOFOLLOW);
  try {
    // A file may be mounted by itself, from anywhere, since the list of mounts was read: it is not asked anything.
    if (mountOf(place) !== mount) return;
    const found = fstatSync(place);
    if (!found.isFile() || found.uid !== uid || found.mtimeMs < fromMs) return;
    const fd = reopenFile(place);
    try {
      const wanted = Math.min(found.size, ARTEFACTS_MAX.fileBytes, room);
      readPieces(fd, wanted, (bytes) => say(found.size, bytes));
    } finally {
      closeSync(fd);
    }
  } finally {
    closeSync(place);
  }
}

function readPieces(fd: number, wanted: number, say: (bytes: Buffer) => void): void {
  for (let at = 0; at < wanted;) {
    const bytes = Buffer.allocUnsafe(Math.min(PIECE_BYTES, wanted - at));
    const count = readSync(fd, bytes, 0, bytes.length, at);
    if (count === 0) return;
    at += count;
    say(bytes.subarray(0, count));
  }
}

function readAll(fd: number): Buffer {
  const pieces: Buffer[] = [];
  readPieces(fd, MOUNTS_MAX_BYTES, (bytes) => pieces.push(bytes));
  return Buffer.concat(pieces);
}

/** The names in a directory, in pieces: a list of all of them may take more memory than there is. */
function* namesIn(place: number, native: Pick<Native, "readNames">): Generator<string> {
  const fd = tryOpen(`/proc/self/fd/${place}`, constants.O_RDONLY | constants.O_DIRECTORY);
  if (fd === undefined) return;
  try {
    const buffer = Buffer.alloc(NAMES_BYTES);
    for (let looked = 0; looked < NAMES_MAX;) {
      const length = native.readNames(fd, buffer);
      if (length <= 0) return;
      // struct linux_dirent64: inode, offset, length of the entry, type, name.
      for (let at = 0; at + 19 < length; looked += 1) {
        const size = buffer.readUInt16LE(at + 16);
        if (size < 20) return;
        const zero = buffer.indexOf(0, at + 19);
        yield buffer.toString("latin1", at + 19, Math.min(zero === -1 ? length : zero, at + size));
        at += size;
      }
    }
  } finally {
    closeSync(fd);
  }
}
