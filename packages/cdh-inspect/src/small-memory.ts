import { setFlagsFromString } from "node:v8";

/*
 * Imported before anything else. Pieces of a core lie outside of V8's heap, which grows as if nobody else needed room: checking
 * 10 GiB in a bucket with the npm package peaked at 160 MiB, with this at 127, in the same time. The programs that we build have
 * a launcher with more flags; a package of npm has none that works everywhere.
 */
setFlagsFromString("--optimize-for-size");
