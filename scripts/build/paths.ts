import path from "node:path";

/** The checkout. */
export const root: string = path.resolve(import.meta.dirname, "..", "..");

/** Everything that a build makes. */
export const dist: string = path.join(root, "dist");

/** The pinned Node, pnpm and Bun; `scripts/bootstrap.mjs` puts them there. */
export const toolBin: string = path.join(root, ".cache", "toolchain", "bin");
