import { createHash, randomBytes } from "node:crypto";
import type { BigIntStats } from "node:fs";
import { readFile, rename, rm, stat, utimes, writeFile } from "node:fs/promises";
import { homedir } from "node:os";
import { dirname, join } from "node:path";
import type { Clock } from "@cdh/core/clock";
import { isSha256, type DebugFileId } from "@cdh/core/debug-files/keys";
import { hashBytes } from "@cdh/core/debug-files/pack";
import { CdhError, reasonOf } from "@cdh/core/errors";
import { makeFolders } from "@cdh/core/files/make-folders";
import { openRegularFile } from "@cdh/core/files/regular-file";
import type { ElfContents } from "@cdh/unwind/elf/elf-contents";
import { fileSource, tryExamineFile } from "./file-source.ts";

/** Where files that were fetched by build-id are kept. @see the XDG base directory specification */
export function symbolCacheFolder(env: Readonly<Record<string, string | undefined>>): string {
  const home = env["HOME"] || homedir();
  return join(env["XDG_CACHE_HOME"] || join(home, ".cache"), "cdh-inspect", "symbols");
}

/** Of the note beside a file. */
const NOTE_SUFFIX = ".version";

/** What a file in the cache is. */
export interface CachedFile {
  path: string;
  contents: ElfContents;
}

/**
 * One place's files by build-id on this machine, laid out as debuginfod's clients do. What one place had is never given for
 * another's: whoever may write to one of them could else put files under the build-ids of all.
 */
export class SymbolCache {
  readonly #folder: string;
  readonly #clock: Clock;

  /** @param folder of all places, as {@link symbolCacheFolder} */
  constructor(folder: string, url: string, clock: Clock) {
    this.#folder = join(folder, createHash("sha256").update(url).digest("hex").slice(0, 32));
    this.#clock = clock;
  }

  /**
   * Find a file that is in the cache. One that is damaged, another build's, or of another version is removed.
   * @param version that the place has now; left out when it cannot tell
   */
  async find(id: DebugFileId, version?: string): Promise<CachedFile | undefined> {
    const path = this.#pathOf(id);
    const stats = await stat(path, { bigint: true }).catch(() => undefined);
    if (stats === undefined) return undefined;
    const note = await readNote(`${path}${NOTE_SUFFIX}`);
    const isOurs = version === undefined ? note.startsWith(noteOf(stats, "")) : note === noteOf(stats, version);
    const contents = isOurs && stats.isFile() ? await tryExamineFile(path) : undefined;
    // Its note was written once the whole file was found to be right.
    if (contents !== undefined && complaintAbout(contents, id, id.buildId) === undefined) {
      // What is unused for long is removed, by folder.
      const now = this.#clock.now() / 1000;
      await utimes(dirname(path), now, now).catch(() => {});
      return { path, contents };
    }
    await this.remove(id);
    return undefined;
  }

  /**
   * Add a file, in the place of what is there. It appears whole, or not at all.
   * @param offered writes the file to a path that is not there yet
   * @throws {CdhError} CDH_DISK; CDH_DAMAGED when what was written is no such file
   */
  async add(
    id: DebugFileId,
    { label, version, write }: { label: string; version: string; write: (path: string) => Promise<void> },
  ): Promise<CachedFile> {
    const path = this.#pathOf(id);
    const draft = `${path}.${randomBytes(6).toString("hex")}`;
    try {
      await makeFolders(dirname(path), 0o700);
      await write(draft);
      const contents = await tryExamineFile(draft);
      const complaint =
        contents === undefined ? "it is no ELF file" : complaintAbout(contents, id, await tryHash(draft));
      if (contents === undefined || complaint !== undefined)
        throw new CdhError("CDH_DAMAGED", `${label} is not what its name says: ${complaint}`);
      const note = noteOf(await stat(draft, { bigint: true }), version);
      await rename(draft, path);
      // A note that is of another file says nothing: two that do this at once harm nobody.
      await writeFile(`${path}${NOTE_SUFFIX}`, note, { mode: 0o600 });
      return { path, contents };
    } catch (error) {
      await rm(draft, { force: true }).catch(() => {});
      if (error instanceof CdhError) throw error;
      throw new CdhError("CDH_DISK", `cannot keep ${label} in ${this.#folder}: ${reasonOf(error)}`, { cause: error });
    }
  }

  /** Remove a file that the place no longer has. */
  async remove(id: DebugFileId): Promise<void> {
    const path = this.#pathOf(id);
    for (const one of [path, `${path}${NOTE_SUFFIX}`]) await rm(one, { force: true }).catch(() => {});
  }

  #pathOf({ buildId, role }: DebugFileId): string {
    // gdb looks for the package of split debug info beside the program.
    return join(this.#folder, buildId, role === "dwp" ? "executable.dwp" : role);
  }
}

/** Say which file it is that lies there, and which version of the place's. */
function noteOf({ ino, size, mtimeNs }: BigIntStats, version: string): string {
  return `${ino} ${size} ${mtimeNs}\n${version}`;
}

async function readNote(path: string): Promise<string> {
  return await readFile(path, "utf8").catch(() => "");
}

/** Hash a file; undefined when it cannot be read. */
async function tryHash(path: string): Promise<string | undefined> {
  const file = await openRegularFile(path).catch(() => undefined);
  if (file === undefined) return undefined;
  try {
    return await hashBytes(fileSource(file, (await file.stat()).size));
  } catch {
    return undefined;
  } finally {
    await file.close();
  }
}

/** Say why a file is not that of a build-id and role; undefined when it is. @param sha256 stands for the build-id of a file without one */
export function complaintAbout(
  contents: ElfContents,
  { buildId, role }: DebugFileId,
  sha256: string | undefined,
): string | undefined {
  if (contents.cutShort !== undefined) return `it is cut short: ${contents.cutShort}`;
  // A package of split debug info has no build-id of its own.
  if (role === "dwp") return contents.isSplitPackage ? undefined : "it is no package of split debug info";
  const isByHash = contents.buildId === undefined && isSha256(buildId) && sha256 === buildId;
  if (contents.buildId !== buildId && !isByHash)
    return `it has ${contents.buildId === undefined ? "no build-id" : `build-id ${contents.buildId}`}`;
  if (role === "executable") return contents.hasCode ? undefined : "it has no code";
  return contents.hasDebugInfo ? undefined : "it has no debug info";
}
