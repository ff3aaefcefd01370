import { realpath, stat } from "node:fs/promises";
import { dirname } from "node:path";
import { CdhError, errnoOf } from "../../base/errors.ts";

interface Mount {
  path: string;
  /** Device number of the directory that the mount covers. */
  beneath: number;
}

/**
 * Notice that the mount on which a directory lay is gone. The directory beneath it takes whatever is written as readily,
 * on the node's own disk, where nobody looks.
 */
export class MountWatch {
  readonly #directory: string;
  readonly #url: string;
  /** As last seen: it may come later than we do, or be stale when we begin. */
  #mount: Mount | undefined;

  /** @param directory need not be there yet */
  constructor(directory: string, url: string) {
    this.#directory = directory;
    this.#url = url;
    // What is mounted now may be gone before the first check; what fails now fails there too.
    this.check().catch(() => {});
  }

  /** @throws {CdhError} CDH_STORE_UNREACHABLE; the system's error when nobody can tell */
  async check(): Promise<void> {
    const now = await findMount(this.#directory);
    const known = this.#mount;
    if (known !== undefined && (await deviceOf(known.path)) === known.beneath) {
      throw new CdhError(
        "CDH_STORE_UNREACHABLE",
        `cannot write to ${this.#url}: nothing is mounted on ${known.path} any more`,
        { hint: "mount it again; what is waiting stays in the spool" },
      );
    }
    this.#mount = now;
  }
}

/** Find the mount that a directory lies on; undefined when that is the root. */
async function findMount(directory: string): Promise<Mount | undefined> {
  let path = await realpath(directory).catch((error: unknown) => {
    if (errnoOf(error) !== "ENOENT") throw error;
    return undefined;
  });
  if (path === undefined) return directory === dirname(directory) ? undefined : await findMount(dirname(directory));
  const device = await deviceOf(path);
  for (; path !== dirname(path); path = dirname(path)) {
    const beneath = await deviceOf(dirname(path));
    if (beneath !== device) return { path, beneath };
  }
  return undefined;
}

/** Find on which device a directory lies. The dot makes autofs mount what it has put aside; the bare name would not. */
async function deviceOf(directory: string): Promise<number> {
  return (await stat(`${directory}/.`)).dev;
}
