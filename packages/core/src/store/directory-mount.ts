import { realpath, stat } from "node:fs/promises";
import { dirname } from "node:path";
import { CdhError, errnoOf } from "../errors.ts";

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
  readonly #url: string;
  readonly #mount: Promise<Mount | undefined>;

  /** @param directory need not be there yet */
  constructor(directory: string, url: string) {
    this.#url = url;
    this.#mount = findMount(directory).catch(() => undefined);
  }

  /** @throws {CdhError} CDH_STORE_UNREACHABLE */
  async check(): Promise<void> {
    const mount = await this.#mount;
    if (mount === undefined || (await deviceOf(mount.path)) !== mount.beneath) return;
    throw new CdhError(
      "CDH_STORE_UNREACHABLE",
      `cannot write to ${this.#url}: nothing is mounted on ${mount.path} any more`,
      {
        hint: "mount it again; what is waiting stays in the spool",
      },
    );
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
