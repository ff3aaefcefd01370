import { join } from "node:path";

/** Names in CORE_DIR. Readers ignore every name that starts with a dot. @see docs/on-disk.md */
export const BUNDLE_SUFFIX = ".zip";
/** Where bundles wait that can never be uploaded, each with its reason beside it. */
export const QUARANTINE_DIRECTORY = "quarantine";
/** Where attempts, rate limits and the composers' queue keep their state. */
export const STATE_DIRECTORY = "state";

/** Where programs and libraries of crashes wait to be sent. @see binaries.ts */
export const BINARIES_DIRECTORY = "binaries";
/** Where uploaded bundles are kept when KEEP_UPLOADED says so. */
export const UPLOADED_DIRECTORY = "uploaded";
/** Where the kernel's own plain cores arrive in MODE=file: everybody may add to it, and to nothing else. */
export const PLAIN_DIRECTORY = "plain";
/** Mode of {@link PLAIN_DIRECTORY}: sticky, everybody may add, nobody but root may look. */
export const PLAIN_DIRECTORY_MODE = 0o1733;

/** Directories are the owner's alone: cores hold secrets. */
export const DIRECTORY_MODE = 0o700;
/** Files likewise. */
export const FILE_MODE = 0o600;

/** Path of the bundle `name` once it is published. */
export function publishedPath(coreDir: string, name: string): string {
  return join(coreDir, `${name}${BUNDLE_SUFFIX}`);
}

/** Path of the bundle `name` while it is being written. */
export function partialPath(coreDir: string, name: string): string {
  return join(coreDir, `.${name}${BUNDLE_SUFFIX}.partial`);
}

/**
 * Path of the packed bundle `name` while it is made of the one at {@link partialPath}, in whose place it is put when it is
 * whole. Until then everything it holds is there too.
 */
export function packingPath(coreDir: string, name: string): string {
  return join(coreDir, `.${name}${BUNDLE_SUFFIX}.packing`);
}

/** Take `N` from the file name of a bundle that is being packed, or undefined. */
export function packingNameOf(fileName: string): string | undefined {
  return /^\.(.+)\.zip\.packing$/s.exec(fileName)?.[1];
}

/** Take `N` from a published file name, or undefined when the name is not a bundle's. */
export function bundleNameOf(fileName: string): string | undefined {
  if (fileName.startsWith(".") || !fileName.endsWith(BUNDLE_SUFFIX)) return undefined;
  return fileName.slice(0, -BUNDLE_SUFFIX.length) || undefined;
}

/** Take `N` from the file name of a bundle that is being written, or undefined. */
export function partialNameOf(fileName: string): string | undefined {
  const match = /^\.(.+)\.zip\.partial$/s.exec(fileName);
  return match?.[1];
}
