import { describe, expect, it } from "vitest";
import { skipAloud } from "../helpers/skip.ts";
import { targets } from "./targets.ts";
import { runWorker } from "./watch-worker.ts";

/** A start that is always the same: a smoke test finds that a target works, and what broke a reader altogether. */
const SEED = 20_261_129;
const RUNS = 30;
/** Programs start for seconds each. */
const PROGRAM_RUNS = 4;

describe("a short hunt finds nothing", () => {
  it.for(targets.map(({ name, unavailable }) => ({ name, unavailable })))(
    "$name",
    { timeout: 300_000 },
    async ({ name, unavailable }, context) => {
      const reason = unavailable?.();
      if (reason !== undefined) skipAloud(context, reason);
      const runs = name === "programs" ? PROGRAM_RUNS : RUNS;
      const hunted = await runWorker({ target: name, seed: SEED, path: undefined, runs, forMs: 240_000 });
      expect(hunted.finding).toBeUndefined();
      expect(hunted.runs).toBe(runs);
    },
  );
});
