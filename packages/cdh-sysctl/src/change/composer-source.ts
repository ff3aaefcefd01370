import { createHash } from "node:crypto";
import { closeSync, existsSync, fstatSync, openSync, readdirSync, readFileSync, readSync, statSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import { CdhError, reasonOf } from "@cdh/core/errors";
import { hashPatched } from "../node/hash-file.ts";
import { NAMES } from "../node/target-node.ts";
import {
  interpreterPatch,
  isPrivateLoader,
  readLoaderFacts,
  runPathPatch,
  type FixedText,
  type Patch,
} from "./loader.ts";

/** A composer to install, prepared for one HOST_DIR. */
export interface ComposerSource {
  /** The executable to copy from. */
  path: string;
  sizeBytes: number;
  /** What makes it run from HOST_DIR: its loader's path. Empty for an executable that uses the node's own loader. */
  patches: Patch[];
  /** Hash of what will lie in HOST_DIR, patches included. */
  sha256: string;
  /** The loader and the libraries that go along; empty when it uses the node's own. */
  libraries: LibrarySource[];
  /** Where they go, below HOST_DIR. */
  libraryFolder: string;
}

/** A file of the composer's private C library. */
export interface LibrarySource {
  name: string;
  path: string;
  sizeBytes: number;
  sha256: string;
}

/** Find the composer that came with this program: beside it in `bin`. */
export function bundledComposer(): string {
  return join(import.meta.dirname, "..", "bin", "cdc");
}

/**
 * Look at the composer to install and prepare it for a HOST_DIR.
 * @param hostDir the directory as the node sees it
 * @throws {CdhError} CDH_NOT_FOUND when there is no executable, or its libraries are not beside it
 * @throws {CdhError} CDH_CONFIG_INVALID when HOST_DIR is too long for its loader's path
 */
export function inspectComposer(path: string, hostDir: string): ComposerSource {
  let file: number;
  try {
    file = openSync(path, "r");
  } catch (error) {
    throw new CdhError("CDH_NOT_FOUND", `cannot read the composer ${path}: ${reasonOf(error)}`, {
      hint: "--composer (COMPOSER) names the executable to install",
      cause: error,
    });
  }
  try {
    const info = fstatSync(file);
    if (!info.isFile() || info.size === 0)
      throw new CdhError("CDH_NOT_FOUND", `cannot install ${path}: not an executable file`);
    const { interpreter, runPath } = readLoaderFacts((offset, length) => {
      const bytes = Buffer.alloc(length);
      return bytes.subarray(0, readSync(file, bytes, 0, length, offset));
    });
    const base = { path, sizeBytes: info.size };
    if (interpreter === undefined || !isPrivateLoader(interpreter)) {
      return { ...base, patches: [], sha256: hashPatched(file, []), libraries: [], libraryFolder: NAMES.libraries };
    }
    const folder = join(dirname(path), NAMES.libraries);
    const loader = basename(interpreter.text);
    if (!existsSync(join(folder, loader))) {
      throw new CdhError("CDH_NOT_FOUND", `cannot install ${path}: its loader ${join(folder, loader)} is missing`, {
        hint: "keep the lib directory beside the composer",
      });
    }
    const libraries = inspectLibraries(folder);
    const { libraryFolder, patch } = chooseLibraryFolder(runPath, libraries);
    const patches = [interpreterPatch(interpreter, join(hostDir, libraryFolder, loader)), ...patch];
    return { ...base, patches, sha256: hashPatched(file, patches), libraries, libraryFolder };
  } finally {
    closeSync(file);
  }
}

/**
 * Give each set of libraries a folder of its own, named after its content. A loader and a C library of two versions do
 * not work together, so an upgrade must never mix them, not even for the moment between two renames. An executable
 * whose run path has no room for that gets them in `lib` itself.
 */
function chooseLibraryFolder(
  runPath: FixedText | undefined,
  libraries: readonly LibrarySource[],
): { libraryFolder: string; patch: Patch[] } {
  const hash = createHash("sha256");
  for (const { name, sha256 } of libraries) hash.update(`${name}\0${sha256}\0`);
  const libraryFolder = join(NAMES.libraries, hash.digest("hex").slice(0, 16));
  const patch = runPath === undefined ? undefined : runPathPatch(runPath, `$ORIGIN/${libraryFolder}`);
  return patch === undefined ? { libraryFolder: NAMES.libraries, patch: [] } : { libraryFolder, patch: [patch] };
}

function inspectLibraries(folder: string): LibrarySource[] {
  return readdirSync(folder)
    .filter((name) => !name.startsWith(".") && !name.endsWith(".partial") && statSync(join(folder, name)).isFile())
    .sort()
    .map((name) => {
      const path = join(folder, name);
      const bytes = readFileSync(path);
      return { name, path, sizeBytes: bytes.length, sha256: createHash("sha256").update(bytes).digest("hex") };
    });
}
