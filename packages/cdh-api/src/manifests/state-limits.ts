import type { JsonLimits } from "@cdh/core/json";

/** Where retention keeps what must survive a restart. No namespace begins with an underscore. */
export const STATE_FOLDER = "_retention/";

/**
 * Bounds on what retention keeps. A ledger names each pod that is gone and still has bundles: a quarter of a million of
 * them, and it fits into the heap of the thread that parses it, whatever it is made of.
 */
export const STATE_LIMITS: JsonLimits = { bytes: 24 * 1024 * 1024, depth: 8, elements: 300_000 };
