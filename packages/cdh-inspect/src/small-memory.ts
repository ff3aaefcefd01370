import { setFlagsFromString } from "node:v8";

/**
 * Keep V8's heap small. Pieces of a core lie outside of it, and it grows as if nobody else needed room: checking 10 GiB in
 * a bucket with the npm package peaked at 160 MiB, with this at 127, in the same time. The programs that we build have a
 * launcher with more flags; a package of npm can have none that works everywhere.
 */
export function keepHeapSmall(): void {
  setFlagsFromString("--optimize-for-size");
}
