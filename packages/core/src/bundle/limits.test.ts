import { describe, expect, it } from "vitest";
import { type JsonLimits } from "../base/json.ts";
import { type BundleLimits, READ_LIMITS, WRITE_LIMITS } from "./limits.ts";

describe("limits of a bundle", () => {
  const flat = (limits: BundleLimits): Record<string, number> =>
    Object.fromEntries(
      Object.entries(limits).flatMap(([name, value]: [string, number | JsonLimits]) =>
        typeof value === "number"
          ? [[name, value]]
          : Object.entries(value).map(([part, number]: [string, number]) => [`${name}.${part}`, number]),
      ),
    );
  const read = flat(READ_LIMITS);

  it.each(Object.entries(flat(WRITE_LIMITS)))("%s: %d is at most half of what readers accept", (name, written) => {
    if (name === "entryNameBytes") expect(written).toBeLessThan(read[name] ?? 0);
    else expect(written * 2).toBeLessThanOrEqual(read[name] ?? 0);
  });
});
