import { constants, type Stats } from "node:fs";
import { appendFile, lstat, readdir, rm, rmdir, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { readBounded } from "@cdh/core/container/bounded-file";
import { CdhError } from "@cdh/core/errors";
import { makeFolders } from "@cdh/core/files/make-folders";
import { parseJson } from "@cdh/core/json";
import { CRASH_FOLDER } from "@cdh/core/report/launch-json";
import { FILE_MODE } from "@cdh/core/spool/layout";

/** Names at the top of the directory that are not {@link CRASH_FOLDER}'s. */
export const OTHERS = { gdbinit: "gdbinit", report: "report.txt", code: ".vscode/launch.json" } as const;

/** Says that a directory is this command's, and names what it made there, a JSON text a line. */
const MARKER = { name: ".cdh-inspect", first: "unpack --with-binaries", done: "done" };
/** A crash has some thousand files and links; more is no list of ours. */
const MARKER_MAX_BYTES = 16 * 1024 * 1024;
const SHOWN_MAX = 3;
/** What an interrupted run leaves of the core: the next one goes on with it. */
const CORE_PARTS = ["", ".partial", ".partial.json"].map((ending) => `${CRASH_FOLDER.core}${ending}`);
/** Every name at which this command writes, beside what lies below its folders. */
const NAMES = [CRASH_FOLDER.program, `${CRASH_FOLDER.program}.dwp`, ...Object.values(OTHERS)];
const FOLDERS = [CRASH_FOLDER.sysroot, CRASH_FOLDER.debug];

/** Names relative to the directory. */
interface Looked {
  strangers: string[];
  mine: string[];
}

/**
 * What a directory has of this command. Each name is noted before something gets it, so that nothing else is ever replaced: not
 * what a person put beside it, nor below `sysroot` and `debug`.
 */
export class OfflineMade {
  readonly #directory: string;
  readonly #made: Set<string>;
  /** Whether an earlier run got to its end. */
  readonly #isDone: boolean;
  readonly #isOurs: boolean;

  private constructor(directory: string, lines: readonly string[]) {
    this.#directory = directory;
    const [first, ...rest] = lines;
    this.#isOurs = first === MARKER.first;
    this.#isDone = rest.includes(MARKER.done);
    this.#made = new Set(this.#isOurs ? rest.flatMap(pathIn) : []);
  }

  /**
   * Make room for what is written, or refuse before anything is changed. An interrupted run is gone on with.
   * @param force write into a directory that has something in it, and replace what an earlier run made
   * @throws {CdhError} CDH_DISK when something lies in the way that this command did not make; the system's error
   */
  static async begin(directory: string, force: boolean): Promise<OfflineMade> {
    await makeFolders(directory);
    const text = await readBounded(join(directory, MARKER.name), MARKER_MAX_BYTES).then(
      ({ bytes, cut }) => (cut ? "" : bytes.toString()),
      () => "",
    );
    const made = new OfflineMade(directory, text.split("\n"));
    await made.#prepare(force);
    return made;
  }

  /** Note a name before something gets it. @param name relative to the directory */
  async note(name: string): Promise<void> {
    if (this.#made.has(name)) return;
    this.#made.add(name);
    await this.#write(`${JSON.stringify(name)}\n`);
  }

  /** Note that everything is written. */
  async finish(): Promise<void> {
    await this.#write(`${MARKER.done}\n`);
  }

  async #prepare(force: boolean): Promise<void> {
    const there = await readdir(this.#directory);
    if (there.length > 0 && !force && (!this.#isOurs || this.#isDone))
      throw new CdhError("CDH_DISK", `cannot write ${this.#directory}: it has something in it`, {
        hint: "name a directory that is not there yet; --force writes into this one",
      });
    const { strangers, mine } = await this.#look();
    if (strangers.length > 0)
      throw new CdhError(
        "CDH_DISK",
        `cannot write ${this.#directory}: ${some(strangers)} in it is not this command's`,
        {
          hint: "move it away, or name a directory that is not there yet",
        },
      );
    for (const name of mine) await rm(join(this.#directory, name), { force: true });
    for (const folder of FOLDERS) await removeFolders(join(this.#directory, folder));
    this.#made.clear();
    if (this.#isOurs) await rm(join(this.#directory, MARKER.name), { force: true });
    await writeFile(join(this.#directory, MARKER.name), `${MARKER.first}\n`, { mode: FILE_MODE, flag: "wx" });
    // The core's own names stay: it is gone on with.
    for (const name of CORE_PARTS) await this.note(name);
  }

  /** Tell what of this command's names was made by it, and what was not. No link is followed. */
  async #look(): Promise<Looked> {
    const looked: Looked = { strangers: [], mine: [] };
    const names = [...NAMES, ...CORE_PARTS, ...(this.#isOurs ? [] : [MARKER.name])];
    for (const name of names) {
      const folder = dirname(name);
      const stats = folder === "." ? undefined : await tryLook(join(this.#directory, folder));
      if (stats?.isDirectory() === false) looked.strangers.push(folder);
      else if ((await tryLook(join(this.#directory, name))) !== undefined) this.#sort(name, looked);
    }
    for (const folder of FOLDERS) await this.#lookBelow(folder, looked);
    // The core is gone on with, and replaced where it is another one.
    return { ...looked, mine: looked.mine.filter((name) => !CORE_PARTS.includes(name)) };
  }

  async #lookBelow(name: string, looked: Looked): Promise<void> {
    if (looked.strangers.length > SHOWN_MAX) return;
    const stats = await tryLook(join(this.#directory, name));
    if (stats === undefined) return;
    if (!stats.isDirectory()) return this.#sort(name, looked);
    const below = await readdir(join(this.#directory, name));
    if (!this.#isOurs && below.length === 0) looked.strangers.push(name);
    for (const child of below) await this.#lookBelow(`${name}/${child}`, looked);
  }

  #sort(name: string, { strangers, mine }: Looked): void {
    (this.#made.has(name) ? mine : strangers).push(name);
  }

  async #write(line: string): Promise<void> {
    await appendFile(join(this.#directory, MARKER.name), line, {
      flag: constants.O_WRONLY | constants.O_APPEND | (constants.O_NOFOLLOW ?? 0),
    });
  }
}

/** Read a line of the list; what leads out of the directory is none of ours. */
function pathIn(line: string): string[] {
  try {
    const name: unknown = parseJson(line);
    if (typeof name !== "string" || name === "" || name.startsWith("/")) return [];
    return name.split(/[/\\]/).includes("..") ? [] : [name];
  } catch {
    return [];
  }
}

/** Remove a folder and those below it, as far as they are empty. */
async function removeFolders(path: string): Promise<void> {
  const entries = await readdir(path, { withFileTypes: true }).catch(() => []);
  for (const entry of entries) if (entry.isDirectory()) await removeFolders(join(path, entry.name));
  await rmdir(path).catch(() => {});
}

async function tryLook(path: string): Promise<Stats | undefined> {
  return await lstat(path).catch(() => undefined);
}

function some(names: readonly string[]): string {
  const shown = names.slice(0, SHOWN_MAX).join(", ");
  return names.length > SHOWN_MAX ? `${shown}, …` : shown;
}
